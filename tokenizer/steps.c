/* tokenizer/steps.c -- what surrounds the model in tokenizer.json: normaliser, pre-tokenizer,
 * post-processor, decoder. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

static bool
fault_unsupported(JsonFile *file, const JsonAt *at, const char *expected)
{
    return json_fault(file, at, "is %s, expected %s", json_words(file, at), expected);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

typedef bool ReadItem(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last);

/* What `read` makes of a section, or of each item of a Sequence, which may be nested; `key` is its
 * list. last: no item of the section comes behind this one. */
static bool
read_sequence(JsonFile *file, Tokenizer *tok, const JsonAt *at, const char *key, bool last,
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
read_normalizer(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    (void)last;
    tok->nfc = true;
    return json_is_text(&type, "NFC") ||
           fault_unsupported(file, &type, "\"NFC\" (or no normalizer)");
}

/* ---- pre_tokenizer --------------------------------------------------------------------------- */

static bool
read_split(JsonFile *file, Tokenizer *tok, const JsonAt *at, PreStep *step)
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

/* ByteLevel maps bytes to its alphabet: it is the last step, and there is one. */
static bool
read_step(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
{
    const JsonAt type = json_key(at, "type");
    if (tok->nsteps == TOK_MAX_STEPS)
        return json_fault(file, at, "is step %d of the pre-tokenizer, expected at most %d",
                          TOK_MAX_STEPS + 1, TOK_MAX_STEPS);
    PreStep *step = &tok->steps[tok->nsteps++];
    if (last && json_is_text(&type, "ByteLevel")) {
        const JsonAt prefix = json_key(at, "add_prefix_space"), regex = json_key(at, "use_regex");
        bool splits = true;
        tok->byte_level = true;
        if (!json_want_bool(file, &prefix, &step->prefix_space) ||
            !json_bool_or(file, &regex, true, &splits))
            return false;
        step->split = splits ? splitter_own(tok->arena, SPLIT_GPT2) : NULL;
        return true;
    }
    if (last)
        return fault_unsupported(file, &type,
                                 "\"ByteLevel\" as the last step of the pre-tokenizer");
    if (json_is_text(&type, "Split"))
        return read_split(file, tok, at, step);
    if (json_is_text(&type, "Digits")) {
        const JsonAt individual = json_key(at, "individual_digits");
        bool one = false;
        if (!json_want_bool(file, &individual, &one))
            return false;
        step->split = splitter_own(tok->arena, one ? "\\p{N}" : "\\p{N}+");
        return true;
    }
    return fault_unsupported(file, &type, "\"Split\" or \"Digits\" in front of ByteLevel");
}

/* Without a last step that is one, the Sequence is at fault: it, or one inside it, is empty. */
static bool
read_pre_tokenizer(JsonFile *file, Tokenizer *tok, const JsonAt *at)
{
    if (!json_want_object(file, at) ||
        !read_sequence(file, tok, at, "pretokenizers", true, read_step))
        return false;
    return tok->byte_level || json_fault(file, at, "has no \"ByteLevel\" as its last step");
}

/* ---- post_processor -------------------------------------------------------------------------- */

/* Ids a template's special token stands for, appended to list. */
static bool
read_special(JsonFile *file, Tokenizer *tok, const JsonAt *template, const JsonAt *piece,
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

/* `single` is [special ..., the text, special ...]; a later template goes around an earlier one. */
static bool
read_template(JsonFile *file, Tokenizer *tok, const JsonAt *at)
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
    for (int i = 0; i < tok->prefix.count; i++)
        VEC_PUSH(tok->arena, prefix.items, prefix.count, prefix.cap, tok->prefix.items[i]);
    tok->prefix = prefix;
    for (int i = 0; i < suffix.count; i++)
        VEC_PUSH(tok->arena, tok->suffix.items, tok->suffix.count, tok->suffix.cap,
                 suffix.items[i]);
    return true;
}

/* ByteLevel as a post-processor only moves offsets, which ssmc does not give. */
static bool
read_processor(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
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
read_decoder(JsonFile *file, Tokenizer *tok, const JsonAt *at, bool last)
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
tok_read_steps(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt normalizer = json_key(root, "normalizer"), added = json_key(root, "added_tokens");
    const JsonAt pre = json_key(root, "pre_tokenizer"), post = json_key(root, "post_processor");
    const JsonAt decoder = json_key(root, "decoder");
    if (normalizer.value)
        read_sequence(file, tok, &normalizer, "normalizers", true, read_normalizer);
    tok_read_added(file, tok, &added);
    read_pre_tokenizer(file, tok, &pre);
    if (post.value)
        read_sequence(file, tok, &post, "processors", true, read_processor);
    if (read_sequence(file, tok, &decoder, "decoders", true, read_decoder) && !tok->decodes)
        json_fault(file, &decoder, "has no \"ByteLevel\"");
    return file->faults == 0;
}
