/* passes/divide.c -- a projection whose columns go different ways becomes several.
 *
 * Requires: linears over unpacked weights, before quantise.
 * Ensures: where a split alone reads a linear, these columns of it are a linear of their own,
 *   precise ones      in formats of integers, and wherever other columns are divided
 *   a convolution's   that nothing else reads, where weights are packed for a matrix unit: the
 *                     convolution then runs in the projection's epilogue (pass fuse), and its
 *                     input never goes to memory
 *   a gate's          that a pointwise op joins with the split's only other columns, under the same
 *                     condition and not in formats of integers, where the result is quantised row
 *                     by row: the op then runs in the epilogue of one of the two projections, and
 *                     only the other's columns go to memory
 *   What lies between them stays together.
 * Does not change: what any column is; linears that no split alone reads.
 *
 * Algorithm: pieces of the split are walked from the last to the first. Neighbours that stay
 * together are a linear over their rows of the weight, and a split, also of one piece: quantise
 * rounds what it divides.
 *
 *   p: f32[T,840] = linear(x, W, b) {precise=8}
 *   z: f32[T,256], u: f32[T,576], dt: f32[T,8] = split(p) {sizes=[256, 576, 8]}
 *   c: f32[T,576] = conv1d(u, k, b2, s)
 * becomes
 *   dt: f32[T,8] = linear(x, W, b) {precise=8, first=832, rows=8}
 *   u: f32[T,576] = linear(x, W, b) {first=256, rows=576}
 *   t1: f32[T,256] = linear(x, W, b) {rows=256}
 *   z: f32[T,256] = split(t1) {sizes=[256]}
 *   c: f32[T,576] = conv1d(u, k, b2, s)
 */
#include "passes/internal.h"

typedef struct {
    Graph *g;
    PassCtx *cx;
    Node *linear, *split;
    int64_t precise; /* columns that are marked so, if they are the last piece; else 0 */
    bool packed;     /* the weight is packed for a matrix unit */
    bool gated;      /* its two pieces meet in one pointwise op */
} Divide;

/* The split that alone reads v; NULL: there is none. */
static Node *
divide_reader(const Value *v)
{
    Node *n = sole_reader(v);
    return n && n->op == OP_split ? n : NULL;
}

/* By the unit that weights are packed for, which variants of a product share. */
static bool
divide_packs(const PassCtx *cx, const Node *linear)
{
    const FormatInfo *format = &format_info[cx->format];
    const MatrixUnit *unit = &cx->machine->panels;
    if (format->bits)
        return unit->i8;
    return unit->bf16 &&
           (format->reals == DTYPE_bf16 || node_in_triples(linear) || asks_triples(cx));
}

/* Whether v is x of an op that can run in an epilogue, and nothing else. */
static bool
divide_is_input(const Value *v)
{
    const Node *n = sole_reader(v);
    return n && node_flag(n, 'E') && node_operand(n, 'x') == v;
}

/* Operands of n that are activations. */
static int
divide_activations(const Node *n)
{
    int count = 0;
    for (int i = 0; i < n->nin; i++)
        count += n->in[i] && n->in[i]->kind != VALUE_NUMBER && !n->in[i]->is_param;
    return count;
}

/* The op of two activations at the end of the pointwise ops of one that, each alone, read v; NULL:
 * there is none. */
static const Node *
divide_meets(const Value *v)
{
    const Node *n = sole_reader(v);
    while (n && node_class(n) == CLASS_POINTWISE && divide_activations(n) == 1)
        n = sole_reader(n->out[0]);
    return n && node_class(n) == CLASS_POINTWISE ? n : NULL;
}

/* Whether both pieces of a split of two go to one pointwise op. */
static bool
divide_is_gate(const Node *split)
{
    const Node *met = split->nout == 2 ? divide_meets(split->out[0]) : NULL;
    return met && met == divide_meets(split->out[1]);
}

static bool
divide_is_precise(const Divide *d, int piece)
{
    return d->precise && piece == d->split->nout - 1;
}

/* Whether a piece of the split is a linear of its own. */
static bool
divide_apart(const Divide *d, int piece)
{
    return divide_is_precise(d, piece) || d->gated ||
           (d->packed && divide_is_input(d->split->out[piece]));
}

/* Columns before a piece of the split. */
static int64_t
divide_first(const Node *split, int piece)
{
    int64_t first = 0;
    for (int i = 0; i < piece; i++)
        first += type_width(&split->out[i]->type);
    return first;
}

/* Pieces [from, to) as a linear over their rows of the weight. */
static void
divide_pieces(const Divide *d, int from, int to)
{
    Node *linear = d->linear, *split = d->split;
    const int64_t first = divide_first(split, from), rows = divide_first(split, to) - first;
    AttrList attrs = {0};
    for (int i = 0; i < linear->attrs.count; i++)
        if (linear->attrs.items[i].id != ATTR_precise)
            attrs_set(d->g->arena, &attrs, linear->attrs.items[i]);
    if (divide_is_precise(d, from))
        attrs_set(d->g->arena, &attrs, attr_int(ATTR_precise, d->precise));
    if (first)
        attrs_set(d->g->arena, &attrs, attr_int(ATTR_first, first));
    attrs_set(d->g->arena, &attrs, attr_int(ATTR_rows, rows));
    Value *y =
        graph_build(d->g, linear, OP_linear, linear->nin, linear->in, &attrs, NULL, linear->loc);
    /* Of a gate, what runs first goes to memory. */
    if (divide_apart(d, from) && !(d->gated && from > 0)) {
        graph_replace(d->g, split->out[from], y);
        return;
    }
    const Attr *sizes = attrs_find(&split->attrs, ATTR_sizes);
    AttrList pieces = {0};
    attrs_set(d->g->arena, &pieces,
              (Attr){.id = ATTR_sizes, .count = to - from, .ints = sizes->ints + from});
    ShapeResult why = {.arena = d->cx->arena};
    Node *some = graph_append(d->g, split, OP_split, 1, &y, &pieces, NULL, split->loc, &why);
    if (!some)
        die("divide: %s", why.why);
    for (int i = from; i < to; i++)
        graph_replace(d->g, split->out[i], some->out[i - from]);
}

/* The linear as one of each run of pieces, the last first. */
static void
divide_linear(const Divide *d)
{
    for (int to = d->split->nout, from; to > 0; to = from) {
        from = to - 1;
        while (!divide_apart(d, to - 1) && from > 0 && !divide_apart(d, from - 1))
            from--;
        divide_pieces(d, from, to);
    }
    graph_remove(d->g, d->split);
    graph_remove(d->g, d->linear);
}

/* What there is to divide of a linear and the split that alone reads it; false: nothing. */
static bool
divide_finds(Divide *d)
{
    const int last = d->split->nout - 1;
    int inputs = 0;
    d->packed = divide_packs(d->cx, d->linear);
    d->gated = d->packed && !format_info[d->cx->format].bits && divide_is_gate(d->split);
    for (int i = 0; i <= last; i++)
        inputs += divide_apart(d, i);
    const int64_t precise = node_int(d->linear, ATTR_precise, 0);
    const bool marked = precise == type_width(&d->split->out[last]->type);
    d->precise = marked && (inputs || format_info[d->cx->format].bits) ? precise : 0;
    if (last > 0 && inputs)
        pass_explain(d->cx, "linear %lld -> %lld: divided, as %s",
                     (long long)type_width(&d->linear->in[0]->type),
                     (long long)type_width(&d->linear->out[0]->type),
                     d->gated ? "one half of it gates the other"
                              : "a convolution alone reads some of it");
    return last > 0 && (inputs || d->precise);
}

bool
pass_divide(Graph *g, PassCtx *cx)
{
    bool changed = false;
    if (cx->machine->gpu.kind != GPU_none)
        return false; /* a launch costs more than columns that go elsewhere */
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->op != OP_linear || attrs_find(&n->attrs, ATTR_out) ||
            attrs_find(&n->attrs, ATTR_rows))
            continue;
        Divide d = {.g = g, .cx = cx, .linear = n, .split = divide_reader(n->out[0])};
        if (!d.split || !divide_finds(&d))
            continue;
        next = next == d.split ? next->next : next;
        divide_linear(&d);
        changed = true;
    }
    return changed;
}
