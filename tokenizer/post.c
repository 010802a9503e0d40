/* tokenizer/post.c -- post_processor of tokenizer.json: ids put around a text. */
#include <inttypes.h>

#include "tokenizer/tables.h"

/* Ids a template's special token stands for, appended to list. */
static bool
read_special(JsonFile *file, Tokenizer *tok, const JsonAt *template, const JsonAt *piece,
             IdList *list)
{
    const JsonAt name_at = json_key(piece, "id"), specials = json_key(template, "special_tokens");
    Slice name = {0};
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
            return tok_unsupported(file, &item, "a SpecialToken or a Sequence");
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
    return tok_unsupported(file, &type, "\"ByteLevel\" or \"TemplateProcessing\"");
}

bool
tok_read_post_processor(JsonFile *file, Tokenizer *tok, const JsonAt *root)
{
    const JsonAt post = json_key(root, "post_processor");
    return !post.value || tok_read_sequence(file, tok, &post, "processors", true, read_processor);
}
