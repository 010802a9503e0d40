/* ir/concat.c -- concat: columns of two values side by side; with groups, those of each group of
 * the first and after each all of the second, which heads may share. Shape and reference. */
#include <string.h>

#include "ir/ref.h"
#include "ir/shape.h"

bool
shape_concat(const Node *node, ShapeResult *r)
{
    const Type *x = operand(node, 0), *y = operand(node, 1);
    int64_t width = 0;
    for (int i = 0; i < 2; i++)
        if (!is_float(operand(node, i)) || operand(node, i)->shape.rank != 2)
            return unlike(r, node, i, "[T,W]", "columns are put side by side");
    if (!dim_equal(x->shape.dim[0], y->shape.dim[0]))
        return broken(r, 1, "the rows of %s are not those of %s", type_text(r, y), type_text(r, x));
    const int64_t groups = node_int(node, ATTR_groups, 1);
    if (type_width(x) % groups != 0)
        return broken(r, 0, "%lld columns do not divide into groups=%lld", (long long)type_width(x),
                      (long long)groups);
    if (!size_mul(type_width(y), groups, &width) || !size_add(type_width(x), width, &width))
        return broken(r, -1, "there are too many columns");
    Type made = *x;
    made.dtype = DTYPE_f32;
    made.shape.dim[1] = const_dim(width);
    return result(r, made);
}

void
ref_concat(RefCall *c)
{
    const double *x = ref_in(c, 0), *y = ref_in(c, 1); /* [T,G,W1] [T,W2] */
    const int64_t rows = ref_height(&c->in[0]), groups = node_int(c->node, ATTR_groups, 1);
    const int64_t left = ref_width(&c->in[0]) / groups, right = ref_width(&c->in[1]);
    double *out = c->out[0].at;
    for (int64_t i = 0; i < rows * groups; i++, out += left + right) {
        memcpy(out, x + i * left, (size_t)left * sizeof *out);
        memcpy(out + left, y + i / groups * right, (size_t)right * sizeof *out);
    }
}
