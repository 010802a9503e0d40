/* chat/jinja_parse.c -- reads a template: text, what is printed, and statements. */
#include "chat/jinja_parse.h"

#include <string.h>

enum { MOST_DEPTH = 100, MOST_BYTES = 8 << 20 };

/* ---- tokens --------------------------------------------------------------------------------- */

void *
parse_fault(Parser *p, const char *fmt, ...)
{
    if (p->failed)
        return NULL;
    p->failed = true;
    StrBuf text = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&text, fmt, args);
    va_end(args);
    SrcLoc loc = jinja_place(p->source, peek(p)->at);
    loc.span = (int)(peek(p)->len < 200 ? peek(p)->len : 1);
    diag_error(p->diag, loc, "%s", sb_text(&text));
    sb_free(&text);
    return NULL;
}

const Token *
peek(const Parser *p)
{
    return &p->tokens.items[p->at];
}

bool
peek_op(const Parser *p, const char *op)
{
    return peek(p)->kind == TK_op && strcmp(peek(p)->word, op) == 0;
}

bool
peek_name(const Parser *p, const char *name)
{
    return peek(p)->kind == TK_name && strcmp(peek(p)->word, name) == 0;
}

bool
skip_op(Parser *p, const char *op)
{
    const bool is = peek_op(p, op);
    p->at += is;
    return is;
}

bool
skip_name(Parser *p, const char *name)
{
    const bool is = peek_name(p, name);
    p->at += is;
    return is;
}

bool
expect_op(Parser *p, const char *op)
{
    if (!p->failed && !skip_op(p, op))
        parse_fault(p, "`%s` is expected here", op);
    return !p->failed;
}

const char *
expect_name(Parser *p)
{
    if (p->failed)
        return NULL;
    if (peek(p)->kind != TK_name)
        return parse_fault(p, "a name is expected here");
    return p->tokens.items[p->at++].word;
}

bool
parse_deeper(Parser *p)
{
    if (p->depth++ >= MOST_DEPTH)
        parse_fault(p, "this is nested more than %d deep", MOST_DEPTH);
    return !p->failed;
}

JNode *
node_new(Parser *p, JNodeKind kind, size_t at)
{
    JNode *node = arena_alloc(p->arena, sizeof *node);
    node->kind = kind;
    node->at = at;
    return node;
}

void
node_push(Parser *p, JNode *node, JNode *child)
{
    if (!p->failed)
        VEC_PUSH(p->arena, node->list, node->count, node->cap, child);
}

/* ---- statements ----------------------------------------------------------------------------- */

static JNode *parse_body(Parser *p, const char *const *ends);

static bool
tag_ends(Parser *p)
{
    if (!p->failed && peek(p)->kind != TK_block_end)
        parse_fault(p, "the end of the tag, %%}, is expected here");
    p->at += !p->failed;
    return !p->failed;
}

/* The body of a statement, and the tag that ends it. */
static JNode *
parse_until(Parser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    tag_ends(p);
    JNode *body = parse_body(p, ends);
    if (!p->failed)
        p->at++; /* its name */
    tag_ends(p);
    return body;
}

static JNode *
parse_if(Parser *p, size_t at)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    JNode *node = node_new(p, JN_if, at);
    JNode *last = node;
    while (!p->failed) {
        last->a = parse_tuple(p, false);
        tag_ends(p);
        last->b = parse_body(p, ends);
        if (p->failed || !skip_name(p, "elif"))
            break;
        last->c = node_new(p, JN_if, peek(p)->at);
        last = last->c;
    }
    if (!p->failed && skip_name(p, "else"))
        last->c = parse_until(p, "endif");
    else if (!p->failed) {
        p->at++;
        tag_ends(p);
    }
    return node;
}

static JNode *
parse_for(Parser *p, size_t at)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    JNode *node = node_new(p, JN_for, at);
    node->b = parse_target(p);
    if (!p->failed && !skip_name(p, "in"))
        return parse_fault(p, "`in` is expected here");
    node->a = p->failed ? NULL : parse_tuple(p, false);
    if (!p->failed && skip_name(p, "if"))
        node->c = parse_expression(p);
    node->recursive = !p->failed && skip_name(p, "recursive");
    tag_ends(p);
    p->loops++;
    node->d = parse_body(p, ends);
    p->loops--;
    if (!p->failed && skip_name(p, "else"))
        node->e = parse_until(p, "endfor");
    else if (!p->failed) {
        p->at++;
        tag_ends(p);
    }
    return node;
}

static JNode *
parse_set(Parser *p, size_t at)
{
    JNode *target = parse_target(p);
    if (p->failed)
        return NULL;
    JNode *node = node_new(p, skip_op(p, "=") ? JN_set : JN_set_block, at);
    node->b = target;
    if (node->kind == JN_set) {
        node->a = parse_tuple(p, true);
        tag_ends(p);
        return node;
    }
    node->a = skip_op(p, "|") ? parse_filters(p, NULL) : NULL;
    node->d = parse_until(p, "endset");
    return node;
}

static JNode *
parse_macro(Parser *p, size_t at)
{
    JNode *node = node_new(p, JN_macro, at);
    node->text = expect_name(p);
    parse_parameters(p, node);
    const int loops = p->loops;
    p->loops = 0;
    node->d = parse_until(p, "endmacro");
    p->loops = loops;
    return node;
}

static JNode *
parse_call_block(Parser *p, size_t at)
{
    JNode *node = node_new(p, JN_call_block, at);
    node->b = node_new(p, JN_macro, at);
    node->b->text = "caller";
    if (peek_op(p, "("))
        parse_parameters(p, node->b);
    node->a = p->failed ? NULL : parse_expression(p);
    if (!p->failed && node->a->kind != JN_call)
        return parse_fault(p, "the call of a macro is expected here");
    const int loops = p->loops;
    p->loops = 0;
    node->b->d = parse_until(p, "endcall");
    p->loops = loops;
    return node;
}

static JNode *
parse_filter_block(Parser *p, size_t at)
{
    JNode *node = node_new(p, JN_filter_block, at);
    node->a = parse_filters(p, NULL);
    node->d = parse_until(p, "endfilter");
    return node;
}

static JNode *
parse_with(Parser *p, size_t at)
{
    JNode *node = node_new(p, JN_with, at);
    node->b = node_new(p, JN_tuple, at);
    while (!p->failed && peek(p)->kind != TK_block_end) {
        if (node->count && !expect_op(p, ","))
            break;
        node_push(p, node->b, parse_target(p));
        expect_op(p, "=");
        node_push(p, node, p->failed ? NULL : parse_expression(p));
    }
    node->d = parse_until(p, "endwith");
    return node;
}

static JNode *
parse_generation(Parser *p, size_t at)
{
    (void)at;
    return parse_until(p, "endgeneration");
}

static JNode *
parse_leave(Parser *p, size_t at, JNodeKind kind)
{
    if (p->loops == 0) {
        p->at--;
        return parse_fault(p, "this stands outside of every for");
    }
    tag_ends(p);
    return node_new(p, kind, at);
}

static JNode *
parse_break(Parser *p, size_t at)
{
    return parse_leave(p, at, JN_break);
}

static JNode *
parse_continue(Parser *p, size_t at)
{
    return parse_leave(p, at, JN_continue);
}

static const struct {
    const char *name; /* first: nearest_name reads it */
    JNode *(*parse)(Parser *p, size_t at);
} statements[] = {
    {"if",         parse_if          },
    {"for",        parse_for         },
    {"set",        parse_set         },
    {"macro",      parse_macro       },
    {"call",       parse_call_block  },
    {"filter",     parse_filter_block},
    {"with",       parse_with        },
    {"generation", parse_generation  },
    {"break",      parse_break       },
    {"continue",   parse_continue    },
};

static JNode *
parse_statement(Parser *p)
{
    static const char elsewhere[] = "include import from extends block do autoescape trans";
    const size_t at = peek(p)->at;
    const char *name = expect_name(p);
    if (!name)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        if (strcmp(name, statements[i].name) == 0)
            return statements[i].parse(p, at);
    p->at--;
    if (word_in(elsewhere, name))
        return parse_fault(p, "`%s` is not supported in chat templates", name);
    if (strncmp(name, "end", 3) == 0 || strcmp(name, "else") == 0 || strcmp(name, "elif") == 0)
        return parse_fault(p, "`%s` ends nothing that is open here", name);
    const char *near = nearest_name(name, statements, COUNT_OF(statements), sizeof *statements);
    return parse_fault(p, "unknown statement `%s`%s%s%s", name, near ? "; did you mean `" : "",
                       near ? near : "", near ? "`?" : "");
}

static bool
is_one_of(const Parser *p, const char *const *names)
{
    for (; names && *names; names++)
        if (peek_name(p, *names))
            return true;
    return false;
}

static JNode *
parse_print(Parser *p)
{
    JNode *node = node_new(p, JN_print, peek(p)->at);
    p->at++;
    node->a = parse_tuple(p, true);
    if (!p->failed && peek(p)->kind != TK_print_end)
        return parse_fault(p, "the end of the tag, }}, is expected here");
    p->at += !p->failed;
    return node;
}

/* Up to a statement of one of those names, which is next then; NULL: to the source's end. */
static JNode *
parse_body(Parser *p, const char *const *ends)
{
    if (!parse_deeper(p))
        return NULL;
    JNode *body = node_new(p, JN_body, peek(p)->at);
    while (!p->failed) {
        const Token *token = peek(p);
        if (token->kind == TK_end) {
            if (ends)
                parse_fault(p, "the template ends here, but {%% %s %%} is expected",
                            ends[1] ? ends[1] : ends[0]);
            break;
        }
        if (token->kind == TK_text) {
            JNode *text = node_new(p, JN_text, token->at);
            text->value = token->value;
            node_push(p, body, text);
            p->at++;
        } else if (token->kind == TK_print_begin) {
            node_push(p, body, parse_print(p));
        } else {
            p->at++;
            if (is_one_of(p, ends))
                break;
            node_push(p, body, parse_statement(p));
        }
    }
    p->depth--;
    return body;
}

/* Line ends become \n, and the last of them goes, as jinja2 has it. */
static void
normalise(Arena *arena, const char *text, size_t len, Source *out)
{
    char *copy = arena_alloc(arena, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        copy[n++] = text[i] == '\r' ? '\n' : text[i];
        i += text[i] == '\r' && i + 1 < len && text[i + 1] == '\n';
    }
    n -= n > 0 && copy[n - 1] == '\n';
    copy[n] = 0;
    out->text = copy;
    out->len = n;
}

JTemplate *
jinja_parse(Arena *arena, const char *path, const char *text, size_t len, Diag *diag)
{
    JTemplate *t = arena_alloc(arena, sizeof *t);
    size_t bad = 0;
    t->arena = arena;
    t->source.path = path;
    if (len > MOST_BYTES) {
        diag_error(diag, (SrcLoc){0}, "%s: a template of %zu bytes; at most %d are read", path, len,
                   MOST_BYTES);
        return NULL;
    }
    normalise(arena, text, len, &t->source);
    if (!utf8_valid(t->source.text, t->source.len, &bad)) {
        diag_error(diag, jinja_place(&t->source, bad), "this byte is not UTF-8");
        return NULL;
    }
    Parser p = {.arena = arena, .source = &t->source, .diag = diag};
    if (!jinja_lex(arena, &t->source, diag, &p.tokens))
        return NULL;
    t->body = parse_body(&p, NULL);
    return p.failed ? NULL : t;
}
