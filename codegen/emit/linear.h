/* codegen/emit/linear.h -- private to codegen/: the loops of a projection over a packed weight,
 * shared by emitters that differ in what they stage and multiply. */
#ifndef SSMC_CODEGEN_LINEAR_H
#define SSMC_CODEGEN_LINEAR_H

#include "codegen/emit/tile.h"

enum { CG_MAX_HEIGHTS = 8 };

/* ---- a convolution in the epilogue (row_conv.c) ------------------------------------------------
 * Rows of a block of columns come one after the other, from the first of a block of rows to its
 * last. What the convolution needs of rows before is kept between them; of rows before the block it
 * is in the state, as at the begin of a call. */
typedef struct CgRowConv CgRowConv;
/* Of the op `conv` in the epilogue of k's projection, for at most `rows` rows of a tile and
 * `columns` columns. NULL: it cannot be emitted; diag has why. */
CgRowConv *cg_row_conv(Cg *c, CgKernel *k, const Node *conv, int64_t rows, int64_t columns,
                       Diag *diag);
/* Rows [first, end) are the block's. */
void cg_row_conv_block(CgRowConv *v, Val first, Val end);
/* Before the first row of a tile: its token row. */
void cg_row_conv_tile(Cg *c, CgRowConv *v, Val tile);
/* Around all sites of a row, in a block of columns that begins at `col`. */
void cg_row_conv_begin(Cg *c, CgRowConv *v, Val row, Val tile, Val col);
void cg_row_conv_end(Cg *c, CgRowConv *v, Val row);
/* i1: `rows` rows from this one on are of one sequence, and neither its first nor its last. */
Val cg_row_conv_runs(Cg *c, const CgRowConv *v, Val row, int64_t rows);
/* Before all sites of such rows, in place of begin and end around each. The sites come row by row,
 * of each all whole vectors of the block's columns. */
void cg_row_conv_run(Cg *c, CgRowConv *v, Val row, Val tile, Val col);
/* Binds the convolution at a site, whose input is x. */
void cg_row_conv_at(Cg *c, CgRowConv *v, const CgSite *at, Val x);

typedef struct CgLinear CgLinear;
struct CgLinear {
    CgKernel *k;
    const Value *x, *w, *bias, *y;
    int64_t depth, out; /* K, O */
    const Value *e;     /* the expert of each row of y; NULL: W is one matrix, for all rows */
    int64_t each;       /* rows of y for one of x */
    Val expert, list;   /* whose matrix and which rows of y are worked on (i32); NULL: all rows */
    Val row, rows;      /* of the block of rows worked on: first and how many; counted in `list` */
    Val result;         /* scratch: the product before bias and epilogue, f32 */
    /* Makes the product at a site from what lies at `at` in the result; NULL: it is f32. */
    Val (*finish)(Cg *c, const CgLinear *l, const CgSite *site, Val at);
    /* Binds what is known already of what the epilogue reads there; NULL: nothing is. */
    void (*known)(Cg *c, const CgLinear *l);
    CgRowConv *conv; /* runs in the epilogue; NULL: nothing does */
};

/* The product at a site with its bias, if there is one. */
Val cg_linear_biased(Cg *c, const CgLinear *l, const CgSite *site, Val y);
/* Adds the bias to the product at a site, which lies at `at`, runs what is fused after, and stores
 * the results. The site's row is counted as l->row is. */
void cg_linear_finish(Cg *c, const CgLinear *l, const CgSite *site, Val at);
/* Calls cg_linear_finish for `count` rows from token row `row` on, columns [from, to). Their
 * products are in l->result, rows `stride` apart. */
void cg_linear_epilogue(Cg *c, const CgLinear *l, Val row, Val count, Val from, Val to,
                        int64_t stride);
/* The projection that the kernel's anchor is: its operands and widths. */
CgLinear cg_linear(CgKernel *k);
/* The row of x that row i is made from, i counted as l->row is. */
Val cg_linear_source(Cg *c, const CgLinear *l, Val i);
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
/* Where a weight begins, its scales or its minima: of the expert that is worked on. */
Val cg_packed_base(Cg *c, const CgPacked *p, const Value *w);
int64_t cg_packed_row_bytes(const Cg *c, int64_t bytes);
/* Says that the weight is not packed as an emitted linear wants it; false. */
bool cg_packed_fault(const CgLinear *l, Diag *diag);
/* Tile heights and scratch. tile: rows of a full tile where the text does not say. Needs row_bytes.
 */
void cg_packed_reserve(Cg *c, CgPacked *p, int tile);
void cg_packed_loops(Cg *c, CgPacked *p);
/* Builds `walk` over this part's rows and panels; where rows have experts, in a loop over those
 * that have something in this part (experts.c). */
void cg_packed_each(Cg *c, CgPacked *p, void (*walk)(Cg *c, CgPacked *p, const CgGrid *share));
/* Panels and rows of this part, in whole tiles of heights[0] rows. */
CgGrid cg_packed_share(Cg *c, const CgPacked *p);
/* Most rows staged at a time: half of the second-level cache. */
int64_t cg_packed_most(const Cg *c, const CgPacked *p);
/* Rows of each of the fewest blocks of at most `most`, equal but for whole tiles. */
Val cg_equal_blocks(Cg *c, Val rows, int64_t most, int64_t tile);

#endif
