/* tests/unit/test_ptx_likeliest.c -- the candidates of a draw: a GPU's kernel, by the C model of a
 * GPU, against the interpreter, equal to the bit; and that PTX is made of it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { ROWS = 8 };

/* apart: rows begin that many columns after a multiple of the width. */
typedef struct {
    int width, top, apart;
} Case;

static KernelRun *
open_run(const Case *z, const char *cpu)
{
    StrBuf sb = {0};
    sb_printf(&sb,
              "graph \"t\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
              " weight table: f32[%d,%d] tensor=\"table\"\n"
              " kernel rows { e = embed(ids, table) }\n kernel pick { p = take(e, pick) }\n",
              ROWS, ROWS, ROWS, z->width + z->apart);
    if (z->apart)
        sb_printf(&sb, " no, x = split(p) {sizes=[%d, %d]}\n", z->apart, z->width);
    sb_printf(
        &sb,
        " kernel choose { out, which = likeliest(%s) {top=%d} }\n output out\n output which\n}\n",
        z->apart ? "x" : "p", z->top);
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    sb_free(&sb);
    return run;
}

/* One row of each kind: numbers of a few values, equal ones, ramps both ways, all in the columns of
 * one thread, NaNs and infinities and zeros of both signs and denormals. */
static void
fill(float *table, int64_t width)
{
    static const float odd[] = {NAN,  -INFINITY, INFINITY, 0.0F,    -0.0F,    1e-40F,
                                -NAN, -1e-40F,   2e-40F,   3.4e38F, -3.4e38F, 1};
    uint64_t seed = 7;
    for (int64_t i = 0; i < width; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        const int64_t random = (int64_t)(seed >> 40);
        table[0 * width + i] = (float)(random % 19) - 9;
        table[1 * width + i] = -2.5F;
        table[2 * width + i] = (float)i;
        table[3 * width + i] = (float)-i;
        table[4 * width + i] = i % 1024 < 4 ? (float)(i + 1) : -1;
        table[5 * width + i] = odd[(size_t)random % COUNT_OF(odd)];
        table[6 * width + i] = (float)random;
        table[7 * width + i] = i % 7 == 5 ? -INFINITY : NAN; /* nothing above -infinity */
    }
}

static void
check(const Case *z)
{
    KernelRun *run = open_run(z, "native@model");
    int64_t count = 0, rows = 0, same = 0;
    float *table = kernel_run_weight(run, "table", &count);
    fill(table, count / ROWS);
    int32_t *ids = kernel_run_ids(run);
    for (int i = 0; i < ROWS; i++)
        ids[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 1};
    const float *got = kernel_run_code(run, &call, &rows);
    const double *expected = kernel_run_interp(run, &call, &same);
    cr_assert_eq(rows, same);
    cr_assert_eq(rows, ROWS * 2 * z->top);
    for (int64_t i = 0; i < rows; i++)
        cr_expect((isnan(got[i]) && isnan(expected[i])) || (double)got[i] == expected[i],
                  "width %d, top %d, row %d, place %d: %g, expected %g", z->width, z->top,
                  (int)(i / (2 * z->top)), (int)(i % (2 * z->top)), (double)got[i], expected[i]);
    const int32_t *which = kernel_run_value(run, "which"); /* [ROWS,top] */
    for (int64_t i = 0; i < (int64_t)ROWS * z->top; i++)
        cr_expect_eq(which[i], got[i / z->top * 2 * z->top + z->top + i % z->top]);
    kernel_run_close(run);
}

Test(ptx_likeliest, equals_the_interpreter)
{
    const Case cases[] = {
        {1,     1,  0},
        {33,    1,  0},
        {5000,  1,  0},
        {4096,  1,  0},
        {70,    64, 0},
        {65,    64, 3},
        {64,    64, 0},
        {1000,  3,  1},
        {4100,  64, 0},
        {9001,  64, 0},
        {8192,  31, 4},
        {2049,  2,  0},
        {12000, 64, 8},
        {33000, 64, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check(&cases[i]);
}

Test(ptx_likeliest, ptx_is_made)
{
    static const char *const gpus[] = {"sm_80", "sm_90a"};
    for (size_t i = 0; i < COUNT_OF(gpus); i++)
        for (int top = 1; top <= 64; top += 63) {
            char cpu[32];
            snprintf(cpu, sizeof cpu, "native@%s", gpus[i]);
            KernelRun *run = open_run(&(Case){50288, top, 0}, cpu);
            const AbiProgram *p = kernel_run_program(run);
            cr_assert_not_null(p->image);
            cr_expect(strstr(p->image, "ld.global.nc.v4") || strstr(p->image, "ld.global.v4"));
            cr_expect_eq(strstr(p->image, "bar.red.popc") != NULL, top > 1);
            cr_expect_eq(p->outputs[0].candidates, top);
            cr_expect_eq(p->entries[0].choose.count, 1);
            const AbiOutput *ids = &p->outputs[1]; /* as the next pass is fed */
            cr_expect(p->noutputs == 2 && ids->dtype == ABI_I32 && ids->rows == ABI_PICKED &&
                      ids->width == top && ids->stride == top && ids->candidates == top);
            kernel_run_close(run);
        }
}

/* A sequence each: those that decode together go through the head together. */
Test(ptx_likeliest, the_head_of_a_gpu_takes_more_rows)
{
    static const struct {
        const char *device, *rows;
    } of[] = {
        {"cpu",    "\n  rows 32\n" },
        {"sm_80",  "\n  rows 128\n"},
        {"sm_90a", "\n  rows 128\n"},
    };
    for (size_t i = 0; i < COUNT_OF(of); i++) {
        const char *argv[] = {SSMC_BINARY, "compile",    SSMC_ROOT "/examples/storyteller.yaml",
                              "--device",  of[i].device, "--emit",
                              "plan",      NULL};
        CommandResult r = command_run(argv, NULL, 0);
        cr_expect(r.status == 0 && strstr(r.out, of[i].rows), "%s: %s", of[i].device, r.err);
        command_free(&r);
    }
}
