/* tests/unit/test_families.c -- checkpoints of every family against the logits that transformers
 * computes for them: the graph that is imported, interpreted in float64. The goldens lie beside the
 * project (../shared/goldens); where they are not, there is nothing to compare. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "tests/harness.h"

#define GOLDENS SSMC_ROOT "/../shared/goldens"

static const char *const names[] = {
    "llama-base",           "granitemoehybrid-base", "bamba-base",    "nemotron_h-base",
    "falcon_h1-base",       "falcon_h1-multipliers", "gpt_neox-base", "zamba2-base",
    "granitemoehybrid-moe", "nemotron_h-moe",        "jamba-base",    "qwen3_5_text-base",
    "qwen3_next-base",      "olmo_hybrid-base",      "lfm2-base",     "minimax-lightning"};

typedef struct {
    char name[40];
} Case;

ParameterizedTestParameters(families, logits)
{
    static Case cases[COUNT_OF(names)];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        snprintf(cases[i].name, sizeof cases[i].name, "%s", names[i]);
    return cr_make_param_array(Case, cases, COUNT_OF(names));
}

static void
told(void *user, Told kind, const char *text)
{
    (void)user;
    if (kind != TOLD_notes && kind != TOLD_note)
        fprintf(stderr, "%s\n", text);
}

static const Listener listener = {.tell = told};

/* One row of ids and its logits: all tokens at once, or in two calls. */
static void
compare_row(const Job *job, const Case *c, const int64_t *ids, const float *want, int64_t tokens,
            int64_t first)
{
    const WeightSource source = weight_source(job->weights);
    const int64_t vocab = job->fe.graph->outputs[0]->type.shape.dim[1].n;
    Interp *interp = interp_new(job->fe.graph, &source);
    int32_t *row = malloc((size_t)tokens * sizeof *row),
            *pick = malloc((size_t)tokens * sizeof *pick);
    double *out = malloc((size_t)(tokens * vocab) * sizeof *out), sum = 0, squares = 0, most = 0;
    const char *why = NULL;
    for (int64_t t = 0; t < tokens; t++) {
        row[t] = (int32_t)ids[t];
        pick[t] = (int32_t)(t < first ? t : t - first);
    }
    cr_assert(interp_run(interp, row, first, pick, first, out, &why), "%s: %s", c->name, why);
    if (first < tokens)
        cr_assert(interp_run(interp, row + first, tokens - first, pick + first, tokens - first,
                             out + first * vocab, &why),
                  "%s: %s", c->name, why);
    for (int64_t i = 0; i < tokens * vocab; i++) {
        sum += (double)want[i];
        squares += (double)want[i] * (double)want[i];
        most = fmax(most, fabs(out[i] - (double)want[i]));
    }
    const double n = (double)(tokens * vocab), mean = sum / n;
    const double off = most / fmax(1, sqrt(squares / n - mean * mean));
    cr_expect(off <= 2e-4, "%s, calls of %lld and the rest: off by %g", c->name, (long long)first,
              off);
    interp_free(interp);
    free(row);
    free(pick);
    free(out);
}

/* What import prints of it is the same model. */
static void
import_reads_back(Arena *arena, const char *dir, const Graph *direct)
{
    StrBuf yaml = {0}, texts[2] = {{0}, {0}};
    FeModel again, imported;
    Diag *diag = diag_new();
    cr_assert(fe_import(arena, dir, NULL, diag, &yaml, &imported), "%s", dir);
    cr_assert(
        fe_model_parse(arena, yaml.text, yaml.len, "/elsewhere/x.yaml", NULL, 0, diag, &again),
        "%s:\n%s", dir, sb_text(&yaml));
    graph_print(&texts[0], imported.graph);
    graph_print(&texts[1], again.graph);
    cr_expect_str_eq(sb_text(&texts[0]), sb_text(&texts[1]));
    cr_expect_eq(direct->nweights, again.graph->nweights);
    for (int i = 0; i < 2; i++)
        sb_free(&texts[i]);
    sb_free(&yaml);
    diag_free(diag);
}

ParameterizedTest(Case *c, families, logits)
{
    Arena *arena = arena_new();
    const char *dir = arena_printf(arena, "%s/%s", GOLDENS, c->name);
    if (access(dir, R_OK) != 0)
        cr_skip("there is no %s", dir);
    Job job = {0};
    RtTensorFile *golden = NULL;
    const Settings settings = settings_new(dir, &listener);
    cr_assert_eq(job_describe(&job, arena, &settings), EXIT_DONE, "%s", c->name);
    import_reads_back(arena, dir, job.fe.graph);
    cr_assert_eq(job_weights(&job, true), EXIT_DONE, "%s", c->name);
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/golden.safetensors", dir), &golden),
                 SSMC_OK);
    const RtTensor *ids = rt_tensors_find(golden, "ids_2"),
                   *logits = rt_tensors_find(golden, "logits_2");
    cr_assert(ids && logits && ids->rank == 2);
    const int64_t tokens = ids->dim[1];
    int64_t *row = malloc(ids->bytes);
    float *want = malloc(logits->bytes);
    memcpy(row, ids->data, ids->bytes);
    memcpy(want, logits->data, logits->bytes);
    compare_row(&job, c, row, want, tokens, tokens);
    compare_row(&job, c, row, want, tokens, tokens / 3 + 1);
    free(row);
    free(want);
    rt_tensors_close(golden);
    job_end(&job);
    arena_free(arena);
}
