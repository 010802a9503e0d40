/* runtime/temporary.c -- names for what is being written: PATH.PID-N.tmp beside PATH, files and
 * folders, which a rename to PATH ends.
 *
 * A process that writes under such a name holds a lock of it (flock), which the kernel releases
 * when the process ends, however it ends. A name whose lock is free was left by a process that was
 * killed; the next process that writes PATH removes it. Process numbers would not do: they are used
 * again, and containers and machines that share a folder each have their own. On file systems
 * without locks nothing is removed.
 *
 * A file without a name (O_TMPFILE) would leave less behind, but it can be linked only to a name
 * that is free, so that a file that is replaced needs a second name all the same; file systems may
 * lack it, and linkers and their folders need names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/internal.h"

enum { TRIES = 100, DEPTH = 4 };

/* ---- names --------------------------------------------------------------------------------- */

/* Whether text is ".PID-N.tmp". */
static bool
is_ending(const char *text)
{
    static const char digits[] = "0123456789";
    if (*text != '.')
        return false;
    const size_t pid = strspn(text + 1, digits);
    const char *dash = text + 1 + pid;
    const size_t n = *dash == '-' ? strspn(dash + 1, digits) : 0;
    return pid > 0 && n > 0 && strcmp(dash + 1 + n, ".tmp") == 0;
}

bool
rt_is_temporary(const char *name)
{
    const char *end = strrchr(name, '-');
    while (end && end > name && end[0] != '.')
        end--;
    return end && is_ending(end);
}

/* ---- what was left ------------------------------------------------------------------------- */

/* Removes a file, or a folder with what is in it; no link is followed. */
static void
remove_tree(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || depth == 0)
        return;
    const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries && fd >= 0)
        close(fd);
    for (const struct dirent *e; entries && (e = readdir(entries)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_tree(fd, e->d_name, depth - 1);
    if (entries)
        closedir(entries);
    unlinkat(dir, name, AT_REMOVEDIR);
}

static bool
is_same(int fd, int dir, const char *name)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

void
rt_temporary_sweep(int dir, const char *name)
{
    const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_same(fd, dir, name))
        remove_tree(dir, name, DEPTH);
    close(fd);
}

/* What was left of path. */
static void
sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, (size_t)(base - path)) : strdup(".");
    DIR *entries = folder ? opendir(folder) : NULL;
    const size_t len = strlen(base);
    for (const struct dirent *e; entries && (e = readdir(entries)) != NULL;)
        if (strncmp(e->d_name, base, len) == 0 && is_ending(e->d_name + len))
            rt_temporary_sweep(dirfd(entries), e->d_name);
    if (entries)
        closedir(entries);
    free(folder);
}

/* ---- a new one ----------------------------------------------------------------------------- */

/* False: another process removed it as left over before it was locked. */
static bool
claim(const RtTemporary *t)
{
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return errno != EWOULDBLOCK;
    return is_same(t->fd, AT_FDCWD, t->name);
}

/* O_EXCL with 0666, not mkstemp, so that the umask holds. A folder's lock goes on to the tools that
 * work in it, and lasts as long as any of them: not O_CLOEXEC. */
static int
make(const char *name, bool folder)
{
    if (!folder)
        return open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return mkdir(name, 0700) == 0 ? open(name, O_RDONLY | O_DIRECTORY) : -1;
}

bool
rt_temporary_open(const char *path, bool folder, RtTemporary *out)
{
    const size_t room = strlen(path) + 40;
    *out = (RtTemporary){.fd = -1, .name = malloc(room)};
    if (!out->name)
        return false;
    sweep(path);
    for (int i = 0; i < TRIES; i++) {
        snprintf(out->name, room, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        out->fd = make(out->name, folder);
        if (out->fd >= 0 && claim(out))
            return true;
        const int reason = out->fd >= 0 ? EEXIST : errno;
        if (out->fd >= 0)
            close(out->fd);
        out->fd = -1;
        errno = reason;
        if (reason != EEXIST)
            break;
    }
    free(out->name);
    out->name = NULL;
    return false;
}

void
rt_temporary_close(RtTemporary *t)
{
    if (t->fd < 0)
        return;
    if (is_same(t->fd, AT_FDCWD, t->name)) /* it was not renamed */
        remove_tree(AT_FDCWD, t->name, DEPTH);
    close(t->fd);
    free(t->name);
    *t = (RtTemporary){.fd = -1};
}
