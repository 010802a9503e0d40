/* codegen/ptx/ssd_chunks.c -- where a block's places are in shared memory, and what is the same of
 * an SSD of few states and of many (ptx_ssd_wgmma.c, ptx_ssd_wide.c). */
#include "codegen/ptx/ssd_chunks.h"

enum { QUAD = 4, HALF = 8, ROWS = PTX_SSD_ROWS_BYTES, MOST_PLACES = 4 };
/* Of more than 128 states: M without its quarter of zeros. */
enum { WIDE_C_PLACES = 2, WIDE_X_PLACES = 2, WIDE_M = ROWS + ROWS / 2 };

/* ---- sizes --------------------------------------------------------------------------------------
 */

static int64_t
decay_bytes(const PtxChunks *v)
{
    return v->heads * ptx_ssd_decay_bytes(&v->g.s);
}

int64_t
ptx_chunks_m_bytes(const PtxChunks *v)
{
    return v->wide ? WIDE_M : v->heads * ROWS;
}

int64_t
ptx_chunks_bytes(const PtxChunks *v)
{
    return (v->places + v->c_places) * v->run_bytes + (int64_t)v->x_places * v->heads * ROWS +
           PTX_CHUNK_M_PLACES * ptx_chunks_m_bytes(v) + PTX_CHUNK_X_PLACES * decay_bytes(v) +
           (v->wide ? 2 * PTX_CHUNK_SIGNAL_BYTES : 0);
}

/* What boxes bring of columns beyond B and C would be multiplied. */
static bool
takes_boxes(const PtxChunks *v)
{
    const PtxSsd *s = &v->g.s;
    return v->wide && s->states % PTX_SSD_TILE == 0 && ptx_groups_in_boxes(s->k, s->x) &&
           ptx_groups_in_boxes(s->k, s->B) && ptx_groups_in_boxes(s->k, s->C);
}

bool
ptx_chunks_sizes(const Cg *c, PtxChunks *v, int heads)
{
    const PtxSsd *s = &v->g.s;
    if (s->states > PTX_GROUPS_MOST_STATES)
        return false;
    ptx_groups_sizes(&v->g);
    v->wide = v->g.n > PTX_GROUPS_FEW_STATES;
    v->boxes = takes_boxes(v);
    v->heads = s->heads / s->groups % heads == 0 ? heads : 1;
    v->run_bytes = ptx_groups_bytes(v->g.n);
    v->x_places = v->wide ? WIDE_X_PLACES : PTX_CHUNK_X_PLACES;
    for (v->places = v->wide ? PTX_CHUNK_LEAST_PLACES : MOST_PLACES;
         v->places >= PTX_CHUNK_LEAST_PLACES; v->places--) {
        v->c_places = v->wide ? WIDE_C_PLACES : v->places;
        if (ptx_chunks_bytes(v) <= c->machine->gpu.shared_bytes)
            return true;
    }
    return false;
}

int64_t
ptx_chunks_blocks(const PtxChunks *v)
{
    return v->g.s.heads / v->heads * v->g.parts;
}

int
ptx_chunks_warps(const PtxChunks *v)
{
    return (v->heads + 1) * PTX_GROUP_WARPS;
}

/* ---- places -------------------------------------------------------------------------------------
 */

static Val
in_turn(Cg *c, Val base, Val number, int places, int64_t bytes)
{
    const Val turn = LLVMBuildURem(c->b, number, cg_i64(c, places), "");
    return cg_offset(c, base, cg_mul(c, turn, cg_i64(c, bytes)));
}

/* The block's segment, and of its runs those that it goes through: all, or a stretch. */
static void
place_part(Cg *c, PtxChunks *v)
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

void
ptx_chunks_place_warp(Cg *c, PtxChunks *v)
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
enter_places(Cg *c, PtxChunks *v, Val number)
{
    const int64_t x_bytes = v->heads * ROWS;
    const Val xs = cg_offset(c, v->shared, cg_i64(c, (v->c_places + v->places) * v->run_bytes));
    const Val ms = cg_offset(c, xs, cg_i64(c, v->x_places * x_bytes));
    const Val decays = cg_offset(c, ms, cg_i64(c, PTX_CHUNK_M_PLACES * ptx_chunks_m_bytes(v)));
    v->C = in_turn(c, v->shared, number, v->places, 2 * v->run_bytes); /* one number finds both */
    v->B = cg_offset(c, v->C, cg_i64(c, v->run_bytes));
    v->x = cg_offset(c, in_turn(c, xs, number, v->x_places, x_bytes),
                     cg_mul(c, v->g.number, cg_i64(c, ROWS)));
    v->M = in_turn(c, ms, number, PTX_CHUNK_M_PLACES, x_bytes);
    v->decays = in_turn(c, decays, number, PTX_CHUNK_X_PLACES, decay_bytes(v));
}

/* By bytes from where the block's memory begins: wgmma and threads find what they read by few
 * numbers. */
static void
enter_wide_places(Cg *c, PtxChunks *v, Val number)
{
    const int64_t x_bytes = v->heads * ROWS, bs = v->c_places * v->run_bytes;
    const int64_t xs = bs + v->places * v->run_bytes, ms = xs + v->x_places * x_bytes;
    const int64_t decays = ms + PTX_CHUNK_M_PLACES * ptx_chunks_m_bytes(v);
    const Val own = cg_mul(c, v->g.number, cg_i64(c, ROWS));
    v->c_at = bytes_in_turn(c, number, 0, v->c_places, v->run_bytes);
    v->b_at = bytes_in_turn(c, number, bs, v->places, v->run_bytes);
    v->xs_at = bytes_in_turn(c, number, xs, v->x_places, x_bytes);
    v->x_at = cg_add(c, v->xs_at, own);
    v->m_at = bytes_in_turn(c, number, ms, PTX_CHUNK_M_PLACES, ptx_chunks_m_bytes(v));
    v->x = cg_offset(c, v->shared, v->x_at);
    v->decays = cg_offset(c, v->shared,
                          bytes_in_turn(c, number, decays, PTX_CHUNK_X_PLACES, decay_bytes(v)));
}

void
ptx_chunks_enter_run(Cg *c, PtxChunks *v, Val number)
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

Val
ptx_chunks_after(Cg *c, Val number, int more)
{
    return cg_add(c, number, cg_i64(c, more));
}

CgIf
ptx_chunks_if_run(Cg *c, const PtxChunks *v, Val number)
{
    return cg_if(c, cg_less(c, number, v->g.to));
}

Val
ptx_chunks_own_thread(Cg *c, const PtxChunks *v)
{
    return cg_add(c, cg_mul(c, v->g.warp, cg_i64(c, GPU_WARP)), ptx_lane(c));
}

/* ---- y and the state ----------------------------------------------------------------------------
 */

Val
ptx_chunks_tile_of_states(Cg *c, int64_t k)
{
    const int64_t in_row = PTX_GROUP_COLUMNS / PTX_SSD_TILE;
    return cg_i64(c, k / in_row * ROWS + k % in_row * 2 * PTX_SSD_TILE);
}

Val
ptx_chunks_wide_rows(Cg *c, const PtxChunks *v, Val at)
{
    return ptx_wgmma_further(c, ptx_wgmma_rows(c, v->shared, cg_i64(c, 0)), at);
}

void
ptx_chunks_state_pairs(Cg *c, const PtxChunks *v, int64_t k, Val left[4])
{
    for (int64_t e = 0; e < 4; e++)
        left[e] = ptx_pair(c, cg_get(c, c->f32, v->g.h[8 * k + 2 * e]),
                           cg_get(c, c->f32, v->g.h[8 * k + 2 * e + 1]));
}

Val *
ptx_chunks_tile_of(Val y[PTX_CHUNK_SUMS], int tile)
{
    return y + (size_t)tile * (PTX_SSD_TILE / 2);
}

void
ptx_chunks_scale_and_skip(Cg *c, const PtxChunks *v, Val y[PTX_SSD_TILE / 2], Val enter[2][2],
                          const Val x[4])
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

void
ptx_chunks_store_each(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS])
{
    const PtxSsd *s = &v->g.s;
    for (int i = 0; i < PTX_CHUNK_SUMS; i++) {
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

const CgOperand *
ptx_chunks_rounded_output(const PtxChunks *v)
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

void
ptx_chunks_load_state(Cg *c, PtxChunks *v)
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

void
ptx_chunks_store_state(Cg *c, const PtxChunks *v)
{
    CgIf last = {0};
    if (v->stretches)
        last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, v->g.to, v->all, ""));
    ptx_groups_store(c, &v->g);
    if (v->stretches)
        cg_endif(c, &last);
}
