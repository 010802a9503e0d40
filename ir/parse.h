/* ir/parse.h -- private to ir/: the parser's state, and what statements and graphs share.
 *
 * Functions that return bool return false once they have reported a fault. */
#ifndef SSMC_IR_PARSE_H
#define SSMC_IR_PARSE_H

#include "ir/lex.h"

enum { PARSE_DEPTH = 64 }; /* most nested calls and parentheses */

typedef struct {
    ParseScope *scope;
    Arena *arena;
    Diag *diag;
    Lexer lexer;
    Token token; /* the next one, not yet consumed */
    int depth;
} Parser;

/* What the left side of a statement says of one result. */
typedef struct {
    Token name;
    bool typed;
    Type type;
    Place place;
} Target;

typedef struct {
    Target targets[IR_MAX_OUT];
    int ntargets;
    Node *node; /* makes the results; NULL: the right side only names a value, `value` */
    Value *value;
} Statement;

void parser_start(Parser *p, ParseScope *scope, const Source *source, int line, int column,
                  const char *text, size_t len);
Token parser_take(Parser *p);
Token parser_peek(const Parser *p); /* the token after the next */
bool parser_at(const Parser *p, char punct);
bool parser_accept(Parser *p, char punct);
bool parser_expect(Parser *p, char punct, const char *where);
/* Reports "expected WHAT, found ..." at the next token. */
bool parser_expected(Parser *p, const char *what);
bool parser_name(Parser *p, Token *out, const char *what);
bool parser_integer(Parser *p, int64_t *out, const char *what);
bool parser_word(Parser *p, const char **out, const char *what); /* a name or a string */
const char *parser_text(const Parser *p, const Token *token);
/* " (did you mean `x`?)" or "". */
const char *parser_hint(const Parser *p, const char *nearest);

/* ir/parse_type.c */
bool parse_type(Parser *p, Type *out);
bool parse_place(Parser *p, Place *out); /* the next token is @ */

/* ir/parse_attr.c: { name=value, ... }; allowed NULL: of op. */
typedef bool AttrAllowed(Op op, AttrId id, bool *required);
bool parse_attrs(Parser *p, const char *owner, Op op, AttrAllowed *allowed, AttrList *out);

/* ir/parse_stmt.c */
bool parse_statement(Parser *p, Statement *out);

#endif
