/* serve/request.c -- a body of JSON to the values of request_keys.def. */
#include "serve/request.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/request_read.h"

const RequestKeyInfo request_key_info[REQ_COUNT] = {
#define REQUEST_KEY(id, name, kind, low, high, where, doc)                                         \
    [REQ_##id] = {name, RK_##kind, low, high, where, doc},
#include "serve/request_keys.def"
#undef REQUEST_KEY
};

bool
fault_set(Fault *fault, int status, const char *param, const char *code, const char *fmt, ...)
{
    if (fault->status)
        return false;
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&fault->message, fmt, args);
    va_end(args);
    fault->status = status;
    fault->param = param;
    fault->code = code;
    return false;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static const char *
parse_fault(enum json_tokener_error error, size_t at, size_t len)
{
    if (error == json_tokener_continue || at >= len)
        return "it ends too early";
    return error == json_tokener_error_depth ? "it is nested too deep"
                                             : json_tokener_error_desc(error);
}

/* NULL: fault. */
static json_object *
parse(const char *body, size_t len, Fault *fault)
{
    enum { MOST = 1 << 30 };
    size_t bad = 0;
    if (!utf8_valid(body, len, &bad)) {
        fault_set(fault, 400, NULL, NULL,
                  "the body is not UTF-8: byte %zu is 0x%02x, which no character has there", bad,
                  (unsigned char)body[bad]);
        return NULL;
    }
    if (len == 0 || len > MOST) {
        fault_set(fault, 400, NULL, NULL, "the body is %s: a JSON object is expected",
                  len ? "too long" : "empty");
        return NULL;
    }
    json_tokener *tokener = json_tokener_new_ex(REQUEST_DEPTH);
    if (!tokener)
        die_no_memory(0);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *json = json_tokener_parse_ex(tokener, body, (int)len);
    const enum json_tokener_error error = json_tokener_get_error(tokener);
    const size_t at = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (error == json_tokener_success && json_object_is_type(json, json_type_object))
        return json;
    if (error == json_tokener_success)
        fault_set(fault, 400, NULL, NULL, "the body is JSON, but no object");
    else
        fault_set(fault, 400, NULL, NULL, "the body is not JSON: %s (byte %zu of %zu)",
                  parse_fault(error, at, len), at, len);
    json_object_put(json);
    return NULL;
}

/* ---- values by the table ------------------------------------------------------------------- */

static const char *
type_wanted(RequestKind kind)
{
    switch (kind) {
    case RK_FLAG:
        return "true or false";
    case RK_INT:
        return "a whole number";
    case RK_NUM:
        return "a number";
    case RK_WORDS:
        return "a string";
    case RK_OBJECT:
        return "an object";
    case RK_ARRAY:
        return "a list";
    case RK_ANY:
    case RK_NONE:
        break;
    }
    return "another value";
}

static bool
type_fits(RequestKind kind, const json_object *json)
{
    const enum json_type type = json_object_get_type(json);
    switch (kind) {
    case RK_FLAG:
        return type == json_type_boolean;
    case RK_INT:
        return type == json_type_int ||
               (type == json_type_double &&
                rint(json_object_get_double(json)) == json_object_get_double(json));
    case RK_NUM:
        return type == json_type_int || type == json_type_double;
    case RK_WORDS:
        return type == json_type_string;
    case RK_OBJECT:
        return type == json_type_object;
    case RK_ARRAY:
        return type == json_type_array;
    case RK_ANY:
    case RK_NONE:
        break;
    }
    return true;
}

/* Of a key that is not offered: a value that asks for nothing. */
static bool
asks_nothing(const json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_string:
        return json_object_get_string_len(json) == 0;
    case json_type_boolean:
        return !json_object_get_boolean(json);
    case json_type_array:
        return json_object_array_length(json) == 0;
    case json_type_null:
        return true;
    case json_type_object:
    case json_type_int:
    case json_type_double:
        break;
    }
    return false;
}

static bool
in_range(const RequestKeyInfo *info, RequestValue *v, Fault *fault)
{
    v->num = json_object_get_double(v->json);
    if (!(v->num >= info->low && v->num <= info->high))
        return fault_set(fault, 400, info->name, NULL, "%s is %.17g, but must be %.17g to %.17g",
                         info->name, v->num, info->low, info->high);
    v->i = info->kind == RK_INT ? (int64_t)v->num : 0;
    return true;
}

static bool
read_value(RequestKey key, RequestValue *v, Fault *fault)
{
    const RequestKeyInfo *info = &request_key_info[key];
    if (!type_fits(info->kind, v->json))
        return fault_set(fault, 400, info->name, NULL, "%s must be %s, not %s", info->name,
                         type_wanted(info->kind), json_type_to_name(json_object_get_type(v->json)));
    switch (info->kind) {
    case RK_INT:
    case RK_NUM:
        return in_range(info, v, fault);
    case RK_NONE:
        if (!asks_nothing(v->json))
            return fault_set(fault, 400, info->name, "unsupported_parameter",
                             "%s (%s) is not offered here", info->name, info->doc);
        break;
    case RK_FLAG:
        v->i = json_object_get_boolean(v->json);
        break;
    case RK_WORDS:
        v->text = json_object_get_string(v->json);
        v->len = (size_t)json_object_get_string_len(v->json);
        break;
    case RK_OBJECT:
    case RK_ARRAY:
    case RK_ANY:
        break;
    }
    return true;
}

bool
request_has(const Body *request, RequestKey key)
{
    return request->value[key].json != NULL;
}

bool
request_read(Body *request, Endpoint endpoint, const char *body, size_t len, Fault *fault)
{
    *request = (Body){.endpoint = endpoint, .top = -1, .body = parse(body, len, fault)};
    if (!request->body)
        return false;
    for (int key = 0; key < REQ_COUNT; key++) {
        const RequestKeyInfo *info = &request_key_info[key];
        RequestValue *v = &request->value[key];
        if (!strchr(info->where, endpoint) ||
            !json_object_object_get_ex(request->body, info->name, &v->json) || !v->json)
            continue;
        if (!read_value((RequestKey)key, v, fault))
            return false;
    }
    return request_read_rest(request, fault);
}

void
request_free(Body *request)
{
    free(request->bias);
    json_object_put(request->body);
    *request = (Body){0};
}

int64_t
request_given(const Body *request)
{
    static const RequestKey keys[] = {REQ_n, REQ_n_cmpl};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (request_has(request, keys[i]))
            return request->value[keys[i]].i;
    return 1;
}

int64_t
request_made(const Body *request)
{
    return request_has(request, REQ_best_of) ? request->value[REQ_best_of].i
                                             : request_given(request);
}
