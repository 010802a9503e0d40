/* tests/unit/test_ptx_mixers.c -- a GPU's kernels of what mixes tokens, by the C model of a GPU
 * against the interpreter: convolution, both forms of SSD, selective scan; and that PTX is made of
 * them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/ptx/ssd_pieces.h"
#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { ROWS = 96 };

/* Calls of one token, of an odd number, of several sequences that are at different places. */
static const RunCall calls[] = {
    {.nseg = 1, .len = {17},          .slot = {0}         },
    {.nseg = 1, .len = {1},           .slot = {0}         },
    {.nseg = 4, .len = {1, 7, 20, 2}, .slot = {2, 0, 1, 3}},
    {.nseg = 4, .len = {1, 1, 1, 1},  .slot = {3, 2, 1, 0}},
    {.nseg = 2, .len = {2, 30},       .slot = {1, 0}      },
    {.nseg = 3, .len = {70, 3, 15},   .slot = {2, 1, 3}   },
};

/* longest: calls with a longer segment are left out. */
static void
check_up_to(KernelRun *run, int64_t longest, double most, const char *what)
{
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        RunCall call = calls[i];
        bool fits = true;
        for (int s = 0; s < call.nseg; s++)
            fits = fits && call.len[s] <= longest;
        if (!fits)
            continue;
        call.vocab = ROWS;
        call.parts = 1;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= most, "%s, call %zu: off by %g", what, i, off);
    }
    kernel_run_close(run);
}

static void
check(KernelRun *run, double most, const char *what)
{
    check_up_to(run, ROWS, most, what);
}

/* The first lines of a graph whose kernels read columns of `all`, rows of a table. */
static void
begin_text_of(StrBuf *sb, int tokens, int width, const char *phase)
{
    sb_printf(
        sb,
        "graph \"t\" kernel {\n block %d\n rows %d\n%s input ids: i32[T]\n input pick: i32[R]\n"
        " weight table: f32[%d,%d] tensor=\"table\"\n",
        tokens, tokens, phase, ROWS, width);
}

static void
begin_text(StrBuf *sb, int width, const char *phase)
{
    begin_text_of(sb, ROWS, width, phase);
}

static const char *
end_text(StrBuf *sb, const char *y)
{
    sb_printf(sb, " kernel pick { out = take(%s, pick) }\n output out\n}\n", y);
    return sb_text(sb);
}

/* ---- convolution -------------------------------------------------------------------------------
 */

typedef struct {
    int columns, taps, before; /* before: columns of the table that come first */
    bool bias, silu, strided, decode;
    const char *stored; /* what the rows are rounded to before the convolution reads them */
} Conv;

static KernelRun *
open_conv(const Conv *v, const char *cpu)
{
    StrBuf sb = {0};
    begin_text(&sb, v->before + v->columns, v->decode ? " entry decode\n" : "");
    if (v->strided)
        sb_printf(&sb, " weight w: f32[%d,1,%d] tensor=\"w\"\n", v->columns, v->taps);
    else
        sb_printf(&sb, " weight w: f32[%d,%d] tensor=\"w\"\n", v->taps, v->columns);
    sb_printf(&sb, " weight b: f32[%d] tensor=\"b\"\n state s: f32[%d,%d]\n", v->columns,
              v->taps - 1, v->columns);
    sb_printf(&sb, " kernel rows { e = embed(ids, table)\n  all = cast(e) {to=%s} }\n", v->stored);
    sb_printf(&sb, " first, x = split(all) {sizes=[%d, %d]}\n", v->before, v->columns);
    sb_printf(&sb, " kernel conv {\n  c = conv1d(x, w, %s, s)\n%s }\n", v->bias ? "b" : "_",
              v->silu ? "  y = silu(c)\n" : "");
    KernelRun *run = kernel_run_open(end_text(&sb, v->silu ? "y" : "c"), cpu);
    sb_free(&sb);
    return run;
}

static void
check_conv(const Conv *v)
{
    KernelRun *run = open_conv(v, "native@model");
    char what[128];
    snprintf(what, sizeof what, "%d columns, %d taps%s", v->columns, v->taps,
             v->decode ? ", decode" : "");
    check_up_to(run, v->decode ? 1 : ROWS, 2e-6, what);
}

Test(ptx_mixers, convolution)
{
    const Conv cases[] = {
        {70,  4, 3,  true,  true,  false, false, "f32" },
        {1,   2, 1,  false, false, false, false, "f32" },
        {130, 3, 8,  true,  false, true,  false, "f32" },
        {33,  8, 5,  false, true,  false, false, "bf16"},
        {20,  4, 12, true,  true,  false, true,  "bf16"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_conv(&cases[i]);
}

/* In the epilogue of the projection that makes its columns, a token of each sequence. */
static void
check_conv_in_epilogue(const char *product, int inputs, int first, int columns, int rest, int taps)
{
    static const RunCall single[] = {
        {.nseg = 1, .len = {1},          .slot = {2},          .vocab = ROWS, .parts = 1},
        {.nseg = 4, .len = {1, 1, 1, 1}, .slot = {3, 2, 1, 0}, .vocab = ROWS, .parts = 1},
        {.nseg = 3, .len = {1, 1, 1},    .slot = {0, 2, 3},    .vocab = ROWS, .parts = 1},
    };
    const int all = first + columns + rest;
    StrBuf sb = {0};
    begin_text(&sb, inputs, " entry decode\n");
    sb_printf(&sb,
              " weight W: bf16[%d,%d] tensor=\"W\"\n weight B: f32[%d] tensor=\"B\"\n"
              " weight k: f32[%d,%d] tensor=\"k\"\n weight b: f32[%d] tensor=\"b\"\n"
              " state s: f32[%d,%d]\n"
              " kernel load { e = embed(ids, table)\n  x = cast(e) {to=bf16} }\n"
              " kernel project {%s} {\n  p = linear(x, W, B)\n"
              "  c = conv1d(p, k, b, s) {column=%d}\n  u = silu(c)\n }\n"
              " before, mine, after = split(p) {sizes=[%d, %d, %d]}\n"
              " kernel join { y = concat(before, u) }\n",
              all, inputs, all, taps, columns, columns, taps - 1, columns, product, first, first,
              columns, rest);
    KernelRun *run = kernel_run_open(end_text(&sb, "y"), "native@model");
    RunCall many = {.nseg = RUN_SLOTS, .vocab = ROWS, .parts = 1}; /* more than STREAM takes */
    for (int i = 0; i < RUN_SLOTS; i++)
        many.len[i] = 1, many.slot[i] = RUN_SLOTS - 1 - i;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < COUNT_OF(single); i++) {
            const double off = kernel_run_difference(run, &single[i]);
            cr_expect(off <= 2e-5, "%s: call %zu: off by %g", product, i, off);
        }
    const double off = kernel_run_difference(run, &many);
    cr_expect(off <= 2e-5, "%s: off by %g", product, off);
    kernel_run_close(run);
    sb_free(&sb);
}

Test(ptx_mixers, convolution_in_an_epilogue)
{
    check_conv_in_epilogue("product=stream_16x8", 32, 16, 24, 8, 4);
    check_conv_in_epilogue("product=stream_16x4", 40, 5, 30, 3, 2);
    check_conv_in_epilogue("product=stream_32x4", 40, 8, 30, 3, 4);
    check_conv_in_epilogue("product=mma_64x64", 24, 4, 12, 4, 3);
    check_conv_in_epilogue("product=mma_64x64", 24, 7, 12, 4, 3);
    check_conv_in_epilogue("product=ranges_64x64x4, small=stream_16x4", 24, 8, 12, 4, 4);
    check_conv_in_epilogue("product=split_128x64x4, small=stream_32x4", 40, 8, 62, 4, 4);
    check_conv_in_epilogue("product=split_128x128x8, small=stream_16x8", 40, 16, 40, 8, 4);
    check_conv_in_epilogue("product=split_128x128x8, small=stream_16x8", 48, 126, 21, 3, 2);
    check_conv_in_epilogue("product=split_128x64x4, small=stream_32x4", 40, 16, 40, 8, 4);
    check_conv_in_epilogue("product=split_128x64x4, small=stream_32x4", 48, 126, 21, 3, 2);
    check_conv_in_epilogue("product=split_64x128x4, small=stream_32x4", 40, 8, 62, 4, 4);
    check_conv_in_epilogue("product=split_64x128x8, small=stream_16x8", 48, 126, 21, 3, 2);
    check_conv_in_epilogue("product=ranges_64x64x4, small=stream_16x4", 40, 4, 12, 4, 3);
    check_conv_in_epilogue("product=wide_64x128x4, small=stream_32x4", 40, 4, 12, 4, 3);
}

/* ---- ssd ---------------------------------------------------------------------------------------
 */

typedef struct {
    int H, P, N, G, Q; /* Q 0: chunk=all; -1: token after token; -2: a token of each sequence */
    double dt, spread, A;
    const char *dot, *state;
    double most;
} Ssd;

/* starts: what state_pass reads of ssd_starts, or nothing. */
static void
put_ssd(StrBuf *sb, const Ssd *z, const char *starts)
{
    char dims[96], chunk[32];
    snprintf(dims, sizeof dims, "groups=%d, heads=%d, head_dim=%d, state=%d", z->G, z->H, z->P,
             z->N);
    if (z->Q < 0) {
        sb_printf(sb, "  y = ssd_scan(x, dt, A, B, C, D, s) {%s}\n", dims);
        return;
    }
    snprintf(chunk, sizeof chunk, z->Q ? "chunk=%d" : "chunk=all", z->Q);
    sb_printf(sb,
              "  a = chunk_decay(dt, A) {%s}\n"
              "  cb = chunk_cb(C, B) {groups=%d, state=%d, %s, dot=%s}\n"
              "  add = chunk_state(B, x, dt, a) {%s, %s, dot=%s}\n"
              "  enter = state_pass(add, a, s%s) {%s}\n"
              "  y = chunk_out(cb, a, dt, x, C, enter, D) {%s, %s, dot=%s}\n",
              chunk, z->G, z->N, chunk, z->dot, dims, chunk, z->dot, starts, chunk, dims, chunk,
              z->dot);
}

/* dt of the table's columns, and A, are the case's. Rows are a multiple of 16 bytes apart in bf16.
 */
static KernelRun *
open_ssd_by(const char *unit, int tokens, int parts, const Ssd *z, const char *after, const char *y,
            const char *stored, const char *cpu)
{
    const int inner = z->H * z->P, bc = z->G * z->N, used = 2 * inner + 2 * bc + z->H;
    const int width = used / 8 * 8 + 8;
    StrBuf sb = {0};
    char starts[256] = "";
    if (parts)
        snprintf(starts, sizeof starts,
                 " kernel starts { starts = ssd_starts(x, dt, A, B, s) {heads=%d, head_dim=%d, "
                 "groups=%d, state=%d, parts=%d, chunk=%d, dot=bf16} }\n",
                 z->H, z->P, z->G, z->N, parts, z->Q);
    begin_text_of(&sb, tokens, width, z->Q == -2 ? " entry decode\n" : "");
    sb_printf(&sb,
              " weight A: f32[%d] tensor=\"A\"\n weight D: f32[%d] tensor=\"D\"\n"
              " state s: %s[%d,%d,%d]\n kernel rows { e = embed(ids, table)\n"
              "  all = cast(e) {to=%s} }\n x, z, B, C, dt, no = split(all) {sizes=[%d, %d, %d, %d, "
              "%d, %d]}\n"
              "%s kernel ssd %s {\n",
              z->H, z->H, z->state, z->H, z->N, z->P, stored, inner, inner, bc, bc, z->H,
              width - used, starts, unit);
    put_ssd(&sb, z, *starts ? ", starts" : "");
    sb_printf(&sb, "%s }\n", after);
    KernelRun *run = kernel_run_open(end_text(&sb, y), cpu);
    sb_free(&sb);
    int64_t count = 0;
    float *table = kernel_run_weight(run, "table", &count);
    for (int64_t i = 0; i < count; i++)
        if (i % width >= used - z->H && i % width < used)
            table[i] = (float)(z->dt + z->spread * table[i] / 2);
    float *A = kernel_run_weight(run, "A", &count);
    for (int64_t i = 0; i < count; i++)
        A[i] = (float)(z->A * (1 + (double)i));
    return run;
}

static KernelRun *
open_ssd(const Ssd *z, const char *after, const char *y, const char *stored, const char *cpu)
{
    return open_ssd_by("", ROWS, 0, z, after, y, stored, cpu);
}

static void
check_ssd(const Ssd *z, const char *after, const char *y)
{
    char what[160];
    snprintf(what, sizeof what, "H=%d P=%d N=%d G=%d Q=%d dt=%g A=%g dot=%s state=%s", z->H, z->P,
             z->N, z->G, z->Q, z->dt, z->A, z->dot, z->state);
    check(open_ssd(z, after, y, "f32", "native@model"), z->most, what);
}

#define EACH_DECAY(H, P, N, G, Q)                                                                  \
    {H, P, N, G, Q, 0.1, 0.09, -1, "f32", "f32", 2e-5},                                            \
        {H, P, N, G, Q, 1, 0.5, -80, "f32", "f32", 2e-5},                                          \
        {H, P, N, G, Q, 1e-7, 1e-8, -1, "f32", "f32", 2e-5},                                       \
        {H, P, N, G, Q, 0.1, 0.09, -1e38, "f32", "f32", 2e-5},                                     \
        {H, P, N, G, Q, 1, 1, -INFINITY, "f32", "f32", 2e-5},

Test(ptx_mixers, ssd_token_after_token)
{
    const Ssd cases[] = {
        EACH_DECAY(1, 8, 10, 1, -1){1, 20, 128, 1, -1, 0.1, 0.09, -1, "f32", "f32",  2e-5},
        {1, 24, 16,  1, -1, 0.1, 0.09, -1, "f32", "bf16", 2e-2},
        {2, 5,  33,  2, -1, 0.1, 0.09, -1, "f32", "f32",  2e-5},
        {1, 1,  1,   1, -1, 0.1, 0.09, -1, "f32", "f32",  2e-5},
        {1, 8,  300, 1, -1, 0.1, 0.09, -1, "f32", "f32",  2e-5},
        {1, 18, 7,   1, -1, 0.1, 0.09, -1, "f32", "bf16", 2e-2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_ssd(&cases[i], "", "y");
}

Test(ptx_mixers, ssd_of_a_token_each)
{
    static const RunCall single[] = {
        {.nseg = 1, .len = {1},          .slot = {2},          .vocab = ROWS, .parts = 1},
        {.nseg = 4, .len = {1, 1, 1, 1}, .slot = {3, 2, 1, 0}, .vocab = ROWS, .parts = 1},
        {.nseg = 2, .len = {1, 1},       .slot = {0, 2},       .vocab = ROWS, .parts = 1},
    };
    const Ssd cases[] = {
        {2, 20, 128, 1, -2, 0.1, 0.09, -1, "f32", "f32",  2e-5},
        {1, 64, 128, 1, -2, 0.1, 0.09, -1, "f32", "bf16", 2e-2},
        {2, 72, 33,  2, -2, 0.1, 0.09, -1, "f32", "bf16", 2e-2},
        {1, 3,  1,   1, -2, 0.1, 0.09, -1, "f32", "f32",  2e-5},
    };
    const char *gate = "  g = silu(z)\n  yg = mul(y, g)\n  r = cast(yg) {to=bf16}\n";
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KernelRun *run = open_ssd(&cases[i], gate, "yg", "f32", "native@model");
        for (size_t j = 0; j < COUNT_OF(single); j++) {
            const double off = kernel_run_difference(run, &single[j]);
            cr_expect(off <= cases[i].most, "case %zu, call %zu: off by %g", i, j, off);
        }
        kernel_run_close(run);
    }
}

Test(ptx_mixers, ssd_by_chunks)
{
    const Ssd cases[] = {
        EACH_DECAY(2, 20, 10, 1, 16)
            EACH_DECAY(2, 16, 16, 1, 64){4, 64, 32,  1, 64, 0.1, 0.09, -1,  "f32", "f32",  2e-5},
        {2, 80, 24,  2, 7,  0.1, 0.09, -1,  "f32", "f32",  2e-5},
        {6, 5,  33,  2, 24, 0.1, 0.09, -4,  "f32", "f32",  2e-5},
        {3, 1,  1,   3, 1,  0.5, 0.4,  -1,  "f32", "f32",  2e-5},
        {1, 64, 128, 1, 64, 0.1, 0.09, -16, "f32", "f32",  2e-5},
        {1, 8,  256, 1, 0,  0.1, 0.09, -1,  "f32", "f32",  2e-5},
        {2, 24, 40,  1, 40, 0.1, 0.09, -1,  "f32", "bf16", 2e-2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_ssd(&cases[i], "", "y");
}

#define ROUNDED "  r = cast(y) {to=bf16} }\n kernel wide { w = cast(r) {to=f32}\n", "w"

/* Rows of bf16 are copied as they lie where P and N allow; others are rounded on the way. */
Test(ptx_mixers, ssd_by_chunks_in_bf16)
{
    const Ssd cases[] = {
        {2, 16, 16,  1, 64, 0.1,  0.09, -1,        "bf16", "f32",  5e-2},
        {4, 32, 48,  2, 64, 0.1,  0.09, -1,        "bf16", "f32",  5e-2},
        {4, 64, 16,  1, 64, 0.1,  0.09, -1,        "bf16", "f32",  5e-2},
        {3, 5,  9,   1, 24, 0.1,  0.09, -4,        "bf16", "f32",  5e-2},
        {1, 80, 24,  1, 40, 0.1,  0.09, -16,       "bf16", "bf16", 2e-2},
        {2, 16, 8,   1, 0,  1,    0.5,  -80,       "bf16", "f32",  5e-2},
        {2, 16, 8,   1, 64, 1e-7, 1e-8, -1,        "bf16", "f32",  5e-2},
        {2, 8,  8,   1, 64, 1,    1,    -INFINITY, "bf16", "f32",  5e-2},
        {1, 8,  260, 1, 64, 0.1,  0.09, -1,        "bf16", "f32",  5e-2}, /* a state too large */
        {1, 8,  256, 1, 64, 0.1,  0.09, -4,        "bf16", "f32",  5e-2}, /* no room for feeders */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char what[96];
        snprintf(what, sizeof what, "P=%d N=%d Q=%d dt=%g A=%g", cases[i].P, cases[i].N, cases[i].Q,
                 cases[i].dt, cases[i].A);
        check(open_ssd(&cases[i], "", "y", i % 2 ? "f32" : "bf16", "native@model"), cases[i].most,
              what);
    }
}

/* By products of four warps. */
Test(ptx_mixers, ssd_by_warpgroups)
{
    static const struct {
        Ssd z;
        const char *rows, *after, *y;
    } cases[] = {
        {{2, 16, 16, 1, 64, 0.1, 0.09, -1, "bf16", "f32", 5e-2}, "bf16", "", "y"},
        {{4, 64, 128, 2, 64, 0.1, 0.09, -1, "bf16", "f32", 5e-2}, "bf16", ROUNDED},
        {{3, 80, 24, 1, 40, 0.1, 0.09, -16, "bf16", "bf16", 5e-2}, "bf16", ROUNDED},
        {{3, 5, 9, 1, 24, 0.1, 0.09, -4, "bf16", "f32", 5e-2}, "f32", "", "y"},
        {{2, 72, 80, 1, 0, 1, 0.5, -80, "bf16", "f32", 5e-2}, "bf16", ROUNDED},
        {{2, 16, 72, 1, 64, 1e-7, 1e-8, -1, "bf16", "f32", 5e-2}, "bf16", ROUNDED},
        {{1, 8, 8, 1, 64, 1, 1, -INFINITY, "bf16", "f32", 5e-2}, "bf16", ROUNDED},
        {{2, 16, 256, 1, 64, 0.1, 0.09, -1, "bf16", "f32", 5e-2}, "bf16", ROUNDED},
        {{2, 80, 136, 2, 64, 0.1, 0.09, -4, "bf16", "bf16", 5e-2}, "bf16", ROUNDED},
        {{2, 72, 160, 1, 64, 0.1, 0.09, -4, "bf16", "bf16", 5e-2}, "bf16", ROUNDED},
        {{2, 5, 129, 1, 40, 0.1, 0.09, -4, "bf16", "f32", 5e-2}, "f32", "", "y"},
        {{1, 16, 251, 1, 0, 1, 0.5, -80, "bf16", "f32", 5e-2}, "bf16", "", "y"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Ssd *z = &cases[i].z;
        char what[96];
        snprintf(what, sizeof what, "P=%d N=%d Q=%d dt=%g A=%g", z->P, z->N, z->Q, z->dt, z->A);
        check(open_ssd_by("{unit=matrix}", ROWS, 0, z, cases[i].after, cases[i].y, cases[i].rows,
                          "native@model"),
              z->most, what);
    }
}

/* More runs than there are places for in shared memory, by boxes and not, of which the last is
 * short; one head a block and two. */
Test(ptx_mixers, ssd_of_many_runs)
{
    enum { TOKENS = 490 };
    static const Ssd cases[] = {
        {2, 64, 64,  1, 64, 0.1, 0.09, -1, "bf16", "f32",  5e-2},
        {2, 24, 128, 1, 64, 0.1, 0.09, -1, "bf16", "bf16", 5e-2},
        {2, 8,  72,  1, 64, 0.1, 0.09, -1, "bf16", "f32",  5e-2},
        {1, 16, 96,  1, 64, 0.1, 0.09, -1, "bf16", "f32",  5e-2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        RunCall call = {
            .nseg = 3, .len = {448, 1, TOKENS - 449},
                 .slot = {1,   2, 0           }
        };
        call.vocab = ROWS;
        call.parts = 1;
        KernelRun *run =
            open_ssd_by("{unit=matrix}", TOKENS, 0, &cases[i], ROUNDED, "bf16", "native@model");
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= cases[i].most, "N=%d: off by %g", cases[i].N, off);
        kernel_run_close(run);
    }
}

/* However sequences of up to `tokens` in all are cut into stretches that are made side by side: the
 * same bits. */
static void
check_cuts(const Ssd *z, int tokens, const int64_t lens[3])
{
    enum { PARTS = 4 };
    KernelRun *runs[2];
    RunCall call = {.vocab = ROWS, .parts = 1};
    for (int s = 0; s < 3 && lens[s]; s++, call.nseg++) {
        call.len[s] = lens[s];
        call.slot[s] = s;
    }
    const float *got[2];
    int64_t count = 0;
    for (int i = 0; i < 2; i++) {
        runs[i] =
            open_ssd_by("{unit=matrix}", tokens, i * PARTS, z, ROUNDED, "bf16", "native@model");
        for (int64_t t = 0; t < tokens; t++)
            kernel_run_ids(runs[i])[t] = (int32_t)(t * 37 % ROWS);
        got[i] = kernel_run_code(runs[i], &call, &count);
    }
    cr_expect(memcmp(got[0], got[1], (size_t)count * sizeof *got[0]) == 0,
              "H=%d P=%d N=%d, lengths from %d", z->H, z->P, z->N, (int)lens[0]);
    for (int i = 0; i < 2; i++)
        kernel_run_close(runs[i]);
}

Test(ptx_mixers, stretches_give_the_same_bits)
{
    enum { TOKENS = 700 };
    static const Ssd cases[] = {
        {2, 16, 16,  1, 64, 0.1, 0.09, -1, "bf16", "f32",  0},
        {2, 72, 72,  2, 64, 0.1, 0.09, -1, "bf16", "bf16", 0},
        {1, 16, 200, 1, 64, 0.1, 0.09, -1, "bf16", "bf16", 0},
        {2, 16, 96,  1, 64, 0.1, 0.09, -1, "bf16", "bf16", 0},
    };
    static const int64_t lens[][3] = {
        {TOKENS, 0,   0  },
        {130,    70,  500},
        {1,      690, 9  }
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t l = 0; l < COUNT_OF(lens); l++)
            check_cuts(&cases[i], TOKENS, lens[l]);
}

/* Rows that begin at no multiple of 16 bytes, of which no boxes are copied; chunks of two runs. */
Test(ptx_mixers, stretches_of_odd_rows_give_the_same_bits)
{
    enum { TOKENS = 660 };
    static const Ssd cases[] = {
        {3, 5,  33, 1, 64,  0.1, 0.09, -1, "bf16", "f32",  0},
        {1, 12, 20, 1, 128, 0.1, 0.09, -1, "bf16", "bf16", 0},
        {2, 8,  24, 1, 128, 0.1, 0.09, -1, "bf16", "bf16", 0},
    };
    static const int64_t lens[3] = {TOKENS - 10, 10};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_cuts(&cases[i], TOKENS, lens);
}

/* States of none beyond the last: they would be written over those of the next head. */
Test(ptx_mixers, pieces_of_states_all_have_some)
{
    static const int64_t units[] = {4, 108, 132};
    for (size_t u = 0; u < COUNT_OF(units); u++)
        for (int64_t states = 16; states <= 256; states += 16)
            for (int64_t columns = 1; columns <= 160; columns++) {
                int64_t each = 0;
                const int64_t pieces = ptx_ssd_pieces(states, columns, units[u], &each);
                cr_assert(each > 0 && pieces * each >= states && (pieces - 1) * each < states,
                          "%d states of %d columns", (int)states, (int)columns);
            }
}

/* So many heads that the states of each are made in one piece. */
Test(ptx_mixers, stretches_of_many_heads_give_the_same_bits)
{
    enum { TOKENS = 134 };
    static const Ssd many = {67, 8, 72, 1, 64, 0.1, 0.09, -1, "bf16", "f32", 0};
    static const int64_t lens[3] = {5, TOKENS - 5};
    check_cuts(&many, TOKENS, lens);
}

Test(ptx_mixers, ssd_and_what_follows_it)
{
    const Ssd chunked = {2, 12, 9, 1, 16, 0.1, 0.09, -1, "f32", "f32", 2e-5};
    Ssd scan = chunked;
    scan.Q = -1;
    const char *gate = "  g = silu(z)\n  yg = mul(y, g)\n  r = cast(yg) {to=bf16}\n";
    check_ssd(&chunked, gate, "yg");
    check_ssd(&scan, gate, "yg");
}

/* Each thread makes the step of its head anew. */
Test(ptx_mixers, ssd_that_makes_its_steps)
{
    StrBuf sb = {0};
    begin_text(&sb, 39, "");
    sb_printf(&sb, " weight A: f32[3] tensor=\"A\"\n weight b: f32[3] tensor=\"b\"\n"
                   " state s: f32[3,9,4]\n kernel load { all = embed(ids, table) }\n"
                   " x, z, B, C, d = split(all) {sizes=[12, 6, 9, 9, 3]}\n"
                   " kernel rate { e = exp(A)\n  n = neg(e) }\n"
                   " kernel ssd {\n  t = add(d, b)\n  dt = softplus(t)\n"
                   "  y = ssd_scan(x, dt, n, B, C, _, s) {groups=1, heads=3, head_dim=4, state=9}\n"
                   "  r = silu(y)\n }\n");
    check(kernel_run_open(end_text(&sb, "r"), "native@model"), 2e-5, "dt in its own kernel");
    sb_free(&sb);
}

/* ---- bits --------------------------------------------------------------------------------------
 */

/* Sequences by themselves get the bits that they get together, in two calls. */
static void
check_bits(KernelRun *run, KernelRun *alone, const char *what)
{
    enum { CALLS = 2, SEQUENCES = 4 };
    static const int64_t lens[CALLS][SEQUENCES] = {
        {1, 40, 17, 3 },
        {9, 2,  18, 66}
    };
    for (int call = 0; call < CALLS; call++) {
        RunCall all = {.nseg = SEQUENCES, .vocab = ROWS, .parts = 1};
        int64_t rows = 0, count = 0;
        for (int i = 0; i < SEQUENCES; i++) {
            all.len[i] = lens[call][i];
            all.slot[i] = i;
            rows += lens[call][i];
        }
        int32_t ids[ROWS];
        for (int64_t i = 0; i < rows; i++)
            ids[i] = (int32_t)(i * 37 % ROWS);
        memcpy(kernel_run_ids(run), ids, (size_t)rows * sizeof *ids);
        const float *together = kernel_run_code(run, &all, &count);
        const int64_t width = count / rows;
        for (int64_t i = 0, row = 0; i < SEQUENCES; row += lens[call][i++]) {
            RunCall one = {
                .nseg = 1, .len = {lens[call][i]}, .slot = {i}, .vocab = ROWS, .parts = 1};
            memcpy(kernel_run_ids(alone), ids + row, (size_t)one.len[0] * sizeof *ids);
            const float *got = kernel_run_code(alone, &one, &count);
            const size_t bytes = (size_t)(one.len[0] * width) * sizeof *got;
            cr_expect(memcmp(got, together + row * width, bytes) == 0, "%s: sequence %d, call %d",
                      what, (int)i, call);
        }
    }
    kernel_run_close(run);
    kernel_run_close(alone);
}

Test(ptx_mixers, bits_do_not_depend_on_other_sequences)
{
    const Ssd cases[] = {
        {2, 12, 9,  1, 16, 0.1, 0.09, -1, "f32",  "f32", 0},
        {4, 64, 16, 1, 64, 0.1, 0.09, -1, "bf16", "f32", 0}, /* in each mode */
        {2, 12, 9,  1, -1, 0.1, 0.09, -1, "f32",  "f32", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_bits(open_ssd(&cases[i], "", "y", "bf16", "native@model"),
                   open_ssd(&cases[i], "", "y", "bf16", "native@model"), "ssd");
    const Conv conv = {64, 4, 8, true, true, false, false, "bf16"};
    check_bits(open_conv(&conv, "native@model"), open_conv(&conv, "native@model"), "conv1d");
}

/* ---- selective scan ----------------------------------------------------------------------------
 */

typedef struct {
    int channels, states;
    double dt, spread, A;
    const char *state;
    double most;
} Selective;

static KernelRun *
open_selective(const Selective *z, const char *cpu)
{
    const int width = 3 * z->channels + 2 * z->states;
    StrBuf sb = {0};
    begin_text(&sb, width, "");
    sb_printf(&sb,
              " weight A: f32[%d,%d] tensor=\"A\"\n weight D: f32[%d] tensor=\"D\"\n"
              " state s: %s[%d,%d]\n kernel rows { all = embed(ids, table) }\n"
              " x, z, dt, B, C = split(all) {sizes=[%d, %d, %d, %d, %d]}\n"
              " kernel scan {\n  y = selective_scan(x, dt, A, B, C, D, s)\n"
              "  g = silu(z)\n  yg = mul(y, g)\n }\n",
              z->states, z->channels, z->channels, z->state, z->states, z->channels, z->channels,
              z->channels, z->channels, z->states, z->states);
    KernelRun *run = kernel_run_open(end_text(&sb, "yg"), cpu);
    sb_free(&sb);
    int64_t count = 0;
    float *table = kernel_run_weight(run, "table", &count);
    for (int64_t i = 0; i < count; i++) {
        const int64_t col = i % width - 2 * z->channels;
        if (col >= 0 && col < z->channels)
            table[i] = (float)(z->dt + z->spread * table[i] / 2);
    }
    float *A = kernel_run_weight(run, "A", &count);
    for (int64_t i = 0; i < count; i++)
        A[i] = (float)(z->A * (1 + (double)(i / z->channels)));
    return run;
}

Test(ptx_mixers, selective_scan)
{
    const Selective cases[] = {
        {48, 16,  0.1,  0.09, -1,        "f32",  2e-5},
        {1,  1,   0.1,  0.09, -1,        "f32",  2e-5},
        {33, 3,   0.1,  0.09, -1,        "f32",  2e-5},
        {70, 17,  0.1,  0.09, -1,        "bf16", 2e-2},
        {7,  150, 0.01, 0.01, -1,        "f32",  2e-5},
        {21, 16,  1,    0.5,  -80,       "f32",  2e-5},
        {21, 16,  1e-7, 1e-8, -1,        "f32",  2e-5},
        {20, 4,   2,    1,    -3e38,     "f32",  2e-5},
        {20, 4,   1,    1,    -INFINITY, "f32",  2e-5},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char what[96];
        snprintf(what, sizeof what, "%d channels, %d states, dt=%g, A=%g", cases[i].channels,
                 cases[i].states, cases[i].dt, cases[i].A);
        check(open_selective(&cases[i], "native@model"), cases[i].most, what);
    }
}

/* ---- PTX ---------------------------------------------------------------------------------------
 */

/* The text that a GPU's driver is given, and how it is launched. */
static void
check_ptx(KernelRun *run, const char *gpu, const char *const *has)
{
    const AbiProgram *p = kernel_run_program(run);
    cr_assert_not_null(p->image);
    cr_expect_str_eq(p->target, gpu);
    for (; *has; has++)
        cr_expect(strstr(p->image, *has), "%s: no %s in the PTX", gpu, *has);
    for (int i = 0; i < p->nlaunches; i++)
        cr_expect(p->launches[i].threads > 0 && strstr(p->image, p->launches[i].symbol));
    kernel_run_close(run);
}

/* x and B of states where stretches begin are copied as boxes where rows allow it. */
Test(ptx_mixers, ptx_of_stretches_has_boxes)
{
    static const char *const boxes[] = {"cp.async.bulk.tensor.2d", "mbarrier.test_wait", NULL};
    static const char *const units[] = {"mbarrier.test_wait", NULL};
    const Ssd whole = {2, 16, 24, 1, 64, 0.1, 0, -1, "bf16", "bf16", 0};
    const Ssd odd = {3, 5, 33, 1, 64, 0.1, 0, -1, "bf16", "f32", 0};
    const char *unit = "{unit=matrix}", *gpu = "native@sm_90a";
    check_ptx(open_ssd_by(unit, ROWS, 4, &whole, "", "y", "bf16", gpu), "sm_90a", boxes);
    KernelRun *run = open_ssd_by(unit, ROWS, 4, &odd, "", "y", "bf16", gpu);
    cr_expect_null(strstr(kernel_run_program(run)->image, boxes[0]));
    check_ptx(run, "sm_90a", units);
}

Test(ptx_mixers, ptx_is_made)
{
    static const char *const gpus[] = {"sm_80", "sm_90a"};
    static const char *const vectors[] = {"ld.global.v4.f32", "shfl.sync.bfly", NULL};
    static const char *const products[] = {"mma.sync.aligned.m16n8k16.row.col.f32.bf16",
                                           "ldmatrix.sync.aligned.m8n8.x4.trans",
                                           "cp.async.cg.shared.global",
                                           "cvt.rn.bf16x2.f32",
                                           "ex2.approx.ftz.f32",
                                           NULL};
    static const char *const plain[] = {"fma.rn.f32", "bar.sync", NULL};
    const Ssd scan = {2, 64, 128, 1, -1, 0.1, 0, -1, "f32", "f32", 0};
    const Ssd chunked = {2, 64, 16, 1, 64, 0.1, 0, -1, "f32", "f32", 0};
    const Ssd pairs = {2, 64, 16, 1, 64, 0.1, 0, -1, "bf16", "bf16", 0};
    const Selective selective = {64, 16, 0.1, 0, -1, "f32", 0};
    for (size_t i = 0; i < COUNT_OF(gpus); i++) {
        char cpu[32];
        snprintf(cpu, sizeof cpu, "native@%s", gpus[i]);
        check_ptx(open_ssd(&scan, "", "y", "f32", cpu), gpus[i], vectors);
        check_ptx(open_ssd(&chunked, "", "y", "f32", cpu), gpus[i], plain);
        check_ptx(open_ssd(&pairs, "", "y", "bf16", cpu), gpus[i], products);
        check_ptx(open_selective(&selective, cpu), gpus[i], plain);
        check_ptx(open_conv(&(Conv){64, 4, 64, true, true, false, false, "bf16"}, cpu), gpus[i],
                  (const char *const[]){"fma.rn.f32", NULL});
    }
}
