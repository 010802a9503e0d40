/* codegen/emit/kept.h -- private to codegen/: how the rows of a growing state lie.
 *
 * Rows of G heads of P channels lie in groups of KEPT_GROUP tokens, and in a group head after head,
 * so that what attention reads of a head's 64 tokens is one piece of memory:
 *
 *            f32               bf16
 *   rows     [64,G,P]          [64,G,P]
 *   keys     [G,P,64]          [G,P/2,64,2]    channels over tokens: a right operand of Q K^T
 *   values   [G,64,P]          [G,32,P,2]      tokens over channels: a right operand of P V
 *
 * In 16 bits two elements that a dot product takes together lie side by side. */
#ifndef SSMC_CODEGEN_KEPT_H
#define SSMC_CODEGEN_KEPT_H

#include "codegen/emit/cg.h"

enum { KEPT_GROUP = ABI_ROOM_STEP };

/* Where the group of tokens begins that has token `row`, a multiple of KEPT_GROUP; of one head. */
Val cg_kept_group(Cg *c, Val base, Dtype dtype, Val row, int64_t width, Val head, int64_t head_dim);

#endif
