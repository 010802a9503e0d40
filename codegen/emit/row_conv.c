/* codegen/emit/row_conv.c -- a causal depthwise convolution in the epilogue of a projection.
 *
 *     y[t] = bias + sum_j w[j] x[t - (K-1) + j],  x the projection's result, in f32
 *
 * The projection makes rows of a block of columns from the first to the last. Each is kept in a
 * window, a tile of rows and the K-1 before it; a sequence's first rows find the state there, and
 * what is there at its end is the new state. A block of rows ends like a sequence: its last inputs
 * go to the state, where the next block finds them. Columns have states of their own, so threads
 * divide columns and no rows.
 *
 *     row of the window   0 .. K-2               K-1 .. K-2 + rows
 *                         the K-1 before a tile  the tile */
#include <string.h>

#include "codegen/emit/linear.h"

enum { MAX_TAPS = 16, MAX_RUN = 32, MAX_VECTORS = 32 };

struct CgRowConv {
    CgKernel *k;
    const Node *conv;
    const CgOperand *state; /* [K-1,C] */
    int64_t before;         /* K-1, at least 1 */
    int64_t rows, columns, width;
    Val window;
    Val first, end; /* rows of the block */
    Val line, col;  /* the row's line of the window, and the first column of the block */
    /* In a run: sites so far, and inputs from K-1 rows before its first on, by vector; NULL: in
     * memory. */
    bool in_run;
    int sites;
    Val inputs[MAX_TAPS + MAX_RUN][MAX_VECTORS];
    /* Variables. */
    Val seg;     /* index of the row's sequence */
    Val until;   /* the row after its last, or after the block's */
    Val history; /* its state */
};

CgRowConv *
cg_row_conv(Cg *c, CgKernel *k, const Node *conv, int64_t rows, int64_t columns, Diag *diag)
{
    const Shape *w = &node_operand(conv, 'W')->type.shape;
    if (w->rank != 2 || w->dim[0].n < 2 || w->dim[0].n > MAX_TAPS) {
        diag_error(diag, conv->loc,
                   "kernel %s: in a projection's epilogue a conv1d has a weight [K,C] with K from "
                   "2 to %d (pass layout)",
                   k->kernel->name, MAX_TAPS);
        return NULL;
    }
    if (attrs_find(&conv->attrs, ATTR_column)) {
        diag_error(diag, conv->loc, "kernel %s: conv1d with column is for code of a GPU",
                   k->kernel->name);
        return NULL;
    }
    CgRowConv *v = arena_alloc(c->arena, sizeof *v);
    *v = (CgRowConv){.k = k,
                     .conv = conv,
                     .state = cg_operand(k, node_operand(conv, 's')),
                     .before = w->dim[0].n - 1,
                     .rows = rows,
                     .columns = columns,
                     .width = cg_width(conv->out[0])};
    v->window = cg_scratch(c, k, (v->before + rows) * columns * (int64_t)sizeof(float));
    v->seg = cg_var(c, c->i64, cg_i64(c, 0), "seg");
    v->until = cg_var(c, c->i64, cg_i64(c, 0), "until");
    v->history = cg_var(c, c->ptr, LLVMConstNull(c->ptr), "history");
    return v;
}

void
cg_row_conv_block(CgRowConv *v, Val first, Val end)
{
    v->first = first;
    v->end = end;
}

/* ---- rows of the window ---------------------------------------------------------------------- */

/* Where the columns are in row `row` of the window. */
static Val
window_row(Cg *c, const CgRowConv *v, Val row)
{
    return cg_at(c, v->window, DTYPE_f32, cg_mul(c, row, cg_i64(c, v->columns)));
}

/* The K-1 rows of inputs before the row at `line`, from or to the state. */
static void
move_history(Cg *c, const CgRowConv *v, Val line, bool load)
{
    const Val left = cg_sub(c, cg_i64(c, v->width), v->col), zero = cg_i64(c, 0);
    const Val columns = cg_min(c, cg_i64(c, v->columns), left);
    const Val history = cg_get(c, c->ptr, v->history);
    for (CgColumns s = cg_columns(c, zero, zero, columns, c->lanes); cg_columns_next(c, &s);)
        for (int64_t j = 0; j < v->before; j++) {
            const Val col = cg_add(c, cg_i64(c, j * v->width), cg_add(c, v->col, s.at.col));
            const Val state = cg_at(c, history, DTYPE_f32, col);
            const Val here = cg_at(c, line, DTYPE_f32,
                                   cg_add(c, cg_i64(c, (j - v->before) * v->columns), s.at.col));
            const Val x = cg_vload(c, load ? state : here, DTYPE_f32, s.at.lanes, s.at.mask);
            cg_vstore(c, load ? here : state, DTYPE_f32, x, s.at.lanes, s.at.mask);
        }
}

void
cg_row_conv_tile(Cg *c, CgRowConv *v, Val tile)
{
    for (int64_t j = 0; j < v->before; j++)
        for (int64_t i = 0; i < v->columns; i += c->lanes) {
            const Val from = window_row(c, v, cg_i64(c, v->rows + j));
            const Val to = window_row(c, v, cg_i64(c, j)), at = cg_i64(c, i);
            const Val x = cg_vload(c, cg_at(c, from, DTYPE_f32, at), DTYPE_f32, c->lanes, NULL);
            cg_vstore(c, cg_at(c, to, DTYPE_f32, at), DTYPE_f32, x, c->lanes, NULL);
        }
    const Val begins = LLVMBuildICmp(c->b, LLVMIntEQ, tile, v->first, "");
    const Val until = cg_get(c, c->i64, v->until);
    cg_set(c, v->until, LLVMBuildSelect(c->b, begins, tile, until, ""));
}

/* ---- sequences ------------------------------------------------------------------------------- */

/* The number of the sequence that the block's first row is of. */
static void
find_first(Cg *c, const CgRowConv *v, Val row)
{
    CgLoop i = cg_loop(c, "find", cg_i64(c, 0), cg_call_field(c, v->k, CALL_nseg), 1);
    const CgSeg seg = cg_segment(c, v->k, i.i);
    const Val begun = LLVMBuildNot(c->b, cg_less(c, row, seg.row), "");
    const Val within = cg_less(c, row, cg_add(c, seg.row, seg.len));
    CgIf here = cg_if(c, LLVMBuildAnd(c->b, begun, within, ""));
    cg_set(c, v->seg, i.i);
    cg_endif(c, &here);
    cg_loop_end(c, &i);
}

/* A row that begins a sequence, or a block. Sequences follow each other. */
static void
begin_sequence(Cg *c, const CgRowConv *v, Val row)
{
    CgIf block = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, row, v->first, ""));
    find_first(c, v, row);
    cg_else(c, &block);
    cg_set(c, v->seg, cg_add(c, cg_get(c, c->i64, v->seg), cg_i64(c, 1)));
    cg_endif(c, &block);
    const CgSeg seg = cg_segment(c, v->k, cg_get(c, c->i64, v->seg));
    cg_set(c, v->until, cg_min(c, cg_add(c, seg.row, seg.len), v->end));
    cg_set(c, v->history, cg_state_at(c, v->k, v->state, seg.slot));
    move_history(c, v, v->line, true);
}

/* Puts the work at a row: its line of the window. */
static void
stand_at(Cg *c, CgRowConv *v, Val row, Val tile, Val col)
{
    v->col = col;
    v->line = window_row(c, v, cg_add(c, cg_sub(c, row, tile), cg_i64(c, v->before)));
}

void
cg_row_conv_begin(Cg *c, CgRowConv *v, Val row, Val tile, Val col)
{
    stand_at(c, v, row, tile, col);
    v->in_run = false;
    CgIf begins = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, row, cg_get(c, c->i64, v->until), ""));
    begin_sequence(c, v, row);
    cg_endif(c, &begins);
}

void
cg_row_conv_end(Cg *c, CgRowConv *v, Val row)
{
    const Val after = cg_add(c, row, cg_i64(c, 1)), until = cg_get(c, c->i64, v->until);
    CgIf last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, after, until, ""));
    move_history(c, v, cg_at(c, v->line, DTYPE_f32, cg_i64(c, v->columns)), false);
    cg_endif(c, &last);
}

/* ---- runs of rows ---------------------------------------------------------------------------- */

Val
cg_row_conv_runs(Cg *c, const CgRowConv *v, Val row, int64_t rows)
{
    return cg_less(c, cg_i64(c, rows), cg_sub(c, cg_get(c, c->i64, v->until), row));
}

void
cg_row_conv_run(Cg *c, CgRowConv *v, Val row, Val tile, Val col)
{
    stand_at(c, v, row, tile, col);
    v->in_run = true;
    v->sites = 0;
    memset(v->inputs, 0, sizeof v->inputs);
}

/* ---- a site ---------------------------------------------------------------------------------- */

/* The input `back` rows before the one at `here`, or that is in a register of the run. */
static Val
input_back(Cg *c, CgRowConv *v, const CgSite *at, Val here, int64_t back)
{
    const int vectors = (int)(v->columns / c->lanes);
    const int64_t row = v->sites / vectors + v->before - back;
    Val *known = v->in_run ? &v->inputs[row][v->sites % vectors] : NULL;
    if (known && *known)
        return *known;
    const Val from = cg_at(c, here, DTYPE_f32, cg_i64(c, -back * v->columns));
    const Val x = cg_vload(c, from, DTYPE_f32, at->lanes, at->mask);
    if (known)
        *known = x;
    return x;
}

/* Where the site's input belongs in the window. Sites of a run come row by row. */
static Val
place_of(Cg *c, const CgRowConv *v, const CgSite *at)
{
    const int64_t vectors = v->columns / c->lanes, row = v->in_run ? v->sites / vectors : 0;
    const Val first = cg_at(c, v->line, DTYPE_f32, cg_sub(c, at->col, v->col));
    return cg_at(c, first, DTYPE_f32, cg_i64(c, row * v->columns));
}

void
cg_row_conv_at(Cg *c, CgRowConv *v, const CgSite *at, Val x)
{
    const Value *w = node_operand(v->conv, 'W'), *bias = node_operand(v->conv, 'B');
    const int vectors = (int)(v->columns / c->lanes);
    const Val here = place_of(c, v, at);
    cg_vstore(c, here, DTYPE_f32, x, at->lanes, at->mask);
    if (v->in_run)
        v->inputs[v->sites / vectors + v->before][v->sites % vectors] = x;
    cg_unbind_all(v->k);
    Val y = bias ? cg_eval(c, v->k, bias, at) : NULL;
    for (int64_t j = 0; j <= v->before; j++) {
        CgSite tap = *at;
        tap.row = cg_i64(c, j);
        const Val weight = cg_eval(c, v->k, w, &tap);
        const Val input = j == v->before ? x : input_back(c, v, at, here, v->before - j);
        y = y ? cg_fma(c, weight, input, y) : cg_fmul(c, weight, input);
    }
    v->sites++;
    cg_unbind_all(v->k);
    cg_bind(v->k, v->conv->out[0], y);
}
