/* codegen/emit/matrix_unit.c -- instructions of the matrix unit (codegen/emit/matrix_unit.h).
 *
 * LLVM's intrinsics with tile numbers in them are used, not its type for tiles: which register
 * holds what is decided here, and nothing is spilled. They count as calls that touch any memory, so
 * LLVM moves nothing across them. */
#include "codegen/emit/matrix_unit.h"

static void
call(Cg *c, const char *intrinsic, const char *model, Val *args, int count)
{
    if (!c->machine->matrix.model) {
        cg_intrinsic(c, intrinsic, NULL, 0, args, count);
        return;
    }
    LLVMTypeRef types[4];
    for (int i = 0; i < count; i++)
        types[i] = LLVMTypeOf(args[i]);
    const LLVMTypeRef type = LLVMFunctionType(c->void_t, types, (unsigned)count, 0);
    const Val known = LLVMGetNamedFunction(c->mod, model);
    const Val fn = known ? known : LLVMAddFunction(c->mod, model, type);
    LLVMBuildCall2(c->b, type, fn, args, (unsigned)count, "");
}

static Val
number(Cg *c, int n)
{
    return LLVMConstInt(c->i8, (unsigned)n, 0);
}

/* The 64 bytes that LDTILECFG reads: palette 1, bytes a row as 16 bits from byte 16 on, rows from
 * byte 48 on. */
static Val
configuration(Cg *c, const CgUnitShape *shape)
{
    uint8_t bytes[64] = {1};
    for (int i = 0; i < shape->sums + shape->lefts + shape->rights; i++) {
        const bool left = i >= shape->sums && i < shape->sums + shape->lefts;
        const bool right = i >= shape->sums + shape->lefts;
        bytes[16 + 2 * i] = (uint8_t)(left ? shape->depth : CG_UNIT_BYTES);
        bytes[48 + i] = (uint8_t)(right ? shape->depth / 4 : CG_UNIT_ROWS);
    }
    Val values[64];
    for (int i = 0; i < 64; i++)
        values[i] = number(c, bytes[i]);
    const Val data = LLVMConstArray2(c->i8, values, 64);
    const Val global = LLVMAddGlobal(c->mod, LLVMTypeOf(data), "tiles");
    LLVMSetInitializer(global, data);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    LLVMSetAlignment(global, 64);
    return global;
}

void
cg_unit_open(Cg *c, const CgUnitShape *shape)
{
    if (shape->sums + shape->lefts + shape->rights > c->machine->matrix.tiles)
        die("cg_unit_open: %s has %d tiles", c->machine->matrix.name, c->machine->matrix.tiles);
    Val args[] = {configuration(c, shape)};
    call(c, "llvm.x86.ldtilecfg", "matrix_model_open", args, 1);
}

void
cg_unit_close(Cg *c)
{
    call(c, "llvm.x86.tilerelease", "matrix_model_close", NULL, 0);
}

void
cg_unit_zero(Cg *c, int tile)
{
    Val args[] = {number(c, tile)};
    call(c, "llvm.x86.tilezero", "matrix_model_zero", args, 1);
}

void
cg_unit_load_rows(Cg *c, int tile, Val at, Val stride, bool once)
{
    Val args[] = {number(c, tile), at, stride};
    call(c, once ? "llvm.x86.tileloaddt164" : "llvm.x86.tileloadd64", "matrix_model_load", args, 3);
}

void
cg_unit_load(Cg *c, int tile, Val at, int64_t stride, bool once)
{
    cg_unit_load_rows(c, tile, at, cg_i64(c, stride), once);
}

void
cg_unit_store(Cg *c, int tile, Val at, int64_t stride)
{
    Val args[] = {number(c, tile), at, cg_i64(c, stride)};
    call(c, "llvm.x86.tilestored64", "matrix_model_store", args, 3);
}

void
cg_unit_dot(Cg *c, Dtype dtype, int sum, int left, int right)
{
    Val args[] = {number(c, sum), number(c, left), number(c, right)};
    if (dtype == DTYPE_bf16)
        call(c, "llvm.x86.tdpbf16ps", "matrix_model_bf16", args, 3);
    else
        call(c, "llvm.x86.tdpbsud", "matrix_model_bytes", args, 3);
}
