/* tests/unit/test_install.c -- what is installed, used as its users use it: from a prefix that has
 * been moved since, with pkg-config and with CMake. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/aot.h"
#include "tests/install.h"

#define PROJECT SSMC_ROOT "/tests/data/install"
#define SHARED  SSMC_BUILD "/lib/libssmc.so"
#if defined(__x86_64__)
#define BASE_CPU "x86-64"
#else
#define BASE_CPU "generic"
#endif

/* ---- symbols ------------------------------------------------------------------------------- */

static const char *const exports[] = {
#define EXPORT(name, where, since) #name "@@SSMC_" #since,
#include "runtime/exports.def"
#undef EXPORT
};
enum { EXPORTS = sizeof exports / sizeof exports[0] };

/* Each row of exports.def is there, under its version, and nothing else is. */
Test(install, libssmc_shows_its_exports_alone)
{
    char *text = tool_ok(ARGS("readelf", "--dyn-syms", "-W", SHARED));
    size_t found = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char index[16], name[128];
        const bool symbol =
            sscanf(line, "%*[ 0-9]: %*x %*d %*s %*s %*s %15s %127s", index, name) == 2;
        if (!symbol || strcmp(index, "UND") == 0 || strcmp(index, "ABS") == 0)
            continue;
        bool known = false;
        for (size_t i = 0; i < EXPORTS; i++)
            known = known || strcmp(name, exports[i]) == 0;
        cr_expect(known, "libssmc shows %s", name);
        found += known;
    }
    cr_expect_eq(found, (size_t)EXPORTS);
    free(text);
}

Test(install, libssmc_has_a_soname)
{
    char *text = tool_ok(ARGS("readelf", "-d", SHARED));
    cr_expect(strstr(text, "Library soname: [libssmc.so.0]"), "%s", text);
    cr_expect_not(strstr(text, "RUNPATH"), "%s", text);
    free(text);
}

/* ---- pkg-config ---------------------------------------------------------------------------- */

Test(install, pkg_config)
{
    Prefix p = prefix_new();
    char *flags = pkg_config(&p, ARGS("--cflags", "--libs"));
    char *so = path_join(p.dir, "story.so"), *exe = path_join(p.dir, "story");
    tool_free(ARGS(p.ssmc, "compile", AOT_STORY, "--emit", "so", "-o", so));
    cc_with(flags, PROJECT "/story.c", exe);
    expect_story(&p, ARGS("env", p.library_path, exe, so));
    free(flags);

    flags = pkg_config(&p, ARGS("--cflags", "--libs", "--static"));
    char *archive = text_replace(flags, "-lssmc", "-l:libssmc.a");
    cc_with(archive, PROJECT "/story.c", exe);
    expect_story(&p, ARGS(exe, so));
    free(archive);
    free(flags);
    free(exe);
    free(so);
    prefix_end(&p);
}

Test(install, faults_of_libraries)
{
    Prefix p = prefix_new();
    char *flags = pkg_config(&p, ARGS("--cflags", "--libs"));
    char *exe = path_join(p.dir, "story");
    cc_with(flags, PROJECT "/story.c", exe);
    expect_says(1, ARGS("env", p.library_path, exe, "no.so"), "cannot open no.so");
    expect_says(1, ARGS("env", p.library_path, exe, SHARED), "is no compiled model");
    free(flags);
    free(exe);
    prefix_end(&p);
}

/* ---- CMake --------------------------------------------------------------------------------- */

/* A binary folder of the project, configured; extra may be NULL. */
static CommandResult
configure(const Prefix *p, const char *build, const char *model, const char *extra)
{
    char *prefix = text_replace("-DCMAKE_PREFIX_PATH=@", "@", p->root);
    char *what = text_replace("-DMODEL=@", "@", model);
    CommandResult r = aot_tool(ARGS(
        SSMC_CMAKE, "-G", "Ninja", "-S", PROJECT, "-B", build, prefix, what,
        "-DCMAKE_C_COMPILER_LAUNCHER=", "-DCPUS=" BASE_CPU ";native", extra ? extra : "-Wdev"));
    free(prefix);
    free(what);
    return r;
}

/* The model in a folder of the test; owned by the caller. */
static char *
story_copy(const Prefix *p)
{
    char *folder = path_join(p->dir, "my models"), *model = path_join(folder, "storyteller.yaml");
    tool_free(ARGS("mkdir", folder));
    tool_free(ARGS("cp", "-r", AOT_STORY, SSMC_ROOT "/examples/storyteller", folder));
    free(folder);
    return model;
}

/* What is built again, were it built now, once a file that the model is made of has changed. */
static void
expect_again(const char *build, const char *model, const char *file)
{
    char *path = text_replace(model, "storyteller.yaml", file);
    char *nothing = tool_ok(ARGS(SSMC_CMAKE, "--build", build, "--", "-n"));
    cr_expect(strstr(nothing, "no work to do"), "it is built again: %s", nothing);
    tool_free(ARGS("touch", path));
    char *again = tool_ok(ARGS(SSMC_CMAKE, "--build", build, "--", "-n"));
    cr_expect(strstr(again, "Compiling the model teller"), "%s: %s", file, again);
    free(nothing);
    free(again);
    free(path);
}

Test(install, cmake_project)
{
    Prefix p = prefix_new();
    char *build = path_join(p.dir, "build"), *so = path_join(build, "ssmc/mapped/libmapped.so");
    char *model = story_copy(&p);
    CommandResult r = configure(&p, build, model, NULL);
    cr_assert_eq(r.status, 0, "%s%s", r.out, r.err);
    tool_free(ARGS(SSMC_CMAKE, "--build", build));
    for (const char *const *name = ARGS("story_teller", "story_mapped"); *name; name++) {
        char *exe = path_join(build, *name);
        expect_story(&p, ARGS(exe));
        free(exe);
    }
    for (const char *const *name = ARGS("story_library", "story_static"); *name; name++) {
        char *exe = path_join(build, *name);
        expect_story(&p, ARGS(exe, so));
        free(exe);
    }
    expect_again(build, model, "storyteller/tokenizer.json");
    command_free(&r);
    free(model);
    free(build);
    free(so);
    prefix_end(&p);
}

Test(install, faults_of_add_model)
{
    static const char *const faults[][2] = {
        {"t CMakeLists.txt BLSA",           "unknown argument 'BLSA'"        },
        {"t CMakeLists.txt WEIGHTS inside", "embed or external, not 'inside'"},
        {"t CMakeLists.txt STATIC SHARED",  "exclude each other"             },
        {"t none.yaml",                     "there is no model"              },
    };
    Prefix p = prefix_new();
    char *build = path_join(p.dir, "build");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char *call = text_replace("-DFAULT=@", "@", faults[i][0]);
        CommandResult r = configure(&p, build, AOT_STORY, call);
        cr_expect_eq(r.status, 1);
        cr_expect(strstr(r.err, faults[i][1]), "%s: %s", faults[i][0], r.err);
        command_free(&r);
        free(call);
    }
    CommandResult r = configure(&p, build, AOT_STORY, "-DSSMC_COMMAND=");
    cr_expect(strstr(r.err, "needs the command ssmc"), "%s", r.err);
    command_free(&r);
    free(build);
    prefix_end(&p);
}
