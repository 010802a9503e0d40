/* frontend/hybrid.c -- the key `attention`: how many of a model's mixers are attention.
 *
 * A mixer is a block with an op of class ATTEND or RECURRENT: what it is is asked of its
 * statements. Of L mixers N become attention, each in the middle of one of N equal parts, number
 * (2i + 1) L / 2N from 0 on, as published hybrids have them: 5, 15, 25, 35 of 40, and 4, 12, 20, 28
 * of 32. The others become recurrences. A mixer that is what it should be stays as it is; one that
 * changes is as the first of its new kind in the model, or, where the model has none, as the block
 * with a `hybrid:` says. A model with N attention mixers already is left as it is. */
#include <string.h>

#include "frontend/build.h"

typedef enum { KIND_ATTENTION, KIND_RECURRENCE, KINDS } Kind;
static const OpClass kind_class[KINDS] = {
    [KIND_ATTENTION] = CLASS_ATTEND, [KIND_RECURRENCE] = CLASS_RECURRENT};

typedef struct {
    Plan *block; /* of a layer */
    Kind kind;
    const Prepared *was; /* as the model has it */
} Mixer;

typedef struct {
    Arena *arena;
    const ModelParts *parts;
    const Scope *scope; /* of the model */
    Diag *diag;
    const FeValue *wanted;
    Plan *layers; /* each by itself */
    int nlayers, cap_layers;
    Mixer *mixers; /* in their order */
    int nmixers, cap_mixers;
} Hybrid;

/* ---- which blocks are mixers ---------------------------------------------------------------- */

static bool
prepared_is(const Prepared *prepared, Kind kind)
{
    Op op;
    for (int i = 0; i < prepared->nops; i++)
        for (const char *at = prepared->ops[i]->text; statement_next_op(&at, &op);)
            if (op_info[op].cls == kind_class[kind])
                return true;
    return false;
}

static bool
block_is(const Block *block, Kind kind)
{
    for (int op = 0; op < OP_COUNT; op++)
        if (op_info[op].cls == kind_class[kind] && block_calls(block, (Op)op))
            return true;
    return false;
}

/* ---- the model's mixers --------------------------------------------------------------------- */

/* With blocks of its own, which may change without changing equal layers. */
static Plan
plan_copy(Arena *arena, const Plan *plan)
{
    Plan copy = *plan;
    copy.repeat = 1;
    if (plan->ninner > 0)
        copy.inner = arena_array(arena, (size_t)plan->ninner, sizeof *copy.inner);
    for (int i = 0; i < plan->ninner; i++)
        copy.inner[i] = plan_copy(arena, &plan->inner[i]);
    return copy;
}

/* Their number was checked when they were counted. */
static void
layers_add(Hybrid *h, const Plan *plan)
{
    for (int64_t i = 0; i < plan->repeat; i++) {
        for (int k = 0; plan->kind == PLAN_LAYERS && k < plan->ninner; k++)
            layers_add(h, &plan->inner[k]);
        if (plan->kind != PLAN_LAYERS)
            VEC_PUSH(h->arena, h->layers, h->nlayers, h->cap_layers, plan_copy(h->arena, plan));
    }
}

static const Prepared *
first_block(const Plan *plan)
{
    return plan->kind == PLAN_BLOCK ? plan->prepared : first_block(&plan->inner[0]);
}

static bool
mixers_add(Hybrid *h, Plan *plan)
{
    const int before = h->nmixers;
    if (plan->kind == PLAN_BLOCK) {
        const bool attention = prepared_is(plan->prepared, KIND_ATTENTION);
        const Mixer m = {plan, attention ? KIND_ATTENTION : KIND_RECURRENCE, plan->prepared};
        const bool recurrence = prepared_is(plan->prepared, KIND_RECURRENCE);
        if (attention || recurrence)
            VEC_PUSH(h->arena, h->mixers, h->nmixers, h->cap_mixers, m);
        if (!attention || !recurrence)
            return true;
    }
    for (int i = 0; i < plan->ninner; i++)
        if (!mixers_add(h, &plan->inner[i]))
            return false;
    if (plan->kind == PLAN_PARTS || h->nmixers - before < 1 + (plan->kind == PLAN_PARALLEL))
        return true;
    diag_error(h->diag, h->wanted->loc,
               "attention = %lld, but a layer has attention and a recurrence, or two of them, side "
               "by side: it is not one or the other",
               (long long)h->wanted->i);
    return diag_also(h->diag, first_block(plan)->user, "this layer");
}

/* ---- what they become ----------------------------------------------------------------------- */

static const Block *
block_for(const BlockSet *set, Kind kind)
{
    const Block *found = NULL;
    for (int i = 0; i < set->count; i++) /* a user's comes behind the built-in ones */
        if (set->items[i].hybrid && block_is(&set->items[i], kind))
            found = &set->items[i];
    return found;
}

/* With the defaults that `hybrid:` says in place of its own, and with what was put everywhere. */
static Prepared *
block_default(const Hybrid *h, const Block *block, const Tree *everywhere)
{
    Block own = *block;
    Tree *entry = tree_new(h->arena, TREE_MAP, h->wanted->loc);
    own.params = arena_array(h->arena, (size_t)own.nparams + 1, sizeof *own.params);
    for (int i = 0; i < own.nparams; i++) {
        own.params[i] = block->params[i];
        const char *name = own.params[i].spec.name;
        const Tree *preset = tree_get(block->hybrid, name), *item = tree_get(everywhere, name);
        if (preset)
            own.params[i].preset = preset;
        else if (item && item->everywhere)
            tree_put(h->arena, entry, name, tree_copy(h->arena, item));
    }
    for (int i = 0; i < everywhere->count; i++) { /* of blocks with an op */
        const Tree *item = everywhere->items[i];
        if (item->everywhere && item->kind == TREE_MAP)
            tree_put(h->arena, entry, item->key, tree_copy(h->arena, item));
    }
    Block *kept = arena_alloc(h->arena, sizeof *kept);
    *kept = own;
    return block_prepare(h->arena, kept, entry, h->scope, h->wanted->loc, h->diag);
}

/* What a mixer of that kind is where it was none. NULL: the fault is in diag. */
static const Prepared *
pattern_of(const Hybrid *h, Kind kind, const Tree *everywhere, const Block **added)
{
    for (int i = 0; i < h->nmixers; i++)
        if (h->mixers[i].kind == kind)
            return h->mixers[i].was;
    *added = block_for(h->parts->blocks, kind);
    if (!*added)
        die("frontend/blocks: no block of class %d has a `hybrid:`", (int)kind_class[kind]);
    return block_default(h, *added, everywhere);
}

static bool
hybrid_fits(const Hybrid *h)
{
    if (h->nmixers == 0)
        return diag_error(h->diag, h->wanted->loc,
                          "attention = %lld, but no layer has attention or a recurrence that it "
                          "could take the place of",
                          (long long)h->wanted->i);
    return h->wanted->i <= h->nmixers ||
           diag_error(h->diag, h->wanted->loc,
                      "attention = %lld, but the model has %d layer%s of attention or a recurrence",
                      (long long)h->wanted->i, h->nmixers, h->nmixers == 1 ? "" : "s");
}

bool
plan_hybrid(Arena *arena, const ModelParts *parts, const Scope *scope, const Tree *everywhere,
            Diag *diag, Plan *plan, const Block **added)
{
    Hybrid h = {.arena = arena,
                .parts = parts,
                .scope = scope,
                .diag = diag,
                .wanted = &parts->keys[KEY_attention]};
    const int64_t wanted = h.wanted->i;
    int64_t have = 0, next = 0;
    *added = NULL;
    if (h.wanted->bad || !h.wanted->given)
        return !h.wanted->bad;
    layers_add(&h, plan);
    for (int i = 0; i < h.nlayers; i++)
        if (!mixers_add(&h, &h.layers[i]))
            return false;
    if (!hybrid_fits(&h))
        return false;
    for (int i = 0; i < h.nmixers; i++)
        have += h.mixers[i].kind == KIND_ATTENTION;
    if (have == wanted)
        return true;
    const Prepared *pattern[KINDS] = {NULL};
    for (int i = 0; i < h.nmixers; i++) {
        const bool attend = next < wanted && i == (2 * next + 1) * h.nmixers / (2 * wanted);
        const Kind kind = attend ? KIND_ATTENTION : KIND_RECURRENCE;
        next += attend;
        if (h.mixers[i].kind == kind)
            continue;
        if (!pattern[kind])
            pattern[kind] = pattern_of(&h, kind, everywhere, added);
        if (!pattern[kind])
            return false;
        h.mixers[i].block->prepared = pattern[kind];
    }
    plan->inner = h.layers;
    plan->ninner = h.nlayers;
    return true;
}
