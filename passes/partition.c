/* passes/partition.c -- register tiles, what threads divide, and into how many parts.
 *
 * Requires: kernels.
 * Ensures: every kernel says part=; a kernel over a packed weight says tile=, the token rows it
 *   keeps in registers beside one panel, and unit=matrix where the machine's matrix unit multiplies
 *   it; so does a chunked SSD whose products are of bf16 where the unit has them; in a graph of
 * long passes a kernel says pieces=, the parts for each thread, where more than one pays. Does not
 * change: nodes, their order, their kernels; a tile, part or pieces that the text gave.
 *
 * Algorithm: by the class of the anchor, so that no thread needs what another makes in the same
 * kernel:
 *
 *   the SSD in any form, heads: every head has a state of its own, or keys and values
 *   attention
 *   projections          grid: panels of the packed weight and rows, or experts, so that
 *                        threads have alike much to do; cols where another library multiplies,
 *                        or a convolution runs in the epilogue
 *   convolutions, and    cols: every channel has a state of its own
 *   scans without heads
 *   all others, params   rows
 *
 * The tile follows from the panel and the registers (panel.def). Threads do not run alike fast:
 * cores are shared with other programs, and heads and panels do not divide evenly. So in a pass
 * long enough for that to add up, a kernel has several parts for each thread, and a thread that has
 * run its own steals others' (pieces.def). Another library's product is cut no further: it has
 * blocks of its own.
 *
 *   kernel in_proj {
 * becomes
 *   kernel in_proj {tile=6, part=grid, pieces=16} {
 */
#include <string.h>

#include "passes/internal.h"

static const char *
partition_part(const Graph *g, const Kernel *k)
{
    const Node *anchor = k->anchor;
    if (!anchor)
        return "rows";
    if (node_flag(anchor, 'S'))
        return "heads";
    switch (node_class(anchor)) {
    case CLASS_RECURRENT:
        return attrs_find(&anchor->attrs, ATTR_heads) ? "heads" : "cols";
    case CLASS_ATTEND:
        return "heads";
    case CLASS_CONTRACT:
        return node_is_packed(anchor) && !kernel_epilogue(g, k) ? "grid" : "cols";
    case CLASS_CONV:
        return "cols";
    case CLASS_POINTWISE:
    case CLASS_ROWWISE:
        return attrs_find(&anchor->attrs, ATTR_heads) ? "heads" : "rows";
    case CLASS_GATHER:
    case CLASS_VIEW:
    case CLASS_LAYOUT:
        return "rows";
    }
    die("class %d of %s", (int)node_class(anchor), op_info[anchor->op].name);
}

static const struct {
    const char *part;
    int64_t pieces;
} partition_parts[] = {
#define PIECES(part, pieces) {part, pieces},
#include "passes/pieces.def"
};

/* 1 where the text need not say. */
static int64_t
partition_pieces(const Graph *g, const Kernel *k)
{
    const Attr *part = attrs_find(&k->attrs, ATTR_part);
    Node *first, *last;
    kernel_range(g, k, &first, &last);
    const bool library = k->anchor && node_weight(k->anchor) && !node_is_packed(k->anchor);
    if (library || first->out[0]->is_param || (g->block > 0 && g->block < ABI_LONG_PASS))
        return 1;
    for (size_t i = 0; i < COUNT_OF(partition_parts); i++)
        if (strcmp(part->word, partition_parts[i].part) == 0)
            return partition_parts[i].pieces;
    return 1;
}

/* Whether the matrix unit, if there is one, multiplies the chunks of an SSD: all its products say
 * dot=bf16. */
static bool
partition_chunks(bool has, const Graph *g, const Kernel *k)
{
    Node *first, *last;
    kernel_range(g, k, &first, &last);
    bool some = false, all = has;
    for (const Node *n = first; n; n = n == last ? NULL : n->next) {
        bool required = false;
        if (n->kernel != k || !op_takes_attr(n->op, ATTR_dot, &required))
            continue;
        some = true;
        all = all && strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0;
    }
    return some && all;
}

/* A GPU's projection says by which product, unless the text does. */
static bool
partition_product(PassCtx *cx, const Graph *g, Kernel *k)
{
    const Node *n = k->anchor;
    const bool floats = n && node_class(n) == CLASS_CONTRACT && node_weight(n) &&
                        dtype_info[node_weight(n)->type.dtype].is_float && !node_is_packed(n);
    if (!floats || attrs_find(&k->attrs, ATTR_product))
        return false;
    const Value *x = node_operand(n, 'x'), *y = n->out[0];
    ProductChoice choice = product_of(cx, g, n, kernel_epilogue(g, k));
    if (!choice.product) /* a text has put it there: codegen says what is wrong */
        choice = product_of(cx, g, n, NULL);
    attrs_set(g->arena, &k->attrs, attr_word(ATTR_product, choice.product->name));
    if (choice.small)
        attrs_set(g->arena, &k->attrs, attr_word(ATTR_small, choice.small->name));
    pass_explain(cx, "linear %lld -> %lld, %s: %s%s%s (%s)", (long long)type_width(&x->type),
                 (long long)type_width(&y->type), dtype_info[x->type.dtype].name,
                 choice.product->name, choice.small ? ", of few rows " : "",
                 choice.small ? choice.small->name : "",
                 choice.measured ? "measured by ssmc tune" : "table products.def");
    return true;
}

/* A GPU that has products of four warps takes them for the chunks of an SSD, if its state has room
 * in their registers. */
static bool
partition_groups(const PassCtx *cx, const Graph *g, Kernel *k)
{
    if (!k->anchor || !node_flag(k->anchor, 'S') || attrs_find(&k->attrs, ATTR_unit) ||
        !partition_chunks(true, g, k) || !ssd_fits_groups(cx->machine, k->anchor))
        return false;
    attrs_set(g->arena, &k->attrs, attr_word(ATTR_unit, "matrix"));
    return true;
}

/* Whether the matrix unit multiplies rows that are kept as bf16: those of blocks of tokens; of
 * single tokens where the queries that read the same keys fill a tile: for fewer vectors are fast
 * enough (bench/NOTES.md, "Decode of attention"). */
static bool
partition_fills_unit(const Machine *m, const Graph *g, const Node *n)
{
    const int64_t together = node_int(n, ATTR_heads, 1) / node_int(n, ATTR_groups, 1);
    const bool blocks = n->op == OP_attention && g->block >= ABI_LONG_PASS;
    return m->matrix.bf16 && (blocks || together >= m->matrix.rows) &&
           node_int(n, ATTR_head_dim, 1) <= TILE_MOST_CHANNELS &&
           node_value_dim(n) <= TILE_MOST_CHANNELS;
}

/* What multiplies keys and values that are kept as bf16: the matrix unit, dots of pairs, or
 * multiply-adds of f32 where a dot takes longer than the two that do the same. */
static bool
partition_attention(Graph *g, const PassCtx *cx, Kernel *k)
{
    const double *step = cx->machine->costs.step;
    if (k->anchor->in[1]->type.dtype != DTYPE_bf16 || attrs_find(&k->attrs, ATTR_unit) ||
        attrs_find(&k->attrs, ATTR_dot))
        return false;
    if (partition_fills_unit(cx->machine, g, k->anchor))
        attrs_set(g->arena, &k->attrs, attr_word(ATTR_unit, "matrix"));
    else if (step[COST_linear_bf16] > 2 * step[COST_linear_f32])
        attrs_set(g->arena, &k->attrs, attr_word(ATTR_dot, "f32"));
    else
        return false;
    return true;
}

bool
pass_partition(Graph *g, PassCtx *cx)
{
    bool changed = false;
    for (int i = 0; i < g->nkernels; i++) {
        Kernel *k = g->kernels[i];
        if (cx->machine->gpu.kind != GPU_none && !kernel_is_init(g, k)) {
            changed = partition_product(cx, g, k) || changed;
            changed = partition_groups(cx, g, k) || changed;
            continue;
        }
        if (k->anchor && node_is_packed(k->anchor) && !attrs_find(&k->attrs, ATTR_tile)) {
            const Type w = node_matrix(k->anchor, node_weight(k->anchor));
            const int64_t vectors = w.shape.dim[2].n / machine_lanes(cx->machine);
            const PanelWeight weight = panel_weight(k->anchor, w.dtype);
            const int64_t rows = panel_rows(cx->machine, &weight, vectors);
            if (panel_unit(cx->machine, &weight))
                attrs_set(g->arena, &k->attrs, attr_word(ATTR_unit, "matrix"));
            attrs_set(g->arena, &k->attrs, attr_int(ATTR_tile, rows));
            changed = true;
        }
        if (k->anchor && node_by_chunks(k->anchor) && !attrs_find(&k->attrs, ATTR_unit) &&
            partition_chunks(cx->machine->matrix.bf16, g, k)) {
            attrs_set(g->arena, &k->attrs, attr_word(ATTR_unit, "matrix"));
            changed = true;
        }
        if (k->anchor && node_class(k->anchor) == CLASS_ATTEND)
            changed |= partition_attention(g, cx, k);
        if (!attrs_find(&k->attrs, ATTR_part)) {
            attrs_set(g->arena, &k->attrs, attr_word(ATTR_part, partition_part(g, k)));
            changed = true;
        }
        const int64_t pieces = partition_pieces(g, k);
        if (pieces > 1 && !attrs_find(&k->attrs, ATTR_pieces)) {
            attrs_set(g->arena, &k->attrs, attr_int(ATTR_pieces, pieces));
            changed = true;
        }
    }
    return changed;
}
