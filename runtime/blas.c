/* runtime/blas.c -- OpenBLAS, opened when a model's projections call it.
 *
 * The library is loaded into a link-map namespace of its own (dlmopen): a process may use another
 * OpenBLAS, whose number of threads is its own affair, and a second copy beside it in one namespace
 * would be the same library. Ours multiplies on the thread that calls it, since the runtime's pool
 * has cut the work already. As it is loaded it starts a thread for each CPU that the loading thread
 * may use; that is one CPU, for as long as it takes. */
#define _GNU_SOURCE /* dlmopen, sched_setaffinity */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "runtime/internal.h"

#define LIBRARY "libopenblas.so.0"

/* Loaded as long as a model uses it, once for all models: a process has few namespaces. */
static struct {
    pthread_mutex_t mutex;
    int users;
    void *handle; /* from dlmopen */
    AbiSgemm *sgemm;
} blas = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *
load_on_one_cpu(void)
{
    cpu_set_t before, one;
    const bool known = sched_getaffinity(0, sizeof before, &before) == 0;
    size_t cpu = 0;
    while (known && cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    const bool pinned = known && sched_setaffinity(0, sizeof one, &one) == 0;
    void *handle = dlmopen(LM_ID_NEWLM, LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (pinned)
        sched_setaffinity(0, sizeof before, &before);
    return handle;
}

/* dlsym's result as a function: ISO C has no conversion. */
typedef union {
    void *address;
    AbiSgemm *sgemm;
    void (*set_threads)(int);
} Symbol;

static ssmc_status
load(void)
{
    void *handle = load_on_one_cpu();
    if (!handle)
        return rt_fail(SSMC_UNSUPPORTED,
                       "projections of the model use OpenBLAS, which cannot be opened: %s (Debian: "
                       "apt-get install libopenblas0; without it: --matmul emitted)",
                       dlerror());
    const Symbol sgemm = {dlsym(handle, "cblas_sgemm")};
    const Symbol set = {dlsym(handle, "openblas_set_num_threads")};
    if (!sgemm.address || !set.address) {
        dlclose(handle);
        return rt_fail(SSMC_UNSUPPORTED, LIBRARY " has no cblas_sgemm of OpenBLAS");
    }
    set.set_threads(1); /* where the CPUs of this thread could not be chosen */
    blas.handle = handle;
    blas.sgemm = sgemm.sgemm;
    return SSMC_OK;
}

ssmc_status
rt_blas_open(AbiSgemm **out)
{
    ssmc_status status = SSMC_OK;
    pthread_mutex_lock(&blas.mutex);
    if (blas.users == 0)
        status = load();
    if (status == SSMC_OK) {
        blas.users++;
        *out = blas.sgemm;
    }
    pthread_mutex_unlock(&blas.mutex);
    return status;
}

void
rt_blas_close(void)
{
    pthread_mutex_lock(&blas.mutex);
    if (--blas.users == 0)
        dlclose(blas.handle);
    pthread_mutex_unlock(&blas.mutex);
}

ssmc_status
rt_blas_room(int threads)
{
    enum { BUFFER = 128 << 20 };
    const size_t bytes = ((size_t)threads + 1) * BUFFER;
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return rt_fail_memory(bytes, "address space of OpenBLAS, which projections use");
    munmap(room, bytes);
    return SSMC_OK;
}
