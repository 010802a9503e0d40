/* codegen/emit/linear.h -- private to codegen/: the loops of a projection over a packed weight,
 * shared by emitters that differ in what they stage and multiply. */
#ifndef SSMC_CODEGEN_LINEAR_H
#define SSMC_CODEGEN_LINEAR_H

#include "codegen/emit/tile.h"

enum { CG_MAX_HEIGHTS = 8 };

typedef struct CgLinear CgLinear;
struct CgLinear {
    CgKernel *k;
    const Value *x, *w, *bias, *y;
    int64_t depth, out; /* K, O */
    Val row, rows;      /* of the block of token rows worked on: first and how many */
    Val result;         /* scratch: the product before bias and epilogue, f32 */
    /* Makes the product at a site from what lies at `at` in the result; NULL: it is f32. */
    Val (*finish)(Cg *c, const CgLinear *l, const CgSite *site, Val at);
};

/* Adds the bias to the product at a site, which lies at `at`, runs what is fused after, and stores
 * the results. */
void cg_linear_finish(Cg *c, const CgLinear *l, const CgSite *site, Val at);
/* Calls cg_linear_finish for `count` rows from token row `row` on, columns [from, to). Their
 * products are in l->result, rows `stride` apart. */
void cg_linear_epilogue(Cg *c, const CgLinear *l, Val row, Val count, Val from, Val to,
                        int64_t stride);
/* The projection that the kernel's anchor is: its operands and widths. */
CgLinear cg_linear(CgKernel *k);
CgEmitter emit_linear_unit; /* emit_unit.c */

typedef struct CgPacked CgPacked;
struct CgPacked {
    CgLinear l;
    int64_t panel, panels;
    int64_t row_bytes;                     /* staged x: from row to row */
    int64_t most;                          /* rows staged at a time */
    int vecs, lanes;                       /* of a tile: a panel */
    int heights[CG_MAX_HEIGHTS], nheights; /* rows of a tile: the full one, then smaller ones */
    Val staged;
    /* Stages rows l.row .. l.row + l.rows - 1 of x. */
    void (*stage)(Cg *c, const CgPacked *p);
    /* Puts the product of `height` staged rows from `row` on with a panel into l.result. */
    void (*tile)(Cg *c, const CgPacked *p, int height, Val row, Val panel);
};

/* Panels and vectors, from the packed weight's type. False: the panel is too wide for a tile. */
bool cg_packed_sizes(const Cg *c, CgPacked *p, const Type *weight);
int64_t cg_packed_row_bytes(const Cg *c, int64_t bytes);
/* Says that the weight is not packed as an emitted linear wants it; false. */
bool cg_packed_fault(const CgLinear *l, Diag *diag);
/* Tile heights and scratch. tile: rows of a full tile where the text does not say. Needs row_bytes.
 */
void cg_packed_reserve(Cg *c, CgPacked *p, int tile);
void cg_packed_loops(Cg *c, CgPacked *p);
/* Panels and rows of this part, in whole tiles of heights[0] rows. */
CgGrid cg_packed_share(Cg *c, const CgPacked *p);
/* Most rows staged at a time: half of the second-level cache. */
int64_t cg_packed_most(const Cg *c, const CgPacked *p);
/* Rows of each of the fewest blocks of at most `most`, equal but for whole tiles. */
Val cg_equal_blocks(Cg *c, Val rows, int64_t most, int64_t tile);

#endif
