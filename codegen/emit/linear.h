/* codegen/emit/linear.h -- private to codegen/: the loops of a projection over a packed weight,
 * shared by emitters that differ in what they stage and multiply. */
#ifndef SSMC_CODEGEN_LINEAR_H
#define SSMC_CODEGEN_LINEAR_H

#include "codegen/emit/tile.h"

enum { CG_MAX_HEIGHTS = 8 };

typedef struct {
    CgKernel *k;
    const Value *x, *w, *bias, *y;
    int64_t depth, out; /* K, O */
    Val row, rows;      /* of the block of token rows worked on: first and how many */
    Val result;         /* scratch: the product before bias and epilogue, f32 */
} CgLinear;

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

#endif
