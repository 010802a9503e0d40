/* codegen/emit/attend_step.c -- attention on vectors: what rows of Q do with 64 tokens of the past,
 * before the first of them and after the last.
 *
 * m, l and O of a row change with every step (emit_attention.c); l is kept lane by lane. m stays
 * until a score is far above it, as in FlashAttention-4, so that after the first step sums are
 * seldom scaled. Rows of bf16 are multiplied as pairs, or widened to f32 where the CPU's dots are
 * slow. */
#include <math.h>

#include "codegen/emit/attend.h"

Val
attend_f32(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_f32, index);
}

Val
attend_one(Cg *c, Val base, Val index)
{
    return cg_vload(c, attend_f32(c, base, index), DTYPE_f32, 1, NULL);
}

Val
attend_rows(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val row)
{
    const int64_t channels = kept == a->values ? a->value_dim : a->head_dim;
    return cg_kept_group(c, base, kept->dtype, row, a->groups * channels, a->group, channels);
}

Val
attend_kept(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val at)
{
    return attend_rows(c, a, kept, base, cg_kept_row(c, a->k, kept->value->def, at));
}

/* ---- a block begins and ends --------------------------------------------------------------- */

/* Row token * together + head of Q. */
void
attend_queries(Cg *c, const Attend *a)
{
    const Dtype dtype = a->left == DTYPE_f32 ? DTYPE_f32 : DTYPE_bf16;
    const double log2e = 1.44269504088896340736, scale = a->cap > 0 ? a->scale : a->scale * log2e;
    const Val per = cg_i64(c, a->together);
    CgLoop row = cg_loop(c, "query", cg_i64(c, 0), a->nrows, 1);
    const Val token = cg_div(c, row.i, per);
    const Val head = cg_add(c, cg_mul(c, a->group, per), cg_sub(c, row.i, cg_mul(c, token, per)));
    const Val line = cg_at(c, a->q_rows, dtype, cg_mul(c, row.i, cg_i64(c, a->q_stride)));
    const Val from = cg_mul(c, head, cg_i64(c, a->head_dim));
    const Val end = cg_add(c, from, cg_i64(c, a->head_dim));
    const Val at = cg_add(c, cg_add(c, a->seg.row, a->first), token);
    for (CgColumns s = cg_columns(c, at, from, end, c->lanes); cg_columns_next(c, &s);) {
        cg_unbind_all(a->k);
        const Val q = cg_eval(c, a->k, a->q, &s.at);
        cg_vstore(c, cg_at(c, line, dtype, cg_sub(c, s.at.col, from)), dtype,
                  cg_fmul(c, q, cg_like(c, q, scale)), s.at.lanes, s.at.mask);
    }
    for (int64_t p = a->head_dim; a->on_unit && p < a->q_stride; p++) /* of a whole step */
        cg_vstore(c, cg_at(c, line, dtype, cg_i64(c, p)), dtype, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &row);
}

void
attend_clear(Cg *c, const Attend *a)
{
    const Val zero = cg_splat(c, cg_f32(c, 0), c->lanes), lowest = cg_like(c, zero, -0x1p100);
    const struct {
        Val at, value;
        int64_t count;
    } all[] = {
        {a->most, lowest, a->rows * a->sets               },
        {a->sum,  zero,   a->rows * a->sets * a->sum_lanes},
        {a->o,    zero,   a->rows * a->sets * a->o_stride },
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        CgLoop each = cg_loop(c, "clear", cg_i64(c, 0), cg_i64(c, all[i].count), c->lanes);
        cg_vstore(c, attend_f32(c, all[i].at, each.i), DTYPE_f32, all[i].value, c->lanes, NULL);
        cg_loop_end(c, &each);
    }
}

Val
attend_sum(Cg *c, const Attend *a, Val row)
{
    const Val at = attend_f32(c, a->sum, cg_mul(c, row, cg_i64(c, a->sum_lanes)));
    return cg_fold(c, cg_vload(c, at, DTYPE_f32, a->sum_lanes, NULL), cg_fadd);
}

/* ---- scores -------------------------------------------------------------------------------- */

static bool
widens(const Attend *a)
{
    return a->left == DTYPE_f32 && a->right == DTYPE_i32;
}

/* Elements of a row of Q or P on the left side, of so many numbers. */
static CgSide
left_side(Cg *c, const Attend *a, Val base, Val row, int64_t numbers)
{
    const int64_t stride = a->left == DTYPE_i32 ? numbers / 2 : numbers;
    const Val at = cg_at(c, base, a->left, cg_mul(c, row, cg_i64(c, stride)));
    return (CgSide){at, a->left, stride, widens(a) ? 2 : 1};
}

/* The tile at column `col` of the right side; `steps` of the summed index. */
static void
tile_mac(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, const CgAhead *ahead,
         Val col, int64_t steps)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, steps);
    if (!ahead) {
        cg_tile_mac(c, tile, left, right, zero, end);
        return;
    }
    const CgAhead own = {cg_at(c, ahead->next, right->dtype, col), ahead->first, ahead->end};
    cg_tile_mac_ahead(c, tile, left, right, &own, zero, end);
}

/* Rows of a tile, from `row` on; what it asks for of the next step's, or NULL. */
static void
scores(Cg *c, const Attend *a, Val keys, const CgAhead *ahead, Val row)
{
    CgLoop col = cg_loop(c, "s_col", cg_i64(c, 0), cg_i64(c, KEPT_GROUP), a->vecs * c->lanes);
    const CgTile tile = cg_tile(c, a->tall, a->vecs, c->lanes);
    const CgSide left = left_side(c, a, a->q_rows, row, a->q_stride);
    const CgSide right = {cg_at(c, keys, a->right, col.i), a->right, 1, KEPT_GROUP};
    tile_mac(c, &tile, &left, &right, ahead, col.i, a->head_dim / a->pairs);
    const Val to = cg_add(c, cg_mul(c, row, cg_i64(c, KEPT_GROUP)), col.i);
    cg_tile_store(c, &tile, attend_f32(c, a->s, to), DTYPE_f32, KEPT_GROUP);
    cg_loop_end(c, &col);
}

/* softcap tanh(s / softcap), times log2 e. */
Val
attend_capped(Cg *c, const Attend *a, Val s)
{
    const double log2e = 1.44269504088896340736;
    if (!(a->cap > 0))
        return s;
    const Val bounded = cg_tanh(c, cg_fmul(c, s, cg_like(c, s, 1 / a->cap)));
    return cg_fmul(c, bounded, cg_like(c, s, a->cap * log2e));
}

Val
attend_position(Cg *c, const Attend *a, Val row)
{
    const Val token = cg_add(c, a->first, cg_div(c, row, cg_i64(c, a->together)));
    return cg_add(c, a->seg.past, token);
}

static Val
lane_numbers(Cg *c, int lanes)
{
    Val n[TILE_MOST];
    for (int i = 0; i < lanes; i++)
        n[i] = cg_i64(c, i);
    return lanes > 1 ? LLVMConstVector(n, (unsigned)lanes) : n[0];
}

/* -inf where the token at `position` does not look: after itself, or before its window. */
Val
attend_masked(Cg *c, const Attend *a, Val s, Val from, Val position)
{
    const int lanes = cg_lanes_of(s);
    const LLVMTypeRef i32s = cg_vec_of(c->i32, lanes);
    const Val none = cg_like(c, s, -INFINITY);
    /* Numbers of lanes beside differences of positions: both are small where it matters. */
    const Val lane = LLVMBuildTrunc(c->b, lane_numbers(c, lanes), i32s, "");
    const Val bound = cg_i64(c, KEPT_GROUP);
    const Val after = cg_min(c, cg_sub(c, position, from), bound);
    const Val last = LLVMBuildTrunc(c->b, cg_max(c, after, cg_i64(c, -1)), c->i32, "");
    Val seen = LLVMBuildICmp(c->b, LLVMIntSLE, lane, cg_splat(c, last, lanes), "");
    if (a->window > 0) {
        const Val before = cg_sub(c, cg_sub(c, position, cg_i64(c, a->window)), from);
        const Val low = cg_min(c, cg_max(c, before, cg_i64(c, -1)), bound);
        const Val first = LLVMBuildTrunc(c->b, low, c->i32, "");
        const Val inside = LLVMBuildICmp(c->b, LLVMIntSGT, lane, cg_splat(c, first, lanes), "");
        seen = LLVMBuildAnd(c->b, seen, inside, "");
    }
    return LLVMBuildSelect(c->b, seen, s, none, "");
}

Val
attend_is_edge(Cg *c, const Attend *a)
{
    const Val first = cg_add(c, a->seg.past, a->first), one = cg_i64(c, 1);
    const Val last = cg_add(c, first, cg_sub(c, a->count, one));
    const Val after = cg_less(c, first, cg_add(c, a->at, cg_i64(c, a->step - 1)));
    if (a->window == 0)
        return after;
    const Val from = cg_sub(c, last, cg_i64(c, a->window - 1));
    return LLVMBuildOr(c->b, after, cg_less(c, a->at, from), "");
}

/* ---- weights ------------------------------------------------------------------------------- */

/* i1: some lane of x is above y's. */
static Val
any_above(Cg *c, Val x, Val y)
{
    const Val above = LLVMBuildFCmp(c->b, LLVMRealOGT, x, y, "");
    if (cg_lanes_of(x) == 1)
        return above;
    const LLVMTypeRef mask = LLVMIntTypeInContext(c->ctx, (unsigned)cg_lanes_of(x));
    const Val bits = LLVMBuildBitCast(c->b, above, mask, "");
    return LLVMBuildICmp(c->b, LLVMIntNE, bits, LLVMConstNull(mask), "");
}

/* m need not be the greatest score, as y is the same for any: 2^(score - m) reaches 2^RISE. */
enum { RISE = 8 };

/* The row's m is now at least the lanes of `most`: l and O are what they would have been. */
static void
row_rises(Cg *c, const Attend *a, Val row, Val most)
{
    const Val at = attend_f32(c, a->most, row), before = attend_one(c, a->most, row);
    const Val now = cg_vmax(c, before, cg_fold(c, most, cg_vmax));
    const Val factor = cg_exp2(c, cg_splat(c, cg_fsub(c, before, now), c->lanes));
    cg_vstore(c, at, DTYPE_f32, now, 1, NULL);
    const struct {
        Val at;
        int64_t count;
    } sums[] = {
        {attend_f32(c, a->sum, cg_mul(c, row, cg_i64(c, a->sum_lanes))), a->sum_lanes},
        {attend_f32(c, a->o,   cg_mul(c, row, cg_i64(c, a->o_stride))),  a->o_stride }
    };
    for (size_t i = 0; i < COUNT_OF(sums); i++) {
        CgLoop col = cg_loop(c, "rise", cg_i64(c, 0), cg_i64(c, sums[i].count), c->lanes);
        const Val sum = attend_f32(c, sums[i].at, col.i);
        const Val old = cg_vload(c, sum, DTYPE_f32, c->lanes, NULL);
        cg_vstore(c, sum, DTYPE_f32, cg_fmul(c, old, factor), c->lanes, NULL);
        cg_loop_end(c, &col);
    }
}

/* P of a row, and what it adds to l. */
static void
row_weights(Cg *c, const Attend *a, Val row, bool mask)
{
    const Dtype dtype = a->left == DTYPE_f32 ? DTYPE_f32 : DTYPE_bf16;
    const Val first = cg_mul(c, row, cg_i64(c, KEPT_GROUP));
    const Val position = mask ? attend_position(c, a, row) : NULL;
    Val score[KEPT_GROUP], most = NULL;
    const int vectors = KEPT_GROUP / c->lanes;
    for (int i = 0; i < vectors; i++) {
        const Val col = cg_i64(c, (int64_t)i * c->lanes);
        const Val at = attend_f32(c, a->s, cg_add(c, first, col));
        score[i] = attend_capped(c, a, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        if (mask)
            score[i] = attend_masked(c, a, score[i], cg_add(c, a->at, col), position);
        most = most ? cg_vmax(c, most, score[i]) : score[i];
    }
    const Val bound = cg_fadd(c, attend_one(c, a->most, row), cg_f32(c, RISE));
    CgIf rises = cg_if(c, any_above(c, most, cg_splat(c, bound, c->lanes)));
    row_rises(c, a, row, most);
    cg_endif(c, &rises);
    const Val now = cg_splat(c, attend_one(c, a->most, row), c->lanes);
    const Val at = attend_f32(c, a->sum, cg_mul(c, row, cg_i64(c, a->sum_lanes)));
    Val sum = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
    for (int i = 0; i < vectors; i++) {
        const Val weight = cg_exp2(c, cg_fsub(c, score[i], now));
        const Val element = cg_add(c, first, cg_i64(c, (int64_t)i * c->lanes));
        cg_vstore(c, cg_at(c, a->p, dtype, element), dtype, weight, c->lanes, NULL);
        sum = cg_fadd(c, sum, weight);
    }
    cg_vstore(c, at, DTYPE_f32, sum, c->lanes, NULL);
}

static void
weights(Cg *c, const Attend *a)
{
    CgIf edge = cg_if(c, attend_is_edge(c, a));
    for (int i = 0; i < 2; i++) {
        CgLoop row = cg_loop(c, "weight", cg_i64(c, 0), a->nrows, 1);
        row_weights(c, a, row.i, i == 0);
        cg_loop_end(c, &row);
        if (i == 0)
            cg_else(c, &edge);
    }
    cg_endif(c, &edge);
}

/* ---- sums ---------------------------------------------------------------------------------- */

/* O += P V of a tile, as scores has it. */
static void
outputs(Cg *c, const Attend *a, Val values, const CgAhead *ahead, Val row)
{
    CgLoop col = cg_loop(c, "o_col", cg_i64(c, 0), cg_i64(c, a->value_dim), a->wide * c->lanes);
    const CgTile tile = cg_tile(c, a->high, a->wide, c->lanes);
    const CgSide left = left_side(c, a, a->p, row, KEPT_GROUP);
    const CgSide right = {cg_at(c, values, a->right, col.i), a->right, 1, a->value_dim};
    tile_mac(c, &tile, &left, &right, ahead, col.i, KEPT_GROUP / a->pairs);
    for (int r = 0; r < a->high; r++) {
        const Val line = cg_add(c, row, cg_i64(c, r));
        const Val to = cg_add(c, cg_mul(c, line, cg_i64(c, a->o_stride)), col.i);
        for (int v = 0; v < a->wide; v++) {
            const Val at = attend_f32(c, a->o, cg_add(c, to, cg_i64(c, (int64_t)v * c->lanes)));
            const Val old = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
            const Val sum = cg_fadd(c, old, cg_tile_get(c, &tile, r, v));
            cg_vstore(c, at, DTYPE_f32, sum, c->lanes, NULL);
        }
    }
    cg_loop_end(c, &col);
}

/* ---- a step -------------------------------------------------------------------------------- */

typedef void RowsOf(Cg *c, const Attend *a, Val right, const CgAhead *ahead, Val row);

/* Tiles of `high` rows and `wide` vectors. The tiles of single tokens each ask for their share of
 * the vectors that are read next, so that memory is busy all the time. */
static void
in_tiles(Cg *c, const Attend *a, const AttendRead *read, int high, int wide, RowsOf part)
{
    const int64_t tiles = read->next ? (a->together + high - 1) / high : 0;
    const int asking = (int)(tiles < wide ? tiles : wide);
    for (int i = 0; i < asking; i++) {
        const CgAhead ahead = {read->next, i * wide / asking, (i + 1) * wide / asking};
        part(c, a, read->at, &ahead, cg_i64(c, (int64_t)i * high));
    }
    CgLoop row = cg_loop(c, "row", cg_i64(c, (int64_t)asking * high), a->nrows, high);
    part(c, a, read->at, NULL, row.i);
    cg_loop_end(c, &row);
}

void
attend_step(Cg *c, const Attend *a, const AttendRead *keys, const AttendRead *values)
{
    in_tiles(c, a, keys, a->tall, a->vecs, scores);
    weights(c, a);
    in_tiles(c, a, values, a->high, a->wide, outputs);
}

void
attend_step_reserve(Cg *c, Attend *a, int64_t rows, int64_t sets)
{
    const TileFew s = tile_few(c->machine, KEPT_GROUP, rows, widens(a));
    const TileFew o = tile_few(c->machine, a->value_dim, rows, widens(a));
    const int64_t padded = round_up(rows, s.rows), high = round_up(rows, o.rows);
    a->step = TILE_ATTEND_STEP;
    a->tall = s.rows;
    a->vecs = s.vecs;
    a->high = o.rows;
    a->wide = o.vecs;
    a->sets = sets;
    a->rows = padded > high ? padded : high;
    a->q_stride = round_up(a->head_dim, 2 * c->lanes);
    a->o_stride = round_up(a->value_dim, o.vecs * c->lanes);
    a->sum_lanes = c->lanes;
    const int64_t element = a->left == DTYPE_f32 ? 4 : 2, all = sets * a->rows;
    a->q_rows = cg_scratch(c, a->k, all * a->q_stride * element);
    a->s = cg_scratch(c, a->k, a->rows * KEPT_GROUP * 4);
    a->p = a->left == DTYPE_f32 ? a->s : cg_scratch(c, a->k, a->rows * KEPT_GROUP * element);
    a->o = cg_scratch(c, a->k, all * a->o_stride * 4);
    a->most = cg_scratch(c, a->k, round_up(all, c->lanes) * 4);
    a->sum = cg_scratch(c, a->k, all * a->sum_lanes * 4);
}

Attend
attend_set(Cg *c, const Attend *a, Val set)
{
    Attend own = *a;
    const Val row = cg_mul(c, set, cg_i64(c, a->rows));
    const Dtype dtype = a->left == DTYPE_f32 ? DTYPE_f32 : DTYPE_bf16;
    own.q_rows = cg_at(c, a->q_rows, dtype, cg_mul(c, row, cg_i64(c, a->q_stride)));
    own.o = attend_f32(c, a->o, cg_mul(c, row, cg_i64(c, a->o_stride)));
    own.most = attend_f32(c, a->most, row);
    own.sum = attend_f32(c, a->sum, cg_mul(c, row, cg_i64(c, a->sum_lanes)));
    return own;
}
