/* tests/unit/test_examples.c -- the programs of examples/embed, built as their README says and run:
 * they say what the command says. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "runtime/rt.h"
#include "tests/embed.h"
#include "tests/model_run.h"

#if defined(__x86_64__)
#define OTHER_CPU "x86-64-v3"
#else
#define OTHER_CPU "generic"
#endif

#define ONCE "1893 338 626 259 547" /* Once upon a time */

/* ---- C ------------------------------------------------------------------------------------- */

typedef struct {
    char model[32], golden[32], weights[16], cpu[16];
} Case;

ParameterizedTestParameters(examples, logits_in_c_are_those_of_the_jit)
{
    static const char *const names[] = {"mamba2-base", "mamba2-groups", "mamba2-oddstate",
                                        "mamba2-bias", "storyteller"};
    static Case cases[10];
    for (size_t i = 0; i < 10; i++) {
        const char *name = names[i / 2];
        const char *folder = strcmp(name, "storyteller") == 0 ? "examples" : "tests/goldens";
        snprintf(cases[i].model, sizeof cases[i].model, "%s/%s", folder, name);
        snprintf(cases[i].golden, sizeof cases[i].golden, "tests/goldens/%s", name);
        snprintf(cases[i].weights, sizeof cases[i].weights, "%s", i % 2 ? "external" : "embed");
        snprintf(cases[i].cpu, sizeof cases[i].cpu, "%s", i % 2 ? OTHER_CPU : "native");
    }
    return cr_make_param_array(Case, cases, 10);
}

ParameterizedTest(Case *c, examples, logits_in_c_are_those_of_the_jit)
{
    char *dir = temp_dir(), *model = path_join(SSMC_ROOT, c->model);
    char *golden = path_join(SSMC_ROOT, c->golden), *ids = path_join(golden, "golden.safetensors");
    char *want = path_join(dir, "jit.safetensors");
    char *so = embed_compile(model, dir, "libmodel.so",
                             ARGS("--emit", "so", "--weights", c->weights, "--cpu", c->cpu));
    char *program = embed_build_with("cc", EMBED_EXAMPLES "logits.c", dir, "logits", so);
    aot_ok(ARGS("logits", model, "--ids", ids, "--out", want, "--cpu", c->cpu));
    const EmbedMatch m = embed_match(ARGS(program), ids, want);
    cr_expect_gt(m.count, 10000);
    cr_expect_eq(m.others, 0, "%s, %s weights, cpu %s: %zu of %zu logits are others, off by %g",
                 c->model, c->weights, c->cpu, m.others, m.count, m.most);
    temp_dir_remove(dir);
    free(model);
    free(golden);
    free(ids);
    free(want);
    free(so);
    free(program);
}

/* The story after ONCE by the JIT: n ids, a blank behind each; owned by the caller. */
static char *
story_ids(ModelRun *run, const int32_t *prompt, int64_t count, int n)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    const ssmc_sampling greedy = {.temperature = 0};
    float *logits = malloc((size_t)vocab * sizeof *logits);
    ssmc_session *s = model_run_session(run, 1, 1);
    ssmc_sampler *sampler = NULL;
    StrBuf text = {0};
    cr_assert_eq(ssmc_sampler_open(&greedy, vocab, &sampler), SSMC_OK);
    cr_assert_eq(ssmc_prefill(s, 0, prompt, count, logits), SSMC_OK, "%s", ssmc_error());
    for (int i = 0; i < n; i++) {
        const int32_t id = ssmc_sample(sampler, logits);
        sb_printf(&text, "%d ", id);
        cr_assert_eq(ssmc_prefill(s, 0, &id, 1, logits), SSMC_OK, "%s", ssmc_error());
    }
    ssmc_sampler_close(sampler);
    ssmc_session_close(s);
    free(logits);
    return text.text;
}

/* The line of an answer; NULL: there is none. Owned by the caller. */
static char *
answer_of(const char *out, int number)
{
    char label[16];
    snprintf(label, sizeof label, "%d:", number);
    for (const char *at = out; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strncmp(at, label, strlen(label)) == 0)
            return strndup(at + strlen(label), strcspn(at, "\n") - strlen(label));
    return NULL;
}

Test(examples, a_server_of_two_threads)
{
    enum { PROMPTS = 12, IDS = 5 };
    static const int32_t once[IDS] = {1893, 338, 626, 259, 547};
    char *dir = temp_dir();
    char *so =
        embed_compile(AOT_STORY, dir, "libmodel.so", ARGS("--emit", "so", "--weights", "embed"));
    char *program = embed_build_with("cc", EMBED_EXAMPLES "server.c", dir, "server", so);
    StrBuf lines = {0};
    for (int i = 0; i < PROMPTS; i++) /* of 1 to 5 ids */
        for (int k = 0; k <= i % IDS; k++)
            sb_printf(&lines, "%d%s", once[k], k == i % IDS ? "\n" : " ");
    sb_puts(&lines, "once upon\n\n5 2048\n7 1"); /* the last line has no end */
    CommandResult r = command_run(ARGS(program), sb_text(&lines), lines.len);
    cr_expect_eq(r.status, 1, "three lines are no prompts");
    static const char *const says[] = {"line of ids", "at least 1 is needed", "2048", "7"};
    ModelRun *run = MODEL_RUN(STORYTELLER);
    for (int i = 0; i < PROMPTS + 4; i++) {
        char *got = answer_of(r.out, i + 1);
        cr_assert(got, "line %d has no answer:\n%s", i + 1, r.out);
        if (i < PROMPTS) {
            char *want = story_ids(run, once, 1 + i % IDS, 32);
            cr_expect(strncmp(got + 1, want, strlen(want) - 1) == 0, "line %d: %s, not %s", i + 1,
                      got, want);
            free(want);
        } else {
            cr_expect(strstr(got, says[i - PROMPTS]), "line %d: %s", i + 1, got);
        }
        free(got);
    }
    model_run_close(run);
    command_free(&r);
    sb_free(&lines);
    temp_dir_remove(dir);
    free(so);
    free(program);
}

/* ---- C++ ----------------------------------------------------------------------------------- */

static void
expect_failure(const char *const *argv, const char *ids, const char *says)
{
    CommandResult r = command_run(argv, ids, strlen(ids));
    cr_expect_eq(r.status, 1, "%s: status %d", argv[0], r.status);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    command_free(&r);
}

Test(examples, generating_in_cpp)
{
    static const int32_t once[] = {1893, 338, 626, 259, 547};
    if (!aot_has_tool("c++"))
        cr_skip("g++ is not installed");
    char *dir = temp_dir();
    char *so = embed_compile(AOT_STORY, dir, "libmodel.so", ARGS("--emit", "so"));
    char *program = embed_build_with("c++", EMBED_EXAMPLES "generate.cpp", dir, "generate", so);
    ModelRun *run = MODEL_RUN(STORYTELLER);
    char *want = story_ids(run, once, 5, 40);
    CommandResult r = command_run(ARGS(program, "40"), ONCE, strlen(ONCE));
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strncmp(r.out, want, strlen(want)) == 0 && strcmp(r.out + strlen(want), "\n") == 0,
              "%s instead of %s", r.out, want);
    command_free(&r);
    expect_failure(ARGS(program, "1", "/nonexistent"), ONCE, "generate: cannot open /nonexistent");
    expect_failure(ARGS(program), "1 2048", "the model's ids are 0 to 2047");
    expect_failure(ARGS(program), "", "at least 1 is needed");
    model_run_close(run);
    temp_dir_remove(dir);
    free(so);
    free(program);
    free(want);
}

/* Every function of the wrapper, by a program that checks what they do. */
Test(examples, the_wrapper_for_cpp)
{
    if (!aot_has_tool("c++"))
        cr_skip("g++ is not installed");
    char *dir = temp_dir();
    char *so =
        embed_compile(AOT_SMALL, dir, "libmodel.so", ARGS("--emit", "so", "--weights", "embed"));
    char *program =
        embed_build_with("c++", SSMC_ROOT "/tests/data/wrapper.cpp", dir, "wrapper", so);
    CommandResult r = command_run(ARGS(program, dir), NULL, 0);
    cr_expect_eq(r.status, 0, "%s%s", r.out, r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(so);
    free(program);
}

/* ---- Python -------------------------------------------------------------------------------- */

/* "ID LOGIT" of the five greatest of logits [n], greatest first. */
static char *
five_lines(const float *logits, size_t n)
{
    StrBuf text = {0};
    size_t last = n;
    for (int k = 0; k < 5; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            const bool done = last < n && (logits[i] > logits[last] ||
                                           (!(logits[i] < logits[last]) && i <= last));
            if (!done && (best == n || logits[i] > logits[best]))
                best = i;
        }
        sb_printf(&text, "%zu %.9g\n", best, (double)logits[best]);
        last = best;
    }
    return text.text;
}

Test(examples, the_likeliest_in_python)
{
    enum { TOKENS = 5, VOCAB = 2048 };
    if (!aot_has_tool("python3"))
        cr_skip("python3 is not installed");
    char *dir = temp_dir();
    char *so = embed_compile(AOT_STORY, dir, "libmodel.so", ARGS("--emit", "so"));
    char *program = embed_build_with("cc", EMBED_EXAMPLES "logits.c", dir, "logits", so);
    float *logits = embed_logits(ARGS(program), ONCE, TOKENS * VOCAB);
    char *want = five_lines(logits + (TOKENS - 1) * VOCAB, VOCAB);
    /* -S: without the folders where numpy would be */
    for (const char *const *how = ARGS("-B", "-S"); *how; how++) {
        CommandResult r =
            command_run(ARGS("/usr/bin/env", "python3", *how, EMBED_EXAMPLES "likeliest.py", so),
                        ONCE, strlen(ONCE));
        cr_expect_eq(r.status, 0, "%s", r.err);
        cr_expect_str_eq(r.out, want);
        command_free(&r);
    }
    expect_failure(
        ARGS("/usr/bin/env", "python3", EMBED_EXAMPLES "likeliest.py", so, "/nonexistent"), ONCE,
        "likeliest: cannot open /nonexistent");
    temp_dir_remove(dir);
    free(so);
    free(program);
    free(logits);
    free(want);
}
