/* codegen/emit/chunked_unit_stage.c -- the chunked SSD kernel's operands as tiles of the matrix
 * unit: B, C and CB = C B^T of a group's chunk; X and the state of a head.
 *
 * Padding along a summed index is 0 on both sides, for 0 times what scratch held before may be NaN:
 * C and B past N, B^T and X past the chunk's last token, the copy of the state past N. Rows and
 * columns of results past the last are computed from whatever lies there, and not used. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP };

/* ---- of a group: B and C ----------------------------------------------------------------- */

/* Columns [from, from + STEP) of token i of the group, as one row of a left tile; of N columns. */
static void
stage_step(Cg *c, const Chunked *s, const Value *v, Val i, Val from, int64_t exist, Val to)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    const Val group = cg_mul(c, s->group, cg_i64(c, s->states));
    for (int64_t n = 0; n < STEP; n += c->lanes) {
        const int64_t left = exist - n;
        CgSite at = {.row = cg_add(c, s->row, i),
                     .col = cg_add(c, group, cg_add(c, from, cg_i64(c, n))),
                     .lanes = c->lanes};
        Val value = zeros;
        if (left > 0 && left < c->lanes)
            at.mask = cg_mask_first(c, c->lanes, cg_i64(c, left));
        cg_unbind_all(s->k);
        if (left > 0)
            value = cg_eval(c, s->k, v, &at);
        if (at.mask)
            value = LLVMBuildSelect(c->b, at.mask, value, zeros, "");
        cg_vstore(c, cg_at(c, to, DTYPE_bf16, cg_i64(c, n)), DTYPE_bf16, value, c->lanes, NULL);
    }
}

/* v of the chunk's tokens as left tiles along N. */
static void
stage_along_n(Cg *c, const Chunked *s, const Value *v, Val to)
{
    const int64_t whole = s->states / STEP, rest = s->states % STEP;
    CgLoop i = cg_loop(c, "stage", cg_i64(c, 0), s->count, 1);
    const Val row = chunked_tile_row(c, to, i.i, s->tiles.n_steps);
    CgLoop k = cg_loop(c, "step", cg_i64(c, 0), cg_i64(c, whole), 1);
    stage_step(c, s, v, i.i, cg_mul(c, k.i, cg_i64(c, STEP)), STEP, chunked_tile(c, row, k.i));
    cg_loop_end(c, &k);
    if (rest)
        stage_step(c, s, v, i.i, cg_i64(c, whole * STEP), rest,
                   chunked_tile(c, row, cg_i64(c, whole)));
    cg_loop_end(c, &i);
}

/* Rows [from, to) of b_pairs, or of tiles `tiles` wide where it is not 0. */
static void
clear_rows(Cg *c, Val base, Val from, Val to, int64_t tiles, int64_t columns)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    CgLoop row = cg_loop(c, "clear", from, to, 1);
    const Val line = tiles ? chunked_tile_row(c, base, row.i, tiles)
                           : cg_at(c, base, DTYPE_f32, cg_mul(c, row.i, cg_i64(c, columns)));
    for (ChunkedCells at = chunked_cells(columns); chunked_cells_next(c, &at);)
        cg_vstore(c, tiles ? cg_offset(c, line, at.byte) : cg_at(c, line, DTYPE_f32, at.col),
                  DTYPE_f32, zeros, c->lanes, NULL);
    cg_loop_end(c, &row);
}

/* Pairs of tokens past the last, as far as steps go: [pair[0], pair[1]). */
static void
pairs_after(Cg *c, const Chunked *s, Val pair[2])
{
    pair[0] = cg_div_up(c, s->count, cg_i64(c, 2));
    pair[1] = cg_mul(c, cg_div_up(c, s->count, cg_i64(c, STEP)), cg_i64(c, SIDE));
}

/* B^T as left tiles along Q: pairs of tokens, one row after the other, turned square by square. */
static void
stage_b_along_q(Cg *c, const Chunked *s)
{
    const CgRegion from = {.v = s->B,
                           .row = s->row,
                           .count = s->count,
                           .col = cg_mul(c, s->group, cg_i64(c, s->states)),
                           .width = s->states};
    const int64_t columns = s->tiles.n_tiles * SIDE;
    const Val zero = cg_i64(c, 0);
    Val pair[2];
    cg_stage_pairs(c, s->k, &from, s->b_pairs, columns);
    pairs_after(c, s, pair);
    clear_rows(c, s->b_pairs, pair[0], pair[1], 0, columns);
    CgLoop k = cg_loop(c, "step", zero, cg_div_up(c, s->count, cg_i64(c, STEP)), 1);
    CgLoop n = cg_loop(c, "tile", zero, cg_i64(c, s->tiles.n_tiles), 1);
    const Val corner = cg_element(c, s->b_pairs, DTYPE_i32, cg_mul(c, k.i, cg_i64(c, SIDE)),
                                  columns, cg_mul(c, n.i, cg_i64(c, SIDE)));
    const Val tile = cg_add(c, cg_mul(c, n.i, cg_i64(c, s->tiles.q_steps)), k.i);
    const CgMatrix pairs = {corner, columns}, to = {chunked_tile(c, s->b_units, tile), SIDE};
    cg_transpose(c, DTYPE_i32, pairs, to, cg_i64(c, SIDE), SIDE);
    cg_loop_end(c, &n);
    cg_loop_end(c, &k);
}

/* ---- C B^T ------------------------------------------------------------------------------- */

/* B's tiles turned: the right operand, tiles of a column one after the other. */
static void
stage_b_cols(Cg *c, const Chunked *s)
{
    const Val tiles =
        cg_mul(c, cg_div_up(c, s->count, cg_i64(c, STEP)), cg_i64(c, 2 * s->tiles.n_steps));
    stage_along_n(c, s, s->B, s->b_rows);
    CgLoop t = cg_loop(c, "tile", cg_i64(c, 0), tiles, 1);
    const CgMatrix from = {chunked_tile(c, s->b_rows, t.i), SIDE},
                   to = {chunked_tile(c, s->b_cols, t.i), SIDE};
    cg_transpose(c, DTYPE_i32, from, to, cg_i64(c, SIDE), SIDE);
    cg_loop_end(c, &t);
}

/* 32 rows of a step of CB, from their sums in s->y_sums: 0 above the diagonal. rows: the step of
 * the rows. */
static void
store_cb(Cg *c, const Chunked *s, Val rows, Val step)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes), first = cg_mul(c, rows, cg_i64(c, STEP));
    CgLoop r = cg_loop(c, "cb_store", cg_i64(c, 0), cg_i64(c, STEP), 1);
    const Val from = chunked_tile_row(c, s->y_sums, r.i, 2);
    const Val to =
        chunked_tile(c, chunked_tile_row(c, s->cb, cg_add(c, first, r.i), s->tiles.q_steps), step);
    const Val i = cg_add(c, first, r.i), j = cg_mul(c, step, cg_i64(c, STEP));
    for (ChunkedCells at = chunked_cells(STEP); chunked_cells_next(c, &at);) {
        const Val lower =
            cg_mask_first(c, c->lanes, cg_add(c, cg_sub(c, i, cg_add(c, j, at.col)), cg_i64(c, 1)));
        const Val sum = cg_vload(c, cg_offset(c, from, at.byte), DTYPE_f32, c->lanes, NULL);
        cg_vstore(c, cg_at(c, to, DTYPE_bf16, at.col), DTYPE_bf16,
                  LLVMBuildSelect(c->b, lower, sum, zeros, ""), c->lanes, NULL);
    }
    cg_loop_end(c, &r);
}

/* Blocks of 32 x 32 on and below the diagonal. */
static void
products_cb(Cg *c, const Chunked *s)
{
    enum { BLOCK = STEP / SIDE };
    const Val zero = cg_i64(c, 0), end = cg_i64(c, s->tiles.n_steps);
    const int64_t column = s->tiles.n_steps * CG_UNIT_TILE;
    CgLoop i = cg_loop(c, "cb_row", zero, cg_div_up(c, s->count, cg_i64(c, STEP)), 1);
    CgLoop j = cg_loop(c, "cb_col", zero, cg_add(c, i.i, cg_i64(c, 1)), 1);
    const ChunkedProduct of = {
        .left = cg_offset(c, s->c_rows, cg_mul(c, i.i, cg_i64(c, BLOCK * column))),
        .right = cg_offset(c, s->b_cols, cg_mul(c, j.i, cg_i64(c, BLOCK * column))),
        .left_row = column,
        .right_step = CG_UNIT_TILE,
        .right_col = column};
    chunked_sums(c, SUMS_ZERO, BLOCK, BLOCK, NULL, 0);
    chunked_product(c, BLOCK, BLOCK, &of, end);
    chunked_sums(c, SUMS_STORE, BLOCK, BLOCK, s->y_sums, BLOCK * CG_UNIT_TILE);
    store_cb(c, s, i.i, j.i);
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

void
chunked_unit_stage_group(Cg *c, const Chunked *s)
{
    stage_along_n(c, s, s->C, s->c_rows);
    stage_b_along_q(c, s);
    stage_b_cols(c, s);
    products_cb(c, s);
}

/* ---- of a head: X and the state ---------------------------------------------------------- */

static Val
weighted_x(Cg *c, const Chunked *s, Val i, Val weight, const ChunkedCells *at)
{
    const Val first = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const CgSite site = {.row = cg_add(c, s->row, i),
                         .col = cg_add(c, first, at->col),
                         .lanes = c->lanes,
                         .mask = at->mask};
    cg_unbind_all(s->k);
    return cg_fmul(c, cg_eval(c, s->k, s->x, &site), weight);
}

static Val
weight_of(Cg *c, const Chunked *s, Val i)
{
    const Val one = cg_vload(c, cg_at(c, s->decay.weight, DTYPE_f32, i), DTYPE_f32, 1, NULL);
    return cg_splat(c, one, c->lanes);
}

/* Pair `pair` of tokens; alone: the second does not exist. */
static void
stage_x_pair(Cg *c, const Chunked *s, Val pair, bool alone)
{
    const Val i = cg_mul(c, pair, cg_i64(c, 2)), next = cg_add(c, i, cg_i64(c, 1));
    const Val line = chunked_tile_row(c, s->x_units, pair, s->tiles.p_tiles);
    const Val weight = weight_of(c, s, i), below = alone ? NULL : weight_of(c, s, next);
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const Val even = weighted_x(c, s, i, weight, &at);
        const Val odd = alone ? cg_like(c, even, 0) : weighted_x(c, s, next, below, &at);
        cg_vstore(c, cg_offset(c, line, at.byte), DTYPE_i32, cg_bf16_pairs(c, even, odd), c->lanes,
                  NULL);
    }
}

void
chunked_unit_stage_x(Cg *c, const Chunked *s)
{
    const Val whole = cg_div(c, s->count, cg_i64(c, 2));
    Val after[2];
    pairs_after(c, s, after);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, 0), whole, 1);
    stage_x_pair(c, s, pair.i, false);
    cg_loop_end(c, &pair);
    CgIf odd = cg_if(c, cg_less(c, whole, after[0]));
    stage_x_pair(c, s, whole, true);
    cg_endif(c, &odd);
    clear_rows(c, s->x_units, after[0], after[1], s->tiles.p_tiles, s->head_dim);
}

/* Rows 2 * unit and the one below of the state; alone: there is none below. */
static void
stage_state_unit(Cg *c, const Chunked *s, Val unit, bool alone)
{
    const Dtype stored = s->stored;
    const Val n = cg_mul(c, unit, cg_i64(c, 2)), zero = cg_i64(c, 0);
    const Val from = cg_element(c, s->h, stored, n, s->head_dim, zero);
    const Val below = cg_at(c, from, stored, cg_i64(c, s->head_dim));
    const Val line = chunked_tile_row(c, s->h_units, unit, s->tiles.p_tiles);
    const Val sums = chunked_tile_row(c, s->h_sums, n, s->tiles.p_tiles);
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const Val to = cg_offset(c, sums, at.byte);
        const Val even = cg_vload(c, cg_at(c, from, stored, at.col), stored, c->lanes, at.mask);
        Val odd = cg_like(c, even, 0);
        if (!alone)
            odd = cg_vload(c, cg_at(c, below, stored, at.col), stored, c->lanes, at.mask);
        cg_vstore(c, to, DTYPE_f32, even, c->lanes, NULL);
        cg_vstore(c, cg_offset(c, to, cg_i64(c, CG_UNIT_BYTES)), DTYPE_f32, odd, c->lanes, NULL);
        cg_vstore(c, cg_offset(c, line, at.byte), DTYPE_i32, cg_bf16_pairs(c, even, odd), c->lanes,
                  NULL);
    }
}

void
chunked_unit_stage_state(Cg *c, const Chunked *s)
{
    const int64_t whole = s->states / 2;
    CgLoop unit = cg_loop(c, "unit", cg_i64(c, 0), cg_i64(c, whole), 1);
    stage_state_unit(c, s, unit.i, false);
    cg_loop_end(c, &unit);
    if (s->states % 2)
        stage_state_unit(c, s, cg_i64(c, whole), true);
}

void
chunked_unit_begin(Cg *c, const Chunked *s)
{
    cg_unit_open(c, &(CgUnitShape){c->machine->matrix.tiles, 0, 0, CG_UNIT_BYTES});
    clear_rows(c, s->h_units, cg_i64(c, (s->states + 1) / 2), cg_i64(c, s->tiles.n_steps * SIDE),
               s->tiles.p_tiles, s->head_dim);
}

void
chunked_unit_end(Cg *c)
{
    cg_unit_close(c);
}
