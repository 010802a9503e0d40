/* codegen/emit/emit_concat.c -- columns of two values side by side, with what is fused before and
 * after. */
#include "codegen/emit/cg.h"

/* The columns of v, from column `first` of the result on. */
static void
concat_columns(Cg *c, CgKernel *k, Val row, const Value *v, int64_t first)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, cg_width(v));
    for (CgColumns col = cg_columns(c, row, zero, end, c->lanes); cg_columns_next(c, &col);) {
        CgSite site = col.at;
        cg_unbind_all(k);
        const Val x = cg_eval(c, k, v, &site);
        site.col = cg_add(c, col.at.col, cg_i64(c, first));
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
    (void)diag;
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    concat_columns(c, k, row.i, n->in[0], 0);
    concat_columns(c, k, row.i, n->in[1], cg_width(n->in[0]));
    cg_loop_end(c, &row);
    return true;
}
