/* tests/unit/test_ptx_experts.c -- projections of a GPU whose rows have experts, on its model,
 * against the interpreter: experts without rows, with all of them, and with several tiles. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"
#include "tests/kernel_run.h"

enum { ROWS = 40 };

typedef struct {
    const char *product;
    const char *type; /* of x and W */
    int E, top, K, O;
    bool rows; /* x has a row for each choice, else one for each token */
} Case;

static const Case cases[] = {
    {"fma_32x32",  "f32",  1,  1, 1,  1,  false},
    {"fma_32x32",  "f32",  5,  2, 33, 17, false},
    {"fma_32x32",  "f32",  40, 3, 20, 40, true },
    {"fma_64x64",  "f32",  3,  3, 36, 70, true },
    {"mma_16x64",  "bf16", 1,  1, 3,  5,  false},
    {"mma_16x64",  "bf16", 5,  2, 72, 70, false},
    {"mma_16x64",  "bf16", 7,  7, 33, 17, true },
    {"mma_64x128", "bf16", 3,  2, 72, 35, false},
};

static char *
graph_text(const Case *t)
{
    const bool cast = strcmp(t->type, "f32") != 0;
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph \"experts\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
        " weight ft: f32[%d,3] tensor=\"ft\" init=ones\n"
        " weight lt: f32[%d,%d] tensor=\"lt\" init=ones\n"
        " weight u: f32[%d,%d,3] tensor=\"u\" init=ones\n"
        " weight w: %s[%d,%d,%d] tensor=\"w\" init=ones\n"
        " kernel logits { l = embed(ids, lt) }\n"
        " kernel route { e, p = route(l) {top=%d, score=softmax} }\n"
        " kernel tokens { x = embed(ids, xt) }\n",
        ROWS, ROWS, ROWS, t->K, ROWS, ROWS, t->E, t->E, t->K, t->type, t->E, t->O, t->K, t->top);
    if (t->rows)
        sb_puts(&sb, " kernel few { few = embed(ids, ft) }\n"
                     " kernel make { xr = experts(few, e, u) }\n");
    const char *x = t->rows ? "xr" : "x";
    if (cast)
        sb_printf(&sb, " kernel round { xq = cast(%s) {to=%s} }\n", x, t->type);
    sb_printf(&sb,
              " kernel product {product=%s} {\n  y = experts(%s, e, w)\n"
              "  a = silu(y)\n  z = mul(a, p)\n }\n"
              " kernel fold { f = fold(z) {top=%d} }\n"
              " kernel pick { out = take(f, pick) }\n output out\n}\n",
              t->product, cast ? "xq" : x, t->top);
    char *text = strdup(sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* Rows of x that are computed may differ in their last bit where they are rounded to bf16. */
static void
compare(const Case *t)
{
    static const RunCall calls[] = {
        {.nseg = 1, .len = {1}, .vocab = ROWS, .parts = 1},
        {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 1},
        {.nseg = 3, .len = {2, 17, 20}, .slot = {1, 0, 2}, .vocab = ROWS, .parts = 1},
        {.nseg = 1, .len = {ROWS}, .vocab = 1, .parts = 1}, /* the same experts for all */
    };
    const bool rounded = t->rows && strcmp(t->type, "bf16") == 0;
    char *text = graph_text(t);
    KernelRun *run = kernel_run_open(text, "native@model");
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const double off = kernel_run_difference(run, &calls[i]);
        cr_expect(off <= (rounded ? 5e-2 : 2e-5), "call %d: off by %g\n%s", (int)i, off, text);
    }
    kernel_run_close(run);
    free(text);
}

Test(ptx_experts, agree_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        compare(&cases[i]);
}
