/* ir/regroup.c -- regroup: rows of a weight in another order, each kind of them times a factor.
 *
 * A checkpoint may have the rows of several projections group by group, as in query, key and value
 * of the first head, then of the second. A block that splits the columns of such a projection wants
 * all of a kind together. With one group the order stays, and factors scale ranges of rows. Within
 * each head, groups of sizes=[1, 1] take apart what lies in neighbouring pairs. */
#include <string.h>

#include "ir/ref.h"
#include "ir/shape.h"

/* Sizes are of the rows of a kind in one group; false: they do not fit together. */
static bool
rows_of_group(ShapeResult *r, const Attr *sizes, int64_t *sum)
{
    *sum = 0;
    for (int i = 0; i < sizes->count; i++)
        if (sizes->ints[i] < 1 || !size_add(*sum, sizes->ints[i], sum))
            return broken(r, -1, "sizes are whole numbers from 1");
    return true;
}

bool
shape_regroup(const Node *node, ShapeResult *r)
{
    const Type *w = operand(node, 0);
    const Attr *sizes = attrs_find(&node->attrs, ATTR_sizes);
    const Attr *factors = attrs_find(&node->attrs, ATTR_factors);
    const Attr *repeat = attrs_find(&node->attrs, ATTR_repeat);
    const int64_t groups = node_int(node, ATTR_groups, 1);
    int64_t sum = 0, rows = 0, dims[IR_MAX_RANK] = {0};
    if (!is_float(w) || !is_const(w) || w->shape.rank < 1)
        return unlike(r, node, 0, "[O,K] or [O]", "its rows are put in another order");
    if (!rows_of_group(r, sizes, &sum))
        return false;
    if (factors && factors->count != sizes->count)
        return broken(r, -1, "%d factors for %d sizes", factors->count, sizes->count);
    if (groups < 1 || !size_mul(groups, sum, &rows) || (!repeat && rows != w->shape.dim[0].n))
        return broken(r, 0, "%lld rows are not groups=%lld of %lld rows",
                      (long long)w->shape.dim[0].n, (long long)groups, (long long)sum);
    if (repeat && (repeat->i < 1 || !size_mul(rows, repeat->i, &rows) || rows > w->shape.dim[0].n))
        return broken(r, 0, "%lld rows do not have repeat=%lld times groups=%lld of %lld rows",
                      (long long)w->shape.dim[0].n, (long long)repeat->i, (long long)groups,
                      (long long)sum);
    for (int i = 0; i < w->shape.rank; i++)
        dims[i] = w->shape.dim[i].n;
    return result(r, type_const(DTYPE_f32, w->shape.rank, dims));
}

void
ref_regroup(RefCall *c)
{
    const Attr *sizes = attrs_find(&c->node->attrs, ATTR_sizes);
    const Attr *factors = attrs_find(&c->node->attrs, ATTR_factors);
    const int64_t groups = node_int(c->node, ATTR_groups, 1);
    const int64_t repeat = node_int(c->node, ATTR_repeat, 1);
    const int64_t rows = c->out[0].dim[0], width = c->out[0].count / rows;
    const double *w = ref_in(c, 0); /* [O,K] or [O] */
    double *y = c->out[0].at;
    int64_t sum = 0;
    for (int i = 0; i < sizes->count; i++)
        sum += sizes->ints[i];
    for (int64_t range = 0; range < repeat; range++, w += groups * sum * width) {
        int64_t offset = 0;
        for (int i = 0; i < sizes->count; offset += sizes->ints[i++])
            for (int64_t g = 0; g < groups; g++)
                for (int64_t k = 0; k < sizes->ints[i] * width; k++)
                    *y++ = w[(g * sum + offset) * width + k] * (factors ? factors->nums[i] : 1);
    }
    memcpy(y, w, (size_t)((rows - repeat * groups * sum) * width) * sizeof *y);
}
