/* frontend/json.c -- json-c's objects as a tree. json-c keeps no positions, so they are looked up
 * in the text: its objects keep the order of the text, which makes that one walk per level. */
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "frontend/yaml.h"

enum { MAX_NODES = 200000 };

typedef struct {
    Arena *arena;
    const Source *source;
    Diag *diag;
    const char *end;
    int nodes;
    /* Line of the newest position: they only grow. */
    const char *line_start;
    int line;
} Reader;

/* ---- positions ------------------------------------------------------------------------------ */

static SrcLoc
loc_at(Reader *r, const char *at, size_t span)
{
    if (!at)
        return (SrcLoc){.source = r->source};
    if (at < r->line_start) {
        r->line_start = r->source->text;
        r->line = 1;
    }
    const char *newline;
    while ((newline = memchr(r->line_start, '\n', (size_t)(at - r->line_start))) != NULL) {
        r->line_start = newline + 1;
        r->line++;
    }
    return (SrcLoc){r->source, r->line, (int)(at - r->line_start) + 1, span < 200 ? (int)span : 0};
}

/* Behind the string whose opening quote is at `at`. */
static const char *
skip_string(const Reader *r, const char *at)
{
    for (at++; at < r->end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < r->end ? at + 1 : r->end;
}

/* The next value of the collection whose inside `at` is in, at its own level: behind the key if
 * `key` is given. NULL: not found. */
static const char *
find_key(const Reader *r, const char *at, const char *key)
{
    const size_t len = strlen(key);
    int depth = 0;
    while (at < r->end && depth >= 0) {
        if (*at != '"') {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
            at++;
            continue;
        }
        const char *after = skip_string(r, at);
        const bool same =
            depth == 0 && (size_t)(after - at) == len + 2 && memcmp(at + 1, key, len) == 0;
        const char *colon = after;
        while (colon < r->end && strchr(" \t\r\n", *colon))
            colon++;
        if (same && colon < r->end && *colon == ':')
            return at;
        at = after;
    }
    return NULL;
}

static const char *
value_of_key(const Reader *r, const char *key_at)
{
    const char *at = skip_string(r, key_at);
    while (at < r->end && strchr(" \t\r\n:", *at))
        at++;
    return at;
}

/* ---- values --------------------------------------------------------------------------------- */

static Tree *
number_tree(Reader *r, double num, const char *text, SrcLoc loc)
{
    if (isnan(num)) {
        diag_error(r->diag, loc, "NaN is not a number that means anything here");
        return tree_new(r->arena, TREE_NULL, loc);
    }
    if (isinf(num))
        return tree_scalar(r->arena, num < 0 ? "-.inf" : ".inf", loc);
    return tree_scalar(r->arena, arena_strdup(r->arena, text), loc);
}

/* {"__float__": "Infinity"}, as transformers writes what strict JSON cannot say. */
static bool
is_float_object(json_object *o, double *out)
{
    json_object *text = NULL;
    if (json_object_object_length(o) != 1 || !json_object_object_get_ex(o, "__float__", &text))
        return false;
    const Tree t = {.kind = TREE_SCALAR, .text = json_object_get_string(text)};
    return t.text && tree_num(&t, out);
}

static size_t
token_span(const Reader *r, const char *at)
{
    if (!at || at >= r->end)
        return 0;
    if (*at == '"')
        return (size_t)(skip_string(r, at) - at);
    const char *to = at;
    while (to < r->end && !strchr(" \t\r\n,]}", *to))
        to++;
    return (size_t)(to - at);
}

static Tree *read_value(Reader *r, json_object *o, const char *at);

static Tree *
read_object(Reader *r, json_object *o, const char *at)
{
    Tree *map = tree_new(r->arena, TREE_MAP, loc_at(r, at, 1));
    const char *inside = at && at < r->end && *at == '{' ? at + 1 : NULL;
    json_object_object_foreach(o, key, value)
    {
        const char *key_at = inside ? find_key(r, inside, key) : NULL;
        const char *value_at = key_at ? value_of_key(r, key_at) : NULL;
        inside = value_at; /* not found: the rest of this object goes without positions */
        const SrcLoc key_loc = loc_at(r, key_at, token_span(r, key_at));
        Tree *item = read_value(r, value, value_at);
        if (!item)
            return NULL;
        item->key = arena_strdup(r->arena, key);
        item->key_loc = key_loc;
        tree_push(r->arena, map, item);
    }
    return map;
}

static Tree *
read_array(Reader *r, json_object *o, const char *at)
{
    Tree *list = tree_new(r->arena, TREE_LIST, loc_at(r, at, 1));
    const size_t count = json_object_array_length(o);
    for (size_t i = 0; i < count; i++) {
        Tree *item = read_value(r, json_object_array_get_idx(o, i), NULL);
        if (!item)
            return NULL;
        item->loc = list->loc;
        tree_push(r->arena, list, item);
    }
    return list;
}

static Tree *
read_scalar(Reader *r, json_object *o, SrcLoc loc)
{
    const enum json_type type = json_object_get_type(o);
    if (type == json_type_null)
        return tree_new(r->arena, TREE_NULL, loc);
    if (type == json_type_double)
        return number_tree(r, json_object_get_double(o), json_object_get_string(o), loc);
    const char *text = json_object_get_string(o);
    Tree *t = tree_scalar(r->arena, arena_strdup(r->arena, text), loc);
    t->quoted = type == json_type_string;
    return t;
}

static Tree *
read_value(Reader *r, json_object *o, const char *at)
{
    double num = 0;
    if (++r->nodes > MAX_NODES) {
        diag_error(r->diag, loc_at(r, at, 0), "too many values: at most %d are read", MAX_NODES);
        return NULL;
    }
    if (json_object_is_type(o, json_type_array))
        return read_array(r, o, at);
    if (!json_object_is_type(o, json_type_object))
        return read_scalar(r, o, loc_at(r, at, token_span(r, at)));
    if (is_float_object(o, &num))
        return number_tree(r, num, number_text(r->arena, num), loc_at(r, at, 1));
    return read_object(r, o, at);
}

/* What json-c makes of the text; NULL with the fault in diag, or for the text `null`. */
static json_object *
parse_text(Reader *r, bool *ok)
{
    const Source *source = r->source;
    json_tokener *tok = json_tokener_new_ex(TREE_MAX_DEPTH);
    if (!tok)
        die_no_memory(0);
    json_tokener_set_flags(tok, JSON_TOKENER_VALIDATE_UTF8);
    /* The NUL behind the text, which every source has, ends a number at the very end. */
    json_object *root = json_tokener_parse_ex(tok, source->text, (int)source->len + 1);
    const enum json_tokener_error status = json_tokener_get_error(tok);
    const size_t parsed = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    const char *rest = source->text + (parsed < source->len ? parsed : source->len);
    const char *junk = rest + strspn(rest, " \t\r\n");
    *ok = status == json_tokener_success && junk >= r->end;
    if (status == json_tokener_continue)
        diag_error(r->diag, loc_at(r, rest, 0), "this is not JSON: it ends too early");
    else if (status != json_tokener_success)
        diag_error(r->diag, loc_at(r, rest, 0), "this is not JSON: %s",
                   json_tokener_error_desc(status));
    else if (junk < r->end)
        diag_error(r->diag, loc_at(r, junk, 0), "this is not JSON: text follows the value");
    return root;
}

Tree *
json_parse(Arena *arena, const Source *source, Diag *diag)
{
    Reader r = {arena, source, diag, source->text + source->len, 0, source->text, 1};
    if (source->len > TREE_MAX_BYTES) {
        diag_error(diag, (SrcLoc){.source = source}, "it has %zu bytes; at most %d are read",
                   source->len, TREE_MAX_BYTES);
        return NULL;
    }
    const int before = diag_errors(diag);
    bool ok = false;
    json_object *root = parse_text(&r, &ok);
    const char *start = source->text + strspn(source->text, " \t\r\n");
    Tree *tree = ok ? read_value(&r, root, start) : NULL;
    json_object_put(root);
    return diag_errors(diag) == before ? tree : NULL;
}
