/* codegen/ptx/ptx_experts.c -- projections whose rows have experts: tiles of the rows of one
 * expert.
 *
 *     count the rows of each expert; so each has so many tiles, and the first is number begin[e]
 *     for each piece of work of this block: (a tile, and some of the columns)
 *         the expert whose tile it is; the list of the tile's rows, in their order
 *         the tile's product with the expert's matrix, for each of the columns (ptx_tiles.c)
 *
 * Blocks are as many as run at the same time, whatever the rows are: each counts by itself, as none
 * can leave another what it has found. Where there are tiles for all blocks, a piece of work has
 * all columns, so that a tile's rows are listed once. The list needs the rows' order, so that all
 * blocks divide an expert's rows into the same tiles: each warp counts those of its part of the
 * rows, then numbers them from those of the warps before. An expert without rows is not read. */
#include "codegen/ptx/linear.h"

typedef struct {
    PtxLinear *p;
    const Product *t;
    int64_t experts;
    Val chosen; /* the expert of each row */
    Val thread, lane, warp;
    Val begin;   /* shared i32 [experts + 1]: tiles before those of each */
    Val counts;  /* shared i32 [experts] */
    Val found;   /* shared i32: the expert of a tile */
    Val list;    /* shared i32 [rows of a tile] */
    Val in_warp; /* shared i32 [warps] */
} Experts;

static Val
narrow(Cg *c, Val wide)
{
    return LLVMBuildTrunc(c->b, wide, c->i32, "");
}

static void
put(Cg *c, Val base, Val index, Val value)
{
    LLVMBuildStore(c->b, narrow(c, value), cg_at(c, base, DTYPE_i32, index));
}

static Val
shared_ints(Cg *c, CgKernel *k, int64_t count)
{
    return ptx_shared(c, k, count * dtype_info[DTYPE_i32].bytes);
}

/* ---- tiles of each expert ----------------------------------------------------------------------
 */

static void
count_rows(Cg *c, const Experts *x)
{
    const Val rows = x->p->rows, zero = cg_i64(c, 0), experts = cg_i64(c, x->experts);
    CgLoop clear = cg_loop(c, "clear", x->thread, experts, x->t->threads);
    put(c, x->counts, clear.i, zero);
    cg_loop_end(c, &clear);
    ptx_barrier(c);
    CgLoop count = cg_loop(c, "count", x->thread, rows, x->t->threads);
    const Val at = cg_at(c, x->counts, DTYPE_i32, cg_load_index(c, x->chosen, count.i));
    LLVMBuildAtomicRMW(c->b, LLVMAtomicRMWBinOpAdd, at, LLVMConstInt(c->i32, 1, 0),
                       LLVMAtomicOrderingMonotonic, 0);
    cg_loop_end(c, &count);
    ptx_barrier(c);
}

static Val
tiles_of(Cg *c, const Experts *x, Val expert)
{
    return cg_div_up(c, cg_load_index(c, x->counts, expert), cg_i64(c, x->t->rows));
}

/* Each thread has some of the experts, and adds up the tiles of those before. */
static void
number_tiles(Cg *c, const Experts *x)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, x->experts + 1);
    CgLoop each = cg_loop(c, "begin", x->thread, end, x->t->threads);
    const Val sum = cg_var(c, c->i64, zero, "sum");
    CgLoop before = cg_loop(c, "before", zero, each.i, 1);
    cg_set(c, sum, cg_add(c, cg_get(c, c->i64, sum), tiles_of(c, x, before.i)));
    cg_loop_end(c, &before);
    put(c, x->begin, each.i, cg_get(c, c->i64, sum));
    cg_loop_end(c, &each);
    ptx_barrier(c);
}

/* ---- one tile ----------------------------------------------------------------------------------
 */

/* The expert of a tile: the thread that has it says so. */
static Val
find_expert(Cg *c, const Experts *x, Val tile)
{
    CgLoop each = cg_loop(c, "expert", x->thread, cg_i64(c, x->experts), x->t->threads);
    const Val first = cg_load_index(c, x->begin, each.i);
    const Val next = cg_load_index(c, x->begin, cg_add(c, each.i, cg_i64(c, 1)));
    const Val after = LLVMBuildNot(c->b, cg_less(c, tile, first), "");
    CgIf has = cg_if(c, LLVMBuildAnd(c->b, after, cg_less(c, tile, next), ""));
    put(c, x->found, cg_i64(c, 0), each.i);
    cg_endif(c, &has);
    cg_loop_end(c, &each);
    ptx_barrier(c);
    return cg_load_index(c, x->found, cg_i64(c, 0));
}

/* A walk over this warp's part of the rows, 32 at a time. */
typedef struct {
    CgLoop loop;
    Val row, mine; /* mine: i1, it is a row of the expert */
    Val votes;
} Walk;

static Walk
walk_begin(Cg *c, const Experts *x, Val expert)
{
    const int64_t warps = x->t->threads / GPU_WARP;
    const Val lanes = cg_i64(c, GPU_WARP), rows = x->p->rows;
    const Val each = cg_mul(c, cg_div_up(c, rows, cg_i64(c, warps * GPU_WARP)), lanes);
    const Val from = cg_mul(c, x->warp, each), to = cg_min(c, rows, cg_add(c, from, each));
    Walk w = {.loop = cg_loop(c, "row", from, to, GPU_WARP)};
    w.row = cg_add(c, w.loop.i, x->lane);
    const Val there = cg_less(c, w.row, to);
    const Val at = cg_load_index(c, x->chosen, cg_min(c, w.row, cg_sub(c, to, cg_i64(c, 1))));
    w.mine = LLVMBuildAnd(c->b, there, LLVMBuildICmp(c->b, LLVMIntEQ, at, expert, ""), "");
    w.votes = ptx_ballot(c, w.mine);
    return w;
}

static Val
rows_before(Cg *c, const Experts *x)
{
    Val sum = cg_i64(c, 0);
    for (int w = 0; w < x->t->threads / GPU_WARP; w++) {
        const Val of = cg_load_index(c, x->in_warp, cg_i64(c, w));
        const Val counts = cg_less(c, cg_i64(c, w), x->warp);
        sum = cg_add(c, sum, LLVMBuildSelect(c->b, counts, of, cg_i64(c, 0), ""));
    }
    return sum;
}

/* Puts the rows of an expert, from its row number `first` on, into the list. */
static void
list_rows(Cg *c, const Experts *x, Val expert, Val first)
{
    const Val zero = cg_i64(c, 0), sum = cg_var(c, c->i64, zero, "sum");
    const Val bit = LLVMConstInt(c->i32, 1, 0);
    Walk count = walk_begin(c, x, expert);
    cg_set(c, sum, cg_add(c, cg_get(c, c->i64, sum), ptx_count_bits(c, count.votes)));
    cg_loop_end(c, &count.loop);
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, x->lane, zero, ""));
    put(c, x->in_warp, x->warp, cg_get(c, c->i64, sum));
    cg_endif(c, &one);
    ptx_barrier(c);
    const Val next = cg_var(c, c->i64, cg_sub(c, rows_before(c, x), first), "next");
    const Val below = LLVMBuildSub(c->b, LLVMBuildShl(c->b, bit, narrow(c, x->lane), ""), bit, "");
    Walk list = walk_begin(c, x, expert);
    const Val base = cg_get(c, c->i64, next);
    const Val lower = ptx_count_bits(c, LLVMBuildAnd(c->b, list.votes, below, ""));
    const Val rank = cg_add(c, base, lower);
    const Val inside = LLVMBuildAnd(c->b, LLVMBuildNot(c->b, cg_less(c, rank, zero), ""),
                                    cg_less(c, rank, cg_i64(c, x->t->rows)), "");
    CgIf here = cg_if(c, LLVMBuildAnd(c->b, list.mine, inside, ""));
    put(c, x->list, rank, list.row);
    cg_endif(c, &here);
    cg_set(c, next, cg_add(c, base, ptx_count_bits(c, list.votes)));
    cg_loop_end(c, &list.loop);
    ptx_barrier(c);
}

/* ---- work --------------------------------------------------------------------------------------
 */

static void
work(Cg *c, const Experts *x, Val shared, Val tile, Val from, Val to)
{
    PtxLinear *p = x->p;
    const Val expert = find_expert(c, x, tile), rows = cg_i64(c, x->t->rows);
    const Val before = cg_load_index(c, x->begin, expert);
    const Val first = cg_mul(c, cg_sub(c, tile, before), rows);
    list_rows(c, x, expert, first);
    const Val matrix = cg_mul(c, expert, cg_i64(c, p->l.out));
    const Val weight = cg_element(c, p->weight, p->w->dtype, matrix, p->l.depth, cg_i64(c, 0));
    const Val left = cg_sub(c, cg_load_index(c, x->counts, expert), first);
    CgLoop columns = cg_loop(c, "columns", from, to, 1);
    const PtxTile at = {.row = cg_i64(c, 0),
                        .col = cg_mul(c, columns.i, cg_i64(c, x->t->columns)),
                        .rows = cg_min(c, rows, left),
                        .weight = weight};
    p->l.list = x->list;
    ptx_tile(c, p, x->t, shared, &at);
    ptx_barrier(c); /* all have read what the next tile writes over */
    cg_loop_end(c, &columns);
}

/* Blocks that run at the same time. */
static int64_t
blocks_of(const Cg *c, const Product *t, int64_t bytes)
{
    enum { MOST = 8, THREADS = 2048 };
    const Gpu *gpu = &c->machine->gpu;
    int64_t each = gpu->shared_bytes / bytes;
    each = each > THREADS / t->threads ? THREADS / t->threads : each;
    return gpu->units * (each < 1 ? 1 : each > MOST ? MOST : each);
}

void
ptx_linear_experts(Cg *c, PtxLinear *p)
{
    Experts x = {.p = p, .t = p->product, .experts = node_experts(p->k->kernel->anchor)};
    CgKernel *k = p->k;
    const int64_t across = ptx_parts(p->l.out, x.t->columns);
    ptx_threads(k, x.t->threads);
    x.chosen = cg_operand(k, p->l.e)->base;
    x.thread = ptx_thread(c);
    x.lane = ptx_lane(c);
    x.warp = ptx_warp(c);
    const Val shared = ptx_shared(c, k, round_up(ptx_tile_bytes(p, x.t), 128));
    x.begin = shared_ints(c, k, x.experts + 1);
    x.counts = shared_ints(c, k, x.experts);
    x.found = shared_ints(c, k, 1);
    x.list = shared_ints(c, k, x.t->rows);
    x.in_warp = shared_ints(c, k, x.t->threads / GPU_WARP);
    const int64_t blocks = blocks_of(c, x.t, k->launch.shared_bytes);
    ptx_grid(k, 0, ABI_ONE, blocks, 1, 1);
    count_rows(c, &x);
    number_tiles(c, &x);
    const Val one = cg_i64(c, 1), all = cg_i64(c, across);
    const Val tiles = cg_load_index(c, x.begin, cg_i64(c, x.experts));
    const Val plenty = cg_less(c, cg_i64(c, blocks - 1), tiles);
    const Val parts = LLVMBuildSelect(c->b, plenty, one, all, "");
    const Val columns = LLVMBuildSelect(c->b, plenty, all, one, "");
    CgLoop loop = cg_loop(c, "work", ptx_block(c, 0), cg_mul(c, tiles, parts), blocks);
    const Val tile = cg_div(c, loop.i, parts);
    const Val from = cg_mul(c, cg_sub(c, loop.i, cg_mul(c, tile, parts)), columns);
    work(c, &x, shared, tile, from, cg_add(c, from, columns));
    cg_loop_end(c, &loop);
}
