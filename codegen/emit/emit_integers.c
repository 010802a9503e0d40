/* codegen/emit/emit_integers.c -- linear_i8 and linear_u4: dots of bytes, the loops of
 * emit_linear.c.
 *
 * The dot instructions multiply unsigned by signed bytes. Weights are the unsigned side: u4 is, and
 * i8 is packed plus 128, so that sum (q + 128) x - 128 sum x is what is wanted; staging a row of x
 * makes sum x, of the row or of each group, and the accumulators begin at -128 times it. All of
 * that is exact, in i32.
 *
 *     one scale a row     acc[i32] over all of K;                  y = acc s_o xs_t
 *     groups              for each group g: acc[i32] over it;      sum += acc s_go (+ m_go sum x_g)
 *                                                                  y = sum xs_t
 *
 * Scales of two groups are a pair of bf16, as packed bf16 weights are; those that a weight was
 * stored with are f16 or f32, [O/panel,K/group,panel]. */
#include "codegen/emit/linear.h"

enum { QUAD = 4, OFFSET = 128 };

/* Taking halves apart, a core does not look far enough ahead in its instructions to keep memory
 * busy (80 % of the read rate): narrow tiles of u4 prefetch what lies so far behind, of this
 * panel or of the next, which follows it. */
enum { NARROW_ROWS = 4, AHEAD_BYTES = 4096 };

typedef struct {
    CgPacked p;
    const Value *xs, *s, *m; /* scales of x and of the weight; m: NULL for i8 */
    bool grouped;
    int64_t group, groups; /* inputs of a group; groups of the padded row; without: the whole row */
    int64_t real;          /* groups of the row without padding */
    int64_t padded;        /* K as the weight has it */
    bool wide;     /* x is staged widened (CgBytes): a row of even pairs, a row of odd ones */
    int64_t plane; /* bytes from the one to the other */
    Val bytes;     /* x of one row, before that; NULL: staged as it is */
    Val scales;    /* staged xs: f32 [rows] */
    Val sums;      /* [rows,groups]: sum x as f32 for m, or -128 sum x as i32 */
} Integers;

static LLVMTypeRef
ints(Cg *c, int lanes)
{
    return cg_vec_of(c->i32, lanes);
}

/* ---- staging ------------------------------------------------------------------------------ */

/* A row of bytes, zeros behind it up to a whole vector. */
static void
stage_bytes(Cg *c, const Integers *n, Val from, Val to)
{
    const int64_t width = n->p.l.depth, vector = (int64_t)c->lanes * QUAD;
    const int64_t whole = width / vector * vector, padded = round_up(n->padded, vector);
    CgLoop copy = cg_loop(c, "copy", cg_i64(c, 0), cg_i64(c, whole), vector);
    const Val x = cg_vload(c, cg_offset(c, from, copy.i), DTYPE_i32, c->lanes, NULL);
    cg_vstore(c, cg_offset(c, to, copy.i), DTYPE_i32, x, c->lanes, NULL);
    cg_loop_end(c, &copy);
    if (whole == padded)
        return;
    CgLoop clear = cg_loop(c, "clear", cg_i64(c, whole), cg_i64(c, padded), vector);
    cg_vstore(c, cg_offset(c, to, clear.i), DTYPE_i32, LLVMConstNull(ints(c, c->lanes)), c->lanes,
              NULL);
    cg_loop_end(c, &clear);
    CgLoop byte = cg_loop(c, "bytes", cg_i64(c, whole), cg_i64(c, width), 1);
    const Val one = LLVMBuildLoad2(c->b, c->i8, cg_offset(c, from, byte.i), "");
    LLVMBuildStore(c->b, one, cg_offset(c, to, byte.i));
    cg_loop_end(c, &byte);
}

/* Sum of x over each group, as a dot with ones. */
static void
stage_sums(Cg *c, const Integers *n, Val staged, Val sums)
{
    int lanes = c->lanes; /* the most whose quadruples divide a group */
    while (n->grouped && n->group % ((int64_t)lanes * QUAD) != 0)
        lanes /= 2;
    const int64_t vector = (int64_t)lanes * QUAD;
    const int64_t bytes = n->grouped ? n->group : round_up(n->padded, vector);
    const Val bits = cg_splat(c, LLVMConstInt(c->i32, 0x01010101, 0), lanes);
    const CgBytes ones = cg_bytes_unsigned(c, bits, lanes);
    const Val sum = cg_var(c, ints(c, lanes), NULL, "sum");
    CgLoop group = cg_loop(c, "group", cg_i64(c, 0), cg_i64(c, n->groups), 1);
    const Val from = cg_offset(c, staged, cg_mul(c, group.i, cg_i64(c, bytes)));
    cg_set(c, sum, LLVMConstNull(ints(c, lanes)));
    CgLoop at = cg_loop(c, "sum", cg_i64(c, 0), cg_i64(c, bytes), vector);
    const Val quads = cg_vload(c, cg_offset(c, from, at.i), DTYPE_i32, lanes, NULL);
    const CgBytes x = cg_bytes_signed(c, quads, lanes);
    cg_set(c, sum, cg_dot_bytes(c, cg_get(c, ints(c, lanes), sum), ones, x, lanes));
    cg_loop_end(c, &at);
    const Val total = cg_fold(c, cg_get(c, ints(c, lanes), sum), cg_add_ints);
    const Val stored =
        n->m ? LLVMBuildSIToFP(c->b, total, c->f32, "")
             : LLVMBuildMul(c->b, total, LLVMConstInt(c->i32, (unsigned)-OFFSET, 1), "");
    LLVMBuildStore(c->b, stored, cg_at(c, sums, DTYPE_i32, group.i));
    cg_loop_end(c, &group);
}

/* A row of bytes as two of pairs of i16. */
static void
stage_wide(Cg *c, const Integers *n, Val bytes, Val to)
{
    const int64_t vector = (int64_t)c->lanes * QUAD;
    CgLoop at = cg_loop(c, "widen", cg_i64(c, 0), cg_i64(c, n->plane), vector);
    const Val quads = cg_vload(c, cg_offset(c, bytes, at.i), DTYPE_i32, c->lanes, NULL);
    const CgBytes x = cg_bytes_signed(c, quads, c->lanes);
    const Val halves[] = {x.even, x.odd};
    for (int i = 0; i < 2; i++) {
        const Val pairs = LLVMBuildBitCast(c->b, halves[i], ints(c, c->lanes), "");
        const Val row = cg_offset(c, to, cg_i64(c, i * n->plane));
        cg_vstore(c, cg_offset(c, row, at.i), DTYPE_i32, pairs, c->lanes, NULL);
    }
    cg_loop_end(c, &at);
}

static void
integers_stage(Cg *c, const CgPacked *p)
{
    const Integers *n = (const Integers *)p;
    const CgOperand *x = cg_operand(p->l.k, p->l.x), *xs = cg_operand(p->l.k, n->xs);
    CgLoop rows = cg_loop(c, "stage", cg_i64(c, 0), p->l.rows, 1);
    const Val row = cg_linear_source(c, &p->l, cg_add(c, p->l.row, rows.i));
    const Val from = cg_offset(c, x->base, cg_mul(c, row, cg_i64(c, x->stride)));
    const Val to = cg_offset(c, p->staged, cg_mul(c, rows.i, cg_i64(c, p->row_bytes)));
    const Val bytes = n->wide ? n->bytes : to;
    stage_bytes(c, n, from, bytes);
    if (n->wide)
        stage_wide(c, n, bytes, to);
    stage_sums(c, n, bytes, cg_at(c, n->sums, DTYPE_i32, cg_mul(c, rows.i, cg_i64(c, n->groups))));
    const Val scale = cg_at(c, xs->base, DTYPE_f32, cg_mul(c, row, cg_i64(c, xs->stride)));
    cg_vstore(c, cg_at(c, n->scales, DTYPE_f32, rows.i), DTYPE_f32,
              cg_vload(c, scale, DTYPE_f32, 1, NULL), 1, NULL);
    cg_loop_end(c, &rows);
}

/* ---- a tile ------------------------------------------------------------------------------- */

/* rows x vecs accumulators of one kind. */
typedef struct {
    int rows, vecs;
    LLVMTypeRef type;
    Val acc[TILE_MOST]; /* variables, row by row */
} Accumulators;

static Accumulators
accumulators(Cg *c, const CgPacked *p, int rows, LLVMTypeRef element)
{
    Accumulators b = {.rows = rows, .vecs = p->vecs, .type = cg_vec_of(element, p->lanes)};
    for (int i = 0; i < rows * p->vecs; i++)
        b.acc[i] = cg_var(c, b.type, NULL, "acc");
    return b;
}

/* Where the loops of a tile are. */
typedef struct {
    const Integers *n;
    int height;
    Val row, panel;
    Accumulators dots; /* i32 */
} Tile;

static Val
row_sum(Cg *c, const Tile *t, int r, Val group)
{
    const Val row = cg_mul(c, cg_add(c, t->row, cg_i64(c, r)), cg_i64(c, t->n->groups));
    return cg_at(c, t->n->sums, DTYPE_i32, cg_add(c, row, group));
}

/* Accumulators begin at 0, or where unsigned weights need them to. */
static void
dots_begin(Cg *c, const Tile *t, Val group)
{
    for (int r = 0; r < t->height; r++) {
        Val start = LLVMConstNull(t->dots.type);
        if (!t->n->m)
            start = cg_splat(c, LLVMBuildLoad2(c->b, c->i32, row_sum(c, t, r, group), ""),
                             t->n->p.lanes);
        for (int v = 0; v < t->dots.vecs; v++)
            cg_set(c, t->dots.acc[r * t->dots.vecs + v], start);
    }
}

static Val
load_splat(Cg *c, const Tile *t, Val row, Val quad)
{
    const Val one = cg_vload(c, cg_at(c, row, DTYPE_i32, quad), DTYPE_i32, 1, NULL);
    return cg_splat(c, one, t->n->p.lanes);
}

/* Row by row, so that of x one splat is in registers. w: the panel's vectors. */
static void
dots_add(Cg *c, const Tile *t, const Val *w, Val quad)
{
    const int lanes = t->n->p.lanes, vecs = t->dots.vecs;
    CgBytes left[TILE_MOST];
    for (int v = 0; v < vecs; v++)
        left[v] = cg_bytes_unsigned(c, w[v], lanes);
    for (int r = 0; r < t->height; r++) {
        /* Four inputs of row r from input 4 * quad on, in every lane. */
        const Val first = cg_mul(c, t->row, cg_i64(c, t->n->p.row_bytes));
        const Val line = cg_add(c, first, cg_i64(c, r * t->n->p.row_bytes));
        const Val row = cg_offset(c, t->n->p.staged, line);
        CgBytes x = {0};
        if (t->n->wide) {
            const Val odd = cg_offset(c, row, cg_i64(c, t->n->plane));
            x.even = load_splat(c, t, row, quad);
            x.odd = load_splat(c, t, odd, quad);
        } else {
            x.quads = load_splat(c, t, row, quad);
        }
        for (int v = 0; v < vecs; v++) {
            const Val acc = t->dots.acc[r * vecs + v];
            cg_set(c, acc, cg_dot_bytes(c, cg_get(c, t->dots.type, acc), left[v], x, lanes));
        }
    }
}

/* One packed step: four inputs of u8, or eight of u4 in low and high halves. */
static void
dots_step(Cg *c, const Tile *t, Val step)
{
    const CgPacked *p = &t->n->p;
    const Val steps = cg_i64(c, t->n->m ? t->n->padded / (2 * QUAD) : t->n->padded / QUAD);
    const Val line = cg_mul(c, cg_add(c, cg_mul(c, t->panel, steps), step), cg_i64(c, p->panel));
    Val w[TILE_MOST], halves[2][TILE_MOST];
    for (int v = 0; v < p->vecs; v++) {
        const int64_t first = (int64_t)v * p->lanes;
        const Val at =
            cg_at(c, cg_packed_base(c, p, p->l.w), DTYPE_i32, cg_add(c, line, cg_i64(c, first)));
        w[v] = cg_vload(c, at, DTYPE_i32, p->lanes, NULL);
        if (t->n->m && t->height <= NARROW_ROWS && first % CG_LINE_FLOATS == 0)
            cg_prefetch(c, cg_offset(c, at, cg_i64(c, AHEAD_BYTES)), 3);
    }
    if (!t->n->m) {
        dots_add(c, t, w, step);
        return;
    }
    for (int i = 0; i < 2; i++) {
        for (int v = 0; v < p->vecs; v++)
            halves[i][v] = cg_and(c, i ? cg_shr(c, w[v], 4) : w[v], 0x0f0f0f0f);
        dots_add(c, t, halves[i], cg_add(c, cg_mul(c, step, cg_i64(c, 2)), cg_i64(c, i)));
    }
}

/* Steps [from, from + count), several a round where a tile has few rows. */
static void
dots_run(Cg *c, const Tile *t, Val from, int64_t count)
{
    int64_t round = 1;
    while (round * t->height < 4 && count % (2 * round) == 0)
        round *= 2;
    CgLoop loop = cg_loop(c, "k", cg_i64(c, 0), cg_i64(c, count), round);
    for (int64_t i = 0; i < round; i++)
        dots_step(c, t, cg_add(c, from, cg_add(c, loop.i, cg_i64(c, i))));
    cg_loop_end(c, &loop);
}

static Val
dot_real(Cg *c, const Tile *t, int i)
{
    const Val dot = cg_get(c, t->dots.type, t->dots.acc[i]);
    return LLVMBuildSIToFP(c->b, dot, cg_vec_type(c, t->n->p.lanes), "");
}

/* Row r, vector v of the result: y times the scale of the token. */
static void
put_result(Cg *c, const Tile *t, int r, int v, Val y)
{
    const CgPacked *p = &t->n->p;
    const Val at = cg_at(c, t->n->scales, DTYPE_f32, cg_add(c, t->row, cg_i64(c, r)));
    const Val scale = cg_splat(c, cg_vload(c, at, DTYPE_f32, 1, NULL), p->lanes);
    const Val to =
        cg_at(c, p->l.result, DTYPE_f32, cg_i64(c, r * p->panel + (int64_t)v * p->lanes));
    cg_vstore(c, to, DTYPE_f32, cg_fmul(c, y, scale), p->lanes, NULL);
}

/* ---- one scale a row ---------------------------------------------------------------------- */

static void
row_tile(Cg *c, const CgPacked *p, int height, Val row, Val panel)
{
    const Integers *n = (const Integers *)p;
    const Tile t = {n, height, row, panel, accumulators(c, p, height, c->i32)};
    dots_begin(c, &t, cg_i64(c, 0));
    dots_run(c, &t, cg_i64(c, 0), n->padded / QUAD);
    const Val first = cg_mul(c, panel, cg_i64(c, p->panel));
    for (int v = 0; v < p->vecs; v++) {
        const Val at = cg_add(c, first, cg_i64(c, (int64_t)v * p->lanes));
        const Val s = cg_vload(c, cg_at(c, cg_packed_base(c, p, n->s), DTYPE_f32, at), DTYPE_f32,
                               p->lanes, NULL);
        for (int r = 0; r < height; r++)
            put_result(c, &t, r, v, cg_fmul(c, dot_real(c, &t, r * p->vecs + v), s));
    }
}

/* ---- groups ------------------------------------------------------------------------------- */

/* Scales of vector v for a pair of groups: the even group in low halves. */
static Val
pair_of(Cg *c, const Tile *t, const Value *of, Val pair, int v)
{
    const CgPacked *p = &t->n->p;
    const Val row = cg_add(c, cg_mul(c, t->panel, cg_i64(c, t->n->groups / 2)), pair);
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, p->panel)), cg_i64(c, (int64_t)v * p->lanes));
    return cg_vload(c, cg_at(c, cg_packed_base(c, p, of), DTYPE_i32, at), DTYPE_i32, p->lanes,
                    NULL);
}

static Val
half_of(Cg *c, Val pairs, int half)
{
    return cg_as_float(c, half ? cg_and(c, pairs, 0xffff0000u) : cg_shl(c, pairs, 16));
}

/* Scales of vector v for group 2 * pair + half. */
static Val
scales_of(Cg *c, const Tile *t, const Value *of, Val pair, int half, int v)
{
    const CgPacked *p = &t->n->p;
    const Dtype dtype = of->type.dtype;
    if (dtype == DTYPE_bf16)
        return half_of(c, pair_of(c, t, of, pair, v), half);
    const Val group = cg_add(c, cg_mul(c, pair, cg_i64(c, 2)), cg_i64(c, half));
    const Val row = cg_add(c, cg_mul(c, t->panel, cg_i64(c, t->n->real)), group);
    const Val at = cg_add(c, cg_mul(c, row, cg_i64(c, p->panel)), cg_i64(c, (int64_t)v * p->lanes));
    return cg_vload(c, cg_at(c, cg_packed_base(c, p, of), dtype, at), dtype, p->lanes, NULL);
}

/* sum += dots s + (sum x) m for group 2 * pair + half. */
static void
group_add(Cg *c, const Tile *t, const Accumulators *sum, Val pair, int half)
{
    const Val group = cg_add(c, cg_mul(c, pair, cg_i64(c, 2)), cg_i64(c, half));
    const int vecs = t->dots.vecs;
    for (int v = 0; v < vecs; v++) {
        const Val s = scales_of(c, t, t->n->s, pair, half, v);
        const Val m = t->n->m ? scales_of(c, t, t->n->m, pair, half, v) : NULL;
        for (int r = 0; r < t->height; r++) {
            const int i = r * vecs + v;
            Val y = cg_fma(c, dot_real(c, t, i), s, cg_get(c, sum->type, sum->acc[i]));
            if (m) {
                const Val x = cg_vload(c, row_sum(c, t, r, group), DTYPE_f32, 1, NULL);
                y = cg_fma(c, cg_splat(c, x, t->n->p.lanes), m, y);
            }
            cg_set(c, sum->acc[i], y);
        }
    }
}

/* The sums of groups 2 * pair to 2 * pair + count - 1. */
static void
group_pair(Cg *c, const Tile *t, const Accumulators *sum, Val pair, int count)
{
    const int64_t steps = t->n->group / (t->n->m ? 2 * QUAD : QUAD);
    for (int half = 0; half < count; half++) {
        const Val group = cg_add(c, cg_mul(c, pair, cg_i64(c, 2)), cg_i64(c, half));
        dots_begin(c, t, group);
        dots_run(c, t, cg_mul(c, group, cg_i64(c, steps)), steps);
        group_add(c, t, sum, pair, half);
    }
}

/* Scales that were given are those of real groups alone. */
static void
group_tile(Cg *c, const CgPacked *p, int height, Val row, Val panel)
{
    const Integers *n = (const Integers *)p;
    const Tile t = {n, height, row, panel, accumulators(c, p, height, c->i32)};
    const Accumulators sum = accumulators(c, p, height, c->f32);
    const int64_t pairs = n->s->type.dtype == DTYPE_bf16 ? n->groups / 2 : n->real / 2;
    for (int i = 0; i < height * p->vecs; i++)
        cg_set(c, sum.acc[i], LLVMConstNull(sum.type));
    CgLoop pair = cg_loop(c, "groups", cg_i64(c, 0), cg_i64(c, pairs), 1);
    group_pair(c, &t, &sum, pair.i, 2);
    cg_loop_end(c, &pair);
    if (n->s->type.dtype != DTYPE_bf16 && n->real % 2)
        group_pair(c, &t, &sum, cg_i64(c, pairs), 1);
    for (int i = 0; i < height * p->vecs; i++)
        put_result(c, &t, i / p->vecs, i % p->vecs, cg_get(c, sum.type, sum.acc[i]));
}

/* ---- sizes -------------------------------------------------------------------------------- */

static bool
integers_sizes(const Cg *c, Integers *n)
{
    const Node *anchor = n->p.l.k->kernel->anchor;
    const Type matrix = node_matrix(anchor, n->p.l.w), *w = &matrix;
    if (w->shape.rank != 4)
        return false;
    n->padded = w->shape.dim[1].n * (n->m ? 2 * QUAD : QUAD);
    n->grouped = attrs_find(&anchor->attrs, ATTR_group) != NULL;
    n->group = node_int(anchor, ATTR_group, n->padded);
    n->groups = n->padded / n->group;
    n->real = round_up(n->p.l.depth, n->group) / n->group;
    if (!cg_packed_sizes(c, &n->p, w))
        return false;
    n->wide = cg_bytes_are_wide(c, n->p.lanes);
    n->plane = round_up(n->padded, (int64_t)c->lanes * QUAD);
    n->p.row_bytes = cg_packed_row_bytes(c, n->wide ? 2 * n->plane : n->padded);
    return true;
}

/* A sum of products of bytes must fit in i32: weights and activations are at most 127 apart from 0,
 * halves at most 15. On the way it may wrap around. */
static bool
sums_fit(const Node *linear, Diag *diag)
{
    const bool halves = node_operand(linear, 'M') != NULL;
    const int64_t most = INT32_MAX / (127 * (halves ? 15 : 127));
    const int64_t inputs =
        node_int(linear, ATTR_group, type_width(&node_operand(linear, 'x')->type));
    if (inputs <= most)
        return true;
    diag_error(
        diag, linear->loc,
        "%lld inputs share a scale; a sum in 32 bits holds %lld: --set compile.group=128 makes "
        "groups of 128",
        (long long)inputs, (long long)most);
    return false;
}

bool
emit_linear_integers(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *a = k->kernel->anchor;
    Integers n = {.p = {.l = cg_linear(k)},
                  .xs = node_operand(a, 'f'),
                  .s = node_operand(a, 'F'),
                  .m = node_operand(a, 'M')};
    CgLinear *l = &n.p.l;
    if (!sums_fit(a, diag))
        return false;
    if (kernel_on_unit(k->kernel))
        return emit_linear_unit(c, k, diag);
    const bool inside = !cg_operand(k, l->x) || !cg_operand(k, n.xs);
    if (inside || !integers_sizes(c, &n))
        return cg_packed_fault(l, diag);
    n.p.stage = integers_stage;
    n.p.tile = n.grouped ? group_tile : row_tile;
    /* Rows of a tile whose accumulators fit beside the panel's vectors, one x and, widened, twice
     * both and a product; two accumulators a result with groups. */
    const int kinds = n.grouped ? 2 : 1, temporaries = c->machine->i8_dot ? 2 : 6;
    const int beside = n.wide ? 2 * n.p.vecs + 3 : n.p.vecs + temporaries;
    const int fit = (c->machine->vector_registers - beside) / (kinds * n.p.vecs);
    cg_packed_reserve(c, &n.p, fit < 1 ? 1 : fit > 6 ? 6 : fit);
    const int64_t rows = n.p.most + n.p.heights[0];
    n.scales = cg_scratch(c, k, rows * (int64_t)sizeof(float));
    n.sums = cg_scratch(c, k, rows * n.groups * (int64_t)sizeof(float));
    if (n.wide)
        n.bytes = cg_scratch(c, k, n.plane);
    cg_packed_loops(c, &n.p);
    return true;
}
