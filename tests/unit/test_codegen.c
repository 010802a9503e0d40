/* tests/unit/test_codegen.c -- kernels as machine code against their meaning: every emitter of
 * codegen/ that is not a matrix product, over odd widths and lengths, on each instruction set this
 * machine has; and the promised errors of the functions, measured over floats of every size. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel_run.h"

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};

/* The end of a graph whose result, for every row, is `value`. */
#define PICK(value) " kernel pick {part=rows} { out = take(" value ", pick) }\n output out\n}\n"
#define END         PICK("y")

/* ---- errors in units in the last place
 * ------------------------------------------------------------ */

enum { SWEEP_WIDTH = 1024, SWEEP_ROWS = 4096, SWEEP = SWEEP_WIDTH * SWEEP_ROWS };

typedef struct {
    const char *name;
    Op op;
    double (*meaning)(double x);
} Function;

static double
logistic(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double
silu(double x)
{
    return x == -INFINITY ? -0.0 : x * logistic(x);
}

static double
softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double
gelu(double x)
{
    const double u = 2 * sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
    return x == -INFINITY ? -0.0 : x * logistic(u);
}

static double
gelu_erf(double x)
{
    return x == -INFINITY ? -0.0 : x / 2 * erfc(-x * sqrt(0.5));
}

static double
logarithm(double x)
{
    return fabs(x) < (double)FLT_MIN ? -INFINITY : log(x); /* a denormal is 0 */
}

static const Function functions[] = {
    {"exp",      OP_exp,      exp      },
    {"log",      OP_log,      logarithm},
    {"sigmoid",  OP_sigmoid,  logistic },
    {"silu",     OP_silu,     silu     },
    {"softplus", OP_softplus, softplus },
    {"tanh",     OP_tanh,     tanh     },
    {"gelu",     OP_gelu,     gelu     },
    {"gelu_erf", OP_gelu_erf, gelu_erf },
};

/* Floats of every sign, exponent and kind, a prime stride of bit patterns apart, and the edges. */
static void
sweep_fill(float *x)
{
    static const float edges[] = {
        0.0f,     -0.0f,     INFINITY,    -INFINITY, NAN,       FLT_MAX,   -FLT_MAX, FLT_MIN,
        -FLT_MIN, 0x1p-149f, -0x1p-149f,  88.72284f, 88.72283f, -87.3365f, -103.97f, -104.0f,
        0.625f,   -0.625f,   0.62499994f, 1.0f,      -1.0f,     127.0f,    -127.0f,  89.0f};
    for (uint32_t i = 0; i < SWEEP; i++) {
        const uint32_t bits = i * 1021u;
        memcpy(&x[i], &bits, sizeof bits);
    }
    memcpy(x, edges, sizeof edges);
    /* Half of the rest where the functions bend: [-128, 128]. */
    for (uint32_t i = SWEEP / 2; i < SWEEP; i++)
        x[i] = ((float)i - 0.75f * SWEEP) * (512.0f / SWEEP);
}

static double
ulps(float got, double expected)
{
    if (isnan(expected))
        return isnan(got) ? 0 : INFINITY;
    if (got == expected)
        return 0;
    if (fabs(expected) > FLT_MAX)
        return isinf(got) || fabsf(got) == FLT_MAX ? 0 : INFINITY;
    if (fabs(expected) < FLT_MIN) /* denormal: 0, or what it rounds to */
        return got == 0 || fabsf(got) == FLT_MIN ? 0 : INFINITY;
    int exponent = 0;
    frexp(expected, &exponent);
    return fabs(got - expected) / ldexp(1, exponent - 24);
}

/* Runs `kernels`, which make y from h, over all of x on the CPU. y: SWEEP results. */
static KernelRun *
sweep_run(const char *kernels, const char *cpu, const float *x, const float **y)
{
    StrBuf text = {0};
    sb_printf(
        &text,
        "graph \"sweep\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight x: f32[%d,%d] tensor=\"x\" init=ones\n"
        " kernel load { h: f32[T,%d] = embed(ids, x) }\n%s" END,
        SWEEP_ROWS, SWEEP_ROWS, SWEEP_ROWS, SWEEP_WIDTH, SWEEP_WIDTH, kernels);
    KernelRun *run = kernel_run_open(sb_text(&text), cpu);
    sb_free(&text);
    int64_t count = 0;
    memcpy(kernel_run_weight(run, "x", &count), x, SWEEP * sizeof *x);
    for (int i = 0; i < SWEEP_ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {SWEEP_ROWS}, .parts = 1};
    *y = kernel_run_code(run, &call, &count);
    return run;
}

static void
measure(const Function *f, const char *cpu, const double *expected, const float *x)
{
    StrBuf kernels = {0};
    sb_printf(&kernels, " kernel f { y: f32[T,%d] = %s(h) }\n", SWEEP_WIDTH, f->name);
    const float *y = NULL;
    KernelRun *run = sweep_run(sb_text(&kernels), cpu, x, &y);
    sb_free(&kernels);
    double worst = 0;
    int at = 0;
    for (int i = 0; i < SWEEP; i++) {
        const double error = ulps(y[i], expected[i]);
        at = error > worst ? i : at;
        worst = fmax(worst, error);
    }
    if (getenv("SSMC_SHOW_ULPS"))
        fprintf(stderr, "%-8s %-10s %.3f ulp at %.9g: %.9g, expected %.9g\n", f->name, cpu, worst,
                (double)x[at], (double)y[at], expected[at]);
    cr_expect_leq(worst, cg_ulp_bound(f->op), "%s on %s: %.3f ulp at %.9g: %.9g, expected %.9g",
                  f->name, cpu, worst, (double)x[at], (double)y[at], expected[at]);
    kernel_run_close(run);
}

Test(codegen, functions_keep_their_error_bounds)
{
    float *x = malloc(SWEEP * sizeof *x);
    double *expected = malloc(SWEEP * sizeof *expected);
    cr_assert(x && expected);
    sweep_fill(x);
    for (size_t f = 0; f < COUNT_OF(functions); f++) {
        for (int i = 0; i < SWEEP; i++)
            expected[i] = functions[f].meaning((double)x[i]);
        for (size_t i = 0; i < COUNT_OF(cpus); i++)
            if (cpu_runs_here(cpus[i]))
                measure(&functions[f], cpus[i], expected, x);
    }
    free(x);
    free(expected);
}

/* What a kernel stores as bf16 alone: half a unit of bf16, and where there is a matrix unit 2^-12
 * or 2^-119. */
static void
measure_rounded(const Function *f, const char *cpu, const double *expected, const float *x)
{
    StrBuf kernels = {0};
    sb_printf(&kernels,
              " kernel f { t = %s(h)\n r = cast(t) {to=bf16} }\n"
              " kernel g { y = cast(r) {to=f32} }\n",
              f->name);
    const float *y = NULL;
    KernelRun *run = sweep_run(sb_text(&kernels), cpu, x, &y);
    sb_free(&kernels);
    for (int i = 0; i < SWEEP; i++) {
        const double allowed = (0x1p-8 + 0x1p-12) * fabs(expected[i]) + 0x1p-119;
        const bool same = (isnan(expected[i]) && isnan(y[i])) || y[i] == expected[i];
        const bool large = fabs(expected[i]) > 0x1.fep127; /* may round to infinity */
        if (!same && !large && !(fabs(y[i] - expected[i]) <= allowed)) {
            cr_expect(false, "%s on %s at %.9g: %.9g, expected %.9g", f->name, cpu, (double)x[i],
                      (double)y[i], expected[i]);
            break;
        }
    }
    kernel_run_close(run);
}

Test(codegen, functions_that_are_rounded_keep_their_error_bounds)
{
    static const char *const models[] = {"native", "native+model", "x86-64-v4+model"};
    float *x = malloc(SWEEP * sizeof *x);
    double *expected = malloc(SWEEP * sizeof *expected);
    cr_assert(x && expected);
    sweep_fill(x);
    for (size_t f = 0; f < COUNT_OF(functions); f++) {
        const Op op = functions[f].op;
        if (op != OP_sigmoid && op != OP_silu && op != OP_gelu_erf)
            continue;
        for (int i = 0; i < SWEEP; i++)
            expected[i] = functions[f].meaning((double)x[i]);
        for (size_t i = 0; i < COUNT_OF(models); i++)
            if (cpu_runs_here(models[i]))
                measure_rounded(&functions[f], models[i], expected, x);
    }
    free(x);
    free(expected);
}

/* ---- kernels against the interpreter
 * ------------------------------------------------------------- */

static const int widths[] = {1, 7, 16, 80, 100};

/* Runs the graph that `text` makes of the widths, on every CPU, in one pass of three sequences, a
 * second one that goes on with them, and in several parts. $W: width; $V: 2 * width + 1. */
static void
agree_at(const char *text, const char *cpu, int width, double tolerance)
{
    StrBuf sb = {0};
    for (const char *p = text; *p; p++)
        if (p[0] == '$' && (p[1] == 'W' || p[1] == 'V'))
            sb_printf(&sb, "%d", *++p == 'W' ? width : 2 * width + 1);
        else
            sb_putn(&sb, p, 1);
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    const RunCall calls[] = {
        {.nseg = 3, .len = {5, 1, 9}, .slot = {2, 0, 3}, .vocab = 11, .parts = 1},
        {.nseg = 2, .len = {1, 2},    .slot = {3, 2},    .vocab = 11, .parts = 3},
        {.nseg = 1, .len = {13},      .slot = {0},       .vocab = 11, .parts = 7},
    };
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const double d = kernel_run_difference(run, &calls[i]);
        cr_expect(d <= tolerance, "%s, width %d, call %zu: off by %g\n%s", cpu, width, i, d,
                  sb_text(&sb));
    }
    kernel_run_close(run);
    sb_free(&sb);
}

static void
agree(const char *text, double tolerance)
{
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        for (size_t w = 0; cpu_runs_here(cpus[i]) && w < COUNT_OF(widths); w++)
            agree_at(text, cpus[i], widths[w], tolerance);
}

#define HEAD  "graph \"t\" kernel {\n block 32\n rows 32\n input ids: i32[T]\n input pick: i32[R]\n"
#define TABLE " weight table: f32[11,$W] tensor=\"table\" init=ones\n"
#define LOAD  " kernel load {part=rows} { h: f32[T,$W] = embed(ids, table) }\n"

Test(codegen, embed_widens_what_is_stored)
{
    static const char *const types[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        StrBuf sb = {0};
        sb_printf(&sb,
                  HEAD " weight table: %s[11,$W] tensor=\"table\" init=ones\n" LOAD " " PICK("h"),
                  types[i]);
        agree(sb_text(&sb), 0);
        sb_free(&sb);
    }
}

/* Denormal halves too, which are no denormals in f32. Read by an addition of 0, which would take a
 * denormal as 0. */
Test(codegen, every_half_is_read_exactly)
{
    enum { WIDTH = 1024, ROWS = 64 };
    static const char text[] =
        "graph \"halves\" kernel {\n block 64\n rows 64\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight x: f16[64,1024] tensor=\"x\" init=ones\n"
        " kernel load { h: f32[T,1024] = embed(ids, x) }\n"
        " kernel f { y: f32[T,1024] = add(h, 0) }\n" END;
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        if (!cpu_runs_here(cpus[i]))
            continue;
        KernelRun *run = kernel_run_open(text, cpus[i]);
        int64_t count = 0;
        uint16_t *halves = (uint16_t *)(void *)kernel_run_weight(run, "x", &count);
        for (int64_t h = 0; h < count; h++)
            halves[h] = (uint16_t)h;
        for (int row = 0; row < ROWS; row++)
            kernel_run_ids(run)[row] = row;
        const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 1};
        const float *y = kernel_run_code(run, &call, &count);
        int others = 0;
        for (int h = 0; h < WIDTH * ROWS; h++) {
            const float want = f16_to_f32((uint16_t)h);
            others += isnan(want) ? !isnan(y[h]) : y[h] != want;
        }
        cr_expect_eq(count, WIDTH * ROWS);
        cr_expect_eq(others, 0, "%s: %d halves are other numbers", cpus[i], others);
        kernel_run_close(run);
    }
}

Test(codegen, take_picks_rows)
{
    agree(HEAD TABLE LOAD " kernel pick {part=rows} {\n"
                          "  r: f32[R,$W] = take(h, pick)\n"
                          "  y: f32[R,$W] = add(r, 1)\n }\n output y\n}\n",
          1e-7);
}

Test(codegen, map_broadcasts_rows_columns_and_numbers)
{
    agree(HEAD " weight table: f32[11,$V] tensor=\"table\" init=ones\n"
               " weight w: bf16[$W] tensor=\"w\" init=ones\n"
               " kernel load {part=rows} { h: f32[T,$V] = embed(ids, table) }\n"
               " a: f32[T,$W], b: f32[T,1], c: f32[T,$W] = split(h) {sizes=[$W, 1, $W]}\n"
               " kernel m {part=rows} {\n"
               "  e: f32[T,1] = exp(b)\n"
               "  t: f32[T,$W] = mul(a, e)\n"
               "  u: f32[T,$W] = add(t, w)\n"
               "  v: f32[T,$W] = sub(0.5, u)\n"
               "  x: f32[T,$W] = mul(v, c)\n"
               "  y: f32[T,$W] = add(x, 1)\n }\n" END,
          1e-6);
}

Test(codegen, map_computes_every_pointwise_op)
{
    agree(HEAD TABLE LOAD " kernel m {part=rows} {\n"
                          "  a: f32[T,$W] = exp(h)\n"
                          "  b: f32[T,$W] = sigmoid(a)\n"
                          "  c: f32[T,$W] = silu(h)\n"
                          "  d: f32[T,$W] = softplus(c)\n"
                          "  e: f32[T,$W] = tanh(d)\n"
                          "  f: f32[T,$W] = gelu(e)\n"
                          "  g: f32[T,$W] = relu(h)\n"
                          "  i: f32[T,$W] = neg(g)\n"
                          "  j: f32[T,$W] = clamp(i) {range=[-1.5, 0.25]}\n"
                          "  l: f32[T,$W] = square(j)\n"
                          "  m: f32[T,$W] = gelu_erf(f)\n"
                          "  n: f32[T,$W] = log(a)\n"
                          "  k: f32[T,$W] = mul(m, b)\n"
                          "  o: f32[T,$W] = add(k, n)\n"
                          "  y: f32[T,$W] = sub(l, o)\n }\n" END,
          1e-6);
}

/* Stored as bf16 between two kernels, and rounded within one. */
Test(codegen, casts_round_to_bf16)
{
    agree(HEAD TABLE LOAD " kernel m {part=rows} {\n"
                          "  a: bf16[T,$W] = cast(h) {to=bf16}\n"
                          "  b: f32[T,$W] = mul(a, a)\n }\n"
                          " kernel n { c: f32[T,$W] = mul(a, 3)\n"
                          "  y: f32[T,$W] = add(c, b)\n }\n" END,
          1e-6);
}

Test(codegen, rmsnorm_by_itself)
{
    agree(HEAD TABLE " weight w: f16[$W] tensor=\"w\" init=ones\n" LOAD
                     " kernel norm {part=rows} {\n"
                     "  y: f32[T,$W] = rmsnorm(h, w) {eps=1e-05}\n }\n" END,
          2e-6);
    agree(HEAD TABLE LOAD " kernel norm {part=rows} {\n"
                          "  y: f32[T,$W] = rmsnorm(h) {eps=1e-05}\n }\n" END,
          2e-6);
}

/* e^x makes ones of the zeros that lanes outside a row hold: they must not be summed. The
 * prologue's value is used outside as well. */
Test(codegen, rmsnorm_between_pointwise_ops)
{
    agree(HEAD TABLE " weight w: f32[$W] tensor=\"w\" init=ones\n" LOAD
                     " kernel norm {part=rows} {\n"
                     "  e: f32[T,$W] = exp(h)\n"
                     "  x: f32[T,$W] = mul(e, h)\n"
                     "  n: f32[T,$W] = rmsnorm(e, w) {eps=1e-05}\n"
                     "  s: f32[T,$W] = silu(n)\n"
                     "  z: bf16[T,$W] = cast(s) {to=bf16}\n }\n"
                     " kernel sum {\n"
                     "  t: f32[T,$W] = add(z, e)\n"
                     "  y: f32[T,$W] = add(t, x)\n }\n" END,
          1e-2);
}

Test(codegen, rmsnorm_in_groups)
{
    agree(HEAD " weight table: f32[11,240] tensor=\"table\" init=ones\n"
               " weight w: f32[240] tensor=\"w\" init=ones\n"
               " kernel load {part=rows} { h: f32[T,240] = embed(ids, table) }\n"
               " kernel norm {part=rows} {\n"
               "  g: f32[T,240] = silu(h)\n"
               "  y: f32[T,240] = rmsnorm(g, w) {eps=1e-05, groups=3}\n }\n" END,
          2e-6);
}

Test(codegen, rmsnorm_in_groups_of_one_weight)
{
    static const int groups[] = {2, 3, 16, 80, 240};
    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        StrBuf sb = {0};
        sb_printf(&sb,
                  HEAD " weight table: f32[11,240] tensor=\"table\" init=ones\n"
                       " weight w: f16[%d] tensor=\"w\" init=ones\n"
                       " kernel load {part=rows} { h: f32[T,240] = embed(ids, table) }\n"
                       " kernel norm {part=rows} {\n"
                       "  g: f32[T,240] = silu(h)\n"
                       "  n: f32[T,240] = rmsnorm(g, w) {eps=1e-05, groups=%d}\n"
                       "  y: f32[T,240] = mul(n, g)\n }\n" END,
                  240 / groups[i], groups[i]);
        agree(sb_text(&sb), 2e-6);
        sb_free(&sb);
    }
}

static const int taps[] = {2, 3, 4, 16};

Test(codegen, conv1d_carries_its_state)
{
    for (size_t i = 0; i < COUNT_OF(taps); i++) {
        StrBuf sb = {0};
        sb_printf(&sb,
                  HEAD TABLE " weight w: f32[$W,1,%d] tensor=\"w\" init=ones\n"
                             " weight b: bf16[$W] tensor=\"b\" init=ones\n"
                             " state s: f32[%d,$W]\n"
                             " kernel w {part=rows} { p: f32[%d,$W] = transpose(w) }\n" LOAD
                             " kernel conv {part=cols} {\n"
                             "  c: f32[T,$W] = conv1d(h, p, b, s)\n"
                             "  y: f32[T,$W] = silu(c)\n }\n" END,
                  taps[i], taps[i] - 1, taps[i]);
        agree(sb_text(&sb), 3e-6);
        sb_free(&sb);
    }
}

Test(codegen, conv1d_reads_the_stored_weight_and_a_prologue)
{
    agree(HEAD TABLE " weight w: f16[$W,1,4] tensor=\"w\" init=ones\n"
                     " state s: f32[3,$W]\n" LOAD " kernel conv {part=cols} {\n"
                     "  a: f32[T,$W] = mul(h, 0.5)\n"
                     "  y: f32[T,$W] = conv1d(a, w, _, s)\n }\n" END,
          2e-6);
}

/* ---- rows in another order, columns side by side --------------------------------------------- */

Test(codegen, regroup_moves_and_scales_rows)
{
    static const char *const types[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        StrBuf sb = {0};
        sb_printf(&sb,
                  HEAD TABLE
                  " weight w: %s[10,$W] tensor=\"w\" init=ones\n"
                  " weight b: %s[10] tensor=\"b\" init=ones\n"
                  " kernel rows {part=rows} {\n  m: f32[10,$W] = mul(w, 2)\n"
                  "  r: f32[10,$W] = regroup(m) {sizes=[1, 3, 1], groups=2, "
                  "factors=[0.5, -3, 1]}\n }\n"
                  " kernel bias {part=rows} { s: f32[10] = regroup(b) {sizes=[2, 3], "
                  "groups=2} }\n"
                  " kernel pairs {part=rows} {\n"
                  "  t: f32[10,$W] = regroup(r) {sizes=[1, 1], groups=2, repeat=2}\n }\n" LOAD
                  " kernel p {part=rows} { p = pack(t) {panel=8} }\n"
                  " kernel l {tile=2} {\n"
                  "  y = linear(h, p, s) {out=10, matmul=emitted}\n }\n" END,
                  types[i], types[i]);
        agree(sb_text(&sb), 1e-4);
        sb_free(&sb);
    }
}

Test(codegen, concat_computes_what_is_around_it)
{
    agree(HEAD TABLE " weight other: f32[11,5] tensor=\"other\" init=ones\n" LOAD
                     " kernel more {part=rows} { g: f32[T,5] = embed(ids, other) }\n"
                     " kernel join {part=rows} {\n  a: f32[T,5] = mul(g, 3)\n"
                     "  c = concat(a, h)\n  y = silu(c)\n }\n" END,
          2e-6);
}

/* Each group of columns of h before all of g; numbers of a vector, each for a group's columns. */
Test(codegen, concat_in_groups_and_spread)
{
    agree(HEAD TABLE " weight other: f32[11,5] tensor=\"other\" init=ones\n"
                     " weight v: f32[3] tensor=\"v\" init=ones\n"
                     " weight sixth: f32[11,6] tensor=\"sixth\" init=ones\n" LOAD
                     " kernel more {part=rows} { g: f32[T,5] = embed(ids, other) }\n"
                     " kernel some {part=rows} { x: f32[T,6] = embed(ids, sixth) }\n"
                     " kernel spread {part=rows} {\n  e: f32[3] = exp(v)\n"
                     "  w: f32[21] = spread(e) {repeat=7}\n }\n"
                     " kernel join {part=rows} {\n  a: f32[T,6] = mul(x, 3)\n"
                     "  c = concat(a, g) {groups=3}\n  d = mul(c, w)\n  y = silu(d)\n }\n" END,
          2e-6);
}

/* ---- packed weights
 * -------------------------------------------------------------------------------- */

typedef struct {
    int rows, width, panel;
    bool bf16;
} PackCase;

static const AbiOperand *
packed_operand(const AbiProgram *p)
{
    for (int32_t i = 0; i < p->noperands; i++)
        if (p->operands[i].space == ABI_PARAM)
            return &p->operands[i];
    return NULL;
}

static double
packed_element(const PackCase *t, const void *packed, int row, int col)
{
    const int units = t->bf16 ? (t->width + 1) / 2 : t->width;
    const int lane = row % t->panel, unit = t->bf16 ? col / 2 : col;
    const size_t at =
        ((size_t)(row / t->panel) * (size_t)units + (size_t)unit) * (size_t)t->panel + (size_t)lane;
    if (!t->bf16)
        return ((const float *)packed)[at];
    return bf16_to_f32(((const uint16_t *)packed)[2 * at + (size_t)(col % 2)]);
}

/* pack(W * w): every element is where the layout says, with zeros past the last row and column. */
static void
check_pack(const PackCase *t, const char *cpu)
{
    StrBuf sb = {0};
    sb_printf(&sb,
              HEAD " weight table: f32[11,%d] tensor=\"table\" init=ones\n"
                   " weight W: f32[%d,%d] tensor=\"W\" init=ones\n"
                   " weight w: f32[%d] tensor=\"w\" init=ones\n"
                   " kernel p {part=rows} {\n  m: f32[%d,%d] = mul(W, w)\n",
              t->width, t->rows, t->width, t->width, t->rows, t->width);
    if (t->bf16)
        sb_printf(&sb, "  r = cast(m) {to=bf16}\n");
    sb_printf(&sb, "  p = pack(%s) {panel=%d}\n }\n", t->bf16 ? "r" : "m", t->panel);
    sb_printf(&sb, " kernel load { h: f32[T,%d] = embed(ids, table) }\n", t->width);
    if (t->bf16)
        sb_printf(&sb, " kernel c { x = cast(h) {to=bf16} }\n");
    sb_printf(&sb, " kernel l {tile=2} { y = linear(%s, p) {out=%d, matmul=emitted} }\n" END,
              t->bf16 ? "x" : "h", t->rows);
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    const RunCall call = {.nseg = 1, .len = {3}, .vocab = 11, .parts = 3};
    cr_expect_leq(kernel_run_difference(run, &call), t->bf16 ? 2e-2 : 1e-4, "%s:\n%s", cpu,
                  sb_text(&sb));
    const void *packed = kernel_run_operand(run, packed_operand(kernel_run_program(run)));
    int64_t count = 0;
    const float *w = kernel_run_weight(run, "w", &count), *W = kernel_run_weight(run, "W", &count);
    const int rows = (t->rows + t->panel - 1) / t->panel * t->panel;
    const int cols = t->bf16 ? (t->width + 1) / 2 * 2 : t->width;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const bool real = i < t->rows && j < t->width;
            const float product = real ? W[i * t->width + j] * w[j] : 0;
            const float expected = t->bf16 ? bf16_to_f32(f32_to_bf16(product)) : product;
            cr_assert_eq(packed_element(t, packed, i, j), expected, "%s: [%d,%d]\n%s", cpu, i, j,
                         sb_text(&sb));
        }
    kernel_run_close(run);
    sb_free(&sb);
}

Test(codegen, pack_puts_every_element_in_its_panel)
{
    static const PackCase cases[] = {
        {1,   1,   16, false},
        {16,  16,  16, false},
        {33,  47,  32, false},
        {100, 40,  48, false},
        {5,   70,  8,  false},
        {1,   1,   16, true },
        {16,  32,  16, true },
        {33,  47,  32, true },
        {50,  131, 64, true }
    };
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
            check_pack(&cases[i], cpus[c]);
}

Test(codegen, pack_stores_what_others_read_too)
{
    agree(HEAD TABLE " weight b: f32[$W] tensor=\"b\" init=ones\n"
                     " weight W: f32[11,$W] tensor=\"W\" init=ones\n"
                     " kernel p {part=rows} {\n"
                     "  m: f32[11,$W] = mul(W, b)\n"
                     "  p = pack(m) {panel=16}\n }\n" LOAD
                     " kernel l {part=cols} { a = linear(h, p) {out=11, matmul=emitted} }\n"
                     " c: f32[T,1], d: f32[T,10] = split(a) {sizes=[1, 10]}\n"
                     " kernel n {part=rows} {\n"
                     "  e = embed(ids, m)\n"
                     "  y: f32[T,$W] = add(e, c)\n }\n" END,
          1e-4);
}

/* ---- faults
 * ------------------------------------------------------------------------------------------ */

/* What is said of a graph that no code can be made of. */
static void
refused_for(const char *cpu, const char *text, const char *says)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {.path = "kernel", .text = text, .len = strlen(text)};
    const Graph *g = graph_parse(arena, &source, diag);
    StrBuf sb = {0};
    Machine target;
    const char *why = NULL;
    cr_assert(cg_machine(arena, cpu, &target, &why), "%s", why);
    cr_expect(g, "does not parse");
    CgModule *module = g ? cg_module(&target, &g, 1, diag) : NULL;
    cr_expect_null(module);
    diag_print(diag, &sb);
    cr_expect(strstr(sb_text(&sb), says), "expected `%s` in:\n%s", says, sb_text(&sb));
    cg_module_free(module);
    sb_free(&sb);
    diag_free(diag);
    arena_free(arena);
}

static void
refused(const char *text, const char *says)
{
    refused_for("x86-64-v3", text, says);
}

#define SMALL                                                                                      \
    "graph \"t\" kernel {\n block 8\n rows 8\n input ids: i32[T]\n input pick: i32[R]\n"           \
    " weight table: f32[11,4]\n kernel load { h: f32[T,4] = embed(ids, table) }\n"

Test(codegen, graphs_without_code_are_refused)
{
    refused(SMALL " kernel t { y = take(h, pick) }\n output y\n}\n", "has no place");
    refused(SMALL " x: f32[T,1], z: f32[T,3] = split(h) {sizes=[1, 3]}\n"
                  " kernel n { r = rmsnorm(x) {eps=0}\n  s = add(r, h)\n }\n"
                  " kernel t { y = take(s, pick) }\n output y\n}\n",
            "stores only values of the shape of `r`");
    refused(SMALL " kernel c { cb = chunk_cb(h, h) {groups=1, state=4, chunk=2} }\n"
                  " kernel e { x = exp(cb) }\n kernel t { y = take(h, pick) }\n output y\n}\n",
            "chunk");
    refused("graph \"t\" lowered {\n block 8\n rows 8\n input ids: i32[T]\n input pick: i32[R]\n"
            " weight table: f32[11,4]\n h = embed(ids, table)\n y = take(h, pick)\n output y\n}\n",
            "stage lowered; code is made of stage kernel");
}

#define ATTENTION(dtype, width, keys, values, kernel, attrs)                                       \
    "graph \"t\" kernel {\n block 64\n rows 8\n input ids: i32[T]\n input pick: i32[R]\n weight "  \
    "table: f32[11," width "]\n state ks: " dtype "[S," width "]\n state vs: " dtype "[S," width   \
    "]\n"                                                                                          \
    " kernel q { h = embed(ids, table) }\n kernel k { K = keep(h, ks) {" keys "} }\n"              \
    " kernel v { V = keep(h, vs) {" values "} }\n kernel a {" kernel                               \
    "} {\n  y = attention(h, K, V) "                                                               \
    "{heads=1, groups=1, scale=1, " attrs "}\n }\n" END

/* Attention reads rows where a pass has them put; a text may say otherwise. */
Test(codegen, attention_reads_rows_as_they_lie)
{
#define KEYS   "layout=keys, head_dim=4"
#define VALUES "layout=values, head_dim=4"
    static const char *const lies =
        "attention reads `K` of layout=keys, head_dim=4 and `V` of layout=values, head_dim=4";
    refused(ATTENTION("f32", "4", "layout=rows", VALUES, "", "head_dim=4"), lies);
    refused(ATTENTION("f32", "4", KEYS, KEYS, "", "head_dim=4"), lies);
    refused(ATTENTION("f32", "4", KEYS, "layout=values, head_dim=2", "", "head_dim=4"), lies);
    refused(ATTENTION("f32", "4", KEYS ", window=8", VALUES, "", "head_dim=4"),
            "looks at more tokens than `K` or `V` keeps");
    refused(ATTENTION("f32", "4", KEYS, VALUES ", window=8", "", "head_dim=4, window=9"),
            "looks at more tokens than `K` or `V` keeps");
    refused(ATTENTION("bf16", "3", "layout=keys, head_dim=3", "layout=values, head_dim=3", "",
                      "head_dim=3"),
            "head_dim=3 is odd: keys in 16 bits lie in pairs");
    refused(ATTENTION("f32", "4", KEYS, VALUES, "unit=matrix", "head_dim=4"),
            "unit=matrix multiplies keys and values of bf16");
#undef KEYS
#undef VALUES
}

#define EPILOGUE(attrs)                                                                            \
    "graph \"t\" kernel {\n block 8\n rows 8\n input ids: i32[T]\n input pick: i32[R]\n weight "   \
    "table: f32[11,8]\n"                                                                           \
    " weight w: bf16[8,8]\n weight k: f32[4,8]\n state s: f32[3,8]\n"                              \
    " kernel pack { p = pack(w) {panel=32} }\n"                                                    \
    " kernel load { h = embed(ids, table)\n  x = cast(h) {to=bf16} }\n kernel c {" attrs "} {\n"   \
    "  u = linear(x, p) {out=8, matmul=emitted}\n  y = conv1d(u, k, _, s)\n }\n" END

/* In an epilogue rows come one after the other. */
Test(codegen, an_epilogue_wants_the_unit_and_all_rows)
{
    static const char *const says =
        "runs in an epilogue on a matrix unit alone, unit=matrix, where "
        "threads divide columns, part=cols";
    refused(EPILOGUE("tile=4"), says);
    refused_for("sapphirerapids", EPILOGUE("unit=matrix, tile=32, part=grid"), says);
}

/* A product of bf16 is exact and both add the odd member of a pair first: the same bits. */
Test(codegen, bf16_dots_are_the_same_by_instruction_and_by_fma)
{
    const char *const text =
        HEAD " weight table: f32[11,70] tensor=\"table\" init=ones\n"
             " weight W: bf16[33,70] tensor=\"W\" init=ones\n"
             " kernel p { p = pack(W) {panel=32} }\n"
             " kernel load { h: f32[T,70] = embed(ids, table)\n  x = cast(h) {to=bf16} }\n"
             " kernel l {tile=4} { y = linear(x, p) {out=33, matmul=emitted} }\n" END;
    const RunCall call = {.nseg = 1, .len = {11}, .parts = 1};
    float first[11 * 33] = {0};
    int done = 0;
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        if (!cpu_runs_here(cpus[i]) || strcmp(cpus[i], "x86-64") == 0)
            continue;
        KernelRun *run = kernel_run_open(text, cpus[i]);
        for (int row = 0; row < 11; row++)
            kernel_run_ids(run)[row] = row;
        int64_t count = 0;
        const float *y = kernel_run_code(run, &call, &count);
        cr_assert_eq(count, 11 * 33);
        if (!done++)
            memcpy(first, y, sizeof first);
        cr_expect_arr_eq(y, first, sizeof first, "%s", cpus[i]);
        kernel_run_close(run);
    }
}

/* ---- targets and modules
 * ------------------------------------------------------------------------------ */

Test(codegen, targets_are_known_by_name)
{
    Arena *arena = arena_new();
    Machine t;
    const char *why = NULL;
    cr_assert(cg_machine(arena, "znver4", &t, &why));
    cr_expect_eq(t.vector_bytes, 64);
    cr_expect(t.bf16_dot && t.fma);
    cr_assert(cg_machine(arena, "neoverse-v1", &t, &why));
    cr_expect_eq(t.vector_bytes, 16);
    cr_assert(cg_machine(arena, "native", &t, &why));
    cr_expect_gt(t.l1_bytes, 0);
    cr_expect_not(cg_machine(arena, "znver44", &t, &why));
    cr_expect(strstr(why, "znver4"), "%s", why);
    cr_expect_not(cg_machine(arena, "pdp11", &t, &why));
    cr_expect(strstr(why, "known are native, x86-64"), "%s", why);
    arena_free(arena);
}

/* Two equal layers are one set of functions; every form of the module can be had in any order, for
 * CPUs that are not this one too. */
Test(codegen, equal_kernels_are_one_function_in_every_form)
{
    static const char *const named[] = {"neoverse-v1", "x86-64-v2", "sapphirerapids"};
    const char *const text =
        "graph \"t\" kernel {\n block 8\n rows 8\n slab_bytes 4096\n"
        " output_bytes 128\n input ids: i32[T]\n input pick: i32[R]\n weight table: f32[11,4]\n"
        " kernel load { h: f32[T,4] @slab+0/4 = embed(ids, table) }\n"
        " kernel act { a: f32[T,4] @slab+128/4 = silu(h) }\n"
        " kernel act { b: f32[T,4] @slab+256/4 = silu(a) }\n"
        " kernel pick { y: f32[R,4] @output+0/4 = take(b, pick) }\n output y\n}\n";
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        Arena *arena = arena_new();
        Diag *diag = diag_new();
        const Source source = {.path = "kernel", .text = text, .len = strlen(text)};
        const Graph *g = graph_parse(arena, &source, diag);
        Machine target;
        const char *why = NULL;
        StrBuf before = {0}, after = {0}, code = {0}, object = {0};
        cr_assert(cg_machine(arena, named[i], &target, &why), "%s", why);
        diag_print(diag, &before);
        cr_assert(g, "%s", sb_text(&before));
        CgModule *module = cg_module(&target, &g, 1, diag);
        cr_assert(module);
        cr_expect_eq(cg_module_functions(module), 3);
        cg_emit(module, CG_OBJ, &object);
        cg_emit(module, CG_ASM, &code);
        cg_emit(module, CG_LLVM_OPT, &after);
        cg_emit(module, CG_LLVM, &before);
        cr_expect(memcmp(object.text, "\177ELF", 4) == 0);
        cr_expect(strstr(sb_text(&code), "ssmc_abi_program"));
        cr_expect(strstr(sb_text(&before), "alloca") || before.len > after.len);
        cr_expect_null(strstr(sb_text(&after), "alloca"));
        cg_module_free(module);
        sb_free(&before), sb_free(&after), sb_free(&code), sb_free(&object);
        diag_free(diag);
        arena_free(arena);
    }
}
