/* tests/unit/test_kernels_unit.c -- projections on the matrix unit. On any CPU a model of the unit
 * stands in for it: its code is compared with the interpreter, and where there is a real unit, bit
 * for bit with that. (Sums of integers are exact: tests/unit/test_kernels_integers.c.) */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/aot.h"
#include "tests/kernel_run.h"

#define IDS SSMC_ROOT "/tests/goldens/mamba2-base/golden.safetensors"

enum { ROWS = 96 };

typedef enum { BF16, X3, I8, U4 } Kind; /* X3: f32 as sums of two bf16 */

typedef struct {
    Kind kind;
    int K, O;
    int group; /* of integers; 0: a scale a row */
    int first; /* rows of the weight before the ones that are read */
    const char *part;
    bool rest; /* bias, silu, a residual */
} Case;

static const Case cases[] = {
    {BF16, 1,    1,   0,  0, "cols", false},
    {BF16, 3,    40,  0,  0, "cols", true },
    {BF16, 31,   33,  0,  2, "rows", true },
    {BF16, 32,   32,  0,  0, "cols", false},
    {BF16, 33,   64,  0,  0, "grid", false},
    {BF16, 64,   31,  0,  5, "grid", true },
    {BF16, 300,  130, 0,  0, "cols", true },
    {BF16, 768,  65,  0,  0, "grid", false},
    {BF16, 1100, 40,  0,  0, "cols", true },
    {X3,   1,    1,   0,  0, "cols", false},
    {X3,   3,    40,  0,  0, "cols", true },
    {X3,   31,   33,  0,  2, "rows", true },
    {X3,   32,   32,  0,  0, "cols", false},
    {X3,   33,   64,  0,  0, "grid", false},
    {X3,   64,   31,  0,  5, "grid", true },
    {X3,   300,  130, 0,  0, "cols", true },
    {X3,   768,  65,  0,  0, "grid", false},
    {X3,   1101, 40,  0,  0, "cols", true },
    {I8,   1,    5,   0,  0, "cols", false},
    {I8,   1100, 40,  0,  0, "cols", true },
    {I8,   1200, 33,  96, 0, "grid", false},
    {U4,   1100, 33,  32, 0, "cols", true },
    {I8,   63,   70,  0,  3, "grid", true },
    {I8,   64,   32,  0,  0, "rows", false},
    {I8,   700,  130, 0,  0, "grid", true },
    {I8,   300,  40,  32, 0, "cols", true },
    {I8,   256,  65,  64, 0, "grid", false},
    {U4,   31,   33,  32, 0, "cols", false},
    {U4,   256,  70,  32, 3, "grid", true },
    {U4,   700,  40,  64, 0, "rows", true },
};

static const char *
case_text(Arena *arena, const Case *t)
{
    static const char *const names[] = {[BF16] = "bf16", [X3] = "bf16x3", [I8] = "i8", [U4] = "u4"};
    return arena_printf(arena, "%s K=%d O=%d group=%d first=%d part=%s%s", names[t->kind], t->K,
                        t->O, t->group, t->first, t->part, t->rest ? " rest" : "");
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* The weight as the unit reads it: panels of 32 columns. */
static void
put_weight(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *rows = t->first ? arena_printf(arena, "first=%d, rows=%d, ", t->first, t->O) : "";
    const char *group = t->group ? arena_printf(arena, "group=%d, ", t->group) : "";
    const char *attrs = arena_printf(arena, "%s%s", rows, group),
               *kind = t->kind == U4 ? "u4" : "i8";
    const int len = (int)strlen(attrs);
    if (t->kind == BF16 || t->kind == X3) {
        sb_printf(sb, " kernel weight {part=rows} { p = pack(w) {%spanel=32%s} }\n", rows,
                  t->kind == X3 ? ", dot=bf16x3" : "");
        return;
    }
    sb_printf(sb, " kernel weight {part=rows} {\n  q, s%s = quantise_%s(w)%s%.*s%s\n",
              t->kind == U4 ? ", m" : "", kind, len ? " {" : "", len ? len - 2 : 0, attrs,
              len ? "}" : "");
    sb_printf(sb, "  p = pack(q) {%spanel=32}\n  sp = pack(s) {panel=32}\n%s }\n", group,
              t->kind == U4 ? "  mp = pack(m) {panel=32}\n" : "");
}

static void
put_product(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *first = t->first ? arena_printf(arena, "first=%d, ", t->first) : "";
    const char *group = t->group ? arena_printf(arena, ", group=%d", t->group) : "";
    const char *bias = t->rest ? ", bias" : "", *y = t->rest ? "a" : "y";
    sb_printf(sb, " kernel product {unit=matrix, tile=32, part=%s} {\n", t->part);
    if (t->kind == BF16)
        sb_printf(sb, "  %s = linear(xb, p%s) {%sout=%d, matmul=emitted}\n", y, bias, first, t->O);
    else if (t->kind == X3)
        sb_printf(sb, "  %s = linear(x, p%s) {%sout=%d, matmul=emitted, dot=bf16x3}\n", y, bias,
                  first, t->O);
    else
        sb_printf(sb, "  %s = linear_%s(xq, xs, p, sp%s%s) {%sout=%d%s}\n", y,
                  t->kind == U4 ? "u4" : "i8", t->kind == U4 ? ", mp" : "", bias, first, t->O,
                  group);
    sb_printf(sb, "%s }\n", t->rest ? "  b = silu(a)\n  y = add(b, r)\n" : "");
}

static const char *
graph_text(Arena *arena, const Case *t)
{
    const int all = t->O + 2 * t->first;
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph \"unit\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
        " weight rt: f32[%d,%d] tensor=\"rt\" init=ones\n"
        " weight w: %s[%d,%d] tensor=\"w\" init=ones\n"
        " weight bias: f32[%d] tensor=\"bias\" init=ones\n",
        ROWS, ROWS, ROWS, t->K, ROWS, t->O, t->kind == BF16 ? "bf16" : "f32", all, t->K, all);
    put_weight(&sb, arena, t);
    sb_printf(&sb, " kernel rows {part=rows} { x = embed(ids, xt) }\n");
    if (t->rest)
        sb_printf(&sb, " kernel residual {part=rows} { r = embed(ids, rt) }\n");
    if (t->kind != X3)
        sb_printf(&sb, t->kind == BF16 ? " kernel cast {part=rows} { xb = cast(x) {to=bf16} }\n"
                                       : " kernel quantise {part=rows} { xq, xs = quantise(x) }\n");
    put_product(&sb, arena, t);
    sb_printf(&sb, " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n");
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* ---- against the interpreter ----------------------------------------------------------------- */

/* A sum of K products below 4 is off by less than K 2^-24 of it and its parts; what is measured is
 * a tenth of that and less. Each product of sums of two bf16 is off by 2^-16 of it at most, in
 * either direction: of one of the three products alone it would be a hundred times as much. */
static double
allowed(const Case *t)
{
    return 2e-7 * (10 + t->K) + (t->kind == X3 ? 2e-5 * sqrt(t->K) : 0);
}

static void
check_case(const Case *t, const char *cpu)
{
    static const int64_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 50, ROWS};
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        const RunCall call = {
            .nseg = 1, .len = {lengths[i]}, .vocab = ROWS, .parts = 1 + (int)i % 5};
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= allowed(t), "%s, %s, T=%lld: off by %g", cpu, case_text(arena, t),
                  (long long)lengths[i], off);
    }
    kernel_run_close(run);
    arena_free(arena);
}

Test(unit, bf16_and_triples_agree_with_the_interpreter)
{
    static const char *const cpus[] = {"native+model", "x86-64-v4+model", "x86-64-v3+model",
                                       "x86-64+model", "native"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; i < COUNT_OF(cases); i++)
            if ((cases[i].kind == BF16 || cases[i].kind == X3) && cpu_runs_here(cpus[c]) &&
                (strchr(cpus[c], '+') || matrix_unit_here()))
                check_case(&cases[i], cpus[c]);
}

/* Each x and each w is an integer plus a multiple of 1/512, and each of the two parts is a bf16.
 * All products are multiples of 2^-18; without those of two low parts, f32 holds their sums
 * exactly. */
Test(unit, triples_are_three_products)
{
    static const Case t = {X3, 70, 33, 0, 0, "cols", false};
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, &t), "native+model");
    int64_t nx = 0, nw = 0, count = 0;
    float *x = kernel_run_weight(run, "xt", &nx), *w = kernel_run_weight(run, "w", &nw);
    for (int64_t i = 0; i < nx; i++)
        x[i] = (float)(1 + i % 7) + (float)(i % 3 - 1) / 512;
    for (int64_t i = 0; i < nw; i++)
        w[i] = (float)(i % 5 - 2) + (i % 5 == 2 ? 0 : (float)(i / 2 % 3 - 1) / 512);
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 2};
    const float *got = kernel_run_code(run, &call, &count);
    for (int64_t i = 0; i < count; i++) {
        const float *row = x + i / t.O * t.K, *column = w + i % t.O * t.K;
        double sum = 0;
        for (int k = 0; k < t.K; k++) {
            const double h = round(row[k]), v = round(column[k]);
            sum +=
                (double)row[k] * (double)column[k] - ((double)row[k] - h) * ((double)column[k] - v);
        }
        cr_expect_eq((double)got[i], sum, "row %d, column %d", (int)(i / t.O), (int)(i % t.O));
    }
    kernel_run_close(run);
    arena_free(arena);
}

/* ---- against the unit ------------------------------------------------------------------------ */

/* The rows of ids `first` and on, in one run; arena. */
static const float *
all_rows(Arena *arena, KernelRun *run, int first, int rows, int parts)
{
    int64_t count = 0;
    for (int i = 0; i < rows; i++)
        kernel_run_ids(run)[i] = first + i;
    const RunCall call = {.nseg = 1, .len = {rows}, .parts = parts};
    const float *got = kernel_run_code(run, &call, &count);
    float *copy = arena_array(arena, (size_t)count, sizeof *copy);
    memcpy(copy, got, (size_t)count * sizeof *copy);
    return copy;
}

static bool
same_bits(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

Test(unit, the_model_has_the_bits_of_the_unit)
{
    if (!matrix_unit_here())
        cr_skip("this process has no matrix unit");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        const char *text = graph_text(arena, &cases[i]);
        KernelRun *real = kernel_run_open(text, "native");
        KernelRun *model = kernel_run_open(text, "native+model");
        for (int rows = 1; rows <= ROWS; rows += 1 + rows / 3)
            cr_expect(same_bits(all_rows(arena, real, 0, rows, 2),
                                all_rows(arena, model, 0, rows, 3),
                                (size_t)rows * (size_t)cases[i].O),
                      "%s, T=%d", case_text(arena, &cases[i]), rows);
        kernel_run_close(real);
        kernel_run_close(model);
        arena_free(arena);
    }
}

/* Numbers of every size, denormal ones and ones whose products leave the range: any bits. */
static void
fill_wildly(KernelRun *run, int from, int to, uint64_t seed)
{
    int64_t nx = 0, nw = 0;
    float *x = kernel_run_weight(run, "xt", &nx);
    uint16_t *w = (uint16_t *)(void *)kernel_run_weight(run, "w", &nw);
    for (int64_t i = 0; i < nx + nw; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint32_t bits = (uint32_t)(seed >> 33);
        const uint32_t exponent = (uint32_t)from + (bits >> 8) % (uint32_t)(to - from);
        const uint32_t half = (bits & 0x8000) | exponent << 7 | (bits & 0x7f);
        const uint32_t real = half << 16;
        if (i < nx)
            memcpy(&x[i], &real, sizeof real);
        else
            w[i - nx] = (uint16_t)half;
    }
}

Test(unit, the_model_has_the_bits_of_the_unit_for_any_numbers)
{
    static const struct {
        int from, to; /* exponents, 127 for 1 .. 2; 0: denormal */
    } ranges[] = {
        {0,   255},
        {0,   130},
        {58,  70 },
        {62,  66 },
        {120, 134},
        {185, 195}
    };
    if (!matrix_unit_here())
        cr_skip("this process has no matrix unit");
    static const Case wild = {BF16, 70, 130, 0, 0, "cols", false};
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        Arena *arena = arena_new();
        const char *text = graph_text(arena, &wild);
        KernelRun *real = kernel_run_open(text, "native");
        KernelRun *model = kernel_run_open(text, "native+model");
        fill_wildly(real, ranges[i].from, ranges[i].to, i);
        fill_wildly(model, ranges[i].from, ranges[i].to, i);
        cr_expect(same_bits(all_rows(arena, real, 0, ROWS, 1), all_rows(arena, model, 0, ROWS, 1),
                            (size_t)ROWS * (size_t)wild.O),
                  "exponents %d to %d", ranges[i].from, ranges[i].to - 1);
        kernel_run_close(real);
        kernel_run_close(model);
        arena_free(arena);
    }
}

/* ---- rows are independent -------------------------------------------------------------------- */

Test(unit, products_have_the_same_bits_in_any_batch)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        const size_t row = (size_t)cases[i].O;
        KernelRun *run = kernel_run_open(graph_text(arena, &cases[i]), "native+model");
        const float *all = all_rows(arena, run, 0, ROWS, 1);
        for (int first = 0, rows = 1; first + rows <= ROWS; first += rows, rows += 3) {
            const float *part = all_rows(arena, run, first, rows, 1 + rows % 5);
            cr_expect(memcmp(part, all + (size_t)first * row, (size_t)rows * row * sizeof *part) ==
                          0,
                      "%s: rows %d to %d", case_text(arena, &cases[i]), first, first + rows);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* A row that is no number stays by itself, and so does a column. */
Test(unit, what_is_no_number_stays_in_its_row_and_column)
{
    static const Case t = {BF16, 40, 70, 0, 0, "cols", false};
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, &t), "native+model");
    int64_t count = 0;
    kernel_run_weight(run, "xt", &count)[5 * t.K + 3] = NAN;
    ((uint16_t *)(void *)kernel_run_weight(run, "w", &count))[33 * t.K + 39] = 0x7fc0;
    const float *y = all_rows(arena, run, 0, 20, 1);
    for (int r = 0; r < 20; r++)
        for (int o = 0; o < t.O; o++)
            cr_expect_eq(isnan(y[r * t.O + o]) != 0, r == 5 || o == 33, "[%d,%d]", r, o);
    kernel_run_close(run);
    arena_free(arena);
}

/* ---- whole models ---------------------------------------------------------------------------- */

/* The numbers of a file of f32 tensors. */
static const float *
numbers(const char *file, size_t len, size_t *count)
{
    uint64_t header = 0;
    memcpy(&header, file, sizeof header);
    cr_assert_lt(header, len);
    *count = (len - 8 - header) / sizeof(float);
    return (const float *)(const void *)(file + 8 +
                                         header); /* headers are whole lines of 8 bytes */
}

/* Root of the mean square of the difference, over that of b. */
static double
distance(const float *a, const float *b, size_t count)
{
    double off = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(off / all);
}

/* The logits of a prompt by a model, its SSDs as recurrences, or by a plan (dtype NULL), which says
 * all of that; owned by the caller. */
static char *
logits(const char *model, const char *dtype, const char *matrix, size_t *len)
{
    Arena *arena = arena_new();
    const char *set = arena_printf(arena, "compile.matrix=%s", matrix);
    char *bytes = dtype
                      ? aot_logits(model, IDS,
                                   ARGS("--set", set, "--dtype", dtype, "--form", "recurrent"), len)
                      : aot_logits(model, IDS, ARGS("--set", set, "--mode", "prefill"), len);
    arena_free(arena);
    return bytes;
}

/* Models on the model of the unit are near what vectors make, in one form of SSD. Beside a unit
 * more numbers are rounded to bf16; activations and weights of 8 and 4 bits enlarge that. */
static void
check_near(const char *model, const char *dtype)
{
    size_t len = 0, other = 0, count = 0;
    char *got = logits(model, dtype, "model", &len), *want = logits(model, dtype, "none", &other);
    cr_assert_eq(len, other);
    const float *a = numbers(got, len, &count), *b = numbers(want, len, &count);
    const double off = distance(a, b, count);
    cr_expect(off < 5e-2, "%s %s: off by %g", model, dtype, off);
    free(got);
    free(want);
}

/* One plan, with chunks on the unit too, has the same bits on the model and on the unit. */
static void
check_bits(const char *model, const char *dtype)
{
    char *dir = temp_dir(), *plan = path_join(dir, "plan.ir");
    size_t len = 0, other = 0;
    aot_ok(ARGS("compile", model, "--dtype", dtype, "--form", "chunked", "--set",
                "compile.matrix=model", "--stop-after", "partition", "-o", plan));
    char *got = logits(plan, NULL, "model", &len), *real = logits(plan, NULL, "auto", &other);
    cr_expect(len == other && memcmp(got, real, len) == 0, "%s %s: other bits than the unit's",
              model, dtype);
    temp_dir_remove(dir);
    free(plan);
    free(got);
    free(real);
}

Test(unit, models_on_the_model_of_it)
{
    static const char *const models[] = {"mamba2-base", "mamba2-bias"};
    static const char *const dtypes[] = {"bf16", "int8", "int4"};
    for (size_t i = 0; i < COUNT_OF(models) * COUNT_OF(dtypes); i++) {
        char *model = path_join(SSMC_ROOT "/tests/goldens", models[i % COUNT_OF(models)]);
        const char *dtype = dtypes[i / COUNT_OF(models)];
        check_near(model, dtype);
        if (matrix_unit_here())
            check_bits(model, dtype);
        free(model);
    }
}
