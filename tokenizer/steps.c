/* tokenizer/steps.c -- pre_tokenizer of tokenizer.json: how a text is split into words. */
#include <string.h>

#include "tokenizer/tables.h"

bool
tok_unsupported(JsonFile *file, const JsonAt *at, const char *expected)
{
    return json_fault(file, at, "is %s, expected %s", json_words(file, at), expected);
}

bool
tok_read_sequence(JsonFile *file, Tokenizer *tok, const JsonAt *at, const char *key, bool last,
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
        if (!tok_read_sequence(file, tok, &item, key, last && i + 1 == count, read))
            return false;
    }
    return true;
}

static bool
read_behavior(JsonFile *file, const JsonAt *behavior, PreStep *step)
{
    static const char *const names[SPLIT_BEHAVIORS] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_CONTIGUOUS] = "Contiguous",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
    };
    int how = 0;
    while (how < SPLIT_BEHAVIORS && !json_is_text(behavior, names[how]))
        how++;
    step->behavior = (SplitBehavior)how;
    return how < SPLIT_BEHAVIORS || tok_unsupported(file, behavior,
                                                    "\"Isolated\", \"Removed\", \"Contiguous\", "
                                                    "\"MergedWithPrevious\" or \"MergedWithNext\"");
}

static bool
read_split(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt behavior = json_key(at, "behavior"), pattern = json_key(at, "pattern");
    const JsonAt regex = json_key(&pattern, "Regex"), literal = json_key(&pattern, "String");
    const JsonAt invert = json_key(at, "invert");
    if (!read_behavior(file, &behavior, step) || !json_bool_or(file, &invert, false, &step->invert))
        return false;
    const JsonAt *from = literal.there ? &literal : &regex;
    Slice text = {0};
    const char *why = NULL;
    if (!json_want_text(file, from, &text))
        return false;
    step->split = splitter_new(tok->arena, text, literal.there, &why);
    return step->split || json_fault(file, from, "%s", why);
}

/* Spaces become a mark that words begin with. Older files say add_prefix_space, newer ones
 * prepend_scheme. */
static bool
read_metaspace(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    static const char *const schemes[] = {
        [PREFIX_NEVER] = "never", [PREFIX_FIRST] = "first", [PREFIX_ALWAYS] = "always"};
    const JsonAt mark = json_key(at, "replacement"), scheme = json_key(at, "prepend_scheme");
    const JsonAt prefix = json_key(at, "add_prefix_space"), split = json_key(at, "split");
    Slice text = {0};
    bool splits = true, puts = true;
    const char *why = NULL;
    if (!json_want_text(file, &mark, &text) || !json_bool_or(file, &split, true, &splits) ||
        !json_bool_or(file, &prefix, true, &puts))
        return false;
    if (text.len == 0)
        return json_fault(file, &mark, "is empty, expected a character");
    step->prefix = puts ? PREFIX_ALWAYS : PREFIX_NEVER;
    for (size_t i = 0; scheme.there && i < COUNT_OF(schemes); i++)
        if (json_is_text(&scheme, schemes[i]))
            step->prefix = (Prefix)i;
    if (scheme.there && !json_is_text(&scheme, schemes[step->prefix]))
        return tok_unsupported(file, &scheme, "\"always\", \"first\" or \"never\"");
    step->space = (Slice){arena_strndup(tok->arena, text.text, text.len), text.len};
    step->behavior = SPLIT_MERGED_WITH_NEXT;
    step->split = splits ? splitter_new(tok->arena, step->space, true, &why) : NULL;
    return !splits || step->split || json_fault(file, &mark, "%s", why);
}

static bool
read_byte_level(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt prefix = json_key(at, "add_prefix_space"), regex = json_key(at, "use_regex");
    bool splits = true, puts = false;
    tok->byte_level = tok->of_bytes = true;
    if (!json_want_bool(file, &prefix, &puts) || !json_bool_or(file, &regex, true, &splits))
        return false;
    step->prefix = PREFIX_ALWAYS;
    step->space = puts ? (Slice){" ", 1} : (Slice){0};
    step->split = splits ? splitter_own(tok->arena, SPLIT_GPT2) : NULL;
    return true;
}

static bool
read_digits(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt individual = json_key(at, "individual_digits");
    bool one = false;
    if (!json_want_bool(file, &individual, &one))
        return false;
    step->split = splitter_own(tok->arena, one ? "\\p{N}" : "\\p{N}+");
    return true;
}

/* ASCII's punctuation has symbols, too. */
static bool
read_punctuation(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    const JsonAt behavior = json_key(at, "behavior");
    step->split = splitter_own(tok->arena, "[\\p{P}$+<=>^`|~]");
    return !behavior.there || read_behavior(file, &behavior, step);
}

static bool
read_whitespace(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    (void)file;
    (void)at;
    step->split = splitter_words(tok->arena);
    step->behavior = SPLIT_REMOVED;
    step->invert = true;
    return true;
}

static bool
read_whitespace_split(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
{
    (void)file;
    (void)at;
    step->split = splitter_own(tok->arena, "\\s");
    step->behavior = SPLIT_REMOVED;
    return true;
}

static const struct {
    const char *type;
    bool (*read)(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step);
} readers[] = {
    {"Split",           read_split           },
    {"Digits",          read_digits          },
    {"Punctuation",     read_punctuation     },
    {"Metaspace",       read_metaspace       },
    {"Whitespace",      read_whitespace      },
    {"WhitespaceSplit", read_whitespace_split},
};

/* ByteLevel maps bytes to its alphabet: it is the last step, and there is one. */
static bool
read_step(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    if (tok->nsteps == TOK_MAX_STEPS)
        return json_fault(file, at, "is step %d of the pre-tokenizer, expected at most %d",
                          TOK_MAX_STEPS + 1, TOK_MAX_STEPS);
    PreStep *step = &tok->steps[tok->nsteps++];
    if (last && json_is_text(&type, "ByteLevel"))
        return read_byte_level(file, tok, at, step);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        if (json_is_text(&type, readers[i].type))
            return readers[i].read(file, tok, at, step);
    return tok_unsupported(file, &type,
                           "\"Split\", \"Digits\", \"Punctuation\", \"Metaspace\", "
                           "\"Whitespace\", \"WhitespaceSplit\", or \"ByteLevel\" as the last "
                           "step of the pre-tokenizer");
}

bool
tok_read_pre_tokenizer(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt pre = json_key(root, "pre_tokenizer");
    return !pre.value || tok_read_sequence(file, tok, &pre, "pretokenizers", true, read_step);
}
