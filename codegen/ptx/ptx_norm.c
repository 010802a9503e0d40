/* codegen/ptx/ptx_norm.c -- rmsnorm over column groups and layernorm, with the pointwise ops before
 * and after them: a block for each group of a row.
 *
 * A thread takes every `threads`-th column. What the norm reads is computed once and stays in
 * registers where a thread has few columns; a longer row is computed again in each sweep. */
#include "codegen/ptx/ptx.h"

enum { MOST_HELD = 16 }; /* columns of a thread */

typedef struct {
    const Node *node;
    Val row, from;         /* the first column of the group */
    int64_t width;         /* of the group */
    int64_t threads, held; /* held: columns of a thread in registers; 0: they are many */
    Val x[MOST_HELD];      /* variables */
} Norm;

/* What is done with each column of this thread. number: which of them; -1: in a loop. */
typedef struct Sweep Sweep;
struct Sweep {
    void (*at)(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int number);
    Val sum;          /* variable */
    Val mean, factor; /* what is taken from each number first, NULL: nothing; what it is multiplied
                       * by */
    Val rest;
    bool squares;
};

static void
sweep(Cg *c, CgKernel *k, Norm *n, const Sweep *s)
{
    const Val thread = ptx_thread(c), width = cg_i64(c, n->width);
    CgLoop loop = {0};
    if (!n->held)
        loop = cg_loop(c, "sweep", thread, width, n->threads);
    for (int i = 0; i < (n->held ? n->held : 1); i++) {
        const Val in_group = n->held ? cg_add(c, thread, cg_i64(c, i * n->threads)) : loop.i;
        const bool whole = !n->held || (i + 1) * n->threads <= n->width;
        CgIf inside = {0};
        if (!whole)
            inside = cg_if(c, cg_less(c, in_group, width));
        const CgSite site = {.row = n->row, .col = cg_add(c, n->from, in_group), .lanes = 1};
        cg_unbind_all(k);
        s->at(c, k, n, s, &site, n->held ? i : -1);
        if (!whole)
            cg_endif(c, &inside);
    }
    if (!n->held)
        cg_loop_end(c, &loop);
}

/* What the norm reads there: made in the first sweep. */
static Val
input(Cg *c, CgKernel *k, Norm *n, const CgSite *site, int number, bool first)
{
    const Value *v = n->node->in[0];
    if (number >= 0 && !first) {
        const Val x = cg_get(c, c->f32, n->x[number]);
        cg_bind(k, v, x);
        return x;
    }
    const Val x = cg_eval(c, k, v, site);
    if (number >= 0)
        cg_set(c, n->x[number], x);
    return x;
}

static void
add_up(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int number)
{
    Val x = input(c, k, n, site, number, !s->mean);
    if (s->mean)
        x = cg_fsub(c, x, s->mean);
    const Val before = cg_get(c, c->f32, s->sum);
    cg_set(c, s->sum, s->squares ? cg_fma(c, x, x, before) : cg_fadd(c, x, before));
}

static void
store(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int number)
{
    const Value *weight = node_operand(n->node, 'W'), *bias = node_operand(n->node, 'B');
    Val y = input(c, k, n, site, number, false);
    if (s->mean)
        y = cg_fsub(c, cg_fsub(c, y, s->mean), s->rest);
    y = cg_fmul(c, y, s->factor);
    const Val w = weight ? cg_eval(c, k, weight, site) : NULL;
    const Val b = bias ? cg_eval(c, k, bias, site) : NULL;
    if (w && b)
        y = cg_fma(c, y, w, b);
    else if (w || b)
        y = w ? cg_fmul(c, y, w) : cg_fadd(c, y, b);
    cg_bind(k, n->node->out[0], y);
    cg_store_outputs(c, k, site);
}

/* The mean over the group of x, or of (x - mean)^2. */
static Val
mean_of(Cg *c, CgKernel *k, Norm *n, Val mean, bool squares)
{
    const Val sum = cg_var(c, c->f32, cg_f32(c, 0), "sum");
    const Sweep s = {.at = add_up, .sum = sum, .mean = mean, .squares = squares};
    sweep(c, k, n, &s);
    const Val all = ptx_block_fold(c, k, cg_get(c, c->f32, sum), 0, cg_fadd);
    return cg_fdiv(c, all, cg_f32(c, (double)n->width));
}

bool
ptx_norm(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag; /* the shape rule has seen that groups divide the width */
    const Node *node = k->kernel->anchor;
    const int64_t groups = node_int(node, ATTR_groups, 1), width = cg_width(k->domain) / groups;
    const int64_t most = 256, threads = width < most ? round_up(width, GPU_WARP) : most;
    int64_t each = 1;
    const AbiCount of = ptx_count(k->domain, &each);
    ptx_threads(k, threads);
    ptx_grid(k, 0, of, each, 1, 1);
    ptx_grid(k, 1, ABI_ONE, groups, 1, 1);
    Norm n = {.node = node,
              .row = ptx_block(c, 0),
              .from = cg_mul(c, ptx_block(c, 1), cg_i64(c, width)),
              .width = width,
              .threads = threads,
              .held = (width + threads - 1) / threads};
    if (n.held > MOST_HELD)
        n.held = 0;
    for (int i = 0; i < n.held; i++)
        n.x[i] = cg_var(c, c->f32, NULL, "x");
    Sweep last = {.at = store};
    Val square = NULL;
    if (node->op == OP_layernorm) { /* as emit_rows.c: mean_square */
        last.mean = mean_of(c, k, &n, NULL, false);
        last.rest = mean_of(c, k, &n, last.mean, false);
        const Val excess = cg_fmul(c, last.rest, last.rest);
        square = mean_of(c, k, &n, last.mean, true);
        square = cg_vmax(c, cg_f32(c, 0), cg_fsub(c, square, excess));
    } else {
        square = mean_of(c, k, &n, NULL, true);
    }
    last.factor = cg_rsqrt(c, cg_fadd(c, square, cg_f32(c, node_num(node, ATTR_eps, 0))));
    sweep(c, k, &n, &last);
    return true;
}
