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

/* cblas_sgemm of OpenBLAS: c [m,n] = alpha * a * b + beta * c */
typedef void AbiSgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                      const float *a, int lda, const float *b, int ldb, float beta, float *c,
                      int ldc);

/* The same for every kernel of one pass. */
#define ABI_CALL_FIELDS(FIELD)                                                                     \
    FIELD(int64_t, i64, rows, "T: token rows in this pass")                                        \
    FIELD(int64_t, i64, picked, "R: rows the head works on")                                       \
    FIELD(int64_t, i64, nseg, "runs of rows")                                                      \
    FIELD(const AbiSeg *, ptr, seg, "[nseg], together rows 0 .. T-1 in order")                     \
    FIELD(int64_t, i64, state_stride, "bytes from one sequence's states to the next's")            \
    FIELD(AbiSgemm *, ptr, sgemm, "NULL: AbiProgram.calls_blas is 0")

/* What one thread is to do of a kernel: one of `parts` parts, by which the kernel splits its own
 * work. Any of them may run on any thread, once. */
#define ABI_SHARE_FIELDS(FIELD)                                                                    \
    FIELD(char *, ptr, scratch, "this thread's, 64-byte aligned")                                  \
    FIELD(int64_t, i64, part, "0 .. parts - 1")                                                    \
    FIELD(int64_t, i64, parts, "a multiple of threads")                                            \
    FIELD(int64_t, i64, threads, "that take parts")                                                \
    FIELD(int64_t, i64, before, "the part that left scratch as it is, in this step; or -1")

#define ABI_DECLARE(ctype, llvm, name, doc) ctype name;
typedef struct {
    ABI_SEG_FIELDS(ABI_DECLARE)
} AbiSeg;
typedef struct {
    ABI_CALL_FIELDS(ABI_DECLARE)
} AbiCall;
typedef struct {
    ABI_SHARE_FIELDS(ABI_DECLARE)
} AbiShare;
#undef ABI_DECLARE

/* operand: one pointer for each operand of the kernel: the element in row 0, column 0 (states: the
 * tensor of slot 0). */
typedef void AbiKernel(void *const *operand, const AbiCall *call, const AbiShare *share);

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
    /* Parts for each thread. 0: run by one thread, as part 0 of 1; 1: each thread its own; more:
     * those of a thread that falls behind are taken by others, unless the pass is short. */
    int32_t pieces;
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
    int64_t offset, bytes; /* in one sequence's states */
    AbiDtype dtype;
    int32_t rank;
    int64_t dim[4];
} AbiState;

typedef enum { ABI_PREFILL, ABI_DECODE, ABI_PHASES } AbiPhaseId;

/* A compiled model without its weights. Read-only, shared by every session. */
typedef struct {
    const char *name;
    uint64_t
        identity; /* of the description it was made of: equal for equal models, however compiled */
    const char *numerics; /* what projections multiply in and states are kept in, such as "bf16" */
    int64_t vocab;
    int64_t head_rows; /* most R of a pass */
    int64_t param_bytes, state_bytes, output_bytes;
    uint64_t pack_hash; /* of how params are made of weights: equal ones hold equal bytes */
    int64_t calls_blas; /* 1: kernels call AbiCall.sgemm */
    AbiRange init;      /* run once: weights -> params */
    AbiPhase phase[ABI_PHASES];
    const AbiStep *steps;
    const AbiOperand *operands;
    const AbiWeight *weights;
    const AbiState *states;
    int32_t nsteps, noperands, nweights, nstates;
} AbiProgram;

/* ---- models compiled ahead of time -----------------------------------------------------------
 * Constant data of a library or program; codegen/aot.c writes it, runtime/compiled.c reads it. */

/* What code may need of a CPU beyond its architecture's base (runtime/features.def). */
typedef enum {
#define FEATURE(arch, id, llvm, test) ABI_HAS_##id,
#include "runtime/features.def"
#undef FEATURE
    ABI_FEATURES
} AbiFeature;
#define ABI_BIT(id) (UINT64_C(1) << ABI_HAS_##id)

/* The model's code for one CPU. Embedded weights: parameters, then the tensors that steps read. */
typedef struct {
    const char *cpu; /* LLVM's name */
    uint64_t needs;  /* bits of AbiFeature */
    const AbiProgram *program;
    const char *embedded;         /* 64-byte aligned; NULL: weights are in files */
    const int64_t *tensor_offset; /* [nweights] into embedded; -1: no step reads that tensor */
} AbiVariant;

typedef struct AbiLoader AbiLoader; /* reads weights from files (runtime/loader.c) */

/* Rows of a pass from which on steps have several pieces for each thread: shorter ones take too
 * little time for stealing to pay. */
enum { ABI_LONG_PASS = 64 };

enum { ABI_VERSION = 4 }; /* of these structs: a runtime opens its own version only */
/* What a compiled library exports, whatever its model's name: an AbiCompiled, whose first field is
 * the version. */
#define ABI_COMPILED_SYMBOL "ssmc_compiled_1"

typedef struct ssmc_compiled {
    int32_t version;
    int32_t nvariants;
    const char *name;
    const AbiVariant *variants; /* the one that asks most of a CPU first */
    const AbiLoader *loader;    /* NULL: weights are embedded */
    const char *weights;        /* files it was compiled for, or init:reference */
    int64_t seed;               /* of init:reference */
    const char *tokenizer;      /* text of tokenizer.json; NULL: the model names none */
    int64_t tokenizer_bytes;
    const int32_t *eos; /* ids that end a text, neos of them */
    int64_t neos;
    uint64_t identity[2]; /* of a model with embedded weights: what saved states know it by */
} AbiCompiled;

#endif
