/* tokenizer/tables.h -- private to tokenizer/: its tables, splitting, UTF-8.
 *
 * A text becomes ids in five steps, each exactly as the published `tokenizers` library does it:
 * added tokens are cut out of the raw text; the rest is normalised; added tokens marked
 * `normalized` are cut out of that; the pre-tokenizer's steps split what is left into words; the
 * model makes ids of a word, by merges (bpe.c) or by scores (unigram.c). */
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
/* Start of the white space that ends at `at`, but not before `least`; end of that at `at`. */
size_t space_from(Slice text, size_t at, size_t least);
size_t space_to(Slice text, size_t at);

/* A text that grows; free(text) when it is done with. */
typedef struct {
    char *text;
    size_t len, cap;
} Buffer;

void buffer_put(Buffer *b, const char *text, size_t len);
/* Appends a normal form of valid text: NFC, NFD, NFKC, NFKD. */
void utf8_normal_form(Slice text, bool compose, bool compat, Buffer *out);

/* Grows a malloc'd array to hold at least `need` items; dies when there is no memory. */
void *grown(void *items, size_t *cap, size_t need, size_t size);

/* ---- split.c -------------------------------------------------------------------------------- */

typedef struct Splitter Splitter; /* a compiled regular expression */
typedef struct SplitRun SplitRun; /* match buffers of one caller */

/* pattern: a regular expression as Oniguruma (Ruby syntax) reads it, or literal text. NULL: *why
 * (arena text) says what ssmc cannot do with it. */
Splitter *splitter_new(Arena *arena, Slice pattern, bool literal, const char **why);
extern const char SPLIT_GPT2[]; /* the expression of ByteLevel{use_regex} */
Splitter *splitter_own(Arena *arena, const char *pattern); /* dies where it cannot be compiled */
Splitter *splitter_word(Arena *arena);                     /* one character of a word */
Splitter *splitter_words(Arena *arena); /* words, and runs of what is neither word nor space */
void splitter_free(Splitter *splitter);
SplitRun *split_run_new(void);
void split_run_free(SplitRun *run);

typedef enum { SPLIT_FOUND, SPLIT_NONE, SPLIT_GAVE_UP } SplitResult;
/* First match at or behind `from`: [*start, *end), never empty. */
SplitResult splitter_find(const Splitter *splitter, SplitRun *run, Slice text, size_t from,
                          size_t *start, size_t *end);

/* ---- tables --------------------------------------------------------------------------------- */

enum { TOK_MAX_STEPS = 16 };

typedef struct NormStep NormStep; /* normal.h */

/* text NULL: no such id. */
typedef struct {
    Slice text;  /* as the file spells it */
    Slice bytes; /* what it stands for */
    bool own;    /* asked for by the user of SentencePiece: it is never cut */
    bool added;  /* an added token, or a control piece */
} Token;

typedef struct {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* UINT32_MAX: an empty slot */
    int32_t id;    /* of the merged token */
} Merge;

/* An added token: matched as text before anything else. */
typedef struct {
    Slice content;
    int32_t id;
    bool lstrip, rstrip; /* takes white space on that side along */
    bool single_word;    /* only where no word character touches it */
    bool special;        /* a text that is read as text alone has none */
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

/* Where a space is put in front of a piece that has none. */
typedef enum { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS } Prefix;

/* A step of the pre-tokenizer: spaces replaced, one in front if there is none, then a split. */
typedef struct {
    Slice space; /* what spaces become, borrows; "": nothing is replaced or put in front */
    Prefix prefix;
    Splitter *split; /* NULL: no split */
    SplitBehavior behavior;
    bool invert; /* what lies between the matches counts as the matches */
} PreStep;

typedef struct {
    int32_t *items;
    int count, cap;
} IdList;

/* What the first tokens of a text lose when it is put together again. */
typedef enum {
    START_KEPT,
    START_SPACES, /* so many spaces: Tokenizer.start_spaces */
    START_TOKEN,  /* every space of the first token */
    START_PIECES, /* of SentencePiece: a space each, until there is text, or (1) a space */
} Start;

struct Tokenizer {
    Arena *arena;  /* borrows */
    Token *tokens; /* by id */
    int64_t size;
    int32_t byte_id[256]; /* -1: no token for this byte */
    int32_t *vocab;       /* open hash of ids by token text; -1: an empty slot */
    size_t vocab_slots;   /* a power of two */
    /* The model: merges, ranks or scores. */
    Merge *merges;      /* open hash by pair */
    size_t merge_slots; /* a power of two */
    uint32_t *ranks;    /* by id: every pair that makes a token merges; NULL: by merges */
    size_t longest;     /* bytes of the longest token that has a rank */
    double *scores;     /* by id; NULL: no unigram model */
    double least_score, most_score;
    bool sums_are_floats;
    AddedSet pieces;    /* of a unigram model */
    AddedSet own;       /* tokens that SentencePiece's user asked for */
    int32_t unknown;    /* id of what is no token; -1: none */
    bool fuse_unknown;  /* characters that are unknown and follow one another are one token */
    bool byte_fallback; /* what is no token is its bytes, where they are tokens */
    bool of_bytes;      /* merges start from bytes, not from characters */
    bool ignore_merges; /* a word that is a token is that token */
    bool byte_level;    /* tokens are spelt in the byte-level alphabet */
    /* What is done before and behind it. */
    NormStep *normal; /* [nnormal] */
    int nnormal;
    AddedSet raw, normalized;
    Splitter *word; /* for single_word; NULL when no added token asks for it */
    PreStep steps[TOK_MAX_STEPS];
    int nsteps;
    IdList prefix, suffix; /* what the post-processor puts around a text */
    TokInfill infill;
    Start start;
    int start_spaces;
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

/* Sorted for looking up; returns a content that is there twice, or NULL. */
const AddedToken *added_sort(AddedSet *set);
int added_compare(const void *a, const void *b);
/* Narrows items [*low, *high), all longer than depth, to those whose byte at `depth` is `byte`. */
void added_narrow(const AddedSet *set, int *low, int *high, size_t depth, int byte);
/* The longest item that text starts with; NULL: none. */
const AddedToken *added_longest(const AddedSet *set, Slice text);

/* ---- sections of tokenizer.json, and other files --------------------------------------------- */

typedef bool ReadItem(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last);
/* What `read` makes of a section, or of each item of a Sequence, which may be nested; `key` is its
 * list. last: no item of the section comes behind this one. */
bool tok_read_sequence(JsonFile *file, Tokenizer *tok, const JsonAt *at, const char *key, bool last,
                       ReadItem *read);
/* A fault: what stands there is not one of what is expected. */
bool tok_unsupported(JsonFile *file, const JsonAt *at, const char *expected);
/* added.c: added_tokens; the model's vocabulary and the normalizer have been read. */
bool tok_read_added(JsonFile *file, Tokenizer *tok, const JsonAt *at);
bool tok_read_normalizer(JsonFile *file, Tokenizer *tok, const JsonAt *root);    /* normal_read.c */
bool tok_read_pre_tokenizer(JsonFile *file, Tokenizer *tok, const JsonAt *root); /* steps.c */
bool tok_read_post_processor(JsonFile *file, Tokenizer *tok, const JsonAt *root); /* post.c */
bool tok_read_decoder(JsonFile *file, Tokenizer *tok, const JsonAt *root);        /* text.c */
bool tok_read_tekken(JsonFile *file, Tokenizer *tok, const JsonAt *root);         /* tekken.c */
/* tekken.c: tables of `size` tokens, of which `ranked` have a rank, and one of these, which is
 * bytes; returns the id that has those bytes already, or -1. A byte that is no token, or -1. */
void tok_ranked_new(Tokenizer *tok, int64_t size, int64_t ranked);
int32_t tok_ranked_add(Tokenizer *tok, Slice bytes, int32_t id, uint32_t rank);
int tok_ranked_lacks(const Tokenizer *tok);
/* tiktoken.c: whether a text begins as a list of ranks does; and reads one. */
bool tok_is_tiktoken(Slice text);
bool tok_read_tiktoken(JsonFile *file, Tokenizer *tok);
/* sentencepiece.c: the bytes of a tokenizer.model, which stay. */
bool tok_read_sentencepiece(Tokenizer *tok, Slice bytes, Diag *diag, const char *path);

/* text.c: the byte of a token "<0xHH>", or -1; a text with every `from` replaced (arena). */
int text_byte(Slice text);
Slice text_replaced(Arena *arena, Slice text, Slice from, Slice to);

void tok_find_infill(Tokenizer *tok); /* infill.c */

bool tok_base64(Arena *arena, Slice text, Slice *out); /* base64.c; false: it is none */

#endif
