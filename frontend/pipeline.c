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

typedef bool ReadItem(JsonFile *file, FeTokenizer *tok, const JsonAt *at, bool last);

/* What `read` makes of a section, or of each item of a Sequence, which may be nested; `key` is its
 * list. last: no item of the section comes behind this one. */
static bool
read_sequence(JsonFile *file, FeTokenizer *tok, const JsonAt *at, const char *key, bool last,
              ReadItem *read)
{
    const JsonAt type = json_key(at, "type"), list = json_key(at, key);
    if (!json_is_text(&type, "Sequence"))
        return read(file, tok, at, last);
    size_t count = 0;
    if (!json_want_array(file, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i);
        if (!read_sequence(file, tok, &item, key, last && i + 1 == count, read))
            return false;
    }
    return true;
}

static bool
read_normalizer(JsonFile *file, FeTokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    (void)last;
    tok->nfc = true;
    return json_is_text(&type, "NFC") ||
           fault_unsupported(file, &type, "\"NFC\" (or no normalizer)");
}

/* ---- added_tokens ---------------------------------------------------------------------------- */

typedef struct {
    AddedToken token;
    bool normalized;
    size_t first; /* row that lists this content first */
    bool last;    /* no row behind this one lists it again */
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

/* How often the file and the published library disagree on an id, and where first. */
typedef struct {
    size_t row;
    int64_t other;
    int count;
} Dispute;

static void
dispute_add(Dispute *d, size_t row, int64_t other)
{
    if (d->count++ == 0) {
        d->row = row;
        d->other = other;
    }
}

/* The published library numbers added tokens that the vocabulary lacks in their order, behind the
 * vocabulary and what was added before. */
typedef struct {
    int64_t vocab; /* tokens of the model */
    int64_t most;  /* largest id of an added token so far */
    Dispute gap, known, twice;
} Numbering;

/* An added token is a token of the vocabulary, one that was listed before, or a new one. Its id is
 * the one it has already; that of a new one is the file's, which rows of the embedding follow. */
static bool
place_added(JsonFile *file, FeTokenizer *tok, const JsonAt *list, AddedRow *rows, size_t row,
            Numbering *n)
{
    AddedToken *t = &rows[row].token;
    if (rows[row].first < row) {
        const int32_t had = rows[rows[row].first].token.id;
        if (t->id != had)
            dispute_add(&n->twice, row, had);
        t->id = had;
        return true;
    }
    const int32_t known = tok_vocab_find(tok, t->content.text, t->content.len);
    const int64_t number = known >= 0 ? known : n->most >= n->vocab ? n->most + 1 : n->vocab;
    n->most = number > n->most ? number : n->most;
    if (t->id != number)
        dispute_add(known >= 0 ? &n->known : &n->gap, row, number);
    if (known >= 0) {
        t->id = known;
        return true;
    }
    Token *token = &tok->tokens[t->id];
    if (token->text.text) {
        const JsonAt at = json_item(list, row), id_at = json_key(&at, "id");
        return json_fault(file, &id_at, "is %d, the id of \"%s\" already", t->id, token->text.text);
    }
    token->text = t->content;
    token->bytes = t->content;
    return true;
}

/* One note of a kind, however many tokens it is about: finding a place takes a walk over the file.
 */
static void
note_dispute(JsonFile *file, const JsonAt *list, const AddedRow *rows, const Dispute *d,
             const char *why, bool files)
{
    if (!d->count)
        return;
    const JsonAt at = json_item(list, d->row), id_at = json_key(&at, "id");
    const int64_t id = json_object_get_int64(id_at.value);
    const char *more =
        d->count > 1 ? arena_printf(file->arena, " (and so for %d more)", d->count - 1) : "";
    json_note(file, &id_at,
              "is %" PRId64 ", but %s %" PRId64 " for \"%s\"%s; %" PRId64 " is taken%s", id, why,
              d->other, rows[d->row].token.content.text, more, files ? id : d->other,
              files ? ", which is right when the embedding has that row" : "");
}

static void
added_push(Arena *arena, AddedSet *set, AddedToken token)
{
    VEC_PUSH(arena, set->items, set->count, set->cap, token);
}

static void
keep_added(FeTokenizer *tok, AddedRow *row)
{
    if (row->token.single_word && !tok->word)
        tok->word = splitter_word(tok->arena);
    AddedSet *set = row->normalized ? &tok->normalized : &tok->raw;
    /* Matched in normalised text, so by its own normal form. */
    size_t len = 0;
    char *nfc = row->normalized && tok->nfc
                    ? utf8_nfc(row->token.content.text, row->token.content.len, &len)
                    : NULL;
    if (nfc)
        row->token.content = (Span){arena_strndup(tok->arena, nfc, len), len};
    free(nfc);
    added_push(tok->arena, set, row->token);
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

static int
rows_compare(const void *a, const void *b)
{
    const AddedRow *x = *(const AddedRow *const *)a, *y = *(const AddedRow *const *)b;
    const int order = added_compare(&x->token, &y->token);
    return order ? order : (x > y) - (x < y);
}

/* Finds the rows that list the same content: the first has the id, the last says the rest. */
static void
find_repeated(Arena *arena, AddedRow *rows, size_t count)
{
    AddedRow **sorted = arena_array(arena, count + 1, sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &rows[i];
    if (count)
        qsort(sorted, count, sizeof *sorted, rows_compare);
    for (size_t i = 0; i < count; i++) {
        const bool again = i > 0 && added_compare(sorted[i - 1], sorted[i]) == 0;
        sorted[i]->first = again ? sorted[i - 1]->first : (size_t)(sorted[i] - rows);
        sorted[i]->last = true;
        if (again)
            sorted[i - 1]->last = false;
    }
}

static bool
read_added(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    size_t count = 0;
    if (json_is_null(at))
        return true;
    if (!json_want_array(file, at, &count))
        return false;
    const int before = file->faults;
    AddedRow *rows = arena_array(file->arena, count + 1, sizeof *rows);
    for (size_t i = 0; i < count && !json_full(file); i++) {
        const JsonAt item = json_item(at, i);
        read_added_row(file, &item, &rows[i]);
    }
    if (file->faults != before)
        return false;
    const JsonAt model = json_key(at->up, "model"), vocab = json_key(&model, "vocab");
    Numbering n = {.vocab = json_object_object_length(vocab.value), .most = -1};
    find_repeated(file->arena, rows, count);
    for (size_t i = 0; i < count && !json_full(file); i++)
        if (place_added(file, tok, at, rows, i, &n) && rows[i].last)
            keep_added(tok, &rows[i]);
    note_dispute(file, at, rows, &n.gap, "the tokenizers library numbers without gaps:", true);
    note_dispute(file, at, rows, &n.known, "model.vocab says", false);
    note_dispute(file, at, rows, &n.twice, "an item before says", false);
    return file->faults == before && sort_added(file, at, &tok->raw) &&
           sort_added(file, at, &tok->normalized);
}

/* ---- pre_tokenizer --------------------------------------------------------------------------- */

static bool
read_split(JsonFile *file, FeTokenizer *tok, const JsonAt *at, PreStep *step)
{
    static const char *const names[SPLIT_BEHAVIORS] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_CONTIGUOUS] = "Contiguous",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
    };
    const JsonAt behavior = json_key(at, "behavior"), pattern = json_key(at, "pattern");
    const JsonAt regex = json_key(&pattern, "Regex"), literal = json_key(&pattern, "String");
    const JsonAt invert = json_key(at, "invert");
    int how = 0;
    while (how < SPLIT_BEHAVIORS && !json_is_text(&behavior, names[how]))
        how++;
    if (how == SPLIT_BEHAVIORS)
        return fault_unsupported(file, &behavior,
                                 "\"Isolated\", \"Removed\", \"Contiguous\", "
                                 "\"MergedWithPrevious\" or \"MergedWithNext\"");
    step->behavior = (SplitBehavior)how;
    if (!json_bool_or(file, &invert, false, &step->invert))
        return false;
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
    if (tok->nsteps == TOK_MAX_STEPS)
        return json_fault(file, at, "is step %d of the pre-tokenizer, expected at most %d",
                          TOK_MAX_STEPS + 1, TOK_MAX_STEPS);
    PreStep *step = &tok->steps[tok->nsteps++];
    if (last && json_is_text(&type, "ByteLevel")) {
        tok->byte_level = true;
        return read_byte_level(file, tok, at, step);
    }
    if (last)
        return fault_unsupported(file, &type,
                                 "\"ByteLevel\" as the last step of the pre-tokenizer");
    if (json_is_text(&type, "Split"))
        return read_split(file, tok, at, step);
    if (json_is_text(&type, "Digits"))
        return read_digits(file, tok, at, step);
    return fault_unsupported(file, &type, "\"Split\" or \"Digits\" in front of ByteLevel");
}

/* Without a last step that is one, the Sequence is at fault: it, or one inside it, is empty. */
static bool
read_pre_tokenizer(JsonFile *file, FeTokenizer *tok, const JsonAt *at)
{
    if (!json_want_object(file, at) ||
        !read_sequence(file, tok, at, "pretokenizers", true, read_step))
        return false;
    return tok->byte_level || json_fault(file, at, "has no \"ByteLevel\" as its last step");
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
read_processor(JsonFile *file, FeTokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    (void)last;
    if (json_is_text(&type, "ByteLevel"))
        return true;
    if (json_is_text(&type, "TemplateProcessing"))
        return read_template(file, tok, at);
    return fault_unsupported(file, &type, "\"ByteLevel\" or \"TemplateProcessing\"");
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Fuse joins texts, as all do that are written one behind the other; in front of ByteLevel it would
 * join tokens before they are read by the alphabet. */
static bool
read_decoder(JsonFile *file, FeTokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    (void)last;
    if (tok->decodes)
        return json_is_text(&type, "Fuse") ||
               fault_unsupported(file, &type, "\"Fuse\" or nothing behind \"ByteLevel\"");
    tok->decodes = true;
    return json_is_text(&type, "ByteLevel") || fault_unsupported(file, &type, "\"ByteLevel\"");
}

bool
tok_read_pipeline(JsonFile *file, FeTokenizer *tok, const JsonAt *root)
{
    const JsonAt normalizer = json_key(root, "normalizer"), added = json_key(root, "added_tokens");
    const JsonAt pre = json_key(root, "pre_tokenizer"), post = json_key(root, "post_processor");
    const JsonAt decoder = json_key(root, "decoder");
    if (!json_is_null(&normalizer))
        read_sequence(file, tok, &normalizer, "normalizers", true, read_normalizer);
    read_added(file, tok, &added);
    read_pre_tokenizer(file, tok, &pre);
    if (!json_is_null(&post))
        read_sequence(file, tok, &post, "processors", true, read_processor);
    if (read_sequence(file, tok, &decoder, "decoders", true, read_decoder) && !tok->decodes)
        json_fault(file, &decoder, "has no \"ByteLevel\"");
    return file->faults == 0;
}
