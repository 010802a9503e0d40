/* tokenizer/tokenizer.c -- files of tokenizers to tables; tokenizer.json section by section,
 * refusing what ssmc would not do exactly. Sections that only matter to training or batching
 * (truncation, padding) are not read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tokenizer/normal.h"

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
    if (json_object_is_type(vocab->value, json_type_object)) {
        json_object_object_foreach(vocab->value, key, value)
        {
            (void)key;
            largest = larger_id(largest, value);
        }
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
    token->text = (Slice){arena_strndup(tok->arena, at->key, len), len};
    token->bytes = token->text;
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

/* Every byte of a byte-level vocabulary needs its token: otherwise text would be lost without a
 * word. */
static bool
read_alphabet(JsonFile *file, Tokenizer *tok, const JsonAt *model)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        const size_t len = tok->byte_level
                               ? utf8_put(text, byte_to_char((unsigned char)byte))
                               : (size_t)snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        tok->byte_id[byte] = tok_vocab_find(tok, text, len);
        const bool in_utf8 = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
        if (tok->byte_id[byte] >= 0 || !in_utf8 || !tok->byte_level)
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
merge_sides(JsonFile *file, const JsonAt *at, Slice side[2])
{
    if (json_object_is_type(at->value, json_type_array) &&
        json_object_array_length(at->value) == 2) {
        const JsonAt left = json_item(at, 0), right = json_item(at, 1);
        return json_want_text(file, &left, &side[0]) && json_want_text(file, &right, &side[1]);
    }
    Slice text = {0};
    if (json_object_is_type(at->value, json_type_string) && json_want_text(file, at, &text)) {
        const char *space = memchr(text.text, ' ', text.len);
        const size_t left = space ? (size_t)(space - text.text) : text.len;
        side[0] = (Slice){text.text, left};
        side[1] = (Slice){text.text + left + 1, space ? text.len - left - 1 : 0};
        if (space && !memchr(side[1].text, ' ', side[1].len))
            return true;
    }
    return json_fault(file, at, "is %s, expected two tokens: [\"a\", \"b\"] or \"a b\"",
                      json_words(file, at));
}

static bool
merge_token(JsonFile *file, const Tokenizer *tok, const JsonAt *at, Slice text, const char *role,
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
    Slice side[2];
    int32_t left = 0, right = 0, both = 0;
    if (!merge_sides(file, at, side) || !merge_token(file, tok, at, side[0], "merges", &left) ||
        !merge_token(file, tok, at, side[1], "merges", &right))
        return;
    joined->len = 0;
    sb_putn(joined, side[0].text, side[0].len);
    sb_putn(joined, side[1].text, side[1].len);
    if (!merge_token(file, tok, at, (Slice){sb_text(joined), joined->len}, "makes", &both))
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

/* ---- Unigram --------------------------------------------------------------------------------- */

/* [text, score] */
static bool
read_scored(JsonFile *file, Tokenizer *tok, const JsonAt *at, int32_t id)
{
    size_t count = 0;
    if (!json_want_array(file, at, &count))
        return false;
    const JsonAt text_at = json_item(at, 0), score_at = json_item(at, 1);
    Slice text = {0};
    if (count != 2 || !json_object_is_type(text_at.value, json_type_string) ||
        !(json_object_is_type(score_at.value, json_type_double) ||
          json_object_is_type(score_at.value, json_type_int)))
        return json_fault(file, at, "is no [token, score]");
    json_want_text(file, &text_at, &text);
    const double score = json_object_get_double(score_at.value);
    if (!(score >= -1e30 && score <= 1e30))
        return json_fault(file, &score_at, "is %s, expected the logarithm of a probability",
                          json_words(file, &score_at));
    text.text = arena_strndup(tok->arena, text.text, text.len);
    tok->tokens[id].text = tok->tokens[id].bytes = text;
    tok->scores[id] = score;
    tok->least_score = score < tok->least_score ? score : tok->least_score;
    if (text.len == 0)
        return true;
    *tok_vocab_slot(tok, text.text, text.len) = id;
    VEC_PUSH(tok->arena, tok->pieces.items, tok->pieces.count, tok->pieces.cap,
             ((AddedToken){.content = text, .id = id}));
    return true;
}

static bool
read_unigram(JsonFile *file, Tokenizer *tok, const JsonAt *root, const JsonAt *added)
{
    const JsonAt model = json_key(root, "model"), vocab = json_key(&model, "vocab");
    const JsonAt unk = json_key(&model, "unk_id"), bytes = json_key(&model, "byte_fallback");
    size_t count = 0;
    int64_t unknown = 0;
    if (!json_want_array(file, &vocab, &count))
        return false;
    if (count == 0 || count > TOK_MAX_ID)
        return json_fault(file, &vocab, "has %zu tokens, expected 1 to %d", count, TOK_MAX_ID);
    if (tok->byte_level)
        return json_fault(file, &model,
                          "is Unigram, and pre_tokenizer is ByteLevel, which goes "
                          "with BPE");
    if (!json_want_int(file, &unk, 0, (int64_t)count - 1, &unknown) ||
        !json_bool_or(file, &bytes, false, &tok->byte_fallback))
        return false;
    tok->unknown = (int32_t)unknown;
    tok->fuse_unknown = true;
    const int64_t largest = largest_id(&(JsonAt){0}, added);
    tok->size = largest >= (int64_t)count ? largest + 1 : (int64_t)count;
    tok->tokens = arena_array(tok->arena, (size_t)tok->size, sizeof *tok->tokens);
    tok->scores = arena_array(tok->arena, (size_t)tok->size, sizeof *tok->scores);
    tok->least_score = 1e30;
    tok->vocab_slots = tok_slots(count);
    tok->vocab = arena_array(tok->arena, tok->vocab_slots, sizeof *tok->vocab);
    memset(tok->vocab, 0xFF, tok->vocab_slots * sizeof *tok->vocab);
    for (size_t i = 0; i < count && !json_full(file); i++) {
        const JsonAt item = json_item(&vocab, i);
        read_scored(file, tok, &item, (int32_t)i);
    }
    const AddedToken *twice = file->faults ? NULL : added_sort(&tok->pieces);
    if (twice)
        return json_fault(file, &vocab, "has \"%s\" twice", twice->content.text);
    return file->faults == 0 && read_alphabet(file, tok, &model);
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
        json_fault(file, &at, "is %s, expected none: ssmc reads plain BPE", json_words(file, &at));
}

/* The token of what is no token. A byte-level vocabulary that has every byte never uses it. */
static bool
read_unknown(JsonFile *file, Tokenizer *tok, const JsonAt *model)
{
    const JsonAt at = json_key(model, "unk_token");
    Slice text = {0};
    if (tok->byte_level)
        return true;
    if (!at.value)
        return tok->byte_fallback ||
               json_fault(file, &at, "is %s: characters that are no token would be lost",
                          json_words(file, &at));
    if (!json_want_text(file, &at, &text))
        return false;
    tok->unknown = tok_vocab_find(tok, text.text, text.len);
    return tok->unknown >= 0 ||
           json_fault(file, &at, "is \"%s\", which is not in model.vocab", text.text);
}

static bool
read_bpe(JsonFile *file, Tokenizer *tok, const JsonAt *model, const JsonAt *added)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    const JsonAt ignore = json_key(model, "ignore_merges"), fuse = json_key(model, "fuse_unk");
    const JsonAt bytes = json_key(model, "byte_fallback");
    for (size_t i = 0; i < COUNT_OF(off); i++)
        want_off(file, model, off[i]);
    return json_bool_or(file, &ignore, false, &tok->ignore_merges) &&
           json_bool_or(file, &fuse, false, &tok->fuse_unknown) &&
           json_bool_or(file, &bytes, false, &tok->byte_fallback) &&
           read_vocab(file, tok, model, added) && read_alphabet(file, tok, model) &&
           read_unknown(file, tok, model) && read_merges(file, tok, model);
}

static bool
read_model(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt model = json_key(root, "model"), added = json_key(root, "added_tokens");
    if (!json_want_object(file, &model))
        return false;
    const JsonAt type = json_key(&model, "type");
    if (json_is_text(&type, "BPE"))
        return tok_read_pre_tokenizer(file, tok, root) && read_bpe(file, tok, &model, &added);
    if (json_is_text(&type, "Unigram"))
        return tok_read_pre_tokenizer(file, tok, root) && read_unigram(file, tok, root, &added);
    return json_fault(file, &type, "is %s, expected \"BPE\" or \"Unigram\"",
                      json_words(file, &type));
}

/* ---- the whole file -------------------------------------------------------------------------- */

/* tekken.json has its expression in `config`, tokenizer.json its tables in `model`. */
static bool
read_json(JsonFile *file, Tokenizer *tok)
{
    json_object *json_root = NULL;
    bool good = json_file_parse(file, &json_root);
    const JsonAt root = {.there = true, .value = json_root};
    good = good && json_want_object(file, &root);
    const JsonAt config = json_key(&root, "config"), pattern = json_key(&config, "pattern");
    const JsonAt added = json_key(&root, "added_tokens");
    if (good && pattern.there)
        good = tok_read_tekken(file, tok, &root);
    else if (good && read_model(file, tok, &root)) {
        tok_read_normalizer(file, tok, &root);
        tok_read_added(file, tok, &added);
        tok_read_post_processor(file, tok, &root);
        tok_read_decoder(file, tok, &root);
    }
    json_object_put(json_root);
    return good && file->faults == 0;
}

static void
mark_added(Tokenizer *tok)
{
    const AddedSet *const sets[] = {&tok->raw, &tok->normalized};
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        for (int t = 0; t < sets[i]->count; t++)
            tok->tokens[sets[i]->items[t].id].added = true;
}

Tokenizer *
tok_parse(Arena *arena, const char *json, size_t len, const char *path, Diag *diag)
{
    enum { FIRST_OF_SENTENCEPIECE = '\n' }; /* field 1, with a length: a piece */
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_strdup(arena, path), arena_strndup(arena, json, len), len};
    JsonFile file = {.arena = arena, .diag = diag, .source = source};
    Tokenizer *tok = arena_alloc(arena, sizeof *tok);
    tok->arena = arena;
    tok->unknown = -1;
    memset(tok->byte_id, 0xFF, sizeof tok->byte_id);
    /* JSON may begin with a line feed, too, but then white space and a bracket follow. */
    const char *end = source->text + len, *value = json_skip_space(source->text, end);
    const bool proto =
        len > 2 && json[0] == FIRST_OF_SENTENCEPIECE && value < end && !strchr("{[", *value);
    const Slice all = {source->text, len};
    const bool good = proto                  ? tok_read_sentencepiece(tok, all, diag, path)
                      : tok_is_tiktoken(all) ? tok_read_tiktoken(&file, tok)
                                             : read_json(&file, tok);
    if (good) {
        mark_added(tok);
        tok_find_infill(tok);
        return tok;
    }
    tok_free(tok);
    return NULL;
}

bool
tok_text_of(Arena *arena, const char *path, char **text, size_t *len, const char **why)
{
    enum { LARGEST = 1 << 29 };
    const char *folder = strrchr(path, '/');
    const int before = folder ? (int)(folder + 1 - path) : 0;
    const char *beside = arena_printf(arena, "%.*stokenizer_config.json", before, path);
    char *config = NULL;
    size_t more = 0;
    if (!file_read(arena, path, LARGEST, text, len, why))
        return false;
    if (!tok_is_tiktoken((Slice){*text, *len}) || access(beside, F_OK) != 0)
        return true;
    if (!file_read(arena, beside, LARGEST, &config, &more, why))
        return false;
    StrBuf both = {0};
    sb_putn(&both, *text, *len);
    sb_puts(&both, *len && (*text)[*len - 1] == '\n' ? "" : "\n");
    sb_putn(&both, config, more);
    *text = arena_strndup(arena, sb_text(&both), both.len);
    *len = both.len;
    sb_free(&both);
    return true;
}

Tokenizer *
tok_load(Arena *arena, const char *path, Diag *diag)
{
    char *text = NULL;
    size_t len = 0;
    const char *why = NULL;
    if (tok_text_of(arena, path, &text, &len, &why))
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
    for (int i = 0; i < tok->nnormal; i++)
        splitter_free(tok->normal[i].split);
    for (int i = 0; i < tok->nsteps; i++)
        splitter_free(tok->steps[i].split);
}

int64_t
tok_size(const Tokenizer *tok)
{
    return tok->size;
}

bool
tok_is_added(const Tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->size && tok->tokens[id].added;
}

const char *
tok_decode(const Tokenizer *tok, int32_t id, size_t *len)
{
    if (id < 0 || id >= tok->size || !tok->tokens[id].text.text)
        return NULL;
    *len = tok->tokens[id].bytes.len;
    return tok->tokens[id].bytes.text;
}
