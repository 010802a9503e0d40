/* tokenizer/unigram.c -- a word to ids by the likeliest cut into tokens (Kudo 2018, "Subword
 * Regularization"), as the published libraries compute it.
 *
 * Viterbi: best[i] is the best sum of scores of tokens that make the first i bytes. A character
 * that is no token costs 10 more than the unlikeliest token. SentencePiece keeps sums as floats,
 * and gives a token that its user asked for a score that no cut of it has. */
#include <string.h>

#include "tokenizer/encode.h"

enum { UNKNOWN_COSTS = 10 };

static double
token_score(const Tokenizer *tok, int32_t id, size_t len)
{
    if (!tok->sums_are_floats || !tok->tokens[id].own)
        return tok->scores[id];
    return (double)((float)len * (float)tok->most_score) - 0.1;
}

static void
cut_try(const Tokenizer *tok, Cut *cut, size_t from, int32_t id, double score)
{
    if (cut->from != SIZE_MAX && score <= cut->score)
        return;
    *cut = (Cut){tok->sums_are_floats ? (double)(float)score : score, from, id};
}

/* Every token that starts at `from`; true: one of them is the character alone. */
static bool
cut_tokens(Encoder *e, Slice word, size_t from, size_t character)
{
    const Tokenizer *tok = e->tok;
    const double sum = e->cuts[from].score;
    bool alone = false;
    int low = 0, high = tok->pieces.count;
    for (size_t depth = 0; low < high; depth++) {
        if (tok->pieces.items[low].content.len == depth) {
            const int32_t id = tok->pieces.items[low++].id;
            cut_try(tok, &e->cuts[from + depth], from, id, token_score(tok, id, depth) + sum);
            alone = alone || depth == character;
        }
        if (from + depth == word.len)
            break;
        added_narrow(&tok->pieces, &low, &high, depth, (unsigned char)word.text[from + depth]);
    }
    return alone;
}

/* The text of a cut, or of several unknown ones: a token after all, its bytes, or unknown. */
static void
put_cut(Encoder *e, Slice text)
{
    const int32_t id = tok_vocab_find(e->tok, text.text, text.len);
    if (id >= 0)
        encoder_put(e, id);
    else if (!encode_bytes(e, text))
        encoder_put(e, e->tok->unknown);
}

/* cuts[0 .. len] hold the best cut from the end; they are turned round, so that each tells where
 * the next one ends. */
static void
put_cuts(Encoder *e, Slice word)
{
    size_t next = SIZE_MAX;
    for (size_t at = word.len; at > 0;) {
        const size_t from = e->cuts[at].from;
        e->cuts[at].from = next;
        next = at;
        at = from;
    }
    size_t unknown = SIZE_MAX; /* where unknown text began that has not been put yet */
    for (size_t from = 0, to = next; from < word.len; from = to, to = e->cuts[to].from) {
        if (e->cuts[to].id == e->tok->unknown && e->tok->fuse_unknown) {
            unknown = unknown == SIZE_MAX ? from : unknown;
            continue;
        }
        if (unknown != SIZE_MAX)
            put_cut(e, (Slice){word.text + unknown, from - unknown});
        unknown = SIZE_MAX;
        put_cut(e, (Slice){word.text + from, to - from});
    }
    if (unknown != SIZE_MAX)
        put_cut(e, (Slice){word.text + unknown, word.len - unknown});
}

void
encode_word_unigram(Encoder *e, Slice word)
{
    const Tokenizer *tok = e->tok;
    if (word.len == SIZE_MAX)
        die_no_memory(SIZE_MAX);
    e->cuts = grown(e->cuts, &e->cap_cuts, word.len + 1, sizeof *e->cuts);
    for (size_t i = 0; i <= word.len; i++)
        e->cuts[i] = (Cut){.from = SIZE_MAX};
    for (size_t at = 0, from = 0; at < word.len; from = at) {
        utf8_next(word.text, &at);
        if (!cut_tokens(e, word, from, at - from))
            cut_try(tok, &e->cuts[at], from, tok->unknown,
                    tok->least_score - UNKNOWN_COSTS + e->cuts[from].score);
    }
    put_cuts(e, word);
}
