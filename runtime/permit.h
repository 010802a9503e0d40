/* runtime/permit.h -- whether this process may use the CPU's matrix unit.
 *
 * Linux hands out the state of AMX's tile registers (8 KiB a thread) on request only: arch_prctl
 * (ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA), since 5.16; Linux kernel documentation, "Using XSTATE
 * features in user space applications". Older kernels, and filters of system calls, refuse. Asking
 * again is harmless, and a thread made later has what its process has. */
#ifndef SSMC_RUNTIME_PERMIT_H
#define SSMC_RUNTIME_PERMIT_H

#include <stdbool.h>

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

static inline bool
abi_matrix_allowed(void)
{
    enum { ARCH_REQ_XCOMP_PERM_ = 0x1023, XFEATURE_XTILEDATA_ = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_XTILEDATA_) == 0;
}
#else
static inline bool
abi_matrix_allowed(void)
{
    return false;
}
#endif

#endif
