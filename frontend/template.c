/* frontend/template.c -- a family's template and a config.json to a model's YAML. */
#include "frontend/template.h"

#include <string.h>

enum { MAX_LAYERS = 1024 };

/* ---- values --------------------------------------------------------------------------------- */

static bool
holds(const Template *t, const Tree *when, bool *out)
{
    Expr e = {.arena = t->arena, .scope = t->scope};
    if (!expr_eval(&e, when->text, strlen(when->text))) {
        expr_fault(&e, when->loc, t->config->loc, t->diag);
        return false;
    }
    *out = e.value.num != 0;
    return true;
}

/* The text after "=". */
static Tree *
fill_value(const Template *t, const Tree *tree)
{
    const char *text = tree->text + 1;
    const size_t len = strlen(text);
    const Binding *b = scope_find(t->scope, text, len);
    if (b)
        return tree_copy(t->arena, b->value.tree);
    if (!strpbrk(text, " +-*/%(["))
        return NULL;
    Expr e = {.arena = t->arena, .scope = t->scope};
    SrcLoc loc = tree->loc;
    loc.column++;
    if (!expr_eval(&e, text, len)) {
        expr_fault(&e, loc, t->config->loc, t->diag);
        return NULL;
    }
    const char *number = expr_number_text(t->arena, e.value);
    return tree_scalar(t->arena, number, e.nused ? e.used[0]->value.loc : t->config->loc);
}

/* An entry of a list that must be there. */
static void
report_missing(const Template *t, const Tree *item)
{
    const Tree *sources = tree_get(t->implied, item->text + 1);
    StrBuf names = {0};
    for (int i = 0; tree_is(sources, TREE_LIST) && i < sources->count; i++)
        sb_printf(&names, "%s%s", i ? " or " : "", tree_text(t->arena, sources->items[i]));
    diag_error(t->diag, t->config->loc, "the key %s is missing",
               names.len
                   ? sb_text(&names)
                   : tree_text(t->arena, &(Tree){.kind = TREE_SCALAR, .text = item->text + 1}));
    diag_also(t->diag, item->loc, "family %s, layout %s needs it", t->family, t->layout);
    sb_free(&names);
}

static Tree *
fill_list(const Template *t, const Tree *tree)
{
    Tree *made = tree_new(t->arena, TREE_LIST, t->config->loc);
    for (int i = 0; i < tree->count; i++) {
        const Tree *item = tree->items[i];
        const int before = diag_errors(t->diag);
        Tree *filled = template_fill(t, item);
        if (filled)
            tree_push(t->arena, made, filled);
        else if (item->kind == TREE_SCALAR && diag_errors(t->diag) == before)
            report_missing(t, item);
    }
    return made;
}

/* ---- maps ----------------------------------------------------------------------------------- */

static Tree *
fill_first(const Template *t, const Tree *list)
{
    const int before = diag_errors(t->diag);
    for (int i = 0; i < list->count && diag_errors(t->diag) == before; i++) {
        Tree *filled = template_fill(t, list->items[i]);
        if (filled)
            return filled;
    }
    return NULL;
}

static void
fill_entries(const Template *t, const Tree *from, Tree *to)
{
    for (int i = 0; i < from->count; i++) {
        const Tree *item = from->items[i];
        if (strcmp(item->key, "when") == 0)
            continue;
        if (strcmp(item->key, "include") == 0) {
            fill_entries(t, tree_get(t->includes, item->text), to);
            continue;
        }
        Tree *filled = template_fill(t, item);
        if (filled)
            tree_put(t->arena, to, item->key, filled);
    }
}

static Tree *fill_layers(const Template *t, const Tree *tree);

static Tree *
fill_map(const Template *t, const Tree *tree)
{
    const Tree *when = tree_get(tree, "when"), *first = tree_get(tree, "first");
    bool there = true;
    if (when && (!holds(t, when, &there) || !there))
        return NULL;
    if (first)
        return fill_first(t, first);
    if (tree_get(tree, "is"))
        return template_fill(t, tree_get(tree, "is"));
    if (tree_get(tree, "count") && tree_get(tree, "kinds"))
        return fill_layers(t, tree);
    Tree *made = tree_new(t->arena, TREE_MAP, t->config->loc);
    fill_entries(t, tree, made);
    return made->count ? made : NULL;
}

Tree *
template_fill(const Template *t, const Tree *tree)
{
    if (tree->kind == TREE_LIST)
        return fill_list(t, tree);
    if (tree->kind == TREE_MAP)
        return fill_map(t, tree);
    if (tree->kind == TREE_SCALAR && tree->text[0] == '=')
        return fill_value(t, tree);
    Tree *copy = tree_copy(t->arena, tree);
    copy->loc = t->config->loc;
    return copy;
}

/* ---- layers of kinds ------------------------------------------------------------------------ */

/* `i` of expressions, and `number`, which counts from 1. */
static void
bind_layer(const Template *t, int64_t i)
{
    static const char *const names[] = {"i", "number"};
    for (int n = 0; n < 2; n++, i++) {
        const Tree *text =
            tree_scalar(t->arena, arena_printf(t->arena, "%lld", (long long)i), t->config->loc);
        const FeValue value = {.kind = SPEC_INT, .i = i, .num = (double)i, .tree = text};
        scope_bind(t->arena, t->scope, names[n], value, NULL);
    }
}

/* What config.json says of a layer that is of no kind. */
static void
report_no_kind(const Template *t, int64_t layer, const Tree *when)
{
    Expr e = {.arena = t->arena, .scope = t->scope};
    expr_eval(&e, when->text, strlen(when->text));
    const Tree *list = NULL, *letters = NULL; /* of which each is of a layer */
    double unused;
    for (int i = 0; i < e.nused; i++) {
        const Tree *used = e.used[i]->value.tree;
        if (tree_is(used, TREE_LIST) && !list)
            list = used;
        else if (tree_is(used, TREE_SCALAR) && !tree_num(used, &unused) && !letters)
            letters = used;
    }
    const char *what = "";
    const Tree *at = list ? list : letters ? letters : t->config;
    if (list && layer < list->count) {
        at = list->items[layer];
        what = arena_printf(t->arena, ", %s,", tree_text(t->arena, at));
    } else if (!list && letters && (size_t)layer < strlen(letters->text)) {
        what = arena_printf(t->arena, ", '%c',", letters->text[layer]);
    }
    diag_error(t->diag, at->loc, "layer %lld%s is of no kind that family %s knows",
               (long long)layer, what, t->family);
    diag_also(t->diag, when->loc, "the kinds it knows are here");
}

/* The first kind of layer i; -1: a fault. */
static int
kind_of(const Template *t, const Tree *kinds, int64_t i)
{
    const Tree *when = NULL;
    for (int k = 0; k < kinds->count; k++) {
        bool fits = true;
        const Tree *condition = tree_get(kinds->items[k], "when");
        if (condition && !holds(t, condition, &fits))
            return -1;
        if (fits)
            return k;
        when = condition;
    }
    if (when)
        report_no_kind(t, i, when);
    return -1;
}

/* A text where every name is a character, else a list; NULL: a fault. seen: of each kind its first
 * layer, or -1. */
static Tree *
order_of(const Template *t, const Tree *kinds, int64_t count, int64_t *seen)
{
    Tree *list = tree_new(t->arena, TREE_LIST, t->config->loc);
    StrBuf text = {0};
    bool letters = true;
    for (int64_t i = 0; i < count; i++) {
        bind_layer(t, i);
        const int k = kind_of(t, kinds, i);
        t->scope->count--;
        if (k < 0) {
            sb_free(&text);
            return NULL;
        }
        const char *name = kinds->items[k]->key;
        seen[k] = seen[k] < 0 ? i : seen[k];
        letters = letters && strlen(name) == 1;
        sb_puts(&text, name);
        tree_push(t->arena, list, tree_scalar(t->arena, name, t->config->loc));
    }
    const char *all = sb_finish(&text, t->arena);
    return letters ? tree_scalar(t->arena, all, t->config->loc) : list;
}

/* The length of the shortest beginning whose repetition is the order. */
static int64_t
period_of(const char *text)
{
    const size_t length = strlen(text);
    for (size_t p = 1; p < length; p++)
        if (length % p == 0 && memcmp(text, text + p, length - p) == 0)
            return (int64_t)p;
    return (int64_t)length;
}

static void
put_number(const Template *t, Tree *map, const char *key, int64_t number)
{
    tree_put(
        t->arena, map, key,
        tree_scalar(t->arena, arena_printf(t->arena, "%lld", (long long)number), t->config->loc));
}

/* Layers of one kind: {block, repeat, ...}. */
static Tree *
one_kind(const Template *t, const Tree *entry, const Tree *count)
{
    Tree *list = tree_new(t->arena, TREE_LIST, t->config->loc);
    Tree *map = tree_new(t->arena, TREE_MAP, t->config->loc);
    for (int i = 0; i < entry->count; i++) {
        const bool is_block = strcmp(entry->items[i]->key, "block") == 0;
        if (i == 0 && !is_block)
            tree_put(t->arena, map, "repeat", tree_copy(t->arena, count));
        tree_put(t->arena, map, entry->items[i]->key, entry->items[i]);
        if (i == 0 && is_block)
            tree_put(t->arena, map, "repeat", tree_copy(t->arena, count));
    }
    tree_push(t->arena, list, map);
    return list;
}

static Tree *
fill_layers(const Template *t, const Tree *tree)
{
    const Tree *kinds = tree_get(tree, "kinds");
    const Tree *count = template_fill(t, tree_get(tree, "count"));
    int64_t layers = 0, *seen = arena_array(t->arena, (size_t)kinds->count, sizeof *seen);
    if (!count)
        return NULL;
    if (!tree_whole(count, &layers) || layers < 1 || layers > MAX_LAYERS) {
        diag_error(t->diag, count->loc, "there are %s layers; expected a whole number from 1 to %d",
                   tree_text(t->arena, count), MAX_LAYERS);
        return NULL;
    }
    for (int k = 0; k < kinds->count; k++)
        seen[k] = -1;
    Tree *order = order_of(t, kinds, layers, seen);
    if (!order)
        return NULL;
    Tree *used = tree_new(t->arena, TREE_MAP, t->config->loc);
    for (int k = 0; k < kinds->count; k++) {
        if (seen[k] < 0)
            continue;
        bind_layer(t, seen[k]);
        Tree *entry = template_fill(t, kinds->items[k]);
        t->scope->count--;
        const Tree *parts = tree_get(entry, "parts");
        if (!entry)
            return NULL;
        if (entry->count == 1 && parts && parts->count == 1)
            entry = parts->items[0];
        tree_put(t->arena, used, kinds->items[k]->key, entry);
    }
    if (used->count == 1)
        return one_kind(t, used->items[0], count);
    Tree *made = tree_new(t->arena, TREE_MAP, t->config->loc);
    const int64_t period = order->kind == TREE_SCALAR ? period_of(order->text) : layers;
    if (period < layers) {
        put_number(t, made, "repeat", layers / period);
        order->text = arena_strndup(t->arena, order->text, (size_t)period);
    }
    tree_put(t->arena, made, "order", order);
    tree_put(t->arena, made, "kinds", used);
    return made;
}
