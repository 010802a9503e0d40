/* tokenizer/added.c -- added_tokens of tokenizer.json: their ids, and the sets that texts are
 * searched for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/normal.h"

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
    const JsonAt special = json_key(at, "special");
    int64_t id = 0;
    if (!json_want_int(file, &id_at, 0, TOK_MAX_ID, &id) ||
        !json_want_text(file, &content, &t->content) ||
        !json_want_bool(file, &lstrip, &t->lstrip) || !json_want_bool(file, &rstrip, &t->rstrip) ||
        !json_want_bool(file, &single, &t->single_word) ||
        !json_want_bool(file, &normalized, &row->normalized) ||
        !json_bool_or(file, &special, false, &t->special))
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
place_added(JsonFile *file, Tokenizer *tok, const JsonAt *list, AddedRow *rows, size_t row,
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
keep_added(Tokenizer *tok, AddedRow *row)
{
    if (row->token.single_word && !tok->word)
        tok->word = splitter_word(tok->arena);
    AddedSet *set = row->normalized ? &tok->normalized : &tok->raw;
    /* Matched in normalised text, so by its own normal form. */
    Buffer text = {0}, spare = {0};
    if (row->normalized && tok->nnormal) {
        SplitRun *run = split_run_new();
        const Slice *c = &row->token.content;
        buffer_put(&text, c->text, c->len);
        if (normalise(tok, run, &text, &spare) && text.len > 0)
            row->token.content = (Slice){arena_strndup(tok->arena, text.text, text.len), text.len};
        split_run_free(run);
    }
    free(text.text);
    free(spare.text);
    VEC_PUSH(tok->arena, set->items, set->count, set->cap, row->token);
}

static bool
sort_added(JsonFile *file, const JsonAt *at, AddedSet *set)
{
    const AddedToken *twice = added_sort(set);
    return !twice || json_fault(file, at, "has \"%s\" twice", twice->content.text);
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

bool
tok_read_added(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    size_t count = 0;
    if (!at->value)
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
    const bool list = json_object_is_type(vocab.value, json_type_array);
    Numbering n = {.vocab = list ? (int64_t)json_object_array_length(vocab.value)
                                 : json_object_object_length(vocab.value),
                   .most = -1};
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
