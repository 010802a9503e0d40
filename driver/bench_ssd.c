/* driver/bench_ssd.c -- ssmc bench --ssd and --delta: every form of one SSD, or of the delta rule,
 * by itself, by tokens and chunk length, beside the machine's ceilings. */
#include <stdio.h>

#include "driver/mixers.h"

static const IntList preset_tokens = {
    .n = {1, 2, 4, 8, 16, 32, 64, 128, 512, 2048, 8192},
      .count = 11
};

/* What is measured: --prefill's lengths, and of --form and --chunk what they say, or all. */
typedef struct {
    IntList tokens;
    Form form;     /* AUTO: each */
    int64_t chunk; /* CHUNK_AUTO: each of cost_chunks */
} Wanted;

static bool
wanted_parse(const Options *o, Wanted *w)
{
    const char *form = opt_text(o, OPT_form), *chunk = opt_text(o, OPT_chunk);
    IntList chunks = {0};
    *w = (Wanted){.form = FORM_AUTO, .chunk = CHUNK_AUTO};
    if (!mixer_lengths(o, &preset_tokens, &w->tokens))
        return false;
    if (form && !form_by_name(form, &w->form)) {
        option_fault(o, OPT_form, "--form wants recurrent, chunked or quadratic, not '%s'", form);
        return false;
    }
    if (!chunk)
        return true;
    if (!list_parse(o, OPT_chunk, 1, 65536, &chunks))
        return false;
    if (chunks.count != 1) {
        option_fault(o, OPT_chunk, "--chunk wants one number here, not '%s'", chunk);
        return false;
    }
    w->chunk = chunks.n[0];
    return true;
}

int
ssd_settings(const Options *o, Settings *out)
{
    Machine *machine = arena_alloc(o->arena, sizeof *machine);
    IntList threads = {0};
    if (!machine_from(o, machine) || !list_threads(o, BENCH_MAX_THREADS, &threads))
        return EXIT_BAD_INPUT;
    *out = settings_new("--ssd", console(o->arena));
    out->machine = machine;
    out->threads = threads.count > 0 ? list_most(&threads) : rt_cores();
    out->format = FORMAT_f32;
    return EXIT_DONE;
}

/* GFLOP/s of the fastest unit. */
static double
peak_of(const Machine *machine, const BenchCeilings *peak, Dtype dtype)
{
    return bench_ceiling_of(peak, bench_dot(machine, dtype))->best;
}

/* A line: microseconds a call for each number of tokens, then the rate of the longest. */
static int
put_form(const Options *o, Settings settings, const BenchMixer *size, const Wanted *wanted,
         Form form, int64_t chunk, const BenchCeilings *peak)
{
    enum { QUADRATIC_MOST = 8192 }; /* tokens: all pairs of more take minutes */
    if (wanted->form != FORM_AUTO && wanted->form != form)
        return EXIT_DONE;
    Job job = {0};
    BenchMixerRun run = {.repeats = (int)o->value[OPT_repeats].i};
    BenchSample t = {0};
    int64_t tokens = 0; /* of the newest measurement */
    const bool bf16 = settings.format == FORMAT_bf16;
    settings.form = form;
    settings.chunk = chunk;
    int status = bench_mixer_open(&job, o->arena, &settings, size, &run);
    if (status == EXIT_DONE)
        printf("%-9s %-4s %4s", form_name[form], bf16 ? "bf16" : "f32",
               chunk == CHUNK_ALL    ? "all"
               : chunk == CHUNK_AUTO ? "auto"
                                     : arena_printf(o->arena, "%lld", (long long)chunk));
    for (int i = 0; i < wanted->tokens.count && status == EXIT_DONE; i++) {
        if (form == FORM_QUADRATIC && wanted->tokens.n[i] > QUADRATIC_MOST) {
            printf(" %8s", "-");
            continue;
        }
        tokens = wanted->tokens.n[i];
        const ssmc_status rs = bench_mixer_time(&run, tokens, 1, &t);
        status = rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
        if (status == EXIT_DONE)
            printf(" %8.1f", 1e6 * t.median);
        fflush(stdout);
    }
    if (status == EXIT_DONE && tokens == 0)
        puts("");
    if (status == EXIT_DONE && tokens > 0) {
        const double flops = bench_flops(job.graph[ENTRY_prefill]).recurrent * (double)tokens;
        const double gflops = flops / t.median * 1e-9;
        printf("  %7.0f %5.1f %%\n", gflops,
               100 * gflops / peak_of(settings.machine, peak, bf16 ? DTYPE_bf16 : DTYPE_f32));
    }
    bench_mixer_close(&job, &run);
    return status;
}

static void
put_head(const Settings *s, const BenchMixer *size, const Wanted *wanted, const BenchCeilings *peak)
{
    printf("%s, %d threads: %.0f GFLOP/s f32, %.0f GFLOP/s bf16\n"
           "%s H=%lld P=%lld N=%lld G=%lld, passes of %lld tokens; microseconds by tokens, then "
           "GFLOP/s at the most\n%-9s %-4s %4s",
           s->machine->cpu, s->threads, peak->f32.best, peak_of(s->machine, peak, DTYPE_bf16),
           bench_mixer_name(size->kind), (long long)size->heads, (long long)size->head_dim,
           (long long)size->state, (long long)size->groups, (long long)size->block, "form", "dot",
           "Q");
    for (int i = 0; i < wanted->tokens.count; i++)
        printf(" %8lld", (long long)wanted->tokens.n[i]);
    puts("  GFLOP/s of peak");
}

int
bench_forms(const Options *o, OptId mixer)
{
    BenchMixer size;
    Settings settings;
    Wanted wanted;
    const char *why = NULL;
    if (!mixer_size(o, mixer, &size) || !wanted_parse(o, &wanted))
        return EXIT_BAD_INPUT;
    int status = ssd_settings(o, &settings);
    if (status != EXIT_DONE)
        return status;
    BenchProbes *probes = bench_probes_open(o->arena, settings.machine, settings.threads, &why);
    if (!probes)
        return fault(EXIT_FAILED, "%s", why);
    const BenchCeilings peak = bench_ceilings(probes, settings.threads);
    bench_probes_close(probes);
    put_head(&settings, &size, &wanted, &peak);
    status = put_form(o, settings, &size, &wanted, FORM_RECURRENT, CHUNK_AUTO, &peak);
    for (int dot = 0; dot < (bench_dot(settings.machine, DTYPE_bf16) != PROBE_f32 ? 2 : 1); dot++) {
        settings.format = dot ? FORMAT_bf16 : FORMAT_f32;
        const int64_t one[] = {wanted.chunk, 0};
        const int64_t *q = wanted.chunk == CHUNK_AUTO ? cost_chunks : one;
        for (; *q && status == EXIT_DONE; q++)
            status = put_form(o, settings, &size, &wanted, FORM_CHUNKED, *q, &peak);
        if (status == EXIT_DONE)
            status = put_form(o, settings, &size, &wanted, FORM_QUADRATIC, CHUNK_ALL, &peak);
    }
    return status;
}
