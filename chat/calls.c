/* chat/calls.c -- calls of tools as models write them, one syntax after the other. What is not
 * whole and right in every part is no call: it stays text. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/formats.h"

enum { MOST_DEPTH = 100, MOST_CALLS = 1000 };

typedef struct {
    const char *at, *end;
} Reader;

/* ---- where a call ends ------------------------------------------------------------------------
 */

bool
call_scan(CallScan *scan, ChatSyntax syntax, char c)
{
    const bool quotes = syntax != SYNTAX_function && syntax != SYNTAX_invoke &&
                        (syntax != SYNTAX_args || scan->depth > 0);
    if (scan->quote) {
        if (scan->escaped || c == '\\')
            scan->escaped = !scan->escaped;
        else if (c == scan->quote)
            scan->quote = 0;
        return false;
    }
    if (quotes && (c == '"' || (c == '\'' && syntax == SYNTAX_python))) {
        scan->quote = c;
        return false;
    }
    const bool square = syntax != SYNTAX_args;
    if (c == '{' || (c == '[' && square)) {
        scan->depth++;
        scan->began = true;
    } else if (scan->depth > 0 && (c == '}' || (c == ']' && square))) {
        scan->depth--;
    }
    return scan->began && scan->depth == 0;
}

/* ---- lists ------------------------------------------------------------------------------------
 */

void
calls_free(ChatCallList *list)
{
    for (int i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].arguments);
    }
    free(list->items);
    *list = (ChatCallList){0};
}

static char *
copied(const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        die_no_memory(len + 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

/* Takes the arguments. False: a name is missing, or there are too many calls. */
static bool
add_call(ChatCallList *list, const char *name, size_t len, struct json_object *arguments)
{
    const bool ok = len > 0 && list->count < MOST_CALLS;
    if (ok && list->count == list->cap) {
        const int cap = list->cap ? 2 * list->cap : 4;
        ChatCall *items = realloc(list->items, (size_t)cap * sizeof *items);
        if (!items)
            die_no_memory((size_t)cap * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    if (ok) {
        const char *text = json_object_to_json_string_ext(
            arguments, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        list->items[list->count++] =
            (ChatCall){.name = copied(name, len), .arguments = copied(text, strlen(text))};
    }
    json_object_put(arguments);
    return ok;
}

/* ---- pieces of text ----------------------------------------------------------------------------
 */

static void
skip_space(Reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static bool
skip(Reader *r, const char *mark)
{
    const size_t n = strlen(mark);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, mark, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* What comes before a mark, which is passed. False: it does not come. */
static bool
up_to(Reader *r, const char *mark, Reader *before)
{
    const size_t n = strlen(mark);
    for (const char *at = r->at; (size_t)(r->end - at) >= n; at++) {
        if (memcmp(at, mark, n) != 0)
            continue;
        *before = (Reader){r->at, at};
        r->at = at + n;
        return true;
    }
    return false;
}

static size_t
left(const Reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The JSON value that comes next, which is passed. False: it is broken. */
static bool
read_json(Reader *r, struct json_object **out)
{
    *out = NULL;
    skip_space(r);
    if (left(r) == 0 || left(r) > INT32_MAX)
        return false;
    json_tokener *tokener = json_tokener_new_ex(MOST_DEPTH);
    if (!tokener)
        die_no_memory(0);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
                                        JSON_TOKENER_VALIDATE_UTF8);
    *out = json_tokener_parse_ex(tokener, r->at, (int)left(r));
    const size_t used = json_tokener_get_parse_end(tokener);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    if (error == json_tokener_continue) { /* a number ends where the text does */
        *out = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
    }
    json_tokener_free(tokener);
    r->at += used;
    if (error != json_tokener_success) {
        json_object_put(*out);
        *out = NULL;
    }
    return error == json_tokener_success;
}

/* ---- json and kin ------------------------------------------------------------------------------
 */

/* Arguments as an object: they may come as the text of one. NULL: they are something else. */
static struct json_object *
as_object(struct json_object *arguments)
{
    struct json_object *parsed = NULL;
    if (json_object_is_type(arguments, json_type_object))
        return json_object_get(arguments);
    if (!json_object_is_type(arguments, json_type_string))
        return NULL;
    const char *text = json_object_get_string(arguments);
    Reader r = {text, text + json_object_get_string_len(arguments)};
    const bool ok = read_json(&r, &parsed);
    skip_space(&r);
    if (ok && left(&r) == 0 && json_object_is_type(parsed, json_type_object))
        return parsed;
    json_object_put(parsed);
    return NULL;
}

static bool
take_object(struct json_object *call, ChatCallList *out)
{
    struct json_object *name = NULL, *given = NULL, *inner = NULL;
    if (json_object_object_get_ex(call, "function", &inner) &&
        json_object_is_type(inner, json_type_object))
        call = inner;
    if (!json_object_object_get_ex(call, "name", &name) ||
        !json_object_is_type(name, json_type_string))
        return false;
    const bool has = json_object_object_get_ex(call, "arguments", &given) ||
                     json_object_object_get_ex(call, "parameters", &given);
    struct json_object *arguments = has && given ? as_object(given) : json_object_new_object();
    return arguments && add_call(out, json_object_get_string(name),
                                 (size_t)json_object_get_string_len(name), arguments);
}

static bool
take_value(struct json_object *value, ChatCallList *out)
{
    if (json_object_is_type(value, json_type_object))
        return take_object(value, out);
    bool ok = json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0;
    for (size_t i = 0; ok && i < json_object_array_length(value); i++) {
        struct json_object *call = json_object_array_get_idx(value, i);
        ok = json_object_is_type(call, json_type_object) && take_object(call, out);
    }
    return ok;
}

static bool
parse_json(Reader *r, ChatCallList *out)
{
    bool ok = true;
    do {
        struct json_object *value = NULL;
        ok = read_json(r, &value) && take_value(value, out);
        json_object_put(value);
        skip_space(r);
        if (skip(r, ",") || skip(r, ";"))
            skip_space(r);
    } while (ok && left(r));
    return ok;
}

static bool
parse_kimi(Reader *r, ChatCallList *out)
{
    Reader id, rest;
    while (skip_space(r), left(r)) {
        struct json_object *value = NULL;
        if (!skip(r, "<|tool_call_begin|>") || !up_to(r, "<|tool_call_argument_begin|>", &id) ||
            !up_to(r, "<|tool_call_end|>", &rest))
            return false;
        skip_space(&id);
        skip(&id, "functions.");
        const char *end = id.end;
        while (end > id.at && strchr("0123456789: \n", end[-1]) && end[-1] && end[0] != ':')
            end--;
        const bool read = read_json(&rest, &value);
        skip_space(&rest);
        struct json_object *arguments = read && left(&rest) == 0 ? as_object(value) : NULL;
        json_object_put(value);
        if (!arguments || !add_call(out, id.at, (size_t)(end - id.at), arguments))
            return false;
    }
    return out->count > 0;
}

static bool
parse_args(Reader *r, ChatCallList *out)
{
    Reader name, id;
    struct json_object *value = NULL;
    if (!up_to(r, "[ARGS]", &name))
        return false;
    Reader whole = name;
    if (up_to(&whole, "[CALL_ID]", &id))
        name = id;
    skip_space(&name);
    const bool ok = read_json(r, &value);
    skip_space(r);
    struct json_object *arguments = ok && left(r) == 0 ? as_object(value) : NULL;
    json_object_put(value);
    return arguments && add_call(out, name.at, left(&name), arguments);
}

/* ---- parameters between marks ------------------------------------------------------------------
 */

/* The type of a parameter, of the tool's schema; NULL: it says none. */
static const char *
parameter_type(struct json_object *tools, Reader tool, Reader key)
{
    const size_t count =
        json_object_is_type(tools, json_type_array) ? json_object_array_length(tools) : 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *at = json_object_array_get_idx(tools, i), *name = NULL;
        json_object_object_get_ex(at, "function", &at);
        if (!json_object_object_get_ex(at, "name", &name) ||
            !json_object_is_type(name, json_type_string) ||
            (size_t)json_object_get_string_len(name) != left(&tool) ||
            memcmp(json_object_get_string(name), tool.at, left(&tool)) != 0)
            continue;
        char *property = copied(key.at, left(&key));
        struct json_object *type = NULL;
        const bool typed = json_object_object_get_ex(at, "parameters", &at) &&
                           json_object_object_get_ex(at, "properties", &at) &&
                           json_object_object_get_ex(at, property, &at) &&
                           json_object_object_get_ex(at, "type", &type) &&
                           json_object_is_type(type, json_type_string);
        free(property);
        return typed ? json_object_get_string(type) : NULL;
    }
    return NULL;
}

static struct json_object *
as_text(Reader value)
{
    return json_object_new_string_len(value.at, (int)left(&value));
}

/* A value whose text may be JSON, or True, False and None as templates write them. */
static struct json_object *
typed_value(Reader value, const char *type)
{
    static const struct {
        const char *word, *json;
    } words[] = {
        {"True",  "true" },
        {"False", "false"},
        {"None",  "null" }
    };
    struct json_object *parsed = NULL;
    Reader r = value;
    if (type && strcmp(type, "string") == 0)
        return as_text(value);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (left(&value) == strlen(words[i].word) && skip(&r, words[i].word))
            return json_tokener_parse(words[i].json);
    if (left(&value) == 4 && skip(&r, "null"))
        return NULL;
    const bool ok = read_json(&r, &parsed);
    skip_space(&r);
    if (ok && left(&r) == 0 && !json_object_is_type(parsed, json_type_string))
        return parsed;
    json_object_put(parsed);
    return as_text(value);
}

/* How a syntax with marks writes calls. */
typedef struct {
    const char *call, *named, *call_end, *key, *keyed, *key_end;
} Marks;

/* One line's end at each end of a value belongs to the marks. */
static Reader
without_lines(Reader value)
{
    if (left(&value) && *value.at == '\n')
        value.at++;
    if (left(&value) && value.end[-1] == '\n')
        value.end--;
    return value;
}

static bool
parse_parameters(Reader *r, const Marks *marks, Reader name, struct json_object *tools,
                 struct json_object *arguments)
{
    Reader key, value;
    while (skip_space(r), !skip(r, marks->call_end)) {
        if (!skip(r, marks->key) || !up_to(r, marks->keyed, &key) ||
            !up_to(r, marks->key_end, &value) || left(&key) == 0)
            return false;
        char *text = copied(key.at, left(&key));
        json_object_object_add(arguments, text,
                               typed_value(without_lines(value), parameter_type(tools, name, key)));
        free(text);
    }
    return true;
}

static bool
parse_marked(Reader *r, const Marks *marks, struct json_object *tools, ChatCallList *out)
{
    Reader name;
    while (skip_space(r), left(r)) {
        if (!skip(r, marks->call) || !up_to(r, marks->named, &name))
            return false;
        struct json_object *arguments = json_object_new_object();
        if (!parse_parameters(r, marks, name, tools, arguments)) {
            json_object_put(arguments);
            return false;
        }
        if (!add_call(out, name.at, left(&name), arguments))
            return false;
    }
    return out->count > 0;
}

/* ---- python ------------------------------------------------------------------------------------
 */

static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static Reader
word(Reader *r)
{
    Reader w = {r->at, r->at};
    while (w.end < r->end && is_word(*w.end))
        w.end++;
    r->at = w.end;
    return w;
}

static bool
python_text(Reader *r, struct json_object **out)
{
    static const char from[] = "nrtbf0", to[] = "\n\r\t\b\f";
    const char quote = *r->at++;
    StrBuf text = {0};
    while (r->at < r->end && *r->at != quote) {
        char c = *r->at++;
        if (c == '\\' && r->at < r->end) {
            const char *known = memchr(from, *r->at, sizeof from - 2);
            if (!known && !strchr("\\'\"/", *r->at))
                sb_puts(&text, "\\"); /* not an escape: it stands for itself */
            c = known ? to[known - from] : *r->at;
            r->at++;
        }
        sb_putn(&text, &c, 1);
    }
    const bool ok = r->at < r->end && utf8_valid(sb_text(&text), text.len, &(size_t){0});
    if (ok) {
        r->at++;
        *out = json_object_new_string_len(sb_text(&text), (int)text.len);
    }
    sb_free(&text);
    return ok;
}

static bool python_value(Reader *r, int depth, struct json_object **out);

/* A list or a dict: items up to `close`. */
static bool
python_items(Reader *r, int depth, char close, struct json_object *into)
{
    const char closing[] = {close, 0};
    for (bool first = true; skip_space(r), !skip(r, closing); first = false) {
        struct json_object *key = NULL, *value = NULL;
        if (!first && (!skip(r, ",") || (skip_space(r), skip(r, closing))))
            return r->at[-1] == close;
        skip_space(r);
        bool ok = true;
        if (close == '}') {
            ok = left(r) && (*r->at == '"' || *r->at == '\'') && python_text(r, &key);
            skip_space(r);
            ok = ok && skip(r, ":");
        }
        ok = ok && python_value(r, depth + 1, &value);
        if (!ok)
            json_object_put(value);
        else if (key)
            json_object_object_add(into, json_object_get_string(key), value);
        else
            json_object_array_add(into, value);
        json_object_put(key);
        if (!ok)
            return false;
    }
    return true;
}

static bool
python_value(Reader *r, int depth, struct json_object **out)
{
    *out = NULL;
    skip_space(r);
    if (left(r) == 0 || depth > MOST_DEPTH)
        return false;
    if (*r->at == '"' || *r->at == '\'')
        return python_text(r, out);
    if (skip(r, "[")) {
        *out = json_object_new_array();
        return python_items(r, depth, ']', *out);
    }
    if (skip(r, "{")) {
        *out = json_object_new_object();
        return python_items(r, depth, '}', *out);
    }
    const Reader w = word(r);
    if (left(&w) == 0)
        return false;
    if (left(&w) == 4 && (memcmp(w.at, "None", 4) == 0 || memcmp(w.at, "null", 4) == 0))
        return true;
    *out = typed_value(w, NULL);
    if (!json_object_is_type(*out, json_type_string))
        return true;
    return false; /* a name of something */
}

static bool
python_call(Reader *r, ChatCallList *out)
{
    skip_space(r);
    const Reader name = word(r);
    if (left(&name) == 0 || !skip(r, "("))
        return false;
    struct json_object *arguments = json_object_new_object();
    bool ok = true;
    for (bool first = true; ok && (skip_space(r), !skip(r, ")")); first = false) {
        struct json_object *value = NULL;
        ok = first || skip(r, ",");
        skip_space(r);
        const Reader key = word(r);
        skip_space(r);
        ok = ok && left(&key) && skip(r, "=") && python_value(r, 0, &value);
        if (!ok) {
            json_object_put(value);
            break;
        }
        char *text = copied(key.at, left(&key));
        json_object_object_add(arguments, text, value);
        free(text);
    }
    if (ok)
        return add_call(out, name.at, left(&name), arguments);
    json_object_put(arguments);
    return false;
}

static bool
parse_python(Reader *r, ChatCallList *out)
{
    skip_space(r);
    const bool listed = skip(r, "[");
    bool ok = python_call(r, out);
    while (ok && (skip_space(r), skip(r, ",")))
        ok = python_call(r, out);
    if (listed)
        ok = ok && skip(r, "]");
    skip_space(r);
    return ok && left(r) == 0;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static bool
parse(ChatSyntax syntax, Reader *r, struct json_object *tools, ChatCallList *out)
{
    static const Marks function = {"<function=",  ">", "</function>",
                                   "<parameter=", ">", "</parameter>"};
    static const Marks invoke = {"<invoke name=\"",    "\">", "</invoke>",
                                 "<parameter name=\"", "\">", "</parameter>"};
    switch (syntax) {
    case SYNTAX_none:
        return false;
    case SYNTAX_json:
    case SYNTAX_bare:
        return parse_json(r, out);
    case SYNTAX_function:
        return parse_marked(r, &function, tools, out);
    case SYNTAX_invoke:
        return parse_marked(r, &invoke, tools, out);
    case SYNTAX_python:
        return parse_python(r, out);
    case SYNTAX_kimi:
        return parse_kimi(r, out);
    case SYNTAX_args:
        return parse_args(r, out);
    }
    return false;
}

bool
calls_parse(ChatSyntax syntax, const char *text, size_t len, struct json_object *tools,
            ChatCallList *out)
{
    Reader r = {text, text + len};
    *out = (ChatCallList){0};
    if (len < INT32_MAX && parse(syntax, &r, tools, out))
        return true;
    calls_free(out);
    return false;
}
