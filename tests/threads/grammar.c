/* tests/threads/grammar.c -- four threads make matches of the same grammars, which remember
 * together what may come, and ask meanwhile how much memory that is. Their masks are those of a
 * thread with grammars of its own. */
#include "tests/threads/grammar.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "ir/util.h"

enum { THREADS = 4, TEXTS = 25, LONGEST = 40, WORDS = 3000, WORD = 7 };

static const char *const schemas[] = {
    "true",
    "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\", \"maxLength\": 24},"
    " \"ab\": {\"$ref\": \"#\"}}, \"additionalProperties\": {\"type\": \"number\"}}",
    "{\"type\": \"array\", \"items\": {\"enum\": [\"a\", \"aa\", [1, {}]]}, \"maxItems\": 30}",
};
enum { GRAMMARS = COUNT_OF(schemas) };

/* Ids: the single bytes, then words. */
static char words[WORDS][WORD + 1];

static const char *
bytes_of(void *user, int32_t id, size_t *len)
{
    (void)user;
    *len = id < 256 ? 1 : strlen(words[id]);
    return words[id];
}

/* xorshift64* (Vigna, 2016). */
static uint64_t
draw(uint64_t *random, uint64_t below)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return (*random * 0x2545F4914F6CDD1Du >> 33) % below;
}

static GrammarVocab *
vocab_make(void)
{
    static const char letters[] = "aab{}[]\",: 1-.";
    uint64_t random = 7;
    for (int i = 0; i < WORDS; i++) {
        const int len = 2 + (int)draw(&random, WORD - 1);
        for (int at = 0; at < len; at++)
            words[i][at] = letters[draw(&random, sizeof letters - 1)];
        if (i < 256)
            words[i][0] = (char)i;
    }
    return grammar_vocab_new(WORDS, bytes_of, NULL);
}

typedef struct {
    Grammar *const *grammars; /* [GRAMMARS] */
    const GrammarVocab *vocab;
    uint64_t sum; /* of all masks */
} Walker;

static int32_t
choose(const uint64_t *mask, uint64_t *random)
{
    int32_t chosen = -1;
    uint64_t seen = 0;
    for (int32_t id = 0; id < WORDS; id++)
        if (mask[id / 64] >> (id % 64) & 1 && draw(random, ++seen) == 0)
            chosen = id;
    return chosen;
}

static void
walk(Walker *w, const Grammar *grammar, uint64_t *random)
{
    uint64_t mask[WORDS / 64 + 1] = {0};
    bool end = false;
    GrammarMatch *match = grammar_match_new(grammar, w->vocab);
    for (int i = 0; i < LONGEST && grammar_match_mask(match, mask, &end); i++) {
        w->sum = hash_bytes(mask, sizeof mask, w->sum + end);
        const int32_t id = choose(mask, random);
        if (id < 0)
            break;
        if (!grammar_match_take(match, id))
            die("id %d is in the mask and is not taken", (int)id);
    }
    grammar_match_free(match);
    if (grammar_bytes(grammar) == 0)
        die("a grammar without memory");
}

static void *
walk_all(void *user)
{
    Walker *w = user;
    uint64_t random = 12345;
    for (int i = 0; i < TEXTS; i++)
        for (int g = 0; g < GRAMMARS; g++)
            walk(w, w->grammars[g], &random);
    return NULL;
}

static void
make_grammars(Grammar **out)
{
    for (int g = 0; g < GRAMMARS; g++) {
        char *why = NULL;
        out[g] = grammar_read_schema("schema", schemas[g], strlen(schemas[g]), &why);
        if (!out[g])
            die("%s", why);
    }
}

void
threads_grammar(void)
{
    GrammarVocab *vocab = vocab_make();
    Grammar *shared[GRAMMARS], *own[GRAMMARS];
    make_grammars(shared);
    make_grammars(own);
    Walker walker[THREADS], alone = {own, vocab, 0};
    pthread_t thread[THREADS];
    walk_all(&alone);
    for (int i = 0; i < THREADS; i++) {
        walker[i] = (Walker){shared, vocab, 0};
        if (pthread_create(&thread[i], NULL, walk_all, &walker[i]) != 0)
            die("no thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        if (walker[i].sum != alone.sum)
            die("masks of a shared grammar are not those of one alone");
    }
    for (int g = 0; g < GRAMMARS; g++) {
        grammar_free(shared[g]);
        grammar_free(own[g]);
    }
    grammar_vocab_free(vocab);
}
