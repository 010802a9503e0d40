/* codegen/tile.c -- the register tile of every matrix product, staging of operands, and the shares
 * of segments and heads.
 *
 * A tile of rows x vecs accumulators reads, per step of the summed index, `vecs` vectors of the
 * right side and `rows` broadcasts of the left side for rows * vecs FMAs. Nothing here masks:
 * operands are staged in scratch that is padded to whole tiles, and what the padding computes is
 * not stored. */
#include <string.h>

#include "codegen/tile.h"

/* Multiply-adds a round of the k loop should have at least: enough to hide the loop's own few
 * instructions. A full tile has them in one step; more would only cost compile time
 * (bench/NOTES.md). */
enum { MACS_A_ROUND = 16 };

/* ---- the tile ---------------------------------------------------------------------------- */

CgTile
cg_tile(Cg *c, int rows, int vecs, int lanes)
{
    CgTile tile = {.rows = rows, .vecs = vecs, .lanes = lanes};
    if (rows * vecs > TILE_MOST)
        die("a tile of %d x %d vectors is more than %d", rows, vecs, (int)TILE_MOST);
    const Val zero = cg_splat(c, cg_f32(c, 0), lanes);
    for (int i = 0; i < rows * vecs; i++)
        tile.acc[i] = cg_var(c, cg_vec_type(c, lanes), zero, "acc");
    return tile;
}

static Val
multiply_add(Cg *c, const CgTile *tile, const CgSide *side, Val left, Val right, Val acc)
{
    if (side->dtype == DTYPE_i32)
        return cg_dot_bf16(c, acc, left, right, tile->lanes);
    return cg_fma(c, left, right, acc);
}

/* One step of the summed index; left and right point at that step's element 0. */
static void
mac_step(Cg *c, const CgTile *tile, const CgSide *left, Val left_at, const CgSide *right,
         Val right_at)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    Val row[TILE_MOST];
    for (int v = 0; v < tile->vecs; v++) {
        const Val at = cg_at(c, right_at, right->dtype, cg_i64(c, (int64_t)v * tile->lanes));
        row[v] = cg_vload(c, at, right->dtype, tile->lanes, NULL);
    }
    for (int r = 0; r < tile->rows; r++) {
        const Val at = cg_at(c, left_at, left->dtype, cg_i64(c, r * left->stride));
        const Val one = cg_vload(c, at, left->dtype, 1, NULL);
        const Val splat = cg_splat(c, one, tile->lanes);
        for (int v = 0; v < tile->vecs; v++) {
            const Val acc = tile->acc[r * tile->vecs + v];
            cg_set(c, acc, multiply_add(c, tile, left, splat, row[v], cg_get(c, type, acc)));
        }
    }
}

/* Steps k .. k + count - 1. */
static void
mac_steps(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val k, int count)
{
    const Val l = cg_at(c, left->base, left->dtype, cg_mul(c, k, cg_i64(c, left->step)));
    const Val r = cg_at(c, right->base, right->dtype, cg_mul(c, k, cg_i64(c, right->step)));
    for (int ahead = 0; ahead < count; ahead++)
        mac_step(c, tile, left, cg_at(c, l, left->dtype, cg_i64(c, ahead * left->step)), right,
                 cg_at(c, r, right->dtype, cg_i64(c, ahead * right->step)));
}

static int
unroll_of(const CgTile *tile)
{
    int steps = 1;
    while (steps * tile->rows * tile->vecs < MACS_A_ROUND)
        steps *= 2;
    return steps;
}

void
cg_tile_mac(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val from, Val to)
{
    const int steps = unroll_of(tile);
    const Val round = cg_i64(c, steps);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), round), round);
    const Val middle = cg_add(c, from, whole);
    CgLoop loop = cg_loop(c, "k", from, middle, steps);
    mac_steps(c, tile, left, right, loop.i, steps);
    cg_loop_end(c, &loop);
    if (steps == 1)
        return;
    CgLoop rest = cg_loop(c, "k_rest", middle, to, 1);
    mac_steps(c, tile, left, right, rest.i, 1);
    cg_loop_end(c, &rest);
}

void
cg_tile_scale(Cg *c, const CgTile *tile, Val factors)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    for (int r = 0; r < tile->rows; r++) {
        const Val one = cg_vload(c, cg_at(c, factors, DTYPE_f32, cg_i64(c, r)), DTYPE_f32, 1, NULL);
        const Val splat = cg_splat(c, one, tile->lanes);
        for (int v = 0; v < tile->vecs; v++) {
            const Val acc = tile->acc[r * tile->vecs + v];
            cg_set(c, acc, cg_fmul(c, cg_get(c, type, acc), splat));
        }
    }
}

Val
cg_tile_get(Cg *c, const CgTile *tile, int r, int v)
{
    return cg_get(c, cg_vec_type(c, tile->lanes), tile->acc[r * tile->vecs + v]);
}

void
cg_tile_store_as(Cg *c, const CgTile *tile, Val to, Dtype dtype, int64_t stride)
{
    for (int r = 0; r < tile->rows; r++)
        for (int v = 0; v < tile->vecs; v++) {
            const int64_t element = r * stride + (int64_t)v * tile->lanes;
            const Val at = cg_at(c, to, dtype, cg_i64(c, element));
            cg_vstore(c, at, dtype, cg_tile_get(c, tile, r, v), tile->lanes, NULL);
        }
}

void
cg_tile_store(Cg *c, const CgTile *tile, Val to, int64_t stride)
{
    cg_tile_store_as(c, tile, to, DTYPE_f32, stride);
}

/* ---- rows and columns -------------------------------------------------------------------- */

typedef struct {
    const Value *v;
    Val to, first;    /* the staged row, and the column that goes to its start */
    Val factor;       /* NULL: 1 */
    Val below_factor; /* of the next row */
    bool alone;       /* there is no next row to pair with */
    Dtype dtype;
} StageRow;

static Val
stage_value(Cg *c, CgKernel *k, const StageRow *s, const CgSite *at, Val factor)
{
    cg_unbind_all(k);
    const Val v = cg_eval(c, k, s->v, at);
    return factor ? cg_fmul(c, v, cg_splat(c, factor, at->lanes)) : v;
}

static void
stage_columns(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const StageRow *s = user;
    const Val to = cg_at(c, s->to, s->dtype, cg_sub(c, at->col, s->first));
    cg_vstore(c, to, s->dtype, stage_value(c, k, s, at, s->factor), at->lanes, NULL);
}

static Val
row_factor(Cg *c, const CgBlock *from, Val row)
{
    if (!from->factors)
        return NULL;
    return cg_vload(c, cg_at(c, from->factors, DTYPE_f32, row), DTYPE_f32, 1, NULL);
}

void
cg_stage(Cg *c, CgKernel *k, const CgBlock *from, Val to, Dtype dtype, int64_t stride)
{
    StageRow s = {.v = from->v, .first = from->col, .dtype = dtype};
    CgLoop rows = cg_loop(c, "stage", cg_i64(c, 0), from->count, 1);
    s.to = cg_at(c, to, dtype, cg_mul(c, rows.i, cg_i64(c, stride)));
    s.factor = row_factor(c, from, rows.i);
    const Val row = cg_add(c, from->row, rows.i);
    const Val end = cg_add(c, from->col, cg_i64(c, from->width));
    cg_columns(c, k, row, from->col, end, c->lanes, stage_columns, &s);
    cg_loop_end(c, &rows);
}

/* ---- pairs ------------------------------------------------------------------------------- */

/* The 2 * lanes elements of a and b: all of a first, or one of each in turn. */
static Val
join(Cg *c, Val a, Val b, bool in_turn)
{
    const int lanes = cg_lanes_of(a);
    Val pick[2 * TILE_MOST];
    for (int i = 0; i < 2 * lanes; i++) {
        const int from = in_turn ? i / 2 + i % 2 * lanes : i;
        pick[i] = LLVMConstInt(c->i32, (unsigned)from, 0);
    }
    return LLVMBuildShuffleVector(c->b, a, b, LLVMConstVector(pick, (unsigned)(2 * lanes)), "");
}

static Val
half_of(Cg *c, Val bits, int half)
{
    const int lanes = cg_lanes_of(bits) / 2;
    Val pick[TILE_MOST];
    for (int i = 0; i < lanes; i++)
        pick[i] = LLVMConstInt(c->i32, (unsigned)(half * lanes + i), 0);
    return LLVMBuildShuffleVector(c->b, bits, bits, LLVMConstVector(pick, (unsigned)lanes), "");
}

/* <2 * lanes x i16>: a rounded, then b. One instruction rounds both where the CPU has it. */
static Val
round_both(Cg *c, Val a, Val b)
{
    const bool x86 = c->machine->arch == ARCH_x86_64;
    if (!c->machine->bf16_dot || !x86 || cg_lanes_of(a) != 16)
        return cg_bf16_bits(c, join(c, a, b, false));
    Val args[] = {b, a};
    const Val both = cg_intrinsic(c, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", NULL, 0, args, 2);
    return LLVMBuildBitCast(c->b, both, LLVMVectorType(c->i16, 32), "");
}

Val
cg_bf16_pairs(Cg *c, Val even, Val odd)
{
    const int lanes = cg_lanes_of(even);
    if (lanes > 1) {
        const Val bits = round_both(c, even, odd);
        const Val pairs = join(c, half_of(c, bits, 0), half_of(c, bits, 1), true);
        return LLVMBuildBitCast(c->b, pairs, cg_vec_of(c->i32, lanes), "");
    }
    const Val low = LLVMBuildZExt(c->b, cg_bf16_bits(c, even), c->i32, "");
    const Val high = LLVMBuildZExt(c->b, cg_bf16_bits(c, odd), c->i32, "");
    return LLVMBuildOr(c->b, low, LLVMBuildShl(c->b, high, LLVMConstInt(c->i32, 16, 0), ""), "");
}

static void
stage_pair_columns(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const StageRow *s = user;
    CgSite next = *at;
    next.row = cg_add(c, at->row, cg_i64(c, 1));
    const Val even = stage_value(c, k, s, at, s->factor);
    const Val odd = s->alone ? cg_like(c, even, 0) : stage_value(c, k, s, &next, s->below_factor);
    const Val to = cg_at(c, s->to, DTYPE_i32, cg_sub(c, at->col, s->first));
    cg_vstore(c, to, DTYPE_i32, cg_bf16_pairs(c, even, odd), at->lanes, NULL);
}

/* Row i of the block, with the row below it or with zeros. */
static void
stage_pair(Cg *c, CgKernel *k, const CgBlock *from, StageRow *s, Val i)
{
    const Val end = cg_add(c, from->col, cg_i64(c, from->width));
    s->factor = row_factor(c, from, i);
    cg_columns(c, k, cg_add(c, from->row, i), from->col, end, c->lanes, stage_pair_columns, s);
}

void
cg_stage_pairs(Cg *c, CgKernel *k, const CgBlock *from, Val to, int64_t stride)
{
    StageRow s = {.v = from->v, .first = from->col, .dtype = DTYPE_i32};
    const Val two = cg_i64(c, 2), line = cg_i64(c, stride);
    const Val whole = cg_mul(c, cg_div(c, from->count, two), two);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, 0), whole, 2);
    s.to = cg_at(c, to, DTYPE_i32, cg_mul(c, cg_div(c, pair.i, two), line));
    s.below_factor = row_factor(c, from, cg_add(c, pair.i, cg_i64(c, 1)));
    stage_pair(c, k, from, &s, pair.i);
    cg_loop_end(c, &pair);
    CgIf odd = cg_if(c, cg_less(c, whole, from->count));
    s.to = cg_at(c, to, DTYPE_i32, cg_mul(c, cg_div(c, whole, two), line));
    s.alone = true;
    stage_pair(c, k, from, &s, whole);
    cg_endif(c, &odd);
}

/* ---- transposition ----------------------------------------------------------------------- */

/* Swaps the blocks of `size` lanes off the diagonal of each square of 2 size: rows a above, b
 * below. */
static void
swap_blocks(Cg *c, Val *a, Val *b, int size, int lanes)
{
    Val upper[TILE_MOST], lower[TILE_MOST];
    for (int i = 0; i < lanes; i++) {
        const int above = i & size ? lanes + i - size : i;
        const int below = i & size ? lanes + i : i + size;
        upper[i] = LLVMConstInt(c->i32, (unsigned)above, 0);
        lower[i] = LLVMConstInt(c->i32, (unsigned)below, 0);
    }
    const Val first = *a, second = *b;
    *a = LLVMBuildShuffleVector(c->b, first, second, LLVMConstVector(upper, (unsigned)lanes), "");
    *b = LLVMBuildShuffleVector(c->b, first, second, LLVMConstVector(lower, (unsigned)lanes), "");
}

/* A square of vectors: blocks of half its size change places, then those of a quarter ... */
static void
transpose_square(Cg *c, Val *row, int lanes)
{
    for (int size = lanes / 2; size >= 1; size /= 2)
        for (int i = 0; i < lanes; i++)
            if (!(i & size))
                swap_blocks(c, &row[i], &row[i + size], size, lanes);
}

void
cg_transpose(Cg *c, Dtype dtype, CgMatrix from, CgMatrix to, Val rows, int64_t cols)
{
    const int lanes = c->lanes;
    CgLoop i = cg_loop(c, "rows", cg_i64(c, 0), rows, lanes);
    CgLoop j = cg_loop(c, "cols", cg_i64(c, 0), cg_i64(c, cols), lanes);
    Val row[TILE_MOST];
    for (int r = 0; r < lanes; r++) {
        const Val line = cg_mul(c, cg_add(c, i.i, cg_i64(c, r)), cg_i64(c, from.stride));
        row[r] = cg_vload(c, cg_at(c, from.base, dtype, cg_add(c, line, j.i)), dtype, lanes, NULL);
    }
    transpose_square(c, row, lanes);
    for (int r = 0; r < lanes; r++) {
        const Val line = cg_mul(c, cg_add(c, j.i, cg_i64(c, r)), cg_i64(c, to.stride));
        cg_vstore(c, cg_at(c, to.base, dtype, cg_add(c, line, i.i)), dtype, row[r], lanes, NULL);
    }
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

/* ---- segments and heads ------------------------------------------------------------------ */

CgHeads
cg_heads(Cg *c, CgKernel *k, int64_t heads)
{
    CgHeads h = {0};
    const Val per = cg_i64(c, heads), zero = cg_i64(c, 0);
    cg_share(c, k, cg_mul(c, cg_call_field(c, k, CALL_nseg), per), 1, &h.from, &h.to);
    const Val end = cg_div(c, cg_add(c, h.to, cg_i64(c, heads - 1)), per);
    h.loop = cg_loop(c, "segment", cg_div(c, h.from, per), end, 1);
    const Val before = cg_mul(c, h.loop.i, per);
    h.first = cg_max(c, zero, cg_sub(c, h.from, before));
    h.last = cg_min(c, per, cg_sub(c, h.to, before));
    h.seg = cg_segment(c, k, h.loop.i);
    return h;
}

void
cg_heads_end(Cg *c, CgHeads *share)
{
    cg_loop_end(c, &share->loop);
}

void
cg_group_heads(Cg *c, CgKernel *k, int64_t heads, int64_t groups, CgGroupBody *body, void *user)
{
    const Val per = cg_i64(c, heads / groups);
    CgHeads share = cg_heads(c, k, heads);
    CgLoop group = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, groups), 1);
    const Val begin = cg_mul(c, group.i, per);
    const Val first = cg_max(c, share.first, begin);
    const Val last = cg_min(c, share.last, cg_add(c, begin, per));
    CgIf some = cg_if(c, cg_less(c, first, last));
    body(c, user, &share.seg, group.i, first, last);
    cg_endif(c, &some);
    cg_loop_end(c, &group);
    cg_heads_end(c, &share);
}
