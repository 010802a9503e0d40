/* chat/jinja_lex.h -- private to chat/: a template's source as tokens. */
#ifndef SSMC_CHAT_JINJA_LEX_H
#define SSMC_CHAT_JINJA_LEX_H

#include "chat/jinja.h"

typedef enum {
    TK_text,        /* between tags; value */
    TK_block_begin, /* {% */
    TK_block_end,
    TK_print_begin, /* {{ */
    TK_print_end,
    TK_name,   /* word */
    TK_string, /* value */
    TK_number, /* value */
    TK_op,     /* word: the operator */
    TK_end     /* of the source */
} TokenKind;

typedef struct {
    TokenKind kind;
    size_t at, len; /* in the source */
    const char *word;
    JVal value;
} Token;

typedef struct {
    Token *items;
    int count, cap;
} Tokens;

/* False: the fault is in diag. Tokens lie in the arena. */
bool jinja_lex(Arena *arena, const Source *source, Diag *diag, Tokens *out);

#endif
