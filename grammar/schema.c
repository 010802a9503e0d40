/* grammar/schema.c -- a JSON schema (draft 2020-12) becomes rules of the texts that it allows.
 *
 * What a grammar cannot say, or what is not known here, is refused, with the place. Of the texts
 * that a schema allows some are left out: properties come in the order in which the schema has
 * them, and none that it does not name unless additionalProperties says so; values of enum and
 * const, and names, are written in one way; numbers have up to 18 digits before the point and 17
 * behind, and exponents 2; white space is that of json.gbnf. */
#include "grammar/schema.h"

#include <string.h>

enum { MOST_PARTS = 20000, MOST_NEST = 200 };

const KeywordInfo keyword_info[KEY_COUNT] = {
#define KEYWORD(id, name, about) [KEY_##id] = {name, ABOUT_##about},
#include "grammar/schema.def"
};

Keyword
keyword_named(const char *name)
{
    Keyword key = 0;
    while (key < KEY_COUNT && strcmp(keyword_info[key].name, name) != 0)
        key++;
    return key;
}

/* ---- messages ------------------------------------------------------------------------------- */

Way
way_to(const Way *up, const char *key)
{
    return (Way){up, key};
}

/* As JSON pointers escape their parts. */
static void
put_way(StrBuf *out, const Way *way)
{
    if (way->up) {
        put_way(out, way->up);
        sb_puts(out, "/");
    }
    for (const char *c = way->key; *c; c++) {
        if (*c == '~' || *c == '/')
            sb_puts(out, *c == '~' ? "~0" : "~1");
        else
            sb_putn(out, c, 1);
    }
}

bool
schema_fault(const Schema *s, const Way *way, const char *key, const char *fmt, ...)
{
    StrBuf at = {0}, what = {0};
    const Way inner = way_to(way, key);
    put_way(&at, key ? &inner : way);
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&what, fmt, args);
    va_end(args);
    diag_error(s->rules->diag, s->rules->whole, "%s: %s", sb_text(&at), sb_text(&what));
    sb_free(&at);
    sb_free(&what);
    return false;
}

/* ---- reading -------------------------------------------------------------------------------- */

json_object *
schema_key(json_object *schema, Keyword key)
{
    json_object *value = NULL;
    if (json_object_is_type(schema, json_type_object))
        json_object_object_get_ex(schema, keyword_info[key].name, &value);
    return value;
}

bool
schema_has(json_object *schema, Keyword key)
{
    return json_object_is_type(schema, json_type_object) &&
           json_object_object_get_ex(schema, keyword_info[key].name, NULL);
}

bool
schema_count(const Schema *s, json_object *schema, const Way *way, Keyword key, int64_t otherwise,
             int64_t *out)
{
    const char *name = keyword_info[key].name;
    *out = otherwise;
    if (!schema_has(schema, key))
        return true;
    json_object *value = schema_key(schema, key);
    const bool real = json_object_is_type(value, json_type_double);
    const double number =
        real || json_object_is_type(value, json_type_int) ? json_object_get_double(value) : -1;
    if (!(number >= 0) || number != (double)(int64_t)(number < 1e15 ? number : 0.5))
        return schema_fault(s, way, name, "expected a number, 0 or more, not %s",
                            json_object_to_json_string(value));
    if (number > MOST_REPEATS)
        return schema_fault(s, way, name, "%s is more than is supported, 100000",
                            json_object_to_json_string(value));
    *out = (int64_t)number;
    return true;
}

static const struct {
    const char *name;
    Type type;
} types[] = {
    {"null",    TYPE_null   },
    {"boolean", TYPE_boolean},
    {"integer", TYPE_integer},
    {"number",  TYPE_number },
    {"string",  TYPE_string },
    {"object",  TYPE_object },
    {"array",   TYPE_array  },
};

static unsigned
type_named(json_object *name)
{
    const char *text =
        json_object_is_type(name, json_type_string) ? json_object_get_string(name) : "";
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (strcmp(types[i].name, text) == 0)
            return types[i].type;
    return 0;
}

unsigned
schema_types(const Schema *s, json_object *schema, const Way *way)
{
    if (!schema_has(schema, KEY_type))
        return TYPE_all;
    json_object *type = schema_key(schema, KEY_type);
    const bool list = json_object_is_type(type, json_type_array);
    const size_t count = list ? json_object_array_length(type) : 1;
    unsigned found = 0;
    for (size_t i = 0; i < count; i++) {
        json_object *name = list ? json_object_array_get_idx(type, i) : type;
        const unsigned one = type_named(name);
        if (!one) {
            schema_fault(s, way, "type",
                         "%s is no type; there are null, boolean, integer, number, string, object "
                         "and array",
                         json_object_to_json_string(name));
            return 0;
        }
        found |= one;
    }
    if (!found)
        schema_fault(s, way, "type", "a list of no types");
    return found & TYPE_number ? found & ~(unsigned)TYPE_integer : found;
}

json_object *
schema_target(Schema *s, json_object *schema, const Way *way)
{
    json_object *ref = schema_key(schema, KEY_ref), *target = NULL;
    const char *text =
        json_object_is_type(ref, json_type_string) ? json_object_get_string(ref) : "";
    if (text[0] != '#' || (text[1] && text[1] != '/')) {
        schema_fault(
            s, way, "$ref",
            "%s: what is referred to must be in the schema itself: \"#\" or a pointer such "
            "as \"#/$defs/NAME\"",
            json_object_to_json_string(ref));
        return NULL;
    }
    if (!text[1])
        return s->root;
    if (strchr(text, '%') || json_pointer_get(s->root, text + 1, &target) != 0 ||
        !(json_object_is_type(target, json_type_object) ||
          json_object_is_type(target, json_type_boolean))) {
        schema_fault(s, way, "$ref", "there is no schema at \"%s\"", text);
        return NULL;
    }
    return target;
}

json_object *
schema_keep(Schema *s, json_object *made)
{
    VEC_PUSH(s->arena, s->made, s->nmade, s->capmade, made);
    return made;
}

/* ---- expressions ---------------------------------------------------------------------------- */

Expr *
schema_rule(const Schema *s, const char *name)
{
    return expr_rule(s->arena, rules_find(s->rules, name), (SrcLoc){0});
}

Expr *
schema_seq(const Schema *s, Expr *const *items, int count)
{
    Expr *seq = expr_new(s->arena, EXPR_seq, (SrcLoc){0});
    for (int i = 0; i < count; i++)
        expr_add(s->arena, seq, items[i]);
    return seq;
}

static Expr *
any_of(Schema *s, json_object *schema, const Way *way, Keyword key, int depth)
{
    const Way list_way = way_to(way, keyword_info[key].name);
    json_object *list = schema_key(schema, key);
    json_object *base = schema_without(s, schema, key);
    const size_t count =
        json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    if (count == 0) {
        schema_fault(s, &list_way, NULL, "expected a list of schemas");
        return NULL;
    }
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    for (size_t i = 0; i < count; i++) {
        const Way branch_way = way_to(&list_way, arena_printf(s->arena, "%zu", i));
        json_object *branch = json_object_array_get_idx(list, i);
        for (size_t j = 0; key == KEY_oneOf && j < i; j++)
            if (!schema_disjoint(s, json_object_array_get_idx(list, j), branch, &branch_way, 0)) {
                schema_fault(
                    s, &branch_way, NULL,
                    "a value might be of this and of number %zu, which oneOf forbids and a "
                    "grammar cannot count: make them differ in type or in a required "
                    "property that is const or enum in both, or use anyOf",
                    j);
                return NULL;
            }
        json_object *merged = schema_merge(s, base, branch, &branch_way);
        Expr *e = merged ? schema_expr(s, merged, &branch_way, depth + 1) : NULL;
        if (!e)
            return NULL;
        expr_add(s->arena, alt, e);
    }
    return alt;
}

static Expr *
all_of(Schema *s, json_object *schema, const Way *way, int depth)
{
    const Way list_way = way_to(way, "allOf");
    json_object *list = schema_key(schema, KEY_allOf);
    json_object *merged = schema_without(s, schema, KEY_allOf);
    const size_t count =
        json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    if (count == 0) {
        schema_fault(s, &list_way, NULL, "expected a list of schemas");
        return NULL;
    }
    for (size_t i = 0; i < count && merged; i++) {
        const Way part = way_to(&list_way, arena_printf(s->arena, "%zu", i));
        merged = schema_merge(s, merged, json_object_array_get_idx(list, i), &part);
    }
    return merged ? schema_expr(s, merged, way, depth + 1) : NULL;
}

/* Whether nothing but $ref says something. */
static bool
only_refers(json_object *schema)
{
    json_object_object_foreach(schema, name, value)
    {
        (void)value;
        const Keyword key = keyword_named(name);
        if (key != KEY_ref && (key == KEY_COUNT || keyword_info[key].about != ABOUT_NOTE))
            return false;
    }
    return true;
}

/* What is referred to is a rule of its own, made once, so that schemas may be recursive. */
static Expr *
ref_expr(Schema *s, json_object *schema, const Way *way, int depth)
{
    json_object *target = schema_target(s, schema, way);
    if (!target)
        return NULL;
    if (!only_refers(schema)) {
        json_object *merged = schema_merge(s, target, schema_without(s, schema, KEY_ref), way);
        return merged ? schema_expr(s, merged, way, depth + 1) : NULL;
    }
    for (int i = 0; i < s->nrefs; i++)
        if (s->refs[i].target == target)
            return expr_rule(s->arena, s->refs[i].rule, (SrcLoc){0});
    const char *name = json_object_get_string(schema_key(schema, KEY_ref));
    const int rule = rules_add(s->rules, arena_strdup(s->arena, name), (SrcLoc){0});
    const SchemaRef ref = {target, rule};
    VEC_PUSH(s->arena, s->refs, s->nrefs, s->caprefs, ref);
    const Way target_way = {NULL, name};
    Expr *body = schema_expr(s, target, &target_way, depth + 1);
    s->rules->rules[rule].body = body;
    return body ? expr_rule(s->arena, rule, (SrcLoc){0}) : NULL;
}

Expr *
schema_value(Schema *s, json_object *value, const Way *way, int depth)
{
    enum { PLAIN = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE };
    const bool list = json_object_is_type(value, json_type_array);
    if (depth > MOST_NEST) {
        schema_fault(s, way, NULL, "a value that is nested too deeply");
        return NULL;
    }
    if (!list && !json_object_is_type(value, json_type_object)) {
        const char *text = json_object_to_json_string_ext(value, PLAIN);
        size_t bad = 0;
        if (utf8_valid(text, strlen(text), &bad))
            return expr_text(s->arena, text);
        schema_fault(s, way, NULL, "a text that is not UTF-8");
        return NULL;
    }
    Expr *seq = SEQ(s, expr_text(s->arena, list ? "[" : "{"), schema_rule(s, "ws"));
    const size_t count =
        list ? json_object_array_length(value) : (size_t)json_object_object_length(value);
    struct json_object_iterator at = {0}, end = {0};
    if (!list) {
        at = json_object_iter_begin(value);
        end = json_object_iter_end(value);
    }
    for (size_t i = 0; i < count && (list || !json_object_iter_equal(&at, &end)); i++) {
        if (i > 0)
            expr_add(s->arena, seq, SEQ(s, expr_text(s->arena, ","), schema_rule(s, "ws")));
        json_object *item =
            list ? json_object_array_get_idx(value, i) : json_object_iter_peek_value(&at);
        if (!list) {
            json_object *name =
                schema_keep(s, json_object_new_string(json_object_iter_peek_name(&at)));
            Expr *e = schema_value(s, name, way, depth + 1);
            if (!e)
                return NULL;
            expr_add(s->arena, seq, e);
            expr_add(s->arena, seq, SEQ(s, expr_text(s->arena, ":"), schema_rule(s, "ws")));
            json_object_iter_next(&at);
        }
        Expr *e = schema_value(s, item, way, depth + 1);
        if (!e)
            return NULL;
        expr_add(s->arena, seq, e);
    }
    if (count > 0)
        expr_add(s->arena, seq, schema_rule(s, "ws"));
    expr_add(s->arena, seq, expr_text(s->arena, list ? "]" : "}"));
    return seq;
}

static unsigned
type_of_value(json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        return TYPE_null;
    case json_type_boolean:
        return TYPE_boolean;
    case json_type_double:
        return TYPE_number;
    case json_type_int:
        return TYPE_number | TYPE_integer;
    case json_type_object:
        return TYPE_object;
    case json_type_array:
        return TYPE_array;
    case json_type_string:
        return TYPE_string;
    }
    return 0;
}

/* enum and const, of which those count whose type fits. */
static Expr *
listed(Schema *s, json_object *schema, const Way *way, unsigned allowed, int depth)
{
    json_object *list = schema_key(schema, KEY_enum);
    const bool one = schema_has(schema, KEY_const);
    if (!one && !json_object_is_type(list, json_type_array)) {
        schema_fault(s, way, "enum", "expected a list of values");
        return NULL;
    }
    json_object_object_foreach(schema, name, ignored)
    {
        (void)ignored;
        const Keyword key = keyword_named(name);
        const bool says = key != KEY_enum && key != KEY_const && key != KEY_type &&
                          keyword_info[key].about != ABOUT_NOTE;
        if (says || (one && key == KEY_enum)) {
            schema_fault(s, way, name,
                         "not supported beside %s: leave out the values that it excludes",
                         one ? "const" : "enum");
            return NULL;
        }
    }
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    const size_t count = one ? 1 : json_object_array_length(list);
    for (size_t i = 0; i < count; i++) {
        json_object *value =
            one ? schema_key(schema, KEY_const) : json_object_array_get_idx(list, i);
        if (!(type_of_value(value) & allowed))
            continue;
        const Way value_way = way_to(way, one ? "const" : "enum");
        Expr *e = schema_value(s, value, &value_way, depth);
        if (!e)
            return NULL;
        expr_add(s->arena, alt, e);
    }
    return alt;
}

static bool
says_about(json_object *schema, About about)
{
    json_object_object_foreach(schema, name, value)
    {
        (void)value;
        const Keyword key = keyword_named(name);
        if (key != KEY_COUNT && keyword_info[key].about == about)
            return true;
    }
    return false;
}

/* Values of one type. */
static Expr *
type_expr(Schema *s, json_object *schema, const Way *way, Type type, int depth)
{
    switch (type) {
    case TYPE_null:
        return schema_rule(s, "json-null");
    case TYPE_boolean:
        return schema_rule(s, "json-boolean");
    case TYPE_integer:
    case TYPE_number:
        if (says_about(schema, ABOUT_NUMBER))
            return schema_number(s, schema, way, type == TYPE_integer);
        return schema_rule(s, type == TYPE_integer ? "json-integer" : "json-number");
    case TYPE_string:
        return says_about(schema, ABOUT_STRING) ? schema_string(s, schema, way)
                                                : schema_rule(s, "json-string");
    case TYPE_object:
        return says_about(schema, ABOUT_OBJECT) ? schema_object(s, schema, way, depth)
                                                : schema_rule(s, "json-object");
    case TYPE_array:
        return says_about(schema, ABOUT_ARRAY) ? schema_array(s, schema, way, depth)
                                               : schema_rule(s, "json-array");
    case TYPE_all:
        break;
    }
    die("no type");
}

static bool
keywords_known(Schema *s, json_object *schema, const Way *way)
{
    json_object_object_foreach(schema, name, value)
    {
        (void)value;
        if (keyword_named(name) == KEY_COUNT)
            return schema_fault(s, way, name, "this keyword is not supported");
    }
    return !schema_has(schema, KEY_id) || !way->up ||
           schema_fault(s, way, "$id", "supported for the whole schema only");
}

Expr *
schema_expr(Schema *s, json_object *schema, const Way *way, int depth)
{
    if (depth > MOST_NEST || ++s->parts > MOST_PARTS || s->rules->count >= MOST_RULES) {
        schema_fault(s, way, NULL,
                     depth > MOST_NEST ? "nested too deeply"
                                       : "the schema has too many parts, with what its "
                                         "anyOf and allOf make of it");
        return NULL;
    }
    if (json_object_is_type(schema, json_type_boolean))
        return json_object_get_boolean(schema) ? schema_rule(s, "json")
                                               : expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    if (!json_object_is_type(schema, json_type_object)) {
        schema_fault(s, way, NULL, "expected a schema: an object, true or false");
        return NULL;
    }
    if (!keywords_known(s, schema, way))
        return NULL;
    if (schema_has(schema, KEY_ref))
        return ref_expr(s, schema, way, depth);
    if (schema_has(schema, KEY_anyOf))
        return any_of(s, schema, way, KEY_anyOf, depth);
    if (schema_has(schema, KEY_oneOf))
        return any_of(s, schema, way, KEY_oneOf, depth);
    if (schema_has(schema, KEY_allOf))
        return all_of(s, schema, way, depth);
    const unsigned allowed = schema_types(s, schema, way);
    if (!allowed)
        return NULL;
    if (schema_has(schema, KEY_enum) || schema_has(schema, KEY_const))
        return listed(s, schema, way, allowed, depth);
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (!(allowed & types[i].type))
            continue;
        Expr *e = type_expr(s, schema, way, types[i].type, depth);
        if (!e)
            return NULL;
        expr_add(s->arena, alt, e);
    }
    return alt;
}

Expr *
schema_value_of(Rules *rules, struct json_object *schema)
{
    Schema s = {.rules = rules, .arena = rules->arena, .root = schema};
    const Way way = {NULL, "#"};
    Expr *value = schema_expr(&s, schema, &way, 0);
    for (int i = 0; i < s.nmade; i++)
        json_object_put(s.made[i]);
    return value;
}

bool
schema_read(Rules *rules, struct json_object *schema)
{
    if (!gbnf_read_json(rules))
        return false;
    rules->rules[0].name = "#";
    Expr *body = schema_value_of(rules, schema);
    rules->rules[0].body = body;
    rules->rules[0].loc = (SrcLoc){0};
    return body;
}
