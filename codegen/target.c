/* codegen/target.c -- CPUs by name, and the one this process runs on.
 *
 * Named CPUs are rows of targets.def: LLVM's C API cannot say whether it knows a name (it prints
 * and goes on with something else), and the passes need numbers that LLVM does not publish. */
#include <string.h>
#include <unistd.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/module.h"

typedef struct {
    const char *name; /* first: nearest_name reads it */
    const char *arch;
    int vector_bytes, vector_registers;
    bool fma, bf16_dot, i8_dot;
    int64_t l1_kib, l2_kib;
} Cpu;

static const Cpu cpus[] = {
#define CPU(name, arch, vector, regs, fma, bf16, i8, l1, l2)                                       \
    {name, #arch, vector, regs, fma, bf16, i8, l1, l2},
#include "codegen/targets.def"
#undef CPU
};

static const Cpu *
cpu_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        if (strcmp(cpus[i].name, name) == 0)
            return &cpus[i];
    return NULL;
}

static const char *
names_of(Arena *arena)
{
    StrBuf sb = {0};
    for (size_t i = 0; i < COUNT_OF(cpus); i++)
        sb_printf(&sb, "%s%s", i ? ", " : "", cpus[i].name);
    const char *text = arena_strndup(arena, sb_text(&sb), sb.len);
    sb_free(&sb);
    return text;
}

static bool
unknown(Arena *arena, const char *name, const char **why)
{
    const char *near = nearest_name(name, cpus, COUNT_OF(cpus), sizeof cpus[0]);
    if (near)
        *why = arena_printf(arena, "unknown CPU `%s`; did you mean `%s`?", name, near);
    else
        *why = arena_printf(arena, "unknown CPU `%s`; known are native, %s", name, names_of(arena));
    return false;
}

/* ---- named --------------------------------------------------------------------------------- */

static const char *
triple_of(const Cpu *cpu)
{
    return strcmp(cpu->arch, "x86_64") == 0 ? "x86_64-unknown-linux-gnu"
                                            : "aarch64-unknown-linux-gnu";
}

static CgTarget
named(const Cpu *cpu)
{
    return (CgTarget){.cpu = cpu->name,
                      .features = "",
                      .triple = triple_of(cpu),
                      .vector_bytes = cpu->vector_bytes,
                      .vector_registers = cpu->vector_registers,
                      .fma = cpu->fma,
                      .bf16_dot = cpu->bf16_dot,
                      .i8_dot = cpu->i8_dot,
                      .l1_bytes = cpu->l1_kib * 1024,
                      .l2_bytes = cpu->l2_kib * 1024};
}

/* ---- native -------------------------------------------------------------------------------- */

bool
cg_has_feature(const char *features, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = features; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (*p == '+' && strncmp(p + 1, name, len) == 0 && (p[1 + len] == ',' || !p[1 + len]))
            return true;
    }
    return false;
}

/* AVX-512 is used from its server set on (F, VL, BW, DQ): what x86-64-v4 has, and what
 * single-instruction masks of every element size need. */
static void
vectors_x86(CgTarget *t)
{
    const char *f = t->features;
    const bool wide = cg_has_feature(f, "avx512f") && cg_has_feature(f, "avx512vl") &&
                      cg_has_feature(f, "avx512bw") && cg_has_feature(f, "avx512dq");
    t->fma = cg_has_feature(f, "fma") && cg_has_feature(f, "avx2");
    t->vector_bytes = wide ? 64 : t->fma ? 32 : 16;
    t->vector_registers = wide ? 32 : 16;
    t->bf16_dot = wide && cg_has_feature(f, "avx512bf16");
    t->i8_dot = wide ? cg_has_feature(f, "avx512vnni") : t->fma && cg_has_feature(f, "avxvnni");
}

static void
vectors_aarch64(CgTarget *t)
{
    t->fma = true;
    t->vector_bytes = 16;
    t->vector_registers = 32;
    t->bf16_dot = cg_has_feature(t->features, "bf16");
    t->i8_dot = cg_has_feature(t->features, "i8mm");
}

/* Bytes of a cache, or what the table says where the system does not. */
static int64_t
cache_bytes(int which, int64_t otherwise)
{
    const long bytes = sysconf(which);
    return bytes > 0 ? bytes : otherwise;
}

static void
caches(CgTarget *t, const Cpu *known)
{
    t->l1_bytes = known->l1_kib * 1024;
    t->l2_bytes = known->l2_kib * 1024;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    t->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, t->l1_bytes);
    t->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, t->l2_bytes);
#endif
}

static char *
take_message(Arena *arena, char *message)
{
    char *copy = arena_strdup(arena, message);
    LLVMDisposeMessage(message);
    return copy;
}

/* The features decide; the name only schedules instructions, so one we do not know becomes the
 * plainest of its architecture. */
static bool
native(Arena *arena, CgTarget *out, const char **why)
{
    *out = (CgTarget){.triple = take_message(arena, LLVMGetDefaultTargetTriple()),
                      .features = take_message(arena, LLVMGetHostCPUFeatures())};
    const bool x86 = strncmp(out->triple, "x86_64", 6) == 0;
    if (!x86 && strncmp(out->triple, "aarch64", 7) != 0) {
        *why = arena_printf(arena, "this machine is %s; code is made for x86_64 and aarch64",
                            out->triple);
        return false;
    }
    const Cpu *known = cpu_find(take_message(arena, LLVMGetHostCPUName()));
    if (!known || (strcmp(known->arch, "x86_64") == 0) != x86)
        known = cpu_find(x86 ? "x86-64" : "generic");
    out->cpu = known->name;
    (x86 ? vectors_x86 : vectors_aarch64)(out);
    caches(out, known);
    return true;
}

bool
cg_target(Arena *arena, const char *name, CgTarget *out, const char **why)
{
    if (strcmp(name, "native") == 0)
        return native(arena, out, why);
    const Cpu *cpu = cpu_find(name);
    if (!cpu)
        return unknown(arena, name, why);
    *out = named(cpu);
    return true;
}
