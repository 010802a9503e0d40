/* passes/rules.c -- the algebraic rules of canon; the first that matches wins.
 *
 * Applying them comes to an end: number_left lowers the count of numbers on the left, and no rule
 * adds one; every other rule lowers the sum, over the nodes that are read, of the length of the
 * longest chain of nodes above each. */
#include <math.h>

#include "passes/internal.h"

/* The left operand when the right one is `number` and nothing is broadcast; NULL: not so. */
static Value *
rule_neutral(const Node *n, double number)
{
    const Value *right = n->in[1];
    if (right->kind != VALUE_NUMBER || right->number != number)
        return NULL;
    return type_equal(&n->in[0]->type, &n->out[0]->type) ? n->in[0] : NULL;
}

static const Node *
rule_def(const Value *v, Op op)
{
    return v->kind == VALUE_RESULT && v->def->op == op ? v->def : NULL;
}

static Value *
rule_zero(Graph *g, Node *n)
{
    (void)g;
    return n->op == OP_add || n->op == OP_sub ? rule_neutral(n, 0) : NULL;
}

static Value *
rule_one(Graph *g, Node *n)
{
    (void)g;
    return n->op == OP_mul ? rule_neutral(n, 1) : NULL;
}

static Value *
rule_neg_neg(Graph *g, Node *n)
{
    (void)g;
    const Node *inner = n->op == OP_neg ? rule_def(n->in[0], OP_neg) : NULL;
    return inner ? inner->in[0] : NULL;
}

static Value *
rule_silu(Graph *g, Node *n)
{
    for (int slot = 0; n->op == OP_mul && slot < 2; slot++) {
        const Node *gate = rule_def(n->in[slot], OP_sigmoid);
        if (gate && gate->in[0] == n->in[1 - slot])
            return graph_build(g, n, OP_silu, 1, &n->in[1 - slot], NULL, NULL, n->loc);
    }
    return NULL;
}

/* A clamp that lets everything through: no bounds, or no upper bound and a lower one that the
 * operand cannot be below (flag P: the op never gives a negative number). */
static Value *
rule_clamp(Graph *g, Node *n)
{
    (void)g;
    if (n->op != OP_clamp)
        return NULL;
    const double *range = attrs_find(&n->attrs, ATTR_range)->nums;
    const Value *x = n->in[0];
    const bool positive = x->kind == VALUE_RESULT && node_flag(x->def, 'P');
    const bool all = range[1] == INFINITY && (range[0] == -INFINITY || (positive && range[0] <= 0));
    return all ? n->in[0] : NULL;
}

static Value *
rule_cast_same(Graph *g, Node *n)
{
    (void)g;
    return n->op == OP_cast && n->in[0]->type.dtype == n->out[0]->type.dtype ? n->in[0] : NULL;
}

/* f32 holds every f16 and bf16: a cast up to it and away again is the last cast alone. */
static Value *
rule_cast_cast(Graph *g, Node *n)
{
    const Node *first = n->op == OP_cast ? rule_def(n->in[0], OP_cast) : NULL;
    if (!first || first->out[0]->type.dtype != DTYPE_f32 ||
        !dtype_info[first->in[0]->type.dtype].is_float)
        return NULL;
    return value_as(g, n, first->in[0], n->out[0]->type.dtype);
}

static Value *
rule_split_whole(Graph *g, Node *n)
{
    (void)g;
    return n->op == OP_split && n->nout == 1 ? n->in[0] : NULL;
}

/* An operand that is the same op of something and a number, the other being a number too. */
static Value *
rule_numbers(Graph *g, Node *n)
{
    for (int slot = 0; (n->op == OP_add || n->op == OP_mul) && slot < 2; slot++) {
        const Node *inner = rule_def(n->in[slot], n->op);
        if (!inner || n->in[1 - slot]->kind != VALUE_NUMBER || inner->in[1]->kind != VALUE_NUMBER)
            continue;
        const double a = inner->in[1]->number, b = n->in[1 - slot]->number;
        const double number = n->op == OP_mul ? a * b : a + b;
        if (!isfinite(number))
            return NULL;
        Value *in[] = {inner->in[0], graph_number(g, number)};
        return graph_build(g, n, n->op, 2, in, NULL, NULL, n->loc);
    }
    return NULL;
}

/* Numbers stand on the right, where the other rules look for them. */
static Value *
rule_number_left(Graph *g, Node *n)
{
    if (node_class(n) != CLASS_POINTWISE || !node_flag(n, 'C') || n->in[0]->kind != VALUE_NUMBER)
        return NULL;
    return graph_build(g, n, n->op, 2, (Value *[]){n->in[1], n->in[0]}, NULL, NULL, n->loc);
}

CanonRule *const canon_rules[] = {
    rule_number_left, /* 2 * x            -> x * 2     */
    rule_numbers,     /* (x * 2) * 3      -> x * 6     */
    rule_zero,        /* x + 0, x - 0     -> x         */
    rule_one,         /* x * 1            -> x         */
    rule_neg_neg,     /* -(-x)            -> x         */
    rule_silu,        /* x * sigmoid(x)   -> silu(x)   */
    rule_clamp,       /* lets all through -> x         */
    rule_cast_same,   /* f32 to f32       -> x         */
    rule_cast_cast,   /* bf16, f32, bf16  -> one cast  */
    rule_split_whole, /* one part         -> x         */
};
const int canon_rule_count = COUNT_OF(canon_rules);
