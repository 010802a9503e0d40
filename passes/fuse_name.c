/* passes/fuse_name.c -- what kernels are called, and what `ssmc explain` says of them. */
#include <string.h>

#include "passes/internal.h"

/* The stem of the weight that a node reads, or its op's name. */
static const char *
name_of_weight(Graph *g, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *weight = n->in[i] ? param_weight(n->in[i]) : NULL;
        if (weight)
            return name_stem(g->arena, weight->name);
    }
    return op_info[n->op].name;
}

/* Several layers' values are x, x.2, x.3: the number says nothing about the kernel. */
static const char *
name_of_value(Graph *g, const Node *n)
{
    const char *name = n->out[0]->name;
    if (name_is_made_up(name))
        return op_info[n->op].name;
    size_t len = strlen(name);
    while (len > 0 && strchr("0123456789.", name[len - 1]))
        len--;
    return len ? name_stem(g->arena, arena_strndup(g->arena, name, len)) : "map";
}

/* nodes: those of the kernel; what runs in the epilogue is named too. */
static const char *
name_of_projection(Graph *g, Node *const *nodes, int count, const Node *n)
{
    const Shape *shape = &n->out[0]->type.shape;
    if (shape->dim[0].kind == DIM_ROWS)
        return "lm_head";
    for (int i = 0; i < count; i++)
        if (node_flag(nodes[i], 'E'))
            return arena_printf(g->arena, "%s_%s", name_of_weight(g, n),
                                op_info[nodes[i]->op].name);
    return attrs_find(&n->attrs, ATTR_first) ? name_of_value(g, n) : name_of_weight(g, n);
}

/* A norm, perhaps quantised, with or without something before it. */
static const char *
name_of_norm(Node *const *nodes, const Node *anchor)
{
    const Node *norm = nodes[0];
    for (int i = 0; nodes[i] != anchor && node_class(norm) != CLASS_ROWWISE; i++)
        norm = nodes[i];
    if (node_class(norm) != CLASS_ROWWISE)
        norm = anchor;
    if (node_flag(norm, 'J'))
        return op_info[norm->op].name;
    return nodes[0] == norm ? "norm" : "gate_norm";
}

const char *
fuse_name(Graph *g, Node *const *nodes, int count, const Node *anchor)
{
    const Node *last = nodes[count - 1];
    if (last->out[0]->is_param)
        return arena_printf(g->arena, "%s_%s", anchor ? op_info[anchor->op].name : "init",
                            name_of_weight(g, last));
    if (!anchor)
        return name_of_value(g, last);
    const Op op = op_info[anchor->op].kernel;
    switch (op_info[op].cls) {
    case CLASS_CONTRACT:
        return name_of_projection(g, nodes, count, anchor);
    case CLASS_CONV:
        return name_of_weight(g, anchor);
    case CLASS_ROWWISE:
        return name_of_norm(nodes, anchor);
    case CLASS_RECURRENT:
    case CLASS_GATHER:
    case CLASS_POINTWISE:
    case CLASS_VIEW:
    case CLASS_LAYOUT:
        return op_info[op].name;
    case CLASS_ATTEND: /* and what it is lowered to */
        return op_info[anchor->op].name;
    }
    die("class %d of %s", (int)op_info[op].cls, op_info[op].name);
}

void
fuse_explain(PassCtx *cx, const char *name, Node *const *nodes, int count)
{
    if (!cx->explain)
        return;
    StrBuf ops = {0};
    for (int i = 0; i < count; i++)
        sb_printf(&ops, " %s", op_info[nodes[i]->op].name);
    pass_explain(cx, "kernel %s:%s", name, sb_text(&ops));
    sb_free(&ops);
}
