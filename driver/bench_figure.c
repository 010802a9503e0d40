/* driver/bench_figure.c -- ssmc bench --figure: one SSD in its forms, by length and by state size.
 */
#include <stdio.h>
#include <stdlib.h>

#include "driver/ssd_job.h"
#include "explore/figure.h"

/* Without --state and --prefill. */
static const char states[] = "16,32,64,128,256";
static const char lengths[] = "256,512,1024,2048,4096,8192,16384,32768,65536";

/* The quadratic form's C B^T, a square of this many tokens of f32 a thread, is 256 MiB. */
enum { MOST_QUADRATIC = 8192 };

typedef struct {
    Options *o;
    Figure *figure;
    Progress bar;
    int planned;
} Drawing;

static FigurePoint *
point_add(Drawing *d, FigureForm form, int64_t state, int64_t tokens)
{
    Figure *f = d->figure;
    FigurePoint *p = &f->points[f->count++];
    *p = (FigurePoint){.form = form, .state = state, .tokens = tokens};
    progress_step(&d->bar, f->count, d->planned);
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

/* Lengths from `tokens` on, of one compiled SSD. */
static int
draw_lengths(Drawing *d, FigureForm form, int64_t state, const int64_t *tokens, int count)
{
    Job job;
    BenchSsd size = d->figure->size;
    Options o = *d->o;
    BenchSsdRun run = {.repeats = d->figure->repeats};
    const bool quadratic = form == FIGURE_QUADRATIC;
    const SsdForm how = {figure_form(form), figure_bf16(form) ? "bf16" : "f32",
                         quadratic ? "all" : "auto"};
    size.state = state;
    size.block = quadratic ? tokens[0] : figure_bf16(form) ? 256 : 512; /* as compile.block is */
    o.arena = arena_new();
    int status = ssd_open(&job, &o, &size, &how, &run);
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        FigurePoint *p = point_add(d, form, state, tokens[i]);
        p->chunk = chosen_chunk(&job);
        const ssmc_status rs = bench_ssd_time(&run, tokens[i], &p->time);
        status = rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
    }
    ssmc_session_close(run.session);
    job_end(&job);
    arena_free(o.arena);
    return status;
}

/* A program a length: its one chunk is as long. */
static int
draw_quadratic(Drawing *d, int64_t state)
{
    const Figure *f = d->figure;
    int status = EXIT_DONE;
    for (int i = 0; i < f->ntokens && status == EXIT_DONE; i++) {
        if (f->tokens[i] <= MOST_QUADRATIC)
            status = draw_lengths(d, FIGURE_QUADRATIC, state, &f->tokens[i], 1);
        else
            point_add(d, FIGURE_QUADRATIC, state, f->tokens[i])->why_not =
                "the square of the quadratic form would take a thread more than 256 MiB";
    }
    return status;
}

static int
draw_all(Drawing *d, const Machine *machine)
{
    const Figure *f = d->figure;
    int status = EXIT_DONE;
    for (int s = 0; s < f->nstates && status == EXIT_DONE; s++) {
        const int64_t state = f->states[s];
        status = draw_lengths(d, FIGURE_RECURRENT, state, f->tokens, f->ntokens);
        if (status == EXIT_DONE)
            status = draw_lengths(d, FIGURE_CHUNKED, state, f->tokens, f->ntokens);
        if (status == EXIT_DONE && machine->bf16_dot)
            status = draw_lengths(d, FIGURE_CHUNKED_BF16, state, f->tokens, f->ntokens);
        if (status == EXIT_DONE)
            status = draw_quadratic(d, state);
    }
    return status;
}

static int
int_order(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The option's numbers, rising, each once. */
static bool
figure_list(Options *o, OptId id, const char *otherwise, int64_t most, const int64_t **out,
            int *count)
{
    IntList *list = arena_alloc(o->arena, sizeof *list);
    if (!opt_given(o, id))
        o->value[id].text = otherwise;
    if (!list_parse(o, id, 1, most, list))
        return false;
    qsort(list->n, (size_t)list->count, sizeof list->n[0], int_order);
    *count = 0;
    for (int i = 0; i < list->count; i++)
        if (i == 0 || list->n[i] != list->n[i - 1])
            list->n[(*count)++] = list->n[i];
    *out = list->n;
    if (*count > 0)
        return true;
    option_fault(o, id, "--%s wants at least one number", opt_info[id].name);
    return false;
}

static int
figure_begin(Options *o, Figure *f, Machine *machine)
{
    const char *why = NULL;
    int threads = 0;
    if (o->model)
        return fault(EXIT_BAD_INPUT, "--figure takes no MODEL, but found '%s'", o->model);
    if (!output_possible(o, OPT_figure) || !output_possible(o, OPT_points))
        return EXIT_BAD_INPUT;
    if (!cg_machine(o->arena, opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : "native", machine,
                    &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    const int status = threads_from(o, &threads);
    *f = (Figure){
        .size = {.heads = 24, .head_dim = 64, .groups = 1},
        .machine = arena_printf(o->arena, "%s, %d thread%s, ssmc %s", machine->cpu, threads,
                                threads == 1 ? "" : "s", SSMC_VERSION),
        .repeats = (int)o->value[OPT_repeats].i
    };
    if (status != EXIT_DONE)
        return status;
    if (!figure_list(o, OPT_state, states, 4096, &f->states, &f->nstates) ||
        !figure_list(o, OPT_bench_prefill, lengths, 1 << 20, &f->tokens, &f->ntokens))
        return EXIT_BAD_INPUT;
    f->points =
        arena_array(o->arena, (size_t)(f->nstates * f->ntokens * FIGURE_FORMS), sizeof *f->points);
    return EXIT_DONE;
}

static int
figure_write(Options *o, OptId id, void (*put)(StrBuf *out, const Figure *figure), const Figure *f)
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

int
bench_figure(Options *o)
{
    Machine machine;
    Figure *figure = arena_alloc(o->arena, sizeof *figure);
    int status = figure_begin(o, figure, &machine);
    if (status != EXIT_DONE)
        return status;
    Drawing d = {.o = o, .figure = figure, .bar = progress_start("measuring")};
    d.planned = figure->nstates * figure->ntokens * (machine.bf16_dot ? FIGURE_FORMS : 3);
    status = draw_all(&d, &machine);
    progress_end(&d.bar);
    if (status == EXIT_DONE)
        status = figure_write(o, OPT_points, figure_put_csv, figure);
    return status == EXIT_DONE ? figure_write(o, OPT_figure, figure_put_page, figure) : status;
}
