/* codegen/ptx/ssd_feeders.c -- what feeders make of a run: the decays of its heads, S = C B^T, and
 * M_ij = S_ij exp(a_i - a_j) dt_j for j <= i, else 0 (ptx_ssd_wgmma.c). */
#include "codegen/ptx/ssd_chunks.h"

enum { QUAD = 4, HALF = 8, ROWS = PTX_SSD_ROWS_BYTES };

static Val
dt_of_lane(Cg *c, const PtxChunks *v, int i)
{
    const Val first = cg_mul(c, ptx_lane(c), cg_i64(c, PTX_SSD_LANE_TOKENS));
    return cg_at(c, v->decay.dt, DTYPE_f32, cg_add(c, first, cg_i64(c, i)));
}

/* The first feeders make the decays of a head each. dt of the run that is two runs on is read a
 * run before, and lies meanwhile where M of its own run will read it: a lane has its own tokens. */
static CgIf
if_decays(Cg *c, const PtxChunks *v)
{
    return cg_if(c, cg_less(c, v->feeder, cg_i64(c, v->heads)));
}

void
ptx_chunks_fetch_dt(Cg *c, const PtxChunks *v, Val number, Val dt[PTX_SSD_LANE_TOKENS])
{
    const Val last = cg_sub(c, v->g.to, cg_i64(c, 1));
    const PtxRun run = ptx_ssd_run(c, &v->g.s, cg_min(c, number, last));
    ptx_ssd_load_dt(c, &v->g.s, &run, dt);
}

void
ptx_chunks_put_dt(Cg *c, const PtxChunks *v, Val number, const Val dt[PTX_SSD_LANE_TOKENS])
{
    CgIf mine = if_decays(c, v);
    PtxChunks u = *v;
    ptx_chunks_enter_run(c, &u, number);
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        cg_vstore(c, dt_of_lane(c, &u, i), DTYPE_f32, dt[i], 1, NULL);
    cg_endif(c, &mine);
}

void
ptx_chunks_make_decays(Cg *c, const PtxChunks *v, Val number)
{
    CgIf mine = if_decays(c, v);
    PtxChunks u = *v;
    ptx_chunks_enter_run(c, &u, number);
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_SSD_LANE_TOKENS; i++)
        dt[i] = cg_vload(c, dt_of_lane(c, &u, i), DTYPE_f32, 1, NULL);
    ptx_ssd_make_decay(c, &u.g.s, &u.g.run, &u.decay, dt);
    cg_endif(c, &mine);
}

static PtxDecay
decay_of(Cg *c, const PtxChunks *v, int head)
{
    const Val before = cg_i64(c, head * ptx_ssd_decay_bytes(&v->g.s));
    return ptx_ssd_decay_at(c, &v->g.s, cg_offset(c, v->decays, before));
}

/* Of this thread's two rows of M. */
static Val
first_row(Cg *c, const PtxChunks *v)
{
    return cg_add(c, cg_mul(c, v->g.warp, cg_i64(c, PTX_SSD_TILE)), v->g.line);
}

/* a_i of this thread's two rows, of each head. */
static void
load_rows(Cg *c, const PtxChunks *v, Val sum[PTX_CHUNK_HEADS][2])
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
begin_of_m(Cg *c, const PtxChunks *v)
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
two_of_m(Cg *c, const PtxChunks *v, int64_t head, int64_t half, int64_t col)
{
    if (!v->wide) {
        const PtxRows m = {cg_offset(c, v->M, cg_i64(c, head * ROWS)), 0};
        const Val row = cg_add(c, first_row(c, v), cg_i64(c, half * HALF));
        return cg_at(c, ptx_ssd_unit_at(c, &m, row, cg_i64(c, col)), DTYPE_bf16, v->g.place);
    }
    const int64_t in_row = 2 * (head * PTX_CHUNK_HALF_RUN + col % PTX_CHUNK_HALF_RUN);
    const int64_t down =
        half * HALF * PTX_GROUP_COLUMNS * 2 + (col < PTX_CHUNK_HALF_RUN ? 0 : ROWS / 2);
    const Val unit = LLVMBuildXor(c->b, v->m_begin, cg_i64(c, in_row), "");
    return cg_offset(c, cg_offset(c, v->shared, unit), cg_i64(c, down));
}

/* M of 16 tokens j, of both this thread's rows i and all heads. What is read is read first, so that
 * nothing waits for what is written. */
static void
store_m(Cg *c, const PtxChunks *v, int tile, Val rows[PTX_CHUNK_HEADS][2], const Val *s)
{
    Val sum[PTX_CHUNK_HEADS][2][2], dt[PTX_CHUNK_HEADS][2][2], pair[PTX_CHUNK_HEADS][2][2];
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

void
ptx_chunks_begin_s(Cg *c, const PtxChunks *v, Val s[PTX_CHUNK_SUMS])
{
    const int64_t steps = (v->g.s.states + PTX_SSD_TILE - 1) / PTX_SSD_TILE;
    const Val zero = cg_i64(c, 0);
    const Val left = v->wide ? ptx_chunks_wide_rows(c, v, v->c_at) : ptx_wgmma_rows(c, v->C, zero);
    const Val right = v->wide ? ptx_chunks_wide_rows(c, v, v->b_at) : ptx_wgmma_rows(c, v->B, zero);
    for (int i = 0; i < PTX_CHUNK_SUMS; i++)
        s[i] = cg_f32(c, 0);
    ptx_wgmma_begin(c);
    for (int64_t k = 0; k < steps; k++) {
        const Val at = ptx_chunks_tile_of_states(c, k);
        ptx_wgmma_bf16(c, s, PTX_CHUNK_SUMS, ptx_wgmma_further(c, left, at),
                       ptx_wgmma_further(c, right, at));
    }
    ptx_wgmma_commit(c);
}

void
ptx_chunks_make_m(Cg *c, PtxChunks *v, Val s[PTX_CHUNK_SUMS])
{
    if (v->wide)
        v->m_begin = begin_of_m(c, v);
    Val rows[PTX_CHUNK_HEADS][2];
    load_rows(c, v, rows);
    ptx_wgmma_end(c, 0, s, PTX_CHUNK_SUMS);
    for (int tile = 0; tile < PTX_CHUNK_STEPS; tile++) {
        CgIf below = cg_if(c, cg_less(c, cg_i64(c, tile - 1), v->g.warp));
        store_m(c, v, tile, rows, s + (size_t)2 * QUAD * (size_t)tile);
        cg_endif(c, &below);
    }
}

void
ptx_chunks_clear_m(Cg *c, const PtxChunks *v)
{
    enum { UNIT_BYTES = 16 };
    const int64_t bytes = PTX_CHUNK_M_PLACES * ptx_chunks_m_bytes(v);
    PtxChunks u = *v;
    ptx_chunks_enter_run(c, &u, cg_i64(c, 0)); /* its M is the first place */
    CgLoop i = cg_loop(c, "clear", ptx_chunks_own_thread(c, v), cg_i64(c, bytes / UNIT_BYTES),
                       GPU_WARPGROUP);
    const Val m = v->wide ? cg_offset(c, v->shared, u.m_at) : u.M;
    const Val to = cg_offset(c, m, cg_mul(c, i.i, cg_i64(c, UNIT_BYTES)));
    LLVMSetAlignment(LLVMBuildStore(c->b, LLVMConstNull(LLVMVectorType(c->i32, 4)), to),
                     UNIT_BYTES);
    cg_loop_end(c, &i);
}

void
ptx_chunks_first_decays(Cg *c, const PtxChunks *v)
{
    const Val from = v->g.from;
    Val dt[PTX_SSD_LANE_TOKENS];
    for (int i = 0; i < PTX_CHUNK_X_PLACES; i++) {
        ptx_chunks_fetch_dt(c, v, ptx_chunks_after(c, from, i), dt);
        ptx_chunks_put_dt(c, v, ptx_chunks_after(c, from, i), dt);
    }
    for (int i = 0; i < PTX_CHUNK_X_PLACES - 1; i++) {
        CgIf is = ptx_chunks_if_run(c, v, ptx_chunks_after(c, from, i));
        ptx_chunks_make_decays(c, v, ptx_chunks_after(c, from, i));
        cg_endif(c, &is);
    }
}
