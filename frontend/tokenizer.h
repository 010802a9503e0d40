/* frontend/tokenizer.h -- private to the tokenizer: its tables, JSON with positions, splitting,
 * UTF-8.
 *
 * A text becomes ids in five steps, each exactly as the published `tokenizers` library does it:
 * added tokens are cut out of the raw text; the rest is normalised; added tokens marked
 * `normalized` are cut out of that; the pre-tokenizer's steps split what is left into words; the
 * bytes of a word are merged by rank. */
#ifndef SSMC_FRONTEND_TOKENIZER_H
#define SSMC_FRONTEND_TOKENIZER_H

#include <json-c/json.h>

#include "frontend/frontend.h"

typedef struct {
    const char *text;
    size_t len;
} Span;

/* ---- utf8.c --------------------------------------------------------------------------------- */

/* False: *bad is the offset of the first byte of the first wrong sequence. Surrogates are wrong. */
bool utf8_valid(const char *text, size_t len, size_t *bad);
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
/* The expressions of ByteLevel{use_regex}, Digits, and one character of a word. */
Splitter *splitter_gpt2(Arena *arena);
Splitter *splitter_digits(Arena *arena, bool individual);
Splitter *splitter_word(Arena *arena);
void splitter_free(Splitter *splitter);
SplitRun *split_run_new(void);
void split_run_free(SplitRun *run);

typedef enum { SPLIT_FOUND, SPLIT_NONE, SPLIT_GAVE_UP } SplitResult;
/* First match at or behind `from`: [*start, *end), never empty. */
SplitResult splitter_find(const Splitter *splitter, SplitRun *run, Span text, size_t from,
                          size_t *start, size_t *end);

/* ---- tok_json.c ----------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Diag *diag;
    Source *source;
    int faults;
    bool optional; /* faults are notes: what is at fault is left out */
} JsonFile;

/* A value and the way to it. key NULL: element `index` of an array; up NULL: the root. */
typedef struct JsonAt JsonAt;
struct JsonAt {
    const JsonAt *up;
    const char *key;
    size_t index;
    bool there;         /* false: its object has no such key */
    json_object *value; /* NULL for null, too */
};

/* NULL: the fault is in diag. Otherwise json_object_put it. */
json_object *json_file_parse(JsonFile *file);
/* Reports a fault at a value (at its object when it is missing): "model.vocab["a"] <message>".
 * Always false, so that a check can return it. */
bool json_fault(JsonFile *file, const JsonAt *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Says of a value what its reader should know, in the same words. */
void json_note(JsonFile *file, const JsonAt *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Enough faults were reported: reading on would only cost time. */
bool json_full(const JsonFile *file);
/* A value in words for messages: null, "text", 12, an array ... (arena text). */
const char *json_words(JsonFile *file, const JsonAt *at);

JsonAt json_key(const JsonAt *up, const char *key);    /* up must be an object, else not there */
JsonAt json_item(const JsonAt *up, size_t index);      /* up must be an array with that index */
bool json_is_null(const JsonAt *at);                   /* null or not there */
bool json_is_text(const JsonAt *at, const char *text); /* a string equal to text */
/* Typed reads; false: the fault is reported. */
bool json_want_object(JsonFile *file, const JsonAt *at);
bool json_want_array(JsonFile *file, const JsonAt *at, size_t *count);
bool json_want_text(JsonFile *file, const JsonAt *at, Span *out); /* borrows the JSON tree */
bool json_want_int(JsonFile *file, const JsonAt *at, int64_t min, int64_t max, int64_t *out);
bool json_want_bool(JsonFile *file, const JsonAt *at, bool *out);
/* Missing gives `otherwise`. */
bool json_bool_or(JsonFile *file, const JsonAt *at, bool otherwise, bool *out);

/* ---- tables --------------------------------------------------------------------------------- */

enum { TOK_MAX_STEPS = 16, TOK_MAX_ID = (1 << 21) - 1 };

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

struct FeTokenizer {
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

/* ---- tokenizer.c, pipeline.c ----------------------------------------------------------------- */

/* Id of a token as tokenizer.json spells it, or -1. */
int32_t tok_vocab_find(const FeTokenizer *tok, const char *text, size_t len);
/* Slot of a pair: the pair's, or the empty one where it belongs. */
Merge *tok_merge_slot(const FeTokenizer *tok, uint64_t pair);
/* The byte-level alphabet (GPT-2's bytes_to_unicode): a printable character for each byte. */
uint32_t byte_to_char(unsigned char byte);
int char_to_byte(uint32_t c); /* -1: not in the alphabet */

/* Everything but the model: normalizer, added_tokens, pre_tokenizer, post_processor, decoder. */
bool tok_read_pipeline(JsonFile *file, FeTokenizer *tok, const JsonAt *root);

#endif
