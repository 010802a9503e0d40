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

/* What a family does not say itself is as in the family that it is like. */
static const Tree *
family_complete(Arena *arena, const Family *list, int count, const Tree *own)
{
    const Tree *like = tree_get(own, "like");
    Tree *all = tree_copy(arena, own);
    for (int i = 0; like && i < count; i++) {
        const Tree *other = strcmp(list[i].name, like->text) == 0 ? list[i].tree : NULL;
        for (int k = 0; other && k < other->count; k++)
            if (!tree_get(all, other->items[k]->key))
                tree_put(arena, all, other->items[k]->key, tree_copy(arena, other->items[k]));
    }
    return all;
}

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
    for (int i = 0; i < count; i++)
        list[i].tree = family_complete(arena, list, count, list[i].tree);
    *out = list;
    return count;
}

/* ---- tensor names --------------------------------------------------------------------------- */

static bool
spelling_is_good(const Tree *t, Diag *diag)
{
    if (t->kind == TREE_SCALAR && t->text[0] && !strchr(t->text, '|'))
        return true;
    return diag_error(diag, t->loc, "a tensor name is a text without '|'");
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
        if (name ? strcmp(list[i].name, name) != 0 : tree_get(list[i].tree, "like") != NULL)
            continue; /* its names are those of the family that it is like */
        found = true;
        tensor_names_add(names, tree_get(list[i].tree, "tensors"),
                         tree_get(list[i].tree, "ignored"), diag);
    }
    return found || name_unknown(diag, loc, "family", name, list, (size_t)count, sizeof *list);
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

bool
fe_pattern_fits(const char *pattern, const char *name)
{
    Match unused = {0};
    return pattern_fits(pattern, name, &unused);
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
    return sb_finish(&sb, names->arena);
}

/* ---- names of config keys ------------------------------------------------------------------- */

/* The length of the next name in an expression, and *at moves to it; 0: there is none. */
static size_t
name_next(const char **at)
{
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
    *at += strcspn(*at, LETTERS);
    return strspn(*at, LETTERS "0123456789.");
#undef LETTERS
}

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

/* A key that is missing is null. */
static bool
is_one_of(const Tree *has, const Tree *choices)
{
    bool one = false;
    for (int i = 0; i < choices->count; i++)
        one |= has ? tree_equal(has, choices->items[i]) : choices->items[i]->kind == TREE_NULL;
    return one;
}

static bool
layout_matches(const Tree *layout, const Tree *config)
{
    const Tree *match = tree_get(layout, "match"), *any = tree_get(layout, "any");
    for (int i = 0; i < match->count; i++) {
        const Tree *has = tree_find(config, match->items[i]->key), *want = match->items[i];
        if (want->kind == TREE_LIST ? !is_one_of(has, want) : !has || !tree_equal(has, want))
            return false;
    }
    bool one = any == NULL;
    for (int i = 0; any && i < any->count; i++)
        one |= tree_find(config, any->items[i]->text) != NULL;
    return one;
}

static void
unknown_layout(const Import *im, const Family *families, int count)
{
    StrBuf known = {0};
    for (int i = 0; i < count; i++) {
        const Tree *layouts = tree_get(families[i].tree, "layouts");
        for (int k = 0; k < layouts->count; k++) {
            const Tree *match = tree_get(layouts->items[k], "match");
            if (tree_get(layouts->items[k], "any"))
                continue; /* a variant of another layout, which says the rest */
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

/* ---- keys that follow from others ------------------------------------------------------------ */

/* Every name of an expression is bound. */
static bool
names_are_known(const Import *im, const char *text)
{
    for (size_t len; (len = name_next(&text)) > 0; text += len)
        if (!scope_find(&im->scope, text, len))
            return false;
    return true;
}

/* A key that config.json leaves out is given the value of its expression, if that can be had. */
static void
bind_implied(Import *im, const Tree *implied)
{
    for (int i = 0; implied && i < implied->count; i++) {
        const Tree *t = implied->items[i];
        if (find_key(im, t->key) || !names_are_known(im, t->text))
            continue;
        const Binding *same = find_key(im, t->text);
        Expr e = {.arena = im->arena, .scope = &im->scope};
        if (same) {
            scope_bind(im->arena, &im->scope, t->key, same->value, NULL);
        } else if (!expr_eval(&e, t->text, strlen(t->text))) {
            expr_fault(&e, t->loc, im->config->loc, im->diag);
        } else {
            const Tree *value =
                tree_scalar(im->arena, expr_number_text(im->arena, e.value), im->config->loc);
            scope_bind(im->arena, &im->scope, t->key, config_value(im->arena, value, false), &e);
        }
    }
}

/* ---- keys of config.json that no layout names ------------------------------------------------ */

typedef struct {
    const char **names;
    int count, cap;
} Names;

static void
names_put(Import *im, Names *names, const char *name, size_t len)
{
    const char *copy = arena_strndup(im->arena, name, len);
    VEC_PUSH(im->arena, names->names, names->count, names->cap, copy);
}

/* The names in expressions; in a template those that start with "=". */
static void
names_of_expressions(Import *im, Names *names, const Tree *t, bool is_template)
{
    for (int i = 0; t && i < t->count; i++)
        names_of_expressions(im, names, t->items[i], is_template);
    if (!tree_is(t, TREE_SCALAR) || (is_template && t->text[0] != '='))
        return;
    const char *text = t->text;
    for (size_t len; (len = name_next(&text)) > 0; text += len)
        names_put(im, names, text, len);
}

static void
names_of_items(Import *im, Names *names, const Tree *t)
{
    for (int i = 0; t && i < t->count; i++) {
        const char *name = t->kind == TREE_MAP ? t->items[i]->key : t->items[i]->text;
        names_put(im, names, name, strlen(name));
    }
}

/* Keys that a layout honours, checks or calls harmless. */
static Names
names_known(Import *im, const Tree *family, const Tree *layout)
{
    static const char *const lists[] = {"match",   "any",  "required", "defaults",
                                        "implied", "only", "harmless"};
    Names names = {0};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        names_of_items(im, &names, tree_get(layout, lists[i]));
    names_of_items(im, &names, tree_get(family, "only"));
    names_of_items(im, &names, tree_get(family, "harmless"));
    names_of_expressions(im, &names, tree_get(layout, "implied"), false);
    names_of_expressions(im, &names, tree_get(layout, "checks"), false);
    names_of_expressions(im, &names, tree_get(layout, "model"), true);
    return names;
}

typedef enum { KEY_KNOWN, KEY_ABOVE_KNOWN, KEY_UNKNOWN } KeyState;

static KeyState
key_state(const Names *known, const char *key)
{
    const size_t len = strlen(key);
    KeyState state = KEY_UNKNOWN;
    for (int i = 0; i < known->count; i++) {
        const char *name = known->names[i];
        if (strcmp(name, key) == 0)
            return KEY_KNOWN;
        if (strncmp(name, key, len) == 0 && name[len] == '.')
            state = KEY_ABOVE_KNOWN;
    }
    return state;
}

static void
find_unknown(Import *im, const Names *known, const Tree *map, const char *prefix, Names *unknown)
{
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i];
        const char *key = arena_printf(im->arena, "%s%s", prefix, t->key);
        const KeyState state = key_state(known, key);
        if (t->kind == TREE_NULL || state == KEY_KNOWN)
            continue;
        if (state == KEY_ABOVE_KNOWN && t->kind == TREE_MAP)
            find_unknown(im, known, t, arena_printf(im->arena, "%s.", key), unknown);
        else
            names_put(im, unknown, key, strlen(key));
    }
}

/* One line, however many there are. */
static void
note_unknown(Import *im, const Tree *family, const Tree *layout)
{
    enum { SHOWN = 40 };
    const Names known = names_known(im, family, layout);
    Names unknown = {0};
    find_unknown(im, &known, im->config, "", &unknown);
    if (unknown.count == 0)
        return;
    StrBuf list = {0};
    for (int i = 0; i < unknown.count && i < SHOWN; i++) {
        const char *near = strchr(unknown.names[i], '.') /* all of one map are near */
                               ? NULL
                               : nearest_name(unknown.names[i], known.names, (size_t)known.count,
                                              sizeof *known.names);
        sb_printf(&list, "%s%s", i ? ", " : "", unknown.names[i]);
        if (near)
            sb_printf(&list, " (is %s meant?)", near);
    }
    if (unknown.count > SHOWN)
        sb_printf(&list, " and %d more", unknown.count - SHOWN);
    diag_note(im->diag, (SrcLoc){.source = im->config->loc.source},
              "keys that family %s, layout %s, does not know, and that change nothing here: %s",
              im->family, im->layout, sb_text(&list));
    sb_free(&list);
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
    return sb_finish(&sb, arena);
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
        if (choices->items[0]->kind == TREE_NULL)
            diag_error(im->diag, has->loc, "%s is %s; a model with a %s cannot be compiled",
                       choices->key, tree_text(im->arena, has), choices->key);
        else
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
    if (b || !strpbrk(text, " +-*/(")) {
        const bool set = b && strcmp(tree_text(im->arena, b->value.tree), "'auto'") != 0;
        return set ? tree_copy(im->arena, b->value.tree) : NULL;
    }
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
import_layout(Import *im, const Tree *family, const Tree *layout)
{
    const Tree *defaults = tree_get(layout, "defaults");
    const int before = diag_errors(im->diag);
    im->layout = tree_get(layout, "layout")->text;
    if (defaults)
        bind_config(im, defaults, "", false);
    bind_config(im, im->config, "", true);
    bind_implied(im, tree_get(layout, "implied"));
    check_required(im, tree_get(layout, "required"));
    check_only(im, tree_get(family, "only"));
    check_only(im, tree_get(layout, "only"));
    if (diag_errors(im->diag) != before)
        return NULL;
    check_sizes(im, tree_get(layout, "checks"));
    Tree *model = instantiate(im, tree_get(layout, "model"));
    tree_put(im->arena, model, "family", tree_scalar(im->arena, im->family, im->config->loc));
    if (diag_errors(im->diag) != before)
        return NULL;
    note_unknown(im, family, layout);
    return model;
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
                return import_layout(&im, list[i].tree, layouts->items[k]);
    }
    unknown_layout(&im, list, count);
    return NULL;
}
