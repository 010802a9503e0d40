/* explore/figure_measure.c -- the points of the figure: one SSD compiled in each of its forms, and
 * a selective scan. */
#include "explore/figure.h"

/* The quadratic form's C B^T, a square of this many tokens of f32 a thread, is 256 MiB. */
enum { MOST_QUADRATIC = 8192 };

static FigurePoint *
point_add(Figure *f, FigureForm form, int64_t state, int64_t tokens)
{
    FigurePoint *p = &f->points[f->count++];
    *p = (FigurePoint){.form = form, .state = state, .tokens = tokens};
    tell_progress(f->settings.listener, "measuring", f->count,
                  (int64_t)f->nstates * f->ntokens *
                      (f->settings.machine->bf16_dot ? FIGURE_FORMS : FIGURE_FORMS - 1));
    return p;
}

/* The chunk length that the compiler chose; 0: the form has none. */
static int64_t
chosen_chunk(const Job *job)
{
    const Graph *g = job->graph[PHASE_PREFILL];
    for (int i = 0; i < g->nkernels; i++) {
        CostSsd ssd;
        if (cost_kernel_ssd(g, g->kernels[i], job->threads, &ssd))
            return ssd.form == FORM_CHUNKED ? ssd.chunk : 0;
    }
    return 0;
}

/* Lengths from `tokens` on, of one compiled SSD or scan. */
static int
measure_lengths(Figure *f, FigureForm form, int64_t state, const int64_t *tokens, int count)
{
    Job job = {0};
    Arena *arena = arena_new();
    BenchSsd size = f->size;
    BenchSsdRun run = {.repeats = f->repeats};
    const Listener quiet = {.tell = f->settings.listener->tell, .user = f->settings.listener->user};
    Settings settings = f->settings;
    settings.listener = &quiet;
    settings.form = figure_form[form].form;
    settings.format = figure_form[form].bf16 ? FORMAT_bf16 : FORMAT_f32;
    size.state = state;
    size.channels = form == FIGURE_SCAN ? size.heads * size.head_dim : 0;
    size.block = format_info[settings.format].block;
    if (form == FIGURE_QUADRATIC) { /* its one chunk is as long */
        settings.chunk = CHUNK_ALL;
        size.block = tokens[0];
    }
    int status = bench_ssd_open(&job, arena, &settings, &size, &run);
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        FigurePoint *p = point_add(f, form, state, tokens[i]);
        p->chunk = chosen_chunk(&job);
        const ssmc_status rs = bench_ssd_time(&run, tokens[i], &p->time);
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(&quiet, rs);
    }
    bench_ssd_close(&job, &run);
    arena_free(arena);
    return status;
}

int
figure_measure(Figure *f)
{
    int status = EXIT_DONE;
    for (int s = 0; s < f->nstates && status == EXIT_DONE; s++) {
        const int64_t state = f->states[s];
        for (int form = 0; form < FIGURE_FORMS && status == EXIT_DONE; form++)
            if (form != FIGURE_QUADRATIC &&
                (!figure_form[form].bf16 || f->settings.machine->bf16_dot))
                status = measure_lengths(f, (FigureForm)form, state, f->tokens, f->ntokens);
        for (int i = 0; i < f->ntokens && status == EXIT_DONE; i++) {
            if (f->tokens[i] <= MOST_QUADRATIC)
                status = measure_lengths(f, FIGURE_QUADRATIC, state, &f->tokens[i], 1);
            else
                point_add(f, FIGURE_QUADRATIC, state, f->tokens[i])->why_not =
                    "the square of the quadratic form would take a thread more than 256 MiB";
        }
    }
    tell_progress(f->settings.listener, "measuring", 0, 0);
    return status;
}
