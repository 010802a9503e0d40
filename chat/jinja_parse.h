/* chat/jinja_parse.h -- private to chat/: what reads statements and what reads expressions. */
#ifndef SSMC_CHAT_JINJA_PARSE_H
#define SSMC_CHAT_JINJA_PARSE_H

#include "chat/jinja_lex.h"

typedef struct {
    Arena *arena;
    const Source *source;
    Diag *diag;
    Tokens tokens;
    int at;
    int depth;
    int loops; /* for statements around what is read, for break and continue */
    bool failed;
} Parser;

/* The first fault is said; everything that follows returns NULL or false. */
void *parse_fault(Parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
const Token *peek(const Parser *p);
bool peek_op(const Parser *p, const char *op);
bool peek_name(const Parser *p, const char *name);
bool skip_op(Parser *p, const char *op);
bool skip_name(Parser *p, const char *name);
bool expect_op(Parser *p, const char *op);
const char *expect_name(Parser *p); /* NULL: fault */
bool parse_deeper(Parser *p);       /* one level; parser->depth-- leaves it */
JNode *node_new(Parser *p, JNodeKind kind, size_t at);
void node_push(Parser *p, JNode *node, JNode *child);

/* What follows up to a tag's end. with_if: `a if b else c` is taken. */
JNode *parse_tuple(Parser *p, bool with_if);
JNode *parse_expression(Parser *p);
JNode *parse_primary(Parser *p);
JNode *parse_postfix(Parser *p, JNode *node);
/* name(args)|name ... behind a | that has been read; of: NULL where a block's text is filtered. */
JNode *parse_filters(Parser *p, JNode *of);
/* Names that a for, a set or a with gives values: a name, a.b, or several. */
JNode *parse_target(Parser *p);
/* (a, b=1): of a macro or a call block. */
void parse_parameters(Parser *p, JNode *macro);

#endif
