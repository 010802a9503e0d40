/* tokenizer/tables.h -- private to tokenizer/: its tables, splitting, UTF-8.
 *
 * A text becomes ids in five steps, each exactly as the published `tokenizers` library does it:
 * added tokens are cut out of the raw text; the rest is normalised; added tokens marked
 * `normalized` are cut out of that; the pre-tokenizer's steps split what is left into words; the
 * bytes of a word are merged by rank. */
#ifndef SSMC_TOKENIZER_TABLES_H
#define SSMC_TOKENIZER_TABLES_H

#include "tokenizer/json_file.h"
#include "tokenizer/tokenizer.h"

/* ---- utf8.c --------------------------------------------------------------------------------- */

/* Code point at *at of valid text; moves *at behind it. */
uint32_t utf8_next(const char *text, size_t *at);
size_t utf8_put(char *out, uint32_t c); /* 1 to 4 bytes */
/* Offset of the character that ends at `at` (at > 0). */
size_t utf8_before(const char *text, size_t at);
bool is_white_space(uint32_t c); /* the Unicode property White_Space */
/* Normalisation form C of valid text, malloc'd; NULL: text is in that form already. */
char *utf8_nfc(const char *text, size_t len, size_t *out_len);

/* Grows a malloc'd array to hold at least `need` items; dies when there is no memory. */
void *grown(void *items, size_t *cap, size_t need, size_t size);

/* ---- split.c -------------------------------------------------------------------------------- */

typedef struct Splitter Splitter; /* a compiled regular expression */
typedef struct SplitRun SplitRun; /* match buffers of one caller */

/* pattern: a regular expression as Oniguruma (Ruby syntax) reads it, or literal text. NULL: *why
 * (arena text) says what ssmc cannot do with it. */
Splitter *splitter_new(Arena *arena, Span pattern, bool literal, const char **why);
extern const char SPLIT_GPT2[]; /* the expression of ByteLevel{use_regex} */
Splitter *splitter_own(Arena *arena, const char *pattern); /* dies where it cannot be compiled */
Splitter *splitter_word(Arena *arena);                     /* one character of a word */
void splitter_free(Splitter *splitter);
SplitRun *split_run_new(void);
void split_run_free(SplitRun *run);

typedef enum { SPLIT_FOUND, SPLIT_NONE, SPLIT_GAVE_UP } SplitResult;
/* First match at or behind `from`: [*start, *end), never empty. */
SplitResult splitter_find(const Splitter *splitter, SplitRun *run, Span text, size_t from,
                          size_t *start, size_t *end);

/* ---- tables --------------------------------------------------------------------------------- */

enum { TOK_MAX_STEPS = 16 };

/* text NULL: no such id. */
typedef struct {
    Span text;  /* as tokenizer.json spells it */
    Span bytes; /* what it stands for */
} Token;

typedef struct {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* UINT32_MAX: an empty slot */
    int32_t id;    /* of the merged token */
} Merge;

/* An added token: matched as text before anything else. */
typedef struct {
    Span content;
    int32_t id;
    bool lstrip, rstrip; /* takes white space on that side along */
    bool single_word;    /* only where no word character touches it */
} AddedToken;

/* Sorted by content, for leftmost-longest matching. */
typedef struct {
    AddedToken *items;
    int count, cap;
    bool first[256]; /* bytes a content starts with */
} AddedSet;

/* What becomes of the matches of a split, and of what lies between them. */
typedef enum {
    SPLIT_ISOLATED,             /* each is a piece */
    SPLIT_REMOVED,              /* matches are dropped */
    SPLIT_CONTIGUOUS,           /* matches that touch are one piece */
    SPLIT_MERGED_WITH_PREVIOUS, /* a match ends the piece before it */
    SPLIT_MERGED_WITH_NEXT,     /* a match begins the piece behind it */
    SPLIT_BEHAVIORS
} SplitBehavior;

/* A step of the pre-tokenizer: a space in front if there is none, then a split. */
typedef struct {
    bool prefix_space;
    Splitter *split; /* NULL: no split */
    SplitBehavior behavior;
    bool invert; /* what lies between the matches counts as the matches */
} PreStep;

typedef struct {
    int32_t *items;
    int count, cap;
} IdList;

struct Tokenizer {
    Arena *arena;  /* borrows */
    Token *tokens; /* by id */
    int64_t size;
    int32_t byte_id[256]; /* -1 for bytes that UTF-8 never has */
    int32_t *vocab;       /* open hash of ids by token text; -1: an empty slot */
    size_t vocab_slots;   /* a power of two */
    Merge *merges;        /* open hash by pair */
    size_t merge_slots;   /* a power of two */
    bool ignore_merges;   /* a word that is a token is that token */
    bool nfc;
    bool byte_level, decodes; /* the pre-tokenizer and the decoder have their ByteLevel */
    AddedSet raw, normalized;
    Splitter *word; /* for single_word; NULL when no added token asks for it */
    PreStep steps[TOK_MAX_STEPS];
    int nsteps;
    IdList prefix, suffix; /* what the post-processor puts around a text */
};

/* ---- tables.c ------------------------------------------------------------------------------- */

/* Id of a token as tokenizer.json spells it, or -1. */
int32_t tok_vocab_find(const Tokenizer *tok, const char *text, size_t len);
/* Where the id of such a token is, or belongs. */
int32_t *tok_vocab_slot(const Tokenizer *tok, const char *text, size_t len);
/* Slot of a pair: the pair's, or the empty one where it belongs. */
Merge *tok_merge_slot(const Tokenizer *tok, uint64_t pair);
/* Slots of a hash table of so many items. */
size_t tok_slots(size_t count);
/* The byte-level alphabet (GPT-2's bytes_to_unicode): a printable character for each byte. */
uint32_t byte_to_char(unsigned char byte);
int char_to_byte(uint32_t c); /* -1: not in the alphabet */

/* ---- added.c, steps.c: sections of tokenizer.json -------------------------------------------- */

/* added_tokens; the model's vocabulary and the normalizer have been read. */
bool tok_read_added(JsonFile *file, Tokenizer *tok, const JsonAt *at);
/* Everything but the model: normalizer, added_tokens, pre_tokenizer, post_processor, decoder. */
bool tok_read_steps(JsonFile *file, Tokenizer *tok, const JsonAt *root);

#endif
