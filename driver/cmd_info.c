/* driver/cmd_info.c -- ssmc info: this machine, its measured ceilings, the versions in use. */
#include <stdio.h>

#include "bench/bench.h"
#include "driver/driver.h"

int
cmd_info(Options *o)
{
    CgTarget t;
    const char *why = NULL;
    if (o->model)
        return fault(EXIT_BAD_INPUT, "info takes no argument");
    if (!cg_target(o->arena, "native", &t, &why))
        return fault(EXIT_FAILED, "%s", why);
    printf("ssmc     %s, LLVM %s\n", SSMC_VERSION, cg_llvm_version());
    printf("cpu      %s (%s), %d cores\n", t.cpu, t.triple, rt_cores());
    printf("vectors  %d bytes, %d registers%s%s\n", t.vector_bytes, t.vector_registers,
           t.fma ? ", FMA" : "", t.bf16_dot ? ", bf16 dot" : "");
    printf("caches   L1 %lld KiB, L2 %lld KiB a core\n", (long long)t.l1_bytes / 1024,
           (long long)t.l2_bytes / 1024);
    const int cores = rt_cores();
    for (int threads = 1; threads <= cores; threads = threads < cores ? cores : cores + 1) {
        BenchCeilings c;
        if (!bench_ceilings(o->arena, &t, threads, &c, &why))
            return fault(EXIT_FAILED, "%s", why);
        printf("measured %d thread%s: %.0f GFLOP/s f32, ", threads, threads > 1 ? "s" : "",
               c.f32_gflops);
        if (c.bf16_gflops > 0)
            printf("%.0f GFLOP/s bf16, ", c.bf16_gflops);
        printf("%.1f GB/s read\n", c.read_gbs);
    }
    return EXIT_DONE;
}
