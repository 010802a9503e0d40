/* frontend/gguf_tokenizer.c -- the tokenizer in a GGUF file as files of its own: a tokenizer.json
 * of a byte-level one (gpt2), a tokenizer.model of SentencePiece's (llama). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "frontend/frontend.h"
#include "frontend/gguf.h"
#include "tokenizer/tokenizer.h"

#define LLAMA3                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "         \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define QWEN2                                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "              \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define TEKKEN                                                                                     \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER      \
    "+" LOWER "*|\\\\p{N}| "                                                                       \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

typedef struct {
    const char *name;
    bool digits;
    const char *expression, *flags;
} Pre;

static const Pre pres[] = {
#define GGUF_PRE(name, digits, expression, flags) {name, digits, expression, flags},
#include "frontend/gguf_pre.def"
#undef GGUF_PRE
};

typedef struct {
    const RtGguf *gguf;
    const char *path;
    Diag *diag;
    const RtGgufKey *tokens, *types, *scores;
    StrBuf out;
} Maker;

static bool
fault(Maker *m, const char *text)
{
    return diag_error(m->diag, (SrcLoc){0}, "%s: %s", m->path, text);
}

static int64_t
int_or(const Maker *m, const char *key, int64_t otherwise)
{
    int64_t n = otherwise;
    return rt_gguf_int(rt_gguf_find(m->gguf, key), 0, &n) ? n : otherwise;
}

static int64_t
type_of(const Maker *m, uint64_t id)
{
    int64_t type = GGUF_NORMAL;
    return rt_gguf_int(m->types, id, &type) ? type : GGUF_NORMAL;
}

/* The id that a text begins with; -1: none. */
static int64_t
beginning(const Maker *m, bool otherwise)
{
    const int64_t id = int_or(m, "tokenizer.ggml.bos_token_id", -1);
    const bool puts = int_or(m, "tokenizer.ggml.add_bos_token", otherwise) != 0;
    return puts && id >= 0 && (uint64_t)id < m->tokens->count ? id : -1;
}

/* ---- tokenizer.json ------------------------------------------------------------------------ */

void
gguf_put_text(StrBuf *out, RtGgufText text)
{
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.text[i];
        if (c < 0x20)
            sb_printf(out, "\\u%04x", (unsigned)c);
        else
            sb_printf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
}

void
gguf_put_json(StrBuf *out, RtGgufText text)
{
    sb_puts(out, "\"");
    gguf_put_text(out, text);
    sb_puts(out, "\"");
}

static void
put_added(Maker *m)
{
    const char *at = NULL;
    RtGgufText text = {0};
    bool first = true;
    sb_puts(&m->out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n"
                     "\"added_tokens\": [");
    for (uint64_t id = 0; id < m->tokens->count && rt_gguf_text(m->tokens, &at, &text); id++) {
        const int64_t type = type_of(m, id);
        if ((type != GGUF_CONTROL && type != GGUF_OWN) || text.len == 0)
            continue;
        sb_printf(&m->out, "%s{\"id\": %" PRIu64 ", \"content\": ", first ? "" : ",\n", id);
        gguf_put_json(&m->out, text);
        sb_printf(&m->out,
                  ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                  "\"normalized\": false, \"special\": %s}",
                  type == GGUF_CONTROL ? "true" : "false");
        first = false;
    }
    sb_puts(&m->out, "],\n");
}

void
gguf_put_list(StrBuf *out, const RtGgufKey *list, bool ids)
{
    const char *at = NULL;
    RtGgufText text = {0};
    for (uint64_t i = 0; i < list->count && rt_gguf_text(list, &at, &text); i++) {
        sb_puts(out, i ? ",\n" : "");
        gguf_put_json(out, text);
        if (ids)
            sb_printf(out, ": %" PRIu64, i);
    }
}

static void
put_splits(StrBuf *out, const Pre *pre)
{
    sb_printf(out,
              "\"normalizer\": %s,\n\"pre_tokenizer\": {\"type\": \"Sequence\", "
              "\"pretokenizers\": [",
              strchr(pre->flags, 'N') ? "{\"type\": \"NFC\"}" : "null");
    if (pre->digits)
        sb_puts(out, "{\"type\": \"Digits\", \"individual_digits\": true}, ");
    if (pre->expression)
        sb_printf(out,
                  "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, "
                  "\"pattern\": {\"Regex\": "
                  "\"%s\"}}, ",
                  pre->expression);
    sb_printf(out,
              "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
              "\"use_regex\": %s}]},\n",
              pre->expression ? "false" : "true");
}

static const Pre *
find_pre(Maker *m)
{
    const char *at = NULL;
    RtGgufText name = {0};
    StrBuf known = {0};
    if (!rt_gguf_text(rt_gguf_find(m->gguf, "tokenizer.ggml.pre"), &at, &name)) {
        fault(m, "it does not say how its tokenizer splits texts (tokenizer.ggml.pre)");
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(pres); i++) {
        if (rt_gguf_text_is(name, pres[i].name)) {
            sb_free(&known);
            return &pres[i];
        }
        sb_printf(&known, "%s%s", i ? ", " : "", pres[i].name);
    }
    diag_error(m->diag, (SrcLoc){0}, "%s: tokenizer.ggml.pre is '%.*s', expected one of %s",
               m->path, (int)(name.len < 64 ? name.len : 64), name.text, sb_text(&known));
    sb_free(&known);
    return NULL;
}

/* The text of token `id`; empty: there is none. */
static RtGgufText
token_of(const Maker *m, int64_t id)
{
    const char *at = NULL;
    RtGgufText text = {0};
    if (id < 0 || (uint64_t)id >= m->tokens->count)
        return text;
    for (int64_t i = 0; i <= id; i++)
        if (!rt_gguf_text(m->tokens, &at, &text))
            return (RtGgufText){0};
    return text;
}

void
gguf_put_beginning(StrBuf *out, RtGgufText text, int64_t first)
{
    sb_puts(out, "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
                 "[{\"SpecialToken\": {\"id\": ");
    gguf_put_json(out, text);
    sb_puts(out, ", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n"
                 "\"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": "
                 "{\"id\": \"B\", \"type_id\": 1}}],\n\"special_tokens\": {");
    gguf_put_json(out, text);
    sb_puts(out, ": {\"id\": ");
    gguf_put_json(out, text);
    sb_printf(out, ", \"ids\": [%" PRId64 "], \"tokens\": [", first);
    gguf_put_json(out, text);
    sb_puts(out, "]}}},\n");
}

static bool
make_json(Maker *m)
{
    const Pre *pre = find_pre(m);
    const RtGgufKey *merges = rt_gguf_find(m->gguf, "tokenizer.ggml.merges");
    if (!pre)
        return false;
    if (!merges || merges->kind != RT_GGUF_STRING)
        return fault(m, "its tokenizer has no merges (tokenizer.ggml.merges)");
    put_added(m);
    put_splits(&m->out, pre);
    const int64_t first = beginning(m, strchr(pre->flags, 'B') != NULL);
    if (first >= 0)
        gguf_put_beginning(&m->out, token_of(m, first), first);
    sb_printf(
        &m->out,
        "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": "
        "true, \"use_regex\": true},\n\"model\": {\"type\": \"BPE\", \"dropout\": null, "
        "\"unk_token\": null, \"continuing_subword_prefix\": null, \"end_of_word_suffix\": "
        "null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s, "
        "\"vocab\": {",
        strchr(pre->flags, 'W') ? "true" : "false");
    gguf_put_list(&m->out, m->tokens, true);
    sb_puts(&m->out, "},\n\"merges\": [");
    gguf_put_list(&m->out, merges, false);
    sb_puts(&m->out, "]}}\n");
    return true;
}

/* ---- tokenizer.model ------------------------------------------------------------------------
 * Fields of ModelProto: tokenizer/sentencepiece.c. */

enum { VARINT = 0, LENGTH = 2, FOUR = 5 };

static void
put_varint(StrBuf *out, uint64_t n)
{
    do {
        const char c = (char)((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
        sb_putn(out, &c, 1);
    } while (n >>= 7);
}

static void
put_field(StrBuf *out, unsigned number, unsigned type, uint64_t n)
{
    put_varint(out, (uint64_t)number << 3 | type);
    put_varint(out, n);
}

static void
put_bytes(StrBuf *out, unsigned number, const char *text, size_t len)
{
    put_field(out, number, LENGTH, len);
    sb_putn(out, text, len);
}

/* Rows that only fill the vocabulary up are of type `unused`: no text makes them. */
static void
put_piece(Maker *m, uint64_t id, RtGgufText text)
{
    StrBuf piece = {0};
    double score = 0;
    rt_gguf_float(m->scores, id, &score);
    const float narrow = (float)score;
    uint32_t bits = 0;
    memcpy(&bits, &narrow, sizeof bits);
    put_bytes(&piece, 1, text.text, text.len);
    put_varint(&piece, 2 << 3 | FOUR);
    for (int i = 0; i < 4; i++) {
        const char c = (char)(bits >> 8 * i & 0xFF);
        sb_putn(&piece, &c, 1);
    }
    const int64_t type = type_of(m, id);
    put_field(&piece, 3, VARINT, (uint64_t)(type == GGUF_UNUSED ? GGUF_CONTROL : type));
    put_bytes(&m->out, 1, sb_text(&piece), piece.len);
    sb_free(&piece);
}

static bool
make_model(Maker *m)
{
    enum { MODEL_TYPE = 3, BPE = 2, BYTE_FALLBACK = 35 };
    const char *at = NULL;
    RtGgufText text = {0};
    bool bytes = false;
    if (!m->scores || m->scores->count != m->tokens->count)
        return fault(m, "its tokenizer has not one score for each token (tokenizer.ggml.scores)");
    for (uint64_t id = 0; id < m->tokens->count && rt_gguf_text(m->tokens, &at, &text); id++) {
        bytes = bytes || type_of(m, id) == GGUF_BYTE;
        put_piece(m, id, text);
    }
    StrBuf part = {0};
    put_field(&part, MODEL_TYPE, VARINT, BPE);
    put_field(&part, BYTE_FALLBACK, VARINT, bytes);
    put_bytes(&m->out, 2, sb_text(&part), part.len);
    sb_free(&part);
    put_field(&part, 3, VARINT, int_or(m, "tokenizer.ggml.add_space_prefix", 1) != 0);
    put_field(&part, 4, VARINT, int_or(m, "tokenizer.ggml.remove_extra_whitespaces", 0) != 0);
    put_bytes(&m->out, 3, sb_text(&part), part.len);
    sb_free(&part);
    const int64_t first = beginning(m, true);
    if (first >= 0)
        put_field(&m->out, 200, VARINT, (uint64_t)first);
    put_field(&m->out, 201, VARINT, 1);
    return true;
}

/* ---- either -------------------------------------------------------------------------------- */

static bool
make(Maker *m)
{
    const char *at = NULL;
    RtGgufText kind = {0};
    m->tokens = rt_gguf_find(m->gguf, "tokenizer.ggml.tokens");
    m->types = rt_gguf_find(m->gguf, "tokenizer.ggml.token_type");
    m->scores = rt_gguf_find(m->gguf, "tokenizer.ggml.scores");
    if (!m->tokens || m->tokens->kind != RT_GGUF_STRING || m->tokens->count == 0 ||
        !rt_gguf_text(rt_gguf_find(m->gguf, "tokenizer.ggml.model"), &at, &kind))
        return fault(m, "it has no tokenizer inside");
    if (m->types && m->types->count != m->tokens->count)
        return fault(m,
                     "its tokenizer has not one type for each token (tokenizer.ggml.token_type)");
    if (rt_gguf_text_is(kind, "gpt2"))
        return make_json(m);
    if (rt_gguf_text_is(kind, "llama"))
        return make_model(m);
    return diag_error(m->diag, (SrcLoc){0},
                      "%s: tokenizer.ggml.model is '%.*s', expected gpt2 or llama", m->path,
                      (int)(kind.len < 64 ? kind.len : 64), kind.text);
}

/* Whether a tokenizer.json does what a tokenizer.model of its pieces does. */
static bool
keeps_spaces(const Maker *m)
{
    return m->types && int_or(m, "tokenizer.ggml.remove_extra_whitespaces", 0) == 0;
}

/* ---- filling in ------------------------------------------------------------------------------ */

/* The older name of a key is read where the newer is not there. */
static const struct {
    TokInfillRole role;
    const char *key, *older;
} infill_keys[] = {
    {TOK_INFILL_prefix, "tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"},
    {TOK_INFILL_suffix, "tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"},
    {TOK_INFILL_middle, "tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"},
    {TOK_INFILL_pad,    "tokenizer.ggml.fim_pad_token_id", NULL                            },
    {TOK_INFILL_repo,   "tokenizer.ggml.fim_rep_token_id", NULL                            },
    {TOK_INFILL_file,   "tokenizer.ggml.fim_sep_token_id", NULL                            },
    {TOK_INFILL_end,    "tokenizer.ggml.eot_token_id",     NULL                            },
};

bool
fe_gguf_infill(const char *path, Diag *diag, int64_t *ids)
{
    const char *why = NULL;
    RtGguf *gguf = rt_gguf_open(path, NULL, 0, &why);
    if (!gguf)
        return diag_error(diag, (SrcLoc){0}, "%s", why);
    const Maker m = {.gguf = gguf};
    for (int role = 0; role < TOK_INFILL_COUNT; role++)
        ids[role] = -1;
    for (size_t i = 0; i < COUNT_OF(infill_keys); i++) {
        const int64_t older = infill_keys[i].older ? int_or(&m, infill_keys[i].older, -1) : -1;
        ids[infill_keys[i].role] = int_or(&m, infill_keys[i].key, older);
    }
    rt_gguf_close(gguf);
    return true;
}

/* ---- tokenizer_config.json ----------------------------------------------------------------- */

/* Tokens by what they are for. */
static const struct {
    const char *key, *id;
} purposes[] = {
    {"bos_token",  "tokenizer.ggml.bos_token_id"      },
    {"eos_token",  "tokenizer.ggml.eos_token_id"      },
    {"unk_token",  "tokenizer.ggml.unknown_token_id"  },
    {"pad_token",  "tokenizer.ggml.padding_token_id"  },
    {"sep_token",  "tokenizer.ggml.seperator_token_id"},
    {"mask_token", "tokenizer.ggml.mask_token_id"     },
};

static void
put_flag(Maker *m, const char *key, const char *of, int64_t otherwise)
{
    const int64_t flag = int_or(m, of, otherwise);
    if (flag >= 0)
        sb_printf(&m->out, ",\n  \"%s\": %s", key, flag ? "true" : "false");
}

static void
put_purposes(Maker *m)
{
    for (size_t i = 0; i < COUNT_OF(purposes); i++) {
        const RtGgufText text = token_of(m, int_or(m, purposes[i].id, -1));
        if (text.len == 0)
            continue;
        sb_printf(&m->out, ",\n  \"%s\": ", purposes[i].key);
        gguf_put_json(&m->out, text);
    }
}

static const RtGgufText no_name = {"", 0};

static bool
template_of(const Maker *m, RtGgufText name, RtGgufText *text)
{
    char key[128];
    const char *at = NULL;
    const int len = (int)(name.len < 64 ? name.len : 64);
    snprintf(key, sizeof key, "tokenizer.chat_template%s%.*s", len ? "." : "", len, name.text);
    return rt_gguf_text(rt_gguf_find(m->gguf, key), &at, text);
}

static void
put_template(Maker *m, bool first, RtGgufText name, RtGgufText text)
{
    sb_puts(&m->out, first ? ",\n  \"chat_template\": [" : ", ");
    sb_puts(&m->out, "{\"name\": ");
    gguf_put_json(&m->out, name);
    sb_puts(&m->out, ", \"template\": ");
    gguf_put_json(&m->out, text);
    sb_puts(&m->out, "}");
}

/* Those with names, and the one without as "default" then. False: there are none. */
static bool
put_templates(Maker *m)
{
    const RtGgufKey *names = rt_gguf_find(m->gguf, "tokenizer.chat_templates");
    const char *at = NULL;
    RtGgufText name = {0}, text = {0};
    bool any = false;
    for (uint64_t i = 0; names && i < names->count && rt_gguf_text(names, &at, &name); i++)
        if (name.len > 0 && template_of(m, name, &text)) {
            put_template(m, !any, name, text);
            any = true;
        }
    if (any && template_of(m, no_name, &text))
        put_template(m, false, (RtGgufText){"default", strlen("default")}, text);
    sb_puts(&m->out, any ? "]" : "");
    return any;
}

bool
fe_gguf_chat(Arena *arena, const char *path, Diag *diag, FeGgufChat *out)
{
    const char *why = NULL, *at = NULL;
    RtGguf *gguf = rt_gguf_open(path, NULL, 0, &why);
    if (!gguf)
        return diag_error(diag, (SrcLoc){0}, "%s", why);
    Maker m = {.gguf = gguf, .path = path, .diag = diag};
    RtGgufText kind = {0}, text = {0};
    m.tokens = rt_gguf_find(gguf, "tokenizer.ggml.tokens");
    m.types = rt_gguf_find(gguf, "tokenizer.ggml.token_type");
    rt_gguf_text(rt_gguf_find(gguf, "tokenizer.ggml.model"), &at, &kind);
    const bool llama = rt_gguf_text_is(kind, "llama");
    sb_printf(&m.out,
              "{\n  \"tokenizer_class\": \"%s\",\n  \"clean_up_tokenization_spaces\": false",
              llama && !keeps_spaces(&m) ? "LlamaTokenizer" : "PreTrainedTokenizerFast");
    put_purposes(&m);
    put_flag(&m, "add_bos_token", "tokenizer.ggml.add_bos_token", llama ? 1 : -1);
    put_flag(&m, "add_eos_token", "tokenizer.ggml.add_eos_token", -1);
    const bool named = put_templates(&m);
    sb_puts(&m.out, "\n}\n");
    out->config = arena_strndup(arena, sb_text(&m.out), m.out.len);
    out->config_len = m.out.len;
    if (!named && template_of(&m, no_name, &text)) {
        out->text = arena_strndup(arena, text.text, text.len);
        out->len = text.len;
    }
    sb_free(&m.out);
    rt_gguf_close(gguf);
    return true;
}

bool
fe_gguf_pieces(Arena *arena, const char *path, Diag *diag, char **json, size_t *len)
{
    const char *why = NULL, *at = NULL;
    RtGgufText kind = {0};
    RtGguf *gguf = rt_gguf_open(path, NULL, 0, &why);
    if (!gguf)
        return diag_error(diag, (SrcLoc){0}, "%s", why);
    Maker m = {.gguf = gguf, .path = path, .diag = diag};
    const bool good = make(&m);
    rt_gguf_text(rt_gguf_find(gguf, "tokenizer.ggml.model"), &at, &kind);
    *json = NULL;
    if (good && rt_gguf_text_is(kind, "llama") && keeps_spaces(&m)) {
        const int64_t first = beginning(&m, true);
        const GgufPieces pieces = {m.tokens,
                                   m.types,
                                   m.scores,
                                   int_or(&m, "tokenizer.ggml.add_space_prefix", 1) != 0,
                                   token_of(&m, first),
                                   first};
        StrBuf out = {0};
        gguf_pieces_json(arena, &pieces, &out);
        *json = arena_strndup(arena, sb_text(&out), out.len);
        *len = out.len;
        sb_free(&out);
    }
    sb_free(&m.out);
    rt_gguf_close(gguf);
    return good;
}

bool
fe_gguf_tokenizer(Arena *arena, const char *path, Diag *diag, char **bytes, size_t *len)
{
    const char *why = NULL;
    RtGguf *gguf = rt_gguf_open(path, NULL, 0, &why);
    if (!gguf)
        return diag_error(diag, (SrcLoc){0}, "%s", why);
    Maker m = {.gguf = gguf, .path = path, .diag = diag};
    const bool good = make(&m);
    if (good) {
        *bytes = arena_strndup(arena, sb_text(&m.out), m.out.len);
        *len = m.out.len;
    }
    sb_free(&m.out);
    rt_gguf_close(gguf);
    return good;
}
