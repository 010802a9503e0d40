/* bench/json.c -- see json.h. */
#include "bench/json.h"

#include <math.h>
#include <stdio.h>

Json *
json_number(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", x);
    return isfinite(x) ? json_object_new_double_s(x, text) : NULL;
}

void
json_put(Json *object, const char *key, Json *value)
{
    json_object_object_add(object, key, value);
}

void
json_put_text(Json *object, const char *key, const char *text)
{
    json_put(object, key, json_object_new_string(text));
}

void
json_write(StrBuf *out, Json *value, bool pretty)
{
    const int layout = pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN;
    sb_puts(out, json_object_to_json_string_ext(value, layout | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(value);
}
