/* codegen/emit/chunked_unit_stage.c -- the chunked SSD kernel's operands as tiles of the matrix
 * unit: B, C and CB = C B^T of a group's chunk; X and the state of a head.
 *
 * C is a left operand row by row: it is read where it lies if it lies as products want it, else
 * from a copy. B is turned from there twice, B^T for the state and B for CB.
 *
 * Padding along a summed index is 0 on both sides, for 0 times what scratch held before may be NaN:
 * C and B past N, B^T and X past the chunk's last token, the copy of the state past N. Rows and
 * columns of results past the last are computed from whatever lies there, and not used. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP };

static Val
float_at(Cg *c, Val base, Val index)
{
    return cg_vload(c, cg_at(c, base, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

/* ---- of a group: B and C ----------------------------------------------------------------- */

/* Where v lies, if it lies there as products want it: bf16, whole steps of it a token; else NULL.
 * Queries and keys have factors. */
static const CgOperand *
lies_ready(const Chunked *s, const Value *v)
{
    const CgOperand *o = cg_operand(s->k, v);
    const bool ready = o && !s->delta.b && o->dtype == DTYPE_bf16 && v->type.shape.rank >= 2;
    return ready && s->states % STEP == 0 ? o : NULL;
}

/* Whether the chunk has whole steps of tokens, so that no row past its last is read, i1. */
static Val
chunk_is_whole(Cg *c, const Chunked *s)
{
    const Val step = cg_i64(c, STEP), steps = cg_div(c, s->count, step);
    return LLVMBuildICmp(c->b, LLVMIntEQ, cg_mul(c, steps, step), s->count, "");
}

/* Rows of v in the chunk: where they lie, or copied to `scratch`. */
static ChunkedRows
rows_of(Cg *c, const Chunked *s, const Value *v, Val scratch)
{
    const ChunkedRows copied = {scratch, cg_i64(c, s->tiles.row_bytes)};
    const CgOperand *o = lies_ready(s, v);
    if (!o)
        return copied;
    const Val col = cg_mul(c, s->group, cg_i64(c, s->states));
    const ChunkedRows ready = {cg_element(c, o->base, o->dtype, s->row, o->stride, col),
                               cg_i64(c, o->stride * dtype_info[o->dtype].bytes)};
    return chunked_rows_of(c, chunk_is_whole(c, s), ready, copied);
}

void
chunked_unit_open(Cg *c, Chunked *s, Val number)
{
    s->c_rows = cg_offset(c, s->c_all, cg_mul(c, number, cg_i64(c, s->tiles.c_bytes)));
    s->b_units = cg_offset(c, s->b_all, cg_mul(c, number, cg_i64(c, s->tiles.b_bytes)));
    s->cb = cg_offset(c, s->cb_all, cg_mul(c, number, cg_i64(c, s->tiles.cb_bytes)));
    s->c_lines = rows_of(c, s, s->C, s->c_rows);
}

/* Row `row`, from step `step` on. */
static Val
step_of(Cg *c, const ChunkedRows *rows, Val row, Val step)
{
    const Val line = cg_offset(c, rows->at, cg_mul(c, row, rows->stride));
    return cg_offset(c, line, cg_mul(c, step, cg_i64(c, CG_UNIT_BYTES)));
}

ChunkedRows
chunked_unit_b_tile(Cg *c, const Chunked *s, Val tile, Val step)
{
    const ChunkedRows rows = {s->b_rows, cg_i64(c, s->tiles.row_bytes)};
    return (ChunkedRows){step_of(c, &rows, cg_mul(c, tile, cg_i64(c, SIDE)), step), rows.stride};
}

ChunkedRows
chunked_unit_c_tile(Cg *c, const Chunked *s, Val tile, Val step)
{
    const Val row = cg_mul(c, tile, cg_i64(c, SIDE));
    return (ChunkedRows){step_of(c, &s->c_lines, row, step), s->c_lines.stride};
}

/* What is read `ahead` rows later of columns [from, from + STEP): rows are a page or so apart,
 * where no hardware prefetcher follows. */
static void
prefetch_step(Cg *c, const Chunked *s, const Value *v, Val row, int64_t ahead, Val from)
{
    const CgOperand *o = cg_operand(s->k, v);
    if (!o)
        return;
    const Val later = cg_add(c, cg_add(c, s->row, row), cg_i64(c, ahead));
    const Val col = cg_add(c, cg_mul(c, s->group, cg_i64(c, s->states)), from);
    const Val at = cg_element(c, o->base, o->dtype, later, o->stride, col);
    for (int64_t n = 0; n < STEP; n += CG_LINE_BYTES / dtype_info[o->dtype].bytes)
        cg_prefetch(c, cg_at(c, at, o->dtype, cg_i64(c, n)), 2);
}

/* A step of token i of v, its columns from `from` on, of which `exist` are the group's, 0 behind
 * them, as bf16. factor: splat; NULL: none. */
static void
copy_step(Cg *c, const Chunked *s, const Value *v, Val factor, Val i, Val from, int64_t exist,
          Val to)
{
    enum { AHEAD = 8 };
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    const Val group = cg_mul(c, s->group, cg_i64(c, s->states));
    prefetch_step(c, s, v, i, AHEAD, from);
    for (int64_t n = 0; n < STEP; n += c->lanes) {
        const int64_t left = exist - n;
        CgSite at = {.row = cg_add(c, s->row, i),
                     .col = cg_add(c, group, cg_add(c, from, cg_i64(c, n))),
                     .lanes = c->lanes};
        if (left > 0 && left < c->lanes)
            at.mask = cg_mask_first(c, c->lanes, cg_i64(c, left));
        cg_unbind_all(s->k);
        Val values = left > 0 ? cg_eval(c, s->k, v, &at) : zeros;
        if (factor && left > 0)
            values = cg_fmul(c, values, factor);
        if (at.mask)
            values = LLVMBuildSelect(c->b, at.mask, values, zeros, "");
        cg_vstore(c, cg_at(c, to, DTYPE_bf16, cg_i64(c, n)), DTYPE_bf16, values, c->lanes, NULL);
    }
}

/* Rows of v, times their factors unless NULL, and rows of 0 as far as a step goes, to `scratch`. */
static void
copy_rows(Cg *c, const Chunked *s, const Value *v, Val factors, Val scratch)
{
    const int64_t whole = s->states / STEP, rest = s->states % STEP;
    const ChunkedRows to = {scratch, cg_i64(c, s->tiles.row_bytes)};
    const Val zero = cg_i64(c, 0), steps = cg_div_up(c, s->count, cg_i64(c, STEP));
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    CgLoop i = cg_loop(c, "copy", zero, s->count, 1);
    const Val factor = factors ? cg_splat(c, float_at(c, factors, i.i), c->lanes) : NULL;
    CgLoop k = cg_loop(c, "step", zero, cg_i64(c, whole), 1);
    copy_step(c, s, v, factor, i.i, cg_mul(c, k.i, cg_i64(c, STEP)), STEP,
              step_of(c, &to, i.i, k.i));
    cg_loop_end(c, &k);
    if (rest)
        copy_step(c, s, v, factor, i.i, cg_i64(c, whole * STEP), rest,
                  step_of(c, &to, i.i, cg_i64(c, whole)));
    cg_loop_end(c, &i);
    CgLoop r = cg_loop(c, "clear", s->count, cg_mul(c, steps, cg_i64(c, STEP)), 1);
    CgLoop at = cg_loop(c, "col", zero, cg_i64(c, s->tiles.n_steps * SIDE), c->lanes);
    cg_vstore(c, cg_at(c, step_of(c, &to, r.i, zero), DTYPE_f32, at.i), DTYPE_f32, zeros, c->lanes,
              NULL);
    cg_loop_end(c, &at);
    cg_loop_end(c, &r);
}

static void
stage_rows(Cg *c, const Chunked *s, const Value *v, Val factors, Val scratch)
{
    if (!lies_ready(s, v)) {
        copy_rows(c, s, v, factors, scratch);
        return;
    }
    CgIf part = cg_if(c, LLVMBuildNot(c->b, chunk_is_whole(c, s), ""));
    copy_rows(c, s, v, factors, scratch);
    cg_endif(c, &part);
}

/* ---- B turned ------------------------------------------------------------------------------ */

/* Units of columns from `unit` on of rows first, first + by, ..: a square. */
static void
load_square(Cg *c, const ChunkedRows *rows, Val first, int64_t by, Val step, int64_t unit, Val *row)
{
    for (int r = 0; r < c->lanes; r++) {
        const Val at = step_of(c, rows, cg_add(c, first, cg_i64(c, r * by)), step);
        row[r] = cg_vload(c, cg_at(c, at, DTYPE_i32, cg_i64(c, unit)), DTYPE_i32, c->lanes, NULL);
    }
}

/* B^T as left tiles along Q, 32 tokens x 32 columns: a unit of two columns of a token and that of
 * the next make two pairs of tokens, which are turned. */
static void
turn_pairs(Cg *c, const Chunked *s, const ChunkedRows *rows, Val tokens, Val step, int64_t pair,
           int64_t unit)
{
    Val first[TILE_MOST], second[TILE_MOST], turned[TILE_MOST];
    const Val from = cg_add(c, cg_mul(c, tokens, cg_i64(c, STEP)), cg_i64(c, 2 * pair));
    load_square(c, rows, from, 2, step, unit, first);
    load_square(c, rows, cg_add(c, from, cg_i64(c, 1)), 2, step, unit, second);
    for (int half = 0; half < 2; half++) {
        for (int r = 0; r < c->lanes; r++) {
            const Val low = half ? cg_shr(c, first[r], 16) : cg_and(c, first[r], 0xffffu);
            const Val high = half ? cg_and(c, second[r], 0xffff0000u) : cg_shl(c, second[r], 16);
            turned[r] = LLVMBuildOr(c->b, low, high, "");
        }
        cg_transpose_square(c, turned, c->lanes);
        for (int r = 0; r < c->lanes; r++) {
            const int64_t column = 2 * (unit + r) + half;
            const Val tile =
                cg_add(c, cg_mul(c, step, cg_i64(c, STEP / SIDE)), cg_i64(c, column / SIDE));
            const Val to = chunked_tile(
                c, s->b_units, cg_add(c, cg_mul(c, tile, cg_i64(c, s->tiles.q_steps)), tokens));
            cg_vstore(c, cg_at(c, to, DTYPE_i32, cg_i64(c, column % SIDE * SIDE + pair)), DTYPE_i32,
                      turned[r], c->lanes, NULL);
        }
    }
}

/* B as right tiles along N: 16 units of columns x 16 tokens, the tiles of a column one after the
 * other. */
static void
turn_units(Cg *c, const Chunked *s, const ChunkedRows *rows, Val tile, Val step, int64_t token,
           int64_t unit)
{
    Val row[TILE_MOST];
    const Val from = cg_add(c, cg_mul(c, tile, cg_i64(c, SIDE)), cg_i64(c, token));
    const Val to =
        chunked_tile(c, s->b_cols, cg_add(c, cg_mul(c, tile, cg_i64(c, s->tiles.n_steps)), step));
    load_square(c, rows, from, 1, step, unit, row);
    cg_transpose_square(c, row, c->lanes);
    for (int r = 0; r < c->lanes; r++)
        cg_vstore(c, cg_at(c, to, DTYPE_i32, cg_i64(c, (unit + r) * SIDE + token)), DTYPE_i32,
                  row[r], c->lanes, NULL);
}

/* Step `tokens` of B, in both ways; B and C of the step after it are asked for. */
static void
turn_step(Cg *c, const Chunked *s, const ChunkedRows *rows, Val tokens)
{
    const Val first = cg_mul(c, tokens, cg_i64(c, STEP));
    CgLoop n = cg_loop(c, "turn", cg_i64(c, 0), cg_i64(c, s->tiles.n_steps), 1);
    const Val from = cg_mul(c, n.i, cg_i64(c, STEP));
    for (int64_t token = 0; token < STEP; token++) {
        const Val row = cg_add(c, first, cg_i64(c, token));
        prefetch_step(c, s, s->B, row, STEP, from);
        prefetch_step(c, s, s->C, row, STEP, from);
    }
    for (int64_t a = 0; a < SIDE * SIDE; a += c->lanes * c->lanes) { /* squares of a tile */
        const int64_t across = SIDE / c->lanes, square = a / (c->lanes * c->lanes);
        const int64_t down = square / across * c->lanes, right = square % across * c->lanes;
        turn_pairs(c, s, rows, tokens, n.i, down, right);
        for (int64_t t = 0; t < STEP / SIDE; t++)
            turn_units(c, s, rows, cg_add(c, cg_div(c, first, cg_i64(c, SIDE)), cg_i64(c, t)), n.i,
                       down, right);
    }
    cg_loop_end(c, &n);
}

/* Rows [from, to) of a matrix in tiles. */
static void
clear_rows(Cg *c, Val base, Val from, Val to, int64_t tiles, int64_t columns)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    CgLoop row = cg_loop(c, "clear", from, to, 1);
    const Val line = chunked_tile_row(c, base, row.i, tiles);
    for (ChunkedCells at = chunked_cells(columns); chunked_cells_next(c, &at);)
        cg_vstore(c, cg_offset(c, line, at.byte), DTYPE_f32, zeros, c->lanes, NULL);
    cg_loop_end(c, &row);
}

/* Pairs of tokens past the last, as far as steps go: [pair[0], pair[1]). */
static void
pairs_after(Cg *c, const Chunked *s, Val pair[2])
{
    pair[0] = cg_div_up(c, s->count, cg_i64(c, 2));
    pair[1] = cg_mul(c, cg_div_up(c, s->count, cg_i64(c, STEP)), cg_i64(c, SIDE));
}

/* ---- C B^T ------------------------------------------------------------------------------- */

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

enum { BLOCK = STEP / SIDE }; /* tiles along a side of a square of products */

/* 32 x 32 products with B of its step j: of C's step i, or of keys'. Rows of f32 at `to`, `stride`
 * bytes apart. */
static void
square(Cg *c, const Chunked *s, bool of_keys, Val i, Val j, Val to, int64_t stride)
{
    const int64_t column = s->tiles.n_steps * CG_UNIT_TILE;
    const Val right = cg_offset(c, s->b_cols, cg_mul(c, j, cg_i64(c, BLOCK * column)));
    chunked_sums(c, SUMS_ZERO, BLOCK, BLOCK, NULL, 0);
    CgLoop k = cg_loop(c, "k", cg_i64(c, 0), cg_i64(c, s->tiles.n_steps), 1);
    ChunkedRows left[BLOCK];
    for (int64_t r = 0; r < BLOCK; r++) {
        const Val tile = cg_add(c, cg_mul(c, i, cg_i64(c, BLOCK)), cg_i64(c, r));
        left[r] = (of_keys ? chunked_unit_b_tile : chunked_unit_c_tile)(c, s, tile, k.i);
    }
    chunked_step(c, BLOCK, BLOCK, left, chunked_tile(c, right, k.i), column, NULL, 0);
    cg_loop_end(c, &k);
    chunked_sums(c, SUMS_STORE, BLOCK, BLOCK, to, stride);
}

/* Squares on and below the diagonal, of the step `rows`. */
static void
products_cb(Cg *c, const Chunked *s, Val rows)
{
    CgLoop j = cg_loop(c, "cb_col", cg_i64(c, 0), cg_add(c, rows, cg_i64(c, 1)), 1);
    square(c, s, false, rows, j.i, s->y_sums, BLOCK * CG_UNIT_BYTES);
    store_cb(c, s, rows, j.i);
    cg_loop_end(c, &j);
}

void
chunked_unit_products(Cg *c, const Chunked *s)
{
    const int64_t stride = s->delta.shape.q_stride;
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1), step = cg_i64(c, STEP);
    CgLoop i = cg_loop(c, "kk_row", zero, cg_div_up(c, s->count, step), 1);
    CgLoop j = cg_loop(c, "kk_col", zero, cg_add(c, i.i, one), 1);
    square(
        c, s, true, i.i, j.i,
        cg_element(c, s->delta.kk, DTYPE_f32, cg_mul(c, i.i, step), stride, cg_mul(c, j.i, step)),
        stride * (int64_t)sizeof(float));
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

void
chunked_unit_stage_group(Cg *c, const Chunked *s)
{
    stage_rows(c, s, s->C, s->delta.c_factors, s->c_rows);
    stage_rows(c, s, s->B, s->delta.b_factors, s->b_rows);
    const ChunkedRows rows = rows_of(c, s, s->B, s->b_rows);
    CgLoop i = cg_loop(c, "step", cg_i64(c, 0), cg_div_up(c, s->count, cg_i64(c, STEP)), 1);
    turn_step(c, s, &rows, i.i);
    products_cb(c, s, i.i);
    cg_loop_end(c, &i);
}

/* ---- of a head: X and the state ---------------------------------------------------------- */

static Val
weighted_x(Cg *c, const Chunked *s, Val i, Val weight, const ChunkedCells *at)
{
    if (s->delta.b) {
        const int64_t stride = s->delta.shape.x_stride;
        const Val from = cg_element(c, s->delta.solved, DTYPE_f32, i, stride, at->col);
        return cg_fmul(c, cg_vload(c, from, DTYPE_f32, c->lanes, NULL), weight);
    }
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
    return cg_splat(c, float_at(c, s->decay.weight, i), c->lanes);
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
