/* driver/gen/roff.c -- text for man, escaped. */
#include <ctype.h>
#include <string.h>

#include "driver/gen/gen.h"

static bool
at_line_start(const StrBuf *out)
{
    return out->len == 0 || sb_text(out)[out->len - 1] == '\n';
}

void
roff_putn(StrBuf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if ((c == '.' || c == '\'') && at_line_start(out))
            sb_puts(out, "\\&");
        if (c == '\\')
            sb_puts(out, "\\e");
        else if (c == '-')
            sb_puts(out, "\\-"); /* copied out of a page, it is the character that was meant */
        else if (c == '\'')
            sb_puts(out, "\\(aq");
        else if (c == '`')
            sb_puts(out, "\\(ga");
        else
            sb_putn(out, &c, 1);
    }
}

void
roff_put(StrBuf *out, const char *text)
{
    roff_putn(out, text, strlen(text));
}

void
roff_begin(StrBuf *out, const char *name, const char *section, const char *what)
{
    sb_puts(out, ".TH ");
    for (const char *at = name; *at; at++) {
        const char c = (char)toupper((unsigned char)*at);
        roff_putn(out, &c, 1);
    }
    sb_printf(out, " %s \"\" \"ssmc %s\" \"ssmc\"\n.SH NAME\n", section, SSMC_VERSION);
    roff_put(out, name);
    sb_puts(out, " \\- ");
    roff_put(out, what);
    sb_puts(out, "\n");
}

void
roff_heading(StrBuf *out, const char *title)
{
    sb_printf(out, ".SH \"%s\"\n", title);
}
