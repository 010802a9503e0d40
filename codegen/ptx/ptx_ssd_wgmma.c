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
 * More than 128 states (N to 256) take most registers of a head's warps, and C and B most of shared
 * memory. So the feeders copy, by boxes where they can: as a run begins B of run i + 2 and x of run
 * i + 1, and C of run i + 2 when the heads' warps have said that they have read this run's. M is
 * kept without its quarter of zeros, and x of x^T M^T is read where it lies.
 *
 * Numbers are rounded to bf16 where ptx_ssd_bf16.c rounds them. Where parts of a segment are made
 * side by side, each begins with the state that a kernel before has made (ptx_ssd_starts.c), to the
 * bit as this one would: so no bit depends on how a segment is cut.
 *
 * N=128, P=64, two heads a block: products of a run take 640 cycles of the tensor cores a head and
 * 256 for S, 1540 in all, 0.22 ms for 65536 tokens of 64 heads; x and y alone take 0.26 at 4.2
 * TB/s. Measured on an H200: 0.63; N=256: 0.91 (bench/NOTES.md, "A GPU: the SSD"). */
#include "codegen/ptx/ssd_wgmma.h"

/* ROWS: of 64 columns of a run in shared memory. X_PLACES: of x and of decays; M_PLACES: of M; the
 * others: of C and B. */
enum { QUAD = 4, HALF = 8, ROWS = PTX_SSD_ROWS_BYTES, X_PLACES = 3, M_PLACES = 2 };
enum { MOST_PLACES = 4, LEAST_PLACES = 3, SUMS = PTX_SSD_RUN / 2 };
enum { STEPS = PTX_SSD_RUN / PTX_SSD_TILE, MOST_HEADS = 2 };
/* Of more than 128 states. Rows of M have 32 columns of each head side by side: all rows of the
 * first 32, then the lower rows of the others. */
enum { WIDE_C_PLACES = 2, WIDE_X_PLACES = 2, HALF_RUN = PTX_SSD_RUN / 2, WIDE_M = ROWS + ROWS / 2 };
enum { SIGNAL_BYTES = 8, WIDE_MAPS = 3 };
/* Of a thread, where two heads have 64 K of them: as many as all had at first. */
enum { REGISTERS = 192, FEEDER_REGISTERS = 120, WIDE_REGISTERS = 208, WIDE_FEEDER_REGISTERS = 88 };
enum { ALL_REGISTERS = 3 * (65536 / (3 * GPU_WARPGROUP) / 8 * 8) };
_Static_assert(2 * REGISTERS + FEEDER_REGISTERS <= ALL_REGISTERS &&
                   2 * WIDE_REGISTERS + WIDE_FEEDER_REGISTERS <= ALL_REGISTERS,
               "a thread that waits for registers waits for ever");

typedef struct {
    PtxGroups g;
    int heads;  /* of a block */
    bool wide;  /* more than 128 states */
    bool boxes; /* wide: whole runs are copied by boxes, of these maps */
    int x_map, B_map, C_map;
    int places;   /* of B */
    int c_places; /* of C */
    int x_places;
    int64_t run_bytes; /* of C, and of B, of a run */
    Val shared;
    Val first;                  /* head of the block */
    Val team;                   /* this warp's four among those that have state */
    Val full, read;             /* wide: signals of a run: copies are there; all have read C */
    Val number;                 /* of this run */
    Val C, B, x, M;             /* of this run; x of this thread's head, M of the block's first */
    Val c_at, b_at, x_at, m_at; /* wide: bytes from `shared` to them */
    Val xs_at;                  /* x of the block's first */
    Val m_begin;                /* to where this thread's M begins */
    PtxDecay decay;             /* of this thread's head */
    Val decays;                 /* of the block's */
    Val feeder;                 /* this warp's number among them */
    int64_t stretches;          /* 0: segments are not cut */
    Val all;                    /* runs of the segment */
    Val is_cut, entry;          /* i1: it is, and where the state before the stretch is */
} Chunks;

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t
decay_bytes(const Chunks *v)
{
    return v->heads * ptx_ssd_decay_bytes(&v->g.s);
}

static int64_t
m_bytes(const Chunks *v)
{
    return v->wide ? WIDE_M : v->heads * ROWS;
}

static int64_t
all_bytes(const Chunks *v)
{
    return (v->places + v->c_places) * v->run_bytes + (int64_t)v->x_places * v->heads * ROWS +
           M_PLACES * m_bytes(v) + X_PLACES * decay_bytes(v) + (v->wide ? 2 * SIGNAL_BYTES : 0);
}

/* What boxes bring of columns beyond B and C would be multiplied. */
static bool
takes_boxes(const Chunks *v)
{
    const PtxSsd *s = &v->g.s;
    return v->wide && s->states % PTX_SSD_TILE == 0 && ptx_groups_in_boxes(s->k, s->x) &&
           ptx_groups_in_boxes(s->k, s->B) && ptx_groups_in_boxes(s->k, s->C);
}

static bool
choose_sizes(const Cg *c, Chunks *v, int heads)
{
    const PtxSsd *s = &v->g.s;
    if (s->states > PTX_GROUPS_MOST_STATES)
        return false;
    ptx_groups_sizes(&v->g);
    v->wide = v->g.n > PTX_GROUPS_FEW_STATES;
    v->boxes = takes_boxes(v);
    v->heads = s->heads / s->groups % heads == 0 ? heads : 1;
    v->run_bytes = ptx_groups_bytes(v->g.n);
    v->x_places = v->wide ? WIDE_X_PLACES : X_PLACES;
    for (v->places = v->wide ? LEAST_PLACES : MOST_PLACES; v->places >= LEAST_PLACES; v->places--) {
        v->c_places = v->wide ? WIDE_C_PLACES : v->places;
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
    return (v->heads + 1) * PTX_GROUP_WARPS;
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

/* What the block and this warp have. */
static void
place_warp(Cg *c, Chunks *v)
{
    const Val warp = ptx_warp(c), block = ptx_block(c, 1), parts = cg_i64(c, v->g.parts);
    const Val line = cg_div(c, block, parts), group = cg_i64(c, PTX_GROUP_WARPS);
    v->team = cg_div(c, warp, group);
    v->first = cg_mul(c, line, cg_i64(c, v->heads));
    v->feeder = cg_sub(c, warp, cg_i64(c, v->heads * PTX_GROUP_WARPS));
    const Val has_state = cg_less(c, v->team, cg_i64(c, v->heads));
    const Val near = cg_min(c, v->feeder, cg_i64(c, v->heads - 1)); /* whose decays it makes */
    v->g.number = LLVMBuildSelect(c->b, has_state, v->team, near, "");
    v->g.begin = cg_mul(c, cg_sub(c, block, cg_mul(c, line, parts)), cg_i64(c, PTX_GROUP_COLUMNS));
    v->g.warp = LLVMBuildURem(c->b, warp, group, "");
    place_part(c, v);
}

/* Bytes to the place of run `number` among some that follow each other from `begin` on. */
static Val
bytes_in_turn(Cg *c, Val number, int64_t begin, int places, int64_t bytes)
{
    const Val short_number = LLVMBuildTrunc(c->b, number, c->i32, "");
    const Val count = LLVMConstInt(c->i32, (unsigned)places, 0);
    const Val turn = LLVMBuildZExt(c->b, LLVMBuildURem(c->b, short_number, count, ""), c->i64, "");
    return cg_add(c, cg_mul(c, turn, cg_i64(c, bytes)), cg_i64(c, begin));
}

static void
enter_places(Cg *c, Chunks *v, Val number)
{
    const int64_t x_bytes = v->heads * ROWS;
    const Val xs = cg_offset(c, v->shared, cg_i64(c, (v->c_places + v->places) * v->run_bytes));
    const Val ms = cg_offset(c, xs, cg_i64(c, v->x_places * x_bytes));
    const Val decays = cg_offset(c, ms, cg_i64(c, M_PLACES * m_bytes(v)));
    v->C = in_turn(c, v->shared, number, v->places, 2 * v->run_bytes); /* one number finds both */
    v->B = cg_offset(c, v->C, cg_i64(c, v->run_bytes));
    v->x = cg_offset(c, in_turn(c, xs, number, v->x_places, x_bytes),
                     cg_mul(c, v->g.number, cg_i64(c, ROWS)));
    v->M = in_turn(c, ms, number, M_PLACES, x_bytes);
    v->decays = in_turn(c, decays, number, X_PLACES, decay_bytes(v));
}

/* By bytes from where the block's memory begins: wgmma and threads find what they read by few
 * numbers. */
static void
enter_wide_places(Cg *c, Chunks *v, Val number)
{
    const int64_t x_bytes = v->heads * ROWS, bs = v->c_places * v->run_bytes;
    const int64_t xs = bs + v->places * v->run_bytes, ms = xs + v->x_places * x_bytes;
    const int64_t decays = ms + M_PLACES * m_bytes(v);
    const Val own = cg_mul(c, v->g.number, cg_i64(c, ROWS));
    v->c_at = bytes_in_turn(c, number, 0, v->c_places, v->run_bytes);
    v->b_at = bytes_in_turn(c, number, bs, v->places, v->run_bytes);
    v->xs_at = bytes_in_turn(c, number, xs, v->x_places, x_bytes);
    v->x_at = cg_add(c, v->xs_at, own);
    v->m_at = bytes_in_turn(c, number, ms, M_PLACES, m_bytes(v));
    v->x = cg_offset(c, v->shared, v->x_at);
    v->decays = cg_offset(c, v->shared, bytes_in_turn(c, number, decays, X_PLACES, decay_bytes(v)));
}

/* Run `number` of the segment is what v is about from here on. */
static void
enter_run(Cg *c, Chunks *v, Val number)
{
    v->number = number;
    v->g.run = ptx_ssd_run(c, &v->g.s, number);
    if (v->wide)
        enter_wide_places(c, v, number);
    else
        enter_places(c, v, number);
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

/* All that have state copy C and B of a run. */
static void
stage_group(Cg *c, const Chunks *v, Val number)
{
    const PtxSsd *s = &v->g.s;
    const Value *const from[] = {s->C, s->B};
    const Val before = cg_mul(c, v->g.number, cg_i64(c, GPU_WARPGROUP));
    Chunks u = *v;
    CgIf is = if_run(c, v, number);
    enter_run(c, &u, number);
    for (int i = 0; i < 2; i++) {
        PtxStage t = ptx_ssd_stage_group(c, s, from[i]);
        t.thread = cg_add(c, before, own_thread(c, v));
        t.threads = (int64_t)v->heads * GPU_WARPGROUP;
        t.run = u.g.run;
        t.to = (PtxRows){i ? u.B : u.C, 0};
        ptx_ssd_stage(c, &t);
    }
    cg_endif(c, &is);
}

/* And each head's its x. */
static void
stage_x(Cg *c, const Chunks *v, Val number)
{
    Chunks u = *v;
    CgIf is = if_run(c, v, number);
    enter_run(c, &u, number);
    PtxStage t = ptx_ssd_stage_x(c, &v->g.s, v->g.s.head, v->g.begin, PTX_GROUP_COLUMNS);
    t.thread = own_thread(c, v);
    t.threads = GPU_WARPGROUP;
    t.run = u.g.run;
    t.to = (PtxRows){u.x, 0};
    ptx_ssd_stage(c, &t);
    cg_endif(c, &is);
}

/* ---- copies of more than 128 states: by the feeders
 * --------------------------------------------- */

/* Of the warp that has no decays to make. */
static CgIf
if_copies(Cg *c, const Chunks *v)
{
    const Val number = cg_i64(c, GPU_WARPGROUP - GPU_WARP);
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, own_thread(c, v), number, ""));
}

/* Columns of v's run as boxes of 64. */
static void
copy_boxes(Cg *c, const Chunks *v, int map, Val first, int64_t columns, Val to)
{
    for (int64_t i = 0; i < columns; i += PTX_GROUP_COLUMNS) {
        const Val place = cg_offset(c, to, cg_i64(c, i / PTX_GROUP_COLUMNS * ROWS));
        ptx_signal_more(c, v->full, ROWS);
        ptx_box_copy(c, v->g.s.k, place, map, cg_add(c, first, cg_i64(c, i)), v->g.run.row,
                     v->full);
    }
}

static void
copy_staged(Cg *c, const Chunks *v, PtxStage t, Val to)
{
    t.whole = t.whole && !v->boxes; /* of whole runs there are none then */
    t.thread = own_thread(c, v);
    t.threads = GPU_WARPGROUP;
    t.run = v->g.run;
    t.to = (PtxRows){to, 0};
    ptx_ssd_stage(c, &t);
}

/* Whole runs are copied by one thread. Opens a branch for it, and whole_else one for all. */
static CgIf
if_whole(Cg *c, const Chunks *v)
{
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->g.run.count, cg_i64(c, PTX_SSD_RUN), ""));
}

/* C or B of a run, if it is whole and there are boxes. */
static void
feed_boxes(Cg *c, const Chunks *v, Val number, bool is_C)
{
    const PtxSsd *s = &v->g.s;
    const PtxStage t = ptx_ssd_stage_group(c, s, is_C ? s->C : s->B);
    if (!v->boxes)
        return;
    Chunks u = *v;
    CgIf is = if_run(c, v, number);
    enter_run(c, &u, number);
    CgIf whole = if_whole(c, &u);
    CgIf one = if_copies(c, v);
    copy_boxes(c, &u, is_C ? v->C_map : v->B_map, t.first, t.columns,
               cg_offset(c, v->shared, is_C ? u.c_at : u.b_at));
    cg_endif(c, &one);
    cg_endif(c, &whole);
    cg_endif(c, &is);
}

/* If not. */
static void
feed_staged(Cg *c, const Chunks *v, Val number, bool is_C)
{
    const PtxSsd *s = &v->g.s;
    Chunks u = *v;
    CgIf is = if_run(c, v, number), whole = {0};
    enter_run(c, &u, number);
    if (v->boxes) {
        whole = if_whole(c, &u);
        cg_else(c, &whole);
    }
    copy_staged(c, &u, ptx_ssd_stage_group(c, s, is_C ? s->C : s->B),
                cg_offset(c, v->shared, is_C ? u.c_at : u.b_at));
    if (v->boxes)
        cg_endif(c, &whole);
    cg_endif(c, &is);
}

static void
feed_group(Cg *c, const Chunks *v, Val number, bool is_C)
{
    feed_boxes(c, v, number, is_C);
    feed_staged(c, v, number, is_C);
}

static void
feed_x(Cg *c, const Chunks *v, Val number)
{
    const PtxSsd *s = &v->g.s;
    Chunks u = *v;
    CgIf is = if_run(c, v, number), whole = {0};
    enter_run(c, &u, number);
    Val to[MOST_HEADS];
    PtxStage t[MOST_HEADS];
    for (int i = 0; i < v->heads; i++) {
        const Val head = cg_add(c, v->first, cg_i64(c, i));
        to[i] = cg_offset(c, v->shared, cg_add(c, u.xs_at, cg_i64(c, (int64_t)i * ROWS)));
        t[i] = ptx_ssd_stage_x(c, s, head, v->g.begin, PTX_GROUP_COLUMNS);
    }
    if (v->boxes) {
        whole = if_whole(c, &u);
        CgIf one = if_copies(c, v);
        for (int i = 0; i < v->heads; i++)
            copy_boxes(c, &u, v->x_map, cg_add(c, t[i].first, t[i].begin), t[i].columns, to[i]);
        cg_endif(c, &one);
        cg_else(c, &whole);
    }
    for (int i = 0; i < v->heads; i++)
        copy_staged(c, &u, t[i], to[i]);
    if (v->boxes)
        cg_endif(c, &whole);
    cg_endif(c, &is);
}

/* The warp's copies are there, and what else it has made for wgmma. */
static void
give(Cg *c, Val signal)
{
    ptx_warp_barrier(c);
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), ""));
    ptx_signal_give(c, signal);
    cg_endif(c, &one);
}

static void
give_full(Cg *c, const Chunks *v)
{
    ptx_copy_commit(c);
    ptx_copy_wait(c, 0);
    ptx_wgmma_show(c);
    give(c, v->full);
}

/* The signal's round of run `number`. */
static void
wait_for(Cg *c, const Chunks *v, Val signal, Val number)
{
    const Val odd = LLVMBuildAnd(c->b, cg_sub(c, number, v->g.from), cg_i64(c, 1), "");
    ptx_signal_wait(c, signal, LLVMBuildTrunc(c->b, odd, c->i32, ""));
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

/* Rows of the block's memory, as wgmma takes them, and columns of them. */
static Val
wide_rows(Cg *c, const Chunks *v, Val at)
{
    return ptx_wgmma_further(c, ptx_wgmma_rows(c, v->shared, cg_i64(c, 0)), at);
}

static Val
wide_columns(Cg *c, const Chunks *v, Val at)
{
    return ptx_wgmma_further(c, ptx_wgmma_columns(c, v->shared, cg_i64(c, 0), ROWS), at);
}

/* 16 states from k on as a left operand. */
static void
state_pairs(Cg *c, const Chunks *v, int64_t k, Val left[4])
{
    for (int64_t e = 0; e < 4; e++)
        left[e] = ptx_pair(c, cg_get(c, c->f32, v->g.h[8 * k + 2 * e]),
                           cg_get(c, c->f32, v->g.h[8 * k + 2 * e + 1]));
}

/* h^T C^T of the run, on its way. */
static void
from_state(Cg *c, const Chunks *v, Val y[SUMS])
{
    const Val rows = ptx_wgmma_rows(c, v->C, cg_i64(c, 0));
    const int64_t steps = v->g.n / PTX_SSD_TILE;
    ptx_wgmma_begin(c);
    for (int64_t k = 0; k < steps; k++) {
        Val left[4];
        state_pairs(c, v, k, left);
        const Val at = tile_of_states(c, k);
        ptx_wgmma_bf16_by(c, y, SUMS, left, ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* The same, with registers for the left operands of two groups of products. */
static void
from_wide_state(Cg *c, const Chunks *v, Val y[SUMS])
{
    enum { TOGETHER = 2 };
    const Val rows = wide_rows(c, v, v->c_at);
    const int64_t steps = v->g.n / PTX_SSD_TILE;
    for (int64_t first = 0; first < steps; first += TOGETHER) {
        const int64_t to = first + TOGETHER < steps ? first + TOGETHER : steps;
        Val left[TOGETHER][4];
        if (first >= 2 * TOGETHER)
            ptx_wgmma_wait(c, 1);
        for (int64_t k = first; k < to; k++)
            state_pairs(c, v, k, left[k - first]);
        ptx_wgmma_begin(c);
        for (int64_t k = first; k < to; k++)
            ptx_wgmma_bf16_by(c, y, SUMS, left[k - first],
                              ptx_wgmma_further(c, rows, tile_of_states(c, k)), false);
        ptx_wgmma_commit(c);
    }
}

/* Of each 8 tokens, what is left of the state before the run at this thread's two. */
static void
load_enter(Cg *c, const Chunks *v, Val enter[PTX_SSD_RUN / HALF][2])
{
    for (int b = 0; b < PTX_SSD_RUN / HALF; b++)
        ptx_groups_two_of(c, &v->g, v->decay.enter, b * HALF, enter[b]);
}

/* Sums of 16 tokens. */
static Val *
tile_of(Val y[SUMS], int tile)
{
    return y + (size_t)tile * (PTX_SSD_TILE / 2);
}

/* What is left of the state at each of a tile's tokens, and D x: a left operand has its numbers
 * where sums have theirs. */
static void
scale_and_skip(Cg *c, const Chunks *v, Val y[PTX_SSD_TILE / 2], Val enter[2][2], const Val x[4])
{
    for (int b = 0; b < 2; b++)
        for (int e = 0; e < QUAD; e++) {
            Val *sum = &y[QUAD * b + e];
            *sum = cg_fmul(c, *sum, enter[b][e % 2]);
            if (!v->g.s.skip)
                continue;
            const Val pair = x[b * 2 + e / 2];
            const Val own = e % 2 ? ptx_high(c, pair) : ptx_low(c, pair);
            *sum = cg_fma(c, v->g.s.skip, own, *sum);
        }
}

/* Bytes of 16 tokens in rows of 64 columns: what is so far on lies as it does here. */
enum { TILE_BYTES = PTX_SSD_TILE * PTX_GROUP_COLUMNS * 2 };

/* As ptx_groups_load_x, of one tile of tokens. */
static void
load_tile_of_x(Cg *c, Val unit, int tile, Val x[4])
{
    ptx_load_matrices(c, cg_offset(c, unit, cg_i64(c, (int64_t)tile * TILE_BYTES)), true, x);
}

/* Where this lane's row of the matrices of the first 16 tokens is, of the warp's columns of x. */
static Val
unit_of_x(Cg *c, const Chunks *v)
{
    const PtxRows rows = {v->x, 0};
    const Val own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    return ptx_ssd_unit_at(c, &rows, v->g.down, cg_add(c, own, v->g.over));
}

/* x^T M^T, on its way. */
static void
from_tokens(Cg *c, const Chunks *v, Val y[SUMS], Val x[STEPS][4])
{
    const Val rows = ptx_wgmma_rows(c, v->M, cg_mul(c, v->g.number, cg_i64(c, ROWS)));
    ptx_wgmma_begin(c);
    for (int j = 0; j < STEPS; j++) {
        const Val at = cg_i64(c, (int64_t)j * 2 * PTX_SSD_TILE);
        ptx_wgmma_bf16_by(c, y, SUMS, x[j], ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* Bytes of a row of M that a head has, where heads lie side by side. */
enum { WIDE_M_COLUMNS = HALF_RUN * 2 };

/* The same, with x where it lies: tokens of the first half of a run have none after it. */
static void
from_wide_tokens(Cg *c, const Chunks *v, Val y[SUMS])
{
    enum { STEPS_OF_HALF = STEPS / 2 };
    const Val x = wide_columns(c, v, v->x_at);
    const Val own = cg_mul(c, v->g.number, cg_i64(c, WIDE_M_COLUMNS));
    const Val rows = wide_rows(c, v, cg_add(c, v->m_at, own));
    ptx_wgmma_begin(c);
    for (int64_t half = 0; half < 2; half++)
        for (int64_t j = 0; j < STEPS_OF_HALF * (half + 1); j++) {
            const int64_t block = j < STEPS_OF_HALF ? half * ROWS / 2 : ROWS;
            const Val token = cg_i64(c, j * TILE_BYTES);
            const Val at = cg_i64(c, block + j % STEPS_OF_HALF * 2 * PTX_SSD_TILE);
            ptx_wgmma_bf16_over(c, y + SUMS / 2 * half, SUMS / 2, ptx_wgmma_further(c, x, token),
                                ptx_wgmma_further(c, rows, at));
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
    for (int i = 0; i < SUMS; i++) {
        const Val token = cg_add(c, v->g.place, cg_i64(c, i / QUAD * HALF + i % 2));
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
    ptx_warp_barrier(c);
    for (int b = 0; b < SUMS / QUAD; b += 2) {
        Val in[4];
        for (int e = 0; e < 4; e++)
            in[e] = ptx_pair(c, y[QUAD * (b + e / 2) + e % 2 * 2],
                             y[QUAD * (b + e / 2) + e % 2 * 2 + 1]);
        const Val token = cg_add(c, v->g.down, cg_i64(c, b * HALF));
        ptx_store_matrices(c, ptx_ssd_unit_at(c, &rows, token, cg_add(c, own, v->g.over)), in);
    }
    ptx_warp_barrier(c);
    const Val first = cg_div(c, lane, cg_i64(c, UNITS));
    const Val unit = cg_sub(c, lane, cg_mul(c, first, cg_i64(c, UNITS)));
    const Val in_group = cg_add(c, own, cg_mul(c, unit, cg_i64(c, PTX_SSD_UNIT)));
    const Val p = cg_add(c, v->g.begin, in_group);
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    const Val column = cg_less(c, p, cg_i64(c, s->head_dim));
    Val unit_of[PTX_SSD_RUN / TOKENS];
    for (int i = 0; i < PTX_SSD_RUN / TOKENS; i++) {
        const Val token = cg_add(c, first, cg_i64(c, (int64_t)i * TOKENS));
        unit_of[i] = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4),
                                    ptx_ssd_unit_at(c, &rows, token, in_group), "");
        LLVMSetAlignment(unit_of[i], UNIT_BYTES);
    }
    for (int i = 0; i < PTX_SSD_RUN / TOKENS; i++) {
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

/* As store_rounded, with one address for what lies so many tokens on. */
static void
store_wide(Cg *c, const Chunks *v, const CgOperand *out, Val unit, Val y[SUMS])
{
    enum { UNITS = PTX_SSD_TILE / PTX_SSD_UNIT, UNIT_BYTES = 16 };
    const PtxSsd *s = &v->g.s;
    const PtxRows rows = {v->x, 0};
    const Val lane = ptx_lane(c), own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    ptx_warp_barrier(c);
    for (int j = 0; j < STEPS; j++) {
        const Val *sum = tile_of(y, j);
        Val in[4];
        for (int e = 0; e < 4; e++)
            in[e] = ptx_pair(c, sum[2 * e], sum[2 * e + 1]);
        ptx_store_matrices(c, cg_offset(c, unit, cg_i64(c, (int64_t)j * TILE_BYTES)), in);
    }
    ptx_warp_barrier(c);
    const Val first = cg_div(c, lane, cg_i64(c, UNITS));
    const Val in_line = LLVMBuildAnd(c->b, lane, cg_i64(c, UNITS - 1), "");
    const Val in_group = cg_add(c, own, cg_mul(c, in_line, cg_i64(c, PTX_SSD_UNIT)));
    const Val p = cg_add(c, v->g.begin, in_group),
              from = ptx_ssd_unit_at(c, &rows, first, in_group);
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    const Val to =
        cg_element(c, out->base, DTYPE_bf16, cg_add(c, v->g.run.row, first), out->stride, col);
    const bool whole = s->head_dim % PTX_GROUP_COLUMNS == 0;
    const Val column = whole ? NULL : cg_less(c, p, cg_i64(c, s->head_dim));
    for (int j = 0; j < STEPS; j++) {
        const Val row =
            cg_less(c, first, cg_sub(c, v->g.run.count, cg_i64(c, (int64_t)j * PTX_SSD_TILE)));
        const Val one = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4),
                                       cg_offset(c, from, cg_i64(c, (int64_t)j * TILE_BYTES)), "");
        LLVMSetAlignment(one, UNIT_BYTES);
        CgIf some = cg_if(c, whole ? row : LLVMBuildAnd(c->b, row, column, ""));
        const Val further = cg_at(c, to, DTYPE_bf16, cg_i64(c, j * PTX_SSD_TILE * out->stride));
        LLVMSetAlignment(LLVMBuildStore(c->b, one, further), UNIT_BYTES);
        cg_endif(c, &some);
    }
}

/* A head's warps go through a run. */
static void
go_through(Cg *c, Chunks *v, const CgOperand *rounded)
{
    Val y[SUMS], enter[PTX_SSD_RUN / HALF][2], x[STEPS][4], weighed[STEPS][4];
    for (int i = 0; i < SUMS; i++)
        y[i] = cg_f32(c, 0);
    from_state(c, v, y);
    ptx_groups_load_x(c, &v->g, v->x, x);
    ptx_wgmma_end(c, 0, y, SUMS);
    load_enter(c, v, enter);
    for (int j = 0; j < STEPS; j++)
        scale_and_skip(c, v, tile_of(y, j), enter + (size_t)2 * (size_t)j, x[j]);
    from_tokens(c, v, y, x);
    ptx_groups_weigh(c, &v->g, &v->decay, x, weighed);
    ptx_groups_update(c, &v->g, &v->decay, v->B, weighed);
    await_copies(c, v);
    ptx_wgmma_end(c, 1, y, SUMS);
    if (rounded)
        store_rounded(c, v, rounded, y);
    else
        store_each(c, v, y);
    ptx_groups_updated(c, &v->g);
}

static void
go_through_wide(Cg *c, Chunks *v, const CgOperand *rounded)
{
    Val y[SUMS], x[STEPS][4], weighed[STEPS][4];
    for (int i = 0; i < SUMS; i++)
        y[i] = cg_f32(c, 0);
    from_wide_state(c, v, y);
    ptx_wgmma_end(c, 0, y, SUMS);
    give(c, v->read);
    const Val unit = unit_of_x(c, v);
    for (int j = 0; j < STEPS; j++) {
        Val enter[2][2], of_tile[4];
        load_tile_of_x(c, unit, j, of_tile);
        for (int b = 0; b < 2; b++)
            ptx_groups_two_of(c, &v->g, v->decay.enter, j * PTX_SSD_TILE + b * HALF, enter[b]);
        scale_and_skip(c, v, tile_of(y, j), enter, of_tile);
    }
    from_wide_tokens(c, v, y);
    for (int j = 0; j < STEPS; j++) /* again: registers are few */
        load_tile_of_x(c, unit, j, x[j]);
    ptx_groups_weigh(c, &v->g, &v->decay, x, weighed);
    const Val kept = ptx_groups_kept(c, &v->decay);
    ptx_groups_update_of(c, &v->g, kept, wide_columns(c, v, v->b_at), weighed);
    ptx_wgmma_end(c, 1, y, SUMS);
    if (rounded)
        store_wide(c, v, rounded, unit, y);
    else
        store_each(c, v, y);
    ptx_wgmma_show(c); /* before x is copied over y */
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

/* Bytes from the block's memory to M of this run: of this thread's place in its first row. */
static Val
begin_of_m(Cg *c, const Chunks *v)
{
    enum { ROW_BYTES = PTX_GROUP_COLUMNS * 2, UNIT_BYTES = 16 };
    const Val row = cg_mul(c, first_row(c, v), cg_i64(c, ROW_BYTES));
    const Val units = cg_mul(c, v->g.line, cg_i64(c, UNIT_BYTES));
    const Val in_row = cg_add(c, units, cg_mul(c, v->g.place, cg_i64(c, 2)));
    return cg_add(c, v->m_at, cg_add(c, row, in_row));
}

/* Two numbers of a head's M: of this thread's row in a half, from token `col` on. In a run with
 * one bit changed for each unit: addresses that are the same in all runs would take registers. */
static Val
two_of_m(Cg *c, const Chunks *v, int64_t head, int64_t half, int64_t col)
{
    if (!v->wide) {
        const PtxRows m = {cg_offset(c, v->M, cg_i64(c, head * ROWS)), 0};
        const Val row = cg_add(c, first_row(c, v), cg_i64(c, half * HALF));
        return cg_at(c, ptx_ssd_unit_at(c, &m, row, cg_i64(c, col)), DTYPE_bf16, v->g.place);
    }
    const int64_t in_row = 2 * (head * HALF_RUN + col % HALF_RUN);
    const int64_t down = half * HALF * PTX_GROUP_COLUMNS * 2 + (col < HALF_RUN ? 0 : ROWS / 2);
    const Val unit = LLVMBuildXor(c->b, v->m_begin, cg_i64(c, in_row), "");
    return cg_offset(c, cg_offset(c, v->shared, unit), cg_i64(c, down));
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
                const Val to = two_of_m(c, v, head, half, tile * PTX_SSD_TILE + b * HALF);
                LLVMSetAlignment(LLVMBuildStore(c->b, pair[head][b][half], to), 4);
            }
}

/* S of all tokens of v's run, on its way. */
static void
begin_s(Cg *c, const Chunks *v, Val s[SUMS])
{
    const int64_t steps = (v->g.s.states + PTX_SSD_TILE - 1) / PTX_SSD_TILE;
    const Val zero = cg_i64(c, 0);
    const Val left = v->wide ? wide_rows(c, v, v->c_at) : ptx_wgmma_rows(c, v->C, zero);
    const Val right = v->wide ? wide_rows(c, v, v->b_at) : ptx_wgmma_rows(c, v->B, zero);
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
make_m(Cg *c, Chunks *v, Val s[SUMS])
{
    if (v->wide)
        v->m_begin = begin_of_m(c, v);
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
    const int64_t bytes = M_PLACES * m_bytes(v);
    Chunks u = *v;
    enter_run(c, &u, cg_i64(c, 0)); /* its M is the first place */
    CgLoop i = cg_loop(c, "clear", own_thread(c, v), cg_i64(c, bytes / UNIT_BYTES), GPU_WARPGROUP);
    const Val m = v->wide ? cg_offset(c, v->shared, u.m_at) : u.M;
    const Val to = cg_offset(c, m, cg_mul(c, i.i, cg_i64(c, UNIT_BYTES)));
    LLVMSetAlignment(LLVMBuildStore(c->b, LLVMConstNull(LLVMVectorType(c->i32, 4)), to),
                     UNIT_BYTES);
    cg_loop_end(c, &i);
}

/* dt of the first runs, decays of all but the last of them. */
static void
first_decays(Cg *c, const Chunks *v)
{
    const Val from = v->g.from;
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < X_PLACES; i++) {
        fetch_dt(c, v, after(c, from, i), dt);
        put_dt(c, v, after(c, from, i), dt);
    }
    for (int i = 0; i < X_PLACES - 1; i++) {
        CgIf is = if_run(c, v, after(c, from, i));
        make_decays(c, v, after(c, from, i));
        cg_endif(c, &is);
    }
}

static void
feed_all(Cg *c, const Chunks *v)
{
    const Val from = v->g.from;
    Val s[SUMS], dt[PTX_SSD_LANE_TOKENS];
    Chunks u = *v;
    clear_m(c, v);
    first_decays(c, v);
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

/* Of one head or two the number, of which a register's half is known. */
static Val
number_of(Cg *c, const Chunks *v, Val warps)
{
    if (v->heads == 1)
        return cg_i64(c, 0);
    return LLVMBuildZExt(c->b, cg_less(c, cg_i64(c, 0), warps), c->i64, "");
}

/* A run's round of `full`: x of the run, C and B of the next. */
static void
feed_wide(Cg *c, Chunks *v)
{
    const Val from = v->g.from, next = after(c, from, 1);
    Val s[SUMS], dt[PTX_SSD_LANE_TOKENS];
    v->g.number = number_of(c, v, v->feeder);
    Chunks u = *v;
    clear_m(c, v);
    ptx_barrier(c); /* signals are open */
    feed_group(c, v, from, true);
    feed_group(c, v, from, false);
    feed_group(c, v, next, true);
    feed_group(c, v, next, false);
    feed_x(c, v, from);
    first_decays(c, v);
    give_full(c, v);
    wait_for(c, v, v->full, from);
    enter_run(c, &u, from);
    begin_s(c, &u, s);
    make_m(c, &u, s);
    ptx_wgmma_show(c);
    CgLoop run = cg_loop(c, "feed", from, cg_sub(c, v->g.to, cg_i64(c, 1)), 1);
    ptx_barrier(c);
    wait_for(c, v, v->full, run.i);
    feed_x(c, v, after(c, run.i, 1));
    feed_group(c, v, after(c, run.i, 2), false);
    enter_run(c, &u, after(c, run.i, 1));
    begin_s(c, &u, s);
    fetch_dt(c, v, after(c, run.i, X_PLACES), dt);
    CgIf later = if_run(c, v, after(c, run.i, 2));
    make_decays(c, v, after(c, run.i, 2));
    cg_endif(c, &later);
    wait_for(c, v, v->read, run.i);
    feed_boxes(c, v, after(c, run.i, 2), true);
    make_m(c, &u, s);
    put_dt(c, v, after(c, run.i, X_PLACES), dt);
    feed_staged(c, v, after(c, run.i, 2), true); /* here registers are free */
    give_full(c, v);
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

/* Of so many addresses LLVM would make one of two, each. */
static void
load_wide_state(Cg *c, Chunks *v)
{
    const PtxSsd *s = &v->g.s;
    const Val zero = cg_i64(c, 0);
    if (!v->stretches || s->stored != DTYPE_f32) {
        load_state(c, v);
        return;
    }
    ptx_groups_open_state(c, &v->g);
    const Val own = ptx_ssd_state_at(c, s, zero, zero);
    const Val start = ptx_ssd_start_at(c, s, v->entry, zero, zero);
    ptx_groups_load_rows(c, &v->g, LLVMBuildSelect(c->b, v->is_cut, start, own, ""));
}

/* The last stretch's is the sequence's. */
static void
store_state(Cg *c, const Chunks *v)
{
    CgIf last = {0};
    if (v->stretches)
        last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->g.to, v->all, ""));
    ptx_groups_store(c, &v->g);
    if (v->stretches)
        cg_endif(c, &last);
}

static void
run_fed(Cg *c, Chunks *v)
{
    const int ahead = v->places - 1;
    const CgOperand *rounded = rounded_output(v);
    for (int i = 0; i < ahead; i++)
        stage_group(c, v, after(c, v->g.from, i));
    for (int i = 0; i < X_PLACES - 1; i++)
        stage_x(c, v, after(c, v->g.from, i));
    ptx_copy_commit(c);
    load_state(c, v);
    ptx_copy_wait(c, 0);
    ptx_wgmma_show(c);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", v->g.from, v->g.to, 1);
    ptx_barrier(c); /* M of this run is made, C and B of the next are there */
    stage_group(c, v, after(c, run.i, ahead));
    stage_x(c, v, after(c, run.i, X_PLACES - 1));
    ptx_copy_commit(c);
    enter_run(c, v, run.i);
    go_through(c, v, rounded);
    cg_loop_end(c, &run);
    store_state(c, v);
}

static void
open_signals(Cg *c, const Chunks *v)
{
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    ptx_signal_open(c, v->full, PTX_GROUP_WARPS);
    ptx_signal_open(c, v->read, v->heads * PTX_GROUP_WARPS);
    cg_endif(c, &one);
}

static void
run_wide(Cg *c, Chunks *v)
{
    v->g.number = number_of(c, v, v->team);
    const CgOperand *rounded = rounded_output(v);
    open_signals(c, v);
    ptx_barrier(c);
    load_wide_state(c, v);
    CgLoop run = cg_loop(c, "run", v->g.from, v->g.to, 1);
    ptx_barrier(c); /* M of this run is made */
    wait_for(c, v, v->full, run.i);
    enter_run(c, v, run.i);
    go_through_wide(c, v, rounded);
    cg_loop_end(c, &run);
    store_state(c, v);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

static void
have_registers(Cg *c, const Chunks *v, bool feeds)
{
    if (v->heads == 1)
        return;
    if (v->wide)
        ptx_registers(c, feeds ? WIDE_FEEDER_REGISTERS : WIDE_REGISTERS, !feeds);
    else
        ptx_registers(c, feeds ? FEEDER_REGISTERS : REGISTERS, !feeds);
}

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
    have_registers(c, v, false);
    if (v->wide)
        run_wide(c, v);
    else
        run_fed(c, v);
    cg_else(c, &role);
    have_registers(c, v, true);
    if (v->wide)
        feed_wide(c, v);
    else
        feed_all(c, v);
    cg_endif(c, &role);
    cg_endif(c, &some);
    cg_endif(c, &own);
    cg_endif(c, &has);
}

static void
make_maps(Chunks *v)
{
    const PtxSsd *s = &v->g.s;
    v->x_map = ptx_groups_map(s->k, s->x, s->heads * s->head_dim);
    v->B_map = ptx_groups_map(s->k, s->B, s->groups * s->states);
    v->C_map = ptx_groups_map(s->k, s->C, s->groups * s->states);
}

int
ptx_ssd_wgmma_maps(const Cg *c, const PtxSsd *s)
{
    Chunks v = {.g.s = *s};
    return choose_sizes(c, &v, MOST_HEADS) && v.boxes ? WIDE_MAPS : 0;
}

bool
ptx_ssd_wgmma(Cg *c, PtxSsd *s)
{
    Chunks v = {.g.s = *s};
    v.g.s.run = PTX_SSD_RUN;
    v.stretches = s->starts ? s->starts->type.shape.dim[0].n / 2 : 0;
    if (!choose_sizes(c, &v, MOST_HEADS))
        return false;
    ptx_threads(s->k, (int64_t)warps_of(&v) * GPU_WARP);
    ptx_resident(c, 1);
    ptx_grid(s->k, 0, ABI_SEGMENTS, 1, 1, 1);
    ptx_grid_more(s->k, 0, v.stretches);
    ptx_grid(s->k, 1, ABI_ONE, blocks_of_segment(&v), 1, 1);
    v.shared = ptx_shared(c, s->k, all_bytes(&v));
    if (v.boxes)
        make_maps(&v);
    v.read = cg_offset(c, v.shared, cg_i64(c, all_bytes(&v) - SIGNAL_BYTES));
    v.full = cg_offset(c, v.shared, cg_i64(c, all_bytes(&v) - (int64_t)2 * SIGNAL_BYTES));
    run_mode(c, &v);
    return true;
}
