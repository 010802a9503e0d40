/* serve/grammars.c -- the grammars that were asked for last, found by their text. */
#include "serve/grammars.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"

/* All together; the newest is kept in any case. */
enum { MOST_KEPT = 1024, MOST_BYTES = 1 << 28 };

struct KeptGrammar {
    KeptGrammar *next; /* asked for longer ago */
    Grammar *grammar;
    GrammarMake *make;
    char *text; /* owns: [len] */
    size_t len;
    int users; /* and 1 while it is in the list */
};

struct Grammars {
    pthread_mutex_t lock;
    KeptGrammar *first;
};

static void
drop(KeptGrammar *kept)
{
    if (--kept->users > 0)
        return;
    grammar_free(kept->grammar);
    free(kept->text);
    free(kept);
}

/* Takes it out of the list; NULL: it is not there. */
static KeptGrammar *
find(Grammars *g, GrammarMake *make, const char *text, size_t len)
{
    for (KeptGrammar **at = &g->first; *at; at = &(*at)->next) {
        KeptGrammar *kept = *at;
        if (kept->make != make || kept->len != len || memcmp(kept->text, text, len) != 0)
            continue;
        *at = kept->next;
        return kept;
    }
    return NULL;
}

/* Puts it first; the last go where there are too many. */
static void
put_first(Grammars *g, KeptGrammar *kept)
{
    kept->next = g->first;
    g->first = kept;
    int n = 0;
    size_t bytes = 0;
    KeptGrammar **at = &g->first;
    for (; *at; at = &(*at)->next) {
        bytes += grammar_bytes((*at)->grammar) + (*at)->len;
        if (++n > 1 && (n > MOST_KEPT || bytes > MOST_BYTES))
            break;
    }
    while (*at) {
        KeptGrammar *last = *at;
        *at = last->next;
        drop(last);
    }
}

Grammars *
grammars_open(void)
{
    Grammars *g = calloc(1, sizeof *g);
    if (!g)
        die_no_memory(sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void
grammars_close(Grammars *g)
{
    while (g->first) {
        KeptGrammar *kept = g->first;
        g->first = kept->next;
        drop(kept);
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static KeptGrammar *
keep(Grammar *grammar, GrammarMake *make, const char *text, size_t len)
{
    KeptGrammar *kept = calloc(1, sizeof *kept);
    char *copy = malloc(len + 1);
    if (!kept || !copy)
        die_no_memory(len);
    memcpy(copy, text, len);
    *kept = (KeptGrammar){.grammar = grammar, .make = make, .text = copy, .len = len, .users = 1};
    return kept;
}

KeptGrammar *
grammars_take(Grammars *g, GrammarMake *make, const void *user, const char *text, size_t len,
              char **why)
{
    pthread_mutex_lock(&g->lock);
    KeptGrammar *kept = find(g, make, text, len);
    pthread_mutex_unlock(&g->lock);
    if (!kept) { /* two may make the same: both are right */
        Grammar *grammar = make(user, text, len, why);
        if (!grammar)
            return NULL;
        kept = keep(grammar, make, text, len);
    }
    pthread_mutex_lock(&g->lock);
    kept->users++;
    put_first(g, kept);
    pthread_mutex_unlock(&g->lock);
    return kept;
}

const Grammar *
grammars_of(const KeptGrammar *kept)
{
    return kept->grammar;
}

void
grammars_give_back(Grammars *g, KeptGrammar *kept)
{
    if (!kept)
        return;
    pthread_mutex_lock(&g->lock);
    drop(kept);
    pthread_mutex_unlock(&g->lock);
}
