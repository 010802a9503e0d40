/* codegen/emit/emit_gather.c -- rows chosen by an input: embed (of a table, by token ids) and take
 * (the rows whose logits are wanted). Pointwise ops after the anchor are fused. What the inputs say
 * was checked by the runtime. */
#include "codegen/emit/cg.h"

bool
emit_gather(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    const int index = op_slot(anchor->op, 'i');
    const Value *from = anchor->in[1 - index];
    const CgOperand *rows = cg_operand(k, from), *numbers = cg_operand(k, anchor->in[index]);
    if (!rows)
        return diag_error(diag, anchor->loc, "%s reads `%s`, which its own kernel makes",
                          op_info[anchor->op].name, from->name);
    const Val width = cg_i64(c, cg_width(k->domain));
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    const Val which = cg_load_index(c, numbers->base, row.i);
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
