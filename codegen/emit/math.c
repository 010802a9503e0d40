/* codegen/emit/math.c -- functions of f32 scalars and vectors, and the formula of each pointwise
 * op.
 *
 * Polynomials are minimax fits rounded to f32; tests/unit/test_codegen.c measures every function
 * against float64 and holds it to cg_ulp_bound. Infinities and NaNs come out as the limits and as
 * NaN; denormal results are 0 in the mode that kernels run in (runtime/float_mode.h). Comparisons
 * are written so that they give a NaN operand. */
#include <math.h>

#include "codegen/emit/cg.h"

static Val
unary(Cg *c, const char *name, Val x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    return cg_intrinsic(c, name, &type, 1, &x, 1);
}

static Val
minus_abs(Cg *c, Val x)
{
    return LLVMBuildFNeg(c->b, unary(c, "llvm.fabs", x), "");
}

/* coefficient[0] + coefficient[1] x + ... by Horner's rule. */
static Val
polynomial(Cg *c, Val x, const float *coefficient, int count)
{
    Val sum = cg_like(c, x, coefficient[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        sum = cg_fma(c, sum, x, cg_like(c, x, coefficient[i]));
    return sum;
}

/* ---- exp ----------------------------------------------------------------------------------- */

/* A power of two, for scale. */
typedef struct {
    Val real, whole; /* as f32 and as i32: LLVM drops the one that is not used */
} Power;

/* e^x = mantissa * 2^power with mantissa near [0.7, 1.42]. */
typedef struct {
    Val mantissa, above_one; /* the mantissa is 1 + above_one, rounded */
    Power power;
} ExpParts;

/* Cody and Waite: n = round(x / ln 2), r = x - n ln 2 with ln 2 in two parts of which the first has
 * 9 bits, so that n * hi is exact; e^r = 1 + r + r^2 P(r), |r| <= ln(2)/2, error 2^-28. The
 * rounding adds and takes away 1.5 * 2^23; its low bits are then n. low is added to x beyond f32's
 * precision; NULL: 0. |x| <= 2^7. */
static ExpParts
exp_parts(Cg *c, Val x, Val low)
{
    static const float p[] = {0.49999994f, 0.166665211f, 0.041668389f, 0.00836874545f,
                              0.00138145383f};
    const Val magic = cg_like(c, x, 0x1.8p23);
    const Val shifted = cg_fma(c, x, cg_like(c, x, 1.44269504088896341), magic);
    const Val n = cg_fsub(c, shifted, magic);
    Val r = cg_fma(c, n, cg_like(c, x, -0.693359375), x);
    r = cg_fma(c, n, cg_like(c, x, 2.12194440054690583e-4), r);
    if (low)
        r = cg_fadd(c, r, low);
    const Val square = cg_fmul(c, r, r);
    const Val tail = cg_fma(c, polynomial(c, r, p, COUNT_OF(p)), square, r);
    const Val bits = cg_as_bits(c, shifted);
    const Val whole = LLVMBuildSub(c->b, bits, cg_int_like(c, x, 0x4b400000), "");
    return (ExpParts){
        cg_fadd(c, tail, cg_like(c, x, 1.0)), tail, {n, whole}
    };
}

/* 2^n for n in -126 .. 127. */
static Val
power_of_two(Cg *c, Val n)
{
    return cg_as_float(c, cg_shl(c, cg_add_ints(c, n, cg_int_like(c, n, 127)), 23));
}

static bool
scales_at_once(const Cg *c, Val x)
{
    return cg_on_x86(c) && c->machine->vector_bytes == 64 && cg_lanes_of(x) == 16;
}

/* Intel SDM, VSCALEFPS: x * 2^floor(n) rounded once. */
static Val
scale_at_once(Cg *c, Val x, Val n)
{
    enum { ALL = 0xffff, CURRENT_ROUNDING = 4 };
    Val args[] = {x, n, x, LLVMConstInt(c->i16, ALL, 0), LLVMConstInt(c->i32, CURRENT_ROUNDING, 0)};
    return cg_intrinsic(c, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0, args, COUNT_OF(args));
}

/* x * 2^n. Where no instruction does it, in two steps, so that results reach from 0 to infinity
 * with one rounding. */
static Val
scale(Cg *c, Val x, Power n)
{
    if (scales_at_once(c, x))
        return scale_at_once(c, x, n.real);
    const Val half = LLVMBuildAShr(c->b, n.whole, cg_int_like(c, x, 1), "");
    const Val rest = LLVMBuildSub(c->b, n.whole, half, "");
    return cg_fmul(c, cg_fmul(c, x, power_of_two(c, half)), power_of_two(c, rest));
}

/* e^-120 rounds to 0 and e^89 to infinity. */
enum { EXP_LOW = -120, EXP_HIGH = 89 };

Val
cg_exp(Cg *c, Val x)
{
    const Val low = cg_vmax(c, cg_like(c, x, EXP_LOW), x);
    const ExpParts e = exp_parts(c, cg_vmin(c, cg_like(c, x, EXP_HIGH), low), NULL);
    return scale(c, e.mantissa, e.power);
}

/* 2^x = 2^n (1 + r P(r)), n = floor(x) and r = x - n in [0, 1]. It is cheaper than e^x, as no n ln
 * 2 is subtracted in two parts. 1 + r P(r) is within 6.5e-8 of 2^r, and is 1 and 2 to the bit at
 * the ends: 2^x is 1 for x = 0 and for every x too near to 0 to tell. */
static Val
exp2_fraction(Cg *c, Val r)
{
    static const float p[] = {1,
                              0.693147004f,
                              0.240229517f,
                              0.0554841533f,
                              0.00967806391f,
                              0.0012440877f,
                              0.000217150257f};
    return polynomial(c, r, p, COUNT_OF(p));
}

/* Intel SDM, VREDUCEPS: x - floor(x), rounded once; of an infinity 0. */
static Val
reduce_at_once(Cg *c, Val x)
{
    enum { ALL = 0xffff, CURRENT_ROUNDING = 4, FLOOR_QUIETLY = 9 };
    Val args[] = {x, LLVMConstInt(c->i32, FLOOR_QUIETLY, 0), x, LLVMConstInt(c->i16, ALL, 0),
                  LLVMConstInt(c->i32, CURRENT_ROUNDING, 0)};
    return cg_intrinsic(c, "llvm.x86.avx512.mask.reduce.ps.512", NULL, 0, args, COUNT_OF(args));
}

Val
cg_exp2(Cg *c, Val x)
{
    if (scales_at_once(c, x))
        return scale_at_once(c, exp2_fraction(c, reduce_at_once(c, x)), x);
    const Val low =
        cg_vmax(c, cg_like(c, x, -126.5), x); /* makes 2^-127, whose bits are those of 0 */
    const Val bounded = cg_vmin(c, cg_like(c, x, 128), low); /* 2^128 has those of infinity */
    const Val magic = cg_like(c, x, 0x1.8p23);
    const Val shifted = cg_fadd(c, cg_fadd(c, bounded, cg_like(c, x, -0.5)), magic);
    const Val r = cg_fsub(c, bounded, cg_fsub(c, shifted, magic));
    const Val bits = cg_as_bits(c, shifted);
    const Val n = LLVMBuildSub(c->b, bits, cg_int_like(c, x, 0x4b400000), "");
    return cg_fmul(c, exp2_fraction(c, r), power_of_two(c, n));
}

Val
cg_exp2_coarsely(Cg *c, Val x)
{
    static const float p[] = {1, 0.69542435f, 0.22630768f, 0.07826797f};
    if (c->on_gpu)
        return ptx_exp2(c, x);
    if (!scales_at_once(c, x))
        return cg_exp2(c, x);
    return scale_at_once(c, polynomial(c, reduce_at_once(c, x), p, COUNT_OF(p)), x);
}

/* ---- log ----------------------------------------------------------------------------------- */

/* log((1 + m) 2^k), m in [-0.25, 0.5], of k's bits as an exponent has them: m - m^2/2 + m^3 Q(m) +
 * k log 2. */
static Val
log_of_parts(Cg *c, Val m, Val k)
{
    static const float q[] = {0.333334506f, -0.250000983f, 0.19990845f,  -0.16647245f,
                              0.144785106f, -0.13162078f,  0.104642972f, -0.0450795144f};
    const Val square = cg_fmul(c, m, m);
    const Val cubic = cg_fmul(c, polynomial(c, m, q, COUNT_OF(q)), m);
    const Val bend = cg_fmul(c, cg_fadd(c, cubic, cg_like(c, m, -0.5)), square);
    const Val octaves = LLVMBuildSIToFP(c->b, k, LLVMTypeOf(m), ""); /* k * 2^23 */
    const Val base = cg_fma(c, octaves, cg_like(c, m, 0x1p-23 * 0.693147180559945309), bend);
    return cg_fadd(c, base, m);
}

/* k of a positive x = (1 + m) 2^k in its place among the bits, from those of x. */
static Val
octave_bits(Cg *c, Val x, Val bits)
{
    const Val above = LLVMBuildSub(c->b, bits, cg_int_like(c, x, 0x3f400000), ""); /* 0.75 */
    return cg_and(c, above, 0xff800000u);
}

/* log(1 + x), finite x >= 0. 1 + x = (1 + m) 2^k with m in [-0.25, 0.5]: m = x 2^-k + (2^-k - 1) is
 * exact but for one rounding, and is x itself where k = 0. log(1 + m) = m - m^2/2 + m^3 Q(m). */
static Val
log1p_finite(Cg *c, Val x)
{
    const Val k = octave_bits(c, x, cg_as_bits(c, cg_fadd(c, x, cg_like(c, x, 1.0))));
    const Val quarter = LLVMBuildSub(c->b, cg_int_like(c, x, 0x40800000), k, ""); /* 4 * 2^-k */
    const Val shift = cg_fma(c, cg_as_float(c, quarter), cg_like(c, x, 0.25), cg_like(c, x, -1.0));
    const Val bits = LLVMBuildSub(c->b, cg_as_bits(c, x), k, "");
    return log_of_parts(c, cg_fadd(c, cg_as_float(c, bits), shift), k);
}

/* Of 0, and of a denormal, which is 0 in the mode that kernels run in, -inf; below 0 NaN; of +inf
 * and NaN they. */
static Val
natural_log(Cg *c, Val x)
{
    const Val bits = cg_as_bits(c, x), size = cg_and(c, bits, 0x7fffffffu);
    const Val k = octave_bits(c, x, bits);
    const Val scaled = cg_as_float(c, LLVMBuildSub(c->b, bits, k, ""));
    const Val y = log_of_parts(c, cg_fadd(c, scaled, cg_like(c, x, -1.0)), k);
    const Val large = LLVMBuildICmp(c->b, LLVMIntSGE, bits, cg_int_like(c, x, 0x7f800000), "");
    const Val below = LLVMBuildICmp(c->b, LLVMIntSLT, bits, cg_int_like(c, x, 0), "");
    const Val none = LLVMBuildICmp(c->b, LLVMIntULT, size, cg_int_like(c, x, 0x00800000), "");
    const Val high = LLVMBuildSelect(c->b, large, x, y, "");
    const Val real = LLVMBuildSelect(c->b, below, cg_like(c, x, NAN), high, "");
    return LLVMBuildSelect(c->b, none, cg_like(c, x, -INFINITY), real, "");
}

Val
cg_rsqrt(Cg *c, Val x)
{
    return cg_fdiv(c, cg_like(c, x, 1.0), unary(c, "llvm.sqrt", x));
}

/* ---- formulas of the pointwise ops ---------------------------------------------------------- */

/* x / (1 + e^-u), u = high + low with the sign of high. With e = e^-|u| this is x / (1 + e) for u
 * >= 0 and x e / (1 + e) below, where the power of two of e is applied last: no overflow, and no
 * precision is lost to a denormal on the way. x has u's sign, or is 1. */
static Val
times_sigmoid(Cg *c, Val x, Val high, Val low)
{
    const Val positive = LLVMBuildFCmp(c->b, LLVMRealOGE, high, cg_like(c, x, 0.0), "");
    const Val minus = minus_abs(c, high);
    const Val tail =
        low ? LLVMBuildSelect(c->b, positive, LLVMBuildFNeg(c->b, low, ""), low, "") : NULL;
    const ExpParts e = exp_parts(c, cg_vmax(c, cg_like(c, x, EXP_LOW), minus), tail);
    const Val below = cg_fmul(c, cg_vmax(c, cg_like(c, x, -128.0), x), e.mantissa);
    const Val top = LLVMBuildSelect(c->b, positive, x, below, "");
    /* 2^-126 and less leave nothing beside 1. */
    const Val least = cg_int_like(c, x, (unsigned)-126);
    const Val size = power_of_two(c, cg_max(c, least, e.power.whole));
    const Val under = cg_fma(c, e.mantissa, size, cg_like(c, x, 1.0));
    const Power power = {LLVMBuildSelect(c->b, positive, cg_like(c, x, 0), e.power.real, ""),
                         LLVMBuildSelect(c->b, positive, cg_int_like(c, x, 0), e.power.whole, "")};
    return scale(c, cg_fdiv(c, top, under), power);
}

/* 2^(x - floor(x)) with an error of 2^-18. */
static Val
fraction_coarsely(Cg *c, Val x)
{
    static const float p[] = {1.00000262f, 0.693003833f, 0.241442755f, 0.0520114601f,
                              0.0135341678f};
    return polynomial(c, reduce_at_once(c, x), p, COUNT_OF(p));
}

/* x * 2^power with an error of 2^-18. */
static Val
times_exp2_coarsely(Cg *c, Val x, Val power)
{
    if (c->on_gpu)
        return cg_fmul(c, x, ptx_exp2(c, power));
    return scale_at_once(c, cg_fmul(c, x, fraction_coarsely(c, power)), power);
}

/* The estimate of 1 / x that a CPU has, with an error of 2^-14 (Intel SDM, VRCP14PS), or a GPU. */
static Val
reciprocal_coarsely(Cg *c, Val x)
{
    if (c->on_gpu)
        return ptx_reciprocal(c, x);
    enum { ALL = 0xffff };
    Val args[] = {x, x, LLVMConstInt(c->i16, ALL, 0)};
    return cg_intrinsic(c, "llvm.x86.avx512.rcp14.ps.512", NULL, 0, args, 3);
}

/* x / (1 + e^-u) with an error of 2^-13, in a third of the instructions and without a division. A
 * result below 2^-119 may be 0. */
static Val
times_sigmoid_coarsely(Cg *c, Val x, Val u)
{
    const Val high = cg_fmul(c, u, cg_like(c, x, -1.44269504088896341));
    const Val one = cg_like(c, x, 1.0);
    const Val under = cg_fadd(c, times_exp2_coarsely(c, one, high), one);
    return cg_fmul(c, x, reciprocal_coarsely(c, under));
}

static Val
sigmoid_coarsely(Cg *c, Val x)
{
    return times_sigmoid_coarsely(c, cg_like(c, x, 1.0), x);
}

/* -128 and less give -0, as does -inf. */
static Val
silu_coarsely(Cg *c, Val x)
{
    const Val bounded = cg_vmax(c, cg_like(c, x, -128.0), x);
    return times_sigmoid_coarsely(c, bounded, bounded);
}

static Val
sigmoid(Cg *c, Val x)
{
    return times_sigmoid(c, cg_like(c, x, 1.0), x, NULL);
}

static Val
silu(Cg *c, Val x)
{
    return times_sigmoid(c, x, x, NULL);
}

/* max(x, 0) + log1p(e^-|x|): e^x alone is left for x << 0, with all its bits. */
static Val
softplus(Cg *c, Val x)
{
    const Val e = cg_exp(c, minus_abs(c, x));
    return cg_fadd(c, log1p_finite(c, e), cg_vmax(c, cg_like(c, x, 0.0), x));
}

/* a + a^3 P(a^2) for a = |x| < 0.625, else 1 - 2 / (e^2a + 1); then the sign. */
Val
cg_tanh(Cg *c, Val x)
{
    static const float p[] = {-0.333332807f, 0.133313835f, -0.0537340008f, 0.0206181221f,
                              -0.00567930378f};
    const Val a = unary(c, "llvm.fabs", x), one = cg_like(c, x, 1.0);
    const Val square = cg_fmul(c, a, a);
    const Val cubic = cg_fmul(c, polynomial(c, square, p, COUNT_OF(p)), square);
    const Val small = cg_fma(c, cubic, a, a);
    const Val e = cg_exp(c, cg_fadd(c, a, a));
    const Val large = cg_fsub(c, one, cg_fdiv(c, cg_like(c, x, 2.0), cg_fadd(c, e, one)));
    const Val is_small = LLVMBuildFCmp(c->b, LLVMRealOLT, a, cg_like(c, x, 0.625), "");
    const Val magnitude = LLVMBuildSelect(c->b, is_small, small, large, "");
    LLVMTypeRef type = LLVMTypeOf(x);
    Val args[] = {magnitude, x};
    return cg_intrinsic(c, "llvm.copysign", &type, 1, args, 2);
}

/* (1 + tanh t) / 2 = sigmoid(2t), so gelu(x) = x sigmoid(u) with u = 2 sqrt(2/pi) (x + 0.044715
 * x^3). An error in u is a relative error of e^u: u is computed in double and handed on in two
 * parts. */
static Val
gelu(Cg *c, Val x)
{
    const LLVMTypeRef wide = cg_vec_of(LLVMDoubleTypeInContext(c->ctx), cg_lanes_of(x));
    const Val d = LLVMBuildFPExt(c->b, x, wide, "");
    const double twice = 1.59576912160573071; /* 2 sqrt(2/pi) */
    const Val cubic = cg_fmul(c, cg_fmul(c, d, d), cg_like(c, d, twice * 0.044715));
    Val u = cg_fmul(c, d, cg_fadd(c, cubic, cg_like(c, d, twice)));
    u = cg_vmin(c, cg_like(c, d, 200.0), cg_vmax(c, cg_like(c, d, -200.0), u));
    const Val high = LLVMBuildFPTrunc(c->b, u, LLVMTypeOf(x), "");
    const Val rest = cg_fsub(c, u, LLVMBuildFPExt(c->b, high, wide, ""));
    return times_sigmoid(c, x, high, LLVMBuildFPTrunc(c->b, rest, LLVMTypeOf(x), ""));
}

/* -a^2 / 2 in two parts: rounded, and what the rounding left out. The upper 12 bits of a number
 * have an exact square. */
static Val
minus_half_square(Cg *c, Val a, Val *rest)
{
    const Val square = cg_fmul(c, a, a), half = cg_like(c, a, -0.5);
    const Val top = cg_as_float(c, cg_and(c, cg_as_bits(c, a), 0xfffff000u));
    const Val above = cg_fsub(c, cg_fmul(c, top, top), square);
    const Val below = cg_fmul(c, cg_fadd(c, a, top), cg_fsub(c, a, top));
    *rest = cg_fmul(c, cg_fadd(c, above, below), half);
    return cg_fmul(c, square, half);
}

/* x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2 = 1 - Phi(-x). Below |x| = 1 it is x (1/2 + x
 * P(x^2)). Beyond, with a = |x|, it is max(x, 0) - a Phi(-a), and a Phi(-a) = e^(-a^2/2) Q(1 / (a +
 * 1.5)): Q goes from 0.26 to 1 / sqrt(2 pi), and nothing cancels. The error of P is 2^-30 of it
 * before its coefficients are rounded, that of Q, for a up to 13.3, 2^-27. Phi(-14) is 0 in f32. */
static Val
gelu_erf(Cg *c, Val x)
{
    static const float p[] = {0.398942292f,    -0.0664909184f,  0.00997767784f,
                              -0.00119830202f, 0.000126982995f, -1.29956516e-05f};
    static const float q[] = {0.398938686f, 0.000168870378f, -0.401687205f, -1.18786538f,
                              -1.20361626f, -2.86303544f,    43.4575005f,   -111.310188f,
                              124.894012f,  -55.261219f};
    const Val slope = polynomial(c, cg_fmul(c, x, x), p, COUNT_OF(p));
    const Val near = cg_fmul(c, x, cg_fma(c, x, slope, cg_like(c, x, 0.5)));
    const Val a = cg_vmin(c, cg_like(c, x, 14.0), unary(c, "llvm.fabs", x));
    Val rest = NULL;
    const Val power = minus_half_square(c, a, &rest);
    const ExpParts e = exp_parts(c, power, rest);
    const Val z = cg_fdiv(c, cg_like(c, x, 1.0), cg_fadd(c, a, cg_like(c, x, 1.5)));
    const Val factor = polynomial(c, z, q, COUNT_OF(q));
    const Val tail = scale(c, cg_fma(c, e.above_one, factor, factor), e.power);
    const Val far = cg_fsub(c, cg_vmax(c, cg_like(c, x, 0.0), x), tail);
    const Val is_near = LLVMBuildFCmp(c->b, LLVMRealOLT, a, cg_like(c, x, 1.0), "");
    return LLVMBuildSelect(c->b, is_near, near, far, "");
}

/* gelu_erf to 2^-12. For every x the result is max(x, 0) - a Phi(-a), with a = |x|. Phi(-a) is
 * computed as e^(-a^2/2) z Q(z), with z = 1 / (a + 2). The error of the polynomial Q is 2^-15. The
 * error of z is 2^-14; Q multiplies it by 1.6. */
static Val
gelu_erf_coarsely(Cg *c, Val x)
{
    static const float q[] = {0.399318635f, 0.788985252f, 1.23398519f,
                              1.26964521f,  -6.64433241f, 4.93716145f};
    const Val a = cg_vmin(c, cg_like(c, x, 14.0), unary(c, "llvm.fabs", x));
    const Val z = reciprocal_coarsely(c, cg_fadd(c, a, cg_like(c, x, 2.0)));
    const Val power = cg_fmul(c, cg_fmul(c, a, a), cg_like(c, x, -0.5 * 1.44269504088896341));
    const Val share = cg_fmul(c, cg_fmul(c, a, z), polynomial(c, z, q, COUNT_OF(q)));
    const Val tail = times_exp2_coarsely(c, share, power);
    return cg_fsub(c, cg_vmax(c, cg_like(c, x, 0.0), x), tail);
}

static Val
negative(Cg *c, Val x)
{
    return LLVMBuildFNeg(c->b, x, "");
}

static Val
relu(Cg *c, Val x)
{
    return cg_vmax(c, cg_like(c, x, 0.0), x);
}

static Val
square(Cg *c, Val x)
{
    return cg_fmul(c, x, x);
}

static Val
clamp(Cg *c, const Node *n, Val x)
{
    const Attr *range = attrs_find(&n->attrs, ATTR_range);
    if (!range || range->count != 2)
        die("clamp without its range");
    const Val low = cg_vmax(c, cg_like(c, x, range->nums[0]), x);
    return cg_vmin(c, cg_like(c, x, range->nums[1]), low);
}

static Val
cast(Cg *c, const Node *n, Val x)
{
    return cg_round(c, x, n->out[0]->type.dtype);
}

/* Formula of an op, and the greatest error in units in the last place that it promises over every
 * f32 (0: correctly rounded, or no rounding at all). Measured over all floats with 2^-10 <= |x| <
 * 2^7, with fma and without: exp 1.01, sigmoid 2.41, silu 3.40, softplus 1.97, tanh 1.34,
 * gelu 3.41, gelu_erf 3.50. coarsely: to 2^-12, for vectors of 512 bits, and on a GPU, whose
 * results are rounded to 16 bits or fewer; NULL: not cheaper. */
static const struct {
    Val (*of_one)(Cg *c, Val x);
    Val (*coarsely)(Cg *c, Val x);
    Val (*of_two)(Cg *c, Val a, Val b);
    Val (*with_attr)(Cg *c, const Node *n, Val x);
    double ulp;
} pointwise[OP_COUNT] = {
    [OP_add] = {.of_two = cg_fadd},
    [OP_sub] = {.of_two = cg_fsub},
    [OP_mul] = {.of_two = cg_fmul},
    [OP_neg] = {.of_one = negative},
    [OP_exp] = {.of_one = cg_exp, .ulp = 1.25},
    [OP_log] = {.of_one = natural_log, .ulp = 2.5},
    [OP_sigmoid] = {.of_one = sigmoid, .coarsely = sigmoid_coarsely, .ulp = 2.5},
    [OP_silu] = {.of_one = silu, .coarsely = silu_coarsely, .ulp = 3.5},
    [OP_softplus] = {.of_one = softplus, .ulp = 2.25},
    [OP_tanh] = {.of_one = cg_tanh, .ulp = 1.5},
    [OP_gelu] = {.of_one = gelu, .ulp = 3.75},
    [OP_gelu_erf] = {.of_one = gelu_erf, .coarsely = gelu_erf_coarsely, .ulp = 3.75},
    [OP_relu] = {.of_one = relu},
    [OP_square] = {.of_one = square},
    [OP_clamp] = {.with_attr = clamp},
    [OP_cast] = {.with_attr = cast},
};

bool
cg_has_formula(Op op)
{
    return pointwise[op].of_one || pointwise[op].of_two || pointwise[op].with_attr;
}

double
cg_ulp_bound(Op op)
{
    return pointwise[op].ulp;
}

Val
cg_pointwise(Cg *c, const CgKernel *k, const Node *node, Val *in)
{
    const Op op = node->op;
    if (pointwise[op].coarsely && k->coarse && (c->on_gpu || scales_at_once(c, in[0])))
        return pointwise[op].coarsely(c, in[0]);
    if (pointwise[op].of_one)
        return pointwise[op].of_one(c, in[0]);
    if (pointwise[op].of_two)
        return pointwise[op].of_two(c, in[0], in[1]);
    if (pointwise[op].with_attr)
        return pointwise[op].with_attr(c, node, in[0]);
    die("no formula for %s", op_info[op].name);
}
