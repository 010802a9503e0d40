/* ir/diag.c -- the user's faults, shown with the source line and a caret:
 *
 *     model.yaml:3:9: error: unknown op `rmsnorn`; did you mean `rmsnorm`?
 *       - u = rmsnorn(h, norm.weight) {eps}
 *             ^~~~~~~
 */
#include "ir/diag.h"

#include <string.h>

enum {
    SHOWN_ERRORS = 20, /* further errors are counted only */
    SHOWN_NOTES = 60,  /* likewise, so that hostile input cannot fill memory */
    LINE_BYTES = 200,  /* longer source lines are shortened around the caret */
    LINE_BEFORE = 80   /* of them before the caret */
};

typedef enum { DIAG_ERROR, DIAG_NOTE } DiagKind;

typedef struct {
    DiagKind kind;
    SrcLoc loc;
    const char *message;
} DiagItem;

struct Diag {
    Arena *arena;
    DiagItem *items;
    int count, cap;
    int errors, notes;
    Arena **owned; /* [nowned] */
    int nowned, cap_owned;
    bool dropped; /* the newest error or note was only counted: so is what belongs to it */
};

Diag *
diag_new(void)
{
    Arena *arena = arena_new();
    Diag *diag = arena_alloc(arena, sizeof *diag);
    diag->arena = arena;
    return diag;
}

void
diag_free(Diag *diag)
{
    for (int i = 0; diag && i < diag->nowned; i++)
        arena_free(diag->owned[i]);
    if (diag)
        arena_free(diag->arena);
}

void
diag_own(Diag *diag, Arena *arena)
{
    VEC_PUSH(diag->arena, diag->owned, diag->nowned, diag->cap_owned, arena);
}

static void
keep(Diag *diag, DiagKind kind, SrcLoc loc, const char *fmt, va_list args)
{
    StrBuf sb = {0};
    sb_vprintf(&sb, fmt, args);
    const char *message = sb_finish(&sb, diag->arena);
    const DiagItem item = {kind, loc, message};
    VEC_PUSH(diag->arena, diag->items, diag->count, diag->cap, item);
}

bool
diag_error(Diag *diag, SrcLoc loc, const char *fmt, ...)
{
    diag->errors++;
    diag->dropped = diag->errors > SHOWN_ERRORS;
    if (diag->dropped)
        return false;
    va_list args;
    va_start(args, fmt);
    keep(diag, DIAG_ERROR, loc, fmt, args);
    va_end(args);
    return false;
}

bool
diag_also(Diag *diag, SrcLoc loc, const char *fmt, ...)
{
    if (diag->dropped)
        return false;
    va_list args;
    va_start(args, fmt);
    keep(diag, DIAG_NOTE, loc, fmt, args);
    va_end(args);
    return false;
}

void
diag_note(Diag *diag, SrcLoc loc, const char *fmt, ...)
{
    diag->notes++;
    diag->dropped = diag->notes > SHOWN_NOTES;
    if (diag->dropped)
        return;
    va_list args;
    va_start(args, fmt);
    keep(diag, DIAG_NOTE, loc, fmt, args);
    va_end(args);
}

bool
diag_is_full(const Diag *diag)
{
    return diag->errors >= SHOWN_ERRORS;
}

int
diag_errors(const Diag *diag)
{
    return diag->errors;
}

/* ---- showing -------------------------------------------------------------------------------- */

/* Puts one character of text, escaped if a terminal must not see it. Returns how many bytes of text
 * it took; *columns is how wide it came out. */
static size_t
put_char(StrBuf *out, const char *text, size_t len, int *columns)
{
    const unsigned char c = (unsigned char)text[0], second = len > 1 ? (unsigned char)text[1] : 0;
    const bool control = c < 0x20 || c == 0x7F || (c == 0xC2 && second < 0xA0);
    const size_t n = control ? 0 : utf8_length(text, len);
    *columns = n ? 1 : 4;
    if (n)
        sb_putn(out, text, n);
    else
        sb_printf(out, "\\x%02x", (unsigned)c);
    return n ? n : 1;
}

static void
put_message(StrBuf *out, const char *text)
{
    int columns;
    for (size_t i = 0, len = strlen(text); i < len;) {
        if (text[i] == '\n' || text[i] == '\t')
            sb_putn(out, &text[i++], 1);
        else
            i += put_char(out, text + i, len - i, &columns);
    }
}

typedef struct {
    const char *text;
    size_t len;
} Line;

/* Line number `line` of a source, without its newline. False: the source has no such line. */
static bool
find_line(const Source *source, int line, Line *out)
{
    const char *p = source->text, *end = source->text + source->len;
    for (int i = 1; i < line; i++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (!newline)
            return false;
        p = newline + 1;
    }
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    out->text = p;
    out->len = (size_t)((newline ? newline : end) - p);
    if (out->len && out->text[out->len - 1] == '\r')
        out->len--;
    return true;
}

/* Moves a cut to the next start of a UTF-8 character. */
static size_t
char_start(const Line *line, size_t at)
{
    while (at < line->len && ((unsigned char)line->text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* The part [*from, *to) of the line that is shown, with `at` inside. */
static void
choose_window(const Line *line, size_t at, size_t *from, size_t *to)
{
    *from = 0;
    *to = line->len;
    if (line->len <= LINE_BYTES)
        return;
    if (at > LINE_BEFORE)
        *from = char_start(line, at - LINE_BEFORE);
    if (line->len - *from > LINE_BYTES)
        *to = char_start(line, *from + LINE_BYTES);
}

static void
put_repeated(StrBuf *out, char c, int count)
{
    for (int i = 0; i < count; i++)
        sb_putn(out, &c, 1);
}

/* The source line and, under it, the caret; tabs stay tabs in both, so that they line up. */
static void
put_line(StrBuf *out, const Line *line, SrcLoc loc)
{
    const size_t column = loc.column > 0 ? (size_t)loc.column - 1 : 0;
    const size_t at = column < line->len ? column : line->len;
    const size_t span = loc.span > 1 ? (size_t)loc.span : 1;
    size_t from, to;
    choose_window(line, at, &from, &to);
    StrBuf carets = {0};
    if (from) {
        sb_puts(out, "...");
        sb_puts(&carets, "   ");
    }
    for (size_t i = from; i < to;) {
        const size_t start = i;
        int columns = 1;
        if (line->text[i] == '\t')
            sb_putn(out, &line->text[i++], 1);
        else
            i += put_char(out, line->text + i, line->len - i, &columns);
        if (i <= at)
            put_repeated(&carets, line->text[start] == '\t' ? '\t' : ' ', columns);
        else if (start <= at)
            sb_puts(&carets, "^"), put_repeated(&carets, '~', columns - 1);
        else if (start - at < span)
            put_repeated(&carets, '~', columns);
    }
    if (at >= to)
        sb_puts(&carets, "^");
    sb_printf(out, "%s\n%s\n", to < line->len ? "..." : "", sb_text(&carets));
    sb_free(&carets);
}

static void
put_said(StrBuf *out, const DiagItem *item)
{
    const SrcLoc loc = item->loc;
    if (loc.source) {
        put_message(out, loc.source->path ? loc.source->path : "input");
        if (loc.line > 0)
            sb_printf(out, ":%d:%d", loc.line, loc.column > 0 ? loc.column : 1);
        sb_puts(out, ": ");
    }
    sb_puts(out, item->kind == DIAG_ERROR ? "error: " : "note: ");
    put_message(out, item->message);
    sb_puts(out, "\n");
}

void
diag_take_notes(Diag *diag, StrBuf *out)
{
    if (diag->errors)
        return; /* they belong to what went wrong */
    for (int i = 0; i < diag->count; i++)
        put_said(out, &diag->items[i]);
    if (diag->notes > SHOWN_NOTES)
        sb_printf(out, "... and %d more notes\n", diag->notes - SHOWN_NOTES);
    diag->count = diag->notes = 0;
}

void
diag_print(const Diag *diag, StrBuf *out)
{
    for (int i = 0; i < diag->count; i++) {
        const SrcLoc loc = diag->items[i].loc;
        Line line;
        put_said(out, &diag->items[i]);
        if (loc.source && loc.source->text && loc.line > 0 &&
            find_line(loc.source, loc.line, &line))
            put_line(out, &line, loc);
    }
    if (diag->errors > SHOWN_ERRORS)
        sb_printf(out, "... and %d more error%s\n", diag->errors - SHOWN_ERRORS,
                  diag->errors == SHOWN_ERRORS + 1 ? "" : "s");
}
