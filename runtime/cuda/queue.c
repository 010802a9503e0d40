/* runtime/cuda/queue.c -- what is done on a GPU for a session: a stream of copies and launches; and
 * the table of the device. */
#include <stdlib.h>

#include "runtime/cuda/row.h"

/* ---- a stream ------------------------------------------------------------------------------ */

static int
most_operands(const AbiProgram *abi)
{
    int most = 0;
    for (int i = 0; i < abi->nsteps; i++)
        if (!abi->steps[i].run && abi->steps[i].operands > most)
            most = abi->steps[i].operands;
    return most;
}

static void
queue_end(RtQueue *q)
{
    if (!q)
        return;
    const CudaDriver *cuda = q->image->cuda;
    if (q->stream && cuda_is_ours(q->image) && cuda->ContextPush(q->image->context) == CUDA_OK) {
        cuda->StreamWait(q->stream);
        cuda_forget(q);
        cuda->StreamDestroy(q->stream);
        cuda_leave(q->image);
    }
    free(q->mapped);
    free(q->params);
    free(q);
}

static ssmc_status
queue_begin(RtImage *image, RtQueue **out)
{
    *out = NULL;
    ssmc_status status = cuda_enter(image);
    if (status != SSMC_OK)
        return status;
    RtQueue *q = calloc(1, sizeof *q);
    if (q) {
        q->image = image;
        q->early = cuda_begins_early(image);
        q->params = calloc((size_t)most_operands(image->abi) + 1, sizeof *q->params);
    }
    if (!q || !q->params)
        status = rt_fail_memory(sizeof *q, "a stream of the GPU");
    else
        status = cuda_check(image, image->cuda->StreamCreate(&q->stream, CUDA_STREAM_NON_BLOCKING),
                            "a stream of the GPU");
    cuda_leave(image);
    if (status == SSMC_OK)
        *out = q;
    else
        queue_end(q);
    return status;
}

static ssmc_status
queue_check(const RtQueue *q)
{
    const ssmc_status status = cuda_enter_queue(q);
    if (status == SSMC_OK)
        cuda_leave(q->image);
    return status;
}

/* ---- copies -------------------------------------------------------------------------------- */

/* What is asynchronous is waited for where the host's bytes are to be free again. */
static ssmc_status
done(RtQueue *q, CudaResult result, bool waits, const char *what)
{
    if (result == CUDA_OK && waits)
        result = q->image->cuda->StreamWait(q->stream);
    const ssmc_status status = cuda_check(q->image, result, what);
    cuda_leave(q->image);
    return status;
}

static ssmc_status
queue_put(RtQueue *q, char *there, const void *here, size_t bytes)
{
    const ssmc_status status = bytes ? cuda_enter_queue(q) : SSMC_OK;
    if (status != SSMC_OK || bytes == 0)
        return status;
    const CudaResult result = q->image->cuda->Put(cuda_address(there), here, bytes, q->stream);
    return done(q, result, true, "copying to the GPU");
}

static ssmc_status
queue_get(RtQueue *q, void *here, const char *there, size_t bytes)
{
    const ssmc_status status = bytes ? cuda_enter_queue(q) : SSMC_OK;
    if (status != SSMC_OK || bytes == 0)
        return status;
    const CudaResult result = q->image->cuda->Get(here, cuda_address(there), bytes, q->stream);
    return done(q, result, true, "copying from the GPU");
}

static ssmc_status
queue_copy(RtQueue *q, char *to, const char *from, size_t bytes)
{
    const ssmc_status status = bytes ? cuda_enter_queue(q) : SSMC_OK;
    if (status != SSMC_OK || bytes == 0)
        return status;
    const CudaResult result =
        q->image->cuda->Copy(cuda_address(to), cuda_address(from), bytes, q->stream);
    return done(q, result, false, "copying on the GPU");
}

static ssmc_status
queue_zero(RtQueue *q, char *there, size_t bytes)
{
    const ssmc_status status = bytes ? cuda_enter_queue(q) : SSMC_OK;
    if (status != SSMC_OK || bytes == 0)
        return status;
    const CudaResult result = q->image->cuda->Set(cuda_address(there), 0, bytes, q->stream);
    return done(q, result, false, "clearing memory of the GPU");
}

/* ---- the table ----------------------------------------------------------------------------- */

static const char *
image_name(const RtImage *image)
{
    return image->gpu.name;
}

const RtDevice rt_device_cuda = {
    .apart = true,
    .open = cuda_open,
    .close = cuda_close,
    .name = image_name,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .lock = cuda_lock,
    .unlock = cuda_unlock,
    .begin = queue_begin,
    .end = queue_end,
    .check = queue_check,
    .put = queue_put,
    .get = queue_get,
    .copy = queue_copy,
    .zero = queue_zero,
    .reserve = cuda_reserve,
    .grow = cuda_grow,
    .shrink = queue_zero, /* what a sequence had once, it may have again */
    .release = cuda_release,
    .run = cuda_run,
};
