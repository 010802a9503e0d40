/* passes/query.c -- what passes ask about nodes and values. */
#include <string.h>

#include "passes/internal.h"

OpClass
node_class(const Node *n)
{
    return op_info[n->op].cls;
}

bool
node_flag(const Node *n, char flag)
{
    return op_has_flag(n->op, flag);
}

Value *
node_weight(const Node *n)
{
    return node_class(n) == CLASS_CONTRACT ? node_operand(n, 'W') : NULL;
}

bool
node_is_packed(const Node *n)
{
    return node_weight(n) && attrs_find(&n->attrs, ATTR_out);
}

Value *
view_root(Value *v)
{
    while (v->kind == VALUE_RESULT && node_class(v->def) == CLASS_VIEW)
        v = v->def->in[0];
    return v;
}

/* The operand of the highest rank: W of mul(W, w), x of clamp(x). */
static const Value *
main_operand(const Node *n)
{
    const Value *best = NULL;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && (!best || n->in[i]->type.shape.rank > best->type.shape.rank))
            best = n->in[i];
    return best;
}

const Value *
param_weight(const Value *v)
{
    while (v && v->kind == VALUE_RESULT && v->is_param)
        v = main_operand(v->def);
    return v && v->kind == VALUE_WEIGHT ? v : NULL;
}

const char *
name_stem(Arena *arena, const char *name)
{
    static const char *const endings[] = {".weight", ".bias"};
    size_t len = strlen(name);
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        const size_t n = strlen(endings[i]);
        if (len > n && memcmp(name + len - n, endings[i], n) == 0)
            len -= n;
    }
    size_t start = len;
    while (start > 0 && name[start - 1] != '.')
        start--;
    return arena_strndup(arena, name + start, len - start);
}

const char *
choose_word(const char *option, const Node *n, AttrId id, const char *table)
{
    if (option && strcmp(option, "auto") != 0)
        return option;
    const char *attr = node_word(n, id, "auto");
    return strcmp(attr, "auto") != 0 ? attr : table;
}

Node *
sole_reader(const Value *v)
{
    for (Node *n = v->uses == 1 ? v->def->next : NULL; n; n = n->next)
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] == v)
                return n;
    return NULL;
}

bool
asks_triples(const PassCtx *cx)
{
    return cx->dot && strcmp(cx->dot, "bf16x3") == 0;
}

WeightBlocks
blocks_of(const Value *w)
{
    const bool turned = w->kind == VALUE_RESULT && w->def->op == OP_regroup;
    const Value *from = turned ? w->def->in[0] : w;
    return from->kind == VALUE_WEIGHT ? from->blocks : BLOCKS_none;
}

WeightBlocks
blocks_kept(const PassCtx *cx, const Value *w)
{
    const WeightBlocks blocks = blocks_of(w);
    const int bits = blocks_info[blocks].bits;
    return bits && bits <= format_info[cx->format].bits ? blocks : BLOCKS_none;
}

Value *
value_as(Graph *g, Node *before, Value *v, Dtype to)
{
    if (v->type.dtype == to)
        return v;
    AttrList attrs = {0};
    attrs_set(g->arena, &attrs, attr_word(ATTR_to, dtype_info[to].name));
    return graph_build(g, before, OP_cast, 1, &v, &attrs, NULL, before->loc);
}

ProductChoice
product_of(const PassCtx *cx, const Graph *g, const Node *n, const Node *conv)
{
    const Value *x = node_operand(n, 'x'), *y = n->out[0];
    const int64_t most = dim_count(y->type.shape.dim[0], g->block, g->rows);
    const bool few = !graph_has_runs(g) || most <= PRODUCT_MOST_FEW;
    const bool experts = node_experts(n) > 0;
    const ProductRows rows = experts            ? (few ? PRODUCT_EXPERTS_FEW : PRODUCT_EXPERTS)
                             : cx->reproducible ? PRODUCT_ANY
                             : few              ? PRODUCT_FEW
                                                : PRODUCT_MANY;
    /* A convolution of single tokens needs no rows beside its own. */
    const int64_t taps = conv && graph_has_runs(g) ? node_taps(conv) : 0;
    return product_with_conv(&cx->machine->gpu, rows, x->type.dtype, type_width(&x->type),
                             type_width(&y->type), taps);
}

Value *
before_kept(const Graph *g, Value *v)
{
    const bool kept = graph_has_runs(g) && v->kind == VALUE_RESULT && node_narrows(v->def);
    return kept ? v->def->in[0] : v;
}

bool
conv_has_room(const PassCtx *cx, const Graph *g, const Node *conv, const Node *linear)
{
    return !graph_has_runs(g) || product_of(cx, g, linear, conv).product != NULL;
}

bool
ssd_fits_groups(const Machine *machine, const Node *ssd)
{
    enum { CAPABILITY = 90, MOST_STATES = 256 };
    return machine->gpu.capability >= CAPABILITY && node_int(ssd, ATTR_state, 1) <= MOST_STATES;
}
