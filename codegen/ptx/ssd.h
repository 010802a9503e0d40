/* codegen/ptx/ssd.h -- private to codegen/ptx/: what the kernels of the chunked SSD share. */
#ifndef SSMC_CODEGEN_PTX_SSD_H
#define SSMC_CODEGEN_PTX_SSD_H

#include "codegen/emit/decay.h"
#include "codegen/ptx/ptx.h"

/* A run of tokens in a block's own memory, and what it knows of their decay: arrays of f32. a_j is
 * the sum of dt A from the run's first token to token j, in two floats as codegen/emit/decay.h has
 * it. Tokens that the run has not have a dt of 0. */
typedef struct {
    Val high, low; /* a_j */
    Val dt;
    Val enter;  /* exp(a_j): what is left at token j of the state before the run */
    Val weight; /* exp(a_last - a_j) dt_j: what token j adds to the state after it */
} PtxDecay;

typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int64_t chunk;   /* tokens between those where a stored state is rounded; CHUNK_ALL: none */
    Dtype stored;    /* the state in memory */
    int64_t run;     /* most tokens of a run: 64 or less, a power of 2 */
    int64_t columns; /* of the head, in a block */
    CgSeg seg;
    Val head, group, first; /* first: of the columns, in the head */
    Val rate, skip;         /* A; D, NULL: none */
    Val row, count;         /* of the run: its first row, its tokens */
    PtxDecay decay;
} PtxSsd;

/* What the kernel's nodes say. False: diag says why not. */
bool ptx_ssd_bind(CgKernel *k, PtxSsd *s, Diag *diag);
bool ptx_ssd_dot_bf16(const PtxSsd *s); /* products multiply pairs of bf16 */
/* The grid and what of the head a block has; s->columns is known. */
void ptx_ssd_place(Cg *c, PtxSsd *s);
int64_t ptx_ssd_decay_bytes(const PtxSsd *s); /* of shared memory */
void ptx_ssd_decay_at(Cg *c, PtxSsd *s, Val shared);
/* Runs of the segment: the loop's body has s->row and s->count. */
CgLoop ptx_ssd_runs(Cg *c, PtxSsd *s);
/* Decays of the run by the threads of warp `warp` alone; for others after a barrier. */
void ptx_ssd_decay(Cg *c, const PtxSsd *s, int warp);
/* exp(a_i - a_j) for token i and j of the run, i >= j. */
Val ptx_ssd_between(Cg *c, const PtxSsd *s, Val i, Val j);
/* i1: a state that is stored in fewer bits is rounded after this run. NULL: never. */
Val ptx_ssd_rounds(Cg *c, const PtxSsd *s);

#endif
