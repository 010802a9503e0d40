/* codegen/ptx/ptx_concat.c -- columns of two values side by side, with what is fused before and
 * after: a few columns for each thread. */
#include "codegen/ptx/ptx.h"

bool
ptx_concat(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const int64_t groups = node_int(n, ATTR_groups, 1);
    const int64_t first = cg_width(n->in[0]) / groups, second = cg_width(n->in[1]);
    const Val middle = cg_i64(c, first);
    (void)diag;
    int lanes = ptx_site_lanes(k);
    while (first % lanes || (groups > 1 && second % lanes))
        lanes /= 2;
    PtxSites s = ptx_sites(c, k, lanes);
    const Val both = cg_i64(c, first + second);
    const Val group = groups > 1 ? cg_div(c, s.at.col, both) : cg_i64(c, 0);
    const Val inside = cg_sub(c, s.at.col, cg_mul(c, group, both));
    CgIf left = cg_if(c, cg_less(c, inside, middle));
    for (int i = 0; i < 2; i++) {
        const Val col = i ? cg_sub(c, inside, middle) : cg_add(c, cg_mul(c, group, middle), inside);
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
