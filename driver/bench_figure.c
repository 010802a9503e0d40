/* driver/bench_figure.c -- ssmc bench --figure: one SSD in its forms, a selective scan and
 * attention, by length and by state size. */
#include <stdio.h>

#include "driver/mixers.h"
#include "explore/figure.h"

/* Without --state and --prefill. */
static const IntList states = {
    {16, 32, 64, 128, 256},
    5
};
static const IntList lengths = {
    {256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536},
    9
};

/* The option's numbers, rising, each once. */
static bool
figure_list(const Options *o, OptId id, const IntList *otherwise, int64_t most, const int64_t **out,
            int *count)
{
    IntList *list = arena_alloc(o->arena, sizeof *list);
    if (!opt_given(o, id))
        *list = *otherwise;
    else if (!list_parse(o, id, 1, most, list))
        return false;
    list_settle(list);
    *out = list->n;
    *count = list->count;
    if (*count > 0)
        return true;
    option_fault(o, id, "--%s wants at least one number", opt_info[id].name);
    return false;
}

static int
figure_write(const Options *o, OptId id, void (*put)(StrBuf *out, const Figure *figure),
             const Figure *f)
{
    const char *why = NULL, *path = opt_text(o, id);
    StrBuf out = {0};
    if (!path)
        return EXIT_DONE;
    put(&out, f);
    const bool ok = file_write(o->arena, path, sb_text(&out), out.len, &why);
    sb_free(&out);
    return ok ? EXIT_DONE : fault(EXIT_BAD_INPUT, "%s", why);
}

static const char *
figure_machine(Arena *arena, const Figure *f)
{
    const Machine *m = f->settings.machine;
    const char *name = bench_device_name(arena, m);
    if (f->gpu)
        return arena_printf(arena, "%s, ssmc %s", name, SSMC_VERSION);
    return arena_printf(arena, "%s, %d thread%s, ssmc %s", name, f->settings.threads,
                        f->settings.threads == 1 ? "" : "s", SSMC_VERSION);
}

/* The size of 130m, or what --ssd says, but for its states; of so many sequences. */
static bool
figure_sizes(const Options *o, Figure *f)
{
    IntList batch = {0};
    f->size = (BenchMixer){.heads = 24, .head_dim = 64, .groups = 1};
    if (opt_given(o, OPT_bench_ssd) && !mixer_size(o, OPT_bench_ssd, &f->size))
        return false;
    if (!list_parse(o, OPT_batch, 1, BENCH_MAX_BATCH, &batch))
        return false;
    f->batch = batch.count == 1 ? (int)batch.n[0] : 0;
    if (f->batch > 0)
        return true;
    option_fault(o, OPT_batch, "--figure wants one --batch: sequences of each length");
    return false;
}

int
bench_figure(const Options *o)
{
    Figure f = {.repeats = (int)o->value[OPT_repeats].i};
    if (o->model)
        return fault(EXIT_BAD_INPUT, "--figure takes no MODEL, but found '%s'", o->model);
    if (!figure_sizes(o, &f) || !output_possible(o, OPT_figure) ||
        !output_possible(o, OPT_points) || ssd_settings(o, &f.settings) != EXIT_DONE ||
        !figure_list(o, OPT_state, &states, 4096, &f.states, &f.nstates) ||
        !figure_list(o, OPT_bench_prefill, &lengths, 1 << 20, &f.tokens, &f.ntokens))
        return EXIT_BAD_INPUT;
    Machine machine = *f.settings.machine; /* chunk lengths are left to its constants */
    if (opt_word(o, OPT_tune) != TUNE_SHIPPED)
        costs_load(o->arena, &machine, f.settings.listener);
    f.settings.machine = &machine;
    f.gpu = machine.gpu.kind != GPU_none;
    f.machine = figure_machine(o->arena, &f);
    f.points =
        arena_array(o->arena, (size_t)(f.nstates * f.ntokens * FIGURE_FORMS), sizeof *f.points);
    int status = figure_measure(&f);
    if (status == EXIT_DONE)
        status = figure_write(o, OPT_points, figure_put_csv, &f);
    if (status == EXIT_DONE)
        status = figure_write(o, OPT_figure, figure_put_page, &f);
    if (status == EXIT_DONE) {
        StrBuf says = {0};
        figure_say(&says, &f);
        fputs(sb_text(&says), stdout);
        sb_free(&says);
    }
    return status;
}
