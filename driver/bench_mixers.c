/* driver/bench_mixers.c -- ssmc bench --ssd, --delta, --scan, --attend: what mixes the tokens of
 * sequences, by itself, by tokens and batch, in one pass, beside the least time that its bytes and
 * operations take on the device. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/mixers.h"

/* ---- options ------------------------------------------------------------------------------- */

/* One of each of these may be asked for. */
static const struct {
    OptId option;
    int sizes;
    int64_t most[4];
    const char *wants; /* after "--NAME wants " */
} kinds[MIXER_COUNT] = {
    [MIXER_SSD] = {OPT_bench_ssd,
                   4, {4096, 4096, 4096, 4096},
                   "heads, head dim, state and groups, each 1 to 4096, heads a multiple of groups, "
                   "like 24,64,128,1"                                         },
    [MIXER_DELTA] =
        {OPT_bench_delta,
                   4, {4096, 4096, 4096, 4096},
                   "heads, channels of a value and of a key, and groups, each 1 to 4096, heads a multiple of "
         "groups, like 32,128,128,16"                                         },
    [MIXER_SCAN] = {OPT_bench_scan,
                   2, {65536, 1024},
                   "channels, 1 to 65536, and states, 1 to 1024, like 1536,16"},
    [MIXER_ATTENTION] = {OPT_bench_attend,
                   2, {4096, 4096},
                   "heads and head dim, each 1 to 4096, like 24,64"           },
};

static MixerKind
kind_of(OptId id)
{
    MixerKind kind = 0;
    while (kinds[kind].option != id)
        kind++;
    return kind;
}

/* So many whole numbers with commas between them. */
static bool
numbers(const char *text, int count, int64_t *out)
{
    for (int i = 0; i < count; i++) {
        char *end = NULL;
        errno = 0;
        out[i] = strtoll(text, &end, 10);
        if (end == text || errno != 0 || *end != (i + 1 < count ? ',' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

bool
mixer_size(const Options *o, OptId id, BenchMixer *z)
{
    const MixerKind kind = kind_of(id);
    const char *text = opt_text(o, id);
    int64_t n[4] = {1, 1, 1, 1};
    bool fits = numbers(text, kinds[kind].sizes, n);
    for (int i = 0; i < kinds[kind].sizes; i++)
        fits = fits && n[i] >= 1 && n[i] <= kinds[kind].most[i];
    *z = (BenchMixer){.kind = kind,
                      .heads = n[0],
                      .head_dim = kind == MIXER_SCAN ? 1 : n[1],
                      .state = kind == MIXER_SCAN ? n[1] : n[2],
                      .groups = n[3],
                      .block = format_info[FORMAT_f32].block};
    if (fits && z->heads % z->groups == 0)
        return true;
    option_fault(o, id, "--%s wants %s; not '%s'", opt_info[id].name, kinds[kind].wants, text);
    return false;
}

bool
mixer_lengths(const Options *o, const IntList *preset, IntList *out)
{
    *out = opt_given(o, OPT_bench_prefill) ? (IntList){0} : *preset;
    return out->count > 0 || list_parse(o, OPT_bench_prefill, 1, 1 << 24, out);
}

typedef struct {
    IntList tokens, batch; /* of all sequences; sequences that they are of */
    Format formats[2];
    int nformats;
} Wanted;

static bool
wanted_parse(const Options *o, Wanted *w)
{
    *w = (Wanted){
        .formats = {FORMAT_bf16, FORMAT_f32},
          .nformats = 2
    };
    if (opt_given(o, OPT_dtype)) /* as the settings say */
        *w = (Wanted){.formats = {FORMAT_COUNT}, .nformats = 1};
    if (!list_parse(o, OPT_bench_prefill, 1, 1 << 24, &w->tokens) ||
        !list_parse(o, OPT_batch, 1, BENCH_MAX_BATCH, &w->batch))
        return false;
    for (int t = 0; t < w->tokens.count; t++)
        for (int b = 0; b < w->batch.count; b++)
            if (w->tokens.n[t] % w->batch.n[b] != 0) {
                option_fault(o, OPT_bench_prefill,
                             "%lld tokens are not %lld sequences of one length: here --prefill is "
                             "tokens of all",
                             (long long)w->tokens.n[t], (long long)w->batch.n[b]);
                return false;
            }
    if (w->tokens.count > 0 && w->batch.count > 0)
        return true;
    option_fault(o, w->batch.count > 0 ? OPT_bench_prefill : OPT_batch,
                 "--prefill and --batch want at least one number each");
    return false;
}

static int64_t
least(const IntList *list)
{
    int64_t n = list->n[0];
    for (int i = 1; i < list->count; i++)
        n = list->n[i] < n ? list->n[i] : n;
    return n;
}

/* ---- measuring ----------------------------------------------------------------------------- */

/* Measured once, of the device that the first job is for. */
static int
ceilings_of(Arena *arena, const Job *job, BenchCeilings *out)
{
    const char *why = NULL;
    if (out->threads > 0)
        return EXIT_DONE;
    BenchProbes *probes = bench_probes_open(arena, &job->machine, job->threads, &why);
    if (!probes)
        return fault(EXIT_FAILED, "%s", why);
    *out = bench_ceilings(probes, job->threads);
    bench_probes_close(probes);
    return EXIT_DONE;
}

static void
put_head(const Job *job, const BenchMixer *z, const BenchCeilings *c)
{
    printf("%s H=%lld P=%lld", bench_mixer_name(z->kind), (long long)z->heads,
           (long long)z->head_dim);
    if (bench_mixer_has_size(z->kind))
        printf(" N=%lld", (long long)z->state);
    if (z->kind == MIXER_SSD || z->kind == MIXER_DELTA)
        printf(" G=%lld", (long long)z->groups);
    printf(", %s; floors by %.0f GFLOP/s f32, %.0f GFLOP/s bf16, %.0f GB/s\n",
           bench_device_name(job->arena, &job->machine), c->f32.best,
           bench_ceiling_of(c, bench_dot(&job->machine, DTYPE_bf16))->best, c->update.best);
    puts("  dtype  tokens  batch  length   median us  spread    floor us  bound by   share");
}

static int
put_point(const Job *job, BenchMixerRun *run, const BenchCeilings *c, int64_t tokens, int batch)
{
    BenchSample t = {0};
    const int64_t length = tokens / batch;
    const ssmc_status rs = bench_mixer_time(run, length, batch, &t);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    const BenchFloor floor = bench_mixer_floor(run, &job->machine, c, length, batch);
    printf("  %-5s %7lld %6d %7lld %11.1f %5.1f %% %11.1f  %-8s %5.1f %%\n",
           format_info[job->fe.compile.format].name, (long long)tokens, batch, (long long)length,
           1e6 * t.median, 100 * t.spread, 1e6 * floor.seconds, floor.bytes ? "memory" : "products",
           100 * floor.seconds / t.median);
    fflush(stdout);
    return EXIT_DONE;
}

static int
put_format(const Options *o, const BenchMixer *size, const Wanted *w, int f,
           BenchCeilings *ceilings)
{
    enum { SECONDS_A_POINT = 4 };
    Job job = {0};
    Settings settings;
    BenchMixerRun run = {.repeats = (int)o->value[OPT_repeats].i, .seconds = SECONDS_A_POINT};
    int status = settings_of(o, opt_info[kinds[size->kind].option].name, &settings);
    settings.format = w->formats[f];
    if (status == EXIT_DONE)
        status = bench_mixer_open(&job, o->arena, &settings, size, &run);
    if (status == EXIT_DONE)
        status = ceilings_of(o->arena, &job, ceilings);
    if (status == EXIT_DONE && f == 0)
        put_head(&job, size, ceilings);
    for (int t = 0; t < w->tokens.count; t++)
        for (int b = 0; b < w->batch.count && status == EXIT_DONE; b++)
            status = put_point(&job, &run, ceilings, w->tokens.n[t], (int)w->batch.n[b]);
    bench_mixer_close(&job, &run);
    return status;
}

int
bench_mixers(const Options *o)
{
    Wanted w;
    BenchCeilings ceilings = {0};
    int status = EXIT_DONE;
    if (!wanted_parse(o, &w))
        return EXIT_BAD_INPUT;
    for (int kind = 0; kind < MIXER_COUNT && status == EXIT_DONE; kind++) {
        BenchMixer size;
        if (!opt_given(o, kinds[kind].option))
            continue;
        if (!mixer_size(o, kinds[kind].option, &size))
            return EXIT_BAD_INPUT;
        size.block = list_most(&w.tokens); /* one pass */
        size.room = size.block / least(&w.batch);
        size.sequences = list_most(&w.batch);
        for (int f = 0; f < w.nformats && status == EXIT_DONE; f++)
            status = put_format(o, &size, &w, f, &ceilings);
    }
    return status;
}
