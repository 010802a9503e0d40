/* codegen/ptx/tile_fed.c -- tiles of a projection by wgmma, one after the other, in blocks as many
 * as run at the same time: four warps feed those that multiply.
 *
 *     four warps: for each stage of each tile:
 *         wait until its place in the ring was read; begin to copy it
 *         when the stage before it has arrived, show it to wgmma and signal that
 *     the others, each four of them for 64 rows of the tile: for each tile:
 *         for each stage: wait for its signal; begin its products; when those of the stage before
 *         have ended, signal that its place was read
 *         what the kernel makes of the sums, straight from registers
 *
 * So stages of the next tile arrive while the sums of this one are finished, and four warps do not
 * wait for the others.
 *
 * A lane has two columns of each 8 that wgmma makes. Rows of W lie in a stage so that these are 4
 * or 8 columns of y side by side, which are read and written together. */
#include "codegen/ptx/tiles.h"

/* FEEDER: registers of a thread that copies; QUAD: lanes that have a row's sums together. */
enum { FEEDER = 72, QUAD = 4, HALF = 8, REGISTERS = 65536, MOST_OF_THREAD = 240 };

typedef struct {
    PtxTiles t;
    Val full, empty; /* signals of each place of the ring: it was filled, it was read */
    Val place, odd;  /* variables: of the ring, and of the round that it is in (i32) */
    int64_t blocks;
    int lanes;  /* columns that are stored together */
    int beside; /* that a lane has side by side */
} Fed;

/* ---- sizes -------------------------------------------------------------------------------------
 */

static int
parts_of(const Product *product)
{
    return product->threads / GPU_WARPGROUP - 1;
}

int64_t
ptx_fed_bytes(const Product *product)
{
    return 2 * (int64_t)sizeof(int64_t) * product->stages;
}

const Product *
ptx_fed_even(Cg *c, const PtxLinear *p, const Product *product)
{
    enum { STEP = 16 }; /* columns of 4 lanes */
    const int64_t tiles = ptx_parts(p->l.out, product->columns);
    Product *even = arena_array(c->arena, 1, sizeof *even);
    *even = *product;
    even->columns = even->part_columns = (int)round_up(ptx_parts(p->l.out, tiles), STEP);
    return even;
}

/* 8 where rows of bf16 are then read and written 16 bytes at a time, and there are no others. */
static int
lanes_of(const PtxLinear *p)
{
    const int lanes = ptx_linear_lanes(p), twice = 2 * lanes;
    const int64_t first = node_int(p->k->kernel->anchor, ATTR_first, 0);
    if (lanes == 1 || p->conv || p->l.out % twice || first % twice)
        return lanes;
    for (int i = 0; i < p->k->noperands; i++) {
        const CgOperand *o = &p->k->operands[i];
        const bool of_rows = o != p->x && o != p->w && o->value->type.shape.rank > 1;
        if (of_rows && ptx_lanes(o, twice) < twice)
            return lanes;
    }
    return twice;
}

int
ptx_fed_beside(const PtxTiles *t, int first, int most)
{
    const int together = QUAD * most;
    return first / together * together + together > t->t->columns ? most / 2 : most;
}

/* Lane q of a row's four has columns 8 j + 2 q and 8 j + 2 q + 1 of those that wgmma makes. */
Val
ptx_fed_row(Cg *c, Val row, int beside)
{
    const Val two = cg_i64(c, 2), one = cg_i64(c, 1);
    const Val lane = cg_div(c, row, cg_i64(c, beside));
    const Val pair = LLVMBuildAnd(c->b, cg_div(c, row, two), cg_i64(c, beside / 2 - 1), "");
    const Val before = cg_add(c, cg_mul(c, pair, cg_i64(c, HALF)), cg_mul(c, lane, two));
    return cg_add(c, before, LLVMBuildAnd(c->b, row, one, ""));
}

/* ---- the ring ----------------------------------------------------------------------------------
 */

static Val
signal_of(Cg *c, Val signals, Val place)
{
    return cg_offset(c, signals, cg_mul(c, place, cg_i64(c, (int64_t)sizeof(int64_t))));
}

static Val
stage_of(Cg *c, const Fed *f, Val place)
{
    return cg_mul(c, place, cg_i64(c, f->t.stage_bytes));
}

static void
ring_open(Cg *c, Fed *f)
{
    f->place = cg_var(c, c->i64, cg_i64(c, 0), "place");
    f->odd = cg_var(c, c->i32, LLVMConstInt(c->i32, 0, 0), "odd");
}

static void
ring_next(Cg *c, const Fed *f)
{
    const Val next = cg_add(c, cg_get(c, c->i64, f->place), cg_i64(c, 1));
    const Val more = cg_less(c, next, cg_i64(c, f->t.t->stages));
    const Val odd = cg_get(c, c->i32, f->odd);
    const Val other = LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), "");
    cg_set(c, f->place, LLVMBuildSelect(c->b, more, next, cg_i64(c, 0), ""));
    cg_set(c, f->odd, LLVMBuildSelect(c->b, more, odd, other, ""));
}

/* A warp has filled, or read, a place of the ring. */
static void
warp_gives(Cg *c, const Fed *f, Val signals, Val place, Val if_so)
{
    const Val first = LLVMBuildICmp(c->b, LLVMIntEQ, f->t.lane, cg_i64(c, 0), "");
    CgIf one = cg_if(c, if_so ? LLVMBuildAnd(c->b, first, if_so, "") : first);
    ptx_signal_give(c, signal_of(c, signals, place));
    cg_endif(c, &one);
}

/* ---- those that copy ---------------------------------------------------------------------------
 */

/* The copies of a place have arrived but for those of `behind` places after it. */
static void
filled(Cg *c, const Fed *f, Val place, int behind)
{
    ptx_copy_wait(c, behind);
    ptx_wgmma_show(c);
    ptx_warp_barrier(c);
    warp_gives(c, f, f->full, place, NULL);
}

/* A place is told of when the copies of the next have begun: two are on their way. */
static void
feed(Cg *c, Fed *f)
{
    const PtxTiles *t = &f->t;
    ring_open(c, f);
    const Val to = ptx_tiles_count(c, t->p, t->t), zero = cg_i64(c, 0);
    const Val last = cg_var(c, c->i64, cg_i64(c, -1), "last");
    CgLoop tiles = cg_loop(c, "tile", ptx_block(c, 0), to, f->blocks);
    const PtxTile tile = ptx_tiles_at(c, t->p, t->t, tiles.i);
    ptx_tiles_place(c, &f->t, &tile);
    ptx_tiles_sides(c, &f->t, &tile);
    CgLoop stage = cg_loop(c, "stage", zero, cg_i64(c, t->steps), 1);
    const Val place = cg_get(c, c->i64, f->place), odd = cg_get(c, c->i32, f->odd);
    const Val before = LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), "");
    ptx_signal_wait(c, signal_of(c, f->empty, place), before);
    ptx_stage_copy(c, t, stage_of(c, f, place), cg_mul(c, stage.i, cg_i64(c, t->t->depth)));
    ptx_copy_commit(c);
    CgIf some = cg_if(c, cg_less(c, cg_i64(c, -1), cg_get(c, c->i64, last)));
    filled(c, f, cg_get(c, c->i64, last), 1);
    cg_endif(c, &some);
    cg_set(c, last, place);
    ring_next(c, f);
    cg_loop_end(c, &stage);
    cg_loop_end(c, &tiles);
    filled(c, f, cg_get(c, c->i64, last), 0);
}

/* ---- those that multiply -----------------------------------------------------------------------
 */

static void
multiply(Cg *c, const Fed *f, Val x, Val w)
{
    const PtxTiles *t = &f->t;
    const Val last = cg_var(c, c->i64, cg_i64(c, 0), "last");
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], cg_f32(c, 0));
    CgLoop stage = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    const Val place = cg_get(c, c->i64, f->place);
    ptx_signal_wait(c, signal_of(c, f->full, place), cg_get(c, c->i32, f->odd));
    ptx_wgmma_stage(c, t, x, w, stage_of(c, f, place));
    ptx_wgmma_wait(c, 1);
    warp_gives(c, f, f->empty, cg_get(c, c->i64, last), cg_less(c, cg_i64(c, 0), stage.i));
    cg_set(c, last, place);
    ring_next(c, f);
    cg_loop_end(c, &stage);
    ptx_wgmma_all(c, t);
    warp_gives(c, f, f->empty, cg_get(c, c->i64, last), NULL);
}

/* ---- results -----------------------------------------------------------------------------------
 */

/* What a lane has of a row of the tile: columns side by side from `col` on. */
static void
put_beside(Cg *c, const Fed *f, Val row, Val col, const Val *sums, int beside, bool whole)
{
    const int lanes = f->lanes < beside ? f->lanes : beside;
    for (int i = 0; i < beside; i += lanes) {
        const Val at = cg_add(c, col, cg_i64(c, i));
        CgIf inside = {0};
        if (!whole)
            inside = cg_if(c, cg_less(c, cg_add(c, f->t.col, at), cg_i64(c, f->t.out)));
        Val some = sums[i];
        if (lanes > 1)
            some = LLVMGetPoison(cg_vec_type(c, lanes));
        for (int j = 0; lanes > 1 && j < lanes; j++)
            some = LLVMBuildInsertElement(c->b, some, sums[i + j], cg_i64(c, j), "");
        ptx_tile_finish(c, &f->t, row, at, some);
        if (!whole)
            cg_endif(c, &inside);
    }
}

/* whole: the tile has all rows and columns, so nothing parts a load from those before. */
static void
put(Cg *c, const Fed *f, const Val *acc, Val first, bool whole)
{
    const PtxTiles *t = &f->t;
    const Val in_warp = cg_div(c, t->lane, cg_i64(c, QUAD));
    const Val lane = LLVMBuildAnd(c->b, t->lane, cg_i64(c, QUAD - 1), "");
    for (int at = 0, beside = 0; at < t->t->columns; at += QUAD * beside) {
        beside = ptx_fed_beside(t, at, f->beside);
        const Val col = cg_add(c, cg_mul(c, lane, cg_i64(c, beside)), cg_i64(c, at));
        for (int half = 0; half < 2; half++) {
            const Val row = cg_add(c, cg_add(c, first, in_warp), cg_i64(c, half * HALF));
            Val sums[HALF];
            for (int i = 0; i < beside; i++)
                sums[i] = acc[at / 2 + i / 2 * 4 + half * 2 + i % 2];
            CgIf there = {0};
            if (!whole)
                there = cg_if(c, cg_less(c, row, t->rows));
            put_beside(c, f, row, col, sums, beside, whole);
            if (!whole)
                cg_endif(c, &there);
        }
    }
}

static void
results(Cg *c, const Fed *f, Val first)
{
    const PtxTiles *t = &f->t;
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    const Val right = cg_add(c, t->col, cg_i64(c, t->t->columns));
    const Val rows = cg_less(c, cg_i64(c, t->t->rows - 1), t->rows);
    const Val columns = cg_less(c, right, cg_i64(c, t->out + 1));
    CgIf whole = cg_if(c, LLVMBuildAnd(c->b, rows, columns, ""));
    put(c, f, acc, first, true);
    cg_else(c, &whole);
    put(c, f, acc, first, false);
    cg_endif(c, &whole);
}

/* ---- a block -----------------------------------------------------------------------------------
 */

static void
multiply_all(Cg *c, Fed *f)
{
    PtxTiles *t = &f->t;
    const Val part = cg_div(c, t->warp, cg_i64(c, GPU_WARPGROUP / GPU_WARP));
    const Val from = cg_mul(c, part, cg_i64(c, t->t->part_rows));
    const Val x = ptx_wgmma_rows(c, t->shared, cg_mul(c, from, cg_i64(c, t->row_bytes)));
    const Val w = ptx_wgmma_rows(c, t->shared, cg_i64(c, t->w.at));
    const Val first = cg_mul(c, t->warp, cg_i64(c, t->t->part_rows / QUAD));
    for (int i = 0; i < t->naccs; i++)
        t->acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    ring_open(c, f);
    const Val to = ptx_tiles_count(c, t->p, t->t);
    CgLoop tiles = cg_loop(c, "tile", ptx_block(c, 0), to, f->blocks);
    const PtxTile tile = ptx_tiles_at(c, t->p, t->t, tiles.i);
    ptx_tiles_place(c, t, &tile);
    multiply(c, f, x, w);
    results(c, f, first);
    cg_loop_end(c, &tiles);
}

static void
open_signals(Cg *c, const Fed *f)
{
    const int four = GPU_WARPGROUP / GPU_WARP;
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    for (int i = 0; i < f->t.t->stages; i++) {
        ptx_signal_open(c, signal_of(c, f->full, cg_i64(c, i)), four);
        ptx_signal_open(c, signal_of(c, f->empty, cg_i64(c, i)), parts_of(f->t.t) * four);
    }
    cg_endif(c, &one);
    ptx_barrier(c);
}

/* Those that multiply take what registers those that copy give back: all together no more than all
 * had at first, or they would wait for ever. */
static int
registers_of(const Product *product)
{
    const int at_first = REGISTERS / product->threads / 8 * 8;
    const int most = (at_first * (parts_of(product) + 1) - FEEDER) / parts_of(product) / 8 * 8;
    return most < MOST_OF_THREAD ? most : MOST_OF_THREAD;
}

void
ptx_fed_tiles(Cg *c, PtxLinear *p, const Product *product, Val shared)
{
    Fed f = {.t = ptx_tiles_open(p, product), .blocks = c->machine->gpu.units};
    PtxTiles *t = &f.t;
    const Val multiply_threads = cg_i64(c, product->threads - GPU_WARPGROUP);
    f.lanes = lanes_of(p);
    f.beside = t->w.beside = f.lanes < QUAD ? QUAD : f.lanes;
    t->shared = shared;
    t->lane = ptx_lane(c);
    t->warp = ptx_warp(c);
    t->thread = cg_sub(c, ptx_thread(c), multiply_threads);
    f.full = cg_offset(c, shared, cg_i64(c, t->stage_bytes * product->stages));
    f.empty = cg_offset(c, f.full, cg_i64(c, ptx_fed_bytes(product) / 2));
    CgIf some = cg_if(c, cg_less(c, ptx_block(c, 0), ptx_tiles_count(c, p, product)));
    open_signals(c, &f);
    CgIf role = cg_if(c, cg_less(c, ptx_thread(c), multiply_threads));
    ptx_registers(c, registers_of(product), true);
    multiply_all(c, &f);
    cg_else(c, &role);
    ptx_registers(c, FEEDER, false);
    feed(c, &f);
    cg_endif(c, &role);
    cg_endif(c, &some);
}
