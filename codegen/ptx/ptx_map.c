/* codegen/ptx/ptx_map.c -- kernels without an anchor, and those that gather rows: a few
 * columns of every output for each thread. Ids and picked rows were checked by the runtime. */
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
    PtxSites s = ptx_sites(c, k, ptx_site_lanes(k));
    cg_unbind_all(k);
    cg_store_outputs(c, k, &s.at);
    ptx_sites_end(c, &s);
    return true;
}

/* Rows of a table or of x, by the numbers that the op's i gives. */
bool
ptx_gather(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    const Value *table =
        node_operand(anchor, 'W') ? node_operand(anchor, 'W') : node_operand(anchor, 'x');
    const CgOperand *rows = cg_operand(k, table), *index = cg_operand(k, node_operand(anchor, 'i'));
    if (!rows || !index) {
        diag_error(diag, anchor->loc, "%s reads `%s`, which its own kernel makes",
                   op_info[anchor->op].name, (rows ? node_operand(anchor, 'i') : table)->name);
        return false;
    }
    PtxSites s = ptx_sites(c, k, ptx_site_lanes(k));
    const Val which = cg_load_index(c, index->base, s.at.row);
    const Val at = cg_element(c, rows->base, rows->dtype, which, rows->stride, s.at.col);
    cg_unbind_all(k);
    cg_bind(k, anchor->out[0], ptx_load_row(c, rows, at, s.at.lanes));
    cg_store_outputs(c, k, &s.at);
    ptx_sites_end(c, &s);
    return true;
}
