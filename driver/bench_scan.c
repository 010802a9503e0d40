/* driver/bench_scan.c -- ssmc bench --scan: one selective scan by itself, by tokens. */
#include <stdio.h>

#include "driver/mixers.h"

/* Microseconds a call, and what they come to in exponentials: at the best call, as other programs
 * take the processor away now and then. */
static int
scan_times(const BenchMixer *z, const IntList *tokens, BenchMixerRun *run)
{
    puts("  tokens   median us     best us   G exp/s at the best");
    for (int i = 0; i < tokens->count; i++) {
        BenchSample t = {0};
        const ssmc_status rs = bench_mixer_time(run, tokens->n[i], 1, &t);
        if (rs != SSMC_OK)
            return runtime_fault(rs);
        const double exps = (double)(z->heads * z->head_dim * z->state * tokens->n[i]);
        printf("%8lld %11.1f %11.1f %10.3f\n", (long long)tokens->n[i], 1e6 * t.median,
               1e6 * t.best, exps / t.best * 1e-9);
    }
    return EXIT_DONE;
}

int
bench_scan(const Options *o)
{
    static const IntList preset = {
        .n = {1, 8, 64, 512, 2048},
          .count = 5
    };
    Settings settings;
    Job job = {0};
    BenchMixer size;
    IntList tokens = {0};
    BenchMixerRun run = {.repeats = (int)o->value[OPT_repeats].i};
    if (!mixer_size(o, OPT_bench_scan, &size) || !mixer_lengths(o, &preset, &tokens))
        return EXIT_BAD_INPUT;
    int status = ssd_settings(o, &settings);
    if (status == EXIT_DONE)
        status = bench_mixer_open(&job, o->arena, &settings, &size, &run);
    if (status == EXIT_DONE) {
        printf("%s, %d threads: selective_scan D=%lld N=%lld, passes of %lld tokens\n",
               job.machine.cpu, job.threads, (long long)size.heads, (long long)size.state,
               (long long)size.block);
        status = scan_times(&size, &tokens, &run);
    }
    bench_mixer_close(&job, &run);
    return status;
}
