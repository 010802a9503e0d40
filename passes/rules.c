/* passes/rules.c -- the algebraic rules of canon: {name, match, build}; the first match wins.
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

static bool
match_zero(const Node *n)
{
    return (n->op == OP_add || n->op == OP_sub) && rule_neutral(n, 0) != NULL;
}

static bool
match_one(const Node *n)
{
    return n->op == OP_mul && rule_neutral(n, 1) != NULL;
}

static Value *
build_operand(Graph *g, Node *n)
{
    (void)g;
    return n->in[0];
}

static bool
match_neg_neg(const Node *n)
{
    return n->op == OP_neg && rule_def(n->in[0], OP_neg) != NULL;
}

static Value *
build_neg_neg(Graph *g, Node *n)
{
    (void)g;
    return n->in[0]->def->in[0];
}

/* The operand that is the sigmoid of the other; -1: neither is. */
static int
rule_sigmoid_slot(const Node *n)
{
    for (int slot = 0; slot < 2; slot++) {
        const Node *gate = rule_def(n->in[slot], OP_sigmoid);
        if (gate && gate->in[0] == n->in[1 - slot])
            return slot;
    }
    return -1;
}

static bool
match_silu(const Node *n)
{
    return n->op == OP_mul && rule_sigmoid_slot(n) >= 0;
}

static Value *
build_silu(Graph *g, Node *n)
{
    Value *x = n->in[1 - rule_sigmoid_slot(n)];
    return graph_build(g, n, OP_silu, 1, &x, NULL, NULL, n->loc);
}

/* A clamp that lets everything through: no bounds, or no upper bound and a lower one that the
 * operand cannot be below (flag P: the op never gives a negative number). */
static bool
match_clamp(const Node *n)
{
    if (n->op != OP_clamp)
        return false;
    const double *range = attrs_find(&n->attrs, ATTR_range)->nums;
    const Value *x = n->in[0];
    const bool positive = x->kind == VALUE_RESULT && node_flag(x->def, 'P');
    return range[1] == INFINITY && (range[0] == -INFINITY || (positive && range[0] <= 0));
}

static bool
match_cast_same(const Node *n)
{
    return n->op == OP_cast && n->in[0]->type.dtype == n->out[0]->type.dtype;
}

/* f32 holds every f16 and bf16: a cast up to it and away again is the last cast alone. */
static bool
match_cast_cast(const Node *n)
{
    const Node *first = n->op == OP_cast ? rule_def(n->in[0], OP_cast) : NULL;
    return first && first->out[0]->type.dtype == DTYPE_f32 &&
           dtype_info[first->in[0]->type.dtype].is_float;
}

static Value *
build_cast_cast(Graph *g, Node *n)
{
    return value_as(g, n, n->in[0]->def->in[0], n->out[0]->type.dtype);
}

static bool
match_split_whole(const Node *n)
{
    return n->op == OP_split && n->nout == 1;
}

/* The operand that is the same commutative op of something and a number, the other being a number
 * too; -1: not so. `number` is what the two numbers come to. */
static int
rule_chain_slot(const Node *n, double *number)
{
    if (node_class(n) != CLASS_POINTWISE || !node_flag(n, 'C'))
        return -1;
    for (int slot = 0; slot < 2; slot++) {
        const Node *inner = rule_def(n->in[slot], n->op);
        if (!inner || n->in[1 - slot]->kind != VALUE_NUMBER || inner->in[1]->kind != VALUE_NUMBER)
            continue;
        const double a = inner->in[1]->number, b = n->in[1 - slot]->number;
        *number = n->op == OP_mul ? a * b : a + b;
        return isfinite(*number) ? slot : -1;
    }
    return -1;
}

static bool
match_numbers(const Node *n)
{
    double number = 0;
    return (n->op == OP_add || n->op == OP_mul) && rule_chain_slot(n, &number) >= 0;
}

static Value *
build_numbers(Graph *g, Node *n)
{
    double number = 0;
    Value *x = n->in[rule_chain_slot(n, &number)]->def->in[0];
    return graph_build(g, n, n->op, 2, (Value *[]){x, graph_number(g, number)}, NULL, NULL, n->loc);
}

/* Numbers stand on the right, where the other rules look for them. */
static bool
match_number_left(const Node *n)
{
    return node_class(n) == CLASS_POINTWISE && node_flag(n, 'C') && n->in[0]->kind == VALUE_NUMBER;
}

static Value *
build_number_left(Graph *g, Node *n)
{
    return graph_build(g, n, n->op, 2, (Value *[]){n->in[1], n->in[0]}, NULL, NULL, n->loc);
}

const CanonRule canon_rules[] = {
    {"number_left", match_number_left, build_number_left}, /* 2 * x            -> x * 2     */
    {"numbers",     match_numbers,     build_numbers    }, /* (x * 2) * 3      -> x * 6     */
    {"zero",        match_zero,        build_operand    }, /* x + 0, x - 0     -> x         */
    {"one",         match_one,         build_operand    }, /* x * 1            -> x         */
    {"neg_neg",     match_neg_neg,     build_neg_neg    }, /* -(-x)            -> x         */
    {"silu",        match_silu,        build_silu       }, /* x * sigmoid(x)   -> silu(x)   */
    {"clamp",       match_clamp,       build_operand    }, /* lets all through -> x         */
    {"cast_same",   match_cast_same,   build_operand    }, /* f32 to f32       -> x         */
    {"cast_cast",   match_cast_cast,   build_cast_cast  }, /* bf16, f32, bf16  -> one cast  */
    {"split_whole", match_split_whole, build_operand    }, /* one piece        -> x         */
};
const int canon_rule_count = COUNT_OF(canon_rules);
