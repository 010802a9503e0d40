/* bench/tune_tiles.c -- which tiles multiply projections of many rows fastest on a GPU: models of
 * two layers, compiled with each tile in turn, their projections timed by the device's clock.
 *
 * Only tiles of the method that products.def names are tried: they give the same bits. Of each rule
 * of it the product becomes what is fastest with the most rows, and the small one what is with the
 * fewest. */
#include <math.h>
#include <string.h>

#include "bench/tune.h"

enum { REPEATS = 5, LAYERS = 2 };

/* Two widths of published models: 130m's and 2.7b's. */
const int64_t tune_tile_dims[TUNE_TILE_DIMS] = {768, 2560};
const int64_t tune_tile_rows[TUNE_TILE_ROWS] = {512, 2048, 8192};

/* ---- running ----------------------------------------------------------------------------- */

static void
add_point(TuneTiles *t, const Kernel *k, const Product *tile, int64_t rows, double seconds)
{
    const Node *n = k->anchor;
    const TilePoint point = {.type = node_operand(n, 'x')->type.dtype,
                             .inputs = type_width(&node_operand(n, 'x')->type),
                             .outputs = type_width(&n->out[0]->type),
                             .rows = rows,
                             .tile = tile,
                             .seconds = seconds};
    for (int i = 0; i < t->count; i++) { /* layers are alike */
        TilePoint *p = &t->points[i];
        if (p->tile == tile && tile_points_alike(p, &point)) {
            p->seconds = fmin(p->seconds, seconds);
            return;
        }
    }
    VEC_PUSH(t->arena, t->points, t->count, t->cap, point);
}

bool
tile_points_alike(const TilePoint *a, const TilePoint *b)
{
    return a->type == b->type && a->inputs == b->inputs && a->outputs == b->outputs &&
           a->rows == b->rows;
}

/* What partition gave a product, in the layers. */
static bool
is_projection(const Graph *g, const Kernel *k)
{
    return k && !kernel_is_head(g, k) && attrs_find(&k->attrs, ATTR_product) != NULL;
}

static ssmc_status
run_rows(TuneTiles *t, Job *job, ssmc_session *session, const Product *tile, int64_t rows)
{
    const Graph *g = job->graph[ENTRY_prefill];
    const AbiProgram *abi = rt_program_abi(job->program);
    const Kernel *const *kernels = step_kernels(job->arena, g, abi);
    int32_t *ids = arena_array(job->arena, (size_t)rows, sizeof *ids);
    double *before = arena_array(job->arena, (size_t)abi->nsteps, sizeof *before);
    ssmc_status rs = SSMC_OK;
    for (int r = 0; r <= REPEATS && rs == SSMC_OK; r++) {
        for (int s = 0; s < abi->nsteps; s++)
            before[s] = rt_session_step_seconds(session, s);
        rs = ssmc_prefill(session, 0, ids, rows, NULL);
        for (int s = 0; s < abi->nsteps && r > 0; s++) /* the first warms up */
            if (is_projection(g, kernels[s]))
                add_point(t, kernels[s], tile, rows,
                          rt_session_step_seconds(session, s) - before[s]);
    }
    return rs;
}

static Settings
tile_settings(const TuneTiles *t, const Machine *machine, int64_t dim, Dtype type)
{
    static const char yaml[] = "name: tiles\nvocab: 512\ndim: 768\n"
                               "layers:\n  - {block: mamba2, state: 128, head_dim: 64}\n"
                               "weights: {init: reference, seed: 0}\n";
    Settings settings = settings_new("tiles", t->listener);
    settings.machine = machine;
    settings.yaml = yaml;
    settings.format = type == DTYPE_bf16 ? FORMAT_bf16 : FORMAT_f32;
    settings_over(&settings, "dim", dim);
    settings_over(&settings, "layers.*.repeat", LAYERS);
    settings_over(&settings, "compile.block", t->rows[TUNE_TILE_ROWS - 1]);
    return settings;
}

/* A model whose projections all have the tile. */
static int
run_tile(TuneTiles *t, int64_t dim, Dtype type, const Product *tile)
{
    const ProductRule rule = {PRODUCT_MANY, type, 1, 0, tile, tile};
    Job job = {0};
    Arena *arena = arena_new();
    Machine machine = t->machine;
    ssmc_session *session = NULL;
    machine.gpu.measured = &rule;
    machine.gpu.nmeasured = 1;
    const Settings settings = tile_settings(t, &machine, dim, type);
    int status = job_describe(&job, arena, &settings);
    if (status == EXIT_DONE)
        status = job_run(&job);
    if (status == EXIT_DONE) {
        ssmc_status rs = ssmc_session_open(job.model, 1, job.threads, &session);
        if (rs == SSMC_OK)
            rt_session_profile(session, true);
        for (int i = 0; i < TUNE_TILE_ROWS && rs == SSMC_OK; i++)
            rs = run_rows(t, &job, session, tile, t->rows[i]);
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(t->listener, rs);
    }
    ssmc_session_close(session);
    job_end(&job);
    arena_free(arena);
    return status;
}

/* ---- choosing ---------------------------------------------------------------------------- */

/* Whether a projection has that rule of products.def on this GPU. */
static bool
is_of(const TuneTiles *t, const TilePoint *p, const ProductRule *rule)
{
    Gpu plain = t->machine.gpu;
    plain.nmeasured = 0;
    return p->type == rule->type &&
           product_for(&plain, PRODUCT_MANY, p->type, p->inputs, p->outputs).rule == rule;
}

/* The tile whose times with so many rows have the least product; large: of those that a kernel can
 * have beside it. NULL: nothing was measured. */
static const Product *
fastest(const TuneTiles *t, const ProductRule *rule, int64_t rows, const Product *large)
{
    const Product *best = NULL;
    double least = INFINITY;
    for (const Product *tile = NULL; (tile = product_alike(rule->product, tile));) {
        double sum = 0;
        int count = 0;
        if (large && tile != large && !product_goes_with(tile, large))
            continue;
        for (int i = 0; i < t->count; i++) {
            const TilePoint *p = &t->points[i];
            if (p->tile != tile || p->rows != rows || !is_of(t, p, rule) || p->seconds <= 0)
                continue;
            sum += log(p->seconds);
            count++;
        }
        if (count > 0 && sum / count < least) {
            least = sum / count;
            best = tile;
        }
    }
    return best;
}

void
tune_tiles_choose(TuneTiles *t)
{
    int count = 0;
    const ProductRule *rules = product_rules(&count);
    t->chosen = arena_array(t->arena, (size_t)count, sizeof *t->chosen);
    for (int i = 0; i < count; i++) {
        ProductRule rule = rules[i];
        if (rule.rows != PRODUCT_MANY || !product_rule_fits(&rule, t->machine.gpu.capability))
            continue;
        rule.product = fastest(t, &rules[i], t->rows[TUNE_TILE_ROWS - 1], NULL);
        rule.small = fastest(t, &rules[i], t->rows[0], rule.product);
        if (rule.product && rule.small)
            t->chosen[t->nchosen++] = rule;
    }
}

/* ---- all of it --------------------------------------------------------------------------- */

int
tune_tiles(TuneTiles *t, const int64_t *dims, int ndims)
{
    static const Dtype types[] = {DTYPE_bf16, DTYPE_f32};
    enum { WIDE = 4096 };
    int status = EXIT_DONE;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        const Product *rule =
            product_for(&t->machine.gpu, PRODUCT_MANY, types[i], WIDE, WIDE).product;
        for (const Product *tile = NULL; (tile = product_alike(rule, tile));)
            for (int d = 0; d < ndims && status == EXIT_DONE; d++)
                status = run_tile(t, dims[d], types[i], tile);
    }
    if (status == EXIT_DONE)
        tune_tiles_choose(t);
    return status;
}
