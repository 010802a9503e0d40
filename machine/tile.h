/* machine/tile.h -- how much of a product stays in vector registers. Emitters cut their loops to
 * these shapes, and passes that predict times count by them. */
#ifndef SSMC_MACHINE_TILE_H
#define SSMC_MACHINE_TILE_H

#include "machine/machine.h"

/* Most vectors of a tile or a strip. */
enum { TILE_MOST = 32 };
/* Most channels of a head of attention on a matrix unit. */
enum { TILE_MOST_CHANNELS = 1024 };
/* Rows of queries that attention takes through the past together, on vectors and on a matrix unit:
 * keys and values are read once for them. Those of a band go through no more of the past than its
 * last row looks at. And tokens of the past that it takes at a time. */
enum {
    TILE_ATTEND_ROWS = 64,
    TILE_ATTEND_UNIT_ROWS = 256,
    TILE_ATTEND_BAND = 32,
    TILE_ATTEND_STEP = ABI_ROOM_STEP
};
/* Stretches of a token's past, which threads divide: most of them, and the least steps of one. */
enum { TILE_ATTEND_STRETCHES = 32, TILE_ATTEND_STRETCH = 4 };

/* Most rows of a tile of `vecs` vectors whose accumulators, one row of the right side, the
 * broadcast and the temporaries of an emulated fma or bf16 dot fit in registers. At least 1. */
int tile_rows(const Machine *machine, int vecs, Dtype dtype);
/* Vectors of a tile over a matrix `width` f32 columns wide: least padding, then most FMAs a load.
 */
int tile_vecs(const Machine *machine, int64_t width);
/* A tile of the products of `rows` rows, where that is few: as many vectors as registers hold, each
 * a chain of its own, and rows that come out even. widened: of pairs of bf16 on the right side that
 * become f32. */
typedef struct {
    int rows, vecs;
} TileFew;
TileFew tile_few(const Machine *machine, int64_t width, int64_t rows, bool widened);

/* What a thread with `panels` panels of a weight and `tiles` tiles of rows has to do, in quarters
 * of a tile's product: 4 a tile; to walk a panel that is not in the second-level cache takes about
 * as long as two more tiles with it (196 KiB at 25 GB/s beside 0.6 MFLOP at 130 GFLOP/s); to stage
 * the rows of a tile, 1. Of numbers, or of values that emitted code computes: add, mul and num are
 * the arithmetic. */
#define TILE_GRID_WORK(add, mul, num, panels, tiles)                                               \
    add(mul(mul(panels, add(tiles, num(2))), num(4)), tiles)
/* Threads divide a projection as a grid: groups of them its tiles of rows, the members of a group
 * its panels. The number of groups, a divisor of `threads` and at most `tiles`, for which the
 * busiest thread has least work; the least of several. */
int64_t tile_grid(int64_t panels, int64_t tiles, int64_t threads);

/* Rows and vectors of the state [N,P] that the recurrence keeps in registers beside X, Y and two
 * broadcasts: least loads and stores a multiply-add, padding counted. */
typedef struct {
    int rows, vecs;
} TileStrip;
TileStrip tile_strip(const Machine *machine, int64_t state, int64_t head_dim);

/* Tiles and scratch of a chunked SSD with chunks of Q tokens. Its products multiply units along the
 * summed index: f32, or pairs of bf16. Strides are units from row to row of scratch. */
typedef struct {
    int pairs;        /* elements of a unit: 1 or 2 */
    int rows, vecs;   /* of a register tile */
    int h_rows;       /* of a tile of the state: whole units */
    int cb_rows;      /* of a tile of CB = C B^T, one vector wide */
    int64_t width;    /* f32 columns of a tile */
    int64_t x_stride; /* P in whole tiles */
    int64_t c_stride; /* N in whole vectors */
    int64_t b_stride; /* N in whole tiles of rows */
    int64_t q_stride; /* Q in whole vectors, and what the diagonal's tile may touch past it */
    int64_t q_rows;   /* rows of C and CB */
    int64_t n_units;  /* units of N, and of Q */
    int64_t q_units;
    int64_t most; /* chunks of a pass of `block` tokens */
    int64_t span; /* chunks whose C, B and CB take half of the second-level cache, at least 1 */
} TileChunk;
TileChunk tile_chunk(const Machine *machine, bool bf16, int64_t chunk, int64_t head_dim,
                     int64_t states, int64_t block);

/* Tiles and scratch of a chunked SSD whose products run on the matrix unit. Matrices are in scratch
 * tile after tile: left ones have 16 rows of 32 bf16 along the summed index, right ones 16 rows of
 * 16 pairs, sums 16 x 16 f32. A step is 32 of the summed index. C is row after row, of an odd
 * number of lines: rows a power of two apart would meet in few sets of the first-level cache. */
typedef struct {
    int64_t q_steps, n_steps;           /* of Q and N */
    int64_t q_tiles, n_tiles, p_tiles;  /* of 16; whole blocks of rows */
    int64_t rows, cols;                 /* tiles of a block of sums */
    int64_t row_bytes;                  /* of a token of C */
    int64_t c_bytes, b_bytes, cb_bytes; /* of a chunk: C, B and C B^T as left operands */
    int64_t most, span;                 /* as TileChunk has them */
} TileUnit;
enum { TILE_UNIT_SIDE = 16, TILE_UNIT_STEP = 32, TILE_UNIT_LINE = 64, TILE_UNIT_BYTES = 1024 };
TileUnit tile_unit(const Machine *machine, int64_t chunk, int64_t head_dim, int64_t states,
                   int64_t block);

#endif
