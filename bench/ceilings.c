/* bench/ceilings.c -- what this CPU can do at most, measured by emitted probes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/meter.h"
#include "runtime/internal.h"

enum { MIB = 1 << 20, WALK_BYTES = 256 * MIB };
static const double arithmetic_seconds = 0.005, cache_seconds = 0.002;

typedef struct {
    BenchProbes head;
    CgJit *jit;
    int64_t l1_bytes, l2_bytes;
    RtPool *pool;
    char *buffer; /* owns: pages, first touched by the thread that walks them */
    size_t bytes;
    size_t walk; /* which WALK_BYTES of it are walked next: caches keep none of them until then */
} CpuProbes;

/* ---- one measurement ----------------------------------------------------------------------- */

typedef struct {
    const CpuProbes *probes;
    const CgProbe *probe;
    int threads; /* at work; the others of the pool only meet the barriers */
    int64_t passes, rounds;
    size_t stride; /* bytes from one thread's piece of the buffer to the next's */
    size_t first;  /* bytes of a piece that are left out */
    double seconds;
} Measure;

/* Starts and ends at barriers, so that waking threads is not measured. */
static void
measure_work(void *user, int thread, int threads)
{
    Measure *m = user;
    _Alignas(RT_LINE) float registers[64] = {0};
    const bool memory = m->probe->bytes > 0;
    char *data = m->probes->buffer + m->stride * (size_t)thread + m->first;
    (void)threads;
    rt_pool_barrier(m->probes->pool);
    const double at = rt_now();
    if (thread < m->threads)
        m->probe->run(m->passes, m->rounds, memory ? (void *)data : registers);
    rt_pool_barrier(m->probes->pool);
    if (thread == 0)
        m->seconds = rt_now() - at;
}

/* G operations or GB a second. */
static double
measure_from(CpuProbes *p, CgProbeId id, int threads, int64_t passes, int64_t rounds, size_t stride,
             size_t first)
{
    Measure m = {p, &p->head.probe[id], threads, passes, rounds, stride, first, 0};
    rt_pool_run(p->pool, measure_work, &m);
    const double work = p->head.probe[id].work * (double)passes * (double)rounds * threads;
    return m.seconds > 0 ? work / m.seconds * 1e-9 : 0;
}

static double
measure(CpuProbes *p, CgProbeId id, int threads, int64_t passes, int64_t rounds, size_t stride)
{
    return measure_from(p, id, threads, passes, rounds, stride, 0);
}

/* As many passes as take about `seconds`, found by trying. */
static int64_t
passes_for(CpuProbes *p, CgProbeId id, int64_t rounds, double seconds)
{
    int64_t passes = 1;
    for (;;) {
        const double rate = measure(p, id, 1, passes, rounds, 0) * 1e9;
        const double took = p->head.probe[id].work * (double)passes * (double)rounds / rate;
        if (took >= seconds / 4 || passes > INT64_MAX / 16)
            return (int64_t)((double)passes * seconds / took) + 1;
        passes *= 4;
    }
}

static double
cpu_arithmetic(BenchProbes *probes, CgProbeId id, int threads)
{
    enum { ROUNDS = 1000 };
    CpuProbes *p = (CpuProbes *)probes;
    if (!p->head.probe[id].run)
        return 0;
    return measure(p, id, threads, passes_for(p, id, ROUNDS, arithmetic_seconds), ROUNDS, 0);
}

static double
cpu_memory(BenchProbes *probes, CgProbeId id, int threads)
{
    CpuProbes *p = (CpuProbes *)probes;
    const size_t step = (size_t)p->head.probe[id].bytes, walks = p->bytes / WALK_BYTES;
    const size_t rounds = WALK_BYTES / (size_t)threads / step;
    const size_t first = p->walk++ % walks * rounds * step;
    return measure_from(p, id, threads, 1, (int64_t)rounds, walks * rounds * step, first);
}

/* ---- samples ------------------------------------------------------------------------------- */

/* Reads of `bytes` again and again by each thread. */
static BenchSample
cached(CpuProbes *p, int64_t bytes, int threads)
{
    double rate[METER_ARITHMETIC_RUNS];
    const int64_t rounds = bytes / p->head.probe[PROBE_read].bytes;
    if (rounds < 1)
        return (BenchSample){0};
    const int64_t passes = passes_for(p, PROBE_read, rounds, cache_seconds);
    const size_t stride = p->bytes / (size_t)threads / MIB * MIB;
    for (int i = 0; i < METER_ARITHMETIC_RUNS; i++)
        rate[i] = measure(p, PROBE_read, threads, passes, rounds, stride);
    return bench_rates(rate, METER_ARITHMETIC_RUNS);
}

/* The ways of walking take turns; the one with the best median is the ceiling. */
static void
read_ceiling(CpuProbes *p, BenchCeilings *c)
{
    double rate[PROBE_COUNT][METER_MEMORY_RUNS] = {0};
    for (int i = 0; i < METER_MEMORY_RUNS; i++)
        for (int id = 0; id < PROBE_COUNT; id++)
            if (p->head.probe[id].reads)
                rate[id][i] = cpu_memory(&p->head, (CgProbeId)id, c->threads);
    for (int id = 0; id < PROBE_COUNT; id++) {
        const BenchSample s = bench_rates(rate[id], METER_MEMORY_RUNS);
        if (s.median <= c->read.median)
            continue;
        c->read = s;
        c->read_by = (CgProbeId)id;
    }
}

/* Bytes of the last-level cache that one core can fill; 0: the system does not say. glibc adds up
 * all of the package's on some CPUs, so Linux is asked first. */
static int64_t
l3_bytes(void)
{
    long long kib = 0;
    FILE *size = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
    if (size && fscanf(size, "%lldK", &kib) != 1)
        kib = 0;
    if (size)
        fclose(size);
    if (kib > 0 && kib < 1 << 22)
        return (int64_t)kib * 1024;
#ifdef _SC_LEVEL3_CACHE_SIZE
    const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? bytes : 0;
#else
    return 0;
#endif
}

static BenchSample
arithmetic(CpuProbes *p, CgProbeId id, int threads)
{
    return bench_meter_sample(&p->head, id, threads, cpu_arithmetic, METER_ARITHMETIC_RUNS);
}

static BenchCeilings
cpu_ceilings(BenchProbes *probes, int threads)
{
    CpuProbes *p = (CpuProbes *)probes;
    BenchCeilings c = {.threads = threads};
    const int64_t l3_share = l3_bytes() / threads / 2;
    c.f32 = arithmetic(p, PROBE_f32, threads);
    c.bf16 = arithmetic(p, PROBE_bf16, threads);
    c.i8 = arithmetic(p, PROBE_i8, threads);
    c.matrix_bf16 = arithmetic(p, PROBE_matrix_bf16, threads);
    c.matrix_i8 = arithmetic(p, PROBE_matrix_i8, threads);
    c.l1 = cached(p, p->l1_bytes / 2, threads);
    c.l2 = cached(p, p->l2_bytes / 2, threads);
    if (l3_share > 2 * p->l2_bytes)
        c.l3 = cached(p, l3_share, threads);
    read_ceiling(p, &c);
    c.update = bench_meter_sample(probes, PROBE_update, threads, cpu_memory, METER_MEMORY_RUNS);
    return c;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Each thread's part of the pages, however many of the threads will walk them. */
static void
touch(void *user, int thread, int threads)
{
    const CpuProbes *p = user;
    const size_t share = p->bytes / (size_t)threads;
    memset(p->buffer + share * (size_t)thread, 1, share);
}

/* Far more than the caches hold, but no burden for a small machine. */
static size_t
buffer_bytes(void)
{
    const size_t least = (size_t)512 * MIB, most = (size_t)2048 * MIB;
    const size_t wanted = 8 * (size_t)l3_bytes();
    return wanted < least ? least : wanted > most ? most : wanted;
}

static bool
open_parts(CpuProbes *p, Arena *arena, const Machine *machine, int threads, const char **why)
{
    p->jit = cg_probes(arena, machine, p->head.probe, why);
    if (!p->jit)
        return false;
    p->bytes = buffer_bytes();
    p->buffer = rt_pages_new(p->bytes);
    *why = "no memory for a buffer to measure bandwidth with";
    if (!p->buffer)
        return false;
    *why = "the threads to measure with cannot be started";
    return rt_pool_open(threads, &p->pool) == SSMC_OK;
}

static void
cpu_close(BenchProbes *probes)
{
    CpuProbes *p = (CpuProbes *)probes;
    rt_pool_close(p->pool);
    rt_pages_free(p->buffer, p->bytes);
    cg_jit_free(p->jit);
}

static BenchProbes *
cpu_open(Arena *arena, const Machine *machine, int threads, const char **why)
{
    CpuProbes *p = arena_alloc(arena, sizeof *p);
    p->l1_bytes = machine->l1_bytes;
    p->l2_bytes = machine->l2_bytes;
    p->head.matrix = machine->matrix.name;
    if (!open_parts(p, arena, machine, threads, why)) {
        cpu_close(&p->head);
        return NULL;
    }
    rt_pool_run(p->pool, touch, p);
    return &p->head;
}

const BenchMeter bench_meter_cpu = {cpu_open, cpu_close, cpu_ceilings, cpu_arithmetic, cpu_memory};
