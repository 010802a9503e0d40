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

/* A step of token i of v: its columns from `from` on, of which `exist` are the group's, 0 behind
 * them. values: STEP / lanes vectors. */
static void
load_step(Cg *c, const Chunked *s, const Value *v, Val i, Val from, int64_t exist, Val *values)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    const Val group = cg_mul(c, s->group, cg_i64(c, s->states));
    for (int64_t n = 0; n < STEP; n += c->lanes, values++) {
        const int64_t left = exist - n;
        CgSite at = {.row = cg_add(c, s->row, i),
                     .col = cg_add(c, group, cg_add(c, from, cg_i64(c, n))),
                     .lanes = c->lanes};
        if (left > 0 && left < c->lanes)
            at.mask = cg_mask_first(c, c->lanes, cg_i64(c, left));
        cg_unbind_all(s->k);
        *values = left > 0 ? cg_eval(c, s->k, v, &at) : zeros;
        if (at.mask)
            *values = LLVMBuildSelect(c->b, at.mask, *values, zeros, "");
    }
}

/* A row of a left tile. */
static void
store_step(Cg *c, const Val *values, Val to)
{
    const int lanes = c->lanes;
    for (int64_t n = 0; n < STEP; n += 2 * lanes, values += 2) {
        const Val both = cg_bf16_both(c, values[0], values[1]);
        const Val units = LLVMBuildBitCast(c->b, both, cg_vec_of(c->i32, lanes), "");
        cg_vstore(c, cg_at(c, to, DTYPE_bf16, cg_i64(c, n)), DTYPE_i32, units, lanes, NULL);
    }
}

/* What is read ROWS_AHEAD tokens later: rows are a page or so apart, where no hardware prefetcher
 * follows. */
static void
prefetch_step(Cg *c, const Chunked *s, const Value *v, Val i, Val from)
{
    enum { ROWS_AHEAD = 8 };
    const CgOperand *o = cg_operand(s->k, v);
    if (!o)
        return;
    const Val row = cg_add(c, cg_add(c, s->row, i), cg_i64(c, ROWS_AHEAD));
    const Val col = cg_add(c, cg_mul(c, s->group, cg_i64(c, s->states)), from);
    const Val at = cg_element(c, o->base, o->dtype, row, o->stride, col);
    for (int64_t n = 0; n < STEP; n += CG_LINE_BYTES / dtype_info[o->dtype].bytes)
        cg_prefetch(c, cg_at(c, at, o->dtype, cg_i64(c, n)), 3);
}

/* Where step `from` of token i of v is, if it lies in memory as products want it; else NULL. */
static Val
step_at(Cg *c, const Chunked *s, const Value *v, Val i, Val from)
{
    const CgOperand *o = cg_operand(s->k, v);
    if (!o || o->dtype != DTYPE_bf16 || v->type.shape.rank < 2)
        return NULL;
    const Val col = cg_add(c, cg_mul(c, s->group, cg_i64(c, s->states)), from);
    return cg_element(c, o->base, o->dtype, cg_add(c, s->row, i), o->stride, col);
}

/* Units of 2 * lanes elements of a row of bf16. */
static Val
load_units(Cg *c, Val at, int64_t element)
{
    return cg_vload(c, cg_at(c, at, DTYPE_bf16, cg_i64(c, element)), DTYPE_i32, c->lanes, NULL);
}

static Val
tile_row_of(Cg *c, const Chunked *s, Val base, Val i, Val step)
{
    return chunked_tile(c, chunked_tile_row(c, base, i, s->tiles.n_steps), step);
}

/* Step number `step` of C's token i. */
static void
stage_c_step(Cg *c, const Chunked *s, Val i, Val step, int64_t exist)
{
    Val values[STEP];
    const Val from = cg_mul(c, step, cg_i64(c, STEP)), at = step_at(c, s, s->C, i, from);
    const Val to = tile_row_of(c, s, s->c_rows, i, step);
    prefetch_step(c, s, s->C, i, from);
    if (at && exist == STEP) {
        for (int64_t n = 0; n < STEP; n += 2 * c->lanes)
            cg_vstore(c, cg_at(c, to, DTYPE_bf16, cg_i64(c, n)), DTYPE_i32, load_units(c, at, n),
                      c->lanes, NULL);
        return;
    }
    load_step(c, s, s->C, i, from, exist, values);
    store_step(c, values, to);
}

/* Pairs of the elements of two rows: 2 * lanes columns, from their units. */
static void
pair_units(Cg *c, Val even, Val odd, Val pairs[2])
{
    const int lanes = c->lanes;
    const LLVMTypeRef halves = LLVMVectorType(c->i16, (unsigned)(2 * lanes));
    const Val a = LLVMBuildBitCast(c->b, even, halves, "");
    const Val b = LLVMBuildBitCast(c->b, odd, halves, "");
    for (int h = 0; h < 2; h++) {
        int pick[2 * TILE_MOST];
        for (int n = 0; n < 2 * lanes; n++)
            pick[n] = h * lanes + n / 2 + n % 2 * 2 * lanes;
        pairs[h] = LLVMBuildBitCast(c->b, cg_shuffle(c, a, b, pick, 2 * lanes),
                                    cg_vec_of(c->i32, lanes), "");
    }
}

/* A whole step of B that lies in memory as products want it. */
static void
copy_b_step(Cg *c, const Chunked *s, const Val at[2], Val i, Val step, Val line)
{
    const Val next = cg_add(c, i, cg_i64(c, 1));
    const Val to[] = {tile_row_of(c, s, s->b_rows, i, step),
                      at[1] ? tile_row_of(c, s, s->b_rows, next, step) : NULL};
    for (int64_t n = 0; n < STEP; n += 2 * c->lanes) {
        Val units[2] = {load_units(c, at[0], n), LLVMConstNull(cg_vec_of(c->i32, c->lanes))},
            pairs[2];
        if (at[1])
            units[1] = load_units(c, at[1], n);
        for (int r = 0; r < 2 && to[r]; r++)
            cg_vstore(c, cg_at(c, to[r], DTYPE_bf16, cg_i64(c, n)), DTYPE_i32, units[r], c->lanes,
                      NULL);
        pair_units(c, units[0], units[1], pairs);
        for (int h = 0; h < 2; h++)
            cg_vstore(c, cg_at(c, line, DTYPE_i32, cg_i64(c, n + h * c->lanes)), DTYPE_i32,
                      pairs[h], c->lanes, NULL);
    }
}

/* Of B's tokens i and i + 1: as rows of left tiles along N, and as a row of pairs. alone: the
 * second does not exist. */
static void
stage_b_step(Cg *c, const Chunked *s, Val i, Val step, int64_t exist, bool alone)
{
    Val even[STEP], odd[STEP];
    const Val from = cg_mul(c, step, cg_i64(c, STEP)), next = cg_add(c, i, cg_i64(c, 1));
    const int64_t columns = s->tiles.n_tiles * SIDE;
    const Val line =
        cg_element(c, s->b_pairs, DTYPE_i32, cg_div(c, i, cg_i64(c, 2)), columns, from);
    const Val at[] = {step_at(c, s, s->B, i, from), alone ? NULL : step_at(c, s, s->B, next, from)};
    prefetch_step(c, s, s->B, i, from);
    if (!alone)
        prefetch_step(c, s, s->B, next, from);
    if (at[0] && exist == STEP) {
        copy_b_step(c, s, at, i, step, line);
        return;
    }
    load_step(c, s, s->B, i, from, exist, even);
    store_step(c, even, tile_row_of(c, s, s->b_rows, i, step));
    if (!alone) {
        load_step(c, s, s->B, next, from, exist, odd);
        store_step(c, odd, tile_row_of(c, s, s->b_rows, next, step));
    }
    for (int64_t n = 0; n < STEP && n < round_up(exist, SIDE); n += c->lanes) {
        const Val first = even[n / c->lanes];
        const Val second = alone ? cg_like(c, first, 0) : odd[n / c->lanes];
        cg_vstore(c, cg_at(c, line, DTYPE_i32, cg_i64(c, n)), DTYPE_i32,
                  cg_bf16_pairs(c, first, second), c->lanes, NULL);
    }
}

/* Steps of C's token i, or of B's tokens i and i + 1. */
static void
stage_tokens(Cg *c, const Chunked *s, Val i, bool c_rows, bool alone)
{
    const int64_t whole = s->states / STEP, rest = s->states % STEP;
    CgLoop k = cg_loop(c, "step", cg_i64(c, 0), cg_i64(c, whole), 1);
    if (c_rows)
        stage_c_step(c, s, i, k.i, STEP);
    else
        stage_b_step(c, s, i, k.i, STEP, alone);
    cg_loop_end(c, &k);
    if (rest && c_rows)
        stage_c_step(c, s, i, cg_i64(c, whole), rest);
    else if (rest)
        stage_b_step(c, s, i, cg_i64(c, whole), rest, alone);
}

static void
stage_rows(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0), two = cg_i64(c, 2);
    const Val even = cg_mul(c, cg_div(c, s->count, two), two);
    CgLoop i = cg_loop(c, "stage", zero, s->count, 1);
    stage_tokens(c, s, i.i, true, false);
    cg_loop_end(c, &i);
    CgLoop pair = cg_loop(c, "stage", zero, even, 2);
    stage_tokens(c, s, pair.i, false, false);
    cg_loop_end(c, &pair);
    CgIf odd = cg_if(c, cg_less(c, even, s->count));
    stage_tokens(c, s, even, false, true);
    cg_endif(c, &odd);
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

/* B^T as left tiles along Q: rows of pairs turned square by square. */
static void
turn_b_pairs(Cg *c, const Chunked *s)
{
    const int64_t columns = s->tiles.n_tiles * SIDE;
    const Val zero = cg_i64(c, 0);
    Val pair[2];
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
turn_b_rows(Cg *c, const Chunked *s)
{
    const Val tiles =
        cg_mul(c, cg_div_up(c, s->count, cg_i64(c, STEP)), cg_i64(c, 2 * s->tiles.n_steps));
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
    const Val from = cg_at(c, s->y_sums, DTYPE_f32, cg_mul(c, r.i, cg_i64(c, STEP)));
    const Val to =
        chunked_tile(c, chunked_tile_row(c, s->cb, cg_add(c, first, r.i), s->tiles.q_steps), step);
    const Val i = cg_add(c, first, r.i), j = cg_mul(c, step, cg_i64(c, STEP));
    for (ChunkedCells at = chunked_cells(STEP); chunked_cells_next(c, &at);) {
        const Val lower =
            cg_mask_first(c, c->lanes, cg_add(c, cg_sub(c, i, cg_add(c, j, at.col)), cg_i64(c, 1)));
        const Val sum = cg_vload(c, cg_at(c, from, DTYPE_f32, at.col), DTYPE_f32, c->lanes, NULL);
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
    const Val left = cg_offset(c, s->c_rows, cg_mul(c, i.i, cg_i64(c, BLOCK * column)));
    const Val right = cg_offset(c, s->b_cols, cg_mul(c, j.i, cg_i64(c, BLOCK * column)));
    chunked_sums(c, SUMS_ZERO, BLOCK, BLOCK, NULL, 0);
    CgLoop k = cg_loop(c, "k", zero, end, 1);
    Val rows[BLOCK];
    for (int64_t r = 0; r < BLOCK; r++)
        rows[r] = chunked_tile(c, left, cg_add(c, k.i, cg_i64(c, r * s->tiles.n_steps)));
    chunked_step(c, BLOCK, BLOCK, rows, chunked_tile(c, right, k.i), column, NULL, 0);
    cg_loop_end(c, &k);
    chunked_sums(c, SUMS_STORE, BLOCK, BLOCK, s->y_sums, BLOCK * CG_UNIT_BYTES);
    store_cb(c, s, i.i, j.i);
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

void
chunked_unit_stage_group(Cg *c, const Chunked *s)
{
    stage_rows(c, s);
    turn_b_pairs(c, s);
    turn_b_rows(c, s);
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

/* alone: the pair's second token does not exist. */
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
chunked_unit_stage_x(Cg *c, const Chunked *s, Val pair)
{
    stage_x_pair(c, s, pair, false);
}

void
chunked_unit_stage_x_begin(Cg *c, const Chunked *s)
{
    const Val whole = cg_div(c, s->count, cg_i64(c, 2));
    Val after[2];
    pairs_after(c, s, after);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, 0), cg_min(c, whole, cg_i64(c, SIDE)), 1);
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
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const Val even = cg_vload(c, cg_at(c, from, stored, at.col), stored, c->lanes, at.mask);
        Val odd = cg_like(c, even, 0);
        if (!alone)
            odd = cg_vload(c, cg_at(c, below, stored, at.col), stored, c->lanes, at.mask);
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
