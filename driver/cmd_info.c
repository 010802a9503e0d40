/* driver/cmd_info.c -- ssmc info: this machine, its measured ceilings, the versions in use. */
#include <stdio.h>

#include "bench/bench.h"
#include "driver/driver.h"

/* The GPU, where there is one. */
static void
put_gpu(void)
{
    RtGpu gpu;
    if (rt_gpu_look(&gpu))
        printf("gpu      %s (sm_%d), %d multiprocessors, %zu MiB, driver of CUDA %d.%d\n", gpu.name,
               gpu.capability, gpu.multiprocessors, gpu.bytes >> 20, gpu.driver / 10,
               gpu.driver % 10);
}

/* The ceilings of what the probes are for, by each number of threads that tells something. */
static int
put_ceilings(Arena *arena, const Machine *m, int threads, const char **why)
{
    BenchProbes *probes = bench_probes_open(arena, m, threads, why);
    const int most = m->gpu.kind == GPU_none ? threads : 1;
    StrBuf out = {0};
    if (!probes)
        return EXIT_FAILED;
    for (int n = 1; n <= most; n = n < most ? most : most + 1) {
        const BenchCeilings c = bench_ceilings(probes, n);
        bench_put_ceilings(&out, probes, &c);
    }
    bench_probes_close(probes);
    fputs(sb_text(&out), stdout);
    sb_free(&out);
    return EXIT_DONE;
}

/* Where there is a GPU that code can be made for. What it does not take is no fault of this
 * machine. */
static void
put_gpu_ceilings(Arena *arena, const Machine *machine)
{
    RtGpu gpu;
    Machine m = *machine;
    const char *why = NULL;
    if (rt_gpu_look(&gpu) && machine_gpu_found(&m, gpu.capability) &&
        put_ceilings(arena, &m, 1, &why) != EXIT_DONE)
        note("the GPU is not measured: %s", why);
}

int
cmd_info(Options *o)
{
    Machine t;
    const char *why = NULL;
    if (o->model)
        return fault(EXIT_BAD_INPUT, "info takes no argument");
    if (!cg_machine(o->arena, "native", &t, &why))
        return fault(EXIT_FAILED, "%s", why);
    printf("ssmc     %s, LLVM %s\n", SSMC_VERSION, cg_llvm_version());
    const RtCores cores = rt_cores_look();
    printf("cpu      %s (%s)\n", t.cpu, t.triple);
    printf("threads  %d: %s\n", cores.count, cores.why);
    printf("vectors  %d bytes, %d registers%s%s%s\n", t.vector_bytes, t.vector_registers,
           t.fma ? ", FMA" : "", t.bf16_dot ? ", bf16 dot" : "", t.i8_dot ? ", int8 dot" : "");
    if (t.matrix.kind != MATRIX_none)
        printf("matrix   %s, %d tiles of %d rows of %d bytes:%s%s\n", t.matrix.name, t.matrix.tiles,
               t.matrix.rows, t.matrix.row_bytes, t.matrix.bf16 ? " bf16" : "",
               t.matrix.i8 ? " int8" : "");
    if (t.refused)
        printf("matrix   %s, refused: the kernel, or a filter of system calls, does not let this "
               "process use it\n",
               t.refused);
    printf("caches   L1 %lld KiB, L2 %lld KiB a core\n", (long long)t.l1_bytes / 1024,
           (long long)t.l2_bytes / 1024);
    StrBuf out = {0};
    sb_puts(&out, "features ");
    machine_put_features(&out, &t, 9, 80);
    printf("%s\n", sb_text(&out));
    sb_free(&out);
    put_gpu();
    if (put_ceilings(o->arena, &t, cores.count, &why) != EXIT_DONE)
        return fault(EXIT_FAILED, "%s", why);
    put_gpu_ceilings(o->arena, &t);
    return EXIT_DONE;
}
