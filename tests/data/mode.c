/* tests/data/mode.c -- a program that rounds upwards and runs a compiled model: its mode of
 * arithmetic is its own afterwards, and that of kernels takes denormals as 0. */
#include <fenv.h>
#include <float.h>
#include <stdio.h>

#include "model.h"
#include "runtime/float_mode.h"

/* The flags of exceptions seen are no mode. */
static RtFloatMode
mode(void)
{
#if defined(__x86_64__)
    return rt_float_mode() & ~(RtFloatMode)0x3f;
#else
    return rt_float_mode();
#endif
}

static int
flushes(void)
{
    volatile float least = FLT_MIN, half = 0.5f, denormal = FLT_MIN / 2, huge = FLT_MAX;
    return least * half == 0 && denormal * huge == 0;
}

int
main(void)
{
    const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    ssmc_model *model;
    ssmc_session *session;
    fesetround(FE_UPWARD);
    const RtFloatMode before = mode();
    if (ssmc_compiled_open(model_compiled(), NULL, &model) ||
        ssmc_session_open(model, 1, 2, &session) || ssmc_prefill(session, 0, ids, 8, NULL) ||
        !ssmc_prefill(session, 0, ids, 0, NULL))
        return 1;
    const int kept = mode() == before && fegetround() == FE_UPWARD && !flushes();
    rt_float_mode_kernels();
    printf("%d %d\n", kept, flushes());
    ssmc_session_close(session);
    ssmc_model_close(model);
    return 0;
}
