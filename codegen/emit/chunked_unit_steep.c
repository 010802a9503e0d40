/* codegen/emit/chunked_unit_steep.c -- the chunked SSD kernel on the matrix unit where decay is
 * steep: left operands with decays in them, keep_i C_i and M_ij = CB_ij exp(a_i - a_j) dt_j, for
 * one block of rows.
 *
 * With f the first of a tile's 16 rows, exp(a_i - a_j) = exp(a_i - a_f) exp(a_f - a_j). Tokens
 * before f have both exponents at most 0; s->m_weight holds the second factor times dt_j, and
 * is multiplied by exp(a_f - a_e) when the tile that began at e is done. The tile's own tokens have
 * a positive second exponent: where it is at most DECAY_RANGE they are like the others, and CB's
 * zeros are M's; else they are done again, pair by pair. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP };

static Val
load_f32(Cg *c, Val base, Val index, int lanes)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, lanes, NULL);
}

/* weight of tokens [from, to) for rows that begin at a. */
static void
weigh(Cg *c, const Chunked *s, CgSum a, Val from, Val to)
{
    CgLoop j = cg_loop(c, "weight", from, to, c->lanes);
    const Val dt = load_f32(c, s->decay.step, j.i, c->lanes);
    const Val weight = cg_fmul(c, cg_decay_since(c, &s->decay, a, j.i), dt);
    cg_vstore(c, cg_at(c, s->m_weight, DTYPE_f32, j.i), DTYPE_f32, weight, c->lanes, NULL);
    cg_loop_end(c, &j);
}

/* Weights of all tokens up to the tile's last, for the tile that begins at `first`. */
static void
weigh_tile(Cg *c, const Chunked *s, Val first)
{
    const Val side = cg_i64(c, SIDE), before = cg_sub(c, first, side);
    const CgSum a = cg_decay_at(c, &s->decay, first);
    CgIf later = cg_if(c, cg_less(c, cg_i64(c, 0), first));
    const Val faded = cg_decay_until(c, &s->decay, cg_decay_at(c, &s->decay, before), first);
    const Val factor =
        cg_splat(c, LLVMBuildExtractElement(c->b, faded, cg_i64(c, 0), ""), c->lanes);
    CgLoop j = cg_loop(c, "fade", cg_i64(c, 0), before, c->lanes);
    const Val at = cg_at(c, s->m_weight, DTYPE_f32, j.i);
    const Val weight = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, weight, factor), c->lanes, NULL);
    cg_loop_end(c, &j);
    weigh(c, s, a, before, first);
    cg_endif(c, &later);
    const Val end = cg_add(c, first, side);
    weigh(c, s, a, first, end);
    for (int64_t v = 0; v < SIDE; v += c->lanes) /* the step may have as many more, where CB is 0 */
        cg_vstore(c, cg_at(c, s->m_weight, DTYPE_f32, cg_add(c, end, cg_i64(c, v))), DTYPE_f32,
                  cg_splat(c, cg_f32(c, 0), c->lanes), c->lanes, NULL);
    for (int64_t r = 0; r < SIDE; r += c->lanes) /* exp(a_i - a_f) of the tile's rows */
        cg_vstore(c, cg_at(c, s->since, DTYPE_f32, cg_i64(c, r)), DTYPE_f32,
                  cg_decay_until(c, &s->decay, a, cg_add(c, first, cg_i64(c, r))), c->lanes, NULL);
}

/* Even and odd elements of pairs of bf16, as f32, lane by lane. */
static void
halves(Cg *c, Val pairs, Val half[2])
{
    half[0] = cg_as_float(c, cg_shl(c, pairs, 16));
    half[1] = cg_as_float(c, cg_and(c, pairs, 0xffff0000u));
}

/* Weights of 2 * lanes tokens from j on: those of even ones, then of odd ones. */
static void
weight_halves(Cg *c, Val weight, int64_t j, Val half[2])
{
    int even[TILE_MOST], odd[TILE_MOST];
    for (int i = 0; i < c->lanes; i++) {
        even[i] = 2 * i;
        odd[i] = 2 * i + 1;
    }
    const Val a = load_f32(c, weight, cg_i64(c, j), c->lanes);
    const Val b = load_f32(c, weight, cg_i64(c, j + c->lanes), c->lanes);
    half[0] = cg_shuffle(c, a, b, even, c->lanes);
    half[1] = cg_shuffle(c, a, b, odd, c->lanes);
}

/* Rows of one step of left operands: to = factor_i from_ij weight_j. weight: NULL: 1. */
static void
scale_step(Cg *c, ChunkedRows from, Val to, Val factors, Val weight)
{
    const int64_t pairs = STEP / 2;
    Val w[STEP][2];
    for (int64_t j = 0; weight && j < pairs; j += c->lanes)
        weight_halves(c, weight, 2 * j, w[j]);
    CgLoop r = cg_loop(c, "row", cg_i64(c, 0), cg_i64(c, SIDE), 1);
    const Val line = cg_mul(c, r.i, cg_i64(c, pairs));
    const Val row = cg_offset(c, from.at, cg_mul(c, r.i, from.stride));
    const Val factor = cg_splat(c, load_f32(c, factors, r.i, 1), c->lanes);
    for (int64_t j = 0; j < pairs; j += c->lanes) {
        const Val at = cg_add(c, line, cg_i64(c, j));
        Val half[2];
        halves(c, cg_vload(c, cg_at(c, row, DTYPE_i32, cg_i64(c, j)), DTYPE_i32, c->lanes, NULL),
               half);
        for (int h = 0; h < 2; h++)
            half[h] = cg_fmul(c, weight ? cg_fmul(c, half[h], w[j][h]) : half[h], factor);
        cg_vstore(c, cg_at(c, to, DTYPE_i32, at), DTYPE_i32, cg_bf16_pairs(c, half[0], half[1]),
                  c->lanes, NULL);
    }
    cg_loop_end(c, &r);
}

/* The tile's own tokens, pair by pair: cb and m are its rows there. */
static void
m_diagonal(Cg *c, const Chunked *s, Val first, Val cb, Val m)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    CgLoop r = cg_loop(c, "diagonal", cg_i64(c, 0), cg_i64(c, SIDE), 1);
    const CgSum a = cg_decay_at(c, &s->decay, cg_add(c, first, r.i));
    for (int64_t v = 0; v < SIDE; v += c->lanes) {
        const Val j = cg_add(c, first, cg_i64(c, v));
        const Val lower = cg_mask_first(c, c->lanes, cg_sub(c, r.i, cg_i64(c, v - 1)));
        const Val weight =
            cg_fmul(c, cg_decay_since(c, &s->decay, a, j), load_f32(c, s->decay.step, j, c->lanes));
        const Val at = cg_add(c, cg_mul(c, r.i, cg_i64(c, STEP)), cg_i64(c, v));
        const Val x = cg_vload(c, cg_at(c, cb, DTYPE_bf16, at), DTYPE_bf16, c->lanes, NULL);
        cg_vstore(c, cg_at(c, m, DTYPE_bf16, at), DTYPE_bf16,
                  LLVMBuildSelect(c->b, lower, cg_fmul(c, x, weight), zeros, ""), c->lanes, NULL);
    }
    cg_loop_end(c, &r);
}

/* M of a tile of rows, `steps` steps of it, into m. */
static void
steep_m(Cg *c, const Chunked *s, Val tile, Val steps, Val m)
{
    const Val first = cg_mul(c, tile, cg_i64(c, SIDE));
    const Val cb = chunked_tile(c, s->cb, cg_mul(c, tile, cg_i64(c, s->tiles.q_steps)));
    weigh_tile(c, s, first);
    CgLoop k = cg_loop(c, "m", cg_i64(c, 0), steps, 1);
    const Val weight = cg_at(c, s->m_weight, DTYPE_f32, cg_mul(c, k.i, cg_i64(c, STEP)));
    scale_step(c, chunked_tile_rows(c, cb, k.i), chunked_tile(c, m, k.i), s->since, weight);
    cg_loop_end(c, &k);
    const Val end = cg_add(c, first, cg_i64(c, SIDE - 1));
    const Val range =
        cg_fsub(c, load_f32(c, s->decay.high, first, 1), load_f32(c, s->decay.high, end, 1));
    CgIf steep = cg_if(
        c, LLVMBuildNot(c->b, LLVMBuildFCmp(c->b, LLVMRealOLE, range, cg_f32(c, DECAY_RANGE), ""),
                        ""));
    const Val step = cg_div(c, tile, cg_i64(c, STEP / SIDE));
    const Val half = cg_sub(c, first, cg_mul(c, step, cg_i64(c, STEP)));
    m_diagonal(c, s, first, cg_at(c, chunked_tile(c, cb, step), DTYPE_bf16, half),
               cg_at(c, chunked_tile(c, m, step), DTYPE_bf16, half));
    cg_endif(c, &steep);
}

void
chunked_unit_steep(Cg *c, const Chunked *s, Val tile)
{
    const TileUnit *t = &s->tiles;
    const Val last = cg_add(c, tile, cg_i64(c, t->rows - 1));
    const Val steps = cg_add(c, cg_div(c, last, cg_i64(c, STEP / SIDE)), cg_i64(c, 1));
    CgLoop r = cg_loop(c, "steep", cg_i64(c, 0), cg_i64(c, t->rows), 1);
    const Val at = cg_add(c, tile, r.i);
    const Val keep = cg_at(c, s->decay.keep, DTYPE_f32, cg_mul(c, at, cg_i64(c, SIDE)));
    const Val to = chunked_tile(c, s->c_kept, cg_mul(c, r.i, cg_i64(c, t->n_steps)));
    CgLoop k = cg_loop(c, "keep", cg_i64(c, 0), cg_i64(c, t->n_steps), 1);
    scale_step(c, chunked_unit_c_tile(c, s, at, k.i), chunked_tile(c, to, k.i), keep, NULL);
    cg_loop_end(c, &k);
    steep_m(c, s, at, steps, chunked_tile(c, s->m, cg_mul(c, r.i, cg_i64(c, t->q_steps))));
    cg_loop_end(c, &r);
}
