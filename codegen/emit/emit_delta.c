/* codegen/emit/emit_delta.c -- delta: the gated delta rule, token after token (Yang, Kautz and
 * Hatamizadeh, "Gated Delta Networks", equation 10), and the pointwise ops after it.
 *
 * A token changes the state h [N,P] by
 *     h[n][p] = a h[n][p] + k[n] d[p],  d[p] = b (v[p] - a sum_n k[n] h[n][p]),  a = exp(g)
 * and reads y[p] = sum_n q[n] h[n][p] of the new one, which is
 *     y[p] = a sum_n q[n] h[n][p] + (q . k) d[p]
 * of the old one. So both sums of a token are made in the sweep that writes the token before it:
 *
 *     for each window of tokens of one sequence:
 *         q and k of the group, normalised and scaled, and their products q . k
 *         for each head of the group, each strip of columns p:
 *             for each token t, and once after the last:
 *                 for each n:
 *                     h[n][p] = a h[n][p] + k_(t-1)[n] d[p]
 *                     u[p]   += k_t[n] h[n][p]
 *                     w[p]   += q_t[n] h[n][p]
 *                 d[p] = b (v[p] - a u[p]),  y[p] = a w[p] + (q . k) d[p]
 *
 * With a decay for each channel of a key (Kimi Team, "Kimi Linear", equation 1) a is a[n], and both
 * sums are those of keys and queries that are multiplied by it before: sum_n (a[n] k[n]) h[n][p].
 *
 * Columns of the state do not meet, so that a strip of them stays in the first-level cache while
 * the tokens of a window go by. The first sweep reads the state from memory, the last writes it
 * there: a single token is one of each. Every sum over n runs in the order of n, and a state stored
 * in bf16 is rounded after each token: a prompt cut into calls gives the bits of the whole. */
#include "codegen/emit/tile.h"

enum { DELTA_RUN = 32, DELTA_UNROLL = 4, DELTA_MOST_VECS = 4 };
/* Of a strip: half of the smallest first-level cache; the rest is for q, k and the memory's rows.
 */
enum { DELTA_STRIP_BYTES = 16 << 10 };

typedef struct {
    CgKernel *kernel;
    const Value *q, *k, *v, *g, *b, *state, *y;
    Dtype stored;                            /* the state in memory */
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int vecs;                                /* most of a strip */
    int64_t stride;                          /* N in whole vectors */
    Val q_rows, k_rows, dots, decays, betas; /* [DELTA_RUN,stride] twice, [DELTA_RUN] */
    bool by_channel;                         /* a decay for each channel of a key: */
    Val a_rows, qa_rows, ka_rows;            /* [DELTA_RUN,stride]: a, and a times q and k */
    Val held;                                /* the strip: [N,vecs * lanes] */
    Val row, count;                          /* of the window */
    Val group, head, h;                      /* h: the head's state, [N,P] */
} Delta;

/* Columns of a head: its vectors from column p on. */
typedef struct {
    int vecs;
    Val p, mask; /* of the last vector; NULL: all lanes */
    Val decay;   /* variable, f32: a of the token before; not with one for each channel */
    Val d[DELTA_MOST_VECS];    /* variables: d of the token before */
    Val said[DELTA_MOST_VECS]; /* variables: u */
    Val read[DELTA_MOST_VECS]; /* variables: w */
} Strip;

typedef enum { SWEEP_FIRST, SWEEP_NEXT, SWEEP_LAST } Sweep;

static Val
number_at(Cg *c, Val base, Val index)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

static Val
strip_mask(const Strip *s, int v)
{
    return v == s->vecs - 1 ? s->mask : NULL;
}

/* ---- queries and keys of a window ---------------------------------------------------------- */

/* N columns of each token of the window: those of number `which`, a group or a head. */
static void
stage(Cg *c, const Delta *d, const Value *from, Val which, Val rows)
{
    const CgRegion region = {.v = from,
                             .row = d->row,
                             .count = d->count,
                             .col = cg_mul(c, which, cg_i64(c, d->states)),
                             .width = d->states};
    cg_stage(c, d->kernel, &region, rows, DTYPE_f32, d->stride);
}

/* A row's vectors, one after the other; outside its columns zeros are read. */
typedef struct {
    Val i, mask; /* first column */
    CgLoop loop;
    int built;
} RowVector;

static bool
next_vector(Cg *c, const Delta *d, RowVector *v)
{
    const int64_t whole = d->states / c->lanes * c->lanes;
    if (v->built++ == 0) {
        v->loop = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, whole), c->lanes);
        v->i = v->loop.i;
        return true;
    }
    if (v->built == 2)
        cg_loop_end(c, &v->loop);
    if (v->built > 2 || whole == d->states)
        return false;
    v->i = cg_i64(c, whole);
    v->mask = cg_mask_first(c, c->lanes, cg_i64(c, d->states - whole));
    return true;
}

/* Sums of q q, k k and q k over the row's columns. */
static void
row_sums(Cg *c, const Delta *d, Val q_row, Val k_row, Val sum[3])
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    Val var[3];
    for (int i = 0; i < 3; i++)
        var[i] = cg_var(c, type, LLVMConstNull(type), "sum");
    for (RowVector n = {0}; next_vector(c, d, &n);) {
        const Val q = cg_vload(c, cg_at(c, q_row, DTYPE_f32, n.i), DTYPE_f32, c->lanes, n.mask);
        const Val k = cg_vload(c, cg_at(c, k_row, DTYPE_f32, n.i), DTYPE_f32, c->lanes, n.mask);
        cg_set(c, var[0], cg_fma(c, q, q, cg_get(c, type, var[0])));
        cg_set(c, var[1], cg_fma(c, k, k, cg_get(c, type, var[1])));
        cg_set(c, var[2], cg_fma(c, q, k, cg_get(c, type, var[2])));
    }
    for (int i = 0; i < 3; i++)
        sum[i] = cg_fold(c, cg_get(c, type, var[i]), cg_fadd);
}

static void
scale_row(Cg *c, const Delta *d, Val row, Val factor)
{
    CgLoop n = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, d->stride), c->lanes);
    const Val at = cg_at(c, row, DTYPE_f32, n.i);
    const Val x = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, x, cg_splat(c, factor, c->lanes)), c->lanes, NULL);
    cg_loop_end(c, &n);
}

static void
stage_group(Cg *c, const Delta *d)
{
    const Node *n = d->kernel->kernel->anchor;
    const Attr *eps = attrs_find(&n->attrs, ATTR_eps);
    stage(c, d, d->q, d->group, d->q_rows);
    stage(c, d, d->k, d->group, d->k_rows);
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), d->count, 1);
    const Val q_row = cg_element(c, d->q_rows, DTYPE_f32, t.i, d->stride, cg_i64(c, 0));
    const Val k_row = cg_element(c, d->k_rows, DTYPE_f32, t.i, d->stride, cg_i64(c, 0));
    Val sum[3], of_q = cg_f32(c, node_num(n, ATTR_scale, 1));
    row_sums(c, d, q_row, k_row, sum);
    if (eps) {
        const Val of_k = cg_rsqrt(c, cg_fadd(c, sum[1], cg_f32(c, eps->num)));
        of_q = cg_fmul(c, of_q, cg_rsqrt(c, cg_fadd(c, sum[0], cg_f32(c, eps->num))));
        scale_row(c, d, k_row, of_k);
        sum[2] = cg_fmul(c, sum[2], of_k);
    }
    scale_row(c, d, q_row, of_q);
    const Val dot = cg_fmul(c, sum[2], of_q);
    cg_vstore(c, cg_at(c, d->dots, DTYPE_f32, t.i), DTYPE_f32, dot, 1, NULL);
    cg_loop_end(c, &t);
}

/* a of each channel of the head's key, and a times q and k, for token t of the window. */
static void
stage_decays(Cg *c, const Delta *d, Val t)
{
    CgLoop n = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, d->stride), c->lanes);
    const Val at = cg_element(c, d->a_rows, DTYPE_f32, t, d->stride, n.i);
    const Val a = cg_exp(c, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
    const Val from[] = {d->q_rows, d->k_rows}, to[] = {d->qa_rows, d->ka_rows};
    cg_vstore(c, at, DTYPE_f32, a, c->lanes, NULL);
    for (int i = 0; i < 2; i++) {
        const Val x = cg_vload(c, cg_element(c, from[i], DTYPE_f32, t, d->stride, n.i), DTYPE_f32,
                               c->lanes, NULL);
        cg_vstore(c, cg_element(c, to[i], DTYPE_f32, t, d->stride, n.i), DTYPE_f32,
                  cg_fmul(c, a, x), c->lanes, NULL);
    }
    cg_loop_end(c, &n);
}

/* a and b of the head for each token of the window. */
static void
stage_head(Cg *c, const Delta *d)
{
    if (d->by_channel)
        stage(c, d, d->g, d->head, d->a_rows);
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), d->count, 1);
    const Val row = cg_add(c, d->row, t.i);
    if (d->by_channel) {
        stage_decays(c, d, t.i);
    } else {
        const Val a = cg_exp(c, cg_eval_one(c, d->kernel, d->g, row, d->head));
        cg_vstore(c, cg_at(c, d->decays, DTYPE_f32, t.i), DTYPE_f32, a, 1, NULL);
    }
    const Val b = cg_eval_one(c, d->kernel, d->b, row, d->head);
    cg_vstore(c, cg_at(c, d->betas, DTYPE_f32, t.i), DTYPE_f32, b, 1, NULL);
    cg_loop_end(c, &t);
}

/* ---- a strip ------------------------------------------------------------------------------- */

static Val
held_at(Cg *c, const Delta *d, Val n, int v)
{
    return cg_element(c, d->held, DTYPE_f32, n, (int64_t)d->vecs * c->lanes,
                      cg_i64(c, (int64_t)v * c->lanes));
}

static Val
state_at(Cg *c, const Delta *d, const Strip *s, Val n, int v)
{
    const Val p = cg_add(c, s->p, cg_i64(c, (int64_t)v * c->lanes));
    return cg_element(c, d->h, d->stored, n, d->head_dim, p);
}

/* Rows [stride] that a sweep reads: what u and w are sums with, and of the token before its key and
 * its decays. */
typedef struct {
    Val said, read, key, decays;
} SweepRows;

/* Row n of the state as it is when token t comes, or after the last. */
static Val
state_row(Cg *c, const Delta *d, const Strip *s, Sweep sweep, const SweepRows *rows, Val n, int v)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    if (sweep == SWEEP_FIRST) {
        const Val at = state_at(c, d, s, n, v);
        /* The same row of the next head; of the last head, what lies behind the state. */
        cg_prefetch(c, cg_at(c, at, d->stored, cg_i64(c, d->states * d->head_dim)), 2);
        return cg_vload(c, at, d->stored, c->lanes, strip_mask(s, v));
    }
    const Val old = cg_vload(c, held_at(c, d, n, v), DTYPE_f32, c->lanes, NULL);
    const Val a = d->by_channel ? number_at(c, rows->decays, n) : cg_get(c, c->f32, s->decay);
    const Val decay = cg_splat(c, a, c->lanes);
    const Val key = cg_splat(c, number_at(c, rows->key, n), c->lanes);
    return cg_fma(c, key, cg_get(c, type, s->d[v]), cg_fmul(c, decay, old));
}

static void
sweep_row(Cg *c, const Delta *d, const Strip *s, Sweep sweep, const SweepRows *rows, Val n)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    for (int v = 0; v < s->vecs; v++) {
        const Val h = state_row(c, d, s, sweep, rows, n, v);
        if (sweep == SWEEP_LAST) {
            cg_vstore(c, state_at(c, d, s, n, v), d->stored, h, c->lanes, strip_mask(s, v));
            continue;
        }
        const Val kept = cg_round(c, h, d->stored);
        const Val k = cg_splat(c, number_at(c, rows->said, n), c->lanes);
        const Val q = cg_splat(c, number_at(c, rows->read, n), c->lanes);
        cg_vstore(c, held_at(c, d, n, v), DTYPE_f32, kept, c->lanes, NULL);
        cg_set(c, s->said[v], cg_fma(c, k, kept, cg_get(c, type, s->said[v])));
        cg_set(c, s->read[v], cg_fma(c, q, kept, cg_get(c, type, s->read[v])));
    }
}

/* t: the token that comes; after the last, the count of the window's. */
static void
sweep_strip(Cg *c, const Delta *d, const Strip *s, Sweep sweep, Val t)
{
    const Val zero = cg_i64(c, 0), before = cg_sub(c, t, cg_i64(c, 1));
    const Val said = d->by_channel ? d->ka_rows : d->k_rows;
    const Val read = d->by_channel ? d->qa_rows : d->q_rows;
    SweepRows rows = {.said = cg_element(c, said, DTYPE_f32, t, d->stride, zero),
                      .read = cg_element(c, read, DTYPE_f32, t, d->stride, zero),
                      .key = cg_element(c, d->k_rows, DTYPE_f32, before, d->stride, zero)};
    if (d->by_channel)
        rows.decays = cg_element(c, d->a_rows, DTYPE_f32, before, d->stride, zero);
    for (int v = 0; v < s->vecs; v++) {
        const Val zeros = LLVMConstNull(cg_vec_type(c, c->lanes));
        cg_set(c, s->said[v], zeros);
        cg_set(c, s->read[v], zeros);
    }
    const int64_t unrolled = d->states / DELTA_UNROLL * DELTA_UNROLL;
    CgLoop n = cg_loop(c, "n", zero, cg_i64(c, unrolled), DELTA_UNROLL);
    for (int u = 0; u < DELTA_UNROLL; u++)
        sweep_row(c, d, s, sweep, &rows, cg_add(c, n.i, cg_i64(c, u)));
    cg_loop_end(c, &n);
    for (int64_t left = unrolled; left < d->states; left++)
        sweep_row(c, d, s, sweep, &rows, cg_i64(c, left));
}

/* What token t writes, and what it reads. */
static void
token_end(Cg *c, const Delta *d, const Strip *s, Val t)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val a = d->by_channel ? NULL : number_at(c, d->decays, t);
    const Val beta = cg_splat(c, number_at(c, d->betas, t), c->lanes);
    const Val dot = cg_splat(c, number_at(c, d->dots, t), c->lanes);
    const Val first = cg_add(c, cg_mul(c, d->head, cg_i64(c, d->head_dim)), s->p);
    if (a)
        cg_set(c, s->decay, a);
    for (int v = 0; v < s->vecs; v++) {
        const CgSite at = {.row = cg_add(c, d->row, t),
                           .col = cg_add(c, first, cg_i64(c, (int64_t)v * c->lanes)),
                           .lanes = c->lanes,
                           .mask = strip_mask(s, v)};
        cg_unbind_all(d->kernel);
        const Val value = cg_eval(c, d->kernel, d->v, &at);
        Val said = cg_get(c, type, s->said[v]), read = cg_get(c, type, s->read[v]);
        if (a) {
            said = cg_fmul(c, cg_splat(c, a, c->lanes), said);
            read = cg_fmul(c, cg_splat(c, a, c->lanes), read);
        }
        const Val change = cg_fmul(c, beta, cg_fsub(c, value, said));
        cg_set(c, s->d[v], change);
        cg_unbind_all(d->kernel);
        cg_bind(d->kernel, d->y, cg_fma(c, dot, change, read));
        cg_store_outputs(c, d->kernel, &at);
    }
}

/* The tokens of the window for `vecs` vectors of columns from p. */
static void
strip_tokens(Cg *c, const Delta *d, Val p, int vecs, Val mask)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val zero = cg_i64(c, 0);
    Strip s = {.vecs = vecs, .p = p, .mask = mask, .decay = cg_var(c, c->f32, NULL, "a")};
    for (int v = 0; v < vecs; v++) {
        s.d[v] = cg_var(c, type, NULL, "d");
        s.said[v] = cg_var(c, type, NULL, "u");
        s.read[v] = cg_var(c, type, NULL, "w");
    }
    sweep_strip(c, d, &s, SWEEP_FIRST, zero);
    token_end(c, d, &s, zero);
    CgLoop t = cg_loop(c, "t", cg_i64(c, 1), d->count, 1);
    sweep_strip(c, d, &s, SWEEP_NEXT, t.i);
    token_end(c, d, &s, t.i);
    cg_loop_end(c, &t);
    sweep_strip(c, d, &s, SWEEP_LAST, d->count);
}

static void
head_tokens(Cg *c, const Delta *d)
{
    const int64_t width = (int64_t)d->vecs * c->lanes;
    const int64_t full = d->head_dim / width * width, left = d->head_dim - full;
    stage_head(c, d);
    CgLoop p = cg_loop(c, "p", cg_i64(c, 0), cg_i64(c, full), width);
    strip_tokens(c, d, p.i, d->vecs, NULL);
    cg_loop_end(c, &p);
    if (left == 0)
        return;
    const int vecs = (int)((left + c->lanes - 1) / c->lanes);
    const Val lanes = cg_i64(c, left % c->lanes);
    strip_tokens(c, d, cg_i64(c, full), vecs,
                 left % c->lanes ? cg_mask_first(c, c->lanes, lanes) : NULL);
}

/* ---- the loops ------------------------------------------------------------------------------ */

static Delta
delta_open(Cg *c, CgKernel *k)
{
    const Node *n = k->kernel->anchor;
    Delta d = {.kernel = k,
               .q = n->in[0],
               .k = n->in[1],
               .v = n->in[2],
               .g = n->in[3],
               .b = n->in[4],
               .state = n->in[5],
               .y = n->out[0],
               .stored = n->in[5]->type.dtype,
               .heads = node_int(n, ATTR_heads, 1),
               .head_dim = node_int(n, ATTR_head_dim, 1),
               .groups = node_int(n, ATTR_groups, 1),
               .states = node_int(n, ATTR_state, 1),
               .by_channel = node_decays_by_channel(n)};
    const int64_t vector = d.states * c->lanes * (int64_t)sizeof(float);
    const int64_t columns = (d.head_dim + c->lanes - 1) / c->lanes;
    while (d.vecs < DELTA_MOST_VECS && d.vecs < columns &&
           (d.vecs == 0 || (d.vecs + 1) * vector <= DELTA_STRIP_BYTES))
        d.vecs++;
    d.stride = round_up(d.states, c->lanes);
    const int64_t row = DELTA_RUN * (int64_t)sizeof(float);
    d.q_rows = cg_scratch(c, k, row * d.stride);
    d.k_rows = cg_scratch(c, k, row * d.stride);
    d.dots = cg_scratch(c, k, row);
    if (d.by_channel) {
        d.a_rows = cg_scratch(c, k, row * d.stride);
        d.qa_rows = cg_scratch(c, k, row * d.stride);
        d.ka_rows = cg_scratch(c, k, row * d.stride);
    } else {
        d.decays = cg_scratch(c, k, row);
    }
    d.betas = cg_scratch(c, k, row);
    d.held = cg_scratch(c, k, d.vecs * vector);
    return d;
}

bool
emit_delta(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    Delta d = delta_open(c, k);
    CgGroup group = cg_group(c, k, d.heads, d.groups);
    const CgSeg seg = group.heads.seg;
    const Val states = cg_state_at(c, k, cg_operand(k, d.state), seg.slot);
    d.group = group.loop.i;
    CgLoop window = cg_loop(c, "window", cg_i64(c, 0), seg.len, DELTA_RUN);
    d.row = cg_add(c, seg.row, window.i);
    d.count = cg_min(c, cg_i64(c, DELTA_RUN), cg_sub(c, seg.len, window.i));
    stage_group(c, &d);
    CgLoop head = cg_loop(c, "head", group.first, group.last, 1);
    d.head = head.i;
    d.h = cg_at(c, states, d.stored, cg_mul(c, head.i, cg_i64(c, d.states * d.head_dim)));
    head_tokens(c, &d);
    cg_loop_end(c, &head);
    cg_loop_end(c, &window);
    cg_group_end(c, &group);
    return true;
}
