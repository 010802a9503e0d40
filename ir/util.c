/* ir/util.c -- memory, growing text, checked sizes, numbers as text, near names. */
#include "ir/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("ssmc: internal error: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void
die_no_memory(size_t bytes)
{
    char size[48] = "";
    if (bytes)
        snprintf(size, sizeof size, " for %zu bytes more", bytes);
    fprintf(stderr,
            "ssmc: no memory%s: the system has no more, or a limit (ulimit -v, a container's) is "
            "reached\n",
            size);
    _Exit(EXIT_FAILURE);
}

/* ---- arena ---------------------------------------------------------------------------------- */

enum { ARENA_ALIGN = 16, ARENA_BLOCK = 64 * 1024 };

typedef struct Block Block;
struct Block {
    Block *next;
    size_t used, size; /* bytes of data */
    _Alignas(16) char data[];
};

struct Arena {
    Block *blocks; /* the newest with room first */
};

static void *
checked_calloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p)
        die_no_memory(bytes);
    return p;
}

Arena *
arena_new(void)
{
    return checked_calloc(sizeof(Arena));
}

void
arena_free(Arena *arena)
{
    if (!arena)
        return;
    for (Block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

void *
arena_alloc(Arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        die("allocation of %zu bytes", bytes);
    const size_t need = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    Block *b = arena->blocks;
    if (!b || b->size - b->used < need) {
        const size_t size = need > ARENA_BLOCK / 4 ? need : ARENA_BLOCK;
        b = checked_calloc(sizeof *b + size);
        b->size = size;
        /* A large piece fills its block: it goes behind the one that still has room. */
        const bool behind = need > ARENA_BLOCK / 4 && arena->blocks;
        Block **at = behind ? &arena->blocks->next : &arena->blocks;
        b->next = *at;
        *at = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    return p;
}

void *
arena_array(Arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        die("allocation of %zu times %zu bytes", count, size);
    return arena_alloc(arena, count * size);
}

void *
arena_grow(Arena *arena, void *old, size_t old_count, size_t new_count, size_t size)
{
    void *p = arena_array(arena, new_count, size);
    if (old_count)
        memcpy(p, old, old_count * size);
    return p;
}

char *
arena_strdup(Arena *arena, const char *text)
{
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *
arena_strndup(Arena *arena, const char *text, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len)
        memcpy(copy, text, len);
    return copy;
}

char *
arena_printf(Arena *arena, const char *fmt, ...)
{
    StrBuf sb = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&sb, fmt, args);
    va_end(args);
    return (char *)sb_finish(&sb, arena);
}

/* ---- growing text --------------------------------------------------------------------------- */

static void
sb_reserve(StrBuf *sb, size_t more)
{
    if (more >= SIZE_MAX / 4 - sb->len)
        die("text of %zu bytes", more);
    const size_t need = sb->len + more + 1;
    if (need <= sb->cap)
        return;
    size_t cap = sb->cap ? sb->cap : 64;
    while (cap < need)
        cap *= 2;
    char *text = realloc(sb->text, cap);
    if (!text)
        die_no_memory(cap);
    sb->text = text;
    sb->cap = cap;
}

void
sb_putn(StrBuf *sb, const char *text, size_t len)
{
    sb_reserve(sb, len);
    if (len)
        memcpy(sb->text + sb->len, text, len);
    sb->len += len;
    sb->text[sb->len] = '\0';
}

void
sb_puts(StrBuf *sb, const char *text)
{
    sb_putn(sb, text, strlen(text));
}

void
sb_vprintf(StrBuf *sb, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, fmt, args);
    if (len < 0)
        die("bad format: %s", fmt);
    sb_reserve(sb, (size_t)len);
    vsnprintf(sb->text + sb->len, (size_t)len + 1, fmt, again);
    va_end(again);
    sb->len += (size_t)len;
}

void
sb_printf(StrBuf *sb, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sb_vprintf(sb, fmt, args);
    va_end(args);
}

void
sb_put_quoted(StrBuf *sb, const char *text)
{
    sb_puts(sb, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_printf(sb, "\\%c", *p);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            sb_printf(sb, "\\x%02x", (unsigned)*p);
        else
            sb_putn(sb, p, 1);
    }
    sb_puts(sb, "\"");
}

const char *
sb_text(const StrBuf *sb)
{
    return sb->text ? sb->text : "";
}

void
sb_free(StrBuf *sb)
{
    free(sb->text);
    *sb = (StrBuf){0};
}

const char *
sb_finish(StrBuf *sb, Arena *arena)
{
    const char *text = arena_strndup(arena, sb_text(sb), sb->len);
    sb_free(sb);
    return text;
}

bool
word_in(const char *words, const char *word)
{
    const size_t len = strlen(word);
    for (const char *p = words; *p; p += strspn(p, " ")) {
        const size_t n = strcspn(p, " ");
        if (n == len && memcmp(p, word, n) == 0)
            return true;
        p += n;
    }
    return false;
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* Table 3-7 of the Unicode standard. */
size_t
utf8_length(const char *text, size_t left)
{
    const unsigned char *at = (const unsigned char *)text, lead = at[0];
    if (lead < 0x80)
        return 1;
    const size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || left < len)
        return 0;
    const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

uint32_t
utf8_code(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code = length == 1 ? at[0] : at[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++)
        code = code << 6 | (at[i] & 0x3Fu);
    return code;
}

bool
utf8_valid(const char *text, size_t len, size_t *bad)
{
    for (size_t at = 0, step; at < len; at += step) {
        step = utf8_length(text + at, len - at);
        if (step == 0) {
            *bad = at;
            return false;
        }
    }
    return true;
}

/* ---- numbers -------------------------------------------------------------------------------- */

bool
size_mul(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || (b && a > INT64_MAX / b))
        return false;
    *out = a * b;
    return true;
}

bool
size_add(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || a > INT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

int64_t
round_up(int64_t n, int64_t to)
{
    int64_t sum;
    if (to < 1 || !size_add(n, to - 1, &sum))
        die("round_up(%lld, %lld)", (long long)n, (long long)to);
    return sum / to * to;
}

int64_t
odd_lines(int64_t n)
{
    enum { LINE = 64 };
    return (round_up(n, LINE) / LINE | 1) * LINE;
}

const char *
number_text(Arena *arena, double value)
{
    if (isnan(value))
        return "nan";
    if (isinf(value))
        return value < 0 ? "-inf" : "inf";
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        const double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof back) == 0)
            break;
    }
    return arena_strdup(arena, text);
}

bool
ids_have(const int32_t *ids, size_t count, int32_t id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* A multiply-and-fold over 8-byte words, finished as in splitmix64. */
uint64_t
hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = seed ^ (len * UINT64_C(0x9e3779b97f4a7c15));
    while (len) {
        const size_t take = len < 8 ? len : 8;
        uint64_t word = 0;
        memcpy(&word, p, take);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        p += take;
        len -= take;
    }
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

/* ---- texts by hash ------------------------------------------------------------------------- */

struct TextEntry {
    uint64_t hash;
    const char *text;
};

/* Where the text is, or would be. */
static size_t
slot_of(const Texts *t, uint64_t hash, const char *text)
{
    size_t i = (size_t)hash & (t->size - 1);
    for (; t->slots[i]; i = (i + 1) & (t->size - 1)) {
        const struct TextEntry *e = &t->entry[t->slots[i] - 1];
        if (e->hash == hash && strcmp(e->text, text) == 0)
            break;
    }
    return i;
}

int
texts_find(const Texts *t, const char *text)
{
    return t->count ? t->slots[slot_of(t, hash_bytes(text, strlen(text), 0), text)] - 1 : -1;
}

int
texts_add(Texts *t, const char *text)
{
    if ((size_t)t->count * 2 >= t->size) {
        t->size = t->size ? t->size * 2 : 64;
        t->slots = arena_array(t->arena, t->size, sizeof *t->slots);
        for (int i = 0; i < t->count; i++)
            t->slots[slot_of(t, t->entry[i].hash, t->entry[i].text)] = i + 1;
    }
    const uint64_t hash = hash_bytes(text, strlen(text), 0);
    int *slot = &t->slots[slot_of(t, hash, text)];
    if (!*slot) {
        const struct TextEntry entry = {hash, arena_strdup(t->arena, text)};
        VEC_PUSH(t->arena, t->entry, t->count, t->cap, entry);
        *slot = t->count;
    }
    return *slot - 1;
}

const char *
texts_at(const Texts *t, int number)
{
    return t->entry[number].text;
}

/* ---- near names ----------------------------------------------------------------------------- */

enum { NEAR_MAX = 96 }; /* longer names get no suggestion */

/* Optimal string alignment distance: insertions, deletions, changes and swapped neighbours. Three
 * rows of the table exist at a time: i, i-1 and i-2. */
static size_t
edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[3][NEAR_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *now = row[i % 3];
        const size_t *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < now[j])
                now[j] = last[j] + 1;
            if (now[j - 1] + 1 < now[j])
                now[j] = now[j - 1] + 1;
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

const char *
nearest_name(const char *name, const void *table, size_t count, size_t stride)
{
    const size_t len = strlen(name);
    size_t best_distance = (len + 2) / 3 + 1;
    const char *best = NULL;
    if (len > NEAR_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *candidate;
        memcpy(&candidate, (const char *)table + i * stride, sizeof candidate);
        const size_t n = candidate ? strlen(candidate) : SIZE_MAX;
        const size_t gap = n > len ? n - len : len - n;
        if (n > NEAR_MAX || gap >= best_distance)
            continue;
        const size_t distance = edit_distance(name, len, candidate, n);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

const char *
names_listed(Arena *arena, const void *table, size_t count, size_t stride, const char *last)
{
    const char *text = "", *name = NULL;
    for (size_t i = 0; i < count; i++) {
        memcpy(&name, (const char *)table + i * stride, sizeof name);
        const char *between = i == 0          ? ""
                              : i + 1 < count ? ", "
                                              : arena_printf(arena, " %s ", last);
        text = arena_printf(arena, "%s%s%s", text, between, name);
    }
    return text;
}

int
int64_order(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
