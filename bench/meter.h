/* bench/meter.h -- what measures the ceilings of a device: a row of functions for each kind, and
 * nothing else asks which device it is. */
#ifndef SSMC_BENCH_METER_H
#define SSMC_BENCH_METER_H

#include "bench/bench.h"

typedef struct {
    BenchProbes *(*open)(Arena *arena, const Machine *machine, int threads, const char **why);
    void (*close)(BenchProbes *probes);
    BenchCeilings (*ceilings)(BenchProbes *probes, int threads);
    double (*arithmetic)(BenchProbes *probes, CgProbeId id, int threads);
    double (*memory)(BenchProbes *probes, CgProbeId id, int threads);
} BenchMeter;

/* The first member of what a meter opens. */
struct BenchProbes {
    const BenchMeter *meter;
    const char *what;   /* is measured, in words; NULL: threads of this CPU */
    const char *matrix; /* what multiplies tiles; NULL: nothing does */
    CgProbe probe[PROBE_COUNT];
};

/* This CPU (ceilings.c); a GPU, through its row of runtime/device.h (ceilings_gpu.c); a GPU that is
 * not there or is a model, by what gpus.def states of it. */
extern const BenchMeter bench_meter_cpu, bench_meter_gpu, bench_meter_stated;

enum { METER_ARITHMETIC_RUNS = 9, METER_MEMORY_RUNS = 5 };
/* So many measurements of one thing, one after the other. */
BenchSample bench_meter_sample(BenchProbes *probes, CgProbeId id, int threads,
                               double (*measure)(BenchProbes *, CgProbeId, int), int runs);

#endif
