/* tokenizer/utf8.c -- UTF-8, white space and normalisation form C for the tokenizer. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "tokenizer/tables.h"

void *
grown(void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return items;
    size_t now = *cap < 64 ? 64 : *cap;
    while (now < need)
        now = now > SIZE_MAX / 2 ? need : now * 2;
    void *more = now > SIZE_MAX / size ? NULL : realloc(items, now * size);
    if (!more)
        die_no_memory(now > SIZE_MAX / size ? SIZE_MAX : now * size);
    *cap = now;
    return more;
}

uint32_t
utf8_next(const char *text, size_t *at)
{
    utf8proc_int32_t c = 0;
    *at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + *at, 4, &c);
    return (uint32_t)c;
}

size_t
utf8_put(char *out, uint32_t c)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

size_t
utf8_before(const char *text, size_t at)
{
    do {
        at--;
    } while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

bool
is_white_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* ---- normalisation form C -------------------------------------------------------------------
 * utf8proc has the three parts of UAX 15: decomposition of a character, canonical ordering,
 * composition. Its ordering takes quadratic time on a long run of marks in the worst order, so a
 * run is ordered here, by counting. */

typedef struct {
    utf8proc_int32_t *items;
    size_t count, cap;
} CodePoints;

static int
combining_class(utf8proc_int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Canonical decompositions have at most four code points. */
static void
decompose(const char *text, size_t len, CodePoints *out)
{
    enum { LONGEST = 16 };
    for (size_t at = 0; at < len;) {
        out->items = grown(out->items, &out->cap, out->count + LONGEST, sizeof *out->items);
        int unused = 0;
        const utf8proc_int32_t c = (utf8proc_int32_t)utf8_next(text, &at);
        const utf8proc_ssize_t n = utf8proc_decompose_char(
            c, out->items + out->count, LONGEST, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &unused);
        if (n < 0 || n > LONGEST)
            die("utf8proc cannot decompose U+%04X", (unsigned)c);
        out->count += (size_t)n;
    }
}

/* Stable sort of a run of marks by combining class; sorted is scratch of the same length. */
static void
order_marks(utf8proc_int32_t *run, size_t count, CodePoints *sorted)
{
    size_t start[257] = {0};
    for (size_t i = 0; i < count; i++)
        start[combining_class(run[i]) + 1]++;
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    sorted->items = grown(sorted->items, &sorted->cap, count, sizeof *sorted->items);
    for (size_t i = 0; i < count; i++)
        sorted->items[start[combining_class(run[i])]++] = run[i];
    memcpy(run, sorted->items, count * sizeof *run);
}

static void
canonical_order(CodePoints *text)
{
    CodePoints sorted = {0};
    for (size_t at = 0; at < text->count; at++) {
        bool in_order = true;
        const size_t run = at;
        int last = 0;
        for (int cls; at < text->count && (cls = combining_class(text->items[at])) != 0; at++) {
            in_order = in_order && cls >= last;
            last = cls;
        }
        if (!in_order)
            order_marks(text->items + run, at - run, &sorted);
    }
    free(sorted.items);
}

char *
utf8_nfc(const char *text, size_t len, size_t *out_len)
{
    /* Characters below U+0300 (lead byte below 0xCC) neither compose nor come from a composition.
     */
    size_t plain = 0;
    while (plain < len && (unsigned char)text[plain] < 0xCC)
        plain++;
    if (plain == len)
        return NULL;
    CodePoints points = {0};
    decompose(text, len, &points);
    canonical_order(&points);
    const utf8proc_ssize_t n = utf8proc_normalize_utf32(
        points.items, (utf8proc_ssize_t)points.count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (n < 0)
        die("utf8proc cannot compose: %s", utf8proc_errmsg(n));
    size_t cap = 0;
    char *out = grown(NULL, &cap, (size_t)n * 4, 1);
    *out_len = 0;
    for (utf8proc_ssize_t i = 0; i < n; i++)
        *out_len += utf8_put(out + *out_len, (uint32_t)points.items[i]);
    free(points.items);
    return out;
}
