/* driver/driver.h -- private to driver/: options, the way from MODEL to a running session. */
#ifndef SSMC_DRIVER_DRIVER_H
#define SSMC_DRIVER_DRIVER_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include "passes/pass.h"
#include "runtime/rt.h"
#include "tokenizer/tokenizer.h"

/* Exit statuses (ssmc help). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };

/* ---- options -------------------------------------------------------------------------------- */

typedef enum {
#define OPTION(id, text, letter, kind, arg, preset, commands, doc) OPT_##id,
#include "driver/options.def"
#undef OPTION
    OPT_COUNT
} OptId;

typedef enum { OK_FLAG, OK_TEXT, OK_INT, OK_NUM, OK_LIST } OptKind;

typedef struct {
    const char *name; /* first: nearest_name reads it */
    char letter;
    OptKind kind;
    const char *arg, *preset, *commands, *doc;
} OptInfo;
extern const OptInfo opt_info[OPT_COUNT];

typedef struct {
    bool given;
    const char *text; /* NULL: neither given nor preset */
    int64_t i;
    double num;
    const char **list; /* LIST: count texts */
    int count, cap;
} OptValue;

typedef struct Options Options;
typedef int Command(Options *o);
typedef struct {
    const char *name;
    Command *run;
    const char *args, *doc;
} CommandInfo;
extern const CommandInfo command_info[];
extern const int command_count;
#define COMMAND(id, args, doc) Command cmd_##id;
#include "driver/commands.def"
#undef COMMAND

struct Options {
    Arena *arena;
    const CommandInfo *command;
    const char *model; /* the argument that is no option; NULL when not given */
    bool asks_help;    /* --help or -h, wherever it stands */
    StrBuf *faults;    /* what goes wrong with a job is put there; NULL: printed */
    bool quiet;        /* another job of the same model prints the notes */
    OptValue value[OPT_COUNT];
};

/* Reads argv after the command's name. False: the fault has been printed. */
bool options_parse(Options *o, int argc, char **argv);
bool asks_help(const char *arg);
bool has_suffix(const char *path, const char *suffix);
bool takes_model(const char *command); /* options marked "*" belong to those */
bool option_belongs(OptId id, const char *command);
void options_print(const char *command);       /* the list of its options, on stdout */
extern const char help_model[], help_status[]; /* what MODEL may be, and exit statuses */
const char *opt_text(const Options *o, OptId id);
bool opt_given(const Options *o, OptId id);

/* WORD(enumerator, word): options of words.def whose word's place is an enumerator. */
#define MODES(WORD) WORD(MODE_PREFILL, "prefill") WORD(MODE_STEP, "step") WORD(MODE_SPLIT, "split")
#define TUNINGS(WORD)                                                                              \
    WORD(TUNE_AUTO, "auto") WORD(TUNE_SHIPPED, "shipped") WORD(TUNE_EXHAUSTIVE, "exhaustive")
#define HOLDS(WORD)               WORD(HOLD_NONE, "none") WORD(HOLD_PARAMS, "params") WORD(HOLD_STATE, "state")
#define WORD_ENUMERATOR(id, word) id,
#define WORD_TEXT(id, word)       [id] = word,
typedef enum { MODES(WORD_ENUMERATOR) } Mode;            /* --mode */
typedef enum { TUNINGS(WORD_ENUMERATOR) } Tuning;        /* --tune */
typedef enum { HOLDS(WORD_ENUMERATOR) HOLD_COUNT } Hold; /* --hold */

/* What an option's argument may be (words.def). */
typedef enum { WORDS_NONE, WORDS_SOME, WORDS_LIST, WORDS_ONE } OptWords;
OptWords option_words(OptId id, const char **words); /* WORDS_NONE: *words is NULL */
/* The next of words separated by spaces; *at moves over it. False: there is none. */
bool word_next(const char **at, const char **word, size_t *len);
bool option_allows(OptId id, const char *text);   /* true of options that are no WORDS_ONE */
const char *option_wants(Arena *arena, OptId id); /* "a, b or c" */
int opt_word(const Options *o, OptId id);         /* of WORDS_ONE: which word, in their order */

/* Whether the file that an option names could be written, before long work is done for it. False:
 * the fault has been printed. */
bool output_possible(const Options *o, OptId id);
/* Says that an option is needed or wrong, with how it is used; returns EXIT_BAD_INPUT. */
int option_fault(const Options *o, OptId id, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The options of sampling, checked. False: the fault has been printed. */
bool sampling_from(const Options *o, ssmc_sampling *how);
/* --threads where no description has a say; an exit status. */
int threads_from(const Options *o, int *threads);

/* Whole numbers of an option. */
enum { MAX_LIST = 32 };
typedef struct {
    int64_t n[MAX_LIST];
    int count;
} IntList;
/* Separated by commas, each from `least` to `most`; "" is none. False: the fault has been printed.
 */
bool list_parse(const Options *o, OptId id, int64_t least, int64_t most, IntList *out);
/* Those of --threads, 0 being all cores; the model is then loaded with the most of them. Not given:
 * none. */
bool list_threads(Options *o, int most, IntList *out);

/* ---- messages -------------------------------------------------------------------------------- */

/* First of all: a standard file that is closed stays unusable, and is not the next file opened. */
void standard_files(void);
const char *program_name(void);                    /* ssmc, or what a compiled program was called */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);  /* a line on stderr */
void note(const char *fmt, ...) PRINTF_LIKE(1, 2); /* "ssmc: note: ..." */
int fault(int status, const char *fmt, ...) PRINTF_LIKE(2, 3); /* "ssmc: ..."; returns status */
/* Prints a runtime failure; BAD_ARGUMENT and BAD_FILE are the user's: EXIT_BAD_INPUT. */
int runtime_fault(ssmc_status status);
void warn_of_cache(const ssmc_model *model); /* that --pack-cache could not be used, if so */
int diag_fault(Diag *diag); /* prints everything collected; returns EXIT_BAD_INPUT */
void notes_say(Diag *diag); /* prints the notes collected, and forgets them */
/* The same of a job, to where its options say that faults go. */
int job_fault(const Options *o, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
int job_runtime_fault(const Options *o, ssmc_status status);
int job_diag_fault(const Options *o, Diag *diag);
/* Prints the notes of a job that goes on, once. */
void job_notes(const Options *o, Diag *diag);
/* Whether MODEL may be a description or a checkpoint directory. EXIT_BAD_INPUT: it is something
 * else, as was said. */
int model_is_readable(const Options *o);

/* Writes a file whole or not at all, a pipe or a device straight. False: *why says it (arena). */
bool file_write(Arena *arena, const char *path, const void *data, size_t len, const char **why);

/* A bar on a terminal, nothing elsewhere. */
typedef struct {
    const char *what;
    bool shown;
    double started, drawn;
} Progress;
Progress progress_start(const char *what);
void progress_step(Progress *p, int64_t done, int64_t total);
void progress_end(Progress *p);
ssmc_progress progress_call; /* user: a Progress */

/* ---- from MODEL to a running model -------------------------------------------------------- */

typedef struct {
    Options *o;
    Arena *arena;
    Diag *diag;
    FeModel fe;
    const int32_t *eos; /* ids that end a text, neos of them */
    size_t neos;
    Machine machine;        /* the one compiled for, or of the variant that runs */
    CostMeasured *measured; /* [nmeasured] forms of this model, on the machine; arena */
    int nmeasured, cap_measured;
    const Machine *machines; /* of --cpu, in its order; arena */
    int nmachines;
    ssmc_library *library; /* of a compiled MODEL, and its data; else NULL */
    const AbiCompiled *compiled;
    const AbiVariant *variant;
    ssmc_weights *weights;
    bool whole_weights; /* weights by rules are made at once: somebody reads them */
    Graph *graph[2];    /* prefill and decode, after their pipelines */
    CgModule *module;
    CgJit *jit;
    ssmc_program *program;
    ssmc_model *model;
    int threads;
    int64_t parameters;
    StrBuf explain[2];
    double seconds_load, seconds_compile;
} Job;

/* Each step needs the one before it; each returns an exit status and has printed what went wrong.
 */
int job_describe(Job *job, Options *o); /* MODEL -> graph, stage MODEL */
/* The same of a model's YAML; no option counts. */
int job_describe_text(Job *job, Options *o, const char *yaml);
/* What follows is for that machine: code, and the constants that choices are made by. */
void job_machine(Job *job, const Machine *machine);
/* The same, and --cpu may name several CPUs. */
int job_describe_many(Job *job, Options *o);
/* The same, but MODEL may be compiled (.so): there is no graph then, and only what runs it works:
 * job_tokenizer and job_run. */
int job_describe_any(Job *job, Options *o);
/* Opens or makes weights and types the graph's weights by them. values false: only types and shapes
 * will be looked at, so weights without a checkpoint are not made. */
int job_weights(Job *job, bool values);
int job_passes(Job *job, Phase phase);
int job_measure(Job *job); /* --tune exhaustive: job->measured, before the passes of prefill */
/* Threads that predictions are for. How many a named CPU will have is not known here: what is made
 * for one must not depend on the machine that makes it. */
int job_cost_threads(const Job *job);
int job_check_passes(Job *job);
/* whether every pass that an option names is known */ /* graph[phase] through its pipeline */
int job_module(Job *job);                              /* both graphs -> LLVM module */
int job_program(Job *job); /* after job_weights: all of the above, and the JIT's program */
int job_model(Job *job);   /* after job_program: packed parameters */
int job_run(Job *job);     /* all of the above */
void job_end(Job *job);

/* ---- constants of predictions (costs_file.c) ------------------------------------------------ */

/* Takes the constants that were measured for the machine from the cache folder, if they are there;
 * a note says where there is a file that cannot be used. */
void costs_load(Arena *arena, Machine *machine);
const char *costs_path(Arena *arena, const Machine *machine); /* NULL: no folder is known */
/* Makes the folders above such a file. False: *why. */
bool costs_folder(Arena *arena, const char *path, const char **why);
/* Writes machine->costs. False: *why. */
bool costs_write(Arena *arena, const char *path, const Machine *machine, const char **why);

/* ---- compiled models (compiled.c) --------------------------------------------------------- */

/* An option that was given and says how to compile, --cpu and --threads aside; OPT_COUNT: none. */
OptId job_compile_option(const Options *o);
bool is_compiled(const char *path); /* by its name */
int compiled_load(Job *job);        /* MODEL -> job->compiled and variant */
int compiled_run(Job *job);         /* what job_run does for one */
void compiled_end(Job *job);

/* Weights of the graph <-> tensors of the checkpoint: types and names; every fault goes to diag,
 * and a note on whatever is not as the description says. BIND_UNTIED: the tensors fit, but fe->tied
 * is there and differs from what serves in its place: the model must be described untied. */
typedef enum { BIND_DONE, BIND_FAULT, BIND_UNTIED } BindResult;
BindResult bind_weights(Graph *g, ssmc_weights *weights, const FeModel *fe, Diag *diag);
WeightSource weight_source(ssmc_weights *weights);

/* Whole stdin (malloc'd in the arena). */
bool read_stdin(Arena *arena, char **text, size_t *len);
/* Ids of a text by the model's tokenizer; prints the fault. */
int job_tokenizer(Job *job, Tokenizer **out);
int encode_text(const Tokenizer *tok, const char *what, const char *text, size_t len, int32_t **ids,
                size_t *count);

/* ssmc bench --ssd H,P,N,G: a table of the forms of one SSD by tokens. */
int bench_ssd_forms(Options *o);
int bench_scan(Options *o); /* driver/bench_scan.c */
/* ssmc bench --figure F: forms by length and state size, as a page and as CSV. */
int bench_figure(Options *o);

#endif
