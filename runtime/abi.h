/* runtime/abi.h -- what generated code and the runtime share: the arguments of a kernel and the
 * description of a compiled program. codegen/ makes its LLVM types from the field lists here. */
#ifndef SSMC_RUNTIME_ABI_H
#define SSMC_RUNTIME_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every struct is one list of fields: the C struct, LLVM's type and the check of its layout
 * (codegen/abi.c) are made of it.
 *
 * FIELD(C type, kind, name, meaning), ARRAY(C type, kind, name, count, meaning)
 *   kind  i32, i64, ptr, or the struct that the field is */
#define ABI_DECLARE_FIELD(ctype, kind, name, doc)        ctype name;
#define ABI_DECLARE_ARRAY(ctype, kind, name, count, doc) ctype name[count];
#define ABI_DECLARE(FIELDS)                              {FIELDS(ABI_DECLARE_FIELD, ABI_DECLARE_ARRAY)}

/* ---- what a kernel is called with ------------------------------------------------------------ */

/* A run of token rows that belong to one sequence. */
#define ABI_SEG_FIELDS(FIELD, ARRAY)                                                               \
    FIELD(int64_t, i64, row, "first token row")                                                    \
    FIELD(int64_t, i64, len, "token rows, at least 1")                                             \
    FIELD(int64_t, i64, slot, "which sequence's state")                                            \
    FIELD(int64_t, i64, past, "tokens of that sequence before the first row")
typedef struct ABI_DECLARE(ABI_SEG_FIELDS) AbiSeg;

/* cblas_sgemm of OpenBLAS: c [m,n] = alpha * a * b + beta * c */
typedef void AbiSgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                      const float *a, int lda, const float *b, int ldb, float beta, float *c,
                      int ldc);

/* What one pass tells each of its kernels. */
#define ABI_CALL_FIELDS(FIELD, ARRAY)                                                              \
    FIELD(int64_t, i64, rows, "T: token rows in this pass")                                        \
    FIELD(int64_t, i64, picked, "R: rows the head works on")                                       \
    FIELD(int64_t, i64, nseg, "runs of rows")                                                      \
    FIELD(const AbiSeg *, ptr, seg, "[nseg], together rows 0 .. T-1 in order")                     \
    FIELD(int64_t, i64, state_stride, "bytes from one sequence's states to the next's")            \
    FIELD(int64_t, i64, kept_stride, "bytes from one sequence's growing states to the next's")     \
    FIELD(int64_t, i64, room, "tokens that a sequence can hold, a multiple of ABI_ROOM_STEP")      \
    FIELD(int64_t, i64, block, "most rows of a pass of any entry, at least ABI_ROOM_STEP")         \
    FIELD(AbiSgemm *, ptr, sgemm, "NULL: AbiProgram.calls_blas is 0")
typedef struct ABI_DECLARE(ABI_CALL_FIELDS) AbiCall;

/* What one thread is to do of a kernel: one of `parts` parts, by which the kernel splits its own
 * work. Any of them may run on any thread, once. */
#define ABI_SHARE_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(char *, ptr, scratch, "this thread's, 128-byte aligned")                                 \
    FIELD(int64_t, i64, part, "0 .. parts - 1")                                                    \
    FIELD(int64_t, i64, parts, "a multiple of threads")                                            \
    FIELD(int64_t, i64, threads, "that take parts")                                                \
    FIELD(int64_t, i64, before, "the part that left scratch as it is, in this step; or -1")
typedef struct ABI_DECLARE(ABI_SHARE_FIELDS) AbiShare;

/* operand: one pointer for each operand of the kernel: the element in row 0, column 0 (states: the
 * tensor of slot 0). */
typedef void AbiKernel(void *const *operand, const AbiCall *call, const AbiShare *share);

/* ---- a compiled model without its weights ---------------------------------------------------- */

typedef enum {
    ABI_SLAB,
    ABI_PARAM,
    ABI_WEIGHT,
    ABI_STATE, /* states of a fixed size */
    ABI_INPUT,
    ABI_OUTPUT,
    ABI_KEPT /* a growing state */
} AbiSpace;

#define ABI_OPERAND_FIELDS(FIELD, ARRAY)                                                           \
    FIELD(AbiSpace, i32, space, "what the operand is in")                                          \
    FIELD(int32_t, i32, index,                                                                     \
          "ABI_WEIGHT: which weight; ABI_INPUT: which input; ABI_KEPT: which state")               \
    FIELD(int64_t, i64, offset, "bytes")
typedef struct ABI_DECLARE(ABI_OPERAND_FIELDS) AbiOperand;

/* Where a program's steps run and its numbers lie. Its first steps, those of init, run on the CPU
 * whatever the device is: they make the params, which are copied there. */
#define ABI_DEVICES(_)    _(CPU) _(CUDA)
#define ABI_DEVICE_ID(id) ABI_##id,
typedef enum { ABI_DEVICES(ABI_DEVICE_ID) ABI_DEVICE_COUNT } AbiDevice;

/* What there is one of, or of which there are as many as tokens in a pass (T), picked rows (R) or
 * segments. */
typedef enum { ABI_ONE, ABI_TOKENS, ABI_PICKED, ABI_SEGMENTS } AbiCount;

/* How many blocks of threads a launch has along one direction: those that `each` parts of each of
 * `of` things fill when a block takes `per` parts; and that `times`, and `more`. */
#define ABI_EXTENT_FIELDS(FIELD, ARRAY)                                                            \
    FIELD(AbiCount, i32, of, "what is counted: 1, AbiCall.rows, .picked or .nseg")                 \
    FIELD(int32_t, i32, times, "at least 1")                                                       \
    FIELD(int64_t, i64, each, "parts of one of them, at least 1")                                  \
    FIELD(int64_t, i64, per, "parts of a block, at least 1")                                       \
    FIELD(int64_t, i64, more, "blocks, however many things there are, unless there are none")
typedef struct ABI_DECLARE(ABI_EXTENT_FIELDS) AbiExtent;

/* A box of an operand of bf16 that a device copies to shared memory by one instruction (PTX ISA,
 * "Tensors"): dimensions that need not lie in the order of their strides, the first of elements
 * side by side. What a box has beyond them arrives as zeros. Its first dimension is 128 bytes, and
 * 16s of bytes of them are moved about (swizzle of 128 bytes). */
enum { ABI_MAP_RANK = 5, ABI_MOST_MAPS = 3, ABI_MAP_ROW = 64 };
#define ABI_MAP_FIELDS(FIELD, ARRAY)                                                               \
    FIELD(int32_t, i32, operand, "of the step")                                                    \
    FIELD(int32_t, i32, rank, "dimensions, at least 2")                                            \
    FIELD(AbiCount, i32, of, "what the last dimension has `dim` elements of each of")              \
    ARRAY(int32_t, i32, box, ABI_MAP_RANK, "elements of a box, 1 to 256; the first ABI_MAP_ROW")   \
    ARRAY(int64_t, i64, dim, ABI_MAP_RANK, "elements, at least 1")                                 \
    ARRAY(int64_t, i64, stride, ABI_MAP_RANK,                                                      \
          "bytes from one element to the next, a multiple of 16; the first: 2")                    \
    FIELD(int64_t, i64, offset, "bytes from the operand's address, a multiple of 16")
typedef struct ABI_DECLARE(ABI_MAP_FIELDS) AbiMap;

/* A kernel of a device, as it is launched. Its arguments are the addresses of the step's operands
 * there, in order, then the AbiCall by value, whose `seg` is an address there too, and then what
 * the device makes of each map, 128 bytes by value. */
#define ABI_LAUNCH_FIELDS(FIELD, ARRAY)                                                            \
    FIELD(const char *, ptr, symbol, "in AbiProgram.image")                                        \
    ARRAY(AbiExtent, AbiExtent, grid, 3, "blocks, fastest direction first")                        \
    FIELD(int32_t, i32, threads, "of a block")                                                     \
    FIELD(int32_t, i32, shared_bytes,                                                              \
          "of memory that a block's threads share, asked for at launch")                           \
    FIELD(int32_t, i32, waits,                                                                     \
          "1: its code waits for the launches before it, so it may begin while they run")          \
    FIELD(int32_t, i32, cluster,                                                                   \
          "blocks along the first direction, which are a constant multiple of it, that read each " \
          "other's shared memory, where the second direction has more than one; 0: none")          \
    FIELD(int32_t, i32, shared_spare,                                                              \
          "of shared_bytes: what is not asked for where the second direction has one block")       \
    FIELD(int32_t, i32, across,                                                                    \
          "blocks along the first direction, whose grid is constant, where the second has more "   \
          "than one; 0: as many as where it has one")                                              \
    FIELD(int32_t, i32, down, "of the second direction so many blocks are then one; 1 or more")    \
    FIELD(int32_t, i32, maps, "how many of `map`")                                                 \
    ARRAY(AbiMap, AbiMap, map, ABI_MOST_MAPS, "")
typedef struct ABI_DECLARE(ABI_LAUNCH_FIELDS) AbiLaunch;

/* Bytes that a block's threads share. many: abi_grid. */
static inline int32_t
abi_shared_bytes(const AbiLaunch *l, bool many)
{
    return l->shared_bytes - (many ? 0 : l->shared_spare);
}

static inline int64_t
abi_count(AbiCount of, const AbiCall *call)
{
    return of == ABI_TOKENS     ? call->rows
           : of == ABI_PICKED   ? call->picked
           : of == ABI_SEGMENTS ? call->nseg
                                : 1;
}

static inline int64_t
abi_blocks(const AbiExtent *e, const AbiCall *call)
{
    const int64_t n = abi_count(e->of, call);
    return n == 0 ? 0 : (n * e->each + e->per - 1) / e->per * e->times + e->more;
}

/* The blocks of a launch along each direction. True: the second one's grid has more than one. */
static inline bool
abi_grid(const AbiLaunch *l, const AbiCall *call, int64_t blocks[3])
{
    for (int d = 0; d < 3; d++)
        blocks[d] = abi_blocks(&l->grid[d], call);
    const bool many = blocks[1] > 1;
    if (many && l->across > 0) {
        blocks[0] = l->across;
        blocks[1] = (blocks[1] + l->down - 1) / l->down;
    }
    return many;
}

/* pieces 0: run by one thread, as part 0 of 1; 1: each thread its own part; more: a thread that has
 * run its own parts steals from others. A short pass has one part a thread, or in a step over the
 * panels of a weight about as many as panels. */
#define ABI_STEP_FIELDS(FIELD, ARRAY)                                                              \
    FIELD(AbiKernel *, ptr, run, "the kernel's code; NULL: it is launched on the device")          \
    FIELD(const char *, ptr, name, "of the kernel, for profiles")                                  \
    FIELD(int32_t, i32, first_operand, "into AbiProgram.operands")                                 \
    FIELD(int32_t, i32, operands, "how many")                                                      \
    FIELD(int32_t, i32, pieces, "parts for each thread")                                           \
    FIELD(int32_t, i32, launch, "run is NULL: into AbiProgram.launches")                           \
    FIELD(int32_t, i32, by_rows, "1: parts divide rows of the pass alone; 0: not")                 \
    FIELD(int32_t, i32, few,                                                                       \
          "rows of a pass up to which parts divide the panels of a weight in order, all rows to "  \
          "each; 0: of none")                                                                      \
    FIELD(int32_t, i32, weight, "few: which of the operands has the panels")                       \
    FIELD(int64_t, i64, panels, "few: how many, at least 1")                                       \
    FIELD(int64_t, i64, panel_bytes, "few: of each; they follow one another")
typedef struct ABI_DECLARE(ABI_STEP_FIELDS) AbiStep;

#define ABI_RANGE_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(int32_t, i32, first, "into AbiProgram.steps")                                            \
    FIELD(int32_t, i32, count, "steps")
typedef struct ABI_DECLARE(ABI_RANGE_FIELDS) AbiRange;

/* One pipeline: layers over T rows, then the head over R picked rows, then what chooses candidates
 * of their logits. A segment cut at multiples of the grain, counted from its first row, gives the
 * bits of the whole segment: the chunk lengths divide it. 1: any cut does. 0: none does. */
#define ABI_ENTRY_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(const char *, ptr, name, "for people")                                                   \
    FIELD(int64_t, i64, tokens, "most of one sequence in a pass; 0: any number")                   \
    FIELD(int64_t, i64, block, "most T of a pass")                                                 \
    FIELD(int64_t, i64, rows, "most R of a pass")                                                  \
    FIELD(int64_t, i64, slab_bytes, "activations")                                                 \
    FIELD(int64_t, i64, scratch_bytes, "per thread")                                               \
    FIELD(int64_t, i64, grain, "tokens between cuts")                                              \
    FIELD(AbiRange, AbiRange, layers, "over T rows")                                               \
    FIELD(AbiRange, AbiRange, head, "over R rows")                                                 \
    FIELD(AbiRange, AbiRange, choose,                                                              \
          "over R rows after the head, where candidates are asked for: step i gives the i-th of "  \
          "the outputs that have some")
typedef struct ABI_DECLARE(ABI_ENTRY_FIELDS) AbiEntry;

/* Element types, by their names in safetensors headers; weights and states are floats. */
#define ABI_DTYPES(_)      _(F32) _(F16) _(BF16) _(I32)
#define ABI_DTYPE_ID(name) ABI_##name,
typedef enum { ABI_DTYPES(ABI_DTYPE_ID) ABI_DTYPE_COUNT } AbiDtype;
enum { ABI_MAX_RANK = 6 };

#define ABI_WEIGHT_FIELDS(FIELD, ARRAY)                                                            \
    FIELD(const char *, ptr, tensor, "name in the checkpoint")                                     \
    FIELD(const char *, ptr, init, "rule that fills it without a checkpoint (runtime/init.def)")   \
    FIELD(AbiDtype, i32, dtype, "as stored")                                                       \
    FIELD(int32_t, i32, rank, "dimensions")                                                        \
    ARRAY(int64_t, i64, dim, ABI_MAX_RANK, "the first `rank` of them")
typedef struct ABI_DECLARE(ABI_WEIGHT_FIELDS) AbiWeight;

/* A growing state has a row for each token that its sequence has read: rows 0 .. tokens - 1, of
 * zeros from there on. With a window it keeps fewer: the row of position p is row p modulo
 * abi_state_rows. Rows lie in groups of ABI_ROOM_STEP rows; within a group their order is the
 * kernels' matter, alike in every program of a model. Kernels may read, but do not look at,
 * ABI_KEPT_MORE bytes after its last row. A device with memory of its own has the groups of the
 * tokens up to the last of the call that is running, and ABI_KEPT_MORE bytes after them: what lies
 * beyond may have no memory. */
enum { ABI_ROOM_STEP = 64, ABI_KEPT_MORE = 8192 };

#define ABI_STATE_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(const char *, ptr, name, "in the graph")                                                 \
    FIELD(int64_t, i64, row_bytes, "of a growing state: bytes of a token; 0: its size is fixed")   \
    FIELD(int64_t, i64, window, "of a growing state: tokens whose rows stay; 0: all")              \
    FIELD(int64_t, i64, offset, "fixed: bytes, in one sequence's states")                          \
    FIELD(int64_t, i64, bytes, "fixed: of one sequence")                                           \
    FIELD(AbiDtype, i32, dtype, "of the elements")                                                 \
    FIELD(int32_t, i32, rank, "dimensions")                                                        \
    ARRAY(int64_t, i64, dim, ABI_MAX_RANK, "the first `rank` of them; growing: the first is 0")
typedef struct ABI_DECLARE(ABI_STATE_FIELDS) AbiState;

/* Rows that there are of a growing state: those of a window, and of a pass more, so that a pass can
 * write its rows before it reads those of the window of its first. A block of a whole group or more
 * keeps the groups of any window apart, so that rings of other lengths can take them over. */
static inline int64_t
abi_state_rows(int64_t window, int64_t room, int64_t block)
{
    const int64_t ring = (window + block + ABI_ROOM_STEP - 1) / ABI_ROOM_STEP * ABI_ROOM_STEP;
    return window > 0 && ring < room ? ring : room;
}

/* int32 numbers that a pass comes with, one a row. Inputs and outputs have a row for each of its T
 * tokens or of its R picked rows. */
#define ABI_INPUT_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(const char *, ptr, name, "what a runtime knows it by")                                   \
    FIELD(AbiCount, i32, rows, "how many")
typedef struct ABI_DECLARE(ABI_INPUT_FIELDS) AbiInput;

/* What a pass gives. */
#define ABI_OUTPUT_FIELDS(FIELD, ARRAY)                                                            \
    FIELD(const char *, ptr, name, "in the graph")                                                 \
    FIELD(AbiDtype, i32, dtype, "of the elements")                                                 \
    FIELD(AbiCount, i32, rows, "how many")                                                         \
    FIELD(int64_t, i64, width, "elements of a row")                                                \
    FIELD(int64_t, i64, stride, "elements from one row to the next")                               \
    FIELD(int64_t, i64, offset, "bytes, in the outputs")                                           \
    FIELD(int64_t, i64, candidates,                                                                \
          "k: of each row of logits the k greatest, from the greatest on, of equal ones the "      \
          "first, NaNs last; then their ids, as f32; of I32: the ids alone; 0: it is another "     \
          "output")
typedef struct ABI_DECLARE(ABI_OUTPUT_FIELDS) AbiOutput;

/* Read-only, shared by every session. identity: equal for equal models, however they are compiled;
 * pack_hash: programs of equal ones make params of equal bytes. */
#define ABI_PROGRAM_FIELDS(FIELD, ARRAY)                                                           \
    FIELD(const char *, ptr, name, "of the model")                                                 \
    FIELD(uint64_t, i64, identity, "of the description it was made of")                            \
    FIELD(const char *, ptr, numerics,                                                             \
          "what projections multiply in and states are kept in, such as \"bf16\"")                 \
    FIELD(int64_t, i64, param_bytes, "of all params")                                              \
    FIELD(int64_t, i64, state_bytes, "of one sequence's states of fixed sizes")                    \
    FIELD(int64_t, i64, output_bytes, "of all outputs")                                            \
    FIELD(uint64_t, i64, pack_hash, "of how params are made of weights")                           \
    FIELD(int64_t, i64, calls_blas, "1: kernels call AbiCall.sgemm")                               \
    FIELD(AbiDevice, i32, device, "where steps run, but for those of init")                        \
    FIELD(const char *, ptr, target, "the least device that it is for, such as sm_80; CPU: \"\"")  \
    FIELD(const char *, ptr, image, "the device's code, NUL-terminated PTX; NULL: none")           \
    FIELD(int64_t, i64, image_bytes, "without the NUL")                                            \
    FIELD(AbiRange, AbiRange, init, "run once: weights -> params")                                 \
    FIELD(int64_t, i64, init_scratch_bytes, "per thread, of these steps")                          \
    FIELD(const AbiEntry *, ptr, entries, "[nentries]")                                            \
    FIELD(const AbiInput *, ptr, inputs, "[ninputs]")                                              \
    FIELD(const AbiOutput *, ptr, outputs, "[noutputs]")                                           \
    FIELD(const AbiStep *, ptr, steps, "[nsteps]")                                                 \
    FIELD(const AbiOperand *, ptr, operands, "[noperands]")                                        \
    FIELD(const AbiWeight *, ptr, weights, "[nweights]")                                           \
    FIELD(const AbiState *, ptr, states, "[nstates]")                                              \
    FIELD(const AbiLaunch *, ptr, launches, "[nlaunches]")                                         \
    FIELD(int32_t, i32, nentries, "rows of each table")                                            \
    FIELD(int32_t, i32, ninputs, "")                                                               \
    FIELD(int32_t, i32, noutputs, "")                                                              \
    FIELD(int32_t, i32, nsteps, "")                                                                \
    FIELD(int32_t, i32, noperands, "")                                                             \
    FIELD(int32_t, i32, nweights, "")                                                              \
    FIELD(int32_t, i32, nstates, "")                                                               \
    FIELD(int32_t, i32, nlaunches, "")
typedef struct ABI_DECLARE(ABI_PROGRAM_FIELDS) AbiProgram;

/* What a session gives of each picked row: the first output of f32 with a row for each. NULL: the
 * program gives no logits. */
static inline const AbiOutput *
abi_logits(const AbiProgram *program)
{
    for (int32_t i = 0; i < program->noutputs; i++)
        if (program->outputs[i].rows == ABI_PICKED && program->outputs[i].dtype == ABI_F32 &&
            program->outputs[i].candidates == 0)
            return &program->outputs[i];
    return NULL;
}

/* Whether tokens cut into calls anywhere give the bits of one call. */
static inline bool
abi_cuts_anywhere(const AbiProgram *program)
{
    for (int32_t i = 0; i < program->nentries; i++)
        if (program->entries[i].grain != 1)
            return false;
    return true;
}

/* ---- models compiled ahead of time -----------------------------------------------------------
 * Constant data of a library or program; codegen/aot.c writes it, runtime/compiled.c reads it. */

/* What code may need of a CPU beyond its architecture's base (runtime/features.def). */
typedef enum {
#define FEATURE(bit, arch, id, llvm, test) ABI_HAS_##id,
#include "runtime/features.def"
#undef FEATURE
    ABI_FEATURES
} AbiFeature;
#define ABI_BIT(id) (UINT64_C(1) << ABI_HAS_##id)

/* The model's code for one CPU. Embedded weights: parameters, then the tensors that steps read. */
#define ABI_VARIANT_FIELDS(FIELD, ARRAY)                                                           \
    FIELD(const char *, ptr, cpu, "LLVM's name")                                                   \
    FIELD(uint64_t, i64, needs, "bits of AbiFeature")                                              \
    FIELD(const AbiProgram *, ptr, program, "")                                                    \
    FIELD(const char *, ptr, embedded, "64-byte aligned; NULL: weights are in files")              \
    FIELD(const int64_t *, ptr, tensor_offset,                                                     \
          "[nweights] into embedded; -1: no step reads that tensor")
typedef struct ABI_DECLARE(ABI_VARIANT_FIELDS) AbiVariant;

typedef struct AbiLoader AbiLoader; /* reads weights from files (runtime/loader.c) */

/* Rows of a pass from which on steps have several pieces for each thread: what does not read a
 * weight takes too little time in shorter ones for stealing to pay. */
enum { ABI_LONG_PASS = 64 };

enum { ABI_VERSION = 12 }; /* of these structs: a runtime opens its own version only */
/* What a compiled library exports, whatever its model's name: an AbiCompiled, whose first field is
 * the version. */
#define ABI_COMPILED_SYMBOL "ssmc_compiled_1"

#define ABI_COMPILED_FIELDS(FIELD, ARRAY)                                                          \
    FIELD(int32_t, i32, version, "ABI_VERSION")                                                    \
    FIELD(int32_t, i32, nvariants, "")                                                             \
    FIELD(const char *, ptr, name, "of the model")                                                 \
    FIELD(const AbiVariant *, ptr, variants,                                                       \
          "[nvariants], the one that needs most of a CPU first")                                   \
    FIELD(const AbiLoader *, ptr, loader, "NULL: weights are embedded")                            \
    FIELD(const char *, ptr, weights, "files it was compiled for, or init:reference")              \
    FIELD(int64_t, i64, seed, "of init:reference")                                                 \
    FIELD(const char *, ptr, tokenizer, "text of tokenizer.json; NULL: the model names none")      \
    FIELD(int64_t, i64, tokenizer_bytes, "")                                                       \
    FIELD(const int32_t *, ptr, eos, "[neos] ids that end a text")                                 \
    FIELD(int64_t, i64, neos, "")                                                                  \
    ARRAY(uint64_t, i64, identity, 2,                                                              \
          "of a model with embedded weights: what saved states know it by")                        \
    FIELD(const char *, ptr, chat_template, "Jinja; NULL: its files have none")                    \
    FIELD(const char *, ptr, bos_text, "of the token that begins a text; NULL: none")              \
    FIELD(const char *, ptr, eos_text, "of the token that ends one; NULL: none")
typedef struct ssmc_compiled ABI_DECLARE(ABI_COMPILED_FIELDS) AbiCompiled;
_Static_assert(offsetof(AbiCompiled, version) == 0,
               "a runtime reads the version of any AbiCompiled");

/* STRUCT(name, fields): all of them, each after the structs that it has inside. */
#define ABI_STRUCTS(STRUCT)                                                                        \
    STRUCT(AbiSeg, ABI_SEG_FIELDS)                                                                 \
    STRUCT(AbiCall, ABI_CALL_FIELDS)                                                               \
    STRUCT(AbiShare, ABI_SHARE_FIELDS)                                                             \
    STRUCT(AbiOperand, ABI_OPERAND_FIELDS)                                                         \
    STRUCT(AbiExtent, ABI_EXTENT_FIELDS)                                                           \
    STRUCT(AbiMap, ABI_MAP_FIELDS)                                                                 \
    STRUCT(AbiLaunch, ABI_LAUNCH_FIELDS)                                                           \
    STRUCT(AbiStep, ABI_STEP_FIELDS)                                                               \
    STRUCT(AbiRange, ABI_RANGE_FIELDS)                                                             \
    STRUCT(AbiEntry, ABI_ENTRY_FIELDS)                                                             \
    STRUCT(AbiInput, ABI_INPUT_FIELDS)                                                             \
    STRUCT(AbiOutput, ABI_OUTPUT_FIELDS)                                                           \
    STRUCT(AbiWeight, ABI_WEIGHT_FIELDS)                                                           \
    STRUCT(AbiState, ABI_STATE_FIELDS)                                                             \
    STRUCT(AbiProgram, ABI_PROGRAM_FIELDS)                                                         \
    STRUCT(AbiVariant, ABI_VARIANT_FIELDS)                                                         \
    STRUCT(AbiCompiled, ABI_COMPILED_FIELDS)

#endif
