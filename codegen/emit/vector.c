/* codegen/emit/vector.c -- vector loads, stores, conversions and reductions.
 *
 * bf16 and f16 are handled by their bits in integer registers: LLVM's own conversions call library
 * routines on CPUs without the instructions, and no routine is there to be called in a JIT. */
#include <string.h>

#include <llvm-c/Target.h>

#include "codegen/emit/cg.h"

enum { MAX_LANES = 64 };

Val
cg_like(Cg *c, Val x, double number)
{
    const int lanes = cg_lanes_of(x);
    const LLVMTypeRef type = LLVMTypeOf(x);
    const LLVMTypeRef element = lanes == 1 ? type : LLVMGetElementType(type);
    return cg_splat(c, LLVMConstReal(element, number), lanes);
}

Val
cg_int_like(Cg *c, Val v, uint32_t n)
{
    return cg_splat(c, LLVMConstInt(c->i32, n, 0), cg_lanes_of(v));
}

Val
cg_as_bits(Cg *c, Val v)
{
    return LLVMBuildBitCast(c->b, v, cg_vec_of(c->i32, cg_lanes_of(v)), "");
}

Val
cg_as_float(Cg *c, Val v)
{
    return LLVMBuildBitCast(c->b, v, cg_vec_of(c->f32, cg_lanes_of(v)), "");
}

Val
cg_shl(Cg *c, Val v, uint32_t n)
{
    return LLVMBuildShl(c->b, v, cg_int_like(c, v, n), "");
}

Val
cg_shr(Cg *c, Val v, uint32_t n)
{
    return LLVMBuildLShr(c->b, v, cg_int_like(c, v, n), "");
}

Val
cg_and(Cg *c, Val v, uint32_t n)
{
    return LLVMBuildAnd(c->b, v, cg_int_like(c, v, n), "");
}

Val
cg_splat(Cg *c, Val scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    if (lanes > MAX_LANES)
        die("cg_splat: %d lanes", lanes);
    if (LLVMIsConstant(scalar)) {
        Val items[MAX_LANES];
        for (int i = 0; i < lanes; i++)
            items[i] = scalar;
        return LLVMConstVector(items, (unsigned)lanes);
    }
    const LLVMTypeRef type = cg_vec_of(LLVMTypeOf(scalar), lanes);
    const Val one = LLVMBuildInsertElement(c->b, LLVMGetPoison(type), scalar, cg_i64(c, 0), "");
    const Val zeros = LLVMConstNull(LLVMVectorType(c->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(c->b, one, LLVMGetPoison(type), zeros, "");
}

Val
cg_mask_first(Cg *c, int lanes, Val count)
{
    if (lanes == 1)
        return cg_less(c, cg_i64(c, 0), count);
    if (lanes > MAX_LANES)
        die("cg_mask_first: %d lanes", lanes);
    Val iota[MAX_LANES];
    for (int i = 0; i < lanes; i++)
        iota[i] = LLVMConstInt(c->i32, (unsigned)i, 0);
    const Val most = LLVMBuildTrunc(c->b, cg_min(c, count, cg_i64(c, lanes)), c->i32, "");
    return LLVMBuildICmp(c->b, LLVMIntSLT, LLVMConstVector(iota, (unsigned)lanes),
                         cg_splat(c, most, lanes), "mask");
}

Val
cg_shuffle(Cg *c, Val a, Val b, const int *from, int lanes)
{
    Val pick[MAX_LANES];
    for (int i = 0; i < lanes; i++)
        pick[i] = LLVMConstInt(c->i32, (unsigned)from[i], 0);
    return LLVMBuildShuffleVector(c->b, a, b, LLVMConstVector(pick, (unsigned)lanes), "");
}

Val
cg_slice(Cg *c, Val vec, int from, int lanes)
{
    int pick[MAX_LANES];
    if (lanes == 1)
        return LLVMBuildExtractElement(c->b, vec, cg_i64(c, from), "");
    for (int i = 0; i < lanes; i++)
        pick[i] = from + i;
    return cg_shuffle(c, vec, LLVMGetPoison(LLVMTypeOf(vec)), pick, lanes);
}

/* ---- memory -------------------------------------------------------------------------------- */

static LLVMTargetDataRef
cg_layout(const Cg *c)
{
    return LLVMGetModuleDataLayout(c->mod);
}

/* The masked intrinsics take vectors only: one lane travels as <1 x T>. */
static Val
to_vector(Cg *c, Val v)
{
    return LLVMBuildBitCast(c->b, v, LLVMVectorType(LLVMTypeOf(v), 1), "");
}

static Val
load_raw(Cg *c, Val ptr, LLVMTypeRef element, int lanes, Val mask)
{
    if (!mask) {
        const Val v = LLVMBuildLoad2(c->b, cg_vec_of(element, lanes), ptr, "");
        LLVMSetAlignment(v, c->aligned ? LLVMABIAlignmentOfType(cg_layout(c), element) : 1);
        return v;
    }
    const LLVMTypeRef type = LLVMVectorType(element, (unsigned)lanes);
    LLVMTypeRef overloads[] = {type, c->ptr};
    const Val m = lanes == 1 ? to_vector(c, mask) : mask;
    Val args[] = {ptr, LLVMConstInt(c->i32, 1, 0), m, LLVMConstNull(type)};
    const Val v = cg_intrinsic(c, "llvm.masked.load", overloads, 2, args, 4);
    return lanes == 1 ? LLVMBuildBitCast(c->b, v, element, "") : v;
}

static void
store_raw(Cg *c, Val ptr, Val value, int bytes, Val mask)
{
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(c->b, value, ptr), (unsigned)bytes);
        return;
    }
    const bool scalar = cg_lanes_of(value) == 1;
    const Val v = scalar ? to_vector(c, value) : value;
    const Val m = scalar ? to_vector(c, mask) : mask;
    LLVMTypeRef overloads[] = {LLVMTypeOf(v), c->ptr};
    Val args[] = {v, ptr, LLVMConstInt(c->i32, (unsigned)bytes, 0), m};
    cg_intrinsic(c, "llvm.masked.store", overloads, 2, args, 4);
}

/* ---- conversions --------------------------------------------------------------------------- */

static Val
widen_bf16(Cg *c, Val bits)
{
    const Val wide = LLVMBuildZExt(c->b, bits, cg_vec_of(c->i32, cg_lanes_of(bits)), "");
    return cg_as_float(c, cg_shl(c, wide, 16));
}

/* Whether the CPU converts f16 by itself: F16C came before FMA, and aarch64 always could. */
static bool
converts_f16(const Cg *c)
{
    return c->machine->fma;
}

/* Exponent and mantissa move to their places in an f32, and the bias is corrected by an addition to
 * the exponent. A denormal half is an integer times 2^-24; inf and NaN get the full exponent. No
 * f32 on the way is denormal: kernels would take it as 0. */
static Val
widen_f16(Cg *c, Val bits)
{
    const int lanes = cg_lanes_of(bits);
    if (converts_f16(c)) {
        const Val half = LLVMBuildBitCast(c->b, bits, cg_vec_of(c->f16, lanes), "");
        return LLVMBuildFPExt(c->b, half, cg_vec_of(c->f32, lanes), "");
    }
    const Val wide = LLVMBuildZExt(c->b, bits, cg_vec_of(c->i32, lanes), "");
    const Val magnitude = cg_and(c, wide, 0x7fff), placed = cg_shl(c, magnitude, 13);
    const Val whole = LLVMBuildSIToFP(c->b, magnitude, cg_vec_of(c->f32, lanes), "");
    const Val tiny = cg_as_bits(c, cg_fmul(c, whole, cg_like(c, whole, 0x1p-24)));
    const Val normal = LLVMBuildAdd(c->b, placed, cg_int_like(c, wide, 0x38000000), "");
    const Val special = LLVMBuildOr(c->b, placed, cg_int_like(c, wide, 0x7f800000), "");
    const Val is_tiny = LLVMBuildICmp(c->b, LLVMIntULT, magnitude, cg_int_like(c, wide, 0x400), "");
    const Val is_finite =
        LLVMBuildICmp(c->b, LLVMIntULT, magnitude, cg_int_like(c, wide, 0x7c00), "");
    const Val finite = LLVMBuildSelect(c->b, is_tiny, tiny, normal, "");
    const Val all = LLVMBuildSelect(c->b, is_finite, finite, special, "");
    const Val sign = cg_shl(c, cg_and(c, wide, 0x8000), 16);
    return cg_as_float(c, LLVMBuildOr(c->b, all, sign, ""));
}

bool
cg_on_x86(const Cg *c)
{
    return c->machine->arch == ARCH_x86_64;
}

/* x + 0x7fff + (lowest bit that stays): carries into the upper half exactly when rounding to
 * nearest even goes up. */
Val
cg_bf16_bits(Cg *c, Val v)
{
    const int lanes = cg_lanes_of(v);
    const LLVMTypeRef half = cg_vec_of(c->i16, lanes);
    if (c->on_gpu ? !c->machine->gpu.model : c->machine->bf16_dot && cg_on_x86(c)) {
        const Val narrow = LLVMBuildFPTrunc(c->b, v, cg_vec_of(c->bf16, lanes), "");
        return LLVMBuildBitCast(c->b, narrow, half, "");
    }
    const Val x = cg_as_bits(c, v);
    const Val odd = cg_and(c, cg_shr(c, x, 16), 1);
    const Val bias = LLVMBuildAdd(c->b, odd, cg_int_like(c, x, 0x7fff), "");
    const Val rounded = LLVMBuildAdd(c->b, x, bias, "");
    const Val quiet = LLVMBuildOr(c->b, x, cg_int_like(c, x, 0x400000), "");
    const Val is_nan = LLVMBuildFCmp(c->b, LLVMRealUNO, v, v, "");
    const Val bits = LLVMBuildSelect(c->b, is_nan, quiet, rounded, "");
    return LLVMBuildTrunc(c->b, cg_shr(c, bits, 16), half, "");
}

/* Round to nearest even: normal halves as for bf16 with 13 dropped bits; denormal ones by an
 * addition that aligns the mantissa to 2^-24 and rounds in hardware; above 65536 inf, NaN stays
 * NaN. */
Val
cg_f16_bits(Cg *c, Val v)
{
    if (converts_f16(c)) {
        const int lanes = cg_lanes_of(v);
        const Val half = LLVMBuildFPTrunc(c->b, v, cg_vec_of(c->f16, lanes), "");
        return LLVMBuildBitCast(c->b, half, cg_vec_of(c->i16, lanes), "");
    }
    const Val x = cg_as_bits(c, v), sign = cg_and(c, x, 0x80000000u);
    const Val mag = LLVMBuildXor(c->b, x, sign, "");
    const Val odd = cg_and(c, cg_shr(c, mag, 13), 1);
    const Val biased = LLVMBuildAdd(c->b, mag, cg_int_like(c, x, 0xc8000fffu), "");
    const Val normal = cg_shr(c, LLVMBuildAdd(c->b, biased, odd, ""), 13);
    const Val magic = cg_int_like(c, x, 0x3f000000);
    const Val sum = cg_fadd(c, cg_as_float(c, mag), cg_as_float(c, magic));
    const Val tiny = LLVMBuildSub(c->b, cg_as_bits(c, sum), magic, "");
    const Val is_nan = LLVMBuildFCmp(c->b, LLVMRealUNO, v, v, "");
    const Val huge =
        LLVMBuildSelect(c->b, is_nan, cg_int_like(c, x, 0x7e00), cg_int_like(c, x, 0x7c00), "");
    const Val is_tiny = LLVMBuildICmp(c->b, LLVMIntULT, mag, cg_int_like(c, x, 0x38800000), "");
    const Val is_huge = LLVMBuildICmp(c->b, LLVMIntUGE, mag, cg_int_like(c, x, 0x47800000), "");
    const Val small = LLVMBuildSelect(c->b, is_tiny, tiny, normal, "");
    const Val bits = LLVMBuildSelect(c->b, is_huge, huge, small, "");
    const Val all = LLVMBuildOr(c->b, bits, cg_shr(c, sign, 16), "");
    return LLVMBuildTrunc(c->b, all, cg_vec_of(c->i16, cg_lanes_of(v)), "");
}

/* Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits of the sum, for
 * anything between -2^22 and 2^22. */
Val
cg_integer_bits(Cg *c, Val v)
{
    return cg_as_bits(c, cg_fadd(c, v, cg_like(c, v, 0x1.8p23)));
}

Val
cg_round(Cg *c, Val v, Dtype dtype)
{
    if (dtype == DTYPE_bf16 && c->on_gpu && !c->machine->gpu.model)
        return ptx_round_bf16(c, v);
    if (dtype == DTYPE_bf16)
        return widen_bf16(c, cg_bf16_bits(c, v));
    if (dtype == DTYPE_f16)
        return widen_f16(c, cg_f16_bits(c, v));
    return v;
}

Val
cg_vload(Cg *c, Val ptr, Dtype dtype, int lanes, Val mask)
{
    const bool half = dtype_info[dtype].bytes == 2;
    const Val raw = load_raw(c, ptr, half ? c->i16 : cg_type(c, dtype), lanes, mask);
    if (dtype_info[dtype].bytes == 1) {
        const LLVMTypeRef ints = cg_vec_of(c->i32, lanes);
        const Val wide = dtype == DTYPE_i8 ? LLVMBuildSExt(c->b, raw, ints, "")
                                           : LLVMBuildZExt(c->b, raw, ints, "");
        return LLVMBuildSIToFP(c->b, wide, cg_vec_of(c->f32, lanes), "");
    }
    if (dtype == DTYPE_bf16)
        return widen_bf16(c, raw);
    return dtype == DTYPE_f16 ? widen_f16(c, raw) : raw;
}

void
cg_vstore(Cg *c, Val ptr, Dtype dtype, Val value, int lanes, Val mask)
{
    if (cg_lanes_of(value) != lanes)
        die("cg_vstore: %d lanes given, %d said", cg_lanes_of(value), lanes);
    Val raw = value;
    if (dtype == DTYPE_bf16)
        raw = cg_bf16_bits(c, value);
    else if (dtype == DTYPE_f16)
        raw = cg_f16_bits(c, value);
    else if (dtype_info[dtype].bytes == 1)
        raw = LLVMBuildTrunc(c->b, cg_integer_bits(c, value), cg_vec_of(c->i8, lanes), "");
    store_raw(c, ptr, raw, dtype_info[dtype].bytes, mask);
}

/* ---- arithmetic ---------------------------------------------------------------------------- */

Val
cg_fadd(Cg *c, Val a, Val b)
{
    return LLVMBuildFAdd(c->b, a, b, "");
}

Val
cg_fsub(Cg *c, Val a, Val b)
{
    return LLVMBuildFSub(c->b, a, b, "");
}

Val
cg_fmul(Cg *c, Val a, Val b)
{
    return LLVMBuildFMul(c->b, a, b, "");
}

Val
cg_fdiv(Cg *c, Val a, Val b)
{
    return LLVMBuildFDiv(c->b, a, b, "");
}

Val
cg_vmax(Cg *c, Val a, Val b)
{
    return LLVMBuildSelect(c->b, LLVMBuildFCmp(c->b, LLVMRealOGT, a, b, ""), a, b, "");
}

Val
cg_vmin(Cg *c, Val a, Val b)
{
    return LLVMBuildSelect(c->b, LLVMBuildFCmp(c->b, LLVMRealOLT, a, b, ""), a, b, "");
}

/* llvm.fma on a CPU without the instruction would call fmaf for every lane. */
Val
cg_fma(Cg *c, Val a, Val b, Val acc)
{
    if (!c->machine->fma)
        return cg_fadd(c, cg_fmul(c, a, b), acc);
    LLVMTypeRef type = LLVMTypeOf(acc);
    Val args[] = {a, b, acc};
    return cg_intrinsic(c, "llvm.fma", &type, 1, args, 3);
}

Val
cg_fold(Cg *c, Val vec, Val combine(Cg *c, Val a, Val b))
{
    Val v = vec;
    for (int n = cg_lanes_of(vec) / 2; n >= 1; n /= 2)
        v = combine(c, cg_slice(c, v, 0, n), cg_slice(c, v, n, n));
    return v;
}

Val
cg_add_ints(Cg *c, Val a, Val b)
{
    return LLVMBuildAdd(c->b, a, b, "");
}

/* Floats that are not negative are in the order of their bits, and a NaN is above infinity. */
Val
cg_greater(Cg *c, Val a, Val b)
{
    const Val x = cg_as_bits(c, a), y = cg_as_bits(c, b);
    const Val above = LLVMBuildICmp(c->b, LLVMIntSGT, x, y, "");
    return cg_as_float(c, LLVMBuildSelect(c->b, above, x, y, ""));
}
