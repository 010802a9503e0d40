/* ir/concat.c -- concat: columns of two values side by side. Shape and reference. */
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
    if (!size_add(type_width(x), type_width(y), &width))
        return broken(r, -1, "there are too many columns");
    Type made = *x;
    made.dtype = DTYPE_f32;
    made.shape.dim[1] = const_dim(width);
    return result(r, made);
}

void
ref_concat(RefCall *c)
{
    const double *x = ref_in(c, 0), *y = ref_in(c, 1); /* [T,W1] [T,W2] */
    const int64_t rows = ref_height(&c->in[0]);
    const int64_t left = ref_width(&c->in[0]), right = ref_width(&c->in[1]);
    double *out = c->out[0].at;
    for (int64_t t = 0; t < rows; t++, out += left + right) {
        memcpy(out, x + t * left, (size_t)left * sizeof *out);
        memcpy(out + left, y + t * right, (size_t)right * sizeof *out);
    }
}
