/* tests/unit/test_ptx_route.c -- route, fold and concat as a GPU's kernels, on the model of one:
 * against what a CPU chooses and computes. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/kernel_run.h"

enum { ROWS = 37 };

typedef struct {
    int experts, top;
    const char *attrs;
    bool bias;
} Case;

static const Case cases[] = {
    {1,   1,  "score=softmax",                                            false},
    {4,   2,  "score=softmax, normalise=1",                               false},
    {5,   5,  "score=sigmoid, normalise=1, factor=2.5",                   true },
    {40,  4,  "score=softmax, normalise=0, factor=0.5",                   true },
    {64,  6,  "score=sigmoid, groups=8, kept=3, normalise=1, factor=2.5", true },
    {12,  4,  "score=sigmoid, groups=6, kept=2",                          false},
    {7,   3,  "score=softmax, groups=7, kept=4",                          true },
    {512, 22, "score=sigmoid, groups=4, kept=1, normalise=1, factor=5",   true },
};

static const char *
graph_text(Arena *arena, const Case *t)
{
    return arena_printf(
        arena,
        "graph \"route\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight lt: f32[%d,%d] tensor=\"lt\" init=ones\n"
        " weight b: f32[%d] tensor=\"b\" init=ones\n"
        " kernel logits { l = embed(ids, lt) }\n"
        " kernel route { e, p = route(l%s) {top=%d, %s} }\n"
        " kernel square { z = mul(p, p) }\n kernel fold { f = fold(z) {top=%d}\n  y = neg(f) }\n"
        " kernel join { h = neg(l)\n  c = concat(h, y)\n  s = silu(c) }\n"
        " kernel pick { out = take(s, pick) }\n output out\n}\n",
        ROWS, ROWS, ROWS, t->experts, t->experts, t->bias ? ", b" : "", t->top, t->attrs, t->top);
}

Test(ptx_route, agrees_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(graph_text(arena, &cases[i]), "native@model");
        const RunCall call = {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 1};
        const double off = kernel_run_difference(run, &call);
        cr_expect_leq(off, 1e-5, "E=%d top=%d %s: off by %g", cases[i].experts, cases[i].top,
                      cases[i].attrs, off);
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* The scores of the chosen in the order in which a CPU chooses, whatever the logits are, with the
 * first of equal ones before others. */
Test(ptx_route, chooses_as_a_cpu)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 0, 0, 3e38f, -3e38f, NAN, 0.5f};
    static const char *const cpus[] = {"native", "native@model"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        KernelRun *runs[2];
        const float *p[2];
        for (int r = 0; r < 2; r++) {
            runs[r] = kernel_run_open(graph_text(arena, &cases[i]), cpus[r]);
            int64_t logits = 0, count = 0;
            float *l = kernel_run_weight(runs[r], "lt", &logits);
            for (int64_t j = 0; j < logits; j++)
                l[j] = wild[(j * 5 + j / 3) % (int64_t)COUNT_OF(wild)];
            for (int j = 0; j < ROWS; j++)
                kernel_run_ids(runs[r])[j] = j;
            const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 1};
            (void)kernel_run_code(runs[r], &call, &count);
            p[r] = kernel_run_value(runs[r], "p");
        }
        for (int j = 0; j < ROWS * cases[i].top; j++)
            cr_expect((isnan(p[0][j]) && isnan(p[1][j])) || p[0][j] == p[1][j] ||
                          fabsf(p[0][j] - p[1][j]) <= 1e-6f * fabsf(p[0][j]),
                      "%s, choice %d: %g and %g", cases[i].attrs, j, (double)p[0][j],
                      (double)p[1][j]);
        for (int r = 0; r < 2; r++)
            kernel_run_close(runs[r]);
        arena_free(arena);
    }
}
