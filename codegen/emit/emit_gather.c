/* codegen/emit/emit_gather.c -- rows chosen by index: embed (of a table, by token ids) and take
 * (the rows whose logits are wanted). Pointwise ops after the anchor are fused. Ids were checked by
 * the runtime. */
#include "codegen/emit/cg.h"

static bool
emit_gather(Cg *c, CgKernel *k, Diag *diag, const Value *table, Val index)
{
    const Node *anchor = k->kernel->anchor;
    const CgOperand *rows = cg_operand(k, table);
    if (!rows) {
        diag_error(diag, anchor->loc, "%s reads `%s`, which its own kernel makes",
                   op_info[anchor->op].name, table->name);
        return false;
    }
    const Val width = cg_i64(c, cg_width(k->domain));
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    const Val which = cg_load_index(c, index, row.i);
    for (CgColumns s = cg_columns(c, row.i, cg_i64(c, 0), width, c->lanes);
         cg_columns_next(c, &s);) {
        const Val at = cg_element(c, rows->base, rows->dtype, which, rows->stride, s.at.col);
        cg_unbind_all(k);
        cg_bind(k, anchor->out[0], cg_vload(c, at, rows->dtype, s.at.lanes, s.at.mask));
        cg_store_outputs(c, k, &s.at);
    }
    cg_loop_end(c, &row);
    return true;
}

bool
emit_embed(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    const CgOperand *ids = cg_operand(k, anchor->in[0]);
    if (!ids || ids->dtype != DTYPE_i32) {
        diag_error(diag, anchor->loc, "embed needs token ids from outside its kernel");
        return false;
    }
    return emit_gather(c, k, diag, anchor->in[1], ids->base);
}

bool
emit_take(Cg *c, CgKernel *k, Diag *diag)
{
    return emit_gather(c, k, diag, k->kernel->anchor->in[0], k->pick);
}
