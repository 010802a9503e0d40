/* runtime/cuda/image.c -- a program's code on a GPU: the device's context, the code that the driver
 * makes of the program's PTX, and its kernels by name; what became of the device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cuda/row.h"

/* ---- faults -------------------------------------------------------------------------------- */

static void
set_lost(RtImage *image)
{
    pthread_mutex_lock(&image->mutex);
    if (!atomic_load_explicit(&image->lost, memory_order_relaxed))
        snprintf(image->why, sizeof image->why, "%s", ssmc_error());
    atomic_store_explicit(&image->lost, true, memory_order_release);
    pthread_mutex_unlock(&image->mutex);
}

static ssmc_status
say_lost(RtImage *image)
{
    if (!atomic_load_explicit(&image->lost, memory_order_acquire))
        return SSMC_OK;
    return rt_fail(SSMC_LOST,
                   "the GPU (%s) is lost, and what was in its memory with it: %s; models that are "
                   "closed can be opened anew",
                   image->gpu.name, image->why);
}

ssmc_status
cuda_check(RtImage *image, CudaResult result, const char *what)
{
    if (result == CUDA_OK)
        return SSMC_OK;
    const ssmc_status status = cuda_fault(image->cuda, result, what);
    if (status != SSMC_LOST)
        return status;
    set_lost(image);
    return say_lost(image);
}

ssmc_status
cuda_check_memory(RtImage *image, CudaResult result, size_t bytes, const char *of_what)
{
    size_t available = 0, total = 0;
    const ssmc_status status = cuda_check(image, result, "taking memory of the GPU");
    if (status != SSMC_NO_MEMORY)
        return status;
    image->cuda->MemInfo(&available, &total);
    return rt_fail(status,
                   "no memory of the GPU for %s: %zu bytes, and %zu of its %zu are free "
                   "(%s)",
                   of_what, bytes, available, total, image->gpu.name);
}

bool
cuda_is_ours(const RtImage *image)
{
    return image->process == getpid();
}

/* Whether the device can be used in this process. */
static ssmc_status
check_image(RtImage *image)
{
    if (!cuda_is_ours(image))
        return rt_fail(
            SSMC_BAD_ARGUMENT,
            "the model is on a GPU of process %ld, which opened it, and not of this fork "
            "of it, %ld",
            (long)image->process, (long)getpid());
    return say_lost(image);
}

ssmc_status
cuda_enter(RtImage *image)
{
    const ssmc_status status = check_image(image);
    if (status != SSMC_OK)
        return status;
    return cuda_check(image, image->cuda->ContextPush(image->context), "the GPU's context");
}

ssmc_status
cuda_check_queue(const RtQueue *q)
{
    const ssmc_status status = check_image(q->image);
    if (status != SSMC_OK || !q->broken)
        return status;
    return rt_fail(SSMC_IO, "the session is of no use since one of its passes failed: %s", q->why);
}

ssmc_status
cuda_enter_queue(const RtQueue *q)
{
    const ssmc_status status = cuda_check_queue(q);
    return status == SSMC_OK ? cuda_enter(q->image) : status;
}

void
cuda_leave(RtImage *image)
{
    CudaContext context;
    image->cuda->ContextPop(&context);
}

/* ---- the device ---------------------------------------------------------------------------- */

static ssmc_status
look_at_device(RtImage *image)
{
    const char *target = image->abi->target;
    int needs = 0, end = 0;
    const ssmc_status status = cuda_look(image->cuda, &image->device, &image->gpu);
    if (status != SSMC_OK)
        return status;
    if (sscanf(target, "sm_%d%n", &needs, &end) != 1 || (target[end] && strcmp(target + end, "a")))
        return rt_fail(SSMC_BAD_FILE, "program '%s' is for an unknown GPU: %s",
                       rt_quote(image->abi->name).text, rt_quote(target).text);
    /* Code for an architecture with an `a` runs on no other. */
    const int has = image->gpu.capability;
    if (target[end] ? has == needs : has >= needs)
        return SSMC_OK;
    return rt_fail(SSMC_UNSUPPORTED,
                   "the model was compiled for GPUs %s sm_%d, and the one here (%s) is sm_%d",
                   target[end] ? "that are" : "from", needs, image->gpu.name, has);
}

/* How much memory is mapped at a time. */
static ssmc_status
look_at_memory(RtImage *image)
{
    int maps = 0;
    const CudaMemoryKind kind = {
        .type = CUDA_MEMORY_PINNED, .location = {CUDA_LOCATION_DEVICE, image->device}
    };
    CudaResult result = image->cuda->DeviceAttribute(&maps, CUDA_MAPS_MEMORY, image->device);
    if (result == CUDA_OK && maps)
        result = image->cuda->Granularity(&image->granule, &kind, CUDA_GRANULARITY_MINIMUM);
    return cuda_check(image, result, "looking at the GPU's memory");
}

/* ---- the code ------------------------------------------------------------------------------ */

/* What the driver's compiler says begins with the reason. */
static ssmc_status
load_fault(RtImage *image, CudaResult result, char *log)
{
    char what[96];
    log[strcspn(log, "\n")] = '\0';
    snprintf(what, sizeof what, "the GPU's driver, of CUDA %d.%d, does not take the model's code",
             image->gpu.driver / 10, image->gpu.driver % 10);
    const ssmc_status status = cuda_check(image, result, what);
    if (status == SSMC_LOST || !*log)
        return status;
    return rt_fail(status, "%s: %s (%d)", what, rt_quote(log).text, result);
}

static ssmc_status
load_module(RtImage *image)
{
    char log[1024] = "";
    int options[] = {CUDA_JIT_LOG, CUDA_JIT_LOG_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof log};
    const CudaResult result = image->cuda->ModuleLoad(&image->module, image->abi->image,
                                                      RT_COUNT(options), options, values);
    log[sizeof log - 1] = '\0';
    return result == CUDA_OK ? SSMC_OK : load_fault(image, result, log);
}

static ssmc_status
find_kernel(RtImage *image, int i)
{
    const AbiLaunch *launch = &image->abi->launches[i];
    char what[192];
    if (launch->cluster > 1 && !image->cuda->LaunchEx)
        return rt_fail(SSMC_UNSUPPORTED, "kernel %s: this driver has no cuLaunchKernelEx",
                       rt_quote(launch->symbol).text);
    if (launch->maps > 0 && !image->cuda->MapMake)
        return rt_fail(SSMC_UNSUPPORTED, "kernel %s: this driver has no cuTensorMapEncodeTiled",
                       rt_quote(launch->symbol).text);
    CudaResult result =
        image->cuda->ModuleFunction(&image->function[i], image->module, launch->symbol);
    if (result == CUDA_OK && launch->shared_bytes > CUDA_SHARED_BYTES)
        result = image->cuda->FunctionSet(image->function[i], CUDA_FUNCTION_SHARED_BYTES,
                                          launch->shared_bytes);
    snprintf(what, sizeof what, "kernel %s with %d bytes of shared memory",
             rt_quote(launch->symbol).text, (int)launch->shared_bytes);
    return cuda_check(image, result, what);
}

static ssmc_status
load(RtImage *image)
{
    const int kernels = image->abi->nlaunches;
    image->function = calloc((size_t)kernels + 1, sizeof *image->function);
    if (!image->function)
        return rt_fail_memory((size_t)kernels * sizeof *image->function, "a list of kernels");
    ssmc_status status = look_at_memory(image);
    if (status == SSMC_OK)
        status = load_module(image);
    for (int i = 0; i < kernels && status == SSMC_OK; i++)
        status = find_kernel(image, i);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------- */

ssmc_status
cuda_open(const AbiProgram *abi, RtImage **out)
{
    const CudaDriver *cuda;
    *out = NULL;
    ssmc_status status = cuda_driver(&cuda);
    if (status != SSMC_OK)
        return status;
    RtImage *image = calloc(1, sizeof *image);
    if (!image)
        return rt_fail_memory(sizeof *image, "a program's code");
    image->cuda = cuda;
    image->abi = abi;
    image->process = getpid();
    pthread_mutex_init(&image->mutex, NULL);
    status = look_at_device(image);
    if (status == SSMC_OK)
        status = cuda_check(image, cuda->ContextRetain(&image->context, image->device),
                            "taking the GPU");
    if (status == SSMC_OK)
        status = cuda_enter(image);
    if (status == SSMC_OK) {
        status = load(image);
        cuda_leave(image);
    }
    if (status == SSMC_OK)
        *out = image;
    else
        cuda_close(image);
    return status;
}

/* Also of a device that is lost: the last model that lets go of its context ends the context, and
 * with it the loss. */
void
cuda_close(RtImage *image)
{
    if (!image)
        return;
    if (image->context && cuda_is_ours(image)) {
        if (image->module && image->cuda->ContextPush(image->context) == CUDA_OK) {
            image->cuda->ModuleUnload(image->module);
            cuda_leave(image);
        }
        image->cuda->ContextRelease(image->device);
    }
    pthread_mutex_destroy(&image->mutex);
    free(image->function);
    free(image);
}
