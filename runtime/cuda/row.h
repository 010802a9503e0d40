/* runtime/cuda/row.h -- what the files of the CUDA device share: a program's code on a GPU and what
 * a session does there. */
#ifndef SSMC_RUNTIME_CUDA_ROW_H
#define SSMC_RUNTIME_CUDA_ROW_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "runtime/cuda/driver.h"
#include "runtime/device.h"

/* Read-only once it is open, but for what became of the device; shared by threads. */
struct RtImage {
    const CudaDriver *cuda;
    const AbiProgram *abi; /* borrowed */
    CudaDevice device;
    CudaContext context; /* the device's primary one, which a program's own use of CUDA has, too */
    CudaModule module;
    CudaFunction *function; /* owns: [nlaunches] */
    size_t granule;         /* bytes that are mapped together; 0: the device maps no memory */
    pid_t process;          /* that has all this: a fork has not */
    RtGpu gpu;
    /* Why it is lost is written once, before it is; no step takes a lock to find that it is not. */
    pthread_mutex_t mutex; /* of writing */
    atomic_bool lost;
    char why[256];
};

/* What a pass was: a graph of its launches and copies does it again. Nothing else that they depend
 * on changes while a session lives. */
typedef struct {
    AbiRange range[RT_RANGES];
    int64_t rows, picked, nseg;
    int64_t beside;    /* rows */
    int64_t slot, fed; /* bytes */
} CudaShape;

typedef struct {
    CudaShape shape;
    CudaGraphExec exec; /* NULL: the shape was seen once */
    uint64_t used;      /* RtQueue.passes when it was seen last; 0: the place is free */
} CudaReplay;

/* A piece of what is copied there: memory of the host that the GPU reads by itself. */
typedef struct {
    char *here;      /* owns: locked, CUDA_PIECE bytes; NULL: there is none */
    CudaEvent taken; /* owns: what it held last has been read */
} CudaStage;
enum { CUDA_PIECE = 2 << 20, CUDA_STAGES = 2 };

/* Steady decoding is one shape; a prompt adds one for its whole passes, and one for its last. */
enum { CUDA_REPLAYS = 8 };

struct RtQueue {
    RtImage *image; /* borrowed */
    CudaStream stream;
    void **params; /* owns: of one launch */
    CudaReplay replay[CUDA_REPLAYS];
    uint64_t passes;
    CudaStage stage[CUDA_STAGES]; /* of the first large copy on */
    CudaEvent done[2];  /* owns: of the passes of each slot; NULL: there were none so far */
    CudaEvent from, to; /* owns: of a profile; NULL: there was none so far */
    /* Of passes with rows beside (RtRun), whose steps have a stream of their own, from the first
     * event on and up to the second. Owns them; NULL: there was none so far. */
    CudaStream beside;
    CudaEvent parted, joined;
    bool early;  /* launches may begin while those before them end */
    bool broken; /* a pass failed midway: its states may be anything */
    char why[256];
    /* The range of what grows. */
    char *range;
    unsigned char *mapped; /* owns: of each granule, whether it is; NULL: all are one allocation */
    size_t granules;
};

/* Every use of the driver is between the two: the thread's context is what it was afterwards.
 * SSMC_LOST, or SSMC_BAD_ARGUMENT in a fork: there is no leave then. */
ssmc_status cuda_enter(RtImage *image);
void cuda_leave(RtImage *image);
/* For a session: SSMC_IO, too, where one of its passes failed. cuda_leave follows. */
ssmc_status cuda_enter_queue(const RtQueue *queue);
/* Whether close and free may use the driver. */
bool cuda_is_ours(const RtImage *image);
/* What cuda_enter_queue would say, without a call of the driver. */
ssmc_status cuda_check_queue(const RtQueue *queue);
/* SSMC_OK, or what a result means; a device that is lost stays so. */
ssmc_status cuda_check(RtImage *image, CudaResult result, const char *what);
/* As cuda_check, of a call that asked for memory of the device. */
ssmc_status cuda_check_memory(RtImage *image, CudaResult result, size_t bytes, const char *of_what);

/* look.c */
ssmc_status cuda_look(const CudaDriver *cuda, CudaDevice *device, RtGpu *out);
/* image.c */
ssmc_status cuda_open(const AbiProgram *abi, RtImage **out);
void cuda_close(RtImage *image);
/* device_memory.c */
ssmc_status cuda_alloc(RtImage *image, size_t bytes, const char *of_what, char **out);
void cuda_free(RtImage *image, char *there, size_t bytes);
ssmc_status cuda_lock(RtImage *image, size_t bytes, const char *of_what, char **out);
void cuda_unlock(RtImage *image, char *here, size_t bytes);
ssmc_status cuda_reserve(RtQueue *queue, size_t bytes, char **out);
ssmc_status cuda_grow(RtQueue *queue, const char *from, size_t bytes);
void cuda_release(RtQueue *queue, char *range, size_t bytes);
/* launch.c */
bool cuda_begins_early(const RtImage *image); /* what RtQueue.early is at first */
ssmc_status cuda_run(RtQueue *queue, RtRun *run);
ssmc_status cuda_start(RtQueue *queue, RtRun *run, int slot);
ssmc_status cuda_finish(RtQueue *queue, int slot);
void cuda_forget(RtQueue *queue); /* its graphs, events, and the stream beside */

static inline CudaAddress
cuda_address(const void *there)
{
    return (CudaAddress)(uintptr_t)there;
}

#endif
