/* grammar/schema_merge.c -- a schema of what two schemas allow (allOf, and what stands beside anyOf
 * and $ref), and whether two have no value in common (oneOf). */
#include <string.h>

#include "grammar/schema.h"

static void
put(json_object *schema, Keyword key, json_object *value)
{
    json_object_object_add(schema, keyword_info[key].name, value);
}

static json_object *
copy_without(json_object *schema, const char *left_out)
{
    json_object *copy = json_object_new_object();
    json_object_object_foreach(schema, name, value)
    {
        if (!left_out || strcmp(name, left_out) != 0)
            json_object_object_add(copy, name, json_object_get(value));
    }
    return copy;
}

json_object *
schema_without(Schema *s, json_object *schema, Keyword key)
{
    return schema_keep(s, copy_without(schema, keyword_info[key].name));
}

/* {"allOf": [a, b]} */
static json_object *
both(json_object *a, json_object *b)
{
    json_object *list = json_object_new_array(), *schema = json_object_new_object();
    json_object_array_add(list, json_object_get(a));
    json_object_array_add(list, json_object_get(b));
    put(schema, KEY_allOf, list);
    return schema;
}

/* ---- single keywords ------------------------------------------------------------------------ */

static bool
has_text(json_object *list, const char *text)
{
    const size_t count = json_object_array_length(list);
    for (size_t i = 0; i < count; i++) {
        json_object *one = json_object_array_get_idx(list, i);
        if (json_object_is_type(one, json_type_string) &&
            strcmp(json_object_get_string(one), text) == 0)
            return true;
    }
    return false;
}

/* The union of two lists of names. */
static json_object *
merge_required(json_object *a, json_object *b)
{
    json_object *list = json_object_new_array();
    json_object *const lists[] = {a, b};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const size_t count = json_object_array_length(lists[l]);
        for (size_t i = 0; i < count; i++) {
            json_object *name = json_object_array_get_idx(lists[l], i);
            if (!json_object_is_type(name, json_type_string) ||
                !has_text(list, json_object_get_string(name)))
                json_object_array_add(list, json_object_get(name));
        }
    }
    return list;
}

static bool
is_closed(json_object *schema)
{
    json_object *more = schema_key(schema, KEY_additionalProperties);
    return json_object_is_type(more, json_type_boolean) && !json_object_get_boolean(more);
}

/* What schema says of a property: NULL nothing, as one that it does not name may be anything. */
static json_object *
property_of(json_object *schema, const char *name)
{
    json_object *properties = schema_key(schema, KEY_properties), *found = NULL;
    if (json_object_is_type(properties, json_type_object) &&
        json_object_object_get_ex(properties, name, &found))
        return found;
    return schema_key(schema, KEY_additionalProperties);
}

static void
add_properties(json_object *to, json_object *from, json_object *other)
{
    json_object *properties = schema_key(from, KEY_properties);
    if (!json_object_is_type(properties, json_type_object))
        return;
    json_object_object_foreach(properties, name, value)
    {
        json_object *beside = property_of(other, name);
        if (json_object_object_get_ex(to, name, NULL))
            continue;
        json_object_object_add(to, name, beside ? both(value, beside) : json_object_get(value));
    }
}

/* Properties of both, those of `a` first. One that is not allowed by the other has the schema
 * false. */
static json_object *
merge_properties(json_object *a, json_object *b)
{
    json_object *merged = json_object_new_object();
    add_properties(merged, a, b);
    add_properties(merged, b, a);
    return merged;
}

static json_object *
merge_types(Schema *s, json_object *a, json_object *b, const Way *way)
{
    static const struct {
        Type type;
        const char *name;
    } names[] = {
        {TYPE_null,    "null"   },
        {TYPE_boolean, "boolean"},
        {TYPE_integer, "integer"},
        {TYPE_number,  "number" },
        {TYPE_string,  "string" },
        {TYPE_object,  "object" },
        {TYPE_array,   "array"  },
    };
    unsigned x = schema_types(s, a, way), y = schema_types(s, b, way);
    if (!x || !y)
        return NULL;
    x |= x & TYPE_number ? TYPE_integer : 0;
    y |= y & TYPE_number ? TYPE_integer : 0;
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (x & y & names[i].type)
            json_object_array_add(list, json_object_new_string(names[i].name));
    if (json_object_array_length(list) > 0)
        return list;
    json_object_put(list);
    schema_fault(s, way, "type", "no value is of both types, %s and %s",
                 json_object_to_json_string(schema_key(a, KEY_type)),
                 json_object_to_json_string(schema_key(b, KEY_type)));
    return NULL;
}

/* Values that both lists have; a const is a list of one. */
static json_object *
values_of(json_object *schema)
{
    if (!schema_has(schema, KEY_const))
        return json_object_get(schema_key(schema, KEY_enum));
    json_object *list = json_object_new_array();
    json_object_array_add(list, json_object_get(schema_key(schema, KEY_const)));
    return list;
}

static bool
has_value(json_object *list, json_object *value)
{
    const size_t count = json_object_array_length(list);
    for (size_t i = 0; i < count; i++)
        if (json_object_equal(json_object_array_get_idx(list, i), value))
            return true;
    return false;
}

static json_object *
merge_values(json_object *a, json_object *b)
{
    json_object *x = values_of(a), *y = values_of(b), *list = json_object_new_array();
    const size_t count = json_object_array_length(x);
    for (size_t i = 0; i < count; i++) {
        json_object *value = json_object_array_get_idx(x, i);
        if (has_value(y, value))
            json_object_array_add(list, json_object_get(value));
    }
    json_object_put(x);
    json_object_put(y);
    return list;
}

static bool
lists_values(json_object *schema)
{
    return schema_has(schema, KEY_const) ||
           json_object_is_type(schema_key(schema, KEY_enum), json_type_array);
}

/* ---- schemas -------------------------------------------------------------------------------- */

/* What `key` is of both, which both have; ours, or NULL: a fault. */
static json_object *
merge_key(Schema *s, json_object *a, json_object *b, Keyword key, const Way *way)
{
    json_object *x = schema_key(a, key), *y = schema_key(b, key);
    const bool least = key == KEY_minItems || key == KEY_minLength || key == KEY_minimum ||
                       key == KEY_exclusiveMinimum;
    const bool most = key == KEY_maxItems || key == KEY_maxLength || key == KEY_maximum ||
                      key == KEY_exclusiveMaximum;
    if (json_object_equal(x, y))
        return json_object_get(x);
    if (least || most) {
        const bool first = (json_object_get_double(x) > json_object_get_double(y)) == least;
        return json_object_get(first ? x : y);
    }
    if (key == KEY_type)
        return merge_types(s, a, b, way);
    if (key == KEY_required && json_object_is_type(x, json_type_array) &&
        json_object_is_type(y, json_type_array))
        return merge_required(x, y);
    if (key == KEY_additionalProperties && (is_closed(a) || is_closed(b)))
        return json_object_new_boolean(false);
    if ((key == KEY_items && !schema_has(a, KEY_prefixItems) && !schema_has(b, KEY_prefixItems)) ||
        key == KEY_additionalProperties)
        return both(x, y);
    schema_fault(s, way, keyword_info[key].name,
                 "two schemas that must both hold say different things here, which cannot be put "
                 "together: %s",
                 json_object_to_json_string(y));
    return NULL;
}

/* What a cannot have a keyword of its own for becomes a part of its allOf. */
static void
add_all_of(json_object *to, Keyword key, json_object *value)
{
    json_object *list = schema_key(to, KEY_allOf), *part = json_object_new_object();
    json_object *copy = json_object_new_array();
    const size_t count =
        json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++)
        json_object_array_add(copy, json_object_get(json_object_array_get_idx(list, i)));
    put(part, key, json_object_get(value));
    json_object_array_add(copy, part);
    put(to, KEY_allOf, copy);
}

static bool
add_key(Schema *s, json_object *merged, json_object *a, json_object *b, const char *name,
        const Way *way)
{
    const Keyword key = keyword_named(name);
    json_object *value = NULL;
    json_object_object_get_ex(b, name, &value);
    if (key == KEY_COUNT)
        return schema_fault(s, way, name, "this keyword is not supported");
    if (key == KEY_properties || ((key == KEY_enum || key == KEY_const) && lists_values(a)))
        return true;
    if (!schema_has(a, key)) {
        if (key == KEY_items && schema_has(a, KEY_prefixItems))
            return schema_fault(s, way, name, "cannot be put together with prefixItems elsewhere");
        put(merged, key, json_object_get(value));
        return true;
    }
    if (keyword_info[key].about == ABOUT_NOTE)
        return true;
    if (key == KEY_anyOf || key == KEY_oneOf || key == KEY_allOf || key == KEY_ref) {
        if (!json_object_equal(schema_key(a, key), value))
            add_all_of(merged, key, value);
        return true;
    }
    json_object *one = merge_key(s, a, b, key, way);
    if (one)
        put(merged, key, one);
    return one;
}

json_object *
schema_merge(Schema *s, json_object *a, json_object *b, const Way *way)
{
    if (json_object_is_type(a, json_type_boolean))
        return json_object_get_boolean(a) ? b : a;
    if (json_object_is_type(b, json_type_boolean))
        return json_object_get_boolean(b) ? a : b;
    if (!json_object_is_type(a, json_type_object) || !json_object_is_type(b, json_type_object)) {
        schema_fault(s, way, NULL, "expected a schema: an object, true or false");
        return NULL;
    }
    if (++s->parts > 20000) {
        schema_fault(s, way, NULL,
                     "the schema has too many parts, with what its anyOf and allOf make "
                     "of it");
        return NULL;
    }
    json_object *merged = schema_keep(s, copy_without(a, NULL));
    if (schema_has(a, KEY_properties) || schema_has(b, KEY_properties))
        put(merged, KEY_properties, merge_properties(a, b));
    if (lists_values(a) && lists_values(b)) {
        json_object_object_del(merged, "const");
        put(merged, KEY_enum, merge_values(a, b));
    }
    json_object_object_foreach(b, name, value)
    {
        (void)value;
        if (!add_key(s, merged, a, b, name, way))
            return NULL;
    }
    return merged;
}

/* ---- oneOf ---------------------------------------------------------------------------------- */

/* Types that a value of the schema can have. */
static unsigned
possible_types(Schema *s, json_object *schema, const Way *way)
{
    unsigned found = schema_types(s, schema, way);
    return found & TYPE_number ? found | TYPE_integer : found;
}

static bool
    requires(json_object *schema, const char *name)
{
    json_object *list = schema_key(schema, KEY_required);
    return json_object_is_type(list, json_type_array) && has_text(list, name);
}

static bool
only_objects(Schema *s, json_object *schema, const Way *way)
{
    return schema_types(s, schema, way) == TYPE_object;
}

static bool
values_disjoint(json_object *a, json_object *b)
{
    json_object *common = merge_values(a, b);
    const bool none = json_object_array_length(common) == 0;
    json_object_put(common);
    return none;
}

bool
schema_disjoint(Schema *s, json_object *a, json_object *b, const Way *way, int depth)
{
    if (depth > 8 || ++s->parts > 20000)
        return false;
    if (schema_has(a, KEY_ref)) {
        json_object *target = schema_target(s, a, way);
        return !target || schema_disjoint(s, target, b, way, depth + 1);
    }
    if (schema_has(b, KEY_ref))
        return schema_disjoint(s, b, a, way, depth + 1);
    if (!json_object_is_type(a, json_type_object) || !json_object_is_type(b, json_type_object))
        return false;
    if (!(possible_types(s, a, way) & possible_types(s, b, way)))
        return true;
    if (lists_values(a) && lists_values(b))
        return values_disjoint(a, b);
    if (!only_objects(s, a, way) || !only_objects(s, b, way))
        return false;
    json_object *properties = schema_key(a, KEY_properties), *other = NULL;
    if (!json_object_is_type(properties, json_type_object))
        return false;
    json_object_object_foreach(properties, name, value)
    {
        if (requires(a, name) && requires(b, name) &&
            json_object_object_get_ex(schema_key(b, KEY_properties), name, &other) &&
            schema_disjoint(s, value, other, way, depth + 1))
            return true;
    }
    return false;
}
