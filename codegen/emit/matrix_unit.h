/* codegen/emit/matrix_unit.h -- private to codegen/: instructions of the machine's matrix unit
 * (machine/matrix.def), or calls of the C functions that stand in for them
 * (codegen/matrix_model.c).
 *
 * Tile registers are 0 .. tiles - 1, each of 16 rows of 64 bytes. A product adds to a tile of 16 x
 * 16 sums, f32 or i32: left tile rows are rows of the result, 64 bytes of the summed index; right
 * tile row r has, for each of the 16 columns, the 4 bytes of the summed index from 4 r on (Intel
 * SDM, "Intel AMX instruction reference"). Values live from cg_unit_open to cg_unit_close. */
#ifndef SSMC_CODEGEN_MATRIX_UNIT_H
#define SSMC_CODEGEN_MATRIX_UNIT_H

#include "codegen/emit/cg.h"

enum { CG_UNIT_ROWS = 16, CG_UNIT_BYTES = 64, CG_UNIT_TILE = CG_UNIT_ROWS * CG_UNIT_BYTES };

/* Configures the tiles: sums, then left operands, then right ones. depth: bytes of the summed index
 * that a product takes, at most 64, a multiple of 4: left tiles have rows of so many, right tiles
 * depth / 4 rows. */
typedef struct {
    int sums, lefts, rights, depth;
} CgUnitShape;
void cg_unit_open(Cg *c, const CgUnitShape *shape);
void cg_unit_close(Cg *c);
void cg_unit_zero(Cg *c, int tile);
/* Rows `stride` bytes apart. once: the lines are not read again soon. */
void cg_unit_load(Cg *c, int tile, Val at, int64_t stride, bool once);
void cg_unit_load_rows(Cg *c, int tile, Val at, Val stride, bool once);
void cg_unit_store(Cg *c, int tile, Val at, int64_t stride);
/* sum += left right: dtype bf16: pairs, f32 sums; u8: left signed, right unsigned bytes, i32 sums.
 */
void cg_unit_dot(Cg *c, Dtype dtype, int sum, int left, int right);

#endif
