/* frontend/help.c -- the key table and the built-in blocks' parameters as text. */
#include <string.h>

#include "frontend/block.h"

static void
put_row(Arena *arena, StrBuf *out, const Spec *spec, const char *preset)
{
    sb_printf(out, "  %-17s %s\n", spec->name, spec->doc);
    sb_printf(out, "  %-17s   %s%s%s%s\n", "", spec_wants(arena, spec), preset[0] ? " [" : "",
              preset, preset[0] ? "]" : "");
}

static void
put_block(Arena *arena, StrBuf *out, const Block *b)
{
    sb_printf(out, "\nblock %s: %s\n", b->name, b->doc ? b->doc : "");
    for (int i = 0; i < b->nparams; i++) {
        const Tree *preset = b->params[i].preset;
        put_row(arena, out, &b->params[i].spec,
                !preset                       ? "must be given"
                : preset->kind == TREE_SCALAR ? preset->text
                                              : tree_text(arena, preset));
    }
}

void
fe_help_keys(StrBuf *out)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    BlockSet blocks = {.arena = arena, .diag = diag};
    blocks_add_built_in(&blocks);
    sb_puts(out, "Keys of a model, each with what it may be and [its default]:\n");
    for (int i = 0; i < KEY_COUNT; i++) {
        const bool must = strcmp(key_spec[i].preset, "!") == 0;
        put_row(arena, out, &key_spec[i], must ? "must be given" : key_spec[i].preset);
    }
    sb_puts(out, "\nA layer {block: NAME, ...} also takes the parameters of its block:\n");
    for (int i = 0; i < blocks.count; i++)
        put_block(arena, out, &blocks.items[i]);
    diag_free(diag);
    arena_free(arena);
}
