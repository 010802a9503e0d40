/* codegen/scan.h -- private to codegen/: what the two loop nests of the recurrent SSD share
 * (codegen/emit_scan.c: streaming; codegen/scan_resident.c). */
#ifndef SSMC_CODEGEN_SCAN_H
#define SSMC_CODEGEN_SCAN_H

#include "codegen/decay.h"
#include "codegen/tile.h"

/* Most tokens of a window: B, C, X and Y of so many stay in the first-level cache. Fewest tokens
 * for which holding the state pays for staging (bench/NOTES.md). */
enum { SCAN_WINDOW = 32, SCAN_RESIDENT = 2 };

/* Most tokens of a window of this node: what its chunk says, if it says less. */
int64_t scan_window_tokens(const Node *scan);

/* What the resident form holds, and its scratch. */
typedef struct {
    int64_t tokens; /* at most */
    int rows, vecs; /* of a strip of the state, in registers */
    int64_t width;  /* vecs * lanes */
    int64_t x_stride, n_stride;
    Val b_rows, c_rows; /* [SCAN_WINDOW,N] */
    Val x_rows, y_rows; /* X, Y: [SCAN_WINDOW,P] */
    CgDecay decay;
} ScanWindow;

typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
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
/* Tokens [row, row + count) of the head, whose decays are gentle and summed, with the state in
 * registers. */
void scan_window(Cg *c, Scan *s, Val row, Val count);

#endif
