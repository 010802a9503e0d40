/* compiler/tell.c -- what a listener is told, and files written whole. */
#include <stdio.h>

#include "compiler/internal.h"

int
runtime_exit(ssmc_status status)
{
    const bool users = status == SSMC_BAD_ARGUMENT || status == SSMC_BAD_FILE || status == SSMC_IO;
    return users ? EXIT_BAD_INPUT : EXIT_FAILED;
}

static void
tell(const Listener *to, Told kind, StrBuf *text)
{
    to->tell(to->user, kind, sb_text(text));
    sb_free(text);
}

static void
tell_args(const Listener *to, Told kind, const char *fmt, va_list args)
{
    StrBuf text = {0};
    sb_vprintf(&text, fmt, args);
    tell(to, kind, &text);
}

int
tell_fault(const Listener *to, int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell_args(to, TOLD_fault, fmt, args);
    va_end(args);
    return status;
}

void
tell_text(const Listener *to, Told kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell_args(to, kind, fmt, args);
    va_end(args);
}

int
tell_runtime_fault(const Listener *to, ssmc_status status)
{
    return tell_fault(to, runtime_exit(status), "%s", ssmc_error());
}

int
tell_faults(const Listener *to, Diag *diag)
{
    StrBuf text = {0};
    diag_print(diag, &text);
    tell(to, TOLD_faults, &text);
    return EXIT_BAD_INPUT;
}

void
tell_notes(const Listener *to, Diag *diag)
{
    StrBuf text = {0};
    diag_take_notes(diag, &text);
    tell(to, TOLD_notes, &text);
}

void
tell_progress(const Listener *to, const char *what, int64_t done, int64_t total)
{
    if (to->progress)
        to->progress(to->user, what, done, total);
}

Bar
bar_start(const Job *job, const char *what)
{
    tell_progress(job->settings.listener, what, 0, 1);
    return (Bar){job->settings.listener, what};
}

void
bar_call(void *user, int64_t done, int64_t total)
{
    const Bar *bar = user;
    tell_progress(bar->to, bar->what, done, total);
}

void
bar_end(const Bar *bar)
{
    tell_progress(bar->to, bar->what, 0, 0);
}

bool
file_write(Arena *arena, const char *path, const void *data, size_t len, const char **why)
{
    const bool ok = rt_file_write(path, data, len) == SSMC_OK;
    if (!ok)
        *why = arena_strdup(arena, ssmc_error());
    return ok;
}
