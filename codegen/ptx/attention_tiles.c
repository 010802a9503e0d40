/* codegen/ptx/attention_tiles.c -- attention of a warp's rows by products of 16 x 8 x 16 bf16: what
 * attention.h says of Tiles. */
#include <math.h>

#include "codegen/ptx/attention.h"

enum { KEY_WORDS = KEPT_GROUP, TOKENS = 32, COLUMNS = 4 /* products that make TOKENS */ };

static Val
word_at(Cg *c, Val base, int64_t words)
{
    return cg_offset(c, base, cg_i64(c, words * 4));
}

/* <count x i32> at once. */
static Val
load_words(Cg *c, Val at, int count)
{
    const Val words = LLVMBuildLoad2(c->b, cg_vec_of(c->i32, count), at, "");
    LLVMSetAlignment(words, (unsigned)count * 4);
    return words;
}

static Val
word(Cg *c, Val words, int i)
{
    return cg_lanes_of(words) == 1 ? words : cg_slice(c, words, i, 1);
}

/* ---- opening -----------------------------------------------------------------------------------
 */

void
tiles_open(Cg *c, Tiles *x, const Attention *a, int tall, bool shared)
{
    enum { HELD = 128 };
    const int64_t P = a->head_dim, V = a->value_dim;
    *x = (Tiles){.a = a, .tall = tall, .shared = shared};
    x->steps = (int)((P + 15) / 16);
    x->wide = V % 4 == 0 ? 4 : 1;
    x->outs = (int)(x->wide == 4 ? (V + 31) / 32 * 4 : (V + 7) / 8);
    x->stride = shared && x->wide == 4 ? round_up(V, 32) : V;
    x->held = P <= HELD && V <= HELD;
    x->halves = x->held ? 2 : 1;
    x->q_stride = 16 * x->steps + 8; /* rows begin in different banks */
    x->t = LLVMBuildAnd(c->b, ptx_lane(c), cg_i64(c, 3), "");
    for (int i = 0; i < tall; i++) {
        for (int n = 0; n < x->outs; n++)
            for (int e = 0; e < 4; e++)
                x->o[i][n][e] = cg_var(c, c->f32, NULL, "o");
        for (int r = 0; r < 2; r++) {
            x->most[i][r] = cg_var(c, c->f32, NULL, "most");
            x->sum[i][r] = cg_var(c, c->f32, NULL, "sum");
        }
    }
}

int64_t
tiles_query_bytes(const Tiles *x, int64_t rows)
{
    return rows * x->q_stride * 2;
}

int64_t
tiles_out_stride(const Tiles *x)
{
    return round_up(x->a->value_dim, 32) + 4; /* rows begin in different banks */
}

void
tiles_stage_queries(Cg *c, const Tiles *x, Val to, Val first, int64_t rows, Val lane, int64_t lanes)
{
    const Attention *a = x->a;
    const int64_t pairs = 8 * x->steps, P = a->head_dim;
    const Val one = cg_i64(c, 1), two = cg_i64(c, 2), width = cg_i64(c, pairs);
    CgLoop item = cg_loop(c, "query", lane, cg_i64(c, rows * pairs), lanes);
    const Val in_rows = cg_div(c, item.i, width), row = cg_add(c, first, in_rows);
    const Val col = cg_mul(c, cg_sub(c, item.i, cg_mul(c, in_rows, width)), two);
    const Val at =
        cg_at(c, to, DTYPE_bf16, cg_add(c, cg_mul(c, in_rows, cg_i64(c, x->q_stride)), col));
    Val there = attention_is_row(c, a, row);
    if (2 * pairs > P)
        there = LLVMBuildAnd(c->b, there, cg_less(c, col, cg_i64(c, P)), "");
    const Val pair = cg_var(c, c->i32, LLVMConstInt(c->i32, 0, 0), "pair");
    CgIf inside = cg_if(c, there);
    const Val low = attention_query(c, a, row, col);
    cg_set(c, pair, ptx_pair(c, low, attention_query(c, a, row, cg_add(c, col, one))));
    cg_endif(c, &inside);
    LLVMSetAlignment(LLVMBuildStore(c->b, cg_get(c, c->i32, pair), at), 4);
    cg_loop_end(c, &item);
}

/* Queries of 16 rows and a step's 16 channels, as a product's left operand. */
static void
queries(Cg *c, const Tiles *x, int tall, int step, Val out[4])
{
    const int64_t element = 16 * tall * x->q_stride + 16 * step;
    ptx_load_matrices(c, cg_offset(c, x->q_at, cg_i64(c, 2 * element)), false, out);
}

void
tiles_begin(Cg *c, Tiles *x, Val from, Val first)
{
    const Val lane = ptx_lane(c), eight = cg_i64(c, 8), four = cg_i64(c, 4);
    const Val line = LLVMBuildAnd(c->b, lane, cg_i64(c, 15), "");
    const Val col = cg_mul(c, cg_div(c, lane, cg_i64(c, 16)), eight);
    const Val element = cg_add(c, cg_mul(c, line, cg_i64(c, x->q_stride)), col);
    x->q_at = cg_offset(c, from, cg_mul(c, element, cg_i64(c, 2)));
    for (int i = 0; i < x->tall; i++) {
        for (int s = 0; x->held && s < x->steps; s++)
            queries(c, x, i, s, x->q[i][s]);
        for (int r = 0; r < 2; r++) {
            const Val row =
                cg_add(c, cg_add(c, first, cg_i64(c, 16 * i + 8 * r)), cg_div(c, lane, four));
            x->position[i][r] = attention_position(c, x->a, row);
            cg_set(c, x->most[i][r], cg_f32(c, -0x1p100));
            cg_set(c, x->sum[i][r], cg_f32(c, 0));
        }
        for (int n = 0; n < x->outs; n++)
            for (int e = 0; e < 4; e++)
                cg_set(c, x->o[i][n][e], cg_f32(c, 0));
    }
}

/* ---- scores ------------------------------------------------------------------------------------
 */

typedef struct {
    Val s[MOST_TALL][2][COLUMNS][4];
} Scores;

/* This lane's part of a row of words: from its word on, but for the swizzle: a row's chunks of 4
 * words change places so that the rows that a quarter of a warp reads lie in different banks. */
static Val
chunk_of(Cg *c, const Tiles *x)
{
    const Val g = cg_div(c, ptx_lane(c), cg_i64(c, 4));
    if (!x->shared)
        return g;
    return LLVMBuildXor(c->b, g, cg_mul(c, x->t, cg_i64(c, 2)), "");
}

/* Keys of a step's channels: the pairs that are row t + 4 e of its 8, 4 tokens of 32. Channels that
 * no head has are zeros. */
static Val
keys_of(Cg *c, const Tiles *x, Val at, int step, int e, int half)
{
    const int64_t row = 8 * step + 4 * e, pairs = x->a->head_dim / 2;
    const Val words = load_words(c, word_at(c, at, row * KEY_WORDS + TOKENS * half), 4);
    if (x->shared || row + 4 <= pairs)
        return words;
    const Val there = cg_less(c, x->t, cg_i64(c, pairs - row));
    return LLVMBuildSelect(c->b, there, words, LLVMConstNull(LLVMTypeOf(words)), "");
}

static void
scores_step(Cg *c, Tiles *x, Scores *s, int step, const Val (*keys)[2], int halves)
{
    for (int i = 0; i < x->tall; i++) {
        Val own[4], *q = x->held ? x->q[i][step] : own;
        if (!x->held)
            queries(c, x, i, step, own);
        for (int h = 0; h < halves; h++)
            for (int j = 0; j < COLUMNS; j++) {
                const Val b[2] = {word(c, keys[h][0], j), word(c, keys[h][1], j)};
                ptx_mma_bf16(c, s->s[i][h][j], q, b);
            }
    }
}

/* Of 32 tokens `half`, or of it and the next. Keys that are not in shared memory are all asked for
 * before the first is used, as many as registers hold. */
static void
scores(Cg *c, Tiles *x, Scores *s, Val keys, int half)
{
    enum { AHEAD = 8, FEW = 4 }; /* few: beside many sums */
    const int ahead = x->shared ? 1 : x->held ? AHEAD : FEW, halves = x->halves;
    Val words[AHEAD][2][2];
    for (int i = 0; i < x->tall; i++)
        for (int h = 0; h < halves; h++)
            for (int j = 0; j < COLUMNS; j++)
                for (int e = 0; e < 4; e++)
                    s->s[i][h][j][e] = cg_f32(c, 0);
    for (int first = 0; first < x->steps; first += ahead) {
        const int end = first + ahead < x->steps ? first + ahead : x->steps;
        for (int step = first; step < end; step++)
            for (int h = 0; h < halves; h++)
                for (int e = 0; e < 2; e++)
                    words[step - first][h][e] = keys_of(c, x, keys, step, e, half + h);
        for (int step = first; step < end; step++)
            scores_step(c, x, s, step, (const Val(*)[2])words[step - first], halves);
    }
}

/* As they count: with the cap, and -inf where a row does not look. */
static void
scores_count(Cg *c, Tiles *x, Scores *s, int half, Val at, Val edge)
{
    Val var[MOST_TALL][2][COLUMNS][4];
    const Val lane = cg_add(c, at, cg_mul(c, x->t, cg_i64(c, 8)));
    const Val token = LLVMBuildTrunc(c->b, lane, c->i32, "");
    for (int i = 0; i < x->tall; i++)
        for (int h = 0; h < x->halves; h++)
            for (int j = 0; j < COLUMNS; j++)
                for (int e = 0; e < 4; e++)
                    var[i][h][j][e] =
                        cg_var(c, c->f32, attention_capped(c, x->a, s->s[i][h][j][e]), "s");
    CgIf some = cg_if(c, edge);
    for (int i = 0; i < x->tall; i++)
        for (int r = 0; r < 2; r++) {
            const Val before = LLVMBuildSub(c->b, x->position[i][r], token, "");
            for (int h = 0; h < x->halves; h++)
                for (int j = 0; j < COLUMNS; j++)
                    for (int e = 0; e < 2; e++) {
                        const int number = TOKENS * (half + h) + 4 * e + j;
                        const Val n = LLVMConstInt(c->i32, (unsigned)number, 0);
                        const Val after = LLVMBuildSub(c->b, before, n, "");
                        Val *v = &var[i][h][j][2 * r + e];
                        cg_set(c, *v, attention_masked(c, x->a, cg_get(c, c->f32, *v), after));
                    }
        }
    cg_endif(c, &some);
    for (int i = 0; i < x->tall; i++)
        for (int h = 0; h < x->halves; h++)
            for (int j = 0; j < COLUMNS; j++)
                for (int e = 0; e < 4; e++)
                    s->s[i][h][j][e] = cg_get(c, c->f32, var[i][h][j][e]);
}

/* ---- weights -----------------------------------------------------------------------------------
 */

/* A row's scores become weights; what was summed before them is scaled. */
static void
row_weights(Cg *c, Tiles *x, Scores *s, int i, int r)
{
    Val here = NULL;
    for (int h = 0; h < x->halves; h++)
        for (int j = 0; j < COLUMNS; j++)
            for (int e = 2 * r; e < 2 * r + 2; e++)
                here = here ? ptx_max(c, here, s->s[i][h][j][e]) : s->s[i][h][j][e];
    const Val old = cg_get(c, c->f32, x->most[i][r]);
    const Val most = ptx_max(c, old, ptx_warp_fold(c, here, 4, ptx_max));
    const Val factor = ptx_exp2(c, cg_fsub(c, old, most));
    Val sum = cg_fmul(c, cg_get(c, c->f32, x->sum[i][r]), factor);
    for (int h = 0; h < x->halves; h++)
        for (int j = 0; j < COLUMNS; j++)
            for (int e = 2 * r; e < 2 * r + 2; e++) {
                Val *w = &s->s[i][h][j][e];
                *w = ptx_exp2(c, cg_fsub(c, *w, most));
                sum = cg_fadd(c, sum, *w);
            }
    cg_set(c, x->most[i][r], most);
    cg_set(c, x->sum[i][r], sum);
    for (int n = 0; n < x->outs; n++)
        for (int e = 2 * r; e < 2 * r + 2; e++)
            cg_set(c, x->o[i][n][e], cg_fmul(c, cg_get(c, c->f32, x->o[i][n][e]), factor));
}

/* ---- outputs -----------------------------------------------------------------------------------
 */

/* Weights of 16 of 32 tokens as a product's left operand: tokens 8 t + 4 u and the 3 after. */
static void
weights_of(Cg *c, const Scores *s, int i, int h, int u, Val out[4])
{
    for (int e = 0; e < 2; e++)
        for (int r = 0; r < 2; r++)
            out[2 * e + r] =
                ptx_pair(c, s->s[i][h][2 * e][2 * r + u], s->s[i][h][2 * e + 1][2 * r + u]);
}

/* Values of those tokens: pair e of the two, in `wide` channels of product `out` and those after.
 */
static Val
values_of(Cg *c, const Tiles *x, Val at, int half, int u, int e, int out)
{
    const int64_t row = TOKENS / 2 * half + 2 * u + e, from = 8 * out;
    return load_words(c, word_at(c, at, row * x->stride + from), x->wide);
}

static void
outputs(Cg *c, Tiles *x, const Scores *s, Val values, int half)
{
    for (int h = 0; h < x->halves; h++)
        for (int u = 0; u < 2; u++) {
            Val weights[MOST_TALL][4];
            for (int i = 0; i < x->tall; i++)
                weights_of(c, s, i, h, u, weights[i]);
            for (int n = 0; n < x->outs; n += x->wide) {
                const Val v[2] = {values_of(c, x, values, half + h, u, 0, n),
                                  values_of(c, x, values, half + h, u, 1, n)};
                for (int i = 0; i < x->tall; i++)
                    for (int j = 0; j < x->wide; j++) {
                        const Val b[2] = {word(c, v[0], j), word(c, v[1], j)};
                        Val acc[4];
                        for (int e = 0; e < 4; e++)
                            acc[e] = cg_get(c, c->f32, x->o[i][n + j][e]);
                        ptx_mma_bf16(c, acc, weights[i], b);
                        for (int e = 0; e < 4; e++)
                            cg_set(c, x->o[i][n + j][e], acc[e]);
                    }
            }
        }
}

void
tiles_walk(Cg *c, Tiles *x, Val keys, Val values, Val at, Val edge)
{
    const Val chunk = cg_mul(c, chunk_of(c, x), cg_i64(c, 4)),
              g = cg_div(c, ptx_lane(c), cg_i64(c, 4));
    const Val key = cg_add(c, cg_mul(c, x->t, cg_i64(c, KEY_WORDS)), chunk);
    const Val value =
        cg_add(c, cg_mul(c, x->t, cg_i64(c, 4 * x->stride)), x->wide == 4 ? chunk : g);
    const Val keys_at = cg_offset(c, keys, cg_mul(c, key, cg_i64(c, 4)));
    const Val values_at = cg_offset(c, values, cg_mul(c, value, cg_i64(c, 4)));
    for (int half = 0; half < 2; half += x->halves) {
        Scores s;
        scores(c, x, &s, keys_at, half);
        scores_count(c, x, &s, half, at, edge);
        for (int i = 0; i < x->tall; i++)
            for (int r = 0; r < 2; r++)
                row_weights(c, x, &s, i, r);
        outputs(c, x, &s, values_at, half);
    }
}

/* ---- the end -----------------------------------------------------------------------------------
 */

void
tiles_end(Cg *c, Tiles *x)
{
    for (int i = 0; i < x->tall; i++)
        for (int r = 0; r < 2; r++)
            cg_set(c, x->sum[i][r], ptx_warp_fold(c, cg_get(c, c->f32, x->sum[i][r]), 4, cg_fadd));
}

/* Columns 2 t and 2 t + 1 of 4 products are channels 8 t .. 8 t + 7 of 32; or those of 8. */
void
tiles_store(Cg *c, const Tiles *x, Val to, int64_t stride, Val factor[MOST_TALL][2])
{
    const Val g = cg_div(c, ptx_lane(c), cg_i64(c, 4));
    const Val from = cg_mul(c, x->t, cg_i64(c, 2 * x->wide));
    for (int i = 0; i < x->tall; i++)
        for (int r = 0; r < 2; r++) {
            const Val row = cg_add(c, g, cg_i64(c, 16 * i + 8 * r));
            const Val line = cg_element(c, to, DTYPE_f32, row, stride, from);
            for (int n = 0; n < x->outs; n++)
                for (int e = 0; e < 2; e++) {
                    const int group = n / x->wide * x->wide, j = n - group;
                    const Val o = cg_get(c, c->f32, x->o[i][n][2 * r + e]);
                    const Val at =
                        cg_at(c, line, DTYPE_f32, cg_i64(c, 8 * group + x->wide * e + j));
                    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, o, factor[i][r]), 1, NULL);
                }
        }
}
