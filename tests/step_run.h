/* tests/step_run.h -- one step of a compiled program, by as many threads as a test wants, one after
 * the other, in the mode that kernels run in. */
#ifndef SSMC_TESTS_STEP_RUN_H
#define SSMC_TESTS_STEP_RUN_H

#include "runtime/abi.h"
#include "runtime/float_mode.h"

/* scratch: of thread 0; stride: bytes to the next thread's. */
static inline void
step_run(const AbiStep *step, void *const *operand, const AbiCall *call, char *scratch,
         int64_t stride, int threads)
{
    const int64_t pieces = step->pieces ? step->pieces : 1;
    AbiShare share = {.threads = step->pieces ? threads : 1};
    share.parts = share.threads * pieces;
    const RtFloatMode before = rt_float_mode_kernels();
    for (int64_t thread = 0; thread < share.threads; thread++) {
        share.scratch = scratch + thread * stride;
        share.before = -1;
        for (int64_t i = 0; i < pieces; i++) {
            share.part = thread * pieces + i;
            step->run(operand, call, &share);
            share.before = share.part;
        }
    }
    rt_float_mode_set(before);
}

#endif
