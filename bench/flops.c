/* bench/flops.c -- the work a compiled model must do, counted from its graph. */
#include "bench/bench.h"

/* Work of one token in each op of the layers; K and O of a linear, and of SSD (chunk length Q):
 * half of C B^T is masked, so are half of M X's products; C h and the chunk state are N P a head.
 */
static double
linear_macs(const Node *n)
{
    return (double)type_width(&n->in[0]->type) * (double)type_width(&n->out[0]->type);
}

BenchFlops
bench_flops(const Graph *g)
{
    BenchFlops f = {0};
    for (const Node *n = g->first; n; n = n->next) {
        if (n->nout > 0 && n->out[0]->type.shape.dim[0].kind == DIM_ROWS)
            continue; /* the head */
        const double heads = (double)node_int(n, ATTR_heads, 0);
        const double p = (double)node_int(n, ATTR_head_dim, 0);
        const double state = (double)node_int(n, ATTR_state, 0);
        const double groups = (double)node_int(n, ATTR_groups, 1);
        const int64_t chunk = node_int(n, ATTR_chunk, 0);
        const double q = (double)(chunk > 0 ? chunk : g->block);
        const double causal = (q + 1) / 2;
        if (n->op == OP_linear)
            f.linear += 2 * linear_macs(n);
        else if (n->op == OP_chunk_cb)
            f.ssd += 2 * groups * state * causal;
        else if (n->op == OP_chunk_state)
            f.ssd += 2 * heads * p * state;
        else if (n->op == OP_chunk_out)
            f.ssd += 2 * heads * p * (causal + state);
        else if (n->op == OP_ssd_scan)
            f.ssd += 2 * heads * p * state * 2;
    }
    return f;
}

double
bench_decode_bytes(const AbiProgram *program)
{
    return (double)program->param_bytes + 2.0 * (double)program->state_bytes;
}
