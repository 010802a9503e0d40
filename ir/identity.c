/* ir/identity.c -- which model a graph computes: a number that is equal for the same model however
 * it is compiled. Left out is what says where numbers come from (paths, seeds, names and stored
 * types of tensors), how a model is called, which ids end a text, and what compilers choose (form,
 * chunk, matmul, sizes of passes): the weights themselves are the runtime's to tell apart.
 *
 * The number is hash_bytes of the printed graph: 64 bits tell models apart, unless a description
 * was made to collide. A saved state says it beside the 128-bit hash of the weights and is read by
 * names and sizes that are checked, so that two descriptions of one number would give wrong
 * numbers, not wrong accesses. Another hash, or another spelling in the printed text, makes every
 * saved state one of another model: either goes with a new version of the format of states. */
#include "ir/ir.h"

uint64_t
graph_identity(const Graph *from)
{
    static const AttrId chosen[] = {ATTR_form, ATTR_chunk, ATTR_matmul};
    Arena *arena = arena_new();
    StrBuf text = {0};
    Graph *g = graph_copy(arena, from);
    g->name = "";
    g->weights_path = g->tokenizer_path = NULL;
    g->neos = 0;
    g->seed = g->block = g->rows = 0;
    for (int i = 0; i < g->nweights; i++) {
        Value *w = g->weights[i];
        w->tensor = w->init = NULL;
        w->type.dtype = DTYPE_f32;
        w->blocks = BLOCKS_none;
    }
    for (Node *n = g->first; n; n = n->next)
        for (size_t i = 0; i < COUNT_OF(chosen); i++)
            attrs_remove(&n->attrs, chosen[i]);
    graph_print(&text, g);
    const uint64_t identity = hash_bytes(text.text, text.len, 0);
    sb_free(&text);
    arena_free(arena);
    return identity;
}
