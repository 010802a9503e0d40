/* tests/unit/test_tune.c -- constants measured on this machine: the designed set over one small
 * SSD, the file they are kept in, forms measured in a model; ssmc tune's faults. No test looks at a
 * time: machines that run tests are busy. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tune.h"
#include "driver/driver.h"
#include "tests/harness.h"

#define ARGS(...) ((const char *const[]){SSMC_BINARY, __VA_ARGS__, NULL})
#define STORY     SSMC_ROOT "/examples/storyteller.yaml"

/* ---- measuring ------------------------------------------------------------------------------ */

static Tune
tune_of_this_machine(void)
{
    Tune t;
    Machine machine;
    Arena *arena = arena_new();
    const char *why = NULL;
    cr_assert(cg_machine(arena, "native", &machine, &why), "%s", why);
    tune_begin(&t, arena, &machine, 1, console(arena));
    return t;
}

Test(tune, measures_and_fits)
{
    static const TuneSize size = {32, 8, 12, 2, 9};
    Tune t = tune_of_this_machine();
    cr_assert_eq(tune_ssd(&t, &size, 1), EXIT_DONE);
    /* three numbers of tokens of the recurrence, and of one chunk length of each dot and unit */
    cr_expect_eq(t.count, 6 + 3 * t.machine.bf16_dot + 3 * t.machine.matrix.bf16, "%d points",
                 t.count);
    double errors[16];
    for (int k = 0; k < COST_KINDS; k++) {
        double sum = 0;
        for (int c = 0; c < COST_TERMS; c++) {
            cr_expect(t.machine.costs.term[k][c] >= 0 && isfinite(t.machine.costs.term[k][c]));
            sum += t.machine.costs.term[k][c];
        }
        cr_expect_gt(sum, 0, "%s", cost_kind_name((CostKind)k));
        const int n = tune_errors(&t, (CostKind)k, errors);
        const bool none = (k == COST_chunked_bf16 && !t.machine.bf16_dot) ||
                          (k == COST_chunked_matrix && !t.machine.matrix.bf16);
        cr_expect_eq(n, none ? 0 : 3, "%s: %d", cost_kind_name((CostKind)k), n);
    }
    for (int i = 0; i < t.count; i++)
        cr_expect_gt(t.points[i].seconds, 0);
    arena_free(t.arena);
}

Test(tune, measures_every_kind_of_kernel)
{
    Tune t = tune_of_this_machine();
    for (int s = 0; s < COST_STEPS; s++)
        t.machine.costs.step[s] = -1;
    cr_assert_eq(tune_layers(&t, 1), EXIT_DONE);
    const bool unit = t.machine.matrix.kind != MATRIX_none; /* the last steps are its own */
    for (int s = 0; s < (unit ? COST_STEPS : COST_matrix_bf16); s++)
        cr_expect(t.machine.costs.step[s] >= 0 && isfinite(t.machine.costs.step[s]), "step %d", s);
    cr_expect_gt(t.machine.costs.step[COST_linear_f32], 0);
    arena_free(t.arena);
}

Test(tune, faults_come_before_measuring)
{
    static const struct {
        const char *args[3], *says;
    } cases[] = {
        {{"model.yaml"},        "tune takes no argument, but found 'model.yaml'"},
        {{"--cpu", "z80"},      "unknown CPU `z80`"                             },
        {{"--threads", "many"}, "--threads wants 0 to 1024, not 'many'"         },
        {{"-o", "/dev/null/c"}, "cannot write /dev/null/c: Not a directory"     },
        {{"--csv", "/"},        "cannot write /: Is a directory"                },
        {{"--threads", "1"},    "cannot make the folder /dev/null/ssmc: Not a"  },
        {{"--tune", "shipped"}, "unknown option '--tune'"                       },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CommandResult r = command_run(ARGS("tune", cases[i].args[0], cases[i].args[1]), NULL, 0);
        cr_expect_eq(r.status, 2, "%s", r.err);
        cr_expect(strstr(r.err, cases[i].says), "stderr lacks '%s':\n%s", cases[i].says, r.err);
        command_free(&r);
    }
}

/* ---- the file ------------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    char *dir;
    Machine machine; /* with the shipped constants, but for a marked one */
    const char *path;
} Cache;

/* A cache folder of its own, for this process and the commands that it runs. */
static void
cache_open(Cache *c)
{
    const char *why = NULL;
    *c = (Cache){.arena = arena_new(), .dir = temp_dir()};
    setenv("XDG_CACHE_HOME", c->dir, 1);
    cr_assert(cg_machine(c->arena, "x86-64-v3", &c->machine, &why), "%s", why);
    c->path = costs_path(c->arena, &c->machine);
    cr_assert_not_null(c->path);
    c->machine.costs.term[COST_recurrent][COST_mac] = 1e6; /* so slow that no choice takes it */
    cr_assert(costs_write(c->arena, c->path, &c->machine, &why), "%s", why);
}

static void
cache_close(Cache *c)
{
    temp_dir_remove(c->dir);
    arena_free(c->arena);
}

/* What explain says of the storyteller on that CPU. says, lacks: on stdout; err: on stderr, or
 * NULL: nothing is there. */
static void
expect_explained(const char *const *args, const char *says, const char *lacks, const char *err)
{
    CommandResult r = command_run(args, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, says), "stdout lacks '%s':\n%s", says, r.out);
    cr_expect(!lacks || !strstr(r.out, lacks), "stdout has '%s':\n%s", lacks, r.out);
    if (err)
        cr_expect(strstr(r.err, err), "stderr lacks '%s':\n%s", err, r.err);
    else
        cr_expect(!r.err[0] || strstr(r.err, "may not use"), "%s", r.err);
    command_free(&r);
}

#define EXPLAIN(...) ARGS("explain", STORY, "--cpu", "x86-64-v3", __VA_ARGS__)

Test(tune, what_was_measured_decides)
{
    Cache c;
    cache_open(&c);
    expect_explained(EXPLAIN("--dtype", "f32"), "constants: measured by ssmc tune",
                     "dot f32: recurrent", NULL);
    expect_explained(EXPLAIN("--tune", "shipped"), "dot f32: recurrent", "measured by ssmc tune",
                     NULL);
    CommandResult r = command_run(ARGS("explain", STORY, "--cpu", "x86-64-v4"), NULL, 0);
    cr_expect(!strstr(r.out, "measured by ssmc tune"), "the file is of another CPU:\n%s", r.out);
    command_free(&r);
    cache_close(&c);
}

/* The file with `from` turned into `to`. */
static void
spoil(const Cache *c, const char *from, const char *to)
{
    char *text = read_whole(c->path, NULL);
    char *bad = text_replace(text, from, to);
    cr_assert(strcmp(text, bad) != 0, "nothing to spoil: %s", from);
    cr_assert(write_whole(c->path, bad, strlen(bad)));
    free(text);
    free(bad);
}

Test(tune, a_file_that_is_no_good_is_a_note)
{
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"ssmc costs 5",        "ssmc costs 4",        "no file of constants, version 5, for x86-64-v3"},
        {"cpu x86-64-v3",       "cpu x86-64-v9",       "no file of constants, version 5, for x86-64-v3"},
        {"recurrent mac 1e+06", "recurrent mac minus", "expected `recurrent mac` and nanoseconds"      },
        {"recurrent mac 1e+06", "recurrent mac -1",    "found `recurrent mac -1`"                      },
        {"prefill read ",       "prefill red ",        "expected `prefill read`"                       },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Cache c;
        cache_open(&c);
        spoil(&c, cases[i].from, cases[i].to);
        expect_explained(EXPLAIN("--dtype", "f32"), "dot f32: recurrent", "measured by ssmc tune",
                         cases[i].says);
        cache_close(&c);
    }
}

Test(tune, a_file_of_nothing_or_of_anything_is_a_note)
{
    Cache c;
    char junk[70000];
    memset(junk, 'x', sizeof junk);
    cache_open(&c);
    for (size_t len = 0; len <= sizeof junk; len += sizeof junk / 2) {
        cr_assert(write_whole(c.path, junk, len));
        expect_explained(EXPLAIN("--dtype", "f32"), "dot f32: recurrent", "measured by ssmc tune",
                         "is not used");
    }
    junk[0] = '\0';
    cr_assert(write_whole(c.path, junk, 100));
    expect_explained(EXPLAIN("--dtype", "f32"), "dot f32: recurrent", NULL, "is not used");
    cache_close(&c);
}

/* ---- what is shipped ------------------------------------------------------------------------ */

Test(tune, two_models_on_three_cpus)
{
    static const char wide[] = "name: wide\nvocab: 64\ndim: 768\nlayers:\n"
                               "  - {block: mamba2, state: 128, head_dim: 64}\n"
                               "weights: {init: reference, seed: 0}\n";
    char *dir = temp_dir(), *path = path_join(dir, "wide.yaml");
    cr_assert(write_whole(path, wide, strlen(wide)));
    expect_explained(ARGS("explain", STORY, "--dtype", "bf16", "--cpu", "znver5"),
                     "ssd H=8 P=64 N=64 G=1, dot bf16: chunked Q=24 (the least predicted)", NULL,
                     NULL);
    expect_explained(ARGS("explain", path, "--dtype", "bf16", "--cpu", "znver5"),
                     "ssd H=24 P=64 N=128 G=1, dot bf16: chunked Q=48 (the least predicted)", NULL,
                     NULL);
    expect_explained(ARGS("explain", path, "--dtype", "bf16", "--cpu", "x86-64-v3"),
                     "ssd H=24 P=64 N=128 G=1, dot f32: recurrent (the least predicted)", NULL,
                     NULL);
    /* Its dots of pairs are slower than what they replace, its matrix unit is not. */
    expect_explained(ARGS("explain", path, "--dtype", "bf16", "--cpu", "sapphirerapids", "--set",
                          "compile.matrix=none"),
                     "ssd H=24 P=64 N=128 G=1, dot bf16: recurrent (the least predicted)", "AMX",
                     NULL);
    expect_explained(ARGS("explain", path, "--dtype", "bf16", "--cpu", "sapphirerapids"),
                     "ssd H=24 P=64 N=128 G=1, dot bf16, chunks on AMX: chunked Q=", NULL, NULL);
    expect_explained(ARGS("explain", path, "--dtype", "int8", "--cpu", "sapphirerapids"),
                     "unit matrix (AMX); nanoseconds a token, predicted, one thread: AMX ", NULL,
                     NULL);
    expect_explained(ARGS("explain", path, "--cpu", "sapphirerapids"),
                     "linear 768 -> 3352, f32: emitted", "AMX", NULL);
    expect_explained(ARGS("explain", path, "--cpu", "x86-64-v3"),
                     "linear 768 -> 3352, f32: emitted", NULL, NULL);
    expect_explained(ARGS("explain", path, "--cpu", "x86-64-v3"), ", blas ", NULL, NULL);
    expect_explained(ARGS("explain", path, "--cpu", "x86-64-v3"),
                     "the most useful GFLOP/s by panel.def: 32: ", NULL, NULL);
    expect_explained(ARGS("explain", path, "--cpu", "x86-64-v3"),
                     "predicted prefill, threads 1: 512 tokens ", NULL, NULL);
    temp_dir_remove(dir);
    free(path);
}

/* ---- a model's own forms -------------------------------------------------------------------- */

static const char tiny[] = "name: tiny\nvocab: 64\ndim: 32\nlayers:\n"
                           "  - {block: mamba2, repeat: 2, state: 16, head_dim: 32}\n"
                           "weights: {init: reference, seed: 0}\n"
                           "compile: {block: 20, threads: 1}\n";

Test(tune, exhaustive_measures_every_form)
{
    char *dir = temp_dir(), *path = path_join(dir, "tiny.yaml");
    cr_assert(write_whole(path, tiny, strlen(tiny)));
    expect_explained(ARGS("explain", path, "--tune", "exhaustive"), "(the least measured)",
                     "the least predicted", NULL);
    expect_explained(ARGS("explain", path, "--tune", "exhaustive", "--chunk", "8"),
                     "chunked Q=8 (by option)", "[measured]", NULL);
    CommandResult r = command_run(ARGS("explain", path, "--tune", "exhaustive"), NULL, 0);
    const char *recurrent = strstr(r.out, "recurrent "), *chunk = strstr(r.out, ", Q=16 ");
    cr_assert(recurrent && chunk, "%s", r.out);
    cr_expect(strchr(chunk, '[') && strchr(chunk, '[') < strchr(chunk, '\n'), "%s", r.out);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}

Test(tune, a_form_that_cannot_run_here_cannot_be_measured)
{
#if defined(__x86_64__)
    const char *const other = "neoverse-v1";
#else
    const char *const other = "x86-64-v3";
#endif
    CommandResult r =
        command_run(ARGS("explain", STORY, "--tune", "exhaustive", "--cpu", other), NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strlen(r.err) > 0);
    command_free(&r);
}

Test(tune, how_must_be_known)
{
    CommandResult r = command_run(ARGS("explain", STORY, "--tune", "best"), NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "--tune wants auto, shipped or exhaustive, not 'best'"), "%s", r.err);
    command_free(&r);
}

/* ---- on a GPU -------------------------------------------------------------------------------- */

/* Nothing that a CPU's constants predict is said of a GPU, whose kernels are chosen by rule: what
 * they take at least is. */
Test(tune, explain_of_a_gpu)
{
    CommandResult r =
        command_run(ARGS("explain", STORY, "--device", "sm_90a", "--dtype", "bf16"), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    static const char *const says[] = {
        "for sm_90a (132 multiprocessors, 227 KiB that a block shares); parameters are made on ",
        "dot bf16: chunked Q=64 (table gpus.def)\n",
        "linear 512 -> 256, bf16: fed_128x256, of few rows wgmma_64x64 (table products.def)",
        "linear 256 -> 1160, bf16: split_64x64x8, of few rows stream_16x8 (table products.def)",
        "at least, by bytes and operations at the rates that gpus.def states of sm_90a (",
        "  prefill of   8192 tokens ",
        "  decode, batch    16 ",
        "    in_proj_conv1d       x8 ",
    };
    for (size_t i = 0; i < COUNT_OF(says); i++)
        cr_expect(strstr(r.out, says[i]), "stdout lacks '%s':\n%s", says[i], r.out);
    cr_expect(!strstr(r.out, "predicted") && !strstr(r.out, "constants:"), "%s", r.out);
    command_free(&r);
}

/* What was measured on it decides in the place of the table. */
Test(tune, exhaustive_on_a_gpu)
{
    static const char model[] = "name: t\nvocab: 16\ndim: 8\n"
                                "layers:\n  - {block: mamba2, state: 4, head_dim: 8}\n"
                                "weights: {init: reference, seed: 0}\ncompile: {block: 32}\n";
    char *dir = temp_dir(), *path = path_join(dir, "t.yaml");
    cr_assert(write_whole(path, model, strlen(model)));
    CommandResult r = command_run(
        ARGS("explain", path, "--device", "model", "--tune", "exhaustive", "--threads", "1"), NULL,
        0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, " (the least measured)\n  nanoseconds a token, [measured]"), "%s",
              r.out);
    cr_expect(strstr(r.out, "recurrent [") && strstr(r.out, "Q=16 ["), "%s", r.out);
    cr_expect(!strstr(r.out, "constants:"), "%s", r.out);
    command_free(&r);
    temp_dir_remove(dir);
    free(path);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static Machine
machine_with(const char *device)
{
    Machine m;
    cr_assert(machine_named("x86-64-v3", &m) && machine_gpu(&m, device));
    return m;
}

/* Every tile of a rule's method, over every projection and number of rows; of each rule the
 * fastest. Here by a driver that runs nothing. */
Test(tune, tiles_are_measured)
{
    static const int64_t rows[TUNE_TILE_ROWS] = {8, 16, 72}, dims[] = {32};
    const char *why = NULL;
    TuneTiles t = {.arena = arena_new(), .rows = rows};
    setenv("SSMC_CUDA_LIBRARY", SSMC_CUDA_MODEL, 1);
    setenv("SSMC_CUDA_MODEL_IDLE", "1", 1);
    t.listener = console(t.arena);
    cr_assert(cg_machine(t.arena, "native", &t.machine, &why), "%s", why);
    cr_assert(machine_gpu(&t.machine, "sm_90a"));
    cr_assert_eq(tune_tiles(&t, dims, 1), 0);
    const int projections = 2, tiles = 3 + 6; /* of f32 and of bf16 (wgmma) */
    cr_expect_eq(t.count, projections * tiles * TUNE_TILE_ROWS, "%d", t.count);
    cr_expect_eq(t.nchosen, 2, "both projections are narrow: one rule of each type");
    for (int i = 0; i < t.nchosen; i++) {
        const ProductMethod method = t.chosen[i].type == DTYPE_bf16 ? PRODUCT_WGMMA : PRODUCT_FMA;
        cr_expect_eq(t.chosen[i].product->method, method);
        cr_expect_eq(t.chosen[i].small->method, method);
        cr_expect_eq(t.chosen[i].outputs, 1);
        cr_expect_eq(t.chosen[i].inputs, method == PRODUCT_WGMMA ? 2048 : 0);
    }
    arena_free(t.arena);
}

/* Of a rule: what is fastest over all its projections with most rows, and with fewest of those that
 * a kernel can have beside it: none that is fed. */
Test(tune, tiles_are_chosen)
{
    static const int64_t rows[TUNE_TILE_ROWS] = {512, 2048, 8192};
    static const struct {
        const char *tile;
        double few, many; /* seconds of each of two projections */
    } times[] = {
        {"fed_128x256",   1, 12},
        {"wgmma_128x256", 4, 10},
        {"wgmma_128x128", 2, 11},
        {"wgmma_64x64",   3, 30},
    };
    TuneTiles t = {.arena = arena_new(), .rows = rows, .machine = machine_with("sm_90a")};
    TilePoint points[2 * 2 * COUNT_OF(times)];
    t.points = points;
    for (size_t i = 0; i < COUNT_OF(times); i++)
        for (int wide = 0; wide < 2; wide++)
            for (int many = 0; many < 2; many++)
                points[t.count++] =
                    (TilePoint){.type = DTYPE_bf16,
                                .inputs = 64,
                                .outputs = wide ? 4096 : 2048,
                                .rows = many ? 8192 : 512,
                                .tile = product_named(times[i].tile),
                                .seconds = (many ? times[i].many : times[i].few) * (1 + wide)};
    tune_tiles_choose(&t);
    cr_assert_eq(t.nchosen, 1);
    cr_expect_eq(t.chosen[0].outputs, 2048);
    cr_expect_eq(t.chosen[0].inputs, 2048);
    cr_expect_str_eq(t.chosen[0].product->name, "wgmma_128x256");
    cr_expect_str_eq(t.chosen[0].small->name, "wgmma_128x128");
    arena_free(t.arena);
}

/* Measured rules go before those of the table, and only of their own kind. */
Test(tune, measured_tiles_are_taken)
{
    const ProductRule rule = {PRODUCT_MANY,
                              DTYPE_bf16,
                              2048,
                              1024,
                              product_named("wgmma_64x64"),
                              product_named("wgmma_64x64")};
    Machine m = machine_with("sm_90a");
    m.gpu.measured = &rule;
    m.gpu.nmeasured = 1;
    ProductChoice c = product_for(&m.gpu, PRODUCT_MANY, DTYPE_bf16, 1024, 4096);
    cr_expect(c.measured && !c.small);
    cr_expect_str_eq(c.product->name, "wgmma_64x64");
    c = product_for(&m.gpu, PRODUCT_MANY, DTYPE_bf16, 1024, 2047);
    cr_expect(!c.measured, "it is of wider ones");
    c = product_for(&m.gpu, PRODUCT_MANY, DTYPE_bf16, 1025, 4096);
    cr_expect(!c.measured, "it is of fewer inputs");
    c = product_for(&m.gpu, PRODUCT_MANY, DTYPE_f32, 1024, 4096);
    cr_expect(!c.measured, "it is of bf16");
    c = product_for(&m.gpu, PRODUCT_ANY, DTYPE_bf16, 1024, 4096);
    cr_expect(!c.measured, "it is of many rows");
}

static void
expect_tiles(const char *out_has, const char *err_has)
{
    CommandResult r =
        command_run(ARGS("explain", STORY, "--device", "sm_90a", "--dtype", "bf16"), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, out_has), "stdout lacks '%s':\n%s", out_has, r.out);
    cr_expect(err_has ? strstr(r.err, err_has) != NULL : !strstr(r.err, "tiles"), "%s", r.err);
    command_free(&r);
}

/* What tune wrote is what models are compiled with; anything else is a note. */
Test(tune, the_file_of_tiles)
{
    static const char by_table[] =
        "linear 512 -> 256, bf16: fed_128x256, of few rows wgmma_64x64 (table products.def)";
    static const char *const bad[][2] = {
        {"bf16 1 2048",   "bf16 7 2048"              }, /* no rule of products.def */
        {"bf16 1 2048",   "bf16 1 2047"              },
        {"128x256 wgmma", "128x256 fed_128x256 wgmma"},
        {"wgmma_64x64",   "fed_128x256"              }, /* none is small beside another that is fed */
        {"wgmma_64x64",   "mma_64x64"                }, /* another method: other bits */
        {"wgmma_64x64",   "wgmma_64x65"              },
        {"target sm_90a", "target sm_80"             },
        {"tiles 2",       "tiles 1"                  },
        {"\nbf16",        "\nint8"                   },
        {"64x64\n",       "64x64"                    },
    };
    Arena *arena = arena_new();
    char *dir = temp_dir();
    const char *why = NULL;
    setenv("XDG_CACHE_HOME", dir, 1);
    const ProductRule rule = {PRODUCT_MANY,
                              DTYPE_bf16,
                              1,
                              2048,
                              product_named("wgmma_128x256"),
                              product_named("wgmma_64x64")};
    Machine m = machine_with("sm_90a");
    m.gpu.measured = &rule;
    m.gpu.nmeasured = 1;
    const char *path = tiles_path(arena, &m);
    expect_tiles(by_table, NULL);
    cr_assert(tiles_write(arena, path, &m, "some GPU", &why), "%s", why);
    expect_tiles("bf16: wgmma_128x256, of few rows wgmma_64x64 (measured by ssmc tune)", NULL);
    char *good = read_whole(path, NULL);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *spoilt = text_replace(good, bad[i][0], bad[i][1]);
        cr_assert(write_whole(path, spoilt, strlen(spoilt)));
        expect_tiles(by_table, "it is no file of tiles, version 2, for sm_90a");
        free(spoilt);
    }
    free(good);
    temp_dir_remove(dir);
    arena_free(arena);
}

Test(tune, tiles_are_of_a_gpu_that_is_here)
{
    static const char *const says[][2] = {
        {"model", "tune measures a GPU that is here: --device cuda"            },
        {"gpu",   "--device wants cpu, cuda, sm_80, sm_90a or model, not 'gpu'"},
    };
    for (size_t i = 0; i < COUNT_OF(says); i++) {
        CommandResult r =
            command_run(ARGS("tune", "--device", says[i][0], "-o", "/dev/null"), NULL, 0);
        cr_expect_eq(r.status, 2, "%s", r.err);
        cr_expect(strstr(r.err, says[i][1]), "%s", r.err);
        command_free(&r);
    }
}
