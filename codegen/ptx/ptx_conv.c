/* codegen/ptx/ptx_conv.c -- causal depthwise convolution with state, and the pointwise ops around
 * it.
 *
 *     y[t] = bias + sum_j w[j] x[t - (K-1) + j],  x[-i] the i-th newest input in the state
 *
 * A thread has one column, neighbours those beside it. Block (c, r) does two things with its
 * columns:
 *   rows r R .. r R + R-1 that have K-1 rows of their segment before them: where all of them lie in
 *     one segment, the R+K-1 inputs are read at once and each is used K times;
 *   segments r R .. r R + R-1, of which there are no more than rows: the first K-1 rows, which read
 *     the state, and the state after them. So a state is read and written by one thread alone.
 * Where every row is a segment, as in decode, R is 1 and there is nothing of the first kind.
 *
 * Predicted: reading and writing once at copy bandwidth, and (K-1)/R more that the second-level
 * cache gives. 65536 rows of 4352 columns, f32 to f32: 0.55 ms at 4.2 TB/s. */
#include <string.h>

#include "codegen/ptx/linear.h"

enum { MOST_TAPS = 16, RUN = 16, THREADS = 128 };

typedef struct {
    const Node *conv;
    int taps;              /* K, at least 2 */
    Val col, row;          /* of this thread; first row of its run */
    Val weight[MOST_TAPS]; /* of the column, oldest first */
    Val bias;              /* NULL: none */
} Conv;

static Val
input_at(Cg *c, CgKernel *k, const Conv *v, Val row)
{
    const Val first = cg_i64(c, node_int(v->conv, ATTR_first, 0));
    return cg_eval_one(c, k, v->conv->in[0], row, cg_add(c, v->col, first));
}

/* taps: the inputs of one row, oldest first. */
static void
store_row(Cg *c, CgKernel *k, const Conv *v, Val row, const Val *taps)
{
    const CgSite at = {.row = row, .col = v->col, .lanes = 1};
    Val y = v->bias;
    for (int j = 0; j < v->taps; j++)
        y = y ? cg_fma(c, v->weight[j], taps[j], y) : cg_fmul(c, v->weight[j], taps[j]);
    cg_unbind_all(k);
    cg_bind(k, v->conv->out[0], y);
    cg_store_outputs(c, k, &at);
}

/* Row `tap` of [K,C], or a column of [C,1,K]. */
static void
load_weights(Cg *c, CgKernel *k, Conv *v)
{
    const Value *w = v->conv->in[1], *bias = v->conv->in[2];
    const bool strided = w->type.shape.rank == 3;
    for (int j = 0; j < v->taps; j++) {
        const Val tap = cg_i64(c, j);
        v->weight[j] = cg_eval_one(c, k, w, strided ? v->col : tap, strided ? tap : v->col);
    }
    v->bias = bias ? cg_eval_one(c, k, bias, cg_i64(c, 0), v->col) : NULL;
}

/* ---- rows that need no state -------------------------------------------------------------------
 */

static void
whole_run(Cg *c, CgKernel *k, const Conv *v, int rows)
{
    Val x[RUN + MOST_TAPS];
    const Val first = cg_sub(c, v->row, cg_i64(c, v->taps - 1));
    for (int i = 0; i < rows + v->taps - 1; i++)
        x[i] = input_at(c, k, v, cg_add(c, first, cg_i64(c, i)));
    for (int i = 0; i < rows; i++)
        store_row(c, k, v, cg_add(c, v->row, cg_i64(c, i)), x + i);
}

/* Rows of several segments, or some that the run has not. */
static void
mixed_run(Cg *c, CgKernel *k, const Conv *v, int rows)
{
    const Val end = cg_min(c, cg_add(c, v->row, cg_i64(c, rows)), k->tokens);
    CgLoop loop = cg_loop(c, "row", v->row, end, 1);
    const CgSeg seg = cg_segment(c, k, ptx_segment_of(c, k, loop.i));
    const Val before = cg_sub(c, loop.i, seg.row);
    CgIf far = cg_if(c, cg_less(c, cg_i64(c, v->taps - 2), before));
    Val x[MOST_TAPS];
    for (int j = 0; j < v->taps; j++)
        x[j] = input_at(c, k, v, cg_sub(c, loop.i, cg_i64(c, v->taps - 1 - j)));
    store_row(c, k, v, loop.i, x);
    cg_endif(c, &far);
    cg_loop_end(c, &loop);
}

static void
rows_of_run(Cg *c, CgKernel *k, const Conv *v, int rows)
{
    const Val nseg = cg_call_field(c, k, CALL_nseg);
    CgIf some = cg_if(c, cg_less(c, nseg, k->tokens)); /* else every row is the first of its own */
    const CgSeg seg = cg_segment(c, k, ptx_segment_of(c, k, v->row));
    const Val before = cg_sub(c, v->row, seg.row);
    const Val end = cg_add(c, v->row, cg_i64(c, rows)), seg_end = cg_add(c, seg.row, seg.len);
    const Val history = cg_less(c, cg_i64(c, v->taps - 2), before);
    const Val inside = LLVMBuildNot(c->b, cg_less(c, seg_end, end), "");
    CgIf whole = cg_if(c, LLVMBuildAnd(c->b, history, inside, ""));
    whole_run(c, k, v, rows);
    cg_else(c, &whole);
    mixed_run(c, k, v, rows);
    cg_endif(c, &whole);
    cg_endif(c, &some);
}

/* ---- the first rows of a segment, and its state ------------------------------------------------
 */

static Val
history_at(Cg *c, CgKernel *k, const Conv *v, const CgSeg *seg, int i)
{
    const Val base = cg_state_at(c, k, cg_operand(k, v->conv->in[3]), seg->slot);
    return cg_element(c, base, DTYPE_f32, cg_i64(c, i), cg_width(v->conv->out[0]), v->col);
}

static void
begin_segment(Cg *c, CgKernel *k, const Conv *v, Val number)
{
    const CgSeg seg = cg_segment(c, k, number);
    const int history = v->taps - 1;
    Val past[MOST_TAPS]; /* variables: the last inputs, oldest first */
    for (int j = 0; j < history; j++) {
        const Val x = cg_vload(c, history_at(c, k, v, &seg, j), DTYPE_f32, 1, NULL);
        past[j] = cg_var(c, c->f32, x, "past");
    }
    for (int i = 0; i < history; i++) {
        CgIf exists = cg_if(c, cg_less(c, cg_i64(c, i), seg.len));
        const Val row = cg_add(c, seg.row, cg_i64(c, i));
        Val x[MOST_TAPS];
        for (int j = 0; j < history; j++)
            x[j] = cg_get(c, c->f32, past[j]);
        x[history] = input_at(c, k, v, row);
        store_row(c, k, v, row, x);
        for (int j = 0; j < history; j++)
            cg_set(c, past[j], x[j + 1]);
        cg_endif(c, &exists);
    }
    CgIf longer = cg_if(c, cg_less(c, cg_i64(c, history), seg.len));
    const Val end = cg_add(c, seg.row, seg.len);
    for (int j = 0; j < history; j++)
        cg_set(c, past[j], input_at(c, k, v, cg_sub(c, end, cg_i64(c, history - j))));
    cg_endif(c, &longer);
    for (int j = 0; j < history; j++)
        cg_vstore(c, history_at(c, k, v, &seg, j), DTYPE_f32, cg_get(c, c->f32, past[j]), 1, NULL);
}

static bool
conv_open(const Node *conv, Conv *v, Diag *diag)
{
    const Shape *w = &conv->in[1]->type.shape;
    const int64_t taps = w->rank == 3 ? w->dim[2].n : w->dim[0].n;
    *v = (Conv){.conv = conv, .taps = (int)taps};
    return taps <= MOST_TAPS ||
           diag_error(diag, conv->loc, "conv1d of width %lld; code is made for 2 to %d",
                      (long long)taps, MOST_TAPS);
}

/* ---- in the epilogue of a projection -----------------------------------------------------------
 * Of single tokens: whoever makes a column of the product has all that the convolution needs beside
 * the state, whose column nobody else reads or writes. */

bool
ptx_conv_fits(const CgKernel *k, const Node *conv, Diag *diag)
{
    Conv v;
    const bool rows = k->kernel->anchor->op != OP_linear; /* of experts, in another order */
    if (rows || graph_has_runs(k->graph) || cg_width(conv->out[0]) == cg_width(k->domain))
        return diag_error(diag, conv->loc,
                          "kernel %s: in a projection's epilogue a conv1d has some of the columns, "
                          "and sequences one token each",
                          k->kernel->name);
    return conv_open(conv, &v, diag);
}

static void
conv_of_token(Cg *c, CgKernel *k, Conv *v, Val row, Val x)
{
    const CgSeg seg = cg_segment(c, k, row); /* as many as rows */
    const int history = v->taps - 1;
    Val taps[MOST_TAPS];
    load_weights(c, k, v);
    for (int j = 0; j < history; j++)
        taps[j] = cg_vload(c, history_at(c, k, v, &seg, j), DTYPE_f32, 1, NULL);
    taps[history] = x;
    store_row(c, k, v, row, taps);
    for (int j = 0; j < history; j++)
        cg_vstore(c, history_at(c, k, v, &seg, j), DTYPE_f32, taps[j + 1], 1, NULL);
}

void
ptx_conv_here(Cg *c, CgKernel *k, const Node *conv, const CgSite *at, Val y)
{
    const Value *domain = k->domain;
    const Val first = cg_i64(c, node_int(conv, ATTR_first, 0));
    const Val width = cg_i64(c, cg_width(conv->out[0]));
    for (int i = 0; i < at->lanes; i++) {
        Conv v;
        if (!conv_open(conv, &v, NULL))
            die("kernel %s: a convolution that does not fit", k->kernel->name);
        v.col = cg_sub(c, cg_add(c, at->col, cg_i64(c, i)), first);
        CgIf mine =
            cg_if(c, LLVMBuildICmp(c->b, LLVMIntULT, v.col, width, "")); /* not before `first` */
        k->domain = conv->out[0];
        conv_of_token(c, k, &v, at->row, at->lanes > 1 ? cg_slice(c, y, i, 1) : y);
        k->domain = domain;
        cg_endif(c, &mine);
    }
}

void
ptx_conv_ask(Cg *c, CgKernel *k, const Node *conv, Val row, Val col)
{
    Conv v = {.conv = conv};
    const Value *w = conv->in[1];
    const CgOperand *weight = cg_operand(k, w);
    v.taps = (int)w->type.shape.dim[w->type.shape.rank == 3 ? 2 : 0].n;
    v.col = cg_sub(c, col, cg_i64(c, node_int(conv, ATTR_first, 0)));
    CgIf mine =
        cg_if(c, LLVMBuildICmp(c->b, LLVMIntULT, v.col, cg_i64(c, cg_width(conv->out[0])), ""));
    const CgSeg seg = cg_segment(c, k, row);
    for (int j = 0; j + 1 < v.taps; j++)
        ptx_ask_line(c, history_at(c, k, &v, &seg, j));
    for (int j = 0; j < v.taps && weight && w->type.shape.rank == 2; j++)
        ptx_ask_line(
            c, cg_element(c, weight->base, weight->dtype, cg_i64(c, j), weight->stride, v.col));
    cg_endif(c, &mine);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

bool
ptx_conv1d(Cg *c, CgKernel *k, Diag *diag)
{
    Conv v;
    if (!conv_open(k->kernel->anchor, &v, diag))
        return false;
    const int64_t width = cg_width(k->domain);
    const int rows = graph_has_runs(k->graph) ? RUN : 1;
    ptx_threads(k, THREADS);
    ptx_grid(k, 0, ABI_ONE, width, THREADS, 1);
    ptx_grid(k, 1, ABI_TOKENS, 1, rows, 1);
    v.col = cg_add(c, cg_mul(c, ptx_block(c, 0), cg_i64(c, THREADS)), ptx_thread(c));
    v.row = cg_mul(c, ptx_block(c, 1), cg_i64(c, rows));
    CgIf exists = cg_if(c, cg_less(c, v.col, cg_i64(c, width)));
    load_weights(c, k, &v);
    rows_of_run(c, k, &v, rows);
    const Val most = cg_call_field(c, k, CALL_nseg);
    const Val end = cg_min(c, cg_add(c, v.row, cg_i64(c, rows)), most);
    CgLoop seg = cg_loop(c, "seg", v.row, end, 1);
    begin_segment(c, k, &v, seg.i);
    cg_loop_end(c, &seg);
    cg_endif(c, &exists);
    return true;
}
