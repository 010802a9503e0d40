/* ir/memo.c -- see memo.h. */
#include "ir/memo.h"

#include <stdlib.h>
#include <string.h>

/* ---- products -------------------------------------------------------------------------------- */

typedef struct {
    MemoKey key;
    int64_t count;
    double *at; /* NULL: the slot is free */
} Entry;

struct InterpMemo {
    Entry *slots; /* by key.a and what follows it */
    size_t used, cap;
};

MemoKey
memo_mix(MemoKey key, const void *data, size_t len)
{
    return (MemoKey){hash_bytes(data, len, key.a),
                     hash_bytes(data, len, key.b ^ 0x9e3779b97f4a7c15u)};
}

InterpMemo *
interp_memo_new(void)
{
    InterpMemo *memo = calloc(1, sizeof *memo);
    if (!memo)
        die("out of memory");
    return memo;
}

void
interp_memo_free(InterpMemo *memo)
{
    for (size_t i = 0; memo && i < memo->cap; i++)
        free(memo->slots[i].at);
    if (memo)
        free(memo->slots);
    free(memo);
}

/* The slot that has the key, or the free one where it belongs. */
static Entry *
memo_slot(Entry *slots, size_t cap, MemoKey key)
{
    size_t i = (size_t)key.a % cap;
    while (slots[i].at && (slots[i].key.a != key.a || slots[i].key.b != key.b))
        i = (i + 1) % cap;
    return &slots[i];
}

const double *
memo_find(const InterpMemo *memo, MemoKey key, int64_t count)
{
    const Entry *found = memo->cap ? memo_slot(memo->slots, memo->cap, key) : NULL;
    return found && found->at && found->count == count ? found->at : NULL;
}

static bool
memo_grow(InterpMemo *memo)
{
    const size_t cap = memo->cap ? 2 * memo->cap : 256;
    Entry *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < memo->cap; i++)
        if (memo->slots[i].at)
            *memo_slot(slots, cap, memo->slots[i].key) = memo->slots[i];
    free(memo->slots);
    memo->slots = slots;
    memo->cap = cap;
    return true;
}

void
memo_keep(InterpMemo *memo, MemoKey key, const double *at, int64_t count)
{
    if (2 * memo->used >= memo->cap && !memo_grow(memo))
        return;
    Entry *slot = memo_slot(memo->slots, memo->cap, key);
    double *copy = slot->at ? NULL : malloc((size_t)(count > 0 ? count : 1) * sizeof *copy);
    if (!copy)
        return;
    memcpy(copy, at, (size_t)count * sizeof *copy);
    *slot = (Entry){key, count, copy};
    memo->used++;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

enum { HEAD = 2, LEAST_KEPT = 4096 }; /* elements: of a block's head, which says how many follow */

static int64_t
block_count(const double *at)
{
    int64_t count = 0;
    memcpy(&count, at - HEAD, sizeof count);
    return count;
}

double *
block_new(Blocks *blocks, int64_t count, bool zero)
{
    int best = -1;
    for (int i = 0; i < BLOCKS_KEPT; i++) {
        const int64_t has = blocks->kept[i] ? block_count(blocks->kept[i]) : 0;
        if (has < count || has < LEAST_KEPT || has / 4 > count)
            continue;
        if (best < 0 || has < block_count(blocks->kept[best]))
            best = i;
    }
    if (best >= 0) {
        double *at = blocks->kept[best];
        blocks->kept[best] = NULL;
        if (zero)
            memset(at, 0, (size_t)count * sizeof *at);
        return at;
    }
    double *base = calloc((size_t)(count + HEAD), sizeof *base);
    if (!base)
        return NULL;
    memcpy(base, &count, sizeof count);
    return base + HEAD;
}

void
block_free(Blocks *blocks, double *at)
{
    double *least = at; /* the one that is not kept */
    for (int i = 0; at && i < BLOCKS_KEPT && least; i++) {
        double *kept = blocks->kept[i];
        if (kept && block_count(kept) >= block_count(least))
            continue;
        blocks->kept[i] = least;
        least = kept;
    }
    if (least)
        free(least - HEAD);
}

void
blocks_free(Blocks *blocks)
{
    for (int i = 0; i < BLOCKS_KEPT; i++)
        if (blocks->kept[i])
            free(blocks->kept[i] - HEAD);
    *blocks = (Blocks){0};
}
