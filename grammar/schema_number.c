/* grammar/schema_number.c -- numbers between bounds, digit by digit: a text of digits is followed
 * along the digits of both bounds as long as it is the same; once it differs from one, that bound
 * no longer matters. Numbers with bounds are written without exponents, and near one that is not
 * reached itself with no more digits than a double keeps apart: who reads them as such must not
 * find them equal to it. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/schema.h"

enum {
    WHOLE_DIGITS = 18, /* before the point, as in json.gbnf */
    PART_DIGITS = 17,  /* behind it */
};

/* A magnitude: digits before the point without zeros in front ("0" alone), and behind it without
 * zeros at the end. */
typedef struct {
    char whole[WHOLE_DIGITS + 1];
    char part[PART_DIGITS + 1];
    bool open; /* as a bound: it is not reached itself */
} Decimal;

typedef struct {
    Decimal size;
    bool negative, there;
} Bound;

static bool
is_zero(const Decimal *d)
{
    return strcmp(d->whole, "0") == 0 && !d->part[0];
}

/* -1, 0, 1: as a is below, equal to or above b. */
static int
compare_whole(const char *a, const char *b)
{
    const size_t x = strlen(a), y = strlen(b);
    const int order = x == y ? strcmp(a, b) : x < y ? -1 : 1;
    return (order > 0) - (order < 0);
}

static int
compare(const Decimal *a, const Decimal *b)
{
    const int whole = compare_whole(a->whole, b->whole);
    const int part = strcmp(a->part, b->part);
    return whole ? whole : (part > 0) - (part < 0);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Moves the point of a JSON number's digits; false: more of them than texts of numbers have. */
static bool
read_decimal(const char *text, Decimal *out)
{
    enum { MOST_EXPONENT = 60 };
    char digits[2 * MOST_EXPONENT + 80];
    const char *e = strpbrk(text, "eE");
    const size_t len = e ? (size_t)(e - text) : strlen(text);
    const long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    if (len > 40 || labs(exponent) > MOST_EXPONENT)
        return false;
    const char *point = memchr(text, '.', len);
    const size_t before = point ? (size_t)(point - text) : len, padding = MOST_EXPONENT;
    size_t n = padding;
    memset(digits, '0', sizeof digits);
    for (size_t i = 0; i < len; i++)
        if (text[i] != '.')
            digits[n++] = text[i];
    const size_t at = padding + (size_t)((long)before + exponent + 0); /* of the point */
    size_t from = 0, to = sizeof digits - 1;
    while (from + 1 < at && digits[from] == '0')
        from++;
    while (to > at && digits[to - 1] == '0')
        to--;
    if (at - from > WHOLE_DIGITS || to - at > PART_DIGITS)
        return false;
    memcpy(out->whole, digits + from, at - from);
    out->whole[at - from] = 0;
    memcpy(out->part, digits + at, to - at);
    out->part[to - at] = 0;
    return true;
}

static bool
read_one(const Schema *s, json_object *schema, const Way *way, Keyword key, Bound *out)
{
    json_object *value = schema_key(schema, key);
    *out = (Bound){0};
    if (!schema_has(schema, key))
        return true;
    const char *name = keyword_info[key].name, *text = json_object_to_json_string(value);
    if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
        return schema_fault(s, way, name, "expected a number, not %s", text);
    char shortest[40];
    const char *number = text;
    if (json_object_is_type(value, json_type_double)) { /* as it is compared, not as it is spelt */
        int precision = DBL_DIG;
        do
            snprintf(shortest, sizeof shortest, "%.*g", precision, json_object_get_double(value));
        while (strtod(shortest, NULL) != json_object_get_double(value) &&
               precision++ < DBL_DECIMAL_DIG);
        number = shortest;
    }
    out->there = true;
    out->negative = number[0] == '-';
    out->size.open = key == KEY_exclusiveMinimum || key == KEY_exclusiveMaximum;
    if (!isfinite(json_object_get_double(value)) ||
        !read_decimal(number + out->negative, &out->size))
        return schema_fault(
            s, way, name,
            "%s is not supported: numbers have up to 18 digits before the point and "
            "17 behind",
            text);
    out->negative = out->negative && !is_zero(&out->size);
    return true;
}

static int
compare_bounds(const Bound *a, const Bound *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? compare(&b->size, &a->size) : compare(&a->size, &b->size);
}

/* The narrower of two bounds on the same side: lower ones (side 1) or upper ones (side -1). */
static Bound
narrower(Bound a, Bound b, int side)
{
    if (!a.there || !b.there)
        return a.there ? a : b;
    const int order = compare_bounds(&a, &b) * side;
    if (order == 0)
        return a.size.open ? a : b;
    return order > 0 ? a : b;
}

/* ---- digits --------------------------------------------------------------------------------- */

static Expr *
digits_between(const Schema *s, char lo, char hi)
{
    const Range range = {(uint32_t)lo, (uint32_t)hi};
    return expr_class(s->arena, &range, 1, false);
}

static Expr *
digits(const Schema *s, int64_t min, int64_t max)
{
    return expr_repeat(s->arena, digits_between(s, '0', '9'), min, max);
}

static Expr *
alternatives(const Schema *s)
{
    return expr_new(s->arena, EXPR_alt, (SrcLoc){0});
}

/* What is known when digits so far are those of the bounds: NULL is a bound that no longer matters.
 * `open`: a bound itself is not reached. */
typedef struct {
    const char *lo, *hi;
    bool lo_open, hi_open;
    int64_t most; /* digits behind the point */
} Tight;

/* Digits behind the point, `left` at most. first: at least one must come. */
static Expr *
part_digits(const Schema *s, Tight t, int64_t left, bool first)
{
    if (t.lo && !t.lo[0] && !t.lo_open)
        t.lo = NULL;
    if (!t.lo && !t.hi)
        return digits(s, first, left);
    Expr *alt = alternatives(s);
    const bool low_reached = !t.lo; /* or a digit above it is still wanted */
    const bool high_kept = !t.hi || t.hi[0] || !t.hi_open;
    if (!first && low_reached && high_kept)
        expr_add(s->arena, alt, expr_text(s->arena, ""));
    const char lo = t.lo && t.lo[0] ? t.lo[0] : '0', hi = !t.hi ? '9' : t.hi[0] ? t.hi[0] : '0';
    for (char d = lo; d <= hi && left > 0; d++) {
        Tight next = t;
        next.lo = t.lo && d == lo ? t.lo + !!t.lo[0] : NULL;
        next.hi = t.hi && d == hi ? t.hi + !!t.hi[0] : NULL;
        expr_add(s->arena, alt,
                 SEQ(s, digits_between(s, d, d), part_digits(s, next, left - 1, false)));
    }
    return alt;
}

/* The point and what is behind it, or nothing. */
static Expr *
part(const Schema *s, Tight t, bool integers)
{
    const bool low = !t.lo || (!t.lo[0] && !t.lo_open), high = !t.hi || t.hi[0] || !t.hi_open;
    Expr *alt = alternatives(s);
    if (low && high)
        expr_add(s->arena, alt, expr_text(s->arena, ""));
    if (!integers && t.most > 0)
        expr_add(s->arena, alt, SEQ(s, expr_text(s->arena, "."), part_digits(s, t, t.most, true)));
    return alt;
}

/* Digits of integers strictly between those of the bounds, of the same length: lo and hi are what
 * is left of them. At the end of both, `end`s say what follows. */
typedef struct {
    const Schema *s;
    Expr *at_lo, *at_hi, *at_both, *between; /* what follows digits that are those of a bound */
} Ends;

static Expr *
whole_digits(const Ends *e, const char *lo, const char *hi, size_t left)
{
    const Schema *s = e->s;
    if (left == 0)
        return lo && hi ? e->at_both : lo ? e->at_lo : hi ? e->at_hi : e->between;
    if (!lo && !hi)
        return SEQ(s, digits(s, (int64_t)left, (int64_t)left), e->between);
    Expr *alt = alternatives(s);
    const char least = lo ? *lo : '0', most = hi ? *hi : '9';
    if (lo && hi && least == most)
        return SEQ(s, digits_between(s, least, least), whole_digits(e, lo + 1, hi + 1, left - 1));
    const char from = (char)(least + !!lo), to = (char)(most - !!hi);
    if (lo)
        expr_add(s->arena, alt,
                 SEQ(s, digits_between(s, least, least), whole_digits(e, lo + 1, NULL, left - 1)));
    if (from <= to)
        expr_add(s->arena, alt,
                 SEQ(s, digits_between(s, from, to), whole_digits(e, NULL, NULL, left - 1)));
    if (hi)
        expr_add(s->arena, alt,
                 SEQ(s, digits_between(s, most, most), whole_digits(e, NULL, hi + 1, left - 1)));
    return alt;
}

/* What follows digits that are used in several places: a rule. */
static Expr *
part_rule(Schema *s, Tight t, bool integers)
{
    const int rule = rules_add(s->rules, "fraction", (SrcLoc){0});
    s->rules->rules[rule].body = part(s, t, integers);
    return expr_rule(s->arena, rule, (SrcLoc){0});
}

/* Digits behind the point, where those before it are a bound's. */
static int64_t
part_most(const Decimal *bound)
{
    if (!bound->open || is_zero(bound))
        return PART_DIGITS;
    const int64_t whole = (int64_t)strlen(bound->whole);
    return whole < DBL_DIG ? DBL_DIG - whole : 0;
}

/* Magnitudes from lo to hi, hi NULL: without bound. */
static Expr *
magnitudes(Schema *s, const Decimal *lo, const Decimal *hi, bool integers)
{
    static const char nines[] = "999999999999999999";
    static const char ones[] = "100000000000000000";
    const Tight none = {.most = PART_DIGITS};
    const Tight low = {.lo = lo->part, .lo_open = lo->open, .most = part_most(lo)};
    const Tight high = {.hi = hi ? hi->part : NULL,
                        .hi_open = hi && hi->open,
                        .most = hi ? part_most(hi) : PART_DIGITS};
    const Tight both = {low.lo, high.hi, low.lo_open, high.hi_open,
                        low.most < high.most ? low.most : high.most};
    const Ends ends = {s, part_rule(s, low, integers), part_rule(s, high, integers),
                       part_rule(s, both, integers), part_rule(s, none, integers)};
    const size_t shortest = strlen(lo->whole), longest = hi ? strlen(hi->whole) : shortest;
    Expr *alt = alternatives(s);
    for (size_t n = shortest; n <= longest; n++) {
        const bool at_lo = n == shortest, at_hi = hi && n == longest;
        char least[WHOLE_DIGITS + 1] = {0}, most[WHOLE_DIGITS + 1] = {0};
        memcpy(least, at_lo ? lo->whole : ones, n);
        memcpy(most, at_hi ? hi->whole : nines, n);
        /* The bounds of a length alone are reached with anything behind them. */
        Ends e = ends;
        e.at_lo = at_lo ? ends.at_lo : ends.between;
        e.at_hi = at_hi ? ends.at_hi : ends.between;
        e.at_both = at_lo ? ends.at_lo : e.at_hi;
        if (at_lo && at_hi)
            e.at_both = ends.at_both;
        expr_add(s->arena, alt, whole_digits(&e, least, most, n));
    }
    if (!hi && shortest < WHOLE_DIGITS) /* any that are longer than lo */
        expr_add(s->arena, alt,
                 SEQ(s, digits_between(s, '1', '9'), digits(s, (int64_t)shortest, WHOLE_DIGITS - 1),
                     ends.between));
    return alt;
}

static const Decimal zero = {.whole = "0"};

/* Numbers of one sign between the bounds, by their magnitudes; nothing if there are none. */
static void
add_sign(Schema *s, Expr *alt, const Bound *near, const Bound *far, bool negative, bool integers)
{
    Decimal lo = zero;
    lo.open = negative; /* 0 is written without a sign */
    if (near->there && near->negative == negative)
        lo = near->size;
    if (far->there && far->negative != negative)
        return;
    if (negative && is_zero(&lo))
        lo.open = true;
    const Decimal *hi = far->there ? &far->size : NULL;
    if (hi && (compare(&lo, hi) > 0 || (compare(&lo, hi) == 0 && (lo.open || hi->open))))
        return;
    Expr *size = magnitudes(s, &lo, hi, integers);
    expr_add(s->arena, alt, negative ? SEQ(s, expr_text(s->arena, "-"), size) : size);
}

Expr *
schema_number(Schema *s, json_object *schema, const Way *way, bool integers)
{
    Bound low, low_open, high, high_open;
    if (!read_one(s, schema, way, KEY_minimum, &low) ||
        !read_one(s, schema, way, KEY_exclusiveMinimum, &low_open) ||
        !read_one(s, schema, way, KEY_maximum, &high) ||
        !read_one(s, schema, way, KEY_exclusiveMaximum, &high_open))
        return NULL;
    const Bound least = narrower(low, low_open, 1), most = narrower(high, high_open, -1);
    Expr *alt = alternatives(s);
    /* Of numbers below 0 the bound that is near to it is the upper one. */
    if (!least.there || least.negative)
        add_sign(s, alt, &most, &least, true, integers);
    if (!most.there || !most.negative)
        add_sign(s, alt, &least, &most, false, integers);
    return alt;
}
