/* passes/layout.c -- weights are packed for the kernels that read them.
 *
 * Requires: choose_matmul has marked every linear.
 * Ensures: an emitted linear reads pack(W) {panel=NR} and says out=O; a conv1d reads its weight
 *   as [K,C].
 * Does not change: weights of blas linears, of embeddings and of norms; numbers.
 *
 * Algorithm: the panel comes from the table panel.def: of the machine's candidates the one with the
 * least padded columns over measured rate. Only the weight's shape and type and the machine enter,
 * so that prefill and decode choose the same panel and share the packed weight. An f32 product of a
 * weight stored as bf16 widens it first: bf16 would be packed in pairs. A weight that several
 * linears read is packed once.
 *
 *   y: f32[T,1160] = linear(x, W) {matmul=emitted}
 * becomes
 *   t1: f32[19,256,64] = pack(W) {panel=64}
 *   y: f32[T,1160] = linear(x, t1) {out=1160, matmul=emitted}
 */
#include <string.h>

#include "passes/internal.h"

typedef struct {
    Graph *g;
    PassCtx *cx;
    Value **made; /* by value id: what a weight became; NULL: nothing yet */
    int values;
    bool changed;
} Layout;

static Value *
layout_pack(Layout *l, Node *linear, Value *weight)
{
    const PassMachine *m = &l->cx->machine;
    const int64_t columns = weight->type.shape.dim[0].n;
    Value *typed = value_as(l->g, linear, weight, linear->in[0]->type.dtype);
    const Panel panel = panel_for(m, typed->type.dtype, columns);
    const int64_t width = panel.vectors * machine_lanes(m);
    AttrList attrs = {0};
    attrs_set(l->g->arena, &attrs, attr_int(ATTR_panel, width));
    pass_explain(l->cx,
                 "weight of %lld columns, %s: panels of %lld, %.1f%% padding, %lld rows a tile",
                 (long long)columns, dtype_info[typed->type.dtype].name, (long long)width,
                 100.0 * (double)(round_up(columns, width) - columns) / (double)columns,
                 (long long)panel.rows);
    return graph_build(l->g, linear, OP_pack, 1, &typed, &attrs, NULL, linear->loc);
}

/* The earlier layout of a weight, remembered for the readers to come. */
static Value *
layout_again(Layout *l, const Value *weight, Value *made)
{
    if (weight->id < l->values)
        l->made[weight->id] = made;
    return made;
}

static Value *
layout_known(const Layout *l, const Value *weight, Dtype dtype)
{
    Value *made = weight->id < l->values ? l->made[weight->id] : NULL;
    return made && made->type.dtype == dtype ? made : NULL;
}

static void
layout_linear(Layout *l, Node *n)
{
    Value *weight = n->in[1];
    const int64_t columns = weight->type.shape.dim[0].n;
    Value *packed = layout_known(l, weight, n->in[0]->type.dtype);
    if (!packed)
        packed = layout_again(l, weight, layout_pack(l, n, weight));
    graph_set_attr(l->g, n, attr_int(ATTR_out, columns));
    graph_set_operand(l->g, n, 1, packed);
    l->changed = true;
}

static void
layout_conv(Layout *l, Node *n)
{
    Value *weight = n->in[1];
    Value *turned = layout_known(l, weight, DTYPE_f32);
    if (!turned)
        turned = layout_again(l, weight,
                              graph_build(l->g, n, OP_transpose, 1, &weight, NULL, NULL, n->loc));
    graph_set_operand(l->g, n, 1, turned);
    l->changed = true;
}

bool
pass_layout(Graph *g, PassCtx *cx)
{
    Layout l = {.g = g, .cx = cx, .values = g->nvalue_ids};
    l.made = arena_array(cx->arena, (size_t)g->nvalue_ids, sizeof(Value *));
    for (Node *n = g->first; n; n = n->next) {
        const bool emitted = strcmp(node_word(n, ATTR_matmul, "emitted"), "blas") != 0;
        if (n->op == OP_linear && emitted && !attrs_find(&n->attrs, ATTR_out))
            layout_linear(&l, n);
        else if (node_class(n) == CLASS_CONV && n->in[1]->type.shape.rank == 3)
            layout_conv(&l, n);
    }
    return l.changed;
}
