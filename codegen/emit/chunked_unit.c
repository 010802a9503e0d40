/* codegen/emit/chunked_unit.c -- Y and the state of a head's chunk on the matrix unit (kernel
 * attribute unit=matrix), and the scratch for it.
 *
 * Sums are rows x cols tiles; they leave through scratch of a block of rows, from which vectors
 * take them. Tile instructions count as calls that touch any memory, so loops of tiles and loops of
 * vectors are apart.
 *
 *     for each block of rows i:                   state: for each block of rows n:
 *         sums = C_i h + M_i X                        sums = h (+ what decays while B^T X is added)
 *         y    = leave_i sums + D x                   sums += B^T X
 *                                                     h    = decay sums
 *
 * Bounded decay is taken from the chunk's begin (cg_decay_begun), so that C h and M X add up in one
 * tile and the state decays once both are added. Under steep decay keep_i is in a copy of C, the
 * rest in M, and the state decays before B^T X is added. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

#include <stdlib.h>
/* Rows of Y and of the state are stored LAG blocks after they were computed: their sums are then in
 * memory, and no vector waits for the unit. */
enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP, LAG = 2, BLOCKS = LAG + 1 };

/* Blocks of columns from the second on: all of `cols` tiles but perhaps the last. */
typedef struct {
    Val first; /* tile */
    int64_t cols;
    CgLoop loop;
    int64_t done;
} Columns;

static bool
columns_next(Cg *c, const Chunked *s, Columns *at)
{
    const int64_t cols = s->tiles.cols, whole = s->tiles.p_tiles / cols * cols;
    if (at->done == 1)
        cg_loop_end(c, &at->loop);
    if (at->done++ == 0) {
        at->loop = cg_loop(c, "p", cg_i64(c, cols), cg_i64(c, whole), cols);
        at->first = at->loop.i;
        at->cols = cols;
        return true;
    }
    at->first = cg_i64(c, whole);
    at->cols = s->tiles.p_tiles - whole;
    return at->done == 2 && at->cols > 0;
}

/* What vectors do while the unit multiplies: rows [first, end), `each` of them beside a step. */
typedef struct {
    Val first, end, each;
} Beside;

/* `rows` rows from `first` on, as far as `end`, none of them before row 0. */
static Beside
beside(Cg *c, Val first, int64_t rows, Val end, Val steps)
{
    const Val to = cg_min(c, end, cg_add(c, first, cg_i64(c, rows)));
    const Val none = cg_less(c, first, cg_i64(c, 0));
    return (Beside){first, LLVMBuildSelect(c->b, none, first, to, ""),
                    cg_div_up(c, cg_i64(c, rows), steps)};
}

static CgLoop
beside_loop(Cg *c, const Beside *b, Val step)
{
    const Val from = cg_add(c, b->first, cg_mul(c, step, b->each));
    return cg_loop(c, "beside", from, cg_min(c, b->end, cg_add(c, from, b->each)), 1);
}

/* ---- Y ----------------------------------------------------------------------------------- */

/* Lines of `bytes` bytes. */
static void
prefetch_bytes(Cg *c, Val from, int64_t bytes, int locality)
{
    for (int64_t at = 0; at < bytes; at += CG_LINE_BYTES)
        cg_prefetch(c, cg_offset(c, from, cg_i64(c, at)), locality);
}

/* The lines of v that are read or written `far` tokens later: of this head, or of the next one
 * where this chunk is the span's last. Rows are a page or so apart, where no hardware prefetcher
 * follows. */
static void
prefetch_token(Cg *c, const Chunked *s, const Value *v, Val i, Val far, int locality)
{
    const CgOperand *o = cg_operand(s->k, v);
    if (!o)
        return;
    const Val past = cg_sub(c, cg_add(c, i, far), s->count);
    const Val more = cg_less(c, cg_add(c, s->index, cg_i64(c, 1)), s->chunks);
    const Val same = LLVMBuildOr(c->b, more, cg_less(c, past, cg_i64(c, 0)), "");
    const Val after = cg_add(c, cg_add(c, s->row, s->count), past);
    const Val row = LLVMBuildSelect(c->b, same, after, cg_add(c, s->span_row, past), "");
    const Val next = cg_add(c, s->head, cg_i64(c, 1));
    const Val head = LLVMBuildSelect(c->b, same, s->head, next, "");
    const Val from =
        cg_element(c, o->base, o->dtype, row, o->stride, cg_mul(c, head, cg_i64(c, s->head_dim)));
    prefetch_bytes(c, from, s->head_dim * dtype_info[o->dtype].bytes, locality);
}

/* While token i of the span's last chunk is stored, its share of the next head's state. */
static void
prefetch_state(Cg *c, const Chunked *s, Val i)
{
    const int64_t bytes = s->states * s->head_dim * dtype_info[s->stored].bytes;
    const int64_t share = round_up((bytes + s->chunk - 1) / s->chunk, CG_LINE_BYTES);
    const Val next = cg_add(c, s->index, cg_i64(c, 1));
    CgIf last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, next, s->chunks, ""));
    const Val at = cg_add(c, cg_i64(c, bytes), cg_mul(c, i, cg_i64(c, share)));
    prefetch_bytes(c, cg_offset(c, s->h, at), share, 2);
    cg_endif(c, &last);
}

/* y = leave_i Y + D x of one token; from: its sums. */
static void
store_y_row(Cg *c, const Chunked *s, Val i, Val from)
{
    const Val head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const Val leave = cg_splat(
        c, cg_vload(c, cg_at(c, s->decay.leave, DTYPE_f32, i), DTYPE_f32, 1, NULL), c->lanes);
    if (getenv("PFY"))
        prefetch_token(c, s, s->y, i, cg_i64(c, 2 * SIDE), 3);
    if (getenv("PFX"))
        prefetch_token(c, s, s->x, i, s->count, atoi(getenv("PFX")));
    if (getenv("PFH"))
        prefetch_state(c, s, i);
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const CgSite site = {.row = cg_add(c, s->row, i),
                             .col = cg_add(c, head, at.col),
                             .lanes = c->lanes,
                             .mask = at.mask};
        const Val sum = cg_vload(c, cg_at(c, from, DTYPE_f32, at.col), DTYPE_f32, c->lanes, NULL);
        Val y = cg_fmul(c, leave, sum);
        cg_unbind_all(s->k);
        if (s->skip)
            y = cg_fma(c, s->skip, cg_eval(c, s->k, s->x, &site), y);
        cg_unbind_all(s->k);
        cg_bind(s->k, s->y, y);
        cg_store_outputs(c, s->k, &site);
    }
}

/* Columns of sums from tile p on; bytes of a row of them. */
static Val
sums_at(Cg *c, Val sums, Val p)
{
    return cg_offset(c, sums, cg_mul(c, p, cg_i64(c, CG_UNIT_BYTES)));
}

static int64_t
y_stride(const Chunked *s)
{
    return s->tiles.p_tiles * CG_UNIT_BYTES;
}

static int64_t
h_stride(const Chunked *s)
{
    return s->h_stride * (int64_t)sizeof(float);
}

/* A block of rows of Y: C h, then M X, whose right operands follow each other in scratch. */
typedef struct {
    Val states, inside; /* C and M */
    Val steps;          /* of both */
    Val sums;
} YBlock;

static void
y_step(Cg *c, const Chunked *s, const YBlock *y, Val p, int64_t cols, Val k)
{
    const int64_t n_steps = s->tiles.n_steps, q_steps = s->tiles.q_steps;
    const Val within = cg_sub(c, k, cg_i64(c, n_steps)), before = cg_less(c, within, cg_i64(c, 0));
    const Val right = cg_add(c, cg_mul(c, k, cg_i64(c, s->tiles.p_tiles)), p);
    Val left[CHUNKED_ROWS];
    for (int64_t r = 0; r < s->tiles.rows; r++) {
        const Val C = chunked_tile(c, y->states, cg_add(c, k, cg_i64(c, r * n_steps)));
        const Val M = chunked_tile(c, y->inside, cg_add(c, within, cg_i64(c, r * q_steps)));
        left[r] = LLVMBuildSelect(c->b, before, C, M, "");
    }
    chunked_step(c, s->tiles.rows, cols, left, chunked_tile(c, s->h_units, right), CG_UNIT_TILE);
}

/* Tokens of a block before are stored, and x of the tokens after it staged, beside its products.
 * exists: false past the last block. */
static void
output_block(Cg *c, const Chunked *s, Val tile, Val exists, Val bounded, Val part[BLOCKS])
{
    const int64_t rows = s->tiles.rows, n_steps = s->tiles.n_steps;
    const Val zero = cg_i64(c, 0), last = cg_add(c, tile, cg_i64(c, rows - 1));
    const Val states = chunked_tile(c, s->c_rows, cg_mul(c, tile, cg_i64(c, n_steps)));
    const Val inside = chunked_tile(c, s->cb, cg_mul(c, tile, cg_i64(c, s->tiles.q_steps)));
    const Val within = cg_add(c, cg_div(c, last, cg_i64(c, STEP / SIDE)), cg_i64(c, 1));
    const Val all = cg_add(c, cg_i64(c, n_steps), within);
    const YBlock y = {.states = LLVMBuildSelect(c->b, bounded, states, s->c_kept, ""),
                      .inside = LLVMBuildSelect(c->b, bounded, inside, s->m, ""),
                      .steps = LLVMBuildSelect(c->b, exists, all, cg_i64(c, n_steps), ""),
                      .sums = part[0]};
    const Val before = cg_mul(c, cg_sub(c, tile, cg_i64(c, LAG * rows)), cg_i64(c, SIDE));
    const Val after = cg_mul(c, cg_add(c, tile, cg_i64(c, 2)), cg_i64(c, SIDE / 2));
    const Beside store = beside(c, before, rows * SIDE, s->count, y.steps);
    const Beside stage =
        beside(c, after, rows * SIDE / 2, cg_div(c, s->count, cg_i64(c, 2)), y.steps);
    CgIf begin = cg_if(c, exists);
    CgIf steep = cg_if(c, LLVMBuildNot(c->b, bounded, ""));
    chunked_unit_steep(c, s, tile);
    cg_endif(c, &steep);
    chunked_sums(c, SUMS_ZERO, rows, s->tiles.cols, NULL, 0);
    cg_endif(c, &begin);
    CgLoop k = cg_loop(c, "k", zero, y.steps, 1);
    CgIf step = cg_if(c, exists);
    y_step(c, s, &y, zero, s->tiles.cols, k.i);
    cg_endif(c, &step);
    CgLoop i = beside_loop(c, &store, k.i);
    const Val line = cg_mul(c, cg_sub(c, i.i, before), cg_i64(c, y_stride(s)));
    store_y_row(c, s, i.i, cg_offset(c, part[LAG], line));
    cg_loop_end(c, &i);
    CgLoop pair = beside_loop(c, &stage, k.i);
    chunked_unit_stage_x(c, s, pair.i);
    cg_loop_end(c, &pair);
    cg_loop_end(c, &k);
    CgIf end = cg_if(c, exists);
    chunked_sums(c, SUMS_STORE, rows, s->tiles.cols, y.sums, y_stride(s));
    for (Columns p = {0}; columns_next(c, s, &p);) {
        chunked_sums(c, SUMS_ZERO, rows, p.cols, NULL, 0);
        CgLoop other = cg_loop(c, "k", zero, y.steps, 1);
        y_step(c, s, &y, p.first, p.cols, other.i);
        cg_loop_end(c, &other);
        chunked_sums(c, SUMS_STORE, rows, p.cols, sums_at(c, y.sums, p.first), y_stride(s));
    }
    cg_endif(c, &end);
}

/* Sums of the newest blocks are in parts of s->y_sums, in turn. */
static void
head_outputs(Cg *c, const Chunked *s, Val bounded)
{
    const int64_t rows = s->tiles.rows, bytes = rows * SIDE * y_stride(s);
    const Val tiles = cg_div_up(c, s->count, cg_i64(c, SIDE)), one = cg_i64(c, 1);
    const Val turn = cg_var(c, c->i64, cg_i64(c, 0), "turn");
    CgLoop i = cg_loop(c, "y_tile", cg_i64(c, 0), cg_add(c, tiles, cg_i64(c, LAG * rows)), rows);
    const Val now = cg_get(c, c->i64, turn);
    const Val wrapped = LLVMBuildICmp(c->b, LLVMIntEQ, now, cg_i64(c, BLOCKS - 1), "");
    const Val next = LLVMBuildSelect(c->b, wrapped, cg_i64(c, 0), cg_add(c, now, one), "");
    Val part[BLOCKS] = {cg_offset(c, s->y_sums, cg_mul(c, now, cg_i64(c, bytes)))};
    part[LAG] = cg_offset(c, s->y_sums, cg_mul(c, next, cg_i64(c, bytes)));
    cg_set(c, turn, next);
    output_block(c, s, i.i, cg_less(c, i.i, tiles), bounded, part);
    cg_loop_end(c, &i);
}

/* ---- the state --------------------------------------------------------------------------- */

/* Rows of the state by `factor`. */
static void
scale_state(Cg *c, const Chunked *s, Val factor)
{
    CgLoop n = cg_loop(c, "scale", cg_i64(c, 0), cg_i64(c, s->states), 1);
    const Val row = cg_element(c, s->h_sums, DTYPE_f32, n.i, s->h_stride, cg_i64(c, 0));
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const Val here = cg_at(c, row, DTYPE_f32, at.col);
        const Val h = cg_vload(c, here, DTYPE_f32, c->lanes, NULL);
        cg_vstore(c, here, DTYPE_f32, cg_fmul(c, h, factor), c->lanes, NULL);
    }
    cg_loop_end(c, &n);
}

/* Two rows of the state once the chunk is over: to memory after the span's last chunk (over), else
 * where the next chunk reads them. alone: the second does not exist. */
static void
store_state_unit(Cg *c, const Chunked *s, Val unit, Val factor, bool over, bool alone)
{
    const Dtype stored = s->stored;
    const Val n = cg_mul(c, unit, cg_i64(c, 2)), zero = cg_i64(c, 0);
    const Val sums = cg_element(c, s->h_sums, DTYPE_f32, n, s->h_stride, zero);
    const Val units = chunked_tile_row(c, s->h_units, unit, s->tiles.p_tiles);
    const Val memory = cg_element(c, s->h, stored, n, s->head_dim, zero);
    const Dtype to = over ? stored : DTYPE_f32;
    const int64_t stride = over ? s->head_dim : s->h_stride;
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        const Val here = cg_at(c, sums, DTYPE_f32, at.col);
        const Val below = cg_at(c, here, DTYPE_f32, cg_i64(c, s->h_stride));
        const Val even =
            cg_round(c, cg_fmul(c, cg_vload(c, here, DTYPE_f32, c->lanes, NULL), factor), stored);
        const Val odd =
            alone ? cg_like(c, even, 0)
                  : cg_round(c, cg_fmul(c, cg_vload(c, below, DTYPE_f32, c->lanes, NULL), factor),
                             stored);
        const Val out = over ? cg_at(c, memory, stored, at.col) : here;
        cg_vstore(c, out, to, even, c->lanes, at.mask);
        if (!alone)
            cg_vstore(c, cg_at(c, out, to, cg_i64(c, stride)), to, odd, c->lanes, at.mask);
        if (!over)
            cg_vstore(c, cg_offset(c, units, at.byte), DTYPE_i32, cg_bf16_pairs(c, even, odd),
                      c->lanes, NULL);
    }
}

static void
store_state(Cg *c, const Chunked *s, Val unit, Val factor, bool alone)
{
    const Val next = cg_add(c, s->index, cg_i64(c, 1));
    CgIf over = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, next, s->chunks, ""));
    store_state_unit(c, s, unit, factor, true, alone);
    cg_else(c, &over);
    store_state_unit(c, s, unit, factor, false, alone);
    cg_endif(c, &over);
}

/* left: B^T of the block. */
static void
state_step(Cg *c, const Chunked *s, Val left, Val p, int64_t cols, Val k)
{
    const Val right = cg_add(c, cg_mul(c, k, cg_i64(c, s->tiles.p_tiles)), p);
    Val rows[CHUNKED_ROWS];
    for (int64_t r = 0; r < s->tiles.rows; r++)
        rows[r] = chunked_tile(c, left, cg_add(c, k, cg_i64(c, r * s->tiles.q_steps)));
    chunked_step(c, s->tiles.rows, cols, rows, chunked_tile(c, s->x_units, right), CG_UNIT_TILE);
}

/* Rows of the block before are stored beside B^T X of this one. */
static void
state_block(Cg *c, const Chunked *s, Val tile, Val exists, Val factor)
{
    const int64_t rows = s->tiles.rows;
    const Val zero = cg_i64(c, 0);
    const Val steps = cg_div_up(c, s->count, cg_i64(c, STEP));
    const Val sums = cg_offset(c, s->h_sums, cg_mul(c, tile, cg_i64(c, SIDE * h_stride(s))));
    const Val left = chunked_tile(c, s->b_units, cg_mul(c, tile, cg_i64(c, s->tiles.q_steps)));
    CgIf begin = cg_if(c, exists);
    chunked_sums(c, SUMS_LOAD, rows, s->tiles.cols, sums, h_stride(s));
    cg_endif(c, &begin);
    const Val before = cg_mul(c, cg_sub(c, tile, cg_i64(c, LAG * rows)), cg_i64(c, SIDE / 2));
    const Beside b = beside(c, before, rows * SIDE / 2, cg_i64(c, s->states / 2), steps);
    CgLoop k = cg_loop(c, "k", zero, steps, 1);
    CgIf step = cg_if(c, exists);
    state_step(c, s, left, zero, s->tiles.cols, k.i);
    cg_endif(c, &step);
    CgLoop unit = beside_loop(c, &b, k.i);
    store_state(c, s, unit.i, factor, false);
    cg_loop_end(c, &unit);
    cg_loop_end(c, &k);
    CgIf end = cg_if(c, exists);
    chunked_sums(c, SUMS_STORE, rows, s->tiles.cols, sums, h_stride(s));
    for (Columns p = {0}; columns_next(c, s, &p);) {
        const Val here = sums_at(c, sums, p.first);
        chunked_sums(c, SUMS_LOAD, rows, p.cols, here, h_stride(s));
        CgLoop other = cg_loop(c, "k", zero, steps, 1);
        state_step(c, s, left, p.first, p.cols, other.i);
        cg_loop_end(c, &other);
        chunked_sums(c, SUMS_STORE, rows, p.cols, here, h_stride(s));
    }
    cg_endif(c, &end);
}

static void
head_state(Cg *c, const Chunked *s, Val factor)
{
    const int64_t rows = s->tiles.rows;
    const Val tiles = cg_i64(c, s->tiles.n_tiles);
    CgLoop n = cg_loop(c, "h_tile", cg_i64(c, 0), cg_add(c, tiles, cg_i64(c, LAG * rows)), rows);
    state_block(c, s, n.i, cg_less(c, n.i, tiles), factor);
    cg_loop_end(c, &n);
    if (s->states % 2)
        store_state(c, s, cg_i64(c, s->states / 2), factor, true);
}

/* ---- of a head --------------------------------------------------------------------------- */

void
chunked_unit_head(Cg *c, const Chunked *s)
{
    const Val one = cg_f32(c, 1), step = cg_i64(c, STEP);
    const Val padded = cg_mul(c, cg_div_up(c, s->count, step), step);
    const Val bounded = cg_decay_prefix(c, &s->decay, s->head, s->row, s->count);
    const Val whole = cg_decay_whole(c, &s->decay, s->count);
    CgIf kind = cg_if(c, bounded);
    cg_decay_begun(c, &s->decay, s->count);
    cg_else(c, &kind);
    cg_decay_steep(c, &s->decay, padded);
    cg_endif(c, &kind);
    chunked_unit_stage_x_begin(c, s);
    head_outputs(c, s, bounded);
    CgIf steep = cg_if(c, LLVMBuildNot(c->b, bounded, ""));
    const Val last = cg_sub(c, s->count, cg_i64(c, 1));
    cg_decay_weights(c, &s->decay, cg_decay_at(c, &s->decay, last), s->count);
    chunked_unit_stage_x_begin(c, s);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, SIDE), cg_div(c, s->count, cg_i64(c, 2)), 1);
    chunked_unit_stage_x(c, s, pair.i);
    cg_loop_end(c, &pair);
    scale_state(c, s, cg_splat(c, whole, c->lanes));
    cg_endif(c, &steep);
    head_state(c, s, cg_splat(c, LLVMBuildSelect(c->b, bounded, whole, one, ""), c->lanes));
}

bool
chunked_in_place(const Chunked *s)
{
    return s->stored == DTYPE_f32 && s->states == s->tiles.n_tiles * SIDE &&
           s->head_dim == s->tiles.p_tiles * SIDE;
}

/* ---- scratch ----------------------------------------------------------------------------- */

static Val
tiles(Cg *c, const Chunked *s, int64_t count)
{
    return cg_scratch(c, s->k, count * CG_UNIT_TILE);
}

void
chunked_unit_reserve(Cg *c, Chunked *s)
{
    const TileUnit *t = &s->tiles;
    const int64_t block = t->rows * t->p_tiles, corners = STEP / SIDE * (STEP / SIDE);
    s->c_all = cg_scratch(c, s->k, t->most * t->c_bytes);
    s->b_all = cg_scratch(c, s->k, t->most * t->b_bytes);
    s->cb_all = cg_scratch(c, s->k, t->most * t->cb_bytes);
    s->b_rows = cg_scratch(c, s->k, t->c_bytes);
    s->b_cols = cg_scratch(c, s->k, t->c_bytes);
    s->b_pairs = tiles(c, s, t->q_steps * t->n_tiles);
    s->h_units = tiles(c, s, (t->n_steps + t->q_steps) * t->p_tiles); /* x_units follow */
    s->x_units = chunked_tile(c, s->h_units, cg_i64(c, t->n_steps * t->p_tiles));
    s->h_stride = t->p_tiles * SIDE;
    if (!chunked_in_place(s))
        s->h_sums = tiles(c, s, t->n_tiles * t->p_tiles);
    s->y_sums = tiles(c, s, BLOCKS * block > corners ? BLOCKS * block : corners);
    s->c_kept = tiles(c, s, t->rows * t->n_steps);
    s->m = tiles(c, s, t->rows * t->q_steps);
    s->m_weight = cg_scratch(c, s->k, (t->q_steps * STEP + SIDE) * (int64_t)sizeof(float));
    s->since = cg_scratch(c, s->k, STEP * (int64_t)sizeof(float));
    s->decay = cg_decay(c, s->k, s->dt, s->A, t->q_steps * STEP, c->lanes);
}
