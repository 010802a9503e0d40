/* tokenizer/sentencepiece.c -- tokenizer.model: SentencePiece's ModelProto (protocol buffers' wire
 * format) to tables, for its BPE and its unigram model.
 *
 * message ModelProto { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2;
 *                      NormalizerSpec normalizer_spec = 3; }
 * Fields with other numbers are skipped, as every reader of the format does. Numbers from 200 on
 * are for extensions; two are ours: 200, the id that a text begins with, and 201, whether control
 * pieces are found in texts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/normal.h"

/* ---- the wire format ------------------------------------------------------------------------- */

typedef struct {
    uint32_t number;
    uint64_t value; /* of a varint, or of 4 or 8 bytes */
    Slice bytes;    /* of a field with a length */
} Field;

typedef struct {
    const char *at, *end;
    bool bad;
} Wire;

static uint64_t
wire_varint(Wire *w)
{
    uint64_t n = 0;
    for (int shift = 0; w->at < w->end && shift < 64; shift += 7) {
        const unsigned char c = (unsigned char)*w->at++;
        n |= (uint64_t)(c & 0x7F) << shift;
        if (!(c & 0x80))
            return n;
    }
    w->bad = true;
    return 0;
}

/* The next field; false: there is none, or w->bad. */
static bool
wire_next(Wire *w, Field *f)
{
    enum { VARINT = 0, EIGHT = 1, LENGTH = 2, FOUR = 5 };
    *f = (Field){0};
    if (w->bad || w->at == w->end)
        return false;
    const uint64_t tag = wire_varint(w);
    const int type = (int)(tag & 7);
    f->number = (uint32_t)(tag >> 3);
    uint64_t len = type == EIGHT ? 8 : type == FOUR ? 4 : 0;
    if (type == VARINT || type == LENGTH)
        f->value = wire_varint(w);
    if (type == LENGTH)
        len = f->value;
    w->bad = w->bad || (tag >> 3) == 0 || (tag >> 3) > UINT32_MAX ||
             len > (uint64_t)(w->end - w->at) ||
             !(type == VARINT || type == EIGHT || type == LENGTH || type == FOUR);
    if (w->bad)
        return false;
    f->bytes = (Slice){w->at, (size_t)len};
    for (size_t i = len; (type == EIGHT || type == FOUR) && i-- > 0;)
        f->value = f->value << 8 | (unsigned char)w->at[i];
    w->at += len;
    return true;
}

/* ---- what it says ---------------------------------------------------------------------------- */

enum { UNIGRAM = 1, BPE = 2 }; /* TrainerSpec.model_type */

typedef enum { NORMAL = 1, UNKNOWN, CONTROL, OWN, UNUSED, BYTE } PieceType;

typedef struct {
    Slice text;
    float score;
    uint64_t type;
} Piece;

typedef struct {
    Tokenizer *tok;
    Diag *diag;
    const char *path;
    uint64_t model;
    bool bytes, suffix, bad, finds_control;
    uint64_t first; /* id that a text begins with; UINT64_MAX: none */
    Slice charsmap;
    NormStep step;
} Reader;

static bool
fault(Reader *r, const char *text)
{
    r->bad = true;
    return diag_error(r->diag, (SrcLoc){0}, "%s: %s", r->path, text);
}

static void
read_trainer(Reader *r, Slice bytes)
{
    Wire w = {bytes.text, bytes.text + bytes.len, false};
    for (Field f; wire_next(&w, &f);) {
        if (f.number == 3)
            r->model = f.value;
        if (f.number == 24)
            r->suffix = f.value != 0;
        if (f.number == 35)
            r->bytes = f.value != 0;
    }
    if (w.bad)
        fault(r, "its trainer_spec is cut off");
}

static void
read_normalizer(Reader *r, Slice bytes)
{
    Wire w = {bytes.text, bytes.text + bytes.len, false};
    for (Field f; wire_next(&w, &f);) {
        if (f.number == 2)
            r->charsmap = f.bytes;
        if (f.number == 3)
            r->step.dummy_prefix = f.value != 0;
        if (f.number == 4)
            r->step.remove_spaces = f.value != 0;
        if (f.number == 5)
            r->step.escape_spaces = f.value != 0;
    }
    if (w.bad)
        fault(r, "its normalizer_spec is cut off");
}

static bool
read_piece(Reader *r, Slice bytes, Piece *p)
{
    Wire w = {bytes.text, bytes.text + bytes.len, false};
    *p = (Piece){.type = NORMAL};
    for (Field f; wire_next(&w, &f);) {
        const uint32_t bits = (uint32_t)f.value;
        if (f.number == 1)
            p->text = f.bytes;
        if (f.number == 2)
            memcpy(&p->score, &bits, sizeof bits);
        if (f.number == 3)
            p->type = f.value;
    }
    size_t bad = 0;
    const bool good = !w.bad && p->text.len > 0 && !memchr(p->text.text, '\0', p->text.len) &&
                      utf8_valid(p->text.text, p->text.len, &bad) && p->score == p->score &&
                      p->type >= NORMAL && p->type <= BYTE;
    return good ||
           fault(r, arena_printf(r->tok->arena, "its piece %" PRId64 " is not one", r->tok->size));
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool
add_piece(Reader *r, const Piece *p, int32_t id)
{
    Tokenizer *tok = r->tok;
    Token *t = &tok->tokens[id];
    const bool made = p->type == NORMAL || p->type == OWN || p->type == UNUSED;
    const Slice mark = {"\xE2\x96\x81", 3}, space = {" ", 1};
    const AddedToken piece = {.content = p->text, .id = id, .special = p->type == CONTROL};
    t->text = t->bytes = p->text;
    t->own = p->type == OWN;
    tok->scores[id] = (double)p->score;
    if (made) {
        int32_t *slot = tok_vocab_slot(tok, p->text.text, p->text.len);
        if (*slot >= 0)
            return fault(r, arena_printf(tok->arena, "it has piece \"%.*s\" twice",
                                         (int)p->text.len, p->text.text));
        *slot = id;
        t->bytes = text_replaced(tok->arena, p->text, mark, space);
    }
    if (p->type == UNKNOWN) {
        if (tok->unknown >= 0)
            return fault(r, "it has two unknown pieces");
        tok->unknown = id;
        t->bytes = (Slice){" \xE2\x81\x87 ", 5};
    }
    if (p->type == CONTROL)
        t->bytes = (Slice){"", 0};
    if (p->type == BYTE) {
        const int byte = text_byte(p->text);
        const char c = (char)byte;
        if (byte < 0)
            return fault(r, arena_printf(tok->arena, "its piece \"%.*s\" is no byte",
                                         (int)p->text.len, p->text.text));
        tok->byte_id[byte] = id;
        t->bytes = (Slice){arena_strndup(tok->arena, &c, 1), 1};
    }
    if (p->type == CONTROL && r->finds_control)
        VEC_PUSH(tok->arena, tok->raw.items, tok->raw.count, tok->raw.cap, piece);
    if (t->own)
        VEC_PUSH(tok->arena, tok->own.items, tok->own.count, tok->own.cap, piece);
    if (made && p->type != UNUSED)
        VEC_PUSH(tok->arena, tok->pieces.items, tok->pieces.count, tok->pieces.cap, piece);
    if (p->type == UNUSED && r->model == BPE)
        return fault(r, "it has unused pieces, which ssmc does not support in a BPE model");
    if (made && p->text.len > tok->longest)
        tok->longest = p->text.len;
    if (p->type == NORMAL && (double)p->score < tok->least_score)
        tok->least_score = (double)p->score;
    if (p->type == NORMAL && (double)p->score > tok->most_score)
        tok->most_score = (double)p->score;
    return true;
}

typedef struct {
    double score;
    int32_t id;
} Scored;

static int
scored_compare(const void *a, const void *b)
{
    const double x = ((const Scored *)a)->score, y = ((const Scored *)b)->score;
    return (x < y) - (x > y);
}

/* Pieces of equal score have the same rank: the leftmost merges first. */
static void
rank_pieces(Tokenizer *tok)
{
    Scored *sorted = arena_array(tok->arena, (size_t)tok->size, sizeof *sorted);
    for (int32_t i = 0; i < tok->size; i++)
        sorted[i] = (Scored){tok->scores[i], i};
    qsort(sorted, (size_t)tok->size, sizeof *sorted, scored_compare);
    tok->ranks = arena_array(tok->arena, (size_t)tok->size, sizeof *tok->ranks);
    uint32_t rank = 0;
    for (int64_t i = 0; i < tok->size; i++) {
        rank += i > 0 && sorted[i].score < sorted[i - 1].score;
        tok->ranks[sorted[i].id] = rank;
    }
    tok->scores = NULL;
}

static bool
check(Reader *r)
{
    const Tokenizer *tok = r->tok;
    if (r->model != UNIGRAM && r->model != BPE)
        return fault(r, "its model is neither BPE nor unigram, which ssmc reads");
    if (r->suffix)
        return fault(r, "it puts white space behind words (treat_whitespace_as_suffix), which ssmc "
                        "does not support");
    if (tok->unknown < 0)
        return fault(r, "it has no unknown piece");
    for (int byte = 0; r->bytes && byte < 256; byte++)
        if (tok->byte_id[byte] < 0)
            return fault(r, arena_printf(tok->arena, "it has no piece <0x%02X> for that byte",
                                         (unsigned)byte));
    return !r->bad;
}

static bool
read_pieces(Reader *r, Slice bytes, size_t count)
{
    Tokenizer *tok = r->tok;
    tok->tokens = arena_array(tok->arena, count, sizeof *tok->tokens);
    tok->scores = arena_array(tok->arena, count, sizeof *tok->scores);
    tok->vocab_slots = tok_slots(count);
    tok->vocab = arena_array(tok->arena, tok->vocab_slots, sizeof *tok->vocab);
    memset(tok->vocab, 0xFF, tok->vocab_slots * sizeof *tok->vocab);
    tok->least_score = 3.4028234663852886e38;
    tok->most_score = 1.1754943508222875e-38; /* the library starts from the least positive float */
    Wire w = {bytes.text, bytes.text + bytes.len, false};
    for (Field f; wire_next(&w, &f);) {
        Piece p;
        if (f.number != 1)
            continue;
        if (!read_piece(r, f.bytes, &p) || !add_piece(r, &p, (int32_t)tok->size))
            return false;
        tok->size++;
    }
    const AddedToken *twice = added_sort(&tok->raw);
    if (twice)
        return fault(r, arena_printf(tok->arena, "it has control piece \"%.*s\" twice",
                                     (int)twice->content.len, twice->content.text));
    added_sort(&tok->own);
    added_sort(&tok->pieces);
    return true;
}

bool
tok_read_sentencepiece(Tokenizer *tok, Slice bytes, Diag *diag, const char *path)
{
    Reader r = {.tok = tok, .diag = diag, .path = path, .model = UNIGRAM, .first = UINT64_MAX};
    r.step = (NormStep){.kind = NORM_SENTENCEPIECE,
                        .dummy_prefix = true,
                        .remove_spaces = true,
                        .escape_spaces = true};
    size_t count = 0;
    const char *why = NULL;
    Wire w = {bytes.text, bytes.text + bytes.len, false};
    for (Field f; wire_next(&w, &f) && !r.bad;) {
        count += f.number == 1;
        if (f.number == 2)
            read_trainer(&r, f.bytes);
        if (f.number == 3)
            read_normalizer(&r, f.bytes);
        if (f.number == 200)
            r.first = f.value;
        if (f.number == 201)
            r.finds_control = f.value != 0;
    }
    if (w.bad)
        return fault(&r, "it is cut off: a field ends behind it");
    if (count == 0 || count > TOK_MAX_ID)
        return fault(&r, count ? "it has more pieces than ids there can be" : "it has no pieces");
    charsmap_read(r.charsmap, &r.step.map, &why);
    if (why)
        return fault(&r, arena_printf(tok->arena, "its precompiled_charsmap %s", why));
    if (r.bad || !read_pieces(&r, bytes, count) || !check(&r))
        return false;
    if (r.first != UINT64_MAX && r.first >= count)
        return fault(&r, "a text begins with an id that is no piece's");
    if (r.first != UINT64_MAX)
        VEC_PUSH(tok->arena, tok->prefix.items, tok->prefix.count, tok->prefix.cap,
                 (int32_t)r.first);
    tok->fuse_unknown = tok->sums_are_floats = true;
    tok->byte_fallback = r.bytes;
    if (r.model == BPE)
        rank_pieces(tok);
    tok->normal = arena_alloc(tok->arena, sizeof *tok->normal);
    *tok->normal = r.step;
    tok->nnormal = 1;
    if (r.step.remove_spaces || r.step.dummy_prefix)
        tok->start = START_PIECES;
    tok->start_spaces = r.step.remove_spaces ? 0 : 1;
    return true;
}
