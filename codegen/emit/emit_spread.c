/* codegen/emit/emit_spread.c -- each number of a vector several times (ir/spread.c). Run once when
 * weights are loaded. */
#include "codegen/emit/cg.h"

/* Threads divide the result. */
bool
emit_spread(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    const Node *n = k->kernel->anchor;
    const CgOperand *out = cg_operand(k, n->out[0]);
    const Val repeat = cg_i64(c, node_int(n, ATTR_repeat, 1));
    cg_store_map(c, k, n->in[0]);
    if (!out)
        return true;
    CgLoop i = cg_share_loop(c, k, "i", cg_i64(c, n->out[0]->type.shape.dim[0].n), 1);
    const Val x = cg_eval_one(c, k, n->in[0], cg_i64(c, 0), cg_div(c, i.i, repeat));
    cg_vstore(c, cg_at(c, out->base, out->dtype, i.i), out->dtype, x, 1, NULL);
    cg_loop_end(c, &i);
    return true;
}
