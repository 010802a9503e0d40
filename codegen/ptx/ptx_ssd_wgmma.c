/* codegen/ptx/ptx_ssd_wgmma.c -- the chunked form of SSD ("Transformers are SSMs", section 6 and
 * listing 1) with products of bf16 by wgmma, of a GPU of capability 9.0: attribute unit=matrix.
 *
 * As ptx_ssd_bf16.c, a block goes through a part of a segment in runs of Q = 64 tokens and has the
 * state turned round, h^T [64,N], in registers. Four warps together have a head's 64 columns p, one
 * warp 16 of them, and what is multiplied by h^T, by x^T and by (weight x)^T they read from shared
 * memory once for all 64:
 *
 *     y^T = exp(a_i) (h^T C^T) + x^T M^T + D x^T           C: tokens are rows; M: rows i
 *     h^T = exp(a_last) h^T + (weight x)^T B               B: tokens are what is summed over
 *
 * Four more warps are feeders. While the heads' warps go through run i, the feeders
 *     make the decays of run i + 2 from dt that was read a run before,
 *     multiply S = C B^T of run i + 1, of which M_ij = S_ij exp(a_i - a_j) dt_j for j <= i, else 0.
 * The heads' warps begin to copy C and B of run i + 3 (i + 2 where memory is short), and each
 * head's its x of run i + 2. A run has one barrier.
 *
 * More than 128 states (N to 256): two teams of four warps have 128 states each of one head. Each
 * makes h^T C^T of its own for all tokens, hands the other what it has of the other's 32 tokens,
 * and goes on with 32 tokens of y and 128 states. When all have done so nothing reads this run's C,
 * so two places of C are enough: that of run i + 2 is copied from there on.
 *
 * Numbers are rounded to bf16 where ptx_ssd_bf16.c rounds them. Where parts of a segment are made
 * side by side, each begins with the state that a kernel before has made (ptx_ssd_starts.c), to the
 * bit as this one would: so no bit depends on how a segment is cut.
 *
 * N=128, P=64, two heads a block: products of a run take 640 cycles of the tensor cores a head and
 * 256 for S, 1540 in all, 0.22 ms for 65536 tokens of 64 heads; x and y alone take 0.26 at 4.2
 * TB/s. Measured on an H200: 0.63 (bench/NOTES.md, "A GPU: the SSD"). */
#include "codegen/ptx/ssd_wgmma.h"

/* ROWS: of 64 columns of a run in shared memory. X_PLACES: of x and of decays; M_PLACES: of M; the
 * others: of C and B. */
enum { QUAD = 4, HALF = 8, ROWS = PTX_SSD_ROWS_BYTES, X_PLACES = 3, M_PLACES = 2 };
enum { MOST_PLACES = 4, LEAST_PLACES = 3, SPLIT_C_PLACES = 2 };
enum { SUMS = PTX_SSD_RUN / 2, STEPS = PTX_SSD_RUN / PTX_SSD_TILE, MOST_HEADS = 2, TEAMS = 2 };
/* What a team hands over: f32 of half a run's tokens. One place for each team, and a signal. */
enum { HANDED_BYTES = PTX_SSD_RUN / 2 * PTX_GROUP_COLUMNS * 4, SIGNAL_BYTES = 8 };
/* Of a thread, where two teams have 64 K of them: as many as all had at first. */
enum { REGISTERS = 192, FEEDER_REGISTERS = 120 };
_Static_assert(2 * REGISTERS + FEEDER_REGISTERS <= 3 * (65536 / (3 * GPU_WARPGROUP) / 8 * 8),
               "a thread that waits for registers waits for ever");

typedef struct {
    PtxGroups g;
    int heads;         /* of a block */
    int splits;        /* teams that share the states of a head: 1 or TEAMS */
    int sums;          /* of y that a thread has in the end */
    int places;        /* of B */
    int c_places;      /* of C */
    int64_t run_bytes; /* of C, and of B, of a run */
    Val shared;
    Val first;  /* head of the block */
    Val team;   /* this warp's four among those that have state */
    Val token;  /* the first of y that it has in the end */
    Val handed; /* what it is handed, and the other team; the signal */
    Val handed_other, signal;
    Val number;        /* of this run */
    Val C, B, x, M;    /* of this run; x of this thread's head, M of the block's first */
    PtxDecay decay;    /* of this thread's head */
    Val decays;        /* of the block's */
    Val feeder;        /* this warp's number among them */
    int64_t stretches; /* 0: segments are not cut */
    Val all;           /* runs of the segment */
    Val is_cut, entry; /* i1: it is, and where the state before the stretch is */
} Chunks;

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t
decay_bytes(const Chunks *v)
{
    return v->heads * ptx_ssd_decay_bytes(&v->g.s);
}

static int64_t
all_bytes(const Chunks *v)
{
    const int64_t handed = v->splits > 1 ? TEAMS * HANDED_BYTES + SIGNAL_BYTES : 0;
    return (v->places + v->c_places) * v->run_bytes +
           (int64_t)(X_PLACES + M_PLACES) * v->heads * ROWS + X_PLACES * decay_bytes(v) + handed;
}

static int
teams_of(const Chunks *v)
{
    return v->heads * v->splits;
}

static bool
choose_sizes(const Cg *c, Chunks *v, int heads)
{
    const PtxSsd *s = &v->g.s;
    ptx_groups_sizes(&v->g);
    v->splits = v->g.n > PTX_GROUPS_TEAM_STATES ? TEAMS : 1;
    if (v->splits > 1)
        v->g.n = PTX_GROUPS_TEAM_STATES;
    v->sums = SUMS / v->splits;
    v->heads = v->splits == 1 && s->heads / s->groups % heads == 0 ? heads : 1;
    v->run_bytes = ptx_groups_bytes(v->g.n * v->splits);
    for (v->places = v->splits > 1 ? LEAST_PLACES : MOST_PLACES; v->places >= LEAST_PLACES;
         v->places--) {
        v->c_places = v->splits > 1 ? SPLIT_C_PLACES : v->places;
        if (all_bytes(v) <= c->machine->gpu.shared_bytes)
            return true;
    }
    return false;
}

static int64_t
blocks_of_segment(const Chunks *v)
{
    return v->g.s.heads / v->heads * v->g.parts;
}

static int
warps_of(const Chunks *v)
{
    return (teams_of(v) + 1) * PTX_GROUP_WARPS;
}

/* ---- places -----------------------------------------------------------------------------------
 */

static Val
in_turn(Cg *c, Val base, Val number, int places, int64_t bytes)
{
    const Val turn = LLVMBuildURem(c->b, number, cg_i64(c, places), "");
    return cg_offset(c, base, cg_mul(c, turn, cg_i64(c, bytes)));
}

/* The block's segment, and of its runs those that it goes through: all, or a stretch. */
static void
place_part(Cg *c, Chunks *v)
{
    const Val block = ptx_block(c, 0), head = cg_add(c, v->first, v->g.number);
    if (!v->stretches) {
        ptx_groups_open(c, &v->g, block, head);
        return;
    }
    const Val runs = ptx_ssd_stretch(c, v->g.s.k, v->stretches);
    const Val tokens = cg_mul(c, runs, cg_i64(c, PTX_SSD_RUN));
    const Val segment = ptx_segment_of_part(c, v->g.s.k, block, tokens);
    ptx_groups_open(c, &v->g, segment, head);
    const CgSeg *seg = &v->g.s.seg;
    const Val number = cg_sub(c, block, cg_add(c, cg_div(c, seg->row, tokens), segment));
    v->all = v->g.to;
    v->g.from = cg_mul(c, number, runs);
    v->g.to = cg_min(c, v->all, cg_add(c, v->g.from, runs));
    v->entry = cg_add(c, ptx_ssd_entry(c, seg, runs), number);
    v->is_cut = cg_less(c, runs, v->all);
}

/* States and tokens of this warp's team, and what teams hand over. */
static void
place_team(Cg *c, Chunks *v)
{
    v->token = cg_i64(c, 0);
    if (v->splits == 1)
        return;
    const Val one = cg_i64(c, 1), bytes = cg_i64(c, HANDED_BYTES);
    const Val places = cg_offset(
        c, v->shared, cg_i64(c, all_bytes(v) - SIGNAL_BYTES - (int64_t)TEAMS * HANDED_BYTES));
    v->token = cg_mul(c, v->team, cg_i64(c, PTX_SSD_RUN / TEAMS));
    v->g.state = cg_mul(c, v->team, cg_i64(c, v->g.n));
    v->handed = cg_offset(c, places, cg_mul(c, v->team, bytes));
    v->handed_other = cg_offset(c, places, cg_mul(c, cg_sub(c, one, v->team), bytes));
    v->signal = cg_offset(c, places, cg_i64(c, (int64_t)TEAMS * HANDED_BYTES));
}

/* What the block and this warp have. */
static void
place_warp(Cg *c, Chunks *v)
{
    const Val warp = ptx_warp(c), block = ptx_block(c, 1), parts = cg_i64(c, v->g.parts);
    const Val line = cg_div(c, block, parts), group = cg_i64(c, PTX_GROUP_WARPS);
    v->team = cg_div(c, warp, group);
    v->first = cg_mul(c, line, cg_i64(c, v->heads));
    v->feeder = cg_sub(c, warp, cg_i64(c, teams_of(v) * PTX_GROUP_WARPS));
    const Val has_state = cg_less(c, v->team, cg_i64(c, teams_of(v)));
    const Val near = cg_min(c, v->feeder, cg_i64(c, v->heads - 1)); /* whose decays it makes */
    v->g.number =
        v->splits > 1 ? cg_i64(c, 0) : LLVMBuildSelect(c->b, has_state, v->team, near, "");
    v->g.begin = cg_mul(c, cg_sub(c, block, cg_mul(c, line, parts)), cg_i64(c, PTX_GROUP_COLUMNS));
    v->g.warp = LLVMBuildURem(c->b, warp, group, "");
    place_part(c, v);
    place_team(c, v);
}

/* Run `number` of the segment is what v is about from here on. */
static void
enter_run(Cg *c, Chunks *v, Val number)
{
    const int64_t x_bytes = v->heads * ROWS;
    const Val xs = cg_offset(c, v->shared, cg_i64(c, (v->c_places + v->places) * v->run_bytes));
    const Val ms = cg_offset(c, xs, cg_i64(c, X_PLACES * x_bytes));
    const Val decays = cg_offset(c, ms, cg_i64(c, M_PLACES * x_bytes));
    v->number = number;
    v->g.run = ptx_ssd_run(c, &v->g.s, number);
    if (v->c_places == v->places) { /* one number finds both */
        v->C = in_turn(c, v->shared, number, v->places, 2 * v->run_bytes);
        v->B = cg_offset(c, v->C, cg_i64(c, v->run_bytes));
    } else {
        const Val bs = cg_offset(c, v->shared, cg_i64(c, v->c_places * v->run_bytes));
        v->C = in_turn(c, v->shared, number, v->c_places, v->run_bytes);
        v->B = in_turn(c, bs, number, v->places, v->run_bytes);
    }
    v->x = cg_offset(c, in_turn(c, xs, number, X_PLACES, x_bytes),
                     cg_mul(c, v->g.number, cg_i64(c, ROWS)));
    v->M = in_turn(c, ms, number, M_PLACES, x_bytes);
    v->decays = in_turn(c, decays, number, X_PLACES, decay_bytes(v));
    const Val own = cg_mul(c, v->g.number, cg_i64(c, ptx_ssd_decay_bytes(&v->g.s)));
    v->decay = ptx_ssd_decay_at(c, &v->g.s, cg_offset(c, v->decays, own));
}

static Val
after(Cg *c, Val number, int more)
{
    return cg_add(c, number, cg_i64(c, more));
}

static CgIf
if_run(Cg *c, const Chunks *v, Val number)
{
    return cg_if(c, cg_less(c, number, v->g.to));
}

/* This thread's number among those of its four warps. */
static Val
own_thread(Cg *c, const Chunks *v)
{
    return cg_add(c, cg_mul(c, v->g.warp, cg_i64(c, GPU_WARP)), ptx_lane(c));
}

/* ---- copies -----------------------------------------------------------------------------------
 */

/* All that have state copy C, or B, or both, of a run. */
static void
stage_group(Cg *c, const Chunks *v, Val number, const Value *const *from, int count)
{
    const PtxSsd *s = &v->g.s;
    /* Both are equal here. LLVM knows bits of v->team and turns additions to it into `or`, which
     * loads and stores cannot fold into their offset: 2 to 4 % of the kernel's time. */
    const Val team = v->splits > 1 ? v->team : v->g.number;
    const Val before = cg_mul(c, team, cg_i64(c, GPU_WARPGROUP));
    Chunks u = *v;
    CgIf is = if_run(c, v, number);
    enter_run(c, &u, number);
    for (int i = 0; i < count; i++) {
        PtxStage t = ptx_ssd_stage_group(c, s, from[i]);
        if (v->splits > 1) {
            t.columns = v->g.n * v->splits;
            t.whole = s->states % t.columns == 0;
        }
        t.thread = cg_add(c, before, own_thread(c, v));
        t.threads = (int64_t)teams_of(v) * GPU_WARPGROUP;
        t.run = u.g.run;
        t.to = (PtxRows){from[i] == s->C ? u.C : u.B, 0};
        ptx_ssd_stage(c, &t);
    }
    cg_endif(c, &is);
}

/* And each head's its x. */
static void
stage_x(Cg *c, const Chunks *v, Val number)
{
    const Val in_head = cg_sub(c, v->team, v->g.number);
    Chunks u = *v;
    CgIf is = if_run(c, v, number);
    enter_run(c, &u, number);
    PtxStage t = ptx_ssd_stage_x(c, &v->g.s, v->g.s.head, v->g.begin, PTX_GROUP_COLUMNS);
    t.thread = own_thread(c, v);
    if (v->splits > 1)
        t.thread = cg_add(c, t.thread, cg_mul(c, in_head, cg_i64(c, GPU_WARPGROUP)));
    t.threads = (int64_t)v->splits * GPU_WARPGROUP;
    t.run = u.g.run;
    t.to = (PtxRows){u.x, 0};
    ptx_ssd_stage(c, &t);
    cg_endif(c, &is);
}

/* ---- y and the state: a head's warps ------------------------------------------------------------
 */

/* Bytes from the first 16 states of rows of C or B to 16s number k. */
static Val
tile_of_states(Cg *c, int64_t k)
{
    const int64_t in_row = PTX_GROUP_COLUMNS / PTX_SSD_TILE;
    return cg_i64(c, k / in_row * ROWS + k % in_row * 2 * PTX_SSD_TILE);
}

/* Bytes from the first rows of C or B to those of the team's states. */
static Val
columns_of_team(Cg *c, const Chunks *v)
{
    const Val rows = cg_i64(c, PTX_GROUPS_TEAM_STATES / PTX_GROUP_COLUMNS * ROWS);
    return v->splits > 1 ? cg_mul(c, v->team, rows) : cg_i64(c, 0);
}

/* h^T C^T of the run, of the team's states, on its way. */
static void
from_state(Cg *c, const Chunks *v, Val y[SUMS])
{
    const Val rows = ptx_wgmma_rows(c, v->C, columns_of_team(c, v));
    const int64_t steps = v->g.n / PTX_SSD_TILE;
    ptx_wgmma_begin(c);
    for (int64_t k = 0; k < steps; k++) {
        Val left[4];
        for (int64_t e = 0; e < 4; e++)
            left[e] = ptx_pair(c, cg_get(c, c->f32, v->g.h[8 * k + 2 * e]),
                               cg_get(c, c->f32, v->g.h[8 * k + 2 * e + 1]));
        const Val at = tile_of_states(c, k);
        ptx_wgmma_bf16_by(c, y, SUMS, left, ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* Where four sums of this thread lie among those that are handed over. */
static Val
handed_at(Cg *c, const Chunks *v, Val place, int number)
{
    enum { UNIT_BYTES = QUAD * 4 };
    const Val thread = cg_add(c, own_thread(c, v), cg_i64(c, (int64_t)number * GPU_WARPGROUP));
    return cg_offset(c, place, cg_mul(c, thread, cg_i64(c, UNIT_BYTES)));
}

static Val
four(Cg *c, const Val *sums)
{
    Val all = LLVMGetPoison(LLVMVectorType(c->f32, QUAD));
    for (int e = 0; e < QUAD; e++)
        all = LLVMBuildInsertElement(c->b, all, sums[e], cg_i64(c, e), "");
    return all;
}

/* Teams add what each has of the other's tokens: from then on y has those of the team's own, and
 * all have read this run's C. */
static void
exchange(Cg *c, const Chunks *v, Val y[SUMS])
{
    const int half = v->sums;
    const Val second = cg_less(c, cg_i64(c, 0), v->team);
    Val own[SUMS / TEAMS], other[SUMS / TEAMS];
    for (int i = 0; i < half; i++) {
        own[i] = LLVMBuildSelect(c->b, second, y[half + i], y[i], "");
        other[i] = LLVMBuildSelect(c->b, second, y[i], y[half + i], "");
    }
    for (int i = 0; i < half / QUAD; i++)
        ptx_store(c, handed_at(c, v, v->handed_other, i), DTYPE_f32,
                  four(c, other + (size_t)QUAD * (size_t)i));
    ptx_warp_barrier(c);
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
    ptx_signal_give(c, v->signal);
    cg_endif(c, &one);
    const Val round = cg_sub(c, v->number, v->g.from);
    const Val odd = LLVMBuildAnd(c->b, round, cg_i64(c, 1), "");
    ptx_signal_wait(c, v->signal, LLVMBuildTrunc(c->b, odd, c->i32, ""));
    for (int i = 0; i < half / QUAD; i++) {
        const Val more = ptx_load(c, handed_at(c, v, v->handed, i), DTYPE_f32, QUAD);
        for (int e = 0; e < QUAD; e++)
            y[QUAD * i + e] = cg_fadd(c, own[QUAD * i + e], cg_slice(c, more, e, 1));
    }
}

/* Of each 8 tokens of the team, what is left of the state before the run at this thread's two. */
static void
load_enter(Cg *c, const Chunks *v, Val enter[PTX_SSD_RUN / HALF][2])
{
    const Val from = cg_at(c, v->decay.enter, DTYPE_f32, v->token);
    for (int b = 0; b < v->sums / QUAD; b++)
        ptx_groups_two_of(c, &v->g, from, b * HALF, enter[b]);
}

/* x of the team's tokens. */
static Val
own_x(Cg *c, const Chunks *v, Val x[STEPS][4], int step, int e)
{
    if (v->splits == 1)
        return x[step][e];
    const Val second = cg_less(c, cg_i64(c, 0), v->team);
    return LLVMBuildSelect(c->b, second, x[STEPS / TEAMS + step][e], x[step][e], "");
}

/* What is left of the state at each token, and D x: a left operand has its numbers where sums have
 * theirs. */
static void
scale_and_skip(Cg *c, const Chunks *v, Val y[SUMS], Val enter[PTX_SSD_RUN / HALF][2],
               Val x[STEPS][4])
{
    for (int b = 0; b < v->sums / QUAD; b++)
        for (int e = 0; e < QUAD; e++) {
            Val *sum = &y[QUAD * b + e];
            *sum = cg_fmul(c, *sum, enter[b][e % 2]);
            if (!v->g.s.skip)
                continue;
            const Val pair = own_x(c, v, x, b / 2, b % 2 * 2 + e / 2);
            const Val own = e % 2 ? ptx_high(c, pair) : ptx_low(c, pair);
            *sum = cg_fma(c, v->g.s.skip, own, *sum);
        }
}

/* x^T M^T of the team's tokens, on its way. */
static void
from_tokens(Cg *c, const Chunks *v, Val y[SUMS], Val x[STEPS][4])
{
    enum { ROW_BYTES = PTX_GROUP_COLUMNS * 2 };
    const Val own = cg_add(c, cg_mul(c, v->g.number, cg_i64(c, ROWS)),
                           cg_mul(c, v->token, cg_i64(c, ROW_BYTES)));
    const Val rows = ptx_wgmma_rows(c, v->M, own);
    ptx_wgmma_begin(c);
    for (int j = 0; j < STEPS; j++) {
        const Val at = cg_i64(c, (int64_t)j * 2 * PTX_SSD_TILE);
        ptx_wgmma_bf16_by(c, y, v->sums, x[j], ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* ---- y to memory ------------------------------------------------------------------------------
 */

/* One number at a time: with what follows y in the kernel. */
static void
store_each(Cg *c, const Chunks *v, Val y[SUMS])
{
    const PtxSsd *s = &v->g.s;
    const Val place = cg_add(c, v->token, v->g.place);
    for (int i = 0; i < v->sums; i++) {
        const Val token = cg_add(c, place, cg_i64(c, i / QUAD * HALF + i % 2));
        const Val p = cg_add(c, ptx_groups_column(c, &v->g), cg_i64(c, i / 2 % 2 * HALF));
        const Val exists = LLVMBuildAnd(c->b, cg_less(c, token, v->g.run.count),
                                        cg_less(c, p, cg_i64(c, s->head_dim)), "");
        CgIf some = cg_if(c, exists);
        const CgSite site = {.row = cg_add(c, v->g.run.row, token),
                             .col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p),
                             .lanes = 1};
        cg_unbind_all(s->k);
        cg_bind(s->k, s->y, y[i]);
        cg_store_outputs(c, s->k, &site);
        cg_endif(c, &some);
    }
}

/* The kernel's one output, if that is y rounded to bf16, whose rows can be written by 16 bytes; or
 * NULL. */
static const CgOperand *
rounded_output(const Chunks *v)
{
    const PtxSsd *s = &v->g.s;
    const CgOperand *found = NULL;
    for (int i = 0; i < s->k->noperands; i++)
        if (s->k->operands[i].is_output) {
            if (found)
                return NULL;
            found = &s->k->operands[i];
        }
    const Node *cast = found ? found->value->def : NULL;
    const bool rounds = cast && cast->op == OP_cast && cast->in[0] == s->y;
    return rounds && found->dtype == DTYPE_bf16 && s->head_dim % PTX_SSD_UNIT == 0 &&
                   ptx_lanes(found, PTX_SSD_UNIT) == PTX_SSD_UNIT
               ? found
               : NULL;
}

/* By way of the warp's 16 columns of x, which it has read. */
static void
store_rounded(Cg *c, const Chunks *v, const CgOperand *out, Val y[SUMS])
{
    enum { UNITS = PTX_SSD_TILE / PTX_SSD_UNIT, TOKENS = GPU_WARP / UNITS, UNIT_BYTES = 16 };
    const PtxSsd *s = &v->g.s;
    const PtxRows rows = {v->x, 0};
    const Val lane = ptx_lane(c), own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    const Val down = cg_add(c, v->token, v->g.down);
    const int rounds = PTX_SSD_RUN / TOKENS / v->splits;
    ptx_warp_barrier(c);
    for (int b = 0; b < v->sums / QUAD; b += 2) {
        Val in[4];
        for (int e = 0; e < 4; e++)
            in[e] = ptx_pair(c, y[QUAD * (b + e / 2) + e % 2 * 2],
                             y[QUAD * (b + e / 2) + e % 2 * 2 + 1]);
        const Val token = cg_add(c, down, cg_i64(c, b * HALF));
        ptx_store_matrices(c, ptx_ssd_unit_at(c, &rows, token, cg_add(c, own, v->g.over)), in);
    }
    ptx_warp_barrier(c);
    const Val line = cg_div(c, lane, cg_i64(c, UNITS)), first = cg_add(c, v->token, line);
    const Val unit = cg_sub(c, lane, cg_mul(c, line, cg_i64(c, UNITS)));
    const Val in_group = cg_add(c, own, cg_mul(c, unit, cg_i64(c, PTX_SSD_UNIT)));
    const Val p = cg_add(c, v->g.begin, in_group);
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    const Val column = cg_less(c, p, cg_i64(c, s->head_dim));
    Val unit_of[PTX_SSD_RUN / TOKENS];
    for (int i = 0; i < rounds; i++) {
        const Val token = cg_add(c, first, cg_i64(c, (int64_t)i * TOKENS));
        unit_of[i] = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4),
                                    ptx_ssd_unit_at(c, &rows, token, in_group), "");
        LLVMSetAlignment(unit_of[i], UNIT_BYTES);
    }
    for (int i = 0; i < rounds; i++) {
        const Val token = cg_i64(c, (int64_t)i * TOKENS);
        const Val row = cg_less(c, first, cg_sub(c, v->g.run.count, token));
        CgIf some = cg_if(c, LLVMBuildAnd(c->b, row, column, ""));
        const Val at = cg_add(c, v->g.run.row, cg_add(c, first, token));
        const Val to = cg_element(c, out->base, DTYPE_bf16, at, out->stride, col);
        LLVMSetAlignment(LLVMBuildStore(c->b, unit_of[i], to), UNIT_BYTES);
        cg_endif(c, &some);
    }
}

/* Those of the run before, or of this one too. */
static void
await_copies(Cg *c, const Chunks *v)
{
    ptx_copy_wait(c, v->places - LEAST_PLACES);
    ptx_wgmma_show(c);
}

/* A team goes through a run. */
static void
go_through(Cg *c, Chunks *v, const CgOperand *rounded)
{
    const bool split = v->splits > 1;
    Val y[SUMS], enter[PTX_SSD_RUN / HALF][2], x[STEPS][4], weighed[STEPS][4];
    for (int i = 0; i < SUMS; i++)
        y[i] = cg_f32(c, 0);
    from_state(c, v, y);
    ptx_groups_load_x(c, &v->g, v->x, x);
    ptx_wgmma_end(c, 0, y, SUMS);
    if (split) {
        exchange(c, v, y);
        stage_group(c, v, after(c, v->number, SPLIT_C_PLACES), &v->g.s.C, 1);
        ptx_copy_commit(c);
    }
    load_enter(c, v, enter);
    scale_and_skip(c, v, y, enter, x);
    from_tokens(c, v, y, x);
    ptx_groups_weigh(c, &v->g, &v->decay, x, weighed);
    ptx_groups_update(c, &v->g, &v->decay, cg_offset(c, v->B, columns_of_team(c, v)), ROWS,
                      weighed);
    if (!split)
        await_copies(c, v);
    ptx_wgmma_end(c, 1, y, v->sums);
    if (rounded)
        store_rounded(c, v, rounded, y);
    else
        store_each(c, v, y);
    if (split) /* those of C began late */
        await_copies(c, v);
    ptx_groups_updated(c, &v->g);
}

/* ---- the feeders ------------------------------------------------------------------------------
 */

static Val
dt_of_lane(Cg *c, const Chunks *v, int i)
{
    const Val first = cg_mul(c, ptx_lane(c), cg_i64(c, PTX_SSD_LANE_TOKENS));
    return cg_at(c, v->decay.dt, DTYPE_f32, cg_add(c, first, cg_i64(c, i)));
}

/* The first feeders make the decays of a head each. dt of the run that is two runs on is read a
 * run before, and lies meanwhile where M of its own run will read it: a lane has its own tokens. */
static CgIf
if_decays(Cg *c, const Chunks *v)
{
    return cg_if(c, cg_less(c, v->feeder, cg_i64(c, v->heads)));
}

static void
fetch_dt(Cg *c, const Chunks *v, Val number, Val dt[PTX_SSD_LANE_TOKENS])
{
    const Val last = cg_sub(c, v->g.to, cg_i64(c, 1));
    const PtxRun run = ptx_ssd_run(c, &v->g.s, cg_min(c, number, last));
    ptx_ssd_load_dt(c, &v->g.s, &run, dt);
}

static void
put_dt(Cg *c, const Chunks *v, Val number, const Val dt[PTX_SSD_LANE_TOKENS])
{
    CgIf mine = if_decays(c, v);
    Chunks u = *v;
    enter_run(c, &u, number);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        cg_vstore(c, dt_of_lane(c, &u, i), DTYPE_f32, dt[i], 1, NULL);
    cg_endif(c, &mine);
}

static void
make_decays(Cg *c, const Chunks *v, Val number)
{
    CgIf mine = if_decays(c, v);
    Chunks u = *v;
    enter_run(c, &u, number);
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        dt[i] = cg_vload(c, dt_of_lane(c, &u, i), DTYPE_f32, 1, NULL);
    ptx_ssd_make_decay(c, &u.g.s, &u.g.run, &u.decay, dt);
    cg_endif(c, &mine);
}

static PtxDecay
decay_of(Cg *c, const Chunks *v, int head)
{
    const Val before = cg_i64(c, head * ptx_ssd_decay_bytes(&v->g.s));
    return ptx_ssd_decay_at(c, &v->g.s, cg_offset(c, v->decays, before));
}

/* Of this thread's two rows of M. */
static Val
first_row(Cg *c, const Chunks *v)
{
    return cg_add(c, cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE)), v->g.line);
}

/* a_i of this thread's two rows, of each head. */
static void
load_rows(Cg *c, const Chunks *v, Val sum[MOST_HEADS][2])
{
    for (int head = 0; head < v->heads; head++)
        for (int half = 0; half < 2; half++) {
            const PtxDecay d = decay_of(c, v, head);
            const Val row = cg_add(c, first_row(c, v), cg_i64(c, half * HALF));
            sum[head][half] = cg_vload(c, cg_at(c, d.high, DTYPE_f32, row), DTYPE_f32, 1, NULL);
        }
}

/* M of 16 tokens j, of both this thread's rows i and all heads. What is read is read first, so that
 * nothing waits for what is written. */
static void
store_m(Cg *c, const Chunks *v, int tile, Val rows[MOST_HEADS][2], const Val *s)
{
    Val sum[MOST_HEADS][2][2], dt[MOST_HEADS][2][2], pair[MOST_HEADS][2][2];
    for (int head = 0; head < v->heads; head++)
        for (int b = 0; b < 2; b++) {
            const PtxDecay d = decay_of(c, v, head);
            ptx_groups_two_of(c, &v->g, d.high, tile * PTX_SSD_TILE + b * HALF, sum[head][b]);
            ptx_groups_two_of(c, &v->g, d.dt, tile * PTX_SSD_TILE + b * HALF, dt[head][b]);
        }
    for (int head = 0; head < v->heads; head++)
        for (int b = 0; b < 2; b++)
            for (int half = 0; half < 2; half++) {
                const Val row = cg_add(c, first_row(c, v), cg_i64(c, half * HALF));
                Val m[2];
                for (int e = 0; e < 2; e++) {
                    const Val gap = cg_fsub(c, rows[head][half], sum[head][b][e]);
                    const Val decay = cg_fmul(c, ptx_exp2(c, gap), dt[head][b][e]);
                    const Val col = cg_add(c, v->g.place,
                                           cg_i64(c, (int64_t)tile * PTX_SSD_TILE + b * HALF + e));
                    m[e] = LLVMBuildSelect(c->b, cg_less(c, row, col), cg_f32(c, 0),
                                           cg_fmul(c, s[QUAD * b + 2 * half + e], decay), "");
                }
                pair[head][b][half] = ptx_pair(c, m[0], m[1]);
            }
    for (int head = 0; head < v->heads; head++)
        for (int b = 0; b < 2; b++)
            for (int half = 0; half < 2; half++) {
                const PtxRows m = {cg_offset(c, v->M, cg_i64(c, (int64_t)head * ROWS)), 0};
                const Val row = cg_add(c, first_row(c, v), cg_i64(c, half * HALF));
                const Val col = cg_i64(c, (int64_t)tile * PTX_SSD_TILE + b * HALF);
                const Val unit = ptx_ssd_unit_at(c, &m, row, col);
                LLVMSetAlignment(LLVMBuildStore(c->b, pair[head][b][half],
                                                cg_at(c, unit, DTYPE_bf16, v->g.place)),
                                 4);
            }
}

/* S of all tokens of v's run, on its way. */
static void
begin_s(Cg *c, const Chunks *v, Val s[SUMS])
{
    const int64_t steps = (v->g.s.states + PTX_SSD_TILE - 1) / PTX_SSD_TILE;
    const Val left = ptx_wgmma_rows(c, v->C, cg_i64(c, 0));
    const Val right = ptx_wgmma_rows(c, v->B, cg_i64(c, 0));
    for (int i = 0; i < SUMS; i++)
        s[i] = cg_f32(c, 0);
    ptx_wgmma_begin(c);
    for (int64_t k = 0; k < steps; k++) {
        const Val at = tile_of_states(c, k);
        ptx_wgmma_bf16(c, s, SUMS, ptx_wgmma_further(c, left, at), ptx_wgmma_further(c, right, at));
    }
    ptx_wgmma_commit(c);
}

/* Of M what is on and below the diagonal of 16 x 16 tokens: above, it stays 0. */
static void
make_m(Cg *c, const Chunks *v, Val s[SUMS])
{
    Val rows[MOST_HEADS][2];
    load_rows(c, v, rows);
    ptx_wgmma_end(c, 0, s, SUMS);
    for (int tile = 0; tile < STEPS; tile++) {
        CgIf below = cg_if(c, cg_less(c, cg_i64(c, tile - 1), v->g.warp));
        store_m(c, v, tile, rows, s + (size_t)2 * QUAD * (size_t)tile);
        cg_endif(c, &below);
    }
}

static void
clear_m(Cg *c, const Chunks *v)
{
    enum { UNIT_BYTES = 16 };
    const int64_t bytes = (int64_t)M_PLACES * v->heads * ROWS;
    Chunks u = *v;
    enter_run(c, &u, cg_i64(c, 0)); /* its M is the first place */
    CgLoop i = cg_loop(c, "clear", own_thread(c, v), cg_i64(c, bytes / UNIT_BYTES), GPU_WARPGROUP);
    const Val to = cg_offset(c, u.M, cg_mul(c, i.i, cg_i64(c, UNIT_BYTES)));
    LLVMSetAlignment(LLVMBuildStore(c->b, LLVMConstNull(LLVMVectorType(c->i32, 4)), to),
                     UNIT_BYTES);
    cg_loop_end(c, &i);
}

static void
feed_all(Cg *c, const Chunks *v)
{
    const Val from = v->g.from;
    Val s[SUMS], dt[PTX_SSD_LANE_TOKENS];
    Chunks u = *v;
    clear_m(c, v);
    for (int i = 0; i < X_PLACES; i++) {
        fetch_dt(c, v, after(c, from, i), dt);
        put_dt(c, v, after(c, from, i), dt);
    }
    for (int i = 0; i < X_PLACES - 1; i++) {
        CgIf is = if_run(c, v, after(c, from, i));
        make_decays(c, v, after(c, from, i));
        cg_endif(c, &is);
    }
    ptx_barrier(c); /* C and B of the first run are there */
    enter_run(c, &u, from);
    begin_s(c, &u, s);
    make_m(c, &u, s);
    ptx_wgmma_show(c);
    CgLoop run = cg_loop(c, "feed", from, cg_sub(c, v->g.to, cg_i64(c, 1)), 1);
    ptx_barrier(c);
    enter_run(c, &u, after(c, run.i, 1));
    begin_s(c, &u, s);
    fetch_dt(c, v, after(c, run.i, X_PLACES), dt);
    CgIf later = if_run(c, v, after(c, run.i, 2));
    make_decays(c, v, after(c, run.i, 2));
    cg_endif(c, &later);
    make_m(c, &u, s);
    put_dt(c, v, after(c, run.i, X_PLACES), dt);
    ptx_wgmma_show(c);
    cg_loop_end(c, &run);
    ptx_barrier(c); /* the last run */
}

/* ---- a head's warps ---------------------------------------------------------------------------
 */

static void
load_state(Cg *c, Chunks *v)
{
    ptx_groups_open_state(c, &v->g);
    if (!v->stretches) {
        ptx_groups_load(c, &v->g, NULL);
        return;
    }
    CgIf cut = cg_if(c, v->is_cut);
    ptx_groups_load(c, &v->g, v->entry);
    cg_else(c, &cut);
    ptx_groups_load(c, &v->g, NULL);
    cg_endif(c, &cut);
}

/* The last stretch's is the sequence's. */
static void
store_state(Cg *c, const Chunks *v)
{
    CgIf last = {0};
    if (v->stretches)
        last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->g.to, v->all, ""));
    ptx_groups_store(c, &v->g, NULL);
    if (v->stretches)
        cg_endif(c, &last);
}

static void
open_signal(Cg *c, const Chunks *v)
{
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    ptx_signal_open(c, v->signal, TEAMS * PTX_GROUP_WARPS);
    cg_endif(c, &one);
}

static void
run_fed(Cg *c, Chunks *v)
{
    const int ahead = v->places - 1;
    const CgOperand *rounded = rounded_output(v);
    const Value *const both[] = {v->g.s.C, v->g.s.B};
    for (int i = 0; i < ahead; i++)
        stage_group(c, v, after(c, v->g.from, i), both, 2);
    if (v->splits > 1)
        open_signal(c, v);
    for (int i = 0; i < X_PLACES - 1; i++)
        stage_x(c, v, after(c, v->g.from, i));
    ptx_copy_commit(c);
    load_state(c, v);
    ptx_copy_wait(c, 0);
    ptx_wgmma_show(c);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", v->g.from, v->g.to, 1);
    ptx_barrier(c);                 /* M of this run is made, C and B of the next are there */
    const int late = v->splits > 1; /* C: from the midst of a run on */
    stage_group(c, v, after(c, run.i, ahead), both + late, 2 - late);
    stage_x(c, v, after(c, run.i, X_PLACES - 1));
    ptx_copy_commit(c);
    enter_run(c, v, run.i);
    go_through(c, v, rounded);
    cg_loop_end(c, &run);
    store_state(c, v);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

/* One mode, by the blocks that it has. */
static void
run_mode(Cg *c, Chunks *v)
{
    const int threads = warps_of(v);
    CgIf has = cg_if(c, cg_less(c, ptx_block(c, 1), cg_i64(c, blocks_of_segment(v))));
    CgIf own = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, threads)));
    place_warp(c, v);
    CgIf some = cg_if(c, cg_less(c, v->g.from, v->g.to));
    CgIf role = cg_if(c, cg_less(c, v->feeder, cg_i64(c, 0)));
    if (teams_of(v) > 1)
        ptx_registers(c, REGISTERS, true);
    run_fed(c, v);
    cg_else(c, &role);
    if (teams_of(v) > 1)
        ptx_registers(c, FEEDER_REGISTERS, false);
    feed_all(c, v);
    cg_endif(c, &role);
    cg_endif(c, &some);
    cg_endif(c, &own);
    cg_endif(c, &has);
}

bool
ptx_ssd_wgmma(Cg *c, PtxSsd *s)
{
    Chunks v = {.g.s = *s};
    v.g.s.run = PTX_SSD_RUN;
    v.stretches = s->starts ? s->starts->type.shape.dim[0].n / 2 : 0;
    if (s->states > PTX_GROUPS_MOST_STATES || !choose_sizes(c, &v, MOST_HEADS))
        return false;
    ptx_threads(s->k, (int64_t)warps_of(&v) * GPU_WARP);
    ptx_resident(c, 1);
    ptx_grid(s->k, 0, ABI_SEGMENTS, 1, 1, 1);
    ptx_grid_more(s->k, 0, v.stretches);
    ptx_grid(s->k, 1, ABI_ONE, blocks_of_segment(&v), 1, 1);
    v.shared = ptx_shared(c, s->k, all_bytes(&v));
    run_mode(c, &v);
    return true;
}
