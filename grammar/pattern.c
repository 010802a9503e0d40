/* grammar/pattern.c -- regular expressions of ECMA-262 in JSON strings: characters, classes,
 * groups, alternatives, repetitions, and ^ and $ at the ends of an alternative. What looks around,
 * refers back or asks for a word's end is refused. As schemas have it, an expression matches
 * anywhere in the string unless ^ and $ say otherwise. Characters are written as they are, but for
 * those that JSON has to escape. */
#include <string.h>

#include "grammar/schema.h"

enum { NOT_CODE = UINT32_MAX, MOST_GROUPS = 60 };

typedef struct {
    Schema *s;
    const Way *way;
    const char *text, *at, *end;
} Reader;

/* Code points of a class while it is read. */
typedef struct {
    Range *range;
    int count, cap;
} Set;

static Expr *
fail(Reader *r, const char *at, const char *what)
{
    schema_fault(r->s, r->way, NULL, "%s, at byte %zu of the pattern", what,
                 (size_t)(at - r->text) + 1);
    return NULL;
}

static char
peek(const Reader *r)
{
    return r->at < r->end ? *r->at : 0;
}

static bool
skip(Reader *r, char c)
{
    const bool there = r->at < r->end && *r->at == c;
    r->at += there;
    return there;
}

/* ---- characters as JSON has them ------------------------------------------------------------ */

/* One character of the ranges, as it stands in a JSON string. */
static Expr *
json_class(const Schema *s, const Range *ranges, int count, bool negated)
{
    static const Range bare[] = {
        {0x20, 0x21           },
        {0x23, 0x5B           },
        {0x5D, CODE_POINT_MOST}
    };
    static const char short_escapes[] = "\b\t\n\f\r\"\\", short_names[] = "btnfr\"\\";
    const Expr *set = expr_class(s->arena, ranges, count, negated);
    Range *plain = arena_array(s->arena, (size_t)set->count * COUNT_OF(bare) + 1, sizeof *plain);
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    int n = 0;
    for (int i = 0; i < set->count; i++) {
        const Range r = set->range[i];
        for (size_t b = 0; b < COUNT_OF(bare); b++) {
            const uint32_t lo = r.lo > bare[b].lo ? r.lo : bare[b].lo;
            const uint32_t hi = r.hi < bare[b].hi ? r.hi : bare[b].hi;
            if (lo <= hi)
                plain[n++] = (Range){lo, hi};
        }
        for (uint32_t c = r.lo; c <= r.hi && c <= '\\'; c++) {
            const char *name = c ? strchr(short_escapes, (int)c) : NULL;
            if (c >= 0x20 && !name)
                continue;
            expr_add(s->arena, alt,
                     expr_text(s->arena, name ? arena_printf(s->arena, "\\%c",
                                                             short_names[name - short_escapes])
                                              : arena_printf(s->arena, "\\u%04x", c)));
        }
    }
    if (n > 0)
        expr_add(s->arena, alt, expr_class(s->arena, plain, n, false));
    return alt;
}

/* ---- classes -------------------------------------------------------------------------------- */

static void
add_range(Reader *r, Set *set, uint32_t lo, uint32_t hi)
{
    const Range range = {lo, hi};
    VEC_PUSH(r->s->arena, set->range, set->count, set->cap, range);
}

static const Range digit_ranges[] = {
    {'0', '9'}
};
static const Range word_ranges[] = {
    {'0', '9'},
    {'A', 'Z'},
    {'_', '_'},
    {'a', 'z'}
};
static const Range space_ranges[] = {
    {0x09,   0x0D  },
    {0x20,   0x20  },
    {0xA0,   0xA0  },
    {0x1680, 0x1680},
    {0x2000, 0x200A},
    {0x2028, 0x2029},
    {0x202F, 0x202F},
    {0x205F, 0x205F},
    {0x3000, 0x3000},
    {0xFEFF, 0xFEFF}
};

/* \d \w \s and their opposites; false: c is none of these. */
static bool
add_named(Reader *r, Set *set, char c)
{
    static const struct {
        char name;
        const Range *range;
        int count;
    } classes[] = {
        {'d', digit_ranges, COUNT_OF(digit_ranges)},
        {'w', word_ranges,  COUNT_OF(word_ranges) },
        {'s', space_ranges, COUNT_OF(space_ranges)},
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        const bool same = c == classes[i].name;
        if (!same && c != classes[i].name - 'a' + 'A')
            continue;
        const Expr *e = expr_class(r->s->arena, classes[i].range, classes[i].count, !same);
        for (int j = 0; j < e->count; j++)
            add_range(r, set, e->range[j].lo, e->range[j].hi);
        return true;
    }
    return false;
}

static uint32_t
read_hex(Reader *r, const char *from, int digits)
{
    uint32_t code = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        const char *digit = peek(r) ? strchr("0123456789abcdefABCDEF", peek(r)) : NULL;
        if (!digit) {
            fail(r, from, "an escape without its hexadecimal digits");
            return NOT_CODE;
        }
        const char c = *digit;
        code = code * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
        fail(r, from, "half of a character");
        return NOT_CODE;
    }
    return code;
}

static uint32_t
read_escape(Reader *r)
{
    static const char names[] = "nrtfv0", codes[] = "\n\r\t\f\v";
    const char *from = r->at++;
    const char c = peek(r);
    const char *name = c ? strchr(names, c) : NULL;
    r->at += r->at < r->end;
    if (name)
        return (uint32_t)codes[name - names];
    if (c == 'x')
        return read_hex(r, from, 2);
    if (c == 'u' && peek(r) != '{')
        return read_hex(r, from, 4);
    if (c && strchr("^$\\.*+?()[]{}|/-\"'#%&,:;<=>@_`~! ", c))
        return (uint32_t)c;
    fail(r, from, "this escape is not supported");
    return NOT_CODE;
}

static uint32_t
read_char(Reader *r)
{
    if (peek(r) == '\\')
        return read_escape(r);
    const size_t n = utf8_length(r->at, (size_t)(r->end - r->at));
    const uint32_t code = utf8_code(r->at, n);
    r->at += n;
    return code;
}

static Expr *
read_class(Reader *r)
{
    const char *from = r->at++;
    const bool negated = skip(r, '^');
    Set set = {0};
    while (r->at < r->end && *r->at != ']') {
        const char *first = r->at;
        const bool named = r->at + 1 < r->end && *r->at == '\\' && add_named(r, &set, r->at[1]);
        if (named) {
            r->at += 2;
            if (peek(r) == '-' && r->at + 1 < r->end && r->at[1] != ']')
                return fail(r, first, "a range from a class");
            continue;
        }
        const uint32_t lo = read_char(r);
        uint32_t hi = lo;
        if (lo != NOT_CODE && peek(r) == '-' && r->at + 1 < r->end && r->at[1] != ']') {
            r->at++;
            if (r->at + 1 < r->end && *r->at == '\\' && strchr("dDwWsS", r->at[1]))
                return fail(r, first, "a range to a class");
            hi = read_char(r);
        }
        if (lo == NOT_CODE || hi == NOT_CODE)
            return NULL;
        if (lo > hi)
            return fail(r, first, "a range that ends before it begins");
        add_range(r, &set, lo, hi);
    }
    if (!skip(r, ']'))
        return fail(r, from, "a class without an end");
    return json_class(r->s, set.range, set.count, negated);
}

/* ---- expressions ---------------------------------------------------------------------------- */

static Expr *read_alternatives(Reader *r, int depth);

static Expr *
read_group(Reader *r, int depth)
{
    const char *from = r->at++;
    if (depth >= MOST_GROUPS)
        return fail(r, from, "groups nested too deeply");
    if (skip(r, '?') && !skip(r, ':'))
        return fail(r, from, "groups that look around or have a name are not supported");
    Expr *e = read_alternatives(r, depth + 1);
    if (!e)
        return NULL;
    return skip(r, ')') ? e : fail(r, from, "a group without an end");
}

static Expr *
read_atom(Reader *r, int depth)
{
    static const Range line_ends[] = {
        {'\n',   '\n'  },
        {'\r',   '\r'  },
        {0x2028, 0x2029}
    };
    const char c = peek(r);
    Set set = {0};
    if (c == '(')
        return read_group(r, depth);
    if (c == '[')
        return read_class(r);
    if (c == '.') {
        r->at++;
        return json_class(r->s, line_ends, COUNT_OF(line_ends), true);
    }
    if (c == '^' || c == '$')
        return fail(r, r->at,
                    "^ and $ are supported at the ends of the whole pattern and of its "
                    "alternatives only");
    if (c && strchr("*+?{}]", c))
        return fail(r, r->at, "nothing to repeat, or a character that has to be escaped");
    if (c == '\\' && r->at + 1 < r->end && add_named(r, &set, r->at[1])) {
        r->at += 2;
        return json_class(r->s, set.range, set.count, false);
    }
    const uint32_t code = read_char(r);
    if (code == NOT_CODE)
        return NULL;
    const Range one = {code, code};
    return json_class(r->s, &one, 1, false);
}

static int64_t
read_number(Reader *r)
{
    int64_t n = -1;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        n = (n < 0 ? 0 : n) * 10 + (*r->at++ - '0');
        n = n > MOST_REPEATS ? MOST_REPEATS + 1 : n;
    }
    return n;
}

static Expr *
read_repeat(Reader *r, Expr *item)
{
    const char *from = r->at;
    const char c = peek(r);
    if (!c || !strchr("*+?{", c))
        return item;
    r->at++;
    int64_t min = c == '+', max = c == '?' ? 1 : -1;
    if (c == '{') {
        min = max = read_number(r);
        if (skip(r, ','))
            max = read_number(r);
        if (!skip(r, '}') || min < 0 || (max >= 0 && min > max) || min > MOST_REPEATS ||
            max > MOST_REPEATS)
            return fail(r, from, "expected {m}, {m,} or {m,n}, of at most 100000");
    }
    skip(r, '?'); /* as few as possible: the same texts */
    if (peek(r) && strchr("*+?{", peek(r)))
        return fail(r, r->at, "a repetition of a repetition");
    return expr_repeat(r->s->arena, item, min, max);
}

static Expr *
read_sequence(Reader *r, int depth)
{
    Expr *seq = expr_new(r->s->arena, EXPR_seq, (SrcLoc){0});
    const bool starts = depth == 0 && skip(r, '^');
    Expr *anything = expr_repeat(r->s->arena, schema_rule(r->s, "json-char"), 0, -1);
    if (depth == 0 && !starts)
        expr_add(r->s->arena, seq, anything);
    while (r->at < r->end && *r->at != '|' && *r->at != ')') {
        if (depth == 0 && *r->at == '$' && (r->at + 1 == r->end || r->at[1] == '|')) {
            r->at++;
            return seq;
        }
        Expr *item = read_atom(r, depth);
        item = item ? read_repeat(r, item) : NULL;
        if (!item)
            return NULL;
        expr_add(r->s->arena, seq, item);
    }
    if (depth == 0)
        expr_add(r->s->arena, seq, anything);
    return seq;
}

static Expr *
read_alternatives(Reader *r, int depth)
{
    Expr *alt = expr_new(r->s->arena, EXPR_alt, (SrcLoc){0});
    do {
        Expr *seq = read_sequence(r, depth);
        if (!seq)
            return NULL;
        expr_add(r->s->arena, alt, seq);
    } while (skip(r, '|'));
    return alt;
}

Expr *
pattern_expr(Schema *s, const char *pattern, size_t len, const Way *way)
{
    Reader r = {s, way, pattern, pattern, pattern + len};
    size_t bad = 0;
    if (!utf8_valid(pattern, len, &bad))
        return fail(&r, pattern + bad, "not UTF-8");
    if (memchr(pattern, 0, len))
        return fail(&r, memchr(pattern, 0, len), "a byte of 0");
    Expr *e = read_alternatives(&r, 0);
    if (e && r.at < r.end)
        return fail(&r, r.at, "a ) without its (");
    return e;
}
