/* grammar/expr.h -- private to grammar/: a grammar as rules and expressions. GBNF and JSON schemas
 * are read into it; automata are made of it. */
#ifndef SSMC_GRAMMAR_EXPR_H
#define SSMC_GRAMMAR_EXPR_H

#include "grammar/grammar.h"
#include "ir/diag.h"

enum {
    MOST_RULES = 1 << 14,
    MOST_DEPTH = 128,      /* of an expression inside a rule */
    MOST_REPEATS = 100000, /* the numbers in {m,n} */
    CODE_POINT_MOST = 0x10FFFF,
};

/* Code points lo..hi. */
typedef struct {
    uint32_t lo, hi;
} Range;

typedef enum {
    EXPR_bytes,  /* a literal; of no bytes: the empty text */
    EXPR_class,  /* one code point of some ranges, in UTF-8 */
    EXPR_seq,    /* items one after the other */
    EXPR_alt,    /* one of the items; of none: no text at all */
    EXPR_repeat, /* item[0], min to max times; max -1: without end */
    EXPR_rule    /* another rule */
} ExprKind;

typedef struct Expr Expr;
struct Expr {
    ExprKind kind;
    int rule;
    int count, cap; /* of items, or of ranges */
    Expr **item;
    Range *range; /* ascending and apart, once the class is made */
    const char *bytes;
    size_t len;
    int64_t min, max;
    SrcLoc loc;
};

typedef struct {
    const char *name;
    Expr *body;  /* NULL: not defined */
    SrcLoc loc;  /* of the definition; before that, of the first use */
    bool shared; /* stays a rule of its own where it is large: its masks serve every use of it */
} Rule;

typedef struct {
    Arena *arena;
    Diag *diag;
    SrcLoc whole; /* for messages about all of it */
    Rule *rules;  /* rule 0 is the root */
    int count, cap;
} Rules;

Expr *expr_new(Arena *arena, ExprKind kind, SrcLoc loc);
Expr *expr_bytes(Arena *arena, const char *bytes, size_t len); /* copies */
Expr *expr_text(Arena *arena, const char *text);
Expr *expr_rule(Arena *arena, int rule, SrcLoc loc);
Expr *expr_repeat(Arena *arena, Expr *item, int64_t min, int64_t max);
void expr_add(Arena *arena, Expr *of, Expr *item);
/* A class of ranges, which may overlap and come in any order; negated: of all other code points. */
Expr *expr_class(Arena *arena, const Range *ranges, int count, bool negated);
/* The code points of `text` ("a-zA-Z_"): ASCII alone, a dash between two is a range. */
Expr *expr_class_of(Arena *arena, const char *text);
int rules_add(Rules *rules, const char *name, SrcLoc loc);
int rules_find(const Rules *rules, const char *name); /* one that is there */

/* Names, loops and ends: false, with faults in diag, where a rule is not defined, where one calls
 * itself before any text is read, or where the root has no text that ends. */
bool rules_check(Rules *rules, const bool *nullable, const bool *ends);
/* Which rules match the empty text, and which have a text that ends; [count], arena. */
const bool *rules_nullable(const Rules *rules);
const bool *rules_ending(const Rules *rules);

/* ---- gbnf.c --------------------------------------------------------------------------------- */

/* Reads a grammar; rule 0 is `root`. The rules must be empty. */
bool gbnf_read(Rules *rules, const Source *source);
/* Reads the rules of JSON (json.gbnf), to which a root is to be given. */
bool gbnf_read_json(Rules *rules);

/* ---- schema.c ------------------------------------------------------------------------------- */

/* Rules of the texts that a JSON schema allows. */
bool schema_read(Rules *rules, struct json_object *schema);
/* An expression of the values that a schema allows. The rules of JSON must have been read. NULL:
 * the schema has a fault, which diag has. */
Expr *schema_value_of(Rules *rules, struct json_object *schema);

/* ---- parts.c -------------------------------------------------------------------------------- */

bool parts_read(Rules *rules, const GrammarPart *parts, int count);

/* ---- compile.c ------------------------------------------------------------------------------ */

/* Automata of checked rules; NULL: too large, said in diag. */
Grammar *grammar_compile(Rules *rules);

#endif
