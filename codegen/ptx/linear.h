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

enum { PTX_STREAM_STEP = 32 }; /* inputs that a warp takes together */

/* What the convolution of a column of a row needs beside its input, read ahead: variables. */
enum { PTX_MOST_TAPS = 16 };
typedef struct {
    Val past[PTX_MOST_TAPS], weight[PTX_MOST_TAPS], bias;
} PtxConvAhead;

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

/* ptx_conv.c: a convolution of a token each, of columns of the product, at a site of the product
 * where it is y; and what the kernel makes of it. False: it cannot be; diag says why. */
bool ptx_conv_fits(const CgKernel *k, const Node *conv, Diag *diag);
void ptx_conv_here(Cg *c, CgKernel *k, const Node *conv, const CgSite *at, Val y,
                   const PtxConvAhead *ahead);
/* Reads ahead for the column, if it has a convolution and is there (i1). */
PtxConvAhead ptx_conv_ahead(Cg *c, CgKernel *k, const Node *conv, Val row, Val col, Val there);
/* Asks for what ptx_conv_here will read there, a column of a row: before the wait. */
void ptx_conv_ask(Cg *c, CgKernel *k, const Node *conv, Val row, Val col);

/* A tile of y: its first row and column, and the rows that there are from it on. Rows are counted
 * as p->l.row is: where p->l.list says so, in that list, in shared memory. */
typedef struct {
    Val row, col, rows;
    Val weight; /* the first row of the weight */
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
