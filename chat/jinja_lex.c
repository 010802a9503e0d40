/* chat/jinja_lex.c -- a template's source as tokens, with the white space that jinja2 takes away:
 * `-` beside a tag takes all of it, trim_blocks a line's end behind a block or a comment,
 * lstrip_blocks the spaces from a line's start to one of those, and `+` keeps it. */
#include "chat/jinja_lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NESTED = 200 };

typedef struct {
    Arena *arena;
    const Source *source;
    Diag *diag;
    Tokens *out;
    const char *text;
    size_t len, at;
    bool line_start; /* what was read last ended a line */
} Lexer;

SrcLoc
jinja_place(const Source *source, size_t at)
{
    SrcLoc loc = {.source = source, .line = 1, .column = 1, .span = 1};
    for (size_t i = 0; i < at && i < source->len; i++) {
        loc.line += source->text[i] == '\n';
        loc.column = source->text[i] == '\n' ? 1 : loc.column + 1;
    }
    return loc;
}

static bool
fault(Lexer *l, size_t at, const char *text)
{
    return diag_error(l->diag, jinja_place(l->source, at), "%s", text);
}

static bool
starts(const Lexer *l, size_t at, const char *mark)
{
    const size_t n = strlen(mark);
    return at <= l->len && l->len - at >= n && memcmp(l->text + at, mark, n) == 0;
}

static size_t
skip_space(const Lexer *l, size_t at)
{
    while (at < l->len) {
        const size_t step = jt_step(l->text + at, l->len - at);
        if (!jt_is_space(jt_code(l->text + at, step)))
            break;
        at += step;
    }
    return at;
}

static void
push(Lexer *l, Token token)
{
    VEC_PUSH(l->arena, l->out->items, l->out->count, l->out->cap, token);
}

/* ---- text between tags ---------------------------------------------------------------------- */

/* Where the next tag begins; the source's end: there is none. */
static size_t
next_tag(const Lexer *l)
{
    for (size_t at = l->at; at + 1 < l->len; at++)
        if (l->text[at] == '{' &&
            (l->text[at + 1] == '{' || l->text[at + 1] == '%' || l->text[at + 1] == '#'))
            return at;
    return l->len;
}

/* The text up to a tag, as white space control leaves it. sign: what stands in the tag behind its
 * first two characters; print: the tag is {{. */
static void
put_text(Lexer *l, size_t end, char sign, bool print)
{
    JVal text = j_textn(l->text + l->at, end - l->at);
    if (sign == '-') {
        text = jt_strip(text, NULL, JT_right);
    } else if (sign != '+' && !print) {
        size_t line = text.len;
        while (line > 0 && text.text[line - 1] != '\n')
            line--;
        const JVal rest = j_textn(text.text + line, text.len - line);
        if ((line > 0 || l->line_start) && jt_strip(rest, NULL, JT_both).len == 0)
            text.len = line;
    }
    if (text.len)
        push(l, (Token){.kind = TK_text, .at = l->at, .len = text.len, .value = text});
}

/* Behind the mark that ends a block or a comment: `close` is its two characters. 0: it is not
 * there. */
static size_t
tag_end(const Lexer *l, size_t at, const char *close, bool trims)
{
    if (l->text[at] == '-' && starts(l, at + 1, close))
        return skip_space(l, at + 3);
    if (l->text[at] == '+' && starts(l, at + 1, close))
        return at + 3;
    if (!starts(l, at, close))
        return 0;
    return at + 2 + (trims && starts(l, at + 2, "\n"));
}

static void
go_to(Lexer *l, size_t at)
{
    l->at = at;
    l->line_start = at > 0 && l->text[at - 1] == '\n';
}

static bool
comment(Lexer *l, size_t begin)
{
    for (size_t at = begin + 2; at < l->len; at++) {
        const size_t end = tag_end(l, at, "#}", true);
        if (end)
            return go_to(l, end), true;
    }
    return fault(l, begin, "this comment has no end: #} is missing");
}

/* {% WORD %}: behind it; 0: it is something else. */
static size_t
word_block(const Lexer *l, size_t at, const char *word, bool trims)
{
    at += 2;
    at += at < l->len && (l->text[at] == '-' || l->text[at] == '+');
    at = skip_space(l, at);
    if (!starts(l, at, word))
        return 0;
    at = skip_space(l, at + strlen(word));
    return at < l->len ? tag_end(l, at, "%}", trims) : 0;
}

/* {% raw %} begins at `begin`; what is in it begins at l->at. */
static bool
raw(Lexer *l, size_t begin)
{
    for (size_t at = l->at; at + 1 < l->len; at++) {
        const size_t end = starts(l, at, "{%") ? word_block(l, at, "endraw", true) : 0;
        if (!end)
            continue;
        put_text(l, at, at + 2 < l->len ? l->text[at + 2] : 0, false);
        return go_to(l, end), true;
    }
    return fault(l, begin, "this block has no end: {% endraw %} is missing");
}

/* ---- inside of tags ------------------------------------------------------------------------- */

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* A character by its number: `digits` of them, base 16. False: they are not there. */
static bool
put_number(StrBuf *out, const char **at, const char *end, int digits)
{
    int32_t code = 0;
    for (int i = 0; i < digits; i++, ++*at) {
        const int digit = *at < end ? hex_digit(**at) : -1;
        if (digit < 0 || code > 0x10FFFF)
            return false;
        code = code * 16 + digit;
    }
    jt_put(out, code);
    return true;
}

static bool
put_escape(StrBuf *out, const char **at, const char *end)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char c = *(*at)++;
    const char *known = memchr(from, c, sizeof from - 1);
    if (known) {
        sb_putn(out, &to[known - from], 1);
        return true;
    }
    if (c == 'x' || c == 'u' || c == 'U')
        return put_number(out, at, end, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    if (c >= '0' && c <= '7') {
        int32_t code = c - '0';
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++)
            code = code * 8 + *(*at)++ - '0';
        jt_put(out, code);
    } else if (c != '\n') { /* not one: it stands for itself */
        sb_puts(out, "\\");
        sb_putn(out, &c, 1);
    }
    return true;
}

static bool
string(Lexer *l)
{
    const size_t begin = l->at;
    const char quote = l->text[begin];
    size_t end = begin + 1;
    while (end < l->len && l->text[end] != quote)
        end += l->text[end] == '\\' ? 2 : 1;
    if (end >= l->len)
        return fault(l, begin, "this text has no end: its quote is missing");
    StrBuf sb = {0};
    for (const char *at = l->text + begin + 1, *stop = l->text + end; at < stop;) {
        const char c = *at++;
        if (c != '\\')
            sb_putn(&sb, &c, 1);
        else if (!put_escape(&sb, &at, stop)) {
            sb_free(&sb);
            return fault(l, begin,
                         "this text has an escape that cannot be: \\xNN, \\uNNNN and "
                         "\\UNNNNNNNN want that many hexadecimal digits");
        }
    }
    const size_t len = sb.len;
    const JVal value = j_textn(sb_finish(&sb, l->arena), len);
    push(l, (Token){.kind = TK_string, .at = begin, .len = end + 1 - begin, .value = value});
    l->at = end + 1;
    return true;
}

static bool
number(Lexer *l)
{
    enum { MOST_DIGITS = 60 };
    char digits[MOST_DIGITS + 1];
    size_t n = 0, at = l->at;
    bool real = false;
    const bool place = l->text[at - 1] == '.'; /* a.0.1 has two of them */
    const bool based = l->text[at] == '0' && at + 1 < l->len && strchr("xXoObB", l->text[at + 1]);
    for (; at < l->len && n < MOST_DIGITS; at++) {
        const char c = l->text[at], next = at + 1 < l->len ? l->text[at + 1] : 0;
        const bool sign = !based && (c == '+' || c == '-') && (l->text[at - 1] | 0x20) == 'e' &&
                          at > l->at && is_digit(next);
        const bool point = !based && !real && !place && c == '.' && is_digit(next);
        const bool power = !based && (c | 0x20) == 'e' &&
                           (is_digit(next) || ((next == '+' || next == '-') && at + 2 < l->len &&
                                               is_digit(l->text[at + 2])));
        if (!is_digit(c) && c != '_' && !sign && !point && !power &&
            !(based && (hex_digit(c) >= 0 || at == l->at + 1)))
            break;
        real = real || point || power;
        if (c != '_')
            digits[n++] = c;
    }
    digits[n] = 0;
    char *end = NULL;
    errno = 0;
    const int base = !based                      ? 10
                     : (digits[1] | 0x20) == 'x' ? 16
                     : (digits[1] | 0x20) == 'o' ? 8
                                                 : 2;
    const JVal value =
        real ? j_float(strtod(digits, &end)) : j_int(strtoll(digits + (based ? 2 : 0), &end, base));
    if (*end || errno == ERANGE || n == MOST_DIGITS)
        return fault(l, l->at,
                     "this number cannot be: an integer of 64 bits or a decimal is "
                     "expected");
    push(l, (Token){.kind = TK_number, .at = l->at, .len = at - l->at, .value = value});
    l->at = at;
    return true;
}

static void
name(Lexer *l)
{
    size_t end = l->at;
    while (end < l->len && (is_letter(l->text[end]) || is_digit(l->text[end])))
        end++;
    push(l, (Token){.kind = TK_name,
                    .at = l->at,
                    .len = end - l->at,
                    .word = arena_strndup(l->arena, l->text + l->at, end - l->at)});
    l->at = end;
}

static bool
operator(Lexer *l, StrBuf *open)
{
    static const char *const words[] = {"==", "!=", ">=", "<=", "//", "**", "+", "-", "/",
                                        "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                        ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    size_t i = 0;
    while (i < COUNT_OF(words) && !starts(l, l->at, words[i]))
        i++;
    if (i == COUNT_OF(words))
        return fault(l, l->at, "this character has no meaning inside of a tag");
    const char c = words[i][0];
    if (c == '(' || c == '[' || c == '{') {
        if (open->len == MOST_NESTED)
            return fault(l, l->at, "brackets are nested more than 200 deep");
        sb_puts(open, c == '(' ? ")" : c == '[' ? "]" : "}");
    }
    if (c == ')' || c == ']' || c == '}') {
        if (open->len == 0 || open->text[open->len - 1] != c)
            return fault(l, l->at, "this bracket closes none that is open");
        open->len--;
    }
    push(l, (Token){.kind = TK_op, .at = l->at, .len = strlen(words[i]), .word = words[i]});
    l->at += strlen(words[i]);
    return true;
}

/* The tokens of a tag up to its end, which counts only outside of brackets. */
static bool
inside(Lexer *l, size_t begin, const char *close, TokenKind end_kind)
{
    StrBuf open = {0};
    bool ok = true;
    while (ok) {
        l->at = skip_space(l, l->at);
        if (l->at >= l->len) {
            ok = fault(l, begin,
                       end_kind == TK_print_end ? "this tag has no end: }} is missing"
                                                : "this tag has no end: %} is missing");
            break;
        }
        size_t end = open.len ? 0 : tag_end(l, l->at, close, end_kind == TK_block_end);
        if (end && l->text[l->at] == '+' && end_kind == TK_print_end)
            end = 0; /* no sign of a {{ }} */
        if (end) {
            push(l, (Token){.kind = end_kind, .at = l->at, .len = 2});
            go_to(l, end);
            break;
        }
        const char c = l->text[l->at];
        if (c == '"' || c == '\'')
            ok = string(l);
        else if (is_digit(c))
            ok = number(l);
        else if (is_letter(c))
            name(l);
        else
            ok = operator(l, &open);
    }
    sb_free(&open);
    return ok;
}

static bool
tag(Lexer *l, size_t begin)
{
    const char kind = l->text[begin + 1], sign = begin + 2 < l->len ? l->text[begin + 2] : 0;
    const bool print = kind == '{';
    put_text(l, begin, sign, print);
    if (kind == '#')
        return comment(l, begin);
    const size_t behind = print ? 0 : word_block(l, begin, "raw", false);
    if (behind) {
        go_to(l, behind);
        return raw(l, begin);
    }
    l->at = begin + 2 + (sign == '-' || sign == '+');
    push(l, (Token){.kind = print ? TK_print_begin : TK_block_begin, .at = begin, .len = 2});
    return inside(l, begin, print ? "}}" : "%}", print ? TK_print_end : TK_block_end);
}

bool
jinja_lex(Arena *arena, const Source *source, Diag *diag, Tokens *out)
{
    Lexer l = {.arena = arena,
               .source = source,
               .diag = diag,
               .out = out,
               .text = source->text,
               .len = source->len,
               .line_start = true};
    while (l.at < l.len) {
        const size_t begin = next_tag(&l);
        if (begin == l.len) {
            const JVal text = j_textn(l.text + l.at, l.len - l.at);
            push(&l, (Token){.kind = TK_text, .at = l.at, .len = text.len, .value = text});
            break;
        }
        if (!tag(&l, begin))
            return false;
    }
    push(&l, (Token){.kind = TK_end, .at = l.len});
    return true;
}
