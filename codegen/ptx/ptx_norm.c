/* codegen/ptx/ptx_norm.c -- rmsnorm over column groups and layernorm, with the pointwise ops before
 * and after them.
 *
 * A site is up to 8 columns, a lot 32 sites, one for each lane of a warp. Lots are summed in
 * strands: strand s of n has the lots s, s + n, ..., and what a lane sums is its part of strand 0,
 * then of strand 1 ...; then lanes are summed. This order follows from the width alone, so bits are
 * the same however many warps take a row: where there are many rows a warp has as many strands as
 * its lanes read together, and needs no others if that is all; where a call has a row of each
 * sequence, one. What the norm reads is computed once; only of rows too long for the registers of a
 * block once in each sweep.
 *
 * Predicted: what is read and written at copy bandwidth. */
#include "codegen/ptx/ptx.h"

enum {
    MOST_LANES = 8,
    MOST_STRANDS = 16,
    MOST_HELD = 48, /* columns of a thread in registers */
    FEW_HELD = 24,  /* as many are read together, so a row is there after one trip to memory */
    ROWS = 4,       /* of a block, where a warp has a row */
    RESIDENT = 768  /* threads: 80 registers each; without a word ptxas takes fewer, and reads half
                     * of them later */
};

typedef struct {
    const Node *node;
    Val row, from, warp;     /* from: the first column of the group; warp: of those of the row */
    int lanes;               /* columns of a site */
    int64_t sites, depth;    /* of a group; lots of a strand */
    int strands, warps, own; /* of a group; of a row; strands of a warp */
    bool held;
    Val x[MOST_HELD]; /* variables: of this thread's sites, if they are held */
} Norm;

/* What is done with each site of this thread. strand: of those of its warp; number: which of its
 * sites, -1: in a loop. */
typedef struct Sweep Sweep;
struct Sweep {
    void (*at)(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int strand,
               int number);
    Val sum[MOST_STRANDS]; /* variables */
    Val mean, factor;      /* what is taken from each number first, NULL: nothing; what it is
                            * multiplied by */
    Val rest;
    bool squares;
};

static void
sweep_site(Cg *c, CgKernel *k, Norm *n, const Sweep *s, int strand, Val depth, int number)
{
    const Val first = cg_add(c, n->warp, cg_i64(c, strand * n->warps));
    const Val lot = cg_add(c, first, cg_mul(c, depth, cg_i64(c, n->strands)));
    const Val site = cg_add(c, cg_mul(c, lot, cg_i64(c, GPU_WARP)), ptx_lane(c));
    const int64_t lots = (n->held ? number % n->depth + 1 : n->depth) * n->strands;
    const bool whole = lots * GPU_WARP <= n->sites;
    CgIf inside = {0};
    if (!whole)
        inside = cg_if(c, cg_less(c, site, cg_i64(c, n->sites)));
    const CgSite at = {.row = n->row,
                       .col = cg_add(c, n->from, cg_mul(c, site, cg_i64(c, n->lanes))),
                       .lanes = n->lanes};
    cg_unbind_all(k);
    s->at(c, k, n, s, &at, strand, number);
    if (!whole)
        cg_endif(c, &inside);
}

static void
sweep(Cg *c, CgKernel *k, Norm *n, const Sweep *s)
{
    for (int strand = 0; strand < n->own; strand++) {
        for (int i = 0; n->held && i < n->depth; i++)
            sweep_site(c, k, n, s, strand, cg_i64(c, i), strand * (int)n->depth + i);
        if (n->held)
            continue;
        CgLoop loop = cg_loop(c, "sweep", cg_i64(c, 0), cg_i64(c, n->depth), 1);
        sweep_site(c, k, n, s, strand, loop.i, -1);
        cg_loop_end(c, &loop);
    }
}

/* What the norm reads there: made in the first sweep. */
static Val
input(Cg *c, CgKernel *k, Norm *n, const CgSite *site, int number, bool first)
{
    const Value *v = n->node->in[0];
    if (number >= 0 && !first) {
        const Val x = cg_get(c, cg_vec_type(c, n->lanes), n->x[number]);
        cg_bind(k, v, x);
        return x;
    }
    const Val x = cg_eval(c, k, v, site);
    if (number >= 0)
        cg_set(c, n->x[number], x);
    return x;
}

static void
add_up(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int strand, int number)
{
    Val x = input(c, k, n, site, number, !s->mean);
    if (s->mean)
        x = cg_fsub(c, x, cg_splat(c, s->mean, n->lanes));
    const Val all = cg_fold(c, s->squares ? cg_fmul(c, x, x) : x, cg_fadd);
    cg_set(c, s->sum[strand], cg_fadd(c, cg_get(c, c->f32, s->sum[strand]), all));
}

static void
store(Cg *c, CgKernel *k, Norm *n, const Sweep *s, const CgSite *site, int strand, int number)
{
    const Value *weight = node_operand(n->node, 'W'), *bias = node_operand(n->node, 'B');
    Val y = input(c, k, n, site, number, false);
    CgSite of_weight = *site;
    if (node_factors_repeat(n->node))
        of_weight.col = cg_sub(c, site->col, n->from);
    (void)strand;
    if (s->mean)
        y = cg_fsub(c, cg_fsub(c, y, cg_splat(c, s->mean, n->lanes)),
                    cg_splat(c, s->rest, n->lanes));
    y = cg_fmul(c, y, cg_splat(c, s->factor, n->lanes));
    const Val w = weight ? cg_eval(c, k, weight, &of_weight) : NULL;
    const Val b = bias ? cg_eval(c, k, bias, site) : NULL;
    if (w && b)
        y = cg_fma(c, y, w, b);
    else if (w || b)
        y = w ? cg_fmul(c, y, w) : cg_fadd(c, y, b);
    cg_bind(k, n->node->out[0], y);
    cg_store_outputs(c, k, site);
}

/* The sum of all strands and lanes; each thread of the row gets it. */
static Val
sum_of(Cg *c, CgKernel *k, const Norm *n, const Sweep *s)
{
    const Val lane = ptx_lane(c);
    Val all = cg_get(c, c->f32, s->sum[0]);
    if (n->warps == 1) {
        for (int i = 1; i < n->own; i++)
            all = cg_fadd(c, all, cg_get(c, c->f32, s->sum[i]));
        return ptx_warp_fold(c, all, GPU_WARP, cg_fadd);
    }
    const Val place = ptx_shared(c, k, n->strands * GPU_WARP * (int64_t)sizeof(float));
    for (int i = 0; i < n->own; i++) {
        const Val strand = cg_add(c, n->warp, cg_i64(c, i * n->warps));
        const Val at = cg_element(c, place, DTYPE_f32, strand, GPU_WARP, lane);
        cg_vstore(c, at, DTYPE_f32, cg_get(c, c->f32, s->sum[i]), 1, NULL);
    }
    ptx_barrier(c);
    for (int i = 0; i < n->strands; i++) {
        const Val at = cg_element(c, place, DTYPE_f32, cg_i64(c, i), GPU_WARP, lane);
        const Val one = cg_vload(c, at, DTYPE_f32, 1, NULL);
        all = i ? cg_fadd(c, all, one) : one;
    }
    return ptx_warp_fold(c, all, GPU_WARP, cg_fadd);
}

/* The mean over the group of x, or of (x - mean)^2. */
static Val
mean_of(Cg *c, CgKernel *k, Norm *n, Val mean, bool squares)
{
    Sweep s = {.at = add_up, .mean = mean, .squares = squares};
    for (int i = 0; i < n->own; i++)
        s.sum[i] = cg_var(c, c->f32, cg_f32(c, 0), "sum");
    sweep(c, k, n, &s);
    return cg_fdiv(c, sum_of(c, k, n, &s), cg_f32(c, (double)n->sites * n->lanes));
}

static Norm
norm_of(const CgKernel *k, int64_t width)
{
    Norm n = {.node = k->kernel->anchor, .lanes = MOST_LANES};
    while (width % n.lanes)
        n.lanes /= 2;
    n.sites = width / n.lanes;
    const int64_t lots = (n.sites + GPU_WARP - 1) / GPU_WARP;
    n.depth = (lots + MOST_STRANDS - 1) / MOST_STRANDS;
    n.strands = (int)((lots + n.depth - 1) / n.depth);
    const int64_t most = FEW_HELD / n.lanes / n.depth; /* strands of a warp */
    n.warps = graph_has_runs(k->graph) ? 1 : n.strands;
    while (n.warps < n.strands && (n.strands % n.warps || n.strands / n.warps > most))
        n.warps++;
    n.own = n.strands / n.warps;
    n.held = n.own * n.depth * n.lanes <= MOST_HELD;
    return n;
}

static void
normalise(Cg *c, CgKernel *k, Norm *n)
{
    const Node *node = n->node;
    for (int i = 0; n->held && i < n->own * n->depth; i++)
        n->x[i] = cg_var(c, cg_vec_type(c, n->lanes), NULL, "x");
    Sweep last = {.at = store};
    Val square = NULL;
    if (node->op == OP_layernorm) { /* as emit_rows.c: mean_square */
        last.mean = mean_of(c, k, n, NULL, false);
        last.rest = mean_of(c, k, n, last.mean, false);
        const Val excess = cg_fmul(c, last.rest, last.rest);
        square = mean_of(c, k, n, last.mean, true);
        square = cg_vmax(c, cg_f32(c, 0), cg_fsub(c, square, excess));
    } else {
        square = mean_of(c, k, n, NULL, true);
    }
    last.factor = cg_rsqrt(c, cg_fadd(c, square, cg_f32(c, node_num(node, ATTR_eps, 0))));
    sweep(c, k, n, &last);
}

bool
ptx_norm(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag; /* the shape rule has seen that groups divide the width */
    const int64_t groups = node_int(k->kernel->anchor, ATTR_groups, 1);
    const int64_t width = cg_width(k->domain) / groups;
    Norm n = norm_of(k, width);
    const bool several = n.warps == 1 && graph_has_runs(k->graph);
    const int rows = several ? ROWS : 1;
    int64_t each = 1;
    const AbiCount of = ptx_count(k->domain, &each);
    const int threads = rows * n.warps * GPU_WARP;
    ptx_threads(k, threads);
    if (n.own * n.depth * n.lanes <= FEW_HELD)
        ptx_resident(c, RESIDENT / threads);
    ptx_grid(k, 0, of, each, rows, 1);
    ptx_grid(k, 1, ABI_ONE, groups, 1, 1);
    n.row = ptx_block(c, 0);
    n.from = cg_mul(c, ptx_block(c, 1), cg_i64(c, width));
    n.warp = n.warps > 1 ? ptx_warp(c) : cg_i64(c, 0);
    if (!several) {
        normalise(c, k, &n);
        return true;
    }
    n.row = cg_add(c, cg_mul(c, n.row, cg_i64(c, rows)), ptx_warp(c));
    CgIf exists = cg_if(c, cg_less(c, n.row, cg_rows(c, k, k->domain)));
    normalise(c, k, &n);
    cg_endif(c, &exists);
    return true;
}
