/* tests/aot.c -- compiling models in tests. */
#include "tests/aot.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGS = 40 };

/* first, then up to three lists. */
static void
concat(const char **argv, const char *const *a, const char *const *b)
{
    size_t n = 0;
    for (; *a; a++)
        argv[n++] = *a;
    for (; *b; b++)
        argv[n++] = *b;
    argv[n] = NULL;
    cr_assert_lt(n, (size_t)MOST_ARGS);
}

CommandResult
aot_ssmc(const char *const *args)
{
    const char *argv[MOST_ARGS];
    concat(argv, ARGS(SSMC_BINARY), args);
    return command_run(argv, NULL, 0);
}

void
aot_ok(const char *const *args)
{
    CommandResult r = aot_ssmc(args);
    cr_assert_eq(r.status, 0, "ssmc %s %s: status %d\n%s", args[0], args[1], r.status, r.err);
    command_free(&r);
}

void
aot_fault(int status, const char *const *args, const char *const *says)
{
    CommandResult r = aot_ssmc(args);
    cr_expect_eq(r.status, status, "status %d instead of %d\n%s", r.status, status, r.err);
    for (; *says; says++)
        cr_expect(strstr(r.err, *says), "stderr lacks '%s':\n%s", *says, r.err);
    command_free(&r);
}

CommandResult
aot_tool(const char *const *args)
{
    const char *argv[MOST_ARGS];
    concat(argv, ARGS("/usr/bin/env"), args);
    return command_run(argv, NULL, 0);
}

bool
aot_has_tool(const char *name)
{
    CommandResult r = aot_tool(ARGS(name, "--version"));
    const bool there = r.status == 0;
    command_free(&r);
    return there;
}

char *
aot_compile(const char *model, const char *dir, const char *name, const char *const *more)
{
    char *path = path_join(dir, name);
    const char *argv[MOST_ARGS];
    concat(argv, ARGS("compile", model, "-o", path), more);
    aot_ok(argv);
    return path;
}

char *
aot_logits(const char *model, const char *ids, const char *const *more, size_t *len)
{
    char *dir = temp_dir(), *out = path_join(dir, "o.safetensors");
    const char *argv[MOST_ARGS];
    concat(argv, ARGS("logits", model, "--ids", ids, "--out", out), more);
    aot_ok(argv);
    char *bytes = read_whole(out, len);
    cr_assert(bytes);
    temp_dir_remove(dir);
    free(out);
    return bytes;
}
