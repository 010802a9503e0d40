/* codegen/ptx/ptx_ssd_bf16.c -- the chunked form of SSD with products of bf16 ("Transformers are
 * SSMs", section 6 and listing 1), as ptx_ssd.c has it in f32.
 *
 * A block has a few heads of one group of one segment and goes through it in runs of Q = 64 tokens.
 * Some warps have each head; a warp has 16 or 32 of its columns p, and of these the state, turned
 * round: h^T [P,N] are sums of products in f32 registers, and rounded in pairs they are the left
 * operand of the next product as they lie (ptx.h: ptx_mma_bf16). So, with y turned round too:
 *
 *     C, B, x of the run to shared memory in bf16; decays of each head (codegen/ptx/ssd.h)
 *
 *     S = C B^T, 16 x 16 tokens of it at a time, on and below the diagonal, once for all heads
 *
 *     M_ij = S_ij exp(a_i - a_j) dt_j for j <= i, else 0, of each head, to shared memory
 *
 *     y^T = exp(a_i) (h^T C^T) + x^T M^T + D x^T, stored
 *
 *     h^T = exp(a_last) h^T + (weight x)^T B
 *
 * Rounded to bf16: C, B, x, M, weight x, and h where C h is made. A state that is stored in bf16 is
 * rounded where a chunk ends too. Exponentials are of differences a_i - a_j <= 0 alone
 * (ex2.approx). What is padding is 0.
 *
 * The warps beside are feeders: while the others go through run i they stage run i + 2 (by copies
 * where C, B and x lie in memory as bf16) and make M of run i + 1. One barrier a run does: C, B, x
 * and the decays have three places, M two. Where these do not fit, all warps do everything.
 *
 * How many heads and columns a block has is chosen by how many segments there are, so that blocks
 * fill the GPU; each number of y and h is made by the same sums in every such mode. A segment is
 * not cut along its tokens: parts that begin with a state of 0 and are put together afterwards take
 * 256 products more a run and head, a third of all, and add up in another order, so that bits would
 * depend on where calls cut a text. Few segments are cut by columns, which makes S again: 160 of a
 * block's 456 products where it has 32.
 *
 * Predicted, N=128, P=64, two heads a block: 672 products of 16 x 8 x 16 a run and head, 0.32 ms
 * for 65536 tokens of 64 heads at 62 % of an H200's dense rate; 120 KB of shared memory read, 0.27
 * ms at 128 bytes a cycle; 24 KB from the second-level cache, 0.29 ms at 5.5 TB/s; x and y of bf16
 * once, 0.26 ms at 4.2 TB/s; 2600 exponentials and 8 instructions for each, 0.1 ms. They overlap:
 * 2400 cycles for a run of two heads, 0.36 to 0.5 ms where blocks fill the GPU. One segment of 64
 * heads has 128 blocks of 32 columns, each 1200 cycles a run: 0.72 ms. PtxRows of f32 in memory
 * cost 0.26 ms more, and feeders wait for them three times a run: 2.6 us. */
#include "codegen/ptx/ssd.h"

/* TILE: rows and summed columns of a product; its columns are half. MOST_STATE: f32 of the state in
 * a thread's registers. */
enum { TILE = PTX_SSD_TILE, HALF = 8, QUAD = 4, MOST_STATE = 128, MOST_ROWS = 2 };
enum { RUN_TILES = PTX_SSD_RUN / TILE };
/* WARPS: of a block with feeders, of which at least FEEDERS are. FILL: blocks that fill a GPU; of
 * the model a few, so that tests take every mode. */
enum { WARPS = 8, FEEDERS = 2, FILL = 128, FILL_MODEL = 6 };

/* Modes, the one with the fewest blocks first: heads of a block, if groups have so many; tiles of p
 * of a warp, at most; columns of a head, at most. */
typedef struct {
    int heads, rows;
    int64_t columns;
} Mode;
static const Mode modes[] = {
    {2, 2, 64},
    {1, 1, 64},
    {1, 1, 32},
};

typedef struct {
    PtxSsd s;
    int heads;       /* of the block */
    int64_t columns; /* of a head, in the block; parts: blocks of a head */
    int64_t parts;
    int rows;                    /* tiles of p that a warp has */
    int warps;                   /* of a head */
    bool feeds;                  /* the other warps are feeders; else each is one, too */
    int feeders;                 /* warps */
    Val feeder;                  /* this warp's number among them */
    int64_t n;                   /* N, up to whole tiles */
    Val shared;                  /* places of runs, of decays, of M */
    PtxRows C, B;                /* [Q,N] */
    PtxRows x, M;                /* [Q,P], [Q,Q] of this thread's head */
    Val x_all, m_all, decay_all; /* of the block's heads */
    PtxDecay decay;
    PtxRun run;
    Val first, number; /* head of the block; this warp's, of those of the block */
    Val begin;         /* column of the head where the block's begin */
    Val p0;            /* of those, where this warp's begin */
    PtxLane lane;
    Val h[MOST_ROWS][MOST_STATE / 4][QUAD]; /* variables: [tile of p][8 states] */
} Pairs;

/* ---- sizes ------------------------------------------------------------------------------------
 */

/* Rows an odd number of units apart, so that eight of them lie in different banks. */
static int64_t
odd_stride(int64_t columns)
{
    return (columns / PTX_SSD_UNIT | 1) * PTX_SSD_UNIT;
}

static int64_t
bytes_of_run(int64_t stride)
{
    return PTX_SSD_RUN * stride * (int64_t)sizeof(uint16_t);
}

static int64_t
stage_bytes(const Pairs *v)
{
    return 2 * bytes_of_run(v->C.stride) + v->heads * bytes_of_run(v->x.stride);
}

static int64_t
decay_bytes(const Pairs *v)
{
    return v->heads * ptx_ssd_decay_bytes(&v->s);
}

static int64_t
m_bytes(const Pairs *v)
{
    return v->heads * bytes_of_run(v->M.stride);
}

/* Places of runs and decays, and of M. */
static int
places(const Pairs *v)
{
    return v->feeds ? 3 : 1;
}

static int
m_places(const Pairs *v)
{
    return v->feeds ? 2 : 1;
}

static int64_t
all_bytes(const Pairs *v)
{
    return places(v) * (stage_bytes(v) + decay_bytes(v)) + m_places(v) * m_bytes(v);
}

static int
state_warps(const Pairs *v)
{
    return v->heads * v->warps;
}

static int
all_warps(const Pairs *v)
{
    return v->feeds ? WARPS : state_warps(v);
}

/* Columns in equal parts of whole tiles. */
static void
divide_columns(Pairs *v, int64_t most)
{
    const int64_t p = round_up(v->s.head_dim, TILE);
    v->parts = (p + most - 1) / most;
    v->columns = round_up((p + v->parts - 1) / v->parts, TILE);
    v->parts = (p + v->columns - 1) / v->columns;
    v->x.stride = odd_stride(v->columns);
}

/* False: there are not registers or shared memory for it. */
static bool
choose_sizes(const Cg *c, Pairs *v, const Mode *mode, bool feeds)
{
    const PtxSsd *s = &v->s;
    v->feeds = feeds;
    v->n = round_up(s->states, TILE);
    v->heads = s->heads / s->groups % mode->heads == 0 ? mode->heads : 1;
    divide_columns(v, mode->columns);
    const int64_t tiles = v->columns / TILE;
    v->rows = tiles % mode->rows == 0 && mode->rows * v->n / 2 <= MOST_STATE ? mode->rows : 1;
    v->warps = (int)(tiles / v->rows);
    if (state_warps(v) > WARPS - FEEDERS)
        v->heads = 1;
    v->feeders = feeds ? WARPS - state_warps(v) : state_warps(v);
    v->C.stride = v->B.stride = odd_stride(v->n);
    v->M.stride = odd_stride(PTX_SSD_RUN);
    return v->rows * v->n / 2 <= MOST_STATE && all_bytes(v) <= c->machine->gpu.shared_bytes;
}

static int64_t
blocks_of_segment(const Pairs *v)
{
    return v->s.heads / v->heads * v->parts;
}

/* What the block and this warp have. */
static void
place_warp(Cg *c, Pairs *v)
{
    const Val warp = ptx_warp(c), own = cg_i64(c, state_warps(v)), block = ptx_block(c, 0);
    const Val parts = cg_i64(c, v->parts), line = cg_div(c, block, parts);
    v->first = cg_mul(c, line, cg_i64(c, v->heads));
    v->begin = cg_mul(c, cg_sub(c, block, cg_mul(c, line, parts)), cg_i64(c, v->columns));
    v->number = cg_div(c, warp, cg_i64(c, v->warps));
    const Val before = cg_mul(c, v->number, cg_i64(c, v->warps));
    v->p0 = cg_mul(c, cg_sub(c, warp, before), cg_i64(c, (int64_t)v->rows * TILE));
    v->feeder = v->feeds ? cg_sub(c, warp, own) : warp;
    if (v->feeds) { /* the first feeders make the heads' decays */
        const Val near = cg_min(c, v->feeder, cg_i64(c, v->heads - 1));
        v->number = LLVMBuildSelect(c->b, cg_less(c, warp, own), v->number, near, "");
    }
    ptx_ssd_open(c, &v->s, ptx_block(c, 1), cg_add(c, v->first, v->number));
}

static Val
nth(Cg *c, Val base, Val number, int64_t bytes)
{
    return cg_offset(c, base, cg_mul(c, number, cg_i64(c, bytes)));
}

/* Run `number` is what v is about from here on; its place and that of M. */
static void
enter_run(Cg *c, Pairs *v, Val number)
{
    const Val place = LLVMBuildURem(c->b, number, cg_i64(c, places(v)), "");
    const Val turn = LLVMBuildURem(c->b, number, cg_i64(c, m_places(v)), "");
    const Val decays = cg_offset(c, v->shared, cg_i64(c, places(v) * stage_bytes(v)));
    const Val ms = cg_offset(c, decays, cg_i64(c, places(v) * decay_bytes(v)));
    v->run = ptx_ssd_run(c, &v->s, number);
    v->C.at = nth(c, v->shared, place, stage_bytes(v));
    v->B.at = cg_offset(c, v->C.at, cg_i64(c, bytes_of_run(v->C.stride)));
    v->x_all = cg_offset(c, v->B.at, cg_i64(c, bytes_of_run(v->C.stride)));
    v->decay_all = nth(c, decays, place, decay_bytes(v));
    v->m_all = nth(c, ms, turn, m_bytes(v));
    v->x.at = nth(c, v->x_all, v->number, bytes_of_run(v->x.stride));
    v->M.at = nth(c, v->m_all, v->number, bytes_of_run(v->M.stride));
    const Val decay = nth(c, v->decay_all, v->number, ptx_ssd_decay_bytes(&v->s));
    v->decay = ptx_ssd_decay_at(c, &v->s, decay);
}

/* ---- operands to shared memory -----------------------------------------------------------------
 */

static void
stage(Cg *c, const Pairs *v, PtxStage t, const PtxRows *to)
{
    t.thread = cg_add(c, cg_mul(c, v->feeder, cg_i64(c, GPU_WARP)), ptx_lane(c));
    t.threads = (int64_t)v->feeders * GPU_WARP;
    t.run = v->run;
    t.to = *to;
    ptx_ssd_stage(c, &t);
}

static void
stage_run(Cg *c, const Pairs *v)
{
    const PtxSsd *s = &v->s;
    stage(c, v, ptx_ssd_stage_group(c, s, s->C), &v->C);
    stage(c, v, ptx_ssd_stage_group(c, s, s->B), &v->B);
    for (int i = 0; i < v->heads; i++) {
        const Val number = cg_i64(c, i), head = cg_add(c, v->first, number);
        const PtxRows to = {nth(c, v->x_all, number, bytes_of_run(v->x.stride)), v->x.stride};
        stage(c, v, ptx_ssd_stage_x(c, s, head, v->begin, v->columns), &to);
    }
    ptx_copy_commit(c);
}

/* ---- tiles ------------------------------------------------------------------------------------
 */

/* ---- M ----------------------------------------------------------------------------------------
 */

/* Half of a block of M of one head: S's rows line and line + 8 from i on, columns from j on. */
static void
store_m(Cg *c, const Pairs *v, int head, Val i, Val j, Val *s)
{
    const PtxDecay d = ptx_ssd_decay_at(
        c, &v->s, cg_offset(c, v->decay_all, cg_i64(c, head * ptx_ssd_decay_bytes(&v->s))));
    const PtxRows m = {cg_offset(c, v->m_all, cg_i64(c, head * bytes_of_run(v->M.stride))),
                       v->M.stride};
    const Val col = cg_add(c, j, v->lane.place);
    Val sums[2], dt[2];
    ptx_ssd_two_of(c, d.high, col, sums);
    ptx_ssd_two_of(c, d.dt, col, dt);
    for (int half = 0; half < 2; half++) {
        const Val row = cg_add(c, i, cg_add(c, v->lane.line, cg_i64(c, half * HALF)));
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

/* 16 x 16 sums of S, tokens from i and from j on. Every other step of n is summed by itself, so
 * that four sums do not wait for each other. */
static void
block_of_s(Cg *c, const Pairs *v, Val i, Val j, Val sum[2][QUAD])
{
    const Val zero = cg_i64(c, 0);
    Val odd[2][QUAD];
    ptx_open_sums(c, sum[0], 2 * QUAD);
    ptx_open_sums(c, odd[0], 2 * QUAD);
    for (int64_t n = 0; n < v->n; n += TILE) {
        Val left[4], right[4];
        ptx_load_tile(c, &v->lane, &v->C, i, zero, 0, n, PTX_DOWN, false, left);
        ptx_load_tile(c, &v->lane, &v->B, j, zero, 0, n, PTX_ACROSS, false, right);
        for (int half = 0; half < 2; half++)
            ptx_add_product(c, n / TILE % 2 ? odd[half] : sum[half], left, right + 2 * half);
    }
    for (int e = 0; e < 2 * QUAD; e++) {
        const Val to = sum[e / QUAD][e % QUAD], more = odd[e / QUAD][e % QUAD];
        cg_set(c, to, cg_fadd(c, cg_get(c, c->f32, to), cg_get(c, c->f32, more)));
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
    CgLoop b = cg_loop(c, "block", v->feeder, all, v->feeders);
    Val r = cg_i64(c, 0), before = r, s[2][QUAD];
    for (int i = 1; i < RUN_TILES; i++) {
        const Val begins = cg_i64(c, i * (i + 1) / 2), past = cg_less(c, b.i, begins);
        r = LLVMBuildSelect(c->b, past, r, cg_i64(c, i), "");
        before = LLVMBuildSelect(c->b, past, before, begins, "");
    }
    const Val i = cg_mul(c, r, tile), j = cg_mul(c, cg_sub(c, b.i, before), tile);
    block_of_s(c, v, i, j, s);
    for (int head = 0; head < v->heads; head++)
        for (int half = 0; half < 2; half++)
            store_m(c, v, head, i, cg_add(c, j, cg_i64(c, half * HALF)), s[half]);
    cg_loop_end(c, &b);
}

/* Column of the head that this thread has in its row `down` of the warp's sums. */
static Val
column_of(Cg *c, const Pairs *v, int64_t down)
{
    return cg_add(c, cg_add(c, v->begin, v->p0), cg_add(c, v->lane.line, cg_i64(c, down)));
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
            ptx_load_tile(c, &v->lane, &v->C, zero, zero, t * TILE, n, PTX_ACROSS, false, right);
            for (int r = 0; r < v->rows; r++)
                for (int half = 0; half < 2; half++)
                    ptx_add_product(c, y->sum[r][2 * t + half], left[r], right + 2 * half);
        }
    }
    for (int b = 0; b < 2 * RUN_TILES; b++) {
        Val enter[2];
        ptx_ssd_two_of(c, v->decay.enter, cg_add(c, cg_i64(c, b * HALF), v->lane.place), enter);
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
    ptx_load_tile(c, &v->lane, &v->x, cg_i64(c, 0), v->p0, token, r * TILE, PTX_ACROSS, true, out);
}

/* D x^T: a left operand has its numbers where sums have theirs. */
static void
add_skip(Cg *c, const Pairs *v, Outputs *y, int r, int tile, const Val x[4])
{
    for (int e = 0; e < 4; e++) {
        Val *sum = y->sum[r][2 * tile + e / 2] + e % 2 * 2;
        cg_set(c, sum[0], cg_fma(c, v->s.skip, ptx_low(c, x[e]), cg_get(c, c->f32, sum[0])));
        cg_set(c, sum[1], cg_fma(c, v->s.skip, ptx_high(c, x[e]), cg_get(c, c->f32, sum[1])));
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
            ptx_load_tile(c, &v->lane, &v->M, zero, zero, i, j, PTX_ACROSS, false, right);
            for (int r = 0; r < v->rows; r++) {
                for (int half = 0; half < 2; half++)
                    ptx_add_product(c, y->sum[r][2 * t + half], left[r], right + 2 * half);
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
    const bool pads = v->columns * v->parts != s->head_dim;
    const Val column = pads ? cg_less(c, p, cg_i64(c, s->head_dim)) : NULL;
    const Val token = cg_add(c, v->lane.place, cg_i64(c, over));
    const Val last = cg_sub(c, v->run.count, cg_i64(c, over)); /* of the run, from there */
    const Val row = guarded ? cg_less(c, v->lane.place, last) : NULL;
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
                const Val p = column_of(c, v, down);
                store_one(c, v, over, p, cg_get(c, c->f32, y->sum[r][b][e]), guarded);
            }
}

static void
make_y(Cg *c, const Pairs *v)
{
    Outputs y;
    for (int r = 0; r < v->rows; r++)
        ptx_open_sums(c, y.sum[r][0], 2 * RUN_TILES * QUAD);
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
                visit(c, v, v->h[r][b][e], cg_add(c, v->lane.place, cg_i64(c, over)),
                      column_of(c, v, down));
            }
}

/* i1: there is such a number. NULL: always. */
static Val
in_state(Cg *c, const Pairs *v, Val n, Val p)
{
    const PtxSsd *s = &v->s;
    const Val row = s->states == v->n ? NULL : cg_less(c, n, cg_i64(c, s->states));
    const bool whole = v->columns * v->parts == s->head_dim;
    const Val col = whole ? NULL : cg_less(c, p, cg_i64(c, s->head_dim));
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
        ptx_ssd_two_of(c, v->decay.weight, cg_add(c, cg_i64(c, token + half * HALF), v->lane.place),
                       weight[half]);
    for (int e = 0; e < 4; e++)
        out[e] = ptx_pair(c, cg_fmul(c, ptx_low(c, x[e]), weight[e / 2][0]),
                          cg_fmul(c, ptx_high(c, x[e]), weight[e / 2][1]));
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
            ptx_load_tile(c, &v->lane, &v->B, zero, zero, j, n, PTX_DOWN, true, right);
            for (int r = 0; r < v->rows; r++)
                for (int half = 0; half < 2; half++)
                    ptx_add_product(c, (Val *)v->h[r][n / HALF + half], left[r], right + 2 * half);
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
    if (v->feeds)
        return cg_less(c, v->feeder, cg_i64(c, v->heads));
    return LLVMBuildICmp(c->b, LLVMIntEQ, v->p0, cg_i64(c, 0), "");
}

/* dt: variables, of the run that is staged next. */
typedef struct {
    Val runs;
    Val dt[PTX_SSD_LANE_TOKENS];
} Feed;

static void
fetch_dt(Cg *c, const Pairs *v, const Feed *f, Val number)
{
    const Val last = cg_sub(c, f->runs, cg_i64(c, 1));
    const PtxRun run = ptx_ssd_run(c, &v->s, cg_min(c, number, last));
    Val now[PTX_SSD_LANE_TOKENS];
    ptx_ssd_load_dt(c, &v->s, &run, now);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        cg_set(c, f->dt[i], now[i]);
}

static Feed
open_feed(Cg *c, const Pairs *v)
{
    Feed f = {.runs = ptx_ssd_runs(c, &v->s)};
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        f.dt[i] = cg_var(c, c->f32, NULL, "dt");
    fetch_dt(c, v, &f, cg_i64(c, 0));
    return f;
}

/* Stages a run, and makes its decays. */
static void
feed_run(Cg *c, const Pairs *v, const Feed *f, Val number)
{
    Pairs u = *v;
    enter_run(c, &u, number);
    stage_run(c, &u);
    CgIf mine = cg_if(c, makes_decay(c, v));
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        dt[i] = cg_get(c, c->f32, f->dt[i]);
    ptx_ssd_make_decay(c, &u.s, &u.run, &u.decay, dt);
    fetch_dt(c, v, f, cg_add(c, number, cg_i64(c, 1)));
    cg_endif(c, &mine);
}

static void
open_state(Cg *c, Pairs *v)
{
    for (int r = 0; r < v->rows; r++)
        for (int64_t i = 0; i < v->n / HALF * QUAD; i++)
            v->h[r][i / QUAD][i % QUAD] = cg_var(c, c->f32, NULL, "h");
    visit_state(c, v, load_one);
}

/* Each warp does everything. */
static void
run_alike(Cg *c, Pairs *v)
{
    open_state(c, v);
    const Feed f = open_feed(c, v);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), f.runs, 1);
    ptx_barrier(c); /* all have done with the run before */
    feed_run(c, v, &f, run.i);
    enter_run(c, v, run.i);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    make_m(c, v);
    ptx_barrier(c);
    make_y(c, v);
    update_state(c, v);
    cg_loop_end(c, &run);
    visit_state(c, v, store_one_state);
}

/* The feeders' part: as many barriers as in run_fed. */
static void
feed_all(Cg *c, const Pairs *v)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1), two = cg_i64(c, 2);
    const Feed f = open_feed(c, v);
    Pairs u = *v;
    feed_run(c, v, &f, zero);
    CgIf more = cg_if(c, cg_less(c, one, f.runs));
    feed_run(c, v, &f, one);
    cg_endif(c, &more);
    ptx_copy_wait(c, 0);
    ptx_barrier(c);
    enter_run(c, &u, zero);
    make_m(c, &u);
    CgLoop run = cg_loop(c, "feed", zero, f.runs, 1);
    ptx_barrier(c);
    CgIf far = cg_if(c, cg_less(c, cg_add(c, run.i, two), f.runs));
    feed_run(c, v, &f, cg_add(c, run.i, two));
    cg_endif(c, &far);
    CgIf next = cg_if(c, cg_less(c, cg_add(c, run.i, one), f.runs));
    enter_run(c, &u, cg_add(c, run.i, one));
    make_m(c, &u);
    cg_endif(c, &next);
    ptx_copy_wait(c, 0);
    cg_loop_end(c, &run);
}

static void
run_fed(Cg *c, Pairs *v)
{
    open_state(c, v);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), ptx_ssd_runs(c, &v->s), 1);
    ptx_barrier(c); /* M of this run is made, the next is staged */
    enter_run(c, v, run.i);
    make_y(c, v);
    update_state(c, v);
    cg_loop_end(c, &run);
    visit_state(c, v, store_one_state);
}

/* One mode, by the blocks that it has. */
static void
run_mode(Cg *c, Pairs *v)
{
    CgIf has = cg_if(c, cg_less(c, ptx_block(c, 0), cg_i64(c, blocks_of_segment(v))));
    v->lane = ptx_lane_places(c);
    place_warp(c, v);
    if (v->feeds) {
        CgIf role = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, state_warps(v))));
        run_fed(c, v);
        cg_else(c, &role);
        feed_all(c, v);
        cg_endif(c, &role);
    } else {
        run_alike(c, v);
    }
    cg_endif(c, &has);
}

enum { MODES = COUNT_OF(modes) };

/* The modes that can be, each with more blocks than the one before; how many. */
static int
choose_modes(Cg *c, const PtxSsd *s, Pairs *v)
{
    int count = 0;
    for (int i = 0; i < MODES; i++) {
        v[count] = (Pairs){.s = *s};
        v[count].s.run = PTX_SSD_RUN;
        const bool fits = choose_sizes(c, &v[count], &modes[i], true);
        if (fits && (!count || blocks_of_segment(&v[count]) > blocks_of_segment(&v[count - 1])))
            count++;
    }
    if (count)
        return count;
    v[0] = (Pairs){.s = *s};
    v[0].s.run = PTX_SSD_RUN;
    return choose_sizes(c, &v[0], &modes[0], false) ? 1 : 0;
}

/* The first mode whose blocks fill the GPU, or else the last. */
static void
run_one_of(Cg *c, Pairs *v, int count)
{
    if (count == 1) {
        run_mode(c, v);
        return;
    }
    const Val segments = cg_call_field(c, v->s.k, CALL_nseg);
    const Val blocks = cg_mul(c, segments, cg_i64(c, blocks_of_segment(v)));
    const int64_t fill = c->machine->gpu.model ? FILL_MODEL : FILL;
    CgIf few = cg_if(c, cg_less(c, blocks, cg_i64(c, fill)));
    run_one_of(c, v + 1, count - 1);
    cg_else(c, &few);
    run_mode(c, v);
    cg_endif(c, &few);
}

bool
ptx_ssd_bf16(Cg *c, PtxSsd *s)
{
    Pairs *v = arena_array(c->arena, MODES, sizeof *v);
    const int count = s->coarse ? choose_modes(c, s, v) : 0;
    if (!count)
        return false;
    int64_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes = all_bytes(&v[i]) > bytes ? all_bytes(&v[i]) : bytes;
    ptx_threads(s->k, (int64_t)all_warps(v) * GPU_WARP);
    ptx_grid(s->k, 0, ABI_ONE, blocks_of_segment(&v[count - 1]), 1, 1);
    ptx_grid(s->k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val shared = ptx_shared(c, s->k, bytes);
    for (int i = 0; i < count; i++)
        v[i].shared = shared;
    run_one_of(c, v, count);
    return true;
}
