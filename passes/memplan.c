/* passes/memplan.c -- every value that leaves a kernel gets a place.
 *
 * Requires: kernels in the order they run; outputs with rows R.
 * Ensures: every value that one kernel makes and another reads has a space, an aligned
 *   offset and a row stride. Values of the slab that are needed at the same time do not overlap;
 *   what a kernel reads and what it writes counts as such. The sizes are the graph's fields.
 * Does not change: nodes, kernels. A value that stays within its kernel gets no place.
 *
 * Algorithm: a value with T rows takes `block` rows, one with R rows `rows` rows. A value lives
 * from its kernel to the last kernel that reads it or a view of it. The slab is planned by order;
 * beside a matrix unit, which waits wherever activations leave the caches, by size too, and the
 * smaller plan is kept, the first if they are equal:
 *   by order: kernels are walked; what each makes gets the smallest hole it fits in, or the end of
 *     the slab; then what it was the last to read is given back (only then, so that nothing is
 *     written over it).
 *   by size: from the largest value on, each gets the lowest place where nothing lies that lives
 *     when it does.
 * Views lie in what they view, at their first column; what a state keeps, in the state. Parameters,
 * states and outputs follow each other.
 *
 *   p: f32[T,20] = linear(u, t1) {out=20}
 *   z: f32[T,16], dt: f32[T,4] = split(p) {sizes=[16, 4]}
 * becomes
 *   p: f32[T,20] @slab+4096/20 = linear(u, t1) {out=20}
 *   z: f32[T,16] @slab+4096/20, dt: f32[T,4] @slab+4160/20 = split(p) {sizes=[16, 4]}
 */
#include <stdlib.h>
#include <string.h>

#include "passes/internal.h"

/* On a GPU as many sequences as decode together: a pass over the head reads its weight. */
enum { DEFAULT_ROWS = 32, DEFAULT_ROWS_GPU = 128 };

typedef struct {
    int64_t offset, bytes;
} Hole;

/* A value of the slab: when it lives, and where it lies in the plan being made. */
typedef struct {
    Value *v;
    int64_t bytes, offset;
    int from, to; /* the kernel that makes it and the last that reads it, counted as they run */
} Block;

typedef struct {
    Graph *g;
    PassCtx *cx;
    int *last; /* by value id: the last kernel that reads it, counted; -1: none outside its own */
    Block *blocks; /* in the order they are made */
    int nblocks, cap_blocks;
    Hole *holes; /* by offset; none touches another or the end of the slab */
    int nholes, cap_holes;
    int64_t end, most; /* of the slab as it is, and at its largest */
    bool failed;
} Plan;

/* ---- sizes ------------------------------------------------------------------------------ */

/* Elements from row to row of what lies row after row. */
static int64_t
plan_width(const Value *v)
{
    const Shape *shape = &v->type.shape;
    int64_t stride = 1;
    for (int i = shape->rank > 1 ? 1 : 0; i < shape->rank; i++)
        if (shape->dim[i].kind == DIM_CONST && !size_mul(stride, shape->dim[i].n, &stride))
            return 0;
    return stride;
}

/* Elements from row to row in the slab: rows of tokens may lie apart there. */
static int64_t
plan_stride(const Plan *p, const Value *v)
{
    const int64_t width = plan_width(v), size = dtype_info[v->type.dtype].bytes;
    const bool rows = v->type.shape.rank == 2 && v->type.shape.dim[0].kind != DIM_CONST;
    return rows && width < INT64_MAX / size / 4
               ? machine_row_bytes(p->cx->machine, width * size) / size
               : width;
}

/* Bytes, aligned, if rows are `stride` apart. On overflow says so and gives 0. */
static int64_t
plan_bytes(Plan *p, const Value *v, int64_t stride)
{
    const int64_t size = dtype_info[v->type.dtype].bytes, width = plan_width(v);
    int64_t count = 0, bytes = 0;
    const bool fits = type_count(&v->type, p->g->block, p->g->rows, &count) &&
                      (stride == width || size_mul(count / width, stride, &count)) &&
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
    v->place = (Place){space, *end, plan_width(v)};
    if (size_add(*end, plan_bytes(p, v, plan_width(v)), end) || p->failed)
        return;
    diag_error(p->cx->diag, v->loc, "the values in %s are too large for an address",
               space_name[space]);
    p->failed = true;
}

/* Rows of a growing state: offsets count the bytes of one token. */
static void
plan_kept(Plan *p, Value *state)
{
    const int64_t width = plan_width(state);
    int64_t bytes = 0;
    state->place = (Place){SPACE_KEPT, p->g->kept_bytes, width};
    if (size_mul(width, dtype_info[state->type.dtype].bytes, &bytes) &&
        size_add(p->g->kept_bytes, bytes, &p->g->kept_bytes))
        return;
    diag_error(p->cx->diag, state->loc, "the rows of `%s` are too large for an address",
               state->name);
    p->failed = true;
}

static void
plan_state(Plan *p, Value *state)
{
    if (type_grows(&state->type))
        plan_kept(p, state);
    else
        plan_append(p, state, SPACE_STATE, &p->g->state_bytes);
}

/* ---- the slab, by order ----------------------------------------------------------------- */

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
        if (p->end > p->most)
            p->most = p->end;
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

/* Places the blocks; the slab's size. */
static int64_t
plan_by_order(Plan *p)
{
    int *dying = arena_array(p->cx->arena, (size_t)p->g->nkernels + 1, sizeof *dying);
    int *next = arena_array(p->cx->arena, (size_t)p->nblocks + 1, sizeof *next);
    int kernel = 0; /* lists of blocks by the kernel that reads them last: 1 + index */
    for (int i = 0; i <= p->nblocks; i++) {
        const int from = i < p->nblocks ? p->blocks[i].from : p->g->nkernels;
        for (; kernel < from; kernel++)
            for (int d = dying[kernel]; d; d = next[d - 1])
                plan_give_back(p, p->blocks[d - 1].offset, p->blocks[d - 1].bytes);
        if (i == p->nblocks)
            break;
        Block *b = &p->blocks[i];
        b->offset = plan_take(p, b->bytes);
        next[i] = dying[b->to];
        dying[b->to] = i + 1;
    }
    return p->most;
}

/* ---- the slab, by size ------------------------------------------------------------------ */

static int
larger_first(const void *a, const void *b)
{
    const Block *const *x = a, *const *y = b;
    if ((*x)->bytes != (*y)->bytes)
        return (*x)->bytes < (*y)->bytes ? 1 : -1;
    return (*x > *y) - (*x < *y);
}

static int
lower_first(const void *a, const void *b)
{
    const Block *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

/* The lowest offset where `bytes` fit between blocks, which are sorted by offset. */
static int64_t
lowest_gap(Block *const *blocks, int n, int64_t bytes)
{
    int64_t at = 0;
    for (int i = 0; i < n && blocks[i]->offset < at + bytes; i++) {
        const int64_t end = blocks[i]->offset + blocks[i]->bytes;
        at = end > at ? end : at;
    }
    return at;
}

/* Places the blocks; the slab's size. */
static int64_t
plan_by_size(Plan *p)
{
    const size_t n = (size_t)p->nblocks;
    Block **order = arena_array(p->cx->arena, n + 1, sizeof *order);
    Block **beside = arena_array(p->cx->arena, n + 1, sizeof *beside);
    for (size_t i = 0; i < n; i++)
        order[i] = &p->blocks[i];
    qsort(order, n, sizeof *order, larger_first);
    int64_t most = 0;
    for (size_t i = 0; i < n; i++) {
        Block *b = order[i];
        int nbeside = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->from <= b->to && b->from <= order[j]->to)
                beside[nbeside++] = order[j];
        qsort(beside, (size_t)nbeside, sizeof *beside, lower_first);
        b->offset = lowest_gap(beside, nbeside, b->bytes);
        most = b->offset + b->bytes > most ? b->offset + b->bytes : most;
    }
    return most;
}

/* ---- lifetimes -------------------------------------------------------------------------- */

/* Whether the kernel of n ends with it. */
static bool
ends_kernel(const Node *n)
{
    return n->kernel && !(n->next && n->next->kernel == n->kernel);
}

/* The last reader of every value from outside the kernel that makes it; the reader of a view reads
 * what it views. Kernels run in order, so that the last one met stays. */
static void
plan_lifetimes(Plan *p)
{
    for (int i = 0; i < p->g->nvalue_ids; i++)
        p->last[i] = -1;
    int kernel = 0;
    for (const Node *n = p->g->first; n; n = n->next) {
        for (int i = 0; i < n->nin && n->kernel; i++) {
            const Value *root = n->in[i] ? view_root(n->in[i]) : NULL;
            if (root && root->def && root->def->kernel != n->kernel)
                p->last[root->id] = kernel;
        }
        kernel += ends_kernel(n);
    }
}

/* Outputs lie as their nodes make them. */
static void
plan_outputs(Plan *p)
{
    for (int i = 0; i < p->g->noutputs; i++) {
        Value *root = view_root(p->g->outputs[i]);
        if (root->place.space == SPACE_NONE)
            plan_append(p, root, SPACE_OUTPUT, &p->g->output_bytes);
    }
}

static void
plan_result(Plan *p, Value *v, int kernel)
{
    if (node_gives_state(v->def)) {
        v->place = node_operand(v->def, 's')->place;
        return;
    }
    if (v->place.space != SPACE_NONE || p->last[v->id] < 0)
        return;
    if (v->is_param) {
        plan_append(p, v, SPACE_PARAM, &p->g->param_bytes);
        return;
    }
    v->place = (Place){SPACE_SLAB, 0, plan_stride(p, v)};
    const Block b = {
        .v = v, .bytes = plan_bytes(p, v, v->place.stride), .from = kernel, .to = p->last[v->id]};
    VEC_PUSH(p->cx->arena, p->blocks, p->nblocks, p->cap_blocks, b);
}

/* The plan that was made last is the one that holds. */
static void
plan_keep(Plan *p, int64_t bytes)
{
    p->g->slab_bytes = bytes;
    for (int i = 0; i < p->nblocks; i++)
        p->blocks[i].v->place.offset = p->blocks[i].offset;
}

static void
plan_slab(Plan *p)
{
    plan_keep(p, plan_by_order(p));
    if (p->failed || p->cx->machine->panels.kind == MATRIX_none)
        return;
    const int64_t by_size = plan_by_size(p);
    if (by_size < p->g->slab_bytes)
        plan_keep(p, by_size);
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

/* Rows of a pass. Where each sequence has few of them, a GPU is full with less than prompts take:
 * more are several passes, and memory is for one. */
static int64_t
most_rows(const Graph *g, bool gpu)
{
    enum { FULL = 2048 };
    const int64_t block = cost_block(g);
    return gpu && g->entry && g->entry->tokens > 0 && block > FULL ? FULL : block;
}

bool
pass_memplan(Graph *g, PassCtx *cx)
{
    const bool gpu = cx->machine->gpu.kind != GPU_none;
    g->block = most_rows(g, gpu);
    g->rows = g->rows > 0 ? g->rows : gpu ? DEFAULT_ROWS_GPU : DEFAULT_ROWS;
    const size_t values = (size_t)g->nvalue_ids + 1;
    Plan p = {.g = g, .cx = cx};
    p.last = arena_array(cx->arena, values, sizeof *p.last);
    g->slab_bytes = g->param_bytes = g->state_bytes = g->output_bytes = g->kept_bytes = 0;
    for (Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++)
            n->out[i]->place = (Place){0};
    plan_lifetimes(&p);
    for (int i = 0; i < g->ninputs; i++)
        g->inputs[i]->place = (Place){SPACE_INPUT, 0, plan_width(g->inputs[i])};
    for (int i = 0; i < g->nstates; i++)
        plan_state(&p, g->states[i]);
    plan_outputs(&p);
    int kernel = 0;
    for (Node *n = g->first; n && !p.failed; n = n->next) {
        for (int i = 0; i < n->nout && node_class(n) != CLASS_VIEW; i++)
            plan_result(&p, n->out[i], kernel);
        kernel += ends_kernel(n);
    }
    plan_slab(&p);
    for (Node *n = g->first; n && !p.failed; n = n->next)
        if (node_class(n) == CLASS_VIEW)
            plan_view(n);
    return true;
}
