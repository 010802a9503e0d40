/* codegen/ptx/tile_wide.c -- the stages of a tile multiplied by wgmma so that every sum is made as
 * ptx_stream.c makes it: a sum for each range of inputs that a warp would have had there, and those
 * added in their order. The 16 inputs of a product lie side by side, and mma and wgmma give the
 * same bits (bench/NOTES.md, "A GPU: decode of many sequences").
 *
 *     one thread: boxes of W for all places of the ring; after the wait, of x
 *     for each stage:
 *         wait until its place was filled; begin its products
 *         add up the squares of its rows, where they are normed
 *         wait for the products; at a range's end, add their sums to those of the ranges before
 *         signal that the place was read; that thread, when all have: the boxes that take it
 *
 * Products of few rows take little of the time that copies of W do; other blocks of the
 * multiprocessor have theirs while this one waits. */
#include "codegen/ptx/tiles.h"

enum {
    CHUNK = 16,                  /* bytes: 8 inputs, of a lane of STREAM's */
    QUAD = 4,                    /* lanes that have a row there */
    EACH = PTX_STREAM_STEP / 16, /* products of a step of STREAM's, of 16 inputs */
    PARTS = 2                    /* threads of a row's squares: each has two lanes' */
};

typedef struct {
    PtxTiles t; /* whose sums are the present range's */
    const PtxTiles *all;
    PtxRing ring;
    int x, w;      /* maps */
    Val left;      /* variable: steps of the range that are left */
    Val row, part; /* of the tile: whose squares this thread adds up, and which part of them */
} Wide;

int64_t
ptx_wide_bytes(const Product *product)
{
    return 2 * product->stages * (int64_t)sizeof(int64_t);
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

static CgIf
if_copies(Cg *c, const Wide *w)
{
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, w->t.thread, cg_i64(c, 0), ""));
}

/* Stage number `stage` of one side, to a place. */
static void
copy_side(Cg *c, const Wide *w, const PtxSide *s, Val place, Val stage)
{
    const PtxTiles *t = &w->t;
    const Val to = cg_offset(c, t->shared, ptx_ring_stage(c, t, place));
    ptx_box_copy(c, t->p->k, cg_offset(c, to, cg_i64(c, s->at)), s->weight ? w->w : w->x,
                 cg_mul(c, stage, cg_i64(c, t->t->depth)), s->weight ? t->col : t->row,
                 ptx_ring_signal(c, w->ring.full, place));
}

static void
expect(Cg *c, const Wide *w, Val place)
{
    ptx_signal_expect(c, ptx_ring_signal(c, w->ring.full, place), w->t.stage_bytes);
}

static void
begin(Cg *c, const Wide *w)
{
    const PtxTiles *t = &w->t;
    const int places = t->t->stages, some = t->steps < places ? (int)t->steps : places;
    CgIf one = if_copies(c, w);
    for (int i = 0; i < places; i++) {
        const Val place = cg_i64(c, i);
        ptx_signal_open(c, ptx_ring_signal(c, w->ring.full, place), 1);
        ptx_signal_open(c, ptx_ring_signal(c, w->ring.empty, place), t->t->threads / GPU_WARP);
    }
    cg_endif(c, &one);
    ptx_barrier(c);
    one = if_copies(c, w);
    for (int i = 0; i < some; i++) {
        expect(c, w, cg_i64(c, i));
        copy_side(c, w, &t->w, cg_i64(c, i), cg_i64(c, i));
    }
    cg_endif(c, &one);
    ptx_wait(c, t->p->k);
    one = if_copies(c, w);
    for (int i = 0; i < some; i++)
        copy_side(c, w, &t->x, cg_i64(c, i), cg_i64(c, i));
    cg_endif(c, &one);
    ptx_warp_barrier(c);
}

/* What takes the place of a stage that was multiplied. */
static void
refill(Cg *c, const Wide *w, Val stage)
{
    const PtxTiles *t = &w->t;
    const Val place = cg_get(c, c->i64, w->ring.place), odd = cg_get(c, c->i32, w->ring.odd);
    const Val next = cg_add(c, stage, cg_i64(c, t->t->stages));
    ptx_warp_barrier(c);
    CgIf more = cg_if(c, cg_less(c, next, cg_i64(c, t->steps)));
    ptx_ring_give(c, t, w->ring.empty, place, NULL);
    CgIf one = if_copies(c, w);
    ptx_signal_wait(c, ptx_ring_signal(c, w->ring.empty, place), odd);
    expect(c, w, place);
    copy_side(c, w, &t->w, place, next);
    copy_side(c, w, &t->x, place, next);
    cg_endif(c, &one);
    ptx_warp_barrier(c);
    cg_endif(c, &more);
}

/* ---- squares -----------------------------------------------------------------------------------
 * Lane t of a row's four has chunk t of each 32 inputs in STREAM, and lanes t and t xor 2 are added
 * first. Here a thread has both of those. */

static void
open_squares(Cg *c, Wide *w)
{
    const int rows = GPU_WARP / PARTS;
    if (w->t.t->threads != PARTS * w->t.t->rows)
        die("product %s: its threads have no squares of rows", w->t.t->name);
    w->part = cg_div(c, w->t.lane, cg_i64(c, rows));
    w->row = cg_add(c, cg_mul(c, w->t.warp, cg_i64(c, rows)),
                    cg_sub(c, w->t.lane, cg_mul(c, w->part, cg_i64(c, rows))));
}

/* Of steps `first` up to `end` of the stage at an offset. */
static void
add_squares(Cg *c, const Wide *w, Val offset, int first, int end)
{
    const PtxTiles *t = &w->t;
    const Val row = cg_add(c, cg_mul(c, w->row, cg_i64(c, t->row_bytes)), cg_i64(c, t->x.at));
    const Val from = cg_offset(c, t->shared, cg_add(c, offset, row));
    for (int step = first; step < end; step++)
        for (int i = 0; i < QUAD / PARTS; i++) {
            const Val chunk = cg_add(c, w->part, cg_i64(c, QUAD * step + PARTS * i));
            const Val at = cg_mul(c, ptx_swizzle(c, t, chunk, w->row), cg_i64(c, CHUNK));
            const Val own =
                LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4), cg_offset(c, from, at), "");
            LLVMSetAlignment(own, CHUNK);
            Val pairs[4];
            for (int e = 0; e < 4; e++)
                pairs[e] = LLVMBuildExtractElement(c->b, own, cg_i64(c, e), "");
            const Val sum = cg_get(c, c->f32, t->squares[i]);
            cg_set(c, t->squares[i], ptx_squares(c, sum, pairs));
        }
}

/* Of all ranges. */
static Val
all_squares(const Wide *w)
{
    return w->t.squares[QUAD / PARTS];
}

/* ---- products ----------------------------------------------------------------------------------
 */

/* The sums of a range go to the product's, which are -0 before the first. */
static void
add_range(Cg *c, const Wide *w)
{
    const PtxTiles *t = &w->t;
    for (int i = 0; i < t->naccs; i++) {
        const Val all = w->all->acc[i];
        cg_set(c, all, cg_fadd(c, cg_get(c, c->f32, all), cg_get(c, c->f32, t->acc[i])));
        cg_set(c, t->acc[i], cg_f32(c, 0));
    }
    if (t->factors) {
        const Val own =
            cg_fadd(c, cg_get(c, c->f32, t->squares[0]), cg_get(c, c->f32, t->squares[1]));
        const Val range = cg_fadd(c, own, ptx_exchange(c, own, GPU_WARP / PARTS));
        cg_set(c, all_squares(w), cg_fadd(c, cg_get(c, c->f32, all_squares(w)), range));
        for (int i = 0; i < QUAD / PARTS; i++)
            cg_set(c, t->squares[i], cg_f32(c, 0));
    }
    cg_set(c, w->left, cg_i64(c, t->p->share));
}

/* Steps `first` up to `end` of the stage in the present place, at whose end a range may end. */
static void
multiply(Cg *c, const Wide *w, Val x, Val weight, int first, int end)
{
    const PtxTiles *t = &w->t;
    const Val offset = ptx_ring_stage(c, t, cg_get(c, c->i64, w->ring.place));
    ptx_wgmma_inputs(c, t, x, weight, offset, first * EACH, end * EACH);
    if (t->factors)
        add_squares(c, w, offset, first, end);
    ptx_wgmma_all(c, t);
    const Val left = cg_sub(c, cg_get(c, c->i64, w->left), cg_i64(c, end - first));
    cg_set(c, w->left, left);
    CgIf over = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, left, cg_i64(c, 0), ""));
    add_range(c, w);
    cg_endif(c, &over);
}

static void
multiply_all(Cg *c, const Wide *w)
{
    const PtxTiles *t = &w->t;
    const int steps = t->t->depth / PTX_STREAM_STEP;
    const int each = t->p->share % steps == 0 ? steps : 1;
    const Val x = ptx_wgmma_rows(c, t->shared, cg_i64(c, t->x.at));
    const Val weight = ptx_wgmma_rows(c, t->shared, cg_i64(c, t->w.at));
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    ptx_signal_wait(c, ptx_ring_signal(c, w->ring.full, cg_get(c, c->i64, w->ring.place)),
                    cg_get(c, c->i32, w->ring.odd));
    for (int step = 0; step < steps; step += each)
        multiply(c, w, x, weight, step, step + each);
    refill(c, w, loop.i);
    ptx_ring_next(c, t, &w->ring);
    cg_loop_end(c, &loop);
    if (t->steps * steps % t->p->share)
        add_range(c, w);
}

void
ptx_wide_sums(Cg *c, const PtxTiles *all)
{
    Wide w = {.t = *all, .all = all};
    PtxTiles *t = &w.t;
    const AbiMap x = ptx_map_x(t->p, t->t->rows), weight = ptx_map_w(t->p, t->t->columns);
    w.x = ptx_map_of(t->p->k, &x);
    w.w = ptx_map_of(t->p->k, &weight);
    w.ring.full = cg_offset(c, t->shared, cg_i64(c, t->stage_bytes * t->t->stages));
    w.ring.empty = ptx_ring_signal(c, w.ring.full, cg_i64(c, t->t->stages));
    ptx_ring_open(c, &w.ring);
    for (int i = 0; i < t->naccs; i++) {
        t->acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "range");
        cg_set(c, all->acc[i], cg_f32(c, -0.0));
    }
    w.left = cg_var(c, c->i64, cg_i64(c, t->p->share), "left");
    if (t->factors)
        open_squares(c, &w);
    begin(c, &w);
    multiply_all(c, &w);
}

void
ptx_wide_put(Cg *c, const PtxTiles *t, const Val *acc)
{
    Wide w = {.t = *t};
    ptx_mma_put(c, t, acc);
    if (!t->factors)
        return;
    open_squares(c, &w);
    const Val factor = ptx_row_factor(c, t->p, cg_get(c, c->f32, all_squares(&w)));
    cg_vstore(c, cg_at(c, t->factors, DTYPE_f32, w.row), DTYPE_f32, factor, 1, NULL);
}
