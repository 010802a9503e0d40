/* runtime/permit.h -- whether this process may use the CPU's matrix unit.
 *
 * Linux hands out the state of AMX's tile registers (8 KiB a thread) on request only: arch_prctl
 * (ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA), since 5.16; Linux kernel documentation, "Using XSTATE
 * features in user space applications". Older kernels, and filters of system calls, refuse. A
 * thread made later has what its process has. */
#ifndef SSMC_RUNTIME_PERMIT_H
#define SSMC_RUNTIME_PERMIT_H

#include <stdbool.h>

/* What users are told where it is refused, after "this process may not use AMX". */
#define ABI_REFUSED ": the kernel, or a filter of system calls, refuses it; vectors are used"

#if defined(__x86_64__) && defined(__linux__)
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Asks once. Threads that come here at the same time ask twice, which does no harm. */
static inline bool
abi_matrix_allowed(void)
{
    enum { ARCH_REQ_XCOMP_PERM_ = 0x1023, XFEATURE_XTILEDATA_ = 18 };
    enum { UNKNOWN, ALLOWED, REFUSED };
    static atomic_int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == UNKNOWN) {
        const long refused = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_XTILEDATA_);
        answer = refused ? REFUSED : ALLOWED;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == ALLOWED;
}
#else
static inline bool
abi_matrix_allowed(void)
{
    return false;
}
#endif

#endif
