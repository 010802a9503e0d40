/* ir/lex.h -- private to ir/: tokens of the text form. */
#ifndef SSMC_IR_LEX_H
#define SSMC_IR_LEX_H

#include "ir/internal.h"

typedef enum {
    TK_END,
    TK_NAME,   /* letters, digits, _ and dots, starting with a letter or _ */
    TK_NUMBER, /* unsigned */
    TK_STRING,
    TK_PUNCT, /* one character */
    TK_BAD    /* reported already */
} TokenKind;

typedef struct {
    TokenKind kind;
    char punct;       /* TK_PUNCT */
    bool starts_line; /* nothing but blanks before it on its line */
    bool is_integer;  /* TK_NUMBER: digits only, and it fits */
    int64_t integer;
    double number;
    const char *text; /* its bytes in the source; of a string with the quotes */
    size_t len;
    SrcLoc loc;
} Token;

typedef struct {
    const Source *source;
    Diag *diag;
    const char *at, *end;
    int line;
    const char *line_start; /* column 1 is here */
    int first_column;       /* of the first line, where the text starts inside one */
    bool fresh_line;
    bool quiet; /* report nothing: looking ahead */
} Lexer;

Lexer lex_start(const Source *source, Diag *diag, int line, int column, const char *text,
                size_t len);
Token lex_next(Lexer *lexer);
/* Contents of a string token. */
const char *lex_string(Arena *arena, const Token *token);
/* What was found, for messages: `name`, end of text ... Arena text, shortened. */
const char *lex_found(Arena *arena, const Token *token);

#endif
