/* codegen/ptx/linear.h -- private to codegen/ptx/: a projection of a GPU, of which ptx_linear.c
 * knows what is multiplied and the others how. */
#ifndef SSMC_CODEGEN_PTX_LINEAR_H
#define SSMC_CODEGEN_PTX_LINEAR_H

#include "codegen/emit/linear.h"
#include "codegen/ptx/ptx.h"
#include "machine/product.h"

typedef struct {
    CgLinear l;
    CgKernel *k;
    const CgOperand *x, *w;
    const Product *product, *small; /* small: NULL: there is none */
    Val rows;                       /* of y */
    Val weight;                     /* the first row of the weight that is read */
    int64_t matrix;                 /* elements of an expert's matrix */
    bool bf16;                      /* x and W are multiplied as bf16; else as f32 */
    bool x_whole, w_whole; /* its rows begin at multiples of 16 bytes, and are so many in whole */
} PtxLinear;

/* The row of x that row i of y is made of. */
Val ptx_linear_source(Cg *c, const PtxLinear *p, Val row);
/* Adds the bias to a sum and stores what the kernel makes of it. row: as p->l.row is counted. */
void ptx_linear_store(Cg *c, const PtxLinear *p, Val row, Val col, Val sum);

void ptx_linear_tiles(Cg *c, PtxLinear *p);  /* ptx_tiles.c */
void ptx_linear_stream(Cg *c, PtxLinear *p); /* ptx_stream.c */

#endif
