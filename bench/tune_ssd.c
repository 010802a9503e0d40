/* bench/tune_ssd.c -- the designed set of SSDs: run, counted, fitted. */
#include <math.h>
#include <stdlib.h>

#include "bench/tune.h"

enum { REPEATS = 5 };

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

void
tune_begin(Tune *t, Arena *arena, const Machine *machine, int threads, const Listener *listener)
{
    Machine *shipped = arena_alloc(arena, sizeof *shipped);
    Listener *quiet = arena_alloc(arena, sizeof *quiet); /* the bar is of all models together */
    *t = (Tune){.arena = arena, .listener = listener, .machine = *machine, .threads = threads};
    *shipped = *machine;
    *quiet = (Listener){.tell = listener->tell, .user = listener->user};
    t->settings = settings_new("tune", quiet);
    t->settings.machine = shipped; /* what is measured must not depend on what was */
    t->settings.threads = threads;
}

Machine
tune_machine(const Tune *t, bool vectors)
{
    Machine m = t->machine;
    if (vectors)
        m.matrix = (MatrixUnit){0};
    return m;
}

Settings
tune_settings(const Tune *t, bool vectors, Machine *machine)
{
    Settings settings = t->settings;
    *machine = tune_machine(t, vectors);
    machine->costs = settings.machine->costs;
    settings.machine = machine;
    return settings;
}

/* The points of one compiled SSD, which differ by their tokens. */
static int
run_points(Tune *t, TunePoint *points, int count)
{
    Job job = {0};
    Arena *arena = arena_new();
    Machine machine;
    Settings settings = tune_settings(t, points[0].vectors, &machine);
    BenchMixerRun run = {.repeats = REPEATS};
    settings.form = points[0].cost.form;
    settings.chunk = points[0].cost.chunk > 0 ? points[0].cost.chunk : CHUNK_AUTO;
    settings.format = points[0].cost.bf16 ? FORMAT_bf16 : FORMAT_f32;
    int status = bench_mixer_open(&job, arena, &settings, &points[0].size, &run);
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        BenchSample sample = {0};
        const ssmc_status rs = bench_mixer_time(&run, points[i].tokens, 1, &sample);
        points[i].seconds = sample.best; /* what others do to the machine only adds */
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(t->listener, rs);
    }
    bench_mixer_close(&job, &run);
    arena_free(arena);
    return status;
}

enum { TOKENS = 3 }; /* numbers of them, of a compiled SSD */

/* chunk 0: the recurrent form. */
static void
plan_one(Tune *t, const TuneSize *size, int64_t chunk, bool bf16, bool vectors)
{
    const Machine machine = tune_machine(t, vectors);
    const int64_t block = cost_pass_tokens(&machine, bf16 ? FORMAT_bf16 : FORMAT_f32, NULL);
    const int64_t tokens[TOKENS] = {block, 64, 7};
    for (int i = 0; i < TOKENS; i++) {
        TunePoint p = {
            .size = {.heads = size->inner / size->head_dim,
                     .head_dim = size->head_dim,
                     .state = size->state,
                     .groups = size->groups,
                     .block = block},
            .tokens = tokens[i],
            .vectors = vectors
        };
        p.cost = (CostSsd){.heads = p.size.heads,
                           .head_dim = size->head_dim,
                           .state = size->state,
                           .groups = size->groups,
                           .form = chunk > 0 ? FORM_CHUNKED : FORM_RECURRENT,
                           .chunk = chunk,
                           .bf16 = bf16,
                           .block = block,
                           .threads = t->threads};
        p.kind = cost_kind(&machine, &p.cost);
        cost_count(&machine, &p.cost, tokens[i], p.count);
        VEC_PUSH(t->arena, t->points, t->count, t->cap, p);
    }
}

/* What chunks multiply, and on what. */
static const struct {
    bool bf16, vectors;
} chunk_dots[] = {
    {false, false},
    {true,  true },
    {true,  false},
};

static void
plan(Tune *t, const TuneSize *size, int number)
{
    int count = 0;
    while (cost_chunks[count])
        count++;
    plan_one(t, size, 0, false, false);
    for (int d = 0; d < (int)COUNT_OF(chunk_dots); d++) {
        const bool vectors = chunk_dots[d].vectors, bf16 = chunk_dots[d].bf16;
        if (bf16 && !(vectors ? t->machine.bf16_dot : t->machine.matrix.bf16))
            continue;
        for (int q = (number + d) % size->every; q < count; q += size->every)
            plan_one(t, size, cost_chunks[q], bf16, vectors);
    }
}

/* ---- fitting ----------------------------------------------------------------------------- */

double
tune_predicted(const Tune *t, const TunePoint *p)
{
    const Machine machine = tune_machine(t, p->vectors);
    return cost_ssd(&machine, &p->cost, p->tokens);
}

static double
error_of(const Tune *t, const TunePoint *p)
{
    return fabs(tune_predicted(t, p) / p->seconds - 1);
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
        if (kind != COST_chunked_matrix || t->machine.matrix.bf16) /* else what was shipped stays */
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
        tell_progress(t->listener, "measuring", i, t->count);
    }
    if (status != EXIT_DONE)
        return status;
    fit_all(t);
    status = run_again(t);
    fit_all(t);
    return status;
}

/* ---- errors ------------------------------------------------------------------------------ */

int
tune_errors(const Tune *t, CostKind kind, double *errors)
{
    int n = 0;
    for (int i = 0; i < t->count; i++)
        if (t->points[i].kind == kind)
            errors[n++] = error_of(t, &t->points[i]);
    return n;
}
