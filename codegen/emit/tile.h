/* codegen/emit/tile.h -- private to codegen/: the register tile that every matrix product of an
 * emitter is made of, the staging of its operands, and shares of (segment, head) pairs. */
#ifndef SSMC_CODEGEN_TILE_H
#define SSMC_CODEGEN_TILE_H

#include "codegen/emit/cg.h"
#include "machine/tile.h"

/* rows x vecs accumulators, each a vector of lanes: a block of a matrix product that stays in
 * registers while the summed index runs. */
typedef struct {
    int rows, vecs, lanes;
    Val acc[TILE_MOST]; /* variables, row by row */
} CgTile;

/* One side of the product. Element (i, k) is at base + i * stride + k * step, counted in elements:
 * f32, or i32 that holds a pair of bf16. k is the summed index; i is the row of the left side, or
 * the column of the right side, which is read in vectors (stride 1). Where the right side alone has
 * pairs, they are widened: k counts pairs there, and a left element is two f32. */
typedef struct {
    Val base;
    Dtype dtype;
    int64_t stride, step;
} CgSide;

CgTile cg_tile(Cg *c, int rows, int vecs, int lanes); /* all zero */
/* acc(i, l) += sum of left(i, k) * right(l, k) over k in [from, to), strictly in the order of k:
 * the sum does not depend on the tile's shape. */
void cg_tile_mac(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right, Val from,
                 Val to);
/* As cg_tile_mac, with prefetches: of the right side's lines a few steps ahead, and of the lines at
 * `next`, which have the right side's layout and are read after it: vectors [first, end) of the
 * tile. */
typedef struct {
    Val next;
    int first, end;
} CgAhead;
void cg_tile_mac_ahead(Cg *c, const CgTile *tile, const CgSide *left, const CgSide *right,
                       const CgAhead *ahead, Val from, Val to);
void cg_tile_scale(Cg *c, const CgTile *tile, Val factors); /* row i by the f32 factors[i] */
/* Rounded to dtype, every lane, rows `stride` elements apart. */
void cg_tile_store(Cg *c, const CgTile *tile, Val to, Dtype dtype, int64_t stride);
/* Vector v of row r. */
Val cg_tile_get(Cg *c, const CgTile *tile, int r, int v);

/* Lanes of a tile's vector v that exist, where the tile begins at column p of `columns`; NULL: all,
 * as tiles `width` columns wide fill them. */
Val cg_tile_mask(Cg *c, int64_t columns, int64_t width, Val p, int v);

/* Evaluates columns [col, col + width) of rows [row, row + count) of v into rows `stride` elements
 * of dtype apart. Lanes after the last column, up to a whole vector, may be written. */
typedef struct {
    const Value *v;
    Val row, count, col;
    int64_t width;
    Val factors; /* NULL, or f32 [count]: row i is multiplied by factors[i] */
    Val list;    /* NULL, or i32: the row of v is list[i] / each for i from `row` on */
    int64_t each;
} CgRegion;
void cg_stage(Cg *c, CgKernel *k, const CgRegion *from, Val to, Dtype dtype, int64_t stride);
/* Rows 2i and 2i + 1 as one row of pairs of bf16 (DTYPE_i32), `stride` pairs apart. An odd last row
 * is paired with zeros. */
void cg_stage_pairs(Cg *c, CgKernel *k, const CgRegion *from, Val to, int64_t stride);

/* <2 * lanes x i16>: a rounded to bf16, then b. */
Val cg_bf16_both(Cg *c, Val a, Val b);
/* <lanes x i32>: even elements rounded to bf16 in the low halves, odd ones in the high halves. */
Val cg_bf16_pairs(Cg *c, Val even, Val odd);

/* Transposes `lanes` vectors of so many lanes, a power of two. */
void cg_transpose_square(Cg *c, Val *row, int lanes);
/* A matrix of 4-byte elements of dtype, f32 or i32. */
typedef struct {
    Val base;
    int64_t stride;
} CgMatrix;
/* to[j][i] = from[i][j] for i < rows, j < cols, in whole blocks of lanes x lanes. */
void cg_transpose(Cg *c, Dtype dtype, CgMatrix from, CgMatrix to, Val rows, int64_t cols);

/* This thread's share of (segment, head) pairs, segment by segment: a loop over segments, and in it
 * the heads [first, last) of that segment, which may be none. */
typedef struct {
    CgLoop loop;
    Val from, to;
    CgSeg seg;
    Val first, last; /* heads */
} CgHeads;
CgHeads cg_heads(Cg *c, CgKernel *k, int64_t heads);
void cg_heads_end(Cg *c, CgHeads *share);
/* Within such a share the heads [first, last) of one group, at least one: group loop.i of segment
 * heads.seg. */
typedef struct {
    CgHeads heads;
    CgLoop loop;
    Val first, last;
    CgIf some;
} CgGroup;
CgGroup cg_group(Cg *c, CgKernel *k, int64_t heads, int64_t groups);
void cg_group_end(Cg *c, CgGroup *g);

/* Rows, in whole tiles but for the last, and panels of this part (codegen/emit/grid.c):
 * [from, to). */
typedef struct {
    Val rows[2], panels[2];
    Val again; /* i1: the part that this thread ran before had the same rows */
} CgGrid;
/* most: rows that can be staged at once. */
CgGrid cg_share_grid(Cg *c, const CgKernel *k, int64_t panels, Val rows, int64_t tile,
                     int64_t most);

#endif
