/* tokenizer/encode.c -- text to ids: added tokens, normal form, words; the model makes ids of a
 * word (bpe.c, unigram.c). */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/encode.h"
#include "tokenizer/normal.h"

void
encoder_put(Encoder *e, int32_t id)
{
    e->ids = grown(e->ids, &e->cap, e->count + 1, sizeof *e->ids);
    e->ids[e->count++] = id;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Fragment [from, to) of a piece that a step splits. */
typedef struct {
    size_t from, to;
    bool match; /* it ends in a match */
} Fragment;

/* Whether what follows a fragment belongs to it. */
static bool
fragment_goes_on(SplitBehavior behavior, bool match, bool next)
{
    switch (behavior) {
    case SPLIT_CONTIGUOUS:
        return next == match;
    case SPLIT_MERGED_WITH_PREVIOUS:
        return next && !match;
    case SPLIT_MERGED_WITH_NEXT:
        return match && !next;
    case SPLIT_ISOLATED:
    case SPLIT_REMOVED:
    case SPLIT_BEHAVIORS:
        break;
    }
    return false;
}

static void encode_piece(Encoder *e, Slice piece, int step);

static void
fragment_end(Encoder *e, Slice piece, int step, const Fragment *fragment)
{
    const bool removed = fragment->match && e->tok->steps[step].behavior == SPLIT_REMOVED;
    if (fragment->to > fragment->from && !removed && !e->gave_up)
        encode_piece(e, (Slice){piece.text + fragment->from, fragment->to - fragment->from},
                     step + 1);
}

/* What the expression matched, or not, from the fragment's end up to `to`. */
static void
fragment_add(Encoder *e, Slice piece, int step, Fragment *fragment, size_t to, bool matched)
{
    const PreStep *how = &e->tok->steps[step];
    const bool match = matched != how->invert;
    if (to == fragment->to)
        return;
    if (!fragment_goes_on(how->behavior, fragment->match, match)) {
        fragment_end(e, piece, step, fragment);
        fragment->from = fragment->to;
    }
    fragment->to = to;
    fragment->match = match;
}

/* A piece as a step changes it before it is split: spaces replaced, and one put in front. */
static Slice
change_piece(Encoder *e, Slice piece, int step)
{
    const PreStep *how = &e->tok->steps[step];
    const Slice space = how->space;
    Buffer *b = &e->step[step];
    if (space.len == 0)
        return piece;
    const bool first = (uintptr_t)piece.text - (uintptr_t)e->origin < e->origin_len;
    const bool has = piece.text[0] == ' ' ||
                     (piece.len >= space.len && memcmp(piece.text, space.text, space.len) == 0);
    b->len = 0;
    if (!has && (how->prefix == PREFIX_ALWAYS || (how->prefix == PREFIX_FIRST && first)))
        buffer_put(b, space.text, space.len);
    for (size_t i = 0; i < piece.len; i++) {
        const bool swap = piece.text[i] == ' ';
        buffer_put(b, swap ? space.text : piece.text + i, swap ? space.len : 1);
    }
    return (Slice){b->text, b->len};
}

/* A piece (never empty) through the pre-tokenizer's steps from `step` on. */
static void
encode_piece(Encoder *e, Slice piece, int step)
{
    if (step == e->tok->nsteps) {
        if (e->tok->scores)
            encode_word_unigram(e, piece);
        else
            encode_word_bpe(e, piece);
        return;
    }
    const PreStep *how = &e->tok->steps[step];
    piece = change_piece(e, piece, step);
    Fragment fragment = {0};
    for (size_t at = 0, start = 0, end = 0; at < piece.len && !e->gave_up; at = end) {
        const SplitResult found =
            how->split ? splitter_find(how->split, e->run, piece, at, &start, &end) : SPLIT_NONE;
        e->gave_up = e->gave_up || found == SPLIT_GAVE_UP;
        if (found != SPLIT_FOUND)
            start = end = piece.len;
        fragment_add(e, piece, step, &fragment, start, false);
        fragment_add(e, piece, step, &fragment, end, true);
    }
    fragment_end(e, piece, step, &fragment);
}

/* ---- added tokens ---------------------------------------------------------------------------- */

static bool
word_at(Encoder *e, Slice text, size_t at)
{
    size_t end = at, from = 0, to = 0;
    utf8_next(text.text, &end);
    const Slice one = {text.text + at, end - at};
    return splitter_find(e->tok->word, e->run, one, 0, &from, &to) == SPLIT_FOUND;
}

typedef void EncodeGap(Encoder *e, Slice gap);

/* Cuts the added tokens of set out of text; what lies between goes to `gap`. As in the published
 * library, a match that is not taken (of single_word, of a text that is plain) still hides shorter
 * ones inside it; the search goes on behind the match, not behind the white space it took along;
 * and a match of which white space taken by the one before leaves nothing is dropped. */
static void
cut_added(Encoder *e, const AddedSet *set, Slice text, EncodeGap *gap)
{
    size_t done = 0;
    for (size_t at = 0; at < text.len && !e->gave_up;) {
        const AddedToken *t = added_longest(set, (Slice){text.text + at, text.len - at});
        if (!t) {
            at++;
            continue;
        }
        const size_t matched = at, behind = at + t->content.len;
        at = behind;
        const bool joined =
            t->single_word && ((matched > 0 && word_at(e, text, utf8_before(text.text, matched))) ||
                               (behind < text.len && word_at(e, text, behind)));
        if (joined || (e->plain && t->special))
            continue;
        const size_t start = t->lstrip ? space_from(text, matched, done) : matched;
        const size_t stop = t->rstrip ? space_to(text, behind > done ? behind : done) : behind;
        if (start > done)
            gap(e, (Slice){text.text + done, start - done});
        if (stop > start)
            encoder_put(e, t->id);
        done = stop;
    }
    if (done < text.len && !e->gave_up)
        gap(e, (Slice){text.text + done, text.len - done});
}

/* ---- whole texts ----------------------------------------------------------------------------- */

static void
encode_words(Encoder *e, Slice gap)
{
    encode_piece(e, gap, 0);
}

/* The published library puts a first space in front of every piece that comes from the first
 * character of a text, of which a normal form may make several pieces. */
static void
find_origin(Encoder *e, Slice gap, Slice made)
{
    bool asked = false;
    Buffer one = {0}, spare = {0};
    size_t len = 0;
    for (int i = 0; i < e->tok->nsteps; i++)
        asked = asked || e->tok->steps[i].prefix == PREFIX_FIRST;
    e->origin_len = gap.text == e->start;
    if (!asked || !e->origin_len || !e->tok->nnormal || made.len == 0)
        return;
    utf8_next(gap.text, &len);
    buffer_put(&one, gap.text, len);
    if (normalise(e->tok, e->run, &one, &spare) && one.len > 0 && one.len <= made.len &&
        memcmp(one.text, made.text, one.len) == 0)
        e->origin_len = one.len;
    free(one.text);
    free(spare.text);
}

static void
encode_gap(Encoder *e, Slice gap)
{
    Buffer text = {0}, spare = {0};
    Slice made = gap;
    if (e->tok->nnormal) {
        buffer_put(&text, gap.text, gap.len);
        e->gave_up = !normalise(e->tok, e->run, &text, &spare);
        made = (Slice){text.text, text.len};
    }
    find_origin(e, gap, made);
    e->origin = made.text;
    if (!e->gave_up)
        cut_added(e, &e->tok->normalized, made, encode_words);
    free(text.text);
    free(spare.text);
}

static void
put_all(Encoder *e, const IdList *list)
{
    for (int i = 0; i < list->count; i++)
        encoder_put(e, list->items[i]);
}

static bool
encode(const Tokenizer *tok, bool plain, const char *text, size_t len, int32_t **ids, size_t *count,
       size_t *bad)
{
    *ids = NULL;
    *count = 0;
    if (!utf8_valid(text, len, bad))
        return false;
    /* Positions are 32 bits; a text may get longer by a space. */
    Encoder e = {
        .tok = tok, .run = split_run_new(), .plain = plain, .gave_up = len > UINT32_MAX / 4};
    e.start = text;
    if (!e.gave_up) {
        if (!plain)
            put_all(&e, &tok->prefix);
        cut_added(&e, &tok->raw, (Slice){text, len}, encode_gap);
        if (!plain)
            put_all(&e, &tok->suffix);
    }
    split_run_free(e.run);
    free(e.symbols);
    free(e.heap);
    free(e.cuts);
    free(e.mapped.text);
    for (int i = 0; i < TOK_MAX_STEPS; i++)
        free(e.step[i].text);
    if (e.gave_up) {
        free(e.ids);
        *bad = len;
        return false;
    }
    *ids = e.ids;
    *count = e.count;
    return true;
}

bool
tok_encode(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count,
           size_t *bad)
{
    return encode(tok, false, text, len, ids, count, bad);
}

bool
tok_encode_plain(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count,
                 size_t *bad)
{
    return encode(tok, true, text, len, ids, count, bad);
}
