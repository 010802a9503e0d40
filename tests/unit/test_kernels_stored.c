/* tests/unit/test_kernels_stored.c -- weights that keep the whole numbers and scales that they are
 * stored with: kernels against the interpreter, over shapes, groups, types of scales and targets;
 * and that the blocks of GGUF files are their scales times whole numbers. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "runtime/rt.h"
#include "tests/kernel_run.h"

enum { ROWS = 11 };

typedef struct {
    bool u4;
    int O, K, group, panel, first, tile;
    const char *scales;
    bool unit;
} Case;

static const Case cases[] = {
    {false, 5,  32,  32, 16, 0, 0, "f16", false},
    {false, 40, 96,  32, 32, 0, 0, "f32", false},
    {false, 33, 128, 16, 16, 3, 4, "f32", false},
    {false, 70, 80,  16, 64, 0, 1, "f16", false},
    {true,  5,  32,  32, 16, 0, 0, "f16", false},
    {true,  40, 96,  32, 32, 2, 0, "f32", false},
    {true,  70, 160, 32, 64, 0, 4, "f16", false},
    {false, 40, 96,  32, 32, 0, 0, "f16", true },
    {false, 40, 128, 32, 32, 0, 0, "f32", true },
    {true,  33, 96,  32, 32, 0, 0, "f32", true },
};

static const char *
graph_text(Arena *arena, const Case *t)
{
    const int all = t->O + 2 * t->first, groups = t->K / t->group;
    const char *tile = t->tile ? arena_printf(arena, "tile=%d, ", t->tile) : "";
    const char *rows = t->first ? arena_printf(arena, "first=%d, rows=%d, ", t->first, t->O) : "";
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"stored\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
              "i32[R]\n weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
              " weight w: f32[%d,%d] tensor=\"w\" init=ones\n"
              " weight ws: %s[%d,%d] tensor=\"ws\" init=ones\n"
              " weight wm: %s[%d,%d] tensor=\"wm\" init=ones\n",
              ROWS, ROWS, ROWS, t->K, all, t->K, t->scales, all, groups, t->scales, all, groups);
    sb_printf(&sb, " kernel weight {part=rows} {\n  q, s%s = quantise_%s(w, ws%s) {%sgroup=%d}\n",
              t->u4 ? ", m" : "", t->u4 ? "u4" : "i8", t->u4 ? ", wm" : "", rows, t->group);
    sb_printf(&sb, "  qp = pack(q) {group=%d, panel=%d}\n  sp = pack(s) {panel=%d}\n", t->group,
              t->panel, t->panel);
    if (t->u4)
        sb_printf(&sb, "  mp = pack(m) {panel=%d}\n", t->panel);
    sb_printf(&sb,
              " }\n kernel rows {part=rows} { x = embed(ids, xt) }\n"
              " kernel quantise {part=rows} { xq, xs = quantise(x) }\n"
              " kernel product {%s%spart=cols} {\n"
              "  y = linear_%s(xq, xs, qp, sp%s) {out=%d, group=%d}\n }\n"
              " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n",
              t->unit ? "unit=matrix, " : "", tile, t->u4 ? "u4" : "i8", t->u4 ? ", mp" : "", t->O,
              t->group);
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* n / 64 as an F16. */
static uint16_t
half_of(int n)
{
    enum { BIAS = 15, FRACTION = 10, SIXTH = 6 };
    const int size = n < 0 ? -n : n;
    int power = 0;
    while (size >> (power + 1))
        power++;
    const int bits =
        size ? (power - SIXTH + BIAS) << FRACTION | (size - (1 << power)) << (FRACTION - power) : 0;
    return (uint16_t)(bits | (n < 0 ? 0x8000 : 0));
}

/* Element i of scales or minima: small multiples of a power of two, which F16 holds, some of them
 * negative and 0. */
static float
put_scale(const Case *t, void *data, int64_t i, int which)
{
    const int n = (int)((i * 7 + 3 * which) % 23) - 4;
    const float x = (float)n / 64;
    const uint16_t half = half_of(n);
    if (strcmp(t->scales, "f16") == 0)
        memcpy((char *)data + i * (int64_t)sizeof half, &half, sizeof half);
    else
        memcpy((char *)data + i * (int64_t)sizeof x, &x, sizeof x);
    return x;
}

static void
check(const Case *t, const char *cpu)
{
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    int64_t count = 0, same = 0;
    float *x = kernel_run_weight(run, "xt", &count);
    for (int64_t i = 0; i < count; i++) /* a scale of 1 */
        x[i] = i % t->K == 0 ? 127 : (float)(i * 5 % 7 - 3);
    float *w = kernel_run_weight(run, "w", &count);
    void *ws = kernel_run_weight(run, "ws", &same), *wm = kernel_run_weight(run, "wm", &same);
    for (int64_t i = 0; i < count; i++) {
        const int64_t group = i / t->K * (t->K / t->group) + i % t->K / t->group;
        const float s = put_scale(t, ws, group, 0), m = put_scale(t, wm, group, 1);
        const int q = t->u4 ? (int)(i * 11 % 16) : (int)(i * 37 % 256) - 128;
        w[i] = s * (float)q + (t->u4 ? m : 0);
    }
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 2};
    const float *got = kernel_run_code(run, &call, &count);
    const double *want = kernel_run_interp(run, &call, &same);
    cr_assert_eq(count, same);
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabs(got[i] - want[i]) <= 2e-3, "%s, case %d: [%lld] is %g, expected %g", cpu,
                  (int)(t - cases), (long long)i, (double)got[i], want[i]);
    kernel_run_close(run);
    arena_free(arena);
}

Test(stored, products_are_those_of_the_numbers_and_scales_that_are_given)
{
    static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
            if (!cases[i].unit)
                check(&cases[i], cpus[c]);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].unit)
            check(&cases[i], "native+model");
}

static double
number_at(const RtTensor *t, const void *data, int64_t i)
{
    float wide;
    uint16_t half;
    if (strcmp(t->dtype, "F32") == 0) {
        memcpy(&wide, (const char *)data + i * (int64_t)sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&half, (const char *)data + i * (int64_t)sizeof half, sizeof half);
    return f16_to_f32(half);
}

/* Every element of a file's tensor in blocks is its group's scale times a whole number of so many
 * bits, plus the minimum, but for rounding to F32. */
Test(stored, blocks_of_files_are_their_scales_times_whole_numbers)
{
    ssmc_weights *weights = NULL;
    const char *path = SSMC_ROOT "/tests/data/gguf/types.gguf";
    cr_assert_eq(rt_weights_open(path, &weights), SSMC_OK, "%s", ssmc_error());
    for (int kind = 1; kind < BLOCKS_other; kind++) {
        const BlocksInfo *info = &blocks_info[kind];
        Arena *arena = arena_new();
        const RtTensor *t = rt_weights_find(weights, info->name);
        cr_assert(t && rt_weights_stored(t), "%s", info->name);
        cr_assert_str_eq(rt_weights_stored(t), info->name);
        cr_assert_eq(rt_weights_parts(weights, info->name), SSMC_OK);
        const RtTensor *ts = rt_weights_find(weights, arena_printf(arena, "%s@scales", info->name));
        const RtTensor *tm = rt_weights_find(weights, arena_printf(arena, "%s@minima", info->name));
        cr_assert(ts && tm && ts->dim[1] * info->group == t->dim[1]);
        cr_assert_str_eq(ts->dtype, dtype_info[info->scales].safetensors);
        const float *w = rt_weights_whole(weights, t);
        const void *ds = rt_weights_whole(weights, ts), *dm = rt_weights_whole(weights, tm);
        for (int64_t i = 0; i < t->dim[0] * t->dim[1]; i++) {
            const int64_t group = i / info->group;
            const double s = number_at(ts, ds, group);
            const double m = info->bits == 4 ? number_at(tm, dm, group) : 0;
            const double q = s != 0 ? nearbyint((w[i] - m) / s) : 0;
            cr_assert(info->bits == 4 ? q >= 0 && q <= 15 : q >= -128 && q <= 127, "%s: %g",
                      info->name, q);
            cr_assert(fabs(s * q + m - w[i]) <= 0x1p-23 * (fabs(s * q) + fabs(m)), "%s: [%lld]",
                      info->name, (long long)i);
        }
        arena_free(arena);
    }
    for (const char *const *none = (const char *const[]){"Q5_1", "Q5_K", NULL}; *none; none++)
        cr_expect_null(rt_weights_stored(rt_weights_find(weights, *none)), "%s", *none);
    rt_weights_close(weights);
}
