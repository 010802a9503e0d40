/* passes/fold_params.c -- norm weights and constant factors go into the next projection's weight.
 *
 * Requires: nothing beyond a valid graph.
 * Ensures: a factor that is the same for every token (a number, or one number a column) and whose
 *   product is read by projections alone, or is made from one projection alone, is part of their
 *   weights: multiplied once when weights are loaded and not once for each token. Weights that are
 *   multiplied in the blocks that they lie in stay as they are.
 * Does not change: values that other readers see; the number of projections; states.
 *
 * Algorithm: nodes from last to first, so that a node's readers are final when it is reached. For
 * each value the projections that multiply it are kept in a list; a factor may move into them when
 * that list holds all uses of the value. A projection is any op that multiplies its x by a weight
 * of its own: a stack of matrices [E,O,K] takes a factor in each of them.
 *   norm(x, w) read by projections   ->  norm(x, _), and W * w in each of them: an op of rows that
 *                                        multiplies by a weight and adds nothing after it
 *   x * f      read by projections   ->  x, and W * f in each of them
 *   linear(x, W, b) * f, f a number  ->  linear(x, W * f, b * f)
 * Terminates: every step takes a factor away from an activation, and none adds one.
 *
 *   u: f32[T,256] = rmsnorm(h, norm.weight) {eps=1e-05}
 *   y: f32[T,512] = linear(u, W)
 * becomes
 *   u: f32[T,256] = rmsnorm(h) {eps=1e-05}
 *   t1: f32[512,256] = mul(W, norm.weight)
 *   y: f32[T,512] = linear(u, t1)
 */
#include "passes/internal.h"

/* Projections that multiply a value, newest first. */
typedef struct Reader {
    Node *projection;
    struct Reader *next;
} Reader;

typedef struct {
    Graph *g;
    const PassCtx *cx;
    Arena *arena;
    Reader **readers; /* by value id */
    int *count;       /* by value id */
    int values;       /* ids known when the pass began */
    bool changed;
} Fold;

static void
fold_note_reader(Fold *f, Node *projection)
{
    const Value *x = node_operand(projection, 'x');
    if (x->id >= f->values)
        return;
    Reader *r = arena_alloc(f->arena, sizeof *r);
    *r = (Reader){projection, f->readers[x->id]};
    f->readers[x->id] = r;
    f->count[x->id]++;
}

/* Every use of v is as x of a projection whose weight may still be multiplied. */
static bool
fold_only_projections(const Fold *f, const Value *v)
{
    return v->id < f->values && v->uses > 0 && f->count[v->id] == v->uses;
}

static Value *
fold_scaled(Fold *f, Node *before, Value *v, Value *factor)
{
    f->changed = true;
    return graph_build(f->g, before, OP_mul, 2, (Value *[]){v, factor}, NULL, NULL, before->loc);
}

/* Multiplies an operand of n; one that is missing stays so. */
static void
fold_into(Fold *f, Node *n, char operand, Value *factor)
{
    Value *v = node_operand(n, operand);
    if (v)
        graph_set_operand(f->g, n, op_slot(n->op, operand), fold_scaled(f, n, v, factor));
}

static void
fold_into_readers(Fold *f, const Value *v, Value *factor)
{
    for (const Reader *r = f->readers[v->id]; r; r = r->next)
        fold_into(f, r->projection, 'W', factor);
}

static void
fold_norm(Fold *f, Node *norm)
{
    Value *factor = node_operand(norm, 'W');
    if (!factor || node_operand(norm, 'B') || node_factors_repeat(norm) ||
        !fold_only_projections(f, norm->out[0]))
        return;
    fold_into_readers(f, norm->out[0], factor);
    graph_set_operand(f->g, norm, op_slot(norm->op, 'W'), NULL);
}

/* A number, or one number for each column of a matrix `width` columns wide. */
static bool
fold_is_factor(const Value *v, int64_t width)
{
    const int rank = v->type.shape.rank;
    return v->is_param && (rank == 0 || (rank == 1 && type_width(&v->type) == width));
}

/* The operand of a product that is a factor, the other being as wide as the product; -1: none. */
static int
fold_factor_slot(const Node *n)
{
    for (int slot = 0; slot < 2; slot++)
        if (type_equal(&n->in[1 - slot]->type, &n->out[0]->type) &&
            fold_is_factor(n->in[slot], type_width(&n->out[0]->type)))
            return slot;
    return -1;
}

static void
fold_before(Fold *f, Node *product, Value *x, Value *factor)
{
    const Value *y = product->out[0];
    fold_into_readers(f, y, factor);
    for (const Reader *r = f->readers[y->id]; r; r = r->next) {
        graph_set_operand(f->g, r->projection, op_slot(r->projection->op, 'x'), x);
        fold_note_reader(f, r->projection);
    }
    graph_remove(f->g, product);
}

static void
fold_after(Fold *f, Node *product, Node *projection, Value *factor)
{
    Value *y = product->out[0], *to = projection->out[0];
    fold_into(f, projection, 'W', factor);
    fold_into(f, projection, 'B', factor);
    f->readers[to->id] = f->readers[y->id];
    f->count[to->id] = f->count[y->id];
    graph_replace(f->g, y, to);
    graph_remove(f->g, product);
}

static bool
fold_stays(const PassCtx *cx, const Value *w)
{
    const bool stored = cx->format == FORMAT_stored && blocks_of(w) != BLOCKS_none;
    return stored || blocks_kept(cx, w) != BLOCKS_none;
}

/* A projection whose weight may still be multiplied: real numbers, not packed, not to stay in
 * blocks. */
static bool
fold_is_open(const Fold *f, const Node *n)
{
    const Value *w = node_weight(n);
    return w && dtype_info[w->type.dtype].is_float && !node_is_packed(n) && !fold_stays(f->cx, w);
}

static void
fold_product(Fold *f, Node *n)
{
    const int slot = n->out[0]->is_param ? -1 : fold_factor_slot(n);
    if (slot < 0)
        return;
    Value *x = n->in[1 - slot], *factor = n->in[slot];
    if (fold_only_projections(f, n->out[0])) {
        fold_before(f, n, x, factor);
        return;
    }
    const bool alone = x->kind == VALUE_RESULT && x->uses == 1 && fold_is_open(f, x->def);
    if (alone && factor->type.shape.rank == 0 && x->id < f->values)
        fold_after(f, n, x->def, factor);
}

bool
pass_fold_params(Graph *g, PassCtx *cx)
{
    const size_t values = (size_t)g->nvalue_ids;
    Fold f = {.g = g, .cx = cx, .arena = cx->arena, .values = g->nvalue_ids};
    f.readers = arena_array(cx->arena, values, sizeof(Reader *));
    f.count = arena_array(cx->arena, values, sizeof *f.count);
    for (Node *n = g->last, *before; n; n = before) {
        before = n->prev;
        if (fold_is_open(&f, n))
            fold_note_reader(&f, n);
        else if (node_class(n) == CLASS_ROWWISE)
            fold_norm(&f, n);
        else if (n->op == OP_mul)
            fold_product(&f, n);
    }
    return f.changed;
}
