/* chat/jinja_json.c -- values as JSON text, as Python's json.dumps writes it, and back. */
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "chat/jinja.h"

enum { MOST_DEPTH = 200 };

typedef struct {
    Jinja *j;
    StrBuf out;
    bool ascii, sort;
    const char *indent; /* NULL: one line */
    JVal comma, colon;
} Writer;

static void
put_unit(StrBuf *out, int32_t unit)
{
    sb_printf(out, "\\u%04" PRIx32, (uint32_t)unit);
}

static void
put_string(Writer *w, JVal text)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    sb_puts(&w->out, "\"");
    for (size_t at = 0, step; at < text.len; at += step) {
        step = jt_step(text.text + at, text.len - at);
        const char c = text.text[at];
        const char *known = c ? memchr(from, c, sizeof from - 1) : NULL;
        const int32_t code = jt_code(text.text + at, step);
        if (known)
            sb_printf(&w->out, "\\%c", to[known - from]);
        else if (code < 0x20 || (code >= 0x7F && w->ascii && code < 0x10000))
            code == 0x7F ? sb_putn(&w->out, &c, 1) : put_unit(&w->out, code);
        else if (code >= 0x10000 && w->ascii) {
            put_unit(&w->out, 0xD800 + ((code - 0x10000) >> 10));
            put_unit(&w->out, 0xDC00 + ((code - 0x10000) & 0x3FF));
        } else
            sb_putn(&w->out, text.text + at, step);
    }
    sb_puts(&w->out, "\"");
}

static void
put_line(Writer *w, int depth)
{
    if (!w->indent)
        return;
    sb_puts(&w->out, "\n");
    for (int i = 0; i < depth; i++)
        sb_puts(&w->out, w->indent);
}

static void put_value(Writer *w, JVal v, int depth);

static void
put_list(Writer *w, const JList *list, int depth)
{
    sb_puts(&w->out, "[");
    for (int i = 0; i < list->count && !w->j->failed; i++) {
        if (i)
            sb_putn(&w->out, w->comma.text, w->comma.len);
        put_line(w, depth + 1);
        put_value(w, list->items[i], depth + 1);
    }
    if (list->count)
        put_line(w, depth);
    sb_puts(&w->out, "]");
}

static void
put_float(Writer *w, double num)
{
    if (isnan(num) || isinf(num))
        sb_puts(&w->out, isnan(num) ? "NaN" : num < 0 ? "-Infinity" : "Infinity");
    else
        j_put_float(&w->out, num);
}

static void
put_key(Writer *w, JVal key)
{
    if (key.kind == JV_text) {
        put_string(w, key);
        return;
    }
    if (key.kind != JV_int && key.kind != JV_float && key.kind != JV_bool && key.kind != JV_none) {
        j_fail(w->j, "a %s cannot be a key in JSON", j_type(key));
        return;
    }
    sb_puts(&w->out, "\"");
    put_value(w, key, 0);
    sb_puts(&w->out, "\"");
}

/* Which key is the least of those that are not written; keys are texts. */
static int
next_sorted(Writer *w, const JDict *dict, const bool *written)
{
    int least = -1;
    for (int i = 0; i < dict->count && j_step(w->j, 1); i++)
        if (!written[i] && (least < 0 || j_order(w->j, dict->keys[i], dict->keys[least], 0) < 0))
            least = i;
    return least;
}

static void
put_dict(Writer *w, const JDict *dict, int depth)
{
    bool *written = w->sort ? j_alloc(w->j, (size_t)dict->count + 1, sizeof *written) : NULL;
    sb_puts(&w->out, "{");
    for (int i = 0; i < dict->count && !w->j->failed; i++) {
        const int at = w->sort ? next_sorted(w, dict, written) : i;
        if (at < 0 || w->j->failed)
            break;
        if (written)
            written[at] = true;
        if (i)
            sb_putn(&w->out, w->comma.text, w->comma.len);
        put_line(w, depth + 1);
        put_key(w, dict->keys[at]);
        sb_putn(&w->out, w->colon.text, w->colon.len);
        put_value(w, dict->values[at], depth + 1);
    }
    if (dict->count)
        put_line(w, depth);
    sb_puts(&w->out, "}");
}

static void
put_value(Writer *w, JVal v, int depth)
{
    if (!j_step(w->j, 1 + (v.kind == JV_text ? (int64_t)(v.len / 64) : 0)))
        return;
    if (depth > MOST_DEPTH || w->out.len > w->j->most_bytes) {
        j_fail(w->j, "tojson: the value is too large, or nested more than %d deep", MOST_DEPTH);
        return;
    }
    switch (v.kind) {
    case JV_none:
        sb_puts(&w->out, "null");
        return;
    case JV_bool:
        sb_puts(&w->out, v.b ? "true" : "false");
        return;
    case JV_int:
        sb_printf(&w->out, "%" PRId64, v.i);
        return;
    case JV_float:
        put_float(w, v.num);
        return;
    case JV_text:
        put_string(w, v);
        return;
    case JV_list:
    case JV_tuple:
        put_list(w, v.list, depth);
        return;
    case JV_dict:
        put_dict(w, v.dict, depth);
        return;
    case JV_undefined:
    case JV_view:
    case JV_iter:
    case JV_namespace:
    case JV_macro:
    case JV_method:
    case JV_function:
    case JV_loop:
    case JV_COUNT:
        j_fail(w->j, "a %s cannot be written as JSON", j_type(v));
        return;
    }
}

static void
read_separators(Writer *w, const JArgs *args)
{
    const JVal *given = j_arg(args, 2, "separators");
    w->comma = j_text(w->indent ? "," : ", ");
    w->colon = j_text(": ");
    if (!given || given->kind == JV_none)
        return;
    if ((given->kind != JV_tuple && given->kind != JV_list) || given->list->count != 2 ||
        given->list->items[0].kind != JV_text || given->list->items[1].kind != JV_text) {
        j_fail(w->j, "tojson: separators are two texts");
        return;
    }
    w->comma = given->list->items[0];
    w->colon = given->list->items[1];
}

static void
read_indent(Writer *w, const JArgs *args)
{
    enum { MOST = 100 };
    static const char spaces[MOST + 1] =
        "                                                                                        "
        "            ";
    const JVal *given = j_arg(args, 1, "indent");
    int64_t width;
    if (!given || given->kind == JV_none)
        return;
    if (given->kind == JV_text) {
        w->indent = j_copy(w->j, given->text, given->len).text;
        return;
    }
    if (!j_whole(*given, &width) || width > MOST) {
        j_fail(w->j, "tojson: indent is a number of spaces up to %d", MOST);
        return;
    }
    w->indent = spaces + MOST - (width < 0 ? 0 : width);
}

JVal
j_tojson(Jinja *j, JVal of, const JArgs *args)
{
    Writer w = {.j = j};
    const JVal *ascii = j_arg(args, 0, "ensure_ascii"), *sort = j_arg(args, 3, "sort_keys");
    w.ascii = ascii && j_true(j, *ascii);
    w.sort = sort && j_true(j, *sort);
    read_indent(&w, args);
    read_separators(&w, args);
    if (!j->failed)
        put_value(&w, of, 0);
    return j_finish(j, &w.out);
}

JVal
j_fromjson(Jinja *j, JVal text)
{
    json_tokener *tokener = json_tokener_new_ex(MOST_DEPTH);
    if (!tokener)
        die_no_memory(0);
    const bool fits = text.len < INT32_MAX && j_step(j, (int64_t)text.len / 8);
    struct json_object *json =
        fits ? json_tokener_parse_ex(tokener, text.text, (int)text.len) : NULL;
    enum json_tokener_error error = json_tokener_get_error(tokener);
    if (error == json_tokener_continue) { /* a number ends where the text does */
        json = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
    }
    JVal v = error == json_tokener_success
                 ? j_from_json(j, json, true, 0)
                 : j_fail(j, "from_json: %s", json_tokener_error_desc(error));
    json_tokener_free(tokener);
    json_object_put(json);
    return v;
}
