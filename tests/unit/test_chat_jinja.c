/* tests/unit/test_chat_jinja.c -- templates: the same text as jinja2, messages, limits. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/jinja.h"
#include "tests/harness.h"

/* What a template makes of variables; or, *ok false, what is said. owns. */
static char *
rendered(const char *template, struct json_object *vars, bool *ok)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    StrBuf out = {0};
    const JTemplate *t = jinja_parse(arena, "t", template, strlen(template), diag);
    *ok = t && jinja_render(t, vars, &out, diag);
    if (!*ok) {
        sb_free(&out);
        diag_print(diag, &out);
        cr_assert_gt(out.len, 0u, "refused without a word: %s", template);
    }
    sb_puts(&out, "");
    diag_free(diag);
    arena_free(arena);
    return out.text;
}

Test(chat_jinja, texts_are_those_of_jinja2)
{
    struct json_object *all = json_object_from_file(SSMC_ROOT "/tests/data/chat/jinja.json");
    struct json_object *vars = NULL, *cases = NULL;
    cr_assert(json_object_object_get_ex(all, "vars", &vars) &&
              json_object_object_get_ex(all, "cases", &cases));
    for (size_t i = 0; i < json_object_array_length(cases); i++) {
        struct json_object *c = json_object_array_get_idx(cases, i), *template = NULL, *text = NULL;
        json_object_object_get_ex(c, "template", &template);
        const bool good = json_object_object_get_ex(c, "text", &text);
        const char *source = json_object_get_string(template);
        bool ok = false;
        char *made = rendered(source, vars, &ok);
        cr_expect_eq(ok, good, "%s:\n%s", source, made);
        if (ok && good) {
            const char *want = json_object_get_string(text);
            cr_expect(strlen(made) == (size_t)json_object_get_string_len(text) &&
                          strcmp(made, want) == 0,
                      "%s makes\n%s\nwhere jinja2 makes\n%s", source, made, want);
        }
        free(made);
    }
    json_object_put(all);
}

static void
expect_fault(const char *template, const char *says)
{
    struct json_object *vars = json_tokener_parse("{\"n\": 3, \"d\": {\"a\": 1}}");
    bool ok = false;
    char *made = rendered(template, vars, &ok);
    cr_expect(!ok, "%.200s makes %.200s", template, made);
    cr_expect(strstr(made, says), "%.200s: no '%s' in\n%.1000s", template, says, made);
    free(made);
    json_object_put(vars);
}

Test(chat_jinja, faults_have_a_place_and_say_what_is_there)
{
    static const struct {
        const char *template, *says;
    } faults[] = {
        {"a\n  {{ n|uper }}",                           "t:2:8: error: unknown filter `uper`; did you mean `upper`?\n"
                              "  {{ n|uper }}\n       ^~~~\n"                          },
        {"{{ n is strin }}",                            "t:1:9: error: unknown test `strin`; did you mean `string`?"},
        {"{% fro x in y %}",                            "t:1:4: error: unknown statement `fro`"                     },
        {"{% include 'x' %}",                           "`include` is not supported in chat templates"              },
        {"{% endif %}",                                 "`endif` ends nothing that is open here"                    },
        {"{% if n %}",                                  "the template ends here, but {% else %} is expected"        },
        {"{{ missing.a }}",                             "t:1:12: error: 'missing' is undefined"                     },
        {"{{ d.q.r }}",                                 "error: this dict has no 'q'"                               },
        {"x {{ 'a' + 1 }}",                             "t:1:10: error: `+` has no meaning for a str and a int"     },
        {"{{ raise_exception('no ' ~ n) }}",            "t:1:4: error: no 3"                                        },
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "m() takes 1 arguments, but 2 are given"                    },
        {"{{ [1] | map('nosuch') | list }}",            "map wants the name of a filter"                            },
        {"{{ 'open }}",                                 "t:1:4: error: this text has no end"                        },
        {"{{ 99999999999999999999 }}",                  "this number cannot be"                                     },
        {"{{ 9223372036854775807 + 1 }}",               "an integer of more than 64 bits"                           },
        {"{{ f(*d) }}",                                 "arguments by * and ** are not supported"                   },
        {"\xFF",                                        "this byte is not UTF-8"                                    },
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        expect_fault(faults[i].template, faults[i].says);
}

/* count times a text, between two others; owns. */
static char *
repeated(const char *before, const char *text, int count, const char *after)
{
    StrBuf out = {0};
    sb_puts(&out, before);
    for (int i = 0; i < count; i++)
        sb_puts(&out, text);
    sb_puts(&out, after);
    return out.text;
}

Test(chat_jinja, hostile_templates_end_with_a_fault)
{
    static const struct {
        const char *template, *says;
    } faults[] = {
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",                                       "nested more than"  },
        {"{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
         "values take more than"                                                                                      },
        {"{% for a in range(99999) %}{{ 'x' * 9999999 }}{% endfor %}",                            "MiB"               },
        {"{{ 'x' * 999999999 }}",                                                                 "makes more than"   },
        {"{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for a in range(99) %}"
         "{% set ns.s = ns.s + ns.s %}{% endfor %}",                                     "MiB"               },
        {"{{ range(999999999)|length }}",                                                         "range of more than"},
        {"{% set l = [1] %}{% set _ = l.append(l) %}{{ l }}",                                     "nested more than"  },
        {"{% set l = [1] %}{% set _ = l.append(l) %}{{ l == [1, l] }}{{ l|tojson }}",
         "nested more than"                                                                                           },
        {"{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
         "values take more than"                                                                                      },
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        expect_fault(faults[i].template, faults[i].says);
    expect_fault("{% set t = 'x' * 9999999 %}{% for a in range(99999) %}{{ 'y' in t }}{% endfor %}",
                 "has not ended after");
    const struct {
        char *template;
        const char *says;
    } deep[] = {
        {repeated("{{ ",  "(",          5000,   ""),     "nested more than"},
        {repeated("{{ n", " + n",       100000, " }}"),  "nested more than"},
        {repeated("{{ n", ".n",         100000, " }}"),  "nested more than"},
        {repeated("{{ ",  "-",          100000, "n }}"), "nested more than"},
        {repeated("{{ ",  "not ",       100000, "n }}"), "nested more than"},
        {repeated("",     "{% if n %}", 10000,  ""),     "nested more than"},
    };
    for (size_t i = 0; i < COUNT_OF(deep); i++) {
        expect_fault(deep[i].template, deep[i].says);
        free(deep[i].template);
    }
}

Test(chat_jinja, a_list_can_be_changed_as_some_published_templates_do)
{
    bool ok = false;
    struct json_object *vars = json_object_new_object();
    char *made = rendered("{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop(0) }}{{ l }}"
                          "{% set d = {} %}{% set _ = d.update(a=1) %}{{ d }}",
                          vars, &ok);
    cr_expect(ok);
    cr_expect_str_eq(made, "[1, 2]1[2]{'a': 1}");
    free(made);
    json_object_put(vars);
}
