/* codegen/emit/emit_conv.c -- causal depthwise convolution with state, and the pointwise ops around
 * it.
 *
 *     y[t] = bias + sum_j w[j] x[t - (K-1) + j],  x[-i] the i-th newest input in the state
 *
 * Threads divide columns. For the rows of each sequence and each vector of columns, the last
 * K-1 inputs stay in registers while the rows go by; they are the new state when the rows end,
 * whether there were more than K-1 or not.
 *
 * That walks memory a vector a row, with a page or so between rows. Beside a matrix unit, where it
 * takes a tenth of a prefill, rows after the first K-1 are done whole rows of this thread's columns
 * one after the other; each reads its K inputs again, which are in the first-level cache. */
#include "codegen/emit/cg.h"

enum { MAX_TAPS = 16 };

typedef struct {
    const Node *conv;
    int taps;             /* K, at least 2 */
    CgSeg seg;            /* the rows of one sequence that are worked on */
    Val history;          /* [K-1,C] of its sequence */
    Val past[MAX_TAPS];   /* variables: the last K-1 inputs, oldest first */
    Val weight[MAX_TAPS]; /* of these columns, oldest first */
    Val bias;             /* NULL: none */
} Conv;

static Val
history_at(Cg *c, const Conv *v, int i, const CgSite *at)
{
    const int64_t width = cg_width(v->conv->out[0]);
    return cg_at(c, v->history, DTYPE_f32, cg_add(c, cg_i64(c, i * width), at->col));
}

/* Weights, row `tap` of [K,C] or a strided column of [C,1,K], and the inputs before these rows. */
static void
columns_begin(Cg *c, CgKernel *k, Conv *v, const CgSite *at)
{
    const Value *w = v->conv->in[1], *bias = v->conv->in[2];
    cg_unbind_all(k);
    for (int j = 0; j < v->taps; j++) {
        const Val tap = cg_i64(c, j);
        const CgSite strided = {.row = at->col, .col = tap, .lanes = 1};
        const CgSite along = {.row = tap, .col = at->col, .lanes = at->lanes, .mask = at->mask};
        v->weight[j] = cg_eval(c, k, w, w->type.shape.rank == 3 ? &strided : &along);
    }
    v->bias = bias ? cg_eval(c, k, bias, at) : NULL;
    for (int j = 0; j < v->taps - 1; j++) {
        const Val x = cg_vload(c, history_at(c, v, j, at), DTYPE_f32, at->lanes, at->mask);
        v->past[j] = cg_var(c, LLVMTypeOf(x), x, "past");
    }
}

/* One row of these columns: taps oldest first, then the inputs move up by one. */
static void
emit_row(Cg *c, CgKernel *k, Conv *v, const CgSite *at)
{
    cg_unbind_all(k);
    const Val x = cg_eval(c, k, v->conv->in[0], at);
    const LLVMTypeRef type = LLVMTypeOf(x);
    Val past[MAX_TAPS];
    for (int j = 0; j < v->taps - 1; j++)
        past[j] = cg_get(c, type, v->past[j]);
    past[v->taps - 1] = x;
    Val y = v->bias;
    for (int j = 0; j < v->taps; j++)
        y = y ? cg_fma(c, v->weight[j], past[j], y) : cg_fmul(c, v->weight[j], past[j]);
    for (int j = 0; j < v->taps - 1; j++)
        cg_set(c, v->past[j], past[j + 1]);
    cg_bind(k, v->conv->out[0], y);
    cg_store_outputs(c, k, at);
}

/* These columns over the rows, or over the first `count` of them. */
static void
conv_columns(Cg *c, CgKernel *k, Conv *v, Val count, const CgSite *at)
{
    columns_begin(c, k, v, at);
    const Val end = cg_add(c, v->seg.row, count ? count : v->seg.len);
    CgLoop row = cg_loop(c, "row", v->seg.row, end, 1);
    const CgSite here = {.row = row.i, .col = at->col, .lanes = at->lanes, .mask = at->mask};
    emit_row(c, k, v, &here);
    cg_loop_end(c, &row);
    for (int j = 0; j < v->taps - 1; j++) {
        const Val x = cg_get(c, cg_vec_type(c, at->lanes), v->past[j]);
        cg_vstore(c, history_at(c, v, j, at), DTYPE_f32, x, at->lanes, at->mask);
    }
}

/* Input of tap j for row `row`. */
static Val
input_of(Cg *c, CgKernel *k, const Conv *v, Val row, int j, const CgSite *at)
{
    CgSite site = *at;
    site.row = cg_sub(c, row, cg_i64(c, v->taps - 1 - j));
    cg_unbind_all(k);
    return cg_eval(c, k, v->conv->in[0], &site);
}

/* The input some rows later: a thread's columns of a row are too few for hardware to follow. */
static void
prefetch_input(Cg *c, const CgKernel *k, const Conv *v, const CgSite *at)
{
    enum { ROWS_AHEAD = 2 };
    const CgOperand *x = cg_operand(k, v->conv->in[0]);
    const Val row = cg_add(c, at->row, cg_i64(c, ROWS_AHEAD));
    cg_prefetch(c, cg_element(c, x->base, x->dtype, row, x->stride, at->col), 3);
}

/* Rows [from, end), each with K-1 rows before it, columns [first, last). */
static void
conv_rows(Cg *c, CgKernel *k, const Conv *v, Val from, Val end, Val first, Val last)
{
    const Value *w = v->conv->in[1], *bias = v->conv->in[2];
    CgLoop row = cg_loop(c, "whole_row", from, end, 1);
    for (CgColumns s = cg_columns(c, row.i, first, last, c->lanes); cg_columns_next(c, &s);) {
        prefetch_input(c, k, v, &s.at);
        cg_unbind_all(k);
        Val y = bias ? cg_eval(c, k, bias, &s.at) : NULL;
        for (int j = 0; j < v->taps; j++) {
            CgSite tap = s.at;
            tap.row = cg_i64(c, j);
            const Val weight = cg_eval(c, k, w, &tap);
            const Val x = input_of(c, k, v, row.i, j, &s.at);
            y = y ? cg_fma(c, weight, x, y) : cg_fmul(c, weight, x);
        }
        cg_unbind_all(k);
        cg_bind(k, v->conv->out[0], y);
        cg_store_outputs(c, k, &s.at);
    }
    cg_loop_end(c, &row);
    for (CgColumns s = cg_columns(c, end, first, last, c->lanes); cg_columns_next(c, &s);)
        for (int j = 0; j < v->taps - 1; j++)
            cg_vstore(c, history_at(c, v, j, &s.at), DTYPE_f32, input_of(c, k, v, end, j, &s.at),
                      s.at.lanes, s.at.mask);
}

/* Whether whole rows pay, and inputs can be read again. */
static bool
by_rows(const Cg *c, const CgKernel *k, const Conv *v)
{
    const bool many = k->graph->block >= ABI_LONG_PASS;
    return c->machine->matrix.kind != MATRIX_none && many && cg_operand(k, v->conv->in[0]) &&
           v->conv->in[1]->type.shape.rank == 2;
}

bool
emit_conv1d(Cg *c, CgKernel *k, Diag *diag)
{
    Conv v = {.conv = k->kernel->anchor};
    if (attrs_find(&v.conv->attrs, ATTR_column))
        return diag_error(
            diag, v.conv->loc,
            "conv1d with column: it is for code of a GPU, and a CPU reads columns by a "
            "split");
    const Shape *w = &v.conv->in[1]->type.shape;
    const int64_t taps = node_taps(v.conv);
    if (taps > MAX_TAPS) {
        diag_error(diag, v.conv->loc, "conv1d of width %lld; code is made for 2 to %d",
                   (long long)taps, MAX_TAPS);
        return false;
    }
    v.taps = (int)taps;
    const CgOperand *state = cg_operand(k, v.conv->in[3]);
    const int lanes = w->rank == 3 ? 1 : c->lanes;
    Val from = NULL, to = NULL;
    cg_share(c, k, cg_i64(c, cg_width(k->domain)), lanes, &from, &to);
    CgLoop seg = cg_loop(c, "seg", cg_i64(c, 0), cg_call_field(c, k, CALL_nseg), 1);
    v.seg = cg_segment(c, k, seg.i);
    v.history = cg_state_at(c, k, state, v.seg.slot);
    const bool rows = by_rows(c, k, &v);
    const Val before = rows ? cg_min(c, v.seg.len, cg_i64(c, v.taps - 1)) : NULL;
    for (CgColumns s = cg_columns(c, cg_i64(c, 0), from, to, lanes); cg_columns_next(c, &s);)
        conv_columns(c, k, &v, before, &s.at);
    if (rows) {
        const Val begin = cg_add(c, v.seg.row, before);
        const Val end = cg_add(c, v.seg.row, v.seg.len);
        CgIf more = cg_if(c, cg_less(c, begin, end));
        conv_rows(c, k, &v, begin, end, from, to);
        cg_endif(c, &more);
    }
    cg_loop_end(c, &seg);
    return true;
}
