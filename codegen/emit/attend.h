/* codegen/emit/attend.h -- private to codegen/: what the files of the attention kernels share. */
#ifndef SSMC_CODEGEN_ATTEND_H
#define SSMC_CODEGEN_ATTEND_H

#include "codegen/emit/kept.h"
#include "codegen/emit/tile.h"

typedef struct {
    CgKernel *k;
    const Value *q, *y;
    const CgOperand *keys, *values;
    int64_t heads, groups, head_dim, together; /* together: heads of a group */
    int64_t value_dim;                         /* channels of a value, and of O and y */
    int64_t window;                            /* 0: none */
    double scale, cap;
    Dtype left, right; /* what products multiply: f32, or i32: a pair of bf16. A left f32 beside
                        * pairs has them widened */
    int pairs;         /* elements of a unit on the right */
    bool on_unit;
    int64_t tokens, rows;       /* of a block */
    int64_t sets;               /* of rows that are in scratch side by side */
    int64_t step;               /* tokens of the past that are taken together */
    int vecs, tall, wide, high; /* tiles of vectors: of S, tall x vecs; of O, high x wide */
    int64_t q_stride, o_stride; /* elements of a row in scratch */
    int sum_lanes;              /* of l: its sum is over so many lanes */
    /* Scratch of this thread. */
    Val q_rows, s, p, o, most, sum;
    Val total;   /* of single tokens: l and m of one row */
    Val partial; /* on the matrix unit: vectors of 16 rows before they are folded */
    Val ones;    /* there: a tile of ones */
    /* Where the loops are. */
    CgSeg seg;
    Val group, first, count; /* token `first` of the segment is the block's first of `count` */
    Val nrows;               /* count times together */
    Val at;                  /* position of the first token of the step */
    Val keys_at, values_at;  /* of the sequence */
} Attend;

/* Whether keys and values lie as kernels read them. */
bool attend_fits(const Node *attention, Diag *diag);
/* Fills what the node says of it. False: there is no code for it. */
bool attend_open(Cg *c, CgKernel *k, Attend *a, Diag *diag);

Val attend_f32(Cg *c, Val base, Val index); /* addresses, and one f32 */
Val attend_one(Cg *c, Val base, Val index);
/* Keys or values of the group's head from the token at position `at` on, KEPT_GROUP of them. */
Val attend_kept(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val at);
/* As attend_kept, by the number of the first row in the sequence's state: cg_kept_row gives it for
 * a position. */
Val attend_rows(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val row);
/* softcap tanh(s / softcap), times log2 e; s itself without a cap. */
Val attend_capped(Cg *c, const Attend *a, Val s);
/* s, -inf where the token at `position` does not look at those from `from` on, one a lane. */
Val attend_masked(Cg *c, const Attend *a, Val s, Val from, Val position);
/* i1: some token of the block does not look at all of the step. */
Val attend_is_edge(Cg *c, const Attend *a);
/* Position of a row's token. */
Val attend_position(Cg *c, const Attend *a, Val row);

void attend_queries(Cg *c, const Attend *a); /* of the block's tokens in the group, to scratch */
void attend_clear(Cg *c, const Attend *a);   /* m, l and O of nothing */
Val attend_sum(Cg *c, const Attend *a, Val row); /* l */

/* ---- on vectors (attend_step.c) ------------------------------------------------------------ */

/* Keys or values of a step, and what is asked for meanwhile, or NULL. */
typedef struct {
    Val at, next;
} AttendRead;
/* Tiles and scratch for blocks of `rows` rows: `sets` blocks of Q, O, m and l, one of S and P. */
void attend_step_reserve(Cg *c, Attend *a, int64_t rows, int64_t sets);
/* A copy of a whose scratch addresses are those of set number `set`. */
Attend attend_set(Cg *c, const Attend *a, Val set);
void attend_step(Cg *c, const Attend *a, const AttendRead *keys, const AttendRead *values);

/* ---- on the matrix unit (attend_unit.c) ---------------------------------------------------- */

void attend_unit_reserve(Cg *c, Attend *a);
void attend_unit_begin(Cg *c); /* of the kernel, and its end: */
void attend_unit_end(Cg *c);
void attend_unit_walk(Cg *c, Attend *a, Val from, Val end); /* over the past */
/* The m that O and l of a row are of, in octaves: not the greatest score, but one of its size. */
Val attend_unit_most(Cg *c, const Attend *a, Val row);

#endif
