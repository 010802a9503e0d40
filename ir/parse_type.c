/* ir/parse_type.c -- the parser's tools; types and places. */
#include <string.h>

#include "ir/parse.h"

/* ---- tools -------------------------------------------------------------------------------- */

void
parser_start(Parser *p, ParseScope *scope, const Source *source, int line, int column,
             const char *text, size_t len)
{
    *p = (Parser){.scope = scope, .arena = scope->graph->arena, .diag = scope->diag};
    p->lexer = lex_start(source, scope->diag, line, column, text, len);
    p->token = lex_next(&p->lexer);
}

Token
parser_take(Parser *p)
{
    const Token taken = p->token;
    p->token = lex_next(&p->lexer);
    return taken;
}

Token
parser_peek(const Parser *p)
{
    Lexer ahead = p->lexer;
    ahead.quiet = true;
    return lex_next(&ahead);
}

bool
parser_at(const Parser *p, char punct)
{
    return p->token.kind == TK_PUNCT && p->token.punct == punct;
}

bool
parser_accept(Parser *p, char punct)
{
    if (!parser_at(p, punct))
        return false;
    parser_take(p);
    return true;
}

bool
parser_expected(Parser *p, const char *what)
{
    if (p->token.kind != TK_BAD)
        diag_error(p->diag, p->token.loc, "expected %s, found %s", what,
                   lex_found(p->arena, &p->token));
    return false;
}

bool
parser_expect(Parser *p, char punct, const char *where)
{
    if (parser_accept(p, punct))
        return true;
    return parser_expected(p, arena_printf(p->arena, "`%c` %s", punct, where));
}

bool
parser_name(Parser *p, Token *out, const char *what)
{
    if (p->token.kind != TK_NAME)
        return parser_expected(p, what);
    *out = parser_take(p);
    return true;
}

bool
parser_integer(Parser *p, int64_t *out, const char *what)
{
    if (p->token.kind != TK_NUMBER || !p->token.is_integer)
        return parser_expected(p, what);
    *out = parser_take(p).integer;
    return true;
}

bool
parser_word(Parser *p, const char **out, const char *what)
{
    if (p->token.kind != TK_NAME && p->token.kind != TK_STRING)
        return parser_expected(p, what);
    const Token token = parser_take(p);
    *out = token.kind == TK_NAME ? parser_text(p, &token) : lex_string(p->arena, &token);
    return true;
}

const char *
parser_text(const Parser *p, const Token *token)
{
    return arena_strndup(p->arena, token->text, token->len);
}

const char *
parser_hint(const Parser *p, const char *nearest)
{
    return nearest ? arena_printf(p->arena, "; did you mean `%s`?", nearest) : "";
}

/* ---- types -------------------------------------------------------------------------------- */

static bool
is_word(const Token *token, const char *word)
{
    return token->kind == TK_NAME && strlen(word) == token->len &&
           memcmp(token->text, word, token->len) == 0;
}

static bool
parse_size(Parser *p, int64_t *out)
{
    if (p->token.kind == TK_NUMBER && p->token.is_integer && p->token.integer >= 1 &&
        p->token.integer <= IR_MAX_DIM)
        return parser_integer(p, out, "");
    return parser_expected(p, "a size from 1 to 2^40");
}

/* The /64) or /all) of ceil(T/64). */
static bool
parse_chunks(Parser *p, Dim *out)
{
    Token tokens;
    if (!parser_expect(p, '(', "as in ceil(T/64)") || !parser_name(p, &tokens, "`T`"))
        return false;
    if (!is_word(&tokens, "T"))
        return diag_error(p->diag, tokens.loc, "expected `T`: only tokens are cut into chunks");
    *out = (Dim){DIM_CHUNKS, CHUNK_ALL};
    if (!parser_expect(p, '/', "as in ceil(T/64)"))
        return false;
    if (is_word(&p->token, "all"))
        parser_take(p);
    else if (!parse_size(p, &out->n))
        return false;
    return parser_expect(p, ')', "as in ceil(T/64)");
}

/* Q64 or Qall. */
static bool
chunk_columns(const Token *token, Dim *out)
{
    *out = (Dim){DIM_CHUNK, CHUNK_ALL};
    if (token->len < 2 || token->len > 16 || token->text[0] != 'Q')
        return false;
    if (is_word(token, "Qall"))
        return true;
    for (size_t i = 1; i < token->len; i++) {
        const int digit = token->text[i] - '0';
        if (digit < 0 || digit > 9)
            return false;
        out->n = out->n * 10 + digit;
    }
    return out->n >= 1 && out->n <= IR_MAX_DIM;
}

/* The *6 of T*6, if it is there. */
static bool
parse_choices(Parser *p, Dim *out)
{
    if (!parser_accept(p, '*'))
        return true;
    const SrcLoc loc = p->token.loc;
    *out = (Dim){DIM_CHOICES, 0};
    if (!parse_size(p, &out->n))
        return false;
    return out->n <= IR_MAX_CHOICES ||
           diag_error(p->diag, loc, "a token has at most %d rows", IR_MAX_CHOICES);
}

static bool
parse_dim(Parser *p, Dim *out)
{
    if (p->token.kind == TK_NUMBER) {
        *out = (Dim){DIM_CONST, 0};
        return parse_size(p, &out->n);
    }
    const Token token = p->token;
    if (token.kind != TK_NAME)
        return parser_expected(p, "a dimension");
    if (is_word(&token, "T"))
        *out = (Dim){DIM_TOKENS, 0};
    else if (is_word(&token, "R"))
        *out = (Dim){DIM_ROWS, 0};
    else if (is_word(&token, "S"))
        *out = (Dim){DIM_KEPT, 0};
    else if (!is_word(&token, "ceil") && !chunk_columns(&token, out))
        return parser_expected(
            p, "a dimension: a size, T, R, S, T*6, ceil(T/64), ceil(T/all), Q64 or Qall");
    parser_take(p);
    if (out->kind == DIM_TOKENS && is_word(&token, "T"))
        return parse_choices(p, out);
    return is_word(&token, "ceil") ? parse_chunks(p, out) : true;
}

bool
parse_type(Parser *p, Type *out)
{
    Token name;
    *out = (Type){0};
    if (!parser_name(p, &name, "a type such as f32[T,256]"))
        return false;
    if (!dtype_by_name(name.text, name.len, &out->dtype)) {
        const char *near =
            nearest_name(parser_text(p, &name), dtype_info, DTYPE_COUNT, sizeof dtype_info[0]);
        return diag_error(p->diag, name.loc, "unknown element type %s%s",
                          lex_found(p->arena, &name), parser_hint(p, near));
    }
    if (!parser_accept(p, '['))
        return true;
    do {
        if (out->shape.rank == IR_MAX_RANK)
            return diag_error(p->diag, p->token.loc, "a type has at most %d dimensions",
                              IR_MAX_RANK);
        if (!parse_dim(p, &out->shape.dim[out->shape.rank++]))
            return false;
    } while (parser_accept(p, ','));
    return parser_expect(p, ']', "after the dimensions");
}

bool
parse_place(Parser *p, Place *out)
{
    Token name;
    parser_take(p);
    if (!parser_name(p, &name, "a space such as slab"))
        return false;
    if (!space_by_name(name.text, name.len, &out->space) || out->space == SPACE_NONE) {
        const char *near = nearest_name(parser_text(p, &name), space_name + 1, SPACE_COUNT - 1,
                                        sizeof space_name[0]);
        return diag_error(p->diag, name.loc, "unknown space %s%s", lex_found(p->arena, &name),
                          parser_hint(p, near));
    }
    return parser_expect(p, '+', "and the offset in bytes") &&
           parser_integer(p, &out->offset, "an offset in bytes") &&
           parser_expect(p, '/', "and the stride in elements") &&
           parser_integer(p, &out->stride, "a stride in elements");
}
