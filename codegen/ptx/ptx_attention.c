/* codegen/ptx/ptx_attention.c -- causal attention over rows that are kept, in one walk over the
 * past with a running softmax, as codegen/emit/emit_attention.c: no memory grows with its length.
 * What kernels for many tokens and for one have in common.
 *
 * Keys and values lie as on a CPU (codegen/emit/kept.h). That order suits a GPU as well: the 64
 * tokens of a head are one piece of memory, and a word of it is what a lane multiplies.
 *
 * Every row's sums go through groups of 64 tokens in the order of positions, by the same
 * instructions wherever the row stands in a tile: a result depends neither on what else is in the
 * pass nor on how a prompt was divided. A token that is alone (decode) has its past divided among
 * warps, by positions alone; its bits are other ones. */
#include <math.h>
#include <string.h>

#include "codegen/ptx/attention.h"

/* ---- rows of a block ------------------------------------------------------------------------- */

static double
log2_e(void)
{
    return 1.44269504088896340736;
}

double
attention_scale(const Attention *a)
{
    return a->cap > 0 ? a->scale : a->scale * log2_e();
}

void
attention_divide(Attention *a, int64_t most)
{
    a->parts = (a->together + most - 1) / most;
    a->taken = (a->together + a->parts - 1) / a->parts;
}

void
attention_heads(Cg *c, Attention *a)
{
    ptx_grid(a->k, 1, ABI_ONE, a->groups * a->parts, 1, 1);
    const Val number = ptx_block(c, 1), parts = cg_i64(c, a->parts);
    a->group = cg_div(c, number, parts);
    const Val part = cg_sub(c, number, cg_mul(c, a->group, parts));
    const Val before = cg_mul(c, part, cg_i64(c, a->taken)), all = cg_i64(c, a->together);
    a->head = cg_add(c, cg_mul(c, a->group, all), before);
    a->left = cg_sub(c, all, before);
}

void
attention_sequence(Cg *c, Attention *a, CgSeg seg)
{
    a->seg = seg;
    a->keys_at = cg_kept_at(c, a->k, a->keys, seg.slot);
    a->values_at = cg_kept_at(c, a->k, a->values, seg.slot);
}

Val
attention_token(Cg *c, const Attention *a, Val row)
{
    return cg_div(c, row, cg_i64(c, a->taken));
}

static Val
head_of(Cg *c, const Attention *a, Val row)
{
    return cg_sub(c, row, cg_mul(c, attention_token(c, a, row), cg_i64(c, a->taken)));
}

Val
attention_is_row(Cg *c, const Attention *a, Val row)
{
    const Val there = cg_less(c, attention_token(c, a, row), a->count);
    if (a->parts * a->taken == a->together)
        return there;
    return LLVMBuildAnd(c->b, there, cg_less(c, head_of(c, a, row), a->left), "");
}

Val
attention_head(Cg *c, const Attention *a, Val row)
{
    return cg_add(c, a->head, head_of(c, a, row));
}

Val
attention_site_row(Cg *c, const Attention *a, Val row)
{
    return cg_add(c, cg_add(c, a->seg.row, a->first), attention_token(c, a, row));
}

Val
attention_position(Cg *c, const Attention *a, Val row)
{
    const Val token = cg_add(c, a->first, attention_token(c, a, row));
    return LLVMBuildTrunc(c->b, cg_add(c, a->seg.past, token), c->i32, "");
}

Val
attention_query(Cg *c, const Attention *a, Val row, Val col)
{
    const Val first = cg_mul(c, attention_head(c, a, row), cg_i64(c, a->head_dim));
    const Val at = cg_add(c, first, col);
    const Val q = cg_eval_one(c, a->k, a->q, attention_site_row(c, a, row), at);
    return cg_fmul(c, q, cg_f32(c, attention_scale(a)));
}

void
attention_store(Cg *c, const Attention *a, Val row, Val col, Val y)
{
    const Val first = cg_mul(c, attention_head(c, a, row), cg_i64(c, a->value_dim));
    const CgSite site = {
        .row = attention_site_row(c, a, row), .col = cg_add(c, first, col), .lanes = 1};
    cg_unbind_all(a->k);
    cg_bind(a->k, a->y, y);
    cg_store_outputs(c, a->k, &site);
}

/* ---- scores ---------------------------------------------------------------------------------- */

Val
attention_capped(Cg *c, const Attention *a, Val s)
{
    if (!(a->cap > 0))
        return s;
    const Val bounded = cg_tanh(c, cg_fmul(c, s, cg_f32(c, 1 / a->cap)));
    return cg_fmul(c, bounded, cg_f32(c, a->cap * log2_e()));
}

Val
attention_masked(Cg *c, const Attention *a, Val s, Val after)
{
    const Val zero = LLVMConstInt(c->i32, 0, 0);
    Val seen = LLVMBuildICmp(c->b, LLVMIntSGE, after, zero, "");
    if (a->window > 0 && a->window < INT32_MAX) {
        const Val window = LLVMConstInt(c->i32, (unsigned long long)a->window, 0);
        seen = LLVMBuildICmp(c->b, LLVMIntULT, after, window, ""); /* and not below 0 */
    }
    return LLVMBuildSelect(c->b, seen, s, cg_f32(c, -INFINITY), "");
}

Val
attention_is_edge(Cg *c, const Attention *a, Val at)
{
    const Val first = cg_add(c, a->seg.past, a->first);
    const Val after = cg_less(c, first, cg_add(c, at, cg_i64(c, KEPT_GROUP - 1)));
    if (a->window == 0)
        return after;
    const Val last = cg_add(c, first, cg_sub(c, a->count, cg_i64(c, 1)));
    const Val from = cg_sub(c, last, cg_i64(c, a->window - 1));
    return LLVMBuildOr(c->b, after, cg_less(c, at, from), "");
}

Val
attention_from(Cg *c, const Attention *a)
{
    const Val zero = cg_i64(c, 0), group = cg_i64(c, KEPT_GROUP);
    if (a->window == 0)
        return zero;
    const Val first = cg_add(c, a->seg.past, a->first);
    const Val begin = cg_max(c, zero, cg_sub(c, first, cg_i64(c, a->window - 1)));
    return cg_mul(c, cg_div(c, begin, group), group);
}

Val
attention_end(Cg *c, const Attention *a)
{
    return cg_add(c, cg_add(c, a->seg.past, a->first), a->count);
}

Val
attention_piece(Cg *c, const Attention *a, const CgOperand *kept, Val base, Val at)
{
    const Val row = cg_kept_row(c, a->k, kept->value->def, at);
    const int64_t channels = kept == a->values ? a->value_dim : a->head_dim;
    return cg_kept_group(c, base, kept->dtype, row, a->groups * channels, a->group, channels);
}

/* ---- the grid of many tokens ----------------------------------------------------------------- */

/* A block takes `tokens` rows of the pass, and of those the ones of each segment by themselves.
 * The last rows look at most: their blocks begin first. */
void
attention_blocks(Cg *c, Attention *a, void *user, void walk(Cg *c, Attention *a, void *user))
{
    const Val tokens = cg_i64(c, a->tokens), rows = a->k->tokens, one = cg_i64(c, 1);
    ptx_grid(a->k, 0, ABI_TOKENS, 1, a->tokens, 1);
    attention_heads(c, a);
    const Val blocks = cg_div_up(c, rows, tokens);
    const Val from = cg_mul(c, cg_sub(c, cg_sub(c, blocks, one), ptx_block(c, 0)), tokens);
    const Val to = cg_min(c, cg_add(c, from, tokens), rows);
    const Val last = ptx_segment_of(c, a->k, cg_sub(c, to, one));
    CgLoop each = cg_loop(c, "segment", ptx_segment_of(c, a->k, from), cg_add(c, last, one), 1);
    attention_sequence(c, a, cg_segment(c, a->k, each.i));
    const Val begin = cg_max(c, from, a->seg.row);
    const Val end = cg_min(c, to, cg_add(c, a->seg.row, a->seg.len));
    a->first = cg_sub(c, begin, a->seg.row);
    a->count = cg_sub(c, end, begin);
    walk(c, a, user);
    ptx_barrier(c); /* before shared memory is written for the next */
    cg_loop_end(c, &each);
}

/* ---- choice ---------------------------------------------------------------------------------- */

bool
ptx_attention(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    Attention a = {.k = k,
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
    a.together = a.heads / a.groups;
    if (!attend_fits(n, diag))
        return false;
    const int64_t channels = a.head_dim > a.value_dim ? a.head_dim : a.value_dim;
    if (channels > MOST_CHANNELS)
        return diag_error(diag, n->loc, "%s=%lld: a GPU takes heads of up to %d channels",
                          channels == a.head_dim ? "head_dim" : "value_dim", (long long)channels,
                          (int)MOST_CHANNELS);
    if (!graph_has_runs(k->graph))
        attention_of_one(c, &a);
    else if (a.keys->dtype == DTYPE_f32)
        attention_of_numbers(c, &a);
    else
        attention_of_tiles(c, &a);
    return true;
}
