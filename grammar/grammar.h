/* grammar/grammar.h -- what a text may be: a grammar, compiled once from GBNF or a JSON schema, and
 * matches, which go along with one text each and say which ids of a vocabulary may come next. */
#ifndef SSMC_GRAMMAR_GRAMMAR_H
#define SSMC_GRAMMAR_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* Read-only once made; threads may share it. */
typedef struct Grammar Grammar;
/* NULL: *why (malloc'd) says what is wrong and where, with line, column and a caret. */
Grammar *grammar_from_gbnf(const char *text, size_t len, char **why);
/* Of the texts that a JSON schema allows; NULL as above, of what it has no grammar for: never a
 * wider or another language without a word. */
Grammar *grammar_from_schema(struct json_object *schema, char **why);
Grammar *grammar_from_json(void); /* any JSON object */
/* Texts that are put together: sequences of parts, between which PART_or stands. */
typedef struct {
    enum {
        PART_text,     /* text, as it is */
        PART_json,     /* a value of schema, which is borrowed */
        PART_free,     /* any text in which the first three bytes of `text`, a mark, do not occur */
        PART_or,       /* what is before it, or what is behind it */
        PART_group,    /* what comes up to its PART_end */
        PART_optional, /* what comes up to its PART_end, or no text */
        PART_end
    } kind;
    const char *text;
    struct json_object *schema;
} GrammarPart;
Grammar *grammar_from_parts(const GrammarPart *parts, int count, char **why);
/* As the first two, of a file's text; messages have its path. */
Grammar *grammar_read_gbnf(const char *path, const char *text, size_t len, char **why);
Grammar *grammar_read_schema(const char *path, const char *text, size_t len, char **why);
void grammar_free(Grammar *grammar);
/* Of memory: itself, and what it has learnt of vocabularies so far. */
size_t grammar_bytes(const Grammar *grammar);

/* The bytes of every id, made once for a tokenizer; read-only, threads may share it. */
typedef struct GrammarVocab GrammarVocab;
/* bytes: of an id (borrows); NULL: an id that is never allowed (a control token, a padding row). */
GrammarVocab *grammar_vocab_new(int64_t size,
                                const char *(*bytes)(void *user, int32_t id, size_t *len),
                                void *user);
void grammar_vocab_free(GrammarVocab *vocab);

/* Where one text is in a grammar. Belongs to one thread at a time. Both are borrowed. */
typedef struct GrammarMatch GrammarMatch;
GrammarMatch *grammar_match_new(const Grammar *grammar, const GrammarVocab *vocab);
void grammar_match_free(GrammarMatch *match);
/* Bit id of mask [(size+63)/64] is set if that id may come next. *may_end: the text is whole as it
 * is. False: no id may come and it cannot end (no vocabulary has the bytes that are wanted). */
bool grammar_match_mask(GrammarMatch *match, uint64_t *mask, bool *may_end);
/* The id came. False: it may not; the match is as it was. */
bool grammar_match_take(GrammarMatch *match, int32_t id);

#endif
