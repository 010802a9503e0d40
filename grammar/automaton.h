/* grammar/automaton.h -- private to grammar/: a compiled grammar, vocabularies, and what is
 * remembered of both together.
 *
 * A rule is a deterministic automaton on bytes whose states may also call another rule and go on at
 * a state of their own when it returns (a recursive transition network, Woods 1970). Rules that are
 * not recursive are put into those that use them, as far as size allows. Where a text is: a set of
 * pairs of a state and a stack of states to return to. */
#ifndef SSMC_GRAMMAR_AUTOMATON_H
#define SSMC_GRAMMAR_AUTOMATON_H

#include <pthread.h>
#include <stdatomic.h>

#include "grammar/expr.h"

/* ---- grammars ------------------------------------------------------------------------------- */

typedef struct {
    uint32_t start; /* of the rule that is called */
    uint32_t back;  /* where its caller goes on */
    uint32_t empty; /* 1: the rule has the empty text */
} Call;

enum {
    STATE_ends = 1,  /* the rule may end here */
    STATE_calls = 2, /* calls[call_at[state] .. call_at[state + 1]] begin here */
    STATE_reads = 4, /* some byte leads on */
    NO_STATE = 0,    /* number of no state */
};

/* Calls, or ends: a state that has to be looked at before a byte is read. */
static inline bool
state_branches(uint8_t flags)
{
    return flags & (STATE_ends | STATE_calls);
}

typedef struct Memo Memo;

struct Grammar {
    Arena *arena; /* of all but the memos */
    uint32_t start, nstates;
    uint32_t nclasses; /* classes of bytes that no state tells apart */
    uint8_t class_of[256];
    uint32_t *next;    /* [nstates,nclasses] */
    uint32_t *call_at; /* [nstates + 1] */
    Call *calls;
    uint8_t *flags;       /* [nstates] */
    pthread_mutex_t lock; /* of the list of memos */
    Memo *memos;
};

/* ---- vocabularies --------------------------------------------------------------------------- */

/* A trie of the ids' bytes, its nodes in preorder: children of node i are i + 1, skip[i + 1], ...
 * below skip[i]. Node 0 is the root. Ids that end at node i are ids[first[i] .. first[i + 1]]. */
struct GrammarVocab {
    uint64_t serial; /* of all vocabularies that were made: addresses are used again */
    int64_t size;
    uint32_t nnodes, depth; /* depth: bytes of the longest id */
    uint8_t *byte;          /* [nnodes] */
    uint32_t *skip;         /* [nnodes] */
    uint32_t *first;        /* [nnodes + 1] */
    uint64_t *below;        /* [nnodes] groups of the bytes below a node */
    uint32_t *height;       /* [nnodes] bytes of the longest way down from a node */
    int32_t *ids;
    const char **text; /* [size]: bytes of an id; NULL: never allowed */
    uint32_t *len;     /* [size] */
    Arena *arena;
};

/* Bytes in 64 groups, those together that grammars mostly treat alike. */
int byte_group(uint8_t byte);

/* ---- places --------------------------------------------------------------------------------- */

/* Stacks share their lower frames, and equal ones are one: a stack is a number. 0: of no frames. */
typedef struct {
    uint32_t state, below;
} Frame;

typedef struct {
    Frame *frames; /* [count]; frames[0] is no frame */
    uint32_t count, cap;
    uint32_t *slots; /* [nslots] numbers of frames; 0: free */
    uint32_t nslots;
} Stacks;

typedef struct {
    uint32_t state, stack;
} Place;

typedef struct {
    Place *at; /* [count] */
    size_t count, cap;
} Places;

/* Follows places; what it has allocated is reused. */
typedef struct {
    const Grammar *grammar;
    Stacks stacks;
    Places open;   /* those of a step with all calls and ends followed */
    uint64_t work; /* places followed so far */
    bool lost;     /* the text has more readings than can be followed */
} Follower;

void follower_free(Follower *f);
void place_add(Places *places, Place place);
/* Adds to `out` a place and those that calls and ends lead to without reading a byte; of them, just
 * those that read one. True: the rule at the bottom of the stack may end here. */
bool follow(Follower *f, Place place, Places *out);
/* Adds to `out` where places [from, to) of it are behind a byte. True as above. */
bool follow_byte(Follower *f, Places *out, size_t from, size_t to, uint8_t byte);

/* ---- memos ---------------------------------------------------------------------------------- */

/* What may come at a state, with stacks below it as far as they matter: ids that the topmost frames
 * allow, found once for a grammar and a vocabulary. Where those frames end with bytes of longer ids
 * still to come, what comes depends on the frame below, of which a child of this Found tells; a
 * child has just the ids that are new. */
typedef struct Found Found;
struct Found {
    uint32_t kind;      /* of the frame that it adds */
    const Found *above; /* whose child it is */
    uint32_t nids, nedges;
    int32_t *ids;    /* [nids]; NULL: words is there */
    uint64_t *words; /* [(size + 63) / 64] */
    /* Nodes of the trie whose byte is the first for the frame below, in the order of their bytes.
     * inherits: this frame can end without a byte, so that all edges of `above` are some, too. */
    uint32_t *edges; /* [nedges] */
    bool inherits;
    Found *next; /* another child of the same, or another that is not shared */
    _Atomic(Found *) children;
};

/* Groups of bytes of which a state reads `depth` and is then as before, as far as ids can tell. It
 * may end all the while, or not; it calls no rule. */
typedef struct {
    uint64_t groups;
    uint32_t depth;
} Loop;

/* States of one kind lead to the same ids: no bytes that an id could have tell them apart. */
struct Memo {
    uint64_t serial; /* of the vocabulary */
    uint32_t nkinds;
    uint32_t *kind_of;       /* [nstates] */
    Loop *loops;             /* [nstates] */
    _Atomic(Found *) *roots; /* [nkinds] */
    pthread_mutex_t lock;    /* of adding */
    atomic_size_t bytes;
    Memo *next;
};

/* Kinds of states [nstates] and their loops, where no id has more than `depth` bytes; how many
 * kinds there are. */
uint32_t kinds_find(const Grammar *grammar, uint32_t depth, uint32_t *kind_of, Loop *loops);

Memo *memo_of(const Grammar *grammar, const GrammarVocab *vocab);
void memos_free(Memo *memos);
void found_free(Found *found); /* without its children */

#endif
