/* frontend/tree.c -- building, asking and printing the trees that YAML and JSON texts become. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/yaml.h"

const Source *
source_read(Arena *arena, const char *path, SrcLoc from, Diag *diag)
{
    Source *source = arena_alloc(arena, sizeof *source);
    const char *why = NULL;
    char *text = NULL;
    if (!file_read(arena, path, TREE_MAX_BYTES, &text, &source->len, &why)) {
        diag_error(diag, from, "%s", why);
        return NULL;
    }
    source->path = arena_strdup(arena, path);
    source->text = text;
    return source;
}

Tree *
tree_new(Arena *arena, TreeKind kind, SrcLoc loc)
{
    Tree *t = arena_alloc(arena, sizeof *t);
    t->kind = kind;
    t->loc = loc;
    return t;
}

Tree *
tree_scalar(Arena *arena, const char *text, SrcLoc loc)
{
    Tree *t = tree_new(arena, TREE_SCALAR, loc);
    t->text = text;
    return t;
}

Tree *
tree_copy(Arena *arena, const Tree *from)
{
    Tree *t = arena_alloc(arena, sizeof *t);
    *t = *from;
    t->items = arena_array(arena, (size_t)from->count, sizeof(Tree *));
    t->cap = from->count;
    for (int i = 0; i < from->count; i++)
        t->items[i] = tree_copy(arena, from->items[i]);
    return t;
}

void
tree_push(Arena *arena, Tree *to, Tree *item)
{
    VEC_PUSH(arena, to->items, to->count, to->cap, item);
}

void
tree_put(Arena *arena, Tree *map, const char *key, Tree *item)
{
    item->key = key;
    if (!item->key_loc.source)
        item->key_loc = item->loc;
    for (int i = 0; i < map->count; i++) {
        if (strcmp(map->items[i]->key, key) != 0)
            continue;
        map->items[i] = item;
        return;
    }
    tree_push(arena, map, item);
}

bool
tree_equal(const Tree *a, const Tree *b)
{
    double x, y;
    if (a->kind != b->kind || a->count != b->count)
        return false;
    if (a->kind == TREE_SCALAR && tree_num(a, &x) && tree_num(b, &y))
        return x >= y && x <= y;
    if (a->kind == TREE_SCALAR && strcmp(a->text, b->text) != 0)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!tree_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

bool
tree_is(const Tree *tree, TreeKind kind)
{
    return tree && tree->kind == kind;
}

static Tree *
get_n(const Tree *map, const char *key, size_t len)
{
    for (int i = 0; tree_is(map, TREE_MAP) && i < map->count; i++) {
        const char *name = map->items[i]->key;
        if (strncmp(name, key, len) == 0 && name[len] == '\0')
            return map->items[i];
    }
    return NULL;
}

Tree *
tree_get(const Tree *map, const char *key)
{
    return get_n(map, key, strlen(key));
}

Tree *
tree_find(const Tree *map, const char *path)
{
    const size_t len = strcspn(path, ".");
    Tree *t = get_n(map, path, len);
    return path[len] == '\0' || !t ? t : tree_find(t, path + len + 1);
}

/* ---- what a scalar says --------------------------------------------------------------------- */

static bool
is_plain(const Tree *tree)
{
    return tree_is(tree, TREE_SCALAR) && !tree->quoted;
}

bool
tree_int(const Tree *tree, int64_t *out)
{
    if (!is_plain(tree) || isspace((unsigned char)tree->text[0]))
        return false;
    char *end = NULL;
    errno = 0;
    const long long i = strtoll(tree->text, &end, 10);
    if (end == tree->text || *end != '\0' || errno != 0)
        return false;
    *out = i;
    return true;
}

/* .inf as YAML spells it, Infinity as JSON writers do; those of strict JSON put it into quotes. */
bool
tree_num(const Tree *tree, double *out)
{
    if (!tree_is(tree, TREE_SCALAR))
        return false;
    const char *text = tree->text;
    const bool negative = text[0] == '-';
    if (word_in(".inf .Inf .INF inf Infinity", text + (negative || text[0] == '+'))) {
        *out = negative ? -INFINITY : INFINITY;
        return true;
    }
    if (tree->quoted)
        return false;
    if (text[strspn(text, "0123456789.+-eE")] != '\0')
        return false; /* strtod would also take hexadecimal and nan */
    char *end = NULL;
    const double num = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(num))
        return false;
    *out = num;
    return true;
}

bool
tree_whole(const Tree *tree, int64_t *out)
{
    const double exact = 9007199254740992; /* 2^53: a double holds every integer up to it */
    double num;
    if (tree_int(tree, out))
        return true;
    if (!tree_num(tree, &num) || fabs(num) > exact || num < floor(num) || num > floor(num))
        return false;
    *out = (int64_t)num;
    return true;
}

bool
tree_bool(const Tree *tree, bool *out)
{
    if (!is_plain(tree))
        return false;
    *out = word_in("true True", tree->text);
    return *out || word_in("false False", tree->text);
}

/* ---- as YAML -------------------------------------------------------------------------------- */

/* Text that YAML reads back as the same plain scalar. */
static bool
is_safe_plain(const char *text)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    return !word_in("null Null NULL true false True False", text) && text[0] != '\0' &&
           text[strspn(text, safe)] == '\0' && (text[0] != '-' || text[1]);
}

static void
print_scalar(StrBuf *out, const Tree *t)
{
    double num;
    int64_t i;
    bool flag;
    const bool says = tree_bool(t, &flag) || tree_int(t, &i) || tree_num(t, &num);
    const Tree plain = {.kind = TREE_SCALAR, .text = t->text};
    const bool reads_as_number = tree_num(&plain, &num);
    if (says || (is_safe_plain(t->text) && !reads_as_number))
        sb_puts(out, t->text);
    else
        sb_put_quoted(out, t->text);
}

static void
print_key(StrBuf *out, const char *key)
{
    const Tree k = {.kind = TREE_SCALAR, .text = key};
    print_scalar(out, &k);
    sb_puts(out, ":");
}

static void
print_flow(StrBuf *out, const Tree *t)
{
    const bool list = t->kind == TREE_LIST;
    if (t->kind == TREE_NULL)
        sb_puts(out, "null");
    if (t->kind == TREE_SCALAR)
        print_scalar(out, t);
    if (t->kind == TREE_NULL || t->kind == TREE_SCALAR)
        return;
    sb_puts(out, list ? "[" : "{");
    for (int i = 0; i < t->count; i++) {
        sb_puts(out, i ? ", " : "");
        if (!list) {
            print_key(out, t->items[i]->key);
            sb_puts(out, " ");
        }
        print_flow(out, t->items[i]);
    }
    sb_puts(out, list ? "]" : "}");
}

static void print_entry(StrBuf *out, const Tree *t, int indent);

/* A map is somewhere inside. */
static bool
holds_map(const Tree *t)
{
    bool one = false;
    for (int i = 0; i < t->count; i++)
        one |= t->items[i]->kind == TREE_MAP || holds_map(t->items[i]);
    return one;
}

static void
put_line(StrBuf *out, int indent, const char *mark)
{
    sb_printf(out, "\n%*s%s", indent, "", mark);
}

static void
print_value(StrBuf *out, const Tree *t, int indent)
{
    const bool list = t->kind == TREE_LIST;
    if (!holds_map(t)) {
        print_flow(out, t);
        return;
    }
    for (int i = 0; i < t->count; i++) {
        const Tree *item = t->items[i];
        const bool deep = holds_map(item);
        if (list) {
            put_line(out, indent, "- ");
            for (int k = 0; deep && k < item->count; k++) {
                if (k)
                    put_line(out, indent + 2, "");
                print_entry(out, item->items[k], indent + 2);
            }
            if (!deep)
                print_flow(out, item);
        } else {
            put_line(out, indent, "");
            print_entry(out, item, indent);
        }
    }
}

static void
print_entry(StrBuf *out, const Tree *t, int indent)
{
    print_key(out, t->key);
    sb_puts(out, holds_map(t) ? "" : " ");
    print_value(out, t, indent + 2);
}

void
tree_print(StrBuf *out, const Tree *map)
{
    for (int i = 0; i < map->count; i++) {
        print_entry(out, map->items[i], 0);
        sb_puts(out, "\n");
    }
}

const char *
tree_text(Arena *arena, const Tree *tree)
{
    enum { SHOWN = 60 };
    if (!tree || tree->kind == TREE_NULL)
        return "nothing";
    StrBuf sb = {0};
    if (tree->kind == TREE_SCALAR)
        sb_puts(&sb, tree->text);
    else
        print_flow(&sb, tree);
    const char *quote = tree->kind == TREE_SCALAR ? "'" : "";
    const char *text = arena_printf(arena, "%s%.*s%s%s", quote, SHOWN, sb_text(&sb),
                                    sb.len > SHOWN ? "..." : "", quote);
    sb_free(&sb);
    return text;
}
