/* passes/lower_attention.c -- attention of one token after another is divided over the past.
 *
 * Requires: nothing.
 * Ensures: in a graph whose sequences have one token each, no attention is left: threads divide the
 *   past of a sequence, also where its queries share one head of keys and values.
 * Does not change: what y is; attention over many tokens, whose blocks are work enough; or where
 *   bits must not depend on how a text is split into calls: sums are then taken in one order, in
 *   prefill and decode alike.
 *
 * Source: Dao et al., "Flash-Decoding for long-context inference" (2023). Where stretches begin
 * depends on nothing but the token's position (codegen/emit/attend_sums.c).
 *
 *   y: f32[T,512] = attention(q, K, V) {groups=2, heads=8, head_dim=64, scale=0.125}
 * becomes
 *   t1: f32[T,528] = attention_sums(q, K, V) {groups=2, heads=8, head_dim=64, scale=0.125}
 *   y: f32[T,512] = attention_join(t1) {heads=8, head_dim=64}
 */
#include "passes/internal.h"

/* Those of the node's attributes that the op takes. */
static AttrList
lower_attrs(Graph *g, const Node *n, Op op)
{
    AttrList attrs = {0};
    bool required = false;
    for (int i = 0; i < n->attrs.count; i++)
        if (op_takes_attr(op, n->attrs.items[i].id, &required))
            attrs_set(g->arena, &attrs, n->attrs.items[i]);
    return attrs;
}

static Value *
lower_one(Graph *g, Node *n)
{
    const AttrList divided = lower_attrs(g, n, OP_attention_sums);
    const AttrList joined = lower_attrs(g, n, OP_attention_join);
    Value *sums = graph_build(g, n, OP_attention_sums, n->nin, n->in, &divided, NULL, n->loc);
    return graph_build(g, n, OP_attention_join, 1, &sums, &joined, NULL, n->loc);
}

bool
pass_lower_attention(Graph *g, PassCtx *cx)
{
    Forward forward = forward_new(g, cx->arena);
    bool changed = false;
    if (graph_has_runs(g) || cx->reproducible || cx->machine->gpu.kind != GPU_none)
        return false; /* a GPU's blocks divide the past themselves */
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        forward_operands(&forward, n);
        if (n->op != OP_attention)
            continue;
        pass_explain(
            cx,
            "attention H=%lld P=%lld G=%lld: in up to %d stretches of the past, of %d tokens "
            "at least",
            (long long)node_int(n, ATTR_heads, 1), (long long)node_int(n, ATTR_head_dim, 1),
            (long long)node_int(n, ATTR_groups, 1), (int)TILE_ATTEND_STRETCHES,
            (int)(TILE_ATTEND_STRETCH * TILE_ATTEND_STEP));
        forward_put(&forward, n->out[0], lower_one(g, n));
        changed = true;
    }
    forward_outputs(&forward);
    for (Node *n = g->first, *next; n && changed; n = next) {
        next = n->next;
        if (n->op == OP_attention)
            graph_remove(g, n);
    }
    return changed;
}
