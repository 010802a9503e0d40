/* codegen/emit/attend_unit.c -- attention on the matrix unit: S = Q K^T and O += P V as tiles, the
 * softmax between them on vectors, at the same time.
 *
 * A step is 16 rows of Q with STEP tokens of the past. The unit and the vectors take about as long
 * over one, and a processor looks some hundred instructions ahead, which few instructions of the
 * unit are. So while the vectors make P of one step, the unit is given S of the next and P V of the
 * one before, whose instructions stand first:
 *
 *     for each step i:  S of i + 1;  O += P V of i - 1;  P of i from S of i
 *
 * Steps go through the rows of Q, then on through the past, so that the same rows come again after
 * all others. O is multiplied by a = 2^(m - m') in the few steps in which a greater score turned
 * up. P is rounded to bf16; 2^x is within 2^-13 of what it should be. */
#include "codegen/emit/attend.h"
#include "codegen/emit/matrix_unit.h"

enum { STEP = 128, SUMS = 4, SIDE = CG_UNIT_ROWS, CHANNELS = CG_UNIT_BYTES / 2 };

/* Tile registers: sums, a left operand, right ones in turn. */
enum { LEFT = SUMS, RIGHT, RIGHTS = 3 };

/* One step: rows of Q from `row` on, tokens from a->at on; of two steps that follow each other one
 * is odd. */
typedef struct {
    Val row, odd;
} Step;

void
attend_unit_begin(Cg *c)
{
    const CgUnitShape shape = {.sums = SUMS, .lefts = 1, .rights = RIGHTS, .depth = CG_UNIT_BYTES};
    cg_unit_open(c, &shape);
}

void
attend_unit_end(Cg *c)
{
    cg_unit_close(c);
}

void
attend_unit_reserve(Cg *c, Attend *a)
{
    a->step = STEP;
    a->rows = round_up(a->tokens * a->together, SIDE);
    a->q_stride = round_up(a->head_dim, CHANNELS);
    a->o_stride = round_up(a->head_dim, SIDE);
    a->q_rows = cg_scratch(c, a->k, a->rows * a->q_stride * 2);
    a->s = cg_scratch(c, a->k, 2 * SIDE * STEP * 4);
    a->p = cg_scratch(c, a->k, 2 * SIDE * STEP * 2);
    a->o = cg_scratch(c, a->k, a->rows * a->o_stride * 4);
    a->partial = cg_scratch(c, a->k, SIDE * c->lanes * 4);
    Val *vectors[] = {&a->most, &a->sum};
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        *vectors[i] = cg_scratch(c, a->k, a->rows * 4);
}

/* ---- products ------------------------------------------------------------------------------ */

/* Where the step's half of two buffers of SIDE rows of `bytes` bytes begins. */
static Val
half_of(Cg *c, Val base, const Step *s, int64_t bytes)
{
    return cg_offset(c, base, cg_mul(c, s->odd, cg_i64(c, SIDE * bytes)));
}

/* The group of tokens from `at` on; past the last token, whose scores do not count, the one that
 * the last token is in. */
static Val
group_at(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val at)
{
    const Val end = cg_add(c, cg_add(c, a->seg.past, a->first), a->count);
    const Val last = cg_sub(c, end, cg_i64(c, 1)), group = cg_i64(c, KEPT_GROUP);
    const Val there = cg_min(c, at, cg_mul(c, cg_div(c, last, group), group));
    return attend_kept(c, a, kept, base, there);
}

static void
scores(Cg *c, const Attend *a, const Step *s)
{
    const Val to = half_of(c, a->s, s, STEP * 4);
    const Val q = cg_at(c, a->q_rows, DTYPE_bf16, cg_mul(c, s->row, cg_i64(c, a->q_stride)));
    for (int group = 0; group < STEP / KEPT_GROUP; group++) {
        const Val at = cg_add(c, a->at, cg_i64(c, group * KEPT_GROUP));
        const Val keys = group_at(c, a, a->keys, a->keys_at, at);
        for (int t = 0; t < SUMS; t++)
            cg_unit_zero(c, t);
        for (int64_t p = 0; p < a->head_dim; p += CHANNELS) {
            cg_unit_load(c, LEFT, cg_at(c, q, DTYPE_bf16, cg_i64(c, p)), a->q_stride * 2, false);
            for (int t = 0; t < SUMS; t++) {
                const Val right =
                    cg_offset(c, keys, cg_i64(c, p * KEPT_GROUP * 2 + t * CG_UNIT_BYTES));
                cg_unit_load(c, RIGHT + t % RIGHTS, right, KEPT_GROUP * 4, false);
                cg_unit_dot(c, DTYPE_bf16, t, LEFT, RIGHT + t % RIGHTS);
            }
        }
        for (int t = 0; t < SUMS; t++) {
            const int64_t byte = group * KEPT_GROUP * 4 + t * CG_UNIT_BYTES;
            cg_unit_store(c, t, cg_offset(c, to, cg_i64(c, byte)), STEP * 4);
        }
    }
}

/* O of up to SUMS tiles of channels from `first` on. */
static void
outputs_tiles(Cg *c, const Attend *a, const Step *s, const Val *values, int64_t first)
{
    const Val p = half_of(c, a->p, s, STEP * 2);
    const Val o = attend_f32(c, a->o, cg_mul(c, s->row, cg_i64(c, a->o_stride)));
    const int64_t left = (a->o_stride - first) / SIDE;
    const int tiles = (int)(left < SUMS ? left : SUMS);
    for (int t = 0; t < tiles; t++)
        cg_unit_load(c, t, attend_f32(c, o, cg_i64(c, first + t * SIDE)), a->o_stride * 4, false);
    for (int u = 0; u < STEP; u += CHANNELS) {
        const Val group = values[u / KEPT_GROUP];
        cg_unit_load(c, LEFT, cg_at(c, p, DTYPE_bf16, cg_i64(c, u)), STEP * 2, false);
        for (int t = 0; t < tiles; t++) {
            const int64_t pair = u % KEPT_GROUP / 2;
            const int64_t byte = (pair * a->head_dim + first + t * SIDE) * 4;
            cg_unit_load(c, RIGHT + t % RIGHTS, cg_offset(c, group, cg_i64(c, byte)),
                         a->head_dim * 4, false);
            cg_unit_dot(c, DTYPE_bf16, t, LEFT, RIGHT + t % RIGHTS);
        }
    }
    for (int t = 0; t < tiles; t++)
        cg_unit_store(c, t, attend_f32(c, o, cg_i64(c, first + t * SIDE)), a->o_stride * 4);
}

static void
outputs(Cg *c, const Attend *a, const Step *s)
{
    Val values[STEP / KEPT_GROUP];
    for (int group = 0; group < STEP / KEPT_GROUP; group++)
        values[group] = group_at(c, a, a->values, a->values_at,
                                 cg_add(c, a->at, cg_i64(c, group * KEPT_GROUP)));
    for (int64_t first = 0; first < a->o_stride; first += SUMS * SIDE)
        outputs_tiles(c, a, s, values, first);
}

/* ---- the softmax --------------------------------------------------------------------------- */

/* Folds of the vectors that lie in a->partial from number `first` on, as many as they have lanes:
 * lane i is that of vector i. Two vectors are folded into the halves of one, until each has one
 * lane. */
static Val
fold_rows(Cg *c, const Attend *a, int first, Val combine(Cg *c, Val a, Val b))
{
    const int lanes = c->lanes;
    Val row[SIDE];
    int low[SIDE], high[SIDE];
    for (int i = 0; i < lanes; i++)
        row[i] = cg_vload(c, attend_f32(c, a->partial, cg_i64(c, (int64_t)(first + i) * lanes)),
                          DTYPE_f32, lanes, NULL);
    for (int width = lanes; width > 1; width /= 2) { /* lanes / width pieces in each vector */
        const int half = width / 2, pieces = lanes / width;
        for (int l = 0; l < lanes; l++) {
            low[l] = l / half / pieces * lanes + l / half % pieces * width + l % half;
            high[l] = low[l] + half;
        }
        for (int i = 0; i < half; i++) {
            const Val x = row[2 * i], y = row[2 * i + 1];
            row[i] = combine(c, cg_shuffle(c, x, y, low, lanes), cg_shuffle(c, x, y, high, lanes));
        }
    }
    return row[0];
}

static Val
scores_at(Cg *c, const Attend *a, const Step *s, Val row, int col)
{
    const Val first = cg_mul(c, row, cg_i64(c, STEP));
    return attend_f32(c, half_of(c, a->s, s, STEP * 4), cg_add(c, first, cg_i64(c, col)));
}

/* The greatest lane by lane of row `row` of the step, whose scores are left as they count. */
static void
row_most(Cg *c, const Attend *a, const Step *s, Val row, bool mask)
{
    const Val position = attend_position(c, a, cg_add(c, s->row, row));
    Val most = NULL;
    for (int col = 0; col < STEP; col += c->lanes) {
        const Val at = scores_at(c, a, s, row, col);
        Val score = attend_capped(c, a, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        if (mask)
            score = attend_masked(c, a, score, cg_add(c, a->at, cg_i64(c, col)), position);
        if (mask || a->cap > 0)
            cg_vstore(c, at, DTYPE_f32, score, c->lanes, NULL);
        most = most ? cg_vmax(c, most, score) : score;
    }
    cg_vstore(c, attend_f32(c, a->partial, cg_mul(c, row, cg_i64(c, c->lanes))), DTYPE_f32, most,
              c->lanes, NULL);
}

/* P of row `row` of the step; its sums lane by lane. */
static void
row_weights(Cg *c, const Attend *a, const Step *s, Val row, Val most)
{
    const Val to = half_of(c, a->p, s, STEP * 2);
    const Val first = cg_mul(c, row, cg_i64(c, STEP));
    Val sum = NULL;
    for (int col = 0; col < STEP; col += 2 * c->lanes) {
        Val weight[2];
        for (int i = 0; i < 2; i++) {
            const Val at = scores_at(c, a, s, row, col + i * c->lanes);
            const Val score = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
            weight[i] = cg_exp2_coarsely(c, cg_fsub(c, score, most));
            sum = sum ? cg_fadd(c, sum, weight[i]) : weight[i];
        }
        const Val at = cg_at(c, to, DTYPE_bf16, cg_add(c, first, cg_i64(c, col)));
        LLVMSetAlignment(LLVMBuildStore(c->b, cg_bf16_both(c, weight[0], weight[1]), at), 2);
    }
    cg_vstore(c, attend_f32(c, a->partial, cg_mul(c, row, cg_i64(c, c->lanes))), DTYPE_f32, sum,
              c->lanes, NULL);
}

/* O of as many rows as there are lanes, from `first` on, each by its factor. */
static void
rows_scale(Cg *c, const Attend *a, Val first, Val factors)
{
    for (int r = 0; r < c->lanes; r++) {
        const Val lane = LLVMConstInt(c->i32, (unsigned)r, 0);
        const Val one = LLVMBuildExtractElement(c->b, factors, lane, "");
        const Val factor = cg_splat(c, one, c->lanes);
        const Val line = cg_mul(c, cg_add(c, first, cg_i64(c, r)), cg_i64(c, a->o_stride));
        CgLoop col = cg_loop(c, "scale", cg_i64(c, 0), cg_i64(c, a->o_stride), c->lanes);
        const Val at = attend_f32(c, a->o, cg_add(c, line, col.i));
        cg_vstore(c, at, DTYPE_f32, cg_fmul(c, cg_vload(c, at, DTYPE_f32, c->lanes, NULL), factor),
                  c->lanes, NULL);
        cg_loop_end(c, &col);
    }
}

/* m, l and O of the step's rows, now that its greatest scores are known: lanes are rows. */
static void
rows_turn(Cg *c, const Attend *a, const Step *s, int first)
{
    const Val row = cg_add(c, s->row, cg_i64(c, first));
    const Val most = attend_f32(c, a->most, row), sum = attend_f32(c, a->sum, row);
    const Val old = cg_vload(c, most, DTYPE_f32, c->lanes, NULL);
    const Val now = cg_vmax(c, old, fold_rows(c, a, first, cg_vmax));
    const Val moved = LLVMBuildFCmp(c->b, LLVMRealUNE, old, now, "");
    const LLVMTypeRef mask = LLVMIntTypeInContext(c->ctx, (unsigned)c->lanes);
    const Val bits = LLVMBuildBitCast(c->b, moved, mask, "");
    CgIf some = cg_if(c, LLVMBuildICmp(c->b, LLVMIntNE, bits, LLVMConstNull(mask), ""));
    const Val factors = cg_exp2(c, cg_fsub(c, old, now));
    const Val before = cg_vload(c, sum, DTYPE_f32, c->lanes, NULL);
    cg_vstore(c, sum, DTYPE_f32, cg_fmul(c, before, factors), c->lanes, NULL);
    cg_vstore(c, most, DTYPE_f32, now, c->lanes, NULL);
    rows_scale(c, a, row, factors);
    cg_endif(c, &some);
}

static void
weights(Cg *c, const Attend *a, const Step *s)
{
    const Val zero = cg_i64(c, 0), side = cg_i64(c, SIDE);
    CgIf edge = cg_if(c, attend_is_edge(c, a));
    for (int i = 0; i < 2; i++) {
        CgLoop row = cg_loop(c, "most", zero, side, 1);
        row_most(c, a, s, row.i, i == 0);
        cg_loop_end(c, &row);
        if (i == 0)
            cg_else(c, &edge);
    }
    cg_endif(c, &edge);
    for (int first = 0; first < SIDE; first += c->lanes)
        rows_turn(c, a, s, first);
    CgLoop row = cg_loop(c, "weight", zero, side, 1);
    const Val most = attend_one(c, a->most, cg_add(c, s->row, row.i));
    row_weights(c, a, s, row.i, cg_splat(c, most, c->lanes));
    cg_loop_end(c, &row);
    for (int first = 0; first < SIDE; first += c->lanes) {
        const Val at = attend_f32(c, a->sum, cg_add(c, s->row, cg_i64(c, first)));
        const Val sum = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
        const Val more = fold_rows(c, a, first, cg_fadd);
        cg_vstore(c, at, DTYPE_f32, cg_fadd(c, sum, more), c->lanes, NULL);
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

/* Step number i of `tiles` a round: its rows, and in a->at its tokens. */
static Step
step_of(Cg *c, Attend *a, Val from, Val tiles, Val i)
{
    const Val round = cg_div(c, i, tiles), tile = cg_sub(c, i, cg_mul(c, round, tiles));
    a->at = cg_add(c, from, cg_mul(c, round, cg_i64(c, STEP)));
    return (Step){cg_mul(c, tile, cg_i64(c, SIDE)), LLVMBuildAnd(c->b, i, cg_i64(c, 1), "")};
}

void
attend_unit_walk(Cg *c, Attend *a, Val from, Val end)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1);
    const Val tiles = cg_div_up(c, a->nrows, cg_i64(c, SIDE));
    const Val rounds = cg_div_up(c, cg_sub(c, end, from), cg_i64(c, STEP));
    const Val steps = cg_mul(c, rounds, tiles);
    Step s = step_of(c, a, from, tiles, zero);
    scores(c, a, &s);
    CgLoop i = cg_loop(c, "step", zero, steps, 1);
    const Val next = cg_add(c, i.i, one);
    CgIf more = cg_if(c, cg_less(c, next, steps));
    s = step_of(c, a, from, tiles, next);
    scores(c, a, &s);
    cg_endif(c, &more);
    CgIf before = cg_if(c, cg_less(c, zero, i.i));
    s = step_of(c, a, from, tiles, cg_sub(c, i.i, one));
    outputs(c, a, &s);
    cg_endif(c, &before);
    s = step_of(c, a, from, tiles, i.i);
    weights(c, a, &s);
    cg_loop_end(c, &i);
    s = step_of(c, a, from, tiles, cg_sub(c, steps, one));
    outputs(c, a, &s);
}
