/* codegen/ptx/ptx_delta.c -- delta: the gated delta rule, token after token (Yang, Kautz and
 * Hatamizadeh, "Gated Delta Networks", equation 10), and the pointwise ops after it.
 *
 * As in codegen/emit/emit_delta.c both sums of a token are made of the state before it:
 *     u[p] = sum_n k[n] h[n][p],  w[p] = sum_n q[n] h[n][p]
 *     d[p] = b (v[p] - a u[p]),  y[p] = a w[p] + (q . k) d[p],  h[n][p] = a h[n][p] + k[n] d[p]
 * with keys and queries as they come, and what they are multiplied by in the numbers of the token.
 * With a decay for each channel of a key a row of the state is multiplied by its own first.
 *
 * Columns p do not meet: a warp has some of one head, and all rows n of them in registers, divided
 * among a few of its lanes. A token's sums are each lane's rows, in four sums, then those of the
 * lanes: an exchange or two, and no barrier. Their order depends on N and P alone, and a state
 * stored in bf16 is rounded after each token: a prompt cut into calls gives the bits of the whole.
 *
 * Where calls have several tokens of a sequence a block has as many warps again, its feeders, which
 * bring keys, queries, values and numbers of the next run of tokens to shared memory, and store
 * what came of the run before: warps that have state read no other memory and meet the feeders once
 * a run. Of single tokens the state is read before the wait, and a row is stored as it is made. Of
 * a state in bf16 a lane has two columns then, so that eight lanes read whole sectors of 32 bytes.
 *
 * Chunks are another kernel where their products are of bf16 (ptx_delta_chunks.c). In f32 they are
 * this one, as bench/NOTES.md reckons.
 *
 * Predicted, 1.75 GHz: a lane has 32 rows of N=128, four multiply-adds each, which is 128
 * instructions a token, and some 150 clocks of latency: 0.16 us a token, if no scheduler has two
 * warps with state: H=32, P=128 is 512 of them for 528. One token of each of S sequences reads and
 * writes 8 N P bytes a head in f32: H=32, S=64: 64 us at 4.2 TB/s; S=1: 3 us, of latency. */
#include "codegen/ptx/delta.h"

enum { DELTA_Q, DELTA_K, DELTA_V, DELTA_G, DELTA_B, DELTA_STATE };

/* QUAD: rows of a thread that lie together, and its sums. ACROSS: lanes over columns: a sector.
 * HELD: rows of a thread, if there are lanes enough. RUN: tokens that lie in shared memory, if they
 * are no more than STAGED bytes. AHEAD: tokens that a feeder reads together. */
enum {
    QUAD = 4,
    ACROSS = 8,
    HELD = 32,
    MOST_ROWS = 128,
    MOST_VECTOR = 2,
    MOST_WARPS = 4,
    RUN = 16,
    STAGED = 24 << 10,
    AHEAD = 4,
    UNROLLED = 4,       /* quads of a lane, of a key */
    SINGLE_RESIDENT = 4 /* blocks of a multiprocessor, of single tokens: 128 registers a thread */
};

/* Of a token: a; b; a times the factor of k, and of q; q . k with both; the factor of k. */
enum { NUMBER_a, NUMBER_b, NUMBER_u, NUMBER_w, NUMBER_dot, NUMBER_k, NUMBERS = 8 };

/* A run of tokens in shared memory. */
typedef struct {
    Val k, q;    /* [run,padded], 0 where there are no such rows */
    Val a;       /* [run,padded]: with a decay for each channel of a key */
    Val v, y;    /* [run,columns] */
    Val numbers; /* [run,NUMBERS] */
} Staged;

typedef struct {
    CgKernel *kernel;
    PtxDeltaOperands of;
    Dtype stored;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    bool single;                             /* calls have one token of a sequence */
    bool by_channel;                         /* a decay for each channel of a key */
    int vector;                              /* columns of a thread */
    int across, lines;                       /* lanes over columns, and over rows: powers of 2 */
    int rows;                                /* of a thread, a multiple of QUAD */
    int warps;                               /* of a block, with state */
    int64_t padded, columns;                 /* rows * lines; of a block */
    int64_t run;
    Val head, group, first; /* first: column of the head where the block begins */
    Val line, column;       /* of this thread: its first quad; its column in the block */
    Val h[MOST_ROWS];       /* variables: rows of a column, or of two in words */
    Staged staged[2];
    Val feeder; /* number of this warp among those that feed */
} PtxDelta;

/* ---- rows and columns of each thread ------------------------------------------------------- */

static bool
divide_work(PtxDelta *s, Diag *diag)
{
    const bool pairs = s->single && s->stored == DTYPE_bf16 && s->head_dim % MOST_VECTOR == 0;
    s->vector = pairs ? MOST_VECTOR : 1;
    const int64_t vectors = (s->head_dim + s->vector - 1) / s->vector;
    s->across = vectors < ACROSS ? ptx_power_of_two(vectors) : ACROSS;
    for (;; s->across /= 2) {
        s->lines = GPU_WARP / s->across;
        s->rows = (int)round_up((s->states + s->lines - 1) / s->lines, QUAD);
        if (s->rows <= HELD || s->across == 1)
            break;
    }
    if (s->rows > MOST_ROWS) {
        diag_error(diag, s->kernel->kernel->anchor->loc,
                   "delta with %lld states; code for a GPU is made for at most %d",
                   (long long)s->states, MOST_ROWS * GPU_WARP);
        return false;
    }
    const int64_t warps = (vectors + s->across - 1) / s->across;
    s->warps = (int)(warps < MOST_WARPS ? warps : MOST_WARPS);
    s->padded = (int64_t)s->rows * s->lines;
    s->columns = (int64_t)s->warps * s->across * s->vector;
    const int64_t token = (s->by_channel ? 3 : 2) * s->padded + 2 * s->columns + NUMBERS;
    const int64_t fit = STAGED / (token * (int64_t)sizeof(float));
    s->run = s->single || fit < 1 ? 1 : fit < RUN ? fit : RUN;
    return true;
}

/* Row number i of this thread. */
static Val
row_of(Cg *c, const PtxDelta *s, int i)
{
    const int64_t quad = i / QUAD * s->lines * QUAD;
    return cg_add(c, s->line, cg_i64(c, quad + i % QUAD));
}

/* i1: there is such a row, and the thread's columns are those of the head. NULL: always. */
static Val
has_row(Cg *c, const PtxDelta *s, int i)
{
    const bool rows = s->padded == s->states, columns = s->head_dim % s->columns == 0;
    const Val p = cg_add(c, s->first, s->column);
    const Val row = rows ? NULL : cg_less(c, row_of(c, s, i), cg_i64(c, s->states));
    const Val col = columns ? NULL : cg_less(c, p, cg_i64(c, s->head_dim));
    return row && col ? LLVMBuildAnd(c->b, row, col, "") : row ? row : col;
}

/* ---- the state --------------------------------------------------------------------------------
 */

static Val
state_at(Cg *c, const PtxDelta *s, Val slot, int i)
{
    const Val base = cg_state_at(c, s->kernel, cg_operand(s->kernel, s->of.state), slot);
    const Val head = cg_mul(c, s->head, cg_i64(c, s->states * s->head_dim));
    const Val own = cg_element(c, cg_at(c, base, s->stored, head), s->stored, s->line, s->head_dim,
                               cg_add(c, s->first, s->column));
    const int64_t down = (int64_t)i / QUAD * s->lines * QUAD + i % QUAD;
    return cg_at(c, own, s->stored, cg_i64(c, down * s->head_dim));
}

static LLVMTypeRef
held_type(Cg *c, const PtxDelta *s)
{
    return s->vector == 1 ? c->f32 : c->i32;
}

static void
load_state(Cg *c, PtxDelta *s, Val slot)
{
    const LLVMTypeRef type = held_type(c, s);
    for (int i = 0; i < s->rows; i++) {
        const Val at = state_at(c, s, slot, i), has = has_row(c, s, i);
        s->h[i] = cg_var(c, type, LLVMConstNull(type), "h");
        CgIf some = {0};
        if (has)
            some = cg_if(c, has);
        const Val one = s->vector == 1 ? cg_vload(c, at, s->stored, 1, NULL)
                                       : cg_vload(c, at, DTYPE_i32, 1, NULL);
        cg_set(c, s->h[i], one);
        if (has)
            cg_endif(c, &some);
    }
}

/* Column e of row number i. */
static Val
element(Cg *c, const PtxDelta *s, int i, int e)
{
    const Val held = cg_get(c, held_type(c, s), s->h[i]);
    return s->vector == 1 ? held : e ? ptx_high(c, held) : ptx_low(c, held);
}

/* Row number i, as h has it, goes to memory. */
static void
store_row(Cg *c, const PtxDelta *s, Val slot, int i, const Val *h)
{
    const Val at = state_at(c, s, slot, i), has = has_row(c, s, i);
    CgIf some = {0};
    if (has)
        some = cg_if(c, has);
    if (s->vector == 1)
        cg_vstore(c, at, s->stored, h[0], 1, NULL);
    else
        cg_vstore(c, at, DTYPE_i32, ptx_pair(c, h[0], h[1]), 1, NULL);
    if (has)
        cg_endif(c, &some);
}

static void
store_state(Cg *c, const PtxDelta *s, Val slot)
{
    for (int i = 0; i < s->rows; i++) {
        const Val h = element(c, s, i, 0);
        store_row(c, s, slot, i, &h);
    }
}

/* ---- tokens on their way to shared memory -------------------------------------------------- */

static void
reserve(Cg *c, PtxDelta *s)
{
    for (int i = 0; i < (s->single ? 1 : 2); i++) {
        Staged *to = &s->staged[i];
        Val *const arrays[] = {&to->k, &to->q, &to->a, &to->v, &to->y, &to->numbers};
        const int64_t widths[] = {s->padded,  s->padded,  s->by_channel ? s->padded : 0,
                                  s->columns, s->columns, NUMBERS};
        for (size_t a = 0; a < COUNT_OF(arrays); a++)
            if (widths[a])
                *arrays[a] = ptx_shared(c, s->kernel, s->run * widths[a] * (int64_t)sizeof(float));
    }
}

/* Tokens of a feeder: their rows, and places in the run. */
typedef struct {
    const Staged *to;
    int count;
    Val row[AHEAD], place[AHEAD];
    Val sums[AHEAD][3]; /* variables: of q q, k k and q k */
    Val g[AHEAD], b[AHEAD];
} Fed;

/* Four from row n on, a multiple of QUAD, of a group's key or query or a head's decays: number
 * `which`; of the last, if there are none. */
static Val
read_quad(Cg *c, const PtxDelta *s, const Value *v, Val which, Val row, Val n)
{
    const Val first = cg_mul(c, which, cg_i64(c, s->states));
    Val all = LLVMGetPoison(cg_vec_type(c, QUAD));
    cg_unbind_all(s->kernel);
    if (s->states % QUAD == 0) {
        const Val near = cg_min(c, n, cg_i64(c, s->states - QUAD));
        const CgSite site = {.row = row, .col = cg_add(c, first, near), .lanes = QUAD};
        all = cg_eval(c, s->kernel, v, &site);
        const Val zeros = LLVMConstNull(cg_vec_type(c, QUAD));
        const Val has = cg_less(c, n, cg_i64(c, s->states));
        const bool whole = s->states % ((int64_t)QUAD * GPU_WARP) == 0;
        return whole ? all : LLVMBuildSelect(c->b, has, all, zeros, "");
    }
    for (int e = 0; e < QUAD; e++) {
        const Val own = cg_add(c, n, cg_i64(c, e)), last = cg_i64(c, s->states - 1);
        const Val x = cg_eval_one(c, s->kernel, v, row, cg_add(c, first, cg_min(c, own, last)));
        const Val one = LLVMBuildSelect(c->b, cg_less(c, last, own), cg_f32(c, 0), x, "");
        all = LLVMBuildInsertElement(c->b, all, one, cg_i64(c, e), "");
    }
    return all;
}

static void
add_products(Cg *c, Val sum, Val a, Val b)
{
    Val x = cg_get(c, c->f32, sum);
    for (int e = 0; e < QUAD; e++)
        x = cg_fma(c, cg_slice(c, a, e, 1), cg_slice(c, b, e, 1), x);
    cg_set(c, sum, x);
}

/* The quads from row n on of all tokens' keys and queries, and of their decays. */
static void
stage_quads(Cg *c, const PtxDelta *s, const Fed *f, Val n)
{
    Val q[AHEAD], k[AHEAD], g[AHEAD];
    for (int t = 0; t < f->count; t++) {
        q[t] = read_quad(c, s, s->of.q, s->group, f->row[t], n);
        k[t] = read_quad(c, s, s->of.k, s->group, f->row[t], n);
        g[t] = s->by_channel ? read_quad(c, s, s->of.g, s->head, f->row[t], n) : NULL;
    }
    for (int t = 0; t < f->count; t++) {
        add_products(c, f->sums[t][0], q[t], q[t]);
        add_products(c, f->sums[t][1], k[t], k[t]);
        add_products(c, f->sums[t][2], q[t], k[t]);
    }
    CgIf some = cg_if(c, cg_less(c, n, cg_i64(c, s->padded)));
    for (int t = 0; t < f->count; t++) {
        ptx_store(c, cg_element(c, f->to->q, DTYPE_f32, f->place[t], s->padded, n), DTYPE_f32,
                  q[t]);
        ptx_store(c, cg_element(c, f->to->k, DTYPE_f32, f->place[t], s->padded, n), DTYPE_f32,
                  k[t]);
        if (g[t])
            ptx_store(c, cg_element(c, f->to->a, DTYPE_f32, f->place[t], s->padded, n), DTYPE_f32,
                      cg_exp(c, g[t]));
    }
    cg_endif(c, &some);
}

static void
stage_keys(Cg *c, const PtxDelta *s, const Fed *f)
{
    const Val own = cg_mul(c, ptx_lane(c), cg_i64(c, QUAD));
    if (s->padded > (int64_t)UNROLLED * QUAD * GPU_WARP) {
        CgLoop n = cg_loop(c, "n", cg_i64(c, 0), cg_i64(c, s->padded), (int64_t)QUAD * GPU_WARP);
        stage_quads(c, s, f, cg_add(c, n.i, own));
        cg_loop_end(c, &n);
        return;
    }
    for (int64_t n = 0; n < s->padded; n += (int64_t)QUAD * GPU_WARP)
        stage_quads(c, s, f, cg_add(c, own, cg_i64(c, n)));
}

static void
stage_values(Cg *c, const PtxDelta *s, const Fed *f)
{
    const Val last = cg_i64(c, s->head_dim - 1), head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    for (int64_t from = 0; from < s->columns; from += GPU_WARP) {
        const Val column = cg_add(c, ptx_lane(c), cg_i64(c, from));
        const Val p = cg_min(c, cg_add(c, s->first, column), last);
        Val v[AHEAD];
        for (int t = 0; t < f->count; t++)
            v[t] = cg_eval_one(c, s->kernel, s->of.v, f->row[t], cg_add(c, head, p));
        CgIf some = cg_if(c, cg_less(c, column, cg_i64(c, s->columns)));
        for (int t = 0; t < f->count; t++)
            cg_vstore(c, cg_element(c, f->to->v, DTYPE_f32, f->place[t], s->columns, column),
                      DTYPE_f32, v[t], 1, NULL);
        cg_endif(c, &some);
    }
}

static Val
factor(Cg *c, double scale, const Attr *eps, Val squares)
{
    const Val plain = cg_f32(c, scale);
    return eps ? cg_fmul(c, plain, cg_rsqrt(c, cg_fadd(c, squares, cg_f32(c, eps->num)))) : plain;
}

static void
stage_numbers(Cg *c, const PtxDelta *s, const Fed *f, int t)
{
    const Node *n = s->kernel->kernel->anchor;
    const Attr *eps = attrs_find(&n->attrs, ATTR_eps);
    Val sum[3], of[NUMBERS];
    for (int i = 0; i < 3; i++)
        sum[i] = ptx_warp_fold(c, cg_get(c, c->f32, f->sums[t][i]), GPU_WARP, cg_fadd);
    const Val of_q = factor(c, node_num(n, ATTR_scale, 1), eps, sum[0]);
    const Val of_k = factor(c, 1, eps, sum[1]), a = cg_exp(c, f->g[t]);
    for (int i = 0; i < NUMBERS; i++)
        of[i] = cg_f32(c, 0);
    of[NUMBER_a] = a;
    of[NUMBER_b] = f->b[t];
    of[NUMBER_u] = cg_fmul(c, a, of_k);
    of[NUMBER_w] = cg_fmul(c, a, of_q);
    of[NUMBER_dot] = cg_fmul(c, cg_fmul(c, sum[2], of_k), of_q);
    of[NUMBER_k] = of_k;
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
    for (int i = 0; i < NUMBERS; i += QUAD) {
        Val all = LLVMGetPoison(cg_vec_type(c, QUAD));
        for (int e = 0; e < QUAD; e++)
            all = LLVMBuildInsertElement(c->b, all, of[i + e], cg_i64(c, e), "");
        const Val at = cg_element(c, f->to->numbers, DTYPE_f32, f->place[t], NUMBERS, cg_i64(c, i));
        ptx_store(c, at, DTYPE_f32, all);
    }
    cg_endif(c, &first);
}

/* This feeder's tokens of a run from its number i on, as far as the run has them; row: of the run's
 * first. All that is read is on its way at once. */
static void
stage_some(Cg *c, const PtxDelta *s, const Staged *to, Val row, Val count, int64_t i, int tokens)
{
    const Val last = cg_sub(c, count, cg_i64(c, 1));
    Fed f = {.to = to, .count = tokens};
    for (int t = 0; t < tokens; t++) {
        const Val own = cg_add(c, s->feeder, cg_i64(c, (i + t) * s->warps));
        f.place[t] = cg_min(c, own, last);
        f.row[t] = cg_add(c, row, f.place[t]);
        f.g[t] = s->by_channel ? cg_f32(c, 0) /* that of the token is in its rows */
                               : cg_eval_one(c, s->kernel, s->of.g, f.row[t], s->head);
        f.b[t] = cg_eval_one(c, s->kernel, s->of.b, f.row[t], s->head);
        for (int e = 0; e < 3; e++)
            f.sums[t][e] = cg_var(c, c->f32, cg_f32(c, 0), "sum");
    }
    stage_values(c, s, &f);
    stage_keys(c, s, &f);
    for (int t = 0; t < tokens; t++)
        stage_numbers(c, s, &f, t);
}

static void
stage_run(Cg *c, const PtxDelta *s, const Staged *to, Val row, Val count)
{
    const int64_t each = (s->run + s->warps - 1) / s->warps;
    for (int64_t i = 0; i < each; i += AHEAD) {
        const Val first = cg_add(c, s->feeder, cg_i64(c, i * s->warps));
        CgIf some = cg_if(c, cg_less(c, first, count));
        stage_some(c, s, to, row, count, i, (int)(each - i < AHEAD ? each - i : AHEAD));
        cg_endif(c, &some);
    }
}

/* ---- one token ---------------------------------------------------------------------------------
 */

static void
store_site(Cg *c, const PtxDelta *s, Val row, Val p, Val y)
{
    const Val head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const CgSite site = {.row = row, .col = cg_add(c, head, p), .lanes = 1};
    cg_unbind_all(s->kernel);
    cg_bind(s->kernel, s->of.y, y);
    cg_store_outputs(c, s->kernel, &site);
}

/* This thread's sums u and w of token t, to be added to those of the other lines; k: its keys; was:
 * its rows of the state before the token, which have decayed if channels do so by themselves. */
static void
sum_rows(Cg *c, const PtxDelta *s, const Staged *from, Val t, Val *k, Val was[][MOST_VECTOR],
         Val sums[MOST_VECTOR][2])
{
    Val parts[MOST_VECTOR][2][QUAD];
    for (int i = 0; i < s->rows; i += QUAD) {
        const Val n = row_of(c, s, i);
        const Val at[] = {cg_element(c, from->k, DTYPE_f32, t, s->padded, n),
                          cg_element(c, from->q, DTYPE_f32, t, s->padded, n)};
        const Val keys = ptx_load(c, at[0], DTYPE_f32, QUAD);
        const Val queries = ptx_load(c, at[1], DTYPE_f32, QUAD);
        const Val decays =
            s->by_channel
                ? ptx_load(c, cg_element(c, from->a, DTYPE_f32, t, s->padded, n), DTYPE_f32, QUAD)
                : NULL;
        for (int r = 0; r < QUAD; r++) {
            k[i + r] = cg_slice(c, keys, r, 1);
            const Val of[] = {k[i + r], cg_slice(c, queries, r, 1)};
            for (int e = 0; e < s->vector; e++) {
                Val h = element(c, s, i + r, e);
                was[i + r][e] = h = decays ? cg_fmul(c, cg_slice(c, decays, r, 1), h) : h;
                for (int w = 0; w < 2; w++) {
                    Val *sum = &parts[e][w][r];
                    *sum = i ? cg_fma(c, of[w], h, *sum) : cg_fmul(c, of[w], h);
                }
            }
        }
    }
    for (int e = 0; e < s->vector; e++)
        for (int w = 0; w < 2; w++) {
            const Val *part = parts[e][w];
            sums[e][w] = cg_fadd(c, cg_fadd(c, part[0], part[1]), cg_fadd(c, part[2], part[3]));
            for (int mask = GPU_WARP / 2; mask >= s->across; mask /= 2)
                sums[e][w] = cg_fadd(c, sums[e][w], ptx_exchange(c, sums[e][w], mask));
        }
}

/* Token t of the run goes into the state; what is read of it, to y. slot: the state goes there, a
 * row as soon as it is made; NULL: it stays in registers. */
static void
step(Cg *c, const PtxDelta *s, const Staged *from, Val t, Val slot, Val *y)
{
    Val of[NUMBERS], k[MOST_ROWS], v[MOST_VECTOR], sums[MOST_VECTOR][2], d[MOST_VECTOR];
    Val was[MOST_ROWS][MOST_VECTOR];
    for (int i = 0; i < NUMBERS; i += QUAD) {
        const Val at = cg_element(c, from->numbers, DTYPE_f32, t, NUMBERS, cg_i64(c, i));
        const Val all = ptx_load(c, at, DTYPE_f32, QUAD);
        for (int e = 0; e < QUAD; e++)
            of[i + e] = cg_slice(c, all, e, 1);
    }
    for (int e = 0; e < s->vector; e++) {
        const Val column = cg_add(c, s->column, cg_i64(c, e));
        const Val at = cg_element(c, from->v, DTYPE_f32, t, s->columns, column);
        v[e] = cg_vload(c, at, DTYPE_f32, 1, NULL);
    }
    sum_rows(c, s, from, t, k, was, sums);
    for (int e = 0; e < s->vector; e++) {
        const Val said = cg_fmul(c, of[NUMBER_u], sums[e][0]);
        const Val change = cg_fmul(c, of[NUMBER_b], cg_fsub(c, v[e], said));
        y[e] = cg_fma(c, of[NUMBER_dot], change, cg_fmul(c, of[NUMBER_w], sums[e][1]));
        d[e] = cg_fmul(c, of[NUMBER_k], change);
    }
    for (int i = 0; i < s->rows; i++) {
        Val h[MOST_VECTOR];
        for (int e = 0; e < s->vector; e++)
            h[e] = cg_fma(c, k[i], d[e],
                          s->by_channel ? was[i][e] : cg_fmul(c, of[NUMBER_a], was[i][e]));
        if (slot)
            store_row(c, s, slot, i, h);
        else
            cg_set(c, s->h[i], cg_round(c, h[0], s->stored));
    }
}

/* ---- runs of tokens ------------------------------------------------------------------------- */

/* i1: this thread is on the first line, whose threads store what all have. */
static Val
is_first_line(Cg *c, const PtxDelta *s)
{
    return LLVMBuildICmp(c->b, LLVMIntEQ, s->line, cg_i64(c, 0), "");
}

/* Where run number `number` lies. */
static Staged
staged_of(Cg *c, const PtxDelta *s, Val number)
{
    const Val odd = LLVMBuildTrunc(c->b, number, c->i1, "odd");
    const Staged *a = &s->staged[0], *b = &s->staged[1];
    return (Staged){.k = LLVMBuildSelect(c->b, odd, b->k, a->k, ""),
                    .q = LLVMBuildSelect(c->b, odd, b->q, a->q, ""),
                    .a = s->by_channel ? LLVMBuildSelect(c->b, odd, b->a, a->a, "") : NULL,
                    .v = LLVMBuildSelect(c->b, odd, b->v, a->v, ""),
                    .y = LLVMBuildSelect(c->b, odd, b->y, a->y, ""),
                    .numbers = LLVMBuildSelect(c->b, odd, b->numbers, a->numbers, "")};
}

/* Tokens of run number `number`, 0 of a run that there is not. */
static Val
tokens_of(Cg *c, const PtxDelta *s, const CgSeg *seg, Val number)
{
    const Val run = cg_i64(c, s->run), before = cg_mul(c, number, run);
    return cg_max(c, cg_i64(c, 0), cg_min(c, run, cg_sub(c, seg->len, before)));
}

static Val
first_row(Cg *c, const PtxDelta *s, const CgSeg *seg, Val number)
{
    return cg_add(c, seg->row, cg_mul(c, number, cg_i64(c, s->run)));
}

static void
store_run(Cg *c, const PtxDelta *s, const CgSeg *seg, Val number)
{
    const Staged from = staged_of(c, s, number);
    const Val count = tokens_of(c, s, seg, number), column = ptx_lane(c);
    const Val p = cg_add(c, s->first, column), row = first_row(c, s, seg, number);
    CgIf some = cg_if(c, LLVMBuildAnd(c->b, cg_less(c, column, cg_i64(c, s->columns)),
                                      cg_less(c, p, cg_i64(c, s->head_dim)), ""));
    CgLoop t = cg_loop(c, "t", s->feeder, count, s->warps);
    const Val at = cg_element(c, from.y, DTYPE_f32, t.i, s->columns, column);
    store_site(c, s, cg_add(c, row, t.i), p, cg_vload(c, at, DTYPE_f32, 1, NULL));
    cg_loop_end(c, &t);
    cg_endif(c, &some);
}

/* While a run goes into the state what came of the one before is stored, and the next is read. */
static void
feed(Cg *c, const PtxDelta *s, const CgSeg *seg, Val runs)
{
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1);
    stage_run(c, s, &s->staged[0], seg->row, tokens_of(c, s, seg, zero));
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", zero, runs, 1);
    const Val next = cg_add(c, run.i, one);
    CgIf later = cg_if(c, cg_less(c, zero, run.i));
    store_run(c, s, seg, cg_sub(c, run.i, one));
    cg_endif(c, &later);
    const Staged to = staged_of(c, s, next);
    stage_run(c, s, &to, first_row(c, s, seg, next), tokens_of(c, s, seg, next));
    ptx_barrier(c);
    cg_loop_end(c, &run);
    store_run(c, s, seg, cg_sub(c, runs, one));
}

static void
work(Cg *c, PtxDelta *s, const CgSeg *seg, Val runs)
{
    load_state(c, s, seg->slot);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", cg_i64(c, 0), runs, 1);
    const Staged from = staged_of(c, s, run.i);
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), tokens_of(c, s, seg, run.i), 1);
    Val y[MOST_VECTOR];
    step(c, s, &from, t.i, NULL, y);
    CgIf stores = cg_if(c, is_first_line(c, s));
    cg_vstore(c, cg_element(c, from.y, DTYPE_f32, t.i, s->columns, s->column), DTYPE_f32, y[0], 1,
              NULL);
    cg_endif(c, &stores);
    cg_loop_end(c, &t);
    ptx_barrier(c);
    cg_loop_end(c, &run);
    store_state(c, s, seg->slot);
}

static void
run_tokens(Cg *c, PtxDelta *s)
{
    const Val warp = ptx_warp(c), warps = cg_i64(c, s->warps);
    ptx_wait(c, s->kernel);
    const CgSeg seg = cg_segment(c, s->kernel, ptx_block(c, 1));
    const Val runs = cg_div_up(c, seg.len, cg_i64(c, s->run));
    s->feeder = cg_sub(c, warp, warps);
    CgIf feeds = cg_if(c, LLVMBuildNot(c->b, cg_less(c, warp, warps), ""));
    feed(c, s, &seg, runs);
    cg_else(c, &feeds);
    work(c, s, &seg, runs);
    cg_endif(c, &feeds);
}

/* One token of a sequence, which the first warp reads. */
static void
single_token(Cg *c, PtxDelta *s)
{
    const CgSeg seg = cg_segment(c, s->kernel, ptx_block(c, 1));
    load_state(c, s, seg.slot);
    ptx_wait(c, s->kernel);
    s->feeder = ptx_warp(c);
    stage_run(c, s, &s->staged[0], seg.row, cg_i64(c, 1));
    ptx_barrier(c);
    Val y[MOST_VECTOR];
    step(c, s, &s->staged[0], cg_i64(c, 0), seg.slot, y);
    CgIf stores = cg_if(c, is_first_line(c, s));
    for (int e = 0; e < s->vector; e++) {
        const Val p = cg_add(c, s->first, cg_add(c, s->column, cg_i64(c, e)));
        CgIf some = cg_if(c, cg_less(c, p, cg_i64(c, s->head_dim)));
        store_site(c, s, seg.row, p, y[e]);
        cg_endif(c, &some);
    }
    cg_endif(c, &stores);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static void
place_threads(Cg *c, PtxDelta *s)
{
    CgKernel *k = s->kernel;
    const int64_t parts = (s->head_dim + s->columns - 1) / s->columns;
    ptx_threads(k, (int64_t)s->warps * GPU_WARP * (s->single ? 1 : 2));
    if (s->single && s->rows <= HELD)
        ptx_resident(c, SINGLE_RESIDENT);
    ptx_grid(k, 0, ABI_ONE, s->heads * parts, 1, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val block = ptx_block(c, 0), lane = ptx_lane(c), across = cg_i64(c, s->across);
    s->head = cg_div(c, block, cg_i64(c, parts));
    s->group = cg_div(c, s->head, cg_i64(c, s->heads / s->groups));
    const Val part = cg_sub(c, block, cg_mul(c, s->head, cg_i64(c, parts)));
    s->first = cg_mul(c, part, cg_i64(c, s->columns));
    const Val line = cg_div(c, lane, across), mine = cg_sub(c, lane, cg_mul(c, line, across));
    s->line = cg_mul(c, line, cg_i64(c, QUAD));
    const Val number = cg_add(c, cg_mul(c, ptx_warp(c), across), mine);
    s->column = cg_mul(c, number, cg_i64(c, s->vector));
    reserve(c, s);
}

bool
ptx_delta(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    PtxDelta s = {
        .kernel = k,
        .of = {.q = n->in[DELTA_Q],
               .k = n->in[DELTA_K],
               .v = n->in[DELTA_V],
               .g = n->in[DELTA_G],
               .b = n->in[DELTA_B],
               .state = n->in[DELTA_STATE],
               .y = n->out[0]},
        .stored = n->in[DELTA_STATE]->type.dtype,
        .heads = node_int(n, ATTR_heads, 1),
        .head_dim = node_int(n, ATTR_head_dim, 1),
        .groups = node_int(n, ATTR_groups, 1),
        .states = node_int(n, ATTR_state, 1),
        .single = !graph_has_runs(k->graph),
        .by_channel = node_decays_by_channel(n)
    };
    if (node_by_chunks(n) && ptx_delta_chunks(c, k, &s.of))
        return true;
    if (!divide_work(&s, diag))
        return false;
    place_threads(c, &s);
    if (s.single)
        single_token(c, &s);
    else
        run_tokens(c, &s);
    return true;
}
