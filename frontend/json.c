/* frontend/json.c -- json-c's objects as a tree. json-c keeps no positions, so they are looked up
 * in the text: its objects keep the order of the text, which makes that one walk per level. */
#include <math.h>
#include <string.h>

#include "frontend/yaml.h"
#include "tokenizer/json_file.h"

enum { MAX_NODES = 200000, MAX_SPAN = 200 };

typedef struct {
    JsonFile file;
    const char *end; /* of the text */
    int nodes;
} Reader;

/* Position of the key or value at `at`, an opening bracket alone; NULL: of the file. */
static SrcLoc
loc_of(Reader *r, const char *at)
{
    if (!at)
        return (SrcLoc){.source = r->file.source};
    const bool bracket = *at == '{' || *at == '[';
    const size_t span = bracket ? 1 : (size_t)(json_skip_value(at, r->end) - at);
    return json_loc(&r->file, at, span < MAX_SPAN ? span : 0);
}

/* The next key of that spelling behind `at`, which is inside its object, at its own level. NULL:
 * not found, and the rest of the object goes without positions. */
static const char *
find_key(const Reader *r, const char *at, const char *key)
{
    const size_t len = strlen(key);
    while (at < r->end && *at != '}') {
        const char *after =
            *at == '"' || *at == '{' || *at == '[' ? json_skip_value(at, r->end) : at + 1;
        const char *colon = json_skip_space(after, r->end);
        if (*at == '"' && colon < r->end && *colon == ':' && (size_t)(after - at) == len + 2 &&
            memcmp(at + 1, key, len) == 0)
            return at;
        at = after;
    }
    return NULL;
}

static Tree *
number_tree(Reader *r, double num, const char *text, SrcLoc loc)
{
    if (isnan(num)) {
        diag_error(r->file.diag, loc, "NaN is not a number that means anything here");
        return tree_new(r->file.arena, TREE_NULL, loc);
    }
    if (isinf(num))
        return tree_scalar(r->file.arena, num < 0 ? "-.inf" : ".inf", loc);
    return tree_scalar(r->file.arena, arena_strdup(r->file.arena, text), loc);
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

static Tree *read_value(Reader *r, json_object *o, const char *at);

static Tree *
read_object(Reader *r, json_object *o, const char *at)
{
    Tree *map = tree_new(r->file.arena, TREE_MAP, loc_of(r, at));
    const char *next = at ? at + 1 : NULL; /* behind the bracket, then behind a value */
    json_object_object_foreach(o, key, value)
    {
        const char *key_at = next ? find_key(r, next, key) : NULL;
        const char *value_at = key_at ? json_skip_value(key_at, r->end) : NULL;
        while (value_at && value_at < r->end && strchr(" \t\r\n:", *value_at))
            value_at++;
        next = value_at ? json_skip_value(value_at, r->end) : NULL;
        const SrcLoc key_loc = loc_of(r, key_at);
        Tree *item = read_value(r, value, value_at);
        if (!item)
            return NULL;
        item->key = arena_strdup(r->file.arena, key);
        item->key_loc = key_loc;
        tree_push(r->file.arena, map, item);
    }
    return map;
}

static Tree *
read_array(Reader *r, json_object *o, const char *at)
{
    Tree *list = tree_new(r->file.arena, TREE_LIST, loc_of(r, at));
    const size_t count = json_object_array_length(o);
    for (size_t i = 0; i < count; i++) {
        Tree *item = read_value(r, json_object_array_get_idx(o, i), NULL);
        if (!item)
            return NULL;
        item->loc = list->loc;
        tree_push(r->file.arena, list, item);
    }
    return list;
}

static Tree *
read_scalar(Reader *r, json_object *o, SrcLoc loc)
{
    const enum json_type type = json_object_get_type(o);
    if (type == json_type_null)
        return tree_new(r->file.arena, TREE_NULL, loc);
    if (type == json_type_double)
        return number_tree(r, json_object_get_double(o), json_object_get_string(o), loc);
    const char *text = json_object_get_string(o);
    Tree *t = tree_scalar(r->file.arena, arena_strdup(r->file.arena, text), loc);
    t->quoted = type == json_type_string;
    return t;
}

static Tree *
read_value(Reader *r, json_object *o, const char *at)
{
    double num = 0;
    if (++r->nodes > MAX_NODES) {
        diag_error(r->file.diag, loc_of(r, at), "too many values: at most %d are read", MAX_NODES);
        return NULL;
    }
    if (json_object_is_type(o, json_type_array))
        return read_array(r, o, at);
    if (!json_object_is_type(o, json_type_object))
        return read_scalar(r, o, loc_of(r, at));
    if (is_float_object(o, &num))
        return number_tree(r, num, number_text(r->file.arena, num), loc_of(r, at));
    return read_object(r, o, at);
}

Tree *
json_parse(Arena *arena, const Source *source, Diag *diag)
{
    Reader r = {
        .file = {.arena = arena, .diag = diag, .source = source, .lenient = true},
        .end = source->text + source->len
    };
    if (source->len > TREE_MAX_BYTES) {
        diag_error(diag, (SrcLoc){.source = source}, "it has %zu bytes; at most %d are read",
                   source->len, TREE_MAX_BYTES);
        return NULL;
    }
    const int before = diag_errors(diag);
    json_object *root = NULL;
    Tree *tree = NULL;
    if (json_file_parse(&r.file, &root))
        tree = read_value(&r, root, json_skip_space(source->text, r.end));
    json_object_put(root);
    return diag_errors(diag) == before ? tree : NULL;
}
