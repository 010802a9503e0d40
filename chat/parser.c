/* chat/parser.c -- an answer's text, as it comes, told as content, reasoning and calls of tools.
 *
 * Text is held back where it may be the beginning of a mark, and white space where a mark may
 * follow it: before one it belongs to the format, else to the text. A call is told when it is whole
 * and right, because what is broken in it is content. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "chat/formats.h"

typedef enum { IN_content, IN_reasoning, IN_call } Where;

struct ChatParser {
    const ChatCalls *calls;       /* NULL: none are looked for */
    const ChatThinking *thinking; /* NULL: none is looked for */
    struct json_object *tools;    /* owns */
    ChatPart *part;
    void *user;
    Where where;
    bool fresh;   /* no text of the answer was told yet: reasoning may begin */
    bool trims;   /* white space at the start of what comes is the format's */
    bool marked;  /* the call began with its mark */
    int ncalls;   /* that were told */
    StrBuf held;  /* text that is not settled yet */
    StrBuf space; /* white space behind what was told */
    StrBuf call;  /* of a call, behind its mark */
    CallScan scan;
};

static bool
is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool
chat_opens_reasoning(const ChatFormat *format, const char *opening, size_t len)
{
    const ChatThinking *thinking = chat_thinking(format);
    const size_t open = thinking ? strlen(thinking->open) : 0;
    while (len && is_space(opening[len - 1]))
        len--;
    return open && len >= open && memcmp(opening + len - open, thinking->open, open) == 0;
}

ChatParser *
chat_parser_new(const ChatFormat *format, struct json_object *tools, const char *opening,
                size_t len, ChatPart *part, void *user)
{
    ChatParser *p = calloc(1, sizeof *p);
    if (!p)
        die_no_memory(sizeof *p);
    p->calls = tools ? chat_calls(format) : NULL;
    p->thinking = chat_thinking(format);
    p->tools = json_object_get(tools);
    p->part = part;
    p->user = user;
    p->fresh = true;
    p->trims = chat_trims(format);
    if (chat_opens_reasoning(format, opening, len)) {
        p->where = IN_reasoning;
        p->trims = true;
    }
    return p;
}

void
chat_parser_free(ChatParser *parser)
{
    if (!parser)
        return;
    sb_free(&parser->held);
    sb_free(&parser->space);
    sb_free(&parser->call);
    json_object_put(parser->tools);
    free(parser);
}

/* ---- telling -------------------------------------------------------------------------------- */

static void
cut(StrBuf *sb, size_t from)
{
    memmove(sb->text, sb->text + from, sb->len - from);
    sb->len -= from;
    sb->text[sb->len] = 0;
}

static void
forget(StrBuf *sb)
{
    sb->len = 0;
}

/* White space at the text's end waits where a mark may take it. */
static void
tell(ChatParser *p, const char *text, size_t len)
{
    const bool waits = p->where == IN_reasoning || p->calls || (p->fresh && p->thinking);
    size_t end = len;
    while (p->trims && len && is_space(*text)) {
        text++;
        len--;
        end--;
    }
    while (waits && end > 0 && is_space(text[end - 1]))
        end--;
    if (end > 0) {
        const ChatKind kind = p->where == IN_reasoning ? CHAT_reasoning : CHAT_content;
        if (p->space.len)
            p->part(p->user, kind, 0, p->space.text, p->space.len);
        forget(&p->space);
        p->part(p->user, kind, 0, text, end);
        p->trims = false;
        p->fresh = p->fresh && p->where == IN_reasoning;
    }
    if (len > end)
        sb_putn(&p->space, text + end, len - end);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* As it came: begin, what is between, end. */
static void
tell_broken(ChatParser *p, const char *end)
{
    StrBuf all = {0};
    if (p->marked)
        sb_puts(&all, p->calls->begin);
    sb_putn(&all, sb_text(&p->call), p->call.len);
    sb_puts(&all, end);
    p->where = IN_content;
    tell(p, sb_text(&all), all.len);
    sb_free(&all);
}

static void
end_call(ChatParser *p, const char *end)
{
    ChatCallList list;
    if (calls_parse(p->calls->syntax, sb_text(&p->call), p->call.len, p->tools, &list)) {
        forget(&p->space);
        for (int i = 0; i < list.count; i++, p->ncalls++) {
            const ChatCall *c = &list.items[i];
            p->part(p->user, CHAT_call, p->ncalls, c->name, strlen(c->name));
            p->part(p->user, CHAT_arguments, p->ncalls, c->arguments, strlen(c->arguments));
        }
        calls_free(&list);
        p->where = IN_content;
        p->trims = true;
    } else {
        tell_broken(p, end);
    }
    forget(&p->call);
}

static void
begin_call(ChatParser *p, bool marked)
{
    p->where = IN_call;
    p->marked = marked;
    p->scan = (CallScan){0};
    forget(&p->call);
}

/* ---- marks ---------------------------------------------------------------------------------- */

/* Whether held text at `at` is a mark, or begins one and ends before it does. */
typedef enum { NO_MARK, PART_OF_MARK, MARK } Marked;

static Marked
mark_at(const StrBuf *held, size_t at, const char *mark)
{
    const size_t len = strlen(mark), have = held->len - at;
    const size_t n = len < have ? len : have;
    if (memcmp(held->text + at, mark, n) != 0)
        return NO_MARK;
    return have >= len ? MARK : PART_OF_MARK;
}

/* Bytes at the end that begin a character and do not finish it. */
static size_t
half_character(const StrBuf *held)
{
    for (size_t back = 1; back <= 3 && back <= held->len; back++) {
        const unsigned char c = (unsigned char)held->text[held->len - back];
        if (c < 0x80)
            return 0;
        if (c >= 0xC0)
            return back < (c < 0xE0 ? 2u : c < 0xF0 ? 3u : 4u) ? back : 0;
    }
    return 0;
}

/* Tells the first `len` bytes that are held, passes `mark` more. */
static void
take(ChatParser *p, size_t len, size_t mark)
{
    if (len)
        tell(p, p->held.text, len);
    cut(&p->held, len + mark);
}

/* ---- one thing after the other: each is true when there may be more to do -----------------------
 */

static bool
step_reasoning(ChatParser *p)
{
    const char *close = p->thinking->close;
    for (size_t at = 0; at < p->held.len; at++) {
        const Marked marked = mark_at(&p->held, at, close);
        if (marked == NO_MARK)
            continue;
        take(p, at, marked == MARK ? strlen(close) : 0);
        if (marked == PART_OF_MARK)
            return false;
        p->where = IN_content;
        p->trims = true;
        forget(&p->space);
        return true;
    }
    take(p, p->held.len - half_character(&p->held), 0);
    return false;
}

/* The whole answer is a call: of a syntax without a mark. */
static bool
is_bare(const ChatParser *p, size_t at)
{
    if (!p->calls || p->calls->syntax != SYNTAX_bare || !p->fresh || p->held.text[at] != '{')
        return false;
    for (size_t i = 0; i < at; i++)
        if (!is_space(p->held.text[i]))
            return false;
    return true;
}

static bool
step_content(ChatParser *p)
{
    for (size_t at = 0; at < p->held.len; at++) {
        const Marked call = p->calls ? mark_at(&p->held, at, p->calls->begin) : NO_MARK;
        bool blank = p->fresh && p->thinking;
        for (size_t i = 0; blank && i < at; i++)
            blank = is_space(p->held.text[i]);
        const Marked open = blank ? mark_at(&p->held, at, p->thinking->open) : NO_MARK;
        if (open == MARK) {
            cut(&p->held, at + strlen(p->thinking->open));
            forget(&p->space);
            p->where = IN_reasoning;
            p->trims = true;
            return true;
        }
        if (call == MARK || is_bare(p, at)) {
            take(p, at, call == MARK ? strlen(p->calls->begin) : 0);
            begin_call(p, call == MARK);
            return true;
        }
        if (call == PART_OF_MARK || open == PART_OF_MARK) {
            take(p, at, 0);
            return false;
        }
    }
    take(p, p->held.len - half_character(&p->held), 0);
    return false;
}

static bool
step_call(ChatParser *p)
{
    const char *end = p->calls->end;
    for (size_t at = 0; at < p->held.len; at++) {
        const Marked marked = end && !p->scan.quote ? mark_at(&p->held, at, end) : NO_MARK;
        if (marked == PART_OF_MARK) {
            cut(&p->held, at);
            return false;
        }
        if (marked == NO_MARK)
            sb_putn(&p->call, p->held.text + at, 1);
        const bool whole =
            marked == NO_MARK && call_scan(&p->scan, p->calls->syntax, p->held.text[at]) && !end;
        if (marked == MARK || whole) {
            cut(&p->held, at + (marked == MARK ? strlen(end) : 1));
            end_call(p, marked == MARK ? end : "");
            return true;
        }
    }
    forget(&p->held);
    return false;
}

void
chat_parser_add(ChatParser *parser, const char *text, size_t len)
{
    sb_putn(&parser->held, text, len);
    bool more = true;
    while (more && parser->held.len) {
        switch (parser->where) {
        case IN_content:
            more = step_content(parser);
            break;
        case IN_reasoning:
            more = step_reasoning(parser);
            break;
        case IN_call:
            more = step_call(parser);
            break;
        }
    }
}

/* A call whose end mark did not come may be whole all the same: the token that ends the text came
 * in its place. */
void
chat_parser_end(ChatParser *p)
{
    if (p->where == IN_call) {
        sb_putn(&p->call, sb_text(&p->held), p->held.len);
        end_call(p, "");
    } else if (p->held.len) {
        tell(p, p->held.text, p->held.len);
    }
    forget(&p->held);
    if (p->where == IN_content && p->space.len && !p->trims)
        p->part(p->user, CHAT_content, 0, p->space.text, p->space.len);
    forget(&p->space);
}
