/* tests/unit/test_chat_calls.c -- grammars of answers that must call a tool: for each form of
 * calls, texts that they have, which the format's parser reads as that one call, and texts that
 * they have not. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat.h"
#include "tests/harness.h"

static const char *
one_byte(void *user, int32_t id, size_t *len)
{
    *len = 1;
    return (const char *)user + id;
}

static bool
has_text(const Grammar *grammar, const GrammarVocab *bytes, const char *text)
{
    GrammarMatch *match = grammar_match_new(grammar, bytes);
    uint64_t mask[4] = {0};
    bool all = true, end = false;
    for (; *text && all; text++)
        all = grammar_match_take(match, (unsigned char)*text);
    if (all)
        grammar_match_mask(match, mask, &end);
    grammar_match_free(match);
    return all && end;
}

static void
on_part(void *user, ChatKind kind, int call, const char *text, size_t len)
{
    StrBuf *out = user;
    static const char *const begin[] = {
        [CHAT_content] = "C:", [CHAT_reasoning] = "R:", [CHAT_call] = "", [CHAT_arguments] = " "};
    (void)call;
    sb_puts(out, begin[kind]);
    sb_putn(out, text, len);
}

static ChatFormat *
opened(const char *marks)
{
    Diag *diag = diag_new();
    StrBuf template = {0};
    sb_printf(&template, "{{ messages[0].content }}{# %s #}", marks);
    const ChatSource source = {
        .template = sb_text(&template), .template_path = "t", .bos = "", .eos = ""};
    ChatFormat *format = chat_open(&source, diag);
    cr_assert(format, "%s", marks);
    sb_free(&template);
    diag_free(diag);
    return format;
}

#define TOOL(name, properties, required)                                                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name                                        \
    "\",\"parameters\":{\"type\":\"object\",\"properties\":{" properties                           \
    "},\"required\":[" required "],\"additionalProperties\":false}}}"
#define RAIN                                                                                       \
    TOOL("rain",                                                                                   \
         "\"in\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\",\"minimum\":1,"              \
         "\"maximum\":9},\"unit\":{\"type\":\"string\",\"enum\":[\"mm\",\"inch\"]}",               \
         "\"in\",\"days\"")
#define SNOW "{\"type\":\"function\",\"function\":{\"name\":\"snow\"}}"

/* A form of calls is told by marks of its template; opening: the end of the prompt. A text that the
 * grammar has is told as one call, and one that it has not is NULL there. */
static const struct {
    const char *marks, *opening, *name, *text, *told;
} rows[] = {
    {"<tool_call>",                  "",           NULL,
     "<tool_call>\n{\"name\": \"rain\", \"arguments\": {\"in\": \"</tool_call>\", \"days\": "
     "3}}\n</tool_call>",                                                                                                        "rain {\"in\":\"</tool_call>\",\"days\":3}"                    },
    {"<tool_call>",                  "",           NULL,   "<tool_call>\n{\"name\": \"snow\", \"arguments\": {}}\n</tool_call>",
     "snow {}"                                                                                                                                                                                  },
    {"<tool_call>",                  "",           "rain",
     "<tool_call>\n{\"name\": \"snow\", \"arguments\": {}}\n</tool_call>",                                                       NULL                                                           },
    {"<tool_call>",                  "",           NULL,
     "<tool_call>\n{\"name\": \"rain\", \"arguments\": {\"in\": \"x\"}}\n</tool_call>",                                          NULL                                                           },
    {"<tool_call>",                  "",           NULL,   "Let me see.",                                                        NULL                                                           },
    {"<tool_call></think>",          "",           NULL,
     "<think>a < b, a </ b</think>\n\n<tool_call>\n{\"name\": \"snow\", \"arguments\": "
     "{}}\n</tool_call>",                                                                                                        "R:a < b, a </ bsnow {}"                                       },
    {"<tool_call></think>",          "x<think>\n", NULL,
     "so</think>\n\n<tool_call>\n{\"name\": \"snow\", \"arguments\": {}}\n</tool_call>",                                         "R:sosnow {}"                                                  },
    {"<tool_call></think>",          "x<think>\n", NULL,
     "<tool_call>\n{\"name\": \"snow\", \"arguments\": {}}\n</tool_call>",                                                       NULL                                                           },
    {"<tool_call><function=",        "",           NULL,
     "<tool_call>\n<function=rain>\n<parameter=in>\nOslo <or> </b>\n</parameter>\n<parameter=days>"
     "\n3\n</parameter>\n<parameter=unit>\ninch\n</parameter>\n</function>\n</tool_call>",                                       "rain {\"in\":\"Oslo <or> </b>\",\"days\":3,\"unit\":\"inch\"}"},
    {"<tool_call><function=",        "",           NULL,
     "<tool_call>\n<function=rain>\n<parameter=in>\nOslo\n</parameter>\n<parameter=days>\n0\n"
     "</parameter>\n</function>\n</tool_call>",                                                                                  NULL                                                           },
    {"minimax:tool_call<invoke",     "",           NULL,
     "<minimax:tool_call>\n<invoke name=\"rain\">\n<parameter name=\"in\">Oslo</parameter>\n"
     "<parameter name=\"days\">3</parameter>\n</invoke>\n</minimax:tool_call>",                                                  "rain {\"in\":\"Oslo\",\"days\":3}"                            },
    {"<|tool_call_start|>",          "",           NULL,
     "<|tool_call_start|>[rain(in=\"Oslo\", days=3, unit=\"mm\")]<|tool_call_end|>",                                             "rain {\"in\":\"Oslo\",\"days\":3,\"unit\":\"mm\"}"            },
    {"<|tool_call_start|>",          "",           NULL,   "<|tool_call_start|>[snow()]<|tool_call_end|>",                       "snow {}"                                                      },
    {"<|tool_calls_section_begin|>", "",           NULL,
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.snow:0<|tool_call_argument_begin|>{}"
     "<|tool_call_end|><|tool_calls_section_end|>",                                                                              "snow {}"                                                      },
    {"[TOOL_CALLS][ARGS]",           "",           NULL,   "[TOOL_CALLS]snow[ARGS]{}",                                           "snow {}"                                                      },
    {"[TOOL_CALLS]",                 "",           NULL,   "[TOOL_CALLS][{\"name\": \"snow\", \"arguments\": {}}]",              "snow {}"                                                      },
    {"<|tool_call|>",                "",           NULL,   "<|tool_call|>[{\"name\": \"snow\", \"arguments\": {}}]",
     "snow {}"                                                                                                                                                                                  },
    {"<TOOLCALL>",                   "",           NULL,   "<TOOLCALL>[{\"name\": \"snow\", \"arguments\": {}}]</TOOLCALL>",
     "snow {}"                                                                                                                                                                                  },
    {"<tool_calls>",                 "",           NULL,
     "<tool_calls>\n{\"name\": \"snow\", \"arguments\": {}}\n</tool_calls>",                                                     "snow {}"                                                      },
    {"<|start_header_id|>",          "",           NULL,   "{\"name\": \"snow\", \"parameters\": {}}",                           "snow {}"                                                      },
};

Test(chat_calls, a_call_that_must_come_has_its_formats_form)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    GrammarVocab *bytes = grammar_vocab_new(256, one_byte, all);
    struct json_object *tools = json_tokener_parse("[" RAIN "," SNOW "]");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ChatFormat *format = opened(rows[i].marks);
        const char *opening = rows[i].opening, *text = rows[i].text;
        char *why = NULL;
        Grammar *grammar =
            chat_call_grammar(format, tools, rows[i].name, opening, strlen(opening), &why);
        cr_assert(grammar, "%s: %s", rows[i].marks, why);
        cr_expect_eq(has_text(grammar, bytes, text), rows[i].told != NULL, "%s: %s %s",
                     rows[i].marks, rows[i].told ? "has not" : "has", text);
        StrBuf told = {0};
        ChatParser *parser =
            chat_parser_new(format, tools, opening, strlen(opening), on_part, &told);
        chat_parser_add(parser, text, strlen(text));
        chat_parser_end(parser);
        cr_expect(!rows[i].told || strcmp(sb_text(&told), rows[i].told) == 0, "%s is told as %s",
                  text, sb_text(&told));
        chat_parser_free(parser);
        sb_free(&told);
        grammar_free(grammar);
        chat_close(format);
    }
    json_object_put(tools);
    grammar_vocab_free(bytes);
}

#define MARKED "<tool_call><function="
static const struct {
    const char *marks, *tools, *name, *says;
} faults[] = {
    {"x", "[" SNOW "]", NULL, "has no form of calls"},
    {"<tool_call>", "[" SNOW "]", "fog", "there is no tool of the name fog"},
    {"<tool_call>", "[]", NULL, "there is no tool that could be called"},
    {"<tool_call>", "[" TOOL("f", "\"a\":{\"not\":{}}", "\"a\"") "]", NULL,
     "#/properties/a/not: this keyword is not supported"},
    {MARKED, "[" TOOL("f", "\"a\":{}", "\"a\"") "]", NULL, "parameter a has no type, or several"},
    {MARKED, "[" TOOL("a>b", "", "") "]", NULL, "tool 0 is no function with a name of letters"},
    {MARKED, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":7}}]", NULL,
     "the parameters of tool 0, f, must be a schema of type object"},
    {MARKED, "[7]", NULL, "tool 0 is no function with a name of letters"},
    {"<tool_call>",
     "[" SNOW ",{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
     "\"string\"}}}]", NULL, "the parameters of tool 1, f, must be a schema of type object"},
    {MARKED, "[" TOOL("f", "\"a\":{\"type\":[\"string\",\"null\"]}", "\"a\"") "]", NULL,
     "parameter a has no type, or several"},
    {MARKED, "[" TOOL("f", "\"a\":{\"type\":\"string\",\"maxLength\":3}", "\"a\"") "]", NULL,
     "parameter a is a text with a form of its own"},
};

Test(chat_calls, what_cannot_be_asked_for_is_said)
{
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        ChatFormat *format = opened(faults[i].marks);
        struct json_object *tools = json_tokener_parse(faults[i].tools);
        char *why = NULL;
        cr_assert(tools);
        cr_expect_null(chat_call_grammar(format, tools, faults[i].name, "", 0, &why));
        cr_expect(why && strstr(why, faults[i].says), "%s: %s", faults[i].tools, why);
        free(why);
        json_object_put(tools);
        chat_close(format);
    }
}

/* What a schema refers to goes with a parameter that is asked for by itself. */
Test(chat_calls, a_parameter_takes_its_definitions_along)
{
    static const char text[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/d\"},\"maxItems\":"
        "2}},\"required\":[\"a\"],\"$defs\":{\"d\":{\"type\":\"integer\",\"maximum\":7,"
        "\"minimum\":0}}}}}]";
    char all[256], *why = NULL;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    GrammarVocab *bytes = grammar_vocab_new(256, one_byte, all);
    struct json_object *tools = json_tokener_parse(text);
    ChatFormat *format = opened(MARKED);
    Grammar *grammar = chat_call_grammar(format, tools, NULL, "", 0, &why);
    cr_assert(grammar, "%s", why);
#define ASKS(value)                                                                                \
    "<tool_call>\n<function=f>\n<parameter=a>\n" value "\n</parameter>\n</function>\n</tool_call>"
    cr_expect(has_text(grammar, bytes, ASKS("[3, 7]")));
    cr_expect(!has_text(grammar, bytes, ASKS("[8]")));
    grammar_free(grammar);
    chat_close(format);
    json_object_put(tools);
    grammar_vocab_free(bytes);
}
