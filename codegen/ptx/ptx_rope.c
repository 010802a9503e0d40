/* codegen/ptx/ptx_rope.c -- angles: cosines and sines of positions, a frequency for each thread;
 * rope: pairs of channels turned by them, a pair for each thread, and channels that stay. Formulas
 * are those of codegen/emit/emit_rope.c. */
#include "codegen/emit/angle.h"
#include "codegen/ptx/ptx.h"

/* Stores the anchor's result at a column of the site's row, and what is fused after it. */
static void
put(Cg *c, CgKernel *k, Val row, Val col, Val value)
{
    const CgSite site = {.row = row, .col = col, .lanes = 1};
    cg_unbind_all(k);
    cg_bind(k, k->kernel->anchor->out[0], value);
    cg_store_outputs(c, k, &site);
}

bool
ptx_angles(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const CgOperand *positions = cg_operand(k, n->in[0]);
    const int64_t half = cg_width(n->out[0]) / 2;
    const LLVMTypeRef real = LLVMDoubleTypeInContext(c->ctx);
    (void)diag;
    const Val table = cg_frequencies(c, n, half);
    PtxSites s = ptx_sites_of(c, k, half);
    const Val row = s.at.row, whole = cg_load_index(c, positions->base, row);
    Val at[] = {s.at.col};
    const Val from = LLVMBuildInBoundsGEP2(c->b, real, table, at, 1, "");
    const Val w = LLVMBuildLoad2(c->b, real, from, "");
    const Val radians = cg_fmul(c, LLVMBuildSIToFP(c->b, whole, real, ""), w);
    const CgAngle angle = cg_angle(c, radians, angle_scale(n));
    put(c, k, row, s.at.col, angle.cosine);
    put(c, k, row, cg_add(c, s.at.col, cg_i64(c, half)), angle.sine);
    ptx_sites_end(c, &s);
    return true;
}

bool
ptx_rope(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const Value *x = n->in[0], *angles = n->in[1];
    const int64_t half = cg_width(angles) / 2, head_dim = node_int(n, ATTR_head_dim, 1);
    const int64_t each = head_dim - half; /* items of a head */
    (void)diag;
    PtxSites s = ptx_sites_of(c, k, cg_width(x) / head_dim * each);
    const Val row = s.at.row, head = cg_div(c, s.at.col, cg_i64(c, each));
    const Val item = cg_sub(c, s.at.col, cg_mul(c, head, cg_i64(c, each)));
    const Val first = cg_add(c, cg_mul(c, head, cg_i64(c, head_dim)), item);
    const Val second = cg_add(c, first, cg_i64(c, half));
    const Val b = cg_eval_one(c, k, x, row, second);
    CgIf turned = cg_if(c, cg_less(c, item, cg_i64(c, half)));
    const Val a = cg_eval_one(c, k, x, row, first);
    const Val cosine = cg_eval_one(c, k, angles, row, item);
    const Val sine = cg_eval_one(c, k, angles, row, cg_add(c, item, cg_i64(c, half)));
    const Val minus = LLVMBuildFNeg(c->b, sine, "");
    put(c, k, row, first, cg_fma(c, b, minus, cg_fmul(c, a, cosine)));
    put(c, k, row, second, cg_fma(c, a, sine, cg_fmul(c, b, cosine)));
    if (each > half) {
        cg_else(c, &turned);
        put(c, k, row, second, b);
    }
    cg_endif(c, &turned);
    ptx_sites_end(c, &s);
    return true;
}
