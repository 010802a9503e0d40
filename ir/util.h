/* ir/util.h -- memory, growing text, checked sizes and files for the whole compiler.
 * The only header that may use compiler extensions. runtime/ has its own small helpers. */
#ifndef SSMC_IR_UTIL_H
#define SSMC_IR_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN               __attribute__((noreturn))
#else
#define PRINTF_LIKE(fmt, args)
#define NORETURN
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Our own fault: prints the message to stderr and aborts. Never for user input. */
NORETURN void die(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The system's fault: there is no memory of so many bytes (0: of what another library wanted).
 * Prints it and ends the process with status 1, without running anything else. */
NORETURN void die_no_memory(size_t bytes);

/* Arena: everything of one compilation lives in one, and is freed with it.
 * arena_alloc returns zeroed memory aligned to 16 and never NULL (it dies). */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t bytes);
void *arena_array(Arena *arena, size_t count, size_t size); /* checked count * size */
void *arena_grow(Arena *arena, void *old, size_t old_count, size_t new_count, size_t size);
char *arena_strdup(Arena *arena, const char *text); /* NULL for NULL */
char *arena_strndup(Arena *arena, const char *text, size_t len);
char *arena_printf(Arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Append to an arena array {items, count, cap}: VEC_PUSH(a, g->w, g->nw, g->capw, item). */
#define VEC_PUSH(arena, items, count, cap, item)                                                   \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            const size_t new_cap_ = (cap) ? (size_t)(cap) * 2 : 8;                                 \
            (items) = arena_grow((arena), (items), (size_t)(count), new_cap_, sizeof *(items));    \
            (cap) = (int)new_cap_;                                                                 \
        }                                                                                          \
        (items)[(count)++] = (item);                                                               \
    } while (0)

/* Growing text (malloc). Zero-initialise; text is NUL-terminated once anything was put. */
typedef struct {
    char *text;
    size_t len, cap;
} StrBuf;
void sb_puts(StrBuf *sb, const char *text);
void sb_putn(StrBuf *sb, const char *text, size_t len);
void sb_printf(StrBuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sb_vprintf(StrBuf *sb, const char *fmt, va_list args);
/* As a text in quotes: \" \\ and \x01 stand for what would end or break it. */
void sb_put_quoted(StrBuf *sb, const char *text);
const char *sb_text(const StrBuf *sb); /* "" when nothing was put */
void sb_free(StrBuf *sb);
const char *sb_finish(StrBuf *sb, Arena *arena); /* its text in the arena; frees it */

/* Bytes of the character that a text of `left` > 0 bytes starts with; 0: it is not UTF-8.
 * Surrogates are not. */
size_t utf8_length(const char *text, size_t left);
uint32_t utf8_code(const char *text, size_t length); /* that character's code point */
bool utf8_valid(const char *text, size_t len,
                size_t *bad); /* bad: offset of the first wrong byte */

/* Checked sizes: false on overflow or a negative operand; *out untouched then. */
bool size_mul(int64_t a, int64_t b, int64_t *out);
bool size_add(int64_t a, int64_t b, int64_t *out);
int64_t round_up(int64_t n, int64_t to);
/* The fewest bytes, n or more, that are an odd number of cache lines of 64: columns of rows so far
 * apart lie in different sets of a cache. */
int64_t odd_lines(int64_t n);

/* Shortest decimal that reads back to the same double ("0.5", "1e-05", "inf"). */
const char *number_text(Arena *arena, double value);

bool word_in(const char *words, const char *word); /* words: separated by spaces */

/* Whether id is one of the ids. */
/* A list of integers that a user gave. */
enum { INT_LIST_MOST = 32 };
typedef struct {
    int64_t n[INT_LIST_MOST];
    int count;
} IntList;

int int64_order(const void *a, const void *b); /* for qsort */
bool ids_have(const int32_t *ids, size_t count, int32_t id);

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

/* Distinct texts, numbered in the order in which they came. Zero-initialise but for the arena. */
typedef struct {
    Arena *arena;
    struct TextEntry *entry; /* [count] */
    int count, cap;
    int *slots; /* [size] 1 + a number, or 0: a hash table with open addresses */
    size_t size;
} Texts;
int texts_find(const Texts *texts, const char *text); /* its number; -1: it is not there */
int texts_add(Texts *texts, const char *text);        /* its number; a new one is copied */
const char *texts_at(const Texts *texts, int number);

/* Nearest of `count` names (stride bytes apart, each entry starting with a const char *), or NULL
 * when none is near (edit distance above a third of the length). */
const char *nearest_name(const char *name, const void *table, size_t count, size_t stride);
/* Such names as a text: "a, b and c", where `last` is "and". */
const char *names_listed(Arena *arena, const void *table, size_t count, size_t stride,
                         const char *last);

/* Whole files. On failure false and *why (arena text: "cannot read F: No such file ..."). */
bool file_read(Arena *arena, const char *path, size_t max_bytes, char **text, size_t *len,
               const char **why);

#endif
