/* codegen/ptx/ssd_chunks.h -- private to codegen/ptx/: what the files of the chunked SSD by wgmma
 * share (ptx_ssd_wgmma.c says how it goes; ssd_chunks.c, ssd_feeders.c, ptx_ssd_wide.c). */
#ifndef SSMC_CODEGEN_PTX_SSD_CHUNKS_H
#define SSMC_CODEGEN_PTX_SSD_CHUNKS_H

#include "codegen/ptx/ssd_wgmma.h"

enum {
    PTX_CHUNK_X_PLACES = 3,           /* in shared memory: of x, of few states, and of decays */
    PTX_CHUNK_M_PLACES = 2,           /* of M */
    PTX_CHUNK_LEAST_PLACES = 3,       /* of B, and of C of few states */
    PTX_CHUNK_SUMS = PTX_SSD_RUN / 2, /* f32 of a thread: y of a run, or S */
    PTX_CHUNK_STEPS = PTX_SSD_RUN / PTX_SSD_TILE,
    PTX_CHUNK_HEADS = 2,                  /* of a block, at most */
    PTX_CHUNK_HALF_RUN = PTX_SSD_RUN / 2, /* wide: columns of M that a head has in a row */
    PTX_CHUNK_SIGNAL_BYTES = 8,
};

typedef struct {
    PtxGroups g;
    int heads;  /* of a block */
    bool wide;  /* more than 128 states */
    bool boxes; /* wide: whole runs are copied by boxes, of these maps */
    int x_map, B_map, C_map;
    int places;   /* of B */
    int c_places; /* of C */
    int x_places;
    int64_t run_bytes; /* of C, and of B, of a run */
    Val shared;
    Val first;                  /* head of the block */
    Val team;                   /* this warp's four among those that have state */
    Val full, read;             /* wide: signals of a run: copies are there; all have read C */
    Val number;                 /* of this run */
    Val C, B, x, M;             /* of this run; x of this thread's head, M of the block's first */
    Val c_at, b_at, x_at, m_at; /* wide: bytes from `shared` to them */
    Val xs_at;                  /* x of the block's first */
    Val m_begin;                /* to where this thread's M begins */
    PtxDecay decay;             /* of this thread's head */
    Val decays;                 /* of the block's */
    Val feeder;                 /* this warp's number among them */
    int64_t stretches;          /* 0: segments are not cut */
    Val all;                    /* runs of the segment */
    Val is_cut, entry;          /* i1: it is, and where the state before the stretch is */
} PtxChunks;

/* ssd_chunks.c */
/* Bytes of M of a run, and of all that a block has in shared memory. */
int64_t ptx_chunks_m_bytes(const PtxChunks *v);
int64_t ptx_chunks_bytes(const PtxChunks *v);
/* What s has room for, at most `heads` heads a block; false: none. */
bool ptx_chunks_sizes(const Cg *c, PtxChunks *v, int heads);
/* Blocks of a segment, and warps of one. */
int64_t ptx_chunks_blocks(const PtxChunks *v);
int ptx_chunks_warps(const PtxChunks *v);
/* What the block and this warp have. */
void ptx_chunks_place_warp(Cg *c, PtxChunks *v);
/* Run `number` of the segment is what v is about from here on. */
void ptx_chunks_enter_run(Cg *c, PtxChunks *v, Val number);
/* `more` runs on; and a branch for a run that there is. */
Val ptx_chunks_after(Cg *c, Val number, int more);
CgIf ptx_chunks_if_run(Cg *c, const PtxChunks *v, Val number);
/* This thread's number among those of its four warps. */
Val ptx_chunks_own_thread(Cg *c, const PtxChunks *v);
/* Bytes from the first 16 states of rows of C or B to 16s number k. */
Val ptx_chunks_tile_of_states(Cg *c, int64_t k);
/* Rows of the block's memory, `at` bytes on, as wgmma takes them. */
Val ptx_chunks_wide_rows(Cg *c, const PtxChunks *v, Val at);
/* 16 states from k on as a left operand. */
void ptx_chunks_state_pairs(Cg *c, const PtxChunks *v, int64_t k, Val left[4]);
/* Sums of 16 tokens. */
Val *ptx_chunks_tile_of(Val y[PTX_CHUNK_SUMS], int tile);
/* What is left of the state at each of a tile's tokens, and D x: a left operand has its numbers
 * where sums have theirs. */
void ptx_chunks_scale_and_skip(Cg *c, const PtxChunks *v, Val y[PTX_SSD_TILE / 2], Val enter[2][2],
                               const Val x[4]);
/* One number at a time: with what follows y in the kernel. */
void ptx_chunks_store_each(Cg *c, const PtxChunks *v, Val y[PTX_CHUNK_SUMS]);
/* The kernel's one output, if that is y rounded to bf16, whose rows can be written by 16 bytes; or
 * NULL. */
const CgOperand *ptx_chunks_rounded_output(const PtxChunks *v);
/* Of the stretch, which begins with what ptx_ssd_starts.c made, or of the sequence. */
void ptx_chunks_load_state(Cg *c, PtxChunks *v);
/* The last stretch's is the sequence's. */
void ptx_chunks_store_state(Cg *c, const PtxChunks *v);

/* ssd_feeders.c */
/* dt of a run is read two runs ahead, lies where its M will read it, and becomes decays. */
void ptx_chunks_fetch_dt(Cg *c, const PtxChunks *v, Val number, Val dt[PTX_SSD_LANE_TOKENS]);
void ptx_chunks_put_dt(Cg *c, const PtxChunks *v, Val number, const Val dt[PTX_SSD_LANE_TOKENS]);
void ptx_chunks_make_decays(Cg *c, const PtxChunks *v, Val number);
/* S of all tokens of v's run, on its way. */
void ptx_chunks_begin_s(Cg *c, const PtxChunks *v, Val s[PTX_CHUNK_SUMS]);
/* Of M what is on and below the diagonal of 16 x 16 tokens: above, it stays 0. */
void ptx_chunks_make_m(Cg *c, PtxChunks *v, Val s[PTX_CHUNK_SUMS]);
/* Once, of all places. */
void ptx_chunks_clear_m(Cg *c, const PtxChunks *v);
/* dt of the first runs, decays of all but the last of them. */
void ptx_chunks_first_decays(Cg *c, const PtxChunks *v);

/* ptx_ssd_wide.c: what ptx_ssd_wgmma.c does itself for few states. */
void ptx_wide_run(Cg *c, PtxChunks *v);
/* A run's round of `full`: x of the run, C and B of the next. */
void ptx_wide_feed(Cg *c, PtxChunks *v);
void ptx_wide_maps(PtxChunks *v);

#endif
