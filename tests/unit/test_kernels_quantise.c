/* tests/unit/test_kernels_quantise.c -- the kernel that quantises rows of activations, by itself
 * and after a norm or pointwise ops: each scale and each integer against their definition,
 * over widths and targets; rows of zeros, of one number, of what is no number. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "tests/kernel_run.h"

enum { ROWS = 23 };

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};

/* A graph over x [T,width] whose kernels `middle` make q, s from it, and y = q * s: a product with
 * the identity over integers. `rows` is T, or R where middle picks them. */
static KernelRun *
open_quantise(const char *middle, int width, bool picked, const char *cpu)
{
    StrBuf sb = {0};
    const char *y = picked ? "out" : "y";
    sb_printf(
        &sb,
        "graph \"quantise\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
        "i32[R]\n"
        " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
        " weight one: f32[%d,%d] tensor=\"one\" init=ones\n"
        " weight g: f32[%d] tensor=\"g\" init=ones\n"
        " kernel weight {part=rows} {\n  w, ws = quantise_i8(one)\n  wp = pack(w) {panel=16}\n"
        "  wsp = pack(ws) {panel=16}\n }\n"
        " kernel rows {part=rows} { x = embed(ids, xt) }\n%s"
        " kernel product {part=cols} { %s = linear_i8(q, s, wp, wsp) {out=%d} }\n",
        ROWS, ROWS, ROWS, width, width, width, width, middle, y, width);
    sb_printf(&sb, "%s output out\n}\n",
              picked ? "" : " kernel pick {part=rows} { out = take(y, pick) }\n");
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    sb_free(&sb);
    int64_t count = 0;
    float *one = kernel_run_weight(run, "one", &count);
    for (int64_t i = 0; i < count; i++)
        one[i] = i / width == i % width ? 127 : 0; /* scale 1 */
    return run;
}

/* Rows 0 .. ROWS - 1; what the product makes of them. */
static const float *
run_rows(KernelRun *run, int parts)
{
    int64_t count = 0;
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = parts};
    return kernel_run_code(run, &call, &count);
}

/* s is the greatest magnitude / 127 in f32; q the nearest integer to x / s, where 2^-15 from
 * the middle of two is either; y is q times s. */
static void
check_row(const float *x, const int8_t *q, float s, const float *y, int width, const char *what)
{
    float most = 0;
    for (int i = 0; i < width; i++)
        most = fmaxf(most, fabsf(x[i]));
    cr_assert_eq(s, most / 127, "%s: scale %g, expected %g", what, (double)s, (double)most / 127);
    for (int i = 0; i < width; i++) {
        const double exact = s > 0 ? (double)x[i] / (double)s : 0;
        cr_assert_leq(fabs(q[i] - exact), 0.5 + 0x1p-15, "%s: q[%d]=%d of %g", what, i, q[i],
                      exact);
        if (y)
            cr_assert_eq(y[i], (float)(127 * q[i]) * s, "%s: y[%d]", what, i);
    }
}

/* Rows of every kind: random, all zeros, one number alone, negative, and tiny. */
static void
fill_rows(float *x, int width)
{
    for (int i = 0; i < width; i++) {
        x[1 * width + i] = 0;
        x[2 * width + i] = i == width / 2 ? -3 : 0;
        x[3 * width + i] = -fabsf(x[3 * width + i]) - 1;
        x[4 * width + i] *= 0x1p-80F;
    }
}

Test(quantise, rows_by_themselves)
{
    static const int widths[] = {1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100, 257};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t w = 0; cpu_runs_here(cpus[c]) && w < COUNT_OF(widths); w++) {
            Arena *arena = arena_new();
            const int width = widths[w];
            KernelRun *run = open_quantise(" kernel quantise {part=rows} { q, s = quantise(x) }\n",
                                           width, false, cpus[c]);
            int64_t count = 0;
            float *x = kernel_run_weight(run, "xt", &count);
            fill_rows(x, width);
            const float *y = run_rows(run, 1 + (int)w % 3);
            const int8_t *q = kernel_run_value(run, "q");
            const float *s = kernel_run_value(run, "s");
            for (int r = 0; r < ROWS; r++)
                check_row(x + r * width, q + r * width, s[r], y + r * width, width,
                          arena_printf(arena, "%s width %d row %d", cpus[c], width, r));
            kernel_run_close(run);
            arena_free(arena);
        }
}

/* Rows that are picked, for the head: R of them, in the order of the picks. */
Test(quantise, picked_rows)
{
    KernelRun *run = open_quantise(" kernel pick {part=rows} { h = take(x, pick) }\n"
                                   " kernel quantise {part=rows} { q, s = quantise(h) }\n",
                                   40, true, "native");
    int64_t count = 0;
    const float *x = kernel_run_weight(run, "xt", &count), *y = run_rows(run, 2);
    const int8_t *q = kernel_run_value(run, "q");
    const float *s = kernel_run_value(run, "s");
    for (int r = 0; r < ROWS; r++)
        check_row(x + r * 40, q + r * 40, s[r], y + r * 40, 40, "picked");
    kernel_run_close(run);
}

static const char *
separate(Arena *arena, const char *nodes)
{
    return arena_printf(arena,
                        " kernel before {part=rows} {\n%s }\n"
                        " kernel quantise {part=rows} { q, s = quantise(u) }\n",
                        nodes);
}

static const char *
joined(Arena *arena, const char *nodes)
{
    return arena_printf(arena, " kernel quantise {part=rows} {\n%s  q, s = quantise(u)\n }\n",
                        nodes);
}

/* One kernel makes of the row in its registers what two make of one that was stored between. */
static void
check_joined(const char *nodes, int width, const char *cpu)
{
    Arena *arena = arena_new();
    KernelRun *one = open_quantise(joined(arena, nodes), width, false, cpu);
    KernelRun *two = open_quantise(separate(arena, nodes), width, false, cpu);
    const float *y = run_rows(one, 2), *z = run_rows(two, 1);
    const size_t rows = ROWS * (size_t)width;
    cr_expect_arr_eq(kernel_run_value(one, "q"), kernel_run_value(two, "q"), rows,
                     "%s width %d: q of\n%s", cpu, width, nodes);
    cr_expect_arr_eq(kernel_run_value(one, "s"), kernel_run_value(two, "s"), ROWS * sizeof(float),
                     "%s width %d: s of\n%s", cpu, width, nodes);
    cr_expect_arr_eq(y, z, rows * sizeof(float), "%s width %d: y of\n%s", cpu, width, nodes);
    cr_expect(isfinite(y[0]) && y[0] != 0);
    kernel_run_close(one);
    kernel_run_close(two);
    arena_free(arena);
}

/* Of a machine without a matrix unit: beside one, a kernel that stores bytes alone may compute silu
 * to 2^-12, and one that stores f32 may not. */
Test(quantise, joined_to_what_makes_the_row_it_gives_the_same_numbers)
{
    static const char *const nodes[] = {
        "  u = rmsnorm(x) {eps=1e-05}\n",
        "  u = rmsnorm(x, g) {eps=1e-05}\n",
        "  a = silu(x)\n  b = mul(x, a)\n  u = rmsnorm(b, g) {eps=1e-05, groups=2}\n",
        "  a = silu(x)\n  u = mul(x, a)\n",
        "  a = rmsnorm(x) {eps=1e-05}\n  b = silu(a)\n  u = mul(b, g)\n",
        "  u = layernorm(x) {eps=1e-05}\n",
        "  u = layernorm(x, g, g) {eps=1e-05}\n",
        "  a = gelu_erf(x)\n  b = mul(x, a)\n  u = layernorm(b, _, g) {eps=1e-05}\n",
        "  a = layernorm(x) {eps=1e-05}\n  b = gelu_erf(a)\n  u = mul(b, g)\n",
    };
    static const int widths[] = {34, 96};
    for (size_t c = 0; c < COUNT_OF(cpus); c++) {
        const char *cpu = c == 0 ? "native+none" : cpus[c];
        for (size_t n = 0; cpu_runs_here(cpu) && n < COUNT_OF(nodes); n++)
            for (size_t w = 0; w < COUNT_OF(widths); w++)
                check_joined(nodes[n], widths[w], cpu);
    }
}

/* Where silu is off by 2^-12, a scale is off by little more, and a number by one. */
Test(quantise, joined_to_what_makes_the_row_beside_a_matrix_unit)
{
    enum { WIDTH = 96 };
    const char *const nodes = "  a = silu(x)\n  u = mul(x, a)\n";
    Arena *arena = arena_new();
    KernelRun *one = open_quantise(joined(arena, nodes), WIDTH, false, "native+model");
    KernelRun *two = open_quantise(separate(arena, nodes), WIDTH, false, "native+model");
    run_rows(one, 2);
    run_rows(two, 1);
    const int8_t *q = kernel_run_value(one, "q"), *other = kernel_run_value(two, "q");
    const float *s = kernel_run_value(one, "s"), *exact = kernel_run_value(two, "s");
    for (int r = 0; r < ROWS; r++)
        cr_expect(fabsf(s[r] - exact[r]) <= 0x1p-11F * exact[r], "row %d: %g, expected %g", r,
                  (double)s[r], (double)exact[r]);
    for (int i = 0; i < ROWS * WIDTH; i++)
        cr_expect(abs(q[i] - other[i]) <= 1, "%d: %d, expected %d", i, q[i], other[i]);
    kernel_run_close(one);
    kernel_run_close(two);
    arena_free(arena);
}

/* Nodes after the quantise are stored too. y = q s + v: one number rounded to the other side of a
 * middle is 2 / 127 at most. */
Test(quantise, what_follows_in_its_kernel_is_stored)
{
    static const char *const nodes[] = {"  q, s = quantise(x)\n  v = mul(x, g)\n",
                                        "  u = rmsnorm(x) {eps=1e-05}\n  q, s = quantise(u)\n"
                                        "  v = mul(u, g)\n",
                                        "  u = layernorm(x, g, g) {eps=1e-05}\n"
                                        "  q, s = quantise(u)\n  v = mul(u, g)\n"};
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(
            arena_printf(arena,
                         "graph \"t\" kernel {\n block 23\n rows 23\n input ids: i32[T]\n input "
                         "pick: i32[R]\n"
                         " weight xt: f32[23,37] tensor=\"xt\" init=ones\n weight w: f32[37,37] "
                         "tensor=\"w\" init=ones\n "
                         "weight g: f32[37] tensor=\"g\" init=ones\n"
                         " kernel w { w8, s8 = quantise_i8(w)\n p8 = pack(w8) {panel=16}\n"
                         " ps = pack(s8) {panel=16} }\n"
                         " kernel x { x = embed(ids, xt) }\n kernel q {\n%s }\n"
                         " kernel l { l = linear_i8(q, s, p8, ps) {out=37}\n y = add(l, v) }\n"
                         " kernel pick { out = take(y, pick) }\n output out\n}\n",
                         nodes[i]),
            "native");
        int64_t count = 0;
        float *w = kernel_run_weight(run, "w", &count);
        for (int64_t e = 0; e < count; e++)
            w[e] = e / 37 == e % 37;
        const RunCall call = {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 2};
        cr_expect_leq(kernel_run_difference(run, &call), 0.02, "%s", nodes[i]);
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* ---- what is no number ----------------------------------------------------------------------- */

static int
count_nan(const float *y, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += isnan(y[i]);
    return count;
}

/* A NaN or an infinity makes its own row NaN, as it would in exact arithmetic, and no other row. */
Test(quantise, a_row_with_no_number_is_nan_and_its_neighbours_are_not)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const int widths[] = {1, 5, 16, 50};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t w = 0; cpu_runs_here(cpus[c]) && w < COUNT_OF(widths); w++) {
            const int width = widths[w];
            KernelRun *run = open_quantise(" kernel quantise {part=rows} { q, s = quantise(x) }\n",
                                           width, false, cpus[c]);
            int64_t count = 0;
            float *x = kernel_run_weight(run, "xt", &count);
            for (size_t i = 0; i < COUNT_OF(bad); i++)
                x[(2 * (int)i + 1) * width + (width - 1) * (int)i / 3] = bad[i];
            const float *y = run_rows(run, 2);
            for (int r = 0; r < ROWS; r++) {
                const bool spoilt = r % 2 == 1 && r < 8;
                cr_expect_eq(count_nan(y + r * width, width), spoilt ? width : 0,
                             "%s width %d row %d", cpus[c], width, r);
            }
            kernel_run_close(run);
        }
}

/* A weight that is no number makes its own column NaN; of 4-bit weights too. */
static void
check_weight(const char *kernels, float bad, const char *cpu)
{
    enum { K = 40, O = 20 };
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(
        arena_printf(
            arena,
            "graph \"t\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
            " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
            " weight w: f32[%d,%d] tensor=\"w\" init=ones\n%s"
            " kernel pick { out = take(y, pick) }\n output out\n}\n",
            ROWS, ROWS, ROWS, K, O, K, kernels),
        cpu);
    int64_t count = 0;
    kernel_run_weight(run, "w", &count)[7 * K + 33] = bad;
    const float *y = run_rows(run, 1);
    for (int i = 0; i < ROWS * O; i++)
        cr_expect_eq(isnan(y[i]) != 0, i % O == 7, "%s: column %d of a weight with %g", cpu, i % O,
                     (double)bad);
    kernel_run_close(run);
    arena_free(arena);
}

Test(quantise, a_weight_that_is_no_number_is_not_hidden)
{
    static const char *const kernels[] = {
        " kernel w { q, s = quantise_i8(w)\n qp = pack(q) {panel=16}\n sp = pack(s) {panel=16} }\n"
        " kernel x { x = embed(ids, xt) }\n kernel q { xq, xs = quantise(x) }\n"
        " kernel p { y = linear_i8(xq, xs, qp, sp) {out=20} }\n",
        " kernel w { q, s, m = quantise_u4(w) {group=8}\n qp = pack(q) {group=8, panel=16}\n"
        " sp = pack(s) {panel=16}\n mp = pack(m) {panel=16} }\n"
        " kernel x { x = embed(ids, xt) }\n kernel q { xq, xs = quantise(x) }\n"
        " kernel p { y = linear_u4(xq, xs, qp, sp, mp) {out=20, group=8} }\n",
    };
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(kernels); i++) {
            check_weight(kernels[i], NAN, cpus[c]);
            check_weight(kernels[i], INFINITY, cpus[c]);
        }
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* On a CPU; width: of x and of the rows of w. */
static void
expect_refused_on(const char *cpu, int width, const char *kernels, const char *says)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const char *text = arena_printf(
        arena,
        "graph \"t\" kernel {\n block 8\n rows 8\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight xt: f32[11,%d]\n weight zt: f32[11,16]\n"
        " weight w: f32[8,%d]\n"
        " kernel x { x = embed(ids, xt) }\n"
        " kernel z { z = embed(ids, zt) }\n%s"
        " kernel t { out = take(y, pick) }\n output out\n}\n",
        width, width, kernels);
    const Source source = {.path = "kernel", .text = text, .len = strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    Machine target;
    PassCtx cx = {.machine = &target, .arena = arena, .diag = diag};
    const char *why = "";
    cr_assert(cg_machine(arena, cpu, &target, &why), "%s", why);
    cr_expect(g && pass_memplan(g, &cx), "does not parse");
    const Graph *graphs[] = {g};
    CgModule *module = g ? cg_module(&target, graphs, 1, diag) : NULL;
    StrBuf sb = {0};
    diag_print(diag, &sb);
    cr_expect(!module && strstr(sb_text(&sb), says), "expected `%s` in:\n%s", says, sb_text(&sb));
    cg_module_free(module);
    sb_free(&sb);
    diag_free(diag);
    arena_free(arena);
}

static void
expect_refused(const char *kernels, const char *says)
{
    expect_refused_on("x86-64-v3", 8, kernels, says);
}

#define WEIGHT(first, second)                                                                      \
    " kernel w {\n q, s = quantise_i8(w)\n qp = pack(q) {" first "}\n sp = pack(s) {" second       \
    "}\n }\n"
#define PRODUCT " kernel l { y = linear_i8(xq, xs, qp, sp) {out=8} }\n"
#define ROWS_Q  " kernel q { xq, xs = quantise(x) }\n"

/* 127 * 127 * 133145 is more than an i32 holds. */
Test(quantise, sums_that_leave_32_bits_are_refused)
{
    static const char says[] = "133145 inputs share a scale; a sum in 32 bits holds 133144";
    expect_refused_on("x86-64-v3", 133145, WEIGHT("panel=16", "panel=16") ROWS_Q PRODUCT, says);
    expect_refused_on(
        "sapphirerapids", 133145,
        WEIGHT("panel=32", "panel=32") ROWS_Q
        " kernel l {unit=matrix, tile=32} { y = linear_i8(xq, xs, qp, sp) {out=8} }\n",
        says);
}

Test(quantise, kernels_that_cannot_be_emitted_are_refused)
{
    expect_refused(WEIGHT("panel=8", "panel=8") " kernel q { xq, xs = quantise(x)\n"
                                                "  a = silu(x)\n"
                                                "  b, c = quantise(a) }\n" PRODUCT,
                   "kernel q: beside a quantise there can be a norm of rows as wide");
    expect_refused(" kernel w { q, s = quantise_i8(w) }\n" ROWS_Q
                   " kernel l { y = linear_i8(xq, xs, q, s) }\n",
                   "quantise_i8 has no emitter");
    expect_refused(" kernel w { q, s = quantise_i8(w)\n qp = pack(q) {panel=8} }\n"
                   " kernel s { sp = pack(s) {panel=8} }\n" ROWS_Q PRODUCT,
                   "kernel w: whole numbers and their scales are packed, in equal panels");
    expect_refused(" kernel w { q, s = quantise_i8(w)\n qp = pack(q) {panel=8, rows=8}\n"
                   " sp = pack(s) {panel=8} }\n" ROWS_Q PRODUCT,
                   "kernel w: whole numbers and their scales are packed, in equal panels");
    expect_refused(WEIGHT("panel=8", "panel=8") ROWS_Q
                   " kernel l { a = linear_i8(xq, xs, qp, sp) {out=8}\n y = neg(a) }\n"
                   " kernel m { c = linear_i8(xq, xs, q, s) }\n",
                   "kernel w: whole numbers and their scales are packed, in equal panels");
    expect_refused(WEIGHT("panel=8", "panel=8") " kernel q { u = rmsnorm(z) {eps=0}\n a = silu(x)\n"
                                                " xq, xs = quantise(a) }\n" PRODUCT,
                   "kernel q: beside a quantise there can be a norm of rows as wide");
    expect_refused(
        " kernel w { q, s = quantise_i8(w) {group=16}\n"
        " qp = pack(q) {group=8, panel=8}\n sp = pack(s) {panel=8} }\n" ROWS_Q
        " kernel l { y = linear_i8(xq, xs, qp, sp) {out=8, group=8} }\n",
        "kernel w: whole numbers and their scales are packed, in equal panels and groups");
}
