/* codegen/emit/emit_map.c -- kernels of pointwise ops alone: every output at every column of every
 * row.
 */
#include "codegen/emit/cg.h"

static bool
one_shape(const CgKernel *k, Diag *diag)
{
    for (int i = 0; i < k->noperands; i++) {
        const Value *v = k->operands[i].value;
        if (!k->operands[i].is_output || shape_equal(&v->type.shape, &k->domain->type.shape))
            continue;
        diag_error(diag, v->loc,
                   "kernel %s makes `%s` and `%s`, which differ in shape: no pointwise kernel can",
                   k->kernel->name, v->name, k->domain->name);
        return false;
    }
    return true;
}

/* Every output at columns [from, to) of a row. */
static void
map_columns(Cg *c, CgKernel *k, Val row, Val from, Val to)
{
    const int lanes = cg_width(k->domain) == 1 ? 1 : c->lanes;
    for (CgColumns s = cg_columns(c, row, from, to, lanes); cg_columns_next(c, &s);) {
        cg_unbind_all(k);
        cg_store_outputs(c, k, &s.at);
    }
}

/* Threads divide rows; the columns where there is one row only. */
static void
map_domain(Cg *c, CgKernel *k)
{
    const Val width = cg_i64(c, cg_width(k->domain)), zero = cg_i64(c, 0);
    if (k->domain->type.shape.rank < 2) {
        Val from = NULL, to = NULL;
        cg_share(c, k, width, cg_width(k->domain) == 1 ? 1 : c->lanes, &from, &to);
        map_columns(c, k, zero, from, to);
        return;
    }
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    map_columns(c, k, row.i, zero, width);
    cg_loop_end(c, &row);
}

bool
emit_map(Cg *c, CgKernel *k, Diag *diag)
{
    if (!one_shape(k, diag))
        return false;
    map_domain(c, k);
    return true;
}

void
cg_store_map(Cg *c, CgKernel *k, const Value *v)
{
    bool any = false;
    const Value *domain = k->domain;
    k->domain = v;
    for (int i = 0; i < k->noperands; i++)
        any = any || cg_stores(k, &k->operands[i]);
    if (any)
        map_domain(c, k);
    k->domain = domain;
}
