/* tests/unit/test_attention.c -- attention over rows that are kept, against the interpreter: heads
 * that are no whole vectors, groups, windows, soft caps, sequences side by side and over several
 * calls. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/kernel_run.h"

enum { ROWS = 96 };

static const char *const cpus[] = {"native",  "x86-64-v4",    "x86-64-v3",       "x86-64",
                                   "generic", "native+model", "x86-64-v3+model", "generic+model"};

typedef struct {
    int heads, groups, head_dim, window;
    const char *dtype; /* of keys and values */
    const char *more;  /* attributes of attention */
    bool unit;         /* on a matrix unit */
} Case;

static const Case cases[] = {
    {1, 1, 2,   0,  "f32",  "",              false},
    {4, 4, 16,  0,  "f32",  "",              false},
    {6, 2, 80,  0,  "f32",  "",              false},
    {3, 1, 5,   7,  "f32",  "",              false},
    {4, 2, 64,  0,  "f32",  ", softcap=1.5", false},
    {8, 1, 40,  33, "f32",  ", softcap=4",   false},
    {2, 2, 128, 64, "f32",  "",              false},
    {5, 5, 34,  1,  "f32",  "",              false},
    {4, 2, 64,  0,  "bf16", "",              false},
    {6, 3, 18,  20, "bf16", "",              false},
    {2, 1, 128, 0,  "bf16", ", softcap=3",   false},
    {4, 2, 64,  0,  "bf16", "",              true },
    {6, 3, 18,  20, "bf16", "",              true },
    {3, 3, 80,  0,  "bf16", ", softcap=3",   true },
    {8, 1, 128, 65, "bf16", "",              true },
    {5, 1, 2,   0,  "bf16", "",              true },
};

/* kept: tokens whose rows stay, 0: all. */
static const char *
graph_text(Arena *arena, const Case *t, int kept)
{
    const char *rows = kept ? arena_printf(arena, ", window=%d", kept) : "";
    const int q = t->heads * t->head_dim, kv = t->groups * t->head_dim;
    const char *window = t->window ? arena_printf(arena, ", window=%d", t->window) : "";
    return arena_printf(
        arena,
        "graph \"attention\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
        "i32[R]\n"
        " weight qt: f32[%d,%d] tensor=\"qt\" init=ones\n"
        " weight kt: f32[%d,%d] tensor=\"kt\" init=ones\n"
        " weight vt: f32[%d,%d] tensor=\"vt\" init=ones\n"
        " state ks: %s[S,%d]\n state vs: %s[S,%d]\n"
        " kernel q {part=rows} { q = embed(ids, qt) }\n"
        " kernel k {part=rows} { k = embed(ids, kt) }\n"
        " kernel v {part=rows} { v = embed(ids, vt) }\n"
        " kernel keys {part=rows} { n = neg(k)\n  K = keep(n, ks) {layout=keys, head_dim=%d%s} }\n"
        " kernel values {part=rows} { V = keep(v, vs) {layout=values, head_dim=%d%s} }\n"
        " kernel attend {part=heads%s} { a = attention(q, K, V) {heads=%d, head_dim=%d, groups=%d, "
        "scale=%g%s%s}\n  y = add(a, q) }\n"
        " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n",
        ROWS, ROWS, ROWS, q, ROWS, kv, ROWS, kv, t->dtype, kv, t->dtype, kv, t->head_dim, rows,
        t->head_dim, rows, t->unit ? ", unit=matrix" : "", t->heads, t->head_dim, t->groups,
        0.5 / sqrt(t->head_dim), window, t->more);
}

static bool
has_unit(const char *cpu)
{
    return strchr(cpu, '+') || (strcmp(cpu, "native") == 0 && matrix_unit_here());
}

/* Sequences of several calls, beside others; one reads more tokens than a ring has rows. */
static void
expect_agreement(const Case *t, const char *cpu, int kept, int parts)
{
    static const RunCall calls[] = {
        {.nseg = 1, .len = {1}},
        {.nseg = 3, .len = {2, 17, 29}, .slot = {1, 0, 2}},
        {.nseg = 2, .len = {1, 1}, .slot = {2, 0}},
        {.nseg = 1, .len = {ROWS}, .slot = {1}},
        {.nseg = 2, .len = {70, 3}, .slot = {1, 3}},
        {.nseg = 2, .len = {1, ROWS - 1}, .slot = {1, 0}},
    };
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, t, kept), cpu);
    const double most = strcmp(t->dtype, "f32") == 0 ? 2e-6 : 2e-2;
    for (size_t n = 0; n < COUNT_OF(calls); n++) {
        RunCall call = calls[n];
        call.vocab = ROWS;
        call.parts = 1 + ((int)n + parts) % 4;
        const double off = kernel_run_difference(run, &call);
        cr_expect_leq(off, most, "%s, %d heads of %d, window %d of %d, call %zu: off by %g", cpu,
                      t->heads, t->head_dim, t->window, kept, n, off);
    }
    kernel_run_close(run);
    arena_free(arena);
}

Test(attention, agrees_with_the_interpreter)
{
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(cases) && cpu_runs_here(cpus[u]); i++)
            if (!cases[i].unit || has_unit(cpus[u]))
                expect_agreement(&cases[i], cpus[u], cases[i].window, (int)i);
}

/* Where rows lie is as many tokens as stay say, not how many a reader looks at. */
Test(attention, may_look_at_fewer_tokens_than_stay)
{
    static const int kept[] = {0, 48};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t n = 0; n < COUNT_OF(kept); n++)
            if (cases[i].window && cases[i].window < 48)
                expect_agreement(&cases[i], cases[i].unit ? "native+model" : "native", kept[n], 0);
}
