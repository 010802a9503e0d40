/* grammar/schema_string.c -- strings of a schema: length, pattern, format. */
#include <string.h>

#include "grammar/schema.h"

/* Formats that json.gbnf has a rule for. */
static const char *const formats[] = {"date", "time", "date-time", "uuid", "ipv4"};

static Expr *
format_expr(Schema *s, json_object *schema, const Way *way)
{
    json_object *format = schema_key(schema, KEY_format);
    const char *name =
        json_object_is_type(format, json_type_string) ? json_object_get_string(format) : "";
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (strcmp(formats[i], name) == 0)
            return schema_rule(s, name);
    schema_fault(s, way, "format",
                 "%s is not supported; there are date, time, date-time, uuid and ipv4",
                 json_object_to_json_string(format));
    return NULL;
}

static Expr *
pattern_of(Schema *s, json_object *schema, const Way *way)
{
    json_object *pattern = schema_key(schema, KEY_pattern);
    const Way inner = way_to(way, "pattern");
    if (json_object_is_type(pattern, json_type_string))
        return pattern_expr(s, json_object_get_string(pattern),
                            (size_t)json_object_get_string_len(pattern), &inner);
    schema_fault(s, &inner, NULL, "expected a regular expression");
    return NULL;
}

/* Characters `min` to `max`; many as blocks, which are a rule, so that a grammar of long texts is
 * small. max -1: without end. */
static Expr *
characters(Schema *s, int64_t min, int64_t max)
{
    enum { BLOCK = 4096 };
    Expr *one = schema_rule(s, "json-char");
    if (min <= BLOCK && max <= 2 * BLOCK)
        return expr_repeat(s->arena, one, min, max);
    const int rule = rules_add(s->rules, "characters", (SrcLoc){0});
    s->rules->rules[rule].body = expr_repeat(s->arena, one, BLOCK, BLOCK);
    s->rules->rules[rule].shared = true;
    Expr *block = expr_rule(s->arena, rule, (SrcLoc){0});
    Expr *least = SEQ(s, expr_repeat(s->arena, block, min / BLOCK, min / BLOCK),
                      expr_repeat(s->arena, one, min % BLOCK, min % BLOCK));
    if (max < 0)
        return SEQ(s, least, expr_repeat(s->arena, one, 0, -1));
    const int64_t more = max - min, blocks = more / BLOCK;
    Expr *rest = expr_repeat(s->arena, one, 0, more % BLOCK);
    if (blocks == 0)
        return SEQ(s, least, rest);
    Expr *alt = expr_new(s->arena, EXPR_alt, (SrcLoc){0});
    expr_add(s->arena, alt,
             SEQ(s, expr_repeat(s->arena, block, 0, blocks - 1),
                 expr_repeat(s->arena, one, 0, BLOCK - 1)));
    expr_add(s->arena, alt, SEQ(s, expr_repeat(s->arena, block, blocks, blocks), rest));
    return SEQ(s, least, alt);
}

Expr *
schema_string(Schema *s, json_object *schema, const Way *way)
{
    int64_t min = 0, max = -1;
    if (!schema_count(s, schema, way, KEY_minLength, 0, &min) ||
        !schema_count(s, schema, way, KEY_maxLength, -1, &max))
        return NULL;
    if (max >= 0 && min > max) {
        schema_fault(s, way, "minLength", "no text has at least %lld characters and at most %lld",
                     (long long)min, (long long)max);
        return NULL;
    }
    const bool pattern = schema_has(schema, KEY_pattern), format = schema_has(schema, KEY_format);
    if (pattern + format + (min > 0 || max >= 0) > 1) {
        schema_fault(s, way, pattern ? "pattern" : "format",
                     "not supported beside %s: say both in one pattern",
                     pattern && format ? "format" : "minLength and maxLength");
        return NULL;
    }
    Expr *inside = format    ? format_expr(s, schema, way)
                   : pattern ? pattern_of(s, schema, way)
                             : characters(s, min, max);
    Expr *quote = expr_text(s->arena, "\"");
    return inside ? SEQ(s, quote, inside, quote) : NULL;
}
