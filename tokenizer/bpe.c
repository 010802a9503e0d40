/* tokenizer/bpe.c -- a word to ids by merges (byte-pair encoding).
 *
 * Of all neighbouring pairs of a word that merge, the one of lowest rank is merged first, the
 * leftmost of equal ones. A heap of (rank, position) finds it, so a word of n symbols takes O(n log
 * n); an entry whose pair has changed since is skipped when it comes up.
 *
 * Which pairs merge is a list of pairs (tokenizer.json), or every pair whose text is a token, by
 * that token's rank (SentencePiece, tekken.json). */
#include <string.h>

#include "tokenizer/encode.h"

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

/* Rank and id of the pair at `at` with its neighbour; rank NO_SYMBOL: it does not merge. */
static Merge
pair_merge(const Encoder *e, Slice word, uint32_t at)
{
    const Symbol *s = &e->symbols[at], *right = &e->symbols[s->next];
    const Merge none = {.rank = NO_SYMBOL};
    if (!e->tok->ranks) {
        const uint64_t pair = (uint64_t)(uint32_t)s->id << 32 | (uint32_t)right->id;
        return s->id < 0 || right->id < 0 ? none : *tok_merge_slot(e->tok, pair);
    }
    const size_t len = right->to - s->from;
    if (s->frozen || right->frozen || len > e->tok->longest)
        return none;
    const int32_t id = tok_vocab_find(e->tok, word.text + s->from, len);
    return id < 0 ? none : (Merge){.rank = e->tok->ranks[id], .id = id};
}

/* Looks the pair at `at` up again, and queues it if it merges. */
static void
queue_pair(Encoder *e, Slice word, uint32_t at)
{
    Symbol *s = &e->symbols[at];
    s->rank = s->next == NO_SYMBOL ? NO_SYMBOL : pair_merge(e, word, at).rank;
    if (s->rank != NO_SYMBOL)
        heap_push(e, (uint64_t)s->rank << 32 | at);
}

static void
merge_at(Encoder *e, Slice word, uint32_t at)
{
    Symbol *s = &e->symbols[at], *right = &e->symbols[s->next];
    s->id = pair_merge(e, word, at).id;
    s->to = right->to;
    s->next = right->next;
    right->rank = NO_SYMBOL;
    if (s->next != NO_SYMBOL)
        e->symbols[s->next].prev = at;
    queue_pair(e, word, at);
    if (s->prev != NO_SYMBOL)
        queue_pair(e, word, s->prev);
}

static void
merge_symbols(Encoder *e, Slice word, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        e->symbols[i].prev = i ? i - 1 : NO_SYMBOL;
        e->symbols[i].next = i + 1 < n ? i + 1 : NO_SYMBOL;
    }
    e->nheap = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        queue_pair(e, word, i);
    while (e->nheap > 0) {
        const uint64_t top = heap_pop(e);
        const uint32_t at = (uint32_t)top;
        if (e->symbols[at].rank == top >> 32)
            merge_at(e, word, at);
    }
}

/* ---- symbols that a word starts as ----------------------------------------------------------- */

static void
add_symbol(Encoder *e, uint32_t *n, int32_t id, size_t from, size_t to)
{
    e->symbols = grown(e->symbols, &e->cap_symbols, (size_t)*n + 1, sizeof *e->symbols);
    e->symbols[(*n)++] =
        (Symbol){.id = id, .rank = NO_SYMBOL, .from = (uint32_t)from, .to = (uint32_t)to};
}

static uint32_t
split_bytes(Encoder *e, Slice word)
{
    uint32_t n = 0;
    for (size_t i = 0; i < word.len; i++)
        add_symbol(e, &n, e->tok->byte_id[(unsigned char)word.text[i]], i, i + 1);
    return n;
}

/* Whether every byte of a text has its token. */
static bool
has_bytes(const Tokenizer *tok, Slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (tok->byte_id[(unsigned char)text.text[i]] < 0)
            return false;
    return tok->byte_fallback;
}

/* A character of no token is its bytes, or unknown: as in the published library, characters that
 * are unknown and follow one another may be one, and one that is unknown is put in front of the
 * next token, so that bytes come before it. */
static uint32_t
split_characters(Encoder *e, Slice word)
{
    const Tokenizer *tok = e->tok;
    uint32_t n = 0;
    bool unknown = false; /* one has not been put yet */
    for (size_t at = 0, from = 0; at < word.len; from = at) {
        utf8_next(word.text, &at);
        const Slice one = {word.text + from, at - from};
        const int32_t id = tok_vocab_find(tok, one.text, one.len);
        if (id < 0 && has_bytes(tok, one)) {
            for (size_t i = from; i < at; i++)
                add_symbol(e, &n, tok->byte_id[(unsigned char)word.text[i]], i, i + 1);
        } else {
            if (unknown && (id >= 0 || !tok->fuse_unknown))
                add_symbol(e, &n, tok->unknown, from, from);
            unknown = id < 0 && tok->unknown >= 0;
            if (id >= 0)
                add_symbol(e, &n, id, from, at);
        }
    }
    if (unknown)
        add_symbol(e, &n, tok->unknown, word.len, word.len);
    return n;
}

/* Of SentencePiece: its user's symbols stay whole. */
static uint32_t
split_ranked(Encoder *e, Slice word)
{
    const Tokenizer *tok = e->tok;
    uint32_t n = 0;
    for (size_t at = 0, from = 0; at < word.len; from = at) {
        const AddedToken *own = added_longest(&tok->own, (Slice){word.text + at, word.len - at});
        if (own && e->plain && own->special)
            own = NULL;
        if (own)
            at += own->content.len;
        else
            utf8_next(word.text, &at);
        add_symbol(e, &n, tok_vocab_find(tok, word.text + from, at - from), from, at);
        e->symbols[n - 1].frozen = own != NULL;
    }
    return n;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The token that is the whole word, or -1. */
static int32_t
whole_word(Encoder *e, Slice word)
{
    if (!e->tok->ignore_merges)
        return -1;
    if (!e->tok->byte_level)
        return tok_vocab_find(e->tok, word.text, word.len);
    e->mapped.len = 0;
    for (size_t i = 0; i < word.len; i++) {
        char one[4];
        buffer_put(&e->mapped, one, utf8_put(one, byte_to_char((unsigned char)word.text[i])));
    }
    return tok_vocab_find(e->tok, e->mapped.text, e->mapped.len);
}

bool
encode_bytes(Encoder *e, Slice text)
{
    if (!has_bytes(e->tok, text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        encoder_put(e, e->tok->byte_id[(unsigned char)text.text[i]]);
    return true;
}

void
encode_word_bpe(Encoder *e, Slice word)
{
    const Tokenizer *tok = e->tok;
    const int32_t whole = whole_word(e, word);
    if (whole >= 0) {
        encoder_put(e, whole);
        return;
    }
    const uint32_t n = tok->of_bytes ? split_bytes(e, word)
                       : tok->ranks  ? split_ranked(e, word)
                                     : split_characters(e, word);
    if (n == 0)
        return;
    merge_symbols(e, word, n);
    bool unknown = false; /* those of SentencePiece that follow one another are one */
    for (uint32_t at = 0; at != NO_SYMBOL; at = e->symbols[at].next) {
        const Symbol *s = &e->symbols[at];
        const bool was = unknown;
        unknown = s->id < 0 && !encode_bytes(e, (Slice){word.text + s->from, s->to - s->from});
        if (s->id >= 0 || (unknown && !was))
            encoder_put(e, s->id >= 0 ? s->id : tok->unknown);
    }
}
