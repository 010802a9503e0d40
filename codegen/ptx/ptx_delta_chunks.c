/* codegen/ptx/ptx_delta_chunks.c -- the gated delta rule by chunks with products of bf16 (Yang et
 * al., "Parallelizing Linear Transformers with the Delta Rule over Sequence Length", section 3;
 * "Gated Delta Networks", section 3.3), on the runs and rows of the chunked SSD
 * (codegen/ptx/ssd.h).
 *
 * What token i of a run of up to 64 writes is u_i, with h the state before the run, a_i the sum of
 * g up to token i, keys and queries with their factors:
 *     u_i = b_i (v_i - exp(a_i) k_i h - sum over j < i of exp(a_i - a_j) (k_i . k_j) u_j)
 *     y_i = exp(a_i) q_i h + sum over j <= i of R_ij u_j,  R_ij = exp(a_i - a_j) (q_i . k_j)
 *     h   = exp(a_last) h + sum of exp(a_last - a_j) k_j u_j^T
 * With A_ij = b_i exp(a_i - a_j) (k_i . k_j) below the diagonal and D_i = b_i (v_i - exp(a_i) k_i
 * h) that is (I + A) u = D, which is solved by blocks of 16 tokens, of which T_I = (I + A_II)^-1:
 *     u_I = T_I (D_I - sum over J < I of A_IJ u_J)
 * (W and U of the papers multiply the inverse of all of I + A by k and v; with the state at hand
 * solving for u is less). Turned round, as ptx_ssd_bf16.c has y and h, each of these is a product
 * whose left operand is in registers, where the sums of the one before are:
 *     U^T = h^T K^T, D^T from it and v;  u_I^T = (D_I^T - sum of u_J^T A_IJ^T) T_I^T
 *     y^T = exp(a_i) (h^T Q^T) + u^T R^T;  h^T = exp(a_last) h^T + (weight u)^T K
 * A warp has 16 columns p of h^T, and reads keys, queries, A, T and R in shared memory alone.
 *
 * The other warps are feeders. While the rest go through run i these bring run i + 2, or i + 1
 * where shared memory has two places, and make of run i + 1: a_i and factors of keys and queries,
 * then, a barrier later, A, T and R; T_I in f32, a lane a column of it, by forward substitution.
 * They store y of run i - 1.
 *
 * Rounded to bf16: q, k, v, A, T, R, and h, D and u where they multiply. A state that is stored in
 * bf16 is rounded where a chunk ends. Factors are of keys and queries as they are rounded.
 *
 * Predicted, N=128, H200 at 1.75 GHz: of a run a warp with state has 232 products of 16 x 8 x 16,
 * 740 clocks at 62 % of the dense rate, waits for the four steps of the solution, some 500, and for
 * shared memory: 1800 to 2400. A feeder has one or two blocks of A and R, 32 products each, their
 * exponentials, and T: 1500. 64 tokens in 1 to 1.4 us: a seventh of token after token. H=32, P=128
 * is 128 blocks of 32 columns. */
#include <string.h>

#include "codegen/ptx/delta.h"

/* TILE: rows and summed columns of a product; its columns are half. MOST_STATES: N of a state whose
 * 16 columns are in a warp's registers beside the sums of a run. */
enum { TILE = PTX_SSD_TILE, HALF = 8, QUAD = 4, RUN = PTX_SSD_RUN, UNIT = PTX_SSD_UNIT };
enum { RUN_TILES = RUN / TILE, GROUPS = RUN / HALF, MOST_STATES = 128 };
enum { WARPS = 8, MOST_COLUMNS = 32, Y_PAD = 4, T_STRIDE = TILE + 4 };
/* Shared memory of the model: less than what every kernel has, so that tests take both ways. */
enum { SHARED_MODEL = 160 << 10 };
enum { BLOCKS = RUN_TILES * (RUN_TILES + 1) / 2 }; /* of A, on and below the diagonal */
enum { TOKENS = PTX_SSD_LANE_TOKENS };

/* Arrays of f32 of a run: a log2(e), exp(a), exp(a_last - a), b, and the factors of k and of q, 0
 * of tokens that there are not. */
typedef enum { SUM, ENTER, LEAVE, BETA, OF_K, OF_Q, ARRAYS } Array;

typedef struct {
    PtxSsd s; /* B is k, C is q, x is v */
    const PtxDeltaOperands *of;
    int64_t n;              /* N, up to whole tiles */
    int64_t columns, parts; /* of a block, of a head; blocks of a head */
    int warps, feeders;     /* warps with state, and without */
    int places;             /* runs of q, k and v that have room */
    Val shared, y, scratch; /* y: [RUN,columns + Y_PAD] */
    PtxRows q, k, v;        /* of the run: [RUN,n] and [RUN,columns] */
    PtxRows A, R;           /* [RUN,RUN]: -A_IJ, and T_I on the diagonal */
    Val arrays;             /* [ARRAYS,RUN] */
    PtxRun run;
    Val begin, p0; /* column of the head where the block begins; of the block, this warp */
    Val feeder;    /* this warp's number among those that feed */
    PtxLane lane;
    Val runs;
    Val g[TOKENS], b[TOKENS];        /* variables: of the run whose arrays are made next */
    Val h[MOST_STATES / HALF][QUAD]; /* variables */
} Chunks;

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t
rows_bytes(const PtxRows *r)
{
    return RUN * r->stride * (int64_t)sizeof(uint16_t);
}

static int64_t
stage_bytes(const Chunks *v)
{
    return 2 * rows_bytes(&v->k) + rows_bytes(&v->v);
}

/* What feeders make of a run, which has two places. */
static int64_t
made_bytes(const Chunks *v)
{
    return 2 * rows_bytes(&v->A) + ARRAYS * RUN * (int64_t)sizeof(float);
}

static int64_t
y_bytes(const Chunks *v)
{
    return RUN * (v->columns + Y_PAD) * (int64_t)sizeof(float);
}

enum { SCRATCH_BYTES = TILE * T_STRIDE * (int)sizeof(float) };

static int64_t
all_bytes(const Chunks *v)
{
    return v->places * stage_bytes(v) + 2 * made_bytes(v) + y_bytes(v) +
           (int64_t)v->feeders * SCRATCH_BYTES;
}

/* Rows an odd number of units apart, so that eight of them lie in different banks. */
static int64_t
odd_stride(int64_t columns)
{
    return (columns / UNIT | 1) * UNIT;
}

/* False: there are not registers or shared memory for it. */
static bool
choose_sizes(const Cg *c, Chunks *v)
{
    const int64_t p = round_up(v->s.head_dim, TILE);
    v->n = round_up(v->s.states, TILE);
    v->columns = p < MOST_COLUMNS ? p : MOST_COLUMNS;
    v->parts = (p + v->columns - 1) / v->columns;
    v->warps = (int)(v->columns / TILE);
    v->feeders = WARPS - v->warps;
    v->q.stride = v->k.stride = odd_stride(v->n);
    v->v.stride = odd_stride(v->columns);
    v->A.stride = v->R.stride = odd_stride(RUN);
    const int64_t room = c->machine->gpu.model ? SHARED_MODEL : c->machine->gpu.shared_bytes;
    v->places = 3;
    if (all_bytes(v) > room)
        v->places = 2;
    return v->n <= MOST_STATES && all_bytes(v) <= room;
}

/* ---- places of threads and runs ------------------------------------------------------------- */

static void
place_warp(Cg *c, Chunks *v)
{
    PtxSsd *s = &v->s;
    const Val block = ptx_block(c, 0), parts = cg_i64(c, v->parts), warp = ptx_warp(c);
    s->head = cg_div(c, block, parts);
    s->group = cg_div(c, s->head, cg_i64(c, s->heads / s->groups));
    const Val part = cg_sub(c, block, cg_mul(c, s->head, parts));
    v->begin = cg_mul(c, part, cg_i64(c, v->columns));
    v->p0 = cg_mul(c, warp, cg_i64(c, TILE));
    v->feeder = cg_sub(c, warp, cg_i64(c, v->warps));
    s->seg = cg_segment(c, s->k, ptx_block(c, 1));
    v->runs = ptx_ssd_runs(c, s);
}

static Val
nth(Cg *c, Val base, Val number, int64_t bytes)
{
    return cg_offset(c, base, cg_mul(c, number, cg_i64(c, bytes)));
}

/* Run `number` is what v is about from here on. */
static void
enter_run(Cg *c, Chunks *v, Val number)
{
    const Val place = LLVMBuildURem(c->b, number, cg_i64(c, v->places), "");
    const Val turn = LLVMBuildAnd(c->b, number, cg_i64(c, 1), "");
    const Val made = cg_offset(c, v->shared, cg_i64(c, v->places * stage_bytes(v)));
    const Val last = cg_offset(c, made, cg_i64(c, 2 * made_bytes(v)));
    v->run = ptx_ssd_run(c, &v->s, number);
    v->q.at = nth(c, v->shared, place, stage_bytes(v));
    v->k.at = cg_offset(c, v->q.at, cg_i64(c, rows_bytes(&v->q)));
    v->v.at = cg_offset(c, v->k.at, cg_i64(c, rows_bytes(&v->k)));
    v->A.at = nth(c, made, turn, made_bytes(v));
    v->R.at = cg_offset(c, v->A.at, cg_i64(c, rows_bytes(&v->A)));
    v->arrays = cg_offset(c, v->R.at, cg_i64(c, rows_bytes(&v->R)));
    v->y = last;
    v->scratch = nth(c, cg_offset(c, last, cg_i64(c, y_bytes(v))), v->feeder, SCRATCH_BYTES);
}

static Val
array_at(Cg *c, const Chunks *v, Array array, Val token)
{
    return cg_at(c, v->arrays, DTYPE_f32, cg_add(c, cg_i64(c, (int64_t)array * RUN), token));
}

static Val
one_of(Cg *c, const Chunks *v, Array array, Val token)
{
    return cg_vload(c, array_at(c, v, array, token), DTYPE_f32, 1, NULL);
}

static void
put(Cg *c, const Chunks *v, Array array, Val token, Val x)
{
    cg_vstore(c, array_at(c, v, array, token), DTYPE_f32, x, 1, NULL);
}

/* Of this thread's two tokens of a group of eight. */
static void
two_of(Cg *c, const Chunks *v, Array array, Val group, Val out[2])
{
    ptx_ssd_two_of(c, array_at(c, v, array, cg_i64(c, 0)), cg_add(c, group, v->lane.place), out);
}

/* ---- tiles ------------------------------------------------------------------------------------
 */

/* Sums of 16 x 16 as a left operand. */
static void
as_left(Cg *c, Val sums[2][QUAD], Val out[4])
{
    for (int e = 0; e < 4; e++) {
        const Val *x = sums[e / 2] + e % 2 * 2;
        out[e] = ptx_pair(c, cg_get(c, c->f32, x[0]), cg_get(c, c->f32, x[1]));
    }
}

/* ---- feeders: rows ----------------------------------------------------------------------------
 */

static void
stage(Cg *c, const Chunks *v, PtxStage t, const PtxRows *to)
{
    t.thread = cg_add(c, cg_mul(c, v->feeder, cg_i64(c, GPU_WARP)), ptx_lane(c));
    t.threads = (int64_t)v->feeders * GPU_WARP;
    t.run = v->run;
    t.to = *to;
    ptx_ssd_stage(c, &t);
}

static void
stage_run(Cg *c, const Chunks *v, Val number)
{
    Chunks u = *v;
    const PtxSsd *s = &v->s;
    CgIf some = cg_if(c, cg_less(c, number, v->runs));
    enter_run(c, &u, number);
    stage(c, &u, ptx_ssd_stage_group(c, s, s->C), &u.q);
    stage(c, &u, ptx_ssd_stage_group(c, s, s->B), &u.k);
    stage(c, &u, ptx_ssd_stage_x(c, s, s->head, v->begin, v->columns), &u.v);
    cg_endif(c, &some);
    ptx_copy_commit(c);
}

/* ---- feeders: arrays --------------------------------------------------------------------------
 */

static Val
token_of(Cg *c, int i)
{
    return cg_add(c, cg_mul(c, ptx_lane(c), cg_i64(c, TOKENS)), cg_i64(c, i));
}

static void
fetch(Cg *c, const Chunks *v, Val number)
{
    const Val last_run = cg_sub(c, v->runs, cg_i64(c, 1));
    const PtxRun run = ptx_ssd_run(c, &v->s, cg_min(c, number, last_run));
    const Val last = cg_sub(c, run.count, cg_i64(c, 1));
    for (int i = 0; i < TOKENS; i++) {
        const Val row = cg_add(c, run.row, cg_min(c, token_of(c, i), last));
        cg_set(c, v->g[i], cg_eval_one(c, v->s.k, v->of->g, row, v->s.head));
        cg_set(c, v->b[i], cg_eval_one(c, v->s.k, v->of->b, row, v->s.head));
    }
}

/* a in octaves. Below -128 a token leaves nothing that an f32 could hold, and 64 of them have a sum
 * whose rounding is no more than bf16's. A lane's two tokens, then those of lanes before it. */
static void
make_sums(Cg *c, const Chunks *v)
{
    enum { LEAST = -128 };
    const double log2e = 1.44269504088896341;
    Val a[TOKENS], own = cg_f32(c, 0);
    for (int i = 0; i < TOKENS; i++) {
        const Val is = cg_less(c, token_of(c, i), v->run.count);
        const Val g = cg_fmul(c, cg_get(c, c->f32, v->g[i]), cg_f32(c, log2e));
        const Val least = cg_vmax(c, cg_f32(c, LEAST), g);
        own = cg_fadd(c, own, LLVMBuildSelect(c->b, is, least, cg_f32(c, 0), ""));
        a[i] = own;
        const Val b = LLVMBuildSelect(c->b, is, cg_get(c, c->f32, v->b[i]), cg_f32(c, 0), "");
        put(c, v, BETA, token_of(c, i), b);
    }
    Val before = cg_f32(c, 0), total = own;
    for (int mask = 1; mask < GPU_WARP; mask *= 2) {
        const Val other = ptx_exchange(c, total, mask);
        const Val bit = LLVMBuildAnd(c->b, ptx_lane(c), cg_i64(c, mask), "");
        const Val right = cg_less(c, cg_i64(c, 0), bit);
        before = LLVMBuildSelect(c->b, right, cg_fadd(c, other, before), before, "");
        total = cg_fadd(c, total, other);
    }
    for (int i = 0; i < TOKENS; i++) {
        const Val sum = cg_fadd(c, before, a[i]), token = token_of(c, i);
        put(c, v, SUM, token, sum);
        put(c, v, ENTER, token, ptx_exp2(c, sum));
        put(c, v, LEAVE, token, ptx_exp2(c, cg_fsub(c, total, sum)));
    }
}

/* The sum of squares of a row, whose units four lanes share. */
static Val
squares(Cg *c, const Chunks *v, const PtxRows *from, Val row)
{
    const Val own = LLVMBuildAnd(c->b, ptx_lane(c), cg_i64(c, QUAD - 1), "");
    const int64_t units = v->n / UNIT;
    Val sum = cg_f32(c, 0);
    for (int64_t u = 0; u < units; u += QUAD) {
        const Val unit = cg_add(c, own, cg_i64(c, u)), last = cg_i64(c, units - 1);
        const Val col = cg_mul(c, cg_min(c, unit, last), cg_i64(c, UNIT));
        const Val at = cg_element(c, from->at, DTYPE_bf16, row, from->stride, col);
        const Val x = ptx_load(c, at, DTYPE_bf16, UNIT);
        Val more = cg_f32(c, 0);
        for (int e = 0; e < UNIT; e++)
            more = cg_fma(c, cg_slice(c, x, e, 1), cg_slice(c, x, e, 1), more);
        sum =
            cg_fadd(c, sum, LLVMBuildSelect(c->b, cg_less(c, last, unit), cg_f32(c, 0), more, ""));
    }
    return ptx_warp_fold(c, sum, QUAD, cg_fadd);
}

/* Eight rows of k or q at a time. */
static void
make_factors(Cg *c, const Chunks *v)
{
    const Node *n = v->s.k->kernel->anchor;
    const Attr *eps = attrs_find(&n->attrs, ATTR_eps);
    CgLoop t = cg_loop(c, "rows", v->feeder, cg_i64(c, 2 * GROUPS), v->feeders);
    const Val is_q = cg_less(c, t.i, cg_i64(c, GROUPS));
    const Val group = LLVMBuildAnd(c->b, t.i, cg_i64(c, GROUPS - 1), "");
    const Val row = cg_add(c, cg_mul(c, group, cg_i64(c, HALF)), v->lane.line);
    const PtxRows from = {LLVMBuildSelect(c->b, is_q, v->q.at, v->k.at, ""), v->k.stride};
    Val factor =
        LLVMBuildSelect(c->b, is_q, cg_f32(c, node_num(n, ATTR_scale, 1)), cg_f32(c, 1), "");
    if (eps) {
        const Val all = cg_fadd(c, squares(c, v, &from, row), cg_f32(c, eps->num));
        factor = cg_fmul(c, factor, cg_rsqrt(c, all));
    }
    const Val is = cg_less(c, row, v->run.count);
    factor = LLVMBuildSelect(c->b, is, factor, cg_f32(c, 0), "");
    const Val to =
        LLVMBuildSelect(c->b, is_q, array_at(c, v, OF_Q, row), array_at(c, v, OF_K, row), "");
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->lane.place, cg_i64(c, 0), ""));
    cg_vstore(c, to, DTYPE_f32, factor, 1, NULL);
    cg_endif(c, &first);
    cg_loop_end(c, &t);
}

/* The first feeder, which has g and b of the run, reads those of the next. */
static void
make_arrays(Cg *c, const Chunks *v, Val number)
{
    Chunks u = *v;
    CgIf some = cg_if(c, cg_less(c, number, v->runs));
    enter_run(c, &u, number);
    CgIf mine = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->feeder, cg_i64(c, 0), ""));
    make_sums(c, &u);
    fetch(c, v, cg_add(c, number, cg_i64(c, 1)));
    cg_endif(c, &mine);
    make_factors(c, &u);
    cg_endif(c, &some);
}

/* ---- feeders: A, T and R ----------------------------------------------------------------------
 */

/* Tokens i and j of a block's numbers that this thread has: rows line and line + 8. */
typedef struct {
    Val i, j;                     /* of the block's first */
    Val diagonal;                 /* i1: i is j */
    Val kk[2][QUAD], qk[2][QUAD]; /* variables: [8 tokens j] */
} Block;

static void
block_products(Cg *c, const Chunks *v, Block *b)
{
    ptx_open_sums(c, b->kk[0], 2 * QUAD);
    ptx_open_sums(c, b->qk[0], 2 * QUAD);
    for (int64_t n = 0; n < v->n; n += TILE) {
        Val k[4], q[4], right[4];
        const Val col = cg_i64(c, n);
        ptx_load_tile(c, &v->lane, &v->k, b->i, col, 0, 0, PTX_DOWN, false, k);
        ptx_load_tile(c, &v->lane, &v->q, b->i, col, 0, 0, PTX_DOWN, false, q);
        ptx_load_tile(c, &v->lane, &v->k, b->j, col, 0, 0, PTX_ACROSS, false, right);
        for (int half = 0; half < 2; half++) {
            ptx_add_product(c, b->kk[half], k, right + 2 * half);
            ptx_add_product(c, b->qk[half], q, right + 2 * half);
        }
    }
}

/* A pair of R or A: of row i, tokens j and j + 1. */
static void
store_pair(Cg *c, const PtxRows *to, Val i, Val j, const Val x[2])
{
    const Val at = cg_element(c, to->at, DTYPE_bf16, i, to->stride, j);
    LLVMSetAlignment(LLVMBuildStore(c->b, ptx_pair(c, x[0], x[1]), at), 4);
}

/* A of the diagonal goes to scratch, turned round: [j,i]. */
static void
store_block(Cg *c, const Chunks *v, const Block *b)
{
    for (int half = 0; half < 2; half++) {
        const Val j = cg_add(c, b->j, cg_i64(c, half * HALF));
        const Val col = cg_add(c, j, v->lane.place);
        Val sums[2], of_k[2];
        two_of(c, v, SUM, j, sums);
        two_of(c, v, OF_K, j, of_k);
        for (int down = 0; down < 2; down++) {
            const Val in_block = cg_add(c, v->lane.line, cg_i64(c, down * HALF));
            const Val row = cg_add(c, b->i, in_block), sum = one_of(c, v, SUM, row);
            const Val gain = cg_fmul(c, one_of(c, v, BETA, row), one_of(c, v, OF_K, row));
            const Val of_q = one_of(c, v, OF_Q, row), zero = cg_f32(c, 0);
            Val A[2], R[2];
            for (int e = 0; e < 2; e++) {
                const Val own = cg_add(c, col, cg_i64(c, e)), before = cg_less(c, own, row);
                const Val after = cg_less(c, row, own);
                const Val decay = cg_fmul(c, ptx_exp2(c, cg_fsub(c, sum, sums[e])), of_k[e]);
                const Val kk = cg_get(c, c->f32, b->kk[half][2 * down + e]);
                const Val qk = cg_get(c, c->f32, b->qk[half][2 * down + e]);
                const Val a = cg_fmul(c, cg_fmul(c, kk, decay), gain);
                const Val r = cg_fmul(c, cg_fmul(c, qk, decay), of_q);
                A[e] = cg_fsub(c, zero, LLVMBuildSelect(c->b, before, a, zero, ""));
                R[e] = LLVMBuildSelect(c->b, after, zero, r, "");
                const Val over = cg_add(c, v->lane.place, cg_i64(c, half * HALF + e));
                cg_vstore(c, cg_element(c, v->scratch, DTYPE_f32, over, T_STRIDE, in_block),
                          DTYPE_f32, A[e], 1, NULL);
            }
            store_pair(c, &v->R, row, col, R);
            CgIf below = cg_if(c, LLVMBuildNot(c->b, b->diagonal, ""));
            store_pair(c, &v->A, row, col, A);
            cg_endif(c, &below);
        }
    }
}

/* Column `lane` of T_I by forward substitution: x_i is 1 or 0 less what tokens before it have; the
 * two halves of the warp have the same. */
static void
store_inverse(Cg *c, const Chunks *v, const Block *b)
{
    const Val column = LLVMBuildAnd(c->b, ptx_lane(c), cg_i64(c, TILE - 1), "");
    Val x[TILE];
    for (int i = 0; i < TILE; i++) {
        const Val is = LLVMBuildICmp(c->b, LLVMIntEQ, column, cg_i64(c, i), "");
        x[i] = LLVMBuildSelect(c->b, is, cg_f32(c, 1), cg_f32(c, 0), "");
    }
    for (int j = 0; j + 1 < TILE; j++)
        for (int first = (j + 1) / QUAD * QUAD; first < TILE; first += QUAD) {
            const Val at = cg_at(c, v->scratch, DTYPE_f32, cg_i64(c, j * T_STRIDE + first));
            const Val a = ptx_load(c, at, DTYPE_f32, QUAD);
            for (int e = 0; e < QUAD; e++)
                if (first + e > j)
                    x[first + e] = cg_fma(c, cg_slice(c, a, e, 1), x[j], x[first + e]);
        }
    for (int i = 0; i < TILE; i++) {
        const Val row = cg_add(c, b->i, cg_i64(c, i)), col = cg_add(c, b->j, column);
        cg_vstore(c, cg_element(c, v->A.at, DTYPE_bf16, row, v->A.stride, col), DTYPE_bf16, x[i], 1,
                  NULL);
    }
}

/* Blocks of the diagonal come first, as more is made of them. */
static void
make_matrices(Cg *c, const Chunks *v, Val number)
{
    Chunks u = *v;
    CgIf some = cg_if(c, cg_less(c, number, v->runs));
    enter_run(c, &u, number);
    CgLoop t = cg_loop(c, "block", v->feeder, cg_i64(c, BLOCKS), v->feeders);
    Val I = cg_i64(c, 0), begins = cg_i64(c, 0);
    const Val below = cg_sub(c, t.i, cg_i64(c, RUN_TILES));
    for (int i = 1; i < RUN_TILES; i++) {
        const Val first = cg_i64(c, i * (i - 1) / 2), past = cg_less(c, below, first);
        I = LLVMBuildSelect(c->b, past, I, cg_i64(c, i), "");
        begins = LLVMBuildSelect(c->b, past, begins, first, "");
    }
    Block b = {.diagonal = cg_less(c, t.i, cg_i64(c, RUN_TILES))};
    const Val J = cg_sub(c, below, begins), tile = cg_i64(c, TILE);
    b.i = cg_mul(c, LLVMBuildSelect(c->b, b.diagonal, t.i, I, ""), tile);
    b.j = cg_mul(c, LLVMBuildSelect(c->b, b.diagonal, t.i, J, ""), tile);
    block_products(c, &u, &b);
    store_block(c, &u, &b);
    ptx_warp_barrier(c);
    CgIf inverse = cg_if(c, b.diagonal);
    store_inverse(c, &u, &b);
    cg_endif(c, &inverse);
    ptx_warp_barrier(c); /* scratch is written again */
    cg_loop_end(c, &t);
    cg_endif(c, &some);
}

/* ---- feeders: y -------------------------------------------------------------------------------
 */

static void
store_y(Cg *c, const Chunks *v, Val number)
{
    Chunks u = *v;
    const PtxSsd *s = &v->s;
    CgIf some = cg_if(c, LLVMBuildNot(c->b, cg_less(c, number, cg_i64(c, 0)), ""));
    enter_run(c, &u, number);
    const Val columns = cg_i64(c, v->columns),
              thread = cg_add(c, cg_mul(c, v->feeder, cg_i64(c, GPU_WARP)), ptx_lane(c));
    CgLoop item =
        cg_loop(c, "y", thread, cg_mul(c, u.run.count, columns), (int64_t)v->feeders * GPU_WARP);
    const Val token = cg_div(c, item.i, columns);
    const Val column = cg_sub(c, item.i, cg_mul(c, token, columns)),
              p = cg_add(c, v->begin, column);
    CgIf exists = cg_if(c, cg_less(c, p, cg_i64(c, s->head_dim)));
    const Val at = cg_element(c, u.y, DTYPE_f32, token, v->columns + Y_PAD, column);
    const CgSite site = {.row = cg_add(c, u.run.row, token),
                         .col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p),
                         .lanes = 1};
    cg_unbind_all(s->k);
    cg_bind(s->k, s->y, cg_vload(c, at, DTYPE_f32, 1, NULL));
    cg_store_outputs(c, s->k, &site);
    cg_endif(c, &exists);
    cg_loop_end(c, &item);
    cg_endif(c, &some);
}

/* ---- warps with state -------------------------------------------------------------------------
 */

typedef struct {
    Val d[GROUPS][QUAD], y[GROUPS][QUAD]; /* variables: D^T, then u^T; y^T */
} Sums;

/* h^T K^T and h^T Q^T. */
static void
from_state(Cg *c, const Chunks *v, Sums *s)
{
    ptx_open_sums(c, s->d[0], GROUPS * QUAD);
    ptx_open_sums(c, s->y[0], GROUPS * QUAD);
    for (int64_t n = 0; n < v->n; n += TILE) {
        Val left[4], right[4];
        as_left(c, (Val(*)[QUAD])v->h + n / HALF, left);
        for (int t = 0; t < RUN_TILES; t++) {
            const Val token = cg_i64(c, t * TILE), col = cg_i64(c, n);
            ptx_load_tile(c, &v->lane, &v->k, token, col, 0, 0, PTX_ACROSS, false, right);
            for (int half = 0; half < 2; half++)
                ptx_add_product(c, s->d[2 * t + half], left, right + 2 * half);
            ptx_load_tile(c, &v->lane, &v->q, token, col, 0, 0, PTX_ACROSS, false, right);
            for (int half = 0; half < 2; half++)
                ptx_add_product(c, s->y[2 * t + half], left, right + 2 * half);
        }
    }
}

/* D^T of these and v; exp(a) and the factors of queries. */
static void
add_values(Cg *c, const Chunks *v, Sums *s)
{
    for (int t = 0; t < RUN_TILES; t++) {
        Val x[4];
        ptx_load_tile(c, &v->lane, &v->v, cg_i64(c, t * TILE), v->p0, 0, 0, PTX_ACROSS, true, x);
        for (int half = 0; half < 2; half++) {
            const int g = 2 * t + half;
            const Val group = cg_i64(c, g * HALF);
            Val enter[2], of_k[2], of_q[2], b[2];
            two_of(c, v, ENTER, group, enter);
            two_of(c, v, OF_K, group, of_k);
            two_of(c, v, OF_Q, group, of_q);
            two_of(c, v, BETA, group, b);
            for (int e = 0; e < QUAD; e++) {
                const int own = e % 2;
                const Val pair = x[2 * half + e / 2];
                const Val value = own ? ptx_high(c, pair) : ptx_low(c, pair);
                const Val factor = cg_fmul(c, enter[own], of_k[own]);
                const Val said = cg_fmul(c, factor, cg_get(c, c->f32, s->d[g][e]));
                cg_set(c, s->d[g][e], cg_fmul(c, b[own], cg_fsub(c, value, said)));
                const Val read = cg_fmul(c, enter[own], of_q[own]);
                cg_set(c, s->y[g][e], cg_fmul(c, read, cg_get(c, c->f32, s->y[g][e])));
            }
        }
    }
}

/* A 16 x 16 block of A or R of tokens I and J times the left operand, added to two groups. */
static void
add_block(Cg *c, const Chunks *v, const PtxRows *from, int I, int J, const Val left[4],
          Val sums[2][QUAD])
{
    Val right[4];
    ptx_load_tile(c, &v->lane, from, cg_i64(c, I * TILE), cg_i64(c, J * TILE), 0, 0, PTX_ACROSS,
                  false, right);
    for (int half = 0; half < 2; half++)
        ptx_add_product(c, sums[half], left, right + 2 * half);
}

/* u^T in the place of D^T, and y^T. */
static void
solve(Cg *c, const Chunks *v, Sums *s)
{
    Val u[RUN_TILES][4];
    for (int I = 0; I < RUN_TILES; I++) {
        Val left[4];
        for (int J = 0; J < I; J++)
            add_block(c, v, &v->A, I, J, u[J], s->d + (ptrdiff_t)2 * I);
        as_left(c, s->d + (ptrdiff_t)2 * I, left);
        for (int e = 0; e < 2 * QUAD; e++)
            cg_set(c, s->d[2 * I + e / QUAD][e % QUAD], cg_f32(c, 0));
        add_block(c, v, &v->A, I, I, left, s->d + (ptrdiff_t)2 * I);
        as_left(c, s->d + (ptrdiff_t)2 * I, u[I]);
        for (int J = 0; J <= I; J++)
            add_block(c, v, &v->R, I, J, u[J], s->y + (ptrdiff_t)2 * I);
    }
}

static void
put_y(Cg *c, const Chunks *v, const Sums *s)
{
    for (int g = 0; g < GROUPS; g++)
        for (int e = 0; e < QUAD; e++) {
            const Val token = cg_add(c, v->lane.place, cg_i64(c, g * HALF + e % 2));
            const Val p = cg_add(c, v->p0, cg_add(c, v->lane.line, cg_i64(c, e / 2 * HALF)));
            cg_vstore(c, cg_element(c, v->y, DTYPE_f32, token, v->columns + Y_PAD, p), DTYPE_f32,
                      cg_get(c, c->f32, s->y[g][e]), 1, NULL);
        }
}

/* u^T of tile t times exp(a_last - a) and the factors of keys. */
static void
weigh(Cg *c, const Chunks *v, const Sums *s, int t, Val out[4])
{
    for (int half = 0; half < 2; half++) {
        const Val group = cg_i64(c, (2 * t + half) * HALF);
        Val leave[2], of_k[2], x[QUAD];
        two_of(c, v, LEAVE, group, leave);
        two_of(c, v, OF_K, group, of_k);
        for (int e = 0; e < QUAD; e++)
            x[e] = cg_fmul(c, cg_get(c, c->f32, s->d[2 * t + half][e]),
                           cg_fmul(c, leave[e % 2], of_k[e % 2]));
        out[2 * half] = ptx_pair(c, x[0], x[1]);
        out[2 * half + 1] = ptx_pair(c, x[2], x[3]);
    }
}

static void
update_state(Cg *c, Chunks *v, const Sums *s)
{
    const Val kept = one_of(c, v, ENTER, cg_i64(c, RUN - 1));
    for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
        const Val h = v->h[i / QUAD][i % QUAD];
        cg_set(c, h, cg_fmul(c, kept, cg_get(c, c->f32, h)));
    }
    for (int t = 0; t < RUN_TILES; t++) {
        Val left[4], right[4];
        weigh(c, v, s, t, left);
        for (int64_t n = 0; n < v->n; n += TILE) {
            ptx_load_tile(c, &v->lane, &v->k, cg_i64(c, t * TILE), cg_i64(c, n), 0, 0, PTX_DOWN,
                          true, right);
            for (int half = 0; half < 2; half++)
                ptx_add_product(c, v->h[n / HALF + half], left, right + 2 * half);
        }
    }
    const Val rounds = ptx_ssd_rounds(c, &v->s, &v->run);
    if (!rounds)
        return;
    CgIf chunk_ends = cg_if(c, rounds);
    for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
        const Val h = v->h[i / QUAD][i % QUAD];
        cg_set(c, h, cg_round(c, cg_get(c, c->f32, h), v->s.stored));
    }
    cg_endif(c, &chunk_ends);
}

/* ---- the state in memory ----------------------------------------------------------------------
 */

/* Row and column of this thread's number i of the state; i1: there is such a one. NULL: always. */
static Val
state_place(Cg *c, const Chunks *v, int64_t i, Val *row, Val *col)
{
    const PtxSsd *s = &v->s;
    const int64_t e = i % QUAD;
    const bool whole = v->n == s->states && v->columns * v->parts == s->head_dim;
    *row = cg_add(c, v->lane.place, cg_i64(c, i / QUAD * HALF + e % 2));
    *col = cg_add(c, cg_add(c, v->begin, v->p0), cg_add(c, v->lane.line, cg_i64(c, e / 2 * HALF)));
    return whole ? NULL
                 : LLVMBuildAnd(c->b, cg_less(c, *row, cg_i64(c, s->states)),
                                cg_less(c, *col, cg_i64(c, s->head_dim)), "");
}

static void
open_state(Cg *c, Chunks *v)
{
    const Val none = cg_i64(c, 0), zero = cg_f32(c, 0);
    for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
        Val row = NULL, col = NULL;
        const Val exists = state_place(c, v, i, &row, &col);
        row = exists ? LLVMBuildSelect(c->b, exists, row, none, "") : row;
        col = exists ? LLVMBuildSelect(c->b, exists, col, none, "") : col;
        const Val x = cg_vload(c, ptx_ssd_state_at(c, &v->s, row, col), v->s.stored, 1, NULL);
        const Val h = exists ? LLVMBuildSelect(c->b, exists, x, zero, "") : x;
        v->h[i / QUAD][i % QUAD] = cg_var(c, c->f32, h, "h");
    }
}

static void
close_state(Cg *c, const Chunks *v)
{
    for (int64_t i = 0; i < v->n / HALF * QUAD; i++) {
        Val row = NULL, col = NULL;
        const Val exists = state_place(c, v, i, &row, &col);
        CgIf some = {0};
        if (exists)
            some = cg_if(c, exists);
        cg_vstore(c, ptx_ssd_state_at(c, &v->s, row, col), v->s.stored,
                  cg_get(c, c->f32, v->h[i / QUAD][i % QUAD]), 1, NULL);
        if (exists)
            cg_endif(c, &some);
    }
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

/* Barriers of a run: before the feeders make its arrays, if they wait for its rows there; before
 * they make its matrices; and at its end. */
static void
feed_all(Cg *c, Chunks *v)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1);
    const bool ahead = v->places > 2;
    for (int i = 0; i < TOKENS; i++) {
        v->g[i] = cg_var(c, c->f32, cg_f32(c, 0), "g");
        v->b[i] = cg_var(c, c->f32, cg_f32(c, 0), "b");
    }
    fetch(c, v, zero);
    stage_run(c, v, zero);
    if (ahead)
        stage_run(c, v, one);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    make_arrays(c, v, zero);
    ptx_barrier(c);
    make_matrices(c, v, zero);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "feed", zero, v->runs, 1);
    const Val next = cg_add(c, run.i, one);
    stage_run(c, v, ahead ? cg_add(c, next, one) : next);
    if (!ahead) {
        ptx_copy_wait(c, 0);
        ptx_barrier(c);
    }
    store_y(c, v, cg_sub(c, run.i, one));
    make_arrays(c, v, next);
    ptx_barrier(c);
    make_matrices(c, v, next);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    cg_loop_end(c, &run);
    store_y(c, v, cg_sub(c, v->runs, one));
}

static void
run_all(Cg *c, Chunks *v)
{
    open_state(c, v);
    for (int i = 0; i < 3; i++)
        ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), v->runs, 1);
    Sums s;
    if (v->places == 2)
        ptx_barrier(c);
    enter_run(c, v, run.i);
    from_state(c, v, &s);
    add_values(c, v, &s);
    ptx_barrier(c); /* y of the run before is stored */
    solve(c, v, &s);
    put_y(c, v, &s);
    update_state(c, v, &s);
    ptx_barrier(c);
    cg_loop_end(c, &run);
    close_state(c, v);
}

bool
ptx_delta_chunks(Cg *c, CgKernel *k, const PtxDeltaOperands *of)
{
    const Node *n = k->kernel->anchor;
    Chunks v = {
        .of = of,
        .s = {.k = k,
              .x = of->v,
              .B = of->k,
              .C = of->q,
              .state = of->state,
              .y = of->y,
              .heads = node_int(n, ATTR_heads, 1),
              .head_dim = node_int(n, ATTR_head_dim, 1),
              .groups = node_int(n, ATTR_groups, 1),
              .states = node_int(n, ATTR_state, 1),
              .chunk = node_int(n, ATTR_chunk, CHUNK_ALL),
              .stored = of->state->type.dtype,
              .run = RUN}
    };
    const bool pairs = strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0;
    if (!pairs || !choose_sizes(c, &v))
        return false;
    ptx_threads(k, (int64_t)WARPS * GPU_WARP);
    ptx_grid(k, 0, ABI_ONE, v.s.heads * v.parts, 1, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    v.shared = ptx_shared(c, k, all_bytes(&v));
    ptx_wait(c, k);
    v.lane = ptx_lane_places(c);
    place_warp(c, &v);
    CgIf role = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, v.warps)));
    run_all(c, &v);
    cg_else(c, &role);
    feed_all(c, &v);
    cg_endif(c, &role);
    return true;
}
