/* tokenizer/json_file.h -- JSON files read through json-c, with a position for every fault. */
#ifndef SSMC_TOKENIZER_JSON_FILE_H
#define SSMC_TOKENIZER_JSON_FILE_H

#include <json-c/json.h>

#include "ir/diag.h"

typedef struct {
    const char *text;
    size_t len;
} Span;

typedef struct {
    Arena *arena;
    Diag *diag;
    const Source *source;
    int faults;
    bool optional; /* faults are notes: what is at fault is left out */
    bool lenient;  /* what json-c takes beyond the standard is taken */
    /* Line of the newest position. */
    const char *line_start;
    int line;
} JsonFile;

/* A value and the way to it. key NULL: element `index` of an array; up NULL: the root. */
typedef struct JsonAt JsonAt;
struct JsonAt {
    const JsonAt *up;
    const char *key;
    size_t index;
    bool there;         /* false: its object has no such key */
    json_object *value; /* NULL for null, too */
};

/* False: the fault is in diag. Otherwise json_object_put *out, which is NULL for the text `null`.
 */
bool json_file_parse(JsonFile *file, json_object **out);
/* Reports a fault at a value (at its object when it is missing): "model.vocab["a"] <message>".
 * Always false, so that a check can return it. */
bool json_fault(JsonFile *file, const JsonAt *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Notes what a reader should know of a value. */
void json_note(JsonFile *file, const JsonAt *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Enough faults were reported: reading on would only cost time. */
bool json_full(const JsonFile *file);
/* A value in words for messages: null, "text", 12, an array ... (arena text). */
const char *json_words(JsonFile *file, const JsonAt *at);

JsonAt json_key(const JsonAt *up, const char *key);    /* up must be an object, else not there */
JsonAt json_item(const JsonAt *up, size_t index);      /* up must be an array with that index */
bool json_is_text(const JsonAt *at, const char *text); /* a string equal to text */
/* Typed reads; false: the fault is reported. */
bool json_want_object(JsonFile *file, const JsonAt *at);
bool json_want_array(JsonFile *file, const JsonAt *at, size_t *count);
bool json_want_text(JsonFile *file, const JsonAt *at, Span *out); /* borrows the JSON tree */
bool json_want_int(JsonFile *file, const JsonAt *at, int64_t min, int64_t max, int64_t *out);
bool json_want_bool(JsonFile *file, const JsonAt *at, bool *out);
/* Missing gives `otherwise`. */
bool json_bool_or(JsonFile *file, const JsonAt *at, bool otherwise, bool *out);

/* ---- the text of a file, for readers that need a position of every value -------------------- */

/* Position of `at`; walks on from the newest one. */
SrcLoc json_loc(JsonFile *file, const char *at, size_t span);
const char *json_skip_space(const char *at, const char *end);
/* Behind the string or the other value that starts at `at`. */
const char *json_skip_value(const char *at, const char *end);

#endif
