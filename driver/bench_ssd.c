/* driver/bench_ssd.c -- ssmc bench --ssd: every form of one SSD by itself, by tokens and chunk
 * length, beside the machine's ceilings. */
#include <stdio.h>
#include <string.h>

#include "driver/ssd_job.h"

static const int64_t tokens_list[] = {1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, 8192};

static const SsdForm ssd_forms[] = {
    {"recurrent", "f32",  "auto"},
    {"chunked",   "f32",  "16"  },
    {"chunked",   "f32",  "24"  },
    {"chunked",   "f32",  "32"  },
    {"chunked",   "f32",  "48"  },
    {"chunked",   "f32",  "64"  },
    {"chunked",   "f32",  "96"  },
    {"chunked",   "f32",  "128" },
    {"chunked",   "f32",  "256" },
    {"quadratic", "f32",  "all" },
    {"chunked",   "bf16", "16"  },
    {"chunked",   "bf16", "24"  },
    {"chunked",   "bf16", "32"  },
    {"chunked",   "bf16", "48"  },
    {"chunked",   "bf16", "64"  },
    {"chunked",   "bf16", "96"  },
    {"chunked",   "bf16", "128" },
    {"chunked",   "bf16", "256" },
    {"quadratic", "bf16", "all" },
};

static bool
size_parse(const char *text, BenchSsd *z)
{
    long long n[4] = {0};
    char end = 0;
    if (sscanf(text, "%lld,%lld,%lld,%lld%c", &n[0], &n[1], &n[2], &n[3], &end) != 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (n[i] < 1 || n[i] > 4096)
            return false;
    *z = (BenchSsd){.heads = n[0], .head_dim = n[1], .state = n[2], .groups = n[3]};
    return z->heads % z->groups == 0;
}

/* A line: microseconds a call for each number of tokens, then the rate of the longest. */
static int
put_times(Job *job, const SsdForm *form, const BenchCeilings *peak, BenchSsdRun *run)
{
    BenchSample t = {0};
    int64_t tokens = 0;
    printf("%-9s %-4s %4s", form->form, form->dtype, form->chunk);
    for (size_t i = 0; i < COUNT_OF(tokens_list); i++) {
        tokens = tokens_list[i];
        const ssmc_status rs = bench_ssd_time(run, tokens, &t);
        if (rs != SSMC_OK)
            return runtime_fault(rs);
        printf(" %8.1f", 1e6 * t.median);
        fflush(stdout);
    }
    const double flops = bench_flops(job->graph[PHASE_PREFILL]).recurrent * (double)tokens;
    const double gflops = flops / t.median * 1e-9;
    const bool bf16 = strcmp(form->dtype, "bf16") == 0;
    printf("  %7.0f %5.1f %%\n", gflops, 100 * gflops / (bf16 ? peak->bf16.best : peak->f32.best));
    return EXIT_DONE;
}

static int
put_form(Options *o, const BenchSsd *size, const SsdForm *form, const BenchCeilings *peak)
{
    Job job;
    BenchSsdRun run = {.repeats = (int)o->value[OPT_repeats].i};
    int status = ssd_open(&job, o, size, form, &run);
    if (status == EXIT_DONE)
        status = put_times(&job, form, peak, &run);
    ssmc_session_close(run.session);
    job_end(&job);
    return status;
}

static int
ssd_ceilings(Job *job, BenchCeilings *peak)
{
    const char *why = NULL;
    BenchProbes *probes = bench_probes_open(job->arena, &job->machine, job->threads, &why);
    if (!probes)
        return fault(EXIT_FAILED, "%s", why);
    *peak = bench_ceilings(probes, job->threads);
    bench_probes_close(probes);
    return EXIT_DONE;
}

static int
put_head(Options *o, const BenchSsd *size, BenchCeilings *peak)
{
    Job job;
    int status = ssd_describe(&job, o, size, &ssd_forms[0]);
    if (status == EXIT_DONE)
        status = ssd_ceilings(&job, peak);
    if (status == EXIT_DONE)
        printf("%s, %d threads: %.0f GFLOP/s f32, %.0f GFLOP/s bf16\n"
               "ssd H=%lld P=%lld N=%lld G=%lld, passes of %d tokens; microseconds by tokens, then "
               "GFLOP/s at the most\n%-9s %-4s %4s",
               job.machine.cpu, job.threads, peak->f32.best, peak->bf16.best,
               (long long)size->heads, (long long)size->head_dim, (long long)size->state,
               (long long)size->groups, BENCH_SSD_BLOCK, "form", "dot", "Q");
    for (size_t i = 0; i < COUNT_OF(tokens_list) && status == EXIT_DONE; i++)
        printf(" %8lld", (long long)tokens_list[i]);
    if (status == EXIT_DONE)
        puts("  GFLOP/s of peak");
    job_end(&job);
    return status;
}

int
bench_ssd_forms(Options *o)
{
    BenchSsd size;
    BenchCeilings peak = {0};
    o->value[OPT_tune].text = "shipped"; /* forms are given: no choice needs constants */
    if (!size_parse(opt_text(o, OPT_bench_ssd), &size))
        return option_fault(
            o, OPT_bench_ssd,
            "--ssd wants heads, head dim, state and groups, each 1 to 4096, heads a "
            "multiple of groups, like 24,64,128,1; not '%s'",
            opt_text(o, OPT_bench_ssd));
    int status = put_head(o, &size, &peak);
    for (size_t i = 0; i < COUNT_OF(ssd_forms) && status == EXIT_DONE; i++) {
        const bool bf16 = strcmp(ssd_forms[i].dtype, "bf16") == 0;
        if (!bf16 || peak.bf16.best > 0)
            status = put_form(o, &size, &ssd_forms[i], &peak);
    }
    return status;
}
