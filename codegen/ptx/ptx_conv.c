/* codegen/ptx/ptx_conv.c -- causal depthwise convolution with state, and the pointwise ops around
 * it.
 *
 *     y[t] = bias + sum_j w[j] x[t - (K-1) + j],  x[-i] the i-th newest input in the state
 *
 * A thread has a site of a few columns, neighbours those beside it. Thread (c, r) does two things
 * with its columns:
 *   rows r R .. r R + R-1 that have K-1 rows of their segment before them: where all of them lie in
 *     one segment, the R+K-1 inputs are read ahead and each is used K times;
 *   R segments, of which there are no more than rows: the first K-1 rows, which read the state, and
 *     the state after them. So a state is read and written by one thread alone.
 * Where every row is a segment, as in decode, R is 1 and there is nothing of the first kind.
 *
 * Predicted: reading and writing once at copy bandwidth. The K-1 rows that two runs read lie in the
 * first-level cache, as a block has 4 runs that follow each other. 65536 rows of 1792 columns, bf16
 * to bf16: 0.11 ms at 4.2 TB/s. */
#include <string.h>

#include "codegen/ptx/conv.h"

enum {
    RUN = 8,
    AHEAD = 4,        /* rows that are read before the one that is made */
    BROKEN_AHEAD = 1, /* where rows are conditional, and read ones lie in registers as f32 */
    ACROSS = 32,      /* sites of a row in a block */
    THREADS = 128,
    RESIDENT = 4 /* blocks: 128 registers for a thread, where without a word ptxas takes 100 and
                  * reads one row ahead */
};

static Val
input_at(Cg *c, CgKernel *k, const PtxConv *v, Val row)
{
    const Val first = cg_i64(c, node_int(v->conv, ATTR_column, 0));
    const CgSite at = {.row = row, .col = cg_add(c, v->col, first), .lanes = v->lanes};
    cg_unbind_all(k);
    return cg_eval(c, k, v->conv->in[0], &at);
}

static Val
segment_input(Cg *c, CgKernel *k, const PtxConv *v, Val row)
{
    return v->piece ? ptx_piece_input(c, v, row) : input_at(c, k, v, row);
}

Val
ptx_conv_sum(Cg *c, const PtxConv *v, const Val *taps)
{
    Val y = v->bias;
    for (int j = 0; j < v->taps; j++)
        y = y ? cg_fma(c, v->weight[j], taps[j], y) : cg_fmul(c, v->weight[j], taps[j]);
    return y;
}

void
ptx_conv_store(Cg *c, CgKernel *k, const PtxConv *v, Val row, Val y)
{
    const CgSite at = {.row = row, .col = v->col, .lanes = v->lanes};
    cg_unbind_all(k);
    cg_bind(k, v->conv->out[0], y);
    cg_store_outputs(c, k, &at);
}

/* taps: the inputs of one row, oldest first. */
static void
store_row(Cg *c, CgKernel *k, const PtxConv *v, Val row, const Val *taps)
{
    ptx_conv_store(c, k, v, row, ptx_conv_sum(c, v, taps));
}

/* Column `tap` of [C,1,K]. */
static Val
strided_weight(Cg *c, CgKernel *k, const PtxConv *v, Val tap)
{
    Val all = LLVMGetPoison(cg_vec_type(c, v->lanes));
    for (int i = 0; i < v->lanes; i++) {
        const Val one = cg_eval_one(c, k, v->conv->in[1], cg_add(c, v->col, cg_i64(c, i)), tap);
        all = v->lanes == 1 ? one : LLVMBuildInsertElement(c->b, all, one, cg_i64(c, i), "");
    }
    return all;
}

void
ptx_conv_weights(Cg *c, CgKernel *k, PtxConv *v)
{
    const Value *w = v->conv->in[1], *bias = v->conv->in[2];
    const bool strided = w->type.shape.rank == 3;
    CgSite at = {.row = cg_i64(c, 0), .col = v->col, .lanes = v->lanes};
    cg_unbind_all(k);
    v->bias = bias ? cg_eval(c, k, bias, &at) : NULL;
    for (int j = 0; j < v->taps; j++) {
        at.row = cg_i64(c, j);
        v->weight[j] = strided ? strided_weight(c, k, v, at.row) : cg_eval(c, k, w, &at);
    }
}

/* ---- rows that need no state -------------------------------------------------------------------
 */

static void
whole_run(Cg *c, CgKernel *k, const PtxConv *v, int rows)
{
    Val x[RUN + PTX_CONV_TAPS];
    const int before = v->taps - 1;
    const Val first = cg_sub(c, v->row, cg_i64(c, before));
    int read = 0;
    for (int i = 0; i < rows; i++) {
        for (; read < rows + before && read < i + before + 1 + AHEAD; read++)
            x[read] = input_at(c, k, v, cg_add(c, first, cg_i64(c, read)));
        store_row(c, k, v, cg_add(c, v->row, cg_i64(c, i)), x + i);
    }
}

/* Of a run with a border of segments, the rows of one that have history: what is read lies in the
 * segment. */
static void
broken_run(Cg *c, CgKernel *k, const PtxConv *v, int rows, CgSeg seg)
{
    Val x[RUN + PTX_CONV_TAPS];
    const int before = v->taps - 1;
    const Val first = cg_max(c, v->row, cg_add(c, seg.row, cg_i64(c, before)));
    const Val seg_end = cg_add(c, seg.row, seg.len);
    const Val end = cg_min(c, seg_end, cg_add(c, v->row, cg_i64(c, rows)));
    CgIf some = cg_if(c, cg_less(c, first, end));
    int read = 0;
    for (int i = 0; i < rows; i++) {
        for (; read < rows + before && read < i + before + 1 + BROKEN_AHEAD; read++) {
            const Val row = cg_add(c, v->row, cg_i64(c, read - before));
            const Val last = cg_sub(c, end, cg_i64(c, 1));
            x[read] = input_at(c, k, v, cg_min(c, cg_max(c, row, seg.row), last));
        }
        const Val row = cg_add(c, v->row, cg_i64(c, i));
        const Val early = cg_less(c, row, first),
                  late = LLVMBuildNot(c->b, cg_less(c, row, end), "");
        CgIf within = cg_if(c, LLVMBuildNot(c->b, LLVMBuildOr(c->b, early, late, ""), ""));
        store_row(c, k, v, row, x + i);
        cg_endif(c, &within);
    }
    cg_endif(c, &some);
}

static void
rows_of_run(Cg *c, CgKernel *k, const PtxConv *v, int rows)
{
    const Val nseg = cg_call_field(c, k, CALL_nseg);
    CgIf some = cg_if(c, cg_less(c, nseg, k->tokens)); /* else every row is the first of its own */
    const Val number = ptx_segment_of(c, k, v->row);
    const CgSeg seg = cg_segment(c, k, number);
    const Val before = cg_sub(c, v->row, seg.row);
    const Val end = cg_add(c, v->row, cg_i64(c, rows)), seg_end = cg_add(c, seg.row, seg.len);
    const Val history = cg_less(c, cg_i64(c, v->taps - 2), before);
    const Val inside = LLVMBuildNot(c->b, cg_less(c, seg_end, end), "");
    CgIf whole = cg_if(c, LLVMBuildAnd(c->b, history, inside, ""));
    whole_run(c, k, v, rows);
    cg_else(c, &whole);
    const Val last = ptx_segment_of(c, k, cg_sub(c, end, cg_i64(c, 1)));
    CgLoop loop = cg_loop(c, "segment", number, cg_add(c, last, cg_i64(c, 1)), 1);
    broken_run(c, k, v, rows, cg_segment(c, k, loop.i));
    cg_loop_end(c, &loop);
    cg_endif(c, &whole);
    cg_endif(c, &some);
}

/* ---- the first rows of a segment, and its state ------------------------------------------------
 */

static Val
history_at(Cg *c, CgKernel *k, const PtxConv *v, const CgSeg *seg, int i)
{
    const CgOperand *state = cg_operand(k, v->conv->in[3]);
    const Val base = cg_state_at(c, k, state, seg->slot);
    return cg_element(c, base, state->dtype, cg_i64(c, i), cg_width(v->conv->out[0]), v->col);
}

/* Everything is read before anything is made. A segment of a graph without runs has one row. */
void
ptx_conv_begin(Cg *c, CgKernel *k, const PtxConv *v, Val number)
{
    const CgSeg seg = cg_segment(c, k, number);
    const CgOperand *state = cg_operand(k, v->conv->in[3]);
    const LLVMTypeRef type = cg_vec_type(c, v->lanes);
    const bool runs = graph_has_runs(k->graph);
    const int history = v->taps - 1, most = runs ? history : 1;
    const Val last = cg_sub(c, cg_add(c, seg.row, seg.len), cg_i64(c, 1));
    Val past[PTX_CONV_TAPS]; /* variables: the last inputs, oldest first */
    Val first[PTX_CONV_TAPS], newest[PTX_CONV_TAPS];
    CgIf any = cg_if(c, cg_less(c, cg_i64(c, 0), seg.len));
    for (int j = 0; j < history; j++) {
        const Val x = ptx_load_row(c, state, history_at(c, k, v, &seg, j), v->lanes);
        past[j] = cg_var(c, type, x, "past");
    }
    for (int i = 0; i < most; i++)
        first[i] = segment_input(c, k, v, cg_min(c, cg_add(c, seg.row, cg_i64(c, i)), last));
    for (int j = 0; runs && j < history; j++) {
        const Val row = cg_sub(c, last, cg_i64(c, history - 1 - j));
        newest[j] = segment_input(c, k, v, cg_max(c, row, seg.row));
    }
    for (int i = 0; i < most; i++) {
        CgIf exists = cg_if(c, cg_less(c, cg_i64(c, i), seg.len));
        Val x[PTX_CONV_TAPS];
        for (int j = 0; j < history; j++)
            x[j] = cg_get(c, type, past[j]);
        x[history] = first[i];
        store_row(c, k, v, cg_add(c, seg.row, cg_i64(c, i)), x);
        for (int j = 0; j < history; j++)
            cg_set(c, past[j], x[j + 1]);
        cg_endif(c, &exists);
    }
    const Val longer = cg_less(c, cg_i64(c, history), seg.len);
    for (int j = 0; j < history; j++) {
        Val x = cg_get(c, type, past[j]);
        if (runs)
            x = LLVMBuildSelect(c->b, longer, newest[j], x, "");
        ptx_store_row(c, state, history_at(c, k, v, &seg, j), x);
    }
    cg_endif(c, &any);
}

/* Runs have the segments of the runs half of all further on, round the end: a sequence by itself
 * begins in another block than the one that has its first run. */
static void
begin_segments(Cg *c, CgKernel *k, const PtxConv *v, Val run, int rows)
{
    const Val runs = cg_div_up(c, k->tokens, cg_i64(c, rows));
    const Val on = cg_add(c, run, cg_div(c, runs, cg_i64(c, 2)));
    const Val wrapped = LLVMBuildSelect(c->b, cg_less(c, on, runs), on, cg_sub(c, on, runs), "");
    const Val other = rows > 1 ? wrapped : run;
    const Val from = cg_mul(c, other, cg_i64(c, rows));
    const Val end = cg_min(c, cg_add(c, from, cg_i64(c, rows)), cg_call_field(c, k, CALL_nseg));
    CgLoop seg = cg_loop(c, "seg", from, end, 1);
    ptx_conv_begin(c, k, v, seg.i);
    cg_loop_end(c, &seg);
}

bool
ptx_conv_open(const Node *conv, PtxConv *v, Diag *diag)
{
    const int64_t taps = node_taps(conv);
    *v = (PtxConv){.conv = conv, .taps = (int)taps, .lanes = 1};
    return taps <= PTX_CONV_TAPS ||
           diag_error(diag, conv->loc, "conv1d of width %lld; code is made for 2 to %d",
                      (long long)taps, PTX_CONV_TAPS);
}

int
ptx_conv_lanes(const Node *conv, int lanes)
{
    const int64_t first = node_int(conv, ATTR_column, 0), width = cg_width(conv->out[0]);
    const bool whole = first % lanes == 0 && width % lanes == 0;
    return whole && lanes * node_taps(conv) <= PTX_CONV_WEIGHTS ? lanes : 1;
}

/* ---- in the epilogue of a projection -----------------------------------------------------------
 * In decode the thread that computes some columns of the product also computes the convolution of
 * those: it is the only one that reads and writes their state. Of runs see tile_conv.c. */

static void
read_past(Cg *c, CgKernel *k, const PtxConv *v, const CgSeg *seg, Val *past)
{
    const CgOperand *state = cg_operand(k, v->conv->in[3]);
    for (int j = 0; j + 1 < v->taps; j++)
        past[j] = ptx_load_row(c, state, history_at(c, k, v, seg, j), v->lanes);
}

static void
conv_of_token(Cg *c, CgKernel *k, PtxConv *v, Val row, Val x, const PtxConvAhead *ahead)
{
    const CgSeg seg = cg_segment(c, k, row); /* as many as rows */
    const CgOperand *state = cg_operand(k, v->conv->in[3]);
    const int history = v->taps - 1;
    Val taps[PTX_CONV_TAPS];
    if (ahead) {
        const LLVMTypeRef type = cg_vec_type(c, v->lanes);
        for (int j = 0; j < v->taps; j++)
            v->weight[j] = cg_get(c, type, ahead->weight[j]);
        for (int j = 0; j < history; j++)
            taps[j] = cg_get(c, type, ahead->past[j]);
        v->bias = ahead->bias ? cg_get(c, type, ahead->bias) : NULL;
    } else {
        read_past(c, k, v, &seg, taps);
        ptx_conv_weights(c, k, v);
    }
    taps[history] = x;
    for (int j = 0; j < history; j++)
        ptx_store_row(c, state, history_at(c, k, v, &seg, j), taps[j + 1]);
    store_row(c, k, v, row, taps);
}

/* The convolution at `lanes` columns of the projection, and the branch that is taken where it has
 * those. */
static CgIf
conv_at(Cg *c, const Node *conv, Val col, int lanes, Val there, PtxConv *v)
{
    const Val width = cg_i64(c, cg_width(conv->out[0]));
    if (!ptx_conv_open(conv, v, NULL))
        die("a convolution that does not fit");
    v->lanes = lanes;
    v->col = cg_sub(c, col, cg_i64(c, node_int(conv, ATTR_column, 0)));
    const Val mine = LLVMBuildICmp(c->b, LLVMIntULT, v->col, width, ""); /* not before them */
    return cg_if(c, there ? LLVMBuildAnd(c->b, there, mine, "") : mine);
}

void
ptx_conv_here(Cg *c, CgKernel *k, const Node *conv, const CgSite *at, Val y,
              const PtxConvAhead *ahead)
{
    const Value *domain = k->domain;
    const int lanes = ptx_conv_lanes(conv, at->lanes); /* of a convolution, or none of them */
    for (int i = 0; i < at->lanes; i += lanes) {
        PtxConv v;
        CgIf mine = conv_at(c, conv, cg_add(c, at->col, cg_i64(c, i)), lanes, NULL, &v);
        k->domain = conv->out[0];
        conv_of_token(c, k, &v, at->row, lanes < at->lanes ? cg_slice(c, y, i, lanes) : y, ahead);
        k->domain = domain;
        cg_endif(c, &mine);
    }
}

PtxConvAhead
ptx_conv_ahead(Cg *c, CgKernel *k, const Node *conv, Val row, Val col, Val there)
{
    const Value *domain = k->domain;
    PtxConvAhead a = {0};
    Val past[PTX_CONV_TAPS];
    PtxConv v;
    const Val zero = cg_f32(c, 0);
    if (!ptx_conv_open(conv, &v, NULL))
        die("a convolution that does not fit");
    for (int j = 0; j < v.taps; j++)
        a.weight[j] = cg_var(c, c->f32, zero, "weight");
    for (int j = 0; j + 1 < v.taps; j++)
        a.past[j] = cg_var(c, c->f32, zero, "past");
    a.bias = conv->in[2] ? cg_var(c, c->f32, zero, "bias") : NULL;
    CgIf mine = conv_at(c, conv, col, 1, there, &v);
    k->domain = conv->out[0];
    const CgSeg seg = cg_segment(c, k, row);
    read_past(c, k, &v, &seg, past);
    ptx_conv_weights(c, k, &v);
    for (int j = 0; j < v.taps; j++)
        cg_set(c, a.weight[j], v.weight[j]);
    for (int j = 0; j + 1 < v.taps; j++)
        cg_set(c, a.past[j], past[j]);
    if (a.bias)
        cg_set(c, a.bias, v.bias);
    k->domain = domain;
    cg_endif(c, &mine);
    return a;
}

/* The convolution's columns from column `col` of the projection on. */
static PtxConv
columns_at(Cg *c, const Node *conv, Val col, int lanes)
{
    PtxConv v;
    if (!ptx_conv_open(conv, &v, NULL))
        die("a convolution that does not fit");
    v.lanes = lanes;
    v.col = cg_sub(c, col, cg_i64(c, node_int(conv, ATTR_column, 0)));
    return v;
}

void
ptx_conv_columns(Cg *c, CgKernel *k, const Node *conv, Val col, int lanes, PtxConvAhead *a)
{
    const Value *domain = k->domain;
    const LLVMTypeRef type = cg_vec_type(c, lanes);
    PtxConv v = columns_at(c, conv, col, lanes);
    k->domain = conv->out[0];
    ptx_conv_weights(c, k, &v);
    for (int j = 0; j < v.taps; j++)
        a->weight[j] = cg_var(c, type, v.weight[j], "weight");
    a->bias = v.bias ? cg_var(c, type, v.bias, "bias") : NULL;
    k->domain = domain;
}

void
ptx_conv_past(Cg *c, CgKernel *k, const Node *conv, Val row, Val col, int lanes, PtxConvAhead *a)
{
    const PtxConv v = columns_at(c, conv, col, lanes);
    const CgSeg seg = cg_segment(c, k, row);
    Val past[PTX_CONV_TAPS];
    read_past(c, k, &v, &seg, past);
    for (int j = 0; j + 1 < v.taps; j++)
        a->past[j] = cg_var(c, cg_vec_type(c, lanes), past[j], "past");
}

void
ptx_conv_ask(Cg *c, CgKernel *k, const Node *conv, Val row, Val col)
{
    PtxConv v = {.conv = conv, .lanes = 1, .taps = (int)node_taps(conv)};
    const Value *w = conv->in[1];
    const CgOperand *weight = cg_operand(k, w);
    v.col = cg_sub(c, col, cg_i64(c, node_int(conv, ATTR_column, 0)));
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
    PtxConv v;
    if (!ptx_conv_open(k->kernel->anchor, &v, diag))
        return false;
    const int64_t width = cg_width(k->domain), first = node_int(v.conv, ATTR_column, 0);
    const bool runs = graph_has_runs(k->graph);
    const int rows = runs ? RUN : 1;
    v.lanes = ptx_site_lanes(k);
    while (v.lanes > 1 && (v.lanes * v.taps > PTX_CONV_WEIGHTS || first % v.lanes != 0))
        v.lanes /= 2;
    const int64_t sites = width / v.lanes;
    const PtxSpread s = ptx_spread(sites, runs ? ACROSS : THREADS, THREADS);
    if (runs)
        ptx_resident(c, RESIDENT);
    ptx_threads(k, s.threads);
    ptx_grid(k, 0, ABI_TOKENS, 1, rows * s.rows, s.blocks);
    Val site = NULL, run = NULL;
    const Val is_site = ptx_spread_site(c, &s, sites, &run, &site);
    v.col = cg_mul(c, site, cg_i64(c, v.lanes));
    v.row = cg_mul(c, run, cg_i64(c, rows));
    CgIf exists = cg_if(c, LLVMBuildAnd(c->b, is_site, cg_less(c, v.row, k->tokens), ""));
    ptx_conv_weights(c, k, &v);
    if (runs)
        rows_of_run(c, k, &v, rows);
    begin_segments(c, k, &v, run, rows);
    cg_endif(c, &exists);
    return true;
}
