/* bench/ssd.c -- the SSD by itself: a graph of one ssd op, and the time its kernel takes. */
#include <string.h>

#include "bench/bench.h"

/* Any rows do: what a model's in_proj would give comes from a table by id. x, B and C pass through
 * a convolution as in a model, so that they lie where and as they lie there: columns of one matrix,
 * just written by threads that divided its columns. */
static const char *
scan_graph(Arena *arena, const BenchSsd *z)
{
    const long long D = z->channels, N = z->state;
    return arena_printf(arena,
                        "graph \"scan\" model {\n"
                        "  weights \"init:reference\"\n"
                        "  block %lld\n"
                        "  rows 1\n"
                        "  input ids: i32[T]\n"
                        "  weight table: f32[%d,%lld] init=normal_embed\n"
                        "  weight dt_bias: f32[%lld] init=dt_bias\n"
                        "  weight A_log: f32[%lld,%lld] init=a_log_states\n"
                        "  weight D: f32[%lld] init=ones\n"
                        "  state s: f32[%lld,%lld]\n"
                        "  all = embed(ids, table)\n"
                        "  x, steps, z, B, C = split(all) {sizes=[%lld, %lld, %lld, %lld, %lld]}\n"
                        "  dt = softplus(steps + dt_bias)\n"
                        "  A = transpose(-exp(A_log))\n"
                        "  y = selective_scan(x, dt, A, B, C, D, s)\n"
                        "  gated = y * silu(z)\n"
                        "  out = take(gated)\n"
                        "  output out\n"
                        "}\n",
                        (long long)z->block, BENCH_SSD_IDS, 3 * D + 2 * N, D, D, N, D, N, D, D, D,
                        D, N, N);
}

static const char *
ssd_graph(Arena *arena, const BenchSsd *z)
{
    const long long inner = z->heads * z->head_dim, shared = z->groups * z->state;
    const long long heads = z->heads, mixed = inner + 2 * shared;
    return arena_printf(
        arena,
        "graph \"ssd\" model {\n"
        "  weights \"init:reference\"\n"
        "  block %lld\n"
        "  rows 1\n"
        "  input ids: i32[T]\n"
        "  weight table: f32[%d,%lld] init=normal_embed\n"
        "  weight conv.weight: f32[%lld,1,4] init=uniform_fan_in\n"
        "  weight conv.bias: f32[%lld] init=zeros\n"
        "  weight dt_bias: f32[%lld] init=dt_bias\n"
        "  weight A_log: f32[%lld] init=a_log\n"
        "  weight D: f32[%lld] init=ones\n"
        "  state c: f32[3,%lld]\n"
        "  state s: f32[%lld,%lld,%lld]\n"
        "  all = embed(ids, table)\n"
        "  xbc, steps = split(all) {sizes=[%lld, %lld]}\n"
        "  taps = conv1d(xbc, conv.weight, conv.bias, c)\n"
        "  mixed = silu(taps)\n"
        "  x, B, C = split(mixed) {sizes=[%lld, %lld, %lld]}\n"
        "  late = add(steps, dt_bias)\n"
        "  dt = softplus(late)\n"
        "  y = ssd(x, dt, A_log, B, C, D, s) {heads=%lld, head_dim=%lld, groups=%lld, "
        "state=%lld}\n"
        "  normed = rmsnorm(y) {eps=1e-5}\n" /* so that y is stored as in a model */
        "  out = take(normed)\n"
        "  output out\n"
        "}\n",
        (long long)z->block, BENCH_SSD_IDS, mixed + heads, mixed, mixed, heads, heads, heads, mixed,
        heads, (long long)z->state, (long long)z->head_dim, mixed, heads, inner, shared, shared,
        heads, (long long)z->head_dim, (long long)z->groups, (long long)z->state);
}

int
bench_ssd_open(Job *job, Arena *arena, const Settings *settings, const BenchSsd *size,
               BenchSsdRun *run)
{
    Settings s = *settings;
    Diag *diag = diag_new();
    Source *source = arena_alloc(arena, sizeof *source);
    const char *text = size->channels > 0 ? scan_graph(arena, size) : ssd_graph(arena, size);
    *source = (Source){.path = s.model, .text = text, .len = strlen(text)};
    s.graph = graph_parse(arena, source, diag);
    diag_free(diag);
    if (!s.graph)
        die("bench/ssd.c: %s", text);
    int status = job_describe(job, arena, &s);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    run->program = rt_program_abi(job->program);
    memcpy(run->graph, job->graph, sizeof run->graph);
    run->logits = arena_array(arena, (size_t)ssmc_model_vocab(job->model), sizeof(float));
    const ssmc_status rs = ssmc_session_open(job->model, 1, job->threads, &run->session);
    return rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(s.listener, rs);
}

void
bench_ssd_close(Job *job, BenchSsdRun *run)
{
    ssmc_session_close(run->session);
    job_end(job);
}

/* [nsteps] whether a step is the recurrence. Of either phase: a prompt of one token runs decode. */
static const bool *
recurrent_steps(Arena *arena, const BenchSsdRun *run)
{
    bool *is = arena_array(arena, (size_t)run->program->nsteps + 1, sizeof *is);
    for (int phase = 0; phase < ABI_PHASES; phase++) {
        const Kernel *const *kernels =
            step_kernels(arena, run->graph[phase], run->program, (AbiPhaseId)phase);
        for (int i = 0; i < run->program->nsteps; i++) {
            const Op op = kernels[i] ? kernel_op(kernels[i]) : OP_COUNT;
            is[i] = is[i] || (op < OP_COUNT && op_info[op].cls == CLASS_RECURRENT);
        }
    }
    return is;
}

/* What those steps have taken since the session was opened. */
static double
recurrent_seconds(const BenchSsdRun *run, const bool *steps)
{
    double sum = 0;
    for (int i = 0; i < run->program->nsteps; i++)
        sum += steps[i] ? rt_session_step_seconds(run->session, i) : 0;
    return sum;
}

/* Short calls are repeated until the clock can tell. */
static ssmc_status
one_prefill(BenchSsdRun *run, const bool *steps, const int32_t *ids, int64_t tokens,
            double *seconds)
{
    enum { TOKENS_A_POINT = 1024 };
    const int64_t calls = tokens >= TOKENS_A_POINT ? 1 : TOKENS_A_POINT / tokens;
    const double before = recurrent_seconds(run, steps);
    ssmc_status rs = ssmc_reset(run->session, 0);
    for (int64_t i = 0; i < calls && rs == SSMC_OK; i++)
        rs = ssmc_prefill(run->session, 0, ids, tokens, run->logits);
    *seconds = (recurrent_seconds(run, steps) - before) / (double)calls;
    return rs;
}

ssmc_status
bench_ssd_time(BenchSsdRun *run, int64_t tokens, BenchSample *out)
{
    double seconds[BENCH_MAX_REPEATS], warm = 0;
    Arena *arena = arena_new();
    int32_t *ids = arena_array(arena, (size_t)tokens, sizeof *ids);
    const bool *steps = recurrent_steps(arena, run);
    /* Ids below the width of y, which stands for logits here. */
    const int64_t vocab = run->program->vocab;
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(i % (vocab < BENCH_SSD_IDS ? vocab : BENCH_SSD_IDS));
    rt_session_profile(run->session, true);
    ssmc_status rs = one_prefill(run, steps, ids, tokens, &warm);
    for (int r = 0; r < run->repeats && rs == SSMC_OK; r++)
        rs = one_prefill(run, steps, ids, tokens, &seconds[r]);
    arena_free(arena);
    if (rs == SSMC_OK)
        *out = bench_times(seconds, run->repeats);
    return rs;
}
