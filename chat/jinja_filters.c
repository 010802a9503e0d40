/* chat/jinja_filters.c -- filters of templates. Each does what jinja2's of that name does. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chat/jinja.h"

#define JINJA_FILTER(name, function) static JVal filter_##function(Jinja *, JVal, const JArgs *);
#include "chat/jinja_filters.def"
#undef JINJA_FILTER

static const struct {
    const char *name; /* first: nearest_name reads it */
    JVal (*run)(Jinja *, JVal, const JArgs *);
} filters[] = {
#define JINJA_FILTER(name, function) {name, filter_##function},
#include "chat/jinja_filters.def"
#undef JINJA_FILTER
};

int
jinja_filter_row(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (strcmp(filters[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *
jinja_filter_near(const char *name)
{
    return nearest_name(name, filters, COUNT_OF(filters), sizeof *filters);
}

JVal
j_filter(Jinja *j, int row, JVal of, const JArgs *args)
{
    return filters[row].run(j, of, args);
}

/* ---- arguments ------------------------------------------------------------------------------ */

static bool
flag(Jinja *j, const JArgs *args, int place, const char *name)
{
    const JVal *v = j_arg(args, place, name);
    return v && j_true(j, *v);
}

static int64_t
whole(Jinja *j, const JArgs *args, int place, const char *name, int64_t otherwise)
{
    const JVal *v = j_arg(args, place, name);
    int64_t i;
    if (!v || v->kind == JV_none)
        return otherwise;
    if (!j_whole(*v, &i))
        return j_fail(j, "%s wants an integer, not a %s", name, j_type(*v)), otherwise;
    return i;
}

/* A value by the name of an attribute: a.b.0 goes into what it finds. */
static JVal
by_path(Jinja *j, JVal of, JVal path)
{
    int64_t i;
    if (j_whole(path, &i))
        return j_item(j, of, path);
    while (path.kind == JV_text && !j->failed) {
        const char *dot = memchr(path.text, '.', path.len);
        const size_t len = dot ? (size_t)(dot - path.text) : path.len;
        const JVal name = j_textn(path.text, len);
        char *end = NULL;
        const long n = len ? strtol(path.text, &end, 10) : -1;
        const bool number = len && n >= 0 && end == path.text + len;
        of = j_item(j, of, number ? j_int(n) : name);
        if (!dot)
            break;
        path = j_textn(dot + 1, path.len - len - 1);
    }
    return of;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static JVal
filter_string(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return j_str(j, of);
}

static JVal
filter_trim(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *chars = j_arg(args, 0, "chars");
    return jt_strip(j_str(j, of), chars && chars->kind == JV_text ? chars : NULL, JT_both);
}

static JVal
filter_lower(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, j_str(j, of), JT_lower);
}

static JVal
filter_upper(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, j_str(j, of), JT_upper);
}

static JVal
filter_capitalize(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return jt_case(j, j_str(j, of), JT_capitalize);
}

/* Words begin behind white space and -({[<, unlike those of the method. */
static JVal
filter_title(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal text = j_str(j, of);
    StrBuf out = {0};
    bool inside = false;
    for (size_t at = 0, step; at < text.len && !j->failed; at += step) {
        step = jt_step(text.text + at, text.len - at);
        const int32_t code = jt_code(text.text + at, step);
        const JVal one = jt_case(j, j_textn(text.text + at, step), inside ? JT_lower : JT_upper);
        sb_putn(&out, one.text, one.len);
        inside = !jt_is_space(code) && !(code < 0x80 && code && strchr("-({[<", (int)code));
    }
    return j_finish(j, &out);
}

static JVal
filter_safe(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    JVal text = j_str(j, of);
    text.markup = true;
    return text;
}

static JVal
filter_escape(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return j_escape(j, of);
}

static JVal
filter_replace(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *from = j_arg(args, 0, "old"), *to = j_arg(args, 1, "new");
    if (!from || !to)
        return j_fail(j, "replace wants what to replace, and by what");
    return jt_replace(j, j_str(j, of), j_str(j, *from), j_str(j, *to),
                      whole(j, args, 2, "count", -1));
}

static JVal
filter_format(Jinja *j, JVal of, const JArgs *args)
{
    const JVal with = j_list(j, JV_tuple);
    for (int i = 0; i < args->npos; i++)
        j_push(j, with.list, args->pos[i]);
    return j_percent(j, j_str(j, of), with);
}

static JVal
filter_indent(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *width = j_arg(args, 0, "width"), text = j_str(j, of);
    const bool first = flag(j, args, 1, "first"), blank = flag(j, args, 2, "blank");
    const JVal spaces =
        width && width->kind == JV_text
            ? *width
            : j_binary(j, JO_mul, j_text(" "), j_int(whole(j, args, 0, "width", 4)));
    StrBuf out = {0};
    size_t at = 0;
    while (!j->failed && j_step(j, 1)) {
        const char *newline = memchr(text.text + at, '\n', text.len - at);
        const size_t end = newline ? (size_t)(newline - text.text) : text.len;
        if (at == 0 ? first : blank || end > at)
            sb_putn(&out, spaces.text, spaces.len);
        sb_putn(&out, text.text + at, end - at);
        if (out.len > j->most_bytes)
            j_fail(j, "indent makes a text of more than %zu MiB", j->most_bytes >> 20);
        if (!newline)
            break;
        sb_puts(&out, "\n");
        at = end + 1;
    }
    return j_finish(j, &out);
}

static JVal
filter_join(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *by = j_arg(args, 0, "d"), *path = j_arg(args, 1, "attribute");
    const JVal between = by ? j_str(j, *by) : j_text("");
    const JList *list = j_items(j, of);
    StrBuf out = {0};
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        if (i)
            sb_putn(&out, between.text, between.len);
        j_put(j, &out, path ? by_path(j, list->items[i], *path) : list->items[i], false, 0);
    }
    return j_finish(j, &out);
}

static JVal
filter_wordcount(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JVal text = j_str(j, of);
    int64_t words = 0;
    bool inside = false;
    for (size_t at = 0, step; at < text.len; at += step) {
        step = jt_step(text.text + at, text.len - at);
        const int32_t code = jt_code(text.text + at, step);
        const bool word =
            code == '_' || (jt_is_printable(code) && !jt_is_space(code) &&
                            !(code < 0x80 && !((code | 0x20) >= 'a' && (code | 0x20) <= 'z') &&
                              !(code >= '0' && code <= '9')));
        words += word && !inside;
        inside = word;
    }
    return j_int(words);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static JVal
filter_abs(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    int64_t i;
    double num;
    if (!j_number(of, &num))
        return j_fail(j, "abs wants a number, not a %s", j_type(of));
    if (j_whole(of, &i))
        return i < 0 ? j_binary(j, JO_sub, j_int(0), j_int(i)) : j_int(i);
    return j_float(fabs(num));
}

/* A text as a number, with white space around it. False: it is none. */
static bool
parse_number(JVal text, int base, int64_t *i, double *num, bool *is_whole)
{
    char digits[64], *end = NULL;
    text = jt_strip(text, NULL, JT_both);
    if (text.len == 0 || text.len >= sizeof digits)
        return false;
    memcpy(digits, text.text, text.len);
    digits[text.len] = 0;
    errno = 0;
    *i = strtoll(digits, &end, base);
    *is_whole = !*end && errno == 0;
    if (*is_whole)
        return true;
    if (strpbrk(digits, "xXpP"))
        return false;
    *num = strtod(digits, &end);
    return !*end;
}

static JVal
filter_int(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *otherwise = j_arg(args, 0, "default");
    const JVal none = otherwise ? *otherwise : j_int(0);
    const int64_t base = whole(j, args, 1, "base", 10);
    int64_t i = 0;
    double num = 0;
    bool is_whole = false;
    if (j_whole(of, &i))
        return j_int(i);
    if (of.kind == JV_float)
        num = of.num;
    else if (of.kind != JV_text || base < 2 || base > 36 ||
             !parse_number(of, (int)base, &i, &num, &is_whole))
        return none;
    if (is_whole)
        return j_int(i);
    return num > -9.2e18 && num < 9.2e18 ? j_int((int64_t)num) : none;
}

static JVal
filter_float(Jinja *j, JVal of, const JArgs *args)
{
    (void)j;
    const JVal *otherwise = j_arg(args, 0, "default");
    int64_t i = 0;
    double num = 0;
    bool is_whole = false;
    if (j_number(of, &num))
        return j_float(num);
    if (of.kind != JV_text || !parse_number(of, 10, &i, &num, &is_whole))
        return otherwise ? *otherwise : j_float(0);
    return j_float(is_whole ? (double)i : num);
}

static JVal
filter_round(Jinja *j, JVal of, const JArgs *args)
{
    const int64_t digits = whole(j, args, 0, "precision", 0);
    const JVal *method = j_arg(args, 1, "method");
    double num;
    if (!j_number(of, &num))
        return j_fail(j, "round wants a number, not a %s", j_type(of));
    if (digits < -300 || digits > 300)
        return j_fail(j, "round to %lld digits", (long long)digits);
    const double scale = pow(10, (double)digits);
    if (method && j_is_text(*method, "ceil"))
        return j_float(ceil(num * scale) / scale);
    if (method && j_is_text(*method, "floor"))
        return j_float(floor(num * scale) / scale);
    int64_t i;
    const double rounded = nearbyint(num * scale) / scale;
    return j_whole(of, &i) && digits >= 0 ? j_int(i) : j_float(rounded);
}

/* ---- lists ---------------------------------------------------------------------------------- */

static JVal
filter_length(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return j_int(j_length(j, of));
}

static JVal
filter_default(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *otherwise = j_arg(args, 0, "default_value");
    const bool lacks = flag(j, args, 1, "boolean") ? !j_true(j, of) : of.kind == JV_undefined;
    if (!lacks)
        return of;
    return otherwise ? *otherwise : j_text("");
}

static JVal
filter_first(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JList *list = j_items(j, of);
    return list && list->count ? list->items[0] : j_undefined("there is no first item");
}

static JVal
filter_last(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JList *list = j_items(j, of);
    return list && list->count ? list->items[list->count - 1]
                               : j_undefined("there is no last item");
}

static JVal
listed(Jinja *j, const JList *list, JKind kind)
{
    const JVal out = j_list(j, kind);
    for (int i = 0; list && i < list->count && !j->failed; i++)
        j_push(j, out.list, list->items[i]);
    return out;
}

static JVal
filter_list(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return listed(j, j_items(j, of), JV_list);
}

static JVal
filter_reverse(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    const JList *list = j_items(j, of);
    StrBuf text = {0};
    const JVal out = j_list(j, JV_iter);
    for (int i = list ? list->count - 1 : -1; i >= 0 && !j->failed; i--) {
        if (of.kind == JV_text)
            sb_putn(&text, list->items[i].text, list->items[i].len);
        else
            j_push(j, out.list, list->items[i]);
    }
    return of.kind == JV_text ? j_finish(j, &text) : out;
}

static JVal
pair(Jinja *j, JVal a, JVal b)
{
    const JVal both = j_list(j, JV_tuple);
    j_push(j, both.list, a);
    j_push(j, both.list, b);
    return both;
}

static JVal
pairs(Jinja *j, const JDict *dict, JKind kind)
{
    const JVal out = j_list(j, kind);
    for (int i = 0; i < dict->count && !j->failed; i++)
        j_push(j, out.list, pair(j, dict->keys[i], dict->values[i]));
    return out;
}

static JVal
filter_items(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    if (of.kind == JV_undefined)
        return j_list(j, JV_iter);
    if (of.kind != JV_dict)
        return j_fail(j, "items wants a dict, not a %s", j_type(of));
    return pairs(j, of.dict, JV_iter);
}

/* ---- order ---------------------------------------------------------------------------------- */

/* Texts compare without case unless it is asked for. */
static JVal
sort_key(Jinja *j, JVal item, const JVal *path, bool cased)
{
    const JVal key = path ? by_path(j, item, *path) : item;
    return key.kind == JV_text && !cased ? jt_case(j, key, JT_lower) : key;
}

/* Merges two sorted halves; equal ones keep their order. */
static void
merge(Jinja *j, JVal *items, JVal *keys, JVal *spare, int count, bool reverse)
{
    if (count < 2 || !j_step(j, count))
        return;
    const int half = count / 2;
    merge(j, items, keys, spare, half, reverse);
    merge(j, items + half, keys + half, spare, count - half, reverse);
    int a = 0, b = half, n = 0;
    while (a < half || b < count) {
        bool left = b == count;
        if (a < half && b < count) {
            const int order = j_order(j, keys[a], keys[b], 0);
            left = reverse ? order >= 0 : order <= 0;
        }
        const int from = left ? a++ : b++;
        spare[2 * n] = items[from];
        spare[2 * n++ + 1] = keys[from];
    }
    for (int i = 0; i < count; i++) {
        items[i] = spare[2 * i];
        keys[i] = spare[2 * i + 1];
    }
}

static JVal
sorted(Jinja *j, JVal list, const JVal *path, bool cased, bool reverse)
{
    const size_t count = (size_t)list.list->count;
    JVal *keys = j_alloc(j, count + 1, sizeof *keys),
         *spare = j_alloc(j, 2 * count + 1, sizeof *spare);
    for (size_t i = 0; i < count && !j->failed; i++)
        keys[i] = sort_key(j, list.list->items[i], path, cased);
    if (!j->failed)
        merge(j, list.list->items, keys, spare, (int)count, reverse);
    return list;
}

static JVal
filter_sort(Jinja *j, JVal of, const JArgs *args)
{
    const JVal list = listed(j, j_items(j, of), JV_list);
    const JVal *path = j_arg(args, 2, "attribute");
    if (path && path->kind == JV_none)
        path = NULL;
    return sorted(j, list, path, flag(j, args, 1, "case_sensitive"), flag(j, args, 0, "reverse"));
}

static JVal
filter_dictsort(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *by = j_arg(args, 1, "by");
    const JVal place = j_int(by && j_is_text(*by, "value"));
    if (of.kind != JV_dict)
        return of.kind == JV_undefined ? j_fail(j, "%s", of.text)
                                       : j_fail(j, "dictsort wants a dict, not a %s", j_type(of));
    return sorted(j, pairs(j, of.dict, JV_list), &place, flag(j, args, 0, "case_sensitive"),
                  flag(j, args, 2, "reverse"));
}

static JVal
extreme(Jinja *j, JVal of, const JArgs *args, bool most)
{
    const JList *list = j_items(j, of);
    const JVal *path = j_arg(args, 1, "attribute");
    const bool cased = flag(j, args, 0, "case_sensitive");
    JVal best = j_undefined("there is no item, of an empty list"), best_key = best;
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        const JVal key = sort_key(j, list->items[i], path, cased);
        const int order = i ? j_order(j, key, best_key, 0) : 0;
        if (i == 0 || (most ? order > 0 : order < 0)) {
            best = list->items[i];
            best_key = key;
        }
    }
    return best;
}

static JVal
filter_max(Jinja *j, JVal of, const JArgs *args)
{
    return extreme(j, of, args, true);
}

static JVal
filter_min(Jinja *j, JVal of, const JArgs *args)
{
    return extreme(j, of, args, false);
}

static JVal
filter_sum(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *path = j_arg(args, 0, "attribute"), *start = j_arg(args, 1, "start");
    const JList *list = j_items(j, of);
    JVal sum = start ? *start : j_int(0);
    for (int i = 0; list && i < list->count && !j->failed; i++)
        sum = j_binary(j, JO_add, sum, path ? by_path(j, list->items[i], *path) : list->items[i]);
    return sum;
}

static JVal
filter_unique(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *path = j_arg(args, 1, "attribute");
    const bool cased = flag(j, args, 0, "case_sensitive");
    const JList *list = j_items(j, of);
    const JVal out = j_list(j, JV_iter), seen = j_dict(j);
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        const JVal key = sort_key(j, list->items[i], path, cased);
        if (j_dict_find(j, seen.dict, key))
            continue;
        j_dict_set(j, seen.dict, key, j_none());
        j_push(j, out.list, list->items[i]);
    }
    return out;
}

static JVal
filter_batch(Jinja *j, JVal of, const JArgs *args)
{
    const int64_t size = whole(j, args, 0, "linecount", 0);
    const JVal *fill = j_arg(args, 1, "fill_with"), out = j_list(j, JV_iter);
    const JList *list = j_items(j, of);
    JVal part = j_list(j, JV_list);
    if (size < 1)
        return j_fail(j, "batch wants a size of at least 1");
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        if (part.list->count == size) {
            j_push(j, out.list, part);
            part = j_list(j, JV_list);
        }
        j_push(j, part.list, list->items[i]);
    }
    while (fill && fill->kind != JV_none && part.list->count && part.list->count < size &&
           !j->failed)
        j_push(j, part.list, *fill);
    if (part.list->count)
        j_push(j, out.list, part);
    return out;
}

/* ---- choosing ------------------------------------------------------------------------------- */

static JArgs
behind(const JArgs *args, int count)
{
    JArgs rest = *args;
    rest.pos += count < args->npos ? count : args->npos;
    rest.npos -= count < args->npos ? count : args->npos;
    return rest;
}

static JVal
filter_map(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *path = j_arg(args, -1, "attribute"), *otherwise = j_arg(args, -1, "default");
    const JVal out = j_list(j, JV_iter);
    const int row = !path && args->npos && args->pos[0].kind == JV_text
                        ? jinja_filter_row(j_copy(j, args->pos[0].text, args->pos[0].len).text)
                        : -1;
    const JArgs rest = behind(args, 1);
    const JList *list = j_true(j, of) ? j_items(j, of) : NULL; /* none has no items, here */
    if (!path && row < 0)
        return j_fail(j, "map wants the name of a filter, or attribute=NAME");
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        JVal item =
            path ? by_path(j, list->items[i], *path) : j_filter(j, row, list->items[i], &rest);
        if (path && otherwise && item.kind == JV_undefined)
            item = *otherwise;
        j_push(j, out.list, item);
    }
    return out;
}

/* Of select and its kin: items, or those with an attribute, that a test takes or does not. */
static JVal
chosen(Jinja *j, JVal of, const JArgs *args, bool attribute, bool wanted)
{
    const JVal out = j_list(j, JV_iter);
    const JVal *path = attribute ? j_arg(args, 0, NULL) : NULL;
    const JVal *test = j_arg(args, attribute, NULL);
    const JArgs rest = behind(args, attribute + 1);
    int row = -1;
    if (attribute && !path)
        return j_fail(j, "the name of an attribute is wanted");
    if (test) {
        if (test->kind == JV_text)
            row = jinja_test_row(j_copy(j, test->text, test->len).text);
        if (row < 0)
            return j_fail(j, "there is no such test");
    }
    const JList *list = j_true(j, of) ? j_items(j, of) : NULL;
    for (int i = 0; list && i < list->count && !j->failed; i++) {
        const JVal v = path ? by_path(j, list->items[i], *path) : list->items[i];
        const bool is = test ? j_test(j, row, v, &rest) : j_true(j, v);
        if (is == wanted)
            j_push(j, out.list, list->items[i]);
    }
    return out;
}

static JVal
filter_select(Jinja *j, JVal of, const JArgs *args)
{
    return chosen(j, of, args, false, true);
}

static JVal
filter_reject(Jinja *j, JVal of, const JArgs *args)
{
    return chosen(j, of, args, false, false);
}

static JVal
filter_selectattr(Jinja *j, JVal of, const JArgs *args)
{
    return chosen(j, of, args, true, true);
}

static JVal
filter_rejectattr(Jinja *j, JVal of, const JArgs *args)
{
    return chosen(j, of, args, true, false);
}

static JVal
filter_attr(Jinja *j, JVal of, const JArgs *args)
{
    const JVal *name = j_arg(args, 0, "name");
    if (!name || name->kind != JV_text)
        return j_fail(j, "attr wants a name");
    const JVal found = j_method(j, of, *name);
    return found.kind == JV_undefined && found.text == NULL
               ? j_undefined("there is no such attribute")
               : found;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static JVal
filter_tojson(Jinja *j, JVal of, const JArgs *args)
{
    return j_tojson(j, of, args);
}

static JVal
filter_from_json(Jinja *j, JVal of, const JArgs *args)
{
    (void)args;
    return of.kind == JV_text ? j_fromjson(j, of)
                              : j_fail(j, "from_json wants a text, not a %s", j_type(of));
}
