/* bench/mixer.c -- what mixes the tokens of a sequence, by itself: a graph of one SSD, selective
 * scan or attention, and the time that its kernels take. */
#include <math.h>
#include <string.h>

#include "bench/bench.h"

/* Any rows do: what a model's in_proj would give comes from a table by id. x, B and C pass through
 * a convolution as in a model, so that they lie where and as they lie there: columns of one matrix,
 * just written by threads that divided its columns. */
static const char *
scan_graph(Arena *arena, const BenchMixer *z)
{
    const long long D = z->heads * z->head_dim, N = z->state;
    return arena_printf(arena,
                        "graph \"scan\" model {\n"
                        "  weights \"init:reference\"\n"
                        "  block %lld\n"
                        "  rows 1\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
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
                        "  out = take(gated, pick)\n"
                        "  output out\n"
                        "}\n",
                        (long long)z->block, BENCH_MIXER_IDS, 3 * D + 2 * N, D, D, N, D, N, D, D, D,
                        D, N, N);
}

static const char *
ssd_graph(Arena *arena, const BenchMixer *z)
{
    const long long inner = z->heads * z->head_dim, shared = z->groups * z->state;
    const long long heads = z->heads, mixed = inner + 2 * shared;
    return arena_printf(
        arena,
        "graph \"ssd\" model {\n"
        "  weights \"init:reference\"\n"
        "  block %lld\n"
        "  rows 1\n"
        "  input ids: i32[T]\n  input pick: i32[R]\n"
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
        "  out = take(normed, pick)\n"
        "  output out\n"
        "}\n",
        (long long)z->block, BENCH_MIXER_IDS, mixed + heads, mixed, mixed, heads, heads, heads,
        mixed, heads, (long long)z->state, (long long)z->head_dim, mixed, heads, inner, shared,
        shared, heads, (long long)z->head_dim, (long long)z->groups, (long long)z->state);
}

static const char *
delta_graph(Arena *arena, const BenchMixer *z)
{
    const long long inner = z->heads * z->head_dim, shared = z->groups * z->state;
    const long long heads = z->heads, mixed = inner + 2 * shared, N = z->state, P = z->head_dim;
    return arena_printf(
        arena,
        "graph \"delta\" model {\n"
        "  weights \"init:reference\"\n"
        "  block %lld\n"
        "  rows 1\n"
        "  input ids: i32[T]\n  input pick: i32[R]\n"
        "  weight table: f32[%d,%lld] init=normal_embed\n"
        "  weight conv.weight: f32[%lld,1,4] init=uniform_fan_in\n"
        "  weight dt_bias: f32[%lld] init=dt_bias\n"
        "  weight A_log: f32[%lld] init=a_log\n"
        "  state c: f32[3,%lld]\n"
        "  state s: f32[%lld,%lld,%lld]\n"
        "  all = embed(ids, table)\n"
        "  qkv, steps, writes = split(all) {sizes=[%lld, %lld, %lld]}\n"
        "  taps = conv1d(qkv, conv.weight, _, c)\n"
        "  mixed = silu(taps)\n"
        "  q, k, v = split(mixed) {sizes=[%lld, %lld, %lld]}\n"
        "  late = add(steps, dt_bias)\n"
        "  dt = softplus(late)\n"
        "  A = exp(A_log)\n"
        "  forgets = mul(dt, A)\n"
        "  g = neg(forgets)\n"
        "  b = sigmoid(writes)\n"
        "  y = delta(q, k, v, g, b, s) {heads=%lld, head_dim=%lld, groups=%lld, state=%lld, "
        "scale=%.17g, eps=1e-6}\n"
        "  normed = rmsnorm(y) {eps=1e-5}\n" /* so that y is stored as in a model */
        "  out = take(normed, pick)\n"
        "  output out\n"
        "}\n",
        (long long)z->block, BENCH_MIXER_IDS, mixed + 2 * heads, mixed, heads, heads, mixed, heads,
        N, P, mixed, heads, heads, shared, shared, inner, heads, P, (long long)z->groups, N,
        1 / sqrt((double)N));
}

/* As many heads of keys and values as of queries. */
static const char *
attention_graph(Arena *arena, const BenchMixer *z)
{
    const long long H = z->heads, P = z->head_dim, W = H * P;
    return arena_printf(arena,
                        "graph \"attention\" model {\n"
                        "  weights \"init:reference\"\n"
                        "  block %lld\n"
                        "  rows 1\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight table: f32[%d,%lld] init=normal_embed\n"
                        "  state keys: f32[S,%lld]\n"
                        "  state values: f32[S,%lld]\n"
                        "  all = embed(ids, table)\n"
                        "  q, k, v = split(all) {sizes=[%lld, %lld, %lld]}\n"
                        "  K = keep(k, keys)\n"
                        "  V = keep(v, values)\n"
                        "  y = attention(q, K, V) {heads=%lld, head_dim=%lld, groups=%lld, "
                        "scale=%.17g}\n"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n",
                        (long long)z->block, BENCH_MIXER_IDS, 3 * W, W, W, W, W, W, H, P, H,
                        1 / sqrt((double)P));
}

static const struct {
    const char *name; /* also of its graph, where a fault is told of it */
    const char *(*graph)(Arena *arena, const BenchMixer *size);
    unsigned counted; /* bit 1 << class of the kernels that are its work */
    bool sized;       /* its state has a size N */
} mixers[MIXER_COUNT] = {
    [MIXER_SSD] = {"ssd",            ssd_graph,       1u << CLASS_RECURRENT, true },
    [MIXER_DELTA] = {"delta",          delta_graph,     1u << CLASS_RECURRENT, true },
    [MIXER_SCAN] = {"selective_scan", scan_graph,      1u << CLASS_RECURRENT, true },
    [MIXER_ATTENTION] = {"attention",      attention_graph,
                   1u << CLASS_ATTEND | 1u << CLASS_LAYOUT /* keep */,       false},
};

const char *
bench_mixer_name(MixerKind kind)
{
    return mixers[kind].name;
}

bool
bench_mixer_has_size(MixerKind kind)
{
    return mixers[kind].sized;
}

int
bench_mixer_open(Job *job, Arena *arena, const Settings *settings, const BenchMixer *size,
                 BenchMixerRun *run)
{
    Settings s = *settings;
    s.model = bench_mixer_name(size->kind);
    Diag *diag = diag_new();
    Source *source = arena_alloc(arena, sizeof *source);
    const char *text = mixers[size->kind].graph(arena, size);
    *source = (Source){.path = s.model, .text = text, .len = strlen(text)};
    s.graph = graph_parse(arena, source, diag);
    diag_free(diag);
    if (!s.graph)
        die("bench/mixer.c: %s", text);
    int status = job_describe(job, arena, &s);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    run->kind = size->kind;
    run->program = rt_program_abi(job->program);
    memcpy(run->graph, job->graph, sizeof run->graph);
    run->sequences = size->sequences > 0 ? size->sequences : 1;
    const size_t vocab = (size_t)ssmc_model_vocab(job->model);
    run->logits = arena_array(arena, (size_t)run->sequences, vocab * sizeof(float));
    const ssmc_status rs =
        ssmc_session_open_for(job->model, run->sequences, job->threads,
                              size->room > 0 ? size->room : SSMC_ROOM, &run->session);
    return rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(s.listener, rs);
}

void
bench_mixer_close(Job *job, BenchMixerRun *run)
{
    ssmc_session_close(run->session);
    job_end(job);
}

static bool
is_mixer(const BenchMixerRun *run, const Kernel *k)
{
    const Op op = k ? kernel_op(k) : OP_COUNT;
    return op < OP_COUNT && (mixers[run->kind].counted >> op_info[op].cls & 1);
}

/* [nsteps] whether a step is the mixer's. Of every entry: a prompt of one token runs decode. */
static const bool *
mixer_steps(Arena *arena, const BenchMixerRun *run)
{
    bool *is = arena_array(arena, (size_t)run->program->nsteps + 1, sizeof *is);
    for (int entry = 0; entry < ENTRY_COUNT; entry++) {
        const Kernel *const *kernels = step_kernels(arena, run->graph[entry], run->program);
        for (int i = 0; i < run->program->nsteps; i++)
            is[i] = is[i] || is_mixer(run, kernels[i]);
    }
    return is;
}

/* What those steps have taken since the session was opened. */
static double
mixer_seconds(const BenchMixerRun *run, const bool *steps)
{
    double sum = 0;
    for (int i = 0; i < run->program->nsteps; i++)
        sum += steps[i] ? rt_session_step_seconds(run->session, i) : 0;
    return sum;
}

/* From their start, since what attention takes grows with the tokens before. */
static ssmc_status
one_call(BenchMixerRun *run, ssmc_input *inputs, int batch)
{
    ssmc_status rs = SSMC_OK;
    for (int i = 0; i < batch && rs == SSMC_OK; i++)
        rs = ssmc_reset(run->session, i);
    return rs == SSMC_OK ? ssmc_feed(run->session, inputs, batch) : rs;
}

/* Short calls are repeated until the clock can tell. */
static ssmc_status
one_time(BenchMixerRun *run, const bool *steps, ssmc_input *inputs, int batch, double *seconds)
{
    enum { TOKENS_A_POINT = 1024 };
    const int64_t tokens = batch * inputs[0].count;
    const int64_t calls = tokens >= TOKENS_A_POINT ? 1 : TOKENS_A_POINT / tokens;
    const double before = mixer_seconds(run, steps);
    ssmc_status rs = SSMC_OK;
    for (int64_t i = 0; i < calls && rs == SSMC_OK; i++)
        rs = one_call(run, inputs, batch);
    *seconds = (mixer_seconds(run, steps) - before) / (double)calls;
    return rs;
}

/* The first run, which finds caches and pages cold, counts only where there is time for no other.
 */
static ssmc_status
all_times(BenchMixerRun *run, const bool *steps, ssmc_input *inputs, int batch, BenchSample *out)
{
    double seconds[BENCH_MAX_REPEATS] = {0};
    const double end = run->seconds > 0 ? rt_now() + run->seconds : INFINITY;
    ssmc_status rs = one_time(run, steps, inputs, batch, &seconds[0]);
    int count = 0;
    while (rs == SSMC_OK && count < run->repeats && rt_now() < end)
        rs = one_time(run, steps, inputs, batch, &seconds[count++]);
    if (rs == SSMC_OK)
        *out = bench_times(seconds, count > 0 ? count : 1);
    return rs;
}

ssmc_status
bench_mixer_time(BenchMixerRun *run, int64_t tokens, int batch, BenchSample *out)
{
    Arena *arena = arena_new();
    int32_t *ids = arena_array(arena, (size_t)tokens, sizeof *ids);
    ssmc_input *inputs = arena_array(arena, (size_t)batch, sizeof *inputs);
    /* Ids below the width of y, which stands for logits here. */
    const int64_t vocab = abi_logits(run->program)->width;
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(i % (vocab < BENCH_MIXER_IDS ? vocab : BENCH_MIXER_IDS));
    for (int i = 0; i < batch; i++)
        inputs[i] = (ssmc_input){i, ids, tokens, 1, run->logits + i * vocab};
    rt_session_profile(run->session, true);
    const ssmc_status rs = all_times(run, mixer_steps(arena, run), inputs, batch, out);
    arena_free(arena);
    return rs;
}

/* ---- the least it can take ------------------------------------------------------------------ */

BenchFloor
bench_mixer_floor(const BenchMixerRun *run, const Machine *machine, const BenchCeilings *ceilings,
                  int64_t tokens, int batch)
{
    const Graph *g = run->graph[ENTRY_prefill];
    double memory = 0, all = 0;
    for (int i = 0; i < g->nkernels; i++) {
        const Kernel *k = g->kernels[i];
        if (kernel_is_init(g, k) || !is_mixer(run, k))
            continue;
        const BenchWork work = bench_kernel_work(g, k, tokens * batch, batch, 0);
        const BenchFloor floor = bench_kernel_floor(machine, ceilings, k, &work);
        memory += floor.bytes ? floor.seconds : 0;
        all += floor.seconds;
    }
    return (BenchFloor){all, 2 * memory >= all};
}
