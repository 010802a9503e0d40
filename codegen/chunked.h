/* codegen/chunked.h -- private to codegen/: what the files of the chunked SSD kernel share. */
#ifndef SSMC_CODEGEN_CHUNKED_H
#define SSMC_CODEGEN_CHUNKED_H

#include "codegen/decay.h"
#include "codegen/tile.h"

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
    /* Where the loops are. */
    Val span_row, chunks; /* first token row of the span, and its chunks */
    Val span_first;       /* number of its first chunk in the segment */
    Val index;            /* of the chunk in its span */
    Val row, count;       /* of this chunk: first token row, q tokens */
    Val c_rows, b_units, cb;
    Val group, head; /* of heads before last_head */
    Val last_head;
    Val skip; /* D of the head, splat; NULL: none */
    Val h;    /* the head's state in memory, [N,P] */
} Chunked;

/* Of the chunk and group where the loops are: C, B, and CB with 0 above its diagonal. */
void chunked_stage_group(Cg *c, const Chunked *s);
void chunked_stage_x(Cg *c, const Chunked *s);     /* of the head's chunk, by its weights */
void chunked_stage_state(Cg *c, const Chunked *s); /* s->h into s->h_units */
/* M of the tile of rows `first` .. of a chunk of steep decay, into s->m. */
void chunked_steep_m(Cg *c, const Chunked *s, Val first);

#endif
