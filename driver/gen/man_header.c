/* driver/gen/man_header.c -- ssmc(3), of runtime/ssmc.h as it stands: each group of declarations,
 * and below it the comment that is above it in the header. */
#include <string.h>

#include "driver/gen/gen.h"

const char *const gen_function[] = {
#define EXPORT(name, where, since) #name,
#include "runtime/exports.def"
#undef EXPORT
    NULL};

typedef struct {
    StrBuf *out;
    StrBuf doc, code; /* of the group that is being read */
    bool in_comment, in_cplusplus;
} Page;

static bool
starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* ---- output -------------------------------------------------------------------------------- */

/* Lines of a comment; an empty one parts paragraphs. */
static void
put_doc(StrBuf *out, const char *text)
{
    for (size_t len; *text; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        if (len == 0)
            sb_puts(out, ".PP\n");
        roff_putn(out, text, len);
        sb_puts(out, len ? "\n" : "");
    }
}

static void
flush(Page *p)
{
    const bool code = p->code.len > 0, doc = p->doc.len > 0;
    if (code || doc)
        sb_puts(p->out, ".PP\n");
    if (code) {
        sb_puts(p->out, ".EX\n");
        roff_put(p->out, sb_text(&p->code));
        sb_puts(p->out, ".EE\n");
    }
    if (code && doc)
        sb_puts(p->out, ".RS 4\n.PP\n");
    if (doc)
        put_doc(p->out, sb_text(&p->doc));
    if (code && doc)
        sb_puts(p->out, ".RE\n");
    p->doc.len = p->code.len = 0;
}

/* ---- input --------------------------------------------------------------------------------- */

/* A line of a comment without its marks; true: the comment ends with it. */
static bool
take_comment(StrBuf *doc, const char *line, size_t len)
{
    const char *end = NULL;
    for (size_t i = 0; i + 1 < len && !end; i++)
        if (line[i] == '*' && line[i + 1] == '/')
            end = line + i;
    size_t from = strspn(line, " /*"), to = end ? (size_t)(end - line) : len;
    while (to > from && line[to - 1] == ' ')
        to--;
    const bool empty = from >= to;
    if (!empty)
        sb_putn(doc, line + from, to - from);
    if (!empty || !end)
        sb_puts(doc, "\n");
    return end != NULL;
}

/* A ruler with a title: "---- states as values ----". */
static void
take_section(Page *p, const char *line, size_t len)
{
    const char *title = line + strspn(line, "/* -");
    size_t n = (size_t)(line + len - title);
    while (n > 0 && strchr("-*/ ", title[n - 1]))
        n--;
    sb_puts(p->out, ".SH \"");
    for (size_t i = 0; i < n; i++) {
        const char c = title[i] >= 'a' && title[i] <= 'z' ? (char)(title[i] - 'a' + 'A') : title[i];
        roff_putn(p->out, &c, 1);
    }
    sb_puts(p->out, "\"\n");
}

static void
take_line(Page *p, const char *line, size_t len)
{
    if (p->in_comment) {
        p->in_comment = !take_comment(&p->doc, line, len);
    } else if (starts(line, "#")) {
        p->in_cplusplus = starts(line, "#ifdef __cplusplus");
    } else if (p->in_cplusplus) {
        return;
    } else if (starts(line, "/* ----")) {
        flush(p);
        take_section(p, line, len);
        p->in_comment = line[len - 1] != '/';
    } else if (starts(line, "/*")) {
        flush(p);
        p->in_comment = !take_comment(&p->doc, line, len);
    } else if (len == 0) {
        flush(p);
    } else {
        sb_putn(&p->code, line, len);
        sb_puts(&p->code, "\n");
    }
}

/* ---- the page ------------------------------------------------------------------------------ */

void
gen_man_header(StrBuf *out, const char *header)
{
    Page p = {.out = out};
    roff_begin(out, "ssmc", "3", "runs compiled state-space language models");
    roff_heading(out, "SYNOPSIS");
    sb_puts(out, ".nf\n.B #include <ssmc.h>\n.PP\n.B cc program.c $(pkg\\-config \\-\\-cflags "
                 "\\-\\-libs ssmc)\n.fi\n");
    roff_heading(out, "DESCRIPTION");
    for (size_t len; *header; header += len + (header[len] == '\n')) {
        len = strcspn(header, "\n");
        take_line(&p, header, len);
    }
    flush(&p);
    roff_heading(out, "SEE ALSO");
    sb_puts(out, ".BR ssmc\\-compile (1)\n");
    sb_free(&p.doc);
    sb_free(&p.code);
}

void
gen_man_function(StrBuf *out)
{
    sb_puts(out, ".so man3/ssmc.3\n");
}
