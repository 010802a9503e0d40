/* chat/jinja_methods.c -- methods of texts, dicts and lists. */
#include <string.h>
#include <utf8proc.h>

#include "chat/jinja.h"

#define JINJA_METHOD(kind, name, function)                                                         \
    static JVal method_##function(Jinja *, JVal, const JArgs *);
#include "chat/jinja_methods.def"
#undef JINJA_METHOD

static const struct {
    JKind kind;
    const char *name;
    JVal (*run)(Jinja *, JVal, const JArgs *);
} methods[] = {
#define JINJA_METHOD(kind, name, function) {JV_##kind, name, method_##function},
#include "chat/jinja_methods.def"
#undef JINJA_METHOD
};

JVal
j_method(Jinja *j, JVal of, JVal name)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (methods[i].kind != of.kind || !j_is_text(name, methods[i].name))
            continue;
        JBound *bound = j_alloc(j, 1, sizeof *bound);
        *bound = (JBound){.of = of, .method = (int)i};
        return (JVal){.kind = JV_method, .bound = bound};
    }
    return j_undefined(NULL);
}

JVal
j_call_method(Jinja *j, const JBound *bound, const JArgs *args)
{
    if (bound->method < 0)
        return j_call_loop_method(j, bound, args);
    return methods[bound->method].run(j, bound->of, args);
}

/* ---- arguments ------------------------------------------------------------------------------ */

/* A text. False: there is another, or none; a fault. */
static bool
text_at(Jinja *j, const JArgs *args, int place, JVal *out)
{
    const JVal *v = j_arg(args, place, NULL);
    if (v && v->kind == JV_text) {
        *out = *v;
        return true;
    }
    j_fail(j, "a text is wanted, not %s%s", v ? "a " : "nothing", v ? j_type(*v) : "");
    *out = j_text("");
    return false;
}

static const JVal *
optional_text(Jinja *j, const JArgs *args, int place, const char *name)
{
    const JVal *v = j_arg(args, place, name);
    if (!v || v->kind == JV_none)
        return NULL;
    if (v->kind != JV_text)
        j_fail(j, "a text is wanted, not a %s", j_type(*v));
    return v->kind == JV_text ? v : NULL;
}

static int64_t
whole_at(Jinja *j, const JArgs *args, int place, const char *name, int64_t otherwise)
{
    const JVal *v = j_arg(args, place, name);
    int64_t i;
    if (!v)
        return otherwise;
    if (!j_whole(*v, &i))
        j_fail(j, "an integer is wanted, not a %s", j_type(*v));
    return j->failed ? otherwise : i;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static JVal
method_strip(Jinja *j, JVal of, const JArgs *args)
{
    return jt_strip(of, optional_text(j, args, 0, NULL), JT_both);
}

static JVal
method_lstrip(Jinja *j, JVal of, const JArgs *args)
{
    return jt_strip(of, optional_text(j, args, 0, NULL), JT_left);
}

static JVal
method_rstrip(Jinja *j, JVal of, const JArgs *args)
{
    return jt_strip(of, optional_text(j, args, 0, NULL), JT_right);
}

static JVal
method_lower(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, of, JT_lower);
}

static JVal
method_upper(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, of, JT_upper);
}

static JVal
method_capitalize(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, of, JT_capitalize);
}

static JVal
method_title(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, of, JT_title);
}

static JVal
method_swapcase(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, of, JT_swapcase);
}

static JVal
method_split(Jinja *j, JVal of, const JArgs *args)
{
    return jt_split(j, of, optional_text(j, args, 0, "sep"), whole_at(j, args, 1, "maxsplit", -1),
                    false);
}

static JVal
method_rsplit(Jinja *j, JVal of, const JArgs *args)
{
    return jt_split(j, of, optional_text(j, args, 0, "sep"), whole_at(j, args, 1, "maxsplit", -1),
                    true);
}

static JVal
method_splitlines(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *keep = j_arg(args, 0, "keepends"), out = j_list(j, JV_list);
    for (size_t at = 0, end; at < of.len && !j->failed;) {
        for (end = at; end < of.len && of.text[end] != '\n' && of.text[end] != '\r';)
            end++;
        size_t next = end + (end < of.len);
        next += end + 1 < of.len && of.text[end] == '\r' && of.text[end + 1] == '\n';
        j_push(j, out.list, j_textn(of.text + at, (keep && j_true(j, *keep) ? next : end) - at));
        at = next;
    }
    return out;
}

/* What is before, it, and what is behind; three parts. */
static JVal
parted(Jinja *j, JVal of, JVal by, size_t at)
{
    const JVal out = j_list(j, JV_tuple);
    j_push(j, out.list, j_textn(of.text, at));
    j_push(j, out.list, by);
    j_push(j, out.list, j_textn(of.text + at + by.len, of.len - at - by.len));
    return out;
}

static size_t
find_from_right(JVal of, JVal what)
{
    size_t last = SIZE_MAX;
    for (size_t at = 0; (at = jt_find(of, what, at)) != SIZE_MAX; at++)
        last = at;
    return last;
}

static JVal
method_partition(Jinja *j, JVal of, const JArgs *args)
{
    JVal by;
    if (!text_at(j, args, 0, &by))
        return by;
    const size_t at = jt_find(of, by, 0);
    return at == SIZE_MAX ? parted(j, of, j_text(""), of.len) : parted(j, of, by, at);
}

static JVal
method_rpartition(Jinja *j, JVal of, const JArgs *args)
{
    JVal by;
    if (!text_at(j, args, 0, &by))
        return by;
    const size_t at = find_from_right(of, by);
    return at == SIZE_MAX ? parted(j, of, j_text(""), 0) : parted(j, of, by, at);
}

static bool
has_end(JVal of, JVal what, bool start)
{
    return what.len <= of.len &&
           memcmp(start ? of.text : of.text + of.len - what.len, what.text, what.len) == 0;
}

/* startswith and endswith take a tuple of texts, too. */
static JVal
ends(Jinja *j, JVal of, const JArgs *args, bool start)
{
    const JVal *what = j_arg(args, 0, NULL);
    JVal text;
    if (what && what->kind == JV_tuple) {
        for (int i = 0; i < what->list->count; i++)
            if (what->list->items[i].kind == JV_text && has_end(of, what->list->items[i], start))
                return j_bool(true);
        return j_bool(false);
    }
    return text_at(j, args, 0, &text) ? j_bool(has_end(of, text, start)) : j_none();
}

static JVal
method_startswith(Jinja *j, JVal of, const JArgs *args)
{
    return ends(j, of, args, true);
}

static JVal
method_endswith(Jinja *j, JVal of, const JArgs *args)
{
    return ends(j, of, args, false);
}

static JVal
method_removeprefix(Jinja *j, JVal of, const JArgs *args)
{
    JVal what;
    if (text_at(j, args, 0, &what) && has_end(of, what, true)) {
        of.text += what.len;
        of.len -= what.len;
    }
    return of;
}

static JVal
method_removesuffix(Jinja *j, JVal of, const JArgs *args)
{
    JVal what;
    if (text_at(j, args, 0, &what) && has_end(of, what, false))
        of.len -= what.len;
    return of;
}

static JVal
method_replace(Jinja *j, JVal of, const JArgs *args)
{
    JVal from, to;
    if (!text_at(j, args, 0, &from) || !text_at(j, args, 1, &to))
        return of;
    return jt_replace(j, of, from, to, whole_at(j, args, 2, "count", -1));
}

static int64_t
place_of(JVal of, size_t at)
{
    return at == SIZE_MAX ? -1 : jt_count(of.text, at);
}

static JVal
method_find(Jinja *j, JVal of, const JArgs *args)
{
    JVal what;
    const bool ok = text_at(j, args, 0, &what);
    const size_t from = jt_offset(of.text, of.len, whole_at(j, args, 1, NULL, 0));
    return ok ? j_int(place_of(of, jt_find(of, what, from))) : what;
}

static JVal
method_rfind(Jinja *j, JVal of, const JArgs *args)
{
    JVal what;
    return text_at(j, args, 0, &what) ? j_int(place_of(of, find_from_right(of, what))) : what;
}

static JVal
method_index(Jinja *j, JVal of, const JArgs *args)
{
    const JVal at = method_find(j, of, args);
    return at.kind == JV_int && at.i < 0 ? j_fail(j, "index: the text is not in it") : at;
}

static JVal
method_count(Jinja *j, JVal of, const JArgs *args)
{
    JVal what;
    int64_t count = 0;
    if (!text_at(j, args, 0, &what))
        return what;
    if (what.len == 0)
        return j_int(jt_count(of.text, of.len) + 1);
    for (size_t at = 0; (at = jt_find(of, what, at)) != SIZE_MAX; at += what.len)
        count++;
    return j_int(count);
}

static JVal
method_join(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *what = j_arg(args, 0, NULL);
    const JList *list = what ? j_items(j, *what) : NULL;
    StrBuf out = {0};
    if (!what)
        j_fail(j, "join wants what to join");
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        const JVal item = list->items[i];
        if (item.kind != JV_text)
            j_fail(j, "join: item %d is a %s, not a text", i, j_type(item));
        sb_putn(&out, of.text, i ? of.len : 0);
        j_put(j, &out, item, false, 0);
    }
    return j_finish(j, &out);
}

typedef bool OfCode(int32_t code);

static bool
is_letter(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool
is_digit(int32_t code)
{
    return utf8proc_category(code) == UTF8PROC_CATEGORY_ND;
}

static bool
is_letter_or_digit(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return is_letter(code) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

static JVal
all_are(JVal of, OfCode *are)
{
    for (size_t at = 0, step; at < of.len; at += step) {
        step = jt_step(of.text + at, of.len - at);
        if (!are(jt_code(of.text + at, step)))
            return j_bool(false);
    }
    return j_bool(of.len > 0);
}

static JVal
method_isalpha(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    return all_are(of, is_letter);
}

static JVal
method_isdigit(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    return all_are(of, is_digit);
}

static JVal
method_isalnum(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    return all_are(of, is_letter_or_digit);
}

static JVal
method_isspace(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    return all_are(of, jt_is_space);
}

static JVal
of_case(Jinja *j, JVal of, JCase how)
{
    const JVal other = jt_case(j, of, how == JT_lower ? JT_upper : JT_lower);
    return j_bool(j_equal(j, of, jt_case(j, of, how), 0) && !j_equal(j, of, other, 0));
}

static JVal
method_islower(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return of_case(j, of, JT_lower);
}

static JVal
method_isupper(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return of_case(j, of, JT_upper);
}

/* ---- format --------------------------------------------------------------------------------- */

/* {name}, {0} or {}, with !r or !s. What follows a colon is refused, but for nothing. */
static void
put_field(Jinja *j, StrBuf *out, JVal field, const JArgs *args, int *next)
{
    const char *colon = memchr(field.text, ':', field.len);
    const char *bang = memchr(field.text, '!', field.len);
    const bool repr = bang && bang + 1 < field.text + field.len && bang[1] == 'r';
    size_t len = colon ? (size_t)(colon - field.text) : field.len;
    if (bang && (size_t)(bang - field.text) < len)
        len = (size_t)(bang - field.text);
    const JVal name = j_copy(j, field.text, len);
    const bool number = len == 0 || (name.text[0] >= '0' && name.text[0] <= '9');
    int64_t place = len == 0 ? (*next)++ : 0;
    for (size_t i = 0; number && i < len && place < 1000; i++)
        place = place * 10 + (name.text[i] - '0');
    const JVal *v = number ? j_arg(args, (int)place, NULL) : j_arg(args, -1, name.text);
    if (colon && colon + 1 < field.text + field.len)
        j_fail(j, "format: what follows the colon in {%.*s} is not supported", (int)field.len,
               field.text);
    else if (!v)
        j_fail(j, "format: there is no argument for {%.*s}", (int)field.len, field.text);
    else
        j_put(j, out, *v, repr, 0);
}

static JVal
method_format(Jinja *j, JVal of, const JArgs *args)
{
    StrBuf out = {0};
    int next = 0;
    for (size_t at = 0; at < of.len && !j->failed; at++) {
        const char c = of.text[at];
        const bool brace = c == '{' || c == '}';
        if (brace && at + 1 < of.len && of.text[at + 1] == c) {
            sb_putn(&out, &c, 1);
            at++;
        } else if (c == '{') {
            const char *end = memchr(of.text + at, '}', of.len - at);
            if (!end) {
                j_fail(j, "format: a { has no }");
                break;
            }
            const size_t close = (size_t)(end - of.text);
            put_field(j, &out, j_textn(of.text + at + 1, close - at - 1), args, &next);
            at = close;
        } else if (c == '}') {
            j_fail(j, "format: a } closes no {");
        } else {
            sb_putn(&out, &c, 1);
        }
    }
    return j_finish(j, &out);
}

/* ---- dicts ---------------------------------------------------------------------------------- */

static JVal
method_get(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *key = j_arg(args, 0, NULL), *otherwise = j_arg(args, 1, NULL);
    if (!key)
        return j_fail(j, "get wants a key");
    if (key->kind == JV_list || key->kind == JV_dict)
        return j_fail(j, "a %s cannot be the key of a dict", j_type(*key));
    const JVal *found = j_dict_find(j, of.dict, *key);
    return found ? *found : otherwise ? *otherwise : j_none();
}

static JVal
method_keys(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal out = j_list(j, JV_view);
    for (int i = 0; i < of.dict->count; i++)
        j_push(j, out.list, of.dict->keys[i]);
    return out;
}

static JVal
method_values(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal out = j_list(j, JV_view);
    for (int i = 0; i < of.dict->count; i++)
        j_push(j, out.list, of.dict->values[i]);
    return out;
}

static JVal
method_items(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal out = j_list(j, JV_view);
    for (int i = 0; i < of.dict->count && !j->failed; i++) {
        const JVal both = j_list(j, JV_tuple);
        j_push(j, both.list, of.dict->keys[i]);
        j_push(j, both.list, of.dict->values[i]);
        j_push(j, out.list, both);
    }
    return out;
}

static JVal
method_setdefault(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *key = j_arg(args, 0, NULL), *value = j_arg(args, 1, NULL);
    if (!key)
        return j_fail(j, "setdefault wants a key");
    const JVal *found = j_dict_find(j, of.dict, *key);
    if (found)
        return *found;
    j_dict_set(j, of.dict, *key, value ? *value : j_none());
    return value ? *value : j_none();
}

static JVal
method_update(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *other = j_arg(args, 0, NULL);
    if (other && other->kind != JV_dict)
        return j_fail(j, "update wants a dict, not a %s", j_type(*other));
    for (int i = 0; other && i < other->dict->count && !j->failed; i++)
        j_dict_set(j, of.dict, other->dict->keys[i], other->dict->values[i]);
    for (int i = 0; i < args->nnamed; i++)
        j_dict_set(j, of.dict, j_text(args->names[i]), args->named[i]);
    return j_none();
}

static JVal
method_pop_key(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *key = j_arg(args, 0, NULL), *otherwise = j_arg(args, 1, NULL);
    const JVal *found = key ? j_dict_find(j, of.dict, *key) : NULL;
    if (!found)
        return otherwise ? *otherwise : j_fail(j, "pop: there is no such key");
    const JVal value = *found;
    const int at = (int)(found - of.dict->values);
    for (int i = at; i + 1 < of.dict->count; i++) {
        of.dict->keys[i] = of.dict->keys[i + 1];
        of.dict->values[i] = of.dict->values[i + 1];
    }
    of.dict->count--;
    return value;
}

static JVal
method_clear(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    if (of.kind == JV_dict)
        of.dict->count = 0;
    else
        of.list->count = 0;
    return j_none();
}

static JVal
method_copy(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal copy = of.kind == JV_dict ? j_dict(j) : j_list(j, JV_list);
    for (int i = 0; of.kind == JV_dict && i < of.dict->count && !j->failed; i++)
        j_dict_set(j, copy.dict, of.dict->keys[i], of.dict->values[i]);
    for (int i = 0; of.kind == JV_list && i < of.list->count && !j->failed; i++)
        j_push(j, copy.list, of.list->items[i]);
    return copy;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static JVal
method_append(Jinja *j, JVal of, const JArgs *args)
{
    if (args->npos != 1)
        return j_fail(j, "append wants one item");
    j_push(j, of.list, args->pos[0]);
    return j_none();
}

static JVal
method_extend(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *more = j_arg(args, 0, NULL);
    const JList *list = more ? j_items(j, *more) : NULL;
    const int count = list ? list->count : 0; /* a list may be extended by itself */
    for (int i = 0; i < count && !j->failed; i++)
        j_push(j, of.list, list->items[i]);
    return more ? j_none() : j_fail(j, "extend wants a list");
}

static JVal
method_insert(Jinja *j, JVal of, const JArgs *args)
{
    int64_t at = whole_at(j, args, 0, NULL, 0);
    if (args->npos != 2 || !j_step(j, of.list->count))
        return j_fail(j, "insert wants a place and an item");
    const int count = of.list->count;
    at += at < 0 ? count : 0;
    at = at < 0 ? 0 : at > count ? count : at;
    j_push(j, of.list, args->pos[1]);
    for (int i = count; i > at && !j->failed; i--)
        of.list->items[i] = of.list->items[i - 1];
    if (!j->failed)
        of.list->items[at] = args->pos[1];
    return j_none();
}

static JVal
remove_at(Jinja *j, JList *list, int64_t at)
{
    const JVal item = list->items[at];
    if (j_step(j, list->count - at))
        memmove(list->items + at, list->items + at + 1,
                (size_t)(list->count - at - 1) * sizeof *list->items);
    list->count--;
    return item;
}

static JVal
method_pop(Jinja *j, JVal of, const JArgs *args)
{
    int64_t at = whole_at(j, args, 0, NULL, -1);
    at += at < 0 ? of.list->count : 0;
    if (at < 0 || at >= of.list->count)
        return j_fail(j, "pop from a place that a list of %d items has not", of.list->count);
    return remove_at(j, of.list, at);
}

static int
item_at(Jinja *j, const JList *list, const JArgs *args)
{
    for (int i = 0; args->npos && i < list->count; i++)
        if (j_equal(j, list->items[i], args->pos[0], 0))
            return i;
    j_fail(j, "the item is not in the list");
    return -1;
}

static JVal
method_index_of(Jinja *j, JVal of, const JArgs *args)
{
    return j_int(item_at(j, of.list, args));
}

static JVal
method_remove_item(Jinja *j, JVal of, const JArgs *args)
{
    const int at = item_at(j, of.list, args);
    if (at >= 0)
        remove_at(j, of.list, at);
    return j_none();
}

static JVal
method_count_items(Jinja *j, JVal of, const JArgs *args)
{
    int64_t count = 0;
    for (int i = 0; args->npos && i < of.list->count; i++)
        count += j_equal(j, of.list->items[i], args->pos[0], 0);
    return j_int(count);
}

static JVal
method_reverse(Jinja *j, JVal of, const JArgs *args)
{
    (void)j, (void)args;
    for (int i = 0, k = of.list->count - 1; i < k; i++, k--) {
        const JVal swapped = of.list->items[i];
        of.list->items[i] = of.list->items[k];
        of.list->items[k] = swapped;
    }
    return j_none();
}
