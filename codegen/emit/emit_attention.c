/* codegen/emit/emit_attention.c -- causal attention over rows that are kept, in one walk over the
 * past with a running softmax: no memory grows with its length.
 *
 * Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), algorithm 3;
 * tiles as in Dao et al., "FlashAttention" (2022), algorithm 1, with one division at the end as in
 * Dao, "FlashAttention-2" (2023), section 3.1.1.
 *
 *     for each segment, each group g of heads, each block of tokens:
 *         rows of Q: every token of the block in each of the group's heads, times scale log2 e
 *         m = -inf, l = 0, O = 0, a number or a row for each row of Q
 *         for each 64 tokens of the past, up to the block's last:
 *             S = Q K^T, -inf where a token may not look
 *             m' = max(m, max S), a = 2^(m - m'), P = 2^(S - m')
 *             l = a l + sum P, O = a O + P V
 *         y = O / l
 *
 * The steps are attend_step.c, on the matrix unit attend_unit.c; attend_sums.c divides the past of
 * single tokens among threads.
 *
 * Groups of 64 tokens begin at multiples of 64 of a sequence's positions, and every row's sums go
 * through them in order: a result depends neither on what stands in the same block nor on how a
 * prompt was divided. Rows that a block's other tokens look at and this one does not have a weight
 * of 0 in it. Products multiply f32, or pairs of bf16 where keys and values are kept so. */
#include <string.h>

#include "codegen/emit/attend.h"

/* ---- what there is code for ---------------------------------------------------------------- */

static bool
lies_as(const Value *v, const char *layout, int64_t head_dim)
{
    const Node *n = v->def;
    return n && node_gives_state(n) && node_int(n, ATTR_head_dim, 0) == head_dim &&
           strcmp(node_word(n, ATTR_layout, "rows"), layout) == 0;
}

/* Whether the rows of all tokens stay that attention looks at. */
static bool
keeps_enough(const Value *v, const Node *attention)
{
    const int64_t stay = node_int(v->def, ATTR_window, INT64_MAX);
    return stay >= node_int(attention, ATTR_window, INT64_MAX);
}

bool
attend_fits(const Node *n, Diag *diag)
{
    const Value *keys = n->in[1], *values = n->in[2];
    const int64_t head_dim = node_int(n, ATTR_head_dim, 1), value_dim = node_value_dim(n);
    if (!lies_as(keys, "keys", head_dim) || !lies_as(values, "values", value_dim))
        return diag_error(diag, n->loc,
                          "attention reads `%s` of layout=keys, head_dim=%lld and `%s` of "
                          "layout=values, head_dim=%lld",
                          keys->name, (long long)head_dim, values->name, (long long)value_dim);
    if (!keeps_enough(keys, n) || !keeps_enough(values, n))
        return diag_error(diag, n->loc, "attention looks at more tokens than `%s` or `%s` keeps",
                          keys->name, values->name);
    if (keys->type.dtype != values->type.dtype)
        return diag_error(diag, n->loc, "attention reads keys of %s and values of %s",
                          dtype_info[keys->type.dtype].name, dtype_info[values->type.dtype].name);
    if (keys->type.dtype != DTYPE_f32 && head_dim % 2 != 0)
        return diag_error(diag, n->loc, "head_dim=%lld is odd: keys in 16 bits lie in pairs",
                          (long long)head_dim);
    return true;
}

bool
attend_open(Cg *c, CgKernel *k, Attend *a, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const Attr *dot = attrs_find(&k->kernel->attrs, ATTR_dot);
    *a = (Attend){.k = k,
                  .q = n->in[0],
                  .keys = cg_operand(k, n->in[1]),
                  .values = cg_operand(k, n->in[2]),
                  .y = n->out[0],
                  .heads = node_int(n, ATTR_heads, 1),
                  .groups = node_int(n, ATTR_groups, 1),
                  .head_dim = node_int(n, ATTR_head_dim, 1),
                  .value_dim = node_value_dim(n),
                  .window = node_int(n, ATTR_window, 0),
                  .scale = node_num(n, ATTR_scale, 1),
                  .cap = node_num(n, ATTR_softcap, 0)};
    a->together = a->heads / a->groups;
    if (!attend_fits(n, diag))
        return false;
    a->right = a->keys->dtype == DTYPE_f32 ? DTYPE_f32 : DTYPE_i32;
    a->left = dot && strcmp(dot->word, "f32") == 0 ? DTYPE_f32 : a->right;
    a->pairs = a->right == DTYPE_f32 ? 1 : 2;
    a->on_unit = kernel_on_unit(k->kernel);
    if (a->on_unit && (a->left == DTYPE_f32 || !c->machine->matrix.bf16))
        return diag_error(diag, n->loc, "unit=matrix multiplies keys and values of bf16");
    if (a->on_unit && (a->head_dim > TILE_MOST_CHANNELS || a->value_dim > TILE_MOST_CHANNELS))
        return diag_error(diag, n->loc, "unit=matrix takes heads of up to %d channels",
                          (int)TILE_MOST_CHANNELS);
    return true;
}

/* ---- loops --------------------------------------------------------------------------------- */

static void
store_results(Cg *c, const Attend *a)
{
    const Val per = cg_i64(c, a->together);
    CgLoop row = cg_loop(c, "result", cg_i64(c, 0), a->nrows, 1);
    const Val token = cg_div(c, row.i, per);
    const Val head = cg_add(c, cg_mul(c, a->group, per), cg_sub(c, row.i, cg_mul(c, token, per)));
    const Val line = attend_f32(c, a->o, cg_mul(c, row.i, cg_i64(c, a->o_stride)));
    const Val sum = attend_sum(c, a, row.i), part = cg_fdiv(c, cg_like(c, sum, 1), sum);
    const Val from = cg_mul(c, head, cg_i64(c, a->value_dim));
    const Val end = cg_add(c, from, cg_i64(c, a->value_dim));
    const Val at = cg_add(c, cg_add(c, a->seg.row, a->first), token);
    for (CgColumns s = cg_columns(c, at, from, end, c->lanes); cg_columns_next(c, &s);) {
        const Val o = cg_vload(c, attend_f32(c, line, cg_sub(c, s.at.col, from)), DTYPE_f32,
                               s.at.lanes, s.at.mask);
        cg_unbind_all(a->k);
        cg_bind(a->k, a->y, cg_fmul(c, o, cg_splat(c, part, s.at.lanes)));
        cg_store_outputs(c, a->k, &s.at);
    }
    cg_loop_end(c, &row);
}

static void
walk(Cg *c, Attend *a, Val from, Val end)
{
    CgLoop past = cg_loop(c, "past", from, end, a->step);
    a->at = past.i;
    const AttendRead keys = {.at = attend_kept(c, a, a->keys, a->keys_at, past.i)};
    const AttendRead values = {.at = attend_kept(c, a, a->values, a->values_at, past.i)};
    attend_step(c, a, &keys, &values);
    cg_loop_end(c, &past);
}

/* The block's walk over the past, from a multiple of the step on. */
static void
block_walk(Cg *c, Attend *a)
{
    const Val step = cg_i64(c, a->step), first = cg_add(c, a->seg.past, a->first);
    Val from = cg_i64(c, 0);
    if (a->window > 0) {
        const Val begin = cg_max(c, from, cg_sub(c, first, cg_i64(c, a->window - 1)));
        from = cg_mul(c, cg_div(c, begin, step), step);
    }
    (a->on_unit ? attend_unit_walk : walk)(c, a, from, cg_add(c, first, a->count));
}

static Val
segment_items(Cg *c, const Attend *a, const CgSeg *seg)
{
    const Val blocks = cg_div_up(c, seg->len, cg_i64(c, a->tokens));
    return cg_mul(c, blocks, cg_i64(c, a->groups));
}

/* (segment, group, block) items of this part, counted in this order. */
static void
items(Cg *c, Attend *a)
{
    const Val zero = cg_i64(c, 0), nseg = cg_call_field(c, a->k, CALL_nseg);
    const Val total = cg_var(c, c->i64, zero, "total"), base = cg_var(c, c->i64, zero, "base");
    CgLoop count = cg_loop(c, "count", zero, nseg, 1);
    const CgSeg counted = cg_segment(c, a->k, count.i);
    cg_set(c, total, cg_add(c, cg_get(c, c->i64, total), segment_items(c, a, &counted)));
    cg_loop_end(c, &count);
    Val from, to;
    cg_share(c, a->k, cg_get(c, c->i64, total), 1, &from, &to);
    CgLoop each = cg_loop(c, "segment", zero, nseg, 1);
    a->seg = cg_segment(c, a->k, each.i);
    a->keys_at = cg_kept_at(c, a->k, a->keys, a->seg.slot);
    a->values_at = cg_kept_at(c, a->k, a->values, a->seg.slot);
    const Val before = cg_get(c, c->i64, base), here = segment_items(c, a, &a->seg);
    cg_set(c, base, cg_add(c, before, here));
    const Val blocks = cg_div(c, here, cg_i64(c, a->groups));
    CgLoop item = cg_loop(c, "item", cg_max(c, zero, cg_sub(c, from, before)),
                          cg_min(c, here, cg_sub(c, to, before)), 1);
    a->group = cg_div(c, item.i, blocks);
    const Val block = cg_sub(c, item.i, cg_mul(c, a->group, blocks));
    a->first = cg_mul(c, block, cg_i64(c, a->tokens));
    a->count = cg_min(c, cg_i64(c, a->tokens), cg_sub(c, a->seg.len, a->first));
    a->nrows = cg_mul(c, a->count, cg_i64(c, a->together));
    attend_queries(c, a);
    attend_clear(c, a);
    block_walk(c, a);
    store_results(c, a);
    cg_loop_end(c, &item);
    cg_loop_end(c, &each);
}

static int64_t
at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

bool
emit_attention(Cg *c, CgKernel *k, Diag *diag)
{
    Attend a;
    if (!attend_open(c, k, &a, diag))
        return false;
    const int64_t most = a.on_unit ? TILE_ATTEND_UNIT_ROWS : TILE_ATTEND_ROWS;
    a.tokens = at_most(a.together < most ? most / a.together : 1, k->graph->block);
    if (a.on_unit) {
        attend_unit_reserve(c, &a);
        attend_unit_begin(c);
    } else {
        attend_step_reserve(c, &a, a.tokens * a.together, 1);
    }
    items(c, &a);
    if (a.on_unit)
        attend_unit_end(c);
    return true;
}
