/* driver/explore.h -- private to driver/: ssmc explore, from its options to its rows. */
#ifndef SSMC_DRIVER_EXPLORE_H
#define SSMC_DRIVER_EXPLORE_H

#include "driver/driver.h"
#include "explore/explore.h"

/* What a run of bench needs to know of a compiled job; threads: the job's. (bench_run.c) */
void bench_run_of(BenchRun *run, const Job *job);

enum { EXPLORE_DECODE = 16 }; /* tokens decoded at a time */

/* ---- what is asked (explore_options.c) ------------------------------------------------------ */

typedef enum { AXIS_state, AXIS_head_dim, AXIS_groups, AXIS_COUNT } Axis;
extern const OptId axis_option[AXIS_COUNT];

typedef enum { FORM_recurrent, FORM_chunked, FORM_quadratic, FORM_COUNT } ExploreForm;
extern const char *const explore_form_name[FORM_COUNT];

typedef struct {
    Options *o;
    Arena *arena;
    IntList axis[AXIS_COUNT]; /* sorted; none: as described */
    IntList chunk, threads, tokens;
    Format formats[FORMAT_COUNT]; /* none: as described */
    int nformats;
    bool form[FORM_COUNT];
    Hold hold;
    double budget; /* seconds; 0: no end */
} Wish;
/* EXIT_DONE, or the fault has been printed. */
int wish_parse(Options *o, Wish *out);

/* ---- points (explore_plan.c) ---------------------------------------------------------------- */

/* A form and chunk length; of the automatic choice that differs from layer to layer, "mixed". */
typedef struct {
    const char *form;
    int64_t chunk; /* -1: none */
    int level;     /* how late */
    bool chosen;   /* the compiler's own */
} Point;

/* Sizes and a type: one set of packed weights. */
typedef struct {
    int64_t size[AXIS_COUNT]; /* -1: as described */
    int64_t inner;            /* that holds what is held; -1: as described */
    Format format;
    int level, number; /* how late it is measured, and among equals */
    const char *why;   /* it cannot be built; NULL */
    ExploreRow base;   /* columns that its rows share */
    Point *points;
    int npoints;
} Group;

typedef struct {
    const Wish *wish;
    Arena *arena;
    Job described; /* the model as it is */
    int threads[BENCH_MAX_THREADS], nthreads;
    const char *weights; /* for --set weights=; NULL: the description's own */
    const char *weights_doc;
    int64_t held;  /* what --hold keeps */
    Group *groups; /* what says most first */
    int ngroups;
} Plan;
/* EXIT_DONE, or the fault has been printed. plan_end in any case. */
int plan_make(const Wish *wish, Plan *out);
void plan_end(Plan *plan);
/* The options of a point's job; point NULL: whatever the compiler chooses. Faults go to `faults`.
 */
Options plan_options(const Plan *plan, const Group *group, const Point *point, Arena *arena,
                     StrBuf *faults);
/* Adds key=value to them. */
void options_set(Options *o, const char *set);
/* What went wrong, on one line: faults without their places. */
const char *plan_why(Arena *arena, const char *faults);
/* The row of a point at a number of threads and a length, without numbers. */
ExploreRow plan_row(const Group *group, const Point *point, int threads, int64_t tokens);

/* ---- the error of a point (explore_error.c) -------------------------------------------------- */

typedef struct Oracle Oracle; /* float64 logits by sizes */
Oracle *oracle_new(Arena *arena, const Plan *plan);
/* error and error_tokens of the row; left empty, with a note in *why, where it cannot be measured.
 */
void oracle_measure(Oracle *oracle, const Group *group, const Point *point, ExploreRow *row,
                    const char **why);

/* ---- a batch of points (explore_batch.c) ----------------------------------------------------- */

typedef struct {
    const Plan *plan;
    BenchProbes *probes;
    const BenchCeilings *ceilings; /* [nthreads] */
    Oracle *oracle;
    BenchRun *anchor; /* measured in turn with every batch; NULL: none */
    ExplorePace pace;
    /* A row has come; false: it cannot be kept, and the run ends. */
    bool (*row)(void *user, const ExploreRow *row);
    void *user;
} Bench;
/* Compiles and measures points of a group in turn. EXIT_DONE, or the fault has been printed. */
int batch_run(const Bench *bench, const Group *group, Point *const *points, int count);

/* The model as it is described, kept for as long as there are batches; NULL: it cannot be built, or
 * has no room. */
typedef struct Anchor Anchor;
Anchor *anchor_open(const Bench *bench);
BenchRun *anchor_run(Anchor *anchor);
void anchor_close(Anchor *anchor);

#endif
