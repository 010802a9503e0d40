/* codegen/emit/chunked_tiles.c -- matrices in tiles of the matrix unit, and products of them, for
 * the chunked SSD kernel.
 *
 * Tiles lie one after the other, each 16 rows of 64 bytes, so that every tile is loaded from 1 KiB
 * of its own and a row of left tiles is one stream. */
#include "codegen/emit/chunked.h"
#include "codegen/emit/matrix_unit.h"

/* ---- addresses --------------------------------------------------------------------------- */

Val
chunked_tile(Cg *c, Val base, Val index)
{
    return cg_offset(c, base, cg_mul(c, index, cg_i64(c, CG_UNIT_TILE)));
}

Val
chunked_tile_row(Cg *c, Val base, Val row, int64_t tiles)
{
    const Val side = cg_i64(c, CG_UNIT_ROWS), above = cg_div(c, row, side);
    const Val inside = cg_sub(c, row, cg_mul(c, above, side));
    const Val tile = cg_mul(c, above, cg_i64(c, tiles * CG_UNIT_TILE));
    return cg_offset(c, base, cg_add(c, tile, cg_mul(c, inside, cg_i64(c, CG_UNIT_BYTES))));
}

/* Columns of a round of the loop over a long row; a short one has no loop. */
enum { ROUND = 64, SHORT = 2 * ROUND };

ChunkedCells
chunked_cells(int64_t count)
{
    return (ChunkedCells){.count = count};
}

/* Vectors up to column `end`, counted from the loop's. */
static bool
cells_open(Cg *c, ChunkedCells *at)
{
    const int64_t whole = at->count / ROUND * ROUND;
    if (at->looping) {
        cg_loop_end(c, &at->loop);
        at->looping = false;
    } else if (!at->tail && at->count > SHORT) {
        at->loop = cg_loop(c, "col", cg_i64(c, 0), cg_i64(c, whole), ROUND);
        at->looping = true;
        at->end = ROUND;
        return true;
    }
    if (at->tail)
        return false;
    at->tail = true;
    at->next = at->count > SHORT ? whole : 0;
    at->end = at->count;
    return at->next < at->end;
}

bool
chunked_cells_next(Cg *c, ChunkedCells *at)
{
    if (at->next >= at->end && !cells_open(c, at))
        return false;
    const int64_t side = CG_UNIT_ROWS, col = at->next;
    const Val base = at->looping ? at->loop.i : cg_i64(c, 0);
    at->col = cg_add(c, base, cg_i64(c, col));
    at->byte = cg_add(c, cg_mul(c, base, cg_i64(c, CG_UNIT_TILE / side)),
                      cg_i64(c, col / side * CG_UNIT_TILE + col % side * 4));
    const int64_t left = at->end - col;
    at->mask = left < c->lanes ? cg_mask_first(c, c->lanes, cg_i64(c, left)) : NULL;
    at->next += c->lanes;
    return true;
}

/* ---- products ---------------------------------------------------------------------------- */

ChunkedRows
chunked_tile_rows(Cg *c, Val base, Val index)
{
    return (ChunkedRows){chunked_tile(c, base, index), cg_i64(c, CG_UNIT_BYTES)};
}

ChunkedRows
chunked_rows_of(Cg *c, Val which, ChunkedRows a, ChunkedRows b)
{
    return (ChunkedRows){LLVMBuildSelect(c->b, which, a.at, b.at, ""),
                         LLVMBuildSelect(c->b, which, a.stride, b.stride, "")};
}

void
chunked_left(Cg *c, int64_t rows, int64_t cols, const ChunkedRows *left)
{
    for (int r = 0; r < rows; r++)
        cg_unit_load_rows(c, (int)(rows * cols) + r, left[r].at, left[r].stride, true);
}

/* Tile registers: sums, one for the left operand of each row, the rest for right ones in turn. */
void
chunked_step(Cg *c, int64_t rows, int64_t cols, const ChunkedRows *left, Val right,
             int64_t right_col, Val before, int64_t stride)
{
    const int first = (int)(rows * cols), free = (int)(first + rows);
    const int rights = c->machine->matrix.tiles - free;
    if (left)
        chunked_left(c, rows, cols, left);
    for (int p = 0; p < cols; p++) {
        const int tile = free + p % rights;
        cg_unit_load(c, tile, cg_offset(c, right, cg_i64(c, p * right_col)), CG_UNIT_BYTES, false);
        for (int r = 0; r < rows; r++) {
            const int sum = (int)(r * cols) + p;
            const int64_t byte = r * CG_UNIT_ROWS * stride + p * CG_UNIT_BYTES;
            if (before) {
                cg_unit_store(c, sum, cg_offset(c, before, cg_i64(c, byte)), stride);
                cg_unit_zero(c, sum);
            }
            cg_unit_dot(c, DTYPE_bf16, sum, first + r, tile);
        }
    }
}

void
chunked_sums(Cg *c, ChunkedSums what, int64_t rows, int64_t cols, Val at, int64_t stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < cols; p++) {
            const int tile = (int)(r * cols + p);
            const int64_t byte = r * CG_UNIT_ROWS * stride + p * CG_UNIT_BYTES;
            if (what == SUMS_ZERO)
                cg_unit_zero(c, tile);
            else
                cg_unit_store(c, tile, cg_offset(c, at, cg_i64(c, byte)), stride);
        }
}
