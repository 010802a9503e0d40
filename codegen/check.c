/* codegen/check.c -- what no code can be made of, said before any is made.
 *
 * The verifier of ir/ has seen that the graph is well formed; these are limits of the emitters.
 * Passes keep to them; a graph written by hand may not. */
#include <string.h>

#include "codegen/module.h"

/* Only values of constant row width can be addressed; those of the S group that have chunks live in
 * its kernel's scratch. */
static bool
addressable(const Shape *s)
{
    for (int i = 0; i < s->rank; i++) {
        const DimKind kind = s->dim[i].kind;
        const bool rows =
            (dim_is_rows(s->dim[i]) || kind == DIM_KEPT) && (s->rank > 1 || kind == DIM_CHOICES);
        if (kind != DIM_CONST && !(rows && i == 0))
            return false;
    }
    return true;
}

/* Kernels number rows in 32 bits. */
static bool
countable(const Graph *g, const Value *v, Diag *diag)
{
    if (dim_count(v->type.shape.dim[0], g->block, g->rows) <= INT32_MAX)
        return true;
    return diag_error(diag, v->loc, "`%s` has too many rows for %lld tokens: make block smaller",
                      v->name, (long long)g->block);
}

bool
cg_check_graph(const Graph *g, const bool *escapes, Diag *diag)
{
    bool ok = true;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++) {
            const Value *v = n->out[i];
            if (type_choices(&v->type) > 1)
                ok = countable(g, v, diag) && ok;
            if (!escapes[v->id] || addressable(&v->type.shape))
                continue;
            diag_error(diag, v->loc,
                       "`%s` is read outside kernel %s, but its shape depends on the "
                       "chunks of one call: it cannot leave the kernel that makes it",
                       v->name, n->kernel ? n->kernel->name : "");
            ok = false;
        }
    return ok;
}

/* Evaluation recurses along a kernel's nodes; fusion makes kernels of a dozen. */
enum { MOST_NODES = 1000 };

/* Emitters store what the anchor makes and what has its shape; layout ops store what they read as
 * well (cg_store_map). Of anchors that were joined each stores its own. */
static bool
is_stored(const CgKernel *k, const Value *v)
{
    const Node *anchor = k->kernel->anchor;
    if (!anchor || v->def == anchor || node_in_epilogue(v->def))
        return true;
    if (op_has_flag(anchor->op, 'J') && op_info[v->def->op].cls == op_info[anchor->op].cls)
        return true;
    if (op_info[anchor->op].cls == CLASS_LAYOUT)
        return shape_equal(&v->type.shape, &anchor->in[0]->type.shape);
    const Node *after = kernel_epilogue(k->graph, k->kernel);
    const bool of_it = after && shape_equal(&v->type.shape, &after->out[0]->type.shape);
    return op_info[v->def->op].cls == CLASS_POINTWISE && (of_it || cg_in_domain(k, v));
}

/* Whether n, in the epilogue, reads a projection that makes all rows of its columns one after the
 * other; a GPU's emitter knows what can follow it (codegen/ptx/tile_conv.c). */
static bool
can_follow(const Cg *c, const CgKernel *k, const Node *n)
{
    if (c->on_gpu && !kernel_is_init(k->graph, k->kernel))
        return true;
    const Attr *part = attrs_find(&k->kernel->attrs, ATTR_part);
    if (node_operand(n, 'x') != k->kernel->anchor->out[0])
        return false;
    return kernel_on_unit(k->kernel) && (!part || strcmp(part->word, "cols") == 0);
}

bool
cg_check_kernel(const Cg *c, const CgKernel *k, Diag *diag)
{
    int count = 0;
    bool ok = true;
    for (const Node *n = k->first; n != k->last->next; n = n->next) {
        if (n->kernel != k->kernel)
            continue;
        count++;
        if (node_in_epilogue(n) && !can_follow(c, k, n)) {
            diag_error(diag, n->loc,
                       "kernel %s: `%s` runs in an epilogue on a matrix unit alone, unit=matrix, "
                       "where threads divide columns, part=cols",
                       k->kernel->name, op_info[n->op].name);
            ok = false;
        }
        if (op_info[n->op].cls != CLASS_POINTWISE || cg_has_formula(n->op))
            continue;
        diag_error(diag, n->loc, "%s has no formula: no code can be made of it",
                   op_info[n->op].name);
        ok = false;
    }
    if (count > MOST_NODES) {
        diag_error(diag, k->first->loc, "kernel %s has %d nodes; code is made for at most %d",
                   k->kernel->name, count, MOST_NODES);
        ok = false;
    }
    if (!ok)
        return false;
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (!o->is_output || is_stored(k, o->value))
            continue;
        diag_error(
            diag, o->value->loc,
            "`%s` is read outside kernel %s, but that kernel stores only values of the shape "
            "of `%s`",
            o->value->name, k->kernel->name, k->domain->name);
        ok = false;
    }
    return ok;
}
