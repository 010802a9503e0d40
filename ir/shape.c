/* ir/shape.c -- what each op makes of its operands, and the work of a row: one rule per name in the
 * `shape` and `work` columns of ops.def.
 *
 * A rule sees operands of the right number and kinds and attributes with allowed values (ir/check.c
 * looked first). Values between ops are [T,width] or [R,width]; everything a pointwise op, a norm,
 * a convolution, a projection or the SSD computes is f32, whatever its operands are stored in. */
#include <string.h>

#include "ir/shape.h"

OpWork
work_none(const Node *node, int64_t block)
{
    (void)node;
    (void)block;
    return (OpWork){0};
}

/* One of every result; tanh and logarithms count as such. */
OpWork
work_exponential(const Node *node, int64_t block)
{
    (void)block;
    return (OpWork){.exps = (double)type_width(&node->out[0]->type)};
}

/* ---- gather, projection, convolution, norm ------------------------------------------------ */

bool
shape_embed(const Node *node, ShapeResult *r)
{
    const Type *ids = operand(node, 0), *table = operand(node, 1);
    if (!is_float(table) || table->shape.rank != 2 || !is_const(table))
        return unlike(r, node, 1, "a table [V,D]", "rows of it are picked");
    return result(r, type_rows_of(DTYPE_f32, ids->shape.dim[0], type_width(table)));
}

bool
shape_take(const Node *node, ShapeResult *r)
{
    if (!want_tokens(r, node, 0, 0, ""))
        return false;
    const Type *x = operand(node, 0);
    return result(r, type_rows_of(x->dtype, operand(node, 1)->shape.dim[0], type_width(x)));
}

bool
shape_conv1d(const Node *node, ShapeResult *r)
{
    if (!want_tokens(r, node, 0, 0, ""))
        return false;
    const Type *w = operand(node, 1);
    const bool stored = w->shape.rank == 3; /* [C,1,K], else [K,C] */
    const int64_t all = type_width(operand(node, 0)), first = node_int(node, ATTR_column, 0);
    const bool some = attrs_find(&node->attrs, ATTR_column) && w->shape.rank >= 2;
    const int64_t width = some ? w->shape.dim[stored ? 0 : 1].n : all;
    const char *origin = arena_printf(r->arena, "operand 1, `%s`, has C = %lld columns",
                                      node->in[0]->name, (long long)all);
    if (first < 0 || width > all || first > all - width)
        return unlike(r, node, 1, "C columns of x, from column on", origin);
    if (!is_float(w) || !is_const(w) || (!stored && w->shape.rank != 2) ||
        w->shape.dim[stored ? 0 : 1].n != width || (stored && w->shape.dim[1].n != 1))
        return unlike(r, node, 1, "[C,1,K] or [K,C]", origin);
    const int64_t taps = w->shape.dim[stored ? 2 : 0].n;
    if (taps < 2)
        return unlike(r, node, 1, "K of at least 2", "a convolution of width 1 is a `mul`");
    if (!want_vector(r, node, 2, width, origin))
        return false;
    const int64_t state[] = {taps - 1, width};
    if (!want_state(r, node, 3, 2, state, "the state holds the last K-1 inputs of C columns"))
        return false;
    return result(r, type_rows(DTYPE_f32, DIM_TOKENS, width));
}

OpWork
work_conv1d(const Node *node, int64_t block)
{
    const Shape *w = &node_operand(node, 'W')->type.shape; /* [C,1,K] or [K,C] */
    (void)block;
    return (OpWork){.macs = (double)w->dim[0].n * (double)w->dim[w->rank - 1].n};
}

bool
shape_norm(const Node *node, ShapeResult *r)
{
    if (!want_rows(r, node, 0))
        return false;
    const Type *x = operand(node, 0);
    const int64_t width = type_width(x), groups = node_int(node, ATTR_groups, 1);
    if (width % groups != 0)
        return broken(r, 0, "%lld columns do not divide into groups=%lld", (long long)width,
                      (long long)groups);
    const int bias = op_slot(node->op, 'B');
    const char *origin = groups == 1
                             ? "one factor for each column of operand 1"
                             : arena_printf(r->arena,
                                            "one factor for each column of operand 1, or [%lld], "
                                            "one for each of a group",
                                            (long long)(width / groups));
    return (node_factors_repeat(node) ||
            want_vector(r, node, op_slot(node->op, 'W'), width, origin)) &&
           (bias < 0 ||
            want_vector(r, node, bias, width, "one number to add for each column of operand 1")) &&
           result(r, type_rows_of(DTYPE_f32, x->shape.dim[0], width));
}

/* ---- pointwise ---------------------------------------------------------------------------- */

static Type
in_f32(Type type)
{
    type.dtype = DTYPE_f32;
    return type;
}

static bool
want_pointwise(ShapeResult *r, const Node *node, int slot)
{
    if (type_grows(operand(node, slot)))
        return unlike(r, node, slot, "rows T or R", "rows that are kept are read by attention");
    if (is_float(operand(node, slot)))
        return true;
    return unlike(r, node, slot, "real numbers", "pointwise ops compute in f32");
}

bool
shape_like0(const Node *node, ShapeResult *r)
{
    if (!want_pointwise(r, node, 0))
        return false;
    if (!operand(node, 0)->shape.rank)
        return broken(r, 0, "operand 1 is the number %s; write its value instead",
                      node->in[0]->name);
    return result(r, in_f32(*operand(node, 0)));
}

bool
shape_cast(const Node *node, ShapeResult *r)
{
    if (!shape_like0(node, r))
        return false;
    const char *to = node_word(node, ATTR_to, "");
    if (!strcmp(to, dtype_info[DTYPE_f32].name))
        return true;
    r->out[0].dtype = !strcmp(to, dtype_info[DTYPE_f16].name) ? DTYPE_f16 : DTYPE_bf16;
    if (!strcmp(to, dtype_info[r->out[0].dtype].name))
        return true;
    return broken(r, -1, "cannot cast to `%s`: real numbers are f32, f16 or bf16", to);
}

/* Whether `small` is repeated over `large`: a number, a column vector [rows,1] of [rows,W], a row
 * vector [W] of [rows,W] and of a stack of matrices [E,O,W], or the same shape. */
static bool
repeats_over(const Type *small_type, const Type *large_type)
{
    const Shape *small = &small_type->shape, *large = &large_type->shape;
    if (!small->rank || shape_equal(small, large))
        return true;
    if (small->rank == 1 && (large->rank == 2 || (large->rank == 3 && is_const(large_type))))
        return dim_equal(small->dim[0], large->dim[large->rank - 1]);
    return small->rank == 2 && large->rank == 2 && dim_equal(small->dim[0], large->dim[0]) &&
           dim_equal(small->dim[1], const_dim(1));
}

bool
shape_broadcast(const Node *node, ShapeResult *r)
{
    if (!want_pointwise(r, node, 0) || !want_pointwise(r, node, 1))
        return false;
    const Type *a = operand(node, 0), *b = operand(node, 1);
    if (!a->shape.rank && !b->shape.rank)
        return broken(r, 0, "both operands are numbers; write their result instead");
    if (repeats_over(b, a))
        return result(r, in_f32(*a));
    if (repeats_over(a, b))
        return result(r, in_f32(*b));
    return broken(
        r, 1,
        "operands are %s and %s: neither repeats over the other ([rows,W] takes [rows,W], "
        "[rows,1], [W] or a number; of weights [E,O,W] takes [W] as well)",
        type_text(r, a), type_text(r, b));
}

bool
shape_split(const Node *node, ShapeResult *r)
{
    if (!want_rows(r, node, 0))
        return false;
    const Type *x = operand(node, 0);
    const Attr *sizes = attrs_find(&node->attrs, ATTR_sizes);
    int64_t sum = 0;
    for (int i = 0; i < sizes->count; i++) {
        sum += sizes->ints[i]; /* at most IR_MAX_OUT sizes of IR_MAX_DIM */
        r->out[i] = type_rows_of(x->dtype, x->shape.dim[0], sizes->ints[i]);
    }
    r->nout = sizes->count;
    if (sum == type_width(x))
        return true;
    return broken(r, 0, "sizes add up to %lld, but operand 1, `%s`, has %lld columns",
                  (long long)sum, node->in[0]->name, (long long)type_width(x));
}

/* ---- state space duality ------------------------------------------------------------------ */

/* The sizes every op of this section is about. */
typedef struct {
    int64_t heads, head_dim, groups, state, chunk;
    int64_t inner;  /* H*P */
    int64_t shared; /* G*N */
    const char *inner_from, *heads_from, *shared_from;
} SsdSizes;

static bool
ssd_sizes(ShapeResult *r, const Node *node, SsdSizes *s)
{
    s->groups = node_int(node, ATTR_groups, 1);
    s->heads = node_int(node, ATTR_heads, s->groups); /* chunk_cb is of groups alone */
    s->head_dim = node_int(node, ATTR_head_dim, 1);
    s->state = node_int(node, ATTR_state, 1);
    s->chunk = node_int(node, ATTR_chunk, CHUNK_ALL);
    if (s->heads % s->groups != 0)
        return broken(r, -1, "heads=%lld do not divide into groups=%lld", (long long)s->heads,
                      (long long)s->groups);
    if (!size_mul(s->heads, s->head_dim, &s->inner) || s->inner > IR_MAX_DIM ||
        !size_mul(s->groups, s->state, &s->shared) || s->shared > IR_MAX_DIM)
        return broken(r, -1, "heads*head_dim or groups*state is above the largest size, 2^40");
    s->inner_from = arena_printf(r->arena, "heads*head_dim = %lld*%lld = %lld", (long long)s->heads,
                                 (long long)s->head_dim, (long long)s->inner);
    s->heads_from =
        arena_printf(r->arena, "one column for each of heads=%lld", (long long)s->heads);
    s->shared_from = arena_printf(r->arena, "groups*state = %lld*%lld = %lld", (long long)s->groups,
                                  (long long)s->state, (long long)s->shared);
    return true;
}

/* What enters or adds to the states of all chunks: f32 [chunks,H,N,P]. */
static Type
chunk_states(const SsdSizes *s)
{
    const int64_t dims[] = {0, s->heads, s->state, s->head_dim};
    Type type = type_const(DTYPE_f32, 4, dims);
    type.shape.dim[0] = (Dim){DIM_CHUNKS, s->chunk};
    return type;
}

/* C B^T of all chunks: f32 [T,G,Q]. */
static Type
chunk_products(const SsdSizes *s)
{
    Type type = {.dtype = DTYPE_f32, .shape.rank = 3};
    type.shape.dim[0] = (Dim){DIM_TOKENS, 0};
    type.shape.dim[1] = const_dim(s->groups);
    type.shape.dim[2] = (Dim){DIM_CHUNK, s->chunk};
    return type;
}

/* The state is operand number `i`, a row of the result as wide as x. */
static bool
ssd_result(ShapeResult *r, const Node *node, const SsdSizes *s, int i)
{
    const int64_t state[] = {s->heads, s->state, s->head_dim};
    return want_state(r, node, i, 3, state, "the state is [heads,state,head_dim]") &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, s->inner));
}

bool
shape_ssd(const Node *node, ShapeResult *r)
{
    SsdSizes s;
    if (!ssd_sizes(r, node, &s) || !want_tokens(r, node, 0, s.inner, s.inner_from) ||
        !want_tokens(r, node, 1, s.heads, s.heads_from) ||
        !want_vector(r, node, 2, s.heads, s.heads_from) ||
        !want_tokens(r, node, 3, s.shared, s.shared_from) ||
        !want_tokens(r, node, 4, s.shared, s.shared_from) ||
        !want_vector(r, node, 5, s.heads, s.heads_from))
        return false;
    return ssd_result(r, node, &s, 6);
}

/* N P for each head: a multiplication of the state by one number a row. */
static double
state_macs(const Node *node)
{
    return (double)node_int(node, ATTR_heads, 1) * (double)node_int(node, ATTR_head_dim, 1) *
           (double)node_int(node, ATTR_state, 1);
}

/* Of the recurrent form. */
OpWork
work_ssd(const Node *node, int64_t block)
{
    (void)block;
    return (OpWork){.macs = 2 * state_macs(node)};
}

/* The decay of a delta: a column for each head, or for each channel of each head's key. By chunks
 * there is code for the first alone. */
static bool
want_decay(const Node *node, ShapeResult *r, const SsdSizes *s)
{
    int64_t channels = 0;
    if (!size_mul(s->heads, s->state, &channels) || channels > IR_MAX_DIM)
        return broken(r, -1, "heads*state is above the largest size, 2^40");
    const bool wide = s->state > 1 && is_float(operand(node, 3)) &&
                      operand(node, 3)->shape.rank == 2 && type_width(operand(node, 3)) == channels;
    if (wide && node_by_chunks(node))
        return broken(r, 3,
                      "form=%s takes one decay for each of heads=%lld; with one for each of "
                      "heads*state = %lld*%lld = %lld channels the form is recurrent",
                      node_word(node, ATTR_form, ""), (long long)s->heads, (long long)s->heads,
                      (long long)s->state, (long long)channels);
    const char *from =
        arena_printf(r->arena, "%s, or for each of heads*state = %lld*%lld = %lld", s->heads_from,
                     (long long)s->heads, (long long)s->state, (long long)channels);
    return want_tokens(r, node, 3, wide ? channels : s->heads, from);
}

/* As an ssd's, but for B and C, which are keys and queries here, and come first. */
bool
shape_delta(const Node *node, ShapeResult *r)
{
    SsdSizes s;
    if (!ssd_sizes(r, node, &s) || !want_tokens(r, node, 0, s.shared, s.shared_from) ||
        !want_tokens(r, node, 1, s.shared, s.shared_from) ||
        !want_tokens(r, node, 2, s.inner, s.inner_from) || !want_decay(node, r, &s) ||
        !want_tokens(r, node, 4, s.heads, s.heads_from))
        return false;
    return ssd_result(r, node, &s, 5);
}

/* The state gives to S^T k, takes k times what v differs by, and gives to y. */
OpWork
work_delta(const Node *node, int64_t block)
{
    (void)block;
    return (OpWork){.macs = 3 * state_macs(node)};
}

/* Tokens of a chunk that a token sees: half of the products are masked. */
static double
causal_tokens(const Node *node, int64_t block)
{
    const int64_t chunk = node_int(node, ATTR_chunk, CHUNK_ALL);
    return ((double)(chunk > 0 ? chunk : block) + 1) / 2;
}

bool
shape_chunk_decay(const Node *node, ShapeResult *r)
{
    if (!want_tokens(r, node, 0, 0, ""))
        return false;
    const int64_t heads = type_width(operand(node, 0));
    return want_vector(r, node, 1, heads, "one A for each head, a column of operand 1") &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, heads));
}

bool
shape_chunk_cb(const Node *node, ShapeResult *r)
{
    SsdSizes s;
    return ssd_sizes(r, node, &s) && want_tokens(r, node, 0, s.shared, s.shared_from) &&
           want_tokens(r, node, 1, s.shared, s.shared_from) && result(r, chunk_products(&s));
}

OpWork
work_chunk_cb(const Node *node, int64_t block)
{
    return (OpWork){.macs = (double)type_width(operand(node, 0)) * causal_tokens(node, block)};
}

bool
shape_chunk_state(const Node *node, ShapeResult *r)
{
    SsdSizes s;
    return ssd_sizes(r, node, &s) && want_tokens(r, node, 0, s.shared, s.shared_from) &&
           want_tokens(r, node, 1, s.inner, s.inner_from) &&
           want_tokens(r, node, 2, s.heads, s.heads_from) &&
           want_tokens(r, node, 3, s.heads, s.heads_from) && result(r, chunk_states(&s));
}

OpWork
work_chunk_state(const Node *node, int64_t block)
{
    (void)block;
    return (OpWork){.macs = state_macs(node)};
}

/* States before stretches of the tokens: f32 [2 parts,H,N,P]. */
bool
shape_ssd_starts(const Node *node, ShapeResult *r)
{
    enum { MOST_PARTS = 1 << 16 };
    SsdSizes s;
    const int64_t parts = node_int(node, ATTR_parts, 0);
    if (!ssd_sizes(r, node, &s) || !want_tokens(r, node, 0, s.inner, s.inner_from) ||
        !want_tokens(r, node, 1, s.heads, s.heads_from) ||
        !want_vector(r, node, 2, s.heads, s.heads_from) ||
        !want_tokens(r, node, 3, s.shared, s.shared_from))
        return false;
    if (parts < 2 || parts > MOST_PARTS)
        return broken(r, -1, "parts=%lld, expected 2 to %d", (long long)parts, MOST_PARTS);
    const int64_t state[] = {s.heads, s.state, s.head_dim};
    const int64_t dims[] = {2 * parts, s.heads, s.state, s.head_dim};
    return want_state(r, node, 4, 3, state, "the state is [heads,state,head_dim]") &&
           result(r, type_const(DTYPE_f32, 4, dims));
}

/* What ssd_starts gives, or nothing. */
static bool
want_starts(ShapeResult *r, const Node *node, int slot, const int64_t dims[3])
{
    const Type *t = slot < node->nin && node->in[slot] ? operand(node, slot) : NULL;
    if (!t)
        return true;
    const int64_t all[] = {t->shape.dim[0].n, dims[0], dims[1], dims[2]};
    const Type wanted = type_const(DTYPE_f32, 4, all);
    return (t->shape.rank == 4 && type_equal(t, &wanted)) ||
           unlike(r, node, slot, "f32[2 parts,H,N,P]", "states of stretches of the tokens");
}

bool
shape_state_pass(const Node *node, ShapeResult *r)
{
    const Type *t = operand(node, 0);
    const Dim chunks = {DIM_CHUNKS, node_int(node, ATTR_chunk, CHUNK_ALL)};
    if (t->dtype != DTYPE_f32 || t->shape.rank != 4 || !dim_equal(t->shape.dim[0], chunks))
        return unlike(r, node, 0, "f32[ceil(T/chunk),H,N,P]", "one state for each chunk");
    const int64_t dims[] = {t->shape.dim[1].n, t->shape.dim[2].n, t->shape.dim[3].n};
    return want_tokens(r, node, 1, dims[0], "one column for each head of operand 1") &&
           want_state(r, node, 2, 3, dims, "the state of one chunk of operand 1") &&
           want_starts(r, node, 3, dims) && result(r, *t);
}

bool
shape_chunk_out(const Node *node, ShapeResult *r)
{
    SsdSizes s;
    if (!ssd_sizes(r, node, &s))
        return false;
    const Type products = chunk_products(&s), states = chunk_states(&s);
    return want_shape(r, node, 0, &products, "C B^T as groups and chunk say") &&
           want_tokens(r, node, 1, s.heads, s.heads_from) &&
           want_tokens(r, node, 2, s.heads, s.heads_from) &&
           want_tokens(r, node, 3, s.inner, s.inner_from) &&
           want_tokens(r, node, 4, s.shared, s.shared_from) &&
           want_shape(r, node, 5, &states, "states as heads, state, head_dim and chunk say") &&
           want_vector(r, node, 6, s.heads, s.heads_from) &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, s.inner));
}

/* C h, and the products of x with what is left of C B^T. */
OpWork
work_chunk_out(const Node *node, int64_t block)
{
    const double inner = (double)type_width(&node->out[0]->type);
    return (OpWork){.macs = state_macs(node) + inner * causal_tokens(node, block)};
}

/* ---- parameters --------------------------------------------------------------------------- */

bool
shape_transpose(const Node *node, ShapeResult *r)
{
    const Type *w = operand(node, 0);
    const int rank = w->shape.rank;
    if (!is_float(w) || !is_const(w) || (rank != 2 && (rank != 3 || w->shape.dim[1].n != 1)))
        return unlike(r, node, 0, "[C,1,K] or [C,K]",
                      "it is the weight of a convolution, or a matrix");
    const int64_t dims[] = {w->shape.dim[rank - 1].n, w->shape.dim[0].n};
    return result(r, type_const(DTYPE_f32, 2, dims));
}
