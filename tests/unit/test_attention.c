/* tests/unit/test_attention.c -- attention over rows that are kept, against the interpreter: heads
 * that are no whole vectors, groups, windows, soft caps, sequences side by side and over several
 * calls. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
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
    const char *dot;   /* of bf16 on vectors: what the kernel says of it */
    int value_dim;     /* channels of a value; 0: head_dim */
} Case;

static const Case cases[] = {
    {1,  1, 2,   0,  "f32",  "",              false, "",           0  },
    {4,  4, 16,  0,  "f32",  "",              false, "",           0  },
    {6,  2, 80,  0,  "f32",  "",              false, "",           0  },
    {3,  1, 5,   7,  "f32",  "",              false, "",           0  },
    {4,  2, 64,  0,  "f32",  ", softcap=1.5", false, "",           0  },
    {8,  1, 40,  33, "f32",  ", softcap=4",   false, "",           0  },
    {2,  2, 128, 64, "f32",  "",              false, "",           0  },
    {5,  5, 34,  1,  "f32",  "",              false, "",           0  },
    {4,  2, 64,  0,  "bf16", "",              false, "",           0  },
    {6,  3, 18,  20, "bf16", "",              false, "",           0  },
    {2,  1, 128, 0,  "bf16", ", softcap=3",   false, "",           0  },
    {4,  2, 64,  0,  "bf16", "",              true,  "",           0  },
    {6,  3, 18,  20, "bf16", "",              true,  "",           0  },
    {3,  3, 80,  0,  "bf16", ", softcap=3",   true,  "",           0  },
    {8,  1, 128, 65, "bf16", "",              true,  "",           0  },
    {5,  1, 2,   0,  "bf16", "",              true,  "",           0  },
    {4,  2, 64,  0,  "bf16", "",              false, ", dot=f32",  0  },
    {6,  3, 18,  20, "bf16", "",              false, ", dot=f32",  0  },
    {13, 1, 34,  0,  "bf16", ", softcap=3",   false, ", dot=f32",  0  },
    {9,  1, 20,  40, "bf16", "",              false, ", dot=bf16", 0  },
    /* values of fewer channels than keys, and of more */
    {3,  3, 18,  0,  "f32",  "",              false, "",           14 },
    {4,  2, 6,   9,  "f32",  ", softcap=2",   false, "",           33 },
    {2,  1, 192, 0,  "f32",  "",              false, "",           128},
    {5,  5, 12,  0,  "bf16", "",              false, "",           17 },
    {4,  2, 80,  40, "bf16", "",              false, ", dot=f32",  48 },
    {3,  3, 18,  0,  "bf16", "",              true,  "",           15 },
    {2,  2, 96,  0,  "bf16", "",              true,  "",           64 },
    {8,  2, 16,  20, "bf16", ", softcap=3",   true,  "",           100},
};

static int
value_dim(const Case *t)
{
    return t->value_dim ? t->value_dim : t->head_dim;
}

/* Of one op, or of the two that it is lowered to. */
static const char *
attend_text(Arena *arena, const Case *t, bool lowered)
{
    const char *window = t->window ? arena_printf(arena, ", window=%d", t->window) : "";
    const char *values = t->value_dim ? arena_printf(arena, ", value_dim=%d", t->value_dim) : "";
    const char *how = t->unit ? ", unit=matrix" : t->dot;
    const char *attend = arena_printf(
        arena, "(q, K, V) {heads=%d, head_dim=%d, groups=%d, scale=%g%s%s%s}", t->heads,
        t->head_dim, t->groups, 0.5 / sqrt(t->head_dim), values, window, t->more);
    if (!lowered)
        return arena_printf(arena, " kernel attend {part=heads%s} { a = attention%s\n", how,
                            attend);
    return arena_printf(arena,
                        " kernel sums {part=heads%s} { sums = attention_sums%s }\n"
                        " kernel join {part=heads} { a = attention_join(sums) {heads=%d, "
                        "head_dim=%d%s%s}\n",
                        how, attend, t->heads, t->head_dim, values, window);
}

/* kept: tokens whose rows stay, 0: all. */
static const char *
graph_text(Arena *arena, const Case *t, int kept, bool lowered)
{
    const char *rows = kept ? arena_printf(arena, ", window=%d", kept) : "";
    const int q = t->heads * t->head_dim, k = t->groups * t->head_dim;
    const int v = t->groups * value_dim(t), y = t->heads * value_dim(t);
    return arena_printf(
        arena,
        "graph \"attention\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: "
        "i32[R]\n"
        " weight qt: f32[%d,%d] tensor=\"qt\" init=ones\n"
        " weight kt: f32[%d,%d] tensor=\"kt\" init=ones\n"
        " weight vt: f32[%d,%d] tensor=\"vt\" init=ones\n"
        " weight yt: f32[%d,%d] tensor=\"yt\" init=ones\n"
        " state ks: %s[S,%d]\n state vs: %s[S,%d]\n"
        " kernel q {part=rows} { q = embed(ids, qt) }\n"
        " kernel k {part=rows} { k = embed(ids, kt) }\n"
        " kernel v {part=rows} { v = embed(ids, vt) }\n"
        " kernel o {part=rows} { o = embed(ids, yt) }\n"
        " kernel keys {part=rows} { n = neg(k)\n  K = keep(n, ks) {layout=keys, head_dim=%d%s} }\n"
        " kernel values {part=rows} { V = keep(v, vs) {layout=values, head_dim=%d%s} }\n"
        "%s  y = add(a, o) }\n"
        " kernel pick {part=rows} { out = take(y, pick) }\n output out\n}\n",
        ROWS, ROWS, ROWS, q, ROWS, k, ROWS, v, ROWS, y, t->dtype, k, t->dtype, v, t->head_dim, rows,
        value_dim(t), rows, attend_text(arena, t, lowered));
}

static bool
has_unit(const char *cpu)
{
    return strchr(cpu, '+') || (strcmp(cpu, "native") == 0 && matrix_unit_here());
}

/* Sequences of several calls, beside others; one reads more tokens than a ring has rows. */
static void
expect_agreement(const Case *t, const char *cpu, int kept, bool lowered, int parts)
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
    KernelRun *run = kernel_run_open(graph_text(arena, t, kept, lowered), cpu);
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
            for (int lowered = 0; lowered < 2; lowered++)
                if (!cases[i].unit || has_unit(cpus[u]))
                    expect_agreement(&cases[i], cpus[u], cases[i].window, lowered, (int)i);
}

/* Where rows lie is as many tokens as stay say, not how many a reader looks at. */
Test(attention, may_look_at_fewer_tokens_than_stay)
{
    static const int kept[] = {0, 48};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t n = 0; n < COUNT_OF(kept); n++)
            if (cases[i].window && cases[i].window < 48)
                for (int lowered = 0; lowered < 2; lowered++)
                    expect_agreement(&cases[i], cases[i].unit ? "native+model" : "native", kept[n],
                                     lowered, 0);
}

/* ---- stretches of the past ----------------------------------------------------------------------
 */

static const char *
cpu_of(const Case *t)
{
    return t->unit ? "native+model" : "native";
}

/* A stretch has at least 256 tokens. */
static const Case divided[] = {
    {3, 1, 5,  0,   "f32",  "",            false, "",          0 },
    {4, 2, 16, 0,   "f32",  ", softcap=4", false, "",          0 },
    {2, 2, 8,  300, "f32",  "",            false, "",          0 },
    {6, 3, 6,  0,   "bf16", "",            false, ", dot=f32", 0 },
    {6, 2, 6,  270, "bf16", "",            false, "",          0 },
    {8, 1, 8,  0,   "bf16", "",            true,  "",          0 },
    {2, 1, 10, 333, "bf16", "",            true,  "",          0 },
    {3, 3, 12, 0,   "f32",  "",            false, "",          7 },
    {4, 2, 6,  290, "bf16", "",            false, "",          19},
    {4, 1, 18, 0,   "bf16", "",            true,  "",          10},
};

/* Single tokens around the positions where there is a stretch more, and where a ring begins anew.
 */
Test(attention, stretches_meet_where_they_end)
{
    static const int ends[] = {256, 512, 768};
    for (size_t i = 0; i < COUNT_OF(divided); i++) {
        Arena *arena = arena_new();
        const Case *t = &divided[i];
        KernelRun *run = kernel_run_open(graph_text(arena, t, t->window, true), cpu_of(t));
        const double most = strcmp(t->dtype, "f32") == 0 ? 4e-6 : 2e-2;
        for (size_t e = 0, at = 0; e < COUNT_OF(ends); e++)
            for (int64_t len; at < (size_t)ends[e] + 2; at += (size_t)len) {
                const int64_t left = ends[e] - 2 - (int64_t)at;
                len = left < 1 ? 1 : left < ROWS ? left : ROWS;
                const RunCall call = {
                    .nseg = 1, .len = {len}, .vocab = ROWS, .parts = 1 + (int)at % 7};
                const double off = kernel_run_difference(run, &call);
                cr_expect_leq(off, most, "case %zu: off by %g after %zu tokens", i, off, at);
            }
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* The rows of a call, owned: ids are the row's number in the whole text. */
static float *
rows_of(KernelRun *run, const RunCall *call, const int64_t *from, int64_t *count)
{
    int32_t *ids = kernel_run_ids(run);
    for (int s = 0; s < call->nseg; s++)
        for (int64_t i = 0; i < call->len[s]; i++)
            *ids++ = (int32_t)((from[s] + i) * 7 % ROWS);
    const float *got = kernel_run_code(run, call, count);
    float *rows = malloc((size_t)*count * sizeof *rows);
    memcpy(rows, got, (size_t)*count * sizeof *rows);
    return rows;
}

enum { TEXT = 576, STEPS = 4 };

/* Slots 0 and 1 have read TEXT tokens in whole passes. */
static void
read_text(KernelRun *run)
{
    int64_t count = 0;
    for (int64_t at = 0; at < TEXT; at += ROWS)
        for (int slot = 0; slot < 2; slot++) {
            const RunCall call = {.nseg = 1, .len = {ROWS}, .slot = {slot}, .parts = 1};
            free(rows_of(run, &call, &at, &count));
        }
}

/* The next STEPS tokens of slot 0, one at a time, after `more` of slot 1. */
static float *
next_rows(KernelRun *run, int parts, int more, int64_t *width)
{
    float *last = NULL;
    kernel_run_begin(run, 0, TEXT);
    for (int i = 0; i < STEPS; i++) {
        int64_t count = 0;
        const int64_t from[] = {TEXT + i, TEXT + i};
        RunCall call = {.nseg = 1, .len = {1}, .parts = parts};
        if (more)
            call = (RunCall){
                .nseg = 2, .len = {more, 1},
                     .slot = {1,    0},
                     .parts = parts
            };
        kernel_run_begin(run, 1, TEXT);
        float *rows = rows_of(run, &call, from, &count);
        *width = count / (1 + more);
        last = last ? last : malloc((size_t)(STEPS * *width) * sizeof *last);
        memcpy(last + i * *width, rows + more * *width, (size_t)*width * sizeof *last);
        free(rows);
    }
    return last;
}

/* With so many tokens in a pass that no rows are left for stretches, a thread adds them up itself.
 */
Test(attention, neither_threads_nor_other_tokens_show)
{
    static const struct {
        int parts, more;
    } ways[] = {
        {2, 0 },
        {3, 0 },
        {7, 0 },
        {1, 10},
        {3, 40},
        {7, 60}
    };
    for (size_t i = 0; i < COUNT_OF(divided); i++) {
        const Case *t = &divided[i];
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(graph_text(arena, t, t->window, true), cpu_of(t));
        int64_t width = 0;
        read_text(run);
        float *want = next_rows(run, 1, 0, &width);
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
            float *got = next_rows(run, ways[w].parts, ways[w].more, &width);
            cr_expect(memcmp(got, want, (size_t)(STEPS * width) * sizeof *got) == 0,
                      "case %zu: other bits in %d parts beside %d tokens", i, ways[w].parts,
                      ways[w].more);
            free(got);
        }
        free(want);
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* Scores of every row that grow or fall with the position of the key, by its number. */
typedef enum { SLOWLY_UP, UP, DOWN, FAR_APART, SLOPES } Slope;

static double
slope_at(Slope slope, int i)
{
    switch (slope) {
    case SLOWLY_UP:
        return 128 * i;
    case UP:
        return 4096 * i;
    case DOWN:
        return -4096 * i;
    default:
        return (i % 2 ? -0x1p16 : 0x1p16) * (8 + i % 8);
    }
}

/* Token i is the i-th of a pass; queries look at the first channel alone, and numbers are few bits
 * long, so that keys of 16 bits hold them. */
static void
put_slope(KernelRun *run, const Case *t, Slope slope)
{
    int64_t count = 0;
    const int q = t->heads * t->head_dim, k = t->groups * t->head_dim;
    float *queries = kernel_run_weight(run, "qt", &count);
    for (int64_t i = 0; i < count; i++)
        queries[i] = i % q % t->head_dim == 0;
    float *keys = kernel_run_weight(run, "kt", &count); /* the graph keeps what they lack of 0 */
    for (int64_t i = 0; i < count; i++)
        keys[i] = i % k % t->head_dim == 0 ? (float)-slope_at(slope, (int)(i / k)) : 0;
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
}

static const Case slopes[] = {
    {4, 2, 64,  0,  "bf16", "", true,  "", 0},
    {3, 3, 18,  70, "bf16", "", true,  "", 0},
    {2, 1, 128, 0,  "bf16", "", false, "", 0},
};

/* The greatest score so far is left behind by any number of powers of two. */
Test(attention, holds_at_scores_of_any_size)
{
    const RunCall calls[] = {
        {.nseg = 1, .len = {ROWS},          .slot = {1},    .parts = 1},
        {.nseg = 2, .len = {20, ROWS - 20}, .slot = {0, 1}, .parts = 3},
    };
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(slopes) * SLOPES && cpu_runs_here(cpus[u]); i++) {
            const Case *t = &slopes[i / SLOPES];
            if (t->unit && !has_unit(cpus[u]))
                continue;
            Arena *arena = arena_new();
            KernelRun *run = kernel_run_open(graph_text(arena, t, t->window, false), cpus[u]);
            put_slope(run, t, (Slope)(i % SLOPES));
            for (size_t n = 0; n < COUNT_OF(calls); n++) {
                int64_t count = 0;
                const float *got = kernel_run_code(run, &calls[n], &count);
                const double *want = kernel_run_interp(run, &calls[n], &count);
                double worst = 0;
                for (int64_t k = 0; k < count; k++) {
                    const double off = fabs(got[k] - want[k]) / (1 + fabs(want[k]));
                    worst = off > worst || isnan(off) ? off : worst;
                }
                cr_expect(worst <= 2e-2, "%s, %d heads of %d, slope %zu, call %zu: off by %g",
                          cpus[u], t->heads, t->head_dim, i % SLOPES, n, worst);
            }
            kernel_run_close(run);
            arena_free(arena);
        }
}

/* A row's numbers depend neither on how its prompt was divided nor on what stands beside it. */
Test(attention, gives_the_same_bits_however_a_prompt_is_divided)
{
    enum { FIRST = 33 };
    const RunCall whole = {.nseg = 1, .len = {ROWS}, .slot = {1}, .parts = 1};
    const RunCall first = {.nseg = 1, .len = {FIRST}, .slot = {1}, .parts = 2};
    const RunCall rest = {
        .nseg = 2, .len = {ROWS - FIRST, 9},
             .slot = {1,            2},
             .parts = 3
    };
    for (size_t i = 0; i < COUNT_OF(slopes) * (SLOPES + 1); i++) {
        const Case *t = &slopes[i / (SLOPES + 1)];
        Arena *arena = arena_new();
        KernelRun *run[2];
        const float *out[2];
        int64_t count = 0, width = (int64_t)t->heads * t->head_dim;
        for (int k = 0; k < 2; k++) {
            run[k] = kernel_run_open(graph_text(arena, t, t->window, false), "native+model");
            if (i % (SLOPES + 1) < SLOPES)
                put_slope(run[k], t, (Slope)(i % (SLOPES + 1)));
            int32_t *ids = kernel_run_ids(run[k]);
            for (int n = 0; n < ROWS; n++)
                ids[n] = n;
            if (k == 1) {
                kernel_run_code(run[k], &first, &count);
                for (int n = 0; n < ROWS; n++)
                    ids[n] = (n + FIRST) % ROWS;
            }
            out[k] = kernel_run_code(run[k], k == 0 ? &whole : &rest, &count);
        }
        cr_expect_eq(memcmp(out[0] + FIRST * width, out[1],
                            (size_t)((ROWS - FIRST) * width) * sizeof(float)),
                     0, "%d heads of %d, slope %zu", t->heads, t->head_dim, i % (SLOPES + 1));
        for (int k = 0; k < 2; k++)
            kernel_run_close(run[k]);
        arena_free(arena);
    }
}
