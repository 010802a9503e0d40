/* tests/unit/test_engine_prefix.c -- states of prefixes in memory: what a request need not read,
 * what the tree finds, and that it stays within its budget. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"
#include "tests/engine_run.h"

enum { PLENTY = 1 << 30 };

static void
expect_counted(const Asked *a, int64_t cached)
{
    cr_expect_eq(a->result.end, ENGINE_length);
    cr_expect_eq(a->result.cached, cached, "%lld of %lld ids were there, not %lld",
                 (long long)a->result.cached, (long long)a->asked.count, (long long)cached);
}

/* Each turn says what was said before, and some more; the one after it reads what is new, and the
 * last id of the answer, which was drawn and not read. */
static void
converse(const char *model)
{
    enum { TURNS = 20, SAID = 11, ANSWER = 9 };
    ModelRun *run = MODEL_RUN(model, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.prefix_bytes = PLENTY});
    Engine *none = engine_of(run, (EngineOptions){0});
    int32_t text[MOST], said[TURNS * SAID];
    int64_t count = 0, read = 0;
    model_run_ids(run, 1, said, TURNS * SAID);
    for (int turn = 0; turn < TURNS; turn++) {
        memcpy(text + count, said + (ptrdiff_t)turn * SAID, SAID * sizeof *text);
        count += SAID;
        Asked *a = asked_new(run, 0, count, ANSWER), *plain = asked_new(run, 0, count, ANSWER);
        memcpy(a->prompt, text, (size_t)count * sizeof *text);
        memcpy(plain->prompt, text, (size_t)count * sizeof *text);
        engine_take(engine, a);
        engine_take(none, plain);
        asked_end(a);
        asked_end(plain);
        expect_counted(a, turn ? count - SAID - 1 : 0);
        expect_counted(plain, 0);
        cr_assert_arr_eq(a->id, plain->id, ANSWER * sizeof *a->id, "turn %d", turn);
        memcpy(text + count, a->id, ANSWER * sizeof *text);
        count += ANSWER;
        read += SAID + (turn > 0);
        asked_free(a);
        asked_free(plain);
    }
    const EngineCounts counts = engine_counts(engine);
    cr_expect_eq(counts.prompt_read, read);
    engine_close(engine);
    engine_close(none);
    model_run_close(run);
}

Test(engine_prefix, a_turn_reads_what_is_new)
{
    converse(STORYTELLER);
}

Test(engine_prefix, a_turn_reads_what_is_new_of_a_hybrid)
{
    converse(HYBRID);
}

Test(engine_prefix, the_same_prompt_again_reads_its_last_id)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.prefix_bytes = PLENTY});
    for (int i = 0; i < 3; i++) {
        Asked *a = asked_new(run, 1, 100, 5);
        a->asked.sampling.temperature = 1;
        a->asked.sampling.seed = (uint64_t)i;
        engine_take(engine, a);
        asked_end(a);
        expect_counted(a, i ? 99 : 0);
        asked_free(a);
    }
    /* The probabilities of a prompt are not in its state: it is read again. */
    Asked *told = asked_new(run, 1, 100, 5);
    told->asked.prompt_too = true;
    told->asked.top = 0;
    engine_take(engine, told);
    asked_end(told);
    expect_counted(told, 0);
    asked_free(told);
    engine_close(engine);
    model_run_close(run);
}

/* A beginning of 60 ids that all share, then 20 of their own. */
static Asked *
beginning_alike(const ModelRun *run, int i)
{
    Asked *a = asked_new(run, 1, 80, 3);
    model_run_ids(run, 100 + i, a->prompt + 60, 20);
    return a;
}

Test(engine_prefix, a_marked_beginning_is_shared)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.prefix_bytes = PLENTY});
    static const int64_t marks[] = {30, 60};
    for (int i = 0; i < 3; i++) {
        Asked *a = beginning_alike(run, i);
        a->asked.marks = marks;
        a->asked.nmarks = 2;
        engine_take(engine, a);
        asked_end(a);
        expect_counted(a, i ? 60 : 0);
        asked_free(a);
    }
    Asked *shorter = asked_new(run, 1, 50, 3);
    engine_take(engine, shorter);
    asked_end(shorter);
    expect_counted(shorter, 30);
    asked_free(shorter);
    engine_close(engine);
    model_run_close(run);
}

Test(engine_prefix, of_a_beginning_that_nobody_marked_the_third_profits)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.prefix_bytes = PLENTY});
    for (int i = 0; i < 4; i++) {
        Asked *a = beginning_alike(run, i);
        engine_take(engine, a);
        asked_end(a);
        expect_counted(a, i > 1 ? 60 : 0);
        asked_free(a);
    }
    engine_close(engine);
    model_run_close(run);
}

/* Requests that are submitted at once, by the first id of another. */
enum { TOGETHER = 5 };
typedef struct {
    Engine *engine;
    Asked *asked[TOGETHER];
    uint64_t handle[TOGETHER];
    bool cancels; /* the one that reads for the others, once it has begun */
} Together;

static bool
submit_together(void *user, const EngineToken *token)
{
    Together *t = user;
    if (token->index == 10)
        for (int i = 0; i < TOGETHER; i++)
            t->handle[i] = engine_take(t->engine, t->asked[i]);
    if (token->index == 11 && t->cancels)
        engine_cancel(t->engine, t->handle[0]);
    return true;
}

static void
end_nothing(void *user, const EngineResult *result)
{
    (void)user;
    (void)result;
}

/* Ids that all read, of prompts of 150 ids with the same first `alike`. */
static int64_t
read_together(const char *model, int64_t alike, bool cancels)
{
    ModelRun *run = MODEL_RUN(model, "--reproducible");
    Together t = {.cancels = cancels};
    Engine *none = engine_of(run, (EngineOptions){0});
    t.engine = engine_of(run, (EngineOptions){.slots = 8, .prefix_bytes = PLENTY, .latency = 1e-9});
    Asked *first = asked_new(run, 77, 10, 40);
    first->asked.token = submit_together;
    first->asked.end = end_nothing;
    first->asked.gone = NULL;
    first->asked.user = &t;
    for (int i = 0; i < TOGETHER; i++) {
        t.asked[i] = asked_new(run, 1, 150, 6);
        model_run_ids(run, 100 + i, t.asked[i]->prompt + alike, 150 - alike);
        t.asked[i]->asked.sampling = (ssmc_sampling){.temperature = 1, .seed = (uint64_t)i};
    }
    engine_take(t.engine, first);
    int64_t read = 0;
    for (int i = 0; i < TOGETHER; i++) {
        Asked *a = t.asked[i], *want = asked_new(run, 0, 150, 6);
        asked_end(a);
        memcpy(want->prompt, a->prompt, 150 * sizeof *a->prompt);
        want->asked.sampling = a->asked.sampling;
        engine_take(none, want);
        asked_end(want);
        cr_expect_eq(a->result.end, i || !cancels ? ENGINE_length : ENGINE_cancelled);
        cr_expect_arr_eq(a->id, want->id, (size_t)a->got * sizeof *a->id, "request %d", i);
        read += a->result.end == ENGINE_length ? 150 - a->result.cached : 0;
        asked_free(want);
    }
    engine_close(t.engine);
    engine_close(none);
    for (int i = 0; i < TOGETHER; i++)
        asked_free(t.asked[i]);
    asked_free(first);
    model_run_close(run);
    return read;
}

Test(engine_prefix, of_prompts_that_come_together_one_reads_for_all)
{
    cr_expect_eq(read_together(STORYTELLER, 150, false), 150 + (TOGETHER - 1));
    cr_expect_eq(read_together(HYBRID, 100, false), 150 + (TOGETHER - 1) * 50);
}

/* Where it ends early, the others go on from where it was. */
Test(engine_prefix, who_reads_for_others_may_go)
{
    const int64_t read = read_together(STORYTELLER, 100, true);
    cr_expect(read < 100 + (TOGETHER - 1) * 50, "%lld ids", (long long)read);
    cr_expect(read >= (TOGETHER - 1) * 50, "%lld ids", (long long)read);
}

Test(engine_prefix, stays_within_its_budget)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    const ssmc_memory memory = ssmc_program_memory(model_run_program(run), 1, 1);
    /* Two prompts of 40 ids have four states: before the last id and at the end. */
    const size_t budget = 4 * (memory.state + 48 * memory.token) + 4096;
    Engine *engine = engine_of(run, (EngineOptions){.prefix_bytes = budget});
    static const int order[] = {1, 2, 1, 2, 3, 1, 2};
    static const int64_t cached[] = {0, 0, 39, 39, 0, 0, 0};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        Asked *a = asked_new(run, order[i], 40, 4);
        engine_take(engine, a);
        asked_end(a);
        if (i < 5)
            expect_counted(a, cached[i]);
        asked_free(a);
        const EngineCounts counts = engine_counts(engine);
        cr_expect_leq(counts.prefix_bytes, budget);
        cr_expect(counts.prefix_states >= 2 && counts.prefix_states <= 4, "%zu states",
                  counts.prefix_states);
    }
    engine_close(engine);
    /* Not one state is within it. */
    engine = engine_of(run, (EngineOptions){.prefix_bytes = memory.state / 2});
    for (int i = 0; i < 2; i++) {
        Asked *a = asked_new(run, 1, 40, 4);
        engine_take(engine, a);
        asked_end(a);
        expect_counted(a, 0);
        asked_free(a);
    }
    cr_expect_eq(engine_counts(engine).prefix_states, 0);
    engine_close(engine);
    model_run_close(run);
}

/* ---- the tree alone ------------------------------------------------------------------------ */

enum { LONG = 12, KEPT = 400 };

static uint32_t
below(uint64_t *x, uint32_t n)
{
    *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*x >> 33) % n;
}

static State *
state_of(int64_t tokens, size_t bytes)
{
    State *state = calloc(1, sizeof *state);
    atomic_init(&state->users, 1);
    state->tokens = tokens;
    state->bytes = bytes;
    return state;
}

/* Ids of few kinds, so that many begin alike; what it finds is what a look at all of them finds. */
Test(engine_prefix, the_tree_finds_the_longest)
{
    Prefixes *p = prefix_open(PLENTY);
    static int32_t kept[KEPT][LONG];
    int64_t length[KEPT];
    uint64_t x = 7;
    for (int i = 0; i < KEPT; i++) {
        int32_t asked[LONG];
        int64_t longest = 0;
        length[i] = 1 + below(&x, LONG);
        const int64_t n = 1 + below(&x, LONG);
        for (int k = 0; k < LONG; k++) {
            kept[i][k] = (int32_t)below(&x, 3);
            asked[k] = (int32_t)below(&x, 3);
        }
        State *state = state_of(length[i], 100), *found = NULL;
        prefix_keep(p, kept[i], state);
        state_drop(state);
        for (int k = 0; k <= i; k++)
            if (length[k] <= n && length[k] > longest &&
                memcmp(kept[k], asked, (size_t)length[k] * sizeof *asked) == 0)
                longest = length[k];
        const int64_t known = prefix_find(p, asked, n, &found);
        cr_assert_eq(found ? found->tokens : 0, longest, "after %d", i);
        cr_assert(known >= longest && known <= n);
        if (i % 3 == 0)
            prefix_learn(p, asked, n);
        if (i % 6 == 0)
            prefix_forget(p, asked, n);
        cr_assert(prefix_has(p, kept[i], length[i]));
    }
    prefix_close(p);
}

/* Whatever comes and goes, nothing of it is left once all has gone. */
Test(engine_prefix, the_tree_forgets_all_that_goes)
{
    enum { BUDGET = 5000 };
    Prefixes *p = prefix_open(BUDGET);
    uint64_t x = 3;
    size_t states = 0;
    for (int i = 0; i < 2000; i++) {
        int32_t ids[LONG];
        const int64_t n = 1 + below(&x, LONG);
        for (int k = 0; k < LONG; k++)
            ids[k] = (int32_t)below(&x, 3);
        State *state = state_of(n, 200 + below(&x, 400)), *found = NULL;
        prefix_learn(p, ids, LONG);
        prefix_keep(p, ids, state);
        prefix_forget(p, ids, LONG);
        cr_assert_leq(prefix_bytes(p, &states), BUDGET);
        cr_assert_gt(states, 0);
        prefix_find(p, ids, n, &found);
        cr_assert(found && found->tokens == n, "the newest is there");
        state_drop(state);
    }
    State *large = state_of(1, BUDGET + 1);
    prefix_keep(p, (const int32_t[]){9}, large);
    cr_expect_not(prefix_has(p, (const int32_t[]){9}, 1));
    state_drop(large);
    prefix_close(p);
}
