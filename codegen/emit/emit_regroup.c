/* codegen/emit/emit_regroup.c -- rows of a weight in another order (ir/regroup.c). Run once when
 * weights are loaded. */
#include "codegen/emit/cg.h"

/* One element of a vector, or a row of a matrix. */
static void
regroup_row(Cg *c, CgKernel *k, Val from, Val to, double factor)
{
    const Value *in = k->kernel->anchor->in[0], *made = k->kernel->anchor->out[0];
    const CgOperand *out = cg_operand(k, made);
    const bool vector = in->type.shape.rank == 1;
    const int64_t width = vector ? 1 : cg_width(in);
    const Val first = vector ? from : cg_i64(c, 0);
    const Val end = cg_add(c, first, cg_i64(c, width)), row = vector ? cg_i64(c, 0) : from;
    for (CgColumns col = cg_columns(c, row, first, end, vector ? 1 : c->lanes);
         cg_columns_next(c, &col);) {
        cg_unbind_all(k);
        const Val x = cg_eval(c, k, in, &col.at);
        const Val y = cg_fmul(c, x, cg_like(c, x, factor));
        const Val at = vector ? to : cg_add(c, cg_mul(c, to, cg_i64(c, width)), col.at.col);
        cg_vstore(c, cg_at(c, out->base, out->dtype, at), out->dtype, y, col.at.lanes, col.at.mask);
    }
}

/* Threads divide the rows of each kind, and those that stay. */
bool
emit_regroup(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    const Node *n = k->kernel->anchor;
    const Attr *sizes = attrs_find(&n->attrs, ATTR_sizes);
    const Attr *factors = attrs_find(&n->attrs, ATTR_factors);
    const int64_t groups = node_int(n, ATTR_groups, 1), repeat = node_int(n, ATTR_repeat, 1);
    int64_t sum = 0, offset = 0;
    cg_store_map(c, k, n->in[0]);
    if (!cg_operand(k, n->out[0]))
        return true;
    for (int i = 0; i < sizes->count; i++)
        sum += sizes->ints[i];
    for (int i = 0; i < sizes->count; offset += sizes->ints[i++]) {
        const int64_t size = sizes->ints[i];
        CgLoop row = cg_share_loop(c, k, "row", cg_i64(c, repeat * groups * size), 1);
        const Val group = cg_div(c, row.i, cg_i64(c, size)); /* of all ranges */
        const Val inside = cg_sub(c, row.i, cg_mul(c, group, cg_i64(c, size)));
        const Val range = cg_div(c, group, cg_i64(c, groups));
        const Val others = cg_mul(c, range, cg_i64(c, groups * (sum - size)));
        regroup_row(
            c, k, cg_add(c, cg_mul(c, group, cg_i64(c, sum)), cg_add(c, inside, cg_i64(c, offset))),
            cg_add(c, cg_add(c, row.i, others), cg_i64(c, groups * offset)),
            factors ? factors->nums[i] : 1);
        cg_loop_end(c, &row);
    }
    const int64_t done = repeat * groups * sum, rows = n->in[0]->type.shape.dim[0].n;
    if (done == rows)
        return true;
    CgLoop row = cg_share_loop(c, k, "row", cg_i64(c, rows - done), 1);
    const Val at = cg_add(c, row.i, cg_i64(c, done));
    regroup_row(c, k, at, at, 1);
    cg_loop_end(c, &row);
    return true;
}
