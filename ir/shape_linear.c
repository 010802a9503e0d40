/* ir/shape_linear.c -- shape rules of projections, of whole numbers, and of packed weights. */
#include <string.h>

#include "ir/shape.h"

/* ---- several matrices ------------------------------------------------------------------------ */

/* A type for each of `count` matrices; 0: there is one, which needs no dimension of its own. */
static Type
stack_of(int64_t count, Type matrix)
{
    Type all = matrix;
    if (!count)
        return matrix;
    for (int i = 0; i < matrix.shape.rank; i++)
        all.shape.dim[i + 1] = matrix.shape.dim[i];
    all.shape.dim[0] = const_dim(count);
    all.shape.rank++;
    return all;
}

/* Matrices that operand 0 of a node holds, and the type of one; 0: it is one. */
static int64_t
stacked(const Node *node, Type *matrix)
{
    *matrix = *operand(node, 0);
    if (matrix->shape.rank != 3)
        return 0;
    const int64_t count = matrix->shape.dim[0].n;
    matrix->shape.rank = 2;
    matrix->shape.dim[0] = matrix->shape.dim[1];
    matrix->shape.dim[1] = matrix->shape.dim[2];
    return count;
}

/* The expert of each row, chosen among as many as the weight has matrices: kernels take it as an
 * index into the weight without a check. */
static bool
want_experts(ShapeResult *r, const Node *node)
{
    const int slot = op_slot(node->op, 'e');
    const Value *e = node->in[slot];
    const Dim rows = e->type.shape.dim[0], x = operand(node, 0)->shape.dim[0];
    if (e->type.dtype != DTYPE_i32 || e->type.shape.rank != 1 || rows.kind != DIM_CHOICES)
        return unlike(r, node, slot, "i32[T*k]", "it is the expert of each row");
    if (x.kind != DIM_TOKENS && !dim_equal(x, rows))
        return unlike(r, node, 0, arena_printf(r->arena, "rows T or T*%lld", (long long)rows.n),
                      "they go to the experts of operand 2");
    const Value *logits = e->def ? node_operand(e->def, 'x') : NULL;
    const int64_t among = logits ? type_width(&logits->type) : 0, has = node_experts(node);
    return among == has ||
           broken(r, slot, "operand %d, `%s`, is chosen among %lld experts; the weight has %lld",
                  slot + 1, e->name, (long long)among, (long long)has);
}

/* Rows of the results: those of x, or those that went to experts. */
static Dim
rows_made(const Node *node)
{
    const int slot = op_slot(node->op, 'e');
    return operand(node, slot < 0 ? 0 : slot)->shape.dim[0];
}

/* ---- rows of a weight, and the bias beside them -------------------------------------------- */

/* How many rows of a weight [O,K] attributes first and rows pick; 0: not that many are there. */
static int64_t
picked_rows(const Node *node, int64_t all)
{
    const int64_t first = node_int(node, ATTR_first, 0);
    const int64_t rows = node_int(node, ATTR_rows, all - first);
    return first < all && rows >= 1 && rows <= all - first ? rows : 0;
}

static bool
want_picked(ShapeResult *r, const Node *node, int slot, int64_t *out)
{
    const Type w = node_matrix(node, node->in[slot]);
    const int64_t all = w.shape.dim[w.shape.rank - 2].n;
    *out = picked_rows(node, all);
    if (operand(node, slot)->shape.rank > 2 && *out != all)
        return broken(r, slot, "first and rows pick rows of one matrix; `%s` is %s",
                      node->in[slot]->name, type_text(r, operand(node, slot)));
    return *out || broken(r, slot, "operand %d, `%s`, has %lld rows; first and rows ask for more",
                          slot + 1, node->in[slot]->name, (long long)all);
}

/* One bias for each column; of a weight whose rows were picked, the bias has all of them. */
static bool
want_bias(ShapeResult *r, const Node *node, int slot, int64_t out, bool picked)
{
    if (slot < 0)
        return true;
    if (!picked)
        return want_vector(r, node, slot, out, "one bias for each output column of the weight");
    if (!node->in[slot])
        return true;
    const Type *t = operand(node, slot);
    const int64_t least = node_int(node, ATTR_first, 0) + out;
    if (is_float(t) && t->shape.rank == 1 && is_const(t) && t->shape.dim[0].n >= least)
        return true;
    return unlike(r, node, slot, arena_printf(r->arena, "[%lld] or longer", (long long)least),
                  "one bias for each row of the weight");
}

/* ---- linear --------------------------------------------------------------------------------- */

bool
node_in_triples(const Node *node)
{
    return strcmp(node_word(node, ATTR_dot, "f32"), "bf16x3") == 0;
}

/* What is taken apart into sums of two bf16 is f32: x of a projection, a weight that is packed. */
static bool
want_whole(ShapeResult *r, const Node *node)
{
    return !node_in_triples(node) || operand(node, 0)->dtype == DTYPE_f32 ||
           unlike(r, node, 0, "f32", "dot=bf16x3 makes two bf16 of each number of it");
}

/* Pairs of bf16 that hold a row of K numbers as sums of two: K goes up to a step of the unit. */
static int64_t
triple_pairs(int64_t width)
{
    return ceil_div(width, IR_TRIPLE_STEP) * IR_TRIPLE_STEP;
}

/* A packed weight, rank 3 in f32 and f16 or rank 4 in bf16 (ops.def, pack), of a projection [K] ->
 * [out]. */
static bool
packed_weight(ShapeResult *r, const Node *node, int64_t width, int64_t out)
{
    const int slot = op_slot(node->op, 'W');
    const Type matrix = node_matrix(node, node->in[slot]), *w = &matrix;
    const bool pairs = w->shape.rank == 4;
    const int64_t panel = w->shape.dim[2].n;
    if ((w->dtype == DTYPE_bf16) != pairs)
        return unlike(r, node, slot, "f32 or f16 of rank 3, or bf16 of rank 4",
                      "these are the packed forms");
    if (node_in_triples(node) && !pairs)
        return unlike(r, node, slot, "bf16 of rank 4", "that is how dot=bf16x3 is packed");
    const int64_t steps = node_in_triples(node) ? triple_pairs(width)
                          : pairs               ? ceil_div(width, 2)
                                                : width;
    int64_t dims[] = {ceil_div(out, panel), steps, panel, 2};
    const Type wanted = stack_of(node_experts(node), type_const(w->dtype, w->shape.rank, dims));
    return want_shape(r, node, slot, &wanted,
                      arena_printf(r->arena,
                                   "out=%lld columns in panels of %lld, x has %lld columns",
                                   (long long)out, (long long)panel, (long long)width));
}

static bool
plain_weight(ShapeResult *r, const Node *node, int64_t width, int64_t out)
{
    const int slot = op_slot(node->op, 'W');
    const Type matrix = node_matrix(node, node->in[slot]), *w = &matrix;
    const char *stack = node_experts(node) ? "E," : "";
    if (w->shape.rank != 2)
        return unlike(r, node, slot, arena_printf(r->arena, "[%sO,K]", stack),
                      "only `out` makes a weight packed");
    const int64_t rows = w->shape.dim[0].n, columns = w->shape.dim[1].n;
    if (columns != width)
        return unlike(r, node, slot, arena_printf(r->arena, "[%sO,%lld]", stack, (long long)width),
                      arena_printf(r->arena, "operand 1, `%s`, has %lld columns", node->in[0]->name,
                                   (long long)width));
    if (out && rows != out)
        return unlike(r, node, slot, arena_printf(r->arena, "[%s%lld,K]", stack, (long long)out),
                      "that many are said by `out`");
    return true;
}

bool
shape_linear(const Node *node, ShapeResult *r)
{
    if (!want_rows(r, node, 0))
        return false;
    const int slot = op_slot(node->op, 'W');
    const bool experts = op_slot(node->op, 'e') >= 0;
    const Type *x = operand(node, 0), matrix = node_matrix(node, node->in[slot]), *w = &matrix;
    if (!is_float(w) || !is_const(operand(node, slot)) || w->shape.rank < 2)
        return unlike(r, node, slot, experts ? "[E,O,K]" : "[O,K]", "it is the weight");
    if (!want_whole(r, node) || (experts && !want_experts(r, node)))
        return false;
    const int64_t width = type_width(x), said = node_int(node, ATTR_out, 0);
    const bool packed = w->shape.rank > 2 && said;
    if (!(packed ? packed_weight : plain_weight)(r, node, width, said))
        return false;
    int64_t out = said;
    if (!packed && !want_picked(r, node, slot, &out))
        return false;
    if (x->dtype != DTYPE_f32 && x->dtype != w->dtype)
        return unlike(r, node, 0, "f32",
                      arena_printf(r->arena, "the weight is %s", dtype_info[w->dtype].name));
    if (w->shape.rank == 4 && x->dtype != DTYPE_bf16 && !node_in_triples(node))
        return unlike(r, node, 0, "bf16", "the weight is packed in pairs of bf16");
    const bool picked = node_int(node, ATTR_first, 0) || node_int(node, ATTR_rows, 0);
    return want_bias(r, node, op_slot(node->op, 'B'), out, picked) &&
           result(r, type_rows_of(DTYPE_f32, rows_made(node), out));
}

bool
shape_experts(const Node *node, ShapeResult *r)
{
    return shape_linear(node, r);
}

OpWork
work_linear(const Node *node, int64_t block)
{
    const double inputs = (double)type_width(&node_operand(node, 'x')->type);
    (void)block;
    return (OpWork){.macs = inputs * (double)type_width(&node->out[0]->type)};
}

/* ---- whole numbers --------------------------------------------------------------------------- */

bool
shape_quantise(const Node *node, ShapeResult *r)
{
    if (!want_rows(r, node, 0))
        return false;
    const Type *x = operand(node, 0);
    r->out[0] = type_rows_of(DTYPE_i8, x->shape.dim[0], type_width(x));
    r->out[1] = type_rows_of(DTYPE_f32, x->shape.dim[0], 1);
    r->nout = 2;
    return true;
}

static bool
want_weight(ShapeResult *r, const Node *node)
{
    const Type *w = operand(node, 0);
    if (is_float(w) && is_const(w) && (w->shape.rank == 2 || w->shape.rank == 3))
        return true;
    return unlike(r, node, 0, "[O,K] or [E,O,K]", "it is the weight of a projection");
}

/* Groups of a row of K inputs; 1 without the attribute. */
static int64_t
groups_of(const Node *node, int64_t width)
{
    const int64_t group = node_int(node, ATTR_group, 0);
    return group ? ceil_div(width, group) : 1;
}

/* Sums over a group are made from packed steps of eight inputs. */
static bool
want_group(ShapeResult *r, const Node *node)
{
    const int64_t group = node_int(node, ATTR_group, 8);
    return group % 8 == 0 ||
           broken(r, -1, "group=%lld, expected a multiple of 8", (long long)group);
}

/* A scale for each group of each row: f32 where a row is one group, else what `given` are (NULL:
 * they are made here): bf16. */
static Type
scales_type(const Node *node, const Value *given, int64_t out, int64_t width)
{
    const int64_t dims[] = {out, groups_of(node, width)};
    const bool grouped = attrs_find(&node->attrs, ATTR_group) != NULL;
    const Dtype dtype =
        given && dtype_info[given->type.dtype].is_float ? given->type.dtype : DTYPE_bf16;
    return type_const(grouped ? dtype : DTYPE_f32, 2, dims);
}

/* Scales and minima that the weight has already: of all its rows. */
static bool
want_given(const Node *node, ShapeResult *r, const Type *matrix, int64_t count, int slots)
{
    for (int slot = 1; slot < slots; slot++) {
        if (!node->in[slot] != !node->in[1])
            return broken(r, -1, "scales and minima are given together");
        if (!node->in[slot])
            continue;
        const int64_t group = node_int(node, ATTR_group, 0);
        if (!group || type_width(matrix) % group)
            return broken(r, -1, "given scales are of whole groups of a row");
        const Type one = scales_type(node, node->in[1], matrix->shape.dim[0].n, type_width(matrix));
        const Type wanted = stack_of(count, one);
        if (!is_const(&node->in[slot]->type) ||
            !want_shape(r, node, slot, &wanted, "one for each group of each row of the weight"))
            return false;
    }
    return true;
}

static bool
quantised_weight(const Node *node, ShapeResult *r, Dtype dtype, int nout)
{
    int64_t out = 0;
    if (!want_weight(r, node) || !want_group(r, node) || !want_picked(r, node, 0, &out))
        return false;
    Type matrix;
    const int64_t count = stacked(node, &matrix), dims[] = {out, type_width(&matrix)};
    if (!want_given(node, r, &matrix, count, nout))
        return false;
    r->out[0] = stack_of(count, type_const(dtype, 2, dims));
    for (int i = 1; i < nout; i++)
        r->out[i] = stack_of(count, scales_type(node, node->in[1], dims[0], dims[1]));
    r->nout = nout;
    return true;
}

bool
shape_quantise_i8(const Node *node, ShapeResult *r)
{
    return quantised_weight(node, r, DTYPE_i8, 2);
}

bool
shape_quantise_u4(const Node *node, ShapeResult *r)
{
    return quantised_weight(node, r, DTYPE_u4, 3);
}

/* ---- packed ---------------------------------------------------------------------------------- */

/* Elements of one packed step, beside each other for one output column. */
static int64_t
step_of(Dtype dtype)
{
    return dtype == DTYPE_bf16 ? 2 : dtype == DTYPE_i8 ? 4 : dtype == DTYPE_u4 ? 8 : 1;
}

/* Type of [out,width] of `from` packed in panels. */
static Type
packed_type(const Node *node, Dtype from, int64_t out, int64_t width, int64_t panel)
{
    const int64_t step = step_of(from), group = node_int(node, ATTR_group, 0);
    const int64_t whole = group ? ceil_div(width, 2 * group) * 2 * group : width;
    int64_t dims[] = {ceil_div(out, panel), ceil_div(whole, step), panel, step < 4 ? step : 4};
    const Dtype to = from == DTYPE_i8 ? DTYPE_u8 : from == DTYPE_u4 ? DTYPE_u4x2 : from;
    return type_const(to, step > 1 ? 4 : 3, dims);
}

bool
shape_pack(const Node *node, ShapeResult *r)
{
    const Type *w = operand(node, 0);
    const bool packs = is_float(w) || w->dtype == DTYPE_i8 || w->dtype == DTYPE_u4;
    if (!packs || !is_const(w) || (w->shape.rank != 2 && w->shape.rank != 3))
        return unlike(r, node, 0, "[O,K] or [E,O,K]", "it is the weight of a projection");
    if (is_float(w) && attrs_find(&node->attrs, ATTR_group))
        return broken(r, -1, "only whole numbers are packed in groups; `%s` is %s",
                      node->in[0]->name, type_text(r, w));
    int64_t out = 0;
    if (!want_group(r, node) || !want_picked(r, node, 0, &out) || !want_whole(r, node))
        return false;
    Type matrix;
    const int64_t count = stacked(node, &matrix), width = type_width(&matrix);
    const int64_t panel = node_int(node, ATTR_panel, 1);
    const bool triples = node_in_triples(node);
    return result(r,
                  stack_of(count, packed_type(node, triples ? DTYPE_bf16 : w->dtype, out,
                                              triples ? 2 * triple_pairs(width) : width, panel)));
}

/* ---- linear over whole numbers ------------------------------------------------------------ */

/* Quantised rows, and a scale for each. */
static bool
want_quantised(ShapeResult *r, const Node *node)
{
    const Type *x = operand(node, 0);
    const bool rows =
        x->shape.rank == 2 && x->shape.dim[1].kind == DIM_CONST && dim_is_rows(x->shape.dim[0]);
    if (!rows || x->dtype != DTYPE_i8)
        return unlike(r, node, 0, "i8[T,K]", "it is one quantised row per token");
    const Type scale = type_rows_of(DTYPE_f32, x->shape.dim[0], 1);
    return want_shape(r, node, 1, &scale, "one scale for each row of operand 1");
}

/* Operand `slot` holds one number for each group of each column, plain or packed in panels. */
static bool
want_scales(ShapeResult *r, const Node *node, int slot, int64_t out, int64_t panel)
{
    const int64_t width = type_width(operand(node, 0));
    Type wanted = scales_type(node, node->in[slot], out, width);
    if (panel) {
        const Node plain = {.op = OP_pack};
        wanted = packed_type(&plain, wanted.dtype, out, wanted.shape.dim[1].n, panel);
    }
    wanted = stack_of(node_experts(node), wanted);
    return want_shape(r, node, slot, &wanted, "one for each group of each output column");
}

static bool
linear_integers(const Node *node, ShapeResult *r, Dtype dtype, int scales)
{
    const bool experts = op_slot(node->op, 'e') >= 0;
    if (!want_quantised(r, node) || !want_group(r, node) || (experts && !want_experts(r, node)))
        return false;
    const int slot = op_slot(node->op, 'W');
    const Type *x = operand(node, 0), matrix = node_matrix(node, node->in[slot]), *w = &matrix;
    const int64_t width = type_width(x), said = node_int(node, ATTR_out, 0);
    const bool packed = w->shape.rank == 4 && said;
    if (!is_const(operand(node, slot)) || (!packed && w->shape.rank != 2))
        return unlike(r, node, slot, experts ? "[E,O,K]" : "[O,K]",
                      "it is the weight; `out` makes it packed");
    const int64_t out = packed ? said : w->shape.dim[0].n;
    const int64_t panel = packed ? w->shape.dim[2].n : 0, dims[] = {out, width};
    const Type one =
        packed ? packed_type(node, dtype, out, width, panel) : type_const(dtype, 2, dims);
    const Type wanted = stack_of(node_experts(node), one);
    if (!want_shape(r, node, slot, &wanted, "as x, out and group say"))
        return false;
    for (int i = 0; i < scales; i++)
        if (!want_scales(r, node, slot + 1 + i, out, panel))
            return false;
    return want_bias(r, node, op_slot(node->op, 'B'), out, true) &&
           result(r, type_rows_of(DTYPE_f32, rows_made(node), out));
}

bool
shape_linear_i8(const Node *node, ShapeResult *r)
{
    return linear_integers(node, r, DTYPE_i8, 1);
}

bool
shape_linear_u4(const Node *node, ShapeResult *r)
{
    return linear_integers(node, r, DTYPE_u4, 2);
}

bool
shape_experts_i8(const Node *node, ShapeResult *r)
{
    return linear_integers(node, r, DTYPE_i8, 1);
}

bool
shape_experts_u4(const Node *node, ShapeResult *r)
{
    return linear_integers(node, r, DTYPE_u4, 2);
}
