/* chat/jinja_value.c -- values of a template: how they are made, compared and shown. */
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/jinja.h"

enum { MOST_DEPTH = 200 }; /* of values inside values */

static const char *const types[JV_COUNT] = {
#define JINJA_KIND(id, type) [JV_##id] = type,
#include "chat/jinja_kinds.def"
#undef JINJA_KIND
};

const char *
j_type(JVal v)
{
    return types[v.kind];
}

/* ---- making --------------------------------------------------------------------------------- */

JVal
j_undefined(const char *why)
{
    return (JVal){.kind = JV_undefined, .text = why};
}

JVal
j_none(void)
{
    return (JVal){.kind = JV_none};
}

JVal
j_bool(bool b)
{
    return (JVal){.kind = JV_bool, .b = b};
}

JVal
j_int(int64_t i)
{
    return (JVal){.kind = JV_int, .i = i};
}

JVal
j_float(double num)
{
    return (JVal){.kind = JV_float, .num = num};
}

JVal
j_textn(const char *text, size_t len)
{
    return (JVal){.kind = JV_text, .text = text, .len = len};
}

JVal
j_text(const char *text)
{
    return j_textn(text, strlen(text));
}

JVal
j_copy(Jinja *j, const char *text, size_t len)
{
    char *copy = j_alloc(j, len + 1, 1);
    if (!j->failed)
        memcpy(copy, text, len);
    return j->failed ? j_textn("", 0) : j_textn(copy, len);
}

JVal
j_finish(Jinja *j, StrBuf *sb)
{
    const JVal v = j_copy(j, sb_text(sb), sb->len);
    sb_free(sb);
    return v;
}

JVal
j_list(Jinja *j, JKind kind)
{
    return (JVal){.kind = kind, .list = j_alloc(j, 1, sizeof(JList))};
}

void
j_push(Jinja *j, JList *list, JVal item)
{
    if (!j_step(j, 1))
        return;
    if (list->count == list->cap) {
        const int cap = list->cap ? 2 * list->cap : 4;
        JVal *items = j_alloc(j, (size_t)cap, sizeof *items);
        if (j->failed)
            return;
        if (list->count)
            memcpy(items, list->items, (size_t)list->count * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = item;
}

JVal
j_dict(Jinja *j)
{
    return (JVal){.kind = JV_dict, .dict = j_alloc(j, 1, sizeof(JDict))};
}

JVal *
j_dict_find(Jinja *j, const JDict *dict, JVal key)
{
    if (!j_step(j, 1 + dict->count / 8))
        return NULL;
    for (int i = 0; i < dict->count; i++)
        if (j_equal(j, dict->keys[i], key, 0))
            return &dict->values[i];
    return NULL;
}

static void
dict_push(Jinja *j, JDict *dict, JVal key, JVal value)
{
    if (!j_step(j, 1))
        return;
    if (dict->count == dict->cap) {
        const int cap = dict->cap ? 2 * dict->cap : 4;
        JVal *keys = j_alloc(j, (size_t)cap, sizeof *keys);
        JVal *values = j_alloc(j, (size_t)cap, sizeof *values);
        if (j->failed)
            return;
        if (dict->count) {
            memcpy(keys, dict->keys, (size_t)dict->count * sizeof *keys);
            memcpy(values, dict->values, (size_t)dict->count * sizeof *values);
        }
        dict->keys = keys;
        dict->values = values;
        dict->cap = cap;
    }
    dict->keys[dict->count] = key;
    dict->values[dict->count++] = value;
}

static bool
is_hashable(JVal key)
{
    return key.kind != JV_list && key.kind != JV_dict;
}

void
j_dict_set(Jinja *j, JDict *dict, JVal key, JVal value)
{
    if (!is_hashable(key)) {
        j_fail(j, "a %s cannot be the key of a dict", j_type(key));
        return;
    }
    JVal *old = j_dict_find(j, dict, key);
    if (old)
        *old = value;
    else
        dict_push(j, dict, key, value);
}

static JVal
json_text(Jinja *j, const char *text, size_t len, bool copies)
{
    return copies ? j_copy(j, text, len) : j_textn(text, len);
}

/* Keys of a JSON object differ: they need no look-up. */
JVal
j_from_json(Jinja *j, struct json_object *json, bool copies, int depth)
{
    if (depth > MOST_DEPTH)
        return j_fail(j, "JSON is nested more than %d deep", MOST_DEPTH);
    switch (json_object_get_type(json)) {
    case json_type_null:
        return j_none();
    case json_type_boolean:
        return j_bool(json_object_get_boolean(json));
    case json_type_double:
        return j_float(json_object_get_double(json));
    case json_type_int:
        return j_int(json_object_get_int64(json));
    case json_type_string:
        return json_text(j, json_object_get_string(json), (size_t)json_object_get_string_len(json),
                         copies);
    case json_type_array: {
        const JVal list = j_list(j, JV_list);
        for (size_t i = 0; i < json_object_array_length(json) && !j->failed; i++)
            j_push(j, list.list,
                   j_from_json(j, json_object_array_get_idx(json, i), copies, depth + 1));
        return list;
    }
    case json_type_object: {
        const JVal dict = j_dict(j);
        json_object_object_foreach(json, key, value)
        {
            if (!j->failed)
                dict_push(j, dict.dict, json_text(j, key, strlen(key), copies),
                          j_from_json(j, value, copies, depth + 1));
        }
        return dict;
    }
    }
    return j_none();
}

/* ---- asking --------------------------------------------------------------------------------- */

bool
j_is_text(JVal v, const char *text)
{
    return v.kind == JV_text && v.len == strlen(text) && memcmp(v.text, text, v.len) == 0;
}

bool
j_is_listed(JVal v)
{
    return v.kind == JV_list || v.kind == JV_tuple || v.kind == JV_view || v.kind == JV_iter;
}

bool
j_whole(JVal v, int64_t *i)
{
    *i = v.kind == JV_bool ? v.b : v.i;
    return v.kind == JV_bool || v.kind == JV_int;
}

bool
j_number(JVal v, double *num)
{
    int64_t i;
    const bool whole = j_whole(v, &i);
    *num = whole ? (double)i : v.num;
    return whole || v.kind == JV_float;
}

bool
j_true(Jinja *j, JVal v)
{
    (void)j;
    switch (v.kind) {
    case JV_undefined:
    case JV_none:
        return false;
    case JV_bool:
        return v.b;
    case JV_int:
        return v.i != 0;
    case JV_float:
        return v.num != 0;
    case JV_text:
        return v.len > 0;
    case JV_list:
    case JV_tuple:
    case JV_view:
        return v.list->count > 0;
    case JV_dict:
        return v.dict->count > 0;
    case JV_iter:
    case JV_namespace:
    case JV_macro:
    case JV_method:
    case JV_function:
    case JV_loop:
    case JV_COUNT:
        return true;
    }
    return true;
}

static bool
dicts_equal(Jinja *j, const JDict *a, const JDict *b, int depth)
{
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++) {
        const JVal *other = j_dict_find(j, b, a->keys[i]);
        if (!other || !j_equal(j, a->values[i], *other, depth + 1))
            return false;
    }
    return true;
}

static bool
numbers_equal(JVal a, JVal b, bool *are)
{
    int64_t i, k;
    double x, y;
    const bool whole = j_whole(a, &i) && j_whole(b, &k);
    *are = whole || (j_number(a, &x) && j_number(b, &y));
    if (whole)
        return i == k;
    return *are && x >= y && x <= y;
}

bool
j_equal(Jinja *j, JVal a, JVal b, int depth)
{
    bool numbers;
    const bool equal = numbers_equal(a, b, &numbers);
    if (numbers)
        return equal;
    if (a.kind != b.kind || !j_step(j, 1))
        return false;
    if (depth > MOST_DEPTH)
        return j_fail(j, "values are nested more than %d deep", MOST_DEPTH), false;
    if (a.kind == JV_text)
        return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
    if (a.kind == JV_list || a.kind == JV_tuple) {
        bool same = a.list->count == b.list->count;
        for (int i = 0; i < a.list->count && same; i++)
            same = j_equal(j, a.list->items[i], b.list->items[i], depth + 1);
        return same;
    }
    if (a.kind == JV_dict)
        return dicts_equal(j, a.dict, b.dict, depth);
    if (a.kind == JV_undefined || a.kind == JV_none)
        return true;
    return a.kind == JV_function ? a.i == b.i : a.list == b.list; /* identity, not content */
}

static int
texts_order(JVal a, JVal b)
{
    const int order = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
    if (order)
        return order < 0 ? -1 : 1;
    return a.len < b.len ? -1 : a.len > b.len;
}

int
j_order(Jinja *j, JVal a, JVal b, int depth)
{
    double x, y;
    int64_t i, k;
    if (j_whole(a, &i) && j_whole(b, &k))
        return i < k ? -1 : i > k;
    if (j_number(a, &x) && j_number(b, &y))
        return x < y ? -1 : x > y;
    if (a.kind == JV_text && b.kind == JV_text)
        return texts_order(a, b);
    if (a.kind != b.kind || (a.kind != JV_list && a.kind != JV_tuple) || depth > MOST_DEPTH)
        return j_fail(j, "a %s and a %s have no order", j_type(a), j_type(b)), 0;
    for (int n = 0; n < a.list->count && n < b.list->count && !j->failed; n++)
        if (!j_equal(j, a.list->items[n], b.list->items[n], depth + 1))
            return j_order(j, a.list->items[n], b.list->items[n], depth + 1);
    return a.list->count < b.list->count ? -1 : a.list->count > b.list->count;
}

int64_t
j_length(Jinja *j, JVal v)
{
    if (v.kind == JV_undefined)
        return 0;
    if (v.kind == JV_text)
        return j_step(j, (int64_t)(v.len / 64)) ? jt_count(v.text, v.len) : 0;
    if (v.kind == JV_dict)
        return v.dict->count;
    if (j_is_listed(v) && v.kind != JV_iter)
        return v.list->count;
    return j_fail(j, "a %s has no length", j_type(v)), -1;
}

static JList *
characters(Jinja *j, JVal v)
{
    JList *list = j_list(j, JV_list).list;
    for (size_t at = 0, step; at < v.len && !j->failed; at += step) {
        step = jt_step(v.text + at, v.len - at);
        j_push(j, list, j_textn(v.text + at, step));
    }
    return list;
}

JList *
j_items(Jinja *j, JVal v)
{
    static const JList none;
    if (v.kind == JV_text)
        return characters(j, v);
    if (v.kind == JV_undefined || (v.kind == JV_iter && v.list->used)) {
        JList *empty = j_alloc(j, 1, sizeof *empty);
        *empty = none;
        return empty;
    }
    if (v.kind == JV_iter)
        v.list->used = true;
    if (j_is_listed(v))
        return v.list;
    if (v.kind != JV_dict) {
        j_fail(j, "a %s has no items to go through", j_type(v));
        return NULL;
    }
    JList *keys = j_alloc(j, 1, sizeof *keys);
    *keys = (JList){.items = v.dict->keys, .count = v.dict->count, .cap = v.dict->count};
    return keys;
}

/* ---- showing -------------------------------------------------------------------------------- */

/* As repr() of Python: the shortest digits that read back, with an exponent below 1e-4 and from
 * 1e16 on. */
void
j_put_float(StrBuf *out, double num)
{
    char digits[40];
    if (isnan(num) || isinf(num)) {
        sb_puts(out, isnan(num) ? "nan" : num < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, num);
    while (precision++ < 17 && strtod(digits, NULL) != num);
    const int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        *e = 0;
        sb_printf(out, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    const int after = precision - 1 - exponent; /* digits behind the point */
    snprintf(digits, sizeof digits, "%.*f", after > 0 ? after : 0, num);
    sb_puts(out, digits);
    if (after <= 0)
        sb_puts(out, ".0");
}

static void
put_escaped(StrBuf *out, int32_t code)
{
    if (code == '\n' || code == '\r' || code == '\t')
        sb_puts(out, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
    else if (code < 0x100)
        sb_printf(out, "\\x%02" PRIx32, (uint32_t)code);
    else
        sb_printf(out, code < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, (uint32_t)code);
}

static void
put_quoted(StrBuf *out, JVal v)
{
    const bool single = memchr(v.text, '\'', v.len) && !memchr(v.text, '"', v.len);
    const char quote = single ? '"' : '\'';
    sb_putn(out, &quote, 1);
    for (size_t at = 0, step; at < v.len; at += step) {
        step = jt_step(v.text + at, v.len - at);
        const int32_t code = jt_code(v.text + at, step);
        if (code == quote || code == '\\')
            sb_puts(out, "\\");
        if (jt_is_printable(code))
            sb_putn(out, v.text + at, step);
        else
            put_escaped(out, code);
    }
    sb_putn(out, &quote, 1);
}

static void
put_list(Jinja *j, StrBuf *out, JVal v, int depth)
{
    sb_puts(out, v.kind == JV_tuple ? "(" : v.kind == JV_view ? "dict_view([" : "[");
    for (int i = 0; i < v.list->count && !j->failed; i++) {
        sb_puts(out, i ? ", " : "");
        j_put(j, out, v.list->items[i], true, depth + 1);
    }
    if (v.kind == JV_tuple)
        sb_puts(out, v.list->count == 1 ? ",)" : ")");
    else
        sb_puts(out, v.kind == JV_view ? "])" : "]");
}

static void
put_dict(Jinja *j, StrBuf *out, const JDict *dict, int depth)
{
    sb_puts(out, "{");
    for (int i = 0; i < dict->count && !j->failed; i++) {
        sb_puts(out, i ? ", " : "");
        j_put(j, out, dict->keys[i], true, depth + 1);
        sb_puts(out, ": ");
        j_put(j, out, dict->values[i], true, depth + 1);
    }
    sb_puts(out, "}");
}

void
j_put(Jinja *j, StrBuf *out, JVal v, bool quoted, int depth)
{
    if (depth > MOST_DEPTH) {
        j_fail(j, "values are nested more than %d deep", MOST_DEPTH);
        return;
    }
    if (!j_step(j, 1 + (v.kind == JV_text ? (int64_t)(v.len / 64) : 0)))
        return;
    if (out->len > j->most_bytes) {
        j_fail(j, "a text has grown past %zu MiB", j->most_bytes >> 20);
        return;
    }
    switch (v.kind) {
    case JV_undefined:
        sb_puts(out, quoted ? "Undefined" : "");
        return;
    case JV_none:
        sb_puts(out, "None");
        return;
    case JV_bool:
        sb_puts(out, v.b ? "True" : "False");
        return;
    case JV_int:
        sb_printf(out, "%" PRId64, v.i);
        return;
    case JV_float:
        j_put_float(out, v.num);
        return;
    case JV_text:
        if (quoted)
            put_quoted(out, v);
        else
            sb_putn(out, v.text, v.len);
        return;
    case JV_list:
    case JV_tuple:
    case JV_view:
        put_list(j, out, v, depth);
        return;
    case JV_dict:
        put_dict(j, out, v.dict, depth);
        return;
    case JV_namespace:
        sb_puts(out, "<Namespace ");
        put_dict(j, out, v.dict, depth);
        sb_puts(out, ">");
        return;
    case JV_iter:
    case JV_macro:
    case JV_method:
    case JV_function:
    case JV_loop:
    case JV_COUNT:
        j_fail(j, "a %s has no text", j_type(v));
        return;
    }
}

JVal
j_str(Jinja *j, JVal v)
{
    StrBuf out = {0};
    if (v.kind == JV_text)
        return v;
    j_put(j, &out, v, false, 0);
    return j_finish(j, &out);
}

JVal
j_escape(Jinja *j, JVal v)
{
    static const struct {
        char c;
        const char *entity;
    } entities[] = {
        {'&',  "&amp;"},
        {'<',  "&lt;" },
        {'>',  "&gt;" },
        {'\'', "&#39;"},
        {'"',  "&#34;"}
    };
    StrBuf out = {0};
    JVal text = j_str(j, v);
    if (!text.markup && j_step(j, (int64_t)(text.len / 16))) {
        for (size_t i = 0; i < text.len; i++) {
            size_t e = 0;
            while (e < COUNT_OF(entities) && entities[e].c != text.text[i])
                e++;
            if (e < COUNT_OF(entities))
                sb_puts(&out, entities[e].entity);
            else
                sb_putn(&out, text.text + i, 1);
        }
        text = j_finish(j, &out);
    }
    text.markup = true;
    return text;
}
