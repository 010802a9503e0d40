/* explore/plan.c -- every point that a sweep asks for: what each is built with, what it is
 * called, and in which order they are measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/sweep.h"

enum { MOST_POINTS = 10000 };

/* ---- settings of a point ------------------------------------------------------------------- */

Settings
plan_settings(const Plan *plan, const Group *g, const Point *point, const Listener *listener)
{
    static const char *const key[AXIS_COUNT] = {[AXIS_attention] = "attention",
                                                [AXIS_state] = "layers.*.state",
                                                [AXIS_head_dim] = "layers.ssd.head_dim",
                                                [AXIS_groups] = "layers.ssd.groups"};
    Settings s = plan->described->settings;
    s.listener = listener;
    s.random_weights = plan->random_weights;
    for (int a = 0; a < AXIS_COUNT; a++)
        if (g->size[a] >= 0)
            settings_over(&s, key[a], g->size[a]);
    if (g->inner > 0)
        settings_over(&s, "layers.ssd.inner", g->inner);
    s.format = g->format;
    if (point && form_by_name(point->form, &s.form) && point->chunk > 0) /* not if it is mixed */
        s.chunk = point->chunk;
    return s;
}

/* ---- faults of a point --------------------------------------------------------------------- */

static void
faults_tell(void *user, Told kind, const char *text)
{
    Faults *f = user;
    if (kind == TOLD_fault || kind == TOLD_faults)
        sb_printf(&f->text, "%s%s", text, kind == TOLD_fault ? "\n" : "");
    else if (kind == TOLD_passes)
        f->to->tell(f->to->user, kind, text);
}

void
faults_begin(Faults *f, const Plan *plan)
{
    *f = (Faults){
        .listener = {.tell = faults_tell, .user = f},
          .to = plan->described->settings.listener
    };
}

const char *
faults_why(Arena *arena, const Faults *f)
{
    static const char mark[] = ": error: ";
    const char *faults = sb_text(&f->text);
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

/* The held quantity of a description. */
static int64_t
held_of(const Graph *g, Hold hold)
{
    return hold == HOLD_STATE ? count_elements(g->states, g->nstates)
                              : count_elements(g->weights, g->nweights);
}

/* The description of a group, for a look at it. */
typedef struct {
    Job job;
    Faults faults;
} Look;

/* look_end in any case. False: group->why. */
static bool
look_begin(Look *l, const Plan *plan, Group *g)
{
    *l = (Look){0};
    faults_begin(&l->faults, plan);
    Settings settings = plan_settings(plan, g, NULL, &l->faults.listener);
    settings.passes.stop_after = PASS_choose_form;
    const bool ok = job_describe(&l->job, arena_new(), &settings) == EXIT_DONE;
    if (!ok)
        g->why = faults_why(plan->arena, &l->faults);
    return ok;
}

static void
look_end(Look *l)
{
    Arena *arena = l->job.arena;
    job_end(&l->job);
    arena_free(arena);
    sb_free(&l->faults.text);
}

/* A model of attention alone has no sizes of SSDs; one of other recurrences those that are asked
 * for. */
static void
sizes_of(Group *g, const Graph *graph)
{
    const Node *ssd = first_ssd(graph, &g->base.layers);
    g->base.parameters = count_elements(graph->weights, graph->nweights);
    g->base.attention = g->mixers = 0;
    for (const Node *n = graph->first; n; n = n->next) {
        g->base.attention += op_info[n->op].cls == CLASS_ATTEND;
        g->mixers += op_info[n->op].cls == CLASS_ATTEND || op_info[n->op].cls == CLASS_RECURRENT;
    }
    if (!ssd && g->base.attention < g->mixers)
        return;
    g->base.state = ssd ? node_int(ssd, ATTR_state, -1) : -1;
    g->base.head_dim = ssd ? node_int(ssd, ATTR_head_dim, -1) : -1;
    g->base.groups = ssd ? node_int(ssd, ATTR_groups, -1) : -1;
    g->base.heads = ssd ? node_int(ssd, ATTR_heads, -1) : -1;
}

static bool
look_at_sizes(const Plan *plan, Group *g)
{
    Look look;
    const bool ok = look_begin(&look, plan, g);
    if (ok)
        sizes_of(g, look.job.fe.graph);
    look_end(&look);
    return ok;
}

/* ---- a budget held ------------------------------------------------------------------------- */

/* The held quantity with inner widths of `units` heads' worth. */
static bool
held_with(const Plan *plan, Group *g, int64_t units, int64_t unit, int64_t *out)
{
    Look look;
    g->inner = units * unit;
    const bool ok = look_begin(&look, plan, g);
    if (ok)
        *out = held_of(look.job.fe.graph, plan->wish->hold);
    look_end(&look);
    return ok;
}

/* The inner width whose held quantity is nearest: it grows with the width. Widths are whole heads
 * in every group. */
static bool
hold_budget(const Plan *plan, Group *g)
{
    const int64_t unit = g->base.head_dim * g->base.groups;
    int64_t low = 1, high = 1, at_low = 0, at_high = 0;
    if (g->base.layers < 1) {
        g->why = "without an SSD there is no inner width that could hold it";
        return false;
    }
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
    return look_at_sizes(plan, g);
}

/* ---- what the compiler chooses ------------------------------------------------------------- */

/* A form and chunk length of every SSD, or that they differ; form NULL: it cannot be built. */
static Point
look_at_choice(const Plan *plan, Group *g)
{
    Look look;
    Point out = {.chunk = -1};
    const bool ok = look_begin(&look, plan, g) && job_passes(&look.job, ENTRY_prefill) == EXIT_DONE;
    for (const Node *n = ok ? look.job.graph[ENTRY_prefill]->first : NULL; n; n = n->next) {
        if (!op_has_forms(n->op))
            continue;
        const int64_t chunk = node_int(n, ATTR_chunk, -1);
        const Point p = {.form = node_word(n, ATTR_form, "mixed"), .chunk = chunk > 0 ? chunk : -1};
        const bool same = !out.form || (strcmp(out.form, p.form) == 0 && out.chunk == p.chunk);
        out = same ? p : (Point){.form = "mixed", .chunk = -1};
        if (!same)
            break;
    }
    Form form;
    if (out.form && form_by_name(out.form, &form)) /* the graph's words go with it */
        out.form = form_name[form];
    look_end(&look);
    return out;
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
    if (g->base.layers == 0) {
        point_add(plan, g, (Point){.form = explore_no_form, .chunk = -1, .chosen = true});
        return;
    }
    for (int i = 0; w->form[FORM_CHUNKED] && i < w->chunk.count; i++)
        point_add(plan, g,
                  (Point){.form = form_name[FORM_CHUNKED],
                          .chunk = w->chunk.n[i],
                          .level = explore_level(i, w->chunk.count)});
    for (int f = FORM_RECURRENT; f < FORMS; f++)
        if (f != FORM_CHUNKED && w->form[f])
            point_add(plan, g, (Point){.form = form_name[f], .chunk = -1});
    Point own = g->why ? (Point){0} : look_at_choice(plan, g);
    if (!own.form)
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

/* Whether a group before is the same: sizes of SSDs make no difference where there are none. */
static bool
is_again(const Plan *plan, const Group *g)
{
    for (const Group *before = plan->groups; before < g; before++)
        if (g->base.layers == 0 && explore_row_order(&before->base, &g->base) == 0)
            return true;
    return false;
}

/* Where all layers are attention there is nothing that has the other sizes. */
static void
drop_sizes(const Plan *plan, Group *g)
{
    Group alone = *g;
    for (int a = 0; a < AXIS_COUNT; a++)
        alone.size[a] = a == AXIS_attention ? g->size[a] : -1;
    if (g->size[AXIS_attention] > 0 && look_at_sizes(plan, &alone) &&
        alone.mixers == alone.base.attention)
        memcpy(g->size, alone.size, sizeof g->size);
}

static void
group_make(Plan *plan, Group *g)
{
    const Wish *w = plan->wish;
    g->base = explore_row();
    sizes_of(g, plan->described->fe.graph); /* and what is asked for, should it not be built */
    g->base.heads = g->base.layers = g->base.parameters = -1;
    drop_sizes(plan, g);
    int64_t *const column[AXIS_COUNT] = {[AXIS_attention] = &g->base.attention,
                                         [AXIS_state] = &g->base.state,
                                         [AXIS_head_dim] = &g->base.head_dim,
                                         [AXIS_groups] = &g->base.groups};
    for (int a = 0; a < AXIS_COUNT; a++)
        if (g->size[a] >= 0)
            *column[a] = g->size[a];
    g->base.dtype = format_info[g->format].name;
    if (look_at_sizes(plan, g) && w->hold != HOLD_NONE)
        hold_budget(plan, g);
    if (!is_again(plan, g))
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
    Group g = {.inner = -1, .format = plan->described->fe.compile.format};
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
    const int64_t each = (w->form[FORM_CHUNKED] ? w->chunk.count : 0) + (FORMS - 1);
    const int64_t rows = count * each * plan->nthreads * w->tokens.count;
    if (count * each > MOST_POINTS || rows > EXPLORE_MOST_ROWS)
        return tell_fault(
            plan->described->settings.listener, EXIT_BAD_INPUT,
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
    const Graph *g = plan->described->fe.graph;
    bool sized = plan->wish->hold != HOLD_NONE;
    for (int a = 0; a < AXIS_COUNT; a++)
        sized = sized || plan->wish->axis[a].count > 0;
    const bool made = g->weights_path && strcmp(g->weights_path, "init:reference") == 0;
    const bool real = g->weights_path && !made && !sized;
    plan->random_weights = !made && !real;
    plan->weights_doc =
        real   ? g->weights_path
        : made ? arena_printf(plan->arena, "random, by the reference initialisation, seed %lld",
                              (long long)g->seed)
        : g->weights_path ? "random, by the reference initialisation: other sizes than the "
                            "checkpoint's have no trained weights"
                          : "random, by the reference initialisation";
}

int
plan_make(const Wish *wish, Plan *plan)
{
    const Job *job = wish->described;
    *plan = (Plan){.wish = wish, .arena = wish->arena, .described = job};
    int64_t layers;
    if (wish->axis[AXIS_attention].count == 0 && !first_ssd(job->fe.graph, &layers))
        return tell_fault(job->settings.listener, EXIT_BAD_INPUT,
                          "%s has no SSD: there is nothing to explore", job->settings.model);
    plan->held = held_of(job->fe.graph, wish->hold);
    plan->nthreads = wish->threads.count > 0 ? wish->threads.count : 1;
    plan->threads[0] = job->threads;
    for (int i = 0; i < wish->threads.count; i++)
        plan->threads[i] = (int)wish->threads.n[i];
    weights_choose(plan);
    const int status = groups_make(plan);
    if (status == EXIT_DONE)
        qsort(plan->groups, (size_t)plan->ngroups, sizeof *plan->groups, group_order);
    return status;
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
