/* frontend/yaml.c -- libyaml's events as a tree. Nothing of libyaml leaves this file. */
#include "frontend/yaml.h"

#include <string.h>
#include <yaml.h>

typedef struct {
    const char *name;
    const Tree *tree;
} Anchor;

typedef struct {
    Arena *arena;
    const Source *source;
    Diag *diag;
    size_t offset; /* where in the source the parsed text starts */
    yaml_parser_t parser;
    yaml_event_t event; /* the newest one, deleted by next() */
    bool have_event;
    int nodes;
    const char **lines; /* start of each line of the parsed text */
    int nlines, cap_lines;
    Anchor *anchors;
    int nanchors, cap_anchors;
} Reader;

/* ---- positions ------------------------------------------------------------------------------ */

/* libyaml counts characters from 0, we count bytes from 1. */
static SrcLoc
loc_at(const Reader *r, yaml_mark_t mark)
{
    const int line = mark.line < (size_t)r->nlines ? (int)mark.line : r->nlines - 1;
    const char *end = r->source->text + r->source->len;
    const char *at = r->lines[line];
    for (size_t column = 0; column < mark.column && at < end && *at != '\n'; column++)
        for (at++; at < end && ((unsigned char)*at & 0xc0) == 0x80;)
            at++;
    const char *start = line == 0 ? r->source->text : r->lines[line];
    return (SrcLoc){.source = r->source, .line = line + 1, .column = (int)(at - start) + 1};
}

static SrcLoc
event_loc(const Reader *r)
{
    SrcLoc loc = loc_at(r, r->event.start_mark);
    const SrcLoc end = loc_at(r, r->event.end_mark);
    if (r->event.type != YAML_SCALAR_EVENT || end.line != loc.line)
        return loc;
    loc.span = end.column - loc.column;
    const yaml_scalar_style_t style = r->event.data.scalar.style;
    const bool quotes =
        style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    if (quotes && loc.span >= 2) {
        loc.column++; /* the text inside the quotes */
        loc.span -= 2;
    }
    return loc;
}

/* ---- events --------------------------------------------------------------------------------- */

static bool
syntax_fault(Reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "it cannot be read";
    const bool bytes = p->error == YAML_READER_ERROR; /* no mark there */
    return diag_error(r->diag, bytes ? (SrcLoc){.source = r->source} : loc_at(r, p->problem_mark),
                      "this is not YAML: %s%s%s", problem, p->context ? " " : "",
                      p->context ? p->context : "");
}

static bool
next(Reader *r)
{
    if (r->have_event)
        yaml_event_delete(&r->event);
    r->have_event = yaml_parser_parse(&r->parser, &r->event) != 0;
    return r->have_event || syntax_fault(r);
}

static bool
fault(Reader *r, const char *message)
{
    return diag_error(r->diag, event_loc(r), "%s", message);
}

static bool
count_nodes(Reader *r, int more)
{
    r->nodes += more;
    if (r->nodes <= TREE_MAX_NODES)
        return true;
    return diag_error(r->diag, event_loc(r),
                      "too many entries: a file holds at most %d, aliases expanded",
                      TREE_MAX_NODES);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static Tree *
read_scalar(Reader *r)
{
    const char *text = (const char *)r->event.data.scalar.value;
    const size_t len = r->event.data.scalar.length;
    const bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, '\0', len)) {
        fault(r, "a text may not hold a NUL character");
        return NULL;
    }
    Tree *t = tree_new(r->arena, TREE_SCALAR, event_loc(r));
    t->text = arena_strndup(r->arena, text, len);
    t->quoted = !plain;
    if (plain && (len == 0 || word_in("~ null Null NULL", t->text)))
        t->kind = TREE_NULL;
    return t;
}

static int
tree_nodes(const Tree *t)
{
    int n = 1;
    for (int i = 0; i < t->count; i++)
        n += tree_nodes(t->items[i]);
    return n;
}

static Tree *
read_alias(Reader *r)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    for (int i = r->nanchors; i-- > 0;) {
        if (strcmp(r->anchors[i].name, name) != 0)
            continue;
        if (!count_nodes(r, tree_nodes(r->anchors[i].tree)))
            return NULL;
        return tree_copy(r->arena, r->anchors[i].tree);
    }
    diag_error(r->diag, event_loc(r), "no anchor &%s stands before this alias", name);
    return NULL;
}

static Tree *read_node(Reader *r, int depth);

/* The value of the key that r->event is. */
static Tree *
read_entry(Reader *r, const Tree *map, int depth)
{
    if (r->event.type != YAML_SCALAR_EVENT) {
        fault(r, "a key must be a word");
        return NULL;
    }
    const Tree *key = read_scalar(r);
    const Tree *before = key ? tree_get(map, key->text) : NULL;
    if (before) { /* and reading goes on */
        diag_error(r->diag, key->loc, "the key '%s' is given twice", key->text);
        diag_also(r->diag, before->key_loc, "it is first given here");
    }
    Tree *value = key && count_nodes(r, 1) && next(r) ? read_node(r, depth + 1) : NULL;
    if (value) {
        value->key = key->text;
        value->key_loc = key->loc;
    }
    return value;
}

static const char *
event_anchor(const Reader *r)
{
    const yaml_char_t *name = NULL;
    if (r->event.type == YAML_SCALAR_EVENT)
        name = r->event.data.scalar.anchor;
    else if (r->event.type == YAML_SEQUENCE_START_EVENT)
        name = r->event.data.sequence_start.anchor;
    else if (r->event.type == YAML_MAPPING_START_EVENT)
        name = r->event.data.mapping_start.anchor;
    return name ? arena_strdup(r->arena, (const char *)name) : NULL;
}

/* A collection: r->event is its start; afterwards it is its end. */
static Tree *
read_collection(Reader *r, TreeKind kind, yaml_event_type_t end, int depth)
{
    Tree *t = tree_new(r->arena, kind, event_loc(r));
    while (next(r)) {
        if (r->event.type == end)
            return t;
        Tree *item = kind == TREE_LIST ? read_node(r, depth + 1) : read_entry(r, t, depth);
        if (!item)
            return NULL;
        tree_push(r->arena, t, item);
    }
    return NULL;
}

/* The node that starts with r->event. An anchor is known once its node is whole, so that none can
 * hold itself. */
static Tree *
read_node(Reader *r, int depth)
{
    if (depth > TREE_MAX_DEPTH) {
        fault(r, "this is nested too deep");
        return NULL;
    }
    if (!count_nodes(r, 1))
        return NULL;
    const char *anchor = event_anchor(r);
    Tree *t = NULL;
    if (r->event.type == YAML_ALIAS_EVENT)
        t = read_alias(r);
    else if (r->event.type == YAML_SCALAR_EVENT)
        t = read_scalar(r);
    else if (r->event.type == YAML_SEQUENCE_START_EVENT)
        t = read_collection(r, TREE_LIST, YAML_SEQUENCE_END_EVENT, depth);
    else if (r->event.type == YAML_MAPPING_START_EVENT)
        t = read_collection(r, TREE_MAP, YAML_MAPPING_END_EVENT, depth);
    else
        fault(r, "a value is expected here");
    if (t && anchor) {
        const Anchor a = {anchor, t};
        VEC_PUSH(r->arena, r->anchors, r->nanchors, r->cap_anchors, a);
    }
    return t;
}

static Tree *
read_document(Reader *r)
{
    if (!next(r) || !next(r)) /* STREAM-START, DOCUMENT-START */
        return NULL;
    if (r->event.type == YAML_STREAM_END_EVENT) {
        diag_error(r->diag, (SrcLoc){.source = r->source}, "there is nothing in it");
        return NULL;
    }
    Tree *root = next(r) ? read_node(r, 0) : NULL;
    if (!root || !next(r) || !next(r)) /* DOCUMENT-END */
        return NULL;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return root;
    fault(r, "one document is expected, this is a second one");
    return NULL;
}

Tree *
yaml_parse_from(Arena *arena, const Source *source, size_t offset, Diag *diag)
{
    Reader r = {.arena = arena, .source = source, .diag = diag, .offset = offset};
    const int before = diag_errors(diag);
    if (source->len > TREE_MAX_BYTES) {
        diag_error(diag, (SrcLoc){.source = source}, "it has %zu bytes; at most %d are read",
                   source->len, TREE_MAX_BYTES);
        return NULL;
    }
    const char *end = source->text + source->len;
    for (const char *at = source->text + offset; at; at = at ? at + 1 : NULL) {
        VEC_PUSH(r.arena, r.lines, r.nlines, r.cap_lines, at);
        at = memchr(at, '\n', (size_t)(end - at));
    }
    if (!yaml_parser_initialize(&r.parser))
        die_no_memory(0);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)source->text + offset,
                                 source->len - offset);
    Tree *root = read_document(&r);
    if (r.have_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return diag_errors(diag) == before ? root : NULL;
}

Tree *
yaml_parse(Arena *arena, const Source *source, Diag *diag)
{
    return yaml_parse_from(arena, source, 0, diag);
}
