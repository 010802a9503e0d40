/* passes/canon.c -- algebraic rules, common subexpressions, dead nodes.
 *
 * Requires: a graph in stage MODEL or LOWERED.
 * Ensures: no rule of rules.c matches; no two pure nodes compute the same from the same operands,
 *   except those of the lowered SSD group, which belong to one kernel each; no computed
 *   value is without a reader.
 * Does not change: states and what writes them; the order of what stays; what outputs mean.
 *
 * Algorithm: one walk in order, linear in the number of nodes. For each node
 *   1. operands are exchanged for what took their place earlier in the walk;
 *   2. the first rule that matches gives what takes the place of the node's result (a node that
 *      it builds is visited next);
 *   3. else a hash table of the pure nodes met so far may hold an equal one: the same op,
 *      operands (in either order when the op commutes) and attributes.
 * Replaced nodes have no readers when the walk ends and go with the dead ones.
 * Terminates: every match lowers the measure in rules.c; a node is merged into an earlier one at
 *   most once; replaced nodes are not visited again.
 *
 *   t1: f32[T,64] = sigmoid(x)
 *   t2: f32[T,64] = mul(x, t1)
 *   t3: f32[T,64] = mul(t1, x)
 *   y: f32[T,64] = add(t2, t3)
 * becomes
 *   t4: f32[T,64] = silu(x)
 *   y: f32[T,64] = add(t4, t4)
 */
#include <string.h>

#include "passes/internal.h"

typedef struct {
    Graph *g;
    Forward forward;
    Node **table; /* open addressing */
    size_t mask;
    bool changed;
} Canon;

/* ---- equal nodes ------------------------------------------------------------------------ */

static uint64_t
canon_hash(const Node *n)
{
    uint64_t hash = hash_bytes(&n->op, sizeof n->op, 0);
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        const uint64_t one = !v                        ? 1
                             : v->kind == VALUE_NUMBER ? hash_bytes(&v->number, sizeof v->number, 2)
                                                       : hash_bytes(&v->id, sizeof v->id, 3);
        hash = node_flag(n, 'C') ? hash + one : hash_bytes(&one, sizeof one, hash);
    }
    for (int i = 0; i < n->attrs.count; i++)
        hash += (uint64_t)n->attrs.items[i].id * 31 + (uint64_t)n->attrs.items[i].i;
    return hash;
}

static bool
canon_same_operand(const Value *a, const Value *b)
{
    if (a == b)
        return true;
    return a && b && a->kind == VALUE_NUMBER && b->kind == VALUE_NUMBER &&
           memcmp(&a->number, &b->number, sizeof a->number) == 0;
}

static bool
canon_same_operands(const Node *a, const Node *b)
{
    bool same = true;
    for (int i = 0; i < a->nin; i++)
        same = same && canon_same_operand(a->in[i], b->in[i]);
    return same || (node_flag(a, 'C') && canon_same_operand(a->in[0], b->in[1]) &&
                    canon_same_operand(a->in[1], b->in[0]));
}

static bool
canon_same_attr(const Attr *a, const Attr *b)
{
    if (a->id != b->id)
        return false;
    const size_t count = (size_t)a->count;
    switch (attr_info[a->id].kind) {
    case AK_INT:
    case AK_CHUNK:
        return a->i == b->i;
    case AK_NUM:
        return a->num == b->num;
    case AK_WORD:
        return strcmp(a->word, b->word) == 0;
    case AK_INTS:
        return a->count == b->count && memcmp(a->ints, b->ints, count * sizeof *a->ints) == 0;
    case AK_NUMS:
        return a->count == b->count && memcmp(a->nums, b->nums, count * sizeof *a->nums) == 0;
    }
    die("attribute of kind %d", (int)attr_info[a->id].kind);
}

static bool
canon_same(const Node *a, const Node *b)
{
    if (a->op != b->op || a->nin != b->nin || a->nout != b->nout ||
        a->attrs.count != b->attrs.count || !canon_same_operands(a, b))
        return false;
    for (int i = 0; i < a->attrs.count; i++)
        if (!canon_same_attr(&a->attrs.items[i], &b->attrs.items[i]))
            return false;
    return true;
}

/* An equal node met before; else n is remembered. */
static Node *
canon_equal(Canon *c, Node *n)
{
    if (op_has_state(n->op) || node_flag(n, 'S'))
        return NULL;
    size_t at = (size_t)canon_hash(n) & c->mask;
    for (; c->table[at]; at = (at + 1) & c->mask)
        if (canon_same(c->table[at], n))
            return c->table[at];
    c->table[at] = n;
    return NULL;
}

/* ---- the walk --------------------------------------------------------------------------- */

static void
canon_put(Canon *c, Value *from, Value *to)
{
    forward_put(&c->forward, from, to);
    c->changed = true;
}

/* Visits n; the node to visit next. */
static Node *
canon_visit(Canon *c, Node *n)
{
    if (forward_done(&c->forward, n->out[0]))
        return n->next;
    forward_operands(&c->forward, n);
    const int known = c->g->nvalue_ids;
    Value *to = NULL;
    for (int i = 0; i < canon_rule_count && !to; i++)
        to = canon_rules[i](c->g, n);
    if (to) {
        canon_put(c, n->out[0], to);
        return to->kind == VALUE_RESULT && to->id >= known ? to->def : n->next;
    }
    const Node *equal = canon_equal(c, n);
    for (int i = 0; equal && i < n->nout; i++)
        canon_put(c, n->out[i], equal->out[i]);
    return n->next;
}

bool
pass_canon(Graph *g, PassCtx *cx)
{
    size_t slots = 64;
    while (slots < (size_t)g->nnode_ids * 8) /* rules build fewer than three nodes for each */
        slots *= 2;
    Canon c = {.g = g, .forward = forward_new(g, cx->arena), .mask = slots - 1};
    c.table = arena_array(cx->arena, slots, sizeof(Node *));
    for (Node *n = g->first; n;)
        n = canon_visit(&c, n);
    forward_outputs(&c.forward);
    return graph_remove_dead(g) > 0 || c.changed;
}
