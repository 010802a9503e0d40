/* machine/tile.h -- how much of a product stays in vector registers. Emitters cut their loops to
 * these shapes, and passes that predict times count by them. */
#ifndef SSMC_MACHINE_TILE_H
#define SSMC_MACHINE_TILE_H

#include "machine/machine.h"

/* Most vectors of a tile or a strip. */
enum { TILE_MOST = 32 };

/* Most rows of a tile of `vecs` vectors whose accumulators, one row of the right side, the
 * broadcast and the temporaries of an emulated fma or bf16 dot fit in registers. At least 1. */
int tile_rows(const Machine *machine, int vecs, Dtype dtype);
/* Vectors of a tile over a matrix `width` f32 columns wide: least padding, then most FMAs a load.
 */
int tile_vecs(const Machine *machine, int64_t width);

/* Rows and vectors of the state [N,P] that the recurrence keeps in registers beside X, Y and two
 * broadcasts: least loads and stores a multiply-add, padding counted. */
typedef struct {
    int rows, vecs;
} TileStrip;
TileStrip tile_strip(const Machine *machine, int64_t state, int64_t head_dim);

#endif
