/* passes/candidates.c -- a GPU gives the likeliest ids where they are asked for in place of logits.
 *
 * Requires: nothing.
 * Ensures: on a GPU, the logits of a graph have more outputs beside them: the id that is
 *   likeliest, also as what the next pass may be fed, and the likeliest few. Logits of a large
 * vocabulary take longer to copy than to compute, and a draw from the likeliest needs no others
 * (runtime/draw.c). Does not change: the logits; a graph for a CPU, where a draw reads them where
 * they are; one whose rows of logits are as short as a list of candidates, or longer than blocks of
 * threads can choose of; one that has candidates already.
 *
 *   output logits
 * becomes
 *   likeliest.1: f32[R,2], likeliest.1.ids: i32[R,1] = likeliest(logits) {top=1}
 *   likeliest.64: f32[R,128], likeliest.64.ids: i32[R,64] = likeliest(logits) {top=64}
 *   output logits, likeliest.1, likeliest.1.ids, likeliest.64
 */
#include "passes/internal.h"

/* 64: more than the top-k of anyone who says one. */
enum { CANDIDATES_FEW = 64, CANDIDATES_MOST_WORDS = 1 << 18 };

/* What abi_logits (runtime/abi.h) is; NULL: there are none, or they have candidates. */
static Value *
candidates_logits(const Graph *g)
{
    for (const Node *n = g->first; n; n = n->next)
        if (node_flag(n, 'T'))
            return NULL;
    for (int i = 0; i < g->noutputs; i++)
        if (g->outputs[i]->type.shape.dim[0].kind == DIM_ROWS)
            return g->outputs[i];
    return NULL;
}

bool
pass_candidates(Graph *g, PassCtx *cx)
{
    Value *logits = cx->machine->gpu.kind == GPU_none ? NULL : candidates_logits(g);
    if (!logits)
        return false;
    const int64_t words = type_width(&logits->type), tops[] = {1, CANDIDATES_FEW};
    if (words <= 2 * CANDIDATES_FEW || words > CANDIDATES_MOST_WORDS)
        return false;
    for (size_t i = 0; i < COUNT_OF(tops); i++) {
        AttrList attrs = {0};
        const char *list = arena_printf(g->arena, "likeliest.%lld", (long long)tops[i]);
        const char *const names[] = {list, arena_printf(g->arena, "%s.ids", list)};
        ShapeResult why = {0};
        attrs_set(g->arena, &attrs, attr_int(ATTR_top, tops[i]));
        Node *n = graph_append(g, NULL, OP_likeliest, 1, &logits, &attrs, names, logits->loc, &why);
        if (!n)
            die("candidates: %s", why.why);
        graph_output(g, n->out[0]);
        if (tops[i] == 1)
            graph_output(g, n->out[1]);
    }
    return true;
}
