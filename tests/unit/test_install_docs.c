/* tests/unit/test_install_docs.c -- manual and completion, as installed: every row of the tables is
 * in them, and man and bash take them without complaint. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "tests/aot.h"
#include "tests/install.h"

#define COMPLETE SSMC_ROOT "/tests/data/install/complete.bash"

static const struct {
    const char *name, *doc;
} commands[] = {
#define COMMAND(id, args, doc) {#id, doc},
#include "driver/commands.def"
#undef COMMAND
};

/* ---- manual -------------------------------------------------------------------------------- */

/* A page as man shows it, on lines that are long enough for anything. */
static char *
page(const Prefix *p, const char *section, const char *name)
{
    char *pages = path_join(p->root, "share/man");
    char *text = tool_ok(ARGS("env", "MANWIDTH=999", "MAN_KEEP_FORMATTING=", "LC_ALL=C.UTF-8",
                              "man", "-E", "ascii", "-M", pages, section, name));
    free(pages);
    return text;
}

/* Every page of a section: what the formatter says of it is nothing. */
static void
expect_clean(const char *folder)
{
    DIR *entries = opendir(folder);
    cr_assert(entries, "%s", folder);
    int count = 0;
    for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (!strstr(e->d_name, ".gz") || strncmp(e->d_name, "ssmc_", 5) == 0)
            continue;
        char *path = path_join(folder, e->d_name);
        CommandResult r = aot_tool(ARGS("env", "LC_ALL=C.UTF-8", "MANROFFSEQ=", "man", "--warnings",
                                        "-E", "UTF-8", "-Tutf8", "-Z", "-l", path));
        cr_expect(r.status == 0 && r.err_len == 0 && r.out_len > 0, "%s: %s", e->d_name, r.err);
        count++;
        command_free(&r);
        free(path);
    }
    cr_expect_gt(count, 0);
    closedir(entries);
}

Test(install_docs, pages_are_clean)
{
    Prefix p = prefix_new();
    for (const char *const *section = ARGS("man1", "man3", "man5"); *section; section++) {
        char *pages = path_join(p.root, "share/man"), *folder = path_join(pages, *section);
        expect_clean(folder);
        free(folder);
        free(pages);
    }
    prefix_end(&p);
}

Test(install_docs, pages_have_every_option)
{
    Prefix p = prefix_new();
    char *overview = page(&p, "1", "ssmc");
    for (size_t c = 0; c < COUNT_OF(commands); c++) {
        char name[64], option[64];
        snprintf(name, sizeof name, "ssmc-%s", commands[c].name);
        char *text = page(&p, "1", name);
        for (int i = 0; i < OPT_COUNT; i++) {
            snprintf(option, sizeof option, "--%s", opt_info[i].name);
            if (option_belongs((OptId)i, commands[c].name))
                cr_expect(strstr(text, option) && strstr(text, opt_info[i].doc), "%s lacks %s",
                          name, option);
        }
        cr_expect(strstr(overview, commands[c].doc), "ssmc.1 lacks %s", name);
        free(text);
    }
    free(overview);
    prefix_end(&p);
}

/* By the name of any function, with what the header says of it. */
Test(install_docs, pages_of_functions)
{
    static const char *const names[] = {
#define EXPORT(name, where, since) #name,
#include "runtime/exports.def"
#undef EXPORT
    };
    Prefix p = prefix_new();
    char *feed = page(&p, "3", "ssmc_feed");
    cr_expect(strstr(feed, "Feeds n >= 1 different sequences"), "%s", feed);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "share/man/man3/%s.3.gz", names[i]);
        char *full = path_join(p.root, path), *bytes = read_whole(full, NULL);
        cr_expect(bytes, "there is no %s", path);
        cr_expect(strstr(feed, names[i]), "the page lacks %s", names[i]);
        free(full);
        free(bytes);
    }
    free(feed);
    prefix_end(&p);
}

/* ---- completion ---------------------------------------------------------------------------- */

static char *
offered(const Prefix *p, const char *const *words)
{
    const char *argv[16] = {"bash", COMPLETE};
    char *script = path_join(p->root, "share/bash-completion/completions/ssmc");
    size_t n = 2;
    argv[n++] = script;
    for (; *words; words++)
        argv[n++] = *words;
    argv[n] = NULL;
    char *text = tool_ok(argv);
    free(script);
    return text;
}

static void
expect_offered(const Prefix *p, const char *const *words, const char *want)
{
    char *got = offered(p, words);
    cr_expect_str_eq(got, want);
    free(got);
}

Test(install_docs, bash_completion)
{
    Prefix p = prefix_new();
    char *file = path_join(p.dir, "a model.yaml"), *begun = path_join(p.dir, "a mo");
    char *line = text_replace("@\n", "@", file);
    cr_assert(write_whole(file, "", 0));
    expect_offered(&p, ARGS("ssmc", "ru"), "run\n");
    expect_offered(&p, ARGS("ssmc", "run", "--gr"), "--greedy\n--grammar\n");
    expect_offered(&p, ARGS("ssmc", "run", begun), line);
    expect_offered(&p, ARGS("ssmc", "run", file, "--prompt-file", begun), line);
    expect_offered(&p, ARGS("ssmc", "run", file, "--cache-dir", begun), "\n");
    expect_offered(&p, ARGS("ssmc", "run", file, "-n", ""), "\n");
    expect_offered(&p, ARGS("ssmc", "compile", file, "--emit", "llvm"), "llvm\nllvm-opt\n");
    expect_offered(&p, ARGS("ssmc", "compile", file, "--emit", "=", "s"), "so\n");
    expect_offered(&p, ARGS("ssmc", "compile", file, "--dtype", "="),
                   "f32\nf16\nbf16\nint8\nint4\nstored\n");
    expect_offered(&p, ARGS("ssmc", "compile", file, "--cpu", "x86-64-v3,znver5"),
                   "x86-64-v3,znver5\n");
    expect_offered(&p, ARGS("ssmc", "compile", file, "--stop-after", "choose_"),
                   "choose_form\nchoose_matmul\n");
    expect_offered(&p, ARGS("ssmc", "help", "ke"), "keys\n");
    expect_offered(&p, ARGS("ssmc", "unknown", "--"), "\n");
    free(line);
    free(file);
    free(begun);
    prefix_end(&p);
}

Test(install_docs, bash_completion_has_every_option)
{
    Prefix p = prefix_new();
    for (size_t c = 0; c < COUNT_OF(commands); c++) {
        char *text = offered(&p, ARGS("ssmc", commands[c].name, "--"));
        size_t lines = 0, options = 1; /* --help */
        for (const char *at = text; *at; at++)
            lines += *at == '\n';
        for (int i = 0; i < OPT_COUNT; i++) {
            char line[64];
            if (!option_belongs((OptId)i, commands[c].name))
                continue;
            snprintf(line, sizeof line, "--%s\n", opt_info[i].name);
            cr_expect(strstr(text, line), "%s: not offered: %s", commands[c].name, line);
            options++;
        }
        cr_expect_eq(lines, options, "%s:\n%s", commands[c].name, text);
        free(text);
    }
    prefix_end(&p);
}

Test(install_docs, zsh_completion)
{
    if (!aot_has_tool("zsh"))
        cr_skip("there is no zsh");
    Prefix p = prefix_new();
    char *script = path_join(p.root, "share/zsh/vendor-completions/_ssmc");
    tool_free(ARGS("zsh", "-n", script));
    free(script);
    prefix_end(&p);
}
