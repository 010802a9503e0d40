/* ir/diag.h -- the user's faults: collected, with file:line:column, source line and caret. */
#ifndef SSMC_IR_DIAG_H
#define SSMC_IR_DIAG_H

#include "ir/util.h"

/* One text a diagnostic can point into. borrows text until the Diag is freed. */
typedef struct {
    const char *path;
    const char *text; /* NULL: no source line is shown */
    size_t len;
} Source;

/* Position; source NULL: unknown. line and column count from 1 (column in bytes); span is how many
 * bytes the caret underlines (0 or 1: one caret). */
typedef struct {
    const Source *source;
    int line, column, span;
} SrcLoc;

typedef struct Diag Diag;
Diag *diag_new(void);
void diag_free(Diag *diag);
/* Frees an arena, which diagnostics point into, with the Diag. */
void diag_own(Diag *diag, Arena *arena);

/* Message text: what was found, what was expected, where the expectation comes from. Errors are
 * false, so that a check can return them. */
bool diag_error(Diag *diag, SrcLoc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A second place of the newest error or note ("the other size is given here"). */
bool diag_also(Diag *diag, SrcLoc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_note(Diag *diag, SrcLoc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);

int diag_errors(const Diag *diag);
bool diag_is_full(const Diag *diag); /* more errors are counted only */
/* Prints the notes of work that went well, a line each, and forgets them. */
void diag_take_notes(Diag *diag, StrBuf *out);
/* Prints everything collected, at most 20 errors in full, then "... and N more". */
void diag_print(const Diag *diag, StrBuf *out);

#endif
