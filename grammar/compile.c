/* grammar/compile.c -- rules become automata: which of them are put into their users, and the
 * nondeterministic automata of the rest (Thompson 1968), on bytes. */
#include <stdlib.h>
#include <string.h>

#include "grammar/nfa.h"

enum {
    SMALL = 64,           /* nodes of a rule that every use gets a copy of */
    COPIES = 1 << 19,     /* nodes of all copies of a rule that is used often, or repeated */
    INLINE_DEPTH = 1000,  /* of expressions in expressions, with the rules put in */
    MOST_NODES = 1 << 20, /* of all automata */
};

/* ---- which rules call themselves ------------------------------------------------------------ */

/* What is known of a rule while it is decided where it goes. */
typedef struct {
    int *uses; /* [count] rules that it uses */
    int count, cap;
    int next;       /* the first that the search has not followed */
    int order, low; /* Tarjan 1972; order 0: not reached */
    bool on_stack, recursive;
    int users;     /* places that use it */
    int64_t times; /* of use, with repetitions */
    int64_t size;  /* nodes, with the rules put in */
    int depth;
    bool inlined;
} Plan;

typedef struct {
    Rules *rules;
    Plan *plan;         /* [rules] */
    int *callees_first; /* [reached] */
    int reached;
} Planner;

static int64_t
saturated(int64_t a, int64_t b)
{
    const int64_t most = INT64_C(1) << 40;
    return a > 0 && b > most / a ? most : a * b;
}

static void
note_uses(Planner *p, Plan *plan, const Expr *e, int64_t times)
{
    if (e->kind == EXPR_rule) {
        VEC_PUSH(p->rules->arena, plan->uses, plan->count, plan->cap, e->rule);
        p->plan[e->rule].users++;
        p->plan[e->rule].times += times;
    }
    if (e->kind == EXPR_repeat)
        times = saturated(times, e->max < 0 ? e->min + 1 : e->max);
    if (e->kind == EXPR_class)
        return;
    for (int i = 0; i < e->count; i++)
        note_uses(p, plan, e->item[i], times);
}

typedef struct {
    int *path, *open;
    int depth, nopen, orders;
} Tarjan;

static void
enter(Planner *p, Tarjan *t, int rule)
{
    Plan *plan = &p->plan[rule];
    plan->order = plan->low = ++t->orders;
    plan->on_stack = true;
    t->open[t->nopen++] = rule;
    t->path[t->depth++] = rule;
    note_uses(p, plan, p->rules->rules[rule].body, 1);
}

static void
leave(Planner *p, Tarjan *t, int rule)
{
    Plan *plan = &p->plan[rule];
    t->depth--;
    if (t->depth > 0) {
        Plan *up = &p->plan[t->path[t->depth - 1]];
        up->low = plan->low < up->low ? plan->low : up->low;
    }
    if (plan->low != plan->order)
        return;
    const bool alone = t->open[t->nopen - 1] == rule;
    for (int member = -1; member != rule;) {
        member = t->open[--t->nopen];
        p->plan[member].on_stack = false;
        p->plan[member].recursive |= !alone;
        p->callees_first[p->reached++] = member;
    }
}

/* Rules that the root reaches, those that are used before their users. */
static void
plan_order(Planner *p)
{
    Arena *arena = p->rules->arena;
    const size_t n = (size_t)p->rules->count;
    Tarjan t = {.path = arena_array(arena, n, sizeof(int)),
                .open = arena_array(arena, n, sizeof(int))};
    enter(p, &t, 0);
    while (t.depth > 0) {
        const int rule = t.path[t.depth - 1];
        Plan *plan = &p->plan[rule];
        if (plan->next == plan->count) {
            leave(p, &t, rule);
            continue;
        }
        const int used = plan->uses[plan->next++];
        plan->recursive |= used == rule;
        if (p->plan[used].order == 0)
            enter(p, &t, used);
        else if (p->plan[used].on_stack && p->plan[used].order < plan->low)
            plan->low = p->plan[used].order;
    }
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static int64_t
size_of(const Planner *p, const Expr *e, int *depth)
{
    enum { CLASS_NODES = 6 }; /* of a range, about */
    int64_t size = e->kind == EXPR_alt ? e->count : 1;
    int deepest = 0;
    if (e->kind == EXPR_bytes)
        size += (int64_t)e->len;
    if (e->kind == EXPR_class)
        size += CLASS_NODES * (int64_t)e->count;
    if (e->kind == EXPR_rule && p->plan[e->rule].inlined) {
        size = p->plan[e->rule].size;
        deepest = p->plan[e->rule].depth;
    }
    for (int i = 0; i < e->count && e->kind != EXPR_class; i++) {
        int below = 0;
        size += size_of(p, e->item[i], &below);
        deepest = below > deepest ? below : deepest;
    }
    if (e->kind == EXPR_repeat)
        size = saturated(size + 1, e->max < 0 ? e->min + 1 : e->max + !e->max);
    *depth = deepest + 1;
    return size < INT64_C(1) << 40 ? size : INT64_C(1) << 40;
}

static void
plan_places(Planner *p)
{
    for (int i = 0; i < p->reached; i++) {
        const int rule = p->callees_first[i];
        Plan *plan = &p->plan[rule];
        plan->size = size_of(p, p->rules->rules[rule].body, &plan->depth);
        const bool small = plan->users == 1 || plan->size <= SMALL;
        plan->inlined = rule != 0 && !plan->recursive && small && !p->rules->rules[rule].shared &&
                        plan->depth <= INLINE_DEPTH && saturated(plan->size, plan->times) <= COPIES;
    }
}

/* ---- nodes ---------------------------------------------------------------------------------- */

typedef struct {
    Nfa *nfa;
    const Planner *planner;
    const bool *ends;
} Builder;

static uint32_t
add_node(Builder *b, NfaNode node)
{
    VEC_PUSH(b->nfa->arena, b->nfa->node, b->nfa->count, b->nfa->cap, node);
    return (uint32_t)b->nfa->count - 1;
}

/* Either of two ways, of which one may be none. */
static uint32_t
add_split(Builder *b, uint32_t one, uint32_t other)
{
    if (one == NFA_NONE || one == other)
        return other;
    if (other == NFA_NONE)
        return one;
    return add_node(b, (NfaNode){NFA_split, .to = one, .other = other});
}

static uint32_t
add_bytes(Builder *b, uint8_t lo, uint8_t hi, uint32_t to)
{
    return add_node(b, (NfaNode){NFA_bytes, .lo = lo, .hi = hi, .to = to});
}

/* ---- classes in UTF-8 ----------------------------------------------------------------------- */

typedef struct {
    Builder *b;
    uint32_t to, ways;
    uint32_t
        any[3]; /* nodes that read so many continuation bytes, any of them; NFA_NONE: not made */
} Utf8;

static uint32_t
any_continuation(Utf8 *u, int count)
{
    if (count == 0)
        return u->to;
    if (u->any[count - 1] == NFA_NONE)
        u->any[count - 1] = add_bytes(u->b, 0x80, 0xBF, any_continuation(u, count - 1));
    return u->any[count - 1];
}

/* Code points whose encodings are as long and differ such that each byte has a range of its own. */
static void
add_sequence(Utf8 *u, uint32_t lo, uint32_t hi)
{
    const int more = lo < 0x80 ? 0 : lo < 0x800 ? 1 : lo < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    uint32_t to = u->to;
    for (int i = 0; i < more; i++) {
        const uint8_t from = (uint8_t)(0x80 | (lo >> (6 * i) & 0x3F));
        const uint8_t until = (uint8_t)(0x80 | (hi >> (6 * i) & 0x3F));
        to = from == 0x80 && until == 0xBF && (i == 0 || to == u->any[i - 1])
                 ? any_continuation(u, i + 1)
                 : add_bytes(u->b, from, until, to);
    }
    const uint8_t first = (uint8_t)(lead[more] | lo >> (6 * more));
    const uint8_t last = (uint8_t)(lead[more] | hi >> (6 * more));
    u->ways = add_split(u->b, add_bytes(u->b, first, last, to), u->ways);
}

static void
add_code_points(Utf8 *u, uint32_t lo, uint32_t hi)
{
    static const uint32_t lengths[] = {0x7F, 0x7FF, 0xFFFF};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        if (lo <= lengths[i] && hi > lengths[i]) {
            add_code_points(u, lo, lengths[i]);
            add_code_points(u, lengths[i] + 1, hi);
            return;
        }
    for (int i = 1; i <= 3 && hi > 0x7F; i++) {
        const uint32_t low = (UINT32_C(1) << (6 * i)) - 1;
        if ((lo & ~low) == (hi & ~low))
            break;
        if (lo & low) {
            add_code_points(u, lo, lo | low);
            add_code_points(u, (lo | low) + 1, hi);
            return;
        }
        if ((hi & low) != low) {
            add_code_points(u, lo, (hi & ~low) - 1);
            add_code_points(u, hi & ~low, hi);
            return;
        }
    }
    add_sequence(u, lo, hi);
}

static uint32_t
build_class(Builder *b, const Expr *e, uint32_t to)
{
    enum { SURROGATES = 0xD800, SURROGATES_END = 0xDFFF };
    Utf8 u = {
        b, to, NFA_NONE, {NFA_NONE, NFA_NONE, NFA_NONE}
    };
    for (int i = 0; i < e->count; i++) {
        const Range r = e->range[i];
        const uint32_t below = r.hi < SURROGATES ? r.hi : SURROGATES - 1;
        const uint32_t above = r.lo > SURROGATES_END ? r.lo : SURROGATES_END + 1;
        if (r.lo <= below)
            add_code_points(&u, r.lo, below);
        if (above <= r.hi)
            add_code_points(&u, above, r.hi);
    }
    return u.ways;
}

/* ---- expressions ---------------------------------------------------------------------------- */

static uint32_t build(Builder *b, const Expr *e, uint32_t to);

static uint32_t
build_repeat(Builder *b, const Expr *e, uint32_t to)
{
    const Expr *item = e->item[0];
    uint32_t at = to;
    if (e->max < 0) {
        const uint32_t loop = add_node(b, (NfaNode){NFA_split, .to = to, .other = NFA_NONE});
        const uint32_t body = build(b, item, loop);
        b->nfa->node[loop].other = body;
        at = body == NFA_NONE ? to : loop;
    }
    for (int64_t i = e->min; i < e->max; i++)
        at = add_split(b, build(b, item, at), to);
    for (int64_t i = 0; i < e->min; i++)
        at = build(b, item, at);
    return at;
}

/* Where a text of e is read, and then goes on at `to`. NFA_NONE: none that could end. So from every
 * node there is a way to the end. */
static uint32_t
build(Builder *b, const Expr *e, uint32_t to)
{
    if (to == NFA_NONE)
        return NFA_NONE;
    uint32_t at = e->kind == EXPR_alt ? NFA_NONE : to;
    switch (e->kind) {
    case EXPR_bytes:
        for (size_t i = e->len; i-- > 0;)
            at = add_bytes(b, (uint8_t)e->bytes[i], (uint8_t)e->bytes[i], at);
        return at;
    case EXPR_class:
        return build_class(b, e, to);
    case EXPR_seq:
        for (int i = e->count; i-- > 0;)
            at = build(b, e->item[i], at);
        return at;
    case EXPR_alt:
        for (int i = e->count; i-- > 0;)
            at = add_split(b, build(b, e->item[i], to), at);
        return at;
    case EXPR_repeat:
        return build_repeat(b, e, to);
    case EXPR_rule:
        if (!b->ends[e->rule])
            return NFA_NONE;
        if (b->planner->plan[e->rule].inlined)
            return build(b, b->planner->rules->rules[e->rule].body, to);
        return add_node(b, (NfaNode){NFA_call, .to = to, .other = (uint32_t)e->rule});
    }
    return NFA_NONE;
}

Grammar *
grammar_compile(Rules *rules)
{
    const bool *ends = rules_ending(rules), *empty = rules_nullable(rules);
    if (!rules_check(rules, empty, ends))
        return NULL;
    Planner p = {.rules = rules};
    p.plan = arena_array(rules->arena, (size_t)rules->count, sizeof *p.plan);
    p.callees_first = arena_array(rules->arena, (size_t)rules->count, sizeof *p.callees_first);
    plan_order(&p);
    plan_places(&p);
    Nfa nfa = {.arena = rules->arena, .empty = empty, .nrules = rules->count};
    nfa.start = arena_array(rules->arena, (size_t)rules->count, sizeof *nfa.start);
    Builder b = {&nfa, &p, ends};
    add_node(&b, (NfaNode){0}); /* NFA_NONE */
    int64_t size = 0;
    for (int i = 0; i < p.reached; i++) {
        const int rule = p.callees_first[i];
        if (p.plan[rule].inlined || !ends[rule])
            continue;
        size += p.plan[rule].size;
        if (size > MOST_NODES) {
            diag_error(rules->diag,
                       rules->rules[rule].loc.source ? rules->rules[rule].loc : rules->whole,
                       "the grammar is too large: its repetitions written out are more than a "
                       "million characters and classes");
            return NULL;
        }
        const uint32_t end = add_node(&b, (NfaNode){.kind = NFA_end});
        nfa.start[rule] = build(&b, rules->rules[rule].body, end);
    }
    Grammar *grammar = nfa_determinise(&nfa);
    if (!grammar)
        diag_error(rules->diag, rules->whole,
                   "the grammar is too large: too many of its alternatives begin alike for long");
    return grammar;
}
