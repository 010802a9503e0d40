/* codegen/ptx/conv.h -- private to codegen/ptx/: the columns of a causal convolution that one
 * thread makes. What it reads lies in memory (ptx_conv.c), or in a piece of a projection's sums
 * (tile_conv.c). */
#ifndef SSMC_CODEGEN_PTX_CONV_H
#define SSMC_CODEGEN_PTX_CONV_H

#include "codegen/ptx/linear.h"

enum {
    PTX_CONV_TAPS = 16,    /* most */
    PTX_CONV_WEIGHTS = 32, /* most in registers of a thread, if it has several columns */
    PTX_CONV_RUN = 8       /* rows that a thread makes one after the other */
};

typedef struct {
    const Node *conv;
    int taps, lanes;           /* K, at least 2; columns */
    Val col, row;              /* of this thread: its first; first row of its run */
    Val limit;                 /* the row behind the last that is made; NULL: the pass's */
    Val weight[PTX_CONV_TAPS]; /* of the columns, oldest first */
    Val bias;                  /* NULL: none */
    Val number;                /* of a segment that many of the rows belong to: it, and its rows;
                                * NULL: none is known */
    CgSeg known;
    const PtxLinear *p;    /* of the piece */
    const PtxPiece *piece; /* NULL: inputs lie in memory */
    Val mine, down;        /* of a piece: i1, the columns are some; the thread among those that
                            * have them */
} PtxConv;

/* Its taps; one lane. False: they are too many; diag says so. */
bool ptx_conv_open(const Node *conv, PtxConv *v, Diag *diag);
/* How many columns a thread makes at once in a projection's epilogue, whose sites have `lanes`
 * columns and begin at multiples of them: all, where none has some of the convolution and some not,
 * and their weights have room in registers; or one. */
int ptx_conv_lanes(const Node *conv, int lanes);
/* Of the thread's columns. */
void ptx_conv_weights(Cg *c, CgKernel *k, PtxConv *v);
/* Makes those of `rows` rows from v->row on, at most PTX_CONV_RUN, that have K-1 rows of their
 * segment before them. */
void ptx_conv_run(Cg *c, CgKernel *k, const PtxConv *v, int rows);
/* Makes the first K-1 rows of a segment, which read its state, and the state after it. */
void ptx_conv_begin(Cg *c, CgKernel *k, const PtxConv *v, Val number);

/* A piece's part of this thread (linear.h), which reads what it needs of weights: it may come
 * before the piece's sums are there. ptx_conv_piece makes it. */
PtxConv ptx_conv_part(Cg *c, const PtxLinear *p, const PtxPiece *piece);
void ptx_conv_piece(Cg *c, PtxConv *v);

/* The input of a row, which the piece makes or which is one of the K-1 before those; or a row of
 * K-1 from where a segment begins. */
Val ptx_piece_input(Cg *c, CgKernel *k, const PtxConv *v, Val row);
Val ptx_piece_early(Cg *c, CgKernel *k, const PtxConv *v, Val row);

#endif
