/* tokenizer/tiktoken.c -- tiktoken.model: a line for each token, its bytes in base64 and its rank,
 * which is its id. What splits texts is code beside it (tiktoken.def), special tokens are in
 * tokenizer_config.json, whose text stands behind the ranks here: a tokenizer is one text. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

typedef struct {
    const char *class, *before, *behind, *expression;
    int64_t special;
} Kind;

static const Kind kinds[] = {
#define TIKTOKEN(class, special, before, behind, expression)                                       \
    {class, before, behind, expression, special},
#include "tokenizer/tiktoken.def"
#undef TIKTOKEN
};

/* ---- lines ---------------------------------------------------------------------------------- */

enum { MOST_DIGITS = 9 };

/* The next line, "BASE64 RANK"; false: it is none. */
static bool
take_line(const char **at, const char *end, Slice *base64, int64_t *rank)
{
    const char *from = *at, *c = from;
    while (c < end && (isalnum((unsigned char)*c) || *c == '+' || *c == '/' || *c == '='))
        c++;
    *base64 = (Slice){from, (size_t)(c - from)};
    if (c == from || c == end || *c++ != ' ')
        return false;
    const char *digits = c;
    for (*rank = 0; c < end && isdigit((unsigned char)*c) && c - digits < MOST_DIGITS; c++)
        *rank = *rank * 10 + (*c - '0');
    if (c == digits)
        return false;
    c += c < end && *c == '\r';
    if (c < end && *c++ != '\n')
        return false;
    *at = c;
    return true;
}

bool
tok_is_tiktoken(Slice text)
{
    Slice base64;
    int64_t rank = 0;
    const char *at = text.text;
    return take_line(&at, text.text + text.len, &base64, &rank);
}

/* ---- ranks ---------------------------------------------------------------------------------- */

static bool
line_fault(JsonFile *file, const char *at, const char *what)
{
    file->faults++;
    return diag_error(file->diag, json_loc(file, at, 1), "%s", what);
}

/* How many lines there are, to *end: the end, or where an object begins. 0: faults are said. */
static int64_t
count_lines(JsonFile *file, Slice text, const char **end)
{
    const char *at = text.text, *last = text.text + text.len;
    int64_t count = 0, rank = 0;
    Slice base64;
    while (at < last && *at != '{' && take_line(&at, last, &base64, &rank))
        count++;
    *end = at;
    if (at < last && *at != '{')
        line_fault(file, at,
                   "this line is no \"BYTES RANK\", a token's bytes in base64 and its rank");
    else if (count > TOK_MAX_ID - 1024)
        line_fault(file, at, "it has more tokens than any tokenizer");
    return file->faults ? 0 : count;
}

static bool
read_ranks(JsonFile *file, Tokenizer *tok, Slice text, int64_t count)
{
    const char *at = text.text, *end = text.text + text.len;
    for (int64_t id = 0; id < count; id++) {
        const char *line = at;
        Slice base64, bytes;
        int64_t rank = 0;
        take_line(&at, end, &base64, &rank);
        if (rank != id)
            return line_fault(
                file, line,
                arena_printf(tok->arena, "its rank is %" PRId64 ", expected %" PRId64, rank, id));
        if (!tok_base64(tok->arena, base64, &bytes) || bytes.len == 0)
            return line_fault(file, line, "its token is not bytes in base64");
        const int32_t other = tok_ranked_add(tok, bytes, (int32_t)id, (uint32_t)rank);
        if (other >= 0)
            return line_fault(
                file, line,
                arena_printf(tok->arena, "its token is that of rank %" PRId32 " already", other));
    }
    const int byte = tok_ranked_lacks(tok);
    if (byte < 0)
        return true;
    return line_fault(file, text.text,
                      arena_printf(tok->arena, "it has no token for byte 0x%02x", (unsigned)byte));
}

/* ---- special tokens ------------------------------------------------------------------------- */

static void
put_special(Tokenizer *tok, int32_t id, Slice content)
{
    tok->tokens[id].text = tok->tokens[id].bytes = content;
    VEC_PUSH(tok->arena, tok->raw.items, tok->raw.count, tok->raw.cap,
             ((AddedToken){.content = content, .id = id, .special = true}));
}

/* added_tokens_decoder: an object of tokens, whose ids are its keys. */
static bool
read_named(JsonFile *file, Tokenizer *tok, const JsonAt *root, int64_t ranks)
{
    const JsonAt named = json_key(root, "added_tokens_decoder");
    if (!json_want_object(file, &named))
        return false;
    json_object_object_foreach(named.value, key, value)
    {
        const JsonAt at = {.up = &named, .key = key, .there = true, .value = value};
        const JsonAt content_at = json_key(&at, "content");
        Slice content = {0};
        char *end = NULL;
        const long long id = strtoll(key, &end, 10);
        if (*end || id < ranks || id >= tok->size)
            return json_fault(file, &at,
                              "is no special token: they are %" PRId64 " to %" PRId64
                              ", behind those of tiktoken.model",
                              ranks, tok->size - 1);
        if (!json_want_object(file, &at) || !json_want_text(file, &content_at, &content))
            return false;
        if (content.len == 0)
            return json_fault(file, &content_at, "is empty: such a token would stand everywhere");
        content.text = arena_strndup(tok->arena, content.text, content.len);
        put_special(tok, (int32_t)id, content);
    }
    return true;
}

static bool
read_special(JsonFile *file, Tokenizer *tok, const JsonAt *root, const Kind *kind)
{
    const int64_t ranks = tok->size - kind->special;
    if (!read_named(file, tok, root, ranks))
        return false;
    for (int64_t id = ranks; id < tok->size; id++) {
        const char *name =
            arena_printf(tok->arena, "%s%" PRId64 "%s", kind->before, id, kind->behind);
        if (!tok->tokens[id].text.text)
            put_special(tok, (int32_t)id, (Slice){name, strlen(name)});
    }
    const AddedToken *twice = added_sort(&tok->raw);
    const JsonAt named = json_key(root, "added_tokens_decoder");
    return !twice || json_fault(file, &named, "has \"%s\" twice", twice->content.text);
}

/* ---- the whole text -------------------------------------------------------------------------- */

static const Kind *
kind_of(JsonFile *file, const JsonAt *root)
{
    const JsonAt class = json_key(root, "tokenizer_class");
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (json_is_text(&class, kinds[i].class))
            return &kinds[i];
    json_fault(
        file, &class,
        "is %s; lists of ranks are read of %s (Kimi): give a tokenizer.json of the same tokens",
        json_words(file, &class), kinds[0].class);
    return NULL;
}

static bool
read_config(JsonFile *config, JsonFile *file, Tokenizer *tok, Slice text, int64_t ranks)
{
    json_object *json = NULL;
    bool good = json_file_parse(config, &json);
    const JsonAt root = {.there = true, .value = json};
    const Kind *kind = good && json_want_object(config, &root) ? kind_of(config, &root) : NULL;
    good = kind != NULL;
    if (good) {
        tok_ranked_new(tok, ranks + kind->special, ranks);
        tok->steps[tok->nsteps++] = (PreStep){.split = splitter_own(tok->arena, kind->expression),
                                              .behavior = SPLIT_REMOVED,
                                              .invert = true};
        good = read_ranks(file, tok, text, ranks) && read_special(config, tok, &root, kind);
    }
    json_object_put(json);
    return good;
}

bool
tok_read_tiktoken(JsonFile *file, Tokenizer *tok)
{
    const Slice text = {file->source->text, file->source->len};
    const char *path = file->source->path, *folder = strrchr(path, '/'), *end = NULL;
    const int64_t ranks = count_lines(file, text, &end);
    if (file->faults)
        return false;
    if (end == text.text + text.len)
        return line_fault(file, text.text,
                          "it says nothing of how texts are split, and of special tokens: they are "
                          "in tokenizer_config.json, which must be beside it");
    Source *beside = arena_alloc(tok->arena, sizeof *beside);
    *beside = (Source){arena_printf(tok->arena, "%.*stokenizer_config.json",
                                    folder ? (int)(folder + 1 - path) : 0, path),
                       end, text.len - (size_t)(end - text.text)};
    JsonFile config = {.arena = tok->arena, .diag = file->diag, .source = beside};
    return read_config(&config, file, tok, text, ranks);
}
