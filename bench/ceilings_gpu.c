/* bench/ceilings_gpu.c -- what a GPU can do at most, measured by its own clock: probes as steps of
 * a program that runs through the device's row of functions, with no model around it. */
#include <stdlib.h>

#include "bench/meter.h"
#include "runtime/device.h"

enum { MIB = 1 << 20 };

typedef struct {
    BenchProbes head;
    const RtDevice *device;
    const AbiProgram *abi;
    int64_t units; /* multiprocessors */
    RtImage *image;
    RtQueue *queue;
    char *half[2];               /* owns: what is read, and written */
    size_t bytes;                /* of each, far more than the caches hold */
    int64_t rounds[PROBE_COUNT]; /* of arithmetic that take long enough; 0: not known yet */
} GpuProbes;

/* ---- one measurement ----------------------------------------------------------------------- */

/* Seconds of one launch. 0: it failed. */
static double
launch(GpuProbes *p, CgProbeId id, int64_t rows)
{
    double seconds[PROBE_COUNT] = {0};
    void *const operand[] = {p->half[0], p->half[1]};
    const AbiCall call = {.rows = rows, .nseg = p->units};
    RtRun run = {
        .abi = p->abi,
        .operand = operand,
        .call = &call,
        .range = {{(int32_t)id, 1}},
        .told = {.there = p->half[1], .here = (char *)seconds, .bytes = sizeof *seconds},
        .seconds = seconds,
    };
    return p->device->run(p->queue, &run) == SSMC_OK ? seconds[id] : 0;
}

static double
rate(double work, double seconds)
{
    return seconds > 0 ? work / seconds * 1e-9 : 0;
}

static double
gpu_arithmetic(BenchProbes *probes, CgProbeId id, int threads)
{
    enum { FEW = 1000, MOST = 1 << 24 };
    static const double wanted = 0.005;
    GpuProbes *p = (GpuProbes *)probes;
    const double work = p->head.probe[id].work * (double)p->units;
    (void)threads;
    if (work <= 0)
        return 0;
    if (p->rounds[id] == 0) {
        launch(p, id, FEW); /* the clock rises, and code is loaded */
        const double few = launch(p, id, FEW), rounds = few > 0 ? FEW * wanted / few : FEW;
        p->rounds[id] = rounds < MOST ? (int64_t)rounds + 1 : MOST;
    }
    return rate(work * (double)p->rounds[id], launch(p, id, p->rounds[id]));
}

static double
gpu_memory(BenchProbes *probes, CgProbeId id, int threads)
{
    GpuProbes *p = (GpuProbes *)probes;
    const CgProbe *probe = &p->head.probe[id];
    (void)threads;
    if (probe->work <= 0)
        return 0;
    const int64_t rows = (int64_t)p->bytes / probe->bytes;
    return rate(probe->work * (double)rows, launch(p, id, rows));
}

/* ---- all ------------------------------------------------------------------------------------ */

static BenchCeilings
gpu_ceilings(BenchProbes *p, int threads)
{
    BenchCeilings c = {.read_by = PROBE_read};
    gpu_memory(p, PROBE_update, threads); /* pages are touched, and the clock rises */
    c.f32 = bench_meter_sample(p, PROBE_f32, threads, gpu_arithmetic, METER_ARITHMETIC_RUNS);
    c.matrix_bf16 =
        bench_meter_sample(p, PROBE_matrix_bf16, threads, gpu_arithmetic, METER_ARITHMETIC_RUNS);
    c.read = bench_meter_sample(p, PROBE_read, threads, gpu_memory, METER_MEMORY_RUNS);
    c.update = bench_meter_sample(p, PROBE_update, threads, gpu_memory, METER_MEMORY_RUNS);
    return c;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void
gpu_close(BenchProbes *probes)
{
    GpuProbes *p = (GpuProbes *)probes;
    p->device->end(p->queue);
    for (int i = 0; i < 2 && p->image; i++)
        p->device->free(p->image, p->half[i], p->bytes);
    p->device->close(p->image);
}

/* Two of 2 GiB, so that a launch is long beside what is around it; or of what there is memory for
 * beside a model. */
static ssmc_status
take_buffers(GpuProbes *p, size_t memory)
{
    const size_t most = (size_t)2048 * MIB, least = (size_t)16 * MIB;
    ssmc_status status = SSMC_OK;
    p->bytes = most;
    while (p->bytes > memory / 64 && p->bytes > least)
        p->bytes /= 2;
    for (; p->bytes >= least; p->bytes /= 2) {
        status = p->device->alloc(p->image, p->bytes, "measuring it", &p->half[0]);
        if (status == SSMC_OK)
            status = p->device->alloc(p->image, p->bytes, "measuring it", &p->half[1]);
        if (status == SSMC_OK)
            break;
        p->device->free(p->image, p->half[0], p->bytes);
        p->half[0] = p->half[1] = NULL;
    }
    return status;
}

static BenchProbes *
gpu_open(Arena *arena, const Machine *machine, int threads, const char **why)
{
    GpuProbes *p = arena_alloc(arena, sizeof *p);
    RtGpu gpu;
    (void)threads;
    p->device = rt_device(ABI_CUDA);
    p->abi = cg_gpu_probes(arena, machine, p->head.probe);
    p->head.what = bench_device_name(arena, machine);
    p->head.matrix = "tensor cores";
    ssmc_status status = p->device->open(p->abi, &p->image);
    if (status == SSMC_OK)
        status = p->device->begin(p->image, &p->queue);
    const bool there = status == SSMC_OK && rt_gpu_look(&gpu);
    if (there)
        status = take_buffers(p, gpu.bytes);
    if (there && status == SSMC_OK) {
        p->units = gpu.multiprocessors;
        return &p->head;
    }
    *why = arena_strdup(arena, ssmc_error());
    gpu_close(&p->head);
    return NULL;
}

const BenchMeter bench_meter_gpu = {gpu_open, gpu_close, gpu_ceilings, gpu_arithmetic, gpu_memory};
