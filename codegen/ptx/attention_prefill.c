/* codegen/ptx/attention_prefill.c -- attention of many tokens over keys and values of bf16: a warp
 * takes 16 rows of Q or 32, a block's warps share what is copied of keys and values.
 *
 * Source: Dao, "FlashAttention-2" (2023), sections 3.1 and 3.3: queries and weights stay in
 * registers, keys and values of the next 64 tokens are copied while those of the last are
 * multiplied; a division at the end.
 *
 *     for each segment: queries to registers; keys, values of the first 64 tokens on their way
 *         for each 64 tokens: barrier; the next on their way; wait for these; barrier; S, P, O
 *         O / l to shared memory, and from there row by row to where it goes
 *
 * A block of 128 rows in 4 warps reads 64 bytes of shared memory for 32 products of a row of 8, so
 * that the tensor cores wait less for it than with 64 rows; heads above 64 channels have no
 * registers for that. */
#include <math.h>

#include "codegen/ptx/attention.h"

enum { WARPS = 4, THREADS = WARPS * GPU_WARP, CHUNK = 16 /* bytes */ };

typedef struct {
    Attention *a;
    Tiles x;
    int64_t key_bytes, stage_bytes; /* keys of a stage; with its values */
    Val stages, queries;            /* shared memory */
} Prefill;

/* ---- copies ------------------------------------------------------------------------------------
 */

/* Rows of `chunks` chunks, one after the other in memory, `stride` chunks apart in shared memory,
 * where chunk i of row r takes the place of i xor 2 (r / every mod 4). */
typedef struct {
    int64_t rows, chunks, stride, every;
} Piece;

static bool
is_power(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static Val
swizzle(Cg *c, const Piece *p, Val row, Val chunk)
{
    if (p->every == 0)
        return chunk;
    const Val turn = LLVMBuildAnd(c->b, cg_div(c, row, cg_i64(c, p->every)), cg_i64(c, 3), "");
    return LLVMBuildXor(c->b, chunk, cg_mul(c, turn, cg_i64(c, 2)), "");
}

/* Where THREADS is whole rows, a thread's chunks are in one column, and their rows differ by
 * numbers that are known: so do their places, but for bits of the swizzle. */
static Val
place_of(Cg *c, const Piece *p, int64_t number)
{
    const Val thread = ptx_thread(c), chunks = cg_i64(c, p->chunks);
    const int64_t before = number * THREADS;
    if (!is_power(p->chunks) || p->chunks > THREADS) {
        const Val i = cg_add(c, thread, cg_i64(c, before)), row = cg_div(c, i, chunks);
        const Val chunk = swizzle(c, p, row, cg_sub(c, i, cg_mul(c, row, chunks)));
        return cg_add(c, cg_mul(c, row, cg_i64(c, p->stride)), chunk);
    }
    const int64_t rows = before / p->chunks; /* before the thread's first, a power of 2 or more */
    const int64_t turn = p->every ? rows / p->every % 4 : 0;
    const Val row = cg_div(c, thread, chunks),
              own = LLVMBuildAnd(c->b, thread, cg_i64(c, p->chunks - 1), "");
    const Val chunk = LLVMBuildXor(c->b, swizzle(c, p, row, own), cg_i64(c, 2 * turn), "");
    return cg_add(c, cg_add(c, cg_mul(c, row, cg_i64(c, p->stride)), chunk),
                  cg_i64(c, rows * p->stride));
}

static void
copy_piece(Cg *c, const Piece *p, Val to, Val from)
{
    const int64_t all = p->rows * p->chunks;
    const Val thread = ptx_thread(c), yes = LLVMConstInt(c->i1, 1, 0);
    for (int64_t i = 0; i * THREADS < all; i++) {
        const Val index = cg_add(c, thread, cg_i64(c, i * THREADS));
        CgIf inside = {0};
        if ((i + 1) * THREADS > all)
            inside = cg_if(c, cg_less(c, index, cg_i64(c, all)));
        const Val place = cg_mul(c, place_of(c, p, i), cg_i64(c, CHUNK));
        ptx_copy16(c, cg_offset(c, to, place),
                   cg_offset(c, from, cg_mul(c, index, cg_i64(c, CHUNK))), yes);
        if (inside.exit)
            cg_endif(c, &inside);
    }
}

static Piece
keys_piece(const Attention *a)
{
    return (Piece){a->head_dim / 2, KEPT_GROUP / 4, KEPT_GROUP / 4, 1};
}

static Piece
values_piece(const Tiles *x)
{
    const int64_t V = x->a->value_dim, rows = KEPT_GROUP / 2;
    if (x->wide == 1) /* rows that are no whole chunks: all in one */
        return (Piece){1, rows * V / 4, rows * V / 4, 0};
    return (Piece){rows, V / 4, x->stride / 4, 4};
}

static void
copy_group(Cg *c, const Prefill *p, Val stage, Val at)
{
    const Attention *a = p->a;
    const Piece keys = keys_piece(a), values = values_piece(&p->x);
    copy_piece(c, &keys, stage, attention_piece(c, a, a->keys, a->keys_at, at));
    copy_piece(c, &values, cg_offset(c, stage, cg_i64(c, p->key_bytes)),
               attention_piece(c, a, a->values, a->values_at, at));
}

/* Channels that a head has not, of a whole step's: zeros in both stages, where queries and results
 * have been. */
static void
clear_keys(Cg *c, const Prefill *p)
{
    const int64_t from = p->a->head_dim / 2 * KEPT_GROUP, to = (int64_t)p->x.steps * 8 * KEPT_GROUP;
    if (from < to)
        ptx_barrier(c);
    for (int stage = 0; from < to && stage < 2; stage++) {
        CgLoop word =
            cg_loop(c, "clear", cg_add(c, ptx_thread(c), cg_i64(c, from)), cg_i64(c, to), THREADS);
        const Val keys = cg_offset(c, p->stages, cg_i64(c, stage * p->stage_bytes));
        cg_vstore(c, cg_at(c, keys, DTYPE_f32, word.i), DTYPE_f32, cg_f32(c, 0), 1, NULL);
        cg_loop_end(c, &word);
    }
}

/* ---- a block -----------------------------------------------------------------------------------
 */

static int64_t
warp_rows(const Prefill *p)
{
    return 16 * (int64_t)p->x.tall;
}

static void
walk(Cg *c, Prefill *p)
{
    const Attention *a = p->a;
    const Val from = attention_from(c, a), end = attention_end(c, a), zero = cg_i64(c, 0);
    const Val stage = cg_var(c, c->i64, zero, "stage");
    CgLoop past = cg_loop(c, "past", from, end, KEPT_GROUP);
    const Val here = cg_get(c, c->i64, stage);
    const Val other = cg_sub(c, cg_i64(c, p->stage_bytes), here);
    const Val next = cg_add(c, past.i, cg_i64(c, KEPT_GROUP));
    ptx_barrier(c); /* all are done with the other stage */
    CgIf more = cg_if(c, cg_less(c, next, end));
    copy_group(c, p, cg_offset(c, p->stages, other), next);
    cg_endif(c, &more);
    ptx_copy_commit(c);
    ptx_copy_wait(c, 1);
    ptx_barrier(c);
    const Val keys = cg_offset(c, p->stages, here);
    tiles_walk(c, &p->x, keys, cg_offset(c, keys, cg_i64(c, p->key_bytes)), past.i,
               attention_is_edge(c, a, past.i));
    cg_set(c, stage, other);
    cg_loop_end(c, &past);
}

/* Each warp its own rows: a column for each lane, so that what is fused reads and writes lines. */
static void
store(Cg *c, Prefill *p, Val first)
{
    const Attention *a = p->a;
    const int64_t stride = tiles_out_stride(&p->x), rows = warp_rows(p);
    const Val own = cg_at(c, p->stages, DTYPE_f32, cg_mul(c, first, cg_i64(c, stride)));
    Val factor[MOST_TALL][2];
    for (int i = 0; i < p->x.tall; i++)
        for (int r = 0; r < 2; r++)
            factor[i][r] = cg_fdiv(c, cg_f32(c, 1), cg_get(c, c->f32, p->x.sum[i][r]));
    ptx_barrier(c); /* keys and values are not read any more */
    tiles_store(c, &p->x, own, stride, factor);
    ptx_warp_barrier(c);
    CgLoop line = cg_loop(c, "row", cg_i64(c, 0), cg_i64(c, rows), 1);
    const Val row = cg_add(c, first, line.i);
    CgIf there = cg_if(c, attention_is_row(c, a, row));
    CgLoop col = cg_loop(c, "col", ptx_lane(c), cg_i64(c, a->value_dim), GPU_WARP);
    const Val y = cg_element(c, own, DTYPE_f32, line.i, stride, col.i);
    attention_store(c, a, row, col.i, cg_vload(c, y, DTYPE_f32, 1, NULL));
    cg_loop_end(c, &col);
    cg_endif(c, &there);
    cg_loop_end(c, &line);
}

static void
segment(Cg *c, Attention *a, void *user)
{
    Prefill *p = user;
    const Val first = cg_mul(c, ptx_warp(c), cg_i64(c, warp_rows(p)));
    const Val queries = cg_offset(c, p->queries, cg_mul(c, first, cg_i64(c, 2 * p->x.q_stride)));
    copy_group(c, p, p->stages, attention_from(c, a));
    ptx_copy_commit(c);
    tiles_stage_queries(c, &p->x, queries, first, warp_rows(p), ptx_lane(c), GPU_WARP);
    ptx_warp_barrier(c);
    tiles_begin(c, &p->x, queries, first);
    clear_keys(c, p);
    walk(c, p);
    tiles_end(c, &p->x);
    store(c, p, first);
}

static int64_t
most_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Two stages, in the second of which the queries stand until they are in registers; in their place
 * the results in the end. */
static void
reserve(Cg *c, Prefill *p)
{
    enum { SLACK = 64 }; /* columns of a last product that are no channels */
    const Tiles *x = &p->x;
    const int64_t rows = warp_rows(p) * WARPS, queries = tiles_query_bytes(x, rows);
    p->key_bytes = (int64_t)x->steps * 8 * KEPT_GROUP * 4;
    p->stage_bytes = round_up(p->key_bytes + KEPT_GROUP / 2 * x->stride * 4 + SLACK, 128);
    const int64_t queries_at = x->held ? p->stage_bytes : 2 * p->stage_bytes;
    const int64_t results = rows * tiles_out_stride(x) * 4;
    const int64_t all = most_of(most_of(2 * p->stage_bytes, queries_at + queries), results);
    p->stages = ptx_shared(c, p->a->k, all);
    p->queries = cg_offset(c, p->stages, cg_i64(c, queries_at));
}

void
attention_of_tiles(Cg *c, Attention *a)
{
    enum { TALL_CHANNELS = 64 };
    Prefill p = {.a = a};
    const bool tall = a->head_dim <= TALL_CHANNELS && a->value_dim <= TALL_CHANNELS;
    tiles_open(c, &p.x, a, tall ? 2 : 1, true);
    attention_divide(a, warp_rows(&p) * WARPS);
    a->tokens = warp_rows(&p) * WARPS / a->taken;
    ptx_threads(a->k, THREADS);
    reserve(c, &p);
    attention_blocks(c, a, &p, segment);
}
