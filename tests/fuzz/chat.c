/* tests/fuzz/chat.c -- a template that is taken renders a conversation, or says why not; the rest
 * of the input is an answer, which becomes whole characters of the same parts in whatever pieces it
 * comes. Template and answer are apart at the first NUL. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat.h"
#include "tests/fuzz/fuzz.h"

typedef struct {
    StrBuf text[4];
    bool valid;
} Parts;

static void
on_part(void *user, ChatKind kind, int call, const char *text, size_t len)
{
    Parts *parts = user;
    size_t bad = 0;
    (void)call;
    if (parts->valid && !utf8_valid(text, len, &bad))
        die("a part ends inside of a character");
    sb_putn(&parts->text[kind], text, len);
}

static void
tell(const ChatFormat *format, struct json_object *tools, const char *text, size_t len, size_t step,
     Parts *parts)
{
    size_t bad = 0;
    parts->valid = utf8_valid(text, len, &bad);
    ChatParser *parser = chat_parser_new(format, tools, text, len / 8, on_part, parts);
    for (size_t at = 0; at < len; at += step)
        chat_parser_add(parser, text + at, len - at < step ? len - at : step);
    chat_parser_end(parser);
    chat_parser_free(parser);
}

static void
check_answer(const ChatFormat *format, struct json_object *tools, const char *text, size_t len)
{
    Parts whole = {0}, pieces = {0};
    tell(format, tools, text, len, len + 1, &whole);
    tell(format, tools, text, len, 1, &pieces);
    for (size_t i = 0; i < COUNT_OF(whole.text); i++) {
        if (strcmp(sb_text(&whole.text[i]), sb_text(&pieces.text[i])) != 0)
            die("an answer in pieces is told as '%s', but whole as '%s'", sb_text(&pieces.text[i]),
                sb_text(&whole.text[i]));
        sb_free(&whole.text[i]);
        sb_free(&pieces.text[i]);
    }
}

FUZZ_TARGET(chat)
{
    static const char messages[] =
        "[{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": "
        "[{\"type\": "
        "\"text\", \"text\": \"U\"}]}, {\"role\": \"assistant\", \"content\": null, "
        "\"tool_calls\": [{\"id\": \"1\", \"function\": {\"name\": \"f\", \"arguments\": "
        "\"{}\"}}]}]";
    char *template = malloc(size + 1);
    if (!template)
        die_no_memory(size);
    if (size)
        memcpy(template, data, size);
    template[size] = 0;
    Diag *diag = diag_new();
    const ChatSource source = {.template = template, .bos = "<s>", .eos = "</s>"};
    ChatFormat *format = chat_open(&source, diag);
    ChatPrompt prompt = {.messages = json_tokener_parse(messages),
                         .tools = json_tokener_parse("[{\"function\": {\"name\": \"f\"}}]"),
                         .answer = true};
    size_t len = 0, shared = 0;
    char *why = NULL, *text = format ? chat_render(format, &prompt, &len, &shared, &why) : NULL;
    if (format ? !text == !why || shared > len : diag_errors(diag) == 0)
        die("refused without a word");
    const size_t used = strlen(template) + 1;
    if (format && used < size)
        check_answer(format, prompt.tools, template + used, strlen(template + used));
    StrBuf said = {0};
    diag_print(diag, &said);
    sb_free(&said);
    free(text);
    free(why);
    json_object_put(prompt.messages);
    json_object_put(prompt.tools);
    chat_close(format);
    diag_free(diag);
    free(template);
    return 0;
}
