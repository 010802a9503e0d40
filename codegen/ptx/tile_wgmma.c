/* codegen/ptx/tile_wgmma.c -- the stages of a tile multiplied by wgmma: four warps together take 64
 * rows of x by all columns of their part, straight from shared memory, while they go on.
 *
 *     wait for the copies of a stage, of all threads; begin its products
 *     begin to copy the stage S-2 further on, over the one whose products all have seen end
 *     wait for the products of the stage before
 *
 * So the tensor cores always have the next stage's products to go on with. Copies are ordinary
 * writes to shared memory: a fence shows them to what wgmma reads with. */
#include "codegen/ptx/tiles.h"

/* Bytes of x, or W, from where this warpgroup's part begins in a stage. */
static Val
part_at(Cg *c, const PtxTiles *t, const PtxSide *s, Val part, int64_t rows)
{
    const Val bytes = cg_mul(c, part, cg_i64(c, rows * t->row_bytes));
    return cg_add(c, bytes, cg_i64(c, s->at));
}

void
ptx_wgmma_inputs(Cg *c, const PtxTiles *t, Val x, Val w, Val offset, int first, int end)
{
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    ptx_wgmma_begin(c);
    for (int k = first; k < end; k++) {
        const Val at = cg_add(c, offset, cg_i64(c, 32 * k));
        ptx_wgmma_bf16(c, acc, t->naccs, ptx_wgmma_further(c, x, at), ptx_wgmma_further(c, w, at));
    }
    ptx_wgmma_commit(c);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

void
ptx_wgmma_stage(Cg *c, const PtxTiles *t, Val x, Val w, Val offset)
{
    ptx_wgmma_inputs(c, t, x, w, offset, 0, t->t->depth / 16);
}

void
ptx_wgmma_all(Cg *c, const PtxTiles *t)
{
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    ptx_wgmma_end(c, 0, acc, t->naccs);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

void
ptx_wgmma_sums(Cg *c, const PtxTiles *t)
{
    const int ahead = t->t->stages - 2;
    const int64_t across = t->t->columns / t->t->part_columns;
    const Val group = cg_div(c, t->warp, cg_i64(c, 4)), down = cg_div(c, group, cg_i64(c, across));
    const Val right = cg_sub(c, group, cg_mul(c, down, cg_i64(c, across)));
    const Val x = ptx_wgmma_rows(c, t->shared, part_at(c, t, &t->x, down, t->t->part_rows));
    const Val w = ptx_wgmma_rows(c, t->shared, part_at(c, t, &t->w, right, t->t->part_columns));
    ptx_stages_begin(c, t, ahead);
    const Val read = cg_var(c, c->i64, cg_i64(c, 0), "read");
    const Val write = cg_var(c, c->i64, cg_i64(c, ahead * t->stage_bytes), "write");
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    ptx_copy_wait(c, ahead - 1);
    ptx_wgmma_show(c);
    ptx_barrier(c);
    ptx_wgmma_stage(c, t, x, w, cg_get(c, c->i64, read));
    ptx_stages_next(c, t, loop.i, ahead, cg_get(c, c->i64, write));
    ptx_wgmma_wait(c, 1);
    ptx_stage_advance(c, t, read);
    ptx_stage_advance(c, t, write);
    cg_loop_end(c, &loop);
    ptx_wgmma_all(c, t);
}
