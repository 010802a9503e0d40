/* tokenizer/normal.c -- see normal.h. */
#include "tokenizer/normal.h"

#include <string.h>
#include <utf8proc.h>

/* ---- SentencePiece's table ------------------------------------------------------------------- */

static uint32_t
word_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

void
charsmap_read(Slice bytes, Charsmap *out, const char **why)
{
    enum { SIZE = 4, UNIT = 4 };
    *out = (Charsmap){.nunits = 0};
    *why = NULL;
    if (bytes.len == 0)
        return;
    const unsigned char *data = (const unsigned char *)bytes.text;
    const size_t array = bytes.len < SIZE ? 0 : word_at(data);
    if (bytes.len < SIZE || array == 0 || array % UNIT || array > bytes.len - SIZE) {
        *why = "is cut off: its table ends behind it";
        return;
    }
    const char *texts = bytes.text + SIZE + array;
    const size_t ntexts = bytes.len - SIZE - array;
    size_t bad = 0;
    if (ntexts == 0 || texts[ntexts - 1] != '\0' || !utf8_valid(texts, ntexts, &bad)) {
        *why = "has texts that are not UTF-8 with a NUL behind each";
        return;
    }
    *out = (Charsmap){data + SIZE, array / UNIT, texts, ntexts};
}

/* What the shortest or the longest prefix of text becomes that is in the table; its length, 0:
 * none is. A unit's bits: 0-7 and 31 a label, 8 a value follows, 9 and 10-30 an offset. */
static size_t
charsmap_find(const Charsmap *map, Slice text, bool longest, const char **becomes)
{
    size_t found = 0;
    size_t node = 0;
    uint32_t unit = map->nunits ? word_at(map->units) : 0;
    for (size_t i = 0; i < text.len && map->nunits; i++) {
        const unsigned char c = (unsigned char)text.text[i];
        node ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
        node ^= c;
        if (node >= map->nunits)
            break;
        unit = word_at(map->units + node * 4);
        if ((unit & (1u << 31 | 0xFF)) != c)
            break;
        const size_t value = node ^ (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
        if (!(unit >> 8 & 1) || value >= map->nunits)
            continue;
        const size_t at = word_at(map->units + value * 4) & 0x7FFFFFFF;
        /* A text begins behind a NUL: no character is cut. */
        if (at >= map->ntexts || (at > 0 && map->texts[at - 1] != '\0'))
            continue;
        *becomes = map->texts + at;
        found = i + 1;
        if (!longest)
            break;
    }
    return found;
}

/* A grapheme of less than 6 bytes is looked up as a whole, others character by character; either is
 * what its shortest prefix in the table becomes. */
static void
put_grapheme(const Charsmap *map, Slice g, Buffer *out)
{
    enum { LONG = 6 };
    const char *becomes = NULL;
    if (g.len < LONG && charsmap_find(map, g, false, &becomes)) {
        buffer_put(out, becomes, strlen(becomes));
        return;
    }
    for (size_t at = 0, from = 0; at < g.len; from = at) {
        utf8_next(g.text, &at);
        const Slice one = {g.text + from, at - from};
        if (charsmap_find(map, one, false, &becomes))
            buffer_put(out, becomes, strlen(becomes));
        else
            buffer_put(out, one.text, one.len);
    }
}

static void
replace_graphemes(const Charsmap *map, Slice text, Buffer *out)
{
    utf8proc_int32_t state = 0;
    size_t from = 0, at = 0;
    for (uint32_t last = 0; at < text.len;) {
        size_t behind = at;
        const uint32_t c = utf8_next(text.text, &behind);
        if (at > 0 &&
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)last, (utf8proc_int32_t)c, &state)) {
            put_grapheme(map, (Slice){text.text + from, at - from}, out);
            from = at;
        }
        last = c;
        at = behind;
    }
    if (at > from)
        put_grapheme(map, (Slice){text.text + from, at - from}, out);
}

/* ---- SentencePiece --------------------------------------------------------------------------- */

static const char MARK[] = "\xE2\x96\x81"; /* U+2581, in the place of a space */

/* What text starts with, normalised, and how long it was. */
static Slice
sp_prefix(const Tokenizer *tok, const NormStep *step, Slice text, size_t *len)
{
    const AddedToken *own = added_longest(&tok->own, text);
    const char *becomes = NULL;
    if (own) {
        *len = own->content.len;
        return own->content;
    }
    *len = charsmap_find(&step->map, text, true, &becomes);
    if (*len)
        return (Slice){becomes, strlen(becomes)};
    utf8_next(text.text, len);
    return (Slice){text.text, *len};
}

/* Its Normalizer::Normalize, step by step. */
static void
sp_normalise(const Tokenizer *tok, const NormStep *step, Slice text, Buffer *out)
{
    const char *space = step->escape_spaces ? MARK : " ";
    bool after_space = step->remove_spaces, begun = false;
    for (size_t at = 0, len = 0; at < text.len; at += len) {
        Slice p = sp_prefix(tok, step, (Slice){text.text + at, text.len - at}, &len);
        if (!begun && step->remove_spaces && p.len == 1 && *p.text == ' ')
            continue;
        if (!begun && step->dummy_prefix)
            buffer_put(out, space, strlen(space));
        begun = true;
        for (; after_space && p.len > 0 && *p.text == ' '; p.len--)
            p.text++;
        for (size_t i = 0; i < p.len; i++) {
            if (p.text[i] == ' ')
                buffer_put(out, space, strlen(space));
            else
                buffer_put(out, p.text + i, 1);
        }
        if (p.len > 0)
            after_space = step->remove_spaces && p.text[p.len - 1] == ' ';
    }
    const size_t n = strlen(space);
    while (step->remove_spaces && out->len >= n && memcmp(out->text + out->len - n, space, n) == 0)
        out->len -= n;
}

/* ---- single characters ----------------------------------------------------------------------- */

static void
put_char(Buffer *out, uint32_t c)
{
    char bytes[4];
    buffer_put(out, bytes, utf8_put(bytes, c));
}

static void
lowercase(Slice text, Buffer *out)
{
    enum { DOTTED_I = 0x130, DOT_ABOVE = 0x307 };
    for (size_t at = 0; at < text.len;) {
        const uint32_t c = utf8_next(text.text, &at);
        put_char(out, c == DOTTED_I ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
        if (c == DOTTED_I) /* the one character that becomes two (SpecialCasing.txt) */
            put_char(out, DOT_ABOVE);
    }
}

static void
strip_accents(Slice text, Buffer *out)
{
    for (size_t at = 0; at < text.len;) {
        const uint32_t c = utf8_next(text.text, &at);
        const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
        const bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                          category == UTF8PROC_CATEGORY_ME;
        if (!mark)
            put_char(out, c);
    }
}

static void
strip_space(const NormStep *step, Slice text, Buffer *out)
{
    const size_t from = step->left ? space_to(text, 0) : 0;
    const size_t to = step->right ? space_from(text, text.len, from) : text.len;
    buffer_put(out, text.text + from, to - from);
}

static bool
replace(const NormStep *step, SplitRun *run, Slice text, Buffer *out)
{
    for (size_t at = 0, start = 0, end = 0; at < text.len; at = end) {
        const SplitResult found = splitter_find(step->split, run, text, at, &start, &end);
        if (found == SPLIT_GAVE_UP)
            return false;
        if (found == SPLIT_NONE)
            start = end = text.len;
        buffer_put(out, text.text + at, start - at);
        if (found == SPLIT_FOUND)
            buffer_put(out, step->with.text, step->with.len);
    }
    return true;
}

/* ---- all steps ------------------------------------------------------------------------------- */

static bool
normalise_step(const Tokenizer *tok, const NormStep *step, SplitRun *run, Slice text, Buffer *out)
{
    switch (step->kind) {
    case NORM_COMPOSE:
    case NORM_DECOMPOSE:
        utf8_normal_form(text, step->kind == NORM_COMPOSE, step->compat, out);
        return true;
    case NORM_LOWERCASE:
        lowercase(text, out);
        return true;
    case NORM_STRIP_ACCENTS:
        strip_accents(text, out);
        return true;
    case NORM_STRIP:
        strip_space(step, text, out);
        return true;
    case NORM_PREPEND:
        if (text.len > 0)
            buffer_put(out, step->with.text, step->with.len);
        buffer_put(out, text.text, text.len);
        return true;
    case NORM_REPLACE:
        return replace(step, run, text, out);
    case NORM_CHARSMAP:
        replace_graphemes(&step->map, text, out);
        return true;
    case NORM_SENTENCEPIECE:
        sp_normalise(tok, step, text, out);
        return true;
    }
    return false;
}

bool
normalise(const Tokenizer *tok, SplitRun *run, Buffer *text, Buffer *spare)
{
    /* Replacements may make a text longer, step by step: it stays below what positions can be. */
    const size_t most = UINT32_MAX / 4;
    for (int i = 0; i < tok->nnormal; i++) {
        const Buffer from = *text;
        spare->len = 0;
        if (!normalise_step(tok, &tok->normal[i], run, (Slice){from.text, from.len}, spare) ||
            spare->len > most)
            return false;
        *text = *spare;
        *spare = from;
    }
    return true;
}
