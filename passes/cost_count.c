/* passes/cost_count.c -- the work of an SSD kernel, counted loop by loop as
 * codegen/emit/emit_chunked.c and codegen/emit/scan_resident.c do it. Counts are those of the
 * thread with the most heads. */
#include <math.h>
#include <string.h>

#include "passes/cost.h"
#include "passes/internal.h"

/* What a share of heads does with a run of q tokens at once is counted here. */
typedef struct {
    const Machine *m;
    const CostSsd *z;
    int64_t heads, groups; /* of the thread */
    int64_t lanes;         /* f32 a vector */
    int64_t chunk;         /* Q */
    bool matrix;           /* chunks go through the matrix unit */
    TileChunk shape;
    double *n;
} Count;

static double
per(int64_t n, int64_t of)
{
    return (double)((n + of - 1) / of);
}

/* ---- decay ------------------------------------------------------------------------------- */

/* The share of runs of q tokens whose decay is steep (codegen/emit/decay.h), under the reference
 * initialisation: A uniform in [1, 16], dt log-uniform in [0.001, 0.1]. It is steep where
 * q dt A > 48. */
static double
steep_share(int64_t q)
{
    enum { SAMPLES = 64 };
    const double range = 48, low = 1e-3, high = 1e-1;
    double sum = 0;
    for (int i = 0; i < SAMPLES; i++) {
        const double A = 1 + 15 * (i + 0.5) / SAMPLES;
        const double above = log(high * A * (double)q / range) / log(high / low);
        sum += fmin(fmax(above, 0), 1);
    }
    return sum / SAMPLES;
}

/* ---- caches ------------------------------------------------------------------------------ */

/* Vectors that `times` walks over `bytes` bring from the second-level cache, beside `others` bytes
 * that the first level has to hold as well. */
static double
far_vectors(const Count *c, double bytes, double others, double times)
{
    const double over = fmin(fmax(bytes + others - (double)c->m->l1_bytes, 0), bytes);
    return over * times / c->m->vector_bytes;
}

/* ---- chunks ------------------------------------------------------------------------------ */

static int64_t
units(const Count *c, int64_t elements)
{
    return (elements + c->shape.pairs - 1) / c->shape.pairs;
}

/* A step of a tile: its multiply-adds, or its loads and broadcasts where these are more. */
static double
step(int64_t rows, int64_t vecs)
{
    return (double)(rows * vecs > rows + vecs ? rows * vecs : rows + vecs);
}

/* Vectors of a head's row, padded to whole tiles. */
static double
row_vectors(const Count *c)
{
    return per(c->z->head_dim, c->shape.vecs * c->lanes) * (double)c->shape.vecs;
}

/* C B^T, or B B^T. */
static void
count_products(const Count *c, int64_t q, double times)
{
    double *n = c->n;
    for (int64_t i = 0; i < q; i += c->shape.cb_rows) {
        const double tiles = per(i + c->shape.cb_rows < q ? i + c->shape.cb_rows : q, c->lanes);
        n[COST_cb] += times * tiles * (double)c->shape.n_units * step(c->shape.cb_rows, 1);
        n[COST_tile] += times * tiles;
    }
}

/* For all heads of a group: B and C staged, C B^T. */
static void
count_group(const Count *c, int64_t q, double times)
{
    const CostSsd *z = c->z;
    double *n = c->n;
    n[COST_stage] += times * (double)q * per(z->state, c->lanes) * (c->shape.pairs == 2 ? 3 : 2);
    n[COST_transpose] +=
        times * per(q, c->lanes) * per(c->shape.n_units, c->lanes) * (double)c->lanes;
    for (int twice = 0; twice <= z->solves; twice++)
        count_products(c, q, times);
}

/* Y: tiles of rows, each over the state and the tokens up to its last. */
static void
count_outputs(const Count *c, int64_t q, double times, double steep)
{
    const double columns = per(c->z->head_dim, c->shape.vecs * c->lanes);
    double *n = c->n;
    for (int64_t i = 0; i < q; i += c->shape.rows) {
        const int64_t end = i + c->shape.rows < q ? i + c->shape.rows : q;
        const int64_t steps = c->shape.n_units + units(c, end);
        const double diagonal = (double)c->shape.rows * per(c->shape.rows, c->lanes);
        n[COST_mac] += times * columns * (double)steps * step(c->shape.rows, c->shape.vecs);
        n[COST_tile] += times * columns;
        n[COST_exp] += times * steep * (diagonal + per(i, c->lanes) + per(c->shape.rows, c->lanes));
        n[COST_steep] += times * steep * ((double)c->shape.rows * per(i, c->lanes) + diagonal);
    }
}

/* X that is solved for: tiles of rows in f32, each over the state and the tokens before it, and of
 * its own rows each over those above it; keys once more for the state, and K K^T as C B^T is. */
static void
count_solved(const Count *c, int64_t q, double times)
{
    const TileChunk t = tile_chunk(c->m, false, c->chunk, c->z->head_dim, c->z->state, c->z->block);
    const double columns = per(c->z->head_dim, t.width), row = row_vectors(c);
    double *n = c->n;
    for (int64_t i = 0; i < q; i += t.rows) {
        const double inside = (double)t.rows / 2;
        n[COST_mac] += times * columns * step(t.rows, t.vecs) *
                       ((double)c->shape.n_units + (double)i + 2 * inside);
        n[COST_tile] += times * columns;
    }
    n[COST_row] += times * (double)q * row;
    n[COST_far] += times * far_vectors(c, (double)c->z->state * row * (double)c->m->vector_bytes, 0,
                                       per(q, t.rows));
}

/* What does not stay in the first-level cache while a head has its chunk: the state, read by each
 * tile of rows of Y and changed once, beside half of X; C and B, and the lower half of C B^T, which
 * wait in the second level for the next head. state: vectors. */
static double
head_far(const Count *c, int64_t q, double state)
{
    const double bytes = (double)c->m->vector_bytes;
    const double rows = (double)q * (double)c->shape.n_units * 4;
    const double square = (double)q * (double)units(c, q) * 4;
    const double beside = (double)q * row_vectors(c) * bytes / 2;
    return far_vectors(c, state * bytes, beside, 2 + per(q, c->shape.rows)) +
           (2 * rows + square / 2) / bytes;
}

/* For one head: decays, X, Y, the state. */
static void
count_head(const Count *c, int64_t q, double times)
{
    const CostSsd *z = c->z;
    const double steep = steep_share(q), row = row_vectors(c);
    const double columns = per(z->head_dim, c->shape.vecs * c->lanes);
    const double tiles = columns * per(z->state, c->shape.h_rows);
    const double state = (double)z->state * row, copy = c->shape.pairs == 2 ? state / 2 : 0;
    double *n = c->n;
    n[COST_chunk] += times;
    n[COST_token] += times * (double)q;
    n[COST_exp] += times * (2 * per(q, c->lanes) + 2 + steep * per(q, c->lanes));
    n[COST_row] += times * (double)q * row * (2 + steep);
    count_outputs(c, q, times, steep);
    if (z->solves)
        count_solved(c, q, times);
    n[COST_mac] += times * tiles * (double)units(c, q) * step(c->shape.h_rows, c->shape.vecs);
    n[COST_tile] += times * tiles;
    n[COST_state] += times * (state + copy);
    n[COST_far] += times * head_far(c, q, state + copy);
}

static void
count_chunk(const Count *c, int64_t q, double times)
{
    if (q <= 0)
        return;
    if (c->matrix) {
        const CostChunk z = {q,
                             c->chunk,
                             c->z->head_dim,
                             c->z->state,
                             c->z->block,
                             times * (double)c->heads,
                             times * (double)c->groups,
                             steep_share(q),
                             c->z->solves};
        cost_count_chunk(c->m, &z, c->n);
        return;
    }
    count_group(c, q, times * (double)c->groups);
    count_head(c, q, times * (double)c->heads);
}

/* ---- the recurrence ---------------------------------------------------------------------- */

static void
count_window(const Count *c, const TileStrip *strip, int64_t q, double times)
{
    if (q <= 0)
        return;
    const CostSsd *z = c->z;
    const double heads = times * (double)c->heads, groups = times * (double)c->groups;
    const double columns = per(z->head_dim, strip->vecs * c->lanes);
    const double row = columns * strip->vecs, state = (double)z->state * row;
    const double bytes = (double)c->m->vector_bytes;
    const int64_t whole = z->state / strip->rows, rest = z->state % strip->rows;
    const double moves = 3 * strip->vecs;
    const double full = fmax(2 * strip->rows * strip->vecs, moves + 2 * strip->rows);
    const double part = rest ? fmax(2 * (double)rest * strip->vecs, moves + 2 * (double)rest) : 0;
    double *n = c->n;
    n[COST_stage] += groups * (double)q * per(z->state, c->lanes) * 2;
    n[COST_chunk] += heads;
    n[COST_token] += heads * (double)q;
    n[COST_exp] += heads * (2 * per(q, c->lanes) + 1);
    n[COST_row] += heads * (double)q * row * 2;
    n[COST_mac] += heads * columns * (double)q * ((double)whole * full + part);
    n[COST_tile] += heads * columns * per(z->state, strip->rows);
    n[COST_state] += heads * state;
    n[COST_far] += heads * far_vectors(c, state * bytes, (double)q * row * 2 * bytes, 2);
}

/* ---- a prompt ---------------------------------------------------------------------------- */

static void
count_pass(Count *c, int64_t rows, double times)
{
    if (rows <= 0 || times <= 0)
        return;
    c->n[COST_call] += times;
    const double vectors = 2 * (double)(rows * c->heads) * per(c->z->head_dim, c->lanes);
    c->n[COST_away] += times * cost_away(c->m, vectors, c->z->threads > 0 ? c->z->threads : 1);
    if (c->z->form == FORM_RECURRENT) {
        const TileStrip strip = tile_strip(c->m, c->z->state, c->z->head_dim);
        count_window(c, &strip, SSD_WINDOW, times * (double)(rows / SSD_WINDOW));
        count_window(c, &strip, rows % SSD_WINDOW, times);
        return;
    }
    count_chunk(c, c->chunk, times * (double)(rows / c->chunk));
    count_chunk(c, rows % c->chunk, times);
    const double spans = per(rows, c->chunk * c->shape.span);
    if (c->shape.pairs == 2 || c->matrix) /* the copy of the state that products read */
        c->n[COST_state] += times * spans * (double)(c->heads * c->z->state) * row_vectors(c) / 2;
}

bool
cost_count(const Machine *machine, const CostSsd *ssd, int64_t tokens, double count[COST_TERMS])
{
    enum { MOST = 1 << 16 }; /* tokens of a chunk: the most that compile.block may say */
    const int64_t threads = ssd->threads > 0 ? ssd->threads : 1;
    const int64_t a_group = ssd->heads / ssd->groups;
    Count c = {.m = machine, .z = ssd, .lanes = machine->vector_bytes / 4, .n = count};
    c.heads = (ssd->heads + threads - 1) / threads;
    c.groups = (c.heads + a_group - 1) / a_group;
    memset(count, 0, COST_TERMS * sizeof *count);
    if (ssd->form != FORM_RECURRENT) {
        c.chunk = ssd->form == FORM_QUADRATIC || ssd->chunk > ssd->block ? ssd->block : ssd->chunk;
        if (c.chunk > MOST)
            return false;
        c.matrix = cost_kind(machine, ssd) == COST_chunked_matrix;
        c.shape = tile_chunk(machine, ssd->bf16, c.chunk, ssd->head_dim, ssd->state, ssd->block);
        if (c.matrix)
            c.shape.span = tile_unit(machine, c.chunk, ssd->head_dim, ssd->state, ssd->block).span;
    }
    count_pass(&c, ssd->block, (double)(tokens / ssd->block));
    count_pass(&c, tokens % ssd->block, 1);
    return true;
}
