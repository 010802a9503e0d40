/* frontend/keys.c -- the key table: reading what the user wrote by it. */
#include "frontend/keys.h"

#include <string.h>

const Spec key_spec[KEY_COUNT] = {
#define KEY(id, path, kind, preset, low, high, words, doc)                                         \
    [KEY_##id] = {path, SPEC_##kind, preset, low, high, words, 0, doc},
#include "frontend/keys.def"
#undef KEY
};

/* ---- one value ------------------------------------------------------------------------------ */

/* "a, b or c" of "a b c". */
static const char *
words_text(Arena *arena, const char *words)
{
    StrBuf sb = {0};
    for (const char *at = words; *at;) {
        const size_t len = strcspn(at, " ");
        const char *rest = at + len + (at[len] == ' ');
        sb_putn(&sb, at, len);
        if (*rest)
            sb_puts(&sb, strchr(rest, ' ') ? ", " : " or ");
        at = rest;
    }
    return sb_finish(&sb, arena);
}

static const char *
range_text(Arena *arena, const Spec *spec)
{
    return arena_printf(arena, "from %s to %s", number_text(arena, spec->low),
                        number_text(arena, spec->high));
}

const char *
spec_wants(Arena *arena, const Spec *spec)
{
    switch (spec->kind) {
    case SPEC_INT:
        return arena_printf(arena, "a whole number %s", range_text(arena, spec));
    case SPEC_NUM:
        return arena_printf(arena, "a number %s", range_text(arena, spec));
    case SPEC_BOOL:
        return "true or false";
    case SPEC_WORD:
        return words_text(arena, spec->words);
    case SPEC_CHUNK:
        return arena_printf(arena, "auto, all or a whole number %s", range_text(arena, spec));
    case SPEC_NUMS:
        return arena_printf(arena, "a list of %snumbers %s",
                            spec->count ? arena_printf(arena, "%d ", spec->count) : "",
                            range_text(arena, spec));
    case SPEC_IDS:
        return arena_printf(arena, "a token id %s, a list of them, or none",
                            range_text(arena, spec));
    case SPEC_TEXT:
        return "a text";
    case SPEC_LIST:
        return "a list";
    case SPEC_MAP:
        return "a map";
    case SPEC_ANY:
        return "a value";
    }
    return "";
}

static bool
in_range(const Spec *spec, double num)
{
    return num >= spec->low && num <= spec->high;
}

static bool
read_int(const Spec *spec, const Tree *tree, FeValue *out)
{
    if (!tree_whole(tree, &out->i))
        return false;
    out->num = (double)out->i;
    return in_range(spec, out->num);
}

static bool
read_chunk(const Spec *spec, const Tree *tree, FeValue *out)
{
    if (tree->kind != TREE_SCALAR)
        return false;
    const bool is_auto = strcmp(tree->text, "auto") == 0;
    out->i = is_auto ? CHUNK_AUTO : CHUNK_ALL;
    return is_auto || strcmp(tree->text, "all") == 0 || read_int(spec, tree, out);
}

static bool
read_nums(Arena *arena, const Spec *spec, const Tree *tree, FeValue *out)
{
    if (tree->kind != TREE_LIST || (spec->count && tree->count != spec->count))
        return false;
    double *nums = arena_array(arena, (size_t)tree->count + 1, sizeof *nums);
    for (int i = 0; i < tree->count; i++)
        if (!tree_num(tree->items[i], &nums[i]) || !in_range(spec, nums[i]))
            return false;
    out->nums = nums;
    out->count = tree->count;
    return true;
}

/* A list of ids is read as numbers, a single one as a list of one; nothing and -1 are none. */
static bool
read_ids(Arena *arena, const Spec *spec, const Tree *tree, FeValue *out)
{
    int64_t id = 0;
    const bool scalar = tree->kind == TREE_SCALAR;
    if (tree->kind == TREE_NULL || (scalar && strcmp(tree->text, "none") == 0) ||
        (scalar && tree_int(tree, &id) && id == -1))
        return true;
    Tree one = {.kind = TREE_LIST, .items = (Tree *[]){(Tree *)tree}, .count = 1};
    const Tree *list = scalar ? &one : tree;
    for (int i = 0; i < list->count; i++)
        if (!tree_int(list->items[i], &id))
            return false;
    return read_nums(arena, spec, list, out);
}

static bool
read_by_kind(Arena *arena, const Spec *spec, const Tree *tree, FeValue *out)
{
    switch (spec->kind) {
    case SPEC_INT:
        return read_int(spec, tree, out);
    case SPEC_NUM:
        return tree_num(tree, &out->num) && in_range(spec, out->num);
    case SPEC_BOOL:
        if (!tree_bool(tree, &out->flag))
            return false;
        out->num = out->flag;
        return true;
    case SPEC_WORD:
        out->text = tree->text;
        return tree->kind == TREE_SCALAR && word_in(spec->words, tree->text);
    case SPEC_CHUNK:
        return read_chunk(spec, tree, out);
    case SPEC_NUMS:
        return read_nums(arena, spec, tree, out);
    case SPEC_IDS:
        return read_ids(arena, spec, tree, out);
    case SPEC_TEXT:
        out->text = tree->text;
        return tree->kind == TREE_SCALAR && tree->text[0];
    case SPEC_LIST:
        return tree->kind == TREE_LIST;
    case SPEC_MAP:
        return tree->kind == TREE_MAP;
    case SPEC_ANY:
        return tree->kind != TREE_NULL;
    }
    return false;
}

bool
spec_try(Arena *arena, const Spec *spec, const Tree *tree, FeValue *out)
{
    *out = (FeValue){.kind = spec->kind, .given = true, .tree = tree, .loc = tree->loc};
    return read_by_kind(arena, spec, tree, out);
}

bool
spec_read(Arena *arena, const Spec *spec, const Tree *tree, Diag *diag, FeValue *out)
{
    if (spec_try(arena, spec, tree, out))
        return true;
    return diag_error(diag, tree->loc, "%s is %s; expected %s%s%s%s", spec->name,
                      tree_text(arena, tree), spec_wants(arena, spec), spec->doc[0] ? " (" : "",
                      spec->doc, spec->doc[0] ? ")" : "");
}

/* ---- a map of keys -------------------------------------------------------------------------- */

/* The key of a row under prefix, or NULL when the row is elsewhere. */
static const char *
key_under(KeyId id, const char *prefix)
{
    const char *path = key_spec[id].name;
    const size_t len = strlen(prefix);
    if (strncmp(path, prefix, len) != 0 || strpbrk(path + len, ".["))
        return NULL;
    return path + len;
}

bool
key_is_of_layer(const char *key)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        const char *own = key_under((KeyId)i, "layers[].");
        if (own && strcmp(own, key) == 0)
            return true;
    }
    return false;
}

Tree *
layer_inner(const Tree *entry)
{
    static const char *const keys[] = {"layers", "parts", "parallel", "kinds"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        Tree *inner = tree_get(entry, keys[i]);
        if (tree_is(inner, TREE_LIST) || tree_is(inner, TREE_MAP))
            return inner;
    }
    return NULL;
}

static bool
is_known(const char *key, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], key) == 0)
            return true;
    return false;
}

static bool
read_preset(Arena *arena, const Spec *spec, const Tree *map, Diag *diag, FeValue *out)
{
    *out = (FeValue){.kind = spec->kind, .loc = map->loc};
    if (strcmp(spec->preset, "!") == 0)
        return diag_error(diag, map->loc, "the key '%s' is missing: it must be %s (%s)", spec->name,
                          spec_wants(arena, spec), spec->doc);
    if (spec->preset[0] == '\0')
        return true;
    const Tree t = {.kind = TREE_SCALAR, .text = spec->preset};
    if (!read_by_kind(arena, spec, &t, out))
        die("keys.def: the default of %s", spec->name);
    return true;
}

bool
keys_read(Arena *arena, const Tree *map, const char *prefix, const char *const *more, int nmore,
          Diag *diag, FeValue *out)
{
    bool ok = true;
    int count = 0;
    const char **names = arena_array(arena, (size_t)nmore + KEY_COUNT, sizeof *names);
    for (int i = 0; i < nmore; i++)
        names[count++] = more[i];
    for (int i = 0; i < KEY_COUNT; i++) {
        const char *key = key_under((KeyId)i, prefix);
        if (!key)
            continue;
        names[count++] = key;
        const Tree *item = tree_get(map, key);
        out[i].bad = !(item ? spec_read(arena, &key_spec[i], item, diag, &out[i])
                            : read_preset(arena, &key_spec[i], map, diag, &out[i]));
        ok &= !out[i].bad;
    }
    for (int i = 0; i < map->count; i++) {
        const Tree *item = map->items[i];
        if (item->everywhere || is_known(item->key, names, count))
            continue;
        const char *near = nearest_name(item->key, names, (size_t)count, sizeof *names);
        ok = near ? diag_error(diag, item->key_loc,
                               "unknown key '%s%s'; the nearest known one is '%s%s'", prefix,
                               item->key, prefix, near)
                  : diag_error(diag, item->key_loc,
                               "unknown key '%s%s' (ssmc help keys lists them)", prefix, item->key);
    }
    return ok;
}

bool
name_unknown(Diag *diag, SrcLoc loc, const char *what, const char *name, const void *table,
             size_t count, size_t stride)
{
    const char *near = nearest_name(name, table, count, stride), *entry;
    StrBuf all = {0};
    for (size_t i = 0; i < count; i++) {
        memcpy(&entry, (const char *)table + i * stride, sizeof entry);
        sb_printf(&all, "%s%s", i ? ", " : "", entry);
    }
    diag_error(diag, loc, "unknown %s '%s'%s%s; there are %s", what, name,
               near ? "; the nearest is " : "", near ? near : "", sb_text(&all));
    sb_free(&all);
    return false;
}

/* ---- key=value options ---------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Diag *diag;
    const Source *source; /* the option's text */
} Set;

static SrcLoc
set_loc(const Set *s, const char *at, size_t span)
{
    return (SrcLoc){s->source, 1, (int)(at - s->source->text) + 1, (int)span};
}

/* Where a list has its entry number `name`, or a map its entry of that key: one that is not there
 * yet is made. */
static Tree **
set_slot(const Set *s, Tree *at, const char *name, size_t len)
{
    int64_t i = 0;
    const char *key = arena_strndup(s->arena, name, len);
    const Tree number = {.kind = TREE_SCALAR, .text = key};
    if (at->kind != TREE_LIST) {
        if (!tree_get(at, key))
            tree_put(s->arena, at, key, tree_new(s->arena, TREE_NULL, set_loc(s, name, len)));
        while (strcmp(at->items[i]->key, key) != 0)
            i++;
        return &at->items[i];
    }
    if (tree_int(&number, &i) && i >= 0 && i < at->count)
        return &at->items[i];
    diag_error(s->diag, set_loc(s, name, len),
               "'%s' is no entry of the list: there are %d, counted from 0", key, at->count);
    return NULL;
}

static bool set_at(const Set *s, Tree *at, const char *name, const char *equals, Tree *value);

/* `*.key=value`: the key of every layer of the list or map, and of those inside them. With an op
 * (NULL: none) it goes into a map that blocks with such an op alone look into. */
static bool
set_everywhere(const Set *s, const Tree *list, const char *op, const char *key, const char *equals,
               const Tree *value)
{
    bool ok = true;
    for (int i = 0; i < list->count && ok; i++) {
        Tree *entry = list->items[i];
        const Tree *inner = layer_inner(entry);
        if (entry->kind != TREE_MAP)
            continue; /* the reader of the list reports it */
        Tree *copy = tree_copy(s->arena, value);
        copy->everywhere = true;
        if (op && !tree_get(entry, op)) {
            Tree *of_op = tree_new(s->arena, TREE_MAP, set_loc(s, key, 0));
            of_op->everywhere = true;
            tree_put(s->arena, entry, op, of_op);
        }
        ok = set_at(s, op ? tree_get(entry, op) : entry, key, equals, copy);
        if (ok && inner)
            ok = set_everywhere(s, inner, op, key, equals, value);
    }
    return ok;
}

static bool
set_at(const Set *s, Tree *at, const char *name, const char *equals, Tree *value)
{
    const size_t len = strcspn(name, ".=");
    const char *rest = name + len + 1;
    const bool layers = at->kind == TREE_MAP && at->key && strcmp(at->key, "layers") == 0;
    const bool all =
        at->kind == TREE_LIST || layers || tree_get(at, "order") || tree_get(at, "parts");
    const bool star = len == 1 && *name == '*', key = rest + strcspn(rest, ".=") == equals;
    Op op;
    if (all && (star || (key && name + len < equals && op_by_name(name, len, &op)))) {
        const Tree one = {.kind = TREE_LIST, .items = &at, .count = 1};
        if (name + len < equals && key)
            return set_everywhere(s, at->kind == TREE_LIST ? at : &one,
                                  star ? NULL : op_info[op].name, rest, equals, value);
        return diag_error(s->diag, set_loc(s, name, len),
                          "'*' is every layer: one key comes after it, as in layers.*.state=64");
    }
    Tree **slot = set_slot(s, at, name, len);
    if (!slot)
        return false;
    const bool last = name + len == equals;
    if (last || (*slot)->kind == TREE_NULL) {
        Tree *put = last ? value : tree_new(s->arena, TREE_MAP, set_loc(s, name, len));
        put->key = (*slot)->key;
        put->key_loc = set_loc(s, name, len);
        *slot = put;
    }
    if (last || (*slot)->kind != TREE_SCALAR)
        return last || set_at(s, *slot, rest, equals, value);
    diag_error(s->diag, set_loc(s, name, len), "'%.*s' has no keys below it: it is %s", (int)len,
               name, tree_text(s->arena, *slot));
    return diag_also(s->diag, (*slot)->loc, "it is given here");
}

static bool
set_apply(const Set *s, Tree *root)
{
    const char *equals = strchr(s->source->text, '=');
    if (!equals || equals == s->source->text)
        return diag_error(s->diag, set_loc(s, s->source->text, 0), "expected key=value, as in %s",
                          "compile.chunk=64");
    const size_t offset = (size_t)(equals - s->source->text) + 1;
    Tree *value = equals[1] ? yaml_parse_from(s->arena, s->source, offset, s->diag)
                            : tree_new(s->arena, TREE_NULL, set_loc(s, equals + 1, 0));
    return value && set_at(s, root, s->source->text, equals, value);
}

const char set_source_path[] = "--set";

bool
sets_apply(Arena *arena, Tree *root, const char *const *sets, int nsets, Diag *diag)
{
    bool ok = true;
    for (int i = 0; i < nsets; i++) {
        Source *source = arena_alloc(arena, sizeof *source);
        *source = (Source){set_source_path, arena_strdup(arena, sets[i]), strlen(sets[i])};
        const Set s = {.arena = arena, .diag = diag, .source = source};
        ok &= set_apply(&s, root);
    }
    return ok;
}
