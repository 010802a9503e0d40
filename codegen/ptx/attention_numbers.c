/* codegen/ptx/attention_numbers.c -- attention of many tokens over keys and values of f32, by FMAs.
 *
 * A block has 64 rows and goes through 64 tokens at a time. A thread has 4 rows, and of them the
 * scores of 8 tokens, then the sums of every 8th channel, or of every 8th 4: what it reads of
 * shared memory is 16 bytes for 4 rows, that its warp reads together. Weights go from one to the
 * other through shared memory of the warp's own rows. */
#include <math.h>

#include "codegen/ptx/attention.h"

enum {
    ROWS = 64,  /* of a block */
    OWN = 4,    /* of a thread */
    ACROSS = 8, /* threads that share them */
    THREADS = ROWS / OWN * ACROSS,
    SEEN = KEPT_GROUP / ACROSS, /* tokens of a thread */
    MOST_SUMS = MOST_CHANNELS / ACROSS
};

typedef struct {
    Attention *a;
    bool apart;             /* keys and values have places of their own */
    int wide;               /* channels that lie together in a thread: 4 or 1 */
    int64_t sums;           /* of a row in a thread */
    Val q, keys, values, p; /* shared: [P,64] by channel, [P,64], [64,V], [64,64] by token */
    Val own, across;        /* number of the thread's rows, and among those that share them */
    Val o[OWN][MOST_SUMS];  /* variables */
    Val most[OWN], sum[OWN], position[OWN];
} Numbers;

static Val
load4(Cg *c, Val base, Val index)
{
    return ptx_load(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 4);
}

/* ---- copies ------------------------------------------------------------------------------------
 */

static void
copy(Cg *c, int64_t channels, Val to, Val from)
{
    enum { FLOATS = 4 };
    const int64_t chunks = KEPT_GROUP * channels / FLOATS;
    CgLoop i = cg_loop(c, "copy", ptx_thread(c), cg_i64(c, chunks), THREADS);
    const Val at = cg_mul(c, i.i, cg_i64(c, FLOATS));
    ptx_copy16(c, cg_at(c, to, DTYPE_f32, at), cg_at(c, from, DTYPE_f32, at),
               LLVMConstInt(c->i1, 1, 0));
    cg_loop_end(c, &i);
    ptx_copy_commit(c);
}

/* Channel by channel, so that a thread's rows lie together. */
static void
stage_queries(Cg *c, const Numbers *x)
{
    const Attention *a = x->a;
    const Val width = cg_i64(c, a->head_dim);
    CgLoop i = cg_loop(c, "query", ptx_thread(c), cg_i64(c, ROWS * a->head_dim), THREADS);
    const Val row = cg_div(c, i.i, width), col = cg_sub(c, i.i, cg_mul(c, row, width));
    const Val q = cg_var(c, c->f32, cg_f32(c, 0), "q");
    CgIf there = cg_if(c, attention_is_row(c, a, row));
    cg_set(c, q, attention_query(c, a, row, col));
    cg_endif(c, &there);
    const Val at = cg_add(c, cg_mul(c, col, cg_i64(c, ROWS)), row);
    cg_vstore(c, cg_at(c, x->q, DTYPE_f32, at), DTYPE_f32, cg_get(c, c->f32, q), 1, NULL);
    cg_loop_end(c, &i);
}

/* ---- 64 tokens ---------------------------------------------------------------------------------
 */

typedef struct {
    Val s[OWN][SEEN]; /* variables */
} Scores;

/* Token i of a thread's is 4 across + i, from 32 on for the second 4. */
static int64_t
seen(int i)
{
    return i % 4 + i / 4 * (KEPT_GROUP / 2);
}

static void
scores(Cg *c, Numbers *x, Scores *s)
{
    const Val four = cg_i64(c, 4), own = cg_mul(c, x->own, four),
              across = cg_mul(c, x->across, four);
    for (int r = 0; r < OWN; r++)
        for (int i = 0; i < SEEN; i++)
            s->s[r][i] = cg_var(c, c->f32, cg_f32(c, 0), "s");
    CgLoop channel = cg_loop(c, "channel", cg_i64(c, 0), cg_i64(c, x->a->head_dim), 1);
    const Val line = cg_mul(c, channel.i, cg_i64(c, KEPT_GROUP));
    const Val q = load4(c, x->q, cg_add(c, cg_mul(c, channel.i, cg_i64(c, ROWS)), own));
    const Val first = cg_add(c, line, across);
    const Val k[2] = {load4(c, x->keys, first),
                      load4(c, x->keys, cg_add(c, first, cg_i64(c, KEPT_GROUP / 2)))};
    for (int r = 0; r < OWN; r++)
        for (int i = 0; i < SEEN; i++) {
            const Val sum = cg_get(c, c->f32, s->s[r][i]);
            cg_set(c, s->s[r][i],
                   cg_fma(c, cg_slice(c, q, r, 1), cg_slice(c, k[i / 4], i % 4, 1), sum));
        }
    cg_loop_end(c, &channel);
}

static void
scores_count(Cg *c, Numbers *x, Scores *s, Val at)
{
    for (int r = 0; r < OWN && x->a->cap > 0; r++)
        for (int i = 0; i < SEEN; i++)
            cg_set(c, s->s[r][i], attention_capped(c, x->a, cg_get(c, c->f32, s->s[r][i])));
    const Val first = cg_add(c, at, cg_mul(c, x->across, cg_i64(c, 4)));
    const Val token = LLVMBuildTrunc(c->b, first, c->i32, "");
    CgIf edge = cg_if(c, attention_is_edge(c, x->a, at));
    for (int r = 0; r < OWN; r++) {
        const Val before = LLVMBuildSub(c->b, x->position[r], token, "");
        for (int i = 0; i < SEEN; i++) {
            const Val n = LLVMConstInt(c->i32, (unsigned long long)seen(i), 0);
            const Val one = cg_get(c, c->f32, s->s[r][i]);
            cg_set(c, s->s[r][i],
                   attention_masked(c, x->a, one, LLVMBuildSub(c->b, before, n, "")));
        }
    }
    cg_endif(c, &edge);
}

/* Rows `own` of a token's weights: 4 of them together, and those in turned places, by which the
 * threads that share rows write to different banks. */
static Val
weights_at(Cg *c, const Numbers *x, Val token, Val turn)
{
    const Val place = cg_mul(c, LLVMBuildXor(c->b, x->own, turn, ""), cg_i64(c, OWN));
    return cg_at(c, x->p, DTYPE_f32, cg_add(c, cg_mul(c, token, cg_i64(c, ROWS)), place));
}

static void
weights(Cg *c, Numbers *x, const Scores *s)
{
    Val w[OWN][SEEN];
    for (int r = 0; r < OWN; r++) {
        Val here = cg_get(c, c->f32, s->s[r][0]);
        for (int i = 1; i < SEEN; i++)
            here = ptx_max(c, here, cg_get(c, c->f32, s->s[r][i]));
        const Val old = cg_get(c, c->f32, x->most[r]);
        const Val most = ptx_max(c, old, ptx_warp_fold(c, here, ACROSS, ptx_max));
        const Val factor = ptx_exp2(c, cg_fsub(c, old, most));
        Val sum = cg_fmul(c, cg_get(c, c->f32, x->sum[r]), factor);
        for (int i = 0; i < SEEN; i++) {
            w[r][i] = ptx_exp2(c, cg_fsub(c, cg_get(c, c->f32, s->s[r][i]), most));
            sum = cg_fadd(c, sum, w[r][i]);
        }
        cg_set(c, x->most[r], most);
        cg_set(c, x->sum[r], sum);
        for (int64_t n = 0; n < x->sums; n++)
            cg_set(c, x->o[r][n], cg_fmul(c, cg_get(c, c->f32, x->o[r][n]), factor));
    }
    for (int i = 0; i < SEEN; i++) {
        Val all = LLVMGetPoison(cg_vec_type(c, OWN));
        for (int r = 0; r < OWN; r++)
            all = LLVMBuildInsertElement(c->b, all, w[r][i], cg_i64(c, r), "");
        const Val token = cg_add(c, cg_mul(c, x->across, cg_i64(c, 4)), cg_i64(c, seen(i)));
        ptx_store(c, weights_at(c, x, token, x->across), DTYPE_f32, all);
    }
}

/* Channel n of a thread's; those behind the last are the head's first, and not stored. */
static Val
channel_of(Cg *c, const Numbers *x, int64_t n)
{
    const Val first = cg_mul(c, x->across, cg_i64(c, x->wide));
    return cg_add(c, first, cg_i64(c, n / x->wide * x->wide * ACROSS + n % x->wide));
}

static bool
is_partial(const Numbers *x, int64_t n)
{
    return (n / x->wide + 1) * x->wide * ACROSS > x->a->value_dim;
}

static void
outputs(Cg *c, Numbers *x)
{
    const Val width = cg_i64(c, x->a->value_dim);
    CgLoop token = cg_loop(c, "token", cg_i64(c, 0), cg_i64(c, KEPT_GROUP), 1);
    const Val turn =
        LLVMBuildAnd(c->b, cg_div(c, token.i, cg_i64(c, 4)), cg_i64(c, ACROSS - 1), "");
    const Val w = ptx_load(c, weights_at(c, x, token.i, turn), DTYPE_f32, OWN);
    const Val line = cg_at(c, x->values, DTYPE_f32, cg_mul(c, token.i, width));
    for (int64_t n = 0; n < x->sums; n += x->wide) {
        Val channel = channel_of(c, x, n);
        if (is_partial(x, n))
            channel = LLVMBuildSelect(c->b, cg_less(c, channel, width), channel, cg_i64(c, 0), "");
        const Val v = ptx_load(c, cg_at(c, line, DTYPE_f32, channel), DTYPE_f32, x->wide);
        for (int r = 0; r < OWN; r++)
            for (int i = 0; i < x->wide; i++) {
                const Val o = x->o[r][n + i], one = x->wide == 1 ? v : cg_slice(c, v, i, 1);
                cg_set(c, o, cg_fma(c, cg_slice(c, w, r, 1), one, cg_get(c, c->f32, o)));
            }
    }
    cg_loop_end(c, &token);
}

static void
walk(Cg *c, Numbers *x)
{
    const Attention *a = x->a;
    CgLoop past = cg_loop(c, "past", attention_from(c, a), attention_end(c, a), KEPT_GROUP);
    Scores s;
    ptx_barrier(c); /* all are done with those before */
    copy(c, a->head_dim, x->keys, attention_piece(c, a, a->keys, a->keys_at, past.i));
    if (x->apart)
        copy(c, a->value_dim, x->values, attention_piece(c, a, a->values, a->values_at, past.i));
    ptx_copy_wait(c, x->apart ? 1 : 0);
    ptx_barrier(c);
    scores(c, x, &s);
    if (!x->apart) {
        ptx_barrier(c);
        copy(c, a->value_dim, x->values, attention_piece(c, a, a->values, a->values_at, past.i));
    }
    scores_count(c, x, &s, past.i);
    weights(c, x, &s);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    outputs(c, x);
    cg_loop_end(c, &past);
}

/* ---- a block -----------------------------------------------------------------------------------
 */

static void
begin(Cg *c, Numbers *x)
{
    for (int r = 0; r < OWN; r++) {
        const Val row = cg_add(c, cg_mul(c, x->own, cg_i64(c, OWN)), cg_i64(c, r));
        x->position[r] = attention_position(c, x->a, row);
        cg_set(c, x->most[r], cg_f32(c, -0x1p100));
        cg_set(c, x->sum[r], cg_f32(c, 0));
        for (int64_t n = 0; n < x->sums; n++)
            cg_set(c, x->o[r][n], cg_f32(c, 0));
    }
}

static void
store(Cg *c, const Numbers *x)
{
    const Attention *a = x->a;
    for (int r = 0; r < OWN; r++) {
        const Val row = cg_add(c, cg_mul(c, x->own, cg_i64(c, OWN)), cg_i64(c, r));
        const Val sum = ptx_warp_fold(c, cg_get(c, c->f32, x->sum[r]), ACROSS, cg_fadd);
        const Val factor = cg_fdiv(c, cg_f32(c, 1), sum);
        CgIf there = cg_if(c, attention_is_row(c, a, row));
        for (int64_t n = 0; n < x->sums; n++) {
            const Val channel = channel_of(c, x, n);
            CgIf inside = {0};
            if (is_partial(x, n))
                inside = cg_if(c, cg_less(c, channel, cg_i64(c, a->value_dim)));
            attention_store(c, a, row, channel, cg_fmul(c, cg_get(c, c->f32, x->o[r][n]), factor));
            if (inside.exit)
                cg_endif(c, &inside);
        }
        cg_endif(c, &there);
    }
}

static void
segment(Cg *c, Attention *a, void *user)
{
    Numbers *x = user;
    (void)a;
    stage_queries(c, x);
    begin(c, x);
    walk(c, x);
    store(c, x);
}

void
attention_of_numbers(Cg *c, Attention *a)
{
    enum { APART = 128 }; /* most channels with places of their own */
    const int64_t P = a->head_dim, V = a->value_dim, most = P > V ? P : V, row = KEPT_GROUP * 4;
    Numbers x = {.a = a, .apart = most <= APART, .wide = V % 4 == 0 ? 4 : 1};
    x.sums = (V + ACROSS * x.wide - 1) / (ACROSS * x.wide) * x.wide;
    attention_divide(a, ROWS);
    a->tokens = ROWS / a->taken;
    ptx_threads(a->k, THREADS);
    x.q = ptx_shared(c, a->k, ROWS * P * 4);
    x.keys = ptx_shared(c, a->k, row * (x.apart ? P : most));
    x.values = x.apart ? ptx_shared(c, a->k, row * V) : x.keys;
    x.p = ptx_shared(c, a->k, (int64_t)KEPT_GROUP * ROWS * 4);
    x.own = cg_div(c, ptx_thread(c), cg_i64(c, ACROSS));
    x.across = LLVMBuildAnd(c->b, ptx_thread(c), cg_i64(c, ACROSS - 1), "");
    for (int r = 0; r < OWN; r++) {
        x.most[r] = cg_var(c, c->f32, NULL, "most");
        x.sum[r] = cg_var(c, c->f32, NULL, "sum");
        for (int64_t n = 0; n < x.sums; n++)
            x.o[r][n] = cg_var(c, c->f32, NULL, "o");
    }
    attention_blocks(c, a, &x, segment);
}
