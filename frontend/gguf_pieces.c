/* frontend/gguf_pieces.c -- SentencePiece's pieces in a GGUF file as a tokenizer.json: what
 * transformers makes of a tokenizer.model puts no space before a text that begins with one, or with
 * a piece of the user's.
 *
 * A pair of pieces merges where the two together are a piece, the one with the highest score first:
 * merges are listed in that order. Pieces of the user's are never cut or merged: a split keeps them
 * apart, and a word that is a token is that token. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/gguf.h"
#include "runtime/gguf.h"

typedef struct {
    RtGgufText text;
    double score;
    uint64_t id;
} Piece;

typedef struct {
    const Piece *whole;
    size_t left; /* bytes of its first half */
} Merge;

typedef struct {
    Arena *arena;
    const GgufPieces *from;
    Piece *all;    /* [count], by id */
    Piece *normal; /* [nnormal], by text */
    size_t nnormal;
    StrBuf *out;
} Maker;

static bool
type_is(const Maker *m, uint64_t id, GgufTokenType type)
{
    int64_t is = GGUF_NORMAL;
    return (rt_gguf_int(m->from->types, id, &is) ? is : GGUF_NORMAL) == (int64_t)type;
}

static int
texts_compare(RtGgufText a, RtGgufText b)
{
    const int order = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int
pieces_compare(const void *a, const void *b)
{
    const Piece *x = a, *y = b;
    return texts_compare(x->text, y->text);
}

static int
merges_compare(const void *a, const void *b)
{
    const Merge *x = a, *y = b;
    if (x->whole->score > y->whole->score || x->whole->score < y->whole->score)
        return x->whole->score < y->whole->score ? 1 : -1;
    if (x->whole->id != y->whole->id)
        return x->whole->id < y->whole->id ? -1 : 1;
    return (x->left > y->left) - (x->left < y->left);
}

static int
longer_first(const void *a, const void *b)
{
    const RtGgufText *x = a, *y = b;
    return x->len != y->len ? (x->len < y->len ? 1 : -1) : texts_compare(*x, *y);
}

static void
read_pieces(Maker *m)
{
    const uint64_t count = m->from->tokens->count;
    const char *at = NULL;
    RtGgufText text = {0};
    m->all = arena_array(m->arena, (size_t)count + 1, sizeof *m->all);
    m->normal = arena_array(m->arena, (size_t)count + 1, sizeof *m->normal);
    for (uint64_t id = 0; id < count && rt_gguf_text(m->from->tokens, &at, &text); id++) {
        m->all[id] = (Piece){.text = text, .id = id};
        rt_gguf_float(m->from->scores, id, &m->all[id].score);
        if (type_is(m, id, GGUF_NORMAL) && text.len > 0)
            m->normal[m->nnormal++] = m->all[id];
    }
    if (m->nnormal)
        qsort(m->normal, m->nnormal, sizeof *m->normal, pieces_compare);
}

/* ---- merges --------------------------------------------------------------------------------- */

static bool
is_normal(const Maker *m, const char *text, size_t len)
{
    const Piece key = {
        .text = {text, len}
    };
    return m->nnormal && bsearch(&key, m->normal, m->nnormal, sizeof key, pieces_compare) != NULL;
}

static void
put_merges(const Maker *m)
{
    enum { LONGEST = 1024 }; /* no text of one piece is */
    Merge *list = NULL;
    int count = 0, cap = 0;
    for (size_t i = 0; i < m->nnormal; i++) {
        const RtGgufText t = m->normal[i].text;
        for (size_t left = 1; left < t.len && t.len <= LONGEST; left++)
            if (is_normal(m, t.text, left) && is_normal(m, t.text + left, t.len - left))
                VEC_PUSH(m->arena, list, count, cap, ((Merge){&m->normal[i], left}));
    }
    if (count)
        qsort(list, (size_t)count, sizeof *list, merges_compare);
    for (int i = 0; i < count; i++) {
        const RtGgufText t = list[i].whole->text;
        sb_puts(m->out, i ? ",\n[" : "[");
        gguf_put_json(m->out, (RtGgufText){t.text, list[i].left});
        sb_puts(m->out, ", ");
        gguf_put_json(m->out, (RtGgufText){t.text + list[i].left, t.len - list[i].left});
        sb_puts(m->out, "]");
    }
}

/* ---- pieces of the user's ------------------------------------------------------------------- */

/* As an expression that matches it alone. */
static void
put_literal(StrBuf *out, RtGgufText text)
{
    StrBuf plain = {0};
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.text[i];
        sb_puts(&plain, c && strchr("\\.^$|?*+()[]{}", c) ? "\\" : "");
        sb_putn(&plain, &c, 1);
    }
    gguf_put_text(out, (RtGgufText){sb_text(&plain), plain.len});
    sb_free(&plain);
}

/* The longest first, as SentencePiece looks for them. False: there are none. */
static bool
put_own(const Maker *m)
{
    const uint64_t count = m->from->tokens->count;
    RtGgufText *own = arena_array(m->arena, (size_t)count + 1, sizeof *own);
    size_t n = 0;
    for (uint64_t id = 0; id < count; id++)
        if (type_is(m, id, GGUF_OWN) && m->all[id].text.len > 0)
            own[n++] = m->all[id].text;
    if (n == 0)
        return false;
    qsort(own, n, sizeof *own, longer_first);
    sb_puts(m->out, "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", "
                    "\"invert\": false, \"pattern\": {\"Regex\": \"");
    for (size_t i = 0; i < n; i++) {
        sb_puts(m->out, i ? "|" : "");
        put_literal(m->out, own[i]);
    }
    sb_puts(m->out, "\"}},\n");
    return true;
}

/* ---- the file ------------------------------------------------------------------------------- */

static void
put_special(const Maker *m)
{
    const char *before = "";
    sb_puts(m->out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n"
                    "\"added_tokens\": [");
    for (uint64_t id = 0; id < m->from->tokens->count; id++) {
        if (!type_is(m, id, GGUF_CONTROL) || m->all[id].text.len == 0)
            continue;
        sb_printf(m->out, "%s{\"id\": %" PRIu64 ", \"content\": ", before, id);
        gguf_put_json(m->out, m->all[id].text);
        sb_puts(m->out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                        "\"normalized\": false, \"special\": true}");
        before = ",\n";
    }
    sb_puts(m->out, "],\n");
}

/* The piece of what is no other. */
static void
put_unknown(const Maker *m)
{
    for (uint64_t id = 0; id < m->from->tokens->count; id++)
        if (type_is(m, id, GGUF_UNKNOWN)) {
            gguf_put_json(m->out, m->all[id].text);
            return;
        }
    sb_puts(m->out, "null");
}

static bool
has_bytes(const Maker *m)
{
    for (uint64_t id = 0; id < m->from->tokens->count; id++)
        if (type_is(m, id, GGUF_BYTE))
            return true;
    return false;
}

void
gguf_pieces_json(Arena *arena, const GgufPieces *from, StrBuf *out)
{
    Maker m = {.arena = arena, .from = from, .out = out};
    read_pieces(&m);
    put_special(&m);
    sb_printf(out,
              "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s{\"type\": "
              "\"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}]},\n",
              from->space ? "{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}, " : "");
    const bool own = put_own(&m);
    if (from->beginning.len > 0)
        gguf_put_beginning(out, from->beginning, from->first);
    sb_printf(out,
              "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
              "\"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"}, {\"type\": "
              "\"ByteFallback\"}, {\"type\": \"Fuse\"}%s]},\n\"model\": {\"type\": \"BPE\", "
              "\"dropout\": null, \"continuing_subword_prefix\": null, \"end_of_word_suffix\": "
              "null, \"fuse_unk\": true, \"byte_fallback\": %s, \"ignore_merges\": %s, "
              "\"unk_token\": ",
              from->space ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}"
                          : "",
              has_bytes(&m) ? "true" : "false", own ? "true" : "false");
    put_unknown(&m);
    sb_puts(out, ", \"vocab\": {");
    gguf_put_list(out, from->tokens, true);
    sb_puts(out, "},\n\"merges\": [");
    put_merges(&m);
    sb_puts(out, "]}}\n");
}
