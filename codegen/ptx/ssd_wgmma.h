/* codegen/ptx/ssd_wgmma.h -- private to codegen/ptx/: four warps that have 64 columns of a head's
 * state, for the kernels that go through runs of tokens with it (ptx_ssd_wgmma.c,
 * ptx_ssd_starts.c). */
#ifndef SSMC_CODEGEN_PTX_SSD_WGMMA_H
#define SSMC_CODEGEN_PTX_SSD_WGMMA_H

#include "codegen/ptx/ssd.h"

enum {
    PTX_GROUP_WARPS = GPU_WARPGROUP / GPU_WARP,
    PTX_GROUP_COLUMNS = 64,                                   /* of a head */
    PTX_SSD_ROWS_BYTES = PTX_SSD_RUN * PTX_GROUP_COLUMNS * 2, /* 64 columns of a run */
    PTX_GROUPS_FEW_STATES = 128,                       /* which leave registers for all else */
    PTX_GROUPS_MOST_STATES = 256,                      /* N */
    PTX_GROUPS_MOST_SUMS = PTX_GROUPS_MOST_STATES / 2, /* f32 of a thread */
};

typedef struct {
    PtxSsd s;
    int64_t parts; /* of a head */
    int64_t n;     /* states that these warps have, up to whole tiles */
    Val state;     /* the first of them */
    PtxRun run;
    Val number;      /* of the head among the block's */
    Val begin;       /* its column where the part begins */
    Val warp;        /* of the four */
    Val line, place; /* l / 4 and 2 (l % 4) of lane l */
    Val down, over;  /* row and column of the matrices that a lane gives the address of */
    Val from, to;    /* runs of the segment that the block goes through */
    Val h[PTX_GROUPS_MOST_SUMS]; /* variables: h^T, as sums of wgmma */
} PtxGroups;

/* parts and n, of the whole state. */
void ptx_groups_sizes(PtxGroups *g);
/* Bytes of `columns` of a run. */
int64_t ptx_groups_bytes(int64_t columns);
/* Whether a value's rows can be copied as boxes: of bf16, and begun at multiples of 16 bytes. */
bool ptx_groups_in_boxes(const CgKernel *k, const Value *v);
/* A map of its rows, of `columns`: a box is 64 columns of a run. */
int ptx_groups_map(CgKernel *k, const Value *v, int64_t columns);
/* Lane, segment and head; number, begin and warp are set. All of the segment's runs. */
void ptx_groups_open(Cg *c, PtxGroups *g, Val segment, Val head);
/* The column of the head that this thread has in its first row of sums. */
Val ptx_groups_column(Cg *c, const PtxGroups *g);
/* Two f32 of an array: those of this thread's columns among 8 tokens. */
void ptx_groups_two_of(Cg *c, const PtxGroups *g, Val array, int token, Val out[2]);

/* The state in memory: entry `entry` of ptx_ssd_start_at, or the sequence's own, NULL. */
void ptx_groups_open_state(Cg *c, PtxGroups *g);
void ptx_groups_load(Cg *c, const PtxGroups *g, Val entry);
/* Loads the state from a head's rows of f32 that begin at `rows`. All loads are at constant
 * distances from one address. */
void ptx_groups_load_rows(Cg *c, const PtxGroups *g, Val rows);
void ptx_groups_store(Cg *c, const PtxGroups *g); /* its own */
void ptx_groups_store_start(Cg *c, const PtxGroups *g, Val entry);

/* PAIRS: of tokens of a run that a lane has in its left operands. */
enum { PTX_GROUP_STEPS = PTX_SSD_RUN / PTX_SSD_TILE, PTX_GROUP_PAIRS = 2 * PTX_GROUP_STEPS };
/* x^T of the run, from rows of 64 columns, as left operands for each 16 tokens. */
void ptx_groups_load_x(Cg *c, const PtxGroups *g, Val rows, Val x[PTX_GROUP_STEPS][4]);
/* (weight x)^T. */
void ptx_groups_weigh(Cg *c, const PtxGroups *g, const PtxDecay *decay, Val x[PTX_GROUP_STEPS][4],
                      Val out[PTX_GROUP_STEPS][4]);
/* ptx_groups_weigh in two steps: loads the weights, then multiplies x by them. */
void ptx_groups_load_weights(Cg *c, const PtxGroups *g, const PtxDecay *decay,
                             Val out[PTX_GROUP_PAIRS][2]);
void ptx_groups_weigh_by(Cg *c, Val weight[PTX_GROUP_PAIRS][2], Val x[PTX_GROUP_STEPS][4],
                         Val out[PTX_GROUP_STEPS][4]);
/* h^T = exp(a_last) h^T + (weight x)^T B begins, a group of products; and is done. B: its rows of
 * 64 columns, one after the other. update_of: with what is kept, and B as ptx_wgmma_columns has it.
 */
void ptx_groups_update(Cg *c, PtxGroups *g, const PtxDecay *decay, Val B,
                       Val weighed[PTX_GROUP_STEPS][4]);
Val ptx_groups_kept(Cg *c, const PtxDecay *decay);
void ptx_groups_update_of(Cg *c, PtxGroups *g, Val kept, Val B, Val weighed[PTX_GROUP_STEPS][4]);
void ptx_groups_updated(Cg *c, PtxGroups *g);
/* Parts of ptx_groups_updated: the products have ended; the state is rounded as it is stored. */
void ptx_groups_ended(Cg *c, PtxGroups *g);
void ptx_groups_round(Cg *c, PtxGroups *g);

#endif
