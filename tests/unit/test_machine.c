/* tests/unit/test_machine.c -- what is known of a machine from its name or its features. */
#include <criterion/criterion.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/product.h"

#define SERVER                                                                                     \
    "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,"         \
    "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
#define ICE_LAKE                                                                                   \
    SERVER ",+avx512ifma,+avx512vbmi,+avx512vbmi2,+avx512vnni,+avx512bitalg,+avx512vpopcntdq,+"    \
           "gfni"

static Machine
native(const char *cpu, const char *features, const char *triple)
{
    Machine m;
    cr_assert(machine_native(cpu, features, triple, true, &m));
    cr_expect(m.native && m.costs.source);
    return m;
}

Test(machine, a_named_cpu_is_what_its_features_say)
{
    static const struct {
        const char *name;
        int bytes, registers;
        bool fma, bf16, i8;
    } known[] = {
        {"x86-64",         16, 16, false, false, false},
        {"x86-64-v2",      16, 16, false, false, false},
        {"x86-64-v3",      32, 16, true,  false, false},
        {"alderlake",      32, 16, true,  false, true },
        {"x86-64-v4",      64, 32, true,  false, false},
        {"cascadelake",    64, 32, true,  false, true },
        {"sapphirerapids", 64, 32, true,  true,  true },
        {"znver3",         32, 16, true,  false, false},
        {"znver4",         64, 32, true,  true,  true },
        {"generic",        16, 32, true,  false, false},
        {"neoverse-n1",    16, 32, true,  false, false},
        {"neoverse-v1",    16, 32, true,  true,  true },
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        Machine m;
        cr_assert(machine_named(known[i].name, &m), "%s", known[i].name);
        cr_expect_not(m.native);
        cr_expect_eq(m.vector_bytes, known[i].bytes, "%s", m.cpu);
        cr_expect_eq(m.vector_registers, known[i].registers, "%s", m.cpu);
        cr_expect(m.fma == known[i].fma && m.bf16_dot == known[i].bf16 && m.i8_dot == known[i].i8,
                  "%s", m.cpu);
    }
}

Test(machine, features_are_printed_in_lines)
{
    const Machine m =
        native("x86-64", "+sse3,+ssse3,+avx,-avx2,+fma,+avx10.1-256", "x86_64-pc-linux-gnu");
    StrBuf out = {0};
    machine_put_features(&out, &m, 2, 12);
    cr_expect_str_eq(sb_text(&out), "sse3 ssse3\n  avx fma\n  avx10.1-256");
    sb_free(&out);
}

Test(machine, a_cpu_that_llvm_does_not_know_is_the_nearest)
{
    const char *const linux_x86 = "x86_64-pc-linux-gnu";
    cr_expect_str_eq(native("x86-64", SERVER, linux_x86).cpu, "x86-64-v4");
    cr_expect_str_eq(native("znver9", ICE_LAKE ",+avx512bf16,+avxvnni", linux_x86).cpu, "znver5");
    cr_expect_str_eq(native("x86-64", ICE_LAKE ",+avx512bf16,+avx512fp16,+avxvnni", linux_x86).cpu,
                     "sapphirerapids");
    cr_expect_str_eq(native("", "", linux_x86).cpu, "x86-64");
    cr_expect_str_eq(native("graviton9", "+lse,+rdm,+fullfp16,+dotprod", "aarch64-linux-gnu").cpu,
                     "cortex-a76");
    /* A known one keeps its name, whatever a hypervisor hides of it. */
    const Machine hidden = native("znver4", SERVER, linux_x86);
    cr_expect_str_eq(hidden.cpu, "znver4");
    cr_expect(hidden.vector_bytes == 64 && !hidden.bf16_dot && !hidden.i8_dot);
}

Test(machine, a_matrix_unit_is_needed_where_it_is_used)
{
    const Machine with = native("sapphirerapids", SERVER ",+amx-tile,+amx-int8", "x86_64-linux");
    const Machine without = native("sapphirerapids", SERVER, "x86_64-linux");
    cr_expect(with.matrix.kind == MATRIX_amx && with.matrix.i8 && !with.matrix.bf16);
    cr_expect_eq(with.matrix.rows * with.matrix.row_bytes, 1024, "a tile is a KiB");
    cr_expect_eq(without.matrix.kind, MATRIX_none);
    cr_expect_str_eq(machine_lacks(&without, &with), "amx-tile");
    Machine vectors = with;
    cr_assert(machine_matrix(&vectors, "none"));
    cr_expect_null(machine_lacks(&without, &vectors), "vectors alone");
    cr_expect(machine_asks_more(&with, &vectors) && !machine_asks_more(&vectors, &with));
    cr_expect_not(machine_matrix(&vectors, "some"));
}

Test(machine, a_matrix_unit_may_be_refused)
{
    static const char unit[] = SERVER ",+amx-tile,+amx-int8";
    Arena *arena = arena_new();
    Machine m, other;
    cr_assert(machine_native("sapphirerapids", unit, "x86_64-linux", false, &m));
    cr_assert(machine_named("sapphirerapids", &other));
    cr_expect(m.matrix.kind == MATRIX_none && m.vector_bytes == 64);
    cr_expect_str_eq(m.refused, "AMX");
    cr_expect_not_null(machine_note(arena, &m));
    cr_expect_str_eq(machine_lacks(&m, &other), "avx512ifma");
    other.features = m.features | ABI_BIT(amxpermission);
    cr_expect_str_eq(machine_lacks(&m, &other), "amx-permission");
    cr_assert(machine_matrix(&m, "none"));
    cr_expect_null(machine_note(arena, &m), "compile.matrix=none asks for no unit");
    cr_assert(machine_native("znver4", SERVER, "x86_64-linux", false, &m));
    cr_expect_null(machine_note(arena, &m), "there is nothing to refuse");
    arena_free(arena);
}

/* Any CPU has the model, and so has a panel of its columns. */
Test(machine, a_model_of_the_unit_needs_no_feature)
{
    Machine v3, model;
    cr_assert(machine_named("x86-64-v3", &v3) && machine_named("x86-64-v3", &model));
    cr_assert(machine_matrix(&model, "model"));
    cr_expect(model.matrix.model && model.matrix.bf16 && model.matrix.i8);
    cr_expect_null(machine_lacks(&v3, &model));
}

/* Code without the unit beside code with it: no feature of it, the same panels. */
Test(machine, vectors_over_panels_of_the_unit)
{
    Machine with, vectors, none;
    cr_assert(machine_named("sapphirerapids", &with) && machine_named("sapphirerapids", &none));
    cr_assert(machine_matrix(&none, "none"));
    vectors = with;
    machine_vectors(&vectors);
    cr_expect_eq(machine_needs(&vectors), machine_needs(&none));
    cr_expect_neq(machine_needs(&vectors), machine_needs(&with));
    cr_expect(vectors.matrix.kind == MATRIX_none && vectors.panels.kind == MATRIX_amx);
    cr_expect_eq(none.panels.kind, MATRIX_none);
}

Test(machine, what_a_machine_lacks_is_named)
{
    Machine v3, v4, arm;
    cr_assert(machine_named("x86-64-v3", &v3) && machine_named("x86-64-v4", &v4) &&
              machine_named("neoverse-v1", &arm));
    cr_expect_null(machine_lacks(&v4, &v3));
    cr_expect_str_eq(machine_lacks(&v3, &v4), "avx512f");
    cr_expect_str_eq(machine_lacks(&v4, &arm), "its architecture");
    cr_expect(machine_asks_more(&v4, &v3) && !machine_asks_more(&v3, &v4));
    Machine m;
    cr_expect_not(machine_native("x", "", "riscv64-unknown-linux-gnu", true, &m));
    cr_expect_not(machine_named("pdp11", &m));
}

Test(machine, a_gpu_gets_the_code_that_is_best_for_it)
{
    static const struct {
        int capability;
        const char *name;
    } cases[] = {
        {75,  NULL    },
        {80,  "sm_80" },
        {86,  "sm_80" },
        {89,  "sm_80" },
        {90,  "sm_90a"},
        {100, "sm_80" },
        {120, "sm_80" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Machine m = {0};
        const bool found = machine_gpu_found(&m, cases[i].capability);
        cr_expect_eq(found, cases[i].name != NULL, "%d", cases[i].capability);
        if (found && cases[i].name)
            cr_expect_str_eq(m.gpu.name, cases[i].name);
    }
}

/* A tile takes the rows of some of STREAM's blocks, and each block of a cluster stores as many. */
Test(machine, few_rows_have_a_cluster_for_each_tile)
{
    const Product *stream = product_named("stream_32x4");
    Product tile = *product_named("split_64x128x4");
    cr_expect(product_goes_with(stream, &tile));
    tile.rows = 48;
    cr_expect_not(product_goes_with(stream, &tile));
    stream = product_named("stream_16x8");
    tile = *product_named("split_64x128x8");
    cr_expect(product_goes_with(stream, &tile));
    Product narrow = *stream;
    narrow.rows = 4, tile.rows = 20;
    cr_expect_not(product_goes_with(&narrow, &tile));
}
