/* frontend/scope.c -- names, what the user wrote that their values come from, and faults shown
 * there. */
#include <string.h>

#include "frontend/embed.h"
#include "frontend/expr.h"

const Binding *
scope_find(const Scope *scope, const char *name, size_t len)
{
    for (; scope; scope = scope->parent)
        for (int i = scope->count; i-- > 0;)
            if (strncmp(scope->items[i]->name, name, len) == 0 && !scope->items[i]->name[len])
                return scope->items[i];
    return NULL;
}

static void
add_root(Binding *to, const Binding *root)
{
    for (int i = 0; i < to->nroots; i++)
        if (to->roots[i] == root)
            return;
    if (to->nroots < EXPR_MAX_USED)
        to->roots[to->nroots++] = root;
}

Binding *
scope_bind(Arena *arena, Scope *scope, const char *name, FeValue value, const Expr *from)
{
    Binding *b = arena_alloc(arena, sizeof *b);
    b->name = name;
    b->value = value;
    if (value.given)
        add_root(b, b);
    for (int i = 0; from && i < from->nused; i++)
        for (int k = 0; k < from->used[i]->nroots; k++)
            add_root(b, from->used[i]->roots[k]);
    VEC_PUSH(arena, scope->items, scope->count, scope->cap, b);
    return b;
}

const char *
value_text(Arena *arena, const FeValue *value)
{
    switch (value->kind) {
    case SPEC_CHUNK:
        if (value->i <= 0)
            return value->i == CHUNK_ALL ? "all" : "auto";
        return arena_printf(arena, "%lld", (long long)value->i);
    case SPEC_INT:
        return arena_printf(arena, "%lld", (long long)value->i);
    case SPEC_NUM:
        return number_text(arena, value->num);
    case SPEC_BOOL:
        return value->flag ? "true" : "false";
    case SPEC_WORD:
    case SPEC_TEXT:
        return value->text ? value->text : "";
    case SPEC_NUMS:
    case SPEC_IDS:
    case SPEC_LIST:
        return "a list";
    case SPEC_MAP:
        return "a map";
    case SPEC_ANY:
        return tree_text(arena, value->tree);
    }
    return "";
}

/* ---- reporting ------------------------------------------------------------------------------ */

/* How likely a place is the one to change: an option, then what was given for this very block, then
 * for the whole model, then a default of a built-in file. */
static int
blame(const Expr *e, const Binding *b)
{
    if (embedded_has(b->value.loc.source))
        return 0;
    if (b->value.loc.source && b->value.loc.source->path == set_source_path)
        return 3;
    for (int i = 0; i < e->scope->count; i++)
        if (e->scope->items[i] == b)
            return 2;
    return 1;
}

/* The roots of every name in the expression, each once. */
static Binding
roots_of(const Expr *e)
{
    Binding all = {.name = ""};
    for (int i = 0; i < e->nused; i++)
        for (int k = 0; k < e->used[i]->nroots; k++)
            add_root(&all, e->used[i]->roots[k]);
    return all;
}

FeOrigins
expr_origins(const Expr *e)
{
    const Binding all = roots_of(e);
    FeOrigin *items = arena_array(e->arena, (size_t)all.nroots + 1, sizeof *items);
    for (int i = 0; i < all.nroots; i++)
        items[i] = (FeOrigin){all.roots[i]->name, all.roots[i]->value.loc};
    return (FeOrigins){items, all.nroots};
}

void
expr_fault(const Expr *e, SrcLoc loc, SrcLoc user, Diag *diag)
{
    if (!e->why)
        return;
    SrcLoc part = loc;
    part.column += (int)e->at;
    part.span = (int)e->span;
    if (e->unknown) {
        diag_error(diag, part, "%s", e->why);
        return;
    }
    const Binding all = roots_of(e);
    const Binding *first = all.nroots ? all.roots[0] : NULL;
    for (int i = 1; i < all.nroots; i++)
        if (blame(e, all.roots[i]) > blame(e, first))
            first = all.roots[i];
    diag_error(diag, first ? first->value.loc : user, "%s", e->why);
    for (int i = 0; i < all.nroots; i++)
        if (all.roots[i] != first)
            diag_also(diag, all.roots[i]->value.loc, "%s is given here", all.roots[i]->name);
    diag_also(diag, part, "this is what asks for it");
}
