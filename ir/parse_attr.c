/* ir/parse_attr.c -- attributes: {eps=1e-05, sizes=[inner, 2*bc], form=auto}. In blocks {eps} is
 * {eps=eps}, and numbers may be expressions of parameters, which the scope evaluates. */
#include <math.h>
#include <string.h>

#include "ir/parse.h"

enum { LIST_MAX = IR_MAX_NUMS };

static bool
evaluate(Parser *p, const char *text, size_t len, SrcLoc loc, double *out)
{
    if (p->scope->number)
        return p->scope->number(p->scope, text, len, loc, out);
    return diag_error(p->diag, loc, "expected a number, found `%.*s`", len < 60 ? (int)len : 60,
                      text);
}

static bool
ends_expression(const Parser *p, int depth)
{
    return p->token.kind == TK_END || p->token.kind == TK_BAD ||
           (depth == 0 && (parser_at(p, ',') || parser_at(p, ']') || parser_at(p, '}')));
}

/* An expression, up to the `,`, `]` or `}` that ends it. A plain number, perhaps with a sign, is
 * the only one that the text form of a graph has. */
static bool
number_value(Parser *p, double *out)
{
    const Token first = p->token;
    Token last = first;
    int tokens = 0;
    for (int depth = 0; !ends_expression(p, depth); tokens++) {
        depth += parser_at(p, '(') - parser_at(p, ')');
        if (depth < 0 || parser_at(p, '{'))
            break;
        last = parser_take(p);
    }
    if (!tokens)
        return parser_expected(p, "a number");
    const bool minus = first.kind == TK_PUNCT && first.punct == '-';
    const bool inf = last.kind == TK_NAME && last.len == 3 && memcmp(last.text, "inf", 3) == 0;
    if (tokens == 1 + minus && (inf || last.kind == TK_NUMBER)) {
        const double magnitude = inf ? (double)INFINITY : last.number;
        *out = minus ? -magnitude : magnitude;
        return true;
    }
    const size_t len = (size_t)(last.text - first.text) + last.len;
    SrcLoc loc = first.loc;
    loc.span = (int)len;
    return evaluate(p, first.text, len, loc, out);
}

static bool
whole(Parser *p, SrcLoc loc, double number, int64_t *out)
{
    const double limit = 9007199254740992.0; /* 2^53: above it doubles skip integers */
    if (number == floor(number) && fabs(number) <= limit) {
        *out = (int64_t)number;
        return true;
    }
    return diag_error(p->diag, loc, "this is %s, expected a whole number",
                      number_text(p->arena, number));
}

/* Asks the scope for a parameter that is a word or list. */
static bool
ask_param(Parser *p, const char *name, Attr *attr)
{
    const AttrId id = attr->id;
    if (!p->scope->param || !p->scope->param(p->scope, name, attr))
        return false;
    attr->id = id;
    return true;
}

/* ---- values by kind ----------------------------------------------------------------------- */

static bool
list_value(Parser *p, Attr *attr)
{
    const bool whole_numbers = attr_info[attr->id].kind == AK_INTS;
    int64_t *ints = arena_array(p->arena, LIST_MAX, sizeof *ints);
    double *nums = arena_array(p->arena, LIST_MAX, sizeof *nums);
    do {
        const SrcLoc loc = p->token.loc;
        double number;
        if (attr->count == LIST_MAX)
            return diag_error(p->diag, loc, "a list has at most %d numbers", LIST_MAX);
        if (!number_value(p, &number))
            return false;
        if (whole_numbers && !whole(p, loc, number, &ints[attr->count]))
            return false;
        nums[attr->count++] = number;
    } while (parser_accept(p, ','));
    attr->ints = whole_numbers ? ints : NULL;
    attr->nums = whole_numbers ? NULL : nums;
    return parser_expect(p, ']', "after the list");
}

static bool
given_list(Parser *p, Attr *attr)
{
    if (parser_accept(p, '['))
        return list_value(p, attr);
    if (p->token.kind != TK_NAME)
        return parser_expected(p, "a list such as [1, 2]");
    const Token name = parser_take(p);
    if (ask_param(p, parser_text(p, &name), attr))
        return true;
    return diag_error(p->diag, name.loc, "%s is no parameter that is a list",
                      lex_found(p->arena, &name));
}

static bool
given_word(Parser *p, Attr *attr)
{
    const bool is_name = p->token.kind == TK_NAME;
    const char *word;
    if (!parser_word(p, &word, "a word"))
        return false;
    if (!is_name || !ask_param(p, word, attr))
        attr->word = word;
    return true;
}

static bool
given_number(Parser *p, Attr *attr)
{
    const SrcLoc loc = p->token.loc;
    const bool is_whole = attr_info[attr->id].kind != AK_NUM;
    return number_value(p, &attr->num) && (!is_whole || whole(p, loc, attr->num, &attr->i));
}

static bool
given_chunk(Parser *p, Attr *attr)
{
    const Token next = parser_peek(p);
    const bool alone = next.kind == TK_PUNCT && (next.punct == ',' || next.punct == '}');
    if (p->token.kind != TK_NAME || !alone)
        return given_number(p, attr);
    const char *word = parser_text(p, &p->token);
    const bool is_auto = !strcmp(word, "auto"), is_all = !strcmp(word, "all");
    if (!is_auto && !is_all && !ask_param(p, word, attr))
        return given_number(p, attr);
    if (is_auto || is_all)
        attr->i = is_auto ? CHUNK_AUTO : CHUNK_ALL;
    parser_take(p);
    return true;
}

static bool
given_value(Parser *p, Attr *attr)
{
    switch (attr_info[attr->id].kind) {
    case AK_INT:
    case AK_NUM:
        return given_number(p, attr);
    case AK_CHUNK:
        return given_chunk(p, attr);
    case AK_WORD:
        return given_word(p, attr);
    case AK_INTS:
    case AK_NUMS:
        return given_list(p, attr);
    }
    return false;
}

/* ---- the list ----------------------------------------------------------------------------- */

static bool
refuse(Parser *p, const char *owner, Op op, AttrAllowed *allowed, const Token *name)
{
    const char *names[ATTR_COUNT];
    size_t count = 0;
    StrBuf takes = {0};
    for (int id = 0; id < ATTR_COUNT; id++) {
        bool required;
        if (!allowed(op, (AttrId)id, &required))
            continue;
        sb_printf(&takes, "%s%s", count ? ", " : "", attr_info[id].name);
        names[count++] = attr_info[id].name;
    }
    const char *near = nearest_name(parser_text(p, name), names, count, sizeof names[0]);
    diag_error(p->diag, name->loc, "`%s` has no attribute %s; it takes %s%s", owner,
               lex_found(p->arena, name), count ? sb_text(&takes) : "none", parser_hint(p, near));
    sb_free(&takes);
    return false;
}

static bool
parse_attr(Parser *p, const char *owner, Op op, AttrAllowed *allowed, AttrList *list)
{
    const Lexer behind = p->lexer; /* the name */
    Token name;
    Attr attr = {0};
    bool required;
    const char *why;
    if (!parser_name(p, &name, "an attribute name"))
        return false;
    if (!attr_by_name(name.text, name.len, &attr.id) || !allowed(op, attr.id, &required))
        return refuse(p, owner, op, allowed, &name);
    if (attrs_find(list, attr.id))
        return diag_error(p->diag, name.loc, "attribute %s is given twice",
                          lex_found(p->arena, &name));
    if (!parser_accept(p, '=')) { /* {eps} is {eps=eps} */
        if (!p->scope->number && !p->scope->param)
            return parser_expected(p, "`=` and a value");
        p->lexer = behind;
        p->token = name;
    }
    if (!given_value(p, &attr))
        return false;
    attr.num = attr_info[attr.id].kind == AK_NUM ? attr.num : 0;
    if (!attr_check(p->arena, &attr, &why))
        return diag_error(p->diag, name.loc, "`%s`: %s", owner, why);
    attrs_set(p->arena, list, attr);
    return true;
}

bool
parse_attrs(Parser *p, const char *owner, Op op, AttrAllowed *allowed, AttrList *out)
{
    if (!parser_accept(p, '{') || parser_accept(p, '}'))
        return true;
    do {
        if (!parse_attr(p, owner, op, allowed, out))
            return false;
    } while (parser_accept(p, ','));
    return parser_expect(p, '}', "after the attributes");
}
