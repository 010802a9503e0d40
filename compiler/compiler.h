/* compiler/compiler.h -- the compiler as a library: a description and settings in, a program and a
 * running model out. It prints nothing: a Listener is told what there is to say. */
#ifndef SSMC_COMPILER_COMPILER_H
#define SSMC_COMPILER_COMPILER_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include "passes/pass.h"
#include "runtime/rt.h"
#include "tokenizer/tokenizer.h"

/* How a step ends: done, or after a fault of the system or of the input, of which the listener was
 * told. The values are the exit statuses of the commands. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };

/* ---- the listener (tell.c) --------------------------------------------------------------------
 */

typedef enum {
    TOLD_fault, /* a sentence without its line's end */
    TOLD_note,
    TOLD_faults, /* lines with their places in the input */
    TOLD_notes,
    TOLD_passes /* lines: graphs after passes, times, checks */
} Told;

typedef struct {
    void (*tell)(void *user, Told kind, const char *text);
    /* NULL: not wanted. total 0: it is over. */
    void (*progress)(void *user, const char *what, int64_t done, int64_t total);
    void *user;
} Listener;

int tell_fault(const Listener *to, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
int tell_runtime_fault(const Listener *to, ssmc_status status); /* as ssmc_error says it */
int tell_faults(const Listener *to, Diag *diag); /* all that were collected; EXIT_BAD_INPUT */
void tell_notes(const Listener *to, Diag *diag); /* those collected, which are forgotten */
void tell_text(const Listener *to, Told kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
void tell_progress(const Listener *to, const char *what, int64_t done, int64_t total);
/* BAD_ARGUMENT, BAD_FILE and IO are the user's: EXIT_BAD_INPUT. */
int runtime_exit(ssmc_status status);

/* Writes a file whole or not at all, a pipe or a device straight. False: *why says it (arena). */
bool file_write(Arena *arena, const char *path, const void *data, size_t len, const char **why);

/* ---- settings (describe.c) ------------------------------------------------------------------ */

/* WORD(enumerator, word): where the constants are from that forms are chosen by. */
#define TUNINGS(WORD)                                                                              \
    WORD(TUNE_AUTO, "auto") WORD(TUNE_SHIPPED, "shipped") WORD(TUNE_EXHAUSTIVE, "exhaustive")
#define TUNING_ENUMERATOR(id, word) id,
typedef enum { TUNINGS(TUNING_ENUMERATOR) } Tuning;

/* A number in the place of a key's of the description: state of every layer is layers.*.state. */
typedef struct {
    const char *key;
    int64_t value;
} Override;
enum { MOST_OVERRIDES = 16 };

/* What is compiled, and how. Typed fields win over `sets`, and these over the description. */
typedef struct {
    const char *model;       /* a path; or the name in messages of one of these: */
    const char *yaml;        /* text of a description */
    Graph *graph;            /* stage MODEL, whose weights are made by rules */
    const char *const *sets; /* nsets texts key=value over the description's keys */
    int nsets;
    Override over[MOST_OVERRIDES];
    int nover;
    bool random_weights; /* by the reference initialisation, whatever the description names */
    Form form;           /* AUTO: as described */
    int64_t chunk;       /* CHUNK_AUTO: as described */
    Format format;       /* FORMAT_COUNT: as described */
    const char *matmul;  /* NULL: as described */
    int threads;         /* 0: one for each core; -1: as described */
    /* NULL: the CPUs that the description names, with the constants that `tune` says. */
    const Machine *machine;
    const char *variant; /* of a compiled model: whose code runs; NULL: the best */
    Tuning tune;
    bool whole_weights;     /* weights by rules are made at once: they are read before packing */
    const char *pack_cache; /* folder; NULL: none */
    PassOptions passes;     /* but for weights and out */
    const Listener *listener;
} Settings;
/* A model as it is described. */
Settings settings_new(const char *model, const Listener *listener);
void settings_over(Settings *settings, const char *key, int64_t value);

/* ---- from MODEL to a running model ---------------------------------------------------------- */

typedef struct {
    Settings settings;
    Arena *arena;
    Diag *diag;
    FeModel fe;
    const int32_t *eos; /* ids that end a text, neos of them */
    size_t neos;
    Machine machine;        /* the one compiled for, or of the variant that runs */
    bool open_block;        /* the description leaves the tokens of a pass to the machine */
    CostMeasured *measured; /* [nmeasured] forms of this model, on the machine; arena */
    int nmeasured, cap_measured;
    const Machine *machines; /* that the description names, in its order; arena */
    int nmachines;
    ssmc_library *library; /* of a compiled MODEL, and its data; else NULL */
    const AbiCompiled *compiled;
    const AbiVariant *variant;
    ssmc_weights *weights;
    Graph *graph[ENTRY_COUNT]; /* after their pipelines */
    CgModule *module;
    CgJit *jit;
    ssmc_program *program;
    ssmc_model *model;
    int threads;
    int64_t parameters;
    StrBuf explain[ENTRY_COUNT];
    double seconds_load, seconds_compile;
} Job;

/* Each step needs the one before it. job_end in any case, also of a Job of zeros. */
int job_describe(Job *job, Arena *arena, const Settings *settings); /* graph, stage MODEL */
/* What compile.device says runs the layers: of `cuda` the GPU that is here, or where there is none
 * the first of gpus.def. False: an unknown word. */
bool machine_device(Machine *machine, const char *word);
/* A compiled model instead: there is no graph, and only job_tokenizer and job_run work. */
int job_load(Job *job, Arena *arena, const Settings *settings);
bool is_compiled(const char *path); /* both by the name */
bool is_text_graph(const char *path);
/* What follows is for that machine: code, and the constants that choices are made by. */
void job_machine(Job *job, const Machine *machine);
/* Opens or makes weights and types the graph's weights by them. values false: only types and shapes
 * will be looked at, so weights without a checkpoint are not made. */
int job_weights(Job *job, bool values);
int job_passes(Job *job, EntryId entry); /* graph[entry] through its pipeline */
int job_module(Job *job);                /* all graphs, to a module of machine code */
int job_program(Job *job);               /* after job_weights: that module as the JIT's program */
int job_model(Job *job);                 /* after job_program: packed parameters */
int job_run(Job *job);                   /* all of it from job_weights on */
void job_end(Job *job);

/* The entry of a program that a graph of it became. */
const AbiEntry *program_entry(const AbiProgram *program, const Graph *g);
/* [nsteps] the kernel of each step of that entry; NULL: a step of something else. */
const Kernel **step_kernels(Arena *arena, const Graph *g, const AbiProgram *program);

/* Threads that predictions are for. How many a named CPU will have is not known here: what is made
 * for one must not depend on the machine that makes it. */
int job_cost_threads(const Job *job);
/* The model's tokenizer (tokenizer.c). */
int job_tokenizer(Job *job, Tokenizer **out);
/* What its files say of conversations (chat.c): chat_template.jinja or tokenizer_config.json beside
 * its tokenizer, or a GGUF file's key-values. Texts lie in the arena; NULL: they say nothing. */
typedef struct {
    const char *template, *path; /* Jinja, and where it was found */
    const char *bos, *eos;       /* texts of those tokens */
} JobChat;
int job_chat(Job *job, const Tokenizer *tok, JobChat *out);
/* Whether MODEL may be a description or a checkpoint directory: what else it is has been told.
 * (kind.c) */
int model_is_readable(Arena *arena, const char *path, const Listener *listener);
/* Elements of all of them; INT64_MAX where that overflows. */
int64_t count_elements(Value *const *values, int count);

/* ---- products (product.c, link.c) ------------------------------------------------------------ */

typedef enum { PRODUCT_obj, PRODUCT_lib, PRODUCT_so, PRODUCT_exe } ProductKind;
typedef struct {
    ProductKind kind;
    bool embed;                   /* weights, packed, go into it; false: it opens files of them */
    const char *out;              /* the file to write */
    const char *header, *depfile; /* a C header, a rule for make and Ninja; NULL: none */
} ProductSettings;
/* After job_describe: a file with the code for every machine of the job, whole or not at all. */
int job_product(Job *job, const ProductSettings *settings);

/* ---- constants of predictions (costs_file.c) ------------------------------------------------ */

/* Takes the constants that were measured for the machine from the cache folder, if they are there;
 * a note says where there is a file that cannot be used. */
void costs_load(Arena *arena, Machine *machine, const Listener *listener);
const char *costs_path(Arena *arena, const Machine *machine); /* NULL: no folder is known */
/* Where a file of that name goes in the user's cache folder, arena; NULL: no folder is known. */
const char *cache_path(Arena *arena, const char *name);
/* Makes the folders above such a file. False: *why. */
bool costs_folder(Arena *arena, const char *path, const char **why);
/* Writes machine->costs. False: *why. */
bool costs_write(Arena *arena, const char *path, const Machine *machine, const char **why);

/* ---- tiles of a GPU's products (tiles_file.c) ----------------------------------------------- */

/* Takes the rules that were measured for code of the machine's GPU from the cache folder, if they
 * are there; a note says where there is a file that cannot be used. */
void tiles_load(Arena *arena, Machine *machine, const Listener *listener);
const char *tiles_path(Arena *arena, const Machine *machine); /* NULL: no folder is known */
/* Writes the rules that machine->gpu has; on: the GPU that they were measured on. False: *why. */
bool tiles_write(Arena *arena, const char *path, const Machine *machine, const char *on,
                 const char **why);

/* ---- weights of the graph and tensors of the checkpoint (bind.c) ------------------------------
 */

/* Types and names; every fault goes to diag, and a note on whatever is not as the description says.
 * BIND_UNTIED: the tensors fit, but fe->tied is there and differs from what serves in its place:
 * the model must be described untied. */
typedef enum { BIND_DONE, BIND_FAULT, BIND_UNTIED } BindResult;
BindResult bind_weights(Graph *g, ssmc_weights *weights, const FeModel *fe, Diag *diag);
WeightSource weight_source(ssmc_weights *weights);

#endif
