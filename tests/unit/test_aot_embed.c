/* tests/unit/test_aot_embed.c -- compiled models inside other programs, known by the generated
 * header alone: shared and static libraries, objects, and another architecture under emulation. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "runtime/rt.h"
#include "tests/aot.h"

#define RUNTIME SSMC_LIBRARIES "/" SSMC_ARCH "/libssmc_runtime.a"

typedef struct {
    char *dir, *ids, *out, *exe, *header;
    float *want; /* [T,vocab] of the golden */
    size_t bytes;
} Embed;

/* The first sequence of the golden with many tokens: its ids as int32, and its logits. */
static Embed
embed_new(void)
{
    RtTensorFile *file = NULL;
    Embed e = {.dir = temp_dir()};
    e.ids = path_join(e.dir, "ids");
    e.out = path_join(e.dir, "logits");
    e.exe = path_join(e.dir, "embed");
    e.header = path_join(e.dir, "model.h");
    cr_assert_eq(rt_tensors_open(AOT_IDS, &file), SSMC_OK, "%s", ssmc_error());
    const RtTensor *ids = NULL;
    for (int i = 0; i < rt_tensors_count(file); i++) {
        const RtTensor *t = rt_tensors_at(file, i);
        if (strncmp(t->name, "ids_", 4) == 0 && (!ids || t->dim[1] > ids->dim[1]))
            ids = t;
    }
    cr_assert(ids);
    int32_t narrow[4096];
    const size_t n = (size_t)ids->dim[1];
    cr_assert_lt(n, 4096u);
    for (size_t i = 0; i < n; i++) {
        int64_t id = 0;
        memcpy(&id, (const char *)ids->data + i * 8, 8);
        narrow[i] = (int32_t)id;
    }
    cr_assert(write_whole(e.ids, narrow, n * sizeof *narrow));
    char name[64];
    snprintf(name, sizeof name, "logits_%s", ids->name + 4);
    const RtTensor *logits = rt_tensors_find(file, name);
    cr_assert(logits);
    e.bytes = n * (size_t)logits->dim[2] * sizeof(float);
    e.want = malloc(e.bytes);
    memcpy(e.want, logits->data, e.bytes);
    rt_tensors_close(file);
    return e;
}

static void
embed_end(Embed *e)
{
    temp_dir_remove(e->dir);
    free(e->ids);
    free(e->out);
    free(e->exe);
    free(e->header);
    free(e->want);
}

/* Compiles tests/data/embed.c against the header and a library. */
static void
embed_build(const Embed *e, const char *cc, const char *const *libraries)
{
    char *include = malloc(strlen(e->header) + 32);
    sprintf(include, "-DMODEL_H=\"%s\"", e->header);
    const char *argv[32] = {"/usr/bin/env",
                            cc,
                            "-std=c11",
                            "-Wall",
                            "-Wextra",
                            "-Wpedantic",
                            "-Werror",
                            include,
                            "-DMODEL_COMPILED=mamba2_base_compiled",
                            SSMC_ROOT "/tests/data/embed.c",
                            "-o",
                            e->exe};
    size_t n = 12;
    for (; *libraries; libraries++)
        argv[n++] = *libraries;
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    free(include);
}

/* Runs it; the logits, owned by the caller. */
static float *
embed_run(const Embed *e, const char *const *before)
{
    const char *argv[16] = {"/usr/bin/env"};
    size_t n = 1, len = 0;
    for (; *before; before++)
        argv[n++] = *before;
    argv[n++] = e->exe;
    argv[n++] = e->ids;
    argv[n++] = e->out;
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    char *bytes = read_whole(e->out, &len);
    cr_assert_eq(len, e->bytes);
    return (float *)(void *)bytes;
}

static double
deviation(const Embed *e, const float *got)
{
    double most = 0;
    for (size_t i = 0; i < e->bytes / sizeof(float); i++)
        most = isfinite(got[i]) ? fmax(most, fabs((double)got[i] - e->want[i])) : HUGE_VAL;
    return most;
}

/* The same logits by the JIT; owned by the caller. */
static float *
jit_logits(const Embed *e)
{
    char *out = path_join(e->dir, "jit.safetensors");
    aot_ok(ARGS("logits", AOT_SMALL, "--ids", AOT_IDS, "--out", out));
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(out, &file), SSMC_OK, "%s", ssmc_error());
    const RtTensor *found = NULL;
    for (int i = 0; i < rt_tensors_count(file); i++) {
        const RtTensor *t = rt_tensors_at(file, i);
        if ((size_t)(t->dim[1] * t->dim[2]) * sizeof(float) == e->bytes)
            found = t;
    }
    cr_assert(found);
    float *logits = malloc(e->bytes);
    memcpy(logits, found->data, e->bytes);
    rt_tensors_close(file);
    free(out);
    return logits;
}

Test(aot_embed, every_kind_of_library)
{
    Embed e = embed_new();
    float *want = jit_logits(&e);
    static const char *const kinds[] = {"so", "lib", "obj"};
    for (size_t i = 0; i < 6; i++) {
        const char *kind = kinds[i % 3], *weights = i < 3 ? "embed" : "external";
        const bool object = strcmp(kind, "obj") == 0;
        char *library = aot_compile(AOT_SMALL, e.dir,
                                    object  ? "m.o"
                                    : i % 3 ? "libm0.a"
                                            : "libm0.so",
                                    ARGS("--emit", kind, "--weights", weights, "--header", e.header,
                                         "--set", "name=mamba2-base"));
        embed_build(&e, "cc",
                    object ? ARGS(library, RUNTIME, "-ljson-c", "-lm", "-lpthread")
                           : ARGS(library, "-Wl,-rpath,$ORIGIN", "-ljson-c", "-lm", "-lpthread"));
        float *got = embed_run(&e, ARGS("LC_ALL=C"));
        cr_expect_eq(memcmp(got, want, e.bytes), 0, "--emit %s --weights %s", kind, weights);
        free(got);
        free(library);
    }
    free(want);
    embed_end(&e);
}

/* Two models in one program: each header stands beside the other, and so do the archives. */
Test(aot_embed, two_models_in_one_program)
{
    char *dir = temp_dir(), *source = path_join(dir, "two.c"), *exe = path_join(dir, "two");
    static const char text[] =
        "#include \"a.h\"\n#include \"b.h\"\n#include <stdio.h>\n"
        "int main(void)\n{\n    ssmc_model *a, *b;\n"
        "    if (ssmc_compiled_open(first_compiled(), 0, &a) ||\n"
        "        ssmc_compiled_open(second_2_compiled(), 0, &b))\n"
        "        return 1;\n"
        "    printf(\"%d %d\\n\", (int)(ssmc_model_vocab(a) == FIRST_VOCAB),\n"
        "           (int)(ssmc_model_vocab(b) == SECOND_2_VOCAB));\n    return 0;\n}\n";
    char *ah = path_join(dir, "a.h"), *bh = path_join(dir, "b.h");
    char *a = aot_compile(
        AOT_SMALL, dir, "a.a",
        ARGS("--emit", "lib", "--weights", "embed", "--header", ah, "--set", "name=first"));
    char *b = aot_compile(
        AOT_STORY, dir, "b.a",
        ARGS("--emit", "lib", "--weights", "embed", "--header", bh, "--set", "name=second 2"));
    cr_assert(write_whole(source, text, strlen(text)));
    CommandResult r = aot_tool(ARGS("cc", source, "-o", exe, a, b, "-lm", "-lpthread"));
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    r = command_run(ARGS(exe), NULL, 0);
    cr_expect_str_eq(r.out, "1 1\n");
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
    Embed e = embed_new();
    char *library = aot_compile(AOT_SMALL, e.dir, "libm0.so",
                                ARGS("--emit", "so", "--weights", "embed", "--cpu", CROSS_CPU,
                                     "--header", e.header, "--set", "name=mamba2-base"));
    embed_build(&e, CROSS "-gcc", ARGS(library, "-Wl,-rpath,$ORIGIN"));
    for (const char *const *variant = ARGS("", CROSS_LAST); *variant; variant++) {
        char setting[64];
        snprintf(setting, sizeof setting, "SSMC_VARIANT=%s", *variant);
        float *got = embed_run(&e, ARGS(setting, QEMU, "-L", "/usr/" CROSS));
        const double off = deviation(&e, got);
        cr_expect_leq(off, 2e-4, "%s: off by %g", setting, off);
        free(got);
    }
    embed_end(&e);
    free(runtime);
    free(library);
}

/* Every CPU that can be compiled for says what it asks of a machine: cg_target_needs dies if not.
 */
Test(aot_embed, every_cpu_says_what_it_needs)
{
    static const char *const names[] = {
#define CPU(name, ...) name,
#include "codegen/targets.def"
#undef CPU
        "native"};
    Arena *arena = arena_new();
    CgTarget base, target;
    const char *why = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_assert(cg_target(arena, names[i], &target, &why), "%s", why);
        const uint64_t needs = cg_target_needs(&target);
        cr_expect(target.vector_bytes == 16 || needs != 0, "%s needs nothing", names[i]);
    }
    cr_assert(cg_target(arena, "x86-64-v3", &base, &why));
    cr_assert(cg_target(arena, "x86-64-v4", &target, &why));
    cr_expect_eq(cg_target_needs(&base) & ~cg_target_needs(&target), 0u);
    cr_expect(cg_target_asks_more(&target, &base) && !cg_target_asks_more(&base, &target));
    arena_free(arena);
}
