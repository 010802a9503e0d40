/* tests/unit/test_engine_disk.c -- states of prefixes on the disk: what a request need not read
 * after a restart, or after the process was killed; and that a bad disk hurts no request. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine_run.h"
#include "tests/harness.h"

enum { SAID = 30, ANSWER = 10, TURN = SAID + ANSWER, TURNS = 6, PLENTY = 1 << 30 };

static Engine *
engine_on(const ModelRun *run, const char *dir, size_t prefix_bytes)
{
    return engine_of(
        run,
        (EngineOptions){.prefix_bytes = prefix_bytes, .cache_dir = dir, .cache_limit = PLENTY});
}

/* The turns of conversation `kind` as they are without states, one after the other. */
static void
write_down(const ModelRun *run, int kind, int32_t text[MOST])
{
    Engine *engine = engine_of(run, (EngineOptions){0});
    int32_t said[TURNS * SAID];
    model_run_ids(run, kind, said, TURNS * SAID);
    for (int turn = 0; turn < TURNS; turn++) {
        int32_t *at = text + (ptrdiff_t)turn * TURN;
        memcpy(at, said + (ptrdiff_t)turn * SAID, SAID * sizeof *at);
        Asked *a = asked_new(run, 0, turn * TURN + SAID, ANSWER);
        memcpy(a->prompt, text, (size_t)a->asked.count * sizeof *text);
        engine_take(engine, a);
        asked_end(a);
        memcpy(at + SAID, a->id, ANSWER * sizeof *at);
        asked_free(a);
    }
    engine_close(engine);
}

/* Asks for a turn of what was written down: the answer must be as it was. Ids that were not read.
 */
static int64_t
turn_of(Engine *engine, const ModelRun *run, const int32_t *text, int turn)
{
    Asked *a = asked_new(run, 0, turn * TURN + SAID, ANSWER);
    memcpy(a->prompt, text, (size_t)a->asked.count * sizeof *text);
    engine_take(engine, a);
    asked_end(a);
    cr_assert_eq(a->result.end, ENGINE_length);
    cr_assert_arr_eq(a->id, text + a->asked.count, ANSWER * sizeof *text, "turn %d", turn);
    const int64_t cached = a->result.cached;
    asked_free(a);
    return cached;
}

static void
restart(const char *model, size_t prefix_bytes)
{
    ModelRun *run = MODEL_RUN(model, "--reproducible");
    char *dir = temp_dir();
    int32_t text[MOST];
    write_down(run, 1, text);
    for (int turn = 0; turn < TURNS; turn++) {
        Engine *engine = engine_on(run, dir, prefix_bytes);
        const int64_t cached = turn_of(engine, run, text, turn);
        cr_expect_eq(cached, turn ? turn * TURN - 1 : 0, "turn %d: %lld", turn, (long long)cached);
        const EngineCounts counts = engine_counts(engine);
        cr_expect_eq(counts.loaded, turn > 0);
        cr_expect_null(counts.cache_fault, "%s", counts.cache_fault);
        engine_close(engine);
    }
    temp_dir_remove(dir);
    model_run_close(run);
}

Test(engine_disk, after_a_restart_a_turn_reads_what_is_new)
{
    restart(STORYTELLER, PLENTY);
}

Test(engine_disk, after_a_restart_a_turn_reads_what_is_new_of_a_hybrid)
{
    restart(HYBRID, 0);
}

/* Many requests wait for the disk while others run. */
Test(engine_disk, loads_beside_what_runs)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--reproducible");
    char *dir = temp_dir();
    int32_t text[4][MOST];
    Engine *engine = engine_on(run, dir, PLENTY);
    for (int i = 0; i < 4; i++) {
        write_down(run, i, text[i]);
        turn_of(engine, run, text[i], 0);
    }
    engine_close(engine);
    engine = engine_on(run, dir, PLENTY);
    Asked *asked[8], *gone = asked_new(run, 0, TURN, 1);
    memcpy(gone->prompt, text[0], TURN * sizeof *text[0]);
    gone->gone = true;
    for (int i = 0; i < 8; i++) {
        asked[i] = asked_new(run, 0, TURN + SAID, ANSWER);
        memcpy(asked[i]->prompt, text[i % 4], (TURN + SAID) * sizeof *text[0]);
        engine_take(engine, asked[i]);
    }
    engine_take(engine, gone);
    for (int i = 0; i < 8; i++) {
        asked_end(asked[i]);
        cr_expect_arr_eq(asked[i]->id, text[i % 4] + TURN + SAID, ANSWER * sizeof *text[0]);
        cr_expect_geq(asked[i]->result.cached, TURN - 1);
        asked_free(asked[i]);
    }
    asked_end(gone);
    cr_expect_eq(gone->result.end, ENGINE_cancelled);
    cr_expect_geq(engine_counts(engine).loaded, 4);
    engine_close(engine);
    asked_free(gone);
    temp_dir_remove(dir);
    model_run_close(run);
}

/* ---- a bad disk ---------------------------------------------------------------------------- */

static void
expect_fault(Engine *engine, const ModelRun *run, const int32_t *text, const char *says)
{
    for (int turn = 0; turn < TURNS; turn++)
        turn_of(engine, run, text, turn);
    for (int i = 0; engine_counts(engine).cache_faults == 0 && i < 6000; i++)
        usleep(10000);
    const EngineCounts counts = engine_counts(engine);
    cr_expect_eq(counts.failed, 0);
    cr_assert_not_null(counts.cache_fault);
    cr_expect(strstr(counts.cache_fault, says), "%s", counts.cache_fault);
    engine_close(engine);
}

/* A file may have so few bytes that no state fits, as on a disk that is full. */
Test(engine_disk, a_full_disk_hurts_no_request)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    char *dir = temp_dir();
    int32_t text[MOST];
    write_down(run, 1, text);
    const struct rlimit few = {4096, 4096};
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
    expect_fault(engine_on(run, dir, PLENTY), run, text, "cannot write");
    cr_expect_eq(temporaries(dir), 0);
    temp_dir_remove(dir);
    model_run_close(run);
}

Test(engine_disk, a_directory_that_has_vanished_hurts_no_request)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    char *dir = temp_dir(), *inside = path_join(dir, "states");
    int32_t text[MOST];
    write_down(run, 1, text);
    Engine *engine = engine_on(run, inside, PLENTY);
    cr_assert_eq(rmdir(inside), 0);
    expect_fault(engine, run, text, "states");
    free(inside);
    temp_dir_remove(dir);
    model_run_close(run);
}

Test(engine_disk, a_damaged_state_is_read_again)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    char *dir = temp_dir();
    int32_t text[MOST];
    write_down(run, 1, text);
    Engine *engine = engine_on(run, dir, PLENTY);
    turn_of(engine, run, text, 0);
    engine_close(engine);
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char *path = path_join(dir, e->d_name);
        if (e->d_name[0] == 'v')
            cr_assert_eq(truncate(path, 1000), 0);
        free(path);
    }
    closedir(d);
    engine = engine_on(run, dir, PLENTY);
    cr_expect_eq(turn_of(engine, run, text, 1), 0);
    expect_fault(engine, run, text, "cut short");
    temp_dir_remove(dir);
    model_run_close(run);
}

Test(engine_disk, a_directory_that_cannot_be_is_refused)
{
    ModelRun *run = MODEL_RUN(HYBRID);
    Engine *engine = NULL;
    const EngineOptions options = {.model = model_run_model(run),
                                   .slots = 1,
                                   .room = 64,
                                   .cache_dir = SSMC_ROOT "/README.md",
                                   .cache_limit = PLENTY};
    cr_expect_eq(engine_open(&options, &engine), SSMC_IO);
    cr_expect(strstr(ssmc_error(), "no directory"), "%s", ssmc_error());
    cr_expect_null(engine);
    model_run_close(run);
}

/* ---- kill -9 ------------------------------------------------------------------------------- */

/* A process that converses, killed at some time, leaves a directory from which the next one goes
 * on: no answer is another one, and in the end a turn reads what is new. */
Test(engine_disk, a_process_that_is_killed_leaves_whole_states)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--reproducible");
    char *dir = temp_dir();
    int32_t text[MOST];
    write_down(run, 1, text);
    for (int i = 0; i < kills(12); i++) {
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            Engine *engine = engine_on(run, dir, PLENTY);
            for (int turn = 0;; turn = (turn + 1) % TURNS)
                turn_of(engine, run, text, turn);
        }
        usleep((useconds_t)(i * 7919 % 60 + 1) * 1000);
        int status = 0;
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%x", (unsigned)status);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        Engine *engine = engine_on(run, dir, PLENTY);
        cr_expect_geq(turn_of(engine, run, text, turn), turn ? turn * TURN - 1 : 0);
        cr_expect_null(engine_counts(engine).cache_fault);
        engine_close(engine);
    }
    cr_expect_eq(temporaries(dir), 0);
    temp_dir_remove(dir);
    model_run_close(run);
}
