/* grammar/nfa.h -- private to grammar/: nondeterministic automata of rules, before they are
 * determinised. */
#ifndef SSMC_GRAMMAR_NFA_H
#define SSMC_GRAMMAR_NFA_H

#include "grammar/automaton.h"

enum { NFA_NONE = 0 }; /* number of no node */

typedef enum {
    NFA_split, /* to and other, reading nothing */
    NFA_bytes, /* a byte lo..hi, then to */
    NFA_call,  /* rule `other`, then to */
    NFA_end    /* of the rule */
} NfaKind;

typedef struct {
    NfaKind kind;
    uint8_t lo, hi;
    uint32_t to, other;
} NfaNode;

typedef struct {
    Arena *arena;
    NfaNode *node; /* [count]; node[0] is none */
    int count, cap;
    uint32_t *start;   /* [nrules]; NFA_NONE: put into its users, or not used */
    const bool *empty; /* [nrules] whether they have the empty text */
    int nrules;
} Nfa;

/* NULL: too many states. */
Grammar *nfa_determinise(const Nfa *nfa);

#endif
