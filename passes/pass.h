/* passes/pass.h -- the pass manager and what a pass may know. */
#ifndef SSMC_PASSES_PASS_H
#define SSMC_PASSES_PASS_H

#include "ir/ir.h"
#include "passes/cost.h"

typedef enum {
#define PASS(id, stage, on, numbers, doc) PASS_##id,
#include "passes/passes.def"
#undef PASS
    PASS_COUNT
} PassId;

/* The passes in the order in which they run, for every entry (pipeline.c). */
extern const PassId pipeline[];
extern const int pipeline_count;

typedef struct {
    const Machine *machine; /* that the code is for; its costs predict times */
    bool reproducible;      /* bits must not depend on how a text is split into calls */
    Format format;          /* what projections multiply in */
    int64_t group;          /* inputs that share a scale; 0: a whole row, -1: the format's own */
    Dtype state_dtype;      /* of SSD states from call to call: f32 or bf16 */
    Dtype kept_dtype;       /* of keys and values of attention: f32 or bf16 */
    /* Options: one that says something wins over a node's attributes, and those over tables. */
    int64_t chunk;                /* CHUNK_AUTO, CHUNK_ALL or a length */
    const char *form;             /* auto, recurrent, chunked, quadratic; NULL: auto */
    const char *matmul;           /* auto, emitted or blas; NULL: auto */
    const char *dot;              /* of projections: f32 or bf16x3; NULL: f32 */
    int threads;                  /* that share the work */
    const CostMeasured *measured; /* of SSDs in this very model, [nmeasured]; may be none */
    int nmeasured;
    bool no_blas; /* no choice may be blas: what is compiled must do without OpenBLAS */
    Arena *arena; /* of the compilation */
    Diag *diag;
    StrBuf *explain; /* NULL, or where passes write what they chose and why, one line a choice */
} PassCtx;

typedef struct {
    const char *name;
    Stage after;
    bool on;
    bool rounds;
    bool (*run)(Graph *g, PassCtx *cx);
    const char *doc;
} PassInfo;
extern const PassInfo pass_info[PASS_COUNT];
bool pass_by_name(const char *name, PassId *out);

typedef struct {
    bool off[PASS_COUNT];         /* --skip PASS */
    bool print_after[PASS_COUNT]; /* --print-after PASS|all */
    int stop_after;               /* PassId, or -1 */
    bool verify_each;
    bool check_each;
    bool time_passes;
    const WeightSource *weights; /* for check_each */
    StrBuf *out;                 /* dumps, timings and checks */
} PassOptions;

/* Runs the pipeline over g, for its entry. False: a fault is in cx->diag (the user's), or
 * check_each found a pass that changes the numbers (cx->diag has its name and the difference). */
bool pass_run_pipeline(Graph *g, PassCtx *cx, const PassOptions *options);

/* One line a choice for `ssmc explain`: what, choice, reason. A line that is there already is not
 * repeated: equal layers say the same once. */
void pass_explain(PassCtx *cx, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The passes, one file each. True: changed something. */
#define PASS(id, stage, on, numbers, doc) bool pass_##id(Graph *g, PassCtx *cx);
#include "passes/passes.def"
#undef PASS

#endif
