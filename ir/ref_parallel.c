/* ir/ref_parallel.c -- references of large products on several threads. */
#include <pthread.h>
#include <unistd.h>

#include "ir/ref.h"

enum { MOST_THREADS = 16, THREAD_WORK = 1 << 20 };

typedef struct {
    RefCall *call;
    void (*part)(RefCall *call, void *user, int64_t from, int64_t to);
    void *user;
    int64_t from, to;
} Range;

static void *
run_range(void *arg)
{
    const Range *r = arg;
    r->part(r->call, r->user, r->from, r->to);
    return NULL;
}

void
ref_parallel(RefCall *call, int64_t count, int64_t work,
             void (*part)(RefCall *call, void *user, int64_t from, int64_t to), void *user)
{
    Range range[MOST_THREADS];
    pthread_t thread[MOST_THREADS];
    bool started[MOST_THREADS] = {false};
    int64_t threads = work / THREAD_WORK;
    const int64_t cores = threads > 1 ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
    threads = threads > cores ? cores : threads;
    threads = threads > MOST_THREADS ? MOST_THREADS : threads < 1 ? 1 : threads;
    for (int64_t i = 0; i < threads; i++)
        range[i] = (Range){call, part, user, count * i / threads, count * (i + 1) / threads};
    for (int64_t i = 1; i < threads; i++)
        started[i] = pthread_create(&thread[i], NULL, run_range, &range[i]) == 0;
    for (int64_t i = 0; i < threads; i++)
        if (!started[i])
            run_range(&range[i]);
    for (int64_t i = 1; i < threads; i++)
        if (started[i])
            pthread_join(thread[i], NULL);
}
