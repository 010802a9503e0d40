/* tests/unit/test_batch.c -- many sequences in one call give, bit for bit, what each gives alone:
 * over real kernels, whatever the form, the chunk length and the number of threads. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define OK(call)     cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())
#define GOLDEN(name) SSMC_ROOT "/tests/goldens/" name

enum { SEQUENCES = 17, LONGEST = 257 };

/* 1, 17, 33 ... 257, not in order, so that segments of all sizes meet in a pass. */
static int64_t
length_of(int seq)
{
    return 1 + 16 * (int64_t)((seq * 7) % SEQUENCES);
}

typedef struct {
    ModelRun *run;
    int64_t vocab;
    int32_t ids[SEQUENCES][LONGEST];
    float *logits[SEQUENCES]; /* [length,vocab]: each sequence alone, on one thread */
    char *states[SEQUENCES];  /* after them */
    size_t state_bytes[SEQUENCES];
} Alone;

/* Every state of a sequence, one after the other; owns. */
static char *
states_of(const ModelRun *run, const ssmc_session *s, int seq, size_t *bytes)
{
    const AbiProgram *abi = rt_program_abi(model_run_program(run));
    char *all = malloc((size_t)abi->state_bytes +
                       rt_kept_bytes(model_run_program(run), ssmc_tokens(s, seq)));
    *bytes = 0;
    for (int i = 0; i < abi->nstates; i++) {
        int64_t n = 0;
        const float *state = rt_session_state(s, seq, abi->states[i].name, &n);
        if (n)
            memcpy(all + *bytes, state, (size_t)n * sizeof *state);
        *bytes += (size_t)n * sizeof *state;
        RtKeptWalk w = rt_kept_walk(s, seq, i, ssmc_tokens(s, seq));
        for (; rt_kept_next(&w); *bytes += w.bytes)
            memcpy(all + *bytes, w.at, w.bytes);
    }
    return all;
}

static Alone *
alone_new(ModelRun *run)
{
    Alone *a = calloc(1, sizeof *a);
    a->run = run;
    a->vocab = ssmc_model_vocab(model_run_model(run));
    ssmc_session *s = model_run_session(run, 1, 1);
    for (int i = 0; i < SEQUENCES; i++) {
        const int64_t n = length_of(i);
        a->logits[i] = malloc((size_t)(n * a->vocab) * sizeof(float));
        model_run_ids(run, i, a->ids[i], n);
        OK(ssmc_reset(s, 0));
        OK(ssmc_prefill_all(s, 0, a->ids[i], n, a->logits[i]));
        a->states[i] = states_of(run, s, 0, &a->state_bytes[i]);
    }
    ssmc_session_close(s);
    return a;
}

static void
alone_free(Alone *a)
{
    for (int i = 0; i < SEQUENCES; i++) {
        free(a->logits[i]);
        free(a->states[i]);
    }
    free(a);
}

static void
expect_states(const Alone *a, const ssmc_session *s, int seq, const char *what)
{
    size_t bytes = 0;
    char *states = states_of(a->run, s, seq, &bytes);
    cr_expect_eq(ssmc_tokens(s, seq), length_of(seq));
    cr_expect(bytes == a->state_bytes[seq] && memcmp(states, a->states[seq], bytes) == 0,
              "%s: sequence %d of %d tokens has other states than alone", what, seq,
              (int)length_of(seq));
    free(states);
}

/* All of them in one call, with logits of the last `wanted` tokens (-1: of every token). */
static void
expect_one_call(const Alone *a, int threads, int64_t wanted, const char *what)
{
    ssmc_session *s = model_run_session(a->run, SEQUENCES, threads);
    ssmc_input in[SEQUENCES];
    for (int i = 0; i < SEQUENCES; i++) {
        const int64_t n = length_of(i), some = wanted < 0 || wanted > n ? n : wanted;
        in[i] = (ssmc_input){.seq = i, .ids = a->ids[i], .count = n, .wanted = some};
        in[i].logits = some ? malloc((size_t)(some * a->vocab) * sizeof(float)) : NULL;
    }
    OK(ssmc_feed(s, in, SEQUENCES));
    for (int i = 0; i < SEQUENCES; i++) {
        const float *want = a->logits[i] + (in[i].count - in[i].wanted) * a->vocab;
        const size_t bytes = (size_t)(in[i].wanted * a->vocab) * sizeof(float);
        cr_expect(bytes == 0 || memcmp(in[i].logits, want, bytes) == 0,
                  "%s, %d threads: sequence %d of %d tokens has other logits than alone", what,
                  threads, i, (int)in[i].count);
        expect_states(a, s, i, what);
        free(in[i].logits);
    }
    ssmc_session_close(s);
}

static void
expect_batches(ModelRun *run, const char *what)
{
    static const int threads[] = {1, 2, 3, 7};
    Alone *a = alone_new(run);
    for (size_t i = 0; i < RT_COUNT(threads); i++)
        expect_one_call(a, threads[i], -1, what);
    expect_one_call(a, 2, 0, what);
    expect_one_call(a, 2, 1, what);
    expect_one_call(a, 2, 20, what);
    alone_free(a);
    model_run_close(run);
}

#define BATCH(name, ...)                                                                           \
    Test(batch, name)                                                                              \
    {                                                                                              \
        expect_batches(MODEL_RUN(__VA_ARGS__), #name);                                             \
    }

BATCH(storyteller, STORYTELLER)
BATCH(hybrid, HYBRID)
BATCH(hybrid_bf16, HYBRID, "--dtype", "bf16")
BATCH(hybrid_int8, HYBRID, "--dtype", "int8")
BATCH(hybrid_short_passes, HYBRID, "--set", "compile.block=32")
BATCH(hybrid_v3, HYBRID, "--cpu", "x86-64-v3")
BATCH(storyteller_bf16, STORYTELLER, "--dtype", "bf16")
BATCH(storyteller_int8, STORYTELLER, "--dtype", "int8")
BATCH(storyteller_int4, STORYTELLER, "--dtype", "int4")
BATCH(storyteller_recurrent, STORYTELLER, "--form", "recurrent")
BATCH(storyteller_quadratic, STORYTELLER, "--form", "quadratic")
BATCH(groups, GOLDEN("mamba2-groups"))
BATCH(odd_state, GOLDEN("mamba2-oddstate"))
/* Passes much shorter than the sequences, and a chunk that is no divisor of a pass. */
BATCH(short_passes, GOLDEN("mamba2-base"), "--set", "compile.block=64", "--chunk", "24")
BATCH(short_passes_uncut, GOLDEN("mamba2-base"), "--set", "compile.block=64", "--chunk", "100")
BATCH(few_head_rows, GOLDEN("mamba2-base"), "--set", "compile.rows=3")

/* ---- steps after long texts
 * ---------------------------------------------------------------------- */

/* Around where the past of a token has a stretch more (256 tokens), where a window's ring begins
 * anew, and shorter ones beside them. */
static const int64_t pasts[] = {255, 256, 257, 700, 30, 512, 1025, 1};
enum { PASTS = RT_COUNT(pasts), MOST_PAST = 1025, STEPS = 3 };

/* STEPS logits of each of `count` texts from number `first` on, stepped together; owns. */
static float *
stepped(ModelRun *run, int threads, int first, int count)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    float *logits = malloc((size_t)(STEPS * count * vocab) * sizeof *logits);
    ssmc_session *s = model_run_session(run, count, threads);
    int seqs[PASTS];
    int32_t ids[MOST_PAST + STEPS], next[STEPS][PASTS];
    for (int i = 0; i < count; i++) {
        const int64_t past = pasts[first + i];
        seqs[i] = i;
        model_run_ids(run, first + i, ids, past + STEPS);
        for (int step = 0; step < STEPS; step++)
            next[step][i] = ids[past + step];
        OK(ssmc_prefill(s, i, ids, past, NULL));
    }
    for (int step = 0; step < STEPS; step++)
        OK(ssmc_step(s, seqs, next[step], count, logits + step * count * vocab));
    ssmc_session_close(s);
    return logits;
}

static void
expect_steps(ModelRun *run, const char *what)
{
    static const int threads[] = {1, 2, 3, 7};
    const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
    float *alone[PASTS];
    for (int i = 0; i < PASTS; i++)
        alone[i] = stepped(run, 1 + 2 * (i % 2), i, 1);
    for (size_t t = 0; t < RT_COUNT(threads); t++) {
        float *all = stepped(run, threads[t], 0, PASTS);
        for (size_t step = 0; step < STEPS; step++)
            for (size_t i = 0; i < PASTS; i++)
                cr_expect(memcmp(all + (step * PASTS + i) * vocab, alone[i] + step * vocab,
                                 vocab * sizeof *all) == 0,
                          "%s, %d threads: step %d after %d tokens has other logits than alone",
                          what, threads[t], (int)step, (int)pasts[i]);
        free(all);
    }
    for (int i = 0; i < PASTS; i++)
        free(alone[i]);
    model_run_close(run);
}

Test(batch, steps_after_long_texts)
{
    expect_steps(MODEL_RUN(HYBRID, "--dtype", "f32"), "f32");
    expect_steps(MODEL_RUN(HYBRID, "--dtype", "bf16"), "bf16");
    /* a pass has rows for few stretches */
    expect_steps(MODEL_RUN(HYBRID, "--set", "compile.block=12"), "short passes");
    expect_steps(MODEL_RUN(HYBRID, "--cpu", "x86-64-v3"), "v3");
}

/* ---- reproducible -------------------------------------------------------------------------- */

/* The last logits of TOKENS ids read in segments of `piece` tokens; owns. */
enum { TOKENS = 600 };
static float *
last_logits(ModelRun *run, int threads, int64_t piece)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    float *logits = malloc((size_t)vocab * sizeof *logits);
    ssmc_session *s = model_run_session(run, 1, threads);
    int32_t ids[TOKENS];
    model_run_ids(run, 7, ids, TOKENS);
    for (int64_t at = 0; at < TOKENS; at += piece)
        OK(ssmc_prefill(s, 0, ids + at, piece < TOKENS - at ? piece : TOKENS - at, logits));
    ssmc_session_close(s);
    return logits;
}

static void
expect_reproducible(ModelRun *run, const char *what)
{
    static const int64_t pieces[] = {1, 7, 24, 48, 100, 511, 512, 513, 599};
    const size_t bytes = (size_t)ssmc_model_vocab(model_run_model(run)) * sizeof(float);
    float *want = last_logits(run, 1, TOKENS);
    for (size_t i = 0; i < RT_COUNT(pieces); i++) {
        float *got = last_logits(run, 1 + (int)i % 3, pieces[i]);
        cr_expect(memcmp(got, want, bytes) == 0, "%s: other logits in pieces of %d", what,
                  (int)pieces[i]);
        free(got);
    }
    free(want);
    model_run_close(run);
}

#define REPRODUCIBLE(name, ...)                                                                    \
    Test(reproducible, name)                                                                       \
    {                                                                                              \
        expect_reproducible(MODEL_RUN(__VA_ARGS__, "--reproducible"), #name);                      \
    }
REPRODUCIBLE(storyteller, STORYTELLER)
REPRODUCIBLE(hybrid, HYBRID)
REPRODUCIBLE(hybrid_bf16, HYBRID, "--dtype", "bf16")
REPRODUCIBLE(storyteller_bf16, STORYTELLER, "--dtype", "bf16")
REPRODUCIBLE(storyteller_int8, STORYTELLER, "--dtype", "int8")
REPRODUCIBLE(storyteller_int4, STORYTELLER, "--dtype", "int4")
REPRODUCIBLE(storyteller_v3, STORYTELLER, "--cpu", "x86-64-v3")
REPRODUCIBLE(groups, GOLDEN("mamba2-groups"))

/* The last logits of 500 tokens, owned. */
static float *
logits_of(ModelRun *run)
{
    enum { LONG = 500 };
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    float *logits = malloc((size_t)vocab * sizeof *logits);
    ssmc_session *s = model_run_session(run, 1, 2);
    int32_t ids[LONG];
    model_run_ids(run, 3, ids, LONG);
    OK(ssmc_prefill(s, 0, ids, LONG - 1, NULL));
    OK(ssmc_step(s, &(int){0}, &ids[LONG - 1], 1, logits));
    ssmc_session_close(s);
    return logits;
}

static double
difference(ModelRun *a, ModelRun *b)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(a));
    float *x = logits_of(a), *y = logits_of(b);
    double most = 0;
    for (int64_t i = 0; i < vocab; i++)
        most = fmax(most, fabs((double)x[i] - y[i]));
    free(x);
    free(y);
    model_run_close(a);
    model_run_close(b);
    return most;
}

/* Passes of 64 tokens make a ring of 128 rows for a window of 48, those of 512 one that is not full
 * after 500 tokens. A window of 47 shows what a lost row would be. */
Test(batch, a_window_that_goes_round_its_ring_sees_what_it_must)
{
#define PASSES "--form", "recurrent", "--set", "compile.block=64"
    const double same =
        difference(MODEL_RUN(HYBRID, PASSES), MODEL_RUN(HYBRID, "--form", "recurrent"));
    const double other = difference(MODEL_RUN(HYBRID, PASSES),
                                    MODEL_RUN(HYBRID, PASSES, "--set", "layers.3.window=47"));
    cr_log_info("off by %g; with another window %g", same, other);
    cr_expect_lt(same, 1e-5);
    cr_expect_gt(other, 20 * same);
    cr_expect_gt(other, 1e-4);
}

/* Otherwise a split is seen in the last bits: the option is not for nothing. */
Test(reproducible, without_it_a_split_may_be_seen)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--form", "chunked");
    const size_t bytes = (size_t)ssmc_model_vocab(model_run_model(run)) * sizeof(float);
    float *whole = last_logits(run, 1, TOKENS), *parts = last_logits(run, 1, 100);
    cr_expect(memcmp(whole, parts, bytes) != 0);
    for (size_t i = 0; i < bytes / sizeof *whole; i++)
        cr_expect_float_eq(whole[i], parts[i], 1e-3f);
    free(whole);
    free(parts);
    model_run_close(run);
}

/* ---- any schedule -------------------------------------------------------------------------- */

typedef struct {
    uint64_t x;
} Random;

static int64_t
random_below(Random *r, int64_t n)
{
    r->x = r->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((r->x >> 33) % (uint64_t)n);
}

/* A call of random segments for a random subset; done [SEQUENCES] counts. The segments are then fed
 * to `one`, a sequence at a time. */
static void
random_call(const Alone *a, Random *r, ssmc_session *many, ssmc_session *one, int64_t *done)
{
    ssmc_input in[SEQUENCES];
    float *got = malloc((size_t)(SEQUENCES * a->vocab) * sizeof *got);
    float *want = malloc((size_t)a->vocab * sizeof *want);
    int n = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        const int seq = (i * 5 + 3) % SEQUENCES;
        const int64_t left = LONGEST - done[seq];
        if (left == 0 || random_below(r, 3) == 0)
            continue;
        const int64_t some = random_below(r, 2) ? 1 : 1 + random_below(r, left < 90 ? left : 90);
        in[n] = (ssmc_input){seq, a->ids[seq] + done[seq], some, 1, got + n * a->vocab};
        n++;
    }
    if (n)
        OK(ssmc_feed(many, in, n));
    for (int i = 0; i < n; i++) {
        OK(ssmc_prefill(one, in[i].seq, in[i].ids, in[i].count, want));
        cr_assert_arr_eq(in[i].logits, want, (size_t)a->vocab * sizeof *want,
                         "sequence %d at %d, %d tokens", in[i].seq, (int)done[in[i].seq],
                         (int)in[i].count);
        done[in[i].seq] += in[i].count;
    }
    free(got);
    free(want);
}

static void
expect_mixed(ModelRun *run)
{
    Alone *a = calloc(1, sizeof *a);
    Random r = {1};
    int64_t done[SEQUENCES] = {0}, before = -1, total = 0;
    a->run = run;
    a->vocab = ssmc_model_vocab(model_run_model(a->run));
    for (int i = 0; i < SEQUENCES; i++)
        model_run_ids(a->run, i, a->ids[i], LONGEST);
    ssmc_session *many = model_run_session(a->run, SEQUENCES, 2);
    ssmc_session *one = model_run_session(a->run, SEQUENCES, 1);
    for (int call = 0; call < 60 && total != before; call++) {
        random_call(a, &r, many, one, done);
        before = call % 4 ? -1 : total;
        total = 0;
        for (int i = 0; i < SEQUENCES; i++)
            total += done[i];
    }
    for (int i = 0; i < SEQUENCES; i++) {
        size_t bytes = 0;
        char *x = states_of(a->run, many, i, &bytes), *y = states_of(a->run, one, i, &bytes);
        cr_expect(memcmp(x, y, bytes) == 0, "sequence %d", i);
        free(x);
        free(y);
    }
    ssmc_session_close(many);
    ssmc_session_close(one);
    model_run_close(a->run);
    free(a);
}

Test(batch, prompts_and_steps_mixed_at_random)
{
    expect_mixed(MODEL_RUN(STORYTELLER, "--set", "compile.block=128"));
    expect_mixed(MODEL_RUN(HYBRID, "--set", "compile.block=64"));
}

/* ---- threads ------------------------------------------------------------------------------- */

Test(batch, threads_share_a_model)
{
    CommandResult r =
        command_run((const char *const[]){SSMC_THREADS, GOLDEN("mamba2-base"), NULL}, NULL, 0);
    CommandResult hybrid = command_run((const char *const[]){SSMC_THREADS, HYBRID, NULL}, NULL, 0);
    cr_assert_eq(r.status, 0, "%s%s", r.out, r.err);
    cr_assert_eq(hybrid.status, 0, "%s%s", hybrid.out, hybrid.err);
    command_free(&r);
    command_free(&hybrid);
}

/* Ids are drawn over the threads of a session: those that one after the other draw, also where some
 * turns share a sampler, and in the caller's mode of arithmetic. */
static void
draws_as_one_by_one(bool sharing)
{
    enum { MANY = 40, DRAWS = 5 };
    ModelRun *run = MODEL_RUN(STORYTELLER);
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    ssmc_session *drawing = model_run_session(run, MANY, 3);
    ssmc_session *feeding = model_run_session(run, MANY, 1);
    ssmc_sampler *own[MANY], *beside[MANY];
    ssmc_turn turn[MANY];
    ssmc_input input[MANY];
    float *logits = calloc((size_t)(MANY * vocab), sizeof *logits);
    int32_t first[MANY];
    model_run_ids(run, 3, first, MANY);
    for (int i = 0; i < MANY; i++) {
        const ssmc_sampling how = {.temperature = 1, .top_p = i % 2 ? 0.9 : 0, .seed = (uint64_t)i};
        OK(ssmc_sampler_open(&how, vocab, &own[i]));
        OK(ssmc_sampler_open(&how, vocab, &beside[i]));
    }
    for (int step = 0; step < DRAWS; step++) {
        for (int i = 0; i < MANY; i++) {
            const int by = sharing && i >= 10 ? i % 10 : i;
            if (step == 0)
                turn[i] = (ssmc_turn){i, &first[i], 1, own[by], 0};
            input[i] = (ssmc_input){i, turn[i].ids, 1, 1, logits + i * vocab};
        }
        OK(ssmc_feed(feeding, input, MANY));
        OK(ssmc_draw(drawing, turn, MANY));
        for (int i = 0; i < MANY; i++) {
            const int by = sharing && i >= 10 ? i % 10 : i;
            const int32_t id = ssmc_sample(beside[by], logits + i * vocab);
            cr_assert_eq(turn[i].id, id, "step %d, sequence %d", step, i);
            turn[i].ids = &turn[i].id;
        }
    }
    for (int i = 0; i < MANY; i++) {
        ssmc_sampler_close(own[i]);
        ssmc_sampler_close(beside[i]);
    }
    free(logits);
    ssmc_session_close(drawing);
    ssmc_session_close(feeding);
    model_run_close(run);
}

Test(batch, threads_draw_what_one_draws)
{
    draws_as_one_by_one(false);
}

Test(batch, turns_that_share_a_sampler_draw_in_their_order)
{
    draws_as_one_by_one(true);
}
