/* bench/work.c -- the work a compiled model must do, counted from its graphs. */
#include <string.h>

#include "bench/bench.h"

/* ---- operations ---------------------------------------------------------------------------- */

/* Multiply-adds of one row in a node; K and O of a linear; of SSD with chunk length Q: half of
 * C B^T is masked, so are half of M X's products; C h and the chunk state are N P a head. */
static double
linear_macs(const Node *n)
{
    if (op_info[n->op].cls != CLASS_CONTRACT || op_has_flag(n->op, 'S'))
        return 0;
    return (double)type_width(&n->in[0]->type) * (double)type_width(&n->out[0]->type);
}

static double
ssd_macs(const Graph *g, const Node *n)
{
    const double heads = (double)node_int(n, ATTR_heads, 0);
    const double p = (double)node_int(n, ATTR_head_dim, 0);
    const double state = (double)node_int(n, ATTR_state, 0);
    const double groups = (double)node_int(n, ATTR_groups, 1);
    if (n->op == OP_selective_scan)
        return 2 * (double)n->in[2]->type.shape.dim[0].n * (double)type_width(&n->out[0]->type);
    const int64_t chunk = node_int(n, ATTR_chunk, 0);
    const double q = (double)(chunk > 0 ? chunk : g->block);
    const double causal = (q + 1) / 2;
    if (n->op == OP_chunk_cb)
        return groups * state * causal;
    if (n->op == OP_chunk_state)
        return heads * p * state;
    if (n->op == OP_chunk_out)
        return heads * p * (causal + state);
    return n->op == OP_ssd_scan ? heads * p * state * 2 : 0;
}

static bool
in_head(const Node *n)
{
    return n->nout > 0 && n->out[0]->type.shape.dim[0].kind == DIM_ROWS;
}

BenchFlops
bench_flops(const Graph *g)
{
    BenchFlops f = {0};
    for (const Node *n = g->first; n; n = n->next) {
        if (in_head(n))
            continue;
        f.linear += 2 * linear_macs(n);
        f.ssd += 2 * ssd_macs(g, n);
    }
    return f;
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* Of a value with `rows` token rows; one head row a sequence. */
static double
value_bytes(const Value *v, int64_t rows, int batch)
{
    int64_t count = 0;
    if (!type_count(&v->type, rows, batch, &count))
        return 0;
    return (double)count * dtype_info[v->type.dtype].bytes;
}

static bool
is_inside(const Value *v, const Kernel *k)
{
    return v->def && v->def->kernel == k;
}

/* Whether slot i of n is the first of its kernel that reads that value. */
static bool
is_first_use(const Node *n, int i)
{
    for (int j = 0; j < i; j++)
        if (n->in[j] == n->in[i])
            return false;
    for (const Node *before = n->prev; before; before = before->prev)
        for (int j = 0; before->kernel == n->kernel && j < before->nin; j++)
            if (before->in[j] == n->in[i])
                return false;
    return true;
}

/* What slot i of n brings into its kernel: a table that is gathered from gives a row a token, and
 * states go out again. */
static double
input_bytes(const Node *n, int i, int64_t rows, int batch)
{
    const Value *v = n->in[i];
    if (!v || v->kind == VALUE_NUMBER || is_inside(v, n->kernel) || !is_first_use(n, i))
        return 0;
    if (v->kind == VALUE_STATE)
        return 2.0 * batch * value_bytes(v, rows, batch);
    if (op_info[n->op].cls == CLASS_GATHER && v->is_param)
        return value_bytes(n->out[0], rows, batch);
    return value_bytes(v, rows, batch);
}

/* Results that something outside the kernel reads. */
static double
output_bytes(const Graph *g, const Node *n, int64_t rows, int batch)
{
    double bytes = 0;
    for (int i = 0; i < n->nout; i++) {
        int inside = 0;
        for (const Node *m = g->first; m; m = m->next)
            for (int j = 0; m->kernel == n->kernel && j < m->nin; j++)
                inside += m->in[j] == n->out[i];
        if (n->out[i]->uses > inside)
            bytes += value_bytes(n->out[i], rows, batch);
    }
    return bytes;
}

double
bench_decode_bytes(const Graph *g, const AbiProgram *program, int batch)
{
    bool *counted = arena_array(g->arena, (size_t)g->nvalue_ids + 1, sizeof *counted);
    double bytes = 2.0 * batch * (double)program->state_bytes;
    for (const Node *n = g->first; n; n = n->next) {
        if (!n->kernel || kernel_is_init(g, n->kernel))
            continue;
        for (int i = 0; i < n->nin; i++) {
            const Value *v = n->in[i];
            if (!v || !v->is_param || counted[v->id])
                continue;
            counted[v->id] = true;
            bytes += input_bytes(n, i, batch, batch);
        }
    }
    return bytes;
}

BenchWork
bench_kernel_work(const Graph *g, const char *name, bool head, int64_t rows, int batch)
{
    BenchWork w = {0};
    const double lines = head ? batch : (double)rows;
    for (const Node *n = g->first; n; n = n->next) {
        const Kernel *k = n->kernel;
        if (!k || strcmp(k->name, name) != 0 || kernel_is_init(g, k) ||
            kernel_is_head(g, k) != head)
            continue;
        w.flops += 2 * lines * (linear_macs(n) + ssd_macs(g, n));
        for (int i = 0; i < n->nin; i++)
            w.bytes += input_bytes(n, i, rows, batch);
        w.bytes += output_bytes(g, n, rows, batch);
    }
    return w;
}
