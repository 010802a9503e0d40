/* passes/layout.c -- weights are packed for the kernels that read them.
 *
 * Requires: choose_matmul has marked every linear.
 * Ensures: an emitted linear, every one over whole numbers, and one whose rows have experts reads
 *   pack(W) {panel=NR} and says out=O; so do its scales; a conv1d reads its weight as [K,C];
 *   a `keep` that attention reads says layout= and, where every reader has a window, window=.
 * Does not change: weights of blas linears, of embeddings and of norms; numbers.
 *
 * Algorithm: a weight that is multiplied as sums of two bf16 is packed so. The panel comes from the
 * table panel.def: of the machine's candidates, those of its matrix unit or of its vectors,
 * whichever is predicted to be faster (panel_unit), the one with the least padded columns over
 * measured rate. Only the weight's shape and type and the machine enter, so that prefill and decode
 * choose the same panel and share the packed weight. An f32 product of a weight stored as bf16
 * widens it first: bf16 would be packed in pairs. A weight that several linears read is packed
 * once.
 *
 *   y: f32[T,1160] = linear(x, W) {matmul=emitted}
 * becomes
 *   t1: f32[19,256,64] = pack(W) {panel=64}
 *   y: f32[T,1160] = linear(x, t1) {out=1160, matmul=emitted}
 */
#include <string.h>

#include "passes/internal.h"

typedef struct {
    Graph *g;
    PassCtx *cx;
    Value **made; /* by value id: what a weight became; NULL: nothing yet */
    int values;
    bool changed;
} Layout;

/* Attributes of the linear that say which rows of the weight are packed, and in which groups. Whole
 * numbers are of the rows that were asked for; `first` is then that of the bias. */
static const AttrId layout_copied[] = {ATTR_first, ATTR_rows, ATTR_group};

static Value *
layout_panels(Layout *l, const Node *linear, Value *v, int64_t width)
{
    AttrList attrs = {0};
    for (size_t i = 0; i < COUNT_OF(layout_copied); i++) {
        const Attr *attr = attrs_find(&linear->attrs, layout_copied[i]);
        const bool scales = dtype_info[v->type.dtype].is_float && layout_copied[i] == ATTR_group;
        const bool picked = node_operand(linear, 'F') && layout_copied[i] != ATTR_group;
        if (attr && !scales && !picked)
            attrs_set(l->g->arena, &attrs, *attr);
    }
    attrs_set(l->g->arena, &attrs, attr_int(ATTR_panel, width));
    if (node_in_triples(linear))
        attrs_set(l->g->arena, &attrs, *attrs_find(&linear->attrs, ATTR_dot));
    return graph_build(l->g, (Node *)linear, OP_pack, 1, &v, &attrs, NULL, linear->loc);
}

/* Columns of a panel for a weight that the linear n reads, packed as dtype. */
static int64_t
layout_width(Layout *l, const Node *n, Dtype dtype)
{
    const Machine *m = l->cx->machine;
    const PanelWeight weight = panel_weight(n, dtype);
    const Panel panel = panel_for(m, &weight);
    const int64_t width = panel.vectors * machine_lanes(m), columns = weight.columns;
    StrBuf why = {0};
    panel_print(&why, m, &weight);
    pass_explain(l->cx,
                 "weight of %lld columns, %s: panels of %lld, %.1f%% padding, %lld rows a tile "
                 "(%s)",
                 (long long)columns, dtype_info[dtype].name, (long long)width,
                 100.0 * (double)(round_up(columns, width) - columns) / (double)columns,
                 (long long)panel.rows, sb_text(&why));
    sb_free(&why);
    return width;
}

/* The earlier layout of a weight, remembered for the readers to come. */
static Value *
layout_again(Layout *l, const Value *weight, Value *made)
{
    if (weight->id < l->values)
        l->made[weight->id] = made;
    return made;
}

static Value *
layout_known(const Layout *l, const Value *weight, Dtype dtype)
{
    Value *made = weight->id < l->values ? l->made[weight->id] : NULL;
    return made && made->type.dtype == dtype ? made : NULL;
}

/* A weight is packed in the type of x, but f16 weights stay as they are stored. */
static void
layout_linear(Layout *l, Node *n)
{
    Value *weight = node_weight(n);
    const Dtype real = node_operand(n, 'x')->type.dtype;
    const Dtype dtype = node_in_triples(n) ? DTYPE_bf16 : real;
    const int64_t columns = type_width(&n->out[0]->type);
    const bool picked = attrs_find(&n->attrs, ATTR_first) || attrs_find(&n->attrs, ATTR_rows);
    Value *packed = picked ? NULL : layout_known(l, weight, dtype);
    if (packed && node_in_triples(n) != node_in_triples(packed->def))
        packed = NULL;
    if (!packed) {
        const bool halves = weight->type.dtype == DTYPE_f16 && l->cx->format == FORMAT_f16;
        Value *typed = halves ? weight : value_as(l->g, n, weight, real);
        packed = layout_panels(l, n, typed,
                               layout_width(l, n, dtype != real ? dtype : typed->type.dtype));
    }
    if (!picked)
        layout_again(l, weight, packed);
    graph_set_attr(l->g, n, attr_int(ATTR_out, columns));
    graph_set_operand(l->g, n, op_slot(n->op, 'W'), packed);
    l->changed = true;
}

/* The weight, its scales and its minima; the op checks them together, so all are made before one is
 * set. */
static void
layout_integers(Layout *l, Node *n)
{
    static const char letters[] = "WFM";
    const Dtype dtype = node_weight(n)->type.dtype == DTYPE_u4 ? DTYPE_u4x2 : DTYPE_u8;
    const int64_t columns = type_width(&n->out[0]->type);
    const int64_t width = layout_width(l, n, dtype);
    Value *packed[COUNT_OF(letters)] = {0};
    for (int i = 0; letters[i]; i++) {
        Value *plain = node_operand(n, letters[i]);
        if (!plain)
            continue;
        packed[i] = layout_known(l, plain, i ? plain->type.dtype : dtype);
        if (!packed[i])
            packed[i] = layout_again(l, plain, layout_panels(l, n, plain, width));
    }
    graph_set_attr(l->g, n, attr_int(ATTR_out, columns));
    for (int i = 0; letters[i]; i++)
        if (packed[i])
            graph_set_operand(l->g, n, op_slot(n->op, letters[i]), packed[i]);
    l->changed = true;
}

static void
layout_conv(Layout *l, Node *n)
{
    Value *weight = node_operand(n, 'W');
    Value *turned = layout_known(l, weight, DTYPE_f32);
    if (!turned)
        turned = layout_again(l, weight,
                              graph_build(l->g, n, OP_transpose, 1, &weight, NULL, NULL, n->loc));
    graph_set_operand(l->g, n, op_slot(n->op, 'W'), turned);
    l->changed = true;
}

/* What attention keeps lies as it reads it; rows stay that any of its readers looks at. */
static void
layout_kept(Layout *l, const Node *reader, int slot, const char *layout)
{
    Node *keep = reader->in[slot]->def;
    const int64_t window = node_int(reader, ATTR_window, 0);
    const Attr *before = attrs_find(&keep->attrs, ATTR_layout);
    const int64_t others = node_int(keep, ATTR_window, 0);
    const bool all = window == 0 || (before && others == 0);
    if (before && (all ? others == 0 : others >= window))
        return;
    if (!before) {
        graph_set_attr(l->g, keep, attr_word(ATTR_layout, layout));
        const int64_t values = node_value_dim(reader), keys = node_int(reader, ATTR_head_dim, 1);
        graph_set_attr(l->g, keep, attr_int(ATTR_head_dim, slot == 1 ? keys : values));
    }
    if (all)
        attrs_remove(&keep->attrs, ATTR_window);
    else
        graph_set_attr(l->g, keep, attr_int(ATTR_window, window));
    l->changed = true;
}

/* A GPU reads weights as they lie, in the type of what they multiply. */
static void
layout_plain(Layout *l, Node *n)
{
    Value *weight = node_weight(n);
    Value *typed = value_as(l->g, n, weight, node_operand(n, 'x')->type.dtype);
    if (typed == weight)
        return;
    graph_set_operand(l->g, n, op_slot(n->op, 'W'), typed);
    l->changed = true;
}

bool
pass_layout(Graph *g, PassCtx *cx)
{
    const bool gpu = cx->machine->gpu.kind != GPU_none;
    Layout l = {.g = g, .cx = cx, .values = g->nvalue_ids};
    l.made = arena_array(cx->arena, (size_t)g->nvalue_ids, sizeof(Value *));
    for (Node *n = g->first; n; n = n->next) {
        const bool blas = strcmp(node_word(n, ATTR_matmul, ""), "blas") == 0;
        if (node_weight(n) && !blas && !node_is_packed(n))
            (gpu ? layout_plain : node_operand(n, 'F') ? layout_integers : layout_linear)(&l, n);
        else if (node_class(n) == CLASS_CONV && node_operand(n, 'W')->type.shape.rank == 3)
            layout_conv(&l, n);
        for (int i = 1; node_class(n) == CLASS_ATTEND && i <= 2; i++)
            layout_kept(&l, n, i, i == 1 ? "keys" : "values");
    }
    return l.changed;
}
