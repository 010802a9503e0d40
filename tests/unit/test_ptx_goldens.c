/* tests/unit/test_ptx_goldens.c -- whole models on a GPU, as far as can be said without one: PTX of
 * every golden, which ptxas accepts where it is installed; and a few short goldens through the
 * runtime on the model of a GPU. tests/device.sh does more, on a GPU. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/codegen.h"
#include "ir/util.h"
#include "runtime/rt.h"
#include "tests/aot.h"
#include "tests/golden.h"

static const struct {
    char folder[24], name[32];
} models[] = {
#define GOLDEN(folder, name, bf16, int8) {folder, name},
#include "tests/goldens.def"
};

static const char *const targets[][2] = {
    {"sm_80",  "f32" },
    {"sm_90a", "bf16"},
};

typedef struct {
    size_t model, target;
} Case;

ParameterizedTestParameters(ptx_goldens, are_compiled)
{
    static Case cases[COUNT_OF(models) * COUNT_OF(targets)];
    size_t n = 0;
    for (size_t model = 0; model < COUNT_OF(models); model++)
        for (size_t t = 0; t < COUNT_OF(targets); t++)
            if (thorough() || t == model % COUNT_OF(targets))
                cases[n++] = (Case){model, t};
    return cr_make_param_array(Case, cases, n);
}

/* Where there is no ptxas, the text alone was made. */
static void
expect_assembled(const char *text, const char *target, const char *name)
{
    if (!aot_has_tool("ptxas"))
        return;
    char *dir = temp_dir(), *from = path_join(dir, "m.ptx"), *to = path_join(dir, "m.cubin");
    char arch[32];
    snprintf(arch, sizeof arch, "-arch=%s", target);
    cr_assert(write_whole(from, text, strlen(text)));
    CommandResult r = aot_tool(ARGS("ptxas", arch, from, "-o", to));
    cr_expect_eq(r.status, 0, "%s: %s", name, r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(from);
    free(to);
}

ParameterizedTest(Case *c, ptx_goldens, are_compiled)
{
    char *dir = path_join(SSMC_ROOT, models[c->model].folder);
    char *model = path_join(dir, models[c->model].name);
    const char *target = targets[c->target][0], *dtype = targets[c->target][1];
    if (access(model, R_OK) != 0)
        cr_skip("there is no %s", model);
    CommandResult r =
        aot_ssmc(ARGS("compile", model, "--device", target, "--dtype", dtype, "--emit", "ptx"));
    cr_assert_eq(r.status, 0, "%s: %s", model, r.err);
    cr_expect(strstr(r.out, ".target sm_") && strstr(r.out, ".entry"), "%s", model);
    expect_assembled(r.out, target, model);
    command_free(&r);
    free(model);
    free(dir);
}

/* What measures a GPU's ceilings, too. */
Test(ptx_goldens, probes_are_assembled)
{
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        Arena *arena = arena_new();
        Machine m;
        CgProbe probe[PROBE_COUNT];
        cr_assert(machine_named("x86-64-v3", &m) && machine_gpu(&m, targets[i][0]));
        const AbiProgram *abi = cg_gpu_probes(arena, &m, probe);
        expect_assembled((const char *)abi->image, targets[i][0], "probes");
        arena_free(arena);
    }
}

/* ---- on the model ------------------------------------------------------------------------------
 */

enum { TOKENS = 9 }; /* of a sequence */

/* What a golden says of the first tokens of its ids_1: no later token changes it. */
static void
write_beginning(const char *golden, const char *path)
{
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(golden, &file), SSMC_OK, "%s", ssmc_error());
    static const char *const from[] = {"ids_1", "logits_1"};
    RtTensor out[2];
    for (int i = 0; i < 2; i++) {
        const RtTensor *t = rt_tensors_find(file, from[i]);
        cr_assert(t && t->dim[1] >= TOKENS, "%s", from[i]);
        const size_t batch = (size_t)t->dim[0], sequence = t->bytes / batch;
        const size_t begin = sequence / (size_t)t->dim[1] * TOKENS;
        char *data = malloc(batch * begin);
        for (size_t b = 0; b < batch; b++)
            memcpy(data + b * begin, (const char *)t->data + b * sequence, begin);
        out[i] = *t;
        out[i].dim[1] = TOKENS;
        out[i].data = data;
        out[i].bytes = batch * begin;
    }
    cr_assert_eq(rt_tensors_write(path, out, 2), SSMC_OK, "%s", ssmc_error());
    for (int i = 0; i < 2; i++)
        free((void *)(uintptr_t)out[i].data);
    rt_tensors_close(file);
}

static const struct {
    char name[32], mode[8];
} short_runs[] = {
    {"llama-base",            "prefill"},
    {"llama-base",            "step"   },
    {"zamba2-base",           "split"  },
    {"mamba2-oddstate",       "step"   },
    {"falcon_mamba-base",     "split"  },
    {"lfm2-base",             "split"  },
    {"minimax-lightning",     "split"  },
    {"qwen3_next-base",       "prefill"},
    {"olmo_hybrid-base",      "split"  },
    {"qwen3_5_moe_text-base", "step"   },
    {"kimi_linear-base",      "split"  },
    {"kimi_linear-rank",      "step"   },
};

ParameterizedTestParameters(ptx_goldens, run_on_the_model)
{
    static size_t cases[COUNT_OF(short_runs)];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cases[i] = i;
    return cr_make_param_array(size_t, cases, COUNT_OF(cases));
}

ParameterizedTest(size_t *c, ptx_goldens, run_on_the_model)
{
    char *goldens = path_join(SSMC_ROOT, "tests/goldens");
    char *model = path_join(goldens, short_runs[*c].name), *dir = temp_dir();
    char *whole = path_join(model, "golden.safetensors"), *begin = path_join(dir, "g.safetensors");
    write_beginning(whole, begin);
    free(golden_check(model, begin,
                      ARGS("--dtype", "f32", "--device", "model", "--mode", short_runs[*c].mode),
                      GOLDEN_F32));
    temp_dir_remove(dir);
    free(goldens);
    free(model);
    free(whole);
    free(begin);
}

/* ---- tests/device.sh ---------------------------------------------------------------------------
 */

/* Its program, over products for this machine's CPU: what a machine without a compiler does. */
Test(ptx_goldens, products_are_tried_without_a_compiler)
{
    char *dir = temp_dir();
    char *script = path_join(SSMC_ROOT, "tests/device.sh");
    CommandResult r =
        aot_tool(ARGS("sh", script, "--build", SSMC_BUILD, "--make", dir, "cpu", "llama-base"));
    cr_assert_eq(r.status, 0, "%s%s", r.out, r.err);
    command_free(&r);
    char *copy = path_join(dir, "device.sh");
    r = aot_tool(ARGS("sh", copy, "--products", dir));
    cr_expect_eq(r.status, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "state to cpu") && strstr(r.out, "all within their bounds"), "%s",
              r.out);
    cr_expect_null(strstr(r.out, "FAILED"), "%s", r.out);
    command_free(&r);
    free(copy);
    free(script);
    temp_dir_remove(dir);
}

/* A bound that nothing keeps is said, and is a status of its own. */
Test(ptx_goldens, what_is_off_is_said)
{
    char *dir = temp_dir();
    char *so = aot_compile(AOT_SMALL, dir, "m.so",
                           ARGS("--emit", "so", "--weights", "embed", "--dtype", "bf16"));
    CommandResult r = aot_tool(ARGS(SSMC_DEVICE, "logits", so, AOT_IDS, "prefill", "1e-9"));
    cr_expect_eq(r.status, 1, "%s%s", r.out, r.err);
    command_free(&r);
    r = aot_tool(ARGS(SSMC_DEVICE, "logits", "/nowhere.so", AOT_IDS, "prefill", "1"));
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "/nowhere.so"), "%s", r.err);
    command_free(&r);
    const char *const of_a_gpu[] = {"memory", "room"};
    for (int i = 0; i < 2; i++) {
        r = aot_tool(ARGS("SSMC_CUDA_LIBRARY=/nowhere/libcuda.so.1", SSMC_DEVICE, of_a_gpu[i], so,
                          i ? NULL : "10"));
        cr_expect_eq(r.status, 2);
        cr_expect(strstr(r.err, "memory of a GPU: there is no driver of a GPU"), "%s", r.err);
        command_free(&r);
    }
    temp_dir_remove(dir);
    free(so);
}

Test(ptx_goldens, a_machine_without_a_gpu_is_told_apart)
{
    char *script = path_join(SSMC_ROOT, "tests/device.sh");
    CommandResult r = aot_tool(ARGS("SSMC_CUDA_LIBRARY=/nowhere/libcuda.so.1", "sh", script,
                                    "--build", SSMC_BUILD, "cuda"));
    cr_expect_eq(r.status, 77, "%d: %s%s", r.status, r.out, r.err);
    cr_expect(strstr(r.out, "no model runs on cuda here") && strstr(r.out, "/nowhere/libcuda.so.1"),
              "%s", r.out);
    command_free(&r);
    free(script);
}
