/* codegen/parallel.c -- the objects of a module, made on several threads: LLVM works on a module
 * with one thread only, and compiling is most of a cold start.
 *
 * Each thread reads the whole module into a context of its own, from bitcode, and compiles
 * the functions of its part; those of other parts become declarations, which the linker of the
 * process resolves. Part 0 has the tables. The code of a function does not depend on the part it is
 * in. */
#include <pthread.h>
#include <stdlib.h>

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>

#include "codegen/module.h"

typedef struct {
    const Machine *machine;
    LLVMMemoryBufferRef bitcode; /* borrowed */
    const int *part_of;          /* by number of a defined function */
    int part;
    LLVMMemoryBufferRef object; /* the result */
} Part;

/* ---- dividing ------------------------------------------------------------------------------ */

static bool
is_defined(Val fn)
{
    return LLVMCountBasicBlocks(fn) > 0;
}

typedef struct {
    int64_t size; /* instructions */
    int number;
} Sized;

static int
larger_first(const void *a, const void *b)
{
    const Sized *x = a, *y = b;
    if (x->size != y->size)
        return (x->size < y->size) - (x->size > y->size);
    return x->number - y->number;
}

/* The larger ones first, each to the part that has least. */
static const int *
divide(Arena *arena, LLVMModuleRef mod, int parts)
{
    int count = 0;
    for (Val fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn))
        count += is_defined(fn);
    Sized *sized = arena_array(arena, (size_t)count + 1, sizeof *sized);
    int *part_of = arena_array(arena, (size_t)count + 1, sizeof *part_of);
    int64_t *load = arena_array(arena, (size_t)parts, sizeof *load);
    int n = 0;
    for (Val fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn)) {
        if (!is_defined(fn))
            continue;
        sized[n].number = n;
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(fn); b; b = LLVMGetNextBasicBlock(b))
            for (Val i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
                sized[n].size++;
        n++;
    }
    qsort(sized, (size_t)count, sizeof *sized, larger_first);
    for (int i = 0; i < count; i++) {
        int least = 0;
        for (int p = 1; p < parts; p++)
            least = load[p] < load[least] ? p : least;
        part_of[sized[i].number] = least;
        load[least] += sized[i].size;
    }
    return part_of;
}

/* ---- one part ------------------------------------------------------------------------------ */

/* What is available externally is dropped by the first passes, with the tables it leaves unused. */
static void
keep_part(const Part *p, LLVMModuleRef mod)
{
    int number = 0;
    for (Val fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn)) {
        if (!is_defined(fn))
            continue;
        const bool mine = p->part_of[number++] == p->part;
        LLVMSetLinkage(fn, mine ? LLVMExternalLinkage : LLVMAvailableExternallyLinkage);
    }
    for (Val g = LLVMGetFirstGlobal(mod); g && p->part > 0; g = LLVMGetNextGlobal(g))
        if (LLVMGetLinkage(g) == LLVMExternalLinkage)
            LLVMSetLinkage(g, LLVMAvailableExternallyLinkage);
}

static void *
part_work(void *user)
{
    Part *p = user;
    LLVMModuleRef mod = NULL;
    const LLVMContextRef ctx = cg_llvm_context();
    const LLVMTargetMachineRef llvm = cg_llvm_machine(p->machine);
    if (LLVMParseBitcodeInContext2(ctx, p->bitcode, &mod))
        die("LLVM cannot read its own bitcode");
    keep_part(p, mod);
    cg_run_passes(mod, llvm, "elim-avail-extern,globaldce,");
    p->object = cg_machine_code(mod, llvm, LLVMObjectFile);
    LLVMDisposeModule(mod);
    LLVMDisposeTargetMachine(llvm);
    LLVMContextDispose(ctx);
    return NULL;
}

/* ---- all ----------------------------------------------------------------------------------- */

/* Where a thread does not start, this one does its work. */
static void
run_parts(Part *part, int parts)
{
    pthread_t id[CG_MAX_PARTS];
    bool started[CG_MAX_PARTS] = {false};
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CG_STACK);
    for (int p = 1; p < parts; p++)
        started[p] = pthread_create(&id[p], &attr, part_work, &part[p]) == 0;
    pthread_attr_destroy(&attr);
    for (int p = 0; p < parts; p++)
        if (!started[p])
            part_work(&part[p]);
    for (int p = 1; p < parts; p++)
        if (started[p])
            pthread_join(id[p], NULL);
}

int
cg_objects(CgModule *module, int threads, LLVMMemoryBufferRef out[CG_MAX_PARTS])
{
    const int parts = threads < CG_MAX_PARTS ? threads : CG_MAX_PARTS;
    Part part[CG_MAX_PARTS];
    if (parts <= 1) {
        out[0] = cg_object(module, LLVMObjectFile);
        return 1;
    }
    const int *part_of = divide(module->arena, module->cg.mod, parts);
    const LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(module->cg.mod);
    for (int p = 0; p < parts; p++)
        part[p] = (Part){&module->machine, bitcode, part_of, p, NULL};
    run_parts(part, parts);
    LLVMDisposeMemoryBuffer(bitcode);
    for (int p = 0; p < parts; p++)
        out[p] = part[p].object;
    return parts;
}
