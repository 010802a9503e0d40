/* codegen/emit_linear.c -- y[T,O] = x[T,K] W^T + b with whatever is fused after it.
 *
 * Emitted (W packed in panels of NR rows, see pack in ir/ops.def); threads share panels:
 *
 *     for each block of token rows:      as many rows of x as half of L2 holds, staged in scratch
 *         for each panel of this thread: NR columns of y; its K x NR weights are one contiguous
 * stream for each tile of rows:     tile x NR accumulators in registers, all of K results ->
 * scratch -> + bias, epilogue -> outputs, row by row
 *
 * Staging x makes rows of a tile fall into different cache sets whatever K is, pads an odd K of
 * bf16 pairs with a zero, evaluates what is fused before the product once, and lets the last tile
 * run over rows that do not exist. Each output is one sum in the order of K whatever the tile, so a
 * row's result does not depend on the rows beside it.
 *
 * BLAS (W [O,K] f32 as it is): cblas_sgemm for this thread's columns, then the epilogue. */
#include "codegen/tile.h"

enum { MAX_HEIGHTS = 8, LINE_FLOATS = 16 };

typedef struct {
    CgKernel *k;
    const Value *x, *w, *bias, *y;
    int64_t depth, out; /* K, O */
    Val row, rows;      /* of the block of token rows worked on: first and how many */
    Val result;         /* scratch: the product before bias and epilogue */
} Linear;

/* ---- bias and epilogue ------------------------------------------------------------------- */

typedef struct {
    const Linear *l;
    Val from, first; /* a row of the result, and the column of y at its start */
} Epilogue;

static void
epilogue_site(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const Epilogue *e = user;
    const Linear *l = e->l;
    const Val from = cg_at(c, e->from, DTYPE_f32, cg_sub(c, at->col, e->first));
    Val y = cg_vload(c, from, DTYPE_f32, at->lanes, at->mask);
    cg_unbind_all(k);
    if (l->bias)
        y = LLVMBuildFAdd(c->b, y, cg_eval(c, k, l->bias, at), "");
    cg_bind(k, l->y, y);
    cg_store_outputs(c, k, at);
}

/* count rows from token row `row`: columns [from, to) of the results, rows `stride` apart. */
static void
epilogue(Cg *c, const Linear *l, Val row, Val count, Val from, Val to, int64_t stride)
{
    Epilogue e = {.l = l, .first = from};
    CgLoop rows = cg_loop(c, "epilogue", cg_i64(c, 0), count, 1);
    e.from = cg_at(c, l->result, DTYPE_f32, cg_mul(c, rows.i, cg_i64(c, stride)));
    const int lanes = l->out == 1 ? 1 : c->lanes; /* a [T,1] value is one scalar a row to cg_eval */
    cg_columns(c, l->k, cg_add(c, row, rows.i), from, to, lanes, epilogue_site, &e);
    cg_loop_end(c, &rows);
}

/* ---- emitted over packed weights --------------------------------------------------------- */

typedef struct {
    Linear l;
    int64_t panel, panels;
    int64_t steps;  /* of the summed index: K, or pairs of it */
    int64_t stride; /* staged x: elements of dtype from row to row */
    Dtype dtype;    /* of x and W: f32 or bf16 */
    int vecs, lanes;
    int heights[MAX_HEIGHTS], nheights; /* rows of a tile: the tile attribute, then smaller ones */
    Val staged, weights;                /* scratch; the packed weight's first element */
} Packed;

/* Heights below the full tile: powers of two, so that a few leftover rows do not pay for all. */
static void
choose_heights(Packed *p, int tile)
{
    p->heights[p->nheights++] = tile;
    for (int h = 16; h >= 1; h /= 2)
        if (h < tile && p->nheights < MAX_HEIGHTS)
            p->heights[p->nheights++] = h;
}

static int
tile_height(const Cg *c, const CgKernel *k, const Packed *p)
{
    const Attr *tile = attrs_find(&k->kernel->attrs, ATTR_tile);
    const int fits = cg_tile_rows(c->target, p->vecs, p->dtype);
    const int most = CG_TILE_MAX / p->vecs;
    if (!tile || tile->i < 1)
        return fits;
    return tile->i < most ? (int)tile->i : most;
}

/* Most rows staged at a time: half of L2, the other half being for panels and results. */
static int64_t
most_rows(const Cg *c, const Graph *g, const Value *y, int64_t row_bytes, int64_t unit)
{
    const int64_t most = y->type.shape.dim[0].kind == DIM_ROWS ? g->rows : g->block;
    const int64_t l2 = c->target->l2_bytes > 0 ? c->target->l2_bytes : 1 << 20;
    const int64_t fits = l2 / 2 / row_bytes / unit * unit;
    const int64_t rows = fits < unit ? unit : fits;
    return most > 0 && most < rows ? most : rows;
}

/* Rows of each block so that blocks are equal but for whole tiles: a short last block would stream
 * the weights for little work. At most `most`, a number of whole tiles or the greatest T. */
static Val
equal_blocks(Cg *c, Val rows, int64_t most, int64_t tile)
{
    const Val limit = cg_i64(c, most), unit = cg_i64(c, tile), one = cg_i64(c, 1);
    const Val count = cg_div(c, cg_add(c, rows, cg_sub(c, limit, one)), limit);
    const Val least = cg_max(c, one, count);
    const Val each = cg_div(c, cg_add(c, rows, cg_sub(c, least, one)), least);
    const Val whole = cg_mul(c, cg_div(c, cg_add(c, each, cg_sub(c, unit, one)), unit), unit);
    return cg_max(c, one, cg_min(c, whole, limit));
}

static void
packed_tile(Cg *c, const Packed *p, int height, Val row, Val panel)
{
    const Dtype unit = p->dtype == DTYPE_bf16 ? DTYPE_i32 : DTYPE_f32; /* a pair, or one element */
    const int64_t stride = p->dtype == DTYPE_bf16 ? p->stride / 2 : p->stride;
    const CgSide x = {.base = cg_at(c, p->staged, unit, cg_mul(c, row, cg_i64(c, stride))),
                      .dtype = unit,
                      .stride = stride,
                      .step = 1};
    const Val first = cg_mul(c, panel, cg_i64(c, p->steps * p->panel));
    const CgSide w = {
        .base = cg_at(c, p->weights, unit, first), .dtype = unit, .stride = 1, .step = p->panel};
    const CgTile tile = cg_tile(c, height, p->vecs, p->lanes);
    cg_tile_mac(c, &tile, &x, &w, cg_i64(c, 0), cg_i64(c, p->steps));
    cg_tile_store(c, &tile, p->l.result, p->panel);
}

/* The smallest height from heights[i] on that covers `left` rows. */
static void
packed_heights(Cg *c, const Packed *p, int i, Val left, Val row, Val panel)
{
    if (i + 1 == p->nheights) {
        packed_tile(c, p, p->heights[i], row, panel);
        return;
    }
    CgIf tall = cg_if(c, cg_less(c, cg_i64(c, p->heights[i + 1]), left));
    packed_tile(c, p, p->heights[i], row, panel);
    cg_else(c, &tall);
    packed_heights(c, p, i + 1, left, row, panel);
    cg_endif(c, &tall);
}

/* A panel's columns for every row of the block. */
static void
packed_panel(Cg *c, const Packed *p, Val panel)
{
    const Val from = cg_mul(c, panel, cg_i64(c, p->panel));
    const Val to = cg_min(c, cg_i64(c, p->l.out), cg_add(c, from, cg_i64(c, p->panel)));
    const Val tile = cg_i64(c, p->heights[0]);
    CgLoop rows = cg_loop(c, "tile", cg_i64(c, 0), p->l.rows, p->heights[0]);
    const Val left = cg_sub(c, p->l.rows, rows.i);
    packed_heights(c, p, 0, left, rows.i, panel);
    epilogue(c, &p->l, cg_add(c, p->l.row, rows.i), cg_min(c, tile, left), from, to, p->panel);
    cg_loop_end(c, &rows);
}

static void
packed_stage(Cg *c, const Packed *p)
{
    const Linear *l = &p->l;
    const CgBlock from = {
        .v = l->x, .row = l->row, .count = l->rows, .col = cg_i64(c, 0), .width = l->depth};
    cg_stage(c, l->k, &from, p->staged, p->dtype, p->stride);
    if (p->dtype != DTYPE_bf16 || l->depth % 2 == 0)
        return;
    CgLoop rows = cg_loop(c, "pad", cg_i64(c, 0), l->rows, 1);
    const Val row = cg_at(c, p->staged, p->dtype, cg_mul(c, rows.i, cg_i64(c, p->stride)));
    cg_vstore(c, cg_at(c, row, p->dtype, cg_i64(c, l->depth)), p->dtype, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &rows);
}

/* Sizes of the product from the packed weight's type; false when it is not packed for this x. */
static bool
packed_sizes(const Cg *c, Packed *p)
{
    const Shape *s = &p->l.w->type.shape;
    p->dtype = p->l.w->type.dtype;
    if ((p->dtype != DTYPE_f32 || s->rank != 3) && (p->dtype != DTYPE_bf16 || s->rank != 4))
        return false;
    p->panels = s->dim[0].n;
    p->steps = s->dim[1].n;
    p->panel = s->dim[2].n;
    p->lanes = c->lanes;
    while (p->lanes > 1 && p->panel % p->lanes != 0)
        p->lanes /= 2;
    p->vecs = (int)(p->panel / p->lanes);
    /* An odd number of lines from row to row keeps the rows of a tile in different sets of L1. */
    const int64_t per_line = LINE_FLOATS * (p->dtype == DTYPE_bf16 ? 2 : 1);
    const int64_t lines = (p->l.depth + c->lanes + per_line - 1) / per_line;
    p->stride = (lines | 1) * per_line;
    return p->panel / p->lanes <= CG_TILE_MAX;
}

static bool
emit_packed(Cg *c, CgKernel *k, const Linear *l, Diag *diag)
{
    Packed p = {.l = *l};
    if (!packed_sizes(c, &p)) {
        StrBuf type = {0};
        type_print(&type, &l->w->type);
        diag_error(
            diag, k->kernel->anchor->loc,
            "the weight of this linear is %s; an emitted linear reads one packed in panels of "
            "at most %d vectors (pass layout)",
            sb_text(&type), (int)CG_TILE_MAX);
        sb_free(&type);
        return false;
    }
    choose_heights(&p, tile_height(c, k, &p));
    const int64_t row_bytes = p.stride * dtype_info[p.dtype].bytes;
    const int64_t most = most_rows(c, k->graph, l->y, row_bytes, p.heights[0]);
    p.staged = cg_scratch(c, k, (most + p.heights[0]) * row_bytes);
    p.l.result = cg_scratch(c, k, p.heights[0] * p.panel * (int64_t)sizeof(float));
    p.weights = cg_operand(k, l->w)->base;
    Val from, to;
    cg_share(c, k, cg_i64(c, p.panels), 1, &from, &to);
    const Val rows = cg_rows(k, l->y);
    const Val block = equal_blocks(c, rows, most, p.heights[0]);
    const Val count = cg_div(c, cg_add(c, rows, cg_sub(c, block, cg_i64(c, 1))), block);
    CgLoop blocks = cg_loop(c, "block", cg_i64(c, 0), count, 1);
    p.l.row = cg_mul(c, blocks.i, block);
    p.l.rows = cg_min(c, block, cg_sub(c, rows, p.l.row));
    packed_stage(c, &p);
    CgLoop panels = cg_loop(c, "panel", from, to, 1);
    packed_panel(c, &p, panels.i);
    cg_loop_end(c, &panels);
    cg_loop_end(c, &blocks);
    return true;
}

/* ---- OpenBLAS ---------------------------------------------------------------------------- */

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112, BLAS_BLOCK = 256 };

static Val
blas_int(Cg *c, Val n)
{
    return LLVMBuildTrunc(c->b, n, c->i32, "");
}

/* void cblas_sgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) */
static void
call_sgemm(Cg *c, Val rows, Val cols, int64_t depth, Val x, int64_t x_stride, Val w, Val y,
           int64_t y_stride)
{
    LLVMTypeRef types[] = {c->i32, c->i32, c->i32, c->i32, c->i32, c->i32, c->f32,
                           c->ptr, c->i32, c->ptr, c->i32, c->f32, c->ptr, c->i32};
    const unsigned count = COUNT_OF(types);
    const LLVMTypeRef type = LLVMFunctionType(c->void_t, types, count, 0);
    Val sgemm = LLVMGetNamedFunction(c->mod, "cblas_sgemm");
    if (!sgemm)
        sgemm = LLVMAddFunction(c->mod, "cblas_sgemm", type);
    Val args[] = {blas_int(c, cg_i64(c, CBLAS_ROW_MAJOR)),
                  blas_int(c, cg_i64(c, CBLAS_NO_TRANS)),
                  blas_int(c, cg_i64(c, CBLAS_TRANS)),
                  blas_int(c, rows),
                  blas_int(c, cols),
                  blas_int(c, cg_i64(c, depth)),
                  cg_f32(c, 1),
                  x,
                  blas_int(c, cg_i64(c, x_stride)),
                  w,
                  blas_int(c, cg_i64(c, depth)),
                  cg_f32(c, 0),
                  y,
                  blas_int(c, cg_i64(c, y_stride))};
    LLVMBuildCall2(c->b, type, sgemm, args, count, "");
}

/* The output the product may go to straight: nothing is fused after it. */
static const CgOperand *
blas_direct(const CgKernel *k, const Linear *l)
{
    const CgOperand *y = cg_operand(k, l->y);
    return y && y->dtype == DTYPE_f32 && !l->bias && k->first == k->last ? y : NULL;
}

static bool
blas_can(const CgKernel *k, const Linear *l, Diag *diag)
{
    const CgOperand *x = cg_operand(k, l->x);
    if (x && x->dtype == DTYPE_f32 && l->w->type.dtype == DTYPE_f32 && l->w->type.shape.rank == 2 &&
        l->depth < INT32_MAX && l->out < INT32_MAX && x->stride < INT32_MAX)
        return true;
    StrBuf type = {0};
    type_print(&type, &l->w->type);
    diag_error(
        diag, k->kernel->anchor->loc,
        "matmul=blas multiplies f32 activations from memory by an unpacked f32 [O,K] weight; "
        "the weight is %s",
        sb_text(&type));
    sb_free(&type);
    return false;
}

static bool
emit_blas(Cg *c, CgKernel *k, Linear *l, Diag *diag)
{
    if (!blas_can(k, l, diag))
        return false;
    const CgOperand *x = cg_operand(k, l->x), *direct = blas_direct(k, l);
    const Val total = cg_rows(k, l->y);
    Val from, to;
    cg_share(c, k, cg_i64(c, l->out), LINE_FLOATS, &from, &to);
    const Val cols = cg_sub(c, to, from), depth = cg_i64(c, l->depth);
    const Val w = cg_at(c, cg_operand(k, l->w)->base, DTYPE_f32, cg_mul(c, from, depth));
    const CgIf some = cg_if(c, cg_less(c, from, to));
    CgIf any = some;
    if (direct) {
        const Val y = cg_at(c, direct->base, DTYPE_f32, from);
        call_sgemm(c, total, cols, l->depth, x->base, x->stride, w, y, direct->stride);
        cg_endif(c, &any);
        return true;
    }
    l->result = cg_scratch(c, k, BLAS_BLOCK * l->out * (int64_t)sizeof(float));
    CgLoop blocks = cg_loop(c, "block", cg_i64(c, 0), total, BLAS_BLOCK);
    l->rows = cg_min(c, cg_i64(c, BLAS_BLOCK), cg_sub(c, total, blocks.i));
    const Val first = cg_at(c, x->base, DTYPE_f32, cg_mul(c, blocks.i, cg_i64(c, x->stride)));
    call_sgemm(c, l->rows, cols, l->depth, first, x->stride, w, l->result, l->out);
    epilogue(c, l, blocks.i, l->rows, from, to, l->out);
    cg_loop_end(c, &blocks);
    cg_endif(c, &any);
    return true;
}

bool
emit_linear(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    Linear l = {.k = k, .x = n->in[0], .w = n->in[1], .bias = n->in[2], .y = n->out[0]};
    l.depth = type_width(&l.x->type);
    l.out = type_width(&l.y->type);
    const bool packed = l.w->type.shape.rank > 2;
    return packed ? emit_packed(c, k, &l, diag) : emit_blas(c, k, &l, diag);
}
