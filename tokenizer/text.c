/* tokenizer/text.c -- ids to text: the decoder of tokenizer.json, and texts that are put together
 * id by id. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

/* ---- decoder --------------------------------------------------------------------------------- */

/* Bytes of a token: read by the alphabet, or the text itself when it has a character outside it. */
static Slice
bytes_of_alphabet(Arena *arena, Slice text)
{
    char *bytes = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        const int byte = char_to_byte(utf8_next(text.text, &at));
        if (byte < 0)
            return text;
        bytes[n++] = (char)byte;
    }
    return (Slice){bytes, n};
}

Slice
text_replaced(Arena *arena, Slice text, Slice from, Slice to)
{
    StrBuf out = {0};
    for (size_t at = 0; at < text.len;) {
        if (text.len - at >= from.len && memcmp(text.text + at, from.text, from.len) == 0) {
            sb_putn(&out, to.text, to.len);
            at += from.len;
        } else {
            sb_putn(&out, text.text + at++, 1);
        }
    }
    const Slice made = {arena_strndup(arena, sb_text(&out), out.len), out.len};
    sb_free(&out);
    return made;
}

static void
replace_in_tokens(Tokenizer *tok, Slice from, Slice to)
{
    for (int64_t i = 0; i < tok->size; i++) {
        Slice *bytes = &tok->tokens[i].bytes;
        if (bytes->text && memchr(bytes->text, from.text[0], bytes->len))
            *bytes = text_replaced(tok->arena, *bytes, from, to);
    }
}

int
text_byte(Slice text)
{
    int byte = 0;
    if (text.len != 6 || memcmp(text.text, "<0x", 3) != 0 || text.text[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        static const char digits[] = "0123456789ABCDEF0123456789abcdef";
        const char *digit = text.text[i] ? strchr(digits, text.text[i]) : NULL;
        if (!digit)
            return -1;
        byte = byte * 16 + (int)((digit - digits) & 15);
    }
    return byte;
}

/* Added tokens are spelt as they are. */
static void
decode_alphabet(Tokenizer *tok)
{
    for (int64_t i = 0; i < tok->size; i++) {
        Token *t = &tok->tokens[i];
        if (t->text.text && tok_vocab_find(tok, t->text.text, t->text.len) == i)
            t->bytes = bytes_of_alphabet(tok->arena, t->text);
    }
}

static void
decode_bytes(Tokenizer *tok)
{
    for (int64_t i = 0; i < tok->size; i++) {
        Token *t = &tok->tokens[i];
        const int byte = t->bytes.text ? text_byte(t->bytes) : -1;
        const char c = (char)byte;
        if (byte >= 0)
            t->bytes = (Slice){arena_strndup(tok->arena, &c, 1), 1};
    }
}

static bool
read_replace(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    const JsonAt pattern = json_key(at, "pattern"), content = json_key(at, "content");
    const JsonAt literal = json_key(&pattern, "String");
    Slice from = {0}, to = {0};
    if (!json_want_text(file, &literal, &from) || !json_want_text(file, &content, &to))
        return false;
    if (from.len == 0)
        return json_fault(file, &literal, "is empty: it would stand everywhere");
    replace_in_tokens(tok, from, to);
    return true;
}

static bool
read_metaspace(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    const JsonAt mark = json_key(at, "replacement"), scheme = json_key(at, "prepend_scheme");
    const JsonAt prefix = json_key(at, "add_prefix_space");
    Slice from = {0};
    bool puts = true;
    if (!json_want_text(file, &mark, &from) || !json_bool_or(file, &prefix, true, &puts))
        return false;
    if (from.len == 0)
        return json_fault(file, &mark, "is empty, expected a character");
    replace_in_tokens(tok, from, (Slice){" ", 1});
    if (scheme.there ? !json_is_text(&scheme, "never") : puts)
        tok->start = START_TOKEN;
    return true;
}

/* Of the whole text: spaces at its start. */
static bool
read_strip(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    const JsonAt content = json_key(at, "content"), start = json_key(at, "start");
    const JsonAt stop = json_key(at, "stop");
    int64_t n = 0, none = 0;
    if (!json_is_text(&content, " "))
        return tok_unsupported(file, &content, "\" \"");
    if (!json_want_int(file, &start, 0, 64, &n) || !json_want_int(file, &stop, 0, 0, &none))
        return false;
    tok->start = n ? START_SPACES : START_KEPT;
    tok->start_spaces = (int)n;
    return true;
}

/* What a decoder may follow: Fuse joins texts, as all do that are written one behind the other, so
 * only Strip, which is about the whole text, can tell. */
typedef struct {
    bool any, whole, fused; /* steps were read; by ByteLevel; joined */
} Decoded;

static bool
read_step(JsonFile *file, Tokenizer *tok, const JsonAt *at, Decoded *so_far)
{
    const JsonAt type = json_key(at, "type");
    const bool any = so_far->any;
    so_far->any = true;
    if (json_is_text(&type, "Fuse") && (any || !tok->byte_level))
        return so_far->fused = true;
    if (json_is_text(&type, "Strip") && so_far->fused)
        return read_strip(file, tok, at);
    if (so_far->whole || so_far->fused)
        return tok_unsupported(file, &type,
                               so_far->whole ? "\"Fuse\" or nothing behind \"ByteLevel\""
                                             : "\"Strip\" or nothing behind \"Fuse\"");
    if (tok->byte_level) {
        so_far->whole = true;
        decode_alphabet(tok);
        return json_is_text(&type, "ByteLevel") || tok_unsupported(file, &type, "\"ByteLevel\"");
    }
    if (json_is_text(&type, "Replace"))
        return read_replace(file, tok, at);
    if (json_is_text(&type, "Metaspace"))
        return read_metaspace(file, tok, at);
    if (!json_is_text(&type, "ByteFallback"))
        return tok_unsupported(file, &type,
                               "\"Replace\", \"ByteFallback\", \"Metaspace\" or "
                               "\"Fuse\" where nothing is \"ByteLevel\"");
    decode_bytes(tok);
    return true;
}

static bool
read_steps(JsonFile *file, Tokenizer *tok, const JsonAt *at, Decoded *so_far)
{
    const JsonAt type = json_key(at, "type"), list = json_key(at, "decoders");
    size_t count = 0;
    if (!json_is_text(&type, "Sequence"))
        return read_step(file, tok, at, so_far);
    if (!json_want_array(file, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const JsonAt item = json_item(&list, i);
        if (!read_steps(file, tok, &item, so_far))
            return false;
    }
    return true;
}

bool
tok_read_decoder(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt decoder = json_key(root, "decoder");
    Decoded so_far = {false};
    return read_steps(file, tok, &decoder, &so_far) &&
           (so_far.any ||
            json_fault(file, &decoder, "has no \"%s\"", tok->byte_level ? "ByteLevel" : "Fuse"));
}

/* ---- texts ----------------------------------------------------------------------------------- */

enum { LONGEST_CHARACTER = 4 };

struct TokText {
    const Tokenizer *tok;
    Start start; /* what is still to be taken off */
    int spaces;
    Buffer bytes; /* not a whole character yet, then new ones */
    Buffer out;
};

TokText *
tok_text_new(const Tokenizer *tok, bool continues)
{
    TokText *t = calloc(1, sizeof *t);
    if (!t)
        die_no_memory(sizeof *t);
    t->tok = tok;
    t->start = continues ? START_KEPT : tok->start;
    t->spaces = tok->start_spaces;
    return t;
}

void
tok_text_free(TokText *t)
{
    if (!t)
        return;
    free(t->bytes.text);
    free(t->out.text);
    free(t);
}

/* What is left of a token at the start of a text. */
static void
take_start(TokText *t, int32_t id, Slice token)
{
    size_t at = 0;
    switch (t->start) {
    case START_KEPT:
        break;
    case START_SPACES:
        for (; at < token.len && token.text[at] == ' ' && t->spaces > 0; at++)
            t->spaces--;
        if (t->spaces == 0 || at < token.len)
            t->start = START_KEPT;
        break;
    case START_TOKEN:
        t->start = START_KEPT;
        for (; at < token.len; at++)
            if (token.text[at] != ' ')
                buffer_put(&t->bytes, token.text + at, 1);
        return;
    case START_PIECES:
        at = id != t->tok->unknown && token.len > 0 && token.text[0] == ' ';
        if (at < token.len || (at > 0 && t->spaces == 1))
            t->start = START_KEPT;
        break;
    }
    buffer_put(&t->bytes, token.text + at, token.len - at);
}

/* Whether bytes, all there are, may be the start of a character. */
static bool
may_go_on(const char *bytes, size_t len)
{
    static const char *const ends[] = {"\x80", "\x80\x80", "\x80\x80\x80",
                                       "\xBF", "\xBF\xBF", "\xBF\xBF\xBF"};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        char text[2 * LONGEST_CHARACTER];
        const size_t n = strlen(ends[i]);
        size_t bad = 0;
        if (len >= LONGEST_CHARACTER)
            return false;
        memcpy(text, bytes, len);
        memcpy(text + len, ends[i], n);
        if (utf8_valid(text, len + n, &bad))
            return true;
    }
    return false;
}

/* Moves whole characters out; what is none becomes U+FFFD, as often as Unicode says (one for the
 * longest start of a character). end: nothing more comes. */
static void
move_characters(TokText *t, bool end)
{
    size_t at = 0;
    t->out.len = 0;
    while (at < t->bytes.len) {
        const char *from = t->bytes.text + at;
        const size_t left = t->bytes.len - at;
        size_t bad = left;
        if (!utf8_valid(from, left, &bad) || bad > 0) {
            buffer_put(&t->out, from, bad);
        } else {
            buffer_put(&t->out, from, left);
            bad = left;
        }
        at += bad;
        if (at == t->bytes.len)
            break;
        if (!end && may_go_on(t->bytes.text + at, t->bytes.len - at))
            break;
        size_t wrong = 1;
        while (at + wrong < t->bytes.len && may_go_on(t->bytes.text + at, wrong + 1))
            wrong++;
        buffer_put(&t->out, "\xEF\xBF\xBD", 3);
        at += wrong;
    }
    if (at > 0)
        memmove(t->bytes.text, t->bytes.text + at, t->bytes.len - at);
    t->bytes.len -= at;
}

const char *
tok_text_add(TokText *t, int32_t id, size_t *len)
{
    Slice token = {0};
    token.text = tok_decode(t->tok, id, &token.len);
    if (!token.text)
        return NULL;
    take_start(t, id, token);
    move_characters(t, false);
    *len = t->out.len;
    return t->out.text ? t->out.text : "";
}

const char *
tok_text_end(TokText *t, size_t *len)
{
    move_characters(t, true);
    *len = t->out.len;
    return t->out.text ? t->out.text : "";
}
