/* tokenizer/encode.h -- private to tokenizer/: a text on its way to ids. */
#ifndef SSMC_TOKENIZER_ENCODE_H
#define SSMC_TOKENIZER_ENCODE_H

#include "tokenizer/tables.h"

/* A symbol of the word being merged: an id and its neighbours. */
typedef struct {
    int32_t id;          /* -1: its text is no token */
    uint32_t prev, next; /* NO_SYMBOL at the ends */
    uint32_t rank;       /* of the pair with next; NO_SYMBOL: no merge, or merged away */
    uint32_t from, to;   /* its text in the word */
    bool frozen;         /* it never merges */
} Symbol;

enum { NO_SYMBOL = UINT32_MAX };

/* The best way to cut a text up to one of its bytes (unigram.c). */
typedef struct {
    double score;
    size_t from; /* of the last token; SIZE_MAX: no way ends here */
    int32_t id;
} Cut;

typedef struct {
    const Tokenizer *tok;
    SplitRun *run;
    bool plain; /* special tokens are not found in the text */
    bool gave_up;
    int32_t *ids;
    size_t count, cap;
    Symbol *symbols;
    size_t cap_symbols;
    uint64_t *heap; /* rank << 32 | position, smallest first */
    size_t nheap, cap_heap;
    Cut *cuts;
    size_t cap_cuts;
    Buffer mapped;              /* a word in the byte-level alphabet */
    Buffer step[TOK_MAX_STEPS]; /* a piece as a step of the pre-tokenizer changes it */
    const char *start;          /* of the whole text */
    const char *origin;         /* what the first character of the text became, here */
    size_t origin_len;          /* 0: it is not in this piece */
} Encoder;

void encoder_put(Encoder *e, int32_t id);
void encode_word_bpe(Encoder *e, Slice word);
void encode_word_unigram(Encoder *e, Slice word);
/* Ids of the bytes of a text, where each has a token; false: nothing is put. */
bool encode_bytes(Encoder *e, Slice text);

#endif
