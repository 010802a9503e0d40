/* codegen/emit/chunked.h -- private to codegen/: what the files of the chunked SSD kernel share,
 * which is the delta rule's as well (codegen/emit/chunked_delta.c). */
#ifndef SSMC_CODEGEN_CHUNKED_H
#define SSMC_CODEGEN_CHUNKED_H

#include "codegen/emit/decay.h"
#include "codegen/emit/tile.h"

/* Rows of bf16 some bytes apart. */
typedef struct {
    Val at, stride;
} ChunkedRows;

/* What the delta rule has besides: its X is solved for. */
typedef struct {
    const Value *b;  /* NULL: an SSD */
    const Attr *eps; /* NULL: keys and queries are taken as they are */
    double scale;    /* of queries */
    TileChunk shape; /* of f32: tiles of rows that are solved together */
    int64_t rows;    /* of B B^T, and of keys_all, of a chunk: what tiles and squares read */
    Val c_factors, b_factors; /* of the rows of C and B of a chunk; NULL: none */
    Val keys_all;             /* of each chunk: B as C is; NULL: b_all has it */
    Val kk_all;               /* of each chunk: B B^T, f32 [rows,Q] */
    Val kk;                   /* of this chunk */
    Val m;                    /* M of B B^T of one tile (steep decay), f32 [rows,Q] */
    Val gain;                 /* weight_i b_i */
    Val solved;               /* X, f32 [Q,P]: x_units themselves where these are f32 */
    Val said;                 /* on the matrix unit: B h, f32 [Q,said_stride]; else NULL */
    int64_t said_stride;
} ChunkedDelta;

/* Products multiply units: an f32, or a pair of bf16 that follow each other along the summed
 * index. */
typedef struct {
    CgKernel *k;
    const Value *x, *dt, *A, *B, *C, *D, *state, *y;
    int64_t heads, head_dim, groups, states; /* H, P, G, N */
    int64_t chunk;                           /* Q: most tokens of a chunk */
    TileChunk shape;                         /* of tiles, scratch and spans */
    Dtype unit, element;                     /* f32 and f32, or i32 (a pair) and bf16 */
    Dtype stored;                            /* the state in memory */
    /* Scratch of this thread. */
    Val c_all, b_all;   /* of each chunk: C as units along N [q_rows,N]; B as units along Q [Q,N] */
    Val cb_all;         /* of each chunk: CB, elements [q_rows,Q] */
    Val b_rows, b_cols; /* of one chunk: B as C is, and transposed [N,Q] */
    Val x_units;        /* X as units along Q: [Q,P] */
    Val m;              /* M of one tile, elements [rows,Q] */
    Val since;          /* exp(a_i - a_s) of the rows of a tile (steep decay) */
    Val h_units; /* the state as units along N, rows padded: [N,P]; NULL: f32, read in place */
    CgDecay decay;
    ChunkedDelta delta;
    /* On the matrix unit c_all .. h_units hold tiles (machine/tile.h), C and B^T as left operands,
     * X and h as right ones; C and b_rows are rows, each of row_bytes; and there are: */
    bool on_unit;
    TileUnit tiles;
    Val m_weight; /* of tokens before a tile of rows of steep decay */
    Val c_kept;   /* of a block of rows of steep decay: keep_i C_i */
    Val y_sums;   /* sums of a block of rows: [rows,P] */
    /* Where the loops are. */
    Val span_row, chunks; /* first token row of the span, and its chunks */
    Val span_first;       /* number of its first chunk in the segment */
    Val index;            /* of the chunk in its span */
    Val row, count;       /* of this chunk: first token row, q tokens */
    Val c_rows, b_units, cb;
    ChunkedRows c_lines; /* on the matrix unit: C, in c_all or where it lies */
    Val group, head;     /* of heads before last_head */
    Val last_head;
    Val skip; /* D of the head, splat; NULL: none */
    Val h;    /* the head's state in memory, [N,P] */
} Chunked;

/* Of the chunk and group where the loops are: C, B, and CB with 0 above its diagonal. */
void chunked_stage_group(Cg *c, const Chunked *s);
void chunked_stage_x(Cg *c, const Chunked *s);     /* of the head's chunk, by its weights */
void chunked_stage_state(Cg *c, const Chunked *s); /* s->h into s->h_units */
/* The lower half of C B^T or B B^T of the chunk, elements of dtype, rows of q_stride. from: rows of
 * C or B along N, `stride` units apart. */
void chunked_stage_products(Cg *c, const Chunked *s, Val from, int64_t stride, Val to, Dtype dtype,
                            int64_t q_stride);
/* M of the tile of rows `first` .. of a chunk of steep decay, into s->m. */
void chunked_steep_m(Cg *c, const Chunked *s, Val first);

/* ---- the delta rule: codegen/emit/chunked_delta.c ------------------------------------------- */

void chunked_delta_bind(Chunked *s, const Node *delta);
void chunked_delta_reserve(Cg *c, Chunked *s);
void chunked_delta_open(Cg *c, Chunked *s, Val number); /* of chunk `number` of the segment */
void chunked_delta_factors(Cg *c, const Chunked *s);    /* of C and B, before they are staged */
void chunked_delta_products(Cg *c, const Chunked *s);   /* B B^T, once B is staged */
/* X of the head's chunk, solved for, by its weights, as products want it. */
void chunked_delta_x(Cg *c, const Chunked *s, Val bounded);
void chunked_delta_weigh(Cg *c, const Chunked *s); /* X times weight_j, again as they want it */

/* ---- on the matrix unit -------------------------------------------------------------------- */

void chunked_unit_reserve(Cg *c, Chunked *s);
void chunked_unit_begin(Cg *c, const Chunked *s); /* of the kernel, and its end: */
void chunked_unit_end(Cg *c);
void chunked_unit_open(Cg *c, Chunked *s, Val number);    /* of chunk `number` of the segment */
void chunked_unit_stage_group(Cg *c, const Chunked *s);   /* as those above: */
void chunked_unit_stage_x_begin(Cg *c, const Chunked *s); /* tokens of the first step, and zeros */
void chunked_unit_stage_x(Cg *c, const Chunked *s, Val pair); /* two tokens */
void chunked_unit_stage_state(Cg *c, const Chunked *s);       /* s->h into s->h_units */
void chunked_unit_head(Cg *c, const Chunked *s);     /* Y and the state of the head's chunk */
void chunked_unit_products(Cg *c, const Chunked *s); /* B B^T, into s->delta.kk */
void chunked_unit_said(Cg *c, const Chunked *s);     /* B h, into s->delta.said */
ChunkedRows chunked_unit_c_tile(Cg *c, const Chunked *s, Val tile, Val step); /* of C */
ChunkedRows chunked_unit_b_tile(Cg *c, const Chunked *s, Val tile, Val step); /* of keys */
/* C and M of the block of rows from tile `tile` on, with steep decay in them, into s->c_kept and
 * s->m. */
void chunked_unit_steep(Cg *c, const Chunked *s, Val tile);

/* Byte offsets. Tile number `index`; row `row` of a matrix that is `tiles` tiles wide. */
Val chunked_tile(Cg *c, Val base, Val index);
Val chunked_tile_row(Cg *c, Val base, Val row, int64_t tiles);
/* The vectors of columns [0, count) of such a row, some of them in a loop; what stands between is
 * built for each:
 *     for (ChunkedCells at = chunked_cells(count); chunked_cells_next(c, &at);) */
typedef struct {
    Val col;  /* the vector's first column */
    Val byte; /* its place after the row */
    Val mask; /* NULL: all of its columns exist */
    int64_t count, next, end;
    bool looping, tail;
    CgLoop loop;
} ChunkedCells;
ChunkedCells chunked_cells(int64_t count);
bool chunked_cells_next(Cg *c, ChunkedCells *at);

/* rows x cols tiles of sums += left right, over one step. left: of each row, or NULL: chunked_left
 * has loaded them; right: of the first
 * column, those of the others right_col bytes apart. before: NULL, or where the sums so far go,
 * rows stride bytes apart: each is stored, and begins anew at 0. */
enum { CHUNKED_ROWS = 2 }; /* most */
void chunked_left(Cg *c, int64_t rows, int64_t cols, const ChunkedRows *left);
void chunked_step(Cg *c, int64_t rows, int64_t cols, const ChunkedRows *left, Val right,
                  int64_t right_col, Val before, int64_t stride);
ChunkedRows chunked_tile_rows(Cg *c, Val base, Val index);                   /* of a tile */
ChunkedRows chunked_rows_of(Cg *c, Val which, ChunkedRows a, ChunkedRows b); /* which: i1: a */
/* All sums: 0, or stored. */
typedef enum { SUMS_ZERO, SUMS_STORE } ChunkedSums;
void chunked_sums(Cg *c, ChunkedSums what, int64_t rows, int64_t cols, Val at, int64_t stride);

#endif
