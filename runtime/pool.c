/* runtime/pool.c -- threads that run one piece of work together and meet at barriers.
 *
 * There is one primitive, the barrier. Between two pieces of work the workers wait at it for the
 * caller; the caller's arrival starts the next piece, and a second meeting ends it. A thread that
 * waits looks at the generation for some microseconds, as the next step usually starts at once, and
 * then sleeps. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/float_mode.h"
#include "runtime/internal.h"

/* How often a thread looks for work before it sleeps: PAUSES times with a pause after each, a few
 * microseconds in all, then YIELDS times with the core offered to other threads: about a
 * millisecond, as to be woken takes longer than what lies between two calls of a session. */
enum { PAUSES = 100, YIELDS = 3000 };

typedef struct {
    RtPool *pool;
    int thread;
    pthread_t id;
} Worker;

struct RtPool {
    int threads;   /* with the caller; fixed once `ready` is unlocked for the first time */
    bool patient;  /* looks before it sleeps */
    pid_t process; /* that the threads run in */
    /* The piece of work: written by the caller before the barrier that starts it. NULL work: end.
     */
    RtWork *work;
    void *user;
    Worker *workers; /* owns: [threads - 1] */
    pthread_mutex_t mutex;
    pthread_cond_t turned;
    /* On lines of their own: the first is written by all, the second watched by all. */
    _Alignas(RT_LINE) atomic_int arrived;
    _Alignas(RT_LINE) atomic_uint generation;
    atomic_int sleepers;
};

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- the barrier --------------------------------------------------------------------------- */

/* The last one to arrive. A sleeper counts itself before it looks at the generation, and here the
 * generation is turned before the sleepers are counted, all sequentially consistent: one of the two
 * sees the other. */
static void
turn(RtPool *pool, unsigned generation)
{
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    atomic_store(&pool->generation, generation + 1);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->turned);
    pthread_mutex_unlock(&pool->mutex);
}

static void
sleep_until_turned(RtPool *pool, unsigned generation)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == generation)
        pthread_cond_wait(&pool->turned, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static bool
has_turned(const RtPool *pool, unsigned seen)
{
    return atomic_load_explicit(&pool->generation, memory_order_acquire) != seen;
}

static void
wait_until_turned(RtPool *pool, unsigned seen, RtMeanwhile *meanwhile, void *user)
{
    while (pool->patient && meanwhile && meanwhile(user))
        if (has_turned(pool, seen))
            return;
    for (int i = 0; i < PAUSES + YIELDS && pool->patient; i++) {
        if (has_turned(pool, seen))
            return;
        if (i < PAUSES)
            relax();
        else
            sched_yield();
    }
    sleep_until_turned(pool, seen);
}

void
rt_pool_barrier_while(RtPool *pool, RtThen *then, RtMeanwhile *meanwhile, void *user)
{
    if (pool->threads == 1) {
        if (then)
            then(user);
        return;
    }
    /* No one can turn the generation before this thread arrives. */
    const unsigned seen = atomic_load_explicit(&pool->generation, memory_order_relaxed);
    const int last = pool->threads - 1;
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) != last) {
        wait_until_turned(pool, seen, meanwhile, user);
        return;
    }
    if (then)
        then(user);
    turn(pool, seen);
}

void
rt_pool_barrier_then(RtPool *pool, RtThen *then, void *user)
{
    rt_pool_barrier_while(pool, then, NULL, user);
}

void
rt_pool_barrier(RtPool *pool)
{
    rt_pool_barrier_then(pool, NULL, NULL);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *
worker_main(void *arg)
{
    const Worker *self = arg;
    RtPool *pool = self->pool;
    /* Held until it is known how many threads there are. */
    pthread_mutex_lock(&pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    rt_float_mode_kernels();
    for (;;) {
        rt_pool_barrier(pool);
        if (!pool->work)
            return NULL;
        pool->work(pool->user, self->thread, pool->threads);
        rt_pool_barrier(pool);
    }
}

/* Signals are for the threads of the program that uses us. */
static int
start(Worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&worker->id, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Starts threads until all run or one does not start. */
static int
start_all(RtPool *pool, int threads)
{
    int error = 0;
    pthread_mutex_lock(&pool->mutex);
    pool->threads = 1;
    while (pool->threads < threads && error == 0) {
        Worker *worker = &pool->workers[pool->threads - 1];
        *worker = (Worker){.pool = pool, .thread = pool->threads};
        error = start(worker);
        pool->threads += error == 0;
    }
    pthread_mutex_unlock(&pool->mutex);
    return error;
}

static RtPool *
pool_new(int threads)
{
    RtPool *pool = aligned_alloc(_Alignof(RtPool), sizeof *pool);
    if (!pool)
        return NULL;
    memset(pool, 0, sizeof *pool);
    atomic_init(&pool->arrived, 0);
    atomic_init(&pool->generation, 0);
    atomic_init(&pool->sleepers, 0);
    pool->process = getpid();
    /* With more threads than cores the one waited for may need the very core. */
    pool->patient = threads <= rt_cores();
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    if (!pool->workers) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->turned, NULL);
    return pool;
}

ssmc_status
rt_pool_open(int threads, RtPool **out)
{
    const int asked = threads;
    *out = NULL;
    if (!rt_threads_resolve(&threads))
        return rt_fail(SSMC_BAD_ARGUMENT, "%d threads; 1 to %d are possible, 0 means all cores",
                       asked, RT_MAX_THREADS);
    RtPool *pool = pool_new(threads);
    if (!pool)
        return rt_fail_memory(sizeof *pool, "a thread pool");
    const int error = start_all(pool, threads);
    if (error == 0) {
        *out = pool;
        return SSMC_OK;
    }
    const int started = pool->threads;
    rt_pool_close(pool);
    return rt_fail(
        SSMC_NO_MEMORY,
        "cannot start thread %d of %d: %s (a limit on processes or memory; fewer threads "
        "may do)",
        started + 1, threads, strerror(error));
}

bool
rt_pool_is_here(const RtPool *pool)
{
    return pool->threads == 1 || pool->process == getpid();
}

ssmc_status
rt_pool_check(const RtPool *pool)
{
    if (rt_pool_is_here(pool))
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT,
                   "the session's %d threads run in process %ld, which opened it, and not in this "
                   "fork of it, %ld: open a session here, or one of 1 thread before the fork",
                   pool->threads, (long)pool->process, (long)getpid());
}

static void
stop_all(RtPool *pool)
{
    pool->work = NULL;
    rt_pool_barrier(pool);
    for (int i = 0; i < pool->threads - 1; i++)
        pthread_join(pool->workers[i].id, NULL);
    pthread_cond_destroy(&pool->turned);
    pthread_mutex_destroy(&pool->mutex);
}

void
rt_pool_close(RtPool *pool)
{
    if (!pool)
        return;
    if (rt_pool_is_here(pool)) /* else there are no threads to wait for */
        stop_all(pool);
    free(pool->workers);
    free(pool);
}

int
rt_pool_threads(const RtPool *pool)
{
    return pool->threads;
}

void
rt_pool_run(RtPool *pool, RtWork *work, void *user)
{
    pool->work = work;
    pool->user = user;
    rt_pool_barrier(pool);
    const RtFloatMode before = rt_float_mode_kernels();
    work(user, 0, pool->threads);
    rt_float_mode_set(before);
    rt_pool_barrier(pool);
}
