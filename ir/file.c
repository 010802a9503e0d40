/* ir/file.c -- whole files: read with a limit, written whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/util.h"

static bool
fail(Arena *arena, const char **why, const char *what, const char *path, const char *reason)
{
    *why = arena_printf(arena, "cannot %s %s: %s", what, path, reason);
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
        return fail(arena, why, "read", path, strerror(errno));
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
        return fail(arena, why, "read", path, strerror(reason));
    if (too_large)
        return fail(arena, why, "read", path,
                    arena_printf(arena, "it has more than %zu bytes", max_bytes));
    return true;
}

static bool
write_all(int fd, const char *data, size_t len)
{
    while (len) {
        const ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        data += put;
        len -= (size_t)put;
    }
    return true;
}

/* A new file beside path. -1: errno says why. O_EXCL with 0666, not mkstemp, so that the umask
 * holds. */
static int
open_temporary(Arena *arena, const char *path, const char **name)
{
    for (int i = 0; i < 100; i++) {
        *name = arena_printf(arena, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        const int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static bool
write_straight(const char *path, const void *data, size_t len)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool written = write_all(fd, data, len);
    const int reason = errno;
    const bool closed = close(fd) == 0;
    if (!written)
        errno = reason;
    return written && closed;
}

/* mode: of the file that is replaced, or 0. */
static bool
write_beside(Arena *arena, const char *path, mode_t mode, const void *data, size_t len)
{
    const char *temporary;
    const int fd = open_temporary(arena, path, &temporary);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, data, len);
    if (ok && mode)
        ok = fchmod(fd, mode) == 0;
    ok = ok && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (ok && rename(temporary, path) == 0)
        return true;
    if (ok)
        reason = errno;
    unlink(temporary);
    errno = reason;
    return false;
}

bool
file_write(Arena *arena, const char *path, const void *data, size_t len, const char **why)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    bool ok;
    if (exists && S_ISDIR(st.st_mode))
        return fail(arena, why, "write", path, strerror(EISDIR));
    if (exists && !S_ISREG(st.st_mode)) {
        ok = write_straight(path, data, len);
    } else {
        /* Through a symbolic link the file it names is replaced, not the link. */
        char *real = exists ? realpath(path, NULL) : NULL;
        ok = write_beside(arena, real ? real : path, exists ? st.st_mode & 0777 : 0, data, len);
        const int reason = errno;
        free(real);
        errno = reason;
    }
    return ok || fail(arena, why, "write", path, strerror(errno));
}
