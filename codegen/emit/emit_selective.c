/* codegen/emit/emit_selective.c -- selective_scan (Gu and Dao, "Mamba", algorithm 2), and the
 * pointwise ops after it.
 *
 *     for each run of tokens of one sequence, each vector of channels d, each token t:
 *         for each n:
 *             h[n] = exp(dt A[n]) h[n] + B_t[n] (dt x)
 *             y   += C_t[n] h[n]
 *         y = D x + y
 *
 * Threads divide channels. The N states of a vector of channels stay in registers, or in scratch
 * that stays in the first-level cache, while the tokens of a run go by. Nearly all of the time
 * goes into the exponentials, one for every state and token: A is multiplied by log2(e) once, so
 * that powers of two do. The order of sums over n depends on nothing but N, and a state stored in
 * bf16 is rounded after each token: a prompt cut into calls gives the bits of the whole. */
#include <float.h>

#include "codegen/emit/scan.h"

/* States whose code is written out; of more than that, a loop has so many at a time. */
enum { SCAN_WRITTEN = 32, SCAN_UNROLL = 8 };
/* Sums over n that do not wait for each other. */
enum { SCAN_SUMS = 4 };
/* Rows that are asked for before they are read: they lie too far apart for the processor to guess
 * them. */
enum { SCAN_AHEAD = 4 };
/* Tokens of a run: their rows, as far as a thread's channels go, stay near. */
enum { SCAN_RUN = 32 };

typedef struct {
    ScanOperands v;
    int64_t states; /* N */
    Val row, count; /* the run: first token row and how many */
    Val slot;       /* its state, [N,D] */
    /* Of the vector of channels, [N,lanes]: */
    Val rate;            /* A log2(e) */
    Val spilled;         /* h, where registers do not hold it; else NULL */
    Val h[SCAN_WRITTEN]; /* variables, where they do */
    Val sums;            /* y: [SCAN_RUN,lanes] */
} Selective;

/* Row n of scratch. */
static Val
scratch_row(Cg *c, Val base, Val n, const CgSite *at)
{
    return cg_at(c, base, DTYPE_f32, cg_mul(c, n, cg_i64(c, at->lanes)));
}

/* ---- the states of a vector of channels ---------------------------------------------------- */

/* One after the other: for (State n = {0}; next_state(c, s, &n);) */
typedef struct {
    Val i;   /* a constant where states are written out */
    int sum; /* n mod SCAN_SUMS */
    int64_t built;
    CgLoop loop;
} State;

static bool
next_state(Cg *c, const Selective *s, State *n)
{
    const int64_t looped = s->states > SCAN_WRITTEN ? s->states / SCAN_UNROLL * SCAN_UNROLL : 0;
    if (looped > 0 && n->built == 0)
        n->loop = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, looped), SCAN_UNROLL);
    if (looped > 0 && n->built == SCAN_UNROLL) {
        cg_loop_end(c, &n->loop);
        n->built = looped;
    }
    if (n->built == s->states)
        return false;
    n->i = cg_i64(c, n->built);
    if (n->built < looped)
        n->i = cg_add(c, n->loop.i, n->i);
    n->sum = (int)(n->built++ % SCAN_SUMS);
    return true;
}

static Val
h_get(Cg *c, const Selective *s, const State *n, const CgSite *at)
{
    if (!s->spilled)
        return cg_get(c, cg_vec_type(c, at->lanes), s->h[LLVMConstIntGetZExtValue(n->i)]);
    return cg_vload(c, scratch_row(c, s->spilled, n->i, at), DTYPE_f32, at->lanes, NULL);
}

static void
h_set(Cg *c, const Selective *s, const State *n, const CgSite *at, Val h)
{
    if (s->spilled)
        cg_vstore(c, scratch_row(c, s->spilled, n->i, at), DTYPE_f32, h, at->lanes, NULL);
    else
        cg_set(c, s->h[LLVMConstIntGetZExtValue(n->i)], h);
}

/* State n of the sequence in memory. */
static Val
stored_at(Cg *c, const Selective *s, const State *n, const CgSite *at)
{
    return cg_element(c, s->slot, s->v.stored, n->i, cg_width(s->v.state), at->col);
}

/* ---- tokens -------------------------------------------------------------------------------- */

/* Every operand of a row each token, those that are written too. */
static void
prefetch_rows(Cg *c, const CgKernel *k, const CgSite *at)
{
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (o->value->kind == VALUE_STATE || !cg_in_domain(k, o->value))
            continue;
        const Val row = cg_add(c, at->row, cg_i64(c, SCAN_AHEAD));
        cg_prefetch(c, cg_element(c, o->base, o->dtype, row, o->stride, at->col), 3);
    }
}

static void
scan_token(Cg *c, CgKernel *k, const Selective *s, const CgSite *at, Val y_at)
{
    prefetch_rows(c, k, at);
    cg_unbind_all(k);
    const Val x = cg_eval(c, k, s->v.x, at), dt = cg_eval(c, k, s->v.dt, at);
    const Val dx = cg_fmul(c, dt, x);
    const Val skip = s->v.D ? cg_fmul(c, cg_eval(c, k, s->v.D, at), x) : cg_like(c, x, 0);
    const LLVMTypeRef type = LLVMTypeOf(x);
    Val sum[SCAN_SUMS]; /* variables */
    for (int i = 0; i < SCAN_SUMS; i++)
        sum[i] = cg_var(c, type, i ? cg_like(c, x, 0) : skip, "y");
    for (State n = {0}; next_state(c, s, &n);) {
        const Val rate = cg_vload(c, scratch_row(c, s->rate, n.i, at), DTYPE_f32, at->lanes, NULL);
        const Val decay = cg_exp2(c, cg_fmul(c, dt, rate));
        const Val B = cg_splat(c, cg_eval_one(c, k, s->v.B, at->row, n.i), at->lanes);
        const Val C = cg_splat(c, cg_eval_one(c, k, s->v.C, at->row, n.i), at->lanes);
        const Val h = cg_fma(c, decay, h_get(c, s, &n, at), cg_fmul(c, dx, B));
        cg_set(c, sum[n.sum], cg_fma(c, C, h, cg_get(c, type, sum[n.sum])));
        h_set(c, s, &n, at, cg_round(c, h, s->v.stored));
    }
    Val y = cg_get(c, type, sum[0]);
    for (int i = 1; i < SCAN_SUMS; i++)
        y = cg_fadd(c, y, cg_get(c, type, sum[i]));
    cg_vstore(c, y_at, DTYPE_f32, y, at->lanes, NULL);
}

/* The tokens of a run. What comes after the scan has a loop of its own: it would take registers
 * from the states. */
static void
scan_run(Cg *c, CgKernel *k, const Selective *s, CgSite at)
{
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), s->count, 1);
    at.row = cg_add(c, s->row, t.i);
    scan_token(c, k, s, &at, scratch_row(c, s->sums, t.i, &at));
    cg_loop_end(c, &t);
    CgLoop out = cg_loop(c, "out", cg_i64(c, 0), s->count, 1);
    at.row = cg_add(c, s->row, out.i);
    cg_unbind_all(k);
    const Val y = scratch_row(c, s->sums, out.i, &at);
    cg_bind(k, s->v.y, cg_vload(c, y, DTYPE_f32, at.lanes, NULL));
    cg_store_outputs(c, k, &at);
    cg_loop_end(c, &out);
}

/* One vector of channels over the run. A log2(e) is finite, as A of an SSD is: 0 times
 * infinity would be NaN where dt is 0. */
static void
scan_channels(Cg *c, CgKernel *k, Selective *s, const CgSite *at)
{
    for (State n = {0}; next_state(c, s, &n);) {
        CgSite site = *at;
        site.row = n.i;
        cg_unbind_all(k);
        const Val A = cg_eval(c, k, s->v.A, &site);
        const Val rate = cg_fmul(c, A, cg_like(c, A, 1.44269504088896341));
        const Val finite = cg_vmax(c, cg_like(c, A, -FLT_MAX), rate);
        cg_vstore(c, scratch_row(c, s->rate, n.i, at), DTYPE_f32, finite, at->lanes, NULL);
    }
    for (int64_t n = 0; n < s->states && !s->spilled; n++)
        s->h[n] = cg_var(c, cg_vec_type(c, at->lanes), NULL, "h");
    for (State n = {0}; next_state(c, s, &n);)
        h_set(c, s, &n, at, cg_vload(c, stored_at(c, s, &n, at), s->v.stored, at->lanes, at->mask));
    scan_run(c, k, s, *at);
    for (State n = {0}; next_state(c, s, &n);) {
        const Val h = h_get(c, s, &n, at);
        cg_vstore(c, stored_at(c, s, &n, at), s->v.stored, h, at->lanes, at->mask);
    }
}

bool
emit_selective_scan(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    const Node *n = k->kernel->anchor;
    Selective s = {.v = scan_operands(n), .states = n->in[2]->type.shape.dim[0].n};
    const int64_t bytes = s.states * c->lanes * (int64_t)sizeof(float);
    s.rate = cg_scratch(c, k, bytes);
    if (s.states > c->machine->vector_registers / 2 || s.states > SCAN_WRITTEN)
        s.spilled = cg_scratch(c, k, bytes);
    s.sums = cg_scratch(c, k, SCAN_RUN * c->lanes * (int64_t)sizeof(float));
    Val from = NULL, to = NULL;
    cg_share(c, k, cg_i64(c, cg_width(s.v.y)), c->lanes, &from, &to);
    CgLoop segs = cg_loop(c, "seg", cg_i64(c, 0), cg_call_field(c, k, CALL_nseg), 1);
    const CgSeg seg = cg_segment(c, k, segs.i);
    s.slot = cg_state_at(c, k, cg_operand(k, s.v.state), seg.slot);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), seg.len, SCAN_RUN);
    s.row = cg_add(c, seg.row, run.i);
    s.count = cg_min(c, cg_i64(c, SCAN_RUN), cg_sub(c, seg.len, run.i));
    for (CgColumns col = cg_columns(c, cg_i64(c, 0), from, to, c->lanes); cg_columns_next(c, &col);)
        scan_channels(c, k, &s, &col.at);
    cg_loop_end(c, &run);
    cg_loop_end(c, &segs);
    return true;
}
