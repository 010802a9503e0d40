/* codegen/ptx/ptx_ssd_bf16.c -- the chunked form of SSD with products of bf16 ("Transformers are
 * SSMs", section 6 and listing 1), as ptx_ssd.c has it in f32.
 *
 * A block has a few heads of one group of one segment and goes through it in runs of Q = 64 tokens.
 * Some warps have each head; a warp has 16 or 32 of its columns p, and of these the state, turned
 * round: h^T [P,N] are sums of products in f32 registers, and rounded in pairs they are the left
 * operand of the next product as they lie (ptx.h: ptx_mma_bf16). So, with all of y turned round too:
 *     C, B, x of the run to shared memory in bf16; decays of each head (codegen/ptx/ssd.h)
 *     S    = C B^T, 16 x 16 tokens of it at a time, on and below the diagonal, once for all heads
 *     M_ij = S_ij exp(a_i - a_j) dt_j for j <= i, else 0      of each head, to shared memory
 *     y^T  = (h^T C^T) exp(a_i) + x^T M^T + D x^T             stored
 *     h^T  = exp(a_last) h^T + (weight x)^T B
 * Rounded to bf16: C, B, x, M, weight x, and h where C h is made. A state that is stored in bf16 is
 * rounded where a chunk ends too. Which heads share a block changes no bits.
 *
 * Exponentials are of differences a_i - a_j <= 0 alone (ex2.approx). What is padding is 0.
 *
 * Predicted, N=128, P=64, two heads a block: 672 products of 16 x 8 x 16 a run and head, 0.32 ms
 * for 65536 tokens of 64 heads at 62 % of an H200's dense rate; 120 KB of shared memory read, 0.27
 * ms at 128 bytes a cycle; 24 KB from the second-level cache, 0.29 ms at 5.5 TB/s; x and y of bf16
 * once, 0.26 ms at 4.2 TB/s; 2600 exponentials and 8 instructions for each, 0.1 ms. They overlap in
 * part, by two blocks on an SM: 0.6 to 0.8 ms where blocks fill the GPU; f32 operands cost 0.26 ms
 * more. The blocks of one segment are H / 2: where those of all do not fill the GPU, a segment takes
 * about 1.7 us a run. */
#include "codegen/ptx/ssd.h"

/* TILE: rows and summed columns of a product; its columns are half. HEADS: of a block, if a group
 * has them. MOST_STATE: f32 of the state in a thread's registers. */
enum { TILE = 16, HALF = 8, HEADS = 2, MOST_STATE = 128, MOST_WARPS = 8, QUAD = 4 };
enum { RUN_TILES = PTX_SSD_RUN / TILE, MOST_ROWS = 2 };
enum { UNIT = 8, UNIT_BYTES = 16 }; /* bf16 of one row that are copied together */

/* bf16 in shared memory; rows an odd number of units apart, so that eight of them lie in different
 * banks. */
typedef struct {
    Val at;
    int64_t stride; /* elements */
} Rows;

typedef struct {
    PtxSsd s;
    int heads;    /* of the block */
    int warps;    /* of a head */
    int rows;     /* tiles of p that a warp has */
    int64_t n, p; /* N and P, up to whole tiles */
    Rows C, B;    /* [Q,N] */
    Rows x, M;    /* [Q,P], [Q,Q] of this thread's head */
    Val x_all, m_all, decay_all; /* of the block's heads */
    PtxDecay decay;
    PtxRun run;
    Val first;       /* head of the block */
    Val p0;          /* of this warp's columns */
    Val line, place; /* l / 4 and 2 (l % 4) of lane l: where ptx_mma_bf16 has its numbers */
    Val down[2], over[2]; /* row and column of the matrices that a lane gives the address of: see
                           * Order */
    Val h[MOST_ROWS][MOST_STATE / 4][QUAD]; /* variables: [tile of p][8 states] */
} Pairs;

/* How the four matrices of ptx_load_matrices lie in 16 x 16 numbers: as a left operand has them,
 * down first; or as two right ones, across first. */
typedef enum { DOWN, ACROSS } Order;

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t
odd_stride(int64_t columns)
{
    return (columns / UNIT | 1) * UNIT;
}

static int64_t
bytes_of_run(int64_t stride)
{
    return PTX_SSD_RUN * stride * (int64_t)sizeof(uint16_t);
}

static int64_t
all_bytes(const Pairs *v)
{
    const int64_t of_head =
        bytes_of_run(v->x.stride) + bytes_of_run(v->M.stride) + ptx_ssd_decay_bytes(&v->s);
    return 2 * bytes_of_run(v->C.stride) + v->heads * of_head;
}

/* Two tiles of p a warp halve what is read of shared memory, as far as registers go. */
static bool
choose_sizes(const Cg *c, Pairs *v)
{
    const PtxSsd *s = &v->s;
    v->n = round_up(s->states, TILE);
    v->p = round_up(s->head_dim, TILE);
    const int64_t tiles = v->p / TILE, most = GPU_MOST_THREADS / GPU_WARP / 2;
    if (v->n / 2 > MOST_STATE || tiles > 2 * most)
        return false;
    v->rows = tiles % 2 == 0 && v->n <= MOST_STATE ? 2 : 1;
    v->warps = (int)(tiles / v->rows);
    v->heads = s->heads / s->groups % HEADS == 0 && HEADS * v->warps <= MOST_WARPS ? HEADS : 1;
    v->C.stride = v->B.stride = odd_stride(v->n);
    v->x.stride = odd_stride(v->p);
    v->M.stride = odd_stride(PTX_SSD_RUN);
    return v->warps <= most && all_bytes(v) <= c->machine->gpu.shared_bytes;
}

static Val
of_head(Cg *c, Val all, Val number, int64_t bytes)
{
    return cg_offset(c, all, cg_mul(c, number, cg_i64(c, bytes)));
}

static void
place(Cg *c, Pairs *v)
{
    PtxSsd *s = &v->s;
    CgKernel *k = s->k;
    ptx_threads(k, (int64_t)v->heads * v->warps * GPU_WARP);
    ptx_grid(k, 0, ABI_ONE, s->heads, v->heads, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val warp = ptx_warp(c), lane = ptx_lane(c), number = cg_div(c, warp, cg_i64(c, v->warps));
    v->first = cg_mul(c, ptx_block(c, 0), cg_i64(c, v->heads));
    ptx_ssd_open(c, s, ptx_block(c, 1), cg_add(c, v->first, number));
    const Val of_warps = cg_sub(c, warp, cg_mul(c, number, cg_i64(c, v->warps)));
    v->p0 = cg_mul(c, of_warps, cg_i64(c, (int64_t)v->rows * TILE));
    v->C.at = ptx_shared(c, k, bytes_of_run(v->C.stride));
    v->B.at = ptx_shared(c, k, bytes_of_run(v->B.stride));
    v->x_all = ptx_shared(c, k, v->heads * bytes_of_run(v->x.stride));
    v->m_all = ptx_shared(c, k, v->heads * bytes_of_run(v->M.stride));
    v->decay_all = ptx_shared(c, k, v->heads * ptx_ssd_decay_bytes(s));
    v->x.at = of_head(c, v->x_all, number, bytes_of_run(v->x.stride));
    v->M.at = of_head(c, v->m_all, number, bytes_of_run(v->M.stride));
    v->decay = ptx_ssd_decay_at(c, s, of_head(c, v->decay_all, number, ptx_ssd_decay_bytes(s)));
    v->line = cg_div(c, lane, cg_i64(c, QUAD));
    v->place = cg_mul(c, LLVMBuildAnd(c->b, lane, cg_i64(c, QUAD - 1), ""), cg_i64(c, 2));
    const Val row = LLVMBuildAnd(c->b, lane, cg_i64(c, HALF - 1), "");
    const Val odd = LLVMBuildAnd(c->b, lane, cg_i64(c, HALF), "");
    const Val high = cg_mul(c, cg_div(c, lane, cg_i64(c, TILE)), cg_i64(c, HALF));
    v->down[DOWN] = cg_add(c, row, odd);
    v->over[DOWN] = high;
    v->down[ACROSS] = cg_add(c, row, high);
    v->over[ACROSS] = odd;
}

/* ---- operands to shared memory -----------------------------------------------------------------
 */

/* Columns first .. of a value, `width` of them, to rows of `columns`. */
typedef struct {
    const Value *from;
    Val first;
    int64_t width, columns;
    const Rows *to;
} Staged;

/* Elements that one access reads; whole units of them exist. 1: as they come. */
static int
stage_lanes(const Pairs *v, const Staged *t)
{
    const CgOperand *o = cg_operand(v->s.k, t->from);
    if (!o || o->is_output || t->width % UNIT != 0)
        return 1;
    return o->dtype == DTYPE_f32 || o->dtype == DTYPE_bf16 ? ptx_lanes(o, UNIT) : 1;
}

/* Eight numbers from column `col` of a row of the run on as a unit; 0 where `exists` is false. */
static Val
unit_of(Cg *c, const Pairs *v, const Staged *t, Val row, Val col, Val exists)
{
    const int lanes = stage_lanes(v, t);
    const CgOperand *o = cg_operand(v->s.k, t->from);
    Val x[UNIT], unit = LLVMGetPoison(LLVMVectorType(c->i32, UNIT / 2));
    for (int i = 0; i < UNIT; i += lanes) {
        const Val near = cg_min(c, cg_add(c, col, cg_i64(c, i)), cg_i64(c, t->width - lanes));
        const Val at = cg_add(c, t->first, near);
        if (lanes == 1) {
            const Val is = cg_less(c, cg_add(c, col, cg_i64(c, i)), cg_i64(c, t->width));
            const Val one = cg_eval_one(c, v->s.k, t->from, row, at);
            x[i] = t->width % UNIT == 0 ? one : LLVMBuildSelect(c->b, is, one, cg_f32(c, 0), "");
            continue;
        }
        const Val all = ptx_load(c, cg_element(c, o->base, o->dtype, row, o->stride, at), o->dtype,
                                 lanes);
        for (int e = 0; e < lanes; e++)
            x[i + e] = cg_slice(c, all, e, 1);
    }
    for (int i = 0; i < UNIT; i += 2)
        unit = LLVMBuildInsertElement(c->b, unit, ptx_pair(c, x[i], x[i + 1]), cg_i64(c, i / 2), "");
    return LLVMBuildSelect(c->b, exists, unit, LLVMConstNull(LLVMTypeOf(unit)), "");
}

/* Unit number i of this thread: of token line + more, from column col on. Where each thread's units
 * lie in one column, one address serves them all. Those past the last stand for the last. */
typedef struct {
    Val line, col;
    int64_t more;
} Unit;

static Unit
unit_number(Cg *c, const Pairs *v, const Staged *t, Val before, int i)
{
    const int64_t threads = v->s.k->launch.threads, across = t->columns / UNIT;
    const Val width = cg_i64(c, across), size = cg_i64(c, UNIT);
    if (threads % across == 0 && PTX_SSD_RUN * across % threads == 0) {
        const Val line = cg_div(c, ptx_thread(c), width);
        const Val place = cg_sub(c, ptx_thread(c), cg_mul(c, line, width));
        return (Unit){.line = cg_add(c, cg_div(c, before, width), line),
                      .col = cg_mul(c, place, size),
                      .more = i * (threads / across)};
    }
    const Val item = cg_add(c, cg_add(c, before, ptx_thread(c)), cg_i64(c, i * threads));
    const Val one = cg_min(c, item, cg_i64(c, PTX_SSD_RUN * across - 1));
    const Val line = cg_div(c, one, width);
    return (Unit){.line = line, .col = cg_mul(c, cg_sub(c, one, cg_mul(c, line, width)), size)};
}

static Val
token_of(Cg *c, const Unit *u)
{
    return cg_add(c, u->line, cg_i64(c, u->more));
}

/* i1: the run has such a token, and the value such columns. */
static Val
unit_exists(Cg *c, const Pairs *v, const Staged *t, const Unit *u)
{
    const Val row = cg_less(c, u->line, cg_sub(c, v->run.count, cg_i64(c, u->more)));
    if (t->columns == t->width)
        return row;
    return LLVMBuildAnd(c->b, row, cg_less(c, u->col, cg_i64(c, t->width)), "");
}

static Val
unit_to(Cg *c, const Staged *t, const Unit *u)
{
    return cg_element(c, t->to->at, DTYPE_bf16, token_of(c, u), t->to->stride, u->col);
}

/* bf16 that lies in whole units is copied as it is. Of a unit that does not exist nothing is read,
 * whatever its address. */
static void
copy_units(Cg *c, const Pairs *v, const Staged *t, Val before, int count)
{
    const CgOperand *o = cg_operand(v->s.k, t->from);
    for (int i = 0; i < count; i++) {
        const Unit u = unit_number(c, v, t, before, i);
        const Val row = cg_add(c, v->run.row, token_of(c, &u)), at = cg_add(c, t->first, u.col);
        ptx_copy16(c, unit_to(c, t, &u), cg_element(c, o->base, o->dtype, row, o->stride, at),
                   unit_exists(c, v, t, &u));
    }
}

static void
round_units(Cg *c, const Pairs *v, const Staged *t, Val before, int count)
{
    enum { MOST = 4 };
    const Val last = cg_sub(c, v->run.count, cg_i64(c, 1));
    Val unit[MOST], to[MOST];
    for (int i = 0; i < count; i++) {
        const Unit u = unit_number(c, v, t, before, i);
        const Val row = cg_add(c, v->run.row, cg_min(c, token_of(c, &u), last));
        unit[i] = unit_of(c, v, t, row, u.col, unit_exists(c, v, t, &u));
        to[i] = unit_to(c, t, &u);
    }
    for (int i = 0; i < count; i++)
        LLVMSetAlignment(LLVMBuildStore(c->b, unit[i], to[i]), UNIT_BYTES);
}

/* Some units of each thread together, so that all are on their way at once. */
static void
stage(Cg *c, const Pairs *v, const Staged *t)
{
    enum { COPIES = 8, LOADS = 4 };
    const CgOperand *o = cg_operand(v->s.k, t->from);
    const bool copies = o && o->dtype == DTYPE_bf16 && stage_lanes(v, t) == UNIT;
    const int64_t threads = v->s.k->launch.threads, all = PTX_SSD_RUN * t->columns / UNIT;
    const int64_t rounds = (all + threads - 1) / threads, most = copies ? COPIES : LOADS;
    const int batch = (int)(rounds < most ? rounds : most);
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, all), batch * threads);
    (copies ? copy_units : round_units)(c, v, t, loop.i, batch);
    cg_loop_end(c, &loop);
}

static void
stage_run(Cg *c, const Pairs *v)
{
    const PtxSsd *s = &v->s;
    const Val group = cg_mul(c, s->group, cg_i64(c, s->states));
    stage(c, v, &(Staged){s->C, group, s->states, v->n, &v->C});
    stage(c, v, &(Staged){s->B, group, s->states, v->n, &v->B});
    for (int i = 0; i < v->heads; i++) {
        const Rows to = {cg_offset(c, v->x_all, cg_i64(c, i * bytes_of_run(v->x.stride))),
                         v->x.stride};
        const Val head = cg_add(c, v->first, cg_i64(c, i));
        stage(c, v,
              &(Staged){s->x, cg_mul(c, head, cg_i64(c, s->head_dim)), s->head_dim, v->p, &to});
    }
    ptx_copy_commit(c);
}

/* ---- tiles ------------------------------------------------------------------------------------
 */

/* 16 x 16 numbers from (row, col) on, and from (row + down, col + over). */
static void
load_tile(Cg *c, const Pairs *v, const Rows *from, Val row, Val col, int64_t down, int64_t over,
          Order order, bool transpose, Val out[4])
{
    const Val at = cg_element(c, from->at, DTYPE_bf16, cg_add(c, row, v->down[order]), from->stride,
                              cg_add(c, col, v->over[order]));
    const Val there = cg_at(c, at, DTYPE_bf16, cg_i64(c, down * from->stride + over));
    ptx_load_matrices(c, there, transpose, out);
}

static void
multiply(Cg *c, Val *sum, const Val left[4], const Val right[2])
{
    Val acc[QUAD];
    for (int e = 0; e < QUAD; e++)
        acc[e] = cg_get(c, c->f32, sum[e]);
    ptx_mma_bf16(c, acc, left, right);
    for (int e = 0; e < QUAD; e++)
        cg_set(c, sum[e], acc[e]);
}

static Val
low_half(Cg *c, Val pair)
{
    return cg_as_float(c, cg_shl(c, pair, 16));
}

static Val
high_half(Cg *c, Val pair)
{
    return cg_as_float(c, cg_and(c, pair, 0xffff0000u));
}

/* Two f32 of an array, from an even index on. */
static void
two_of(Cg *c, Val array, Val index, Val out[2])
{
    const Val both = ptx_load(c, cg_at(c, array, DTYPE_f32, index), DTYPE_f32, 2);
    out[0] = cg_slice(c, both, 0, 1);
    out[1] = cg_slice(c, both, 1, 1);
}

static void
open_sums(Cg *c, Val *sum, int count)
{
    for (int i = 0; i < count; i++)
        sum[i] = cg_var(c, c->f32, cg_f32(c, 0), "sum");
}

/* ---- M ----------------------------------------------------------------------------------------
 */

/* Half of a block of M of one head: S's rows line and line + 8 from i on, columns from j on. */
static void
store_m(Cg *c, const Pairs *v, int head, Val i, Val j, Val *s)
{
    const PtxDecay d = ptx_ssd_decay_at(
        c, &v->s, cg_offset(c, v->decay_all, cg_i64(c, head * ptx_ssd_decay_bytes(&v->s))));
    const Rows m = {cg_offset(c, v->m_all, cg_i64(c, head * bytes_of_run(v->M.stride))),
                    v->M.stride};
    const Val col = cg_add(c, j, v->place);
    Val sums[2], dt[2];
    two_of(c, d.high, col, sums);
    two_of(c, d.dt, col, dt);
    for (int half = 0; half < 2; half++) {
        const Val row = cg_add(c, i, cg_add(c, v->line, cg_i64(c, half * HALF)));
        const Val sum = cg_vload(c, cg_at(c, d.high, DTYPE_f32, row), DTYPE_f32, 1, NULL);
        Val pair[2];
        for (int e = 0; e < 2; e++) {
            const Val decay = cg_fmul(c, ptx_exp2(c, cg_fsub(c, sum, sums[e])), dt[e]);
            const Val x = cg_fmul(c, cg_get(c, c->f32, s[2 * half + e]), decay);
            const Val above = cg_less(c, row, cg_add(c, col, cg_i64(c, e)));
            pair[e] = LLVMBuildSelect(c->b, above, cg_f32(c, 0), x, "");
        }
        const Val to = cg_element(c, m.at, DTYPE_bf16, row, m.stride, col);
        LLVMSetAlignment(LLVMBuildStore(c->b, ptx_pair(c, pair[0], pair[1]), to), 4);
    }
}

/* Blocks of 16 x 16 tokens, row after row as far as the diagonal: number b is in row r where r (r +
 * 1) / 2 <= b. */
static void
make_m(Cg *c, const Pairs *v)
{
    const Val one = cg_i64(c, 1), two = cg_i64(c, 2), tile = cg_i64(c, TILE);
    const Val rows = cg_div_up(c, v->run.count, tile);
    const Val all = cg_div(c, cg_mul(c, rows, cg_add(c, rows, one)), two);
    CgLoop b = cg_loop(c, "block", ptx_warp(c), all, (int64_t)v->heads * v->warps);
    Val r = cg_i64(c, 0), before = r;
    for (int i = 1; i < RUN_TILES; i++) {
        const Val begins = cg_i64(c, i * (i + 1) / 2), past = cg_less(c, b.i, begins);
        r = LLVMBuildSelect(c->b, past, r, cg_i64(c, i), "");
        before = LLVMBuildSelect(c->b, past, before, begins, "");
    }
    const Val i = cg_mul(c, r, tile), j = cg_mul(c, cg_sub(c, b.i, before), tile);
    const Val zero = cg_i64(c, 0);
    Val s[2][QUAD];
    open_sums(c, s[0], 2 * QUAD);
    for (int64_t n = 0; n < v->n; n += TILE) {
        Val left[4], right[4];
        load_tile(c, v, &v->C, i, zero, 0, n, DOWN, false, left);
        load_tile(c, v, &v->B, j, zero, 0, n, ACROSS, false, right);
        multiply(c, s[0], left, right);
        multiply(c, s[1], left, right + 2);
    }
    for (int head = 0; head < v->heads; head++)
        for (int half = 0; half < 2; half++)
            store_m(c, v, head, i, cg_add(c, j, cg_i64(c, half * HALF)), s[half]);
    cg_loop_end(c, &b);
}

/* ---- y ----------------------------------------------------------------------------------------
 */

/* y^T of the run. */
typedef struct {
    Val sum[MOST_ROWS][2 * RUN_TILES][QUAD]; /* variables: [tile of p][8 tokens] */
} Outputs;

static void
from_state(Cg *c, const Pairs *v, Outputs *y)
{
    const Val zero = cg_i64(c, 0);
    for (int64_t n = 0; n < v->n; n += TILE) {
        Val left[MOST_ROWS][4], right[4];
        for (int r = 0; r < v->rows; r++)
            for (int e = 0; e < 4; e++) {
                const Val *h = v->h[r][n / HALF + e / 2] + e % 2 * 2;
                left[r][e] = ptx_pair(c, cg_get(c, c->f32, h[0]), cg_get(c, c->f32, h[1]));
            }
        for (int t = 0; t < RUN_TILES; t++) {
            load_tile(c, v, &v->C, zero, zero, t * TILE, n, ACROSS, false, right);
            for (int r = 0; r < v->rows; r++)
                for (int half = 0; half < 2; half++)
                    multiply(c, y->sum[r][2 * t + half], left[r], right + 2 * half);
        }
    }
    for (int b = 0; b < 2 * RUN_TILES; b++) {
        Val enter[2];
        two_of(c, v->decay.enter, cg_add(c, cg_i64(c, b * HALF), v->place), enter);
        for (int r = 0; r < v->rows; r++)
            for (int e = 0; e < QUAD; e++)
                cg_set(c, y->sum[r][b][e],
                       cg_fmul(c, cg_get(c, c->f32, y->sum[r][b][e]), enter[e % 2]));
    }
}

/* x^T of tile r of p, tokens from `token` on, as a left operand. */
static void
load_x(Cg *c, const Pairs *v, int r, int token, Val out[4])
{
    load_tile(c, v, &v->x, cg_i64(c, 0), v->p0, token, r * TILE, ACROSS, true, out);
}

/* D x^T: a left operand has its numbers where sums have theirs. */
static void
add_skip(Cg *c, const Pairs *v, Outputs *y, int r, int tile, const Val x[4])
{
    for (int e = 0; e < 4; e++) {
        Val *sum = y->sum[r][2 * tile + e / 2] + e % 2 * 2;
        cg_set(c, sum[0], cg_fma(c, v->s.skip, low_half(c, x[e]), cg_get(c, c->f32, sum[0])));
        cg_set(c, sum[1], cg_fma(c, v->s.skip, high_half(c, x[e]), cg_get(c, c->f32, sum[1])));
    }
}

/* x^T M^T: M has tokens up to each one's own. */
static void
from_tokens(Cg *c, const Pairs *v, Outputs *y)
{
    const Val zero = cg_i64(c, 0);
    for (int j = 0; j < PTX_SSD_RUN; j += TILE) {
        Val left[MOST_ROWS][4], right[4];
        for (int r = 0; r < v->rows; r++)
            load_x(c, v, r, j, left[r]);
        for (int t = 0; t < RUN_TILES; t++) {
            const int i = t * TILE;
            if (i < j)
                continue;
            load_tile(c, v, &v->M, zero, zero, i, j, ACROSS, false, right);
            for (int r = 0; r < v->rows; r++) {
                for (int half = 0; half < 2; half++)
                    multiply(c, y->sum[r][2 * t + half], left[r], right + 2 * half);
                if (i == j && v->s.skip)
                    add_skip(c, v, y, r, t, left[r]);
            }
        }
    }
}

static void
store_one(Cg *c, const Pairs *v, int64_t over, Val p, Val y, bool guarded)
{
    const PtxSsd *s = &v->s;
    const bool pads = s->head_dim != v->p;
    const Val column = pads ? cg_less(c, p, cg_i64(c, s->head_dim)) : NULL;
    const Val token = cg_add(c, v->place, cg_i64(c, over));
    const Val last = cg_sub(c, v->run.count, cg_i64(c, over)); /* of the run, from there */
    const Val row = guarded ? cg_less(c, v->place, last) : NULL;
    const Val exists = row && column ? LLVMBuildAnd(c->b, row, column, "") : row ? row : column;
    CgIf some = {0};
    if (exists)
        some = cg_if(c, exists);
    const CgSite site = {.row = cg_add(c, v->run.row, token),
                         .col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p),
                         .lanes = 1};
    cg_unbind_all(s->k);
    cg_bind(s->k, s->y, y);
    cg_store_outputs(c, s->k, &site);
    if (exists)
        cg_endif(c, &some);
}

static void
store_outputs(Cg *c, const Pairs *v, const Outputs *y, bool guarded)
{
    for (int r = 0; r < v->rows; r++)
        for (int b = 0; b < 2 * RUN_TILES; b++)
            for (int e = 0; e < QUAD; e++) {
                const int64_t down = r * TILE + e / 2 * HALF, over = b * HALF + e % 2;
                const Val p = cg_add(c, v->p0, cg_add(c, v->line, cg_i64(c, down)));
                store_one(c, v, over, p, cg_get(c, c->f32, y->sum[r][b][e]), guarded);
            }
}

static void
make_y(Cg *c, const Pairs *v)
{
    Outputs y;
    for (int r = 0; r < v->rows; r++)
        open_sums(c, y.sum[r][0], 2 * RUN_TILES * QUAD);
    from_state(c, v, &y);
    from_tokens(c, v, &y);
    CgIf whole = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->run.count, cg_i64(c, PTX_SSD_RUN), ""));
    store_outputs(c, v, &y, false);
    cg_else(c, &whole);
    store_outputs(c, v, &y, true);
    cg_endif(c, &whole);
}

/* ---- the state --------------------------------------------------------------------------------
 */

/* Every number of the state that this thread has, with its n and p. */
typedef void Visit(Cg *c, const Pairs *v, Val h, Val n, Val p);

static void
visit_state(Cg *c, const Pairs *v, Visit *visit)
{
    for (int r = 0; r < v->rows; r++)
        for (int64_t b = 0; b < v->n / HALF; b++)
            for (int e = 0; e < QUAD; e++) {
                const int64_t down = r * TILE + e / 2 * HALF, over = b * HALF + e % 2;
                visit(c, v, v->h[r][b][e], cg_add(c, v->place, cg_i64(c, over)),
                      cg_add(c, v->p0, cg_add(c, v->line, cg_i64(c, down))));
            }
}

/* i1: there is such a number. NULL: always. */
static Val
in_state(Cg *c, const Pairs *v, Val n, Val p)
{
    const PtxSsd *s = &v->s;
    const Val row = s->states == v->n ? NULL : cg_less(c, n, cg_i64(c, s->states));
    const Val col = s->head_dim == v->p ? NULL : cg_less(c, p, cg_i64(c, s->head_dim));
    return row && col ? LLVMBuildAnd(c->b, row, col, "") : row ? row : col;
}

static void
load_one(Cg *c, const Pairs *v, Val h, Val n, Val p)
{
    const PtxSsd *s = &v->s;
    const Val exists = in_state(c, v, n, p), none = cg_i64(c, 0);
    const Val row = exists ? LLVMBuildSelect(c->b, exists, n, none, "") : n;
    const Val col = exists ? LLVMBuildSelect(c->b, exists, p, none, "") : p;
    const Val x = cg_vload(c, ptx_ssd_state_at(c, s, row, col), s->stored, 1, NULL);
    cg_set(c, h, exists ? LLVMBuildSelect(c->b, exists, x, cg_f32(c, 0), "") : x);
}

static void
store_one_state(Cg *c, const Pairs *v, Val h, Val n, Val p)
{
    const PtxSsd *s = &v->s;
    const Val exists = in_state(c, v, n, p);
    CgIf some = {0};
    if (exists)
        some = cg_if(c, exists);
    cg_vstore(c, ptx_ssd_state_at(c, s, n, p), s->stored, cg_get(c, c->f32, h), 1, NULL);
    if (exists)
        cg_endif(c, &some);
}

/* (weight x)^T of tile r of p, tokens from `token` on. */
static void
load_weighed(Cg *c, const Pairs *v, int r, int token, Val out[4])
{
    Val x[4], weight[2][2];
    load_x(c, v, r, token, x);
    for (int half = 0; half < 2; half++)
        two_of(c, v->decay.weight, cg_add(c, cg_i64(c, token + half * HALF), v->place),
               weight[half]);
    for (int e = 0; e < 4; e++)
        out[e] = ptx_pair(c, cg_fmul(c, low_half(c, x[e]), weight[e / 2][0]),
                          cg_fmul(c, high_half(c, x[e]), weight[e / 2][1]));
}

static void
scale_state(Cg *c, const Pairs *v)
{
    const Val last = cg_i64(c, PTX_SSD_RUN - 1);
    const Val kept = cg_vload(c, cg_at(c, v->decay.enter, DTYPE_f32, last), DTYPE_f32, 1, NULL);
    for (int r = 0; r < v->rows; r++)
        for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
            const Val h = v->h[r][i / QUAD][i % QUAD];
            cg_set(c, h, cg_fmul(c, kept, cg_get(c, c->f32, h)));
        }
}

static void
round_state(Cg *c, const Pairs *v, Val rounds)
{
    CgIf chunk_ends = cg_if(c, rounds);
    for (int r = 0; r < v->rows; r++)
        for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
            const Val h = v->h[r][i / QUAD][i % QUAD];
            cg_set(c, h, cg_round(c, cg_get(c, c->f32, h), v->s.stored));
        }
    cg_endif(c, &chunk_ends);
}

static void
update_state(Cg *c, const Pairs *v)
{
    const Val zero = cg_i64(c, 0);
    scale_state(c, v);
    for (int j = 0; j < PTX_SSD_RUN; j += TILE) {
        Val left[MOST_ROWS][4], right[4];
        for (int r = 0; r < v->rows; r++)
            load_weighed(c, v, r, j, left[r]);
        for (int64_t n = 0; n < v->n; n += TILE) {
            load_tile(c, v, &v->B, zero, zero, j, n, DOWN, true, right);
            for (int r = 0; r < v->rows; r++)
                for (int half = 0; half < 2; half++)
                    multiply(c, (Val *)v->h[r][n / HALF + half], left[r], right + 2 * half);
        }
    }
    const Val rounds = ptx_ssd_rounds(c, &v->s, &v->run);
    if (rounds)
        round_state(c, v, rounds);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

/* i1: this warp makes the decays of its head. */
static Val
makes_decay(Cg *c, const Pairs *v)
{
    return LLVMBuildICmp(c->b, LLVMIntEQ, v->p0, cg_i64(c, 0), "");
}

/* dt: variables, of a run of which that is known before its turn. */
static void
fetch_dt(Cg *c, const Pairs *v, const PtxRun *run, const Val *dt)
{
    Val now[PTX_SSD_LANE_TOKENS];
    ptx_ssd_load_dt(c, &v->s, run, now);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        cg_set(c, dt[i], now[i]);
}

static void
one_run(Cg *c, Pairs *v, Val number, Val runs, const Val *dt)
{
    const Val one = cg_i64(c, 1);
    const Val next = cg_min(c, cg_add(c, number, one), cg_sub(c, runs, one));
    v->run = ptx_ssd_run(c, &v->s, number);
    ptx_barrier(c); /* all have done with the run before */
    stage_run(c, v);
    CgIf mine = cg_if(c, makes_decay(c, v));
    Val now[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        now[i] = cg_get(c, c->f32, dt[i]);
    ptx_ssd_make_decay(c, &v->s, &v->decay, now);
    const PtxRun after = ptx_ssd_run(c, &v->s, next);
    fetch_dt(c, v, &after, dt);
    cg_endif(c, &mine);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    make_m(c, v);
    ptx_barrier(c);
    make_y(c, v);
    update_state(c, v);
}

bool
ptx_ssd_bf16(Cg *c, PtxSsd *s)
{
    Pairs v = {.s = *s};
    v.s.run = PTX_SSD_RUN;
    if (!s->coarse || !choose_sizes(c, &v))
        return false;
    place(c, &v);
    for (int r = 0; r < v.rows; r++)
        for (int64_t i = 0; i < v.n / HALF * QUAD; i++)
            v.h[r][i / QUAD][i % QUAD] = cg_var(c, c->f32, NULL, "h");
    visit_state(c, &v, load_one);
    const Val runs = ptx_ssd_runs(c, &v.s);
    const PtxRun first = ptx_ssd_run(c, &v.s, cg_i64(c, 0));
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        dt[i] = cg_var(c, c->f32, NULL, "dt");
    fetch_dt(c, &v, &first, dt);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), runs, 1);
    one_run(c, &v, run.i, runs, dt);
    cg_loop_end(c, &run);
    visit_state(c, &v, store_one_state);
    return true;
}
