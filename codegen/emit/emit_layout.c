/* codegen/emit/emit_layout.c -- parameters moved into the layout their readers want, with the
 * pointwise ops before (a folded norm weight, a cast). Run once when weights are loaded. */
#include "codegen/emit/tile.h"

/* ---- transpose [C,1,K] or [C,K] -> [K,C] ----------------------------------------------------- */

bool
emit_transpose(Cg *c, CgKernel *k, Diag *diag)
{
    (void)diag;
    const Node *n = k->kernel->anchor;
    cg_store_map(c, k, n->in[0]);
    const CgOperand *out = cg_operand(k, n->out[0]);
    if (!out)
        return true;
    const int64_t taps = cg_width(n->in[0]), channels = n->in[0]->type.shape.dim[0].n;
    CgLoop channel = cg_share_loop(c, k, "channel", cg_i64(c, channels), 16);
    for (int64_t j = 0; j < taps; j++) {
        const CgSite at = {.row = channel.i, .col = cg_i64(c, j), .lanes = 1};
        cg_unbind_all(k);
        const Val index = cg_add(c, cg_i64(c, j * channels), channel.i);
        const Val w = cg_eval(c, k, n->in[0], &at);
        cg_vstore(c, cg_at(c, out->base, out->dtype, index), out->dtype, w, 1, NULL);
    }
    cg_loop_end(c, &channel);
    return true;
}

/* ---- pack [O,K] -> [O/panel, K/step, panel, step] ---------------------------------------------
 *
 * The unit that moves is one f32 or f16, or a pair of bf16 (step = 2) whose elements are neighbours
 * in both layouts. Blocks of `side` rows by `side` units are read along rows, transposed
 * in registers and written along panels. Rows past O repeat row O-1 and are cleared.
 *
 * With dot=bf16x3 units come in blocks: pairs of 32 columns rounded to bf16, then of what is left
 * of each. Units past K are cleared. */

enum { MAX_SIDE = 16 };

typedef struct {
    const Value *in;
    const CgOperand *out;
    int64_t from;        /* row of `in` that is row 0 here */
    int64_t rows, width; /* O, K */
    int64_t panel, step, units;
    bool triples;
    int side;   /* the greatest power of two that divides the panel and fits a vector */
    Dtype unit; /* as wide as a unit */
    Val above;  /* of a stack [E,O,K]: rows of the matrices before this one */
    Val first;  /* row of the block's first lane */
    Val store;  /* where unit 0 of the block's rows goes */
} Pack;

static Val
as_units(Cg *c, const Pack *p, Val a, Val b)
{
    const LLVMTypeRef ints = cg_vec_of(c->i32, cg_lanes_of(a));
    if (p->unit == DTYPE_f16)
        return cg_f16_bits(c, a);
    if (p->step == 1)
        return cg_as_bits(c, a);
    const Val low = LLVMBuildZExt(c->b, cg_bf16_bits(c, a), ints, "");
    const Val high = LLVMBuildZExt(c->b, cg_bf16_bits(c, b), ints, "");
    return LLVMBuildOr(c->b, low, cg_shl(c, high, 16), "");
}

/* Even (which = 0) or odd lanes of the 2n lanes of a and b. */
static Val
every_second(Cg *c, Val a, Val b, int which)
{
    const int lanes = cg_lanes_of(a);
    int pick[MAX_SIDE];
    for (int i = 0; i < lanes; i++)
        pick[i] = 2 * i + which;
    return cg_shuffle(c, a, b, pick, lanes);
}

static Val
eval_at(Cg *c, CgKernel *k, const Pack *p, Val row, Val col, int lanes)
{
    const CgSite at = {
        .row = cg_add(c, p->above, cg_add(c, row, cg_i64(c, p->from))), .col = col, .lanes = lanes};
    cg_unbind_all(k);
    return cg_eval(c, k, p->in, &at);
}

/* The first column of a unit; low: with triples, whether the unit has what rounding left. */
static Val
unit_column(Cg *c, const Pack *p, Val unit, Val *low)
{
    *low = NULL;
    if (!p->triples)
        return cg_mul(c, unit, cg_i64(c, p->step));
    const Val half = cg_i64(c, IR_TRIPLE_STEP / 2), whole = cg_i64(c, IR_TRIPLE_STEP);
    const Val block = cg_mul(c, cg_div(c, unit, whole), whole), inside = cg_sub(c, unit, block);
    *low = cg_less(c, cg_i64(c, IR_TRIPLE_STEP / 2 - 1), inside);
    const Val pair = LLVMBuildSelect(c->b, *low, cg_sub(c, inside, half), inside, "");
    return cg_add(c, block, cg_mul(c, pair, cg_i64(c, p->step)));
}

static Val
part_of(Cg *c, Val x, Val low)
{
    if (!low)
        return x;
    return LLVMBuildSelect(c->b, low, cg_fsub(c, x, cg_round(c, x, DTYPE_bf16)), x, "");
}

/* `lanes` units of one row from unit `unit` on, as i32; zero past the last row. */
static Val
row_units(Cg *c, CgKernel *k, const Pack *p, Val row, Val unit, int lanes)
{
    const Val real = cg_min(c, row, cg_i64(c, p->rows - 1));
    Val low = NULL;
    const Val col = unit_column(c, p, unit, &low);
    const Val a = part_of(c, eval_at(c, k, p, real, col, lanes), low);
    Val units = NULL;
    if (p->step == 1) {
        units = as_units(c, p, a, NULL);
    } else {
        const Val next = cg_add(c, col, cg_i64(c, lanes));
        const Val b = part_of(c, eval_at(c, k, p, real, next, lanes), low);
        units = lanes == 1 ? as_units(c, p, a, b)
                           : as_units(c, p, every_second(c, a, b, 0), every_second(c, a, b, 1));
    }
    const Val inside = cg_less(c, row, cg_i64(c, p->rows));
    return LLVMBuildSelect(c->b, inside, units, LLVMConstNull(LLVMTypeOf(units)), "");
}

/* Where the units of `unit` of this block's rows lie. */
static Val
unit_at(Cg *c, const Pack *p, Val unit)
{
    return cg_at(c, p->store, p->unit, cg_mul(c, unit, cg_i64(c, p->panel)));
}

/* The last, odd column of a bf16 weight, paired with zero. */
static void
block_odd(Cg *c, CgKernel *k, const Pack *p)
{
    CgLoop lane = cg_loop(c, "lane", cg_i64(c, 0), cg_i64(c, p->side), 1);
    const Val row = cg_add(c, p->first, lane.i), last = cg_i64(c, p->rows - 1);
    const Val a = eval_at(c, k, p, cg_min(c, row, last), cg_i64(c, p->width - 1), 1);
    const Val zero = LLVMConstNull(c->f32);
    const Val x = LLVMBuildSelect(c->b, cg_less(c, row, cg_i64(c, p->rows)), a, zero, "");
    const Val at = cg_at(c, unit_at(c, p, cg_i64(c, p->units - 1)), p->unit, lane.i);
    LLVMBuildStore(c->b, as_units(c, p, x, zero), at);
    cg_loop_end(c, &lane);
}

/* The last block of triples, of fewer than 32 columns, one unit at a time. */
static void
block_parts(Cg *c, CgKernel *k, const Pack *p, int64_t from)
{
    CgLoop unit = cg_loop(c, "unit", cg_i64(c, from), cg_i64(c, p->units), 1);
    CgLoop lane = cg_loop(c, "lane", cg_i64(c, 0), cg_i64(c, p->side), 1);
    const Val row = cg_add(c, p->first, lane.i), end = cg_i64(c, p->width);
    const Val real = cg_min(c, row, cg_i64(c, p->rows - 1)), zero = cg_f32(c, 0);
    Val low = NULL, parts[2];
    const Val col = unit_column(c, p, unit.i, &low);
    for (int i = 0; i < 2; i++) {
        const Val here = cg_add(c, col, cg_i64(c, i));
        const Val x = eval_at(c, k, p, real, cg_min(c, here, cg_i64(c, p->width - 1)), 1);
        const Val inside =
            LLVMBuildAnd(c->b, cg_less(c, row, cg_i64(c, p->rows)), cg_less(c, here, end), "");
        parts[i] = LLVMBuildSelect(c->b, inside, part_of(c, x, low), zero, "");
    }
    const Val bits = as_units(c, p, parts[0], parts[1]);
    LLVMBuildStore(c->b, bits, cg_at(c, unit_at(c, p, unit.i), p->unit, lane.i));
    cg_loop_end(c, &lane);
    cg_loop_end(c, &unit);
}

/* Squares; then units that do not fill one, one at a time. */
static void
pack_rows(Cg *c, CgKernel *k, const Pack *p)
{
    const int64_t pairs =
        p->triples ? p->width / IR_TRIPLE_STEP * IR_TRIPLE_STEP : p->width / p->step;
    const int64_t square = pairs / p->side * p->side;
    if (square > 0) {
        CgLoop unit = cg_loop(c, "unit", cg_i64(c, 0), cg_i64(c, square), p->side);
        Val rows[MAX_SIDE];
        for (int i = 0; i < p->side; i++)
            rows[i] = row_units(c, k, p, cg_add(c, p->first, cg_i64(c, i)), unit.i, p->side);
        cg_transpose_square(c, rows, p->side);
        for (int i = 0; i < p->side; i++) {
            const Val at = unit_at(c, p, cg_add(c, unit.i, cg_i64(c, i)));
            LLVMSetAlignment(LLVMBuildStore(c->b, rows[i], at),
                             (unsigned)dtype_info[p->unit].bytes);
        }
        cg_loop_end(c, &unit);
    }
    CgLoop unit = cg_loop(c, "unit", cg_i64(c, square), cg_i64(c, pairs), 1);
    CgLoop lane = cg_loop(c, "lane", cg_i64(c, 0), cg_i64(c, p->side), 1);
    const Val bits = row_units(c, k, p, cg_add(c, p->first, lane.i), unit.i, 1);
    LLVMBuildStore(c->b, bits, cg_at(c, unit_at(c, p, unit.i), p->unit, lane.i));
    cg_loop_end(c, &lane);
    cg_loop_end(c, &unit);
    if (pairs < p->units && p->triples)
        block_parts(c, k, p, pairs);
    else if (pairs < p->units)
        block_odd(c, k, p);
}

static Pack
pack_sizes(Cg *c, const CgKernel *k)
{
    const Node *n = k->kernel->anchor;
    const Shape *s = &n->in[0]->type.shape;
    const int stack = s->rank - 2; /* dimensions before those of a matrix */
    const Node *def = n->in[0]->def;
    Pack p = {.in = n->in[0], .out = cg_operand(k, n->out[0]), .above = cg_i64(c, 0), .side = 1};
    /* What is packed as bf16 or f16 is rounded by the packing: a cast before it need not. */
    if (def && def->kernel == k->kernel && def->op == OP_cast && p.in->type.dtype != DTYPE_f32)
        p.in = def->in[0];
    p.from = node_int(n, ATTR_first, 0);
    p.rows = node_int(n, ATTR_rows, s->dim[stack].n - p.from);
    p.width = s->dim[stack + 1].n;
    p.panel = node_int(n, ATTR_panel, 1);
    p.step = p.out->dtype == DTYPE_bf16 ? 2 : 1;
    p.triples = node_in_triples(n);
    p.unit = p.out->dtype == DTYPE_f16 ? DTYPE_f16 : DTYPE_i32;
    p.units = n->out[0]->type.shape.dim[stack + 1].n;
    while (p.side < c->lanes && p.panel % (2 * p.side) == 0)
        p.side *= 2;
    return p;
}

/* Threads divide panels. */
bool
emit_pack(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor, *def = n->in[0]->def;
    const bool here = def && def->kernel == k->kernel && op_info[def->op].cls == CLASS_LAYOUT;
    if (here || !dtype_info[n->in[0]->type.dtype].is_float) /* integers, or their scales */
        return emit_quantised(c, k, diag);
    cg_store_map(c, k, n->in[0]);
    if (!cg_operand(k, n->out[0]))
        return true;
    Pack p = pack_sizes(c, k);
    const Shape *packed = &n->out[0]->type.shape;
    const bool stack = n->in[0]->type.shape.rank > 2;
    const int64_t panels = packed->dim[stack].n, count = stack ? packed->dim[0].n : 1;
    CgLoop panel = cg_share_loop(c, k, "panel", cg_i64(c, count * panels), 1);
    Val inside = panel.i;
    if (stack) {
        const Val matrix = cg_div(c, panel.i, cg_i64(c, panels));
        inside = cg_sub(c, panel.i, cg_mul(c, matrix, cg_i64(c, panels)));
        p.above = cg_mul(c, matrix, cg_i64(c, n->in[0]->type.shape.dim[1].n));
    }
    CgLoop lane = cg_loop(c, "lanes", cg_i64(c, 0), cg_i64(c, p.panel), p.side);
    p.first = cg_add(c, cg_mul(c, inside, cg_i64(c, p.panel)), lane.i);
    const Val start = cg_mul(c, panel.i, cg_i64(c, p.units * p.panel));
    p.store = cg_at(c, p.out->base, p.unit, cg_add(c, start, lane.i));
    pack_rows(c, k, &p);
    cg_loop_end(c, &lane);
    cg_loop_end(c, &panel);
    return true;
}
