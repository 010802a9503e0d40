/* codegen/ptx/ptx_ssd_wide.c -- an SSD of 129 to 256 states by wgmma (ptx_ssd_wgmma.c).
 *
 * They take most registers of a head's warps, and C and B most of shared memory. So the feeders
 * copy, by boxes where they can: as a run begins B of run i + 2 and x of run i + 1, and C of run
 * i + 2 when the heads' warps have said that they have read this run's. M is kept without its
 * quarter of zeros, and x of x^T M^T is read where it lies. */
#include "codegen/ptx/ssd_chunks.h"

enum { HALF = 8, ROWS = PTX_SSD_ROWS_BYTES };

/* ---- copies, by the feeders ---------------------------------------------------------------------
 */

/* Of the first feeder that has no decays to make: of M it has fewer rows than those after it. */
static CgIf
if_copies(Cg *c, const PtxChunks *v)
{
    const Val number = cg_i64(c, (int64_t)v->heads * GPU_WARP);
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_chunks_own_thread(c, v), number, ""));
}

/* Columns of v's run as boxes of 64. */
static void
copy_boxes(Cg *c, const PtxChunks *v, int map, Val first, int64_t columns, Val to)
{
    for (int64_t i = 0; i < columns; i += PTX_GROUP_COLUMNS) {
        const Val place = cg_offset(c, to, cg_i64(c, i / PTX_GROUP_COLUMNS * ROWS));
        ptx_signal_more(c, v->full, ROWS);
        ptx_box_copy(c, v->g.s.k, place, map, cg_add(c, first, cg_i64(c, i)), v->g.run.row,
                     v->full);
    }
}

static void
copy_staged(Cg *c, const PtxChunks *v, PtxStage t, Val to)
{
    t.whole = t.whole && !v->boxes; /* of whole runs there are none then */
    t.thread = ptx_chunks_own_thread(c, v);
    t.threads = GPU_WARPGROUP;
    t.run = v->g.run;
    t.to = (PtxRows){to, 0};
    ptx_ssd_stage(c, &t);
}

/* Whole runs are copied by one thread. Opens a branch for it, and whole_else one for all. */
static CgIf
if_whole(Cg *c, const PtxChunks *v)
{
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->g.run.count, cg_i64(c, PTX_SSD_RUN), ""));
}

/* C or B of a run, if it is whole and there are boxes. */
static void
feed_boxes(Cg *c, const PtxChunks *v, Val number, bool is_C)
{
    const PtxSsd *s = &v->g.s;
    const PtxStage t = ptx_ssd_stage_group(c, s, is_C ? s->C : s->B);
    if (!v->boxes)
        return;
    PtxChunks u = *v;
    CgIf is = ptx_chunks_if_run(c, v, number);
    ptx_chunks_enter_run(c, &u, number);
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
feed_staged(Cg *c, const PtxChunks *v, Val number, bool is_C)
{
    const PtxSsd *s = &v->g.s;
    PtxChunks u = *v;
    CgIf is = ptx_chunks_if_run(c, v, number), whole = {0};
    ptx_chunks_enter_run(c, &u, number);
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
feed_group(Cg *c, const PtxChunks *v, Val number, bool is_C)
{
    feed_boxes(c, v, number, is_C);
    feed_staged(c, v, number, is_C);
}

static void
feed_x(Cg *c, const PtxChunks *v, Val number)
{
    const PtxSsd *s = &v->g.s;
    PtxChunks u = *v;
    CgIf is = ptx_chunks_if_run(c, v, number), whole = {0};
    ptx_chunks_enter_run(c, &u, number);
    Val to[PTX_CHUNK_HEADS];
    PtxStage t[PTX_CHUNK_HEADS];
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

/* ---- signals ------------------------------------------------------------------------------------
 */

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
give_full(Cg *c, const PtxChunks *v)
{
    ptx_copy_commit(c);
    ptx_copy_wait(c, 0);
    ptx_wgmma_show(c);
    give(c, v->full);
}

/* The signal's round of run `number`. */
static void
wait_for(Cg *c, const PtxChunks *v, Val signal, Val number)
{
    const Val odd = LLVMBuildAnd(c->b, cg_sub(c, number, v->g.from), cg_i64(c, 1), "");
    ptx_signal_wait(c, signal, LLVMBuildTrunc(c->b, odd, c->i32, ""));
}

static void
open_signals(Cg *c, const PtxChunks *v)
{
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_thread(c), cg_i64(c, 0), ""));
    ptx_signal_open(c, v->full, PTX_GROUP_WARPS);
    ptx_signal_open(c, v->read, v->heads * PTX_GROUP_WARPS);
    cg_endif(c, &one);
}

/* ---- y and the state ----------------------------------------------------------------------------
 */

/* Columns of rows of the block's memory, as wgmma takes them. */
static Val
wide_columns(Cg *c, const PtxChunks *v, Val at)
{
    return ptx_wgmma_further(c, ptx_wgmma_columns(c, v->shared, cg_i64(c, 0), ROWS), at);
}

/* h^T C^T of the run, on its way. Left operands take registers, so at most two groups of products
 * are on their way at a time. */
static void
from_wide_state(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS])
{
    enum { TOGETHER = 2 };
    const Val rows = ptx_chunks_wide_rows(c, v, v->c_at);
    const int64_t steps = v->g.n / PTX_SSD_TILE;
    for (int64_t first = 0; first < steps; first += TOGETHER) {
        const int64_t to = first + TOGETHER < steps ? first + TOGETHER : steps;
        Val left[TOGETHER][4];
        if (first >= 2 * TOGETHER)
            ptx_wgmma_wait(c, 1);
        for (int64_t k = first; k < to; k++)
            ptx_chunks_state_pairs(c, v, k, left[k - first]);
        ptx_wgmma_begin(c);
        for (int64_t k = first; k < to; k++)
            ptx_wgmma_bf16_by(c, y, PTX_CHUNK_SUMS, left[k - first],
                              ptx_wgmma_further(c, rows, ptx_chunks_tile_of_states(c, k)), false);
        ptx_wgmma_commit(c);
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
unit_of_x(Cg *c, const PtxChunks *v)
{
    const PtxRows rows = {v->x, 0};
    const Val own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    return ptx_ssd_unit_at(c, &rows, v->g.down, cg_add(c, own, v->g.over));
}

/* Bytes of a row of M that a head has, where heads lie side by side. */
enum { WIDE_M_COLUMNS = PTX_CHUNK_HALF_RUN * 2 };

/* x^T M^T, on its way; wgmma reads x in shared memory. M has no columns for tokens of the second
 * half in rows of the first, as those are 0. */
static void
from_wide_tokens(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS])
{
    enum { STEPS_OF_HALF = PTX_CHUNK_STEPS / 2 };
    const Val x = wide_columns(c, v, v->x_at);
    const Val own = cg_mul(c, v->g.number, cg_i64(c, WIDE_M_COLUMNS));
    const Val rows = ptx_chunks_wide_rows(c, v, cg_add(c, v->m_at, own));
    ptx_wgmma_begin(c);
    for (int64_t half = 0; half < 2; half++)
        for (int64_t j = 0; j < STEPS_OF_HALF * (half + 1); j++) {
            const int64_t block = j < STEPS_OF_HALF ? half * ROWS / 2 : ROWS;
            const Val token = cg_i64(c, j * TILE_BYTES);
            const Val at = cg_i64(c, block + j % STEPS_OF_HALF * 2 * PTX_SSD_TILE);
            ptx_wgmma_bf16_over(c, y + PTX_CHUNK_SUMS / 2 * half, PTX_CHUNK_SUMS / 2,
                                ptx_wgmma_further(c, x, token), ptx_wgmma_further(c, rows, at));
        }
    ptx_wgmma_commit(c);
}

/* Stores y in bf16, 16 bytes a lane, by way of the warp's 16 columns of x. All loads and stores are
 * at constant distances from two addresses, as registers are few. */
static void
store_wide(Cg *c, const PtxChunks *v, const CgOperand *out, Val unit, Val y[PTX_CHUNK_SUMS])
{
    enum { UNITS = PTX_SSD_TILE / PTX_SSD_UNIT, UNIT_BYTES = 16 };
    const PtxSsd *s = &v->g.s;
    const PtxRows rows = {v->x, 0};
    const Val lane = ptx_lane(c), own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    ptx_warp_barrier(c);
    for (int j = 0; j < PTX_CHUNK_STEPS; j++) {
        const Val *sum = ptx_chunks_tile_of(y, j);
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
    for (int j = 0; j < PTX_CHUNK_STEPS; j++) {
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

static void
go_through_wide(Cg *c, PtxChunks *v, const CgOperand *rounded)
{
    Val y[PTX_CHUNK_SUMS], x[PTX_CHUNK_STEPS][4], weighed[PTX_CHUNK_STEPS][4];
    for (int i = 0; i < PTX_CHUNK_SUMS; i++)
        y[i] = cg_f32(c, 0);
    from_wide_state(c, v, y);
    ptx_wgmma_end(c, 0, y, PTX_CHUNK_SUMS);
    give(c, v->read);
    const Val unit = unit_of_x(c, v);
    for (int j = 0; j < PTX_CHUNK_STEPS; j++) {
        Val enter[2][2], of_tile[4];
        load_tile_of_x(c, unit, j, of_tile);
        for (int b = 0; b < 2; b++)
            ptx_groups_two_of(c, &v->g, v->decay.enter, j * PTX_SSD_TILE + b * HALF, enter[b]);
        ptx_chunks_scale_and_skip(c, v, ptx_chunks_tile_of(y, j), enter, of_tile);
    }
    from_wide_tokens(c, v, y);
    for (int j = 0; j < PTX_CHUNK_STEPS; j++) /* again: registers are few */
        load_tile_of_x(c, unit, j, x[j]);
    ptx_groups_weigh(c, &v->g, &v->decay, x, weighed);
    const Val kept = ptx_groups_kept(c, &v->decay);
    ptx_groups_update_of(c, &v->g, kept, wide_columns(c, v, v->b_at), weighed);
    ptx_wgmma_end(c, 1, y, PTX_CHUNK_SUMS);
    if (rounded)
        store_wide(c, v, rounded, unit, y);
    else
        ptx_chunks_store_each(c, v, y);
    ptx_wgmma_show(c); /* before x is copied over y */
    ptx_groups_updated(c, &v->g);
}

/* ---- the warps ----------------------------------------------------------------------------------
 */

/* Of one head or two the number, of which a register's half is known. */
static Val
number_of(Cg *c, const PtxChunks *v, Val warps)
{
    if (v->heads == 1)
        return cg_i64(c, 0);
    return LLVMBuildZExt(c->b, cg_less(c, cg_i64(c, 0), warps), c->i64, "");
}

void
ptx_wide_feed(Cg *c, PtxChunks *v)
{
    const Val from = v->g.from, next = ptx_chunks_after(c, from, 1);
    Val s[PTX_CHUNK_SUMS], dt[PTX_SSD_LANE_TOKENS];
    v->g.number = number_of(c, v, v->feeder);
    PtxChunks u = *v;
    ptx_chunks_clear_m(c, v);
    ptx_barrier(c); /* signals are open */
    feed_group(c, v, from, true);
    feed_group(c, v, from, false);
    feed_group(c, v, next, true);
    feed_group(c, v, next, false);
    feed_x(c, v, from);
    ptx_chunks_first_decays(c, v);
    give_full(c, v);
    wait_for(c, v, v->full, from);
    ptx_chunks_enter_run(c, &u, from);
    ptx_chunks_begin_s(c, &u, s);
    ptx_chunks_make_m(c, &u, s);
    ptx_wgmma_show(c);
    CgLoop run = cg_loop(c, "feed", from, cg_sub(c, v->g.to, cg_i64(c, 1)), 1);
    ptx_barrier(c);
    wait_for(c, v, v->full, run.i);
    feed_x(c, v, ptx_chunks_after(c, run.i, 1));
    feed_group(c, v, ptx_chunks_after(c, run.i, 2), false);
    ptx_chunks_enter_run(c, &u, ptx_chunks_after(c, run.i, 1));
    ptx_chunks_begin_s(c, &u, s);
    ptx_chunks_fetch_dt(c, v, ptx_chunks_after(c, run.i, PTX_CHUNK_X_PLACES), dt);
    CgIf later = ptx_chunks_if_run(c, v, ptx_chunks_after(c, run.i, 2));
    ptx_chunks_make_decays(c, v, ptx_chunks_after(c, run.i, 2));
    cg_endif(c, &later);
    wait_for(c, v, v->read, run.i);
    feed_boxes(c, v, ptx_chunks_after(c, run.i, 2), true);
    ptx_chunks_make_m(c, &u, s);
    ptx_chunks_put_dt(c, v, ptx_chunks_after(c, run.i, PTX_CHUNK_X_PLACES), dt);
    feed_staged(c, v, ptx_chunks_after(c, run.i, 2), true); /* here registers are free */
    give_full(c, v);
    cg_loop_end(c, &run);
    ptx_barrier(c); /* the last run */
}

/* Chooses between the two states once, for all loads: LLVM would choose for each. */
static void
load_wide_state(Cg *c, PtxChunks *v)
{
    const PtxSsd *s = &v->g.s;
    const Val zero = cg_i64(c, 0);
    if (!v->stretches || s->stored != DTYPE_f32) {
        ptx_chunks_load_state(c, v);
        return;
    }
    ptx_groups_open_state(c, &v->g);
    const Val own = ptx_ssd_state_at(c, s, zero, zero);
    const Val start = ptx_ssd_start_at(c, s, v->entry, zero, zero);
    ptx_groups_load_rows(c, &v->g, LLVMBuildSelect(c->b, v->is_cut, start, own, ""));
}

void
ptx_wide_run(Cg *c, PtxChunks *v)
{
    v->g.number = number_of(c, v, v->team);
    const CgOperand *rounded = ptx_chunks_rounded_output(v);
    open_signals(c, v);
    ptx_barrier(c);
    load_wide_state(c, v);
    CgLoop run = cg_loop(c, "run", v->g.from, v->g.to, 1);
    ptx_barrier(c); /* M of this run is made */
    wait_for(c, v, v->full, run.i);
    ptx_chunks_enter_run(c, v, run.i);
    go_through_wide(c, v, rounded);
    cg_loop_end(c, &run);
    ptx_chunks_store_state(c, v);
}

void
ptx_wide_maps(PtxChunks *v)
{
    const PtxSsd *s = &v->g.s;
    v->x_map = ptx_groups_map(s->k, s->x, s->heads * s->head_dim);
    v->B_map = ptx_groups_map(s->k, s->B, s->groups * s->states);
    v->C_map = ptx_groups_map(s->k, s->C, s->groups * s->states);
}
