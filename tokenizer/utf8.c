/* tokenizer/utf8.c -- UTF-8, white space and normal forms for the tokenizer. */
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

void
buffer_put(Buffer *b, const char *text, size_t len)
{
    b->text = grown(b->text, &b->cap, b->len + len, 1);
    if (len) /* text may be NULL where there is none of it */
        memcpy(b->text + b->len, text, len);
    b->len += len;
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

/* Start of the white space that ends at `at`, but not before `least`. */
size_t
space_from(Slice text, size_t at, size_t least)
{
    while (at > least) {
        const size_t before = utf8_before(text.text, at);
        size_t behind = before;
        if (!is_white_space(utf8_next(text.text, &behind)))
            return at;
        at = before;
    }
    return least;
}

/* End of the white space that starts at `at`. */
size_t
space_to(Slice text, size_t at)
{
    while (at < text.len) {
        size_t behind = at;
        if (!is_white_space(utf8_next(text.text, &behind)))
            break;
        at = behind;
    }
    return at;
}

/* ---- normal forms ------------------------------------------------------------------------------
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

/* Decompositions have at most 18 code points. */
static void
decompose(Slice text, bool compat, CodePoints *out)
{
    enum { LONGEST = 32 };
    const utf8proc_option_t how =
        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compat ? UTF8PROC_COMPAT : 0);
    for (size_t at = 0; at < text.len;) {
        out->items = grown(out->items, &out->cap, out->count + LONGEST, sizeof *out->items);
        int unused = 0;
        const utf8proc_int32_t c = (utf8proc_int32_t)utf8_next(text.text, &at);
        const utf8proc_ssize_t n =
            utf8proc_decompose_char(c, out->items + out->count, LONGEST, how, &unused);
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

void
utf8_normal_form(Slice text, bool compose, bool compat, Buffer *out)
{
    /* Characters below U+0300 (lead byte below 0xCC) neither compose nor come from a composition;
     * those below U+0080 are what every form has. */
    const unsigned char plain = compose && !compat ? 0xCC : 0x80;
    size_t at = 0;
    while (at < text.len && (unsigned char)text.text[at] < plain)
        at++;
    if (at == text.len) {
        buffer_put(out, text.text, text.len);
        return;
    }
    CodePoints points = {0};
    decompose(text, compat, &points);
    canonical_order(&points);
    utf8proc_ssize_t n = (utf8proc_ssize_t)points.count;
    if (compose)
        n = utf8proc_normalize_utf32(points.items, n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (n < 0)
        die("utf8proc cannot compose: %s", utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char bytes[4];
        buffer_put(out, bytes, utf8_put(bytes, (uint32_t)points.items[i]));
    }
    free(points.items);
}
