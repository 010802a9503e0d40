/* passes/quantise.c -- projections read bf16 weights and activations when dtype asks for it.
 *
 * Requires: linears over f32 activations and unpacked weights.
 * Ensures: with dtype bf16 both factors of every linear are bf16; sums and results stay f32.
 * Does not change: anything when dtype is f32, the default; biases, states, all that is no linear.
 *
 * Algorithm: each operand of a linear that is multiplied gets a cast. The cast of a weight is a
 * parameter, run once at load; the cast of an activation is fused into whatever makes it. Norm
 * weights and factors were folded before, so that a weight is rounded once, after all of them.
 * Casts of one value that several linears read are merged by the canon that follows.
 *
 *   y: f32[T,512] = linear(x, W, b)
 * becomes
 *   t1: bf16[512,256] = cast(W) {to=bf16}
 *   t2: bf16[T,256] = cast(x) {to=bf16}
 *   y: f32[T,512] = linear(t2, t1, b)
 */
#include "passes/internal.h"

static bool
quantise_operand(Graph *g, Node *linear, int slot)
{
    Value *now = linear->in[slot];
    Value *rounded = value_as(g, linear, now, DTYPE_bf16);
    if (rounded != now)
        graph_set_operand(g, linear, slot, rounded);
    return rounded != now;
}

/* linear checks its operands together: x in bf16 wants W in bf16, so W goes first. */
bool
pass_quantise(Graph *g, PassCtx *cx)
{
    bool changed = false;
    if (cx->dtype != DTYPE_bf16)
        return false;
    for (Node *n = g->first; n; n = n->next) {
        if (n->op != OP_linear || attrs_find(&n->attrs, ATTR_out))
            continue;
        changed = quantise_operand(g, n, 1) || changed;
        changed = quantise_operand(g, n, 0) || changed;
    }
    return changed;
}
