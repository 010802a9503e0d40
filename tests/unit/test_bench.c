/* tests/unit/test_bench.c -- samples, the work that rates are held against, and ssmc bench as its
 * users and their programs call it. No test looks at a time: machines that run tests are busy. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <string.h>

#include "bench/bench.h"
#include "tests/harness.h"

#define ARGS(...) ((const char *const[]){SSMC_BINARY, __VA_ARGS__, NULL})

/* in_proj 32 -> 162, out_proj 64 -> 32, two heads of 32 with 16 states: too few for chunks. */
static const char tiny[] = "name: tiny\nvocab: 64\ndim: 32\nlayers:\n"
                           "  - {block: mamba2, state: 16, head_dim: 32}\n"
                           "weights: {init: reference, seed: 0}\n";

Test(bench, samples)
{
    double times[] = {5, 1, 2, 3, 4};
    const BenchSample t = bench_times(times, 5);
    cr_expect_eq(t.median, 3);
    cr_expect_eq(t.best, 1, "the best time is the smallest");
    cr_expect_float_eq(t.spread, 4.0 / 3, 1e-12);
    double rates[] = {2, 7, 3};
    cr_expect_eq(bench_rates(rates, 3).best, 7, "the best rate is the greatest");
    cr_expect_eq(bench_rates(rates, 0).median, 0);
}

Test(bench, probes_do_the_work_they_count)
{
    Arena *arena = arena_new();
    Machine native;
    CgProbe probe[PROBE_COUNT];
    const char *why = NULL;
    cr_assert(cg_machine(arena, "native", &native, &why), "%s", why);
    CgJit *jit = cg_probes(arena, &native, probe, &why);
    cr_assert_not_null(jit, "%s", why);
    float data[1024];
    for (int id = 0; id < PROBE_COUNT; id++) {
        for (size_t i = 0; i < COUNT_OF(data); i++)
            data[i] = 1.5f;
        if (!probe[id].run)
            continue;
        const int64_t rounds = probe[id].bytes ? (int64_t)sizeof data / probe[id].bytes : 1;
        probe[id].run(2, rounds, data);
        const bool arithmetic = probe[id].bytes == 0;
        cr_expect_eq(data[0] != 1.5f, arithmetic, "%s: only chains leave a result", probe[id].doc);
        cr_expect_eq(data[COUNT_OF(data) - 1], 1.5f, "%s", probe[id].doc);
        cr_expect_gt(probe[id].work, 0);
    }
    cr_expect_not_null(probe[PROBE_f32].run);
    cr_expect_eq(probe[PROBE_update].work, 2 * probe[PROBE_read].work);
    cg_jit_free(jit);
    arena_free(arena);
}

/* How many of the matrix unit's probes there are, with the unit as compile.matrix says. */
static int
matrix_probes(const char *word, const char *cpu)
{
    Arena *arena = arena_new();
    Machine m;
    CgProbe probe[PROBE_COUNT];
    const char *why = NULL;
    cr_assert(cg_machine(arena, cpu, &m, &why), "%s", why);
    cr_assert(machine_matrix(&m, word));
    CgJit *jit = cg_probes(arena, &m, probe, &why);
    cr_assert_not_null(jit, "%s", why);
    const int count = (probe[PROBE_matrix_bf16].run != NULL) + (probe[PROBE_matrix_i8].run != NULL);
    cr_expect_eq(count, m.matrix.model ? 0 : m.matrix.bf16 + m.matrix.i8);
    cg_jit_free(jit);
    arena_free(arena);
    return count;
}

Test(bench, the_matrix_unit_is_probed_where_there_is_one)
{
    matrix_probes("auto", "native");
    cr_expect_eq(matrix_probes("none", "native"), 0);
    cr_expect_eq(matrix_probes("model", "native"), 0, "C functions are no ceiling");
}

Test(bench, ceilings_are_of_the_fastest_unit_for_a_type)
{
    Machine m;
    cr_assert(machine_named("sapphirerapids", &m));
    cr_expect_eq(bench_dot(&m, DTYPE_f32), PROBE_f32);
    cr_expect_eq(bench_dot(&m, DTYPE_bf16), PROBE_matrix_bf16);
    cr_expect_eq(bench_dot(&m, DTYPE_u8), PROBE_matrix_i8);
    cr_assert(machine_matrix(&m, "model"));
    cr_expect_eq(bench_dot(&m, DTYPE_bf16), PROBE_bf16);
    cr_expect_eq(bench_dot(&m, DTYPE_u8), PROBE_i8);
    cr_assert(machine_named("x86-64-v3", &m));
    cr_expect_eq(bench_dot(&m, DTYPE_bf16), PROBE_f32, "pairs are widened");
    BenchCeilings c = {.f32.best = 1, .i8.best = 2, .matrix_bf16.best = 3};
    cr_expect_eq(bench_ceiling_of(&c, PROBE_f32)->best, 1);
    cr_expect_eq(bench_ceiling_of(&c, PROBE_i8)->best, 2);
    cr_expect_eq(bench_ceiling_of(&c, PROBE_matrix_bf16)->best, 3);
}

/* ---- the command ---------------------------------------------------------------------------- */

static void
expect_fault(const char *const *args, const char *says)
{
    CommandResult r = command_run(args, NULL, 0);
    cr_expect_eq(r.status, 2, "status %d: %s", r.status, r.err);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    command_free(&r);
}

Test(bench, bad_options)
{
    expect_fault(ARGS("bench", "m.yaml", "--batch", "0"), "--batch wants up to 32 whole numbers");
    expect_fault(ARGS("bench", "m.yaml", "--batch", "4;16"), "not '4;16'");
    expect_fault(ARGS("bench", "m.yaml", "--prefill", "512,"), "--prefill wants");
    expect_fault(ARGS("bench", "m.yaml", "--threads", "1,many"), "--threads wants");
    expect_fault(ARGS("bench", "m.yaml", "--repeats", "0"), "--repeats must be 1 to");
    expect_fault(ARGS("bench", "m.yaml", "--decode", "-1"), "--decode must be 0 to");
    expect_fault(ARGS("bench", "m.yaml", "--past", "-1"), "--past must be 0 to");
    expect_fault(ARGS("bench", "m.yaml", "--context", "0"), "--context 0 is out of range");
    expect_fault(ARGS("bench", "m.yaml", "--json", "--profile"), "leave --json out");
}

static struct json_object *
get(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    cr_assert(json_object_object_get_ex(object, key, &value), "the JSON lacks '%s'", key);
    return value;
}

static double
number(struct json_object *object, const char *key)
{
    return json_object_get_double(get(object, key));
}

static void
expect_result(struct json_object *r, const char *kind, int batch, const char *share)
{
    cr_expect_str_eq(json_object_get_string(get(r, "kind")), kind);
    cr_expect_str_eq(json_object_get_string(get(r, "dtype")), "f32");
    cr_expect_eq(number(r, "batch"), batch);
    cr_expect_eq(number(r, "threads"), 1);
    cr_expect_gt(number(r, "tokens_per_s"), 0);
    cr_expect_geq(number(r, "spread"), 0);
    cr_expect_gt(number(r, share), 0);
}

static void
expect_json(struct json_object *root)
{
    static const char *const peaks[] = {"f32_gflops",         "bf16_gflops",      "int8_gops",
                                        "matrix_bf16_gflops", "matrix_int8_gops", "read_gbs"};
    struct json_object *machine = get(root, "machine"), *results = get(root, "results");
    cr_expect_eq(number(machine, "threads"), 1);
    cr_expect_gt(strlen(json_object_get_string(get(machine, "cpu"))), 0u);
    for (size_t i = 0; i < COUNT_OF(peaks); i++)
        cr_expect_geq(number(get(machine, "peak"), peaks[i]), 0, "%s", peaks[i]);
    cr_assert_eq(json_object_array_length(results), 3u);
    struct json_object *prefill = json_object_array_get_idx(results, 0);
    struct json_object *one = json_object_array_get_idx(results, 1);
    struct json_object *four = json_object_array_get_idx(results, 2);
    expect_result(prefill, "prefill", 1, "share_of_peak");
    expect_result(one, "decode", 1, "share_of_bandwidth");
    expect_result(four, "decode", 4, "share_of_bandwidth");
    /* 2 (32 162 + 64 32) in projections, 2 (2 32 16) 2 in the recurrence, of each of 8 tokens. */
    cr_expect_eq(number(prefill, "flops"), 8.0 * (14464 + 4096));
    /* One more sequence: 3 conv inputs and 2 heads of states in and out, a row of the embedding. */
    cr_expect_eq(number(four, "bytes") - number(one, "bytes"),
                 3.0 * 4 * (2 * (3 * 96 + 2 * 32 * 16) + 32));
}

Test(bench, json)
{
    char *dir = temp_dir(), *path = path_join(dir, "tiny.yaml");
    cr_assert(write_whole(path, tiny, strlen(tiny)));
    CommandResult r =
        command_run(ARGS("bench", path, "--prefill", "8", "--decode", "2", "--batch", "1,4",
                         "--threads", "1", "--repeats", "1", "--json", "--form", "recurrent"),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    struct json_object *root = json_tokener_parse(r.out);
    cr_assert_not_null(root, "not JSON:\n%s", r.out);
    expect_json(root);
    json_object_put(root);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}

/* Bytes of a token decoded by a model with growing states, after `past` tokens. */
static double
decoded_bytes(const char *past)
{
    CommandResult r = command_run(
        ARGS("bench", SSMC_ROOT "/tests/data/hybrid/hybrid.yaml", "--prefill", "8", "--decode", "2",
             "--threads", "1", "--repeats", "1", "--json", "--past", past, "--context", "128"),
        NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    struct json_object *root = json_tokener_parse(r.out);
    cr_assert_not_null(root, "not JSON:\n%s", r.out);
    const double bytes = number(json_object_array_get_idx(get(root, "results"), 1), "bytes");
    json_object_put(root);
    command_free(&r);
    return bytes;
}

/* Keys and values of 32 channels of every token before, and of 16 of the last 48. */
Test(bench, decoding_reads_what_growing_states_keep)
{
    cr_expect_eq(decoded_bytes("100") - decoded_bytes("0"), 4.0 * 2 * (32 * 100 + 16 * 47));
    CommandResult r =
        command_run(ARGS("bench", SSMC_ROOT "/tests/data/hybrid/hybrid.yaml", "--prefill", "8",
                         "--decode", "40", "--past", "100", "--threads", "1", "--context", "128"),
                    NULL, 0);
    cr_expect_eq(r.status, 1);
    cr_expect(strstr(r.err, "is full: it has 100 tokens, 40 more are to come"), "%s", r.err);
    command_free(&r);
}

/* One head of 8 channels: token t multiplies with t keys and t values, of a window with 4 at most.
 */
Test(bench, attention_has_operations)
{
    static const char text[] =
        "graph \"t\" model {\n  weights \"init:reference\"\n  block 4\n  rows 1\n"
        "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[64,8] init=ones\n  state ks: "
        "f32[S,8]\n"
        "  state vs: f32[S,8]\n  state kw: f32[S,8]\n  state vw: f32[S,8]\n  x = embed(ids, e)\n"
        "  y = attention(x, keep(x, ks), keep(x, vs)) {heads=1, head_dim=8, groups=1, scale=1}\n"
        "  z = attention(x, keep(x, kw), keep(x, vw)) {heads=1, head_dim=8, groups=1, scale=1, "
        "window=4}\n  last = take(add(y, z), pick)\n  output last\n}\n";
    char *dir = temp_dir(), *path = path_join(dir, "t.ir");
    cr_assert(write_whole(path, text, strlen(text)));
    CommandResult r = command_run(ARGS("bench", path, "--prefill", "6", "--decode", "1",
                                       "--threads", "1", "--repeats", "1", "--json"),
                                  NULL, 0);
    struct json_object *root = json_tokener_parse(r.out);
    cr_assert_not_null(root, "not JSON:\n%s%s", r.out, r.err);
    struct json_object *first = json_object_array_get_idx(get(root, "results"), 0);
    const double all = 1 + 2 + 3 + 4 + 5 + 6, window = 1 + 2 + 3 + 4 + 4 + 4;
    cr_expect_float_eq(number(first, "flops"), 2 * 2 * 8 * (all + window), 1e-9);
    json_object_put(root);
    command_free(&r);
    r = command_run(ARGS("bench", path, "--prefill", "6", "--decode", "1", "--threads", "1",
                         "--repeats", "1", "--profile"),
                    NULL, 0);
    cr_expect(strstr(r.out, "after 1000 others 0.0 in attention"), "%s", r.out);
    const char *kinds = strstr(r.out, "by kind:");
    cr_expect(kinds && strstr(kinds, "  attention            x6 "), "%s", r.out);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}

Test(bench, profile_adds_up)
{
    char *dir = temp_dir(), *path = path_join(dir, "tiny.yaml");
    cr_assert(write_whole(path, tiny, strlen(tiny)));
    CommandResult r = command_run(ARGS("bench", path, "--prefill", "8", "--decode", "2",
                                       "--threads", "1", "--repeats", "1", "--profile"),
                                  NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    const char *prefill = strstr(r.out, "prefill of 8 tokens"),
               *decode = strstr(r.out, "decode of 2");
    cr_assert(prefill && decode, "%s", r.out);
    cr_expect(strstr(prefill, "in_proj") && strstr(decode, "in_proj"));
    cr_expect(strstr(prefill, "sum of kernels") < decode && strstr(decode, "sum of kernels"));
    static const char *const kinds[] = {"row by row", "projections", "convolution", "state space",
                                        "head"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        cr_expect(strstr(strstr(prefill, "by kind:"), kinds[i]), "no %s:\n%s", kinds[i], prefill);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}

/* Both recurrences, and a projection whose weight is called as one of them. */
static const char both[] =
    "graph \"both\" model {\n  weights \"init:reference\"\n  block 64\n  rows 1\n"
    "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[64,16] init=normal_embed\n"
    "  weight ssd.weight: f32[34,16] init=ones\n  weight A_log: f32[2] init=a_log\n"
    "  weight A: f32[16,8] init=a_log_states\n  state s: f32[2,8,8]\n  state h: f32[8,16]\n"
    "  x = embed(ids, e)\n  all = linear(x, ssd.weight)\n"
    "  dt, u, B, C = split(all) {sizes=[2, 16, 8, 8]}\n"
    "  y = ssd(u, softplus(dt), A_log, B, C, _, s) {heads=2, head_dim=8, groups=1, state=8}\n"
    "  z = selective_scan(y, softplus(u), transpose(-exp(A)), B, C, _, h)\n"
    "  last = take(z, pick)\n  output last\n}\n";

static int
count_text(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        count++;
    return count;
}

/* Work goes by op: 2 16 34 of the projection, 2 (2 8 8) 2 of the SSD, 2 (16 8) 2 of the scan. */
Test(bench, kernels_are_told_by_their_ops)
{
    char *dir = temp_dir(), *path = path_join(dir, "both.ir");
    cr_assert(write_whole(path, both, strlen(both)));
    CommandResult r =
        command_run(ARGS("bench", path, "--prefill", "8", "--decode", "2", "--threads", "1",
                         "--repeats", "1", "--profile", "--form", "recurrent"),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    const char *prefill = strstr(r.out, "prefill of 8 tokens");
    cr_assert(prefill, "%s", r.out);
    char *table = strndup(prefill, (size_t)(strstr(prefill, "sum of kernels") - prefill));
    cr_expect_eq(count_text(table, "  ssd                  x1 "), 2, "%s", table);
    cr_expect_eq(count_text(table, "  selective_scan       x1 "), 1, "%s", table);
    cr_expect_eq(count_text(table, "  projections          x1 "), 1, "%s", table);
    cr_expect_eq(count_text(table, "  state space          x2 "), 1, "%s", table);
    command_free(&r);
    r = command_run(ARGS("bench", path, "--prefill", "8", "--decode", "2", "--threads", "1",
                         "--repeats", "1", "--json", "--form", "recurrent"),
                    NULL, 0);
    struct json_object *root = json_tokener_parse(r.out);
    cr_assert_not_null(root, "not JSON:\n%s", r.out);
    struct json_object *first = json_object_array_get_idx(get(root, "results"), 0);
    cr_expect_eq(number(first, "flops"), 8.0 * (2 * 16 * 34 + 4 * 2 * 8 * 8 + 4 * 16 * 8));
    json_object_put(root);
    command_free(&r);
    temp_dir_remove(dir);
    free(table);
    free(path);
}

static int
rows_of(const char *out, const char *begin)
{
    int n = 0;
    for (const char *at = out; (at = strstr(at, begin)); at++)
        n++;
    return n;
}

/* Every length takes time, a single token's too. */
Test(bench, a_recurrence_by_itself)
{
    CommandResult r = command_run(
        ARGS("bench", "--scan", "2048,16", "--threads", "1", "--repeats", "1"), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(!strstr(r.out, " 0.0 ") && !strstr(r.out, "inf"), "%s", r.out);
    command_free(&r);
}

/* Whatever mixes tokens, in each type, by length and batch: a row each, on a device and here. */
Test(bench, mixers_by_themselves)
{
    static const char *const heads[] = {"ssd H=2 P=8 N=4 G=1,", "selective_scan H=16 P=1 N=4,",
                                        "attention H=2 P=8,"};
    CommandResult r = command_run(ARGS("bench", "--ssd", "2,8,4,1", "--scan", "16,4", "--attend",
                                       "2,8", "--device", "model", "--prefill", "24,48", "--batch",
                                       "1,3", "--repeats", "1", "--threads", "1"),
                                  NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        cr_expect(strstr(r.out, heads[i]), "%s in %s", heads[i], r.out);
    cr_expect_eq(rows_of(r.out, "\n  bf16       24      3       8"), 3, "%s", r.out);
    cr_expect_eq(rows_of(r.out, "\n  f32        48      1      48"), 3, "%s", r.out);
    cr_expect_eq(rows_of(r.out, "\n  bf16") + rows_of(r.out, "\n  f32 "), 3 * 8, "%s", r.out);
    cr_expect(!strstr(r.out, "inf") && !strstr(r.out, "nan"), "%s", r.out);
    command_free(&r);
    r = command_run(ARGS("bench", "--attend", "2,8", "--prefill", "24", "--repeats", "1", "--dtype",
                         "f32", "--threads", "1"),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect_eq(rows_of(r.out, "\n  f32        24      1      24"), 1, "%s", r.out);
    cr_expect_eq(rows_of(r.out, "\n  bf16"), 0, "only what was asked for: %s", r.out);
    command_free(&r);
}

/* The model of a GPU is held against what gpus.def says of the GPU. */
Test(bench, a_model_of_a_gpu_has_stated_ceilings)
{
    Arena *arena = arena_new();
    Machine m;
    const char *why = NULL;
    cr_assert(machine_named("x86-64-v3", &m) && machine_gpu(&m, "model"));
    BenchProbes *probes = bench_probes_open(arena, &m, 1, &why);
    cr_assert_not_null(probes, "%s", why);
    const BenchCeilings c = bench_ceilings(probes, 1);
    cr_expect_eq(c.f32.best, m.gpu.f32_gflops);
    cr_expect_eq(c.matrix_bf16.best, m.gpu.bf16_gflops);
    cr_expect_eq(c.update.best, m.gpu.memory_gbs);
    cr_expect_eq(bench_probe_arithmetic(probes, bench_dot(&m, DTYPE_bf16), 1), m.gpu.bf16_gflops);
    cr_expect_eq(bench_probe_memory(probes, c.read_by, 1), m.gpu.memory_gbs);
    bench_probes_close(probes);
    arena_free(arena);
}

/* Those of a GPU are measured through the driver; here by one that runs nothing. */
Test(bench, a_gpu_is_probed_through_its_driver)
{
    Arena *arena = arena_new();
    Machine m;
    const char *why = NULL;
    setenv("SSMC_CUDA_LIBRARY", SSMC_CUDA_MODEL, 1);
    setenv("SSMC_CUDA_MODEL_IDLE", "1", 1);
    cr_assert(machine_named("x86-64-v3", &m) && machine_gpu(&m, "sm_90a"));
    BenchProbes *probes = bench_probes_open(arena, &m, 1, &why);
    cr_assert_not_null(probes, "%s", why);
    cr_expect_str_eq(bench_probe_what(probes), "Model GPU, code of sm_90a");
    const BenchCeilings c = bench_ceilings(probes, 1);
    cr_expect(c.f32.best > 0 && c.matrix_bf16.best > 0 && c.read.best > 0 && c.update.best > 0);
    cr_expect_eq(bench_probe_arithmetic(probes, PROBE_i8, 1), 0, "a GPU has no such probe");
    bench_probes_close(probes);
    arena_free(arena);
}

/* Each kind of GPU has code of its own for the tensor cores. */
Test(bench, probes_of_a_gpu)
{
    static const struct {
        const char *name, *has, *has_not;
    } kinds[] = {
        {"sm_80",  "mma.sync.aligned.m16n8k16", "wgmma"   },
        {"sm_90a", "wgmma.mma_async",           "mma.sync"},
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        Arena *arena = arena_new();
        Machine m;
        CgProbe probe[PROBE_COUNT];
        cr_assert(machine_named("x86-64-v3", &m) && machine_gpu(&m, kinds[i].name));
        const AbiProgram *abi = cg_gpu_probes(arena, &m, probe);
        cr_expect(strstr(abi->image, kinds[i].has), "%s", kinds[i].name);
        cr_expect(!strstr(abi->image, kinds[i].has_not), "%s", kinds[i].name);
        cr_expect_eq(probe[PROBE_update].work, 2 * probe[PROBE_read].work);
        for (int id = 0; id < PROBE_COUNT; id++)
            cr_expect_eq(probe[id].work > 0, abi->steps[id].operands == 2, "%d", id);
        arena_free(arena);
    }
}

/* ---- traces --------------------------------------------------------------------------------- */

/* Events of one lane, in order, one after the other. */
static void
expect_lane(struct json_object *events, int tid, int count)
{
    double end = 0;
    int n = 0;
    for (size_t i = 0; i < json_object_array_length(events); i++) {
        struct json_object *e = json_object_array_get_idx(events, i);
        if (strcmp(json_object_get_string(get(e, "ph")), "X") != 0 || number(e, "tid") != tid)
            continue;
        cr_expect_geq(number(e, "ts"), end, "lane %d, event %d", tid, n);
        cr_expect_geq(number(e, "dur"), 0);
        end = number(e, "ts") + number(e, "dur") - 1e-3; /* printed to the nanosecond */
        n++;
    }
    cr_expect_eq(n, count, "lane %d has %d events", tid, n);
}

Test(bench, trace_has_a_lane_a_thread)
{
    char *dir = temp_dir(), *path = path_join(dir, "tiny.yaml"), *trace = path_join(dir, "t.json");
    cr_assert(write_whole(path, tiny, strlen(tiny)));
    CommandResult r =
        command_run(ARGS("bench", path, "--prefill", "600", "--decode", "3", "--threads", "2",
                         "--repeats", "1", "--trace", trace, "--json"),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    struct json_object *root = json_object_from_file(trace);
    cr_assert_not_null(root, "%s is not JSON", trace);
    struct json_object *events = get(root, "traceEvents");
    /* 8 kernels a layer and embed, 3 in the head: two passes of a prompt of 600, three steps. */
    const int layers = 8, head = 3;
    /* Steps that divide rows, of one row: embed, norm, dt, gate_norm; take and norm of the head. */
    const int alone = 6;
    expect_lane(events, 0, 2 * layers + head + 3 * (layers + head));
    expect_lane(events, 1, 2 * layers + head + 3 * (layers + head - alone));
    json_object_put(root);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
    free(trace);
}

Test(bench, forms_of_a_mixer_are_measured_at_the_lengths_asked_for)
{
    CommandResult r = command_run(ARGS("bench", "--delta", "2,8,4,1", "--form", "chunked",
                                       "--chunk", "16", "--prefill", "5,33", "--repeats", "1"),
                                  NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, " Q        5       33  GFLOP/s"), "%s", r.out);
    cr_expect(strstr(r.out, "\nchunked   f32    16 "), "%s", r.out);
    cr_expect_null(strstr(r.out, "\nrecurrent"), "%s", r.out);
    command_free(&r);
}
