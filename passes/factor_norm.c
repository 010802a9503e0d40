/* passes/factor_norm.c -- the norm of what a projection of few rows multiplies becomes a factor of
 * its rows.
 *
 * Requires: activations of projections have the type that they are multiplied in.
 * Ensures: on a GPU, in a graph whose sequences have one token each, a linear by bf16 whose x is a
 *   root mean square norm that nothing else reads multiplies what the norm read, rounded, and says
 *   the norm's eps: so a layer has a launch less, and whatever makes x rounds it.
 * Does not change: norms of column groups or with a weight that is still theirs; those that others
 *   read; where bits must not depend on how a text is split into calls: prefill has its norms.
 *
 * The mean is that of the rounded numbers, which are multiplied: each is off by 2^-9 at most, as
 * the norm's results would be.
 *
 *   u: f32[T,768] = rmsnorm(h) {eps=1e-05}
 *   x: bf16[T,768] = cast(u) {to=bf16}
 *   p: f32[T,3352] = linear(x, W)
 * becomes
 *   x: bf16[T,768] = cast(h) {to=bf16}
 *   p: f32[T,3352] = linear(x, W) {eps=1e-05}
 */
#include "passes/internal.h"

/* The norm that can become a factor of n's rows; NULL: there is none. */
static Node *
factor_of(const Node *n)
{
    const Value *x = n->op == OP_linear ? node_operand(n, 'x') : NULL, *w = node_weight(n);
    if (!x || x->kind != VALUE_RESULT || x->def->op != OP_cast || x->is_param || x->uses != 1 ||
        x->type.dtype != DTYPE_bf16 || w->type.dtype != DTYPE_bf16 || node_is_packed(n))
        return NULL;
    const Value *u = x->def->in[0];
    Node *norm = u->kind == VALUE_RESULT && u->uses == 1 ? u->def : NULL;
    const bool plain = norm && norm->op == OP_rmsnorm && !node_operand(norm, 'W') &&
                       node_int(norm, ATTR_groups, 1) == 1;
    return plain && norm->in[0]->type.dtype == DTYPE_f32 ? norm : NULL;
}

bool
pass_factor_norm(Graph *g, PassCtx *cx)
{
    bool changed = false;
    if (graph_has_runs(g) || cx->reproducible || cx->machine->gpu.kind == GPU_none)
        return false;
    for (Node *n = g->first; n; n = n->next) {
        Node *norm = factor_of(n);
        if (!norm)
            continue;
        Node *cast = node_operand(n, 'x')->def;
        graph_set_operand(g, cast, 0, norm->in[0]);
        graph_set_attr(g, n, *attrs_find(&norm->attrs, ATTR_eps));
        graph_remove(g, norm);
        changed = true;
    }
    return changed;
}
