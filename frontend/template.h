/* frontend/template.h -- private to frontend/: the `model` of a family's layout, filled from a
 * config.json.
 *
 *   =NAME          the value of a config key, left out where there is none; in a list it must be
 *                  there
 *   =EXPRESSION    a number
 *   {when: EXPRESSION, ...}             a map that is there only where the expression is true
 *   {when: EXPRESSION, is: VALUE}       a value that is
 *   {first: [{when: ..., is: ...}, ..]} the first of them that is there
 *   {include: NAME, ...}                a map with the entries of the family's `includes: {NAME:
 * {...}}` {count: =EXPRESSION, kinds: {NAME: {when: EXPRESSION, ...}}} layers 0 .. count - 1, each
 * of the first kind whose expression is true; in it `i` is the layer, and `number` is i + 1. They
 * become a block with repeat, or an order of kinds.
 *
 * Anything else stands for itself. A map of which nothing is left is left out. */
#ifndef SSMC_FRONTEND_TEMPLATE_H
#define SSMC_FRONTEND_TEMPLATE_H

#include "frontend/expr.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    Scope *scope;         /* config keys */
    const Tree *config;   /* where what has no place of its own comes from */
    const Tree *includes; /* of the family; NULL: none */
    const Tree *implied;  /* keys that follow from others, for messages; NULL: none */
    const char *family, *layout;
} Template;

/* NULL: it is left out, or the fault is in diag. */
Tree *template_fill(const Template *t, const Tree *tree);

#endif
