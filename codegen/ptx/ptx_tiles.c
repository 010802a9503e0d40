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
#include "codegen/ptx/conv.h"
#include "codegen/ptx/tiles.h"

enum { GROUP = 16, UNROLL = 8 };

/* ---- stages ---------------------------------------------------------------------------------- */

static int64_t
in_16(const PtxTiles *t)
{
    return 16 / dtype_info[t->unit].bytes;
}

/* Bytes in the side's part of a stage where this thread's chunk of a row is. */
static Val
side_at(Cg *c, const PtxTiles *t, Val row, Val chunk)
{
    const Val at = t->swizzled ? ptx_swizzle(c, t, chunk, row) : chunk;
    return cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)), cg_mul(c, at, cg_i64(c, 16)));
}

static void
side_open(Cg *c, const PtxTiles *t, PtxSide *s, Val first)
{
    const Val per = cg_i64(c, t->per);
    s->row = cg_div(c, t->thread, per);
    const Val chunk = cg_sub(c, t->thread, cg_mul(c, s->row, per));
    s->col = cg_mul(c, chunk, cg_i64(c, in_16(t)));
    s->place = side_at(c, t, s->row, chunk);
    if (first)
        s->base = cg_element(c, first, s->o->dtype, s->row, s->stride, s->col);
}

/* How often a thread copies for a stage. */
static int
side_times(const PtxTiles *t, const PtxSide *s)
{
    const int all = s->rows * t->per;
    return all < t->threads ? 1 : all / t->threads;
}

/* Where its copy number i goes, `step` rows after the one before. */
static Val
side_place(Cg *c, const PtxTiles *t, const PtxSide *s, int i, int step)
{
    if (!s->beside)
        return cg_add(c, s->place, cg_i64(c, (int64_t)i * step * t->row_bytes));
    const int beside = ptx_fed_beside(t, i * step, s->beside), together = 4 * beside;
    const int first = i * step / together * together;
    const Val in = cg_add(c, s->row, cg_i64(c, i * step - first));
    const Val row = cg_add(c, ptx_fed_row(c, in, beside), cg_i64(c, first));
    return side_at(c, t, row, cg_div(c, s->col, cg_i64(c, in_16(t))));
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
    const int times = side_times(t, s), step = t->threads / t->per;
    const bool part = s->rows * t->per < t->threads;
    const bool tail = t->inputs || t->depth % t->t->depth != 0;
    const Val inputs = inputs_of(c, t);
    CgIf taken = {0};
    if (part)
        taken = cg_if(c, cg_less(c, s->row, cg_i64(c, s->rows)));
    for (int i = 0; i < times; i++) {
        const Val to =
            cg_offset(c, stage, cg_add(c, side_place(c, t, s, i, step), cg_i64(c, s->at)));
        const Val here = cg_add(c, s->row, cg_i64(c, (int64_t)i * step));
        const Val row = s->listed ? s->from[i]
                        : i == 0 && s->head
                            ? s->head
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

void
ptx_stages(Cg *c, const PtxTiles *t, PtxMultiply *multiply, const void *user)
{
    const int ahead = t->t->stages - 1;
    ptx_stages_begin(c, t, ahead);
    const Val read = cg_var(c, c->i64, cg_i64(c, 0), "read");
    const Val write = cg_var(c, c->i64, cg_i64(c, ahead * t->stage_bytes), "write");
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, t->steps), 1);
    ptx_copy_wait(c, ahead - 1);
    ptx_barrier(c);
    ptx_stages_next(c, t, loop.i, ahead, cg_get(c, c->i64, write));
    multiply(c, t, loop.i, cg_get(c, c->i64, read), user);
    ptx_stage_advance(c, t, read);
    ptx_stage_advance(c, t, write);
    cg_loop_end(c, &loop);
}

static void
multiply(Cg *c, const PtxTiles *t, Val stage, Val offset, const void *user)
{
    Val acc[PTX_MOST_ACC];
    (void)stage;
    (void)user;
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    (t->t->method == PRODUCT_MMA ? ptx_mma_stage : ptx_fma_stage)(c, t, offset, acc);
    for (int i = 0; i < t->naccs; i++)
        cg_set(c, t->acc[i], acc[i]);
}

static void
sums(Cg *c, const PtxTiles *t)
{
    ptx_stages(c, t, multiply, NULL);
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* A thread has `lanes` columns and every `step`-th row. */
typedef struct {
    int lanes;
    Val step;
    Val row, col; /* of the tile: its first */
} Finish;

static int
lanes_of(const PtxTiles *t)
{
    return t->rounded ? ptx_conv_together(t->p) : ptx_linear_lanes(t->p);
}

void
ptx_tile_finish(Cg *c, const PtxTiles *t, Val row, Val col, Val sums)
{
    if (t->factors) {
        const Val of_row = cg_at(c, t->factors, DTYPE_f32, row);
        const Val factor = cg_vload(c, of_row, DTYPE_f32, 1, NULL);
        sums = cg_fmul(c, sums, cg_splat(c, factor, cg_lanes_of(sums)));
    }
    ptx_linear_store(c, t->p, cg_add(c, t->row, row), cg_add(c, t->col, col), sums);
}

static void
finish_rows(Cg *c, const PtxTiles *t, const Finish *f, Val from, Val to, int64_t unroll)
{
    const Dtype dtype = t->rounded ? DTYPE_bf16 : DTYPE_f32;
    CgLoop loop = cg_loop(c, "finish", from, to, unroll);
    for (int64_t u = 0; u < unroll; u++) {
        const Val i = cg_add(c, loop.i, cg_i64(c, u));
        const Val row = cg_add(c, f->row, cg_mul(c, i, f->step));
        const Val at = cg_element(c, t->shared, dtype, row, ptx_sum_stride(t->t), f->col);
        if (t->rounded)
            ptx_conv_keep(c, t->p, cg_add(c, t->row, row), cg_add(c, t->col, f->col), at);
        else
            ptx_tile_finish(c, t, row, f->col, ptx_load(c, at, dtype, f->lanes));
    }
    cg_loop_end(c, &loop);
}

/* Rows of sites that have a thread for each site. */
static Val
threads_down(Cg *c, const PtxTiles *t)
{
    const Val across = cg_i64(c, t->t->columns / lanes_of(t));
    return ptx_narrow_div(c, t->all ? t->all : cg_i64(c, t->threads), across);
}

/* What a convolution makes of the sums in shared memory. */
PtxPiece
ptx_tile_piece(Cg *c, const PtxTiles *t)
{
    const Val rows = cg_min(c, t->rows, cg_i64(c, t->t->rows));
    return (PtxPiece){.sums = t->shared,
                      .rounded = t->rounded,
                      .stride = t->t->columns + PTX_SUM_GAP,
                      .row = cg_add(c, t->row, t->lead),
                      .end = cg_add(c, t->row, rows),
                      .col = t->col,
                      .begin = t->begin,
                      .columns = t->t->columns,
                      .lanes = lanes_of(t),
                      .thread = t->thread,
                      .down = threads_down(c, t)};
}

/* Of the sums in shared memory, but for columns that are the convolution's alone. */
void
ptx_tile_store(Cg *c, const PtxTiles *t)
{
    Finish f = {.lanes = lanes_of(t)};
    const int unroll = t->rounded ? UNROLL / 2 : UNROLL / f.lanes;
    const int64_t across = t->t->columns / f.lanes;
    f.step = threads_down(c, t);
    f.row = cg_div(c, t->thread, cg_i64(c, across));
    f.col =
        cg_mul(c, cg_sub(c, t->thread, cg_mul(c, f.row, cg_i64(c, across))), cg_i64(c, f.lanes));
    const Val col = cg_add(c, t->col, f.col);
    Val stored = cg_less(c, col, cg_i64(c, t->out));
    stored = LLVMBuildAnd(c->b, stored, cg_less(c, f.row, f.step), "");
    if (t->lead) {
        const Val alone = ptx_conv_alone(c, t->p, col);
        stored = LLVMBuildAnd(c->b, stored, LLVMBuildNot(c->b, alone, ""), "");
        f.row = cg_add(c, f.row, t->lead);
    }
    CgIf inside = cg_if(c, stored);
    const Val there = cg_sub(c, cg_min(c, t->rows, cg_i64(c, t->t->rows)), f.row);
    const Val rounded_up = cg_sub(c, cg_add(c, there, f.step), cg_i64(c, 1));
    const Val count = ptx_narrow_div(c, cg_max(c, cg_i64(c, 0), rounded_up), f.step);
    const Val whole = cg_mul(c, cg_div(c, count, cg_i64(c, unroll)), cg_i64(c, unroll));
    finish_rows(c, t, &f, cg_i64(c, 0), whole, unroll);
    finish_rows(c, t, &f, whole, count, 1);
    cg_endif(c, &inside);
}

static void
results(Cg *c, const PtxTiles *t)
{
    Val acc[PTX_MOST_ACC];
    for (int i = 0; i < t->naccs; i++)
        acc[i] = cg_get(c, c->f32, t->acc[i]);
    const PtxPiece piece = t->lead ? ptx_tile_piece(c, t) : (PtxPiece){0};
    const PtxConv conv = t->lead ? ptx_conv_part(c, t->p, &piece) : (PtxConv){0};
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
    case PRODUCT_WIDE:
        ptx_wide_put(c, t, acc);
        break;
    case PRODUCT_MMA:
    case PRODUCT_WGMMA:
        ptx_mma_put(c, t, acc);
        break;
    case PRODUCT_STREAM:
        die("product %s has no tiles", t->t->name);
    }
    if (t->block) {
        ptx_split_results(c, t);
        return;
    }
    ptx_barrier(c);
    ptx_tile_store(c, t);
    if (t->lead)
        ptx_conv_piece(c, &conv);
}

/* ---- which tile -------------------------------------------------------------------------------
 */

PtxTiles
ptx_tiles_open(const PtxLinear *p, const Product *product)
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
    const int64_t shared_by = product->method == PRODUCT_FMA   ? 1
                              : product_of_four_warps(product) ? GPU_WARPGROUP
                                                               : GPU_WARP;
    t.naccs = (int)(part / shared_by);
    t.threads = product_feeds(product) ? GPU_WARPGROUP : product->threads;
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
    const PtxTiles t = ptx_tiles_open(p, product);
    const int64_t ring = t.stage_bytes * product->stages;
    if (product_feeds(product))
        return ring + ptx_fed_bytes(p, product);
    const int64_t factors = p->normed ? product->rows : 0;
    const int64_t sums = (sums_count(product) + factors) * (int64_t)sizeof(float);
    const int64_t stages = ring + (product->method == PRODUCT_WIDE ? ptx_wide_bytes(product) : 0);
    return stages > sums ? stages : sums;
}

static int64_t
across(const PtxLinear *p, const Product *product)
{
    return ptx_parts(p->l.out, product->columns);
}

/* Rows that every tile makes at least: those with columns of a convolution make fewer, and where
 * those are the last of a pass the others have none. */
static int64_t
rows_each(const PtxLinear *p, const Product *product)
{
    return product->rows - (ptx_conv_of_runs(p) ? ptx_conv_beside(p) : 0);
}

/* How tiles are counted: rows of tiles of columns without a convolution and of those with one.
 * Those are fewer columns that follow each other, and more rows. */
typedef struct {
    int64_t plain, first, with; /* columns of tiles without one; first and number of those with */
    Val rows, with_rows;
} Spread;

static Spread
spread_of(Cg *c, const PtxLinear *p, const Product *product)
{
    Spread s = {.plain = across(p, product)};
    s.rows = s.with_rows = cg_div_up(c, p->rows, cg_i64(c, product->rows));
    if (!ptx_conv_of_runs(p))
        return s;
    const int64_t first = node_int(p->conv, ATTR_column, 0);
    s.first = first / product->columns;
    s.with = ptx_parts(first + cg_width(p->conv->out[0]), product->columns) - s.first;
    s.plain -= s.with;
    s.with_rows = cg_div_up(c, p->rows, cg_i64(c, rows_each(p, product)));
    return s;
}

Val
ptx_narrow_div(Cg *c, Val a, Val b)
{
    const Val x = LLVMBuildTrunc(c->b, a, c->i32, ""), y = LLVMBuildTrunc(c->b, b, c->i32, "");
    return LLVMBuildZExt(c->b, LLVMBuildUDiv(c->b, x, y, ""), c->i64, "");
}

/* Tiles of GROUP rows of tiles, column by column, those with a convolution first, which take
 * longest. The last group has what is left of both. */
PtxTile
ptx_tiles_at(Cg *c, const PtxLinear *p, const Product *product, Val number)
{
    const Spread s = spread_of(c, p, product);
    const Val group_rows = cg_i64(c, GROUP), in_each = cg_i64(c, GROUP * across(p, product));
    const Val whole = cg_div(c, s.rows, group_rows);
    const Val group = cg_min(c, cg_div(c, number, in_each), whole);
    const Val first = cg_mul(c, group, group_rows);
    const Val is_whole = cg_less(c, group, whole);
    Val in_group = cg_sub(c, number, cg_mul(c, group, in_each));
    Val rows = LLVMBuildSelect(c->b, is_whole, group_rows, cg_sub(c, s.rows, first), "");
    Val has = NULL;
    if (s.with) {
        const Val left = cg_sub(c, s.with_rows, first);
        const Val with_rows = LLVMBuildSelect(c->b, is_whole, group_rows, left, "");
        const Val with = cg_mul(c, with_rows, cg_i64(c, s.with));
        has = cg_less(c, in_group, with);
        rows = LLVMBuildSelect(c->b, has, with_rows, rows, "");
        in_group = LLVMBuildSelect(c->b, has, in_group, cg_sub(c, in_group, with), "");
    }
    Val right = ptx_narrow_div(c, in_group, rows);
    const Val down = cg_add(c, first, cg_sub(c, in_group, cg_mul(c, right, rows)));
    PtxTile at = {.weight = p->weight};
    Val each = cg_i64(c, product->rows);
    if (s.with) {
        const Val before = cg_less(c, right, cg_i64(c, s.first));
        const Val plain =
            LLVMBuildSelect(c->b, before, right, cg_add(c, right, cg_i64(c, s.with)), "");
        right = LLVMBuildSelect(c->b, has, cg_add(c, right, cg_i64(c, s.first)), plain, "");
        at.lead = LLVMBuildSelect(c->b, has, cg_i64(c, ptx_conv_beside(p)), cg_i64(c, 0), "");
        each = cg_sub(c, each, at.lead);
    }
    at.col = cg_mul(c, right, cg_i64(c, product->columns));
    at.row = cg_mul(c, down, each);
    at.rows = cg_sub(c, p->rows, at.row);
    return at;
}

Val
ptx_tiles_count(Cg *c, const PtxLinear *p, const Product *product)
{
    const Spread s = spread_of(c, p, product);
    return cg_add(c, cg_mul(c, s.rows, cg_i64(c, s.plain)),
                  cg_mul(c, s.with_rows, cg_i64(c, s.with)));
}

/* Where this thread's rows of a list are in memory. */
static void
side_list(Cg *c, const PtxTiles *t, PtxSide *s)
{
    const int step = t->threads / t->per;
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

/* Rows of x beside those that the tile makes come from where a convolution's piece has them. They
 * are among the first that threads copy. */
static void
side_lead(Cg *c, const PtxTiles *t, PtxSide *s)
{
    if (t->t->threads / t->per < ptx_conv_beside(t->p))
        die("product %s: threads copy too few rows at once", t->t->name);
    const Val made = cg_add(c, t->row, t->lead), own = cg_add(c, t->row, s->row);
    const Val of_piece = ptx_conv_source(c, t->p, s->row, made, t->begin);
    const Val beside = cg_less(c, s->row, t->lead);
    const Val row = LLVMBuildSelect(c->b, beside, of_piece, own, "");
    s->head = cg_element(c, s->o->base, s->o->dtype, row, s->stride, s->col);
}

void
ptx_tiles_place(Cg *c, PtxTiles *t, const PtxTile *tile)
{
    t->row = tile->lead ? cg_sub(c, tile->row, tile->lead) : tile->row;
    t->rows = tile->lead ? cg_add(c, tile->rows, tile->lead) : tile->rows;
    t->col = tile->col;
    t->lead = tile->lead;
    t->begin = tile->begin;
    t->x.count = t->rows;
}

void
ptx_tiles_sides(Cg *c, PtxTiles *t, const PtxTile *tile)
{
    const PtxLinear *p = t->p;
    Val first = cg_i64(c, 0); /* input */
    if (t->t->method == PRODUCT_SPLIT)
        first = range_of_block(c, t, tile->block);
    t->w.count = cg_sub(c, cg_i64(c, t->out), t->col);
    side_open(c, t, &t->w, cg_element(c, tile->weight, p->w->dtype, t->col, t->w.stride, first));
    t->begun = tile->waits;
    if (t->begun) {
        begin_weight(c, t);
        ptx_wait(c, p->k);
    }
    if (p->l.list) {
        side_open(c, t, &t->x, NULL);
        side_list(c, t, &t->x);
    } else {
        side_open(c, t, &t->x, cg_element(c, p->x->base, p->x->dtype, t->row, t->x.stride, first));
    }
}

void
ptx_tile(Cg *c, PtxLinear *p, const Product *product, Val shared, const PtxTile *tile)
{
    PtxTiles t = ptx_tiles_open(p, product);
    t.shared = shared;
    t.thread = ptx_thread(c);
    t.lane = ptx_lane(c);
    t.warp = ptx_warp(c);
    ptx_tiles_place(c, &t, tile);
    if (product->method != PRODUCT_WIDE) /* which copies boxes */
        ptx_tiles_sides(c, &t, tile);
    if (t.lead)
        side_lead(c, &t, &t.x);
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
     : product->method == PRODUCT_WIDE   ? ptx_wide_sums
                                         : sums)(c, &t);
    results(c, &t);
}

static void
tile_of_block(Cg *c, PtxLinear *p, const Product *product, Val shared)
{
    const Val block = ptx_block(c, 0);
    CgIf needed = cg_if(c, cg_less(c, block, ptx_tiles_count(c, p, product)));
    PtxTile at = ptx_tiles_at(c, p, product, block);
    if (at.lead)
        at.begin = ptx_conv_segment(c, p, at.row);
    ptx_tile(c, p, product, shared, &at);
    cg_endif(c, &needed);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

/* All small tiles, by blocks of more threads than they have. */
static void
small_tiles(Cg *c, PtxLinear *p, const Product *small, Val shared, int64_t blocks)
{
    CgIf own = cg_if(c, cg_less(c, ptx_thread(c), cg_i64(c, small->threads)));
    CgLoop tiles = cg_loop(c, "tile", ptx_block(c, 0), ptx_tiles_count(c, p, small), blocks);
    PtxTile at = ptx_tiles_at(c, p, small, tiles.i);
    if (at.lead)
        at.begin = ptx_conv_segment(c, p, at.row);
    ptx_tile(c, p, small, shared, &at);
    ptx_barrier(c);
    cg_loop_end(c, &tiles);
    cg_endif(c, &own);
}

/* How often all blocks make a tile, times the rows that each tile reads, of x and of W. */
static Val
time_of(Cg *c, const PtxLinear *p, const Product *product, int64_t blocks)
{
    const Val rounds = cg_div_up(c, ptx_tiles_count(c, p, product), cg_i64(c, blocks));
    return cg_mul(c, rounds, cg_i64(c, product->rows + product->columns));
}

/* Whether there are so few rows that large tiles would leave more than a quarter of the
 * multiprocessors idle. */
static Val
rows_are_few(Cg *c, const PtxLinear *p, const Product *large)
{
    const Val quarters = cg_mul(c, ptx_tiles_count(c, p, large), cg_i64(c, 4));
    return cg_less(c, quarters, cg_i64(c, 3 * (int64_t)c->machine->gpu.units));
}

/* What a convolution makes of its columns takes about as long as the products of a few inputs: its
 * small tiles are chosen as those that are not fed. */
static Val
small_is_faster(Cg *c, const PtxLinear *p, const Product *small, const Product *large,
                int64_t blocks)
{
    if (p->conv)
        return rows_are_few(c, p, large);
    return cg_less(c, time_of(c, p, small, blocks), time_of(c, p, large, blocks));
}

/* As many blocks as run at the same time make one tile after the other. */
static void
fed_tiles(Cg *c, PtxLinear *p)
{
    const Product *large = ptx_fed_even(c->arena, p), *small = p->small;
    const int64_t blocks = c->machine->gpu.units, a = ptx_tile_bytes(p, large);
    const int64_t b = small ? ptx_tile_bytes(p, small) : 0;
    ptx_threads(p->k, large->threads);
    ptx_resident(c, 1);
    ptx_grid(p->k, 0, ABI_ONE, blocks, 1, 1);
    const Val shared = ptx_shared(c, p->k, a > b ? a : b);
    CgIf few = {0};
    if (small) {
        few = cg_if(c, small_is_faster(c, p, small, large, blocks));
        small_tiles(c, p, small, shared, blocks);
        cg_else(c, &few);
    }
    ptx_fed_tiles(c, p, large, shared);
    if (small)
        cg_endif(c, &few);
}

void
ptx_linear_tiles(Cg *c, PtxLinear *p)
{
    const Product *large = p->product, *small = p->small ? p->small : large;
    if (product_feeds(large)) {
        fed_tiles(c, p);
        return;
    }
    const int64_t a = ptx_tile_bytes(p, large), b = ptx_tile_bytes(p, small);
    int64_t each = 1;
    const AbiCount of = ptx_count(p->l.y, &each);
    ptx_threads(p->k, large->threads);
    ptx_grid(p->k, 0, of, each, rows_each(p, small), across(p, small));
    const Val shared = ptx_shared(c, p->k, a > b ? a : b);
    if (small == large) {
        tile_of_block(c, p, large, shared);
        return;
    }
    CgIf few = cg_if(c, rows_are_few(c, p, large));
    tile_of_block(c, p, small, shared);
    cg_else(c, &few);
    tile_of_block(c, p, large, shared);
    cg_endif(c, &few);
}
