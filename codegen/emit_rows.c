/* codegen/emit_rows.c -- rmsnorm over column groups and quantise, alone or one after the other,
 * with the pointwise ops before, between and after them.
 *
 * rmsnorm sweeps each group of a row twice: once for the sum of squares, once to scale and store.
 * What the prologue computes is saved in scratch between the sweeps; when the norm reads an operand
 * as it is, the second sweep reads it again instead (it is in L1 by then). quantise saves the row
 * it is given, finds the greatest magnitude on the way, and sweeps once more to round. */
#include "codegen/cg.h"

enum { CHAINS = 4 }; /* accumulators, so that the sum does not wait for one fma after another */

typedef struct {
    const Node *norm, *quantise; /* NULL: not in this kernel */
    Val input;        /* one row of the norm's input in scratch; NULL: it is read again */
    Val sums[CHAINS]; /* variables, <lanes x float> */
    Val values;       /* the row that is quantised, in scratch */
    Val most;         /* variable, <lanes x float>: greatest magnitudes so far */
} Rows;

/* x with 0 in the lanes that do not count, in a whole vector: lanes outside the mask, as a prologue
 * may make something of the zeros loaded there, and those after a single lane of a tail. */
static Val
counted(Cg *c, const CgSite *at, Val x)
{
    const Val zeros = LLVMConstNull(cg_vec_type(c, c->lanes));
    if (at->mask)
        return LLVMBuildSelect(c->b, at->mask, x, zeros, "");
    if (at->lanes < c->lanes)
        return LLVMBuildInsertElement(c->b, zeros, x, cg_i64(c, 0), "");
    return x;
}

/* ---- quantise ------------------------------------------------------------------------------ */

/* Saves what will be quantised. */
static void
save_value(Cg *c, CgKernel *k, const Rows *n, const CgSite *at)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val x = cg_eval(c, k, n->quantise->in[0], at);
    cg_vstore(c, cg_at(c, n->values, DTYPE_f32, at->col), DTYPE_f32, x, at->lanes, at->mask);
    const Val size = cg_as_float(c, cg_and(c, cg_as_bits(c, counted(c, at, x)), 0x7fffffff));
    cg_set(c, n->most, cg_greater(c, size, cg_get(c, type, n->most)));
}

/* s = most / 127; a row of zeros has scale 0 and stays zeros; one with a NaN has scale NaN. */
static void
quantise_row(Cg *c, CgKernel *k, const Rows *n, Val row)
{
    const Val most = cg_fold(c, cg_get(c, cg_vec_type(c, c->lanes), n->most), cg_greater);
    const CgOperand *scale = cg_operand(k, n->quantise->out[1]);
    const CgOperand *q = cg_operand(k, n->quantise->out[0]);
    const Val zero = cg_f32(c, 0), any = LLVMBuildFCmp(c->b, LLVMRealUGT, most, zero, "");
    const Val inverse = LLVMBuildSelect(c->b, any, cg_fdiv(c, cg_f32(c, 127), most), zero, "");
    if (scale) {
        const Val to = cg_at(c, scale->base, DTYPE_f32, cg_mul(c, row, cg_i64(c, scale->stride)));
        cg_vstore(c, to, DTYPE_f32, cg_fdiv(c, most, cg_f32(c, 127)), 1, NULL);
    }
    if (!q)
        return;
    const Val width = cg_i64(c, cg_width(n->quantise->in[0]));
    for (CgColumns s = cg_columns(c, row, cg_i64(c, 0), width, c->lanes); cg_columns_next(c, &s);) {
        const CgSite *at = &s.at;
        const Val from = cg_at(c, n->values, DTYPE_f32, at->col);
        const Val x = cg_vload(c, from, DTYPE_f32, at->lanes, at->mask);
        const Val to = cg_add(c, cg_mul(c, at->row, cg_i64(c, q->stride)), at->col);
        const Val scaled = cg_fmul(c, x, cg_splat(c, inverse, at->lanes));
        cg_vstore(c, cg_at(c, q->base, q->dtype, to), q->dtype, scaled, at->lanes, at->mask);
    }
}

/* ---- rmsnorm ------------------------------------------------------------------------------- */

static Val
input_at(Cg *c, const Rows *n, const CgSite *at)
{
    return cg_at(c, n->input, DTYPE_f32, at->col);
}

static void
add_square(Cg *c, CgKernel *k, const Rows *n, Val sum, const CgSite *at)
{
    cg_unbind_all(k);
    Val x = cg_eval(c, k, n->norm->in[0], at);
    if (n->input)
        cg_vstore(c, input_at(c, n, at), DTYPE_f32, x, at->lanes, at->mask);
    x = counted(c, at, x);
    cg_set(c, sum, cg_fma(c, x, x, cg_get(c, cg_vec_type(c, c->lanes), sum)));
}

/* Sum of squares of columns [from, to): rounds of CHAINS vectors, then what is left. */
static Val
sum_of_squares(Cg *c, CgKernel *k, const Rows *n, Val row, Val from, Val to)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    for (int i = 0; i < CHAINS; i++)
        cg_set(c, n->sums[i], LLVMConstNull(type));
    const Val round = cg_i64(c, (int64_t)c->lanes * CHAINS);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), round), round);
    const Val rest = cg_add(c, from, whole);
    CgLoop loop = cg_loop(c, "squares", from, rest, (int64_t)c->lanes * CHAINS);
    for (int i = 0; i < CHAINS; i++) {
        const Val col = cg_add(c, loop.i, cg_i64(c, (int64_t)i * c->lanes));
        const CgSite at = {.row = row, .col = col, .lanes = c->lanes};
        add_square(c, k, n, n->sums[i], &at);
    }
    cg_loop_end(c, &loop);
    for (CgColumns s = cg_columns(c, row, rest, to, c->lanes); cg_columns_next(c, &s);)
        add_square(c, k, n, n->sums[0], &s.at);
    Val half[2];
    for (int i = 0; i < 2; i++)
        half[i] = cg_fadd(c, cg_get(c, type, n->sums[i]), cg_get(c, type, n->sums[i + 2]));
    return cg_fold(c, cg_fadd(c, half[0], half[1]), cg_fadd);
}

static void
norm_group(Cg *c, CgKernel *k, const Rows *n, Val row, Val group, int64_t width)
{
    const Node *norm = n->norm;
    const Val from = cg_mul(c, group, cg_i64(c, width));
    const Val to = cg_add(c, from, cg_i64(c, width));
    const Val sum = sum_of_squares(c, k, n, row, from, to);
    const Val mean = cg_fdiv(c, sum, cg_f32(c, (double)width));
    const Val factor = cg_rsqrt(c, cg_fadd(c, mean, cg_f32(c, node_num(norm, ATTR_eps, 0))));
    for (CgColumns s = cg_columns(c, row, from, to, c->lanes); cg_columns_next(c, &s);) {
        const CgSite *at = &s.at;
        Val x = NULL;
        cg_unbind_all(k);
        if (n->input) {
            x = cg_vload(c, input_at(c, n, at), DTYPE_f32, at->lanes, at->mask);
            cg_bind(k, norm->in[0], x);
        } else {
            x = cg_eval(c, k, norm->in[0], at);
        }
        Val y = cg_fmul(c, x, cg_splat(c, factor, at->lanes));
        if (norm->nin > 1 && norm->in[1])
            y = cg_fmul(c, y, cg_eval(c, k, norm->in[1], at));
        cg_bind(k, norm->out[0], y);
        if (n->quantise)
            save_value(c, k, n, at);
        cg_store_outputs(c, k, at);
    }
}

static void
norm_open(Cg *c, CgKernel *k, Rows *n)
{
    const CgOperand *x = cg_operand(k, n->norm->in[0]);
    if (!x || x->is_output)
        n->input = cg_scratch(c, k, cg_width(k->domain) * (int64_t)sizeof(float));
    for (int i = 0; i < CHAINS; i++)
        n->sums[i] = cg_var(c, cg_vec_type(c, c->lanes), NULL, "squares");
}

static void
norm_row(Cg *c, CgKernel *k, const Rows *n, Val row)
{
    const int64_t width = cg_width(k->domain), groups = node_int(n->norm, ATTR_groups, 1);
    if (groups == 1) {
        norm_group(c, k, n, row, cg_i64(c, 0), width);
        return;
    }
    CgLoop group = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, groups), 1);
    norm_group(c, k, n, row, group.i, width / groups);
    cg_loop_end(c, &group);
}

bool
emit_rmsnorm(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag; /* the shape rule has seen that groups divide the width */
    Rows n = {.norm = k->kernel->anchor};
    norm_open(c, k, &n);
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(k, k->domain), 1);
    norm_row(c, k, &n, row.i);
    cg_loop_end(c, &row);
    return true;
}

bool
emit_quantise(Cg *c, CgKernel *k, Diag *diag)
{
    Rows n = {.quantise = k->kernel->anchor};
    for (const Node *other = k->first; other != k->last; other = other->next) {
        if (other->kernel != k->kernel || other == n.quantise ||
            op_info[other->op].cls != CLASS_ROWWISE)
            continue;
        if (!n.norm && other->op == OP_rmsnorm && cg_in_domain(k, other->out[0])) {
            n.norm = other;
            continue;
        }
        diag_error(
            diag, other->loc,
            "kernel %s: beside a quantise there can be a norm of rows as wide, nothing more of "
            "its class",
            k->kernel->name);
        return false;
    }
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val zero = cg_i64(c, 0), width = cg_i64(c, cg_width(k->domain));
    n.values = cg_scratch(c, k, cg_width(k->domain) * (int64_t)sizeof(float));
    n.most = cg_var(c, type, NULL, "most");
    if (n.norm)
        norm_open(c, k, &n);
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(k, k->domain), 1);
    cg_set(c, n.most, LLVMConstNull(type));
    if (n.norm)
        norm_row(c, k, &n, row.i);
    for (CgColumns s = cg_columns(c, row.i, zero, width, c->lanes);
         !n.norm && cg_columns_next(c, &s);) {
        cg_unbind_all(k);
        save_value(c, k, &n, &s.at);
        cg_store_outputs(c, k, &s.at);
    }
    quantise_row(c, k, &n, row.i);
    cg_loop_end(c, &row);
    return true;
}
