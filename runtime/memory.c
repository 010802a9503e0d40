/* runtime/memory.c -- checked sizes, pages, mapped files. */
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

enum { HUGE_PAGE = 2 << 20 };

/* What is mapped for so many bytes. mmap takes no length of 0. */
static size_t
mapped_bytes(size_t bytes)
{
    size_t whole = 0;
    if (bytes < HUGE_PAGE || !rt_round_up(bytes, HUGE_PAGE, &whole))
        return bytes ? bytes : 1;
    return whole;
}

/* Whole huge pages, where there is one to fill, begin where a huge page can: a mapping that begins
 * anywhere leaves its first and last few hundred pages small. */
static char *
map_pages(size_t bytes)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const size_t mapped = mapped_bytes(bytes), spare = bytes < HUGE_PAGE ? 0 : HUGE_PAGE;
    size_t all = 0;
    if (!rt_add(mapped, spare, &all))
        return NULL;
    char *from = mmap(NULL, all, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (from == MAP_FAILED)
        return NULL;
    const size_t before = spare ? (HUGE_PAGE - (uintptr_t)from % HUGE_PAGE) % HUGE_PAGE : 0;
    if (before)
        munmap(from, before);
    if (spare > before)
        munmap(from + before + mapped, spare - before);
    return from + before;
}

void *
rt_pages_new(size_t bytes)
{
    char *pages = map_pages(bytes);
    if (pages)
        rt_pages_long(pages, mapped_bytes(bytes));
    return pages;
}

void *
rt_pages_reserve(size_t bytes)
{
    char *pages = map_pages(bytes);
#ifdef MADV_NOHUGEPAGE
    if (pages)
        (void)madvise(pages, mapped_bytes(bytes), MADV_NOHUGEPAGE);
#endif
    return pages;
}

void
rt_pages_long(void *from, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    (void)madvise(from, bytes, MADV_HUGEPAGE); /* a wish: kernels may lack it */
#else
    (void)from, (void)bytes;
#endif
}

/* Where memory is locked, pages cannot leave it. */
void
rt_pages_zero(void *from, size_t bytes)
{
    enum { MANY = 1 << 20 }; /* bytes: taking pages again is then faster than writing them */
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = from;
    const size_t before = (page - (uintptr_t)at % page) % page;
    if (bytes < MANY || bytes < before + page) {
        memset(at, 0, bytes);
        return;
    }
    const size_t whole = (bytes - before) / page * page, after = bytes - before - whole;
    memset(at, 0, before);
    if (madvise(at + before, whole, MADV_DONTNEED) != 0)
        memset(at + before, 0, whole);
    memset(at + before + whole, 0, after);
}

void
rt_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, mapped_bytes(bytes));
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
