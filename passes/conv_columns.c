/* passes/conv_columns.c -- a convolution takes its columns from the projection that makes them.
 *
 * Requires: nothing.
 * Ensures: on a GPU a conv1d that is the only reader of a piece of a projection's split reads the
 *   projection itself; its attribute column says where the piece begins. So pass fuse can put it
 *   into the projection's epilogue: the thread that computes a column there has the convolution's
 *   input, and reads the state. In a graph whose sequences have several tokens, the convolution
 *   reads the columns rounded to bf16, as the split has them, and the rewrite needs a product whose
 *   tiles have room for the rows before those that they make (machine/product.h).
 * Does not change: any number; the split, whose other pieces are read.
 *
 *   z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
 *   c: f32[T,24] = conv1d(u, k, b, s)
 * becomes
 *   z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
 *   c: f32[T,24] = conv1d(p, k, b, s) {column=16}
 */
#include "passes/internal.h"

/* The split of a projection by real numbers that conv's x is a piece of; NULL: there is none, or
 * its kernel has no room for conv. */
static Node *
columns_split(const PassCtx *cx, const Graph *g, const Node *conv)
{
    const Value *x = node_operand(conv, 'x');
    Node *split = x->kind == VALUE_RESULT && x->def->op == OP_split ? x->def : NULL;
    const Value *p = split ? before_kept(g, split->in[0]) : NULL;
    const bool made = p && p->kind == VALUE_RESULT && !p->is_param && p->def->op == OP_linear &&
                      !node_is_packed(p->def);
    return made && split->nout > 1 && conv_has_room(cx, g, conv, p->def) ? split : NULL;
}

bool
pass_conv_columns(Graph *g, PassCtx *cx)
{
    bool changed = false;
    if (cx->machine->gpu.kind == GPU_none)
        return false;
    for (Node *n = g->first; n; n = n->next) {
        Value *x = node_flag(n, 'E') ? node_operand(n, 'x') : NULL;
        if (!x || x->uses != 1 || attrs_find(&n->attrs, ATTR_column))
            continue;
        const Node *split = columns_split(cx, g, n);
        if (!split)
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
