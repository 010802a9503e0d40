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
/* Products of bf16 take 16 of what is summed over; 8 bf16 are copied together. */
enum { PTX_SSD_TILE = 16, PTX_SSD_UNIT = 8 };

typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *starts, *y; /* D and starts: NULL, or there */
    int64_t heads, head_dim, groups, states;                  /* H, P, G, N */
    int64_t chunk;   /* a stored state is rounded where one ends; CHUNK_ALL: where a segment does */
    Dtype stored;    /* the state in memory */
    int64_t run;     /* most tokens of a run: PTX_SSD_RUN or less, a power of 2 */
    bool coarse;     /* exponentials need the accuracy of bf16 */
    bool state_only; /* no y is made: of decays enter and weight alone */
    CgSeg seg;
    Val head, group;
    Val rate, skip; /* of the head: A; D, NULL: none */
} PtxSsd;

/* What the kernel's nodes say. False: diag says why not. */
bool ptx_ssd_bind(CgKernel *k, PtxSsd *s, Diag *diag);
/* The kernel with products of bf16, where the nodes ask for them and its state fits in registers.
 * False: nothing was built. */
bool ptx_ssd_bf16(Cg *c, PtxSsd *s);
/* Emits the same kernel with wgmma products (sm_90a). Returns false, and emits nothing, where the
 * state has too many numbers for it. */
bool ptx_ssd_wgmma(Cg *c, PtxSsd *s);
/* Maps of its launch. */
int ptx_ssd_wgmma_maps(const Cg *c, const PtxSsd *s);
/* The thread's segment and head: group, rate and skip follow. */
void ptx_ssd_open(Cg *c, PtxSsd *s, Val segment, Val head);
/* Row n, column p of the head's state in memory. */
Val ptx_ssd_state_at(Cg *c, const PtxSsd *s, Val n, Val p);

/* The runs of the segment: none goes beyond the end of a chunk. */
Val ptx_ssd_runs(Cg *c, const PtxSsd *s);
PtxRun ptx_ssd_run(Cg *c, const PtxSsd *s, Val number);
/* i1: a state that is stored in fewer bits is rounded after this run. NULL: never. */
Val ptx_ssd_rounds(Cg *c, const PtxSsd *s, const PtxRun *run);

/* How ssd_starts cuts a pass (its row in ir/ops.def): runs of a stretch. Where there are at least
 * `parts` segments they are not cut: more than any segment has. */
Val ptx_ssd_stretch(Cg *c, CgKernel *k, int64_t parts);
/* The first entry of a segment that is cut. */
Val ptx_ssd_entry(Cg *c, const CgSeg *seg, Val stretch);
/* Row n, column p of the head's state in entry `entry` of starts, which is f32. */
Val ptx_ssd_start_at(Cg *c, const PtxSsd *s, Val entry, Val n, Val p);

int64_t ptx_ssd_decay_bytes(const PtxSsd *s); /* of shared memory */
PtxDecay ptx_ssd_decay_at(Cg *c, const PtxSsd *s, Val shared);
/* By a warp: dt of the run's tokens, PTX_SSD_LANE_TOKENS of each lane, of which nothing is made
 * yet, so that nothing waits for them; and the arrays made of them, for others after a barrier. */
void ptx_ssd_load_dt(Cg *c, const PtxSsd *s, const PtxRun *run, Val *dt);
void ptx_ssd_make_decay(Cg *c, const PtxSsd *s, const PtxRun *run, const PtxDecay *to,
                        const Val *dt);

/* Two f32 of an array, from an even index on. */
void ptx_ssd_two_of(Cg *c, Val array, Val index, Val out[2]);

/* ---- operands of products, bf16 (ssd_stage.c) -------------------------------------------------
 */

/* Rows of a run in shared memory, `stride` elements apart. 0: swizzled, as wgmma takes them: rows
 * of 64 columns (ptx.h), and those of the next 64 behind those of a run. */
typedef struct {
    Val at;
    int64_t stride;
} PtxRows;
/* Where the unit of a token that begins at `col`, a multiple of 8, is. */
Val ptx_ssd_unit_at(Cg *c, const PtxRows *rows, Val token, Val col);

/* Where a lane has its part of 16 x 16 numbers (ssd_tiles.c). */
typedef struct {
    Val line, place; /* l / 4 and 2 (l % 4) of lane l: where ptx_mma_bf16 has its numbers */
    Val down[2],
        over[2]; /* row and column of the matrices that it gives the address of, by order */
} PtxLane;
/* How the four matrices of ptx_load_matrices lie in 16 x 16 numbers: as a left operand has them,
 * down first; or as two right ones, across first. */
typedef enum { PTX_DOWN, PTX_ACROSS } PtxOrder;
PtxLane ptx_lane_places(Cg *c);
/* 16 x 16 numbers from (row + down, col + over) on. */
void ptx_load_tile(Cg *c, const PtxLane *lane, const PtxRows *from, Val row, Val col, int64_t down,
                   int64_t over, PtxOrder order, bool transpose, Val out[4]);
/* Variables of f32, of 0; and four of them with a product of ptx_mma_bf16 added. */
void ptx_open_sums(Cg *c, Val *sum, int count);
void ptx_add_product(Cg *c, Val sum[4], const Val left[4], const Val right[2]);

/* Columns of a value to shared memory: `columns` of each token of the run, those from column first
 * + begin on; from `first` on the value has `width`, and `whole` says that this is no fewer. What
 * there is not is 0. */
typedef struct {
    const PtxSsd *s;
    const Value *from;
    Val first, begin;
    int64_t width, columns;
    bool whole;
    Val thread; /* this one's number among the `threads` that stage it */
    int64_t threads;
    PtxRun run;
    PtxRows to;
} PtxStage;
/* Of B or C: the group's; of x: `columns` of the head's from `begin` on. Threads, run and place are
 * left to say. */
PtxStage ptx_ssd_stage_group(Cg *c, const PtxSsd *s, const Value *from);
PtxStage ptx_ssd_stage_x(Cg *c, const PtxSsd *s, Val head, Val begin, int64_t columns);
void ptx_ssd_stage(Cg *c, const PtxStage *t);

#endif
