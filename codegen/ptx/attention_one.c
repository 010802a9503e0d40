/* codegen/ptx/attention_one.c -- attention of single tokens, as decode has them: a block takes the
 * heads of a group in one token, and its warps divide the past: groups of 64 tokens in turn, by
 * their position alone. Each has its own running softmax; they are joined in shared memory.
 *
 *     warp w: q of all heads; for the groups w, w + WARPS, ... of the past: S, P, O of them
 *     m = max m_w, l = sum l_w 2^(m_w - m), y = sum O_w 2^(m_w - m) / l
 *
 * Keys and values are read once, from where they are kept, into the registers that multiply them:
 * no other warp wants them. bf16 are multiplied as tiles of 16 rows, of which the heads are some:
 * time is memory's, not theirs. A single sequence has as many blocks as groups of heads: what it
 * reads in a second is what so many multiprocessors can ask for, not what memory could give. */
#include <math.h>

#include "codegen/ptx/attention.h"

enum { WARPS = 8, THREADS = WARPS * GPU_WARP, TILE_ROWS = 16, MOST_HEADS = 8 /* of f32 */ };

typedef struct {
    Attention *a;
    int64_t rows, stride; /* of O of a warp */
    Val queries;          /* shared, as are: */
    Val most, sum, o;     /* [WARPS,rows], [WARPS,rows], [WARPS,rows,stride] */
    Val from, end;        /* of the past */
} One;

static Val
number_at(Cg *c, Val base, Val index)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

static void
put_number(Cg *c, Val base, Val index, Val x)
{
    cg_vstore(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, x, 1, NULL);
}

/* Row of this warp in most and sum. */
static Val
of_warp(Cg *c, const One *x, Val row)
{
    return cg_add(c, cg_mul(c, ptx_warp(c), cg_i64(c, x->rows)), row);
}

static Val
own_outputs(Cg *c, const One *x)
{
    return cg_at(c, x->o, DTYPE_f32, cg_mul(c, ptx_warp(c), cg_i64(c, x->rows * x->stride)));
}

/* The groups of this warp. */
static CgLoop
past(Cg *c, const One *x)
{
    const Val before = cg_mul(c, ptx_warp(c), cg_i64(c, KEPT_GROUP));
    return cg_loop(c, "past", cg_add(c, x->from, before), x->end, (int64_t)KEPT_GROUP * WARPS);
}

/* ---- bf16 --------------------------------------------------------------------------------------
 */

static void
tiles_past(Cg *c, One *x)
{
    const Attention *a = x->a;
    const Val one = cg_f32(c, 1), zero = cg_i64(c, 0);
    Val ones[MOST_TALL][2] = {
        {one, one}
    };
    Tiles t;
    tiles_open(c, &t, a, 1, false);
    tiles_stage_queries(c, &t, x->queries, zero, TILE_ROWS, ptx_thread(c), THREADS);
    ptx_barrier(c);
    tiles_begin(c, &t, x->queries, zero);
    CgLoop group = past(c, x);
    tiles_walk(c, &t, attention_piece(c, a, a->keys, a->keys_at, group.i),
               attention_piece(c, a, a->values, a->values_at, group.i), group.i,
               attention_is_edge(c, a, group.i));
    cg_loop_end(c, &group);
    tiles_end(c, &t);
    tiles_store(c, &t, own_outputs(c, x), x->stride, ones);
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, t.t, zero, ""));
    for (int r = 0; r < 2; r++) {
        const Val row = cg_add(c, cg_div(c, ptx_lane(c), cg_i64(c, 4)), cg_i64(c, 8 * r));
        put_number(c, x->most, of_warp(c, x, row), cg_get(c, c->f32, t.most[0][r]));
        put_number(c, x->sum, of_warp(c, x, row), cg_get(c, c->f32, t.sum[0][r]));
    }
    cg_endif(c, &first);
}

/* ---- f32 ---------------------------------------------------------------------------------------
 */

enum { AHEAD = 8, SEEN = KEPT_GROUP / GPU_WARP, MOST_SUMS = MOST_CHANNELS / GPU_WARP };

/* A lane has the scores of two tokens, and every 32nd channel of O, or that many times `wide`. */
typedef struct {
    int64_t heads, q_stride;
    int wide;
    int64_t sums;                          /* channels of a lane */
    Val weights;                           /* shared, of the warp: [heads,64] */
    Val most[MOST_HEADS], sum[MOST_HEADS]; /* variables */
    Val s[MOST_HEADS][SEEN], o[MOST_HEADS][MOST_SUMS];
} Lanes;

static void
stage_numbers(Cg *c, const One *x, const Lanes *l)
{
    const Val width = cg_i64(c, x->a->head_dim);
    CgLoop i = cg_loop(c, "query", ptx_thread(c), cg_i64(c, l->heads * x->a->head_dim), THREADS);
    const Val row = cg_div(c, i.i, width), col = cg_sub(c, i.i, cg_mul(c, row, width));
    const Val q = cg_var(c, c->f32, cg_f32(c, 0), "q");
    CgIf there = cg_if(c, attention_is_row(c, x->a, row));
    cg_set(c, q, attention_query(c, x->a, row, col));
    cg_endif(c, &there);
    put_number(c, x->queries, cg_add(c, cg_mul(c, row, cg_i64(c, l->q_stride)), col),
               cg_get(c, c->f32, q));
    cg_loop_end(c, &i);
}

/* The products of `count` channels from `channel` on: keys are asked for first. */
static void
add_channels(Cg *c, const One *x, const Lanes *l, Val keys, Val channel, int count)
{
    Val k[AHEAD];
    const Val own = cg_mul(c, ptx_lane(c), cg_i64(c, SEEN));
    for (int i = 0; i < count; i++) {
        const Val line = cg_mul(c, cg_add(c, channel, cg_i64(c, i)), cg_i64(c, KEPT_GROUP));
        k[i] = ptx_load(c, cg_at(c, keys, DTYPE_f32, cg_add(c, line, own)), DTYPE_f32, SEEN);
    }
    const int together = count % 4 == 0 ? 4 : 1;
    for (int64_t h = 0; h < l->heads; h++)
        for (int first = 0; first < count; first += together) {
            const Val at = cg_add(c, channel, cg_i64(c, h * l->q_stride + first));
            const Val q = ptx_load(c, cg_at(c, x->queries, DTYPE_f32, at), DTYPE_f32, together);
            for (int i = 0; i < together; i++)
                for (int e = 0; e < SEEN; e++) {
                    const Val one = together == 1 ? q : cg_slice(c, q, i, 1), s = l->s[h][e];
                    cg_set(c, s,
                           cg_fma(c, one, cg_slice(c, k[first + i], e, 1), cg_get(c, c->f32, s)));
                }
        }
}

static void
lane_scores(Cg *c, const One *x, const Lanes *l, Val keys)
{
    const int64_t P = x->a->head_dim, whole = P % 4 == 0 ? P / AHEAD * AHEAD : 0;
    for (int64_t h = 0; h < l->heads; h++)
        for (int e = 0; e < SEEN; e++)
            cg_set(c, l->s[h][e], cg_f32(c, 0));
    CgLoop channel = cg_loop(c, "channel", cg_i64(c, 0), cg_i64(c, whole), AHEAD);
    add_channels(c, x, l, keys, channel.i, AHEAD);
    cg_loop_end(c, &channel);
    CgLoop rest = cg_loop(c, "rest", cg_i64(c, whole), cg_i64(c, P), 1);
    add_channels(c, x, l, keys, rest.i, 1);
    cg_loop_end(c, &rest);
}

/* Scores as they count become weights, in shared memory; what was summed before is scaled. */
static void
lane_weights(Cg *c, const One *x, const Lanes *l, Val at)
{
    const Attention *a = x->a;
    const Val own = cg_mul(c, ptx_lane(c), cg_i64(c, SEEN)), token = cg_add(c, at, own);
    const Val position = attention_position(c, a, cg_i64(c, 0));
    const Val before = LLVMBuildSub(c->b, position, LLVMBuildTrunc(c->b, token, c->i32, ""), "");
    for (int64_t h = 0; h < l->heads; h++) {
        Val s[SEEN];
        for (int e = 0; e < SEEN; e++) {
            const Val n = LLVMConstInt(c->i32, (unsigned long long)e, 0);
            const Val counted = attention_capped(c, a, cg_get(c, c->f32, l->s[h][e]));
            s[e] = attention_masked(c, a, counted, LLVMBuildSub(c->b, before, n, ""));
        }
        const Val old = cg_get(c, c->f32, l->most[h]);
        const Val here = ptx_warp_fold(c, ptx_max(c, s[0], s[1]), GPU_WARP, ptx_max);
        const Val most = ptx_max(c, old, here), factor = ptx_exp2(c, cg_fsub(c, old, most));
        Val sum = cg_fmul(c, cg_get(c, c->f32, l->sum[h]), factor);
        for (int e = 0; e < SEEN; e++) {
            s[e] = ptx_exp2(c, cg_fsub(c, s[e], most));
            sum = cg_fadd(c, sum, s[e]);
            put_number(c, l->weights, cg_add(c, own, cg_i64(c, h * KEPT_GROUP + e)), s[e]);
        }
        cg_set(c, l->most[h], most);
        cg_set(c, l->sum[h], sum);
        for (int64_t n = 0; n < l->sums; n++)
            cg_set(c, l->o[h][n], cg_fmul(c, cg_get(c, c->f32, l->o[h][n]), factor));
    }
}

/* Channel n of a lane's; i1: the head has it. */
static Val
channel_of(Cg *c, const Lanes *l, int64_t n)
{
    const Val first = cg_mul(c, ptx_lane(c), cg_i64(c, l->wide));
    return cg_add(c, first, cg_i64(c, n / l->wide * l->wide * GPU_WARP + n % l->wide));
}

static Val
is_channel(Cg *c, const One *x, Val channel)
{
    return cg_less(c, channel, cg_i64(c, x->a->value_dim));
}

/* 4 tokens from `token` on. Channels that the head has not are its first. */
static void
add_tokens(Cg *c, const One *x, const Lanes *l, Val values, Val token)
{
    enum { TOKENS = 4 };
    Val v[TOKENS][MOST_SUMS];
    for (int i = 0; i < TOKENS; i++) {
        const Val row = cg_mul(c, cg_add(c, token, cg_i64(c, i)), cg_i64(c, x->a->value_dim));
        for (int64_t n = 0; n < l->sums; n += l->wide) {
            Val channel = channel_of(c, l, n);
            channel = LLVMBuildSelect(c->b, is_channel(c, x, channel), channel, cg_i64(c, 0), "");
            v[i][n] = ptx_load(c, cg_at(c, values, DTYPE_f32, cg_add(c, row, channel)), DTYPE_f32,
                               l->wide);
        }
    }
    for (int64_t h = 0; h < l->heads; h++) {
        const Val at = cg_add(c, token, cg_i64(c, h * KEPT_GROUP));
        const Val w = ptx_load(c, cg_at(c, l->weights, DTYPE_f32, at), DTYPE_f32, TOKENS);
        for (int i = 0; i < TOKENS; i++)
            for (int64_t n = 0; n < l->sums; n++) {
                const Val all = v[i][n / l->wide * l->wide], o = l->o[h][n];
                const Val one = l->wide == 1 ? all : cg_slice(c, all, (int)(n % l->wide), 1);
                cg_set(c, o, cg_fma(c, cg_slice(c, w, i, 1), one, cg_get(c, c->f32, o)));
            }
    }
}

static void
lanes_open(Cg *c, const One *x, Lanes *l)
{
    const int64_t V = x->a->value_dim;
    *l = (Lanes){.heads = x->a->taken, .q_stride = round_up(x->a->head_dim, 4), .wide = 1};
    while (l->wide < 4 && V % (2 * l->wide) == 0 && V >= 2 * l->wide * GPU_WARP)
        l->wide *= 2;
    l->sums = (V + GPU_WARP * l->wide - 1) / (GPU_WARP * l->wide) * l->wide;
    const int64_t weights = l->heads * KEPT_GROUP;
    const Val all = ptx_shared(c, x->a->k, WARPS * weights * 4);
    l->weights = cg_at(c, all, DTYPE_f32, cg_mul(c, ptx_warp(c), cg_i64(c, weights)));
    for (int64_t h = 0; h < l->heads; h++) {
        l->most[h] = cg_var(c, c->f32, cg_f32(c, -0x1p100), "most");
        l->sum[h] = cg_var(c, c->f32, cg_f32(c, 0), "sum");
        for (int e = 0; e < SEEN; e++)
            l->s[h][e] = cg_var(c, c->f32, NULL, "s");
        for (int64_t n = 0; n < l->sums; n++)
            l->o[h][n] = cg_var(c, c->f32, cg_f32(c, 0), "o");
    }
}

static void
lanes_end(Cg *c, const One *x, const Lanes *l)
{
    for (int64_t h = 0; h < l->heads; h++) {
        const Val row = cg_i64(c, h);
        const Val sum = ptx_warp_fold(c, cg_get(c, c->f32, l->sum[h]), GPU_WARP, cg_fadd);
        CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
        put_number(c, x->most, of_warp(c, x, row), cg_get(c, c->f32, l->most[h]));
        put_number(c, x->sum, of_warp(c, x, row), sum);
        cg_endif(c, &first);
        const Val line = cg_at(c, own_outputs(c, x), DTYPE_f32, cg_i64(c, h * x->stride));
        for (int64_t n = 0; n < l->sums; n++) {
            const Val channel = channel_of(c, l, n);
            CgIf inside = cg_if(c, is_channel(c, x, channel));
            put_number(c, line, channel, cg_get(c, c->f32, l->o[h][n]));
            cg_endif(c, &inside);
        }
    }
}

static void
numbers_past(Cg *c, One *x)
{
    const Attention *a = x->a;
    Lanes l;
    lanes_open(c, x, &l);
    stage_numbers(c, x, &l);
    ptx_barrier(c);
    CgLoop group = past(c, x);
    lane_scores(c, x, &l, attention_piece(c, a, a->keys, a->keys_at, group.i));
    ptx_warp_barrier(c); /* all have read the weights before */
    lane_weights(c, x, &l, group.i);
    ptx_warp_barrier(c);
    const Val values = attention_piece(c, a, a->values, a->values_at, group.i);
    CgLoop token = cg_loop(c, "token", cg_i64(c, 0), cg_i64(c, KEPT_GROUP), 4);
    add_tokens(c, x, &l, values, token.i);
    cg_loop_end(c, &token);
    cg_loop_end(c, &group);
    lanes_end(c, x, &l);
}

/* ---- what the warps have, joined ---------------------------------------------------------------
 */

/* In the place of each warp's sum: what its O is multiplied by. */
static void
join_factors(Cg *c, const One *x)
{
    const int64_t items = WARPS * x->rows; /* at most the threads */
    const Val thread = ptx_thread(c), rows = cg_i64(c, x->rows);
    const Val factor = cg_var(c, c->f32, cg_f32(c, 0), "factor");
    ptx_barrier(c);
    CgIf mine = cg_if(c, cg_less(c, thread, cg_i64(c, items)));
    const Val row = cg_sub(c, thread, cg_mul(c, cg_div(c, thread, rows), rows));
    Val most = number_at(c, x->most, row), sum = cg_f32(c, 0);
    for (int w = 1; w < WARPS; w++)
        most = ptx_max(c, most, number_at(c, x->most, cg_add(c, row, cg_i64(c, w * x->rows))));
    for (int w = 0; w < WARPS; w++) {
        const Val at = cg_add(c, row, cg_i64(c, w * x->rows));
        const Val part = ptx_exp2(c, cg_fsub(c, number_at(c, x->most, at), most));
        sum = cg_fma(c, part, number_at(c, x->sum, at), sum);
    }
    const Val own = ptx_exp2(c, cg_fsub(c, number_at(c, x->most, thread), most));
    cg_set(c, factor, cg_fdiv(c, own, sum));
    cg_endif(c, &mine);
    ptx_barrier(c);
    CgIf put = cg_if(c, cg_less(c, thread, cg_i64(c, items)));
    put_number(c, x->sum, thread, cg_get(c, c->f32, factor));
    cg_endif(c, &put);
    ptx_barrier(c);
}

static void
join(Cg *c, const One *x)
{
    const Attention *a = x->a;
    const Val width = cg_i64(c, a->value_dim);
    join_factors(c, x);
    CgLoop i = cg_loop(c, "result", ptx_thread(c), cg_i64(c, a->taken * a->value_dim), THREADS);
    const Val row = cg_div(c, i.i, width), col = cg_sub(c, i.i, cg_mul(c, row, width));
    Val y = cg_f32(c, 0);
    for (int w = 0; w < WARPS; w++) {
        const Val line = cg_add(c, row, cg_i64(c, w * x->rows));
        const Val o = cg_element(c, x->o, DTYPE_f32, line, x->stride, col);
        y = cg_fma(c, number_at(c, x->sum, line), cg_vload(c, o, DTYPE_f32, 1, NULL), y);
    }
    CgIf there = cg_if(c, attention_is_row(c, a, row));
    attention_store(c, a, row, col, y);
    cg_endif(c, &there);
    cg_loop_end(c, &i);
}

void
attention_of_one(Cg *c, Attention *a)
{
    const bool tiles = a->keys->dtype != DTYPE_f32;
    One x = {.a = a};
    attention_divide(a, tiles ? TILE_ROWS : MOST_HEADS);
    a->tokens = 1;
    x.rows = tiles ? TILE_ROWS : a->taken;
    x.stride = round_up(a->value_dim, 32) + 4;
    ptx_threads(a->k, THREADS);
    ptx_grid(a->k, 0, ABI_TOKENS, 1, 1, 1);
    attention_heads(c, a);
    const Val row = ptx_block(c, 0);
    attention_sequence(c, a, cg_segment(c, a->k, ptx_segment_of(c, a->k, row)));
    a->first = cg_sub(c, row, a->seg.row);
    a->count = cg_i64(c, 1);
    x.from = attention_from(c, a);
    x.end = attention_end(c, a);
    x.queries = ptx_shared(c, a->k, x.rows * (round_up(a->head_dim, 16) + 8) * 4);
    x.most = ptx_shared(c, a->k, WARPS * x.rows * 4);
    x.sum = ptx_shared(c, a->k, WARPS * x.rows * 4);
    x.o = ptx_shared(c, a->k, WARPS * x.rows * x.stride * 4);
    if (tiles)
        tiles_past(c, &x);
    else
        numbers_past(c, &x);
    join(c, &x);
}
