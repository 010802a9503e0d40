/* runtime/rt.h -- what the driver uses of the runtime beyond ssmc.h: weights from files,
 * programs made by the JIT, and the pieces of a session that a profile shows. */
#ifndef SSMC_RUNTIME_RT_H
#define SSMC_RUNTIME_RT_H

#include <stdbool.h>

#include "runtime/abi.h"
#include "runtime/ssmc.h"

#if defined(__GNUC__)
#define RT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define RT_PRINTF(fmt, args)
#endif

/* Sets the message of this thread; returns status, so that `return rt_fail(...)` does. */
ssmc_status rt_fail(ssmc_status status, const char *fmt, ...) RT_PRINTF(2, 3);

enum { RT_MAX_RANK = 8 }; /* of a tensor of a file: weights have fewer (ABI_MAX_RANK) */

/* A tensor of a file, validated: data lies inside the mapping. */
typedef struct RtTensor RtTensor;
typedef struct RtBlocks RtBlocks; /* runtime/blocks.h */
struct RtTensor {
    const char *name;  /* first: nearest_name reads it */
    const char *dtype; /* F32, F16, BF16, I64 ... as a safetensors header spells it */
    bool rounded;      /* of weights: the file has F64, data is F32 */
    int rank;
    int64_t dim[RT_MAX_RANK];
    const void *data; /* borrows the mapping; little-endian, may be unaligned */
    size_t bytes;
    /* Of weights: tensors of the file whose data, one after the other, are its own; data is NULL
     * then. members 0: it is one of the file. */
    const RtTensor *const *member;
    int members;
    /* It lies in blocks, unpacked when a parameter is made of it; data is NULL, dtype F32. NULL: it
     * does not, or its members do. */
    const RtBlocks *blocks;
    int part; /* of the members' blocks (RtPart): what this weight is; 0: what they stand for */
};

typedef struct RtTensorFile RtTensorFile;
/* Maps one file of tensors and checks all that it says of them: types, shapes, offsets in range, no
 * overflow, sizes that match shapes. It is a safetensors file, or a dict of tensors that torch.save
 * wrote; what follows does not depend on which. */
ssmc_status rt_tensors_open(const char *path, RtTensorFile **out);
/* rt_tensors_open of bytes in memory (borrowed): tests and fuzzing. */
ssmc_status rt_tensors_from(const void *bytes, size_t len, const char *path, RtTensorFile **out);
void rt_tensors_close(RtTensorFile *file);
const char *rt_tensors_path(const RtTensorFile *file);
int rt_tensors_count(const RtTensorFile *file);
const RtTensor *rt_tensors_at(const RtTensorFile *file, int i); /* in the file's order */
const RtTensor *rt_tensors_find(const RtTensorFile *file, const char *name);
/* Writes a safetensors file, whole or not at all (temporary file, fsync, rename). */
ssmc_status rt_tensors_write(const char *path, const RtTensor *tensors, int count);

/* A name beside path for what will be path once it is whole, locked until it is closed; what others
 * left of path when they were killed is removed. */
typedef struct {
    int fd;     /* -1: none is open */
    char *name; /* owns */
} RtTemporary;
bool rt_temporary_open(const char *path, bool folder, RtTemporary *out); /* false: errno */
void rt_temporary_close(RtTemporary *temporary); /* removes what still has the name */

/* Writes a file whole or not at all. Paths that are not regular files (a pipe, /dev/stdout) are
 * written straight. */
ssmc_status rt_file_write(const char *path, const void *data, size_t len);

/* What a file is by its content. other: nothing known, such as a description. */
typedef enum {
#define FILE_KIND(id, what, instead) RT_KIND_##id,
#include "runtime/kinds.def"
#undef FILE_KIND
    RT_KIND_other
} RtKind;
RtKind rt_kind_of(const char *path); /* other: it cannot be read, too */
bool rt_kind_may_be_json(RtKind kind);
/* SSMC_BAD_FILE with what the file is and what to give instead. */
ssmc_status rt_kind_fault(const char *path, RtKind kind);
/* SSMC_BAD_FILE with what a directory without `wanted` has in its place. */
ssmc_status rt_folder_fault(const char *dir, const char *wanted);
/* Where a path that is not there ends in what looks like a name on a model hub: org/name. NULL: it
 * does not. */
const char *rt_hub_name(const char *path);
/* SSMC_IO with how such a model is downloaded. */
ssmc_status rt_hub_fault(const char *path);

/* Weights of a checkpoint: one file, or the files of a directory: model.safetensors, unless there
 * is a model.safetensors.index.json that names tensors that it lacks; else the files that the index
 * names; else consolidated.safetensors; else the only *.safetensors; else pytorch_model.bin and
 * pytorch_model.bin.index.json, by the same rule as model.safetensors. Tensors of F64 are rounded
 * to F32. */
ssmc_status rt_weights_open(const char *path, ssmc_weights **out);
/* Which of several files were taken, in one line; NULL: there was no choice. */
const char *rt_weights_note(const ssmc_weights *weights);
/* "3 tensors of Q8_0, Q4_K"; NULL: none lie in blocks. */
const char *rt_weights_in_blocks(const ssmc_weights *weights);
/* Whether the two hold the same sizes in the same order, those of 1 aside: their elements then lie
 * in the same order. */
bool rt_dims_fit(const int64_t *a, int rank_a, const int64_t *b, int rank_b);
/* Weights made by the rules named in the program (reference initialisation), from a seed. The same
 * seed gives the same weights for any thread count. */
ssmc_status rt_weights_init(const AbiWeight *weights, int count, uint64_t seed, int threads,
                            ssmc_progress *progress, void *user, ssmc_weights **out);
/* The weights of rt_weights_init without their data (RtTensor.data is NULL): a model that is opened
 * with them makes each when it is packed, and keeps those alone that its kernels read. */
ssmc_status rt_weights_describe(const AbiWeight *weights, int count, uint64_t seed,
                                ssmc_weights **out);
void rt_weights_close(ssmc_weights *weights);
/* The i-th file they are mapped from; NULL: there are no more. */
const char *rt_weights_file(const ssmc_weights *weights, int i);
int rt_weights_count(const ssmc_weights *weights);
const RtTensor *rt_weights_at(const ssmc_weights *weights, int i);
const RtTensor *rt_weights_find(const ssmc_weights *weights, const char *name);
/* Names of weights that a checkpoint lacks begin so: RT_MADE "RULE LAYER of LAYERS". From now on
 * one of that shape is found, made by the rule (init.def). SSMC_BAD_ARGUMENT: there is no such
 * rule. */
#define RT_MADE "made: "
ssmc_status rt_weights_make(ssmc_weights *weights, const char *name, const int64_t *dim, int rank);
/* From now on a weight of that shape is found under `names`, tensors with '+' between them: each
 * is some of its rows, in that order, or one of a stack, or some rows of one. SSMC_BAD_FILE: one is
 * missing, or does not fit. Nothing is copied. */
ssmc_status rt_weights_join(ssmc_weights *weights, const char *names, const int64_t *dim, int rank);
/* Rows of its last dimension: dim[0] of two dimensions. */
int64_t rt_rows_of(const int64_t *dim, int rank);
/* How many of the rows of a tensor of the shape `dim` a tensor is; -1: it is no part of it. */
int64_t rt_member_rows(const RtTensor *tensor, const int64_t *dim, int rank);
/* Its data in one place: a copy of what has members, which lives as long as the weights. NULL: no
 * memory, or a rule makes it. */
const void *rt_weights_whole(ssmc_weights *weights, const RtTensor *tensor);
/* Whether the file is a GGUF with tensors in blocks; false: it cannot be read, too. */
bool rt_gguf_has_blocks(const char *path);
/* The type of the blocks that a weight lies in, where scales and minima of their groups are to be
 * had (rt_weights_parts); NULL: there are none such, or of several types. */
const char *rt_weights_stored(const RtTensor *tensor);
/* Makes the weights NAME@scales and NAME@minima of one with blocks, [..,K/group] each. */
ssmc_status rt_weights_parts(ssmc_weights *weights, const char *name);
/* The file that one of the tensors is in; NULL: none, rules make it. */
const char *rt_weights_file_of(const ssmc_weights *weights, const RtTensor *tensor);

/* Wraps a program the JIT made; borrows it. */
ssmc_status rt_program_wrap(const AbiProgram *abi, ssmc_program **out);
void rt_program_free(ssmc_program *program);
const AbiProgram *rt_program_abi(const ssmc_program *program);
/* ssmc_program_memory of a program whose code is not here: of its figures, counts, weights and
 * states, and reads [nweights], which of them steps read after loading. room: tokens of
 * ssmc_memory.full. */
ssmc_memory rt_figures_memory(const AbiProgram *abi, const bool *reads, int sequences, int threads,
                              int64_t room);
/* ssmc_model_open with packed parameters kept in a directory from one start to the next. pack_cache
 * NULL: none. */
ssmc_status rt_model_open(const ssmc_program *program, const ssmc_weights *weights,
                          const char *pack_cache, int threads, ssmc_progress *progress, void *user,
                          ssmc_model **out);
/* A model of another program of the same weights (opened again, or the same) that borrows the
 * packed parameters of `beside`, which must outlive it. *out NULL: its parameters would be others.
 */
ssmc_status rt_model_beside(const ssmc_program *program, const ssmc_weights *weights,
                            const ssmc_model *beside, ssmc_model **out);
const void *rt_model_params(const ssmc_model *model); /* [param_bytes] */
const ssmc_program *rt_model_program(const ssmc_model *model);

/* Tokens of the longest prefix that ssmc_cache_take would find, by the names of files alone: 0:
 * there is none. */
ssmc_status rt_cache_look(const ssmc_cache *cache, const ssmc_session *session, const int32_t *ids,
                          int64_t n, int64_t *tokens);

/* ---- models compiled ahead of time: the pieces of ssmc_compiled_open ------------------------- */

/* The variant of that CPU's name; NULL: of the environment's SSMC_VARIANT, or the first that runs
 * here. */
ssmc_status rt_variant_choose(const AbiCompiled *compiled, const char *name,
                              const AbiVariant **out);
/* What to tell of that choice: where the system refuses what a better variant needs. NULL: nothing.
 */
const char *rt_variant_note(const AbiCompiled *compiled, const char *name);
/* Weights from path; NULL: from where the model was compiled for. */
ssmc_status rt_weights_load(const AbiCompiled *compiled, const AbiProgram *abi, const char *path,
                            ssmc_weights **out);
/* A model with embedded weights; borrows everything. */
ssmc_status rt_model_embedded(const AbiCompiled *compiled, const AbiVariant *variant,
                              const ssmc_program *program, ssmc_model **out);
/* What AbiCompiled.identity must be for these weights. abi: its description and list of weights. */
ssmc_status rt_weights_fingerprint(const AbiProgram *abi, const ssmc_weights *weights,
                                   uint64_t out[2]);

/* Seconds each step has taken in a session since it was opened (profiling is off until asked for).
 */
void rt_session_profile(ssmc_session *session, bool on);
/* When a thread ran a step; a lane is one thread's events, in order. What does not fit is left out:
 * the run path takes no memory. */
typedef struct {
    int32_t step;
    double from, to; /* rt_now */
} RtEvent;
typedef struct {
    RtEvent *events;
    int64_t most, count;
    char apart[40]; /* from the lane of the next thread: each on a line of its own */
} RtLane;
/* lanes: one for each thread of the session, borrowed until the call is made with NULL (off, as it
 * is at first). */
void rt_session_trace(ssmc_session *session, RtLane *lanes);
double rt_session_step_seconds(const ssmc_session *session, int step);
/* A sequence's state by name, until the next call; NULL when there is none of that name, of f32 and
 * a fixed size. */
const float *rt_session_state(const ssmc_session *session, int seq, const char *name,
                              int64_t *count);

/* ssmc_checkpoint_take in the memory of a checkpoint that is no longer wanted, where it is enough.
 * *checkpoint: that one, or NULL; then the new one. What fails leaves one that says nothing, or
 * NULL. */
ssmc_status rt_checkpoint_again(const ssmc_session *session, int seq, ssmc_checkpoint **checkpoint);

/* Bytes of the growing states of a sequence that has read all the tokens that it can hold;
 * SIZE_MAX: too much to count. */
size_t rt_kept_full(const ssmc_program *program, int64_t tokens);

double rt_now(void); /* seconds, monotonic */

/* work(user, i, threads) on every thread of those that a session works with, in the caller's mode
 * of arithmetic; returns when all are done. size: numbers that are looked at in all; few are worth
 * one thread alone. */
typedef void RtWork(void *user, int thread, int threads);
void rt_session_share(const ssmc_session *session, RtWork *work, void *user, int64_t size);

/* The GPU that models would run on. */
typedef struct {
    char name[128];
    int multiprocessors;
    size_t bytes;   /* of its memory */
    int capability; /* ten times: what is called sm_<capability> */
    int driver;     /* the version of CUDA that its driver is of, ten times */
} RtGpu;
bool rt_gpu_look(RtGpu *out); /* false: there is none, or no driver: ssmc_error says it */

/* How many threads this process can keep busy, at least 1, and what bounds them. */
typedef struct {
    int count;
    char why[192];
} RtCores;
RtCores rt_cores_look(void);
int rt_cores(void); /* the count alone */

#endif
