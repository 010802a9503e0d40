/* codegen/ptx/ssd_tiles.c -- tiles of 16 x 16 numbers of bf16 in shared memory as operands of
 * mma.sync, and sums of products of them. */
#include "codegen/ptx/ssd.h"

enum { TILE = PTX_SSD_TILE, HALF = TILE / 2, QUAD = 4 };

PtxLane
ptx_lane_places(Cg *c)
{
    PtxLane l;
    const Val lane = ptx_lane(c);
    l.line = cg_div(c, lane, cg_i64(c, QUAD));
    l.place = cg_mul(c, LLVMBuildAnd(c->b, lane, cg_i64(c, QUAD - 1), ""), cg_i64(c, 2));
    const Val row = LLVMBuildAnd(c->b, lane, cg_i64(c, HALF - 1), "");
    const Val odd = LLVMBuildAnd(c->b, lane, cg_i64(c, HALF), "");
    const Val high = cg_mul(c, cg_div(c, lane, cg_i64(c, TILE)), cg_i64(c, HALF));
    l.down[PTX_DOWN] = cg_add(c, row, odd);
    l.over[PTX_DOWN] = high;
    l.down[PTX_ACROSS] = cg_add(c, row, high);
    l.over[PTX_ACROSS] = odd;
    return l;
}

void
ptx_load_tile(Cg *c, const PtxLane *lane, const PtxRows *from, Val row, Val col, int64_t down,
              int64_t over, PtxOrder order, bool transpose, Val out[4])
{
    const Val at = cg_element(c, from->at, DTYPE_bf16, cg_add(c, row, lane->down[order]),
                              from->stride, cg_add(c, col, lane->over[order]));
    const Val there = cg_at(c, at, DTYPE_bf16, cg_i64(c, down * from->stride + over));
    ptx_load_matrices(c, there, transpose, out);
}

void
ptx_open_sums(Cg *c, Val *sum, int count)
{
    for (int i = 0; i < count; i++)
        sum[i] = cg_var(c, c->f32, cg_f32(c, 0), "sum");
}

void
ptx_add_product(Cg *c, Val sum[4], const Val left[4], const Val right[2])
{
    Val acc[QUAD];
    for (int e = 0; e < QUAD; e++)
        acc[e] = cg_get(c, c->f32, sum[e]);
    ptx_mma_bf16(c, acc, left, right);
    for (int e = 0; e < QUAD; e++)
        cg_set(c, sum[e], acc[e]);
}
