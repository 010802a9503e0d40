/* runtime/cuda/launch.c -- a pass on a GPU: what it is told goes there, its kernels are launched
 * one after the other, its logits come back.
 *
 * A pass of a shape that was seen before is a graph of all that, made the second time and replayed
 * from then on: what kernels are called with depends on the shape alone, as what they read lies at
 * the same addresses while the session lives. So decoding is one call of the driver a token. Shapes
 * that come once, as the last pass of a prompt does, are launched as they are.
 *
 * A kernel whose code waits for those before it begins while they end, but for the first of a pass,
 * which follows a copy. A driver that does not know such launches, or refuses one, gets ordinary
 * ones. */
#include <stdio.h>
#include <string.h>

#include "runtime/cuda/row.h"

/* ---- launches ------------------------------------------------------------------------------ */

/* Some rows of a pass: what their steps are launched on, one after the other. */
typedef struct {
    CudaStream stream;
    RtRows rows;
    bool behind; /* the stream's last is a launch */
} Branch;

bool
cuda_begins_early(const RtImage *image)
{
    return image->cuda->LaunchEx && image->gpu.driver >= CUDA_RECORDS_EARLY;
}

/* In one of the ways that need it: early, or in clusters, or both. */
static CudaResult
launch_so(RtQueue *q, CudaFunction function, const AbiLaunch *l, const CudaLaunch *plain,
          bool early, bool clusters)
{
    CudaLaunchAttribute list[2];
    unsigned count = 0;
    if (early)
        list[count++] = (CudaLaunchAttribute){.id = CUDA_LAUNCH_PROGRAMMATIC, .value = {.yes = 1}};
    if (clusters)
        list[count++] = (CudaLaunchAttribute){.id = CUDA_LAUNCH_CLUSTER,
                                              .value = {.blocks = {(unsigned)l->cluster, 1, 1}}};
    CudaLaunch how = *plain;
    how.attributes = list;
    how.count = count;
    return q->image->cuda->LaunchEx(&how, function, q->params, NULL);
}

static CudaResult
make_map(const RtQueue *q, const RtRows *rows, const AbiStep *step, const AbiMap *map, CudaMap *out)
{
    static const unsigned steps[ABI_MAP_RANK] = {1, 1, 1, 1, 1};
    unsigned long long dim[ABI_MAP_RANK], stride[ABI_MAP_RANK];
    unsigned box[ABI_MAP_RANK];
    for (int i = 0; i < map->rank; i++) {
        dim[i] = (unsigned long long)map->dim[i];
        stride[i] = (unsigned long long)map->stride[i];
        box[i] = (unsigned)map->box[i];
    }
    dim[map->rank - 1] *= (unsigned long long)abi_count(map->of, rows->call);
    char *at = (char *)rows->operand[step->first_operand + map->operand] + map->offset;
    return q->image->cuda->MapMake(out, CUDA_MAP_BF16, (unsigned)map->rank, at, dim, stride + 1,
                                   box, steps, 0, CUDA_MAP_SWIZZLE_128, CUDA_MAP_PROMOTION_256, 0);
}

/* Nothing is launched over no rows. */
static CudaResult
launch(RtQueue *q, Branch *on, const AbiStep *step)
{
    const RtRows *rows = &on->rows;
    const AbiLaunch *l = &q->image->abi->launches[step->launch];
    const CudaFunction function = q->image->function[step->launch];
    int64_t grid[3];
    const bool many = abi_grid(l, rows->call, grid);
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0)
        return CUDA_OK;
    const CudaLaunch plain = {
        .grid = {(unsigned)grid[0],    (unsigned)grid[1], (unsigned)grid[2]},
        .block = {(unsigned)l->threads, 1,                 1                },
        .shared_bytes = (unsigned)abi_shared_bytes(l, many),
        .stream = on->stream,
    };
    for (int i = 0; i < step->operands; i++)
        q->params[i] = (void *)&rows->operand[step->first_operand + i];
    q->params[step->operands] = (void *)rows->call;
    CudaMap maps[ABI_MOST_MAPS];
    for (int i = 0; i < l->maps; i++) {
        const CudaResult result = make_map(q, rows, step, &l->map[i], &maps[i]);
        if (result != CUDA_OK)
            return result;
        q->params[step->operands + 1 + i] = &maps[i];
    }
    const bool early = on->behind && q->early && l->waits;
    on->behind = true;
    const bool clusters = l->cluster > 1 && many;
    if (early) {
        const CudaResult result = launch_so(q, function, l, &plain, true, clusters);
        if (result != CUDA_NOT_SUPPORTED)
            return result;
        q->early = false;
    }
    if (clusters)
        return launch_so(q, function, l, &plain, false, true);
    return q->image->cuda->Launch(function, plain.grid[0], plain.grid[1], plain.grid[2],
                                  plain.block[0], 1, 1, plain.shared_bytes, on->stream, q->params,
                                  NULL);
}

static CudaResult
tell(RtQueue *q, const RtRun *run)
{
    const RtCopy *c = &run->told;
    return q->image->cuda->Put(cuda_address(c->there), c->here, c->bytes, q->stream);
}

static CudaResult
feed(RtQueue *q, const RtRun *run)
{
    const RtCopy *c = &run->fed;
    return c->bytes ? q->image->cuda->Copy(cuda_address(c->there), cuda_address(c->here), c->bytes,
                                           q->stream)
                    : CUDA_OK;
}

static CudaResult
take_back(RtQueue *q, const RtRun *run)
{
    const RtCopy *c = &run->back;
    return c->bytes ? q->image->cuda->Get(c->here, cuda_address(c->there), c->bytes, q->stream)
                    : CUDA_OK;
}

static CudaResult
steps_of(RtQueue *q, const RtRun *run, CudaStream stream, RtRows rows)
{
    Branch on = {.stream = stream, .rows = rows};
    CudaResult result = CUDA_OK;
    for (int r = 0; r < RT_RANGES; r++)
        for (int i = 0; i < run->range[r].count && result == CUDA_OK; i++)
            result = launch(q, &on, &run->abi->steps[run->range[r].first + i]);
    return result;
}

/* What follows on one stream comes after all that the other was given. */
static CudaResult
follow(RtQueue *q, CudaStream stream, CudaStream other, CudaEvent event)
{
    const CudaResult result = q->image->cuda->EventRecord(event, other);
    return result == CUDA_OK ? q->image->cuda->StreamFollow(stream, event, 0) : result;
}

/* The rows beside on a stream of their own, which ends in the first whatever fails: nothing that is
 * recorded can end otherwise. */
static CudaResult
steps_beside(RtQueue *q, const RtRun *run)
{
    CudaResult result = follow(q, q->beside, q->stream, q->parted);
    if (result != CUDA_OK)
        return result;
    result = steps_of(q, run, q->beside, run->beside);
    if (result == CUDA_OK)
        result = steps_of(q, run, q->stream, (RtRows){run->operand, run->call});
    const CudaResult joined = follow(q, q->stream, q->beside, q->joined);
    return result == CUDA_OK ? joined : result;
}

static CudaResult
all_of(RtQueue *q, const RtRun *run)
{
    CudaResult result = tell(q, run);
    if (result == CUDA_OK)
        result = feed(q, run);
    if (result == CUDA_OK)
        result = run->beside.call ? steps_beside(q, run)
                                  : steps_of(q, run, q->stream, (RtRows){run->operand, run->call});
    return result == CUDA_OK ? take_back(q, run) : result;
}

/* ---- graphs -------------------------------------------------------------------------------- */

/* The place of a shape: its own, else a free one, else that of the shape seen longest ago. */
static CudaReplay *
replay_of(RtQueue *q, const CudaShape *shape)
{
    CudaReplay *oldest = &q->replay[0];
    for (int i = 0; i < CUDA_REPLAYS; i++) {
        CudaReplay *r = &q->replay[i];
        if (r->used && memcmp(&r->shape, shape, sizeof *shape) == 0)
            return r;
        if (r->used < oldest->used)
            oldest = r;
    }
    if (oldest->exec)
        q->image->cuda->GraphExecDestroy(oldest->exec);
    *oldest = (CudaReplay){.shape = *shape};
    return oldest;
}

static CudaResult
record(RtQueue *q, const RtRun *run, CudaGraphExec *out)
{
    const CudaDriver *cuda = q->image->cuda;
    CudaGraph graph = NULL;
    CudaResult result = cuda->CaptureBegin(q->stream, CUDA_CAPTURE_THREAD_LOCAL);
    if (result != CUDA_OK)
        return result;
    const CudaResult launched = all_of(q, run);
    result = cuda->CaptureEnd(q->stream, &graph);
    if (launched != CUDA_OK)
        result = launched;
    if (result == CUDA_OK)
        result = cuda->GraphMake(out, graph, 0);
    if (graph)
        cuda->GraphDestroy(graph);
    return result;
}

/* What is launched meanwhile is recorded, and does not run. */
static CudaResult
capture(RtQueue *q, const RtRun *run, CudaGraphExec *out)
{
    const bool early = q->early;
    const CudaResult result = record(q, run, out);
    const bool refused = result == CUDA_NOT_SUPPORTED || result == CUDA_CAPTURE_INVALIDATED;
    if (!early || !refused)
        return result;
    q->early = false;
    return record(q, run, out);
}

/* What the rows beside need; what is there already stays. */
static CudaResult
open_beside(RtQueue *q)
{
    const CudaDriver *cuda = q->image->cuda;
    CudaResult result = CUDA_OK;
    if (!q->parted)
        result = cuda->EventCreate(&q->parted, CUDA_EVENT_NO_TIME);
    if (result == CUDA_OK && !q->joined)
        result = cuda->EventCreate(&q->joined, CUDA_EVENT_NO_TIME);
    if (result == CUDA_OK && !q->beside)
        result = cuda->StreamCreate(&q->beside, CUDA_STREAM_NON_BLOCKING);
    return result;
}

/* *ran: not all that was begun may be done if it fails. */
static CudaResult
run_shape(RtQueue *q, const RtRun *run, int slot, bool *ran)
{
    const CudaShape shape = {
        {run->range[0], run->range[1], run->range[2]},
        run->call->rows,
        run->call->picked,
        run->call->nseg,
        run->beside.call ? run->beside.call->rows : 0,
        slot,
        (int64_t)run->fed.bytes
    };
    CudaReplay *replay = replay_of(q, &shape);
    const bool again = replay->used > 0;
    CudaResult result = run->beside.call ? open_beside(q) : CUDA_OK;
    replay->used = ++q->passes;
    if (result == CUDA_OK && again && !replay->exec)
        result = capture(q, run, &replay->exec);
    *ran = result == CUDA_OK;
    if (result != CUDA_OK)
        return result;
    return again ? q->image->cuda->GraphLaunch(replay->exec, q->stream) : all_of(q, run);
}

void
cuda_forget(RtQueue *q)
{
    for (int i = 0; i < CUDA_REPLAYS; i++)
        if (q->replay[i].exec)
            q->image->cuda->GraphExecDestroy(q->replay[i].exec);
    for (int slot = 0; slot < 2; slot++)
        if (q->done[slot])
            q->image->cuda->EventDestroy(q->done[slot]);
    CudaEvent others[] = {q->from, q->to, q->parted, q->joined};
    for (size_t i = 0; i < RT_COUNT(others); i++)
        if (others[i])
            q->image->cuda->EventDestroy(others[i]);
    if (q->beside)
        q->image->cuda->StreamDestroy(q->beside);
}

/* ---- profiles ------------------------------------------------------------------------------ */

static CudaResult
time_step(RtQueue *q, const RtRun *run, int i)
{
    const CudaDriver *cuda = q->image->cuda;
    float milliseconds = 0;
    const double from = run->lanes ? rt_now() : 0;
    CudaResult result = cuda->EventRecord(q->from, q->stream);
    if (result == CUDA_OK)
        result = launch(q,
                        &(Branch){
                            .stream = q->stream, .rows = {run->operand, run->call}
        },
                        &run->abi->steps[i]);
    if (result == CUDA_OK)
        result = cuda->EventRecord(q->to, q->stream);
    if (result == CUDA_OK)
        result = cuda->EventWait(q->to);
    if (result == CUDA_OK)
        result = cuda->EventElapsed(&milliseconds, q->from, q->to);
    if (run->seconds)
        run->seconds[i] += (double)milliseconds * 1e-3;
    if (run->lanes && run->lanes->count < run->lanes->most)
        run->lanes->events[run->lanes->count++] = (RtEvent){i, from, rt_now()};
    return result;
}

/* Each step by itself, waited for. */
static CudaResult
run_timed(RtQueue *q, const RtRun *run)
{
    const CudaDriver *cuda = q->image->cuda;
    CudaResult result = q->from ? CUDA_OK : cuda->EventCreate(&q->from, 0);
    if (result == CUDA_OK && !q->to)
        result = cuda->EventCreate(&q->to, 0);
    if (result == CUDA_OK)
        result = tell(q, run);
    for (int r = 0; r < RT_RANGES; r++)
        for (int i = 0; i < run->range[r].count && result == CUDA_OK; i++)
            result = time_step(q, run, run->range[r].first + i);
    return result == CUDA_OK ? take_back(q, run) : result;
}

/* ---- passes ------------------------------------------------------------------------------- */

/* Leaves the device. ran: the session's states may be anything if it failed. */
static ssmc_status
settle(RtQueue *q, CudaResult result, bool ran)
{
    const ssmc_status status = cuda_check(q->image, result, "running the model on the GPU");
    cuda_leave(q->image);
    if (status != SSMC_OK && ran) {
        q->broken = true;
        snprintf(q->why, sizeof q->why, "%s", ssmc_error());
    }
    return status;
}

ssmc_status
cuda_run(RtQueue *q, RtRun *run)
{
    bool ran = true;
    const ssmc_status status = cuda_enter_queue(q);
    if (status != SSMC_OK)
        return status;
    CudaResult result = run->seconds || run->lanes ? run_timed(q, run) : run_shape(q, run, 0, &ran);
    /* The only wait. How it waits is the context's matter, which is the process's and not ours: by
     * default (CU_CTX_SCHED_AUTO) a thread spins where there are cores for it. */
    if (result == CUDA_OK)
        result = q->image->cuda->StreamWait(q->stream);
    return settle(q, result, ran);
}

ssmc_status
cuda_start(RtQueue *q, RtRun *run, int slot)
{
    bool ran = false;
    const ssmc_status status = cuda_enter_queue(q);
    if (status != SSMC_OK)
        return status;
    CudaResult result = CUDA_OK;
    if (!q->done[slot])
        result = q->image->cuda->EventCreate(&q->done[slot], CUDA_EVENT_NO_TIME);
    if (result == CUDA_OK)
        result = run_shape(q, run, slot, &ran);
    if (result == CUDA_OK)
        result = q->image->cuda->EventRecord(q->done[slot], q->stream);
    return settle(q, result, ran);
}

ssmc_status
cuda_finish(RtQueue *q, int slot)
{
    const ssmc_status status = cuda_enter_queue(q);
    return status == SSMC_OK ? settle(q, q->image->cuda->EventWait(q->done[slot]), true) : status;
}
