/* ir/shape.h -- private to ir/: what shape rules say and ask of operands. */
#ifndef SSMC_IR_SHAPE_H
#define SSMC_IR_SHAPE_H

#include "ir/internal.h"

static inline bool broken(ShapeResult *r, int operand, const char *fmt, ...) PRINTF_LIKE(3, 4);

static inline bool
broken(ShapeResult *r, int operand, const char *fmt, ...)
{
    StrBuf sb = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&sb, fmt, args);
    va_end(args);
    r->why = arena_strndup(r->arena, sb_text(&sb), sb.len);
    r->operand = operand;
    sb_free(&sb);
    return false;
}

static inline bool
result(ShapeResult *r, Type type)
{
    r->out[0] = type;
    r->nout = 1;
    return true;
}

static inline const char *
type_text(const ShapeResult *r, const Type *type)
{
    return type_name(r->arena, type);
}

static inline const Type *
operand(const Node *node, int slot)
{
    return &node->in[slot]->type;
}

static inline bool
is_float(const Type *type)
{
    return dtype_info[type->dtype].is_float;
}

static inline bool
is_const(const Type *type)
{
    for (int i = 0; i < type->shape.rank; i++)
        if (type->shape.dim[i].kind != DIM_CONST)
            return false;
    return true;
}

static inline Dim
const_dim(int64_t n)
{
    return (Dim){DIM_CONST, n};
}

/* ---- what operands must look like --------------------------------------------------------- */

/* Says that an operand is not `wanted`; origin tells where the expectation comes from. */
static inline bool
unlike(ShapeResult *r, const Node *node, int slot, const char *wanted, const char *origin)
{
    const Value *v = node->in[slot];
    return broken(r, slot, "operand %d, `%s`, is %s, expected %s: %s", slot + 1, v->name,
                  type_text(r, &v->type), wanted, origin);
}

/* Operand is a float matrix of rows: of tokens, picked, or chosen for tokens. */
static inline bool
want_rows(ShapeResult *r, const Node *node, int slot)
{
    const Type *t = operand(node, slot);
    const bool matrix =
        t->shape.rank == 2 && t->shape.dim[1].kind == DIM_CONST && dim_is_rows(t->shape.dim[0]);
    if (matrix && is_float(t))
        return true;
    return unlike(r, node, slot, "a matrix f32[T,width]", "this operand is one row per token");
}

/* Operand is [T,width]; width 0: any. */
static inline bool
want_tokens(ShapeResult *r, const Node *node, int slot, int64_t width, const char *origin)
{
    if (!want_rows(r, node, slot))
        return false;
    const Type *t = operand(node, slot);
    if (t->shape.dim[0].kind != DIM_TOKENS)
        return unlike(r, node, slot, "rows T", "this op goes over every token");
    if (!width || type_width(t) == width)
        return true;
    return unlike(r, node, slot, arena_printf(r->arena, "f32[T,%lld]", (long long)width), origin);
}

/* Operand is float [length], or missing. */
static inline bool
want_vector(ShapeResult *r, const Node *node, int slot, int64_t length, const char *origin)
{
    if (!node->in[slot])
        return true;
    const Type *t = operand(node, slot);
    if (is_float(t) && t->shape.rank == 1 && dim_equal(t->shape.dim[0], const_dim(length)))
        return true;
    return unlike(r, node, slot, arena_printf(r->arena, "[%lld]", (long long)length), origin);
}

/* State operand (the last slot of the op), if it is there, is f32 `dims`; result->state in any
 * case. */
static inline bool
want_state(ShapeResult *r, const Node *node, int slot, int rank, const int64_t *dims,
           const char *origin)
{
    r->state = type_const(DTYPE_f32, rank, dims);
    const Value *v = slot < node->nin ? node->in[slot] : NULL;
    if (v && v->type.dtype == DTYPE_bf16 && op_info[node->op].cls == CLASS_RECURRENT)
        r->state.dtype = DTYPE_bf16;
    if (!v || type_equal(&v->type, &r->state))
        return true;
    return unlike(r, node, slot, type_text(r, &r->state), origin);
}

static inline bool
want_shape(ShapeResult *r, const Node *node, int slot, const Type *wanted, const char *origin)
{
    const Type *t = operand(node, slot);
    if (type_equal(t, wanted))
        return true;
    return unlike(r, node, slot, type_text(r, wanted), origin);
}

static inline int64_t
ceil_div(int64_t n, int64_t by)
{
    return n / by + (n % by != 0);
}

#endif
