/* codegen/ptx/ptx_keep.c -- rows of a pass into a growing state, in the order of
 * codegen/emit/kept.h, which is that of CPUs: states go from one device to another as they are.
 * Pointwise ops before the anchor are computed as rows are written.
 *
 * A block takes a row, its threads the columns. But keys of many tokens lie token after token:
 * there a warp takes 32 rows, a row for each lane, and a run of columns one after the other, so
 * that it writes whole lines; what it reads of a row is whole sectors by the end of the run. */
#include <string.h>

#include "codegen/emit/kept.h"
#include "codegen/ptx/ptx.h"

typedef struct {
    CgKernel *k;
    const Value *x;
    const CgOperand *state;
    bool keys, values; /* neither: rows */
    int64_t width, head_dim;
    Val base;   /* of the token's group of rows */
    Val inside; /* the token's number in it */
} Keep;

/* The token's place. */
static void
find_place(Cg *c, Keep *p, Val row)
{
    const Node *n = p->k->kernel->anchor;
    const CgSeg seg = cg_segment(c, p->k, ptx_segment_of(c, p->k, row));
    const Val state = cg_kept_at(c, p->k, p->state, seg.slot);
    const Val position = cg_add(c, seg.past, cg_sub(c, row, seg.row));
    const Val at = cg_kept_row(c, p->k, n, position);
    p->inside = LLVMBuildAnd(c->b, at, cg_i64(c, KEPT_GROUP - 1), "");
    p->base = cg_kept_group(c, state, p->state->dtype, cg_sub(c, at, p->inside), p->width,
                            cg_i64(c, 0), 0);
}

/* Where column `col` of the token lies, in elements from the group's first. */
static Val
element_of(Cg *c, const Keep *p, Val col)
{
    const Val group = cg_i64(c, KEPT_GROUP), two = cg_i64(c, 2);
    const bool pairs = p->state->dtype != DTYPE_f32;
    if (p->keys && !pairs)
        return cg_add(c, cg_mul(c, col, group), p->inside);
    if (p->keys) { /* an even column: that of the pair */
        const Val pair = cg_add(c, cg_mul(c, cg_div(c, col, two), group), p->inside);
        return cg_mul(c, pair, two);
    }
    if (!p->values)
        return cg_add(c, cg_mul(c, p->inside, cg_i64(c, p->width)), col);
    const Val channels = cg_i64(c, p->head_dim), head = cg_div(c, col, channels);
    const Val channel = cg_sub(c, col, cg_mul(c, head, channels));
    const Val from = cg_mul(c, head, cg_i64(c, KEPT_GROUP * p->head_dim));
    if (!pairs)
        return cg_add(c, from, cg_add(c, cg_mul(c, p->inside, channels), channel));
    const Val row = cg_div(c, p->inside, two),
              odd = LLVMBuildAnd(c->b, p->inside, cg_i64(c, 1), "");
    const Val element = cg_mul(c, cg_add(c, cg_mul(c, row, channels), channel), two);
    return cg_add(c, from, cg_add(c, element, odd));
}

/* Columns of a token that lie together. */
static int
columns_together(const Keep *p)
{
    return p->keys && p->state->dtype != DTYPE_f32 ? 2 : 1;
}

static void
put(Cg *c, const Keep *p, Val row, Val col)
{
    const Dtype dtype = p->state->dtype;
    const Val at = cg_at(c, p->base, dtype, element_of(c, p, col));
    const Val x = cg_eval_one(c, p->k, p->x, row, col);
    if (columns_together(p) == 1) {
        cg_vstore(c, at, dtype, x, 1, NULL);
        return;
    }
    const Val next = cg_eval_one(c, p->k, p->x, row, cg_add(c, col, cg_i64(c, 1)));
    LLVMSetAlignment(LLVMBuildStore(c->b, ptx_pair(c, x, next), at), sizeof(int32_t));
}

static void
by_rows(Cg *c, Keep *p)
{
    enum { MOST_THREADS = 256 };
    const int64_t items = p->width / columns_together(p);
    const int64_t threads = items < MOST_THREADS ? round_up(items, GPU_WARP) : MOST_THREADS;
    ptx_threads(p->k, threads);
    ptx_grid(p->k, 0, ABI_TOKENS, 1, 1, 1);
    const Val row = ptx_block(c, 0);
    find_place(c, p, row);
    CgLoop item = cg_loop(c, "column", ptx_thread(c), cg_i64(c, items), threads);
    put(c, p, row, cg_mul(c, item.i, cg_i64(c, columns_together(p))));
    cg_loop_end(c, &item);
}

/* Keys of many tokens. */
static void
by_columns(Cg *c, Keep *p)
{
    enum { RUN = 16, WARPS = 4 };
    ptx_threads(p->k, (int64_t)WARPS * GPU_WARP);
    ptx_grid(p->k, 0, ABI_TOKENS, 1, GPU_WARP, 1);
    ptx_grid(p->k, 1, ABI_ONE, p->width, (int64_t)RUN * WARPS, 1);
    const Val row = cg_add(c, cg_mul(c, ptx_block(c, 0), cg_i64(c, GPU_WARP)), ptx_lane(c));
    const Val run = cg_add(c, cg_mul(c, ptx_block(c, 1), cg_i64(c, WARPS)), ptx_warp(c));
    const Val first = cg_mul(c, run, cg_i64(c, RUN));
    CgIf there = cg_if(c, cg_less(c, row, p->k->tokens));
    find_place(c, p, row);
    for (int i = 0; i < RUN; i += columns_together(p)) {
        const Val col = cg_add(c, first, cg_i64(c, i));
        CgIf inside = {0};
        if (p->width % RUN != 0 || p->width % (RUN * WARPS) != 0)
            inside = cg_if(c, cg_less(c, col, cg_i64(c, p->width)));
        put(c, p, row, col);
        if (inside.exit)
            cg_endif(c, &inside);
    }
    cg_endif(c, &there);
}

bool
ptx_keep(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const char *layout = node_word(n, ATTR_layout, "rows");
    Keep p = {.k = k,
              .x = n->in[0],
              .state = cg_operand(k, n->in[1]),
              .keys = strcmp(layout, "keys") == 0,
              .values = strcmp(layout, "values") == 0,
              .width = cg_width(n->in[0]),
              .head_dim = node_int(n, ATTR_head_dim, cg_width(n->in[0]))};
    if (columns_together(&p) > 1 && p.head_dim % 2 != 0)
        return diag_error(diag, n->loc, "head_dim=%lld is odd: keys in 16 bits lie in pairs",
                          (long long)p.head_dim);
    if (p.keys && graph_has_runs(k->graph))
        by_columns(c, &p);
    else
        by_rows(c, &p);
    return true;
}
