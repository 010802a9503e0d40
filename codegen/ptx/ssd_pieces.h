/* codegen/ptx/ssd_pieces.h -- private to codegen/ptx/ and its tests: how many blocks share the
 * states of 64 columns of a head in ptx_ssd_starts.c. */
#ifndef SSMC_CODEGEN_PTX_SSD_PIECES_H
#define SSMC_CODEGEN_PTX_SSD_PIECES_H

#include <stdint.h>

/* Pieces of `states`, a multiple of 16, of `columns` times 64 columns of heads on so many
 * multiprocessors. *each: the states of one, of which the last has no fewer than one. */
int64_t ptx_ssd_pieces(int64_t states, int64_t columns, int64_t units, int64_t *each);

#endif
