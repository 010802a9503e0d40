/* passes/tile_shape.h -- private to passes/: register tiles as the emitters choose them.
 * codegen/tile.c and codegen/scan_resident.c decide; a test compares. */
#ifndef SSMC_PASSES_TILE_SHAPE_H
#define SSMC_PASSES_TILE_SHAPE_H

#include "passes/cost.h"

int tile_rows(const PassMachine *machine, int vecs, bool bf16);
int tile_vecs(const PassMachine *machine, int64_t width);

/* Rows and vectors of the state that the recurrence keeps in registers. */
typedef struct {
    int rows, vecs;
} Strip;
Strip strip_shape(const PassMachine *machine, int64_t state, int64_t head_dim);

#endif
