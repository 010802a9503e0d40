/* passes/cost_attention.c -- work of attention, counted as codegen/emit/emit_attention.c,
 * attend_sums.c and attend_unit.c have their loops. Counts are those of one thread. */
#include <math.h>

#include "passes/cost.h"
#include "passes/internal.h"

enum { STEP = TILE_ATTEND_STEP };

/* Scores of a thread's heads. Each block of tokens, or band of one, goes through the past up to its
 * own last token in whole steps, so that half a block and half a step are counted that no token
 * looks at; where there is a window, as much at its other end. */
static double
count_scores(const CostAttention *z, double together)
{
    const double rows = (double)z->rows, window = (double)z->window;
    const double each = (double)z->heads / (double)z->groups; /* rows of Q a token */
    const double most = fmax(floor(together / each), 1);
    const double block = z->single ? 1 : fmin(most, rows);
    const double end = (block + STEP) / 2, all = (double)z->past + (rows + 1) / 2;
    const double seen = window > 0 && window < all ? window + 2 * end : all + end;
    return (double)z->heads * rows * seen / z->threads;
}

/* By tiles of 16 x 16 sums: Q K^T has a product for each 32 channels, P V one for each 32 tokens,
 * and its sums are fetched and stored once a step; V has a column of ones. */
static void
count_unit(const Machine *m, const CostAttention *z, double count[COST_STEPS])
{
    const double side = (double)m->matrix.rows, pairs = (double)m->matrix.row_bytes / 2;
    const double each = (double)z->heads / (double)z->groups, tall = 2 * side;
    const double padded = z->single ? ceil(each / tall) * tall / each : 1;
    const double scores = padded * count_scores(z, TILE_ATTEND_BAND);
    const double channels = ceil((double)z->head_dim / pairs);
    const double across = ceil((double)z->value_dim / side) + 1;
    const double tiles = scores / (side * side);
    count[COST_matrix_bf16] += tiles * channels + scores / (side * pairs) * across;
    count[COST_matrix_sums] += tiles + 2 * scores / (side * STEP) * across;
    count[COST_matrix_attend] += scores / (double)machine_lanes(m);
}

/* Keys and values of a thread's heads: of single tokens all of them come from memory. */
static double
count_read(const Machine *m, const CostAttention *z)
{
    const double bytes = (double)(z->head_dim + z->value_dim) * (z->bf16 ? 2 : 4);
    const double tokens = count_scores(z, TILE_ATTEND_ROWS) / (double)z->heads * (double)z->groups;
    return z->single ? tokens * bytes / m->vector_bytes : 0;
}

void
cost_count_attention(const Machine *m, const CostAttention *z, double count[COST_STEPS])
{
    count[COST_read] += count_read(m, z);
    if (z->unit) {
        count_unit(m, z, count);
        return;
    }
    const bool pairs = z->bf16 && !z->widened;
    const double lanes = (double)machine_lanes(m), scores = count_scores(z, TILE_ATTEND_ROWS);
    const double products = scores * (double)(z->head_dim + z->value_dim) / lanes;
    count[pairs ? COST_linear_bf16 : COST_linear_f32] += pairs ? products / 2 : products;
    count[COST_attend] += scores / lanes;
}
