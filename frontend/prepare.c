/* frontend/prepare.c -- a block meets its parameters: defaults, sizes, checks, shapes of its
 * weights. */
#include <stdint.h>
#include <string.h>

#include "frontend/build.h"

enum { MAX_WIDTH = INT32_MAX };
static const int64_t max_elements = INT64_C(1) << 40; /* of one weight */

typedef struct {
    Arena *arena;
    Diag *diag;
    Prepared *to;
    const Tree *entry;
} Prepare;

static Expr
expr_start(const Prepare *p)
{
    return (Expr){.arena = p->arena, .scope = &p->to->scope};
}

/* Evaluates the text of t; false: reported. */
static bool
evaluate(const Prepare *p, const Tree *t, Expr *e)
{
    *e = expr_start(p);
    if (expr_eval(e, t->text, strlen(t->text)))
        return true;
    expr_fault(e, t->loc, p->to->user, p->diag);
    return false;
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* A default that is an expression, or a value out of its range. */
static bool
computed_default(const Prepare *p, const BlockParam *param, FeValue *out, Expr *e)
{
    if (!evaluate(p, param->preset, e))
        return false;
    const bool is_bool = param->spec.kind == SPEC_BOOL;
    const char *number = expr_number_text(p->arena, e->value);
    const Tree t = {.kind = TREE_SCALAR,
                    .text = is_bool ? (e->value.num != 0 ? "true" : "false") : number};
    if (spec_try(p->arena, &param->spec, &t, out)) {
        out->given = false;
        return true;
    }
    e->why = arena_printf(p->arena, "%s is %s = %s; expected %s", param->spec.name,
                          param->preset->text, number, spec_wants(p->arena, &param->spec));
    expr_fault(e, param->preset->loc, p->to->user, p->diag);
    return false;
}

static bool
read_default(const Prepare *p, const BlockParam *param, FeValue *out, Expr *e)
{
    const SpecKind kind = param->spec.kind;
    if (!param->preset)
        return diag_error(p->diag, p->to->user, "block %s needs '%s': %s", p->to->block->name,
                          param->spec.name, spec_wants(p->arena, &param->spec));
    if (spec_try(p->arena, &param->spec, param->preset, out)) {
        out->given = false;
        return true;
    }
    const bool number = kind == SPEC_INT || kind == SPEC_NUM || kind == SPEC_BOOL;
    if (number && param->preset->kind == TREE_SCALAR)
        return computed_default(p, param, out, e);
    return spec_read(p->arena, &param->spec, param->preset, p->diag, out);
}

/* What the entry says of a parameter: by itself, or to all blocks with an op that this one has. */
static const Tree *
given_for(const Prepare *p, const char *name)
{
    const Tree *given = tree_get(p->entry, name);
    for (int i = 0; p->entry && i < p->entry->count; i++) {
        const Tree *item = p->entry->items[i];
        Op op;
        if (item->everywhere && tree_get(item, name) &&
            op_by_name(item->key, strlen(item->key), &op) && block_calls(p->to->block, op))
            given = tree_get(item, name);
    }
    return given;
}

static bool
read_param(const Prepare *p, const BlockParam *param)
{
    const Tree *given = given_for(p, param->spec.name);
    FeValue value = {.kind = param->spec.kind};
    Expr e = expr_start(p);
    const bool ok = given ? spec_read(p->arena, &param->spec, given, p->diag, &value)
                          : read_default(p, param, &value, &e);
    scope_bind(p->arena, &p->to->scope, param->spec.name, value, &e)->broken = !ok;
    return ok;
}

/* ---- sizes and checks ----------------------------------------------------------------------- */

/* An integer in 1 .. MAX_WIDTH. */
static bool
evaluate_size(const Prepare *p, const char *name, const Tree *t, Expr *e)
{
    if (!evaluate(p, t, e))
        return false;
    if (e->value.whole && e->value.i >= 1 && e->value.i <= MAX_WIDTH)
        return true;
    const char *number = expr_number_text(p->arena, e->value);
    e->why = arena_printf(p->arena, "%s is %s = %s; expected a whole number from 1 to %d", name,
                          t->text, number, MAX_WIDTH);
    expr_fault(e, t->loc, p->to->user, p->diag);
    return false;
}

static bool
check(const Prepare *p, const Tree *t)
{
    Expr e;
    if (!evaluate(p, t, &e))
        return false;
    if (e.value.num != 0)
        return true;
    if (!e.why)
        e.why = arena_printf(p->arena, "%s does not hold", t->text);
    expr_fault(&e, t->loc, p->to->user, p->diag);
    return false;
}

/* ---- weights -------------------------------------------------------------------------------- */

/* Size i of the weight at index `at` of its block. */
static bool
weight_size(const Prepare *p, int at, int i, int64_t *size)
{
    Expr e;
    const Tree *t = p->to->block->weights[at].shape->items[i];
    if (t->kind != TREE_SCALAR)
        return diag_error(p->diag, t->loc, "a size is %s; expected an expression",
                          tree_text(p->arena, t));
    if (!evaluate_size(p, "a size", t, &e))
        return false;
    const FeOrigins from = expr_origins(&e);
    p->to->shape[at].dim[i] = from;
    if (i == 0 && from.count)
        p->to->loc[at] = from.items[0].loc;
    *size = e.value.i;
    return true;
}

static bool
weight_shape(const Prepare *p, int at)
{
    const BlockWeight *w = &p->to->block->weights[at];
    int64_t dims[IR_MAX_RANK], total = 1;
    for (int i = 0; i < w->shape->count; i++) {
        if (!weight_size(p, at, i, &dims[i]))
            return false;
        if (!size_mul(total, dims[i], &total) || total > max_elements)
            return diag_error(p->diag, p->to->loc[at],
                              "weight %s of block %s would have more than %lld elements", w->name,
                              p->to->block->name, (long long)max_elements);
    }
    p->to->shape[at].text = tree_text(p->arena, w->shape);
    p->to->shape[at].block = p->to->block->name;
    p->to->type[at] = type_const(DTYPE_f32, w->shape->count, dims);
    return true;
}

static bool
prepare_weight(const Prepare *p, int i)
{
    const BlockWeight *w = &p->to->block->weights[i];
    Expr e = {.nused = 0};
    if (w->when && !evaluate(p, w->when, &e))
        return false;
    p->to->present[i] = !w->when || e.value.num != 0;
    p->to->loc[i] = p->to->user;
    if (w->when)
        p->to->shape[i].when = expr_origins(&e);
    return !p->to->present[i] || weight_shape(p, i);
}

/* ---- statements ----------------------------------------------------------------------------- */

static bool
prepare_ops(const Prepare *p, const Tree *ops)
{
    p->to->ops = arena_array(p->arena, (size_t)ops->count + 1, sizeof *p->to->ops);
    for (int i = 0; i < ops->count; i++) {
        const Tree *t = ops->items[i];
        const Tree *when = t->kind == TREE_MAP ? tree_get(t, "when") : NULL;
        Expr e = {.nused = 0};
        if (when && !evaluate(p, when, &e))
            return false;
        if (!when || e.value.num != 0)
            p->to->ops[p->to->nops++] = when ? tree_get(t, "op") : t;
    }
    return true;
}

Prepared *
block_prepare(Arena *arena, const Block *block, const Tree *entry, const Scope *model, SrcLoc user,
              Diag *diag)
{
    Prepared *to = arena_alloc(arena, sizeof *to);
    to->block = block;
    to->user = user;
    to->scope.parent = model;
    const Prepare p = {arena, diag, to, entry};
    bool ok = true;
    for (int i = 0; i < block->nparams; i++)
        ok &= read_param(&p, &block->params[i]);
    for (int i = 0; block->sizes && i < block->sizes->count; i++) {
        const Tree *t = block->sizes->items[i];
        Expr e;
        const bool known = evaluate_size(&p, t->key, t, &e);
        const FeValue value = {.kind = SPEC_INT, .i = e.value.i, .num = e.value.num};
        scope_bind(arena, &to->scope, t->key, value, &e)->broken = !known;
        ok &= known;
    }
    for (int i = 0; block->checks && i < block->checks->count; i++)
        ok &= check(&p, block->checks->items[i]);
    for (int i = 0; i < block->nweights && ok; i++)
        ok &= prepare_weight(&p, i);
    return ok && prepare_ops(&p, block->ops) ? to : NULL;
}
