/* frontend/expr.c -- evaluating the arithmetic of block and family files (grammar in expr.h). */
#include "frontend/expr.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 40 };

typedef struct {
    Expr *e;
    const char *text, *at, *end;
    int depth;
} Parser;

/* ---- faults --------------------------------------------------------------------------------- */

const char *
expr_number_text(Arena *arena, Number n)
{
    return n.whole ? arena_printf(arena, "%lld", (long long)n.i) : number_text(arena, n.num);
}

/* "heads * head_dim = 1500", or "64" where the text is the number itself. */
static const char *
side_text(const Parser *p, const char *from, const char *to, Number n)
{
    Arena *arena = p->e->arena;
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    const char *number = expr_number_text(arena, n);
    const char *text = arena_strndup(arena, from, (size_t)(to - from));
    return strcmp(text, number) == 0 ? number : arena_printf(arena, "%s = %s", text, number);
}

static bool
fail(Parser *p, const char *from, const char *why)
{
    p->e->why = why;
    p->e->at = (size_t)(from - p->text);
    p->e->span = p->at > from ? (size_t)(p->at - from) : 1;
    return false;
}

static bool
overflow(Parser *p, const char *from, const char *to)
{
    const char *part = arena_strndup(p->e->arena, from, (size_t)(to - from));
    return fail(p, from, arena_printf(p->e->arena, "%s is too large for a size", part));
}

/* ---- words of the text ---------------------------------------------------------------------- */

static void
skip_space(Parser *p)
{
    while (p->at < p->end && isspace((unsigned char)*p->at))
        p->at++;
}

static bool
is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static bool
accept(Parser *p, const char *token)
{
    skip_space(p);
    const size_t len = strlen(token);
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, token, len) != 0)
        return false;
    const bool word = isalpha((unsigned char)token[0]) != 0;
    const char after = p->at + len < p->end ? p->at[len] : '\0';
    if (word && is_name_char(after))
        return false;
    p->at += len;
    return true;
}

static bool
expect(Parser *p, const char *token)
{
    if (accept(p, token))
        return true;
    return fail(p, p->at, arena_printf(p->e->arena, "expected '%s' here", token));
}

/* ---- factors -------------------------------------------------------------------------------- */

static Number
whole(int64_t i)
{
    return (Number){.whole = true, .i = i, .num = (double)i};
}

static Number
real(double num)
{
    return (Number){.num = num};
}

static bool
read_number(Parser *p, Number *out)
{
    const char *from = p->at;
    while (p->at < p->end) {
        const bool sign =
            (*p->at == '-' || *p->at == '+') && (p->at[-1] == 'e' || p->at[-1] == 'E');
        if (!sign && !isdigit((unsigned char)*p->at) && !strchr(".eE", *p->at))
            break;
        p->at++;
    }
    const Tree t = {.kind = TREE_SCALAR,
                    .text = arena_strndup(p->e->arena, from, (size_t)(p->at - from))};
    if (tree_int(&t, &out->i)) {
        *out = whole(out->i);
        return true;
    }
    *out = real(0);
    return tree_num(&t, &out->num) ||
           fail(p, from, arena_printf(p->e->arena, "'%s' is no number", t.text));
}

static bool read_index(Parser *p, const Tree **out);

/* The binding of the name here, noted as used; NULL: there is none, or its fault was reported. */
static const Binding *
use_name(Parser *p)
{
    const char *from = p->at;
    while (p->at < p->end && is_name_char(*p->at))
        p->at++;
    const size_t len = (size_t)(p->at - from);
    Expr *e = p->e;
    const Binding *b = scope_find(e->scope, from, len);
    if (!b) {
        const char *name = arena_strndup(e->arena, from, len);
        fail(p, from, arena_printf(e->arena, "unknown name '%s'", name));
        e->unknown = name;
        return NULL;
    }
    int known = 0;
    while (known < e->nused && e->used[known] != b)
        known++;
    if (known == e->nused && known < EXPR_MAX_USED)
        e->used[e->nused++] = b;
    if (b->broken)
        fail(p, from, NULL);
    return b->broken ? NULL : b;
}

static bool
number_of(Parser *p, const char *from, const FeValue *v, Number *out)
{
    *out = v->kind == SPEC_INT ? whole(v->i) : v->kind == SPEC_BOOL ? whole(v->flag) : real(v->num);
    if (v->kind == SPEC_INT || v->kind == SPEC_BOOL || v->kind == SPEC_NUM)
        return true;
    const char *name = arena_strndup(p->e->arena, from, (size_t)(p->at - from));
    return fail(p, from,
                arena_printf(p->e->arena, "%s is %s, which is no number", name,
                             value_text(p->e->arena, v)));
}

/* A name, or an entry of the list of that name. */
static bool
read_name(Parser *p, Number *out)
{
    const char *from = p->at;
    if (accept(p, "true") || accept(p, "false")) {
        *out = whole(*from == 't');
        return true;
    }
    const Binding *b = use_name(p);
    if (!b || p->at >= p->end || *p->at != '[')
        return b && number_of(p, from, &b->value, out);
    const Tree *item = b->value.tree;
    if (!read_index(p, &item))
        return false;
    FeValue v = {.kind = SPEC_ANY, .tree = item};
    if (tree_int(item, &v.i))
        v.kind = SPEC_INT;
    else if (tree_num(item, &v.num))
        v.kind = SPEC_NUM;
    return number_of(p, from, &v, out);
}

static bool read_or(Parser *p, Number *out);
static bool read_factor(Parser *p, Number *out);
static bool read_sum(Parser *p, Number *out);

/* One level deeper: around what calls itself. */
static bool
deeper(Parser *p, const char *from)
{
    return ++p->depth <= MAX_DEPTH || fail(p, from, "the expression is nested too deep");
}

/* n rounded up to a multiple of `to`. */
static bool
read_round_up(Parser *p, const char *from, Number *out)
{
    Number n, to;
    if (!deeper(p, from) || !expect(p, "(") || !read_or(p, &n) || !expect(p, ",") ||
        !read_or(p, &to) || !expect(p, ")"))
        return false;
    p->depth--;
    int64_t sum;
    if (!n.whole || !to.whole || n.i < 0 || to.i < 1)
        return fail(p, from, "round_up wants a size and a multiple of at least 1");
    if (!size_add(n.i, to.i - 1, &sum))
        return overflow(p, from, p->at);
    *out = whole(sum / to.i * to.i);
    return true;
}

static bool
read_sqrt(Parser *p, const char *from, Number *out)
{
    Number n;
    if (!deeper(p, from) || !expect(p, "(") || !read_or(p, &n) || !expect(p, ")"))
        return false;
    p->depth--;
    *out = real(sqrt(n.num));
    return n.num >= 0 || fail(p, from, "sqrt wants a number from 0");
}

/* len(LIST), its entries. */
static bool
read_len(Parser *p, const char *from, Number *out)
{
    if (!expect(p, "("))
        return false;
    skip_space(p);
    const Binding *b = use_name(p);
    const Tree *t = b ? b->value.tree : NULL;
    if (!b || !expect(p, ")"))
        return false;
    *out = whole(tree_is(t, TREE_SCALAR) ? (int64_t)strlen(t->text) : t ? t->count : 0);
    return t || fail(p, from, "len wants a list or a text");
}

/* same(A, B): lists, or values, that are equal. */
static bool
read_same(Parser *p, const char *from, Number *out)
{
    if (!expect(p, "("))
        return false;
    skip_space(p);
    const Binding *a = use_name(p);
    if (!a || !expect(p, ","))
        return false;
    skip_space(p);
    const Binding *b = use_name(p);
    if (!b || !expect(p, ")"))
        return false;
    if (!a->value.tree || !b->value.tree)
        return fail(p, from, "same wants two lists");
    *out = whole(tree_equal(a->value.tree, b->value.tree));
    /* Kept for a check that turns out false. */
    p->e->why = arena_printf(p->e->arena, "%s differs from %s, and must not", a->name, b->name);
    return true;
}

/* index(n, LIST), where n is in it. */
static bool
read_position(Parser *p, const char *from, Number *out)
{
    Number n;
    if (!deeper(p, from) || !expect(p, "(") || !read_sum(p, &n) || !expect(p, ","))
        return false;
    p->depth--;
    skip_space(p);
    const Binding *b = use_name(p);
    const Tree *list = b ? b->value.tree : NULL;
    if (!b || !expect(p, ")"))
        return false;
    for (int i = 0; tree_is(list, TREE_LIST) && i < list->count; i++) {
        double x;
        if (!tree_num(list->items[i], &x) || x < n.num || x > n.num)
            continue;
        *out = whole(i);
        return true;
    }
    return fail(p, from, "index wants a number and a list that it is in");
}

/* [i] behind a name: *out, a list or a text, becomes its entry or character i. */
static bool
read_index(Parser *p, const Tree **out)
{
    const char *from = p->at;
    const Tree *of = *out;
    Number n;
    if (!deeper(p, from) || !expect(p, "[") || !read_sum(p, &n) || !expect(p, "]"))
        return false;
    p->depth--;
    const bool list = tree_is(of, TREE_LIST), text = tree_is(of, TREE_SCALAR);
    if (!list && !text)
        return fail(p, from, "this has no entries");
    const int64_t count = list ? of->count : (int64_t)strlen(of->text);
    if (!n.whole || n.i < 0 || n.i >= count)
        return fail(p, from,
                    arena_printf(p->e->arena,
                                 "entry %s is asked for, but there are %lld, from 0 on",
                                 expr_number_text(p->e->arena, n), (long long)count));
    *out = list ? of->items[n.i]
                : tree_scalar(p->e->arena, arena_strndup(p->e->arena, of->text + n.i, 1), of->loc);
    return tree_is(*out, TREE_SCALAR) || fail(p, from, "this entry is no number and no word");
}

static bool
read_factor(Parser *p, Number *out)
{
    skip_space(p);
    const char *from = p->at;
    if (p->at >= p->end)
        return fail(p, from, "the expression ends too early");
    const bool minus = accept(p, "-"), parenthesis = !minus && accept(p, "(");
    if (minus || parenthesis) {
        if (!deeper(p, from) || !(minus ? read_factor(p, out) : read_or(p, out) && expect(p, ")")))
            return false;
        p->depth--;
        if (minus)
            *out = out->whole && out->i != INT64_MIN ? whole(-out->i) : real(-out->num);
        return true;
    }
    if (accept(p, "round_up"))
        return read_round_up(p, from, out);
    if (accept(p, "sqrt"))
        return read_sqrt(p, from, out);
    if (accept(p, "len"))
        return read_len(p, from, out);
    if (accept(p, "same"))
        return read_same(p, from, out);
    if (accept(p, "index"))
        return read_position(p, from, out);
    if (isdigit((unsigned char)*from))
        return read_number(p, out);
    if (isalpha((unsigned char)*from) || *from == '_')
        return read_name(p, out);
    return fail(p, from, arena_printf(p->e->arena, "'%c' is unexpected here", *from));
}

/* ---- operators ------------------------------------------------------------------------------ */

/* Size arithmetic is checked: the result must fit (size_mul wants operands >= 0, negative ones go
 * by magnitude). */
static bool
multiply(Number a, Number b, Number *out)
{
    if (!a.whole || !b.whole) {
        *out = real(a.num * b.num);
        return true;
    }
    int64_t product;
    if (a.i == INT64_MIN || b.i == INT64_MIN || !size_mul(llabs(a.i), llabs(b.i), &product))
        return false;
    *out = whole((a.i < 0) == (b.i < 0) ? product : -product);
    return true;
}

static bool
add(Number a, Number b, Number *out)
{
    if (!a.whole || !b.whole) {
        *out = real(a.num + b.num);
        return true;
    }
    if (b.i > 0 ? a.i > INT64_MAX - b.i : a.i < INT64_MIN - b.i)
        return false;
    *out = whole(a.i + b.i);
    return true;
}

/* The two sides of an operator in the text. */
typedef struct {
    const char *from, *left_end, *right;
} Sides;

static bool
divide(Parser *p, Sides s, Number a, Number b, Number *out)
{
    Arena *arena = p->e->arena;
    const char *right = side_text(p, s.right, p->at, b);
    if (b.num == 0)
        return fail(p, s.from, arena_printf(arena, "division by zero: %s", right));
    if (!a.whole || !b.whole || a.i == INT64_MIN) {
        *out = real(a.num / b.num);
        return true;
    }
    if (a.i % b.i == 0) {
        *out = whole(a.i / b.i);
        return true;
    }
    const char *left = side_text(p, s.from, s.left_end, a);
    return fail(p, s.from, arena_printf(arena, "%s, which is not a multiple of %s", left, right));
}

static bool
remainder_of(Parser *p, Sides s, Number a, Number b, Number *out)
{
    if (!a.whole || !b.whole || a.i < 0 || b.i < 1)
        return fail(p, s.from, "% wants a whole number from 0 and one from 1");
    *out = whole(a.i % b.i);
    return true;
}

static bool
calculate(Parser *p, char op, Sides s, Number a, Number b, Number *out)
{
    if (op == '/')
        return divide(p, s, a, b, out);
    if (op == '%')
        return remainder_of(p, s, a, b, out);
    if (op == '-' && b.whole && b.i == INT64_MIN)
        return overflow(p, s.from, p->at);
    if (op == '-')
        b = b.whole ? whole(-b.i) : real(-b.num);
    return (op == '*' ? multiply(a, b, out) : add(a, b, out)) || overflow(p, s.from, p->at);
}

/* What operators of one rank join, from left to right. */
static bool
read_chain(Parser *p, const char *operators, bool (*next)(Parser *, Number *), Number *out)
{
    skip_space(p);
    Sides s = {.from = p->at};
    if (!next(p, out))
        return false;
    for (;;) {
        s.left_end = p->at;
        skip_space(p);
        if (p->at >= p->end || !strchr(operators, *p->at))
            return true;
        const char op = *p->at++;
        s.right = p->at;
        Number right;
        if (!next(p, &right) || !calculate(p, op, s, *out, right, out))
            return false;
    }
}

static bool
read_product(Parser *p, Number *out)
{
    return read_chain(p, "*/%", read_factor, out);
}

static bool
read_sum(Parser *p, Number *out)
{
    return read_chain(p, "+-", read_product, out);
}

/* ---- words ---------------------------------------------------------------------------------- */

/* The text of a scalar, or of what a name stands for that is one; NULL: it is a list or a map. */
static const Tree *
word_value(Arena *arena, const FeValue *v)
{
    const bool list = v->kind == SPEC_LIST || v->kind == SPEC_NUMS || v->kind == SPEC_IDS;
    if (list || v->kind == SPEC_MAP)
        return NULL;
    return v->tree && v->kind == SPEC_ANY ? v->tree
                                          : tree_scalar(arena, value_text(arena, v), v->loc);
}

static bool
same_word(const Tree *a, const Tree *b)
{
    double x, y;
    if (tree_num(a, &x) && tree_num(b, &y))
        return x >= y && x <= y;
    return tree_is(a, TREE_SCALAR) && tree_is(b, TREE_SCALAR) && strcmp(a->text, b->text) == 0;
}

/* A word as it stands, up to one of the characters that end it. */
static bool
read_word(Parser *p, const char *ends, const Tree **out)
{
    skip_space(p);
    const char *from = p->at;
    while (p->at < p->end && !isspace((unsigned char)*p->at) && !strchr(ends, *p->at))
        p->at++;
    *out = tree_scalar(p->e->arena, arena_strndup(p->e->arena, from, (size_t)(p->at - from)),
                       (SrcLoc){0});
    return p->at > from || fail(p, from, "expected a word here");
}

/* Whether the word is one of those in brackets, or of the list of a name. */
static bool
read_set(Parser *p, const Tree *word, Number *out)
{
    bool one = false;
    skip_space(p);
    const char *from = p->at;
    if (!accept(p, "[")) {
        const Binding *b = use_name(p);
        const Tree *list = b ? b->value.tree : NULL;
        for (int i = 0; tree_is(list, TREE_LIST) && i < list->count; i++)
            one |= same_word(word, list->items[i]);
        *out = whole(one);
        return b && (tree_is(list, TREE_LIST) || fail(p, from, "this is no list"));
    }
    do {
        const Tree *other = NULL;
        if (!read_word(p, ",]", &other))
            return false;
        one |= same_word(word, other);
    } while (accept(p, ","));
    *out = whole(one);
    return expect(p, "]");
}

/* Whether an item and "is" or "in" come next; then `rest` is where what follows them starts. */
static bool
at_membership(const Parser *p, const char **rest, bool *in)
{
    Parser ahead = *p;
    skip_space(&ahead);
    const char *from = ahead.at;
    while (ahead.at < p->end && is_name_char(*ahead.at))
        ahead.at++;
    if (ahead.at == from || isdigit((unsigned char)*from))
        return false;
    while (ahead.at < p->end && *ahead.at == '[') {
        const char *close = memchr(ahead.at, ']', (size_t)(p->end - ahead.at));
        if (!close)
            return false;
        ahead.at = close + 1;
    }
    *in = accept(&ahead, "in");
    const bool fits = *in || accept(&ahead, "is");
    *rest = ahead.at;
    return fits;
}

/* item "is" word, or item "in" set, which at_membership saw. */
static bool
read_membership(Parser *p, const char *rest, bool in, Number *out)
{
    skip_space(p);
    const char *from = p->at;
    const Binding *b = use_name(p);
    if (!b)
        return false;
    const bool index = p->at < p->end && *p->at == '[';
    const Tree *word = index ? b->value.tree : word_value(p->e->arena, &b->value), *other = NULL;
    if (index && !read_index(p, &word))
        return false;
    if (!word)
        return fail(p, from, "this is no word");
    p->at = rest;
    if (in)
        return read_set(p, word, out);
    if (!read_word(p, ")", &other))
        return false;
    *out = whole(same_word(word, other));
    return true;
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* A token that starts another comes behind it. */
static const struct {
    const char *token, *but; /* what is said where it does not hold */
    bool holds[3];           /* where the left side is less, equal, more */
} comparison[] = {
    {"==", "but",                     {false, true, false}},
    {"!=", "which must not be",       {true, false, true} },
    {"<=", "which must be at most",   {true, true, false} },
    {">=", "which must be at least",  {false, true, true} },
    {"<",  "which must be less than", {true, false, false}},
    {">",  "which must be more than", {false, false, true}},
};

static bool
read_comparison(Parser *p, Number *out)
{
    skip_space(p);
    const char *from = p->at;
    const char *rest;
    bool in;
    if (at_membership(p, &rest, &in))
        return read_membership(p, rest, in, out);
    if (!read_sum(p, out))
        return false;
    const char *left_end = p->at;
    for (size_t i = 0; i < COUNT_OF(comparison); i++) {
        if (!accept(p, comparison[i].token))
            continue;
        const char *right_from = p->at;
        Number right;
        if (!read_sum(p, &right))
            return false;
        const Number left = *out;
        const int order = left.whole && right.whole
                              ? (left.i > right.i) - (left.i < right.i)
                              : (left.num > right.num) - (left.num < right.num);
        *out = whole(comparison[i].holds[order + 1]);
        /* Kept for a check that turns out false. */
        p->e->why = arena_printf(p->e->arena, "%s, %s %s", side_text(p, from, left_end, left),
                                 comparison[i].but, side_text(p, right_from, p->at, right));
        return true;
    }
    return true;
}

static bool
read_not(Parser *p, Number *out)
{
    const bool invert = accept(p, "not");
    if (!read_comparison(p, out))
        return false;
    if (invert)
        *out = whole(out->num == 0);
    return true;
}

static bool
read_and(Parser *p, Number *out)
{
    if (!read_not(p, out))
        return false;
    while (accept(p, "and")) {
        Number right;
        if (!read_not(p, &right))
            return false;
        *out = whole(out->num != 0 && right.num != 0);
    }
    return true;
}

static bool
read_or(Parser *p, Number *out)
{
    if (!read_and(p, out))
        return false;
    while (accept(p, "or")) {
        Number right;
        if (!read_and(p, &right))
            return false;
        *out = whole(out->num != 0 || right.num != 0);
    }
    return true;
}

bool
expr_eval(Expr *e, const char *text, size_t len)
{
    Parser p = {e, text, text, text + len, 0};
    e->why = e->unknown = NULL;
    e->nused = 0;
    e->at = 0;
    e->span = len;
    if (!read_or(&p, &e->value))
        return false;
    skip_space(&p);
    return p.at == p.end || fail(&p, p.at, "the expression should end here");
}
