/* codegen/emit/emit_quantised.c -- quantise_i8 and quantise_u4 with the packing of what they make:
 * a weight [O,K] to integers and scales in panels, in one go. Run once when weights are loaded.
 *
 *     for each panel of this thread, each of its rows:
 *         the row copied to scratch, zeros after its end
 *         for each group: scale (and minimum) from its extremes, or those that are given; each 16
 *                         numbers rounded, stored
 *
 * Four bytes of one output column are neighbours, so a row goes to every panel-th 32-bit unit. A
 * vector here is 16 lanes whatever the CPU: on narrower ones LLVM takes several registers. */
#include "codegen/emit/cg.h"

enum { LANES = 16 };

typedef struct {
    CgKernel *k;
    const Node *quantise;
    const CgOperand *q, *s, *m; /* packed; m: NULL for i8, as is one without a reader */
    bool is_u4;
    int64_t from, rows, width; /* first row of the weight, O, K */
    int64_t padded;            /* K as the packed weight has it */
    int64_t group, groups;     /* inputs of a group; groups of the padded row */
    int64_t panel, steps;
    int64_t panels;         /* of a matrix */
    bool stack;             /* the weight is [E,O,K] */
    bool grouped;           /* each group has scales, not the row */
    Value *scales, *minima; /* that are given; NULL: they are made here, pairs of bf16 if grouped */
    int64_t real;           /* groups of the row without padding */
    Val row;                /* in scratch: [padded] f32 */
    /* Where the loops are. */
    Val panel_index, lane; /* panels of all matrices are counted on */
    Val source, inside;    /* row of the weight; whether it is one of those packed */
} Quantised;

static Val
row_at(Cg *c, const Quantised *z, Val col)
{
    return cg_at(c, z->row, DTYPE_f32, col);
}

/* ---- a row --------------------------------------------------------------------------------- */

/* Rows past the last are zeros. */
static void
copy_row(Cg *c, Quantised *z)
{
    const Val panels = cg_i64(c, z->panels), matrix = cg_div(c, z->panel_index, panels);
    const Val panel =
        z->stack ? cg_sub(c, z->panel_index, cg_mul(c, matrix, panels)) : z->panel_index;
    const Val row = cg_add(c, cg_mul(c, panel, cg_i64(c, z->panel)), z->lane);
    const Val inside = cg_less(c, row, cg_i64(c, z->rows));
    Val real = cg_add(c, cg_min(c, row, cg_i64(c, z->rows - 1)), cg_i64(c, z->from));
    if (z->stack) /* behind the matrices before */
        real = cg_add(c, cg_mul(c, matrix, cg_i64(c, z->rows)), real);
    z->source = real;
    z->inside = inside;
    const Val zeros = cg_splat(c, cg_f32(c, 0), LANES), end = cg_i64(c, z->width);
    CgLoop clear = cg_loop(c, "clear", cg_i64(c, z->width / LANES * LANES),
                           cg_i64(c, round_up(z->padded, LANES)), LANES);
    cg_vstore(c, row_at(c, z, clear.i), DTYPE_f32, zeros, LANES, NULL);
    cg_loop_end(c, &clear);
    CgLoop col = cg_loop(c, "keep", cg_i64(c, 0), end, LANES);
    const CgSite at = {
        .row = real,
        .col = col.i,
        .lanes = LANES,
        .mask = z->width % LANES == 0 ? NULL : cg_mask_first(c, LANES, cg_sub(c, end, col.i))};
    cg_unbind_all(z->k);
    const Val x = cg_eval(c, z->k, z->quantise->in[0], &at);
    cg_vstore(c, row_at(c, z, col.i), DTYPE_f32, LLVMBuildSelect(c->b, inside, x, zeros, ""), LANES,
              at.mask);
    cg_loop_end(c, &col);
}

typedef struct {
    Val low, high; /* scalars; of i8, the greatest magnitude is max(-low, high) */
    Val flaw;      /* 0; NaN where a number is NaN, which low and high do not show, or infinite */
} Extremes;

/* Least and greatest number of columns [from, to) and of column `from`, which is a zero where no
 * column is left. */
static Extremes
extremes(Cg *c, const Quantised *z, Val from, Val to)
{
    const LLVMTypeRef type = cg_vec_type(c, LANES);
    const Val first = cg_splat(c, cg_vload(c, row_at(c, z, from), DTYPE_f32, 1, NULL), LANES);
    const Val low = cg_var(c, type, first, "low"), high = cg_var(c, type, first, "high");
    const Val zero = cg_like(c, first, 0), flaw = cg_var(c, type, zero, "flaw");
    CgLoop col = cg_loop(c, "extremes", from, to, LANES);
    const bool whole = z->width % LANES == 0 && z->group % LANES == 0;
    const Val mask = whole ? NULL : cg_mask_first(c, LANES, cg_sub(c, to, col.i));
    Val x = cg_vload(c, row_at(c, z, col.i), DTYPE_f32, LANES, NULL);
    if (mask)
        x = LLVMBuildSelect(c->b, mask, x, first, "");
    cg_set(c, low, cg_vmin(c, x, cg_get(c, type, low)));
    cg_set(c, high, cg_vmax(c, x, cg_get(c, type, high)));
    cg_set(c, flaw, cg_fma(c, x, zero, cg_get(c, type, flaw)));
    cg_loop_end(c, &col);
    return (Extremes){cg_fold(c, cg_get(c, type, low), cg_vmin),
                      cg_fold(c, cg_get(c, type, high), cg_vmax),
                      cg_fold(c, cg_get(c, type, flaw), cg_fadd)};
}

/* ---- scales -------------------------------------------------------------------------------- */

/* Stores a scale where the packed matrix of them has it. */
static void
store_scale(Cg *c, const Quantised *z, const CgOperand *to, Val group, Val value)
{
    if (!to)
        return;
    if (!z->grouped) {
        const Val at = cg_add(c, cg_mul(c, z->panel_index, cg_i64(c, z->panel)), z->lane);
        cg_vstore(c, cg_at(c, to->base, DTYPE_f32, at), DTYPE_f32, value, 1, NULL);
        return;
    }
    if (z->scales) {
        const Val row = cg_add(c, cg_mul(c, z->panel_index, cg_i64(c, z->real)), group);
        const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, z->panel)), z->lane);
        cg_vstore(c, cg_at(c, to->base, to->dtype, at), to->dtype, value, 1, NULL);
        return;
    }
    const Val two = cg_i64(c, 2), pair = cg_div(c, group, two);
    const Val half = cg_sub(c, group, cg_mul(c, pair, two));
    const Val row = cg_add(c, cg_mul(c, z->panel_index, cg_i64(c, z->groups / 2)), pair);
    const Val lane = cg_add(c, cg_mul(c, row, cg_i64(c, z->panel)), z->lane);
    const Val at = cg_add(c, cg_mul(c, lane, two), half);
    cg_vstore(c, cg_at(c, to->base, DTYPE_bf16, at), DTYPE_bf16, value, 1, NULL);
}

/* How a group's numbers are rounded: q = (x - m) / s. */
typedef struct {
    Val m, inverse; /* m: NULL for i8 */
} Rounding;

static Rounding
group_rounding(Cg *c, const Quantised *z, Val group, Extremes x)
{
    const Dtype dtype = z->grouped ? DTYPE_bf16 : DTYPE_f32;
    const Val real =
        z->is_u4 ? cg_fsub(c, x.high, x.low) : cg_vmax(c, LLVMBuildFNeg(c->b, x.low, ""), x.high);
    const Val size = cg_fadd(c, real, x.flaw);
    const Val s = cg_round(c, LLVMBuildFDiv(c->b, size, cg_f32(c, z->is_u4 ? 15 : 127), ""), dtype);
    const Val zero = cg_f32(c, 0), some = LLVMBuildFCmp(c->b, LLVMRealUNE, s, zero, "");
    const Val inverse = LLVMBuildFDiv(c->b, cg_f32(c, 1), s, "");
    Rounding r = {.inverse = LLVMBuildSelect(c->b, some, inverse, zero, "")};
    store_scale(c, z, z->s, group, s);
    if (z->is_u4) {
        r.m = cg_round(c, x.low, dtype);
        store_scale(c, z, z->m, group, r.m);
    }
    return r;
}

/* A scale or minimum that the weight has; of rows past the last 0. */
static Val
given_number(Cg *c, const Quantised *z, Value *of, Val group)
{
    const CgSite at = {.row = z->source, .col = group, .lanes = 1};
    cg_unbind_all(z->k);
    return LLVMBuildSelect(c->b, z->inside, cg_eval(c, z->k, of, &at), cg_f32(c, 0), "");
}

/* With the scales that made the numbers, their quotients are whole but for rounding. */
static Rounding
given_rounding(Cg *c, const Quantised *z, Val group)
{
    const Val s = given_number(c, z, z->scales, group), zero = cg_f32(c, 0);
    const Val some = LLVMBuildFCmp(c->b, LLVMRealUNE, s, zero, "");
    const Val inverse = LLVMBuildFDiv(c->b, cg_f32(c, 1), s, "");
    Rounding r = {.inverse = LLVMBuildSelect(c->b, some, inverse, zero, "")};
    store_scale(c, z, z->s, group, s);
    if (z->is_u4) {
        r.m = given_number(c, z, z->minima, group);
        store_scale(c, z, z->m, group, r.m);
    }
    return r;
}

/* ---- integers -------------------------------------------------------------------------------- */

static void
store_units(Cg *c, const Quantised *z, Val bytes, Val first_step, int count)
{
    const Val units = LLVMBuildBitCast(c->b, bytes, cg_vec_of(c->i32, count), "");
    const Val panel = cg_mul(c, z->panel_index, cg_i64(c, z->steps));
    for (int i = 0; i < count; i++) {
        const Val step = cg_add(c, cg_add(c, panel, first_step), cg_i64(c, i));
        const Val at = cg_add(c, cg_mul(c, step, cg_i64(c, z->panel)), z->lane);
        const Val unit =
            count == 1 ? units : LLVMBuildExtractElement(c->b, units, cg_i64(c, i), "");
        LLVMSetAlignment(LLVMBuildStore(c->b, unit, cg_at(c, z->q->base, DTYPE_i32, at)), 4);
    }
}

static Val
every_other_four(Cg *c, Val v, int first)
{
    int pick[LANES / 2];
    const int lanes = cg_lanes_of(v) / 2;
    for (int i = 0; i < lanes; i++)
        pick[i] = first + i / 4 * 8 + i % 4;
    return cg_shuffle(c, v, v, pick, lanes);
}

/* Numbers of 4 bits: of each eight, the first four in low halves. */
static void
store_nibbles(Cg *c, const Quantised *z, Val x, const Rounding *r, Val col)
{
    const int lanes = cg_lanes_of(x);
    const Val above = cg_fsub(c, x, cg_splat(c, r->m, lanes));
    const Val scaled = cg_fmul(c, above, cg_splat(c, r->inverse, lanes));
    const Val low = cg_vmax(c, scaled, cg_like(c, scaled, 0));
    const Val rounded = cg_and(c, cg_integer_bits(c, cg_vmin(c, low, cg_like(c, low, 15))), 15);
    Val bits = rounded;
    if (z->width % z->group != 0) { /* 0 for inputs past the last: not the least of their group */
        const Val inside = cg_mask_first(c, lanes, cg_sub(c, cg_i64(c, z->width), col));
        bits = LLVMBuildSelect(c->b, inside, bits, LLVMConstNull(LLVMTypeOf(bits)), "");
    }
    const Val even = every_other_four(c, bits, 0), odd = every_other_four(c, bits, 4);
    const Val pairs = LLVMBuildOr(c->b, even, cg_shl(c, odd, 4), "");
    const Val bytes = LLVMBuildTrunc(c->b, pairs, cg_vec_of(c->i8, lanes / 2), "");
    store_units(c, z, bytes, cg_div(c, col, cg_i64(c, 8)), lanes / 8);
}

static void
store_bytes(Cg *c, const Quantised *z, Val x, const Rounding *r, Val col)
{
    const int lanes = cg_lanes_of(x);
    const Val scaled = cg_fmul(c, x, cg_splat(c, r->inverse, lanes));
    const Val low = cg_vmax(c, scaled, cg_like(c, scaled, z->scales ? -128 : -127));
    const Val bits = cg_integer_bits(c, cg_vmin(c, low, cg_like(c, low, 127)));
    const Val above = LLVMBuildAdd(c->b, bits, cg_int_like(c, bits, 128), "");
    const Val bytes = LLVMBuildTrunc(c->b, above, cg_vec_of(c->i8, lanes), "");
    store_units(c, z, bytes, cg_div(c, col, cg_i64(c, 4)), lanes / 4);
}

static void
store_columns(Cg *c, const Quantised *z, const Rounding *r, Val from, Val to, int lanes)
{
    CgLoop col = cg_loop(c, "round", from, to, lanes);
    const Val x = cg_vload(c, row_at(c, z, col.i), DTYPE_f32, lanes, NULL);
    (z->is_u4 ? store_nibbles : store_bytes)(c, z, x, r, col.i);
    cg_loop_end(c, &col);
}

/* ---- groups -------------------------------------------------------------------------------- */

/* Steps after the last whole vector are four inputs each: a row of its own scale ends anywhere. */
static void
row_quantise(Cg *c, const Quantised *z)
{
    const Val zero = cg_i64(c, 0), width = cg_i64(c, z->width);
    if (!z->grouped) {
        const Val vectors = cg_i64(c, z->padded / LANES * LANES), end = cg_i64(c, z->padded);
        const Rounding r = group_rounding(c, z, zero, extremes(c, z, zero, width));
        store_columns(c, z, &r, zero, vectors, LANES);
        store_columns(c, z, &r, vectors, end, 4);
        return;
    }
    const int lanes = z->group % LANES == 0 ? LANES : LANES / 2;
    if (z->scales) {
        CgLoop group = cg_loop(c, "group", zero, cg_i64(c, z->real), 1);
        const Val from = cg_mul(c, group.i, cg_i64(c, z->group));
        const Rounding r = given_rounding(c, z, group.i);
        store_columns(c, z, &r, from, cg_add(c, from, cg_i64(c, z->group)), lanes);
        cg_loop_end(c, &group);
        const Rounding none = {cg_f32(c, 0), cg_f32(c, 0)}; /* padding, which is zeros */
        store_columns(c, z, &none, width, cg_i64(c, z->padded), lanes);
        return;
    }
    CgLoop group = cg_loop(c, "group", zero, cg_i64(c, z->groups), 1);
    const Val from = cg_mul(c, group.i, cg_i64(c, z->group));
    const Val to = cg_add(c, from, cg_i64(c, z->group));
    const Val end = cg_min(c, to, width); /* before `from` in a group of padding */
    const Rounding r = group_rounding(c, z, group.i, extremes(c, z, from, end));
    store_columns(c, z, &r, from, to, lanes);
    cg_loop_end(c, &group);
}

/* ---- sizes --------------------------------------------------------------------------------- */

/* The pack in this kernel of a result of the quantise; NULL: there is none. */
static const Node *
pack_of(const CgKernel *k, const Value *v)
{
    for (const Node *n = k->first; n != k->last->next; n = n->next)
        if (n->kernel == k->kernel && n->op == OP_pack && n->in[0] == v)
            return n;
    return NULL;
}

/* Packed operands of the results; all have the panel of q, and q has its groups. */
static bool
find_packs(CgKernel *k, Quantised *z)
{
    const CgOperand **to[] = {&z->q, &z->s, &z->m};
    const Node *first = pack_of(k, z->quantise->out[0]);
    if (!first)
        return false;
    z->panel = node_int(first, ATTR_panel, 1);
    if (node_int(first, ATTR_group, 0) != node_int(z->quantise, ATTR_group, 0))
        return false;
    for (int i = 0; i < z->quantise->nout; i++) {
        const Node *pack = pack_of(k, z->quantise->out[i]);
        if (!pack || node_int(pack, ATTR_panel, 1) != z->panel ||
            attrs_find(&pack->attrs, ATTR_rows) || attrs_find(&pack->attrs, ATTR_first) ||
            cg_operand(k, z->quantise->out[i]))
            return false;
        *to[i] = cg_operand(k, pack->out[0]);
    }
    return z->q != NULL;
}

static void
quantised_sizes(Quantised *z)
{
    const Node *n = z->quantise;
    const Shape *packed = &z->q->value->type.shape;
    z->is_u4 = n->op == OP_quantise_u4;
    z->from = node_int(n, ATTR_first, 0);
    const Shape *plain = &n->out[0]->type.shape;
    z->stack = plain->rank > 2;
    z->rows = plain->dim[plain->rank - 2].n;
    z->width = plain->dim[plain->rank - 1].n;
    z->panels = packed->dim[packed->rank - 4].n;
    z->steps = packed->dim[packed->rank - 3].n;
    z->padded = z->steps * (z->is_u4 ? 8 : 4);
    z->grouped = attrs_find(&n->attrs, ATTR_group) != NULL;
    z->group = node_int(n, ATTR_group, z->padded);
    z->groups = z->padded / z->group;
    z->real = round_up(z->width, z->group) / z->group;
    z->scales = node_operand(n, 'F');
    z->minima = node_operand(n, 'M');
}

bool
emit_quantised(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *anchor = k->kernel->anchor;
    Quantised z = {.k = k, .quantise = anchor->in[0]->def};
    const bool known = z.quantise && z.quantise->kernel == k->kernel &&
                       (z.quantise->op == OP_quantise_i8 || z.quantise->op == OP_quantise_u4);
    if (!known || !find_packs(k, &z)) {
        diag_error(
            diag, anchor->loc,
            "kernel %s: whole numbers and their scales are packed, in equal panels and groups, "
            "by the kernel that makes them (passes layout and fuse)",
            k->kernel->name);
        return false;
    }
    quantised_sizes(&z);
    z.row = cg_scratch(c, k, (round_up(z.padded, LANES) + LANES) * (int64_t)sizeof(float));
    const int64_t matrices = z.stack ? z.q->value->type.shape.dim[0].n : 1;
    CgLoop panel = cg_share_loop(c, k, "panel", cg_i64(c, matrices * z.panels), 1);
    CgLoop lane = cg_loop(c, "lane", cg_i64(c, 0), cg_i64(c, z.panel), 1);
    z.panel_index = panel.i;
    z.lane = lane.i;
    copy_row(c, &z);
    row_quantise(c, &z);
    cg_loop_end(c, &lane);
    cg_loop_end(c, &panel);
    return true;
}
