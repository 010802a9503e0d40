/* grammar/expr.c -- expressions: making them, and what can be said of the texts that rules match.
 */
#include "grammar/expr.h"

#include <stdlib.h>
#include <string.h>

Expr *
expr_new(Arena *arena, ExprKind kind, SrcLoc loc)
{
    Expr *e = arena_alloc(arena, sizeof *e);
    e->kind = kind;
    e->loc = loc;
    return e;
}

Expr *
expr_bytes(Arena *arena, const char *bytes, size_t len)
{
    Expr *e = expr_new(arena, EXPR_bytes, (SrcLoc){0});
    e->bytes = arena_strndup(arena, bytes, len);
    e->len = len;
    return e;
}

Expr *
expr_text(Arena *arena, const char *text)
{
    return expr_bytes(arena, text, strlen(text));
}

Expr *
expr_rule(Arena *arena, int rule, SrcLoc loc)
{
    Expr *e = expr_new(arena, EXPR_rule, loc);
    e->rule = rule;
    return e;
}

void
expr_add(Arena *arena, Expr *of, Expr *item)
{
    VEC_PUSH(arena, of->item, of->count, of->cap, item);
}

Expr *
expr_repeat(Arena *arena, Expr *item, int64_t min, int64_t max)
{
    Expr *e = expr_new(arena, EXPR_repeat, item->loc);
    e->min = min;
    e->max = max;
    expr_add(arena, e, item);
    return e;
}

static int
range_order(const void *a, const void *b)
{
    const Range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

static void
add_range(Arena *arena, Expr *e, uint32_t lo, uint32_t hi)
{
    if (lo > hi)
        return;
    const Range r = {lo, hi};
    VEC_PUSH(arena, e->range, e->count, e->cap, r);
}

Expr *
expr_class(Arena *arena, const Range *ranges, int count, bool negated)
{
    Expr *e = expr_new(arena, EXPR_class, (SrcLoc){0});
    Range *sorted = arena_array(arena, (size_t)count + 1, sizeof *sorted);
    if (count)
        memcpy(sorted, ranges, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, range_order);
    uint32_t next = 0; /* the first code point that no range so far has, where negated */
    for (int i = 0; i < count;) {
        Range r = sorted[i++];
        while (i < count && sorted[i].lo <= r.hi + 1) {
            r.hi = sorted[i].hi > r.hi ? sorted[i].hi : r.hi;
            i++;
        }
        if (!negated)
            add_range(arena, e, r.lo, r.hi);
        else if (r.lo > 0)
            add_range(arena, e, next, r.lo - 1);
        next = r.hi + 1;
    }
    if (negated)
        add_range(arena, e, next, CODE_POINT_MOST);
    return e;
}

Expr *
expr_class_of(Arena *arena, const char *text)
{
    Range *ranges = arena_array(arena, strlen(text) + 1, sizeof *ranges);
    int count = 0;
    for (const char *at = text; *at; count++) {
        const bool wide = at[1] == '-' && at[2];
        ranges[count] = (Range){(unsigned char)at[0], (unsigned char)at[wide ? 2 : 0]};
        at += wide ? 3 : 1;
    }
    return expr_class(arena, ranges, count, false);
}

int
rules_add(Rules *rules, const char *name, SrcLoc loc)
{
    const Rule rule = {.name = name, .loc = loc};
    VEC_PUSH(rules->arena, rules->rules, rules->count, rules->cap, rule);
    return rules->count - 1;
}

int
rules_find(const Rules *rules, const char *name)
{
    for (int i = 0; i < rules->count; i++)
        if (strcmp(rules->rules[i].name, name) == 0)
            return i;
    die("there is no rule `%s`", name);
}

/* ---- what rules match ----------------------------------------------------------------------- */

/* Whether an expression matches the empty text (empty), or has a text that ends, if rules of
 * `known` do. */
static bool
holds(const Expr *e, const bool *known, bool empty)
{
    switch (e->kind) {
    case EXPR_bytes:
        return !empty || e->len == 0;
    case EXPR_class:
        return !empty && e->count > 0;
    case EXPR_seq:
        for (int i = 0; i < e->count; i++)
            if (!holds(e->item[i], known, empty))
                return false;
        return true;
    case EXPR_alt:
        for (int i = 0; i < e->count; i++)
            if (holds(e->item[i], known, empty))
                return true;
        return false;
    case EXPR_repeat:
        return e->min == 0 || holds(e->item[0], known, empty);
    case EXPR_rule:
        return known[e->rule];
    }
    return false;
}

/* The least set of rules for which it holds; both ways in turn, as rules that are used are mostly
 * behind those that use them, or before. */
static const bool *
fixpoint(const Rules *rules, bool empty)
{
    bool *known = arena_array(rules->arena, (size_t)rules->count, sizeof *known);
    bool changed = true;
    for (bool back = true; changed; back = !back) {
        changed = false;
        for (int n = 0; n < rules->count; n++) {
            const int i = back ? rules->count - 1 - n : n;
            const Expr *body = rules->rules[i].body;
            if (known[i] || !body || !holds(body, known, empty))
                continue;
            known[i] = changed = true;
        }
    }
    return known;
}

const bool *
rules_nullable(const Rules *rules)
{
    return fixpoint(rules, true);
}

const bool *
rules_ending(const Rules *rules)
{
    return fixpoint(rules, false);
}

/* ---- left recursion ------------------------------------------------------------------------- */

typedef enum { NEW, OPEN, DONE } Mark;

/* Calls of a rule before which no text need be. */
typedef struct {
    const Expr **call;
    int count, cap;
    int next; /* the first that the search has not followed */
    Mark mark;
} Lefts;

static void
collect(Arena *arena, const bool *nullable, const Expr *e, Lefts *out)
{
    if (e->kind == EXPR_rule)
        VEC_PUSH(arena, out->call, out->count, out->cap, e);
    if (e->kind == EXPR_class)
        return;
    for (int i = 0; i < e->count; i++) {
        collect(arena, nullable, e->item[i], out);
        if (e->kind == EXPR_seq && !holds(e->item[i], nullable, true))
            return;
    }
}

static bool
say_cycle(const Rules *rules, const int *path, int depth, const Expr *call)
{
    enum { NAMED = 12 };
    StrBuf names = {0};
    int from = depth - 1;
    while (path[from] != call->rule)
        from--;
    for (int i = from; i < depth; i++) {
        if (i < from + NAMED)
            sb_printf(&names, "%s -> ", rules->rules[path[i]].name);
        else if (i == from + NAMED)
            sb_puts(&names, "... -> ");
    }
    diag_error(rules->diag, call->loc,
               "left recursion: %s%s, with no text read between; write a repetition with * or +, "
               "or the recursion on the right",
               sb_text(&names), rules->rules[call->rule].name);
    sb_free(&names);
    return false;
}

/* Depth first, with a path of its own: a chain of calls may be as long as there are rules. */
static bool
search(const Rules *rules, Lefts *lefts, int *path, int root)
{
    int depth = 0;
    path[depth++] = root;
    lefts[root].mark = OPEN;
    while (depth > 0) {
        Lefts *at = &lefts[path[depth - 1]];
        if (at->next == at->count) {
            at->mark = DONE;
            depth--;
            continue;
        }
        const Expr *call = at->call[at->next++];
        if (lefts[call->rule].mark == OPEN)
            return say_cycle(rules, path, depth, call);
        if (lefts[call->rule].mark == NEW) {
            lefts[call->rule].mark = OPEN;
            path[depth++] = call->rule;
        }
    }
    return true;
}

bool
rules_check(Rules *rules, const bool *nullable, const bool *ends)
{
    Lefts *lefts = arena_array(rules->arena, (size_t)rules->count, sizeof *lefts);
    int *path = arena_array(rules->arena, (size_t)rules->count, sizeof *path);
    for (int i = 0; i < rules->count; i++)
        collect(rules->arena, nullable, rules->rules[i].body, &lefts[i]);
    for (int i = 0; i < rules->count; i++)
        if (lefts[i].mark == NEW && !search(rules, lefts, path, i))
            return false;
    if (!ends[0] && !rules->rules[0].loc.source)
        return diag_error(rules->diag, rules->whole,
                          "#: no value fits this schema, or none that ends");
    if (!ends[0])
        return diag_error(rules->diag, rules->rules[0].loc,
                          "no text of rule `%s` ever ends: each of its alternatives needs another",
                          rules->rules[0].name);
    return true;
}
