/* tokenizer/normal_read.c -- normalizer of tokenizer.json. */
#include "tokenizer/normal.h"

enum { MAX_NORMAL = 32 };

static bool
copy_text(JsonFile *file, Tokenizer *tok, const JsonAt *at, Slice *out)
{
    if (!json_want_text(file, at, out))
        return false;
    out->text = arena_strndup(tok->arena, out->text, out->len);
    return true;
}

static bool
read_replace(JsonFile *file, Tokenizer *tok, const JsonAt *at, NormStep *step)
{
    const JsonAt pattern = json_key(at, "pattern"), content = json_key(at, "content");
    const JsonAt literal = json_key(&pattern, "String"), regex = json_key(&pattern, "Regex");
    const JsonAt *from = literal.there ? &literal : &regex;
    Slice text = {0};
    const char *why = NULL;
    if (!copy_text(file, tok, &content, &step->with) || !json_want_text(file, from, &text))
        return false;
    step->split = splitter_new(tok->arena, text, literal.there, &why);
    return step->split || json_fault(file, from, "%s", why);
}

static bool
read_charsmap(JsonFile *file, Tokenizer *tok, const JsonAt *at, NormStep *step)
{
    const JsonAt map = json_key(at, "precompiled_charsmap");
    Slice text = {0}, bytes = {0};
    const char *why = NULL;
    if (map.there && !map.value)
        return true;
    if (!json_want_text(file, &map, &text))
        return false;
    if (!tok_base64(tok->arena, text, &bytes))
        return json_fault(file, &map, "is not base64");
    charsmap_read(bytes, &step->map, &why);
    return !why || json_fault(file, &map, "%s", why);
}

static bool
read_normal(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
{
    static const struct {
        const char *type;
        NormKind kind;
        bool compat;
    } rows[] = {
        {"NFC",          NORM_COMPOSE,       false},
        {"NFD",          NORM_DECOMPOSE,     false},
        {"NFKC",         NORM_COMPOSE,       true },
        {"NFKD",         NORM_DECOMPOSE,     true },
        {"Lowercase",    NORM_LOWERCASE,     false},
        {"StripAccents", NORM_STRIP_ACCENTS, false},
        {"Strip",        NORM_STRIP,         false},
        {"Prepend",      NORM_PREPEND,       false},
        {"Replace",      NORM_REPLACE,       false},
        {"Precompiled",  NORM_CHARSMAP,      false},
    };
    const JsonAt type = json_key(at, "type"), prepend = json_key(at, "prepend");
    const JsonAt left = json_key(at, "strip_left"), right = json_key(at, "strip_right");
    (void)last;
    size_t row = 0;
    while (row < COUNT_OF(rows) && !json_is_text(&type, rows[row].type))
        row++;
    if (row == COUNT_OF(rows))
        return tok_unsupported(file, &type,
                               "\"NFC\", \"NFD\", \"NFKC\", \"NFKD\", \"Lowercase\", "
                               "\"StripAccents\", \"Strip\", \"Prepend\", \"Replace\" or "
                               "\"Precompiled\" (or no normalizer)");
    if (tok->nnormal == MAX_NORMAL)
        return json_fault(file, at, "is step %d of the normalizer, expected at most %d",
                          MAX_NORMAL + 1, MAX_NORMAL);
    NormStep *step = &tok->normal[tok->nnormal++];
    *step = (NormStep){.kind = rows[row].kind, .compat = rows[row].compat};
    if (step->kind == NORM_STRIP)
        return json_want_bool(file, &left, &step->left) &&
               json_want_bool(file, &right, &step->right);
    return step->kind == NORM_PREPEND    ? copy_text(file, tok, &prepend, &step->with)
           : step->kind == NORM_REPLACE  ? read_replace(file, tok, at, step)
           : step->kind == NORM_CHARSMAP ? read_charsmap(file, tok, at, step)
                                         : true;
}

bool
tok_read_normalizer(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt normalizer = json_key(root, "normalizer");
    tok->normal = arena_array(tok->arena, MAX_NORMAL, sizeof *tok->normal);
    return !normalizer.value ||
           tok_read_sequence(file, tok, &normalizer, "normalizers", true, read_normal);
}
