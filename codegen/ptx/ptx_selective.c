/* codegen/ptx/ptx_selective.c -- selective_scan (Gu and Dao, "Mamba", algorithm 2), and the
 * pointwise ops after it.
 *
 *     h[n] = exp(dt A[n]) h[n] + B_t[n] (dt x);  y = D x + sum over n of C_t[n] h[n]
 *
 * A block has channels of one segment and goes through its tokens. The N states of a channel are
 * divided among a few lanes of a warp, which keep them in registers; their sums are exchanged. B
 * and C of a run of tokens are read once a block, into shared memory; x and dt of a few tokens are
 * read before the first is needed. The order of sums over n depends on N alone, and a state stored
 * in bf16 is rounded after each token: a prompt cut into calls gives the bits of the whole.
 *
 * Predicted: one exponential a state and token, some 25 instructions with the rest of the step:
 * 8192 channels, N=16: 3.3e6 instructions of a thread a token; on 132 SMs of 128 lanes at 1.7 GHz
 * and 70 % of it 0.16 us a token where blocks fill the GPU: the 256 of one segment do. */
#include <float.h>

#include "codegen/emit/scan.h"
#include "codegen/ptx/ptx.h"

/* STATES: of a lane, if there are lanes enough. RUN: tokens whose B and C lie in shared memory, if
 * they are no more than STAGED numbers of each. AHEAD: tokens whose x and dt are read together. */
enum { STATES = 4, MOST_STATES = 64, THREADS = 128, RUN = 32, STAGED = 8192, AHEAD = 4 };

typedef struct {
    CgKernel *k;
    ScanOperands v;
    int64_t states;        /* N */
    int across, each;      /* lanes of a channel, a power of 2; states of a lane */
    int64_t run;           /* tokens that are staged together, a multiple of AHEAD */
    Val channel, lane;     /* of this thread; its number among the lanes of the channel */
    Val exists;            /* i1: such a channel */
    Val rate[MOST_STATES]; /* A log2(e) */
    Val h[MOST_STATES];    /* variables */
    Val D;                 /* NULL: none */
    Val shared[2];         /* B and C: [run,across * each], 0 where there are no such states */
} PtxSelective;

static int64_t
padded(const PtxSelective *s)
{
    return (int64_t)s->across * s->each;
}

static Val
state_number(Cg *c, const PtxSelective *s, int i)
{
    return cg_add(c, s->lane, cg_i64(c, (int64_t)i * s->across));
}

static Val
state_at(Cg *c, const PtxSelective *s, Val slot, Val n)
{
    const Val base = cg_state_at(c, s->k, cg_operand(s->k, s->v.state), slot);
    return cg_element(c, base, s->v.stored, n, cg_width(s->v.state), s->channel);
}

/* Where state n of this channel exists. */
static CgIf
if_state(Cg *c, const PtxSelective *s, Val n)
{
    return cg_if(c, LLVMBuildAnd(c->b, s->exists, cg_less(c, n, cg_i64(c, s->states)), ""));
}

/* A log2(e) is finite: 0 times infinity would be NaN where dt is 0. States that do not exist stay
 * 0: their B is. */
static void
open_states(Cg *c, PtxSelective *s, Val slot)
{
    for (int i = 0; i < s->each; i++) {
        const Val n = state_number(c, s, i), rate = cg_var(c, c->f32, cg_f32(c, 0), "rate");
        s->h[i] = cg_var(c, c->f32, cg_f32(c, 0), "h");
        CgIf some = if_state(c, s, n);
        const Val A = cg_eval_one(c, s->k, s->v.A, n, s->channel);
        const Val scaled = cg_fmul(c, A, cg_f32(c, 1.44269504088896341));
        cg_set(c, rate, cg_vmax(c, cg_f32(c, -FLT_MAX), scaled));
        cg_set(c, s->h[i], cg_vload(c, state_at(c, s, slot, n), s->v.stored, 1, NULL));
        cg_endif(c, &some);
        s->rate[i] = cg_get(c, c->f32, rate);
    }
}

static void
close_states(Cg *c, const PtxSelective *s, Val slot)
{
    for (int i = 0; i < s->each; i++) {
        const Val n = state_number(c, s, i);
        CgIf some = if_state(c, s, n);
        cg_vstore(c, state_at(c, s, slot, n), s->v.stored, cg_get(c, c->f32, s->h[i]), 1, NULL);
        cg_endif(c, &some);
    }
}

/* B and C of tokens row .. row + count-1. */
static void
stage(Cg *c, const PtxSelective *s, Val row, Val count)
{
    const Value *from[] = {s->v.B, s->v.C};
    const Val width = cg_i64(c, padded(s)), last = cg_i64(c, s->states - 1);
    ptx_barrier(c);
    CgLoop item = cg_loop(c, "stage", ptx_thread(c), cg_mul(c, count, width), THREADS);
    const Val token = cg_div(c, item.i, width);
    const Val n = cg_sub(c, item.i, cg_mul(c, token, width));
    const Val missing = cg_less(c, last, n);
    for (int i = 0; i < 2; i++) {
        const Val x = cg_eval_one(c, s->k, from[i], cg_add(c, row, token), cg_min(c, n, last));
        cg_vstore(c, cg_at(c, s->shared[i], DTYPE_f32, item.i), DTYPE_f32,
                  LLVMBuildSelect(c->b, missing, cg_f32(c, 0), x, ""), 1, NULL);
    }
    cg_loop_end(c, &item);
    ptx_barrier(c);
}

static Val
staged(Cg *c, const PtxSelective *s, int which, Val token, Val n)
{
    const Val at = cg_element(c, s->shared[which], DTYPE_f32, token, padded(s), n);
    return cg_vload(c, at, DTYPE_f32, 1, NULL);
}

/* One token, whose number in the run is `token`; the sum over all states. */
static Val
step(Cg *c, const PtxSelective *s, Val token, Val x, Val dt)
{
    const Val dx = cg_fmul(c, dt, x);
    Val y = cg_f32(c, 0);
    for (int i = 0; i < s->each; i++) {
        const Val n = state_number(c, s, i), decay = cg_exp2(c, cg_fmul(c, dt, s->rate[i]));
        const Val added = cg_fmul(c, dx, staged(c, s, 0, token, n));
        const Val h = cg_fma(c, decay, cg_get(c, c->f32, s->h[i]), added);
        y = cg_fma(c, staged(c, s, 1, token, n), h, y);
        cg_set(c, s->h[i], cg_round(c, h, s->v.stored));
    }
    for (int mask = s->across / 2; mask > 0; mask /= 2)
        y = cg_fadd(c, y, ptx_exchange(c, y, mask));
    return s->D ? cg_fma(c, s->D, x, y) : y;
}

static void
store_y(Cg *c, const PtxSelective *s, Val row, Val y)
{
    const Val first = LLVMBuildICmp(c->b, LLVMIntEQ, s->lane, cg_i64(c, 0), "");
    CgIf stores = cg_if(c, LLVMBuildAnd(c->b, first, s->exists, ""));
    const CgSite site = {.row = row, .col = s->channel, .lanes = 1};
    cg_unbind_all(s->k);
    cg_bind(s->k, s->v.y, y);
    cg_store_outputs(c, s->k, &site);
    cg_endif(c, &stores);
}

/* Tokens from .. of the run, of which there are `tokens`. */
static void
scan_tokens(Cg *c, const PtxSelective *s, Val row, Val from, int tokens)
{
    const Val near = cg_min(c, s->channel, cg_i64(c, cg_width(s->v.y) - 1));
    Val x[AHEAD], dt[AHEAD];
    for (int t = 0; t < tokens; t++) {
        const Val at = cg_add(c, row, cg_add(c, from, cg_i64(c, t)));
        x[t] = cg_eval_one(c, s->k, s->v.x, at, near);
        dt[t] = cg_eval_one(c, s->k, s->v.dt, at, near);
    }
    for (int t = 0; t < tokens; t++) {
        const Val token = cg_add(c, from, cg_i64(c, t));
        store_y(c, s, cg_add(c, row, token), step(c, s, token, x[t], dt[t]));
    }
}

static void
scan_segment(Cg *c, const PtxSelective *s, const CgSeg *seg)
{
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), seg->len, s->run);
    const Val row = cg_add(c, seg->row, run.i), ahead = cg_i64(c, AHEAD);
    const Val count = cg_min(c, cg_i64(c, s->run), cg_sub(c, seg->len, run.i));
    stage(c, s, row, count);
    const Val whole = cg_mul(c, cg_div(c, count, ahead), ahead);
    CgLoop some = cg_loop(c, "t", cg_i64(c, 0), whole, AHEAD);
    scan_tokens(c, s, row, some.i, AHEAD);
    cg_loop_end(c, &some);
    CgLoop one = cg_loop(c, "t", whole, count, 1);
    scan_tokens(c, s, row, one.i, 1);
    cg_loop_end(c, &one);
    cg_loop_end(c, &run);
}

static void
divide_work(PtxSelective *s)
{
    s->across = 1;
    while (s->across < GPU_WARP && (int64_t)s->across * STATES < s->states)
        s->across *= 2;
    s->each = (int)((s->states + s->across - 1) / s->across);
    const int64_t fit = STAGED / padded(s) / AHEAD * AHEAD;
    s->run = fit < RUN ? fit : RUN;
}

bool
ptx_selective_scan(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    PtxSelective s = {.k = k, .v = scan_operands(n), .states = n->in[2]->type.shape.dim[0].n};
    if (s.states > MOST_STATES * GPU_WARP) {
        diag_error(diag, n->loc,
                   "selective_scan with %lld states; code for a GPU is made for at most %d",
                   (long long)s.states, MOST_STATES * GPU_WARP);
        return false;
    }
    divide_work(&s);
    const int64_t width = cg_width(s.v.y), channels = THREADS / s.across;
    ptx_threads(k, THREADS);
    ptx_grid(k, 0, ABI_ONE, width, channels, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val thread = ptx_thread(c), across = cg_i64(c, s.across);
    const Val number = cg_div(c, thread, across);
    s.lane = cg_sub(c, thread, cg_mul(c, number, across));
    s.channel = cg_add(c, cg_mul(c, ptx_block(c, 0), cg_i64(c, channels)), number);
    s.exists = cg_less(c, s.channel, cg_i64(c, width));
    for (int i = 0; i < 2; i++)
        s.shared[i] = ptx_shared(c, k, s.run * padded(&s) * (int64_t)sizeof(float));
    const CgSeg seg = cg_segment(c, k, ptx_block(c, 1));
    const Val near = cg_min(c, s.channel, cg_i64(c, width - 1));
    s.D = s.v.D ? cg_eval_one(c, k, s.v.D, cg_i64(c, 0), near) : NULL;
    open_states(c, &s, seg.slot);
    scan_segment(c, &s, &seg);
    close_states(c, &s, seg.slot);
    return true;
}
