/* bench/measure.c -- medians, threads, prefill and decode of a model. */
#include <pthread.h>
#include <stdlib.h>

#include "bench/bench.h"

static int
double_order(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

BenchTime
bench_summary(double *seconds, int count)
{
    if (count < 1)
        return (BenchTime){0};
    qsort(seconds, (size_t)count, sizeof *seconds, double_order);
    const double median = seconds[count / 2];
    const double low = seconds[count / 10], high = seconds[count - 1 - count / 10];
    return (BenchTime){.median = median, .spread = (high - low) / median};
}

typedef struct {
    void (*work)(void *user, int thread);
    void *user;
    int thread;
} Worker;

static void *
worker_main(void *arg)
{
    const Worker *w = arg;
    w->work(w->user, w->thread);
    return NULL;
}

double
bench_parallel(int threads, void (*work)(void *user, int thread), void *user)
{
    enum { MOST = 256 };
    pthread_t id[MOST];
    Worker worker[MOST];
    const int others = threads > MOST ? MOST - 1 : threads - 1;
    const double at = rt_now();
    int started = 0;
    for (; started < others; started++) {
        worker[started] = (Worker){work, user, started + 1};
        if (pthread_create(&id[started], NULL, worker_main, &worker[started]) != 0)
            break;
    }
    work(user, 0);
    for (int i = 0; i < started; i++)
        pthread_join(id[i], NULL);
    return rt_now() - at;
}

/* Any ids do: no kernel's time depends on them but for the rows embed touches. */
static int32_t
some_id(uint64_t i, int64_t vocab)
{
    const uint64_t mixed = (i + 1) * 0x9E3779B97F4A7C15u;
    return (int32_t)((mixed >> 33) % (uint64_t)vocab);
}

ssmc_status
bench_prefill(BenchModel *bm, int64_t tokens, BenchTime *out)
{
    double seconds[BENCH_MAX_REPEATS];
    int32_t *ids = malloc((size_t)tokens * sizeof *ids);
    if (!ids)
        return SSMC_NO_MEMORY;
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = some_id((uint64_t)i, bm->vocab);
    ssmc_status rs = SSMC_OK;
    for (int r = -1; r < bm->repeats && rs == SSMC_OK; r++) {
        rs = ssmc_reset(bm->session, 0);
        const double at = rt_now();
        if (rs == SSMC_OK)
            rs = ssmc_prefill(bm->session, 0, ids, tokens, bm->logits);
        if (r >= 0)
            seconds[r] = rt_now() - at;
    }
    free(ids);
    *out = bench_summary(seconds, bm->repeats);
    return rs;
}

ssmc_status
bench_decode(BenchModel *bm, int64_t tokens, BenchTime *out)
{
    double seconds[BENCH_MAX_REPEATS];
    const int seq = 0;
    ssmc_status rs = SSMC_OK;
    for (int r = -1; r < bm->repeats && rs == SSMC_OK; r++) {
        const double at = rt_now();
        for (int64_t i = 0; i < tokens && rs == SSMC_OK; i++) {
            const int32_t id = some_id((uint64_t)i, bm->vocab);
            rs = ssmc_step(bm->session, &seq, &id, 1, bm->logits);
        }
        if (r >= 0)
            seconds[r] = (rt_now() - at) / (double)tokens;
    }
    *out = bench_summary(seconds, bm->repeats);
    return rs;
}
