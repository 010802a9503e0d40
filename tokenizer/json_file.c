/* tokenizer/json_file.c -- see json_file.h.
 *
 * json-c keeps no positions, and a vocabulary has too many values to look all of them up; so a
 * fault walks the text again to the value it is about. That walk only ever sees text that json-c
 * has accepted: it need not check the syntax, only stay inside the text. */
#include "tokenizer/json_file.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_FAULTS = 20, MAX_DEPTH = 32, MAX_SHOWN = 60 };

/* ---- positions ------------------------------------------------------------------------------- */

SrcLoc
json_loc(JsonFile *file, const char *at, size_t span)
{
    const Source *source = file->source;
    if (!file->line_start || at < file->line_start) {
        file->line_start = source->text;
        file->line = 1;
    }
    const char *newline;
    while ((newline = memchr(file->line_start, '\n', (size_t)(at - file->line_start))) != NULL) {
        file->line_start = newline + 1;
        file->line++;
    }
    return (SrcLoc){source, file->line, (int)(at - file->line_start) + 1, (int)span};
}

const char *
json_skip_space(const char *at, const char *end)
{
    while (at < end && *at && strchr(" \t\r\n", *at))
        at++;
    return at;
}

static const char *
skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : end;
}

/* A number or a word ends where its container goes on; everything else ends itself. */
const char *
json_skip_value(const char *at, const char *end)
{
    int depth = 0;
    do {
        const char c = at < end ? *at : '}';
        if (depth == 0 && strchr(",}] \t\r\n", c))
            return at;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        at = c == '"' ? skip_string(at, end) : at + 1;
        if (depth == 0 && strchr("\"}]", c))
            return at;
    } while (at < end);
    return end;
}

/* Behind a comma, a colon or a bracket and the space around it. */
static const char *
skip_mark(const char *at, const char *end)
{
    at = json_skip_space(at, end);
    return json_skip_space(at + (at < end), end);
}

/* Whether a string of the text, unescaped, is key. */
static bool
string_is(const char *from, const char *to, const char *key)
{
    json_tokener *parser = json_tokener_new();
    if (!parser)
        die_no_memory(0);
    json_object *text = json_tokener_parse_ex(parser, from, (int)(to - from));
    const bool same = json_object_is_type(text, json_type_string) &&
                      strcmp(json_object_get_string(text), key) == 0;
    json_object_put(text);
    json_tokener_free(parser);
    return same;
}

/* The value of key in the object at `at`, the last of several as in json-c; the object where it has
 * no such key. */
static const char *
enter_key(const char *at, const char *end, const char *key)
{
    const char *found = at;
    at = skip_mark(at, end);
    while (at < end && *at == '"') {
        const char *value = skip_string(at, end);
        const bool same = string_is(at, value, key);
        value = skip_mark(value, end);
        if (same)
            found = value;
        at = skip_mark(json_skip_value(value, end), end);
    }
    return found;
}

static const char *
walk_to(const JsonFile *file, const JsonAt *at)
{
    const char *text = file->source->text, *end = text + file->source->len;
    if (!at->up)
        return json_skip_space(text, end);
    const char *from = walk_to(file, at->up);
    if (!at->there)
        return from;
    if (at->key)
        return enter_key(from, end, at->key);
    from = skip_mark(from, end);
    for (size_t i = 0; i < at->index && from < end; i++)
        from = skip_mark(json_skip_value(from, end), end);
    return from;
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Bytes of a text to show: whole characters, at most MAX_SHOWN bytes. */
static int
shown(const char *text)
{
    const size_t len = strlen(text);
    size_t at = len < MAX_SHOWN ? len : MAX_SHOWN;
    while (at < len && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return (int)at;
}

/* model.vocab["the"], added_tokens[3].id */
static void
put_path(StrBuf *out, const JsonAt *at)
{
    if (!at->up) {
        sb_puts(out, "the file");
        return;
    }
    if (at->up->up)
        put_path(out, at->up);
    if (!at->key)
        sb_printf(out, "[%zu]", at->index);
    else if (strspn(at->key, "abcdefghijklmnopqrstuvwxyz_") == strlen(at->key))
        sb_printf(out, "%s%.*s", at->up->up ? "." : "", shown(at->key), at->key);
    else
        sb_printf(out, "[\"%.*s\"]", shown(at->key), at->key);
}

static bool
report(JsonFile *file, SrcLoc loc, const char *text)
{
    file->faults++;
    if (file->optional)
        diag_note(file->diag, loc, "%s; it is not used", text);
    else
        diag_error(file->diag, loc, "%s", text);
    return false;
}

static void
put_sentence(StrBuf *out, const JsonAt *at, const char *fmt, va_list args)
{
    put_path(out, at);
    sb_puts(out, " ");
    sb_vprintf(out, fmt, args);
}

void
json_note(JsonFile *file, const JsonAt *at, const char *fmt, ...)
{
    StrBuf text = {0};
    va_list args;
    va_start(args, fmt);
    put_sentence(&text, at, fmt, args);
    va_end(args);
    diag_note(file->diag, json_loc(file, walk_to(file, at), 1), "%s", sb_text(&text));
    sb_free(&text);
}

bool
json_fault(JsonFile *file, const JsonAt *at, const char *fmt, ...)
{
    StrBuf text = {0};
    va_list args;
    va_start(args, fmt);
    put_sentence(&text, at, fmt, args);
    va_end(args);
    report(file, json_loc(file, walk_to(file, at), 1), sb_text(&text));
    sb_free(&text);
    return false;
}

bool
json_full(const JsonFile *file)
{
    return file->faults >= MAX_FAULTS;
}

const char *
json_words(JsonFile *file, const JsonAt *at)
{
    if (!at->there)
        return "missing";
    switch (json_object_get_type(at->value)) {
    case json_type_null:
        return "null";
    case json_type_array:
        return "an array";
    case json_type_object:
        return "an object";
    case json_type_boolean:
    case json_type_string:
    case json_type_int:
    case json_type_double:
        break;
    }
    const char *text = json_object_get_string(at->value);
    const char *quote = json_object_is_type(at->value, json_type_string) ? "\"" : "";
    return arena_printf(file->arena, "%s%.*s%s", quote, shown(text), text, quote);
}

/* ---- parsing --------------------------------------------------------------------------------- */

static bool
syntax_fault(JsonFile *file, const char *at, const char *what)
{
    return report(file, json_loc(file, at, 1), what);
}

/* Value of the \uHHHH at `at`, or -1. */
static int
escaped_unit(const char *at, const char *end)
{
    int unit = 0;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
        if (!digit)
            return -1;
        unit = unit * 16 + (int)((digit - digits) & 15);
    }
    return unit;
}

/* What is wrong with the escape at `at`; NULL: nothing. *len becomes its length. json-c would cut
 * object keys at U+0000, so that different keys become one, turn half a pair into U+FFFD, and so do
 * (0.16) whole pairs whose code point ends in D800 to DFFF. */
static const char *
escape_fault(const char *at, const char *end, size_t *len)
{
    const int unit = escaped_unit(at, end);
    *len = unit < 0 ? 2 : 6;
    if (unit == 0)
        return "\\u0000 is in no token of a tokenizer";
    if (unit < 0xD800 || unit > 0xDFFF)
        return NULL;
    const int low = escaped_unit(at + 6, end);
    *len = 12;
    if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return "half a surrogate pair";
    const int point = (unit & 0x3FF) << 10 | (low & 0x3FF); /* less 0x10000 */
    return (point & 0xF800) == 0xD800 ? "json-c misreads this escape: write the character itself"
                                      : NULL;
}

static bool
check_escapes(JsonFile *file)
{
    const char *text = file->source->text, *end = text + file->source->len;
    for (const char *at = memchr(text, '\\', file->source->len); at && at < end;) {
        size_t len = 0;
        const char *what = escape_fault(at, end, &len);
        if (what)
            return syntax_fault(file, at, what);
        at = len < (size_t)(end - at) ? memchr(at + len, '\\', (size_t)(end - at) - len) : NULL;
    }
    return true;
}

bool
json_file_parse(JsonFile *file, json_object **out)
{
    const Source *s = file->source;
    const char *nul = memchr(s->text, '\0', s->len);
    size_t bad = 0;
    *out = NULL;
    if (s->len >= INT32_MAX)
        return syntax_fault(file, s->text, "the file is larger than 2 GiB");
    if (!utf8_valid(s->text, s->len, &bad))
        return syntax_fault(file, s->text + bad, "not UTF-8: no character has this byte here");
    if (nul)
        return syntax_fault(file, nul, "this is not JSON: a byte 0");
    if (!file->lenient && !check_escapes(file))
        return false;
    json_tokener *parser = json_tokener_new_ex(MAX_DEPTH);
    if (!parser)
        die_no_memory(0);
    json_tokener_set_flags(parser, file->lenient ? 0 : JSON_TOKENER_STRICT);
    /* With the terminating NUL: it tells json-c that a number at the end is complete. */
    *out = json_tokener_parse_ex(parser, s->text, (int)s->len + 1);
    const enum json_tokener_error error = json_tokener_get_error(parser);
    const size_t parsed = json_tokener_get_parse_end(parser);
    json_tokener_free(parser);
    const char *end = s->text + s->len, *rest = s->text + (parsed < s->len ? parsed : s->len);
    if (error == json_tokener_success && json_skip_space(rest, end) == end)
        return true;
    json_object_put(*out);
    *out = NULL;
    if (error == json_tokener_success)
        return syntax_fault(file, json_skip_space(rest, end),
                            "this is not JSON: text follows the value");
    if (error == json_tokener_error_depth)
        return syntax_fault(file, rest, "nested too deeply: such a file has a few levels");
    if (error == json_tokener_continue || error == json_tokener_error_parse_eof)
        return syntax_fault(file, rest, "this is not JSON: it ends too early");
    return syntax_fault(
        file, rest,
        arena_printf(file->arena, "this is not JSON: %s", json_tokener_error_desc(error)));
}

/* ---- reading --------------------------------------------------------------------------------- */

JsonAt
json_key(const JsonAt *up, const char *key)
{
    JsonAt at = {.up = up, .key = key};
    if (json_object_is_type(up->value, json_type_object))
        at.there = json_object_object_get_ex(up->value, key, &at.value);
    return at;
}

JsonAt
json_item(const JsonAt *up, size_t index)
{
    return (JsonAt){.up = up,
                    .index = index,
                    .there = true,
                    .value = json_object_array_get_idx(up->value, index)};
}

bool
json_is_text(const JsonAt *at, const char *text)
{
    return json_object_is_type(at->value, json_type_string) &&
           strcmp(json_object_get_string(at->value), text) == 0;
}

static bool
want_type(JsonFile *file, const JsonAt *at, json_type type, const char *name)
{
    if (at->value && json_object_is_type(at->value, type))
        return true;
    return json_fault(file, at, "is %s, expected %s", json_words(file, at), name);
}

bool
json_want_object(JsonFile *file, const JsonAt *at)
{
    return want_type(file, at, json_type_object, "an object");
}

bool
json_want_array(JsonFile *file, const JsonAt *at, size_t *count)
{
    *count = 0;
    if (!want_type(file, at, json_type_array, "an array"))
        return false;
    *count = json_object_array_length(at->value);
    return true;
}

bool
json_want_text(JsonFile *file, const JsonAt *at, Span *out)
{
    if (!want_type(file, at, json_type_string, "a string"))
        return false;
    out->text = json_object_get_string(at->value);
    out->len = (size_t)json_object_get_string_len(at->value);
    return true;
}

bool
json_want_int(JsonFile *file, const JsonAt *at, int64_t min, int64_t max, int64_t *out)
{
    if (!want_type(file, at, json_type_int, "an integer"))
        return false;
    *out = json_object_get_int64(at->value);
    if (*out >= min && *out <= max)
        return true;
    return json_fault(file, at, "is %s, expected %" PRId64 " to %" PRId64, json_words(file, at),
                      min, max);
}

bool
json_want_bool(JsonFile *file, const JsonAt *at, bool *out)
{
    if (!want_type(file, at, json_type_boolean, "true or false"))
        return false;
    *out = json_object_get_boolean(at->value);
    return true;
}

bool
json_bool_or(JsonFile *file, const JsonAt *at, bool otherwise, bool *out)
{
    *out = otherwise;
    return !at->there || json_want_bool(file, at, out);
}
