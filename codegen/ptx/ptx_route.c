/* codegen/ptx/ptx_route.c -- route, which chooses the experts of each token, a warp for each; and
 * fold, which adds up what they made of it, a column for each thread. As codegen/emit/emit_route.c:
 *
 *     logits -> scores -> scores + b, in the warp's shared memory, expert e in lane e % 32's care
 *     of groups, those that are not kept become -infinity
 *     `top` times: the greatest; it becomes -infinity
 *
 * Numbers are bounded by the least f32 from below, NaNs among them, so that what is chosen is above
 * -infinity: an expert, and none twice. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "codegen/ptx/ptx.h"

typedef struct {
    CgKernel *k;
    const Node *n;
    int64_t experts, top, groups; /* groups: 0 without */
    Val scores, values;           /* the warp's: f32 [experts] */
    Val group_values;             /* f32 [groups] */
    const CgOperand *chosen, *p;  /* results; NULL: nothing reads that one */
    Val row, lane;
    Val best, index; /* variables: f32, i32 */
} Route;

static Val
number_at(Cg *c, Val base, Val index)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

static void
put_number(Cg *c, Val base, Val index, Val value)
{
    cg_vstore(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, value, 1, NULL);
}

/* What this lane cares for of `count` numbers. */
static CgLoop
own(Cg *c, const Route *r, const char *name, int64_t count)
{
    return cg_loop(c, name, r->lane, cg_i64(c, count), GPU_WARP);
}

/* ---- scores -------------------------------------------------------------------------------- */

/* Logits to the warp's memory; the greatest of them. */
static Val
save_logits(Cg *c, const Route *r)
{
    cg_set(c, r->best, cg_f32(c, -INFINITY));
    CgLoop e = own(c, r, "logit", r->experts);
    const Val x = cg_eval_one(c, r->k, r->n->in[0], r->row, e.i);
    put_number(c, r->scores, e.i, x);
    cg_set(c, r->best, cg_vmax(c, x, cg_get(c, c->f32, r->best)));
    cg_loop_end(c, &e);
    return ptx_warp_fold(c, cg_get(c, c->f32, r->best), GPU_WARP, cg_vmax);
}

/* exp(x - most) in place of each logit; their sum. */
static Val
exponentials(Cg *c, const Route *r, Val most)
{
    cg_set(c, r->best, cg_f32(c, 0));
    CgLoop e = own(c, r, "exponential", r->experts);
    const Val y = cg_exp(c, cg_fsub(c, number_at(c, r->scores, e.i), most));
    put_number(c, r->scores, e.i, y);
    cg_set(c, r->best, cg_fadd(c, y, cg_get(c, c->f32, r->best)));
    cg_loop_end(c, &e);
    return ptx_warp_fold(c, cg_get(c, c->f32, r->best), GPU_WARP, cg_fadd);
}

/* Scores, and what experts are chosen by. */
static void
save_scores(Cg *c, const Route *r)
{
    const bool softmax = strcmp(node_word(r->n, ATTR_score, ""), "softmax") == 0;
    const Value *bias = node_operand(r->n, 'B');
    const Val most = save_logits(c, r), one = cg_f32(c, 1);
    const Val sum = softmax ? exponentials(c, r, most) : NULL;
    CgLoop e = own(c, r, "score", r->experts);
    Val x = number_at(c, r->scores, e.i);
    if (softmax)
        x = cg_fdiv(c, x, sum);
    else
        x = cg_fdiv(c, one, cg_fadd(c, one, cg_exp(c, LLVMBuildFNeg(c->b, x, ""))));
    put_number(c, r->scores, e.i, x);
    const Val v = bias ? cg_fadd(c, x, cg_eval_one(c, r->k, bias, r->row, e.i)) : x;
    put_number(c, r->values, e.i, cg_vmax(c, v, cg_f32(c, -FLT_MAX)));
    cg_loop_end(c, &e);
}

/* ---- the greatest -------------------------------------------------------------------------- */

/* Of two numbers with their indices the greater, of equal ones the one with the lower index. */
static void
take_greater(Cg *c, const Route *r, Val number, Val index)
{
    const Val old = cg_get(c, c->f32, r->best), at = cg_get(c, c->i32, r->index);
    const Val above = LLVMBuildFCmp(c->b, LLVMRealOGT, number, old, "");
    const Val equal = LLVMBuildFCmp(c->b, LLVMRealOEQ, number, old, "");
    const Val before = LLVMBuildICmp(c->b, LLVMIntSLT, index, at, "");
    const Val take = LLVMBuildOr(c->b, above, LLVMBuildAnd(c->b, equal, before, ""), "");
    cg_set(c, r->best, LLVMBuildSelect(c->b, take, number, old, ""));
    cg_set(c, r->index, LLVMBuildSelect(c->b, take, index, at, ""));
}

/* The index of the greatest of `count` numbers, which becomes -infinity for the lane that cares for
 * it. */
static Val
take_greatest(Cg *c, const Route *r, Val numbers, int64_t count)
{
    cg_set(c, r->best, cg_f32(c, -INFINITY));
    cg_set(c, r->index, LLVMBuildTrunc(c->b, r->lane, c->i32, ""));
    CgLoop at = own(c, r, "greatest", count);
    take_greater(c, r, number_at(c, numbers, at.i), LLVMBuildTrunc(c->b, at.i, c->i32, ""));
    cg_loop_end(c, &at);
    for (int mask = GPU_WARP / 2; mask > 0; mask /= 2) {
        const Val number = ptx_exchange(c, cg_get(c, c->f32, r->best), mask);
        const Val index = ptx_exchange(c, cg_get(c, c->i32, r->index), mask);
        take_greater(c, r, number, index);
    }
    const Val index = LLVMBuildZExt(c->b, cg_get(c, c->i32, r->index), c->i64, "");
    const Val carer = LLVMBuildAnd(c->b, index, cg_i64(c, GPU_WARP - 1), "");
    CgIf mine = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, carer, r->lane, ""));
    put_number(c, numbers, index, cg_f32(c, -INFINITY));
    cg_endif(c, &mine);
    return index;
}

/* ---- groups -------------------------------------------------------------------------------- */

/* The sum of the two greatest numbers of a group, or the one that it has. */
static Val
group_value(Cg *c, const Route *r, Val from, Val to)
{
    const Val one = cg_var(c, c->f32, cg_f32(c, -INFINITY), "first");
    const Val two = cg_var(c, c->f32, cg_f32(c, -INFINITY), "second");
    CgLoop at = cg_loop(c, "best", from, to, 1);
    const Val v = number_at(c, r->values, at.i), first = cg_get(c, c->f32, one);
    cg_set(c, two, cg_vmax(c, cg_vmin(c, v, first), cg_get(c, c->f32, two)));
    cg_set(c, one, cg_vmax(c, v, first));
    cg_loop_end(c, &at);
    const Val greatest = cg_get(c, c->f32, one);
    if (r->experts == r->groups)
        return greatest;
    return cg_vmax(c, cg_fadd(c, greatest, cg_get(c, c->f32, two)), cg_f32(c, -FLT_MAX));
}

/* Experts of groups that are not kept become -infinity; kept groups are -infinity themselves. */
static void
keep_groups(Cg *c, const Route *r)
{
    const Val each = cg_i64(c, r->experts / r->groups);
    ptx_warp_barrier(c);
    CgLoop g = own(c, r, "group", r->groups);
    const Val from = cg_mul(c, g.i, each);
    put_number(c, r->group_values, g.i, group_value(c, r, from, cg_add(c, from, each)));
    cg_loop_end(c, &g);
    CgLoop keep = cg_loop(c, "keep", cg_i64(c, 0), cg_i64(c, node_int(r->n, ATTR_kept, 1)), 1);
    (void)take_greatest(c, r, r->group_values, r->groups);
    cg_loop_end(c, &keep);
    ptx_warp_barrier(c);
    CgLoop e = own(c, r, "expert", r->experts);
    const Val left = number_at(c, r->group_values, cg_div(c, e.i, each));
    CgIf out = cg_if(c, LLVMBuildFCmp(c->b, LLVMRealOGT, left, cg_f32(c, -INFINITY), ""));
    put_number(c, r->values, e.i, cg_f32(c, -INFINITY));
    cg_endif(c, &out);
    cg_loop_end(c, &e);
}

/* ---- a row --------------------------------------------------------------------------------- */

static Val
score_place(Cg *c, const Route *r, Val choice)
{
    const Val row = cg_add(c, cg_mul(c, r->row, cg_i64(c, r->top)), choice);
    return cg_element(c, r->p->base, DTYPE_f32, row, r->p->stride, cg_i64(c, 0));
}

/* By the first lane: choice i is expert e. */
static void
store_choice(Cg *c, const Route *r, Val i, Val e, Val score)
{
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, r->lane, cg_i64(c, 0), ""));
    const Val to = cg_add(c, cg_mul(c, r->row, cg_i64(c, r->top)), i);
    if (r->chosen)
        LLVMBuildStore(c->b, LLVMBuildTrunc(c->b, e, c->i32, ""),
                       cg_at(c, r->chosen->base, DTYPE_i32, to));
    if (r->p)
        cg_vstore(c, score_place(c, r, i), DTYPE_f32, score, 1, NULL);
    cg_endif(c, &first);
}

/* The experts of a token, and the scores of each. */
static void
choose(Cg *c, const Route *r)
{
    const Val zero = cg_i64(c, 0), top = cg_i64(c, r->top);
    const Val sum = cg_var(c, c->f32, cg_f32(c, 1e-20), "sum");
    ptx_warp_barrier(c);
    CgLoop i = cg_loop(c, "choose", zero, top, 1);
    const Val e = take_greatest(c, r, r->values, r->experts), s = number_at(c, r->scores, e);
    store_choice(c, r, i.i, e, s);
    cg_set(c, sum, cg_fadd(c, cg_get(c, c->f32, sum), s));
    cg_loop_end(c, &i);
    const double said = node_num(r->n, ATTR_factor, 1);
    const bool normalise = node_int(r->n, ATTR_normalise, 0) != 0;
    if (!r->p || (!normalise && said == 1))
        return;
    Val factor = cg_f32(c, said);
    if (normalise)
        factor = cg_fdiv(c, factor, cg_get(c, c->f32, sum));
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, r->lane, zero, ""));
    CgLoop scale = cg_loop(c, "scale", zero, top, 1);
    const Val at = score_place(c, r, scale.i);
    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, cg_vload(c, at, DTYPE_f32, 1, NULL), factor), 1, NULL);
    cg_loop_end(c, &scale);
    cg_endif(c, &first);
}

/* f32 [count] for each warp; this one's. */
static Val
warp_memory(Cg *c, CgKernel *k, int64_t warps, int64_t count)
{
    const Val all = ptx_shared(c, k, warps * count * (int64_t)sizeof(float));
    return cg_at(c, all, DTYPE_f32, cg_mul(c, ptx_warp(c), cg_i64(c, count)));
}

bool
ptx_route(Cg *c, CgKernel *k, Diag *diag)
{
    enum { WARPS = 4 };
    const Node *n = k->kernel->anchor;
    Route r = {.k = k,
               .n = n,
               .experts = type_width(&n->in[0]->type),
               .top = node_int(n, ATTR_top, 1),
               .groups = node_int(n, ATTR_groups, 0),
               .chosen = cg_operand(k, n->out[0]),
               .p = cg_operand(k, n->out[1]),
               .lane = ptx_lane(c)};
    const int64_t bytes = (2 * r.experts + r.groups) * WARPS * (int64_t)sizeof(float);
    if (bytes > c->machine->gpu.shared_bytes - 64)
        return diag_error(diag, n->loc, "route among %lld experts: a GPU takes fewer",
                          (long long)r.experts);
    ptx_threads(k, (int64_t)WARPS * GPU_WARP);
    ptx_grid(k, 0, ABI_TOKENS, 1, WARPS, 1);
    r.row = cg_add(c, cg_mul(c, ptx_block(c, 0), cg_i64(c, WARPS)), ptx_warp(c));
    r.scores = warp_memory(c, k, WARPS, r.experts);
    r.values = warp_memory(c, k, WARPS, r.experts);
    r.group_values = r.groups ? warp_memory(c, k, WARPS, r.groups) : NULL;
    r.best = cg_var(c, c->f32, NULL, "best");
    r.index = cg_var(c, c->i32, NULL, "index");
    CgIf row = cg_if(c, cg_less(c, r.row, cg_rows(c, k, n->in[0])));
    save_scores(c, &r);
    if (r.groups)
        keep_groups(c, &r);
    choose(c, &r);
    cg_endif(c, &row);
    return true;
}

/* ---- fold ---------------------------------------------------------------------------------- */

bool
ptx_fold(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const CgOperand *x = cg_operand(k, n->in[0]);
    if (!x || x->is_output)
        return diag_error(diag, n->loc, "%s reads `%s`, which its own kernel makes",
                          op_info[n->op].name, n->in[0]->name);
    const Val top = cg_i64(c, node_int(n, ATTR_top, 1));
    PtxSites s = ptx_sites(c, k, ptx_site_lanes(k));
    const LLVMTypeRef type = cg_vec_type(c, s.at.lanes);
    const Val first = cg_mul(c, s.at.row, top), zeros = cg_splat(c, cg_f32(c, 0), s.at.lanes);
    const Val sum = cg_var(c, type, zeros, "sum");
    CgLoop i = cg_loop(c, "fold", cg_i64(c, 0), top, 1);
    const Val at = cg_element(c, x->base, x->dtype, cg_add(c, first, i.i), x->stride, s.at.col);
    const Val one = ptx_load_row(c, x, at, s.at.lanes);
    cg_set(c, sum, cg_fadd(c, cg_get(c, type, sum), one));
    cg_loop_end(c, &i);
    cg_unbind_all(k);
    cg_bind(k, n->out[0], cg_get(c, type, sum));
    cg_store_outputs(c, k, &s.at);
    ptx_sites_end(c, &s);
    return true;
}
