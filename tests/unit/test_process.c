/* tests/unit/test_process.c -- what else is in the process: another OpenBLAS, other processes made
 * of it, and what the system does not let it do. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/aot.h"
#include "tests/model_run.h"

#define OK(call)   cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())
#define BLAS_MODEL STORYTELLER, "--matmul", "blas", "--threads", "2"

enum { TOKENS = 40 };

/* ---- another OpenBLAS ------------------------------------------------------------------------ */

typedef union {
    void *address;
    int (*get)(void);
    void (*set)(int);
} Symbol;

static Symbol
symbol(void *library, const char *name)
{
    const Symbol s = {dlsym(library, name)};
    cr_assert(s.address, "%s", name);
    return s;
}

/* Of this process; under a sanitizer the sanitizer's, too. */
static int
threads_now(void)
{
    char *text = read_whole("/proc/self/status", NULL);
    const char *at = text ? strstr(text, "Threads:") : NULL;
    const int count = at ? atoi(at + strlen("Threads:")) : 0;
    free(text);
    return count;
}

static void
read_some(const ModelRun *run)
{
    int32_t ids[TOKENS];
    ssmc_session *session = model_run_session(run, 1, 2);
    model_run_ids(run, 1, ids, TOKENS);
    OK(ssmc_prefill(session, 0, ids, TOKENS, NULL));
    ssmc_session_close(session);
}

Test(process, the_hosts_openblas_keeps_its_threads)
{
    void *host = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL);
    cr_assert(host, "%s", dlerror());
    const Symbol get = symbol(host, "openblas_get_num_threads");
    symbol(host, "openblas_set_num_threads").set(3);
    const int count = get.get();
    if (count == 1)
        cr_skip("this OpenBLAS was built without threads");
    const int before = threads_now();
    ModelRun *run = MODEL_RUN(BLAS_MODEL);
    cr_expect_eq(threads_now(), before, "no thread is left behind");
    read_some(run);
    cr_expect_eq(get.get(), count);
    model_run_close(run);
    cr_expect_eq(get.get(), count);
}

/* A host that opens its own afterwards gets one that is unchanged. */
Test(process, the_hosts_openblas_comes_later)
{
    ModelRun *run = MODEL_RUN(BLAS_MODEL);
    read_some(run);
    cr_expect_null(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD));
    void *host = dlopen("libopenblas.so.0", RTLD_NOW);
    cr_assert(host, "%s", dlerror());
    const int most = symbol(host, "openblas_get_num_procs").get();
    cr_expect_eq(symbol(host, "openblas_get_num_threads").get(), most);
    model_run_close(run);
}

static void *
open_and_close(void *user)
{
    (void)user;
    for (int i = 0; i < 30; i++) {
        AbiSgemm *sgemm = NULL;
        const float a = 3, b = 5;
        float c = 0;
        if (rt_blas_open(&sgemm) != SSMC_OK)
            return "not opened";
        sgemm(101, 111, 112, 1, 1, 1, 2, &a, 1, &b, 1, 0, &c, 1);
        rt_blas_close();
        if (c != 30)
            return "2 * 3 * 5 is 30";
    }
    return NULL;
}

Test(process, openblas_is_opened_by_several_threads)
{
    enum { THREADS = 4 };
    pthread_t id[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&id[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *why = NULL;
        pthread_join(id[i], &why);
        cr_expect_null(why, "%s", (const char *)why);
    }
}

Test(process, openblas_that_cannot_be_opened)
{
    char *dir = temp_dir(), *broken = path_join(dir, "libopenblas.so.0"), setting[4096];
    cr_assert(write_whole(broken, "none", 4));
    snprintf(setting, sizeof setting, "LD_LIBRARY_PATH=%s", dir);
    CommandResult r = aot_tool(ARGS(setting, SSMC_BINARY, "logits", AOT_SMALL, "--ids", AOT_IDS,
                                    "--out", "/dev/null", "--matmul", "blas"));
    cr_expect_eq(r.status, 1, "%s", r.err);
    cr_expect(strstr(r.err, "use OpenBLAS, which cannot be opened: ") &&
                  strstr(r.err, "install libopenblas0") && strstr(r.err, "--matmul emitted"),
              "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(broken);
}

/* ---- forks ----------------------------------------------------------------------------------- */

/* In a child: `work` must return 0 within a minute. */
static void
expect_in_child(const char *what, int (*work)(const ModelRun *run, ssmc_session *s),
                const ModelRun *run, ssmc_session *s)
{
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        alarm(60);
        _exit(work(run, s));
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0, "%s: status %d", what, status);
}

static int
inherited_is_refused(const ModelRun *run, ssmc_session *s)
{
    const int32_t id = 1;
    const int seq = 0;
    (void)run;
    if (ssmc_prefill(s, 0, &id, 1, NULL) != SSMC_BAD_ARGUMENT ||
        !strstr(ssmc_error(), "fork of it"))
        return 1;
    if (ssmc_step(s, &seq, &id, 1, NULL) != SSMC_BAD_ARGUMENT)
        return 2;
    ssmc_session_close(s);
    return 0;
}

static int
inherited_works(const ModelRun *run, ssmc_session *s)
{
    const int32_t id = 1;
    (void)run;
    if (ssmc_prefill(s, 0, &id, 1, NULL) != SSMC_OK || ssmc_tokens(s, 0) != 2)
        return 1;
    ssmc_session_close(s);
    return 0;
}

static int
new_session_works(const ModelRun *run, ssmc_session *s)
{
    const int32_t id = 1;
    ssmc_session *own = NULL;
    (void)s;
    if (ssmc_session_open(model_run_model(run), 1, 2, &own) != SSMC_OK ||
        ssmc_prefill(own, 0, &id, 1, NULL) != SSMC_OK)
        return 1;
    ssmc_session_close(own);
    return 0;
}

Test(process, sessions_after_a_fork)
{
    ModelRun *run = MODEL_RUN(STORYTELLER);
    const int32_t id = 1;
    for (int threads = 1; threads <= 2; threads++) {
        ssmc_session *s = model_run_session(run, 1, threads);
        OK(ssmc_prefill(s, 0, &id, 1, NULL));
        if (threads == 1)
            expect_in_child("one thread", inherited_works, run, s);
        else
            expect_in_child("two threads", inherited_is_refused, run, s);
        expect_in_child("a new session", new_session_works, run, s);
        OK(ssmc_prefill(s, 0, &id, 1, NULL));
        cr_expect_eq(ssmc_tokens(s, 0), 2, "the parent's goes on");
        ssmc_session_close(s);
    }
    model_run_close(run);
}

/* ---- limits ---------------------------------------------------------------------------------- */

#define RUN SSMC_BINARY, "run", STORYTELLER, "--threads", "2", "-p", "Once", "-n", "2"

/* Memory that a sanitizer reserves is beyond any limit. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* The command ends with its text, or with status 1 and a message. */
static void
expect_text_or_message(const char *const *argv, const char *what)
{
    CommandResult r = aot_tool(argv);
    const bool said = strncmp(r.err, "ssmc: ", 6) == 0 || strstr(r.err, "\nssmc: ");
    cr_expect(!r.hung && ((r.status == 0 && r.out_len > 0) || (r.status == 1 && said)),
              "%s: status %d, %s", what, r.status, r.err);
    command_free(&r);
}

/* Below 200 MB the libraries of LLVM find no room, which the system's loader says. */
Test(process, limits_of_address_space)
{
    for (int mb = 220; mb <= 1000; mb += mb < 400 ? 20 : 100) {
        char limit[32];
        snprintf(limit, sizeof limit, "--as=%d000000", mb);
        expect_text_or_message(ARGS("prlimit", limit, RUN), limit);
        expect_text_or_message(ARGS("prlimit", limit, RUN, "--matmul", "blas"), limit);
    }
    CommandResult r = aot_tool(ARGS("prlimit", "--as=350000000", SSMC_BINARY, "help"));
    cr_expect_eq(r.status, 0, "%s", r.err);
    command_free(&r);
}

Test(process, a_small_stack)
{
    for (const char *const *size = ARGS("--stack=65536", "--stack=131072"); *size; size++) {
        CommandResult r = aot_tool(ARGS("prlimit", *size, RUN));
        cr_expect(r.status == 0 && r.out_len > 0, "%s: status %d, %s", *size, r.status, r.err);
        command_free(&r);
    }
}

#endif

/* A limit on processes does not hold for root. */
Test(process, no_more_threads)
{
    if (geteuid() != 0)
        cr_skip("another user's processes are not counted");
    CommandResult r = aot_tool(ARGS("setpriv", "--reuid=65533", "--regid=65533", "--clear-groups",
                                    "prlimit", "--nproc=1", RUN));
    if (r.status == 126 || r.status == 127)
        cr_skip("another user may not run the command: %s", r.err);
    cr_expect(r.status == 1 && strstr(r.err, "ssmc: cannot start thread 2 of 2: "), "status %d, %s",
              r.status, r.err);
    command_free(&r);
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

/* What Linux from 6.3 on lets a process forswear. The child of command_run inherits it. */
Test(process, no_executable_memory)
{
    if (prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0)
        cr_skip("this system has no PR_SET_MDWE");
    CommandResult r = aot_tool(ARGS(RUN));
    cr_expect_eq(r.status, 1);
    cr_expect(strstr(r.err, "ssmc: this process may not make memory executable") &&
                  strstr(r.err, "ssmc compile --emit so|exe"),
              "%s", r.err);
    cr_expect_null(strstr(r.err, "JIT"), "%s", r.err);
    command_free(&r);
    char *dir = temp_dir();
    char *exe = aot_compile(AOT_STORY, dir, "story", ARGS("--emit", "exe"));
    r = aot_tool(ARGS(exe, "-p", "Once", "-n", "2"));
    cr_expect(r.status == 0 && r.out_len > 0, "status %d, %s", r.status, r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(exe);
}

/* ---- standard files -------------------------------------------------------------------------- */

/* What is written to a closed file must not land in the next file that is opened. */
Test(process, closed_standard_files)
{
    char *dir = temp_dir(), *out = path_join(dir, "x.ir"), *want = path_join(dir, "y.ir");
    static const char script[] = "exec \"$0\" compile \"$1\" --verify-each --emit graph -o \"$2\" ";
    aot_ok(ARGS("compile", AOT_STORY, "--verify-each", "--emit", "graph", "-o", want));
    size_t len = 0, want_len = 0;
    char *expected = read_whole(want, &want_len);
    for (const char *const *closed = ARGS("<&-", ">&-", "2>&-", "<&- >&- 2>&-"); *closed;
         closed++) {
        char line[256];
        snprintf(line, sizeof line, "%s%s", script, *closed);
        CommandResult r = aot_tool(ARGS("sh", "-c", line, SSMC_BINARY, AOT_STORY, out));
        char *got = read_whole(out, &len);
        cr_expect(r.status == 0 && got && len == want_len && memcmp(got, expected, len) == 0,
                  "%s: status %d", *closed, r.status);
        command_free(&r);
        free(got);
    }
    CommandResult r = aot_tool(ARGS("sh", "-c", "exec \"$0\" help >&-", SSMC_BINARY));
    cr_expect(r.status == 1 && strstr(r.err, "cannot write to standard output"), "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(expected);
    free(out);
    free(want);
}

/* ---- the version ----------------------------------------------------------------------------- */

Test(process, version_is_one_line)
{
    for (const char *const *spelling = ARGS("--version", "-V"); *spelling; spelling++) {
        CommandResult r = aot_tool(ARGS(SSMC_BINARY, *spelling));
        cr_expect_eq(r.status, 0);
        cr_expect_eq(strncmp(r.out, "ssmc " SSMC_VERSION ", LLVM 19.", 16), 0, "%s", r.out);
        cr_expect_eq(strchr(r.out, '\n'), r.out + r.out_len - 1, "%s", r.out);
        command_free(&r);
    }
}
