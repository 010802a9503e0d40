/* grammar/determinise.c -- nondeterministic automata become deterministic ones by the construction
 * of subsets (Rabin and Scott 1959), with a call of a rule as one more letter. A state may read a
 * byte and call at the same time; that is left to those who follow it. */
#include <stdlib.h>
#include <string.h>

#include "grammar/nfa.h"

enum {
    MOST_CELLS = 1 << 24,   /* states by classes of bytes */
    MOST_MEMBERS = 1 << 24, /* nodes in all sets */
    MOST_WORK = 1 << 25,    /* nodes that were visited for them */
};

/* A sorted set of nodes that read, call or end. */
typedef struct {
    const uint32_t *node;
    uint32_t count;
} Set;

typedef struct {
    const Nfa *nfa;
    Grammar *grammar;
    Arena *arena;   /* of what is scratch */
    uint32_t *seen; /* [nodes] the round in which a node was seen */
    uint32_t round;
    uint32_t *pile, *members; /* [nodes] scratch */
    Set *set;                 /* [states]; set[0] is of no state */
    int nsets, capsets;
    uint32_t *slots; /* [nslots] states by the hashes of their sets; 0: free */
    size_t nslots;
    uint64_t nmembers, work;
    int nnext, capnext, ncalls, capcalls, ncallat, capcallat, nflags, capflags;
} Maker;

static int
node_order(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Nodes that are reached from `from` [count] without reading; into members. */
static uint32_t
close_set(Maker *m, const uint32_t *from, uint32_t count)
{
    uint32_t npile = 0, n = 0;
    m->round++;
    for (uint32_t i = 0; i < count; i++) {
        if (m->seen[from[i]] == m->round)
            continue;
        m->seen[from[i]] = m->round;
        m->pile[npile++] = from[i];
    }
    while (npile > 0) {
        const uint32_t at = m->pile[--npile];
        const NfaNode *node = &m->nfa->node[at];
        m->work++;
        if (node->kind != NFA_split) {
            m->members[n++] = at;
            continue;
        }
        const uint32_t ways[] = {node->to, node->other};
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            if (ways[i] == NFA_NONE || m->seen[ways[i]] == m->round)
                continue;
            m->seen[ways[i]] = m->round;
            m->pile[npile++] = ways[i];
        }
    }
    qsort(m->members, n, sizeof *m->members, node_order);
    return n;
}

static void
rehash(Maker *m)
{
    m->nslots = m->nslots ? m->nslots * 2 : 1024;
    m->slots = arena_array(m->arena, m->nslots, sizeof *m->slots);
    for (int i = 1; i < m->nsets; i++) {
        size_t at = hash_bytes(m->set[i].node, m->set[i].count * sizeof(uint32_t), 0);
        while (m->slots[at & (m->nslots - 1)])
            at++;
        m->slots[at & (m->nslots - 1)] = (uint32_t)i;
    }
}

/* The state of what is reached from `from`. */
static uint32_t
state_of(Maker *m, const uint32_t *from, uint32_t count)
{
    const uint32_t n = close_set(m, from, count);
    const size_t bytes = n * sizeof(uint32_t);
    if (m->nslots < (size_t)m->nsets * 2 + 2)
        rehash(m);
    size_t at = hash_bytes(m->members, bytes, 0);
    for (; m->slots[at & (m->nslots - 1)]; at++) {
        const uint32_t state = m->slots[at & (m->nslots - 1)];
        if (m->set[state].count == n && memcmp(m->set[state].node, m->members, bytes) == 0)
            return state;
    }
    uint32_t *copy = arena_array(m->arena, n, sizeof *copy);
    memcpy(copy, m->members, bytes);
    const Set set = {copy, n};
    m->slots[at & (m->nslots - 1)] = (uint32_t)m->nsets;
    VEC_PUSH(m->arena, m->set, m->nsets, m->capsets, set);
    m->nmembers += n;
    return (uint32_t)m->nsets - 1;
}

/* ---- letters -------------------------------------------------------------------------------- */

static void
make_classes(Grammar *g, const Nfa *nfa)
{
    bool cut[257] = {0}; /* a class begins at a byte */
    for (int i = 1; i < nfa->count; i++) {
        if (nfa->node[i].kind != NFA_bytes)
            continue;
        cut[nfa->node[i].lo] = true;
        cut[nfa->node[i].hi + 1] = true;
    }
    uint8_t class = 0;
    for (int i = 0; i < 256; i++) {
        class = (uint8_t)(class + (i > 0 && cut[i]));
        g->class_of[i] = class;
    }
    g->nclasses = (uint32_t)class + 1;
}

/* The row of a state: where each class of bytes leads. */
static void
make_row(Maker *m, uint32_t state, uint32_t *row, uint32_t *from)
{
    const Grammar *g = m->grammar;
    const Set set = m->set[state];
    uint32_t last = 0, last_count = UINT32_MAX;
    uint32_t *last_from = from + set.count;
    for (uint32_t class = 0; class < g->nclasses; class ++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < set.count; i++) {
            const NfaNode *node = &m->nfa->node[set.node[i]];
            if (node->kind == NFA_bytes && g->class_of[node->lo] <= class &&
                class <= g->class_of[node->hi])
                from[count++] = node->to;
        }
        m->work += set.count;
        const bool same = count == last_count && memcmp(from, last_from, count * sizeof *from) == 0;
        if (!same && count > 0)
            last = state_of(m, from, count);
        else if (count == 0)
            last = NO_STATE;
        row[class] = last;
        last_count = count;
        memcpy(last_from, from, count * sizeof *from);
    }
}

/* Calls of a state, one for each rule that is called; the rule's number stands for its start, whose
 * state may not be there yet. */
static void
make_calls(Maker *m, uint32_t state, uint32_t *from)
{
    const Set set = m->set[state];
    for (uint32_t i = 0; i < set.count; i++) {
        const NfaNode *node = &m->nfa->node[set.node[i]];
        bool first = node->kind == NFA_call;
        uint32_t count = 0;
        for (uint32_t j = 0; first && j < set.count; j++) {
            const NfaNode *other = &m->nfa->node[set.node[j]];
            if (other->kind != NFA_call || other->other != node->other)
                continue;
            first = j >= i;
            from[count++] = other->to;
        }
        m->work += node->kind == NFA_call ? set.count : 0;
        if (!first)
            continue;
        const Call call = {node->other, state_of(m, from, count), m->nfa->empty[node->other]};
        VEC_PUSH(m->grammar->arena, m->grammar->calls, m->ncalls, m->capcalls, call);
    }
}

static bool
make_state(Maker *m, uint32_t state)
{
    Grammar *g = m->grammar;
    const Set set = m->set[state];
    if ((uint64_t)m->nsets * g->nclasses > MOST_CELLS || m->nmembers > MOST_MEMBERS ||
        m->work > MOST_WORK)
        return false;
    uint32_t *from = arena_array(m->arena, (size_t)set.count * 2 + 1, sizeof *from);
    uint32_t row[256];
    make_row(m, state, row, from);
    uint8_t flags = 0;
    for (uint32_t i = 0; i < g->nclasses; i++) {
        VEC_PUSH(g->arena, g->next, m->nnext, m->capnext, row[i]);
        flags |= row[i] ? STATE_reads : 0;
    }
    VEC_PUSH(g->arena, g->call_at, m->ncallat, m->capcallat, (uint32_t)m->ncalls);
    make_calls(m, state, from);
    flags |= (uint32_t)m->ncalls > g->call_at[state] ? STATE_calls : 0;
    for (uint32_t i = 0; i < set.count; i++)
        flags |= m->nfa->node[set.node[i]].kind == NFA_end ? STATE_ends : 0;
    VEC_PUSH(g->arena, g->flags, m->nflags, m->capflags, flags);
    return true;
}

static bool
make_states(Maker *m)
{
    Grammar *g = m->grammar;
    uint32_t *start = arena_array(m->arena, (size_t)m->nfa->nrules, sizeof *start);
    VEC_PUSH(m->arena, m->set, m->nsets, m->capsets, (Set){0});
    for (int i = 0; i < m->nfa->nrules; i++)
        if (m->nfa->start[i] != NFA_NONE)
            start[i] = state_of(m, &m->nfa->start[i], 1);
    for (int state = 0; state < m->nsets; state++)
        if (!make_state(m, (uint32_t)state))
            return false;
    VEC_PUSH(g->arena, g->call_at, m->ncallat, m->capcallat, (uint32_t)m->ncalls);
    for (int i = 0; i < m->ncalls; i++)
        g->calls[i].start = start[g->calls[i].start];
    g->start = start[0];
    g->nstates = (uint32_t)m->nsets;
    return true;
}

Grammar *
nfa_determinise(const Nfa *nfa)
{
    Arena *arena = arena_new();
    Grammar *g = arena_alloc(arena, sizeof *g);
    g->arena = arena;
    make_classes(g, nfa);
    Maker m = {.nfa = nfa, .grammar = g, .arena = arena_new()};
    m.seen = arena_array(m.arena, (size_t)nfa->count, sizeof *m.seen);
    m.pile = arena_array(m.arena, (size_t)nfa->count, sizeof *m.pile);
    m.members = arena_array(m.arena, (size_t)nfa->count, sizeof *m.members);
    const bool good = make_states(&m);
    arena_free(m.arena);
    if (!good) {
        arena_free(arena);
        return NULL;
    }
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void
grammar_free(Grammar *grammar)
{
    if (!grammar)
        return;
    memos_free(grammar->memos);
    pthread_mutex_destroy(&grammar->lock);
    arena_free(grammar->arena);
}
