/* serve/lines.c -- n_indent and t_max_predict_ms, by which editors end an answer: where a line is
 * indented less than the one that is written, and where enough time went by and a line is whole. */
#include "serve/lines.h"

/* The line keeps its line feed and the indentation it has: that is what llama-server gives. A line
 * without any text is one with no indentation. */
static bool
outdented(Choice *c, size_t before, int64_t indent)
{
    for (size_t at = before; at < c->raw.len; at++) {
        const char byte = c->raw.text[at];
        const bool blank = byte == ' ' || byte == '\t';
        if (c->begins && !blank && (int64_t)(at - c->line) < indent) {
            c->raw.len = at;
            return true;
        }
        c->begins = c->begins && blank;
        if (byte == '\n') {
            c->begins = c->broken = true;
            c->line = at + 1;
        }
    }
    return false;
}

bool
lines_end(Choice *c, size_t before)
{
    const RequestValue *v = c->ex->request.value;
    const size_t was = c->line;
    const double limit = (double)v[REQ_t_max_predict_ms].i;
    if (outdented(c, before, v[REQ_n_indent].i))
        return true;
    return limit > 0 && c->line > was && 1e3 * (c->last - c->first) > limit;
}
