/* driver/tune_ssd.c -- the designed set of SSDs: run, counted, fitted. */
#include <math.h>
#include <stdlib.h>

#include "driver/tune.h"

enum { REPEATS = 5 };

static const SsdForm recurrent = {"recurrent", "f32", "auto"};
static const SsdForm chunks[2][9] = {
    {{"chunked", "f32", "16"},
     {"chunked", "f32", "24"},
     {"chunked", "f32", "32"},
     {"chunked", "f32", "48"},
     {"chunked", "f32", "64"},
     {"chunked", "f32", "96"},
     {"chunked", "f32", "128"},
     {"chunked", "f32", "192"},
     {"chunked", "f32", "256"} },
    {{"chunked", "bf16", "16"},
     {"chunked", "bf16", "24"},
     {"chunked", "bf16", "32"},
     {"chunked", "bf16", "48"},
     {"chunked", "bf16", "64"},
     {"chunked", "bf16", "96"},
     {"chunked", "bf16", "128"},
     {"chunked", "bf16", "192"},
     {"chunked", "bf16", "256"}},
};

/* State sizes of published models and half and twice them, by the head dims that tiles like and one
 * that they do not; many groups, which share less. */
const TuneSize tune_sizes[] = {
    {1536, 64,  16,  1,  1},
    {1536, 64,  32,  1,  1},
    {1536, 64,  64,  1,  1},
    {1536, 64,  128, 1,  1},
    {1536, 64,  256, 1,  1},
    {1536, 32,  16,  1,  2},
    {1536, 32,  64,  1,  2},
    {1536, 32,  128, 1,  2},
    {1536, 32,  256, 1,  3},
    {1536, 128, 16,  1,  2},
    {1536, 128, 64,  1,  2},
    {1536, 128, 128, 1,  2},
    {1536, 128, 256, 1,  3},
    {1536, 96,  96,  1,  3},
    {1536, 64,  64,  8,  3},
    {1536, 64,  128, 8,  3},
    {1536, 64,  128, 24, 4},
};
const int tune_size_count = (int)COUNT_OF(tune_sizes);

/* ---- running ----------------------------------------------------------------------------- */

static ssmc_status
measure(TunePoint *p, BenchSsdRun *run)
{
    BenchSample sample = {0};
    const ssmc_status rs = bench_ssd_time(run, p->tokens, &sample);
    p->seconds = sample.best; /* what others do to the machine only adds */
    return rs;
}

static TunePoint
point_of(const Tune *t, const BenchSsd *size, const SsdForm *form, int64_t tokens)
{
    TunePoint p = {.size = *size, .form = form, .tokens = tokens};
    p.cost = (CostSsd){.heads = size->heads,
                       .head_dim = size->head_dim,
                       .state = size->state,
                       .groups = size->groups,
                       .chunk = atoll(form->chunk),
                       .bf16 = form->dtype[0] == 'b',
                       .block = size->block,
                       .threads = t->threads};
    (void)form_by_name(form->form, &p.cost.form);
    p.kind = cost_kind(&t->machine, &p.cost);
    cost_count(&t->machine, &p.cost, tokens, p.count);
    return p;
}

/* The points of one compiled SSD, which differ by their tokens. */
static int
run_points(Tune *t, TunePoint *points, int count)
{
    Job job;
    Options o = *t->o;
    BenchSsdRun run = {.repeats = REPEATS};
    ssmc_status rs = SSMC_OK;
    o.arena = arena_new();
    int status = ssd_open(&job, &o, &points[0].size, points[0].form, &run);
    for (int i = 0; i < count && status == EXIT_DONE && rs == SSMC_OK; i++)
        rs = measure(&points[i], &run);
    if (rs != SSMC_OK)
        status = runtime_fault(rs);
    ssmc_session_close(run.session);
    job_end(&job);
    arena_free(o.arena);
    return status;
}

static void
plan_one(Tune *t, const BenchSsd *size, const SsdForm *form)
{
    const int64_t tokens[] = {size->block, 64, 7};
    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        VEC_PUSH(t->arena, t->points, t->count, t->cap, point_of(t, size, form, tokens[i]));
}

enum { TOKENS = 3 }; /* of a compiled SSD */

static void
plan(Tune *t, const TuneSize *size, int number)
{
    const int dots = t->machine.bf16_dot ? 2 : 1;
    BenchSsd z = {.heads = size->inner / size->head_dim,
                  .head_dim = size->head_dim,
                  .state = size->state,
                  .groups = size->groups,
                  .block = 512};
    plan_one(t, &z, &recurrent);
    for (int d = 0; d < dots; d++) {
        z.block = d ? 256 : 512; /* as compile.block is */
        for (int q = (number + d) % size->every; q < (int)COUNT_OF(chunks[d]); q += size->every)
            plan_one(t, &z, &chunks[d][q]);
    }
}

/* ---- fitting ----------------------------------------------------------------------------- */

static double
error_of(const Tune *t, const TunePoint *p)
{
    return fabs(cost_ssd(&t->machine, &p->cost, p->tokens) / p->seconds - 1);
}

static void
fit_kind(Tune *t, CostKind kind)
{
    double *count = arena_array(t->arena, (size_t)t->count * COST_TERMS, sizeof *count);
    double *measured = arena_array(t->arena, (size_t)t->count, sizeof *measured);
    BenchFit fit = {.terms = COST_TERMS, .count = count, .measured = measured};
    for (int i = 0; i < t->count; i++) {
        const TunePoint *p = &t->points[i];
        if (p->kind != kind)
            continue;
        for (int k = 0; k < COST_TERMS; k++)
            count[fit.rows * COST_TERMS + k] = p->count[k];
        measured[fit.rows++] = 1e9 * p->seconds;
    }
    bench_fit(&fit, t->machine.costs.term[kind]);
}

static void
fit_all(Tune *t)
{
    for (int kind = 0; kind < COST_KINDS; kind++)
        fit_kind(t, (CostKind)kind);
    if (!t->machine.bf16_dot) /* never asked: pairs are multiplied as f32 there */
        for (int k = 0; k < COST_TERMS; k++)
            t->machine.costs.term[COST_chunked_bf16][k] =
                t->machine.costs.term[COST_chunked_f32][k];
}

/* What is far from the fit was disturbed, or is slow indeed: the second measurement tells. */
static int
run_again(Tune *t)
{
    const double far = 0.12;
    int status = EXIT_DONE;
    for (int i = 0; i < t->count && status == EXIT_DONE; i += TOKENS) {
        TunePoint again[TOKENS];
        bool misses = false;
        for (int k = 0; k < TOKENS; k++) {
            again[k] = t->points[i + k];
            misses = misses || error_of(t, &again[k]) > far;
        }
        if (!misses)
            continue;
        status = run_points(t, again, TOKENS);
        for (int k = 0; k < TOKENS; k++)
            t->points[i + k].seconds = fmin(t->points[i + k].seconds, again[k].seconds);
    }
    return status;
}

int
tune_ssd(Tune *t, const TuneSize *sizes, int count)
{
    int status = EXIT_DONE;
    for (int i = 0; i < count; i++)
        plan(t, &sizes[i], i);
    for (int i = 0; i < t->count && status == EXIT_DONE; i += TOKENS) {
        status = run_points(t, &t->points[i], TOKENS);
        progress_step(&t->bar, i, t->count);
    }
    if (status != EXIT_DONE)
        return status;
    fit_all(t);
    status = run_again(t);
    fit_all(t);
    return status;
}

/* ---- errors ------------------------------------------------------------------------------ */

static int
double_order(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int
tune_errors(const Tune *t, CostKind kind, double *errors)
{
    int n = 0;
    for (int i = 0; i < t->count; i++)
        if (t->points[i].kind == kind)
            errors[n++] = error_of(t, &t->points[i]);
    qsort(errors, (size_t)n, sizeof *errors, double_order);
    return n;
}
