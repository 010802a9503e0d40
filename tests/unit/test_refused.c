/* tests/unit/test_refused.c -- a CPU's matrix unit that the system may refuse to a process: what
 * runs then, in the JIT and of a product, and which variants a product has for it. Where the CPU
 * has no such unit there is nothing to refuse, and the same vectors run. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codegen/codegen.h"
#include "tests/aot.h"

#if defined(__x86_64__)

#define NOTE   "this process may not use AMX"
#define PROMPT "-p", "Once upon a time", "-n", "12", "--greedy"
#define FIRST  "sapphirerapids"
#define VECTOR "sapphirerapids-vectors"

static Machine
host(void)
{
    Arena *arena = arena_new();
    Machine m;
    const char *why = NULL;
    cr_assert(cg_machine(arena, "native", &m, &why), "%s", why);
    m.cpu = m.llvm = m.triple = ""; /* texts end with the arena */
    arena_free(arena);
    return m;
}

/* The CPU has a unit, whether or not this process may use it. */
static bool
unit_there(void)
{
    const Machine m = host();
    return m.matrix.kind != MATRIX_none || m.refused;
}

/* The first of a product's variants that runs here. */
static const char *
expected_variant(bool refused)
{
    static const char *const names[] = {FIRST, VECTOR, "x86-64-v4", "x86-64-v3"};
    Machine here = host(), m;
    if (refused)
        here.features &= ~ABI_BIT(amxpermission);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        cr_assert(machine_named(i == 1 ? FIRST : names[i], &m));
        if (i == 1)
            machine_vectors(&m);
        if (!machine_lacks(&here, &m))
            return names[i];
    }
    cr_skip("this machine has not what x86-64-v3 needs");
    return NULL;
}

static CommandResult
refused(const char *const *argv)
{
    const CommandResult r = command_refused(argv, NULL, 0);
    if (r.status == REFUSE_FAILED)
        cr_skip("there are no filters of system calls here");
    return r;
}

static void
expect_note(const CommandResult *r, bool note)
{
    cr_expect_eq(strstr(r->err, NOTE) != NULL, note, "%s", r->err);
}

/* ---- the JIT -------------------------------------------------------------------------------- */

Test(refused, run_goes_on_with_vectors)
{
    static const char *const dtypes[] = {"f32", "bf16", "int8", "int4"};
    for (size_t i = 0; i < COUNT_OF(dtypes); i++) {
        const char *const *argv = ARGS(SSMC_BINARY, "run", AOT_STORY, PROMPT, "--dtype", dtypes[i]);
        const char *const *vectors = ARGS(SSMC_BINARY, "run", AOT_STORY, PROMPT, "--dtype",
                                          dtypes[i], "--set", "compile.matrix=none");
        CommandResult got = refused(argv), want = command_run(vectors, NULL, 0);
        CommandResult none = refused(vectors);
        cr_expect(got.status == 0 && want.status == 0 && none.status == 0, "%s%s%s", got.err,
                  want.err, none.err);
        cr_expect_str_eq(got.out, want.out, "%s", dtypes[i]);
        cr_expect_str_eq(none.out, want.out, "%s", dtypes[i]);
        expect_note(&got, unit_there());
        expect_note(&want, false);
        expect_note(&none, false);
        command_free(&got);
        command_free(&want);
        command_free(&none);
    }
}

Test(refused, code_for_the_unit_is_no_fault_of_the_machine)
{
    if (!unit_there())
        cr_skip("this CPU has no matrix unit");
    CommandResult r =
        refused(ARGS(SSMC_BINARY, "run", AOT_STORY, PROMPT, "--dtype", "bf16", "--cpu", FIRST));
    const bool runs = !strstr(r.err, "which lacks avx"); /* a unit, but of another CPU's kind */
    cr_expect_eq(r.status, 2, "%s", r.err);
    cr_expect(!runs || strstr(r.err, "which lacks amx-permission"), "%s", r.err);
    command_free(&r);
}

/* Measurements are of the code that runs: they say it first (here, before a fault). */
Test(refused, measuring_says_it)
{
    CommandResult r = refused(ARGS(SSMC_BINARY, "tune", "--out", "/nonexistent/x"));
    cr_expect(r.status != 0 && strstr(r.err, "cannot write"), "%s", r.err);
    expect_note(&r, unit_there());
    command_free(&r);
}

/* ---- products ------------------------------------------------------------------------------- */

/* The program runs the code of `variant` and says its text. */
static void
expect_run(const CommandResult *r, const char *variant, const char *text, bool note)
{
    char says[64];
    snprintf(says, sizeof says, "for %s, ", variant);
    cr_expect_eq(r->status, 0, "%s", r->err);
    cr_expect(strstr(r->err, says), "not by the code for %s:\n%s", variant, r->err);
    if (text)
        cr_expect_str_eq(r->out, text, "another text by the code for %s", variant);
    expect_note(r, note);
}

/* What the program says by code that is named. */
static char *
said_by(const char *exe, const char *variant)
{
    CommandResult r = command_run(ARGS(exe, PROMPT, "--variant", variant), NULL, 0);
    expect_run(&r, variant, NULL, false);
    free(r.err);
    return r.out;
}

Test(refused, a_product_runs_what_it_may)
{
    const char *all = expected_variant(false), *rest = expected_variant(true);
    const bool already = host().refused != NULL, note = already || strcmp(all, rest) != 0;
    char *dir = temp_dir();
    char *exe = aot_compile(AOT_STORY, dir, "e",
                            ARGS("--emit", "exe", "--weights", "embed", "--dtype", "bf16", "--cpu",
                                 FIRST ",x86-64-v4,x86-64-v3"));
    char *so =
        aot_compile(AOT_STORY, dir, "m.so",
                    ARGS("--emit", "so", "--dtype", "bf16", "--cpu", FIRST ",x86-64-v4,x86-64-v3"));
    char *best = said_by(exe, all), *fallback = said_by(exe, rest);
    const char *const *run = ARGS(exe, PROMPT);
    CommandResult r = command_run(run, NULL, 0);
    expect_run(&r, all, best, already);
    command_free(&r);
    r = refused(run);
    expect_run(&r, rest, fallback, note);
    command_free(&r);
    r = refused(ARGS(SSMC_BINARY, "run", so, PROMPT));
    expect_run(&r, rest, fallback, note);
    command_free(&r);
    r = refused(ARGS(exe, PROMPT, "--variant", "x86-64-v3"));
    expect_run(&r, "x86-64-v3", NULL, false);
    command_free(&r);
    r = refused(ARGS("/usr/bin/env", "SSMC_VARIANT=x86-64-v3", exe, PROMPT));
    expect_run(&r, "x86-64-v3", NULL, false);
    command_free(&r);
    r = refused(ARGS(exe, PROMPT, "--variant", FIRST));
    cr_expect_eq(r.status, 2, "%s", r.err);
    cr_expect(strstr(r.err, "cannot run here: this machine lacks"), "%s", r.err);
    cr_expect(!note || strstr(r.err, "this machine lacks amx-permission"), "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    free(exe);
    free(so);
    free(best);
    free(fallback);
}

/* The variants that the header of a product names, in their order; owned by the caller. */
static char *
variants_of(const char *const *more)
{
    char *dir = temp_dir(), *header = path_join(dir, "m.h");
    const char *argv[16] = {"--emit", "so", "--header", header};
    for (size_t n = 4; *more; more++)
        argv[n++] = *more;
    free(aot_compile(AOT_STORY, dir, "m.so", argv));
    char *text = read_whole(header, NULL);
    cr_assert(text);
    const char *from = strstr(text, " for ");
    cr_assert(from);
    from += 5;
    char *list = strndup(from, strcspn(from, ".\n"));
    temp_dir_remove(dir);
    free(header);
    free(text);
    return list;
}

Test(refused, a_cpu_with_the_unit_has_a_variant_without)
{
    static const struct {
        const char *dtype, *cpu, *matrix, *variants;
    } cases[] = {
        {"bf16", FIRST,                  "auto", FIRST ", " VECTOR               },
        {"int8", FIRST,                  "auto", FIRST ", " VECTOR               },
        {"int4", FIRST,                  "auto", FIRST ", " VECTOR               },
        {"bf16", FIRST,                  "none", FIRST                           },
        {"bf16", "x86-64-v3," FIRST,     "auto", FIRST ", " VECTOR ", x86-64-v3" },
        {"bf16", FIRST ",graniterapids", "auto", FIRST ", graniterapids, " VECTOR},
        {"bf16", "znver4,x86-64-v3",     "auto", "znver4, x86-64-v3"             },
        {"f32",  FIRST,                  "none", FIRST                           },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char set[32];
        snprintf(set, sizeof set, "compile.matrix=%s", cases[i].matrix);
        char *list =
            variants_of(ARGS("--dtype", cases[i].dtype, "--cpu", cases[i].cpu, "--set", set));
        cr_expect_str_eq(list, cases[i].variants, "%s, --cpu %s, %s", cases[i].dtype, cases[i].cpu,
                         set);
        free(list);
    }
}

static int64_t
size_of(const char *path)
{
    struct stat at;
    cr_assert_eq(stat(path, &at), 0);
    return at.st_size;
}

/* Both variants read one copy of the packed weights. */
Test(refused, weights_are_embedded_once)
{
    static const char *const dtypes[] = {"bf16", "int8", "int4"};
    char *dir = temp_dir(), *both = path_join(dir, "both.so"), *one = path_join(dir, "one.so");
    for (size_t i = 0; i < COUNT_OF(dtypes); i++) {
        const char *const *args = ARGS("compile", AOT_STORY, "-o", both, "--emit", "so",
                                       "--weights", "embed", "--cpu", FIRST, "--dtype", dtypes[i]);
        CommandResult r = aot_ssmc(args);
        cr_assert_eq(r.status, 0, "%s", r.err);
        cr_expect(strstr(r.err, "weights for " VECTOR " are packed as for " FIRST), "%s", r.err);
        command_free(&r);
        aot_ok(ARGS("compile", AOT_STORY, "-o", one, "--emit", "so", "--weights", "embed", "--cpu",
                    FIRST, "--dtype", dtypes[i], "--set", "compile.matrix=none"));
        cr_expect_lt(size_of(both), size_of(one) * 3 / 2, "%s", dtypes[i]);
    }
    temp_dir_remove(dir);
    free(both);
    free(one);
}

/* f32 that the unit reads as triples is nothing for vectors: they have a copy, and run. */
Test(refused, triples_are_embedded_beside_f32)
{
    char *dir = temp_dir(), *both = path_join(dir, "both.so");
    CommandResult r = aot_ssmc(ARGS("compile", AOT_STORY, "-o", both, "--emit", "so", "--weights",
                                    "embed", "--cpu", FIRST, "--set", "compile.dot=bf16x3"));
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.err, "weights for " VECTOR " are packed in a way of their own"), "%s",
              r.err);
    command_free(&r);
    const char *const variants[] = {expected_variant(false), expected_variant(true)};
    const char *const *plain = ARGS(SSMC_BINARY, "run", AOT_STORY, PROMPT);
    CommandResult want = command_run(plain, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (strncmp(variants[i], FIRST, strlen(FIRST)) != 0)
            continue;
        CommandResult got = aot_ssmc(ARGS("run", both, PROMPT, "--cpu", variants[i]));
        cr_expect_eq(got.status, 0, "%s", got.err);
        cr_expect_str_eq(got.out, want.out, "%s", variants[i]);
        command_free(&got);
    }
    command_free(&want);
    temp_dir_remove(dir);
    free(both);
}

Test(refused, a_product_cannot_have_the_model)
{
    aot_fault(
        2,
        ARGS("compile", AOT_STORY, "--emit", "so", "-o", "/tmp/x", "--set", "compile.matrix=model"),
        ARGS("compile.matrix=model", "products have no C functions to call"));
    aot_fault(2, ARGS("compile", AOT_STORY, "--set", "compile.matrix=yes"),
              ARGS("compile.matrix", "auto", "none", "model"));
}

#endif
