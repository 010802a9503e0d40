/* grammar/memo.c -- what a grammar and a vocabulary remember together: see Memo in automaton.h. */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

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
        memo->nkinds = kinds_find(g, vocab->depth, memo->kind_of, memo->loops);
        memo->roots = zeroed(memo->nkinds, sizeof *memo->roots);
        pthread_mutex_init(&memo->lock, NULL);
        memo->next = g->memos;
        g->memos = memo;
    }
    pthread_mutex_unlock(&g->lock);
    return memo;
}

size_t
grammar_bytes(const Grammar *grammar)
{
    Grammar *g = (Grammar *)grammar;
    const size_t states = g->nstates, calls = g->call_at[states];
    size_t bytes = sizeof *g + calls * sizeof *g->calls +
                   states * (g->nclasses * sizeof *g->next + sizeof *g->call_at + sizeof *g->flags);
    pthread_mutex_lock(&g->lock);
    for (const Memo *memo = g->memos; memo; memo = memo->next)
        bytes += sizeof *memo + states * (sizeof *memo->kind_of + sizeof *memo->loops) +
                 memo->nkinds * sizeof *memo->roots + atomic_load(&memo->bytes);
    pthread_mutex_unlock(&g->lock);
    return bytes;
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
