/* codegen/optimise.c -- from the module as emitted to the module as compiled, as text and as an
 * object.
 *
 * Emitters write loops and vectors themselves, so the pipeline is short: variables to registers,
 * common subexpressions, address arithmetic, invariants out of loops. No vectoriser, no unroller,
 * no inliner: they cost compile time (the cold start of every run) and undo what an emitter chose.
 * gvn and a second instcombine were measured over the kernels of mamba2-130m: a third more time
 * here, and the same machine code but for 48 bytes in 97 KB. No fast-math flag is set anywhere, so
 * that no pass changes a number. */
#include <llvm-c/Transforms/PassBuilder.h>

#include "codegen/module.h"

static const char pipeline[] =
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),"
    "simplifycfg)";

void
cg_run_passes(LLVMModuleRef mod, LLVMTargetMachineRef llvm, const char *before)
{
    StrBuf all = {0};
    sb_printf(&all, "%s%s", before, pipeline);
    const LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    const LLVMErrorRef error = LLVMRunPasses(mod, sb_text(&all), llvm, options);
    LLVMDisposePassBuilderOptions(options);
    sb_free(&all);
    if (error)
        die("LLVM passes: %s", LLVMGetErrorMessage(error));
    cg_llvm_verify(mod, "after optimisation");
}

LLVMMemoryBufferRef
cg_machine_code(LLVMModuleRef mod, LLVMTargetMachineRef llvm, LLVMCodeGenFileType type)
{
    LLVMMemoryBufferRef out = NULL;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(llvm, mod, type, &why, &out))
        die("LLVM cannot emit code for %s: %s", LLVMGetTarget(mod), why);
    return out;
}

LLVMModuleRef
cg_optimised(CgModule *module)
{
    if (module->optimised)
        return module->optimised;
    module->optimised = LLVMCloneModule(module->cg.mod);
    cg_run_passes(module->optimised, module->llvm, "");
    return module->optimised;
}

LLVMMemoryBufferRef
cg_object(CgModule *module, LLVMCodeGenFileType type)
{
    const LLVMModuleRef mod = LLVMCloneModule(cg_optimised(module)); /* the backend changes it */
    const LLVMMemoryBufferRef out = cg_machine_code(mod, module->llvm, type);
    LLVMDisposeModule(mod);
    return out;
}

void
cg_emit(CgModule *module, CgEmit what, StrBuf *out)
{
    if (what == CG_LLVM || what == CG_LLVM_OPT) {
        char *text =
            LLVMPrintModuleToString(what == CG_LLVM ? module->cg.mod : cg_optimised(module));
        sb_puts(out, text);
        LLVMDisposeMessage(text);
        return;
    }
    if (what == CG_PTX) {
        sb_puts(out, module->abi.image ? module->abi.image : "");
        return;
    }
    const LLVMMemoryBufferRef code =
        cg_object(module, what == CG_ASM ? LLVMAssemblyFile : LLVMObjectFile);
    sb_putn(out, LLVMGetBufferStart(code), LLVMGetBufferSize(code));
    LLVMDisposeMemoryBuffer(code);
}
