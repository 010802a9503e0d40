/* tests/unit/test_cost.c -- predicted times: how work is counted, constants as text, the fit, and
 * ssmc tune as its users call it. No test looks at a time: machines that run tests are busy. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "driver/driver.h"
#include "passes/internal.h"
#include "tests/harness.h"

static Machine zen5;

static void
know_zen5(void)
{
    cr_assert(machine_named("znver5", &zen5));
}

TestSuite(cost, .init = know_zen5);

static const CostSsd model = {.heads = 24,
                              .head_dim = 64,
                              .state = 128,
                              .groups = 1,
                              .form = FORM_CHUNKED,
                              .chunk = 48,
                              .bf16 = true,
                              .block = 256,
                              .threads = 2};

/* ---- counts --------------------------------------------------------------------------------- */

static const char *const cpus[] = {"x86-64", "x86-64-v3", "znver4", "x86-64-v4", "neoverse-v1"};

/* Accumulators, a row of vectors and a broadcast; a strip: its state, X, Y and two broadcasts. */
Test(cost, tiles_fit_the_registers)
{
    Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        Machine t;
        const char *why = NULL;
        cr_assert(cg_machine(arena, cpus[i], &t, &why), "%s", why);
        for (int64_t width = 1; width < 300; width++) {
            const int vecs = tile_vecs(&t, width), rows = tile_rows(&t, vecs, DTYPE_f32);
            const TileStrip strip = tile_strip(&t, 2, width);
            cr_expect_leq((rows + 1) * vecs + 1, t.vector_registers, "%s %d", t.cpu, (int)width);
            cr_expect_leq((strip.rows + 2) * strip.vecs + 2, t.vector_registers, "%s %d", t.cpu,
                          (int)width);
            cr_expect(strip.rows == 1 || strip.rows == 2, "a state of two rows");
        }
    }
    arena_free(arena);
}

/* What was measured best (bench/NOTES.md), and what few registers leave. */
Test(cost, tiles_of_known_registers)
{
    static const struct {
        Machine m;
        int64_t width;
        int vecs, rows, bf16_rows;
    } known[] = {
        {{.vector_bytes = 64, .vector_registers = 32, .fma = true, .bf16_dot = true},   64, 4, 6, 6 },
        {{.vector_bytes = 64, .vector_registers = 32, .fma = true, .bf16_dot = true},
         16,                                                                                1,
         12,                                                                                      12},
        {{.vector_bytes = 64, .vector_registers = 32, .fma = true, .bf16_dot = false},  64, 4, 6, 5 },
        {{.vector_bytes = 32, .vector_registers = 16, .fma = true, .bf16_dot = false},  64, 2, 6, 5 },
        {{.vector_bytes = 16, .vector_registers = 16, .fma = false, .bf16_dot = false},
         64,                                                                                2,
         6,                                                                                       4 },
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const int vecs = tile_vecs(&known[i].m, known[i].width);
        cr_expect_eq(vecs, known[i].vecs, "%zu: %d", i, vecs);
        cr_expect_eq(tile_rows(&known[i].m, vecs, DTYPE_f32), known[i].rows, "%zu: %d", i,
                     tile_rows(&known[i].m, vecs, DTYPE_f32));
        cr_expect_eq(tile_rows(&known[i].m, vecs, DTYPE_bf16), known[i].bf16_rows, "%zu: %d", i,
                     tile_rows(&known[i].m, vecs, DTYPE_bf16));
    }
}

/* Tiles of few rows divide the columns, come out even, and fit as well. */
Test(cost, tiles_of_few_rows)
{
    static const struct {
        int64_t width, rows;
        bool widened;
        TileFew tile;
    } known[] = {
        {64,  1,  false, {1, 4}},
        {128, 1,  true,  {1, 8}},
        {128, 4,  false, {4, 4}},
        {128, 8,  false, {8, 2}}, /* rather than twice 4 x 4: the right side is read once */
        {64,  64, false, {6, 4}},
    };
    const Machine wide = {.vector_bytes = 64, .vector_registers = 32, .fma = true};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const TileFew f = tile_few(&wide, known[i].width, known[i].rows, known[i].widened);
        cr_expect(f.rows == known[i].tile.rows && f.vecs == known[i].tile.vecs, "%zu: %d x %d", i,
                  f.rows, f.vecs);
    }
    Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cpus); i++) {
        Machine m;
        const char *why = NULL;
        cr_assert(cg_machine(arena, cpus[i], &m, &why), "%s", why);
        for (int64_t width = 1; width < 300; width += 3)
            for (int64_t rows = 1; rows < 70; rows++) {
                const TileFew f = tile_few(&m, width, rows, true);
                const int64_t need = (width + machine_lanes(&m) - 1) / machine_lanes(&m);
                const int64_t tiles = (rows + f.rows - 1) / f.rows;
                cr_expect(need % f.vecs == 0 && (rows + tiles - 1) / tiles == f.rows);
                cr_expect_leq((f.rows + 2) * f.vecs + 2, m.vector_registers, "%s %d", m.cpu,
                              (int)width);
            }
    }
    arena_free(arena);
}

/* The multiply-adds of the products, by hand: tiles of 6 x 4 vectors, pairs of bf16. */
/* 12 panels and 86 tiles on 16 threads: by 1, 2, 4, 8 and 16 groups the busiest thread has 438,
 * 403, 310, 323 and 390 quarters of a tile's work. One tile of rows cannot be divided. */
Test(cost, threads_divide_a_projection_so_that_the_busiest_has_least)
{
    cr_expect_eq(tile_grid(12, 86, 16), 4);
    cr_expect_eq(tile_grid(12, 1, 16), 1);
    cr_expect_eq(tile_grid(1, 86, 16), 16);
    cr_expect_eq(tile_grid(53, 86, 1), 1);
    cr_expect_eq(tile_grid(1, 86, 7), 7);
    cr_expect_eq(tile_grid(1, 6, 7), 1, "7 has no other divisor, and there are 6 tiles");
}

Test(cost, counts_products_by_tiles)
{
    double count[COST_TERMS];
    CostSsd z = model;
    z.threads = 1;
    z.block = z.chunk = 48;
    cost_count(&zen5, &z, 48, count);
    double outputs = 0;
    for (int end = 6; end <= 48; end += 6)
        outputs +=
            24 * (64 + end / 2); /* C h over 64 pairs of states, M X over the tokens so far */
    const double states = 22.0 * 24 * 24; /* 22 tiles of 6 rows of B^T X over 24 pairs of tokens */
    cr_expect_eq(count[COST_mac], 24 * (outputs + states), "%g", count[COST_mac]);
    cr_expect_eq(count[COST_chunk], 24, "a chunk a head");
    cr_expect_eq(count[COST_token], 24 * 48);
    cr_expect_eq(count[COST_call], 1);
}

Test(cost, counts_grow_with_tokens_and_fall_with_threads)
{
    double once[COST_TERMS], twice[COST_TERMS], one_thread[COST_TERMS];
    CostSsd alone = model;
    alone.threads = 1;
    for (int form = FORM_RECURRENT; form < FORMS; form++) {
        CostSsd z = model;
        z.form = alone.form = (Form)form;
        cost_count(&zen5, &z, 256, once);
        cost_count(&zen5, &z, 512, twice);
        cost_count(&zen5, &alone, 256, one_thread);
        for (int t = 0; t < COST_TERMS; t++)
            cr_expect_float_eq(twice[t], 2 * once[t], 1e-6 * once[t] + 1e-12, "%s",
                               cost_term_name((CostTerm)t));
        cr_expect_eq(one_thread[COST_mac], 2 * once[COST_mac], "half of the heads");
        cr_expect_eq(one_thread[COST_stage], once[COST_stage], "each thread stages B and C");
    }
}

/* A shorter last chunk, more threads than heads, sizes that no vector divides. */
Test(cost, counts_are_finite_for_odd_sizes)
{
    static const CostSsd odd[] = {
        {1,    1,    1,    1, FORM_CHUNKED,   1,  false, false, 1,                1 },
        {3,    5,    7,    3, FORM_CHUNKED,   48, true,  false, 1,                64},
        {4096, 4096, 4096, 1, FORM_RECURRENT, 0,  false, false, 512,              0 },
        {24,   80,   97,   8, FORM_QUADRATIC, 0,  true,  false, 4096,             5 },
        {24,   64,   128,  1, FORM_QUADRATIC, 0,  true,  false, INT64_C(1) << 40, 2 },
    };
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        for (int64_t tokens = 1; tokens < 200; tokens += 37) {
            const double seconds = cost_ssd(&zen5, &odd[i], tokens);
            cr_expect(seconds > 0 && !isnan(seconds), "%zu, %d tokens", i, (int)tokens);
        }
}

/* By hand: 64 tokens are 2 steps of 32, in 4 tiles of 16; P has 4 tiles, so that a block of sums is
 * 1 x 4; N has 4 steps and 8 tiles. */
Test(cost, counts_chunks_on_the_matrix_unit)
{
    Machine m;
    double count[COST_TERMS];
    CostSsd z = model;
    cr_assert(machine_named("sapphirerapids", &m));
    z.threads = 1;
    z.block = z.chunk = 64;
    cr_expect_eq(cost_kind(&m, &z), COST_chunked_matrix);
    cost_count(&m, &z, 64, count);
    const double outputs = 4 * (4 * 4 + 1 + 1 + 2 + 2), states = 8 * 4 * 2;
    cr_expect_eq(count[COST_mac], 24 * (outputs + states), "%g", count[COST_mac]);
    cr_expect_eq(count[COST_cb], 4 * 3 * 4, "3 blocks on and below the diagonal");
    cr_expect_eq(count[COST_stage], 3 * 64 * 8, "C, and B twice");
    cr_expect_eq(count[COST_token], 24 * 64);
    z.bf16 = false;
    cr_expect_eq(cost_kind(&m, &z), COST_chunked_f32);
}

/* ---- graphs --------------------------------------------------------------------------------- */

/* A projection by hand: 40 rows of 16 inputs in 5 panels of 64 columns, 3 of them one thread's. */
Test(cost, a_prefill_is_its_kernels)
{
    static const char text[] =
        "graph \"t\" model {\n  weights \"init:reference\"\n  block 40\n"
        "  rows 4\n  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[50,16] init=ones\n"
        "  weight w: f32[320,16] init=ones\n  x = embed(ids, e)\n"
        "  y = linear(x, w)\n  z = silu(y)\n  last = take(z, pick)\n"
        "  output last\n}\n";
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {"test.ir", text, strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g);
    PassCtx cx = {.machine = &zen5, .chunk = CHUNK_AUTO, .arena = arena, .diag = diag};
    cr_assert(pass_run_pipeline(g, &cx, &(PassOptions){.stop_after = -1}));
    Machine m = zen5;
    m.costs = (CostTable){.source = "test"};
    m.costs.step[COST_linear_f32] = 1;
    cr_expect_float_eq(1e9 * cost_prefill(&m, g, 2, 40), 40 * 3 * (64 / 16) * 16, 1e-6);
    cr_expect_float_eq(1e9 * cost_prefill(&m, g, 2, 100), 100 * 3 * (64 / 16) * 16, 1e-6,
                       "two whole passes and a shorter one");
    m.costs.step[COST_read] = 1000; /* now the weight's bytes decide: 5 panels, half of them each */
    cr_expect_float_eq(1e9 * cost_prefill(&m, g, 2, 1), 1000 * 5 * 64 * 16 * 4 / 64 / 2, 1e-6);
    diag_free(diag);
    arena_free(arena);
}

#define PROJECTION(states, after)                                                                  \
    "graph \"t\" model {\n  weights \"init:reference\"\n  block 40\n  rows 4\n"                    \
    "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[50,16] init=ones\n"                \
    "  weight w: f32[320,16] init=ones\n" states "  x = embed(ids, e)\n  y = linear(x, w)\n" after \
    "  last = take(z, pick)\n  output last\n}\n"

/* The kernel of the one projection of a graph, 16 inputs and 320 results of bf16, or of f32 as
 * triples. */
static const Kernel *
projection_of(Arena *arena, const Machine *m, const char *text, bool triples, const Graph **out)
{
    Diag *diag = diag_new();
    const Source source = {.path = "test.ir", .text = text, .len = strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g);
    PassCtx cx = {.machine = m,
                  .format = triples ? FORMAT_f32 : FORMAT_bf16,
                  .dot = triples ? "bf16x3" : NULL,
                  .chunk = CHUNK_AUTO,
                  .threads = 2,
                  .arena = arena,
                  .diag = diag};
    cr_assert(pass_run_pipeline(g, &cx, &(PassOptions){.stop_after = -1}));
    diag_free(diag);
    *out = g;
    int i = 0;
    while (i < g->nkernels && !(g->kernels[i]->anchor && kernel_op(g->kernels[i]) == OP_linear))
        i++;
    cr_assert_lt(i, g->nkernels);
    return g->kernels[i];
}

static const char with_silu[] = PROJECTION("", "  z = silu(y)\n");

/* By hand: 10 panels of 32, 5 of them one thread's; 40 rows in 3 halves of 16; one step of 32 pairs
 * holds all inputs. */
Test(cost, a_projection_on_the_matrix_unit)
{
    Arena *arena = arena_new();
    Machine m;
    const Graph *g;
    double count[COST_STEPS];
    cr_assert(machine_named("sapphirerapids", &m));
    const Kernel *k = projection_of(arena, &m, with_silu, false, &g);
    cr_expect_eq(cost_kernel_dtype(k), DTYPE_bf16);
    cost_kernel_count(&m, g, k, 0, 40, 2, count);
    cr_expect_eq(count[COST_linear_bf16], 0);
    cr_expect_eq(count[COST_matrix_bf16], 5 * 2 * 3);
    cr_expect_eq(count[COST_matrix_sums], 5 * 2 * 3, "one run: they leave once");
    cr_expect_eq(count[COST_matrix_stage], 40);
    cr_expect_eq(count[COST_matrix_out], 5 * 40 * 2);
    cr_expect_eq(count[COST_stream], 5 * 16, "16 inputs of 32 columns, 2 bytes each");
    cr_expect_eq(count[COST_function], 40 * 320 / 16 / 2, "silu, fused");
    k = projection_of(arena, &m, with_silu, true, &g);
    cr_expect_eq(cost_kernel_dtype(k), DTYPE_bf16);
    cost_kernel_count(&m, g, k, 0, 40, 2, count);
    cr_expect_eq(count[COST_matrix_bf16], 3 * 5 * 2 * 3, "three products for one");
    cr_expect_eq(count[COST_matrix_stage], 2 * 40, "of twice the bytes");
    cr_expect_eq(count[COST_stream], 2 * 5 * 32, "the inputs go up to 32");
    cr_expect_eq(count[COST_matrix_sums], 5 * 2 * 3);
    const CostMatrix whole = {DTYPE_bf16, .inputs = 64, .in_place = true, .rows = 40, .panels = 5};
    memset(count, 0, sizeof count);
    cost_count_matrix(&m, &whole, count);
    cr_expect_eq(count[COST_matrix_stage], 0, "x is multiplied where it lies");
    cr_expect_eq(count[COST_matrix_bf16], 2 * 5 * 2 * 3);
    m.matrix = (MatrixUnit){0};
    cost_kernel_count(&m, g, projection_of(arena, &m, with_silu, false, &g), 0, 40, 2, count);
    cr_expect_eq(count[COST_matrix_bf16], 0);
    cr_expect_gt(count[COST_linear_bf16], 0);
    arena_free(arena);
}

/* The same, with 4 taps for each of half of the columns, 16 a vector; z lies in the kernel. */
Test(cost, a_convolution_in_an_epilogue)
{
    static const char text[] =
        PROJECTION("  weight k: f32[320,1,4] init=ones\n  state s: f32[3,320]\n",
                   "  c = conv1d(y, k, _, s)\n  z = silu(c)\n");
    Arena *arena = arena_new();
    Machine m;
    const Graph *g;
    double count[COST_STEPS];
    cr_assert(machine_named("sapphirerapids", &m));
    const Kernel *k = projection_of(arena, &m, text, false, &g);
    cr_expect_not_null(kernel_epilogue(g, k));
    cost_kernel_count(&m, g, k, 0, 40, 2, count);
    cr_expect_eq(count[COST_conv], 4 * 40 * 320 / 16 / 2);
    cr_expect_eq(count[COST_matrix_bf16], 5 * 2 * 3);
    cr_expect_eq(count[COST_function], 40 * 320 / 16 / 2);
    m.matrix = (MatrixUnit){0};
    k = projection_of(arena, &m, text, false, &g);
    cr_expect_null(kernel_epilogue(g, k));
    cost_kernel_count(&m, g, k, 0, 40, 2, count);
    cr_expect_eq(count[COST_conv], 0, "it is a kernel of its own");
    arena_free(arena);
}

#define ATTENTION(window)                                                                          \
    "graph \"t\" model {\n  weights \"init:reference\"\n  block 64\n  rows 4\n"                    \
    "  input ids: i32[T]\n  input pick: i32[R]\n  weight e: f32[50,128] init=ones\n"               \
    "  state ks: f32[S,64]\n  state vs: f32[S,64]\n  x = embed(ids, e)\n  k, v = split(x) "        \
    "{sizes=[64, 64]}\n  K = keep(k, ks)\n  V = keep(v, vs)\n"                                     \
    "  y = attention(x, K, V) {heads=4, groups=2, head_dim=32, scale=1" window "}\n"               \
    "  last = take(y, pick)\n  output last\n}\n"

static const Kernel *
attention_in(EntryId entry, Arena *arena, const Machine *m, const char *text, Format format,
             const Graph **out)
{
    Diag *diag = diag_new();
    const Source source = {.path = "test.ir", .text = text, .len = strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g, "%s", text);
    g->entry = &entry_info[entry];
    PassCtx cx = {.machine = m,
                  .format = format,
                  .kept_dtype = format == FORMAT_bf16 ? DTYPE_bf16 : DTYPE_f32,
                  .chunk = CHUNK_AUTO,
                  .threads = 2,
                  .arena = arena,
                  .diag = diag};
    cr_assert(pass_run_pipeline(g, &cx, &(PassOptions){.stop_after = -1}));
    diag_free(diag);
    *out = g;
    int i = 0;
    while (i < g->nkernels && !(g->kernels[i]->anchor && kernel_op(g->kernels[i]) == OP_attention))
        i++;
    cr_assert_lt(i, g->nkernels);
    return g->kernels[i];
}

static const Kernel *
attention_of(Arena *arena, const Machine *m, const char *text, Format format, const Graph **out)
{
    return attention_in(ENTRY_prefill, arena, m, text, format, out);
}

/* By hand: 64 tokens after 192, two rows of Q each; on the unit bands are of 16 tokens, on vectors
 * blocks of 32. A row looks at 224.5 tokens in the mean, and at half a block and half a step
 * besides. */
Test(cost, attention_counts_what_lies_before)
{
    Arena *arena = arena_new();
    Machine m;
    const Graph *g;
    double count[COST_STEPS];
    cr_assert(machine_named("sapphirerapids", &m));
    const Kernel *k = attention_of(arena, &m, ATTENTION(""), FORMAT_bf16, &g);
    double scores = 4 * 64 * (224.5 + 40) / 2;
    cr_expect_eq(cost_kernel_dtype(k), DTYPE_bf16);
    cost_kernel_count(&m, g, k, 192, 64, 2, count);
    cr_expect_float_eq(count[COST_matrix_bf16], scores / 256 + scores / 512 * 3, 1e-9);
    cr_expect_float_eq(count[COST_matrix_sums], scores / 256 + 2 * scores / 1024 * 3, 1e-9);
    cr_expect_float_eq(count[COST_matrix_attend], scores / 16, 1e-9);
    cr_expect_eq(count[COST_attend], 0);
    k = attention_of(arena, &m, ATTENTION(""), FORMAT_f32, &g);
    scores = 4 * 64 * (224.5 + 48) / 2;
    cr_expect_eq(cost_kernel_dtype(k), DTYPE_f32);
    cost_kernel_count(&m, g, k, 192, 64, 2, count);
    cr_expect_float_eq(count[COST_linear_f32], 2 * 32 * scores / 16, 1e-9);
    cr_expect_float_eq(count[COST_attend], scores / 16, 1e-9);
    cr_expect_eq(count[COST_matrix_bf16], 0);
    k = attention_of(arena, &m, ATTENTION(", window=100"), FORMAT_f32, &g);
    scores = 4 * 64 * (100 + 2 * 48) / 2;
    cost_kernel_count(&m, g, k, 192, 64, 2, count);
    cr_expect_float_eq(count[COST_attend], scores / 16, 1e-9, "however much lies before");
    cost_kernel_count(&m, g, k, 100000, 64, 2, count);
    cr_expect_float_eq(count[COST_attend], scores / 16, 1e-9);
    arena_free(arena);
}

/* By hand: a row looks at 10001 and half a step besides, with four heads of 32 channels on two
 * threads; two heads of keys and values are read. */
Test(cost, attention_of_single_tokens_reads_the_past)
{
    Arena *arena = arena_new();
    Machine m;
    const Graph *g;
    double count[COST_STEPS];
    const double tokens = 10001 + 32.5, scores = 4 * tokens / 2;
    cr_assert(machine_named("sapphirerapids", &m));
    const Kernel *k = attention_in(ENTRY_decode, arena, &m, ATTENTION(""), FORMAT_f32, &g);
    cost_kernel_count(&m, g, k, 10000, 1, 2, count);
    cr_expect_float_eq(count[COST_linear_f32], 2 * 32 * scores / 16, 1e-9);
    cr_expect_float_eq(count[COST_attend], scores / 16, 1e-9);
    cr_expect_float_eq(count[COST_read], tokens * 2 * 64 * 4 / 64 / 2, 1e-9);
    k = attention_in(ENTRY_decode, arena, &m, ATTENTION(""), FORMAT_bf16, &g);
    cost_kernel_count(&m, g, k, 10000, 1, 2, count);
    cr_expect_float_eq(count[COST_linear_f32], 2 * 32 * scores / 16, 1e-9, "they are widened");
    cr_expect_float_eq(count[COST_read], tokens * 2 * 64 * 2 / 64 / 2, 1e-9);
    cr_expect_eq(count[COST_matrix_bf16], 0);
    m.costs.step[COST_linear_bf16] = m.costs.step[COST_linear_f32];
    k = attention_in(ENTRY_decode, arena, &m, ATTENTION(", window=100"), FORMAT_bf16, &g);
    cost_kernel_count(&m, g, k, 10000, 1, 2, count);
    cr_expect_float_eq(count[COST_linear_bf16], 32 * 4 * (100 + 2 * 32.5) / 2 / 16, 1e-9);
    arena_free(arena);
}

/* A prefill twice as long has four times the scores. */
Test(cost, attention_of_a_prefill_grows_with_its_square)
{
    Arena *arena = arena_new();
    Machine m;
    const Graph *g;
    cr_assert(machine_named("sapphirerapids", &m));
    attention_of(arena, &m, ATTENTION(""), FORMAT_f32, &g);
    m.costs = (CostTable){.source = "test"};
    m.costs.step[COST_attend] = 16;
    const double one = 4 * 640 * (320.5 + 48) / 2, two = 4 * 1280 * (640.5 + 48) / 2;
    cr_expect_float_eq(1e9 * cost_prefill(&m, g, 2, 640), one, 1e-6);
    cr_expect_float_eq(1e9 * cost_prefill(&m, g, 2, 1280), two, 1e-6);
    arena_free(arena);
}

/* The unit where it is predicted to be faster, by what is shipped: variants of a product share
 * packed weights. */
Test(cost, the_unit_is_chosen_by_predicted_time)
{
    Machine m;
    const PanelWeight bf16 = {DTYPE_bf16, 768, 768, 0, false},
                      f32 = {DTYPE_f32, 768, 768, 0, false}, odd = {DTYPE_u8, 768, 768, 16, false};
    cr_assert(machine_named("sapphirerapids", &m));
    cr_expect(panel_unit(&m, &bf16));
    cr_expect(!panel_unit(&m, &f32) && !panel_unit(&m, &odd), "it cannot");
    cr_expect_lt(panel_predict(&m, &bf16, true), panel_predict(&m, &bf16, false));
    m.costs.step[COST_matrix_bf16] = 1000;
    cr_expect_gt(panel_predict(&m, &bf16, true), panel_predict(&m, &bf16, false));
    cr_expect(panel_unit(&m, &bf16));
    m.matrix = (MatrixUnit){0};
    cr_expect(!panel_unit(&m, &bf16));
}

/* ---- measured forms ------------------------------------------------------------------------- */

static const char *
form_chosen(const CostMeasured *measured, int count)
{
    static const char text[] =
        "graph \"t\" model {\n  weights \"init:reference\"\n  block 64\n  rows 4\n"
        "  input ids: i32[T]\n  weight e: f32[16,64] init=ones\n"
        "  weight w: f32[129,64] init=ones\n  weight A_log: f32[1] init=ones\n"
        "  weight D: f32[1] init=ones\n  state s: f32[1,64,64]\n  x = embed(ids, e)\n"
        "  p = linear(x, w)\n  q, B, C = split(p) {sizes=[1, 64, 64]}\n  dt = softplus(q)\n"
        "  y = ssd(x, dt, A_log, B, C, D, s) {heads=1, head_dim=64, groups=1, state=64}\n"
        "  output y\n}\n";
    static char out[64];
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {"test.ir", text, strlen(text)};
    Graph *g = graph_parse(arena, &source, diag);
    cr_assert_not_null(g);
    PassCtx cx = {.machine = &zen5,
                  .chunk = CHUNK_AUTO,
                  .threads = 1,
                  .measured = measured,
                  .nmeasured = count,
                  .arena = arena,
                  .diag = diag};
    cr_expect(pass_choose_form(g, &cx), "a form was written");
    const Node *ssd = g->last;
    while (ssd->op != OP_ssd)
        ssd = ssd->prev;
    snprintf(out, sizeof out, "%s %d", node_word(ssd, ATTR_form, ""),
             (int)node_int(ssd, ATTR_chunk, -1));
    diag_free(diag);
    arena_free(arena);
    return out;
}

Test(cost, what_was_measured_is_chosen_from)
{
    CostSsd z = {.heads = 1, .head_dim = 64, .state = 64, .groups = 1, .block = 64, .threads = 1};
    CostMeasured m[] = {
        {z, 3e-6},
        {z, 1e-6},
        {z, 2e-6}
    };
    m[0].ssd.form = FORM_RECURRENT;
    m[1].ssd.form = m[2].ssd.form = FORM_CHUNKED;
    m[1].ssd.chunk = 32;
    m[2].ssd.chunk = 48;
    cr_expect_str_eq(form_chosen(m, 3), "chunked 32");
    m[0].seconds = 1e-7;
    cr_expect_str_eq(form_chosen(m, 3), "recurrent -1");
    char predicted[64];
    snprintf(predicted, sizeof predicted, "%s", form_chosen(NULL, 0));
    for (int i = 0; i < 3; i++)
        m[i].ssd.state = 32;
    cr_expect_str_eq(form_chosen(m, 3), predicted, "of another size: no matter");
}

/* ---- tables and text ------------------------------------------------------------------------ */

Test(cost, shipped_tables_are_by_cpu_then_by_vectors)
{
    Machine m = zen5;
    const CostTable own = costs_shipped(&m);
    m.cpu = "znver4";
    const CostTable class = costs_shipped(&m);
    cr_expect_str_neq(own.source, class.source);
    m.bf16_dot = false;
    const CostTable plain = costs_shipped(&m);
    cr_expect_str_neq(class.source, plain.source);
    m.vector_bytes = 16;
    cr_expect_str_neq(plain.source, costs_shipped(&m).source);
}

Test(cost, text_reads_back)
{
    Arena *arena = arena_new();
    StrBuf text = {0}, again = {0};
    const CostTable table = costs_shipped(&zen5);
    CostTable back;
    const char *why = "";
    costs_print(&text, &table);
    cr_assert(costs_parse(arena, sb_text(&text), &back, &why), "%s", why);
    costs_print(&again, &back);
    cr_expect_str_eq(sb_text(&text), sb_text(&again));
    sb_free(&text);
    sb_free(&again);
    arena_free(arena);
}

/* What stands in place of the first line of a good text. */
static void
expect_bad_line(const char *line, const char *says)
{
    Arena *arena = arena_new();
    StrBuf text = {0};
    const CostTable table = costs_shipped(&zen5);
    CostTable back = {.source = "untouched"};
    const char *why = "";
    costs_print(&text, &table);
    const char *rest = strchr(sb_text(&text), '\n') + 1;
    const char *bad = arena_printf(arena, "%s\n%s", line, rest);
    cr_expect(!costs_parse(arena, bad, &back, &why), "%s", line);
    cr_expect(strstr(why, says), "'%s' lacks '%s'", why, says);
    cr_expect_str_eq(back.source, "untouched");
    sb_free(&text);
    arena_free(arena);
}

Test(cost, text_that_is_wrong_is_refused)
{
    expect_bad_line("recurrent call", "constant 1: expected `recurrent call` and nanoseconds");
    expect_bad_line("recurrent call -1", "found `recurrent call -1`");
    expect_bad_line("recurrent call nan", "found `recurrent call nan`");
    expect_bad_line("recurrent call 1e10", "from 0 to 1e9");
    expect_bad_line("recurrent call 1 2", "found `recurrent call 1 2`");
    expect_bad_line("recurrent stage 1", "found `recurrent stage 1`");
    expect_bad_line("recurrent call \x1b[31m", "found `recurrent call ?[31m`");
    expect_bad_line("recurrent call 1\nrecurrent call 1", "constant 2: expected `recurrent stage`");
}

Test(cost, text_that_ends_early_or_late_is_refused)
{
    Arena *arena = arena_new();
    StrBuf text = {0};
    const CostTable table = costs_shipped(&zen5);
    CostTable back;
    const char *why = "";
    costs_print(&text, &table);
    for (size_t len = 0; len < text.len; len += 7)
        cr_expect(!costs_parse(arena, arena_strndup(arena, sb_text(&text), len), &back, &why));
    sb_puts(&text, "prefill more 1\n");
    cr_expect(!costs_parse(arena, sb_text(&text), &back, &why));
    cr_expect_str_eq(why, "there is more text than constants");
    sb_free(&text);
    arena_free(arena);
}

/* ---- the fit -------------------------------------------------------------------------------- */

enum { ROWS = 60, TERMS = 5 };
static const double truth[TERMS] = {120, 3, 0, 0.4, 25};

/* A number in [0, 1), the same in every run. */
static double
some_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*state >> 40) / (1 << 24);
}

static void
make_rows(double *count, double *measured, double noise)
{
    static const double size[TERMS] = {1, 900, 300, 50000, 60};
    uint64_t state = 7;
    for (int i = 0; i < ROWS; i++) {
        measured[i] = 0;
        for (int t = 0; t < TERMS; t++) {
            count[i * TERMS + t] = size[t] * (t == 0 ? 1 : pow(some_number(&state), 2));
            measured[i] += truth[t] * count[i * TERMS + t];
        }
        measured[i] *= 1 + noise * (some_number(&state) - 0.5);
    }
}

Test(cost, fit_finds_the_constants)
{
    double count[ROWS * TERMS], measured[ROWS], found[TERMS];
    make_rows(count, measured, 0);
    bench_fit(&(BenchFit){ROWS, TERMS, count, measured, NULL}, found);
    for (int t = 0; t < TERMS; t++)
        cr_expect_float_eq(found[t], truth[t], 1e-3 * (truth[t] + 1e-3), "%d: %g", t, found[t]);
}

Test(cost, fit_bears_noise_and_disturbed_rows)
{
    double count[ROWS * TERMS], measured[ROWS], found[TERMS];
    make_rows(count, measured, 0.04);
    for (int i = 3; i < ROWS; i += 12)
        measured[i] *= 2.5;
    bench_fit(&(BenchFit){ROWS, TERMS, count, measured, NULL}, found);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int t = 0; t < TERMS; t++)
            sum += found[t] * count[i * TERMS + t];
        if (i % 12 != 3)
            cr_expect_lt(fabs(sum / measured[i] - 1), 0.06, "row %d", i);
    }
    for (int t = 0; t < TERMS; t++)
        cr_expect_geq(found[t], 0);
}

/* Two rows of one term, of which one counts alone. */
Test(cost, fit_weighs_rows)
{
    const double count[] = {1, 1}, measured[] = {2, 3}, weight[] = {1, 0};
    double found = 0;
    bench_fit(&(BenchFit){2, 1, count, measured, weight}, &found);
    cr_expect_float_eq(found, 2, 1e-6);
}

Test(cost, fit_of_a_term_that_is_nowhere_is_zero)
{
    double count[ROWS * TERMS], measured[ROWS], found[TERMS];
    make_rows(count, measured, 0);
    for (int i = 0; i < ROWS; i++)
        count[i * TERMS + 2] = 0;
    bench_fit(&(BenchFit){ROWS, TERMS, count, measured, NULL}, found);
    cr_expect_eq(found[2], 0);
    cr_expect_float_eq(found[3], truth[3], 1e-3);
}
