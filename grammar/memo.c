/* grammar/memo.c -- what a grammar and a vocabulary remember together: see Memo in automaton.h.
 *
 * States are of one kind where no text of up to `depth` bytes tells them apart, `depth` being the
 * longest id's: Moore's refinement, stopped after as many rounds. So the states of a text that is
 * counted far from its end are one. */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

enum {
    MOST_REFINING = 1 << 25, /* cells that are looked at, all rounds together */
};

typedef struct {
    const Grammar *grammar;
    const uint32_t *kinds;
} Signature;

/* Where a call goes on, as far as this round tells: a rule that has the empty text takes none of
 * the bytes that the round is for. */
static uint32_t
back_kind(const Signature *s, const Call *call)
{
    return call->empty ? call->back : s->kinds[call->back];
}

/* What a state shows in one round: its flags, its calls, and the kinds that bytes lead to. */
static uint64_t
signature_hash(const Signature *s, uint32_t state)
{
    const Grammar *g = s->grammar;
    uint32_t row[256];
    for (uint32_t c = 0; c < g->nclasses; c++)
        row[c] = s->kinds[g->next[(size_t)state * g->nclasses + c]];
    uint64_t hash = hash_bytes(row, g->nclasses * sizeof *row, g->flags[state]);
    for (uint32_t c = g->call_at[state]; c < g->call_at[state + 1]; c++) {
        const uint32_t call[] = {g->calls[c].start, back_kind(s, &g->calls[c])};
        hash = hash_bytes(call, sizeof call, hash);
    }
    return hash;
}

static bool
signature_equal(const Signature *s, uint32_t a, uint32_t b)
{
    const Grammar *g = s->grammar;
    const uint32_t ncalls = g->call_at[a + 1] - g->call_at[a];
    if (g->flags[a] != g->flags[b] || ncalls != g->call_at[b + 1] - g->call_at[b])
        return false;
    for (uint32_t i = 0; i < ncalls; i++) {
        const Call *x = &g->calls[g->call_at[a] + i], *y = &g->calls[g->call_at[b] + i];
        if (x->start != y->start || back_kind(s, x) != back_kind(s, y))
            return false;
    }
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
    uint32_t count = 0;
    memset(slots, 0, nslots * sizeof *slots);
    for (uint32_t state = 0; state < g->nstates; state++) {
        size_t at = signature_hash(&s, state);
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

/* Groups of which every byte leads from a state to one of the same kind. */
static uint64_t
loops_of(const Grammar *g, const uint64_t *class_groups, const uint32_t *kinds, uint32_t state)
{
    uint64_t loops = g->flags[state] & STATE_calls ? 0 : UINT64_MAX;
    for (uint32_t class = 0; class < g->nclasses && loops; class ++) {
        const uint32_t next = g->next[(size_t)state * g->nclasses + class];
        if (next == NO_STATE || kinds[next] != kinds[state])
            loops &= ~class_groups[class];
    }
    return loops;
}

/* Kinds of one round more tell texts apart that are one byte longer. A state that after `rounds`
 * of them is of one kind with where a byte leads reads rounds - 1 such bytes: after the first it is
 * where the same holds with one round less. */
static void
find_loops(const Grammar *g, const uint32_t *kinds, uint32_t rounds, Loop *loops)
{
    uint64_t class_groups[256] = {0};
    for (int byte = 0; byte < 256; byte++)
        class_groups[g->class_of[byte]] |= UINT64_C(1) << byte_group((uint8_t)byte);
    for (uint32_t state = 1; state < g->nstates; state++) {
        if (rounds > 1 && loops[state].groups == 0)
            continue;
        const uint64_t groups = loops_of(g, class_groups, kinds, state);
        if (groups)
            loops[state] = (Loop){groups, rounds - 1};
    }
}

/* Kinds of states [nstates] and their loops; returns how many kinds there are. */
static uint32_t
find_kinds(const Grammar *g, uint32_t depth, uint32_t *kind_of, Loop *loops)
{
    Arena *arena = arena_new();
    size_t nslots = 1024;
    while (nslots < (size_t)g->nstates * 2)
        nslots *= 2;
    uint32_t *slots = arena_array(arena, nslots, sizeof *slots);
    uint32_t *of_kind = arena_array(arena, g->nstates, sizeof *of_kind);
    uint32_t *finer = arena_array(arena, g->nstates, sizeof *finer);
    const uint64_t cells = (uint64_t)g->nstates * g->nclasses;
    uint32_t count = 1, now = 0;
    memset(kind_of, 0, g->nstates * sizeof *kind_of);
    for (uint32_t rounds = 1; rounds <= depth + 1 && now != count; rounds++) {
        if (cells * rounds > MOST_REFINING) { /* each state is a kind of its own */
            for (uint32_t i = 0; i < g->nstates; i++)
                kind_of[i] = i;
            count = g->nstates;
            break;
        }
        count = now ? now : count;
        now = refine(g, kind_of, finer, slots, nslots, of_kind);
        memcpy(kind_of, finer, g->nstates * sizeof *kind_of);
        /* Kinds that no round makes finer any more hold for any number of bytes. */
        find_loops(g, kind_of, now == count ? depth + 1 : rounds, loops);
    }
    arena_free(arena);
    return now > count ? now : count;
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
        memo->loops = zeroed(g->nstates, sizeof *memo->loops);
        memo->nkinds = find_kinds(g, vocab->depth, memo->kind_of, memo->loops);
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
    free(found->edges);
    free(found->ids);
    free(found->words);
    free(found);
}

/* A list, and all below: as a pile, as they may be as deep as a stack is. */
static void
free_all(Found *pile)
{
    while (pile) {
        Found *found = pile, *children = atomic_load(&found->children);
        pile = found->next;
        while (children) {
            Found *next = children->next;
            children->next = pile;
            pile = children;
            children = next;
        }
        found_free(found);
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
        free(memos->loops);
        free(memos->roots);
        free(memos);
        memos = next;
    }
}
