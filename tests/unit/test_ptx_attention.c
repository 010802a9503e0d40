/* tests/unit/test_ptx_attention.c -- attention and what goes with it as a GPU's kernels, on the model
 * of one: heads that fill no tile, groups, windows, soft caps, sequences side by side and over
 * several calls; that a sequence's bits are its own; and that PTX is made of each. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <string.h>

#include "passes/pass.h"
#include "tests/kernel_run.h"

enum { ROWS = 96 };

typedef struct {
    int heads, groups, head_dim, window;
    const char *dtype; /* of keys and values */
    const char *more;  /* attributes of attention */
    const char *phase;
} Case;

static const Case cases[] = {
    {1,  1, 2,   0,   "f32",  "",              "prefill"},
    {6,  2, 80,  0,   "f32",  "",              "prefill"},
    {3,  1, 5,   7,   "f32",  ", softcap=4",   "prefill"},
    {2,  2, 128, 64,  "f32",  "",              "prefill"},
    {1,  1, 160, 0,   "f32",  "",              "prefill"},
    {70, 1, 4,   0,   "f32",  "",              "prefill"},
    {4,  2, 64,  0,   "bf16", "",              "prefill"},
    {6,  3, 18,  20,  "bf16", "",              "prefill"},
    {2,  1, 128, 0,   "bf16", ", softcap=3",   "prefill"},
    {3,  1, 80,  65,  "bf16", "",              "prefill"},
    {1,  1, 160, 0,   "bf16", "",              "prefill"},
    {1,  1, 256, 0,   "bf16", "",              "prefill"},
    {1,  1, 2,   0,   "f32",  "",              "decode" },
    {6,  2, 80,  0,   "f32",  ", softcap=1.5", "decode" },
    {3,  1, 5,   70,  "f32",  "",              "decode" },
    {9,  1, 128, 0,   "f32",  "",              "decode" },
    {4,  2, 64,  0,   "bf16", "",              "decode" },
    {6,  3, 18,  20,  "bf16", ", softcap=3",   "decode" },
    {17, 1, 80,  0,   "bf16", "",              "decode" },
    {1,  1, 256, 130, "bf16", "",              "decode" },
};

static const char *
graph_text(Arena *arena, const Case *t)
{
    const int q = t->heads * t->head_dim, kv = t->groups * t->head_dim;
    const char *window = t->window ? arena_printf(arena, ", window=%d", t->window) : "";
    return arena_printf(
        arena,
        "graph \"attention\" kernel {\n block %d\n rows %d\n phase %s\n input ids: i32[T]\n"
        " weight qt: f32[%d,%d] tensor=\"qt\" init=ones\n"
        " weight kt: f32[%d,%d] tensor=\"kt\" init=ones\n"
        " weight vt: f32[%d,%d] tensor=\"vt\" init=ones\n"
        " state ks: %s[S,%d]\n state vs: %s[S,%d]\n"
        " kernel q { q = embed(ids, qt) }\n kernel k { k = embed(ids, kt) }\n"
        " kernel v { v = embed(ids, vt) }\n"
        " kernel keys { n = neg(k)\n  K = keep(n, ks) {layout=keys, head_dim=%d%s} }\n"
        " kernel values { V = keep(v, vs) {layout=values, head_dim=%d%s} }\n"
        " kernel attend { a = attention(q, K, V) {heads=%d, head_dim=%d, groups=%d, scale=%g%s%s}\n"
        "  y = add(a, q) }\n"
        " kernel pick { out = take(y) }\n output out\n}\n",
        ROWS, ROWS, t->phase, ROWS, q, ROWS, kv, ROWS, kv, t->dtype, kv, t->dtype, kv, t->head_dim,
        window, t->head_dim, window, t->heads, t->head_dim, t->groups, 0.5 / sqrt(t->head_dim),
        window, t->more);
}

/* Sequences of several calls, beside others; one reads more tokens than a ring has rows. */
static const RunCall calls[] = {
    {.nseg = 1, .len = {1}},
    {.nseg = 3, .len = {2, 17, 29}, .slot = {1, 0, 2}},
    {.nseg = 2, .len = {1, 1}, .slot = {2, 0}},
    {.nseg = 1, .len = {ROWS}, .slot = {1}},
    {.nseg = 2, .len = {70, 3}, .slot = {1, 3}},
    {.nseg = 2, .len = {1, ROWS - 1}, .slot = {1, 0}},
};

Test(ptx_attention, agrees_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Case *t = &cases[i];
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(graph_text(arena, t), "native@model");
        const double most = strcmp(t->dtype, "f32") == 0 ? 2e-6 : 2e-2;
        for (size_t n = 0; n < COUNT_OF(calls); n++) {
            RunCall call = calls[n];
            call.vocab = ROWS;
            call.parts = 1;
            const double off = kernel_run_difference(run, &call);
            fprintf(stderr, "%zu %zu off %g t %ld\n", i, n, off, (long)(clock() * 1000 / CLOCKS_PER_SEC));
            cr_expect_leq(off, most, "%s %s, %d heads of %d, window %d, call %zu: off by %g",
                          t->phase, t->dtype, t->heads, t->head_dim, t->window, n, off);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}
