/* tests/unit/test_process.c -- what else is in the process: another OpenBLAS, other processes made
 * of it, and what the system does not let it do. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* A host that opens its own afterwards gets one that nobody has touched. */
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
