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
#include "codegen/ptx/tiles.h"

enum { GROUP = 16, UNROLL = 8 };

/* ---- stages ---------------------------------------------------------------------------------- */

static int64_t
in_16(const PtxTiles *t)
{
    return 16 / dtype_info[t->unit].bytes;
}

static void
side_open(Cg *c, const PtxTiles *t, PtxSide *s, Val first)
{
    const Val per = cg_i64(c, t->per);
    s->row = cg_div(c, t->thread, per);
    const Val chunk = cg_sub(c, t->thread, cg_mul(c, s->row, per));
    s->col = cg_mul(c, chunk, cg_i64(c, in_16(t)));
    const Val at = t->swizzled ? ptx_swizzle(c, t, chunk, s->row) : chunk;
    s->place = cg_add(c, cg_mul(c, s->row, cg_i64(c, t->row_bytes)), cg_mul(c, at, cg_i64(c, 16)));
    if (first)
        s->base = cg_element(c, first, s->o->dtype, s->row, s->stride, s->col);
}

/* How often a thread copies for a stage. */
static int
side_times(const PtxTiles *t, const PtxSide *s)
{
    const int all = s->rows * t->per;
    return all < t->t->threads ? 1 : all / t->t->threads;
}

static Val
inputs_of(Cg *c, const PtxTiles *t)
{
    return t->inputs ? t->inputs : cg_i64(c, t->depth);
}

/* Elements from memory, one after the other, as the unit they are multiplied in. Those that are not
 * there are zeros, and the first of the side is read in their place. */
static void
side_elements(Cg *c, const PtxTiles *t, const PtxSide *s, Val to, Val row, Val row_there, Val k)
{
    for (int64_t e = 0; e < in_16(t); e++) {
        const Val col = cg_add(c, k, cg_i64(c, e));
        const Val inside = cg_less(c, cg_add(c, s->col, col), inputs_of(c, t));
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
side_copy(Cg *c, const PtxTiles *t, const PtxSide *s, Val stage, Val k)
{
    const int times = side_times(t, s), step = t->t->threads / t->per;
    const bool part = s->rows * t->per < t->t->threads;
    const bool tail = t->inputs || t->depth % t->t->depth != 0;
    const Val inputs = inputs_of(c, t);
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
            there = LLVMBuildAnd(c->b, there, cg_less(c, cg_add(c, s->col, k), inputs), "");
        (s->weight ? ptx_copy16_weight : ptx_copy16)(c, to, cg_at(c, row, s->o->dtype, k), there);
    }
    if (part)
        cg_endif(c, &taken);
}

void
ptx_stage_copy(Cg *c, const PtxTiles *t, Val offset, Val k)
{
    const Val stage = cg_offset(c, t->shared, offset);
    side_copy(c, t, &t->x, stage, k);
    side_copy(c, t, &t->w, stage, k);
}

/* Of the weight alone, the stages that are on their way at first: the kernels before do not make
 * it. */
static void
begin_weight(Cg *c, const PtxTiles *t)
{
    for (int s = 0; s < t->t->stages - 1 && s < t->steps; s++)
        side_copy(c, t, &t->w, cg_offset(c, t->shared, cg_i64(c, s * t->stage_bytes)),
                  cg_i64(c, (int64_t)s * t->t->depth));
}

void
ptx_stage_advance(Cg *c, const PtxTiles *t, Val var)
{
    const Val next = cg_add(c, cg_get(c, c->i64, var), cg_i64(c, t->stage_bytes));
    const Val end = cg_i64(c, t->stage_bytes * t->t->stages);
    cg_set(c, var, LLVMBuildSelect(c->b, cg_less(c, next, end), next, cg_i64(c, 0), ""));
}

void
ptx_stages_begin(Cg *c, const PtxTiles *t, int ahead)
{
    for (int s = 0; s < ahead; s++) {
        const Val offset = cg_i64(c, s * t->stage_bytes);
        const Val k = cg_i64(c, (int64_t)s * t->t->depth);
        if (s < t->steps && t->begun) /* all of the weight is in the first group */
            side_copy(c, t, &t->x, cg_offset(c, t->shared, offset), k);
        else if (s < t->steps)
            ptx_stage_copy(c, t, offset, k);
        ptx_copy_commit(c);
    }
}

void
ptx_stages_next(Cg *c, const PtxTiles *t, Val stage, int ahead, Val offset)
{
    const Val next = cg_add(c, stage, cg_i64(c, ahead));
    CgIf more = cg_if(c, cg_less(c, next, cg_i64(c, t->steps)));
    ptx_stage_copy(c, t, offset, cg_mul(c, next, cg_i64(c, t->t->depth)));
    cg_endif(c, &more);
    ptx_copy_commit(c);
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void
multiply(Cg *c, const PtxTiles *t, Val offset)
{
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    (t->t->method == PRODUCT_MMA ? ptx_mma_stage : ptx_fma_stage)(c, t, offset, acc);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

static void
sums(Cg *c, const PtxTiles *t)
{
    const int ahead = t->t->stages - 1;
    ptx_stages_begin(c, t, ahead);
    const Val read = cg_var(c, c->i64, cg_i64(c, 0), "read");
    const Val write = cg_var(c, c->i64, cg_i64(c, ahead * t->stage_bytes), "write");
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    ptx_copy_wait(c, ahead - 1);
    ptx_barrier(c);
    ptx_stages_next(c, t, loop.i, ahead, cg_get(c, c->i64, write));
    multiply(c, t, cg_get(c, c->i64, read));
    ptx_stage_advance(c, t, read);
    ptx_stage_advance(c, t, write);
    cg_loop_end(c, &loop);
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* A thread has `lanes` columns and every `step`-th row. */
typedef struct {
    int lanes;
    int64_t step;
    Val row, col; /* of the tile: its first */
} Finish;

static void
finish_rows(Cg *c, const PtxTiles *t, const Finish *f, Val from, Val to, int64_t unroll)
{
    CgLoop loop = cg_loop(c, "finish", from, to, unroll);
    for (int64_t u = 0; u < unroll; u++) {
        const Val i = cg_add(c, loop.i, cg_i64(c, u));
        const Val row = cg_add(c, f->row, cg_mul(c, i, cg_i64(c, f->step)));
        const Val at = cg_element(c, t->shared, DTYPE_f32, row, ptx_sum_stride(t->t), f->col);
        Val sums =
            t->block ? ptx_split_sum(c, t, at, f->lanes) : ptx_load(c, at, DTYPE_f32, f->lanes);
        if (t->factors) {
            const Val of_row = cg_at(c, t->factors, DTYPE_f32, row);
            const Val factor =
                t->block ? ptx_split_factor(c, t, row) : cg_vload(c, of_row, DTYPE_f32, 1, NULL);
            sums = cg_fmul(c, sums, cg_splat(c, factor, f->lanes));
        }
        ptx_linear_store(c, t->p, cg_add(c, t->row, row), cg_add(c, t->col, f->col), sums);
    }
    cg_loop_end(c, &loop);
}

static void
results(Cg *c, const PtxTiles *t)
{
    Finish f = {.lanes = ptx_linear_lanes(t->p)};
    const int unroll = UNROLL / f.lanes;
    const int64_t across = t->t->columns / f.lanes;
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    ptx_barrier(c); /* all have read the last stage */
    switch (t->t->method) {
    case PRODUCT_FMA:
        ptx_fma_put(c, t, acc);
        break;
    case PRODUCT_RANGES:
        ptx_ranges_put(c, t, acc);
        break;
    case PRODUCT_SPLIT:
        ptx_split_put(c, t, acc);
        break;
    case PRODUCT_MMA:
    case PRODUCT_WGMMA:
        ptx_mma_put(c, t, acc);
        break;
    case PRODUCT_STREAM:
        die("product %s has no tiles", t->t->name);
    }
    if (t->block)
        ptx_cluster_barrier(c);
    else
        ptx_barrier(c);
    f.step = t->t->threads / across;
    f.row = cg_div(c, t->thread, cg_i64(c, across));
    f.col =
        cg_mul(c, cg_sub(c, t->thread, cg_mul(c, f.row, cg_i64(c, across))), cg_i64(c, f.lanes));
    CgIf inside = cg_if(c, cg_less(c, cg_add(c, t->col, f.col), cg_i64(c, t->out)));
    Val rows = cg_i64(c, t->t->rows); /* that this block stores: up to here */
    if (t->block) {
        const Val mine = cg_i64(c, t->t->rows / t->p->sets);
        const Val first = cg_mul(c, t->block, mine);
        rows = cg_add(c, first, mine);
        f.row = cg_add(c, f.row, first);
    }
    const Val there = cg_sub(c, cg_min(c, t->rows, rows), f.row);
    const Val count = cg_div_up(c, cg_max(c, cg_i64(c, 0), there), cg_i64(c, f.step));
    const Val whole = cg_mul(c, cg_div(c, count, cg_i64(c, unroll)), cg_i64(c, unroll));
    finish_rows(c, t, &f, cg_i64(c, 0), whole, unroll);
    finish_rows(c, t, &f, whole, count, 1);
    cg_endif(c, &inside);
    if (t->block)
        ptx_cluster_barrier(c); /* all have read what this one has */
}

/* ---- which tile -------------------------------------------------------------------------------
 */

static PtxTiles
tiles_open(const PtxLinear *p, const Product *product)
{
    PtxTiles t = {.p = p, .t = product, .unit = p->bf16 ? DTYPE_bf16 : DTYPE_f32};
    const int64_t bytes = product->depth * dtype_info[t.unit].bytes;
    t.depth = p->l.depth;
    t.out = p->l.out;
    t.steps = ptx_parts(product->method == PRODUCT_SPLIT ? p->share * PTX_STREAM_STEP : t.depth,
                        product->depth);
    t.per = (int)(bytes / 16);
    t.swizzled = p->bf16;
    t.row_bytes = t.swizzled ? bytes : bytes + 16;
    t.stage_bytes = (product->rows + product->columns) * t.row_bytes;
    const int64_t part = (int64_t)product->part_rows * product->part_columns;
    const int64_t shared_by = product->method == PRODUCT_FMA     ? 1
                              : product->method == PRODUCT_WGMMA ? GPU_WARPGROUP
                                                                 : GPU_WARP;
    t.naccs = (int)(part / shared_by);
    if (t.naccs > PTX_MOST_ACC)
        die("product %s has %d accumulators", product->name, t.naccs);
    t.x = (PtxSide){.o = p->x, .whole = p->x_whole, .rows = product->rows, .stride = p->x->stride};
    t.w = (PtxSide){.o = p->w,
                    .whole = p->w_whole,
                    .weight = true,
                    .rows = product->columns,
                    .stride = p->l.depth,
                    .at = product->rows * t.row_bytes};
    return t;
}

/* Of the tile's sums in shared memory. */
static int64_t
sums_count(const Product *product)
{
    return product->rows * ptx_sum_stride(product);
}

int64_t
ptx_tile_bytes(const PtxLinear *p, const Product *product)
{
    const PtxTiles t = tiles_open(p, product);
    const int64_t ring = t.stage_bytes * product->stages;
    const int64_t factors = p->normed ? product->rows : 0;
    const int64_t sums = (sums_count(product) + factors) * (int64_t)sizeof(float);
    return ring > sums ? ring : sums;
}

static int64_t
across(const PtxLinear *p, const Product *product)
{
    return ptx_parts(p->l.out, product->columns);
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
side_list(Cg *c, const PtxTiles *t, PtxSide *s)
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

/* The first input of a block's range; how many there are goes to t. */
static Val
range_of_block(Cg *c, PtxTiles *t, Val block)
{
    const Val each = cg_i64(c, t->p->share * PTX_STREAM_STEP), depth = cg_i64(c, t->depth);
    const Val first = cg_min(c, cg_mul(c, block, each), depth);
    t->block = block;
    t->inputs = cg_min(c, each, cg_sub(c, depth, first));
    return first;
}

void
ptx_tile(Cg *c, PtxLinear *p, const Product *product, Val shared, const PtxTile *tile)
{
    PtxTiles t = tiles_open(p, product);
    t.shared = shared;
    t.thread = ptx_thread(c);
    t.lane = ptx_lane(c);
    t.warp = ptx_warp(c);
    t.row = tile->row;
    t.col = tile->col;
    t.rows = t.x.count = tile->rows;
    t.w.count = cg_sub(c, cg_i64(c, t.out), t.col);
    Val first = cg_i64(c, 0); /* input */
    if (product->method == PRODUCT_SPLIT)
        first = range_of_block(c, &t, tile->block);
    side_open(c, &t, &t.w, cg_element(c, tile->weight, p->w->dtype, t.col, t.w.stride, first));
    t.begun = tile->waits;
    if (t.begun) {
        begin_weight(c, &t);
        ptx_wait(c, p->k);
    }
    if (p->l.list) {
        side_open(c, &t, &t.x, NULL);
        side_list(c, &t, &t.x);
    } else {
        side_open(c, &t, &t.x, cg_element(c, p->x->base, p->x->dtype, t.row, t.x.stride, first));
    }
    for (int i = 0; i < t.naccs; i++)
        t.acc[i] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    if (p->normed) {
        t.factors = cg_at(c, shared, DTYPE_f32, cg_i64(c, sums_count(product)));
        for (int i = 0; i < PTX_MOST_DOWN; i++)
            t.squares[i] = cg_var(c, c->f32, cg_f32(c, 0), "squares");
    }
    (product->method == PRODUCT_WGMMA    ? ptx_wgmma_sums
     : product->method == PRODUCT_RANGES ? ptx_ranges_sums
     : product->method == PRODUCT_SPLIT  ? ptx_split_sums
                                         : sums)(c, &t);
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
    const Val quarters = cg_mul(c, tiles, cg_i64(c, 4));
    CgIf few = cg_if(c, cg_less(c, quarters, cg_i64(c, 3 * (int64_t)c->machine->gpu.units)));
    tile_of_block(c, p, small, shared);
    cg_else(c, &few);
    tile_of_block(c, p, large, shared);
    cg_endif(c, &few);
}
