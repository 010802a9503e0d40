/* tests/unit/test_ptx_rows.c -- a GPU's kernels whose threads take several columns of a row at
 * once, by the C model of a GPU against the interpreter: pointwise ops, gathers, norms,
 * convolution, concat; and that their PTX reads and writes 16 bytes at a time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/kernel_run.h"

enum { ROWS = 64 };

/* Of a table with columns `before`, `columns` and `after`, the middle ones are x, z another such;
 * nodes make y of them. Weights are w [columns], u [columns/4], c [taps,columns], d its
 * bias. */
typedef struct {
    const char *nodes, *stored, *made; /* types of x and z, and of y */
    int before, columns, after;
    bool decode;
} Rows;

static KernelRun *
open_rows(const Rows *r, const char *cpu)
{
    const int used = r->before + 2 * r->columns + r->after;
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph \"t\" kernel {\n block %d\n rows %d\n%s input ids: i32[T]\n input pick: i32[R]\n"
        " weight table: f32[%d,%d] tensor=\"table\"\n weight w: f32[%d] tensor=\"w\"\n"
        " weight u: f32[%d] tensor=\"u\"\n"
        " weight c: f32[4,%d] tensor=\"c\"\n weight d: f32[%d] tensor=\"d\"\n",
        ROWS, ROWS, r->decode ? " entry decode\n" : "", ROWS, used, r->columns,
        (r->columns + 3) / 4, r->columns, r->columns);
    if (strstr(r->nodes, "conv1d"))
        sb_printf(&sb, " state s: f32[3,%d]\n", r->columns);
    sb_printf(&sb,
              " kernel rows { e = embed(ids, table)\n  all = cast(e) {to=%s} }\n"
              " b, x, z, a = split(all) {sizes=[%d, %d, %d, %d]}\n"
              " kernel made {\n%s  y = cast(m) {to=%s}\n }\n"
              " kernel pick { o = take(y, pick)\n  out = cast(o) {to=f32} }\n output out\n}\n",
              r->stored, r->before, r->columns, r->columns, r->after, r->nodes, r->made);
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    sb_free(&sb);
    return run;
}

static double
tolerance(const Rows *r)
{
    return strcmp(r->made, "bf16") == 0 ? 8e-3 : 3e-6;
}

/* Rows of one sequence, and of several, not as many as blocks or runs have; few where they are
 * wide. */
static void
check(const Rows *r)
{
    static const RunCall calls[] = {
        {.nseg = 1, .len = {ROWS},        .slot = {0}         },
        {.nseg = 4, .len = {3, 29, 1, 8}, .slot = {1, 3, 2, 0}},
        {.nseg = 4, .len = {1, 1, 1, 1},  .slot = {0, 1, 3, 2}},
    };
    KernelRun *run = open_rows(r, "native@model");
    for (size_t i = r->columns > 600 || r->decode ? 2 : 0; i < COUNT_OF(calls); i++) {
        RunCall call = calls[i];
        call.vocab = ROWS;
        call.parts = 1;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off <= tolerance(r), "%d columns of %s after %d to %s, call %zu: off by %g\n%s",
                  r->columns, r->stored, r->before, r->made, i, off, r->nodes);
    }
    kernel_run_close(run);
}

/* Columns and what lies before and after them: rows of whole 16s of bytes, of 8, of none; more than
 * a block has threads for; one. */
static const struct {
    int before, columns, after;
} shapes[] = {
    {8,  24,  8},
    {16, 48,  8},
    {4,  36,  4},
    {3,  40,  5},
    {8,  70,  4},
    {1,  33,  1},
    {2,  1,   4},
    {8,  520, 8},
};

static void
check_shapes(const char *nodes)
{
    static const char *const types[][2] = {
        {"f32",  "f32" },
        {"bf16", "f32" },
        {"bf16", "bf16"},
        {"f32",  "bf16"},
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (size_t t = 0; t <= COUNT_OF(types); t++) { /* the last again, in decode */
            const char *const *type = types[t < COUNT_OF(types) ? t : COUNT_OF(types) - 1];
            check(&(Rows){nodes, type[0], type[1], shapes[i].before, shapes[i].columns,
                          shapes[i].after, t == COUNT_OF(types)});
        }
}

Test(ptx_rows, pointwise)
{
    check_shapes("  p = add(x, w)\n  q = softplus(p)\n  g = silu(z)\n  m = mul(q, g)\n");
}

Test(ptx_rows, norm)
{
    check_shapes("  g = silu(z)\n  p = mul(x, g)\n  m = rmsnorm(p, w) {eps=1e-05}\n");
}

Test(ptx_rows, convolution)
{
    check_shapes("  p = conv1d(x, c, d, s)\n  m = silu(p)\n");
}

Test(ptx_rows, concat)
{
    check_shapes("  n = neg(x)\n  p = concat(n, z)\n  m = silu(p)\n");
}

/* Each group of columns before all that it shares with the others. */
Test(ptx_rows, concat_in_groups)
{
    static const int columns[] = {48, 24, 21};
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        check(&(Rows){"  n = neg(x)\n  p = concat(n, z) {groups=3}\n  m = silu(p)\n", "f32", "f32",
                      8, columns[i], 8, false});
}

/* ---- norms -------------------------------------------------------------------------------------
 */

#define GATED "  g = silu(z)\n  p = mul(x, g)\n"

/* Rows that one warp holds, that several do, whose strands have several lots, that nobody holds. */
Test(ptx_rows, norms_of_every_width)
{
    static const int widths[] = {768, 1536, 1544, 1792, 2560, 5120, 5119, 25000};
    for (size_t i = 0; i < COUNT_OF(widths); i++)
        for (int decode = 0; decode < 2; decode++) {
            check(&(Rows){GATED "  m = rmsnorm(p) {eps=1e-05}\n", "bf16", "bf16", 8, widths[i], 8,
                          decode});
            check(&(Rows){"  m = layernorm(x, w, d) {eps=1e-05}\n", "f32", "f32", 4, widths[i], 8,
                          decode});
        }
}

Test(ptx_rows, norms_of_groups)
{
    static const char nodes[] = GATED "  m = rmsnorm(p, w) {eps=1e-05, groups=4}\n";
    static const int widths[] = {96, 100, 132, 1280};
    for (size_t i = 0; i < COUNT_OF(widths); i++)
        for (int decode = 0; decode < 2; decode++)
            check(&(Rows){nodes, "bf16", "f32", 8, widths[i], 8, decode});
}

Test(ptx_rows, norms_of_groups_with_one_weight)
{
    static const char nodes[] = GATED "  m = rmsnorm(p, u) {eps=1e-05, groups=4}\n";
    static const int widths[] = {96, 100, 132, 1280};
    for (size_t i = 0; i < COUNT_OF(widths); i++)
        for (int decode = 0; decode < 2; decode++)
            check(&(Rows){nodes, "bf16", "f32", 8, widths[i], 8, decode});
}

/* Many warps of a row in decode, one in prefill: the same bits. */
Test(ptx_rows, norms_have_the_same_bits_in_both_entries)
{
    static const int widths[] = {40, 768, 1792, 2560, 5120, 1001};
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        Rows r = {GATED "  m = rmsnorm(p, w) {eps=1e-05}\n", "bf16", "f32", 8, widths[i], 8, false};
        KernelRun *runs[2] = {0};
        const float *got[2] = {0};
        int64_t count = 0;
        for (int decode = 0; decode < 2; decode++) {
            const RunCall call = {
                .nseg = 3, .len = {1, 1, 1},
                     .slot = {0, 1, 2},
                     .vocab = ROWS, .parts = 1
            };
            r.decode = decode;
            runs[decode] = open_rows(&r, "native@model");
            for (int t = 0; t < 3; t++)
                kernel_run_ids(runs[decode])[t] = 7 + 20 * t;
            got[decode] = kernel_run_code(runs[decode], &call, &count);
        }
        cr_expect(memcmp(got[0], got[1], (size_t)count * sizeof **got) == 0, "%d columns",
                  widths[i]);
        kernel_run_close(runs[0]);
        kernel_run_close(runs[1]);
    }
}

/* ---- PTX ---------------------------------------------------------------------------------------
 */

/* read, written: types of a piece of 4 bytes, as PTX names them. */
static void
check_ptx(const Rows *r, const char *cpu, const char *read, const char *written)
{
    KernelRun *run = open_rows(r, cpu);
    const char *text = kernel_run_program(run)->image;
    char load[2][32], store[32];
    snprintf(load[0], sizeof load[0], "ld.global.v4.%s", read);
    snprintf(load[1], sizeof load[1], "ld.global.nc.v4.%s", read);
    snprintf(store, sizeof store, "st.global.v4.%s", written);
    cr_assert_not_null(text);
    cr_expect(strstr(text, load[0]) || strstr(text, load[1]), "%s: no %s\n%s", cpu, load[0],
              r->nodes);
    cr_expect(strstr(text, store), "%s: no %s\n%s", cpu, store, r->nodes);
    kernel_run_close(run);
}

Test(ptx_rows, accesses_are_of_16_bytes)
{
    static const char *const cpus[] = {"native@sm_80", "native@sm_90a"};
    static const char *const nodes[] = {"  m = mul(x, z)\n", "  m = rmsnorm(x) {eps=1e-05}\n",
                                        "  m = conv1d(x, c, d, s)\n"};
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        for (size_t n = 0; n < COUNT_OF(nodes); n++) {
            check_ptx(&(Rows){nodes[n], "bf16", "bf16", 16, 64, 8, false}, cpus[i], "u32", "b32");
            check_ptx(&(Rows){nodes[n], "f32", "f32", 16, 64, 8, false}, cpus[i], "f32", "f32");
        }
}
