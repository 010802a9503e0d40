/* grammar/grammar.c -- grammars of texts, made whole: read, checked, compiled. */
#include <string.h>

#include "grammar/expr.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    Rules rules;
} Making;

static Making
start(void)
{
    Making m = {.arena = arena_new(), .diag = diag_new()};
    m.rules = (Rules){.arena = m.arena, .diag = m.diag};
    return m;
}

static Grammar *
finish(Making *m, Grammar *grammar, char **why)
{
    if (!grammar && why) {
        StrBuf said = {0};
        diag_print(m->diag, &said);
        sb_puts(&said, "");
        *why = said.text;
    }
    diag_free(m->diag);
    arena_free(m->arena);
    return grammar;
}

Grammar *
grammar_from_gbnf(const char *text, size_t len, char **why)
{
    Making m = start();
    const Source source = {"grammar", text, len};
    Grammar *grammar = NULL;
    if (gbnf_read(&m.rules, &source))
        grammar = grammar_compile(&m.rules, (SrcLoc){.source = &source, .line = 1, .column = 1});
    return finish(&m, grammar, why);
}

Grammar *
grammar_from_schema(struct json_object *schema, char **why)
{
    Making m = start();
    Grammar *grammar = NULL;
    if (schema_read(&m.rules, schema))
        grammar = grammar_compile(&m.rules, (SrcLoc){0});
    return finish(&m, grammar, why);
}

Grammar *
grammar_from_json(void)
{
    char *why = NULL;
    Making m = start();
    Grammar *grammar = NULL;
    if (gbnf_read_json(&m.rules)) {
        m.rules.rules[0].body =
            expr_rule(m.arena, rules_find(&m.rules, "json-object"), (SrcLoc){0});
        grammar = grammar_compile(&m.rules, (SrcLoc){0});
    }
    grammar = finish(&m, grammar, &why);
    if (!grammar)
        die("the grammar of JSON: %s", why);
    return grammar;
}
