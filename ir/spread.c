/* ir/spread.c -- spread: each number of a vector several times, as where a head's number is that of
 * all its channels. Shape and reference. */
#include "ir/ref.h"
#include "ir/shape.h"

bool
shape_spread(const Node *node, ShapeResult *r)
{
    const Type *v = operand(node, 0);
    int64_t width = 0;
    if (!is_float(v) || !is_const(v) || v->shape.rank != 1)
        return unlike(r, node, 0, "[W]", "each of its numbers is repeated");
    if (!size_mul(v->shape.dim[0].n, node_int(node, ATTR_repeat, 1), &width) || width > IR_MAX_DIM)
        return broken(r, -1, "repeat=%lld times %lld numbers are above the largest size, 2^40",
                      (long long)node_int(node, ATTR_repeat, 1), (long long)v->shape.dim[0].n);
    return result(r, type_const(DTYPE_f32, 1, &width));
}

void
ref_spread(RefCall *c)
{
    const double *v = ref_in(c, 0); /* [W] */
    const int64_t repeat = node_int(c->node, ATTR_repeat, 1);
    for (int64_t i = 0; i < c->out[0].count; i++)
        c->out[0].at[i] = v[i / repeat];
}
