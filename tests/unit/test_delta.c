/* tests/unit/test_delta.c -- the gated delta rule as machine code against its meaning: heads, keys
 * and values of every size, decays from nothing to all, values that are written in full and hardly
 * at all, on each instruction set this machine has. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "passes/cost.h"
#include "passes/pass.h"
#include "tests/kernel_run.h"

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};

enum { ROWS = 80, IDS = 50 };

typedef struct {
    int heads, groups, values, keys; /* H, G, P, N */
    double decay, spread;            /* g within spread of it */
    double beta;                     /* b within 1 % of it */
} Case;

typedef struct {
    bool norm, gate; /* keys and queries are normalised; what comes after */
    const char *state;
    const char *form; /* attributes; NULL: none */
    bool on_unit;
    bool single;  /* calls of one token of a sequence alone */
    bool channel; /* a decay for each channel of a key */
} Variant;

/* Columns of g. */
static int
decays_of(const Case *z, const Variant *v)
{
    return v->channel ? z->heads * z->keys : z->heads;
}

static int
width_of(const Case *z, const Variant *v)
{
    return 2 * z->groups * z->keys + 2 * z->heads * z->values + decays_of(z, v) + z->heads;
}

static KernelRun *
open_case(const Case *z, const Variant *v, const char *cpu)
{
    StrBuf sb = {0};
    const int of_k = z->groups * z->keys, of_v = z->heads * z->values, width = width_of(z, v);
    const int of_g = decays_of(z, v);
    sb_printf(
        &sb,
        "graph \"delta\" kernel {\n block %d\n rows %d\n%s input ids: i32[T]\n input pick: i32[R]\n"
        " weight table: f32[%d,%d] tensor=\"table\"\n state s: %s[%d,%d,%d]\n"
        " kernel rows {part=rows} { all = embed(ids, table) }\n"
        " q, k, v, z, g, b = split(all) {sizes=[%d, %d, %d, %d, %d, %d]}\n"
        " kernel delta {part=heads%s} {\n"
        "  y = delta(q, k, v, g, b, s) {heads=%d, head_dim=%d, groups=%d, state=%d, scale=%g%s%s}\n"
        "%s }\n kernel pick {part=rows} { out = take(%s, pick) }\n output out\n}\n",
        ROWS, ROWS, v->single ? " entry decode\n" : "", IDS, width, v->state, z->heads, z->keys,
        z->values, of_k, of_k, of_v, of_v, of_g, z->heads, v->on_unit ? ", unit=matrix" : "",
        z->heads, z->values, z->groups, z->keys, 1 / sqrt(z->keys), v->norm ? ", eps=1e-6" : "",
        v->form ? v->form : "", v->gate ? "  w = silu(z)\n  yw = mul(y, w)\n" : "",
        v->gate ? "yw" : "y");
    KernelRun *run = kernel_run_open(sb_text(&sb), cpu);
    sb_free(&sb);
    int64_t count = 0;
    float *table = kernel_run_weight(run, "table", &count);
    for (int64_t i = 0; i < count; i++) {
        const int64_t col = i % width;
        const double x = table[i];
        if (col >= width - z->heads)
            table[i] = (float)(z->beta * (1 + x / 100));
        else if (col >= width - z->heads - of_g)
            table[i] = (float)(z->decay + z->spread * x);
        else if (!v->norm && col < 2 * of_k) /* keys that are shorter than 1 */
            table[i] = (float)(x / z->keys);
    }
    return run;
}

static const Case cases[] = {
    {4, 2, 16,  16,  -0.1,  0.1,  0.5 },
    {1, 1, 1,   1,   -0.1,  0.1,  0.5 },
    {3, 3, 33,  12,  -0.1,  0.1,  0.9 },
    {6, 2, 24,  7,   -0.1,  0.1,  0.5 },
    {2, 1, 128, 128, -0.05, 0.05, 0.7 },
    {1, 1, 70,  130, -0.1,  0.1,  0.5 },
    {2, 2, 5,   300, -0.1,  0.1,  0.5 },
    {4, 2, 20,  16,  -90,   20,   0.5 }, /* forgets at once */
    {4, 2, 20,  16,  -200,  0,    0.5 }, /* a decay below every f32 */
    {4, 2, 20,  16,  0,     0,    0.5 }, /* forgets nothing */
    {4, 2, 20,  16,  -0.1,  0.1,  1   }, /* what was under a key is replaced */
    {4, 2, 20,  16,  -0.1,  0.1,  1e-6},
    {4, 2, 20,  16,  0,     0,    0   }, /* nothing is written */
    {4, 4, 24,  12,  -0.1,  0.1,  1.9 }, /* what is under a key changes its sign */
};

/* Calls of one token, of an odd number, of more than a window, of several sequences that are at
 * different places. */
static const RunCall calls[] = {
    {.nseg = 1, .len = {29},          .slot = {0},          .parts = 1},
    {.nseg = 1, .len = {1},           .slot = {0},          .parts = 2},
    {.nseg = 4, .len = {1, 7, 20, 2}, .slot = {2, 0, 1, 3}, .parts = 7},
    {.nseg = 4, .len = {1, 1, 1, 1},  .slot = {3, 2, 1, 0}, .parts = 3},
    {.nseg = 2, .len = {2, 70},       .slot = {1, 0},       .parts = 2},
};

static void
check_case(const Case *z, const Variant *v, const char *cpu, double most)
{
    KernelRun *run = open_case(z, v, cpu);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        RunCall call = calls[i];
        call.vocab = IDS;
        const double off = kernel_run_difference(run, &call);
        cr_expect(off < most, "%s heads=%d values=%d keys=%d g=%g b=%g%s, call %zu: off by %g", cpu,
                  z->heads, z->values, z->keys, z->decay, z->beta, v->form ? v->form : "", i, off);
    }
    kernel_run_close(run);
}

Test(delta, agrees_with_the_interpreter)
{
    const Variant plain = {true, false, "f32", NULL, false, false, false};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
            check_case(&cases[i], &plain, cpus[c], 2e-5);
}

Test(delta, without_norms_and_with_a_gate)
{
    const Variant gated = {false, true, "f32", NULL, false, false, false};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < 4; i++)
            check_case(&cases[i], &gated, cpus[c], 2e-5);
}

/* Each channel of a key has a decay of its own, from nothing to all. */
Test(delta, with_a_decay_for_each_channel)
{
    const Variant f32 = {.norm = true, .state = "f32", .channel = true};
    const Variant gated = {.gate = true, .state = "f32", .channel = true};
    const Variant bf16 = {.norm = true, .state = "bf16", .channel = true};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++) {
            check_case(&cases[i], &f32, cpus[c], 2e-5);
            if (i >= 4)
                continue;
            check_case(&cases[i], &gated, cpus[c], 2e-5);
            KernelRun *run = open_case(&cases[i], &bf16, cpus[c]);
            const double off = kernel_run_share_off(run, ROWS, IDS);
            cr_expect(off < 1e-2, "%s case %zu: off by %g", cpus[c], i, off);
            kernel_run_close(run);
        }
}

/* Chunks that divide the calls and that do not, one token of a chunk, one chunk for all. */
static const char *const chunks[] = {
    ", form=chunked, chunk=16", ", form=chunked, chunk=7",     ", form=chunked, chunk=1",
    ", form=chunked, chunk=33", ", form=quadratic, chunk=all",
};

Test(delta, by_chunks_agrees_with_the_interpreter)
{
    for (size_t q = 0; q < COUNT_OF(chunks); q++) {
        const Variant v = {true, false, "f32", chunks[q], false, false, false};
        for (size_t c = 0; c < COUNT_OF(cpus); c++)
            for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++)
                if (i < 5 ? q == 0 || c == 0 : q == 0 && c == 0)
                    check_case(&cases[i], &v, cpus[c], 2e-5);
    }
}

/* With a gate, keys as they are, and a state that is rounded where a chunk ends, by both sides. */
Test(delta, by_chunks_as_the_recurrence_has_it)
{
    const Variant gated = {false, true, "f32", chunks[0], false, false, false};
    const Variant stored = {true, false, "bf16", chunks[0], false, false, false};
    for (size_t i = 0; i < 4; i++) {
        check_case(&cases[i], &gated, "native", 2e-5);
        KernelRun *run = open_case(&cases[i], &stored, "native");
        const double off = kernel_run_share_off(run, ROWS, IDS);
        cr_expect(off < 1e-2, "case %zu: off by %g", i, off);
        kernel_run_close(run);
    }
}

/* Products of pairs: keys, queries, the state, X and K Q^T are rounded; what is solved is not. */
Test(delta, by_chunks_with_dots_of_pairs)
{
    const Variant even = {true,  false, "f32", ", form=chunked, chunk=16, dot=bf16",
                          false, false, false};
    const Variant odd = {true,  true,  "bf16", ", form=chunked, chunk=7, dot=bf16",
                         false, false, false};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < COUNT_OF(cases); i++) {
            if (c > 0 && i >= 5)
                continue;
            check_case(&cases[i], &even, cpus[c], 3e-2);
            check_case(&cases[i], &odd, cpus[c], 4e-2);
        }
}

/* On a matrix unit, or by the C functions in its place: a step of tokens and less, rows of half a
 * block, columns of more than one. */
Test(delta, by_chunks_on_a_matrix_unit)
{
    static const char *const units[] = {"native+model", "x86-64-v3+model", "sapphirerapids"};
    static const char *const lengths[] = {", form=chunked, chunk=16, dot=bf16",
                                          ", form=chunked, chunk=33, dot=bf16",
                                          ", form=quadratic, chunk=all, dot=bf16"};
    for (size_t u = 0; u < COUNT_OF(units); u++)
        for (size_t q = 0; q < COUNT_OF(lengths); q++)
            for (size_t i = 0; i < COUNT_OF(cases); i++) {
                const Variant v = {i % 2 == 0, i % 3 == 0, i % 4 ? "f32" : "bf16", lengths[q], true,
                                   false,      false};
                if (strchr(units[u], '+') ? (u == 0) == (i % 3 != q) : matrix_unit_here())
                    check_case(&cases[i], &v, units[u], 4e-2);
            }
}

/* However the text is cut into calls and the work into parts, the bits are those of one call.
 * most: tokens of the longest piece. */
static void
check_pieces(const Case *z, const char *state, bool channel, int most)
{
    const Variant v = {.norm = true, .gate = true, .state = state, .channel = channel};
    KernelRun *whole = open_case(z, &v, "native"), *pieces = open_case(z, &v, "native");
    kernel_run_check_pieces(whole, pieces, ROWS, IDS, most);
    kernel_run_close(whole);
    kernel_run_close(pieces);
}

Test(delta, a_prompt_in_pieces_gives_the_same_bits)
{
    for (int most = 1; most <= 45; most += 11) {
        for (int channel = 0; channel < 2; channel++) {
            check_pieces(&cases[0], "f32", channel, most);
            check_pieces(&cases[3], "f32", channel, most);
            check_pieces(&cases[0], "bf16", channel, most);
        }
    }
}

/* A state in bf16 is rounded after each token, by both sides. */
Test(delta, a_state_in_bf16_agrees_with_the_interpreter)
{
    const Variant v = {true, false, "bf16", NULL, false, false, false};
    for (size_t c = 0; c < COUNT_OF(cpus); c++)
        for (size_t i = 0; cpu_runs_here(cpus[c]) && i < 5; i++) {
            KernelRun *run = open_case(&cases[i], &v, cpus[c]);
            const double off = kernel_run_share_off(run, ROWS, IDS);
            cr_expect(off < 1e-2, "%s case %zu: off by %g", cpus[c], i, off);
            kernel_run_close(run);
        }
}

/* Both forms are predicted for every size, and chunks with products on a matrix unit are quicker
 * than without. */
Test(delta, chunks_are_predicted)
{
    Machine m;
    cr_assert(machine_named("sapphirerapids", &m));
    CostSsd z = {.heads = 32,
                 .head_dim = 128,
                 .state = 128,
                 .groups = 16,
                 .form = FORM_CHUNKED,
                 .chunk = 32,
                 .solves = true,
                 .block = 512,
                 .threads = 1};
    const double f32 = cost_ssd(&m, &z, 4096);
    CostSsd plain = z;
    plain.solves = false;
    cr_expect_gt(f32, cost_ssd(&m, &plain, 4096), "an SSD solves nothing");
    cr_expect(!cost_same(&z, &plain));
    z.bf16 = true;
    m.matrix.bf16 = true;
    cr_expect_lt(cost_ssd(&m, &z, 4096), f32);
    z.threads = 32;
    cr_expect_gt(cost_ssd(&m, &z, 4096), 0);
    z.form = FORM_RECURRENT;
    z.threads = 1;
    cr_expect_gt(cost_ssd(&m, &z, 4096), f32);
}

/* Predicted: eight operations for every state of a vector of channels and token; three vectors of
 * channels, two of them one thread's. */
Test(delta, its_time_grows_with_its_states)
{
    static const char text[] =
        "graph \"t\" model {\n  weights \"init:reference\"\n  block 40\n  rows 4\n"
        "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[50,48] init=ones\n"
        "  weight b: f32[50,15] init=ones\n  weight c: f32[50,3] init=ones\n"
        "  state s: f32[3,5,16]\n  v = embed(ids, e)\n  k = embed(ids, b)\n  g = embed(ids, c)\n"
        "  y = delta(k, k, v, g, g, s) {heads=3, head_dim=16, groups=3, state=5, scale=1, "
        "form=recurrent}\n"
        "  last = take(y, pick)\n  output last\n}\n";
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Machine zen5;
    cr_assert(machine_named("znver5", &zen5));
    const Source source = {"test.ir", text, strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g);
    PassCtx cx = {.machine = &zen5, .chunk = CHUNK_AUTO, .arena = arena, .diag = diag};
    cr_assert(pass_run_pipeline(g, &cx, &(PassOptions){.stop_after = -1}));
    zen5.costs = (CostTable){.source = "test"};
    zen5.costs.step[COST_linear_f32] = 1;
    cr_expect_float_eq(1e9 * cost_prefill(&zen5, g, 1, 40), 40 * 3 * 5 * 8, 1e-6);
    cr_expect_float_eq(1e9 * cost_prefill(&zen5, g, 2, 40), 40 * 2 * 5 * 8, 1e-6);
    diag_free(diag);
    arena_free(arena);
}

/* ---- on a GPU: its model runs a thread after the other, so that sizes are small -----------------
 */

static void
check_on_gpu(const Case *z, const Variant *v, double most)
{
    static const RunCall runs[] = {
        {.nseg = 1, .len = {1},           .slot = {0},          .vocab = IDS, .parts = 1},
        {.nseg = 4, .len = {1, 7, 18, 2}, .slot = {2, 0, 1, 3}, .vocab = IDS, .parts = 1},
    };
    static const RunCall singles[] = {
        {.nseg = 1, .len = {1},       .slot = {1},       .vocab = IDS, .parts = 1},
        {.nseg = 3, .len = {1, 1, 1}, .slot = {2, 0, 1}, .vocab = IDS, .parts = 1},
    };
    const RunCall *of = v->single ? singles : runs;
    KernelRun *run = open_case(z, v, "native@model");
    for (int i = 0; i < 2; i++) {
        const double off = kernel_run_difference(run, &of[i]);
        cr_expect(off < most, "heads=%d values=%d keys=%d g=%g b=%g%s, call %d: off by %g",
                  z->heads, z->values, z->keys, z->decay, z->beta,
                  v->single ? ", single"
                  : v->form ? v->form
                            : "",
                  i, off);
    }
    kernel_run_close(run);
}

static const Case on_gpu[] = {
    {4, 2, 16, 16,  -0.1, 0.1, 0.5 },
    {1, 1, 1,  1,   -0.1, 0.1, 0.5 },
    {2, 2, 33, 12,  -0.1, 0.1, 0.9 },
    {4, 2, 5,  7,   -0.1, 0.1, 0.5 },
    {1, 1, 20, 128, -0.1, 0.1, 0.7 },
    {1, 1, 37, 130, -0.1, 0.1, 0.5 },
    {1, 1, 3,  300, -0.1, 0.1, 0.5 },
    {2, 1, 20, 16,  -90,  20,  0.5 }, /* forgets at once */
    {2, 1, 20, 16,  -200, 0,   0.5 }, /* a decay below every f32 */
    {2, 1, 20, 16,  0,    0,   1   }, /* forgets nothing; what was under a key is replaced */
    {2, 1, 20, 16,  -0.1, 0.1, 1e-6},
    {2, 2, 24, 12,  -0.1, 0.1, 1.9 }, /* what is under a key changes its sign */
};

Test(delta, on_a_gpu)
{
    for (size_t i = 0; i < COUNT_OF(on_gpu); i++)
        for (int single = 0; single < (i % 6 == 0 ? 2 : 1); single++) {
            const Variant v = {i % 3 != 1, i % 2 == 0, "f32", NULL, false, single, false};
            check_on_gpu(&on_gpu[i], &v, 2e-5);
        }
}

Test(delta, on_a_gpu_with_a_decay_for_each_channel)
{
    for (size_t i = 0; i < COUNT_OF(on_gpu); i++) {
        const bool stored = i == 3, single = i % 4 == 0;
        const Variant v = {.norm = i % 3 != 1,
                           .gate = i % 2 == 0,
                           .state = stored ? "bf16" : "f32",
                           .single = single,
                           .channel = true};
        check_on_gpu(&on_gpu[i], &v, stored ? 2e-2 : 2e-5);
    }
    const Variant pairs = {.norm = true, .state = "bf16", .single = true, .channel = true};
    check_on_gpu(&on_gpu[0], &pairs, 2e-2);
}

/* A state in bf16 is rounded after each token, by both sides, which a sum may be on two sides of.
 */
Test(delta, on_a_gpu_with_a_state_in_bf16)
{
    for (size_t i = 0; i < 5; i++) {
        const Variant v = {true, i % 2, "bf16", NULL, false, i > 0, false};
        check_on_gpu(&on_gpu[i], &v, 2e-2);
    }
}

/* By chunks, on tensor cores: one run and several, runs of two chunks, rows that are no whole
 * tiles. Rounded are queries, keys, values, what is solved for, and what solves it. */
Test(delta, on_a_gpu_by_chunks)
{
    static const struct {
        int which; /* of on_gpu */
        const char *state, *form;
    } chunked[] = {
        {1, "f32",  ", form=quadratic, chunk=all, dot=bf16"},
        {2, "bf16", ", form=chunked, chunk=4, dot=bf16"    },
        {4, "f32",  ", form=chunked, chunk=9, dot=bf16"    },
        {7, "f32",  ", form=chunked, chunk=64, dot=bf16"   },
        {9, "f32",  ", form=chunked, chunk=64, dot=bf16"   },
    };
    for (size_t i = 0; i < COUNT_OF(chunked); i++) {
        const Variant v = {i != 1, i % 2, chunked[i].state, chunked[i].form, false, false, false};
        check_on_gpu(&on_gpu[chunked[i].which], &v, 3e-2);
    }
}

Test(delta, on_a_gpu_pieces_give_the_same_bits)
{
    static const char *const stored[] = {"f32", "bf16"};
    for (int i = 0; i < 2; i++) {
        const Variant v = {true, true, stored[i], NULL, false, false, false};
        KernelRun *whole = open_case(&on_gpu[3], &v, "native@model");
        KernelRun *pieces = open_case(&on_gpu[3], &v, "native@model");
        kernel_run_check_pieces(whole, pieces, 24, IDS, i ? 1 : 19);
        kernel_run_close(whole);
        kernel_run_close(pieces);
    }
}

/* A sequence gets the bits that it gets by itself; and of whole chunks those of one call. */
Test(delta, on_a_gpu_sequences_are_apart)
{
    enum { FIRST = 5, LEN = 24, CUT = 8 };
    const Variant v = {true,  false, "f32", ", form=chunked, chunk=8, dot=bf16",
                       false, false, false};
    KernelRun *both = open_case(&on_gpu[3], &v, "native@model");
    KernelRun *alone = open_case(&on_gpu[3], &v, "native@model");
    const RunCall together = {
        .nseg = 2, .len = {FIRST, LEN},
             .slot = {1,     0  },
             .vocab = IDS, .parts = 1
    };
    int64_t count = 0;
    for (int i = 0; i < FIRST + LEN; i++)
        kernel_run_ids(both)[i] = i * 37 % IDS;
    const float *want = kernel_run_code(both, &together, &count);
    const int64_t width = count / (FIRST + LEN);
    for (int from = 0; from < LEN; from += CUT) {
        const RunCall call = {.nseg = 1, .len = {CUT}, .slot = {3}, .vocab = IDS, .parts = 1};
        for (int i = 0; i < CUT; i++)
            kernel_run_ids(alone)[i] = (FIRST + from + i) * 37 % IDS;
        const float *got = kernel_run_code(alone, &call, &count);
        cr_expect(memcmp(got, want + (FIRST + from) * width, (size_t)count * sizeof *got) == 0,
                  "tokens from %d on", from);
    }
    kernel_run_close(both);
    kernel_run_close(alone);
}

/* Shared memory is read 16 bytes at a time; chunks are products of tensor cores. */
Test(delta, ptx_is_made)
{
    static const char *const gpus[] = {"native@sm_80", "native@sm_90a"};
    const Case z = {2, 1, 128, 128, -0.1, 0, 0.5};
    const Variant variants[] = {
        {true, false, "bf16", NULL,                                 false, false, false},
        {true, false, "bf16", NULL,                                 false, true,  false},
        {true, false, "f32",  NULL,                                 false, true,  true },
        {true, false, "f32",  NULL,                                 false, false, true },
        {true, false, "f32",  ", form=chunked, chunk=64, dot=bf16", false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(gpus); i++)
        for (size_t j = 0; j < COUNT_OF(variants); j++) {
            KernelRun *run = open_case(&z, &variants[j], gpus[i]);
            const char *image = kernel_run_program(run)->image;
            cr_assert_not_null(image);
            cr_expect(strstr(image, "shfl.sync.bfly"));
            cr_expect(strstr(image, variants[j].form ? "mma.sync.aligned" : "ld.shared.v4.f32"));
            kernel_run_close(run);
        }
}
