/* chat/formats.h -- private to chat/: formats as chat.c chooses them and parser.c reads by them. */
#ifndef SSMC_CHAT_FORMATS_H
#define SSMC_CHAT_FORMATS_H

#include "chat/chat.h"

struct json_object;

typedef enum {
    SYNTAX_none,
    SYNTAX_json,     /* {"name": .., "arguments": ..}, several of them, or a list */
    SYNTAX_bare,     /* such JSON is the whole answer, without a mark */
    SYNTAX_function, /* <function=NAME><parameter=KEY>VALUE</parameter></function> */
    SYNTAX_invoke,   /* <invoke name="NAME"><parameter name="KEY">VALUE</parameter></invoke> */
    SYNTAX_python,   /* [name(key=value), ...] */
    SYNTAX_kimi,     /* <|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{..} ... */
    SYNTAX_args      /* NAME[ARGS]{..} */
} ChatSyntax;

typedef struct {
    const char *begin, *end;
    ChatSyntax syntax;
    const char *open, *close;
} ChatCalls;

typedef struct {
    const char *open, *close;
} ChatThinking;

typedef struct {
    const char *name, *mark; /* name first: nearest_name reads it */
    const char *first, *stop;
    struct {
        const char *begin, *end; /* NULL: it has no place */
    } system, user, answer;
} ChatTurns;

const ChatCalls *chat_calls(const ChatFormat *format);       /* NULL: it has none */
const ChatThinking *chat_thinking(const ChatFormat *format); /* NULL: it has none */
bool chat_trims(const ChatFormat *format); /* white space that an answer begins with is its */

/* ---- calls of tools (calls.c) -----------------------------------------------------------------
 */

/* How far a call's text has come, byte for byte: where it is inside of a text in quotes, the mark
 * that ends it does not end it. Zeros begin. */
typedef struct {
    int depth;
    char quote; /* 0: outside of a text */
    bool escaped, began;
    char last; /* of args: what came before */
} CallScan;
/* One more byte. True: a value that had begun is complete with it. */
bool call_scan(CallScan *scan, ChatSyntax syntax, char c);

typedef struct {
    char *name, *arguments; /* JSON text; both malloc'd */
} ChatCall;
typedef struct {
    ChatCall *items;
    int count, cap;
} ChatCallList;
/* The calls that a text between the marks says. False: it is broken, and there are none. tools: the
 * types of parameters, where the syntax has none of its own; NULL: they are told by what is there.
 */
bool calls_parse(ChatSyntax syntax, const char *text, size_t len, struct json_object *tools,
                 ChatCallList *out);
void calls_free(ChatCallList *list);

#endif
