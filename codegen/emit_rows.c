/* codegen/emit_rows.c -- rmsnorm over column groups, with the pointwise ops before and after it.
 *
 * Each group of a row is swept twice: once for the sum of squares, once to scale and store. What
 * the prologue computes is kept in scratch between the sweeps; when the norm reads an operand as it
 * is, the second sweep reads it again instead (it is in L1 by then). */
#include "codegen/cg.h"

enum { CHAINS = 4 }; /* accumulators, so that the sum does not wait for one fma after another */

typedef struct {
    const Node *norm;
    Val kept;         /* one row of the norm's input in scratch; NULL: it is read again */
    Val sums[CHAINS]; /* variables, <lanes x float> */
    int chain;        /* the one the next site adds to */
    Val factor;       /* 1 / sqrt(mean + eps) of the group */
} Norm;

static Val
kept_at(Cg *c, const Norm *n, const CgSite *at)
{
    return cg_at(c, n->kept, DTYPE_f32, at->col);
}

/* Lanes outside the mask are cleared, as a prologue may make something of the zeros loaded there. A
 * single lane of a tail is added to lane 0. */
static void
square_site(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const Norm *n = user;
    cg_unbind_all(k);
    Val x = cg_eval(c, k, n->norm->in[0], at);
    if (n->kept)
        cg_vstore(c, kept_at(c, n, at), DTYPE_f32, x, at->lanes, at->mask);
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    if (at->mask)
        x = LLVMBuildSelect(c->b, at->mask, x, LLVMConstNull(type), "");
    else if (at->lanes < c->lanes)
        x = LLVMBuildInsertElement(c->b, LLVMConstNull(type), x, cg_i64(c, 0), "");
    const Val sum = n->sums[n->chain];
    cg_set(c, sum, cg_fma(c, x, x, cg_get(c, type, sum)));
}

static void
scale_site(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const Norm *n = user;
    const Node *norm = n->norm;
    cg_unbind_all(k);
    Val x = NULL;
    if (n->kept) {
        x = cg_vload(c, kept_at(c, n, at), DTYPE_f32, at->lanes, at->mask);
        cg_bind(k, norm->in[0], x);
    } else {
        x = cg_eval(c, k, norm->in[0], at);
    }
    Val y = LLVMBuildFMul(c->b, x, cg_splat(c, n->factor, at->lanes), "");
    if (norm->nin > 1 && norm->in[1])
        y = LLVMBuildFMul(c->b, y, cg_eval(c, k, norm->in[1], at), "");
    cg_bind(k, norm->out[0], y);
    cg_store_outputs(c, k, at);
}

/* Sum of squares of columns [from, to): rounds of CHAINS vectors, then what is left. */
static Val
sum_of_squares(Cg *c, CgKernel *k, Norm *n, Val row, Val from, Val to)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    for (int i = 0; i < CHAINS; i++)
        cg_set(c, n->sums[i], LLVMConstNull(type));
    const Val round = cg_i64(c, (int64_t)c->lanes * CHAINS);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), round), round);
    const Val rest = cg_add(c, from, whole);
    CgLoop loop = cg_loop(c, "squares", from, rest, (int64_t)c->lanes * CHAINS);
    for (n->chain = 0; n->chain < CHAINS; n->chain++) {
        const Val col = cg_add(c, loop.i, cg_i64(c, (int64_t)n->chain * c->lanes));
        const CgSite at = {.row = row, .col = col, .lanes = c->lanes};
        square_site(c, k, &at, n);
    }
    cg_loop_end(c, &loop);
    n->chain = 0;
    cg_columns(c, k, row, rest, to, c->lanes, square_site, n);
    Val half[2];
    for (int i = 0; i < 2; i++)
        half[i] =
            LLVMBuildFAdd(c->b, cg_get(c, type, n->sums[i]), cg_get(c, type, n->sums[i + 2]), "");
    return cg_sum(c, LLVMBuildFAdd(c->b, half[0], half[1], ""), c->lanes);
}

static void
emit_group(Cg *c, CgKernel *k, Norm *n, Val row, Val group, int64_t width)
{
    const Val from = cg_mul(c, group, cg_i64(c, width));
    const Val to = cg_add(c, from, cg_i64(c, width));
    const Val sum = sum_of_squares(c, k, n, row, from, to);
    const Val mean = LLVMBuildFDiv(c->b, sum, cg_f32(c, (double)width), "");
    const Val eps = cg_f32(c, node_num(n->norm, ATTR_eps, 0));
    n->factor = cg_rsqrt(c, LLVMBuildFAdd(c->b, mean, eps, ""));
    cg_columns(c, k, row, from, to, c->lanes, scale_site, n);
}

bool
emit_rmsnorm(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag; /* the shape rule has seen that groups divide the width */
    Norm n = {.norm = k->kernel->anchor};
    const int64_t width = cg_width(k->domain), groups = node_int(n.norm, ATTR_groups, 1);
    if (!cg_operand(k, n.norm->in[0]) || cg_operand(k, n.norm->in[0])->is_output)
        n.kept = cg_scratch(c, k, width * 4);
    for (int i = 0; i < CHAINS; i++)
        n.sums[i] = cg_var(c, cg_vec_type(c, c->lanes), NULL, "squares");
    Val from = NULL, to = NULL;
    cg_share(c, k, cg_rows(k, k->domain), 1, &from, &to);
    CgLoop row = cg_loop(c, "row", from, to, 1);
    if (groups == 1) {
        emit_group(c, k, &n, row.i, cg_i64(c, 0), width);
    } else {
        CgLoop group = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, groups), 1);
        emit_group(c, k, &n, row.i, group.i, width / groups);
        cg_loop_end(c, &group);
    }
    cg_loop_end(c, &row);
    return true;
}
