/* codegen/ptx/tile_conv.c -- the convolution of columns of a projection, in the epilogue of the
 * tiles that have them: their rows are neither written nor read again.
 *
 * A tile's blocks run in any order, so the state of a segment must be read and written by one
 * block: the one that makes the segment's last row. A piece of a tile therefore has, beside the
 * rows that it makes, K-1 rows from the begin of the segment that its first row belongs to, and the
 * K-1 rows before its first: multiplied again, 6 of 128 where K is 4.
 *
 *     for each segment that has rows in the piece:
 *         those of its rows here that have K-1 rows of the segment before them
 *         if its last row is here: its first K-1 rows, which may be rows of other pieces, and the
 *             state after the segment
 *
 * Every row is made once, from the same numbers wherever the tiles fall. */
#include "codegen/ptx/conv.h"

static int64_t
first_column(const Node *conv)
{
    return node_int(conv, ATTR_column, 0);
}

bool
ptx_conv_of_runs(const PtxLinear *p)
{
    return p->conv && graph_has_runs(p->k->graph);
}

int
ptx_conv_beside(const PtxLinear *p)
{
    return (int)product_beside(node_taps(p->conv));
}

/* ---- whether it can be ------------------------------------------------------------------------
 */

/* Of runs: by tiles alone, whose threads copy the rows beside others first. */
static bool
tiles_hold(const PtxLinear *p)
{
    const int64_t taps = node_taps(p->conv);
    const bool small = !p->small || product_holds_conv(p->small, taps);
    return !p->l.e && !p->normed && product_holds_conv(p->product, taps) && small;
}

bool
ptx_conv_fits(const PtxLinear *p, Diag *diag)
{
    PtxConv v;
    const Node *conv = p->conv;
    const bool of_it = node_operand(conv, 'x') == p->l.y, runs = ptx_conv_of_runs(p);
    if (p->k->kernel->anchor->op != OP_linear || cg_width(conv->out[0]) == cg_width(p->k->domain) ||
        (!runs && !of_it))
        return diag_error(diag, conv->loc,
                          "kernel %s: in a projection's epilogue a conv1d has some of the columns "
                          "of its result",
                          p->k->kernel->name);
    if (runs && !tiles_hold(p))
        return diag_error(diag, conv->loc,
                          "kernel %s: in a projection's epilogue a conv1d of width %lld and many "
                          "tokens of a sequence needs a product of MMA or WGMMA, large and small, "
                          "with tiles of at least %lld rows",
                          p->k->kernel->name, (long long)node_taps(conv),
                          (long long)(8 * product_beside(node_taps(conv))));
    return ptx_conv_open(conv, &v, diag);
}

/* ---- columns and rows ------------------------------------------------------------------------ */

bool
ptx_conv_sites_whole(const PtxLinear *p, int lanes)
{
    return first_column(p->conv) % lanes == 0 && cg_width(p->conv->out[0]) % lanes == 0;
}

Val
ptx_conv_alone(Cg *c, const PtxLinear *p, Val col)
{
    const int64_t first = first_column(p->conv), width = cg_width(p->conv->out[0]);
    bool alone = true;
    for (int i = 0; i < p->k->noperands; i++) {
        const CgOperand *o = &p->k->operands[i];
        if (cg_stores(p->k, o))
            alone = alone && o->unread_from <= first && first + width <= o->unread_to;
    }
    if (!alone)
        return LLVMConstInt(c->i1, 0, 0);
    const Val at = cg_sub(c, col, cg_i64(c, first));
    return LLVMBuildICmp(c->b, LLVMIntULT, at, cg_i64(c, width), "");
}

/* Of one sequence it is known without a read. */
Val
ptx_conv_segment(Cg *c, const PtxLinear *p, Val row)
{
    const Val begin = cg_var(c, c->i64, cg_i64(c, 0), "begin");
    cg_set(c, begin, cg_i64(c, 0));
    CgIf several = cg_if(c, cg_less(c, cg_i64(c, 1), cg_call_field(c, p->k, CALL_nseg)));
    cg_set(c, begin, cg_segment(c, p->k, ptx_segment_of(c, p->k, row)).row);
    cg_endif(c, &several);
    return cg_get(c, c->i64, begin);
}

Val
ptx_conv_source(Cg *c, const PtxLinear *p, Val at, Val row, Val begin)
{
    const int64_t beside = ptx_conv_beside(p);
    const Val early = cg_less(c, at, cg_i64(c, beside / 2));
    const Val last = cg_sub(c, p->rows, cg_i64(c, 1));
    const Val other = cg_sub(c, cg_add(c, row, at), cg_i64(c, beside));
    const Val there = cg_min(c, cg_add(c, begin, at), last);
    return LLVMBuildSelect(c->b, early, there, cg_max(c, other, cg_i64(c, 0)), "");
}

Val
ptx_conv_row(Cg *c, const PtxLinear *p, Val at, Val row, Val lead, Val begin)
{
    const Val own = cg_add(c, row, at), last = cg_sub(c, p->rows, cg_i64(c, 1));
    const Val source = ptx_conv_source(c, p, at, cg_add(c, row, lead), begin);
    const Val beside = cg_less(c, at, lead);
    return LLVMBuildSelect(c->b, beside, source, cg_min(c, own, last), "");
}

/* ---- inputs ------------------------------------------------------------------------------------
 */

bool
ptx_conv_of_pairs(const PtxLinear *p)
{
    const Value *x = node_operand(p->conv, 'x');
    const int lanes = ptx_linear_lanes(p);
    for (int i = 0; i < p->k->noperands; i++) {
        const CgOperand *o = &p->k->operands[i];
        if (cg_stores(p->k, o) && (o->value != x || ptx_lanes(o, lanes) < lanes))
            return false;
    }
    return x->type.dtype == DTYPE_bf16 && ptx_conv_lanes(p->conv, lanes) > 1;
}

int
ptx_conv_together(const PtxLinear *p)
{
    const int lanes = ptx_linear_lanes(p), twice = 2 * lanes;
    for (int i = 0; i < p->k->noperands; i++) {
        const CgOperand *o = &p->k->operands[i];
        if (o->is_output && ptx_lanes(o, twice) < twice)
            return lanes;
    }
    return p->l.out % twice == 0 && ptx_conv_lanes(p->conv, twice) == twice ? twice : lanes;
}

/* Of a product's sums at a site, what the kernel makes of them: `value`. */
static Val
made_of_sums(Cg *c, const PtxLinear *p, const CgSite *site, Val sums, const Value *value)
{
    cg_unbind_all(p->k);
    cg_bind(p->k, p->l.y, cg_linear_biased(c, &p->l, site, sums));
    return cg_eval(c, p->k, value, site);
}

Val
ptx_conv_pair(Cg *c, const PtxLinear *p, Val row, Val col, const Val sums[2])
{
    const Value *x = node_operand(p->conv, 'x');
    const bool cast = x->def->op == OP_cast; /* the pair is rounded by itself */
    const Val there = cg_less(c, col, cg_i64(c, p->l.out));
    const CgSite site = {
        .row = row, .col = LLVMBuildSelect(c->b, there, col, cg_i64(c, 0), ""), .lanes = 2};
    Val both = LLVMGetPoison(cg_vec_type(c, 2));
    for (int i = 0; i < 2; i++)
        both = LLVMBuildInsertElement(c->b, both, sums[i], cg_i64(c, i), "");
    const Val y = made_of_sums(c, p, &site, both, cast ? x->def->in[0] : x);
    return ptx_pair(c, cg_slice(c, y, 0, 1), cg_slice(c, y, 1, 1));
}

void
ptx_conv_keep(Cg *c, const PtxLinear *p, Val row, Val col, Val inputs)
{
    const unsigned bytes = (unsigned)ptx_conv_together(p) * sizeof(int16_t);
    const LLVMTypeRef words = cg_vec_of(c->i32, (int)(bytes / sizeof(int32_t)));
    const CgOperand *o = cg_operand(p->k, node_operand(p->conv, 'x'));
    if (!o)
        return;
    const Val all = LLVMBuildLoad2(c->b, words, inputs, "");
    LLVMSetAlignment(all, bytes);
    const Val to = cg_element(c, o->base, o->dtype, row, o->stride, col);
    LLVMSetAlignment(LLVMBuildStore(c->b, all, to), bytes);
}

/* ---- a piece ----------------------------------------------------------------------------------
 */

/* The input that is in row `at` of the piece, for row `row` of y: what the kernel makes of the
 * product before the convolution. */
static Val
input_of(Cg *c, const PtxConv *v, Val at, Val row)
{
    const PtxPiece *piece = v->piece;
    const Dtype dtype = piece->rounded ? DTYPE_bf16 : DTYPE_f32;
    const Val col = cg_add(c, v->col, cg_i64(c, first_column(v->conv)));
    const CgSite site = {.row = row, .col = col, .lanes = v->lanes};
    const Val from =
        cg_element(c, piece->sums, dtype, at, piece->stride, cg_sub(c, col, piece->col));
    const Val there = ptx_load(c, from, dtype, v->lanes);
    return piece->rounded ? there : made_of_sums(c, v->p, &site, there, node_operand(v->conv, 'x'));
}

/* Of a row that the piece makes, or one of the K-1 before those. */
static Val
late_input(Cg *c, const PtxConv *v, Val row)
{
    const Val beside = cg_i64(c, ptx_conv_beside(v->p));
    return input_of(c, v, cg_add(c, cg_sub(c, row, v->piece->row), beside), row);
}

Val
ptx_piece_input(Cg *c, const PtxConv *v, Val row)
{
    const int64_t beside = ptx_conv_beside(v->p);
    const Val at = cg_add(c, cg_sub(c, row, v->piece->row), cg_i64(c, beside));
    const Val early = cg_less(c, at, cg_i64(c, beside / 2));
    return input_of(c, v, LLVMBuildSelect(c->b, early, cg_sub(c, row, v->piece->begin), at, ""),
                    row);
}

/* ---- rows with others before them --------------------------------------------------------------
 * A thread makes rows that follow each other, a few at a time, and keeps the last inputs in
 * registers. What is made of a convolution, such as a SiLU, takes the units of functions, eight
 * clocks an instruction of a warp; the sums take those of multiply-adds. So a step has the sums of
 * its rows beside what is made of those of the step before. */

enum { TOGETHER = 4 };

typedef struct {
    Val from, to;            /* rows */
    Val past[PTX_CONV_TAPS]; /* variables: the last K-1 inputs, oldest first */
    Val y[TOGETHER];         /* variables: the sums of a step */
} Window;

/* The sums of rows from `row` on; rows that are not there are taken for the last. */
static void
window_sums(Cg *c, const PtxConv *v, const Window *w, Val row, Val y[TOGETHER])
{
    const LLVMTypeRef type = cg_vec_type(c, v->lanes);
    const int before = v->taps - 1;
    const Val last = cg_sub(c, w->to, cg_i64(c, 1));
    Val x[PTX_CONV_TAPS + TOGETHER];
    for (int j = 0; j < before; j++)
        x[j] = cg_get(c, type, w->past[j]);
    for (int i = 0; i < TOGETHER; i++) {
        x[before + i] = late_input(c, v, cg_min(c, cg_add(c, row, cg_i64(c, i)), last));
        y[i] = ptx_conv_sum(c, v, x + i);
    }
    for (int j = 0; j < before; j++)
        cg_set(c, w->past[j], x[j + TOGETHER]);
}

/* Rows that all lie in one segment, and so do the K-1 before them. */
static void
window_rows(Cg *c, CgKernel *k, const PtxConv *v, Window *w)
{
    const LLVMTypeRef type = cg_vec_type(c, v->lanes);
    const int before = v->taps - 1;
    Val y[TOGETHER], next[TOGETHER];
    CgIf some = cg_if(c, cg_less(c, w->from, w->to));
    for (int j = 0; j < before; j++)
        w->past[j] =
            cg_var(c, type, late_input(c, v, cg_add(c, w->from, cg_i64(c, j - before))), "past");
    window_sums(c, v, w, w->from, y);
    for (int i = 0; i < TOGETHER; i++)
        w->y[i] = cg_var(c, type, y[i], "sum");
    const Val rest = cg_sub(c, w->to, cg_i64(c, TOGETHER));
    const Val end = cg_var(c, c->i64, w->from, "end");
    CgLoop loop = cg_loop(c, "rows", w->from, rest, TOGETHER);
    for (int i = 0; i < TOGETHER; i++)
        y[i] = cg_get(c, type, w->y[i]);
    window_sums(c, v, w, cg_add(c, loop.i, cg_i64(c, TOGETHER)), next);
    for (int i = 0; i < TOGETHER; i++) {
        ptx_conv_store(c, k, v, cg_add(c, loop.i, cg_i64(c, i)), y[i]);
        cg_set(c, w->y[i], next[i]);
    }
    cg_set(c, end, cg_add(c, loop.i, cg_i64(c, TOGETHER)));
    cg_loop_end(c, &loop);
    for (int i = 0; i < TOGETHER; i++) {
        const Val row = cg_add(c, cg_get(c, c->i64, end), cg_i64(c, i));
        CgIf there = cg_if(c, cg_less(c, row, w->to));
        ptx_conv_store(c, k, v, row, cg_get(c, type, w->y[i]));
        cg_endif(c, &there);
    }
    cg_endif(c, &some);
}

/* ---- segments --------------------------------------------------------------------------------
 */

/* The thread's share of a segment's rows in the piece that have K-1 before them. */
static void
segment_rows(Cg *c, CgKernel *k, const PtxConv *v, const CgSeg *seg)
{
    const Val first = cg_add(c, seg->row, cg_i64(c, v->taps - 1));
    const Val from = cg_max(c, v->piece->row, first);
    const Val to = cg_min(c, v->piece->end, cg_add(c, seg->row, seg->len));
    const Val rows = cg_max(c, cg_sub(c, to, from), cg_i64(c, 0)), down = v->piece->down;
    const Val share = ptx_narrow_div(c, cg_sub(c, cg_add(c, rows, down), cg_i64(c, 1)), down);
    Window w = {.from = cg_add(c, from, cg_mul(c, share, v->down))};
    w.to = cg_min(c, to, cg_add(c, w.from, share));
    window_rows(c, k, v, &w);
}

static void
segments(Cg *c, CgKernel *k, const PtxConv *v)
{
    const PtxPiece *piece = v->piece;
    const Val down = piece->down;
    const Val last = ptx_segment_of(c, k, cg_sub(c, piece->end, cg_i64(c, 1)));
    CgLoop each = cg_loop(c, "segment", v->number, cg_add(c, last, cg_i64(c, 1)), 1);
    const CgSeg seg = cg_segment(c, k, each.i);
    segment_rows(c, k, v, &seg);
    const Val seg_end = cg_add(c, seg.row, seg.len);
    const Val ends = LLVMBuildNot(c->b, cg_less(c, piece->end, seg_end), "");
    const Val turn = cg_sub(c, each.i, cg_mul(c, ptx_narrow_div(c, each.i, down), down));
    const Val mine = LLVMBuildICmp(c->b, LLVMIntEQ, turn, v->down, "");
    CgIf begins = cg_if(c, LLVMBuildAnd(c->b, ends, mine, ""));
    ptx_conv_begin(c, k, v, each.i);
    cg_endif(c, &begins);
    cg_loop_end(c, &each);
}

PtxConv
ptx_conv_part(Cg *c, const PtxLinear *p, const PtxPiece *piece)
{
    CgKernel *k = p->k;
    const Value *domain = k->domain;
    PtxConv v;
    if (!ptx_conv_open(p->conv, &v, NULL))
        die("kernel %s: a convolution that does not fit", k->kernel->name);
    v.lanes = ptx_conv_lanes(p->conv, piece->lanes);
    v.p = p;
    v.piece = piece;
    const int64_t across = piece->columns / v.lanes;
    v.down = cg_div(c, piece->thread, cg_i64(c, across));
    const Val right = cg_sub(c, piece->thread, cg_mul(c, v.down, cg_i64(c, across)));
    const Val at = cg_add(c, piece->col, cg_mul(c, right, cg_i64(c, v.lanes)));
    const Val col = cg_sub(c, at, cg_i64(c, first_column(p->conv)));
    const Val width = cg_i64(c, cg_width(p->conv->out[0]));
    v.mine = LLVMBuildAnd(c->b, LLVMBuildICmp(c->b, LLVMIntULT, col, width, ""),
                          cg_less(c, v.down, piece->down), "");
    v.col = LLVMBuildSelect(c->b, v.mine, col, cg_i64(c, 0), "");
    v.number = ptx_segment_of(c, k, piece->row);
    k->domain = p->conv->out[0];
    ptx_conv_weights(c, k, &v);
    k->domain = domain;
    return v;
}

void
ptx_conv_piece(Cg *c, const PtxConv *v)
{
    CgKernel *k = v->p->k;
    const Value *domain = k->domain;
    CgIf mine = cg_if(c, v->mine);
    k->domain = v->conv->out[0];
    segments(c, k, v);
    k->domain = domain;
    cg_endif(c, &mine);
}
