/* codegen/chunked_stage.c -- the chunked SSD kernel's operands, as its products want them: B, C and
 * CB = C B^T of a group's chunk; X and the state of a head. */
#include "codegen/chunked.h"

/* ---- small pieces ------------------------------------------------------------------------ */

Val
chunked_at(Cg *c, Val base, Dtype dtype, Val row, int64_t stride, Val col)
{
    return cg_at(c, base, dtype, cg_add(c, cg_mul(c, row, cg_i64(c, stride)), col));
}

Val
chunked_units(Cg *c, const Chunked *s, Val elements)
{
    const Val more = cg_add(c, elements, cg_i64(c, s->shape.pairs - 1));
    return cg_div(c, more, cg_i64(c, s->shape.pairs));
}

int64_t
chunked_state_units(const Chunked *s)
{
    return (s->states + s->shape.pairs - 1) / s->shape.pairs;
}

/* ---- of a group: B, C and C B^T ---------------------------------------------------------- */

/* Rows of units along N. The half of an odd last pair that does not exist is 0. */
static void
stage_along_n(Cg *c, const Chunked *s, const Value *v, Val to, int64_t stride)
{
    const CgBlock from = {.v = v,
                          .row = s->row,
                          .count = s->count,
                          .col = cg_mul(c, s->group, cg_i64(c, s->states)),
                          .width = s->states};
    cg_stage(c, s->k, &from, to, s->element, stride * s->shape.pairs);
    if (s->states % s->shape.pairs == 0)
        return;
    CgLoop i = cg_loop(c, "odd", cg_i64(c, 0), s->count, 1);
    const Val at =
        chunked_at(c, to, s->element, i.i, stride * s->shape.pairs, cg_i64(c, s->states));
    cg_vstore(c, at, s->element, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &i);
}

static void
stage_b(Cg *c, const Chunked *s)
{
    const bool same = s->shape.pairs == 1; /* units along either index are plain rows */
    const Val rows = same ? s->b_units : s->b_rows;
    const int64_t stride = same ? s->shape.b_stride : s->shape.c_stride;
    stage_along_n(c, s, s->B, rows, stride);
    const CgMatrix from = {rows, stride}, to = {s->b_cols, round_up(s->chunk, s->lanes)};
    cg_transpose(c, s->unit, from, to, s->count, chunked_state_units(s));
    if (same)
        return;
    const CgBlock along_q = {.v = s->B,
                             .row = s->row,
                             .count = s->count,
                             .col = cg_mul(c, s->group, cg_i64(c, s->states)),
                             .width = s->states};
    cg_stage_pairs(c, s->k, &along_q, s->b_units, s->shape.b_stride);
}

/* CB in tiles that reach on or below the diagonal. */
static void
products_cb(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, chunked_state_units(s));
    CgLoop i = cg_loop(c, "cb_row", zero, s->count, s->shape.cb_rows);
    const Val last = cg_min(c, s->count, cg_add(c, i.i, cg_i64(c, s->shape.cb_rows)));
    CgLoop j = cg_loop(c, "cb_col", zero, last, s->lanes);
    const CgSide left = {chunked_at(c, s->c_rows, s->unit, i.i, s->shape.c_stride, zero), s->unit,
                         s->shape.c_stride, 1};
    const CgSide right = {cg_at(c, s->b_cols, s->unit, j.i), s->unit, 1,
                          round_up(s->chunk, s->lanes)};
    const CgTile tile = cg_tile(c, s->shape.cb_rows, 1, s->lanes);
    cg_tile_mac(c, &tile, &left, &right, zero, end);
    cg_tile_store_as(c, &tile, chunked_at(c, s->cb, s->element, i.i, s->shape.q_stride, j.i),
                     s->element, s->shape.q_stride);
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

/* 0 above the diagonal, as far as the tiles of Y read a row. */
static void
clear_above(Cg *c, const Chunked *s)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), s->lanes);
    CgLoop i = cg_loop(c, "above", cg_i64(c, 0), s->count, 1);
    for (int64_t v = 0; v < s->shape.rows; v += s->lanes) {
        const Val j = cg_add(c, i.i, cg_i64(c, 1 + v));
        const Val at = chunked_at(c, s->cb, s->element, i.i, s->shape.q_stride, j);
        cg_vstore(c, at, s->element, zeros, s->lanes, NULL);
    }
    cg_loop_end(c, &i);
}

void
chunked_stage_group(Cg *c, const Chunked *s)
{
    stage_along_n(c, s, s->C, s->c_rows, s->shape.c_stride);
    stage_b(c, s);
    products_cb(c, s);
    clear_above(c, s);
}

/* ---- of a head: X and the state as units ------------------------------------------------- */

void
chunked_stage_x(Cg *c, const Chunked *s)
{
    const CgBlock from = {.v = s->x,
                          .row = s->row,
                          .count = s->count,
                          .col = cg_mul(c, s->head, cg_i64(c, s->head_dim)),
                          .width = s->head_dim,
                          .factors = s->decay.weight};
    if (s->shape.pairs == 2)
        cg_stage_pairs(c, s->k, &from, s->x_units, s->shape.x_stride);
    else
        cg_stage(c, s->k, &from, s->x_units, DTYPE_f32, s->shape.x_stride);
}

typedef struct {
    const Chunked *s;
    Val from, below; /* a row of the state; the next one, or NULL: zeros */
    Val to;
} StateUnits;

static void
units_site(Cg *c, CgKernel *k, const CgSite *site, void *user)
{
    (void)k;
    const StateUnits *r = user;
    const Val to = cg_at(c, r->to, r->s->unit, site->col);
    const Dtype kept = r->s->kept;
    const Val from = cg_at(c, r->from, kept, site->col);
    Val unit = cg_vload(c, from, kept, site->lanes, site->mask);
    if (r->s->shape.pairs == 2) {
        Val below = cg_like(c, unit, 0);
        if (r->below)
            below = cg_vload(c, cg_at(c, r->below, kept, site->col), kept, site->lanes, site->mask);
        unit = cg_bf16_pairs(c, unit, below);
    }
    cg_vstore(c, to, r->s->unit, unit, site->lanes, NULL);
}

static void
stage_state_unit(Cg *c, const Chunked *s, Val unit, bool alone)
{
    const Val n = cg_mul(c, unit, cg_i64(c, s->shape.pairs)), zero = cg_i64(c, 0);
    const Val from = chunked_at(c, s->h, s->kept, n, s->head_dim, zero);
    StateUnits r = {.s = s,
                    .from = from,
                    .below = alone ? NULL : cg_at(c, from, s->kept, cg_i64(c, s->head_dim)),
                    .to = chunked_at(c, s->h_units, s->unit, unit, s->shape.x_stride, zero)};
    cg_columns(c, s->k, zero, zero, cg_i64(c, s->head_dim), s->lanes, units_site, &r);
}

void
chunked_stage_state(Cg *c, const Chunked *s)
{
    const int64_t whole = s->states / s->shape.pairs;
    CgLoop unit = cg_loop(c, "unit", cg_i64(c, 0), cg_i64(c, whole), 1);
    stage_state_unit(c, s, unit.i, false);
    cg_loop_end(c, &unit);
    if (whole < chunked_state_units(s))
        stage_state_unit(c, s, cg_i64(c, whole), true);
}
