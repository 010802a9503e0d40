/* bench/ceilings.c -- what this machine can do at most, measured by emitted probes. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

typedef struct {
    CgProbe *probe;
    int64_t rounds;
} DotWork;

static void
dot_work(void *user, int thread)
{
    const DotWork *w = user;
    float sink[64] = {0};
    (void)thread;
    w->probe(w->rounds, sink);
}

/* Best of five runs of about 40 ms each: a ceiling is what nothing disturbed. */
static double
best_gflops(CgProbe *probe, double flops_per_round, int threads)
{
    enum { RUNS = 5 };
    DotWork w = {.probe = probe, .rounds = 100000};
    double best = 0;
    for (int run = 0; run <= RUNS; run++) {
        const double seconds = bench_parallel(threads, dot_work, &w);
        const double gflops = flops_per_round * (double)w.rounds * threads / seconds * 1e-9;
        if (run == 0) /* the first run only finds out how long a round takes */
            w.rounds = (int64_t)((double)w.rounds * 0.04 / seconds) + 1;
        else if (gflops > best)
            best = gflops;
    }
    return best;
}

typedef struct {
    const uint64_t *data;
    size_t words;
    int threads;
    uint64_t sum[256];
} ReadWork;

/* Four streams of sums, so that the adds never hold the loads back. */
static void
read_work(void *user, int thread)
{
    ReadWork *w = user;
    const size_t share = w->words / (size_t)w->threads / 4 * 4;
    const uint64_t *p = w->data + share * (size_t)thread;
    uint64_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (size_t i = 0; i < share; i += 4) {
        s0 += p[i];
        s1 += p[i + 1];
        s2 += p[i + 2];
        s3 += p[i + 3];
    }
    w->sum[thread] = s0 + s1 + s2 + s3;
}

static double
best_read_gbs(int threads)
{
    enum { RUNS = 5 };
    const size_t bytes = (size_t)512 << 20;
    uint64_t *data = malloc(bytes);
    if (!data)
        return 0;
    memset(data, 1, bytes);
    ReadWork w = {.data = data, .words = bytes / sizeof *data, .threads = threads};
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        const double gbs = (double)bytes / bench_parallel(threads, read_work, &w) * 1e-9;
        if (gbs > best)
            best = gbs;
    }
    /* The sums are looked at, so that reading is not optimised away. */
    const uint64_t seen = w.sum[0];
    free(data);
    return seen == 1 ? 0 : best;
}

static bool
probe_gflops(Arena *arena, const CgTarget *target, bool bf16, int threads, double *out,
             const char **why)
{
    double flops = 0;
    CgProbe *probe = NULL;
    CgJit *jit = cg_probe_jit(arena, target, bf16, &probe, &flops, why);
    if (!jit)
        return false;
    *out = best_gflops(probe, flops, threads);
    cg_jit_free(jit);
    return true;
}

bool
bench_ceilings(Arena *arena, const CgTarget *target, int threads, BenchCeilings *out,
               const char **why)
{
    *out = (BenchCeilings){.threads = threads};
    if (!probe_gflops(arena, target, false, threads, &out->f32_gflops, why))
        return false;
    if (target->bf16_dot && !probe_gflops(arena, target, true, threads, &out->bf16_gflops, why))
        return false;
    out->read_gbs = best_read_gbs(threads);
    return true;
}
