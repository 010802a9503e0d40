/* ir/lex.c -- tokens of the text form. `#` and `;` start comments. */
#include "ir/lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 64, FOUND_BYTES = 60 };

Lexer
lex_start(const Source *source, Diag *diag, int line, int column, const char *text, size_t len)
{
    return (Lexer){
        .source = source,
        .diag = diag,
        .at = text,
        .end = text + len,
        .line = line,
        .line_start = text,
        .first_column = column,
        .fresh_line = true,
    };
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void
skip_blanks(Lexer *lx)
{
    for (; lx->at < lx->end; lx->at++) {
        const char c = *lx->at;
        if (c == '\n') {
            lx->line++;
            lx->line_start = lx->at + 1;
            lx->first_column = 1;
            lx->fresh_line = true;
        } else if (c == '#' || c == ';') {
            const char *newline = memchr(lx->at, '\n', (size_t)(lx->end - lx->at));
            lx->at = (newline ? newline : lx->end) - 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static SrcLoc
loc_at(const Lexer *lx, const char *at, size_t span)
{
    const int64_t column = lx->first_column + (at - lx->line_start);
    return (SrcLoc){
        .source = lx->source,
        .line = lx->line,
        .column = column < INT32_MAX ? (int)column : INT32_MAX,
        .span = span < INT32_MAX ? (int)span : INT32_MAX,
    };
}

/* Length of the number at p: digits [. digits] [e [+-] digits]. */
static size_t
number_length(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && is_digit(*q))
        q++;
    if (q < end && *q == '.')
        q++;
    while (q < end && is_digit(*q))
        q++;
    if (q < end && (*q == 'e' || *q == 'E')) {
        const char *digits = q + 1;
        if (digits < end && (*digits == '+' || *digits == '-'))
            digits++;
        const bool exponent = digits < end && is_digit(*digits);
        while (exponent && digits < end && is_digit(*digits))
            digits++;
        q = exponent ? digits : q;
    }
    return (size_t)(q - p);
}

static void
bad(Lexer *lx, Token *token, const char *what)
{
    token->kind = TK_BAD;
    if (!lx->quiet)
        diag_error(lx->diag, token->loc, "%s", what);
}

static void
read_number(Lexer *lx, Token *token)
{
    char digits[NUMBER_BYTES];
    token->kind = TK_NUMBER;
    token->len = number_length(token->text, lx->end);
    if (token->len >= sizeof digits) {
        bad(lx, token, "this number has too many digits; 17 are enough for any");
        return;
    }
    memcpy(digits, token->text, token->len);
    digits[token->len] = '\0';
    token->number = strtod(digits, NULL);
    errno = 0;
    token->integer = strtoll(digits, NULL, 10);
    token->is_integer = errno == 0 && strspn(digits, "0123456789") == token->len;
}

static void
read_string(Lexer *lx, Token *token)
{
    const char *p = token->text + 1;
    token->kind = TK_STRING;
    while (p < lx->end && *p != '"' && *p != '\n')
        p += *p == '\\' && p + 1 < lx->end && p[1] != '\n' ? 2 : 1;
    const bool closed = p < lx->end && *p == '"';
    token->len = (size_t)(p - token->text) + closed;
    if (!closed)
        bad(lx, token, "this string has no closing quote on its line");
}

/* Everything up to the next byte that could start a token is one fault. */
static void
read_garbage(Lexer *lx, Token *token)
{
    const char *p = token->text + 1;
    while (p < lx->end && ((unsigned char)*p >= 0x80 || (unsigned char)*p < 0x20) && *p != '\n')
        p++;
    token->len = (size_t)(p - token->text);
    bad(lx, token, "this character has no meaning here");
}

Token
lex_next(Lexer *lx)
{
    skip_blanks(lx);
    Token token = {.text = lx->at, .starts_line = lx->fresh_line, .loc = loc_at(lx, lx->at, 1)};
    lx->fresh_line = false;
    if (lx->at >= lx->end)
        return token;
    const char c = *lx->at;
    if (name_starts(c)) {
        token.kind = TK_NAME;
        while (lx->at + token.len < lx->end && name_goes_on(lx->at[token.len]))
            token.len++;
    } else if (is_digit(c)) {
        read_number(lx, &token);
    } else if (c == '"') {
        read_string(lx, &token);
    } else if (c && strchr("{}[]()<>=:,@+-*/|", c)) {
        token.kind = TK_PUNCT;
        token.punct = c;
        token.len = 1;
    } else {
        read_garbage(lx, &token);
    }
    token.loc = loc_at(lx, token.text, token.len);
    lx->at += token.len;
    return token;
}

static int
hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

const char *
lex_string(Arena *arena, const Token *token)
{
    char *text = arena_alloc(arena, token->len + 1), *put = text;
    const char *p = token->text + 1, *end = token->text + token->len - 1;
    while (p < end) {
        const bool hex = end - p >= 4 && p[0] == '\\' && p[1] == 'x' && hex_digit(p[2]) >= 0 &&
                         hex_digit(p[3]) >= 0 && (p[2] != '0' || p[3] != '0');
        if (hex) {
            *put++ = (char)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
            p += 4;
            continue;
        }
        p += *p == '\\' && p + 1 < end;
        *put++ = *p++;
    }
    return text;
}

const char *
lex_found(Arena *arena, const Token *token)
{
    if (token->kind == TK_END)
        return "the end of the text";
    if (token->len > FOUND_BYTES)
        return arena_printf(arena, "`%.*s...`", FOUND_BYTES, token->text);
    return arena_printf(arena, "`%.*s`", (int)token->len, token->text);
}
