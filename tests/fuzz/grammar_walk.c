/* tests/fuzz/grammar_walk.c -- a text along a grammar. */
#include "tests/fuzz/grammar_walk.h"

#include <string.h>

/* Beside all single bytes; some end inside a character. */
static const char *const words[] = {
    "ab",   "abc",      "\": ",     "\", \"",     "\"}",          "}}",        "}]",
    "{\"",  "[[",       "1,",       "00",         "0.5",          "tr",        "ue,",
    "null", "  ",       "\n  ",     "\\u00",      "\\\"",         "\xC3",      "\xA9",
    "\xE6", "\x97\xA5", "\xF0\x9F", "\x99\x82\"", "\xC3\xA9\xC3", "a\xE6\x97",
};

enum { IDS = 256 + COUNT_OF(words), STEPS = 60 };

static const char *
bytes_of(void *user, int32_t id, size_t *len)
{
    char *single = user;
    *len = 1;
    if (id < 256)
        return &single[id];
    *len = strlen(words[id - 256]);
    return words[id - 256];
}

/* xorshift64* (Vigna, 2016). */
static uint64_t
next_random(uint64_t *random)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return *random * 0x2545F4914F6CDD1Du >> 33;
}

static bool
is_set(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

/* An id that may come; -1: none. Those that may not are refused. */
static int32_t
choose(GrammarMatch *match, const uint64_t *mask, uint64_t *random)
{
    int32_t chosen = -1;
    uint64_t seen = 0;
    for (int32_t id = 0; id < (int32_t)IDS; id++) {
        if (is_set(mask, id)) {
            if (next_random(random) % ++seen == 0)
                chosen = id;
        } else if (grammar_match_take(match, id)) {
            die("id %d is taken, and is not in the mask", (int)id);
        }
    }
    return chosen;
}

bool
grammar_walk(const Grammar *grammar, uint64_t seed, StrBuf *text)
{
    char single[256];
    for (int i = 0; i < 256; i++)
        single[i] = (char)i;
    uint64_t random = seed | 1, mask[(IDS + 63) / 64];
    GrammarVocab *vocab = grammar_vocab_new(IDS, bytes_of, single);
    GrammarMatch *match = grammar_match_new(grammar, vocab);
    bool end = false, goes_on = true;
    for (int step = 0; step < STEPS && goes_on; step++) {
        goes_on = grammar_match_mask(match, mask, &end);
        const int32_t id = goes_on ? choose(match, mask, &random) : -1;
        if (goes_on && !end && id < 0)
            die("neither an id may come nor the end");
        if (id < 0 || (end && next_random(&random) % 4 == 0))
            break;
        if (!grammar_match_take(match, id))
            die("id %d is in the mask, and is not taken", (int)id);
        size_t len = 0;
        const char *bytes = bytes_of(single, id, &len);
        sb_putn(text, bytes, len);
        end = false;
    }
    grammar_match_free(match);
    grammar_vocab_free(vocab);
    return end;
}
