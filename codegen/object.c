/* codegen/object.c -- the module as text or as an object file. */
#include "codegen/module.h"

static void
put_ir(LLVMModuleRef mod, StrBuf *out)
{
    char *text = LLVMPrintModuleToString(mod);
    sb_puts(out, text);
    LLVMDisposeMessage(text);
}

static void
put_code(CgModule *module, LLVMCodeGenFileType type, StrBuf *out)
{
    const LLVMMemoryBufferRef code = cg_object(module, type);
    sb_putn(out, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
    LLVMDisposeMemoryBuffer(code);
}

void
cg_emit(CgModule *module, CgEmit what, StrBuf *out)
{
    switch (what) {
    case CG_LLVM:
        put_ir(module->cg.mod, out);
        return;
    case CG_LLVM_OPT:
        put_ir(cg_optimised(module), out);
        return;
    case CG_ASM:
        put_code(module, LLVMAssemblyFile, out);
        return;
    case CG_OBJ:
        put_code(module, LLVMObjectFile, out);
        return;
    }
}
