/* passes/conv_columns.c -- a convolution of single tokens takes its columns from the projection
 * that makes them.
 *
 * Requires: nothing.
 * Ensures: on a GPU, in a graph whose sequences have one token each, a conv1d that alone reads a
 *   piece of a projection's split reads the projection, and says its first column there: so it can
 *   run in the projection's epilogue (pass fuse), where whoever has a column's sum has all that it
 *   needs beside the state.
 * Does not change: any number; the split, whose other pieces are read.
 *
 *   z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
 *   c: f32[T,24] = conv1d(u, k, b, s)
 * becomes
 *   z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
 *   c: f32[T,24] = conv1d(p, k, b, s) {column=16}
 */
#include "passes/internal.h"

/* The split of a projection by real numbers that v is a piece of; NULL: there is none. */
static Node *
columns_split(const Value *v)
{
    Node *split = v->kind == VALUE_RESULT && v->def->op == OP_split ? v->def : NULL;
    const Value *p = split ? split->in[0] : NULL;
    const bool made = p && p->kind == VALUE_RESULT && !p->is_param && p->def->op == OP_linear &&
                      !node_is_packed(p->def);
    return made && split->nout > 1 ? split : NULL;
}

bool
pass_conv_columns(Graph *g, PassCtx *cx)
{
    bool changed = false;
    if (graph_has_runs(g) || cx->machine->gpu.kind == GPU_none)
        return false;
    for (Node *n = g->first; n; n = n->next) {
        Value *x = node_flag(n, 'E') ? node_operand(n, 'x') : NULL;
        const Node *split = x && x->uses == 1 ? columns_split(x) : NULL;
        if (!split || attrs_find(&n->attrs, ATTR_column))
            continue;
        int64_t first = 0;
        for (int i = 0; split->out[i] != x; i++)
            first += type_width(&split->out[i]->type);
        graph_set_attr(g, n, attr_int(ATTR_column, first));
        graph_set_operand(g, n, op_slot(n->op, 'x'), split->in[0]);
        changed = true;
    }
    return changed;
}
