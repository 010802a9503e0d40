/* ir/internal.h -- private to ir/: what its files tell each other. */
#ifndef SSMC_IR_INTERNAL_H
#define SSMC_IR_INTERNAL_H

#include "ir/ir.h"

/* Sizes larger than this are refused wherever they come from, so that the sum of a few fits. */
#define IR_MAX_DIM (INT64_C(1) << 40)

/* Pasted from the rows of ops.def: a missing rule does not link. */
#define OP(id, in, out, cls, stages, shape, work, kernel, attrs, flags, doc)                       \
    ShapeRule shape_##shape;                                                                       \
    WorkRule work_##work;
#include "ir/ops.def"
#undef OP

/* Everything that makes a node well-formed by itself: operand count and kinds, attributes, and then
 * its shape rule. On false result->why and ->operand say what is wrong. `complete`: a missing state
 * operand is a fault (blocks find out by result->state which state to make). */
bool node_check(const Node *node, bool complete, ShapeResult *result);

bool node_makes_param(const Node *node); /* every operand is a parameter: results are, too */

/* Whether an attribute's value is one its id allows; *why says what is. */
bool attr_check(Arena *arena, const Attr *attr, const char **why);
bool kernel_has_attr(AttrId id); /* kernels may have it */
bool attr_by_name(const char *name, size_t len, AttrId *out);

/* Letters, digits, _ and dots, starting with a letter or _ ; not one the text form reserves. */
bool name_is_valid(const char *name, size_t len);
bool name_starts(char c);  /* a letter or _ */
bool name_goes_on(char c); /* a letter, a digit, _ or a dot */

bool stage_by_name(const char *name, size_t len, Stage *out);
bool space_by_name(const char *name, size_t len, Space *out);

/* Values by name. Names are arena text that does not move. */
typedef struct NameTable NameTable;
NameTable *names_new(Arena *arena);
Value *names_find(const NameTable *names, const char *name, size_t len);
void names_add(NameTable *names, Value *v); /* v->name is not there yet */
void names_remove(NameTable *names, const Value *v);
const char *names_nearest(const NameTable *names, const char *name); /* NULL: none is near */
/* wanted if it is free, else wanted.2, wanted.3 ...; NULL: the next of t1, t2 ... */
const char *names_fresh(NameTable *names, const char *wanted);
/* The newest made-up name may be made again. */
void names_give_back(NameTable *names, const char *name);

#endif
