/* passes/tile_shape.c -- register tiles as the emitters choose them (passes/tile_shape.h). */
#include "passes/tile_shape.h"

/* CG_TILE_MAX and MOST_ROWS of codegen/. */
enum { MOST_VECTORS = 32, MOST_ROWS = 12, MOST_VECS = 6 };

static int
at_least_one(int rows)
{
    return rows < 1 ? 1 : rows;
}

static int
least(int a, int b)
{
    return a < b ? a : b;
}

int
tile_rows(const PassMachine *m, int vecs, bool bf16)
{
    const bool emulated = bf16 && !m->bf16_dot;
    const int right = emulated ? 2 * vecs : vecs;
    const int left = (emulated ? 2 : 1) + (m->fma ? 0 : 1);
    const int rows = (m->vector_registers - right - left) / vecs;
    return at_least_one(least(rows, least(MOST_VECTORS / vecs, MOST_ROWS)));
}

int
tile_vecs(const PassMachine *m, int64_t width)
{
    const int64_t lanes = m->vector_bytes / 4, need = (width + lanes - 1) / lanes;
    int best = 1;
    int64_t best_padded = need;
    double best_ratio = 0;
    for (int vecs = 1; vecs <= MOST_VECS && vecs <= need; vecs++) {
        const int rows = tile_rows(m, vecs, false);
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

Strip
strip_shape(const PassMachine *m, int64_t state, int64_t head_dim)
{
    const int64_t lanes = m->vector_bytes / 4, need = (head_dim + lanes - 1) / lanes;
    Strip out = {1, 1};
    double best = 0;
    for (int vecs = 1; vecs <= MOST_VECS && vecs <= need; vecs++) {
        const int free = (m->vector_registers - 2 * vecs - 2) / vecs;
        const int rows = at_least_one(least(free, MOST_VECTORS / vecs));
        const double moves = (double)(3 * vecs + 2 * rows) / (rows * vecs);
        const double cost = (double)round_up(need, vecs) * (1 + moves);
        if (best > 0 && cost >= best)
            continue;
        best = cost;
        out = (Strip){rows < state ? rows : (int)state, vecs};
    }
    return out;
}
