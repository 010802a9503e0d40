/* codegen/emit_gather.c -- rows picked by index: embed (a table by token ids) and take (the rows
 * whose logits are wanted). Pointwise ops after the anchor are fused. Ids were checked by the
 * runtime. */
#include "codegen/cg.h"

typedef struct {
    const Node *anchor;
    const CgOperand *table;
    Val row; /* of the table */
} Gather;

static void
gather_site(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    const Gather *g = user;
    const Val start = cg_mul(c, g->row, cg_i64(c, g->table->stride));
    const Val ptr = cg_at(c, g->table->base, g->table->dtype, cg_add(c, start, at->col));
    cg_unbind_all(k);
    cg_bind(k, g->anchor->out[0], cg_vload(c, ptr, g->table->dtype, at->lanes, at->mask));
    cg_store_outputs(c, k, at);
}

static bool
emit_gather(Cg *c, CgKernel *k, Diag *diag, const Value *table, Val index)
{
    Gather g = {.anchor = k->kernel->anchor, .table = cg_operand(k, table)};
    if (!g.table) {
        diag_error(diag, g.anchor->loc, "%s reads `%s`, which its own kernel makes",
                   op_info[g.anchor->op].name, table->name);
        return false;
    }
    Val from = NULL, to = NULL;
    cg_share(c, k, cg_rows(k, k->domain), 1, &from, &to);
    CgLoop row = cg_loop(c, "row", from, to, 1);
    g.row = cg_load_index(c, index, row.i);
    cg_columns(c, k, row.i, cg_i64(c, 0), cg_i64(c, cg_width(k->domain)), c->lanes, gather_site,
               &g);
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
