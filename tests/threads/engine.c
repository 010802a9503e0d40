/* tests/threads/engine.c -- four threads submit to one engine, cancel, leave and count, while it
 * has states in memory and on the disk; then it is drained. What ends is what it is alone. */
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/engine_run.h"
#include "tests/harness.h"
#include "tests/threads/engine.h"

enum { THREADS = 4, REQUESTS = 9, KINDS = 5, ANSWER = 12 };

typedef struct {
    const ModelRun *run;
    Engine *engine;
    int32_t want[KINDS][ANSWER];
    int number;
    pthread_barrier_t *submitted;
} Submitter;

/* Prompts of one kind are the same for all threads. */
static Asked *
ask(const ModelRun *run, int kind)
{
    Asked *a = asked_new(run, kind, 20 + 30 * kind, ANSWER);
    a->asked.sampling = (ssmc_sampling){.temperature = 1, .seed = (uint64_t)kind};
    a->asked.top = kind % 2 ? TOP : -1;
    return a;
}

static void
expect(const Submitter *s, const Asked *a, int kind)
{
    const size_t n = (size_t)a->got;
    if (a->result.end == ENGINE_length && n != ANSWER)
        die("%d ids of %d", a->got, ANSWER);
    if (a->result.end == ENGINE_failed)
        die("a request failed: %s", a->error);
    if (memcmp(a->id, s->want[kind], n * sizeof *a->id) != 0)
        die("a request of kind %d has other ids than alone", kind);
}

static void *
submit_all(void *arg)
{
    const Submitter *s = arg;
    Asked *asked[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        asked[i] = ask(s->run, i % KINDS);
        asked[i]->asked.client = s->number % 2 ? "odd" : NULL;
        asked[i]->asked.idle = i % 4 == 3;
        const uint64_t handle = engine_take(s->engine, asked[i]);
        if (i % 5 == 1) {
            asked_wait(asked[i], 1 + s->number);
            engine_cancel(s->engine, handle);
        }
        if (i % 5 == 3)
            asked_leave(asked[i]);
        if (engine_counts(s->engine).failed > 0)
            die("a request failed");
    }
    pthread_barrier_wait(s->submitted);
    if (s->number == 0)
        engine_drain(s->engine, 100);
    for (int i = 0; i < REQUESTS; i++) {
        asked_end(asked[i]);
        expect(s, asked[i], i % KINDS);
        asked_free(asked[i]);
    }
    return NULL;
}

static void
alone(const ModelRun *run, int32_t want[KINDS][ANSWER])
{
    Engine *engine = engine_of(run, (EngineOptions){.slots = 1});
    for (int i = 0; i < KINDS; i++) {
        Asked *a = ask(run, i);
        engine_take(engine, a);
        asked_end(a);
        memcpy(want[i], a->id, sizeof want[i]);
        asked_free(a);
    }
    engine_close(engine);
}

void
threads_engine(const char *model)
{
    char *dir = temp_dir();
    ModelRun *run = MODEL_RUN(model, "--threads", "1", "--reproducible");
    Submitter submitter[THREADS];
    pthread_t thread[THREADS];
    pthread_barrier_t submitted;
    pthread_barrier_init(&submitted, NULL, THREADS);
    alone(run, submitter[0].want);
    Engine *engine = engine_of(run, (EngineOptions){.slots = 3,
                                                    .threads = 2,
                                                    .prefix_bytes = 1 << 20,
                                                    .cache_dir = dir,
                                                    .cache_limit = 1 << 24});
    for (int i = 0; i < THREADS; i++) {
        memcpy(submitter[i].want, submitter[0].want, sizeof submitter[0].want);
        submitter[i].run = run;
        submitter[i].engine = engine;
        submitter[i].number = i;
        submitter[i].submitted = &submitted;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, submit_all, &submitter[i]) != 0)
            die("no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&submitted);
    const EngineCounts counts = engine_counts(engine);
    if (counts.running + counts.waiting != 0)
        die("%d requests run and %d wait, though all have ended", counts.running, counts.waiting);
    engine_close(engine);
    model_run_close(run);
    temp_dir_remove(dir);
}
