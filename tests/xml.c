/* tests/xml.c -- see xml.h. */
#include "tests/xml.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 64, NAME = 32, IDS = 512 };

typedef struct {
    const char *text, *at;
    char open[DEPTH][NAME];
    int depth;
    char id[IDS][NAME]; /* that were given */
    int ids;
    char *why; /* [200] */
} Reader;

static bool
bad(Reader *r, const char *what)
{
    int line = 1;
    for (const char *p = r->text; p < r->at; p++)
        line += *p == '\n';
    snprintf(r->why, 200, "line %d: %s: %.60s", line, what, r->at);
    return false;
}

static bool
name_read(Reader *r, char out[NAME])
{
    size_t len = 0;
    while (isalnum((unsigned char)r->at[len]) || strchr("-:_", r->at[len] ? r->at[len] : ' '))
        len++;
    if (len == 0 || len >= NAME)
        return bad(r, "no name");
    memcpy(out, r->at, len);
    out[len] = '\0';
    r->at += len;
    return true;
}

static bool
entity_read(Reader *r)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(r->at, known[i], strlen(known[i])) == 0) {
            r->at += strlen(known[i]);
            return true;
        }
    return bad(r, "a loose &");
}

static bool
id_add(Reader *r, const char *from, size_t len)
{
    if (len >= NAME || r->ids == IDS)
        return bad(r, "too many ids, or a long one");
    memcpy(r->id[r->ids], from, len);
    r->id[r->ids][len] = '\0';
    for (int i = 0; i < r->ids; i++)
        if (strcmp(r->id[i], r->id[r->ids]) == 0)
            return bad(r, "an id that was given before");
    r->ids++;
    return true;
}

/* name="value" */
static bool
attribute_read(Reader *r, char name[NAME])
{
    if (!name_read(r, name))
        return false;
    if (strncmp(r->at, "=\"", 2) != 0)
        return bad(r, "an attribute without a quoted value");
    const char *from = r->at += 2;
    while (*r->at && *r->at != '"') {
        if (*r->at == '<')
            return bad(r, "< in an attribute");
        if (*r->at == '&' ? !entity_read(r) : (r->at++, false))
            return false;
    }
    if (*r->at != '"')
        return bad(r, "a quote that is not closed");
    const bool ok = strcmp(name, "id") != 0 || id_add(r, from, (size_t)(r->at - from));
    r->at++;
    return ok;
}

static bool
attributes_read(Reader *r)
{
    char seen[16][NAME];
    int count = 0;
    while (*r->at == ' ') {
        r->at++;
        if (count == 16 || !attribute_read(r, seen[count]))
            return count < 16 ? false : bad(r, "too many attributes");
        for (int i = 0; i < count; i++)
            if (strcmp(seen[i], seen[count]) == 0)
                return bad(r, "an attribute twice");
        count++;
    }
    return true;
}

static bool
tag_open(Reader *r)
{
    char name[NAME];
    r->at++;
    if (!name_read(r, name) || !attributes_read(r))
        return false;
    const bool empty = *r->at == '/';
    r->at += empty;
    if (*r->at != '>')
        return bad(r, "a tag that is not closed");
    r->at++;
    if (empty)
        return true;
    if (r->depth == DEPTH)
        return bad(r, "elements too deep");
    memcpy(r->open[r->depth++], name, NAME);
    while (strcmp(name, "script") == 0 && *r->at && strncmp(r->at, "</script", 8) != 0)
        r->at++; /* no markup in it */
    return true;
}

static bool
tag_close(Reader *r)
{
    char name[NAME];
    r->at += 2;
    if (!name_read(r, name) || *r->at != '>')
        return bad(r, "a closing tag");
    if (r->depth == 0 || strcmp(r->open[r->depth - 1], name) != 0)
        return bad(r, "closes what is not open");
    r->depth--;
    r->at++;
    return true;
}

bool
xml_is_well_formed(const char *text, char why[200])
{
    static const char type[] = "<!DOCTYPE html>";
    static Reader reader;
    Reader *r = &reader;
    *r = (Reader){.text = text, .at = text, .why = why};
    if (strncmp(text, type, strlen(type)) == 0)
        r->at += strlen(type);
    while (*r->at) {
        bool ok = true;
        if (r->at[0] == '<')
            ok = r->at[1] == '/' ? tag_close(r) : tag_open(r);
        else if (r->at[0] == '&')
            ok = entity_read(r);
        else if (r->depth == 0 && !isspace((unsigned char)*r->at))
            ok = bad(r, "text outside");
        else
            r->at++;
        if (!ok)
            return false;
    }
    return r->depth == 0 ? true : bad(r, "elements that are not closed");
}

int
text_count(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + strlen(what), what))
        count++;
    return count;
}
