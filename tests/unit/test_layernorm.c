/* tests/unit/test_layernorm.c -- layernorm as machine code against its meaning, over widths of
 * every kind, rows far from 0 and rows of no numbers; layernorm and gelu_erf against what PyTorch
 * computes; and a whole model of both in every format. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/kernel_run.h"
#include "tests/model_run.h"

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};
static const char *const targets[] = {"native", "x86-64-v4", "x86-64-v3",
                                      "x86-64", "generic",   "native@model"};
static const int widths[] = {1, 3, 15, 17, 64, 70, 130, 768};

enum { ROWS = 23 };

/* A kernel `nodes`, which make y of x, on rows of a table, of type `stored`; g and b are weights.
 */
static KernelRun *
open_rows(const char *nodes, const char *stored, int width, const char *cpu)
{
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"t\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
              " weight table: %s[%d,%d] tensor=\"table\" init=ones\n"
              " weight g: f32[%d] tensor=\"g\" init=ones\n"
              " weight b: f16[%d] tensor=\"b\" init=ones\n"
              " kernel load {part=rows} { x = embed(ids, table) }\n"
              " kernel norm {part=rows} {\n%s }\n"
              " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n",
              ROWS, ROWS, stored, ROWS, width, width, width, nodes);
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    sb_free(&sb);
    return run;
}

static const RunCall calls[] = {
    {.nseg = 1, .len = {1},        .slot = {0},       .vocab = ROWS, .parts = 1},
    {.nseg = 1, .len = {1},        .slot = {0},       .vocab = ROWS, .parts = 3},
    {.nseg = 3, .len = {14, 1, 8}, .slot = {0, 1, 2}, .vocab = ROWS, .parts = 1},
    {.nseg = 2, .len = {5, 14},    .slot = {1, 3},    .vocab = ROWS, .parts = 7},
};

static void
agree(const char *nodes, const char *stored, double tolerance)
{
    for (size_t c = 0; c < COUNT_OF(targets); c++)
        for (size_t w = 0; cpu_runs_here(targets[c]) && w < COUNT_OF(widths); w++) {
            KernelRun *run = open_rows(nodes, stored, widths[w], targets[c]);
            for (size_t i = 0; i < COUNT_OF(calls); i++) {
                const double d = kernel_run_difference(run, &calls[i]);
                cr_expect(d <= tolerance, "%s, width %d, call %zu: off by %g\n%s", targets[c],
                          widths[w], i, d, nodes);
            }
            kernel_run_close(run);
        }
}

Test(layernorm, by_itself)
{
    agree("  y = layernorm(x, g, b) {eps=1e-05}\n", "f32", 2e-6);
    agree("  y = layernorm(x, g) {eps=1e-05}\n", "bf16", 2e-6);
    agree("  y = layernorm(x, _, b) {eps=0.5}\n", "f16", 2e-6);
    agree("  y = layernorm(x) {eps=1e-05}\n", "f32", 2e-6);
}

/* Lanes outside a row, of which e^x makes ones, are in no sum. What the prologue makes is stored or
 * is not. */
Test(layernorm, between_pointwise_ops)
{
    agree("  e = exp(x)\n  n = layernorm(e, g, b) {eps=1e-05}\n  a = gelu_erf(n)\n"
          "  y = add(a, e)\n",
          "f32", 4e-6);
    agree("  e = exp(x)\n  n = layernorm(e) {eps=1e-05}\n  a = gelu_erf(n)\n"
          "  r = cast(a) {to=bf16}\n  y = mul(r, 1)\n",
          "f32", 1e-2);
    agree("  e = exp(x)\n  y = layernorm(e) {eps=1e-05}\n }\n"
          " kernel after {\n  s = add(e, x)\n }\n kernel more {\n  t = add(s, y)\n",
          "f32", 4e-6);
}

/* ---- rows that are hard ---------------------------------------------------------------------- */

/* Rows around `centre`; one whose numbers are all equal; one with a single large number. */
static void
far_rows(float *table, int width, double centre)
{
    for (int64_t i = 0; i < (int64_t)ROWS * width; i++)
        table[i] = (float)(centre + table[i]);
    for (int i = 0; i < width; i++) {
        table[3 * width + i] = (float)centre;
        table[5 * width + i] = i == width / 3 ? (float)(10 * centre) : (float)(i % 7);
    }
}

/* A mean that is 10^4 to 10^6 times what differs from it is taken away without loss. Where nothing
 * differs, 2^-22 of the mean's rounding error is left over, beside the root of eps. */
Test(layernorm, rows_far_from_zero)
{
    static const double centres[] = {1e4, -1e4, 1e6, -3e5};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t w = 0; cpu_runs_here(cpus[c]) && w < COUNT_OF(widths); w++)
            for (size_t k = 0; k < COUNT_OF(centres); k++)
                for (int prologue = 0; prologue < 2; prologue++) {
                    const char *nodes = prologue ? "  n = mul(x, 1)\n  p = add(n, 0)\n"
                                                   "  y = layernorm(p, g, b) {eps=1e-05}\n"
                                                 : "  y = layernorm(x, g, b) {eps=1e-05}\n";
                    KernelRun *run = open_rows(nodes, "f32", widths[w], cpus[c]);
                    int64_t count = 0;
                    far_rows(kernel_run_weight(run, "table", &count), widths[w], centres[k]);
                    const double d = kernel_run_difference(run, &calls[2]);
                    cr_expect_leq(d, 3e-6 + 1e-11 * fabs(centres[k]),
                                  "%s, width %d, around %g: off by %g", cpus[c], widths[w],
                                  centres[k], d);
                    kernel_run_close(run);
                }
}

/* A NaN or an infinity makes its own row NaN, and no other row. */
Test(layernorm, a_row_with_no_number_is_nan_and_its_neighbours_are_not)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t w = 0; cpu_runs_here(cpus[c]) && w < COUNT_OF(widths); w++) {
            const int width = widths[w];
            KernelRun *run =
                open_rows("  y = layernorm(x, g, b) {eps=1e-05}\n", "f32", width, cpus[c]);
            int64_t count = 0;
            float *table = kernel_run_weight(run, "table", &count);
            for (size_t i = 0; i < COUNT_OF(bad); i++)
                table[(2 * (int)i + 1) * width + (width - 1) * (int)i / 2] = bad[i];
            for (int r = 0; r < ROWS; r++)
                kernel_run_ids(run)[r] = r;
            const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 2};
            const float *y = kernel_run_code(run, &call, &count);
            for (int i = 0; i < ROWS * width; i++) {
                const int r = i / width;
                const bool spoilt = r % 2 == 1 && r < 6;
                cr_expect_eq(isnan(y[i]) != 0, spoilt, "%s width %d row %d: %g", cpus[c], width, r,
                             (double)y[i]);
            }
            kernel_run_close(run);
        }
}

/* ---- what PyTorch computes ------------------------------------------------------------------- */

enum { SIDE = 5 };

/* Of PyTorch 2.15, in float64: torch.nn.LayerNorm(5), and torch.nn.functional.gelu, whose
 * approximate is "none". */
static const float norm_x[SIDE * SIDE] = {
    0.5f, -1.25f, 2.0f,  0.125f, -3.0f,   10000.0f, 10000.5f, 9999.25f, 10001.0f, 10000.0f, 0, 0, 0,
    0,    0,      1e-3f, -2e-3f, 0.5e-3f, 0,        4e-3f,    100,      -1,       1,        2, -2};
static const float norm_weight[SIDE] = {1, 0.5f, -2, 1.5f, 0.25f};
static const float norm_bias[SIDE] = {0, 1, -0.5f, 0.25f, 2};
static const float norm_y[SIDE * SIDE] = {0.487831874f,
                                          0.726518495f,
                                          -3.24959783f,
                                          0.64913517f,
                                          1.60456053f,
                                          -0.257244095f,
                                          1.30011811f,
                                          2.58692914f,
                                          2.43657481f,
                                          1.93568898f,
                                          0,
                                          1,
                                          -0.5f,
                                          0.25f,
                                          2,
                                          0.0808745827f,
                                          0.636064378f,
                                          -0.392167223f,
                                          -0.0330610394f,
                                          2.2224051f,
                                          1.99875116f,
                                          0.73766391f,
                                          0.449406803f,
                                          -0.424578518f,
                                          1.86258586f};
/* eps=0.1, elementwise_affine=False */
static const float bare_y[SIDE * SIDE] = {0.47952151f,
                                          -0.537645329f,
                                          1.3513788f,
                                          0.261557187f,
                                          -1.55481217f,
                                          -0.226133508f,
                                          0.527644853f,
                                          -1.35680105f,
                                          1.28142321f,
                                          -0.226133508f,
                                          0,
                                          0,
                                          0,
                                          0,
                                          0,
                                          0.000948665508f,
                                          -0.00853798958f,
                                          -0.000632443672f,
                                          -0.00221355285f,
                                          0.0104353206f,
                                          1.99868879f,
                                          -0.524655808f,
                                          -0.474688588f,
                                          -0.449704978f,
                                          -0.549639417f};
static const float gelu_x[SIDE * SIDE] = {
    -13,  -8,    -5.5f, -3,   -2, -1, -0.75f, -0.5f, -0.1f, -1e-3f, 0,  1e-3f, 0.1f,
    0.5f, 0.75f, 1,     1.5f, 2,  3,  5.5f,   6,     8,     13,     40, -40};
static const float gelu_y[SIDE * SIDE] = {-0.0f,
                                          -4.88498131e-15f,
                                          -1.04442594e-07f,
                                          -0.00404969409f,
                                          -0.0455002639f,
                                          -0.158655254f,
                                          -0.169970514f,
                                          -0.154268769f,
                                          -0.0460172169f,
                                          -0.000499601081f,
                                          0,
                                          0.000500398966f,
                                          0.0539827846f,
                                          0.345731231f,
                                          0.580029486f,
                                          0.841344746f,
                                          1.3997892f,
                                          1.95449974f,
                                          2.99595031f,
                                          5.4999999f,
                                          5.99999999f,
                                          8,
                                          13,
                                          40,
                                          -0.0f};

/* Code on every CPU, and the interpreter, give `want` of the rows x. */
static void
expect_of_torch(const char *nodes, const float *x, const float *want)
{
    for (size_t c = 0; c < COUNT_OF(cpus); c++) {
        if (!cpu_runs_here(cpus[c]))
            continue;
        StrBuf sb = {0};
        sb_printf(
            &sb,
            "graph \"t\" kernel {\n block 5\n rows 5\n input ids: i32[T]\n input pick: i32[R]\n"
            " weight table: f32[5,5] tensor=\"table\" init=ones\n"
            " weight g: f32[5] tensor=\"g\" init=ones\n"
            " weight b: f32[5] tensor=\"b\" init=ones\n"
            " kernel load { x = embed(ids, table) }\n kernel f { %s }\n"
            " kernel pick { out = take(y, pick) }\n output out\n}\n",
            nodes);
        KernelRun *run = kernel_run_open(sb_text(&sb), cpus[c]);
        sb_free(&sb);
        int64_t count = 0;
        memcpy(kernel_run_weight(run, "table", &count), x, sizeof gelu_x);
        memcpy(kernel_run_weight(run, "g", &count), norm_weight, sizeof norm_weight);
        memcpy(kernel_run_weight(run, "b", &count), norm_bias, sizeof norm_bias);
        for (int r = 0; r < SIDE; r++)
            kernel_run_ids(run)[r] = r;
        const RunCall call = {.nseg = 1, .len = {SIDE}, .parts = 2};
        const float *y = kernel_run_code(run, &call, &count);
        const double *exact = kernel_run_interp(run, &call, &count);
        cr_assert_eq(count, SIDE * SIDE);
        for (int i = 0; i < SIDE * SIDE; i++) {
            const double allowed = 1e-6 * fabs((double)want[i]) + 1e-15;
            cr_expect(fabs((double)y[i] - (double)want[i]) <= allowed,
                      "%s, %s: %d is %.9g, expected %.9g", nodes, cpus[c], i, (double)y[i],
                      (double)want[i]);
            cr_expect(fabs(exact[i] - (double)want[i]) <= allowed / 4,
                      "%s, interpreted: %d is %.9g, expected %.9g", nodes, i, exact[i],
                      (double)want[i]);
        }
        kernel_run_close(run);
    }
}

Test(layernorm, is_what_torch_computes)
{
    expect_of_torch("y = layernorm(x, g, b) {eps=1e-5}", norm_x, norm_y);
    expect_of_torch("y = layernorm(x) {eps=0.1}", norm_x, bare_y);
}

Test(layernorm, gelu_erf_is_what_torch_computes)
{
    expect_of_torch("y = gelu_erf(x)", gelu_x, gelu_y);
}

/* ---- whole models ---------------------------------------------------------------------------- */

/* An MLP whose norm has a weight and a bias, one whose norm has none, and a mixer with a norm
 * behind a gate. */
static const char model_text[] =
    "vocab: 64\ndim: 48\nlayers: [{block: mlp}, {block: mixer}, {block: mlp, width: 70}]\n"
    "weights: {init: reference, seed: 3}\nframe: frame\nblocks:\n"
    "  - block: frame\n"
    "    weights:\n"
    "      e: {shape: [vocab, dim], init: normal_embed}\n"
    "      head: {shape: [vocab, dim], init: uniform_fan_in}\n"
    "      n.w: {shape: [dim], init: dt_bias}\n"
    "    ops:\n"
    "      - h = embed(ids, e)\n"
    "      - h = layers(h)\n"
    "      - logits = linear(layernorm(take(h, pick), n.w) {eps}, head)\n"
    "  - block: mlp\n"
    "    params: {width: 96, eps: 1.0e-5}\n"
    "    weights:\n"
    "      n.w: {shape: [dim], init: ones}\n"
    "      n.b: {shape: [dim], init: dt_bias}\n"
    "      up.w: {shape: [width, dim], init: uniform_fan_in}\n"
    "      up.b: {shape: [width], init: dt_bias}\n"
    "      down.w: {shape: [dim, width], init: uniform_fan_in}\n"
    "      down.b: {shape: [dim], init: zeros}\n"
    "    ops:\n"
    "      - u = gelu_erf(linear(layernorm(h, n.w, n.b) {eps}, up.w, up.b))\n"
    "      - h = h + linear(u, down.w, down.b)\n"
    "  - block: mixer\n"
    "    params: {eps: 1.0e-3}\n"
    "    weights:\n"
    "      in.w: {shape: [2 * dim, dim], init: uniform_fan_in}\n"
    "      c.w: {shape: [dim, 1, 4], init: uniform_fan_in}\n"
    "      n.w: {shape: [dim], init: ones}\n"
    "      out.w: {shape: [dim, dim], init: uniform_fan_in}\n"
    "    ops:\n"
    "      - a, z = split(linear(layernorm(h) {eps}, in.w)) {sizes=[dim, dim]}\n"
    "      - u = conv1d(a, c.w) * gelu_erf(z)\n"
    "      - h = h + linear(layernorm(u, n.w) {eps}, out.w)\n";

enum { TOKENS = 40 };

/* Logits after TOKENS ids, of which the last few are read one by one; free them. */
static float *
logits(const char *path, const char *dtype, const char *cpu, const char *matrix, int threads)
{
    ModelRun *run = MODEL_RUN(path, "--dtype", dtype, "--cpu", cpu, "--set", matrix);
    float *y = calloc((size_t)ssmc_model_vocab(model_run_model(run)), sizeof *y);
    int32_t ids[TOKENS];
    model_run_ids(run, 1, ids, TOKENS);
    ssmc_session *s = model_run_session(run, 1, threads);
    cr_assert_eq(ssmc_prefill(s, 0, ids, TOKENS - 5, y), SSMC_OK, "%s", ssmc_error());
    for (int i = TOKENS - 5; i < TOKENS; i++)
        cr_assert_eq(ssmc_step(s, &(int){0}, &ids[i], 1, y), SSMC_OK, "%s", ssmc_error());
    ssmc_session_close(s);
    model_run_close(run);
    return y;
}

static double
distance(const float *a, const float *b, int n)
{
    double most = 0, size = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

Test(layernorm, models_in_every_format)
{
    static const struct {
        const char *dtype;
        double allowed;
    } formats[] = {
        {"f32",  3e-6},
        {"f16",  2e-3},
        {"bf16", 2e-2},
        {"int8", 6e-2},
        {"int4", 0.3 },
    };
    char *dir = temp_dir(), *path = path_join(dir, "m.yaml");
    cr_assert(write_whole(path, model_text, strlen(model_text)));
    float *want = logits(path, "f32", "native", "compile.matrix=none", 1);
    for (size_t f = 0; f < COUNT_OF(formats); f++)
        for (size_t c = 0; c <= COUNT_OF(cpus); c++)
            for (int threads = 1; threads < 4; threads += 2) {
                const bool unit = c == COUNT_OF(cpus);
                const char *cpu = cpus[unit ? 0 : c];
                if (!cpu_runs_here(unit ? "native+model" : cpu))
                    continue;
                float *got = logits(path, formats[f].dtype, cpu,
                                    unit ? "compile.matrix=model" : "compile.matrix=none", threads);
                const double d = distance(got, want, 64);
                cr_expect_leq(d, formats[f].allowed, "%s on %s%s, %d threads: off by %g",
                              formats[f].dtype, cpu, unit ? " and its unit" : "", threads, d);
                free(got);
            }
    free(want);
    temp_dir_remove(dir);
    free(path);
}

/* Each pass is exact, and quantise but for rounding. */
Test(layernorm, no_pass_changes_the_numbers)
{
    char *dir = temp_dir(), *path = path_join(dir, "m.yaml");
    cr_assert(write_whole(path, model_text, strlen(model_text)));
    static const char *const dtypes[] = {"f32", "bf16", "int8", "int4"};
    static const char *const entries[] = {"prefill", "decode"};
    static const char *const ways[] = {"znver4", "sapphirerapids", "x86-64"};
    for (size_t d = 0; d < COUNT_OF(dtypes); d++)
        for (size_t i = 0; i < COUNT_OF(entries) * COUNT_OF(ways); i++) {
            const char *argv[] = {SSMC_BINARY,     "compile", path,           "--emit",
                                  "plan",          "--entry", entries[i % 2], "--cpu",
                                  ways[i / 2],     "--dtype", dtypes[d],      "--check-each",
                                  "--verify-each", NULL};
            CommandResult r = command_run(argv, NULL, 0);
            cr_expect_eq(r.status, 0, "%s %s %s: %s", dtypes[d], entries[i % 2], ways[i / 2],
                         r.err);
            command_free(&r);
        }
    temp_dir_remove(dir);
    free(path);
}
