/* ir/entries.c -- which programs are made of a model, and what their calls come with. */
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

const InputInfo input_info[INPUT_COUNT] = {
#define OP_none OP_COUNT
#define INPUT(name, rows, op, doc)                                                                 \
    [INPUT_##name] = {                                                                             \
        #name, {DTYPE_i32, {1, {{DIM_##rows, 0}}}}, \
         OP_##op, doc \
    },
#include "ir/inputs.def"
#undef INPUT
#undef OP_none
};

const InputInfo *
value_input(const Value *v)
{
    for (int i = 0; v->kind == VALUE_INPUT && i < INPUT_COUNT; i++)
        if (strcmp(v->name, input_info[i].name) == 0)
            return &input_info[i];
    return NULL;
}

Value *
graph_find_input(const Graph *g, InputId id)
{
    for (int i = 0; i < g->ninputs; i++)
        if (value_input(g->inputs[i]) == &input_info[id])
            return g->inputs[i];
    return NULL;
}

bool
graph_has_runs(const Graph *g)
{
    return !g->entry || g->entry->tokens != 1;
}
