/* tests/cuda/cuda_model.h -- a model of CUDA's driver for tests: a library of its own that has the
 * functions of runtime/cuda/driver.def, and a GPU whose memory is the host's. SSMC_CUDA_LIBRARY
 * names it to the runtime.
 *
 * It is strict where a driver is: memory of the GPU can be touched by copies and kernels alone, and
 * where it is mapped; what a stream is given runs when someone waits for it, so that bytes of the
 * host that are changed too early show; calls need a context, and a stream that is being captured
 * refuses what would run. A stream runs before another as far as that follows it, and no further;
 * what a graph has side by side runs in turns; a capture ends badly unless all of it is joined. A
 * lost context stays lost until its last user lets go of it.
 *
 * With SSMC_CUDA_MODEL_IDLE in the environment it takes any kernel of PTX and runs none: what a
 * command does around kernels can be seen, and no number. */
#ifndef SSMC_TESTS_CUDA_CUDA_MODEL_H
#define SSMC_TESTS_CUDA_CUDA_MODEL_H

#include <stdbool.h>

#include "runtime/abi.h"

enum { CUDA_MODEL_GRANULE = 1 << 16 };

typedef struct {
    int64_t at[3], grid[3];
    int threads, shared_bytes;
} CudaModelBlock;

/* A kernel, called once for each block. Its symbol stands in PTX as `.entry SYMBOL`. */
typedef void CudaModelKernel(void *const *operand, const AbiCall *call,
                             const CudaModelBlock *block);

typedef struct {
    /* What happens; zeros: nothing. Of each fail_: the n-th such call from now, 1 the next. */
    bool no_gpu, maps_no_memory;
    int refuses_early; /* 1: launches that begin early; 2: graphs of them, as they are recorded */
    int driver;        /* its version, as the driver counts; 0: 12040 */
    int init;          /* result of cuInit */
    int capability;    /* ten times; 0: 90 */
    int version;       /* of PTX, ten times, that is not too new; 0: any */
    size_t bytes;      /* of memory; 0: 1 GiB */
    int fail_memory;   /* out of memory: of the GPU, or locked memory of the host */
    int fail_launch;   /* the kernel reads an illegal address */
    int fail_enqueue;  /* the launch is refused: too many resources */
    int fail_graph;    /* out of memory */
    /* What was. */
    uint64_t early;    /* launches that may begin while those before them end, as they run */
    uint64_t clusters; /* launches in clusters, given or recorded */
    uint64_t boxes;    /* maps of operands that were made */
    uint64_t forks;    /* streams that came to the capture of another */
    uint64_t launches, replays, graphs, puts, gets, waits, maps;
    uint64_t gave, got; /* bytes that went there and came back, in graphs too */
    size_t used;        /* bytes of memory that are taken */
    int64_t live;       /* whatever was made and not destroyed, but contexts */
    int contexts;       /* users of the GPU's context */
    int64_t dropped;    /* what was live as the last of them let go, unless the context was lost */
} CudaModel;

typedef CudaModel *CudaModelGet(void);                      /* cuda_model */
typedef void CudaModelAdd(const char *symbol, int pointers, /* cuda_model_add */
                          CudaModelKernel *run);

#endif
