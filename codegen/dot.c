/* codegen/dot.c -- dots of pairs of bf16 and of quadruples of bytes: the CPU's instruction, or the
 * same sums from what it has. */
#include "codegen/cg.h"

/* An instruction's name for so many lanes; NULL: there is none. x86: for 4, 8 and 16. */
static const char *
by_lanes(const Cg *c, int lanes, const char *const x86[3], const char *neon)
{
    if (!cg_on_x86(c))
        return lanes == 4 ? neon : NULL;
    for (int i = 0; i < 3; i++)
        if (lanes == 4 << i && 4 * lanes <= c->machine->vector_bytes)
            return x86[i];
    return NULL;
}

/* ---- bf16 --------------------------------------------------------------------------------- */

/* A product of two bf16 is exact in f32, so that fma and mul-then-add are the same here. Intel SDM,
 * VDPBF16PS: the odd pair member is added first. */
Val
cg_dot_bf16(Cg *c, Val acc, Val a_pairs, Val b_pairs, int lanes)
{
    static const char *const x86[] = {"llvm.x86.avx512bf16.dpbf16ps.128",
                                      "llvm.x86.avx512bf16.dpbf16ps.256",
                                      "llvm.x86.avx512bf16.dpbf16ps.512"};
    const char *name =
        c->machine->bf16_dot ? by_lanes(c, lanes, x86, "llvm.aarch64.neon.bfdot") : NULL;
    if (name) {
        const LLVMTypeRef pairs = LLVMVectorType(c->bf16, (unsigned)(2 * lanes));
        LLVMTypeRef overloads[] = {LLVMTypeOf(acc), pairs};
        Val args[] = {acc, LLVMBuildBitCast(c->b, a_pairs, pairs, ""),
                      LLVMBuildBitCast(c->b, b_pairs, pairs, "")};
        return cg_intrinsic(c, name, overloads, cg_on_x86(c) ? 0 : 2, args, 3);
    }
    const Val a_odd = cg_as_float(c, cg_and(c, a_pairs, 0xffff0000u));
    const Val b_odd = cg_as_float(c, cg_and(c, b_pairs, 0xffff0000u));
    const Val a_even = cg_as_float(c, cg_shl(c, a_pairs, 16));
    const Val b_even = cg_as_float(c, cg_shl(c, b_pairs, 16));
    return cg_fma(c, a_even, b_even, cg_fma(c, a_odd, b_odd, acc));
}

/* ---- bytes -------------------------------------------------------------------------------- */

static const char *
byte_dot_instruction(const Cg *c, int lanes)
{
    static const char *const x86[] = {"llvm.x86.avx512.vpdpbusd.128",
                                      "llvm.x86.avx512.vpdpbusd.256",
                                      "llvm.x86.avx512.vpdpbusd.512"};
    return c->machine->i8_dot ? by_lanes(c, lanes, x86, "llvm.aarch64.neon.usdot") : NULL;
}

/* Sums of pairs of products of i16. */
static const char *
pair_dot_instruction(const Cg *c, int lanes)
{
    static const char *const x86[] = {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                                      "llvm.x86.avx512.pmaddw.d.512"};
    return by_lanes(c, lanes, x86, NULL);
}

bool
cg_bytes_are_wide(const Cg *c, int lanes)
{
    return !byte_dot_instruction(c, lanes) && pair_dot_instruction(c, lanes);
}

static LLVMTypeRef
halves_type(Cg *c, int lanes)
{
    return LLVMVectorType(c->i16, (unsigned)(2 * lanes));
}

CgBytes
cg_bytes_unsigned(Cg *c, Val quads, int lanes)
{
    if (!cg_bytes_are_wide(c, lanes))
        return (CgBytes){.quads = quads};
    const Val eight = cg_splat(c, LLVMConstInt(c->i16, 8, 0), 2 * lanes);
    const Val low = cg_splat(c, LLVMConstInt(c->i16, 255, 0), 2 * lanes);
    const Val all = LLVMBuildBitCast(c->b, quads, halves_type(c, lanes), "");
    return (CgBytes){.even = LLVMBuildAnd(c->b, all, low, ""),
                     .odd = LLVMBuildLShr(c->b, all, eight, "")};
}

CgBytes
cg_bytes_signed(Cg *c, Val quads, int lanes)
{
    if (!cg_bytes_are_wide(c, lanes))
        return (CgBytes){.quads = quads};
    const Val eight = cg_splat(c, LLVMConstInt(c->i16, 8, 0), 2 * lanes);
    const Val all = LLVMBuildBitCast(c->b, quads, halves_type(c, lanes), "");
    const Val up = LLVMBuildShl(c->b, all, eight, "");
    return (CgBytes){.even = LLVMBuildAShr(c->b, up, eight, ""),
                     .odd = LLVMBuildAShr(c->b, all, eight, "")};
}

Val
cg_dot_bytes(Cg *c, Val acc, CgBytes a, CgBytes b, int lanes)
{
    if (a.even) {
        const LLVMTypeRef type = halves_type(c, lanes);
        Val even[] = {a.even, LLVMBuildBitCast(c->b, b.even, type, "")};
        Val odd[] = {a.odd, LLVMBuildBitCast(c->b, b.odd, type, "")};
        const char *pairs = pair_dot_instruction(c, lanes);
        const Val sum = cg_add_ints(c, acc, cg_intrinsic(c, pairs, NULL, 0, even, 2));
        return cg_add_ints(c, sum, cg_intrinsic(c, pairs, NULL, 0, odd, 2));
    }
    const char *name = byte_dot_instruction(c, lanes);
    Val args[] = {acc, a.quads, b.quads};
    if (name && cg_on_x86(c))
        return cg_intrinsic(c, name, NULL, 0, args, 3);
    if (name) {
        LLVMTypeRef overloads[] = {LLVMTypeOf(acc), LLVMVectorType(c->i8, (unsigned)(4 * lanes))};
        args[1] = LLVMBuildBitCast(c->b, a.quads, overloads[1], "");
        args[2] = LLVMBuildBitCast(c->b, b.quads, overloads[1], "");
        return cg_intrinsic(c, name, overloads, 2, args, 3);
    }
    Val sum = acc;
    for (unsigned i = 0; i < 4; i++) {
        const Val u = cg_and(c, cg_shr(c, a.quads, 8 * i), 255);
        const Val up = cg_shl(c, b.quads, 24 - 8 * i);
        const Val s = LLVMBuildAShr(c->b, up, cg_int_like(c, b.quads, 24), "");
        sum = cg_add_ints(c, sum, LLVMBuildMul(c->b, u, s, ""));
    }
    return sum;
}
