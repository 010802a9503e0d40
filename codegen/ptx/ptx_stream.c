/* codegen/ptx/ptx_stream.c -- projections of few rows: weights are read once, 16 bytes a lane
 * straight into registers, and used for up to 32 rows; where a kernel has a product of more rows,
 * that takes passes that have more (tile_ranges.c).
 *
 * bf16: a warp makes 16 outputs (or 32) of the rows in groups of 8 by mma, weights in the place of
 * the 16 rows of a, token rows in the place of the 8 columns of b. A product sums over 16 inputs
 * whatever their order: lane 4 g + t has inputs 8t .. 8t+7 of 32 of weight rows g and g + 8, and of
 * token row g, which are two products' worth. Warps divide the inputs; their sums are added in
 * their order. Other types: a lane multiplies every 32nd four inputs of a weight row by those of
 * eight rows; lanes are added up by halves, and warps divide the outputs.
 *
 * Whatever the number of rows, the sums of each are made in the same order.
 *
 * Weights are there before the kernels before are done: a warp asks for those of its first steps,
 * and for lines of the next ones in the second-level cache, and then waits. */
#include "codegen/ptx/linear.h"

enum {
    ROWS = 8,
    STEP = PTX_STREAM_STEP,
    GAP = 4,
    MOST_GROUPS = 4,
    MOST_TILES = 2,
    MOST_LOADS = 8,
    MOST_TOGETHER = 3
};
/* Bytes of weights that all blocks together ask for ahead: few, as what the kernels before still
 * read waits behind them (bench/NOTES.md, "A GPU: decode of many sequences"). */
enum { MOST_AHEAD = 4 << 20 };

typedef struct {
    PtxLinear *p;
    const Product *t;
    Val thread, lane, warp;
    Val col, row, rows; /* the first output and row of the block; how many rows it has */
    Val x, weight;      /* where row 0 of each begins for this block */
    int64_t x_stride;
    int64_t line; /* of the sums in shared memory: elements from row to row */
    int sets;     /* of sums that are added */
    Val sums;     /* shared f32 [sets][rows][line] */
    Val squares;  /* shared f32 [sets][rows]: of x, where rows are normed */
    bool beside;  /* the 16 inputs of a product lie side by side, as WIDE has them */
    Val x_row;    /* of experts: the one row of x; NULL: rows follow one another */
} Stream;

/* ---- sums to results ---------------------------------------------------------------------------
 */

static Val
sum_at(Cg *c, const Stream *s, Val set, Val row, Val col)
{
    const Val line = cg_add(c, cg_mul(c, set, cg_i64(c, s->t->rows)), row);
    return cg_element(c, s->sums, DTYPE_f32, line, s->line, col);
}

static Val
square_at(Cg *c, const Stream *s, Val set, Val row)
{
    return cg_element(c, s->squares, DTYPE_f32, set, s->t->rows, row);
}

/* What sets have of a row is added in their order. */
static Val
row_factor(Cg *c, const Stream *s, Val row)
{
    Val sum = cg_vload(c, square_at(c, s, cg_i64(c, 0), row), DTYPE_f32, 1, NULL);
    for (int i = 1; i < s->sets; i++)
        sum = cg_fadd(c, sum, cg_vload(c, square_at(c, s, cg_i64(c, i), row), DTYPE_f32, 1, NULL));
    return ptx_row_factor(c, s->p, sum);
}

/* Where result number i of a block is, in its tile. */
static void
place_of(Cg *c, const Stream *s, Val i, Val *row, Val *col)
{
    const Val columns = cg_i64(c, s->t->columns);
    *row = cg_div(c, i, columns);
    *col = cg_sub(c, i, cg_mul(c, *row, columns));
}

static void
result(Cg *c, const Stream *s, Val number)
{
    const Val out = cg_i64(c, s->p->l.out);
    Val row, col;
    place_of(c, s, number, &row, &col);
    CgIf inside = cg_if(c, cg_less(c, cg_add(c, s->col, col), out));
    Val sum = cg_vload(c, sum_at(c, s, cg_i64(c, 0), row, col), DTYPE_f32, 1, NULL);
    for (int i = 1; i < s->sets; i++)
        sum =
            cg_fadd(c, sum, cg_vload(c, sum_at(c, s, cg_i64(c, i), row, col), DTYPE_f32, 1, NULL));
    if (s->p->normed)
        sum = cg_fmul(c, sum, row_factor(c, s, row));
    ptx_linear_store(c, s->p, cg_add(c, s->row, row), cg_add(c, s->col, col), sum);
    cg_endif(c, &inside);
}

static Val
results_of(Cg *c, const Stream *s)
{
    return cg_mul(c, s->rows, cg_i64(c, s->t->columns));
}

/* ---- ahead of the results ----------------------------------------------------------------------
 * What a thread's results need beside their sums would else be a trip to memory, or two, behind
 * each. That of the first is read before the sums are made; for a few rows there is no other. */

/* Number `number` of this thread's. */
static Val
result_number(Cg *c, const Stream *s, int number)
{
    return cg_add(c, s->thread, cg_i64(c, (int64_t)number * s->t->threads));
}

/* Where it is; i1: it exists. */
static Val
own_result(Cg *c, const Stream *s, int number, Val *row, Val *col)
{
    const Val i = result_number(c, s, number);
    place_of(c, s, i, row, col);
    *row = cg_add(c, s->row, *row);
    *col = cg_add(c, s->col, *col);
    return LLVMBuildAnd(c->b, cg_less(c, i, results_of(c, s)),
                        cg_less(c, *col, cg_i64(c, s->p->l.out)), "");
}

/* What no kernel of a pass makes; before the wait. */
static void
read_conv_ahead(Cg *c, const Stream *s, int number, PtxAhead *ahead)
{
    Val row, col;
    const Val there = own_result(c, s, number, &row, &col);
    ahead->conv = ptx_conv_ahead(c, s->p->k, s->p->conv, row, col, there);
}

/* What others make of the same row and column, such as a residual. */
static void
read_values_ahead(Cg *c, const Stream *s, int number, PtxAhead *ahead)
{
    const CgKernel *k = s->p->k;
    Val row, col;
    const Val there = own_result(c, s, number, &row, &col);
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        const bool floats = o->dtype == DTYPE_f32 || o->dtype == DTYPE_bf16;
        if (o->is_output || !o->value || o->value->kind != VALUE_RESULT || o == s->p->x ||
            o->value->is_param || !floats || !cg_in_domain(k, o->value) ||
            ahead->count == PTX_MOST_AHEAD)
            continue;
        const Val known = cg_var(c, c->f32, cg_f32(c, 0), "ahead");
        CgIf mine = cg_if(c, there);
        const Val at = cg_element(c, o->base, o->dtype, row, o->stride, col);
        cg_set(c, known, cg_vload(c, at, o->dtype, 1, NULL));
        cg_endif(c, &mine);
        ahead->value[ahead->count] = o->value;
        ahead->number[ahead->count++] = known;
    }
}

/* Where a convolution is made of the results, those after the first are read for together, behind
 * the sums, whose registers are free then: as many as there are for 16 rows of 32 columns. */
static int
read_together(const Stream *s)
{
    const int others = s->t->rows * s->t->columns / s->t->threads - 1;
    return !s->p->conv ? 0 : others < MOST_TOGETHER ? others : MOST_TOGETHER;
}

/* The results of this thread from number `first` on. */
static void
other_results(Cg *c, const Stream *s, int first)
{
    CgLoop loop = cg_loop(c, "result", result_number(c, s, first), results_of(c, s), s->t->threads);
    result(c, s, loop.i);
    cg_loop_end(c, &loop);
}

static void
result_with(Cg *c, const Stream *s, int number, const PtxAhead *ahead)
{
    const Val i = result_number(c, s, number);
    CgIf any = cg_if(c, cg_less(c, i, results_of(c, s)));
    s->p->ahead = ahead;
    s->p->ahead_conv = true;
    result(c, s, i);
    s->p->ahead = NULL;
    cg_endif(c, &any);
}

/* A thread's first result is stored with what was read ahead. */
static void
results(Cg *c, const Stream *s, const PtxAhead *ahead)
{
    const int together = read_together(s);
    ptx_barrier(c);
    if (!together) {
        result_with(c, s, 0, ahead);
        other_results(c, s, 1);
        return;
    }
    CgIf more = cg_if(c, cg_less(c, cg_i64(c, s->t->threads), results_of(c, s)));
    PtxAhead of[1 + MOST_TOGETHER] = {*ahead};
    for (int i = 1; i <= together; i++) {
        read_conv_ahead(c, s, i, &of[i]);
        read_values_ahead(c, s, i, &of[i]);
    }
    for (int i = 0; i <= together; i++)
        result_with(c, s, i, &of[i]);
    other_results(c, s, 1 + together);
    cg_else(c, &more);
    result_with(c, s, 0, ahead);
    cg_endif(c, &more);
}

/* ---- bf16 ---------------------------------------------------------------------------------------
 */

typedef struct {
    Stream *s;
    int groups, tiles;
    int first;            /* steps whose weights are asked for before the wait */
    int loads;            /* of the others: whose weights are on their way at once */
    int64_t steps, share; /* of 32 inputs: all; of a warp */
    Val g, t;             /* of the lane */
    /* This lane's rows, at its inputs of the warp's first step: of W addresses, of x elements from
     * its first, i32. */
    Val w[MOST_TILES][2], x[MOST_GROUPS];
    Val early[MOST_LOADS][MOST_TILES][2][4]; /* weights of the first steps */
    Val acc[MOST_GROUPS][MOST_TILES][4];     /* variables */
    Val squares[MOST_GROUPS];                /* variables: of this lane's inputs of its rows */
} Mma;

/* Eight bf16 from `at` on, elements one by one; i1 there[e]. */
static void
gather8(Cg *c, Val at, Val base, Val col, int64_t depth, Val there, Val out[4])
{
    for (int i = 0; i < 4; i++) {
        Val pair = LLVMConstNull(LLVMVectorType(c->i16, 2));
        for (int e = 0; e < 2; e++) {
            const Val more = cg_i64(c, 2 * i + e);
            const Val known =
                LLVMBuildAnd(c->b, there, cg_less(c, cg_add(c, col, more), cg_i64(c, depth)), "");
            const Val from = LLVMBuildSelect(c->b, known, cg_at(c, at, DTYPE_bf16, more), base, "");
            const Val bits = LLVMBuildLoad2(c->b, c->i16, from, "");
            LLVMSetAlignment(bits, 1 + c->aligned);
            const Val one = LLVMBuildSelect(c->b, known, bits, LLVMConstNull(c->i16), "");
            pair = LLVMBuildInsertElement(c->b, pair, one, cg_i64(c, e), "");
        }
        out[i] = LLVMBuildBitCast(c->b, pair, c->i32, "");
    }
}

/* This lane's 8 inputs of step `step` of the warp in the row that begins at `row`. inside: the warp
 * has that step if all warps have equally many. */
static void
load8(Cg *c, const Mma *m, const CgOperand *o, bool inside, Val row, Val step, Val out[4])
{
    const PtxLinear *p = m->s->p;
    const int64_t depth = p->l.depth;
    const bool once = o == p->w, whole = once ? p->w_whole : p->x_whole;
    const bool sure = depth % STEP == 0 && m->steps % m->s->sets == 0 && inside;
    const Val ahead = cg_mul(c, step, cg_i64(c, STEP));
    const Val first = cg_mul(c, m->s->warp, cg_i64(c, m->share * STEP));
    const Val col = cg_add(c, cg_add(c, first, ahead), cg_mul(c, m->t, cg_i64(c, 8)));
    const Val there = LLVMBuildAnd(c->b, cg_less(c, col, cg_i64(c, depth)),
                                   cg_less(c, step, cg_i64(c, m->share)), "");
    const Val at = cg_at(c, row, DTYPE_bf16, ahead);
    if (!whole) {
        gather8(c, at, o->base, col, depth, there, out);
        return;
    }
    ptx_load16(c, sure ? at : LLVMBuildSelect(c->b, there, at, o->base, ""), once, out);
    for (int i = 0; i < 4 && !sure; i++)
        out[i] = LLVMBuildSelect(c->b, there, out[i], LLVMConstNull(c->i32), "");
}

/* The first input of this lane in a row. */
static Val
first_input(Cg *c, const Mma *m)
{
    return cg_add(c, cg_mul(c, m->s->warp, cg_i64(c, m->share * STEP)),
                  cg_mul(c, m->t, cg_i64(c, 8)));
}

static void
weight_rows(Cg *c, Mma *m)
{
    const Stream *s = m->s;
    const Val out = cg_i64(c, s->p->l.out - 1), in_row = first_input(c, m);
    for (int i = 0; i < m->tiles; i++)
        for (int half = 0; half < 2; half++) {
            const Val row = cg_add(c, cg_add(c, s->col, m->g), cg_i64(c, 16 * i + 8 * half));
            m->w[i][half] =
                cg_element(c, s->weight, DTYPE_bf16, cg_min(c, row, out), s->p->l.depth, in_row);
        }
}

static void
token_rows(Cg *c, Mma *m)
{
    const Stream *s = m->s;
    const Val one = cg_i64(c, 1), in_row = first_input(c, m);
    for (int r = 0; r < m->groups; r++) { /* rows that are not there: the last, of no matter */
        const Val row =
            cg_min(c, cg_add(c, m->g, cg_i64(c, (int64_t)ROWS * r)), cg_sub(c, s->rows, one));
        const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, s->x_stride)), in_row);
        m->x[r] = LLVMBuildTrunc(c->b, at, c->i32, "");
    }
}

static Val
mma_x(Cg *c, const Mma *m, int group)
{
    return cg_at(c, m->s->x, DTYPE_bf16, LLVMBuildZExt(c->b, m->x[group], c->i64, ""));
}

static void
weights_of(Cg *c, const Mma *m, Val step, bool inside, Val w[MOST_TILES][2][4])
{
    for (int i = 0; i < m->tiles; i++)
        for (int half = 0; half < 2; half++)
            load8(c, m, m->s->p->w, inside, m->w[i][half], step, w[i][half]);
}

/* What a lane has of two products, four inputs each, of the 8 that it has read: those, or, where a
 * product's 16 inputs lie side by side, four of the first 16 and four of the next. Lanes 0 and 1 of
 * a row's four have read the first 16: each keeps four and exchanges the others. */
static void
of_products(Cg *c, const Mma *m, const Val read[4], Val out[4])
{
    enum { OTHER = 2 }; /* lanes on */
    for (int i = 0; i < 4; i++)
        out[i] = read[i];
    if (!m->s->beside)
        return;
    const Val low = cg_less(c, m->t, cg_i64(c, OTHER));
    for (int i = 0; i < 2; i++) {
        const Val sent = LLVMBuildSelect(c->b, low, read[i + 2], read[i], "");
        const Val got = ptx_exchange(c, sent, OTHER);
        out[i] = LLVMBuildSelect(c->b, low, read[i], got, "");
        out[i + 2] = LLVMBuildSelect(c->b, low, got, read[i + 2], "");
    }
}

/* Steps step .. step + loads - 1 of this warp. known: their weights; NULL: they are still to be
 * read. */
static void
mma_steps(Cg *c, Mma *m, Val step, int loads, Val (*known)[MOST_TILES][2][4])
{
    const PtxLinear *p = m->s->p;
    const int early = m->groups <= 2 ? m->groups : 0; /* rows of x that are read with the weights */
    const bool inside = known || (m->share - m->first) % loads == 0;
    Val read[MOST_LOADS][MOST_TILES][2][4], x[MOST_LOADS][MOST_GROUPS][4];
    Val(*w)[MOST_TILES][2][4] = known ? known : read;
    for (int u = 0; u < loads; u++) {
        const Val here = cg_add(c, step, cg_i64(c, u));
        if (!known)
            weights_of(c, m, here, inside, read[u]);
        for (int r = 0; r < early; r++)
            load8(c, m, p->x, inside, mma_x(c, m, r), here, x[u][r]);
    }
    for (int u = 0; u < loads; u++) {
        for (int r = early; r < m->groups; r++)
            load8(c, m, p->x, inside, mma_x(c, m, r), cg_add(c, step, cg_i64(c, u)), x[u][r]);
        for (int r = 0; r < m->groups && p->normed; r++)
            cg_set(c, m->squares[r], ptx_squares(c, cg_get(c, c->f32, m->squares[r]), x[u][r]));
        Val of_w[MOST_TILES][2][4], of_x[MOST_GROUPS][4];
        for (int i = 0; i < m->tiles; i++)
            for (int half = 0; half < 2; half++)
                of_products(c, m, w[u][i][half], of_w[i][half]);
        for (int r = 0; r < m->groups; r++)
            of_products(c, m, x[u][r], of_x[r]);
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < m->tiles; i++) {
                const Val *low = of_w[i][0] + 2 * half, *high = of_w[i][1] + 2 * half;
                const Val a[] = {low[0], high[0], low[1], high[1]};
                for (int r = 0; r < m->groups; r++) {
                    Val acc[4];
                    for (int e = 0; e < 4; e++)
                        acc[e] = cg_get(c, c->f32, m->acc[r][i][e]);
                    ptx_mma_bf16(c, acc, a, of_x[r] + 2 * half);
                    for (int e = 0; e < 4; e++)
                        cg_set(c, m->acc[r][i][e], acc[e]);
                }
            }
    }
}

static void
mma_put(Cg *c, const Mma *m)
{
    const Val two = cg_mul(c, m->t, cg_i64(c, 2));
    for (int r = 0; r < m->groups && m->s->p->normed; r++) /* four lanes write the same */
        cg_vstore(c, square_at(c, m->s, m->s->warp, cg_add(c, m->g, cg_i64(c, ROWS * r))),
                  DTYPE_f32, ptx_squares_fold(c, cg_get(c, c->f32, m->squares[r])), 1, NULL);
    for (int r = 0; r < m->groups; r++)
        for (int i = 0; i < m->tiles; i++)
            for (int e = 0; e < 4; e++) {
                const Val row = cg_add(c, two, cg_i64(c, ROWS * r + e % 2));
                const Val col = cg_add(c, m->g, cg_i64(c, 16 * i + 8 * (e / 2)));
                cg_vstore(c, sum_at(c, m->s, m->s->warp, row, col), DTYPE_f32,
                          cg_get(c, c->f32, m->acc[r][i][e]), 1, NULL);
            }
}

/* Steps at once: few more than there are in all, and no more registers than two groups' worth. */
static int
loads_of(const Stream *s, int64_t share, int groups)
{
    const int most = groups > 2 ? (s->t->depth + 3) / 4 : s->t->depth;
    int best = 1;
    for (int n = 1; n <= most && n <= share; n++)
        if (round_up(share, n) * best <= round_up(share, best) * n || n <= best)
            best = round_up(share, n) - share <= share / 8 ? n : best;
    return best;
}

/* A lane of a row each: the weights of the steps after the first, as far as they are asked for
 * ahead. */
static void
ask_ahead(Cg *c, const Mma *m)
{
    enum { BYTES = STEP * 2 }; /* of a step in a row */
    const Stream *s = m->s;
    const int64_t rows = round_up(s->p->l.out, s->t->columns), left = m->share - m->first;
    const int64_t most = MOST_AHEAD / (rows * s->sets * BYTES), steps = left < most ? left : most;
    const bool even = s->p->l.depth % STEP == 0 && m->steps % s->sets == 0;
    if (steps < 1 || !s->p->w_whole || !even)
        return;
    const Val row = cg_add(c, s->col, s->lane), out = cg_i64(c, s->p->l.out);
    const Val inside = cg_less(c, s->lane, cg_i64(c, s->t->columns));
    CgIf exists = cg_if(c, LLVMBuildAnd(c->b, inside, cg_less(c, row, out), ""));
    const Val col = cg_mul(c, s->warp, cg_i64(c, m->share * STEP));
    const Val at = cg_element(c, s->weight, DTYPE_bf16, row, s->p->l.depth,
                              cg_add(c, col, cg_i64(c, (int64_t)m->first * STEP)));
    ptx_ask(c, at, steps * BYTES);
    cg_endif(c, &exists);
}

/* What needs no x. */
static Mma
mma_begin(Cg *c, Stream *s)
{
    Mma m = {.s = s, .tiles = s->t->columns / 16};
    const Val four = cg_i64(c, 4);
    m.steps = ptx_parts(s->p->l.depth, STEP);
    m.share = s->p->share;
    m.first = loads_of(s, m.share, 1);
    m.g = cg_div(c, s->lane, four);
    m.t = cg_sub(c, s->lane, cg_mul(c, m.g, four));
    weight_rows(c, &m);
    for (int u = 0; u < m.first; u++)
        weights_of(c, &m, cg_i64(c, u), true, m.early[u]);
    ask_ahead(c, &m);
    return m;
}

static void
mma_groups(Cg *c, Mma *m, int groups)
{
    const int64_t left = m->share - m->first;
    m->groups = groups;
    token_rows(c, m);
    for (int r = 0; r < groups; r++)
        m->squares[r] = cg_var(c, c->f32, cg_f32(c, 0), "squares");
    for (int r = 0; r < groups; r++)
        for (int i = 0; i < m->tiles; i++)
            for (int e = 0; e < 4; e++)
                m->acc[r][i][e] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    mma_steps(c, m, cg_i64(c, 0), m->first, m->early);
    if (left > 0) {
        m->loads = loads_of(m->s, left, groups);
        CgLoop loop = cg_loop(c, "step", cg_i64(c, m->first), cg_i64(c, m->share), m->loads);
        mma_steps(c, m, loop.i, m->loads, NULL);
        cg_loop_end(c, &loop);
    }
    mma_put(c, m);
}

/* The least of 1, 2 and 4 groups of rows that has all: more would only multiply rows that are
 * not there. */
static void
mma_any(Cg *c, Mma *m, int groups, int most)
{
    if (groups == most) {
        mma_groups(c, m, groups);
        return;
    }
    CgIf enough = cg_if(c, cg_less(c, m->s->rows, cg_i64(c, (int64_t)ROWS * groups + 1)));
    mma_groups(c, m, groups);
    cg_else(c, &enough);
    mma_any(c, m, 2 * groups, most);
    cg_endif(c, &enough);
}

/* ---- other types -------------------------------------------------------------------------------
 */

/* Inputs that a lane has at once: 4 where rows are whole 16s of bytes, else 1. */
static int
lane_inputs(const PtxLinear *p)
{
    return p->x_whole && p->w_whole ? 4 : 1;
}

/* `lanes` numbers as f32s; from column `col` on, which is there or is not. */
static void
fma_load(Cg *c, const CgOperand *o, Val row, Val col, Val there, bool once, int lanes, Val out[4])
{
    const Val at = LLVMBuildSelect(c->b, there, cg_at(c, row, o->dtype, col), o->base, "");
    if (lanes == 4) {
        ptx_load16(c, at, once, out);
        for (int i = 0; i < 4; i++)
            out[i] = cg_as_float(c, out[i]);
    } else {
        out[0] = cg_vload(c, at, o->dtype, 1, NULL);
    }
    for (int i = 0; i < lanes; i++)
        out[i] = LLVMBuildSelect(c->b, there, out[i], cg_f32(c, 0), "");
}

/* The sums of this warp's outputs and `rows` rows from row `first` of the block on. */
static void
fma_rows(Cg *c, const Stream *s, Val first, int rows)
{
    enum { MOST_OUT = 8, MOST_ONCE = 8 };
    const PtxLinear *p = s->p;
    const int warps = s->t->threads / GPU_WARP, outs = s->t->columns / warps;
    const int lanes = lane_inputs(p);
    const Val mine = cg_mul(c, s->warp, cg_i64(c, outs)), last = cg_i64(c, p->l.out - 1);
    Val w[MOST_OUT], x[ROWS], acc[MOST_OUT][ROWS];
    for (int o = 0; o < outs; o++) {
        const Val row = cg_add(c, cg_add(c, s->col, mine), cg_i64(c, o));
        w[o] =
            cg_element(c, s->weight, p->w->dtype, cg_min(c, row, last), p->l.depth, cg_i64(c, 0));
    }
    for (int r = 0; r < rows; r++) {
        const Val row = cg_min(c, cg_add(c, first, cg_i64(c, r)), cg_sub(c, s->rows, cg_i64(c, 1)));
        x[r] = cg_element(c, s->x, p->x->dtype, row, s->x_stride, cg_i64(c, 0));
    }
    for (int o = 0; o < outs; o++)
        for (int r = 0; r < rows; r++)
            acc[o][r] = cg_var(c, c->f32, cg_f32(c, 0), "acc");
    const int64_t step = (int64_t)GPU_WARP * lanes, steps = (p->l.depth + step - 1) / step;
    const int most = rows > 1 ? 2 : MOST_ONCE / outs, once = steps < most ? (int)steps : most;
    CgLoop loop = cg_loop(c, "input", cg_i64(c, 0), cg_i64(c, p->l.depth), step * once);
    Val wv[MOST_ONCE][MOST_OUT][4], xv[MOST_ONCE][ROWS][4];
    for (int u = 0; u < once; u++) {
        const Val col =
            cg_add(c, cg_add(c, loop.i, cg_mul(c, s->lane, cg_i64(c, lanes))), cg_i64(c, step * u));
        const Val there = cg_less(c, col, cg_i64(c, p->l.depth));
        for (int o = 0; o < outs; o++)
            fma_load(c, p->w, w[o], col, there, true, lanes, wv[u][o]);
        for (int r = 0; r < rows; r++)
            fma_load(c, p->x, x[r], col, there, false, lanes, xv[u][r]);
    }
    for (int o = 0; o < outs; o++)
        for (int r = 0; r < rows; r++) {
            Val sum = cg_get(c, c->f32, acc[o][r]);
            for (int u = 0; u < once; u++)
                for (int e = 0; e < lanes; e++)
                    sum = cg_fma(c, xv[u][r][e], wv[u][o][e], sum);
            cg_set(c, acc[o][r], sum);
        }
    cg_loop_end(c, &loop);
    Val sum[MOST_OUT][ROWS];
    for (int o = 0; o < outs; o++)
        for (int r = 0; r < rows; r++)
            sum[o][r] = ptx_warp_fold(c, cg_get(c, c->f32, acc[o][r]), GPU_WARP, cg_fadd);
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, s->lane, cg_i64(c, 0), ""));
    for (int o = 0; o < outs; o++)
        for (int r = 0; r < rows; r++)
            cg_vstore(c,
                      sum_at(c, s, cg_i64(c, 0), cg_add(c, first, cg_i64(c, r)),
                             cg_add(c, mine, cg_i64(c, o))),
                      DTYPE_f32, sum[o][r], 1, NULL);
    cg_endif(c, &one);
}

static void
fma_any(Cg *c, const Stream *s)
{
    CgIf single = cg_if(c, cg_less(c, s->rows, cg_i64(c, 2)));
    fma_rows(c, s, cg_i64(c, 0), 1);
    cg_else(c, &single);
    CgLoop loop = cg_loop(c, "rows", cg_i64(c, 0), s->rows, ROWS);
    fma_rows(c, s, loop.i, ROWS);
    cg_loop_end(c, &loop);
    cg_endif(c, &single);
}

/* ---- the block ----------------------------------------------------------------------------------
 */

/* What the convolution of a block's rows of a tile will read, by lines. */
static void
ask_of_tile(Cg *c, const PtxLinear *p, const PtxTile *tile)
{
    enum { LINE = 32 }; /* columns */
    const Product *t = p->product;
    const int64_t rows = tile->block ? t->rows / p->sets : t->rows, lines = t->columns / LINE;
    CgLoop loop = cg_loop(c, "ask", ptx_thread(c), cg_i64(c, rows * lines), t->threads);
    const Val down = cg_div(c, loop.i, cg_i64(c, lines));
    const Val right = cg_sub(c, loop.i, cg_mul(c, down, cg_i64(c, lines)));
    Val row = cg_add(c, tile->row, down);
    if (tile->block)
        row = cg_add(c, row, cg_mul(c, tile->block, cg_i64(c, rows)));
    CgIf exists = cg_if(c, cg_less(c, row, p->rows));
    ptx_conv_ask(c, p->k, p->conv, row, cg_add(c, tile->col, cg_mul(c, right, cg_i64(c, LINE))));
    cg_endif(c, &exists);
    cg_loop_end(c, &loop);
}

/* The block's tile by the product of more rows. */
static void
many(Cg *c, PtxLinear *p, Val shared)
{
    const Product *t = p->product;
    Val right = ptx_block(c, 0), block = NULL;
    if (t->method == PRODUCT_SPLIT) {
        const Val number = right;
        right = cg_div(c, number, cg_i64(c, p->sets));
        block = cg_sub(c, number, cg_mul(c, right, cg_i64(c, p->sets)));
    }
    const Val row = cg_mul(c, ptx_block(c, 1), cg_i64(c, t->rows));
    const Val col = cg_mul(c, right, cg_i64(c, t->columns));
    const PtxTile at = {.row = row,
                        .col = col,
                        .rows = cg_sub(c, p->rows, row),
                        .weight = p->weight,
                        .block = block,
                        .waits = true};
    if (p->conv)
        ask_of_tile(c, p, &at);
    ptx_tile(c, p, t, shared, &at);
}

/* What the convolution of this thread's other results will read. */
static void
ask_of_conv(Cg *c, const Stream *s)
{
    const int64_t threads = s->t->threads;
    CgLoop loop =
        cg_loop(c, "ask", cg_add(c, s->thread, cg_i64(c, threads)), results_of(c, s), threads);
    Val row, col;
    place_of(c, s, loop.i, &row, &col);
    ptx_conv_ask(c, s->p->k, s->p->conv, cg_add(c, s->row, row), cg_add(c, s->col, col));
    cg_loop_end(c, &loop);
}

static void
few(Cg *c, PtxLinear *p, const Product *t, Val shared)
{
    Stream s = {.p = p, .t = t, .x_stride = p->x->stride};
    const int64_t rows = t->rows;
    s.thread = ptx_thread(c);
    s.lane = ptx_lane(c);
    s.warp = ptx_warp(c);
    s.col = cg_mul(c, ptx_block(c, 0), cg_i64(c, t->columns));
    s.row = cg_mul(c, ptx_block(c, 1), cg_i64(c, rows));
    s.rows = cg_min(c, cg_i64(c, rows), cg_sub(c, p->rows, s.row));
    s.sets = p->bf16 ? (int)p->sets : 1;
    s.line = t->columns + GAP;
    s.sums = shared;
    s.squares = cg_at(c, shared, DTYPE_f32, cg_i64(c, s.sets * rows * s.line));
    s.weight = p->weight;
    s.beside = p->product->method == PRODUCT_WIDE;
    Mma m = {0};
    if (p->bf16)
        m = mma_begin(c, &s);
    PtxAhead ahead = {0};
    if (p->conv) {
        read_conv_ahead(c, &s, 0, &ahead);
        ask_of_conv(c, &s);
    }
    ptx_wait(c, p->k);
    s.x = cg_element(c, p->x->base, p->x->dtype, s.row, p->x->stride, cg_i64(c, 0));
    read_values_ahead(c, &s, 0, &ahead);
    if (p->bf16)
        mma_any(c, &m, 1, (int)rows / ROWS);
    else
        fma_any(c, &s);
    results(c, &s, &ahead);
}

/* A block for each tile of more rows, or a cluster of them. */
static void
grid_of_many(const PtxLinear *p)
{
    const Product *t = p->product;
    const int64_t each = t->method == PRODUCT_SPLIT ? p->sets : 1;
    ptx_grid_of_many(p->k, ptx_parts(p->l.out, t->columns) * each, t->rows / p->small->rows);
    if (each > 1)
        ptx_cluster(p->k, each);
}

void
ptx_linear_stream(Cg *c, PtxLinear *p)
{
    const Product *t = p->small ? p->small : p->product;
    const int64_t line = t->columns + GAP;
    const int64_t sums = p->sets * t->rows * (line + p->normed) * (int64_t)sizeof(float);
    const int64_t tile = p->small ? ptx_tile_bytes(p, p->product) : 0;
    const Val shared = ptx_shared(c, p->k, sums > tile ? sums : tile);
    if (tile > sums) /* few rows: other kernels' blocks begin beside these */
        p->k->launch.shared_spare = (int32_t)(round_up(tile, 16) - round_up(sums, 16));
    int64_t each = 1;
    const AbiCount of = ptx_count(p->l.y, &each);
    ptx_threads(p->k, t->threads);
    ptx_resident(c, t->threads > GPU_WARPGROUP ? 2 : 3);
    ptx_grid(p->k, 0, ABI_ONE, ptx_parts(p->l.out, t->columns), 1, 1);
    ptx_grid(p->k, 1, of, each, t->rows, 1);
    if (p->small)
        grid_of_many(p);
    if (!p->small) {
        few(c, p, t, shared);
        return;
    }
    CgIf more = cg_if(c, cg_less(c, cg_i64(c, t->rows), p->rows));
    many(c, p, shared);
    cg_else(c, &more);
    ptx_hold(c, p->k);
    few(c, p, t, shared);
    cg_endif(c, &more);
}
