/* codegen/emit/emit_concat.c -- columns of two values side by side, with what is fused before and
 * after. */
#include "codegen/emit/cg.h"

/* `width` columns of v from column `from` on go to column `to` of the result. */
static void
concat_columns(Cg *c, CgKernel *k, Val row, const Value *v, Val from, int64_t width, Val to)
{
    const Val end = cg_add(c, from, cg_i64(c, width)), shift = cg_sub(c, to, from);
    for (CgColumns col = cg_columns(c, row, from, end, c->lanes); cg_columns_next(c, &col);) {
        CgSite site = col.at;
        cg_unbind_all(k);
        const Val x = cg_eval(c, k, v, &site);
        site.col = cg_add(c, col.at.col, shift);
        cg_unbind_all(k);
        cg_bind(k, k->kernel->anchor->out[0], x);
        cg_store_outputs(c, k, &site);
    }
}

/* Threads divide rows. */
bool
emit_concat(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const int64_t groups = node_int(n, ATTR_groups, 1);
    const int64_t left = cg_width(n->in[0]) / groups, right = cg_width(n->in[1]);
    const Val zero = cg_i64(c, 0);
    (void)diag;
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    CgLoop group = cg_loop(c, "group", zero, cg_i64(c, groups), 1);
    const Val to = cg_mul(c, group.i, cg_i64(c, left + right));
    concat_columns(c, k, row.i, n->in[0], cg_mul(c, group.i, cg_i64(c, left)), left, to);
    concat_columns(c, k, row.i, n->in[1], zero, right, cg_add(c, to, cg_i64(c, left)));
    cg_loop_end(c, &group);
    cg_loop_end(c, &row);
    return true;
}
