/* tests/unit/test_state.c -- states as values: forks, checkpoints, files; what a file refuses. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define OK(call)     cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())
#define GOLDEN(name) SSMC_ROOT "/tests/goldens/" name
#define SMALL        GOLDEN("mamba2-base")

/* ---- going on from anywhere ---------------------------------------------------------------- */

enum { MADE = 100, EVERY = 10, POINTS = MADE / EVERY };

static int32_t
likeliest(const float *logits, int64_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Greedy from ids[at - 1], which sequence seq has not read: ids[at .. MADE). */
static void
go_on(ssmc_session *s, const ModelRun *run, int seq, int32_t *ids, int at)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    float *logits = malloc((size_t)vocab * sizeof *logits);
    for (; at < MADE; at++) {
        OK(ssmc_step(s, &seq, &ids[at - 1], 1, logits));
        ids[at] = likeliest(logits, vocab);
    }
    free(logits);
}

typedef struct {
    ModelRun *run;
    ssmc_session *s;
    char *dir, *path[POINTS];
    ssmc_checkpoint *checkpoint[POINTS];
    int32_t ids[MADE]; /* what is made in one go */
} Story;

/* Tells a story, and every tenth token keeps the state in all ways: sequence 1 + i is a fork. */
static void
story_tell(Story *t)
{
    static const int32_t prompt[] = {1893, 338, 626, 259}; /* Once upon a */
    const int64_t vocab = ssmc_model_vocab(model_run_model(t->run));
    float *logits = malloc((size_t)vocab * sizeof *logits);
    char name[32];
    const int seq = 0;
    OK(ssmc_prefill(t->s, 0, prompt, 4, logits));
    for (int at = 0; at < MADE; at++) {
        t->ids[at] = likeliest(logits, vocab);
        if (at % EVERY == 0) {
            const int i = at / EVERY;
            snprintf(name, sizeof name, "%d.state", i);
            t->path[i] = path_join(t->dir, name);
            OK(ssmc_state_save(t->s, 0, t->path[i], &t->ids[at], sizeof t->ids[at]));
            OK(ssmc_checkpoint_take(t->s, 0, &t->checkpoint[i]));
            OK(ssmc_fork(t->s, 0, 1 + i));
        }
        OK(ssmc_step(t->s, &seq, &t->ids[at], 1, logits));
    }
    free(logits);
}

static void
expect_same(const Story *t, ssmc_session *s, int seq, int point, const char *what)
{
    int32_t ids[MADE];
    const int at = point * EVERY;
    memcpy(ids, t->ids, sizeof ids);
    memset(ids + at + 1, 0xff, (size_t)(MADE - at - 1) * sizeof *ids);
    cr_expect_eq(ssmc_tokens(s, seq), 4 + at, "%s", what);
    go_on(s, t->run, seq, ids, at + 1);
    cr_expect_arr_eq(ids, t->ids, sizeof ids, "%s at token %d goes on to another text", what, at);
}

static void
expect_one_story(ModelRun *run)
{
    Story t = {.run = run, .dir = temp_dir()};
    t.s = model_run_session(t.run, 1 + POINTS, 1);
    story_tell(&t);
    ssmc_session *other = model_run_session(t.run, 2, 2);
    for (int i = POINTS - 1; i >= 0; i--) {
        void *note = NULL;
        size_t bytes = 0;
        OK(ssmc_state_load(other, 1, t.path[i], &note, &bytes));
        cr_assert_eq(bytes, sizeof t.ids[0]);
        cr_assert_arr_eq(note, &t.ids[i * EVERY], bytes);
        free(note);
        expect_same(&t, other, 1, i, "a saved state");
        OK(ssmc_rewind(t.s, 0, t.checkpoint[i]));
        expect_same(&t, t.s, 0, i, "a checkpoint");
        OK(ssmc_rewind(other, 0, t.checkpoint[i]));
        expect_same(&t, other, 0, i, "a checkpoint in another session");
        expect_same(&t, t.s, 1 + i, i, "a fork");
        ssmc_checkpoint_drop(t.checkpoint[i]);
        free(t.path[i]);
    }
    ssmc_session_close(other);
    ssmc_session_close(t.s);
    model_run_close(t.run);
    temp_dir_remove(t.dir);
}

Test(state, every_tenth_token_goes_on_to_the_same_text)
{
    expect_one_story(MODEL_RUN(STORYTELLER));
}

Test(state, every_tenth_token_goes_on_to_the_same_text_with_growing_states)
{
    expect_one_story(MODEL_RUN(HYBRID));
}

/* The ring of the window has 128 rows, so some of these states have been round it. */
Test(state, every_tenth_token_goes_on_to_the_same_text_round_a_ring)
{
    expect_one_story(MODEL_RUN(HYBRID, "--set", "compile.block=64", "--dtype", "bf16"));
}

Test(state, every_tenth_token_goes_on_to_the_same_text_from_a_state_of_bf16)
{
    expect_one_story(MODEL_RUN(STORYTELLER, "--dtype", "int8", "--state-dtype", "bf16"));
}

/* ---- files --------------------------------------------------------------------------------- */

/* A model, a sequence that has read some tokens, and its file. */
typedef struct {
    ModelRun *run;
    ssmc_session *s;
    char *dir, *path;
} Saved;

static Saved
saved_open(ModelRun *run)
{
    Saved v = {.run = run, .s = model_run_session(run, 2, 1), .dir = temp_dir()};
    int32_t ids[7];
    v.path = path_join(v.dir, "a.state");
    model_run_ids(run, 1, ids, 7);
    OK(ssmc_prefill(v.s, 0, ids, 7, NULL));
    OK(ssmc_state_save(v.s, 0, v.path, NULL, 0));
    return v;
}

static void
saved_close(Saved *v)
{
    ssmc_session_close(v->s);
    model_run_close(v->run);
    temp_dir_remove(v->dir);
    free(v->path);
}

/* Loading is refused with these words, and sequence 1 is as it was. */
static void
expect_refused(Saved *v, const char *path, ssmc_status status, const char *says)
{
    const ssmc_memory m = ssmc_program_memory(model_run_program(v->run), 1, 1);
    int64_t n = 0;
    const AbiState *first = &rt_program_abi(model_run_program(v->run))->states[0];
    const float *state = rt_session_state(v->s, 1, first->name, &n);
    float *before = malloc(m.state);
    memcpy(before, state, (size_t)n * sizeof *state);
    void *note = &n;
    size_t bytes = 1;
    cr_expect_eq(ssmc_state_load(v->s, 1, path, &note, &bytes), status, "%s", says);
    cr_expect(strstr(ssmc_error(), says), "expected '%s' in '%s'", says, ssmc_error());
    cr_expect(note == NULL && bytes == 0);
    cr_expect_eq(ssmc_tokens(v->s, 1), 0);
    cr_expect_arr_eq(before, state, (size_t)n * sizeof *state);
    free(before);
}

static void
expect_other_refused(ModelRun *other, const char *says)
{
    Saved mine = saved_open(MODEL_RUN(SMALL)), theirs = saved_open(other);
    expect_refused(&mine, theirs.path, SSMC_BAD_FILE, says);
    saved_close(&mine);
    saved_close(&theirs);
}

Test(state, another_model_is_refused)
{
    expect_other_refused(MODEL_RUN(STORYTELLER), "was saved by another model");
    expect_other_refused(MODEL_RUN(GOLDEN("mamba2-groups")), "'mamba2-base'");
}

Test(state, other_numerics_are_refused)
{
    expect_other_refused(MODEL_RUN(SMALL, "--dtype", "bf16"),
                         "was saved by a model in bf16, but this one is in f32");
    expect_other_refused(MODEL_RUN(SMALL, "--state-dtype", "bf16"),
                         "was saved by a model in f32, bf16 state, but this one is in f32");
}

static int64_t
state_bytes(ModelRun *run)
{
    int64_t bytes = 0;
    const AbiProgram *abi = rt_program_abi(model_run_program(run));
    for (int i = 0; i < abi->nstates; i++)
        bytes += strstr(abi->states[i].name, "ssm") ? abi->states[i].bytes : 0;
    return bytes;
}

Test(state, a_state_of_bf16_is_half_as_large)
{
    ModelRun *whole = MODEL_RUN(SMALL), *half = MODEL_RUN(SMALL, "--state-dtype", "bf16");
    cr_expect_eq(2 * state_bytes(half), state_bytes(whole));
    cr_expect_gt(state_bytes(half), 0);
    model_run_close(whole);
    model_run_close(half);
}

Test(state, a_reproducible_model_takes_none_that_is_not)
{
    Saved mine = saved_open(MODEL_RUN(SMALL, "--reproducible"));
    Saved theirs = saved_open(MODEL_RUN(SMALL, "--chunk", "24"));
    expect_refused(&mine, theirs.path, SSMC_BAD_FILE, "was not compiled reproducible, but this");
    OK(ssmc_state_load(theirs.s, 1, mine.path, NULL, NULL));
    saved_close(&mine);
    saved_close(&theirs);
}

/* What is compiled how does not matter to a state: other vectors, forms, chunks, passes. */
Test(state, other_builds_of_the_model_take_it)
{
    Saved v = saved_open(
        MODEL_RUN(SMALL, "--cpu", "x86-64-v3", "--form", "recurrent", "--set", "compile.block=32"));
    ModelRun *run = MODEL_RUN(SMALL, "--chunk", "48", "--threads", "2");
    ssmc_session *s = model_run_session(run, 1, 2);
    const AbiProgram *abi = rt_program_abi(model_run_program(run));
    OK(ssmc_state_load(s, 0, v.path, NULL, NULL));
    cr_assert_eq(ssmc_tokens(s, 0), 7);
    for (int i = 0; i < abi->nstates; i++) {
        int64_t n = 0, m = 0;
        const float *a = rt_session_state(v.s, 0, abi->states[i].name, &n);
        const float *b = rt_session_state(s, 0, abi->states[i].name, &m);
        cr_assert_eq(n, m);
        cr_assert_arr_eq(a, b, (size_t)n * sizeof *a);
    }
    ssmc_session_close(s);
    model_run_close(run);
    saved_close(&v);
}

static RtHash
identity_of(const char *const *args)
{
    ModelRun *run = model_run_open(args);
    const RtHash hash = rt_model_identity(model_run_model(run));
    model_run_close(run);
    return hash;
}
#define IDENTITY(...) identity_of((const char *const[]){__VA_ARGS__, NULL})

Test(state, an_identity_is_that_of_description_and_weights)
{
#define TINY SSMC_ROOT "/examples/custom-block.yaml"
    const RtHash a = IDENTITY(TINY), same = IDENTITY(TINY, "--dtype", "bf16", "--chunk", "all"),
                 seed = IDENTITY(TINY, "--set", "weights.seed=2"),
                 eps = IDENTITY(TINY, "--set", "eps=1e-3");
    cr_expect_arr_eq(&a, &same, sizeof a);
    cr_expect(a.low != seed.low && a.high != seed.high, "other weights");
    cr_expect(a.low != eps.low && a.high != eps.high, "another eps");
}

/* ---- damage -------------------------------------------------------------------------------- */

typedef struct {
    char *bytes;
    size_t len;
    char *path; /* of the file with what is made of the bytes */
} Copy;

static Copy
copy_of(const Saved *v)
{
    Copy c = {.path = path_join(v->dir, "b.state")};
    c.bytes = read_whole(v->path, &c.len);
    cr_assert_not_null(c.bytes);
    return c;
}

static void
copy_free(Copy *c)
{
    free(c->bytes);
    free(c->path);
}

Test(state, damaged_files_are_refused)
{
    Saved v = saved_open(MODEL_RUN(SMALL));
    Copy c = copy_of(&v);
    const size_t cuts[] = {9, 100, 127, 128, c.len / 2, c.len - 1};
    for (size_t i = 0; i < RT_COUNT(cuts); i++) {
        cr_assert(write_whole(c.path, c.bytes, cuts[i]));
        expect_refused(&v, c.path, SSMC_BAD_FILE, "is cut short");
    }
    cr_assert(write_whole(c.path, c.bytes, 0));
    expect_refused(&v, c.path, SSMC_BAD_FILE, "is no saved state");
    expect_refused(&v, SSMC_ROOT "/README.md", SSMC_BAD_FILE, "is no saved state");
    expect_refused(&v, "/nonexistent/a.state", SSMC_IO, "/nonexistent/a.state");
    for (size_t i = 0; i < c.len; i += i < 400 ? 1 : 997) { /* any byte */
        c.bytes[i] ^= 0x10;
        cr_assert(write_whole(c.path, c.bytes, c.len));
        expect_refused(&v, c.path, SSMC_BAD_FILE, c.path);
        c.bytes[i] ^= 0x10;
    }
    c.bytes[c.len / 2] ^= 1;
    cr_assert(write_whole(c.path, c.bytes, c.len));
    expect_refused(&v, c.path, SSMC_BAD_FILE, "is damaged: its checksum says");
    copy_free(&c);
    saved_close(&v);
}

static void
put64(char *at, uint64_t n)
{
    memcpy(at, &n, sizeof n);
}

/* One number changed, and a checksum that says it is right. */
static void
expect_forged_refused(Saved *v, Copy *c, size_t at, uint64_t n, const char *says)
{
    uint64_t before = 0;
    memcpy(&before, c->bytes + at, sizeof before);
    put64(c->bytes + at, n);
    put64(c->bytes + c->len - 8, rt_hash(c->bytes, c->len - 8));
    cr_assert(write_whole(c->path, c->bytes, c->len));
    expect_refused(v, c->path, SSMC_BAD_FILE, says);
    put64(c->bytes + at, before);
}

Test(state, forged_files_are_refused)
{
    enum {
        VERSION = 8,
        FILE_BYTES = 16,
        MODEL = 24,
        TOKENS = 80,
        STATES = 88,
        NOTE = 96,
        DTYPE = 104,
        RANK = 112
    };
    enum { DIM0 = RANK + 8, NAME_BYTES = RANK + 40, NAME = RANK + 48 };
    Saved v = saved_open(MODEL_RUN(SMALL));
    Copy c = copy_of(&v);
    const uint64_t huge[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 62, c.len};
    expect_forged_refused(&v, &c, VERSION, 1, "of version 1; this build reads version 3");
    expect_forged_refused(&v, &c, FILE_BYTES, c.len - 1, "has grown");
    expect_forged_refused(&v, &c, MODEL, 7, "another model");
    expect_forged_refused(&v, &c, STATES, 1, "is broken: it has 1 states");
    expect_forged_refused(&v, &c, TOKENS, UINT64_MAX, "read 18446744073709551615 tokens");
    expect_forged_refused(&v, &c, DTYPE, ABI_BF16, "is broken: it has no state '");
    expect_forged_refused(&v, &c, DIM0, 4, "is broken: it has no state '");
    expect_forged_refused(&v, &c, NAME, 7, "is broken: it has no state '");
    for (size_t i = 0; i < RT_COUNT(huge); i++) {
        expect_forged_refused(&v, &c, STATES, huge[i], "longer than itself");
        expect_forged_refused(&v, &c, NOTE, huge[i], "longer than itself");
        expect_forged_refused(&v, &c, NAME_BYTES, huge[i], "longer than itself");
        expect_forged_refused(&v, &c, DIM0, huge[i], "is broken");
        expect_forged_refused(&v, &c, RANK, huge[i], "is broken");
        expect_forged_refused(&v, &c, DTYPE, huge[i], "is broken");
    }
    cr_assert(write_whole(c.path, c.bytes, c.len));
    OK(ssmc_state_load(v.s, 1, v.path, NULL, NULL));
    copy_free(&c);
    saved_close(&v);
}

Test(state, bad_arguments)
{
    Saved v = saved_open(MODEL_RUN(SMALL));
    ModelRun *run = MODEL_RUN(GOLDEN("mamba2-groups"));
    ssmc_session *s = model_run_session(run, 1, 1);
    ssmc_checkpoint *c = NULL;
    cr_expect_eq(ssmc_fork(v.s, 0, 2), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_fork(v.s, -1, 0), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_checkpoint_take(v.s, 2, &c), SSMC_BAD_ARGUMENT);
    cr_expect_null(c);
    OK(ssmc_checkpoint_take(v.s, 0, &c));
    cr_expect_eq(ssmc_rewind(v.s, 2, c), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_rewind(s, 0, c), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "another model's session"), "%s", ssmc_error());
    cr_expect_eq(ssmc_state_save(v.s, 2, v.path, NULL, 0), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_state_load(v.s, 2, v.path, NULL, NULL), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_state_save(v.s, 0, "/nonexistent/a.state", NULL, 0), SSMC_IO);
    ssmc_checkpoint_drop(c);
    ssmc_checkpoint_drop(NULL);
    ssmc_session_close(s);
    model_run_close(run);
    saved_close(&v);
}

/* ---- killed while saving ------------------------------------------------------------------- */

/* Saves two states in turn until it is killed. */
static void
save_for_ever(Saved *v, const char *path)
{
    const int32_t id = 1;
    for (;;) {
        ssmc_state_save(v->s, 0, path, NULL, 0);
        ssmc_prefill(v->s, 0, &id, 1, NULL);
    }
}

Test(state, killed_at_any_moment_it_is_whole_or_not_there)
{
    Saved v = saved_open(MODEL_RUN(SMALL));
    char *path = path_join(v.dir, "killed.state");
    int there = 0;
    for (int i = 0; i < kills(100); i++) {
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0)
            save_for_ever(&v, path);
        while (i == 0 && access(path, F_OK) != 0) /* once it is sure to be there */
            usleep(500);
        usleep((unsigned)(i * 137 % 5000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        const ssmc_status status = ssmc_state_load(v.s, 1, path, NULL, NULL);
        cr_expect(status == SSMC_OK || (status == SSMC_IO && !there), "%s", ssmc_error());
        there += status == SSMC_OK;
    }
    cr_expect_gt(there, 0);
    OK(ssmc_state_save(v.s, 0, path, NULL, 0));
    cr_expect_eq(temporaries(v.dir), 0, "what was left is there after a save that ended");
    free(path);
    saved_close(&v);
}
