/* codegen/emit/chunked_delta.c -- the gated delta rule by chunks: the chunked SSD kernel with X
 * that is solved for (Yang et al., "Parallelizing Linear Transformers with the Delta Rule over
 * Sequence Length", 2024, section 3; with decays "Gated Delta Networks", section 3.3).
 *
 * What token i of a chunk writes under its key k_i is b_i times what v_i differs by from what the
 * state before it says. With h the state before the chunk and a_i the sum of g up to token i,
 *     u_i = b_i (v_i - exp(a_i) k_i h - sum over j < i of exp(a_i - a_j) (k_i . k_j) u_j),
 * and the state goes on, and is read, as an SSD's with B = k, C = q, x = u and steps of 1. The
 * papers multiply k and v by the inverse of that triangle (W and U of the WY representation); with
 * the state at hand solving it for u is one product less.
 *
 * With the factors of codegen/emit/decay.h, X_j = weight_j u_j as the SSD's products want them, and
 * M = K K^T, or under steep decay M_ij = exp(a_i - a_j) (k_i . k_j):
 *     X_i = weight_i b_i (v_i - leave_i (keep_i k_i h + sum over j < i of M_ij X_j)).
 * Rows are solved in register tiles: products with the state and with all rows before the tile's,
 * then row after row within it. It is all in f32 but for k_i h, which multiplies what the other
 * products do. */
#include "codegen/emit/chunked.h"

enum { DELTA_Q, DELTA_K, DELTA_V, DELTA_G, DELTA_B, DELTA_STATE };

void
chunked_delta_bind(Chunked *s, const Node *n)
{
    s->C = n->in[DELTA_Q];
    s->B = n->in[DELTA_K];
    s->x = n->in[DELTA_V];
    s->dt = n->in[DELTA_G];
    s->state = n->in[DELTA_STATE];
    s->y = n->out[0];
    s->heads = node_int(n, ATTR_heads, 1);
    s->head_dim = node_int(n, ATTR_head_dim, 1);
    s->groups = node_int(n, ATTR_groups, 1);
    s->states = node_int(n, ATTR_state, 1);
    s->chunk = node_int(n, ATTR_chunk, CHUNK_ALL);
    s->delta.b = n->in[DELTA_B];
    s->delta.eps = attrs_find(&n->attrs, ATTR_eps);
    s->delta.scale = node_num(n, ATTR_scale, 1);
}

static Val
number_at(Cg *c, Val base, Val index)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

static int64_t
more(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- scratch ------------------------------------------------------------------------------ */

static Val
floats(Cg *c, const Chunked *s, int64_t count)
{
    return cg_scratch(c, s->k, (count + c->lanes) * (int64_t)sizeof(float));
}

/* Keys and what the state says of them: whole blocks of tiles of rows. */
static void
reserve_unit(Cg *c, Chunked *s)
{
    const TileUnit *u = &s->tiles;
    ChunkedDelta *d = &s->delta;
    d->keys_all = cg_scratch(c, s->k, u->most * u->c_bytes);
    d->said_stride = more(d->shape.x_stride, u->p_tiles * TILE_UNIT_SIDE);
    d->said = floats(c, s, more(u->q_steps * TILE_UNIT_STEP, d->shape.q_rows) * d->said_stride);
}

void
chunked_delta_reserve(Cg *c, Chunked *s)
{
    ChunkedDelta *d = &s->delta;
    TileChunk *t = &d->shape;
    const int64_t steps = round_up(s->chunk, TILE_UNIT_STEP);
    if (s->on_unit)
        t->q_stride = more(t->q_stride, steps);
    const int64_t rows = t->q_stride + t->rows;
    d->rows =
        more(more(t->q_rows, s->shape.q_rows), s->on_unit ? steps : round_up(s->chunk, c->lanes));
    d->kk_all = floats(c, s, t->most * d->rows * t->q_stride);
    d->m = floats(c, s, t->rows * t->q_stride);
    d->gain = floats(c, s, rows);
    d->c_factors = floats(c, s, rows);
    if (d->eps)
        d->b_factors = floats(c, s, rows);
    if (s->on_unit)
        reserve_unit(c, s);
    else if (s->shape.pairs == 2)
        d->keys_all = floats(c, s, t->most * d->rows * s->shape.c_stride);
    d->solved = !d->keys_all ? s->x_units : floats(c, s, t->q_rows * t->x_stride);
}

void
chunked_delta_open(Cg *c, Chunked *s, Val number)
{
    ChunkedDelta *d = &s->delta;
    const Val zero = cg_i64(c, 0);
    d->kk = cg_element(c, d->kk_all, DTYPE_f32, number, d->rows * d->shape.q_stride, zero);
    if (s->on_unit)
        s->b_rows = cg_offset(c, d->keys_all, cg_mul(c, number, cg_i64(c, s->tiles.c_bytes)));
    else if (d->keys_all)
        s->b_rows = cg_element(c, d->keys_all, s->unit, number, d->rows * s->shape.c_stride, zero);
}

/* ---- of a group: keys and queries ---------------------------------------------------------- */

/* The sum of squares of a row's columns in the group. */
static Val
squares(Cg *c, const Chunked *s, const Value *v, Val row)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val col = cg_mul(c, s->group, cg_i64(c, s->states));
    const Val sums = cg_var(c, type, LLVMConstNull(type), "squares");
    const Val alone = cg_var(c, c->f32, cg_f32(c, 0), "square");
    const Val end = cg_add(c, col, cg_i64(c, s->states));
    for (CgColumns at = cg_columns(c, row, col, end, c->lanes); cg_columns_next(c, &at);) {
        cg_unbind_all(s->k);
        Val x = cg_eval(c, s->k, v, &at.at);
        if (at.at.mask)
            x = LLVMBuildSelect(c->b, at.at.mask, x, cg_like(c, x, 0), "");
        const Val to = at.at.lanes == c->lanes ? sums : alone;
        cg_set(c, to, cg_fma(c, x, x, cg_get(c, LLVMTypeOf(x), to)));
    }
    return cg_fadd(c, cg_fold(c, cg_get(c, type, sums), cg_fadd), cg_get(c, c->f32, alone));
}

/* scale / sqrt(sum of squares + eps), or scale, of each row. */
static void
factors(Cg *c, const Chunked *s, const Value *v, double scale, Val to)
{
    CgLoop i = cg_loop(c, "factor", cg_i64(c, 0), s->count, 1);
    Val factor = cg_f32(c, scale);
    if (s->delta.eps) {
        const Val sum = squares(c, s, v, cg_add(c, s->row, i.i));
        const Val norm = cg_rsqrt(c, cg_fadd(c, sum, cg_f32(c, s->delta.eps->num)));
        factor = cg_fmul(c, factor, norm);
    }
    cg_vstore(c, cg_at(c, to, DTYPE_f32, i.i), DTYPE_f32, factor, 1, NULL);
    cg_loop_end(c, &i);
}

void
chunked_delta_factors(Cg *c, const Chunked *s)
{
    factors(c, s, s->C, s->delta.scale, s->delta.c_factors);
    if (s->delta.b_factors)
        factors(c, s, s->B, 1, s->delta.b_factors);
}

/* Rows of keys along N. */
static CgSide
keys(Cg *c, const Chunked *s, Val first)
{
    const bool plain = s->shape.pairs == 1;
    const int64_t stride = plain ? s->shape.b_stride : s->shape.c_stride;
    const Val base = plain ? s->b_units : s->b_rows;
    return (CgSide){cg_element(c, base, s->unit, first, stride, cg_i64(c, 0)), s->unit, stride, 1};
}

void
chunked_delta_products(Cg *c, const Chunked *s)
{
    if (s->on_unit) {
        chunked_unit_products(c, s);
        return;
    }
    const CgSide left = keys(c, s, cg_i64(c, 0));
    chunked_stage_products(c, s, left.base, left.stride, s->delta.kk, DTYPE_f32,
                           s->delta.shape.q_stride);
}

/* ---- of a head: X -------------------------------------------------------------------------- */

static void
stage_gain(Cg *c, const Chunked *s)
{
    CgLoop i = cg_loop(c, "gain", cg_i64(c, 0), s->count, 1);
    const Val b = cg_eval_one(c, s->k, s->delta.b, cg_add(c, s->row, i.i), s->head);
    const Val gain = cg_fmul(c, b, number_at(c, s->decay.weight, i.i));
    cg_vstore(c, cg_at(c, s->delta.gain, DTYPE_f32, i.i), DTYPE_f32, gain, 1, NULL);
    cg_loop_end(c, &i);
}

static Val
solved_at(Cg *c, const Chunked *s, Val i, Val p)
{
    return cg_element(c, s->delta.solved, DTYPE_f32, i, s->delta.shape.x_stride, p);
}

/* X of row r of the tile, token i, from its sums, to x and into scratch. */
static void
solve_row(Cg *c, const Chunked *s, const CgTile *tile, int r, Val i, Val p, Val *x)
{
    const Val gain = cg_splat(c, number_at(c, s->delta.gain, i), c->lanes);
    const Val leave = cg_splat(c, number_at(c, s->decay.leave, i), c->lanes);
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    for (int v = 0; v < tile->vecs; v++) {
        const Val across = cg_i64(c, (int64_t)v * c->lanes);
        const CgSite site = {.row = cg_add(c, s->row, i),
                             .col = cg_add(c, col, across),
                             .lanes = c->lanes,
                             .mask = cg_tile_mask(c, s->head_dim, s->delta.shape.width, p, v)};
        cg_unbind_all(s->k);
        const Val value = cg_eval(c, s->k, s->x, &site);
        const Val said = cg_fmul(c, leave, cg_tile_get(c, tile, r, v));
        x[v] = cg_fmul(c, gain, cg_fsub(c, value, said));
        cg_vstore(c, solved_at(c, s, i, cg_add(c, p, across)), DTYPE_f32, x[v], c->lanes, NULL);
    }
}

/* The tile's rows, one after the other: each is taken from those below it. m: its first row of M.
 */
static void
solve_rows(Cg *c, const Chunked *s, const CgTile *tile, Val m, Val first, Val p)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    for (int r = 0; r < tile->rows; r++) {
        Val x[TILE_MOST];
        const Val i = cg_add(c, first, cg_i64(c, r));
        CgIf exists = cg_if(c, cg_less(c, i, s->count));
        solve_row(c, s, tile, r, i, p, x);
        for (int below = r + 1; below < tile->rows; below++) {
            const Val at = cg_add(c, i, cg_i64(c, below * s->delta.shape.q_stride));
            const Val factor = cg_splat(c, number_at(c, m, at), c->lanes);
            for (int v = 0; v < tile->vecs; v++) {
                const Val acc = tile->acc[below * tile->vecs + v];
                cg_set(c, acc, cg_fma(c, factor, x[v], cg_get(c, type, acc)));
            }
        }
        cg_endif(c, &exists);
    }
}

/* What the state says of the tile's keys, added to the tile, which is zero. */
static void
add_said(Cg *c, const Chunked *s, const CgTile *tile, Val first, Val p)
{
    const int64_t stride = s->delta.said_stride;
    for (int r = 0; s->delta.said && r < tile->rows; r++)
        for (int v = 0; v < tile->vecs; v++) {
            const Val at = cg_element(c, s->delta.said, DTYPE_f32, cg_add(c, first, cg_i64(c, r)),
                                      stride, cg_add(c, p, cg_i64(c, (int64_t)v * c->lanes)));
            cg_set(c, tile->acc[r * tile->vecs + v], cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        }
    if (s->delta.said)
        return;
    const CgSide left = keys(c, s, first);
    const CgSide h = s->h_units
                         ? (CgSide){cg_at(c, s->h_units, s->unit, p), s->unit, 1, s->shape.x_stride}
                         : (CgSide){cg_at(c, s->h, DTYPE_f32, p), DTYPE_f32, 1, s->head_dim};
    cg_tile_mac(c, tile, &left, &h, cg_i64(c, 0), cg_i64(c, s->shape.n_units));
}

/* m: row `first` of M. */
static void
solve_tile(Cg *c, const Chunked *s, Val m, Val first, Val p)
{
    const TileChunk *t = &s->delta.shape;
    const Val zero = cg_i64(c, 0);
    const CgSide before = {m, DTYPE_f32, t->q_stride, 1};
    const CgSide x = {solved_at(c, s, zero, p), DTYPE_f32, 1, t->x_stride};
    const CgTile tile = cg_tile(c, t->rows, t->vecs, c->lanes);
    add_said(c, s, &tile, first, p);
    cg_tile_scale(c, &tile, cg_at(c, s->decay.keep, DTYPE_f32, first));
    cg_tile_mac(c, &tile, &before, &x, zero, first);
    solve_rows(c, s, &tile, m, first, p);
}

static void
solve(Cg *c, const Chunked *s, Val bounded)
{
    const TileChunk *t = &s->delta.shape;
    Chunked kk = *s; /* whose M is of B B^T */
    kk.shape = *t;
    kk.element = DTYPE_f32;
    kk.cb = s->delta.kk;
    kk.m = s->delta.m;
    const Val zero = cg_i64(c, 0);
    CgLoop i = cg_loop(c, "solve", zero, s->count, t->rows);
    const Val plain = cg_element(c, kk.cb, DTYPE_f32, i.i, t->q_stride, zero);
    const Val m = LLVMBuildSelect(c->b, bounded, plain, kk.m, "m");
    CgIf steep = cg_if(c, LLVMBuildNot(c->b, bounded, ""));
    chunked_steep_m(c, &kk, i.i);
    cg_endif(c, &steep);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), t->width);
    solve_tile(c, s, m, i.i, p.i);
    cg_loop_end(c, &p);
    cg_loop_end(c, &i);
}

/* Rows 2 * pair and the one below of X as pairs. alone: there is none below. weighed: times their
 * weights. */
static void
stage_pair(Cg *c, const Chunked *s, Val pair, bool alone, bool weighed)
{
    const Val i = cg_mul(c, pair, cg_i64(c, 2)), zero = cg_i64(c, 0);
    const Val to = cg_element(c, s->x_units, s->unit, pair, s->shape.x_stride, zero);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), c->lanes);
    Val row[2];
    for (int r = 0; r < 2; r++) {
        const Val token = cg_add(c, i, cg_i64(c, r));
        row[r] = cg_splat(c, cg_f32(c, 0), c->lanes);
        if (r && alone)
            continue;
        row[r] = cg_vload(c, solved_at(c, s, token, p.i), DTYPE_f32, c->lanes, NULL);
        if (weighed)
            row[r] =
                cg_fmul(c, row[r], cg_splat(c, number_at(c, s->decay.weight, token), c->lanes));
    }
    cg_vstore(c, cg_at(c, to, s->unit, p.i), s->unit, cg_bf16_pairs(c, row[0], row[1]), c->lanes,
              NULL);
    cg_loop_end(c, &p);
}

static void
stage_pairs(Cg *c, const Chunked *s, bool weighed)
{
    const Val whole = cg_div(c, s->count, cg_i64(c, 2));
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, 0), whole, 1);
    stage_pair(c, s, pair.i, false, weighed);
    cg_loop_end(c, &pair);
    CgIf odd = cg_if(c, cg_less(c, whole, cg_div_up(c, s->count, cg_i64(c, 2))));
    stage_pair(c, s, whole, true, weighed);
    cg_endif(c, &odd);
}

void
chunked_delta_x(Cg *c, const Chunked *s, Val bounded)
{
    stage_gain(c, s);
    if (s->on_unit)
        chunked_unit_said(c, s);
    solve(c, s, bounded);
    if (s->on_unit)
        cg_decay_weighed(c, &s->decay, s->count);
    else if (s->shape.pairs == 2)
        stage_pairs(c, s, false);
}

void
chunked_delta_weigh(Cg *c, const Chunked *s)
{
    if (s->shape.pairs == 2) {
        stage_pairs(c, s, true);
        return;
    }
    CgLoop i = cg_loop(c, "weigh", cg_i64(c, 0), s->count, 1);
    const Val weight = cg_splat(c, number_at(c, s->decay.weight, i.i), c->lanes);
    CgLoop p = cg_loop(c, "p", cg_i64(c, 0), cg_i64(c, s->head_dim), c->lanes);
    const Val at = solved_at(c, s, i.i, p.i);
    cg_vstore(c, at, DTYPE_f32, cg_fmul(c, cg_vload(c, at, DTYPE_f32, c->lanes, NULL), weight),
              c->lanes, NULL);
    cg_loop_end(c, &p);
    cg_loop_end(c, &i);
}
