/* tests/unit/test_ptx_linear.c -- projections of a GPU on its model, by every product of
 * machine/products.def, against the interpreter; what a row gets, whatever it is together with; and
 * the PTX of them. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "machine/product.h"
#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { BIAS = 1, NORMED = 2, ROUNDED = 4 };

typedef struct {
    const char *product;
    const char *small; /* NULL: none */
    const char *x, *w; /* types */
    int K, O, rows;    /* rows: most */
    int before;        /* columns of a value that x is the rest of; 0: x is all of it */
    int first;         /* row of the weight; 0: all are read */
    int has;           /* BIAS, NORMED: eps, ROUNDED: to bf16, and nothing else */
} Case;

static const Case cases[] = {
    {"fma_32x32",       NULL,          "f32",  "f32",  1,   1,   40,  0, 0, BIAS         },
    {"fma_32x32",       NULL,          "f32",  "f32",  67,  33,  40,  0, 5, BIAS         },
    {"fma_32x32",       NULL,          "f32",  "f16",  60,  70,  40,  4, 0, BIAS         },
    {"fma_32x32",       NULL,          "f32",  "bf16", 40,  50,  40,  3, 0, BIAS         },
    {"fma_32x32",       NULL,          "f32",  "f32",  116, 100, 70,  8, 2, BIAS         },
    {"fma_128x64",      NULL,          "f32",  "f32",  72,  70,  150, 0, 0, BIAS         },
    {"fma_128x64",      "fma_32x32",   "f32",  "f32",  72,  70,  40,  0, 0, BIAS         },
    {"mma_64x64",       NULL,          "bf16", "bf16", 1,   1,   9,   0, 0, BIAS         },
    {"mma_64x64",       NULL,          "bf16", "bf16", 200, 72,  70,  8, 3, BIAS         },
    {"mma_64x64",       NULL,          "bf16", "bf16", 328, 130, 70,  0, 0, BIAS         },
    {"mma_64x64",       NULL,          "bf16", "bf16", 67,  65,  70,  3, 0, BIAS         },
    {"mma_128x128",     NULL,          "bf16", "bf16", 136, 140, 130, 0, 0, BIAS         },
    {"mma_128x256",     NULL,          "bf16", "bf16", 72,  264, 130, 0, 0, 0            },
    {"wgmma_64x64",     NULL,          "bf16", "bf16", 1,   1,   9,   0, 0, BIAS         },
    {"wgmma_64x64",     NULL,          "bf16", "bf16", 456, 72,  70,  8, 3, BIAS         },
    {"wgmma_64x64",     NULL,          "bf16", "bf16", 67,  65,  20,  3, 0, BIAS         },
    {"wgmma_128x128",   "wgmma_64x64", "bf16", "bf16", 328, 140, 130, 0, 0, BIAS         },
    {"wgmma_128x256",   NULL,          "bf16", "bf16", 200, 264, 130, 0, 0, 0            },
    {"fed_128x256",     NULL,          "bf16", "bf16", 1,   1,   9,   0, 0, BIAS         },
    {"fed_128x256",     "wgmma_64x64", "bf16", "bf16", 200, 264, 300, 0, 0, 0            },
    {"fed_128x256",     NULL,          "bf16", "bf16", 392, 72,  70,  8, 4, BIAS         },
    {"fed_128x256",     NULL,          "bf16", "bf16", 67,  65,  20,  3, 0, BIAS         },
    {"fed_128x256",     NULL,          "bf16", "bf16", 72,  40,  540, 0, 0, ROUNDED      },
    {"fed_128x256",     NULL,          "bf16", "bf16", 136, 296, 130, 0, 8, ROUNDED      },
    {"boxes_128x256",   NULL,          "bf16", "bf16", 72,  64,  9,   0, 0, BIAS         },
    {"boxes_128x256",   "wgmma_64x64", "bf16", "bf16", 200, 320, 300, 0, 0, 0            },
    {"boxes_128x256",   NULL,          "bf16", "bf16", 392, 80,  130, 8, 4, BIAS         },
    {"boxes_128x256",   NULL,          "bf16", "bf16", 72,  288, 540, 0, 0, ROUNDED      },
    {"boxes_128x256",   NULL,          "bf16", "bf16", 136, 32,  129, 0, 8, ROUNDED      },
    {"boxes_128x256",   NULL,          "bf16", "bf16", 328, 304, 257, 0, 0, BIAS         },
    {"ranges_64x64x4",  "stream_16x4", "bf16", "bf16", 328, 72,  70,  8, 3, BIAS         },
    {"ranges_64x64x4",  "stream_32x4", "bf16", "bf16", 67,  33,  40,  3, 0, BIAS         },
    {"ranges_64x64x8",  "stream_16x8", "bf16", "bf16", 608, 40,  40,  0, 0, BIAS         },
    {"stream_16x4",     NULL,          "bf16", "bf16", 1,   1,   9,   0, 0, BIAS         },
    {"stream_16x4",     NULL,          "bf16", "bf16", 768, 40,  70,  0, 3, BIAS         },
    {"stream_16x4",     NULL,          "bf16", "bf16", 67,  17,  30,  3, 0, BIAS         },
    {"stream_16x8",     NULL,          "bf16", "bf16", 328, 33,  20,  8, 0, BIAS         },
    {"stream_32x4",     NULL,          "bf16", "bf16", 360, 70,  70,  0, 0, BIAS         },
    {"ranges_64x64x4",  "stream_16x4", "bf16", "bf16", 328, 72,  70,  8, 3, BIAS | NORMED},
    {"ranges_64x64x4",  "stream_32x4", "bf16", "bf16", 67,  33,  40,  3, 0, NORMED       },
    {"ranges_64x64x8",  "stream_16x8", "bf16", "bf16", 96,  40,  40,  0, 0, NORMED       },
    {"stream_16x4",     NULL,          "bf16", "bf16", 1,   1,   9,   0, 0, BIAS | NORMED},
    {"stream_16x8",     NULL,          "bf16", "bf16", 608, 33,  20,  8, 0, BIAS | NORMED},
    {"stream_32x4",     NULL,          "bf16", "bf16", 360, 70,  70,  0, 0, NORMED       },
    {"stream_16x4",     NULL,          "f32",  "f32",  67,  17,  9,   3, 2, BIAS         },
    {"stream_16x8",     NULL,          "f32",  "f32",  300, 33,  70,  4, 0, BIAS         },
    {"stream_32x4",     NULL,          "f32",  "f16",  72,  65,  20,  0, 0, BIAS         },
    {"split_128x64x4",  "stream_32x4", "bf16", "bf16", 328, 72,  70,  8, 3, BIAS | NORMED},
    {"split_128x64x4",  "stream_32x4", "bf16", "bf16", 67,  33,  140, 3, 0, BIAS         },
    {"split_128x128x8", "stream_16x8", "bf16", "bf16", 328, 132, 70,  8, 3, BIAS         },
    {"split_128x128x8", "stream_16x8", "bf16", "bf16", 67,  33,  140, 3, 0, BIAS | NORMED},
    {"split_128x128x8", "stream_16x8", "bf16", "bf16", 608, 40,  40,  0, 0, NORMED       },
    {"split_64x128x4",  "stream_32x4", "bf16", "bf16", 328, 72,  70,  8, 3, BIAS | NORMED},
    {"split_64x128x4",  "stream_32x4", "bf16", "bf16", 67,  33,  140, 3, 0, BIAS         },
    {"split_64x128x8",  "stream_16x8", "bf16", "bf16", 328, 132, 70,  8, 3, BIAS         },
    {"split_64x128x8",  "stream_16x8", "bf16", "bf16", 67,  33,  64,  3, 0, BIAS | NORMED},
    {"split_64x64x8",   "stream_16x8", "bf16", "bf16", 328, 72,  65,  8, 3, BIAS | NORMED},
    {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 328, 72,  65,  8, 3, BIAS | NORMED},
    {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 768, 136, 127, 0, 0, 0            },
    {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 40,  130, 33,  0, 0, NORMED       },
    {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 67,  33,  64,  3, 0, BIAS | NORMED},
};

/* x is a column range of a table's rows; the product goes on through a gate to another value. */
static char *
graph_text(const Case *t)
{
    const int wide = t->before + t->K, all = t->O + 2 * t->first;
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"t\" kernel {\n weights \"init:reference\"\n block %d\n rows %d\n"
              " input ids: i32[T]\n input pick: i32[R]\n"
              " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
              " weight zt: f32[%d,%d] tensor=\"zt\" init=ones\n"
              " weight w: %s[%d,%d] tensor=\"w\" init=ones\n"
              " weight b: f32[%d] tensor=\"b\" init=ones\n",
              t->rows, t->rows, t->rows, wide, t->rows, t->O, t->w, all, t->K, all);
    sb_printf(&sb, " kernel load { x = embed(ids, xt) }\n kernel other { z = embed(ids, zt) }\n");
    const bool cast = strcmp(t->x, "f32") != 0;
    if (cast)
        sb_printf(&sb, " kernel round { r = cast(x) {to=%s} }\n", t->x);
    if (t->before)
        sb_printf(&sb, " l, u = split(%s) {sizes=[%d, %d]}\n", cast ? "r" : "x", t->before, t->K);
    sb_printf(&sb, " kernel product {product=%s", t->product);
    if (t->small)
        sb_printf(&sb, ", small=%s", t->small);
    sb_printf(&sb, "} {\n  y = linear(%s, w%s)",
              t->before ? "u"
              : cast    ? "r"
                        : "x",
              t->has & BIAS ? ", b" : "");
    if (t->first)
        sb_printf(&sb, " {first=%d, rows=%d%s}", t->first, t->O,
                  t->has & NORMED ? ", eps=0.01" : "");
    else if (t->has & NORMED)
        sb_printf(&sb, " {eps=0.01}");
    if (t->has & ROUNDED)
        sb_printf(&sb, "\n  c = cast(y) {to=bf16}\n }\n kernel back { s = cast(c) {to=f32} }\n");
    else
        sb_printf(&sb, "\n  a = silu(y)\n  s = add(a, z)\n }\n");
    sb_printf(&sb, " kernel pick { out = take(s, pick) }\n output out\n}\n");
    char *text = strdup(sb_text(&sb));
    sb_free(&sb);
    return text;
}

static void
compare(const Case *t, const char *text)
{
    KernelRun *run = kernel_run_open(text, "native@model");
    const int some = t->rows < 3 ? 1 : t->rows - 2;
    const RunCall calls[] = {
        {.nseg = 1, .len = {1}, .vocab = t->rows, .parts = 1},
        {.nseg = 1, .len = {t->rows}, .vocab = t->rows, .parts = 1},
        {.nseg = 2, .len = {1, some}, .slot = {1, 0}, .vocab = t->rows, .parts = 1},
    };
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (i == 2 && t->rows > 100) /* slow, and nothing new */
            continue;
        const double off = kernel_run_difference(run, &calls[i]);
        cr_expect(off <= (t->has & ROUNDED ? 0x1p-8 : 2e-5), "call %d: off by %g\n%s", (int)i, off,
                  text);
    }
    kernel_run_close(run);
}

Test(ptx_linear, products_agree_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *text = graph_text(&cases[i]);
        compare(&cases[i], text);
        free(text);
    }
}

/* ---- bits ------------------------------------------------------------------------------------ */

enum { BITS_ROWS = 21 };

/* The results of all rows of `t`, together or each by itself. */
static float *
results(const Case *t, bool together)
{
    char *text = graph_text(t);
    KernelRun *run = kernel_run_open(text, "native@model");
    float *all = malloc((size_t)(t->rows * t->O) * sizeof *all);
    int32_t *ids = kernel_run_ids(run);
    for (int row = 0; row < t->rows; row += together ? t->rows : 1) {
        const int count = together ? t->rows : 1;
        for (int i = 0; i < count; i++)
            ids[i] = row + i;
        const RunCall call = {.nseg = 1, .len = {count}, .vocab = t->rows, .parts = 1};
        int64_t made = 0;
        const float *out = kernel_run_code(run, &call, &made);
        cr_assert_eq(made, count * t->O);
        memcpy(all + row * t->O, out, (size_t)made * sizeof *all);
    }
    kernel_run_close(run);
    free(text);
    return all;
}

static void
expect_same_bits(const Case *a, bool a_together, const Case *b, bool b_together)
{
    float *x = results(a, a_together), *y = results(b, b_together);
    cr_expect(memcmp(x, y, (size_t)(a->rows * a->O) * sizeof *x) == 0, "%s and %s", a->product,
              b->product);
    free(x);
    free(y);
}

/* A row gets what it would get alone, also where its pass is large enough for another tile: that of
 * 128 by 64 where there are four of them. */
Test(ptx_linear, rows_do_not_depend_on_those_beside_them)
{
    static const Case of[] = {
        {"fma_32x32",       NULL,          "f32",  "f32",  67,  21,  BITS_ROWS, 0, 0, BIAS         },
        {"mma_64x64",       NULL,          "bf16", "bf16", 72,  21,  BITS_ROWS, 0, 0, BIAS         },
        {"stream_16x4",     NULL,          "bf16", "bf16", 72,  21,  BITS_ROWS, 0, 0, BIAS         },
        {"stream_16x4",     NULL,          "f32",  "f32",  72,  21,  BITS_ROWS, 0, 0, BIAS         },
        {"ranges_64x64x4",  "stream_16x4", "bf16", "bf16", 328, 21,  40,        0, 0, BIAS         },
        {"ranges_64x64x8",  "stream_16x8", "bf16", "bf16", 200, 21,  40,        0, 0, BIAS         },
        {"stream_16x4",     NULL,          "bf16", "bf16", 72,  21,  BITS_ROWS, 0, 0, BIAS | NORMED},
        {"ranges_64x64x4",  "stream_32x4", "bf16", "bf16", 328, 21,  40,        0, 0, BIAS | NORMED},
        {"ranges_64x64x8",  "stream_16x8", "bf16", "bf16", 67,  21,  40,        0, 0, BIAS | NORMED},
        {"split_128x64x4",  "stream_32x4", "bf16", "bf16", 456, 70,  70,        0, 0, BIAS | NORMED},
        {"split_128x128x8", "stream_16x8", "bf16", "bf16", 200, 21,  40,        0, 0, BIAS | NORMED},
        {"split_128x128x8", "stream_16x8", "bf16", "bf16", 328, 40,  150,       0, 0, BIAS         },
        {"split_64x128x4",  "stream_32x4", "bf16", "bf16", 456, 70,  70,        0, 0, BIAS | NORMED},
        {"split_64x128x8",  "stream_16x8", "bf16", "bf16", 328, 40,  150,       0, 0, BIAS         },
        {"split_64x64x8",   "stream_16x8", "bf16", "bf16", 328, 72,  97,        0, 0, BIAS | NORMED},
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 456, 70,  33,        0, 0, BIAS | NORMED},
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 72,  130, 63,        0, 0, NORMED       },
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 768, 40,  64,        0, 5, BIAS         },
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 200, 21,  65,        0, 0, BIAS | NORMED},
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 328, 136, 97,        0, 0, BIAS         },
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 264, 21,  127,       0, 0, NORMED       },
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 512, 40,  128,       0, 0, BIAS | NORMED},
        {"wide_64x128x4",   "stream_32x4", "bf16", "bf16", 67,  33,  40,        3, 0, BIAS | NORMED},
        {"fma_128x64",      "fma_32x32",   "f32",  "f32",  19,  250, 3,         0, 0, BIAS         },
    };
    for (size_t i = 0; i < COUNT_OF(of); i++)
        expect_same_bits(&of[i], true, &of[i], false);
}

Test(ptx_linear, tiles_of_one_method_give_the_same_bits)
{
    static const Case of[] = {
        {"fma_32x32",     NULL, "f32",  "f32",  67,  21, BITS_ROWS, 0, 0, BIAS},
        {"fma_128x64",    NULL, "f32",  "f32",  67,  21, BITS_ROWS, 0, 0, BIAS},
        {"mma_64x64",     NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"mma_128x128",   NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"wgmma_64x64",   NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"wgmma_128x128", NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"wgmma_64x64",   NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"fed_128x256",   NULL, "bf16", "bf16", 72,  21, BITS_ROWS, 0, 0, BIAS},
        {"wgmma_64x64",   NULL, "bf16", "bf16", 328, 80, 131,       0, 0, BIAS},
        {"boxes_128x256", NULL, "bf16", "bf16", 328, 80, 131,       0, 0, BIAS},
    };
    for (size_t i = 0; i < COUNT_OF(of); i += 2)
        expect_same_bits(&of[i], true, &of[i + 1], true);
}

/* ---- text ------------------------------------------------------------------------------------ */

Test(ptx_linear, every_product_has_ptx)
{
    static const char *const devices[] = {"sm_80", "sm_90a"};
    for (size_t d = 0; d < COUNT_OF(devices); d++)
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            const bool four = strncmp(cases[i].product, "wgmma", 5) == 0 ||
                              strncmp(cases[i].product, "fed", 3) == 0 ||
                              strncmp(cases[i].product, "wide", 4) == 0 ||
                              strncmp(cases[i].product, "boxes", 5) == 0;
            const bool later = four || strncmp(cases[i].product, "split", 5) == 0;
            if ((later && d == 0) || (i > 0 && strcmp(cases[i].product, cases[i - 1].product) == 0))
                continue;
            char *text = graph_text(&cases[i]);
            CommandResult r = kernel_run_ptx(text, devices[d]);
            const bool bf16 = strcmp(cases[i].x, "bf16") == 0;
            const char *op = four   ? "wgmma.mma_async"
                             : bf16 ? "mma.sync.aligned.m16n8k16"
                                    : "fma.rn.f32";
            cr_expect(r.status == 0 && strstr(r.out, op), "%s: %s\n%s", devices[d], r.err, text);
            command_free(&r);
            free(text);
        }
}

static void
expect_refused(const Case *t, const char *message)
{
    char *text = graph_text(t);
    CommandResult r = kernel_run_ptx(text, "sm_80");
    cr_expect(r.status != 0 && strstr(r.err, message), "%s", r.err);
    command_free(&r);
    free(text);
}

/* Where GPUs begin kernels early: weights before the wait, x behind it. */
Test(ptx_linear, weights_are_asked_for_before_the_wait)
{
    const Case t = {"stream_16x8", NULL, "bf16", "bf16", 608, 33, 20, 8, 0, BIAS};
    char *text = graph_text(&t);
    CommandResult later = kernel_run_ptx(text, "sm_90a"), before = kernel_run_ptx(text, "sm_80");
    const char *kernel = strstr(later.out, ".entry ssmc_product");
    cr_assert(later.status == 0 && before.status == 0 && kernel);
    const char *wait = strstr(kernel, "griddepcontrol.wait");
    const char *weight = strstr(kernel, "ld.global.L1::no_allocate");
    const char *ask = strstr(kernel, "cp.async.bulk.prefetch.L2");
    const char *x = strstr(kernel, "ld.global.v4.u32");
    cr_expect(weight && wait && x && weight < wait && wait < x, "%s", later.out);
    cr_expect(!ask || ask < wait);
    cr_expect(!strstr(before.out, "griddepcontrol"));
    command_free(&later);
    command_free(&before);
    free(text);
}

Test(ptx_linear, a_cpu_takes_no_eps)
{
    static const char text[] = "graph \"t\" lowered {\n weights \"init:reference\"\n block 4\n"
                               " rows 4\n input ids: i32[T]\n weight e: f32[8,8] init=ones\n"
                               " x = embed(ids, e)\n y = linear(x, e) {eps=0.5}\n output y\n}\n";
    CommandResult r = kernel_run_ptx(text, "cpu");
    cr_expect(r.status != 0 && strstr(r.err, "linear with eps: it is for code of a GPU"), "%s",
              r.err);
    command_free(&r);
}

Test(ptx_linear, products_that_cannot_be)
{
    const Case unknown = {"mma_1x1", NULL, "bf16", "bf16", 8, 8, 8, 0, 0, 0};
    expect_refused(&unknown, "product=mma_1x1, expected one of: fma_128x64 fma_64x64 fma_32x32 ");
    const Case later = {"wgmma_64x64", NULL, "bf16", "bf16", 8, 8, 8, 0, 0, 0};
    expect_refused(&later, "kernel product: sm_80 has no product=wgmma_64x64");
    const Case cluster = {"split_128x128x8", "stream_16x8", "bf16", "bf16", 8, 8, 8, 0, 0, 0};
    expect_refused(&cluster, "kernel product: sm_80 has no product=split_128x128x8");
    const Case type = {"mma_64x64", NULL, "f32", "f32", 8, 8, 8, 0, 0, 0};
    expect_refused(&type, "product=mma_64x64 does not multiply f32");
    const Case small = {"fma_128x64", "mma_64x64", "f32", "f32", 8, 8, 8, 0, 0, 0};
    expect_refused(&small, "small=mma_64x64 does not multiply f32");
    const Case normed = {"mma_64x64", NULL, "bf16", "bf16", 8, 8, 8, 0, 0, NORMED};
    expect_refused(&normed, "product=mma_64x64 of bf16 takes no eps");
    const Case normed_f32 = {"stream_16x4", NULL, "f32", "f32", 8, 8, 8, 0, 0, NORMED};
    expect_refused(&normed_f32, "product=stream_16x4 of f32 takes no eps");
    const Case parts = {"fma_128x64", "stream_16x4", "f32", "f32", 8, 8, 8, 0, 0, 0};
    expect_refused(&parts, "small=stream_16x4 does not go with product=fma_128x64");
}
