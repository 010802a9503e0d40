/* tests/unit/test_kernels_integers.c -- kernels over integers (linear_i8, linear_u4,
 * quantise_i8 and quantise_u4 with their packs) and over f16 weights, against the interpreter and
 * against the layouts that ir/ops.def states.
 *
 * Most numbers here are whole multiples of a power of two, with every extreme in every group: the
 * scales are then powers of two, no rounding has ties, and each sum is below 2^24 steps, so that
 * f32 holds every one of them. What the kernels make is then exactly what the interpreter makes,
 * and any difference is a fault. Random numbers follow, with a tolerance that says what may differ.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel_run.h"

enum { ROWS = 96 };

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};
static const char *const unit_cpus[] = {"native+model", "x86-64-v3+model", "x86-64+model",
                                        "native"};

typedef enum { I8, U4, HALF } Kind;

typedef struct {
    Kind kind;
    int K, O;
    int group; /* 0: one scale a row */
    int panel, tile;
    int first;           /* rows of the weight before the ones that are read; as many follow */
    const char *stored;  /* type of the weight in the checkpoint */
    bool folded;         /* the weight is a product with a norm's weight */
    bool bias, epilogue; /* epilogue: silu, then a residual is added */
    bool unit;           /* on the matrix unit, or the model of one */
} Case;

static const char *
case_text(Arena *arena, const Case *t, const char *cpu)
{
    static const char *const names[] = {[I8] = "i8", [U4] = "u4", [HALF] = "f16"};
    return arena_printf(arena, "%s on %s: K=%d O=%d group=%d panel=%d tile=%d first=%d %s%s%s%s%s",
                        names[t->kind], cpu, t->K, t->O, t->group, t->panel, t->tile, t->first,
                        t->stored, t->folded ? " folded" : "", t->bias ? " bias" : "",
                        t->epilogue ? " epilogue" : "", t->unit ? " unit" : "");
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* "name=n, " where n is not 0. */
static const char *
attr(Arena *arena, const char *name, int n)
{
    return n ? arena_printf(arena, "%s=%d, ", name, n) : "";
}

/* The kernel that packs the weight, and the scales of it: qp, sp, mp; or for HALF qp alone. */
static void
put_weight(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *rows = t->first ? arena_printf(arena, "first=%d, rows=%d, ", t->first, t->O) : "";
    const char *group = attr(arena, "group", t->group), *w = t->folded ? "f" : "w";
    sb_printf(sb, " kernel weight {part=rows} {\n");
    if (t->folded)
        sb_printf(sb, "  f = mul(w, n)\n");
    if (t->kind == HALF) {
        sb_printf(sb, "  c = cast(%s) {to=f16}\n  qp = pack(c) {%spanel=%d}\n }\n", w, rows,
                  t->panel);
        return;
    }
    const bool u4 = t->kind == U4;
    const char *attrs = arena_printf(arena, "%s%s", rows, group);
    if (*attrs)
        attrs = arena_printf(arena, " {%.*s}", (int)strlen(attrs) - 2, attrs);
    sb_printf(sb, "  q, s%s = quantise_%s(%s)%s\n", u4 ? ", m" : "", u4 ? "u4" : "i8", w, attrs);
    sb_printf(sb, "  qp = pack(q) {%spanel=%d}\n  sp = pack(s) {panel=%d}\n", group, t->panel,
              t->panel);
    if (u4)
        sb_printf(sb, "  mp = pack(m) {panel=%d}\n", t->panel);
    sb_printf(sb, " }\n");
}

static void
put_product(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *bias = t->bias ? ", bias" : "", *y = t->epilogue ? "a" : "y";
    const char *attrs = arena_printf(arena, "%sout=%d", attr(arena, "first", t->first), t->O);
    sb_printf(sb, " kernel product {%s%spart=cols} {\n", t->unit ? "unit=matrix, " : "",
              attr(arena, "tile", t->tile));
    if (t->kind == HALF)
        sb_printf(sb, "  %s = linear(x, qp%s) {%s, matmul=emitted}\n", y, bias, attrs);
    else
        sb_printf(sb, "  %s = linear_%s(xq, xs, qp, sp%s%s) {%s%s}\n", y,
                  t->kind == U4 ? "u4" : "i8", t->kind == U4 ? ", mp" : "", bias, attrs,
                  t->group ? arena_printf(arena, ", group=%d", t->group) : "");
    if (t->epilogue)
        sb_printf(sb, "  b = silu(a)\n  y = add(b, r)\n");
    sb_printf(sb, " }\n");
}

static const char *
graph_text(Arena *arena, const Case *t)
{
    const int all = t->O + 2 * t->first;
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"integers\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
              "i32[R]\n"
              " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
              " weight rt: f32[%d,%d] tensor=\"rt\" init=ones\n"
              " weight w: %s[%d,%d] tensor=\"w\" init=ones\n"
              " weight n: f32[%d] tensor=\"n\" init=ones\n"
              " weight bias: f32[%d] tensor=\"bias\" init=ones\n",
              ROWS, ROWS, ROWS, t->K, ROWS, t->O, t->stored, all, t->K, t->K, all);
    put_weight(&sb, arena, t);
    sb_printf(&sb, " kernel rows {part=rows} { x = embed(ids, xt) }\n");
    if (t->epilogue)
        sb_printf(&sb, " kernel residual {part=rows} { r = embed(ids, rt) }\n");
    if (t->kind != HALF)
        sb_printf(&sb, " kernel quantise {part=rows} { xq, xs = quantise(x) }\n");
    put_product(&sb, arena, t);
    sb_printf(&sb, " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n");
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* ---- exact numbers --------------------------------------------------------------------------- */

/* Any integer in low .. high, the same in every run. */
static int
whole(const char *what, int64_t i, int low, int high)
{
    const uint64_t bits = hash_bytes(&i, sizeof i, hash_bytes(what, strlen(what), 3));
    return low + (int)((bits >> 33) % (uint64_t)(high - low + 1));
}

/* What quantising must make of element (o,k), by `target`. */
typedef struct {
    int q;
    double s, m;
} Quantised;

/* The first two inputs of a group are its extremes; steps differ from group to group. */
static Quantised
target(const Case *t, int o, int k)
{
    const int group = t->group ? t->group : t->K, g = k / group, at = k % group;
    const double step = ldexp(1, whole("step", (int64_t)o * 64 + g, -6, -5));
    const int64_t i = (int64_t)o * t->K + k;
    if (t->kind != U4)
        return (Quantised){at == 0 ? (o % 2 ? 127 : -127) : whole("q", i, -127, 127), step, 0};
    const double m = whole("m", (int64_t)o * 64 + g, -15, 0) * step;
    if (t->K - g * group == 1)
        return (Quantised){0, 0, m}; /* one number has no extremes */
    return (Quantised){at == 0 ? 15 : at == 1 ? 0 : whole("q", i, 0, 15), step, m};
}

/* Norm weights are powers of two: a product with one can be undone exactly. */
static float
norm_weight(int k)
{
    return ldexpf(1, k % 5 - 2);
}

static void
store(const Case *t, void *data, int64_t i, float x)
{
    if (strcmp(t->stored, "f32") == 0)
        ((float *)data)[i] = x;
    else
        ((uint16_t *)data)[i] = strcmp(t->stored, "f16") == 0 ? f32_to_f16(x) : f32_to_bf16(x);
}

static void
fill_weight(KernelRun *run, const Case *t)
{
    int64_t count = 0;
    void *w = kernel_run_weight(run, "w", &count);
    for (int64_t i = 0; i < count; i++) {
        const Quantised z = target(t, (int)(i / t->K), (int)(i % t->K));
        const float x = (float)(z.q * z.s + z.m);
        store(t, w, i, t->folded ? x / norm_weight((int)(i % t->K)) : x);
    }
    if (!t->folded)
        return;
    float *n = kernel_run_weight(run, "n", &count);
    for (int k = 0; k < t->K; k++)
        n[k] = norm_weight(k);
}

static void
fill_exactly(KernelRun *run, const Case *t)
{
    int64_t count = 0;
    float *x = kernel_run_weight(run, "xt", &count);
    for (int64_t i = 0; i < count; i++) /* each row has its 127 */
        x[i] = (float)(i % t->K == i / t->K % t->K ? 127 : whole("x", i, -127, 127)) / 16;
    if (t->bias) {
        float *b = kernel_run_weight(run, "bias", &count);
        for (int64_t i = 0; i < count; i++)
            b[i] = (float)whole("bias", i, -64, 64) / 32;
    }
    fill_weight(run, t);
}

/* ---- packed weights -------------------------------------------------------------------------- */

/* Where (o,k) is among steps of `step` inputs (ops.def, pack). */
static int64_t
packed_at(const Case *t, int64_t steps, int step, int o, int k)
{
    const int64_t line = o / t->panel * steps + k / step;
    return (line * t->panel + o % t->panel) * step + k % step;
}

/* K of the packed weight: whole steps, or whole pairs of groups. */
static int
padded(const Case *t)
{
    return (int)round_up(t->K, t->group ? 2 * t->group : t->kind == U4 ? 8 : 4);
}

static int
packed_number(const Case *t, const uint8_t *packed, int o, int k)
{
    if (t->kind == I8)
        return packed[packed_at(t, padded(t) / 4, 4, o, k)] - 128;
    const uint8_t byte = packed[packed_at(t, padded(t) / 8, 4, o, k / 8 * 4 + k % 4)];
    return k % 8 < 4 ? byte % 16 : byte / 16;
}

static double
packed_scale(const Case *t, const void *packed, int o, int k)
{
    if (!t->group)
        return ((const float *)packed)[packed_at(t, 1, 1, o, 0)];
    const int64_t pairs = padded(t) / t->group / 2;
    return (double)bf16_to_f32(((const uint16_t *)packed)[packed_at(t, pairs, 2, o, k / t->group)]);
}

/* Every number, scale and minimum is where the layout says, zeros past the last row and input. */
static void
check_packed(KernelRun *run, const Case *t, const char *what)
{
    const uint8_t *q = kernel_run_value(run, "qp");
    const void *s = kernel_run_value(run, "sp"),
               *m = t->kind == U4 ? kernel_run_value(run, "mp") : NULL;
    for (int o = 0; o < round_up(t->O, t->panel); o++)
        for (int k = 0; k < padded(t); k++) {
            const bool real = o < t->O && k < t->K;
            Quantised z = real ? target(t, t->first + o, k) : (Quantised){0};
            cr_assert_eq(packed_number(t, q, o, k), z.q, "%s: q[%d,%d]", what, o, k);
            const bool scaled = o < t->O && (t->group ? k / t->group * t->group : 0) < t->K;
            if (scaled && !real)
                continue; /* of a group whose other inputs are there */
            cr_assert_eq(packed_scale(t, s, o, k), z.s, "%s: s[%d,%d]", what, o, k);
            if (m)
                cr_assert_eq(packed_scale(t, m, o, k), z.m, "%s: m[%d,%d]", what, o, k);
        }
}

/* ---- products -------------------------------------------------------------------------------- */

/* silu is within 2 ulp and halves of sums cancel: 1e-6 of 1 + |y|. All else is exact. */
static void
check_exactly(const Case *t, const char *cpu)
{
    static const int64_t lengths[] = {1, 2, 3, 7, 40, ROWS};
    Arena *arena = arena_new();
    const char *what = case_text(arena, t, cpu);
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    fill_exactly(run, t);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        const RunCall call = {
            .nseg = 1, .len = {lengths[i]}, .vocab = ROWS, .parts = 1 + (int)i % 3};
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= (t->epilogue ? 1e-6 : 0), "%s T=%lld: off by %g", what,
                  (long long)lengths[i], off);
    }
    if (t->kind != HALF)
        check_packed(run, t, what);
    kernel_run_close(run);
    arena_free(arena);
}

static const Case cases[] = {
    {I8,   1,   5,   0,   16, 2, 0,  "f32",  false, false, false, false},
    {I8,   3,   1,   0,   16, 0, 0,  "f32",  false, true,  false, false},
    {I8,   4,   16,  0,   16, 3, 0,  "bf16", false, false, true,  false},
    {I8,   8,   40,  0,   32, 0, 0,  "f16",  false, true,  true,  false},
    {I8,   31,  70,  0,   64, 6, 0,  "f32",  true,  true,  true,  false},
    {I8,   32,  130, 0,   64, 0, 0,  "f32",  false, false, false, false},
    {I8,   33,  16,  0,   16, 1, 5,  "f32",  true,  true,  false, false},
    {I8,   64,  70,  0,   32, 4, 16, "bf16", false, true,  true,  false},
    {I8,   100, 130, 0,   64, 0, 0,  "bf16", true,  false, true,  false},
    {I8,   256, 40,  0,   64, 6, 0,  "f32",  false, true,  true,  false},
    {I8,   300, 70,  0,   32, 0, 3,  "f16",  true,  true,  true,  false},
    {I8,   8,   5,   8,   16, 2, 0,  "f32",  false, false, false, false},
    {I8,   33,  16,  8,   16, 0, 0,  "f32",  true,  true,  false, false},
    {I8,   64,  70,  32,  32, 0, 0,  "bf16", false, true,  true,  false},
    {I8,   100, 40,  24,  64, 2, 7,  "f32",  false, true,  true,  false},
    {I8,   256, 130, 64,  64, 0, 0,  "f32",  false, false, false, false},
    {I8,   300, 16,  128, 16, 3, 2,  "f32",  true,  true,  false, false},
    {I8,   3,   1,   24,  16, 0, 0,  "f32",  false, false, false, false},
    {U4,   1,   5,   8,   16, 2, 0,  "f32",  false, false, false, false},
    {U4,   3,   1,   32,  16, 0, 0,  "f32",  false, true,  false, false},
    {U4,   4,   16,  8,   16, 1, 0,  "bf16", false, false, true,  false},
    {U4,   8,   40,  8,   32, 0, 0,  "f16",  false, true,  true,  false},
    {U4,   31,  70,  32,  64, 3, 0,  "f32",  true,  true,  true,  false},
    {U4,   33,  16,  32,  16, 0, 5,  "f32",  true,  true,  false, false},
    {U4,   64,  130, 64,  64, 0, 0,  "f32",  false, false, false, false},
    {U4,   100, 70,  8,   32, 2, 16, "bf16", false, true,  true,  false},
    {U4,   256, 40,  32,  64, 3, 0,  "f32",  false, true,  true,  false},
    {U4,   300, 130, 64,  64, 0, 3,  "f32",  true,  true,  true,  false},
    {HALF, 1,   5,   0,   16, 2, 0,  "f32",  false, true,  false, false},
    {HALF, 31,  70,  0,   32, 0, 5,  "f32",  true,  true,  true,  false},
    {HALF, 64,  130, 0,   64, 6, 0,  "bf16", false, false, false, false},
    {HALF, 100, 16,  0,   16, 0, 0,  "f16",  false, true,  false, false},
    {HALF, 300, 40,  0,   48, 3, 0,  "f16",  false, false, true,  false},
};

/* Panels of 32 columns; groups of whole steps of 64 or 32 bytes. */
static const Case unit_cases[] = {
    {I8, 1,    5,   0,   32, 32, 0,  "f32",  false, false, false, true},
    {I8, 3,    1,   0,   32, 32, 0,  "f32",  false, true,  false, true},
    {I8, 31,   70,  0,   32, 32, 0,  "f32",  true,  true,  true,  true},
    {I8, 64,   32,  0,   32, 32, 16, "bf16", false, true,  true,  true},
    {I8, 65,   33,  0,   32, 32, 0,  "f32",  false, false, false, true},
    {I8, 256,  40,  0,   32, 32, 0,  "f32",  false, true,  true,  true},
    {I8, 700,  130, 0,   32, 32, 3,  "f16",  true,  true,  true,  true},
    {I8, 64,   70,  32,  32, 32, 0,  "bf16", false, true,  true,  true},
    {I8, 100,  40,  96,  32, 32, 7,  "f32",  false, true,  true,  true},
    {I8, 256,  130, 64,  32, 32, 0,  "f32",  false, false, false, true},
    {I8, 700,  16,  128, 32, 32, 2,  "f32",  true,  true,  false, true},
    {U4, 3,    1,   32,  32, 32, 0,  "f32",  false, true,  false, true},
    {U4, 31,   70,  32,  32, 32, 0,  "f32",  true,  true,  true,  true},
    {U4, 33,   16,  32,  32, 32, 5,  "f32",  true,  true,  false, true},
    {U4, 64,   130, 64,  32, 32, 0,  "f32",  false, false, false, true},
    {U4, 256,  40,  32,  32, 32, 0,  "f32",  false, true,  true,  true},
    {U4, 300,  130, 64,  32, 32, 3,  "f32",  true,  true,  true,  true},
    {U4, 700,  33,  128, 32, 32, 0,  "bf16", false, true,  false, true},
    {I8, 1100, 40,  0,   32, 32, 0,  "f32",  false, true,  false, true},
    {I8, 1200, 33,  96,  32, 32, 0,  "f32",  false, false, true,  true},
    {U4, 1100, 33,  32,  32, 32, 0,  "f32",  false, true,  false, true},
};

Test(integers, products_on_the_matrix_unit_are_exact)
{
    for (size_t c = 0; c < COUNT_OF(unit_cpus); c++)
        for (size_t i = 0; i < COUNT_OF(unit_cases); i++)
            if (cpu_runs_here(unit_cpus[c]) && (strchr(unit_cpus[c], '+') || matrix_unit_here()))
                check_exactly(&unit_cases[i], unit_cpus[c]);
}

static void
check_kind(Kind kind)
{
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
            if (cases[i].kind == kind)
                check_exactly(&cases[i], cpus[c]);
}

Test(integers, linear_i8_is_exact_over_shapes_groups_and_targets)
{
    check_kind(I8);
}

Test(integers, linear_u4_is_exact_over_shapes_groups_and_targets)
{
    check_kind(U4);
}

Test(integers, linear_over_f16_is_exact_over_shapes_and_targets)
{
    check_kind(HALF);
}

/* ---- random numbers -------------------------------------------------------------------------- */

/* A number within 2^-15 of the middle of two whole ones may be rounded to either, as the kernel
 * multiplies by an inverse of the scale in f32: one in about 10^5 is. That changes a product by one
 * step of this number times the other factor, which is below 2: in all columns of a token or, for a
 * weight, in all tokens of a column. So an output may be off by two such changes, and only one in
 * twenty may be off at all. */
static void
check_randomly(const Case *t, const char *cpu)
{
    Arena *arena = arena_new();
    const char *what = case_text(arena, t, cpu);
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    int64_t count = 0, same = 0, off = 0;
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 2};
    const float *got = kernel_run_code(run, &call, &count);
    const double *want = kernel_run_interp(run, &call, &same);
    cr_assert_eq(count, same);
    const double step = t->kind == U4 ? 2 * 4 / 15.0 : 2 * 2 / 127.0;
    for (int64_t i = 0; i < count; i++) {
        const double error = fabs(got[i] - want[i]);
        cr_assert(error <= 2 * step, "%s: [%lld] is %g, expected %g", what, (long long)i,
                  (double)got[i], want[i]);
        off += error > 2e-5 * (1 + fabs(want[i]));
    }
    cr_expect_leq(off, count / 20, "%s: %lld of %lld outputs differ", what, (long long)off,
                  (long long)count);
    kernel_run_close(run);
    arena_free(arena);
}

Test(integers, random_weights_are_rounded_as_the_interpreter_rounds_them)
{
    static const Case random[] = {
        {I8, 100, 130, 0,  64, 0, 0, "f32",  false, false, false, false},
        {I8, 300, 70,  32, 32, 0, 4, "bf16", false, true,  false, false},
        {I8, 64,  40,  0,  16, 0, 0, "f16",  false, false, false, false},
        {U4, 256, 70,  32, 64, 0, 0, "f32",  false, false, false, false},
        {U4, 100, 40,  8,  32, 0, 4, "bf16", false, true,  false, false},
    };
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(random); i++)
            check_randomly(&random[i], cpus[c]);
}

/* A row's result does not depend on the rows beside it, nor on how many threads share the work. */
Test(integers, products_have_the_same_bits_in_any_batch)
{
    static const Case batches[] = {
        {I8,   101, 70, 0,  32, 0, 0, "f32", false, true, true, false},
        {I8,   101, 70, 24, 32, 0, 0, "f32", false, true, true, false},
        {U4,   101, 70, 32, 32, 0, 0, "f32", false, true, true, false},
        {HALF, 101, 70, 0,  32, 0, 0, "f32", false, true, true, false},
    };
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(graph_text(arena, &batches[i]), "native");
        const size_t row = (size_t)batches[i].O * sizeof(float);
        int64_t count = 0;
        for (int r = 0; r < ROWS; r++)
            kernel_run_ids(run)[r] = r;
        RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 1};
        char *all = arena_alloc(arena, ROWS * row);
        memcpy(all, kernel_run_code(run, &call, &count), ROWS * row);
        for (int first = 0, rows = 1; first + rows <= ROWS; first += rows, rows++) {
            for (int r = 0; r < rows; r++)
                kernel_run_ids(run)[r] = first + r;
            call = (RunCall){.nseg = 1, .len = {rows}, .parts = 1 + rows % 4};
            const float *part = kernel_run_code(run, &call, &count);
            cr_expect(memcmp(part, all + (size_t)first * row, (size_t)rows * row) == 0,
                      "%s: rows %d to %d", case_text(arena, &batches[i], "native"), first,
                      first + rows);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}
