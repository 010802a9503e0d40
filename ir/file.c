/* ir/file.c -- whole files, read with a limit. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ir/util.h"

static bool
fail(Arena *arena, const char **why, const char *path, const char *reason)
{
    *why = arena_printf(arena, "cannot read %s: %s", path, reason);
    return false;
}

/* Reads until the end or until more than max_bytes have come. -1: errno says why. */
static ssize_t
read_some(int fd, StrBuf *into, size_t max_bytes)
{
    char piece[16384];
    while (into->len <= max_bytes) {
        const ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got;
        sb_putn(into, piece, (size_t)got);
    }
    return 0;
}

bool
file_read(Arena *arena, const char *path, size_t max_bytes, char **text, size_t *len,
          const char **why)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(arena, why, path, strerror(errno));
    StrBuf sb = {0};
    const bool failed = read_some(fd, &sb, max_bytes) < 0;
    const int reason = errno;
    close(fd);
    const bool too_large = sb.len > max_bytes;
    if (!failed && !too_large) {
        *text = arena_strndup(arena, sb_text(&sb), sb.len);
        *len = sb.len;
    }
    sb_free(&sb);
    if (failed)
        return fail(arena, why, path, strerror(reason));
    if (too_large)
        return fail(arena, why, path, arena_printf(arena, "it has more than %zu bytes", max_bytes));
    return true;
}
