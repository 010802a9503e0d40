/* codegen/emit/emit_linear.c -- y[T,O] = x[T,K] W^T + b with whatever is fused after it.
 *
 * Emitted, W packed in panels of NR rows (see pack in ir/ops.def); threads share panels
 * (part=cols), rows (part=rows), or both (part=grid, codegen/emit/grid.c):
 *
 *     for each block of token rows: (as many rows of x as half of L2 holds, staged in scratch)
 *         for each panel of this thread: (NR columns of y; its K x NR weights are one stream)
 *             for each tile of rows:
 *                 tile x NR accumulators in registers, over all of K
 *                 results -> scratch -> + bias, epilogue -> outputs, row by row
 *
 * Staging x makes rows of a tile fall into different cache sets whatever K is, pads an odd K of
 * bf16 pairs with a zero, evaluates what is fused before the product once, and lets the last tile
 * run over rows that do not exist. Each output is one sum in the order of K whatever the tile, so a
 * row's result does not depend on the rows beside it. Two functions stage and
 * multiply: of floats here, of integers in codegen/emit/emit_integers.c.
 *
 * Experts: the same for each expert that has rows here, over its matrix (codegen/emit/experts.c);
 * rows of x are gathered as they are staged, and results go to their rows in the epilogue.
 *
 * BLAS (W [O,K] f32 as it is): cblas_sgemm for this thread's columns, then the epilogue. */
#include <string.h>

#include "codegen/emit/linear.h"

CgLinear
cg_linear(CgKernel *k)
{
    const Node *n = k->kernel->anchor;
    CgLinear l = {.k = k,
                  .x = node_operand(n, 'x'),
                  .w = node_operand(n, 'W'),
                  .bias = node_operand(n, 'B'),
                  .e = node_operand(n, 'e'),
                  .y = n->out[0]};
    const bool shared = l.e && l.x->type.shape.dim[0].kind == DIM_TOKENS;
    l.each = shared ? type_choices(&l.y->type) : 1;
    l.depth = type_width(&l.x->type);
    l.out = type_width(&l.y->type);
    return l;
}

Val
cg_linear_source(Cg *c, const CgLinear *l, Val i)
{
    return l->list ? cg_div(c, cg_load_index(c, l->list, i), cg_i64(c, l->each)) : i;
}

/* ---- bias and epilogue ------------------------------------------------------------------- */

/* The bias of a linear over some rows of its weight begins at the first of them. */
Val
cg_linear_biased(Cg *c, const CgLinear *l, const CgSite *site, Val y)
{
    if (!l->bias)
        return y;
    const int64_t first = node_int(l->k->kernel->anchor, ATTR_first, 0);
    CgSite behind = *site;
    behind.col = cg_add(c, site->col, cg_i64(c, first));
    return cg_fadd(c, y, cg_eval(c, l->k, l->bias, &behind));
}

void
cg_linear_finish(Cg *c, const CgLinear *l, const CgSite *site, Val at)
{
    Val y =
        l->finish ? l->finish(c, l, site, at) : cg_vload(c, at, DTYPE_f32, site->lanes, site->mask);
    cg_unbind_all(l->k);
    if (l->known)
        l->known(c, l);
    y = cg_linear_biased(c, l, site, y);
    if (l->conv)
        cg_row_conv_at(c, l->conv, site, y);
    CgSite to = *site;
    if (l->list)
        to.row = cg_load_index(c, l->list, site->row);
    cg_bind(l->k, l->y, y);
    cg_store_outputs(c, l->k, &to);
}

/* count rows from token row `row`: columns [from, to) of the results, rows `stride` apart. */
void
cg_linear_epilogue(Cg *c, const CgLinear *l, Val row, Val count, Val from, Val to, int64_t stride)
{
    const int lanes = l->out == 1 ? 1 : c->lanes; /* a [T,1] value is one scalar a row to cg_eval */
    if (l->conv)
        cg_row_conv_tile(c, l->conv, row);
    CgLoop rows = cg_loop(c, "epilogue", cg_i64(c, 0), count, 1);
    const Val line = cg_at(c, l->result, DTYPE_f32, cg_mul(c, rows.i, cg_i64(c, stride)));
    const Val token = cg_add(c, row, rows.i);
    if (l->conv)
        cg_row_conv_begin(c, l->conv, token, row, from);
    for (CgColumns s = cg_columns(c, token, from, to, lanes); cg_columns_next(c, &s);) {
        const Val at = cg_at(c, line, DTYPE_f32, cg_sub(c, s.at.col, from));
        cg_linear_finish(c, l, &s.at, at);
    }
    if (l->conv)
        cg_row_conv_end(c, l->conv, token);
    cg_loop_end(c, &rows);
}

/* ---- over packed weights ----------------------------------------------------------------- */

/* Most rows staged at a time: half of L2, the other half being for panels and results. */
int64_t
cg_packed_most(const Cg *c, const CgPacked *p)
{
    const Graph *g = p->l.k->graph;
    const int64_t most = p->l.y->type.shape.dim[0].kind == DIM_ROWS ? g->rows : g->block;
    const int64_t l2 = c->machine->l2_bytes > 0 ? c->machine->l2_bytes : 1 << 20;
    const int64_t unit = p->heights[0], fits = l2 / 2 / p->row_bytes / unit * unit;
    const int64_t rows = fits < unit ? unit : fits;
    return most > 0 && most < rows ? most : rows;
}

/* The smallest height from heights[i] on that covers `left` rows. */
static void
packed_heights(Cg *c, const CgPacked *p, int i, Val left, Val row, Val panel)
{
    if (i + 1 == p->nheights) {
        p->tile(c, p, p->heights[i], row, panel);
        return;
    }
    CgIf tall = cg_if(c, cg_less(c, cg_i64(c, p->heights[i + 1]), left));
    p->tile(c, p, p->heights[i], row, panel);
    cg_else(c, &tall);
    packed_heights(c, p, i + 1, left, row, panel);
    cg_endif(c, &tall);
}

void
cg_packed_reserve(Cg *c, CgPacked *p, int tile)
{
    const Attr *said = attrs_find(&p->l.k->kernel->attrs, ATTR_tile);
    const int most = TILE_MOST / p->vecs;
    const int full = !said || said->i < 1 ? tile : said->i < most ? (int)said->i : most;
    p->heights[p->nheights++] = full;
    for (int h = 16; h >= 1; h /= 2) /* powers of two: a few leftover rows do not pay for all */
        if (h < full && p->nheights < CG_MAX_HEIGHTS)
            p->heights[p->nheights++] = h;
    p->most = cg_packed_most(c, p);
    p->staged = cg_scratch(c, p->l.k, (p->most + p->heights[0]) * p->row_bytes);
    p->l.result = cg_scratch(c, p->l.k, p->heights[0] * p->panel * (int64_t)sizeof(float));
}

/* Panels and rows of this part. */
CgGrid
cg_packed_share(Cg *c, const CgPacked *p)
{
    const CgKernel *k = p->l.k;
    const Attr *part = attrs_find(&k->kernel->attrs, ATTR_part);
    const char *by = part ? part->word : "cols";
    const Val zero = cg_i64(c, 0), rows = cg_rows(c, k, p->l.y), panels = cg_i64(c, p->panels);
    if (strcmp(by, "grid") == 0)
        return cg_share_grid(c, k, p->panels, rows, p->heights[0], p->most);
    CgGrid g = {
        {zero, rows  },
        {zero, panels},
        cg_ran_before(c, k)
    };
    if (strcmp(by, "rows") == 0) {
        cg_share_of(c, rows, p->heights[0], k->part, k->parts, g.rows);
        g.again = LLVMConstInt(c->i1, 0, 0);
    } else {
        cg_share_of(c, panels, 1, k->part, k->parts, g.panels);
    }
    return g;
}

/* Rows of each block so that blocks are equal but for whole tiles: a short last block would stream
 * the weights for little work. At most `most`, a number of whole tiles or the greatest T. */
Val
cg_equal_blocks(Cg *c, Val rows, int64_t most, int64_t tile)
{
    const Val limit = cg_i64(c, most), unit = cg_i64(c, tile), one = cg_i64(c, 1);
    const Val least = cg_max(c, one, cg_div_up(c, rows, limit));
    const Val each = cg_div_up(c, rows, least);
    const Val whole = cg_mul(c, cg_div_up(c, each, unit), unit);
    return cg_max(c, one, cg_min(c, whole, limit));
}

/* Rows and panels of this part, by the matrix that is worked on. */
static void
packed_walk(Cg *c, CgPacked *p, const CgGrid *share)
{
    const Val rows = cg_sub(c, share->rows[1], share->rows[0]);
    const Val block = cg_equal_blocks(c, rows, p->most, p->heights[0]);
    const Val count = cg_div_up(c, rows, block), tile = cg_i64(c, p->heights[0]);
    CgLoop blocks = cg_loop(c, "block", cg_i64(c, 0), count, 1);
    const Val row = cg_mul(c, blocks.i, block);
    p->l.row = cg_add(c, share->rows[0], row);
    p->l.rows = cg_min(c, block, cg_sub(c, rows, row));
    /* Rows that this thread staged for the part before are still there, if they are one block. */
    const Val other = LLVMBuildNot(c->b, share->again, "");
    CgIf stale = cg_if(c, LLVMBuildOr(c->b, other, cg_less(c, cg_i64(c, 1), count), ""));
    p->stage(c, p);
    cg_endif(c, &stale);
    CgLoop panels = cg_loop(c, "panel", share->panels[0], share->panels[1], 1);
    const Val from = cg_mul(c, panels.i, cg_i64(c, p->panel));
    const Val to = cg_min(c, cg_i64(c, p->l.out), cg_add(c, from, cg_i64(c, p->panel)));
    CgLoop tiles = cg_loop(c, "tile", cg_i64(c, 0), p->l.rows, p->heights[0]);
    const Val left = cg_sub(c, p->l.rows, tiles.i);
    packed_heights(c, p, 0, left, tiles.i, panels.i);
    cg_linear_epilogue(c, &p->l, cg_add(c, p->l.row, tiles.i), cg_min(c, tile, left), from, to,
                       p->panel);
    cg_loop_end(c, &tiles);
    cg_loop_end(c, &panels);
    cg_loop_end(c, &blocks);
}

void
cg_packed_loops(Cg *c, CgPacked *p)
{
    cg_packed_each(c, p, packed_walk);
}

/* ---- floats ------------------------------------------------------------------------------ */

typedef struct {
    CgPacked p;
    int64_t steps;  /* of the summed index: K, or pairs of it */
    int64_t stride; /* staged x: elements from row to row */
    Dtype x, w;     /* as they are multiplied: bf16 pairs, or f32 by f32 or f16 */
} Reals;

/* Tiles of few rows wait for memory: their weight is asked for so far ahead, in this panel or in
 * the next, which follows it. */
enum { NARROW_ROWS = 4, FAR_BYTES = 8192 };

static void
reals_tile(Cg *c, const CgPacked *p, int height, Val row, Val panel)
{
    const Reals *r = (const Reals *)p;
    const bool pairs = r->w == DTYPE_bf16;
    const Dtype unit = pairs ? DTYPE_i32 : DTYPE_f32, right = pairs ? DTYPE_i32 : r->w;
    const int64_t stride = pairs ? r->stride / 2 : r->stride;
    const CgSide x = {.base = cg_at(c, p->staged, unit, cg_mul(c, row, cg_i64(c, stride))),
                      .dtype = unit,
                      .stride = stride,
                      .step = 1};
    const Val first = cg_mul(c, panel, cg_i64(c, r->steps * p->panel));
    const CgSide w = {.base = cg_at(c, cg_packed_base(c, p, p->l.w), right, first),
                      .dtype = right,
                      .stride = 1,
                      .step = p->panel};
    const CgTile tile = cg_tile(c, height, p->vecs, p->lanes);
    const CgAhead ahead = {.next = cg_offset(c, w.base, cg_i64(c, FAR_BYTES)), .end = p->vecs};
    cg_tile_mac_ahead(c, &tile, &x, &w, height <= NARROW_ROWS ? &ahead : NULL, cg_i64(c, 0),
                      cg_i64(c, r->steps));
    cg_tile_store(c, &tile, p->l.result, DTYPE_f32, p->panel);
}

static void
reals_stage(Cg *c, const CgPacked *p)
{
    const Reals *r = (const Reals *)p;
    const CgLinear *l = &p->l;
    const CgRegion from = {.v = l->x,
                           .row = l->row,
                           .count = l->rows,
                           .col = cg_i64(c, 0),
                           .width = l->depth,
                           .list = l->list,
                           .each = l->each};
    cg_stage(c, l->k, &from, p->staged, r->x, r->stride);
    if (r->x != DTYPE_bf16 || l->depth % 2 == 0)
        return;
    CgLoop rows = cg_loop(c, "pad", cg_i64(c, 0), l->rows, 1);
    const Val row = cg_at(c, p->staged, r->x, cg_mul(c, rows.i, cg_i64(c, r->stride)));
    cg_vstore(c, cg_at(c, row, r->x, cg_i64(c, l->depth)), r->x, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &rows);
}

bool
cg_packed_sizes(const Cg *c, CgPacked *p, const Type *weight)
{
    p->panels = weight->shape.dim[0].n;
    p->panel = weight->shape.dim[2].n;
    p->lanes = c->lanes;
    while (p->lanes > 1 && p->panel % p->lanes != 0)
        p->lanes /= 2;
    p->vecs = (int)(p->panel / p->lanes);
    return p->panel / p->lanes <= TILE_MOST;
}

Val
cg_packed_base(Cg *c, const CgPacked *p, const Value *w)
{
    const Val base = cg_operand(p->l.k, w)->base;
    const Type matrix = node_matrix(p->l.k->kernel->anchor, w);
    int64_t elements = 0;
    if (!p->l.expert)
        return base;
    if (!type_count(&matrix, 0, 0, &elements))
        die("cg_packed_base: %s is too large", w->name); /* it was given a place */
    return cg_at(c, base, w->type.dtype, cg_mul(c, p->l.expert, cg_i64(c, elements)));
}

/* Bytes of a staged row of `bytes` and a vector more: an odd number of lines, which keeps the rows
 * of a tile in different sets of L1. */
int64_t
cg_packed_row_bytes(const Cg *c, int64_t bytes)
{
    const int64_t vector = c->lanes * (int64_t)sizeof(float);
    return odd_lines(bytes + vector);
}

/* Sizes of the product from the packed weight's type; false when it is not packed for this x. */
static bool
reals_sizes(const Cg *c, Reals *r)
{
    const Type matrix = node_matrix(r->p.l.k->kernel->anchor, r->p.l.w), *w = &matrix;
    const bool pairs = w->dtype == DTYPE_bf16;
    if (!dtype_info[w->dtype].is_float || w->shape.rank != (pairs ? 4 : 3))
        return false;
    r->w = w->dtype;
    r->x = pairs ? DTYPE_bf16 : DTYPE_f32;
    r->steps = w->shape.dim[1].n;
    const int64_t bytes = dtype_info[r->x].bytes;
    r->p.row_bytes = cg_packed_row_bytes(c, r->p.l.depth * bytes);
    r->stride = r->p.row_bytes / bytes;
    return cg_packed_sizes(c, &r->p, w);
}

bool
cg_packed_fault(const CgLinear *l, Diag *diag)
{
    StrBuf type = {0};
    type_print(&type, &l->w->type);
    diag_error(diag, l->k->kernel->anchor->loc,
               "the weight of `%s` is %s; emitted code reads one packed in panels of at most %d "
               "vectors (pass layout)",
               op_info[l->k->kernel->anchor->op].name, sb_text(&type), (int)TILE_MOST);
    sb_free(&type);
    return false;
}

/* ---- OpenBLAS ---------------------------------------------------------------------------- */

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112, BLAS_BLOCK = 256 };

/* The call of an AbiSgemm. */
static void
call_sgemm(Cg *c, CgKernel *k, Val rows, Val cols, int64_t depth, Val x, int64_t x_stride, Val w,
           Val y, int64_t y_stride)
{
    LLVMTypeRef types[] = {c->i32, c->i32, c->i32, c->i32, c->i32, c->i32, c->f32,
                           c->ptr, c->i32, c->ptr, c->i32, c->f32, c->ptr, c->i32};
    const unsigned count = COUNT_OF(types);
    const LLVMTypeRef type = LLVMFunctionType(c->void_t, types, count, 0);
    const Val sgemm = cg_call_field(c, k, CALL_sgemm);
    const Val number[] = {cg_i64(c, CBLAS_ROW_MAJOR),
                          cg_i64(c, CBLAS_NO_TRANS),
                          cg_i64(c, CBLAS_TRANS),
                          rows,
                          cols,
                          cg_i64(c, depth),
                          cg_i64(c, x_stride),
                          cg_i64(c, depth),
                          cg_i64(c, y_stride)};
    Val n[COUNT_OF(number)];
    for (size_t i = 0; i < COUNT_OF(number); i++)
        n[i] = LLVMBuildTrunc(c->b, number[i], c->i32, "");
    Val args[] = {n[0], n[1], n[2], n[3], n[4],         n[5], cg_f32(c, 1),
                  x,    n[6], w,    n[7], cg_f32(c, 0), y,    n[8]};
    LLVMBuildCall2(c->b, type, sgemm, args, count, "");
    c->calls_blas = true;
}

static bool
blas_can(const CgKernel *k, const CgLinear *l, Diag *diag)
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
emit_blas(Cg *c, CgKernel *k, CgLinear *l, Diag *diag)
{
    if (!blas_can(k, l, diag))
        return false;
    const CgOperand *x = cg_operand(k, l->x), *y = cg_operand(k, l->y);
    const bool direct = y && y->dtype == DTYPE_f32 && !l->bias && k->first == k->last;
    const Val total = cg_rows(c, k, l->y);
    Val from, to;
    cg_share(c, k, cg_i64(c, l->out), CG_LINE_FLOATS, &from, &to);
    const Val cols = cg_sub(c, to, from), depth = cg_i64(c, l->depth);
    const Val w = cg_at(c, cg_operand(k, l->w)->base, DTYPE_f32, cg_mul(c, from, depth));
    CgIf any = cg_if(c, cg_less(c, from, to));
    if (direct) { /* nothing is fused after the product */
        const Val to_y = cg_at(c, y->base, DTYPE_f32, from);
        call_sgemm(c, k, total, cols, l->depth, x->base, x->stride, w, to_y, y->stride);
        cg_endif(c, &any);
        return true;
    }
    l->result = cg_scratch(c, k, BLAS_BLOCK * l->out * (int64_t)sizeof(float));
    CgLoop blocks = cg_loop(c, "block", cg_i64(c, 0), total, BLAS_BLOCK);
    l->rows = cg_min(c, cg_i64(c, BLAS_BLOCK), cg_sub(c, total, blocks.i));
    const Val first = cg_at(c, x->base, DTYPE_f32, cg_mul(c, blocks.i, cg_i64(c, x->stride)));
    call_sgemm(c, k, l->rows, cols, l->depth, first, x->stride, w, l->result, l->out);
    cg_linear_epilogue(c, l, blocks.i, l->rows, from, to, l->out);
    cg_loop_end(c, &blocks);
    cg_endif(c, &any);
    return true;
}

bool
emit_linear(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    CgLinear l = cg_linear(k);
    if (attrs_find(&n->attrs, ATTR_eps))
        return diag_error(diag, n->loc,
                          "linear with eps: it is for code of a GPU, and a CPU has a "
                          "kernel of the norm");
    if (!l.e && l.w->type.shape.rank <= 2 && !node_in_triples(n))
        return emit_blas(c, k, &l, diag);
    if (kernel_on_unit(k->kernel) || node_in_triples(n))
        return emit_linear_unit(c, k, diag);
    Reals r = {
        .p = {.l = l, .stage = reals_stage, .tile = reals_tile}
    };
    if (!reals_sizes(c, &r))
        return cg_packed_fault(&l, diag);
    cg_packed_reserve(c, &r.p, tile_rows(c->machine, r.p.vecs, r.w));
    cg_packed_loops(c, &r.p);
    return true;
}
