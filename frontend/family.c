/* frontend/family.c -- config.json of a published checkpoint to the tree of a model's YAML, by the
 * families' files. */
#include "frontend/family.h"

#include <string.h>

#include "frontend/embed.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    const Tree *config;
    const char *family, *layout; /* for messages */
    Scope scope;                 /* config keys, dotted, and defaults */
} Import;

/* ---- the families' files -------------------------------------------------------------------- */

typedef struct {
    const char *name; /* first: nearest_name reads it */
    const Tree *tree;
} Family;

/* Every family of the binary, in an arena array. */
static int
families_load(Arena *arena, Family **out)
{
    Family *list = arena_array(arena, (size_t)fe_embedded_count + 1, sizeof *list);
    int count = 0;
    for (int i = 0; i < fe_embedded_count; i++) {
        if (strncmp(fe_embedded[i].name, "families/", 9) != 0)
            continue;
        const Tree *tree = embedded_tree(arena, &fe_embedded[i]);
        if (!tree_is(tree_get(tree, "family"), TREE_SCALAR) ||
            !tree_is(tree_get(tree, "layouts"), TREE_LIST))
            die("%s is no family", fe_embedded[i].name);
        list[count++] = (Family){tree_get(tree, "family")->text, tree};
    }
    *out = list;
    return count;
}

/* ---- tensor names --------------------------------------------------------------------------- */

static bool
spelling_is_good(const Tree *t, Diag *diag)
{
    if (t->kind == TREE_SCALAR && t->text[0] && !strchr(t->text, '|'))
        return true;
    diag_error(diag, t->loc, "a tensor name is a text without '|'");
    return false;
}

static bool
spellings_are_good(const Tree *map, Diag *diag)
{
    bool ok = true;
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i];
        if (t->kind != TREE_LIST || t->count == 0)
            ok &= spelling_is_good(t, diag);
        for (int k = 0; t->kind == TREE_LIST && k < t->count; k++)
            ok &= spelling_is_good(t->items[k], diag);
    }
    return ok;
}

bool
tensor_names_add(TensorNames *names, const Tree *tensors, const Tree *ignored, Diag *diag)
{
    bool ok = true;
    if (tensors) {
        ok &= spellings_are_good(tensors, diag);
        VEC_PUSH(names->arena, names->maps, names->nmaps, names->cap_maps, tensors);
    }
    for (int i = 0; ignored && i < ignored->count; i++) {
        ok &= spelling_is_good(ignored->items[i], diag);
        VEC_PUSH(names->arena, names->ignored, names->nignored, names->cap_ignored,
                 ignored->items[i]->text);
    }
    return ok;
}

bool
tensor_names_add_family(TensorNames *names, const char *name, SrcLoc loc, Diag *diag)
{
    Family *list = NULL;
    const int count = families_load(names->arena, &list);
    bool found = name == NULL;
    for (int i = 0; i < count; i++) {
        if (name && strcmp(list[i].name, name) != 0)
            continue;
        found = true;
        tensor_names_add(names, tree_get(list[i].tree, "tensors"),
                         tree_get(list[i].tree, "ignored"), diag);
    }
    if (found)
        return true;
    const char *near = nearest_name(name, list, (size_t)count, sizeof *list);
    StrBuf all = {0};
    for (int i = 0; i < count; i++)
        sb_printf(&all, "%s%s", i ? ", " : "", list[i].name);
    diag_error(diag, loc, "unknown family '%s'%s%s; there are %s", name,
               near ? "; the nearest is " : "", near ? near : "", sb_text(&all));
    sb_free(&all);
    return false;
}

/* What <i> and * of a pattern stand for in a name. */
typedef struct {
    const char *number, *rest;
    size_t number_len;
} Match;

static bool
pattern_fits(const char *pattern, const char *name, Match *out)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            out->rest = name;
            return true;
        }
        if (strncmp(pattern, "<i>", 3) == 0) {
            out->number = name;
            out->number_len = strspn(name, "0123456789");
            if (out->number_len == 0)
                return false;
            name += out->number_len;
            pattern += 2;
            continue;
        }
        if (*pattern != *name)
            return false;
        name++;
    }
    return *name == '\0';
}

static void
put_spelling(StrBuf *out, const char *spelling, const Match *m)
{
    sb_puts(out, out->len ? "|" : "");
    for (const char *p = spelling; *p; p++) {
        if (*p == '*' && m->rest) {
            sb_puts(out, m->rest);
        } else if (strncmp(p, "<i>", 3) == 0 && m->number) {
            sb_putn(out, m->number, m->number_len);
            p += 2;
        } else {
            sb_putn(out, p, 1);
        }
    }
}

static void
put_spellings(StrBuf *out, const Tree *map, const char *weight)
{
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i];
        Match m = {0};
        if (!pattern_fits(t->key, weight, &m))
            continue;
        if (t->kind == TREE_SCALAR)
            put_spelling(out, t->text, &m);
        for (int k = 0; t->kind == TREE_LIST && k < t->count; k++)
            put_spelling(out, t->items[k]->text, &m);
        return;
    }
}

const char *
tensor_names_of(const TensorNames *names, const char *weight)
{
    StrBuf sb = {0};
    if (names->own)
        sb_puts(&sb, weight);
    for (int i = 0; i < names->nmaps; i++)
        put_spellings(&sb, names->maps[i], weight);
    if (sb.len == 0)
        sb_puts(&sb, weight);
    const char *text = arena_strndup(names->arena, sb_text(&sb), sb.len);
    sb_free(&sb);
    return text;
}

/* ---- names of config keys ------------------------------------------------------------------- */

/* The value of a config key as an expression sees it. */
static FeValue
config_value(Arena *arena, const Tree *t, bool given)
{
    static const struct {
        SpecKind kind;
        TreeKind tree;
    } kinds[] = {
        {SPEC_BOOL, TREE_SCALAR},
        {SPEC_INT,  TREE_SCALAR},
        {SPEC_NUM,  TREE_SCALAR},
        {SPEC_LIST, TREE_LIST  },
        {SPEC_MAP,  TREE_MAP   },
        {SPEC_ANY,  TREE_SCALAR}
    };
    FeValue v = {0};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const Spec any = {.kind = kinds[i].kind, .low = -1e300, .high = 1e300, .words = ""};
        if (t->kind == kinds[i].tree && spec_try(arena, &any, t, &v))
            break;
    }
    v.given = given;
    return v;
}

static void
bind_config(Import *im, const Tree *map, const char *prefix, bool given)
{
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i];
        const char *name = prefix[0] ? arena_printf(im->arena, "%s.%s", prefix, t->key) : t->key;
        if (t->kind == TREE_NULL)
            continue;
        if (t->kind == TREE_MAP && given && !prefix[0])
            bind_config(im, t, name, true);
        else
            scope_bind(im->arena, &im->scope, name, config_value(im->arena, t, given), NULL);
    }
}

static const Binding *
find_key(const Import *im, const char *name)
{
    return scope_find(&im->scope, name, strlen(name));
}

/* ---- choosing the layout -------------------------------------------------------------------- */

static bool
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

static bool
layout_matches(const Tree *layout, const Tree *config)
{
    const Tree *match = tree_get(layout, "match");
    for (int i = 0; i < match->count; i++) {
        const Tree *has = tree_find(config, match->items[i]->key);
        if (!has || !tree_equal(has, match->items[i]))
            return false;
    }
    return true;
}

static void
unknown_layout(const Import *im, const Family *families, int count)
{
    StrBuf known = {0};
    for (int i = 0; i < count; i++) {
        const Tree *layouts = tree_get(families[i].tree, "layouts");
        for (int k = 0; k < layouts->count; k++) {
            const Tree *match = tree_get(layouts->items[k], "match");
            sb_printf(&known, "%s%s \"%s\"", known.len ? ", " : "", match->items[0]->key,
                      match->items[0]->text);
        }
    }
    const Tree *type = tree_get(im->config, "model_type");
    if (type)
        diag_error(im->diag, type->loc, "model_type is %s; known are %s",
                   tree_text(im->arena, type), sb_text(&known));
    else
        diag_error(im->diag, im->config->loc,
                   "this config.json is of no family known here; known are %s", sb_text(&known));
    sb_free(&known);
}

/* ---- what a layout asks of a config --------------------------------------------------------- */

static void
check_required(const Import *im, const Tree *required)
{
    for (int i = 0; required && i < required->count; i++) {
        const char *name = required->items[i]->text;
        if (find_key(im, name))
            continue;
        diag_error(im->diag, im->config->loc, "the key '%s' is missing", name);
        diag_also(im->diag, required->items[i]->loc, "family %s, layout %s needs it", im->family,
                  im->layout);
    }
}

/* "silu or swish" */
static const char *
choices_text(Arena *arena, const Tree *list)
{
    StrBuf sb = {0};
    for (int i = 0; i < list->count; i++)
        sb_printf(&sb, "%s%s", i ? " or " : "", tree_text(arena, list->items[i]));
    const char *text = arena_strndup(arena, sb_text(&sb), sb.len);
    sb_free(&sb);
    return text;
}

static void
check_only(const Import *im, const Tree *only)
{
    for (int i = 0; only && i < only->count; i++) {
        const Tree *choices = only->items[i];
        const Tree *has = tree_find(im->config, choices->key);
        bool ok = !has || has->kind == TREE_NULL;
        for (int k = 0; k < choices->count && !ok; k++)
            ok = tree_equal(has, choices->items[k]);
        if (ok)
            continue;
        diag_error(im->diag, has->loc, "%s is %s; only %s can be compiled", choices->key,
                   tree_text(im->arena, has), choices_text(im->arena, choices));
        diag_also(im->diag, choices->key_loc, "family %s, layout %s says so", im->family,
                  im->layout);
    }
}

static void
check_sizes(const Import *im, const Tree *checks)
{
    for (int i = 0; checks && i < checks->count; i++) {
        const Tree *t = checks->items[i];
        Expr e = {.arena = im->arena, .scope = &im->scope};
        if (!expr_eval(&e, t->text, strlen(t->text)) || e.value.num == 0)
            expr_fault(&e, t->loc, im->config->loc, im->diag);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

static Tree *instantiate(Import *im, const Tree *t);

/* The text after "=" in a template. NULL: left out, or the fault is in diag. */
static Tree *
template_value(Import *im, const Tree *t)
{
    const char *text = t->text + 1;
    const size_t len = strlen(text);
    const Binding *b = find_key(im, text);
    if (b || !strpbrk(text, " +-*/("))
        return b ? tree_copy(im->arena, b->value.tree) : NULL;
    Expr e = {.arena = im->arena, .scope = &im->scope};
    SrcLoc loc = t->loc;
    loc.column++;
    if (!expr_eval(&e, text, len)) {
        expr_fault(&e, loc, im->config->loc, im->diag);
        return NULL;
    }
    const char *number = expr_number_text(im->arena, e.value);
    return tree_scalar(im->arena, number, e.nused ? e.used[0]->value.loc : im->config->loc);
}

static Tree *
instantiate_all(Import *im, const Tree *t)
{
    Tree *made = tree_new(im->arena, t->kind, im->config->loc);
    for (int i = 0; i < t->count; i++) {
        Tree *item = instantiate(im, t->items[i]);
        if (!item)
            continue;
        if (t->kind == TREE_MAP)
            tree_put(im->arena, made, t->items[i]->key, item);
        else
            tree_push(im->arena, made, item);
    }
    return made;
}

static Tree *
instantiate(Import *im, const Tree *t)
{
    if (t->kind == TREE_LIST || t->kind == TREE_MAP)
        return instantiate_all(im, t);
    if (t->kind == TREE_SCALAR && t->text[0] == '=')
        return template_value(im, t);
    Tree *copy = tree_copy(im->arena, t);
    copy->loc = im->config->loc;
    return copy;
}

static Tree *
import_layout(Import *im, const Tree *layout)
{
    const Tree *defaults = tree_get(layout, "defaults");
    const int before = diag_errors(im->diag);
    im->layout = tree_get(layout, "layout")->text;
    if (defaults)
        bind_config(im, defaults, "", false);
    bind_config(im, im->config, "", true);
    check_required(im, tree_get(layout, "required"));
    check_only(im, tree_get(layout, "only"));
    if (diag_errors(im->diag) != before)
        return NULL;
    check_sizes(im, tree_get(layout, "checks"));
    Tree *model = instantiate(im, tree_get(layout, "model"));
    tree_put(im->arena, model, "family", tree_scalar(im->arena, im->family, im->config->loc));
    return diag_errors(im->diag) == before ? model : NULL;
}

Tree *
family_import(Arena *arena, const char *path, Diag *diag)
{
    Import im = {.arena = arena, .diag = diag};
    const Source *source = source_read(arena, path, (SrcLoc){0}, diag);
    im.config = source ? json_parse(arena, source, diag) : NULL;
    if (!im.config)
        return NULL;
    if (im.config->kind != TREE_MAP) {
        diag_error(diag, im.config->loc, "a config.json holds an object, this is %s",
                   tree_text(arena, im.config));
        return NULL;
    }
    Family *list = NULL;
    const int count = families_load(arena, &list);
    for (int i = 0; i < count; i++) {
        const Tree *layouts = tree_get(list[i].tree, "layouts");
        im.family = list[i].name;
        for (int k = 0; k < layouts->count; k++)
            if (layout_matches(layouts->items[k], im.config))
                return import_layout(&im, layouts->items[k]);
    }
    unknown_layout(&im, list, count);
    return NULL;
}
