/* tests/unit/test_goldens.c -- published implementations' logits against ours, through the command.
 * Goldens: float32 logits of transformers on a CPU; D/golden.safetensors has ids_K and logits_K. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/rt.h"
#include "tests/aot.h"
#include "tests/golden.h"

typedef struct {
    char model[64];  /* below the project's root */
    char golden[64]; /* directory of golden.safetensors */
    char option[16], value[32];
} Case;

static const char *const golden_names[] = {"mamba2-base", "mamba2-groups", "mamba2-oddstate",
                                           "mamba2-bias", "mamba-base",    "falcon_mamba-base"};
static const char *const settings[][2] = {
    {"--mode",    "prefill"           },
    {"--mode",    "step"              },
    {"--mode",    "split"             },
    {"--chunk",   "1"                 },
    {"--chunk",   "7"                 },
    {"--chunk",   "16"                },
    {"--chunk",   "24"                },
    {"--chunk",   "32"                },
    {"--chunk",   "50"                },
    {"--chunk",   "64"                },
    {"--chunk",   "100"               },
    {"--chunk",   "128"               },
    {"--chunk",   "256"               },
    {"--chunk",   "all"               },
    {"--form",    "recurrent"         },
    {"--form",    "quadratic"         },
    {"--matmul",  "blas"              },
    {"--threads", "3"                 },
    {"--cpu",     "x86-64"            },
    {"--set",     "compile.block=48"  },
    {"--set",     "compile.dot=bf16x3"},
};
enum { GOLDENS = 6, WITH_SSD = 4, SETTINGS = sizeof settings / sizeof settings[0] };

ParameterizedTestParameters(goldens, logits)
{
    static Case cases[(GOLDENS + 1) * SETTINGS];
    size_t n = 0;
    for (size_t s = 0; s < SETTINGS; s++) {
        for (size_t g = 0; g <= GOLDENS; g++) {
            Case *c = &cases[n];
            const bool storyteller = g == GOLDENS;
            if (storyteller && s > 2)
                continue; /* the large model: the modes only */
            const bool of_ssd =
                !strcmp(settings[s][0], "--chunk") || !strcmp(settings[s][0], "--form");
            if (g >= WITH_SSD && of_ssd)
                continue; /* a selective scan has one form */
            if (!thorough() && g != s % (of_ssd ? WITH_SSD : GOLDENS) && !storyteller)
                continue; /* each setting, of one model */
            const char *name = storyteller ? "storyteller" : golden_names[g];
            const char *folder = storyteller ? "examples" : "tests/goldens";
            snprintf(c->model, sizeof c->model, "%s/%s", folder, name);
            snprintf(c->golden, sizeof c->golden, "tests/goldens/%s", name);
            snprintf(c->option, sizeof c->option, "%s", settings[s][0]);
            snprintf(c->value, sizeof c->value, "%s", settings[s][1]);
            n++;
        }
    }
    return cr_make_param_array(Case, cases, n);
}

static bool
cpu_is_foreign(const Case *c)
{
#if defined(__x86_64__)
    (void)c;
    return false;
#else
    return strcmp(c->option, "--cpu") == 0;
#endif
}

ParameterizedTest(Case *c, goldens, logits)
{
    if (cpu_is_foreign(c))
        cr_skip("--cpu %s does not run here", c->value);
    char *model = path_join(SSMC_ROOT, c->model), *dir = path_join(SSMC_ROOT, c->golden);
    char *golden = path_join(dir, "golden.safetensors");
    free(golden_check(model, golden, ARGS("--dtype", "f32", c->option, c->value), GOLDEN_F32));
    free(model);
    free(dir);
    free(golden);
}

/* Where the machine has no unit, C functions in its place tell how far bf16 triples are off. */
Test(goldens, triples_of_the_model)
{
    char *err = golden_check(
        AOT_SMALL, AOT_IDS,
        ARGS("--dtype", "f32", "--set", "compile.dot=bf16x3", "--set", "compile.matrix=model"),
        GOLDEN_F32);
    cr_expect_str_eq(err, "");
    free(err);
}

/* ids as one line of numbers. */
static char *
ids_line(const char *file, const char *tensor)
{
    RtTensorFile *f = NULL;
    cr_assert_eq(rt_tensors_open(file, &f), SSMC_OK, "%s", ssmc_error());
    const RtTensor *t = rt_tensors_find(f, tensor);
    cr_assert(t && strcmp(t->dtype, "I64") == 0);
    const size_t n = t->bytes / 8;
    char *line = calloc(n + 1, 24);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t id = 0;
        memcpy(&id, (const char *)t->data + i * 8, 8);
        at += (size_t)snprintf(line + at, 24, "%s%lld", i ? " " : "", (long long)id);
    }
    rt_tensors_close(f);
    return line;
}

Test(goldens, storyteller_greedy_text)
{
    const char *model = SSMC_ROOT "/examples/storyteller.yaml";
    const char *file = SSMC_ROOT "/tests/goldens/storyteller/golden.safetensors";
    char *prompt_ids = ids_line(file, "greedy_prompt"), *want_ids = ids_line(file, "greedy_ids");
    const char *to_text[] = {SSMC_BINARY, "tokenize", model, "--decode", NULL};
    CommandResult prompt = command_run(to_text, prompt_ids, strlen(prompt_ids));
    CommandResult want = command_run(to_text, want_ids, strlen(want_ids));
    cr_assert_eq(prompt.status, 0, "%s", prompt.err);
    const char *run[] = {SSMC_BINARY, "run",      model,     "-p",  prompt.out, "-n",
                         "64",        "--greedy", "--dtype", "f32", NULL};
    CommandResult got = command_run(run, NULL, 0);
    cr_assert_eq(got.status, 0, "%s", got.err);
    cr_assert_str_eq(got.out, want.out);
    const char *to_ids[] = {SSMC_BINARY, "tokenize", model, NULL};
    CommandResult ids = command_run(to_ids, got.out, got.out_len);
    strcat(want_ids, "\n"); /* ids_line leaves room */
    cr_assert_str_eq(ids.out, want_ids);
    command_free(&prompt);
    command_free(&want);
    command_free(&got);
    command_free(&ids);
    free(prompt_ids);
    free(want_ids);
}
