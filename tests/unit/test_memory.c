/* tests/unit/test_memory.c -- running takes the memory that was said before, and allocates nothing:
 * over real kernels. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ir/util.h"
#include "runtime/internal.h"
#include "tests/allocations.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())

enum { TOKENS = 1200 };

/* Every call of the run path, over many sequences. */
static void
run_everything(const ModelRun *run, ssmc_session *s, int sequences, const int32_t *ids,
               float *logits)
{
    ssmc_input in[64];
    int seqs[64];
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    for (int i = 0; i < sequences; i++) {
        in[i] = (ssmc_input){i, ids, 1 + (i * 37) % 300, 1, logits + i * vocab};
        seqs[i] = i;
    }
    OK(ssmc_prefill(s, 0, ids, TOKENS, logits));
    OK(ssmc_prefill_all(s, 1, ids, 40, logits));
    OK(ssmc_feed(s, in, sequences));
    OK(ssmc_step(s, seqs, ids, sequences, logits));
    OK(ssmc_fork(s, 0, 1));
    OK(ssmc_reset(s, 0));
}

typedef struct {
    ModelRun *run;
    int32_t ids[TOKENS];
    float *logits; /* [64,vocab] */
} Work;

static Work
work_new(ModelRun *run)
{
    Work w = {.run = run};
    model_run_ids(run, 1, w.ids, TOKENS);
    w.logits = calloc((size_t)(64 * ssmc_model_vocab(model_run_model(run))), sizeof *w.logits);
    return w;
}

static void
work_free(Work *w)
{
    free(w->logits);
    model_run_close(w->run);
}

static void
expect_no_allocation(ModelRun *run)
{
    Work w = work_new(run);
    ssmc_checkpoint *checkpoint = NULL;
    ssmc_session *s = model_run_session(run, 16, 2);
    OK(ssmc_checkpoint_take(s, 3, &checkpoint));
    OK(ssmc_prefill(s, 0, w.ids, 2, NULL)); /* every thread is there now */
    const uint64_t before = allocations();
    run_everything(run, s, 16, w.ids, w.logits);
    OK(ssmc_rewind(s, 5, checkpoint));
    run_everything(run, s, 16, w.ids, w.logits);
    cr_expect_eq(allocations(), before);
    ssmc_checkpoint_drop(checkpoint);
    ssmc_session_close(s);
    work_free(&w);
}

Test(memory, running_allocates_nothing)
{
    const uint64_t before = allocations();
    void *volatile block = malloc(1); /* or it is optimised away */
    free(block);
    cr_assert_eq(allocations(), before + 1, "allocations are counted");
    expect_no_allocation(MODEL_RUN(STORYTELLER));
    expect_no_allocation(MODEL_RUN(STORYTELLER, "--dtype", "int8"));
    expect_no_allocation(MODEL_RUN(HYBRID));
}

/* A lane keeps what fits, in order; without lanes nothing is kept. */
Test(memory, tracing_allocates_nothing)
{
    enum { MOST = 100 };
    static RtEvent events[2][MOST];
    Work w = work_new(MODEL_RUN(STORYTELLER));
    ssmc_session *s = model_run_session(w.run, 16, 2);
    RtLane lanes[2] = {
        {.events = events[0], .most = MOST},
        {.events = events[1], .most = 3   }
    };
    OK(ssmc_prefill(s, 0, w.ids, 2, NULL));
    const uint64_t before = allocations();
    rt_session_trace(s, lanes);
    run_everything(w.run, s, 16, w.ids, w.logits);
    rt_session_trace(s, NULL);
    cr_expect_eq(allocations(), before);
    cr_expect_eq(lanes[0].count, MOST);
    cr_expect_eq(lanes[1].count, 3);
    for (int i = 1; i < MOST; i++)
        cr_expect_geq(events[0][i].from, events[0][i - 1].to, "event %d", i);
    lanes[0].count = 0;
    OK(ssmc_prefill(s, 0, w.ids, 2, NULL));
    cr_expect_eq(lanes[0].count, 0, "nobody looks any more");
    ssmc_session_close(s);
    work_free(&w);
}

/* ---- what is resident ---------------------------------------------------------------------- */

/* The shadows of sanitizers are resident. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* A row of /proc/self/status, in bytes. */
static size_t
status_row(const char *name)
{
    char *text = read_whole("/proc/self/status", NULL), *at = text ? strstr(text, name) : NULL;
    cr_assert_not_null(at, "%s", name);
    const size_t kib = strtoul(at + strlen(name), NULL, 10);
    free(text);
    return kib << 10;
}

/* From here on VmHWM is the peak. */
static void
forget_peak(void)
{
    const int fd = open("/proc/self/clear_refs", O_WRONLY);
    cr_assert(fd >= 0 && write(fd, "5", 1) == 1);
    close(fd);
}

/* Opening a model once more from what is compiled, and running a session of it. */
static size_t
peak_of(const ModelRun *run, int sequences, int threads, const Work *w)
{
    ssmc_model *model = NULL;
    ssmc_session *s = NULL;
    forget_peak();
    const size_t before = status_row("VmRSS:");
    OK(ssmc_model_open(model_run_program(run), model_run_weights(run), threads, NULL, NULL,
                       &model));
    OK(ssmc_session_open(model, sequences, threads, &s));
    run_everything(run, s, sequences, w->ids, w->logits);
    const size_t peak = status_row("VmHWM:");
    ssmc_session_close(s);
    ssmc_model_close(model);
    return peak - before;
}

static void
expect_peak(ModelRun *run, int sequences, int threads)
{
    Work w = work_new(run);
    memset(w.logits, 1, (size_t)(64 * ssmc_model_vocab(model_run_model(run))) * sizeof *w.logits);
    const ssmc_memory m = ssmc_program_memory(model_run_program(run), sequences, threads);
    const size_t peak = peak_of(run, sequences, threads, &w);
    const double off = ((double)peak - (double)m.total) / (double)m.total;
    cr_log_info("peak %zu, said %zu: %+.1f %%", peak, m.total, 100 * off);
    cr_expect(off > -0.05 && off < 0.05, "%zu bytes at most, %zu were said: %+.1f %%", peak,
              m.total, 100 * off);
    work_free(&w);
}

Test(memory, the_peak_is_what_was_said)
{
    expect_peak(MODEL_RUN(STORYTELLER), 64, 1);
    expect_peak(MODEL_RUN(STORYTELLER), 16, 2);
    expect_peak(MODEL_RUN(STORYTELLER, "--dtype", "bf16"), 64, 2);
    expect_peak(MODEL_RUN(STORYTELLER, "--dtype", "int8"), 64, 2);
}

/* Of sequences of `tokens` tokens in a session that has room for many more. */
static void
expect_growth(ModelRun *run, int sequences, int64_t tokens)
{
    const ssmc_memory m = ssmc_program_memory(model_run_program(run), sequences, 1);
    const size_t states = 4,
                 said = (size_t)sequences * rt_kept_full(model_run_program(run), tokens);
    ssmc_session *s = NULL;
    int32_t *ids = malloc((size_t)tokens * sizeof *ids);
    model_run_ids(run, 1, ids, tokens);
    OK(ssmc_session_open_for(model_run_model(run), sequences, 1, 1 << 22, &s));
    for (int i = 0; i < sequences; i++)
        OK(ssmc_prefill(s, i, ids, 64, NULL)); /* what is not of growing states is there now */
    const size_t before = status_row("VmRSS:");
    for (int i = 0; i < sequences; i++)
        OK(ssmc_prefill(s, i, ids, tokens - 64, NULL));
    const size_t grown = status_row("VmRSS:") - before,
                 slack = (size_t)sequences * states * (2 << 20);
    cr_log_info("grown by %zu, said %zu", grown, said);
    cr_expect(grown < said + slack && grown + slack > said, "%zu bytes, %zu were said", grown,
              said);
    cr_expect_leq(said, (size_t)sequences * (size_t)tokens * m.token);
    OK(ssmc_reset(s, 0));
    if (sequences == 1)
        cr_expect_lt(status_row("VmRSS:"), before + slack, "what was read is gone");
    ssmc_session_close(s);
    free(ids);
    model_run_close(run);
}

/* Short sequences take little of large reserves. */
static void
expect_little(ModelRun *run, int sequences)
{
    ssmc_session *s = NULL;
    int32_t ids[10];
    model_run_ids(run, 1, ids, 10);
    OK(ssmc_session_open_for(model_run_model(run), sequences, 1, 1 << 22, &s));
    OK(ssmc_prefill(s, 0, ids, 10, NULL));
    const size_t before = status_row("VmRSS:");
    for (int i = 1; i < sequences; i++)
        OK(ssmc_prefill(s, i, ids, 10, NULL));
    const size_t each = (status_row("VmRSS:") - before) / (size_t)(sequences - 1);
    cr_expect_lt(each, (size_t)256 << 10, "%zu bytes for 10 tokens", each);
    ssmc_session_close(s);
    model_run_close(run);
}

Test(memory, growing_states_take_what_was_said)
{
    expect_growth(MODEL_RUN(HYBRID, "--threads", "1"), 1, 100000);
    expect_growth(MODEL_RUN(HYBRID, "--threads", "1"), 3, 20000);
    expect_little(MODEL_RUN(HYBRID, "--threads", "1"), 16);
}

#endif

Test(memory, explain_says_what_growing_states_take)
{
    ModelRun *run = MODEL_RUN(HYBRID, "--threads", "2");
    const ssmc_memory m = ssmc_program_memory(model_run_program(run), 3, 2);
    char growing[160];
    snprintf(growing, sizeof growing,
             "%.2f MiB   on top, once each sequence has read 5000 tokens "
             "(--context); %zu bytes a token, until windows are full",
             3 * (double)rt_kept_full(model_run_program(run), 5000) / (1 << 20), m.token);
    const char *const argv[] = {SSMC_BINARY, "explain", HYBRID,      "--memory", "--sequences", "3",
                                "--threads", "2",       "--context", "5000",     NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, growing), "expected %s in\n%s", growing, r.out);
    cr_expect_eq(m.token, (size_t)384);
    command_free(&r);
    model_run_close(run);
}

Test(memory, explain_says_what_the_call_says)
{
    ModelRun *run = MODEL_RUN(STORYTELLER, "--threads", "2");
    const ssmc_memory m = ssmc_program_memory(model_run_program(run), 64, 2);
    char states[32], total[32];
    snprintf(states, sizeof states, "%.2f MiB   %zu bytes", 64 * (double)m.state / (1 << 20),
             m.state);
    snprintf(total, sizeof total, "%.2f MiB   the peak", (double)m.total / (1 << 20));
    const char *const argv[] = {SSMC_BINARY, "explain",   STORYTELLER, "--memory", "--sequences",
                                "64",        "--threads", "2",         NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, states) && strstr(r.out, total), "expected %s and %s in\n%s", states,
              total, r.out);
    command_free(&r);
    model_run_close(run);
}

Test(memory, headers_say_what_a_token_takes)
{
    static const struct {
        const char *model, *says;
    } rows[] = {
        {HYBRID,      "\n#define M_TOKEN_BYTES 384 /* that each token of a sequence adds to these"},
        {STORYTELLER, "\n#define M_TOKEN_BYTES 0 /* that each token"                              },
    };
    char *dir = temp_dir(), *object = path_join(dir, "m.o"), *header = path_join(dir, "m.h");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *const argv[] = {SSMC_BINARY, "compile", rows[i].model, "--emit",
                                    "obj",       "-o",      object,        "--header",
                                    header,      "--set",   "name=m",      NULL};
        CommandResult r = command_run(argv, NULL, 0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        char *text = read_whole(header, NULL);
        cr_expect(text && strstr(text, rows[i].says), "%s lacks '%s'", rows[i].model, rows[i].says);
        free(text);
        command_free(&r);
    }
    temp_dir_remove(dir);
    free(object);
    free(header);
}

/* The figures of a machine that this one is not: they are those of its header. */
Test(memory, of_another_machine)
{
#if defined(__x86_64__)
    static const char *const cpus[] = {"neoverse-v1", "sapphirerapids", "x86-64"};
#else
    static const char *const cpus[] = {"sapphirerapids", "x86-64", "x86-64-v3"};
#endif
    char *dir = temp_dir(), *object = path_join(dir, "m.o"), *header = path_join(dir, "m.h");
    for (size_t i = 0; i < RT_COUNT(cpus); i++) {
        const char *const compile[] = {
            SSMC_BINARY, "compile",  STORYTELLER, "--cpu", cpus[i],  "--emit",  "obj",  "-o",
            object,      "--header", header,      "--set", "name=m", "--dtype", "int8", NULL};
        const char *const explain[] = {SSMC_BINARY, "explain", STORYTELLER, "--memory", "--cpu",
                                       cpus[i],     "--dtype", "int8",      NULL};
        CommandResult made = command_run(compile, NULL, 0), r = command_run(explain, NULL, 0);
        cr_assert(made.status == 0 && r.status == 0, "%s: %s%s", cpus[i], made.err, r.err);
        char *text = read_whole(header, NULL), row[64];
        char *packed = text ? strstr(text, "M_PACKED_BYTES ") : NULL;
        cr_assert(packed);
        snprintf(row, sizeof row, "parameters %10.2f MiB",
                 strtod(packed + strlen("M_PACKED_BYTES "), NULL) / (1 << 20));
        cr_expect(strstr(r.out, row) && strstr(r.out, cpus[i]), "%s: %s is not in\n%s", cpus[i],
                  row, r.out);
        command_free(&made);
        command_free(&r);
        free(text);
    }
    temp_dir_remove(dir);
    free(object);
    free(header);
}

Test(memory, more_than_there_can_be)
{
    const char *const none[] = {SSMC_BINARY,   "explain", STORYTELLER, "--memory",
                                "--sequences", "0",       NULL};
    CommandResult r = command_run(none, NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "--sequences 0: a number from 1 to"), "%s", r.err);
    command_free(&r);
}

/* ---- pages --------------------------------------------------------------------------------- */

static bool
is_mapped(char *page)
{
    unsigned char there;
    return mincore(page, 1, &there) == 0 || errno != ENOMEM;
}

Test(memory, many_pages_begin_where_a_huge_page_can)
{
    enum { HUGE_PAGE = 2 << 20 };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t sizes[] = {1, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE + 123};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const size_t bytes = sizes[i], last = (bytes - 1) / page * page;
        char *pages = rt_pages_new(bytes);
        cr_assert_not_null(pages);
        cr_expect(bytes < HUGE_PAGE || (uintptr_t)pages % HUGE_PAGE == 0, "%zu bytes", bytes);
        cr_expect(pages[0] == 0 && pages[bytes - 1] == 0);
        pages[0] = pages[bytes - 1] = 1;
        cr_expect(is_mapped(pages) && is_mapped(pages + last));
        rt_pages_free(pages, bytes);
        cr_expect(!is_mapped(pages) && !is_mapped(pages + last), "%zu bytes", bytes);
    }
}

Test(memory, more_pages_than_there_are)
{
    cr_expect_null(rt_pages_new(SIZE_MAX));
    cr_expect_null(rt_pages_new(SIZE_MAX - (2 << 20)));
    cr_expect_null(rt_pages_new(SIZE_MAX / 2));
    rt_pages_free(NULL, SIZE_MAX);
    void *none = rt_pages_new(0);
    cr_expect_not_null(none);
    rt_pages_free(none, 0);
}
