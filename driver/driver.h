/* driver/driver.h -- private to driver/: options, messages, MODEL as the options say it. */
#ifndef SSMC_DRIVER_DRIVER_H
#define SSMC_DRIVER_DRIVER_H

#include "compiler/compiler.h"

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
    const char *name, *args, *doc; /* name first: nearest_name reads it */
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
    OptValue value[OPT_COUNT];
};

/* Reads argv after the command's name. False: the fault has been printed. */
bool options_parse(Options *o, int argc, char **argv);
bool asks_help(const char *arg);
bool takes_model(const char *command); /* options marked "*" belong to those */
bool option_belongs(OptId id, const char *command);
void options_print(const char *command);       /* the list of its options, on stdout */
extern const char help_model[], help_status[]; /* what MODEL may be, and exit statuses */
const char *opt_text(const Options *o, OptId id);
bool opt_given(const Options *o, OptId id);

/* MODE(enumerator, word): --mode. */
#define MODES(MODE)               MODE(MODE_PREFILL, "prefill") MODE(MODE_STEP, "step") MODE(MODE_SPLIT, "split")
#define MODE_ENUMERATOR(id, word) id,
typedef enum { MODES(MODE_ENUMERATOR) } Mode;

/* What an option's argument may be (words.def). */
typedef enum { WORDS_NONE, WORDS_SOME, WORDS_LIST, WORDS_ONE } OptWords;
OptWords option_words(OptId id, const char **words); /* WORDS_NONE: *words is NULL */
/* The next of words separated by spaces; *at moves over it. False: there is none. */
bool word_next(const char **at, const char **word, size_t *len);
int word_index(OptId id, const char *text);       /* which of its words text is; -1: none */
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
/* --context; an exit status. */
int context_from(const Options *o, int64_t *tokens);

/* Separated by commas, each from `least` to `most`; "" is none. False: the fault has been printed.
 */
bool list_parse(const Options *o, OptId id, int64_t least, int64_t most, IntList *out);
/* Those of --threads, 0 being all cores. Not given: none. */
bool list_threads(const Options *o, int most, IntList *out);
int list_most(const IntList *list); /* 0: it is empty */
void list_settle(IntList *list);    /* ascending, each once */

/* ---- messages -------------------------------------------------------------------------------- */

/* First of all: a standard file that is closed stays unusable, and is not the next file opened. */
void standard_files(void);
const char *program_name(void);                    /* ssmc, or what a compiled program was called */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);  /* a line on stderr */
void note(const char *fmt, ...) PRINTF_LIKE(1, 2); /* "ssmc: note: ..." */
int fault(int status, const char *fmt, ...) PRINTF_LIKE(2, 3); /* "ssmc: ..."; returns status */
/* Prints a runtime failure; BAD_ARGUMENT and BAD_FILE are the user's: EXIT_BAD_INPUT. */
int runtime_fault(ssmc_status status);
int diag_fault(Diag *diag); /* prints everything collected; returns EXIT_BAD_INPUT */
void notes_say(Diag *diag); /* prints the notes collected, and forgets them */
/* A bar on a terminal, nothing elsewhere. */
typedef struct {
    const char *what;
    bool shown;
    double started, drawn;
} Progress;
Progress progress_start(const char *what);
void progress_step(Progress *p, int64_t done, int64_t total);
void progress_end(Progress *p);

/* ---- MODEL (settings.c) ---------------------------------------------------------------------- */

/* What the compiler tells, as messages on stderr and as a bar. */
const Listener *console(Arena *arena);
/* The options as settings; an exit status: the fault has been printed. */
int settings_from(const Options *o, Settings *out);
int settings_of(const Options *o, const char *model, Settings *out); /* of what has no path */
/* --device says another than the CPU. */
bool on_device(const Options *o);
/* The options as settings where --threads is a list: the model gets the most of them. */
int settings_with_threads(const Options *o, const IntList *threads, Settings *out);
/* job_describe with what only a command can say; many: --cpu may name several CPUs. Jobs begin as
 * zeros; job_end in any case. */
int model_describe_by(Job *job, const Options *o, const Settings *settings, bool many);
int model_describe(Job *job, const Options *o);     /* by the options, for one CPU */
int model_describe_any(Job *job, const Options *o); /* MODEL may also be compiled */
/* --cpu and --device where no description has a say. False: the fault has been printed. */
bool machine_from(const Options *o, Machine *machine);

/* Whole stdin (malloc'd in the arena). */
bool read_stdin(Arena *arena, char **text, size_t *len);
/* Ids of a text; prints the fault. */
int encode_text(const Tokenizer *tok, const char *what, const char *text, size_t len, int32_t **ids,
                size_t *count);

/* Settings of one SSD by itself, with --cpu and --threads; an exit status. */
int ssd_settings(const Options *o, Settings *out);
/* ssmc bench --ssd or --delta H,P,N,G, whose option `mixer` is: a table of its forms by tokens. */
int bench_forms(const Options *o, OptId mixer);
int bench_scan(const Options *o); /* driver/bench_scan.c */
/* ssmc bench --ssd, --delta, --scan, --attend on a device: each by tokens and batch, in one pass.
 */
int bench_mixers(const Options *o);
/* ssmc bench --figure F: forms by length and state size, as a page and as CSV. */
int bench_figure(const Options *o);

#endif
