/* passes/memplan.c -- every value that leaves a kernel gets a place.
 *
 * Requires: kernels in the order they run; outputs with rows R.
 * Ensures: every value that one kernel makes and another reads has a space, an aligned
 *   offset and a row stride. Values of the slab that are needed at the same time do not overlap;
 *   what a kernel reads and what it writes counts as such. The sizes are the graph's fields.
 * Does not change: nodes, kernels. A value that stays within its kernel gets no place.
 *
 * Algorithm: a value with T rows takes `block` rows, one with R rows `rows` rows. A value lives
 * from its kernel to the last kernel that reads it or a view of it. Kernels are walked in order:
 * what each makes gets the smallest hole it fits in, or the end of the slab; then what it was the
 * last to read is given back (only then, so that nothing is written over it). Views lie in what
 * they view, at their first column. Parameters, states and outputs follow each other.
 *
 *   p: f32[T,20] = linear(u, t1) {out=20}
 *   z: f32[T,16], dt: f32[T,4] = split(p) {sizes=[16, 4]}
 * becomes
 *   p: f32[T,20] @slab+4096/20 = linear(u, t1) {out=20}
 *   z: f32[T,16] @slab+4096/20, dt: f32[T,4] @slab+4160/20 = split(p) {sizes=[16, 4]}
 */
#include <string.h>

#include "passes/internal.h"

enum { DEFAULT_ROWS = 32 };

typedef struct {
    int64_t offset, bytes;
} Hole;

typedef struct {
    Graph *g;
    PassCtx *cx;
    int *last;       /* by value id: the last kernel that reads it; -1: none outside its own */
    Value **dying;   /* by kernel id: list of what it reads last */
    Value **sibling; /* by value id: next in that list */
    Hole *holes;     /* by offset; none touches another or the end of the slab */
    int nholes, cap_holes;
    int64_t end; /* of the slab as it is */
    bool failed;
} Plan;

/* ---- sizes ------------------------------------------------------------------------------ */

static int64_t
plan_stride(const Value *v)
{
    const Shape *shape = &v->type.shape;
    int64_t stride = 1;
    for (int i = shape->rank > 1 ? 1 : 0; i < shape->rank; i++)
        if (shape->dim[i].kind == DIM_CONST && !size_mul(stride, shape->dim[i].n, &stride))
            return 0;
    return stride;
}

/* Bytes, aligned. On overflow says so and gives 0. */
static int64_t
plan_bytes(Plan *p, const Value *v)
{
    const int64_t size = dtype_info[v->type.dtype].bytes;
    int64_t count = 0, bytes = 0;
    const bool fits = type_count(&v->type, p->g->block, p->g->rows, &count) &&
                      size_mul(count, size, &bytes) && bytes <= INT64_MAX / 4;
    if (fits)
        return round_up(bytes, machine_alignment(p->cx->machine));
    if (!p->failed)
        diag_error(p->cx->diag, v->loc,
                   "`%s` has too many bytes for %lld tokens: make block smaller", v->name,
                   (long long)p->g->block);
    p->failed = true;
    return 0;
}

/* The next place of a space that only grows. */
static void
plan_append(Plan *p, Value *v, Space space, int64_t *end)
{
    v->place = (Place){space, *end, plan_stride(v)};
    if (size_add(*end, plan_bytes(p, v), end) || p->failed)
        return;
    diag_error(p->cx->diag, v->loc, "the values in %s are too large for an address",
               space_name[space]);
    p->failed = true;
}

/* ---- the slab --------------------------------------------------------------------------- */

static void
plan_remove_hole(Plan *p, int at)
{
    const size_t after = (size_t)(p->nholes - at - 1);
    memmove(p->holes + at, p->holes + at + 1, after * sizeof *p->holes);
    p->nholes--;
}

static int64_t
plan_take(Plan *p, int64_t bytes)
{
    int at = -1; /* the smallest hole that it fits in */
    for (int i = 0; i < p->nholes; i++)
        if (p->holes[i].bytes >= bytes && (at < 0 || p->holes[i].bytes < p->holes[at].bytes))
            at = i;
    if (at < 0) {
        const int64_t offset = p->end;
        p->failed = !size_add(p->end, bytes, &p->end) || p->failed;
        if (p->end > p->g->slab_bytes)
            p->g->slab_bytes = p->end;
        return offset;
    }
    const int64_t offset = p->holes[at].offset;
    p->holes[at].offset += bytes;
    p->holes[at].bytes -= bytes;
    if (!p->holes[at].bytes)
        plan_remove_hole(p, at);
    return offset;
}

/* Adds a hole; it grows together with its neighbours, and the slab's end draws back over the last
 * one. */
static void
plan_give_back(Plan *p, int64_t offset, int64_t bytes)
{
    int at = 0;
    while (at < p->nholes && p->holes[at].offset < offset)
        at++;
    VEC_PUSH(p->cx->arena, p->holes, p->nholes, p->cap_holes, ((Hole){0}));
    memmove(p->holes + at + 1, p->holes + at, (size_t)(p->nholes - 1 - at) * sizeof *p->holes);
    p->holes[at] = (Hole){offset, bytes};
    if (at + 1 < p->nholes && offset + bytes == p->holes[at + 1].offset) {
        p->holes[at].bytes += p->holes[at + 1].bytes;
        plan_remove_hole(p, at + 1);
    }
    if (at > 0 && p->holes[at - 1].offset + p->holes[at - 1].bytes == offset) {
        p->holes[at - 1].bytes += p->holes[at].bytes;
        plan_remove_hole(p, at--);
    }
    if (p->holes[at].offset + p->holes[at].bytes == p->end) {
        p->end = p->holes[at].offset;
        plan_remove_hole(p, at);
    }
}

/* ---- lifetimes -------------------------------------------------------------------------- */

/* The last reader of every value from outside the kernel that makes it; the reader of a view reads
 * what it views. Kernels run in order, so that the last one met stays. */
static void
plan_lifetimes(Plan *p)
{
    for (int i = 0; i < p->g->nvalue_ids; i++)
        p->last[i] = -1;
    for (const Node *n = p->g->first; n; n = n->next)
        for (int i = 0; i < n->nin && n->kernel; i++) {
            const Value *root = n->in[i] ? view_root(n->in[i]) : NULL;
            if (root && root->def && root->def->kernel != n->kernel)
                p->last[root->id] = n->kernel->id;
        }
}

/* A program gives the rows R of its outputs, as its nodes make them. */
static void
plan_outputs(Plan *p)
{
    for (int i = 0; i < p->g->noutputs; i++) {
        Value *root = view_root(p->g->outputs[i]);
        const Shape *shape = &root->type.shape;
        const bool rows = shape->rank > 0 && shape->dim[0].kind == DIM_ROWS;
        if (root->kind != VALUE_RESULT || !rows) {
            diag_error(
                p->cx->diag, root->loc,
                "output `%s` has no rows R: a compiled graph gives the rows that were picked, "
                "so `take` has to come before its outputs",
                p->g->outputs[i]->name);
            p->failed = true;
        } else if (root->place.space == SPACE_NONE) {
            plan_append(p, root, SPACE_OUTPUT, &p->g->output_bytes);
        }
    }
}

static void
plan_result(Plan *p, Value *v)
{
    const int last = p->last[v->id];
    if (v->place.space != SPACE_NONE || last < 0)
        return;
    if (v->is_param) {
        plan_append(p, v, SPACE_PARAM, &p->g->param_bytes);
        return;
    }
    v->place = (Place){SPACE_SLAB, plan_take(p, plan_bytes(p, v)), plan_stride(v)};
    p->sibling[v->id] = p->dying[last];
    p->dying[last] = v;
}

/* Columns of a result of a view start where those before it end. */
static void
plan_view(Node *n)
{
    const Place *whole = &n->in[0]->place;
    int64_t column = 0;
    for (int i = 0; i < n->nout; i++) {
        Value *v = n->out[i];
        v->place = *whole;
        v->place.offset += column * dtype_info[v->type.dtype].bytes;
        column += type_width(&v->type);
    }
}

/* ---- the pass --------------------------------------------------------------------------- */

bool
pass_memplan(Graph *g, PassCtx *cx)
{
    g->block = cost_block(g);
    g->rows = g->rows > 0 ? g->rows : DEFAULT_ROWS;
    const size_t values = (size_t)g->nvalue_ids + 1;
    Plan p = {.g = g, .cx = cx};
    p.last = arena_array(cx->arena, values, sizeof *p.last);
    p.sibling = arena_array(cx->arena, values, sizeof(Value *));
    p.dying = arena_array(cx->arena, (size_t)g->nkernels + 1, sizeof(Value *));
    g->slab_bytes = g->param_bytes = g->state_bytes = g->output_bytes = 0;
    for (Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++)
            n->out[i]->place = (Place){0};
    plan_lifetimes(&p);
    for (int i = 0; i < g->ninputs; i++)
        g->inputs[i]->place = (Place){SPACE_INPUT, 0, plan_stride(g->inputs[i])};
    for (int i = 0; i < g->nstates; i++)
        plan_append(&p, g->states[i], SPACE_STATE, &g->state_bytes);
    plan_outputs(&p);
    for (Node *n = g->first; n && !p.failed; n = n->next) {
        if (node_class(n) == CLASS_VIEW) {
            plan_view(n);
            continue;
        }
        for (int i = 0; i < n->nout; i++)
            plan_result(&p, n->out[i]);
        if (!n->kernel || (n->next && n->next->kernel == n->kernel))
            continue;
        for (const Value *v = p.dying[n->kernel->id]; v; v = p.sibling[v->id])
            plan_give_back(&p, v->place.offset, plan_bytes(&p, v));
    }
    return true;
}
