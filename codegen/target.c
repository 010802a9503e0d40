/* codegen/target.c -- the machine that code is made for, by name; LLVM knows the one that this
 * process runs on. */
#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/module.h"

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
                                      take_message(arena, LLVMGetHostCPUFeatures()), triple, out);
    if (!known)
        *why =
            arena_printf(arena, "this machine is %s; code is made for x86_64 and aarch64", triple);
    return known;
}
