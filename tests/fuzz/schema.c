/* tests/fuzz/schema.c -- any JSON as a schema: refused with a message, or texts that are drawn of
 * it are JSON. */
#include <json-c/json.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/grammar_walk.h"

static json_object *
parse(const char *text, size_t len)
{
    enum { DEPTH = 100 };
    json_tokener *tokener = json_tokener_new_ex(DEPTH);
    json_object *value = json_tokener_parse_ex(tokener, text, (int)len);
    /* A number ends where something else comes. */
    if (!value && json_tokener_get_error(tokener) == json_tokener_continue)
        value = json_tokener_parse_ex(tokener, "", 1);
    const bool good = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    if (good)
        return value;
    json_object_put(value);
    return NULL;
}

static bool
is_json(const StrBuf *text)
{
    json_object *value = parse(sb_text(text), text->len);
    const bool good = value || (text->len >= 4 && sb_text(text)[0] == 'n');
    json_object_put(value);
    return good;
}

FUZZ_TARGET(schema)
{
    json_object *schema = parse((const char *)data, size);
    if (!schema)
        return 0;
    char *why = NULL;
    Grammar *grammar = grammar_from_schema(schema, &why);
    if (!grammar && (!why || !why[0]))
        die("refused without a word");
    for (uint64_t seed = 1; grammar && seed <= 3; seed++) {
        StrBuf text = {0};
        if (grammar_walk(grammar, seed * UINT64_C(0x9E3779B97F4A7C15), &text) && !is_json(&text))
            die("no JSON: %s", sb_text(&text));
        sb_free(&text);
    }
    free(why);
    grammar_free(grammar);
    json_object_put(schema);
    return 0;
}
