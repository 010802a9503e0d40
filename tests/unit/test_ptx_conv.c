/* tests/unit/test_ptx_conv.c -- the convolution of runs in the epilogue of a projection's tiles, on
 * the model of a GPU: against the interpreter, and to the bit against a kernel of its own; whatever
 * tiles and sequences begin where; and what cannot be. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { TABLE = 96, ROWS = 256, MANY = 2100 };

typedef struct {
    const char *product; /* attributes of its kernel */
    int inputs, first, columns, rest, taps;
    const char *kept; /* type that columns are kept in */
    bool bias, strided;
    bool apart; /* the convolution has a kernel of its own */
    bool read;  /* its columns are read as they are, too */
} Case;

static char *
text_of_rows(const Case *t, int rows)
{
    const int all = t->first + t->columns + t->rest;
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph \"t\" kernel {\n weights \"init:reference\"\n block %d\n rows %d\n input ids: "
        "i32[T]\n input pick: i32[R]\n"
        " weight table: f32[%d,%d] tensor=\"table\" init=ones\n"
        " weight W: bf16[%d,%d] tensor=\"W\" init=ones\n weight B: f32[%d] tensor=\"B\" init=ones\n"
        " weight b: f32[%d] tensor=\"b\" init=ones\n state s: f32[%d,%d]\n",
        rows, rows, TABLE, t->inputs, all, t->inputs, all, t->columns, t->taps - 1, t->columns);
    if (t->strided)
        sb_printf(&sb, " weight k: f32[%d,1,%d] tensor=\"k\" init=ones\n", t->columns, t->taps);
    else
        sb_printf(&sb, " weight k: f32[%d,%d] tensor=\"k\" init=ones\n", t->taps, t->columns);
    sb_printf(&sb, " kernel load { e = embed(ids, table)\n  x = cast(e) {to=bf16} }\n");
    const bool narrow = strcmp(t->kept, "f32") != 0;
    sb_printf(&sb, " kernel project {%s} {\n  p = linear(x, W%s)\n", t->product,
              t->bias ? ", B" : "");
    if (narrow)
        sb_printf(&sb, "  q = cast(p) {to=%s}\n", t->kept);
    const char *q = narrow ? "q" : "p";
    if (!t->apart)
        sb_printf(&sb, "  c = conv1d(%s, k, %s, s) {column=%d}\n  u = silu(c)\n", q,
                  t->bias ? "b" : "_", t->first);
    sb_printf(&sb, " }\n");
    if (t->rest && t->first)
        sb_printf(&sb, " before, mine, after = split(%s) {sizes=[%d, %d, %d]}\n", q, t->first,
                  t->columns, t->rest);
    else
        sb_printf(&sb, " %s = split(%s) {sizes=[%d, %d]}\n",
                  t->first ? "before, mine" : "mine, after", q, t->first ? t->first : t->columns,
                  t->first ? t->columns : t->rest);
    if (t->apart)
        sb_printf(&sb, " kernel conv {\n  c = conv1d(mine, k, %s, s)\n  u = silu(c)\n }\n",
                  t->bias ? "b" : "_");
    if (t->first)
        sb_printf(&sb, " kernel front { w0 = cast(before) {to=f32}\n  m0 = silu(w0) }\n");
    if (t->rest)
        sb_printf(&sb, " kernel back { w1 = cast(after) {to=f32}\n  m1 = silu(w1) }\n");
    if (t->first)
        sb_printf(&sb, " kernel join { y0 = concat(m0, u) }\n");
    if (t->rest)
        sb_printf(&sb, " kernel join { y1 = concat(%s, m1) }\n", t->first ? "y0" : "u");
    const char *y = t->rest ? "y1" : "y0";
    if (t->read)
        sb_printf(&sb,
                  " kernel wide { w2 = cast(mine) {to=f32} }\n"
                  " kernel join { y2 = concat(%s, w2) }\n",
                  y);
    sb_printf(&sb, " kernel pick { out = take(%s, pick) }\n output out\n}\n", t->read ? "y2" : y);
    char *text = strdup(sb_text(&sb));
    sb_free(&sb);
    return text;
}

static char *
text_of(const Case *t)
{
    return text_of_rows(t, ROWS);
}

static KernelRun *
open_case(const Case *t)
{
    char *text = text_of(t);
    KernelRun *run = kernel_run_open(text, "native@model");
    free(text);
    return run;
}

/* Tiles make 58 or 122 rows of a convolution with 4 taps: calls that end before such a border, at
 * it and behind it, with and without a state before; and sequences that begin and end everywhere.
 */
static const RunCall calls[] = {
    {.nseg = 1, .len = {1},              .slot = {0}         },
    {.nseg = 1, .len = {3},              .slot = {0}         },
    {.nseg = 1, .len = {125},            .slot = {0}         },
    {.nseg = 1, .len = {122},            .slot = {1}         },
    {.nseg = 1, .len = {123},            .slot = {1}         },
    {.nseg = 4, .len = {1, 2, 3, 4},     .slot = {2, 0, 1, 3}},
    {.nseg = 4, .len = {1, 1, 1, 1},     .slot = {3, 2, 1, 0}},
    {.nseg = 4, .len = {120, 1, 2, 3},   .slot = {1, 0, 2, 3}},
    {.nseg = 4, .len = {119, 3, 120, 4}, .slot = {0, 3, 1, 2}},
    {.nseg = 3, .len = {57, 62, 127},    .slot = {2, 1, 3}   },
    {.nseg = 3, .len = {4, 246, 2},      .slot = {2, 1, 0}   },
    {.nseg = 2, .len = {126, 130},       .slot = {1, 3}      },
    {.nseg = 1, .len = {250},            .slot = {2}         },
};
/* Of tiles that are slow here. */
static const int few[] = {0, 2, 5, 8, 11};

static void
check(const Case *t, double most, bool all)
{
    KernelRun *run = open_case(t);
    for (size_t i = 0; i < (all ? COUNT_OF(calls) : COUNT_OF(few)); i++) {
        const size_t number = all ? i : (size_t)few[i];
        RunCall call = calls[number];
        call.vocab = TABLE;
        call.parts = 1;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= most, "%s: %d + %d + %d columns, %d taps, call %zu: off by %g", t->product,
                  t->first, t->columns, t->rest, t->taps, number, off);
    }
    kernel_run_close(run);
}

#define SMALL  "product=mma_64x64"
#define FED    "product=finish_128x256"
#define GROUPS "product=wgmma_128x128, small=wgmma_64x64"

Test(ptx_conv, agrees_with_the_interpreter)
{
    static const Case cases[] = {
        {SMALL,                 24, 16, 24, 8,   4, "f32", true,  false, false, false},
        {SMALL,                 40, 5,  70, 3,   4, "f32", true,  false, false, false},
        {SMALL,                 24, 0,  36, 100, 3, "f32", false, true,  false, false},
        {SMALL,                 24, 2,  40, 2,   4, "f32", false, false, false, false},
        {"product=wgmma_64x64", 8,  68, 20, 0,   2, "f32", false, false, false, false},
        {"product=mma_64x128",  8,  4,  60, 4,   5, "f32", true,  true,  false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(&cases[i], 2e-5, i < 2);
}

Test(ptx_conv, large_tiles_agree_with_the_interpreter)
{
    static const Case cases[] = {
        {GROUPS,                  16, 64, 80,  8, 4, "f32", true,  false, false, false},
        {"product=wgmma_128x256", 16, 8,  40,  4, 4, "f32", false, false, false, false},
        {"product=mma_128x128",   16, 12, 40,  4, 4, "f32", false, false, false, false},
        {FED,                     72, 8,  40,  4, 4, "f32", true,  false, false, false},
        {FED,                     8,  60, 212, 3, 3, "f32", false, false, false, true },
        {FED,                     12, 8,  40,  4, 4, "f32", false, false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(&cases[i], 2e-5, false);
}

/* More rows of tiles than are counted together, and of columns with a convolution more than of
 * those without. */
Test(ptx_conv, many_rows_of_tiles)
{
    static const struct {
        Case t;
        RunCall call;
        double most;
    } cases[] = {
        {{SMALL, 8, 64, 24, 40, 4, "f32", false, false, false, false},
         {.nseg = 2, .len = {1000, 141}, .slot = {1, 0}},
         2e-5},
        {{FED, 8, 256, 8, 248, 4, "bf16", false, false, false, false},
         {.nseg = 1, .len = {MANY}},
         3e-2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *text = text_of_rows(&cases[i].t, MANY);
        KernelRun *run = kernel_run_open(text, "native@model");
        RunCall call = cases[i].call;
        call.vocab = TABLE;
        call.parts = 1;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= cases[i].most, "case %zu: off by %g", i, off);
        kernel_run_close(run);
        free(text);
    }
}

/* Sums that lie between two of bf16 round either way. */
Test(ptx_conv, columns_that_are_kept_in_bf16)
{
    static const Case cases[] = {
        {SMALL, 24,  16,  24,  8,  4, "bf16", true,  false, false, false},
        {SMALL, 24,  3,   25,  1,  4, "bf16", true,  false, false, false},
        {SMALL, 24,  0,   42,  2,  4, "bf16", true,  false, false, false},
        {FED,   136, 16,  40,  8,  4, "bf16", true,  false, false, false},
        {FED,   72,  4,   60,  4,  4, "bf16", false, false, false, true },
        {FED,   8,   264, 248, 16, 3, "bf16", true,  true,  false, false},
        {FED,   456, 0,   24,  12, 2, "bf16", true,  false, false, false},
        {FED,   72,  200, 296, 24, 4, "bf16", false, false, false, false},
        {FED,   72,  3,   25,  1,  4, "bf16", true,  false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(&cases[i], 3e-2, false);
}

/* ---- bits ------------------------------------------------------------------------------------ */

static const float *
run_call(KernelRun *run, const RunCall *of, const int32_t *ids, int64_t *count)
{
    RunCall call = *of;
    int64_t rows = 0;
    call.vocab = TABLE;
    call.parts = 1;
    for (int s = 0; s < call.nseg; s++)
        rows += call.len[s];
    memcpy(kernel_run_ids(run), ids, (size_t)rows * sizeof *ids);
    return kernel_run_code(run, &call, count);
}

static void
make_ids(int32_t ids[ROWS])
{
    for (int i = 0; i < ROWS; i++)
        ids[i] = i * 37 % TABLE;
}

/* Whether it runs where the projection does changes no bit. */
Test(ptx_conv, bits_are_those_of_a_kernel_of_its_own)
{
    static const Case cases[] = {
        {SMALL,  24, 16,  24,  8, 4, "bf16", true,  false, false, false},
        {SMALL,  24, 3,   25,  1, 3, "bf16", false, true,  false, false},
        {SMALL,  24, 2,   40,  2, 4, "bf16", true,  false, false, false},
        {GROUPS, 8,  64,  80,  4, 4, "bf16", true,  false, false, false},
        {SMALL,  24, 16,  24,  8, 4, "bf16", true,  false, false, true },
        {FED,    24, 16,  24,  8, 4, "bf16", true,  false, false, false},
        {FED,    8,  244, 252, 4, 4, "bf16", true,  false, false, true },
    };
    int32_t ids[ROWS];
    make_ids(ids);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Case apart = cases[i];
        apart.apart = true;
        KernelRun *a = open_case(&cases[i]), *b = open_case(&apart);
        for (size_t j = 0; j < COUNT_OF(calls); j++) {
            int64_t count = 0, other = 0;
            const float *x = run_call(a, &calls[j], ids, &count);
            const float *y = run_call(b, &calls[j], ids, &other);
            cr_assert_eq(count, other);
            cr_expect(memcmp(x, y, (size_t)count * sizeof *x) == 0, "case %zu, call %zu", i, j);
        }
        kernel_run_close(a);
        kernel_run_close(b);
    }
}

/* A prompt in one call, and in calls of some tokens, beside other sequences. */
Test(ptx_conv, bits_do_not_depend_on_how_a_prompt_is_divided)
{
    static const RunCall parts[] = {
        {.nseg = 1, .len = {1},         .slot = {2}      },
        {.nseg = 3, .len = {7, 2, 9},   .slot = {0, 2, 1}},
        {.nseg = 2, .len = {61, 58},    .slot = {1, 2}   },
        {.nseg = 2, .len = {59, 1},     .slot = {2, 3}   },
        {.nseg = 3, .len = {3, 60, 70}, .slot = {0, 1, 2}},
    };
    const Case t = {SMALL, 24, 16, 24, 8, 4, "bf16", true, false, false, false};
    KernelRun *run = open_case(&t), *divided = open_case(&t);
    int32_t ids[ROWS], other[ROWS];
    make_ids(ids);
    const RunCall all = {.nseg = 1, .len = {190}, .slot = {0}};
    int64_t count = 0, done = 0;
    const float *whole = run_call(run, &all, ids, &count);
    const int64_t width = count / all.len[0];
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        int64_t before = 0, len = 0;
        for (int s = 0, row = 0; s < parts[i].nseg; row += (int)parts[i].len[s++])
            for (int j = 0; j < parts[i].len[s]; j++)
                other[row + j] = parts[i].slot[s] == 2 ? ids[done + j] : (row + j) % TABLE;
        for (int s = 0; parts[i].slot[s] != 2; s++)
            before += parts[i].len[s];
        for (int s = 0; s < parts[i].nseg; s++)
            len = parts[i].slot[s] == 2 ? parts[i].len[s] : len;
        const float *got = run_call(divided, &parts[i], other, &count);
        const size_t bytes = (size_t)(len * width) * sizeof *got;
        cr_expect(memcmp(got + before * width, whole + done * width, bytes) == 0, "part %zu", i);
        done += len;
    }
    cr_expect_eq(done, all.len[0]);
    kernel_run_close(run);
    kernel_run_close(divided);
}

/* ---- text ------------------------------------------------------------------------------------ */

Test(ptx_conv, has_ptx)
{
    static const char text[] =
        "graph \"t\" lowered {\n weights \"init:reference\"\n block 256\n rows 4\n"
        " input ids: i32[T]\n input pick: i32[R]\n weight e: f32[96,64] init=ones\n"
        " weight W: bf16[48,64] init=ones\n weight k: f32[24,1,4] init=ones\n state s: f32[3,24]\n"
        " h = embed(ids, e)\n x = cast(h) {to=bf16}\n p = linear(x, W)\n q = cast(p) {to=bf16}\n"
        " a, m, b = split(q) {sizes=[16, 24, 8]}\n c = conv1d(m, k, _, s)\n u = silu(c)\n"
        " y = concat(a, u)\n out = take(y, pick)\n output out\n}\n";
    static const char *const devices[] = {"sm_80", "sm_90a"};
    for (size_t i = 0; i < COUNT_OF(devices); i++) {
        CommandResult r = kernel_run_ptx(text, devices[i]);
        cr_expect(r.status == 0 && strstr(r.out, ".entry ssmc_W_conv1d"), "%s", r.err);
        command_free(&r);
    }
}

/* Kernels of projections of two layers alike: of the second, other ops read the convolution's
 * columns, if `read`. */
static int
kernels_of_two(bool read)
{
    Arena *arena = arena_new();
    const char *text = arena_printf(
        arena,
        "graph \"t\" lowered {\n weights \"init:reference\"\n block 256\n rows 4\n"
        " input ids: i32[T]\n input pick: i32[R]\n weight e: f32[96,64] init=ones\n"
        " weight a.W: bf16[48,64] init=ones\n weight b.W: bf16[48,64] init=ones\n"
        " weight k: f32[24,1,4] init=ones\n state s: f32[3,24]\n state r: f32[3,24]\n"
        " h = embed(ids, e)\n x = cast(h) {to=bf16}\n p = linear(x, a.W)\n"
        " q = cast(p) {to=bf16}\n a, m, b = split(q) {sizes=[16, 24, 8]}\n"
        " c = conv1d(q, k, _, s) {column=16}\n p2 = linear(x, b.W)\n q2 = cast(p2) {to=bf16}\n"
        " a2, m2, b2 = split(q2) {sizes=[16, 24, 8]}\n c2 = conv1d(q2, k, _, r) {column=16}\n"
        " y = concat(a, c)\n z = concat(%s, c2)\n all = concat(y, z)\n"
        " out = take(all, pick)\n output out\n}\n",
        read ? "m2" : "a2");
    CommandResult r = kernel_run_ptx(text, "sm_90a");
    cr_expect_eq(r.status, 0, "%s", r.err);
    int count = 0;
    static const char begin[] = ".entry ssmc_W_conv1d";
    for (const char *at = r.out; (at = strstr(at, begin)); at += strlen(begin))
        count++;
    command_free(&r);
    arena_free(arena);
    return count;
}

/* Columns that nothing reads are not stored. */
Test(ptx_conv, columns_that_are_read_make_another_kernel)
{
    cr_expect_eq(kernels_of_two(false), 1);
    cr_expect_eq(kernels_of_two(true), 2);
}

/* Of columns that are kept in 16 bits: `kept`. */
static bool
boxes_of(const char *kept)
{
    static const char text[] =
        "graph \"t\" lowered {\n weights \"init:reference\"\n block 256\n rows 4\n"
        " input ids: i32[T]\n input pick: i32[R]\n weight e: f32[96,64] init=ones\n"
        " weight W: bf16[2208,64] init=ones\n weight k: f32[1152,1,4] init=ones\n"
        " state s: f32[3,1152]\n h = embed(ids, e)\n x = cast(h) {to=bf16}\n p = linear(x, W)\n"
        " q = cast(p) {to=bf16}\n a, m, b = split(%s) {sizes=[1024, 1152, 32]}\n"
        " c = conv1d(m, k, _, s)\n u = silu(c)\n y = concat(a, u)\n out = take(y, pick)\n"
        " output out\n}\n";
    Arena *arena = arena_new();
    CommandResult r = kernel_run_ptx(arena_printf(arena, text, kept), "sm_90a");
    cr_expect(r.status == 0 && strstr(r.out, "wgmma.mma_async"), "%s", r.err);
    const bool boxes = strstr(r.out, "cp.async.bulk.tensor.2d") != NULL;
    command_free(&r);
    arena_free(arena);
    return boxes;
}

Test(ptx_conv, tiles_that_others_finish_are_of_16_bits)
{
    cr_expect(boxes_of("q"));
    cr_expect(!boxes_of("p"));
}

static void
expect_refused(const Case *t, const char *device, const char *message)
{
    char *text = text_of(t);
    CommandResult r = kernel_run_ptx(text, device);
    cr_expect(r.status != 0 && strstr(r.err, message), "%s", r.err);
    command_free(&r);
    free(text);
}

Test(ptx_conv, what_cannot_be)
{
    static const char room[] = "kernel project: in a projection's epilogue a conv1d of width";
    const Case few_rows = {"product=mma_16x64", 8, 4, 8, 4, 4, "f32", false, false, false, false};
    expect_refused(&few_rows, "sm_80", room);
    const Case wide = {SMALL, 8, 4, 8, 4, 6, "f32", false, false, false, false};
    expect_refused(&wide, "sm_80", room);
    const Case streams = {"product=ranges_64x64x4, small=stream_16x4",
                          8,
                          4,
                          8,
                          4,
                          4,
                          "f32",
                          false,
                          false,
                          false,
                          false};
    expect_refused(&streams, "sm_80", room);
    const Case cast = {SMALL, 8, 4, 8, 4, 4, "bf16", false, false, false, false};
    expect_refused(&cast, "cpu", "runs in an epilogue on a matrix unit alone");
}
