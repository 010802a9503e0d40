/* explore/figure_measure.c -- the points of the figure: one SSD compiled in each of its forms, a
 * selective scan, and attention. */
#include <math.h>

#include "explore/figure.h"

enum {
    /* The quadratic form's C B^T, a square of this many tokens of f32 a thread, is 256 MiB. */
    MOST_QUADRATIC = 8192,
    MOST_SECONDS = 300, /* of one run: longer ones are left out */
    SECONDS = 60        /* after which a point is not run again */
};

/* A machine without dots of bf16 pairs multiplies them as f32. */
bool
figure_has(const Figure *f, FigureForm form)
{
    if (f->gpu)
        return form != FIGURE_QUADRATIC;
    return !figure_form[form].bf16 || f->settings.machine->bf16_dot;
}

/* A GPU takes all tokens in one pass, as what it is compared with elsewhere does; a CPU as many as
 * its caches like. */
static int64_t
pass_tokens(const Figure *f, Format format, int64_t tokens)
{
    return f->gpu ? tokens * f->batch : format_info[format].block;
}

static FigurePoint *
point_add(Figure *f, FigureForm form, int64_t state, int64_t tokens)
{
    FigurePoint *p = &f->points[f->count++];
    int64_t curves = 0;
    for (int i = 0; i < FIGURE_FORMS; i++)
        if (figure_has(f, (FigureForm)i))
            curves += bench_mixer_has_size(figure_form[i].mixer) ? f->nstates : 1;
    *p = (FigurePoint){.form = form, .state = state, .tokens = tokens};
    tell_progress(f->settings.listener, "measuring", f->count, curves * f->ntokens);
    return p;
}

/* The chunk length that the compiler chose; 0: the form has none. */
static int64_t
chosen_chunk(const Job *job)
{
    const Graph *g = job->graph[ENTRY_prefill];
    for (int i = 0; i < g->nkernels; i++) {
        CostSsd ssd;
        if (cost_kernel_ssd(g, g->kernels[i], job->threads, &ssd))
            return ssd.form == FORM_CHUNKED ? ssd.chunk : 0;
    }
    return 0;
}

/* What a run will take, if it goes on growing as between the last two that were measured. */
static double
expected(const FigurePoint *before, int count, int64_t tokens)
{
    if (count < 2)
        return 0;
    const FigurePoint *a = &before[-2], *b = &before[-1];
    const double power =
        log(b->time.median / a->time.median) / log((double)b->tokens / (double)a->tokens);
    return b->time.median * pow((double)tokens / (double)b->tokens, fmax(power, 1));
}

/* Lengths from `tokens` on, of one compiled mixer. */
static int
measure_lengths(Figure *f, FigureForm form, int64_t state, const int64_t *tokens, int count)
{
    Job job = {0};
    Arena *arena = arena_new();
    BenchMixer size = f->size;
    BenchMixerRun run = {.repeats = f->repeats, .seconds = SECONDS};
    const Listener quiet = {.tell = f->settings.listener->tell, .user = f->settings.listener->user};
    Settings settings = f->settings;
    settings.listener = &quiet;
    settings.form = figure_form[form].form;
    settings.format = figure_form[form].bf16 ? FORMAT_bf16 : FORMAT_f32;
    size.kind = figure_form[form].mixer;
    size.state = state;
    size.block = pass_tokens(f, settings.format, tokens[count - 1]);
    size.room = tokens[count - 1];
    size.sequences = f->batch;
    if (form == FIGURE_QUADRATIC) { /* its one chunk is as long */
        settings.chunk = CHUNK_ALL;
        size.block = tokens[0];
    }
    int status = bench_mixer_open(&job, arena, &settings, &size, &run);
    bool slow = false;
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        FigurePoint *p = point_add(f, form, state, tokens[i]);
        p->chunk = chosen_chunk(&job);
        slow = slow || expected(p, i, tokens[i]) > MOST_SECONDS;
        if (slow) {
            p->why_not = "one run would take more than five minutes";
            continue;
        }
        const ssmc_status rs = bench_mixer_time(&run, tokens[i], f->batch, &p->time);
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(&quiet, rs);
    }
    bench_mixer_close(&job, &run);
    arena_free(arena);
    return status;
}

static int
measure_curve(Figure *f, FigureForm form, int64_t state)
{
    int status = EXIT_DONE;
    if (form != FIGURE_QUADRATIC)
        return measure_lengths(f, form, state, f->tokens, f->ntokens);
    for (int i = 0; i < f->ntokens && status == EXIT_DONE; i++) {
        if (f->tokens[i] <= MOST_QUADRATIC)
            status = measure_lengths(f, form, state, &f->tokens[i], 1);
        else
            point_add(f, form, state, f->tokens[i])->why_not =
                "the square of the quadratic form would take a thread more than 256 MiB";
    }
    return status;
}

int
figure_measure(Figure *f)
{
    int status = EXIT_DONE;
    for (int s = 0; s < f->nstates; s++)
        for (int form = 0; form < FIGURE_FORMS && status == EXIT_DONE; form++) {
            const bool sized = bench_mixer_has_size(figure_form[form].mixer);
            if (figure_has(f, (FigureForm)form) && (sized || s == 0))
                status = measure_curve(f, (FigureForm)form, sized ? f->states[s] : 0);
        }
    tell_progress(f->settings.listener, "measuring", 0, 0);
    return status;
}
