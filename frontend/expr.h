/* frontend/expr.h -- private to frontend/: the arithmetic of block and family files.
 *
 *   or:      and {"or" and}            comparison: sum [("=="|"!="|"<"|"<="|">"|">=") sum]
 *   and:     not {"and" not}                     | item "is" word | item "in" set
 *   not:     ["not"] comparison        sum:        product {("+"|"-") product}
 *   item:    name ["[" sum "]"]        product:    factor {("*"|"/"|"%") factor}
 *   set:     "[" word {"," word} "]" | name
 *   factor:  number | item | "-" factor | "(" or ")" | "round_up" "(" or "," or ")" | "sqrt" "(" or
 * ")" | "len" "(" name ")" | "index" "(" sum "," name ")" | "same" "(" name "," name ")"
 *
 * Integers stay integers: a division with a remainder, and a result outside 64 bits,
 * are faults. true and false are 1 and 0. name[i] is an entry of a list, or a character of a text,
 * from 0 on. A word is anything without spaces and closing brackets: `act is relu2`,
 * `pattern[i] in [M, *]`, `i in layers_with_attention`. */
#ifndef SSMC_FRONTEND_EXPR_H
#define SSMC_FRONTEND_EXPR_H

#include "frontend/frontend.h"
#include "frontend/keys.h"

enum { EXPR_MAX_USED = 8 };

/* A name and what it stands for. */
typedef struct Binding Binding;
struct Binding {
    const char *name;
    FeValue value;
    bool broken; /* its fault has been reported: what uses it fails silently */
    /* What the user wrote that it comes from: itself when given, else what its default or size was
     * computed from. */
    const Binding *roots[EXPR_MAX_USED];
    int nroots;
};

/* Names in reach: newest first, then those of the parent. */
typedef struct Scope Scope;
struct Scope {
    const Scope *parent;
    const Binding **items;
    int count, cap;
};
const Binding *scope_find(const Scope *scope, const char *name, size_t len);

typedef struct {
    bool whole; /* i holds it too */
    int64_t i;
    double num;
} Number;

typedef struct {
    Arena *arena;
    const Scope *scope;
    Number value;
    /* After a failure. */
    const char *why;     /* NULL: already reported */
    const char *unknown; /* a name that nothing is known about */
    size_t at, span;     /* the part that failed */
    /* Names in the whole expression, or in the part that failed. */
    const Binding *used[EXPR_MAX_USED];
    int nused;
} Expr;
/* `from`: what the value was computed from; NULL when it was not. */
Binding *scope_bind(Arena *arena, Scope *scope, const char *name, FeValue value, const Expr *from);
/* Evaluates text; false: see the fields above. */
bool expr_eval(Expr *e, const char *text, size_t len);

/* Reports a failed expression that stands at `loc`: primarily at what the user wrote of the names
 * in it, with `loc` as the second place; `user` is where the whole thing was asked for. */
void expr_fault(const Expr *e, SrcLoc loc, SrcLoc user, Diag *diag);
/* What the user wrote of the names in an expression. */
FeOrigins expr_origins(const Expr *e);
const char *expr_number_text(Arena *arena, Number n);
const char *value_text(Arena *arena, const FeValue *value);

#endif
