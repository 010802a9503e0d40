/* codegen/needs.c -- what a target's code asks of the machine that runs it. */
#include <string.h>

#include "codegen/module.h"

static const struct {
    const char *cpu;
    uint64_t bits;
} needs_table[] = {
#define NEEDS(cpu, bits) {cpu, bits},
#include "codegen/needs.def"
#undef NEEDS
};

static const struct {
    const char *arch, *llvm;
} feature_table[ABI_FEATURES] = {
#define FEATURE(arch, id, llvm, test) [ABI_HAS_##id] = {#arch, llvm},
#include "runtime/features.def"
#undef FEATURE
};

/* Of a native target: the features of the table that this machine has. */
static uint64_t
native_needs(const CgTarget *target)
{
    uint64_t bits = 0;
    for (int i = 0; i < ABI_FEATURES; i++) {
        const char *arch = feature_table[i].arch;
        const bool here = strncmp(target->triple, arch, strlen(arch)) == 0;
        if (here && cg_has_feature(target->features, feature_table[i].llvm))
            bits |= UINT64_C(1) << i;
    }
    return bits;
}

uint64_t
cg_target_needs(const CgTarget *target)
{
    if (target->features[0])
        return native_needs(target);
    for (size_t i = 0; i < COUNT_OF(needs_table); i++)
        if (strcmp(needs_table[i].cpu, target->cpu) == 0)
            return needs_table[i].bits;
    die("needs.def has no row for %s", target->cpu);
}

static int
bits_in(uint64_t set)
{
    int count = 0;
    for (; set; set &= set - 1)
        count++;
    return count;
}

bool
cg_target_asks_more(const CgTarget *a, const CgTarget *b)
{
    if (a->vector_bytes != b->vector_bytes)
        return a->vector_bytes > b->vector_bytes;
    if (a->bf16_dot != b->bf16_dot)
        return a->bf16_dot;
    if (a->i8_dot != b->i8_dot)
        return a->i8_dot;
    return bits_in(cg_target_needs(a)) > bits_in(cg_target_needs(b));
}

static bool
same_arch(const CgTarget *a, const CgTarget *b)
{
    const size_t n = strcspn(a->triple, "-");
    return strncmp(a->triple, b->triple, n) == 0 && b->triple[n] == '-';
}

const char *
cg_target_lacks(const CgTarget *host, const CgTarget *target)
{
    if (!same_arch(host, target))
        return "its architecture";
    const uint64_t lacks = cg_target_needs(target) & ~cg_target_needs(host);
    for (int i = 0; i < ABI_FEATURES; i++)
        if (lacks >> i & 1)
            return feature_table[i].llvm;
    return NULL;
}
