/* frontend/block.c -- block files: checked and taken apart, nothing computed yet. */
#include "frontend/block.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "frontend/embed.h"

static bool
is_identifier(const char *text, const char *more)
{
    if (!isalpha((unsigned char)text[0]) && text[0] != '_')
        return false;
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && !strchr(more, *p))
            return false;
    return true;
}

/* Reports keys of map that are not among `keys` (separated by spaces). */
static bool
only_keys(const BlockSet *set, const Tree *map, const char *what, const char *const *keys,
          size_t count)
{
    bool ok = true;
    for (int i = 0; i < map->count; i++) {
        const Tree *item = map->items[i];
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known = known || strcmp(keys[k], item->key) == 0;
        if (known)
            continue;
        const char *near = nearest_name(item->key, keys, count, sizeof *keys);
        diag_error(set->diag, item->key_loc, "unknown key '%s' in %s%s%s%s", item->key, what,
                   near ? "; the nearest known one is '" : "", near ? near : "", near ? "'" : "");
        ok = false;
    }
    return ok;
}

/* The entry `key` of map if it has the kind; absent is fine and gives NULL. */
static bool
entry(const BlockSet *set, const Tree *map, const char *key, TreeKind kind, const char *wants,
      const Tree **out)
{
    *out = tree_get(map, key);
    if (!*out || (*out)->kind == kind)
        return true;
    diag_error(set->diag, (*out)->loc, "%s is %s; expected %s", key, tree_text(set->arena, *out),
               wants);
    *out = NULL;
    return false;
}

static bool
entry_text(const BlockSet *set, const Tree *map, const char *key, const char **out)
{
    const Tree *t = NULL;
    const bool ok = entry(set, map, key, TREE_SCALAR, "a text", &t);
    *out = t ? t->text : NULL;
    return ok;
}

static bool
too_many(const BlockSet *set, const Tree *tree, const char *what, int most)
{
    if (!tree || tree->count <= most)
        return false;
    diag_error(set->diag, tree->loc, "%d %s; a block has at most %d", tree->count, what, most);
    return true;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static const struct {
    const char *name; /* first: nearest_name reads it */
    SpecKind kind;
    double low, high; /* of parameters that name no range */
} param_kind[] = {
    {"int",   SPEC_INT,   0,         1 << 24 },
    {"num",   SPEC_NUM,   -INFINITY, INFINITY},
    {"bool",  SPEC_BOOL,  0,         0       },
    {"word",  SPEC_WORD,  0,         0       },
    {"chunk", SPEC_CHUNK, 1,         1 << 16 },
    {"nums",  SPEC_NUMS,  -INFINITY, INFINITY},
};

/* Of a kind, with the range of parameters that name none. */
static void
param_be(Spec *spec, SpecKind kind)
{
    for (size_t i = 0; i < COUNT_OF(param_kind); i++)
        if (param_kind[i].kind == kind) {
            spec->kind = kind;
            spec->low = param_kind[i].low;
            spec->high = param_kind[i].high;
        }
}

static bool
param_type(const BlockSet *set, const Tree *t, Spec *spec)
{
    for (size_t i = 0; i < COUNT_OF(param_kind); i++) {
        if (t->kind != TREE_SCALAR || strcmp(t->text, param_kind[i].name) != 0)
            continue;
        param_be(spec, param_kind[i].kind);
        return true;
    }
    return diag_error(set->diag, t->loc,
                      "the type is %s; expected int, num, bool, word, chunk or nums",
                      tree_text(set->arena, t));
}

/* What a default alone says about its parameter. An expression makes an integer. */
static void
infer_type(const Tree *preset, Spec *spec)
{
    int64_t i;
    double num;
    bool flag;
    if (preset->kind == TREE_LIST)
        param_be(spec, SPEC_NUMS);
    else if (tree_bool(preset, &flag))
        param_be(spec, SPEC_BOOL);
    else
        param_be(spec, !tree_int(preset, &i) && tree_num(preset, &num) ? SPEC_NUM : SPEC_INT);
}

static bool
param_words(const BlockSet *set, const Tree *list, Spec *spec)
{
    StrBuf sb = {0};
    bool ok = true;
    for (int i = 0; list && i < list->count; i++) {
        const Tree *word = list->items[i];
        if (word->kind == TREE_SCALAR && is_identifier(word->text, "-"))
            sb_printf(&sb, "%s%s", sb.len ? " " : "", word->text);
        else
            ok = false;
    }
    if (!ok)
        diag_error(set->diag, list->loc, "words must be a list of words");
    spec->words = sb_finish(&sb, set->arena);
    return ok;
}

static bool
param_range(const BlockSet *set, const Tree *list, Spec *spec)
{
    if (!list || (list->count == 2 && tree_num(list->items[0], &spec->low) &&
                  tree_num(list->items[1], &spec->high)))
        return true;
    return diag_error(set->diag, list->loc, "a range is a list of two numbers, [lowest, highest]");
}

static bool
param_long(const BlockSet *set, const Tree *map, BlockParam *p)
{
    static const char *const keys[] = {"type", "default", "range", "words", "count", "doc"};
    const Tree *range, *words, *type = tree_get(map, "type"), *count = tree_get(map, "count");
    int64_t n = 0;
    bool ok = only_keys(set, map, "a parameter", keys, COUNT_OF(keys));
    p->preset = tree_get(map, "default");
    if (type)
        ok &= param_type(set, type, &p->spec);
    else if (p->preset)
        infer_type(p->preset, &p->spec);
    ok &= entry(set, map, "range", TREE_LIST, "[lowest, highest]", &range) &&
          param_range(set, range, &p->spec);
    ok &= entry(set, map, "words", TREE_LIST, "a list of words", &words) &&
          param_words(set, words, &p->spec);
    ok &= entry_text(set, map, "doc", &p->spec.doc);
    if (count && (!tree_int(count, &n) || n < 1 || n > 16)) {
        diag_error(set->diag, count->loc, "count is %s; expected a whole number from 1 to 16",
                   tree_text(set->arena, count));
        ok = false;
    }
    p->spec.count = (int)n;
    if (!p->spec.doc)
        p->spec.doc = "";
    return ok;
}

static bool
param_read(const BlockSet *set, const Tree *t, BlockParam *p)
{
    p->spec = (Spec){.name = t->key, .preset = "", .words = "", .doc = ""};
    if (!is_identifier(t->key, "") || key_is_of_layer(t->key))
        return diag_error(set->diag, t->key_loc, "'%s' cannot be the name of a parameter", t->key);
    if (t->kind == TREE_MAP)
        return param_long(set, t, p);
    p->preset = t;
    infer_type(t, &p->spec);
    return true;
}

/* ---- weights -------------------------------------------------------------------------------- */

static bool
weight_read(const BlockSet *set, const Tree *t, BlockWeight *w)
{
    static const char *const keys[] = {"shape", "init", "when", "otherwise", "own"};
    const Tree *own = tree_get(t, "own");
    w->name = t->key;
    w->loc = t->key_loc;
    if (t->kind != TREE_MAP || !is_identifier(t->key, "."))
        return diag_error(set->diag, t->key_loc, "a weight is NAME: {shape: [...], init: RULE}");
    bool ok = only_keys(set, t, "a weight", keys, COUNT_OF(keys));
    ok &= entry(set, t, "shape", TREE_LIST, "a list of sizes", &w->shape);
    ok &= entry_text(set, t, "init", &w->init);
    ok &= entry(set, t, "when", TREE_SCALAR, "an expression", &w->when);
    ok &= entry_text(set, t, "otherwise", &w->otherwise);
    if (own && !tree_bool(own, &w->own)) {
        diag_error(set->diag, own->loc, "own is %s; expected true or false",
                   tree_text(set->arena, own));
        ok = false;
    }
    if (ok && (!w->shape || w->shape->count < 1 || w->shape->count > IR_MAX_RANK)) {
        diag_error(set->diag, t->key_loc, "weight '%s' needs a shape of 1 to %d sizes", t->key,
                   IR_MAX_RANK);
        ok = false;
    }
    return ok;
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* Every entry is a text; those of a map have plain names. */
static bool
texts_read(const BlockSet *set, const Tree *t, const char *what)
{
    bool ok = true;
    for (int i = 0; t && i < t->count; i++) {
        const Tree *item = t->items[i];
        const bool named = t->kind == TREE_LIST || is_identifier(item->key, "");
        if (named && item->kind == TREE_SCALAR)
            continue;
        diag_error(set->diag, item->loc, "%s is %s; expected %s", what, tree_text(set->arena, item),
                   "a plain name and a text");
        ok = false;
    }
    return ok;
}

/* A name for the states of an op, or a list of names where it is there several times. */
static bool
states_read(const BlockSet *set, const Tree *t)
{
    bool ok = true;
    for (int i = 0; t && i < t->count; i++) {
        const Tree *item = t->items[i];
        const bool list = item->kind == TREE_LIST;
        bool good = item->kind == TREE_SCALAR || (list && item->count > 0);
        for (int k = 0; list && k < item->count; k++)
            good = good && item->items[k]->kind == TREE_SCALAR;
        if (good && is_identifier(item->key, ""))
            continue;
        diag_error(set->diag, item->loc, "a state is %s; expected OP: NAME, or OP: [NAME, NAME]",
                   tree_text(set->arena, item));
        ok = false;
    }
    return ok;
}

/* A statement, or one under a condition. */
static bool
op_read(const BlockSet *set, const Tree *t)
{
    static const char *const keys[] = {"when", "op"};
    if (t->kind == TREE_SCALAR)
        return true;
    if (t->kind != TREE_MAP || !tree_is(tree_get(t, "when"), TREE_SCALAR) ||
        !tree_is(tree_get(t, "op"), TREE_SCALAR))
        return diag_error(
            set->diag, t->loc,
            "a statement is %s; expected a text, or {when: EXPRESSION, op: STATEMENT}",
            tree_text(set->arena, t));
    return only_keys(set, t, "a statement", keys, COUNT_OF(keys));
}

/* `hybrid` says something of parameters of the block alone. */
static bool
only_params(const BlockSet *set, const Block *b)
{
    const char *names[BLOCK_MAX_PARAMS];
    for (int i = 0; i < b->nparams; i++)
        names[i] = b->params[i].spec.name;
    return !b->hybrid || only_keys(set, b->hybrid, "hybrid", names, (size_t)b->nparams);
}

static bool
body_read(BlockSet *set, const Tree *tree, Block *b)
{
    const Tree *params, *weights;
    bool ok = entry(set, tree, "params", TREE_MAP, "a map", &params) &&
              !too_many(set, params, "parameters", BLOCK_MAX_PARAMS);
    if (ok && params)
        b->params = arena_array(set->arena, (size_t)params->count + 1, sizeof *b->params);
    for (int i = 0; b->params && i < params->count; i++)
        ok &= param_read(set, params->items[i], &b->params[b->nparams++]);
    const bool few = entry(set, tree, "weights", TREE_MAP, "a map", &weights) &&
                     !too_many(set, weights, "weights", BLOCK_MAX_WEIGHTS);
    if (few && weights)
        b->weights = arena_array(set->arena, (size_t)weights->count + 1, sizeof *b->weights);
    for (int i = 0; b->weights && i < weights->count; i++)
        ok &= weight_read(set, weights->items[i], &b->weights[b->nweights++]);
    ok &= few;
    ok &= entry(set, tree, "sizes", TREE_MAP, "a map", &b->sizes) &&
          texts_read(set, b->sizes, "a size") && !too_many(set, b->sizes, "sizes", BLOCK_MAX_SIZES);
    ok &= entry(set, tree, "checks", TREE_LIST, "a list", &b->checks) &&
          texts_read(set, b->checks, "a check") &&
          !too_many(set, b->checks, "checks", BLOCK_MAX_SIZES);
    ok &= entry(set, tree, "states", TREE_MAP, "a map", &b->states) && states_read(set, b->states);
    ok &= entry(set, tree, "hybrid", TREE_MAP, "a map", &b->hybrid) &&
          texts_read(set, b->hybrid, "a value") && only_params(set, b);
    ok &= entry(set, tree, "ops", TREE_LIST, "a list of statements", &b->ops) &&
          !too_many(set, b->ops, "ops", BLOCK_MAX_OPS);
    for (int i = 0; ok && b->ops && i < b->ops->count; i++)
        ok &= op_read(set, b->ops->items[i]);
    if (ok && !b->ops) {
        diag_error(set->diag, b->loc, "block '%s' has no ops", b->name);
        ok = false;
    }
    return ok;
}

/* Where a block of that name goes: over a built-in one, or behind all. */
static Block *
block_slot(BlockSet *set, const Block *b)
{
    for (int i = 0; i < set->count; i++) {
        if (strcmp(set->items[i].name, b->name) != 0)
            continue;
        if (set->items[i].built_in)
            return &set->items[i];
        diag_error(set->diag, b->loc, "there are two blocks named '%s'", b->name);
        diag_also(set->diag, set->items[i].loc, "this is the first");
        return NULL;
    }
    VEC_PUSH(set->arena, set->items, set->count, set->cap, *b);
    return &set->items[set->count - 1];
}

bool
blocks_add(BlockSet *set, const Tree *tree, bool built_in)
{
    static const char *const keys[] = {"block",   "doc",    "params", "sizes", "checks",
                                       "weights", "states", "ops",    "hybrid"};
    Block b = {.built_in = built_in, .loc = tree->loc};
    if (tree->kind != TREE_MAP || !tree_is(tree_get(tree, "block"), TREE_SCALAR))
        return diag_error(set->diag, tree->loc, "a block is a map that starts with `block: NAME`");
    bool ok = only_keys(set, tree, "a block", keys, COUNT_OF(keys));
    b.loc = tree_get(tree, "block")->loc;
    ok &= entry_text(set, tree, "block", &b.name) && entry_text(set, tree, "doc", &b.doc);
    if (!is_identifier(b.name, "-."))
        return diag_error(set->diag, b.loc, "'%s' cannot be the name of a block", b.name);
    ok &= body_read(set, tree, &b);
    Block *slot = ok ? block_slot(set, &b) : NULL;
    if (slot)
        *slot = b;
    return slot != NULL;
}

void
blocks_add_built_in(BlockSet *set)
{
    for (int i = 0; i < fe_embedded_count; i++) {
        if (strncmp(fe_embedded[i].name, "blocks/", 7) != 0)
            continue;
        if (blocks_add(set, embedded_tree(set->arena, &fe_embedded[i]), true))
            continue;
        StrBuf text = {0};
        diag_print(set->diag, &text);
        die("%s", sb_text(&text));
    }
}

const Block *
blocks_find(const BlockSet *set, const char *name, SrcLoc loc)
{
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    name_unknown(set->diag, loc, "block", name, set->items, (size_t)set->count, sizeof *set->items);
    return NULL;
}

bool
statement_next_op(const char **at, Op *op)
{
    while (**at) {
        const char *name = *at;
        size_t len = 0;
        while (isalnum((unsigned char)name[len]) || name[len] == '_')
            len++;
        const char *after = name + len;
        *at = after + (len == 0);
        if (len > 0 && after[strspn(after, " ")] == '(' && op_by_name(name, len, op))
            return true;
    }
    return false;
}

bool
block_calls(const Block *block, Op op)
{
    Op called;
    for (int i = 0; i < block->ops->count; i++) {
        const Tree *t = block->ops->items[i], *under = tree_get(t, "op");
        for (const char *at = under ? under->text : t->text; statement_next_op(&at, &called);)
            if (called == op)
                return true;
    }
    return false;
}
