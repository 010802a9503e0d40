/* codegen/ptx/ptx_map.c -- kernels without an anchor, and those that gather rows: one element of
 * every output for each thread. Ids and picked rows were checked by the runtime. */
#include "codegen/ptx/ptx.h"

bool
ptx_map(Cg *c, CgKernel *k, Diag *diag)
{
    for (int i = 0; i < k->noperands; i++) {
        const Value *v = k->operands[i].value;
        if (!k->operands[i].is_output || cg_in_domain(k, v))
            continue;
        diag_error(diag, v->loc,
                   "kernel %s makes `%s` and `%s`, which differ in shape: no pointwise kernel can",
                   k->kernel->name, v->name, k->domain->name);
        return false;
    }
    PtxSites s = ptx_sites(c, k, k->domain);
    cg_unbind_all(k);
    cg_store_outputs(c, k, &s.at);
    ptx_sites_end(c, &s);
    return true;
}

static bool
gather(Cg *c, CgKernel *k, Diag *diag, const Value *table, Val index)
{
    const Node *anchor = k->kernel->anchor;
    const CgOperand *rows = cg_operand(k, table);
    if (!rows) {
        diag_error(diag, anchor->loc, "%s reads `%s`, which its own kernel makes",
                   op_info[anchor->op].name, table->name);
        return false;
    }
    PtxSites s = ptx_sites(c, k, k->domain);
    const Val which = cg_load_index(c, index, s.at.row);
    const Val at = cg_element(c, rows->base, rows->dtype, which, rows->stride, s.at.col);
    cg_unbind_all(k);
    cg_bind(k, anchor->out[0], cg_vload(c, at, rows->dtype, 1, NULL));
    cg_store_outputs(c, k, &s.at);
    ptx_sites_end(c, &s);
    return true;
}

bool
ptx_embed(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    const CgOperand *ids = cg_operand(k, anchor->in[0]);
    if (!ids || ids->dtype != DTYPE_i32) {
        diag_error(diag, anchor->loc, "embed needs token ids from outside its kernel");
        return false;
    }
    return gather(c, k, diag, anchor->in[1], ids->base);
}

bool
ptx_take(Cg *c, CgKernel *k, Diag *diag)
{
    return gather(c, k, diag, k->kernel->anchor->in[0], k->pick);
}
