/* explore/csv.c -- results as CSV with a head of comment lines, and back.
 *
 *   # ssmc explore results, format 3
 *   # ssmc: 0.1.0
 *   ...                                     (explore/head.def)
 *   # ceilings: threads=2 f32=519.4 ...     (one line for each number of threads)
 *   state,head_dim,...                      (explore/columns.def)
 *   128,64,...
 *
 * Texts with commas or quotes are quoted; line ends in them become spaces. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"

enum { FORMAT_VERSION = 3 };
static const char first_line[] = "# ssmc explore results, format ";

/* ---- the ceilings' line -------------------------------------------------------------------- */

static bool
read_ceilings(const char *text, BenchCeilings *c)
{
    char *end = NULL;
    *c = (BenchCeilings){0};
    if (strncmp(text, "threads=", 8) != 0)
        return false;
    const long threads = strtol(text + 8, &end, 10);
    if (threads < 1 || threads > BENCH_MAX_THREADS_A_RUN)
        return false;
    c->threads = (int)threads;
    for (int i = 0; i < CEILING_COUNT; i++) {
        const size_t len = strlen(ceiling_info[i].name);
        if (*end != ' ' || strncmp(end + 1, ceiling_info[i].name, len) != 0 || end[1 + len] != '=')
            return false;
        const char *number = end + len + 2;
        BenchSample *to = (BenchSample *)(void *)((char *)c + ceiling_info[i].offset);
        to->median = strtod(number, &end);
        if (end == number || !isfinite(to->median))
            return false;
    }
    return *end == '\0';
}

/* ---- writing ------------------------------------------------------------------------------- */

static void
put_text(StrBuf *out, const char *text)
{
    const bool quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote)
        sb_puts(out, "\"");
    for (const char *p = text; *p; p++) {
        const char c[2] = {*p == '\n' || *p == '\r' ? ' ' : *p, '\0'};
        sb_puts(out, *p == '"' ? "\"\"" : c);
    }
    if (quote)
        sb_puts(out, "\"");
}

static void
put_cell(StrBuf *out, const ExploreRow *row, ColumnId id)
{
    const void *at = (const char *)row + column_info[id].offset;
    switch (column_info[id].kind) {
    case COLUMN_INT:
        if (*(const int64_t *)at >= 0)
            sb_printf(out, "%lld", (long long)*(const int64_t *)at);
        return;
    case COLUMN_NUM:
        if (isfinite(*(const double *)at))
            sb_printf(out, "%.6g", *(const double *)at);
        return;
    case COLUMN_TEXT:
        put_text(out, *(const char *const *)at);
        return;
    }
}

void
explore_put_line(StrBuf *out, const ExploreRow *row)
{
    for (int id = 0; id < COLUMN_COUNT; id++) {
        if (id)
            sb_puts(out, ",");
        put_cell(out, row, (ColumnId)id);
    }
    sb_puts(out, "\n");
}

static void
put_columns(StrBuf *out)
{
    for (int id = 0; id < COLUMN_COUNT; id++)
        sb_printf(out, "%s%s", id ? "," : "", column_info[id].name);
    sb_puts(out, "\n");
}

void
explore_put_csv(StrBuf *out, const ExploreTable *t)
{
    sb_printf(out, "%s%d\n", first_line, FORMAT_VERSION);
    for (int id = 0; id < HEAD_COUNT; id++)
        sb_printf(out, "# %s: %s\n", head_info[id].name, t->head[id]);
    for (int i = 0; i < t->nceilings; i++) {
        sb_printf(out, "# ceilings: threads=%d", t->ceilings[i].threads);
        for (int c = 0; c < CEILING_COUNT; c++)
            sb_printf(out, " %s=%.1f", ceiling_info[c].name,
                      ceiling_of(&t->ceilings[i], c)->median);
        sb_puts(out, "\n");
    }
    put_columns(out);
    for (int i = 0; i < t->nrows; i++)
        explore_put_line(out, &t->rows[i]);
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef struct {
    ExploreTable *to;
    Arena *arena;
    const char *at, *end; /* what is not read yet */
    int line;
    const char *why; /* NULL: nothing is wrong */
} Reader;

static bool
bad(Reader *r, const char *what)
{
    if (!r->why)
        r->why = arena_printf(r->arena, "line %d: %s", r->line, what);
    return false;
}

/* The next whole line, without its end; NULL: there is none. */
static char *
next_line(Reader *r)
{
    const char *stop = r->at < r->end ? memchr(r->at, '\n', (size_t)(r->end - r->at)) : NULL;
    if (!stop)
        return NULL;
    char *line = arena_strndup(r->arena, r->at, (size_t)(stop - r->at));
    r->at = stop + 1;
    r->line++;
    return line;
}

/* The cell at *at, which moves behind its comma; false: a quote is not closed. */
static bool
next_cell(char **at, char **cell)
{
    char *from = *at, *to = *at;
    const bool quoted = *from == '"';
    *cell = to;
    if (quoted)
        from++;
    while (*from && (quoted || *from != ',')) {
        if (quoted && *from == '"' && from[1] != '"')
            break;
        from += quoted && *from == '"';
        *to++ = *from++;
    }
    if (quoted && *from++ != '"')
        return false;
    *at = *from ? from + 1 : NULL;
    const bool ends = *from == ',' || *from == '\0';
    *to = '\0';
    return ends;
}

static bool
read_number(const char *cell, ColumnKind kind, void *out)
{
    char *end = NULL;
    errno = 0;
    if (kind == COLUMN_INT)
        *(int64_t *)out = strtoll(cell, &end, 10);
    else
        *(double *)out = strtod(cell, &end);
    const bool fits = kind == COLUMN_INT ? *(int64_t *)out >= 0 : isfinite(*(double *)out);
    return *end == '\0' && errno == 0 && fits;
}

static bool
read_row(Reader *r, char *line, ExploreRow *row)
{
    char *at = line, *cell = NULL;
    *row = explore_row();
    for (int id = 0; id < COLUMN_COUNT; id++) {
        void *to = (char *)row + column_info[id].offset;
        if (!at || !next_cell(&at, &cell))
            return bad(r, "a row has fewer columns than the head, or a quote that is not closed");
        if (column_info[id].kind == COLUMN_TEXT)
            *(const char **)to = cell;
        else if (cell[0] && !read_number(cell, column_info[id].kind, to))
            return bad(r, arena_printf(r->arena, "%s is '%s'; expected a number",
                                       column_info[id].name, cell));
    }
    return at ? bad(r, "a row has more columns than the head") : true;
}

static bool
read_first(Reader *r)
{
    const char *line = next_line(r);
    const size_t len = strlen(first_line);
    if (!line || strncmp(line, first_line, len) != 0)
        return bad(r, "these are no results of ssmc explore");
    if (strcmp(line + len, arena_printf(r->arena, "%d", FORMAT_VERSION)) == 0)
        return true;
    return bad(r, arena_printf(r->arena, "results of format %.32s; this ssmc writes format %d",
                               line + len, FORMAT_VERSION));
}

/* "# name: value"; NULL: it is another line. */
static const char *
head_value(const char *line, const char *name)
{
    const size_t len = strlen(name);
    const bool same =
        strncmp(line, "# ", 2) == 0 && strncmp(line + 2, name, len) == 0 && line[2 + len] == ':';
    return same && line[3 + len] == ' ' ? line + 4 + len : NULL;
}

static bool
read_head(Reader *r, char **columns)
{
    for (int id = 0; id < HEAD_COUNT; id++) {
        const char *line = next_line(r),
                   *value = line ? head_value(line, head_info[id].name) : NULL;
        if (!value)
            return bad(r, arena_printf(r->arena, "expected '# %s:'", head_info[id].name));
        r->to->head[id] = value;
    }
    for (*columns = next_line(r); *columns; *columns = next_line(r)) {
        const char *value = head_value(*columns, "ceilings");
        if (!value)
            return true;
        if (r->to->nceilings == BENCH_MAX_THREADS ||
            !read_ceilings(value, &r->to->ceilings[r->to->nceilings++]))
            return bad(r, "ceilings that cannot be read");
    }
    return bad(r, "it ends before its columns");
}

static bool
read_all(Reader *r)
{
    char *line = NULL;
    StrBuf names = {0};
    if (!read_first(r) || !read_head(r, &line))
        return false;
    put_columns(&names);
    const size_t len = strlen(line);
    const bool same = names.len == len + 1 && strncmp(names.text, line, len) == 0;
    sb_free(&names);
    if (!same)
        return bad(r, "columns of another version");
    while ((line = next_line(r)) != NULL) {
        ExploreRow row;
        if (r->to->nrows == EXPLORE_MOST_ROWS)
            return bad(r, "more rows than a sweep can have");
        if (!read_row(r, line, &row))
            return false;
        explore_add(r->to, &row);
    }
    return true;
}

bool
explore_read_csv(const char *text, size_t len, ExploreTable *out, const char **why)
{
    Reader r = {.to = out, .arena = out->arena, .at = text, .end = text + len};
    const bool ok = read_all(&r);
    *why = r.why;
    return ok;
}
