/* tests/cuda/cuda_model.c -- see cuda_model.h. */
#include "tests/cuda/cuda_model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/cuda/driver.h"

enum {
    INVALID_VALUE = 1,
    INVALID_CONTEXT = 201,
    TOO_MANY_RESOURCES = 701,
    NOT_FOUND = 500,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_UNJOINED = 904,
    CAPTURE_ISOLATION = 905,
    PAGE = 4096,
    MOST_KERNELS = 64,
    MOST_DEPTH = 16,
    ARGUMENT_BYTES = 512
};

/* ---- what there is ------------------------------------------------------------------------- */

typedef struct {
    char symbol[64];
    int pointers;
    CudaModelKernel *run;
} Kernel;

/* Memory of the GPU or addresses without any; or locked memory of the host. */
typedef struct {
    char *at;
    size_t bytes;
    enum { FREE, MEMORY, ADDRESSES, MAPPED, LOCKED } kind;
    bool open; /* of MAPPED: it may be touched */
} Region;

typedef struct {
    enum { OP_PUT, OP_GET, OP_COPY, OP_SET, OP_LAUNCH, OP_EVENT, OP_FOLLOW } kind;
    char *to;
    const char *from;
    size_t bytes;
    int value;
    void *staged; /* owns: of OP_PUT, what is copied; NULL: `from` is read when it runs */
    const Kernel *kernel;
    CudaModelBlock block;
    bool early; /* it may begin while the launch before it ends */
    _Alignas(16) char arguments[ARGUMENT_BYTES];
    CudaEvent event;
    uint64_t record; /* of OP_FOLLOW: which of the event's */
    /* In a graph: between which of its forks and joins, and whether on a stream that joined. */
    int section;
    bool beside;
} Op;

struct CUgraph_st {
    Op *ops;
    int count, cap;
    /* Of one that is recorded: */
    CudaStream origin; /* whose capture it is */
    int section;
    bool spoilt; /* the capture cannot end well */
};
struct CUgraphExec_st {
    struct CUgraph_st graph;
};
struct CUstream_st {
    struct CUgraph_st queue;
    int ran;           /* ops of the queue */
    CudaGraph capture; /* NULL: it is not captured */
    bool launched;     /* the last was a launch, whether or not all has been run since */
    bool unjoined;     /* the capture's origin does not follow its last */
    struct CUstream_st *next;
};
struct CUevent_st {
    double seconds;
    bool timed;
    CudaStream on;         /* where it was recorded last */
    CudaGraph capture;     /* that it was recorded in; NULL: none */
    uint64_t records, ran; /* given to streams, and run */
};
struct CUmod_st {
    const char *image;
};
struct CUfunc_st {
    Kernel kernel;
};
struct CUctx_st {
    int unused;
};

static struct {
    pthread_mutex_t mutex;
    CudaModel model;
    Kernel kernels[MOST_KERNELS];
    struct CUfunc_st functions[MOST_KERNELS];
    int nkernels;
    Region *regions;
    int nregions, cap;
    struct CUctx_st context;
    struct CUstream_st null; /* the stream NULL */
    CudaStream streams;
    bool lost, started;
    CudaMemory memories; /* handles so far */
} gpu = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local CudaContext stack[MOST_DEPTH];
static _Thread_local int depth;

CudaModelGet cuda_model;
CudaModelAdd cuda_model_add;
#define CUDA(id, symbol, arguments) CudaResult symbol arguments;
#include "runtime/cuda/driver.def"
#undef CUDA

CudaModel *
cuda_model(void)
{
    return &gpu.model;
}

void
cuda_model_add(const char *symbol, int pointers, CudaModelKernel *run)
{
    Kernel *k = &gpu.kernels[gpu.nkernels];
    snprintf(k->symbol, sizeof k->symbol, "%s", symbol);
    k->pointers = pointers;
    k->run = run;
    gpu.functions[gpu.nkernels++].kernel = *k;
}

/* Whether this is the call that fails. */
static bool
falls_due(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* Kernels are not run, so what memory they would write is never touched: there is much of it. */
static bool
is_idle(void)
{
    return getenv("SSMC_CUDA_MODEL_IDLE") != NULL;
}

static size_t
all_bytes(void)
{
    return gpu.model.bytes ? gpu.model.bytes : (size_t)1 << (is_idle() ? 37 : 30);
}

static size_t
pages_of(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static Region *
region_new(void)
{
    for (int i = 0; i < gpu.nregions; i++)
        if (gpu.regions[i].kind == FREE)
            return &gpu.regions[i];
    if (gpu.nregions == gpu.cap) {
        gpu.cap = gpu.cap ? 2 * gpu.cap : 64;
        gpu.regions = realloc(gpu.regions, (size_t)gpu.cap * sizeof *gpu.regions);
    }
    return &gpu.regions[gpu.nregions++];
}

static Region *
region_at(const void *at, int kind)
{
    for (int i = 0; i < gpu.nregions; i++)
        if ((int)gpu.regions[i].kind == kind && gpu.regions[i].at == at)
            return &gpu.regions[i];
    return NULL;
}

static bool
is_locked(const void *at)
{
    const char *a = at;
    for (int i = 0; i < gpu.nregions; i++) {
        const Region *r = &gpu.regions[i];
        if (r->kind == LOCKED && a >= r->at && a < r->at + r->bytes)
            return true;
    }
    return false;
}

/* Memory of the GPU is open to copies and kernels, and to nobody else. */
static void
protect(int how)
{
    for (int i = 0; i < gpu.nregions; i++) {
        const Region *r = &gpu.regions[i];
        if (r->kind == MEMORY || (r->kind == MAPPED && r->open))
            mprotect(r->at, pages_of(r->bytes), how);
    }
}

static bool
take(size_t bytes)
{
    const size_t all = all_bytes();
    if (falls_due(&gpu.model.fail_memory) || bytes > all - gpu.model.used)
        return false;
    gpu.model.used += bytes;
    return true;
}

static void
region_drop(Region *r)
{
    if (r->kind == LOCKED)
        free(r->at);
    else if (r->kind == MAPPED) /* the addresses stay reserved */
        mmap(r->at, r->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    else
        munmap(r->at, pages_of(r->bytes));
    if (r->kind == MEMORY || r->kind == MAPPED)
        gpu.model.used -= r->bytes;
    r->kind = FREE;
    gpu.model.live--;
}

/* ---- streams ------------------------------------------------------------------------------- */

static Op *
op_new(struct CUgraph_st *graph, int kind)
{
    if (graph->count == graph->cap) {
        graph->cap = graph->cap ? 2 * graph->cap : 64;
        graph->ops = realloc(graph->ops, (size_t)graph->cap * sizeof *graph->ops);
    }
    Op *op = &graph->ops[graph->count++];
    memset(op, 0, offsetof(Op, arguments));
    op->kind = kind;
    return op;
}

static CudaStream
stream_of(CudaStream stream)
{
    return stream ? stream : &gpu.null;
}

/* Where what a stream is given goes. */
static struct CUgraph_st *
graph_of(CudaStream stream)
{
    stream = stream_of(stream);
    return stream->capture ? stream->capture : &stream->queue;
}

static Op *
op_of(CudaStream stream, int kind)
{
    struct CUgraph_st *graph = graph_of(stream);
    Op *op = op_new(graph, kind);
    stream = stream_of(stream);
    stream->launched = kind == OP_LAUNCH;
    stream->unjoined = stream->capture && stream != graph->origin;
    op->section = graph->section;
    op->beside = stream->unjoined;
    return op;
}

static bool
launch(const Op *op)
{
    void *operand[ARGUMENT_BYTES / sizeof(void *)];
    AbiCall call;
    const size_t pointers = (size_t)op->kernel->pointers * sizeof(void *);
    if (falls_due(&gpu.model.fail_launch))
        return false;
    gpu.model.launches++;
    gpu.model.early += op->early;
    memcpy(operand, op->arguments, pointers);
    memcpy(&call, op->arguments + pointers, sizeof call);
    CudaModelBlock b = op->block;
    for (b.at[2] = 0; b.at[2] < b.grid[2]; b.at[2]++)
        for (b.at[1] = 0; b.at[1] < b.grid[1]; b.at[1]++)
            for (b.at[0] = 0; b.at[0] < b.grid[0]; b.at[0]++)
                op->kernel->run(operand, &call, &b);
    return true;
}

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool run_next(CudaStream stream);

/* All that a stream was given before an event's record. */
static bool
run_before(const Op *follow)
{
    bool done = true;
    while (done && follow->event->ran < follow->record)
        done = run_next(follow->event->on);
    return done;
}

static bool
run_op(Op *op)
{
    switch (op->kind) {
    case OP_PUT:
        gpu.model.gave += op->bytes;
        memcpy(op->to, op->staged ? op->staged : op->from, op->bytes);
        free(op->staged);
        return true;
    case OP_GET:
        gpu.model.got += op->bytes;
        memmove(op->to, op->from, op->bytes);
        return true;
    case OP_COPY:
        memmove(op->to, op->from, op->bytes);
        return true;
    case OP_SET:
        if (!is_idle())
            memset(op->to, op->value, op->bytes);
        return true;
    case OP_LAUNCH:
        return launch(op);
    case OP_EVENT:
        op->event->seconds = now();
        op->event->ran++;
        return true;
    case OP_FOLLOW:
        return run_before(op);
    }
    return false;
}

/* False: nothing is left to run. */
static bool
run_next(CudaStream stream)
{
    if (stream->ran == stream->queue.count)
        return false;
    Op *op = &stream->queue.ops[stream->ran++];
    if (gpu.lost) {
        free(op->staged);
        if (op->kind == OP_EVENT)
            op->event->ran++;
    } else if (!run_op(op))
        gpu.lost = true;
    return true;
}

static CudaResult
run_all(CudaStream stream)
{
    stream = stream_of(stream);
    if (stream->capture) {
        stream->capture->spoilt = true;
        return CAPTURE_UNSUPPORTED;
    }
    protect(PROT_READ | PROT_WRITE);
    while (run_next(stream))
        continue;
    protect(PROT_NONE);
    stream->queue.count = stream->ran = 0;
    return gpu.lost ? CUDA_ILLEGAL_ADDRESS : CUDA_OK;
}

static void
run_every_stream(void)
{
    for (CudaStream s = gpu.streams; s; s = s->next)
        if (!s->capture)
            run_all(s);
    run_all(NULL);
}

/* ---- calls --------------------------------------------------------------------------------- */

/* Every call that needs a context is between these two. */
static CudaResult
begin(void)
{
    pthread_mutex_lock(&gpu.mutex);
    if (depth == 0 || stack[depth - 1] != &gpu.context || gpu.model.contexts == 0)
        return INVALID_CONTEXT;
    return gpu.lost ? CUDA_ILLEGAL_ADDRESS : CUDA_OK;
}

static CudaResult
end(CudaResult result)
{
    pthread_mutex_unlock(&gpu.mutex);
    return result;
}

CudaResult
cuInit(unsigned flags)
{
    gpu.started = flags == 0 && gpu.model.init == 0;
    if (gpu.model.no_gpu)
        return CUDA_NO_DEVICE;
    return gpu.model.init;
}

CudaResult
cuDriverGetVersion(int *version)
{
    *version = gpu.model.driver ? gpu.model.driver : 12040;
    return CUDA_OK;
}

CudaResult
cuGetErrorString(CudaResult result, const char **text)
{
    *text = result == CUDA_OUT_OF_MEMORY             ? "out of memory"
            : result == CUDA_ILLEGAL_ADDRESS         ? "an illegal memory access was encountered"
            : result == CUDA_UNSUPPORTED_PTX_VERSION ? "the provided PTX was compiled with an "
                                                       "unsupported toolchain"
            : result == TOO_MANY_RESOURCES           ? "too many resources requested for launch"
                                                     : NULL;
    return *text ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDeviceGetCount(int *count)
{
    *count = 1;
    return gpu.started ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDeviceGet(CudaDevice *device, int ordinal)
{
    *device = ordinal;
    return ordinal == 0 && gpu.started ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDeviceGetName(char *name, int len, CudaDevice device)
{
    snprintf(name, (size_t)len, "Model GPU");
    return device == 0 ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDeviceTotalMem_v2(size_t *bytes, CudaDevice device)
{
    *bytes = all_bytes();
    return device == 0 ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDeviceGetAttribute(int *value, int attribute, CudaDevice device)
{
    const int capability = gpu.model.capability ? gpu.model.capability : 90;
    switch (attribute) {
    case CUDA_MULTIPROCESSORS:
        *value = 7;
        break;
    case CUDA_CAPABILITY_MAJOR:
        *value = capability / 10;
        break;
    case CUDA_CAPABILITY_MINOR:
        *value = capability % 10;
        break;
    case CUDA_MAPS_MEMORY:
        *value = !gpu.model.maps_no_memory;
        break;
    default:
        return INVALID_VALUE;
    }
    return device == 0 ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuDevicePrimaryCtxRetain(CudaContext *context, CudaDevice device)
{
    pthread_mutex_lock(&gpu.mutex);
    gpu.model.contexts++;
    *context = &gpu.context;
    return end(device == 0 ? CUDA_OK : INVALID_VALUE);
}

/* The last user ends the context, and whatever it has. */
CudaResult
cuDevicePrimaryCtxRelease_v2(CudaDevice device)
{
    pthread_mutex_lock(&gpu.mutex);
    if (device != 0 || gpu.model.contexts == 0)
        return end(INVALID_VALUE);
    if (--gpu.model.contexts == 0) {
        gpu.model.dropped = gpu.lost ? 0 : gpu.model.live;
        for (int i = 0; i < gpu.nregions; i++)
            if (gpu.regions[i].kind != FREE)
                region_drop(&gpu.regions[i]);
        free(gpu.regions);
        gpu.regions = NULL;
        gpu.nregions = gpu.cap = 0;
        free(gpu.null.queue.ops);
        gpu.null.queue = (struct CUgraph_st){0};
        gpu.lost = false;
        gpu.model.live = 0;
    }
    return end(CUDA_OK);
}

CudaResult
cuCtxPushCurrent_v2(CudaContext context)
{
    if (context != &gpu.context || depth == MOST_DEPTH)
        return INVALID_CONTEXT;
    stack[depth++] = context;
    return CUDA_OK;
}

CudaResult
cuCtxPopCurrent_v2(CudaContext *context)
{
    if (depth == 0)
        return INVALID_CONTEXT;
    *context = stack[--depth];
    return CUDA_OK;
}

/* ---- code ---------------------------------------------------------------------------------- */

/* The number after `.version`, ten times. */
static int
version_of(const char *image)
{
    int major = 0, minor = 0;
    const char *at = strstr(image, ".version");
    return at && sscanf(at, ".version %d.%d", &major, &minor) == 2 ? 10 * major + minor : 0;
}

CudaResult
cuModuleLoadDataEx(CudaModule *module, const void *image, unsigned count, int *options,
                   void **values)
{
    CudaResult result = begin();
    const int version = version_of(image), most = gpu.model.version;
    if (result == CUDA_OK && version == 0)
        result = CUDA_INVALID_PTX;
    if (result == CUDA_OK && most && version > most) {
        result = CUDA_UNSUPPORTED_PTX_VERSION;
        for (unsigned i = 0; i + 1 < count; i++)
            if (options[i] == CUDA_JIT_LOG && options[i + 1] == CUDA_JIT_LOG_BYTES)
                snprintf(values[i], (size_t)(uintptr_t)values[i + 1],
                         "ptxas application ptx input, line 1; fatal   : Unsupported .version "
                         "%d.%d; current version is '%d.%d'\nand more",
                         version / 10, version % 10, most / 10, most % 10);
    }
    if (result != CUDA_OK)
        return end(result);
    *module = calloc(1, sizeof **module);
    (*module)->image = image;
    gpu.model.live++;
    return end(CUDA_OK);
}

CudaResult
cuModuleUnload(CudaModule module)
{
    const CudaResult result = begin();
    free(module);
    gpu.model.live--;
    return end(result);
}

CudaResult
cuModuleGetFunction(CudaFunction *function, CudaModule module, const char *name)
{
    static struct CUfunc_st idle; /* no operands, nothing to run */
    char entry[128];
    const CudaResult result = begin();
    snprintf(entry, sizeof entry, ".entry %s(", name);
    if (result == CUDA_OK && is_idle() && strstr(module->image, entry)) {
        *function = &idle;
        return end(CUDA_OK);
    }
    snprintf(entry, sizeof entry, ".entry %s\n", name);
    if (result != CUDA_OK || !strstr(module->image, entry))
        return end(result != CUDA_OK ? result : NOT_FOUND);
    for (int i = 0; i < gpu.nkernels; i++)
        if (strcmp(gpu.kernels[i].symbol, name) == 0) {
            *function = &gpu.functions[i];
            return end(CUDA_OK);
        }
    return end(NOT_FOUND);
}

CudaResult
cuFuncSetAttribute(CudaFunction function, int attribute, int value)
{
    enum { MOST = 227 << 10 };
    const CudaResult result = begin();
    if (!function || attribute != CUDA_FUNCTION_SHARED_BYTES || value > MOST)
        return end(INVALID_VALUE);
    return end(result);
}

/* Between begin and end. */
static CudaResult
enqueue(CudaFunction function, const CudaLaunch *how, void **params, bool early)
{
    const unsigned *grid = how->grid, *block = how->block;
    const size_t pointers = (size_t)function->kernel.pointers * sizeof(void *);
    if (grid[0] == 0 || grid[1] == 0 || grid[1] > 65535 || grid[2] == 0 || grid[2] > 65535 ||
        block[0] * block[1] * block[2] > 1024)
        return INVALID_VALUE;
    if (falls_due(&gpu.model.fail_enqueue))
        return TOO_MANY_RESOURCES;
    if (!function->kernel.run) {
        stream_of(how->stream)->launched = true;
        return CUDA_OK;
    }
    Op *op = op_of(how->stream, OP_LAUNCH);
    op->kernel = &function->kernel;
    op->early = early;
    op->block = (CudaModelBlock){
        .grid = {grid[0], grid[1], grid[2]},
        .threads = (int)block[0],
        .shared_bytes = (int)how->shared_bytes
    };
    for (int i = 0; i < function->kernel.pointers; i++)
        memcpy(op->arguments + (size_t)i * sizeof(void *), params[i], sizeof(void *));
    memcpy(op->arguments + pointers, params[function->kernel.pointers], sizeof(AbiCall));
    return CUDA_OK;
}

CudaResult
cuLaunchKernel(CudaFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
               unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
               CudaStream stream, void **params, void **extra)
{
    const CudaResult result = begin();
    const CudaLaunch how = {
        .grid = {grid_x,  grid_y,  grid_z },
        .block = {block_x, block_y, block_z},
        .shared_bytes = shared_bytes,
        .stream = stream
    };
    if (result != CUDA_OK || extra)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    return end(enqueue(function, &how, params, false));
}

static bool
is_cluster(const CudaLaunch *how, const unsigned blocks[3])
{
    return blocks[0] >= 1 && blocks[0] <= 8 && how->grid[0] % blocks[0] == 0 && blocks[1] == 1 &&
           blocks[2] == 1;
}

CudaResult
cuLaunchKernelEx(const CudaLaunch *how, CudaFunction function, void **params, void **extra)
{
    const CudaResult result = begin();
    const int capability = gpu.model.capability ? gpu.model.capability : 90;
    CudaStream stream = stream_of(how->stream);
    if (result != CUDA_OK)
        return end(result);
    bool early = false, clusters = false;
    /* One that begins early behind a copy, or behind another stream, would not wait for it. */
    for (unsigned i = 0; i < how->count; i++) {
        const CudaLaunchAttribute *a = &how->attributes[i];
        const bool known = a->id == CUDA_LAUNCH_PROGRAMMATIC
                               ? a->value.yes == 1 && stream->launched
                               : a->id == CUDA_LAUNCH_CLUSTER && is_cluster(how, a->value.blocks);
        if (!known)
            return end(INVALID_VALUE);
        early = early || a->id == CUDA_LAUNCH_PROGRAMMATIC;
        clusters = clusters || a->id == CUDA_LAUNCH_CLUSTER;
    }
    if (extra || how->count < 1)
        return end(INVALID_VALUE);
    if (capability < 90 || (early && gpu.model.refuses_early == 1))
        return end(CUDA_NOT_SUPPORTED);
    gpu.model.clusters += clusters;
    if (early && stream->capture && gpu.model.refuses_early == 2)
        stream->capture->spoilt = true;
    return end(enqueue(function, how, params, early));
}

/* As cuda.h says of each argument; nothing here reads a map. */
CudaResult
cuTensorMapEncodeTiled(CudaMap *map, int type, unsigned rank, void *address,
                       const unsigned long long *dim, const unsigned long long *stride,
                       const unsigned *box, const unsigned *step, int interleave, int swizzle,
                       int promotion, int fill)
{
    enum { ALIGNED = 16, MOST_BOX = 256, BYTES = 2 };
    const CudaResult result = begin();
    bool fits = ((uintptr_t)map & 63) == 0 && type == CUDA_MAP_BF16 && rank >= 2 && rank <= 5 &&
                address && (uintptr_t)address % ALIGNED == 0 && interleave == 0 &&
                swizzle == CUDA_MAP_SWIZZLE_128 && promotion == CUDA_MAP_PROMOTION_256 &&
                fill == 0 && box[0] * BYTES <= 128;
    for (unsigned i = 0; fits && i < rank; i++)
        fits = dim[i] >= 1 && dim[i] <= (1ull << 32) && box[i] >= 1 && box[i] <= MOST_BOX &&
               step[i] == 1 && (i == 0 || stride[i - 1] % ALIGNED == 0);
    if (result != CUDA_OK || !fits)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    memset(map, 0, sizeof *map);
    gpu.model.boxes++;
    return end(CUDA_OK);
}

/* ---- memory's calls ------------------------------------------------------------------------ */

CudaResult
cuMemGetInfo_v2(size_t *available, size_t *total)
{
    const CudaResult result = begin();
    *total = all_bytes();
    *available = *total - gpu.model.used;
    return end(result);
}

CudaResult
cuMemAlloc_v2(CudaAddress *address, size_t bytes)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || bytes == 0)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    if (!take(bytes))
        return end(CUDA_OUT_OF_MEMORY);
    char *at =
        mmap(NULL, pages_of(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!is_idle())
        memset(at, 0xcd, bytes); /* a driver clears nothing */
    mprotect(at, pages_of(bytes), PROT_NONE);
    *region_new() = (Region){at, bytes, MEMORY, true};
    gpu.model.live++;
    *address = (CudaAddress)(uintptr_t)at;
    return end(CUDA_OK);
}

CudaResult
cuMemFree_v2(CudaAddress address)
{
    const CudaResult result = begin();
    Region *r = region_at((void *)(uintptr_t)address, MEMORY);
    if (result != CUDA_OK || !r)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    run_every_stream();
    region_drop(r);
    return end(CUDA_OK);
}

CudaResult
cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || bytes == 0 || flags != CUDA_HOST_PORTABLE)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    if (falls_due(&gpu.model.fail_memory))
        return end(CUDA_OUT_OF_MEMORY);
    *memory = aligned_alloc(PAGE, pages_of(bytes));
    *region_new() = (Region){*memory, bytes, LOCKED, true};
    gpu.model.live++;
    return end(CUDA_OK);
}

CudaResult
cuMemFreeHost(void *memory)
{
    const CudaResult result = begin();
    Region *r = region_at(memory, LOCKED);
    if (result != CUDA_OK || !r)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    region_drop(r);
    return end(CUDA_OK);
}

CudaResult
cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t bytes, CudaStream stream)
{
    const CudaResult result = begin();
    const bool locked = is_locked(from);
    if (result != CUDA_OK)
        return end(result);
    if (!locked && stream_of(stream)->capture)
        return end(CAPTURE_UNSUPPORTED);
    Op *op = op_of(stream, OP_PUT);
    op->to = (char *)(uintptr_t)to;
    op->from = from;
    op->bytes = bytes;
    op->staged = locked ? NULL : memcpy(malloc(bytes + 1), from, bytes);
    gpu.model.puts++;
    return end(CUDA_OK);
}

CudaResult
cuMemcpyDtoHAsync_v2(void *to, CudaAddress from, size_t bytes, CudaStream stream)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    if (!is_locked(to) && stream_of(stream)->capture)
        return end(CAPTURE_UNSUPPORTED);
    Op *op = op_of(stream, OP_GET);
    op->to = to;
    op->from = (const char *)(uintptr_t)from;
    op->bytes = bytes;
    gpu.model.gets++;
    return end(is_locked(to) ? CUDA_OK : run_all(stream));
}

CudaResult
cuMemcpyDtoDAsync_v2(CudaAddress to, CudaAddress from, size_t bytes, CudaStream stream)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    Op *op = op_of(stream, OP_COPY);
    op->to = (char *)(uintptr_t)to;
    op->from = (const char *)(uintptr_t)from;
    op->bytes = bytes;
    return end(CUDA_OK);
}

CudaResult
cuMemsetD8Async(CudaAddress at, unsigned char value, size_t bytes, CudaStream stream)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    Op *op = op_of(stream, OP_SET);
    op->to = (char *)(uintptr_t)at;
    op->value = value;
    op->bytes = bytes;
    return end(CUDA_OK);
}

static bool
is_kind(const CudaMemoryKind *kind)
{
    return kind->type == CUDA_MEMORY_PINNED && kind->handles == 0 &&
           kind->location.type == CUDA_LOCATION_DEVICE && kind->location.id == 0;
}

CudaResult
cuMemGetAllocationGranularity(size_t *bytes, const CudaMemoryKind *kind, int option)
{
    *bytes = CUDA_MODEL_GRANULE;
    return is_kind(kind) && option == CUDA_GRANULARITY_MINIMUM ? CUDA_OK : INVALID_VALUE;
}

CudaResult
cuMemAddressReserve(CudaAddress *address, size_t bytes, size_t alignment, CudaAddress wanted,
                    unsigned long long flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    if (bytes == 0 || bytes % CUDA_MODEL_GRANULE || alignment || wanted || flags)
        return end(INVALID_VALUE);
    char *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return end(CUDA_OUT_OF_MEMORY);
    *region_new() = (Region){at, bytes, ADDRESSES, false};
    gpu.model.live++;
    *address = (CudaAddress)(uintptr_t)at;
    return end(CUDA_OK);
}

CudaResult
cuMemAddressFree(CudaAddress address, size_t bytes)
{
    const CudaResult result = begin();
    Region *r = region_at((void *)(uintptr_t)address, ADDRESSES);
    if (result != CUDA_OK || !r || r->bytes != bytes)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    region_drop(r);
    return end(CUDA_OK);
}

CudaResult
cuMemCreate(CudaMemory *memory, size_t bytes, const CudaMemoryKind *kind, unsigned long long flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    if (bytes % CUDA_MODEL_GRANULE || !is_kind(kind) || flags)
        return end(INVALID_VALUE);
    if (!take(bytes))
        return end(CUDA_OUT_OF_MEMORY);
    gpu.model.used -= bytes; /* counted as it is mapped */
    gpu.model.live++;
    *memory = ++gpu.memories;
    return end(CUDA_OK);
}

CudaResult
cuMemRelease(CudaMemory memory)
{
    const CudaResult result = begin();
    if (memory == 0 || memory > gpu.memories)
        return end(INVALID_VALUE);
    gpu.model.live--;
    return end(result);
}

/* The addresses must be reserved, and free. */
CudaResult
cuMemMap(CudaAddress address, size_t bytes, size_t offset, CudaMemory memory,
         unsigned long long flags)
{
    const CudaResult result = begin();
    char *at = (char *)(uintptr_t)address;
    bool reserved = false;
    for (int i = 0; i < gpu.nregions; i++) {
        const Region *r = &gpu.regions[i];
        reserved =
            reserved || (r->kind == ADDRESSES && at >= r->at && at + bytes <= r->at + r->bytes);
        if (r->kind == MAPPED && at < r->at + r->bytes && at + bytes > r->at)
            return end(INVALID_VALUE);
    }
    if (result != CUDA_OK)
        return end(result);
    if (!reserved || offset || flags || memory == 0 || memory > gpu.memories ||
        address % CUDA_MODEL_GRANULE % PAGE)
        return end(INVALID_VALUE);
    *region_new() = (Region){at, bytes, MAPPED, false};
    gpu.model.used += bytes;
    gpu.model.live++;
    gpu.model.maps++;
    return end(CUDA_OK);
}

CudaResult
cuMemUnmap(CudaAddress address, size_t bytes)
{
    const CudaResult result = begin();
    Region *r = region_at((void *)(uintptr_t)address, MAPPED);
    if (result != CUDA_OK || !r || r->bytes != bytes)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    region_drop(r);
    return end(CUDA_OK);
}

CudaResult
cuMemSetAccess(CudaAddress address, size_t bytes, const CudaAccess *access, size_t count)
{
    const CudaResult result = begin();
    Region *r = region_at((void *)(uintptr_t)address, MAPPED);
    if (result != CUDA_OK)
        return end(result);
    if (!r || r->bytes != bytes || count != 1 || access->flags != CUDA_ACCESS_READ_WRITE ||
        access->location.type != CUDA_LOCATION_DEVICE || access->location.id != 0)
        return end(INVALID_VALUE);
    r->open = true;
    mprotect(r->at, r->bytes, PROT_READ | PROT_WRITE);
    if (!is_idle())
        memset(r->at, 0xcd, r->bytes);
    mprotect(r->at, r->bytes, PROT_NONE);
    return end(CUDA_OK);
}

/* ---- streams' calls ------------------------------------------------------------------------ */

CudaResult
cuStreamCreate(CudaStream *stream, unsigned flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || flags != CUDA_STREAM_NON_BLOCKING)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    *stream = calloc(1, sizeof **stream);
    (*stream)->next = gpu.streams;
    gpu.streams = *stream;
    gpu.model.live++;
    return end(CUDA_OK);
}

CudaResult
cuStreamDestroy_v2(CudaStream stream)
{
    const CudaResult result = begin();
    run_all(stream);
    for (CudaStream *at = &gpu.streams; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    free(stream->queue.ops);
    free(stream);
    gpu.model.live--;
    return end(result);
}

CudaResult
cuStreamSynchronize(CudaStream stream)
{
    const CudaResult result = begin();
    gpu.model.waits++;
    return end(result != CUDA_OK ? result : run_all(stream));
}

CudaResult
cuStreamBeginCapture_v2(CudaStream stream, int mode)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || !stream || stream->capture || mode != CUDA_CAPTURE_THREAD_LOCAL)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    stream->capture = calloc(1, sizeof *stream->capture);
    stream->capture->origin = stream;
    stream->launched = false;
    gpu.model.live++;
    return end(CUDA_OK);
}

/* In a capture, a stream that is not in it comes to it by following an event that was recorded in
 * it, and the origin must follow whatever else is in it before it ends. */
static CudaResult
follow_captured(CudaStream stream, CudaEvent event)
{
    CudaGraph graph = event->capture;
    if (stream->capture && stream->capture != graph) {
        stream->capture->spoilt = true;
        return CAPTURE_ISOLATION;
    }
    if (!stream->capture) {
        if (stream->ran < stream->queue.count)
            return CAPTURE_ISOLATION;
        stream->capture = graph;
        stream->unjoined = true;
        gpu.model.forks++;
    } else if (stream == graph->origin)
        event->on->unjoined = false;
    graph->section++;
    return CUDA_OK;
}

CudaResult
cuStreamWaitEvent(CudaStream stream, CudaEvent event, unsigned flags)
{
    const CudaResult result = begin();
    stream = stream_of(stream);
    if (result != CUDA_OK || flags)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    if (stream->capture || event->capture) {
        stream->launched = false;
        return end(follow_captured(stream, event));
    }
    Op *op = op_of(stream, OP_FOLLOW);
    op->event = event;
    op->record = event->records;
    return end(CUDA_OK);
}

static void
graph_free(CudaGraph graph)
{
    free(graph->ops);
    free(graph);
    gpu.model.live--;
}

/* Every stream leaves it. Whether one of them was not joined. */
static bool
leave_capture(CudaGraph graph)
{
    bool unjoined = false;
    for (CudaStream s = gpu.streams; s; s = s->next)
        if (s->capture == graph) {
            unjoined = unjoined || s->unjoined;
            s->capture = NULL;
            s->unjoined = s->launched = false;
        }
    return unjoined;
}

/* What is side by side may run in any order: here in turns, the branch beside first. */
static void
mix_section(Op *ops, int count)
{
    Op *mixed = malloc((size_t)count * sizeof *mixed);
    int at[2] = {0, 0}, n = 0;
    for (int turn = 1; n < count; turn = !turn) {
        while (at[turn] < count && ops[at[turn]].beside != turn)
            at[turn]++;
        if (at[turn] < count)
            mixed[n++] = ops[at[turn]++];
    }
    memcpy(ops, mixed, (size_t)count * sizeof *mixed);
    free(mixed);
}

static void
mix(CudaGraph graph)
{
    for (int i = 0, end = 0; i < graph->count; i = end) {
        while (end < graph->count && graph->ops[end].section == graph->ops[i].section)
            end++;
        mix_section(graph->ops + i, end - i);
    }
}

CudaResult
cuStreamEndCapture(CudaStream stream, CudaGraph *graph)
{
    const CudaResult result = begin();
    *graph = stream->capture && stream->capture->origin == stream ? stream->capture : NULL;
    if (!*graph)
        return end(CUDA_CAPTURE_INVALIDATED);
    const bool unjoined = leave_capture(*graph), spoilt = (*graph)->spoilt;
    if (unjoined || spoilt) {
        graph_free(*graph);
        *graph = NULL;
    } else
        mix(*graph);
    return end(result != CUDA_OK ? result
               : spoilt          ? CUDA_CAPTURE_INVALIDATED
               : unjoined        ? CAPTURE_UNJOINED
                                 : CUDA_OK);
}

CudaResult
cuGraphInstantiateWithFlags(CudaGraphExec *exec, CudaGraph graph, unsigned long long flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || flags)
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    if (falls_due(&gpu.model.fail_graph))
        return end(CUDA_OUT_OF_MEMORY);
    const size_t bytes = (size_t)graph->count * sizeof *graph->ops;
    *exec = calloc(1, sizeof **exec);
    (*exec)->graph = (struct CUgraph_st){.ops = memcpy(malloc(bytes + 1), graph->ops, bytes),
                                         .count = graph->count,
                                         .cap = graph->count};
    gpu.model.graphs++;
    gpu.model.live++;
    return end(CUDA_OK);
}

CudaResult
cuGraphDestroy(CudaGraph graph)
{
    const CudaResult result = begin();
    graph_free(graph);
    return end(result);
}

CudaResult
cuGraphLaunch(CudaGraphExec exec, CudaStream stream)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || stream_of(stream)->capture)
        return end(result != CUDA_OK ? result : CAPTURE_UNSUPPORTED);
    for (int i = 0; i < exec->graph.count; i++)
        *op_of(stream, OP_EVENT) = exec->graph.ops[i];
    stream_of(stream)->launched = false;
    gpu.model.replays++;
    return end(CUDA_OK);
}

CudaResult
cuGraphExecDestroy(CudaGraphExec exec)
{
    const CudaResult result = begin();
    run_every_stream();
    free(exec->graph.ops);
    free(exec);
    gpu.model.live--;
    return end(result);
}

CudaResult
cuEventCreate(CudaEvent *event, unsigned flags)
{
    const CudaResult result = begin();
    if (result != CUDA_OK || (flags && flags != CUDA_EVENT_NO_TIME))
        return end(result != CUDA_OK ? result : INVALID_VALUE);
    *event = calloc(1, sizeof **event);
    (*event)->timed = !flags;
    gpu.model.live++;
    return end(CUDA_OK);
}

CudaResult
cuEventDestroy_v2(CudaEvent event)
{
    const CudaResult result = begin();
    free(event);
    gpu.model.live--;
    return end(result);
}

CudaResult
cuEventRecord(CudaEvent event, CudaStream stream)
{
    const CudaResult result = begin();
    if (result != CUDA_OK)
        return end(result);
    event->on = stream_of(stream);
    event->capture = event->on->capture;
    if (event->capture) /* a graph records no event when it runs */
        return end(CUDA_OK);
    op_of(stream, OP_EVENT)->event = event;
    event->records++;
    return end(CUDA_OK);
}

CudaResult
cuEventSynchronize(CudaEvent event)
{
    const CudaResult result = begin();
    (void)event;
    if (result == CUDA_OK)
        run_every_stream();
    return end(gpu.lost ? CUDA_ILLEGAL_ADDRESS : result);
}

CudaResult
cuEventElapsedTime(float *milliseconds, CudaEvent from, CudaEvent to)
{
    if (!from->timed || !to->timed)
        return INVALID_VALUE;
    *milliseconds = (float)(1e3 * (to->seconds - from->seconds));
    return CUDA_OK;
}
