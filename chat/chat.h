/* chat/chat.h -- conversations: messages to the text that a model reads (its chat template), and
 * the text that it makes back to a message (content, reasoning, calls of tools). */
#ifndef SSMC_CHAT_CHAT_H
#define SSMC_CHAT_CHAT_H

#include "grammar/grammar.h"
#include "ir/diag.h"

struct json_object;

/* Read-only once made; threads may share it. */
typedef struct ChatFormat ChatFormat;

typedef struct {
    const char *name;          /* of a known format (--chat-format); NULL: told by the template */
    const char *template;      /* of the checkpoint, Jinja; NULL: it has none */
    const char *template_path; /* for messages */
    const char *bos, *eos;     /* texts of those tokens; NULL: none */
} ChatSource;
/* NULL: faults are in diag; one that names --chat-format where nothing fits. */
ChatFormat *chat_open(const ChatSource *source, Diag *diag);
void chat_close(ChatFormat *format);
const char *chat_name(const ChatFormat *format);
/* Texts that end an answer, beside ids that do; NULL-terminated. */
const char *const *chat_stops(const ChatFormat *format);

typedef struct {
    struct json_object *messages; /* as /v1/chat/completions has them */
    struct json_object *tools;    /* NULL: none */
    struct json_object *extra;    /* chat_template_kwargs, such as enable_thinking; NULL: none */
    bool answer;                  /* the text ends where the assistant's answer begins */
} ChatPrompt;
/* The text (malloc'd); its special tokens are text that the tokenizer knows. NULL: *why (malloc'd):
 * a role or a content that the format has no place for. *shared: bytes at the text's start that do
 * not depend on messages behind the system's. */
char *chat_render(const ChatFormat *format, const ChatPrompt *prompt, size_t *len, size_t *shared,
                  char **why);

/* What comes of an answer as its text does. */
typedef enum {
    CHAT_content,
    CHAT_reasoning,
    CHAT_call,      /* a call: text is the tool's name */
    CHAT_arguments, /* its arguments, a JSON object, whole; what is broken comes as content */
} ChatKind;
typedef void ChatPart(void *user, ChatKind kind, int call, const char *text, size_t len);
typedef struct ChatParser ChatParser;
/* tools: those of the prompt, whose schemas say the types of arguments where the format does not;
 * NULL: no calls are looked for. opening: the end of the rendered prompt, which may have opened the
 * reasoning. */
ChatParser *chat_parser_new(const ChatFormat *format, struct json_object *tools,
                            const char *opening, size_t len, ChatPart *part, void *user);
/* Text is best given in whole characters; parts are whole characters in any case. */
void chat_parser_add(ChatParser *parser, const char *text, size_t len);
void chat_parser_end(ChatParser *parser); /* what was held back is told as what it is */
void chat_parser_free(ChatParser *parser);

/* Whether the end of a rendered prompt has opened the reasoning. */
bool chat_opens_reasoning(const ChatFormat *format, const char *opening, size_t len);
/* Answers that call one of the tools, or the tool `name` (NULL: any), behind reasoning where the
 * format has some; opening as of chat_parser_new. NULL: *why (malloc'd): a format without calls, no
 * such tool, or parameters whose schema can't be asked for. */
Grammar *chat_call_grammar(const ChatFormat *format, struct json_object *tools, const char *name,
                           const char *opening, size_t len, char **why);
/* Whether a text is one of the marks that such answers have: an id of its own, in most
 * vocabularies. */
bool chat_is_call_mark(const ChatFormat *format, const char *text, size_t len);

#endif
