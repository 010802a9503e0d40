/* ir/likeliest.c -- likeliest, the candidates of a draw: its shape and its reference. */
#include <math.h>

#include "ir/ref.h"
#include "ir/shape.h"

bool
shape_likeliest(const Node *node, ShapeResult *r)
{
    enum { EXACT = 1 << 24 }; /* columns that are f32 */
    if (!want_rows(r, node, 0))
        return false;
    const Type *x = operand(node, 0);
    const int64_t width = type_width(x), top = node_int(node, ATTR_top, 1);
    if (x->dtype != DTYPE_f32)
        return unlike(r, node, 0, "f32", "it gives numbers of x as they are");
    if (top > width)
        return broken(r, -1, "top=%lld numbers of rows of %lld", (long long)top, (long long)width);
    if (width > EXACT)
        return broken(r, 0, "rows of %lld numbers, expected %d or fewer: columns are given as f32",
                      (long long)width, EXACT);
    r->out[0] = type_rows_of(DTYPE_f32, x->shape.dim[0], 2 * top);
    r->out[1] = type_rows_of(DTYPE_i32, x->shape.dim[0], top);
    r->nout = 2;
    return true;
}

/* a stands before b, which has a greater column. */
static bool
is_before(double a, double b)
{
    return isnan(b) || a >= b;
}

void
ref_likeliest(RefCall *c)
{
    const double *x = ref_in(c, 0); /* [R,V] */
    const int64_t width = ref_width(&c->in[0]), top = node_int(c->node, ATTR_top, 1);
    double *y = c->out[0].at, *columns = c->out[1].at; /* [R,2*top], [R,top] */
    for (int64_t r = 0; r < ref_height(&c->in[0]); r++, x += width, y += 2 * top) {
        int64_t have = 0;
        for (int64_t v = 0; v < width; v++) {
            int64_t at = have;
            while (at > 0 && !is_before(y[at - 1], x[v]))
                at--;
            if (at == top)
                continue;
            have += have < top;
            for (int64_t i = have - 1; i > at; i--) {
                y[i] = y[i - 1];
                y[top + i] = y[top + i - 1];
            }
            y[at] = x[v];
            y[top + at] = (double)v;
        }
        for (int64_t i = 0; i < top; i++)
            *columns++ = y[top + i];
    }
}
