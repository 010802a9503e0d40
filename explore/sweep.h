/* explore/sweep.h -- a sweep over a model: what is asked for, the points that it makes, and running
 * them. */
#ifndef SSMC_EXPLORE_SWEEP_H
#define SSMC_EXPLORE_SWEEP_H

#include "explore/explore.h"

/* ---- what is asked (sweep.c) ----------------------------------------------------------------- */

typedef enum { AXIS_attention, AXIS_state, AXIS_head_dim, AXIS_groups, AXIS_COUNT } Axis;

/* HOLD(enumerator, word): what stays as described while sizes change. */
#define HOLDS(HOLD)               HOLD(HOLD_NONE, "none") HOLD(HOLD_PARAMS, "params") HOLD(HOLD_STATE, "state")
#define HOLD_ENUMERATOR(id, word) id,
typedef enum { HOLDS(HOLD_ENUMERATOR) HOLD_COUNT } Hold;
extern const char *const hold_name[HOLD_COUNT];

typedef struct {
    Arena *arena;
    const Job *described;     /* the model as it is: form, chunk and format left open */
    IntList axis[AXIS_COUNT]; /* ascending; none: as described */
    IntList chunk, threads, tokens;
    Format formats[FORMAT_COUNT]; /* none: as described */
    int nformats;
    bool form[FORMS];
    Hold hold;
    double started, budget;    /* seconds, by rt_now; 0: no end */
    int repeats;               /* passes over every point at most */
    const char *csv, *html;    /* files to write; NULL: none */
    bool resume;               /* goes on with the csv file that is there */
    bool (*interrupted)(void); /* the run is to end */
} Wish;

/* Measures every point that is asked for, and writes the files; the table is of wish->arena. An
 * exit status: faults were told. *made: there is a table. */
int explore_run(const Wish *wish, ExploreTable *table, bool *made);

/* ---- points (plan.c) ------------------------------------------------------------------------- */

enum { EXPLORE_DECODE = 16 }; /* tokens decoded at a time */

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
    int64_t mixers;    /* SSDs, other recurrences and attention: blocks that mix tokens */
    Point *points;
    int npoints;
} Group;

typedef struct {
    const Wish *wish;
    Arena *arena;
    const Job *described;
    int threads[BENCH_MAX_THREADS], nthreads;
    bool random_weights; /* other sizes make other weights */
    const char *weights_doc;
    int64_t held;  /* what wish->hold keeps */
    Group *groups; /* in the order in which they are measured */
    int ngroups;
} Plan;
int plan_make(const Wish *wish, Plan *out); /* an exit status */
/* The settings of a point's job; point NULL: what the compiler chooses. */
Settings plan_settings(const Plan *plan, const Group *group, const Point *point,
                       const Listener *listener);
/* The row of a point at a number of threads and a length, without numbers. */
ExploreRow plan_row(const Group *group, const Point *point, int threads, int64_t tokens);

/* A listener that keeps faults, and passes on what passes print. */
typedef struct {
    Listener listener; /* user: this; it stays where it was made */
    const Listener *to;
    StrBuf text;
} Faults;
void faults_begin(Faults *faults, const Plan *plan);
/* What went wrong, on one line: without places. */
const char *faults_why(Arena *arena, const Faults *faults);

/* ---- the error of a point (error.c) -----------------------------------------------------------
 */

typedef struct Oracle Oracle; /* float64 logits by sizes */
Oracle *oracle_new(Arena *arena, const Plan *plan);
/* error and error_tokens of the row; left empty, with a note in *why, where it cannot be measured.
 */
void oracle_measure(Oracle *oracle, const Group *group, const Point *point, ExploreRow *row,
                    const char **why);

/* ---- a batch of points (batch.c) --------------------------------------------------------------
 */

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
/* Compiles and measures points of a group in turn; an exit status. */
int batch_run(const Bench *bench, const Group *group, Point *const *points, int count);

/* The model as it is described, kept for as long as there are batches; NULL: it cannot be built, or
 * has no room. */
typedef struct Anchor Anchor;
Anchor *anchor_open(const Bench *bench);
BenchRun *anchor_run(Anchor *anchor);
void anchor_close(Anchor *anchor);

#endif
