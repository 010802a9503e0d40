/* tokenizer/bpe.c -- text to ids: added tokens, normal form, words, merges by rank.
 *
 * Of all neighbouring pairs of a word that merge, the one of lowest rank is merged first, the
 * leftmost of equal ones. A heap of (rank, position) finds it, so a word of n bytes takes O(n log
 * n); an entry whose pair has changed since is skipped when it comes up. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

enum { NONE = UINT32_MAX };

/* A symbol of the word being merged: an id and its neighbours. */
typedef struct {
    int32_t id;
    uint32_t prev, next; /* NONE at the ends */
    uint32_t rank;       /* of the pair with next; NONE: no merge, or merged away */
} Symbol;

typedef struct {
    const Tokenizer *tok;
    SplitRun *run;
    bool gave_up;
    int32_t *ids;
    size_t count, cap;
    Symbol *symbols;
    size_t cap_symbols;
    uint64_t *heap; /* rank << 32 | position, smallest first */
    size_t nheap, cap_heap;
    char *prefixed; /* a piece with a space put in front */
    size_t cap_prefixed;
    char *mapped; /* a word in the byte-level alphabet */
    size_t cap_mapped;
} Encoder;

static void
put_id(Encoder *e, int32_t id)
{
    e->ids = grown(e->ids, &e->cap, e->count + 1, sizeof *e->ids);
    e->ids[e->count++] = id;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static void
heap_push(Encoder *e, uint64_t key)
{
    e->heap = grown(e->heap, &e->cap_heap, e->nheap + 1, sizeof *e->heap);
    size_t at = e->nheap++;
    for (; at > 0 && e->heap[(at - 1) / 2] > key; at = (at - 1) / 2)
        e->heap[at] = e->heap[(at - 1) / 2];
    e->heap[at] = key;
}

static uint64_t
heap_pop(Encoder *e)
{
    uint64_t *heap = e->heap;
    const uint64_t top = heap[0], last = heap[--e->nheap];
    size_t at = 0;
    for (size_t child = 1; child < e->nheap; child = 2 * at + 1) {
        child += child + 1 < e->nheap && heap[child + 1] < heap[child];
        if (heap[child] >= last)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static Merge *
pair_merge(const Encoder *e, uint32_t at)
{
    const Symbol *s = &e->symbols[at];
    const uint64_t pair = (uint64_t)s->id << 32 | (uint64_t)e->symbols[s->next].id;
    return tok_merge_slot(e->tok, pair);
}

/* Looks the pair at `at` up again, and queues it if it merges. */
static void
queue_pair(Encoder *e, uint32_t at)
{
    Symbol *s = &e->symbols[at];
    s->rank = s->next == NONE ? NONE : pair_merge(e, at)->rank;
    if (s->rank != NONE)
        heap_push(e, (uint64_t)s->rank << 32 | at);
}

static void
merge_at(Encoder *e, uint32_t at)
{
    Symbol *s = &e->symbols[at], *right = &e->symbols[s->next];
    s->id = pair_merge(e, at)->id;
    s->next = right->next;
    right->rank = NONE;
    if (s->next != NONE)
        e->symbols[s->next].prev = at;
    queue_pair(e, at);
    if (s->prev != NONE)
        queue_pair(e, s->prev);
}

static void
merge_word(Encoder *e, Span word)
{
    const uint32_t n = (uint32_t)word.len;
    e->symbols = grown(e->symbols, &e->cap_symbols, n, sizeof *e->symbols);
    for (uint32_t i = 0; i < n; i++) {
        const int32_t id = e->tok->byte_id[(unsigned char)word.text[i]];
        e->symbols[i] = (Symbol){id, i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE, NONE};
    }
    e->nheap = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        queue_pair(e, i);
    while (e->nheap > 0) {
        const uint64_t top = heap_pop(e);
        const uint32_t at = (uint32_t)top;
        if (e->symbols[at].rank == top >> 32)
            merge_at(e, at);
    }
    for (uint32_t at = 0; at != NONE; at = e->symbols[at].next)
        put_id(e, e->symbols[at].id);
}

static void
encode_word(Encoder *e, Span word)
{
    int32_t whole = -1; /* the token that is the whole word */
    if (e->tok->ignore_merges) {
        size_t len = 0;
        e->mapped = grown(e->mapped, &e->cap_mapped, word.len * 2, 1);
        for (size_t i = 0; i < word.len; i++)
            len += utf8_put(e->mapped + len, byte_to_char((unsigned char)word.text[i]));
        whole = tok_vocab_find(e->tok, e->mapped, len);
    }
    if (whole >= 0)
        put_id(e, whole);
    else
        merge_word(e, word);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Part [from, to) of a piece that a step splits. */
typedef struct {
    size_t from, to;
    bool match; /* it ends in a match */
} Part;

/* Whether what follows a part belongs to it. */
static bool
part_goes_on(SplitBehavior behavior, bool match, bool next)
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

static void encode_piece(Encoder *e, Span piece, int step);

static void
part_end(Encoder *e, Span piece, int step, const Part *part)
{
    const bool removed = part->match && e->tok->steps[step].behavior == SPLIT_REMOVED;
    if (part->to > part->from && !removed && !e->gave_up)
        encode_piece(e, (Span){piece.text + part->from, part->to - part->from}, step + 1);
}

/* What the expression matched, or not, from the part's end up to `to`. */
static void
part_add(Encoder *e, Span piece, int step, Part *part, size_t to, bool matched)
{
    const PreStep *how = &e->tok->steps[step];
    const bool match = matched != how->invert;
    if (to == part->to)
        return;
    if (!part_goes_on(how->behavior, part->match, match)) {
        part_end(e, piece, step, part);
        part->from = part->to;
    }
    part->to = to;
    part->match = match;
}

/* A piece (never empty) through the pre-tokenizer's steps from `step` on. Only the last step may
 * put a space in front, so its buffer is never in use twice. */
static void
encode_piece(Encoder *e, Span piece, int step)
{
    if (step == e->tok->nsteps) {
        encode_word(e, piece);
        return;
    }
    const PreStep *how = &e->tok->steps[step];
    if (how->prefix_space && piece.text[0] != ' ') {
        e->prefixed = grown(e->prefixed, &e->cap_prefixed, piece.len + 1, 1);
        e->prefixed[0] = ' ';
        memcpy(e->prefixed + 1, piece.text, piece.len);
        piece = (Span){e->prefixed, piece.len + 1};
    }
    Part part = {0};
    for (size_t at = 0, start = 0, end = 0; at < piece.len && !e->gave_up; at = end) {
        const SplitResult found =
            how->split ? splitter_find(how->split, e->run, piece, at, &start, &end) : SPLIT_NONE;
        e->gave_up = e->gave_up || found == SPLIT_GAVE_UP;
        if (found != SPLIT_FOUND)
            start = end = piece.len;
        part_add(e, piece, step, &part, start, false);
        part_add(e, piece, step, &part, end, true);
    }
    part_end(e, piece, step, &part);
}

/* ---- added tokens ---------------------------------------------------------------------------- */

/* First item in [low, high) whose byte at `depth` is at least `byte`; all are longer than depth. */
static int
lower_bound(const AddedSet *set, int low, int high, size_t depth, int byte)
{
    while (low < high) {
        const int mid = low + (high - low) / 2;
        if ((unsigned char)set->items[mid].content.text[depth] < byte)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The longest added token at the start of text: the sorted contents are narrowed byte by byte. */
static const AddedToken *
longest_added(const AddedSet *set, Span text)
{
    const AddedToken *longest = NULL;
    int low = 0, high = set->count;
    for (size_t depth = 0; low < high; depth++) {
        if (set->items[low].content.len == depth)
            longest = &set->items[low++];
        if (depth == text.len)
            break;
        const int byte = (unsigned char)text.text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return longest;
}

static bool
word_at(Encoder *e, Span text, size_t at)
{
    size_t end = at, from = 0, to = 0;
    utf8_next(text.text, &end);
    const Span one = {text.text + at, end - at};
    return splitter_find(e->tok->word, e->run, one, 0, &from, &to) == SPLIT_FOUND;
}

/* Start of the white space that ends at `at`, but not before `least`. */
static size_t
space_from(Span text, size_t at, size_t least)
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
static size_t
space_to(Span text, size_t at)
{
    while (at < text.len) {
        size_t behind = at;
        if (!is_white_space(utf8_next(text.text, &behind)))
            break;
        at = behind;
    }
    return at;
}

typedef void EncodeGap(Encoder *e, Span gap);

/* Cuts the added tokens of set out of text; what lies between goes to `gap`. As in the published
 * library, a match that single_word refuses still hides shorter ones inside it; the search goes on
 * behind the match, not behind the white space it took along; and a match of which white space
 * taken by the one before leaves nothing is dropped. */
static void
cut_added(Encoder *e, const AddedSet *set, Span text, EncodeGap *gap)
{
    size_t done = 0;
    for (size_t at = 0; at < text.len && !e->gave_up;) {
        const AddedToken *t = set->first[(unsigned char)text.text[at]]
                                  ? longest_added(set, (Span){text.text + at, text.len - at})
                                  : NULL;
        if (!t) {
            at++;
            continue;
        }
        const size_t matched = at, behind = at + t->content.len;
        at = behind;
        const bool joined =
            t->single_word && ((matched > 0 && word_at(e, text, utf8_before(text.text, matched))) ||
                               (behind < text.len && word_at(e, text, behind)));
        if (joined)
            continue;
        const size_t start = t->lstrip ? space_from(text, matched, done) : matched;
        const size_t stop = t->rstrip ? space_to(text, behind > done ? behind : done) : behind;
        if (start > done)
            gap(e, (Span){text.text + done, start - done});
        if (stop > start)
            put_id(e, t->id);
        done = stop;
    }
    if (done < text.len && !e->gave_up)
        gap(e, (Span){text.text + done, text.len - done});
}

/* ---- whole texts ----------------------------------------------------------------------------- */

static void
encode_words(Encoder *e, Span gap)
{
    encode_piece(e, gap, 0);
}

static void
encode_gap(Encoder *e, Span gap)
{
    size_t len = 0;
    char *nfc = e->tok->nfc ? utf8_nfc(gap.text, gap.len, &len) : NULL;
    cut_added(e, &e->tok->normalized, nfc ? (Span){nfc, len} : gap, encode_words);
    free(nfc);
}

static void
put_all(Encoder *e, const IdList *list)
{
    for (int i = 0; i < list->count; i++)
        put_id(e, list->items[i]);
}

bool
tok_encode(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count,
           size_t *bad)
{
    *ids = NULL;
    *count = 0;
    if (!utf8_valid(text, len, bad))
        return false;
    /* Positions are 32 bits; normal form C makes a text three times as long at most (UAX 15, 3). */
    Encoder e = {.tok = tok, .run = split_run_new(), .gave_up = len > UINT32_MAX / 4};
    if (!e.gave_up) {
        put_all(&e, &tok->prefix);
        cut_added(&e, &tok->raw, (Span){text, len}, encode_gap);
        put_all(&e, &tok->suffix);
    }
    split_run_free(e.run);
    free(e.symbols);
    free(e.heap);
    free(e.prefixed);
    free(e.mapped);
    if (e.gave_up) {
        free(e.ids);
        *bad = len;
        return false;
    }
    *ids = e.ids;
    *count = e.count;
    return true;
}
