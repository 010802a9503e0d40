/* runtime/json.h -- JSON of files from strangers, by json-c: strict, and bounded in length, depth
 * and number of values before anything is made of it. */
#ifndef SSMC_RUNTIME_JSON_H
#define SSMC_RUNTIME_JSON_H

#include <json-c/json.h>

#include "runtime/internal.h"

/* Bytes: as the reference reader of safetensors bounds a header. */
enum { RT_JSON_MOST_BYTES = 100000000, RT_JSON_MOST_VALUES = 1 << 20, RT_JSON_MOST_DEPTH = 32 };

/* The object that a text is; the caller puts it back (json_object_put). Messages start with where,
 * "F: header". Of two members of one name json-c keeps the last. */
ssmc_status rt_json_parse(const char *text, size_t len, const char *where, json_object **out);

/* A whole number from 0 to 2^63-1, exactly. */
bool rt_json_count(const json_object *value, int64_t *out);

/* For messages: "an object", "null" ... */
const char *rt_json_kind(const json_object *value);

#endif
