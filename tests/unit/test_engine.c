/* tests/unit/test_engine.c -- continuous batching: a request gets what it would get alone, whatever
 * runs beside it; clients take turns; who has gone, fails or waits holds up nobody. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine_run.h"
#include "tests/harness.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())
#define DELTA    SSMC_ROOT "/tests/goldens/qwen3_next-base"

/* ---- the same as alone --------------------------------------------------------------------- */

enum { REQUESTS = 12 };

/* Prompts of 1 to 200 ids, some of which begin alike; samplings of all kinds. */
static Asked *
various(const ModelRun *run, int i)
{
    static const ssmc_sampling samplings[] = {
        {0},
        {.temperature = 0.8, .top_p = 0.9},
        {.temperature = 1.0},
        {.temperature = 0.7, .top_k = 20, .repeat_penalty = 1.2},
        {.temperature = 1.3, .min_p = 0.05},
    };
    static const int64_t counts[REQUESTS] = {1, 2, 17, 40, 64, 65, 100, 127, 128, 150, 199, 200};
    Asked *a = asked_new(run, i % 2 ? 100 : i, counts[i], 8 + i);
    if (i == 9)
        a->prompt[140] ^= 1;
    a->asked.sampling = samplings[i % 5];
    a->asked.sampling.seed = (uint64_t)i;
    a->asked.top = i % 3 ? TOP : i % 4 ? 0 : -1;
    a->asked.prompt_too = i % 6 == 4;
    return a;
}

static void
expect_same(const Asked *want, const Asked *got, int i, const char *what)
{
    cr_expect_eq(got->result.end, want->result.end, "%s: request %d", what, i);
    cr_assert_eq(got->got, want->got, "%s: request %d: %d ids, not %d", what, i, got->got,
                 want->got);
    const size_t n = (size_t)want->got;
    cr_expect_arr_eq(got->id, want->id, n * sizeof *want->id, "%s: ids of request %d", what, i);
    cr_expect_arr_eq(got->index, want->index, n * sizeof *want->index, "%s: request %d", what, i);
    cr_expect_arr_eq(got->logprob, want->logprob, n * sizeof *want->logprob,
                     "%s: probabilities of request %d", what, i);
    cr_expect_arr_eq(got->top, want->top, n * sizeof *want->top, "%s: the likeliest of request %d",
                     what, i);
}

/* What a session and a sampler give without an engine. */
static void
alone(const ModelRun *run, Asked *a)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    ssmc_session *s = model_run_session(run, 1, 1);
    ssmc_sampler *sampler = NULL;
    float *logits = malloc((size_t)vocab * sizeof *logits);
    OK(ssmc_sampler_open(&a->asked.sampling, vocab, &sampler));
    for (int64_t i = 0; i < a->asked.count; i++)
        ssmc_sampler_see(sampler, a->prompt[i]);
    OK(ssmc_prefill(s, 0, a->prompt, a->asked.count, logits));
    const int before = a->asked.prompt_too ? (int)a->asked.count : 0;
    for (int i = 0; i < a->asked.most; i++) {
        int32_t id = ssmc_sample(sampler, logits);
        cr_assert_eq(a->id[before + i], id, "id %d", i);
        OK(ssmc_prefill(s, 0, &id, 1, logits));
    }
    free(logits);
    ssmc_sampler_close(sampler);
    ssmc_session_close(s);
}

static void
same_as_alone(const char *model, int threads)
{
    ModelRun *run = MODEL_RUN(model, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1, .threads = threads});
    Asked *want[REQUESTS], *got[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        want[i] = various(run, i);
        engine_take(engine, want[i]);
        asked_end(want[i]);
        alone(run, want[i]);
    }
    engine_close(engine);
    static const struct {
        EngineOptions options;
        const char *what;
    } settings[] = {
        {{.slots = 4},                          "four slots"          },
        {{.slots = REQUESTS},                   "a slot each"         },
        {{.slots = REQUESTS, .latency = 1e-9},  "short pieces"        },
        {{.slots = 4, .prefix_bytes = 1 << 30}, "prefixes"            },
        {{.slots = 1, .prefix_bytes = 1 << 30}, "prefixes, one by one"},
        {{.slots = 4, .prefix_bytes = 1 << 18}, "few prefixes"        },
    };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        engine = engine_of(run, settings[k].options);
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < REQUESTS; i++)
                engine_take(engine, got[i] = various(run, i));
            for (int i = 0; i < REQUESTS; i++) {
                asked_end(got[i]);
                expect_same(want[i], got[i], i, settings[k].what);
                asked_free(got[i]);
            }
        }
        engine_close(engine);
    }
    for (int i = 0; i < REQUESTS; i++)
        asked_free(want[i]);
    model_run_close(run);
}

Test(engine, gives_what_a_request_gets_alone)
{
    same_as_alone(STORYTELLER, 1);
}

Test(engine, gives_what_a_request_gets_alone_of_a_hybrid)
{
    same_as_alone(HYBRID, 1);
}

Test(engine, gives_what_a_request_gets_alone_of_a_delta_rule)
{
    same_as_alone(DELTA, 1);
}

/* ---- ends ---------------------------------------------------------------------------------- */

Test(engine, ends_where_it_is_told_to)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.room = 128});
    Asked *length = asked_new(run, 1, 20, 5), *room = asked_new(run, 2, 100, 500);
    Asked *enough = asked_new(run, 3, 20, 50), *none = asked_new(run, 4, 20, 0);
    enough->enough = 7;
    engine_take(engine, length);
    engine_take(engine, room);
    engine_take(engine, enough);
    engine_take(engine, none);
    asked_end(length);
    asked_end(room);
    asked_end(enough);
    asked_end(none);
    cr_expect_eq(length->result.end, ENGINE_length);
    cr_expect_eq(length->result.drawn, 5);
    cr_expect_eq(length->index[0], 20);
    cr_expect_eq(room->result.end, ENGINE_length);
    cr_expect_eq(room->result.drawn, 28);
    cr_expect_eq(enough->result.end, ENGINE_enough);
    cr_expect_eq(enough->result.drawn, 7);
    cr_expect_eq(none->result.end, ENGINE_length);
    cr_expect_eq(none->got, 0);
    cr_expect(length->result.waited >= 0 && length->result.first >= length->result.waited &&
              length->result.seconds >= length->result.first);
    engine_close(engine);
    /* The id that it drew third ends the text now, unless that is to be ignored. */
    engine = engine_of(run, (EngineOptions){.eos = &length->id[2], .neos = 1});
    Asked *eos = asked_new(run, 1, 20, 5), *ignored = asked_new(run, 1, 20, 5);
    eos->asked.ignore_eos = false;
    engine_take(engine, eos);
    engine_take(engine, ignored);
    asked_end(eos);
    asked_end(ignored);
    cr_expect_eq(eos->result.end, ENGINE_eos);
    int before = 0;
    while (length->id[before] != length->id[2])
        before++;
    cr_expect_eq(eos->got, before);
    cr_expect_eq(eos->result.drawn, before);
    cr_expect_eq(ignored->result.end, ENGINE_length);
    cr_expect_eq(ignored->got, 5);
    engine_close(engine);
    Asked *all[] = {length, room, enough, none, eos, ignored};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        asked_free(all[i]);
    model_run_close(run);
}

Test(engine, tells_the_prompt_where_it_is_asked_to)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    Engine *engine = engine_of(run, (EngineOptions){0});
    Asked *a = asked_new(run, 1, 30, 2), *plain = asked_new(run, 1, 30, 0);
    a->asked.prompt_too = plain->asked.prompt_too = true;
    a->asked.top = TOP;
    engine_take(engine, a);
    engine_take(engine, plain);
    asked_end(a);
    asked_end(plain);
    engine_close(engine);
    cr_assert_eq(a->got, 32);
    cr_assert_eq(plain->got, 30);
    cr_expect_arr_eq(a->id, a->prompt, 30 * sizeof *a->id);
    cr_expect_arr_eq(plain->id, a->prompt, 30 * sizeof *a->id);
    cr_expect(isnan(a->logprob[0]) && isnan(plain->logprob[7]));
    float *logits = malloc(30 * (size_t)vocab * sizeof *logits);
    ssmc_session *s = model_run_session(run, 1, 1);
    OK(ssmc_prefill_all(s, 0, a->prompt, 30, logits));
    for (int i = 1; i < 31; i++) {
        const float *row = logits + (i - 1) * vocab;
        double sum = 0;
        int best = 0;
        for (int64_t k = 0; k < vocab; k++) {
            sum += exp((double)row[k]);
            best = row[k] > row[best] ? (int)k : best;
        }
        cr_expect_float_eq(a->logprob[i], (double)row[a->id[i]] - log(sum), 1e-5, "id %d", i);
        cr_expect_eq(a->top[i][0].id, best, "id %d", i);
        cr_expect_float_eq(a->top[i][0].logprob, (double)row[best] - log(sum), 1e-5, "id %d", i);
        cr_expect(a->top[i][0].logprob >= a->top[i][1].logprob &&
                  a->top[i][1].logprob >= a->top[i][2].logprob);
    }
    ssmc_session_close(s);
    free(logits);
    asked_free(a);
    asked_free(plain);
    model_run_close(run);
}

static bool
only_seven(void *user, float *logits, int64_t vocab, const char **why)
{
    (void)why;
    (void)user;
    for (int64_t i = 0; i < vocab; i++)
        logits[i] = i == 7 ? 0 : -INFINITY;
    return true;
}

static bool
nothing(void *user, float *logits, int64_t vocab, const char **why)
{
    (void)user;
    (void)logits;
    (void)vocab;
    *why = "no word fits";
    return false;
}

/* A mask holds for its own request alone; so does what is wrong with one. */
Test(engine, a_request_that_fails_hurts_no_other)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){0});
    Asked *want = asked_new(run, 1, 20, 30), *good = asked_new(run, 1, 20, 30);
    Asked *masked = asked_new(run, 1, 20, 30), *none = asked_new(run, 2, 50, 30);
    Asked *badly = asked_new(run, 3, 50, 30);
    engine_take(engine, want);
    asked_end(want);
    masked->asked.shape = only_seven;
    masked->asked.sampling.temperature = 1;
    none->asked.shape = nothing;
    badly->asked.sampling.temperature = -1;
    engine_take(engine, none);
    engine_take(engine, badly);
    engine_take(engine, masked);
    engine_take(engine, good);
    asked_end(good);
    asked_end(masked);
    asked_end(none);
    asked_end(badly);
    expect_same(want, good, 0, "beside one that fails");
    cr_expect_eq(masked->result.end, ENGINE_length);
    for (int i = 0; i < 30; i++)
        cr_expect_eq(masked->id[i], 7);
    cr_expect_eq(none->result.end, ENGINE_failed);
    cr_expect_str_eq(none->error, "no word fits");
    cr_expect_eq(badly->result.end, ENGINE_failed);
    cr_expect_str_eq(badly->error, "temperature is -1; expected 0 or more");
    const EngineCounts counts = engine_counts(engine);
    cr_expect_eq(counts.failed, 2);
    cr_expect_eq(counts.requests, 5);
    cr_expect_eq(counts.running + counts.waiting, 0);
    cr_expect_eq(counts.drawn, 90);
    cr_expect_eq(counts.prompt_read, 110);
    engine_close(engine);
    Asked *all[] = {want, good, masked, none, badly};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        asked_free(all[i]);
    model_run_close(run);
}

/* ---- the queue ----------------------------------------------------------------------------- */

Test(engine, refuses_what_it_cannot_take)
{
    ModelRun *run = MODEL_RUN(STORYTELLER);
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1, .waiting = 1, .room = 64});
    Asked *a = asked_new(run, 1, 64, 1);
    uint64_t handle = 0;
    double retry = 0;
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_too_long);
    a->asked.count = 0;
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_bad_id);
    a->asked.count = 10;
    a->prompt[9] = (int32_t)ssmc_model_vocab(model_run_model(run));
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_bad_id);
    a->prompt[9] = -1;
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_bad_id);
    a->prompt[9] = 1;
    /* One runs and one waits: there is no place for a third. Idle ones have places of their own. */
    Asked *b = asked_new(run, 2, 10, 50), *c = asked_new(run, 3, 10, 50);
    Asked *idle[2] = {asked_new(run, 4, 10, 1), asked_new(run, 5, 10, 1)};
    idle[0]->asked.idle = idle[1]->asked.idle = true;
    b->holds = 1;
    engine_take(engine, b);
    asked_wait(b, 1);
    engine_take(engine, idle[0]);
    engine_take(engine, idle[1]);
    engine_take(engine, c);
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_full);
    cr_expect_gt(retry, 0);
    asked_release(b);
    asked_end(b);
    asked_end(c);
    asked_end(idle[0]);
    asked_end(idle[1]);
    cr_expect_eq(engine_counts(engine).refused, 5);
    engine_drain(engine, 1);
    cr_expect_eq(engine_submit(engine, &a->asked, &handle, &retry), ENGINE_draining);
    engine_close(engine);
    asked_free(a);
    asked_free(b);
    asked_free(c);
    asked_free(idle[0]);
    asked_free(idle[1]);
    model_run_close(run);
}

Test(engine, clients_take_turns)
{
    ModelRun *run = MODEL_RUN(STORYTELLER);
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1});
    /* While the first runs, one client sends four, then two others send two each. */
    static const char *const clients[] = {"x", "a", "a", "a", "a", "b", "b", NULL, NULL};
    static const int places[] = {0, 1, 4, 7, 8, 2, 5, 3, 6};
    Asked *asked[9];
    int order = 0;
    for (int i = 0; i < 9; i++) {
        asked[i] = asked_new(run, i, 10, i ? 1 : 20);
        asked[i]->asked.client = clients[i];
        asked[i]->order = &order;
        asked[i]->holds = i ? 0 : 1;
        engine_take(engine, asked[i]);
        if (i == 0)
            asked_wait(asked[0], 1);
    }
    asked_release(asked[0]);
    for (int i = 0; i < 9; i++) {
        asked_end(asked[i]);
        cr_expect_eq(asked[i]->place, places[i], "request %d is %d.", i, asked[i]->place);
        asked_free(asked[i]);
    }
    engine_close(engine);
    model_run_close(run);
}

Test(engine, who_has_gone_leaves_a_slot)
{
    ModelRun *run = MODEL_RUN(STORYTELLER);
    enum { ENDLESS = 1 << 24 };
    Engine *engine = engine_of(run, (EngineOptions){.slots = 2, .room = ENDLESS});
    Asked *runs = asked_new(run, 1, 20, ENDLESS / 2), *also = asked_new(run, 2, 20, ENDLESS / 2);
    Asked *waits = asked_new(run, 3, 20, ENDLESS / 2), *last = asked_new(run, 4, 20, 5);
    engine_take(engine, runs);
    const uint64_t handle = engine_take(engine, also);
    asked_wait(runs, 1);
    asked_wait(also, 1);
    engine_take(engine, waits);
    engine_take(engine, last);
    asked_leave(waits);
    asked_end(waits);
    cr_expect_eq(waits->result.end, ENGINE_cancelled);
    cr_expect_eq(waits->result.drawn, 0);
    asked_leave(runs);
    asked_end(runs);
    asked_end(last);
    cr_expect_eq(runs->result.end, ENGINE_cancelled);
    cr_expect_eq(last->result.end, ENGINE_length);
    engine_cancel(engine, handle);
    asked_end(also);
    cr_expect_eq(also->result.end, ENGINE_cancelled);
    engine_cancel(engine, handle);
    engine_cancel(engine, handle + 100);
    cr_expect_eq(engine_counts(engine).cancelled, 3);
    engine_close(engine);
    Asked *all[] = {runs, also, waits, last};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        asked_free(all[i]);
    model_run_close(run);
}

/* What is idle gives its slot to others, and goes on as if it had not. */
Test(engine, the_idle_give_way)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1});
    Asked *want = asked_new(run, 1, 100, 400), *idle = asked_new(run, 1, 100, 400);
    Asked *ahead = asked_new(run, 5, 100, 0), *other = asked_new(run, 2, 20, 30);
    int order = 0;
    engine_take(engine, want);
    asked_end(want);
    idle->asked.idle = ahead->asked.idle = true;
    idle->holds = 3;
    idle->order = ahead->order = other->order = &order;
    engine_take(engine, idle);
    engine_take(engine, ahead);
    asked_wait(idle, 3);
    engine_take(engine, other);
    asked_release(idle);
    asked_end(other);
    asked_end(idle);
    asked_end(ahead);
    cr_expect_eq(other->place, 0);
    expect_same(want, idle, 0, "having given way");
    cr_expect_eq(engine_counts(engine).ahead, 200);
    engine_close(engine);
    Asked *all[] = {want, idle, ahead, other};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        asked_free(all[i]);
    model_run_close(run);
}

Test(engine, draining_ends_what_takes_too_long)
{
    ModelRun *run = MODEL_RUN(STORYTELLER);
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1, .room = 1 << 24});
    Asked *brief = asked_new(run, 1, 20, 5), *endless = asked_new(run, 2, 20, 1 << 24);
    endless->asked.token = NULL;
    engine_take(engine, brief);
    engine_take(engine, endless);
    asked_end(brief);
    engine_drain(engine, 0.2);
    cr_expect(brief->ended && endless->ended);
    cr_expect_eq(brief->result.end, ENGINE_length);
    cr_expect_eq(endless->result.end, ENGINE_cancelled);
    engine_close(engine);
    /* Closing ends whatever runs or waits. */
    engine = engine_of(run, (EngineOptions){.slots = 1, .room = 1 << 24});
    Asked *runs = asked_new(run, 2, 20, 1 << 24), *waits = asked_new(run, 2, 20, 1 << 24);
    runs->asked.token = waits->asked.token = NULL;
    engine_take(engine, runs);
    engine_take(engine, waits);
    engine_close(engine);
    cr_expect_eq(runs->result.end, ENGINE_cancelled);
    cr_expect_eq(waits->result.end, ENGINE_cancelled);
    Asked *all[] = {brief, endless, runs, waits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        asked_free(all[i]);
    model_run_close(run);
}
