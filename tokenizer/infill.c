/* tokenizer/infill.c -- the tokens of a model that was taught to fill in the middle of a text,
 * found by their published spellings. */
#include <string.h>

#include "tokenizer/tables.h"

enum { PSM, SPM };

static const struct {
    bool suffix_first;
    const char *text[3]; /* prefix, suffix, middle */
} styles[] = {
#define INFILL_STYLE(order, prefix, suffix, middle)                                                \
    {                                                                                              \
        .suffix_first = order == SPM, .text = {prefix, suffix, middle} \
},
#define INFILL_TOKEN(role, text)
#include "tokenizer/infill.def"
#undef INFILL_STYLE
#undef INFILL_TOKEN
};

static const struct {
    TokInfillRole role;
    const char *text;
} others[] = {
#define INFILL_STYLE(order, prefix, suffix, middle)
#define INFILL_TOKEN(role, text) {TOK_INFILL_##role, text},
#include "tokenizer/infill.def"
#undef INFILL_STYLE
#undef INFILL_TOKEN
};

_Static_assert(TOK_INFILL_prefix == 0 && TOK_INFILL_suffix == 1 && TOK_INFILL_middle == 2,
               "the texts of a style are in the order of the roles");

static void
infill_none(TokInfill *infill)
{
    *infill = (TokInfill){0};
    for (int role = 0; role < TOK_INFILL_COUNT; role++)
        infill->id[role] = -1;
}

/* What no text may spell: these ids divide it. */
static void
mark_special(AddedSet *set, const TokInfill *infill)
{
    for (int i = 0; i < set->count; i++)
        if (tok_infill_has(infill, set->items[i].id))
            set->items[i].special = true;
}

static void
take(Tokenizer *tok, const TokInfill *infill)
{
    tok->infill = *infill;
    mark_special(&tok->raw, infill);
    mark_special(&tok->normalized, infill);
    mark_special(&tok->own, infill);
}

/* The ids of all spellings, looked for in one walk over the tokens; -1: it is not there. */
static void
find_texts(const Tokenizer *tok, int32_t (*style)[3], int32_t *other)
{
    memset(style, 0xFF, COUNT_OF(styles) * sizeof *style);
    memset(other, 0xFF, COUNT_OF(others) * sizeof *other);
    for (int64_t id = 0; id < tok->size; id++) {
        const Slice t = tok->tokens[id].text;
        if (t.len == 0 || (t.text[0] != '<' && t.text[0] != '[' && t.text[0] != '\xE2'))
            continue;
        for (size_t i = 0; i < COUNT_OF(styles); i++)
            for (int part = 0; part < 3; part++)
                if (t.len == strlen(styles[i].text[part]) &&
                    memcmp(t.text, styles[i].text[part], t.len) == 0)
                    style[i][part] = (int32_t)id;
        for (size_t i = 0; i < COUNT_OF(others); i++)
            if (t.len == strlen(others[i].text) && memcmp(t.text, others[i].text, t.len) == 0)
                other[i] = (int32_t)id;
    }
}

void
tok_find_infill(Tokenizer *tok)
{
    int32_t style[COUNT_OF(styles)][3], other[COUNT_OF(others)];
    TokInfill found;
    infill_none(&found);
    tok->infill = found;
    find_texts(tok, style, other);
    for (size_t i = 0; i < COUNT_OF(styles) && found.id[TOK_INFILL_prefix] < 0; i++) {
        if (style[i][0] < 0 || style[i][1] < 0 || (styles[i].text[2][0] && style[i][2] < 0))
            continue;
        memcpy(found.id, style[i], sizeof style[i]);
        found.suffix_first = styles[i].suffix_first;
    }
    if (found.id[TOK_INFILL_prefix] < 0)
        return;
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (found.id[others[i].role] < 0)
            found.id[others[i].role] = other[i];
    take(tok, &found);
}

void
tok_set_infill(Tokenizer *tok, const int64_t *ids)
{
    TokInfill all = tok->infill;
    for (int role = 0; role < TOK_INFILL_COUNT; role++)
        if (ids[role] >= 0 && ids[role] < tok->size)
            all.id[role] = (int32_t)ids[role];
    const bool whole = all.id[TOK_INFILL_prefix] >= 0 && all.id[TOK_INFILL_suffix] >= 0 &&
                       (all.id[TOK_INFILL_middle] >= 0 || all.suffix_first);
    if (whole)
        take(tok, &all);
}

const TokInfill *
tok_infill(const Tokenizer *tok)
{
    return tok->infill.id[TOK_INFILL_prefix] >= 0 ? &tok->infill : NULL;
}

bool
tok_infill_has(const TokInfill *infill, int32_t id)
{
    for (int role = 0; infill && role < TOK_INFILL_COUNT; role++)
        if (infill->id[role] == id)
            return id >= 0;
    return false;
}
