/* codegen/ptx/tile_split.c -- what the kernel makes of the sums of a tile that a cluster has made
 * (SPLIT, tile_ranges.c). A thread has some columns of several of the block's rows. What it needs
 * of all of them beside their sums is read at once, while the blocks wait for each other: a
 * convolution's state and a residual would else be a trip to memory for each row, one behind the
 * other. */
#include "codegen/ptx/conv.h"
#include "codegen/ptx/tiles.h"

enum { TOGETHER = 8 }; /* rows */

/* What a thread has: `lanes` columns of every `step`-th row, `together` at a time. */
typedef struct {
    const PtxTiles *t;
    int lanes, together;
    bool once; /* it has no more rows than those */
    int64_t step;
    Val row, col, count; /* of the tile: its first; rows */
    Val some, mine;      /* i1: it has any; they are a convolution's columns, NULL: none are */
    PtxAhead ahead[TOGETHER];
} Rows;

/* Columns of a convolution, of which a site has as many as of the product. */
static bool
has_conv(const Rows *r)
{
    const Node *conv = r->t->p->conv;
    return conv && !ptx_conv_of_runs(r->t->p) && ptx_conv_lanes(conv, r->lanes) == r->lanes;
}

static void
open_rows(Cg *c, Rows *r, const PtxTiles *t)
{
    const int64_t rows = t->t->rows / t->p->sets;
    const Val first = cg_mul(c, t->block, cg_i64(c, rows));
    *r = (Rows){.t = t, .lanes = ptx_linear_lanes(t->p)};
    const int64_t across = t->t->columns / r->lanes;
    r->step = t->t->threads / across;
    const int64_t most = ptx_parts(rows, r->step);
    r->once = most <= TOGETHER;
    r->together = r->once ? (int)most : TOGETHER;
    const Val down = cg_div(c, t->thread, cg_i64(c, across));
    r->col =
        cg_mul(c, cg_sub(c, t->thread, cg_mul(c, down, cg_i64(c, across))), cg_i64(c, r->lanes));
    r->row = cg_add(c, first, down);
    const Val end = cg_min(c, t->rows, cg_add(c, first, cg_i64(c, rows)));
    const Val col = cg_add(c, t->col, r->col);
    Val some =
        LLVMBuildAnd(c->b, cg_less(c, down, cg_i64(c, r->step)), cg_less(c, r->row, end), "");
    r->some = LLVMBuildAnd(c->b, some, cg_less(c, col, cg_i64(c, t->out)), "");
    r->count = LLVMBuildSelect(
        c->b, r->some, cg_div_up(c, cg_sub(c, end, r->row), cg_i64(c, r->step)), cg_i64(c, 0), "");
    if (!has_conv(r))
        return;
    const Val of_conv = cg_sub(c, col, cg_i64(c, node_int(t->p->conv, ATTR_column, 0)));
    r->mine = LLVMBuildICmp(c->b, LLVMIntULT, of_conv, cg_i64(c, cg_width(t->p->conv->out[0])), "");
}

/* The i-th of the rows from number `number` on, in the tile; beyond the last: that one again, of
 * which the same is made. */
static Val
row_of(Cg *c, const Rows *r, Val number, int i)
{
    const Val last = cg_sub(c, r->count, cg_i64(c, 1));
    const Val own = cg_min(c, cg_add(c, number, cg_i64(c, i)), last);
    return cg_add(c, r->row, cg_mul(c, own, cg_i64(c, r->step)));
}

/* What other kernels have made of the same rows and columns. */
static void
read_values(Cg *c, Rows *r, Val number)
{
    const PtxTiles *t = r->t;
    const CgKernel *k = t->p->k;
    for (int o = 0; o < k->noperands; o++) {
        const CgOperand *of = &k->operands[o];
        const bool floats = of->dtype == DTYPE_f32 || of->dtype == DTYPE_bf16;
        if (of->is_output || !of->value || of->value->kind != VALUE_RESULT || of == t->p->x ||
            of->value->is_param || !floats || !cg_in_domain(k, of->value) ||
            r->ahead[0].count == PTX_MOST_AHEAD)
            continue;
        for (int i = 0; i < r->together; i++) {
            PtxAhead *a = &r->ahead[i];
            const Val at =
                cg_element(c, of->base, of->dtype, cg_add(c, t->row, row_of(c, r, number, i)),
                           of->stride, cg_add(c, t->col, r->col));
            const Val known = ptx_load_row(c, of, at, r->lanes);
            a->value[a->count] = of->value;
            a->number[a->count++] = cg_var(c, LLVMTypeOf(known), known, "ahead");
        }
    }
}

static void
read_ahead(Cg *c, Rows *r, Val number)
{
    const PtxTiles *t = r->t;
    const PtxLinear *p = t->p;
    for (int i = 0; i < r->together; i++)
        r->ahead[i] = (PtxAhead){0};
    CgIf some = cg_if(c, r->some);
    read_values(c, r, number);
    if (r->mine) {
        const Val col = cg_add(c, t->col, r->col);
        CgIf mine = cg_if(c, r->mine);
        ptx_conv_columns(c, p->k, p->conv, col, r->lanes, &r->ahead[0].conv);
        for (int i = 0; i < r->together; i++) {
            r->ahead[i].conv = r->ahead[0].conv;
            ptx_conv_past(c, p->k, p->conv, cg_add(c, t->row, row_of(c, r, number, i)), col,
                          r->lanes, &r->ahead[i].conv);
        }
        cg_endif(c, &mine);
    }
    cg_endif(c, &some);
}

static void
store_rows(Cg *c, const Rows *r, const Val *row, const Val *sum, bool conv)
{
    PtxLinear p = *r->t->p;
    p.ahead_conv = conv;
    for (int i = 0; i < r->together; i++) {
        p.ahead = &r->ahead[i];
        ptx_linear_store(c, &p, cg_add(c, r->t->row, row[i]), cg_add(c, r->t->col, r->col), sum[i]);
    }
}

static void
make_rows(Cg *c, const Rows *r, Val number)
{
    const PtxTiles *t = r->t;
    Val row[TOGETHER], sum[TOGETHER], factor[TOGETHER];
    CgIf some = cg_if(c, r->some);
    for (int i = 0; i < r->together; i++) {
        row[i] = row_of(c, r, number, i);
        const Val at = cg_element(c, t->shared, DTYPE_f32, row[i], ptx_sum_stride(t->t), r->col);
        sum[i] = ptx_split_sum(c, t, at, r->lanes);
        factor[i] = t->factors ? ptx_split_factor(c, t, row[i]) : NULL;
    }
    for (int i = 0; i < r->together && t->factors; i++)
        sum[i] = cg_fmul(c, sum[i], cg_splat(c, factor[i], r->lanes));
    if (r->mine) {
        CgIf mine = cg_if(c, r->mine);
        store_rows(c, r, row, sum, true);
        cg_else(c, &mine);
        store_rows(c, r, row, sum, false);
        cg_endif(c, &mine);
    } else {
        store_rows(c, r, row, sum, false);
    }
    cg_endif(c, &some);
}

void
ptx_split_results(Cg *c, const PtxTiles *t)
{
    Rows r;
    open_rows(c, &r, t);
    if (r.once)
        read_ahead(c, &r, cg_i64(c, 0));
    ptx_cluster_barrier(c);
    if (r.once) {
        make_rows(c, &r, cg_i64(c, 0));
    } else {
        CgLoop loop = cg_loop(c, "rows", cg_i64(c, 0), r.count, r.together);
        read_ahead(c, &r, loop.i);
        make_rows(c, &r, loop.i);
        cg_loop_end(c, &loop);
    }
    ptx_cluster_end(c); /* all have read what this one has */
}
