/* grammar/gbnf.c -- reads GBNF, llama.cpp's notation of grammars:
 *
 *     root  ::= item ("," item){0,9}   # comment
 *     item  ::= [a-z_]+ | "text\n" | .
 *
 * A line end ends a rule, but inside ( ) and behind | and ::= . Tokens of a vocabulary (<think>,
 * <[7]>, !<x>) are refused: a grammar here is of texts, for any vocabulary. */
#include <string.h>

#include "grammar/expr.h"

enum { MOST_TEXT = 1 << 20, NOT_CODE = UINT32_MAX };

extern const char grammar_json_gbnf[]; /* the file json.gbnf */

typedef struct {
    Rules *rules;
    const Source *source;
    const char *at, *end;
    Texts names;                   /* numbered as rules are */
    const char *seen, *line_start; /* the newest position, its line's start and number */
    int line;
} Reader;

/* Positions are mostly asked for in the order of the text. */
static SrcLoc
loc_of(Reader *r, const char *at, size_t span)
{
    if (at < r->line_start) {
        r->line_start = r->seen = r->source->text;
        r->line = 1;
    }
    for (; r->seen < at; r->seen++) {
        if (*r->seen != '\n')
            continue;
        r->line++;
        r->line_start = r->seen + 1;
    }
    return (SrcLoc){r->source, r->line, (int)(at - r->line_start) + 1, (int)span};
}

static Expr *
fail(Reader *r, const char *at, size_t span, const char *message)
{
    diag_error(r->rules->diag, loc_of(r, at, span), "%s", message);
    return NULL;
}

static bool
is_end(const Reader *r)
{
    return r->at == r->end;
}

static bool
is_at(const Reader *r, char c)
{
    return !is_end(r) && *r->at == c;
}

static bool
skip(Reader *r, char c)
{
    const bool there = is_at(r, c);
    r->at += there;
    return there;
}

static void
skip_space(Reader *r, bool lines)
{
    while (!is_end(r)) {
        if (*r->at == '#') {
            while (!is_end(r) && *r->at != '\n' && *r->at != '\r')
                r->at++;
        } else if (*r->at == ' ' || *r->at == '\t' ||
                   (lines && (*r->at == '\n' || *r->at == '\r'))) {
            r->at++;
        } else {
            return;
        }
    }
}

static bool
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static size_t
name_length(const Reader *r)
{
    size_t n = 0;
    while (r->at + n < r->end && is_name(r->at[n]))
        n++;
    return n;
}

/* The rule of a name, which a use may make known before its definition does. */
static int
rule_named(Reader *r, const char *name, size_t len, SrcLoc loc)
{
    const char *text = arena_strndup(r->rules->arena, name, len);
    const int number = texts_add(&r->names, text);
    if (number == r->rules->count)
        rules_add(r->rules, text, loc);
    return number;
}

/* ---- characters ----------------------------------------------------------------------------- */

static uint32_t
read_hex(Reader *r, const char *from, int digits)
{
    uint32_t code = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        const char c = is_end(r) ? 0 : *r->at;
        const bool digit = c >= '0' && c <= '9', small = c >= 'a' && c <= 'f';
        if (!digit && !small && !(c >= 'A' && c <= 'F')) {
            diag_error(r->rules->diag, loc_of(r, from, (size_t)(r->at - from) + 1),
                       "\\%c is followed by %d hexadecimal digits", from[1], digits);
            return NOT_CODE;
        }
        code = code * 16 + (uint32_t)(digit ? c - '0' : small ? c - 'a' + 10 : c - 'A' + 10);
    }
    if (code <= CODE_POINT_MOST && !(code >= 0xD800 && code <= 0xDFFF))
        return code;
    fail(r, from, (size_t)(r->at - from), "this is no character of Unicode");
    return NOT_CODE;
}

static uint32_t
read_escape(Reader *r)
{
    const char *from = r->at++;
    const char c = is_end(r) ? 0 : *r->at++;
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
        return (uint32_t)c;
    case 'x':
        return read_hex(r, from, 2);
    case 'u':
        return read_hex(r, from, 4);
    case 'U':
        return read_hex(r, from, 8);
    default:
        fail(r, from, 2,
             "unknown escape; there are \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\xNN \\uNNNN "
             "\\UNNNNNNNN");
        return NOT_CODE;
    }
}

/* One character, escaped or not. The whole text is known to be UTF-8. */
static uint32_t
read_char(Reader *r)
{
    if (is_at(r, '\\'))
        return read_escape(r);
    const size_t n = utf8_length(r->at, (size_t)(r->end - r->at));
    const uint32_t code = utf8_code(r->at, n);
    r->at += n;
    return code;
}

static size_t
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xFF) | c);
    return n;
}

static Expr *
read_literal(Reader *r)
{
    const char *from = r->at++;
    StrBuf bytes = {0};
    bool good = true;
    while (good && !is_end(r) && *r->at != '"' && *r->at != '\n') {
        char utf8[4];
        const uint32_t c = read_char(r);
        good = c != NOT_CODE;
        if (good)
            sb_putn(&bytes, utf8, put_utf8(utf8, c));
    }
    Expr *e = expr_bytes(r->rules->arena, sb_text(&bytes), bytes.len);
    sb_free(&bytes);
    if (!good)
        return NULL;
    return skip(r, '"') ? e : fail(r, from, 1, "this text has no end: a \" is missing on its line");
}

static Expr *
read_class(Reader *r)
{
    const char *from = r->at++;
    const bool negated = skip(r, '^');
    Range *ranges = NULL;
    int count = 0, cap = 0;
    while (!is_end(r) && *r->at != ']' && *r->at != '\n') {
        const char *first = r->at;
        Range range = {read_char(r), 0};
        range.hi = range.lo;
        if (range.lo != NOT_CODE && is_at(r, '-') && r->at + 1 < r->end && r->at[1] != ']') {
            r->at++;
            range.hi = read_char(r);
        }
        if (range.lo == NOT_CODE || range.hi == NOT_CODE)
            return NULL;
        if (range.lo > range.hi)
            return fail(r, first, (size_t)(r->at - first), "this range ends before it begins");
        VEC_PUSH(r->rules->arena, ranges, count, cap, range);
    }
    if (!skip(r, ']'))
        return fail(r, from, 1, "this class has no end: a ] is missing on its line");
    if (count == 0 && !negated)
        return fail(r, from, 2, "a class of no characters: nothing would ever match it");
    return expr_class(r->rules->arena, ranges, count, negated);
}

/* ---- expressions ---------------------------------------------------------------------------- */

static Expr *read_alternatives(Reader *r, int depth);

static Expr *
read_group(Reader *r, int depth)
{
    const char *from = r->at++;
    if (depth == MOST_DEPTH)
        return fail(r, from, 1, "groups are nested too deeply");
    skip_space(r, true);
    Expr *e = read_alternatives(r, depth + 1);
    if (!e)
        return NULL;
    return skip(r, ')') ? e : fail(r, from, 1, "this group has no end: a ) is missing");
}

/* A number of {m,n}; -1: there is none. */
static int64_t
read_number(Reader *r)
{
    int64_t n = -1;
    while (!is_end(r) && *r->at >= '0' && *r->at <= '9') {
        n = (n < 0 ? 0 : n) * 10 + (*r->at++ - '0');
        n = n > MOST_REPEATS ? MOST_REPEATS + 1 : n;
    }
    return n;
}

static Expr *
read_braces(Reader *r, Expr *item, const char *from)
{
    skip_space(r, false);
    const int64_t min = read_number(r);
    int64_t max = min;
    skip_space(r, false);
    const bool comma = skip(r, ',');
    if (comma) {
        skip_space(r, false);
        max = read_number(r);
        skip_space(r, false);
    }
    const bool closed = skip(r, '}');
    const size_t span = (size_t)(r->at - from);
    if (!closed || (min < 0 && !(comma && max >= 0)))
        return fail(r, from, span, "a repetition is {m}, {m,}, {m,n} or {,n}");
    if (min > MOST_REPEATS || max > MOST_REPEATS)
        return fail(r, from, span, "more than 100000 repetitions");
    if (max >= 0 && min > max)
        return fail(r, from, span, "the least number of repetitions is above the greatest");
    return expr_repeat(r->rules->arena, item, min < 0 ? 0 : min, max);
}

/* The operators behind an item. */
static Expr *
read_repeats(Reader *r, Expr *item)
{
    for (int depth = 0; item; depth++) {
        const char *before = r->at;
        skip_space(r, false);
        const char *from = r->at;
        const char c = is_end(r) ? 0 : *r->at;
        if (!c || !strchr("*+?{", c)) {
            r->at = before;
            return item;
        }
        if (depth == MOST_DEPTH)
            return fail(r, from, 1, "repetitions of repetitions are nested too deeply");
        r->at++;
        if (c == '{')
            item = read_braces(r, item, from);
        else
            item = expr_repeat(r->rules->arena, item, c == '+', c == '?' ? 1 : -1);
    }
    return NULL;
}

/* NULL with no fault said: no item begins here. */
static Expr *
read_item(Reader *r, int depth)
{
    const char c = is_end(r) ? 0 : *r->at;
    const size_t len = name_length(r);
    if (c == '"')
        return read_literal(r);
    if (c == '[')
        return read_class(r);
    if (c == '(')
        return read_group(r, depth);
    if (c == '.') {
        r->at++;
        return expr_class(r->rules->arena, NULL, 0, true);
    }
    if (c == '<' || c == '!')
        return fail(r, r->at, 1,
                    "tokens of a vocabulary (<name>, <[id]>, !<name>) are not supported: write the "
                    "text itself");
    if (c && strchr("*+?{", c))
        return fail(r, r->at, 1, "there is nothing before this that could be repeated");
    if (len == 0)
        return NULL;
    const SrcLoc loc = loc_of(r, r->at, len);
    const int rule = rule_named(r, r->at, len, loc);
    r->at += len;
    return expr_rule(r->rules->arena, rule, loc);
}

static Expr *
read_sequence(Reader *r, int depth)
{
    Expr *seq = expr_new(r->rules->arena, EXPR_seq, (SrcLoc){0});
    const int faults = diag_errors(r->rules->diag);
    for (;;) {
        Expr *item = read_item(r, depth);
        if (item)
            item = read_repeats(r, item);
        if (diag_errors(r->rules->diag) > faults)
            return NULL;
        if (!item)
            return seq;
        expr_add(r->rules->arena, seq, item);
        skip_space(r, depth > 0);
    }
}

static Expr *
read_alternatives(Reader *r, int depth)
{
    Expr *alt = expr_new(r->rules->arena, EXPR_alt, (SrcLoc){0});
    do {
        skip_space(r, depth > 0 || alt->count > 0);
        Expr *seq = read_sequence(r, depth);
        if (!seq)
            return NULL;
        expr_add(r->rules->arena, alt, seq);
    } while (skip(r, '|'));
    return alt;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static bool
read_rule(Reader *r)
{
    const char *from = r->at;
    const size_t len = name_length(r);
    if (len == 0)
        return fail(r, from, 1, "expected a rule: name ::= ... (names are of letters, digits, -)");
    r->at += len;
    const SrcLoc loc = loc_of(r, from, len);
    skip_space(r, false);
    if (r->end - r->at < 3 || memcmp(r->at, "::=", 3) != 0)
        return fail(r, r->at, 1, "expected ::= behind the name of a rule");
    r->at += 3;
    const int number = rule_named(r, from, len, loc);
    if (r->rules->rules[number].body) {
        diag_error(r->rules->diag, loc, "rule `%s` is defined twice", r->rules->rules[number].name);
        return diag_also(r->rules->diag, r->rules->rules[number].loc, "here it is the first time");
    }
    if (r->rules->count > MOST_RULES)
        return fail(r, from, len, "more than 16384 rules");
    skip_space(r, true);
    Expr *body = read_alternatives(r, 0);
    if (!body)
        return false;
    r->rules->rules[number].body = body;
    r->rules->rules[number].loc = loc;
    if (!is_end(r) && *r->at != '\n' && *r->at != '\r')
        return fail(r, r->at, 1, "expected an item, | or the end of the line");
    skip_space(r, true);
    return true;
}

static bool
all_defined(const Rules *rules)
{
    bool good = true;
    for (int i = 0; i < rules->count; i++) {
        const Rule *rule = &rules->rules[i];
        if (rule->body)
            continue;
        if (i == 0)
            good = diag_error(rules->diag, rule->loc,
                              "there is no rule `root`, which says what a whole text is");
        else
            good = diag_error(rules->diag, rule->loc, "rule `%s` is not defined", rule->name);
    }
    return good;
}

static bool
read_rules(Rules *rules, const Source *source)
{
    Reader r = {.rules = rules,
                .source = source,
                .at = source->text,
                .end = source->text + source->len,
                .seen = source->text,
                .line_start = source->text,
                .line = 1,
                .names = {.arena = rules->arena}};
    size_t bad = 0;
    if (source->len > MOST_TEXT)
        return diag_error(rules->diag, (SrcLoc){.source = source, .line = 1, .column = 1},
                          "a grammar of more than 1 MiB");
    if (!utf8_valid(source->text, source->len, &bad))
        return fail(&r, source->text + bad, 1, "this byte is not UTF-8");
    const char *nul = source->len ? memchr(source->text, 0, source->len) : NULL;
    if (nul)
        return fail(&r, nul, 1, "a byte of 0; \\x00 is the character");
    rule_named(&r, "root", 4, (SrcLoc){.source = source, .line = 1, .column = 1});
    skip_space(&r, true);
    while (!is_end(&r))
        if (!read_rule(&r))
            return false;
    return true;
}

bool
gbnf_read(Rules *rules, const Source *source)
{
    return read_rules(rules, source) && all_defined(rules);
}

bool
gbnf_read_json(Rules *rules)
{
    static const char *const shared[] = {"json", "json-string", "json-number", "json-escape"};
    Source *source = arena_alloc(rules->arena, sizeof *source); /* rules point to it */
    *source = (Source){"json.gbnf", grammar_json_gbnf, strlen(grammar_json_gbnf)};
    if (!read_rules(rules, source))
        return false;
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        rules->rules[rules_find(rules, shared[i])].shared = true;
    return true;
}
