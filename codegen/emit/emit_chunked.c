/* codegen/emit/emit_chunked.c -- the chunked form of SSD as one kernel ("Transformers are SSMs",
 * section 6 and listing 1): chunk_decay, chunk_cb, chunk_state, state_pass and chunk_out. The
 * quadratic form is one chunk over all tokens.
 *
 *     for each segment, each group with heads of this thread, each span of chunks:
 *         for each chunk of q <= Q tokens:                                  (shared by the heads)
 *             B, C staged; CB = C B^T, tiles on and below the diagonal, 0 above it
 *         for each head of the group that this thread has, each chunk:
 *             decays (codegen/emit/decay.h); X_j = weight_j x_j staged
 *             for each tile of rows i:
 *                 Y  = keep_i (C_i h)        over all of N
 *                 Y += M_i X                 over tokens up to the tile's last
 *                 y  = leave_i Y + D x       stored
 *             h = exp(a_last) h + B^T X
 *
 * M is CB itself where the chunk's decays are bounded; else M_ij = CB_ij exp(a_i - a_j) dt_j is
 * made tile by tile with X = x, and X is staged again with its weights for the state
 * (codegen/emit/chunked_steep.c).
 *
 * A span is as many chunks as leave most of the second-level cache to the states: a head's state
 * then stays in the first level from chunk to chunk. What is staged of a group stays for all of a
 * pass, so that a thread that takes several parts of its heads stages it for the first of them.
 *
 * With dot=bf16 the four products multiply pairs of bf16 along the summed index: C, B, CB, M, X and
 * a copy of h are rounded when they are staged; sums and decays stay f32, and so does the state
 * unless it is stored in bf16: then it is rounded where a chunk ends.
 *
 * With unit=matrix the products run on the machine's matrix unit, on operands in tiles
 * (codegen/emit/chunked_unit.c); loops over segments, spans, heads and chunks are these.
 *
 * The delta rule by chunks is this kernel with another X (codegen/emit/chunked_delta.c): its
 * queries are C, its keys B, and steps are 1.
 *
 * Scratch is padded to whole tiles; what is computed in the padding is never stored, and no sum
 * runs over it but the second half of an odd last pair, which is 0. The chunk's results before the
 * state enters (chunk_state, state_pass) stay in registers. */
#include <string.h>

#include "codegen/emit/chunked.h"
#include "codegen/emit/linear.h"

/* ---- of a head: y ------------------------------------------------------------------------ */

/* What is staged next, this head's next chunk or the next head's first: x of the tile's rows there.
 * Rows are a page or so apart, where no hardware prefetcher follows. Past the last it asks for
 * whatever comes next, which is harmless. */
static void
prefetch_x(Cg *c, const Chunked *s, Val first, int64_t rows)
{
    const CgOperand *x = cg_operand(s->k, s->x);
    if (!x)
        return;
    const Val more = cg_less(c, cg_add(c, s->index, cg_i64(c, 1)), s->chunks);
    const Val next = cg_add(c, s->row, cg_i64(c, s->chunk));
    const Val row = LLVMBuildSelect(c->b, more, next, s->span_row, "");
    const Val after = cg_add(c, s->head, cg_i64(c, 1));
    const Val head = LLVMBuildSelect(c->b, more, s->head, after, "");
    const Val from = cg_element(c, x->base, x->dtype, cg_add(c, row, first), x->stride,
                                cg_mul(c, head, cg_i64(c, s->head_dim)));
    CgLoop line = cg_loop(c, "line", cg_i64(c, 0), cg_i64(c, s->head_dim), CG_LINE_FLOATS);
    for (int64_t r = 0; r < rows; r++)
        cg_prefetch(c, cg_at(c, from, x->dtype, cg_add(c, line.i, cg_i64(c, r * x->stride))), 3);
    cg_loop_end(c, &line);
}

/* Units that hold so many elements. */
static Val
units(Cg *c, const Chunked *s, Val elements)
{
    return cg_div_up(c, elements, cg_i64(c, s->shape.pairs));
}

/* y = leave_i Y + D x of row r of the tile, which is token i of the chunk. */
static void
store_y_row(Cg *c, const Chunked *s, const CgTile *tile, int r, Val i, Val p)
{
    const Val leave = cg_splat(
        c, cg_vload(c, cg_at(c, s->decay.leave, DTYPE_f32, i), DTYPE_f32, 1, NULL), c->lanes);
    const Val col = cg_add(c, cg_mul(c, s->head, cg_i64(c, s->head_dim)), p);
    for (int v = 0; v < s->shape.vecs; v++) {
        const CgSite site = {.row = cg_add(c, s->row, i),
                             .col = cg_add(c, col, cg_i64(c, (int64_t)v * c->lanes)),
                             .lanes = c->lanes,
                             .mask = cg_tile_mask(c, s->head_dim, s->shape.width, p, v)};
        cg_unbind_all(s->k);
        Val y = cg_fmul(c, leave, cg_tile_get(c, tile, r, v));
        if (s->skip)
            y = cg_fma(c, s->skip, cg_eval(c, s->k, s->x, &site), y);
        cg_unbind_all(s->k);
        cg_bind(s->k, s->y, y);
        cg_store_outputs(c, s->k, &site);
    }
}

/* m: row `first` of M, or of CB. */
static void
output_tile(Cg *c, const Chunked *s, Val m, Val first, Val p)
{
    const Val zero = cg_i64(c, 0);
    const Val end = cg_min(c, s->count, cg_add(c, first, cg_i64(c, s->shape.rows)));
    const CgSide states = {cg_element(c, s->c_rows, s->unit, first, s->shape.c_stride, zero),
                           s->unit, s->shape.c_stride, 1};
    const CgSide h = /* rows that whole tiles may read */
        s->h_units ? (CgSide){cg_at(c, s->h_units, s->unit, p), s->unit, 1, s->shape.x_stride}
                   : (CgSide){cg_at(c, s->h, DTYPE_f32, p), DTYPE_f32, 1, s->head_dim};
    const CgSide inside = {m, s->unit, s->shape.q_stride / s->shape.pairs, 1};
    const CgSide x = {cg_at(c, s->x_units, s->unit, p), s->unit, 1, s->shape.x_stride};
    const CgTile tile = cg_tile(c, s->shape.rows, s->shape.vecs, c->lanes);
    cg_tile_mac(c, &tile, &states, &h, zero, cg_i64(c, s->shape.n_units));
    cg_tile_scale(c, &tile, cg_at(c, s->decay.keep, DTYPE_f32, first));
    cg_tile_mac(c, &tile, &inside, &x, zero, units(c, s, end));
    for (int r = 0; r < s->shape.rows; r++) {
        const Val i = cg_add(c, first, cg_i64(c, r));
        CgIf exists = cg_if(c, cg_less(c, i, s->count));
        store_y_row(c, s, &tile, r, i, p);
        cg_endif(c, &exists);
    }
}

static void
head_outputs(Cg *c, const Chunked *s, Val bounded)
{
    const Val zero = cg_i64(c, 0);
    CgLoop i = cg_loop(c, "y_tile", zero, s->count, s->shape.rows);
    const Val cb = cg_element(c, s->cb, s->element, i.i, s->shape.q_stride, zero);
    const Val m = LLVMBuildSelect(c->b, bounded, cb, s->m, "m");
    CgIf steep = cg_if(c, LLVMBuildNot(c->b, bounded, ""));
    chunked_steep_m(c, s, i.i);
    cg_endif(c, &steep);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), s->shape.width);
    output_tile(c, s, m, i.i, p.i);
    cg_loop_end(c, &p);
    cg_loop_end(c, &i);
}

/* ---- of a head: the state ---------------------------------------------------------------- */

/* Row n of the state from row r of the tile, columns from p: what it is now, vector by vector. */
static void
store_state_row(Cg *c, const Chunked *s, const CgTile *tile, int r, Val n, Val p, Val decay,
                Val *now)
{
    const Val row = cg_element(c, s->h, s->stored, n, s->head_dim, p);
    for (int v = 0; v < s->shape.vecs; v++) {
        const Val mask = cg_tile_mask(c, s->head_dim, s->shape.width, p, v);
        const Val at = cg_at(c, row, s->stored, cg_i64(c, (int64_t)v * c->lanes));
        const Val old = cg_vload(c, at, s->stored, c->lanes, mask);
        now[v] = cg_fma(c, decay, old, cg_tile_get(c, tile, r, v));
        cg_vstore(c, at, s->stored, now[v], c->lanes, mask);
    }
}

/* One unit of the state's rows, and what the next chunk reads in its place. alone: the second row
 * of the pair does not exist. */
static void
store_state_unit(Cg *c, const Chunked *s, const CgTile *tile, int r, Val n, Val p, Val decay,
                 bool alone)
{
    Val row[TILE_MOST], below[TILE_MOST];
    store_state_row(c, s, tile, r, n, p, decay, row);
    for (int v = 0; alone && v < s->shape.vecs; v++)
        below[v] = cg_like(c, row[v], 0);
    if (s->shape.pairs == 2 && !alone)
        store_state_row(c, s, tile, r + 1, cg_add(c, n, cg_i64(c, 1)), p, decay, below);
    if (!s->h_units)
        return;
    const Val unit = cg_div(c, n, cg_i64(c, s->shape.pairs));
    const Val to = cg_element(c, s->h_units, s->unit, unit, s->shape.x_stride, p);
    for (int v = 0; v < s->shape.vecs; v++) {
        const Val now = s->shape.pairs == 2 ? cg_bf16_pairs(c, row[v], below[v])
                                            : cg_round(c, row[v], s->stored);
        const Val at = cg_at(c, to, s->unit, cg_i64(c, (int64_t)v * c->lanes));
        cg_vstore(c, at, s->unit, now, c->lanes, NULL);
    }
}

/* Rows of a tile at `first` that the state has. */
static void
store_state(Cg *c, const Chunked *s, const CgTile *tile, Val first, Val p, Val decay)
{
    const Val end = cg_i64(c, s->states), one = cg_i64(c, 1);
    for (int r = 0; r < tile->rows; r += s->shape.pairs) {
        const Val n = cg_add(c, first, cg_i64(c, r));
        const Val last = cg_add(c, n, cg_i64(c, s->shape.pairs - 1));
        CgIf exists = cg_if(c, cg_less(c, last, end));
        store_state_unit(c, s, tile, r, n, p, decay, false);
        cg_endif(c, &exists);
        if (s->states % s->shape.pairs == 0)
            continue;
        CgIf half = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, cg_add(c, n, one), end, ""));
        store_state_unit(c, s, tile, r, n, p, decay, true);
        cg_endif(c, &half);
    }
}

/* Rows `first` .. of a matrix as far as a tile goes. */
static void
prefetch_rows(Cg *c, const Chunked *s, Val first, Dtype dtype, int64_t stride, int rows)
{
    const int64_t line = CG_LINE_BYTES / dtype_info[dtype].bytes;
    for (int r = 0; r < rows; r++)
        for (int64_t p = 0; p < s->shape.width; p += line)
            cg_prefetch(c, cg_at(c, first, dtype, cg_i64(c, r * stride + p)), 3);
}

/* While a tile of the state is computed: what it will change, then x of the next chunk, and in the
 * last chunk the next head's state. */
static void
prefetch_next(Cg *c, const Chunked *s, Val n, Val p)
{
    const int64_t tiles = (s->states + s->shape.h_rows - 1) / s->shape.h_rows;
    const int64_t tokens = (s->chunk + tiles - 1) / tiles;
    const Val tile = cg_div(c, n, cg_i64(c, s->shape.h_rows)),
              unit = cg_div(c, n, cg_i64(c, s->shape.pairs));
    const Val h = cg_element(c, s->h, s->stored, n, s->head_dim, p);
    prefetch_rows(c, s, h, s->stored, s->head_dim, s->shape.h_rows);
    if (s->h_units)
        prefetch_rows(c, s, cg_element(c, s->h_units, s->unit, unit, s->shape.x_stride, p), s->unit,
                      s->shape.x_stride, s->shape.h_rows / s->shape.pairs);
    prefetch_x(c, s, cg_mul(c, tile, cg_i64(c, tokens)), tokens);
    const Val one = cg_i64(c, 1);
    const Val more = cg_less(c, cg_add(c, s->index, one), s->chunks);
    const Val other = cg_less(c, cg_add(c, s->head, one), s->last_head); /* of this thread */
    CgIf last = cg_if(c, LLVMBuildAnd(c->b, LLVMBuildNot(c->b, more, ""), other, ""));
    const Val size = cg_i64(c, s->states * s->head_dim);
    prefetch_rows(c, s, cg_at(c, h, s->stored, size), s->stored, s->head_dim, s->shape.h_rows);
    cg_endif(c, &last);
}

static void
head_state(Cg *c, const Chunked *s)
{
    const Val zero = cg_i64(c, 0), end = units(c, s, s->count);
    const Val decay = cg_splat(c, cg_decay_whole(c, &s->decay, s->count), c->lanes);
    CgLoop n = cg_loop(c, "h_tile", zero, cg_i64(c, s->states), s->shape.h_rows);
    CgLoop p = cg_loop(c, "p", zero, cg_i64(c, s->head_dim), s->shape.width);
    const CgSide b = {cg_at(c, s->b_units, s->unit, n.i), s->unit, 1, s->shape.b_stride};
    const CgSide x = {cg_at(c, s->x_units, s->unit, p.i), s->unit, 1, s->shape.x_stride};
    const CgTile tile = cg_tile(c, s->shape.h_rows, s->shape.vecs, c->lanes);
    prefetch_next(c, s, n.i, p.i);
    cg_tile_mac(c, &tile, &b, &x, zero, end);
    store_state(c, s, &tile, n.i, p.i, decay);
    cg_loop_end(c, &p);
    cg_loop_end(c, &n);
}

/* ---- the loops --------------------------------------------------------------------------- */

static void
chunk_head(Cg *c, Chunked *s)
{
    const Val bounded = cg_decay_sums(c, &s->decay, s->head, s->row, s->count);
    CgIf kind = cg_if(c, bounded);
    cg_decay_bounded(c, &s->decay, s->count);
    cg_else(c, &kind);
    cg_decay_steep(c, &s->decay, s->count);
    cg_endif(c, &kind);
    if (s->delta.b)
        chunked_delta_x(c, s, bounded);
    else
        chunked_stage_x(c, s);
    head_outputs(c, s, bounded);
    CgIf steep = cg_if(c, LLVMBuildNot(c->b, bounded, ""));
    const Val last = cg_sub(c, s->count, cg_i64(c, 1));
    cg_decay_weights(c, &s->decay, cg_decay_at(c, &s->decay, last), s->count);
    if (s->delta.b)
        chunked_delta_weigh(c, s);
    else
        chunked_stage_x(c, s);
    cg_endif(c, &steep);
    head_state(c, s);
}

/* The chunk numbered `index` of the span that ends before row `end`. */
static void
chunk_open(Cg *c, Chunked *s, Val index, Val end)
{
    const Val zero = cg_i64(c, 0);
    s->index = index;
    s->row = cg_add(c, s->span_row, cg_mul(c, index, cg_i64(c, s->chunk)));
    s->count = cg_min(c, cg_i64(c, s->chunk), cg_sub(c, end, s->row));
    const Val number = cg_add(c, s->span_first, index);
    if (s->delta.b)
        chunked_delta_open(c, s, number);
    if (s->on_unit) {
        chunked_unit_open(c, s, number);
        return;
    }
    s->c_rows = cg_element(c, s->c_all, s->unit, number, s->shape.q_rows * s->shape.c_stride, zero);
    s->b_units =
        cg_element(c, s->b_all, s->unit, number, s->shape.q_units * s->shape.b_stride, zero);
    s->cb = cg_element(c, s->cb_all, s->element, number, s->shape.q_rows * s->shape.q_stride, zero);
}

/* Whether this thread staged the group already, for the heads of the part before: those just before
 * `first`, of the same group, and of the only segment. */
static Val
group_is_staged(Cg *c, const Chunked *s, Val first)
{
    const CgKernel *k = s->k;
    Val share[2];
    cg_share_of(c, cg_i64(c, s->heads), 1, k->before, k->parts, share);
    const Val begin = cg_mul(c, s->group, cg_i64(c, s->heads / s->groups));
    const Val all[] = {cg_ran_before(c, k),
                       cg_less(c, cg_call_field(c, s->k, CALL_nseg), cg_i64(c, 2)),
                       cg_less(c, begin, first), cg_less(c, share[0], share[1]),
                       LLVMBuildICmp(c->b, LLVMIntEQ, share[1], first, "")};
    Val yes = all[0];
    for (size_t i = 1; i < COUNT_OF(all); i++)
        yes = LLVMBuildAnd(c->b, yes, all[i], "");
    return yes;
}

/* Heads [first, last) of one group over a segment. */
static void
group_spans(Cg *c, Chunked *s, const CgSeg *seg, Val first, Val last)
{
    const Val zero = cg_i64(c, 0), end = cg_add(c, seg->row, seg->len);
    const Val states = cg_state_at(c, s->k, cg_operand(s->k, s->state), seg->slot);
    const Val staged = group_is_staged(c, s, first);
    const int64_t length = s->on_unit ? s->tiles.span : s->shape.span;
    CgLoop span = cg_loop(c, "span", seg->row, end, length * s->chunk);
    const Val left = cg_add(c, cg_sub(c, end, span.i), cg_i64(c, s->chunk - 1));
    s->span_row = span.i;
    s->span_first = cg_div(c, cg_sub(c, span.i, seg->row), cg_i64(c, s->chunk));
    s->last_head = last;
    s->chunks = cg_min(c, cg_i64(c, length), cg_div(c, left, cg_i64(c, s->chunk)));
    CgIf stale = cg_if(c, LLVMBuildNot(c->b, staged, ""));
    CgLoop chunk = cg_loop(c, "chunk", zero, s->chunks, 1);
    chunk_open(c, s, chunk.i, end);
    if (s->delta.b)
        chunked_delta_factors(c, s);
    if (s->on_unit)
        chunked_unit_stage_group(c, s);
    else
        chunked_stage_group(c, s);
    if (s->delta.b)
        chunked_delta_products(c, s);
    cg_loop_end(c, &chunk);
    cg_endif(c, &stale);
    CgLoop head = cg_loop(c, "head", first, last, 1);
    s->head = head.i;
    s->h = cg_at(c, states, s->stored, cg_mul(c, head.i, cg_i64(c, s->states * s->head_dim)));
    s->skip = s->D ? cg_splat(c, cg_eval_one(c, s->k, s->D, zero, head.i), c->lanes) : NULL;
    if (s->on_unit)
        chunked_unit_stage_state(c, s);
    else if (s->h_units)
        chunked_stage_state(c, s);
    CgLoop again = cg_loop(c, "chunk", zero, s->chunks, 1);
    chunk_open(c, s, again.i, end);
    if (s->on_unit)
        chunked_unit_head(c, s);
    else
        chunk_head(c, s);
    cg_loop_end(c, &again);
    cg_loop_end(c, &head);
    cg_loop_end(c, &span);
}

/* ---- sizes ------------------------------------------------------------------------------- */

static void
bind_operands(Chunked *s)
{
    const Kernel *kernel = s->k->kernel;
    if (op_has_flag(kernel->anchor->op, 'V'))
        chunked_delta_bind(s, kernel->anchor);
    for (const Node *n = s->k->first; n; n = n == s->k->last ? NULL : n->next) {
        if (n->kernel != kernel)
            continue;
        if (n->op == OP_chunk_decay) {
            s->A = n->in[1];
        } else if (n->op == OP_chunk_cb) {
            s->C = n->in[0];
            s->B = n->in[1];
        } else if (n->op == OP_state_pass) {
            s->state = n->in[2];
        } else if (n->op == OP_chunk_out) {
            s->dt = n->in[2];
            s->x = n->in[3];
            s->D = n->in[6];
            s->y = n->out[0];
            s->heads = node_int(n, ATTR_heads, 1);
            s->head_dim = node_int(n, ATTR_head_dim, 1);
            s->groups = node_int(n, ATTR_groups, 1);
            s->states = node_int(n, ATTR_state, 1);
            s->chunk = node_int(n, ATTR_chunk, CHUNK_ALL);
        }
    }
}

static bool
multiplies_bf16(const Node *n)
{
    return strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0;
}

/* The products share operands in scratch, so they multiply the same. */
static bool
bind_dot(const Cg *c, Chunked *s, Diag *diag)
{
    const Node *first = NULL;
    for (const Node *n = s->k->first; n; n = n == s->k->last ? NULL : n->next) {
        bool required = false;
        if (n->kernel != s->k->kernel || !op_takes_attr(n->op, ATTR_dot, &required))
            continue;
        first = first ? first : n;
        if (multiplies_bf16(n) == multiplies_bf16(first))
            continue;
        diag_error(diag, n->loc, "kernel %s: %s and %s multiply different types (attribute dot)",
                   s->k->kernel->name, op_info[first->op].name, op_info[n->op].name);
        return false;
    }
    s->shape.pairs = first && multiplies_bf16(first) ? 2 : 1;
    s->unit = s->shape.pairs == 2 ? DTYPE_i32 : DTYPE_f32;
    s->element = s->shape.pairs == 2 ? DTYPE_bf16 : DTYPE_f32;
    s->on_unit = kernel_on_unit(s->k->kernel);
    if (!s->on_unit || (s->shape.pairs == 2 && c->machine->matrix.bf16))
        return true;
    diag_error(
        diag, s->k->kernel->anchor->loc,
        "kernel %s: unit=matrix wants dot=bf16 and a machine whose matrix unit multiplies it",
        s->k->kernel->name);
    return false;
}

/* Scratch of count x stride elements of 4 bytes and a vector more: a load may begin at the last. */
static Val
scratch(Cg *c, const Chunked *s, int64_t count, int64_t stride)
{
    return cg_scratch(c, s->k, (count * stride + c->lanes) * (int64_t)sizeof(float));
}

/* Of all tiles. */
static int64_t
most_rows(const Chunked *s)
{
    const int64_t y = s->shape.rows, cb = s->shape.cb_rows, x = s->delta.shape.rows;
    const int64_t most = y > cb ? y : cb;
    return most > x ? most : x;
}

/* Of B, squares and tiles of rows are read past the last. */
static void
reserve(Cg *c, Chunked *s)
{
    const int64_t rows = most_rows(s), squares = round_up(rows, c->lanes);
    s->c_all = scratch(c, s, s->shape.most * s->shape.q_rows, s->shape.c_stride);
    s->b_all = scratch(c, s, s->shape.most * s->shape.q_units + squares, s->shape.b_stride);
    s->cb_all = scratch(c, s, s->shape.most * s->shape.q_rows, s->shape.q_stride);
    if (s->shape.pairs == 2)
        s->b_rows = scratch(c, s, round_up(s->chunk, c->lanes), s->shape.c_stride);
    s->b_cols = scratch(c, s, s->shape.c_stride, round_up(s->chunk, c->lanes));
    s->x_units = scratch(c, s, s->shape.q_units, s->shape.x_stride);
    s->m = scratch(c, s, s->shape.rows, s->shape.q_stride);
    s->since = scratch(c, s, 1, squares);
    s->decay = cg_decay(c, s->k, s->dt, s->A, s->shape.q_stride, rows + c->lanes);
    if (s->shape.pairs == 2 || s->shape.x_stride != s->head_dim || s->stored != DTYPE_f32)
        s->h_units = scratch(c, s, s->shape.n_units, s->shape.x_stride);
}

bool
emit_chunked(Cg *c, CgKernel *k, Diag *diag)
{
    Chunked s = {.k = k};
    bind_operands(&s);
    const SrcLoc loc = k->kernel->anchor->loc;
    if (!s.delta.b && (!s.A || !s.C || !s.state || !s.y)) {
        diag_error(diag, loc,
                   "kernel %s has a part of a chunked ssd; chunk_decay, chunk_cb, chunk_state, "
                   "state_pass and chunk_out must be in one kernel (pass fuse)",
                   k->kernel->name);
        return false;
    }
    if (!bind_dot(c, &s, diag))
        return false;
    const int64_t block = k->graph->block;
    if (s.chunk == CHUNK_ALL || (block > 0 && block < s.chunk))
        s.chunk = block;          /* no pass has more rows */
    int64_t square = 0, work = 0; /* CB is the largest array: Q x Q */
    const int64_t most = INT64_C(1) << 40;
    if (s.chunk <= 0 || !size_mul(s.chunk, s.chunk, &square) || square >= most ||
        !size_mul(s.chunk, s.states + s.head_dim, &work) || work >= most ||
        !size_mul(s.states, s.head_dim, &work) || work >= most) {
        diag_error(diag, loc,
                   "chunk=all needs the graph's block, the most tokens of a pass, and "
                   "scratch for its square; block is %lld",
                   (long long)block);
        return false;
    }
    k->domain = s.y;
    if (s.delta.b)
        s.delta.shape = tile_chunk(c->machine, false, s.chunk, s.head_dim, s.states, block);
    s.stored = s.state->type.dtype;
    if (s.on_unit) {
        s.tiles = tile_unit(c->machine, s.chunk, s.head_dim, s.states, block);
        chunked_unit_reserve(c, &s);
        chunked_unit_begin(c, &s);
    } else {
        s.shape = tile_chunk(c->machine, s.shape.pairs == 2, s.chunk, s.head_dim, s.states, block);
        reserve(c, &s);
    }
    if (s.delta.b)
        chunked_delta_reserve(c, &s);
    CgGroup group = cg_group(c, k, s.heads, s.groups);
    s.group = group.loop.i;
    group_spans(c, &s, &group.heads.seg, group.first, group.last);
    cg_group_end(c, &group);
    if (s.on_unit)
        chunked_unit_end(c);
    return true;
}
