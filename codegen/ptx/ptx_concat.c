/* codegen/ptx/ptx_concat.c -- columns of two values side by side, with what is fused before and
 * after: a few columns for each thread. */
#include "codegen/ptx/ptx.h"

bool
ptx_concat(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const Val middle = cg_i64(c, cg_width(n->in[0]));
    (void)diag;
    int lanes = ptx_site_lanes(k);
    while (cg_width(n->in[0]) % lanes)
        lanes /= 2;
    PtxSites s = ptx_sites(c, k, lanes);
    CgIf left = cg_if(c, cg_less(c, s.at.col, middle));
    for (int i = 0; i < 2; i++) {
        const Val col = i ? cg_sub(c, s.at.col, middle) : s.at.col;
        const CgSite from = {.row = s.at.row, .col = col, .lanes = lanes};
        cg_unbind_all(k);
        const Val x = cg_eval(c, k, n->in[i], &from);
        cg_unbind_all(k);
        cg_bind(k, n->out[0], x);
        cg_store_outputs(c, k, &s.at);
        if (i == 0)
            cg_else(c, &left);
    }
    cg_endif(c, &left);
    ptx_sites_end(c, &s);
    return true;
}
