/* codegen/emit/attend_unit.c -- attention on the matrix unit: S = Q K^T and O += P V as tiles, and
 * between them the softmax on vectors, whose weights are computed in integers.
 *
 * 32 rows of Q go through the past together, so that a tile of K or V is loaded for two of Q or P;
 * what they work on stays in the first-level cache, which K and V only pass through. A step is 64
 * tokens. Products O += P V of the step before and the softmax of this one alternate: the unit and
 * the vectors run side by side.
 *
 * P is rounded to bf16 anyway, so 2^x is made in its bits (Schraudolph, "A fast, compact
 * approximation of the exponential function", 1999): x in 128ths, plus 127 * 128, is a bf16 of
 * exponent floor(x) and mantissa x - floor(x); what 2^r is less than 1 + r comes from a table
 * of 32. Queries are scaled so that scores are 128ths. The sum of a row is that of P as rounded: V
 * has a further column of ones.
 *
 * m is not the greatest score but one that was the greatest once: P and O have room for scores that
 * are 32 octaves above it. Only where one is further above does m move, by whole octaves, so that
 * O = O 2^(m - m') is exact. What a row is summed to depends on its own scores alone. */
#include <math.h>

#include "codegen/emit/attend.h"
#include "codegen/emit/matrix_unit.h"

/* A step: ROWS rows of Q, STEP tokens. */
enum { SIDE = CG_UNIT_ROWS, ROWS = TILE_ATTEND_BAND, TALL = ROWS / SIDE, STEP = TILE_ATTEND_STEP };
enum { CHANNELS = CG_UNIT_BYTES / 2 }; /* bf16 of a tile's row */

/* Tile registers: TALL x WIDE sums; left and right operands. */
enum { WIDE = 2, LEFT = TALL * WIDE, RIGHT = LEFT + TALL };

enum { MOST_PRODUCTS = (STEP + TILE_MOST_CHANNELS) / (WIDE * SIDE) + 1 };

/* A weight of 1 has the bits ONE. Scores less m are added to ORIGIN, which leaves them rounded in
 * the low bits of an f32: from 2^23 on its steps are 1. Less 2^23 and kept within 16 bits they are
 * BELOW more than the bits of the weight, so that 0 is what is left of everything under 2^-126, and
 * nothing above 2^65 is told apart. From LIMIT on m moves. In memory m is less ORIGIN. */
enum { OCTAVE = 128, ONE = 127 * OCTAVE, BELOW = 320 * OCTAVE, UNIT = 1 << 23 };
enum { ORIGIN = UNIT + BELOW + ONE, LIMIT = ORIGIN + 32 * OCTAVE };

enum { ONES = 0x3f80 }; /* bits of a bf16 */

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

/* The column of O in which P is summed. */
static int64_t
sums_column(const Attend *a)
{
    return a->o_stride - SIDE;
}

void
attend_unit_reserve(Cg *c, Attend *a)
{
    a->step = STEP;
    a->sets = a->sum_lanes = 1;
    a->rows = round_up(a->tokens * a->together, ROWS);
    a->q_stride = round_up(a->head_dim, CHANNELS);
    a->o_stride = round_up(a->value_dim, SIDE) + SIDE;
    if (!(a->cap > 0))
        a->scale *= OCTAVE;
    a->q_rows = cg_scratch(c, a->k, a->rows * a->q_stride * 2);
    a->s = cg_scratch(c, a->k, ROWS * STEP * 4);
    a->p = cg_scratch(c, a->k, 2 * ROWS * STEP * 2);
    a->o = cg_scratch(c, a->k, a->rows * a->o_stride * 4);
    a->partial = cg_scratch(c, a->k, ROWS * c->lanes * 4);
    a->ones = cg_scratch(c, a->k, CG_UNIT_TILE);
    Val *vectors[] = {&a->most, &a->sum};
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        *vectors[i] = cg_scratch(c, a->k, a->rows * 4);
}

/* ---- weights ------------------------------------------------------------------------------- */

static Val
scores_at(Cg *c, const Attend *a, Val row, int col)
{
    return attend_f32(c, a->s, cg_add(c, cg_mul(c, row, cg_i64(c, STEP)), cg_i64(c, col)));
}

/* P of the step that begins at `at`; that of the step before stays. */
static Val
weights_of(Cg *c, const Attend *a, Val at)
{
    const Val step = cg_div(c, at, cg_i64(c, STEP));
    const Val odd = LLVMBuildAnd(c->b, step, cg_i64(c, 1), "");
    return cg_at(c, a->p, DTYPE_bf16, cg_mul(c, odd, cg_i64(c, ROWS * STEP)));
}

/* Vectors of 32 words have an instruction for each step. */
static bool
in_words(const Cg *c)
{
    return cg_on_x86(c) && c->machine->vector_bytes == CG_LINE_BYTES && c->lanes == CG_LINE_FLOATS;
}

/* Of the words that differ in their lowest two bits, by five bits of a fraction: BELOW, and by how
 * much 1 + r is more than 2^r in the mean. */
static Val
too_much(Cg *c)
{
    enum { ENTRIES = 32, EACH = OCTAVE / ENTRIES };
    Val entry[ENTRIES];
    for (int i = 0; i < ENTRIES; i++) {
        double sum = 0;
        for (int r = i * EACH; r < (i + 1) * EACH; r++)
            sum += OCTAVE + r - OCTAVE * exp2((double)r / OCTAVE);
        entry[i] = LLVMConstInt(c->i16, (unsigned)(BELOW + lround(sum / EACH)), 0);
    }
    return LLVMConstVector(entry, ENTRIES);
}

/* Two vectors of i32 as one of u16, which keep to its ends. Intel SDM, VPACKUSDW: four of one and
 * four of the other in turn. */
static Val
pack_words(Cg *c, Val low, Val high)
{
    Val args[] = {low, high};
    return cg_intrinsic(c, "llvm.x86.avx512.packusdw.512", NULL, 0, args, 2);
}

static Val
unpack_order(Cg *c, Val words)
{
    static const int from[] = {0, 2, 4, 6, 1, 3, 5, 7};
    const LLVMTypeRef quads = cg_vec_of(c->i64, COUNT_OF(from));
    const Val v = LLVMBuildBitCast(c->b, words, quads, "");
    return LLVMBuildBitCast(c->b, cg_shuffle(c, v, v, from, COUNT_OF(from)), LLVMTypeOf(words), "");
}

static Val
binary(Cg *c, const char *name, Val x, Val y)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    Val args[] = {x, y};
    return cg_intrinsic(c, name, &type, 1, args, 2);
}

/* Weights of two vectors of scores; *most: the greatest words. */
static Val
weights_in_words(Cg *c, Val low, Val high, Val *most)
{
    const Val unit = cg_int_like(c, cg_as_bits(c, low), 0x4b000000);
    const Val a = LLVMBuildSub(c->b, cg_as_bits(c, low), unit, "");
    const Val b = LLVMBuildSub(c->b, cg_as_bits(c, high), unit, "");
    const Val words = pack_words(c, a, b), two = cg_splat(c, LLVMConstInt(c->i16, 2, 0), 32);
    *most = *most ? binary(c, "llvm.umax", *most, words) : words;
    Val args[] = {too_much(c), LLVMBuildLShr(c->b, words, two, "")};
    const Val less = cg_intrinsic(c, "llvm.x86.avx512.permvar.hi.512", NULL, 0, args, 2);
    return unpack_order(c, binary(c, "llvm.usub.sat", words, less));
}

static Val
weights_by_function(Cg *c, Val low, Val high, Val *most)
{
    Val x[] = {low, high};
    for (int i = 0; i < 2; i++) {
        *most = *most ? cg_vmax(c, *most, x[i]) : x[i];
        const Val octaves = cg_fsub(c, x[i], cg_like(c, low, ORIGIN));
        x[i] = cg_exp2_coarsely(c, cg_fmul(c, octaves, cg_like(c, low, 1.0 / OCTAVE)));
    }
    return cg_bf16_both(c, x[0], x[1]);
}

static LLVMTypeRef
greatest_type(Cg *c)
{
    return in_words(c) ? LLVMVectorType(c->i16, 2 * CG_LINE_FLOATS) : cg_vec_type(c, c->lanes);
}

/* The greatest of what weights are made of, lane by lane, is in memory: as a value it would be
 * folded after the last row, with what all rows had until then. */
static void
greatest_put(Cg *c, const Attend *a, Val most)
{
    LLVMSetAlignment(LLVMBuildStore(c->b, most, a->partial), CG_LINE_BYTES);
}

static Val
greatest_get(Cg *c, const Attend *a)
{
    const Val most = LLVMBuildLoad2(c->b, greatest_type(c), a->partial, "");
    LLVMSetAlignment(most, CG_LINE_BYTES);
    return most;
}

static Val
greater(Cg *c, Val x, Val y)
{
    return in_words(c) ? binary(c, "llvm.umax", x, y) : cg_vmax(c, x, y);
}

/* Where the weights of some rows are made. */
typedef struct {
    Val m; /* of the first row */
    Val p;
} Weights;

static Weights
weights_begin(Cg *c, const Attend *a, Val first)
{
    greatest_put(c, a, LLVMConstNull(greatest_type(c)));
    return (Weights){attend_f32(c, a->most, first), weights_of(c, a, a->at)};
}

static void
row_weights(Cg *c, const Attend *a, const Weights *w, Val row)
{
    const Val m = cg_splat(c, attend_one(c, w->m, row), c->lanes);
    Val most = NULL;
    for (int col = 0; col < STEP; col += 2 * c->lanes) {
        Val x[2];
        for (int i = 0; i < 2; i++) {
            const Val at = scores_at(c, a, row, col + i * c->lanes);
            x[i] = cg_fsub(c, cg_vload(c, at, DTYPE_f32, c->lanes, NULL), m);
        }
        const Val both =
            (in_words(c) ? weights_in_words : weights_by_function)(c, x[0], x[1], &most);
        const Val element = cg_add(c, cg_mul(c, row, cg_i64(c, STEP)), cg_i64(c, col));
        LLVMSetAlignment(LLVMBuildStore(c->b, both, cg_at(c, w->p, DTYPE_bf16, element)), 2);
    }
    greatest_put(c, a, greater(c, most, greatest_get(c, a)));
}

/* i1: m of some row has to move. */
static Val
weights_end(Cg *c, const Attend *a)
{
    const Val most = greatest_get(c, a), word = LLVMConstInt(c->i16, LIMIT - UNIT, 0);
    const int lanes = cg_lanes_of(most);
    const Val beyond = in_words(c)
                           ? LLVMBuildICmp(c->b, LLVMIntUGE, most, cg_splat(c, word, lanes), "")
                           : LLVMBuildFCmp(c->b, LLVMRealUGE, most, cg_like(c, most, LIMIT), "");
    const LLVMTypeRef mask = LLVMIntTypeInContext(c->ctx, (unsigned)lanes);
    const Val bits = LLVMBuildBitCast(c->b, beyond, mask, "");
    return LLVMBuildICmp(c->b, LLVMIntNE, bits, LLVMConstNull(mask), "");
}

static Val
weights(Cg *c, const Attend *a, Val first)
{
    const Weights w = weights_begin(c, a, first);
    CgLoop row = cg_loop(c, "weight", cg_i64(c, 0), cg_i64(c, ROWS), 1);
    row_weights(c, a, &w, row.i);
    cg_loop_end(c, &row);
    return weights_end(c, a);
}

/* What is done between products: some rows' weights, and some of the lines that are asked for. */
typedef struct {
    const Attend *a;
    const Weights *w; /* NULL: none */
    Val lines[2];     /* from here on, `asks` of each */
    int asks[2];
    int made, asked, after, of; /* rows, lines; products that have been, and all of them */
} Beside;

static void
beside(Cg *c, Beside *b)
{
    if (!b)
        return;
    b->after++;
    for (; b->w && b->made * b->of < b->after * ROWS; b->made++)
        row_weights(c, b->a, b->w, cg_i64(c, b->made));
    const int most = b->asks[0] > b->asks[1] ? b->asks[0] : b->asks[1];
    for (; b->asked * b->of < b->after * most; b->asked++)
        for (int i = 0; i < 2; i++)
            if (b->asked < b->asks[i])
                cg_prefetch(c, cg_offset(c, b->lines[i], cg_i64(c, b->asked * CG_LINE_BYTES)), 2);
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
    bool once;                        /* right operands are not read again soon */
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
product(Cg *c, const Product *p, const Product *before, Beside *between)
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
                             p->right_stride, p->once);
            for (int row = 0; row < TALL; row++) {
                if (step == 0)
                    store_sum(c, before, row, col);
                if (col >= p->wide)
                    continue;
                if (step == 0)
                    begin_sum(c, p, row, col);
                cg_unit_dot(c, DTYPE_bf16, row * WIDE + col, LEFT + row, RIGHT + col);
                beside(c, between);
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
products(Cg *c, const Product *list, int count, Beside *between)
{
    for (int i = 0; between && i < count; i++)
        between->of += TALL * list[i].wide * list[i].steps;
    for (int i = 0; i < count; i++)
        product(c, &list[i], i > 0 ? &list[i - 1] : NULL, between);
    products_end(c, &list[count - 1]);
}

/* ---- scores and outputs -------------------------------------------------------------------- */

/* ROWS rows from `first` on, and the positions that they look at. */
typedef struct {
    Val first;
    Val low, high; /* positions of the first and the last row's token */
    Val from, end; /* whole steps begin at `from`; all look at less than `end` */
} Band;

/* Bands of a block, which share what is asked for. */
static int64_t
bands(const Attend *a)
{
    return a->rows / ROWS;
}

/* Keys and values `ahead` tokens further on, or else those that are near: the band's share of their
 * lines. */
static Beside
ask_ahead(Cg *c, const Attend *a, const Band *b, int64_t ahead)
{
    const Val there = cg_add(c, a->at, cg_i64(c, ahead));
    const Val at = LLVMBuildSelect(c->b, cg_less(c, there, b->end), there, a->at, "");
    const Val band = cg_div(c, b->first, cg_i64(c, ROWS));
    const CgOperand *kept[] = {a->keys, a->values};
    const Val base[] = {a->keys_at, a->values_at};
    const int64_t channels[] = {a->head_dim, a->value_dim};
    Beside ask = {.a = a};
    for (int i = 0; i < 2; i++) {
        ask.asks[i] = (int)(STEP * channels[i] * 2 / CG_LINE_BYTES / bands(a));
        const Val share = cg_mul(c, band, cg_i64(c, (int64_t)ask.asks[i] * CG_LINE_BYTES));
        ask.lines[i] = cg_offset(c, attend_kept(c, a, kept[i], base[i], at), share);
    }
    return ask;
}

static void
scores(Cg *c, const Attend *a, const Band *b, int64_t ahead)
{
    Beside ask = ask_ahead(c, a, b, ahead);
    const Val q = cg_at(c, a->q_rows, DTYPE_bf16, cg_mul(c, b->first, cg_i64(c, a->q_stride)));
    const Val keys = attend_kept(c, a, a->keys, a->keys_at, a->at);
    Product list[STEP / (WIDE * SIDE)];
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
                                  .right_step = CHANNELS * KEPT_GROUP * 2,
                                  .once = true};
    products(c, list, count, &ask);
}

/* O and the sums of P of the step that begins at `at`. */
static void
outputs(Cg *c, const Attend *a, Val first, Val at, Beside *between)
{
    const Val o = attend_f32(c, a->o, cg_mul(c, first, cg_i64(c, a->o_stride)));
    const Val values = attend_kept(c, a, a->values, a->values_at, at);
    const Product each = {.steps = STEP / CHANNELS,
                          .to_stride = a->o_stride * 4,
                          .left = weights_of(c, a, at),
                          .left_stride = STEP * 2,
                          .right_stride = a->value_dim * 4,
                          .right_step = CHANNELS * a->value_dim * 2};
    Product list[MOST_PRODUCTS];
    int count = 0;
    for (int64_t col = 0; col < sums_column(a); col += WIDE * SIDE) {
        Product *p = &list[count++];
        *p = each;
        p->wide = col + SIDE < sums_column(a) ? WIDE : 1;
        p->to = attend_f32(c, o, cg_i64(c, col));
        p->right = cg_offset(c, values, cg_i64(c, col * 4));
        p->once = true;
    }
    Product *sums = &list[count++];
    *sums = each;
    sums->wide = 1;
    sums->to = attend_f32(c, o, cg_i64(c, sums_column(a)));
    sums->right = a->ones;
    sums->right_stride = CG_UNIT_BYTES;
    sums->right_step = 0;
    products(c, list, count, between);
}

/* outputs(at), and weights(a->at) between its products where they are straight code. */
static Val
outputs_and_weights(Cg *c, const Attend *a, Val first, Val at)
{
    if (!in_words(c)) {
        outputs(c, a, first, at, NULL);
        return weights(c, a, first);
    }
    const Weights w = weights_begin(c, a, first);
    Beside rows = {.a = a, .w = &w};
    outputs(c, a, first, at, &rows);
    return weights_end(c, a);
}

/* ---- where m moves ------------------------------------------------------------------------- */

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
partial_at(Cg *c, const Attend *a, Val row)
{
    return attend_f32(c, a->partial, cg_mul(c, row, cg_i64(c, c->lanes)));
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

/* x rounded to a multiple of OCTAVE. */
static Val
whole_octaves(Cg *c, Val x)
{
    const Val magic = cg_like(c, x, 1.5 * UNIT * OCTAVE);
    return cg_fsub(c, cg_fadd(c, x, magic), magic);
}

/* m and O of rows [from, from + lanes) of the step, whose greatest scores are known. Here a vector
 * has a row a lane. */
static void
rows_turn(Cg *c, const Attend *a, Val first, int from)
{
    const Val row = cg_add(c, first, cg_i64(c, from)), at = attend_f32(c, a->most, row);
    const Val old = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
    const Val greatest = fold_rows(c, a, from, cg_vmax);
    const Val above = cg_fsub(c, greatest, old);
    const Val moves = LLVMBuildFCmp(c->b, LLVMRealOGE, above, cg_like(c, above, LIMIT), "");
    const Val m = cg_fsub(c, whole_octaves(c, greatest), cg_like(c, old, ORIGIN));
    const Val now = LLVMBuildSelect(c->b, moves, m, old, "");
    cg_vstore(c, at, DTYPE_f32, now, c->lanes, NULL);
    const Val octaves = cg_fmul(c, cg_fsub(c, old, now), cg_like(c, old, 1.0 / OCTAVE));
    rows_scale(c, a, row, cg_exp2(c, octaves));
}

/* Scores so far below m that the difference has another sign are as good as those at 0. */
static void
row_bound(Cg *c, const Attend *a, Val first, Val row)
{
    const Val m = cg_splat(c, attend_one(c, a->most, cg_add(c, first, row)), c->lanes);
    for (int col = 0; col < STEP; col += c->lanes) {
        const Val at = scores_at(c, a, row, col);
        const Val score = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
        cg_vstore(c, at, DTYPE_f32, cg_vmax(c, m, score), c->lanes, NULL);
    }
}

static void
row_greatest(Cg *c, const Attend *a, Val row)
{
    Val most = NULL;
    for (int col = 0; col < STEP; col += c->lanes) {
        const Val score = cg_vload(c, scores_at(c, a, row, col), DTYPE_f32, c->lanes, NULL);
        most = most ? cg_vmax(c, most, score) : score;
    }
    cg_vstore(c, partial_at(c, a, row), DTYPE_f32, most, c->lanes, NULL);
}

/* The step's weights are made again with other m. O and its sums are those of the steps before. */
static void
weights_again(Cg *c, const Attend *a, Val first)
{
    CgLoop most = cg_loop(c, "greatest", cg_i64(c, 0), cg_i64(c, ROWS), 1);
    row_greatest(c, a, most.i);
    cg_loop_end(c, &most);
    for (int from = 0; from < ROWS; from += c->lanes)
        rows_turn(c, a, first, from);
    CgLoop row = cg_loop(c, "bound", cg_i64(c, 0), cg_i64(c, ROWS), 1);
    row_bound(c, a, first, row.i);
    cg_loop_end(c, &row);
    weights(c, a, first);
}

/* ---- the walk ------------------------------------------------------------------------------ */

static Band
band_of(Cg *c, const Attend *a, Val first)
{
    const Val last =
        cg_sub(c, cg_min(c, cg_add(c, first, cg_i64(c, ROWS)), a->nrows), cg_i64(c, 1));
    Band b = {.first = first,
              .low = attend_position(c, a, first),
              .high = attend_position(c, a, last),
              .from = cg_i64(c, 0)};
    b.end = cg_add(c, b.high, cg_i64(c, 1));
    if (a->window > 0) {
        const Val begin = cg_sub(c, b.low, cg_i64(c, a->window - 1)), step = cg_i64(c, STEP);
        b.from = cg_mul(c, cg_div(c, cg_max(c, b.from, begin), step), step);
    }
    return b;
}

/* i1: some row does not look at all of the step. */
static Val
is_edge(Cg *c, const Attend *a, const Band *b)
{
    const Val after = cg_less(c, b->low, cg_add(c, a->at, cg_i64(c, STEP - 1)));
    if (a->window == 0)
        return after;
    const Val from = cg_sub(c, b->high, cg_i64(c, a->window - 1));
    return LLVMBuildOr(c->b, after, cg_less(c, a->at, from), "");
}

/* The step's scores as they count. */
static void
settle(Cg *c, const Attend *a, const Band *b, bool mask)
{
    CgLoop row = cg_loop(c, "settle", cg_i64(c, 0), cg_i64(c, ROWS), 1);
    const Val position = attend_position(c, a, cg_add(c, b->first, row.i));
    for (int col = 0; col < STEP; col += c->lanes) {
        const Val at = scores_at(c, a, row.i, col);
        Val score = attend_capped(c, a, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        if (a->cap > 0)
            score = cg_fmul(c, score, cg_like(c, score, OCTAVE));
        if (mask)
            score = attend_masked(c, a, score, cg_add(c, a->at, cg_i64(c, col)), position);
        cg_vstore(c, at, DTYPE_f32, score, c->lanes, NULL);
    }
    cg_loop_end(c, &row);
}

static void
settle_scores(Cg *c, const Attend *a, const Band *b)
{
    CgIf edge = cg_if(c, is_edge(c, a, b));
    settle(c, a, b, true);
    if (a->cap > 0) {
        cg_else(c, &edge);
        settle(c, a, b, false);
    }
    cg_endif(c, &edge);
}

/* Tokens of the past that all bands of a block go through before the next: their keys and values
 * are an eighth of the second-level cache, and those of the next stretch are asked for meanwhile.
 */
static int64_t
stretch_of(const Cg *c, const Attend *a)
{
    const int64_t fit = c->machine->l2_bytes / 8 / (2 * (a->head_dim + a->value_dim)) / STEP * STEP;
    return fit > STEP ? fit : STEP;
}

/* Steps from `from` to `end`; P of the last is still to be multiplied when the loop ends. */
static void
band_walk(Cg *c, Attend *a, const Band *b, Val from, Val end)
{
    const Val step = cg_i64(c, STEP), beyond = cg_var(c, c->i1, NULL, "beyond");
    CgLoop past = cg_loop(c, "past", from, end, STEP);
    a->at = past.i;
    scores(c, a, b, stretch_of(c, a));
    settle_scores(c, a, b);
    CgIf later = cg_if(c, cg_less(c, from, a->at));
    cg_set(c, beyond, outputs_and_weights(c, a, b->first, cg_sub(c, a->at, step)));
    cg_else(c, &later);
    cg_set(c, beyond, weights(c, a, b->first));
    cg_endif(c, &later);
    CgIf again = cg_if(c, cg_get(c, c->i1, beyond));
    weights_again(c, a, b->first);
    cg_endif(c, &again);
    cg_loop_end(c, &past);
    CgIf some = cg_if(c, cg_less(c, from, end));
    const Val steps = cg_div_up(c, cg_sub(c, end, from), step);
    const Val last = cg_mul(c, cg_sub(c, steps, cg_i64(c, 1)), step);
    outputs(c, a, b->first, cg_add(c, from, last), NULL);
    cg_endif(c, &some);
}

/* Rows that no token has, up to whole bands: with scores of 0, and m as it is. */
static void
rows_fill(Cg *c, const Attend *a)
{
    const Val bands = cg_div_up(c, a->nrows, cg_i64(c, ROWS));
    CgLoop row = cg_loop(c, "fill", a->nrows, cg_mul(c, bands, cg_i64(c, ROWS)), 1);
    cg_vstore(c, attend_f32(c, a->most, row.i), DTYPE_f32, cg_f32(c, -(double)ORIGIN), 1, NULL);
    const Val line = cg_at(c, a->q_rows, DTYPE_bf16, cg_mul(c, row.i, cg_i64(c, a->q_stride)));
    const Val zero = cg_splat(c, cg_f32(c, 0), c->lanes);
    for (int64_t p = 0; p < a->q_stride; p += c->lanes)
        cg_vstore(c, cg_at(c, line, DTYPE_bf16, cg_i64(c, p)), DTYPE_bf16, zero, c->lanes, NULL);
    cg_loop_end(c, &row);
    CgLoop pair = cg_loop(c, "ones", cg_i64(c, 0), cg_i64(c, CG_UNIT_TILE / 4), c->lanes);
    const Val ones = LLVMConstInt(c->i32, ONES << 16 | ONES, 0);
    cg_vstore(c, cg_at(c, a->ones, DTYPE_i32, pair.i), DTYPE_i32, cg_splat(c, ones, c->lanes),
              c->lanes, NULL);
    cg_loop_end(c, &pair);
}

static void
sums_out(Cg *c, const Attend *a)
{
    CgLoop row = cg_loop(c, "sum", cg_i64(c, 0), a->nrows, 1);
    const Val line = cg_mul(c, row.i, cg_i64(c, a->o_stride));
    const Val sum = attend_one(c, a->o, cg_add(c, line, cg_i64(c, sums_column(a))));
    cg_vstore(c, attend_f32(c, a->sum, row.i), DTYPE_f32, sum, 1, NULL);
    cg_loop_end(c, &row);
}

Val
attend_unit_most(Cg *c, const Attend *a, Val row)
{
    const Val m = cg_fadd(c, attend_one(c, a->most, row), cg_f32(c, ORIGIN));
    return cg_fmul(c, m, cg_f32(c, 1.0 / OCTAVE));
}

void
attend_unit_walk(Cg *c, Attend *a, Val from, Val end)
{
    const int64_t length = stretch_of(c, a);
    rows_fill(c, a);
    CgLoop stretch = cg_loop(c, "stretch", from, end, length);
    const Val stop = cg_min(c, end, cg_add(c, stretch.i, cg_i64(c, length)));
    CgLoop row = cg_loop(c, "band", cg_i64(c, 0), a->nrows, ROWS);
    const Band band = band_of(c, a, row.i);
    band_walk(c, a, &band, cg_max(c, band.from, stretch.i), cg_min(c, band.end, stop));
    cg_loop_end(c, &row);
    cg_loop_end(c, &stretch);
    sums_out(c, a);
}
