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
 * Groups of 64 tokens begin at multiples of 64 of a sequence's positions, and every row's sums go
 * through them in order: a result depends neither on what stands in the same block nor on how a
 * prompt was divided. Rows that a block's other tokens look at and this one does not have a weight
 * of 0 in it. Products multiply f32, or pairs of bf16 where keys and values are kept so. */
#include <math.h>
#include <string.h>

#include "codegen/emit/attend.h"

Val
attend_f32(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_f32, index);
}

Val
attend_one(Cg *c, Val base, Val index)
{
    return cg_vload(c, attend_f32(c, base, index), DTYPE_f32, 1, NULL);
}

/* ---- a block begins and ends --------------------------------------------------------------- */

/* Row token * together + head of Q. */
static void
stage_queries(Cg *c, const Attend *a)
{
    const Dtype dtype = a->unit == DTYPE_f32 ? DTYPE_f32 : DTYPE_bf16;
    const double log2e = 1.44269504088896340736, scale = a->cap > 0 ? a->scale : a->scale * log2e;
    const Val per = cg_i64(c, a->together);
    CgLoop row = cg_loop(c, "query", cg_i64(c, 0), a->nrows, 1);
    const Val token = cg_div(c, row.i, per);
    const Val head = cg_add(c, cg_mul(c, a->group, per), cg_sub(c, row.i, cg_mul(c, token, per)));
    const Val line = cg_at(c, a->q_rows, dtype, cg_mul(c, row.i, cg_i64(c, a->q_stride)));
    const Val from = cg_mul(c, head, cg_i64(c, a->head_dim));
    const Val end = cg_add(c, from, cg_i64(c, a->head_dim));
    const Val at = cg_add(c, cg_add(c, a->seg.row, a->first), token);
    for (CgColumns s = cg_columns(c, at, from, end, c->lanes); cg_columns_next(c, &s);) {
        cg_unbind_all(a->k);
        const Val q = cg_eval(c, a->k, a->q, &s.at);
        cg_vstore(c, cg_at(c, line, dtype, cg_sub(c, s.at.col, from)), dtype,
                  cg_fmul(c, q, cg_like(c, q, scale)), s.at.lanes, s.at.mask);
    }
    for (int64_t p = a->head_dim; a->on_unit && p < a->q_stride; p++) /* of a whole step */
        cg_vstore(c, cg_at(c, line, dtype, cg_i64(c, p)), dtype, cg_f32(c, 0), 1, NULL);
    cg_loop_end(c, &row);
}

/* m, l and O of nothing. */
static void
block_clear(Cg *c, const Attend *a)
{
    const Val zero = cg_splat(c, cg_f32(c, 0), c->lanes), lowest = cg_like(c, zero, -0x1p100);
    CgLoop row = cg_loop(c, "clear", cg_i64(c, 0), cg_i64(c, a->rows), c->lanes);
    cg_vstore(c, attend_f32(c, a->most, row.i), DTYPE_f32, lowest, c->lanes, NULL);
    cg_vstore(c, attend_f32(c, a->sum, row.i), DTYPE_f32, zero, c->lanes, NULL);
    cg_loop_end(c, &row);
    CgLoop o = cg_loop(c, "clear", cg_i64(c, 0), cg_i64(c, a->rows * a->o_stride), c->lanes);
    cg_vstore(c, attend_f32(c, a->o, o.i), DTYPE_f32, zero, c->lanes, NULL);
    cg_loop_end(c, &o);
}

static void
store_results(Cg *c, const Attend *a)
{
    const Val per = cg_i64(c, a->together);
    CgLoop row = cg_loop(c, "result", cg_i64(c, 0), a->nrows, 1);
    const Val token = cg_div(c, row.i, per);
    const Val head = cg_add(c, cg_mul(c, a->group, per), cg_sub(c, row.i, cg_mul(c, token, per)));
    const Val line = attend_f32(c, a->o, cg_mul(c, row.i, cg_i64(c, a->o_stride)));
    const Val sum = attend_one(c, a->sum, row.i), part = cg_fdiv(c, cg_like(c, sum, 1), sum);
    const Val from = cg_mul(c, head, cg_i64(c, a->head_dim));
    const Val end = cg_add(c, from, cg_i64(c, a->head_dim));
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

/* ---- 64 tokens of the past ----------------------------------------------------------------- */

static void
scores(Cg *c, const Attend *a, Val keys)
{
    const int64_t stride = a->q_stride / a->pairs;
    CgLoop row = cg_loop(c, "s_row", cg_i64(c, 0), a->nrows, a->tall);
    CgLoop col = cg_loop(c, "s_col", cg_i64(c, 0), cg_i64(c, KEPT_GROUP), a->vecs * c->lanes);
    const CgTile tile = cg_tile(c, a->tall, a->vecs, c->lanes);
    const CgSide left = {cg_at(c, a->q_rows, a->unit, cg_mul(c, row.i, cg_i64(c, stride))), a->unit,
                         stride, 1};
    const CgSide right = {cg_at(c, keys, a->unit, col.i), a->unit, 1, KEPT_GROUP};
    cg_tile_mac(c, &tile, &left, &right, cg_i64(c, 0), cg_i64(c, a->head_dim / a->pairs));
    const Val to = cg_add(c, cg_mul(c, row.i, cg_i64(c, KEPT_GROUP)), col.i);
    cg_tile_store(c, &tile, attend_f32(c, a->s, to), DTYPE_f32, KEPT_GROUP);
    cg_loop_end(c, &col);
    cg_loop_end(c, &row);
}

/* softcap tanh(s / softcap), times log2 e. */
Val
attend_capped(Cg *c, const Attend *a, Val s)
{
    const double log2e = 1.44269504088896340736;
    if (!(a->cap > 0))
        return s;
    const Val bounded = cg_tanh(c, cg_fmul(c, s, cg_like(c, s, 1 / a->cap)));
    return cg_fmul(c, bounded, cg_like(c, s, a->cap * log2e));
}

Val
attend_position(Cg *c, const Attend *a, Val row)
{
    const Val token = cg_add(c, a->first, cg_div(c, row, cg_i64(c, a->together)));
    return cg_add(c, a->seg.past, token);
}

static Val
lane_numbers(Cg *c, int lanes)
{
    Val n[TILE_MOST];
    for (int i = 0; i < lanes; i++)
        n[i] = cg_i64(c, i);
    return lanes > 1 ? LLVMConstVector(n, (unsigned)lanes) : n[0];
}

/* -inf where the token at `position` does not look: after itself, or before its window. */
Val
attend_masked(Cg *c, const Attend *a, Val s, Val from, Val position)
{
    const int lanes = cg_lanes_of(s);
    const LLVMTypeRef i32s = cg_vec_of(c->i32, lanes);
    const Val none = cg_like(c, s, -INFINITY);
    /* Numbers of lanes beside differences of positions: both are small where it matters. */
    const Val lane = LLVMBuildTrunc(c->b, lane_numbers(c, lanes), i32s, "");
    const Val bound = cg_i64(c, KEPT_GROUP);
    const Val after = cg_min(c, cg_sub(c, position, from), bound);
    const Val last = LLVMBuildTrunc(c->b, cg_max(c, after, cg_i64(c, -1)), c->i32, "");
    Val seen = LLVMBuildICmp(c->b, LLVMIntSLE, lane, cg_splat(c, last, lanes), "");
    if (a->window > 0) {
        const Val before = cg_sub(c, cg_sub(c, position, cg_i64(c, a->window)), from);
        const Val low = cg_min(c, cg_max(c, before, cg_i64(c, -1)), bound);
        const Val first = LLVMBuildTrunc(c->b, low, c->i32, "");
        const Val inside = LLVMBuildICmp(c->b, LLVMIntSGT, lane, cg_splat(c, first, lanes), "");
        seen = LLVMBuildAnd(c->b, seen, inside, "");
    }
    return LLVMBuildSelect(c->b, seen, s, none, "");
}

/* The row's scores as they count, and its greatest so far into more. */
static void
row_most(Cg *c, const Attend *a, Val row, bool mask)
{
    const Val line = attend_f32(c, a->s, cg_mul(c, row, cg_i64(c, KEPT_GROUP)));
    const Val position = attend_position(c, a, row);
    Val most = NULL;
    for (int col = 0; col < KEPT_GROUP; col += c->lanes) {
        const Val at = attend_f32(c, line, cg_i64(c, col));
        Val s = attend_capped(c, a, cg_vload(c, at, DTYPE_f32, c->lanes, NULL));
        if (mask)
            s = attend_masked(c, a, s, cg_add(c, a->at, cg_i64(c, col)), position);
        if (mask || a->cap > 0)
            cg_vstore(c, at, DTYPE_f32, s, c->lanes, NULL);
        most = most ? cg_vmax(c, most, s) : s;
    }
    const Val before = attend_one(c, a->most, row);
    cg_vstore(c, attend_f32(c, a->more, row), DTYPE_f32,
              cg_vmax(c, before, cg_fold(c, most, cg_vmax)), 1, NULL);
}

/* Factors of what was summed before, for all rows. */
static void
rows_scale(Cg *c, const Attend *a)
{
    CgLoop row = cg_loop(c, "factor", cg_i64(c, 0), a->nrows, c->lanes);
    const Val most = attend_f32(c, a->most, row.i), sum = attend_f32(c, a->sum, row.i);
    const Val old = cg_vload(c, most, DTYPE_f32, c->lanes, NULL);
    const Val now = cg_vload(c, attend_f32(c, a->more, row.i), DTYPE_f32, c->lanes, NULL);
    const Val factor = cg_exp2(c, cg_fsub(c, old, now));
    const Val before = cg_vload(c, sum, DTYPE_f32, c->lanes, NULL);
    cg_vstore(c, attend_f32(c, a->scale_by, row.i), DTYPE_f32, factor, c->lanes, NULL);
    cg_vstore(c, sum, DTYPE_f32, cg_fmul(c, before, factor), c->lanes, NULL);
    cg_vstore(c, most, DTYPE_f32, now, c->lanes, NULL);
    cg_loop_end(c, &row);
}

/* P of a row, and what it adds to l. */
static void
row_weights(Cg *c, const Attend *a, Val row)
{
    const Dtype dtype = a->unit == DTYPE_f32 ? DTYPE_f32 : DTYPE_bf16;
    const Val first = cg_mul(c, row, cg_i64(c, KEPT_GROUP));
    const Val most = cg_splat(c, attend_one(c, a->most, row), c->lanes);
    Val sum = NULL;
    for (int col = 0; col < KEPT_GROUP; col += c->lanes) {
        const Val element = cg_add(c, first, cg_i64(c, col));
        const Val s = cg_vload(c, attend_f32(c, a->s, element), DTYPE_f32, c->lanes, NULL);
        const Val weight = cg_exp2(c, cg_fsub(c, s, most));
        cg_vstore(c, cg_at(c, a->p, dtype, element), dtype, weight, c->lanes, NULL);
        sum = sum ? cg_fadd(c, sum, weight) : weight;
    }
    const Val at = attend_f32(c, a->sum, row);
    const Val all = cg_fadd(c, attend_one(c, a->sum, row), cg_fold(c, sum, cg_fadd));
    cg_vstore(c, at, DTYPE_f32, all, 1, NULL);
}

Val
attend_is_edge(Cg *c, const Attend *a)
{
    const Val first = cg_add(c, a->seg.past, a->first), one = cg_i64(c, 1);
    const Val last = cg_add(c, first, cg_sub(c, a->count, one));
    const Val after = cg_less(c, first, cg_add(c, a->at, cg_i64(c, a->step - 1)));
    if (a->window == 0)
        return after;
    const Val from = cg_sub(c, last, cg_i64(c, a->window - 1));
    return LLVMBuildOr(c->b, after, cg_less(c, a->at, from), "");
}

static void
weights(Cg *c, const Attend *a)
{
    CgIf edge = cg_if(c, attend_is_edge(c, a));
    for (int i = 0; i < 2; i++) {
        CgLoop row = cg_loop(c, "most", cg_i64(c, 0), a->nrows, 1);
        row_most(c, a, row.i, i == 0);
        cg_loop_end(c, &row);
        if (i == 0)
            cg_else(c, &edge);
    }
    cg_endif(c, &edge);
    rows_scale(c, a);
    CgLoop row = cg_loop(c, "weight", cg_i64(c, 0), a->nrows, 1);
    row_weights(c, a, row.i);
    cg_loop_end(c, &row);
}

/* O = a O + P V of a tile. */
static void
outputs_tile(Cg *c, const Attend *a, Val values, Val row, Val col)
{
    const int64_t stride = KEPT_GROUP / a->pairs;
    const CgTile tile = cg_tile(c, a->high, a->wide, c->lanes);
    const CgSide left = {cg_at(c, a->p, a->unit, cg_mul(c, row, cg_i64(c, stride))), a->unit,
                         stride, 1};
    const CgSide right = {cg_at(c, values, a->unit, col), a->unit, 1, a->head_dim};
    cg_tile_mac(c, &tile, &left, &right, cg_i64(c, 0), cg_i64(c, stride));
    for (int r = 0; r < a->high; r++) {
        const Val line = cg_add(c, row, cg_i64(c, r));
        const Val factor = cg_splat(c, attend_one(c, a->scale_by, line), c->lanes);
        const Val to = cg_add(c, cg_mul(c, line, cg_i64(c, a->o_stride)), col);
        for (int v = 0; v < a->wide; v++) {
            const Val at = attend_f32(c, a->o, cg_add(c, to, cg_i64(c, (int64_t)v * c->lanes)));
            const Val old = cg_vload(c, at, DTYPE_f32, c->lanes, NULL);
            const Val new = cg_fma(c, old, factor, cg_tile_get(c, &tile, r, v));
            cg_vstore(c, at, DTYPE_f32, new, c->lanes, NULL);
        }
    }
}

static void
outputs(Cg *c, const Attend *a, Val values)
{
    CgLoop row = cg_loop(c, "o_row", cg_i64(c, 0), a->nrows, a->high);
    CgLoop col = cg_loop(c, "o_col", cg_i64(c, 0), cg_i64(c, a->head_dim), a->wide * c->lanes);
    outputs_tile(c, a, values, row.i, col.i);
    cg_loop_end(c, &col);
    cg_loop_end(c, &row);
}

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
    const int64_t head_dim = node_int(n, ATTR_head_dim, 1);
    if (!lies_as(keys, "keys", head_dim) || !lies_as(values, "values", head_dim))
        return diag_error(diag, n->loc,
                          "attention reads `%s` of layout=keys and `%s` of layout=values, both of "
                          "head_dim=%lld",
                          keys->name, values->name, (long long)head_dim);
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

/* ---- loops --------------------------------------------------------------------------------- */

Val
attend_kept(Cg *c, const Attend *a, const CgOperand *kept, Val base, Val at)
{
    const Val row = cg_kept_row(c, a->k, kept->value->def, at);
    return cg_kept_group(c, base, kept->dtype, row, a->groups * a->head_dim, a->group, a->head_dim);
}

static void
walk(Cg *c, Attend *a, Val from, Val end)
{
    CgLoop past = cg_loop(c, "past", from, end, a->step);
    a->at = past.i;
    scores(c, a, attend_kept(c, a, a->keys, a->keys_at, past.i));
    weights(c, a);
    outputs(c, a, attend_kept(c, a, a->values, a->values_at, past.i));
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
    stage_queries(c, a);
    block_clear(c, a);
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

/* Tiles of S and of O, and the scratch they are staged in. */
static void
reserve(Cg *c, Attend *a)
{
    const Machine *m = c->machine;
    const int64_t block = a->k->graph->block, lanes = c->lanes;
    const int64_t most = a->on_unit ? TILE_ATTEND_UNIT_ROWS : TILE_ATTEND_ROWS;
    const int64_t tokens = a->together < most ? most / a->together : 1;
    a->tokens = at_most(tokens, block);
    if (a->on_unit) {
        attend_unit_reserve(c, a);
        return;
    }
    const int64_t rows = a->tokens * a->together;
    a->step = TILE_ATTEND_STEP;
    a->vecs = tile_vecs(m, KEPT_GROUP);
    a->wide = tile_vecs(m, a->head_dim);
    a->tall = (int)at_most(tile_rows(m, a->vecs, a->unit), rows);
    a->high = (int)at_most(tile_rows(m, a->wide, a->unit), rows);
    a->rows = round_up(round_up(rows, a->tall) + a->high, lanes);
    a->q_stride = round_up(a->head_dim, 2 * lanes);
    a->o_stride = round_up(a->head_dim, a->wide * lanes);
    const int64_t element = a->unit == DTYPE_f32 ? 4 : 2;
    a->q_rows = cg_scratch(c, a->k, a->rows * a->q_stride * element);
    a->s = cg_scratch(c, a->k, a->rows * KEPT_GROUP * 4);
    a->p = a->unit == DTYPE_f32 ? a->s : cg_scratch(c, a->k, a->rows * KEPT_GROUP * element);
    a->o = cg_scratch(c, a->k, a->rows * a->o_stride * 4);
    Val *vectors[] = {&a->most, &a->more, &a->sum, &a->scale_by};
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        *vectors[i] = cg_scratch(c, a->k, a->rows * 4);
}

bool
emit_attention(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    Attend a = {.k = k,
                .q = n->in[0],
                .keys = cg_operand(k, n->in[1]),
                .values = cg_operand(k, n->in[2]),
                .y = n->out[0],
                .heads = node_int(n, ATTR_heads, 1),
                .groups = node_int(n, ATTR_groups, 1),
                .head_dim = node_int(n, ATTR_head_dim, 1),
                .window = node_int(n, ATTR_window, 0),
                .scale = node_num(n, ATTR_scale, 1),
                .cap = node_num(n, ATTR_softcap, 0)};
    a.together = a.heads / a.groups;
    if (!attend_fits(n, diag))
        return false;
    a.unit = a.keys->dtype == DTYPE_f32 ? DTYPE_f32 : DTYPE_i32;
    a.pairs = a.unit == DTYPE_f32 ? 1 : 2;
    a.on_unit = kernel_on_unit(k->kernel);
    if (a.on_unit && (a.unit == DTYPE_f32 || !c->machine->matrix.bf16))
        return diag_error(diag, n->loc, "unit=matrix multiplies keys and values of bf16");
    if (a.on_unit && a.head_dim > TILE_MOST_CHANNELS)
        return diag_error(diag, n->loc, "unit=matrix takes heads of up to %d channels",
                          (int)TILE_MOST_CHANNELS);
    reserve(c, &a);
    if (a.on_unit)
        attend_unit_begin(c);
    items(c, &a);
    if (a.on_unit)
        attend_unit_end(c);
    return true;
}
