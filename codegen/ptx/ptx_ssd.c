/* codegen/ptx/ptx_ssd.c -- the chunked form of SSD as one kernel ("Transformers are SSMs", section
 * 6 and listing 1): chunk_decay, chunk_cb, chunk_state, state_pass and chunk_out, in f32.
 *
 * A block has columns p of one head of one segment, and its part of the state h in shared memory;
 * it goes through the segment in runs of Q <= 32 tokens, never across the end of a chunk:
 *     C, B^T, x and the decays (codegen/ptx/ssd.h) to shared memory
 *     M_ij = (C_i . B_j) exp(a_i - a_j) dt_j for j <= i, else 0;  X_j = weight_j x_j
 *     y    = exp(a_i) (C_i h) + M_i x + D x                                      stored
 *     h    = exp(a_last) h + B^T X
 * Each product is tiles of some rows by four columns, one tile a thread; every sum runs in the
 * order of its index, so a sequence gets the same bits whatever comes with it.
 *
 * Exponentials are of differences a_i - a_j <= 0 alone: what underflows is 0, nothing overflows.
 * What is padding of rows, columns and tokens is 0.
 *
 * Predicted: N=128, P=64, Q=32: 720 K multiply-adds a run, 5600 cycles of an SM at best, twice that
 * in fact; two blocks of 89 KB on an SM: 65536 tokens of 64 heads 9 ms at 1.7 GHz on 132 SMs. It is
 * the form of f32 models; with dot=bf16 codegen/ptx/ptx_ssd_bf16.c takes the kernel. */
#include "codegen/ptx/ssd.h"

/* WIDE: columns of a tile. ROWS_*: rows of a tile of M, y, h. RESIDENT: blocks of an SM together,
 * of whose memory each takes RESERVED bytes more. */
enum { THREADS = 256, WIDE = 4, ROWS_M = 1, ROWS_Y = 2, ROWS_H = 8, RESIDENT = 2, RESERVED = 1024 };
enum { MOST_RUN = 32, LEAST_RUN = 8, MOST_COLUMNS = 64, LEAST_COLUMNS = 8 };

/* f32 in shared memory, rows `stride` apart, a multiple of WIDE. */
typedef struct {
    Val at;
    int64_t rows, cols, stride;
} Matrix;

typedef struct {
    PtxSsd s;
    int64_t columns; /* of the head, in a block */
    Val first;       /* of them */
    PtxRun run;
    PtxDecay decay;
    Matrix C, Bt, x, X, M, h; /* [Q,N] [N,Q] [Q,P] [Q,P] [Q,Q] [N,P] */
} Chunked;

/* ---- sizes ------------------------------------------------------------------------------------
 */

static void
set_sizes(Chunked *v)
{
    const PtxSsd *s = &v->s;
    const int64_t n = round_up(s->states, ROWS_H), p = round_up(v->columns, WIDE), q = s->run;
    v->C = (Matrix){.rows = q, .cols = n, .stride = n};
    v->Bt = (Matrix){.rows = n, .cols = q, .stride = q + WIDE}; /* written down, by neighbours */
    v->x = v->X = (Matrix){.rows = q, .cols = p, .stride = p};
    v->M = (Matrix){.rows = q, .cols = q, .stride = q};
    v->h = (Matrix){.rows = n, .cols = p, .stride = p};
}

static int64_t
bytes_of(const Matrix *m)
{
    return round_up(m->rows * m->stride * (int64_t)sizeof(float), 16);
}

static int64_t
all_bytes(const Chunked *v)
{
    return bytes_of(&v->C) + bytes_of(&v->Bt) + 2 * bytes_of(&v->x) + bytes_of(&v->M) +
           bytes_of(&v->h) + ptx_ssd_decay_bytes(&v->s);
}

/* Shorter runs first, which take no more work, then fewer columns, which take C B^T again. */
static bool
choose_sizes(const Cg *c, Chunked *v, Diag *diag)
{
    PtxSsd *s = &v->s;
    const int64_t wide = round_up(s->head_dim, WIDE);
    const int64_t shared = c->machine->gpu.shared_bytes / RESIDENT - RESERVED;
    s->run = MOST_RUN;
    v->columns = wide < MOST_COLUMNS ? wide : MOST_COLUMNS;
    set_sizes(v);
    while (all_bytes(v) > shared && (s->run > LEAST_RUN || v->columns > LEAST_COLUMNS)) {
        if (s->run > MOST_RUN / 2 || v->columns <= LEAST_COLUMNS)
            s->run /= 2;
        else
            v->columns = round_up(v->columns / 2, WIDE);
        set_sizes(v);
    }
    if (all_bytes(v) <= c->machine->gpu.shared_bytes)
        return true;
    diag_error(
        diag, s->k->kernel->anchor->loc,
        "a chunked ssd of %lld states needs %lld bytes of memory that a block shares; %s has "
        "%lld (compile for form recurrent)",
        (long long)s->states, (long long)all_bytes(v), c->machine->gpu.name,
        (long long)c->machine->gpu.shared_bytes);
    return false;
}

static void
reserve(Cg *c, Chunked *v)
{
    Matrix *const all[] = {&v->C, &v->Bt, &v->x, &v->X, &v->M, &v->h};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        all[i]->at = ptx_shared(c, v->s.k, bytes_of(all[i]));
    const Val decay = ptx_shared(c, v->s.k, ptx_ssd_decay_bytes(&v->s));
    v->decay = ptx_ssd_decay_at(c, &v->s, decay);
}

/* ---- matrices ---------------------------------------------------------------------------------
 */

static Val
element_at(Cg *c, const Matrix *m, Val row, Val col)
{
    return cg_element(c, m->at, DTYPE_f32, row, m->stride, col);
}

/* rows x WIDE sums of a tile. */
typedef struct {
    Val row, col;
    int rows;
    Val sum[ROWS_H]; /* variables, <WIDE x float> */
} Tile;

static LLVMTypeRef
tile_type(Cg *c)
{
    return cg_vec_type(c, WIDE);
}

/* sums += a's rows times b's columns, over summed index [0, end), in steps of WIDE. */
static void
multiply(Cg *c, const Tile *t, const Matrix *a, const Matrix *b, Val end)
{
    CgLoop k = cg_loop(c, "k", cg_i64(c, 0), end, WIDE);
    Val left[ROWS_H], right[WIDE];
    for (int r = 0; r < t->rows; r++) {
        const Val row = cg_add(c, t->row, cg_i64(c, r));
        left[r] = ptx_load(c, element_at(c, a, row, k.i), DTYPE_f32, WIDE);
    }
    for (int e = 0; e < WIDE; e++) {
        const Val row = cg_add(c, k.i, cg_i64(c, e));
        right[e] = ptx_load(c, element_at(c, b, row, t->col), DTYPE_f32, WIDE);
    }
    for (int r = 0; r < t->rows; r++) {
        Val sum = cg_get(c, tile_type(c), t->sum[r]);
        for (int e = 0; e < WIDE; e++)
            sum = cg_fma(c, cg_splat(c, cg_slice(c, left[r], e, 1), WIDE), right[e], sum);
        cg_set(c, t->sum[r], sum);
    }
    cg_loop_end(c, &k);
}

/* The tiles of a matrix that this thread takes: a loop over them. */
typedef struct {
    CgLoop loop;
    Tile tile;
} Tiles;

static Tiles
tiles_of(Cg *c, const Matrix *m, int rows)
{
    const int64_t across = m->cols / WIDE, down = (m->rows + rows - 1) / rows;
    Tiles t = {.tile.rows = rows};
    t.loop = cg_loop(c, "tile", ptx_thread(c), cg_i64(c, across * down), THREADS);
    const Val line = cg_div(c, t.loop.i, cg_i64(c, across));
    const Val place = cg_sub(c, t.loop.i, cg_mul(c, line, cg_i64(c, across)));
    t.tile.row = cg_mul(c, line, cg_i64(c, rows));
    t.tile.col = cg_mul(c, place, cg_i64(c, WIDE));
    for (int r = 0; r < rows; r++)
        t.tile.sum[r] = cg_var(c, tile_type(c), LLVMConstNull(tile_type(c)), "sum");
    return t;
}

/* Elements of a matrix, neighbours to neighbouring threads: some at a time, so that what they need
 * is on its way together. Those past the last stand for the last. */
enum { BATCH = 8 };
typedef struct {
    CgLoop loop;
    int count;
    Val row[BATCH], col[BATCH];
} Batch;

static Batch
batches_of(Cg *c, int64_t rows, int64_t cols)
{
    const int64_t all = rows * cols, rounds = (all + THREADS - 1) / THREADS;
    Batch b = {.count = rounds < BATCH ? (int)rounds : BATCH};
    b.loop = cg_loop(c, "batch", cg_i64(c, 0), cg_i64(c, all), (int64_t)b.count * THREADS);
    const Val width = cg_i64(c, cols);
    for (int i = 0; i < b.count; i++) {
        const Val item = cg_add(c, cg_add(c, b.loop.i, ptx_thread(c)), cg_i64(c, i * THREADS));
        const Val one = cg_min(c, item, cg_i64(c, all - 1));
        b.row[i] = cg_div(c, one, width);
        b.col[i] = cg_sub(c, one, cg_mul(c, b.row[i], width));
    }
    return b;
}

/* ---- operands to shared memory -----------------------------------------------------------------
 */

/* x[row][col], 0 where there is none. count, width: how many there are. */
static Val
eval_or_zero(Cg *c, const Chunked *v, const Value *from, Val row, Val first, Val col, Val width)
{
    const Val one = cg_i64(c, 1), count = v->run.count;
    const Val exists = LLVMBuildAnd(c->b, cg_less(c, row, count), cg_less(c, col, width), "");
    const Val at = cg_add(c, v->run.row, cg_min(c, row, cg_sub(c, count, one)));
    const Val near = cg_add(c, first, cg_min(c, col, cg_sub(c, width, one)));
    const Val x = cg_eval_one(c, v->s.k, from, at, near);
    return LLVMBuildSelect(c->b, exists, x, cg_f32(c, 0), "");
}

/* Columns first .. of a value, of which there are `width`, to `to`, or transposed. */
static void
stage(Cg *c, const Chunked *v, const Value *from, Val first, Val width, const Matrix *to,
      bool transposed)
{
    Batch b = batches_of(c, v->s.run, transposed ? to->rows : to->cols);
    Val x[BATCH];
    for (int i = 0; i < b.count; i++)
        x[i] = eval_or_zero(c, v, from, b.row[i], first, b.col[i], width);
    for (int i = 0; i < b.count; i++) {
        const Val at = transposed ? element_at(c, to, b.col[i], b.row[i])
                                  : element_at(c, to, b.row[i], b.col[i]);
        cg_vstore(c, at, DTYPE_f32, x[i], 1, NULL);
    }
    cg_loop_end(c, &b.loop);
}

/* Columns of the head that this block has. */
static Val
columns_here(Cg *c, const Chunked *v)
{
    return cg_min(c, cg_i64(c, v->columns), cg_sub(c, cg_i64(c, v->s.head_dim), v->first));
}

/* The block's first column, of x and y. */
static Val
first_column(Cg *c, const Chunked *v)
{
    return cg_add(c, cg_mul(c, v->s.head, cg_i64(c, v->s.head_dim)), v->first);
}

static void
stage_run(Cg *c, const Chunked *v)
{
    const PtxSsd *s = &v->s;
    const Val states = cg_i64(c, s->states), group = cg_mul(c, s->group, states);
    stage(c, v, s->C, group, states, &v->C, false);
    stage(c, v, s->B, group, states, &v->Bt, true);
    stage(c, v, s->x, first_column(c, v), columns_here(c, v), &v->x, false);
    CgIf first = cg_if(c, cg_less(c, ptx_thread(c), cg_i64(c, GPU_WARP)));
    Val dt[PTX_SSD_LANE_TOKENS];
    ptx_ssd_load_dt(c, s, &v->run, dt);
    ptx_ssd_make_decay(c, s, &v->run, &v->decay, dt);
    cg_endif(c, &first);
}

static Val
state_at(Cg *c, const Chunked *v, Val n, Val p)
{
    return ptx_ssd_state_at(c, &v->s, n, cg_add(c, v->first, p));
}

/* h from memory, or to it. */
static void
load_state(Cg *c, const Chunked *v)
{
    const PtxSsd *s = &v->s;
    const Val states = cg_i64(c, s->states), columns = columns_here(c, v), one = cg_i64(c, 1);
    Batch b = batches_of(c, v->h.rows, v->h.cols);
    Val x[BATCH];
    for (int i = 0; i < b.count; i++) {
        const Val exists =
            LLVMBuildAnd(c->b, cg_less(c, b.row[i], states), cg_less(c, b.col[i], columns), "");
        const Val at = state_at(c, v, cg_min(c, b.row[i], cg_sub(c, states, one)),
                                cg_min(c, b.col[i], cg_sub(c, columns, one)));
        x[i] = LLVMBuildSelect(c->b, exists, cg_vload(c, at, s->stored, 1, NULL), cg_f32(c, 0), "");
    }
    for (int i = 0; i < b.count; i++)
        cg_vstore(c, element_at(c, &v->h, b.row[i], b.col[i]), DTYPE_f32, x[i], 1, NULL);
    cg_loop_end(c, &b.loop);
}

static void
store_state(Cg *c, const Chunked *v)
{
    const PtxSsd *s = &v->s;
    const Val states = cg_i64(c, s->states), columns = columns_here(c, v);
    Batch b = batches_of(c, v->h.rows, v->h.cols);
    for (int i = 0; i < b.count; i++) {
        CgIf exists = cg_if(
            c, LLVMBuildAnd(c->b, cg_less(c, b.row[i], states), cg_less(c, b.col[i], columns), ""));
        const Val x = cg_vload(c, element_at(c, &v->h, b.row[i], b.col[i]), DTYPE_f32, 1, NULL);
        cg_vstore(c, state_at(c, v, b.row[i], b.col[i]), s->stored, x, 1, NULL);
        cg_endif(c, &exists);
    }
    cg_loop_end(c, &b.loop);
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static Val
shared_f32(Cg *c, Val array, Val index)
{
    return cg_vload(c, cg_at(c, array, DTYPE_f32, index), DTYPE_f32, 1, NULL);
}

/* exp(a_i - a_j), i >= j. Where a difference is rounded, e^x is off by x 2^-24 of itself: by 2^-25
 * of 1 at most, as x <= 0. */
static Val
between(Cg *c, const PtxDecay *d, Val i, Val j)
{
    const Val high = cg_fsub(c, shared_f32(c, d->high, i), shared_f32(c, d->high, j));
    const Val low = cg_fsub(c, shared_f32(c, d->low, i), shared_f32(c, d->low, j));
    return cg_exp(c, cg_fadd(c, high, low));
}

static void
make_m(Cg *c, const Chunked *v)
{
    Tiles t = tiles_of(c, &v->M, ROWS_M);
    multiply(c, &t.tile, &v->C, &v->Bt, cg_i64(c, v->C.cols));
    const Val i = t.tile.row, cb = cg_get(c, tile_type(c), t.tile.sum[0]);
    Val row = LLVMGetPoison(tile_type(c));
    for (int e = 0; e < WIDE; e++) {
        const Val j = cg_add(c, t.tile.col, cg_i64(c, e));
        const Val factor = cg_fmul(c, between(c, &v->decay, i, j), shared_f32(c, v->decay.dt, j));
        const Val m = cg_fmul(c, cg_slice(c, cb, e, 1), factor);
        const Val above = cg_less(c, i, j);
        row = LLVMBuildInsertElement(c->b, row, LLVMBuildSelect(c->b, above, cg_f32(c, 0), m, ""),
                                     cg_i64(c, e), "");
    }
    ptx_store(c, element_at(c, &v->M, i, t.tile.col), DTYPE_f32, row);
    cg_loop_end(c, &t.loop);
}

/* X = weight x. */
static void
weigh_x(Cg *c, const Chunked *v)
{
    Tiles t = tiles_of(c, &v->x, 1);
    const Val weight = shared_f32(c, v->decay.weight, t.tile.row);
    const Val x = ptx_load(c, element_at(c, &v->x, t.tile.row, t.tile.col), DTYPE_f32, WIDE);
    ptx_store(c, element_at(c, &v->X, t.tile.row, t.tile.col), DTYPE_f32,
              cg_fmul(c, cg_splat(c, weight, WIDE), x));
    cg_loop_end(c, &t.loop);
}

/* One row of a tile of y, as far as it exists. */
static void
store_y(Cg *c, const Chunked *v, const Tile *t, int r)
{
    const PtxSsd *s = &v->s;
    const Val i = cg_add(c, t->row, cg_i64(c, r)), columns = columns_here(c, v);
    const Val y = cg_get(c, tile_type(c), t->sum[r]);
    CgIf row = cg_if(c, cg_less(c, i, v->run.count));
    for (int e = 0; e < WIDE; e++) {
        const Val p = cg_add(c, t->col, cg_i64(c, e));
        CgIf col = {0};
        const bool whole = s->head_dim % v->columns == 0;
        if (!whole)
            col = cg_if(c, cg_less(c, p, columns));
        const CgSite site = {
            .row = cg_add(c, v->run.row, i), .col = cg_add(c, first_column(c, v), p), .lanes = 1};
        Val one = cg_slice(c, y, e, 1);
        if (s->skip)
            one = cg_fma(c, s->skip, shared_f32(c, element_at(c, &v->x, i, p), cg_i64(c, 0)), one);
        cg_unbind_all(s->k);
        cg_bind(s->k, s->y, one);
        cg_store_outputs(c, s->k, &site);
        if (!whole)
            cg_endif(c, &col);
    }
    cg_endif(c, &row);
}

static void
make_y(Cg *c, const Chunked *v)
{
    const PtxSsd *s = &v->s;
    Tiles t = tiles_of(c, &(Matrix){.rows = s->run, .cols = v->x.cols}, ROWS_Y);
    multiply(c, &t.tile, &v->C, &v->h, cg_i64(c, v->C.cols));
    for (int r = 0; r < ROWS_Y; r++) {
        const Val enter = shared_f32(c, v->decay.enter, cg_add(c, t.tile.row, cg_i64(c, r)));
        const Val sum = cg_get(c, tile_type(c), t.tile.sum[r]);
        cg_set(c, t.tile.sum[r], cg_fmul(c, cg_splat(c, enter, WIDE), sum));
    }
    const Val end = cg_add(c, t.tile.row, cg_i64(c, ROWS_Y)), wide = cg_i64(c, WIDE);
    multiply(c, &t.tile, &v->M, &v->x, cg_mul(c, cg_div_up(c, end, wide), wide));
    for (int r = 0; r < ROWS_Y; r++)
        store_y(c, v, &t.tile, r);
    cg_loop_end(c, &t.loop);
}

static void
update_state(Cg *c, const Chunked *v)
{
    const PtxSsd *s = &v->s;
    const Val kept = shared_f32(c, v->decay.enter, cg_sub(c, v->run.count, cg_i64(c, 1)));
    const Val rounds = ptx_ssd_rounds(c, s, &v->run);
    Tiles t = tiles_of(c, &v->h, ROWS_H);
    multiply(c, &t.tile, &v->Bt, &v->X, cg_i64(c, s->run));
    for (int r = 0; r < ROWS_H; r++) {
        const Val at = element_at(c, &v->h, cg_add(c, t.tile.row, cg_i64(c, r)), t.tile.col);
        const Val sum = cg_get(c, tile_type(c), t.tile.sum[r]);
        Val h = cg_fma(c, cg_splat(c, kept, WIDE), ptx_load(c, at, DTYPE_f32, WIDE), sum);
        if (rounds)
            h = LLVMBuildSelect(c->b, rounds, cg_round(c, h, s->stored), h, "");
        ptx_store(c, at, DTYPE_f32, h);
    }
    cg_loop_end(c, &t.loop);
}

/* The grid, and what of the head a block has. */
static void
place(Cg *c, Chunked *v)
{
    PtxSsd *s = &v->s;
    const int64_t parts = (s->head_dim + v->columns - 1) / v->columns;
    ptx_threads(s->k, THREADS);
    ptx_resident(c, RESIDENT);
    ptx_grid(s->k, 0, ABI_ONE, s->heads * parts, 1, 1);
    ptx_grid(s->k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val block = ptx_block(c, 0), head = cg_div(c, block, cg_i64(c, parts));
    const Val part = cg_sub(c, block, cg_mul(c, head, cg_i64(c, parts)));
    v->first = cg_mul(c, part, cg_i64(c, v->columns));
    ptx_ssd_open(c, s, ptx_block(c, 1), head);
}

static bool
by_wgmma(const PtxSsd *s)
{
    return s->coarse && attrs_find(&s->k->kernel->attrs, ATTR_unit);
}

int
ptx_ssd_maps(const Cg *c, CgKernel *k)
{
    PtxSsd s;
    Diag *unsaid = diag_new(); /* ptx_ssd_chunked says it */
    const int maps = ptx_ssd_bind(k, &s, unsaid) && by_wgmma(&s) ? ptx_ssd_wgmma_maps(c, &s) : 0;
    diag_free(unsaid);
    return maps;
}

bool
ptx_ssd_chunked(Cg *c, CgKernel *k, Diag *diag)
{
    Chunked v = {0};
    if (!ptx_ssd_bind(k, &v.s, diag))
        return false;
    if (by_wgmma(&v.s) && ptx_ssd_wgmma(c, &v.s))
        return true;
    if (ptx_ssd_bf16(c, &v.s))
        return true;
    v.s.coarse = false;
    if (!choose_sizes(c, &v, diag))
        return false;
    place(c, &v);
    reserve(c, &v);
    load_state(c, &v);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), ptx_ssd_runs(c, &v.s), 1);
    v.run = ptx_ssd_run(c, &v.s, run.i);
    ptx_barrier(c); /* all have done with the run before */
    stage_run(c, &v);
    ptx_barrier(c);
    make_m(c, &v);
    weigh_x(c, &v);
    ptx_barrier(c);
    make_y(c, &v);
    ptx_barrier(c);
    update_state(c, &v);
    cg_loop_end(c, &run);
    ptx_barrier(c);
    store_state(c, &v);
    return true;
}
