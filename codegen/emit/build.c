/* codegen/emit/build.c -- numbers, addresses, loops, branches and variables over the LLVM builder.
 */
#include <string.h>

#include "codegen/emit/cg.h"

/* ---- types --------------------------------------------------------------------------------- */

LLVMTypeRef
cg_type(Cg *c, Dtype dtype)
{
    switch (dtype) {
    case DTYPE_f32:
        return c->f32;
    case DTYPE_f16:
        return c->f16;
    case DTYPE_bf16:
        return c->bf16;
    case DTYPE_i32:
        return c->i32;
    case DTYPE_i8:
    case DTYPE_u8:
    case DTYPE_u4:
    case DTYPE_u4x2:
        return c->i8;
    case DTYPE_COUNT:
        break;
    }
    die("cg_type: no element type %d", (int)dtype);
}

LLVMTypeRef
cg_vec_of(LLVMTypeRef element, int lanes)
{
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

LLVMTypeRef
cg_vec_type(Cg *c, int lanes)
{
    return cg_vec_of(c->f32, lanes);
}

int
cg_lanes_of(Val v)
{
    const LLVMTypeRef type = LLVMTypeOf(v);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(type) : 1;
}

/* ---- numbers ------------------------------------------------------------------------------- */

Val
cg_i64(Cg *c, int64_t n)
{
    return LLVMConstInt(c->i64, (unsigned long long)n, 1);
}

Val
cg_f32(Cg *c, double x)
{
    return LLVMConstReal(c->f32, x);
}

static bool
is_number(Val v, int64_t n)
{
    return LLVMIsAConstantInt(v) && LLVMConstIntGetSExtValue(v) == n;
}

Val
cg_add(Cg *c, Val a, Val b)
{
    if (is_number(a, 0))
        return b;
    if (is_number(b, 0))
        return a;
    return LLVMBuildNSWAdd(c->b, a, b, "");
}

Val
cg_sub(Cg *c, Val a, Val b)
{
    return is_number(b, 0) ? a : LLVMBuildNSWSub(c->b, a, b, "");
}

Val
cg_mul(Cg *c, Val a, Val b)
{
    if (is_number(a, 1))
        return b;
    if (is_number(b, 1))
        return a;
    return LLVMBuildNSWMul(c->b, a, b, "");
}

Val
cg_div(Cg *c, Val a, Val b)
{
    return is_number(b, 1) ? a : LLVMBuildUDiv(c->b, a, b, "");
}

Val
cg_div_up(Cg *c, Val a, Val b)
{
    return cg_div(c, cg_add(c, a, cg_sub(c, b, cg_i64(c, 1))), b);
}

Val
cg_less(Cg *c, Val a, Val b)
{
    return LLVMBuildICmp(c->b, LLVMIntSLT, a, b, "");
}

Val
cg_min(Cg *c, Val a, Val b)
{
    return LLVMBuildSelect(c->b, cg_less(c, a, b), a, b, "");
}

Val
cg_max(Cg *c, Val a, Val b)
{
    return LLVMBuildSelect(c->b, cg_less(c, a, b), b, a, "");
}

/* ---- addresses ----------------------------------------------------------------------------- */

Val
cg_at(Cg *c, Val base, Dtype dtype, Val index)
{
    if (is_number(index, 0))
        return base;
    return LLVMBuildInBoundsGEP2(c->b, cg_type(c, dtype), base, &index, 1, "");
}

Val
cg_element(Cg *c, Val base, Dtype dtype, Val row, int64_t stride, Val col)
{
    return cg_at(c, base, dtype, cg_add(c, cg_mul(c, row, cg_i64(c, stride)), col));
}

Val
cg_offset(Cg *c, Val base, Val bytes)
{
    if (is_number(bytes, 0))
        return base;
    return LLVMBuildInBoundsGEP2(c->b, c->i8, base, &bytes, 1, "");
}

Val
cg_load_index(Cg *c, Val ptr, Val index)
{
    const Val id = LLVMBuildLoad2(c->b, c->i32, cg_at(c, ptr, DTYPE_i32, index), "");
    return LLVMBuildSExt(c->b, id, c->i64, "");
}

Val
cg_intrinsic(Cg *c, const char *name, LLVMTypeRef *overloads, int noverloads, Val *args, int nargs)
{
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id)
        die("cg_intrinsic: LLVM has no %s", name);
    const Val fn = LLVMGetIntrinsicDeclaration(c->mod, id, overloads, (size_t)noverloads);
    const LLVMTypeRef type = LLVMGlobalGetValueType(fn);
    return LLVMBuildCall2(c->b, type, fn, args, (unsigned)nargs, "");
}

void
cg_prefetch(Cg *c, Val ptr, int locality)
{
    const Val read = LLVMConstInt(c->i32, 0, 0), data = LLVMConstInt(c->i32, 1, 0);
    Val args[] = {ptr, read, LLVMConstInt(c->i32, (unsigned)locality, 0), data};
    cg_intrinsic(c, "llvm.prefetch", &c->ptr, 1, args, 4);
}

/* ---- structure ----------------------------------------------------------------------------- */

static LLVMBasicBlockRef
block_new(Cg *c, const char *name)
{
    return LLVMAppendBasicBlockInContext(c->ctx, c->fn, name);
}

static void
block_enter(Cg *c, LLVMBasicBlockRef block)
{
    LLVMPositionBuilderAtEnd(c->b, block);
}

CgLoop
cg_loop(Cg *c, const char *name, Val from, Val to, int64_t step)
{
    CgLoop loop = {.step = cg_i64(c, step), .to = to, .head = LLVMGetInsertBlock(c->b)};
    loop.body = block_new(c, name);
    loop.exit = block_new(c, "after");
    LLVMBuildCondBr(c->b, cg_less(c, from, to), loop.body, loop.exit);
    block_enter(c, loop.body);
    loop.i = LLVMBuildPhi(c->b, c->i64, "i");
    LLVMAddIncoming(loop.i, &from, &loop.head, 1);
    return loop;
}

void
cg_loop_end(Cg *c, CgLoop *loop)
{
    Val next = LLVMBuildNSWAdd(c->b, loop->i, loop->step, "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(c->b);
    LLVMAddIncoming(loop->i, &next, &latch, 1);
    LLVMBuildCondBr(c->b, cg_less(c, next, loop->to), loop->body, loop->exit);
    LLVMMoveBasicBlockAfter(loop->exit, latch);
    block_enter(c, loop->exit);
}

CgIf
cg_if(Cg *c, Val cond)
{
    CgIf branch = {.other = block_new(c, "else"), .exit = block_new(c, "endif")};
    const LLVMBasicBlockRef then = block_new(c, "then");
    LLVMBuildCondBr(c->b, cond, then, branch.other);
    block_enter(c, then);
    return branch;
}

void
cg_else(Cg *c, CgIf *branch)
{
    branch->has_else = true;
    LLVMBuildBr(c->b, branch->exit);
    block_enter(c, branch->other);
}

void
cg_endif(Cg *c, CgIf *branch)
{
    LLVMBuildBr(c->b, branch->exit);
    if (!branch->has_else) {
        block_enter(c, branch->other);
        LLVMBuildBr(c->b, branch->exit);
    }
    LLVMMoveBasicBlockAfter(branch->exit, LLVMGetInsertBlock(c->b));
    block_enter(c, branch->exit);
}

Val
cg_var(Cg *c, LLVMTypeRef type, Val initial, const char *name)
{
    const Val var = LLVMBuildAlloca(c->at_entry, type, name);
    if (initial)
        cg_set(c, var, initial);
    return var;
}

Val
cg_get(Cg *c, LLVMTypeRef type, Val var)
{
    return LLVMBuildLoad2(c->b, type, var, "");
}

void
cg_set(Cg *c, Val var, Val value)
{
    LLVMBuildStore(c->b, value, var);
}
