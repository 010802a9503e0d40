/* frontend/block.h -- private to frontend/: blocks as read from their YAML files.
 *
 *   block: NAME
 *   doc: one line
 *   params:   {NAME: {type, default, range, words, count, doc}, or NAME: default alone}
 *             type: int num bool word chunk nums; a default may be an expression over earlier
 * params and the model's vocab, dim, eps and tie_embeddings
 *   sizes:    {NAME: expression}              integers from 1
 *   checks:   [expression]                    must be true
 *   weights:  {NAME: {shape: [expressions], init: RULE, when: expression, otherwise: WEIGHT,
 *             own: bool}}                       RULE: of runtime/init.def
 *             without `when` being true there is no such weight, or the name means `otherwise`;
 *             one that is `own` is of one layer, also where layers share the block
 *   hybrid:   {PARAM: expression}             what the block has instead of its defaults in a model
 *             without such a mixer that the key `attention` gives some; the last block of a kind
 *             that has it is taken
 *   states:   {OP: NAME, or OP: [NAME, NAME]} what the states of its ops are called, in their order
 *   ops:      [statements of the text form]   the frame reads ids, calls layers(h) and defines
 * logits {when: expression, op: statement} is there only where the expression is true
 *
 * The block of a layer reads what it starts from, `in`, and adds to the residual stream, `h`:
 *
 *   - u = rmsnorm(in, norm.weight) {eps}
 *   - h = h + linear(u, weight)
 *
 * In a sequence of blocks `in` is h; blocks that are parallel all start from the same `in`, unless
 * one of them gives those behind it another. `embedded` is what layers() was called with, and a
 * name of ir/inputs.def that input. A parameter that is a number may be an operand: `h * scale`. */
#ifndef SSMC_FRONTEND_BLOCK_H
#define SSMC_FRONTEND_BLOCK_H

#include "frontend/expr.h"

enum { BLOCK_MAX_PARAMS = 64, BLOCK_MAX_SIZES = 64, BLOCK_MAX_WEIGHTS = 64, BLOCK_MAX_OPS = 512 };

typedef struct {
    Spec spec;
    const Tree *preset; /* a value or an expression; NULL: must be given */
} BlockParam;

typedef struct {
    const char *name;
    const Tree *shape; /* list of expressions */
    const char *init;
    const Tree *when;      /* NULL: always there */
    const char *otherwise; /* NULL: absent where `when` is false */
    bool own;              /* of each layer, also where layers share the block's weights */
    SrcLoc loc;
} BlockWeight;

typedef struct {
    const char *name; /* first: nearest_name reads it */
    const char *doc;
    SrcLoc loc;
    bool built_in;
    BlockParam *params;
    int nparams;
    const Tree *sizes, *checks, *states, *ops, *hybrid; /* NULL: none */
    BlockWeight *weights;
    int nweights;
} Block;

typedef struct {
    Arena *arena;
    Diag *diag;
    Block *items;
    int count, cap;
} BlockSet;

/* The blocks inside the binary. */
void blocks_add_built_in(BlockSet *set);
/* Adds the block that a tree describes; false: the fault is in diag. A user's block may have the
 * name of a built-in one, which it then replaces. */
bool blocks_add(BlockSet *set, const Tree *tree, bool built_in);
/* The next op that a statement of the text form calls, from *at on; false: it calls no more. */
bool statement_next_op(const char **at, Op *op);
bool block_calls(const Block *block, Op op); /* in a statement of any condition */
/* NULL: the fault, with the nearest known name, is in diag at loc. */
const Block *blocks_find(const BlockSet *set, const char *name, SrcLoc loc);

#endif
