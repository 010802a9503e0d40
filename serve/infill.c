/* serve/infill.c -- prompts of texts whose middle is wanted: the parts in the order that the model
 * was taught, cut to the room that there is, and where states of them are worth keeping.
 *
 * Parts are encoded apart, as text alone: what a file spells never becomes a token that divides
 * parts. PSM:  around, extra, <prefix> prefix line, <suffix> suffix, <middle>
 *         SPM:  around, extra, <suffix> suffix, <prefix> prefix line, <middle> where there is one
 * extra is, where the model has tokens for it, the form of its training on repositories,
 * <repo>name, then for each file <file>name and its text, and the current file's name last. */
#include "serve/infill.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int32_t *ids; /* owns */
    int64_t n;
} Ids;

static void
ids_add(Ids *to, const int32_t *ids, int64_t n)
{
    if (n <= 0)
        return;
    int32_t *grown = realloc(to->ids, (size_t)(to->n + n) * sizeof *grown);
    if (!grown)
        die_no_memory((size_t)(to->n + n) * sizeof *grown);
    memcpy(grown + to->n, ids, (size_t)n * sizeof *grown);
    to->ids = grown;
    to->n += n;
}

static void
ids_put(Ids *to, int32_t id)
{
    if (id >= 0)
        ids_add(to, &id, 1);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool
encode(Exchange *ex, const char *what, const char *text, size_t len, Ids *out)
{
    return plain_ids(ex, what, text, len, &out->ids, &out->n);
}

/* Whether the tokenizer puts a space before a text. */
static bool
puts_space(const Server *s)
{
    int32_t *ids = NULL;
    size_t count = 0, bad = 0, len = 0;
    const char *bytes = NULL;
    if (tok_encode_plain(s->o->tok, "a", 1, &ids, &count, &bad) && count > 0)
        bytes = tok_decode(s->o->tok, ids[0], &len);
    const bool puts = bytes && len > 0 && bytes[0] == ' ';
    free(ids);
    return puts;
}

/* A text that does not stand where a text begins gets no space before it: it is encoded behind a
 * character that no text joins, of which the ids are left out. */
static bool
encode_inner(Exchange *ex, const char *what, InfillText text, Ids *out)
{
    static const char mark[] = "\xE2\x98\xBA"; /* U+263A */
    Ids alone = {0};
    StrBuf both = {0};
    if (text.len == 0 || !puts_space(ex->server))
        return encode(ex, what, text.text, text.len, out);
    sb_puts(&both, mark);
    sb_putn(&both, text.text, text.len);
    const bool ok =
        encode(ex, what, mark, strlen(mark), &alone) && encode(ex, what, both.text, both.len, out);
    sb_free(&both);
    if (ok && ids_alike(alone.ids, alone.n, out->ids, out->n) == alone.n) {
        out->n -= alone.n;
        memmove(out->ids, out->ids + alone.n, (size_t)out->n * sizeof *out->ids);
        free(alone.ids);
        return true;
    }
    free(alone.ids);
    free(out->ids);
    *out = (Ids){0};
    return ok && encode(ex, what, text.text, text.len, out);
}

/* ---- other files ----------------------------------------------------------------------------- */

static InfillText
text_of(json_object *chunk, const char *key, const char *otherwise)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(chunk, key, &value) || !value)
        return (InfillText){otherwise, strlen(otherwise)};
    return (InfillText){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

static bool
add_named(Exchange *ex, int32_t mark, InfillText name, InfillText text, Ids *out)
{
    StrBuf both = {0};
    Ids ids = {0};
    sb_putn(&both, name.text, name.len);
    sb_puts(&both, "\n");
    sb_putn(&both, text.text, text.len);
    const InfillText all = {both.text, both.len};
    const bool ok = encode_inner(ex, "input_extra", all, &ids);
    if (ok)
        ids_put(out, mark);
    ids_add(out, ids.ids, ids.n);
    free(ids.ids);
    sb_free(&both);
    return ok;
}

/* A model without a token for files gets a line between them that is no language's. */
static bool
add_snippet(Exchange *ex, InfillText text, Ids *out)
{
    StrBuf both = {0};
    Ids ids = {0};
    sb_puts(&both, "\n\n--- snippet ---\n\n");
    sb_putn(&both, text.text, text.len);
    const bool ok = encode_inner(ex, "input_extra", (InfillText){both.text, both.len}, &ids);
    ids_add(out, ids.ids, ids.n);
    free(ids.ids);
    sb_free(&both);
    return ok;
}

/* The last chunks that have room: plug-ins put the most relevant one last. */
static bool
add_extra(Exchange *ex, const TokInfill *known, json_object *extra, int64_t room, Ids *out)
{
    const InfillText none = {"", 0}, repo = {"myproject", 9}, current = {"filename", 8};
    const size_t n = extra ? json_object_array_length(extra) : 0;
    const int32_t file = known->id[TOK_INFILL_file];
    Ids head = {0}, tail = {0}, chunks = {0};
    bool ok = true;
    if (n == 0)
        return true;
    if (known->id[TOK_INFILL_repo] >= 0)
        ok = add_named(ex, known->id[TOK_INFILL_repo], repo, none, &head);
    if (ok && file >= 0)
        ok = add_named(ex, file, current, none, &tail);
    int64_t left = room - head.n - tail.n;
    for (size_t i = n; ok && i-- > 0;) {
        json_object *chunk = json_object_array_get_idx(extra, i);
        const InfillText text = text_of(chunk, "text", "");
        Ids one = {0};
        ok = file >= 0 ? add_named(ex, file, text_of(chunk, "filename", "tmp"), text, &one)
                       : add_snippet(ex, text, &one);
        const bool fits = ok && one.n <= left;
        if (fits) {
            left -= one.n;
            ids_add(&one, chunks.ids, chunks.n);
            free(chunks.ids);
            chunks = one;
            continue;
        }
        free(one.ids);
        break;
    }
    if (ok && chunks.n > 0) {
        ids_add(out, head.ids, head.n);
        ids_add(out, chunks.ids, chunks.n);
        ids_add(out, tail.ids, tail.n);
    }
    free(head.ids);
    free(tail.ids);
    free(chunks.ids);
    return ok;
}

/* ---- room ------------------------------------------------------------------------------------ */

typedef struct {
    int64_t prefix, suffix; /* ids that stay: of the prefix the last, of the suffix the first */
    int64_t extra;          /* room that is left */
} Share;

/* Of what is too long, the prefix gets three quarters of the room, and what the suffix leaves. It
 * is cut in steps, so that its beginning stays as it is while a line is typed. */
static Share
share_room(int64_t room, int64_t prefix, int64_t suffix)
{
    Share share = {prefix, suffix, 0};
    room = room > 0 ? room : 0;
    if (prefix + suffix > room) {
        const int64_t quarter = room / 4, step = room / 8 + 1;
        share.suffix = room - prefix > quarter ? room - prefix : quarter;
        share.suffix = share.suffix < suffix ? share.suffix : suffix;
        const int64_t most = room - share.suffix;
        if (prefix > most) {
            const int64_t cut = (prefix - most + step - 1) / step * step;
            share.prefix = cut < prefix ? prefix - cut : most;
        }
    }
    share.extra = room - share.prefix - share.suffix;
    return share;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

bool
infill_known(Exchange *ex)
{
    return tok_infill(ex->server->o->tok) ||
           refuse(
               ex, 501, NULL, "not_supported",
               "this model has no form for a text between two others: its tokenizer has no tokens "
               "that mark a prefix, a suffix and a middle, such as <|fim_prefix|>");
}

/* What stands around the parts: the tokenizer's own beginning, and the marks. */
static int64_t
around(const Server *s, const TokInfill *known)
{
    int64_t n = (int64_t)s->naround;
    for (int role = TOK_INFILL_prefix; role <= TOK_INFILL_middle; role++)
        n += known->id[role] >= 0;
    return n;
}

static void
put_prefix(Ids *out, const TokInfill *known, const Ids *prefix, const Share *share, const Ids *line)
{
    ids_put(out, known->id[TOK_INFILL_prefix]);
    ids_add(out, prefix->ids + (prefix->n - share->prefix), share->prefix);
    ids_add(out, line->ids, line->n);
}

static void
put_suffix(Ids *out, const TokInfill *known, const Ids *suffix, const Share *share)
{
    ids_put(out, known->id[TOK_INFILL_suffix]);
    ids_add(out, suffix->ids, share->suffix);
}

bool
infill_prompt(Exchange *ex, const Infill *infill, int64_t most, Prompt *out)
{
    const Server *s = ex->server;
    const TokInfill *known = tok_infill(s->o->tok);
    const int64_t room = s->o->engine.room;
    Ids prefix = {0}, suffix = {0}, line = {0}, extra = {0}, all = {0};
    if (!infill_known(ex))
        return false;
    bool ok =
        encode(ex, "input_prefix", infill->prefix.text, infill->prefix.len, &prefix) &&
        encode_inner(ex, "input_suffix", infill->suffix, &suffix) &&
        (infill->prefix.len ? encode_inner(ex, "prompt", infill->line, &line)
                            : encode(ex, "prompt", infill->line.text, infill->line.len, &line));
    const int64_t answer = most < room / 4 ? most : room / 4;
    const Share share = share_room(room - (answer > 1 ? answer : 1) - around(s, known) - line.n,
                                   prefix.n, suffix.n);
    ok = ok && add_extra(ex, known, infill->extra, share.extra, &extra);
    if (ok) {
        ids_add(&all, s->around, (int64_t)s->naround);
        ids_add(&all, extra.ids, extra.n);
        if (known->suffix_first)
            put_suffix(&all, known, &suffix, &share);
        put_prefix(&all, known, &prefix, &share, &line);
        if (!known->suffix_first)
            put_suffix(&all, known, &suffix, &share);
        ids_put(&all, known->id[TOK_INFILL_middle]);
        out->ids = all.ids;
        out->count = all.n;
        infill_mark(s, out);
    }
    free(prefix.ids);
    free(suffix.ids);
    free(line.ids);
    free(extra.ids);
    return ok;
}

/* ---- where the next prompt will differ ---------------------------------------------------------
 */

static bool
has_line_feed(const Server *s, int32_t id)
{
    size_t len = 0;
    const char *bytes = tok_decode(s->o->tok, id, &len);
    return bytes && memchr(bytes, '\n', len);
}

/* Whether an id may become another one when text is typed behind it, and those before it too. */
static bool
goes_on(const Server *s, int32_t id)
{
    size_t len = 0;
    const char *bytes = tok_decode(s->o->tok, id, &len);
    const unsigned char c = bytes && len > 0 ? (unsigned char)bytes[0] : ' ';
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') ||
           ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void
add_mark(Prompt *p, int64_t at)
{
    enum { WORTH = 16 }; /* ids: fewer are read as fast as a state is copied */
    const int64_t before = p->nmarks ? p->marks[p->nmarks - 1] : 0;
    if (at - before >= (p->nmarks ? 1 : WORTH) && p->nmarks < PROMPT_MARKS)
        p->marks[p->nmarks++] = at;
}

/* Where other files end, before the current one's name: another file may come behind them. */
static int64_t
extra_end(const TokInfill *known, const Prompt *p, int64_t prefix)
{
    int64_t at = prefix;
    while (at > 0 && (p->ids[at] < 0 || p->ids[at] != known->id[TOK_INFILL_file]))
        at--;
    return at > 0 ? at : prefix;
}

/* A state behind the other files serves until others are looked at, one behind the prefix's last
 * whole line while a line is typed, one before its last word while that is. */
void
infill_mark(const Server *s, Prompt *p)
{
    const TokInfill *known = tok_infill(s->o->tok);
    int64_t from = p->count, to, line, word;
    while (known && from > 0 && p->ids[from - 1] != known->id[TOK_INFILL_prefix])
        from--;
    if (!known || from == 0)
        return;
    p->infill = true;
    for (to = from; to < p->count && !tok_infill_has(known, p->ids[to]); to++)
        ;
    for (line = to; line > from && !has_line_feed(s, p->ids[line - 1]); line--)
        ;
    for (word = to; word > from && goes_on(s, p->ids[word - 1]); word--)
        ;
    add_mark(p, extra_end(known, p, from - 1));
    if (line > from)
        add_mark(p, line);
    if (word > from)
        add_mark(p, word - 1);
}
