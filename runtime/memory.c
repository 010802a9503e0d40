/* runtime/memory.c -- checked sizes, pages, mapped files, files written whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/internal.h"

/* ---- sizes --------------------------------------------------------------------------------- */

bool
rt_mul(size_t a, size_t b, size_t *out)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool
rt_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

bool
rt_round_up(size_t n, size_t to, size_t *out)
{
    if (n > SIZE_MAX - (to - 1))
        return false;
    *out = (n + to - 1) / to * to;
    return true;
}

/* ---- pages --------------------------------------------------------------------------------- */

/* mmap takes no length of 0. */
static size_t
at_least_one(size_t bytes)
{
    return bytes ? bytes : 1;
}

void *
rt_pages_new(size_t bytes)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *pages = mmap(NULL, at_least_one(bytes), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(pages, at_least_one(bytes), MADV_HUGEPAGE); /* a wish: kernels may lack it */
#endif
    return pages;
}

void
rt_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, at_least_one(bytes));
}

void
rt_pages_done(const void *from, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)from;
    const uintptr_t first = (at + page - 1) / page * page, end = (at + bytes) / page * page;
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

/* ---- files read ---------------------------------------------------------------------------- */

static ssmc_status
map_open_file(int fd, const char *path, RtMapping *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rt_fail_errno("read", path);
    if (!S_ISREG(st.st_mode))
        return rt_fail(SSMC_IO, "cannot read %s: it is %s, not a regular file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
    if (st.st_size == 0)
        return SSMC_OK;
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return rt_fail_errno("map", path);
    *out = (RtMapping){.data = data,
                       .len = (size_t)st.st_size,
                       .changed =
                           (int64_t)st.st_mtim.tv_sec * 1000000000 + (int64_t)st.st_mtim.tv_nsec};
    return SSMC_OK;
}

ssmc_status
rt_map_file(const char *path, RtMapping *out)
{
    *out = (RtMapping){.data = ""};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block here */
    if (fd < 0)
        return rt_fail_errno("open", path);
    const ssmc_status status = map_open_file(fd, path, out);
    close(fd);
    return status;
}

void
rt_unmap_file(RtMapping *mapping)
{
    if (mapping->len)
        munmap((void *)mapping->data, mapping->len);
    *mapping = (RtMapping){.data = ""};
}

char *
rt_path_join(const char *dir, const char *name)
{
    const size_t room = strlen(dir) + strlen(name) + 2;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s", dir, name);
    return path;
}

/* ---- files written ------------------------------------------------------------------------- */

/* O_EXCL with 0666, not mkstemp, so that the umask holds. */
static bool
open_temporary(RtOutput *out)
{
    const size_t room = strlen(out->path) + 40;
    out->temporary = malloc(room);
    for (int i = 0; out->temporary && i < 100; i++) {
        snprintf(out->temporary, room, "%s.%ld-%d.tmp", out->path, (long)getpid(), i);
        out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0 || errno != EEXIST)
            break;
    }
    return out->fd >= 0;
}

static void
output_forget(RtOutput *out)
{
    free(out->path);
    free(out->temporary);
    *out = (RtOutput){.fd = -1};
}

ssmc_status
rt_output_open(const char *path, RtOutput *out)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    const bool straight = exists && !S_ISREG(st.st_mode);
    *out = (RtOutput){.fd = -1};
    errno = ENOMEM;
    /* Through a symbolic link the file it names is replaced, not the link. */
    out->path = exists && !straight ? realpath(path, NULL) : strdup(path);
    if (out->path && straight)
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
    else if (out->path && open_temporary(out))
        out->mode = exists ? st.st_mode & 0777 : 0;
    if (out->fd >= 0)
        return SSMC_OK;
    const ssmc_status status = rt_fail_errno("write", path);
    output_forget(out);
    return status;
}

bool
rt_output_put(RtOutput *out, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        const ssize_t put = write(out->fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return true;
}

static bool
output_commit(const RtOutput *out)
{
    return (!out->mode || fchmod(out->fd, (mode_t)out->mode) == 0) && fsync(out->fd) == 0 &&
           rename(out->temporary, out->path) == 0;
}

ssmc_status
rt_output_close(RtOutput *out, bool ok)
{
    ok = ok && (!out->temporary || output_commit(out));
    ssmc_status status = ok ? SSMC_OK : rt_fail_errno("write", out->path);
    if (!ok && out->temporary)
        unlink(out->temporary);
    if (close(out->fd) != 0 && ok)
        status = rt_fail_errno("write", out->path);
    output_forget(out);
    return status;
}
