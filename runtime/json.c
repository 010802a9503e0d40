/* runtime/json.c -- json-c with the bounds that files from strangers need. */
#include "runtime/json.h"

/* json-c takes up to 700 bytes for a value ("{}" and a comma, 3 bytes of text). Every value but the
 * first follows one of these marks; marks inside strings count too, which errs on the safe side. */
static bool
is_small(const char *text, size_t len)
{
    size_t values = 1;
    for (size_t i = 0; i < len; i++)
        values += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return values <= RT_JSON_MOST_VALUES;
}

static ssmc_status
parse(json_tokener *tok, const char *text, size_t len, const char *where, json_object **out)
{
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    *out = json_tokener_parse_ex(tok, text, (int)len);
    const enum json_tokener_error error = json_tokener_get_error(tok);
    const size_t at = json_tokener_get_parse_end(tok);
    if (error == json_tokener_continue)
        return rt_fail(SSMC_BAD_FILE, "%s is not valid JSON: it ends too early, at byte %zu", where,
                       len);
    if (error != json_tokener_success)
        return rt_fail(SSMC_BAD_FILE, "%s is not valid JSON: byte %zu: %s", where, at,
                       json_tokener_error_desc(error));
    if (json_object_is_type(*out, json_type_object))
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE, "%s: expected an object, found %s", where, rt_json_kind(*out));
}

ssmc_status
rt_json_parse(const char *text, size_t len, const char *where, json_object **out)
{
    *out = NULL;
    if (len > RT_JSON_MOST_BYTES)
        return rt_fail(SSMC_BAD_FILE, "%s has %zu bytes; at most %d are read", where, len,
                       RT_JSON_MOST_BYTES);
    if (!is_small(text, len))
        return rt_fail(SSMC_BAD_FILE, "%s has too many values; at most %d are read", where,
                       RT_JSON_MOST_VALUES);
    json_tokener *tok = json_tokener_new_ex(RT_JSON_MOST_DEPTH);
    if (!tok)
        return rt_fail_memory(len, "a JSON reader");
    const ssmc_status status = parse(tok, text, len, where, out);
    json_tokener_free(tok);
    if (status == SSMC_OK)
        return SSMC_OK;
    json_object_put(*out);
    *out = NULL;
    return status;
}

/* A number past the largest becomes an unsigned one, and one past that the largest unsigned one. */
bool
rt_json_count(const json_object *value, int64_t *out)
{
    if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
        json_object_get_uint64(value) > INT64_MAX)
        return false;
    *out = json_object_get_int64(value);
    return true;
}

const char *
rt_json_kind(const json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "a boolean";
    case json_type_double:
    case json_type_int:
        return "a number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "a list";
    case json_type_string:
        return "a string";
    }
    return "nothing";
}
