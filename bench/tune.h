/* bench/tune.h -- measuring the constants of machine/cost.h on this machine. */
#ifndef SSMC_BENCH_TUNE_H
#define SSMC_BENCH_TUNE_H

#include "bench/bench.h"
#include "machine/product.h"

/* One measured SSD: what it was, what it took, and what its work counts to. */
typedef struct {
    BenchMixer size;
    CostSsd cost;
    bool vectors; /* on the machine without its matrix unit */
    CostKind kind;
    int64_t tokens;
    double seconds;
    double count[COST_TERMS];
} TunePoint;

typedef struct {
    Arena *arena;
    const Listener *listener; /* of progress; faults of models go there too */
    Settings settings;        /* of every model: the machine with its shipped constants, threads */
    Machine machine;          /* its costs are what is measured */
    int threads;
    TunePoint *points;
    int count, cap;
} Tune;
/* t->machine; vectors: without its matrix unit, as a process sees it that may not use the unit. */
Machine tune_machine(const Tune *t, bool vectors);
/* The settings of a model, whose machine is `machine` with its shipped constants. */
Settings tune_settings(const Tune *t, bool vectors, Machine *machine);
void tune_begin(Tune *t, Arena *arena, const Machine *machine, int threads,
                const Listener *listener);

/* An SSD of the designed set: `inner` channels, every n-th chunk length. */
typedef struct {
    int64_t inner, head_dim, state, groups;
    int every;
} TuneSize;
extern const TuneSize tune_sizes[];
extern const int tune_size_count;

/* Runs every size in each form and fits machine.costs.term; an exit status. */
int tune_ssd(Tune *t, const TuneSize *sizes, int count);
/* Runs so many equal layers in every format and fits machine.costs.step. */
int tune_layers(Tune *t, int layers);
enum { TUNE_LAYERS = 12 }; /* their weights are more than caches keep */
double tune_predicted(const Tune *t, const TunePoint *p); /* seconds, by machine.costs */
/* Relative errors of the points of a kind; how many. */
int tune_errors(const Tune *t, CostKind kind, double *errors);

/* ---- tiles of a GPU (tune_tiles.c) ----------------------------------------------------------- */

/* A projection that was measured with one of the tiles. */
typedef struct {
    Dtype type; /* of x */
    int64_t inputs, outputs, rows;
    const Product *tile;
    double seconds; /* the least */
} TilePoint;

/* Of one projection and number of rows. */
bool tile_points_alike(const TilePoint *a, const TilePoint *b);

enum { TUNE_TILE_DIMS = 2, TUNE_TILE_ROWS = 3 };
typedef struct {
    Arena *arena;
    const Listener *listener;
    Machine machine;     /* with a GPU, by the rules of products.def */
    const int64_t *rows; /* [TUNE_TILE_ROWS], rising */
    TilePoint *points;
    int count, cap;
    ProductRule *chosen; /* in the place of rules of products.def */
    int nchosen;
} TuneTiles;
extern const int64_t tune_tile_dims[TUNE_TILE_DIMS], tune_tile_rows[TUNE_TILE_ROWS];
/* Models of these widths with each tile; an exit status. */
int tune_tiles(TuneTiles *t, const int64_t *dims, int ndims);
void tune_tiles_choose(TuneTiles *t); /* its last step: what the points say */

#endif
