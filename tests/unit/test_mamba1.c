/* tests/unit/test_mamba1.c -- whole models of Mamba-1, and of the delta rule beside attention:
 * states of sequences are copied, kept, saved and stepped together as those of other recurrences
 * are. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/cost.h"
#include "passes/pass.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define MAMBA SSMC_ROOT "/tests/goldens/mamba-base"
#define DELTA SSMC_ROOT "/tests/goldens/olmo_hybrid-base"

enum { TOKENS = 90 };

/* Logits after all of ids, read in calls of at most `most` tokens. */
static void
read_ids(ssmc_session *s, int seq, const int32_t *ids, int n, int most, float *logits)
{
    for (int first = 0; first < n; first += most)
        cr_assert_eq(ssmc_prefill(s, seq, ids + first, first + most < n ? most : n - first, logits),
                     SSMC_OK, "%s", ssmc_error());
}

static bool
same(const ModelRun *run, const float *a, const float *b)
{
    const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
    return memcmp(a, b, vocab * sizeof *a) == 0;
}

static void
check_states(const char *model)
{
    ModelRun *run = MODEL_RUN(model, "--set", "compile.reproducible=true", "--dtype", "f32");
    const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
    float *want = calloc(vocab, sizeof *want), *got = calloc(vocab, sizeof *got);
    int32_t ids[TOKENS];
    char *dir = temp_dir(), *path = path_join(dir, "state");
    model_run_ids(run, 1, ids, TOKENS);
    ssmc_session *s = model_run_session(run, 3, 2);
    read_ids(s, 0, ids, TOKENS, TOKENS, want);

    ssmc_checkpoint *kept = NULL;
    read_ids(s, 1, ids, 40, 7, got);
    cr_assert_eq(ssmc_fork(s, 1, 2), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(ssmc_checkpoint_take(s, 1, &kept), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(ssmc_state_save(s, 1, path, NULL, 0), SSMC_OK, "%s", ssmc_error());
    read_ids(s, 1, ids + 40, TOKENS - 40, 11, got);
    cr_expect(same(run, got, want), "in pieces");
    read_ids(s, 2, ids + 40, TOKENS - 40, 1, got);
    cr_expect(same(run, got, want), "forked, token by token");
    cr_assert_eq(ssmc_rewind(s, 1, kept), SSMC_OK, "%s", ssmc_error());
    read_ids(s, 1, ids + 40, TOKENS - 40, TOKENS, got);
    cr_expect(same(run, got, want), "rewound");
    cr_assert_eq(ssmc_reset(s, 2), SSMC_OK);
    cr_assert_eq(ssmc_state_load(s, 2, path, NULL, NULL), SSMC_OK, "%s", ssmc_error());
    read_ids(s, 2, ids + 40, TOKENS - 40, TOKENS, got);
    cr_expect(same(run, got, want), "loaded");

    ssmc_checkpoint_drop(kept);
    ssmc_session_close(s);
    model_run_close(run);
    temp_dir_remove(dir);
    free(path);
    free(want);
    free(got);
}

Test(mamba1, states_are_copied_kept_and_saved)
{
    check_states(MAMBA);
}

Test(delta, states_are_copied_kept_and_saved)
{
    check_states(DELTA);
}

/* Sequences of different lengths in one call, and stepped together, are each as if alone; on any
 * number of threads. */
static void
check_batch(const char *model)
{
    enum { SEQUENCES = 3 };
    static const int lengths[SEQUENCES] = {1, 33, 64}, threads[] = {1, 2, 7};
    ModelRun *run = MODEL_RUN(model, "--set", "compile.reproducible=true", "--dtype", "f32");
    const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
    float *alone = calloc(vocab * SEQUENCES, sizeof *alone);
    float *together = calloc(vocab * SEQUENCES, sizeof *together);
    int32_t ids[SEQUENCES][TOKENS];
    for (int i = 0; i < SEQUENCES; i++) {
        model_run_ids(run, i, ids[i], TOKENS);
        ssmc_session *s = model_run_session(run, 1, 1);
        read_ids(s, 0, ids[i], lengths[i] + 1, TOKENS, alone + vocab * (size_t)i);
        ssmc_session_close(s);
    }
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        ssmc_session *s = model_run_session(run, SEQUENCES, threads[t]);
        ssmc_input inputs[SEQUENCES];
        int seqs[SEQUENCES];
        int32_t last[SEQUENCES];
        for (int i = 0; i < SEQUENCES; i++) {
            inputs[i] = (ssmc_input){.seq = i, .ids = ids[i], .count = lengths[i]};
            seqs[i] = i;
            last[i] = ids[i][lengths[i]];
        }
        cr_assert_eq(ssmc_feed(s, inputs, SEQUENCES), SSMC_OK, "%s", ssmc_error());
        cr_assert_eq(ssmc_step(s, seqs, last, SEQUENCES, together), SSMC_OK, "%s", ssmc_error());
        for (int i = 0; i < SEQUENCES; i++)
            cr_expect(same(run, together + vocab * (size_t)i, alone + vocab * (size_t)i),
                      "sequence %d, %d threads", i, threads[t]);
        ssmc_session_close(s);
    }
    model_run_close(run);
    free(alone);
    free(together);
}

Test(mamba1, sequences_are_apart_in_a_batch)
{
    check_batch(MAMBA);
}

Test(delta, sequences_are_apart_in_a_batch)
{
    check_batch(DELTA);
}

/* Predicted: an exponential and what goes with it for every state of a vector of channels and
 * token; three vectors of channels, two of them one thread's. */
Test(mamba1, the_time_of_a_scan_grows_with_its_states)
{
    static const char text[] =
        "graph \"t\" model {\n  weights \"init:reference\"\n  block 40\n  rows 4\n"
        "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[50,48] init=ones\n  weight b: "
        "f32[50,5] init=ones\n"
        "  weight A: f32[5,48] init=ones\n  state s: f32[5,48]\n  x = embed(ids, e)\n"
        "  B = embed(ids, b)\n  y = selective_scan(x, x, A, B, B, _, s)\n  last = take(y, pick)\n"
        "  output last\n}\n";
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Machine zen5;
    cr_assert(machine_named("znver5", &zen5));
    const Source source = {"test.ir", text, strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g);
    PassCtx cx = {.machine = &zen5, .chunk = CHUNK_AUTO, .arena = arena, .diag = diag};
    cr_assert(pass_run_pipeline(g, &cx, &(PassOptions){.stop_after = -1}));
    zen5.costs = (CostTable){.source = "test"};
    zen5.costs.step[COST_decay] = 1;
    cr_expect_float_eq(1e9 * cost_prefill(&zen5, g, 1, 40), 40 * 3 * 5, 1e-6);
    cr_expect_float_eq(1e9 * cost_prefill(&zen5, g, 2, 40), 40 * 2 * 5, 1e-6);
    diag_free(diag);
    arena_free(arena);
}
