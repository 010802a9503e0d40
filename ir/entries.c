/* ir/entries.c -- which programs are made of a model, and what their calls may have. */
#include <string.h>

#include "ir/internal.h"

const EntryInfo entry_info[ENTRY_COUNT] = {
#define ENTRY(id, tokens, doc) [ENTRY_##id] = {#id, tokens, doc},
#include "ir/entries.def"
#undef ENTRY
};

const EntryInfo *
entry_by_name(const char *name)
{
    for (int i = 0; i < ENTRY_COUNT; i++)
        if (strcmp(entry_info[i].name, name) == 0)
            return &entry_info[i];
    return NULL;
}

bool
graph_has_runs(const Graph *g)
{
    return !g->entry || g->entry->tokens != 1;
}
