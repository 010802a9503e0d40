/* codegen/emit/decay.h -- private to codegen/: decays of a run of tokens of one SSD head, such as a
 * chunk, as factors of what multiplies and of what comes out.
 *
 * With a_j the sum of dt A from the run's first token to token j, and h the state before it,
 *     y_i = exp(a_i) C_i h + sum over j <= i of exp(a_i - a_j) (C_i . B_j) dt_j x_j.
 *
 * The decay of a run is bounded when its sums, and the 0 before them, lie within DECAY_RANGE of
 * each other, and steep otherwise. Under bounded decay exp(a_i - a_j) = exp(a_i - a_last)
 * exp(a_last - a_j), none of the two overflows or is lost, and one exponential a row and one a
 * token do for all pairs: y_i = leave_i (keep_i C_i h + sum of (C_i . B_j) weight_j x_j) keep_i =
 * exp(a_last), weight_j = exp(a_last - a_j) dt_j, leave_i = exp(a_i - a_last) Under steep decay
 * exponentials are taken of differences a_i - a_j <= 0 alone, pair by pair where need be: what
 * underflows is 0, and nothing overflows. Under both, the state after the run is exp(a_last) h +
 * sum of weight_j B_j x_j^T with these weights.
 *
 * The sum a is held in two floats (high and low part): at a = -20000 a single one would make
 * exp(a_i - a_j) wrong in the third digit. */
#ifndef SSMC_CODEGEN_DECAY_H
#define SSMC_CODEGEN_DECAY_H

#include "codegen/emit/cg.h"

/* exp(-48) is 1e-21: far enough from what f32 and bf16 can hold for factors of any use. A token's
 * dt A is at least -DECAY_MOST, where exp is 0 in double too: a head may forget at once, and the
 * sums after that token are still finite and exact. */
enum { DECAY_RANGE = 48, DECAY_MOST = 1000 };

typedef struct {
    CgKernel *k;
    const Value *dt, *A;      /* A NULL: dt is the logarithm of the decay itself, and steps are 1 */
    Val high, low;            /* a_j */
    Val step;                 /* dt_j, or 1 */
    Val weight;               /* of x_j */
    Val keep;                 /* of C_i h; by row, as steep decay needs it */
    Val leave;                /* of y_i */
    Val sum, lowest, highest; /* variables, double: the newest sum; the ends of all and 0 */
} CgDecay;

/* Room for `most` tokens. Vectors of rows past the last token are read, never used: `spare` of
 * them. */
CgDecay cg_decay(Cg *c, CgKernel *k, const Value *dt, const Value *A, int64_t most, int64_t spare);
/* A of one head: a scalar, and finite. exp(A_log) may be infinite, and where dt is 0 no time passes
 * and nothing is forgotten, but 0 times infinity is NaN. */
Val cg_decay_rate(Cg *c, CgKernel *k, const Value *A, Val head);
/* The sums of `count` tokens from `row` of one head; true (i1): the decay is bounded. */
Val cg_decay_sums(Cg *c, const CgDecay *d, Val head, Val row, Val count);
/* As cg_decay_sums, by vectors of tokens. Tokens past the last, up to a multiple of 32, have a step
 * of 0. */
Val cg_decay_prefix(Cg *c, const CgDecay *d, Val head, Val row, Val count);
Val cg_decay_whole(Cg *c, const CgDecay *d, Val count);    /* exp(a_last), a scalar */
void cg_decay_bounded(Cg *c, const CgDecay *d, Val count); /* weight, keep and leave as above */
/* With the run's begin in the place of its last token: weight_j = exp(-a_j) dt_j, leave_i =
 * exp(a_i), keep = 1; the state after the run is exp(a_last) (h + sum of weight_j B_j x_j^T). */
void cg_decay_begun(Cg *c, const CgDecay *d, Val count);
/* weight = 1, keep_i = exp(a_i), leave = 1: the pairs are left to the caller. */
void cg_decay_steep(Cg *c, const CgDecay *d, Val count);
/* weight = 1: what it would multiply has it already. */
void cg_decay_weighed(Cg *c, const CgDecay *d, Val count);

/* a of one token, splat. */
typedef struct {
    Val high, low;
} CgSum;
CgSum cg_decay_at(Cg *c, const CgDecay *d, Val token);
Val cg_decay_since(Cg *c, const CgDecay *d, CgSum a, Val j); /* exp(a - a_j), tokens j .. */
Val cg_decay_until(Cg *c, const CgDecay *d, CgSum a, Val i); /* exp(a_i - a), tokens i .. */
/* weight_j = exp(a - a_j) dt_j for tokens before `end`, whole vectors of them. */
void cg_decay_weights(Cg *c, const CgDecay *d, CgSum a, Val end);

#endif
