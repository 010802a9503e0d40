/* passes/cost_matrix.c -- work on the matrix unit: of projections, counted as
 * codegen/emit/emit_unit.c does it, and of chunks of an SSD, as codegen/emit/chunked_unit.c and
 * chunked_unit_stage.c do it. Counts are those of one thread. */
#include <math.h>

#include "passes/cost.h"
#include "passes/internal.h"

/* ---- projections --------------------------------------------------------------------------- */

/* Of sums of two bf16 x and the weight have two bytes for each one of bf16, and a step three
 * products in place of one. In a block of rows each panel is walked in runs of steps, and in each
 * run 32 rows at a time have 2 x 2 tiles of sums. Of a block's last 16 rows or fewer only the upper
 * two. Integers are walked once more for the sums of x; a few rows that are staged though x is read
 * in place do not count. */
void
cost_count_matrix(const Machine *m, const CostMatrix *l, double count[COST_STEPS])
{
    enum { COLUMNS = 32, RUN_BYTES = 1024 };
    const int64_t parts = l->triples ? 2 : 1, products = l->triples ? 3 : 1;
    const int64_t half = m->matrix.rows, whole = m->matrix.row_bytes;
    const int64_t bytes = l->inputs * (l->weight == DTYPE_bf16 ? 2 : 1);
    const int64_t depth = l->group % whole ? whole / 2 : whole, steps = (bytes + depth - 1) / depth;
    const int64_t line = steps * depth * parts; /* bytes of a row, or column */
    const int64_t halves = (l->rows + half - 1) / half;
    const int64_t groups = l->group ? steps * depth / l->group : 0;
    const double runs = halves > 2 ? ceil((double)line / RUN_BYTES) : 1;
    const double moves = groups ? (double)groups : 2 * runs - 1; /* of each tile of sums */
    const double sums = l->panels * 2 * (double)halves, vector = m->vector_bytes;
    const double results = l->panels * (double)l->rows * COLUMNS * 4 / vector;
    count[l->weight == DTYPE_bf16 ? COST_matrix_bf16 : COST_matrix_u8] +=
        sums * (double)(steps * depth * products) / (double)whole;
    count[COST_matrix_sums] += sums * moves;
    count[COST_matrix_stage] += l->in_place ? 0 : (double)(l->rows * line) / vector;
    count[COST_matrix_group] += results * (double)groups;
    count[COST_matrix_out] += results;
}

/* ---- chunks -------------------------------------------------------------------------------- */

enum { SIDE = TILE_UNIT_SIDE, STEP = TILE_UNIT_STEP, SQUARE = SIDE * SIDE };

/* Of a chunk of q tokens, in vectors and tiles; a step has two tiles of a chunk's rows. */
typedef struct {
    TileUnit u;
    double q, q_steps, q_tiles;
    double n_row, p_row; /* vectors of a token's row of B or C, and of X */
    double vectors;      /* of a tile of sums */
} Chunk;

/* Of all heads of a group: C read, B turned along N and along Q; C B^T by blocks of 2 x 2 tiles. */
static void
count_group(const Chunk *c, double times, double n[COST_TERMS])
{
    const double blocks = c->q_steps * (c->q_steps + 1) / 2;
    n[COST_stage] += times * 3 * c->q * c->n_row;
    n[COST_transpose] +=
        times * c->q_steps * (double)(c->u.n_tiles + 2 * c->u.n_steps) * c->vectors;
    n[COST_cb] += times * 4 * blocks * (double)c->u.n_steps;
    n[COST_tile] += times * 4 * blocks;
}

/* B h and, of all heads of a group, B B^T. What is solved with them is on vectors (cost_ssd). */
static void
count_solved(const Chunk *c, double heads, double groups, double n[COST_TERMS])
{
    const double blocks = c->q_steps * (c->q_steps + 1) / 2;
    const double said = c->q_tiles * (double)c->u.p_tiles;
    n[COST_cb] += groups * 4 * blocks * (double)c->u.n_steps;
    n[COST_mac] += heads * said * (double)c->u.n_steps;
    n[COST_tile] += groups * 4 * blocks + heads * said;
    n[COST_row] += heads * c->q * c->p_row;
}

/* Of a head: decays, X, Y and the state. Steep decay makes M and a copy of C for each block of rows
 * of Y, and stages X twice. */
static void
count_head(const Chunk *c, double steep, double times, double n[COST_TERMS])
{
    const double rows = (double)c->u.rows, across = (double)c->u.p_tiles;
    const double states = (double)c->u.n_tiles * across;
    for (double i = 0; i < c->q_tiles; i += rows) {
        const double inside = floor((i + rows - 1) / 2) + 1;
        n[COST_mac] += times * rows * across * ((double)c->u.n_steps + inside);
        n[COST_tile] += times * rows * across;
        n[COST_steep] += times * steep * rows * SIDE * (inside * STEP / SIDE + c->n_row);
    }
    n[COST_chunk] += times;
    n[COST_token] += times * c->q;
    n[COST_exp] += times * 2 * c->q_steps * STEP * c->vectors / SQUARE;
    n[COST_row] += times * c->q * c->p_row * (2 + steep);
    n[COST_mac] += times * states * c->q_steps;
    n[COST_tile] += times * 2 * states;
    n[COST_state] += times * states * c->vectors * 1.5; /* f32, and half as much for products */
}

/* C, B and C B^T wait in the second-level cache for the next head, as does what is more of the
 * state than the first level holds beside X. */
static void
count_far(const Machine *m, const Chunk *c, double times, double n[COST_TERMS])
{
    const double vector = m->vector_bytes, tile = TILE_UNIT_BYTES;
    const double share = c->q_steps / (double)c->u.q_steps; /* of what Q tokens have */
    const double shared =
        share * (double)(c->u.c_bytes + c->u.b_bytes) + share * share * (double)c->u.cb_bytes / 2;
    const double state = (double)(c->u.n_tiles * c->u.p_tiles) * tile * 1.5;
    const double beside = c->q_steps * (double)c->u.p_tiles * tile;
    const double over = fmin(fmax(state + beside - (double)m->l1_bytes, 0), state);
    n[COST_far] += times * (shared + over) / vector;
}

void
cost_count_chunk(const Machine *m, const CostChunk *z, double n[COST_TERMS])
{
    const double lanes = (double)machine_lanes(m);
    Chunk c = {.u = tile_unit(m, z->chunk, z->head_dim, z->state, z->block),
               .q = (double)z->tokens,
               .q_steps = (double)((z->tokens + STEP - 1) / STEP),
               .q_tiles = (double)((z->tokens + SIDE - 1) / SIDE),
               .vectors = SQUARE / lanes};
    c.n_row = (double)c.u.n_steps * STEP / lanes;
    c.p_row = (double)c.u.p_tiles * SIDE / lanes;
    count_group(&c, z->groups, n);
    count_head(&c, z->steep, z->heads, n);
    count_far(m, &c, z->heads, n);
    if (z->solves)
        count_solved(&c, z->heads, z->groups, n);
}
