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
 * More than 128 states, to 256: ptx_ssd_wide.c.
 *
 * Numbers are rounded to bf16 where ptx_ssd_bf16.c rounds them. Where parts of a segment are made
 * side by side, each begins with the state that a kernel before has made (ptx_ssd_starts.c), to the
 * bit as this one would: so no bit depends on how a segment is cut.
 *
 * N=128, P=64, two heads a block: products of a run take 640 cycles of the tensor cores a head and
 * 256 for S, 1540 in all, 0.22 ms for 65536 tokens of 64 heads; x and y alone take 0.26 at 4.2
 * TB/s. Measured on an H200: 0.63; N=256: 0.91 (bench/NOTES.md, "A GPU: the SSD"). */
#include "codegen/ptx/ssd_chunks.h"

enum { QUAD = 4, HALF = 8, ROWS = PTX_SSD_ROWS_BYTES, WIDE_MAPS = 3 };
/* Of a thread, where two heads have 64 K of them: as many as all had at first. */
enum { REGISTERS = 192, FEEDER_REGISTERS = 120, WIDE_REGISTERS = 208, WIDE_FEEDER_REGISTERS = 88 };
enum { ALL_REGISTERS = 3 * (65536 / (3 * GPU_WARPGROUP) / 8 * 8) };
_Static_assert(2 * REGISTERS + FEEDER_REGISTERS <= ALL_REGISTERS &&
                   2 * WIDE_REGISTERS + WIDE_FEEDER_REGISTERS <= ALL_REGISTERS,
               "a thread that waits for registers waits for ever");

/* ---- copies -------------------------------------------------------------------------------------
 */

/* All that have state copy C and B of a run. */
static void
stage_group(Cg *c, const PtxChunks *v, Val number)
{
    const PtxSsd *s = &v->g.s;
    const Value *const from[] = {s->C, s->B};
    const Val before = cg_mul(c, v->g.number, cg_i64(c, GPU_WARPGROUP));
    PtxChunks u = *v;
    CgIf is = ptx_chunks_if_run(c, v, number);
    ptx_chunks_enter_run(c, &u, number);
    for (int i = 0; i < 2; i++) {
        PtxStage t = ptx_ssd_stage_group(c, s, from[i]);
        t.thread = cg_add(c, before, ptx_chunks_own_thread(c, v));
        t.threads = (int64_t)v->heads * GPU_WARPGROUP;
        t.run = u.g.run;
        t.to = (PtxRows){i ? u.B : u.C, 0};
        ptx_ssd_stage(c, &t);
    }
    cg_endif(c, &is);
}

/* And each head's its x. */
static void
stage_x(Cg *c, const PtxChunks *v, Val number)
{
    PtxChunks u = *v;
    CgIf is = ptx_chunks_if_run(c, v, number);
    ptx_chunks_enter_run(c, &u, number);
    PtxStage t = ptx_ssd_stage_x(c, &v->g.s, v->g.s.head, v->g.begin, PTX_GROUP_COLUMNS);
    t.thread = ptx_chunks_own_thread(c, v);
    t.threads = GPU_WARPGROUP;
    t.run = u.g.run;
    t.to = (PtxRows){u.x, 0};
    ptx_ssd_stage(c, &t);
    cg_endif(c, &is);
}

/* ---- y and the state: a head's warps ------------------------------------------------------------
 */

/* h^T C^T of the run, on its way. */
static void
from_state(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS])
{
    const Val rows = ptx_wgmma_rows(c, v->C, cg_i64(c, 0));
    const int64_t steps = v->g.n / PTX_SSD_TILE;
    ptx_wgmma_begin(c);
    for (int64_t k = 0; k < steps; k++) {
        Val left[4];
        ptx_chunks_state_pairs(c, v, k, left);
        const Val at = ptx_chunks_tile_of_states(c, k);
        ptx_wgmma_bf16_by(c, y, PTX_CHUNK_SUMS, left, ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* Of each 8 tokens, what is left of the state before the run at this thread's two. */
static void
load_enter(Cg *c, const PtxChunks *v, Val enter[PTX_SSD_RUN / HALF][2])
{
    for (int b = 0; b < PTX_SSD_RUN / HALF; b++)
        ptx_groups_two_of(c, &v->g, v->decay.enter, b * HALF, enter[b]);
}

/* x^T M^T, on its way. */
static void
from_tokens(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS], Val x[PTX_CHUNK_STEPS][4])
{
    const Val rows = ptx_wgmma_rows(c, v->M, cg_mul(c, v->g.number, cg_i64(c, ROWS)));
    ptx_wgmma_begin(c);
    for (int j = 0; j < PTX_CHUNK_STEPS; j++) {
        const Val at = cg_i64(c, (int64_t)j * 2 * PTX_SSD_TILE);
        ptx_wgmma_bf16_by(c, y, PTX_CHUNK_SUMS, x[j], ptx_wgmma_further(c, rows, at), false);
    }
    ptx_wgmma_commit(c);
}

/* By way of the warp's 16 columns of x, which it has read. */
static void
store_rounded(Cg *c, const PtxChunks *v, const CgOperand *out, Val y[PTX_CHUNK_SUMS])
{
    enum { UNITS = PTX_SSD_TILE / PTX_SSD_UNIT, TOKENS = GPU_WARP / UNITS, UNIT_BYTES = 16 };
    const PtxSsd *s = &v->g.s;
    const PtxRows rows = {v->x, 0};
    const Val lane = ptx_lane(c), own = cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE));
    ptx_warp_barrier(c);
    for (int b = 0; b < PTX_CHUNK_SUMS / QUAD; b += 2) {
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
await_copies(Cg *c, const PtxChunks *v)
{
    ptx_copy_wait(c, v->places - PTX_CHUNK_LEAST_PLACES);
    ptx_wgmma_show(c);
}

/* A head's warps go through a run. */
static void
go_through(Cg *c, PtxChunks *v, const CgOperand *rounded)
{
    Val y[PTX_CHUNK_SUMS], enter[PTX_SSD_RUN / HALF][2], x[PTX_CHUNK_STEPS][4],
        weighed[PTX_CHUNK_STEPS][4];
    for (int i = 0; i < PTX_CHUNK_SUMS; i++)
        y[i] = cg_f32(c, 0);
    from_state(c, v, y);
    ptx_groups_load_x(c, &v->g, v->x, x);
    ptx_wgmma_end(c, 0, y, PTX_CHUNK_SUMS);
    load_enter(c, v, enter);
    for (int j = 0; j < PTX_CHUNK_STEPS; j++)
        ptx_chunks_scale_and_skip(c, v, ptx_chunks_tile_of(y, j), enter + (size_t)2 * (size_t)j,
                                  x[j]);
    from_tokens(c, v, y, x);
    ptx_groups_weigh(c, &v->g, &v->decay, x, weighed);
    ptx_groups_update(c, &v->g, &v->decay, v->B, weighed);
    await_copies(c, v);
    ptx_wgmma_end(c, 1, y, PTX_CHUNK_SUMS);
    if (rounded)
        store_rounded(c, v, rounded, y);
    else
        ptx_chunks_store_each(c, v, y);
    ptx_groups_updated(c, &v->g);
}

/* ---- the warps ----------------------------------------------------------------------------------
 */

static void
feed_all(Cg *c, const PtxChunks *v)
{
    const Val from = v->g.from;
    Val s[PTX_CHUNK_SUMS], dt[PTX_SSD_LANE_TOKENS];
    PtxChunks u = *v;
    ptx_chunks_clear_m(c, v);
    ptx_chunks_first_decays(c, v);
    ptx_barrier(c); /* C and B of the first run are there */
    ptx_chunks_enter_run(c, &u, from);
    ptx_chunks_begin_s(c, &u, s);
    ptx_chunks_make_m(c, &u, s);
    ptx_wgmma_show(c);
    CgLoop run = cg_loop(c, "feed", from, cg_sub(c, v->g.to, cg_i64(c, 1)), 1);
    ptx_barrier(c);
    ptx_chunks_enter_run(c, &u, ptx_chunks_after(c, run.i, 1));
    ptx_chunks_begin_s(c, &u, s);
    ptx_chunks_fetch_dt(c, v, ptx_chunks_after(c, run.i, PTX_CHUNK_X_PLACES), dt);
    CgIf later = ptx_chunks_if_run(c, v, ptx_chunks_after(c, run.i, 2));
    ptx_chunks_make_decays(c, v, ptx_chunks_after(c, run.i, 2));
    cg_endif(c, &later);
    ptx_chunks_make_m(c, &u, s);
    ptx_chunks_put_dt(c, v, ptx_chunks_after(c, run.i, PTX_CHUNK_X_PLACES), dt);
    ptx_wgmma_show(c);
    cg_loop_end(c, &run);
    ptx_barrier(c); /* the last run */
}

static void
run_fed(Cg *c, PtxChunks *v)
{
    const int ahead = v->places - 1;
    const CgOperand *rounded = ptx_chunks_rounded_output(v);
    for (int i = 0; i < ahead; i++)
        stage_group(c, v, ptx_chunks_after(c, v->g.from, i));
    for (int i = 0; i < PTX_CHUNK_X_PLACES - 1; i++)
        stage_x(c, v, ptx_chunks_after(c, v->g.from, i));
    ptx_copy_commit(c);
    ptx_chunks_load_state(c, v);
    ptx_copy_wait(c, 0);
    ptx_wgmma_show(c);
    ptx_barrier(c);
    CgLoop run = cg_loop(c, "run", v->g.from, v->g.to, 1);
    ptx_barrier(c); /* M of this run is made, C and B of the next are there */
    stage_group(c, v, ptx_chunks_after(c, run.i, ahead));
    stage_x(c, v, ptx_chunks_after(c, run.i, PTX_CHUNK_X_PLACES - 1));
    ptx_copy_commit(c);
    ptx_chunks_enter_run(c, v, run.i);
    go_through(c, v, rounded);
    cg_loop_end(c, &run);
    ptx_chunks_store_state(c, v);
}

/* ---- the kernel ---------------------------------------------------------------------------------
 */

static void
have_registers(Cg *c, const PtxChunks *v, bool feeds)
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
run_mode(Cg *c, PtxChunks *v)
{
    const int threads = ptx_chunks_warps(v);
    CgIf has = cg_if(c, cg_less(c, ptx_block(c, 1), cg_i64(c, ptx_chunks_blocks(v))));
    CgIf own = cg_if(c, cg_less(c, ptx_warp(c), cg_i64(c, threads)));
    ptx_chunks_place_warp(c, v);
    CgIf some = cg_if(c, cg_less(c, v->g.from, v->g.to));
    CgIf role = cg_if(c, cg_less(c, v->feeder, cg_i64(c, 0)));
    have_registers(c, v, false);
    if (v->wide)
        ptx_wide_run(c, v);
    else
        run_fed(c, v);
    cg_else(c, &role);
    have_registers(c, v, true);
    if (v->wide)
        ptx_wide_feed(c, v);
    else
        feed_all(c, v);
    cg_endif(c, &role);
    cg_endif(c, &some);
    cg_endif(c, &own);
    cg_endif(c, &has);
}

int
ptx_ssd_wgmma_maps(const Cg *c, const PtxSsd *s)
{
    PtxChunks v = {.g.s = *s};
    return ptx_chunks_sizes(c, &v, PTX_CHUNK_HEADS) && v.boxes ? WIDE_MAPS : 0;
}

bool
ptx_ssd_wgmma(Cg *c, PtxSsd *s)
{
    PtxChunks v = {.g.s = *s};
    v.g.s.run = PTX_SSD_RUN;
    v.stretches = s->starts ? s->starts->type.shape.dim[0].n / 2 : 0;
    if (!ptx_chunks_sizes(c, &v, PTX_CHUNK_HEADS))
        return false;
    ptx_threads(s->k, (int64_t)ptx_chunks_warps(&v) * GPU_WARP);
    ptx_resident(c, 1);
    ptx_grid(s->k, 0, ABI_SEGMENTS, 1, 1, 1);
    ptx_grid_more(s->k, 0, v.stretches);
    ptx_grid(s->k, 1, ABI_ONE, ptx_chunks_blocks(&v), 1, 1);
    v.shared = ptx_shared(c, s->k, ptx_chunks_bytes(&v));
    if (v.boxes)
        ptx_wide_maps(&v);
    v.read = cg_offset(c, v.shared, cg_i64(c, ptx_chunks_bytes(&v) - PTX_CHUNK_SIGNAL_BYTES));
    v.full = cg_offset(c, v.shared,
                       cg_i64(c, ptx_chunks_bytes(&v) - (int64_t)2 * PTX_CHUNK_SIGNAL_BYTES));
    run_mode(c, &v);
    return true;
}
