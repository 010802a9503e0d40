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

/* The lines of the first function named ssmc_KERNEL_, 16 digits and .body; owns. */
static char *
body_of(const char *text, const char *kernel)
{
    enum { DIGITS = 16 };
    char head[64];
    const int len = snprintf(head, sizeof head, "\nssmc_%s_", kernel);
    const char *at = strstr(text, head);
    while (at && strspn(at + len, "0123456789abcdef") != DIGITS)
        at = strstr(at + 1, head);
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

/* The next innermost loop of a function, from *at on: from a label to the jump back to it, with no
 * other label between; owns. *at is behind it then. NULL: there is none. */
static char *
next_loop(const char **at)
{
    const char *label = NULL;
    for (const char *line = *at; line && *line;) {
        const char *end = strchr(line, '\n');
        const size_t len = end ? (size_t)(end - line) : strlen(line);
        const char *jump = memmem(line, len, "\t.LBB", 5);
        if (strncmp(line, ".LBB", 4) == 0)
            label = line;
        *at = end ? end + 1 : line + len;
        const size_t name = label ? strcspn(label, ":") : 0;
        if (label && line[0] == '\t' && jump && strncmp(jump + 1, label, name) == 0)
            return strndup(label, (size_t)(line - label));
        line = *at;
    }
    return NULL;
}

/* The innermost loop of a kernel that has the most of an instruction; owns. */
static char *
busiest_loop(const char *text, const char *kernel, const char *instruction)
{
    char *body = body_of(text, kernel), *best = strdup("");
    const char *at = body;
    for (char *loop; (loop = next_loop(&at)) != NULL;) {
        const bool more = count_lines(loop, instruction, "") > count_lines(best, instruction, "");
        free(more ? best : loop);
        best = more ? loop : best;
    }
    free(body);
    return best;
}

typedef struct {
    const char *cpu, *dtype, *instruction, *vector;
} LoopCase;

/* The loop of in_proj that has the most of the instruction: owns. At least 8 accumulators are fed.
 */
static char *
expect_loop(const LoopCase *c)
{
    char *text = assembly(c->cpu, c->dtype, "layers.0.repeat=1");
    char *loop = busiest_loop(text, "in_proj", c->instruction);
    const int packed = count_lines(loop, c->instruction, c->vector);
    cr_expect_geq(packed, 8, "%s %s: %d %s in the inner loop:\n%s", c->cpu, c->dtype, packed,
                  c->instruction, loop);
    cr_expect_eq(count_lines(loop, "\tcall", ""), 0, "%s %s calls something", c->cpu, c->dtype);
    free(text);
    return loop;
}

Test(assembly, each_format_is_multiplied_by_the_targets_own_instruction)
{
    static const LoopCase cases[] = {
        {"icelake-server", "int8", "vpdpbusd", "%zmm"},
        {"alderlake",      "int8", "vpdpbusd", "%ymm"},
        {"x86-64-v4",      "int8", "vpmaddwd", "%zmm"},
        {"x86-64-v3",      "int8", "vpmaddwd", "%ymm"},
        {"x86-64",         "int8", "pmaddwd",  "%xmm"},
        {"znver4",         "int4", "vpdpbusd", "%zmm"},
        {"x86-64-v3",      "int4", "vpmaddwd", "%ymm"},
        {"neoverse-n2",    "int8", "usdot",    ".16b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        free(expect_loop(&cases[i]));
}

/* Nothing is on the stack, and there is at most one instruction of another kind for each product.
 */
Test(assembly, sums_of_the_inner_loop_stay_in_registers)
{
    static const LoopCase cases[] = {
        {"znver4",    "int8", "vpdpbusd",  "%zmm"},
        {"znver4",    "bf16", "vdpbf16ps", "%zmm"},
        {"znver4",    "f16",  "vfmadd",    "%zmm"},
        {"x86-64-v4", "f32",  "vfmadd",    "%zmm"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const LoopCase *c = &cases[i];
        char *loop = expect_loop(c);
        const int products = count_lines(loop, c->instruction, c->vector);
        const int others = count_lines(loop, "\t", "") - products;
        cr_expect_eq(count_lines(loop, "rsp)", ""), 0, "%s %s:\n%s", c->cpu, c->dtype, loop);
        cr_expect_leq(others, products, "%s %s: %d others:\n%s", c->cpu, c->dtype, others, loop);
        free(loop);
    }
}

/* Lines that move a register into memory. */
static int
count_stores(const char *text)
{
    int count = 0;
    for (const char *at = text; at && *at;) {
        const char *end = strchr(at, '\n');
        const size_t len = end ? (size_t)(end - at) : strlen(at);
        const bool moves = strncmp(at, "\tmov", 4) == 0 || strncmp(at, "\tvmov", 5) == 0 ||
                           strncmp(at, "\ttilestore", 10) == 0;
        count += moves && at[len - 1] == ')';
        at = end ? end + 1 : NULL;
    }
    return count;
}

/* The first run of lines without a label or a jump that has the most of an instruction; owns. */
static char *
busiest_run(const char *text, const char *kernel, const char *instruction)
{
    char *body = body_of(text, kernel), *best = strdup("");
    for (const char *at = body; *at;) {
        const char *end = at;
        while (*end && (end == at || (*end != '.' && strncmp(end, "\tj", 2) != 0)))
            end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
        char *run = strndup(at, (size_t)(end - at));
        const bool more = count_lines(run, instruction, "") > count_lines(best, instruction, "");
        free(more ? best : run);
        best = more ? run : best;
        at = end;
    }
    free(body);
    return best;
}

/* A step on the matrix unit: four products of four loaded tiles, whose sums stay where they are,
 * and no more than addresses and lines asked for beside. */
static void
expect_tiles(const char *text, const char *kernel, const char *product)
{
    char *loop = busiest_run(text, kernel, product), *body = body_of(text, kernel);
    const int asked = count_lines(loop, "\tprefetch", "");
    const int others = count_lines(loop, "\t", "") - 8 - asked;
    cr_expect_eq(count_lines(loop, product, "%tmm"), 4, "%s:\n%s", kernel, loop);
    cr_expect_eq(count_lines(loop, "\ttileload", "%tmm"), 4, "%s:\n%s", kernel, loop);
    cr_expect_eq(count_stores(loop), 0, "%s:\n%s", kernel, loop);
    cr_expect_leq(count_lines(loop, "rsp)", ""), 0, "%s:\n%s", kernel, loop);
    cr_expect_leq(asked, 4, "%s: %d lines asked for:\n%s", kernel, asked, loop);
    cr_expect_leq(others, 14, "%s: %d others:\n%s", kernel, others, loop);
    cr_expect_gt(count_lines(body, "\ttilestored", "%tmm"), 0, "%s", kernel);
    cr_expect_eq(count_lines(body, "\tcall", ""), 0, "%s calls something", kernel);
    free(loop);
    free(body);
}

Test(assembly, tiles_of_the_matrix_unit_stay_in_registers)
{
    static const struct {
        const char *dtype, *product;
    } cases[] = {
        {"bf16", "tdpbf16ps"},
        {"int8", "tdpbsud"  },
        {"int4", "tdpbsud"  },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = assembly("sapphirerapids", cases[i].dtype, "layers.0.repeat=1");
        expect_tiles(text, "in_proj", cases[i].product);
        expect_tiles(text, "out_proj", cases[i].product);
        cr_expect_eq(count_lines(text, "\tldtilecfg", ""), count_lines(text, "\ttilerelease", ""),
                     "%s: what opens the unit closes it", cases[i].dtype);
        free(text);
    }
}

/* Chunks: C B^T is a loop of tile products alone. Y and the state have vectors beside theirs, and
 * two steps each: the first of a block stores the sums of the block before. No other tile is moved:
 * each sum is stored there and after the last block, and each operand loaded once. */
Test(assembly, chunks_on_the_matrix_unit_stay_in_registers)
{
    enum { CB = 4, SUMS = 4, STEPS = 4, OPERANDS = 5 };
    char *text = assembly("sapphirerapids", "bf16", "compile.form=chunked");
    char *body = body_of(text, "ssd");
    const char *at = body;
    int loops = 0;
    for (char *loop; (loop = next_loop(&at)) != NULL; free(loop)) {
        if (count_lines(loop, "tdpbf16ps", "%tmm") == 0)
            continue;
        loops++;
        cr_expect_eq(count_stores(loop), 0, "ssd:\n%s", loop);
        cr_expect_eq(count_lines(loop, "rsp)", ""), 0, "ssd:\n%s", loop);
    }
    cr_expect_eq(loops, 1, "%d loops of tile products", loops);
    cr_expect_eq(count_lines(body, "\ttileloadd", ""), CB + STEPS * OPERANDS);
    cr_expect_eq(count_lines(body, "\ttilestored", ""), CB + STEPS * SUMS);
    cr_expect_eq(count_lines(body, "\ttilezero", ""), CB + STEPS / 2 * SUMS);
    cr_expect_eq(count_lines(body, "\tcall", ""), 0, "ssd calls something");
    free(body);
    free(text);
}

/* Beside the unit a kernel that stores bf16 alone has estimated reciprocals in place of divisions;
 * one that stores f32 has none. */
Test(assembly, what_is_rounded_is_not_divided)
{
    static const struct {
        const char *cpu, *dtype, *kernel;
        bool estimates;
    } cases[] = {
        {"sapphirerapids", "bf16", "in_proj_conv1d", true },
        {"sapphirerapids", "f32",  "conv1d",         false},
        {"znver5",         "bf16", "conv1d",         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = assembly(cases[i].cpu, cases[i].dtype, "layers.0.repeat=1");
        char *body = body_of(text, cases[i].kernel);
        const int estimates = count_lines(body, "\tvrcp14ps", "%zmm");
        cr_expect_eq(estimates > 0, cases[i].estimates, "%s %s", cases[i].cpu, cases[i].dtype);
        cr_expect_eq(count_lines(text, "\tvrcp14ps", "") > 0, cases[i].estimates, "%s %s",
                     cases[i].cpu, cases[i].dtype);
        free(body);
        free(text);
    }
}

/* Nothing of the unit is in code that has no use for it, or is not to use it. */
Test(assembly, code_without_the_matrix_unit_has_no_tiles)
{
    static const char *const cases[][3] = {
        {"sapphirerapids", "f32",  "layers.0.repeat=1"  },
        {"sapphirerapids", "bf16", "compile.matrix=none"},
        {"sapphirerapids", "int8", "compile.matrix=none"},
        {"znver5",         "bf16", "layers.0.repeat=1"  },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = assembly(cases[i][0], cases[i][1], cases[i][2]);
        cr_expect_eq(count_lines(text, "%tmm", "") + count_lines(text, "tilecfg", ""), 0,
                     "%s %s %s", cases[i][0], cases[i][1], cases[i][2]);
        free(text);
    }
}

Test(assembly, f16_weights_are_widened_by_the_cpu)
{
    static const LoopCase cases[] = {
        {"znver4",    "f16", "vfmadd", "%zmm"},
        {"x86-64-v3", "f16", "vfmadd", "%ymm"}
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *loop = expect_loop(&cases[i]);
        cr_expect_gt(count_lines(loop, "vcvtph2ps", cases[i].vector), 0, "%s:\n%s", cases[i].cpu,
                     loop);
        free(loop);
    }
}

/* Bytes keep up with memory without. */
Test(assembly, narrow_tiles_of_halves_prefetch)
{
    static const char *const dtypes[] = {"int8", "int4"};
    for (int i = 0; i < 2; i++) {
        char *text = assembly("znver4", dtypes[i], "layers.0.repeat=1");
        char *body = body_of(text, "in_proj");
        const int prefetches = count_lines(body, "\tprefetch", "");
        cr_expect(i ? prefetches > 0 : prefetches == 0, "%s: %d", dtypes[i], prefetches);
        free(body);
        free(text);
    }
}

/* The loop of the convolution and its SiLU: powers of two are applied by one instruction. */
Test(assembly, silu_scales_by_one_instruction)
{
    char *text = assembly("x86-64-v4", "f32", "layers.0.repeat=1");
    char *loop = busiest_loop(text, "conv1d", "vfmadd");
    cr_expect_eq(count_lines(loop, "vscalefps", "%zmm"), 1, "%s", loop);
    cr_expect_leq(count_lines(loop, "\t", ""), 48, "%s", loop);
    free(loop);
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
