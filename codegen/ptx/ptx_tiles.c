/* codegen/ptx/ptx_tiles.c -- projections by tiles: a block of threads makes `rows` by `columns` of
 * y.
 *
 *     stages 0 .. S-2 of x and W -> shared memory, copied beside what follows
 *     for each `depth` inputs:
 *         wait for their stage; begin to copy the stage S-1 further on, over the one just read
 *         accumulators in registers += x W^T of the stage: by FMAs, or by mma on bf16
 *     accumulators -> shared memory -> + bias, epilogue -> outputs, columns side by side
 *
 * Rows that x does not have, and inputs beyond K, are zeros in shared memory. A pass whose rows
 * fill too few tiles takes the kernel's small product; the grid has a block for each small tile,
 * and those that the large product needs not end at once. Blocks that run at the same time take
 * tiles of GROUP rows of tiles, column by column, so that what they read of x and of W is little
 * together. */
#include "codegen/ptx/linear.h"

enum { GROUP = 16, UNROLL = 4, MOST_ACC = 128, LANES16 = 16, GAP = 8 };

/* x or W: rows of which a tile is staged, 16 bytes a thread at a time. */
typedef struct {
    const CgOperand *o;
    bool whole; /* copied by 16 bytes; else element by element */
    bool weight;
    int rows;           /* of the tile */
    int64_t stride;     /* elements from row to row of memory */
    int64_t at;         /* bytes from the begin of a stage */
    Val base;           /* this thread's first row of memory, and its column of it */
    Val row, col;       /* of the tile; elements from the first of a stage */
    Val place;          /* bytes in the side's part of a stage */
    Val count;          /* rows of the tile that are there */
    Val from[MOST_ACC]; /* `listed`: this thread's rows of memory */
    bool listed;
} Side;

typedef struct {
    const PtxLinear *p;
    const Product *t;
    Dtype unit;
    int64_t depth, out, steps; /* K, O, stages of K */
    int per;                   /* 16s of bytes of a staged row */
    int64_t row_bytes, stage_bytes;
    bool swizzled;
    Val shared, thread, lane, warp;
    Val row, col, rows; /* of the tile: its first row and column, and how many rows there are */
    Side x, w;
    Val acc[MOST_ACC]; /* variables */
    int naccs;
} Tiles;

/* ---- stages ---------------------------------------------------------------------------------- */

static int64_t
in_16(const Tiles *t)
{
    return 16 / dtype_info[t->unit].bytes;
}

/* Rows of 128 bytes: bits of the row move 16s of bytes about, so that the same columns of eight
 * rows lie in all banks. */
static Val
swizzle(Cg *c, Val chunk, Val row)
{
    return LLVMBuildXor(c->b, chunk, LLVMBuildAnd(c->b, row, cg_i64(c, 7), ""), "");
}

static void
side_open(Cg *c, const Tiles *t, Side *s, Val first)
{
    const Val per = cg_i64(c, t->per);
    s->row = cg_div(c, t->thread, per);
    const Val chunk = cg_sub(c, t->thread, cg_mul(c, s->row, per));
    s->col = cg_mul(c, chunk, cg_i64(c, in_16(t)));
    const Val at = t->swizzled ? swizzle(c, chunk, s->row) : chunk;
    s->place = cg_add(c, cg_mul(c, s->row, cg_i64(c, t->row_bytes)), cg_mul(c, at, cg_i64(c, 16)));
    if (first)
        s->base = cg_element(c, first, s->o->dtype, s->row, s->stride, s->col);
}

/* How often a thread copies for a stage. */
static int
side_times(const Tiles *t, const Side *s)
{
    const int all = s->rows * t->per;
    return all < t->t->threads ? 1 : all / t->t->threads;
}

/* Elements from memory, one after the other, as the unit they are multiplied in. Those that are not
 * there are zeros, and the first of the side is read in their place. */
static void
side_elements(Cg *c, const Tiles *t, const Side *s, Val to, Val row, Val row_there, Val k)
{
    for (int64_t e = 0; e < in_16(t); e++) {
        const Val col = cg_add(c, k, cg_i64(c, e));
        const Val inside = cg_less(c, cg_add(c, s->col, col), cg_i64(c, t->depth));
        const Val there = LLVMBuildAnd(c->b, row_there, inside, "");
        const Val at =
            LLVMBuildSelect(c->b, there, cg_at(c, row, s->o->dtype, col), s->o->base, "");
        const Val x = cg_vload(c, at, s->o->dtype, 1, NULL);
        const Val known = LLVMBuildSelect(c->b, there, x, cg_f32(c, 0), "");
        cg_vstore(c, cg_at(c, to, t->unit, cg_i64(c, e)), t->unit, known, 1, NULL);
    }
}

/* Begins to copy the stage that starts at input k into `stage` (an address). */
static void
side_copy(Cg *c, const Tiles *t, const Side *s, Val stage, Val k)
{
    const int times = side_times(t, s), step = t->t->threads / t->per;
    const bool part = s->rows * t->per < t->t->threads, tail = t->depth % t->t->depth != 0;
    CgIf taken = {0};
    if (part)
        taken = cg_if(c, cg_less(c, s->row, cg_i64(c, s->rows)));
    for (int i = 0; i < times; i++) {
        const Val to = cg_offset(
            c, stage, cg_add(c, s->place, cg_i64(c, s->at + (int64_t)i * step * t->row_bytes)));
        const Val here = cg_add(c, s->row, cg_i64(c, (int64_t)i * step));
        const Val row = s->listed ? s->from[i]
                                  : cg_at(c, s->base, s->o->dtype, cg_i64(c, i * step * s->stride));
        Val there = cg_less(c, here, s->count);
        if (!s->whole) {
            side_elements(c, t, s, to, row, there, k);
            continue;
        }
        if (tail)
            there = LLVMBuildAnd(c->b, there, cg_less(c, cg_add(c, s->col, k), cg_i64(c, t->depth)),
                                 "");
        (s->weight ? ptx_copy16_weight : ptx_copy16)(c, to, cg_at(c, row, s->o->dtype, k), there);
    }
    if (part)
        cg_endif(c, &taken);
}

static Val
stage_at(Cg *c, const Tiles *t, Val offset)
{
    return cg_offset(c, t->shared, offset);
}

static void
stage_copy(Cg *c, const Tiles *t, Val stage, Val k)
{
    side_copy(c, t, &t->x, stage, k);
    side_copy(c, t, &t->w, stage, k);
}

/* ---- products of a stage: FMAs ----------------------------------------------------------------
 */

/* Lanes of a warp are 4 rows by 8 columns, warps 4 by 2: what a warp reads together lies in
 * different banks, as staged rows are 4 more than a multiple of 16 floats apart. */
static Val
fma_row(Cg *c, const Tiles *t)
{
    const Val four = cg_i64(c, 4);
    return cg_add(c, cg_div(c, t->lane, cg_i64(c, 8)),
                  cg_mul(c, cg_div(c, t->warp, cg_i64(c, 2)), four));
}

static Val
fma_col(Cg *c, const Tiles *t)
{
    const Val eight = cg_i64(c, 8), one = cg_i64(c, 1);
    return cg_add(c, LLVMBuildAnd(c->b, t->lane, cg_i64(c, 7), ""),
                  cg_mul(c, LLVMBuildAnd(c->b, t->warp, one, ""), eight));
}

/* Four inputs of row `row` of a side. */
static Val
fma_load(Cg *c, const Tiles *t, Val stage, Val row, int64_t more, int quad)
{
    const Val at = cg_offset(
        c, stage,
        cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)), cg_i64(c, more + (int64_t)quad * 16)));
    const Val all = LLVMBuildLoad2(c->b, LLVMVectorType(c->f32, 4), at, "");
    LLVMSetAlignment(all, 16);
    return all;
}

static Val
one_of(Cg *c, Val four, int i)
{
    return LLVMBuildExtractElement(c->b, four, cg_i64(c, i), "");
}

static void
fma_stage(Cg *c, const Tiles *t, Val stage, Val *acc)
{
    const int rows = t->t->part_rows, cols = t->t->part_columns;
    const Val row = fma_row(c, t), col = fma_col(c, t);
    for (int q = 0; q < t->t->depth / 4; q++) {
        Val x[16], w[16];
        for (int i = 0; i < rows; i++)
            x[i] = fma_load(c, t, stage, row, t->x.at + LANES16 * i * t->row_bytes, q);
        for (int j = 0; j < cols; j++)
            w[j] = fma_load(c, t, stage, col, t->w.at + LANES16 * j * t->row_bytes, q);
        for (int e = 0; e < 4; e++)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < cols; j++)
                    acc[i * cols + j] =
                        cg_fma(c, one_of(c, x[i], e), one_of(c, w[j], e), acc[i * cols + j]);
    }
}

static void
fma_put(Cg *c, const Tiles *t, const Val *acc)
{
    const int rows = t->t->part_rows, cols = t->t->part_columns;
    const int64_t stride = t->t->columns + GAP;
    const Val row = fma_row(c, t), col = fma_col(c, t);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const Val at =
                cg_element(c, t->shared, DTYPE_f32, cg_add(c, row, cg_i64(c, LANES16 * i)), stride,
                           cg_add(c, col, cg_i64(c, LANES16 * j)));
            cg_vstore(c, at, DTYPE_f32, acc[i * cols + j], 1, NULL);
        }
}

/* ---- products of a stage: mma -----------------------------------------------------------------
 */

/* The warp's part of the tile. */
static void
mma_part(Cg *c, const Tiles *t, Val *row, Val *col)
{
    const int64_t across = t->t->columns / t->t->part_columns;
    const Val down = cg_div(c, t->warp, cg_i64(c, across));
    const Val right = cg_sub(c, t->warp, cg_mul(c, down, cg_i64(c, across)));
    *row = cg_mul(c, down, cg_i64(c, t->t->part_rows));
    *col = cg_mul(c, right, cg_i64(c, t->t->part_columns));
}

/* Where a lane reads its row of four matrices: `row` of the side, its 16s of bytes `chunk`. */
static Val
mma_address(Cg *c, const Tiles *t, Val stage, const Side *s, Val row, Val chunk, int64_t down)
{
    const Val in_row = cg_mul(c, swizzle(c, chunk, row), cg_i64(c, 16));
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)), in_row);
    return cg_offset(c, stage, cg_add(c, at, cg_i64(c, s->at + down * t->row_bytes)));
}

static void
mma_stage(Cg *c, const Tiles *t, Val stage, Val *acc)
{
    enum { MOST = 8 };
    const int down = t->t->part_rows / 16, right = t->t->part_columns / 8;
    const Val eight = cg_i64(c, 8), seven = cg_i64(c, 7), one = cg_i64(c, 1);
    Val row, col;
    mma_part(c, t, &row, &col);
    /* Of x: rows 0-15 for the first 8 inputs, then for the next 8. Of W: rows 0-7 for the first 8
     * inputs and the next, then rows 8-15. */
    const Val x_row = cg_add(c, row, LLVMBuildAnd(c->b, t->lane, cg_i64(c, 15), ""));
    const Val x_half = cg_div(c, t->lane, cg_i64(c, 16));
    const Val w_row = cg_add(c, cg_add(c, col, LLVMBuildAnd(c->b, t->lane, seven, "")),
                             cg_mul(c, cg_div(c, t->lane, cg_i64(c, 16)), eight));
    const Val w_half = LLVMBuildAnd(c->b, cg_div(c, t->lane, eight), one, "");
    for (int k = 0; k < t->t->depth / 16; k++) {
        const Val two = cg_i64(c, 2 * k);
        Val a[MOST][4], b[MOST][4]; /* b: of two products each */
        for (int i = 0; i < down; i++)
            ptx_load_matrices(
                c, mma_address(c, t, stage, &t->x, x_row, cg_add(c, x_half, two), 16 * i), false,
                a[i]);
        for (int j = 0; j < right / 2; j++)
            ptx_load_matrices(
                c, mma_address(c, t, stage, &t->w, w_row, cg_add(c, w_half, two), 16 * j), false,
                b[j]);
        for (int i = 0; i < down; i++)
            for (int j = 0; j < right; j++)
                ptx_mma_bf16(c, acc + 4 * (i * right + j), a[i], b[j / 2] + 2 * (j % 2));
    }
}

static void
mma_put(Cg *c, const Tiles *t, const Val *acc)
{
    const int down = t->t->part_rows / 16, right = t->t->part_columns / 8;
    const int64_t stride = t->t->columns + GAP;
    const Val four = cg_i64(c, 4);
    Val row, col;
    mma_part(c, t, &row, &col);
    const Val g = cg_div(c, t->lane, four), two = cg_sub(c, t->lane, cg_mul(c, g, four));
    row = cg_add(c, row, g);
    col = cg_add(c, col, cg_mul(c, two, cg_i64(c, 2)));
    for (int i = 0; i < down; i++)
        for (int j = 0; j < right; j++)
            for (int half = 0; half < 2; half++) {
                const Val *from = acc + 4 * (i * right + j) + 2 * half;
                const Val at = cg_element(c, t->shared, DTYPE_f32,
                                          cg_add(c, row, cg_i64(c, 16 * i + 8 * half)), stride,
                                          cg_add(c, col, cg_i64(c, 8 * j)));
                Val pair = LLVMGetPoison(LLVMVectorType(c->f32, 2));
                for (int e = 0; e < 2; e++)
                    pair = LLVMBuildInsertElement(c->b, pair, from[e], cg_i64(c, e), "");
                LLVMSetAlignment(LLVMBuildStore(c->b, pair, at), 8);
            }
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void
multiply(Cg *c, const Tiles *t, Val stage)
{
    Val acc[MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    (t->p->bf16 ? mma_stage : fma_stage)(c, t, stage, acc);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

/* The next stage of the ring, in bytes. */
static void
advance(Cg *c, const Tiles *t, Val var)
{
    const Val next = cg_add(c, cg_get(c, c->i64, var), cg_i64(c, t->stage_bytes));
    const Val end = cg_i64(c, t->stage_bytes * t->t->stages);
    cg_set(c, var, LLVMBuildSelect(c->b, cg_less(c, next, end), next, cg_i64(c, 0), ""));
}

static void
sums(Cg *c, Tiles *t)
{
    const int ahead = t->t->stages - 1;
    for (int i = 0; i < t->naccs; i++)
        t->acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    for (int s = 0; s < ahead; s++) {
        if (s < t->steps)
            stage_copy(c, t, stage_at(c, t, cg_i64(c, s * t->stage_bytes)),
                       cg_i64(c, (int64_t)s * t->t->depth));
        ptx_copy_commit(c);
    }
    const Val read = cg_var(c, c->i64, cg_i64(c, 0), "read");
    const Val write = cg_var(c, c->i64, cg_i64(c, ahead * t->stage_bytes), "write");
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    ptx_copy_wait(c, ahead - 1);
    ptx_barrier(c);
    const Val next = cg_add(c, loop.i, cg_i64(c, ahead));
    CgIf more = cg_if(c, cg_less(c, next, cg_i64(c, t->steps)));
    stage_copy(c, t, stage_at(c, t, cg_get(c, c->i64, write)),
               cg_mul(c, next, cg_i64(c, t->t->depth)));
    cg_endif(c, &more);
    ptx_copy_commit(c);
    multiply(c, t, stage_at(c, t, cg_get(c, c->i64, read)));
    advance(c, t, read);
    advance(c, t, write);
    cg_loop_end(c, &loop);
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* A thread has one column and every `step`-th row. */
static void
finish_rows(Cg *c, const Tiles *t, Val from, Val to, int64_t unroll)
{
    const int64_t columns = t->t->columns, step = t->t->threads / columns;
    const Val first = cg_div(c, t->thread, cg_i64(c, columns));
    const Val col = cg_sub(c, t->thread, cg_mul(c, first, cg_i64(c, columns)));
    CgLoop loop = cg_loop(c, "finish", from, to, unroll);
    for (int64_t u = 0; u < unroll; u++) {
        const Val i = cg_add(c, loop.i, cg_i64(c, u));
        const Val row = cg_add(c, first, cg_mul(c, i, cg_i64(c, step)));
        const Val at = cg_element(c, t->shared, DTYPE_f32, row, columns + GAP, col);
        ptx_linear_store(c, t->p, cg_add(c, t->row, row), cg_add(c, t->col, col),
                         cg_vload(c, at, DTYPE_f32, 1, NULL));
    }
    cg_loop_end(c, &loop);
}

static void
results(Cg *c, const Tiles *t)
{
    Val acc[MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    ptx_barrier(c); /* all have read the last stage */
    (t->p->bf16 ? mma_put : fma_put)(c, t, acc);
    ptx_barrier(c);
    const int64_t columns = t->t->columns, step = t->t->threads / columns;
    const Val first = cg_div(c, t->thread, cg_i64(c, columns));
    const Val col = cg_sub(c, t->thread, cg_mul(c, first, cg_i64(c, columns)));
    CgIf inside = cg_if(c, cg_less(c, cg_add(c, t->col, col), cg_i64(c, t->out)));
    const Val all =
        cg_max(c, cg_i64(c, 0), cg_sub(c, cg_min(c, t->rows, cg_i64(c, t->t->rows)), first));
    const Val count = cg_div_up(c, all, cg_i64(c, step)), unroll = cg_i64(c, UNROLL);
    const Val whole = cg_mul(c, cg_div(c, count, unroll), unroll);
    finish_rows(c, t, cg_i64(c, 0), whole, UNROLL);
    finish_rows(c, t, whole, count, 1);
    cg_endif(c, &inside);
}

/* ---- which tile -------------------------------------------------------------------------------
 */

static Tiles
tiles_open(const PtxLinear *p, const Product *product)
{
    Tiles t = {.p = p, .t = product, .unit = p->bf16 ? DTYPE_bf16 : DTYPE_f32};
    const int64_t bytes = product->depth * dtype_info[t.unit].bytes;
    t.depth = p->l.depth;
    t.out = p->l.out;
    t.steps = (t.depth + product->depth - 1) / product->depth;
    t.per = (int)(bytes / 16);
    t.swizzled = p->bf16;
    t.row_bytes = t.swizzled ? bytes : bytes + 16;
    t.stage_bytes = (product->rows + product->columns) * t.row_bytes;
    const int64_t part = (int64_t)product->part_rows * product->part_columns;
    t.naccs = (int)(p->bf16 ? part / GPU_WARP : part);
    if (t.naccs > MOST_ACC)
        die("product %s has %d accumulators", product->name, t.naccs);
    t.x = (Side){.o = p->x, .whole = p->x_whole, .rows = product->rows, .stride = p->x->stride};
    t.w = (Side){.o = p->w,
                 .whole = p->w_whole,
                 .weight = true,
                 .rows = product->columns,
                 .stride = p->l.depth,
                 .at = product->rows * t.row_bytes};
    return t;
}

int64_t
ptx_tile_bytes(const PtxLinear *p, const Product *product)
{
    const Tiles t = tiles_open(p, product);
    const int64_t ring = t.stage_bytes * product->stages;
    const int64_t sums = product->rows * (int64_t)(product->columns + GAP) * (int64_t)sizeof(float);
    return ring > sums ? ring : sums;
}

static int64_t
across(const PtxLinear *p, const Product *product)
{
    return (p->l.out + product->columns - 1) / product->columns;
}

/* Both are less than 2^31. */
static Val
narrow_div(Cg *c, Val a, Val b)
{
    const Val x = LLVMBuildTrunc(c->b, a, c->i32, ""), y = LLVMBuildTrunc(c->b, b, c->i32, "");
    return LLVMBuildZExt(c->b, LLVMBuildUDiv(c->b, x, y, ""), c->i64, "");
}

/* The tile that block number `block` makes: its row and column of tiles. */
static void
place_of_block(Cg *c, const PtxLinear *p, const Product *product, Val block, Val *down, Val *right)
{
    const int64_t columns = across(p, product);
    const Val all = cg_div_up(c, p->rows, cg_i64(c, product->rows));
    const Val group = cg_div(c, block, cg_i64(c, GROUP * columns));
    const Val first = cg_mul(c, group, cg_i64(c, GROUP));
    const Val in_group = cg_sub(c, block, cg_mul(c, group, cg_i64(c, GROUP * columns)));
    const Val rows = cg_min(c, cg_i64(c, GROUP), cg_sub(c, all, first));
    *right = narrow_div(c, in_group, rows);
    *down = cg_add(c, first, cg_sub(c, in_group, cg_mul(c, *right, rows)));
}

/* Where this thread's rows of a list are in memory. */
static void
side_list(Cg *c, const Tiles *t, Side *s)
{
    const int step = t->t->threads / t->per;
    const Val last = cg_sub(c, s->count, cg_i64(c, 1));
    s->listed = true;
    s->base = s->o->base;
    for (int i = 0; i < side_times(t, s); i++) {
        const Val here = cg_min(c, cg_add(c, s->row, cg_i64(c, (int64_t)i * step)), last);
        const Val row = cg_linear_source(c, &t->p->l, cg_add(c, t->row, here));
        s->from[i] = cg_element(c, s->o->base, s->o->dtype, row, s->stride, s->col);
    }
}

void
ptx_tile(Cg *c, PtxLinear *p, const Product *product, Val shared, const PtxTile *tile)
{
    Tiles t = tiles_open(p, product);
    t.shared = shared;
    t.thread = ptx_thread(c);
    t.lane = ptx_lane(c);
    t.warp = ptx_warp(c);
    t.row = tile->row;
    t.col = tile->col;
    t.rows = t.x.count = tile->rows;
    t.w.count = cg_sub(c, cg_i64(c, t.out), t.col);
    const Val zero = cg_i64(c, 0);
    side_open(c, &t, &t.w, cg_element(c, tile->weight, p->w->dtype, t.col, t.w.stride, zero));
    if (p->l.list) {
        side_open(c, &t, &t.x, NULL);
        side_list(c, &t, &t.x);
    } else {
        side_open(c, &t, &t.x, cg_element(c, p->x->base, p->x->dtype, t.row, t.x.stride, zero));
    }
    sums(c, &t);
    results(c, &t);
}

static void
tile_of_block(Cg *c, PtxLinear *p, const Product *product, Val shared)
{
    const Val block = ptx_block(c, 0);
    const Val count =
        cg_mul(c, cg_div_up(c, p->rows, cg_i64(c, product->rows)), cg_i64(c, across(p, product)));
    CgIf needed = cg_if(c, cg_less(c, block, count));
    Val down, right;
    place_of_block(c, p, product, block, &down, &right);
    const Val row = cg_mul(c, down, cg_i64(c, product->rows));
    const PtxTile at = {.row = row,
                        .col = cg_mul(c, right, cg_i64(c, product->columns)),
                        .rows = cg_sub(c, p->rows, row),
                        .weight = p->weight};
    ptx_tile(c, p, product, shared, &at);
    cg_endif(c, &needed);
}

void
ptx_linear_tiles(Cg *c, PtxLinear *p)
{
    const Product *large = p->product, *small = p->small ? p->small : large;
    const int64_t a = ptx_tile_bytes(p, large), b = ptx_tile_bytes(p, small);
    int64_t each = 1;
    const AbiCount of = ptx_count(p->l.y, &each);
    ptx_threads(p->k, large->threads);
    ptx_grid(p->k, 0, of, each, small->rows, across(p, small));
    const Val shared = ptx_shared(c, p->k, a > b ? a : b);
    if (small == large) {
        tile_of_block(c, p, large, shared);
        return;
    }
    const Val tiles =
        cg_mul(c, cg_div_up(c, p->rows, cg_i64(c, large->rows)), cg_i64(c, across(p, large)));
    CgIf few = cg_if(c, cg_less(c, tiles, cg_i64(c, c->machine->gpu.units)));
    tile_of_block(c, p, small, shared);
    cg_else(c, &few);
    tile_of_block(c, p, large, shared);
    cg_endif(c, &few);
}
