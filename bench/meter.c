/* bench/meter.c -- ceilings of whatever device a machine has: which meter measures them, and which
 * of them is whose. */
#include "bench/meter.h"

/* ---- whose ceilings ------------------------------------------------------------------------ */

static const BenchMeter *
meter_of(const Machine *m)
{
    return m->gpu.kind == GPU_none ? &bench_meter_cpu
           : m->gpu.model          ? &bench_meter_stated
                                   : &bench_meter_gpu;
}

BenchProbes *
bench_probes_open(Arena *arena, const Machine *machine, int threads, const char **why)
{
    const BenchMeter *meter = meter_of(machine);
    BenchProbes *p = meter->open(arena, machine, threads, why);
    if (p)
        p->meter = meter;
    return p;
}

void
bench_probes_close(BenchProbes *p)
{
    if (p)
        p->meter->close(p);
}

BenchCeilings
bench_ceilings(BenchProbes *p, int threads)
{
    BenchCeilings c = p->meter->ceilings(p, threads);
    c.threads = threads;
    return c;
}

double
bench_probe_arithmetic(BenchProbes *p, CgProbeId id, int threads)
{
    return p->meter->arithmetic(p, id, threads);
}

double
bench_probe_memory(BenchProbes *p, CgProbeId id, int threads)
{
    return p->meter->memory(p, id, threads);
}

BenchSample
bench_meter_sample(BenchProbes *p, CgProbeId id, int threads,
                   double (*measure)(BenchProbes *, CgProbeId, int), int runs)
{
    double rate[BENCH_MAX_REPEATS];
    for (int i = 0; i < runs; i++)
        rate[i] = measure(p, id, threads);
    return bench_rates(rate, runs);
}

const char *
bench_probe_matrix(const BenchProbes *p)
{
    return p->matrix;
}

const char *
bench_probe_what(const BenchProbes *p)
{
    return p->what;
}

const char *
bench_probe_doc(const BenchProbes *p, CgProbeId id)
{
    return p->probe[id].doc;
}

/* ---- as stated ----------------------------------------------------------------------------- */

typedef struct {
    BenchProbes head;
    BenchCeilings stated;
} StatedProbes;

static BenchSample
stated(double rate)
{
    return (BenchSample){.median = rate, .best = rate};
}

BenchCeilings
bench_stated(const Machine *m)
{
    return (BenchCeilings){.f32 = stated(m->gpu.f32_gflops),
                           .matrix_bf16 = stated(m->gpu.bf16_gflops),
                           .read = stated(m->gpu.memory_gbs),
                           .read_by = PROBE_read,
                           .update = stated(m->gpu.memory_gbs)};
}

static BenchProbes *
stated_open(Arena *arena, const Machine *machine, int threads, const char **why)
{
    StatedProbes *p = arena_alloc(arena, sizeof *p);
    (void)threads;
    (void)why;
    p->head.what = arena_printf(arena, "%s, as its data sheet states them", machine->gpu.name);
    p->head.matrix = "tensor cores";
    p->head.probe[PROBE_read].doc = "as stated";
    p->stated = bench_stated(machine);
    return &p->head;
}

static void
stated_close(BenchProbes *p)
{
    (void)p; /* the arena has it */
}

static BenchCeilings
stated_ceilings(BenchProbes *p, int threads)
{
    (void)threads;
    return ((const StatedProbes *)p)->stated;
}

static double
stated_arithmetic(BenchProbes *p, CgProbeId id, int threads)
{
    (void)threads;
    return bench_ceiling_of(&((const StatedProbes *)p)->stated, id)->best;
}

static double
stated_memory(BenchProbes *p, CgProbeId id, int threads)
{
    (void)id;
    (void)threads;
    return ((const StatedProbes *)p)->stated.read.best;
}

const BenchMeter bench_meter_stated = {stated_open, stated_close, stated_ceilings,
                                       stated_arithmetic, stated_memory};

/* ---- by type ------------------------------------------------------------------------------- */

/* Where nothing multiplies pairs of bf16, they are widened. */
CgProbeId
bench_dot(const Machine *m, Dtype dtype)
{
    if (m->gpu.kind != GPU_none)
        return dtype == DTYPE_bf16 ? PROBE_matrix_bf16 : PROBE_f32;
    if (dtype == DTYPE_u8)
        return m->matrix.i8 && !m->matrix.model ? PROBE_matrix_i8 : PROBE_i8;
    if (dtype != DTYPE_bf16)
        return PROBE_f32;
    if (m->matrix.bf16 && !m->matrix.model)
        return PROBE_matrix_bf16;
    return m->bf16_dot ? PROBE_bf16 : PROBE_f32;
}

const BenchSample *
bench_ceiling_of(const BenchCeilings *c, CgProbeId arithmetic)
{
    return arithmetic == PROBE_matrix_i8     ? &c->matrix_i8
           : arithmetic == PROBE_matrix_bf16 ? &c->matrix_bf16
           : arithmetic == PROBE_i8          ? &c->i8
           : arithmetic == PROBE_bf16        ? &c->bf16
                                             : &c->f32;
}
