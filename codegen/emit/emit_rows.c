/* codegen/emit/emit_rows.c -- norms (rmsnorm over column groups, layernorm) and quantise, alone or
 * one after the other, with the pointwise ops before, between and after them.
 *
 * rmsnorm sweeps each group of a row twice: once for the sum of squares, once to scale and store.
 * layernorm sweeps a row three times: once for the mean, once for the squares of what differs from
 * it, once to scale and store. What the prologue computes is saved in scratch in the first sweep;
 * when the norm reads an operand as it is, later sweeps read it again instead (it is in L1 by
 * then). quantise saves the row it is given, finds the greatest magnitude on the way, and sweeps
 * once more to round. */
#include "codegen/emit/cg.h"

enum { CHAINS = 4 }; /* accumulators, so that the sum does not wait for one fma after another */

typedef struct {
    const Node *norm, *quantise; /* NULL: not in this kernel */
    Val input; /* one row of the norm's input in scratch; NULL: it is read again */
    Val squares[CHAINS], sums[CHAINS]; /* variables, <lanes x float>; sums: of a layernorm only */
    Val values;                        /* the row that is quantised, in scratch */
    Val most;                          /* variable, <lanes x float>: greatest magnitudes so far */
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

/* ---- norms --------------------------------------------------------------------------------- */

static Val
input_at(Cg *c, const Rows *n, const CgSite *at)
{
    return cg_at(c, n->input, DTYPE_f32, at->col);
}

/* A sweep over columns [from, to) of a row that adds up what is asked for. */
typedef struct {
    Val row, from, to;
    bool first;         /* the norm's input is computed, and saved; later it is read */
    bool squares, sums; /* which sums */
    Val mean;           /* taken from each number before; NULL: nothing is */
} Sweep;

/* The norm's input, as an earlier sweep had it. */
static Val
input_again(Cg *c, CgKernel *k, const Rows *n, const CgSite *at)
{
    if (!n->input)
        return cg_eval(c, k, n->norm->in[0], at);
    const Val x = cg_vload(c, input_at(c, n, at), DTYPE_f32, at->lanes, at->mask);
    cg_bind(k, n->norm->in[0], x);
    return x;
}

static void
add_terms(Cg *c, CgKernel *k, const Rows *n, const Sweep *s, int chain, const CgSite *at)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    cg_unbind_all(k);
    Val x = s->first ? cg_eval(c, k, n->norm->in[0], at) : input_again(c, k, n, at);
    if (s->first && n->input)
        cg_vstore(c, input_at(c, n, at), DTYPE_f32, x, at->lanes, at->mask);
    if (s->mean)
        x = cg_fsub(c, x, cg_splat(c, s->mean, at->lanes));
    x = counted(c, at, x);
    if (s->squares)
        cg_set(c, n->squares[chain], cg_fma(c, x, x, cg_get(c, type, n->squares[chain])));
    if (s->sums)
        cg_set(c, n->sums[chain], cg_fadd(c, x, cg_get(c, type, n->sums[chain])));
}

/* Rounds of CHAINS vectors, then what is left. */
static void
sweep(Cg *c, CgKernel *k, const Rows *n, const Sweep *s)
{
    for (int i = 0; i < CHAINS; i++) {
        if (s->squares)
            cg_set(c, n->squares[i], LLVMConstNull(cg_vec_type(c, c->lanes)));
        if (s->sums)
            cg_set(c, n->sums[i], LLVMConstNull(cg_vec_type(c, c->lanes)));
    }
    const Val round = cg_i64(c, (int64_t)c->lanes * CHAINS);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, s->to, s->from), round), round);
    const Val rest = cg_add(c, s->from, whole);
    CgLoop loop = cg_loop(c, "sweep", s->from, rest, (int64_t)c->lanes * CHAINS);
    for (int i = 0; i < CHAINS; i++) {
        const Val col = cg_add(c, loop.i, cg_i64(c, (int64_t)i * c->lanes));
        const CgSite at = {.row = s->row, .col = col, .lanes = c->lanes};
        add_terms(c, k, n, s, i, &at);
    }
    cg_loop_end(c, &loop);
    for (CgColumns cs = cg_columns(c, s->row, rest, s->to, c->lanes); cg_columns_next(c, &cs);)
        add_terms(c, k, n, s, 0, &cs.at);
}

/* What a sweep left in its variables, over the number of columns. */
static Val
mean_of(Cg *c, const Val *sums, int64_t width)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    Val half[2];
    for (int i = 0; i < 2; i++)
        half[i] = cg_fadd(c, cg_get(c, type, sums[i]), cg_get(c, type, sums[i + 2]));
    return cg_fdiv(c, cg_fold(c, cg_fadd(c, half[0], half[1]), cg_fadd), cg_f32(c, (double)width));
}

/* What is taken from each number of a row: its mean in f32, then what that is short of it. */
typedef struct {
    Val mean, rest; /* NULL: nothing is */
} Centre;

/* The mean square of a group; or its variance, by the corrected two-pass algorithm (Chan, Golub and
 * LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations", 1983):
 * x - mean is exact where the mean is large and all of x lies near it, and the mean of what is left
 * tells how far off the first one was. */
static Val
mean_square(Cg *c, CgKernel *k, const Rows *n, Sweep s, int64_t width, Centre *centre)
{
    s.first = true;
    s.squares = n->norm->op != OP_layernorm;
    s.sums = !s.squares;
    sweep(c, k, n, &s);
    if (s.squares)
        return mean_of(c, n->squares, width);
    centre->mean = s.mean = mean_of(c, n->sums, width);
    s.first = false;
    s.squares = true;
    sweep(c, k, n, &s);
    centre->rest = mean_of(c, n->sums, width);
    const Val excess = cg_fmul(c, centre->rest, centre->rest);
    return cg_vmax(c, cg_f32(c, 0), cg_fsub(c, mean_of(c, n->squares, width), excess));
}

static void
norm_group(Cg *c, CgKernel *k, const Rows *n, Val row, Val group, int64_t width)
{
    const Node *norm = n->norm;
    const Value *weight = node_operand(norm, 'W'), *bias = node_operand(norm, 'B');
    const Val from = cg_mul(c, group, cg_i64(c, width));
    const Val to = cg_add(c, from, cg_i64(c, width));
    Centre centre = {0};
    const Val mean =
        mean_square(c, k, n, (Sweep){.row = row, .from = from, .to = to}, width, &centre);
    const Val factor = cg_rsqrt(c, cg_fadd(c, mean, cg_f32(c, node_num(norm, ATTR_eps, 0))));
    for (CgColumns s = cg_columns(c, row, from, to, c->lanes); cg_columns_next(c, &s);) {
        const CgSite *at = &s.at;
        CgSite of_weight = *at;
        if (node_factors_repeat(norm))
            of_weight.col = cg_sub(c, at->col, from);
        cg_unbind_all(k);
        Val y = input_again(c, k, n, at);
        if (centre.mean) {
            y = cg_fsub(c, y, cg_splat(c, centre.mean, at->lanes));
            y = cg_fsub(c, y, cg_splat(c, centre.rest, at->lanes));
        }
        y = cg_fmul(c, y, cg_splat(c, factor, at->lanes));
        const Val w = weight ? cg_eval(c, k, weight, &of_weight) : NULL;
        const Val b = bias ? cg_eval(c, k, bias, at) : NULL;
        if (w && b)
            y = cg_fma(c, y, w, b);
        else if (w || b)
            y = w ? cg_fmul(c, y, w) : cg_fadd(c, y, b);
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
    for (int i = 0; i < CHAINS; i++) {
        n->squares[i] = cg_var(c, cg_vec_type(c, c->lanes), NULL, "squares");
        n->sums[i] = cg_var(c, cg_vec_type(c, c->lanes), NULL, "sums");
    }
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
emit_norm(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag; /* the shape rule has seen that groups divide the width */
    Rows n = {.norm = k->kernel->anchor};
    norm_open(c, k, &n);
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
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
        if (!n.norm && !op_has_flag(other->op, 'J') && cg_in_domain(k, other->out[0])) {
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
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
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
