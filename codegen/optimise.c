/* codegen/optimise.c -- from the module as emitted to the module as compiled.
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

static void
run_passes(LLVMModuleRef mod, LLVMTargetMachineRef machine)
{
    const LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    const LLVMErrorRef error = LLVMRunPasses(mod, pipeline, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (error)
        die("LLVM passes: %s", LLVMGetErrorMessage(error));
}

LLVMModuleRef
cg_optimised(CgModule *module)
{
    if (module->optimised)
        return module->optimised;
    module->optimised = LLVMCloneModule(module->cg.mod);
    run_passes(module->optimised, module->machine);
    cg_llvm_verify(module->optimised, "after optimisation");
    return module->optimised;
}

LLVMMemoryBufferRef
cg_object(CgModule *module, LLVMCodeGenFileType type)
{
    LLVMMemoryBufferRef out = NULL;
    char *why = NULL;
    const LLVMModuleRef mod = LLVMCloneModule(cg_optimised(module)); /* the backend changes it */
    if (LLVMTargetMachineEmitToMemoryBuffer(module->machine, mod, type, &why, &out))
        die("LLVM cannot emit %s: %s", module->target.cpu, why);
    LLVMDisposeModule(mod);
    return out;
}
