/* codegen/ptx/ssd.h -- private to codegen/ptx/: what the kernels of the chunked SSD share. */
#ifndef SSMC_CODEGEN_PTX_SSD_H
#define SSMC_CODEGEN_PTX_SSD_H

#include "codegen/emit/decay.h"
#include "codegen/ptx/ptx.h"

/* What a run of tokens knows of its decay: arrays of f32 in shared memory. a_j is the sum of dt A
 * from the run's first token to token j. Tokens that the run has not have a dt of 0. */
typedef struct {
    Val high, low; /* a_j in two floats, as codegen/emit/decay.h has it; or, coarsely, high alone:
                    * a_j log2(e) in one, whose rounding is no more than that of bf16 */
    Val dt;
    Val enter;  /* exp(a_j): what is left at token j of the state before the run */
    Val weight; /* exp(a_last - a_j) dt_j: what token j adds to the state after it */
} PtxDecay;

/* A run: its first row, its tokens. */
typedef struct {
    Val row, count;
} PtxRun;

enum { PTX_SSD_RUN = 64, PTX_SSD_LANE_TOKENS = PTX_SSD_RUN / GPU_WARP };

typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int64_t chunk; /* a stored state is rounded where one ends; CHUNK_ALL: where a segment does */
    Dtype stored;  /* the state in memory */
    int64_t run;   /* most tokens of a run: PTX_SSD_RUN or less, a power of 2 */
    bool coarse;   /* exponentials need the accuracy of bf16 */
    CgSeg seg;
    Val head, group;
    Val rate, skip; /* of the head: A; D, NULL: none */
} PtxSsd;

/* What the kernel's nodes say. False: diag says why not. */
bool ptx_ssd_bind(CgKernel *k, PtxSsd *s, Diag *diag);
/* The kernel with products of bf16, where the nodes ask for them and its state fits in registers.
 * False: nothing was built. */
bool ptx_ssd_bf16(Cg *c, PtxSsd *s);
/* The thread's segment and head: group, rate and skip follow. */
void ptx_ssd_open(Cg *c, PtxSsd *s, Val segment, Val head);
/* Row n, column p of the head's state in memory. */
Val ptx_ssd_state_at(Cg *c, const PtxSsd *s, Val n, Val p);

/* The runs of the segment: none goes beyond the end of a chunk. */
Val ptx_ssd_runs(Cg *c, const PtxSsd *s);
PtxRun ptx_ssd_run(Cg *c, const PtxSsd *s, Val number);
/* i1: a state that is stored in fewer bits is rounded after this run. NULL: never. */
Val ptx_ssd_rounds(Cg *c, const PtxSsd *s, const PtxRun *run);

int64_t ptx_ssd_decay_bytes(const PtxSsd *s); /* of shared memory */
PtxDecay ptx_ssd_decay_at(Cg *c, const PtxSsd *s, Val shared);
/* By a warp: dt of the run's tokens, PTX_SSD_LANE_TOKENS of each lane; and the arrays made of it,
 * for others after a barrier. */
void ptx_ssd_load_dt(Cg *c, const PtxSsd *s, const PtxRun *run, Val *dt);
void ptx_ssd_make_decay(Cg *c, const PtxSsd *s, const PtxDecay *to, const Val *dt);

#endif
