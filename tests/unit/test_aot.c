/* tests/unit/test_aot.c -- models compiled ahead of time: their numbers are those of the JIT to the
 * last bit, and they need nothing but the C library. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/util.h"
#include "runtime/rt.h"
#include "tests/aot.h"

#if defined(__x86_64__)
#define OTHER_CPU "x86-64-v3"
#else
#define OTHER_CPU "generic"
#endif

/* ---- the JIT's numbers ---------------------------------------------------------------------- */

typedef struct {
    char model[32], golden[32], cpu[16];
} Case;

ParameterizedTestParameters(aot, so_equals_jit)
{
    static const char *const names[] = {"mamba2-base", "mamba2-groups", "mamba2-oddstate",
                                        "mamba2-bias", "storyteller"};
    static Case cases[10];
    size_t n = 0;
    for (size_t i = 0; i < 10; i++) {
        if (!thorough() && i % 2 != i / 2 % 2)
            continue; /* each model, for one CPU */
        const char *name = names[i / 2];
        const char *folder = strcmp(name, "storyteller") == 0 ? "examples" : "tests/goldens";
        Case *c = &cases[n++];
        snprintf(c->model, sizeof c->model, "%s/%s", folder, name);
        snprintf(c->golden, sizeof c->golden, "tests/goldens/%s", name);
        snprintf(c->cpu, sizeof c->cpu, "%s", i % 2 ? OTHER_CPU : "native");
    }
    return cr_make_param_array(Case, cases, n);
}

ParameterizedTest(Case *c, aot, so_equals_jit)
{
    char *dir = temp_dir(), *model = path_join(SSMC_ROOT, c->model);
    char *golden = path_join(SSMC_ROOT, c->golden), *ids = path_join(golden, "golden.safetensors");
    const char *const weights[] = {"embed", "external"};
    const size_t count = strcmp(c->cpu, "native") == 0 ? 2 : 1;
    char *so[2] = {NULL};
    for (size_t i = 0; i < count; i++)
        so[i] = aot_compile(model, dir, i ? "x.so" : "e.so",
                            ARGS("--emit", "so", "--weights", weights[i], "--cpu", c->cpu));
    for (const char *const *mode = ARGS("prefill", "step", "split"); *mode; mode++) {
        size_t len = 0, want_len = 0;
        char *want = aot_logits(model, ids, ARGS("--mode", *mode, "--cpu", c->cpu), &want_len);
        for (size_t i = 0; i < count; i++) {
            char *got = aot_logits(so[i], ids, ARGS("--mode", *mode), &len);
            cr_expect(len == want_len && memcmp(got, want, len) == 0,
                      "%s, %s weights, cpu %s, --mode %s: other numbers than the JIT's", c->model,
                      weights[i], c->cpu, *mode);
            free(got);
        }
        free(want);
    }
    temp_dir_remove(dir);
    free(model);
    free(golden);
    free(ids);
    for (size_t i = 0; i < count; i++)
        free(so[i]);
}

static void
expect_text(const char *const *argv, const char *want)
{
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s: %s", argv[0], r.err);
    cr_expect_str_eq(r.out, want, "%s says another text", argv[0]);
    command_free(&r);
}

Test(aot, exe_says_what_run_says)
{
    char *dir = temp_dir();
    char *embed = aot_compile(AOT_STORY, dir, "e", ARGS("--emit", "exe", "--weights", "embed"));
    char *external = aot_compile(AOT_STORY, dir, "x", ARGS("--emit", "exe"));
    CommandResult want = aot_ssmc(
        ARGS("run", AOT_STORY, "-p", "The king", "-n", "40", "--seed", "5", "--top-k", "50"));
    cr_assert(want.status == 0 && want.out_len > 40);
    const char *const path[] = {embed, external};
    for (size_t i = 0; i < 2; i++)
        expect_text(ARGS(path[i], "-p", "The king", "-n", "40", "--seed", "5", "--top-k", "50"),
                    want.out);
    command_free(&want);
    temp_dir_remove(dir);
    free(embed);
    free(external);
}

/* Of a text whose ids are known, an id and what stands before its first place. */
static char *
text_before(const char *ids, int which, int *end)
{
    int list[64], count = 0;
    StrBuf before = {0};
    for (char *at = (char *)ids, *next = NULL; count < 64; at = next) {
        const long id = strtol(at, &next, 10);
        if (next == at)
            break;
        list[count++] = (int)id;
    }
    cr_assert_gt(count, which);
    *end = list[which];
    for (int i = 0; list[i] != *end; i++)
        sb_printf(&before, "%d ", list[i]);
    const char *const argv[] = {SSMC_BINARY, "tokenize", AOT_STORY, "--decode", NULL};
    CommandResult r = command_run(argv, sb_text(&before), before.len);
    cr_assert(r.status == 0 && r.out_len > 0, "%s", r.err);
    sb_free(&before);
    free(r.err);
    return r.out;
}

/* A text ends at whichever id of the set comes first, whatever the model was made into. */
Test(aot, texts_end_at_every_id_of_the_set)
{
    char *dir = temp_dir(), *ir = path_join(dir, "m.ir"), set[32];
    const char *const argv[] = {SSMC_BINARY, "tokenize", AOT_STORY, NULL};
    CommandResult all =
        aot_ssmc(ARGS("run", AOT_STORY, "-p", "The king", "-n", "12", "--greedy", "--ignore-eos"));
    CommandResult ids = command_run(argv, all.out, all.out_len);
    cr_assert(all.status == 0 && ids.status == 0, "%s%s", all.err, ids.err);
    int end = 0;
    char *want = text_before(ids.out, 6, &end);
    snprintf(set, sizeof set, "eos=[0, %d]", end);
    aot_ok(ARGS("compile", AOT_STORY, "--set", set, "--emit", "graph", "-o", ir));
    char *so = aot_compile(AOT_STORY, dir, "m.so", ARGS("--emit", "so", "--set", set));
    char *exe = aot_compile(AOT_STORY, dir, "e", ARGS("--emit", "exe", "--set", set));
    const char *const run = SSMC_BINARY;
    expect_text(ARGS(run, "run", AOT_STORY, "--set", set, "-p", "The king", "-n", "12", "--greedy"),
                want);
    expect_text(ARGS(run, "run", ir, "-p", "The king", "-n", "12", "--greedy"), want);
    expect_text(ARGS(run, "run", so, "-p", "The king", "-n", "12", "--greedy"), want);
    expect_text(ARGS(exe, "-p", "The king", "-n", "12", "--greedy"), want);
    expect_text(ARGS(exe, "-p", "The king", "-n", "12", "--greedy", "--ignore-eos"), all.out);
    command_free(&all);
    command_free(&ids);
    temp_dir_remove(dir);
    free(want);
    free(exe);
    free(so);
    free(ir);
}

Test(aot, exe_answers_lines)
{
    char *dir = temp_dir();
    char *exe = aot_compile(AOT_STORY, dir, "e", ARGS("--emit", "exe", "--weights", "embed"));
    const char *const argv[] = {exe, "--serve-stdin", "-n", "30", "--greedy", NULL};
    static const char lines[] = "Once upon a time\n\nLine\\none\nOnce upon a time";
    CommandResult r = command_run(argv, lines, strlen(lines));
    cr_expect_eq(r.status, 2, "the empty prompt is a fault");
    cr_expect(strstr(r.err, "the prompt is empty"), "%s", r.err);
    char *line[4];
    char *at = r.out;
    for (int i = 0; i < 4; i++) {
        line[i] = at;
        at += strcspn(at, "\n");
        cr_assert_eq(*at, '\n', "answer %d has no end:\n%s", i, r.out);
        *at++ = '\0';
    }
    cr_expect_eq(*at, '\0', "more lines than prompts");
    cr_expect_str_eq(line[0], line[3], "an answer depends on the ones before");
    cr_expect_str_empty(line[1]);
    CommandResult once =
        aot_ssmc(ARGS("run", AOT_STORY, "-p", "Line\none", "-n", "30", "--greedy"));
    char *slashes = text_replace(once.out, "\\", "\\\\"),
         *escaped = text_replace(slashes, "\n", "\\n");
    cr_expect_str_eq(line[2], escaped);
    command_free(&once);
    command_free(&r);
    temp_dir_remove(dir);
    free(exe);
    free(slashes);
    free(escaped);
}

Test(aot, compiled_models_do_what_descriptions_do)
{
    char *dir = temp_dir();
    char *so = aot_compile(AOT_STORY, dir, "m.so", ARGS("--emit", "so"));
    char *text = path_join(dir, "t.txt");
    size_t len = 0;
    char *story = read_whole(SSMC_ROOT "/README.md", &len);
    cr_assert(story && write_whole(text, story, len));
    CommandResult got = aot_ssmc(ARGS("perplexity", so, "--text", text, "--window", "64"));
    CommandResult want = aot_ssmc(ARGS("perplexity", AOT_STORY, "--text", text, "--window", "64"));
    cr_expect(got.status == 0 && want.status == 0, "%s%s", got.err, want.err);
    cr_expect_str_eq(got.out, want.out);
    temp_dir_remove(dir);
    command_free(&got);
    command_free(&want);
    free(story);
    free(text);
    free(so);
}

/* Weights made by rules: the seed goes along, or the numbers do. */
Test(aot, weights_made_by_rules)
{
    static const char yaml[] = "name: made\nvocab: 96\ndim: 64\nlayers:\n"
                               "  - {block: mamba2, repeat: 2, state: 16, head_dim: 32}\n"
                               "weights: {init: reference, seed: 11}\n";
    static const char header[] =
        "{\"ids_0\":{\"dtype\":\"I64\",\"shape\":[1,3],\"data_offsets\":[0,24]}}";
    const int64_t ids[] = {7, 2, 90};
    const uint64_t header_len = sizeof header - 1;
    char file[8 + sizeof header - 1 + sizeof ids];
    memcpy(file, &header_len, 8);
    memcpy(file + 8, header, sizeof header - 1);
    memcpy(file + 8 + sizeof header - 1, ids, sizeof ids);
    char *dir = temp_dir(), *model = path_join(dir, "m.yaml"),
         *in = path_join(dir, "i.safetensors");
    cr_assert(write_whole(model, yaml, sizeof yaml - 1) && write_whole(in, file, sizeof file));
    size_t len = 0, want_len = 0;
    char *want = aot_logits(model, in, ARGS("--mode", "prefill"), &want_len);
    for (const char *const *weights = ARGS("embed", "external"); *weights; weights++) {
        char *so = aot_compile(model, dir, "m.so", ARGS("--emit", "so", "--weights", *weights));
        char *got = aot_logits(so, in, ARGS("--mode", "prefill"), &len);
        cr_expect(len == want_len && memcmp(got, want, len) == 0, "--weights %s", *weights);
        free(got);
        free(so);
    }
    temp_dir_remove(dir);
    free(want);
    free(model);
    free(in);
}

typedef struct {
    char dtype[8], state[8];
} Format;

ParameterizedTestParameters(aot, states_go_from_one_build_to_the_other)
{
    static Format formats[] = {
        {"int4", "bf16"},
        {"int8", "f32" },
        {"bf16", "bf16"},
        {"f32",  "f32" },
    };
    return cr_make_param_array(Format, formats, thorough() ? COUNT_OF(formats) : 1);
}

/* ssmc run of a build with more options: what it says, owned by the caller. */
static char *
said(const Format *f, const char *model, const char *const *more)
{
    const char *argv[24] = {SSMC_BINARY, "run", model, "--greedy"};
    size_t n = 4;
    for (; *more; more++)
        argv[n++] = *more;
    const bool jit = strcmp(model, AOT_STORY) == 0;
    for (const char *const *o = ARGS("--dtype", f->dtype, "--state-dtype", f->state); jit && *o;
         o++)
        argv[n++] = *o;
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s: %s", model, r.err);
    char *text = strdup(r.out);
    command_free(&r);
    return text;
}

/* A text begun by one build goes on in another as if it had not stopped: the JIT, weights in files,
 * weights inside. A build for another CPU, whose sums differ in the last bits, takes it as well. */
ParameterizedTest(Format *f, aot, states_go_from_one_build_to_the_other)
{
    const char *const *form = ARGS("--emit", "so", "--dtype", f->dtype, "--state-dtype", f->state);
    const char *const *inside =
        ARGS("--emit", "so", "--dtype", f->dtype, "--state-dtype", f->state, "--weights", "embed");
    const char *const *other = ARGS("--emit", "so", "--dtype", f->dtype, "--state-dtype", f->state,
                                    "--weights", "embed", "--cpu", OTHER_CPU);
    char *dir = temp_dir(), *state = path_join(dir, "s.state");
    char *models[] = {strdup(AOT_STORY), aot_compile(AOT_STORY, dir, "x.so", form),
                      aot_compile(AOT_STORY, dir, "e.so", inside),
                      aot_compile(AOT_STORY, dir, "o.so", other)};
    char *whole = said(f, AOT_STORY, ARGS("-p", "Once upon a time", "-n", "30"));
    for (size_t from = 0; from < 3; from++) {
        char *first = said(f, models[from],
                           ARGS("-p", "Once upon a time", "-n", "12", "--save-state", state));
        for (size_t to = 0; to < 4; to++) {
            char *rest = said(f, models[to], ARGS("--load-state", state, "-n", "18"));
            cr_expect(to == 3 || (strncmp(whole, first, strlen(first)) == 0 &&
                                  strcmp(whole + strlen(first), rest) == 0),
                      "%s: from build %zu to %zu: '%s%s', not '%s'", f->dtype, from, to, first,
                      rest, whole);
            free(rest);
        }
        free(first);
    }
    for (size_t i = 0; i < 4; i++)
        free(models[i]);
    temp_dir_remove(dir);
    free(whole);
    free(state);
}

/* So do keys and values, whose rows of a window lie in rings of other lengths there. */
Test(aot, growing_states_go_from_one_build_to_the_other)
{
    enum { BUILDS = 4 };
    static const char hybrid[] = SSMC_ROOT "/tests/data/hybrid/hybrid.yaml";
    char *dir = temp_dir(), *state = path_join(dir, "s.state");
    const char *const *inside = ARGS("--emit", "so", "--reproducible", "--weights", "embed");
    const char *const *short_passes =
        ARGS("--emit", "so", "--reproducible", "--set", "compile.block=32");
    const char *const *other = ARGS("--emit", "so", "--reproducible", "--cpu", OTHER_CPU);
    char *models[BUILDS] = {strdup(hybrid), aot_compile(hybrid, dir, "e.so", inside),
                            aot_compile(hybrid, dir, "x.so", short_passes),
                            aot_compile(hybrid, dir, "o.so", other)};
    char *texts[BUILDS][BUILDS] = {0};
    for (int from = 0; from < BUILDS; from++) {
        const char *const first[] = {SSMC_BINARY,
                                     "run",
                                     models[from],
                                     "--greedy",
                                     "-p",
                                     "Once upon",
                                     "-n",
                                     "160",
                                     "--save-state",
                                     state,
                                     "--context",
                                     "200",
                                     from ? NULL : "--reproducible",
                                     NULL};
        CommandResult a = command_run(first, NULL, 0);
        cr_assert_eq(a.status, 0, "%s", a.err);
        for (int to = 0; to < BUILDS; to++) {
            const char *const then[] = {SSMC_BINARY,
                                        "run",
                                        models[to],
                                        "--greedy",
                                        "-n",
                                        "20",
                                        "--load-state",
                                        state,
                                        to ? NULL : "--reproducible",
                                        NULL};
            CommandResult b = command_run(then, NULL, 0);
            cr_assert_eq(b.status, 0, "%s", b.err);
            texts[from][to] = strdup(b.out);
            command_free(&b);
        }
        command_free(&a);
    }
    for (int i = 0; i < BUILDS * BUILDS; i++) {
        const int from = i / BUILDS, to = i % BUILDS;
        cr_expect(strlen(texts[from][to]) > 0);
        /* The other CPU's sums differ in the last bits. */
        cr_expect(to == 3 || strcmp(texts[from][to], texts[from][0]) == 0, "from build %d to %d",
                  from, to);
    }
    for (int i = 0; i < BUILDS * BUILDS; i++)
        free(texts[i / BUILDS][i % BUILDS]);
    for (int i = 0; i < BUILDS; i++)
        free(models[i]);
    temp_dir_remove(dir);
    free(state);
}

Test(aot, states_of_another_model_are_refused)
{
    char *dir = temp_dir(), *state = path_join(dir, "s.state");
    aot_ok(ARGS("run", AOT_STORY, "-p", "Once upon a time", "-n", "0", "--save-state", state));
    char *other = aot_compile(AOT_SMALL, dir, "o.so",
                              ARGS("--emit", "so", "--weights", "embed", "--set",
                                   "tokenizer=" SSMC_ROOT "/examples/storyteller/tokenizer.json"));
    aot_fault(2, ARGS("run", other, "--load-state", state, "-n", "4"), ARGS("s.state", "model"));
    char *bf16 = aot_compile(AOT_STORY, dir, "b.so", ARGS("--emit", "so", "--dtype", "bf16"));
    aot_fault(2, ARGS("run", bf16, "--load-state", state, "-n", "4"),
              ARGS("s.state", "f32", "bf16"));
    temp_dir_remove(dir);
    free(other);
    free(bf16);
    free(state);
}

/* ---- what a product was made of ------------------------------------------------------------ */

#define AOT_TOKENIZER SSMC_ROOT "/examples/storyteller/tokenizer.json"

static void
expect_depfile(const char *dir, const char *model, const char *const *more, const char *want)
{
    char *rule = path_join(dir, "a b.d"), *out = path_join(dir, "a b.o");
    const char *argv[] = {"compile", model,       "--emit", "obj",   "-o",
                          out,       "--depfile", rule,     more[0], more[0] ? more[1] : NULL,
                          NULL};
    aot_ok(argv);
    char *text = read_whole(rule, NULL), *named = text ? text_replace(text, dir, "DIR") : NULL;
    cr_assert(named, "there is no rule");
    cr_expect_str_eq(named, want);
    free(named);
    free(text);
    free(rule);
    free(out);
}

Test(aot, depfile_names_what_it_was_made_of)
{
    static const char block[] = "block: mine\nops:\n  - h = h + silu(h)\n";
    static const char yaml[] = "name: made\nvocab: 96\ndim: 64\nblocks: [my$block.yaml]\n"
                               "layers: [{block: mine}]\nweights: {init: reference}\n";
    char *dir = temp_dir(), *model = path_join(dir, "m.yaml"),
         *file = path_join(dir, "my$block.yaml");
    cr_assert(write_whole(model, yaml, sizeof yaml - 1) &&
              write_whole(file, block, sizeof block - 1));
    expect_depfile(dir, model, ARGS(NULL),
                   "DIR/a\\ b.o: \\\n  DIR/m.yaml \\\n  DIR/my$$block.yaml\n");
    expect_depfile(dir, AOT_SMALL, ARGS("--set", "tokenizer=" AOT_TOKENIZER),
                   "DIR/a\\ b.o: \\\n  " AOT_SMALL "/config.json \\\n  " AOT_SMALL
                   "/model.safetensors \\\n  " AOT_TOKENIZER "\n");
    temp_dir_remove(dir);
    free(model);
    free(file);
}

/* ---- several CPUs in one file ------------------------------------------------------------- */

#if defined(__x86_64__)
#define CPUS  "x86-64-v2,x86-64-v3,x86-64"
#define EACH  ARGS("x86-64", "x86-64-v2", "x86-64-v3")
#define FIRST "x86-64-v3"
#else
#define CPUS  "cortex-a72,generic"
#define EACH  ARGS("cortex-a72", "generic")
#define FIRST "cortex-a72"
#endif

static bool
here_runs_v3(void)
{
    CommandResult r = aot_ssmc(ARGS("info"));
    const bool fma = strstr(r.out, "FMA") != NULL;
    command_free(&r);
    return fma;
}

Test(aot, one_file_for_several_cpus)
{
    if (!here_runs_v3())
        cr_skip("this machine has no FMA");
    char *dir = temp_dir();
    char *so = aot_compile(AOT_SMALL, dir, "m.so",
                           ARGS("--emit", "so", "--weights", "embed", "--cpu", CPUS));
    for (const char *const *cpu = EACH; *cpu; cpu++) {
        size_t len = 0, want_len = 0;
        char *got = aot_logits(so, AOT_IDS, ARGS("--cpu", *cpu), &len);
        char *want = aot_logits(AOT_SMALL, AOT_IDS, ARGS("--cpu", *cpu), &want_len);
        cr_expect(len == want_len && memcmp(got, want, len) == 0, "the variant for %s", *cpu);
        free(got);
        free(want);
    }
    size_t len = 0, want_len = 0;
    char *best = aot_logits(so, AOT_IDS, ARGS("--threads", "1"), &len);
    char *want = aot_logits(AOT_SMALL, AOT_IDS, ARGS("--cpu", FIRST), &want_len);
    cr_expect(len == want_len && memcmp(best, want, len) == 0, "the best is not %s", FIRST);
    free(best);
    free(want);
    temp_dir_remove(dir);
    free(so);
}

/* ---- what a product needs and shows ------------------------------------------------------- */

/* Names of the libraries it asks for are all among the allowed. */
static void
expect_needs(const char *path, const char *const *allowed)
{
    CommandResult r = aot_tool(ARGS("readelf", "-d", path));
    cr_assert_eq(r.status, 0, "readelf: %s", r.err);
    for (char *at = r.out; (at = strstr(at, "(NEEDED)")) != NULL;) {
        char *name = strchr(at, '[') + 1;
        at = strchr(name, ']');
        *at++ = '\0';
        bool known = false;
        for (const char *const *a = allowed; *a; a++)
            known = known || strncmp(name, *a, strlen(*a)) == 0;
        cr_expect(known, "%s needs %s", path, name);
    }
    command_free(&r);
}

#define SYSTEM ARGS("libc.so", "libm.so", "ld-linux", "libpthread.so")

Test(aot, products_need_the_c_library_alone)
{
    if (!aot_has_tool("readelf"))
        cr_skip("there is no readelf");
    char *dir = temp_dir();
    static const struct {
        const char *emit, *weights, *matmul, *blas;
    } products[] = {
        {"so",  "external", "auto", "auto"},
        {"so",  "embed",    "blas", "none"},
        {"exe", "external", "auto", "auto"},
        {"exe", "embed",    "auto", "none"},
        {"so",  "embed",    "blas", "auto"},
    };
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        char *path = aot_compile(AOT_STORY, dir, "p.so",
                                 ARGS("--emit", products[i].emit, "--weights", products[i].weights,
                                      "--matmul", products[i].matmul, "--blas", products[i].blas));
        expect_needs(path, SYSTEM);
        free(path);
    }
    temp_dir_remove(dir);
}

/* OpenBLAS is opened with the model, whatever way that is. */
Test(aot, blas_in_a_product)
{
    char *dir = temp_dir();
    char *so = aot_compile(AOT_SMALL, dir, "m.so",
                           ARGS("--emit", "so", "--weights", "embed", "--matmul", "blas"));
    size_t len = 0, want_len = 0;
    char *got = aot_logits(so, AOT_IDS, ARGS("--threads", "2"), &len);
    char *want =
        aot_logits(AOT_SMALL, AOT_IDS, ARGS("--matmul", "blas", "--threads", "2"), &want_len);
    cr_expect(len == want_len && memcmp(got, want, len) == 0);
    temp_dir_remove(dir);
    free(got);
    free(want);
    free(so);
}

static bool
is_export(const char *name)
{
    char version[32];
    snprintf(version, sizeof version, "SSMC_%d", ABI_VERSION);
    const char *const names[] = {
#define EXPORT(name, where, since) #name,
#include "runtime/exports.def"
#undef EXPORT
        "ssmc_compiled_1", "storyteller_compiled", version};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0 && strchr("@\n", name[strlen(names[i])]))
            return true;
    return false;
}

Test(aot, a_library_shows_its_interface_alone)
{
    if (!aot_has_tool("nm"))
        cr_skip("there is no nm");
    char *dir = temp_dir();
    char *so = aot_compile(AOT_STORY, dir, "m.so", ARGS("--emit", "so"));
    CommandResult r = aot_tool(ARGS("nm", "-D", "--defined-only", so));
    int count = 0;
    for (char *at = strtok(r.out, "\n"); at; at = strtok(NULL, "\n"), count++) {
        char name[256];
        snprintf(name, sizeof name, "%s\n", strrchr(at, ' ') + 1);
        cr_expect(is_export(name), "it shows %s", name);
    }
    cr_expect_gt(count, 15);
    temp_dir_remove(dir);
    command_free(&r);
    free(so);
}

/* Every function of ssmc.h is in exports.def, and every row is a function of ssmc.h. */
Test(aot, exports_are_the_public_header)
{
    static const char *const names[] = {
#define EXPORT(name, where, since) #name "(",
#include "runtime/exports.def"
#undef EXPORT
    };
    const size_t rows = sizeof names / sizeof names[0];
    char *text = read_whole(SSMC_ROOT "/runtime/ssmc.h", NULL);
    cr_assert(text);
    size_t functions = 0;
    for (size_t i = 0; i < rows; i++)
        cr_expect(strstr(text, names[i]), "ssmc.h has no %s)", names[i]);
    for (const char *at = text; (at = strchr(at, '(')) != NULL; at++) {
        const char *start = at;
        while (start > text && (start[-1] == '_' || (start[-1] >= 'a' && start[-1] <= 'z')))
            start--;
        const bool declared = strncmp(start, "ssmc_", 5) == 0 && start > text &&
                              (start[-1] == ' ' || start[-1] == '*') && start[-2] != '*';
        const char *line = start;
        while (line > text && line[-1] != '\n')
            line--;
        if (!declared || line[0] == ' ' || strncmp(line, "typedef", 7) == 0)
            continue;
        functions++;
        bool known = false;
        for (size_t i = 0; i < rows; i++)
            known = known || strncmp(start, names[i], strlen(names[i])) == 0;
        cr_expect(known, "exports.def lacks %.40s", start);
    }
    cr_expect_eq(functions, rows);
    free(text);
}

/* ---- weights inside the file -------------------------------------------------------------- */

/* Kilobytes of a field of the mapping that holds an address. */
static long
mapping_field(const void *address, const char *field)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long from = 0, to = 0;
    long value = -1, kb = 0;
    bool inside = false;
    while (maps && fgets(line, sizeof line, maps)) {
        char name[64];
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (inside && sscanf(line, "%63[^:]: %ld kB", name, &kb) == 2 &&
                 strcmp(name, field) == 0)
            value = kb;
    }
    if (maps)
        fclose(maps);
    return value;
}

Test(aot, embedded_weights_are_pages_of_the_file)
{
    char *dir = temp_dir();
    char *so = aot_compile(AOT_STORY, dir, "m.so", ARGS("--emit", "so", "--weights", "embed"));
    void *library = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    cr_assert(library, "%s", dlerror());
    const AbiCompiled *compiled = dlsym(library, "ssmc_compiled_1");
    ssmc_model *model = NULL;
    cr_assert(compiled && compiled->variants[0].embedded);
    cr_assert_eq((uintptr_t)compiled->variants[0].embedded % 64, 0u);
    cr_assert_eq(ssmc_compiled_open((const ssmc_compiled *)compiled, NULL, &model), SSMC_OK, "%s",
                 ssmc_error());
    const int64_t bytes = compiled->variants[0].program->param_bytes;
    const volatile char *at = compiled->variants[0].embedded;
    int sum = 0;
    for (int64_t i = 0; i < bytes; i += 4096)
        sum += at[i];
    cr_expect_neq(sum, 0x7FFFFFFF);
    const char *middle = compiled->variants[0].embedded + bytes / 2;
    cr_expect_geq(mapping_field(middle, "Rss"), (long)(bytes / 1024 * 9 / 10));
    cr_expect_eq(mapping_field(middle, "Private_Dirty"), 0);
    ssmc_model_close(model);
    dlclose(library);
    temp_dir_remove(dir);
    free(so);
}

/* ---- alone in a folder -------------------------------------------------------------------- */

/* Copies a file to the same path below root. */
static void
transplant(const char *path, const char *root)
{
    char *to = path_join(root, path + 1);
    size_t len = 0;
    for (char *slash = strchr(to + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(to, 0755);
        *slash = '/';
    }
    char *bytes = read_whole(path, &len);
    cr_assert(bytes && write_whole(to, bytes, len) && chmod(to, 0755) == 0, "%s", path);
    free(bytes);
    free(to);
}

Test(aot, exe_runs_where_there_is_nothing_else)
{
    CommandResult ready = aot_tool(ARGS("chroot", "/", "/bin/true"));
    const bool may = ready.status == 0;
    command_free(&ready);
    if (!may)
        cr_skip("changing the root folder is not permitted here");
    char *dir = temp_dir();
    char *exe = aot_compile(AOT_STORY, dir, "story", ARGS("--emit", "exe", "--weights", "embed"));
    CommandResult libs = aot_tool(ARGS("ldd", exe));
    cr_assert_eq(libs.status, 0, "%s", libs.err);
    for (char *at = strtok(libs.out, " \t\n"); at; at = strtok(NULL, " \t\n"))
        if (at[0] == '/')
            transplant(at, dir);
    CommandResult want =
        aot_ssmc(ARGS("run", AOT_STORY, "-p", "Once upon a time", "-n", "20", "--greedy"));
    CommandResult got =
        aot_tool(ARGS("chroot", dir, "/story", "-p", "Once upon a time", "-n", "20", "--greedy"));
    cr_expect_eq(got.status, 0, "%s", got.err);
    cr_expect_str_eq(got.out, want.out);
    command_free(&libs);
    command_free(&want);
    command_free(&got);
    temp_dir_remove(dir);
    free(exe);
}
