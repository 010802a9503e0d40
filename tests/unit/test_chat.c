/* tests/unit/test_chat.c -- conversations as text, and answers as content, reasoning and calls. */
#include <criterion/criterion.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat.h"
#include "tests/harness.h"

/* ---- formats -------------------------------------------------------------------------------- */

static ChatFormat *
opened(const char *name, const char *template)
{
    Diag *diag = diag_new();
    const ChatSource source = {
        .name = name, .template = template, .template_path = "t", .bos = "<s>", .eos = "</s>"};
    ChatFormat *format = chat_open(&source, diag);
    StrBuf said = {0};
    diag_print(diag, &said);
    cr_assert(format, "%s", sb_text(&said));
    sb_free(&said);
    diag_free(diag);
    return format;
}

static void
expect_refused(const char *name, const char *template, const char *says)
{
    Diag *diag = diag_new();
    const ChatSource source = {.name = name, .template = template};
    StrBuf said = {0};
    cr_expect_null(chat_open(&source, diag));
    diag_print(diag, &said);
    cr_expect(strstr(sb_text(&said), says), "no '%s' in %s", says, sb_text(&said));
    sb_free(&said);
    diag_free(diag);
}

/* The text that messages become; or, where it cannot be, why. *shared as of chat_render. owns. */
static char *
text_of(const ChatFormat *format, const char *messages, const char *tools, size_t *shared)
{
    ChatPrompt prompt = {.messages = json_tokener_parse(messages),
                         .tools = tools ? json_tokener_parse(tools) : NULL,
                         .answer = true};
    size_t len = 0;
    char *why = NULL;
    char *text = chat_render(format, &prompt, &len, shared, &why);
    cr_assert((text != NULL) != (why != NULL));
    cr_assert(!text || strlen(text) == len);
    json_object_put(prompt.messages);
    json_object_put(prompt.tools);
    return text ? text : why;
}

static void
expect_text(const ChatFormat *format, const char *messages, const char *want)
{
    size_t shared = 0;
    char *text = text_of(format, messages, NULL, &shared);
    cr_expect_str_eq(text, want);
    free(text);
}

static void
expect_named(const char *name, const char *template)
{
    ChatFormat *format = opened(NULL, template);
    cr_expect_str_eq(chat_name(format), name, "%s", template);
    chat_close(format);
}

#define TALK                                                                                       \
    "[{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"}, "      \
    "{\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V\"}]"

Test(chat, a_known_format_makes_the_text_without_a_template)
{
    static const struct {
        const char *name, *text, *stop;
    } formats[] = {
        {"chatml",
         "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
         "A<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",             "<|im_end|>"     },
        {"mistral", "<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]U[/INST]A</s>[INST]V[/INST]", "</s>"           },
        {"granite",
         "<|start_of_role|>system<|end_of_role|>S<|end_of_text|>\n"
         "<|start_of_role|>user<|end_of_role|>U<|end_of_text|>\n"
         "<|start_of_role|>assistant<|end_of_role|>A<|end_of_text|>\n"
         "<|start_of_role|>user<|end_of_role|>V<|end_of_text|>\n"
         "<|start_of_role|>assistant<|end_of_role|>",                                       "<|end_of_text|>"},
        {"plain",   "S\nUser: U\nAssistant: A\nUser: V\nAssistant:",                        "\nUser:"        },
    };
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        ChatFormat *format = opened(formats[i].name, NULL);
        expect_text(format, TALK, formats[i].text);
        cr_expect_str_eq(chat_stops(format)[0], formats[i].stop);
        chat_close(format);
    }
}

Test(chat, what_cannot_be_a_format_or_a_conversation_is_said)
{
    expect_refused(NULL, NULL, "has no chat template: --chat-format names the format");
    expect_refused(NULL, NULL, "granite, llama3, chatml,");
    expect_refused("chatlm", NULL, "unknown --chat-format 'chatlm'; did you mean 'chatml'?");
    expect_refused(NULL, "{% if %}", "an expression is expected here");
    static const struct {
        const char *name, *messages, *tools, *says;
    } faults[] = {
        {"plain",  "[]",                                                               NULL,   "there are no messages"                                       },
        {"plain",  "{}",                                                               NULL,   "there are no messages"                                       },
        {"plain",  "[3]",                                                              NULL,   "message 0 has no role"                                       },
        {"plain",  "[{\"role\": \"tool\", \"content\": \"x\"}]",                       NULL,
         "message 0: the format plain has no place for the role tool"                                                                                        },
        {"gemma",  TALK,                                                               NULL,   "message 0: the format gemma has no place for the role system"},
        {"plain",  "[{\"role\": \"user\"}]",                                           NULL,   "no place for a message without content"                      },
        {"plain",  "[{\"role\": \"user\", \"content\": 3}]",                           NULL,
         "the content of message 0 is neither a text nor a list of parts"                                                                                    },
        {"plain",  "[{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]", NULL,
         "message 0 has a part of type 'image_url': this model reads text only"                                                                              },
        {"chatml", TALK,                                                               "[{}]", "the format chatml has no place for tools"                    },
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        ChatFormat *format = opened(faults[i].name, NULL);
        size_t shared = 0;
        char *why = text_of(format, faults[i].messages, faults[i].tools, &shared);
        cr_expect(strstr(why, faults[i].says), "no '%s' in %s", faults[i].says, why);
        free(why);
        chat_close(format);
    }
}

#define CHATML                                                                                     \
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"     \
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
/* As CHATML for contents of parts; of texts, too, if it is asked for. */
#define PARTS(otherwise)                                                                           \
    "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}" otherwise "{% else %}"     \
    "{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}"

Test(chat, a_template_makes_the_text_of_whatever_contents_it_takes)
{
    static const char parts[] =
        "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
        "\"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}]",
                      text[] = "[{\"role\": \"user\", \"content\": \"ab\"}]";
    ChatFormat *texts = opened(NULL, CHATML), *both = opened(NULL, PARTS("{{ m.content }}")),
               *lists = opened(NULL, PARTS("no"));
    expect_text(texts, parts, "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
    expect_text(texts, text, "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
    expect_text(both, parts, "<user>[a][b]");
    expect_text(both, text, "<user>ab");
    expect_text(lists, text, "<user>[ab]");
    chat_close(texts);
    chat_close(both);
    chat_close(lists);
}

Test(chat, arguments_of_calls_are_what_a_template_takes)
{
    static const char calls[] =
        "[{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", "
        "\"arguments\": \"{\\\"a\\\": 1}\"}}]}]";
    ChatFormat *parsed = opened(NULL, "{% for m in messages %}{% for c in m.tool_calls %}"
                                      "{% for k, v in c.function.arguments|items %}{{ k }}={{ v }}"
                                      "{% endfor %}{% endfor %}{% endfor %}"),
               *raw = opened(NULL, "{% for m in messages %}{% for c in m.tool_calls %}"
                                   "{{ 'f:' + c.function.arguments }}{% endfor %}{% endfor %}");
    expect_text(parsed, calls, "a=1");
    expect_text(raw, calls, "f:{\"a\": 1}");
    chat_close(parsed);
    chat_close(raw);
}

Test(chat, what_is_shared_ends_where_the_first_message_behind_the_systems_begins)
{
    static const char *const users[] = {"alpha", "omega", "x", "\xC3\xA9"};
    ChatFormat *format = opened(NULL, CHATML);
    for (size_t i = 0; i < COUNT_OF(users); i++) {
        StrBuf messages = {0};
        size_t shared = 0;
        sb_printf(&messages,
                  "[{\"role\": \"system\", \"content\": \"Be \xC3\xA9.\"}, {\"role\": \"user\", "
                  "\"content\": \"%s\"}]",
                  users[i]);
        char *text = text_of(format, messages.text, NULL, &shared);
        cr_expect_eq(shared,
                     strlen("<|im_start|>system\nBe \xC3\xA9.<|im_end|>\n"
                            "<|im_start|>user\n"),
                     "%s: %zu", users[i], shared);
        free(text);
        sb_free(&messages);
    }
    chat_close(format);
}

Test(chat, a_template_is_told_by_its_marks)
{
    expect_named("chatml", CHATML);
    expect_named("granite", "<|start_of_role|>{{ messages[0].content }}");
    expect_named("llama3", "<|start_header_id|>{{ messages[0].content }}");
    expect_named("kimi", "<|im_user|>x<|im_middle|>{{ messages[0].content }}");
    expect_named("template", "{{ messages[0].content }}");
}

/* ---- answers -------------------------------------------------------------------------------- */

typedef struct {
    StrBuf text;
    ChatKind kind;
    bool began, bad;
} Parts;

/* Parts of one kind that follow one another are one: R(..) C(..) name{..}. */
static void
on_part(void *user, ChatKind kind, int call, const char *text, size_t len)
{
    Parts *p = user;
    size_t at = 0;
    p->bad = p->bad || len == 0 || !utf8_valid(text, len, &at);
    if (!p->began || kind != p->kind || kind == CHAT_call) {
        static const char *const begin[] = {[CHAT_content] = "|C:",
                                            [CHAT_reasoning] = "|R:",
                                            [CHAT_call] = "|call ",
                                            [CHAT_arguments] = " "};
        sb_puts(&p->text, begin[kind]);
        if (kind == CHAT_call)
            sb_printf(&p->text, "%d ", call);
    }
    p->began = true;
    p->kind = kind;
    sb_putn(&p->text, text, len);
}

#define TOOLS                                                                                      \
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"properties\": "  \
    "{\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}}}}}]"

/* What an answer is told as where it comes in pieces of `step` bytes; owns. */
static char *
told(const ChatFormat *format, bool tools, const char *opening, const char *answer, size_t step)
{
    Parts parts = {0};
    struct json_object *t = tools ? json_tokener_parse(TOOLS) : NULL;
    ChatParser *parser = chat_parser_new(format, t, opening, strlen(opening), on_part, &parts);
    for (size_t at = 0, len = strlen(answer); at < len; at += step)
        chat_parser_add(parser, answer + at, len - at < step ? len - at : step);
    chat_parser_end(parser);
    chat_parser_free(parser);
    json_object_put(t);
    cr_expect(!parts.bad, "a part is empty, or no whole characters: %s", answer);
    sb_puts(&parts.text, "");
    return parts.text.text;
}

static void
expect_told(const char *template, bool tools, const char *opening, const char *answer,
            const char *want)
{
    ChatFormat *format = opened(NULL, template);
    for (size_t step = 1; step <= strlen(answer) + 1; step = step < 12 ? step + 1 : 1000) {
        char *parts = told(format, tools, opening, answer, step);
        cr_expect_str_eq(parts, want, "by %zu: %s\nis told as %s\nnot as %s", step, answer, parts,
                         want);
        free(parts);
        if (step == 1000)
            break;
    }
    chat_close(format);
}

Test(chat, reasoning_and_content_are_told_apart)
{
#define THINKS "{{ messages[0].content }}</think>"
    expect_told(CHATML, false, "", "plain <text> \n", "|C:plain <text> \n");
    expect_told(THINKS, false, "", "<think>\na b\n\xC3\xA9\n</think>\n\nc d \n",
                "|R:a b\n\xC3\xA9|C:c d \n");
    expect_told(THINKS, false, "x<think>\n", "a < b\n</think>c", "|R:a < b|C:c");
    expect_told(THINKS, false, "x<think>\n\n</think>\n\n", "c", "|C:c");
    expect_told(THINKS, false, "", "not first <think>x</think>", "|C:not first <think>x</think>");
    expect_told(THINKS, false, "x<think>\n", "never closed </thin", "|R:never closed </thin");
    expect_told(THINKS, false, "", "<thin", "|C:<thin");
    expect_told(THINKS, false, "", "\n <think></think>", "");
    expect_told("{{ messages[0].content }}[/THINK]", false, "", "[THINK]a[/THINK]b", "|R:a|C:b");
    expect_told(CHATML, false, "", "<think>a</think>b", "|C:<think>a</think>b");
    expect_told(CHATML, true, "", "\xF0\x9F\x99\x82 \xE6\x97\xA5",
                "|C:\xF0\x9F\x99\x82 \xE6\x97\xA5");
}

Test(chat, calls_are_told_as_each_family_writes_them)
{
    static const struct {
        const char *marks, *answer, *told;
    } cases[] = {
        {"<tool_call>",
         "Let me. \n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"</tool_call> \\\" "
         "\"}}\n"
         "</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": \"{\\\"a\\\": "
         "1}\"}</tool_call>\n",                                                                             "|C:Let me.|call 0 f {\"s\":\"</tool_call> \\\" \"}|call 1 g {\"a\":1}"               },
        {"<tool_call>",                  "<tool_call>{\"name\": \"f\"}</tool_call> then",                   "|call 0 f {}|C:then"                                                                 },
        {"<tool_call>",                  "<tool_call>{\"name\": \"f\", \"arguments\": {}}",                 "|call 0 f {}"                                                                        },
        {"<tool_call><function=",
         "<tool_call>\n<function=f>\n<parameter=s>\n12\n</parameter>\n<parameter=n>\n3\n</"
         "parameter>\n"
         "<parameter=o>\n{\"a\": [true]}\n</parameter>\n<parameter=p>\nTrue\n</parameter>\n"
         "<parameter=q>\na\n\n b\n</parameter>\n</function>\n</tool_call>",                                 "|call 0 f {\"s\":\"12\",\"n\":3,\"o\":{\"a\":[true]},\"p\":true,\"q\":\"a\\n\\n b\"}"},
        {"<|tool_call_start|>",
         "<|tool_call_start|>[f(s='it\\'s', n=-2), ns.g(l=[1, \"b\",], d={'k': None}, e=True)]"
         "<|tool_call_end|>So.",                                                                            "|call 0 f {\"s\":\"it's\",\"n\":-2}|call 1 ns.g {\"l\":[1,\"b\"],\"d\":{\"k\":null},"
         "\"e\":true}|C:So."                                                                                                                                      },
        {"<|tool_calls_section_begin|>",
         "Hm<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
         "<|tool_call_argument_begin|>{\"s\": "
         "\"a\"}<|tool_call_end|><|tool_call_begin|>functions.a:b:12"
         "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",                       "|C:Hm|call 0 f {\"s\":\"a\"}|call 1 a:b {}"                                          },
        {"[TOOL_CALLS]",                 "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"s\": \"]\"}}]",
         "|call 0 f {\"s\":\"]\"}"                                                                                                                                                                },
        {"[TOOL_CALLS][ARGS]",           "a[TOOL_CALLS]f[ARGS]{\"n\": {}}[TOOL_CALLS]g[CALL_ID]x1[ARGS]{}",
         "|C:a|call 0 f {\"n\":{}}|call 1 g {}"                                                                                                                                                   },
        {"<|tool_call|>",                "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]",             "|call 0 f {}"                                                                        },
        {"<TOOLCALL>",
         "<TOOLCALL>[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]"
         "</TOOLCALL>",                                                                                     "|call 0 f {}|call 1 g {}"                                                            },
        {"<tool_calls>",
         "<tool_calls>\n{\"name\": \"f\", \"arguments\": {}}\n{\"name\": \"g\", \"arguments\": "
         "{\"a\": "
         "1}}\n</tool_calls>",                                                                              "|call 0 f {}|call 1 g {\"a\":1}"                                                     },
        {"minimax:tool_call <invoke",
         "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter "
         "name=\"s\">1</parameter>\n</invoke>\n"
         "</minimax:tool_call>",                                                                            "|call 0 f {\"s\":\"1\"}"                                                             },
        {"<|start_header_id|>",          "{\"name\": \"f\", \"parameters\": {\"n\": 1}}",
         "|call 0 f {\"n\":1}"                                                                                                                                                                    },
        {"<|start_header_id|>",          "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}",
         "|call 0 f {}"                                                                                                                                                                           },
        {"<|start_header_id|>",          "Say {\"name\": \"f\"}",                                           "|C:Say {\"name\": \"f\"}"                                                            },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *template = text_replace("{{ messages[0].content }} M", "M", cases[i].marks);
        expect_told(template, true, "", cases[i].answer, cases[i].told);
        free(template);
    }
}

Test(chat, calls_that_are_broken_are_content)
{
    static const struct {
        const char *marks, *answer;
    } cases[] = {
        {"<tool_call>",                  "<tool_call>{\"name\": \"f\", \"arguments\": {]}</tool_call> on"},
        {"<tool_call>",                  "a <tool_call>{\"arguments\": {}}</tool_call>"                  },
        {"<tool_call>",                  "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>"    },
        {"<tool_call>",                  "<tool_call>{\"name\": \"f\", \"argu"                           },
        {"<tool_call>",                  "<tool_call></tool_call>"                                       },
        {"<tool_call>",                  "<tool_cal"                                                     },
        {"<tool_call><function=",
         "<tool_call>\n<function=f>\n<parameter=s>x</function></tool_call>"                              },
        {"<|tool_call_start|>",          "<|tool_call_start|>[f(a=g)]<|tool_call_end|>"                  },
        {"<|tool_call_start|>",          "<|tool_call_start|>[f(1)]<|tool_call_end|>"                    },
        {"<|tool_calls_section_begin|>",
         "<|tool_calls_section_begin|><|tool_call_begin|>f<|tool_calls_section_end|>"                    },
        {"[TOOL_CALLS]",                 "[TOOL_CALLS][{\"nam\": 1}] x"                                  },
        {"<|start_header_id|>",          "{\"nam\": \"f\"} and"                                          },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *template = text_replace("{{ messages[0].content }} M", "M", cases[i].marks);
        char *want = text_replace("|C:A", "A", cases[i].answer);
        expect_told(template, true, "", cases[i].answer, want);
        expect_told(template, false, "", cases[i].answer, want);
        free(template);
        free(want);
    }
}

Test(chat, as_little_as_needed_is_held_back)
{
    ChatFormat *format = opened(NULL, "{{ messages[0].content }}<tool_call>");
    struct json_object *tools = json_tokener_parse(TOOLS);
    Parts parts = {0};
    ChatParser *parser = chat_parser_new(format, tools, "", 0, on_part, &parts);
    static const struct {
        const char *piece, *so_far;
    } steps[] = {
        {"a",      "|C:a"           },
        {" ",      "|C:a"           },
        {"b<",     "|C:a b"         },
        {"t",      "|C:a b"         },
        {"x",      "|C:a b<tx"      },
        {"<tool_", "|C:a b<tx"      },
        {"<",      "|C:a b<tx<tool_"}
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        chat_parser_add(parser, steps[i].piece, strlen(steps[i].piece));
        cr_expect_str_eq(sb_text(&parts.text), steps[i].so_far, "after '%s': %s", steps[i].piece,
                         sb_text(&parts.text));
    }
    chat_parser_free(parser);
    sb_free(&parts.text);
    json_object_put(tools);
    chat_close(format);
}
