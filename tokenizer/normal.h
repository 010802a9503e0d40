/* tokenizer/normal.h -- private to tokenizer/: normalisers, which make one text of another. */
#ifndef SSMC_TOKENIZER_NORMAL_H
#define SSMC_TOKENIZER_NORMAL_H

#include "tokenizer/tables.h"

/* SentencePiece's table of replacements: a double array (Aoe 1989, as darts-clone has it) whose
 * values are offsets into the texts behind it. */
typedef struct {
    const unsigned char *units; /* 4 bytes each, lowest first */
    size_t nunits;
    const char *texts; /* NUL behind each */
    size_t ntexts;
} Charsmap;

/* NULL in *why: it was read; borrows the bytes. */
void charsmap_read(Slice bytes, Charsmap *out, const char **why);

typedef enum {
    NORM_COMPOSE,   /* NFC; NFKC where compat */
    NORM_DECOMPOSE, /* NFD; NFKD where compat */
    NORM_LOWERCASE,
    NORM_STRIP_ACCENTS, /* marks go */
    NORM_STRIP,         /* white space at the ends goes */
    NORM_PREPEND,
    NORM_REPLACE,
    NORM_CHARSMAP,      /* character by character, as the published library does it */
    NORM_SENTENCEPIECE, /* all that SentencePiece does, with its table or without one */
} NormKind;

struct NormStep {
    NormKind kind;
    bool compat;
    bool left, right;                                /* strip */
    Splitter *split;                                 /* replace; owns */
    Slice with;                                      /* prepend, replace */
    Charsmap map;                                    /* no units: nothing is replaced */
    bool dummy_prefix, remove_spaces, escape_spaces; /* of SentencePiece */
};

/* Splitting expression gave up: false. The buffers are the caller's; text is in `text` before and
 * behind, `spare` is scratch. */
bool normalise(const Tokenizer *tok, SplitRun *run, Buffer *text, Buffer *spare);

#endif
