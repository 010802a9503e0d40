/* codegen/scan_resident.c -- the recurrent form of SSD with the state in registers (see
 * codegen/emit_scan.c): a strip of the state's rows at a time, over the tokens of a window. */
#include "codegen/scan.h"

void
scan_reserve(Cg *c, Scan *s)
{
    ScanWindow *w = &s->window;
    const TileStrip strip = tile_strip(c->machine, s->states, s->head_dim);
    w->rows = strip.rows;
    w->vecs = strip.vecs;
    w->width = (int64_t)w->vecs * c->lanes;
    w->x_stride = round_up(s->head_dim, w->width);
    w->n_stride = round_up(s->states, c->lanes) + c->lanes; /* not a multiple of a page */
    const int64_t of_n = w->tokens * w->n_stride * 4, of_x = w->tokens * w->x_stride * 4;
    w->b_rows = cg_scratch(c, s->k, of_n);
    w->c_rows = cg_scratch(c, s->k, of_n);
    w->x_rows = cg_scratch(c, s->k, of_x);
    w->y_rows = cg_scratch(c, s->k, of_x);
    w->decay = cg_decay(c, s->k, s->v.dt, s->v.A, w->tokens, 0);
}

/* ---- a strip -------------------------------------------------------------------------------- */

/* Row n of the head's state, from column p. */
static Val
state_at(Cg *c, const Scan *s, Val n, Val p)
{
    return cg_element(c, s->h, s->v.stored, n, s->head_dim, p);
}

static Val
vector_at(Cg *c, Val row, int v)
{
    return cg_at(c, row, DTYPE_f32, cg_i64(c, (int64_t)v * c->lanes));
}

static Val
broadcast(Cg *c, Val at)
{
    return cg_splat(c, cg_vload(c, at, DTYPE_f32, 1, NULL), c->lanes);
}

/* A strip: `rows` rows of the state from n, columns from p. */
typedef struct {
    int rows;
    Val n, p;
    Val h[TILE_MOST]; /* variables */
} Rows;

/* Vector i of the strip in memory. */
static Val
strip_at(Cg *c, const Scan *s, const Rows *strip, int i)
{
    const int vecs = s->window.vecs;
    const Val p = cg_add(c, strip->p, cg_i64(c, (int64_t)(i % vecs) * c->lanes));
    return state_at(c, s, cg_add(c, strip->n, cg_i64(c, i / vecs)), p);
}

/* One token: h += B X, Y += C h for the rows of the strip. */
static void
rows_token(Cg *c, const Scan *s, const Rows *strip, Val t)
{
    const ScanWindow *w = &s->window;
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Val x_row = cg_element(c, w->x_rows, DTYPE_f32, t, w->x_stride, strip->p);
    const Val y_row = cg_element(c, w->y_rows, DTYPE_f32, t, w->x_stride, strip->p);
    const Val b_row = cg_element(c, w->b_rows, DTYPE_f32, t, w->n_stride, strip->n);
    const Val c_row = cg_element(c, w->c_rows, DTYPE_f32, t, w->n_stride, strip->n);
    Val x[TILE_MOST], y[TILE_MOST];
    for (int v = 0; v < w->vecs; v++) {
        x[v] = cg_vload(c, vector_at(c, x_row, v), DTYPE_f32, c->lanes, NULL);
        y[v] = cg_vload(c, vector_at(c, y_row, v), DTYPE_f32, c->lanes, NULL);
    }
    for (int r = 0; r < strip->rows; r++) {
        const Val B = broadcast(c, cg_at(c, b_row, DTYPE_f32, cg_i64(c, r)));
        const Val C = broadcast(c, cg_at(c, c_row, DTYPE_f32, cg_i64(c, r)));
        for (int v = 0; v < w->vecs; v++) {
            const Val var = strip->h[r * w->vecs + v];
            const Val h = cg_fma(c, B, x[v], cg_get(c, type, var));
            cg_set(c, var, h);
            y[v] = cg_fma(c, C, h, y[v]);
        }
    }
    for (int v = 0; v < w->vecs; v++)
        cg_vstore(c, vector_at(c, y_row, v), DTYPE_f32, y[v], c->lanes, NULL);
}

static void
rows_tokens(Cg *c, const Scan *s, Val n, Val p, int rows, Val count)
{
    Rows strip = {.rows = rows, .n = n, .p = p};
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const Dtype stored = s->v.stored;
    const int vecs = s->window.vecs;
    const Val keep = broadcast(c, s->window.decay.keep);
    for (int i = 0; i < rows * vecs; i++) {
        const Val at = strip_at(c, s, &strip, i);
        const Val mask = cg_tile_mask(c, s->head_dim, s->window.width, p, i % vecs);
        const Val old = cg_vload(c, at, stored, c->lanes, mask);
        strip.h[i] = cg_var(c, type, cg_fmul(c, keep, old), "h");
    }
    CgLoop t = cg_loop(c, "t", cg_i64(c, 0), count, 1);
    rows_token(c, s, &strip, t.i);
    cg_loop_end(c, &t);
    for (int i = 0; i < rows * vecs; i++) {
        const Val at = strip_at(c, s, &strip, i);
        const Val h = cg_get(c, type, strip.h[i]);
        const Val mask = cg_tile_mask(c, s->head_dim, s->window.width, p, i % vecs);
        cg_vstore(c, at, stored, h, c->lanes, mask);
    }
}

/* While a strip is computed: its rows of the next head's state, and x of some tokens there. Past
 * the last head it asks for whatever comes next, which is harmless. */
static void
prefetch_head(Cg *c, const Scan *s, Val n, Val p, Val row)
{
    const ScanWindow *w = &s->window;
    const int64_t strips = (s->states + w->rows - 1) / w->rows;
    const int64_t tokens = (w->tokens + strips - 1) / strips, next = s->states * s->head_dim;
    const Val h = cg_at(c, state_at(c, s, n, p), s->v.stored, cg_i64(c, next));
    const CgOperand *x = cg_operand(s->k, s->v.x);
    const Val first = cg_mul(c, cg_div(c, n, cg_i64(c, w->rows)), cg_i64(c, tokens));
    const Val head = cg_add(c, s->head, cg_i64(c, 1));
    const Val col = cg_add(c, cg_mul(c, head, cg_i64(c, s->head_dim)), p);
    for (int64_t i = 0; i < w->width; i += CG_LINE_FLOATS) {
        for (int64_t r = 0; r < w->rows; r++)
            cg_prefetch(c, cg_at(c, h, s->v.stored, cg_i64(c, r * s->head_dim + i)), 3);
        for (int64_t t = 0; x && t < tokens; t++) {
            const Val token = cg_add(c, cg_add(c, row, first), cg_i64(c, t));
            const Val at = cg_add(c, cg_mul(c, token, cg_i64(c, x->stride)), col);
            cg_prefetch(c, cg_at(c, x->base, x->dtype, cg_add(c, at, cg_i64(c, i))), 3);
        }
    }
}

static void
window_states(Cg *c, const Scan *s, Val row, Val count)
{
    const Val zero = cg_i64(c, 0);
    const int64_t rows = s->window.rows, whole = s->states / rows * rows;
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), s->window.width);
    CgLoop n = cg_loop(c, "n", zero, cg_i64(c, whole), rows);
    prefetch_head(c, s, n.i, p.i, row);
    rows_tokens(c, s, n.i, p.i, (int)rows, count);
    cg_loop_end(c, &n);
    if (whole < s->states)
        rows_tokens(c, s, cg_i64(c, whole), p.i, (int)(s->states - whole), count);
    cg_loop_end(c, &p);
}

static void
window_outputs(Cg *c, Scan *s, Val row, Val count)
{
    const Val zero = cg_i64(c, 0), first = cg_mul(c, s->head, cg_i64(c, s->head_dim));
    const Val end = cg_add(c, first, cg_i64(c, s->head_dim));
    const Val skip = s->v.D ? cg_eval_one(c, s->k, s->v.D, zero, s->head) : NULL;
    CgLoop t = cg_loop(c, "out", zero, count, 1);
    const Val line = cg_element(c, s->window.y_rows, DTYPE_f32, t.i, s->window.x_stride, zero);
    const Val leave =
        cg_vload(c, cg_at(c, s->window.decay.leave, DTYPE_f32, t.i), DTYPE_f32, 1, NULL);
    const Val token = cg_add(c, row, t.i);
    for (CgColumns col = cg_columns(c, token, first, end, c->lanes); cg_columns_next(c, &col);) {
        const CgSite *at = &col.at;
        const Val from = cg_at(c, line, DTYPE_f32, cg_sub(c, at->col, first));
        const Val sum = cg_vload(c, from, DTYPE_f32, at->lanes, at->mask);
        Val y = cg_fmul(c, cg_splat(c, leave, at->lanes), sum);
        cg_unbind_all(s->k);
        if (skip)
            y = cg_fma(c, cg_splat(c, skip, at->lanes), cg_eval(c, s->k, s->v.x, at), y);
        cg_unbind_all(s->k);
        cg_bind(s->k, s->v.y, y);
        cg_store_outputs(c, s->k, at);
    }
    cg_loop_end(c, &t);
}

void
scan_window(Cg *c, Scan *s, Val row, Val count)
{
    const ScanWindow *w = &s->window;
    cg_decay_bounded(c, &w->decay, count);
    const CgBlock x = {.v = s->v.x,
                       .row = row,
                       .count = count,
                       .col = cg_mul(c, s->head, cg_i64(c, s->head_dim)),
                       .width = s->head_dim,
                       .factors = w->decay.weight};
    cg_stage(c, s->k, &x, w->x_rows, DTYPE_f32, w->x_stride);
    const Val zeros = cg_splat(c, cg_f32(c, 0), c->lanes);
    const Val end = cg_mul(c, count, cg_i64(c, w->x_stride));
    CgLoop i = cg_loop(c, "y", cg_i64(c, 0), end, c->lanes);
    cg_vstore(c, cg_at(c, w->y_rows, DTYPE_f32, i.i), DTYPE_f32, zeros, c->lanes, NULL);
    cg_loop_end(c, &i);
    window_states(c, s, row, count);
    window_outputs(c, s, row, count);
}

void
scan_stage_group(Cg *c, const Scan *s, Val row, Val count)
{
    CgBlock from = {.v = s->v.B,
                    .row = row,
                    .count = count,
                    .col = cg_mul(c, s->group, cg_i64(c, s->states)),
                    .width = s->states};
    cg_stage(c, s->k, &from, s->window.b_rows, DTYPE_f32, s->window.n_stride);
    from.v = s->v.C;
    cg_stage(c, s->k, &from, s->window.c_rows, DTYPE_f32, s->window.n_stride);
}
