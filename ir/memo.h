/* ir/memo.h -- products that interpreters have computed before, and blocks of memory that they have
 * used before. */
#ifndef SSMC_IR_MEMO_H
#define SSMC_IR_MEMO_H

#include "ir/ir.h"

/* What a value is computed from, as two hashes. */
typedef struct {
    uint64_t a, b;
} MemoKey;

/* key and what follows it. */
MemoKey memo_mix(MemoKey key, const void *data, size_t len);
/* The elements kept for a key, or NULL. */
const double *memo_find(const InterpMemo *memo, MemoKey key, int64_t count);
/* Keeps a copy of them; without memory for one it keeps nothing. */
void memo_keep(InterpMemo *memo, MemoKey key, const double *at, int64_t count);

/* Large blocks that were freed are used again: the pages of a new one cost more than the arithmetic
 * on it. */
enum { BLOCKS_KEPT = 8 };

typedef struct {
    double *kept[BLOCKS_KEPT]; /* owns; NULL: none */
} Blocks;

/* Elements, zeros if `zero`; NULL: no memory. */
double *block_new(Blocks *blocks, int64_t count, bool zero);
void block_free(Blocks *blocks, double *at); /* NULL: nothing */
void blocks_free(Blocks *blocks);

#endif
