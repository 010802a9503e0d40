/* codegen/gpu_model.c -- a GPU as C: the grid, the threads of a block, what they share and exchange
 * (PTX ISA 8.0: "Programming Model", "shfl.sync", "cp.async", "ldmatrix", "mma.m16n8k16").
 *
 * The threads of a block are contexts of one thread of the CPU that take turns: one runs until it
 * waits for the others. Shared memory holds NaNs when a block begins, a copy arrives when it is
 * waited for, and threads that meet at different places end the process: what a GPU would punish
 * now and then is punished at once. */
#include "codegen/gpu_model.h"

#include <math.h>
#include <setjmp.h>
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
    MOST_READS = 64,
    MOST_SIGNALS = 64,
    MOST_BOXES = 64,
    MOST_THREADS = 2048, /* of a cluster */
    WARPS = GPU_MOST_THREADS / GPU_WARP,
    /* Inputs that one instruction sums over; results of wgmma. */
    DEPTH = 16,
    WGMMA_ROWS = 64,
    WGMMA_COLUMNS = 256
};

/* Where a thread waits: for its block, the blocks of its cluster or its warp. */
typedef enum {
    RUNS,
    AT_BARRIER,
    AT_CLUSTER,
    AT_WARP,
    AT_WARPGROUP,
    AT_SIGNAL,
    AT_COPIES,
    ENDED
} Where;

typedef struct {
    void *to;
    uint8_t bytes[16];
} Copy;

/* `left` of `times`, and `bytes` that are expected and have not arrived, until round number `round`
 * ends. */
typedef struct {
    const void *at;
    int32_t times, left, round;
    int64_t bytes;
} Signal;

/* On its way. */
typedef struct {
    char *to;
    const AbiMap *map;
    int64_t first, last;
    Signal *signal;
} Box;

/* What a product on its way reads: it must stay as it is. */
typedef struct {
    int64_t from, bytes; /* in shared memory */
    uint64_t hash;
} Read;

typedef struct {
    jmp_buf at; /* where it left */
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
    bool says; /* of a count */
    int waits; /* for the kernels before */
    /* Copies have arrived between these that wgmma may not see yet: bytes of shared memory. */
    int64_t hidden_from, hidden_to;
    const Signal *signal; /* it waits for */
    int32_t odd;
    /* Products on their way, of the warpgroup: kept with its first thread. */
    Read reads[MOST_READS];
    int nreads, products[MOST_READS], nproducts; /* where each group of them ends, oldest first */
    bool begun;
} Thread;

static _Thread_local struct {
    Thread *threads; /* MOST_THREADS of them, made at first use */
    char *shared;    /* SHARED bytes of each block of a cluster */
    jmp_buf scheduler;
    void *scheduler_stack;
    size_t scheduler_bytes;
    int contexts;      /* made */
    int count, blocks; /* threads of a block; blocks of a cluster */
    int current;
    Signal signals[MOST_SIGNALS];
    int nsignals;
    Box boxes[MOST_BOXES];
    int nboxes;
    const AbiLaunch *launch;
    int64_t block[3]; /* the first of the cluster */
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

static char *
pages(size_t bytes)
{
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        die_no_memory(bytes);
    return at;
}

/* ---- turns ------------------------------------------------------------------------------------
 */

/* A context is made once and gets the thread of one block after the other. From then on jumps do,
 * which ask the system for nothing. */
static void
leave(Thread *t)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&t->fake_stack, gpu.scheduler_stack, gpu.scheduler_bytes);
#endif
    if (_setjmp(t->at) == 0)
        _longjmp(gpu.scheduler, 1);
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
    for (;;) {
        leave(t);
        gpu.body(gpu.operand, gpu.call);
        want(t->waits == 1, "a thread that does not wait, once, for the kernels before its own");
        t->where = ENDED;
    }
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
    if (_setjmp(gpu.scheduler) == 0)
        _longjmp(t->at, 1);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

/* Runs it up to its first leave. */
static void
make_context(int i)
{
    Thread *t = &gpu.threads[i];
    ucontext_t context;
    t->stack = pages(STACK);
    want(getcontext(&context) == 0, "getcontext");
    context.uc_stack.ss_sp = t->stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = NULL;
    makecontext(&context, begin, 0);
    gpu.current = i;
#if defined(__SANITIZE_ADDRESS__)
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, t->stack, STACK);
#endif
    if (_setjmp(gpu.scheduler) == 0)
        setcontext(&context);
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
    leave(t);
}

/* Whether two threads wait for, or do, the same; mostly it is one text. */
static bool
same(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

static bool
all_at(int first, int end, Where where)
{
    for (int i = first; i < end; i++)
        if (gpu.threads[i].where != where || !same(gpu.threads[i].what, gpu.threads[first].what))
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

static void
ballot(Thread *warp)
{
    uint32_t bits = 0;
    for (int lane = 0; lane < GPU_WARP; lane++)
        bits |= *(const uint32_t *)warp[lane].given << lane;
    for (int lane = 0; lane < GPU_WARP; lane++)
        *(uint32_t *)warp[lane].got = bits;
}

static void
of_warp(Thread *warp)
{
    for (int lane = 0; lane < GPU_WARP; lane++)
        want(*(const uint32_t *)warp[lane].given == *(const uint32_t *)warp[0].given,
             "a number of a warp that its lanes do not share");
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

/* Products of 16 inputs, added to a sum one after the other. */
static float
with_products(float sum, const float x[DEPTH], const float w[DEPTH])
{
    double total = sum;
    for (int k = 0; k < DEPTH; k++)
        total += (double)x[k] * (double)w[k];
    return (float)total;
}

static void
product(Thread *warp)
{
    float a[16][DEPTH], b[8][DEPTH];
    for (int k = 0; k < DEPTH; k++) {
        for (int r = 0; r < 16; r++)
            a[r][k] = of_a(warp, r, k);
        for (int col = 0; col < 8; col++)
            b[col][k] = of_b(warp, k, col);
    }
    for (int r = 0; r < 16; r++)
        for (int col = 0; col < 8; col++) {
            const Product *p = warp[4 * (r % 8) + col / 2].given;
            float *sum = &p->acc[col % 2 + 2 * (r / 8)];
            *sum = with_products(*sum, a[r], b[col]);
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

typedef struct {
    uint16_t *row;
    const uint32_t *in;
} Stored;

/* Row r of matrix i, whose address lane 8 i + r gives, is column r of what lanes have of it. */
static void
stored(Thread *warp)
{
    for (int i = 0; i < 4; i++)
        for (int r = 0; r < 8; r++) {
            const Stored *to = warp[8 * i + r].given;
            want(((uintptr_t)to->row & 15) == 0, "stmatrix of a row that is not aligned");
            for (int col = 0; col < 8; col++) {
                const Stored *from = warp[4 * col + r / 2].given;
                to->row[col] = (uint16_t)(from->in[i] >> (r % 2 ? 16 : 0));
            }
        }
}

static void
meet(Thread *warp)
{
    (void)warp;
}

/* ---- what four warps do together
 * -----------------------------------------------------------------
 */

typedef struct {
    float *acc;
    int nacc;
    uint64_t x, w;       /* descriptors */
    const uint32_t *own; /* NULL, or x in registers: what this lane has of its warp's */
    bool x_columns;      /* rows of a described x are summed over */
    bool columns;        /* those of w are */
} Wgmma;

static int64_t
described_at(uint64_t rows)
{
    want(rows >> 62 == 1 && (rows >> 32 & 0x3fff) == 1024 / 16, "wgmma of rows in another layout");
    return (int64_t)(rows & 0x3fff) * 16;
}

/* 16s of bytes are moved about within 128 bytes. */
static float
swizzled(int64_t at)
{
    uint16_t bits;
    memcpy(&bits, gpu.shared + (at ^ (at >> 3 & 0x70)), sizeof bits);
    return bf16_to_f32(bits);
}

/* Of 16 inputs that begin at `from` in row 0. */
static float
described(int64_t from, int row, int k)
{
    return swizzled(from + row / 8 * 1024 + row % 8 * 128 + 2 * k);
}

/* Input k of row `row` of x. */
static float
row_of(const Wgmma *one, int row, int k)
{
    const int64_t x = described_at(one->x);
    return one->x_columns ? swizzled(x + k / 8 * 1024 + k % 8 * 128 + row * 2)
                          : described(x, row, k);
}

/* Bytes from 64 columns to the next 64, where rows are summed over. */
static int64_t
apart_of(const Wgmma *one)
{
    return (int64_t)(one->w >> 16 & 0x3fff) * 16;
}

/* Input k of column `col`. */
static float
factor_of(const Wgmma *one, int col, int k)
{
    const int64_t w = described_at(one->w);
    if (!one->columns)
        return described(w, col, k);
    return swizzled(w + col / 64 * apart_of(one) + k / 8 * 1024 + k % 8 * 128 + col % 64 * 2);
}

/* As of_a. */
static float
of_own(const Thread *warp, int r, int k)
{
    const Wgmma *one = warp[4 * (r % 8) + k % 8 / 2].given;
    const uint32_t pair = one->own[r / 8 + 2 * (k / 8)];
    return real(k % 2 ? pair & 0xffff0000u : pair << 16);
}

static void
remember(Thread *group, int64_t from, int rows)
{
    const int64_t first = from / 1024 * 1024, bytes = (int64_t)rows * 128;
    want(group->nreads < MOST_READS && first + bytes <= SHARED, "too many products on their way");
    for (int i = 0; i < gpu.count; i++)
        want(first >= gpu.threads[i].hidden_to || first + bytes <= gpu.threads[i].hidden_from,
             "wgmma of copies that no fence has shown it");
    group->reads[group->nreads++] =
        (Read){first, bytes, hash_bytes(gpu.shared + first, (size_t)bytes, 0)};
}

static void
wgmma(Thread *group)
{
    const Wgmma *one = group->given;
    want(gpu.blocks == 1, "wgmma in a cluster"); /* descriptors say where in which memory */
    want(group->begun, "wgmma without a fence before it");
    if (!one->own)
        remember(group, described_at(one->x), one->x_columns ? 16 : 64);
    for (int col = 0; one->columns && col < 2 * one->nacc; col += 64)
        remember(group, described_at(one->w) + col / 64 * apart_of(one), 16);
    if (!one->columns)
        remember(group, described_at(one->w), 2 * one->nacc);
    float x[WGMMA_ROWS][DEPTH], w[WGMMA_COLUMNS][DEPTH];
    want(2 * one->nacc <= WGMMA_COLUMNS, "wgmma of too many columns");
    for (int k = 0; k < DEPTH; k++) {
        for (int row = 0; row < WGMMA_ROWS; row++)
            x[row][k] =
                one->own ? of_own(group + row / 16 * GPU_WARP, row % 16, k) : row_of(one, row, k);
        for (int col = 0; col < 2 * one->nacc; col++)
            w[col][k] = factor_of(one, col, k);
    }
    for (int thread = 0; thread < GPU_WARPGROUP; thread++) {
        const Wgmma *mine = group[thread].given;
        want(mine->x == one->x && mine->w == one->w && mine->nacc == one->nacc,
             "wgmma of different rows");
        const int lane = thread % GPU_WARP, first = 16 * (thread / GPU_WARP) + lane / 4;
        for (int i = 0; i < mine->nacc; i++) {
            const int row = first + i / 2 % 2 * 8, col = i / 4 * 8 + lane % 4 * 2 + i % 2;
            mine->acc[i] = with_products(mine->acc[i], x[row], w[col]);
        }
    }
}

static void
wgmma_begin(Thread *group)
{
    group->begun = true;
}

static void
wgmma_commit(Thread *group)
{
    want(group->nproducts < MOST_READS, "too many groups of products");
    group->products[group->nproducts++] = group->nreads;
}

static void
wgmma_wait(Thread *group)
{
    const int done = group->nproducts - *(const int32_t *)group->given;
    if (done <= 0)
        return;
    const int reads = group->products[done - 1];
    for (int i = 0; i < reads; i++) {
        const Read *r = &group->reads[i];
        want(hash_bytes(gpu.shared + r->from, (size_t)r->bytes, 0) == r->hash,
             "what wgmma reads was written over");
    }
    memmove(group->reads, group->reads + reads,
            (size_t)(group->nreads - reads) * sizeof *group->reads);
    group->nreads -= reads;
    for (int i = done; i < group->nproducts; i++)
        group->products[i - done] = group->products[i] - reads;
    group->nproducts -= done;
}

static const struct {
    const char *what;
    void (*run)(Thread *first);
} together[] = {
    {"warp barrier", meet        },
    {"exchange",     exchange    },
    {"ballot",       ballot      },
    {"of warp",      of_warp     },
    {"mma",          product     },
    {"ldmatrix",     matrices    },
    {"stmatrix",     stored      },
    {"wgmma",        wgmma       },
    {"wgmma.fence",  wgmma_begin },
    {"wgmma.commit", wgmma_commit},
    {"wgmma.wait",   wgmma_wait  },
};

static void
with_warp(const char *what, const void *given, void *got)
{
    self()->given = given;
    self()->got = got;
    wait_at(AT_WARP, what);
}

static void
with_warpgroup(const char *what, const void *given)
{
    self()->given = given;
    wait_at(AT_WARPGROUP, what);
}

static void
run_together(int first, int count)
{
    const char *what = gpu.threads[first].what;
    for (size_t i = 0; i < COUNT_OF(together); i++)
        if (same(together[i].what, what))
            together[i].run(&gpu.threads[first]);
    release(first, first + count);
}

/* ---- signals
 * ---------------------------------------------------------------------------------------- */

static Signal *
signal_at(const void *at)
{
    for (int i = 0; i < gpu.nsignals; i++)
        if (gpu.signals[i].at == at)
            return &gpu.signals[i];
    die("gpu model: a signal that was not opened");
}

static void
end_round(Signal *s)
{
    if (s->left == 0 && s->bytes == 0) {
        s->left = s->times;
        s->round++;
    }
}

static void
give(const void *at)
{
    Signal *s = signal_at(at);
    want(s->left > 0, "a signal that is given more often than it says");
    s->left--;
    end_round(s);
}

static bool
has_ended(const Signal *s, int32_t odd)
{
    return s->round % 2 != odd;
}

/* ---- boxes
 * ------------------------------------------------------------------------------------------ */

static int64_t
box_rows(const AbiMap *map)
{
    int64_t rows = 1;
    for (int i = 1; i < map->rank; i++)
        rows *= map->box[i];
    return rows;
}

/* Row `number` of a box: where its first element is in the operand, or -1: it is beyond it. */
static int64_t
box_row(const Box *b, int64_t number)
{
    const AbiMap *map = b->map;
    int64_t at = map->offset;
    for (int i = 1; i < map->rank; i++) {
        const bool last = i == map->rank - 1;
        const int64_t in = number % map->box[i] + (last ? b->last : 0);
        const int64_t dim = map->dim[i] * (last ? abi_count(map->of, gpu.call) : 1);
        number /= map->box[i];
        if (in < 0 || in >= dim)
            return -1;
        at += in * map->stride[i];
    }
    return at;
}

/* The oldest box arrives. False: there is none. */
static bool
late_box(void)
{
    if (gpu.nboxes == 0)
        return false;
    const Box b = gpu.boxes[0];
    const char *from = gpu.operand[b.map->operand];
    memmove(gpu.boxes, gpu.boxes + 1, (size_t)--gpu.nboxes * sizeof b);
    for (int64_t row = 0; row < box_rows(b.map); row++) {
        const int64_t at = box_row(&b, row);
        for (int64_t i = 0; i < ABI_MAP_ROW; i++) {
            const int64_t to = b.to - gpu.shared + (row * ABI_MAP_ROW + i) * 2, k = b.first + i;
            uint16_t x = 0;
            if (at >= 0 && k >= 0 && k < b.map->dim[0])
                memcpy(&x, from + at + k * 2, sizeof x);
            memcpy(gpu.shared + (to ^ (to >> 3 & 0x70)), &x, sizeof x);
        }
    }
    b.signal->bytes -= box_rows(b.map) * ABI_MAP_ROW * 2;
    want(b.signal->bytes >= 0, "more bytes arrive than a signal expects");
    end_round(b.signal);
    return true;
}

/* What products on their way read. */
static bool
is_read(int64_t from, int64_t to)
{
    for (int i = 0; i < gpu.count; i++)
        for (int j = 0; j < gpu.threads[i].nreads; j++) {
            const Read *r = &gpu.threads[i].reads[j];
            if (r->from < to && from < r->from + r->bytes)
                return true;
        }
    return false;
}

/* Until it has arrived there are NaNs. */
static void
begin_box(char *to, const AbiMap *map, int64_t first, int64_t last, Signal *signal)
{
    const int64_t at = to - gpu.shared, bytes = box_rows(map) * ABI_MAP_ROW * 2;
    want(gpu.nboxes < MOST_BOXES, "too many boxes on their way");
    want(at >= 0 && at % SHARED + bytes <= SHARED && at % 128 == 0, "a box that is not aligned");
    want(!is_read(at, at + bytes), "a box over what products read");
    memset(to, 0xff, (size_t)bytes);
    gpu.boxes[gpu.nboxes++] = (Box){to, map, first, last, signal};
}

/* ---- a block, a grid
 * ------------------------------------------------------------------------------ */

/* All of a block that have not ended: a barrier is of those (CUDA C++ Programming Guide,
 * "Synchronization Functions"). */
static bool
all_at_barrier(int first)
{
    const char *what = NULL;
    for (int i = first; i < first + gpu.count; i++) {
        const Thread *t = &gpu.threads[i];
        if (t->where == ENDED)
            continue;
        if (t->where != AT_BARRIER || (what && !same(t->what, what)))
            return false;
        what = t->what;
    }
    return what != NULL;
}

/* A warp whose copies are to arrive goes on. False: there is none. */
static bool
late_copies(void)
{
    for (int i = 0; i < gpu.count * gpu.blocks; i++) {
        const int first = i / GPU_WARP * GPU_WARP;
        if (gpu.threads[i].where != AT_COPIES)
            continue;
        for (int j = first; j < first + GPU_WARP; j++)
            if (gpu.threads[j].where == AT_COPIES)
                gpu.threads[j].where = RUNS;
        return true;
    }
    return false;
}

/* One turn for each thread that can go on, then whatever all have come for. False: all have ended.
 */
static bool
round_of_turns(void)
{
    bool ran = false, ended = true;
    const int all = gpu.count * gpu.blocks;
    for (int i = 0; i < all; i++)
        if (gpu.threads[i].where == RUNS) {
            turn(i);
            ran = true;
        }
    for (int first = 0; first < all; first += GPU_WARP)
        if (all_at(first, first + GPU_WARP, AT_WARP)) {
            run_together(first, GPU_WARP);
            ran = true;
        }
    for (int first = 0; first + GPU_WARPGROUP <= gpu.count; first += GPU_WARPGROUP)
        if (all_at(first, first + GPU_WARPGROUP, AT_WARPGROUP)) {
            run_together(first, GPU_WARPGROUP);
            ran = true;
        }
    for (int first = 0; first < all; first += gpu.count)
        if (all_at_barrier(first)) {
            for (int i = first; i < first + gpu.count; i++)
                if (gpu.threads[i].where == AT_BARRIER)
                    gpu.threads[i].where = RUNS;
            ran = true;
        }
    if (all_at(0, all, AT_CLUSTER)) {
        release(0, all);
        ran = true;
    }
    for (int i = 0; i < all; i++)
        if (gpu.threads[i].where == AT_SIGNAL &&
            has_ended(gpu.threads[i].signal, gpu.threads[i].odd)) {
            gpu.threads[i].where = RUNS;
            ran = true;
        }
    if (!ran)
        ran = late_copies() || late_box();
    for (int i = 0; i < all; i++)
        ended = ended && gpu.threads[i].where == ENDED;
    want(ran || ended, "threads of a block wait for each other at different places");
    return !ended;
}

static void
open_threads(int count)
{
    if (!gpu.threads) {
        gpu.threads = (Thread *)pages(MOST_THREADS * sizeof *gpu.threads);
        gpu.shared = pages((size_t)GPU_MOST_CLUSTER * SHARED);
    }
    while (gpu.contexts < count)
        make_context(gpu.contexts++);
}

static void
prepare(Thread *t)
{
    t->where = RUNS;
    t->what = "";
    t->count = t->groups = t->nreads = t->nproducts = t->waits = 0;
    t->hidden_from = t->hidden_to = 0;
    t->begun = false;
}

/* What is not asked for is not there: a block that has written to it writes to another's. */
static bool
spares(const AbiLaunch *launch, int64_t from)
{
    for (int64_t i = from; i < launch->shared_bytes; i++)
        if ((unsigned char)gpu.shared[i] != 0xff)
            return false;
    return true;
}

static void
run_cluster(const AbiLaunch *launch, int64_t asked_for)
{
    for (int i = 0; i < gpu.blocks; i++)
        memset(gpu.shared + (size_t)i * SHARED, 0xff, (size_t)launch->shared_bytes); /* NaNs */
    gpu.nsignals = 0;
    for (int i = 0; i < gpu.count * gpu.blocks; i++)
        prepare(&gpu.threads[i]);
    while (round_of_turns())
        ;
    want(gpu.nboxes == 0, "a block ends before a box has arrived");
    want(spares(launch, asked_for), "shared memory that is not asked for is written");
}

static void
model_launch(void (*body)(void *const *, const AbiCall *), void *const *operand,
             const AbiCall *call, const AbiLaunch *launch)
{
    want(launch->threads <= GPU_MOST_THREADS && launch->shared_bytes <= SHARED,
         "a block too large");
    gpu.body = body;
    gpu.operand = operand;
    gpu.call = call;
    gpu.launch = launch;
    gpu.count = launch->threads;
    int64_t blocks[3];
    const bool many = abi_grid(launch, call, blocks);
    gpu.blocks = launch->cluster && many ? launch->cluster : 1;
    want(gpu.count * gpu.blocks <= MOST_THREADS && gpu.blocks <= GPU_MOST_CLUSTER &&
             blocks[0] % gpu.blocks == 0,
         "a cluster that cannot be");
    open_threads(gpu.count * gpu.blocks);
    for (gpu.block[2] = 0; gpu.block[2] < blocks[2]; gpu.block[2]++)
        for (gpu.block[1] = 0; gpu.block[1] < blocks[1]; gpu.block[1]++)
            for (gpu.block[0] = 0; gpu.block[0] < blocks[0]; gpu.block[0] += gpu.blocks)
                run_cluster(launch, abi_shared_bytes(launch, many));
}

/* ---- what a thread calls
 * ------------------------------------------------------------------------------ */

static uint32_t
model_tid(int32_t direction)
{
    return direction ? 0 : (uint32_t)(gpu.current % gpu.count);
}

/* Of this thread's block in its cluster. */
static int
rank(void)
{
    return gpu.current / gpu.count;
}

static uint32_t
model_ctaid(int32_t direction)
{
    return (uint32_t)(gpu.block[direction] + (direction ? 0 : rank()));
}

static void *
model_shared(void)
{
    return gpu.shared + (size_t)rank() * SHARED;
}

static void *
model_shared_of(char *own, int32_t other)
{
    const int64_t at = own - (char *)model_shared();
    want(at >= 0 && at < SHARED && other >= 0 && other < gpu.blocks,
         "shared memory of a block that the cluster does not have");
    return gpu.shared + (size_t)other * SHARED + at;
}

static void
model_cluster_barrier(void)
{
    wait_at(AT_CLUSTER, "barrier of a cluster");
}

static void
model_barrier(void)
{
    wait_at(AT_BARRIER, "barrier");
}

/* The second barrier keeps a thread from changing `says` before all threads have counted. */
static uint32_t
model_barrier_count(uint32_t yes)
{
    uint32_t count = 0;
    want(yes <= 1, "a count of what is neither yes nor no");
    self()->says = yes;
    wait_at(AT_BARRIER, "barrier that counts");
    for (int i = 0; i < gpu.count; i++)
        count += gpu.threads[rank() * gpu.count + i].says;
    wait_at(AT_BARRIER, "barrier that has counted");
    return count;
}

static void
model_wait(void)
{
    self()->waits++;
}

static void
model_ask(const volatile char *from, int64_t bytes)
{
    want(bytes == 1 || (bytes > 0 && bytes % 16 == 0), "a prefetch of other than 16s of bytes");
    (void)(from[0] + from[bytes - 1]); /* they are there */
}

static void
model_let_others_begin(void)
{
    want(self()->waits == 0, "kernels that are let begin late");
}

static void
model_warp_barrier(void)
{
    with_warp("warp barrier", NULL, NULL);
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
model_of_warp(uint32_t number)
{
    with_warp("of warp", &number, NULL);
    return number;
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

static uint32_t
model_ballot(uint32_t yes)
{
    uint32_t bits = 0;
    want(yes <= 1, "a vote that is neither yes nor no");
    with_warp("ballot", &yes, &bits);
    return bits;
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
model_copy16_weight(void *to, const void *from, int32_t bytes)
{
    Thread *t = self();
    want(t->count < MOST_COPIES, "too many copies on their way");
    want(((uintptr_t)to & 15) == 0, "a copy that is not aligned");
    Copy *copy = &t->copies[t->count++];
    *copy = (Copy){.to = to};
    if (bytes)
        memcpy(copy->bytes, from, sizeof copy->bytes);
}

static void
model_copy16(void *to, const void *from, int32_t bytes)
{
    want(((uintptr_t)from & 15) == 0 || !bytes, "a copy that is not aligned");
    model_copy16_weight(to, from, bytes);
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
    if (gpu.nsignals) /* others who do not wait for them are to go on without them */
        wait_at(AT_COPIES, "copies");
    const int done = t->groups - behind, copies = t->group[done - 1];
    for (int i = 0; i < copies; i++) {
        const int64_t at = (char *)t->copies[i].to - gpu.shared;
        const int64_t end = at + (int64_t)sizeof t->copies[i].bytes;
        t->hidden_from = t->hidden_to && t->hidden_from < at ? t->hidden_from : at;
        t->hidden_to = t->hidden_to > end ? t->hidden_to : end;
        memcpy(t->copies[i].to, t->copies[i].bytes, sizeof t->copies[i].bytes);
    }
    memmove(t->copies, t->copies + copies, (size_t)(t->count - copies) * sizeof *t->copies);
    t->count -= copies;
    for (int i = done; i < t->groups; i++)
        t->group[i - done] = t->group[i] - copies;
    t->groups -= done;
}

static void
model_signal_open(const void *at, int32_t times)
{
    want(gpu.nsignals < MOST_SIGNALS && times > 0, "too many signals, or one that is never given");
    want(((uintptr_t)at & 7) == 0, "a signal that is not aligned");
    for (int i = 0; i < gpu.nsignals; i++)
        want(gpu.signals[i].at != at, "a signal that is opened twice");
    gpu.signals[gpu.nsignals++] = (Signal){.at = at, .times = times, .left = times};
}

static void
model_signal_give(const void *at)
{
    give(at);
}

static void
model_signal_expect(const void *at, int32_t bytes)
{
    signal_at(at)->bytes += bytes;
    give(at);
}

static void
model_box_copy(char *to, int32_t map, int32_t first, int32_t last, char *signal)
{
    want(map >= 0 && map < gpu.launch->maps, "a box of no map");
    begin_box(to, &gpu.launch->map[map], first, last, signal_at(signal));
}

static void
model_signal_more(const void *at, int32_t bytes)
{
    Signal *s = signal_at(at);
    want(s->left > 0, "bytes that are expected when a round may have ended");
    s->bytes += bytes;
}

static void
model_signal_wait(const void *at, int32_t odd)
{
    want(odd == 0 || odd == 1, "a round that is neither odd nor even");
    self()->signal = signal_at(at);
    self()->odd = odd;
    if (!has_ended(self()->signal, odd))
        wait_at(AT_SIGNAL, "signal");
}

/* Every other time nothing is known yet. */
static int32_t
model_signal_over(const void *at, int32_t odd)
{
    static bool known;
    want(odd == 0 || odd == 1, "a round that is neither odd nor even");
    known = !known;
    return known && has_ended(signal_at(at), odd);
}

static void
model_store_matrices(uint16_t *row, const uint32_t *in)
{
    const Stored one = {row, in};
    with_warp("stmatrix", &one, NULL);
}

static void
model_wgmma_show(void)
{
    self()->hidden_from = self()->hidden_to = 0;
}

static void
model_wgmma_begin(void)
{
    with_warpgroup("wgmma.fence", NULL);
}

static void
model_wgmma_bf16(float *acc, int32_t nacc, uint64_t x, uint64_t w, int32_t columns)
{
    const Wgmma one = {acc, nacc, x, w, NULL, columns != 0, false};
    with_warpgroup("wgmma", &one);
}

static void
model_wgmma_bf16_by(float *acc, int32_t nacc, const uint32_t *x, uint64_t w, int32_t columns)
{
    const Wgmma one = {acc, nacc, 0, w, x, false, columns != 0};
    with_warpgroup("wgmma", &one);
}

static void
model_wgmma_commit(void)
{
    with_warpgroup("wgmma.commit", NULL);
}

static void
model_wgmma_wait(int32_t behind)
{
    with_warpgroup("wgmma.wait", &behind);
}

/* ISO C has no conversion of a function's address to void *; POSIX does. */
#define MODEL(name) {"gpu_model_" #name, (void *)model_##name}
const ModelFunction gpu_model[] = {
    MODEL(launch),        MODEL(tid),           MODEL(ctaid),
    MODEL(shared),        MODEL(barrier),       MODEL(exchange),
    MODEL(mma_bf16),      MODEL(load_matrices), MODEL(copy16),
    MODEL(copy16_weight), MODEL(copy_commit),   MODEL(copy_wait),
    MODEL(pair),          MODEL(exp2),          MODEL(reciprocal),
    MODEL(warp_barrier),  MODEL(ballot),        MODEL(wgmma_show),
    MODEL(wgmma_begin),   MODEL(wgmma_bf16),    MODEL(wgmma_commit),
    MODEL(wgmma_wait),    MODEL(wait),          MODEL(let_others_begin),
    MODEL(ask),           MODEL(wgmma_bf16_by), MODEL(store_matrices),
    MODEL(barrier_count), MODEL(shared_of),     MODEL(cluster_barrier),
    MODEL(signal_open),   MODEL(signal_give),   MODEL(signal_wait),
    MODEL(signal_expect), MODEL(signal_more),   MODEL(box_copy),
    MODEL(signal_over),   MODEL(of_warp),
};
const int gpu_model_count = COUNT_OF(gpu_model);
