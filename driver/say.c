/* driver/say.c -- messages on stderr, the progress bar, texts that come in. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/driver.h"

const char *
program_name(void)
{
    return program_invocation_short_name;
}

void
standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void
say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void
note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: note: ", program_name());
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

int
fault(int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: ", program_name());
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

int
runtime_fault(ssmc_status status)
{
    if (status == SSMC_FULL)
        return fault(EXIT_FAILED, "%s (--context N gives it room for N)", ssmc_error());
    return fault(runtime_exit(status), "%s", ssmc_error());
}

int
diag_fault(Diag *diag)
{
    StrBuf text = {0};
    diag_print(diag, &text);
    fputs(sb_text(&text), stderr);
    sb_free(&text);
    return EXIT_BAD_INPUT;
}

void
notes_say(Diag *diag)
{
    StrBuf text = {0};
    diag_take_notes(diag, &text);
    fputs(sb_text(&text), stderr);
    sb_free(&text);
}

Progress
progress_start(const char *what)
{
    return (Progress){.what = what, .shown = isatty(STDERR_FILENO) != 0, .started = rt_now()};
}

/* Drawn at most ten times a second, and not for work that is done within half a second. */
void
progress_step(Progress *p, int64_t done, int64_t total)
{
    enum { WIDTH = 30 };
    const double now = rt_now();
    const bool too_soon = now - p->started < 0.5 || now - p->drawn < 0.1;
    if (!p->shown || total <= 0 || too_soon)
        return;
    p->drawn = now;
    const int full = (int)(WIDTH * done / total);
    const double left = done > 0 ? (now - p->started) * (double)(total - done) / (double)done : 0;
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %lld/%lld  %.0f s left \033[K", p->what, bar, (long long)done,
            (long long)total, left);
}

void
progress_end(Progress *p)
{
    if (p->shown && p->drawn > 0)
        fputs("\r\033[K", stderr);
}

bool
read_stdin(Arena *arena, char **text, size_t *len)
{
    StrBuf all = {0};
    enum { PIECE = 65536 };
    char *piece = arena_alloc(arena, PIECE);
    size_t got = 0;
    while ((got = fread(piece, 1, PIECE, stdin)) > 0)
        sb_putn(&all, piece, got);
    const bool ok = !ferror(stdin);
    *text = arena_strndup(arena, sb_text(&all), all.len);
    *len = all.len;
    sb_free(&all);
    if (!ok)
        fault(EXIT_FAILED, "cannot read standard input: %s", strerror(errno));
    return ok;
}

int
encode_text(const Tokenizer *tok, const char *what, const char *text, size_t len, int32_t **ids,
            size_t *count)
{
    size_t bad = 0;
    if (tok_encode(tok, text, len, ids, count, &bad))
        return EXIT_DONE;
    if (bad == len)
        return fault(EXIT_FAILED, "the splitting expression of the tokenizer gave up on %s", what);
    return fault(EXIT_BAD_INPUT,
                 "%s is not UTF-8: byte %zu is 0x%02x, which no character has there", what, bad,
                 (unsigned char)text[bad]);
}
