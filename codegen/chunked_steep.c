/* codegen/chunked_steep.c -- the chunked SSD kernel where decay is steep: M_ij = CB_ij exp(a_i -
 * a_j) dt_j for j <= i, else 0, for one tile of rows.
 *
 * Only differences a_i - a_j <= 0 are raised to powers. For tokens j before the tile's first row
 * s + 1, exp(a_i - a_j) = exp(a_i - a_s) exp(a_s - a_j): one exponential a token and one a row in
 * place of one a pair. */
#include "codegen/chunked.h"

static Val
load_f32(Cg *c, Val base, Val index, int lanes)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, lanes, NULL);
}

static Val
load_cb(Cg *c, const Chunked *s, Val i, Val j)
{
    const Val at = cg_element(c, s->cb, s->element, i, s->shape.q_stride, j);
    return cg_vload(c, at, s->element, c->lanes, NULL);
}

static void
store_m(Cg *c, const Chunked *s, int r, Val j, Val m)
{
    const Val at = cg_element(c, s->m, s->element, cg_i64(c, r), s->shape.q_stride, j);
    cg_vstore(c, at, s->element, m, c->lanes, NULL);
}

/* Tokens before the tile's. Whole vectors: m_diagonal comes after and puts right what reaches past
 * them. */
static void
m_before(Cg *c, const Chunked *s, Val first)
{
    const CgSum a = cg_decay_at(c, &s->decay, cg_sub(c, first, cg_i64(c, 1)));
    Val factor[TILE_MOST];
    cg_decay_weights(c, &s->decay, a, first);
    for (int64_t r = 0; r < s->shape.rows; r += c->lanes) { /* exp(a_i - a_s) for the tile's rows */
        const Val since = cg_decay_until(c, &s->decay, a, cg_add(c, first, cg_i64(c, r)));
        const Val to = cg_at(c, s->since, DTYPE_f32, cg_i64(c, r));
        cg_vstore(c, to, DTYPE_f32, since, c->lanes, NULL);
    }
    for (int r = 0; r < s->shape.rows; r++)
        factor[r] = cg_splat(c, load_f32(c, s->since, cg_i64(c, r), 1), c->lanes);
    CgLoop j = cg_loop(c, "m", cg_i64(c, 0), first, c->lanes);
    const Val weight = load_f32(c, s->decay.weight, j.i, c->lanes);
    for (int r = 0; r < s->shape.rows; r++) {
        const Val cb = load_cb(c, s, cg_add(c, first, cg_i64(c, r)), j.i);
        store_m(c, s, r, j.i, cg_fmul(c, cg_fmul(c, cb, weight), factor[r]));
    }
    cg_loop_end(c, &j);
}

/* The tile's own tokens, in vectors that begin at its first: the diagonal is in the same lane
 * whatever the tile, and 0 comes after it. */
static void
m_diagonal(Cg *c, const Chunked *s, Val first)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    for (int r = 0; r < s->shape.rows; r++) {
        const Val i = cg_add(c, first, cg_i64(c, r));
        const CgSum a = cg_decay_at(c, &s->decay, i);
        for (int v = 0; v < s->shape.rows; v += c->lanes) {
            const Val j = cg_add(c, first, cg_i64(c, v));
            const Val lower = cg_mask_first(c, c->lanes, cg_i64(c, r + 1 > v ? r + 1 - v : 0));
            const Val weight = cg_fmul(c, cg_decay_since(c, &s->decay, a, j),
                                       load_f32(c, s->decay.step, j, c->lanes));
            const Val m = cg_fmul(c, load_cb(c, s, i, j), weight);
            store_m(c, s, r, j, LLVMBuildSelect(c->b, lower, m, zeros, ""));
        }
    }
}

void
chunked_steep_m(Cg *c, const Chunked *s, Val first)
{
    CgIf later = cg_if(c, cg_less(c, cg_i64(c, 0), first));
    m_before(c, s, first);
    cg_endif(c, &later);
    m_diagonal(c, s, first);
}
