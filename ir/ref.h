/* ir/ref.h -- references: the meaning of each op in float64.
 *
 * ref_<op> is the definition an op is tested against and interpreted by. References are written to
 * be read, straight from the equations; every element is a double whatever its stored type, and
 * only `cast` and states of bf16 round. Operand types, shapes and attributes have passed the shape
 * rule of the op. */
#ifndef SSMC_IR_REF_H
#define SSMC_IR_REF_H

#include "ir/ir.h"
#include "ir/memo.h"

/* An operand or result: elements in row-major order. */
typedef struct {
    int rank;
    int64_t dim[IR_MAX_RANK]; /* the symbolic ones have their length in this call */
    int64_t count;            /* their product */
    Dtype dtype;
    double *at;         /* elements; NULL: a weight that is still as the checkpoint stores it */
    const void *stored; /* such a weight: elements of type dtype, perhaps unaligned */
} RefTensor;

struct RefCall {
    const Node *node;
    int64_t tokens; /* T */
    int64_t rows;   /* R */
    RefTensor in[IR_MAX_IN];
    RefTensor out[IR_MAX_OUT]; /* zeros before the reference runs */
    Arena *scratch;            /* freed after the call */
    Blocks *blocks;
};

/* Pasted from the rows of ops.def: a missing reference does not link. */
#define OP(id, in, out, cls, stages, shape, work, kernel, attrs, flags, doc)                       \
    void ref_##id(RefCall *call);
#include "ir/ops.def"
#undef OP

/* ---- for references and the interpreter ---------------------------------------------------- */

/* Whether optional operand i is there. */
bool ref_has(const RefCall *call, int i);
/* All elements of operand i; those of a stored weight are converted and kept until ref_release. */
const double *ref_in(RefCall *call, int i);
/* Elements of a state operand, to be written too. */
double *ref_state(RefCall *call, int i);
/* Rounds them to the state's type: it is stored. */
void ref_store_state(RefCall *call, int i);
/* Row r of a [rows,width] operand; buffer: [width], used when the operand is a stored weight. */
const double *ref_row(const RefTensor *tensor, int64_t r, double *buffer);
/* Frees what ref_in made of stored weights. */
void ref_release(RefCall *call);

/* Calls part(call, user, from, to) for ranges that together are 0 .. count - 1, on several threads
 * where `work` operations are worth them. Parts touch neither scratch nor blocks. */
void ref_parallel(RefCall *call, int64_t count, int64_t work,
                  void (*part)(RefCall *call, void *user, int64_t from, int64_t to), void *user);

double ref_round(Dtype dtype, double x); /* to the nearest number of type bf16 or f16, else x */
double ref_dot(const double *a, const double *b, int64_t n);
/* y[r * stride] = ref_dot of row r of x [rows,n] and w [n], to the last bit; faster. */
void ref_dots(const double *x, int64_t rows, const double *w, int64_t n, double *y, int64_t stride);
double *ref_scratch(RefCall *call, int64_t count); /* zeros, until the call ends */
int64_t ref_width(const RefTensor *tensor);        /* last dimension; 1 at rank 0 */
int64_t ref_height(const RefTensor *tensor);       /* product of the others */
/* n stored elements, from element `first` on, as doubles. */
void ref_widen(Dtype dtype, const void *stored, int64_t first, int64_t n, double *out);

#endif
