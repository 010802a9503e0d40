/* codegen/emit/emit_scan.c -- ssd_scan: the recurrent form, token after token ("Transformers are
 * SSMs", equation 1). Two loop nests, for a run of tokens of one head:
 *
 *   streaming, where the state [N,P] passes once a token: for one token, or steep decay
 *       for each token t:
 *           h[n][p] = exp(dt A) h[n][p] + B[n] (dt x[p])
 *           y[p]    = D x[p] + sum_n C[n] h[n][p]
 *
 *   resident, where a strip of rows n stays in registers while the tokens of a window pass
 *   (decay is taken out of the loop, codegen/emit/decay.h, which leaves two multiply-adds an
 * element): for windows of bounded decay h = exp(a_last) h for each strip, each token t: h[n][p] +=
 * B[n] (weight_t x[p]) Y_t[p]  += C[n] h[n][p] y = leave_t Y + D x
 *
 * In both, every sum over n runs in the order of n. A state stored in bf16 is rounded where it is
 * stored: after each token by the first, after each window by the second. */
#include <string.h>

#include "codegen/emit/scan.h"

enum { SCAN_UNROLL = 4, SCAN_MAX_VECS = 4 };

/* Vectors of p that one pass over n works on. */
typedef struct {
    int vecs, lanes;
    Val first;             /* p of the first lane */
    Val mask;              /* of the last vector, or NULL */
    Val dx[SCAN_MAX_VECS]; /* dt x */
    Val y[SCAN_MAX_VECS];  /* variables */
} Strip;

static Val
strip_mask(const Strip *strip, int v)
{
    return v == strip->vecs - 1 ? strip->mask : NULL;
}

/* h = decay h + B_n (dt x) for row n of the state; y += C_n h. */
static void
scan_row(Cg *c, Scan *s, const Strip *strip, Val n)
{
    const Val col = cg_add(c, cg_mul(c, s->group, cg_i64(c, s->states)), n);
    const Val B = cg_splat(c, cg_eval_one(c, s->k, s->v.B, s->row, col), strip->lanes);
    const Val C = cg_splat(c, cg_eval_one(c, s->k, s->v.C, s->row, col), strip->lanes);
    const Val decay = cg_splat(c, s->decay, strip->lanes);
    const Val line = cg_add(c, cg_mul(c, n, cg_i64(c, s->head_dim)), strip->first);
    const LLVMTypeRef type = cg_vec_type(c, strip->lanes);
    for (int v = 0; v < strip->vecs; v++) {
        const Val mask = strip_mask(strip, v);
        const Val at =
            cg_at(c, s->h, s->v.stored, cg_add(c, line, cg_i64(c, (int64_t)v * strip->lanes)));
        const Val old = cg_vload(c, at, s->v.stored, strip->lanes, mask);
        const Val h = cg_fma(c, B, strip->dx[v], cg_fmul(c, decay, old));
        cg_vstore(c, at, s->v.stored, h, strip->lanes, mask);
        cg_set(c, strip->y[v], cg_fma(c, C, h, cg_get(c, type, strip->y[v])));
    }
}

/* One token of one head for the p of a strip. */
static void
scan_strip(Cg *c, Scan *s, Strip *strip)
{
    const Val p0 = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), strip->first);
    const Val dt = cg_splat(c, s->step, strip->lanes);
    const Val D =
        s->v.D ? cg_splat(c, cg_eval_one(c, s->k, s->v.D, cg_i64(c, 0), s->head), strip->lanes)
               : NULL;
    for (int v = 0; v < strip->vecs; v++) {
        const Val col = cg_add(c, p0, cg_i64(c, (int64_t)v * strip->lanes));
        const CgSite site = {
            .row = s->row, .col = col, .lanes = strip->lanes, .mask = strip_mask(strip, v)};
        cg_unbind_all(s->k);
        const Val x = cg_eval(c, s->k, s->v.x, &site);
        const Val skip = D ? cg_fmul(c, D, x) : cg_splat(c, cg_f32(c, 0), strip->lanes);
        strip->dx[v] = cg_fmul(c, dt, x);
        strip->y[v] = cg_var(c, cg_vec_type(c, strip->lanes), skip, "y");
    }
    const int64_t unrolled = s->states / SCAN_UNROLL * SCAN_UNROLL;
    CgLoop loop = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, unrolled), SCAN_UNROLL);
    for (int u = 0; u < SCAN_UNROLL; u++)
        scan_row(c, s, strip, cg_add(c, loop.i, cg_i64(c, u)));
    cg_loop_end(c, &loop);
    for (int64_t n = unrolled; n < s->states; n++)
        scan_row(c, s, strip, cg_i64(c, n));
    for (int v = 0; v < strip->vecs; v++) {
        const CgSite at = {.row = s->row,
                           .col = cg_add(c, p0, cg_i64(c, (int64_t)v * strip->lanes)),
                           .lanes = strip->lanes,
                           .mask = strip_mask(strip, v)};
        cg_unbind_all(s->k);
        cg_bind(s->k, s->v.y, cg_get(c, cg_vec_type(c, strip->lanes), strip->y[v]));
        cg_store_outputs(c, s->k, &at);
    }
}

/* Every strip of P: a loop over full ones, then what is left. */
static void
scan_token(Cg *c, Scan *s)
{
    const int64_t vecs = (s->head_dim + c->lanes - 1) / c->lanes;
    const int most = vecs < SCAN_MAX_VECS ? (int)vecs : SCAN_MAX_VECS;
    const int64_t width = (int64_t)most * c->lanes, full = s->head_dim / width * width;
    Strip strip = {.vecs = most, .lanes = c->lanes};
    CgLoop loop = cg_loop(c, "p", cg_i64(c, 0), cg_i64(c, full), width);
    strip.first = loop.i;
    scan_strip(c, s, &strip);
    cg_loop_end(c, &loop);
    if (full == s->head_dim)
        return;
    const int64_t left = s->head_dim - full;
    Strip rest = {.vecs = (int)((left + c->lanes - 1) / c->lanes), .lanes = c->lanes};
    rest.first = cg_i64(c, full);
    if (left % c->lanes != 0)
        rest.mask = cg_mask_first(c, c->lanes, cg_i64(c, left % c->lanes));
    scan_strip(c, s, &rest);
}

/* Tokens [row, row + count) of this head, the state streaming. */
static void
scan_tokens(Cg *c, Scan *s, Val row, Val count)
{
    const Val A = cg_decay_rate(c, s->k, s->v.A, s->head);
    CgLoop tokens = cg_loop(c, "t", cg_i64(c, 0), count, 1);
    s->row = cg_add(c, row, tokens.i);
    s->step = cg_eval_one(c, s->k, s->v.dt, s->row, s->head);
    s->decay = cg_exp(c, cg_fmul(c, s->step, A));
    scan_token(c, s);
    cg_loop_end(c, &tokens);
}

/* ---- the loops --------------------------------------------------------------------------- */

static void
open_head(Cg *c, Scan *s, const CgSeg *seg, Val head)
{
    const Val states = cg_state_at(c, s->k, cg_operand(s->k, s->v.state), seg->slot);
    s->head = head;
    s->h = cg_at(c, states, s->v.stored, cg_mul(c, head, cg_i64(c, s->states * s->head_dim)));
}

/* Heads [first, last) of one group over a segment, window by window: resident where a window is
 * long enough and its decay bounded. */
static void
group_windows(Cg *c, Scan *s, const CgSeg *seg, Val first, Val last)
{
    CgLoop window = cg_loop(c, "window", cg_i64(c, 0), seg->len, s->window.tokens);
    const Val row = cg_add(c, seg->row, window.i);
    const Val count = cg_min(c, cg_i64(c, s->window.tokens), cg_sub(c, seg->len, window.i));
    const Val many = cg_less(c, cg_i64(c, SCAN_RESIDENT - 1), count);
    CgIf staged = cg_if(c, many);
    scan_stage_group(c, s, row, count);
    cg_endif(c, &staged);
    CgLoop head = cg_loop(c, "head", first, last, 1);
    open_head(c, s, seg, head.i);
    const Val bounded = cg_decay_sums(c, &s->window.decay, s->head, row, count);
    CgIf resident = cg_if(c, LLVMBuildAnd(c->b, many, bounded, ""));
    scan_window(c, s, row, count);
    cg_else(c, &resident);
    scan_tokens(c, s, row, count);
    cg_endif(c, &resident);
    cg_loop_end(c, &head);
    cg_loop_end(c, &window);
}

ScanOperands
scan_operands(const Node *n)
{
    return (ScanOperands){.x = n->in[0],
                          .dt = n->in[1],
                          .A = n->in[2],
                          .B = n->in[3],
                          .C = n->in[4],
                          .D = n->in[5],
                          .state = n->in[6],
                          .y = n->out[0],
                          .stored = n->in[6]->type.dtype};
}

bool
emit_ssd_scan(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    Scan s = {.k = k,
              .v = scan_operands(n),
              .heads = node_int(n, ATTR_heads, 1),
              .head_dim = node_int(n, ATTR_head_dim, 1),
              .groups = node_int(n, ATTR_groups, 1),
              .states = node_int(n, ATTR_state, 1),
              .window.tokens = node_int(n, ATTR_chunk, 0)};
    if (s.window.tokens > SCAN_MOST) {
        diag_error(diag, n->loc, "ssd_scan with chunk=%lld; code is made for windows of at most %d",
                   (long long)s.window.tokens, (int)SCAN_MOST);
        return false;
    }
    /* Without windows: decode, where every segment has one token, and where a token's bits must not
     * depend on which tokens come with it. */
    if (s.window.tokens <= 0) {
        CgHeads share = cg_heads(c, k, s.heads);
        CgLoop head = cg_loop(c, "head", share.first, share.last, 1);
        open_head(c, &s, &share.seg, head.i);
        s.group = cg_div(c, head.i, cg_i64(c, s.heads / s.groups));
        scan_tokens(c, &s, share.seg.row, share.seg.len);
        cg_loop_end(c, &head);
        cg_heads_end(c, &share);
        return true;
    }
    scan_reserve(c, &s);
    CgGroup group = cg_group(c, k, s.heads, s.groups);
    s.group = group.loop.i;
    group_windows(c, &s, &group.heads.seg, group.first, group.last);
    cg_group_end(c, &group);
    return true;
}
