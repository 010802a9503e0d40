/* codegen/emit_selective.c -- selective_scan (Gu and Dao, "Mamba", algorithm 2), and the pointwise
 * ops after it.
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
 * that powers of two do. The order of sums over n depends on nothing but N, and a state kept in
 * bf16 is rounded after each token: a prompt in pieces gives the bits of the whole. */
#include <float.h>

#include "codegen/cg.h"

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
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    int64_t states; /* N */
    Dtype kept;     /* of the state in memory */
    Val row, count; /* the run at hand: tokens of one sequence that follow each other */
    Val slot;       /* its state, [N,D] */
    /* Of the channels at hand, [N,lanes]: */
    Val rate;            /* A log2(e) */
    Val held;            /* h, where registers do not hold it; else NULL */
    Val h[SCAN_WRITTEN]; /* variables, where they do */
    Val sums;            /* y: [SCAN_RUN,lanes] */
} Selective;

/* What all states of a vector of channels share at one token. */
typedef struct {
    const CgSite *at;
    Val dt, dx;
    Val y[SCAN_SUMS]; /* variables: sums over n, by n mod SCAN_SUMS */
} Step;

/* Row n of scratch. */
static Val
scratch_row(Cg *c, Val base, Val n, const CgSite *at)
{
    return cg_at(c, base, DTYPE_f32, cg_mul(c, n, cg_i64(c, at->lanes)));
}

/* sum: n mod SCAN_SUMS */
typedef void StateBody(Cg *c, CgKernel *k, Selective *s, Val n, int sum, void *user);

/* body for every n; a constant where states are written out. */
static void
each_state(Cg *c, CgKernel *k, Selective *s, StateBody *body, void *user)
{
    const int64_t looped = s->states > SCAN_WRITTEN ? s->states / SCAN_UNROLL * SCAN_UNROLL : 0;
    if (looped > 0) {
        CgLoop loop = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, looped), SCAN_UNROLL);
        for (int u = 0; u < SCAN_UNROLL; u++)
            body(c, k, s, cg_add(c, loop.i, cg_i64(c, u)), u % SCAN_SUMS, user);
        cg_loop_end(c, &loop);
    }
    for (int64_t n = looped; n < s->states; n++)
        body(c, k, s, cg_i64(c, n), (int)(n % SCAN_SUMS), user);
}

/* ---- the state of a vector of channels ----------------------------------------------------- */

static Val
h_get(Cg *c, const Selective *s, Val n, const CgSite *at)
{
    if (!s->held)
        return cg_get(c, cg_vec_type(c, at->lanes), s->h[LLVMConstIntGetZExtValue(n)]);
    return cg_vload(c, scratch_row(c, s->held, n, at), DTYPE_f32, at->lanes, NULL);
}

static void
h_set(Cg *c, const Selective *s, Val n, const CgSite *at, Val h)
{
    if (s->held)
        cg_vstore(c, scratch_row(c, s->held, n, at), DTYPE_f32, h, at->lanes, NULL);
    else
        cg_set(c, s->h[LLVMConstIntGetZExtValue(n)], h);
}

/* The state of a sequence, and the channels. */
typedef struct {
    Val slot; /* [N,D] */
    const CgSite *at;
} Stored;

static Val
stored_at(Cg *c, const Selective *s, const Stored *from, Val n)
{
    const Val row = cg_mul(c, n, cg_i64(c, cg_width(s->state)));
    return cg_at(c, from->slot, s->kept, cg_add(c, row, from->at->col));
}

static void
state_load(Cg *c, CgKernel *k, Selective *s, Val n, int sum, void *user)
{
    (void)sum;
    (void)k;
    const Stored *from = user;
    const CgSite *at = from->at;
    h_set(c, s, n, at, cg_vload(c, stored_at(c, s, from, n), s->kept, at->lanes, at->mask));
}

static void
state_store(Cg *c, CgKernel *k, Selective *s, Val n, int sum, void *user)
{
    (void)sum;
    (void)k;
    const Stored *to = user;
    const CgSite *at = to->at;
    cg_vstore(c, stored_at(c, s, to, n), s->kept, h_get(c, s, n, at), at->lanes, at->mask);
}

/* A log2(e) is finite, as A of an SSD is: 0 times infinity would be NaN where dt is 0. */
static void
state_rate(Cg *c, CgKernel *k, Selective *s, Val n, int sum, void *user)
{
    (void)sum;
    const CgSite *at = user;
    const CgSite site = {.row = n, .col = at->col, .lanes = at->lanes, .mask = at->mask};
    cg_unbind_all(k);
    const Val A = cg_eval(c, k, s->A, &site);
    const Val rate = cg_fmul(c, A, cg_like(c, A, 1.44269504088896341));
    cg_vstore(c, scratch_row(c, s->rate, n, at), DTYPE_f32,
              cg_vmax(c, cg_like(c, A, -FLT_MAX), rate), at->lanes, NULL);
}

/* ---- a token ------------------------------------------------------------------------------- */

static void
state_step(Cg *c, CgKernel *k, Selective *s, Val n, int sum, void *user)
{
    const Step *step = user;
    const CgSite *at = step->at;
    const LLVMTypeRef type = cg_vec_type(c, at->lanes);
    const Val rate = cg_vload(c, scratch_row(c, s->rate, n, at), DTYPE_f32, at->lanes, NULL);
    const Val decay = cg_exp2(c, cg_fmul(c, step->dt, rate));
    const Val B = cg_splat(c, cg_eval_one(c, k, s->B, at->row, n), at->lanes);
    const Val C = cg_splat(c, cg_eval_one(c, k, s->C, at->row, n), at->lanes);
    const Val h = cg_fma(c, decay, h_get(c, s, n, at), cg_fmul(c, step->dx, B));
    cg_set(c, step->y[sum], cg_fma(c, C, h, cg_get(c, type, step->y[sum])));
    h_set(c, s, n, at, s->kept == DTYPE_f32 ? h : cg_round(c, h, s->kept));
}

/* Every operand of a row each token, those that are written too. */
static void
prefetch_rows(Cg *c, const CgKernel *k, const CgSite *at)
{
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (!o->value || o->value->kind == VALUE_STATE || !cg_in_domain(k, o->value))
            continue;
        const Val row = cg_add(c, at->row, cg_i64(c, SCAN_AHEAD));
        const Val first = cg_mul(c, row, cg_i64(c, o->stride));
        cg_prefetch(c, cg_at(c, o->base, o->dtype, cg_add(c, first, at->col)), 3);
    }
}

static void
scan_token(Cg *c, CgKernel *k, Selective *s, const CgSite *at, Val y_at)
{
    prefetch_rows(c, k, at);
    cg_unbind_all(k);
    const Val x = cg_eval(c, k, s->x, at), dt = cg_eval(c, k, s->dt, at);
    Step step = {.at = at, .dt = dt, .dx = cg_fmul(c, dt, x)};
    const Val skip = s->D ? cg_fmul(c, cg_eval(c, k, s->D, at), x) : cg_like(c, x, 0);
    const LLVMTypeRef type = LLVMTypeOf(x);
    for (int i = 0; i < SCAN_SUMS; i++)
        step.y[i] = cg_var(c, type, i ? cg_like(c, x, 0) : skip, "y");
    each_state(c, k, s, state_step, &step);
    Val y = cg_get(c, type, step.y[0]);
    for (int i = 1; i < SCAN_SUMS; i++)
        y = cg_fadd(c, y, cg_get(c, type, step.y[i]));
    cg_vstore(c, y_at, DTYPE_f32, y, at->lanes, NULL);
}

static CgSite
site_at(const CgSite *columns, Val row)
{
    return (CgSite){
        .row = row, .col = columns->col, .lanes = columns->lanes, .mask = columns->mask};
}

/* The tokens of a run. What comes after the scan has a loop of its own: it
 * would take registers from the states. */
static void
scan_run(Cg *c, CgKernel *k, Selective *s, const CgSite *columns)
{
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), s->count, 1);
    const CgSite at = site_at(columns, cg_add(c, s->row, t.i));
    scan_token(c, k, s, &at, scratch_row(c, s->sums, t.i, columns));
    cg_loop_end(c, &t);
    CgLoop out = cg_loop(c, "out", cg_i64(c, 0), s->count, 1);
    const CgSite to = site_at(columns, cg_add(c, s->row, out.i));
    cg_unbind_all(k);
    cg_bind(k, s->y,
            cg_vload(c, scratch_row(c, s->sums, out.i, columns), DTYPE_f32, columns->lanes, NULL));
    cg_store_outputs(c, k, &to);
    cg_loop_end(c, &out);
}

/* ---- the loops ----------------------------------------------------------------------------- */

/* One vector of channels over the run at hand. */
static void
scan_channels(Cg *c, CgKernel *k, const CgSite *at, void *user)
{
    Selective *s = user;
    Stored stored = {s->slot, at};
    each_state(c, k, s, state_rate, (void *)at);
    for (int64_t n = 0; n < s->states && !s->held; n++)
        s->h[n] = cg_var(c, cg_vec_type(c, at->lanes), NULL, "h");
    each_state(c, k, s, state_load, &stored);
    scan_run(c, k, s, at);
    each_state(c, k, s, state_store, &stored);
}

bool
emit_selective_scan(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    const Node *n = k->kernel->anchor;
    Selective s = {.x = n->in[0],
                   .dt = n->in[1],
                   .A = n->in[2],
                   .B = n->in[3],
                   .C = n->in[4],
                   .D = n->in[5],
                   .state = n->in[6],
                   .y = n->out[0],
                   .states = n->in[2]->type.shape.dim[0].n,
                   .kept = n->in[6]->type.dtype};
    const int64_t bytes = s.states * c->lanes * (int64_t)sizeof(float);
    s.rate = cg_scratch(c, k, bytes);
    if (s.states > c->machine->vector_registers / 2 || s.states > SCAN_WRITTEN)
        s.held = cg_scratch(c, k, bytes);
    s.sums = cg_scratch(c, k, SCAN_RUN * c->lanes * (int64_t)sizeof(float));
    Val from = NULL, to = NULL;
    cg_share(c, k, cg_i64(c, cg_width(s.y)), c->lanes, &from, &to);
    CgLoop segs = cg_loop(c, "seg", cg_i64(c, 0), cg_call_field(c, k, CALL_nseg), 1);
    const CgSeg seg = cg_segment(c, k, segs.i);
    s.slot = cg_state_at(c, k, cg_operand(k, s.state), seg.slot);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), seg.len, SCAN_RUN);
    s.row = cg_add(c, seg.row, run.i);
    s.count = cg_min(c, cg_i64(c, SCAN_RUN), cg_sub(c, seg.len, run.i));
    cg_columns(c, k, cg_i64(c, 0), from, to, c->lanes, scan_channels, &s);
    cg_loop_end(c, &run);
    cg_loop_end(c, &segs);
    return true;
}
