/* ir/parse_stmt.c -- statements: targets = expression.
 *
 *     statement  = target {"," target} "=" sum
 *     target     = NAME [":" type [place]]
 *     sum        = product {("+" | "-") product}
 *     product    = unary {"*" unary}
 *     unary      = "-" unary | NUMBER | "_" | NAME | NAME "(" [sum {"," sum}] ")" [attributes]
 *                | "(" sum ")"
 */
#include "ir/parse.h"

#include <math.h>
#include <string.h>

/* The value of an expression. */
typedef struct {
    SrcLoc loc;
    bool is_number; /* arithmetic of numbers is done here */
    double number;
    bool missing; /* `_`, or the name of an absent optional weight */
    Node *node;   /* the node just made for it, perhaps with several results */
    Value *value;
} Expr;

typedef struct {
    int count;
    Value *in[IR_MAX_IN];
    SrcLoc loc[IR_MAX_IN];
} Args;

static bool parse_sum(Parser *p, Expr *out);

/* ---- making nodes ------------------------------------------------------------------------- */

static void
report_fault(Parser *p, Op op, SrcLoc loc, const Args *args, const ShapeResult *why)
{
    const Value *at_fault = NULL;
    if (why->operand >= 0 && why->operand < args->count)
        at_fault = args->in[why->operand];
    if (at_fault && args->loc[why->operand].line)
        loc = args->loc[why->operand];
    diag_error(p->diag, loc, "`%s`: %s", op_info[op].name, why->why);
    if (at_fault && at_fault->loc.line)
        diag_also(p->diag, at_fault->loc, "`%s` comes from here", at_fault->name);
}

/* Fills the state slots of an op in a block, where they are not written. */
static bool
supply_state(Parser *p, Op op, SrcLoc loc, const AttrList *attrs, Args *args)
{
    Node node = {.op = op, .nin = args->count, .attrs = *attrs, .loc = loc};
    for (int i = 0; i < args->count; i++)
        node.in[i] = args->in[i];
    ShapeResult result = {.arena = p->arena, .operand = -1};
    if (!node_check(&node, false, &result)) {
        report_fault(p, op, loc, args, &result);
        return false;
    }
    char kind;
    bool optional;
    for (int i = 0; op_operand(op, i, &kind, &optional); i++) {
        if (kind != 's')
            continue;
        args->in[i] = p->scope->state(p->scope, op, &result.state, loc);
        args->count = i + 1;
        if (!args->in[i])
            return false;
    }
    return true;
}

static bool
make_node(Parser *p, Op op, SrcLoc loc, const AttrList *attrs, Args *args, Expr *out)
{
    if (op_has_state(op) && p->scope->state && !supply_state(p, op, loc, attrs, args))
        return false;
    ShapeResult why;
    Node *node =
        graph_append(p->scope->graph, NULL, op, args->count, args->in, attrs, NULL, loc, &why);
    if (!node) {
        report_fault(p, op, loc, args, &why);
        return false;
    }
    *out = (Expr){.loc = loc, .node = node, .value = node->out[0]};
    return true;
}

/* The one value of an expression where one is needed. */
static bool
one_value(Parser *p, const Expr *expr, Value **out)
{
    if (expr->missing)
        return diag_error(p->diag, expr->loc, "a value is needed here, and this one is absent");
    if (expr->node && expr->node->nout != 1)
        return diag_error(p->diag, expr->loc, "`%s` makes %d results, expected one here",
                          op_info[expr->node->op].name, expr->node->nout);
    *out = expr->is_number ? graph_number(p->scope->graph, expr->number) : expr->value;
    return true;
}

/* ---- calls -------------------------------------------------------------------------------- */

/* States are not written in blocks: their slots are passed over. */
static bool
parse_args(Parser *p, bool is_op, Op op, Args *args)
{
    if (!parser_expect(p, '(', "after the op"))
        return false;
    if (parser_accept(p, ')'))
        return true;
    do {
        int slot = args->count;
        char kind;
        bool optional;
        Expr expr;
        while (is_op && p->scope->state && op_operand(op, slot, &kind, &optional) && kind == 's')
            slot++;
        if (slot >= IR_MAX_IN)
            return diag_error(p->diag, p->token.loc, "a call has at most %d operands", IR_MAX_IN);
        if (!parse_sum(p, &expr))
            return false;
        args->loc[slot] = expr.loc;
        args->count = slot + 1;
        if (!expr.missing && !one_value(p, &expr, &args->in[slot]))
            return false;
    } while (parser_accept(p, ','));
    return parser_expect(p, ')', "after the operands");
}

/* Something that is no op: the scope may know it. */
static bool
other_call(Parser *p, const Token *name, Args *args, Expr *out)
{
    ParseScope *scope = p->scope;
    const char *text = parser_text(p, name);
    const int before = diag_errors(p->diag);
    *out = (Expr){.loc = name->loc};
    if (scope->call)
        out->value = scope->call(scope, text, args->count, args->in, name->loc);
    if (out->value)
        return true;
    if (diag_errors(p->diag) == before)
        diag_error(p->diag, name->loc, "unknown op %s%s", lex_found(p->arena, name),
                   parser_hint(p, nearest_name(text, op_info, OP_COUNT, sizeof op_info[0])));
    return false;
}

static bool
parse_call(Parser *p, const Token *name, Expr *out)
{
    Op op = (Op)0;
    Args args = {0};
    AttrList attrs = {0};
    const bool is_op = op_by_name(name->text, name->len, &op);
    if (!is_op && !p->scope->call)
        return other_call(p, name, &args, out);
    if (!parse_args(p, is_op, op, &args))
        return false;
    if (!is_op)
        return other_call(p, name, &args, out);
    return parse_attrs(p, op_info[op].name, op, op_takes_attr, &attrs) &&
           make_node(p, op, name->loc, &attrs, &args, out);
}

/* ---- expressions -------------------------------------------------------------------------- */

static bool
look_up(Parser *p, const Token *name, Expr *out)
{
    ParseScope *scope = p->scope;
    const char *text = parser_text(p, name);
    *out = (Expr){.loc = name->loc};
    out->value = scope->lookup(scope, text, name->loc, &out->missing);
    if (out->value || out->missing) {
        /* A result without a node stands for a statement that failed: that was reported. */
        return out->missing || out->value->kind != VALUE_RESULT || out->value->def;
    }
    return diag_error(p->diag, name->loc, "unknown name %s%s", lex_found(p->arena, name),
                      parser_hint(p, scope->suggest ? scope->suggest(scope, text) : NULL));
}

static bool
parse_name(Parser *p, Expr *out)
{
    const Token name = parser_take(p);
    *out = (Expr){.loc = name.loc};
    if (parser_at(p, '('))
        return parse_call(p, &name, out);
    if (name.len == 1 && name.text[0] == '_') {
        out->missing = true;
        return true;
    }
    if (name_is_valid(name.text, name.len))
        return look_up(p, &name, out);
    out->is_number = true; /* the two words that are no names */
    out->number = name.text[0] == 'i' ? (double)INFINITY : (double)NAN;
    return true;
}

static bool
parse_primary(Parser *p, Expr *out)
{
    if (p->token.kind == TK_NAME)
        return parse_name(p, out);
    if (p->token.kind == TK_NUMBER) {
        const Token token = parser_take(p);
        *out = (Expr){.loc = token.loc, .is_number = true, .number = token.number};
        return true;
    }
    if (parser_accept(p, '('))
        return parse_sum(p, out) && parser_expect(p, ')', "after the expression");
    return parser_expected(p, "a value");
}

static bool
parse_unary(Parser *p, Expr *out)
{
    if (p->depth == PARSE_DEPTH)
        return diag_error(p->diag, p->token.loc,
                          "more than %d calls and parentheses inside each other", PARSE_DEPTH);
    p->depth++;
    const SrcLoc loc = p->token.loc;
    const bool minus = parser_accept(p, '-');
    const bool ok = minus ? parse_unary(p, out) : parse_primary(p, out);
    p->depth--;
    if (!ok || !minus)
        return ok;
    Args args = {.count = 1, .loc = {out->loc}};
    if (!out->is_number)
        return one_value(p, out, &args.in[0]) &&
               make_node(p, OP_neg, loc, &(AttrList){0}, &args, out);
    out->number = -out->number;
    return true;
}

static bool
combine(Parser *p, Op op, SrcLoc loc, Expr *left, const Expr *right)
{
    if (left->is_number && right->is_number) {
        const double a = left->number, b = right->number;
        left->number = op == OP_mul ? a * b : op == OP_add ? a + b : a - b;
        return true;
    }
    Args args = {
        .count = 2, .loc = {left->loc, right->loc}
    };
    return one_value(p, left, &args.in[0]) && one_value(p, right, &args.in[1]) &&
           make_node(p, op, loc, &(AttrList){0}, &args, left);
}

static bool
parse_product(Parser *p, Expr *out)
{
    if (!parse_unary(p, out))
        return false;
    while (parser_at(p, '*')) {
        const SrcLoc loc = parser_take(p).loc;
        Expr right;
        if (!parse_unary(p, &right) || !combine(p, OP_mul, loc, out, &right))
            return false;
    }
    return true;
}

static bool
parse_sum(Parser *p, Expr *out)
{
    if (!parse_product(p, out))
        return false;
    while (parser_at(p, '+') || parser_at(p, '-')) {
        const Token sign = parser_take(p);
        const Op op = sign.punct == '+' ? OP_add : OP_sub;
        Expr right;
        if (!parse_product(p, &right) || !combine(p, op, sign.loc, out, &right))
            return false;
    }
    return true;
}

/* ---- statements --------------------------------------------------------------------------- */

static bool
parse_targets(Parser *p, Statement *s)
{
    do {
        if (s->ntargets == IR_MAX_OUT)
            return diag_error(p->diag, p->token.loc, "a statement has at most %d results",
                              IR_MAX_OUT);
        Target *target = &s->targets[s->ntargets];
        if (!parser_name(p, &target->name, "a name for the result"))
            return false;
        s->ntargets++; /* counted even if the rest is broken: its users must not be reported */
        if (!name_is_valid(target->name.text, target->name.len))
            return diag_error(p->diag, target->name.loc, "%s cannot be a name: it is reserved",
                              lex_found(p->arena, &target->name));
        target->typed = parser_accept(p, ':');
        if (target->typed && (!parse_type(p, &target->type) ||
                              (parser_at(p, '@') && !parse_place(p, &target->place))))
            return false;
    } while (parser_accept(p, ','));
    return parser_expect(p, '=', "after the results");
}

/* The results of the statement's node get the places and positions of their targets. */
static bool
bind_results(Parser *p, const Expr *expr, Statement *s)
{
    const int count = expr->node ? expr->node->nout : 1;
    if (s->ntargets != count)
        return diag_error(p->diag, s->targets[0].name.loc, "%d name%s for %d result%s", s->ntargets,
                          s->ntargets == 1 ? "" : "s", count, count == 1 ? "" : "s");
    bool ok = true;
    for (int i = 0; i < count; i++) {
        Value *v = expr->node ? expr->node->out[i] : s->value;
        const Target *target = &s->targets[i];
        if (target->typed && !type_equal(&target->type, &v->type))
            ok = diag_error(p->diag, target->name.loc, "%s is declared %s, but its op makes %s",
                            lex_found(p->arena, &target->name), type_name(p->arena, &target->type),
                            type_name(p->arena, &v->type));
        if (!expr->node)
            continue;
        v->loc = target->name.loc;
        v->place = target->place;
    }
    return ok;
}

bool
parse_statement(Parser *p, Statement *out)
{
    *out = (Statement){0};
    Expr expr;
    if (!parse_targets(p, out) || !parse_sum(p, &expr))
        return false;
    out->node = expr.node;
    const bool several = expr.node && expr.node->nout > 1;
    if (!several && !one_value(p, &expr, &out->value))
        return false;
    return bind_results(p, &expr, out);
}

bool
statement_parse(ParseScope *scope, const Source *source, int line, int column, const char *text,
                size_t len)
{
    Parser p;
    Statement s;
    parser_start(&p, scope, source, line, column, text, len);
    if (!parse_statement(&p, &s))
        return false;
    if (p.token.kind != TK_END)
        return parser_expected(&p, "the end of the statement");
    for (int i = s.ntargets - 1; i >= 0; i--) {
        const char *name = parser_text(&p, &s.targets[i].name);
        Value *v = s.node ? s.node->out[i] : s.value;
        if (s.node)
            graph_rename(scope->graph, v, name);
        scope->define(scope, name, v, s.targets[i].name.loc);
    }
    return true;
}
