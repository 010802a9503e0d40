/* codegen/ptx/delta.h -- private to codegen/ptx/: what both forms of the delta rule share. */
#ifndef SSMC_CODEGEN_PTX_DELTA_H
#define SSMC_CODEGEN_PTX_DELTA_H

#include "codegen/ptx/ssd.h"

typedef struct {
    const Value *q, *k, *v, *g, *b, *state, *y;
} PtxDeltaOperands;

/* The kernel by chunks, where the node asks for products of bf16 and its state fits in registers.
 * False: nothing was built. */
bool ptx_delta_chunks(Cg *c, CgKernel *k, const PtxDeltaOperands *of);

#endif
