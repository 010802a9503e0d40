/* grammar/schema_object.c -- objects of a schema: their properties, in the order in which they are
 * written, then others. */
#include <string.h>

#include "grammar/schema.h"

typedef struct {
    const char *name;
    bool required;
    bool never;          /* its schema is false */
    json_object *schema; /* NULL: anything */
    int rule;            /* of "name": value */
} Property;

typedef struct {
    Property *at;
    int count, cap;
} Properties;

static Expr *
comma(const Schema *s)
{
    return SEQ(s, expr_text(s->arena, ","), schema_rule(s, "ws"));
}

static Expr *
colon(const Schema *s)
{
    return SEQ(s, expr_text(s->arena, ":"), schema_rule(s, "ws"));
}

/* ---- names that are none of the properties -------------------------------------------------- */

static Expr *
some_chars(const Schema *s)
{
    return expr_repeat(s->arena, schema_rule(s, "json-raw"), 0, -1);
}

/* What may follow the first `len` bytes, which all names [count] (sorted) begin with, so that the
 * text is none of them. */
static Expr *
other_text(const Schema *s, const char *const *names, int count, size_t len)
{
    bool is_name = false;
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    Range *taken = arena_array(s->arena, (size_t)count + 3, sizeof *taken);
    int ntaken = 0;
    for (int i = 0; i < count;) {
        if (!names[i][len]) {
            is_name = true;
            i++;
            continue;
        }
        const size_t n = utf8_length(names[i] + len, strlen(names[i] + len));
        int same = i + 1;
        while (same < count && strncmp(names[same] + len, names[i] + len, n) == 0)
            same++;
        Expr *rest = other_text(s, names + i, same - i, len + n);
        const uint32_t code = utf8_code(names[i] + len, n);
        taken[ntaken++] = (Range){code, code};
        if (code >= 0x20 && code != '"' && code != '\\')
            expr_add(s->arena, alt, SEQ(s, expr_bytes(s->arena, names[i] + len, n), rest));
        i = same;
    }
    taken[ntaken++] = (Range){0, 0x1F};
    taken[ntaken++] = (Range){'"', '"'};
    taken[ntaken++] = (Range){'\\', '\\'};
    expr_add(s->arena, alt, SEQ(s, expr_class(s->arena, taken, ntaken, true), some_chars(s)));
    if (!is_name)
        expr_add(s->arena, alt, expr_text(s->arena, ""));
    return alt;
}

static int
name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name without escapes, as one with them could spell a property's. */
static Expr *
other_name(const Schema *s, const Properties *p, const Way *way)
{
    enum { MOST_NAME = 100 };
    const char **names = arena_array(s->arena, (size_t)p->count + 1, sizeof *names);
    for (int i = 0; i < p->count; i++) {
        names[i] = p->at[i].name;
        if (strlen(names[i]) > MOST_NAME) {
            schema_fault(s, way, "additionalProperties",
                         "not supported beside a property whose name is longer than 100 bytes");
            return NULL;
        }
    }
    qsort(names, (size_t)p->count, sizeof *names, name_order);
    Expr *quote = expr_text(s->arena, "\"");
    return SEQ(s, quote, other_text(s, names, p->count, 0), quote);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool
is_required(json_object *list, const char *name)
{
    const size_t count = list ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name) == 0)
            return true;
    return false;
}

static bool
add_property(Schema *s, Properties *p, const char *name, bool required, json_object *schema,
             bool anything, const Way *way)
{
    size_t bad = 0;
    if (!utf8_valid(name, strlen(name), &bad))
        return schema_fault(s, way, "properties", "a name that is not UTF-8");
    const bool never = !anything && !required && json_object_is_type(schema, json_type_boolean) &&
                       !json_object_get_boolean(schema);
    const Property property = {name, required, never, schema, -1};
    VEC_PUSH(s->arena, p->at, p->count, p->cap, property);
    return true;
}

static bool
check_required(const Schema *s, json_object *schema, const Way *way)
{
    json_object *list = schema_key(schema, KEY_required);
    const size_t count =
        json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    bool good = json_object_is_type(list, json_type_array) || !schema_has(schema, KEY_required);
    for (size_t i = 0; i < count; i++)
        good = good && json_object_is_type(json_object_array_get_idx(list, i), json_type_string);
    return good || schema_fault(s, way, "required", "expected a list of names");
}

/* Named properties, then those that are required only. */
static bool
read_properties(Schema *s, json_object *schema, const Way *way, Properties *p)
{
    json_object *named = schema_key(schema, KEY_properties);
    json_object *more = schema_key(schema, KEY_additionalProperties);
    json_object *required = schema_key(schema, KEY_required);
    if (schema_has(schema, KEY_properties) && !json_object_is_type(named, json_type_object))
        return schema_fault(s, way, "properties", "expected an object of schemas");
    if (!check_required(s, schema, way))
        return false;
    if (named) {
        json_object_object_foreach(named, name, value)
        {
            if (!add_property(s, p, name, is_required(required, name), value, false, way))
                return false;
        }
    }
    const size_t count = required ? json_object_array_length(required) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(required, i));
        bool there = named && json_object_object_get_ex(named, name, NULL);
        for (int j = 0; j < p->count; j++)
            there |= strcmp(p->at[j].name, name) == 0;
        if (!there && !add_property(s, p, name, true, more, !more, way))
            return false;
    }
    return true;
}

static bool
make_rules(Schema *s, json_object *schema, const Way *way, Properties *p, int depth)
{
    const Way all_way = way_to(way, "properties");
    json_object *named = schema_key(schema, KEY_properties);
    for (int i = 0; i < p->count; i++) {
        Property *property = &p->at[i];
        const bool is_named = named && json_object_object_get_ex(named, property->name, NULL);
        const Way inner =
            is_named ? way_to(&all_way, property->name) : way_to(way, "additionalProperties");
        json_object *name = schema_keep(s, json_object_new_string(property->name));
        Expr *key = schema_value(s, name, &inner, depth + 1);
        Expr *value = property->schema || is_named
                          ? schema_expr(s, property->schema, &inner, depth + 1)
                          : schema_rule(s, "json");
        if (!key || !value)
            return false;
        property->rule = rules_add(s->rules, property->name, (SrcLoc){0});
        s->rules->rules[property->rule].body = SEQ(s, key, colon(s), value);
    }
    return true;
}

/* Others than those that are named, with commas between and, unless they are the first, before;
 * NULL in *out: none may come. */
static bool
others(Schema *s, json_object *schema, const Way *way, const Properties *p, int depth, Expr **out)
{
    const Way inner = way_to(way, "additionalProperties");
    json_object *more = schema_key(schema, KEY_additionalProperties);
    const bool none =
        !more || (json_object_is_type(more, json_type_boolean) && !json_object_get_boolean(more));
    *out = NULL;
    if (none && (schema_has(schema, KEY_properties) || more))
        return true;
    Expr *value = more ? schema_expr(s, more, &inner, depth + 1) : schema_rule(s, "json");
    Expr *name = other_name(s, p, way);
    if (!value || !name)
        return false;
    const int rule = rules_add(s->rules, "additionalProperties", (SrcLoc){0});
    s->rules->rules[rule].body = SEQ(s, name, colon(s), value);
    *out = expr_rule(s->arena, rule, (SrcLoc){0});
    return true;
}

/* A rule of its own, so that what leads to it in two ways is there once. */
static Expr *
as_rule(Schema *s, Expr *body)
{
    const int rule = rules_add(s->rules, "properties", (SrcLoc){0});
    s->rules->rules[rule].body = body;
    return expr_rule(s->arena, rule, (SrcLoc){0});
}

/* Properties from the last one on: `after` is what may follow a property, `first` what there may be
 * if none has come yet. */
static Expr *
chain(Schema *s, const Properties *p, Expr *other)
{
    Expr *none = expr_text(s->arena, ""), *after = none, *first = none;
    if (other) {
        after = expr_repeat(s->arena, SEQ(s, comma(s), other), 0, -1);
        first = expr_repeat(s->arena, SEQ(s, other, after, schema_rule(s, "ws")), 0, 1);
    }
    for (int i = p->count; i-- > 0;) {
        const Property *property = &p->at[i];
        if (property->never)
            continue;
        Expr *one = expr_rule(s->arena, property->rule, (SrcLoc){0});
        after = as_rule(s, after);
        Expr *begin = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
        expr_add(s->arena, begin, SEQ(s, one, after, schema_rule(s, "ws")));
        if (!property->required)
            expr_add(s->arena, begin, first);
        first = as_rule(s, begin);
        Expr *more = SEQ(s, comma(s), one);
        after = SEQ(s, property->required ? more : expr_repeat(s->arena, more, 0, 1), after);
    }
    return first;
}

Expr *
schema_object(Schema *s, json_object *schema, const Way *way, int depth)
{
    Properties p = {0};
    Expr *other = NULL;
    if (!read_properties(s, schema, way, &p) || !make_rules(s, schema, way, &p, depth) ||
        !others(s, schema, way, &p, depth, &other))
        return NULL;
    return SEQ(s, expr_text(s->arena, "{"), schema_rule(s, "ws"), chain(s, &p, other),
               expr_text(s->arena, "}"));
}
