/* driver/cmd_bench.c -- ssmc bench: rates of a model beside the machine's ceilings, in one run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "driver/driver.h"

enum { MAX_LENGTHS = 32 };

typedef struct {
    Job *job;
    BenchModel model;
    BenchCeilings ceiling;
    BenchFlops flops;
    int64_t lengths[MAX_LENGTHS];
    int nlengths;
} Bench;

static bool
lengths_parse(const Options *o, Bench *b)
{
    for (const char *at = opt_text(o, OPT_bench_prefill); *at;) {
        char *end = NULL;
        errno = 0;
        const long long n = strtoll(at, &end, 10);
        const bool ok =
            end != at && errno == 0 && n >= 1 && n <= 1 << 24 && b->nlengths < MAX_LENGTHS;
        if (!ok || (*end != ',' && *end != '\0')) {
            option_fault(o, OPT_bench_prefill, "--prefill wants lengths like 512,2048, not '%s'",
                         opt_text(o, OPT_bench_prefill));
            return false;
        }
        b->lengths[b->nlengths++] = n;
        at = end + (*end == ',');
    }
    return true;
}

static int
put_prefill(Bench *b, int64_t tokens)
{
    BenchTime t;
    const ssmc_status rs = bench_prefill(&b->model, tokens, &t);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    const double flops = (double)tokens * (b->flops.linear + b->flops.ssd);
    const bool bf16 = b->job->fe.compile.format == FORMAT_bf16 && b->ceiling.bf16_gflops > 0;
    const double peak = bf16 ? b->ceiling.bf16_gflops : b->ceiling.f32_gflops;
    printf("prefill %6lld   %9.1f tokens/s   spread %4.1f %%   %5.1f %% of the %s peak\n",
           (long long)tokens, (double)tokens / t.median, 100 * t.spread,
           100 * flops / t.median * 1e-9 / peak, bf16 ? "bf16" : "f32");
    return EXIT_DONE;
}

static int
put_decode(Bench *b, int64_t tokens)
{
    BenchTime t;
    const ssmc_status rs = bench_decode(&b->model, tokens, &t);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    const double bytes = bench_decode_bytes(rt_program_abi(b->job->program));
    printf("decode  %6lld   %9.1f tokens/s   spread %4.1f %%   %5.1f %% of the read bandwidth\n",
           (long long)tokens, 1 / t.median, 100 * t.spread,
           100 * bytes / t.median * 1e-9 / b->ceiling.read_gbs);
    return EXIT_DONE;
}

/* Seconds of each kernel name over one prefill of the longest length. */
static int
put_profile(Bench *b)
{
    const AbiProgram *abi = rt_program_abi(b->job->program);
    double *seconds = arena_array(b->job->arena, (size_t)abi->nsteps + 1, sizeof *seconds);
    BenchTime t;
    double total = 0;
    rt_session_profile(b->model.session, true);
    b->model.repeats = 1;
    const ssmc_status rs = bench_prefill(&b->model, b->lengths[b->nlengths - 1], &t);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    for (int s = 0; s < abi->nsteps; s++) {
        seconds[s] = rt_session_step_seconds(b->model.session, s);
        total += seconds[s];
    }
    puts("\nkernels of that prefill (run twice), equal ones together:");
    for (int s = 0; s < abi->nsteps; s++) {
        int count = 0;
        double sum = 0;
        for (int k = s; k < abi->nsteps; k++) {
            if (seconds[k] <= 0 || abi->steps[k].run != abi->steps[s].run)
                continue;
            sum += seconds[k];
            seconds[k] = k == s ? seconds[k] : -1;
            count++;
        }
        if (sum > 0)
            printf("  %-28s x%-3d %9.3f ms  %5.1f %%\n", abi->steps[s].name, count, 1e3 * sum,
                   100 * sum / total);
    }
    return EXIT_DONE;
}

static int
bench_all(Bench *b)
{
    const Options *o = b->job->o;
    const char *why = NULL;
    if (!bench_ceilings(b->job->arena, &b->job->target, b->job->threads, &b->ceiling, &why))
        return fault(EXIT_FAILED, "%s", why);
    printf("%s, %d threads: %.0f GFLOP/s f32, %.0f GFLOP/s bf16, %.1f GB/s read\n",
           b->job->target.cpu, b->job->threads, b->ceiling.f32_gflops, b->ceiling.bf16_gflops,
           b->ceiling.read_gbs);
    printf("%s: %.1f M parameters, %.1f MFLOP a token in projections, %.1f in SSD\n",
           b->job->fe.graph->name, (double)b->job->parameters * 1e-6, b->flops.linear * 1e-6,
           b->flops.ssd * 1e-6);
    int status = EXIT_DONE;
    for (int i = 0; i < b->nlengths && status == EXIT_DONE; i++)
        status = put_prefill(b, b->lengths[i]);
    if (status == EXIT_DONE && o->value[OPT_bench_decode].i > 0)
        status = put_decode(b, o->value[OPT_bench_decode].i);
    if (status == EXIT_DONE && opt_given(o, OPT_profile) && b->nlengths > 0)
        status = put_profile(b);
    return status;
}

static int
bench_with(Bench *b)
{
    Job *job = b->job;
    const int status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    b->flops = bench_flops(job->graph[PHASE_PREFILL]);
    b->model.vocab = ssmc_model_vocab(job->model);
    b->model.logits = arena_array(job->arena, (size_t)b->model.vocab, sizeof(float));
    const ssmc_status rs = ssmc_session_open(job->model, 1, job->threads, &b->model.session);
    return rs == SSMC_OK ? bench_all(b) : runtime_fault(rs);
}

int
cmd_bench(Options *o)
{
    Job job;
    Bench b = {.job = &job, .model.repeats = (int)o->value[OPT_repeats].i};
    if (o->value[OPT_repeats].i < 1 || o->value[OPT_repeats].i > BENCH_MAX_REPEATS)
        return option_fault(o, OPT_repeats, "--repeats must be 1 to %d", BENCH_MAX_REPEATS);
    if (opt_given(o, OPT_bench_ssd))
        return bench_ssd_forms(o);
    if (!lengths_parse(o, &b))
        return EXIT_BAD_INPUT;
    int status = job_describe(&job, o);
    if (status == EXIT_DONE)
        status = bench_with(&b);
    ssmc_session_close(b.model.session);
    job_end(&job);
    return status;
}
