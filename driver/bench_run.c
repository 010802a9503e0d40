/* driver/bench_run.c -- a compiled job as something to measure. */
#include "driver/explore.h"

/* The ceiling of projections in a type is that of its dot, where the CPU has one. */
static CgProbeId
dot_of(const Machine *machine, Format format)
{
    const FormatInfo *f = &format_info[format];
    if (f->bits)
        return PROBE_i8;
    return f->reals == DTYPE_bf16 && machine->bf16_dot ? PROBE_bf16 : PROBE_f32;
}

void
bench_run_of(BenchRun *run, const Job *job)
{
    run->machine = &job->machine;
    run->name = job->fe.graph->name;
    run->version = SSMC_VERSION;
    run->parameters = (double)job->parameters;
    run->graph[0] = job->graph[PHASE_PREFILL];
    run->graph[1] = job->graph[PHASE_DECODE];
    run->program = rt_program_abi(job->program);
    run->model = job->model;
    run->format = job->fe.compile.format;
    run->dot = dot_of(&job->machine, run->format);
    run->threads[0] = job->threads;
}
