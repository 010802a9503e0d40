/* driver/explore_plan.c -- every point that a sweep asks for: what each is built with, what it is
 * called, and in which order they are measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/explore.h"

enum { MOST_POINTS = 10000 };

/* ---- options of a point -------------------------------------------------------------------- */

void
options_set(Options *o, const char *set)
{
    OptValue *v = &o->value[OPT_set];
    v->given = true;
    VEC_PUSH(o->arena, v->list, v->count, v->cap, set);
}

static void
option_put(Options *o, OptId id, const char *text)
{
    o->value[id].given = text != NULL;
    o->value[id].text = text;
}

static void
put_sizes(Options *o, const Group *g)
{
    static const char *const key[AXIS_COUNT] = {
        [AXIS_state] = "state", [AXIS_head_dim] = "head_dim", [AXIS_groups] = "groups"};
    for (int a = 0; a < AXIS_COUNT; a++)
        if (g->size[a] > 0)
            options_set(o,
                        arena_printf(o->arena, "layers.*.%s=%lld", key[a], (long long)g->size[a]));
    if (g->inner > 0)
        options_set(o, arena_printf(o->arena, "layers.*.inner=%lld", (long long)g->inner));
}

Options
plan_options(const Plan *plan, const Group *g, const Point *point, Arena *arena, StrBuf *faults)
{
    Options o = *plan->wish->o;
    OptValue *sets = &o.value[OPT_set];
    const char *const *given = sets->list;
    const int count = sets->count;
    o.arena = arena;
    o.faults = faults;
    sets->list = NULL;
    sets->count = sets->cap = 0;
    for (int i = 0; i < count; i++)
        options_set(&o, given[i]);
    if (plan->weights)
        options_set(&o, plan->weights);
    put_sizes(&o, g);
    option_put(&o, OPT_dtype, format_info[g->format].name);
    const bool automatic = !point || strcmp(point->form, "mixed") == 0;
    option_put(&o, OPT_form, automatic ? NULL : point->form);
    option_put(&o, OPT_chunk,
               !automatic && point->chunk > 0 ? arena_printf(arena, "%lld", (long long)point->chunk)
                                              : NULL);
    return o;
}

/* ---- what a group is ----------------------------------------------------------------------- */

static const Node *
first_ssd(const Graph *g, int64_t *count)
{
    const Node *first = NULL;
    *count = 0;
    for (const Node *n = g->first; n; n = n->next)
        if (op_has_forms(n->op) && (*count)++ == 0)
            first = n;
    return first;
}

static int64_t
count_values(Value *const *values, int count)
{
    int64_t sum = 0, n = 0;
    for (int i = 0; i < count; i++)
        if (type_count(&values[i]->type, 0, 0, &n) && !size_add(sum, n, &sum))
            return INT64_MAX;
    return sum;
}

/* The held quantity of a description. */
static int64_t
held_of(const Graph *g, Hold hold)
{
    return hold == HOLD_STATE ? count_values(g->states, g->nstates)
                              : count_values(g->weights, g->nweights);
}

const char *
plan_why(Arena *arena, const char *faults)
{
    static const char mark[] = ": error: ";
    StrBuf text = {0};
    for (const char *at = strstr(faults, mark); at; at = strstr(at, mark)) {
        at += strlen(mark);
        sb_puts(&text, text.len ? "; " : "");
        sb_putn(&text, at, strcspn(at, "\n"));
    }
    if (!text.len)
        sb_putn(&text, faults, strcspn(faults, "\n"));
    const char *why = arena_strdup(arena, sb_text(&text));
    sb_free(&text);
    return why;
}

/* Runs `look` on the description of a group's job. False: group->why. */
static bool
with_description(const Plan *plan, Group *g, void (*look)(Group *g, Job *job, void *user),
                 void *user)
{
    Job job = {0};
    StrBuf faults = {0};
    Arena *arena = arena_new();
    Options o = plan_options(plan, g, NULL, arena, &faults);
    option_put(&o, OPT_stop_after, pass_info[PASS_choose_form].name);
    int status = job_describe(&job, &o);
    if (status == EXIT_DONE)
        look(g, &job, user);
    else
        g->why = plan_why(plan->arena, sb_text(&faults));
    job_end(&job);
    arena_free(arena);
    sb_free(&faults);
    return status == EXIT_DONE;
}

static void
look_at_sizes(Group *g, Job *job, void *user)
{
    const Node *ssd = first_ssd(job->fe.graph, &g->base.layers);
    (void)user;
    g->base.parameters = count_values(job->fe.graph->weights, job->fe.graph->nweights);
    if (!ssd)
        return;
    g->base.state = node_int(ssd, ATTR_state, -1);
    g->base.head_dim = node_int(ssd, ATTR_head_dim, -1);
    g->base.groups = node_int(ssd, ATTR_groups, -1);
    g->base.heads = node_int(ssd, ATTR_heads, -1);
}

/* ---- a budget held ------------------------------------------------------------------------- */

typedef struct {
    Hold hold;
    int64_t value;
} Held;

static void
look_at_held(Group *g, Job *job, void *user)
{
    Held *h = user;
    (void)g;
    h->value = held_of(job->fe.graph, h->hold);
}

/* The held quantity with inner widths of `units` heads' worth. */
static bool
held_with(const Plan *plan, Group *g, int64_t units, int64_t unit, int64_t *out)
{
    Held h = {plan->wish->hold, 0};
    g->inner = units * unit;
    const bool ok = with_description(plan, g, look_at_held, &h);
    *out = h.value;
    return ok;
}

/* The inner width whose held quantity is nearest: it grows with the width. Widths are whole heads
 * in every group. */
static bool
hold_budget(const Plan *plan, Group *g)
{
    const int64_t unit = g->base.head_dim * g->base.groups;
    int64_t low = 1, high = 1, at_low = 0, at_high = 0;
    if (unit < 1 || !held_with(plan, g, 1, unit, &at_low))
        return false;
    for (at_high = at_low; at_high < plan->held; high *= 2)
        if (!held_with(plan, g, 2 * high, unit, &at_high))
            return false;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        int64_t value = 0;
        if (!held_with(plan, g, middle, unit, &value))
            return false;
        *(value < plan->held ? &low : &high) = middle;
        *(value < plan->held ? &at_low : &at_high) = value;
    }
    const bool nearer_low = plan->held - at_low < at_high - plan->held;
    g->inner = (nearer_low ? low : high) * unit;
    return with_description(plan, g, look_at_sizes, NULL);
}

/* ---- what the compiler chooses ------------------------------------------------------------- */

static void
look_at_choice(Group *g, Job *job, void *user)
{
    Point *out = user;
    (void)g;
    if (job_passes(job, PHASE_PREFILL) != EXIT_DONE)
        return;
    for (const Node *n = job->graph[PHASE_PREFILL]->first; n; n = n->next) {
        if (!op_has_forms(n->op))
            continue;
        const int64_t chunk = node_int(n, ATTR_chunk, -1);
        const Point p = {.form = node_word(n, ATTR_form, "mixed"), .chunk = chunk > 0 ? chunk : -1};
        const bool same = !out->form || (strcmp(out->form, p.form) == 0 && out->chunk == p.chunk);
        *out = same ? p : (Point){.form = "mixed", .chunk = -1};
        if (!same)
            break;
    }
    for (int f = 0; out->form && f < FORM_COUNT; f++) /* the graph's words go with it */
        if (strcmp(out->form, explore_form_name[f]) == 0)
            out->form = explore_form_name[f];
}

static void
point_add(const Plan *plan, Group *g, Point p)
{
    g->points = arena_grow(plan->arena, g->points, (size_t)g->npoints, (size_t)g->npoints + 1,
                           sizeof *g->points);
    g->points[g->npoints++] = p;
}

static void
points_make(const Plan *plan, Group *g)
{
    const Wish *w = plan->wish;
    Point own = {.chunk = -1};
    for (int i = 0; w->form[FORM_chunked] && i < w->chunk.count; i++)
        point_add(plan, g,
                  (Point){.form = explore_form_name[FORM_chunked],
                          .chunk = w->chunk.n[i],
                          .level = explore_level(i, w->chunk.count)});
    for (int f = 0; f < FORM_COUNT; f++)
        if (f != FORM_chunked && w->form[f])
            point_add(plan, g, (Point){.form = explore_form_name[f], .chunk = -1});
    if (g->why || !with_description(plan, g, look_at_choice, &own) || !own.form)
        return;
    for (int i = 0; i < g->npoints; i++) {
        Point *p = &g->points[i];
        if (strcmp(p->form, own.form) != 0 || p->chunk != own.chunk)
            continue;
        p->chosen = true;
        p->level = 0;
        return;
    }
    own.chosen = true;
    point_add(plan, g, own);
}

/* ---- all of them --------------------------------------------------------------------------- */

static void
group_make(Plan *plan, Group *g)
{
    const Wish *w = plan->wish;
    g->base = explore_row();
    look_at_sizes(g, &plan->described, NULL); /* and what is asked for, should it not be built */
    g->base.heads = g->base.layers = g->base.parameters = -1;
    for (int a = 0; a < AXIS_COUNT; a++)
        if (g->size[a] > 0)
            *(a == AXIS_state      ? &g->base.state
              : a == AXIS_head_dim ? &g->base.head_dim
                                   : &g->base.groups) = g->size[a];
    g->base.dtype = format_info[g->format].name;
    if (with_description(plan, g, look_at_sizes, NULL) && w->hold != HOLD_NONE)
        hold_budget(plan, g);
    points_make(plan, g);
}

static int
group_order(const void *a, const void *b)
{
    const Group *x = a, *y = b;
    return x->level != y->level ? x->level - y->level : x->number - y->number;
}

/* Number i of the groups: the last axis turns fastest. */
static Group
group_at(const Plan *plan, int i)
{
    const Wish *w = plan->wish;
    Group g = {.inner = -1, .format = plan->described.fe.compile.format};
    if (w->nformats > 0) {
        g.format = w->formats[i % w->nformats];
        i /= w->nformats;
    }
    for (int a = AXIS_COUNT; a-- > 0;) {
        const IntList *axis = &w->axis[a];
        g.size[a] = -1;
        if (axis->count == 0)
            continue;
        g.size[a] = axis->n[i % axis->count];
        g.level += explore_level(i % axis->count, axis->count);
        i /= axis->count;
    }
    return g;
}

static int
groups_make(Plan *plan)
{
    const Wish *w = plan->wish;
    int64_t count = w->nformats > 0 ? w->nformats : 1;
    for (int a = 0; a < AXIS_COUNT; a++)
        count *= w->axis[a].count > 0 ? w->axis[a].count : 1;
    const int64_t each = (w->form[FORM_chunked] ? w->chunk.count : 0) + FORM_COUNT;
    const int64_t rows = count * each * plan->nthreads * w->tokens.count;
    if (count * each > MOST_POINTS || rows > EXPLORE_MOST_ROWS)
        return fault(EXIT_BAD_INPUT,
                     "these axes make %lld points and %lld rows; at most %d and %d can be: leave "
                     "some values out",
                     (long long)(count * each), (long long)rows, MOST_POINTS, EXPLORE_MOST_ROWS);
    plan->groups = arena_array(plan->arena, (size_t)count, sizeof *plan->groups);
    for (int i = 0; i < count; i++) {
        plan->groups[i] = group_at(plan, i);
        plan->groups[i].number = i;
        group_make(plan, &plan->groups[i]);
    }
    plan->ngroups = (int)count;
    return EXIT_DONE;
}

/* Sizes that change make other weights. */
static void
weights_choose(Plan *plan)
{
    const Graph *g = plan->described.fe.graph;
    bool sized = plan->wish->hold != HOLD_NONE;
    for (int a = 0; a < AXIS_COUNT; a++)
        sized = sized || plan->wish->axis[a].count > 0;
    const bool made = g->weights_path && strcmp(g->weights_path, "init:reference") == 0;
    const bool real = g->weights_path && !made && !sized;
    plan->weights = made || real ? NULL : "weights={init: reference, seed: 0}";
    plan->weights_doc =
        real   ? g->weights_path
        : made ? arena_printf(plan->arena, "random, by the reference initialisation, seed %lld",
                              (long long)g->seed)
        : g->weights_path ? "random, by the reference initialisation: other sizes than the "
                            "checkpoint's have no trained weights"
                          : "random, by the reference initialisation";
}

/* The model as it is, whose faults are the user's. */
static int
describe(Plan *plan)
{
    Options *o = plan->wish->o;
    if (o->model && has_suffix(o->model, ".ir"))
        return fault(EXIT_BAD_INPUT,
                     "%s is a graph: its sizes are fixed; ssmc explore wants a description",
                     o->model);
    Options *own = arena_alloc(plan->arena, sizeof *own);
    *own = *o;
    option_put(own, OPT_form, NULL);
    option_put(own, OPT_chunk, NULL);
    option_put(own, OPT_dtype, NULL);
    const int status = job_describe(&plan->described, own);
    if (status != EXIT_DONE)
        return status;
    int64_t layers;
    if (!first_ssd(plan->described.fe.graph, &layers))
        return fault(EXIT_BAD_INPUT, "%s has no SSD: there is nothing to explore", o->model);
    plan->held = held_of(plan->described.fe.graph, plan->wish->hold);
    return EXIT_DONE;
}

int
plan_make(const Wish *wish, Plan *plan)
{
    *plan = (Plan){.wish = wish, .arena = wish->arena};
    int status = describe(plan);
    if (status != EXIT_DONE)
        return status;
    plan->nthreads = wish->threads.count > 0 ? wish->threads.count : 1;
    plan->threads[0] = plan->described.threads;
    for (int i = 0; i < wish->threads.count; i++)
        plan->threads[i] = (int)wish->threads.n[i];
    weights_choose(plan);
    status = groups_make(plan);
    if (status == EXIT_DONE)
        qsort(plan->groups, (size_t)plan->ngroups, sizeof *plan->groups, group_order);
    return status;
}

void
plan_end(Plan *plan)
{
    if (plan->described.diag)
        job_end(&plan->described);
}

ExploreRow
plan_row(const Group *g, const Point *p, int threads, int64_t tokens)
{
    ExploreRow row = g->base;
    row.form = p->form;
    row.chunk = p->chunk;
    row.chosen = p->chosen;
    row.threads = threads;
    row.tokens = tokens;
    row.status = explore_unmeasured;
    return row;
}
