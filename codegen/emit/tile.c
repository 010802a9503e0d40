/* codegen/emit/tile.c -- the register tile of every matrix product, staging of operands, and the
 * shares of segments and heads.
 *
 * A tile of rows x vecs accumulators reads, per step of the summed index, `vecs` vectors of the
 * right side and `rows` broadcasts of the left side for rows * vecs FMAs. Nothing here masks:
 * operands are staged in scratch that is padded to whole tiles, and what the padding computes is
 * not stored. */
#include <string.h>

#include "codegen/emit/tile.h"

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

/* Lines of vectors [from, to) at the place of a step. */
static void
ask_for(Cg *c, const CgTile *tile, Val at, int from, int to, int locality)
{
    const int64_t vector = 4 * tile->lanes, end = vector * to;
    for (int64_t line = vector * from; line < end; line += CG_LINE_BYTES)
        cg_prefetch(c, cg_offset(c, at, cg_i64(c, line)), locality);
}

/* What comes after the right side goes to the second level, what comes soon of it to the first: a
 * core waits for lines of the second level while many are on their way from memory (bench/NOTES.md,
 * "Decode of attention"). */
static void
ask_ahead(Cg *c, const CgTile *tile, const CgSide *right, const CgAhead *ahead, Val at, Val next)
{
    enum { SOON_BYTES = 2048 };
    const int64_t bytes = 4 * (int64_t)tile->lanes * tile->vecs, steps = SOON_BYTES / bytes;
    const Val soon = cg_at(c, at, right->dtype, cg_i64(c, right->step * (steps ? steps : 1)));
    ask_for(c, tile, soon, 0, tile->vecs, 3);
    ask_for(c, tile, next, ahead->first, ahead->end, 2);
}

/* acc + left * right of a row and a vector; left: one element, two where the right side is widened.
 */
static Val
mac_one(Cg *c, const CgSide *left, const CgSide *right, Val acc, const Val one[2], Val row,
        const Val wide[2])
{
    if (right->dtype != DTYPE_i32)
        return cg_fma(c, one[0], row, acc);
    if (left->dtype == DTYPE_i32)
        return cg_dot_bf16(c, acc, one[0], row, cg_lanes_of(row));
    return cg_fma(c, one[0], wide[0], cg_fma(c, one[1], wide[1], acc));
}

/* One step of the summed index; left and right point at that step's element 0. */
static void
mac_step(Cg *c, const CgTile *tile, const CgSide *left, Val left_at, const CgSide *right,
         Val right_at)
{
    const LLVMTypeRef type = cg_vec_type(c, tile->lanes);
    const bool widened = left->dtype == DTYPE_f32 && right->dtype == DTYPE_i32;
    Val row[TILE_MOST], wide[TILE_MOST][2] = {0};
    for (int v = 0; v < tile->vecs; v++) {
        const Val at = cg_at(c, right_at, right->dtype, cg_i64(c, (int64_t)v * tile->lanes));
        row[v] = cg_vload(c, at, right->dtype, tile->lanes, NULL);
        if (widened) {
            wide[v][0] = cg_as_float(c, cg_shl(c, row[v], 16));
            wide[v][1] = cg_as_float(c, cg_and(c, row[v], 0xffff0000u));
        }
    }
    for (int r = 0; r < tile->rows; r++) {
        Val one[2] = {0};
        for (int i = 0; i <= widened; i++) {
            const Val at = cg_at(c, left_at, left->dtype, cg_i64(c, r * left->stride + i));
            one[i] = cg_splat(c, cg_vload(c, at, left->dtype, 1, NULL), tile->lanes);
        }
        for (int v = 0; v < tile->vecs; v++) {
            const Val acc = tile->acc[r * tile->vecs + v], sum = cg_get(c, type, acc);
            cg_set(c, acc, mac_one(c, left, right, sum, one, row[v], wide[v]));
        }
    }
}

/* Steps k .. k + count - 1. */
static void
mac_steps(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, const CgAhead *ahead,
          Val k, int count)
{
    const Val l = cg_at(c, left->base, left->dtype, cg_mul(c, k, cg_i64(c, left->step)));
    const Val at = cg_mul(c, k, cg_i64(c, right->step));
    const Val r = cg_at(c, right->base, right->dtype, at);
    const Val next = ahead ? cg_at(c, ahead->next, right->dtype, at) : NULL;
    for (int i = 0; i < count; i++) {
        const Val step = cg_i64(c, i * right->step), here = cg_at(c, r, right->dtype, step);
        mac_step(c, tile, left, cg_at(c, l, left->dtype, cg_i64(c, i * left->step)), right, here);
        if (ahead)
            ask_ahead(c, tile, right, ahead, here, cg_at(c, next, right->dtype, step));
    }
}

void
cg_tile_mac(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val from, Val to)
{
    cg_tile_mac_ahead(c, tile, left, right, NULL, from, to);
}

void
cg_tile_mac_ahead(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right,
                  const CgAhead *ahead, Val from, Val to)
{
    int steps = 1;
    while (steps * tile->rows * tile->vecs < MACS_A_ROUND)
        steps *= 2;
    const Val round = cg_i64(c, steps);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), round), round);
    const Val middle = cg_add(c, from, whole);
    CgLoop loop = cg_loop(c, "k", from, middle, steps);
    mac_steps(c, tile, left, right, ahead, loop.i, steps);
    cg_loop_end(c, &loop);
    if (steps == 1)
        return;
    CgLoop rest = cg_loop(c, "k_rest", middle, to, 1);
    mac_steps(c, tile, left, right, ahead, rest.i, 1);
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
cg_tile_store(Cg *c, const CgTile *tile, Val to, Dtype dtype, int64_t stride)
{
    for (int r = 0; r < tile->rows; r++)
        for (int v = 0; v < tile->vecs; v++) {
            const int64_t element = r * stride + (int64_t)v * tile->lanes;
            const Val at = cg_at(c, to, dtype, cg_i64(c, element));
            cg_vstore(c, at, dtype, cg_tile_get(c, tile, r, v), tile->lanes, NULL);
        }
}

Val
cg_tile_mask(Cg *c, int64_t columns, int64_t width, Val p, int v)
{
    if (columns % width == 0)
        return NULL;
    const Val first = cg_add(c, p, cg_i64(c, (int64_t)v * c->lanes));
    return cg_mask_first(c, c->lanes, cg_sub(c, cg_i64(c, columns), first));
}

/* ---- rows and columns -------------------------------------------------------------------- */

static Val
stage_value(Cg *c, CgKernel *k, const CgRegion *from, const CgSite *at, Val factor)
{
    cg_unbind_all(k);
    const Val v = cg_eval(c, k, from->v, at);
    return factor ? cg_fmul(c, v, cg_splat(c, factor, at->lanes)) : v;
}

static Val
row_factor(Cg *c, const CgRegion *from, Val row)
{
    if (!from->factors)
        return NULL;
    return cg_vload(c, cg_at(c, from->factors, DTYPE_f32, row), DTYPE_f32, 1, NULL);
}

static Val
region_row(Cg *c, const CgRegion *from, Val i)
{
    const Val row = cg_add(c, from->row, i);
    if (!from->list)
        return row;
    return cg_div(c, cg_load_index(c, from->list, row), cg_i64(c, from->each));
}

void
cg_stage(Cg *c, CgKernel *k, const CgRegion *from, Val to, Dtype dtype, int64_t stride)
{
    CgLoop rows = cg_loop(c, "stage", cg_i64(c, 0), from->count, 1);
    const Val line = cg_at(c, to, dtype, cg_mul(c, rows.i, cg_i64(c, stride)));
    const Val factor = row_factor(c, from, rows.i);
    const Val row = region_row(c, from, rows.i);
    const Val end = cg_add(c, from->col, cg_i64(c, from->width));
    for (CgColumns s = cg_columns(c, row, from->col, end, c->lanes); cg_columns_next(c, &s);) {
        const Val at = cg_at(c, line, dtype, cg_sub(c, s.at.col, from->col));
        const Val value = stage_value(c, k, from, &s.at, factor);
        cg_vstore(c, at, dtype, value, s.at.lanes, NULL);
    }
    cg_loop_end(c, &rows);
}

/* ---- pairs ------------------------------------------------------------------------------- */

/* The 2 * lanes elements of a and b: all of a first, or one of each in turn. */
static Val
join(Cg *c, Val a, Val b, bool in_turn)
{
    const int lanes = cg_lanes_of(a);
    int pick[2 * TILE_MOST];
    for (int i = 0; i < 2 * lanes; i++)
        pick[i] = in_turn ? i / 2 + i % 2 * lanes : i;
    return cg_shuffle(c, a, b, pick, 2 * lanes);
}

/* One instruction rounds both where the CPU has it. */
Val
cg_bf16_both(Cg *c, Val a, Val b)
{
    if (!c->machine->bf16_dot || !cg_on_x86(c) || cg_lanes_of(a) != 16)
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
        const Val bits = cg_bf16_both(c, even, odd);
        const Val high = cg_slice(c, bits, lanes, lanes), low = cg_slice(c, bits, 0, lanes);
        const Val pairs = join(c, low, high, true);
        return LLVMBuildBitCast(c->b, pairs, cg_vec_of(c->i32, lanes), "");
    }
    const Val low = LLVMBuildZExt(c->b, cg_bf16_bits(c, even), c->i32, "");
    const Val high = LLVMBuildZExt(c->b, cg_bf16_bits(c, odd), c->i32, "");
    return LLVMBuildOr(c->b, low, cg_shl(c, high, 16), "");
}

/* Row i of the region as pairs with the row below it, or with zeros where it is alone. */
static void
stage_pair(Cg *c, CgKernel *k, const CgRegion *from, Val line, Val i, bool alone)
{
    const Val one = cg_i64(c, 1);
    const Val below = alone ? NULL : row_factor(c, from, cg_add(c, i, one));
    const Val end = cg_add(c, from->col, cg_i64(c, from->width));
    const Val factor = row_factor(c, from, i), row = cg_add(c, from->row, i);
    for (CgColumns s = cg_columns(c, row, from->col, end, c->lanes); cg_columns_next(c, &s);) {
        CgSite next = s.at;
        next.row = cg_add(c, s.at.row, one);
        const Val even = stage_value(c, k, from, &s.at, factor);
        const Val odd = alone ? cg_like(c, even, 0) : stage_value(c, k, from, &next, below);
        const Val at = cg_at(c, line, DTYPE_i32, cg_sub(c, s.at.col, from->col));
        cg_vstore(c, at, DTYPE_i32, cg_bf16_pairs(c, even, odd), s.at.lanes, NULL);
    }
}

void
cg_stage_pairs(Cg *c, CgKernel *k, const CgRegion *from, Val to, int64_t stride)
{
    const Val two = cg_i64(c, 2), length = cg_i64(c, stride);
    const Val whole = cg_mul(c, cg_div(c, from->count, two), two);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, 0), whole, 2);
    const Val line = cg_at(c, to, DTYPE_i32, cg_mul(c, cg_div(c, pair.i, two), length));
    stage_pair(c, k, from, line, pair.i, false);
    cg_loop_end(c, &pair);
    CgIf odd = cg_if(c, cg_less(c, whole, from->count));
    const Val last = cg_at(c, to, DTYPE_i32, cg_mul(c, cg_div(c, whole, two), length));
    stage_pair(c, k, from, last, whole, true);
    cg_endif(c, &odd);
}

/* ---- transposition ----------------------------------------------------------------------- */

/* Blocks of half the square's size change places across the diagonal, then those of a quarter ...
 */
void
cg_transpose_square(Cg *c, Val *row, int lanes)
{
    int above[TILE_MOST], below[TILE_MOST];
    for (int size = lanes / 2; size >= 1; size /= 2) {
        for (int i = 0; i < lanes; i++) {
            above[i] = i & size ? lanes + i - size : i;
            below[i] = i & size ? lanes + i : i + size;
        }
        for (int i = 0; i < lanes; i++) {
            if (i & size)
                continue;
            const Val first = row[i], second = row[i + size];
            row[i] = cg_shuffle(c, first, second, above, lanes);
            row[i + size] = cg_shuffle(c, first, second, below, lanes);
        }
    }
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
    cg_transpose_square(c, row, lanes);
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
    const Val end = cg_div_up(c, h.to, per);
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

CgGroup
cg_group(Cg *c, CgKernel *k, int64_t heads, int64_t groups)
{
    CgGroup g = {.heads = cg_heads(c, k, heads)};
    const Val per = cg_i64(c, heads / groups);
    g.loop = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, groups), 1);
    const Val begin = cg_mul(c, g.loop.i, per);
    g.first = cg_max(c, g.heads.first, begin);
    g.last = cg_min(c, g.heads.last, cg_add(c, begin, per));
    g.some = cg_if(c, cg_less(c, g.first, g.last));
    return g;
}

void
cg_group_end(Cg *c, CgGroup *g)
{
    cg_endif(c, &g->some);
    cg_loop_end(c, &g->loop);
    cg_heads_end(c, &g->heads);
}
