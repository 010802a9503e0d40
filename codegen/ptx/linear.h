/* codegen/ptx/linear.h -- private to codegen/ptx/: a projection of a GPU, of which ptx_linear.c
 * knows what is multiplied and the others how. */
#ifndef SSMC_CODEGEN_PTX_LINEAR_H
#define SSMC_CODEGEN_PTX_LINEAR_H

#include "codegen/emit/linear.h"
#include "codegen/ptx/ptx.h"
#include "machine/product.h"

/* How many of `each` make up `all`. */
static inline int64_t
ptx_parts(int64_t all, int64_t each)
{
    return (all + each - 1) / each;
}

/* The quotient of numbers below 2^31. */
Val ptx_narrow_div(Cg *c, Val a, Val b);

enum { PTX_STREAM_STEP = 32 }; /* inputs that a warp takes together */

/* What the convolution of a column of a row needs beside its input, read ahead: variables. */
enum { PTX_CONV_TAPS = 16 }; /* most */
typedef struct {
    Val past[PTX_CONV_TAPS], weight[PTX_CONV_TAPS], bias;
} PtxConvAhead; /* of a site's lanes */

/* What is read ahead of a result of a thread: before its sum is there. */
enum { PTX_MOST_AHEAD = 4 };
typedef struct {
    PtxConvAhead conv;
    const Value *value[PTX_MOST_AHEAD]; /* of its row and column */
    Val number[PTX_MOST_AHEAD];         /* variables */
    int count;
} PtxAhead;

typedef struct {
    CgLinear l; /* first */
    CgKernel *k;
    const CgOperand *x, *w;
    const Product *product, *small; /* small: NULL: there is none */
    Val rows;                       /* of y */
    Val weight;                     /* the first row of the weight that is read */
    int64_t sets, share;   /* of STREAM: warps that divide steps of 32 inputs; steps of each */
    bool bf16;             /* x and W are multiplied as bf16; else as f32 */
    const Node *conv;      /* in the epilogue; NULL: there is none */
    const PtxAhead *ahead; /* of the result that is being stored; NULL: nothing is read ahead */
    bool ahead_conv;       /* that has what its convolution needs, too */
    bool normed;           /* rows of x are divided by their root mean square: attribute eps */
    bool x_whole, w_whole; /* its rows begin at multiples of 16 bytes, and are so many in whole */
} PtxLinear;

/* Adds the bias to a sum, or to PTX_MOST_LANES of columns from a multiple of them on, and stores
 * what the kernel makes of it. row: as p->l.row is counted. */
void ptx_linear_store(Cg *c, const PtxLinear *p, Val row, Val col, Val sums);
/* How many sums are stored together. */
enum { PTX_MOST_LANES = 4 };
int ptx_linear_lanes(const PtxLinear *p);

/* sum += the squares of 8 bf16 in their order. What lanes 4 g .. 4 g + 3 have of a row's: all of
 * it. The factor of a row whose squares add up to `sum`. */
Val ptx_squares(Cg *c, Val sum, const Val pairs[4]);
Val ptx_squares_fold(Cg *c, Val sum);
Val ptx_row_factor(Cg *c, const PtxLinear *p, Val sum);

/* ---- a convolution of columns of the product, and what the kernel makes of it ------------------
 */

/* Whether it can be; diag says why it cannot. */
bool ptx_conv_fits(const PtxLinear *p, Diag *diag);
/* ptx_conv.c: of a token each, at a site of the product where it is y. */
void ptx_conv_here(Cg *c, CgKernel *k, const Node *conv, const CgSite *at, Val y,
                   const PtxConvAhead *ahead);
/* Reads ahead for the column, if it has a convolution and is there (i1). */
PtxConvAhead ptx_conv_ahead(Cg *c, CgKernel *k, const Node *conv, Val row, Val col, Val there);
/* Reads ahead for `lanes` columns from `col` on, all of which have a convolution (ptx_conv_lanes):
 * its weights and bias, and the row's state. */
void ptx_conv_columns(Cg *c, CgKernel *k, const Node *conv, Val col, int lanes, PtxConvAhead *a);
void ptx_conv_past(Cg *c, CgKernel *k, const Node *conv, Val row, Val col, int lanes,
                   PtxConvAhead *a);
/* Asks for what ptx_conv_here will read there, a column of a row: before the wait. */
void ptx_conv_ask(Cg *c, CgKernel *k, const Node *conv, Val row, Val col);

/* tile_conv.c: of runs, from a piece of the product, f32 sums in shared memory. It makes rows
 * [row, end) of `columns` columns from `col` on, and has 2 (K-1) more rows before them, so that
 * every tap is in it and no block reads a state that another writes: K-1 rows from `begin` on,
 * where the segment of row `row` begins, then the K-1 rows before `row`. Rows before the first of a
 * pass may be anything. */
typedef struct {
    Val sums;       /* of the first of those rows, at column `col` */
    bool rounded;   /* they are the convolution's inputs, bf16; else f32 */
    int64_t stride; /* numbers from row to row */
    Val row, end, col, begin;
    int columns, lanes; /* lanes: of a site */
    Val thread;         /* a row of sites has one each */
    Val down; /* rows of sites that have threads, at least one; others have nothing to do */
} PtxPiece;
bool ptx_conv_of_runs(const PtxLinear *p);
/* 2 (K-1). */
int ptx_conv_beside(const PtxLinear *p);
/* Whether of any so many columns, from a multiple of them on, all are the convolution's, or none.
 */
bool ptx_conv_sites_whole(const PtxLinear *p, int lanes);
/* i1: all columns that a site from col on has are the convolution's, and nothing else reads them.
 */
Val ptx_conv_alone(Cg *c, const PtxLinear *p, Val col);
/* Where the segment begins that a row belongs to. */
Val ptx_conv_segment(Cg *c, const PtxLinear *p, Val row);
/* The row of x, at least 0, for row number `at` of a piece that makes rows from `row` on. */
Val ptx_conv_source(Cg *c, const PtxLinear *p, Val at, Val row, Val begin);
/* The row of y, of those that there are, that row `at` of a tile is of: the tile's first is `row`,
 * and `lead` rows of it are beside those that it makes. */
Val ptx_conv_row(Cg *c, const PtxLinear *p, Val at, Val row, Val lead, Val begin);
/* Whether all that the kernel makes of the product is made of the convolution's input, of 16 bits
 * a column, whose columns there are in pairs. */
bool ptx_conv_of_pairs(const PtxLinear *p);
/* Then: how many of those are read and stored together. */
int ptx_conv_together(const PtxLinear *p);
/* Those inputs of two columns side by side, of their sums; columns that are not there are taken for
 * the first. And stores a site's inputs, which lie in shared memory, where others read them. */
Val ptx_conv_pair(Cg *c, const PtxLinear *p, Val row, Val col, const Val sums[2]);
void ptx_conv_keep(Cg *c, const PtxLinear *p, Val row, Val col, Val inputs);

/* A tile of y: its first row and column, and the rows that there are from it on. Rows are counted
 * as p->l.row is: where p->l.list says so, in that list, in shared memory. */
typedef struct {
    Val row, col, rows;
    Val weight; /* the first row of the weight */
    Val lead;   /* rows of the tile before those, as a piece has them; NULL: none */
    Val begin;  /* where there are some: as of a piece */
    Val block;  /* SPLIT: of the cluster that makes the tile */
    bool waits; /* for the kernels before: it begins to copy the weight, and waits then */
} PtxTile;
int64_t ptx_tile_bytes(const PtxLinear *p, const Product *product); /* of shared memory */
/* Builds the tile; the whole block. Another one may follow it in the same memory after a barrier.
 */
void ptx_tile(Cg *c, PtxLinear *p, const Product *product, Val shared, const PtxTile *tile);

void ptx_linear_tiles(Cg *c, PtxLinear *p);   /* ptx_tiles.c */
void ptx_linear_stream(Cg *c, PtxLinear *p);  /* ptx_stream.c: waits itself */
void ptx_linear_experts(Cg *c, PtxLinear *p); /* ptx_experts.c */

#endif
