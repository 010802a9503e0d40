/* tests/unit/test_selective.c -- selective_scan as machine code against its meaning: widths,
 * numbers of states and lengths of every kind, decays from nothing to all, on each instruction set
 * this machine has. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel_run.h"

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};

enum { ROWS = 64, IDS = 50 };

typedef struct {
    int channels, states;
    double dt, spread; /* dt within spread of it */
    double A;          /* of the slowest state; that of state n is n + 1 times as much */
} Case;

/* D, then what comes after the scan, and what takes it. */
typedef struct {
    bool skip, gate;
    const char *state;
} Variant;

static KernelRun *
open_case(const Case *z, const Variant *v, const char *cpu)
{
    StrBuf sb = {0};
    const int width = 3 * z->channels + 2 * z->states;
    sb_printf(
        &sb,
        "graph \"scan\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight table: f32[%d,%d] tensor=\"table\"\n weight A: f32[%d,%d] tensor=\"A\"\n"
        " weight D: f32[%d] tensor=\"D\"\n"
        " state s: %s[%d,%d]\n"
        " kernel rows {part=rows} { all = embed(ids, table) }\n"
        " x, z, dt, B, C = split(all) {sizes=[%d, %d, %d, %d, %d]}\n"
        " kernel scan {part=cols} {\n  y = selective_scan(x, dt, A, B, C, %s, s)\n%s }\n"
        " kernel pick {part=rows} { out = take(%s, pick) }\n output out\n}\n",
        ROWS, ROWS, IDS, width, z->states, z->channels, z->channels, v->state, z->states,
        z->channels, z->channels, z->channels, z->channels, z->states, z->states,
        v->skip ? "D" : "_", v->gate ? "  g = silu(z)\n  yg = mul(y, g)\n" : "",
        v->gate ? "yg" : "y");
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
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
        A[i] = (float)(z->A * (1 + (double)(i / z->channels)) * (1 + A[i] / 8));
    return run;
}

static const Case cases[] = {
    {48, 16, 0.1,  0.09, -1    },
    {1,  1,  0.1,  0.09, -1    },
    {33, 3,  0.1,  0.09, -1    },
    {70, 17, 0.1,  0.09, -1    },
    {16, 40, 0.1,  0.09, -1    },
    {7,  70, 0.01, 0.01, -1    },
    {21, 16, 1,    0.5,  -80   }, /* forgets at once */
    {21, 16, 1e-7, 1e-8, -1    }, /* forgets nothing */
    {21, 5,  1,    1,    -30   }, /* decays that are denormal, and dt of 0 */
    {20, 4,  2,    1,    -3e38 }, /* dt A is beyond every f32 */
    {20, 4,  0.1,  0.1,  -1e-30},
};

/* Calls of one token, of an odd number, of several sequences that are at different places. */
static const RunCall calls[] = {
    {.nseg = 1, .len = {29},          .slot = {0},          .parts = 1},
    {.nseg = 1, .len = {1},           .slot = {0},          .parts = 2},
    {.nseg = 4, .len = {1, 7, 20, 2}, .slot = {2, 0, 1, 3}, .parts = 7},
    {.nseg = 4, .len = {1, 1, 1, 1},  .slot = {3, 2, 1, 0}, .parts = 3},
    {.nseg = 2, .len = {2, 62},       .slot = {1, 0},       .parts = 2},
};

static void
check_case(const Case *z, const Variant *v, const char *cpu)
{
    KernelRun *run = open_case(z, v, cpu);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        RunCall call = calls[i];
        call.vocab = IDS;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off < 2e-5, "%s channels=%d states=%d dt=%g A=%g, call %zu: off by %g", cpu,
                  z->channels, z->states, z->dt, z->A, i, off);
    }
    kernel_run_close(run);
}

Test(selective, scan_agrees_with_the_interpreter)
{
    const Variant plain = {true, false, "f32"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
            check_case(&cases[i], &plain, cpus[c]);
}

Test(selective, scan_without_D_and_with_a_gate)
{
    const Variant gated = {false, true, "f32"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < 4; i++)
            check_case(&cases[i], &gated, cpus[c]);
}

/* A of minus infinity forgets at once where time passes, and nothing where dt is 0. */
Test(selective, scan_with_a_rate_of_infinity)
{
    const Case z = {18, 4, 1, 0, -1};
    const Variant plain = {true, false, "f32"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++) {
        if (!cpu_runs_here(cpus[c]))
            continue;
        KernelRun *run = open_case(&z, &plain, cpus[c]);
        int64_t count = 0, of_A = 0;
        float *table = kernel_run_weight(run, "table", &count);
        float *A = kernel_run_weight(run, "A", &of_A);
        const int64_t width = count / IDS;
        for (int64_t i = 0; i < of_A; i += 2)
            A[i] = -INFINITY;
        for (int64_t i = 2 * z.channels; i < count; i += 5)
            if (i % width >= 2 * z.channels && i % width < 3 * z.channels)
                table[i] = i % 2 ? 0 : 1e-30f;
        RunCall call = {.nseg = 1, .len = {40}, .vocab = IDS, .parts = 2};
        const double off = kernel_run_difference(run, &call);
        cr_expect(off < 2e-6, "%s: off by %g", cpus[c], off);
        kernel_run_close(run);
    }
}

/* Two tokens of one state: the first makes it 1, the second is its decay alone. */
Test(selective, decays_are_exact_to_two_units)
{
    enum { WIDTH = 4096 };
    const Case z = {WIDTH, 1, 1, 0, -1};
    const Variant plain = {false, false, "f32"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++) {
        if (!cpu_runs_here(cpus[c]))
            continue;
        KernelRun *run = open_case(&z, &plain, cpus[c]);
        int64_t count = 0, of_A = 0, got = 0;
        float *table = kernel_run_weight(run, "table", &count);
        float *A = kernel_run_weight(run, "A", &of_A);
        const int64_t width = count / IDS;
        for (int64_t d = 0; d < WIDTH; d++) {
            table[d] = 1;
            table[width + d] = 0;
            table[2 * WIDTH + d] = table[width + 2 * WIDTH + d] = 1;
            A[d] = (float)-pow(2, -30 + 38.0 * (double)d / WIDTH); /* to -256 */
        }
        table[3 * WIDTH] = table[3 * WIDTH + 1] = table[width + 3 * WIDTH + 1] = 1;
        A[0] = 0;
        const RunCall call = {.nseg = 1, .len = {2}, .vocab = 2, .parts = 1};
        kernel_run_ids(run)[0] = 0;
        kernel_run_ids(run)[1] = 1;
        const float *y = kernel_run_code(run, &call, &got) + WIDTH;
        cr_expect(y[0] == 1);
        for (int64_t d = 0; d < WIDTH; d++) {
            const double want = exp((double)A[d]);
            /* A log2(e) is rounded: half a unit of the exponent. */
            const double allowed = want < 0x1p-126 ? 0x1p-126 : want * (2e-7 + 1e-7 * -A[d]);
            cr_expect(fabs(y[d] - want) <= allowed, "%s: exp(%.9g) is %.9g, expected %.9g", cpus[c],
                      A[d], y[d], want);
        }
        kernel_run_close(run);
    }
}

/* However the text is cut into calls and the work into parts, the bits are those of one call. */
static void
check_pieces(const Case *z, const char *state)
{
    const Variant v = {true, true, state};
    KernelRun *whole = open_case(z, &v, "native"), *pieces = open_case(z, &v, "native");
    kernel_run_check_pieces(whole, pieces, ROWS, IDS, 13);
    kernel_run_close(whole);
    kernel_run_close(pieces);
}

Test(selective, a_prompt_in_pieces_gives_the_same_bits)
{
    check_pieces(&cases[0], "f32");
    check_pieces(&cases[3], "f32");
    check_pieces(&cases[0], "bf16");
}

/* A state in bf16 is rounded after each token, by both sides. */
Test(selective, scan_whose_state_is_bf16_agrees_with_the_interpreter)
{
    const Variant v = {true, false, "bf16"};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < 5; i++) {
            KernelRun *run = open_case(&cases[i], &v, cpus[c]);
            const double off = kernel_run_share_off(run, ROWS, IDS);
            cr_expect(off < 1e-2, "%s case %zu: off by %g", cpus[c], i, off);
            kernel_run_close(run);
        }
}
