/* frontend/plan.c -- the layers of a model: each entry read, its block found and prepared. */
#include <string.h>

#include "frontend/build.h"

enum { MAX_LAYERS = 1024 };

typedef struct {
    Arena *arena;
    Diag *diag;
    const ModelParts *parts;
    const Scope *scope; /* of the model */
} Planner;

/* How many layers a list makes. What is wrong in it is reported where it is read. */
static bool
count_layers(const Planner *p, const Tree *list, int64_t *total)
{
    *total = 0;
    for (int i = 0; i < list->count; i++) {
        const Tree *entry = list->items[i];
        const Tree *inner = tree_get(entry, "layers");
        int64_t repeat = 1, each = 1;
        if (tree_is(inner, TREE_LIST) && !count_layers(p, inner, &each))
            return false;
        if (!tree_whole(tree_get(entry, "repeat"), &repeat) || repeat < 1)
            repeat = 1;
        if (size_mul(each, repeat, &each) && size_add(*total, each, total) && *total <= MAX_LAYERS)
            continue;
        return diag_error(p->diag, entry->loc, "this makes more than %d layers", MAX_LAYERS);
    }
    return true;
}

/* What block files may compute with. */
static void
bind_model(const Planner *p, Scope *scope)
{
    static const struct {
        const char *name;
        KeyId key;
    } names[] = {
        {"vocab",          KEY_vocab         },
        {"dim",            KEY_dim           },
        {"eps",            KEY_eps           },
        {"tie_embeddings", KEY_tie_embeddings}
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const FeValue *v = &p->parts->keys[names[i].key];
        scope_bind(p->arena, scope, names[i].name, *v, NULL)->broken = v->bad;
    }
}

/* ---- an entry ------------------------------------------------------------------------------- */

static bool
plan_block(const Planner *p, const Tree *entry, const Tree *name, Plan *out)
{
    FeValue keys[KEY_COUNT] = {0};
    const Block *block = blocks_find(p->parts->blocks, name->text, name->loc);
    if (!block)
        return false;
    const char *params[BLOCK_MAX_PARAMS];
    for (int i = 0; i < block->nparams; i++)
        params[i] = block->params[i].spec.name;
    bool ok = keys_read(p->arena, entry, "layers[].", params, block->nparams, p->diag, keys);
    if (keys[KEY_layer_layers].given) {
        diag_error(p->diag, keys[KEY_layer_layers].loc, "a layer has a block or layers, not both");
        diag_also(p->diag, name->loc, "the block is given here");
        ok = false;
    }
    out->repeat = keys[KEY_layer_repeat].i;
    out->prepared = block_prepare(p->arena, block, entry, p->scope, name->loc, p->diag);
    return out->prepared && ok;
}

static bool plan_list(const Planner *p, const Tree *list, Plan *out);

static bool
plan_group(const Planner *p, const Tree *entry, Plan *out)
{
    FeValue keys[KEY_COUNT] = {0};
    if (!keys_read(p->arena, entry, "layers[].", NULL, 0, p->diag, keys))
        return false;
    out->repeat = keys[KEY_layer_repeat].i;
    return plan_list(p, keys[KEY_layer_layers].tree, out);
}

static bool
plan_entry(const Planner *p, const Tree *entry, Plan *out)
{
    const Tree *block = tree_get(entry, "block");
    if (tree_is(block, TREE_SCALAR))
        return plan_block(p, entry, block, out);
    if (!block && tree_get(entry, "layers"))
        return plan_group(p, entry, out);
    return diag_error(
        p->diag, block ? block->loc : entry->loc,
        "a layer names its block, as in {block: mamba2, repeat: 8}, or is a group of layers, "
        "as in {repeat: 4, layers: [...]}");
}

/* Every entry is read, also behind one that is at fault. */
static bool
plan_list(const Planner *p, const Tree *list, Plan *out)
{
    bool ok = true;
    out->inner = arena_array(p->arena, (size_t)list->count + 1, sizeof *out->inner);
    for (int i = 0; i < list->count; i++)
        ok &= plan_entry(p, list->items[i], &out->inner[out->ninner++]);
    if (list->count)
        return ok;
    return diag_error(p->diag, list->loc, "there are no layers in this list");
}

/* ---- parameters put everywhere -------------------------------------------------------------- */

static bool
any_has(const Planner *p, const Tree *list, const char *key)
{
    for (int i = 0; i < list->count; i++) {
        const Tree *inner = tree_get(list->items[i], "layers");
        const Tree *name = tree_get(list->items[i], "block");
        const Block *block = name ? blocks_find(p->parts->blocks, name->text, name->loc) : NULL;
        for (int k = 0; block && k < block->nparams; k++)
            if (strcmp(block->params[k].spec.name, key) == 0)
                return true;
        if (inner && any_has(p, inner, key))
            return true;
    }
    return key_is_of_layer(key);
}

/* Every entry of a list that was read without faults has what was put everywhere; some block must
 * know it. */
static bool
check_everywhere(const Planner *p, const Tree *list)
{
    const Tree *entry = list->items[0];
    bool ok = true;
    for (int i = 0; i < entry->count; i++) {
        const Tree *item = entry->items[i];
        if (!item->everywhere || any_has(p, list, item->key))
            continue;
        diag_error(p->diag, item->key_loc, "no layer's block has a parameter '%s'", item->key);
        ok = false;
    }
    return ok;
}

bool
plan_layers(Arena *arena, const ModelParts *parts, Scope *scope, Diag *diag, Plan *out)
{
    const Planner p = {arena, diag, parts, scope};
    const FeValue *layers = &parts->keys[KEY_layers];
    int64_t total = 0;
    if (layers->bad || !count_layers(&p, layers->tree, &total))
        return false;
    bind_model(&p, scope);
    out->repeat = 1;
    return plan_list(&p, layers->tree, out) && check_everywhere(&p, layers->tree);
}
