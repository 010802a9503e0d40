/* tests/unit/test_kernels_epilogue.c -- a convolution in the epilogue of a projection on the matrix
 * unit, against the interpreter: widths and lengths that are no whole tiles, several sequences in
 * one pass, blocks of rows, states from call to call. A model of the unit stands in for it on any
 * CPU. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { ROWS = 96 };

typedef enum { BF16, X3, I8, U4 } Kind; /* X3: f32 as sums of two bf16 */

typedef struct {
    Kind kind;
    int K, O, taps;
    int group;   /* of integers; 0: a scale a row */
    bool bias;   /* of the projection and of the convolution */
    bool silu;   /* after the convolution */
    Dtype store; /* of the result */
} Case;

static const Case cases[] = {
    {BF16, 32,    32, 4,  0,  false, false, DTYPE_f32 },
    {BF16, 40,    33, 4,  0,  true,  true,  DTYPE_f32 },
    {BF16, 300,   70, 3,  0,  true,  true,  DTYPE_bf16},
    {BF16, 768,   64, 2,  0,  false, true,  DTYPE_bf16},
    {BF16, 33,    96, 16, 0,  true,  false, DTYPE_f32 },
    {BF16, 20000, 40, 4,  0,  false, false, DTYPE_f32 }, /* blocks of 32 rows */
    {X3,   45,    70, 4,  0,  true,  true,  DTYPE_f32 },
    {I8,   300,   70, 4,  0,  true,  true,  DTYPE_f32 },
    {I8,   256,   64, 4,  64, false, true,  DTYPE_f32 },
    {U4,   256,   65, 3,  32, true,  false, DTYPE_f32 },
};

static const char *
case_text(Arena *arena, const Case *t)
{
    static const char *const names[] = {[BF16] = "bf16", [X3] = "bf16x3", [I8] = "i8", [U4] = "u4"};
    return arena_printf(arena, "%s K=%d O=%d taps=%d group=%d%s%s %s", names[t->kind], t->K, t->O,
                        t->taps, t->group, t->bias ? " bias" : "", t->silu ? " silu" : "",
                        dtype_info[t->store].name);
}

static void
put_weight(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *group = t->group ? arena_printf(arena, "group=%d", t->group) : "";
    if (t->kind == BF16 || t->kind == X3) {
        sb_printf(sb, " kernel weight {part=rows} { p = pack(w) {panel=32%s} }\n",
                  t->kind == X3 ? ", dot=bf16x3" : "");
        return;
    }
    sb_printf(sb, " kernel weight {part=rows} {\n  q, s%s = quantise_%s(w)%s\n",
              t->kind == U4 ? ", m" : "", t->kind == U4 ? "u4" : "i8",
              t->group ? arena_printf(arena, " {%s}", group) : "");
    sb_printf(sb, "  p = pack(q) {%s%spanel=32}\n  sp = pack(s) {panel=32}\n%s }\n", group,
              t->group ? ", " : "", t->kind == U4 ? "  mp = pack(m) {panel=32}\n" : "");
}

static void
put_product(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *group = t->group ? arena_printf(arena, ", group=%d", t->group) : "";
    const char *bias = t->bias ? ", bias" : "";
    sb_printf(sb, " kernel product {unit=matrix, tile=32, part=cols} {\n");
    if (t->kind == BF16 || t->kind == X3)
        sb_printf(sb, "  a = linear(%s, p%s) {out=%d, matmul=emitted%s}\n",
                  t->kind == X3 ? "x" : "xb", bias, t->O, t->kind == X3 ? ", dot=bf16x3" : "");
    else
        sb_printf(sb, "  a = linear_%s(xq, xs, p, sp%s%s) {out=%d%s}\n",
                  t->kind == U4 ? "u4" : "i8", t->kind == U4 ? ", mp" : "", bias, t->O, group);
    sb_printf(sb, "  b = conv1d(a, k, %s, s0)\n", t->bias ? "bias" : "_");
    sb_printf(sb, t->silu ? "  c = silu(b)\n" : "  c = add(b, b)\n");
    sb_printf(sb, "  y = cast(c) {to=%s}\n }\n", dtype_info[t->store].name);
}

static const char *
graph_text(Arena *arena, const Case *t)
{
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"epilogue\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
              "i32[R]\n"
              " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
              " weight w: %s[%d,%d] tensor=\"w\" init=ones\n"
              " weight k: f32[%d,%d] tensor=\"k\" init=ones\n"
              " weight bias: f32[%d] tensor=\"bias\" init=ones\n"
              " state s0: f32[%d,%d]\n",
              ROWS, ROWS, ROWS, t->K, t->kind == BF16 ? "bf16" : "f32", t->O, t->K, t->taps, t->O,
              t->O, t->taps - 1, t->O);
    put_weight(&sb, arena, t);
    sb_printf(&sb, " kernel rows {part=rows} { x = embed(ids, xt) }\n");
    if (t->kind != X3)
        sb_printf(&sb, t->kind == BF16 ? " kernel cast {part=rows} { xb = cast(x) {to=bf16} }\n"
                                       : " kernel quantise {part=rows} { xq, xs = quantise(x) }\n");
    put_product(&sb, arena, t);
    sb_printf(&sb, " kernel widen {part=rows} { z = cast(y) {to=f32} }\n"
                   " kernel pick {part=rows} { out = take(z, pick) }\n output out\n}\n");
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* Sums of K products are off by 2^-24 of their parts each; a function that may be off by 2^-12, or
 * a result that is rounded to bf16, by that. */
static double
allowed(const Case *t)
{
    const double sums = 2e-7 * (20 + 4 * t->K) + (t->kind == X3 ? 4e-5 * t->taps : 0);
    return sums + (t->store == DTYPE_bf16 ? 8e-3 : 0);
}

/* Rows of sixteenths with one of 127/16 each: as integers they are what they were, in f32 as in
 * f64.
 */
static void
fill_rows(KernelRun *run, const Case *t)
{
    int64_t count = 0;
    float *x = kernel_run_weight(run, "xt", &count);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(i % t->K == i / t->K % t->K ? 127 : i * 37 % 255 - 127) / 16;
}

/* The calls follow each other: states of the sequences go on. */
static void
check_case(const Case *t, const char *cpu)
{
    static const RunCall calls[] = {
        {.nseg = 1, .len = {1}},
        {.nseg = 1, .len = {2}},
        {.nseg = 1, .len = {33}},
        {.nseg = 4, .len = {1, 1, 1, 1}, .slot = {2, 0, 3, 1}},
        {.nseg = 4, .len = {3, 30, 2, 40}, .slot = {1, 0, 3, 2}},
        {.nseg = 3, .len = {32, 32, 32}, .slot = {2, 1, 0}},
        {.nseg = 2, .len = {31, 64}, .slot = {3, 0}},
        {.nseg = 1, .len = {ROWS}, .slot = {1}},
        {.nseg = 2, .len = {17, 15}, .slot = {1, 0}},
    };
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    if (t->kind == I8 || t->kind == U4)
        fill_rows(run, t);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        RunCall call = calls[i];
        call.vocab = ROWS;
        call.parts = 1 + (int)i % 3;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= allowed(t), "%s, %s, call %d: off by %g", cpu, case_text(arena, t), (int)i,
                  off);
    }
    kernel_run_close(run);
    arena_free(arena);
}

Test(epilogue, convolutions_agree_with_the_interpreter)
{
    static const char *const cpus[] = {"native+model", "x86-64-v4+model", "x86-64-v3+model",
                                       "x86-64+model", "native"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; i < COUNT_OF(cases); i++)
            if (cpu_runs_here(cpus[c]) && (strchr(cpus[c], '+') || matrix_unit_here()))
                check_case(&cases[i], cpus[c]);
}

/* Rows have the same bits whatever pass and block they come in. */
Test(epilogue, rows_have_the_same_bits_in_any_pass)
{
    static const Case t = {BF16, 300, 70, 4, 0, true, true, DTYPE_f32};
    Arena *arena = arena_new();
    float whole[ROWS * 70];
    int64_t count = 0;
    KernelRun *run = kernel_run_open(graph_text(arena, &t), "native+model");
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i * 7 % ROWS;
    const RunCall all = {.nseg = 1, .len = {ROWS}, .parts = 2};
    memcpy(whole, kernel_run_code(run, &all, &count), sizeof whole);
    kernel_run_close(run);
    for (int piece = 1; piece <= 40; piece += 13) {
        run = kernel_run_open(graph_text(arena, &t), "native+model");
        for (int from = 0; from < ROWS; from += piece) {
            const int rows = from + piece < ROWS ? piece : ROWS - from;
            for (int i = 0; i < rows; i++)
                kernel_run_ids(run)[i] = (from + i) * 7 % ROWS;
            const RunCall part = {.nseg = 1, .len = {rows}, .parts = 3};
            const float *got = kernel_run_code(run, &part, &count);
            cr_expect_arr_eq(got, whole + (size_t)from * 70, (size_t)count * sizeof *got,
                             "pieces of %d, from row %d", piece, from);
        }
        kernel_run_close(run);
    }
    arena_free(arena);
}

/* Taps lie one after the other, as pass layout has them. */
Test(epilogue, a_weight_by_channels_is_refused)
{
    static const char *const text =
        "graph \"t\" kernel {\n weights \"init:reference\"\n block 8\n rows 8\n input ids: "
        "i32[T]\n input pick: i32[R]\n"
        " weight table: f32[11,8] init=ones\n weight w: bf16[8,8] init=ones\n"
        " weight k: f32[8,1,4] init=ones\n state s: f32[3,8]\n"
        " kernel pack { p = pack(w) {panel=32} }\n"
        " kernel load { h = embed(ids, table)\n  x = cast(h) {to=bf16} }\n"
        " kernel c {unit=matrix, tile=32, part=cols} {\n"
        "  u = linear(x, p) {out=8, matmul=emitted}\n  y = conv1d(u, k, _, s)\n }\n"
        " kernel pick { out = take(y, pick) }\n output out\n}\n";
    char *dir = temp_dir(), *path = path_join(dir, "t.ir");
    write_whole(path, text, strlen(text));
    const char *argv[] = {SSMC_BINARY, "compile",        path, "--emit", "asm",
                          "--cpu",     "sapphirerapids", NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err,
                     "kernel c: in a projection's epilogue a conv1d has a weight [K,C] with K "
                     "from 2 to 16 (pass layout)"),
              "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}
