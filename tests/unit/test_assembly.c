/* tests/unit/test_assembly.c -- the shape of generated code: what must be packed is packed, kernels
 * call nothing, and equal layers share their functions. Cross-compiled, so that any machine can
 * check it. */
#define _GNU_SOURCE /* memmem */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"

#define MODEL_130M SSMC_ROOT "/examples/mamba2-130m.yaml"

static char *
assembly(const char *cpu, const char *dtype, const char *set)
{
    const char *argv[] = {SSMC_BINARY, "compile", MODEL_130M, "--emit", "asm", "--cpu",
                          cpu,         "--dtype", dtype,      "--set",  set,   NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s %s: %s", cpu, dtype, r.err);
    char *text = strdup(r.out);
    command_free(&r);
    return text;
}

/* The lines of the first function whose name begins with ssmc_KERNEL_ and ends in .body; owns. */
static char *
body_of(const char *text, const char *kernel)
{
    char head[64];
    snprintf(head, sizeof head, "\nssmc_%s_", kernel);
    const char *at = strstr(text, head);
    cr_assert(at, "no function of kernel %s", kernel);
    const char *line_end = strchr(at + 1, '\n');
    cr_assert(memmem(at, (size_t)(line_end - at), ".body:", 6), "%s: its body comes first", kernel);
    const char *end = strstr(line_end, "\n.Lfunc_end");
    cr_assert(end);
    return strndup(line_end, (size_t)(end - line_end));
}

/* Lines that hold both words. */
static int
count_lines(const char *text, const char *word, const char *also)
{
    int count = 0;
    for (const char *at = text; at && *at;) {
        const char *end = strchr(at, '\n');
        const size_t len = end ? (size_t)(end - at) : strlen(at);
        if (memmem(at, len, word, strlen(word)) && memmem(at, len, also, strlen(also)))
            count++;
        at = end ? end + 1 : NULL;
    }
    return count;
}

static void
expect_packed(const char *text, const char *kernel, const char *instruction, const char *vector)
{
    char *body = body_of(text, kernel);
    const int packed = count_lines(body, instruction, vector);
    cr_expect_geq(packed, 24, "%s: %d packed %s on %s", kernel, packed, instruction, vector);
    cr_expect_eq(count_lines(body, "\tcall", ""), 0, "%s calls something", kernel);
    free(body);
}

/* Loops that multiply keep their sums in registers: none of their vectors is on the stack. */
static void
expect_no_spills(const char *text, const char *kernel, const char *instruction, int least)
{
    char *body = body_of(text, kernel);
    int loops = 0;
    for (char *block = strtok(body, "."), *next = NULL; block; block = next) {
        next = strtok(NULL, ".");
        if (count_lines(block, instruction, "%zmm") < 12)
            continue;
        loops++;
        cr_expect_eq(count_lines(block, "%zmm", "(%rsp)"), 0, "%s spills", kernel);
    }
    cr_expect_geq(loops, least, "%s: %d blocks with %s", kernel, loops, instruction);
    free(body);
}

Test(assembly, avx512_inner_loops_are_packed_fma_without_calls)
{
    char *text = assembly("x86-64-v4", "f32", "compile.block=512");
    for (const char *const *k =
             (const char *const[]){"in_proj", "out_proj", "ssd", "lm_head", NULL};
         *k; k++)
        expect_packed(text, *k, "vfmadd", "%zmm");
    expect_no_spills(text, "ssd", "vfmadd", 1);
    free(text);
}

Test(assembly, avx512_chunks_of_f32_are_packed_fma_without_calls)
{
    char *text = assembly("x86-64-v4", "f32", "compile.form=chunked");
    expect_packed(text, "ssd", "vfmadd", "%zmm");
    expect_no_spills(text, "ssd", "vfmadd", 4);
    free(text);
}

Test(assembly, avx2_inner_loops_are_packed_fma_without_calls)
{
    char *text = assembly("x86-64-v3", "f32", "compile.block=512");
    for (const char *const *k = (const char *const[]){"in_proj", "out_proj", "ssd", NULL}; *k; k++)
        expect_packed(text, *k, "vfmadd", "%ymm");
    free(text);
}

Test(assembly, bf16_products_use_the_dot_instruction)
{
    char *text = assembly("znver4", "bf16", "compile.block=512");
    for (const char *const *k = (const char *const[]){"in_proj", "out_proj", NULL}; *k; k++)
        expect_packed(text, *k, "vdpbf16ps", "%zmm");
    char *ssd = body_of(text, "ssd"); /* C B^T in a tile of 12, C h, M X and B^T X in tiles of 24 */
    cr_expect_geq(count_lines(ssd, "vdpbf16ps", "%zmm"), 12 + 3 * 24);
    cr_expect_eq(count_lines(ssd, "\tcall", ""), 0, "ssd calls something");
    free(ssd);
    expect_no_spills(text, "ssd", "vdpbf16ps", 4);
    free(text);
}

Test(assembly, aarch64_inner_loops_are_packed_fma)
{
    char *text = assembly("neoverse-v1", "f32", "compile.block=512");
    for (const char *const *k = (const char *const[]){"in_proj", "ssd", NULL}; *k; k++) {
        char *body = body_of(text, *k);
        cr_expect_geq(count_lines(body, "\tfmla\t", ""), 24, "%s: packed fmla", *k);
        free(body);
    }
    free(text);
}

/* Function labels, the same for a model of any number of equal layers. */
Test(assembly, code_does_not_grow_with_layers)
{
    char *few = assembly("x86-64-v3", "f32", "layers.0.repeat=2");
    char *many = assembly("x86-64-v3", "f32", "layers.0.repeat=64");
    const int functions = count_lines(few, "@function", "ssmc_");
    cr_expect_gt(functions, 10);
    cr_expect_eq(count_lines(many, "@function", "ssmc_"), functions);
    free(few);
    free(many);
}
