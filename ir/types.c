/* ir/types.c -- dimensions, shapes and types.
 *
 * Text of a dimension:  256          a constant
 *                       T, R         token rows, picked rows
 *                       S            tokens of a sequence so far
 *                       T*6          six rows for each token
 *                       ceil(T/64)   chunks of 64 tokens; ceil(T/all): the one chunk over all
 * tokens Q64, Qall    the columns of such a chunk */
#include "ir/internal.h"

bool
dim_equal(Dim a, Dim b)
{
    const bool counted = a.kind != DIM_TOKENS && a.kind != DIM_ROWS && a.kind != DIM_KEPT;
    return a.kind == b.kind && (!counted || a.n == b.n);
}

bool
shape_equal(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!dim_equal(a->dim[i], b->dim[i]))
            return false;
    return true;
}

bool
type_equal(const Type *a, const Type *b)
{
    return a->dtype == b->dtype && shape_equal(&a->shape, &b->shape);
}

/* A length of chunks: 0 is spelled all. */
static void
put_chunk(StrBuf *out, const char *before, int64_t n, const char *after)
{
    if (n == CHUNK_ALL)
        sb_printf(out, "%sall%s", before, after);
    else
        sb_printf(out, "%s%lld%s", before, (long long)n, after);
}

static void
dim_print(StrBuf *out, Dim dim)
{
    switch (dim.kind) {
    case DIM_CONST:
        sb_printf(out, "%lld", (long long)dim.n);
        break;
    case DIM_TOKENS:
        sb_puts(out, "T");
        break;
    case DIM_ROWS:
        sb_puts(out, "R");
        break;
    case DIM_CHOICES:
        sb_printf(out, "T*%lld", (long long)dim.n);
        break;
    case DIM_CHUNKS:
        put_chunk(out, "ceil(T/", dim.n, ")");
        break;
    case DIM_CHUNK:
        put_chunk(out, "Q", dim.n, "");
        break;
    case DIM_KEPT:
        sb_puts(out, "S");
        break;
    }
}

void
type_print(StrBuf *out, const Type *type)
{
    sb_puts(out, dtype_info[type->dtype].name);
    if (!type->shape.rank)
        return;
    for (int i = 0; i < type->shape.rank; i++) {
        sb_puts(out, i ? "," : "[");
        dim_print(out, type->shape.dim[i]);
    }
    sb_puts(out, "]");
}

const char *
type_name(Arena *arena, const Type *type)
{
    StrBuf sb = {0};
    type_print(&sb, type);
    return sb_finish(&sb, arena);
}

bool
type_grows(const Type *type)
{
    return type->shape.rank > 0 && type->shape.dim[0].kind == DIM_KEPT;
}

Type
type_const(Dtype dtype, int rank, const int64_t *dims)
{
    if (rank < 0 || rank > IR_MAX_RANK)
        die("type of rank %d", rank);
    Type type = {.dtype = dtype, .shape.rank = rank};
    for (int i = 0; i < rank; i++)
        type.shape.dim[i] = (Dim){DIM_CONST, dims[i]};
    return type;
}

Type
type_rows(Dtype dtype, DimKind rows, int64_t width)
{
    return type_rows_of(dtype, (Dim){rows, 0}, width);
}

Type
type_rows_of(Dtype dtype, Dim rows, int64_t width)
{
    Type type = {.dtype = dtype, .shape.rank = 2};
    type.shape.dim[0] = rows;
    type.shape.dim[1] = (Dim){DIM_CONST, width};
    return type;
}

bool
dim_is_rows(Dim dim)
{
    return dim.kind == DIM_TOKENS || dim.kind == DIM_ROWS || dim.kind == DIM_CHOICES;
}

int64_t
type_choices(const Type *type)
{
    const bool chosen = type->shape.rank && type->shape.dim[0].kind == DIM_CHOICES;
    return chosen ? type->shape.dim[0].n : 1;
}

int64_t
type_width(const Type *type)
{
    if (!type->shape.rank)
        return 1;
    const Dim last = type->shape.dim[type->shape.rank - 1];
    if (last.kind != DIM_CONST)
        die("width of a type whose last dimension is symbolic");
    return last.n;
}

int64_t
dim_count(Dim dim, int64_t tokens, int64_t rows)
{
    int64_t count = INT64_MAX;
    switch (dim.kind) {
    case DIM_CONST:
        return dim.n;
    case DIM_TOKENS:
        return tokens;
    case DIM_ROWS:
        return rows;
    case DIM_CHOICES:
        return size_mul(tokens, dim.n, &count) ? count : INT64_MAX;
    case DIM_CHUNKS:
        if (dim.n == CHUNK_ALL)
            return tokens > 0;
        return tokens / dim.n + (tokens % dim.n > 0);
    case DIM_CHUNK:
        return dim.n == CHUNK_ALL ? tokens : dim.n;
    case DIM_KEPT:
        return tokens; /* of the first call; the interpreter knows of those before */
    }
    return 0;
}

bool
type_count(const Type *type, int64_t tokens, int64_t rows, int64_t *out)
{
    int64_t count = 1;
    for (int i = 0; i < type->shape.rank; i++)
        if (!size_mul(count, dim_count(type->shape.dim[i], tokens, rows), &count))
            return false;
    *out = count;
    return true;
}
