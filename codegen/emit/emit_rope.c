/* codegen/emit/emit_rope.c -- angles: cosines and sines of positions; rope: pairs of channels
 * turned by them.
 *
 * Angles are made once a pass and read by every layer. They are computed in double: p w up to 2^31
 * is off by 2^-22 then, which f32 could not hold. r = p w - k pi/2 with |r| <= pi/4, by parts of
 * pi/2 (Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 8), then the
 * Taylor series of sine and cosine, with errors below 2^-29 of 1. */
#include "codegen/emit/angle.h"

/* ---- angles -----------------------------------------------------------------------------------
 */

Val
cg_frequencies(Cg *c, const Node *angles, int64_t half)
{
    const LLVMTypeRef real = LLVMDoubleTypeInContext(c->ctx);
    const int64_t count = half + c->lanes;
    Val *w = arena_array(c->arena, (size_t)count, sizeof *w);
    for (int64_t i = 0; i < count; i++)
        w[i] = LLVMConstReal(real, i < half ? angle_frequency(angles, i) : 0);
    const Val all = LLVMConstArray2(real, w, (uint64_t)count);
    const Val function = LLVMGetBasicBlockParent(LLVMGetInsertBlock(c->b));
    const Val table = LLVMAddGlobal(LLVMGetGlobalParent(function), LLVMTypeOf(all), "frequencies");
    LLVMSetInitializer(table, all);
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMPrivateLinkage);
    LLVMSetAlignment(table, CG_LINE_BYTES);
    return table;
}

static Val
series(Cg *c, Val square, const double *terms, int count)
{
    Val y = cg_like(c, square, terms[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        y = cg_fma(c, y, square, cg_like(c, square, terms[i]));
    return y;
}

/* Tests `bit` of each integer lane. */
static Val
has_bit(Cg *c, Val whole, int64_t bit)
{
    const Val mask = cg_splat(c, cg_i64(c, bit), cg_lanes_of(whole));
    return LLVMBuildICmp(c->b, LLVMIntNE, LLVMBuildAnd(c->b, whole, mask, ""),
                         LLVMConstNull(LLVMTypeOf(whole)), "");
}

CgAngle
cg_angle(Cg *c, Val radians, double scale)
{
    static const double parts[] = {1.57079632673412561417e+00, 6.07710050630396597660e-11,
                                   2.02226624879595063154e-21};
    static const double sine[] = {1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880};
    static const double cosine[] = {1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800};
    const double whole = 6755399441055744.0; /* 1.5 2^52: adding it rounds to an integer */
    const int lanes = cg_lanes_of(radians);
    const Val turns = cg_fmul(c, radians, cg_like(c, radians, 0.63661977236758134308));
    const Val shifted = cg_fadd(c, turns, cg_like(c, radians, whole));
    const Val k = cg_fsub(c, shifted, cg_like(c, radians, whole));
    Val r = radians;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        r = cg_fsub(c, r, cg_fmul(c, k, cg_like(c, radians, parts[i])));
    const Val square = cg_fmul(c, r, r);
    const Val s = cg_fmul(c, r, series(c, square, sine, COUNT_OF(sine)));
    const Val o = series(c, square, cosine, COUNT_OF(cosine));
    const Val quarter = LLVMBuildBitCast(c->b, shifted, cg_vec_of(c->i64, lanes), "");
    const Val next = LLVMBuildAdd(c->b, quarter, cg_splat(c, cg_i64(c, 1), lanes), "");
    const Val odd = has_bit(c, quarter, 1);
    const Val up = cg_like(c, radians, scale), down = cg_like(c, radians, -scale);
    const Val y = cg_fmul(c, LLVMBuildSelect(c->b, odd, o, s, ""),
                          LLVMBuildSelect(c->b, has_bit(c, quarter, 2), down, up, ""));
    const Val x = cg_fmul(c, LLVMBuildSelect(c->b, odd, s, o, ""),
                          LLVMBuildSelect(c->b, has_bit(c, next, 2), down, up, ""));
    const LLVMTypeRef f32 = cg_vec_type(c, lanes);
    return (CgAngle){LLVMBuildFPTrunc(c->b, x, f32, ""), LLVMBuildFPTrunc(c->b, y, f32, "")};
}

/* Stores the anchor's result at a site, and what is fused after it. */
static void
put(Cg *c, CgKernel *k, const CgSite *at, Val col, Val value)
{
    CgSite site = *at;
    site.col = col;
    cg_unbind_all(k);
    cg_bind(k, k->kernel->anchor->out[0], value);
    cg_store_outputs(c, k, &site);
}

bool
emit_angles(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const CgOperand *positions = cg_operand(k, n->in[0]);
    const int64_t half = cg_width(n->out[0]) / 2;
    const Val table = cg_frequencies(c, n, half), zero = cg_i64(c, 0), middle = cg_i64(c, half);
    const LLVMTypeRef real = LLVMDoubleTypeInContext(c->ctx);
    (void)diag;
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    const Val whole = LLVMBuildLoad2(c->b, c->i32, cg_at(c, positions->base, DTYPE_i32, row.i), "");
    const Val position = LLVMBuildSIToFP(c->b, whole, real, "");
    for (CgColumns s = cg_columns(c, row.i, zero, middle, c->lanes); cg_columns_next(c, &s);) {
        const LLVMTypeRef reals =
            s.at.lanes > 1 ? LLVMVectorType(real, (unsigned)s.at.lanes) : real;
        Val at[] = {s.at.col};
        const Val from = LLVMBuildInBoundsGEP2(c->b, real, table, at, 1, "");
        const Val w = LLVMBuildLoad2(c->b, reals, from, "");
        LLVMSetAlignment(w, sizeof(double));
        const Val radians = cg_fmul(c, cg_splat(c, position, s.at.lanes), w);
        const CgAngle angle = cg_angle(c, radians, angle_scale(n));
        put(c, k, &s.at, s.at.col, angle.cosine);
        put(c, k, &s.at, cg_add(c, s.at.col, middle), angle.sine);
    }
    cg_loop_end(c, &row);
    return true;
}

/* ---- rope -------------------------------------------------------------------------------------
 */

static Val
value_at(Cg *c, CgKernel *k, const Value *v, const CgSite *at, Val col)
{
    CgSite site = *at;
    site.col = col;
    cg_unbind_all(k);
    return cg_eval(c, k, v, &site);
}

bool
emit_rope(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const Value *x = n->in[0], *angles = n->in[1];
    const int64_t width = cg_width(x), rotary = cg_width(angles);
    const int64_t head_dim = node_int(n, ATTR_head_dim, 1);
    const Val zero = cg_i64(c, 0), half = cg_i64(c, rotary / 2);
    (void)diag;
    CgLoop row = cg_share_loop(c, k, "row", cg_rows(c, k, k->domain), 1);
    CgLoop head = cg_loop(c, "head", zero, cg_i64(c, width), head_dim);
    for (CgColumns s = cg_columns(c, row.i, zero, half, c->lanes); cg_columns_next(c, &s);) {
        const Val first = cg_add(c, head.i, s.at.col), second = cg_add(c, first, half);
        const Val a = value_at(c, k, x, &s.at, first), b = value_at(c, k, x, &s.at, second);
        const Val cosine = value_at(c, k, angles, &s.at, s.at.col);
        const Val sine = value_at(c, k, angles, &s.at, cg_add(c, s.at.col, half));
        const Val minus = LLVMBuildFNeg(c->b, sine, "");
        put(c, k, &s.at, first, cg_fma(c, b, minus, cg_fmul(c, a, cosine)));
        put(c, k, &s.at, second, cg_fma(c, a, sine, cg_fmul(c, b, cosine)));
    }
    for (CgColumns s = cg_columns(c, row.i, cg_i64(c, rotary), cg_i64(c, head_dim), c->lanes);
         cg_columns_next(c, &s);) {
        const Val col = cg_add(c, head.i, s.at.col);
        put(c, k, &s.at, col, value_at(c, k, x, &s.at, col));
    }
    cg_loop_end(c, &head);
    cg_loop_end(c, &row);
    return true;
}
