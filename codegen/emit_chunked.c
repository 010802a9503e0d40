/* codegen/emit_chunked.c -- the chunked form of SSD as one kernel ("Transformers are SSMs", section
 * 6 and listing 1): chunk_decay, chunk_cb, chunk_state, state_pass and chunk_out. Quadratic is the
 * same with one chunk over all tokens.
 *
 *     for each segment, each group with heads of this thread, each chunk of q <= Q tokens:
 *         B, C staged; CB = C B^T, tiles on and below the diagonal          (shared by the heads)
 *         for each head of the group that this thread has:
 *             a_i = sum of dt A up to i; X staged
 *             for each tile of rows i:  Y  = exp(a_i) (C_i h)               all of N
 *                                       Y += M_i X                          tokens up to the tile's
 * last y  = Y + D x                        stored h = exp(a_last) h + sum_j B_j (exp(a_last - a_j)
 * dt_j x_j)^T
 *
 * with M_ij = CB_ij exp(a_i - a_j) dt_j for j <= i, else 0. Decays only ever appear as differences
 * a_i - a_j <= 0, so strong decay underflows to 0 and nothing overflows. For tokens j before the
 * tile's first row s+1, exp(a_i - a_j) = exp(a_i - a_s) exp(a_s - a_j): one exponential a token and
 * one a row in place of one a pair.
 *
 * The sum a is kept in two floats (high and low part): at a = -20000 a single one would make
 * exp(a_i - a_j) wrong in the third digit.
 *
 * Scratch is padded to whole tiles; what is computed in the padding is never stored, and no sum
 * runs over it. The chunk's results before the state enters (chunk_state, state_pass) stay in
 * registers. */
#include "codegen/tile.h"

enum { LINE_FLOATS = 16 }; /* f32 in a cache line */

typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int64_t chunk;                           /* Q: most tokens of a chunk */
    int rows, vecs, lanes;                   /* of a register tile */
    /* Elements from row to row of the scratch arrays. */
    int64_t width;    /* of a tile: vecs * lanes */
    int64_t x_stride; /* P in whole tiles */
    int64_t n_stride; /* N in whole tiles of rows */
    int64_t q_stride; /* Q in whole tiles of columns, and what m_diagonal may write past it */
    /* Scratch of this thread. */
    Val c_rows, b_rows; /* C, B: [Q,N] */
    Val b_cols;         /* B^T: [N,Q] */
    Val cb;             /* [Q,Q] */
    Val x_rows, x_late; /* x, and exp(a_last - a_j) dt_j x_j: [Q,P] */
    Val m;              /* M of one tile: [rows,Q] */
    Val high, low;      /* a_j in two parts: [Q] */
    Val step, weight;   /* dt_j: [Q]; exp(a_s - a_j) dt_j: [Q] */
    Val entry;          /* exp(a_j): [Q] */
    Val factors;        /* exp(a_i - a_s) of the rows of a tile: [rows] */
    Val result;         /* one tile: [rows,width] */
    Val h_rows;         /* the state, rows padded, when P is no whole number of tiles: [N,P] */
    /* Where the loops are. */
    Val row, count; /* of this chunk: first token row, q tokens */
    Val group, head;
    Val h; /* the head's state in memory, [N,P] */
} Chunked;

/* ---- small pieces ------------------------------------------------------------------------ */

static Val
at(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_f32, index);
}

static Val
at2(Cg *c, Val base, Val row, int64_t stride, Val col)
{
    return at(c, base, cg_add(c, cg_mul(c, row, cg_i64(c, stride)), col));
}

static Val
load(Cg *c, Val ptr, int lanes)
{
    return cg_vload(c, ptr, DTYPE_f32, lanes, NULL);
}

static void
store(Cg *c, Val ptr, Val value, int lanes)
{
    cg_vstore(c, ptr, DTYPE_f32, value, lanes, NULL);
}

static Val
mul(Cg *c, Val a, Val b)
{
    return LLVMBuildFMul(c->b, a, b, "");
}

static Val
scalar_of(Cg *c, const Chunked *s, const Value *v, Val row, Val col)
{
    const CgSite site = {.row = row, .col = col, .lanes = 1};
    cg_unbind_all(s->k);
    return cg_eval(c, s->k, v, &site);
}

/* a of one token in two parts, splat. */
typedef struct {
    Val high, low;
} Sum;

static Sum
sum_at(Cg *c, const Chunked *s, Val i, int lanes)
{
    return (Sum){cg_splat(c, load(c, at(c, s->high, i), 1), lanes),
                 cg_splat(c, load(c, at(c, s->low, i), 1), lanes)};
}

/* exp(a - a_j) for a vector of tokens j. */
static Val
decay_since(Cg *c, const Chunked *s, Sum a, Val j)
{
    const Val high = LLVMBuildFSub(c->b, a.high, load(c, at(c, s->high, j), s->lanes), "");
    const Val low = LLVMBuildFSub(c->b, a.low, load(c, at(c, s->low, j), s->lanes), "");
    return cg_exp(c, LLVMBuildFAdd(c->b, high, low, ""));
}

/* to[r] = exp(a_i - a) for rows i of the tile that begins at `first`. */
static void
row_factors(Cg *c, const Chunked *s, Val first, Sum a, Val to)
{
    for (int64_t r = 0; r < s->rows; r += s->lanes) {
        const Val i = cg_add(c, first, cg_i64(c, r));
        const Val high = LLVMBuildFSub(c->b, load(c, at(c, s->high, i), s->lanes), a.high, "");
        const Val low = LLVMBuildFSub(c->b, load(c, at(c, s->low, i), s->lanes), a.low, "");
        const Val factor = cg_exp(c, LLVMBuildFAdd(c->b, high, low, ""));
        store(c, at(c, to, cg_i64(c, r)), factor, s->lanes);
    }
}

/* ---- of a group: B, C and C B^T ---------------------------------------------------------- */

/* B^T, token by token. */
static void
transpose_b(Cg *c, const Chunked *s)
{
    CgLoop n = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, s->states), 1);
    CgLoop j = cg_loop(c, "j", cg_i64(c, 0), s->count, 1);
    const Val b = load(c, at2(c, s->b_rows, j.i, s->n_stride, n.i), 1);
    store(c, at2(c, s->b_cols, n.i, s->q_stride, j.i), b, 1);
    cg_loop_end(c, &j);
    cg_loop_end(c, &n);
}

static void
stage_group(Cg *c, const Chunked *s)
{
    const Val col = cg_mul(c, s->group, cg_i64(c, s->states));
    CgBlock from = {.v = s->C, .row = s->row, .count = s->count, .col = col, .width = s->states};
    cg_stage(c, s->k, &from, s->c_rows, DTYPE_f32, s->n_stride);
    from.v = s->B;
    cg_stage(c, s->k, &from, s->b_rows, DTYPE_f32, s->n_stride);
    transpose_b(c, s);
}

/* CB in tiles that reach on or below the diagonal. */
static void
products_cb(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, s->states);
    CgLoop i = cg_loop(c, "cb_row", zero, s->count, s->rows);
    const Val last = cg_min(c, s->count, cg_add(c, i.i, cg_i64(c, s->rows)));
    CgLoop j = cg_loop(c, "cb_col", zero, last, s->width);
    const CgSide left = {at2(c, s->c_rows, i.i, s->n_stride, zero), DTYPE_f32, s->n_stride, 1};
    const CgSide right = {at(c, s->b_cols, j.i), DTYPE_f32, 1, s->q_stride};
    const CgTile tile = cg_tile(c, s->rows, s->vecs, s->lanes);
    cg_tile_mac(c, &tile, &left, &right, zero, end);
    cg_tile_store(c, &tile, at2(c, s->cb, i.i, s->q_stride, j.i), s->q_stride);
    cg_loop_end(c, &j);
    cg_loop_end(c, &i);
}

/* ---- of a head: decays, X, M ------------------------------------------------------------- */

/* dt_j, and a_j as a sum in double split in two floats. */
static void
head_decay(Cg *c, const Chunked *s)
{
    const LLVMTypeRef wide = LLVMDoubleTypeInContext(c->ctx);
    const Val A = LLVMBuildFPExt(c->b, scalar_of(c, s, s->A, cg_i64(c, 0), s->head), wide, "");
    const Val sum = cg_var(c, wide, LLVMConstReal(wide, 0), "a");
    CgLoop j = cg_loop(c, "decay", cg_i64(c, 0), s->count, 1);
    const Val dt = scalar_of(c, s, s->dt, cg_add(c, s->row, j.i), s->head);
    const Val log = LLVMBuildFMul(c->b, LLVMBuildFPExt(c->b, dt, wide, ""), A, "");
    const Val a = LLVMBuildFAdd(c->b, cg_get(c, wide, sum), log, "");
    const Val high = LLVMBuildFPTrunc(c->b, a, c->f32, "");
    const Val rest = LLVMBuildFSub(c->b, a, LLVMBuildFPExt(c->b, high, wide, ""), "");
    cg_set(c, sum, a);
    store(c, at(c, s->step, j.i), dt, 1);
    store(c, at(c, s->high, j.i), high, 1);
    store(c, at(c, s->low, j.i), LLVMBuildFPTrunc(c->b, rest, c->f32, ""), 1);
    cg_loop_end(c, &j);
}

/* entry_i = exp(a_i): how much of the state that enters the chunk is left at token i. */
static void
head_entry(Cg *c, const Chunked *s)
{
    CgLoop i = cg_loop(c, "entry", cg_i64(c, 0), s->count, s->lanes);
    const Val a = load(c, at(c, s->high, i.i), s->lanes);
    store(c, at(c, s->entry, i.i), cg_exp(c, a), s->lanes);
    cg_loop_end(c, &i);
}

static void
stage_x(Cg *c, const Chunked *s)
{
    const CgBlock from = {.v = s->x,
                          .row = s->row,
                          .count = s->count,
                          .col = cg_mul(c, s->head, cg_i64(c, s->head_dim)),
                          .width = s->head_dim};
    cg_stage(c, s->k, &from, s->x_rows, DTYPE_f32, s->x_stride);
}

/* weight_j = exp(a_s - a_j) dt_j for tokens before `end`, whole vectors of them. */
static void
weights_since(Cg *c, const Chunked *s, Val token, Val end)
{
    const Sum a = sum_at(c, s, token, s->lanes);
    CgLoop j = cg_loop(c, "weight", cg_i64(c, 0), end, s->lanes);
    const Val dt = load(c, at(c, s->step, j.i), s->lanes);
    store(c, at(c, s->weight, j.i), mul(c, decay_since(c, s, a, j.i), dt), s->lanes);
    cg_loop_end(c, &j);
}

/* M of tokens j before the tile's first row s + 1. Whole vectors: m_diagonal comes after and puts
 * right what reaches past s. */
static void
m_before(Cg *c, const Chunked *s, Val first)
{
    const Val before = cg_sub(c, first, cg_i64(c, 1));
    Val factor[CG_TILE_MAX];
    weights_since(c, s, before, first);
    row_factors(c, s, first, sum_at(c, s, before, s->lanes), s->factors);
    for (int r = 0; r < s->rows; r++)
        factor[r] = cg_splat(c, load(c, at(c, s->factors, cg_i64(c, r)), 1), s->lanes);
    CgLoop j = cg_loop(c, "m", cg_i64(c, 0), first, s->lanes);
    const Val weight = load(c, at(c, s->weight, j.i), s->lanes);
    for (int r = 0; r < s->rows; r++) {
        const Val i = cg_add(c, first, cg_i64(c, r));
        const Val cb = load(c, at2(c, s->cb, i, s->q_stride, j.i), s->lanes);
        const Val m = mul(c, mul(c, cb, weight), factor[r]);
        store(c, at2(c, s->m, cg_i64(c, r), s->q_stride, j.i), m, s->lanes);
    }
    cg_loop_end(c, &j);
}

/* M of the tile's own tokens, in vectors that begin at its first: the diagonal is in the same lane
 * whatever the tile, and 0 comes after it. */
static void
m_diagonal(Cg *c, const Chunked *s, Val first)
{
    const Val zeros = cg_splat(c, cg_f32(c, 0), s->lanes);
    for (int64_t r = 0; r < s->rows; r++) {
        const Val i = cg_add(c, first, cg_i64(c, r));
        const Sum a = sum_at(c, s, i, s->lanes);
        for (int64_t v = 0; v < s->rows; v += s->lanes) {
            const Val j = cg_add(c, first, cg_i64(c, v));
            const Val lower = cg_mask_first(c, s->lanes, cg_i64(c, r + 1 > v ? r + 1 - v : 0));
            const Val weight =
                mul(c, decay_since(c, s, a, j), load(c, at(c, s->step, j), s->lanes));
            const Val cb = load(c, at2(c, s->cb, i, s->q_stride, j), s->lanes);
            const Val m = LLVMBuildSelect(c->b, lower, mul(c, cb, weight), zeros, "");
            store(c, at2(c, s->m, cg_i64(c, r), s->q_stride, j), m, s->lanes);
        }
    }
}

/* ---- of a head: y ------------------------------------------------------------------------ */

/* The next head's x of the tile's tokens: its rows are a page or so apart, where no hardware
 * prefetcher follows. Past the last head it asks for whatever comes next, which is harmless. */
static void
prefetch_x(Cg *c, const Chunked *s, Val first)
{
    const CgOperand *x = cg_operand(s->k, s->x);
    if (!x)
        return;
    const Val col = cg_mul(c, cg_add(c, s->head, cg_i64(c, 1)), cg_i64(c, s->head_dim));
    const Val row = cg_mul(c, cg_add(c, s->row, first), cg_i64(c, x->stride));
    const Val from = cg_at(c, x->base, x->dtype, cg_add(c, row, col));
    CgLoop line = cg_loop(c, "line", cg_i64(c, 0), cg_i64(c, s->head_dim), LINE_FLOATS);
    for (int r = 0; r < s->rows; r++)
        cg_prefetch(c, cg_at(c, from, x->dtype, cg_add(c, line.i, cg_i64(c, r * x->stride))), 3);
    cg_loop_end(c, &line);
}

/* The state as rows that whole tiles may read: in place, or the padded copy. */
static CgSide
state_rows(Cg *c, const Chunked *s, Val p)
{
    if (s->h_rows)
        return (CgSide){at(c, s->h_rows, p), DTYPE_f32, 1, s->x_stride};
    return (CgSide){at(c, s->h, p), DTYPE_f32, 1, s->head_dim};
}

typedef struct {
    const Chunked *s;
    Val row, x; /* the tile's row in scratch, and x of that token */
    Val first;  /* the column of y at their start */
} OutRow;

static void
out_site(Cg *c, CgKernel *k, const CgSite *site, void *user)
{
    const OutRow *o = user;
    const Chunked *s = o->s;
    const Val p = cg_sub(c, site->col, o->first);
    Val y = cg_vload(c, at(c, o->row, p), DTYPE_f32, site->lanes, site->mask);
    if (s->D) {
        const Val x = cg_vload(c, at(c, o->x, p), DTYPE_f32, site->lanes, site->mask);
        const Val D = scalar_of(c, s, s->D, cg_i64(c, 0), s->head);
        y = cg_fma(c, cg_splat(c, D, site->lanes), x, y);
    }
    cg_unbind_all(k);
    cg_bind(k, s->y, y);
    cg_store_outputs(c, k, site);
}

/* y = Y + D x for the tile's rows that exist; p: the tile's first column. */
static void
store_y(Cg *c, const Chunked *s, Val first, Val p)
{
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    const Val cols = cg_min(c, cg_i64(c, s->width), cg_sub(c, cg_i64(c, s->head_dim), p));
    const Val rows = cg_min(c, cg_i64(c, s->rows), cg_sub(c, s->count, first));
    OutRow o = {.s = s, .first = col};
    CgLoop r = cg_loop(c, "y", cg_i64(c, 0), rows, 1);
    const Val i = cg_add(c, first, r.i);
    o.row = at(c, s->result, cg_mul(c, r.i, cg_i64(c, s->width)));
    o.x = at2(c, s->x_rows, i, s->x_stride, p);
    cg_columns(c, s->k, cg_add(c, s->row, i), col, cg_add(c, col, cols), s->lanes, out_site, &o);
    cg_loop_end(c, &r);
}

static void
head_outputs(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0);
    CgLoop i = cg_loop(c, "y_tile", zero, s->count, s->rows);
    const Val end = cg_min(c, s->count, cg_add(c, i.i, cg_i64(c, s->rows)));
    prefetch_x(c, s, i.i);
    CgIf later = cg_if(c, cg_less(c, zero, i.i));
    m_before(c, s, i.i);
    cg_endif(c, &later);
    m_diagonal(c, s, i.i);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), s->width);
    const CgSide states = {at2(c, s->c_rows, i.i, s->n_stride, zero), DTYPE_f32, s->n_stride, 1};
    const CgSide h = state_rows(c, s, p.i);
    const CgSide m = {s->m, DTYPE_f32, s->q_stride, 1};
    const CgSide x = {at(c, s->x_rows, p.i), DTYPE_f32, 1, s->x_stride};
    const CgTile tile = cg_tile(c, s->rows, s->vecs, s->lanes);
    cg_tile_mac(c, &tile, &states, &h, zero, cg_i64(c, s->states));
    cg_tile_scale(c, &tile, at(c, s->entry, i.i));
    cg_tile_mac(c, &tile, &m, &x, zero, end);
    cg_tile_store(c, &tile, s->result, s->width);
    store_y(c, s, i.i, p.i);
    cg_loop_end(c, &p);
    cg_loop_end(c, &i);
}

/* ---- of a head: the state ---------------------------------------------------------------- */

/* x_late_j = exp(a_last - a_j) dt_j x_j. */
static void
late_x(Cg *c, const Chunked *s, Val last)
{
    weights_since(c, s, last, s->count);
    CgLoop j = cg_loop(c, "late", cg_i64(c, 0), s->count, 1);
    const Val weight = cg_splat(c, load(c, at(c, s->weight, j.i), 1), s->lanes);
    CgLoop p = cg_loop(c, "p", cg_i64(c, 0), cg_i64(c, s->head_dim), s->lanes);
    const Val x = load(c, at2(c, s->x_rows, j.i, s->x_stride, p.i), s->lanes);
    store(c, at2(c, s->x_late, j.i, s->x_stride, p.i), mul(c, weight, x), s->lanes);
    cg_loop_end(c, &p);
    cg_loop_end(c, &j);
}

typedef struct {
    const Chunked *s;
    Val h, added; /* a row of the state, and what the chunk adds to it */
    Val decay;    /* exp(a_last) */
    Val first;
} StateRow;

static void
state_site(Cg *c, CgKernel *k, const CgSite *site, void *user)
{
    (void)k;
    const StateRow *r = user;
    const Val h = at(c, r->h, site->col);
    const Val from = at(c, r->added, cg_sub(c, site->col, r->first));
    const Val added = cg_vload(c, from, DTYPE_f32, site->lanes, site->mask);
    const Val old = cg_vload(c, h, DTYPE_f32, site->lanes, site->mask);
    const Val decay = cg_splat(c, r->decay, site->lanes);
    cg_vstore(c, h, DTYPE_f32, cg_fma(c, decay, old, added), site->lanes, site->mask);
}

/* Rows n .. of the state, columns p ..: from a tile in scratch. */
static void
store_state(Cg *c, const Chunked *s, Val n, Val p, Val decay)
{
    const Val rows = cg_min(c, cg_i64(c, s->rows), cg_sub(c, cg_i64(c, s->states), n));
    const Val end = cg_min(c, cg_i64(c, s->head_dim), cg_add(c, p, cg_i64(c, s->width)));
    StateRow row = {.s = s, .decay = decay, .first = p};
    CgLoop r = cg_loop(c, "h", cg_i64(c, 0), rows, 1);
    row.h = at(c, s->h, cg_mul(c, cg_add(c, n, r.i), cg_i64(c, s->head_dim)));
    row.added = at(c, s->result, cg_mul(c, r.i, cg_i64(c, s->width)));
    cg_columns(c, s->k, cg_i64(c, 0), p, end, s->lanes, state_site, &row);
    cg_loop_end(c, &r);
}

static void
head_state(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0), last = cg_sub(c, s->count, cg_i64(c, 1));
    late_x(c, s, last);
    const Val decay = load(c, at(c, s->entry, last), 1);
    CgLoop n = cg_loop(c, "h_tile", zero, cg_i64(c, s->states), s->rows);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), s->width);
    const CgSide b = {at(c, s->b_rows, n.i), DTYPE_f32, 1, s->n_stride};
    const CgSide x = {at(c, s->x_late, p.i), DTYPE_f32, 1, s->x_stride};
    const CgTile tile = cg_tile(c, s->rows, s->vecs, s->lanes);
    cg_tile_mac(c, &tile, &b, &x, zero, s->count);
    cg_tile_store(c, &tile, s->result, s->width);
    store_state(c, s, n.i, p.i, decay);
    cg_loop_end(c, &p);
    cg_loop_end(c, &n);
}

typedef struct {
    const Chunked *s;
    Val from, to;
} CopyRow;

static void
copy_site(Cg *c, CgKernel *k, const CgSite *site, void *user)
{
    (void)k;
    const CopyRow *r = user;
    const Val v = cg_vload(c, at(c, r->from, site->col), DTYPE_f32, site->lanes, site->mask);
    cg_vstore(c, at(c, r->to, site->col), DTYPE_f32, v, site->lanes, NULL);
}

static void
stage_state(Cg *c, const Chunked *s)
{
    CopyRow row = {.s = s};
    CgLoop n = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, s->states), 1);
    row.from = at(c, s->h, cg_mul(c, n.i, cg_i64(c, s->head_dim)));
    row.to = at(c, s->h_rows, cg_mul(c, n.i, cg_i64(c, s->x_stride)));
    const Val end = cg_i64(c, s->head_dim);
    cg_columns(c, s->k, cg_i64(c, 0), cg_i64(c, 0), end, s->lanes, copy_site, &row);
    cg_loop_end(c, &n);
}

/* ---- the loops --------------------------------------------------------------------------- */

static void
chunk_head(Cg *c, Chunked *s, const CgSeg *seg)
{
    const Val states = cg_state_at(c, s->k, cg_operand(s->k, s->state), seg->slot);
    s->h = at(c, states, cg_mul(c, s->head, cg_i64(c, s->states * s->head_dim)));
    head_decay(c, s);
    head_entry(c, s);
    stage_x(c, s);
    if (s->h_rows)
        stage_state(c, s);
    head_outputs(c, s);
    head_state(c, s);
}

/* Heads [first, last) of one group over a segment. */
static void
group_chunks(Cg *c, Chunked *s, const CgSeg *seg, Val first, Val last)
{
    CgLoop chunk = cg_loop(c, "chunk", cg_i64(c, 0), seg->len, s->chunk);
    s->row = cg_add(c, seg->row, chunk.i);
    s->count = cg_min(c, cg_i64(c, s->chunk), cg_sub(c, seg->len, chunk.i));
    stage_group(c, s);
    products_cb(c, s);
    CgLoop head = cg_loop(c, "head", first, last, 1);
    s->head = head.i;
    chunk_head(c, s, seg);
    cg_loop_end(c, &head);
    cg_loop_end(c, &chunk);
}

static void
thread_groups(Cg *c, Chunked *s)
{
    const Val per = cg_i64(c, s->heads / s->groups);
    CgHeads share = cg_heads(c, s->k, s->heads);
    CgLoop group = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, s->groups), 1);
    const Val begin = cg_mul(c, group.i, per);
    const Val first = cg_max(c, share.first, begin);
    const Val last = cg_min(c, share.last, cg_add(c, begin, per));
    CgIf some = cg_if(c, cg_less(c, first, last));
    s->group = group.i;
    group_chunks(c, s, &share.seg, first, last);
    cg_endif(c, &some);
    cg_loop_end(c, &group);
    cg_heads_end(c, &share);
}

/* ---- sizes ------------------------------------------------------------------------------- */

static void
bind_operands(Chunked *s)
{
    const Kernel *kernel = s->k->kernel;
    for (const Node *n = s->k->first; n; n = n == s->k->last ? NULL : n->next) {
        if (n->kernel != kernel)
            continue;
        if (n->op == OP_chunk_decay) {
            s->A = n->in[1];
        } else if (n->op == OP_chunk_cb) {
            s->C = n->in[0];
            s->B = n->in[1];
        } else if (n->op == OP_state_pass) {
            s->state = n->in[2];
        } else if (n->op == OP_chunk_out) {
            s->dt = n->in[2];
            s->x = n->in[3];
            s->D = n->in[6];
            s->y = n->out[0];
            s->heads = node_int(n, ATTR_heads, 1);
            s->head_dim = node_int(n, ATTR_head_dim, 1);
            s->groups = node_int(n, ATTR_groups, 1);
            s->states = node_int(n, ATTR_state, 1);
            s->chunk = node_int(n, ATTR_chunk, CHUNK_ALL);
        }
    }
}

/* Scratch of count x stride f32 and a vector more: a load may begin at the last element. */
static Val
scratch(Cg *c, const Chunked *s, int64_t count, int64_t stride)
{
    return cg_scratch(c, s->k, (count * stride + s->lanes) * (int64_t)sizeof(float));
}

static void
reserve(Cg *c, Chunked *s)
{
    const int64_t q_rows = round_up(s->chunk, s->rows);
    s->lanes = c->lanes;
    s->width = (int64_t)s->vecs * s->lanes;
    s->x_stride = round_up(s->head_dim, s->width);
    s->n_stride = round_up(round_up(s->states, s->rows), s->lanes);
    s->q_stride = round_up(s->chunk, s->width) + round_up(s->rows, s->lanes);
    s->c_rows = scratch(c, s, q_rows, s->n_stride);
    s->b_rows = scratch(c, s, s->chunk, s->n_stride);
    s->b_cols = scratch(c, s, s->states, s->q_stride);
    s->cb = scratch(c, s, q_rows, s->q_stride);
    s->x_rows = scratch(c, s, s->chunk, s->x_stride);
    s->x_late = scratch(c, s, s->chunk, s->x_stride);
    s->m = scratch(c, s, s->rows, s->q_stride);
    /* Tiles read, and do not use, what belongs to rows past the last. */
    s->high = scratch(c, s, 1, s->q_stride + s->rows);
    s->low = scratch(c, s, 1, s->q_stride + s->rows);
    s->step = scratch(c, s, 1, s->q_stride + s->rows);
    s->weight = scratch(c, s, 1, s->q_stride);
    s->entry = scratch(c, s, 1, s->q_stride + s->rows);
    s->factors = scratch(c, s, 1, s->rows);
    s->result = scratch(c, s, s->rows, s->width);
    if (s->x_stride != s->head_dim)
        s->h_rows = scratch(c, s, s->states, s->x_stride);
}

/* CB is the largest array: Q x Q. */
static bool
sizes_fit(const Chunked *s)
{
    int64_t pairs, work;
    const int64_t most = INT64_C(1) << 40;
    return s->chunk > 0 && size_mul(s->chunk, s->chunk, &pairs) && pairs < most &&
           size_mul(s->chunk, s->states + s->head_dim, &work) && work < most &&
           size_mul(s->states, s->head_dim, &work) && work < most;
}

bool
emit_ssd_chunked(Cg *c, CgKernel *k, Diag *diag)
{
    Chunked s = {.k = k, .lanes = c->lanes};
    bind_operands(&s);
    const SrcLoc loc = k->kernel->anchor->loc;
    if (!s.A || !s.C || !s.state || !s.y) {
        diag_error(diag, loc,
                   "kernel %s has a part of a chunked ssd; chunk_decay, chunk_cb, chunk_state, "
                   "state_pass and chunk_out must be in one kernel (pass fuse)",
                   k->kernel->name);
        return false;
    }
    const int64_t block = k->graph->block;
    if (s.chunk == CHUNK_ALL || (block > 0 && block < s.chunk))
        s.chunk = block; /* no pass has more rows */
    if (!sizes_fit(&s)) {
        diag_error(diag, loc,
                   "chunk=all needs the graph's block, the most tokens of a pass, and "
                   "scratch for its square; block is %lld",
                   (long long)block);
        return false;
    }
    k->domain = s.y;
    s.vecs = cg_tile_vecs(c->target, s.head_dim, c->lanes);
    s.rows = cg_tile_rows(c->target, s.vecs, DTYPE_f32);
    reserve(c, &s);
    thread_groups(c, &s);
    return true;
}
