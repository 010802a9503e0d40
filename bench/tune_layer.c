/* bench/tune_layer.c -- one layer in every format: what its kernels besides the SSD take. */
#include <string.h>

#include "bench/tune.h"

enum { REPEATS = 5, MOST_ROWS = 512, LAYER_TOKENS = 256 };

static const int64_t tokens_list[] = {LAYER_TOKENS, 64};

/* Rows of the fit: a kernel and a number of tokens. */
typedef struct {
    double count[MOST_ROWS * COST_STEPS];
    double measured[MOST_ROWS];
    int rows;
} Rows;

/* Every kind of projection once. */
typedef struct {
    Format format;
    const char *matmul;
} Layer;

static const Layer layer_kinds[] = {
    {FORMAT_f32,  "emitted"},
    {FORMAT_f32,  "blas"   },
    {FORMAT_f16,  "emitted"},
    {FORMAT_bf16, "emitted"},
    {FORMAT_int8, "emitted"},
    {FORMAT_int4, "emitted"},
};

static const char layer[] = "name: layer\nvocab: 512\ndim: 768\nlayers:\n"
                            "  - {block: mamba2, state: 64, head_dim: 64}\n"
                            "weights: {init: reference, seed: 0}\n";

/* The kernel of the layers with that name; NULL: it is an SSD, whose constants are fitted apart. */
static const Kernel *
kernel_named(const Graph *g, const char *name, int threads)
{
    CostSsd ssd;
    for (int i = 0; i < g->nkernels; i++) {
        const Kernel *k = g->kernels[i];
        if (strcmp(k->name, name) == 0 && !kernel_is_init(g, k) && !kernel_is_head(g, k))
            return cost_kernel_ssd(g, k, threads, &ssd) ? NULL : k;
    }
    return NULL;
}

/* A row for each kernel of the layer. before: seconds of each step until now. */
static void
add_rows(const Tune *t, const Job *job, const ssmc_session *session, int64_t tokens,
         const double *before, Rows *rows)
{
    const Graph *g = job->graph[PHASE_PREFILL];
    const AbiProgram *abi = rt_program_abi(job->program);
    const AbiRange layers = abi->phase[ABI_PREFILL].layers;
    for (int s = layers.first; s < layers.first + layers.count; s++) {
        const Kernel *k = kernel_named(g, abi->steps[s].name, t->threads);
        const double seconds = (rt_session_step_seconds(session, s) - before[s]) / REPEATS;
        double *count = &rows->count[rows->rows * COST_STEPS];
        if (!k || seconds <= 0 || rows->rows == MOST_ROWS)
            continue;
        cost_kernel_count(&t->machine, g, k, tokens, t->threads, count);
        count[COST_read] = 0; /* these weights stay in caches */
        rows->measured[rows->rows++] = 1e9 * seconds;
    }
}

static ssmc_status
run_layer(const Tune *t, Job *job, ssmc_session *session, Rows *rows)
{
    static int32_t ids[LAYER_TOKENS];
    const AbiProgram *abi = rt_program_abi(job->program);
    double *before = arena_array(job->arena, (size_t)abi->nsteps, sizeof *before);
    float *logits = arena_array(job->arena, (size_t)abi->vocab, sizeof *logits);
    ssmc_status rs = SSMC_OK;
    rt_session_profile(session, true);
    for (size_t i = 0; i < COUNT_OF(tokens_list) && rs == SSMC_OK; i++) {
        rs = ssmc_prefill(session, 0, ids, tokens_list[i], logits); /* warms up */
        for (int s = 0; s < abi->nsteps; s++)
            before[s] = rt_session_step_seconds(session, s);
        for (int r = 0; r < REPEATS && rs == SSMC_OK; r++)
            rs = ssmc_prefill(session, 0, ids, tokens_list[i], logits);
        add_rows(t, job, session, tokens_list[i], before, rows);
    }
    return rs;
}

static int
run_kind(const Tune *t, const Layer *kind, Rows *rows)
{
    Job job = {0};
    Arena *arena = arena_new();
    Settings settings = t->settings;
    ssmc_session *session = NULL;
    settings.yaml = layer;
    settings.format = kind->format;
    settings.matmul = kind->matmul;
    settings_over(&settings, "compile.block", LAYER_TOKENS);
    int status = job_describe(&job, arena, &settings);
    if (status == EXIT_DONE)
        status = job_run(&job);
    if (status == EXIT_DONE) {
        ssmc_status rs = ssmc_session_open(job.model, 1, job.threads, &session);
        if (rs == SSMC_OK)
            rs = run_layer(t, &job, session, rows);
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(t->listener, rs);
    }
    ssmc_session_close(session);
    job_end(&job);
    arena_free(arena);
    return status;
}

/* Nanoseconds in which one of all threads reads a vector. */
static int
measure_read(Tune *t)
{
    const char *why = NULL;
    BenchProbes *probes = bench_probes_open(t->arena, &t->machine, t->threads, &why);
    if (!probes)
        return tell_fault(t->listener, EXIT_FAILED, "%s", why);
    const BenchCeilings c = bench_ceilings(probes, t->threads);
    bench_probes_close(probes);
    t->machine.costs.step[COST_read] = t->machine.vector_bytes * t->threads / c.read.median;
    return EXIT_DONE;
}

int
tune_layer(Tune *t)
{
    Rows *rows = arena_alloc(t->arena, sizeof *rows);
    int status = EXIT_DONE;
    for (size_t i = 0; i < COUNT_OF(layer_kinds) && status == EXIT_DONE; i++)
        status = run_kind(t, &layer_kinds[i], rows);
    if (status != EXIT_DONE)
        return status;
    const BenchFit fit = {rows->rows, COST_STEPS, rows->count, rows->measured};
    bench_fit(&fit, t->machine.costs.step);
    return measure_read(t);
}
