/* codegen/ptx/ptx_scan.c -- ssd_scan: the recurrent form, token after token ("Transformers are
 * SSMs", equation 1), and the pointwise ops after it.
 *
 *     h[n][p] = exp(dt A) h[n][p] + B[n] (dt x[p])
 *     y[p]    = D x[p] + sum_n C[n] h[n][p]
 *
 * A block has a part of the columns p of one head of one segment; its threads divide rows n and
 * columns, and keep their elements of the state in registers while the tokens go by. A thread's
 * columns lie together (16 bytes of the state where P allows), its rows are `lines` apart, so that
 * a warp reads whole lines. The sum over n is one of each thread's rows in order, then of the
 * threads of a warp, then of the warps in order: it depends on N and P alone. A state stored in
 * bf16 is rounded after each token.
 *
 * A block's columns are 128 bytes of a row of the state: a line of the cache. With four rows of 16
 * bytes a thread, 256 threads have 16 KiB on their way, a multiprocessor's blocks 48 KiB: at 4.2
 * TB/s and 0.8 us it takes 25. Of a step the first state is read before the wait, and all that the
 * end of a token needs before its sums are there. A step in bf16 keeps what it read of the state as
 * it is until it multiplies a row, and stores the row then.
 *
 * Predicted, one token of each of S sequences: the state is read and written once, 4 N P bytes a
 * head in bf16, at copy bandwidth where the blocks fill the GPU: H=24, N=128, P=64 and S=128: 24
 * us; S=1: 24 blocks, the time of three reads one after the other, about 3 us. */
#include "codegen/emit/scan.h"
#include "codegen/ptx/ptx.h"

/* MOST_ROWS: of a thread in registers. LINE_BYTES: of a block's columns. */
enum {
    MOST_ROWS = 16,
    MOST_VECTOR = 8,
    LINE_BYTES = 128,
    MOST_OPERANDS = 16,
    LEAST_THREADS = 128,
    MOST_THREADS = 512,
    MOST_HELD = 32, /* elements of a thread that leave it so */
    FULL = 1024     /* threads of a multiprocessor that have 64 registers each */
};

typedef struct {
    CgKernel *k;
    ScanOperands v;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int vector;                              /* columns of a thread */
    int across;                              /* threads over the columns of a block, a power of 2 */
    int64_t lines;                           /* threads over rows: rows that lie between its own */
    int rows;                                /* of a thread */
    Val head, group;
    Val first;                     /* column of the head where the block begins */
    Val line, column;              /* this thread's first row, and its first column in the block */
    Val h[MOST_ROWS][MOST_VECTOR]; /* variables */
    bool packed;                   /* of single tokens, bf16, whole 16s of bytes: these instead */
    Val words[MOST_ROWS][4];       /* variables: two elements each */
    Val sums;                      /* shared: of each warp, of two tokens in turn */
    Val A, D;
    Val early[MOST_OPERANDS]; /* variables: what the end of a token reads in a column of its thread
                               */
    const Value *of_early[MOST_OPERANDS];
    int nearly;
} PtxScan;

/* ---- rows and columns of each thread ------------------------------------------------------- */

static bool
divide_work(PtxScan *s, Diag *diag)
{
    const CgOperand *state = cg_operand(s->k, s->v.state);
    const int bytes = dtype_info[s->v.stored].bytes;
    s->vector = 16 / bytes;
    while (s->head_dim % s->vector != 0 || state->aligned % (s->vector * bytes) != 0)
        s->vector /= 2;
    int64_t columns = LINE_BYTES / bytes;
    for (columns = s->head_dim < columns ? s->head_dim : columns;; columns /= 2) {
        s->across = ptx_power_of_two((columns + s->vector - 1) / s->vector);
        int64_t threads = LEAST_THREADS;
        while (threads < MOST_THREADS && s->states * s->across > 4 * threads)
            threads *= 2;
        s->lines = threads / s->across;
        s->rows = (int)((s->states + s->lines - 1) / s->lines);
        if (s->rows <= MOST_ROWS)
            return true;
        if (s->across == 1)
            break;
    }
    diag_error(diag, s->k->kernel->anchor->loc,
               "ssd_scan with %lld states; code for a GPU is made for at most %lld",
               (long long)s->states, (long long)(s->lines * MOST_ROWS));
    return false;
}

static int64_t
columns_of_block(const PtxScan *s)
{
    return (int64_t)s->across * s->vector;
}

/* Row number i of this thread. */
static Val
row_of(Cg *c, const PtxScan *s, int i)
{
    return cg_add(c, s->line, cg_i64(c, i * s->lines));
}

static bool
rows_are_whole(const PtxScan *s)
{
    return s->rows * s->lines == s->states;
}

static bool
columns_are_whole(const PtxScan *s)
{
    return s->head_dim % columns_of_block(s) == 0;
}

/* i1: it has a row number i, and its columns are those of the head. NULL: always. */
static Val
has_row(Cg *c, const PtxScan *s, int i)
{
    const Val row = rows_are_whole(s) ? NULL : cg_less(c, row_of(c, s, i), cg_i64(c, s->states));
    const Val column = cg_add(c, s->first, s->column);
    const Val col = columns_are_whole(s) ? NULL : cg_less(c, column, cg_i64(c, s->head_dim));
    return row && col ? LLVMBuildAnd(c->b, row, col, "") : row ? row : col;
}

/* ---- the state --------------------------------------------------------------------------------
 */

static Val
state_at(Cg *c, const PtxScan *s, Val slot, int i)
{
    const Val base = cg_state_at(c, s->k, cg_operand(s->k, s->v.state), slot);
    const Val head =
        cg_at(c, base, s->v.stored, cg_mul(c, s->head, cg_i64(c, s->states * s->head_dim)));
    const Val own =
        cg_element(c, head, s->v.stored, s->line, s->head_dim, cg_add(c, s->first, s->column));
    return cg_at(c, own, s->v.stored, cg_i64(c, i * s->lines * s->head_dim));
}

/* Row number i, in variables. */
static void
load_row(Cg *c, const PtxScan *s, Val slot, int i)
{
    const Val at = state_at(c, s, slot, i);
    if (s->packed) {
        Val words[4];
        ptx_load16(c, at, true, words);
        for (int w = 0; w < 4; w++)
            cg_set(c, s->words[i][w], words[w]);
        return;
    }
    const Val all = ptx_load(c, at, s->v.stored, s->vector);
    for (int e = 0; e < s->vector; e++)
        cg_set(c, s->h[i][e], s->vector == 1 ? all : cg_slice(c, all, e, 1));
}

static void
load_state(Cg *c, PtxScan *s, Val slot)
{
    for (int i = 0; i < s->rows; i++) {
        for (int w = 0; s->packed && w < 4; w++)
            s->words[i][w] = cg_var(c, c->i32, LLVMConstNull(c->i32), "words");
        for (int e = 0; !s->packed && e < s->vector; e++)
            s->h[i][e] = cg_var(c, c->f32, cg_f32(c, 0), "h");
        const Val has = has_row(c, s, i);
        CgIf some = {0};
        if (has)
            some = cg_if(c, has);
        load_row(c, s, slot, i);
        if (has)
            cg_endif(c, &some);
    }
}

/* Element e of row number i. */
static Val
element(Cg *c, const PtxScan *s, int i, int e)
{
    if (!s->packed)
        return cg_get(c, c->f32, s->h[i][e]);
    const Val word = cg_get(c, c->i32, s->words[i][e / 2]);
    return e % 2 ? ptx_high(c, word) : ptx_low(c, word);
}

/* Row number i as h has it. */
static void
store_row(Cg *c, const PtxScan *s, Val slot, int i, const Val *h)
{
    const Val has = has_row(c, s, i);
    CgIf some = {0};
    if (has)
        some = cg_if(c, has);
    Val all = h[0];
    if (s->vector > 1) {
        all = LLVMGetPoison(cg_vec_type(c, s->vector));
        for (int e = 0; e < s->vector; e++)
            all = LLVMBuildInsertElement(c->b, all, h[e], cg_i64(c, e), "");
    }
    ptx_store(c, state_at(c, s, slot, i), s->v.stored, all);
    if (has)
        cg_endif(c, &some);
}

static void
store_state(Cg *c, const PtxScan *s, Val slot)
{
    for (int i = 0; i < s->rows; i++) {
        Val h[MOST_VECTOR];
        for (int e = 0; e < s->vector; e++)
            h[e] = element(c, s, i, e);
        store_row(c, s, slot, i, h);
    }
}

/* ---- one token ---------------------------------------------------------------------------------
 */

/* A column of a row vector or matrix, or another that exists where this does not. */
static Val
eval_near(Cg *c, const PtxScan *s, const Value *v, Val row, Val col, int64_t width)
{
    return cg_eval_one(c, s->k, v, row, cg_min(c, col, cg_i64(c, width - 1)));
}

/* Column `column` of the block's as a column of y. */
static Val
column_of(Cg *c, const PtxScan *s, Val column)
{
    const Val head = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    return cg_add(c, head, cg_add(c, s->first, column));
}

/* This thread's columns of x. */
static void
read_x(Cg *c, const PtxScan *s, Val row, Val *x)
{
    const int64_t width = s->heads * s->head_dim;
    if (s->vector > 1 && columns_are_whole(s)) {
        const CgSite site = {.row = row, .col = column_of(c, s, s->column), .lanes = s->vector};
        cg_unbind_all(s->k);
        const Val all = cg_eval(c, s->k, s->v.x, &site);
        for (int e = 0; e < s->vector; e++)
            x[e] = cg_slice(c, all, e, 1);
        return;
    }
    for (int e = 0; e < s->vector; e++) {
        const Val col = column_of(c, s, cg_add(c, s->column, cg_i64(c, e)));
        x[e] = eval_near(c, s, s->v.x, row, col, width);
    }
}

/* B or C of row number i. */
static Val
read_of_row(Cg *c, const PtxScan *s, const Value *v, Val row, int i)
{
    const Val n = cg_add(c, cg_mul(c, s->group, cg_i64(c, s->states)), row_of(c, s, i));
    if (rows_are_whole(s))
        return cg_eval_one(c, s->k, v, row, n);
    const Val x = eval_near(c, s, v, row, n, s->groups * s->states);
    const Val exists = cg_less(c, row_of(c, s, i), cg_i64(c, s->states));
    return LLVMBuildSelect(c->b, exists, x, cg_f32(c, 0), "");
}

/* One more token in the state; y: this thread's part of the sums. slot: the state goes there, a row
 * as soon as it is made; NULL: it stays in registers. All that is read is on its way at once. */
static void
step(Cg *c, const PtxScan *s, Val row, Val slot, Val *y)
{
    Val dx[MOST_VECTOR], B[MOST_ROWS], C[MOST_ROWS];
    read_x(c, s, row, dx);
    for (int i = 0; i < s->rows; i++) {
        B[i] = read_of_row(c, s, s->v.B, row, i);
        C[i] = read_of_row(c, s, s->v.C, row, i);
    }
    const Val dt = cg_eval_one(c, s->k, s->v.dt, row, s->head);
    const Val decay = cg_exp(c, cg_fmul(c, dt, s->A));
    for (int e = 0; e < s->vector; e++) {
        dx[e] = cg_fmul(c, dt, dx[e]);
        y[e] = cg_f32(c, 0);
    }
    for (int i = 0; i < s->rows; i++) {
        Val h[MOST_VECTOR];
        for (int e = 0; e < s->vector; e++) {
            h[e] = cg_fma(c, B[i], dx[e], cg_fmul(c, decay, element(c, s, i, e)));
            y[e] = cg_fma(c, C[i], h[e], y[e]);
        }
        if (slot)
            store_row(c, s, slot, i, h);
        for (int e = 0; !slot && e < s->vector; e++)
            cg_set(c, s->h[i][e], cg_round(c, h[e], s->v.stored));
    }
}

/* i1: this thread makes a column of y in the end, number `thread` of the block's. */
static Val
makes_column(Cg *c, const PtxScan *s)
{
    const Val thread = ptx_thread(c), p = cg_add(c, s->first, thread);
    return LLVMBuildAnd(c->b, cg_less(c, thread, cg_i64(c, columns_of_block(s))),
                        cg_less(c, p, cg_i64(c, s->head_dim)), "");
}

static CgSite
site_of_column(Cg *c, const PtxScan *s, Val row)
{
    return (CgSite){.row = row, .col = column_of(c, s, ptx_thread(c)), .lanes = 1};
}

/* What the end of a token will read beside the sums comes while they are made. */
static void
read_early(Cg *c, PtxScan *s, Val row)
{
    s->nearly = 0;
    for (int i = 0; i < s->k->noperands && s->nearly < MOST_OPERANDS; i++) {
        const CgOperand *o = &s->k->operands[i];
        const bool x = s->D && o->value == s->v.x;
        const bool matrix = o->value->kind == VALUE_RESULT && !o->value->is_param;
        if (o->is_output || !matrix || (!x && !cg_in_domain(s->k, o->value)))
            continue;
        s->of_early[s->nearly] = o->value;
        s->early[s->nearly++] = cg_var(c, c->f32, cg_f32(c, 0), "early");
    }
    CgIf mine = cg_if(c, makes_column(c, s));
    const CgSite site = site_of_column(c, s, row);
    for (int i = 0; i < s->nearly; i++)
        cg_set(c, s->early[i], cg_eval_one(c, s->k, s->of_early[i], row, site.col));
    cg_endif(c, &mine);
}

/* The threads' sums: those of a warp by exchanges, those of warps through shared memory. Two places
 * take turns, so that one barrier a token does: who writes the next but one has met at the next. */
static void
store_y(Cg *c, const PtxScan *s, Val row, Val turn, Val *y)
{
    const int64_t columns = columns_of_block(s), warps = s->k->launch.threads / GPU_WARP;
    const Val place = cg_at(c, s->sums, DTYPE_f32, cg_mul(c, turn, cg_i64(c, warps * columns)));
    for (int e = 0; e < s->vector; e++)
        for (int mask = GPU_WARP / 2; mask >= s->across; mask /= 2)
            y[e] = cg_fadd(c, y[e], ptx_exchange(c, y[e], mask));
    const Val lane = ptx_lane(c), thread = ptx_thread(c);
    CgIf first = cg_if(c, cg_less(c, lane, cg_i64(c, s->across)));
    for (int e = 0; e < s->vector; e++) {
        const Val column = cg_add(c, s->column, cg_i64(c, e));
        const Val at = cg_element(c, place, DTYPE_f32, ptx_warp(c), columns, column);
        cg_vstore(c, at, DTYPE_f32, y[e], 1, NULL);
    }
    cg_endif(c, &first);
    ptx_barrier(c);
    CgIf stores = cg_if(c, makes_column(c, s));
    const CgSite site = site_of_column(c, s, row);
    cg_unbind_all(s->k);
    for (int i = 0; i < s->nearly; i++)
        cg_bind(s->k, s->of_early[i], cg_get(c, c->f32, s->early[i]));
    Val sum = cg_f32(c, 0);
    if (s->D)
        sum = cg_fmul(c, s->D, cg_eval(c, s->k, s->v.x, &site));
    for (int64_t w = 0; w < warps; w++) {
        const Val at = cg_element(c, place, DTYPE_f32, cg_i64(c, w), columns, thread);
        sum = cg_fadd(c, sum, cg_vload(c, at, DTYPE_f32, 1, NULL));
    }
    cg_bind(s->k, s->v.y, sum);
    cg_store_outputs(c, s->k, &site);
    cg_endif(c, &stores);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static void
place_threads(Cg *c, PtxScan *s)
{
    const int64_t columns = columns_of_block(s), parts = (s->head_dim + columns - 1) / columns;
    const int64_t threads = s->lines * s->across, warps = threads / GPU_WARP;
    CgKernel *k = s->k;
    ptx_threads(k, threads);
    if (s->rows * s->vector <= MOST_HELD)
        ptx_resident(c, threads < FULL ? (int)(FULL / threads) : 1);
    ptx_grid(k, 0, ABI_ONE, s->heads * parts, 1, 1);
    ptx_grid(k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val block = ptx_block(c, 0), thread = ptx_thread(c);
    s->head = cg_div(c, block, cg_i64(c, parts));
    s->group = cg_div(c, s->head, cg_i64(c, s->heads / s->groups));
    const Val part = cg_sub(c, block, cg_mul(c, s->head, cg_i64(c, parts)));
    s->first = cg_mul(c, part, cg_i64(c, columns));
    s->line = cg_div(c, thread, cg_i64(c, s->across));
    const Val across = LLVMBuildAnd(c->b, thread, cg_i64(c, s->across - 1), "");
    s->column = cg_mul(c, across, cg_i64(c, s->vector));
    s->sums = ptx_shared(c, k, 2 * warps * columns * (int64_t)sizeof(float));
}

bool
ptx_ssd_scan(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    PtxScan s = {.k = k,
                 .v = scan_operands(n),
                 .heads = node_int(n, ATTR_heads, 1),
                 .head_dim = node_int(n, ATTR_head_dim, 1),
                 .groups = node_int(n, ATTR_groups, 1),
                 .states = node_int(n, ATTR_state, 1)};
    if (!divide_work(&s, diag))
        return false;
    const bool single = !graph_has_runs(k->graph);
    s.packed = single && s.v.stored == DTYPE_bf16 && s.vector == MOST_VECTOR;
    place_threads(c, &s);
    const CgSeg seg = cg_segment(c, k, ptx_block(c, 1));
    load_state(c, &s, seg.slot);
    ptx_wait(c, k);
    s.A = cg_decay_rate(c, k, s.v.A, s.head);
    s.D = s.v.D ? cg_eval_one(c, k, s.v.D, cg_i64(c, 0), s.head) : NULL;
    Val y[MOST_VECTOR];
    if (single) { /* the state's registers are free before the sums are made */
        read_early(c, &s, seg.row);
        step(c, &s, seg.row, seg.slot, y);
        store_y(c, &s, seg.row, cg_i64(c, 0), y);
        return true;
    }
    CgLoop token = cg_loop(c, "t", cg_i64(c, 0), seg.len, 1);
    const Val row = cg_add(c, seg.row, token.i);
    const Val turn = LLVMBuildAnd(c->b, token.i, cg_i64(c, 1), "");
    read_early(c, &s, row);
    step(c, &s, row, NULL, y);
    store_y(c, &s, row, turn, y);
    cg_loop_end(c, &token);
    store_state(c, &s, seg.slot);
    return true;
}
