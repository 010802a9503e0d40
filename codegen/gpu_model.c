/* codegen/gpu_model.c -- a GPU as C: the grid, the threads of a block, what they share and exchange
 * (PTX ISA 8.0: "Programming Model", "shfl.sync", "cp.async", "ldmatrix", "mma.m16n8k16").
 *
 * The threads of a block are contexts of one thread of the CPU that take turns: one runs until it
 * waits for the others. Shared memory holds NaNs when a block begins, a copy arrives when it is
 * waited for, and threads that meet at different places end the process: what a GPU would punish
 * now and then is punished at once. */
#include "codegen/gpu_model.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "ir/ir.h"
#include "machine/machine.h"
#include "runtime/abi.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    STACK = 256 << 10,
    SHARED = 256 << 10,
    MOST_COPIES = 256,
    WARPS = GPU_MOST_THREADS / GPU_WARP
};

/* Where a thread waits: for its block or its warp. */
typedef enum { RUNS, AT_BARRIER, AT_WARP, ENDED } Where;

typedef struct {
    void *to;
    uint8_t bytes[16];
} Copy;

typedef struct {
    ucontext_t context;
    char *stack;
    void *fake_stack; /* AddressSanitizer's */
    Where where;
    const char *what;  /* it waits for, or does with its warp */
    const void *given; /* to the warp */
    void *got;
    Copy copies[MOST_COPIES];
    int count;              /* of copies on their way */
    int group[MOST_COPIES]; /* where each group ends, oldest first */
    int groups;
} Thread;

static _Thread_local struct {
    Thread *threads; /* GPU_MOST_THREADS of them, made at first use */
    char *shared;
    ucontext_t scheduler;
    void *scheduler_stack;
    size_t scheduler_bytes;
    int count, current;
    int64_t block[3];
    void (*body)(void *const *operand, const AbiCall *call);
    void *const *operand;
    const AbiCall *call;
} gpu;

static void
want(bool ok, const char *what)
{
    if (!ok)
        die("gpu model: %s", what);
}

/* ---- turns ------------------------------------------------------------------------------------
 */

static void
leave(Thread *t, bool for_ever)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_ever ? NULL : &t->fake_stack, gpu.scheduler_stack,
                                   gpu.scheduler_bytes);
#endif
    (void)for_ever;
    swapcontext(&t->context, &gpu.scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(t->fake_stack, NULL, NULL);
#endif
}

static void
begin(void)
{
    Thread *t = &gpu.threads[gpu.current];
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, (const void **)&gpu.scheduler_stack,
                                    &gpu.scheduler_bytes);
#endif
    gpu.body(gpu.operand, gpu.call);
    t->where = ENDED;
    leave(t, true);
}

static void
turn(int i)
{
    Thread *t = &gpu.threads[i];
    gpu.current = i;
#if defined(__SANITIZE_ADDRESS__)
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, t->stack, STACK);
#endif
    swapcontext(&gpu.scheduler, &t->context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static Thread *
self(void)
{
    return &gpu.threads[gpu.current];
}

static void
wait_at(Where where, const char *what)
{
    Thread *t = self();
    t->where = where;
    t->what = what;
    leave(t, false);
}

static bool
all_at(int first, int end, Where where)
{
    for (int i = first; i < end; i++)
        if (gpu.threads[i].where != where ||
            strcmp(gpu.threads[i].what, gpu.threads[first].what) != 0)
            return false;
    return true;
}

static void
release(int first, int end)
{
    for (int i = first; i < end; i++)
        gpu.threads[i].where = RUNS;
}

/* ---- what a warp does together ------------------------------------------------------------------
 */

static float
real(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void
exchange(Thread *warp)
{
    for (int lane = 0; lane < GPU_WARP; lane++) {
        const uint32_t *asked = warp[lane].given;
        const uint32_t *other = warp[lane ^ (int)asked[1]].given;
        *(uint32_t *)warp[lane].got = other[0];
    }
}

typedef struct {
    const uint32_t *a, *b;
    float *acc;
} Product;

/* Row r and column k of a, of 16 x 16: the lane and the pair that hold it. */
static float
of_a(const Thread *warp, int r, int k)
{
    const Product *p = warp[4 * (r % 8) + k % 8 / 2].given;
    const uint32_t pair = p->a[r / 8 + 2 * (k / 8)];
    return real(k % 2 ? pair & 0xffff0000u : pair << 16);
}

static float
of_b(const Thread *warp, int k, int col)
{
    const Product *p = warp[4 * col + k % 8 / 2].given;
    const uint32_t pair = p->b[k / 8];
    return real(k % 2 ? pair & 0xffff0000u : pair << 16);
}

static void
product(Thread *warp)
{
    for (int r = 0; r < 16; r++)
        for (int col = 0; col < 8; col++) {
            const Product *p = warp[4 * (r % 8) + col / 2].given;
            float *sum = &p->acc[col % 2 + 2 * (r / 8)];
            double total = *sum;
            for (int k = 0; k < 16; k++)
                total += (double)of_a(warp, r, k) * (double)of_b(warp, k, col);
            *sum = (float)total;
        }
}

typedef struct {
    const uint16_t *row;
    int32_t transpose;
} Matrices;

static void
matrices(Thread *warp)
{
    for (int lane = 0; lane < GPU_WARP; lane++)
        for (int i = 0; i < 4; i++) {
            uint16_t pair[2];
            for (int e = 0; e < 2; e++) {
                const int row = lane / 4, col = 2 * (lane % 4) + e;
                const Matrices *m = warp[lane].given;
                const Matrices *from = warp[8 * i + (m->transpose ? col : row)].given;
                want(((uintptr_t)from->row & 15) == 0, "ldmatrix of a row that is not aligned");
                pair[e] = from->row[m->transpose ? row : col];
            }
            memcpy((uint32_t *)warp[lane].got + i, pair, sizeof pair);
        }
}

static const struct {
    const char *what;
    void (*run)(Thread *warp);
} together[] = {
    {"exchange", exchange},
    {"mma",      product },
    {"ldmatrix", matrices},
};

static void
with_warp(const char *what, const void *given, void *got)
{
    self()->given = given;
    self()->got = got;
    wait_at(AT_WARP, what);
}

static void
warp_run(int first)
{
    const char *what = gpu.threads[first].what;
    for (size_t i = 0; i < COUNT_OF(together); i++)
        if (strcmp(together[i].what, what) == 0)
            together[i].run(&gpu.threads[first]);
    release(first, first + GPU_WARP);
}

/* ---- a block, a grid
 * ------------------------------------------------------------------------------ */

/* One turn for each thread that can go on, then whatever all have come for. False: all have ended.
 */
static bool
round_of_turns(void)
{
    bool ran = false, ended = true;
    for (int i = 0; i < gpu.count; i++)
        if (gpu.threads[i].where == RUNS) {
            turn(i);
            ran = true;
        }
    for (int first = 0; first < gpu.count; first += GPU_WARP)
        if (all_at(first, first + GPU_WARP, AT_WARP)) {
            warp_run(first);
            ran = true;
        }
    if (all_at(0, gpu.count, AT_BARRIER)) {
        release(0, gpu.count);
        ran = true;
    }
    for (int i = 0; i < gpu.count; i++)
        ended = ended && gpu.threads[i].where == ENDED;
    want(ran || ended, "threads of a block wait for each other at different places");
    return !ended;
}

static char *
pages(size_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        die_no_memory(bytes);
    return at;
}

static void
open_threads(void)
{
    if (gpu.threads)
        return;
    gpu.threads = (Thread *)pages(GPU_MOST_THREADS * sizeof *gpu.threads);
    gpu.shared = pages(SHARED);
    for (int i = 0; i < GPU_MOST_THREADS; i++)
        gpu.threads[i].stack = pages(STACK);
}

static void
run_block(const AbiLaunch *launch)
{
    memset(gpu.shared, 0xff, (size_t)launch->shared_bytes); /* NaNs */
    for (int i = 0; i < gpu.count; i++) {
        Thread *t = &gpu.threads[i];
        t->where = RUNS;
        t->what = "";
        t->count = t->groups = 0;
        want(getcontext(&t->context) == 0, "getcontext");
        t->context.uc_stack.ss_sp = t->stack;
        t->context.uc_stack.ss_size = STACK;
        t->context.uc_link = NULL;
        makecontext(&t->context, begin, 0);
    }
    while (round_of_turns())
        ;
}

static void
model_launch(void (*body)(void *const *, const AbiCall *), void *const *operand,
             const AbiCall *call, const AbiLaunch *launch)
{
    open_threads();
    want(launch->threads <= GPU_MOST_THREADS && launch->shared_bytes <= SHARED,
         "a block too large");
    gpu.body = body;
    gpu.operand = operand;
    gpu.call = call;
    gpu.count = launch->threads;
    int64_t blocks[3];
    for (int i = 0; i < 3; i++)
        blocks[i] = abi_blocks(&launch->grid[i], call);
    for (gpu.block[2] = 0; gpu.block[2] < blocks[2]; gpu.block[2]++)
        for (gpu.block[1] = 0; gpu.block[1] < blocks[1]; gpu.block[1]++)
            for (gpu.block[0] = 0; gpu.block[0] < blocks[0]; gpu.block[0]++)
                run_block(launch);
}

/* ---- what a thread calls
 * ------------------------------------------------------------------------------ */

static uint32_t
model_tid(int32_t direction)
{
    return direction ? 0 : (uint32_t)gpu.current;
}

static uint32_t
model_ctaid(int32_t direction)
{
    return (uint32_t)gpu.block[direction];
}

static void *
model_shared(void)
{
    return gpu.shared;
}

static void
model_barrier(void)
{
    wait_at(AT_BARRIER, "barrier");
}

static float
model_exchange(float x, int32_t mask)
{
    uint32_t given[2] = {0, (uint32_t)mask}, got = 0;
    memcpy(&given[0], &x, sizeof x);
    with_warp("exchange", given, &got);
    return real(got);
}

static uint32_t
model_pair(float low, float high)
{
    return f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16;
}

static float
model_exp2(float x)
{
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

static float
model_reciprocal(float x)
{
    const float y = 1 / x;
    return fabsf(y) < 0x1p-126f ? copysignf(0, y) : y;
}

static void
model_mma_bf16(float *acc, const uint32_t *a, const uint32_t *b)
{
    const Product p = {a, b, acc};
    with_warp("mma", &p, NULL);
}

static void
model_load_matrices(const void *row, int32_t transpose, uint32_t *out)
{
    const Matrices m = {row, transpose};
    with_warp("ldmatrix", &m, out);
}

static void
model_copy16(void *to, const void *from, int32_t bytes)
{
    Thread *t = self();
    want(t->count < MOST_COPIES, "too many copies on their way");
    want((((uintptr_t)to | (uintptr_t)from) & 15) == 0 || !bytes, "a copy that is not aligned");
    Copy *copy = &t->copies[t->count++];
    *copy = (Copy){.to = to};
    if (bytes)
        memcpy(copy->bytes, from, sizeof copy->bytes);
}

static void
model_copy_commit(void)
{
    Thread *t = self();
    want(t->groups < MOST_COPIES, "too many groups of copies");
    t->group[t->groups++] = t->count;
}

static void
model_copy_wait(int32_t behind)
{
    Thread *t = self();
    if (t->groups <= behind)
        return;
    const int done = t->groups - behind, copies = t->group[done - 1];
    for (int i = 0; i < copies; i++)
        memcpy(t->copies[i].to, t->copies[i].bytes, sizeof t->copies[i].bytes);
    memmove(t->copies, t->copies + copies, (size_t)(t->count - copies) * sizeof *t->copies);
    t->count -= copies;
    for (int i = done; i < t->groups; i++)
        t->group[i - done] = t->group[i] - copies;
    t->groups -= done;
}

/* ISO C has no conversion of a function's address to void *; POSIX does. */
#define MODEL(name) {"gpu_model_" #name, (void *)model_##name}
const ModelFunction gpu_model[] = {
    MODEL(launch),    MODEL(tid),      MODEL(ctaid),         MODEL(shared),     MODEL(barrier),
    MODEL(exchange),  MODEL(mma_bf16), MODEL(load_matrices), MODEL(copy16),     MODEL(copy_commit),
    MODEL(copy_wait), MODEL(pair),     MODEL(exp2),          MODEL(reciprocal),
};
const int gpu_model_count = COUNT_OF(gpu_model);
