/* codegen/emit/emit_keep.c -- rows of a pass into a growing state, in the order that attention
 * reads them in (codegen/emit/kept.h); pointwise ops before it are computed as rows are written.
 *
 * Threads divide rows. A row of the state belongs to one token, so that no two threads write the
 * same element. */
#include <string.h>

#include "codegen/emit/kept.h"

typedef enum { KEEP_rows, KEEP_keys, KEEP_values } KeepLayout;

typedef struct {
    CgKernel *k;
    const Value *x;
    const CgOperand *state;
    KeepLayout layout;
    int64_t width, head_dim;
    Val base;   /* of the token's group of rows */
    Val inside; /* the token's number in it */
} Keep;

Val
cg_kept_group(Cg *c, Val base, Dtype dtype, Val row, int64_t width, Val head, int64_t head_dim)
{
    const Val first = cg_mul(c, row, cg_i64(c, width));
    const Val before = cg_mul(c, head, cg_i64(c, KEPT_GROUP * head_dim));
    return cg_at(c, base, dtype, cg_add(c, first, before));
}

/* Elements of the vector, or their pairs, `step` apart. */
static void
scatter(Cg *c, Val to, Val elements, int64_t step)
{
    const LLVMTypeRef type = LLVMTypeOf(elements);
    const bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    const LLVMTypeRef element = vector ? LLVMGetElementType(type) : type;
    for (int i = 0; i < cg_lanes_of(elements); i++) {
        Val index = cg_i64(c, i * step);
        const Val at = LLVMBuildInBoundsGEP2(c->b, element, to, &index, 1, "");
        const Val lane = LLVMConstInt(c->i32, (unsigned)i, 0);
        const Val one = vector ? LLVMBuildExtractElement(c->b, elements, lane, "") : elements;
        LLVMSetAlignment(LLVMBuildStore(c->b, one, at), 2);
    }
}

/* Channels from `col` of the token, of one head at that, as keys: pairs of them where there are. */
static void
put_keys(Cg *c, const Keep *p, Val col, Val value)
{
    const Dtype dtype = p->state->dtype;
    const int lanes = cg_lanes_of(value);
    const Val line = cg_mul(c, col, cg_i64(c, KEPT_GROUP));
    if (dtype == DTYPE_f32) {
        scatter(c, cg_at(c, p->base, dtype, cg_add(c, line, p->inside)), value, KEPT_GROUP);
        return;
    }
    const Val to = cg_at(c, p->base, dtype, cg_add(c, line, cg_mul(c, p->inside, cg_i64(c, 2))));
    const Val bits = cg_bf16_bits(c, value);
    scatter(c, to, LLVMBuildBitCast(c->b, bits, cg_vec_of(c->i32, lanes / 2), ""), KEPT_GROUP);
}

static void
put_values(Cg *c, const Keep *p, Val head, Val col, Val value)
{
    const Dtype dtype = p->state->dtype;
    const Val from = cg_mul(c, head, cg_i64(c, KEPT_GROUP * p->head_dim));
    const Val channels = cg_i64(c, p->head_dim);
    if (dtype == DTYPE_f32) {
        const Val element = cg_add(c, cg_mul(c, p->inside, channels), col);
        cg_vstore(c, cg_at(c, p->base, dtype, cg_add(c, from, element)), dtype, value,
                  cg_lanes_of(value), NULL);
        return;
    }
    const Val two = cg_i64(c, 2), pair = cg_div(c, p->inside, two);
    const Val odd = cg_sub(c, p->inside, cg_mul(c, pair, two));
    const Val element = cg_mul(c, cg_add(c, cg_mul(c, pair, channels), col), two);
    scatter(c, cg_at(c, p->base, dtype, cg_add(c, from, cg_add(c, element, odd))),
            cg_bf16_bits(c, value), 2);
}

static void
put(Cg *c, const Keep *p, Val row, Val head, Val col, int lanes)
{
    const Val first = cg_add(c, cg_mul(c, head, cg_i64(c, p->head_dim)), col);
    const CgSite site = {.row = row, .col = first, .lanes = lanes};
    cg_unbind_all(p->k);
    const Val value = cg_eval(c, p->k, p->x, &site);
    switch (p->layout) {
    case KEEP_rows:
        cg_vstore(c,
                  cg_at(c, p->base, p->state->dtype,
                        cg_add(c, cg_mul(c, p->inside, cg_i64(c, p->width)), first)),
                  p->state->dtype, value, lanes, NULL);
        return;
    case KEEP_keys:
        put_keys(c, p, first, value);
        return;
    case KEEP_values:
        put_values(c, p, head, col, value);
        return;
    }
}

/* Channels of a head: vectors, then what is left; pairs where channels lie in pairs. */
static void
put_row(Cg *c, const Keep *p, Val row)
{
    const bool pairs = p->layout == KEEP_keys && p->state->dtype != DTYPE_f32;
    const int64_t whole = p->head_dim / c->lanes * c->lanes;
    const int rest = pairs ? 2 : 1;
    const Val zero = cg_i64(c, 0);
    CgLoop head = cg_loop(c, "head", zero, cg_i64(c, p->width / p->head_dim), 1);
    CgLoop col = cg_loop(c, "col", zero, cg_i64(c, whole), c->lanes);
    put(c, p, row, head.i, col.i, c->lanes);
    cg_loop_end(c, &col);
    CgLoop last = cg_loop(c, "rest", cg_i64(c, whole), cg_i64(c, p->head_dim), rest);
    put(c, p, row, head.i, last.i, rest);
    cg_loop_end(c, &last);
    cg_loop_end(c, &head);
}

static KeepLayout
layout_of(const Node *n)
{
    const char *layout = node_word(n, ATTR_layout, "rows");
    return strcmp(layout, "keys") == 0     ? KEEP_keys
           : strcmp(layout, "values") == 0 ? KEEP_values
                                           : KEEP_rows;
}

bool
emit_keep(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    (void)diag;
    Keep p = {.k = k,
              .x = n->in[0],
              .state = cg_operand(k, n->in[1]),
              .layout = layout_of(n),
              .width = cg_width(n->in[0]),
              .head_dim = node_int(n, ATTR_head_dim, cg_width(n->in[0]))};
    const Val step = cg_i64(c, KEPT_GROUP);
    Val from, to;
    cg_share(c, k, k->tokens, 1, &from, &to);
    CgLoop each = cg_loop(c, "segment", cg_i64(c, 0), cg_call_field(c, k, CALL_nseg), 1);
    const CgSeg seg = cg_segment(c, k, each.i);
    const Val state = cg_kept_at(c, k, p.state, seg.slot);
    const Val first = cg_max(c, from, seg.row);
    const Val end = cg_min(c, to, cg_add(c, seg.row, seg.len));
    CgLoop row = cg_loop(c, "row", first, end, 1);
    const Val at = cg_kept_row(c, k, n, cg_add(c, seg.past, cg_sub(c, row.i, seg.row)));
    p.inside = LLVMBuildURem(c->b, at, step, "");
    p.base =
        cg_kept_group(c, state, p.state->dtype, cg_sub(c, at, p.inside), p.width, cg_i64(c, 0), 0);
    put_row(c, &p, row.i);
    cg_loop_end(c, &row);
    cg_loop_end(c, &each);
    return true;
}
