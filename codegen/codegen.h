/* codegen/codegen.h -- KERNEL-stage graphs to machine code. The one header of this folder that
 * others read; no LLVM type appears in it. */
#ifndef SSMC_CODEGEN_CODEGEN_H
#define SSMC_CODEGEN_CODEGEN_H

#include "ir/ir.h"
#include "machine/machine.h"

/* Once, before anything else of this folder: where LLVM finds no memory, the process ends with a
 * message and status 1. Without it, LLVM aborts. */
void cg_begin(void);
enum { CG_STACK = 8 << 20 }; /* bytes of stack for a thread that calls this folder */

/* name: native or a CPU of machine/cpus.def. False: unknown name; *why lists near ones. */
bool cg_machine(Arena *arena, const char *name, Machine *out, const char **why);

/* The type that programs know an element type of weights and states by; false: none. */
bool cg_abi_dtype(Dtype dtype, AbiDtype *out);

typedef struct CgModule CgModule;
/* Compiles graphs in stage KERNEL, one for each entry of a model, into one LLVM module. Equal
 * kernels are emitted once, whatever layer they come from. Nodes without an emitter are reported to
 * diag; NULL then. */
CgModule *cg_module(const Machine *machine, const Graph *const *graphs, int count, Diag *diag);
/* A module without what runs after loading: only what makes the parameters of a program for
 * `machine`, as code that runs on this machine. */
CgModule *cg_module_params(Arena *arena, const Machine *machine, const Graph *const *graphs,
                           int count, Diag *diag);
void cg_module_free(CgModule *module);
int cg_module_functions(const CgModule *module); /* distinct kernels */
bool cg_module_on_unit(const CgModule *module);  /* some code runs on the machine's matrix unit */
/* The program's figures, counts and tables; but it has no steps and operands. */
const AbiProgram *cg_module_abi(const CgModule *module);
/* By weight of the program's list: whether a step reads it after loading. */
const bool *cg_module_reads(const CgModule *module);

/* Text (or object bytes) of the module, before or after optimisation; CG_PTX: of the part for a
 * GPU, empty where there is none. An object exports the program as `const AbiProgram
 * ssmc_abi_program`; every other symbol is local. */
typedef enum { CG_LLVM, CG_LLVM_OPT, CG_ASM, CG_OBJ, CG_PTX } CgEmit;
void cg_emit(CgModule *module, CgEmit what, StrBuf *out);

/* ---- files (aot.c, blob.c) ---------------------------------------------------------------- */

/* A model as exported data: what AbiCompiled says, but for its variants. */
typedef struct {
    const char *symbol; /* <symbol>_compiled() gives the AbiCompiled, <symbol>_data is it */
    const char *name, *weights;
    int64_t seed;
    const int32_t *eos; /* ids that end a text, neos of them */
    int neos;
    const char *tokenizer; /* NULL: none */
    size_t tokenizer_bytes;
    const char *chat_template, *bos_text, *eos_text; /* NULL: none */
    uint64_t identity[2];                            /* with embedded weights */
} CgExport;

typedef struct {
    CgModule *module;
    const char *cpu;              /* as variants are named; not "native" */
    const char *embedded;         /* symbol of its weights' blob; NULL: weights are in files */
    const int64_t *tensor_offset; /* [nweights] into the blob, -1: not in it; NULL: no blob */
} CgVariant;

/* Makes the modules of one model ready to be linked into one file: the first exports the model,
 * every other symbol is hidden. variants: those that need most of a CPU first. cg_emit them
 * afterwards. */
void cg_export(const CgExport *model, CgVariant *variants, int count);

/* Writes an object file with one section of read-only pages that holds the pieces, 64-byte aligned
 * one after the other, as the hidden symbol. False: *why. */
typedef struct {
    const void *data;
    int64_t bytes;
} CgPiece;
bool cg_blob_write(Arena *arena, const char *path, const Machine *machine, const char *symbol,
                   const CgPiece *pieces, int count, const char **why);

/* Machine code in this process, made on up to `threads` threads. The program lives until
 * cg_jit_free; module is consumed.
 * NULL: *why says it (text in arena): the target is not this machine's, a symbol is missing ...
 * With SSMC_PERF_MAP=1 in the environment, names of the functions are appended to
 * /tmp/perf-PID.map, where `perf report` looks for them. */
typedef struct CgJit CgJit;
/* Whether the system lets this process make code that it runs. False: *why (a literal). */
bool cg_jit_allowed(const char **why);
CgJit *cg_jit(Arena *arena, CgModule *module, int threads, const char **why);
const AbiProgram *cg_jit_program(const CgJit *jit);
void cg_jit_free(CgJit *jit);

/* Probes of this machine's ceilings: loops that only the thing measured holds back. */
typedef enum {
#define PROBE(id, kind, streams, ahead, doc) PROBE_##id,
#include "codegen/probes.def"
#undef PROBE
    PROBE_COUNT
} CgProbeId;
/* Arithmetic: passes * rounds rounds in registers over data, 64 floats. Memory: `passes` times over
 * the first `rounds` rounds of data. */
typedef void CgProbeRun(int64_t passes, int64_t rounds, void *data);
typedef struct {
    CgProbeRun *run; /* NULL: the target has no such instruction */
    double work;     /* of a round: operations; or bytes, an update's twice: read and written */
    int64_t bytes;   /* of data that a round walks; 0: arithmetic */
    bool reads;      /* walks data and changes nothing of it */
    const char *doc;
} CgProbe;
/* Those of a GPU: a program for its device alone, with a step for each probe that it has (others
 * have no work), of two operands: a buffer to read and one to write. Rounds of arithmetic are
 * AbiCall.rows, on .nseg multiprocessors that each do the work of a round; of memory, .rows is rows
 * of .bytes bytes, a multiple of CG_PROBE_ROWS. */
enum { CG_PROBE_ROWS = 1024 };
const AbiProgram *cg_gpu_probes(Arena *arena, const Machine *machine, CgProbe out[PROBE_COUNT]);
/* NULL: *why. The probes live until cg_jit_free. */
CgJit *cg_probes(Arena *arena, const Machine *machine, CgProbe out[PROBE_COUNT], const char **why);

/* Gives the resident pages of LLVM's code (some 60 MB) back to the system, until it is called
 * again.
 */
void cg_rest(void);

const char *cg_llvm_version(void);

/* Greatest error of a pointwise op's code over every f32, in units in the last place of the f32
 * result: what emitters promise (tests measure it). 0: correctly rounded. */
double cg_ulp_bound(Op op);

#endif
