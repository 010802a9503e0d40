/* driver/words.c -- the words that an option's argument may be, from the tables they are defined
 * in. */
#include <string.h>

#include "driver/driver.h"
#include "explore/sweep.h"

static const char emits[] =
#define EMIT(id, kind, name) name " "
#include "driver/emit.def"
#undef EMIT
    "";

static const char chat_formats[] =
#define CHAT_FORMAT(id, name, mark, first, stop, system, system_end, user, user_end, answer,       \
                    answer_end)                                                                    \
    name " "
#include "chat/formats.def"
    "";

static const char cpus[] = "native "
#define CPU(name, arch, l1, l2, features) name " "
#include "machine/cpus.def"
#undef CPU
                           "";

static const char all_passes[] = "all "
#define PASS(id, after, on, numbers, doc) #id " "
#include "passes/passes.def"
#undef PASS
                                 "";
#define passes (all_passes + sizeof "all") /* without that word: an address, as tables want */

#define SPACED(id, word) word " "
static const char modes[] = MODES(SPACED), tunings[] = TUNINGS(SPACED), holds[] = HOLDS(SPACED);

static const char entries[] =
#define ENTRY(id, tokens, doc) #id " "
#include "ir/entries.def"
#undef ENTRY
    "";

#define KEY(id, path, kind, preset, low, high, words, doc) char id[sizeof words];
static const struct {
#include "frontend/keys.def"
} key_words = {
#undef KEY
#define KEY(id, path, kind, preset, low, high, words, doc) .id = words,
#include "frontend/keys.def"
#undef KEY
};

static const struct {
    OptWords how;
    const char *words;
} table[OPT_COUNT] = {
#define WORDS(option, how, words) [OPT_##option] = {WORDS_##how, words},
#include "driver/words.def"
#undef WORDS
};

OptWords
option_words(OptId id, const char **words)
{
    *words = table[id].words;
    return table[id].how;
}

bool
word_next(const char **at, const char **word, size_t *len)
{
    *word = *at + strspn(*at, " ");
    *len = strcspn(*word, " ");
    *at = *word + *len;
    return *len > 0;
}

int
word_index(OptId id, const char *text)
{
    const char *at = table[id].words, *word = NULL;
    size_t len = 0;
    for (int i = 0; word_next(&at, &word, &len); i++)
        if (strlen(text) == len && memcmp(text, word, len) == 0)
            return i;
    return -1;
}

bool
option_allows(OptId id, const char *text)
{
    return table[id].how != WORDS_ONE || word_index(id, text) >= 0;
}

const char *
option_wants(Arena *arena, OptId id)
{
    StrBuf out = {0};
    const char *at = table[id].words, *word = NULL;
    size_t len = 0;
    for (bool first = true; word_next(&at, &word, &len); first = false) {
        const bool last = at[strspn(at, " ")] == '\0';
        sb_puts(&out, first ? "" : last ? " or " : ", ");
        sb_putn(&out, word, len);
    }
    const char *text = arena_strdup(arena, sb_text(&out));
    sb_free(&out);
    return text;
}
