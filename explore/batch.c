/* explore/batch.c -- points of one group: each is compiled, all borrow the packed weights of
 * the first where these are equal, and all are measured in turn. */
#include <stdlib.h>
#include <string.h>

#include "explore/sweep.h"

/* A point while it is there. */
typedef struct {
    const Point *point;
    Arena *arena;
    Faults faults;
    Job job;
    const char *status; /* explore_ok: it can be measured */
    ExploreRow *rows;   /* [nrows] by threads and length */
    int nrows;
} Built;

typedef struct {
    const Bench *bench;
    const Group *group;
    Built *built;
    int count;
    ExploreCase *cases;
    int ncases;
} Batch;

/* ---- building ------------------------------------------------------------------------------ */

static void
rows_all(Built *p, const char *status, const char *why)
{
    p->status = status;
    for (int i = 0; i < p->nrows; i++) {
        p->rows[i].status = status;
        p->rows[i].why = why;
    }
}

/* Whether so much more memory can be taken; otherwise the point says so. */
static bool
has_room(Built *p, int64_t bytes)
{
    const double gib = 1 << 30;
    const int64_t there = explore_memory_free();
    if (bytes <= there)
        return true;
    rows_all(p, explore_no_room,
             arena_printf(p->arena, "it takes %.2f GiB of memory, and %.2f GiB are free",
                          (double)bytes / gib, (double)there / gib));
    return false;
}

static int64_t
most_tokens(const Plan *plan)
{
    const IntList *tokens = &plan->wish->tokens;
    int64_t most = 1;
    for (int i = 0; i < tokens->count; i++)
        most = tokens->n[i] > most ? tokens->n[i] : most;
    return most;
}

/* A model that borrows the weights of the first that is built, or one of its own if memory has room
 * for it. */
static int
built_model(const Batch *b, Built *p)
{
    const Plan *plan = b->bench->plan;
    const Job *owner = NULL;
    for (int i = b->count; i-- > 0;)
        owner = b->built[i].status == explore_ok ? &b->built[i].job : owner;
    const ssmc_memory m = ssmc_program_memory(p->job.program, 1, plan->described->threads);
    const size_t kept = rt_kept_full(p->job.program, most_tokens(plan));
    const size_t most = INT64_MAX / BENCH_MAX_THREADS;
    if (m.total > most || kept > most - m.total)
        return has_room(p, INT64_MAX) ? EXIT_DONE : EXIT_FAILED;
    const int64_t sessions = (int64_t)(m.total - m.kept - m.params + kept) * plan->nthreads;
    if (owner) {
        const ssmc_status rs =
            rt_model_beside(p->job.program, p->job.weights, owner->model, &p->job.model);
        if (rs != SSMC_OK)
            return tell_runtime_fault(&p->faults.listener, rs);
    }
    if (!has_room(p, sessions + (p->job.model ? 0 : (int64_t)(m.kept + m.params))))
        return EXIT_FAILED;
    return p->job.model ? EXIT_DONE : job_model(&p->job);
}

static void
built_make(const Batch *b, Built *p)
{
    const Plan *plan = b->bench->plan;
    faults_begin(&p->faults, plan);
    const Settings settings = plan_settings(plan, b->group, p->point, &p->faults.listener);
    int status = b->group->why ? EXIT_BAD_INPUT : job_describe(&p->job, p->arena, &settings);
    if (status == EXIT_DONE)
        status = job_weights(&p->job, true);
    if (status == EXIT_DONE)
        status = job_program(&p->job);
    if (status == EXIT_DONE)
        status = built_model(b, p);
    if (status == EXIT_DONE)
        rows_all(p, explore_ok, "");
    else if (!p->status)
        rows_all(p, explore_unbuilt,
                 b->group->why ? b->group->why : faults_why(p->arena, &p->faults));
}

/* ---- measuring ----------------------------------------------------------------------------- */

static void
case_make(Batch *b, Built *p)
{
    const Bench *bench = b->bench;
    const Plan *plan = bench->plan;
    ExploreCase *c = &b->cases[b->ncases++];
    ExploreRow facts = explore_row();
    const char *why = "";
    bench_run_of(&c->run, &p->job);
    c->run.probes = bench->probes;
    c->run.repeats = bench->pace.passes;
    c->run.nthreads = plan->nthreads;
    memcpy(c->run.threads, plan->threads, sizeof c->run.threads);
    memcpy(c->run.ceilings, bench->ceilings, sizeof c->run.ceilings);
    c->rows = p->rows;
    explore_case_items(c, plan->wish->tokens.n, plan->wish->tokens.count, EXPLORE_DECODE);
    explore_case_describe(c, p->job.program);
    oracle_measure(bench->oracle, b->group, p->point, &facts, &why);
    for (int i = 0; i < c->nrows; i++) {
        const int64_t tokens = c->rows[i].tokens;
        c->rows[i].predicted_tps =
            (double)tokens / cost_prefill(&p->job.machine, p->job.graph[ENTRY_prefill],
                                          (int)c->rows[i].threads, tokens);
        c->rows[i].compile_ms = 1e3 * p->job.seconds_compile;
        c->rows[i].error = facts.error;
        c->rows[i].error_tokens = facts.error_tokens;
        c->rows[i].why = why;
        c->rows[i].status = explore_unmeasured; /* until it has numbers */
    }
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void
batch_build(Batch *b)
{
    const ExplorePace *pace = &b->bench->pace;
    const Plan *plan = b->bench->plan;
    const IntList *tokens = &plan->wish->tokens;
    for (int i = 0; i < b->count; i++) {
        Built *p = &b->built[i];
        p->arena = arena_new();
        p->rows = arena_array(p->arena, (size_t)(plan->nthreads * tokens->count), sizeof *p->rows);
        for (int t = 0; t < plan->nthreads; t++)
            for (int k = 0; k < tokens->count; k++)
                p->rows[p->nrows++] = plan_row(b->group, p->point, plan->threads[t], tokens->n[k]);
        if (pace->stop(pace->user) || rt_now() >= pace->over)
            continue;
        built_make(b, p);
        if (p->status == explore_ok)
            case_make(b, p);
        pace->step(pace->user);
    }
}

static void
built_end(Built *p)
{
    job_end(&p->job);
    sb_free(&p->faults.text);
    arena_free(p->arena);
}

int
batch_run(const Bench *bench, const Group *group, Point *const *points, int count)
{
    Arena *arena = arena_new();
    Batch b = {.bench = bench, .group = group, .count = count};
    b.built = arena_array(arena, (size_t)count, sizeof *b.built);
    b.cases = arena_array(arena, (size_t)count, sizeof *b.cases);
    for (int i = 0; i < count; i++)
        b.built[i].point = points[i];
    batch_build(&b);
    ssmc_status rs = SSMC_OK;
    for (int i = 0; i < b.ncases && rs == SSMC_OK; i++)
        rs = bench_ready(arena, &b.cases[i].run);
    if (rs == SSMC_OK && b.ncases > 0)
        rs = explore_measure(arena, b.cases, b.ncases, bench->anchor, &bench->pace);
    for (int i = 0; i < b.ncases; i++) {
        b.cases[i].run.probes = NULL; /* others' */
        bench_end(&b.cases[i].run);
    }
    int status = rs == SSMC_OK ? EXIT_DONE
                               : tell_runtime_fault(bench->plan->described->settings.listener, rs);
    for (int i = 0; i < count && status == EXIT_DONE; i++)
        for (int k = 0; k < b.built[i].nrows && status == EXIT_DONE; k++)
            status = bench->row(bench->user, &b.built[i].rows[k]) ? EXIT_DONE : EXIT_FAILED;
    for (int i = count; i-- > 0;) /* models that borrow go before the one that owns */
        built_end(&b.built[i]);
    arena_free(arena);
    return status;
}

/* ---- the anchor ---------------------------------------------------------------------------- */

struct Anchor {
    Built built;
    BenchRun run;
};

/* It reads two passes, with the most threads. */
Anchor *
anchor_open(const Bench *bench)
{
    const Plan *plan = bench->plan;
    const Group as_is = {
        .size = {-1, -1, -1, -1},
          .inner = -1, .format = plan->described->fe.compile.format
    };
    const Batch b = {.bench = bench, .group = &as_is};
    Anchor *a = arena_alloc(plan->arena, sizeof *a);
    BenchRun *run = &a->run;
    a->built.arena = arena_new();
    built_make(&b, &a->built);
    if (a->built.status == explore_ok) {
        bench_run_of(run, &a->built.job);
        run->probes = bench->probes;
        run->repeats = bench->pace.passes;
        run->nthreads = 1;
        run->threads[0] = plan->threads[plan->nthreads - 1];
        run->ceilings[0] = bench->ceilings[plan->nthreads - 1];
        run->items[run->nitems++] = (BenchItem){
            .entry = ENTRY_prefill, .tokens = 2 * run->graph[ENTRY_prefill]->block, .batch = 1};
        if (bench_ready(a->built.arena, run) == SSMC_OK)
            return a;
    }
    anchor_close(a);
    return NULL;
}

BenchRun *
anchor_run(Anchor *a)
{
    return a ? &a->run : NULL;
}

void
anchor_close(Anchor *a)
{
    if (!a)
        return;
    a->run.probes = NULL; /* others' */
    bench_end(&a->run);
    built_end(&a->built);
}
