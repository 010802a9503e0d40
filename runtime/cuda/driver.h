/* runtime/cuda/driver.h -- CUDA's driver, as far as it is used: types, numbers and functions of its
 * library's interface, which is stable; the library is opened when it is needed. */
#ifndef SSMC_RUNTIME_CUDA_DRIVER_H
#define SSMC_RUNTIME_CUDA_DRIVER_H

#include <stddef.h>

#include "runtime/ssmc.h"

typedef int CudaResult; /* 0: done */
typedef int CudaDevice;
typedef unsigned long long CudaAddress;
typedef unsigned long long CudaMemory; /* memory without an address */
typedef struct CUctx_st *CudaContext;
typedef struct CUmod_st *CudaModule;
typedef struct CUfunc_st *CudaFunction;
typedef struct CUstream_st *CudaStream;
typedef struct CUevent_st *CudaEvent;
typedef struct CUgraph_st *CudaGraph;
typedef struct CUgraphExec_st *CudaGraphExec;

/* CUmemLocation, CUmemAllocationProp, CUmemAccessDesc */
typedef struct {
    int type, id;
} CudaLocation;
typedef struct {
    int type, handles;
    CudaLocation location;
    void *windows;
    unsigned char compression, remote;
    unsigned short usage;
    unsigned char reserved[4];
} CudaMemoryKind;
typedef struct {
    CudaLocation location;
    int flags;
} CudaAccess;

/* CUlaunchAttribute, CUlaunchConfig */
typedef struct {
    int id;
    char pad[4];
    union {
        int yes;
        unsigned blocks[3]; /* of a cluster */
        char room[64];
    } value;
} CudaLaunchAttribute;
typedef struct {
    unsigned grid[3], block[3], shared_bytes;
    CudaStream stream;
    CudaLaunchAttribute *attributes;
    unsigned count;
} CudaLaunch;

/* CUtensorMap */
typedef struct {
    _Alignas(64) unsigned long long opaque[16];
} CudaMap;

/* Numbers of cuda.h's enums. */
enum {
    CUDA_OK = 0,
#define CUDA_ERROR(number, id, status) CUDA_##id = number,
#include "runtime/cuda/errors.def"
#undef CUDA_ERROR
    /* CUdevice_attribute */
    CUDA_MULTIPROCESSORS = 16,
    CUDA_CAPABILITY_MAJOR = 75,
    CUDA_CAPABILITY_MINOR = 76,
    CUDA_MAPS_MEMORY = 102, /* VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED */
    /* CUjit_option */
    CUDA_JIT_LOG = 5, /* ERROR_LOG_BUFFER */
    CUDA_JIT_LOG_BYTES = 6,
    CUDA_FUNCTION_SHARED_BYTES = 8, /* MAX_DYNAMIC_SHARED_SIZE_BYTES */
    CUDA_HOST_PORTABLE = 1,
    CUDA_STREAM_NON_BLOCKING = 1,
    CUDA_EVENT_NO_TIME = 2, /* DISABLE_TIMING */
    CUDA_CAPTURE_THREAD_LOCAL = 1,
    CUDA_MEMORY_PINNED = 1,
    CUDA_LOCATION_DEVICE = 1,
    CUDA_ACCESS_READ_WRITE = 3,
    CUDA_GRANULARITY_MINIMUM = 0,
    CUDA_LAUNCH_CLUSTER = 4,      /* CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION */
    CUDA_LAUNCH_PROGRAMMATIC = 6, /* CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION */
    CUDA_MAP_BF16 = 9,            /* CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 */
    CUDA_MAP_SWIZZLE_128 = 3,
    CUDA_MAP_PROMOTION_256 = 3, /* bytes that the second-level cache gets together */
    /* Dynamic shared memory of a block that a kernel has without asking. */
    CUDA_SHARED_BYTES = 48 << 10,
    /* A driver that records launches which begin early in a graph, as RtGpu.driver has versions. */
    CUDA_RECORDS_EARLY = 123,
};

typedef struct {
#define CUDA(id, symbol, arguments) CudaResult(*id) arguments;
#include "runtime/cuda/driver.def"
#undef CUDA
} CudaDriver;

/* Opens the library, once for the process, and looks whether there is a GPU. SSMC_UNSUPPORTED: no
 * library, or one that lacks a function, or that finds no GPU. */
ssmc_status cuda_driver(const CudaDriver **out);

/* The status of a result, and a message: "WHAT: the driver's text (number)". */
ssmc_status cuda_fault(const CudaDriver *cuda, CudaResult result, const char *what);

#endif
