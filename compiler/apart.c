/* compiler/apart.c -- projections of weights that lie in blocks of several types: q, k and v of a
 * Q4_K_M file, say, where v is Q6_K. Kernels multiply one type of blocks; so where a split gives
 * such a projection's columns apart as its tensors have them, it becomes one for each run of
 * tensors of one type, which keep their blocks. Others stay one.
 *
 *   weight W: f32[512,256] tensor="q+k+v" blocks=other
 *   p = linear(x, W)
 *   q, k, v = split(p) {sizes=[256, 128, 128]}
 * becomes
 *   weight W.0: f32[384,256] tensor="q+k" blocks=Q4_K
 *   weight W.384: f32[128,256] tensor="v" blocks=Q6_K
 *   t1 = linear(x, W.0)
 *   q, k = split(t1) {sizes=[256, 128]}
 *   v = linear(x, W.384)
 */
#include <string.h>

#include "compiler/internal.h"

typedef struct {
    Graph *g;
    ssmc_weights *weights;
    Node *linear, *split;
    const RtTensor *tensor; /* of its weight */
} Apart;

/* Pieces [piece, end) of the split, which are tensors [member, last) of the weight: rows from
 * `first` on. */
typedef struct {
    int piece, end, member, last;
    int64_t first, rows;
} Run;

static int64_t
rows_of(const Apart *a, int member)
{
    const Shape *shape = &a->linear->in[op_slot(OP_linear, 'W')]->type.shape;
    const int64_t dim[] = {shape->dim[0].n, shape->dim[1].n};
    return rt_member_rows(a->tensor->member[member], dim, 2);
}

/* The tensors and pieces from the run's beginning up to where both end; false: they do not. */
static bool
run_end(const Apart *a, Run *run)
{
    int64_t columns = 0;
    run->end = run->piece;
    run->last = run->member;
    run->rows = 0;
    do {
        const bool behind = run->rows < columns;
        if (behind ? run->last == a->tensor->members : run->end == a->split->nout)
            return false;
        if (behind)
            run->rows += rows_of(a, run->last++);
        else
            columns += type_width(&a->split->out[run->end++]->type);
    } while (run->rows != columns);
    return true;
}

/* The blocks of tensors [from, to), which no kernel multiplies where they differ. */
static const char *
blocks_in(const Apart *a, int from, int to)
{
    RtTensor some = *a->tensor;
    some.member += from;
    some.members = to - from;
    return rt_weights_stored(&some);
}

/* The run goes on while the next has its blocks. */
static bool
run_take(const Apart *a, Run *run)
{
    if (!run_end(a, run))
        return false;
    while (run->last < a->tensor->members) {
        Run next = {.piece = run->end, .member = run->last};
        if (!run_end(a, &next))
            return false;
        if (!blocks_in(a, run->member, next.last))
            break;
        run->end = next.end;
        run->last = next.last;
        run->rows += next.rows;
    }
    return true;
}

/* The weight of a run's rows. NULL: no memory. */
static Value *
run_weight(const Apart *a, const Run *run)
{
    const Value *w = node_operand(a->linear, 'W');
    Arena *arena = a->g->arena;
    StrBuf names = {0};
    for (int i = run->member; i < run->last; i++)
        sb_printf(&names, "%s%s", i > run->member ? "+" : "", a->tensor->member[i]->name);
    const char *tensor = sb_finish(&names, arena);
    Type type = w->type;
    type.shape.dim[0].n = run->rows;
    const int64_t dim[] = {run->rows, type.shape.dim[1].n};
    if (rt_weights_join(a->weights, tensor, dim, 2) != SSMC_OK ||
        rt_weights_parts(a->weights, tensor) != SSMC_OK)
        return NULL;
    const char *name = arena_printf(arena, "%s.%lld", w->name, (long long)run->first);
    Value *v = graph_weight(a->g, name, type, tensor, w->init, w->loc);
    const char *stored = blocks_in(a, run->member, run->last);
    for (int i = run->member; i < run->last; i++)
        if (a->tensor->member[i]->blocks)
            v->blocks = BLOCKS_other;
    if (stored)
        blocks_by_name(stored, strlen(stored), &v->blocks);
    return v;
}

/* The run's pieces by a projection of its own. False: no memory. */
static bool
run_put(const Apart *a, const Run *run)
{
    Value *in[IR_MAX_IN] = {a->linear->in[0]};
    in[op_slot(OP_linear, 'W')] = run_weight(a, run);
    if (!in[op_slot(OP_linear, 'W')])
        return false;
    AttrList attrs = {0}, pieces = {0};
    for (int i = 0; i < a->linear->attrs.count; i++)
        attrs_set(a->g->arena, &attrs, a->linear->attrs.items[i]);
    Value *y =
        graph_build(a->g, a->linear, OP_linear, a->linear->nin, in, &attrs, NULL, a->linear->loc);
    if (run->end - run->piece == 1) {
        graph_replace(a->g, a->split->out[run->piece], y);
        return true;
    }
    const Attr *sizes = attrs_find(&a->split->attrs, ATTR_sizes);
    attrs_set(
        a->g->arena, &pieces,
        (Attr){.id = ATTR_sizes, .count = run->end - run->piece, .ints = sizes->ints + run->piece});
    ShapeResult why = {.arena = a->g->arena};
    Node *some = graph_append(a->g, a->split, OP_split, 1, &y, &pieces, NULL, a->split->loc, &why);
    if (!some)
        die("apart: %s", why.why);
    for (int i = run->piece; i < run->end; i++)
        graph_replace(a->g, a->split->out[i], some->out[i - run->piece]);
    return true;
}

/* The split that alone reads the node's result; NULL: there is none. */
static Node *
split_of(const Node *n)
{
    const Value *y = n->out[0];
    for (Node *at = y->uses == 1 ? n->next : NULL; at; at = at->next)
        if (at->op == OP_split && at->in[0] == y)
            return at;
    return NULL;
}

/* A projection of several types of blocks, alone with its weight, without more than that. */
static bool
is_mixed(Apart *a, Node *n)
{
    const Value *w = n->op == OP_linear ? node_operand(n, 'W') : NULL;
    if (!w || w->kind != VALUE_WEIGHT || w->blocks != BLOCKS_other || w->uses != 1 ||
        w->type.shape.rank != 2 || node_operand(n, 'B') || n->attrs.count > 0)
        return false;
    *a = (Apart){a->g, a->weights, n, split_of(n), rt_weights_find(a->weights, w->tensor)};
    return a->split && a->tensor && a->tensor->members > 1;
}

/* False: no memory. */
static bool
take_apart(const Apart *a)
{
    Run *runs = arena_array(a->g->arena, (size_t)a->tensor->members, sizeof *runs);
    int count = 0;
    for (Run run = {0}; run.piece < a->split->nout; count++) {
        if (!run_take(a, &run))
            return true;
        runs[count] = run;
        run = (Run){.piece = run.end, .member = run.last, .first = run.first + run.rows};
    }
    for (int i = 0; count > 1 && i < count; i++)
        if (!run_put(a, &runs[i]))
            return false;
    if (count > 1) {
        graph_remove(a->g, a->split);
        graph_remove(a->g, a->linear);
    }
    return true;
}

bool
weights_apart(Graph *g, ssmc_weights *weights)
{
    Apart a = {.g = g, .weights = weights};
    bool good = true;
    for (Node *n = g->first, *next; n && good; n = next) {
        next = n->next;
        if (!is_mixed(&a, n))
            continue;
        next = next == a.split ? next->next : next;
        good = take_apart(&a);
    }
    graph_remove_dead(g); /* the weights that were taken apart */
    return good;
}
