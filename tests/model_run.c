/* tests/model_run.c -- see model_run.h. */
#include "tests/model_run.h"

#include "driver/driver.h"

struct ModelRun {
    Options options;
    Job job;
};

ModelRun *
model_run_open(const char *const *args)
{
    static const CommandInfo command = {.name = "run"};
    Arena *arena = arena_new();
    ModelRun *run = arena_alloc(arena, sizeof *run);
    int count = 0;
    while (args[count])
        count++;
    run->options = (Options){.arena = arena, .command = &command};
    if (!options_parse(&run->options, count, (char **)args) ||
        model_describe(&run->job, &run->options) != EXIT_DONE || job_run(&run->job) != EXIT_DONE)
        die("%s cannot be opened", args[0]);
    return run;
}

void
model_run_close(ModelRun *run)
{
    Arena *arena = run->options.arena;
    job_end(&run->job);
    arena_free(arena);
}

const ssmc_model *
model_run_model(const ModelRun *run)
{
    return run->job.model;
}

const ssmc_program *
model_run_program(const ModelRun *run)
{
    return run->job.program;
}

const ssmc_weights *
model_run_weights(const ModelRun *run)
{
    return run->job.weights;
}

ssmc_session *
model_run_session(const ModelRun *run, int sequences, int threads)
{
    ssmc_session *session = NULL;
    if (ssmc_session_open(run->job.model, sequences, threads, &session) != SSMC_OK)
        die("no session: %s", ssmc_error());
    return session;
}

void
model_run_ids(const ModelRun *run, int kind, int32_t *ids, int64_t n)
{
    uint64_t x = (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int64_t i = 0; i < n; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ids[i] = (int32_t)((x >> 33) % (uint64_t)ssmc_model_vocab(run->job.model));
    }
}
