/* codegen/jit.c -- the object of a module, linked into this process by ORC. The code is the one
 * that an object file would hold: only the linker differs. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <llvm-c/LLJIT.h>

#include "codegen/gpu_model.h"
#include "codegen/matrix_model.h"
#include "codegen/module.h"

struct CgJit {
    LLVMOrcLLJITRef lljit;
    void *address; /* of the symbol it was opened for */
};

/* ---- may this code run here? -------------------------------------------------------------- */

static bool
runs_here(Arena *arena, const Machine *t, const char **why)
{
    Machine host;
    if (!cg_machine(arena, "native", &host, why))
        return false;
    const char *lacks = machine_lacks(&host, t);
    if (!lacks)
        return true;
    *why = arena_printf(arena,
                        "code for %s (%s) cannot run on this machine (%s, %s), which lacks %s: "
                        "compile it to a file, or use cpu native",
                        t->cpu, t->triple, host.cpu, host.triple, lacks);
    return false;
}

bool
cg_jit_allowed(const char **why)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return true; /* no memory is another fault */
    const bool allowed = mprotect(code, page, PROT_READ | PROT_EXEC) == 0;
    munmap(code, page);
    if (!allowed)
        *why = "this process may not make memory executable (MemoryDenyWriteExecute of systemd, "
               "execmem of SELinux): use ssmc compile --emit so|exe, with --weights external, "
               "whose products run in such a process";
    return allowed;
}

/* ---- linking ------------------------------------------------------------------------------ */

static bool
failed(Arena *arena, LLVMErrorRef error, const char **why)
{
    if (!error)
        return false;
    char *text = LLVMGetErrorMessage(error);
    *why = arena_printf(arena, "the code cannot be linked into this process: %s", text);
    LLVMDisposeErrorMessage(text);
    return true;
}

/* The functions that code made for a model calls (compile.matrix=model, compile.device=model). */
static bool
define_model(Arena *arena, LLVMOrcLLJITRef lljit, const ModelFunction *functions, int count,
             const char **why)
{
    LLVMOrcCSymbolMapPair *pairs = arena_array(arena, (size_t)count, sizeof *pairs);
    for (int i = 0; i < count; i++) {
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(lljit, functions[i].name);
        pairs[i].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)functions[i].function;
        pairs[i].Sym.Flags.GenericFlags =
            LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
    }
    const LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, (size_t)count);
    return !failed(arena, LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(lljit), unit), why);
}

static bool
open_lljit(Arena *arena, LLVMOrcLLJITRef *out, const char **why)
{
    if (failed(arena, LLVMOrcCreateLLJIT(out, NULL), why))
        return false;
    LLVMOrcDefinitionGeneratorRef process = NULL;
    const char prefix = LLVMOrcLLJITGetGlobalPrefix(*out);
    if (failed(arena,
               LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL),
               why))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(*out), process);
    return true;
}

/* Takes the objects, whether or not it succeeds. */
static bool
link_objects(Arena *arena, CgJit *jit, const Machine *m, LLVMMemoryBufferRef *objects, int count,
             const char *symbol, const char **why)
{
    LLVMOrcExecutorAddress address = 0;
    bool ok = open_lljit(arena, &jit->lljit, why);
    if (ok && m->matrix.model)
        ok = define_model(arena, jit->lljit, matrix_model, matrix_model_count, why);
    if (ok && m->gpu.model)
        ok = define_model(arena, jit->lljit, gpu_model, gpu_model_count, why);
    for (int i = 0; i < count; i++) {
        if (!ok) {
            LLVMDisposeMemoryBuffer(objects[i]);
            continue;
        }
        const LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(jit->lljit);
        ok = !failed(arena, LLVMOrcLLJITAddObjectFile(jit->lljit, main, objects[i]), why);
    }
    ok = ok && !failed(arena, LLVMOrcLLJITLookup(jit->lljit, &address, symbol), why);
    jit->address = (void *)(uintptr_t)address;
    return ok;
}

CgJit *
cg_jit_symbol(Arena *arena, CgModule *module, const char *symbol, int threads, const char **why)
{
    if (!runs_here(arena, &module->machine, why) || !cg_jit_allowed(why))
        return NULL;
    CgJit *jit = calloc(1, sizeof *jit);
    if (!jit) {
        *why = "no memory";
        return NULL;
    }
    LLVMMemoryBufferRef objects[CG_MAX_OBJECTS];
    const bool mapped = cg_perf_map_wanted() && strcmp(symbol, CG_PROGRAM_SYMBOL) == 0;
    const int count = cg_objects(module, mapped ? 1 : threads, objects); /* a map is of one */
    StrBuf bytes = {0}; /* linking takes the object: the map needs its symbols afterwards */
    if (mapped)
        sb_putn(&bytes, LLVMGetBufferStart(objects[0]), LLVMGetBufferSize(objects[0]));
    const bool ok = link_objects(arena, jit, &module->machine, objects, count, symbol, why);
    if (ok && bytes.len)
        cg_perf_map(&bytes, jit->address);
    sb_free(&bytes);
    if (ok)
        return jit;
    cg_jit_free(jit);
    return NULL;
}

CgJit *
cg_jit(Arena *arena, CgModule *module, int threads, const char **why)
{
    CgJit *jit = cg_jit_symbol(arena, module, CG_PROGRAM_SYMBOL, threads, why);
    cg_module_free(module);
    return jit;
}

const AbiProgram *
cg_jit_program(const CgJit *jit)
{
    return jit->address;
}

void *
cg_jit_address(const CgJit *jit)
{
    return jit->address;
}

void
cg_jit_free(CgJit *jit)
{
    if (!jit)
        return;
    if (jit->lljit)
        LLVMConsumeError(LLVMOrcDisposeLLJIT(jit->lljit));
    free(jit);
}
