/* tokenizer/tekken.c -- tekken.json of Mistral: tokens are bytes, and every pair whose bytes are a
 * token merges, by that token's rank (tiktoken's way). Ids: special tokens first, then ranks.
 * Special tokens are put around a text by programs; in a text they are text. */
#include <inttypes.h>
#include <string.h>

#include "tokenizer/tables.h"

void
tok_ranked_new(Tokenizer *tok, int64_t size, int64_t ranked)
{
    tok->size = size;
    tok->tokens = arena_array(tok->arena, (size_t)size, sizeof *tok->tokens);
    tok->ranks = arena_array(tok->arena, (size_t)size, sizeof *tok->ranks);
    tok->vocab_slots = tok_slots((size_t)ranked);
    tok->vocab = arena_array(tok->arena, tok->vocab_slots, sizeof *tok->vocab);
    memset(tok->vocab, 0xFF, tok->vocab_slots * sizeof *tok->vocab);
    tok->of_bytes = tok->ignore_merges = true;
}

int32_t
tok_ranked_add(Tokenizer *tok, Slice bytes, int32_t id, uint32_t rank)
{
    int32_t *slot = tok_vocab_slot(tok, bytes.text, bytes.len);
    if (*slot >= 0)
        return *slot;
    tok->tokens[id].text = tok->tokens[id].bytes = bytes;
    tok->ranks[id] = rank;
    *slot = id;
    if (bytes.len == 1)
        tok->byte_id[(unsigned char)bytes.text[0]] = id;
    if (bytes.len > tok->longest)
        tok->longest = bytes.len;
    return -1;
}

int
tok_ranked_lacks(const Tokenizer *tok)
{
    for (int byte = 0; byte < 256; byte++)
        if (tok->byte_id[byte] < 0)
            return byte;
    return -1;
}

static bool
read_token(JsonFile *file, Tokenizer *tok, const JsonAt *at, size_t index, int64_t special)
{
    const JsonAt rank_at = json_key(at, "rank"), bytes_at = json_key(at, "token_bytes");
    int64_t rank = 0;
    Slice text = {0}, bytes = {0};
    if (!json_want_object(file, at) ||
        !json_want_int(file, &rank_at, (int64_t)index, (int64_t)index, &rank) ||
        !json_want_text(file, &bytes_at, &text))
        return false;
    if (!tok_base64(tok->arena, text, &bytes) || bytes.len == 0)
        return json_fault(file, &bytes_at, "is %s, expected bytes in base64",
                          json_words(file, &bytes_at));
    const int32_t id = (int32_t)(special + rank);
    const int32_t other = tok_ranked_add(tok, bytes, id, (uint32_t)rank);
    return other < 0 || json_fault(file, &bytes_at, "is what rank %" PRId64 " stands for already",
                                   other - special);
}

/* Names of special tokens; files of older versions have none. */
static bool
read_special(JsonFile *file, Tokenizer *tok, const JsonAt *root, int64_t special)
{
    const JsonAt list = json_key(root, "special_tokens");
    size_t count = 0;
    for (int64_t i = 0; i < special; i++) {
        const char *name = arena_printf(tok->arena, "<SPECIAL_%" PRId64 ">", i);
        tok->tokens[i].text = tok->tokens[i].bytes = (Slice){name, strlen(name)};
    }
    if (!list.value)
        return true;
    if (!json_want_array(file, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i), rank_at = json_key(&item, "rank");
        const JsonAt text_at = json_key(&item, "token_str");
        int64_t rank = 0;
        Slice text = {0};
        if (!json_want_int(file, &rank_at, 0, special - 1, &rank) ||
            !json_want_text(file, &text_at, &text))
            return false;
        text.text = arena_strndup(tok->arena, text.text, text.len);
        tok->tokens[rank].text = tok->tokens[rank].bytes = text;
    }
    return true;
}

bool
tok_read_tekken(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt config = json_key(root, "config"), vocab = json_key(root, "vocab");
    const JsonAt size_at = json_key(&config, "default_vocab_size");
    const JsonAt special_at = json_key(&config, "default_num_special_tokens");
    const JsonAt pattern_at = json_key(&config, "pattern");
    int64_t size = 0, special = 0;
    size_t count = 0;
    Slice pattern = {0};
    const char *why = NULL;
    if (!json_want_object(file, &config) || !json_want_int(file, &size_at, 1, TOK_MAX_ID, &size) ||
        !json_want_int(file, &special_at, 0, size - 1, &special) ||
        !json_want_text(file, &pattern_at, &pattern) || !json_want_array(file, &vocab, &count))
        return false;
    const int64_t inner = size - special;
    if ((uint64_t)inner > count)
        return json_fault(file, &size_at,
                          "is %" PRId64 " with %" PRId64
                          " special tokens, but vocab has %zu tokens",
                          size, special, count);
    PreStep *step = &tok->steps[tok->nsteps++];
    *step = (PreStep){.behavior = SPLIT_REMOVED, .invert = true};
    step->split = splitter_new(tok->arena, pattern, false, &why);
    if (!step->split)
        return json_fault(file, &pattern_at, "%s", why);
    tok_ranked_new(tok, size, inner);
    for (int64_t i = 0; i < inner && !json_full(file); i++) {
        const JsonAt item = json_item(&vocab, (size_t)i);
        read_token(file, tok, &item, (size_t)i, special);
    }
    if (file->faults || !read_special(file, tok, root, special))
        return false;
    const int byte = tok_ranked_lacks(tok);
    return byte < 0 || json_fault(file, &vocab, "has no token for byte 0x%02x", (unsigned)byte);
}
