/* runtime/output.c -- files written whole or not at all: under a temporary name, to the disk, and
 * then by a rename under their own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"

static void
output_forget(RtOutput *out)
{
    free(out->path);
    *out = (RtOutput){.fd = -1, .temporary = {.fd = -1}};
}

ssmc_status
rt_output_open(const char *path, RtOutput *out)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    const bool straight = exists && !S_ISREG(st.st_mode);
    *out = (RtOutput){.fd = -1, .temporary = {.fd = -1}};
    errno = ENOMEM;
    /* Through a symbolic link the file it names is replaced, not the link. */
    out->path = exists && !straight ? realpath(path, NULL) : strdup(path);
    if (out->path && straight)
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
    else if (out->path && rt_temporary_open(out->path, false, &out->temporary))
        out->fd = out->temporary.fd;
    out->mode = exists && !straight ? st.st_mode & 0777 : 0;
    if (out->fd >= 0)
        return SSMC_OK;
    const ssmc_status status = rt_fail_errno("write", path);
    output_forget(out);
    return status;
}

static bool
write_all(int fd, const char *at, size_t len)
{
    while (len) {
        const ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return true;
}

/* A file beyond the limit of the process (RLIMIT_FSIZE) raises SIGXFSZ, which would end the
 * process; blocked in this thread and taken back it is a failed write (EFBIG) like any other. */
bool
rt_output_put(RtOutput *out, const void *data, size_t len)
{
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    const bool ok = write_all(out->fd, data, len);
    const int reason = errno;
    if (!ok && reason == EFBIG)
        sigtimedwait(&signals, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = reason;
    return ok;
}

static bool
output_commit(const RtOutput *out)
{
    return (!out->mode || fchmod(out->fd, (mode_t)out->mode) == 0) && fsync(out->fd) == 0 &&
           rename(out->temporary.name, out->path) == 0;
}

ssmc_status
rt_output_close(RtOutput *out, bool ok)
{
    const bool straight = out->temporary.fd < 0;
    ok = ok && (straight || output_commit(out));
    ssmc_status status = ok ? SSMC_OK : rt_fail_errno("write", out->path);
    if (straight && close(out->fd) != 0 && ok)
        status = rt_fail_errno("write", out->path);
    rt_temporary_close(&out->temporary);
    output_forget(out);
    return status;
}

ssmc_status
rt_folder_make(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? SSMC_OK
                                                     : rt_fail_errno("make the directory", path);
}

ssmc_status
rt_file_write(const char *path, const void *data, size_t len)
{
    RtOutput out;
    const ssmc_status status = rt_output_open(path, &out);
    return status == SSMC_OK ? rt_output_close(&out, rt_output_put(&out, data, len)) : status;
}
