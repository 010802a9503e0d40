/* driver/tool.c -- linkers and archivers of the system, run without a shell. */
#define _GNU_SOURCE /* environ */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/product.h"

static int
tool_missing(const char *name, int reason)
{
    if (reason != ENOENT)
        return fault(EXIT_FAILED, "cannot run %s: %s", name, strerror(reason));
    return fault(EXIT_FAILED,
                 "there is no %s, which makes files of compiled models: install gcc and binutils "
                 "(for another architecture those of Debian's gcc-<arch>-linux-gnu), or see what "
                 "--emit obj writes without them",
                 name);
}

/* Ours, but for TMPDIR: what a tool leaves when it is killed lies in dir, and goes with it. */
static char *const *
environment(Arena *arena, const char *dir)
{
    char **list = NULL;
    int count = 0, cap = 0;
    VEC_PUSH(arena, list, count, cap, arena_printf(arena, "TMPDIR=%s", dir));
    for (char **at = environ; *at; at++)
        if (strncmp(*at, "TMPDIR=", 7) != 0)
            VEC_PUSH(arena, list, count, cap, *at);
    VEC_PUSH(arena, list, count, cap, NULL);
    return list;
}

int
tool_run(Arena *arena, const char *const *argv, const char *dir)
{
    pid_t child = 0;
    int how = 0;
    /* posix_spawnp does not write to argv: its type is older than const. */
    const int failed =
        posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)argv, environment(arena, dir));
    if (failed)
        return tool_missing(argv[0], failed);
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            return fault(EXIT_FAILED, "cannot wait for %s: %s", argv[0], strerror(errno));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 127)
        return tool_missing(argv[0], ENOENT);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return EXIT_DONE;
    return fault(EXIT_FAILED, "%s failed (its messages are above)", argv[0]);
}
