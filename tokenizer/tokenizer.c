/* tokenizer/tokenizer.c -- tokenizer.json to tables, section by section, refusing what ssmc would
 * not do exactly. Sections that only matter to training or batching (truncation, padding) are not
 * read. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

/* Bytes of a token: read by the alphabet, or the text itself when it has a character outside it. */
static Span
token_bytes(Arena *arena, Span text)
{
    char *bytes = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        const int byte = char_to_byte(utf8_next(text.text, &at));
        if (byte < 0)
            return text;
        bytes[n++] = (char)byte;
    }
    return (Span){bytes, n};
}

/* ---- model ----------------------------------------------------------------------------------- */

static int64_t
larger_id(int64_t largest, json_object *id)
{
    const int64_t n = json_object_is_type(id, json_type_int) ? json_object_get_int64(id) : -1;
    return n > largest && n <= TOK_MAX_ID ? n : largest;
}

/* Largest id of the file, for the size of the table; what is no id is faulted later. */
static int64_t
largest_id(const JsonAt *vocab, const JsonAt *added)
{
    int64_t largest = -1;
    json_object_object_foreach(vocab->value, key, value)
    {
        (void)key;
        largest = larger_id(largest, value);
    }
    const bool list = json_object_is_type(added->value, json_type_array);
    for (size_t i = 0; list && i < json_object_array_length(added->value); i++) {
        const JsonAt item = json_item(added, i);
        largest = larger_id(largest, json_key(&item, "id").value);
    }
    return largest;
}

static void
read_token(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    int64_t id = 0;
    if (!json_want_int(file, at, 0, TOK_MAX_ID, &id))
        return;
    Token *token = &tok->tokens[id];
    if (token->text.text) {
        json_fault(file, at, "is %" PRId64 ", the id of \"%s\" already", id, token->text.text);
        return;
    }
    const size_t len = strlen(at->key);
    token->text = (Span){arena_strndup(tok->arena, at->key, len), len};
    token->bytes = token_bytes(tok->arena, token->text);
    *tok_vocab_slot(tok, token->text.text, len) = (int32_t)id;
}

static bool
read_vocab(JsonFile *file, Tokenizer *tok, const JsonAt *model, const JsonAt *added)
{
    const JsonAt vocab = json_key(model, "vocab");
    if (!json_want_object(file, &vocab))
        return false;
    tok->size = largest_id(&vocab, added) + 1;
    tok->tokens = arena_array(tok->arena, (size_t)tok->size, sizeof *tok->tokens);
    tok->vocab_slots = tok_slots((size_t)json_object_object_length(vocab.value));
    tok->vocab = arena_array(tok->arena, tok->vocab_slots, sizeof *tok->vocab);
    memset(tok->vocab, 0xFF, tok->vocab_slots * sizeof *tok->vocab);
    json_object_object_foreach(vocab.value, key, id)
    {
        const JsonAt at = {.up = &vocab, .key = key, .there = true, .value = id};
        read_token(file, tok, &at);
        if (json_full(file))
            break;
    }
    return file->faults == 0;
}

/* Every byte needs its token: otherwise text would be lost without a word. */
static bool
read_alphabet(JsonFile *file, Tokenizer *tok, const JsonAt *model)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t len = utf8_put(text, byte_to_char((unsigned char)byte));
        tok->byte_id[byte] = tok_vocab_find(tok, text, len);
        const bool in_utf8 = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
        if (tok->byte_id[byte] >= 0 || !in_utf8)
            continue;
        const JsonAt vocab = json_key(model, "vocab");
        return json_fault(
            file, &vocab,
            "has no token \"%.*s\" for byte 0x%02x: a byte-level vocabulary has one for "
            "every byte of UTF-8",
            (int)len, text, (unsigned)byte);
    }
    return true;
}

/* The two sides of a merge: ["a", "b"] or "a b". */
static bool
merge_sides(JsonFile *file, const JsonAt *at, Span side[2])
{
    if (json_object_is_type(at->value, json_type_array) &&
        json_object_array_length(at->value) == 2) {
        const JsonAt left = json_item(at, 0), right = json_item(at, 1);
        return json_want_text(file, &left, &side[0]) && json_want_text(file, &right, &side[1]);
    }
    Span text = {0};
    if (json_object_is_type(at->value, json_type_string) && json_want_text(file, at, &text)) {
        const char *space = memchr(text.text, ' ', text.len);
        const size_t left = space ? (size_t)(space - text.text) : text.len;
        side[0] = (Span){text.text, left};
        side[1] = (Span){text.text + left + 1, space ? text.len - left - 1 : 0};
        if (space && !memchr(side[1].text, ' ', side[1].len))
            return true;
    }
    return json_fault(file, at, "is %s, expected two tokens: [\"a\", \"b\"] or \"a b\"",
                      json_words(file, at));
}

static bool
merge_token(JsonFile *file, const Tokenizer *tok, const JsonAt *at, Span text, const char *role,
            int32_t *id)
{
    *id = tok_vocab_find(tok, text.text, text.len);
    if (*id >= 0)
        return true;
    return json_fault(file, at, "%s \"%.*s\", which is not in model.vocab", role, (int)text.len,
                      text.text);
}

static void
read_merge(JsonFile *file, Tokenizer *tok, const JsonAt *at, uint32_t rank, StrBuf *joined)
{
    Span side[2];
    int32_t left = 0, right = 0, both = 0;
    if (!merge_sides(file, at, side) || !merge_token(file, tok, at, side[0], "merges", &left) ||
        !merge_token(file, tok, at, side[1], "merges", &right))
        return;
    joined->len = 0;
    sb_putn(joined, side[0].text, side[0].len);
    sb_putn(joined, side[1].text, side[1].len);
    if (!merge_token(file, tok, at, (Span){sb_text(joined), joined->len}, "makes", &both))
        return;
    const uint64_t pair = (uint64_t)left << 32 | (uint64_t)right;
    *tok_merge_slot(tok, pair) = (Merge){pair, rank, both};
}

static bool
read_merges(JsonFile *file, Tokenizer *tok, const JsonAt *model)
{
    const JsonAt merges = json_key(model, "merges");
    size_t count = 0;
    if (!json_want_array(file, &merges, &count))
        return false;
    tok->merge_slots = tok_slots(count);
    tok->merges = arena_array(tok->arena, tok->merge_slots, sizeof *tok->merges);
    memset(tok->merges, 0xFF, tok->merge_slots * sizeof *tok->merges);
    StrBuf joined = {0};
    for (size_t i = 0; i < count && !json_full(file); i++) {
        const JsonAt at = json_item(&merges, i);
        read_merge(file, tok, &at, (uint32_t)i, &joined);
    }
    sb_free(&joined);
    return file->faults == 0;
}

/* A setting of the model that ssmc only knows switched off. */
static void
want_off(JsonFile *file, const JsonAt *model, const char *key)
{
    const JsonAt at = json_key(model, key);
    const bool zero = (json_object_is_type(at.value, json_type_int) ||
                       json_object_is_type(at.value, json_type_double)) &&
                      json_object_get_double(at.value) == 0;
    const bool no =
        json_object_is_type(at.value, json_type_boolean) && !json_object_get_boolean(at.value);
    if (at.value && !zero && !no && !json_is_text(&at, ""))
        json_fault(file, &at, "is %s, expected none: ssmc reads plain byte-level BPE",
                   json_words(file, &at));
}

/* unk_token is not looked at: a byte-level vocabulary that has every byte never uses it. */
static bool
read_model(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt model = json_key(root, "model"), added = json_key(root, "added_tokens");
    if (!json_want_object(file, &model))
        return false;
    const JsonAt type = json_key(&model, "type"), ignore = json_key(&model, "ignore_merges");
    if (!json_is_text(&type, "BPE"))
        return json_fault(file, &type, "is %s, expected \"BPE\": ssmc reads byte-level BPE",
                          json_words(file, &type));
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback"};
    for (size_t i = 0; i < COUNT_OF(off); i++)
        want_off(file, &model, off[i]);
    return json_bool_or(file, &ignore, false, &tok->ignore_merges) &&
           read_vocab(file, tok, &model, &added) && read_alphabet(file, tok, &model) &&
           read_merges(file, tok, &model);
}

/* ---- the whole file -------------------------------------------------------------------------- */

Tokenizer *
tok_parse(Arena *arena, const char *json, size_t len, const char *path, Diag *diag)
{
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_strdup(arena, path), arena_strndup(arena, json, len), len};
    JsonFile file = {.arena = arena, .diag = diag, .source = source};
    Tokenizer *tok = arena_alloc(arena, sizeof *tok);
    tok->arena = arena;
    json_object *json_root = NULL;
    bool good = json_file_parse(&file, &json_root);
    const JsonAt root = {.there = true, .value = json_root};
    good = good && json_want_object(&file, &root) && read_model(&file, tok, &root) &&
           tok_read_steps(&file, tok, &root) && file.faults == 0;
    json_object_put(json_root);
    if (good)
        return tok;
    tok_free(tok);
    return NULL;
}

Tokenizer *
tok_load(Arena *arena, const char *path, Diag *diag)
{
    enum { LARGEST = 1 << 29 };
    char *text = NULL;
    size_t len = 0;
    const char *why = NULL;
    if (file_read(arena, path, LARGEST, &text, &len, &why))
        return tok_parse(arena, text, len, path, diag);
    diag_error(diag, (SrcLoc){0}, "%s", why);
    return NULL;
}

void
tok_free(Tokenizer *tok)
{
    if (!tok)
        return;
    splitter_free(tok->word);
    for (int i = 0; i < tok->nsteps; i++)
        splitter_free(tok->steps[i].split);
}

int64_t
tok_size(const Tokenizer *tok)
{
    return tok->size;
}

const char *
tok_decode(const Tokenizer *tok, int32_t id, size_t *len)
{
    if (id < 0 || id >= tok->size || !tok->tokens[id].text.text)
        return NULL;
    *len = tok->tokens[id].bytes.len;
    return tok->tokens[id].bytes.text;
}
