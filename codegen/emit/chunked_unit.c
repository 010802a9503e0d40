/* codegen/emit/chunked_unit.c -- Y and the state of a head's chunk on the matrix unit (kernel
 * attribute unit=matrix), and the scratch for it.
 *
 *     for each block of rows i:                       for each block of rows n of the state:
 *         sums = C_i h + M_i X                            sums = B^T X
 *         y    = leave_i sums + D x                       h    = decay h + sums
 *
 * Bounded decay is taken from the chunk's begin (cg_decay_begun), so that C h and M X add up in one
 * tile. Under steep decay keep_i is in a copy of C, the rest in M.
 *
 * Sums leave through scratch, from which vectors take them. The unit and vectors work side by side:
 * beside each step of a block's products vectors store a few rows of the block before, and X of
 * tokens to come is staged. A tile of sums is stored when the next block begins to need its
 * register, so that the others go on meanwhile. The first-level cache has to hold the right
 * operands beside all that is streamed: what is not needed there costs time. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP };

/* Rows of the result, block by block. */
typedef struct Walk Walk;
struct Walk {
    Val tiles;                                          /* of 16 rows */
    void (*prepare)(Cg *c, const Chunked *s, Val tile); /* NULL: nothing */
    Val prepared;                                       /* i1: it is called */
    Val (*steps)(Cg *c, const Chunked *s, Val tile);    /* at least 1 */
    /* Operands of step k: left of each row; right of column tile p. */
    void (*operands)(Cg *c, const Chunked *s, const Walk *w, Val tile, Val p, Val k,
                     ChunkedRows *left, Val *right);
    /* What vectors do beside step k, with the sums of the block before, which may not exist. */
    void (*beside)(Cg *c, const Chunked *s, const Walk *w, Val tile, Val k);
    Val share;         /* pairs of rows of the block before that vectors take beside a step */
    Val factor, added; /* of the state, and of what is added to it */
    Val more;          /* i1: the span has another chunk */
};

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

/* ---- blocks of rows ---------------------------------------------------------------------- */

static int64_t
row_bytes(const Chunked *s)
{
    return s->tiles.p_tiles * CG_UNIT_BYTES;
}

/* Whether all columns are one block: only then its sums stay in tiles until the next begins. */
static bool
is_single(const Chunked *s)
{
    return s->tiles.cols == s->tiles.p_tiles;
}

/* Left operands of step k + 1 are loaded once those of step k have been used, so that vectors work
 * while they come. */
static void
walk_step(Cg *c, const Chunked *s, const Walk *w, Val tile, Val k, Val steps)
{
    const int64_t rows = s->tiles.rows, cols = s->tiles.cols;
    const Val before = is_single(s) ? s->y_sums : NULL;
    const Val zero = cg_i64(c, 0), next = cg_add(c, k, cg_i64(c, 1));
    ChunkedRows left[CHUNKED_ROWS];
    Val right = NULL, other = NULL;
    w->operands(c, s, w, tile, zero, k, left, &right);
    CgIf begin = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, k, zero, ""));
    chunked_step(c, rows, cols, left, right, CG_UNIT_TILE, before, row_bytes(s));
    cg_else(c, &begin);
    chunked_step(c, rows, cols, NULL, right, CG_UNIT_TILE, NULL, 0);
    cg_endif(c, &begin);
    CgIf more = cg_if(c, cg_less(c, next, steps));
    w->operands(c, s, w, tile, zero, next, left, &other);
    chunked_left(c, rows, cols, left);
    cg_endif(c, &more);
}

/* The products of a block with columns from p on, without vectors beside them. */
static void
walk_columns(Cg *c, const Chunked *s, const Walk *w, Val tile, const Columns *p, Val steps)
{
    const Val to = cg_offset(c, s->y_sums, cg_mul(c, p->first, cg_i64(c, CG_UNIT_BYTES)));
    chunked_sums(c, SUMS_ZERO, s->tiles.rows, p->cols, NULL, 0);
    CgLoop k = cg_loop(c, "k", cg_i64(c, 0), steps, 1);
    ChunkedRows left[CHUNKED_ROWS];
    Val right = NULL;
    w->operands(c, s, w, tile, p->first, k.i, left, &right);
    chunked_step(c, s->tiles.rows, p->cols, left, right, CG_UNIT_TILE, NULL, 0);
    cg_loop_end(c, &k);
    chunked_sums(c, SUMS_STORE, s->tiles.rows, p->cols, to, row_bytes(s));
}

/* tile: the block's first, or past the last block's. */
static void
walk_block(Cg *c, const Chunked *s, const Walk *w, Val tile)
{
    const int64_t rows = s->tiles.rows, cols = s->tiles.cols, stride = row_bytes(s);
    const Val zero = cg_i64(c, 0), exists = cg_less(c, tile, w->tiles);
    const Val steps = w->steps(c, s, LLVMBuildSelect(c->b, exists, tile, zero, ""));
    CgIf begin = cg_if(c, exists);
    if (w->prepare) {
        CgIf some = cg_if(c, w->prepared);
        w->prepare(c, s, tile);
        cg_endif(c, &some);
    }
    if (!is_single(s))
        chunked_sums(c, SUMS_ZERO, rows, cols, NULL, 0);
    cg_else(c, &begin);
    if (is_single(s))
        chunked_sums(c, SUMS_STORE, rows, cols, s->y_sums, stride);
    cg_endif(c, &begin);
    CgLoop k = cg_loop(c, "k", zero, steps, 1);
    CgIf step = cg_if(c, exists);
    walk_step(c, s, w, tile, k.i, steps);
    cg_endif(c, &step);
    w->beside(c, s, w, tile, k.i);
    cg_loop_end(c, &k);
    if (is_single(s))
        return;
    CgIf end = cg_if(c, exists);
    chunked_sums(c, SUMS_STORE, rows, cols, s->y_sums, stride);
    for (Columns p = {0}; columns_next(c, s, &p);)
        walk_columns(c, s, w, tile, &p, steps);
    cg_endif(c, &end);
}

static void
walk_rows(Cg *c, const Chunked *s, Walk w)
{
    const int64_t rows = s->tiles.rows;
    /* No block has fewer steps than the first. */
    w.share = cg_div_up(c, cg_i64(c, rows * SIDE / 2), w.steps(c, s, cg_i64(c, 0)));
    CgLoop i = cg_loop(c, "rows", cg_i64(c, 0), cg_add(c, w.tiles, cg_i64(c, rows)), rows);
    walk_block(c, s, &w, i.i);
    cg_loop_end(c, &i);
}

/* Rows from `first` on of a result, `rows` of them as far as `end` and none before row 0: the
 * `each` of them whose turn is beside step k. */
static CgLoop
beside_rows(Cg *c, Val each, Val first, int64_t rows, Val end, Val k)
{
    const Val from = cg_add(c, first, cg_mul(c, k, each));
    const Val to =
        cg_min(c, cg_add(c, from, each), cg_min(c, end, cg_add(c, first, cg_i64(c, rows))));
    const Val none = cg_less(c, first, cg_i64(c, 0));
    return cg_loop(c, "beside", from, LLVMBuildSelect(c->b, none, first, to, ""), 1);
}

/* The first row of the block before the tile's; a row of the result is `unit` of them. */
static Val
rows_before(Cg *c, const Chunked *s, Val tile, int64_t unit)
{
    return cg_mul(c, cg_sub(c, tile, cg_i64(c, s->tiles.rows)), cg_i64(c, SIDE / unit));
}

/* ---- Y ----------------------------------------------------------------------------------- */

/* X that is staged FAR tokens after token i: of this head, or of the next one where this chunk is
 * the span's last. Rows are a page or so apart, where no hardware prefetcher follows. */
static void
prefetch_x(Cg *c, const Chunked *s, Val i)
{
    enum { FAR = 4 * SIDE };
    const CgOperand *o = cg_operand(s->k, s->x);
    if (!o)
        return;
    const Val past = cg_sub(c, cg_add(c, i, cg_i64(c, FAR)), s->count);
    const Val more = cg_less(c, cg_add(c, s->index, cg_i64(c, 1)), s->chunks);
    const Val same = LLVMBuildOr(c->b, more, cg_less(c, past, cg_i64(c, 0)), "");
    const Val after = cg_add(c, cg_add(c, s->row, s->count), past);
    const Val row = LLVMBuildSelect(c->b, same, after, cg_add(c, s->span_row, past), "");
    const Val next = cg_add(c, s->head, cg_i64(c, 1));
    const Val head = LLVMBuildSelect(c->b, same, s->head, next, "");
    const Val from =
        cg_element(c, o->base, o->dtype, row, o->stride, cg_mul(c, head, cg_i64(c, s->head_dim)));
    for (int64_t at = 0; at < s->head_dim * dtype_info[o->dtype].bytes; at += CG_LINE_BYTES)
        cg_prefetch(c, cg_offset(c, from, cg_i64(c, at)), 2);
}

/* y = leave_i Y + D x of one token; from: its sums. */
static void
store_y_row(Cg *c, const Chunked *s, Val i, Val from)
{
    const Val head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const Val leave = cg_splat(
        c, cg_vload(c, cg_at(c, s->decay.leave, DTYPE_f32, i), DTYPE_f32, 1, NULL), c->lanes);
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

static Val
y_steps(Cg *c, const Chunked *s, Val tile)
{
    const Val last = cg_add(c, tile, cg_i64(c, s->tiles.rows - 1));
    const Val within = cg_add(c, cg_div(c, last, cg_i64(c, STEP / SIDE)), cg_i64(c, 1));
    return cg_add(c, cg_i64(c, s->tiles.n_steps), within);
}

/* C h, then M X, whose right operands follow each other in scratch. */
static void
y_operands(Cg *c, const Chunked *s, const Walk *w, Val tile, Val p, Val k, ChunkedRows *left,
           Val *right)
{
    const int64_t n_steps = s->tiles.n_steps, q_steps = s->tiles.q_steps;
    const Val within = cg_sub(c, k, cg_i64(c, n_steps)), before = cg_less(c, within, cg_i64(c, 0));
    const Val M = chunked_tile(c, s->cb, cg_mul(c, tile, cg_i64(c, q_steps)));
    const Val inside = LLVMBuildSelect(c->b, w->prepared, s->m, M, "");
    for (int64_t r = 0; r < s->tiles.rows; r++) {
        const ChunkedRows kept =
            chunked_tile_rows(c, s->c_kept, cg_add(c, k, cg_i64(c, r * n_steps)));
        const ChunkedRows states = chunked_unit_c_tile(c, s, cg_add(c, tile, cg_i64(c, r)), k);
        const ChunkedRows m =
            chunked_tile_rows(c, inside, cg_add(c, within, cg_i64(c, r * q_steps)));
        left[r] = chunked_rows_of(c, before, chunked_rows_of(c, w->prepared, kept, states), m);
    }
    *right = chunked_tile(c, s->h_units, cg_add(c, cg_mul(c, k, cg_i64(c, s->tiles.p_tiles)), p));
}

/* Tokens of the block before are stored; x of those of the step after this block's is staged. */
static void
y_beside(Cg *c, const Chunked *s, const Walk *w, Val tile, Val k)
{
    const int64_t rows = s->tiles.rows * SIDE;
    const Val first = rows_before(c, s, tile, 1), pairs = cg_div(c, s->count, cg_i64(c, 2));
    const Val next = cg_mul(c, cg_add(c, tile, cg_i64(c, 2)), cg_i64(c, SIDE / 2));
    CgLoop i = beside_rows(c, cg_mul(c, w->share, cg_i64(c, 2)), first, rows, s->count, k);
    const Val line = cg_mul(c, cg_sub(c, i.i, first), cg_i64(c, row_bytes(s)));
    store_y_row(c, s, i.i, cg_offset(c, s->y_sums, line));
    cg_loop_end(c, &i);
    CgLoop pair = beside_rows(c, w->share, next, rows / 2, pairs, k);
    for (int64_t token = 0; token < 2; token++)
        prefetch_x(c, s, cg_add(c, cg_mul(c, pair.i, cg_i64(c, 2)), cg_i64(c, token)));
    chunked_unit_stage_x(c, s, pair.i);
    cg_loop_end(c, &pair);
}

/* ---- the state --------------------------------------------------------------------------- */

static Val
h_steps(Cg *c, const Chunked *s, Val tile)
{
    (void)tile;
    return cg_div_up(c, s->count, cg_i64(c, STEP));
}

static void
h_operands(Cg *c, const Chunked *s, const Walk *w, Val tile, Val p, Val k, ChunkedRows *left,
           Val *right)
{
    (void)w;
    for (int64_t r = 0; r < s->tiles.rows; r++) {
        const Val row = cg_mul(c, cg_add(c, tile, cg_i64(c, r)), cg_i64(c, s->tiles.q_steps));
        left[r] = chunked_tile_rows(c, s->b_units, cg_add(c, row, k));
    }
    *right = chunked_tile(c, s->x_units, cg_add(c, cg_mul(c, k, cg_i64(c, s->tiles.p_tiles)), p));
}

/* Two rows of the state, in memory and where the next chunk reads them. sums: what is added to the
 * first. alone: the second does not exist. */
static void
store_unit(Cg *c, const Chunked *s, const Walk *w, Val unit, Val sums, bool alone)
{
    const Dtype stored = s->stored;
    const Val n = cg_mul(c, unit, cg_i64(c, 2)), zero = cg_i64(c, 0);
    const Val row = cg_element(c, s->h, stored, n, s->head_dim, zero);
    const Val line = chunked_tile_row(c, s->h_units, unit, s->tiles.p_tiles);
    for (ChunkedCells at = chunked_cells(s->head_dim); chunked_cells_next(c, &at);) {
        Val now[2];
        for (int r = 0; r < (alone ? 1 : 2); r++) {
            const Val from = cg_offset(c, sums, cg_i64(c, r * row_bytes(s)));
            const Val add =
                cg_vload(c, cg_at(c, from, DTYPE_f32, at.col), DTYPE_f32, c->lanes, NULL);
            const Val here = cg_at(c, row, stored, cg_add(c, at.col, cg_i64(c, r * s->head_dim)));
            const Val old = cg_vload(c, here, stored, c->lanes, at.mask);
            now[r] = cg_fma(c, w->factor, old, cg_fmul(c, w->added, add));
            cg_vstore(c, here, stored, now[r], c->lanes, at.mask);
            now[r] = cg_round(c, now[r], stored);
        }
        now[1] = alone ? cg_like(c, now[0], 0) : now[1];
        CgIf more = cg_if(c, w->more);
        cg_vstore(c, cg_offset(c, line, at.byte), DTYPE_i32, cg_bf16_pairs(c, now[0], now[1]),
                  c->lanes, NULL);
        cg_endif(c, &more);
    }
}

static void
h_beside(Cg *c, const Chunked *s, const Walk *w, Val tile, Val k)
{
    const Val first = rows_before(c, s, tile, 2), whole = cg_i64(c, s->states / 2);
    const Val two = cg_i64(c, 2 * row_bytes(s));
    CgLoop unit = beside_rows(c, w->share, first, s->tiles.rows * SIDE / 2, whole, k);
    store_unit(c, s, w, unit.i, cg_offset(c, s->y_sums, cg_mul(c, cg_sub(c, unit.i, first), two)),
               false);
    cg_loop_end(c, &unit);
    if (s->states % 2 == 0)
        return;
    const Val row = cg_sub(c, whole, first); /* the last, beside the first step of its block */
    const Val all[] = {LLVMBuildICmp(c->b, LLVMIntEQ, k, cg_i64(c, 0), ""),
                       cg_less(c, cg_i64(c, -1), row),
                       cg_less(c, row, cg_i64(c, s->tiles.rows * SIDE / 2))};
    CgIf odd = cg_if(c, LLVMBuildAnd(c->b, all[0], LLVMBuildAnd(c->b, all[1], all[2], ""), ""));
    store_unit(c, s, w, whole, cg_offset(c, s->y_sums, cg_mul(c, row, two)), true);
    cg_endif(c, &odd);
}

/* ---- what the state says of keys ----------------------------------------------------------- */

static void
said_block(Cg *c, const Chunked *s, Val tile, Val first, int64_t cols)
{
    const int64_t rows = s->tiles.rows, stride = s->delta.said_stride * (int64_t)sizeof(float);
    chunked_sums(c, SUMS_ZERO, rows, cols, NULL, 0);
    CgLoop k = cg_loop(c, "k", cg_i64(c, 0), cg_i64(c, s->tiles.n_steps), 1);
    ChunkedRows left[CHUNKED_ROWS];
    for (int64_t r = 0; r < rows; r++)
        left[r] = chunked_unit_b_tile(c, s, cg_add(c, tile, cg_i64(c, r)), k.i);
    const Val right = cg_add(c, cg_mul(c, k.i, cg_i64(c, s->tiles.p_tiles)), first);
    chunked_step(c, rows, cols, left, chunked_tile(c, s->h_units, right), CG_UNIT_TILE, NULL, 0);
    cg_loop_end(c, &k);
    const Val to = cg_element(c, s->delta.said, DTYPE_f32, cg_mul(c, tile, cg_i64(c, SIDE)),
                              s->delta.said_stride, cg_mul(c, first, cg_i64(c, SIDE)));
    chunked_sums(c, SUMS_STORE, rows, cols, to, stride);
}

void
chunked_unit_said(Cg *c, const Chunked *s)
{
    const Val tiles = cg_div_up(c, s->count, cg_i64(c, SIDE));
    CgLoop i = cg_loop(c, "said", cg_i64(c, 0), tiles, s->tiles.rows);
    said_block(c, s, i.i, cg_i64(c, 0), s->tiles.cols);
    for (Columns p = {0}; !is_single(s) && columns_next(c, s, &p);)
        said_block(c, s, i.i, p.first, p.cols);
    cg_loop_end(c, &i);
}

/* ---- of a head --------------------------------------------------------------------------- */

void
chunked_unit_head(Cg *c, const Chunked *s)
{
    const Val one = cg_f32(c, 1), step = cg_i64(c, STEP);
    const Val padded = cg_mul(c, cg_div_up(c, s->count, step), step);
    const Val bounded = cg_decay_prefix(c, &s->decay, s->head, s->row, s->count);
    const Val steep = LLVMBuildNot(c->b, bounded, "steep");
    const Val whole = cg_decay_whole(c, &s->decay, s->count);
    CgIf kind = cg_if(c, bounded);
    cg_decay_begun(c, &s->decay, s->count);
    cg_else(c, &kind);
    cg_decay_steep(c, &s->decay, padded);
    cg_endif(c, &kind);
    if (s->delta.b)
        chunked_delta_x(c, s, bounded);
    chunked_unit_stage_x_begin(c, s);
    const Walk y = {.tiles = cg_div_up(c, s->count, cg_i64(c, SIDE)),
                    .prepare = chunked_unit_steep,
                    .prepared = steep,
                    .steps = y_steps,
                    .operands = y_operands,
                    .beside = y_beside};
    walk_rows(c, s, y);
    CgIf again = cg_if(c, steep);
    const Val last = cg_sub(c, s->count, cg_i64(c, 1));
    cg_decay_weights(c, &s->decay, cg_decay_at(c, &s->decay, last), s->count);
    chunked_unit_stage_x_begin(c, s);
    CgLoop pair = cg_loop(c, "stage", cg_i64(c, SIDE), cg_div(c, s->count, cg_i64(c, 2)), 1);
    chunked_unit_stage_x(c, s, pair.i);
    cg_loop_end(c, &pair);
    cg_endif(c, &again);
    const Val added = LLVMBuildSelect(c->b, bounded, whole, one, "");
    const Walk h = {.tiles = cg_i64(c, s->tiles.n_tiles),
                    .steps = h_steps,
                    .operands = h_operands,
                    .beside = h_beside,
                    .factor = cg_splat(c, whole, c->lanes),
                    .added = cg_splat(c, added, c->lanes),
                    .more = cg_less(c, cg_add(c, s->index, cg_i64(c, 1)), s->chunks)};
    walk_rows(c, s, h);
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
    s->b_cols = tiles(c, s, t->q_tiles * t->n_steps);
    s->h_units = tiles(c, s, (t->n_steps + t->q_steps) * t->p_tiles); /* x_units follow */
    s->x_units = chunked_tile(c, s->h_units, cg_i64(c, t->n_steps * t->p_tiles));
    s->y_sums = tiles(c, s, block > corners ? block : corners);
    s->c_kept = tiles(c, s, t->rows * t->n_steps);
    s->m = tiles(c, s, t->rows * t->q_steps);
    s->m_weight = cg_scratch(c, s->k, (t->q_steps * STEP + SIDE) * (int64_t)sizeof(float));
    s->since = cg_scratch(c, s->k, STEP * (int64_t)sizeof(float));
    s->decay = cg_decay(c, s->k, s->dt, s->A, t->q_steps * STEP, c->lanes + s->delta.shape.rows);
}
