/* codegen/ptx/attention.h -- private to codegen/: what the files of a GPU's attention kernels
 * share. */
#ifndef SSMC_CODEGEN_PTX_ATTENTION_H
#define SSMC_CODEGEN_PTX_ATTENTION_H

#include "codegen/emit/attend.h"
#include "codegen/ptx/ptx.h"

enum { MOST_CHANNELS = 256 }; /* of a head: what the registers of a warp hold */

/* A block takes `tokens` tokens in `taken` of a group's query heads: row r of Q is token r / taken
 * in head r % taken. Rows behind the last token, or the last head, are computed and not stored. */
typedef struct {
    CgKernel *k;
    const Value *q, *y;
    const CgOperand *keys, *values;
    int64_t heads, groups, head_dim, window; /* window: 0: none */
    int64_t value_dim;                       /* channels of a value, and of O and y */
    int64_t together, taken, parts;          /* heads of a group, of a block; blocks of a group */
    int64_t tokens, rows;                    /* of a block */
    double scale, cap;
    /* Where the loops are. */
    CgSeg seg;
    Val group, head, left; /* the block's first head, and how many of the group there are from it */
    Val first, count;      /* token `first` of the segment is the block's first of `count` */
    Val keys_at, values_at; /* of the sequence */
} Attention;

/* Heads of a block, at most `most`: the group divided evenly. */
void attention_divide(Attention *a, int64_t most);
/* Finds the block's group and heads from its number in direction 1 of the grid, which is made. */
void attention_heads(Cg *c, Attention *a);
void attention_sequence(Cg *c, Attention *a, CgSeg seg);
Val attention_token(Cg *c, const Attention *a, Val row);  /* of the block */
Val attention_is_row(Cg *c, const Attention *a, Val row); /* i1: of a token and a head there are */
/* Its head; its row in q and y. */
Val attention_head(Cg *c, const Attention *a, Val row);
Val attention_site_row(Cg *c, const Attention *a, Val row);
/* Its position in the sequence, as i32. */
Val attention_position(Cg *c, const Attention *a, Val row);
/* q times the scale, and log2 e unless there is a cap; column `col` of the head. */
Val attention_query(Cg *c, const Attention *a, Val row, Val col);
/* softcap tanh(s / softcap), times log2 e; s itself without a cap. */
Val attention_capped(Cg *c, const Attention *a, Val s);
/* s, or -inf where a token does not look. after: its position less that of the key, i32. */
Val attention_masked(Cg *c, const Attention *a, Val s, Val after);
/* i1: some of the block's tokens do not look at all of the 64 from position `at` on. */
Val attention_is_edge(Cg *c, const Attention *a, Val at);
/* The first of the positions, a multiple of 64, that some of the block's tokens look at, and the
 * end. */
Val attention_from(Cg *c, const Attention *a);
Val attention_end(Cg *c, const Attention *a);
/* 64 rows of the group from position `at` on: all its channels, one piece of memory. */
Val attention_piece(Cg *c, const Attention *a, const CgOperand *kept, Val base, Val at);
/* y of row and column, and what is fused after it. */
void attention_store(Cg *c, const Attention *a, Val row, Val col, Val y);

double attention_scale(const Attention *a);

/* ---- products of tiles of bf16 (attention_tiles.c) --------------------------------------------
 */

enum { MOST_TALL = 2, MOST_STEPS = MOST_CHANNELS / 16, MOST_OUTS = MOST_CHANNELS / 8 };

/* What a warp holds of 16 * tall rows. Lane 4 g + t: rows g and g + 8 of each 16.
 *
 * Products may sum over channels and tokens in any order, as long as both sides have it, and their
 * columns may stand for any. So a lane reads 4 words of keys or values at a time, which lie side by
 * side: of keys the pairs of channels of 4 tokens, which are a column each of 4 products; of values
 * the pairs of tokens of 4 channels. With 32 tokens at a time, column 2 t + e of product j is token
 * 8 t + 4 e + j, and the weights that a lane has are pairs of tokens as the values have them. */
typedef struct {
    const Attention *a;
    int tall, halves; /* halves: of 32 tokens, between two looks at the greatest score */
    bool shared;      /* keys and values are in shared memory, swizzled; else where they are kept */
    int steps, wide;  /* of 16 channels; columns that a lane reads of values at a time: 4 or 1 */
    int outs;         /* products beside each other that make y */
    int64_t stride;   /* words of a row of values */
    bool held;        /* queries in registers */
    Val q[MOST_TALL][MOST_STEPS][4];
    Val q_at; /* shared memory: where this lane reads queries */
    int64_t q_stride;
    Val t;                                     /* i64: of the lane */
    Val o[MOST_TALL][MOST_OUTS][4];            /* variables */
    Val most[MOST_TALL][2], sum[MOST_TALL][2]; /* variables: of each row */
    Val position[MOST_TALL][2];                /* i32 */
} Tiles;

void tiles_open(Cg *c, Tiles *x, const Attention *a, int tall, bool shared);
/* Bytes of the queries of `rows` rows. */
int64_t tiles_query_bytes(const Tiles *x, int64_t rows);
/* Queries of 16 * tall rows from row `first` of the block on, to shared memory at `to` by `lanes`
 * threads, of which this is number `lane`. */
void tiles_stage_queries(Cg *c, const Tiles *x, Val to, Val first, int64_t rows, Val lane,
                         int64_t lanes);
/* Begins with the queries at `from`, of the block's rows `first` and on. */
void tiles_begin(Cg *c, Tiles *x, Val from, Val first);
/* 64 tokens from position `at` on; edge: i1, not every row looks at all of them. */
void tiles_walk(Cg *c, Tiles *x, Val keys, Val values, Val at, Val edge);
/* Sums of the rows complete in each lane. */
void tiles_end(Cg *c, Tiles *x);
/* O to f32 [16 * tall,stride] at `to`, times `factor` of each row. */
void tiles_store(Cg *c, const Tiles *x, Val to, int64_t stride, Val factor[MOST_TALL][2]);
/* Elements of a row there. */
int64_t tiles_out_stride(const Tiles *x);

/* ---- the kernels ------------------------------------------------------------------------------
 */

void attention_of_tiles(Cg *c, Attention *a);   /* bf16, many tokens */
void attention_of_numbers(Cg *c, Attention *a); /* f32, many tokens */
void attention_of_one(Cg *c, Attention *a);     /* a token for each block, over a long past */

/* For each segment that the block's rows are of, calls what builds its walk. */
void attention_blocks(Cg *c, Attention *a, void *user, void walk(Cg *c, Attention *a, void *user));

#endif
