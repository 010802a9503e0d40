/* runtime/json.h -- a strict JSON reader that walks the text once, keeps byte positions and takes
 * no memory: headers of weight files come from strangers. The first fault sticks; every call after
 * it returns false, so that callers check once at the end.
 *
 *     for (rt_json_open(&j, '{'); rt_json_more(&j, '}');) { rt_json_key(&j, room); ...value... }
 *     if (!rt_json_end(&j)) return SSMC_BAD_FILE;
 */
#ifndef SSMC_RUNTIME_JSON_H
#define SSMC_RUNTIME_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *text;
    size_t len, at;
    const char *where; /* starts every message: "F: header" */
    bool first;        /* no element of the innermost collection read yet */
    bool failed;       /* ssmc_error says why */
} RtJson;

/* open: '{' or '['. */
bool rt_json_open(RtJson *j, char open);
/* Is there another element? Reads the comma before it, or the closing bracket. */
bool rt_json_more(RtJson *j, char close);
/* A string, decoded into room as a C string. A string of n bytes with its quotes takes at most n -
 * 1 bytes of room. \u0000 and bytes that are not UTF-8 are faults. NULL room: only read. */
bool rt_json_string(RtJson *j, char *room);
/* A string and the colon behind it. */
bool rt_json_key(RtJson *j, char *room);
/* A whole number, 0 or more. */
bool rt_json_count(RtJson *j, uint64_t *out);
/* Any value. */
bool rt_json_skip(RtJson *j);
/* Nothing but blanks is left. */
bool rt_json_end(RtJson *j);

/* Sets the message "WHERE: byte N: expected WHAT, found ..."; false. */
bool rt_json_expected(RtJson *j, const char *what);

/* Length of the UTF-8 sequence at text (1 to 4), or 0 when it is none. */
int rt_utf8_length(const char *text, size_t len);

#endif
