/* tests/unit/test_runtime.c -- models, sessions, the executor and the thread pool over programs
 * made by hand, whose kernels are plain C; weights made by rules. */
#include <criterion/criterion.h>

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"
#include "tests/allocations.h"
#include "tests/harness.h"

/* ---- a small model ------------------------------------------------------------------------- */

/* x_t = table[id_t]; s = s / 2 + x_t for each of H numbers; logits_t[v] = (sum s) param[v] + t,
 * where param[v] = 2 scale[v] and t counts the tokens that the sequence has read. In sums of few
 * bits: exact. */
enum { H = 8, V = 11, BLOCK = 8, STEP_BLOCK = 3, HEAD_ROWS = 3, FEW = 3, FEW_BLOCK = 4 };

/* What kernels saw; those by thread 0 of a pool, which is the one that calls. */
static _Thread_local struct {
    int passes, steps, fews, heads;
    int64_t rows, segments;
} seen;

static void
init_param(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)call;
    const float *scale = operand[0];
    float *param = operand[1];
    cr_assert_eq((uintptr_t)share->scratch % 64, 0);
    for (int64_t v = V * share->part / share->parts; v < V * (share->part + 1) / share->parts; v++)
        param[v] = 2 * scale[v];
}

/* Rows are shared out; the call is what the ABI says. */
static void
embed(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const int32_t *ids = operand[0];
    const float *table = operand[1]; /* [V,H] */
    float *x = operand[2];           /* [T,H] */
    int64_t row = 0;
    for (int64_t i = 0; i < call->nseg; i++) {
        cr_assert_eq(call->seg[i].row, row);
        cr_assert_geq(call->seg[i].len, 1);
        row += call->seg[i].len;
    }
    cr_assert_eq(row, call->rows);
    cr_assert_eq(call->state_stride % 64, 0);
    for (int64_t t = call->rows * share->part / share->parts;
         t < call->rows * (share->part + 1) / share->parts; t++)
        memcpy(x + t * H, table + ids[t] * H, H * sizeof *x);
}

/* The H numbers are shared out. Scratch is each thread's own. */
static void
scan(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    float *x = operand[0];
    float *mine = (float *)share->scratch; /* [H] */
    cr_assert_eq((uintptr_t)mine % 64, 0);
    for (int64_t i = 0; i < call->nseg; i++) {
        const AbiSeg *seg = &call->seg[i];
        float *state = (float *)((char *)operand[1] + seg->slot * call->state_stride);
        for (int64_t h = H * share->part / share->parts; h < H * (share->part + 1) / share->parts;
             h++) {
            mine[h] = state[h];
            for (int64_t t = seg->row; t < seg->row + seg->len; t++)
                mine[h] = x[t * H + h] = mine[h] / 2 + x[t * H + h];
            state[h] = mine[h];
        }
    }
}

/* By one thread only. */
static void
count(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    float *at = operand[0]; /* [T] */
    cr_assert(share->part == 0 && share->parts == 1);
    for (int64_t i = 0; i < call->nseg; i++) {
        const AbiSeg *seg = &call->seg[i];
        float *state = (float *)((char *)operand[1] + seg->slot * call->state_stride);
        for (int64_t t = seg->row; t < seg->row + seg->len; t++)
            at[t] = ++*state;
    }
    seen.passes++;
    seen.rows += call->rows;
    seen.segments += call->nseg;
}

static void
count_step(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    cr_assert_leq(call->rows, STEP_BLOCK);
    cr_assert_eq(call->rows, call->nseg);
    seen.steps++;
    count(operand, call, share);
}

static void
count_few(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    for (int64_t i = 0; i < call->nseg; i++)
        cr_assert_leq(call->seg[i].len, FEW);
    cr_assert_leq(call->rows, FEW_BLOCK);
    seen.fews++;
    count(operand, call, share);
}

static void
head(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const float *x = operand[0], *at = operand[1], *param = operand[2];
    const int32_t *pick = operand[3];
    float *logits = operand[4]; /* [R,V] */
    cr_assert(call->picked >= 1 && call->picked <= HEAD_ROWS);
    for (int64_t r = 0; r < call->picked; r++) {
        const int64_t t = pick[r];
        float sum = 0;
        cr_assert(t >= 0 && t < call->rows);
        for (int64_t h = 0; h < H; h++)
            sum += x[t * H + h];
        for (int64_t v = V * share->part / share->parts; v < V * (share->part + 1) / share->parts;
             v++)
            logits[r * V + v] = sum * param[v] + at[t];
    }
    seen.heads += share->part == 0;
}

enum { AT = BLOCK * H * 4, SLAB = AT + BLOCK * 4 }; /* x [T,H], then at [T] */
enum { STATE_COUNT = 64, STATE = STATE_COUNT + 4 };

static const AbiOperand operands[] = {
    {ABI_WEIGHT, 1, 0          }, /* init_param */
    {ABI_PARAM,  0, 64         },
    {ABI_INPUT,  0, 0          }, /* embed */
    {ABI_WEIGHT, 0, 0          },
    {ABI_SLAB,   0, 0          },
    {ABI_SLAB,   0, 0          }, /* scan */
    {ABI_STATE,  0, 0          },
    {ABI_SLAB,   0, AT         }, /* count */
    {ABI_STATE,  0, STATE_COUNT},
    {ABI_SLAB,   0, 0          }, /* head */
    {ABI_SLAB,   0, AT         },
    {ABI_PARAM,  0, 64         },
    {ABI_INPUT,  1, 0          },
    {ABI_OUTPUT, 0, 0          },
};
static const AbiStep steps[] = {
    {init_param, "init",  0, 2, .pieces = 1},
    {embed,      "embed", 2, 3, .pieces = 1},
    {scan,       "scan",  5, 2, .pieces = 1},
    {count,      "count", 7, 2, .pieces = 0},
    {head,       "head",  9, 5, .pieces = 1},
    {embed,      "embed", 2, 3, .pieces = 1},
    {scan,       "scan",  5, 2, .pieces = 1},
    {count_step, "count", 7, 2, .pieces = 0},
    {head,       "head",  9, 5, .pieces = 1},
    {embed,      "embed", 2, 3, .pieces = 1},
    {scan,       "scan",  5, 2, .pieces = 1},
    {count_few,  "count", 7, 2, .pieces = 0},
    {head,       "head",  9, 5, .pieces = 1},
};
enum { PREFILL, DECODE, SOME };
static const AbiEntry entries[] = {
    [PREFILL] = {"prefill", 0,   BLOCK,      HEAD_ROWS, SLAB, H * 4,      1, {1, 3}, {4, 1} },
    [DECODE] = {"decode",  1,   STEP_BLOCK, HEAD_ROWS, SLAB, H * 4 + 40, 1, {5, 3}, {8, 1} },
    [SOME] = {"some",    FEW, FEW_BLOCK,  HEAD_ROWS, SLAB, H * 4,      0, {9, 3}, {12, 1}},
};
static const AbiInput inputs[] = {
    {"ids",  ABI_TOKENS},
    {"pick", ABI_PICKED}
};
static const AbiOutput outputs[] = {
    {"logits", ABI_F32, ABI_PICKED, V, V, 0, 0}
};
static const AbiWeight weights[] = {
    {"table",                     "uniform_fan_in", ABI_F32, 2, {V, H}},
    {"head.scale|lm.scale|scale", "ones",           ABI_F32, 1, {V}   },
};
static const AbiState states[] = {
    {.name = "s",     .offset = 0,           .bytes = H * 4, .dtype = ABI_F32, .rank = 1, .dim = {H}},
    {.name = "count", .offset = STATE_COUNT, .bytes = 4,     .dtype = ABI_F32, .rank = 1, .dim = {1}},
};
static const AbiProgram program = {
    .name = "small",
    .numerics = "f32",
    .param_bytes = 64 + V * 4,
    .state_bytes = STATE,
    .output_bytes = HEAD_ROWS * V * 4,
    .init = {0, 1},
    .entries = entries,
    .inputs = inputs,
    .outputs = outputs,
    .nentries = 2,
    .ninputs = RT_COUNT(inputs),
    .noutputs = RT_COUNT(outputs),
    .steps = steps,
    .operands = operands,
    .weights = weights,
    .states = states,
    .nsteps = RT_COUNT(steps),
    .noperands = RT_COUNT(operands),
    .nweights = RT_COUNT(weights),
    .nstates = RT_COUNT(states),
};

/* ---- running it ---------------------------------------------------------------------------- */

static float table[V][H], scale[V];

/* Weights of a file, the table in the shape that `as` has. */
static ssmc_weights *
small_weights_as(const AbiWeight *as)
{
    for (int v = 0; v < V; v++) {
        scale[v] = (float)(v + 1);
        for (int h = 0; h < H; h++)
            table[v][h] = (float)((v * 5 + h * 3) % 16);
    }
    RtTensor out[] = {
        {.name = "table", .dtype = "F32", .rank = as->rank, .data = table, .bytes = sizeof table},
        {.name = "lm.scale",
         .dtype = "F32",
         .rank = 1,
         .dim = {V},
         .data = scale,
         .bytes = sizeof scale},
    };
    memcpy(out[0].dim, as->dim, sizeof as->dim);
    char *dir = temp_dir(), *path = path_join(dir, "model.safetensors");
    ssmc_weights *w = NULL;
    cr_assert_eq(rt_tensors_write(path, out, 2), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_weights_open(dir, &w), SSMC_OK, "%s", ssmc_error());
    free(path);
    temp_dir_remove(dir);
    return w;
}

static ssmc_weights *
small_weights(void)
{
    return small_weights_as(&weights[0]);
}

typedef struct {
    ssmc_program *program;
    ssmc_weights *weights;
    ssmc_model *model;
    ssmc_session *session;
} Run;

static Run
run_open(const AbiProgram *abi, int sequences, int threads)
{
    Run r = {.weights = small_weights_as(&abi->weights[0])};
    cr_assert_eq(rt_program_wrap(abi, &r.program), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(ssmc_model_open(r.program, r.weights, threads, NULL, NULL, &r.model), SSMC_OK,
                 "%s", ssmc_error());
    cr_assert_eq(ssmc_session_open(r.model, sequences, threads, &r.session), SSMC_OK, "%s",
                 ssmc_error());
    memset(&seen, 0, sizeof seen);
    return r;
}

static void
run_close(Run *r)
{
    ssmc_session_close(r->session);
    ssmc_model_close(r->model);
    rt_program_free(r->program);
    rt_weights_close(r->weights);
}

/* What the model says after each of n ids: logits [n,V]. */
static void
expected(const int32_t *ids, int n, float *logits)
{
    float s[H] = {0};
    for (int t = 0; t < n; t++) {
        float sum = 0;
        for (int h = 0; h < H; h++)
            sum += s[h] = s[h] / 2 + table[ids[t]][h];
        for (int v = 0; v < V; v++)
            logits[t * V + v] = sum * 2 * scale[v] + (float)(t + 1);
    }
}

enum { LONG = 41 };

static void
some_ids(int32_t *ids, int n, int kind)
{
    for (int i = 0; i < n; i++)
        ids[i] = (i * i + 3 * i * kind + kind) % V;
}

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())

Test(session, a_prompt_in_pieces_gives_what_the_whole_gives)
{
    int32_t ids[LONG];
    float want[LONG * V], got[LONG * V], last[V];
    some_ids(ids, LONG, 1);
    for (int threads = 1; threads <= 5; threads += 2) {
        Run r = run_open(&program, 3, threads);
        expected(ids, LONG, want);
        OK(ssmc_prefill(r.session, 2, ids, LONG, last));
        cr_assert_arr_eq(last, want + (LONG - 1) * V, sizeof last);
        cr_assert_eq(seen.heads, 1);
        cr_assert_eq(seen.passes, 6);
        cr_assert_eq(seen.steps, 1); /* the last token is alone in its pass */
        cr_assert_eq(seen.rows, LONG);
        for (int piece = 1; piece < LONG; piece++) {
            OK(ssmc_reset(r.session, 1));
            for (int at = 0; at < LONG; at += piece) {
                const int n = piece < LONG - at ? piece : LONG - at;
                OK(ssmc_prefill_all(r.session, 1, ids + at, n, got + at * V));
            }
            cr_assert_arr_eq(got, want, sizeof got, "pieces of %d, %d threads", piece, threads);
        }
        /* Sequence 2 has not moved, and goes on where it was, without logits in between. */
        OK(ssmc_reset(r.session, 1));
        OK(ssmc_prefill(r.session, 1, ids, 30, NULL));
        OK(ssmc_prefill(r.session, 1, ids + 30, 1, NULL));
        OK(ssmc_prefill(r.session, 1, ids + 31, LONG - 31, last));
        cr_assert_arr_eq(last, want + (LONG - 1) * V, sizeof last);
        run_close(&r);
    }
}

/* The state is saved and loaded, too. */
Test(session, weights_of_five_and_states_of_six_dimensions)
{
    int32_t ids[LONG];
    float want[LONG * V], got[V];
    AbiWeight wide[] = {weights[0], weights[1]};
    AbiState deep[] = {states[0], states[1]};
    AbiProgram p = program;
    wide[0].rank = 5;
    memcpy(wide[0].dim, (int64_t[ABI_MAX_RANK]){V, 1, H / 2, 1, 2}, sizeof wide[0].dim);
    deep[0].rank = 6;
    memcpy(deep[0].dim, (int64_t[]){1, 2, 1, H / 4, 1, 2}, sizeof deep[0].dim);
    p.weights = wide;
    p.states = deep;
    some_ids(ids, LONG, 1);
    char *dir = temp_dir(), *path = path_join(dir, "state");
    Run r = run_open(&p, 2, 2);
    expected(ids, LONG, want);
    OK(ssmc_prefill(r.session, 0, ids, LONG - 1, NULL));
    OK(ssmc_state_save(r.session, 0, path, "note", 4));
    void *note = NULL;
    size_t bytes = 0;
    OK(ssmc_state_load(r.session, 1, path, &note, &bytes));
    cr_expect(bytes == 4 && memcmp(note, "note", 4) == 0);
    OK(ssmc_prefill(r.session, 1, ids + LONG - 1, 1, got));
    cr_expect_arr_eq(got, want + (LONG - 1) * V, sizeof got);
    run_close(&r);
    deep[0].dim[5] = 1;
    deep[0].dim[4] = 2;
    r = run_open(&p, 2, 2);
    cr_expect_eq(ssmc_state_load(r.session, 1, path, NULL, NULL), SSMC_BAD_FILE);
    cr_expect(strstr(ssmc_error(), "has no state 's' of [1,2,1,2,2,1]"), "%s", ssmc_error());
    run_close(&r);
    free(note);
    free(path);
    temp_dir_remove(dir);
}

Test(session, steps_keep_sequences_apart)
{
    enum { SEQS = 7, TOKENS = 12 };
    int32_t ids[SEQS][TOKENS];
    float want[SEQS][TOKENS][V];
    Run r = run_open(&program, SEQS, 2);
    int fed[SEQS] = {0};
    for (int s = 0; s < SEQS; s++) {
        some_ids(ids[s], TOKENS, s);
        expected(ids[s], TOKENS, &want[s][0][0]);
    }
    unsigned random = 1;
    for (int turn = 0; turn < 40; turn++) {
        int seqs[SEQS], n = 0;
        int32_t next[SEQS];
        float got[SEQS][V];
        for (int k = 0; k < SEQS; k++) {
            const int s = (k * 3 + turn) % SEQS; /* each once, in changing order */
            random = random * 1103515245u + 12345u;
            if (fed[s] == TOKENS || (random >> 16 & 1))
                continue;
            next[n] = ids[s][fed[s]];
            seqs[n++] = s;
        }
        if (n == 0)
            continue;
        OK(ssmc_step(r.session, seqs, next, n, turn % 5 ? got[0] : NULL));
        for (int i = 0; i < n; i++) {
            if (turn % 5)
                cr_assert_arr_eq(got[i], want[seqs[i]][fed[seqs[i]]], sizeof got[i]);
            fed[seqs[i]]++;
        }
    }
    cr_assert_eq(seen.passes, seen.steps);
    cr_assert_eq(seen.rows, seen.segments);
    run_close(&r);
}

/* A program with one entry: a prompt of LONG tokens in one call, then as many steps. */
static void
one_entry(int which, int passes)
{
    AbiProgram only = program;
    only.entries = &entries[which];
    only.nentries = 1;
    int32_t ids[LONG];
    float want[LONG * V], all[LONG * V], got[V];
    some_ids(ids, LONG, 2);
    Run r = run_open(&only, 2, 1);
    expected(ids, LONG, want);
    OK(ssmc_prefill_all(r.session, 1, ids, LONG, all));
    cr_assert_arr_eq(all, want, sizeof all);
    cr_assert_eq(seen.passes, passes, "%s: %d passes", entries[which].name, seen.passes);
    for (int t = 0; t < LONG; t++) {
        const int seq = 0;
        OK(ssmc_step(r.session, &seq, &ids[t], 1, got));
        cr_assert_arr_eq(got, want + t * V, sizeof got);
    }
    cr_assert_eq(seen.passes, passes + LONG);
    run_close(&r);
}

Test(session, a_program_with_one_entry_runs_everything_by_it)
{
    one_entry(PREFILL, (LONG + BLOCK - 1) / BLOCK);
    one_entry(DECODE, LONG); /* a prompt token by token */
    one_entry(SOME, (LONG + FEW - 1) / FEW);
}

/* Whatever their order, a piece goes to the entry with the least bound that it keeps. */
Test(session, a_piece_takes_the_entry_with_the_smallest_bound_that_fits)
{
    static const struct {
        int64_t tokens;
        int passes, steps, fews; /* of all entries, of decode, of some */
    } cases[] = {
        {1,         1, 1, 0},
        {2,         1, 0, 1},
        {FEW,       1, 0, 1},
        {FEW + 1,   1, 0, 0},
        {BLOCK,     1, 0, 0},
        {BLOCK + 1, 2, 1, 0},
        {BLOCK + 2, 2, 0, 1},
    };
    const AbiEntry turned[] = {entries[SOME], entries[PREFILL], entries[DECODE]};
    for (size_t i = 0; i < 2 * RT_COUNT(cases); i++) {
        AbiProgram p = program;
        p.entries = i % 2 ? turned : entries;
        p.nentries = 3;
        int32_t ids[BLOCK + 2];
        float want[(BLOCK + 2) * V], got[(BLOCK + 2) * V];
        const int64_t n = cases[i / 2].tokens;
        some_ids(ids, BLOCK + 2, (int)i);
        Run r = run_open(&p, 1, 2);
        expected(ids, (int)n, want);
        OK(ssmc_prefill_all(r.session, 0, ids, n, got));
        cr_expect_arr_eq(got, want, (size_t)n * V * sizeof *got);
        cr_expect_eq(seen.passes, cases[i / 2].passes, "%d tokens: %d", (int)n, seen.passes);
        cr_expect_eq(seen.steps, cases[i / 2].steps, "%d tokens: %d", (int)n, seen.steps);
        cr_expect_eq(seen.fews, cases[i / 2].fews, "%d tokens: %d", (int)n, seen.fews);
        run_close(&r);
    }
}

/* An entry without cuts takes whole pieces: 3 and 1 rows of two sequences, or one of 2 a pass. */
Test(session, pieces_of_an_entry_are_packed_by_its_own_block_and_grain)
{
    AbiProgram p = program;
    p.entries = entries;
    p.nentries = 3;
    int32_t ids[3][FEW];
    float want[3][FEW * V], got[3][FEW * V];
    ssmc_input in[3];
    Run r = run_open(&p, 3, 2);
    for (int i = 0; i < 3; i++) {
        const int64_t count = i == 2 ? 2 : FEW;
        some_ids(ids[i], FEW, i);
        expected(ids[i], FEW, want[i]);
        in[i] = (ssmc_input){i, ids[i], count, count, got[i]};
    }
    OK(ssmc_feed(r.session, in, 3));
    for (int i = 0; i < 3; i++)
        cr_expect_arr_eq(got[i], want[i], (size_t)in[i].count * V * sizeof(float));
    cr_expect_eq(seen.fews, 3);
    cr_expect_eq(seen.passes, 3);
    run_close(&r);
}

/* What a session gives may lie behind other outputs, with rows apart. */
Test(session, logits_are_the_first_output_of_picked_rows)
{
    enum { APART = V + 3, HIDDEN = BLOCK * H * 4 };
    const AbiOutput both[] = {
        {"hidden", ABI_F32,  ABI_TOKENS, H, H,     0,      0},
        {"few",    ABI_BF16, ABI_PICKED, 1, 1,     0,      0},
        {"logits", ABI_F32,  ABI_PICKED, V, APART, HIDDEN, 0},
    };
    AbiOperand moved[RT_COUNT(operands)];
    memcpy(moved, operands, sizeof operands);
    moved[RT_COUNT(operands) - 1].offset = HIDDEN;
    AbiProgram p = program;
    p.operands = moved;
    p.outputs = both;
    p.noutputs = RT_COUNT(both);
    p.output_bytes = HIDDEN + ((HEAD_ROWS - 1) * APART + V) * 4;
    int32_t ids[2];
    float want[2 * V], got[V];
    some_ids(ids, 2, 5);
    Run r = run_open(&p, 1, 1);
    expected(ids, 2, want);
    OK(ssmc_prefill(r.session, 0, ids, 2, got)); /* one row: kernels here know no stride */
    cr_expect_arr_eq(got, want + V, sizeof got);
    cr_expect_eq(ssmc_model_vocab(r.model), V);
    run_close(&r);
}

Test(session, bad_arguments_change_nothing)
{
    const int32_t bad[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, V}, negative[] = {-1};
    const int twice[] = {1, 0, 1}, beyond[] = {0, 2}, below[] = {-1};
    float logits[10 * V];
    Run r = run_open(&program, 2, 2);
    OK(ssmc_prefill(r.session, 1, bad, 5, logits));
    const int passes = seen.passes;
    ssmc_session *none;
    cr_expect_eq(ssmc_prefill(r.session, 1, bad, 10, logits), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "id 10 of 10 is 11") && strstr(ssmc_error(), "0 to 10"), "%s",
              ssmc_error());
    cr_expect_eq(ssmc_prefill_all(r.session, 1, bad, 10, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_prefill(r.session, 1, negative, 1, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_prefill(r.session, 1, bad, 0, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_prefill(r.session, 1, bad, -3, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_prefill(r.session, 2, bad, 1, logits), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "no sequence 2"), "%s", ssmc_error());
    cr_expect_eq(ssmc_step(r.session, twice, bad, 3, logits), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "sequence 1 is named twice"), "%s", ssmc_error());
    cr_expect_eq(ssmc_step(r.session, beyond, bad, 2, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_step(r.session, below, bad, 1, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_step(r.session, twice, bad, 0, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_step(r.session, twice, negative, 1, logits), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_reset(r.session, -1), SSMC_BAD_ARGUMENT);
    ssmc_input in[] = {
        {0, bad, 3, 1, logits},
        {1, bad, 3, 4, logits}
    };
    cr_expect_eq(ssmc_feed(r.session, in, 0), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "0 inputs"), "%s", ssmc_error());
    cr_expect_eq(ssmc_feed(r.session, in, 2), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "last 4 of 3 tokens of sequence 1"), "%s", ssmc_error());
    in[1].wanted = -1;
    cr_expect_eq(ssmc_feed(r.session, in, 2), SSMC_BAD_ARGUMENT);
    in[1].wanted = 2, in[1].logits = NULL;
    cr_expect_eq(ssmc_feed(r.session, in, 2), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "but nowhere"), "%s", ssmc_error());
    in[1].seq = 0;
    cr_expect_eq(ssmc_feed(r.session, in, 2), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "sequence 0 is named twice"), "%s", ssmc_error());
    cr_expect_eq(ssmc_tokens(r.session, 2), -1);
    cr_expect_eq(ssmc_session_open(r.model, 0, 1, &none), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_session_open(r.model, 1, -1, &none), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_session_open(r.model, 1, 1000000, &none), SSMC_BAD_ARGUMENT);
    cr_expect_null(none);
    cr_assert_eq(seen.passes, passes);
    int64_t n = 0;
    cr_assert_eq(rt_session_state(r.session, 1, "count", &n)[0], 5);
    cr_assert_eq(n, 1);
    cr_assert_eq(rt_session_state(r.session, 0, "count", &n)[0], 0);
    cr_assert_not_null(rt_session_state(r.session, 0, "s", &n));
    cr_assert_eq(n, H);
    cr_assert_null(rt_session_state(r.session, 0, "t", &n));
    cr_assert_null(rt_session_state(r.session, 2, "s", &n));
    run_close(&r);
}

/* Five sequences: passes of one of each as long as there is room, cut where the grain allows it. */
static void
feed_five(int64_t grain, int passes, int64_t segments)
{
    static const int64_t count[] = {4, 1, 5, 9, 5};
    AbiProgram p = program;
    AbiEntry two[] = {entries[PREFILL], entries[DECODE]};
    two[PREFILL].grain = grain;
    p.entries = two;
    Run r = run_open(&p, 6, 2);
    int32_t ids[5][9];
    float want[5][9 * V], got[5][9 * V];
    ssmc_input in[5];
    for (int i = 0; i < 5; i++) {
        some_ids(ids[i], 9, i);
        expected(ids[i], 9, want[i]);
        in[i] = (ssmc_input){5 - i, ids[i], count[i], count[i] - i % 2, got[i]};
    }
    OK(ssmc_feed(r.session, in, 5));
    for (int i = 0; i < 5; i++) {
        cr_assert_arr_eq(got[i], want[i] + i % 2 * V, (size_t)in[i].wanted * V * sizeof(float));
        cr_assert_eq(ssmc_tokens(r.session, 5 - i), count[i]);
    }
    cr_assert_eq(ssmc_tokens(r.session, 0), 0);
    cr_assert_eq(seen.rows, 24);
    cr_assert_eq(seen.passes, passes, "grain %d: %d passes", (int)grain, seen.passes);
    cr_assert_eq(seen.segments, segments);
    cr_assert_eq(seen.steps, 2); /* the single token, and the ninth of nine */
    run_close(&r);
}

Test(session, pieces_are_packed_into_passes)
{
    feed_five(1, 3 + 2, 6 + 2); /* 4 4 | 1 7 | 1 5 */
    feed_five(4, 4 + 2, 7 + 2); /* 4 4 | 1 4 | 4 4 | 1 */
    feed_five(0, 4 + 2, 4 + 2); /* 4 | 5 | 8 | 5 */
}

static void
on_progress(void *user, int64_t done, int64_t total)
{
    int64_t *at = user;
    cr_assert_eq(total, 20);
    cr_assert_eq(done, *at + BLOCK < total ? *at + BLOCK : total);
    *at = done;
}

Test(session, progress_and_profile)
{
    int32_t ids[20] = {0};
    int64_t at = 0;
    Run r = run_open(&program, 1, 2);
    ssmc_session_on_progress(r.session, on_progress, &at);
    OK(ssmc_prefill(r.session, 0, ids, 20, NULL));
    cr_assert_eq(at, 20);
    cr_assert_eq(rt_session_step_seconds(r.session, 1), 0);
    rt_session_profile(r.session, true);
    at = 0;
    const double start = rt_now();
    float logits[V];
    OK(ssmc_prefill(r.session, 0, ids, 20, logits));
    const double took = rt_now() - start;
    double total = 0;
    for (int i = 1; i < 5; i++)
        total += rt_session_step_seconds(r.session, i);
    cr_assert_gt(rt_session_step_seconds(r.session, 2), 0);
    cr_assert_gt(rt_session_step_seconds(r.session, 4), 0);
    cr_assert_leq(total, took);
    cr_assert_eq(rt_session_step_seconds(r.session, 6), 0);
    cr_assert_eq(rt_session_step_seconds(r.session, -1), 0);
    cr_assert_eq(rt_session_step_seconds(r.session, 99), 0);
    run_close(&r);
}

Test(session, running_allocates_nothing)
{
    int32_t ids[LONG];
    float logits[LONG * V];
    const int seqs[] = {0, 1, 2};
    some_ids(ids, LONG, 1);
    Run r = run_open(&program, 3, 2);
    OK(ssmc_prefill_all(r.session, 0, ids, LONG, logits));
    const uint64_t before = allocations();
    for (int i = 0; i < 20; i++) {
        OK(ssmc_prefill_all(r.session, 0, ids, LONG, logits));
        OK(ssmc_step(r.session, seqs, ids, 3, logits));
        OK(ssmc_reset(r.session, i % 3));
    }
    cr_assert_eq(allocations(), before);
    run_close(&r);
}

Test(program, memory_is_known_before_it_is_taken)
{
    ssmc_program *p;
    OK(rt_program_wrap(&program, &p));
    cr_assert_eq(rt_program_abi(p), &program);
    const ssmc_memory one = ssmc_program_memory(p, 1, 1), more = ssmc_program_memory(p, 10, 3);
    cr_assert_eq(one.weights, V * H * 4 + V * 4);
    cr_assert_eq(one.kept, V * H * 4); /* the table, but not the scale */
    cr_assert_eq(one.params, 64 + V * 4);
    cr_assert_eq(one.total, one.kept + one.params + one.state + one.scratch);
    cr_assert_eq(more.total, more.kept + more.params + 10 * more.state + more.scratch);
    cr_assert_eq(one.block, BLOCK);
    cr_assert_eq(one.state, 128);
    cr_assert_eq(more.state, 128);
    /* Scratch and ranges of two more threads; the bookkeeping of each of nine more sequences, in
     * full lines. */
    const size_t kept = sizeof(RtSequence) + sizeof(ssmc_input) + sizeof(int64_t);
    const size_t exact = 2 * (128 + 2 * sizeof(RtParts)) + 9 * kept, rounding = 4 * (RT_LINE - 1);
    cr_assert_geq(more.scratch - one.scratch, exact - rounding);
    cr_assert_leq(more.scratch - one.scratch, exact + rounding);
    cr_assert_eq(ssmc_program_memory(p, 0, 1).scratch, SIZE_MAX);
    cr_assert_eq(ssmc_program_memory(p, 0, 1).total, SIZE_MAX);
    cr_assert_eq(ssmc_program_memory(p, 1, -1).scratch, SIZE_MAX);
    rt_program_free(p);
}

Test(program, a_state_too_large_for_memory_is_a_status)
{
    AbiProgram huge = program;
    huge.state_bytes = INT64_MAX / 2;
    ssmc_session *s;
    Run r = {.weights = small_weights()};
    OK(rt_program_wrap(&huge, &r.program));
    OK(ssmc_model_open(r.program, r.weights, 1, NULL, NULL, &r.model));
    cr_assert_eq(ssmc_session_open(r.model, 1, 1, &s), SSMC_NO_MEMORY);
    cr_assert_eq(ssmc_session_open(r.model, 1 << 30, 1, &s), SSMC_NO_MEMORY);
    cr_assert_null(s);
    run_close(&r);
}

/* ---- broken programs, weights that do not fit ---------------------------------------------- */

static void
program_refused_as(ssmc_status status, const AbiProgram *abi, const char *says)
{
    ssmc_program *p;
    cr_expect_eq(rt_program_wrap(abi, &p), status, "%s", says);
    cr_expect_null(p);
    cr_expect(strstr(ssmc_error(), says), "expected '%s' in '%s'", says, ssmc_error());
}

static void
program_refused(const AbiProgram *abi, const char *says)
{
    program_refused_as(SSMC_BAD_FILE, abi, says);
}

Test(program, broken_entries_are_refused)
{
    static const struct {
        AbiEntry entry;
        const char *says;
    } cases[] = {
        {{"e", 0, 0, 1, 0, 0, 1, {1, 3}, {4, 1}, {0}},  "an impossible block (0)"                  },
        {{"e", 0, 8, 0, 0, 0, 1, {1, 3}, {4, 1}, {0}},  "an impossible number of picked rows (0)"  },
        {{"e", -1, 8, 1, 0, 0, 1, {1, 3}, {4, 1}, {0}},
         "more tokens of a sequence than of all (-1)"                                              },
        {{"e", 9, 8, 1, 0, 0, 1, {1, 3}, {4, 1}, {0}},  "more tokens of a sequence than of all (9)"},
        {{"e", 0, 8, 1, -1, 0, 1, {1, 3}, {4, 1}, {0}}, "needs less than no memory (1)"            },
        {{"e", 0, 8, 1, 0, -1, 1, {1, 3}, {4, 1}, {0}}, "needs less than no memory (1)"            },
        {{"e", 0, 8, 1, 0, 0, 9, {1, 3}, {4, 1}, {0}},  "an impossible grain (9)"                  },
        {{"e", 0, 8, 1, 0, 0, 1, {1, 3}, {12, 2}, {0}}, "no name, or steps that are not there (1)" },
        {{NULL, 0, 8, 1, 0, 0, 1, {1, 3}, {4, 1}, {0}}, "no name, or steps that are not there (1)" },
    };
    for (size_t i = 0; i < RT_COUNT(cases); i++) {
        const AbiEntry two[] = {entries[PREFILL], cases[i].entry};
        AbiProgram p = program;
        p.entries = two;
        program_refused(&p, cases[i].says);
    }
    AbiProgram p = program;
    p.nentries = 0;
    program_refused(&p, "it has no entries, or too many (0)");
    p = program, p.init_scratch_bytes = -1;
    program_refused(&p, "first steps");
}

Test(program, inputs_that_sessions_do_not_give_are_refused)
{
    AbiInput list[] = {inputs[0], inputs[1]};
    AbiProgram p = program;
    p.inputs = list;
    list[1].name = "labels";
    program_refused_as(SSMC_UNSUPPORTED, &p,
                       "program 'small' reads an input 'labels', which this runtime does not give");
    list[1] = (AbiInput){"pick", ABI_TOKENS};
    program_refused_as(SSMC_UNSUPPORTED, &p, "reads an input 'pick'");
    list[1] = list[0];
    program_refused(&p, "two inputs have one name (1)");
    list[1].name = NULL;
    program_refused(&p, "an input has no name (1)");
    p = program, p.ninputs = 1;
    program_refused(&p, "outside its space (12)");
}

Test(program, outputs_without_room_or_logits_are_refused)
{
    AbiOutput o = outputs[0];
    AbiProgram p = program;
    p.outputs = &o;
    o.dtype = ABI_BF16;
    program_refused_as(SSMC_UNSUPPORTED, &p,
                       "program 'small' gives no logits: none of its outputs has a row of f32 for "
                       "each picked token");
    o = outputs[0], o.rows = ABI_TOKENS;
    program_refused(&p,
                    "an output lies outside the outputs (0)"); /* more rows than there is room */
    o = outputs[0], o.offset = 4;
    program_refused(&p, "an output lies outside");
    o = outputs[0], o.stride = V - 1;
    program_refused(&p, "an output lies outside");
    o = outputs[0], o.width = 0;
    program_refused(&p, "an output lies outside");
    o = outputs[0], o.stride = INT64_MAX;
    program_refused(&p, "an output lies outside");
    o = outputs[0], o.dtype = ABI_DTYPE_COUNT;
    program_refused(&p, "an output lies outside");
    p = program, p.noutputs = 0;
    program_refused_as(SSMC_UNSUPPORTED, &p, "gives no logits");
    p = program, p.output_bytes--;
    program_refused(&p, "an output lies outside");
}

Test(program, lists_of_candidates_that_are_none_are_refused)
{
    AbiEntry entry[RT_COUNT(entries)];
    AbiOutput both[] = {outputs[0], outputs[0]};
    AbiProgram p = program;
    memcpy(entry, entries, sizeof entry);
    both[1] = (AbiOutput){"one", ABI_F32, ABI_PICKED, 2, 2, 0, 1};
    p.outputs = both;
    p.noutputs = RT_COUNT(both);
    program_refused(&p, "an entry has not a step for each list of candidates (0)");
    p.entries = entry;
    for (int i = 0; i < p.nentries; i++)
        entry[i].choose = (AbiRange){p.nsteps, 1};
    program_refused(&p, "no name, or steps that are not there (0)");
    for (int i = 0; i < p.nentries; i++)
        entry[i].choose = (AbiRange){p.nsteps - 1, 1};
    ssmc_program *taken = NULL;
    cr_assert_eq(rt_program_wrap(&p, &taken), SSMC_OK, "%s", ssmc_error());
    rt_program_free(taken);
    both[1].candidates = 2;
    program_refused(&p, "an output is no list of candidates (1)");
    both[1].candidates = -1;
    program_refused(&p, "an output is no list of candidates (1)");
    both[1] = (AbiOutput){"all", ABI_F32, ABI_PICKED, 2 * V, 2 * V, 0, V};
    p.output_bytes *= 2;
    program_refused(&p, "an output is no list of candidates (1)");
    both[1] = (AbiOutput){"one", ABI_BF16, ABI_PICKED, 2, 2, 0, 1};
    program_refused(&p, "an output is no list of candidates (1)");
}

Test(program, broken_ones_are_refused)
{
    AbiProgram p = program;
    p = program, p.state_bytes = -1;
    program_refused(&p, "less than no memory");
    p = program, p.init.first = -1;
    program_refused(&p, "first steps");
    p = program, p.param_bytes = 64;
    program_refused(&p, "outside its space (1)");
    p = program, p.nweights = 1;
    program_refused(&p, "outside its space (0)");
    p = program, p.noperands = 13;
    program_refused(&p, "no operands (4)");
    p = program, p.state_bytes = STATE_COUNT + 1;
    program_refused(&p, "a state lies outside");
    p = program, p.numerics = NULL;
    program_refused(&p, "numerics");
    AbiState list[] = {states[0], states[1]};
    list[1].dim[0] = 2;
    p = program, p.states = list;
    program_refused(&p, "shape (1)");
    list[1] = states[1], list[1].rank = ABI_MAX_RANK + 1;
    program_refused(&p, "shape (1)");
}

Test(model, every_weight_that_does_not_fit_is_named)
{
    AbiWeight list[] = {weights[0], weights[1], weights[0], weights[0], weights[0]};
    list[2].tensor = "not.there|nor.here";
    list[3].dim[1] = H + 1;
    list[4].dtype = ABI_BF16;
    AbiProgram p = program;
    p.weights = list;
    p.nweights = 5;
    Run r = {.weights = small_weights()};
    OK(rt_program_wrap(&p, &r.program));
    cr_assert_eq(ssmc_model_open(r.program, r.weights, 1, NULL, NULL, &r.model), SSMC_BAD_FILE);
    cr_assert_null(r.model);
    static const char *const says[] = {"'small'", "lacks tensor 'not.there|nor.here'",
                                       "F32 [11,8], but the program was compiled for F32 [11,9]",
                                       "for BF16 [11,8]"};
    for (size_t i = 0; i < RT_COUNT(says); i++)
        cr_assert(strstr(ssmc_error(), says[i]), "expected '%s' in '%s'", says[i], ssmc_error());
    cr_assert_null(strstr(ssmc_error(), "scale"));
    run_close(&r);
}

static void *
other_thread(void *arg)
{
    bool *ok = arg;
    ssmc_sampler *s;
    *ok = strcmp(ssmc_error(), "") == 0;
    ssmc_sampler_open(&(ssmc_sampling){0}, 0, &s);
    *ok = *ok && strcmp(ssmc_error(), "") != 0;
    return NULL;
}

Test(error, messages_belong_to_a_thread)
{
    ssmc_weights *w;
    bool ok = false;
    pthread_t id;
    cr_assert_str_eq(ssmc_error(), "");
    cr_assert_eq(rt_weights_open("/no/such/file", &w), SSMC_IO);
    char mine[200];
    snprintf(mine, sizeof mine, "%s", ssmc_error());
    pthread_create(&id, NULL, other_thread, &ok);
    pthread_join(id, NULL);
    cr_assert(ok);
    cr_assert_str_eq(ssmc_error(), mine);
}

Test(error, long_messages_are_cut)
{
    char *name = malloc(10000);
    memset(name, 'x', 9999);
    name[9999] = '\0';
    rt_fail(SSMC_IO, "%s", name);
    for (int i = 0; i < 10; i++)
        rt_fail_also(SSMC_IO, "%s", name);
    cr_assert_lt(strlen(ssmc_error()), 9000);
    free(name);
}

/* ---- threads ------------------------------------------------------------------------------- */

typedef struct {
    RtPool *pool;
    int rounds;
    int turn[16];      /* by each thread, without atomics: the barrier orders them */
    atomic_int inside; /* threads that are in work */
} Race;

static void
race(void *user, int thread, int threads)
{
    Race *r = user;
    atomic_fetch_add(&r->inside, 1);
    for (int i = 0; i < r->rounds; i++) {
        r->turn[thread]++;
        rt_pool_barrier(r->pool);
        for (int k = 0; k < threads; k++)
            if (r->turn[k] != r->turn[thread])
                abort();
        rt_pool_barrier(r->pool);
    }
    atomic_fetch_sub(&r->inside, 1);
}

Test(pool, barriers_hold_with_more_threads_than_cores)
{
    for (int threads = 1; threads <= 8; threads++) {
        Race r = {.rounds = threads <= 2 ? 3000 : 200};
        OK(rt_pool_open(threads, &r.pool));
        cr_assert_eq(rt_pool_threads(r.pool), threads);
        for (int i = 0; i < 20; i++) {
            rt_pool_run(r.pool, race, &r);
            cr_assert_eq(atomic_load(&r.inside), 0);
            if (i % 5 == 4) /* let the workers fall asleep */
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        for (int k = 0; k < threads; k++)
            cr_assert_eq(r.turn[k], 20 * r.rounds);
        rt_pool_close(r.pool);
    }
}

Test(pool, opens_and_closes)
{
    RtPool *pool;
    for (int i = 0; i < 100; i++) {
        OK(rt_pool_open(i % 7, &pool)); /* 0: all cores */
        cr_assert_geq(rt_pool_threads(pool), 1);
        rt_pool_close(pool);
    }
    cr_assert_eq(rt_pool_open(-1, &pool), SSMC_BAD_ARGUMENT);
    cr_assert_eq(rt_pool_open(1 << 20, &pool), SSMC_BAD_ARGUMENT);
    rt_pool_close(NULL);
}

/* A model is shared: sessions of several threads, each with a pool. */
static void *
run_alone(void *arg)
{
    const ssmc_model *model = arg;
    ssmc_session *s;
    int32_t ids[LONG];
    float want[LONG * V], got[V];
    some_ids(ids, LONG, 3);
    expected(ids, LONG, want);
    if (ssmc_session_open(model, 2, 2, &s) != SSMC_OK)
        return (void *)ssmc_error();
    for (int i = 0; i < 5; i++) {
        ssmc_reset(s, 0);
        ssmc_prefill(s, 0, ids, LONG, got);
        if (memcmp(got, want + (LONG - 1) * V, sizeof got) != 0)
            return (void *)"other numbers";
    }
    ssmc_session_close(s);
    return NULL;
}

Test(model, is_shared_by_sessions_of_several_threads)
{
    pthread_t id[4];
    Run r = run_open(&program, 1, 1);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&id[i], NULL, run_alone, r.model), 0);
    for (int i = 0; i < 4; i++) {
        void *fault;
        pthread_join(id[i], &fault);
        cr_expect_null(fault, "%s", (const char *)fault);
    }
    run_close(&r);
}

/* ---- weights by rules ---------------------------------------------------------------------- */

static const AbiWeight ruled[] = {
    {"ones",  "ones",           ABI_F32,  1, {100}      },
    {"zeros", "zeros",          ABI_BF16, 2, {10, 3}    },
    {"slope", "slopes",         ABI_F32,  1, {8}        },
    {"fade",  "retention",      ABI_F32,  1, {4}        },
    {"first", "fading_slopes",  ABI_F32,  1, {8}        },
    {"A",     "a_log_states",   ABI_F32,  2, {30, 5}    },
    {"a",     "a_log",          ABI_F32,  1, {4000}     },
    {"dt",    "dt_bias",        ABI_F32,  1, {4000}     },
    {"w",     "uniform_fan_in", ABI_F32,  2, {100, 64}  },
    {"conv",  "uniform_fan_in", ABI_F32,  3, {300, 1, 4}},
    {"out.0", "out_proj",       ABI_F32,  2, {100, 64}  },
    {"out.1", "out_proj",       ABI_F32,  2, {100, 64}  },
    {"embed", "normal_embed",   ABI_F32,  2, {500, 64}  },
};
enum { RULED = RT_COUNT(ruled) };

typedef struct {
    double low, high, mean, deviation;
} Spread;

static Spread
spread_of(const ssmc_weights *w, const char *name)
{
    const RtTensor *t = rt_weights_find(w, name);
    const float *x = t->data;
    const size_t n = t->bytes / 4;
    Spread s = {.low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        s.low = fmin(s.low, x[i]);
        s.high = fmax(s.high, x[i]);
        s.mean += x[i] / (double)n;
        s.deviation += (double)x[i] * x[i] / (double)n;
    }
    s.deviation = sqrt(s.deviation - s.mean * s.mean);
    return s;
}

static void
uniform_between(Spread s, double low, double high)
{
    const double width = high - low;
    cr_expect(s.low >= low && s.low < low + 0.02 * width, "%g %g", s.low, low);
    cr_expect(s.high <= high && s.high > high - 0.02 * width, "%g %g", s.high, high);
    cr_expect_float_eq(s.mean, (low + high) / 2, 0.03 * width);
    cr_expect_float_eq(s.deviation, width / sqrt(12), 0.02 * width);
}

Test(init, rules_have_their_distributions)
{
    ssmc_weights *w;
    OK(rt_weights_init(ruled, RULED, 7, 2, NULL, NULL, &w));
    const Spread ones = spread_of(w, "ones"), zeros = spread_of(w, "zeros");
    cr_expect(ones.low == 1 && ones.high == 1 && zeros.low == 0 && zeros.high == 0);
    cr_expect_str_eq(rt_weights_find(w, "zeros")->dtype, "F32");
    const Spread a = spread_of(w, "a"), dt = spread_of(w, "dt"), normal = spread_of(w, "embed");
    cr_expect(a.low >= 0 && a.low < 0.05 && a.high <= log(16) + 1e-6 && a.high > log(16) - 0.05);
    const float *log_states = rt_weights_find(w, "A")->data;
    for (int i = 0; i < 150; i++)
        cr_expect_float_eq(log_states[i], log(1 + i % 5), 1e-6);
    const float *slope = rt_weights_find(w, "slope")->data,
                *fade = rt_weights_find(w, "fade")->data,
                *first = rt_weights_find(w, "first")->data;
    for (int i = 0; i < 8; i++)
        cr_expect_float_eq(slope[i], exp2(-1 - i), 1e-9);
    for (int i = 0; i < 8; i++)
        cr_expect_float_eq(first[i], exp2(-1 - i) * (1 + 1e-5), 1e-7);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(exp(-(double)fade[i]), 1 - exp2(-5 - i), 1e-7);
    /* softplus^-1 of 0.001 and 0.1 */
    cr_expect(dt.low >= -6.9073 && dt.low < -6.88 && dt.high <= -2.2521 && dt.high > -2.28, "%g %g",
              dt.low, dt.high);
    uniform_between(spread_of(w, "w"), -0.125, 0.125);
    uniform_between(spread_of(w, "conv"), -0.5, 0.5);
    uniform_between(spread_of(w, "out.0"), -0.125 / sqrt(2), 0.125 / sqrt(2));
    cr_expect_float_eq(normal.mean, 0, 0.0005);
    cr_expect_float_eq(normal.deviation, 0.02, 0.0003);
    cr_expect(normal.high > 0.06 && normal.high < 0.13, "%g", normal.high);
    cr_expect(memcmp(rt_weights_find(w, "out.0")->data, rt_weights_find(w, "out.1")->data, 100) !=
              0);
    rt_weights_close(w);
}

Test(init, depends_on_the_seed_and_not_on_the_threads)
{
    ssmc_weights *one, *other, *three;
    OK(rt_weights_init(ruled, RULED, 1, 1, NULL, NULL, &one));
    OK(rt_weights_init(ruled, RULED, 2, 1, NULL, NULL, &other));
    OK(rt_weights_init(ruled, RULED, 1, 3, NULL, NULL, &three));
    for (int i = 0; i < RULED; i++) {
        const RtTensor *a = rt_weights_at(one, i), *b = rt_weights_at(three, i);
        cr_assert_str_eq(a->name, ruled[i].tensor);
        cr_assert_eq((uintptr_t)a->data % 64, 0);
        cr_assert_eq(a->bytes, b->bytes);
        cr_assert_eq(memcmp(a->data, b->data, a->bytes), 0, "%s", a->name);
        const bool random = i >= 6;
        cr_assert_eq(memcmp(a->data, rt_weights_at(other, i)->data, a->bytes) != 0, random);
    }
    rt_weights_close(one);
    rt_weights_close(other);
    rt_weights_close(three);
}

Test(init, refuses_unknown_rules_and_impossible_weights)
{
    ssmc_weights *w;
    AbiWeight list[] = {ruled[0], ruled[0], ruled[0]};
    list[1].init = "xavier";
    list[2].init = NULL;
    cr_assert_eq(rt_weights_init(list, 3, 0, 1, NULL, NULL, &w), SSMC_BAD_ARGUMENT);
    cr_assert(strstr(ssmc_error(), "'xavier'") && strstr(ssmc_error(), "normal_embed"), "%s",
              ssmc_error());
    cr_assert(strstr(ssmc_error(), "''"), "%s", ssmc_error());
    list[0].dim[0] = INT64_MAX;
    cr_assert_eq(rt_weights_init(list, 1, 0, 1, NULL, NULL, &w), SSMC_BAD_ARGUMENT);
    list[0].dim[0] = -1;
    cr_assert_eq(rt_weights_init(list, 1, 0, 1, NULL, NULL, &w), SSMC_BAD_ARGUMENT);
    cr_assert_null(w);
    OK(rt_weights_init(list, 0, 0, 1, NULL, NULL, &w));
    rt_weights_close(w);
}

/* ---- what is not there --------------------------------------------------------------------- */

#define REFUSED(call) cr_expect_eq((call), SSMC_BAD_ARGUMENT, #call)

Test(arguments, nothing_where_something_must_be)
{
    Run r = run_open(&program, 2, 1);
    ssmc_session *s = r.session, *session = NULL;
    const int32_t ids[] = {1, 2};
    const int seqs[] = {0, 1};
    float logits[2 * V];
    void *note = NULL;
    size_t bytes = 0;
    ssmc_checkpoint *c = NULL;
    ssmc_cache *cache = NULL;
    int64_t taken = 0;
    REFUSED(ssmc_feed(NULL, &(ssmc_input){0, ids, 1, 0, NULL}, 1));
    REFUSED(ssmc_feed(s, NULL, 1));
    REFUSED(ssmc_feed(s, &(ssmc_input){0, NULL, 1, 0, NULL}, 1));
    cr_expect(strstr(ssmc_error(), "no ids for sequence 0"), "%s", ssmc_error());
    REFUSED(ssmc_feed(s, &(ssmc_input){0, ids, 1, 1, NULL}, 1));
    REFUSED(ssmc_feed(s, &(ssmc_input){0, NULL, INT64_MAX, 0, NULL}, 1));
    REFUSED(ssmc_prefill(NULL, 0, ids, 1, logits));
    REFUSED(ssmc_prefill(s, 0, NULL, 1, logits));
    REFUSED(ssmc_prefill_all(s, 0, NULL, 2, logits));
    REFUSED(ssmc_prefill_all(s, 0, ids, 2, NULL));
    REFUSED(ssmc_step(NULL, seqs, ids, 1, logits));
    REFUSED(ssmc_step(s, NULL, ids, 1, logits));
    REFUSED(ssmc_step(s, seqs, NULL, 1, logits));
    REFUSED(ssmc_step(s, seqs, ids, -1, logits));
    REFUSED(ssmc_reset(NULL, 0));
    cr_expect_eq(ssmc_tokens(NULL, 0), -1);
    ssmc_session_on_progress(NULL, NULL, NULL);
    REFUSED(ssmc_fork(NULL, 0, 1));
    REFUSED(ssmc_checkpoint_take(NULL, 0, &c));
    REFUSED(ssmc_checkpoint_take(s, 0, NULL));
    REFUSED(ssmc_rewind(s, 0, NULL));
    REFUSED(ssmc_state_save(NULL, 0, "/dev/null", NULL, 0));
    REFUSED(ssmc_state_save(s, 0, NULL, NULL, 0));
    REFUSED(ssmc_state_save(s, 0, "/dev/null", NULL, 1));
    REFUSED(ssmc_state_save(s, 0, "/dev/null", ids, SIZE_MAX));
    REFUSED(ssmc_state_load(NULL, 0, "/dev/null", NULL, NULL));
    REFUSED(ssmc_state_load(s, 0, NULL, NULL, NULL));
    REFUSED(ssmc_state_load(s, 0, "/dev/null", &note, NULL));
    REFUSED(ssmc_state_load(s, 0, NULL, &note, &bytes));
    REFUSED(ssmc_session_open(NULL, 1, 1, &session));
    REFUSED(ssmc_session_open(r.model, 1, 1, NULL));
    REFUSED(ssmc_session_open(r.model, 1, -1, &session));
    REFUSED(ssmc_session_open(r.model, -1, 1, &session));
    cr_expect_neq(ssmc_session_open(r.model, INT_MAX, 1, &session), SSMC_BAD_FILE);
    ssmc_session_close(session);
    REFUSED(ssmc_cache_open(NULL, 1, &cache));
    REFUSED(ssmc_cache_open("/tmp", 1, NULL));
    REFUSED(ssmc_cache_take(NULL, s, 0, ids, 1, &taken));
    REFUSED(ssmc_cache_put(NULL, s, 0, ids, 1));
    OK(ssmc_cache_open("/tmp", 1, &cache));
    REFUSED(ssmc_cache_take(cache, NULL, 0, ids, 1, &taken));
    REFUSED(ssmc_cache_take(cache, s, 0, NULL, 1, &taken));
    REFUSED(ssmc_cache_take(cache, s, 0, ids, -1, &taken));
    REFUSED(ssmc_cache_take(cache, s, 0, ids, 1, NULL));
    REFUSED(ssmc_cache_put(cache, s, 0, NULL, 1));
    REFUSED(ssmc_cache_put(cache, s, 0, ids, -1));
    ssmc_cache_close(cache);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(ssmc_tokens(s, i), 0, "nothing was read");
    run_close(&r);
}

Test(arguments, nothing_to_open_or_to_draw_from)
{
    const ssmc_sampling how = {.seed = 1};
    ssmc_model *model = NULL;
    ssmc_library *library = NULL;
    ssmc_sampler *sampler = NULL;
    ssmc_memory memory;
    float logits[V] = {0};
    size_t bytes = 1;
    REFUSED(ssmc_model_open(NULL, NULL, 1, NULL, NULL, &model));
    REFUSED(ssmc_compiled_open(NULL, NULL, &model));
    REFUSED(ssmc_compiled_memory(NULL, NULL, 1, 1, &memory));
    cr_expect_null(ssmc_compiled_tokenizer(NULL, &bytes));
    cr_expect_eq(bytes, 0);
    cr_expect_null(ssmc_compiled_eos(NULL, &bytes));
    cr_expect_eq(bytes, 0);
    REFUSED(ssmc_library_open(NULL, &library));
    REFUSED(ssmc_library_open("/tmp/x.so", NULL));
    cr_expect_null(ssmc_library_compiled(NULL));
    cr_expect_eq(ssmc_model_vocab(NULL), -1);
    cr_expect_null(ssmc_model_warning(NULL));
    cr_expect_eq(ssmc_program_memory(NULL, 1, 1).total, SIZE_MAX);
    REFUSED(ssmc_sampler_open(NULL, V, &sampler));
    REFUSED(ssmc_sampler_open(&how, V, NULL));
    REFUSED(ssmc_sampler_open(&how, INT64_MAX, &sampler));
    cr_expect_eq(ssmc_sample(NULL, logits), -1);
    ssmc_sampler_see(NULL, 0);
    OK(ssmc_sampler_open(&how, V, &sampler));
    cr_expect_eq(ssmc_sample(sampler, NULL), -1);
    ssmc_sampler_close(sampler);
    ssmc_model_close(NULL);
    ssmc_session_close(NULL);
    ssmc_checkpoint_drop(NULL);
    ssmc_cache_close(NULL);
    ssmc_library_close(NULL);
    ssmc_sampler_close(NULL);
}
