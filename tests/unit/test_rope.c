/* tests/unit/test_rope.c -- rotary positions: shapes that are no whole vectors, sequences of
 * several calls, scalings, positions far out, and what other implementations compute. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/kernel_run.h"

enum { ROWS = 48 };

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3",
                                   "x86-64", "generic",   "native@model"};

typedef struct {
    int heads, head_dim, rotary;
    const char *angles; /* attributes of angles but rotary */
} Case;

static const Case cases[] = {
    {1, 2,   2,   "theta=10000"                                                             },
    {3, 6,   4,   "theta=10000"                                                             },
    {4, 64,  64,  "theta=10000"                                                             },
    {2, 80,  32,  "theta=500000"                                                            },
    {5, 34,  34,  "theta=10000, scaling=linear, factors=[4]"                                },
    {2, 128, 128, "theta=500000, scaling=llama3, factors=[8, 1, 4, 32]"                     },
    {1, 96,  96,  "theta=10000, scaling=yarn, factors=[4, 32, 1, 64, 0]"                    },
    {1, 40,  38,  "theta=10000, scaling=yarn, factors=[4, 32, 1, 4096, 0.75]"               },
    {3, 20,  18,  "theta=10000, scaling=longrope, factors=[1, 1, 1.5, 2, 7.25, 8, 8, 8, 32]"},
};

/* Rows of a table turned; or the angles alone. */
static const char *
graph_text(Arena *arena, const Case *t, bool alone)
{
    const int width = alone ? t->rotary : t->heads * t->head_dim;
    return arena_printf(
        arena,
        "graph \"rope\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " input positions: i32[T]\n weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
        " kernel angles {part=rows} { a = angles(positions) {rotary=%d, %s} }\n"
        " kernel rows {part=rows} { x = embed(ids, xt) }\n%s"
        " kernel pick {part=rows} { out = take(%s, pick) }\n output out\n}\n",
        ROWS, ROWS, ROWS, width, t->rotary, t->angles,
        alone ? " kernel sum {part=rows} { n = mul(x, 0)\n  y = add(n, a) }\n"
              : arena_printf(arena,
                             " kernel rope {part=rows} { n = neg(x)\n  q = rope(n, a) "
                             "{head_dim=%d}\n  y = add(q, x) }\n",
                             t->head_dim),
        "y");
}

Test(rope, agrees_with_the_interpreter)
{
    static const RunCall calls[] = {
        {.nseg = 1, .len = {1}},
        {.nseg = 3, .len = {2, 17, 29}, .slot = {1, 0, 2}},
        {.nseg = 2, .len = {1, 1}, .slot = {2, 0}},
        {.nseg = 1, .len = {ROWS}, .slot = {1}},
    };
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(cases) && cpu_runs_here(cpus[u]); i++) {
            Arena *arena = arena_new();
            KernelRun *run = kernel_run_open(graph_text(arena, &cases[i], false), cpus[u]);
            for (size_t j = 0; j < COUNT_OF(calls); j++) {
                RunCall call = calls[j];
                call.vocab = ROWS;
                call.parts = 1 + (int)j;
                const double off = kernel_run_difference(run, &call);
                cr_expect_leq(off, 5e-7, "%s, case %d, call %d: off by %g", cpus[u], (int)i, (int)j,
                              off);
            }
            kernel_run_close(run);
            arena_free(arena);
        }
}

/* Cosine and sine of p w, of the product in double. */
Test(rope, positions_may_be_far_out)
{
    static const Case t = {1, 64, 64, "theta=10000"};
    static const int64_t positions[] = {0, 1, 4095, 131071, 10000000, INT32_MAX - ROWS};
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(positions) && cpu_runs_here(cpus[u]); i++) {
            Arena *arena = arena_new();
            KernelRun *run = kernel_run_open(graph_text(arena, &t, true), cpus[u]);
            const RunCall call = {.nseg = 1, .len = {3}, .vocab = ROWS, .parts = 1};
            int64_t count = 0;
            kernel_run_begin(run, 0, positions[i]);
            const float *got = kernel_run_code(run, &call, &count);
            double worst = 0;
            for (int row = 0; row < 3; row++)
                for (int k = 0; k < 32; k++) {
                    const double angle = (double)(positions[i] + row) * pow(10000, -k / 32.0);
                    worst = fmax(worst, fabs((double)got[row * 64 + k] - cos(angle)));
                    worst = fmax(worst, fabs((double)got[row * 64 + 32 + k] - sin(angle)));
                }
            cr_expect_leq(worst, 4e-7, "%s, position %lld: off by %g", cpus[u],
                          (long long)positions[i], worst);
            kernel_run_close(run);
            arena_free(arena);
        }
}

/* Frequencies and scale as transformers 5 computes them (modeling_rope_utils), in f32. */
Test(rope, scalings_are_those_of_published_models)
{
    static const struct {
        const char *attrs;
        double scale, frequency[16];
    } published[] = {
        {"theta=500000, scaling=llama3, factors=[8, 1, 4, 32]",
         1,                  {1.0, 0.21466738, 0.0242403448, 0.0106746377, 0.00470075384, 0.00207005511, 0.000911583134,
          0.000401430763, 0.000176776681, 7.78465546e-05, 3.42810235e-05, 1.50962178e-05,
          6.64786967e-06, 2.92749974e-06, 1.28917316e-06, 5.6770881e-07}                 },
        {"theta=10000, scaling=yarn, factors=[4, 32, 1, 64, 0]",
         1.138629436111989,  {1.0, 0.477990121, 0.221359432, 0.0978053659, 0.0399999991, 0.0140585322, 0.00790569466,
          0.00444569858, 0.00249999994, 0.00140585331, 0.000790569466, 0.000444569858,
          0.000250000012, 0.000140585325, 7.90569466e-05, 4.44569851e-05}},
        {"theta=10000, scaling=yarn, factors=[16, 32, 1, 4096, 0]",
         1.2772588722239782, {1.0, 0.562341332, 0.316227764, 0.177827939, 0.100000001, 0.0562341288, 0.0273875836,
          0.0130195469, 0.00598214241, 0.0026108704, 0.00104468106, 0.000349304872, 6.2500003e-05,
          3.51463314e-05, 1.97642366e-05, 1.11142463e-05}               },
    };
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        Arena *arena = arena_new();
        Diag *diag = diag_new();
        const char *text =
            arena_printf(arena,
                         "graph g model {\ninput ids: i32[T]\ninput pick: i32[R]\ninput positions: "
                         "i32[T]\nweight e: f32[9,32]\n"
                         "h = embed(ids, e)\na = angles(positions) {rotary=32, %s}\ny = rope(h, a) "
                         "{head_dim=32}\nt = take(y, pick)\noutput t\n}\n",
                         published[i].attrs);
        const Source source = {.path = "t.ir", .text = text, .len = strlen(text)};
        const Graph *g = graph_parse(arena, &source, diag);
        cr_assert_not_null(g, "%s", published[i].attrs);
        const Node *n = g->first;
        while (n->op != OP_angles)
            n = n->next;
        cr_expect_float_eq(angle_scale(n), published[i].scale, 1e-12);
        for (int pair = 0; pair < 16; pair++) {
            const double want = published[i].frequency[pair];
            cr_expect_float_eq(angle_frequency(n, pair), want, 2e-7 * want, "%s, pair %d: %.9g",
                               published[i].attrs, pair, angle_frequency(n, pair));
        }
        diag_free(diag);
        arena_free(arena);
    }
}
