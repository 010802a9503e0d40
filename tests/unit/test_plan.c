/* tests/unit/test_plan.c -- what a layer of mamba2-130m costs in each format: kernels, values that
 * go through memory between them, and their bytes a token. Shape, not time: it is the same on any
 * machine, and a fusion that is lost fails here. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"
#include "tests/harness.h"

#define MODEL_130M SSMC_ROOT "/examples/mamba2-130m.yaml"

typedef struct {
    int kernels; /* that run for every token */
    int values;  /* that one kernel stores and another reads */
    int64_t bytes;
    int params; /* kernels that run once */
} Cost;

static char *
plan_text(const char *dtype, const char *entry, const char *layers)
{
    const char *argv[] = {SSMC_BINARY, "compile", MODEL_130M, "--emit", "plan",  "--entry", entry,
                          "--cpu",     "znver4",  "--dtype",  dtype,    "--set", layers,    NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s %s: %s", dtype, entry, r.err);
    char *text = strdup(r.out);
    command_free(&r);
    return text;
}

static Cost
plan_cost(const char *dtype, const char *entry, const char *layers)
{
    char *text = plan_text(dtype, entry, layers);
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {"plan.ir", text, strlen(text)};
    const Graph *g = graph_parse(arena, &source, diag);
    cr_assert(g);
    Cost cost = {0};
    for (const Node *n = g->first; n; n = n->next)
        if (n->kernel && (!n->prev || n->prev->kernel != n->kernel))
            *(n->out[0]->is_param ? &cost.params : &cost.kernels) += 1;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++) {
            const Value *v = n->out[i];
            if (!n->kernel || v->place.space != SPACE_SLAB)
                continue;
            cost.values++;
            cost.bytes += type_width(&v->type) * dtype_info[v->type.dtype].bytes;
        }
    diag_free(diag);
    arena_free(arena);
    free(text);
    return cost;
}

/* Of one layer more: what a model has once cancels out. */
static Cost
layer_cost(const char *dtype, const char *entry)
{
    const Cost two = plan_cost(dtype, entry, "layers.0.repeat=2");
    const Cost three = plan_cost(dtype, entry, "layers.0.repeat=3");
    return (Cost){three.kernels - two.kernels, three.values - two.values, three.bytes - two.bytes,
                  three.params - two.params};
}

typedef struct {
    const char *dtype;
    Cost layer;
} Row;

/* Kernels: norm, in_proj, dt, conv1d, ssd, gate_norm, out_proj. Values as floats: one of
 * each, of widths 768, 3352, 24, 1792, 1536, 1536 and 768; the two that a projection reads are bf16
 * there. As integers these two are rows of bytes with a scale each, and the first is there in
 * bf16 as well, for the 24 precise columns that dt's kernel then multiplies itself. Parameters:
 * in_proj, the turned conv1d weight, A, out_proj; and the precise rows of in_proj. */
static const Row rows[] = {
    {"f32",  {.kernels = 7, .values = 7, .bytes = 39104, .params = 4} },
    {"f16",  {.kernels = 7, .values = 7, .bytes = 39104, .params = 4} },
    {"bf16", {.kernels = 7, .values = 7, .bytes = 34496, .params = 4} },
    {"int8", {.kernels = 7, .values = 10, .bytes = 33640, .params = 5}},
    {"int4", {.kernels = 7, .values = 10, .bytes = 33640, .params = 5}},
};

Test(plan, a_layer_has_no_kernel_and_no_value_too_many)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int decode = 0; decode < 2; decode++) {
            const Cost got = layer_cost(rows[i].dtype, decode ? "decode" : "prefill");
            const Cost *want = &rows[i].layer;
            const char *entry = decode ? "decode" : "prefill";
            cr_expect_eq(got.kernels, want->kernels, "%s %s: %d kernels", rows[i].dtype, entry,
                         got.kernels);
            cr_expect_eq(got.values, want->values, "%s %s: %d values", rows[i].dtype, entry,
                         got.values);
            cr_expect_eq(got.bytes, want->bytes, "%s %s: %lld bytes a token", rows[i].dtype, entry,
                         (long long)got.bytes);
            cr_expect_eq(got.params, want->params, "%s %s: %d kernels of parameters", rows[i].dtype,
                         entry, got.params);
        }
}
