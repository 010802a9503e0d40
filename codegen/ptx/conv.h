/* codegen/ptx/conv.h -- private to codegen/ptx/: the columns of a causal convolution that one
 * thread makes. What it reads lies in memory (ptx_conv.c), or in a piece of a projection's sums
 * (tile_conv.c). */
#ifndef SSMC_CODEGEN_PTX_CONV_H
#define SSMC_CODEGEN_PTX_CONV_H

#include "codegen/ptx/linear.h"

/* Most in registers of a thread, if it has several columns. */
enum { PTX_CONV_WEIGHTS = 32 };

typedef struct {
    const Node *conv;
    int taps, lanes;           /* K, at least 2; columns */
    Val col, row;              /* of this thread: its first; first row of its run */
    Val weight[PTX_CONV_TAPS]; /* of the columns, oldest first */
    Val bias;                  /* NULL: none */
    const PtxPiece *piece;     /* NULL: inputs lie in memory */
    const PtxLinear *p;        /* of the piece */
    Val mine;                  /* i1: the columns are some of the convolution's */
    Val down;                  /* the thread, of those of the piece that have these columns */
    Val number;                /* of the segment that the piece's first row belongs to */
} PtxConv;

/* Its taps; one lane. False: they are too many; diag says so. */
bool ptx_conv_open(const Node *conv, PtxConv *v, Diag *diag);
/* How many columns a thread makes at once in a projection's epilogue, whose sites have `lanes`
 * columns and begin at multiples of them: all, where none has some of the convolution and some not,
 * and their weights have room in registers; or one. */
int ptx_conv_lanes(const Node *conv, int lanes);
/* Of the thread's columns. */
void ptx_conv_weights(Cg *c, CgKernel *k, PtxConv *v);
/* The convolution of one row; taps: its inputs, oldest first. What the kernel makes of it. */
Val ptx_conv_sum(Cg *c, const PtxConv *v, const Val *taps);
void ptx_conv_store(Cg *c, CgKernel *k, const PtxConv *v, Val row, Val y);
/* Makes the first K-1 rows of a segment, which read its state, and the state after it. */
void ptx_conv_begin(Cg *c, CgKernel *k, const PtxConv *v, Val number);

/* A piece's part of this thread (linear.h), which reads what it needs of weights: it may come
 * before the piece's sums are there. ptx_conv_piece makes it. */
PtxConv ptx_conv_part(Cg *c, const PtxLinear *p, const PtxPiece *piece);
void ptx_conv_piece(Cg *c, const PtxConv *v);
/* The input of a row of a segment that ends in the piece: one of its first K-1, or of those that
 * the piece makes, or of the K-1 before these. */
Val ptx_piece_input(Cg *c, const PtxConv *v, Val row);

#endif
