/* runtime/cuda/device_memory.c -- memory of a GPU, memory of the host that is copied there fast,
 * and addresses for what grows.
 *
 * What grows has addresses for all that it may come to, and memory of one granule after the other,
 * of 2 MiB as a rule, mapped before a pass writes there. A device that cannot map memory gets all
 * of it at once. */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/row.h"

/* ---- pieces -------------------------------------------------------------------------------- */

static ssmc_status
set_zero(RtImage *image, CudaAddress at, size_t bytes)
{
    CudaResult result = image->cuda->Set(at, 0, bytes, NULL);
    if (result == CUDA_OK)
        result = image->cuda->StreamWait(NULL);
    return cuda_check(image, result, "clearing memory of the GPU");
}

ssmc_status
cuda_alloc(RtImage *image, size_t bytes, const char *of_what, char **out)
{
    CudaAddress address = 0;
    const size_t some = bytes ? bytes : 1;
    *out = NULL;
    ssmc_status status = cuda_enter(image);
    if (status != SSMC_OK)
        return status;
    status = cuda_check_memory(image, image->cuda->MemAlloc(&address, some), bytes, of_what);
    if (status == SSMC_OK) {
        *out = (char *)(uintptr_t)address;
        status = set_zero(image, address, some);
    }
    cuda_leave(image);
    return status;
}

void
cuda_free(RtImage *image, char *there, size_t bytes)
{
    (void)bytes;
    if (!cuda_is_ours(image) || image->cuda->ContextPush(image->context) != CUDA_OK)
        return;
    image->cuda->MemFree(cuda_address(there));
    cuda_leave(image);
}

ssmc_status
cuda_lock(RtImage *image, size_t bytes, const char *of_what, char **out)
{
    void *here = NULL;
    *out = NULL;
    ssmc_status status = cuda_enter(image);
    if (status != SSMC_OK)
        return status;
    const CudaResult result = image->cuda->HostAlloc(&here, bytes, CUDA_HOST_PORTABLE);
    status = cuda_check(image, result, "locking memory of the host for copies to the GPU");
    cuda_leave(image);
    if (status == SSMC_NO_MEMORY)
        return rt_fail_memory(bytes, of_what);
    if (status == SSMC_OK)
        *out = memset(here, 0, bytes);
    return status;
}

void
cuda_unlock(RtImage *image, char *here, size_t bytes)
{
    (void)bytes;
    if (!cuda_is_ours(image) || image->cuda->ContextPush(image->context) != CUDA_OK)
        return;
    image->cuda->HostFree(here);
    cuda_leave(image);
}

/* ---- what grows ---------------------------------------------------------------------------- */

static ssmc_status
reserve(RtQueue *q, size_t bytes)
{
    RtImage *image = q->image;
    CudaAddress address = 0;
    if (!rt_round_up(bytes, image->granule, &bytes))
        return rt_fail_memory(SIZE_MAX, "growing states");
    q->granules = bytes / image->granule;
    q->mapped = calloc(q->granules, 1);
    if (!q->mapped)
        return rt_fail_memory(q->granules, "growing states");
    const CudaResult result = image->cuda->AddressReserve(&address, bytes, 0, 0, 0);
    const ssmc_status status = cuda_check(image, result, "reserving addresses of the GPU");
    q->range = (char *)(uintptr_t)address;
    return status;
}

ssmc_status
cuda_reserve(RtQueue *q, size_t bytes, char **out)
{
    ssmc_status status = SSMC_OK;
    *out = NULL;
    if (q->image->granule == 0) {
        status = cuda_alloc(q->image, bytes, "growing states", &q->range);
    } else {
        status = cuda_enter(q->image);
        if (status != SSMC_OK)
            return status;
        status = reserve(q, bytes);
        cuda_leave(q->image);
    }
    *out = status == SSMC_OK ? q->range : NULL;
    return status;
}

/* One granule: memory of its own, which is freed as it is unmapped. */
static ssmc_status
map_one(RtQueue *q, size_t which)
{
    const CudaDriver *cuda = q->image->cuda;
    const size_t bytes = q->image->granule;
    const CudaAddress at = cuda_address(q->range) + which * bytes;
    const CudaLocation here = {CUDA_LOCATION_DEVICE, q->image->device};
    const CudaMemoryKind kind = {.type = CUDA_MEMORY_PINNED, .location = here};
    const CudaAccess access = {here, CUDA_ACCESS_READ_WRITE};
    CudaMemory memory;
    CudaResult result = cuda->MemCreate(&memory, bytes, &kind, 0);
    if (result != CUDA_OK)
        return cuda_check_memory(q->image, result, bytes, "growing states");
    result = cuda->MemMap(at, bytes, 0, memory, 0);
    q->mapped[which] = result == CUDA_OK;
    cuda->MemRelease(memory);
    if (result == CUDA_OK)
        result = cuda->MemAccess(at, bytes, &access, 1);
    if (result == CUDA_OK)
        result = cuda->Set(at, 0, bytes, q->stream);
    if (result != CUDA_OK && q->mapped[which]) {
        cuda->MemUnmap(at, bytes);
        q->mapped[which] = 0;
    }
    return cuda_check(q->image, result, "mapping memory of the GPU");
}

ssmc_status
cuda_grow(RtQueue *q, const char *from, size_t bytes)
{
    if (!q->mapped || bytes == 0)
        return SSMC_OK;
    const size_t granule = q->image->granule, begin = (size_t)(from - q->range);
    const size_t first = begin / granule, last = (begin + bytes - 1) / granule;
    if (!memchr(q->mapped + first, 0, last - first + 1))
        return SSMC_OK;
    ssmc_status status = cuda_enter(q->image);
    if (status != SSMC_OK)
        return status;
    for (size_t i = first; i <= last && status == SSMC_OK; i++)
        if (!q->mapped[i])
            status = map_one(q, i);
    cuda_leave(q->image);
    return status;
}

static void
unmap_all(RtQueue *q)
{
    const CudaDriver *cuda = q->image->cuda;
    const size_t granule = q->image->granule;
    cuda->StreamWait(q->stream);
    for (size_t i = 0; i < q->granules; i++)
        if (q->mapped[i])
            cuda->MemUnmap(cuda_address(q->range) + i * granule, granule);
    cuda->AddressFree(cuda_address(q->range), q->granules * granule);
}

void
cuda_release(RtQueue *q, char *range, size_t bytes)
{
    if (!q->mapped)
        cuda_free(q->image, range, bytes);
    else if (cuda_is_ours(q->image) && q->image->cuda->ContextPush(q->image->context) == CUDA_OK) {
        unmap_all(q);
        cuda_leave(q->image);
    }
    free(q->mapped);
    q->mapped = NULL;
}
