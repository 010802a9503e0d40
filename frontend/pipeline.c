/* frontend/pipeline.c -- what surrounds the model in tokenizer.json: added tokens, normaliser,
 * pre-tokenizer, post-processor, decoder. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/tokenizer.h"

static bool
fault_unsupported(JsonFile *file, const JsonAt *at, const char *expected)
{
    return json_fault(file, at, "is %s, expected %s", json_words(file, at), expected);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

static bool
read_normalizer(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    if (json_is_null(at))
        return true;
    const JsonAt type = json_key(at, "type"), list = json_key(at, "normalizers");
    if (json_is_text(&type, "NFC")) {
        tok->nfc = true;
        return true;
    }
    if (!json_is_text(&type, "Sequence"))
        return fault_unsupported(file, &type, "\"NFC\" (or no normalizer)");
    size_t count = 0;
    if (!json_want_array(file, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i), inner = json_key(&item, "type");
        if (!json_is_text(&inner, "NFC"))
            return fault_unsupported(file, &inner, "\"NFC\"");
        tok->nfc = true;
    }
    return true;
}

/* ---- added_tokens ---------------------------------------------------------------------------- */

typedef struct {
    AddedToken token;
    bool normalized;
} AddedRow;

static bool
read_added_row(JsonFile *file, const JsonAt *at, AddedRow *row)
{
    if (!json_want_object(file, at))
        return false;
    AddedToken *t = &row->token;
    const JsonAt id_at = json_key(at, "id"), content = json_key(at, "content");
    const JsonAt lstrip = json_key(at, "lstrip"), rstrip = json_key(at, "rstrip");
    const JsonAt single = json_key(at, "single_word"), normalized = json_key(at, "normalized");
    int64_t id = 0;
    if (!json_want_int(file, &id_at, 0, TOK_MAX_ID, &id) ||
        !json_want_text(file, &content, &t->content) ||
        !json_want_bool(file, &lstrip, &t->lstrip) || !json_want_bool(file, &rstrip, &t->rstrip) ||
        !json_want_bool(file, &single, &t->single_word) ||
        !json_want_bool(file, &normalized, &row->normalized))
        return false;
    if (t->content.len == 0)
        return json_fault(file, &content, "is empty: such a token would stand everywhere");
    t->id = (int32_t)id;
    t->content.text = arena_strndup(file->arena, t->content.text, t->content.len);
    return true;
}

/* An added token is a token of the vocabulary under the same id, or a new one. */
static bool
place_added(JsonFile *file, FeTokenizer *tok, const JsonAt *at, const AddedToken *t)
{
    const JsonAt id_at = json_key(at, "id");
    const int32_t known = tok_vocab_find(tok, t->content.text, t->content.len);
    if (known >= 0 && known != t->id)
        return json_fault(file, &id_at, "is %d, but model.vocab says %d for \"%s\"", t->id, known,
                          t->content.text);
    if (known >= 0)
        return true;
    Token *token = &tok->tokens[t->id];
    if (token->text.text)
        return json_fault(file, &id_at, "is %d, the id of \"%s\" already", t->id, token->text.text);
    token->text = t->content;
    token->bytes = t->content;
    return true;
}

static void
added_push(Arena *arena, AddedSet *set, AddedToken token)
{
    VEC_PUSH(arena, set->items, set->count, set->cap, token);
}

static bool
read_added_token(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    AddedRow row = {0};
    if (!read_added_row(file, at, &row) || !place_added(file, tok, at, &row.token))
        return false;
    if (row.token.single_word && !tok->word)
        tok->word = splitter_word(tok->arena);
    AddedSet *set = row.normalized ? &tok->normalized : &tok->raw;
    /* Matched in normalised text, so by its own normal form. */
    size_t len = 0;
    char *nfc = row.normalized && tok->nfc
                    ? utf8_nfc(row.token.content.text, row.token.content.len, &len)
                    : NULL;
    if (nfc)
        row.token.content = (Span){arena_strndup(tok->arena, nfc, len), len};
    free(nfc);
    added_push(tok->arena, set, row.token);
    return true;
}

static int
added_compare(const void *a, const void *b)
{
    const Span *x = &((const AddedToken *)a)->content, *y = &((const AddedToken *)b)->content;
    const int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static bool
sort_added(JsonFile *file, const JsonAt *at, AddedSet *set)
{
    if (set->count > 0)
        qsort(set->items, (size_t)set->count, sizeof *set->items, added_compare);
    for (int i = 0; i < set->count; i++) {
        set->first[(unsigned char)set->items[i].content.text[0]] = true;
        if (i > 0 && added_compare(&set->items[i - 1], &set->items[i]) == 0)
            return json_fault(file, at, "has \"%s\" twice", set->items[i].content.text);
    }
    return true;
}

static bool
read_added(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    size_t count = 0;
    if (json_is_null(at))
        return true;
    if (!json_want_array(file, at, &count))
        return false;
    for (size_t i = 0; i < count && !json_full(file); i++) {
        const JsonAt item = json_item(at, i);
        read_added_token(file, tok, &item);
    }
    return file->faults == 0 && sort_added(file, at, &tok->raw) &&
           sort_added(file, at, &tok->normalized);
}

/* ---- pre_tokenizer --------------------------------------------------------------------------- */

static bool
read_split(JsonFile *file, FeTokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt behavior = json_key(at, "behavior"), pattern = json_key(at, "pattern");
    const JsonAt regex = json_key(&pattern, "Regex"), literal = json_key(&pattern, "String");
    if (!json_is_text(&behavior, "Isolated"))
        return fault_unsupported(file, &behavior, "\"Isolated\"");
    const JsonAt *from = literal.there ? &literal : &regex;
    Span text = {0};
    const char *why = NULL;
    if (!json_want_text(file, from, &text))
        return false;
    step->split = splitter_new(tok->arena, text, literal.there, &why);
    return step->split || json_fault(file, from, "%s", why);
}

static bool
read_digits(JsonFile *file, FeTokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt individual = json_key(at, "individual_digits");
    bool one = false;
    if (!json_want_bool(file, &individual, &one))
        return false;
    step->split = splitter_digits(tok->arena, one);
    return true;
}

static bool
read_byte_level(JsonFile *file, FeTokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt prefix = json_key(at, "add_prefix_space"), use_regex = json_key(at, "use_regex");
    bool regex = true;
    if (!json_want_bool(file, &prefix, &step->prefix_space) ||
        !json_bool_or(file, &use_regex, true, &regex))
        return false;
    step->split = regex ? splitter_gpt2(tok->arena) : NULL;
    return true;
}

/* ByteLevel maps bytes to its alphabet: it is the last step, and there is one. */
static bool
read_step(JsonFile *file, FeTokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    PreStep *step = &tok->steps[tok->nsteps++];
    if (last && json_is_text(&type, "ByteLevel"))
        return read_byte_level(file, tok, at, step);
    if (last)
        return fault_unsupported(file, &type,
                                 "\"ByteLevel\" as the last step of the pre-tokenizer");
    if (json_is_text(&type, "Split"))
        return read_split(file, tok, at, step);
    if (json_is_text(&type, "Digits"))
        return read_digits(file, tok, at, step);
    return fault_unsupported(file, &type, "\"Split\" or \"Digits\" in front of ByteLevel");
}

static bool
read_pre_tokenizer(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    const JsonAt type = json_key(at, "type"), list = json_key(at, "pretokenizers");
    size_t count = 0;
    if (!json_want_object(file, at))
        return false;
    if (!json_is_text(&type, "Sequence"))
        return read_step(file, tok, at, true);
    if (!json_want_array(file, &list, &count))
        return false;
    if (count == 0 || count > TOK_MAX_STEPS)
        return json_fault(file, &list, "has %zu steps, expected 1 to %d", count, TOK_MAX_STEPS);
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i);
        if (!read_step(file, tok, &item, i + 1 == count))
            return false;
    }
    return true;
}

/* ---- post_processor -------------------------------------------------------------------------- */

/* Ids a template's special token stands for, appended to list. */
static bool
read_special(JsonFile *file, FeTokenizer *tok, const JsonAt *template, const JsonAt *piece,
             IdList *list)
{
    const JsonAt name_at = json_key(piece, "id"), specials = json_key(template, "special_tokens");
    Span name = {0};
    if (!json_want_text(file, &name_at, &name))
        return false;
    const JsonAt special = json_key(&specials, name.text), ids = json_key(&special, "ids");
    size_t count = 0;
    if (!json_want_array(file, &ids, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&ids, i);
        int64_t id = 0;
        if (!json_want_int(file, &item, 0, tok->size - 1, &id))
            return false;
        if (!tok->tokens[id].text.text)
            return json_fault(file, &item, "is %" PRId64 ", which is the id of no token", id);
        VEC_PUSH(tok->arena, list->items, list->count, list->cap, (int32_t)id);
    }
    return true;
}

static void
append_ids(Arena *arena, IdList *to, const IdList *from)
{
    for (int i = 0; i < from->count; i++)
        VEC_PUSH(arena, to->items, to->count, to->cap, from->items[i]);
}

/* `single` is [special ..., the text, special ...]; a later template goes around an earlier one. */
static bool
read_template(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    const JsonAt single = json_key(at, "single");
    size_t count = 0, texts = 0;
    IdList prefix = {0}, suffix = {0};
    if (!json_want_array(file, &single, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&single, i);
        const JsonAt special = json_key(&item, "SpecialToken"), text = json_key(&item, "Sequence");
        texts += text.there;
        if (!text.there && !special.there)
            return fault_unsupported(file, &item, "a SpecialToken or a Sequence");
        if (special.there && !read_special(file, tok, at, &special, texts ? &suffix : &prefix))
            return false;
    }
    if (texts != 1)
        return json_fault(file, &single, "has the text %zu times, expected once", texts);
    append_ids(tok->arena, &prefix, &tok->prefix);
    tok->prefix = prefix;
    append_ids(tok->arena, &tok->suffix, &suffix);
    return true;
}

/* ByteLevel as a post-processor only moves offsets, which ssmc does not give. */
static bool
read_processor(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    const JsonAt type = json_key(at, "type");
    if (json_is_text(&type, "ByteLevel"))
        return true;
    if (json_is_text(&type, "TemplateProcessing"))
        return read_template(file, tok, at);
    return fault_unsupported(file, &type, "\"ByteLevel\" or \"TemplateProcessing\"");
}

static bool
read_post_processor(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    if (json_is_null(at))
        return true;
    const JsonAt type = json_key(at, "type"), list = json_key(at, "processors");
    if (!json_is_text(&type, "Sequence"))
        return read_processor(file, tok, at);
    size_t count = 0;
    if (!json_want_array(file, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i);
        if (!read_processor(file, tok, &item))
            return false;
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool
read_decoder(JsonFile *file, const JsonAt *at)
{
    const JsonAt type = json_key(at, "type");
    return json_is_text(&type, "ByteLevel") || fault_unsupported(file, &type, "\"ByteLevel\"");
}

bool
tok_read_pipeline(JsonFile *file, FeTokenizer *tok, const JsonAt *root)
{
    const JsonAt normalizer = json_key(root, "normalizer"), added = json_key(root, "added_tokens");
    const JsonAt pre = json_key(root, "pre_tokenizer"), post = json_key(root, "post_processor");
    const JsonAt decoder = json_key(root, "decoder");
    read_normalizer(file, tok, &normalizer);
    read_added(file, tok, &added);
    read_pre_tokenizer(file, tok, &pre);
    read_post_processor(file, tok, &post);
    read_decoder(file, &decoder);
    return file->faults == 0;
}
