/* serve/api_infill.c -- POST /infill: what stands between two texts, as editors ask for it. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "serve/infill.h"
#include "serve/prompt.h"

static InfillText
part(const Exchange *ex, RequestKey key)
{
    const RequestValue *v = &ex->request.value[key];
    return (InfillText){v->text ? v->text : "", v->len};
}

static bool
check_extra(Exchange *ex)
{
    json_object *extra = ex->request.value[REQ_input_extra].json, *value = NULL;
    const size_t n = extra ? json_object_array_length(extra) : 0;
    for (size_t i = 0; i < n; i++) {
        json_object *chunk = json_object_array_get_idx(extra, i);
        const bool object = json_object_is_type(chunk, json_type_object);
        if (!object || !json_object_object_get_ex(chunk, "text", &value) ||
            !json_object_is_type(value, json_type_string))
            return refuse(ex, 400, "input_extra", NULL,
                          "input_extra: item %zu must be an object with a text", i);
        if (json_object_object_get_ex(chunk, "filename", &value) && value &&
            !json_object_is_type(value, json_type_string))
            return refuse(ex, 400, "input_extra", NULL,
                          "input_extra: the filename of item %zu must be a string", i);
    }
    return true;
}

static bool
check(Exchange *ex)
{
    static const RequestKey wanted[] = {REQ_input_prefix, REQ_input_suffix};
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (!request_has(&ex->request, wanted[i]))
            return refuse(ex, 400, request_key_info[wanted[i]].name, "missing_required_parameter",
                          "%s is missing", request_key_info[wanted[i]].name);
    return check_extra(ex);
}

/* The current line, where it is given apart from the lines before it. */
static bool
read_line(Exchange *ex, InfillText *line)
{
    json_object *json = ex->request.value[REQ_prompt].json;
    if (!json)
        return true;
    if (!json_object_is_type(json, json_type_string))
        return refuse(ex, 400, "prompt", NULL, "prompt must be a string");
    *line = (InfillText){json_object_get_string(json), (size_t)json_object_get_string_len(json)};
    return true;
}

void
api_infill(Exchange *ex)
{
    Infill infill = {
        .line = {"", 0}
    };
    if (!body_read(ex, ENDPOINT_infill) || !infill_known(ex) || !check(ex) ||
        !read_line(ex, &infill.line))
        return;
    infill.prefix = part(ex, REQ_input_prefix);
    infill.suffix = part(ex, REQ_input_suffix);
    infill.extra = ex->request.value[REQ_input_extra].json;
    Prompt *prompt = calloc(1, sizeof *prompt);
    if (!prompt)
        die_no_memory(sizeof *prompt);
    if (infill_prompt(ex, &infill, answer_most(ex), prompt))
        answer_begin(ex, &dialect_llama, prompt, 1);
    else
        prompts_free(prompt, 1);
}
