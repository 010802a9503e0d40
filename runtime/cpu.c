/* runtime/cpu.c -- which features of features.def this machine has, as the CPU and the operating
 * system together offer them. The one place where the runtime asks the compiler for an extension.
 */
#include "runtime/internal.h"
#include "runtime/permit.h"

#if defined(__x86_64__)
#include <cpuid.h>
#define HAS(name)                 __builtin_cpu_supports(name)
#define FEATURE_x86_64(id, test)  have |= (of & ABI_BIT(id)) && (test) ? ABI_BIT(id) : 0;
#define FEATURE_aarch64(id, test) /* another architecture's */

/* A bit of what CPUID answers; registers are eax, ebx, ecx, edx. */
static bool
cpuid_bit(unsigned leaf, unsigned subleaf, int reg, int bit)
{
    unsigned r[4] = {0};
    return __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) && (r[reg] >> bit & 1);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
#define FEATURE_x86_64(id, test)  /* another architecture's */
#define FEATURE_aarch64(id, test) have |= (of & ABI_BIT(id)) && (test) ? ABI_BIT(id) : 0;
#else
#define FEATURE_x86_64(id, test)
#define FEATURE_aarch64(id, test)
#endif

uint64_t
rt_cpu_features(uint64_t of)
{
    uint64_t have = 0;
#if defined(__aarch64__)
    const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
#endif
#define FEATURE(bit, arch, id, llvm, test) FEATURE_##arch(id, test)
#include "runtime/features.def"
#undef FEATURE
    return have;
}

#define FEATURE(bit, arch, id, llvm, test)                                                         \
    _Static_assert(ABI_HAS_##id == bit, "rows of features.def are in the order of their bits");
#include "runtime/features.def"
#undef FEATURE

static const char *const feature_name[ABI_FEATURES] = {
#define FEATURE(bit, arch, id, llvm, test) [ABI_HAS_##id] = llvm,
#include "runtime/features.def"
#undef FEATURE
};

const char *
rt_cpu_lacks(uint64_t needs)
{
    const uint64_t lacks = needs & ~rt_cpu_features(needs);
    for (int i = 0; i < 64; i++)
        if (lacks >> i & 1)
            return i < ABI_FEATURES ? feature_name[i] : "a feature that this runtime does not know";
    return NULL;
}
