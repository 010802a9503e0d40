/* grammar/schema.h -- private to grammar/: JSON schemas on their way to rules. */
#ifndef SSMC_GRAMMAR_SCHEMA_H
#define SSMC_GRAMMAR_SCHEMA_H

#include <json-c/json.h>

#include "grammar/expr.h"

typedef enum { ABOUT_NOTE, ABOUT_ANY, ABOUT_OBJECT, ABOUT_ARRAY, ABOUT_STRING, ABOUT_NUMBER } About;

typedef enum {
#define KEYWORD(id, name, about) KEY_##id,
#include "grammar/schema.def"
    KEY_COUNT
} Keyword;

typedef struct {
    const char *name;
    About about;
} KeywordInfo;
extern const KeywordInfo keyword_info[KEY_COUNT];
Keyword keyword_named(const char *name); /* KEY_COUNT: there is none */

typedef enum {
    TYPE_null = 1,
    TYPE_boolean = 2,
    TYPE_integer = 4,
    TYPE_number = 8, /* integers are numbers */
    TYPE_string = 16,
    TYPE_object = 32,
    TYPE_array = 64,
    TYPE_all = TYPE_null | TYPE_boolean | TYPE_number | TYPE_string | TYPE_object | TYPE_array,
} Type;

/* The way to a part of the schema, for messages: a JSON pointer. */
typedef struct Way Way;
struct Way {
    const Way *up; /* NULL: the whole schema, and key is "#" */
    const char *key;
};

typedef struct {
    const json_object *target;
    int rule;
} SchemaRef;

typedef struct {
    Rules *rules;
    Arena *arena;
    json_object *root;
    SchemaRef *refs; /* rules of what is referred to */
    int nrefs, caprefs;
    json_object **made; /* merged schemas; ours */
    int nmade, capmade;
    int parts; /* that were read so far */
} Schema;

/* Always false (NULL), so that a check can return it. */
bool schema_fault(const Schema *s, const Way *way, const char *key, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
json_object *schema_key(json_object *schema, Keyword key); /* NULL: not there, or null */
bool schema_has(json_object *schema, Keyword key);
Way way_to(const Way *up, const char *key);
/* A JSON pointer's target in the whole schema; NULL: a fault. */
json_object *schema_target(Schema *s, json_object *schema, const Way *way);
/* Types that a schema's `type` names, or all; 0: a fault. */
unsigned schema_types(const Schema *s, json_object *schema, const Way *way);
/* A keyword that counts: false is a fault; missing is `otherwise`. */
bool schema_count(const Schema *s, json_object *schema, const Way *way, Keyword key,
                  int64_t otherwise, int64_t *out);

/* What a schema allows; NULL: a fault is said. schema NULL: anything. */
Expr *schema_expr(Schema *s, json_object *schema, const Way *way, int depth);
Expr *schema_object(Schema *s, json_object *schema, const Way *way, int depth);
Expr *schema_array(Schema *s, json_object *schema, const Way *way, int depth);
Expr *schema_string(Schema *s, json_object *schema, const Way *way);
Expr *schema_number(Schema *s, json_object *schema, const Way *way, bool integers);
/* One value, as it is written. */
Expr *schema_value(Schema *s, json_object *value, const Way *way, int depth);
/* A schema of what both allow; NULL: a fault. Not to be put. */
json_object *schema_merge(Schema *s, json_object *a, json_object *b, const Way *way);
json_object *schema_without(Schema *s, json_object *schema, Keyword key);
/* Whether no value can be of both, as far as is easily seen. */
bool schema_disjoint(Schema *s, json_object *a, json_object *b, const Way *way, int depth);
json_object *schema_keep(Schema *s, json_object *made); /* puts it when all is read */

/* The characters of a string that an expression of ECMA-262 matches, in quotes' inside. */
Expr *pattern_expr(Schema *s, const char *pattern, size_t len, const Way *way);

/* Rules of json.gbnf, and sequences. */
Expr *schema_rule(const Schema *s, const char *name);
Expr *schema_seq(const Schema *s, Expr *const *items, int count);
#define SEQ(s, ...)                                                                                \
    schema_seq(s, (Expr *const[]){__VA_ARGS__},                                                    \
               (int)(sizeof((Expr *const[]){__VA_ARGS__}) / sizeof(Expr *)))

#endif
