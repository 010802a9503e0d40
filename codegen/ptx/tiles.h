/* codegen/ptx/tiles.h -- private to codegen/ptx/: a tile of a projection while it is made. Its loop
 * is in ptx_tiles.c, how a stage of it is multiplied in tile_products.c and tile_wgmma.c. */
#ifndef SSMC_CODEGEN_PTX_TILES_H
#define SSMC_CODEGEN_PTX_TILES_H

#include "codegen/ptx/linear.h"

enum {
    PTX_MOST_ACC = 128, /* sums of a thread */
    PTX_MOST_DOWN = 8,  /* RANGES: 8s of rows of a warp */
    PTX_SUM_GAP = 8,    /* f32 between rows of sums in shared memory: rows lie in different banks */
    PTX_RANGES_GAP = 4 /* the same for RANGES and SPLIT: a lane stores two rows of a column, and the
                        * next lanes the next columns */
};

/* x or W: rows of which a tile is staged, 16 bytes a thread at a time. */
typedef struct {
    const CgOperand *o;
    bool whole; /* copied by 16 bytes; else element by element */
    bool weight;
    int rows;               /* of the tile */
    int64_t stride;         /* elements from row to row of memory */
    int64_t at;             /* bytes from the begin of a stage */
    Val base;               /* this thread's first row of memory, and its column of it */
    Val row, col;           /* of the tile; elements from the first of a stage */
    Val place;              /* bytes in the side's part of a stage */
    Val count;              /* rows of the tile that are there */
    Val head;               /* this thread's first row of memory, where that is none of those that
                             * follow each other; NULL: it is */
    Val from[PTX_MOST_ACC]; /* `listed`: this thread's rows of memory */
    bool listed;
    int beside; /* W, of a tile that is fed: ptx_fed_row; 0: rows lie in their order */
} PtxSide;

typedef struct {
    const PtxLinear *p;
    const Product *t;
    Dtype unit;
    int64_t depth, out, steps; /* K, O, stages of K */
    int per;                   /* 16s of bytes of a staged row */
    int64_t row_bytes, stage_bytes;
    bool swizzled;                  /* rows are of 128 bytes, whose 16s are moved about */
    int threads;                    /* that copy */
    Val all;                        /* threads that finish; NULL: `threads` do */
    Val shared, thread, lane, warp; /* thread: its number among those that copy */
    Val row, col, rows; /* of the tile: its first row and column, and how many rows there are */
    Val lead;           /* how many of those are beside what it makes; NULL: none */
    bool rounded;       /* sums in shared memory are a convolution's inputs, as pairs of bf16 */
    Val begin;          /* of a piece, PtxPiece */
    PtxSide x, w;
    Val acc[PTX_MOST_ACC]; /* variables */
    int naccs;
    Val squares[PTX_MOST_DOWN]; /* RANGES, SPLIT, variables: of the rows that this warp adds up,
                                 * where rows are normed; WIDE: of the thread's row */
    Val factors; /* shared f32 [rows] behind the sums; NULL: rows have none. SPLIT: squares of this
                  * block's range */
    Val block;   /* SPLIT: of the cluster; it has the range of that number */
    bool begun;  /* the weight's first stages are on their way */
    Val inputs;  /* SPLIT: of the range that there are; NULL: all, from the first */
} PtxTiles;

/* Whether a lane has 8 inputs of a row side by side, four of each of two products. */
static inline bool
ptx_reads_by_eight(const Product *product)
{
    return product->method == PRODUCT_RANGES || product->method == PRODUCT_SPLIT;
}

/* f32 from row to row of sums in shared memory. */
static inline int64_t
ptx_sum_stride(const Product *product)
{
    return product->columns + (ptx_reads_by_eight(product) ? PTX_RANGES_GAP : PTX_SUM_GAP);
}

/* For a tile of the kernel's product. Then for each: where it is, and what its threads copy. */
PtxTiles ptx_tiles_open(const PtxLinear *p, const Product *product);
void ptx_tiles_place(Cg *c, PtxTiles *t, const PtxTile *tile);
void ptx_tiles_sides(Cg *c, PtxTiles *t, const PtxTile *tile);
/* How many tiles the product has, and which number `number` is. */
Val ptx_tiles_count(Cg *c, const PtxLinear *p, const Product *product);
PtxTile ptx_tiles_at(Cg *c, const PtxLinear *p, const Product *product, Val number);
/* What threads make of the tile's sums in shared memory, columns of a convolution alone apart; and
 * the piece that those are. */
void ptx_tile_store(Cg *c, const PtxTiles *t);
PtxPiece ptx_tile_piece(Cg *c, const PtxTiles *t);
/* What the kernel makes of sums of a row of the tile, columns side by side from `col` on. */
void ptx_tile_finish(Cg *c, const PtxTiles *t, Val row, Val col, Val sums);

/* Where chunk number `chunk`, 16 bytes, of a staged row of 128 bytes is. Chunks are moved about by
 * the row: so that the same one of eight rows lies in all banks, or, for RANGES, the same four of
 * two. */
Val ptx_swizzle(Cg *c, const PtxTiles *t, Val chunk, Val row);
/* Begins to copy the stage that starts at input k to `offset` bytes into shared memory. */
void ptx_stage_copy(Cg *c, const PtxTiles *t, Val offset, Val k);
/* Begins to copy the first `ahead` stages, each a group of copies. */
void ptx_stages_begin(Cg *c, const PtxTiles *t, int ahead);
/* The stage `ahead` after `stage`, if there is one; a group in any case. */
void ptx_stages_next(Cg *c, const PtxTiles *t, Val stage, int ahead, Val offset);
/* A variable with the offset of a stage goes on to the next of the ring. */
void ptx_stage_advance(Cg *c, const PtxTiles *t, Val var);

/* acc += x W^T of the stage at an offset; then acc to rows of sums in shared memory. */
void ptx_fma_stage(Cg *c, const PtxTiles *t, Val offset, Val *acc);
void ptx_fma_put(Cg *c, const PtxTiles *t, const Val *acc);
/* The warp's part of the tile: its first row and column, and its 16s of rows. Four warps share a
 * part of WGMMA, each has 16 rows. */
int ptx_mma_part(Cg *c, const PtxTiles *t, Val *row, Val *col);
void ptx_mma_stage(Cg *c, const PtxTiles *t, Val offset, Val *acc);
void ptx_mma_put(Cg *c, const PtxTiles *t, const Val *acc);
/* All stages: t->acc is the product. */
void ptx_wgmma_sums(Cg *c, const PtxTiles *t);
/* What threads that copy multiply of a stage: its number, and its offset in shared memory. */
typedef void PtxMultiply(Cg *c, const PtxTiles *t, Val stage, Val offset, const void *user);
/* For each stage: waits for it, begins to copy another, multiplies. */
void ptx_stages(Cg *c, const PtxTiles *t, PtxMultiply *multiply, const void *user);
/* Begins the products of the stage at an offset, a group of them: acc += x W^T, of rows and columns
 * as ptx_wgmma_rows has them. */
void ptx_wgmma_stage(Cg *c, const PtxTiles *t, Val x, Val w, Val offset);
/* Of 16s of its inputs from number `first` up to `end`. */
void ptx_wgmma_inputs(Cg *c, const PtxTiles *t, Val x, Val w, Val offset, int first, int end);
/* Waits for all products: t->acc has their sums. */
void ptx_wgmma_all(Cg *c, const PtxTiles *t);
void ptx_ranges_sums(Cg *c, const PtxTiles *t);
void ptx_ranges_put(Cg *c, const PtxTiles *t, const Val *acc);
void ptx_split_sums(Cg *c, const PtxTiles *t); /* of the block's range */
void ptx_split_put(Cg *c, const PtxTiles *t, const Val *acc);
/* Sums of all ranges, which the blocks of the cluster have put at `at`; and the factor of a row. */
Val ptx_split_sum(Cg *c, const PtxTiles *t, Val at, int lanes);
Val ptx_split_factor(Cg *c, const PtxTiles *t, Val row);
void ptx_split_results(Cg *c,
                       const PtxTiles *t); /* tile_split.c: once this block has put its own */

/* tile_wide.c: all stages; then acc to rows of sums in shared memory. Its signals take bytes beside
 * the ring. */
void ptx_wide_sums(Cg *c, const PtxTiles *t);
void ptx_wide_put(Cg *c, const PtxTiles *t, const Val *acc);
int64_t ptx_wide_bytes(const Product *product);
enum { PTX_WIDE_MAPS = 2 };

/* tile_ring.c: a ring of stages. */
typedef struct {
    Val full, empty; /* signals of each place: it was filled, it was read */
    Val place, odd;  /* variables: the next place, and the round that it is in (i32) */
} PtxRing;
void ptx_ring_open(Cg *c, PtxRing *r); /* its variables */
void ptx_ring_next(Cg *c, const PtxTiles *t, const PtxRing *r);
Val ptx_ring_signal(Cg *c, Val signals, Val place);
Val ptx_ring_stage(Cg *c, const PtxTiles *t, Val place); /* bytes from the first */
/* A warp has filled, or read, a place; if_so: i1, NULL: it has. */
void ptx_ring_give(Cg *c, const PtxTiles *t, Val signals, Val place, Val if_so);
/* Boxes of so many rows of x, and of W, of inputs that a stage has. */
AbiMap ptx_map_x(const PtxLinear *p, int rows);
AbiMap ptx_map_w(const PtxLinear *p, int rows);

/* tile_fed.c: all tiles of a block that four warps feed. Of shared memory they take ptx_fed_bytes
 * beside the ring. */
void ptx_fed_tiles(Cg *c, PtxLinear *p, const Product *product, Val shared);
int64_t ptx_fed_bytes(const PtxLinear *p, const Product *product);
/* As p->product, with no more columns than divide the outputs evenly among as many tiles. */
const Product *ptx_fed_even(Arena *arena, const PtxLinear *p);
/* Whether warps of their own finish the tiles. */
bool ptx_fed_finishes(const PtxLinear *p);
/* Whether one thread copies boxes for the tiles, and by how many maps. */
bool ptx_fed_by_boxes(const PtxLinear *p);
int ptx_fed_maps(const PtxLinear *p);
/* How many columns a lane has side by side of those from `first` on, and of the 4 lanes of a row
 * together 4 times as many; `most` of all that have room. */
int ptx_fed_beside(const PtxTiles *t, int first, int most);
/* Which row of W in a stage is to hold number `row` of such columns of 4 lanes. */
Val ptx_fed_row(Cg *c, Val row, int beside);

#endif
