/* frontend/family.c -- config.json of a published checkpoint to the tree of a model's YAML, by the
 * families' files. */
#include "frontend/family.h"

#include <ctype.h>
#include <string.h>

#include "frontend/embed.h"
#include "frontend/template.h"

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
    const Tree *own;  /* what its file says */
    const Tree *tree; /* with what it has from those that it is like */
} Family;

/* Adds what `from` says and `to` does not: to a map its keys, to a list its entries. */
static void
family_add(Arena *arena, Tree *to, const Tree *from)
{
    for (int i = 0; i < from->count; i++) {
        const Tree *item = from->items[i];
        Tree *own = tree_get(to, item->key);
        if (!own)
            tree_put(arena, to, item->key, tree_copy(arena, item));
        if (!own || own->kind != item->kind || strcmp(item->key, "layouts") == 0)
            continue;
        for (int k = 0; k < item->count; k++) {
            if (own->kind == TREE_LIST)
                tree_push(arena, own, tree_copy(arena, item->items[k]));
            else if (!tree_get(own, item->items[k]->key))
                tree_put(arena, own, item->items[k]->key, tree_copy(arena, item->items[k]));
        }
    }
}

/* With what a family has from the one that it is like, and so on. */
static const Tree *
family_complete(Arena *arena, const Family *list, int count, const Tree *own)
{
    Tree *all = tree_copy(arena, own);
    const Tree *from = own;
    for (int step = 0; from && step < count; step++) {
        const Tree *like = tree_get(from, "like");
        from = NULL;
        for (int i = 0; like && i < count; i++)
            from = strcmp(list[i].name, like->text) == 0 ? list[i].own : from;
        if (from)
            family_add(arena, all, from);
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
        list[count++] = (Family){tree_get(tree, "family")->text, tree, NULL};
    }
    for (int i = 0; i < count; i++)
        list[i].tree = family_complete(arena, list, count, list[i].own);
    *out = list;
    return count;
}

/* ---- tensor names --------------------------------------------------------------------------- */

/* The number that a mark <a> .. <z> is, or -1: the pattern has none here. */
static int
mark_at(const char *pattern)
{
    const bool is =
        pattern[0] == '<' && pattern[1] >= 'a' && pattern[1] <= 'z' && pattern[2] == '>';
    return is ? pattern[1] - 'a' : -1;
}

static bool
spelling_is_good(const Tree *t, Diag *diag)
{
    if (t->kind == TREE_SCALAR && t->text[0] && !strchr(t->text, '|'))
        return true;
    return diag_error(diag, t->loc, "a tensor name is a text without '|'");
}

/* {made: RULE <i>}: what runtime/init.def makes for layer <i>, where a checkpoint lacks the weight.
 */
static bool
made_is_good(const Tree *t, Diag *diag)
{
    const Tree *made = tree_get(t, "made");
    const char *space = tree_is(made, TREE_SCALAR) ? strchr(made->text, ' ') : NULL;
    return (t->count == 1 && space && mark_at(space + 1) >= 0 && !space[4] &&
            !strpbrk(made->text, "|+")) ||
           diag_error(diag, t->loc,
                      "a weight that a checkpoint may lack is {made: RULE <i>}: a rule that fills "
                      "weights, and the mark of the layer's number");
}

/* {rows: [names]}, or {stack: name with <e>, or a list of them}. */
static bool
members_are_good(const Tree *t, Diag *diag)
{
    if (tree_get(t, "made"))
        return made_is_good(t, diag);
    const Tree *rows = tree_get(t, "rows"), *stack = tree_get(t, "stack");
    const Tree *const *list = stack ? &stack : NULL;
    int count = stack != NULL;
    if (tree_is(stack ? stack : rows, TREE_LIST)) {
        list = (const Tree *const *)(stack ? stack : rows)->items;
        count = (stack ? stack : rows)->count;
    }
    bool ok = t->count == 1 && count > 0;
    for (int i = 0; ok && stack && i < count; i++)
        ok = tree_is(list[i], TREE_SCALAR) && strstr(list[i]->text, "<e>");
    if (!ok)
        diag_error(diag, t->loc,
                   "a weight of several tensors is {rows: [NAME, NAME ...]}, whose rows follow one "
                   "another, or {stack: NAME}, with <e> in the name for 0, 1, 2 ..., or {stack: "
                   "[NAME, NAME ...]}, whose rows follow one another in each");
    for (int i = 0; ok && i < count; i++)
        ok = spelling_is_good(list[i], diag);
    for (int i = 0; ok && i < count; i++)
        if (strchr(list[i]->text, '+')) {
            diag_error(diag, list[i]->loc, "the name of one of several tensors has no '+'");
            ok = false;
        }
    return ok;
}

static bool
spellings_are_good(const Tree *map, Diag *diag)
{
    bool ok = true;
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i], *const *list = &t;
        int count = 1;
        if (t->kind == TREE_LIST && t->count > 0) {
            list = (const Tree *const *)t->items;
            count = t->count;
        }
        for (int k = 0; k < count; k++)
            ok &= list[k]->kind == TREE_MAP ? members_are_good(list[k], diag)
                                            : spelling_is_good(list[k], diag);
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
        const Tree *item = ignored->items[i], *noted = tree_get(item, "names");
        const Tree *note = tree_get(item, "note");
        const Tree *pattern = noted ? noted : item;
        ok &= spelling_is_good(pattern, diag);
        int count = names->nignored;
        VEC_PUSH(names->arena, names->notes, count, names->cap_notes, note ? note->text : NULL);
        VEC_PUSH(names->arena, names->ignored, names->nignored, names->cap_ignored, pattern->text);
    }
    return ok;
}

/* Once, also where several families have it. */
static void
add_prefix(TensorNames *names, const Tree *prefix)
{
    for (int i = 0; i < names->nprefixes; i++)
        if (strcmp(names->prefixes[i]->key, prefix->key) == 0 &&
            strcmp(names->prefixes[i]->text, prefix->text) == 0)
            return;
    VEC_PUSH(names->arena, names->prefixes, names->nprefixes, names->cap_prefixes, prefix);
}

bool
tensor_names_add_family(TensorNames *names, const char *name, SrcLoc loc, Diag *diag)
{
    Family *list = NULL;
    const int count = families_load(names->arena, &list);
    bool found = name == NULL;
    for (int i = 0; i < count; i++) {
        if (name ? strcmp(list[i].name, name) != 0 : !tree_get(list[i].own, "tensors"))
            continue; /* its names are those of the family that it is like */
        found = true;
        const Tree *tree = name ? list[i].tree : list[i].own;
        tensor_names_add(names, tree_get(tree, "tensors"), tree_get(tree, "ignored"), diag);
        const Tree *prefixes = tree_get(tree, "prefixes");
        for (int k = 0; prefixes && k < prefixes->count; k++)
            add_prefix(names, prefixes->items[k]);
    }
    return found || name_unknown(diag, loc, "family", name, list, (size_t)count, sizeof *list);
}

/* What <i>, <j> and so on, and * of a pattern stand for in a name. */
typedef struct {
    const char *number['z' - 'a' + 1], *rest;
    size_t number_len['z' - 'a' + 1];
} Match;

static bool
pattern_fits(const char *pattern, const char *name, Match *out)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            out->rest = name;
            return true;
        }
        const int mark = mark_at(pattern);
        if (mark >= 0) {
            out->number[mark] = name;
            out->number_len[mark] = strspn(name, "0123456789");
            if (out->number_len[mark] == 0)
                return false;
            name += out->number_len[mark];
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

/* A pattern with what its marks stand for; e: <e>, -1: it is no mark. */
static void
put_name(StrBuf *out, const char *pattern, const Match *m, int64_t e)
{
    for (const char *p = pattern; *p; p++) {
        const int mark = mark_at(p);
        if (*p == '*' && m->rest) {
            sb_puts(out, m->rest);
        } else if (mark == 'e' - 'a' && e >= 0) {
            sb_printf(out, "%lld", (long long)e);
            p += 2;
        } else if (mark >= 0 && m->number[mark]) {
            sb_putn(out, m->number[mark], m->number_len[mark]);
            p += 2;
        } else {
            sb_putn(out, p, 1);
        }
    }
}

/* Whether the text, from `from` on, is one of the spellings before it. */
static bool
is_repeated(const StrBuf *out, size_t from)
{
    const char *text = sb_text(out), *last = text + from;
    const size_t len = strlen(last);
    for (const char *at = text; at < last; at += strcspn(at, "|") + 1)
        if (strncmp(at, last, len) == 0 && at[len] == '|')
            return true;
    return false;
}

/* first: the weight's first dimension, as many as a stack has. A spelling is put once. */
static void
put_spelling(StrBuf *out, const Tree *t, const Match *m, int64_t first, int64_t layers)
{
    enum { MOST_STACKED = 1 << 16 };
    const Tree *rows = t->kind == TREE_MAP ? tree_get(t, "rows") : NULL;
    const Tree *stack = t->kind == TREE_MAP ? tree_get(t, "stack") : NULL;
    const Tree *made = t->kind == TREE_MAP ? tree_get(t, "made") : NULL;
    if (stack && (first < 1 || first > MOST_STACKED))
        return;
    const size_t before = out->len;
    sb_puts(out, out->len ? "|" : "");
    const size_t from = out->len;
    if (t->kind == TREE_SCALAR)
        put_name(out, t->text, m, -1);
    if (made) {
        sb_puts(out, "made: "); /* RT_MADE of runtime/rt.h */
        put_name(out, made->text, m, -1);
        sb_printf(out, " of %lld", (long long)layers);
    }
    for (int i = 0; rows && i < rows->count; i++) {
        sb_puts(out, i ? "+" : "");
        put_name(out, rows->items[i]->text, m, -1);
    }
    const int each = tree_is(stack, TREE_LIST) ? stack->count : 1;
    for (int64_t e = 0; stack && e < first * each; e++) {
        sb_puts(out, e ? "+" : "");
        put_name(out, stack->kind == TREE_LIST ? stack->items[e % each]->text : stack->text, m,
                 e / each);
    }
    if (is_repeated(out, from)) {
        out->len = before;
        out->text[before] = '\0';
    }
}

static void
put_spellings(StrBuf *out, const Tree *map, const char *weight, int64_t first, int64_t layers)
{
    for (int i = 0; i < map->count; i++) {
        const Tree *t = map->items[i];
        Match m = {0};
        if (!pattern_fits(t->key, weight, &m))
            continue;
        if (t->kind != TREE_LIST)
            put_spelling(out, t, &m, first, layers);
        for (int k = 0; t->kind == TREE_LIST && k < t->count; k++)
            put_spelling(out, t->items[k], &m, first, layers);
        return;
    }
}

/* Puts those of the spellings that have names with the prefix, once more with the other. */
static void
put_renamed(StrBuf *out, const char *spellings, const Tree *prefix)
{
    const size_t len = strlen(prefix->key);
    for (const char *at = spellings, *end; *at; at = end + (*end == '|')) {
        const size_t before = out->len;
        bool renamed = false;
        end = at + strcspn(at, "|");
        for (const char *name = at, *next; name < end; name = next) {
            const bool has = strncmp(name, prefix->key, len) == 0;
            next = name + strcspn(name, "+|");
            next += *next == '+';
            sb_puts(out, name == at ? "|" : "");
            sb_puts(out, has ? prefix->text : "");
            name += has ? len : 0;
            sb_putn(out, name, (size_t)(next - name));
            renamed = renamed || has;
        }
        if (!renamed) {
            out->len = before;
            out->text[before] = '\0';
        }
    }
}

const char *
tensor_names_of(const TensorNames *names, const char *weight, int64_t first, int64_t layers)
{
    StrBuf sb = {0};
    if (names->own)
        sb_puts(&sb, weight);
    for (int i = 0; i < names->nmaps; i++)
        put_spellings(&sb, names->maps[i], weight, first, layers);
    if (sb.len == 0)
        sb_puts(&sb, weight);
    for (int i = 0; i < names->nprefixes; i++)
        put_renamed(&sb, arena_printf(names->arena, "%s", sb_text(&sb)), names->prefixes[i]);
    return sb_finish(&sb, names->arena);
}

/* ---- names of config keys ------------------------------------------------------------------- */

/* The length of the next name in an expression, and *at moves to it; 0: there is none. Functions
 * are no names. */
static size_t
name_next(const char **at)
{
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
    size_t len;
    do {
        *at += strcspn(*at, LETTERS "0123456789");
        len = strspn(*at, LETTERS "0123456789.");
        if (!len || (!isdigit((unsigned char)**at) && (*at)[len] != '('))
            return len;
        *at += len;
    } while (true);
#undef LETTERS
}

/* The value of a config key as an expression sees it. */
static FeValue
config_value(Arena *arena, const Tree *t, bool given)
{
    static const SpecKind kinds[] = {SPEC_BOOL, SPEC_INT, SPEC_NUM, SPEC_ANY};
    FeValue v = {.kind = t->kind == TREE_LIST ? SPEC_LIST : SPEC_MAP, .tree = t, .loc = t->loc};
    for (size_t i = 0; t->kind == TREE_SCALAR && i < COUNT_OF(kinds); i++) {
        const Spec any = {.kind = kinds[i], .low = -1e300, .high = 1e300, .words = ""};
        if (spec_try(arena, &any, t, &v))
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
        if (t->kind == TREE_NULL || (t->kind == TREE_SCALAR && strcmp(t->text, "auto") == 0))
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

/* Binds the key to what an alternative says; false: that cannot be had. */
static bool
bind_alternative(Import *im, const char *key, const Tree *t)
{
    const Tree *word = tree_get(t, "word"), *when = tree_get(t, "when");
    Expr condition = {.arena = im->arena, .scope = &im->scope};
    if (when &&
        (!expr_eval(&condition, when->text, strlen(when->text)) || condition.value.num == 0))
        return false; /* also where a key of the condition is not there */
    if (when)
        return bind_alternative(im, key, tree_get(t, "is"));
    if (word) {
        scope_bind(im->arena, &im->scope, key, config_value(im->arena, word, false), NULL);
        return true;
    }
    if (!tree_is(t, TREE_SCALAR) || !names_are_known(im, t->text))
        return false;
    const Binding *same = find_key(im, t->text);
    Expr e = {.arena = im->arena, .scope = &im->scope};
    if (same) {
        scope_bind(im->arena, &im->scope, key, same->value, NULL);
    } else if (!expr_eval(&e, t->text, strlen(t->text))) {
        expr_fault(&e, t->loc, im->config->loc, im->diag);
    } else {
        const Tree *value =
            tree_scalar(im->arena, expr_number_text(im->arena, e.value), im->config->loc);
        scope_bind(im->arena, &im->scope, key, config_value(im->arena, value, false), &e);
    }
    return true;
}

/* A key that config.json leaves out is given the value of the first of its expressions that can be
 * had. */
static void
bind_implied(Import *im, const Tree *implied)
{
    for (int i = 0; implied && i < implied->count; i++) {
        const Tree *t = implied->items[i];
        const bool list = t->kind == TREE_LIST;
        bool bound = find_key(im, t->key) != NULL;
        for (int k = 0; k < (list ? t->count : 1) && !bound; k++)
            bound = bind_alternative(im, t->key, list ? t->items[k] : t);
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
    if (!tree_is(t, TREE_SCALAR))
        return;
    const bool when = t->key && strcmp(t->key, "when") == 0;
    if (is_template && !when && t->text[0] != '=')
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
    names_of_items(im, &names, tree_get(family, "implied"));
    names_of_expressions(im, &names, tree_get(family, "implied"), false);
    names_of_expressions(im, &names, tree_get(family, "includes"), true);
    names_of_expressions(im, &names, tree_get(layout, "implied"), false);
    names_of_expressions(im, &names, tree_get(family, "checks"), false);
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

/* ---- the model ------------------------------------------------------------------------------- */

/* ---- a config.json of no family ---------------------------------------------------------------
 */

/* What can be read of any config.json, as the description of a model to start from: `sketch` of the
 * family that has one. */
static void
note_sketch(Import *im, const Family *families, int count)
{
    const Tree *sketch = NULL;
    for (int i = 0; i < count && !sketch; i++)
        sketch = tree_get(families[i].own, "sketch");
    bind_config(im, im->config, "", true);
    bind_implied(im, tree_get(sketch, "implied"));
    const Template template = {.arena = im->arena,
                               .diag = im->diag,
                               .scope = &im->scope,
                               .config = im->config,
                               .family = "?",
                               .layout = "sketch"};
    const Tree *model = sketch ? template_fill(&template, tree_get(sketch, "model")) : NULL;
    if (!model)
        return;
    StrBuf yaml = {0};
    tree_print(&yaml, model);
    diag_note(im->diag, (SrcLoc){.source = im->config->loc.source},
              "a model can be described in YAML (ssmc help keys); what was recognised here, as a "
              "beginning of that, with blocks to be chosen and `tensors:` to be named:\n%s",
              sb_text(&yaml));
    sb_free(&yaml);
}

/* What chooses each of a list, for messages. */
static void
put_matches(StrBuf *out, const Tree *list)
{
    for (int k = 0; list && k < list->count; k++) {
        const Tree *match = tree_get(list->items[k], "match");
        if (tree_get(list->items[k], "any"))
            continue; /* a variant of another layout, which says the rest */
        if (match->items[0]->kind == TREE_SCALAR)
            sb_printf(out, "%s%s \"%s\"", out->len ? ", " : "", match->items[0]->key,
                      match->items[0]->text);
    }
}

static void
unknown_layout(Import *im, const Family *families, int count)
{
    StrBuf known = {0};
    for (int i = 0; i < count; i++) {
        put_matches(&known, tree_get(families[i].tree, "layouts"));
        put_matches(&known, tree_get(families[i].own, "within"));
    }
    const Tree *type = tree_get(im->config, "model_type");
    if (type)
        diag_error(im->diag, type->loc, "model_type is %s; known are %s",
                   tree_text(im->arena, type), sb_text(&known));
    else
        diag_error(im->diag, im->config->loc,
                   "this config.json is of no family known here; known are %s", sb_text(&known));
    sb_free(&known);
    note_sketch(im, families, count);
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
    bind_implied(im, tree_get(family, "implied"));
    check_required(im, tree_get(layout, "required"));
    check_only(im, tree_get(family, "only"));
    check_only(im, tree_get(layout, "only"));
    if (diag_errors(im->diag) != before)
        return NULL;
    check_sizes(im, tree_get(family, "checks"));
    check_sizes(im, tree_get(layout, "checks"));
    const Template template = {.arena = im->arena,
                               .diag = im->diag,
                               .scope = &im->scope,
                               .config = im->config,
                               .includes = tree_get(family, "includes"),
                               .implied = tree_get(family, "implied"),
                               .family = im->family,
                               .layout = im->layout};
    Tree *model = template_fill(&template, tree_get(layout, "model"));
    if (!model)
        return NULL;
    tree_put(im->arena, model, "family", tree_scalar(im->arena, im->family, im->config->loc));
    if (diag_errors(im->diag) != before)
        return NULL;
    note_unknown(im, family, layout);
    return model;
}

/* ---- a language model that is a part of another ---------------------------------------------- */

/* `within` of a family: {match, key, outside}. What config.json says of the language model, with
 * what it is told beside it; where that is all it describes, the whole. NULL: the fault is in diag.
 */
static const Tree *
language_part(const Import *im, const Family *families, int count)
{
    const Tree *found = NULL;
    for (int i = 0; i < count && !found; i++) {
        const Tree *within = tree_get(families[i].own, "within");
        for (int k = 0; within && k < within->count && !found; k++)
            found = layout_matches(within->items[k], im->config) ? within->items[k] : NULL;
    }
    if (!found)
        return im->config;
    const char *key = tree_get(found, "key")->text;
    const Tree *part = tree_get(im->config, key);
    if (!tree_is(part, TREE_MAP)) {
        diag_error(im->diag, part ? part->loc : im->config->loc,
                   part ? "%s is no object; it describes the language model"
                        : "the key '%s' is missing; it describes the language model",
                   key);
        return NULL;
    }
    diag_note(im->diag, (SrcLoc){.source = im->config->loc.source},
              "the language model alone is compiled: what %s describes", key);
    Tree *all = tree_copy(im->arena, part);
    const Tree *outside = tree_get(found, "outside");
    for (int i = 0; outside && i < outside->count; i++) {
        const Tree *beside = tree_get(im->config, outside->items[i]->text);
        if (beside && !tree_get(all, beside->key))
            tree_put(im->arena, all, beside->key, tree_copy(im->arena, beside));
    }
    return all;
}

Tree *
family_import(Arena *arena, const Source *config, Diag *diag)
{
    Import im = {.arena = arena, .diag = diag};
    im.config = json_parse(arena, config, diag);
    if (!im.config)
        return NULL;
    if (im.config->kind != TREE_MAP) {
        diag_error(diag, im.config->loc, "a config.json holds an object, this is %s",
                   tree_text(arena, im.config));
        return NULL;
    }
    Family *list = NULL;
    const int count = families_load(arena, &list);
    im.config = language_part(&im, list, count);
    if (!im.config)
        return NULL;
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
