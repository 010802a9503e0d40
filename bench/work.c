/* bench/work.c -- the work a compiled model must do, counted from its graphs. */
#include <math.h>

#include "bench/bench.h"

/* ---- operations ---------------------------------------------------------------------------- */

/* Of one row: what a projection or a recurrence does. */
static void
add_flops(BenchFlops *f, const Graph *g, const Node *n)
{
    const OpInfo *counts_as = &op_info[op_info[n->op].kernel];
    const double products =
        (node_in_triples(n) ? 3.0 : 1.0) * (double)type_choices(&n->out[0]->type);
    const double flops = 2 * products * op_info[n->op].work(n, g->block).macs;
    if (counts_as->cls == CLASS_CONTRACT)
        f->linear += flops;
    if (counts_as->cls == CLASS_RECURRENT)
        f->recurrent += flops;
}

BenchFlops
bench_flops(const Graph *g)
{
    BenchFlops f = {0};
    for (const Node *n = g->first; n; n = n->next)
        if (n->nout > 0 && !node_is_head(n))
            add_flops(&f, g, n);
    return f;
}

/* Of all rows: what a sequence of past + rows tokens needs from its beginning, less what `past`
 * of them need. */
static double
attention_flops(const Node *n, double past, double rows)
{
    const double all = past + rows;
    return 2 * (all * op_info[n->op].work(n, (int64_t)all).macs -
                past * op_info[n->op].work(n, (int64_t)past).macs);
}

double
bench_attention_flops(const Graph *g, double past, double rows)
{
    double flops = 0;
    for (const Node *n = g->first; n; n = n->next)
        if (op_info[n->op].cls == CLASS_ATTEND)
            flops += attention_flops(n, past, rows);
    return flops;
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
    for (const Node *before = n->prev; before && before->kernel == n->kernel; before = before->prev)
        for (int j = 0; j < before->nin; j++)
            if (before->in[j] == n->in[i])
                return false;
    return true;
}

/* Rows of a growing state: each sequence's new ones are written, and of others those of the window
 * are read. */
static double
rows_bytes(const Node *n, const Value *v, int64_t rows, int batch, double past)
{
    const double own = value_bytes(v, 1, 1), window = (double)node_int(n, ATTR_window, 0);
    if (v->kind == VALUE_STATE)
        return (double)rows * own;
    return own * (window > 0 && window < past ? window * batch : past * batch + (double)rows);
}

/* Of a weight that has a matrix for each expert, those that `rows` tokens go to at most. */
static double
expert_share(const Node *n, int64_t rows)
{
    const double chosen = (double)rows * (double)type_choices(&n->out[0]->type);
    const double experts = (double)node_experts(n);
    return chosen < experts ? chosen / experts : 1;
}

/* What slot i of n brings into its kernel: a table that is gathered from gives a row a token, and
 * states go out again. */
static double
input_bytes(const Node *n, int i, int64_t rows, int batch, double past)
{
    const Value *v = n->in[i];
    if (!v || v->kind == VALUE_NUMBER || is_inside(v, n->kernel) || !is_first_use(n, i))
        return 0;
    if (type_grows(&v->type))
        return rows_bytes(n, v, rows, batch, past);
    if (v->kind == VALUE_STATE)
        return 2.0 * batch * value_bytes(v, rows, batch);
    if (node_experts(n) && v->is_param)
        return value_bytes(v, rows, batch) * expert_share(n, rows);
    if (op_info[n->op].cls == CLASS_GATHER && v->is_param && op_slot(n->op, 'i') >= 0)
        return value_bytes(n->out[0], rows, batch);
    return value_bytes(v, rows, batch);
}

/* Results that something outside the kernel reads. */
static double
output_bytes(const Node *n, int64_t rows, int batch)
{
    double bytes = 0;
    if (node_gives_state(n))
        return 0; /* counted where it comes in */
    for (int i = 0; i < n->nout; i++) {
        int inside = 0;
        for (const Node *m = n->next; m && m->kernel == n->kernel; m = m->next)
            for (int j = 0; j < m->nin; j++)
                inside += m->in[j] == n->out[i];
        if (n->out[i]->uses > inside)
            bytes += value_bytes(n->out[i], rows, batch);
    }
    return bytes;
}

double
bench_decode_bytes(const Graph *g, const AbiProgram *program, int batch, double past)
{
    bool *counted = arena_array(g->arena, (size_t)g->nvalue_ids + 1, sizeof *counted);
    double bytes = 2.0 * batch * (double)program->state_bytes;
    for (int i = 0; i < program->nstates; i++) {
        const AbiState *s = &program->states[i];
        const double window = (double)s->window, seen = window > 0 && window < past ? window : past;
        bytes += batch * (double)s->row_bytes * (seen + 1);
    }
    for (const Node *n = g->first; n; n = n->next) {
        if (!n->kernel || kernel_is_init(g, n->kernel))
            continue;
        for (int i = 0; i < n->nin; i++) {
            const Value *v = n->in[i];
            if (!v || !v->is_param || counted[v->id])
                continue;
            counted[v->id] = true;
            bytes += input_bytes(n, i, batch, batch, past);
        }
    }
    return bytes;
}

BenchWork
bench_kernel_work(const Graph *g, const Kernel *k, int64_t rows, int batch, double past)
{
    BenchWork w = {0};
    BenchFlops row = {0};
    const double each = (double)rows / batch; /* rows of a sequence */
    double attention = 0;
    Node *first, *last;
    kernel_range(g, k, &first, &last);
    for (const Node *n = first; n != last->next; n = n->next) {
        add_flops(&row, g, n);
        if (op_info[n->op].cls == CLASS_ATTEND)
            attention += batch * attention_flops(n, floor(past), each);
        for (int i = 0; i < n->nin; i++)
            w.bytes += input_bytes(n, i, rows, batch, past);
        w.bytes += output_bytes(n, rows, batch);
    }
    w.flops =
        (row.linear + row.recurrent) * (node_is_head(last) ? batch : (double)rows) + attention;
    return w;
}

BenchFloor
bench_kernel_floor(const Machine *machine, const BenchCeilings *ceilings, const Kernel *kernel,
                   const BenchWork *work)
{
    const CgProbeId dot = bench_dot(machine, cost_kernel_dtype(kernel));
    const double moving = work->bytes / ceilings->update.best * 1e-9;
    const double counting = work->flops / bench_ceiling_of(ceilings, dot)->best * 1e-9;
    return (BenchFloor){fmax(moving, counting), moving >= counting};
}
