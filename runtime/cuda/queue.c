/* runtime/cuda/queue.c -- what is done on a GPU for a session: a stream of copies and launches; and
 * the table of the device. */
#include <stdlib.h>
#include <string.h>

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

/* False: there is no locked memory. */
static bool
open_stages(RtQueue *q)
{
    const CudaDriver *cuda = q->image->cuda;
    for (int i = 0; i < CUDA_STAGES; i++) {
        CudaStage *stage = &q->stage[i];
        void *here = stage->here;
        if (!here && cuda->HostAlloc(&here, CUDA_PIECE, CUDA_HOST_PORTABLE) != CUDA_OK)
            return false;
        stage->here = here;
        if (!stage->taken && cuda->EventCreate(&stage->taken, CUDA_EVENT_NO_TIME) != CUDA_OK)
            return false;
    }
    return true;
}

static void
close_stages(RtQueue *q)
{
    for (int i = 0; i < CUDA_STAGES; i++) {
        if (q->stage[i].here)
            q->image->cuda->HostFree(q->stage[i].here);
        if (q->stage[i].taken)
            q->image->cuda->EventDestroy(q->stage[i].taken);
    }
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
        close_stages(q);
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
        q->params =
            calloc((size_t)most_operands(image->abi) + 1 + ABI_MOST_MAPS, sizeof *q->params);
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

/* Piece by piece through the stages: while the GPU reads one, the next is filled, which reads the
 * file that the bytes are mapped from. */
static CudaResult
put_staged(RtQueue *q, char *there, const char *here, size_t bytes)
{
    const CudaDriver *cuda = q->image->cuda;
    CudaResult result = CUDA_OK;
    size_t piece = 0;
    for (size_t at = 0; at < bytes && result == CUDA_OK; at += CUDA_PIECE, piece++) {
        const CudaStage *stage = &q->stage[piece % CUDA_STAGES];
        const size_t some = bytes - at < CUDA_PIECE ? bytes - at : CUDA_PIECE;
        if (piece >= CUDA_STAGES)
            result = cuda->EventWait(stage->taken);
        if (result != CUDA_OK)
            break;
        memcpy(stage->here, here + at, some);
        result = cuda->Put(cuda_address(there + at), stage->here, some, q->stream);
        if (result == CUDA_OK)
            result = cuda->EventRecord(stage->taken, q->stream);
    }
    return result;
}

static ssmc_status
queue_put(RtQueue *q, char *there, const void *here, size_t bytes)
{
    const ssmc_status status = bytes ? cuda_enter_queue(q) : SSMC_OK;
    if (status != SSMC_OK || bytes == 0)
        return status;
    /* From memory that is not locked the driver copies by itself, and slower. */
    const bool staged = bytes > CUDA_STAGES * (size_t)CUDA_PIECE && open_stages(q);
    const CudaResult result =
        staged ? put_staged(q, there, here, bytes)
               : q->image->cuda->Put(cuda_address(there), here, bytes, q->stream);
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
    .halves = 96,
    .open = cuda_open,
    .close = cuda_close,
    .name = image_name,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .lock = cuda_lock,
    .unlock = cuda_unlock,
    .begin = queue_begin,
    .end = queue_end,
    .check = cuda_check_queue,
    .put = queue_put,
    .get = queue_get,
    .copy = queue_copy,
    .zero = queue_zero,
    .reserve = cuda_reserve,
    .grow = cuda_grow,
    .shrink = queue_zero, /* what a sequence had once, it may have again */
    .release = cuda_release,
    .run = cuda_run,
    .start = cuda_start,
    .finish = cuda_finish,
};
