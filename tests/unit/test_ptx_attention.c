/* tests/unit/test_ptx_attention.c -- attention and what goes with it as a GPU's kernels, on the
 * model of one: heads that fill no tile, groups, windows, soft caps, sequences side by side and
 * over several calls; that a sequence's bits are its own; and that PTX is made of each. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "passes/pass.h"
#include "tests/kernel_run.h"

enum { ROWS = 96 };

typedef struct {
    int heads, groups, head_dim, window;
    const char *dtype; /* of keys and values */
    const char *more;  /* attributes of attention */
    const char *phase;
    int value_dim; /* channels of a value; 0: head_dim */
} Case;

static const Case cases[] = {
    {2,  2, 16,  0,  "f32",  "",              "prefill", 0  },
    {6,  2, 80,  0,  "f32",  "",              "prefill", 0  },
    {3,  1, 5,   7,  "f32",  ", softcap=4",   "prefill", 0  },
    {1,  1, 160, 64, "f32",  "",              "prefill", 0  },
    {70, 1, 2,   0,  "f32",  "",              "prefill", 0  },
    {4,  2, 64,  0,  "bf16", "",              "prefill", 0  },
    {6,  3, 18,  20, "bf16", "",              "prefill", 0  },
    {2,  1, 128, 0,  "bf16", ", softcap=3",   "prefill", 0  },
    {3,  1, 80,  65, "bf16", "",              "prefill", 0  },
    {1,  1, 256, 0,  "bf16", "",              "prefill", 0  },
    {1,  1, 3,   0,  "f32",  "",              "decode",  0  },
    {2,  1, 80,  0,  "f32",  ", softcap=1.5", "decode",  0  },
    {9,  1, 128, 70, "f32",  "",              "decode",  0  },
    {2,  1, 64,  0,  "bf16", "",              "decode",  0  },
    {3,  1, 18,  20, "bf16", ", softcap=3",   "decode",  0  },
    {17, 1, 80,  0,  "bf16", "",              "decode",  0  },
    {1,  1, 256, 0,  "bf16", "",              "decode",  0  },
    /* values of fewer channels than keys, and of more */
    {3,  3, 18,  0,  "f32",  "",              "prefill", 14 },
    {2,  1, 6,   9,  "f32",  ", softcap=2",   "prefill", 33 },
    {1,  1, 192, 0,  "f32",  "",              "prefill", 128},
    {3,  3, 18,  0,  "bf16", "",              "prefill", 15 },
    {2,  1, 96,  70, "bf16", "",              "prefill", 64 },
    {1,  1, 192, 0,  "bf16", "",              "prefill", 128},
    {1,  1, 32,  0,  "bf16", "",              "prefill", 160},
    {5,  5, 11,  0,  "f32",  "",              "decode",  16 },
    {2,  1, 12,  0,  "f32",  "",              "decode",  130},
    {2,  1, 96,  0,  "bf16", "",              "decode",  64 },
    {3,  1, 18,  20, "bf16", "",              "decode",  33 },
};

static int
value_dim(const Case *t)
{
    return t->value_dim ? t->value_dim : t->head_dim;
}

static const char *
graph_text(Arena *arena, const Case *t)
{
    const int q = t->heads * t->head_dim, k = t->groups * t->head_dim;
    const int v = t->groups * value_dim(t), y = t->heads * value_dim(t);
    const char *values = t->value_dim ? arena_printf(arena, ", value_dim=%d", t->value_dim) : "";
    const char *window = t->window ? arena_printf(arena, ", window=%d", t->window) : "";
    return arena_printf(
        arena,
        "graph \"attention\" kernel {\n block %d\n rows %d\n entry %s\n input ids: i32[T]\n "
        "input pick: i32[R]\n"
        " weight qt: f32[%d,%d] tensor=\"qt\" init=ones\n"
        " weight kt: f32[%d,%d] tensor=\"kt\" init=ones\n"
        " weight vt: f32[%d,%d] tensor=\"vt\" init=ones\n"
        " weight yt: f32[%d,%d] tensor=\"yt\" init=ones\n"
        " state ks: %s[S,%d]\n state vs: %s[S,%d]\n"
        " kernel q { q = embed(ids, qt) }\n kernel k { k = embed(ids, kt) }\n"
        " kernel v { v = embed(ids, vt) }\n kernel o { o = embed(ids, yt) }\n"
        " kernel keys { n = neg(k)\n  K = keep(n, ks) {layout=keys, head_dim=%d%s} }\n"
        " kernel values { V = keep(v, vs) {layout=values, head_dim=%d%s} }\n"
        " kernel attend { a = attention(q, K, V) {heads=%d, head_dim=%d, groups=%d, "
        "scale=%g%s%s%s}\n"
        "  y = add(a, o) }\n"
        " kernel pick { out = take(y, pick) }\n output out\n}\n",
        ROWS, ROWS, t->phase, ROWS, q, ROWS, k, ROWS, v, ROWS, y, t->dtype, k, t->dtype, v,
        t->head_dim, window, value_dim(t), window, t->heads, t->head_dim, t->groups,
        0.5 / sqrt(t->head_dim), values, window, t->more);
}

/* Sequences of several calls, beside others; one reads more tokens than a ring has rows, and goes
 * through several groups of 64 tokens. */
static const RunCall many[] = {
    {.nseg = 1, .len = {1}},
    {.nseg = 3, .len = {2, 17, 29}, .slot = {1, 0, 2}},
    {.nseg = 2, .len = {1, 1}, .slot = {2, 0}},
    {.nseg = 1, .len = {ROWS}, .slot = {1}},
    {.nseg = 2, .len = {70, 3}, .slot = {1, 3}},
};
/* What decode does, but that its first pass is long: rows of the past come from somewhere. */
static const RunCall ones[] = {
    {.nseg = 1, .len = {65},      .slot = {1}      },
    {.nseg = 2, .len = {1, 1},    .slot = {1, 0}   },
    {.nseg = 3, .len = {1, 1, 1}, .slot = {0, 2, 1}},
};

Test(ptx_attention, agrees_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Case *t = &cases[i];
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(graph_text(arena, t), "native@model");
        const double most = strcmp(t->dtype, "f32") == 0 ? 2e-6 : 2e-2;
        const bool decode = strcmp(t->phase, "decode") == 0;
        for (size_t n = 0; n < (decode ? COUNT_OF(ones) : COUNT_OF(many)); n++) {
            RunCall call = decode ? ones[n] : many[n];
            call.vocab = ROWS;
            call.parts = 1;
            const double off = kernel_run_difference(run, &call);
            cr_expect_leq(off, most, "%s %s, %d heads of %d, window %d, call %zu: off by %g",
                          t->phase, t->dtype, t->heads, t->head_dim, t->window, n, off);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* Bits of a sequence that is alone, in the last of its calls, and beside others. */
Test(ptx_attention, of_a_sequence_is_its_own)
{
    static const Case alike[] = {
        {2, 1, 16, 0,  "f32",  "", "prefill", 0},
        {3, 1, 32, 9,  "bf16", "", "prefill", 0},
        {2, 1, 16, 0,  "f32",  "", "decode",  0},
        {3, 1, 32, 70, "bf16", "", "decode",  0},
    };
    for (size_t i = 0; i < COUNT_OF(alike); i++) {
        Arena *arena = arena_new();
        const int64_t width = (int64_t)alike[i].heads * alike[i].head_dim;
        KernelRun *runs[2];
        const float *got[2];
        for (int r = 0; r < 2; r++) {
            runs[r] = kernel_run_open(graph_text(arena, &alike[i]), "native@model");
            RunCall before = {.nseg = 1, .len = {66}, .slot = {1}, .vocab = ROWS, .parts = 1};
            RunCall alone = {.nseg = 1, .len = {2}, .slot = {1}, .vocab = ROWS, .parts = 1};
            RunCall beside = {
                .nseg = 3, .len = {5, 2, 3},
                     .slot = {0, 1, 2},
                     .parts = 1
            };
            int64_t count = 0;
            int32_t *ids = kernel_run_ids(runs[r]);
            for (int j = 0; j < ROWS; j++)
                ids[j] = j * 7 % ROWS;
            (void)kernel_run_code(runs[r], &before, &count);
            for (int j = 0; j < 2; j++)
                ids[j + 5 * r] = 40 + j;
            got[r] = kernel_run_code(runs[r], r ? &beside : &alone, &count) + 5 * r * width;
        }
        cr_expect_arr_eq(got[0], got[1], 2 * (size_t)width * sizeof(float), "case %zu", i);
        for (int r = 0; r < 2; r++)
            kernel_run_close(runs[r]);
        arena_free(arena);
    }
}
