/* codegen/emit/emit_route.c -- route, which chooses the experts of each token, and fold, which adds
 * up what they made of it. ir/route.c has the equations.
 *
 *     for each token of this thread:
 *         logits -> scores -> scores + b, in scratch, -infinity behind them up to a whole vector
 *         of groups, those that are not kept become -infinity
 *         `top` times: the greatest, by vectors; it becomes -infinity
 *
 * Numbers are bounded by the least f32 from below, NaNs among them, so that all that may be chosen
 * are above -infinity: what is chosen is an expert, and no expert is chosen twice, whatever the
 * logits are. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "codegen/emit/cg.h"

typedef struct {
    CgKernel *k;
    const Node *n;
    int64_t experts, top, groups; /* groups: 0 without */
    Val scores, values;           /* scratch: f32 [experts] and a vector more */
    Val group_values;             /* scratch: f32 [groups] and a vector more */
    const CgOperand *chosen, *p;  /* results; NULL: nothing reads that one */
    Val best, index;              /* variables of the search: <lanes x float>, <lanes x i32> */
} Route;

static Val
least(Cg *c, int lanes)
{
    return cg_splat(c, cg_f32(c, -INFINITY), lanes);
}

static Val
number_at(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_f32, index);
}

/* [count] f32 in scratch that end with -infinity: all of the last vector, to be written over. */
static Val
padded_scratch(Cg *c, CgKernel *k, int64_t count)
{
    const Val at = cg_scratch(c, k, (round_up(count, c->lanes)) * (int64_t)sizeof(float));
    const Val last = cg_i64(c, round_up(count, c->lanes) - c->lanes);
    cg_vstore(c, number_at(c, at, last), DTYPE_f32, least(c, c->lanes), c->lanes, NULL);
    return at;
}

/* ---- scores -------------------------------------------------------------------------------- */

/* The logits of a row, one site after the other. */
static CgColumns
sites(Cg *c, const Route *r, Val row)
{
    return cg_columns(c, row, cg_i64(c, 0), cg_i64(c, r->experts), c->lanes);
}

/* x with `other` in the lanes that are none, in a whole vector. */
static Val
whole_vector(Cg *c, const CgSite *at, Val x, double other)
{
    const Val rest = cg_splat(c, cg_f32(c, other), c->lanes);
    if (at->mask)
        return LLVMBuildSelect(c->b, at->mask, x, rest, "");
    if (at->lanes < c->lanes)
        return LLVMBuildInsertElement(c->b, rest, x, cg_i64(c, 0), "");
    return x;
}

/* Logits of a row to scratch; the greatest of them. */
static Val
save_logits(Cg *c, const Route *r, Val row)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    cg_set(c, r->best, least(c, c->lanes));
    for (CgColumns s = sites(c, r, row); cg_columns_next(c, &s);) {
        cg_unbind_all(r->k);
        const Val x = cg_eval(c, r->k, r->n->in[0], &s.at);
        cg_vstore(c, number_at(c, r->scores, s.at.col), DTYPE_f32, x, s.at.lanes, s.at.mask);
        const Val all = whole_vector(c, &s.at, x, -INFINITY);
        cg_set(c, r->best, cg_vmax(c, all, cg_get(c, type, r->best)));
    }
    return cg_fold(c, cg_get(c, type, r->best), cg_vmax);
}

/* exp(x - most) in place of each logit; their sum. */
static Val
exponentials(Cg *c, const Route *r, Val row, Val most)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    cg_set(c, r->best, LLVMConstNull(type));
    for (CgColumns s = sites(c, r, row); cg_columns_next(c, &s);) {
        const Val at = number_at(c, r->scores, s.at.col);
        const Val x = cg_vload(c, at, DTYPE_f32, s.at.lanes, s.at.mask);
        const Val y = cg_exp(c, cg_fsub(c, x, cg_splat(c, most, s.at.lanes)));
        cg_vstore(c, at, DTYPE_f32, y, s.at.lanes, s.at.mask);
        const Val all = whole_vector(c, &s.at, y, 0);
        cg_set(c, r->best, cg_fadd(c, all, cg_get(c, type, r->best)));
    }
    return cg_fold(c, cg_get(c, type, r->best), cg_fadd);
}

/* Scores, and what experts are chosen by. */
static void
save_scores(Cg *c, const Route *r, Val row)
{
    const bool softmax = strcmp(node_word(r->n, ATTR_score, ""), "softmax") == 0;
    const Val most = save_logits(c, r, row);
    const Val sum = softmax ? exponentials(c, r, row, most) : NULL;
    const Value *bias = node_operand(r->n, 'B');
    for (CgColumns s = sites(c, r, row); cg_columns_next(c, &s);) {
        const CgSite *at = &s.at;
        const Val here = number_at(c, r->scores, at->col);
        Val x = cg_vload(c, here, DTYPE_f32, at->lanes, at->mask);
        if (softmax) {
            x = cg_fdiv(c, x, cg_splat(c, sum, at->lanes));
        } else {
            const Val one = cg_like(c, x, 1);
            x = cg_fdiv(c, one, cg_fadd(c, one, cg_exp(c, LLVMBuildFNeg(c->b, x, ""))));
        }
        cg_vstore(c, here, DTYPE_f32, x, at->lanes, at->mask);
        cg_unbind_all(r->k);
        const Val v = bias ? cg_fadd(c, x, cg_eval(c, r->k, bias, at)) : x;
        cg_vstore(c, number_at(c, r->values, at->col), DTYPE_f32,
                  cg_vmax(c, v, cg_like(c, v, -FLT_MAX)), at->lanes, at->mask);
    }
}

/* ---- the greatest -------------------------------------------------------------------------- */

typedef struct {
    Val number, index; /* as many lanes of f32, and of i32 */
} Found;

/* Lane by lane the greater, of equal ones the one with the lower index. */
static Found
greater(Cg *c, Found a, Found b)
{
    const Val above = LLVMBuildFCmp(c->b, LLVMRealOGT, b.number, a.number, "");
    const Val equal = LLVMBuildFCmp(c->b, LLVMRealOEQ, b.number, a.number, "");
    const Val before = LLVMBuildICmp(c->b, LLVMIntSLT, b.index, a.index, "");
    const Val take = LLVMBuildOr(c->b, above, LLVMBuildAnd(c->b, equal, before, ""), "");
    return (Found){LLVMBuildSelect(c->b, take, b.number, a.number, ""),
                   LLVMBuildSelect(c->b, take, b.index, a.index, "")};
}

static Val
lane_numbers(Cg *c)
{
    Val lane[64];
    if (c->lanes == 1)
        return LLVMConstInt(c->i32, 0, 0);
    for (int i = 0; i < c->lanes; i++)
        lane[i] = LLVMConstInt(c->i32, (unsigned)i, 0);
    return LLVMConstVector(lane, (unsigned)c->lanes);
}

/* The index of the greatest of `count` numbers, which becomes -infinity. */
static Val
take_greatest(Cg *c, const Route *r, Val numbers, int64_t count)
{
    const LLVMTypeRef real = cg_vec_type(c, c->lanes), whole = cg_vec_of(c->i32, c->lanes);
    const Val lanes = lane_numbers(c);
    cg_set(c, r->best, least(c, c->lanes));
    cg_set(c, r->index, lanes);
    CgLoop at = cg_loop(c, "greatest", cg_i64(c, 0), cg_i64(c, count), c->lanes);
    const Val first = LLVMBuildTrunc(c->b, at.i, c->i32, "");
    const Found old = {cg_get(c, real, r->best), cg_get(c, whole, r->index)};
    const Found new = {cg_vload(c, number_at(c, numbers, at.i), DTYPE_f32, c->lanes, NULL),
                       cg_add_ints(c, cg_splat(c, first, c->lanes), lanes)};
    const Val above = LLVMBuildFCmp(c->b, LLVMRealOGT, new.number, old.number, "");
    cg_set(c, r->best, LLVMBuildSelect(c->b, above, new.number, old.number, ""));
    cg_set(c, r->index, LLVMBuildSelect(c->b, above, new.index, old.index, ""));
    cg_loop_end(c, &at);
    Found all = {cg_get(c, real, r->best), cg_get(c, whole, r->index)};
    for (int n = c->lanes / 2; n >= 1; n /= 2)
        all = greater(c, (Found){cg_slice(c, all.number, 0, n), cg_slice(c, all.index, 0, n)},
                      (Found){cg_slice(c, all.number, n, n), cg_slice(c, all.index, n, n)});
    const Val index = LLVMBuildZExt(c->b, all.index, c->i64, "");
    cg_vstore(c, number_at(c, numbers, index), DTYPE_f32, least(c, 1), 1, NULL);
    return index;
}

/* ---- groups -------------------------------------------------------------------------------- */

/* The sum of the two greatest numbers of a group, or the one that it has. */
static Val
group_value(Cg *c, const Route *r, Val from, Val to)
{
    const Val one = cg_var(c, c->f32, least(c, 1), "first");
    const Val two = cg_var(c, c->f32, least(c, 1), "second");
    CgLoop at = cg_loop(c, "best", from, to, 1);
    const Val v = cg_vload(c, number_at(c, r->values, at.i), DTYPE_f32, 1, NULL);
    const Val first = cg_get(c, c->f32, one);
    cg_set(c, two, cg_vmax(c, cg_vmin(c, v, first), cg_get(c, c->f32, two)));
    cg_set(c, one, cg_vmax(c, v, first));
    cg_loop_end(c, &at);
    const Val first_of_all = cg_get(c, c->f32, one);
    if (r->experts == r->groups)
        return first_of_all;
    return cg_vmax(c, cg_fadd(c, first_of_all, cg_get(c, c->f32, two)), cg_f32(c, -FLT_MAX));
}

/* Experts of groups that are not kept become -infinity; kept groups are -infinity themselves. */
static void
keep_groups(Cg *c, const Route *r)
{
    const Val zero = cg_i64(c, 0), groups = cg_i64(c, r->groups);
    const Val each = cg_i64(c, r->experts / r->groups);
    CgLoop g = cg_loop(c, "group", zero, groups, 1);
    const Val from = cg_mul(c, g.i, each);
    const Val value = group_value(c, r, from, cg_add(c, from, each));
    cg_vstore(c, number_at(c, r->group_values, g.i), DTYPE_f32, value, 1, NULL);
    cg_loop_end(c, &g);
    CgLoop keep = cg_loop(c, "keep", zero, cg_i64(c, node_int(r->n, ATTR_kept, 1)), 1);
    (void)take_greatest(c, r, r->group_values, r->groups);
    cg_loop_end(c, &keep);
    CgLoop e = cg_loop(c, "expert", zero, cg_i64(c, r->experts), 1);
    const Val group = cg_div(c, e.i, each);
    const Val left = cg_vload(c, number_at(c, r->group_values, group), DTYPE_f32, 1, NULL);
    CgIf out = cg_if(c, LLVMBuildFCmp(c->b, LLVMRealOGT, left, least(c, 1), ""));
    cg_vstore(c, number_at(c, r->values, e.i), DTYPE_f32, least(c, 1), 1, NULL);
    cg_endif(c, &out);
    cg_loop_end(c, &e);
}

/* ---- a row --------------------------------------------------------------------------------- */

/* The experts of a token, and the scores of each. */
static void
route_row(Cg *c, const Route *r, Val row)
{
    const Val zero = cg_i64(c, 0), top = cg_i64(c, r->top), first = cg_mul(c, row, top);
    const Val sum = cg_var(c, c->f32, cg_f32(c, 1e-20), "sum");
    CgLoop i = cg_loop(c, "choose", zero, top, 1);
    const Val e = take_greatest(c, r, r->values, r->experts), to = cg_add(c, first, i.i);
    const Val s = cg_vload(c, number_at(c, r->scores, e), DTYPE_f32, 1, NULL);
    if (r->chosen)
        LLVMBuildStore(c->b, LLVMBuildTrunc(c->b, e, c->i32, ""),
                       cg_at(c, r->chosen->base, DTYPE_i32, to));
    if (r->p)
        cg_vstore(c, cg_element(c, r->p->base, DTYPE_f32, to, r->p->stride, zero), DTYPE_f32, s, 1,
                  NULL);
    cg_set(c, sum, cg_fadd(c, cg_get(c, c->f32, sum), s));
    cg_loop_end(c, &i);
    Val factor = cg_f32(c, node_num(r->n, ATTR_factor, 1));
    if (node_int(r->n, ATTR_normalise, 0))
        factor = cg_fdiv(c, factor, cg_get(c, c->f32, sum));
    else if (node_num(r->n, ATTR_factor, 1) == 1)
        return;
    if (!r->p)
        return;
    CgLoop scale = cg_loop(c, "scale", zero, top, 1);
    const Val at =
        cg_element(c, r->p->base, DTYPE_f32, cg_add(c, first, scale.i), r->p->stride, zero);
    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, cg_vload(c, at, DTYPE_f32, 1, NULL), factor), 1, NULL);
    cg_loop_end(c, &scale);
}

bool
emit_route(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    (void)diag; /* the shape rule has seen that there are as many experts as are chosen */
    Route r = {.k = k,
               .n = n,
               .experts = type_width(&n->in[0]->type),
               .top = node_int(n, ATTR_top, 1),
               .groups = node_int(n, ATTR_groups, 0),
               .chosen = cg_operand(k, n->out[0]),
               .p = cg_operand(k, n->out[1])};
    r.scores = padded_scratch(c, k, r.experts);
    r.values = padded_scratch(c, k, r.experts);
    r.group_values = r.groups ? padded_scratch(c, k, r.groups) : NULL;
    r.best = cg_var(c, cg_vec_type(c, c->lanes), NULL, "best");
    r.index = cg_var(c, cg_vec_of(c->i32, c->lanes), NULL, "index");
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, n->in[0]), 1);
    save_scores(c, &r, row.i);
    if (r.groups)
        keep_groups(c, &r);
    route_row(c, &r, row.i);
    cg_loop_end(c, &row);
    return true;
}

/* ---- fold ---------------------------------------------------------------------------------- */

bool
emit_fold(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const CgOperand *x = cg_operand(k, n->in[0]);
    if (!x || x->is_output) {
        diag_error(diag, n->loc, "%s reads `%s`, which its own kernel makes", op_info[n->op].name,
                   n->in[0]->name);
        return false;
    }
    const Val top = cg_i64(c, node_int(n, ATTR_top, 1)), width = cg_i64(c, cg_width(k->domain));
    const Val zero = cg_i64(c, 0);
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    const Val first = cg_mul(c, row.i, top);
    for (CgColumns s = cg_columns(c, row.i, zero, width, c->lanes); cg_columns_next(c, &s);) {
        const LLVMTypeRef type = cg_vec_type(c, s.at.lanes);
        const Val sum = cg_var(c, type, LLVMConstNull(type), "sum");
        CgLoop i = cg_loop(c, "fold", zero, top, 1);
        const Val at = cg_element(c, x->base, x->dtype, cg_add(c, first, i.i), x->stride, s.at.col);
        const Val one = cg_vload(c, at, x->dtype, s.at.lanes, s.at.mask);
        cg_set(c, sum, cg_fadd(c, cg_get(c, type, sum), one));
        cg_loop_end(c, &i);
        cg_unbind_all(k);
        cg_bind(k, n->out[0], cg_get(c, type, sum));
        cg_store_outputs(c, k, &s.at);
    }
    cg_loop_end(c, &row);
    return true;
}
