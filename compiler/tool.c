/* compiler/tool.c -- linkers and archivers of the system, run without a shell. */
#define _GNU_SOURCE /* environ */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/product.h"

static int
tool_missing(const Product *p, const char *name, int reason)
{
    if (reason != ENOENT)
        return tell_fault(p->listener, EXIT_FAILED, "cannot run %s: %s", name, strerror(reason));
    return tell_fault(
        p->listener, EXIT_FAILED,
        "there is no %s, which makes files of compiled models: install gcc and binutils "
        "(for another architecture those of Debian's gcc-<arch>-linux-gnu), or see what "
        "--emit obj writes without them",
        name);
}

/* This process's, but for TMPDIR: what a killed tool leaves lies in the folder of the product's
 * objects, and goes with it. */
static char *const *
environment(const Product *p)
{
    Arena *arena = p->arena;
    char **list = NULL;
    int count = 0, cap = 0;
    VEC_PUSH(arena, list, count, cap, arena_printf(arena, "TMPDIR=%s", p->dir.name));
    for (char **at = environ; *at; at++)
        if (strncmp(*at, "TMPDIR=", 7) != 0)
            VEC_PUSH(arena, list, count, cap, *at);
    VEC_PUSH(arena, list, count, cap, NULL);
    return list;
}

int
tool_run(const Product *p, const char *const *argv)
{
    pid_t child = 0;
    int how = 0;
    /* posix_spawnp does not write to argv: its type is older than const. */
    const int failed =
        posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)argv, environment(p));
    if (failed)
        return tool_missing(p, argv[0], failed);
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            return tell_fault(p->listener, EXIT_FAILED, "cannot wait for %s: %s", argv[0],
                              strerror(errno));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 127)
        return tool_missing(p, argv[0], ENOENT);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return EXIT_DONE;
    return tell_fault(p->listener, EXIT_FAILED, "%s failed (its messages are above)", argv[0]);
}
