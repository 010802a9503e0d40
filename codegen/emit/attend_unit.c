/* codegen/emit/attend_unit.c -- attention on the matrix unit: S = Q K^T and O += P V as tiles, the
 * softmax between them on vectors.
 *
 * A step is 32 rows of Q with 64 tokens of the past, so that a tile of K or V is loaded for two of
 * Q or P. O is multiplied by a = 2^(m - m') in the few steps in which a greater score turned up. P
 * is rounded to bf16; 2^x is within 2^-13 of what it should be. */
#include "codegen/emit/attend.h"
#include "codegen/emit/matrix_unit.h"

/* A step: ROWS rows of Q, STEP tokens. */
enum { SIDE = CG_UNIT_ROWS, TALL = 2, ROWS = TALL * SIDE, STEP = TILE_ATTEND_STEP };
enum { CHANNELS = CG_UNIT_BYTES / 2 }; /* bf16 of a tile's row */

/* Tile registers: TALL x WIDE sums; left and right operands. */
enum { WIDE = 2, LEFT = TALL * WIDE, RIGHT = LEFT + TALL };

enum { MOST_PRODUCTS = (STEP + TILE_MOST_CHANNELS) / (WIDE * SIDE) };

void
attend_unit_begin(Cg *c)
{
    const CgUnitShape shape = {
        .sums = TALL * WIDE, .lefts = TALL, .rights = WIDE, .depth = CG_UNIT_BYTES};
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
    a->sets = a->sum_lanes = 1;
    a->rows = round_up(a->tokens * a->together, ROWS);
    a->q_stride = round_up(a->head_dim, CHANNELS);
    a->o_stride = round_up(a->head_dim, SIDE);
    a->q_rows = cg_scratch(c, a->k, a->rows * a->q_stride * 2);
    a->s = cg_scratch(c, a->k, ROWS * STEP * 4);
    a->p = cg_scratch(c, a->k, ROWS * STEP * 2);
    a->o = cg_scratch(c, a->k, a->rows * a->o_stride * 4);
    a->partial = cg_scratch(c, a->k, ROWS * c->lanes * 4);
    Val *vectors[] = {&a->most, &a->sum};
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        *vectors[i] = cg_scratch(c, a->k, a->rows * 4);
}

/* ---- products ------------------------------------------------------------------------------ */

/* TALL x `wide` tiles of sums, each of `steps` products: from zero, or from what lies where they
 * go.
 */
typedef struct {
    int wide, steps;
    bool zero;
    Val to;
    int64_t to_stride;
    Val left; /* of the first step; those of the others follow in its rows */
    int64_t left_stride;
    Val right;                        /* of the first step */
    int64_t right_stride, right_step; /* bytes: of a row, of a step */
} Product;

static Val
sum_at(Cg *c, const Product *p, int row, int col)
{
    return cg_offset(c, p->to, cg_i64(c, row * SIDE * p->to_stride + col * CG_UNIT_BYTES));
}

static void
store_sum(Cg *c, const Product *p, int row, int col)
{
    if (p && col < p->wide)
        cg_unit_store(c, row * WIDE + col, sum_at(c, p, row, col), p->to_stride);
}

static void
begin_sum(Cg *c, const Product *p, int row, int col)
{
    if (p->zero)
        cg_unit_zero(c, row * WIDE + col);
    else
        cg_unit_load(c, row * WIDE + col, sum_at(c, p, row, col), p->to_stride, false);
}

/* The sums of the product before are stored one by one as its own begin, so that the unit need not
 * wait for the last. */
static void
product(Cg *c, const Product *p, const Product *before)
{
    for (int step = 0; step < p->steps; step++) {
        const Val left = cg_offset(c, p->left, cg_i64(c, (int64_t)step * CG_UNIT_BYTES));
        const Val right = cg_offset(c, p->right, cg_i64(c, step * p->right_step));
        for (int row = 0; row < TALL; row++)
            cg_unit_load(c, LEFT + row, cg_offset(c, left, cg_i64(c, row * SIDE * p->left_stride)),
                         p->left_stride, false);
        for (int col = 0; col < WIDE; col++) {
            if (col < p->wide)
                cg_unit_load(c, RIGHT + col,
                             cg_offset(c, right, cg_i64(c, (int64_t)col * CG_UNIT_BYTES)),
                             p->right_stride, false);
            for (int row = 0; row < TALL; row++) {
                if (step == 0)
                    store_sum(c, before, row, col);
                if (col >= p->wide)
                    continue;
                if (step == 0)
                    begin_sum(c, p, row, col);
                cg_unit_dot(c, DTYPE_bf16, row * WIDE + col, LEFT + row, RIGHT + col);
            }
        }
    }
}

static void
products_end(Cg *c, const Product *last)
{
    for (int col = 0; col < WIDE; col++)
        for (int row = 0; row < TALL; row++)
            store_sum(c, last, row, col);
}

static void
products(Cg *c, const Product *list, int count)
{
    for (int i = 0; i < count; i++)
        product(c, &list[i], i > 0 ? &list[i - 1] : NULL);
    products_end(c, &list[count - 1]);
}

static int
scores(Cg *c, const Attend *a, Val row, Product *list)
{
    const Val q = cg_at(c, a->q_rows, DTYPE_bf16, cg_mul(c, row, cg_i64(c, a->q_stride)));
    const Val keys = attend_kept(c, a, a->keys, a->keys_at, a->at);
    int count = 0;
    for (int64_t token = 0; token < STEP; token += WIDE * SIDE)
        list[count++] = (Product){.wide = WIDE,
                                  .steps = (int)(a->q_stride / CHANNELS),
                                  .zero = true,
                                  .to = attend_f32(c, a->s, cg_i64(c, token)),
                                  .to_stride = STEP * 4,
                                  .left = q,
                                  .left_stride = a->q_stride * 2,
                                  .right = cg_offset(c, keys, cg_i64(c, token * 4)),
                                  .right_stride = KEPT_GROUP * 4,
                                  .right_step = CHANNELS * KEPT_GROUP * 2};
    return count;
}

static int
outputs(Cg *c, const Attend *a, Val row, Product *list)
{
    const Val o = attend_f32(c, a->o, cg_mul(c, row, cg_i64(c, a->o_stride)));
    const Val values = attend_kept(c, a, a->values, a->values_at, a->at);
    int count = 0;
    for (int64_t first = 0; first < a->o_stride; first += WIDE * SIDE)
        list[count++] = (Product){.wide = first + SIDE < a->o_stride ? WIDE : 1,
                                  .steps = STEP / CHANNELS,
                                  .to = attend_f32(c, o, cg_i64(c, first)),
                                  .to_stride = a->o_stride * 4,
                                  .left = a->p,
                                  .left_stride = STEP * 2,
                                  .right = cg_offset(c, values, cg_i64(c, first * 4)),
                                  .right_stride = a->head_dim * 4,
                                  .right_step = CHANNELS * a->head_dim * 2};
    return count;
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

/* Row number `row` of the step, of the block row `first` + row. */
static Val
scores_at(Cg *c, const Attend *a, Val row, int col)
{
    return attend_f32(c, a->s, cg_add(c, cg_mul(c, row, cg_i64(c, STEP)), cg_i64(c, col)));
}

static Val
partial_at(Cg *c, const Attend *a, Val row)
{
    return attend_f32(c, a->partial, cg_mul(c, row, cg_i64(c, c->lanes)));
}

/* The greatest lane by lane of a row, whose scores are left as they count. */
static void
row_most(Cg *c, const Attend *a, Val first, Val row, bool mask)
{
    const Val position = attend_position(c, a, cg_add(c, first, row));
    Val most = NULL;
    for (int col = 0; col < STEP; col += c->lanes) {
        const Val at = scores_at(c, a, row, col);
        Val score = attend_capped(c, a, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        if (mask)
            score = attend_masked(c, a, score, cg_add(c, a->at, cg_i64(c, col)), position);
        if (mask || a->cap > 0)
            cg_vstore(c, at, DTYPE_f32, score, c->lanes, NULL);
        most = most ? cg_vmax(c, most, score) : score;
    }
    cg_vstore(c, partial_at(c, a, row), DTYPE_f32, most, c->lanes, NULL);
}

/* O of as many rows as there are lanes, from `row` on, each by its factor. */
static void
rows_scale(Cg *c, const Attend *a, Val row, Val factors)
{
    for (int r = 0; r < c->lanes; r++) {
        const Val lane = LLVMConstInt(c->i32, (unsigned)r, 0);
        const Val one = LLVMBuildExtractElement(c->b, factors, lane, "");
        const Val factor = cg_splat(c, one, c->lanes);
        const Val line = cg_mul(c, cg_add(c, row, cg_i64(c, r)), cg_i64(c, a->o_stride));
        CgLoop col = cg_loop(c, "scale", cg_i64(c, 0), cg_i64(c, a->o_stride), c->lanes);
        const Val at = attend_f32(c, a->o, cg_add(c, line, col.i));
        const Val o = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
        cg_vstore(c, at, DTYPE_f32, cg_fmul(c, o, factor), c->lanes, NULL);
        cg_loop_end(c, &col);
    }
}

/* m, l and O of rows [from, from + lanes) of the step, whose greatest scores are known. Here a
 * vector has a row a lane. */
static void
rows_turn(Cg *c, const Attend *a, Val first, int from)
{
    const Val row = cg_add(c, first, cg_i64(c, from));
    const Val most = attend_f32(c, a->most, row), sum = attend_f32(c, a->sum, row);
    const Val old = cg_vload(c, most, DTYPE_f32, c->lanes, NULL);
    const Val now = cg_vmax(c, old, fold_rows(c, a, from, cg_vmax));
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
greatest(Cg *c, const Attend *a, Val first)
{
    CgIf edge = cg_if(c, attend_is_edge(c, a));
    for (int i = 0; i < 2; i++) {
        CgLoop row = cg_loop(c, "most", cg_i64(c, 0), cg_i64(c, ROWS), 1);
        row_most(c, a, first, row.i, i == 0);
        cg_loop_end(c, &row);
        if (i == 0)
            cg_else(c, &edge);
    }
    cg_endif(c, &edge);
    for (int from = 0; from < ROWS; from += c->lanes)
        rows_turn(c, a, first, from);
}

/* P of a row; its sums lane by lane. */
static void
row_weights(Cg *c, const Attend *a, Val row, Val most)
{
    Val sum = NULL;
    for (int col = 0; col < STEP; col += 2 * c->lanes) {
        Val weight[2];
        for (int i = 0; i < 2; i++) {
            const Val at = scores_at(c, a, row, col + i * c->lanes);
            const Val score = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
            weight[i] = cg_exp2_coarsely(c, cg_fsub(c, score, most));
            sum = sum ? cg_fadd(c, sum, weight[i]) : weight[i];
        }
        const Val element = cg_add(c, cg_mul(c, row, cg_i64(c, STEP)), cg_i64(c, col));
        const Val both = cg_bf16_both(c, weight[0], weight[1]);
        LLVMSetAlignment(LLVMBuildStore(c->b, both, cg_at(c, a->p, DTYPE_bf16, element)), 2);
    }
    cg_vstore(c, partial_at(c, a, row), DTYPE_f32, sum, c->lanes, NULL);
}

static void
weights(Cg *c, const Attend *a, Val first)
{
    CgLoop row = cg_loop(c, "weight", cg_i64(c, 0), cg_i64(c, ROWS), 1);
    const Val most = attend_one(c, a->most, cg_add(c, first, row.i));
    row_weights(c, a, row.i, cg_splat(c, most, c->lanes));
    cg_loop_end(c, &row);
    for (int from = 0; from < ROWS; from += c->lanes) {
        const Val at = attend_f32(c, a->sum, cg_add(c, first, cg_i64(c, from)));
        const Val sum = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
        const Val more = fold_rows(c, a, from, cg_fadd);
        cg_vstore(c, at, DTYPE_f32, cg_fadd(c, sum, more), c->lanes, NULL);
    }
}

/* ---- the walk ------------------------------------------------------------------------------ */

void
attend_unit_walk(Cg *c, Attend *a, Val from, Val end)
{
    Product list[MOST_PRODUCTS];
    CgLoop past = cg_loop(c, "past", from, end, STEP);
    CgLoop row = cg_loop(c, "rows", cg_i64(c, 0), a->nrows, ROWS);
    a->at = past.i;
    products(c, list, scores(c, a, row.i, list));
    greatest(c, a, row.i);
    weights(c, a, row.i);
    products(c, list, outputs(c, a, row.i, list));
    cg_loop_end(c, &row);
    cg_loop_end(c, &past);
}
