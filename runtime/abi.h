/* runtime/abi.h -- what generated code and the runtime share: the arguments of a kernel and the
 * description of a compiled program. codegen/ makes its LLVM types from the field lists here. */
#ifndef SSMC_RUNTIME_ABI_H
#define SSMC_RUNTIME_ABI_H

#include <stddef.h>
#include <stdint.h>

/* FIELD(C type, LLVM kind: i64 or ptr, name, meaning) */

/* A run of token rows that belong to one sequence. */
#define ABI_SEG_FIELDS(FIELD)                                                                      \
    FIELD(int64_t, i64, row, "first token row")                                                    \
    FIELD(int64_t, i64, len, "token rows, at least 1")                                             \
    FIELD(int64_t, i64, slot, "which sequence's state")

/* The same for every kernel of one pass. */
#define ABI_CALL_FIELDS(FIELD)                                                                     \
    FIELD(int64_t, i64, rows, "T: token rows in this pass")                                        \
    FIELD(int64_t, i64, picked, "R: rows the head works on")                                       \
    FIELD(int64_t, i64, nseg, "runs of rows")                                                      \
    FIELD(const AbiSeg *, ptr, seg, "[nseg], together rows 0 .. T-1 in order")                     \
    FIELD(int64_t, i64, state_stride, "bytes from one sequence's states to the next's")            \
    FIELD(char *, ptr, scratch, "scratch of thread 0, 64-byte aligned")                            \
    FIELD(int64_t, i64, scratch_stride, "bytes from one thread's scratch to the next's")

#define ABI_DECLARE(ctype, llvm, name, doc) ctype name;
typedef struct {
    ABI_SEG_FIELDS(ABI_DECLARE)
} AbiSeg;
typedef struct {
    ABI_CALL_FIELDS(ABI_DECLARE)
} AbiCall;
#undef ABI_DECLARE

/* operand: one pointer for each operand of the kernel: the element in row 0, column 0 (states: the
 * tensor of slot 0). part of parts: this thread's share; a kernel splits its own work by it. */
typedef void AbiKernel(void *const *operand, const AbiCall *call, int64_t part, int64_t parts);

typedef enum { ABI_SLAB, ABI_PARAM, ABI_WEIGHT, ABI_STATE, ABI_INPUT, ABI_OUTPUT } AbiSpace;
enum { ABI_INPUT_IDS = 0, ABI_INPUT_PICK = 1 }; /* AbiOperand.index in ABI_INPUT */

typedef struct {
    AbiSpace space;
    int32_t index;  /* ABI_WEIGHT: which weight; ABI_INPUT: ids (int32 [T]) or pick (int32 [R]) */
    int64_t offset; /* bytes */
} AbiOperand;

typedef struct {
    AbiKernel *run;
    const char *name;      /* of the kernel, for profiles */
    int32_t first_operand; /* into AbiProgram.operands */
    int32_t operands;
    int32_t parallel; /* 0: run by one thread (part 0 of 1) */
} AbiStep;

/* Steps [first, first + count) of AbiProgram.steps. */
typedef struct {
    int32_t first, count;
} AbiRange;

/* One pipeline: layers over T rows, then the head over R picked rows. */
typedef struct {
    AbiRange layers, head;
    int64_t block;         /* most T of a pass */
    int64_t slab_bytes;    /* activations */
    int64_t scratch_bytes; /* per thread */
    /* A run of rows cut at multiples of this, counted from its first row, gives the bits of the
     * whole run: the chunk lengths divide it. 1: any cut does. 0: none does. */
    int64_t grain;
} AbiPhase;

typedef enum { ABI_F32, ABI_F16, ABI_BF16 } AbiDtype;

typedef struct {
    const char *tensor; /* name in the checkpoint */
    const char *init;   /* rule that fills it without a checkpoint (runtime/init.def) */
    AbiDtype dtype;     /* as stored */
    int32_t rank;
    int64_t dim[4];
} AbiWeight;

typedef struct {
    const char *name;
    int64_t offset, bytes; /* in one sequence's states; f32 elements */
    int32_t rank;
    int64_t dim[4];
} AbiState;

typedef enum { ABI_PREFILL, ABI_DECODE, ABI_PHASES } AbiPhaseId;

/* A compiled model without its weights. Read-only, shared by every session. */
typedef struct {
    const char *name;
    uint64_t
        identity; /* of the description it was made of: equal for equal models, however compiled */
    const char *numerics; /* what it was compiled to multiply in, such as "bf16" */
    int64_t vocab;
    int64_t head_rows; /* most R of a pass */
    int64_t param_bytes, state_bytes, output_bytes;
    AbiRange init; /* run once: weights -> params */
    AbiPhase phase[ABI_PHASES];
    const AbiStep *steps;
    const AbiOperand *operands;
    const AbiWeight *weights;
    const AbiState *states;
    int32_t nsteps, noperands, nweights, nstates;
} AbiProgram;

#endif
