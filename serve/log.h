/* serve/log.h -- private to serve/: a file of whole lines, written by a thread of its own, so that
 * nobody who has something to say waits for a disk. */
#ifndef SSMC_SERVE_LOG_H
#define SSMC_SERVE_LOG_H

#include "ir/util.h"

typedef struct Log Log;
/* path NULL: stderr. NULL: the file cannot be opened (errno). */
Log *log_open(const char *path);
/* A line, after the time. Lines that come faster than they can be written are counted, and the
 * count is said. */
void log_line(Log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_reopen(Log *log); /* the file is opened again; where that fails the old one stays */
void log_close(Log *log);  /* writes what is left */

#endif
