/* serve/text.c -- texts as JSON, and texts as ids. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/server.h"

/* ---- JSON ---------------------------------------------------------------------------------- */

static void
put_escaped(StrBuf *out, unsigned char c)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *at = memchr(from, c, sizeof from - 1);
    if (at) {
        const char pair[2] = {'\\', to[at - from]};
        sb_putn(out, pair, 2);
    } else {
        sb_printf(out, "\\u%04x", c);
    }
}

/* Bytes of the text's start that stand for themselves. */
static size_t
plain(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len) {
        const unsigned char c = (unsigned char)text[n];
        const size_t bytes = c < 0x80 ? 1 : utf8_length(text + n, len - n);
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f || bytes == 0)
            break;
        n += bytes;
    }
    return n;
}

void
put_json(StrBuf *out, const char *text, size_t len)
{
    sb_puts(out, "\"");
    while (len > 0) {
        const size_t n = plain(text, len);
        sb_putn(out, text, n);
        text += n;
        len -= n;
        if (len == 0)
            break;
        if ((unsigned char)*text < 0x80)
            put_escaped(out, (unsigned char)*text);
        else
            sb_puts(out, "\xef\xbf\xbd");
        text++;
        len--;
    }
    sb_puts(out, "\"");
}

void
put_json_text(StrBuf *out, const char *text)
{
    if (text)
        put_json(out, text, strlen(text));
    else
        sb_puts(out, "null");
}

/* JSON has no infinity: a probability of 0 is OpenAI's -9999. */
void
put_json_number(StrBuf *out, double number)
{
    if (isnan(number))
        sb_puts(out, "null");
    else
        sb_printf(out, "%.9g", isinf(number) ? -9999.0 : number);
}

/* ---- ids ----------------------------------------------------------------------------------- */

static bool
no_ids(Exchange *ex, const char *what, bool gave_up, int32_t **ids)
{
    *ids = NULL;
    return refuse(ex, 400, NULL, NULL,
                  gave_up ? "the splitting expression of the tokenizer gave up on %s"
                          : "%s is not UTF-8",
                  what);
}

bool
plain_ids(Exchange *ex, const char *what, const char *text, size_t len, int32_t **ids,
          int64_t *count)
{
    size_t n = 0, bad = 0;
    if (!tok_encode_plain(ex->server->o->tok, text, len, ids, &n, &bad))
        return no_ids(ex, what, bad == len, ids);
    *count = (int64_t)n;
    return true;
}

bool
text_ids(Exchange *ex, const char *what, const char *text, size_t len, bool bare, int32_t **ids,
         int64_t *count)
{
    const Server *s = ex->server;
    size_t n = 0, bad = 0;
    if (!tok_encode(s->o->tok, text, len, ids, &n, &bad))
        return no_ids(ex, what, bad == len, ids);
    *count = (int64_t)n;
    if (bare && s->naround && n >= s->naround &&
        memcmp(*ids, s->around, s->naround * sizeof **ids) == 0) {
        *count -= (int64_t)s->naround;
        memmove(*ids, *ids + s->naround, (size_t)*count * sizeof **ids);
    }
    return true;
}

/* Whether a text begins with the text of the ids that the tokenizer puts before every one. */
static bool
begins_itself(const Server *s, const char *text, size_t len)
{
    for (size_t i = 0; i < s->naround; i++) {
        size_t n = 0;
        const char *bytes = tok_decode(s->o->tok, s->around[i], &n);
        if (!bytes || n > len || memcmp(text, bytes, n) != 0)
            return false;
        text += n;
        len -= n;
    }
    return true;
}

bool
chat_ids(Exchange *ex, const char *text, size_t len, int32_t **ids, int64_t *count)
{
    return text_ids(ex, "the conversation", text, len, begins_itself(ex->server, text, len), ids,
                    count);
}

int64_t
ids_alike(const int32_t *a, int64_t na, const int32_t *b, int64_t nb)
{
    int64_t n = 0;
    while (n < na && n < nb && a[n] == b[n])
        n++;
    return n;
}
