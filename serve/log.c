/* serve/log.c -- lines of the log, and the thread that writes them. */
#include "serve/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_WAITING = 1 << 20 }; /* bytes */

struct Log {
    const char *path; /* NULL: stderr */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t something;
    StrBuf lines; /* to be written */
    unsigned long long dropped;
    bool reopen, closing;
    int fd; /* the thread's alone */
};

static int
open_file(const char *path)
{
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : STDERR_FILENO;
}

static void
put_time(StrBuf *out)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char text[40];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    sb_printf(out, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

void
log_line(Log *log, const char *fmt, ...)
{
    pthread_mutex_lock(&log->lock);
    if (log->lines.len > MOST_WAITING) {
        log->dropped++;
    } else {
        va_list args;
        put_time(&log->lines);
        va_start(args, fmt);
        sb_vprintf(&log->lines, fmt, args);
        va_end(args);
        sb_puts(&log->lines, "\n");
    }
    pthread_cond_signal(&log->something);
    pthread_mutex_unlock(&log->lock);
}

/* All of it, or what a broken file takes. */
static void
write_lines(int fd, const char *text, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void
open_again(Log *log)
{
    const int fd = open_file(log->path);
    if (fd < 0) {
        log_line(log, "the log cannot be opened again, and goes on where it is: %s",
                 strerror(errno));
        return;
    }
    if (log->path)
        close(log->fd);
    log->fd = fd;
}

static void *
log_thread(void *user)
{
    Log *log = user;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->lines.len == 0 && !log->reopen && !log->closing)
            pthread_cond_wait(&log->something, &log->lock);
        StrBuf lines = log->lines;
        const bool reopen = log->reopen, last = log->closing && lines.len == 0;
        if (log->dropped) {
            put_time(&lines);
            sb_printf(&lines, "%llu lines were dropped: the log's file is too slow\n",
                      log->dropped);
        }
        log->lines = (StrBuf){0};
        log->dropped = 0;
        log->reopen = false;
        pthread_mutex_unlock(&log->lock);
        write_lines(log->fd, sb_text(&lines), lines.len);
        sb_free(&lines);
        if (reopen)
            open_again(log);
        if (last)
            return NULL;
        pthread_mutex_lock(&log->lock);
    }
}

Log *
log_open(const char *path)
{
    Log *log = calloc(1, sizeof *log);
    if (!log)
        die_no_memory(sizeof *log);
    log->path = path;
    log->fd = open_file(path);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->something, NULL);
    const int error = log->fd < 0 ? errno : pthread_create(&log->thread, NULL, log_thread, log);
    if (!error)
        return log;
    if (log->fd >= 0 && path)
        close(log->fd);
    free(log);
    errno = error;
    return NULL;
}

void
log_reopen(Log *log)
{
    pthread_mutex_lock(&log->lock);
    log->reopen = log->path != NULL;
    pthread_cond_signal(&log->something);
    pthread_mutex_unlock(&log->lock);
}

void
log_close(Log *log)
{
    if (!log)
        return;
    pthread_mutex_lock(&log->lock);
    log->closing = true;
    pthread_cond_signal(&log->something);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    if (log->path)
        close(log->fd);
    sb_free(&log->lines);
    pthread_mutex_destroy(&log->lock);
    pthread_cond_destroy(&log->something);
    free(log);
}
