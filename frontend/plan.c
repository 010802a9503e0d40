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

/* Layers that an order names: characters of a text, or entries of a list. */
static int64_t
order_length(const Tree *order)
{
    return order->kind == TREE_SCALAR ? (int64_t)strlen(order->text) : order->count;
}

/* How many layers an entry, or a list of them, makes. What is wrong in it is reported where it is
 * read. */
static bool
count_layers(const Planner *p, const Tree *entry, int64_t *total)
{
    const Tree *inner = tree_get(entry, "layers"), *order = tree_get(entry, "order");
    int64_t repeat = 1, each = 1;
    *total = 0;
    for (int i = 0; tree_is(entry, TREE_LIST) && i < entry->count; i++) {
        if (!count_layers(p, entry->items[i], &each))
            return false;
        *total += each; /* each at most MAX_LAYERS */
    }
    if (tree_is(inner, TREE_LIST) && !count_layers(p, inner, &each))
        return false;
    if (!inner && order)
        each = order_length(order);
    if (!tree_whole(tree_get(entry, "repeat"), &repeat) || repeat < 1)
        repeat = 1;
    const bool fits = entry->kind == TREE_LIST || size_mul(each, repeat, total);
    return (fits && *total <= MAX_LAYERS) ||
           diag_error(p->diag, entry->loc, "this makes more than %d layers", MAX_LAYERS);
}

/* ---- an entry ------------------------------------------------------------------------------- */

/* What an entry stands in: each allows less than the one before it. */
typedef enum { OF_LIST, OF_KIND, OF_LAYER, OF_PARALLEL } Within;

/* What an entry may be, by the key that says so. */
static const struct {
    KeyId id;
    PlanKind kind;
    Within most; /* where it may stand at most */
} forms[] = {
    {KEY_layer_block,    PLAN_BLOCK,    OF_PARALLEL},
    {KEY_layer_parts,    PLAN_PARTS,    OF_KIND    },
    {KEY_layer_parallel, PLAN_PARALLEL, OF_LAYER   },
    {KEY_layer_layers,   PLAN_LAYERS,   OF_LIST    },
    {KEY_layer_order,    PLAN_LAYERS,   OF_LIST    },
};

static const char *
key_of(KeyId id)
{
    return key_spec[id].name + strlen("layers[].");
}

static bool plan_entry(const Planner *p, const Tree *entry, Within within, Plan *out);

static bool
plan_block(const Planner *p, const Tree *entry, const Tree *name, Plan *out, FeValue *keys)
{
    const Block *block = blocks_find(p->parts->blocks, name->text, name->loc);
    if (!block)
        return false;
    const char *params[BLOCK_MAX_PARAMS];
    for (int i = 0; i < block->nparams; i++)
        params[i] = block->params[i].spec.name;
    const bool ok = keys_read(p->arena, entry, "layers[].", params, block->nparams, p->diag, keys);
    out->prepared = block_prepare(p->arena, block, entry, p->scope, name->loc, p->diag);
    return out->prepared && ok;
}

/* Every entry is read, also behind one that is at fault. */
static bool
plan_list(const Planner *p, const Tree *list, Within within, Plan *out)
{
    bool ok = true;
    out->inner = arena_array(p->arena, (size_t)list->count + 1, sizeof *out->inner);
    for (int i = 0; i < list->count; i++)
        ok &= plan_entry(p, list->items[i], within, &out->inner[out->ninner++]);
    if (list->count)
        return ok;
    return diag_error(p->diag, list->loc, "there are no layers in this list");
}

/* The kind that an order names; NULL: there is none, as is said at loc. */
static const Plan *
kind_named(const Planner *p, const Tree *kinds, const Plan *plans, const char *name, SrcLoc loc)
{
    for (int i = 0; i < kinds->count; i++)
        if (strcmp(kinds->items[i]->key, name) == 0)
            return &plans[i];
    const char **names = arena_array(p->arena, (size_t)kinds->count + 1, sizeof *names);
    for (int i = 0; i < kinds->count; i++)
        names[i] = kinds->items[i]->key;
    name_unknown(p->diag, loc, "kind of layer", name, names, (size_t)kinds->count, sizeof *names);
    return NULL;
}

/* Entry i of an order and where it stands. NULL: it is no name. */
static const char *
order_at(const Planner *p, const Tree *order, int64_t i, SrcLoc *loc)
{
    if (order->kind == TREE_SCALAR) {
        *loc = order->loc;
        loc->column += (int)i;
        loc->span = 1;
        return arena_strndup(p->arena, order->text + i, 1);
    }
    *loc = order->items[i]->loc;
    return order->items[i]->kind == TREE_SCALAR ? order->items[i]->text : NULL;
}

/* Layers of a kind share what was prepared, not their weights. */
static bool
plan_order(const Planner *p, const Tree *entry, const FeValue *keys, Plan *out)
{
    const Tree *order = keys[KEY_layer_order].tree, *kinds = keys[KEY_layer_kinds].tree;
    if (!kinds || order->kind == TREE_MAP || order_length(order) == 0)
        return diag_error(p->diag, kinds ? order->loc : entry->loc,
                          "an order is a text or a list that names kinds of layers, as in "
                          "{order: MM-, kinds: {M: {block: NAME}, -: {block: NAME}}}");
    Plan all = {0};
    if (!plan_list(p, kinds, OF_KIND, &all))
        return false;
    bool ok = true;
    out->inner = arena_array(p->arena, (size_t)order_length(order), sizeof *out->inner);
    for (int64_t i = 0; i < order_length(order); i++) {
        SrcLoc loc;
        const char *name = order_at(p, order, i, &loc);
        const Plan *kind = name ? kind_named(p, kinds, all.inner, name, loc) : NULL;
        if (!name)
            diag_error(p->diag, loc, "this is %s; expected the name of a kind",
                       tree_text(p->arena, order->items[i]));
        if (kind)
            out->inner[out->ninner++] = *kind;
        ok &= kind != NULL;
    }
    return ok;
}

static bool
plan_several(const Planner *p, const Tree *entry, KeyId form, const FeValue *keys, Plan *out)
{
    if (form == KEY_layer_order)
        return plan_order(p, entry, keys, out);
    const Within within = form == KEY_layer_layers  ? OF_LIST
                          : form == KEY_layer_parts ? OF_LAYER
                                                    : OF_PARALLEL;
    return plan_list(p, keys[form].tree, within, out);
}

/* An entry is one thing, and stands where it may. */
static bool
check_form(const Planner *p, const Tree *entry, size_t form, Within within)
{
    static const char *const places[] = {"", "a kind of layer", "parts", "parallel"};
    const Tree *said = tree_get(entry, key_of(forms[form].id)), *repeat = tree_get(entry, "repeat");
    for (size_t i = form + 1; i < COUNT_OF(forms); i++) {
        const Tree *other = tree_get(entry, key_of(forms[i].id));
        if (!other)
            continue;
        diag_error(p->diag, other->key_loc, "a layer has %s%s or %s, not both",
                   forms[form].id == KEY_layer_block ? "a " : "", key_of(forms[form].id),
                   key_of(forms[i].id));
        return diag_also(p->diag, said->loc, "the %s given here",
                         forms[form].id == KEY_layer_block ? "block is" : "others are");
    }
    if (within > forms[form].most)
        return diag_error(p->diag, said->key_loc, "%s cannot stand inside %s", said->key,
                          places[within]);
    if (within != OF_LIST && repeat && !repeat->everywhere)
        return diag_error(p->diag, repeat->key_loc, "repeat cannot stand inside %s",
                          places[within]);
    return true;
}

static bool
plan_entry(const Planner *p, const Tree *entry, Within within, Plan *out)
{
    FeValue keys[KEY_COUNT] = {0};
    size_t form = 0;
    while (form < COUNT_OF(forms) && !tree_get(entry, key_of(forms[form].id)))
        form++;
    const Tree *block = tree_get(entry, "block");
    if (form == COUNT_OF(forms) || (block && block->kind != TREE_SCALAR))
        return diag_error(
            p->diag, block ? block->loc : entry->loc,
            "a layer names its block, as in {block: mamba2, repeat: 8}, or is a group of layers, "
            "as in {repeat: 4, layers: [...]}");
    if (!check_form(p, entry, form, within))
        return false;
    const bool ok = block ? plan_block(p, entry, block, out, keys)
                          : keys_read(p->arena, entry, "layers[].", NULL, 0, p->diag, keys) &&
                                plan_several(p, entry, forms[form].id, keys, out);
    out->kind = forms[form].kind;
    out->repeat = keys[KEY_layer_repeat].i;
    out->share = keys[KEY_layer_share].given ? keys[KEY_layer_share].text : NULL;
    out->name = keys[KEY_layer_name].given ? keys[KEY_layer_name].text : NULL;
    return ok;
}

/* ---- parameters put everywhere -------------------------------------------------------------- */

/* Whether a block has the parameter that was put everywhere, or everywhere where there is an op. */
static bool
block_has(const Block *block, const Tree *item)
{
    Op op;
    if (item->kind == TREE_MAP && op_by_name(item->key, strlen(item->key), &op)) {
        bool all = block_calls(block, op);
        for (int i = 0; i < item->count; i++)
            all = all && block_has(block, item->items[i]);
        return all;
    }
    for (int i = 0; i < block->nparams; i++)
        if (strcmp(block->params[i].spec.name, item->key) == 0)
            return true;
    return false;
}

/* Whether the block of the entry, or of one inside it, has such a parameter. */
static bool
any_has(const Planner *p, const Tree *entry, const Tree *item)
{
    const Tree *inner = layer_inner(entry), *name = tree_get(entry, "block");
    const Block *block = name ? blocks_find(p->parts->blocks, name->text, name->loc) : NULL;
    if (block && block_has(block, item))
        return true;
    for (int i = 0; inner && i < inner->count; i++)
        if (any_has(p, inner->items[i], item))
            return true;
    return key_is_of_layer(item->key);
}

/* Every entry of a list that was read without faults has what was put everywhere; some block must
 * know it, of the model or that was added to it (NULL: none). */
static bool
check_everywhere(const Planner *p, const Tree *layers, const Block *added)
{
    const bool list = layers->kind == TREE_LIST;
    const Tree *entry = list ? layers->items[0] : layers;
    bool ok = true;
    for (int i = 0; i < entry->count; i++) {
        const Tree *item = entry->items[i];
        bool known =
            !item->everywhere || any_has(p, layers, item) || (added && block_has(added, item));
        for (int k = 0; list && k < layers->count; k++)
            known = known || any_has(p, layers->items[k], item);
        if (known)
            continue;
        const bool of_op = item->kind == TREE_MAP;
        diag_error(p->diag, of_op ? item->items[0]->key_loc : item->key_loc,
                   "no layer's block has %s%s%sa parameter '%s'", of_op ? "op " : "",
                   of_op ? item->key : "", of_op ? " and " : "",
                   of_op ? item->items[item->count - 1]->key : item->key);
        ok = false;
    }
    return ok;
}

/* ---- the model's layers and its frame ------------------------------------------------------- */

bool
plan_layers(Arena *arena, const ModelParts *parts, Scope *scope, Diag *diag, Plan *out)
{
    /* What block files may compute with. */
    static const struct {
        const char *name;
        KeyId key;
    } names[] = {
        {"vocab",          KEY_vocab         },
        {"dim",            KEY_dim           },
        {"eps",            KEY_eps           },
        {"tie_embeddings", KEY_tie_embeddings}
    };
    const Planner p = {arena, diag, parts, scope};
    const FeValue *layers = &parts->keys[KEY_layers];
    int64_t total = 0;
    if (layers->bad)
        return false;
    if (layers->tree->kind == TREE_SCALAR)
        return diag_error(diag, layers->loc, "layers is %s; expected %s",
                          tree_text(arena, layers->tree), key_spec[KEY_layers].doc);
    if (!count_layers(&p, layers->tree, &total))
        return false;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const FeValue *v = &parts->keys[names[i].key];
        scope_bind(arena, scope, names[i].name, *v, NULL)->broken = v->bad;
    }
    out->kind = PLAN_LAYERS;
    out->repeat = 1;
    out->layers = total;
    const bool list = layers->tree->kind == TREE_LIST;
    const Block *added = NULL;
    if (!list) {
        out->inner = arena_array(arena, 1, sizeof *out->inner);
        out->ninner = 1;
    }
    return (list ? plan_list(&p, layers->tree, OF_LIST, out)
                 : plan_entry(&p, layers->tree, OF_LIST, out->inner)) &&
           plan_hybrid(arena, parts, scope, list ? layers->tree->items[0] : layers->tree, diag, out,
                       &added) &&
           check_everywhere(&p, layers->tree, added);
}

/* Keys of a frame that are no parameters of its block are faults. */
static bool
frame_keys(Arena *arena, const Block *block, const Tree *map, Diag *diag)
{
    FeValue keys[KEY_COUNT] = {0};
    const char *params[BLOCK_MAX_PARAMS];
    for (int i = 0; i < block->nparams; i++)
        params[i] = block->params[i].spec.name;
    return keys_read(arena, map, "frame.", params, block->nparams, diag, keys);
}

Prepared *
plan_frame(Arena *arena, const ModelParts *parts, const Scope *scope, Diag *diag)
{
    const FeValue *frame = &parts->keys[KEY_frame];
    const Tree *map = tree_is(frame->tree, TREE_MAP) ? frame->tree : NULL;
    const Tree *name = map ? tree_get(map, "block") : frame->tree;
    if (frame->bad)
        return NULL;
    if (name && name->kind != TREE_SCALAR) {
        diag_error(diag, name->loc,
                   "the frame is %s; expected the name of a block, or {block: "
                   "NAME, parameters of the block}",
                   tree_text(arena, name));
        return NULL;
    }
    const SrcLoc loc = name ? name->loc : frame->loc;
    const Block *block =
        blocks_find(parts->blocks, name ? name->text : key_spec[KEY_frame_block].preset, loc);
    if (!block || (map && !frame_keys(arena, block, map, diag)))
        return NULL;
    return block_prepare(arena, block, map, scope, loc, diag);
}
