/* runtime/float_mode.h -- the mode of floating-point arithmetic that kernels run in.
 *
 * Decays of SSD underflow: exp(-90) is a denormal f32. x86 makes and reads such numbers by
 * microcode, at a hundred times the cost of others, and nothing needs them. So kernels run with
 * denormal operands and results taken as 0, rounding to nearest and no exception trapping, whatever
 * mode the caller's thread is in: what a kernel computes does not depend on which thread runs it.
 * The conversions of f16 keep denormal halves, which are no denormals in f32. */
#ifndef SSMC_RUNTIME_FLOAT_MODE_H
#define SSMC_RUNTIME_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* The control register of this thread's arithmetic; on x86 with the flags of exceptions seen. */
typedef uint64_t RtFloatMode;

static inline RtFloatMode
rt_float_mode(void)
{
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    RtFloatMode fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
#else
    return 0;
#endif
}

static inline void
rt_float_mode_set(RtFloatMode mode)
{
#if defined(__x86_64__)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
    (void)mode;
#endif
}

/* This thread computes as kernels do; returns the mode it was in. */
static inline RtFloatMode
rt_float_mode_kernels(void)
{
    const RtFloatMode before = rt_float_mode();
#if defined(__x86_64__)
    /* Intel SDM, MXCSR: exceptions masked, denormal operands and results are 0. */
    rt_float_mode_set(_MM_MASK_MASK | _MM_FLUSH_ZERO_ON | 0x40);
#elif defined(__aarch64__)
    rt_float_mode_set(UINT64_C(1) << 24); /* FPCR.FZ */
#endif
    return before;
}

#endif
