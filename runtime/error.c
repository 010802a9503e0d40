/* runtime/error.c -- the message of the newest fault of each thread, and text for such messages. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/internal.h"

/* Room for a report of a few dozen lines: a fault must not need memory to be told. */
static _Thread_local char message[8192];

const char *
ssmc_error(void)
{
    return message;
}

static void
message_put(size_t at, const char *fmt, va_list args)
{
    if (at < sizeof message)
        vsnprintf(message + at, sizeof message - at, fmt, args);
}

ssmc_status
rt_fail(ssmc_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    message_put(0, fmt, args);
    va_end(args);
    return status;
}

ssmc_status
rt_fail_also(ssmc_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t at = strlen(message);
    if (at > 0 && at + 1 < sizeof message)
        message[at++] = '\n';
    message_put(at, fmt, args);
    va_end(args);
    return status;
}

ssmc_status
rt_fail_errno(const char *what, const char *path)
{
    const ssmc_status status = errno == ENOMEM ? SSMC_NO_MEMORY : SSMC_IO;
    return rt_fail(status, "cannot %s %s: %s", what, path, strerror(errno));
}

ssmc_status
rt_fail_memory(size_t bytes, const char *of_what)
{
    return rt_fail(SSMC_NO_MEMORY, "no memory for %s: %zu bytes", of_what, bytes);
}

ssmc_status
rt_fail_null(const char *what)
{
    return rt_fail(SSMC_BAD_ARGUMENT, "no %s: it is NULL", what);
}

RtText
rt_quote(const char *name)
{
    RtText out;
    const size_t room = sizeof out.text - 4; /* "..." and NUL */
    size_t n = 0;
    for (; name[n] && n < room; n++) {
        const unsigned char c = (unsigned char)name[n];
        out.text[n] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    strcpy(out.text + n, name[n] ? "..." : "");
    return out;
}

RtText
rt_dims(const int64_t *dim, int rank)
{
    RtText out = {"["};
    size_t n = 1;
    for (int i = 0; i < rank && n < sizeof out.text - 24; i++)
        n += (size_t)snprintf(out.text + n, sizeof out.text - n, i ? ",%" PRId64 : "%" PRId64,
                              dim[i]);
    strcpy(out.text + n, "]");
    return out;
}
