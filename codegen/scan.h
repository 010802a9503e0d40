/* codegen/scan.h -- private to codegen/: what the loop nests of recurrences share
 * (codegen/emit_scan.c: the SSD, streaming; codegen/scan_resident.c; codegen/emit_selective.c). */
#ifndef SSMC_CODEGEN_SCAN_H
#define SSMC_CODEGEN_SCAN_H

#include "codegen/decay.h"
#include "codegen/tile.h"

/* Most tokens that a window may have, and the fewest for which holding the state pays for staging
 * (bench/NOTES.md). */
enum { SCAN_MOST = 256, SCAN_RESIDENT = 3 };

/* What the resident form holds, and its scratch. */
typedef struct {
    int64_t tokens; /* of a window, the attribute chunk */
    int rows, vecs; /* of a strip of the state, in registers */
    int64_t width;  /* vecs * lanes */
    int64_t x_stride, n_stride;
    Val b_rows, c_rows; /* [tokens,N] */
    Val x_rows, y_rows; /* X, Y: [tokens,P] */
    CgDecay decay;
} ScanWindow;

/* Operands of ssd_scan and of selective_scan, which have the same places; D: NULL where there is
 * none. */
typedef struct {
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    Dtype stored; /* the state in memory */
} ScanOperands;
ScanOperands scan_operands(const Node *n);

typedef struct {
    CgKernel *k;
    ScanOperands v;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    Val row, head, group;
    Val decay, step; /* exp(dt A) and dt of this token and head */
    Val h;           /* state of this head, [N,P] */
    ScanWindow window;
} Scan;

/* Room for the resident form; before any loop. */
void scan_reserve(Cg *c, Scan *s);
/* B and C of a window's tokens, for every head of the group. */
void scan_stage_group(Cg *c, const Scan *s, Val row, Val count);
/* Tokens [row, row + count) of the head, whose decay is bounded and summed, with the state in
 * registers. */
void scan_window(Cg *c, Scan *s, Val row, Val count);

#endif
