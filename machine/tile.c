/* machine/tile.c -- shapes of register tiles (machine/tile.h). */
#include "machine/tile.h"

/* More rows need no more loads than they have FMAs either way, but LLVM spills at 14 x 2; and 12,
 * like the 6 and 4 of wider tiles, divides chunk lengths that are multiples of 24. */
enum { MOST_ROWS = 12, MOST_VECS = 6 };

/* Rows of `vecs` vectors in what `beside` registers leave, from 1 to `most`. */
static int
rows_beside(const Machine *m, int vecs, int beside, int most)
{
    const int rows = (m->vector_registers - beside) / vecs;
    return rows < 1 ? 1 : rows < most ? rows : most;
}

static int64_t
vectors_of(const Machine *m, int64_t width)
{
    const int64_t lanes = machine_lanes(m);
    return (width + lanes - 1) / lanes;
}

/* Registers beside the accumulators; widened: both halves of pairs of bf16. */
static int
beside(const Machine *m, int vecs, bool widened)
{
    return (widened ? 2 * vecs + 2 : vecs + 1) + (m->fma ? 0 : 1);
}

static int
most_rows(int vecs)
{
    return TILE_MOST / vecs < MOST_ROWS ? TILE_MOST / vecs : MOST_ROWS;
}

int
tile_rows(const Machine *m, int vecs, Dtype dtype)
{
    const bool emulated = dtype == DTYPE_bf16 && !m->bf16_dot;
    return rows_beside(m, vecs, beside(m, vecs, emulated), most_rows(vecs));
}

int
tile_vecs(const Machine *m, int64_t width)
{
    const int64_t need = vectors_of(m, width);
    int best = 1;
    int64_t best_padded = need;
    double best_ratio = 0;
    for (int vecs = 1; vecs <= MOST_VECS && vecs <= need; vecs++) {
        const int rows = tile_rows(m, vecs, DTYPE_f32);
        const int64_t padded = round_up(need, vecs);
        const double ratio = (double)(rows * vecs) / (rows + vecs);
        if (padded > best_padded || (padded == best_padded && ratio <= best_ratio))
            continue;
        best = vecs;
        best_padded = padded;
        best_ratio = ratio;
    }
    return best;
}

/* Halves of cycles that a step of the summed index takes, for all rows and vectors: two
 * multiply-adds and two loads a cycle, of which a chain has one in four. */
static int64_t
few_cost(int64_t need, int64_t vecs, int64_t rows, int64_t tiles, bool widened)
{
    const int64_t each = widened ? 2 : 1, chain = 8 * each;
    const int64_t arithmetic = rows * vecs * each + (widened ? 2 * vecs : 0);
    const int64_t loads = vecs + rows * each;
    const int64_t busy = arithmetic > loads ? arithmetic : loads;
    return (need + vecs - 1) / vecs * tiles * (busy > chain ? busy : chain);
}

TileFew
tile_few(const Machine *m, int64_t width, int64_t rows, bool widened)
{
    const int64_t need = vectors_of(m, width);
    TileFew best = {0};
    int64_t least = INT64_MAX;
    double best_ratio = 0;
    for (int vecs = 1; vecs <= need && vecs <= MOST_ROWS; vecs++) {
        const int most = rows_beside(m, vecs, beside(m, vecs, widened), most_rows(vecs));
        const int64_t tiles = (rows + most - 1) / most, even = (rows + tiles - 1) / tiles;
        const int64_t cost = few_cost(need, vecs, even, tiles, widened);
        const bool fits = vecs * even + beside(m, vecs, widened) <= m->vector_registers;
        /* The right side is read once for each tile of rows. */
        const double once = tiles == 1 ? TILE_MOST : 0;
        const double ratio = once + (double)(even * vecs) / (double)(even + vecs);
        if (need % vecs != 0 || (best.vecs && !fits) || cost > least ||
            (cost == least && ratio <= best_ratio))
            continue;
        best = (TileFew){(int)even, vecs};
        least = cost;
        best_ratio = ratio;
    }
    return best;
}

#define ADD(a, b) ((a) + (b))
#define MUL(a, b) ((a) * (b))
#define NUM(n)    (n)

int64_t
tile_grid(int64_t panels, int64_t tiles, int64_t threads)
{
    int64_t best = 1, least = INT64_MAX;
    for (int64_t groups = 1; groups == 1 || (groups <= threads && groups <= tiles); groups++) {
        const int64_t members = threads / groups;
        const int64_t each = (panels + members - 1) / members, rows = (tiles + groups - 1) / groups;
        const int64_t work = TILE_GRID_WORK(ADD, MUL, NUM, each, rows);
        if (threads % groups != 0 || work >= least)
            continue;
        best = groups;
        least = work;
    }
    return best;
}

TileStrip
tile_strip(const Machine *m, int64_t state, int64_t head_dim)
{
    const int64_t need = vectors_of(m, head_dim);
    TileStrip strip = {1, 1};
    double best = 0;
    for (int vecs = 1; vecs <= MOST_VECS && vecs <= need; vecs++) {
        const int rows = rows_beside(m, vecs, 2 * vecs + 2, TILE_MOST / vecs);
        const double moves = (double)(3 * vecs + 2 * rows) / (rows * vecs);
        const double cost = (double)round_up(need, vecs) * (1 + moves);
        if (best > 0 && cost >= best)
            continue;
        best = cost;
        strip = (TileStrip){rows < state ? rows : (int)state, vecs};
    }
    return strip;
}

TileChunk
tile_chunk(const Machine *m, bool bf16, int64_t chunk, int64_t head_dim, int64_t states,
           int64_t block)
{
    const Dtype dtype = bf16 ? DTYPE_bf16 : DTYPE_f32;
    const int64_t lanes = machine_lanes(m);
    TileChunk z = {.pairs = bf16 ? 2 : 1, .vecs = tile_vecs(m, head_dim)};
    z.rows = tile_rows(m, z.vecs, dtype);
    z.h_rows = z.rows < z.pairs ? z.pairs : z.rows / z.pairs * z.pairs;
    z.cb_rows = tile_rows(m, 1, dtype);
    z.width = z.vecs * lanes;
    z.x_stride = round_up(head_dim, z.width);
    z.n_units = (states + z.pairs - 1) / z.pairs;
    z.q_units = (chunk + z.pairs - 1) / z.pairs;
    z.c_stride = round_up(z.n_units, lanes);
    z.b_stride = round_up(round_up(states, z.h_rows), lanes);
    z.q_stride = round_up(chunk, lanes) + round_up(z.rows, lanes);
    z.q_rows = round_up(round_up(chunk, z.rows), z.cb_rows);
    z.most = (block + chunk - 1) / chunk;
    const int64_t bytes = 4 * (z.q_rows * z.c_stride + chunk * z.b_stride / z.pairs +
                               z.q_rows * z.q_stride / z.pairs);
    const int64_t fit = m->l2_bytes / 2 / bytes;
    z.span = fit < z.most ? fit : z.most;
    if (z.span < 1)
        z.span = 1;
    return z;
}

/* At least four tiles of sums, for a product takes as long as four begin one after the other; of
 * the eight tiles two are left for right operands. */
TileUnit
tile_unit(const Machine *m, int64_t chunk, int64_t head_dim, int64_t states, int64_t block)
{
    enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP, MOST_COLS = 5 };
    TileUnit u = {.q_steps = (chunk + STEP - 1) / STEP, .n_steps = (states + STEP - 1) / STEP};
    u.q_tiles = 2 * u.q_steps;
    u.n_tiles = (states + SIDE - 1) / SIDE;
    u.p_tiles = (head_dim + SIDE - 1) / SIDE;
    const int64_t blocks = (u.p_tiles + MOST_COLS - 1) / MOST_COLS;
    u.cols = (u.p_tiles + blocks - 1) / blocks;
    u.rows = u.cols > 2 ? 1 : 2;
    u.n_tiles = round_up(u.n_tiles, u.rows);
    u.row_bytes = (u.n_steps | 1) * TILE_UNIT_LINE;
    u.c_bytes = u.q_steps * STEP * u.row_bytes;
    u.b_bytes = 2 * u.n_steps * u.q_steps * TILE_UNIT_BYTES;
    u.cb_bytes = u.q_tiles * u.q_steps * TILE_UNIT_BYTES;
    u.most = (block + chunk - 1) / chunk;
    const int64_t fit = m->l2_bytes / 2 / (u.c_bytes + u.b_bytes + u.cb_bytes);
    u.span = fit < 1 ? 1 : fit < u.most ? fit : u.most;
    return u;
}
