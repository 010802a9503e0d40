/* frontend/embed.c -- the files inside the binary as trees. */
#include "frontend/embed.h"

Tree *
embedded_tree(Arena *arena, const FeEmbedded *file)
{
    Diag *diag = diag_new();
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_printf(arena, "%s (built in)", file->name), file->text, file->len};
    Tree *tree = yaml_parse(arena, source, diag);
    StrBuf text = {0};
    diag_print(diag, &text);
    if (!tree)
        die("%s", sb_text(&text));
    sb_free(&text);
    diag_free(diag);
    return tree;
}

bool
embedded_has(const Source *source)
{
    for (int i = 0; source && i < fe_embedded_count; i++)
        if (fe_embedded[i].text == source->text)
            return true;
    return false;
}
