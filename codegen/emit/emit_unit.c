/* codegen/emit/emit_unit.c -- projections on the matrix unit: linear over bf16, or over f32 as sums
 * of two bf16, linear_i8 and linear_u4 over packed weights (kernel attribute unit=matrix).
 *
 *     for each block of token rows: (as many as half of L2 holds)
 *         for each panel of this thread: (32 columns)
 *             for each run of steps: (its part of the panel stays in L1; u4 is unpacked here)
 *                 for each 32 rows: 2 x 2 tiles of sums
 *                     begin at 0, or with the sums so far
 *                     for each step: two tiles of x, two of the weight, four products
 *                     sums -> scratch; in the last run -> scales, bias, epilogue -> outputs,
 *                     row by row between the products of the next 32 rows
 *
 * A step is 64 bytes of the summed index: 32 bf16, 64 bytes. A run streams x from L2, and the
 * weights' part of it, 32 KiB or less, stays in L1: with both in L2 the unit waits half of the
 * time (bench/NOTES.md, "Matrix unit"). Meanwhile the weights of the next run, which come from L3
 * or memory, are asked for, a few lines a step.
 *
 * Tiles of x are rows of it where they lie, if they are bf16 or bytes in whole steps. Else the
 * block's rows are staged in scratch first, as is always a last tile of fewer than 32 rows.
 *
 * A last step of fewer than 64 bytes has zeros behind: in staged x, and in a copy of the weight's
 * last rows, because 0 times what lies behind a panel may be NaN.
 *
 * f32 (dot=bf16x3): x = h + l, h the nearest bf16 and l the nearest to what is left, and W alike.
 * A step of staged x is 32 numbers of h and 32 of l, one of the weight two tiles of each; it adds
 * l h + h h + h l. What is left out, l l, is below 2^-16 of a product, as are the parts that l has
 * not.
 *
 * A convolution in the epilogue (row_conv.c) sees the rows of a block of columns in order: those
 * that wait are finished before the next 32 do.
 *
 * Rows are independent of each other, and every row is summed in the same order, so that a row's
 * result does not depend on the rows beside it.
 *
 * Groups of integers share scales: the sums of a group leave the tiles as i32 and are added up in
 * f32, which costs as much as eight products or more. */
#include "codegen/emit/linear.h"
#include "codegen/emit/matrix_unit.h"

enum {
    ROWS = 2 * CG_UNIT_ROWS, /* of a block of sums, and its columns: */
    COLUMNS = 32,
    SUM_BYTES = ROWS * COLUMNS * 4,
    QUAD = 4,
    OFFSET = 128,         /* packed i8 weights are above theirs by so much */
    RUN_BYTES = 32 << 10, /* of a panel, at most */
    MOST_AHEAD = 4        /* lines asked for in a step: more keep the tiles' own waiting */
};

typedef struct {
    CgPacked p;
    Dtype dtype;                 /* of the packed weight: bf16, u8 or u4x2 */
    const Value *xs, *s, *m;     /* scales of x and of the weight; m: minima of u4 */
    int64_t element;             /* bytes of x: 2 or 1 */
    int64_t depth;               /* bytes of a step: 64, or 32 where groups are so short */
    int64_t parts;               /* bf16 of each number: 2 where they are triples, else 1 */
    int64_t steps;               /* that the weight has whole */
    int64_t rest;                /* bytes of the summed index after them */
    int64_t unit_rows;           /* of a panel: 128 bytes each, of u4 256 once unpacked */
    int64_t group_steps, groups; /* groups: 0 without */
    int64_t run;                 /* steps of a run */
    int64_t ahead;               /* lines of the next run's weights that a step asks for */
    Val asks;                    /* such lines, i64: of experts by the rows there are */
    int64_t stride;              /* bytes from row to row of x, staged or not */
    bool in_place;               /* whole tiles of x are read where they lie */
    Val sums;                    /* [most][32]: of each row, between runs; f32 with groups */
    Val tail;                    /* the weight's last step, filled up */
    Val unpacked;                /* u4: the run's part of the panel as bytes */
    Val row_sums;                /* [most][max(groups,1)]: sum of x */
    Val scales;                  /* [most]: of x */
    /* What waits for its epilogue in l.result: variables. */
    Val late_next;          /* the first row of 32 that has not had it */
    Val late_row, late_col; /* of the first row: its token row and the panel's first column */
    /* Where the loops are. */
    Val staged_from; /* first row of the block that is staged, row 0 of scratch */
    Val panel;
    Val tile_row; /* first row of the 32, in the block */
} Unit;

static int64_t
steps_of(const Unit *u)
{
    return u->steps + (u->rest > 0);
}

/* Bytes of a step of a row of staged x, and of a column of the weight. */
static int64_t
step_bytes(const Unit *u)
{
    return u->depth * u->parts;
}

/* Bytes of a step of a panel. */
static int64_t
weight_step(const Unit *u)
{
    return COLUMNS * step_bytes(u) / (u->dtype == DTYPE_u4x2 ? 2 : 1);
}

/* ---- staging ------------------------------------------------------------------------------- */

/* Where step `step` of row `row` of the block is in scratch. */
static Val
staged_at(Cg *c, const Unit *u, Val row, Val step)
{
    const Val line = cg_mul(c, cg_sub(c, row, u->staged_from), cg_i64(c, u->stride));
    return cg_offset(c, u->p.staged, cg_add(c, line, cg_mul(c, step, cg_i64(c, step_bytes(u)))));
}

/* Columns [from, from + width) of a row of x as bf16, zeros behind them up to a step. Of triples
 * each step has what rounding leaves of its numbers after them. */
static void
stage_reals(Cg *c, const Unit *u, Val row, Val to, Val from, int64_t width)
{
    const int64_t step = u->depth / u->element;
    for (int64_t i = 0; i < step; i += c->lanes) {
        const int64_t left = width - i;
        Val x = cg_like(c, cg_splat(c, cg_f32(c, 0), c->lanes), 0);
        if (left > 0) {
            const CgSite at = {
                .row = row,
                .col = cg_add(c, from, cg_i64(c, i)),
                .lanes = c->lanes,
                .mask = left >= c->lanes ? NULL : cg_mask_first(c, c->lanes, cg_i64(c, left))};
            cg_unbind_all(u->p.l.k);
            const Val value = cg_eval(c, u->p.l.k, u->p.l.x, &at);
            x = at.mask ? LLVMBuildSelect(c->b, at.mask, value, x, "") : value;
        }
        cg_vstore(c, cg_at(c, to, DTYPE_bf16, cg_i64(c, i)), DTYPE_bf16, x, c->lanes, NULL);
        if (u->parts == 1)
            continue;
        const Val low = cg_fsub(c, x, cg_round(c, x, DTYPE_bf16));
        const Val behind = cg_offset(c, to, cg_i64(c, u->depth));
        cg_vstore(c, cg_at(c, behind, DTYPE_bf16, cg_i64(c, i)), DTYPE_bf16, low, c->lanes, NULL);
    }
}

/* Copies `width` bytes of a row of x, then zeros up to a step. Returns their sum as <lanes x i32>.
 * to: NULL: the sum alone. */
static Val
stage_bytes(Cg *c, const Unit *u, Val from, Val to, int64_t width)
{
    const int lanes = u->depth / QUAD < c->lanes ? (int)(u->depth / QUAD) : c->lanes;
    const LLVMTypeRef ints = cg_vec_of(c->i32, lanes), bytes = cg_vec_of(c->i8, lanes * QUAD);
    const CgBytes ones =
        cg_bytes_unsigned(c, cg_splat(c, LLVMConstInt(c->i32, 0x01010101, 0), lanes), lanes);
    Val sum = LLVMConstNull(ints);
    for (int64_t i = 0; i < u->depth; i += lanes * QUAD) {
        const int64_t left = width - i;
        Val x = LLVMConstNull(ints);
        if (left >= lanes * QUAD) {
            x = cg_vload(c, cg_offset(c, from, cg_i64(c, i)), DTYPE_i32, lanes, NULL);
        } else {
            Val part = LLVMConstNull(bytes);
            for (int64_t b = 0; b < left; b++) {
                const Val one =
                    LLVMBuildLoad2(c->b, c->i8, cg_offset(c, from, cg_i64(c, i + b)), "");
                part = LLVMBuildInsertElement(c->b, part, one, cg_i64(c, b), "");
            }
            x = left > 0 ? LLVMBuildBitCast(c->b, part, ints, "") : x;
        }
        if (to)
            cg_vstore(c, cg_offset(c, to, cg_i64(c, i)), DTYPE_i32, x, lanes, NULL);
        sum = cg_dot_bytes(c, sum, ones, cg_bytes_signed(c, x, lanes), lanes);
    }
    return sum;
}

/* f32 for the minima of u4, i32 for the offset of i8. */
static void
store_row_sum(Cg *c, const Unit *u, Val row, Val group, Val sum)
{
    const Val total = cg_fold(c, sum, cg_add_ints);
    const Val stored =
        u->m ? LLVMBuildSIToFP(c->b, total, c->f32, "")
             : LLVMBuildMul(c->b, total, LLVMConstInt(c->i32, (unsigned)-OFFSET, 1), "");
    const int64_t groups = u->groups ? u->groups : 1;
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, groups)), group);
    LLVMBuildStore(c->b, stored, cg_at(c, u->row_sums, DTYPE_i32, at));
}

/* The scale and the sums of one row, after each group that of its x; copied: its steps too. */
static void
stage_integers(Cg *c, const Unit *u, Val row, Val token, bool copied)
{
    const CgOperand *x = cg_operand(u->p.l.k, u->p.l.x), *xs = cg_operand(u->p.l.k, u->xs);
    const Val from = cg_offset(c, x->base, cg_mul(c, token, cg_i64(c, x->stride)));
    const Val zero = cg_i64(c, 0), depth = cg_i64(c, u->depth);
    const int lanes = u->depth / QUAD < c->lanes ? (int)(u->depth / QUAD) : c->lanes;
    const LLVMTypeRef ints = cg_vec_of(c->i32, lanes);
    const Val sum = cg_var(c, ints, LLVMConstNull(ints), "sum");
    const int64_t whole = u->p.l.depth / u->depth; /* steps of x that are all there */
    CgLoop step = cg_loop(c, "step", zero, cg_i64(c, whole), 1);
    const Val part = stage_bytes(c, u, cg_offset(c, from, cg_mul(c, step.i, depth)),
                                 copied ? staged_at(c, u, row, step.i) : NULL, u->depth);
    cg_set(c, sum, cg_add_ints(c, cg_get(c, ints, sum), part));
    if (u->groups) {
        const Val next = cg_add(c, step.i, cg_i64(c, 1)), size = cg_i64(c, u->group_steps);
        const Val group = cg_div(c, step.i, size);
        const Val end = cg_mul(c, cg_add(c, group, cg_i64(c, 1)), size);
        CgIf last = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, next, end, ""));
        store_row_sum(c, u, row, group, cg_get(c, ints, sum));
        cg_set(c, sum, LLVMConstNull(ints));
        cg_endif(c, &last);
    }
    cg_loop_end(c, &step);
    for (int64_t s = whole; s < steps_of(u);
         s++) { /* what is not all there, and groups of padding */
        const int64_t left = u->p.l.depth - s * u->depth;
        const Val tail = stage_bytes(c, u, cg_offset(c, from, cg_i64(c, s * u->depth)),
                                     copied ? staged_at(c, u, row, cg_i64(c, s)) : NULL, left);
        cg_set(c, sum, cg_add_ints(c, cg_get(c, ints, sum), tail));
        if (u->groups && (s + 1) % u->group_steps == 0) {
            store_row_sum(c, u, row, cg_i64(c, s / u->group_steps), cg_get(c, ints, sum));
            cg_set(c, sum, LLVMConstNull(ints));
        }
    }
    if (!u->groups)
        store_row_sum(c, u, row, zero, cg_get(c, ints, sum));
    const Val scale = cg_at(c, xs->base, DTYPE_f32, cg_mul(c, token, cg_i64(c, xs->stride)));
    cg_vstore(c, cg_at(c, u->scales, DTYPE_f32, row), DTYPE_f32,
              cg_vload(c, scale, DTYPE_f32, 1, NULL), 1, NULL);
}

/* A step of a row that is bf16 in memory: 64 bytes as they are. */
static void
copy_step(Cg *c, const Unit *u, Val row, Val to, Val step)
{
    const CgOperand *x = cg_operand(u->p.l.k, u->p.l.x);
    const Val col = cg_mul(c, step, cg_i64(c, u->depth / u->element));
    const Val from = cg_element(c, x->base, x->dtype, row, x->stride, col);
    for (int64_t i = 0; i < u->depth / 4; i += c->lanes) {
        const Val at = cg_i64(c, i);
        const Val bits = cg_vload(c, cg_at(c, from, DTYPE_i32, at), DTYPE_i32, c->lanes, NULL);
        cg_vstore(c, cg_at(c, to, DTYPE_i32, at), DTYPE_i32, bits, c->lanes, NULL);
    }
}

static void
stage_row(Cg *c, const Unit *u, Val row, Val token)
{
    const CgLinear *l = &u->p.l;
    const CgOperand *x = cg_operand(l->k, l->x);
    const bool copied = x && x->dtype == DTYPE_bf16;
    const int64_t step = u->depth / u->element, whole = l->depth / step;
    CgLoop at = cg_loop(c, "step", cg_i64(c, 0), cg_i64(c, whole), 1);
    const Val to = staged_at(c, u, row, at.i);
    if (copied)
        copy_step(c, u, token, to, at.i);
    else
        stage_reals(c, u, token, to, cg_mul(c, at.i, cg_i64(c, step)), step);
    cg_loop_end(c, &at);
    if (l->depth > whole * step) /* the weight may have a whole step there, by its odd K */
        stage_reals(c, u, token, staged_at(c, u, row, cg_i64(c, whole)), cg_i64(c, whole * step),
                    l->depth - whole * step);
}

/* The block's rows from the first on that is staged, and what integers need of all. */
static void
unit_stage(Cg *c, const Unit *u)
{
    const CgLinear *l = &u->p.l;
    const bool integers = u->dtype != DTYPE_bf16;
    if (integers && u->in_place) {
        CgLoop rows = cg_loop(c, "sum", cg_i64(c, 0), u->staged_from, 1);
        stage_integers(c, u, rows.i, cg_add(c, l->row, rows.i), false);
        cg_loop_end(c, &rows);
    }
    CgLoop rows = cg_loop(c, "stage", u->staged_from, l->rows, 1);
    const Val token = cg_linear_source(c, l, cg_add(c, l->row, rows.i));
    if (integers)
        stage_integers(c, u, rows.i, token, true);
    else
        stage_row(c, u, rows.i, token);
    cg_loop_end(c, &rows);
}

/* ---- the weight ---------------------------------------------------------------------------- */

/* 128 bytes, a row of a panel, from one place to another, or zeros. */
static void
copy_row(Cg *c, Val from, Val to)
{
    const Val zeros = LLVMConstNull(cg_vec_of(c->i32, c->lanes));
    for (int64_t i = 0; i < COLUMNS; i += c->lanes) {
        const Val at = cg_i64(c, i);
        const Val v =
            from ? cg_vload(c, cg_at(c, from, DTYPE_i32, at), DTYPE_i32, c->lanes, NULL) : zeros;
        cg_vstore(c, cg_at(c, to, DTYPE_i32, at), DTYPE_i32, v, c->lanes, NULL);
    }
}

/* The rows of the panel's last step, then zeros. */
static void
fill_tail(Cg *c, const Unit *u, Val panel)
{
    const int64_t rows = u->rest / QUAD, all = u->depth / QUAD;
    for (int64_t r = 0; r < all; r++) {
        const Val to = cg_at(c, u->tail, DTYPE_i32, cg_i64(c, r * COLUMNS));
        const int64_t row = u->steps * all + r;
        copy_row(c, r < rows ? cg_at(c, panel, DTYPE_i32, cg_i64(c, row * COLUMNS)) : NULL, to);
    }
}

/* Steps [from, to) of u4: each packed row gives the quads of its low halves, then of its high ones.
 */
static void
unpack(Cg *c, const Unit *u, Val panel, Val from, Val to)
{
    const Val rows = cg_i64(c, u->depth / QUAD / 2); /* packed rows of a step */
    CgLoop row = cg_loop(c, "unpack", cg_mul(c, from, rows), cg_mul(c, to, rows), 1);
    const Val at = cg_at(c, panel, DTYPE_i32, cg_mul(c, row.i, cg_i64(c, COLUMNS)));
    const Val first = cg_mul(c, cg_sub(c, row.i, cg_mul(c, from, rows)), cg_i64(c, 2 * COLUMNS));
    const Val out = cg_at(c, u->unpacked, DTYPE_i32, first);
    for (int64_t i = 0; i < COLUMNS; i += c->lanes) {
        const Val w = cg_vload(c, cg_at(c, at, DTYPE_i32, cg_i64(c, i)), DTYPE_i32, c->lanes, NULL);
        cg_vstore(c, cg_at(c, out, DTYPE_i32, cg_i64(c, i)), DTYPE_i32, cg_and(c, w, 0x0f0f0f0f),
                  c->lanes, NULL);
        cg_vstore(c, cg_at(c, out, DTYPE_i32, cg_i64(c, COLUMNS + i)), DTYPE_i32,
                  cg_and(c, cg_shr(c, w, 4), 0x0f0f0f0f), c->lanes, NULL);
    }
    cg_loop_end(c, &row);
}

/* ---- products ------------------------------------------------------------------------------ */

enum { SUM00, SUM01, SUM10, SUM11, LEFT0, LEFT1, RIGHT0, RIGHT1 };

/* The sums, to or from rows `stride` bytes apart. low: those of the upper 16 rows alone. */
static void
move_sums(Cg *c, Val at, int64_t stride, bool load, bool low)
{
    for (int i = 0; i < (low ? 2 : 4); i++) {
        const int64_t offset = i / 2 * CG_UNIT_ROWS * stride + i % 2 * CG_UNIT_BYTES;
        const Val here = cg_offset(c, at, cg_i64(c, offset));
        if (load)
            cg_unit_load(c, SUM00 + i, here, stride, false);
        else
            cg_unit_store(c, SUM00 + i, here, stride);
    }
}

/* A weight that is walked once, for few rows, is asked for by hand, to the second level. */
enum { AHEAD_BYTES = 8192 };

/* sums += two tiles of x times two of the weight; x, w: NULL where they are in registers. */
static void
product_tiles(Cg *c, const Unit *u, Val x, Val w, bool low)
{
    const Dtype kind = u->dtype == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_u8;
    if (x)
        cg_unit_load(c, LEFT0, x, u->stride, true);
    if (w)
        cg_unit_load(c, RIGHT0, w, COLUMNS * QUAD, false);
    cg_unit_dot(c, kind, SUM00, LEFT0, RIGHT0);
    if (w)
        cg_unit_load(c, RIGHT1, cg_offset(c, w, cg_i64(c, CG_UNIT_BYTES)), COLUMNS * QUAD, false);
    cg_unit_dot(c, kind, SUM01, LEFT0, RIGHT1);
    if (low)
        return;
    if (x)
        cg_unit_load(c, LEFT1, cg_offset(c, x, cg_i64(c, CG_UNIT_ROWS * u->stride)), u->stride,
                     true);
    cg_unit_dot(c, kind, SUM10, LEFT1, RIGHT0);
    cg_unit_dot(c, kind, SUM11, LEFT1, RIGHT1);
}

/* Of triples the small products come first, and no tile is loaded twice. */
static void
product_step(Cg *c, const Unit *u, Val x, Val w, bool low)
{
    if (u->parts == 2) {
        product_tiles(c, u, cg_offset(c, x, cg_i64(c, u->depth)), w, low);
        product_tiles(c, u, x, NULL, low);
        product_tiles(c, u, NULL, cg_offset(c, w, cg_i64(c, COLUMNS * u->depth)), low);
    } else {
        product_tiles(c, u, x, w, low);
    }
    for (int64_t at = 0; low && at < COLUMNS * step_bytes(u); at += CG_LINE_BYTES)
        cg_prefetch(c, cg_offset(c, w, cg_i64(c, AHEAD_BYTES + at)), 2);
}

/* The epilogue of a row that waits for it. */
static void
finish_sites(Cg *c, const Unit *u, Val next)
{
    const CgLinear *l = &u->p.l;
    const Val row = cg_add(c, cg_get(c, c->i64, u->late_row), next);
    const Val col = cg_get(c, c->i64, u->late_col);
    const Val at = cg_at(c, l->result, DTYPE_f32, cg_mul(c, next, cg_i64(c, COLUMNS)));
    for (int64_t i = 0; i < COLUMNS; i += c->lanes) {
        const CgSite site = {.row = row, .col = cg_add(c, col, cg_i64(c, i)), .lanes = c->lanes};
        cg_linear_finish(c, l, &site, cg_at(c, at, DTYPE_f32, cg_i64(c, i)));
    }
}

/* finish_sites, between the begin and the end of the row that a convolution asks for. */
static void
finish_row(Cg *c, const Unit *u, Val next)
{
    CgRowConv *conv = u->p.l.conv;
    const Val tile = cg_get(c, c->i64, u->late_row), row = cg_add(c, tile, next);
    if (conv)
        cg_row_conv_begin(c, conv, row, tile, cg_get(c, c->i64, u->late_col));
    finish_sites(c, u, next);
    if (conv)
        cg_row_conv_end(c, conv, row);
}

/* The epilogue of rows [next, to) that wait. */
static void
finish_rows(Cg *c, const Unit *u, Val next, Val to)
{
    CgLoop row = cg_loop(c, "late", next, to, 1);
    finish_row(c, u, row.i);
    cg_loop_end(c, &row);
}

/* Of `count` rows one after the other. */
static void
finish_run(Cg *c, const Unit *u, Val next, int64_t count)
{
    CgRowConv *conv = u->p.l.conv;
    const Val tile = cg_get(c, c->i64, u->late_row), row = cg_add(c, tile, next);
    const Val end = cg_add(c, next, cg_i64(c, count));
    CgIf runs = {0};
    if (conv) {
        runs = cg_if(c, cg_row_conv_runs(c, conv, row, count));
        cg_row_conv_run(c, conv, row, tile, cg_get(c, c->i64, u->late_col));
    }
    for (int64_t i = 0; i < count; i++)
        finish_sites(c, u, cg_add(c, next, cg_i64(c, i)));
    if (conv) {
        cg_else(c, &runs);
        finish_rows(c, u, next, end);
        cg_endif(c, &runs);
    }
    cg_set(c, u->late_next, end);
}

/* A step's part of the rows that wait. What is no whole part waits for finish_rest. */
static void
finish_some(Cg *c, const Unit *u)
{
    const int64_t each = (ROWS + u->run - 1) / u->run;
    const Val next = cg_get(c, c->i64, u->late_next);
    CgIf wait = cg_if(c, cg_less(c, next, cg_i64(c, ROWS - each + 1)));
    finish_run(c, u, next, each);
    cg_endif(c, &wait);
}

/* The epilogue of all rows that still wait. */
static void
finish_rest(Cg *c, const Unit *u)
{
    const Val rows = cg_i64(c, ROWS);
    finish_rows(c, u, cg_get(c, c->i64, u->late_next), rows);
    cg_set(c, u->late_next, rows);
}

/* Where 32 rows are in a run of steps [from, to): x, and their sums between runs. */
typedef struct {
    Val from, to; /* steps */
    Val x, w, sums;
    Val first, last; /* i1: the first run, the last */
    Val ahead;       /* of the next run's weights: what these rows ask for */
} Run;

/* A step's part of the weights that come next. step: of the run. */
static void
ask_ahead(Cg *c, const Unit *u, const Run *r, Val step)
{
    const Val line = cg_i64(c, CG_LINE_BYTES);
    const Val from = cg_mul(c, step, cg_mul(c, u->asks, line));
    for (int64_t i = 0; !u->p.l.e && i < u->ahead; i++)
        cg_prefetch(c, cg_offset(c, r->ahead, cg_add(c, from, cg_i64(c, i * CG_LINE_BYTES))), 2);
    if (!u->p.l.e)
        return;
    CgLoop ask = cg_loop(c, "ask", cg_i64(c, 0), u->asks, 1);
    cg_prefetch(c, cg_offset(c, r->ahead, cg_add(c, from, cg_mul(c, ask.i, line))), 2);
    cg_loop_end(c, &ask);
}

/* Steps [from, to) of 32 rows, x and w where they begin. The tail's weights are elsewhere. */
static void
products(Cg *c, const Unit *u, const Run *r, Val x, Val w, Val from, Val to, bool low)
{
    const Val x_step = cg_i64(c, step_bytes(u)), w_step = cg_i64(c, COLUMNS * step_bytes(u));
    const Val whole = cg_min(c, to, cg_i64(c, u->steps)), before = cg_sub(c, from, r->from);
    CgLoop step = cg_loop(c, "k", cg_i64(c, 0), cg_sub(c, whole, from), 1);
    if (!low)
        ask_ahead(c, u, r, cg_add(c, before, step.i));
    product_step(c, u, cg_offset(c, x, cg_mul(c, step.i, x_step)),
                 cg_offset(c, w, cg_mul(c, step.i, w_step)), low);
    if (!low && !u->groups)
        finish_some(c, u);
    cg_loop_end(c, &step);
    if (!u->rest)
        return;
    CgIf last = cg_if(c, cg_less(c, cg_i64(c, u->steps), to));
    product_step(c, u, cg_offset(c, x, cg_mul(c, cg_sub(c, whole, from), x_step)), u->tail, low);
    cg_endif(c, &last);
}

/* ---- integers: what the sums mean ----------------------------------------------------------- */

/* y = (sum - 128 sum x) s_o xs_t. */
static Val
finish_integers(Cg *c, const CgLinear *l, const CgSite *site, Val at)
{
    const Unit *u = (const Unit *)l;
    const Val row = cg_sub(c, site->row, l->row);
    const int lanes = site->lanes;
    const Val scale =
        cg_splat(c, cg_vload(c, cg_at(c, u->scales, DTYPE_f32, row), DTYPE_f32, 1, NULL), lanes);
    if (u->groups)
        return cg_fmul(c, cg_vload(c, at, DTYPE_f32, lanes, site->mask), scale);
    const Val s_base = cg_packed_base(c, &u->p, u->s);
    const Val s = cg_vload(c, cg_at(c, s_base, DTYPE_f32, site->col), DTYPE_f32, lanes, NULL);
    const Val start =
        cg_splat(c, LLVMBuildLoad2(c->b, c->i32, cg_at(c, u->row_sums, DTYPE_i32, row), ""), lanes);
    const Val dot = cg_add_ints(c, cg_vload(c, at, DTYPE_i32, lanes, site->mask), start);
    const Val real = LLVMBuildSIToFP(c->b, dot, cg_vec_type(c, lanes), "");
    return cg_fmul(c, cg_fmul(c, real, s), scale);
}

/* Scales of a group for `lanes` columns of the panel from `col` on: halves of pairs of bf16; or f16
 * or f32 of the groups that are not padding, in which the sums are 0. */
static Val
group_scale(Cg *c, const Unit *u, const Value *of, Val group, int64_t col)
{
    const Dtype dtype = of->type.dtype;
    if (dtype != DTYPE_bf16) {
        const int64_t real = of->type.shape.dim[of->type.shape.rank - 2].n;
        const Val known = cg_min(c, group, cg_i64(c, real - 1));
        const Val line = cg_add(c, cg_mul(c, u->panel, cg_i64(c, real)), known);
        const Val from = cg_add(c, cg_mul(c, line, cg_i64(c, COLUMNS)), cg_i64(c, col));
        return cg_vload(c, cg_at(c, cg_packed_base(c, &u->p, of), dtype, from), dtype, c->lanes,
                        NULL);
    }
    const Val two = cg_i64(c, 2), pair = cg_div(c, group, two);
    const Val half = cg_sub(c, group, cg_mul(c, pair, two));
    const Val row = cg_add(c, cg_mul(c, u->panel, cg_i64(c, u->groups / 2)), pair);
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, COLUMNS)), cg_i64(c, col));
    const Val base = cg_packed_base(c, &u->p, of);
    const Val pairs = cg_vload(c, cg_at(c, base, DTYPE_i32, at), DTYPE_i32, c->lanes, NULL);
    const Val odd = LLVMBuildICmp(c->b, LLVMIntEQ, half, cg_i64(c, 1), "");
    return cg_as_float(
        c, LLVMBuildSelect(c->b, odd, cg_and(c, pairs, 0xffff0000u), cg_shl(c, pairs, 16), ""));
}

/* sums += dots s + (sum x) m for one group of 32 rows; the dots are in l.result. */
static void
add_group(Cg *c, const Unit *u, Val group, Val sums)
{
    enum { MOST_VECS = COLUMNS };
    const int vecs = (int)(COLUMNS / c->lanes);
    Val s[MOST_VECS], m[MOST_VECS];
    for (int v = 0; v < vecs; v++) {
        s[v] = group_scale(c, u, u->s, group, (int64_t)v * c->lanes);
        m[v] = u->m ? group_scale(c, u, u->m, group, (int64_t)v * c->lanes) : NULL;
    }
    const Val rows = cg_min(c, cg_i64(c, ROWS), cg_sub(c, u->p.l.rows, u->tile_row));
    CgLoop row = cg_loop(c, "group_row", cg_i64(c, 0), rows, 1);
    const Val index =
        cg_add(c, cg_mul(c, cg_add(c, u->tile_row, row.i), cg_i64(c, u->groups)), group);
    const Val x_at = cg_at(c, u->row_sums, DTYPE_i32, index);
    for (int v = 0; v < vecs; v++) {
        const Val at =
            cg_add(c, cg_mul(c, row.i, cg_i64(c, COLUMNS)), cg_i64(c, (int64_t)v * c->lanes));
        Val dot = cg_vload(c, cg_at(c, u->p.l.result, DTYPE_i32, at), DTYPE_i32, c->lanes, NULL);
        if (!u->m)
            dot =
                cg_add_ints(c, dot, cg_splat(c, LLVMBuildLoad2(c->b, c->i32, x_at, ""), c->lanes));
        const Val real = LLVMBuildSIToFP(c->b, dot, cg_vec_type(c, c->lanes), "");
        const Val to = cg_at(c, sums, DTYPE_f32, at);
        Val y = cg_fma(c, real, s[v], cg_vload(c, to, DTYPE_f32, c->lanes, NULL));
        if (m[v])
            y = cg_fma(c, cg_splat(c, cg_vload(c, x_at, DTYPE_f32, 1, NULL), c->lanes), m[v], y);
        cg_vstore(c, to, DTYPE_f32, y, c->lanes, NULL);
    }
    cg_loop_end(c, &row);
}

/* ---- the loops ------------------------------------------------------------------------------ */

static void
run_groups(Cg *c, const Unit *u, const Run *r, bool low)
{
    const Val size = cg_i64(c, u->group_steps), one = cg_i64(c, 1);
    const Val begin = cg_div(c, r->from, size), end = cg_div(c, r->to, size);
    CgLoop group = cg_loop(c, "group", begin, end, 1);
    const Val steps = cg_mul(c, cg_sub(c, group.i, begin), size);
    const Val x = cg_offset(c, r->x, cg_mul(c, steps, cg_i64(c, u->depth)));
    const Val w = cg_offset(c, r->w, cg_mul(c, steps, cg_i64(c, COLUMNS * u->depth)));
    for (int i = 0; i < (low ? 2 : 4); i++)
        cg_unit_zero(c, SUM00 + i);
    products(c, u, r, x, w, cg_mul(c, group.i, size), cg_mul(c, cg_add(c, group.i, one), size),
             low);
    move_sums(c, u->p.l.result, COLUMNS * 4, false, low);
    add_group(c, u, group.i, r->sums);
    cg_loop_end(c, &group);
}

static void
run_rows(Cg *c, const Unit *u, const Run *r, bool low)
{
    if (u->groups) {
        run_groups(c, u, r, low);
        return;
    }
    CgIf first = cg_if(c, r->first);
    for (int i = 0; i < (low ? 2 : 4); i++)
        cg_unit_zero(c, SUM00 + i);
    cg_else(c, &first);
    move_sums(c, r->sums, COLUMNS * 4, true, low);
    cg_endif(c, &first);
    products(c, u, r, r->x, r->w, r->from, r->to, low);
    finish_rest(c, u);
    const Val to = LLVMBuildSelect(c->b, r->last, u->p.l.result, r->sums, "");
    move_sums(c, to, COLUMNS * 4, false, low);
}

static void
clear_sums(Cg *c, const Unit *u)
{
    const Val tiles = cg_div_up(c, u->p.l.rows, cg_i64(c, ROWS));
    CgLoop at =
        cg_loop(c, "clear", cg_i64(c, 0), cg_mul(c, tiles, cg_i64(c, ROWS * COLUMNS)), c->lanes);
    cg_vstore(c, cg_at(c, u->sums, DTYPE_f32, at.i), DTYPE_f32, cg_splat(c, cg_f32(c, 0), c->lanes),
              c->lanes, NULL);
    cg_loop_end(c, &at);
}

/* Where the rows of x from row `row` of the block on are. */
static Val
rows_at(Cg *c, const Unit *u, Val row)
{
    const CgLinear *l = &u->p.l;
    if (!u->in_place)
        return staged_at(c, u, row, cg_i64(c, 0));
    const CgOperand *x = cg_operand(l->k, l->x);
    const Val here = cg_mul(c, cg_add(c, l->row, row), cg_i64(c, u->stride));
    return LLVMBuildSelect(c->b, cg_less(c, row, u->staged_from), cg_offset(c, x->base, here),
                           u->p.staged, "");
}

/* One run of a panel over all rows of the block. */
static void
panel_run(Cg *c, Unit *u, Run *r, Val panel_at, Val run)
{
    CgLinear *l = &u->p.l;
    const Val steps = cg_i64(c, steps_of(u)), zero = cg_i64(c, 0);
    const Val from_col = cg_mul(c, u->panel, cg_i64(c, COLUMNS));
    const Val to_col = cg_min(c, cg_i64(c, l->out), cg_add(c, from_col, cg_i64(c, COLUMNS)));
    const Val columns = cg_sub(c, to_col, from_col);
    r->to = cg_min(c, steps, cg_add(c, r->from, run));
    r->first = LLVMBuildICmp(c->b, LLVMIntEQ, r->from, zero, "");
    r->last = LLVMBuildICmp(c->b, LLVMIntEQ, r->to, steps, "");
    r->w = cg_offset(c, panel_at, cg_mul(c, r->from, cg_i64(c, weight_step(u))));
    if (u->unpacked) {
        unpack(c, u, panel_at, r->from, r->to);
        r->w = u->unpacked;
    }
    const Val length = cg_sub(c, r->to, r->from);
    const Val column = cg_mul(c, r->from, cg_i64(c, step_bytes(u)));
    CgLoop rows = cg_loop(c, "tile", zero, l->rows, ROWS);
    u->tile_row = rows.i;
    const Val asked = cg_mul(c, cg_mul(c, cg_div(c, rows.i, cg_i64(c, ROWS)), length),
                             cg_mul(c, u->asks, cg_i64(c, CG_LINE_BYTES)));
    r->ahead =
        cg_offset(c, panel_at, cg_add(c, cg_mul(c, r->to, cg_i64(c, weight_step(u))), asked));
    const Val left = cg_sub(c, l->rows, rows.i);
    r->x = cg_offset(c, rows_at(c, u, rows.i), column);
    r->sums = cg_at(c, u->sums, DTYPE_f32, cg_mul(c, rows.i, cg_i64(c, COLUMNS)));
    CgIf both = cg_if(c, cg_less(c, cg_i64(c, CG_UNIT_ROWS), left));
    run_rows(c, u, r, false);
    cg_else(c, &both);
    run_rows(c, u, r, true);
    cg_endif(c, &both);
    CgIf end = cg_if(c, r->last);
    const Val token = cg_add(c, l->row, rows.i); /* whole blocks wait for the next */
    const Val whole =
        LLVMBuildAnd(c->b, cg_less(c, cg_i64(c, ROWS - 1), left),
                     LLVMBuildICmp(c->b, LLVMIntEQ, columns, cg_i64(c, COLUMNS), ""), "");
    CgIf wait = cg_if(c, u->groups ? LLVMConstInt(c->i1, 0, 0) : whole);
    if (l->conv)
        cg_row_conv_tile(c, l->conv, token);
    cg_set(c, u->late_row, token);
    cg_set(c, u->late_col, from_col);
    cg_set(c, u->late_next, zero);
    cg_else(c, &wait);
    Unit done = *u;
    if (u->groups)
        done.p.l.result = r->sums;
    cg_linear_epilogue(c, &done.p.l, token, cg_min(c, cg_i64(c, ROWS), left), from_col, to_col,
                       COLUMNS);
    cg_endif(c, &wait);
    cg_endif(c, &end);
    cg_loop_end(c, &rows);
}

/* An expert has few rows, and its weights come from memory: what rows there are ask for all of the
 * next run. */
static Val
asks_of(Cg *c, const Unit *u)
{
    const Val tiles = cg_div_up(c, u->p.l.rows, cg_i64(c, ROWS));
    return cg_div_up(c, cg_i64(c, weight_step(u) / CG_LINE_BYTES), tiles);
}

/* Rows and panels of this part, by the matrix that is worked on. */
static void
unit_walk(Cg *c, CgPacked *p, const CgGrid *share)
{
    Unit *u = (Unit *)p;
    CgLinear *l = &p->l;
    const Val rows = cg_sub(c, share->rows[1], share->rows[0]), zero = cg_i64(c, 0);
    const Val block = cg_equal_blocks(c, rows, p->most, ROWS);
    const Val count = cg_div_up(c, rows, block), steps = cg_i64(c, steps_of(u));
    CgLoop blocks = cg_loop(c, "block", zero, count, 1);
    const Val row = cg_mul(c, blocks.i, block);
    l->row = cg_add(c, share->rows[0], row);
    l->rows = cg_min(c, block, cg_sub(c, rows, row));
    if (l->conv)
        cg_row_conv_block(l->conv, l->row, cg_add(c, l->row, l->rows));
    const Val tile = cg_i64(c, ROWS);
    u->staged_from = u->in_place ? cg_mul(c, cg_div(c, l->rows, tile), tile) : zero;
    /* Rows that this thread staged for the part before are still there, if they are one block. */
    const Val other = LLVMBuildNot(c->b, share->again, "");
    CgIf stale = cg_if(c, LLVMBuildOr(c->b, other, cg_less(c, cg_i64(c, 1), count), ""));
    unit_stage(c, u);
    cg_endif(c, &stale);
    u->asks = l->e ? asks_of(c, u) : cg_i64(c, u->ahead);
    /* One tile of rows streams the weight once whatever the runs. */
    const Val single = cg_less(c, l->rows, cg_i64(c, ROWS + 1));
    const Val run = u->unpacked ? cg_i64(c, u->run)
                                : LLVMBuildSelect(c->b, single, steps, cg_i64(c, u->run), "");
    CgLoop panels = cg_loop(c, "panel", share->panels[0], share->panels[1], 1);
    u->panel = panels.i;
    const Val weights = cg_packed_base(c, p, l->w);
    const Val panel_at =
        cg_offset(c, weights, cg_mul(c, panels.i, cg_i64(c, u->unit_rows * COLUMNS * QUAD)));
    if (u->rest)
        fill_tail(c, u, panel_at);
    if (u->groups)
        clear_sums(c, u);
    CgLoop runs = cg_loop(c, "run", zero, cg_div_up(c, steps, run), 1);
    Run r = {.from = cg_mul(c, runs.i, run)};
    panel_run(c, u, &r, panel_at, run);
    cg_loop_end(c, &runs);
    cg_loop_end(c, &panels);
    finish_rest(c, u);
    cg_loop_end(c, &blocks);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static bool
unit_sizes(const Cg *c, Unit *u)
{
    const CgLinear *l = &u->p.l;
    const Type matrix = node_matrix(l->k->kernel->anchor, l->w), *w = &matrix;
    if (w->shape.rank != 4 || w->shape.dim[2].n != COLUMNS)
        return false;
    u->dtype = w->dtype;
    u->element = u->dtype == DTYPE_bf16 ? 2 : 1;
    u->unit_rows = w->shape.dim[1].n;
    const int64_t bytes = u->unit_rows * QUAD * (u->m ? 2 : 1); /* of the summed index */
    const Attr *group = attrs_find(&l->k->kernel->anchor->attrs, ATTR_group);
    u->depth = group && group->i % CG_UNIT_BYTES != 0 ? CG_UNIT_BYTES / 2 : CG_UNIT_BYTES;
    u->parts = node_in_triples(l->k->kernel->anchor) ? 2 : 1;
    u->steps = bytes / step_bytes(u);
    u->rest = bytes % step_bytes(u);
    if (group) {
        u->group_steps = group->i / u->depth;
        u->groups = bytes / group->i;
        if (group->i % u->depth != 0 || u->groups % 2 != 0)
            return false;
    }
    const int64_t most = RUN_BYTES / (COLUMNS * step_bytes(u)), unit = group ? u->group_steps : 1;
    const int64_t runs = (steps_of(u) + most - 1) / most;
    u->run = round_up((steps_of(u) + runs - 1) / runs, unit);
    u->p.panels = w->shape.dim[0].n;
    u->p.panel = COLUMNS;
    u->p.lanes = c->lanes;
    u->p.heights[0] = ROWS;
    u->p.nheights = 1;
    u->p.row_bytes = steps_of(u) * step_bytes(u) + COLUMNS * (int64_t)sizeof(float);
    const CgOperand *x = cg_operand(l->k, l->x);
    u->in_place = !l->e && x && (x->dtype == DTYPE_bf16 || x->dtype == DTYPE_i8) && u->parts == 1 &&
                  l->depth * u->element == steps_of(u) * u->depth &&
                  x->stride * u->element % CG_LINE_BYTES == 0;
    /* An odd number of lines, as rows in memory have: those of a tile are in different sets. */
    u->stride = u->in_place ? x->stride * u->element : odd_lines(steps_of(u) * step_bytes(u));
    return true;
}

static bool
unit_fault(const CgLinear *l, Diag *diag)
{
    StrBuf type = {0};
    type_print(&type, &l->w->type);
    diag_error(
        diag, l->k->kernel->anchor->loc,
        "kernel %s: %s wants %sa machine whose matrix unit multiplies the weight, %s, in panels of "
        "%d columns",
        l->k->kernel->name, kernel_on_unit(l->k->kernel) ? "unit=matrix" : "dot=bf16x3",
        kernel_on_unit(l->k->kernel) ? "" : "unit=matrix and ", sb_text(&type), COLUMNS);
    sb_free(&type);
    return false;
}

bool
emit_linear_unit(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *a = k->kernel->anchor;
    Unit u = {.p = {.l = cg_linear(k)},
              .xs = node_operand(a, 'f'),
              .s = node_operand(a, 'F'),
              .m = node_operand(a, 'M')};
    CgLinear *l = &u.p.l;
    const bool inside = u.xs && (!cg_operand(k, l->x) || !cg_operand(k, u.xs));
    const bool can =
        kernel_on_unit(k->kernel) &&
        (l->w->type.dtype == DTYPE_bf16 ? c->machine->matrix.bf16 : c->machine->matrix.i8);
    if (!can || inside || !unit_sizes(c, &u))
        return unit_fault(l, diag);
    const Node *conv = kernel_epilogue(k->graph, k->kernel);
    l->conv = conv ? cg_row_conv(c, k, conv, ROWS, COLUMNS, diag) : NULL;
    if (conv && !l->conv)
        return false;
    const int64_t groups = u.groups ? u.groups : 1, size = (int64_t)sizeof(float);
    u.p.most = cg_packed_most(c, &u.p);
    const int64_t most = round_up(u.p.most, ROWS), lines = weight_step(&u) / CG_LINE_BYTES;
    const int64_t share = round_up(lines * ROWS, most) / most; /* all rows ask for all of a run */
    u.ahead = share < MOST_AHEAD ? share : MOST_AHEAD;
    u.p.staged = cg_scratch(c, k, (u.in_place ? ROWS : most) * u.stride);
    u.sums = cg_scratch(c, k, most * COLUMNS * size);
    l->result = cg_scratch(c, k, SUM_BYTES);
    if (u.rest)
        u.tail = cg_scratch(c, k, COLUMNS * u.depth);
    if (u.dtype == DTYPE_u4x2)
        u.unpacked = cg_scratch(c, k, u.run * COLUMNS * u.depth);
    u.late_next = cg_var(c, c->i64, cg_i64(c, ROWS), "late_next");
    u.late_row = cg_var(c, c->i64, cg_i64(c, 0), "late_row");
    u.late_col = cg_var(c, c->i64, cg_i64(c, 0), "late_col");
    if (u.xs) {
        l->finish = finish_integers;
        u.row_sums = cg_scratch(c, k, most * groups * size);
        u.scales = cg_scratch(c, k, most * size);
    }
    cg_unit_open(c, &(CgUnitShape){4, 2, 2, (int)u.depth});
    cg_packed_each(c, &u.p, unit_walk);
    cg_unit_close(c);
    return true;
}
