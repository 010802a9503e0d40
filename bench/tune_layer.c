/* bench/tune_layer.c -- a model of equal layers in every format: what its kernels besides the SSD
 * take, weights coming from where they come from in a model. */
#include <string.h>

#include "bench/tune.h"

enum { REPEATS = 3, MOST_ROWS = 8192, LAYER_TOKENS = 512 };

static const int64_t tokens_list[] = {LAYER_TOKENS, 256, 128, 64};

/* Rows of the fit: a kernel and a number of tokens. */
typedef struct {
    double count[MOST_ROWS * COST_STEPS];
    double measured[MOST_ROWS], weight[MOST_ROWS];
    int rows;
} Rows;

#define LAYER(dim, block)                                                                          \
    "name: layer\nvocab: 512\ndim: " dim "\nlayers:\n  - {" block "}\n"                            \
    "weights: {init: reference, seed: 0}\n"
static const char ssd_layer[] = LAYER("768", "block: mamba2, state: 64, head_dim: 64"),
                  wide_layer[] = LAYER("1536", "block: mamba2, state: 128, head_dim: 64"),
                  scan_layer[] = LAYER("768", "block: mamba1, state: 16"),
                  attention_layer[] =
                      LAYER("768", "block: attention, heads: 12, groups: 4, head_dim: 64"),
                  deep_layer[] =
                      LAYER("1536", "block: attention, heads: 12, groups: 4, head_dim: 128");

/* Every kind of projection, those of the matrix unit in two sizes; a recurrence that is no SSD;
 * attention. */
typedef struct {
    Format format;
    bool matrix; /* on the matrix unit; false: on vectors */
    const char *matmul, *yaml;
} Layer;

static const Layer layer_kinds[] = {
    {FORMAT_f32,  false, "emitted", ssd_layer      },
    {FORMAT_f32,  false, "emitted", scan_layer     },
    {FORMAT_f32,  false, "blas",    ssd_layer      },
    {FORMAT_f16,  false, "emitted", ssd_layer      },
    {FORMAT_bf16, false, "emitted", ssd_layer      },
    {FORMAT_int8, false, "emitted", ssd_layer      },
    {FORMAT_int4, false, "emitted", ssd_layer      },
    {FORMAT_bf16, true,  "emitted", ssd_layer      },
    {FORMAT_bf16, true,  "emitted", wide_layer     },
    {FORMAT_int8, true,  "emitted", ssd_layer      },
    {FORMAT_int8, true,  "emitted", wide_layer     },
    {FORMAT_int4, true,  "emitted", ssd_layer      },
    {FORMAT_int4, true,  "emitted", wide_layer     },
    {FORMAT_f32,  false, "emitted", attention_layer},
    {FORMAT_bf16, false, "emitted", attention_layer},
    {FORMAT_bf16, true,  "emitted", attention_layer},
    {FORMAT_bf16, true,  "emitted", deep_layer     },
};

/* A row for each kernel of the layer but an SSD, whose constants are fitted apart; the
 * more of the layer's time it takes, the more it counts. best: seconds of each step. */
static void
add_rows(const Tune *t, const Job *job, int64_t tokens, const double *best, Rows *rows)
{
    const Graph *g = job->graph[ENTRY_prefill];
    const AbiProgram *abi = rt_program_abi(job->program);
    const Kernel *const *kernels = step_kernels(job->arena, g, abi);
    const int first = rows->rows;
    double all = 0;
    for (int s = 0; s < abi->nsteps; s++) {
        CostSsd ssd;
        const Kernel *k = kernels[s];
        double *count = &rows->count[rows->rows * COST_STEPS];
        if (!k || kernel_is_head(g, k) || cost_kernel_ssd(g, k, t->threads, &ssd) || best[s] <= 0 ||
            rows->rows == MOST_ROWS)
            continue;
        cost_kernel_count(&t->machine, g, k, 0, tokens, t->threads, count);
        count[COST_read] = 0; /* it is part of what each kernel takes */
        rows->measured[rows->rows++] = 1e9 * best[s];
        all += 1e9 * best[s];
    }
    for (int r = first; r < rows->rows; r++)
        rows->weight[r] = rows->measured[r] / all;
}

/* Least seconds of each step: what others do to the machine only adds. */
static ssmc_status
run_tokens(Job *job, ssmc_session *session, int64_t tokens, double *best)
{
    static const int32_t ids[LAYER_TOKENS];
    const AbiProgram *abi = rt_program_abi(job->program);
    double *before = arena_array(job->arena, (size_t)abi->nsteps, sizeof *before);
    float *logits = arena_array(job->arena, (size_t)ssmc_model_vocab(job->model), sizeof *logits);
    ssmc_status rs = ssmc_prefill(session, 0, ids, tokens, logits); /* warms up */
    for (int r = 0; r < REPEATS && rs == SSMC_OK; r++) {
        for (int s = 0; s < abi->nsteps; s++)
            before[s] = rt_session_step_seconds(session, s);
        rs = ssmc_prefill(session, 0, ids, tokens, logits);
        for (int s = 0; s < abi->nsteps; s++) {
            const double seconds = rt_session_step_seconds(session, s) - before[s];
            best[s] = r == 0 || seconds < best[s] ? seconds : best[s];
        }
    }
    return rs;
}

static ssmc_status
run_layer(const Tune *t, Job *job, ssmc_session *session, Rows *rows)
{
    const AbiProgram *abi = rt_program_abi(job->program);
    double *best = arena_array(job->arena, (size_t)abi->nsteps, sizeof *best);
    ssmc_status rs = SSMC_OK;
    rt_session_profile(session, true);
    for (size_t i = 0; i < COUNT_OF(tokens_list) && rs == SSMC_OK; i++) {
        rs = run_tokens(job, session, tokens_list[i], best);
        add_rows(t, job, tokens_list[i], best, rows);
    }
    return rs;
}

static int
run_kind(const Tune *t, const Layer *kind, int layers, Rows *rows)
{
    Job job = {0};
    Arena *arena = arena_new();
    Machine machine;
    Settings settings = tune_settings(t, !kind->matrix, &machine);
    ssmc_session *session = NULL;
    settings.yaml = kind->yaml;
    settings.format = kind->format;
    settings.matmul = kind->matmul;
    settings_over(&settings, "layers.*.repeat", layers);
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
tune_layers(Tune *t, int layers)
{
    Rows *rows = arena_alloc(t->arena, sizeof *rows);
    int status = EXIT_DONE;
    const bool matrix = t->machine.matrix.bf16 && t->machine.matrix.i8;
    for (size_t i = 0; i < COUNT_OF(layer_kinds) && status == EXIT_DONE; i++)
        if (matrix || !layer_kinds[i].matrix)
            status = run_kind(t, &layer_kinds[i], layers, rows);
    if (status != EXIT_DONE)
        return status;
    const BenchFit fit = {rows->rows, COST_STEPS, rows->count, rows->measured, rows->weight};
    double step[COST_STEPS];
    bench_fit(&fit, step);
    for (int s = 0; s < COST_STEPS; s++)
        if (matrix || s < COST_matrix_bf16) /* else what was shipped stays */
            t->machine.costs.step[s] = step[s];
    return measure_read(t);
}
