/* grammar/schema_array.c -- arrays of a schema. */
#include "grammar/schema.h"

typedef struct {
    Schema *s;
    Expr **fixed; /* [nfixed] items that have a place of their own */
    int64_t nfixed;
    Expr *item;       /* of all others; NULL: there are none */
    int64_t min, max; /* max -1: without end */
} Array;

static Expr *
comma(const Schema *s)
{
    return SEQ(s, expr_text(s->arena, ","), schema_rule(s, "ws"));
}

static bool
read_fixed(Array *a, json_object *schema, const Way *way, int depth)
{
    Schema *s = a->s;
    const Way list_way = way_to(way, "prefixItems");
    json_object *list = schema_key(schema, KEY_prefixItems);
    if (!schema_has(schema, KEY_prefixItems))
        return true;
    if (!json_object_is_type(list, json_type_array))
        return schema_fault(s, &list_way, NULL, "expected a list of schemas");
    enum { MOST_FIXED = 256 };
    const size_t count = json_object_array_length(list);
    if (count > MOST_FIXED)
        return schema_fault(s, &list_way, NULL, "more than 256 items");
    a->fixed = arena_array(s->arena, count, sizeof *a->fixed);
    for (; a->nfixed < (int64_t)count; a->nfixed++) {
        const Way inner = way_to(&list_way, arena_printf(s->arena, "%lld", (long long)a->nfixed));
        json_object *one = json_object_array_get_idx(list, (size_t)a->nfixed);
        a->fixed[a->nfixed] = schema_expr(s, one, &inner, depth + 1);
        if (!a->fixed[a->nfixed])
            return false;
    }
    return true;
}

static bool
read_items(Array *a, json_object *schema, const Way *way, int depth)
{
    Schema *s = a->s;
    const Way inner = way_to(way, "items");
    json_object *items = schema_key(schema, KEY_items);
    if (json_object_is_type(items, json_type_array))
        return schema_fault(s, &inner, NULL, "a list of schemas is called prefixItems");
    if (json_object_is_type(items, json_type_boolean) && !json_object_get_boolean(items))
        return true;
    Expr *e = schema_has(schema, KEY_items) ? schema_expr(s, items, &inner, depth + 1)
                                            : schema_rule(s, "json");
    if (!e)
        return false;
    const int rule = rules_add(s->rules, "items", (SrcLoc){0});
    s->rules->rules[rule].body = e;
    a->item = expr_rule(s->arena, rule, (SrcLoc){0});
    return true;
}

/* Items from number i > 0 on, each with a comma before it. */
static Expr *
rest_from(const Array *a, int64_t i)
{
    const Schema *s = a->s;
    const int64_t most = a->max < 0 || a->max > i ? a->max - i : 0;
    const int64_t least = a->min > i ? a->min - i : 0;
    if (!a->item)
        return expr_text(s->arena, "");
    return expr_repeat(s->arena, SEQ(s, comma(s), a->item), least, a->max < 0 ? -1 : most);
}

Expr *
schema_array(Schema *s, json_object *schema, const Way *way, int depth)
{
    Array a = {.s = s};
    if (!schema_count(s, schema, way, KEY_minItems, 0, &a.min) ||
        !schema_count(s, schema, way, KEY_maxItems, -1, &a.max) ||
        !read_fixed(&a, schema, way, depth) || !read_items(&a, schema, way, depth))
        return NULL;
    if (!a.item && (a.max < 0 || a.max > a.nfixed))
        a.max = a.nfixed;
    if (a.max >= 0 && a.min > a.max) {
        schema_fault(s, way, "minItems", "no array has at least %lld items and at most %lld",
                     (long long)a.min, (long long)a.max);
        return NULL;
    }
    /* From the last item on; what is not needed may be left out with all that follows. */
    int64_t last = a.nfixed;
    if (a.max >= 0 && last > a.max)
        last = a.max;
    Expr *rest = rest_from(&a, last > 0 ? last : 1);
    for (int64_t i = last; i-- > 1;) {
        rest = SEQ(s, comma(s), a.fixed[i], rest);
        if (i >= a.min)
            rest = expr_repeat(s->arena, rest, 0, 1);
    }
    Expr *all = expr_text(s->arena, "");
    if (a.max != 0) {
        all = SEQ(s, last > 0 ? a.fixed[0] : a.item, rest, schema_rule(s, "ws"));
        if (a.min == 0)
            all = expr_repeat(s->arena, all, 0, 1);
    }
    return SEQ(s, expr_text(s->arena, "["), schema_rule(s, "ws"), all, expr_text(s->arena, "]"));
}
