/* explore/sweep.c -- a sweep run: batches of points within the budget, rows to the table and the
 * file of results as they come, the page at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "explore/sweep.h"

const char *const hold_name[HOLD_COUNT] = {
#define HOLD_NAME(id, word) [id] = word,
    HOLDS(HOLD_NAME)};

/* Points of a group that are measured in turn. */
typedef struct {
    const Group *group;
    Point **points; /* in the order in which they are measured */
    int count;
} Work;

typedef struct {
    Arena *arena;
    const Wish *wish;
    const Listener *listener;
    Plan plan;
    ExploreTable *table;
    ExploreFile file; /* path NULL: none */
    BenchProbes *probes;
    BenchCeilings ceilings[BENCH_MAX_THREADS]; /* of this run; the table's are its file's */
    Work *work;
    int nwork, cap;
    double deadline;     /* of the budget */
    double each;         /* seconds of a point and pass so far; 0: not known */
    int64_t done, total; /* steps: compiling a point, a pass over it */
    const char *broken;  /* a row that cannot be kept; NULL: none */
} Explore;

/* ---- rows ---------------------------------------------------------------------------------- */

static bool
is_stopped(void *user)
{
    const Explore *e = user;
    return e->wish->interrupted() || e->broken;
}

static void
count_step(void *user)
{
    Explore *e = user;
    e->done++;
    tell_progress(e->listener, "exploring", e->done, e->total);
}

/* A point that was not measured is no result, and what the file had stays as it is. A row's texts
 * are its batch's; the table's stay. */
static bool
take_row(void *user, const ExploreRow *row)
{
    Explore *e = user;
    if (strcmp(row->status, explore_unmeasured) == 0 || explore_find(e->table, row))
        return true;
    ExploreRow kept = *row;
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const char **text = (const char **)(void *)((char *)&kept + column_info[id].offset);
        if (column_info[id].kind == COLUMN_TEXT)
            *text = arena_strdup(e->arena, *text);
    }
    if (e->file.path && !explore_file_add(&e->file, e->arena, &kept, &e->broken))
        return false;
    explore_add(e->table, &kept);
    return true;
}

static bool
is_settled(const Explore *e, const Group *g, const Point *p)
{
    const IntList *tokens = &e->wish->tokens;
    for (int t = 0; t < e->plan.nthreads; t++)
        for (int i = 0; i < tokens->count; i++) {
            const ExploreRow key = plan_row(g, p, e->plan.threads[t], tokens->n[i]);
            if (!explore_find(e->table, &key))
                return false;
        }
    return true;
}

/* Every point that was asked for has its rows: those without numbers say why. */
static void
add_missing(Explore *e, const char *why)
{
    const IntList *tokens = &e->wish->tokens;
    for (int g = 0; g < e->plan.ngroups; g++)
        for (int p = 0; p < e->plan.groups[g].npoints; p++)
            for (int t = 0; t < e->plan.nthreads; t++)
                for (int i = 0; i < tokens->count; i++) {
                    ExploreRow row = plan_row(&e->plan.groups[g], &e->plan.groups[g].points[p],
                                              e->plan.threads[t], tokens->n[i]);
                    row.why = why;
                    if (!explore_find(e->table, &row))
                        explore_add(e->table, &row);
                }
}

/* ---- what is to be done -------------------------------------------------------------------- */

static void
work_plan(Explore *e)
{
    for (int g = 0; g < e->plan.ngroups; g++) {
        Group *group = &e->plan.groups[g];
        Work w = {.group = group};
        w.points = arena_array(e->arena, (size_t)group->npoints, sizeof *w.points);
        for (int p = 0; p < group->npoints; p++) { /* by level, and among equals as they are */
            if (is_settled(e, group, &group->points[p]))
                continue;
            int at = w.count++;
            for (; at > 0 && w.points[at - 1]->level > group->points[p].level; at--)
                w.points[at] = w.points[at - 1];
            w.points[at] = &group->points[p];
        }
        e->total += (int64_t)w.count * (1 + e->wish->repeats);
        if (w.count > 0)
            VEC_PUSH(e->arena, e->work, e->nwork, e->cap, w);
    }
}

/* Where even few passes over a group take more than its share of what is left, its finer points
 * wait until every group has had its turn. */
static void
work_split(Explore *e, Work *w, double share)
{
    enum { FEW = 3 }; /* compiling and two passes */
    int coarse = 0;
    while (coarse < w->count && w->points[coarse]->level == w->points[0]->level)
        coarse++;
    if (e->each <= 0 || e->each * FEW * w->count <= share || coarse == w->count)
        return;
    VEC_PUSH(e->arena, e->work, e->nwork, e->cap,
             ((Work){w->group, w->points + coarse, w->count - coarse}));
    w->count = coarse;
}

/* Each group has an equal share of what is left of the budget. */
static int
work_run(Explore *e, Bench *bench, int i)
{
    Work w = e->work[i];
    const double now = rt_now();
    if (e->wish->budget > 0) {
        const double share = (e->deadline - now) / (e->nwork - i);
        work_split(e, &w, share);
        bench->pace.enough = now + share;
        bench->pace.over = e->deadline;
    }
    const int64_t before = e->done;
    const int status = batch_run(bench, w.group, w.points, w.count);
    if (e->done > before)
        e->each = (rt_now() - now) / (double)(e->done - before);
    e->done = before + (int64_t)w.count * (1 + bench->pace.passes);
    return status;
}

static int
run_all(Explore *e)
{
    const int passes = e->wish->repeats;
    Bench bench = {
        .plan = &e->plan,
        .probes = e->probes,
        .ceilings = e->ceilings,
        .oracle = oracle_new(e->arena, &e->plan),
        .pace = {passes, INFINITY, INFINITY, is_stopped, count_step, e},
        .row = take_row,
        .user = e
    };
    int status = EXIT_DONE;
    tell_progress(e->listener, "exploring", 0, e->total);
    Anchor *anchor = e->nwork > 0 ? anchor_open(&bench) : NULL;
    bench.anchor = anchor_run(anchor);
    for (int i = 0; i < e->nwork && status == EXIT_DONE; i++)
        if (!is_stopped(e) && rt_now() < e->deadline)
            status = work_run(e, &bench, i);
    tell_progress(e->listener, "exploring", 0, 0);
    anchor_close(anchor);
    return status;
}

/* ---- before -------------------------------------------------------------------------------- */

/* What the file of results says of this run. By its constants choices and predictions are made:
 * where they were measured, and a hash of them. */
static void
head_fill(Explore *e)
{
    const Job *job = e->wish->described;
    const FeCompile *c = &job->fe.compile;
    const CostTable *costs = &job->machine.costs;
    const char **head = e->table->head;
    char made[64] = "";
    const time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts))
        strftime(made, sizeof made, "%Y-%m-%d %H:%M %z", &parts);
    StrBuf text = {0};
    costs_print(&text, costs);
    const uint64_t hash = hash_bytes(sb_text(&text), text.len, 0);
    sb_free(&text);
    head[HEAD_ssmc] = SSMC_VERSION;
    head[HEAD_model] = job->fe.graph->name;
    head[HEAD_identity] =
        arena_printf(e->arena, "%016llx", (unsigned long long)job->fe.graph->identity);
    head[HEAD_machine] = explore_machine(e->arena, &job->machine);
    head[HEAD_settings] = arena_printf(
        e->arena,
        "hold %s, %d tokens decoded, group %lld, states %s, kept %s, matmul %s, blas %s%s",
        hold_name[e->wish->hold], EXPLORE_DECODE, (long long)c->group,
        dtype_info[c->state_dtype].name, c->kept_chosen ? dtype_info[c->kept_dtype].name : "auto",
        c->matmul, c->blas, c->reproducible ? ", reproducible" : "");
    head[HEAD_weights] = e->plan.weights_doc;
    head[HEAD_costs] =
        arena_printf(e->arena, "%s (%08x)", costs->source, (unsigned)(hash & UINT32_MAX));
    head[HEAD_made] = arena_strdup(e->arena, made);
}

static int
ceilings_measure(Explore *e)
{
    const char *why = NULL;
    int most = 1;
    for (int t = 0; t < e->plan.nthreads; t++)
        most = e->plan.threads[t] > most ? e->plan.threads[t] : most;
    e->probes = bench_probes_open(e->arena, &e->wish->described->machine, most, &why);
    if (!e->probes)
        return tell_fault(e->listener, EXIT_FAILED, "%s", why);
    for (int t = 0; t < e->plan.nthreads; t++)
        e->ceilings[t] = bench_ceilings(e->probes, e->plan.threads[t]);
    memcpy(e->table->ceilings, e->ceilings, sizeof e->ceilings);
    e->table->nceilings = e->plan.nthreads;
    return EXIT_DONE;
}

/* The file of results is there, and a page could be written, before anything is measured. */
static int
files_open(Explore *e)
{
    const Wish *w = e->wish;
    const char *why = NULL;
    bool users = false;
    if (w->html && !explore_page_check(e->arena, w->html, &why))
        return tell_fault(e->listener, EXIT_FAILED, "%s", why);
    if (!w->csv || explore_file_open(&e->file, w->csv, w->resume, e->table, &why, &users))
        return EXIT_DONE;
    e->file.path = NULL;
    return tell_fault(e->listener, users ? EXIT_BAD_INPUT : EXIT_FAILED, "%s", why);
}

static int
prepare(Explore *e)
{
    int status = plan_make(e->wish, &e->plan);
    if (status != EXIT_DONE)
        return status;
    head_fill(e);
    status = ceilings_measure(e);
    if (status == EXIT_DONE)
        status = files_open(e);
    if (status != EXIT_DONE)
        return status;
    e->deadline = INFINITY;
    if (e->wish->budget > 0) /* a little is kept for what comes after */
        e->deadline = e->wish->started + 0.98 * e->wish->budget;
    work_plan(e);
    return EXIT_DONE;
}

/* ---- after --------------------------------------------------------------------------------- */

/* What is left undone, and how to go on. */
static int
tell_rest(const Explore *e)
{
    const bool interrupted = e->wish->interrupted();
    int rest = 0;
    for (int i = 0; i < e->table->nrows; i++)
        rest += strcmp(e->table->rows[i].status, explore_unmeasured) == 0;
    if (e->broken)
        return tell_fault(e->listener, EXIT_FAILED, "%s; what was measured before is kept",
                          e->broken);
    if (rest > 0)
        tell_text(e->listener, TOLD_notes, "%s: %d of %d rows are not measured%s\n",
                  interrupted ? "interrupted" : "the budget is over", rest, e->table->nrows,
                  e->file.path ? "; --resume goes on" : "");
    return interrupted ? EXIT_FAILED : EXIT_DONE;
}

static int
page_write(Explore *e)
{
    StrBuf page = {0};
    const char *why = NULL;
    explore_put_page(&page, e->table);
    const bool ok = file_write(e->arena, e->wish->html, page.text, page.len, &why);
    sb_free(&page);
    return ok ? EXIT_DONE : tell_fault(e->listener, EXIT_FAILED, "%s", why);
}

static int
finish(Explore *e)
{
    const char *why = NULL;
    int status = EXIT_DONE;
    add_missing(e, e->wish->interrupted() ? "interrupted"
                   : e->broken            ? "the run ended"
                                          : "the budget was over");
    if (e->file.path && !explore_file_end(&e->file, e->table, &why) && !e->broken)
        status = tell_fault(e->listener, EXIT_FAILED, "%s", why);
    qsort(e->table->rows, (size_t)e->table->nrows, sizeof *e->table->rows, explore_row_order);
    const int page = e->wish->html ? page_write(e) : EXIT_DONE, rest = tell_rest(e);
    return status != EXIT_DONE ? status : page != EXIT_DONE ? page : rest;
}

int
explore_run(const Wish *wish, ExploreTable *table, bool *made)
{
    Explore e = {.arena = wish->arena,
                 .wish = wish,
                 .listener = wish->described->settings.listener,
                 .table = table};
    *table = (ExploreTable){.arena = wish->arena};
    int status = prepare(&e);
    *made = status == EXIT_DONE;
    if (*made) {
        const int ran = run_all(&e);
        status = finish(&e);
        status = ran != EXIT_DONE && !e.broken ? ran : status;
    }
    bench_probes_close(e.probes);
    return status;
}
