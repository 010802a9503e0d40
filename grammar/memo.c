/* grammar/memo.c -- what a grammar and a vocabulary remember together: see Memo in automaton.h.
 *
 * States are of one kind where no text of up to `depth` bytes tells them apart, `depth` being the
 * longest id's: Moore's refinement, stopped after as many rounds. So the states of a text that is
 * counted far from its end are one. */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

enum {
    MOST_REFINING = 1 << 27, /* cells that are looked at, all rounds together */
};

typedef struct {
    const Grammar *grammar;
    const uint32_t *kinds;
} Signature;

/* What a state shows in one round: its flags, its calls, and the kinds that bytes lead to. */
static uint64_t
signature_hash(const Signature *s, uint32_t state, uint32_t *row)
{
    const Grammar *g = s->grammar;
    for (uint32_t c = 0; c < g->nclasses; c++)
        row[c] = s->kinds[g->next[(size_t)state * g->nclasses + c]];
    const Call *calls = g->calls + g->call_at[state];
    const size_t ncalls = g->call_at[state + 1] - g->call_at[state];
    const uint64_t hash = hash_bytes(row, g->nclasses * sizeof *row, g->flags[state]);
    return ncalls ? hash_bytes(calls, ncalls * sizeof *calls, hash) : hash;
}

static bool
signature_equal(const Signature *s, uint32_t a, uint32_t b)
{
    const Grammar *g = s->grammar;
    const uint32_t ncalls = g->call_at[a + 1] - g->call_at[a];
    if (g->flags[a] != g->flags[b] || ncalls != g->call_at[b + 1] - g->call_at[b])
        return false;
    if (ncalls &&
        memcmp(g->calls + g->call_at[a], g->calls + g->call_at[b], ncalls * sizeof *g->calls) != 0)
        return false;
    for (uint32_t c = 0; c < g->nclasses; c++)
        if (s->kinds[g->next[(size_t)a * g->nclasses + c]] !=
            s->kinds[g->next[(size_t)b * g->nclasses + c]])
            return false;
    return true;
}

/* One round: out [nstates] are finer kinds than `kinds`. Returns how many. */
static uint32_t
refine(const Grammar *g, const uint32_t *kinds, uint32_t *out, uint32_t *slots, size_t nslots,
       uint32_t *of_kind)
{
    const Signature s = {g, kinds};
    uint32_t count = 0, row[256];
    memset(slots, 0, nslots * sizeof *slots);
    for (uint32_t state = 0; state < g->nstates; state++) {
        size_t at = signature_hash(&s, state, row);
        while (slots[at & (nslots - 1)] &&
               !signature_equal(&s, of_kind[slots[at & (nslots - 1)] - 1], state))
            at++;
        uint32_t *slot = &slots[at & (nslots - 1)];
        if (*slot == 0) {
            of_kind[count++] = state;
            *slot = count;
        }
        out[state] = *slot - 1;
    }
    return count;
}

/* Kinds of states [nstates] into kind_of; returns how many there are. */
static uint32_t
find_kinds(const Grammar *g, uint32_t depth, uint32_t *kind_of)
{
    Arena *arena = arena_new();
    size_t nslots = 1024;
    while (nslots < (size_t)g->nstates * 2)
        nslots *= 2;
    uint32_t *slots = arena_array(arena, nslots, sizeof *slots);
    uint32_t *of_kind = arena_array(arena, g->nstates, sizeof *of_kind);
    uint32_t *finer = arena_array(arena, g->nstates, sizeof *finer);
    const uint64_t cells = (uint64_t)g->nstates * g->nclasses;
    uint32_t count = 1;
    memset(kind_of, 0, g->nstates * sizeof *kind_of);
    for (uint32_t round = 0; round <= depth; round++) {
        if (cells * (round + 1) > MOST_REFINING) { /* each state is a kind of its own */
            for (uint32_t i = 0; i < g->nstates; i++)
                kind_of[i] = i;
            count = g->nstates;
            break;
        }
        const uint32_t now = refine(g, kind_of, finer, slots, nslots, of_kind);
        memcpy(kind_of, finer, g->nstates * sizeof *kind_of);
        if (now == count)
            break;
        count = now;
    }
    arena_free(arena);
    return count;
}

static void *
zeroed(size_t count, size_t size)
{
    void *new = calloc(count ? count : 1, size);
    if (!new)
        die_no_memory(count * size);
    return new;
}

Memo *
memo_of(const Grammar *grammar, const GrammarVocab *vocab)
{
    /* What is remembered is no part of what the grammar says. */
    Grammar *g = (Grammar *)grammar;
    pthread_mutex_lock(&g->lock);
    Memo *memo = g->memos;
    while (memo && memo->serial != vocab->serial)
        memo = memo->next;
    if (!memo) {
        memo = zeroed(1, sizeof *memo);
        memo->serial = vocab->serial;
        memo->kind_of = zeroed(g->nstates, sizeof *memo->kind_of);
        memo->nkinds = find_kinds(g, vocab->depth, memo->kind_of);
        memo->roots = zeroed(memo->nkinds, sizeof *memo->roots);
        pthread_mutex_init(&memo->lock, NULL);
        memo->next = g->memos;
        g->memos = memo;
    }
    pthread_mutex_unlock(&g->lock);
    return memo;
}

void
found_free(Found *found)
{
    if (!found)
        return;
    free(found->exits);
    free(found->ids);
    free(found->words);
    free(found);
}

/* Children have depth as ids have bytes, at most. */
static void
free_all(Found *found)
{
    while (found) {
        Found *next = found->next;
        free_all(atomic_load(&found->children));
        found_free(found);
        found = next;
    }
}

void
memos_free(Memo *memos)
{
    while (memos) {
        Memo *next = memos->next;
        for (uint32_t i = 0; i < memos->nkinds; i++)
            free_all(atomic_load(&memos->roots[i]));
        pthread_mutex_destroy(&memos->lock);
        free(memos->kind_of);
        free(memos->roots);
        free(memos);
        memos = next;
    }
}
