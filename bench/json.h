/* bench/json.h -- JSON of results, traces and pages, written by json-c. */
#ifndef SSMC_BENCH_JSON_H
#define SSMC_BENCH_JSON_H

#include <json-c/json.h>

#include "ir/util.h"

typedef struct json_object Json;

/* A number of six digits, more than is measured; null where it is not finite. */
Json *json_number(double x);
void json_put(Json *object, const char *key, Json *value);
void json_put_text(Json *object, const char *key, const char *text);
/* Appends the value, over several lines where it is for people to read, and frees it. */
void json_write(StrBuf *out, Json *value, bool pretty);

#endif
