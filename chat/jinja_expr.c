/* chat/jinja_expr.c -- reads the expressions of a template. Functions from loosest to tightest:
 * if-else, or, and, not, comparisons, + and -, ~, * / // %, **, signs, then |filters and tests. */
#include <string.h>

#include "chat/jinja_parse.h"

static JNode *parse_unary(Parser *p, bool filters);

static JNode *
binary(Parser *p, JOp op, size_t at, JNode *a, JNode *b)
{
    JNode *node = node_new(p, JN_binary, at);
    node->op = op;
    node->a = a;
    node->b = b;
    return node;
}

/* ---- what stands by itself ------------------------------------------------------------------ */

static JNode *
constant(Parser *p, JVal value)
{
    JNode *node = node_new(p, JN_const, peek(p)->at);
    node->value = value;
    p->at++;
    return node;
}

static JNode *
parse_string(Parser *p)
{
    StrBuf all = {0};
    const size_t at = peek(p)->at;
    for (; peek(p)->kind == TK_string; p->at++)
        sb_putn(&all, peek(p)->value.text, peek(p)->value.len);
    JNode *node = node_new(p, JN_const, at);
    const size_t len = all.len;
    node->value = j_textn(sb_finish(&all, p->arena), len);
    return node;
}

static JNode *
parse_dict(Parser *p)
{
    JNode *node = node_new(p, JN_dict, peek(p)->at);
    p->at++;
    while (!p->failed && !skip_op(p, "}")) {
        if (node->count && !expect_op(p, ","))
            break;
        if (skip_op(p, "}"))
            break;
        node_push(p, node, parse_expression(p));
        expect_op(p, ":");
        node_push(p, node, parse_expression(p));
    }
    return node;
}

static JNode *
parse_list(Parser *p)
{
    JNode *node = node_new(p, JN_list, peek(p)->at);
    p->at++;
    while (!p->failed && !skip_op(p, "]")) {
        if (node->count && !expect_op(p, ","))
            break;
        if (skip_op(p, "]"))
            break;
        node_push(p, node, parse_expression(p));
    }
    return node;
}

static JNode *
parse_bracketed(Parser *p)
{
    p->at++;
    if (skip_op(p, ")"))
        return node_new(p, JN_tuple, peek(p)->at);
    JNode *node = parse_tuple(p, true);
    expect_op(p, ")");
    return node;
}

static JNode *
parse_word(Parser *p)
{
    static const struct {
        const char *word;
        JVal value;
    } constants[] = {
        {"true",  {.kind = JV_bool, .b = true}},
        {"True",  {.kind = JV_bool, .b = true}},
        {"false", {.kind = JV_bool}           },
        {"False", {.kind = JV_bool}           },
        {"none",  {.kind = JV_none}           },
        {"None",  {.kind = JV_none}           },
    };
    const Token *token = peek(p);
    for (size_t i = 0; i < COUNT_OF(constants); i++)
        if (strcmp(token->word, constants[i].word) == 0)
            return constant(p, constants[i].value);
    JNode *node = node_new(p, JN_name, token->at);
    node->text = token->word;
    p->at++;
    return node;
}

JNode *
parse_primary(Parser *p)
{
    const Token *token = peek(p);
    if (token->kind == TK_name)
        return parse_word(p);
    if (token->kind == TK_string)
        return parse_string(p);
    if (token->kind == TK_number)
        return constant(p, token->value);
    if (peek_op(p, "("))
        return parse_bracketed(p);
    if (peek_op(p, "["))
        return parse_list(p);
    if (peek_op(p, "{"))
        return parse_dict(p);
    return parse_fault(p, "an expression is expected here");
}

/* ---- what follows it ------------------------------------------------------------------------ */

/* Arguments behind a ( that has been read. */
static void
parse_arguments(Parser *p, JNode *call)
{
    bool first = true;
    while (!p->failed && !skip_op(p, ")")) {
        if (!first && !expect_op(p, ","))
            return;
        if (skip_op(p, ")"))
            return;
        first = false;
        if (peek_op(p, "*") || peek_op(p, "**")) {
            parse_fault(p, "arguments by * and ** are not supported");
            return;
        }
        const Token *next = &p->tokens.items[p->at + 1];
        const bool named =
            peek(p)->kind == TK_name && next->kind == TK_op && strcmp(next->word, "=") == 0;
        if (!named && call->nargs) {
            parse_fault(p, "an argument without a name follows one with a name");
            return;
        }
        if (!named) {
            node_push(p, call, parse_expression(p));
            continue;
        }
        JArg arg = {.name = peek(p)->word};
        p->at += 2;
        arg.value = parse_expression(p);
        VEC_PUSH(p->arena, call->args, call->nargs, call->cap_args, arg);
    }
}

static JNode *
parse_call(Parser *p, JNode *of)
{
    JNode *node = node_new(p, JN_call, of->at);
    node->a = of;
    p->at++;
    parse_arguments(p, node);
    return node;
}

static JNode *
parse_place(Parser *p, JNode *of)
{
    const size_t at = peek(p)->at;
    JNode *from = NULL, *parts[2] = {NULL, NULL};
    p->at++;
    if (!peek_op(p, ":")) {
        from = parse_expression(p);
        if (!peek_op(p, ":")) {
            JNode *node = node_new(p, JN_item, at);
            node->a = of;
            node->b = from;
            expect_op(p, "]");
            return node;
        }
    }
    for (int i = 0; i < 2 && skip_op(p, ":"); i++)
        if (!peek_op(p, ":") && !peek_op(p, "]"))
            parts[i] = parse_expression(p);
    expect_op(p, "]");
    JNode *node = node_new(p, JN_slice, at);
    node->a = of;
    node->b = from;
    node->c = parts[0];
    node->d = parts[1];
    return node;
}

static JNode *
parse_dot(Parser *p, JNode *of)
{
    const size_t at = peek(p)->at;
    p->at++;
    const Token *token = peek(p);
    if (token->kind == TK_number) {
        JNode *node = node_new(p, JN_item, at);
        node->a = of;
        node->b = constant(p, token->value);
        return node;
    }
    JNode *node = node_new(p, JN_attr, token->at);
    node->a = of;
    node->text = expect_name(p);
    return node;
}

JNode *
parse_postfix(Parser *p, JNode *node)
{
    while (!p->failed) {
        if (peek_op(p, "."))
            node = parse_dot(p, node);
        else if (peek_op(p, "["))
            node = parse_place(p, node);
        else if (peek_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static JNode *
parse_filter(Parser *p, JNode *of)
{
    JNode *node = node_new(p, JN_filter, peek(p)->at);
    node->a = of;
    node->text = expect_name(p);
    if (p->failed)
        return node;
    node->row = jinja_filter_row(node->text);
    if (node->row < 0) {
        const char *near = jinja_filter_near(node->text);
        p->at--;
        return parse_fault(p, "unknown filter `%s`%s%s%s", node->text,
                           near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    }
    if (skip_op(p, "("))
        parse_arguments(p, node);
    return node;
}

JNode *
parse_filters(Parser *p, JNode *of)
{
    do
        of = parse_filter(p, of);
    while (!p->failed && skip_op(p, "|"));
    return of;
}

/* The one argument that a test may have without brackets: x is divisibleby 3. */
static bool
takes_argument(const Parser *p)
{
    const Token *token = peek(p);
    if (token->kind == TK_name)
        return !peek_name(p, "else") && !peek_name(p, "or") && !peek_name(p, "and") &&
               !peek_name(p, "is");
    return token->kind == TK_string || token->kind == TK_number || peek_op(p, "[") ||
           peek_op(p, "{");
}

static JNode *
parse_test(Parser *p, JNode *of)
{
    p->at++;
    const bool negated = skip_name(p, "not");
    JNode *node = node_new(p, JN_test, peek(p)->at);
    node->a = of;
    node->text = expect_name(p);
    if (p->failed)
        return node;
    node->row = jinja_test_row(node->text);
    if (node->row < 0) {
        const char *near = jinja_test_near(node->text);
        p->at--;
        return parse_fault(p, "unknown test `%s`%s%s%s", node->text, near ? "; did you mean `" : "",
                           near ? near : "", near ? "`?" : "");
    }
    if (skip_op(p, "("))
        parse_arguments(p, node);
    else if (takes_argument(p))
        node_push(p, node, parse_postfix(p, parse_primary(p)));
    if (!negated)
        return node;
    JNode *outer = node_new(p, JN_not, node->at);
    outer->a = node;
    return outer;
}

static JNode *
parse_behind(Parser *p, JNode *node)
{
    while (!p->failed) {
        if (skip_op(p, "|"))
            node = parse_filter(p, node);
        else if (peek_name(p, "is"))
            node = parse_test(p, node);
        else if (peek_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------ */

static JNode *
parse_unary(Parser *p, bool filters)
{
    JNode *node = NULL;
    if (!parse_deeper(p))
        return NULL;
    const size_t at = peek(p)->at;
    if (peek_op(p, "-") || peek_op(p, "+")) {
        node = node_new(p, peek_op(p, "-") ? JN_negative : JN_positive, at);
        p->at++;
        node->a = parse_unary(p, false);
    } else {
        node = parse_primary(p);
    }
    if (!p->failed)
        node = parse_postfix(p, node);
    if (!p->failed && filters)
        node = parse_behind(p, node);
    p->depth--;
    return node;
}

static JNode *
parse_power(Parser *p)
{
    JNode *left = parse_unary(p, true);
    while (!p->failed && peek_op(p, "**")) {
        const size_t at = peek(p)->at;
        p->at++;
        left = binary(p, JO_pow, at, left, parse_unary(p, true));
    }
    return left;
}

/* Which of [count] operators is next; -1: none. */
static int
which_op(const Parser *p, const char *const *ops, int count)
{
    for (int i = 0; i < count; i++)
        if (peek_op(p, ops[i]))
            return i;
    return -1;
}

static JNode *
parse_product(Parser *p)
{
    static const char *const ops[] = {"*", "/", "//", "%"};
    static const JOp ids[] = {JO_mul, JO_div, JO_floordiv, JO_mod};
    JNode *left = parse_power(p);
    for (int i; !p->failed && (i = which_op(p, ops, COUNT_OF(ops))) >= 0;) {
        const size_t at = peek(p)->at;
        p->at++;
        left = binary(p, ids[i], at, left, parse_power(p));
    }
    return left;
}

static JNode *
parse_concat(Parser *p)
{
    JNode *first = parse_product(p);
    if (p->failed || !peek_op(p, "~"))
        return first;
    JNode *node = node_new(p, JN_concat, peek(p)->at);
    node_push(p, node, first);
    while (!p->failed && skip_op(p, "~"))
        node_push(p, node, parse_product(p));
    return node;
}

static JNode *
parse_sum(Parser *p)
{
    static const char *const ops[] = {"+", "-"};
    JNode *left = parse_concat(p);
    for (int i; !p->failed && (i = which_op(p, ops, COUNT_OF(ops))) >= 0;) {
        const size_t at = peek(p)->at;
        p->at++;
        left = binary(p, i ? JO_sub : JO_add, at, left, parse_concat(p));
    }
    return left;
}

/* The next operator of a comparison. False: there is none. */
static bool
comparison(Parser *p, JOp *op)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    static const JOp ids[] = {JO_eq, JO_ne, JO_lt, JO_le, JO_gt, JO_ge};
    const int i = which_op(p, ops, COUNT_OF(ops));
    if (i >= 0) {
        *op = ids[i];
        p->at++;
        return true;
    }
    *op = peek_name(p, "not") ? JO_notin : JO_in;
    if (*op == JO_in)
        return skip_name(p, "in");
    const Token *next = &p->tokens.items[p->at + 1];
    if (next->kind != TK_name || strcmp(next->word, "in") != 0)
        return false;
    p->at += 2;
    return true;
}

static JNode *
parse_comparison(Parser *p)
{
    JNode *first = parse_sum(p), *node = NULL;
    JOp op;
    int cap = 0, count = 0;
    for (size_t at; !p->failed && (at = peek(p)->at, comparison(p, &op));) {
        if (!node) {
            node = node_new(p, JN_compare, at);
            node->a = first;
        }
        VEC_PUSH(p->arena, node->ops, count, cap, op);
        node_push(p, node, parse_sum(p));
    }
    return node ? node : first;
}

static JNode *
parse_not(Parser *p)
{
    if (!peek_name(p, "not"))
        return parse_comparison(p);
    if (!parse_deeper(p))
        return NULL;
    JNode *node = node_new(p, JN_not, peek(p)->at);
    p->at++;
    node->a = parse_not(p);
    p->depth--;
    return node;
}

static JNode *
parse_and(Parser *p)
{
    JNode *left = parse_not(p);
    while (!p->failed && peek_name(p, "and")) {
        JNode *node = node_new(p, JN_and, peek(p)->at);
        p->at++;
        node->a = left;
        node->b = parse_not(p);
        left = node;
    }
    return left;
}

static JNode *
parse_or(Parser *p)
{
    JNode *left = parse_and(p);
    while (!p->failed && peek_name(p, "or")) {
        JNode *node = node_new(p, JN_or, peek(p)->at);
        p->at++;
        node->a = left;
        node->b = parse_and(p);
        left = node;
    }
    return left;
}

JNode *
parse_expression(Parser *p)
{
    if (!parse_deeper(p))
        return NULL;
    JNode *node = parse_or(p);
    while (!p->failed && peek_name(p, "if")) {
        JNode *choice = node_new(p, JN_if_else, peek(p)->at);
        p->at++;
        choice->b = node;
        choice->a = parse_or(p);
        choice->c = skip_name(p, "else") ? parse_expression(p) : NULL;
        node = choice;
    }
    p->depth--;
    return node;
}

static bool
tuple_ends(const Parser *p)
{
    const TokenKind kind = peek(p)->kind;
    return kind == TK_block_end || kind == TK_print_end || kind == TK_end || peek_op(p, ")") ||
           peek_name(p, "in") || peek_name(p, "recursive");
}

JNode *
parse_tuple(Parser *p, bool with_if)
{
    JNode *first = with_if ? parse_expression(p) : parse_or(p);
    if (p->failed || !peek_op(p, ","))
        return first;
    JNode *node = node_new(p, JN_tuple, first->at);
    node_push(p, node, first);
    while (!p->failed && skip_op(p, ",") && !tuple_ends(p))
        node_push(p, node, with_if ? parse_expression(p) : parse_or(p));
    return node;
}

static JNode *
parse_one_target(Parser *p)
{
    if (skip_op(p, "(")) {
        JNode *inner = parse_deeper(p) ? parse_target(p) : NULL;
        p->depth--;
        expect_op(p, ")");
        return inner;
    }
    JNode *node = node_new(p, JN_name, peek(p)->at);
    node->text = expect_name(p);
    if (!p->failed && skip_op(p, ".")) {
        JNode *attr = node_new(p, JN_attr, peek(p)->at);
        attr->a = node;
        attr->text = expect_name(p);
        return attr;
    }
    return node;
}

JNode *
parse_target(Parser *p)
{
    JNode *first = parse_one_target(p);
    if (p->failed || !peek_op(p, ","))
        return first;
    JNode *node = node_new(p, JN_tuple, first->at);
    node_push(p, node, first);
    while (!p->failed && skip_op(p, ",") && !tuple_ends(p) && !peek_op(p, "="))
        node_push(p, node, parse_one_target(p));
    return node;
}

void
parse_parameters(Parser *p, JNode *macro)
{
    expect_op(p, "(");
    while (!p->failed && !skip_op(p, ")")) {
        if (macro->nargs && !expect_op(p, ","))
            return;
        if (skip_op(p, ")"))
            return;
        JArg arg = {.name = expect_name(p)};
        if (!p->failed && skip_op(p, "="))
            arg.value = parse_expression(p);
        else if (macro->nargs && macro->args[macro->nargs - 1].value)
            parse_fault(p, "a parameter without a default follows one that has one");
        VEC_PUSH(p->arena, macro->args, macro->nargs, macro->cap_args, arg);
    }
}
