/* serve/request_read.c -- keys of a request that have a form of their own, and keys that depend on
 * each other. */
#include "serve/request_read.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
wrong(Fault *fault, RequestKey key, const char *wanted)
{
    const char *name = request_key_info[key].name;
    return fault_set(fault, 400, name, NULL, "%s must be %s", name, wanted);
}

static bool
is_text(const json_object *json, const char *text)
{
    return json_object_is_type(json, json_type_string) &&
           strcmp(json_object_get_string((json_object *)json), text) == 0;
}

/* ---- seed, stop, logprobs ------------------------------------------------------------------ */

static bool
read_seed(Body *r, Fault *fault)
{
    json_object *json = r->value[REQ_seed].json;
    if (!json)
        return true;
    if (!json_object_is_type(json, json_type_int))
        return wrong(fault, REQ_seed, "a whole number");
    const int64_t seed = json_object_get_int64(json);
    r->has_seed = seed != -1;
    r->seed = seed > 0 ? json_object_get_uint64(json) : (uint64_t)seed;
    return true;
}

static bool
add_stop(Body *r, const json_object *json, Fault *fault)
{
    if (!json_object_is_type(json, json_type_string))
        return wrong(fault, REQ_stop, "a string, or a list of strings");
    const size_t len = (size_t)json_object_get_string_len(json);
    if (len == 0)
        return true; /* it would end every answer before its first character: clients send it for
                        none */
    if (len > REQUEST_STOP_BYTES || r->nstops == REQUEST_STOPS)
        return fault_set(fault, 400, "stop", NULL,
                         "stop has %s: at most %d texts of up to %d bytes are looked for",
                         len > REQUEST_STOP_BYTES ? "a longer text" : "more texts", REQUEST_STOPS,
                         REQUEST_STOP_BYTES);
    r->stop[r->nstops] = json_object_get_string((json_object *)json);
    r->stop_len[r->nstops++] = len;
    return true;
}

static bool
read_stop(Body *r, Fault *fault)
{
    json_object *json = r->value[REQ_stop].json;
    if (!json || !json_object_is_type(json, json_type_array))
        return !json || add_stop(r, json, fault);
    bool ok = true;
    for (size_t i = 0; ok && i < json_object_array_length(json); i++)
        ok = add_stop(r, json_object_array_get_idx(json, i), fault);
    return ok;
}

/* Of chat a flag and a number, of completions a number (some clients send true there). */
static bool
read_logprobs(Body *r, Fault *fault)
{
    const json_object *json = r->value[REQ_logprobs].json;
    const bool flag = json_object_is_type(json, json_type_boolean);
    if (r->endpoint == ENDPOINT_llama || r->endpoint == ENDPOINT_infill) {
        r->top = r->value[REQ_n_probs].i > 0 ? (int)r->value[REQ_n_probs].i : -1;
        return true;
    }
    if (r->endpoint == ENDPOINT_chat && json && !flag)
        return wrong(fault, REQ_logprobs, "true or false");
    const bool on = json && (!flag || json_object_get_boolean(json));
    if (request_has(r, REQ_top_logprobs) && !on && r->value[REQ_top_logprobs].i > 0)
        return fault_set(fault, 400, "top_logprobs", NULL,
                         "top_logprobs wants logprobs to be true");
    if (!on)
        return true;
    r->top = (int)r->value[REQ_top_logprobs].i;
    if (flag)
        return true;
    const int64_t n = json_object_get_int64(json);
    if (!json_object_is_type(json, json_type_int) || n < 0 || n > 20)
        return wrong(fault, REQ_logprobs, "a whole number from 0 to 20");
    r->top = (int)n;
    return true;
}

/* ---- logit_bias ---------------------------------------------------------------------------- */

static bool
add_bias(Body *r, int64_t id, const json_object *json, Fault *fault)
{
    static const char want[] =
        "an object id: bias, or a list of [id, bias], with biases from -100 to 100, or false";
    const bool never =
        json_object_is_type(json, json_type_boolean) && !json_object_get_boolean(json);
    const bool number =
        json_object_is_type(json, json_type_int) || json_object_is_type(json, json_type_double);
    const double bias = number ? json_object_get_double(json) : 0;
    if ((!never && !number) || !(bias >= -100 && bias <= 100) || id < 0 || id > INT32_MAX)
        return wrong(fault, REQ_logit_bias, want);
    if (r->nbias == REQUEST_BIASES)
        return fault_set(fault, 400, "logit_bias", NULL, "logit_bias has more than %d ids",
                         REQUEST_BIASES);
    r->bias[r->nbias++] = (LogitBias){(int32_t)id, never ? -INFINITY : (float)bias};
    return true;
}

static bool
bias_of_pair(Body *r, json_object *pair, Fault *fault)
{
    if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2 ||
        !json_object_is_type(json_object_array_get_idx(pair, 0), json_type_int))
        return wrong(fault, REQ_logit_bias, "an object id: bias, or a list of [id, bias]");
    return add_bias(r, json_object_get_int64(json_object_array_get_idx(pair, 0)),
                    json_object_array_get_idx(pair, 1), fault);
}

static bool
read_bias(Body *r, Fault *fault)
{
    json_object *json = r->value[REQ_logit_bias].json;
    if (!json)
        return true;
    r->bias = calloc(REQUEST_BIASES, sizeof *r->bias);
    if (!r->bias)
        die_no_memory(REQUEST_BIASES * sizeof *r->bias);
    bool ok = true;
    if (json_object_is_type(json, json_type_array)) {
        for (size_t i = 0; ok && i < json_object_array_length(json); i++)
            ok = bias_of_pair(r, json_object_array_get_idx(json, i), fault);
        return ok;
    }
    if (!json_object_is_type(json, json_type_object))
        return wrong(fault, REQ_logit_bias, "an object id: bias, or a list of [id, bias]");
    json_object_object_foreach(json, name, bias)
    {
        char *end = NULL;
        errno = 0;
        const long long id = strtoll(name, &end, 10);
        if (end == name || *end || errno)
            return fault_set(fault, 400, "logit_bias", NULL,
                             "logit_bias names ids by their numbers, not '%.40s'", name);
        if (!add_bias(r, id, bias, fault))
            return false;
    }
    return true;
}

/* ---- the answer's form --------------------------------------------------------------------- */

static bool
read_format(Body *r, Fault *fault)
{
    json_object *format = r->value[REQ_response_format].json, *type = NULL, *inner = NULL;
    r->schema = r->value[REQ_json_schema].json;
    if (format) {
        if (!json_object_object_get_ex(format, "type", &type))
            return fault_set(fault, 400, "response_format", NULL, "response_format has no type");
        if (is_text(type, "json_schema")) {
            const bool has = json_object_object_get_ex(format, "json_schema", &inner) &&
                             json_object_object_get_ex(inner, "schema", &r->schema);
            if (!has || !json_object_is_type(r->schema, json_type_object))
                return fault_set(
                    fault, 400, "response_format", NULL,
                    "response_format of type json_schema has no object json_schema.schema");
        } else if (is_text(type, "json_object")) {
            /* llama-server's form of a schema */
            r->any_json = !json_object_object_get_ex(format, "schema", &inner);
            r->schema = r->any_json ? r->schema : inner;
        } else if (!is_text(type, "text")) {
            return fault_set(fault, 400, "response_format", NULL,
                             "response_format.type must be text, json_object or json_schema");
        }
    }
    if (request_has(r, REQ_grammar) && (r->schema || r->any_json))
        return fault_set(fault, 400, "grammar", NULL,
                         "grammar and a form of JSON both say what the answer is: give one");
    r->any_json = r->any_json && !r->schema;
    return true;
}

/* "auto", "none", "required", or {"type": "function", "function": {"name": ..}}. */
static bool
read_tool_choice(Body *r, Fault *fault)
{
    json_object *choice = r->value[REQ_tool_choice].json, *type = NULL, *inner = NULL, *name = NULL;
    r->must_call = is_text(choice, "required");
    if (json_object_is_type(choice, json_type_object)) {
        if (!json_object_object_get_ex(choice, "type", &type) || !is_text(type, "function") ||
            !json_object_object_get_ex(choice, "function", &inner) ||
            !json_object_object_get_ex(inner, "name", &name) ||
            !json_object_is_type(name, json_type_string))
            return fault_set(fault, 400, "tool_choice", NULL,
                             "tool_choice is an object, but not of type function with the "
                             "function's name");
        r->must_call = true;
        r->called = json_object_get_string(name);
    } else if (choice && !r->must_call && !is_text(choice, "auto") && !is_text(choice, "none")) {
        return fault_set(fault, 400, "tool_choice", NULL,
                         "tool_choice must be auto, none, required or a function");
    }
    return true;
}

static bool
read_tools(Body *r, Fault *fault)
{
    const bool any =
        r->value[REQ_tools].json && json_object_array_length(r->value[REQ_tools].json) > 0;
    if (!read_tool_choice(r, fault))
        return false;
    r->tools = any && !is_text(r->value[REQ_tool_choice].json, "none");
    r->one_call = request_has(r, REQ_parallel_tool_calls) && !r->value[REQ_parallel_tool_calls].i;
    if (r->must_call && !any)
        return fault_set(fault, 400, "tool_choice", NULL,
                         "tool_choice wants a call, but there are no tools");
    if (r->must_call && request_has(r, REQ_grammar))
        return fault_set(fault, 400, "grammar", NULL,
                         "grammar and tool_choice both say what the answer is: give one");
    if (r->tools && (r->schema || r->any_json)) /* a grammar may have calls in it */
        return fault_set(fault, 400, "tools", NULL,
                         "tools and an answer of JSON alone exclude each other");
    return true;
}

static bool
read_best_of(const Body *r, Fault *fault)
{
    const long long made = request_made(r), given = request_given(r);
    if (made < given)
        return fault_set(fault, 400, "best_of", NULL,
                         "best_of is %lld: of so many answers no %lld (n) can be given", made,
                         given);
    if (made > given && r->value[REQ_stream].i)
        return fault_set(
            fault, 400, "best_of", NULL,
            "best_of above n and stream exclude each other: the best answers are known "
            "when all have ended");
    return true;
}

static bool
read_fields(const Body *r, Fault *fault)
{
    json_object *names = r->value[REQ_response_fields].json;
    for (size_t i = 0; names && i < json_object_array_length(names); i++)
        if (!json_object_is_type(json_object_array_get_idx(names, i), json_type_string))
            return wrong(fault, REQ_response_fields, "a list of strings");
    return true;
}

static bool
read_usage(Body *r, Fault *fault)
{
    json_object *flag = NULL;
    if (!request_has(r, REQ_stream_options) ||
        !json_object_object_get_ex(r->value[REQ_stream_options].json, "include_usage", &flag) ||
        !flag)
        return true;
    if (!json_object_is_type(flag, json_type_boolean))
        return wrong(fault, REQ_stream_options, "an object whose include_usage is true or false");
    r->usage = json_object_get_boolean(flag);
    return true;
}

bool
request_read_rest(Body *request, Fault *fault)
{
    return read_seed(request, fault) && read_stop(request, fault) &&
           read_logprobs(request, fault) && read_bias(request, fault) &&
           read_format(request, fault) && read_tools(request, fault) &&
           read_best_of(request, fault) && read_fields(request, fault) &&
           read_usage(request, fault);
}

bool
request_ids(json_object *array, RequestKey key, int64_t vocab, int32_t **ids, int64_t *count,
            Fault *fault)
{
    const char *name = request_key_info[key].name;
    const size_t n = json_object_array_length(array);
    *ids = malloc(n * sizeof **ids + 1);
    if (!*ids)
        die_no_memory(n * sizeof **ids);
    *count = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_object *item = json_object_array_get_idx(array, i);
        const int64_t id = json_object_get_int64(item);
        if (!json_object_is_type(item, json_type_int) || id < 0 || id >= vocab)
            return fault_set(fault, 400, name, NULL, "%s: item %zu must be an id from 0 to %lld",
                             name, i, (long long)vocab - 1);
        (*ids)[i] = (int32_t)id;
    }
    return true;
}
