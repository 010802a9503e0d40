/* codegen/parallel.c -- the objects of a module, made on several threads: LLVM works on a module
 * with one thread only, and compiling is most of a cold start.
 *
 * Each thread reads the whole module into a context of its own, from bitcode, and compiles
 * the functions of its object; those of other objects become declarations, which the linker of the
 * process resolves. Object 0 has the tables. The code of a function does not depend on the object
 * it is in. */
#include <pthread.h>
#include <stdlib.h>

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>

#include "codegen/module.h"

typedef struct {
    const Machine *machine;
    LLVMMemoryBufferRef bitcode; /* borrowed */
    const int *object_of;        /* by number of a defined function */
    int own;                     /* number of the object that is made */
    LLVMMemoryBufferRef made;
} Object;

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

/* The larger ones first, each to the object that has least. */
static const int *
divide(Arena *arena, LLVMModuleRef mod, int objects)
{
    int count = 0;
    for (Val fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn))
        count += is_defined(fn);
    Sized *sized = arena_array(arena, (size_t)count + 1, sizeof *sized);
    int *object_of = arena_array(arena, (size_t)count + 1, sizeof *object_of);
    int64_t *load = arena_array(arena, (size_t)objects, sizeof *load);
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
        for (int p = 1; p < objects; p++)
            least = load[p] < load[least] ? p : least;
        object_of[sized[i].number] = least;
        load[least] += sized[i].size;
    }
    return object_of;
}

/* ---- one object ---------------------------------------------------------------------------- */

/* What is available externally is dropped by the first passes, with the tables it leaves unused. */
static void
restrict_to_own(const Object *p, LLVMModuleRef mod)
{
    int number = 0;
    for (Val fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn)) {
        if (!is_defined(fn))
            continue;
        const bool mine = p->object_of[number++] == p->own;
        LLVMSetLinkage(fn, mine ? LLVMExternalLinkage : LLVMAvailableExternallyLinkage);
    }
    for (Val g = LLVMGetFirstGlobal(mod); g && p->own > 0; g = LLVMGetNextGlobal(g))
        if (LLVMGetLinkage(g) == LLVMExternalLinkage)
            LLVMSetLinkage(g, LLVMAvailableExternallyLinkage);
}

static void *
object_work(void *user)
{
    Object *p = user;
    LLVMModuleRef mod = NULL;
    const LLVMContextRef ctx = cg_llvm_context();
    const LLVMTargetMachineRef llvm = cg_llvm_machine(p->machine);
    if (LLVMParseBitcodeInContext2(ctx, p->bitcode, &mod))
        die("LLVM cannot read its own bitcode");
    restrict_to_own(p, mod);
    cg_run_passes(mod, llvm, "elim-avail-extern,globaldce,");
    p->made = cg_machine_code(mod, llvm, LLVMObjectFile);
    LLVMDisposeModule(mod);
    LLVMDisposeTargetMachine(llvm);
    LLVMContextDispose(ctx);
    return NULL;
}

/* ---- all ----------------------------------------------------------------------------------- */

/* Where a thread does not start, this one does its work. */
static void
make_objects(Object *object, int count)
{
    pthread_t id[CG_MAX_OBJECTS];
    bool started[CG_MAX_OBJECTS] = {false};
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CG_STACK);
    for (int p = 1; p < count; p++)
        started[p] = pthread_create(&id[p], &attr, object_work, &object[p]) == 0;
    pthread_attr_destroy(&attr);
    for (int p = 0; p < count; p++)
        if (!started[p])
            object_work(&object[p]);
    for (int p = 1; p < count; p++)
        if (started[p])
            pthread_join(id[p], NULL);
}

int
cg_objects(CgModule *module, int threads, LLVMMemoryBufferRef out[CG_MAX_OBJECTS])
{
    const int objects = threads < CG_MAX_OBJECTS ? threads : CG_MAX_OBJECTS;
    Object object[CG_MAX_OBJECTS];
    if (objects <= 1) {
        out[0] = cg_object(module, LLVMObjectFile);
        return 1;
    }
    const int *object_of = divide(module->arena, module->cg.mod, objects);
    const LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(module->cg.mod);
    for (int p = 0; p < objects; p++)
        object[p] = (Object){&module->machine, bitcode, object_of, p, NULL};
    make_objects(object, objects);
    LLVMDisposeMemoryBuffer(bitcode);
    for (int p = 0; p < objects; p++)
        out[p] = object[p].made;
    return objects;
}
