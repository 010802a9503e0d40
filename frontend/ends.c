/* frontend/ends.c -- the ids that end a text, from the files beside a config.json.
 *
 * Published checkpoints say them in four places: eos_token_id of config.json and of
 * generation_config.json, and eos_token, a text, of tokenizer_config.json and of
 * special_tokens_map.json. Each of these ids ends a text. Only config.json must be right: what
 * cannot be read in the other files is left out with a note. */
#include <string.h>
#include <unistd.h>

#include "frontend/family.h"
#include "tokenizer/json_file.h"
#include "tokenizer/tokenizer.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    const char *dir;
    int64_t most;        /* largest id that may be */
    Tree *list;          /* of the ids found so far */
    json_object *tokens; /* of tokenizer.json, once it was asked for */
    bool tokens_read;
} Ends;

/* The JSON of a file of the directory. NULL: there is no such file, or a note says what is wrong.
 */
static json_object *
read_side_file(const Ends *e, const char *name, JsonFile *file)
{
    enum { LARGEST = 1 << 29 };
    const char *path = arena_printf(e->arena, "%s/%s", e->dir, name), *why = NULL;
    Source *source = arena_alloc(e->arena, sizeof *source);
    char *text = NULL;
    *file = (JsonFile){.arena = e->arena, .diag = e->diag, .source = source, .optional = true};
    if (access(path, F_OK) != 0)
        return NULL;
    if (!file_read(e->arena, path, LARGEST, &text, &source->len, &why)) {
        diag_note(e->diag, (SrcLoc){0}, "%s; it is not used", why);
        return NULL;
    }
    source->path = path;
    source->text = text;
    json_object *json = NULL;
    const bool parsed = json_file_parse(file, &json);
    const JsonAt root = {.there = true, .value = json};
    if (!parsed || json_want_object(file, &root))
        return json;
    json_object_put(json);
    return NULL;
}

static void
add_id(Ends *e, int64_t id)
{
    const char *text = arena_printf(e->arena, "%lld", (long long)id);
    for (int i = 0; i < e->list->count; i++)
        if (tree_is(e->list->items[i], TREE_SCALAR) && strcmp(e->list->items[i]->text, text) == 0)
            return;
    tree_push(e->arena, e->list, tree_scalar(e->arena, text, e->list->loc));
}

/* null and -1 are none. */
static void
add_id_at(Ends *e, JsonFile *file, const JsonAt *at)
{
    int64_t id = 0;
    const bool none = !at->value || (json_object_is_type(at->value, json_type_int) &&
                                     json_object_get_int64(at->value) == -1);
    if (!none && json_want_int(file, at, 0, e->most, &id))
        add_id(e, id);
}

static void
add_ids(Ends *e, const char *name)
{
    JsonFile file;
    json_object *json = read_side_file(e, name, &file);
    const JsonAt root = {.there = true, .value = json}, at = json_key(&root, "eos_token_id");
    if (!json_object_is_type(at.value, json_type_array))
        add_id_at(e, &file, &at);
    const size_t count =
        json_object_is_type(at.value, json_type_array) ? json_object_array_length(at.value) : 0;
    for (size_t i = 0; i < count && !json_full(&file); i++) {
        const JsonAt item = json_item(&at, i);
        add_id_at(e, &file, &item);
    }
    json_object_put(json);
}

/* The id that tokenizer.json gives a token; NULL: none. */
static json_object *
id_of(const Ends *e, const char *token)
{
    const JsonAt root = {.there = true, .value = e->tokens}, model = json_key(&root, "model");
    const JsonAt vocab = json_key(&model, "vocab"), known = json_key(&vocab, token);
    if (known.there)
        return known.value;
    const JsonAt added = json_key(&root, "added_tokens");
    const bool list = json_object_is_type(added.value, json_type_array);
    for (size_t i = 0; list && i < json_object_array_length(added.value); i++) {
        const JsonAt item = json_item(&added, i), content = json_key(&item, "content");
        if (json_is_text(&content, token))
            return json_key(&item, "id").value;
    }
    return NULL;
}

static void
add_token_id(Ends *e, JsonFile *file, const JsonAt *at, json_object *id)
{
    const int64_t n = json_object_is_type(id, json_type_int) ? json_object_get_int64(id) : -1;
    if (n < 0)
        json_fault(file, at, "is %s, which is no token of tokenizer.json", json_words(file, at));
    else if (n > e->most)
        json_fault(file, at, "is %s, id %lld of tokenizer.json, but the ids end at %lld",
                   json_words(file, at), (long long)n, (long long)e->most);
    else
        add_id(e, n);
}

/* eos_token is a text, or an object with it as content. Without a tokenizer.json it names no id. */
static void
add_token(Ends *e, const char *name)
{
    JsonFile file, tokenizer;
    json_object *json = read_side_file(e, name, &file);
    const JsonAt root = {.there = true, .value = json}, at = json_key(&root, "eos_token");
    const JsonAt content = json_key(&at, "content");
    const JsonAt *from = content.there ? &content : &at;
    Span token = {0};
    if (from->value && json_want_text(&file, from, &token)) {
        if (!e->tokens_read)
            e->tokens = read_side_file(e, "tokenizer.json", &tokenizer);
        e->tokens_read = true;
        if (e->tokens)
            add_token_id(e, &file, from, id_of(e, token.text));
    }
    json_object_put(json);
}

void
ends_add(Arena *arena, const char *dir, Tree *model, Diag *diag)
{
    Tree *given = tree_get(model, "eos");
    const Tree *vocab = tree_get(model, "vocab");
    int64_t rows = 0, one = 0;
    if (given && given->kind != TREE_LIST && !tree_int(given, &one))
        return; /* its reader says what is wrong */
    Ends e = {.arena = arena, .diag = diag, .dir = dir, .most = TOK_MAX_ID};
    if (vocab && tree_int(vocab, &rows))
        e.most = rows - 1;
    e.list = tree_is(given, TREE_LIST) ? given : tree_new(arena, TREE_LIST, model->loc);
    if (tree_is(given, TREE_SCALAR) && one != -1)
        tree_push(arena, e.list, given);
    if (given)
        e.list->loc = given->loc;
    add_ids(&e, "generation_config.json");
    add_token(&e, "tokenizer_config.json");
    add_token(&e, "special_tokens_map.json");
    json_object_put(e.tokens);
    if (e.list->count == 1)
        tree_put(arena, model, "eos", e.list->items[0]);
    else if (e.list->count > 1)
        tree_put(arena, model, "eos", e.list);
}
