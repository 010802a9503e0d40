/* passes/quantise.c -- weights and activations of projections get the types that dtype asks for,
 * and states of SSDs the type that state_dtype asks for.
 *
 * Requires: linears over f32 activations and unpacked weights.
 * Ensures: no linear says precise any more, and
 *   f32         where cx->dot asks for it and a matrix unit multiplies bf16, every linear says
 *               dot=bf16x3, and without such a unit no linear does
 *   bf16        both factors of every linear are bf16; sums and results stay f32
 *   f16         the weight of every linear is f16
 *   int8, int4  every linear has become linear_i8 or linear_u4, but for those whose columns are all
 *               precise, which are in the format's real type
 *   stored      the same where the file stores a weight as quantised blocks; blocks that
 *               ir/blocks.def lacks become 8-bit integers; others are in the format's real type
 *   If the file stores a weight as quantised blocks of at most the format's bits, quantise_i8 or
 *   quantise_u4 takes the file's integers and scales.
 *   A projection whose rows have experts is a linear here; its forms are those of the table below.
 *   any         a linear whose columns decide (flag D of what reads them) stays f32: rounded logits
 *               of a router choose other experts, which is an error as large as an expert
 *   bf16, int8, int4 on a machine whose matrix unit multiplies bf16, and on a GPU where calls have
 *               several tokens of a sequence: columns that a projection or a convolution makes for
 *               several ops (operands of views) are bf16, as is what an SSD or a scan makes where
 *               other ops compute with it. Of a split into one piece it is what the pointwise ops
 *               after it make in the end
 *   states of ops of class RECURRENT are state_dtype, unless the text says bf16 itself
 *   rows that attention reads are kept_dtype, where its heads have an even number of channels
 * Does not change: biases, other states, all that is neither linear nor recurrent.
 *
 * Algorithm: each operand of a linear that is multiplied gets a cast, or a quantise. That of a
 * weight is a parameter, run once at load; that of an activation is fused into whatever makes it.
 * Norm weights and factors were folded before, so that a weight is rounded once, after all of them.
 * What several linears read is quantised once. Rows that are picked (the head) keep 8 bits: their
 * errors go straight to the logits.
 *
 *   z: f32[T,512] = linear(x, W, b) {rows=512}
 *   dt: f32[T,8] = linear(x, W, b) {precise=8, first=512, rows=8}
 * becomes
 *   t1: i8[T,256], t2: f32[T,1] = quantise(x)
 *   t3: i8[512,256], t4: f32[512,1] = quantise_i8(W) {rows=512}
 *   z: f32[T,512] = linear_i8(t1, t2, t3, t4, b)
 *   t5: bf16[520,256] = cast(W) {to=bf16}
 *   t6: bf16[T,256] = cast(x) {to=bf16}
 *   dt: f32[T,8] = linear(t6, t5, b) {first=512, rows=8}
 */
#include <string.h>

#include "passes/internal.h"

/* Projections, and what they become by weights of 8 and of 4 bits. */
static const struct {
    Op reals, i8, u4;
} quantise_forms[] = {
    {OP_linear,  OP_linear_i8,  OP_linear_u4 },
    {OP_experts, OP_experts_i8, OP_experts_u4},
};

/* Inputs that share a scale of 8 bits that are made of other blocks. */
enum { STORED_GROUP = 32 };

typedef struct {
    Graph *g;
    PassCtx *cx;
    Node **quantised; /* by value id of an activation: its quantise */
    bool *decides;    /* by value id: an op with flag D compares its numbers */
    int values;
    int converted; /* projections whose weights leave their blocks, though format is stored */
    bool changed;
} Quantise;

/* Its row of the table; -1: it is no projection by real numbers. */
static int
quantise_form(const Node *n)
{
    for (size_t i = 0; i < COUNT_OF(quantise_forms); i++)
        if (quantise_forms[i].reals == n->op && !attrs_find(&n->attrs, ATTR_out))
            return (int)i;
    return -1;
}

/* ---- real numbers ---------------------------------------------------------------------------- */

static bool
quantise_operand(Graph *g, Node *linear, int slot, Dtype to)
{
    Value *now = linear->in[slot];
    Value *rounded = value_as(g, linear, now, to);
    if (rounded != now)
        graph_set_operand(g, linear, slot, rounded);
    return rounded != now;
}

/* f32 as sums of two bf16 each. */
static bool
quantise_triples(Quantise *q, Node *linear)
{
    const bool has = q->cx->machine->matrix.bf16, says = node_in_triples(linear);
    const bool asked = asks_triples(q->cx);
    const bool wanted = has && (says || asked);
    if (says && !has)
        diag_note(q->cx->diag, linear->loc,
                  "dot=bf16x3 wants a matrix unit that multiplies bf16: vectors multiply f32");
    if (asked && !has)
        pass_explain(q->cx, "dot=bf16x3: no matrix unit multiplies bf16, so vectors multiply f32");
    if (wanted != says)
        graph_set_attr(q->g, linear, attr_word(ATTR_dot, wanted ? "bf16x3" : "f32"));
    return wanted != says;
}

/* linear checks its operands together: x in bf16 wants W in bf16, so W goes first. */
static bool
quantise_reals(Graph *g, Node *linear, Dtype reals)
{
    if (reals == DTYPE_f32)
        return false;
    const bool weight = quantise_operand(g, linear, op_slot(linear->op, 'W'), reals);
    return (reals == DTYPE_bf16 && quantise_operand(g, linear, 0, reals)) || weight;
}

/* ---- whole numbers --------------------------------------------------------------------------- */

static Node *
quantise_node(Quantise *q, Node *before, Op op, int nin, Value *const *in, const AttrList *attrs)
{
    ShapeResult why = {.arena = q->cx->arena};
    Node *n = graph_append(q->g, before, op, nin, in, attrs, NULL, before->loc, &why);
    if (!n)
        die("quantise: %s", why.why);
    return n;
}

static Node *
quantise_rows(Quantise *q, Node *linear)
{
    Value *x = linear->in[0];
    Node *known = x->id < q->values ? q->quantised[x->id] : NULL;
    if (known)
        return known;
    Node *n = quantise_node(q, linear, OP_quantise, 1, &x, NULL);
    if (x->id < q->values)
        q->quantised[x->id] = n;
    return n;
}

static void
quantise_attr(Quantise *q, AttrList *attrs, AttrId id, int64_t n)
{
    if (n > 0)
        attrs_set(q->g->arena, attrs, attr_int(id, n));
}

/* Inputs of a row of `width` that share a scale; 0: all. No group is longer than the row: what is
 * packed goes up to whole groups. */
static int64_t
quantise_group(const PassCtx *cx, int bits, int64_t width)
{
    const FormatInfo *format = &format_info[cx->format];
    if (bits != format->bits)
        return 0; /* the head of a 4-bit model */
    if (cx->format == FORMAT_stored)
        return width > STORED_GROUP ? STORED_GROUP : 0;
    const bool default_group = cx->group < 0 || (cx->group == 0 && bits == 4);
    const int64_t group = default_group ? format->group : cx->group;
    if (group < width)
        return group;
    return bits == 4 ? round_up(width, 8) : 0;
}

/* The weight NAME@part of one that lies in blocks; its rows turned as those of w are. */
static Value *
quantise_part(Quantise *q, Node *linear, const Value *w, const char *part)
{
    Graph *g = q->g;
    const bool turned = w->kind == VALUE_RESULT;
    const Value *from = turned ? w->def->in[0] : w;
    const BlocksInfo *blocks = &blocks_info[from->blocks];
    const char *name = arena_printf(g->arena, "%s.%s", from->name, part);
    const char *of = from->tensor ? from->tensor : from->name;
    Value *v = NULL;
    for (int i = 0; i < g->nweights && !v; i++)
        if (strcmp(g->weights[i]->name, name) == 0)
            v = g->weights[i];
    if (!v) {
        Type type = from->type;
        type.dtype = blocks->scales;
        type.shape.dim[type.shape.rank - 1].n /= blocks->group;
        v = graph_weight(g, name, type, arena_printf(g->arena, "%s@%s", of, part), from->init,
                         from->loc);
    }
    if (!turned)
        return v;
    v = value_as(g, linear, v, DTYPE_f32); /* factors of rows make other scales */
    return graph_build(g, linear, w->def->op, 1, &v, &w->def->attrs, NULL, w->def->loc);
}

/* A linear whose weight becomes integers of `bits` bits, or keeps those that it lies in. */
static Value *
quantise_linear(Quantise *q, Node *linear, int bits, WeightBlocks kept)
{
    const int64_t columns = type_width(&linear->out[0]->type);
    const int64_t first = node_int(linear, ATTR_first, 0);
    const int64_t width = type_width(&linear->in[0]->type);
    const int64_t group =
        kept != BLOCKS_none ? blocks_info[kept].group : quantise_group(q->cx, bits, width);
    AttrList of_weight = {0}, of_linear = {0};
    quantise_attr(q, &of_weight, ATTR_first, first);
    quantise_attr(q, &of_weight, ATTR_rows, node_int(linear, ATTR_rows, 0));
    quantise_attr(q, &of_weight, ATTR_group, group);
    Value *bias = node_operand(linear, 'B'), *experts = node_operand(linear, 'e');
    quantise_attr(q, &of_linear, ATTR_first, bias ? first : 0);
    quantise_attr(q, &of_linear, ATTR_group, group);
    Node *x = quantise_rows(q, linear);
    const Op make = bits == 4 ? OP_quantise_u4 : OP_quantise_i8;
    Value *of[] = {node_operand(linear, 'W'), NULL, NULL};
    if (kept != BLOCKS_none)
        of[1] = quantise_part(q, linear, of[0], "scales");
    if (kept != BLOCKS_none && bits == 4)
        of[2] = quantise_part(q, linear, of[0], "minima");
    Node *w = quantise_node(q, linear, make, bits == 4 ? 3 : 2, of, &of_weight);
    const int form = quantise_form(linear);
    const Op op = bits == 4 ? quantise_forms[form].u4 : quantise_forms[form].i8;
    Value *in[IR_MAX_IN] = {x->out[0], x->out[1]};
    int nin = 2;
    if (experts)
        in[nin++] = experts;
    for (int i = 0; i < w->nout; i++)
        in[nin++] = w->out[i];
    if (op_slot(op, 'B') >= 0)
        in[nin++] = bias;
    pass_explain(q->cx, "%s %lld -> %lld: %d-bit weights, %lld inputs a scale%s%s",
                 op_info[linear->op].name, (long long)width, (long long)columns, bits,
                 (long long)(group ? group : width), kept == BLOCKS_none ? "" : ", as stored in ",
                 kept == BLOCKS_none ? "" : blocks_info[kept].name);
    return quantise_node(q, linear, op, nin, in, &of_linear)->out[0];
}

/* Returns the node to go on with. Precise columns are in real numbers, if they are all: pass divide
 * has made those of a split a linear of their own. */
static Node *
quantise_integers(Quantise *q, Node *linear, int64_t precise, Dtype reals)
{
    const Value *y = linear->out[0];
    const int64_t columns = type_width(&y->type);
    const bool head = y->type.shape.dim[0].kind == DIM_ROWS;
    Node *next = linear->next;
    const WeightBlocks kept = blocks_kept(q->cx, node_weight(linear));
    const bool stored = q->cx->format == FORMAT_stored && kept == BLOCKS_none;
    const bool stays = stored && blocks_of(node_weight(linear)) == BLOCKS_none;
    q->changed = true;
    if (precise == columns || stays) {
        quantise_reals(q->g, linear, reals);
        pass_explain(q->cx, "linear %lld -> %lld: %s, as %s",
                     (long long)type_width(&linear->in[0]->type), (long long)columns,
                     dtype_info[reals].name,
                     stays ? "the weight lies in no blocks" : "they are marked precise");
        return next;
    }
    const int bits = head ? 8 : format_info[q->cx->format].bits;
    graph_replace(
        q->g, linear->out[0],
        quantise_linear(q, linear, kept == BLOCKS_none ? bits : blocks_info[kept].bits, kept));
    q->converted += stored;
    graph_remove(q->g, linear);
    return next;
}

/* ---- decisions ------------------------------------------------------------------------------- */

/* x of an op with flag D, and what pointwise ops and views make it from. */
static void
quantise_find_decisions(Quantise *q)
{
    for (const Node *n = q->g->last; n; n = n->prev) {
        if (node_flag(n, 'D'))
            q->decides[node_operand(n, 'x')->id] = true;
        bool decides = false;
        for (int i = 0; i < n->nout; i++)
            decides = decides || q->decides[n->out[i]->id];
        const bool passes_on = node_class(n) == CLASS_POINTWISE || node_class(n) == CLASS_VIEW;
        for (int i = 0; i < n->nin && decides && passes_on; i++)
            if (n->in[i])
                q->decides[n->in[i]->id] = true;
    }
}

/* Whether n stays in f32 for what its columns decide. */
static bool
quantise_keeps(const Quantise *q, const Node *n)
{
    if (!q->decides[n->out[0]->id])
        return false;
    if (q->cx->format != FORMAT_f32)
        pass_explain(q->cx, "%s %lld -> %lld: f32, as its columns decide which experts run",
                     op_info[n->op].name, (long long)type_width(&n->in[0]->type),
                     (long long)type_width(&n->out[0]->type));
    return true;
}

/* ---- results ------------------------------------------------------------------------------- */

/* Whether a projection or a convolution makes v, pointwise ops after it. */
static bool
quantise_is_made(const Value *v)
{
    const Node *n = v->def;
    while (n && op_info[n->op].cls == CLASS_POINTWISE)
        n = n->in[0] ? n->in[0]->def : NULL;
    return n && (node_class(n) == CLASS_CONTRACT || node_class(n) == CLASS_CONV);
}

/* Ops that compute read what a recurrence makes as bf16, but for those that round it themselves.
 * Pass canon makes one cast of several. */
static bool
quantise_recurrences(Graph *g)
{
    bool changed = false;
    for (Node *n = g->first; n; n = n->next) {
        const bool computes = node_class(n) == CLASS_POINTWISE || node_class(n) == CLASS_ROWWISE;
        for (int i = 0; computes && !node_narrows(n) && i < n->nin; i++) {
            Value *y = n->in[i];
            if (!y || !y->def || y->type.dtype != DTYPE_f32 || !node_is_recurrence(y->def))
                continue;
            graph_set_operand(g, n, i, value_as(g, n, y, DTYPE_bf16));
            changed = true;
        }
    }
    return changed;
}

/* The end of the chain of pointwise ops that each alone read what the one before makes: they run in
 * the epilogue of what makes v. */
static Value *
quantise_last(Value *v)
{
    for (const Node *n = sole_reader(v);
         n && n->nin == 1 && node_class(n) == CLASS_POINTWISE && !node_narrows(n);
         n = sole_reader(v))
        v = n->out[0];
    return v;
}

/* What reads v reads it as bf16. */
static void
quantise_kept(Graph *g, Value *v)
{
    Value *kept = value_as(g, v->def->next, v, DTYPE_bf16);
    for (Node *n = kept->def->next; n; n = n->next)
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] == v)
                graph_set_operand(g, n, i, kept);
}

/* Columns that several ops share are kept as bf16, as is what a recurrence makes: a matrix unit
 * makes them faster than memory takes them. */
static bool
quantise_results(Quantise *q)
{
    Graph *g = q->g;
    bool changed = quantise_recurrences(g);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        const Value *v = n->nin ? n->in[0] : NULL;
        if (node_class(n) != CLASS_VIEW || !v || v->type.dtype != DTYPE_f32 ||
            !quantise_is_made(v) || (v->id < q->values && q->decides[v->id]))
            continue;
        changed = true;
        if (n->nout == 1) {
            quantise_kept(g, quantise_last(n->out[0]));
            continue;
        }
        Value *rounded = value_as(g, n, n->in[0], DTYPE_bf16);
        Node *split = quantise_node(q, n, n->op, 1, &rounded, &n->attrs);
        for (int i = 0; i < n->nout; i++)
            graph_replace(g, n->out[i], split->out[i]);
        graph_remove(g, n);
    }
    if (changed)
        pass_explain(q->cx, "columns that projections and convolutions make for several ops, and "
                            "what recurrences make: bf16");
    return changed;
}

/* ---- states -------------------------------------------------------------------------------- */

static bool
quantise_states(Graph *g, PassCtx *cx)
{
    bool changed = false;
    for (Node *n = g->first; n && cx->state_dtype != DTYPE_f32; n = n->next) {
        Value *state = node_class(n) == CLASS_RECURRENT ? node_operand(n, 's') : NULL;
        if (!state || state->type.dtype != DTYPE_f32)
            continue;
        graph_set_state_dtype(state, cx->state_dtype);
        changed = true;
    }
    if (changed)
        pass_explain(cx, "states of SSDs are kept in %s", dtype_info[cx->state_dtype].name);
    return changed;
}

/* Keys and values of heads that divide into pairs. */
static bool
quantise_kept_rows(Graph *g, PassCtx *cx)
{
    bool changed = false;
    for (Node *n = g->first; n && cx->kept_dtype == DTYPE_bf16; n = n->next) {
        const bool pairs = node_class(n) == CLASS_ATTEND && node_int(n, ATTR_head_dim, 1) % 2 == 0;
        for (int i = 0; pairs && i < n->nin; i++) {
            const Node *keep = n->in[i]->def;
            if (!keep || !node_gives_state(keep) || n->in[i]->type.dtype != DTYPE_f32)
                continue;
            graph_set_state_dtype(node_operand(keep, 's'), DTYPE_bf16);
            n->in[i]->type.dtype = DTYPE_bf16;
            changed = true;
        }
    }
    if (changed)
        pass_explain(cx, "keys and values of attention are kept in bf16");
    return changed;
}

bool
pass_quantise(Graph *g, PassCtx *cx)
{
    Quantise q = {.g = g, .cx = cx, .values = g->nvalue_ids};
    const FormatInfo *format = &format_info[cx->format];
    /* beside integers, bf16 saves nothing where it is emulated */
    const Dtype reals = format->bits && !cx->machine->bf16_dot ? DTYPE_f32 : format->reals;
    q.quantised = arena_array(cx->arena, (size_t)g->nvalue_ids, sizeof *q.quantised);
    q.decides = arena_array(cx->arena, (size_t)g->nvalue_ids, sizeof *q.decides);
    quantise_find_decisions(&q);
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (quantise_form(n) < 0)
            continue;
        const bool keeps = quantise_keeps(&q, n);
        const int64_t precise = node_int(n, ATTR_precise, 0);
        if (precise)
            attrs_remove(&n->attrs, ATTR_precise);
        q.changed = q.changed || precise;
        if (format->bits && !keeps)
            next = quantise_integers(&q, n, precise, reals);
        else if (reals == DTYPE_f32 || keeps)
            q.changed = quantise_triples(&q, n) || q.changed;
        else
            q.changed = quantise_reals(g, n, reals) || q.changed;
    }
    if (q.converted)
        diag_note(cx->diag, (SrcLoc){0},
                  "%d projections have weights in blocks that no kernel multiplies (Q5_1, Q5_K, or "
                  "tensors of several types that make one weight): they become 8-bit numbers in "
                  "groups of %d",
                  q.converted, STORED_GROUP);
    const bool gpu = cx->machine->gpu.kind != GPU_none && graph_has_runs(g);
    if (format->reals == DTYPE_bf16 && (cx->machine->matrix.bf16 || gpu))
        q.changed = quantise_results(&q) || q.changed;
    q.changed = quantise_kept_rows(g, cx) || q.changed;
    return quantise_states(g, cx) || q.changed;
}
