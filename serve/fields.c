/* serve/fields.c -- response_fields: a response with a few of its fields. */
#include "serve/fields.h"

#include <json-c/json.h>
#include <string.h>

/* What a path of names divided by slashes leads to; NULL: nothing. */
static json_object *
field_at(json_object *json, const char *path)
{
    while (json && path) {
        const char *slash = strchr(path, '/');
        char name[64];
        const size_t len = slash ? (size_t)(slash - path) : strlen(path);
        json_object *inner = NULL;
        if (len >= sizeof name || !json_object_is_type(json, json_type_object))
            return NULL;
        memcpy(name, path, len);
        name[len] = '\0';
        json_object_object_get_ex(json, name, &inner);
        json = inner;
        path = slash ? slash + 1 : NULL;
    }
    return json;
}

void
fields_put(const Body *request, const StrBuf *text, StrBuf *out)
{
    json_object *names = request->value[REQ_response_fields].json;
    const size_t n = names ? json_object_array_length(names) : 0;
    if (n == 0) {
        sb_putn(out, text->text, text->len);
        return;
    }
    json_object *whole = json_tokener_parse(sb_text(text)), *some = json_object_new_object();
    for (size_t i = 0; i < n; i++) {
        const char *path = json_object_get_string(json_object_array_get_idx(names, i));
        json_object *field = field_at(whole, path);
        if (field)
            json_object_object_add(some, path, json_object_get(field));
    }
    sb_puts(out, json_object_to_json_string_ext(some, JSON_C_TO_STRING_PLAIN |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(some);
    json_object_put(whole);
}
