/* tests/install.c -- see install.h. */
#include "tests/install.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/aot.h"

enum { MOST_WORDS = 64 };
#define PROMPT "Once upon a time"

/* ---- tools --------------------------------------------------------------------------------- */

char *
tool_ok(const char *const *args)
{
    CommandResult r = aot_tool(args);
    cr_assert_eq(r.status, 0, "%s %s: status %d\n%s%s", args[0], args[1] ? args[1] : "", r.status,
                 r.out, r.err);
    free(r.err);
    return r.out;
}

void
tool_free(const char *const *args)
{
    free(tool_ok(args));
}

void
expect_says(int status, const char *const *args, const char *what)
{
    CommandResult r = aot_tool(args);
    cr_expect_eq(r.status, status, "status %d: %s", r.status, r.err);
    cr_expect(strstr(r.err, what), "stderr lacks '%s':\n%s", what, r.err);
    command_free(&r);
}

/* The words of text, which they cut, after those of argv; the new count. */
static size_t
add_words(const char **argv, size_t n, char *text)
{
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        cr_assert_lt(n + 1, (size_t)MOST_WORDS);
        argv[n++] = word;
    }
    argv[n] = NULL;
    return n;
}

char *
pkg_config(const Prefix *p, const char *const *more)
{
    const char *argv[MOST_WORDS] = {"env", p->pkg_path, "pkg-config", "ssmc"};
    size_t n = 4;
    for (; *more; more++)
        argv[n++] = *more;
    argv[n] = NULL;
    return tool_ok(argv);
}

void
cc_with(const char *flags, const char *source, const char *exe)
{
    const char *argv[MOST_WORDS] = {"cc", "-std=c11", "-Wall", "-Werror", "-o", exe, source};
    char *words = strdup(flags);
    add_words(argv, 7, words);
    tool_free(argv);
    free(words);
}

/* ---- prefixes ------------------------------------------------------------------------------ */

static char *
variable(const char *name, const char *root, const char *below)
{
    char *value = malloc(strlen(name) + strlen(root) + strlen(below) + 3);
    sprintf(value, "%s=%s/%s", name, root, below);
    return value;
}

Prefix
prefix_at(char *dir, char *root)
{
    return (Prefix){.dir = dir,
                    .root = root,
                    .ssmc = path_join(root, "bin/ssmc"),
                    .pkg_path = variable("PKG_CONFIG_PATH", root, SSMC_LIBDIR "/pkgconfig"),
                    .library_path = variable("LD_LIBRARY_PATH", root, SSMC_LIBDIR)};
}

Prefix
prefix_new(void)
{
    char *dir = temp_dir(), *first = path_join(dir, "first"), *root = path_join(dir, "moved");
    tool_free(ARGS(SSMC_CMAKE, "--install", SSMC_BUILD, "--prefix", first));
    cr_assert_eq(rename(first, root), 0);
    free(first);
    return prefix_at(dir, root);
}

void
prefix_end(Prefix *p)
{
    temp_dir_remove(p->dir);
    free(p->root);
    free(p->ssmc);
    free(p->pkg_path);
    free(p->library_path);
}

/* ---- a story ------------------------------------------------------------------------------- */

/* ssmc tokenize, with input. */
static char *
tokenize(const Prefix *p, const char *text, const char *option)
{
    const char *argv[] = {p->ssmc, "tokenize", AOT_STORY, option, NULL};
    CommandResult r = command_run(argv, text, strlen(text));
    cr_assert_eq(r.status, 0, "%s", r.err);
    free(r.err);
    return r.out;
}

void
expect_story(const Prefix *p, const char *const *program)
{
    const char *argv[MOST_WORDS];
    size_t n = 0;
    for (; program[n]; n++)
        argv[n] = program[n];
    char *ids = tokenize(p, PROMPT, NULL);
    add_words(argv, n, ids);
    char *all = tool_ok(argv), *text = tokenize(p, all, "--decode");
    char *want =
        tool_ok(ARGS(p->ssmc, "run", AOT_STORY, "-p", PROMPT, "--echo", "--greedy", "-n", "16"));
    cr_expect_str_eq(text, want, "%s tells another story", program[0]);
    free(ids);
    free(all);
    free(text);
    free(want);
}
