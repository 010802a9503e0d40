/* tests/unit/test_aot_embed.c -- compiled models inside other programs, known by the generated
 * header alone: shared and static libraries, objects, and another architecture under emulation. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "tests/embed.h"

#define RUNTIME SSMC_LIBRARIES "/" SSMC_ARCH "/libssmc_runtime.a"
#define SOURCE  EMBED_EXAMPLES "logits.c"

Test(aot_embed, every_kind_of_library)
{
    char *dir = temp_dir(), *want = path_join(dir, "jit.safetensors");
    aot_ok(ARGS("logits", AOT_SMALL, "--ids", AOT_IDS, "--out", want));
    static const char *const kinds[] = {"so", "lib", "obj"}, *const files[] = {"m.so", "m.a",
                                                                               "m.o"};
    for (size_t i = 0; i < 6; i++) {
        const char *kind = kinds[i % 3], *weights = i < 3 ? "embed" : "external";
        char *library =
            embed_compile(AOT_SMALL, dir, files[i % 3], ARGS("--emit", kind, "--weights", weights));
        char *program =
            embed_build("cc", SOURCE, dir, "logits",
                        strcmp(kind, "obj") == 0
                            ? ARGS(library, RUNTIME, "-ljson-c", "-lm", "-lpthread")
                            : ARGS(library, "-Wl,-rpath,$ORIGIN", "-ljson-c", "-lm", "-lpthread"));
        const EmbedMatch m = embed_match(ARGS(program), AOT_IDS, want);
        cr_expect(m.count > 10000 && m.others == 0, "--emit %s --weights %s: %zu of %zu differ",
                  kind, weights, m.others, m.count);
        free(library);
        free(program);
    }
    temp_dir_remove(dir);
    free(want);
}

/* Weights are made by code of this CPU and by nothing of the GPU's: neither layers nor what chooses
 * ids. */
Test(aot_embed, products_for_gpus)
{
    static const char *const devices[] = {"sm_80", "sm_90a"};
    char *dir = temp_dir();
    for (size_t i = 0; i < COUNT_OF(devices); i++)
        for (int embed = 0; embed < 2; embed++) {
            char *library = aot_compile(AOT_STORY, dir, "gpu.so",
                                        ARGS("--emit", "so", "--device", devices[i], "--weights",
                                             embed ? "embed" : "external"));
            free(library);
        }
    temp_dir_remove(dir);
}

/* Two models in one program: each header stands beside the other, and so do the archives. The
 * constants say what the functions do. */
Test(aot_embed, two_models_in_one_program)
{
    char *dir = temp_dir(), *source = path_join(dir, "two.c"), *exe = path_join(dir, "two");
    static const char text[] =
        "#include \"a.h\"\n#include \"b.h\"\n#include <stdio.h>\n"
        "static const int32_t ends[] = FIRST_EOS, none[] = SECOND_2_EOS;\n"
        "int main(void)\n{\n    ssmc_model *a, *b;\n"
        "    size_t n, m;\n"
        "    const int32_t *ids = ssmc_compiled_eos(first_compiled(), &n);\n"
        "    ssmc_compiled_eos(second_2_compiled(), &m);\n"
        "    if (ssmc_compiled_open(first_compiled(), 0, &a) ||\n"
        "        ssmc_compiled_open(second_2_compiled(), 0, &b))\n"
        "        return 1;\n"
        "    printf(\"%d %d\\n\", (int)(ssmc_model_vocab(a) == FIRST_VOCAB),\n"
        "           (int)(ssmc_model_vocab(b) == SECOND_2_VOCAB));\n"
        "    printf(\"%d %d %d %d\\n\", (int)n, (int)ids[0], (int)ids[1], (int)m);\n"
        "    printf(\"%d %d %d %d\\n\", FIRST_EOS_COUNT, (int)ends[0], (int)ends[1],\n"
        "           SECOND_2_EOS_COUNT + (int)(sizeof none / sizeof *none) - 1);\n"
        "    return 0;\n}\n";
    char *ah = path_join(dir, "a.h"), *bh = path_join(dir, "b.h");
    char *a = aot_compile(AOT_SMALL, dir, "a.a",
                          ARGS("--emit", "lib", "--weights", "embed", "--header", ah, "--set",
                               "name=first", "--set", "eos=[7, 2]"));
    char *b = aot_compile(AOT_STORY, dir, "b.a",
                          ARGS("--emit", "lib", "--weights", "embed", "--header", bh, "--set",
                               "name=second 2", "--set", "eos=none"));
    cr_assert(write_whole(source, text, strlen(text)));
    CommandResult r = aot_tool(ARGS("cc", source, "-o", exe, a, b, "-lm", "-lpthread"));
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    r = command_run(ARGS(exe), NULL, 0);
    cr_expect_str_eq(r.out, "1 1\n2 7 2 0\n2 7 2 0\n");
    command_free(&r);
    temp_dir_remove(dir);
    free(source);
    free(exe);
    free(ah);
    free(bh);
    free(a);
    free(b);
}

#if defined(__x86_64__)
#define CROSS      "aarch64-linux-gnu"
#define CROSS_ARCH "aarch64"
#define CROSS_CPU  "neoverse-v1,cortex-a72"
#define CROSS_LAST "cortex-a72"
#define QEMU       "qemu-aarch64"
#else
#define CROSS      "x86_64-linux-gnu"
#define CROSS_ARCH "x86_64"
#define CROSS_CPU  "x86-64-v3,x86-64"
#define CROSS_LAST "x86-64"
#define QEMU       "qemu-x86_64"
#endif

Test(aot_embed, another_architecture)
{
    char *runtime = read_whole(SSMC_LIBRARIES "/" CROSS_ARCH "/libssmc_runtime.a", NULL);
    if (!runtime || !aot_has_tool(CROSS "-gcc") || !aot_has_tool(QEMU))
        cr_skip("gcc-" CROSS " and qemu-user are not installed");
    char *dir = temp_dir();
    char *library = embed_compile(AOT_SMALL, dir, "libm0.so",
                                  ARGS("--emit", "so", "--weights", "embed", "--cpu", CROSS_CPU));
    char *program =
        embed_build(CROSS "-gcc", SOURCE, dir, "logits", ARGS(library, "-Wl,-rpath,$ORIGIN"));
    for (const char *const *variant = ARGS("", CROSS_LAST); *variant; variant++) {
        char setting[64];
        snprintf(setting, sizeof setting, "SSMC_VARIANT=%s", *variant);
        const EmbedMatch m = embed_match(
            ARGS("/usr/bin/env", setting, QEMU, "-L", "/usr/" CROSS, program), AOT_IDS, AOT_IDS);
        cr_expect(m.count > 10000 && m.most <= 2e-4, "%s: off by %g", setting, m.most);
    }
    temp_dir_remove(dir);
    free(program);
    free(runtime);
    free(library);
}

/* The program beside `library`, built by `compiler` and run by what comes first in `run`. */
static void
expect_own_mode(const char *compiler, const char *dir, const char *library, const char *const *run)
{
    char *program =
        embed_build(compiler, SSMC_ROOT "/tests/data/mode.c", dir, "mode",
                    ARGS(library, "-I", SSMC_ROOT, "-Wl,-rpath,$ORIGIN", "-lm", "-lpthread"));
    const char *argv[8];
    int n = 0;
    for (; run[n]; n++)
        argv[n] = run[n];
    argv[n++] = program;
    argv[n] = NULL;
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect(r.status == 0 && strcmp(r.out, "1 1\n") == 0, "%s: status %d: %s%s", compiler,
              r.status, r.out, r.err);
    command_free(&r);
    free(program);
}

Test(aot_embed, programs_keep_their_mode_of_arithmetic)
{
    char *dir = temp_dir();
    char *library = embed_compile(AOT_SMALL, dir, "libm0.so", ARGS("--emit", "so"));
    expect_own_mode("cc", dir, library, ARGS(NULL));
    temp_dir_remove(dir);
    free(library);
}

Test(aot_embed, programs_of_another_architecture_keep_theirs)
{
    char *runtime = read_whole(SSMC_LIBRARIES "/" CROSS_ARCH "/libssmc_runtime.a", NULL);
    if (!runtime || !aot_has_tool(CROSS "-gcc") || !aot_has_tool(QEMU))
        cr_skip("gcc-" CROSS " and qemu-user are not installed");
    char *dir = temp_dir();
    char *library = embed_compile(AOT_SMALL, dir, "libm0.so",
                                  ARGS("--emit", "so", "--weights", "embed", "--cpu", CROSS_LAST));
    expect_own_mode(CROSS "-gcc", dir, library, ARGS("/usr/bin/env", QEMU, "-L", "/usr/" CROSS));
    temp_dir_remove(dir);
    free(library);
    free(runtime);
}

/* Every CPU that can be compiled for says what it asks of a machine. */
Test(aot_embed, every_cpu_says_what_it_needs)
{
    static const char *const names[] = {
#define CPU(name, ...) name,
#include "machine/cpus.def"
#undef CPU
        "native"};
    Arena *arena = arena_new();
    Machine base, target;
    const char *why = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_assert(cg_machine(arena, names[i], &target, &why), "%s", why);
        const uint64_t needs = target.features;
        cr_expect(target.vector_bytes == 16 || needs != 0, "%s needs nothing", names[i]);
    }
    cr_assert(cg_machine(arena, "x86-64-v3", &base, &why));
    cr_assert(cg_machine(arena, "x86-64-v4", &target, &why));
    cr_expect_eq(base.features & ~target.features, 0u);
    cr_expect(machine_asks_more(&target, &base) && !machine_asks_more(&base, &target));
    arena_free(arena);
}
