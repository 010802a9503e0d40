/* explore/file.c -- the file of results: rows are appended one by one, each on the disk
 * before the next is measured, so that whatever ends the run, what was measured stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explore/explore.h"

enum { MOST_BYTES = 256 << 20 };

static bool
fail_errno(Arena *arena, const char *what, const char *path, const char **why)
{
    *why = arena_printf(arena, "cannot %s %s: %s", what, path, strerror(errno));
    return false;
}

/* All of it, or nothing of it. */
static bool
append(const ExploreFile *f, const char *text, size_t len)
{
    const off_t before = f->regular ? lseek(f->fd, 0, SEEK_END) : 0;
    for (size_t at = 0; at < len;) {
        const ssize_t put = write(f->fd, text + at, len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            const int reason = errno;
            if (f->regular && ftruncate(f->fd, before) != 0)
                errno = reason; /* the half line is dropped when the file is read */
            errno = reason;
            return false;
        }
        at += (size_t)put;
    }
    return !f->regular || fdatasync(f->fd) == 0;
}

/* Two runs must not write one file. */
static bool
lock(ExploreFile *f, Arena *arena, const char **why)
{
    if (!f->regular || flock(f->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return true;
    *why = arena_printf(arena, "%s is being written by another run", f->path);
    return false;
}

/* ---- a file that is there ------------------------------------------------------------------ */

static bool
check_head(const ExploreTable *want, const ExploreTable *have, const char *path, const char **why)
{
    for (int id = 0; id < HEAD_COUNT; id++) {
        if (!head_info[id].same || strcmp(want->head[id], have->head[id]) == 0)
            continue;
        *why = arena_printf(want->arena,
                            "%s has results of another %s: '%s'; this run's is '%s'. They do not "
                            "mix: give another name",
                            path, head_info[id].doc, have->head[id], want->head[id]);
        return false;
    }
    return true;
}

/* Whether a row need not be measured again: what did not fit may fit now. */
static bool
is_settled(const ExploreRow *row)
{
    return explore_is_ok(row) || strcmp(row->status, explore_unbuilt) == 0;
}

/* Settled rows of the file, each point once, to the table. */
static bool
take_rows(const char *path, ExploreTable *t, const char **why)
{
    char *text = NULL;
    size_t len = 0;
    ExploreTable have = {.arena = t->arena};
    const char *what = NULL;
    if (!file_read(t->arena, path, MOST_BYTES, &text, &len, why))
        return false;
    if (!explore_read_csv(text, len, &have, &what)) {
        *why = arena_printf(t->arena, "%s, %s", path, what);
        return false;
    }
    if (!check_head(t, &have, path, why))
        return false;
    memcpy(t->head, have.head, sizeof t->head);
    memcpy(t->ceilings, have.ceilings, sizeof t->ceilings);
    t->nceilings = have.nceilings;
    for (int i = 0; i < have.nrows; i++)
        if (is_settled(&have.rows[i]) && !explore_find(t, &have.rows[i]))
            explore_add(t, &have.rows[i]);
    return true;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* The table in the file's place, whole or not at all. */
static bool
replace(const ExploreFile *f, const ExploreTable *t, const char **why)
{
    StrBuf text = {0};
    explore_put_csv(&text, t);
    const bool ok = rt_file_write(f->path, sb_text(&text), text.len) == SSMC_OK;
    if (!ok)
        *why = arena_strdup(t->arena, ssmc_error());
    sb_free(&text);
    return ok;
}

static bool
open_append(ExploreFile *f, Arena *arena, int more, const char **why)
{
    struct stat st;
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC | more, 0666);
    if (f->fd < 0)
        return fail_errno(arena, "write", f->path, why);
    f->regular = fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode);
    return lock(f, arena, why);
}

static bool
begin_file(ExploreFile *f, const ExploreTable *t, const char **why)
{
    StrBuf text = {0};
    if (!open_append(f, t->arena, O_CREAT, why))
        return false;
    explore_put_csv(&text, t);
    const bool ok = append(f, text.text, text.len);
    sb_free(&text);
    if (ok)
        return true;
    fail_errno(t->arena, "write", f->path, why);
    if (f->regular)
        unlink(f->path); /* an empty file that this run made */
    return false;
}

/* The file is locked before it is read, and its successor before anything is added. */
static bool
resume_file(ExploreFile *f, ExploreTable *t, const char **why, bool *users)
{
    if (!open_append(f, t->arena, 0, why))
        return false;
    const int old = f->fd;
    *users = true;
    bool ok = take_rows(f->path, t, why);
    *users = !ok;
    f->fd = -1;
    ok = ok && replace(f, t, why) && open_append(f, t->arena, 0, why);
    close(old);
    return ok;
}

bool
explore_file_open(ExploreFile *f, const char *path, bool resume, ExploreTable *t, const char **why,
                  bool *users)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0, file = exists && S_ISREG(st.st_mode);
    *f = (ExploreFile){.path = path, .fd = -1};
    *users = false;
    if (file && !resume) {
        *users = true;
        *why = arena_printf(
            t->arena, "%s is there already: --resume goes on with it, or give another name", path);
        return false;
    }
    const bool ok = file ? resume_file(f, t, why, users) : begin_file(f, t, why);
    if (!ok && f->fd >= 0)
        close(f->fd);
    return ok;
}

bool
explore_file_add(ExploreFile *f, Arena *arena, const ExploreRow *row, const char **why)
{
    StrBuf line = {0};
    explore_put_line(&line, row);
    const bool ok = append(f, line.text, line.len);
    sb_free(&line);
    return ok || fail_errno(arena, "write", f->path, why);
}

bool
explore_file_end(ExploreFile *f, ExploreTable *t, const char **why)
{
    qsort(t->rows, (size_t)t->nrows, sizeof *t->rows, explore_row_order);
    const bool ok = !f->regular || replace(f, t, why);
    close(f->fd);
    f->fd = -1;
    return ok;
}

/* ---- the page ------------------------------------------------------------------------------ */

/* A file is replaced by one beside it; what is no file is written straight. */
bool
explore_page_check(Arena *arena, const char *path, const char **why)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    const bool straight = exists && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    const char *slash = strrchr(path, '/');
    const char *folder = !slash          ? "."
                         : slash == path ? "/"
                                         : arena_strndup(arena, path, (size_t)(slash - path));
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return fail_errno(arena, "write", path, why);
    }
    errno = 0;
    if (straight ? access(path, W_OK) == 0
                 : stat(folder, &st) == 0 && S_ISDIR(st.st_mode) && access(folder, W_OK) == 0)
        return true;
    errno = errno ? errno : ENOTDIR;
    return fail_errno(arena, "write", path, why);
}
