/* tokenizer/tokenizer.h -- texts to token ids and back, by a tokenizer.json (BPE, Unigram), a
 * tokenizer.model of SentencePiece, a tekken.json, or a tiktoken.model. */
#ifndef SSMC_TOKENIZER_TOKENIZER_H
#define SSMC_TOKENIZER_TOKENIZER_H

#include "ir/diag.h"

enum { TOK_MAX_ID = (1 << 21) - 1 };

/* Read-only once it is loaded: threads may share it. */
typedef struct Tokenizer Tokenizer;
/* Reads a file of a tokenizer, told by its content. NULL: faults are in diag, which points into
 * arena. Tables are in arena; tok_free gives back the rest. */
Tokenizer *tok_load(Arena *arena, const char *path, Diag *diag);
/* The text of a tokenizer's file: of a tiktoken.model with the tokenizer_config.json beside it.
 * false: *why says why it cannot be read. */
bool tok_text_of(Arena *arena, const char *path, char **text, size_t *len, const char **why);
/* Reads such a text (copied). */
Tokenizer *tok_parse(Arena *arena, const char *json, size_t len, const char *path, Diag *diag);
void tok_free(Tokenizer *tok);
int64_t tok_size(const Tokenizer *tok); /* largest id + 1 */
/* Text -> ids (malloc'd in *ids). False: text is not UTF-8 and *bad is the offset of the first
 * wrong byte; or *bad is len, and the tokenizer's own splitting expression gave up on this text. */
bool tok_encode(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count,
                size_t *bad);
/* The same of a text that is read as text alone: special tokens that it spells are not found in it,
 * and nothing is put around it. */
bool tok_encode_plain(const Tokenizer *tok, const char *text, size_t len, int32_t **ids,
                      size_t *count, size_t *bad);
/* Bytes of one id (borrows; may be a fraction of a UTF-8 character); NULL: no such id. */
const char *tok_decode(const Tokenizer *tok, int32_t id, size_t *len);

/* Whether an id is found in texts as it is spelt, before anything else is done to them: what marks
 * the parts of a conversation, the end of a text, and the like. */
bool tok_is_added(const Tokenizer *tok, int32_t id);

/* Ids that mark the parts of a text whose middle is wanted; -1: the model has none of that role. */
typedef enum {
    TOK_INFILL_prefix,
    TOK_INFILL_suffix,
    TOK_INFILL_middle, /* where suffix_first, it may be missing: the answer follows the prefix */
    TOK_INFILL_pad,
    TOK_INFILL_repo,
    TOK_INFILL_file,
    TOK_INFILL_end,
    TOK_INFILL_COUNT
} TokInfillRole;
typedef struct {
    int32_t id[TOK_INFILL_COUNT];
    bool suffix_first; /* the model reads the suffix before the prefix */
} TokInfill;
/* NULL: the model was not taught to fill in. */
const TokInfill *tok_infill(const Tokenizer *tok);
bool tok_infill_has(const TokInfill *infill, int32_t id); /* whether it is one of them */
/* Ids that a file names by their roles [TOK_INFILL_COUNT] go before those that are found by their
 * spellings; -1: it names none. Before threads share the tokenizer. */
void tok_set_infill(Tokenizer *tok, const int64_t *ids);

/* A text that ids are put together to: whole characters of UTF-8, as soon as they are there. */
typedef struct TokText TokText;
/* continues: behind other text, so that no space at the start is taken for one that was added. */
TokText *tok_text_new(const Tokenizer *tok, bool continues);
/* What an id adds (borrows, until the next call); NULL: no such id. */
const char *tok_text_add(TokText *text, int32_t id, size_t *len);
/* What is left when no more ids come. */
const char *tok_text_end(TokText *text, size_t *len);
void tok_text_free(TokText *text);

#endif
