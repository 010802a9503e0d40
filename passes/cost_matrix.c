/* passes/cost_matrix.c -- the work of projections on the matrix unit, counted as
 * codegen/emit/emit_unit.c does it. Counts are those of one thread. */
#include <math.h>

#include "passes/internal.h"

static const struct {
    Dtype dtype;
    CostStep step;
} matrix_kinds[] = {
    {DTYPE_bf16, COST_matrix_bf16},
    {DTYPE_u8,   COST_matrix_u8  },
    {DTYPE_u4x2, COST_matrix_u4x2},
};

/* Rows go in blocks that half of the second-level cache holds; in a block each panel is walked in
 * runs of steps, and in each run 32 rows at a time have 2 x 2 tiles of sums. Of a block's last 16
 * rows or fewer only the upper two. */
void
cost_count_matrix(const Machine *m, const CostMatrix *l, double count[COST_STEPS])
{
    enum { COLUMNS = 32, RUN_BYTES = 1024 };
    const int64_t half = m->matrix.rows, whole = m->matrix.row_bytes;
    const int64_t bytes = l->inputs * (l->weight == DTYPE_bf16 ? 2 : 1);
    const int64_t depth = l->group % whole ? whole / 2 : whole, steps = (bytes + depth - 1) / depth;
    const int64_t most = m->l2_bytes / 2 / (steps * depth + COLUMNS * 4) / (2 * half) * (2 * half);
    const double blocks = most > 0 ? ceil((double)l->rows / (double)most) : 1;
    const int64_t halves = (l->rows + half - 1) / half;
    const int64_t groups = l->group ? steps * depth / l->group : 0;
    const double runs = halves > 2 ? ceil((double)(steps * depth) / RUN_BYTES) : 1;
    const double moves = groups ? (double)groups : 2 * runs - 1; /* of each tile of sums */
    const double sums = l->panels * 2 * (double)halves, vector = m->vector_bytes;
    const double results = l->panels * (double)l->rows * COLUMNS * 4 / vector;
    for (size_t i = 0; i < COUNT_OF(matrix_kinds); i++)
        if (matrix_kinds[i].dtype == l->weight)
            count[matrix_kinds[i].step] += sums * (double)(steps * depth) / (double)whole;
    count[COST_matrix_sums] += sums * moves;
    count[COST_matrix_stage] += (double)(l->rows * steps * depth) / vector;
    count[COST_matrix_out] += results * (double)((l->direct ? 0 : 1) + groups);
    count[COST_matrix_stream] += blocks * l->panels * (double)(steps * depth) * COLUMNS / vector;
}
