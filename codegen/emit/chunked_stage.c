/* codegen/emit/chunked_stage.c -- the chunked SSD kernel's operands, as its products want them: B,
 * C and CB = C B^T of a group's chunk; X and the state of a head. */
#include "codegen/emit/chunked.h"

/* ---- of a group: B, C and C B^T ---------------------------------------------------------- */

/* Columns of the group of B or C, rows of the chunk. factors: of the rows; NULL: none. */
static CgRegion
group_region(Cg *c, const Chunked *s, const Value *v, Val factors)
{
    return (CgRegion){.v = v,
                      .row = s->row,
                      .count = s->count,
                      .col = cg_mul(c, s->group, cg_i64(c, s->states)),
                      .width = s->states,
                      .factors = factors};
}

/* Rows of units along N. The half of an odd last pair that does not exist is 0. */
static void
stage_along_n(Cg *c, const Chunked *s, const Value *v, Val factors, Val to, int64_t stride)
{
    const CgRegion from = group_region(c, s, v, factors);
    cg_stage(c, s->k, &from, to, s->element, stride * s->shape.pairs);
    if (s->states % s->shape.pairs == 0)
        return;
    CgLoop i = cg_loop(c, "odd", cg_i64(c, 0), s->count, 1);
    const Val at =
        cg_element(c, to, s->element, i.i, stride * s->shape.pairs, cg_i64(c, s->states));
    cg_vstore(c, at, s->element, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &i);
}

static void
stage_b(Cg *c, const Chunked *s)
{
    const bool same = s->shape.pairs == 1; /* units along either index are plain rows */
    const Val rows = same ? s->b_units : s->b_rows;
    const int64_t stride = same ? s->shape.b_stride : s->shape.c_stride;
    stage_along_n(c, s, s->B, s->delta.b_factors, rows, stride);
    const CgMatrix from = {rows, stride}, to = {s->b_cols, round_up(s->chunk, c->lanes)};
    cg_transpose(c, s->unit, from, to, s->count, s->shape.n_units);
    if (same)
        return;
    const CgRegion along_q = group_region(c, s, s->B, s->delta.b_factors);
    cg_stage_pairs(c, s->k, &along_q, s->b_units, s->shape.b_stride);
}

/* In tiles that reach on or below the diagonal. */
void
chunked_stage_products(Cg *c, const Chunked *s, Val from, int64_t stride, Val to, Dtype dtype,
                       int64_t q_stride)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, s->shape.n_units);
    CgLoop i = cg_loop(c, "cb_row", zero, s->count, s->shape.cb_rows);
    const Val last = cg_min(c, s->count, cg_add(c, i.i, cg_i64(c, s->shape.cb_rows)));
    CgLoop j = cg_loop(c, "cb_col", zero, last, c->lanes);
    const CgSide left = {cg_element(c, from, s->unit, i.i, stride, zero), s->unit, stride, 1};
    const CgSide right = {cg_at(c, s->b_cols, s->unit, j.i), s->unit, 1,
                          round_up(s->chunk, c->lanes)};
    const CgTile tile = cg_tile(c, s->shape.cb_rows, 1, c->lanes);
    cg_tile_mac(c, &tile, &left, &right, zero, end);
    cg_tile_store(c, &tile, cg_element(c, to, dtype, i.i, q_stride, j.i), dtype, q_stride);
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

void
chunked_stage_group(Cg *c, const Chunked *s)
{
    stage_along_n(c, s, s->C, s->delta.c_factors, s->c_rows, s->shape.c_stride);
    stage_b(c, s);
    chunked_stage_products(c, s, s->c_rows, s->shape.c_stride, s->cb, s->element,
                           s->shape.q_stride);
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    CgLoop i = cg_loop(c, "above", cg_i64(c, 0), s->count, 1);
    for (int64_t v = 0; v < s->shape.rows; v += c->lanes) { /* as far as the tiles of Y read */
        const Val j = cg_add(c, i.i, cg_i64(c, 1 + v));
        const Val at = cg_element(c, s->cb, s->element, i.i, s->shape.q_stride, j);
        cg_vstore(c, at, s->element, zeros, c->lanes, NULL);
    }
    cg_loop_end(c, &i);
}

/* ---- of a head: X and the state as units ------------------------------------------------- */

void
chunked_stage_x(Cg *c, const Chunked *s)
{
    const CgRegion from = {.v = s->x,
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

/* Unit `unit` of the state: a row, or two; alone: the second does not exist. */
static void
stage_state_unit(Cg *c, const Chunked *s, Val unit, bool alone)
{
    const Dtype stored = s->stored;
    const Val n = cg_mul(c, unit, cg_i64(c, s->shape.pairs)), zero = cg_i64(c, 0);
    const Val from = cg_element(c, s->h, stored, n, s->head_dim, zero);
    const Val below = alone ? NULL : cg_at(c, from, stored, cg_i64(c, s->head_dim));
    const Val line = cg_element(c, s->h_units, s->unit, unit, s->shape.x_stride, zero);
    const Val end = cg_i64(c, s->head_dim);
    for (CgColumns col = cg_columns(c, zero, zero, end, c->lanes); cg_columns_next(c, &col);) {
        const CgSite *at = &col.at;
        const Val to = cg_at(c, line, s->unit, at->col);
        Val value = cg_vload(c, cg_at(c, from, stored, at->col), stored, at->lanes, at->mask);
        if (s->shape.pairs == 2) {
            Val second = cg_like(c, value, 0);
            if (below)
                second = cg_vload(c, cg_at(c, below, stored, at->col), stored, at->lanes, at->mask);
            value = cg_bf16_pairs(c, value, second);
        }
        cg_vstore(c, to, s->unit, value, at->lanes, NULL);
    }
}

void
chunked_stage_state(Cg *c, const Chunked *s)
{
    const int64_t whole = s->states / s->shape.pairs;
    CgLoop unit = cg_loop(c, "unit", cg_i64(c, 0), cg_i64(c, whole), 1);
    stage_state_unit(c, s, unit.i, false);
    cg_loop_end(c, &unit);
    if (whole < s->shape.n_units)
        stage_state_unit(c, s, cg_i64(c, whole), true);
}
