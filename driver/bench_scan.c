/* driver/bench_scan.c -- ssmc bench --scan: one selective scan by itself, by tokens. */
#include <stdio.h>

#include "bench/bench.h"
#include "driver/driver.h"

/* Microseconds a call, and what they come to in exponentials: at the best call, as other programs
 * take the processor away now and then. */
static int
scan_times(const BenchMixer *z, BenchMixerRun *run)
{
    static const int64_t tokens[] = {1, 8, 64, 512, 2048};
    puts("  tokens   median us     best us   G exp/s at the best");
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        BenchSample t = {0};
        const ssmc_status rs = bench_mixer_time(run, tokens[i], &t);
        if (rs != SSMC_OK)
            return runtime_fault(rs);
        const double exps = (double)(z->heads * z->head_dim * z->state * tokens[i]);
        printf("%8lld %11.1f %11.1f %10.3f\n", (long long)tokens[i], 1e6 * t.median, 1e6 * t.best,
               exps / t.best * 1e-9);
    }
    return EXIT_DONE;
}

int
bench_scan(const Options *o)
{
    long long channels = 0, states = 0;
    char end = 0;
    Settings settings;
    Job job = {0};
    BenchMixerRun run = {.repeats = (int)o->value[OPT_repeats].i};
    if (sscanf(opt_text(o, OPT_bench_scan), "%lld,%lld%c", &channels, &states, &end) != 2 ||
        channels < 1 || channels > 65536 || states < 1 || states > 1024)
        return option_fault(o, OPT_bench_scan,
                            "--scan wants channels, 1 to 65536, and states, 1 to 1024, like "
                            "1536,16; not '%s'",
                            opt_text(o, OPT_bench_scan));
    const BenchMixer size = {.kind = MIXER_SCAN,
                             .heads = channels,
                             .head_dim = 1,
                             .state = states,
                             .block = format_info[FORMAT_f32].block};
    int status = ssd_settings(o, &settings);
    if (status == EXIT_DONE)
        status = bench_mixer_open(&job, o->arena, &settings, &size, &run);
    if (status == EXIT_DONE) {
        printf("%s, %d threads: selective_scan D=%lld N=%lld, passes of %lld tokens\n",
               job.machine.cpu, job.threads, (long long)channels, (long long)size.state,
               (long long)size.block);
        status = scan_times(&size, &run);
    }
    bench_mixer_close(&job, &run);
    return status;
}
