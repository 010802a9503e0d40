/* codegen/llvm.c -- opening, describing and verifying LLVM objects: the place for what has changed
 * between LLVM versions. Written for the C API of LLVM 19. */
#include <pthread.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm/Config/llvm-config.h>

#include "codegen/module.h"
#include "runtime/permit.h"

const char *
cg_llvm_version(void)
{
    return LLVM_VERSION_STRING;
}

/* ---- no memory ----------------------------------------------------------------------------- */

/* Missing from the C API: llvm::install_bad_alloc_error_handler and
 * llvm::install_out_of_memory_new_handler of llvm/Support/ErrorHandling.h, by their symbols. */
void _ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_(
    void (*handler)(void *user, const char *reason, bool diagnose), void *user);
void _ZN4llvm33install_out_of_memory_new_handlerEv(void);

static void
on_no_memory(void *user, const char *reason, bool diagnose)
{
    (void)user;
    (void)reason;
    (void)diagnose;
    die_no_memory(0);
}

void
cg_begin(void)
{
    _ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_(on_no_memory, NULL);
    _ZN4llvm33install_out_of_memory_new_handlerEv();
}

/* ---- target -------------------------------------------------------------------------------- */

/* The architectures of machine/cpus.def and gpus.def, once: LLVM's list of them has no lock, and
 * code is made by several threads. */
static void
register_targets(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
}

LLVMTargetMachineRef
cg_llvm_machine(const Machine *machine)
{
    static pthread_once_t registered = PTHREAD_ONCE_INIT;
    pthread_once(&registered, register_targets);
    LLVMTargetRef llvm_target = NULL;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(machine->triple, &llvm_target, &why))
        die("LLVM has no target for %s: %s", machine->triple, why);
    /* Code for the model of a GPU runs once, in a test: to make it well takes longer than to run it
     * as it is. */
    const LLVMCodeGenOptLevel level =
        machine->gpu.model ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault;
    const LLVMTargetMachineRef llvm =
        LLVMCreateTargetMachine(llvm_target, machine->triple, machine->cpu, machine->llvm, level,
                                LLVMRelocPIC, LLVMCodeModelDefault);
    if (!llvm)
        die("LLVM makes no machine for %s %s", machine->triple, machine->cpu);
    return llvm;
}

/* The machine that this process runs on is described by LLVM. */
static char *
take_message(Arena *arena, char *message)
{
    char *copy = arena_strdup(arena, message);
    LLVMDisposeMessage(message);
    return copy;
}

bool
cg_machine(Arena *arena, const char *name, Machine *out, const char **why)
{
    if (strcmp(name, "native") != 0) {
        const bool known = machine_named(name, out);
        if (!known)
            *why =
                arena_printf(arena, "unknown CPU `%s`; %s", name, machine_names_near(arena, name));
        return known;
    }
    const char *triple = take_message(arena, LLVMGetDefaultTargetTriple());
    const bool known = machine_native(take_message(arena, LLVMGetHostCPUName()),
                                      take_message(arena, LLVMGetHostCPUFeatures()), triple,
                                      abi_matrix_allowed(), out);
    if (!known)
        *why =
            arena_printf(arena, "this machine is %s; code is made for x86_64 and aarch64", triple);
    return known;
}

/* ---- context, module, types --------------------------------------------------------------- */

/* What the backend reports (it would print and exit by itself): never the user's fault, as graphs
 * are checked before. Remarks and warnings are no news. */
static void
on_diagnostic(LLVMDiagnosticInfoRef info, void *user)
{
    (void)user;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    die("LLVM: %s", text);
}

LLVMContextRef
cg_llvm_context(void)
{
    const LLVMContextRef ctx = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(ctx, on_diagnostic, NULL);
    return ctx;
}

void
cg_llvm_open(Cg *c, Arena *arena, const Machine *machine, LLVMTargetMachineRef llvm)
{
    *c = (Cg){.arena = arena, .machine = machine, .ctx = cg_llvm_context()};
    c->mod = LLVMModuleCreateWithNameInContext("ssmc", c->ctx);
    LLVMSetTarget(c->mod, machine->triple);
    const LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(llvm);
    LLVMSetModuleDataLayout(c->mod, layout);
    LLVMDisposeTargetData(layout);
    c->b = LLVMCreateBuilderInContext(c->ctx);
    c->at_entry = LLVMCreateBuilderInContext(c->ctx);
    c->void_t = LLVMVoidTypeInContext(c->ctx);
    c->i1 = LLVMInt1TypeInContext(c->ctx);
    c->i8 = LLVMInt8TypeInContext(c->ctx);
    c->i16 = LLVMInt16TypeInContext(c->ctx);
    c->i32 = LLVMInt32TypeInContext(c->ctx);
    c->i64 = LLVMInt64TypeInContext(c->ctx);
    c->f32 = LLVMFloatTypeInContext(c->ctx);
    c->f16 = LLVMHalfTypeInContext(c->ctx);
    c->bf16 = LLVMBFloatTypeInContext(c->ctx);
    c->ptr = LLVMPointerTypeInContext(c->ctx, 0);
    c->lanes = machine->vector_bytes / 4;
    c->masks = machine->vector_bytes == 64;
    cg_abi_open(c);
}

void
cg_llvm_close(Cg *c)
{
    LLVMDisposeBuilder(c->b);
    LLVMDisposeBuilder(c->at_entry);
    LLVMDisposeModule(c->mod);
    LLVMContextDispose(c->ctx);
}

void
cg_llvm_verify(LLVMModuleRef mod, const char *when)
{
    char *why = NULL;
    if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &why))
        die("the LLVM module is wrong %s: %s", when, why);
    LLVMDisposeMessage(why);
}

/* ---- attributes ------------------------------------------------------------------------------ */

void
cg_fn_attribute(Cg *c, Val fn, const char *name, const char *value)
{
    const LLVMAttributeRef a = LLVMCreateStringAttribute(c->ctx, name, (unsigned)strlen(name),
                                                         value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

void
cg_attribute(Cg *c, Val fn, unsigned where, const char *name)
{
    const unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    if (!kind)
        die("LLVM has no attribute %s", name);
    LLVMAddAttributeAtIndex(fn, where, LLVMCreateEnumAttribute(c->ctx, kind, 0));
}
