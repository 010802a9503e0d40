/* codegen/module.h -- between the files that turn graphs into a module; emitters do not see it. */
#ifndef SSMC_CODEGEN_MODULE_H
#define SSMC_CODEGEN_MODULE_H

#include <llvm-c/TargetMachine.h>

#include "codegen/emit/cg.h"

struct CgModule {
    Cg cg;
    Machine machine;
    LLVMTargetMachineRef llvm;
    /* Of what runs on a GPU; llvm NULL: nothing does, or the model, whose code is in cg. */
    struct {
        Cg cg;
        Machine machine;
        LLVMTargetMachineRef llvm;
    } gpu;
    LLVMModuleRef optimised; /* NULL until asked for */
    Arena *arena;            /* owns: everything of the module that is not LLVM's */
    int functions;
    AbiProgram abi;    /* figures, counts and tables; no steps and operands */
    const bool *reads; /* by weight: whether a step reads it that runs after loading */
};

/* ---- llvm.c: everything that has changed between LLVM versions ------------------------------- */
/* LLVM knows the CPU (cg_machine says so). Code is position-independent, in the JIT as in
 * files. */
LLVMTargetMachineRef cg_llvm_machine(const Machine *machine);
LLVMContextRef cg_llvm_context(void);
/* Context, module, builders and types. */
void cg_llvm_open(Cg *c, Arena *arena, const Machine *machine, LLVMTargetMachineRef llvm);
void cg_llvm_close(Cg *c);
/* die()s with LLVM's text when the module is not well formed: our fault. */
void cg_llvm_verify(LLVMModuleRef mod, const char *when);
void cg_fn_attribute(Cg *c, Val fn, const char *name, const char *value); /* text attributes */
void cg_attribute(Cg *c, Val fn, unsigned where, const char *name); /* noalias, nounwind ... */

/* ---- abi.c: structs of runtime/abi.h --------------------------------------------------------- */
/* Their types; dies where LLVM lays one out in another way than C. */
void cg_abi_open(Cg *c);
/* The row of struct `type` as a constant: numbers are those of `row`, pointers those that are named
 * by the offsets of their fields, as in {offsetof(AbiStep, run), fn}. Dies when one is not. */
typedef struct {
    size_t offset;
    Val value;
} CgPointer;
Val cg_const_record(Cg *c, CgAbi type, const void *row, const CgPointer *pointers, size_t count);

/* ---- optimise.c ------------------------------------------------------------------------------ */
/* The optimised module, made the first time; owned by `module`. */
LLVMModuleRef cg_optimised(CgModule *module);
LLVMMemoryBufferRef cg_object(CgModule *module, LLVMCodeGenFileType type); /* caller disposes */
/* The pipeline, and passes before it ("" or "a,b,"). */
void cg_run_passes(LLVMModuleRef mod, LLVMTargetMachineRef llvm, const char *before);
/* Changes mod; caller disposes. */
LLVMMemoryBufferRef cg_machine_code(LLVMModuleRef mod, LLVMTargetMachineRef llvm,
                                    LLVMCodeGenFileType type);

/* ---- parallel.c ------------------------------------------------------------------------------ */
enum { CG_MAX_OBJECTS = 16 };
/* Objects that together are the module, made on up to `threads` threads; returns how many. */
int cg_objects(CgModule *module, int threads, LLVMMemoryBufferRef out[CG_MAX_OBJECTS]);

/* ---- check.c --------------------------------------------------------------------------------- */
bool cg_check_graph(const Graph *g, const bool *escapes, Diag *diag);
bool cg_check_kernel(const Cg *c, const CgKernel *k, Diag *diag);

/* ---- function.c ------------------------------------------------------------------------------ */
/* Target attributes every function needs. */
void cg_describe_function(Cg *c, Val fn);
/* Text that is equal for two kernels exactly when one function serves both. arena. */
const char *cg_kernel_key(Arena *arena, const CgKernel *k);
/* Builds the function of a kernel, an AbiKernel. NULL: no emitter takes it; diag says why. */
Val cg_kernel_function(Cg *c, CgKernel *k, const char *key, Diag *diag);

/* ---- program.c: the tables of AbiProgram, gathered ------------------------------------------- */
#define CG_PROGRAM_SYMBOL "ssmc_abi_program" /* const AbiProgram, exported by every module */

typedef struct {
    Val run; /* AbiStep.run is a function of the module, not yet an address; NULL: it is launched */
    AbiStep row;
} CgStep;

typedef struct {
    Arena *arena;
    Diag *diag;
    const Machine *machine;
    AbiProgram abi; /* texts, counts, sizes and ranges; pointers to tables stay NULL */
    CgStep *steps;
    AbiOperand *operands;
    AbiWeight *weights;
    AbiState *states;
    AbiLaunch *launches;
    AbiEntry *entries;
    AbiInput *inputs;
    AbiOutput *outputs;
    int64_t *params; /* by number of its expression: in the program's parameters; -1: no kernel
                      * makes it (yet) */
    int nparams;
    int cap_steps, cap_operands, cap_weights, cap_states, cap_launches, cap_params;
    int cap_entries, cap_inputs, cap_outputs;
    bool params_only; /* nothing runs after loading, so nothing chooses among logits either */
    /* Numbered as the rows are: equal ones of two graphs are one. Weights by tensor and type,
     * states, inputs and outputs by name, parameters by the expressions that make them. */
    Texts weight_names, state_names, input_names, output_names, param_texts;
    const Graph *graph; /* the one being gathered */
    int *param_of;      /* by value id of that graph: 1 + index in params; 0: not looked at yet */
} CgProgram;

/* Adds a graph's states, inputs and outputs, and the entry that it becomes, which is the next; each
 * graph once. False: a fault is in diag. */
bool cg_program_graph(CgProgram *p, const Graph *g);
/* The kernels that follow are of this graph. */
void cg_program_turn(CgProgram *p, const Graph *g);
/* Whether everything an init kernel makes is made by an earlier one (of another graph). */
bool cg_program_has(CgProgram *p, const CgKernel *k);
/* A step of a kernel: its code here, or run NULL and the number of its launch. */
bool cg_program_step(CgProgram *p, const CgKernel *k, Val run, int launch);
int cg_program_launch(CgProgram *p, const AbiLaunch *launch); /* its number */

/* Of the expressions that make the parameters, and of their places. */
uint64_t cg_program_params_hash(const CgProgram *p);

/* ---- tables.c -------------------------------------------------------------------------------- */
/* Adds the program as the constant CG_PROGRAM_SYMBOL. */
void cg_tables(Cg *c, const CgProgram *p);
/* Constants of a module; aot.c makes tables, too. */
Val cg_const_i32(Cg *c, int64_t n);
Val cg_const_global(Cg *c, Val data, const char *name); /* private; its address */
Val cg_const_text(Cg *c, const char *text, size_t len); /* NUL-terminated; its address */
/* Rows of one type as a private array; its address, NULL when there are none. */
Val cg_const_table(Cg *c, Val *rows, int count, const char *name);

/* ---- jit.c ----------------------------------------------------------------------------------- */
/* Links a module for one symbol of it. As cg_jit, but the module stays the caller's. */
CgJit *cg_jit_symbol(Arena *arena, CgModule *module, const char *symbol, int threads,
                     const char **why);
void *cg_jit_address(const CgJit *jit); /* of that symbol */

/* ---- perf_map.c ------------------------------------------------------------------------------ */
bool cg_perf_map_wanted(void); /* SSMC_PERF_MAP=1 */
/* Appends the functions of an object linked as `program` to /tmp/perf-PID.map. */
void cg_perf_map(const StrBuf *object, const AbiProgram *program);

#endif
