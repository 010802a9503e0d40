/* codegen/ptx/tile_products.c -- what a thread, or a warp, multiplies of a stage that lies in
 * shared memory. */
#include "codegen/ptx/tiles.h"

enum { LANES16 = 16 };

Val
ptx_swizzle(Cg *c, const PtxTiles *t, Val chunk, Val row)
{
    if (!ptx_reads_by_eight(t->t))
        return LLVMBuildXor(c->b, chunk, LLVMBuildAnd(c->b, row, cg_i64(c, 7), ""), "");
    const Val odd = LLVMBuildAnd(c->b, row, cg_i64(c, 1), "");
    return LLVMBuildXor(c->b, chunk, cg_mul(c, odd, cg_i64(c, 4)), "");
}

/* ---- products of a stage: FMAs ----------------------------------------------------------------
 */

/* Lanes of a warp are 4 rows by 8 columns, warps 4 by 2: what a warp reads together lies in
 * different banks, as staged rows are 4 more than a multiple of 16 floats apart. */
static Val
fma_row(Cg *c, const PtxTiles *t)
{
    const Val four = cg_i64(c, 4);
    return cg_add(c, cg_div(c, t->lane, cg_i64(c, 8)),
                  cg_mul(c, cg_div(c, t->warp, cg_i64(c, 2)), four));
}

static Val
fma_col(Cg *c, const PtxTiles *t)
{
    const Val eight = cg_i64(c, 8), one = cg_i64(c, 1);
    return cg_add(c, LLVMBuildAnd(c->b, t->lane, cg_i64(c, 7), ""),
                  cg_mul(c, LLVMBuildAnd(c->b, t->warp, one, ""), eight));
}

/* Four inputs of row `row` of a side. */
static Val
fma_load(Cg *c, const PtxTiles *t, Val stage, Val row, int64_t more, int quad)
{
    const Val at = cg_offset(
        c, stage,
        cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)), cg_i64(c, more + (int64_t)quad * 16)));
    const Val all = LLVMBuildLoad2(c->b, LLVMVectorType(c->f32, 4), at, "");
    LLVMSetAlignment(all, 16);
    return all;
}

static Val
one_of(Cg *c, Val four, int i)
{
    return LLVMBuildExtractElement(c->b, four, cg_i64(c, i), "");
}

void
ptx_fma_stage(Cg *c, const PtxTiles *t, Val offset, Val *acc)
{
    const Val stage = cg_offset(c, t->shared, offset);
    const int rows = t->t->part_rows, cols = t->t->part_columns;
    const Val row = fma_row(c, t), col = fma_col(c, t);
    for (int q = 0; q < t->t->depth / 4; q++) {
        Val x[16], w[16];
        for (int i = 0; i < rows; i++)
            x[i] = fma_load(c, t, stage, row, t->x.at + LANES16 * i * t->row_bytes, q);
        for (int j = 0; j < cols; j++)
            w[j] = fma_load(c, t, stage, col, t->w.at + LANES16 * j * t->row_bytes, q);
        for (int e = 0; e < 4; e++)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < cols; j++)
                    acc[i * cols + j] =
                        cg_fma(c, one_of(c, x[i], e), one_of(c, w[j], e), acc[i * cols + j]);
    }
}

void
ptx_fma_put(Cg *c, const PtxTiles *t, const Val *acc)
{
    const int rows = t->t->part_rows, cols = t->t->part_columns;
    const int64_t stride = t->t->columns + PTX_SUM_GAP;
    const Val row = fma_row(c, t), col = fma_col(c, t);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const Val at =
                cg_element(c, t->shared, DTYPE_f32, cg_add(c, row, cg_i64(c, LANES16 * i)), stride,
                           cg_add(c, col, cg_i64(c, LANES16 * j)));
            cg_vstore(c, at, DTYPE_f32, acc[i * cols + j], 1, NULL);
        }
}

/* ---- products of a stage: mma -----------------------------------------------------------------
 */

int
ptx_mma_part(Cg *c, const PtxTiles *t, Val *row, Val *col)
{
    const bool four = product_of_four_warps(t->t);
    const int64_t across = t->t->columns / t->t->part_columns;
    const Val part = four ? cg_div(c, t->warp, cg_i64(c, 4)) : t->warp;
    const Val down = cg_div(c, part, cg_i64(c, across));
    const Val right = cg_sub(c, part, cg_mul(c, down, cg_i64(c, across)));
    *row = cg_mul(c, down, cg_i64(c, t->t->part_rows));
    *col = cg_mul(c, right, cg_i64(c, t->t->part_columns));
    if (!four)
        return t->t->part_rows / 16;
    const Val in_part = LLVMBuildAnd(c->b, t->warp, cg_i64(c, 3), "");
    *row = cg_add(c, *row, cg_mul(c, in_part, cg_i64(c, 16)));
    return 1;
}

/* Where a lane reads its row of four matrices: `row` of the side, its 16s of bytes `chunk`. */
static Val
mma_address(Cg *c, const PtxTiles *t, Val stage, const PtxSide *s, Val row, Val chunk, int64_t down)
{
    const Val in_row = cg_mul(c, ptx_swizzle(c, t, chunk, row), cg_i64(c, 16));
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, t->row_bytes)), in_row);
    return cg_offset(c, stage, cg_add(c, at, cg_i64(c, s->at + down * t->row_bytes)));
}

void
ptx_mma_stage(Cg *c, const PtxTiles *t, Val offset, Val *acc)
{
    const Val stage = cg_offset(c, t->shared, offset);
    enum { MOST = 8 };
    const int right = t->t->part_columns / 8;
    const Val eight = cg_i64(c, 8), seven = cg_i64(c, 7), one = cg_i64(c, 1);
    Val row, col;
    const int down = ptx_mma_part(c, t, &row, &col);
    /* Of x: rows 0-15 for the first 8 inputs, then for the next 8. Of W: rows 0-7 for the first 8
     * inputs and the next, then rows 8-15. */
    const Val x_row = cg_add(c, row, LLVMBuildAnd(c->b, t->lane, cg_i64(c, 15), ""));
    const Val x_half = cg_div(c, t->lane, cg_i64(c, 16));
    const Val w_row = cg_add(c, cg_add(c, col, LLVMBuildAnd(c->b, t->lane, seven, "")),
                             cg_mul(c, cg_div(c, t->lane, cg_i64(c, 16)), eight));
    const Val w_half = LLVMBuildAnd(c->b, cg_div(c, t->lane, eight), one, "");
    for (int k = 0; k < t->t->depth / 16; k++) {
        const Val two = cg_i64(c, 2 * k);
        Val a[MOST][4], b[MOST][4]; /* b: of two products each */
        for (int i = 0; i < down; i++)
            ptx_load_matrices(
                c, mma_address(c, t, stage, &t->x, x_row, cg_add(c, x_half, two), 16 * i), false,
                a[i]);
        for (int j = 0; j < right / 2; j++)
            ptx_load_matrices(
                c, mma_address(c, t, stage, &t->w, w_row, cg_add(c, w_half, two), 16 * j), false,
                b[j]);
        for (int i = 0; i < down; i++)
            for (int j = 0; j < right; j++)
                ptx_mma_bf16(c, acc + 4 * (i * right + j), a[i], b[j / 2] + 2 * (j % 2));
    }
}

void
ptx_mma_put(Cg *c, const PtxTiles *t, const Val *acc)
{
    const int right = t->t->part_columns / 8;
    const int64_t stride = t->t->columns + PTX_SUM_GAP;
    const Val four = cg_i64(c, 4);
    Val row, col;
    const int down = ptx_mma_part(c, t, &row, &col);
    const Val g = cg_div(c, t->lane, four), two = cg_sub(c, t->lane, cg_mul(c, g, four));
    row = cg_add(c, row, g);
    col = cg_add(c, col, cg_mul(c, two, cg_i64(c, 2)));
    for (int i = 0; i < down; i++)
        for (int j = 0; j < right; j++)
            for (int half = 0; half < 2; half++) {
                const Val *from = acc + 4 * (i * right + j) + 2 * half;
                const Val at = cg_element(c, t->shared, DTYPE_f32,
                                          cg_add(c, row, cg_i64(c, 16 * i + 8 * half)), stride,
                                          cg_add(c, col, cg_i64(c, 8 * j)));
                Val pair = LLVMGetPoison(LLVMVectorType(c->f32, 2));
                for (int e = 0; e < 2; e++)
                    pair = LLVMBuildInsertElement(c->b, pair, from[e], cg_i64(c, e), "");
                LLVMSetAlignment(LLVMBuildStore(c->b, pair, at), 8);
            }
}
