/* grammar/grammar.c -- grammars of texts, made whole: read, checked, compiled. */
#include <json-c/json.h>
#include <string.h>

#include "grammar/expr.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    Source source; /* of messages */
    Rules rules;
} Making;

/* text NULL: messages have no place in a text. */
static Making *
start(const char *path, const char *text, size_t len)
{
    Arena *arena = arena_new();
    Making *m = arena_alloc(arena, sizeof *m);
    *m = (Making){
        .arena = arena, .diag = diag_new(), .source = {path, text, len}
    };
    m->rules = (Rules){.arena = arena, .diag = m->diag};
    m->rules.whole.source = path ? &m->source : NULL;
    return m;
}

static Grammar *
finish(Making *m, bool good, char **why)
{
    Grammar *grammar = good ? grammar_compile(&m->rules) : NULL;
    if (!grammar) {
        StrBuf said = {0};
        diag_print(m->diag, &said);
        *why = said.text;
    }
    diag_free(m->diag);
    arena_free(m->arena);
    return grammar;
}

Grammar *
grammar_read_gbnf(const char *path, const char *text, size_t len, char **why)
{
    Making *m = start(path, text, len);
    return finish(m, gbnf_read(&m->rules, &m->source), why);
}

Grammar *
grammar_from_gbnf(const char *text, size_t len, char **why)
{
    return grammar_read_gbnf("grammar", text, len, why);
}

Grammar *
grammar_from_schema(struct json_object *schema, char **why)
{
    Making *m = start(NULL, NULL, 0);
    return finish(m, schema_read(&m->rules, schema), why);
}

Grammar *
grammar_from_parts(const GrammarPart *parts, int count, char **why)
{
    Making *m = start(NULL, NULL, 0);
    return finish(m, parts_read(&m->rules, parts, count), why);
}

/* Position of a byte of the text. */
static SrcLoc
loc_of(const Source *source, size_t at)
{
    SrcLoc loc = {.source = source, .line = 1, .column = 1};
    for (size_t i = 0; i < at && i < source->len; i++) {
        const bool end = source->text[i] == '\n';
        loc.line += end;
        loc.column = end ? 1 : loc.column + 1;
    }
    return loc;
}

/* NULL: a fault, or the text `null`. */
static json_object *
parse(Making *m)
{
    enum { DEPTH = 200 };
    const Source *s = &m->source;
    json_tokener *tokener = json_tokener_new_ex(DEPTH);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *value =
        s->len < INT32_MAX ? json_tokener_parse_ex(tokener, s->text, (int)s->len) : NULL;
    enum json_tokener_error error = json_tokener_get_error(tokener);
    if (error == json_tokener_continue) /* a number ends where the text does */
        value = json_tokener_parse_ex(tokener, "", 1);
    const size_t at = error == json_tokener_continue ? s->len : json_tokener_get_parse_end(tokener);
    error = json_tokener_get_error(tokener);
    if (error != json_tokener_success)
        diag_error(m->diag, loc_of(s, at), "this is not JSON: %s", json_tokener_error_desc(error));
    json_tokener_free(tokener);
    if (error == json_tokener_success)
        return value;
    json_object_put(value);
    return NULL;
}

Grammar *
grammar_read_schema(const char *path, const char *text, size_t len, char **why)
{
    Making *m = start(path, text, len);
    json_object *schema = parse(m);
    const bool good = diag_errors(m->diag) == 0 && schema_read(&m->rules, schema);
    json_object_put(schema);
    return finish(m, good, why);
}

Grammar *
grammar_from_json(void)
{
    char *why = NULL;
    Making *m = start(NULL, NULL, 0);
    const bool good = gbnf_read_json(&m->rules);
    if (good)
        m->rules.rules[0].body =
            expr_rule(m->arena, rules_find(&m->rules, "json-object"), (SrcLoc){0});
    Grammar *grammar = finish(m, good, &why);
    if (!grammar)
        die("the grammar of JSON: %s", why);
    return grammar;
}
