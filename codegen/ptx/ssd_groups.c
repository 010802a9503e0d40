/* codegen/ptx/ssd_groups.c -- 64 columns of a head's state in the registers of four warps
 * (codegen/ptx/ssd_wgmma.h). A lane's sums are those of ptx_mma_bf16 for rows 16 w + ... of warp w,
 * and each 8 columns; here rows are columns p of the head, and columns states n. */
#include "codegen/ptx/ssd_wgmma.h"

enum { QUAD = 4, HALF = 8 };

void
ptx_groups_sizes(PtxGroups *g)
{
    g->parts = (g->s.head_dim + PTX_GROUP_COLUMNS - 1) / PTX_GROUP_COLUMNS;
    g->n = round_up(g->s.states, PTX_SSD_TILE);
}

int64_t
ptx_groups_bytes(int64_t columns)
{
    return (columns + PTX_GROUP_COLUMNS - 1) / PTX_GROUP_COLUMNS * PTX_SSD_ROWS_BYTES;
}

static int64_t
sums_of(const PtxGroups *g)
{
    return g->n / 2;
}

bool
ptx_groups_in_boxes(const CgKernel *k, const Value *v)
{
    const CgOperand *o = cg_operand(k, v);
    return o && !o->is_output && o->dtype == DTYPE_bf16 &&
           ptx_lanes(o, PTX_SSD_UNIT) == PTX_SSD_UNIT;
}

int
ptx_groups_map(CgKernel *k, const Value *v, int64_t columns)
{
    const CgOperand *o = cg_operand(k, v);
    int64_t each = 1;
    const AbiCount of = ptx_count(v, &each);
    const AbiMap map = {
        .operand = (int32_t)(o - k->operands),
        .rank = 2,
        .of = of,
        .box = {ABI_MAP_ROW, PTX_SSD_RUN  },
        .dim = {columns,     each         },
        .stride = {2,           2 * o->stride},
    };
    return ptx_map_of(k, &map);
}

void
ptx_groups_open(Cg *c, PtxGroups *g, Val segment, Val head)
{
    const Val lane = ptx_lane(c);
    const Val high = cg_mul(c, cg_div(c, lane, cg_i64(c, PTX_SSD_TILE)), cg_i64(c, HALF));
    ptx_ssd_open(c, &g->s, segment, head);
    g->line = cg_div(c, lane, cg_i64(c, QUAD));
    g->place = cg_mul(c, LLVMBuildAnd(c->b, lane, cg_i64(c, QUAD - 1), ""), cg_i64(c, 2));
    g->down = cg_add(c, LLVMBuildAnd(c->b, lane, cg_i64(c, HALF - 1), ""), high);
    g->over = LLVMBuildAnd(c->b, lane, cg_i64(c, HALF), "");
    g->state = g->from = cg_i64(c, 0);
    g->to = ptx_ssd_runs(c, &g->s);
}

Val
ptx_groups_column(Cg *c, const PtxGroups *g)
{
    const Val own = cg_mul(c, g->warp, cg_i64(c, PTX_SSD_TILE));
    return cg_add(c, cg_add(c, g->begin, own), g->line);
}

void
ptx_groups_two_of(Cg *c, const PtxGroups *g, Val array, int token, Val out[2])
{
    ptx_ssd_two_of(c, array, cg_add(c, cg_i64(c, token), g->place), out);
}

/* ---- the state in memory ----------------------------------------------------------------------
 */

/* Rows and columns from sum 0 to sum i. */
static int64_t
rows_to(int64_t i)
{
    return i / QUAD * HALF + i % 2;
}

static int64_t
columns_to(int64_t i)
{
    return i / 2 % 2 * HALF;
}

/* Elements from sum 0 to sum i, in rows of a head. */
static int64_t
distance_to(const PtxGroups *g, int64_t i)
{
    return rows_to(i) * g->s.head_dim + columns_to(i);
}

/* Row n and column p of sum i; i1: there is such a number, NULL: always. */
typedef struct {
    Val n, p, exists;
} SumPlace;

static SumPlace
place_of(Cg *c, const PtxGroups *g, int64_t i)
{
    const PtxSsd *s = &g->s;
    const Val in_part = cg_add(c, g->place, cg_i64(c, rows_to(i)));
    const Val n = cg_add(c, g->state, in_part);
    const Val p = cg_add(c, ptx_groups_column(c, g), cg_i64(c, columns_to(i)));
    const Val row = s->states % g->n == 0 ? NULL : cg_less(c, n, cg_i64(c, s->states));
    const bool whole = s->head_dim % PTX_GROUP_COLUMNS == 0;
    const Val col = whole ? NULL : cg_less(c, p, cg_i64(c, s->head_dim));
    return (SumPlace){n, p, row && col ? LLVMBuildAnd(c->b, row, col, "") : row ? row : col};
}

static Val
address_of(Cg *c, const PtxGroups *g, Val entry, Val n, Val p)
{
    return entry ? ptx_ssd_start_at(c, &g->s, entry, n, p) : ptx_ssd_state_at(c, &g->s, n, p);
}

static Dtype
dtype_of(const PtxGroups *g, Val entry)
{
    return entry ? DTYPE_f32 : g->s.stored;
}

void
ptx_groups_open_state(Cg *c, PtxGroups *g)
{
    for (int64_t i = 0; i < sums_of(g); i++)
        g->h[i] = cg_var(c, c->f32, NULL, "h");
}

void
ptx_groups_load(Cg *c, const PtxGroups *g, Val entry)
{
    const Val zero = cg_i64(c, 0);
    for (int64_t i = 0; i < sums_of(g); i++) {
        const SumPlace at = place_of(c, g, i);
        const Val is = at.exists;
        const Val n = is ? LLVMBuildSelect(c->b, is, at.n, zero, "") : at.n;
        const Val p = is ? LLVMBuildSelect(c->b, is, at.p, zero, "") : at.p;
        const Val x = cg_vload(c, address_of(c, g, entry, n, p), dtype_of(g, entry), 1, NULL);
        cg_set(c, g->h[i], is ? LLVMBuildSelect(c->b, is, x, cg_f32(c, 0), "") : x);
    }
}

void
ptx_groups_load_rows(Cg *c, const PtxGroups *g, Val rows)
{
    const Val n = cg_add(c, g->state, g->place), p = ptx_groups_column(c, g);
    const Val own = cg_element(c, rows, DTYPE_f32, n, g->s.head_dim, p);
    for (int64_t i = 0; i < sums_of(g); i++) {
        const Val is = place_of(c, g, i).exists;
        const Val at = cg_at(c, own, DTYPE_f32, cg_i64(c, distance_to(g, i)));
        const Val near = is ? LLVMBuildSelect(c->b, is, at, rows, "") : at;
        const Val x = cg_vload(c, near, DTYPE_f32, 1, NULL);
        cg_set(c, g->h[i], is ? LLVMBuildSelect(c->b, is, x, cg_f32(c, 0), "") : x);
    }
}

void
ptx_groups_store(Cg *c, const PtxGroups *g)
{
    for (int64_t i = 0; i < sums_of(g); i++) {
        const SumPlace at = place_of(c, g, i);
        CgIf some = {0};
        if (at.exists)
            some = cg_if(c, at.exists);
        cg_vstore(c, ptx_ssd_state_at(c, &g->s, at.n, at.p), g->s.stored,
                  cg_get(c, c->f32, g->h[i]), 1, NULL);
        if (at.exists)
            cg_endif(c, &some);
    }
}

/* At distances from one address: each number's own took 1700 cycles of the run where a stretch
 * begins. */
void
ptx_groups_store_start(Cg *c, const PtxGroups *g, Val entry)
{
    const SumPlace own = place_of(c, g, 0);
    const Val first = ptx_ssd_start_at(c, &g->s, entry, own.n, own.p);
    for (int64_t i = 0; i < sums_of(g); i++) {
        const Val exists = place_of(c, g, i).exists;
        CgIf some = {0};
        if (exists)
            some = cg_if(c, exists);
        cg_vstore(c, cg_at(c, first, DTYPE_f32, cg_i64(c, distance_to(g, i))), DTYPE_f32,
                  cg_get(c, c->f32, g->h[i]), 1, NULL);
        if (exists)
            cg_endif(c, &some);
    }
}

/* ---- a run ------------------------------------------------------------------------------------
 */

void
ptx_groups_load_x(Cg *c, const PtxGroups *g, Val rows, Val x[PTX_GROUP_STEPS][4])
{
    const PtxRows from = {rows, 0};
    const Val own = cg_mul(c, g->warp, cg_i64(c, PTX_SSD_TILE));
    for (int j = 0; j < PTX_GROUP_STEPS; j++) {
        const Val token = cg_add(c, g->down, cg_i64(c, (int64_t)j * PTX_SSD_TILE));
        const Val at = ptx_ssd_unit_at(c, &from, token, cg_add(c, own, g->over));
        ptx_load_matrices(c, at, true, x[j]);
    }
}

/* A pair of x times the weights of its two tokens. */
static Val
weigh_pair(Cg *c, Val x, const Val weight[2])
{
    return ptx_pair(c, cg_fmul(c, ptx_low(c, x), weight[0]), cg_fmul(c, ptx_high(c, x), weight[1]));
}

void
ptx_groups_weigh(Cg *c, const PtxGroups *g, const PtxDecay *decay, Val x[PTX_GROUP_STEPS][4],
                 Val out[PTX_GROUP_STEPS][4])
{
    for (int j = 0; j < PTX_GROUP_STEPS; j++)
        for (int e = 0; e < 4; e++) {
            Val weight[2];
            ptx_groups_two_of(c, g, decay->weight, j * PTX_SSD_TILE + e / 2 * HALF, weight);
            out[j][e] = weigh_pair(c, x[j][e], weight);
        }
}

void
ptx_groups_load_weights(Cg *c, const PtxGroups *g, const PtxDecay *decay,
                        Val out[PTX_GROUP_PAIRS][2])
{
    for (int i = 0; i < PTX_GROUP_PAIRS; i++)
        ptx_groups_two_of(c, g, decay->weight, i * HALF, out[i]);
}

void
ptx_groups_weigh_by(Cg *c, Val weight[PTX_GROUP_PAIRS][2], Val x[PTX_GROUP_STEPS][4],
                    Val out[PTX_GROUP_STEPS][4])
{
    for (int j = 0; j < PTX_GROUP_STEPS; j++)
        for (int e = 0; e < 4; e++)
            out[j][e] = weigh_pair(c, x[j][e], weight[j * 2 + e / 2]);
}

void
ptx_groups_update(Cg *c, PtxGroups *g, const PtxDecay *decay, Val B,
                  Val weighed[PTX_GROUP_STEPS][4])
{
    const Val kept = ptx_groups_kept(c, decay);
    ptx_groups_update_of(c, g, kept, ptx_wgmma_columns(c, B, cg_i64(c, 0), PTX_SSD_ROWS_BYTES),
                         weighed);
}

Val
ptx_groups_kept(Cg *c, const PtxDecay *decay)
{
    const Val last = cg_at(c, decay->enter, DTYPE_f32, cg_i64(c, PTX_SSD_RUN - 1));
    return cg_vload(c, last, DTYPE_f32, 1, NULL);
}

void
ptx_groups_update_of(Cg *c, PtxGroups *g, Val kept, Val B, Val weighed[PTX_GROUP_STEPS][4])
{
    const int sums = (int)sums_of(g);
    Val h[PTX_GROUPS_MOST_SUMS];
    for (int i = 0; i < sums; i++)
        h[i] = cg_fmul(c, kept, cg_get(c, c->f32, g->h[i]));
    ptx_wgmma_begin(c);
    for (int64_t j = 0; j < PTX_GROUP_STEPS; j++) {
        const Val at = cg_i64(c, j * PTX_SSD_TILE * PTX_GROUP_COLUMNS * 2);
        ptx_wgmma_bf16_by(c, h, sums, weighed[j], ptx_wgmma_further(c, B, at), true);
    }
    ptx_wgmma_commit(c);
    for (int i = 0; i < sums; i++)
        cg_set(c, g->h[i], h[i]);
}

void
ptx_groups_ended(Cg *c, PtxGroups *g)
{
    const int sums = (int)sums_of(g);
    Val h[PTX_GROUPS_MOST_SUMS];
    for (int i = 0; i < sums; i++)
        h[i] = cg_get(c, c->f32, g->h[i]);
    ptx_wgmma_end(c, 0, h, sums);
    for (int i = 0; i < sums; i++)
        cg_set(c, g->h[i], h[i]);
}

void
ptx_groups_round(Cg *c, PtxGroups *g)
{
    for (int64_t i = 0; i < sums_of(g); i++)
        cg_set(c, g->h[i], cg_round(c, cg_get(c, c->f32, g->h[i]), g->s.stored));
}

void
ptx_groups_updated(Cg *c, PtxGroups *g)
{
    ptx_groups_ended(c, g);
    const Val rounds = ptx_ssd_rounds(c, &g->s, &g->run);
    if (!rounds)
        return;
    CgIf chunk_ends = cg_if(c, rounds);
    ptx_groups_round(c, g);
    cg_endif(c, &chunk_ends);
}
