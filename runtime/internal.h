/* runtime/internal.h -- what the files of runtime/ share: faults, sizes, memory, files, names,
 * threads. */
#ifndef SSMC_RUNTIME_INTERNAL_H
#define SSMC_RUNTIME_INTERNAL_H

#include <stdatomic.h>

#include "runtime/rt.h"

#define RT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* RT_LINE: alignment of every buffer that kernels see: two cache lines, as matrix units like it. */
enum { RT_LINE = 128, RT_MAX_THREADS = 1024, RT_NUMERICS = 32 };
/* Of a pass: the blocks that a GPU's grid can have beside each other in its second direction. */
enum { RT_MOST_SEGMENTS = 65535 };

/* ---- faults (error.c) -------------------------------------------------------------------- */

/* As rt_fail, after a message that stays: adds a line to it. */
ssmc_status rt_fail_also(ssmc_status status, const char *fmt, ...) RT_PRINTF(2, 3);
/* "cannot WHAT PATH: reason of errno" as SSMC_IO, or as SSMC_NO_MEMORY where that is the reason. */
ssmc_status rt_fail_errno(const char *what, const char *path);
ssmc_status rt_fail_memory(size_t bytes, const char *of_what);
/* A caller gave NULL where something must be: "no session", SSMC_BAD_ARGUMENT. */
ssmc_status rt_fail_null(const char *what);

/* Text for messages. Names come from hostile files: control bytes become '?', long ones are cut. */
typedef struct {
    char text[128];
} RtText;
RtText rt_quote(const char *name);
RtText rt_dims(const int64_t *dim, int rank); /* [3,640] */

/* ---- sizes and memory (memory.c) --------------------------------------------------------- */

/* False on overflow; *out untouched then. */
bool rt_mul(size_t a, size_t b, size_t *out);
bool rt_add(size_t a, size_t b, size_t *out);
bool rt_round_up(size_t n, size_t to, size_t *out);

/* Zeroed pages with huge pages asked for; NULL when there is no memory. bytes may be 0. From 2 MiB
 * on they begin and end where a huge page of that size does. bytes of both calls are the same. */
void *rt_pages_new(size_t bytes);
void rt_pages_free(void *pages, size_t bytes);

/* Zeroed pages for what grows, of as many bytes as it may come to: address space, of which memory
 * is taken as it is written, in small pages, but where rt_pages_long says. Freed by rt_pages_free.
 */
void *rt_pages_reserve(size_t bytes);
/* Whole huge pages of such a reserve: they are taken as huge pages. */
void rt_pages_long(void *from, size_t bytes);
/* Zero again: many pages leave memory. */
void rt_pages_zero(void *from, size_t bytes);

/* Whole pages of a mapped file that will hardly be read again: they leave this process's memory,
 * and come back from the file if they are. */
void rt_pages_done(const void *from, size_t bytes);

/* A regular file, mapped to be read. An empty one has data "". */
typedef struct {
    const char *data;
    size_t len;
    int64_t changed; /* nanoseconds: when the file was written last */
} RtMapping;
ssmc_status rt_map_file(const char *path, RtMapping *out);
void rt_unmap_file(RtMapping *mapping);

char *rt_path_join(const char *dir, const char *name); /* malloc; NULL: no memory */

/* ---- files written (output.c, temporary.c) ----------------------------------------------- */

bool rt_is_temporary(const char *name); /* of a file or folder of rt_temporary_open */
/* Removes such a file or folder, of an open folder, unless a process is writing it. */
void rt_temporary_sweep(int dir, const char *name);

/* Writes path whole or not at all: open, rt_output_put any number of times, close. */
typedef struct {
    int fd;
    char *path;            /* owns */
    RtTemporary temporary; /* owns; none: path is not a regular file and is written straight */
    unsigned mode;
} RtOutput;
ssmc_status rt_output_open(const char *path, RtOutput *out);
bool rt_output_put(RtOutput *out, const void *data, size_t len); /* false: errno */
/* ok false: what was written is thrown away, errno says why. */
ssmc_status rt_output_close(RtOutput *out, bool ok);

ssmc_status rt_folder_make(const char *path); /* that it is there already is no fault */

/* ---- tensors ----------------------------------------------------------------------------- */

/* The table's own spelling of a dtype, which stays; NULL: it is no dtype. */
const char *rt_dtype_name(const char *name);
int rt_dtype_bits(const char *name); /* of one element; 0: it is no dtype */
/* Bytes of a dense tensor; false on overflow, a negative dimension or a part of a byte. */
bool rt_tensor_bytes(int bits, const int64_t *dim, int rank, size_t *out);

/* Tensors by name: a sorted list, so that no choice of names makes it slow. */
typedef struct {
    const char *name;
    int tensor;
} RtIndexEntry;
typedef struct {
    RtIndexEntry *entry;
    int count;
} RtIndex;
/* *first, *second: two tensors of one name, or -1. Entries of equal names keep the tensors' order.
 */
ssmc_status rt_index_build(RtIndex *index, const RtTensor *tensors, int count, int *first,
                           int *second);
/* The tensor named by the first len bytes of name; -1: none. */
int rt_index_find(const RtIndex *index, const char *name, size_t len);
void rt_index_free(RtIndex *index);

/* rt_kind_of of what would be in a file. */
RtKind rt_kind_of_bytes(const char *bytes, size_t len);

/* rt_weights_find by the first len bytes of name. */
const RtTensor *rt_weights_find_n(const ssmc_weights *weights, const char *name, size_t len);

/* names: spellings separated by '|'; the first that there is, or NULL. */
const RtTensor *rt_weights_find_any(const ssmc_weights *weights, const char *names);

/* An index: which file holds which tensor. */
typedef struct {
    char *tensor, *file;
} RtShard;
typedef struct {
    RtShard *shard;
    int count;
    char *names; /* what tensor and file point into */
} RtShards;
ssmc_status rt_shards_read(const char *path, RtShards *out);
void rt_shards_free(RtShards *shards);

/* ---- threads (pool.c) -------------------------------------------------------------------- */

typedef struct RtPool RtPool;
/* threads includes the one that calls rt_pool_run. 0: all cores. */
ssmc_status rt_pool_open(int threads, RtPool **out);
void rt_pool_close(RtPool *pool); /* in any process */
/* SSMC_BAD_ARGUMENT: this process is a fork of the one that opened it, and has not its threads. */
bool rt_pool_is_here(const RtPool *pool); /* a fork has the pool but not its threads */
ssmc_status rt_pool_check(const RtPool *pool);
int rt_pool_threads(const RtPool *pool);
/* work(user, i, threads) on every thread, in the mode of float_mode.h; returns when all are done.
 * One caller at a time, whose thread is in its own mode afterwards. */
void rt_pool_run(RtPool *pool, RtWork *work, void *user);
/* From inside work: waits until every thread is here. */
void rt_pool_barrier(RtPool *pool);
/* As rt_pool_barrier; the last thread to arrive calls then(user), unless then is NULL, before any
 * thread goes on. */
typedef void RtThen(void *user);
void rt_pool_barrier_then(RtPool *pool, RtThen *then, void *user);
/* As rt_pool_barrier_then; a thread that waits calls meanwhile(user) again and again until it is
 * false or all are there, unless it is NULL: a microsecond of what may as well be left undone. */
typedef bool RtMeanwhile(void *user);
void rt_pool_barrier_while(RtPool *pool, RtThen *then, RtMeanwhile *meanwhile, void *user);
/* threads as asked for -> as they will be; false when it is out of range. */
bool rt_threads_resolve(int *threads);

/* ---- OpenBLAS (blas.c) ------------------------------------------------------------------- */

/* cblas_sgemm of a copy that belongs to the runtime alone, until rt_blas_close. Any thread may
 * call either. SSMC_UNSUPPORTED: it is not installed. */
ssmc_status rt_blas_open(AbiSgemm **out);
void rt_blas_close(void);
/* Whether there is address space for what it takes when `threads` threads first call it: 128 MiB
 * each. Without it the call would try again for ever. */
ssmc_status rt_blas_room(int threads);

/* ---- cores (cores.c) --------------------------------------------------------------------- */

/* CPU time that control groups grant: CPUs, or INFINITY, and the group that sets the bound. root
 * goes before every path that is read: "", or a folder that holds another /proc and /sys. */
typedef struct {
    double cpus;
    RtText group;
} RtQuota;
RtQuota rt_quota_find(const char *root);
/* Of cores online, those of the affinity mask, and a quota, which is rounded down. */
RtCores rt_cores_of(int online, int allowed, const RtQuota *quota);

/* ---- parts of a step (steal.c) ----------------------------------------------------------- */

/* How many parts of a thread's range were taken, by the thread or by those that steal. */
typedef struct {
    _Alignas(RT_LINE) atomic_int taken;
} RtParts;
/* ranges: two sets of [threads]; turn: the number of the step, counted from 0 in each run. */
void rt_steal_begin(RtParts *ranges, int threads); /* before a run */
/* Each thread calls it in each turn: its range of the next turn is full again. */
void rt_steal_refill(RtParts *ranges, int turn, int thread, int threads);
/* One of threads * pieces parts, each returned once; -1: all were taken. */
int64_t rt_steal_part(RtParts *ranges, int turn, int thread, int threads, int pieces);

typedef struct RtIdentity RtIdentity;

/* ---- this machine (cpu.c) ---------------------------------------------------------------- */

/* Those of the bits of AbiFeature that are there. Only who asks for the permission to use a unit
 * asks the system for it. */
uint64_t rt_cpu_features(uint64_t of);
const char *rt_cpu_lacks(uint64_t needs); /* the first of them that is not there; NULL: none */

/* ---- programs (program.c, model.c, bind.c) ----------------------------------------------- */

const char *rt_abi_name(AbiDtype dtype); /* as a safetensors header spells it */
int rt_abi_bits(AbiDtype dtype);         /* of one element; 0: there is no such type */

/* What sessions give to kernels, by name. */
typedef enum { RT_IDS, RT_POSITIONS, RT_PICK, RT_INPUTS } RtInput;
extern const AbiInput rt_input_info[RT_INPUTS];

enum { RT_MOST_LISTS = 8, RT_MOST_ENTRIES = 4 };

struct ssmc_program {
    const AbiProgram *abi;             /* borrowed */
    size_t weight_bytes, kept_bytes;   /* of all weights, and of those that kernels read */
    size_t state_stride;               /* bytes from one sequence's states to the next's */
    size_t slab_bytes, scratch_stride; /* the most of any entry; scratch of one thread */
    size_t init_stride;                /* scratch of one thread while parameters are made */
    int64_t block, rows;               /* most T and R of a pass of any entry */
    size_t row_bytes;                  /* of all growing states: a token's; 0: none grow */
    const AbiEntry *longest;           /* takes the most tokens of a sequence */
    const AbiOutput *logits;
    const AbiOutput *list[RT_MOST_LISTS]; /* of candidates of a row of logits */
    int nlists;
    int one;                  /* of the lists: of one candidate; -1: none is */
    const AbiOutput *ids;     /* int32 [R]: those of the list of one; NULL: there are none */
    RtInput input[RT_INPUTS]; /* [ninputs] which each is */
};

/* A compiled model's data, whose size is its version's, may be looked at. */
ssmc_status rt_compiled_check(const AbiCompiled *compiled);

/* The entry for a piece of so many tokens of a sequence: of those that take as many the one that
 * takes the fewest. NULL: it is longer than any takes. */
const AbiEntry *rt_program_entry(const AbiProgram *abi, int64_t tokens);
/* Tokens that inputs are cut at: as many as one pass takes of a sequence. */
int64_t rt_program_piece(const ssmc_program *program);

/* Whether kernels read a weight as it is, after parameters have been made. */
bool rt_program_keeps(const ssmc_program *program, int weight);

/* Where a program runs (device.h). */
typedef struct RtDevice RtDevice;
typedef struct RtImage RtImage; /* a program's code there; NULL: the device is the CPU */
typedef struct RtQueue RtQueue; /* what is done there for a session; NULL: the device is the CPU */

/* Where kernels that run find what a model is made of; they only read it. */
typedef struct {
    const char *params;         /* [param_bytes] */
    const void *const *weights; /* [nweights]; those that no such kernel reads may be anything */
} RtPlaces;

struct ssmc_model {
    const ssmc_program *program; /* borrowed */
    const RtDevice *device;
    RtImage *image;       /* owns */
    const char *params;   /* [param_bytes], of the host; NULL: they are on the device alone */
    AbiSgemm *sgemm;      /* NULL: no kernel calls it */
    const void **weights; /* owns: [nweights] data of each, borrowed, of the host */
    RtPlaces there;
    const void **placed; /* owns: [nweights], of there.weights; NULL: the device is the CPU */
    char *copied;        /* owns: memory of the device with params and weights; NULL: none */
    size_t copied_bytes;
    const RtTensor **joined; /* owns: [nweights] those made of several tensors; NULL: others */
    char *made;              /* owns: pages, data of weights made by rules that kernels read */
    size_t made_bytes;
    RtIdentity *identity;      /* owns */
    char *pages;               /* owns: params made here; NULL: they lie in a file */
    RtMapping cache;           /* owns: a cache's file with params; empty: none */
    char *warning;             /* owns: of ssmc_model_warning; NULL: none */
    ssmc_program *own_program; /* what ssmc_compiled_open made, and ssmc_model_close frees; NULL */
    ssmc_weights *own_weights;
    const AbiLoader *loader; /* closes own_weights */
};
/* A model without parameters and tensors, on its device: model_close frees it whatever came to it
 * since. */
ssmc_status rt_model_new(const ssmc_program *program, ssmc_model **out);
/* Once it has them: where kernels will find them. A device of its own gets copies, and those of the
 * host that nothing else needs are freed. */
ssmc_status rt_model_place(ssmc_model *model);

/* Reads weights of files or makes them by rules: the one way from a compiled model to the files'
 * code, so that a product with embedded weights does not have it. */
struct AbiLoader {
    ssmc_status (*open)(const AbiCompiled *compiled, const AbiProgram *abi, const char *path,
                        ssmc_weights **out);
    ssmc_status (*bind)(const ssmc_program *program, const ssmc_weights *weights,
                        const char *pack_cache, int threads, ssmc_progress *progress, void *user,
                        ssmc_model **out);
    void (*close)(ssmc_weights *weights);
};
extern const AbiLoader rt_file_loader;

/* ---- packed parameters in a file (packcache.c) ------------------------------------------- */

/* Content of the files behind weights, told by their sizes, times, tensors and samples of their
 * data. False: weights made by rules, which no file holds. */
bool rt_weights_identity(const ssmc_weights *weights, uint64_t *hash);
uint64_t rt_tensors_identity(const RtTensorFile *file);
void
rt_tensors_rest(const RtTensorFile *file); /* its pages leave memory until they are read again */
/* The cache's file of a program and weights; malloc. NULL: no memory. */
char *rt_pack_path(const char *dir, const AbiProgram *abi, uint64_t weights);
/* *found false: there is no such file; or it cannot be read, or is damaged (SSMC_BAD_FILE). */
ssmc_status rt_pack_read(const char *path, const AbiProgram *abi, uint64_t weights, RtMapping *file,
                         const char **params, bool *found);
ssmc_status rt_pack_write(const char *path, const AbiProgram *abi, uint64_t weights,
                          const char *params);

/* Makes params [param_bytes] of a model whose weights are bound, and the data of those of its
 * weights that have none and that its kernels read (params.c). */
ssmc_status rt_params_make(ssmc_model *model, const ssmc_weights *weights, char *params,
                           int threads, ssmc_progress *progress, void *user);
/* The data alone, where the params are there already. */
ssmc_status rt_params_keep(ssmc_model *model, const ssmc_weights *weights);

/* ---- which model it is (identity.c) ------------------------------------------------------ */

typedef struct {
    uint64_t low, high;
} RtHash;
uint64_t rt_hash(const void *data, size_t bytes);
uint64_t rt_hash_on(uint64_t before, const void *data, size_t bytes); /* of those before, too */
/* Of a program's description and weights: their data, what a rule makes each from (0: none), or
 * the tensors that it is made of (NULL: none). */
RtHash rt_identity_hash(const AbiProgram *abi, const void *const *weights, const uint64_t *made,
                        const RtTensor *const *joined);

/* Of every weight's name, type, shape and content, in whatever order the program has them. Made
 * when it is first asked for, by whichever thread asks. */
RtIdentity *rt_identity_new(int weights); /* NULL: no memory */
/* A weight has no data: a rule makes it from key, which is not 0. */
void rt_identity_made(RtIdentity *identity, int weight, uint64_t key);
void rt_identity_known(RtIdentity *identity, const uint64_t hash[2]); /* it is this one */
void rt_identity_free(RtIdentity *identity);
/* Of the description and the weights; equal for builds of one model for any CPU, JIT or not. */
RtHash rt_model_identity(const ssmc_model *model);
/* Whether a prompt in pieces gives the bits of the whole prompt. */
bool rt_program_is_exact(const ssmc_program *program);

/* ---- drawing ids (sample.c) ---------------------------------------------------------------- */

int64_t rt_sampler_vocab(const ssmc_sampler *sampler);
/* False: it was named before by a call of that number, which may be another session's. */
bool rt_sampler_named(ssmc_sampler *sampler, uint64_t call);
/* Candidates of the least list that may do in place of logits; INT64_MAX: none does. */
int64_t rt_sampler_wants(const ssmc_sampler *sampler);
/* ssmc_sample of a row of logits by its list of k candidates: the same id. False: the list does not
 * say which that is, and nothing has changed. */
int32_t rt_greedy(const float *logits, int64_t vocab); /* what a greedy sampler draws */
bool rt_sample_candidates(ssmc_sampler *sampler, const float *list, int64_t k, int32_t *id);

/* ---- running (exec.c) -------------------------------------------------------------------- */

/* Where the operands of a program lie; operands in a space that is NULL resolve to NULL. */
typedef struct {
    char *slab, *states, *output;
    RtPlaces there;
    char *kept;            /* growing states of sequence 0; NULL: there are none */
    const size_t *kept_at; /* [nstates] where each begins there */
    char *const *input;    /* [ninputs] */
    int64_t row;           /* of inputs and outputs, that operands begin at */
} RtSpaces;
/* operand [noperands] */
void rt_operands_resolve(const AbiProgram *abi, const RtSpaces *spaces, void **operand);

/* Bytes that are copied to a device or back; of `fed`, `here` is there, too. */
typedef struct {
    char *there, *here;
    size_t bytes;
} RtCopy;

/* Rows that steps run over: where their operands lie, and what kernels are told of them. */
typedef struct {
    void *const *operand; /* [noperands] */
    const AbiCall *call;  /* NULL: there are none */
} RtRows;

/* Steps to run over a pool, or on a device: of the layers, the head, and what chooses candidates.
 */
enum { RT_RANGES = 3 };
typedef struct {
    const AbiProgram *abi;
    void *const *operand; /* [noperands] */
    const AbiCall *call;
    /* Rows of the same pass that the same steps run over, too, at the same time or not: nothing
     * that these write is read or written for the others. */
    RtRows beside;
    char *scratch; /* of thread 0 */
    size_t scratch_stride;
    RtParts *parts; /* two sets of [threads] */
    RtPool *pool;
    AbiRange range[RT_RANGES];
    /* Before the steps, in this order, and after; a device without memory of its own: unused. fed:
     * from one place there to another, what the pass before has given. */
    RtCopy told, fed, back;
    double *seconds; /* [nsteps], added to; NULL: not profiled */
    RtLane *lanes;   /* [threads]; NULL: not traced */
    /* The profile's own: the step that runs (-1: none yet), and since when. */
    int running;
    double since;
} RtRun;
void rt_run(RtRun *run); /* on the CPU */

/* ---- weights of a step that comes (ahead.c) ----------------------------------------------- */

/* What one thread asks for. */
typedef struct {
    int step;              /* whose panels they are; -1: none yet */
    const char *next, *to; /* of its share: what is not asked for */
} RtAhead;
/* Step `i` of a range of the run is next, or in progress. */
void rt_ahead_turn(RtAhead *ahead, const RtRun *run, AbiRange range, int i, int thread);
/* Asks for some of them; false: for none are left. */
bool rt_ahead_ask(RtAhead *ahead);
/* Whether a pass of this call has each part of the step go through panels of its own. */
bool rt_step_has_few(const AbiStep *step, const AbiCall *call);

#endif
