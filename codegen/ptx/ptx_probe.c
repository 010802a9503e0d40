/* codegen/ptx/ptx_probe.c -- the ceilings of a GPU, as kernels that nothing else holds back.
 *
 * f32: chains of multiply-adds in registers, enough of them for the four cycles that one takes.
 *
 * Tensor cores: from sm_90a on wgmma, two groups of four warps on a multiprocessor, 64 x 256 sums
 * each in their registers, operands in shared memory; else mma, 64 x 32 sums a warp, operands in
 * registers. Operands are numbers of any sign from 0.5 to 1: with zeros the GPU would draw less
 * power, and keep a clock that no model sees.
 *
 * Memory: each thread has its 16 bytes of a few places, all loads before the first use. One kernel
 * reads, one copies from one half of a buffer to the other.
 *
 * Blocks of arithmetic are as many as fit on the multiprocessors, which AbiCall.nseg counts, and
 * AbiCall.rows is rounds; of memory, .rows is 16s of bytes. */
#include "codegen/module.h"
#include "codegen/ptx/ptx.h"
#include "machine/product.h"

enum { THREADS = 256, VECTOR = 16, EACH = CG_PROBE_ROWS / THREADS };

typedef struct {
    Val from, to; /* the operands */
} Buffers;

/* What was made is written only if it is one certain number: never, but the compiler cannot know.
 */
static void
use(Cg *c, const Buffers *b, Val bits)
{
    const Val magic = LLVMConstInt(c->i32, 0x2545f491, 0);
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, bits, magic, ""));
    LLVMSetAlignment(LLVMBuildStore(c->b, bits, b->to), 4);
    cg_endif(c, &one);
}

/* ---- arithmetic ---------------------------------------------------------------------------- */

static void
use_sums(Cg *c, const Buffers *b, const Val *sum, int count)
{
    Val all = sum[0];
    for (int i = 1; i < count; i++)
        all = cg_fadd(c, all, sum[i]);
    use(c, b, cg_as_bits(c, all));
}

/* A block's rounds, each `step` of the numbers, which are variables. */
typedef struct {
    Val var[GPU_WARPGROUP];
    int count;
} Sums;

static void
sums_open(Cg *c, Sums *s, int count, Val start)
{
    s->count = count;
    for (int i = 0; i < count; i++)
        s->var[i] = cg_var(c, c->f32, cg_fadd(c, start, cg_f32(c, i)), "sum");
}

static void
sums_get(Cg *c, const Sums *s, Val *now)
{
    for (int i = 0; i < s->count; i++)
        now[i] = cg_get(c, c->f32, s->var[i]);
}

static void
sums_set(Cg *c, const Sums *s, const Val *now)
{
    for (int i = 0; i < s->count; i++)
        cg_set(c, s->var[i], now[i]);
}

static CgLoop
rounds(Cg *c, CgKernel *k)
{
    return cg_loop(c, "rounds", cg_i64(c, 0), cg_call_field(c, k, CALL_rows), 1);
}

static Val
thread_number(Cg *c)
{
    return LLVMBuildUIToFP(c->b, ptx_thread(c), c->f32, "");
}

/* x = x * a + x with a tiny a, so that numbers stay finite. */
static double
f32_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    enum { CHAINS = 16, UNROLL = 8, BLOCKS = 4 };
    const Val start = thread_number(c), a = cg_fmul(c, start, cg_f32(c, 1e-9));
    Sums s;
    Val x[CHAINS];
    ptx_threads(k, THREADS);
    ptx_grid(k, 0, ABI_SEGMENTS, 1, 1, BLOCKS);
    sums_open(c, &s, CHAINS, start);
    CgLoop loop = rounds(c, k);
    sums_get(c, &s, x);
    for (int u = 0; u < UNROLL; u++)
        for (int i = 0; i < CHAINS; i++)
            x[i] = cg_fma(c, x[i], a, x[i]);
    sums_set(c, &s, x);
    cg_loop_end(c, &loop);
    sums_get(c, &s, x);
    use_sums(c, b, x, CHAINS);
    return 2.0 * CHAINS * UNROLL * THREADS * BLOCKS;
}

/* Two bf16 of any signs from 0.5 to 1, another pair for each thread and n. */
static Val
some_pair(Cg *c, Val thread, int n)
{
    const Val mixed =
        LLVMBuildMul(c->b,
                     LLVMBuildAdd(c->b, LLVMBuildTrunc(c->b, thread, c->i32, ""),
                                  LLVMConstInt(c->i32, 1 + GPU_MOST_THREADS * (unsigned)n, 0), ""),
                     LLVMConstInt(c->i32, 0x9e3779b1, 0), "");
    const Val high =
        LLVMBuildXor(c->b, mixed, LLVMBuildLShr(c->b, mixed, LLVMConstInt(c->i32, 15, 0), ""), "");
    return LLVMBuildOr(c->b, LLVMBuildAnd(c->b, high, LLVMConstInt(c->i32, 0x807f807f, 0), ""),
                       LLVMConstInt(c->i32, 0x3f003f00, 0), "");
}

/* A warp's products of 64 by 32 over 16. */
static double
mma_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    enum { DOWN = 4, RIGHT = 4, TILES = DOWN * RIGHT, UNROLL = 2, BLOCKS = 2 };
    const Val thread = ptx_thread(c);
    Val a[DOWN][4], w[RIGHT][2], acc[4 * TILES];
    Sums s;
    ptx_threads(k, THREADS);
    ptx_resident(c, BLOCKS);
    ptx_grid(k, 0, ABI_SEGMENTS, 1, 1, BLOCKS);
    for (int i = 0; i < 4 * DOWN; i++)
        a[i / 4][i % 4] = some_pair(c, thread, i);
    for (int i = 0; i < 2 * RIGHT; i++)
        w[i / 2][i % 2] = some_pair(c, thread, 4 * DOWN + i);
    sums_open(c, &s, 4 * TILES, thread_number(c));
    CgLoop loop = rounds(c, k);
    sums_get(c, &s, acc);
    for (int i = 0; i < UNROLL * TILES; i++)
        ptx_mma_bf16(c, acc + 4 * (i % TILES), a[i % TILES / RIGHT], w[i % RIGHT]);
    sums_set(c, &s, acc);
    cg_loop_end(c, &loop);
    sums_get(c, &s, acc);
    use_sums(c, b, acc, 4 * TILES);
    return 2.0 * 16 * 8 * 16 * TILES * UNROLL * (THREADS / GPU_WARP) * BLOCKS;
}

/* Four warps' products of 64 by 256 over 64. */
static double
wgmma_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    enum {
        GROUPS = THREADS / GPU_WARPGROUP,
        ROW = 128, /* bytes: 64 bf16 */
        DOWN = 64,
        RIGHT = 256,
        STEPS = 4,
        SUMS = RIGHT / 2,
        LEFT_BYTES = GROUPS * DOWN * ROW,
        BYTES = LEFT_BYTES + RIGHT * ROW
    };
    const Val thread = ptx_thread(c), shared = ptx_shared(c, k, BYTES);
    const Val group = cg_div(c, ptx_warp(c), cg_i64(c, GPU_WARPGROUP / GPU_WARP));
    Val acc[SUMS];
    Sums s;
    ptx_threads(k, THREADS);
    ptx_grid(k, 0, ABI_SEGMENTS, 1, 1, 1);
    for (int i = 0; i < BYTES / 4 / THREADS; i++) {
        const Val at = cg_add(c, cg_mul(c, thread, cg_i64(c, 4)), cg_i64(c, 4 * THREADS * i));
        LLVMBuildStore(c->b, some_pair(c, thread, i), cg_offset(c, shared, at));
    }
    ptx_wgmma_show(c);
    ptx_barrier(c);
    const Val x = ptx_wgmma_rows(c, shared, cg_mul(c, group, cg_i64(c, DOWN * ROW)));
    const Val w = ptx_wgmma_rows(c, shared, cg_i64(c, LEFT_BYTES));
    sums_open(c, &s, SUMS, thread_number(c));
    CgLoop loop = rounds(c, k);
    sums_get(c, &s, acc);
    ptx_wgmma_begin(c);
    for (int i = 0; i < STEPS; i++)
        ptx_wgmma_bf16(c, acc, SUMS, ptx_wgmma_further(c, x, cg_i64(c, 32 * i)),
                       ptx_wgmma_further(c, w, cg_i64(c, 32 * i)));
    ptx_wgmma_commit(c);
    sums_set(c, &s, acc);
    ptx_wgmma_wait(c, 1);
    cg_loop_end(c, &loop);
    sums_get(c, &s, acc);
    ptx_wgmma_end(c, 0, acc, SUMS);
    use_sums(c, b, acc, SUMS);
    return 2.0 * DOWN * RIGHT * 16 * STEPS * GROUPS;
}

/* As projections of many rows are multiplied. */
static bool
by_wgmma(const Gpu *gpu)
{
    enum { MANY = 4096 };
    const ProductChoice choice = product_for(gpu, PRODUCT_MANY, DTYPE_bf16, MANY, MANY);
    return choice.product->method == PRODUCT_WGMMA;
}

static double
matrix_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    return (by_wgmma(&c->machine->gpu) ? wgmma_probe : mma_probe)(c, k, b);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* This thread's places, in bytes from the begin of a buffer. */
static void
places(Cg *c, CgKernel *k, Val at[EACH])
{
    ptx_threads(k, THREADS);
    ptx_grid(k, 0, ABI_TOKENS, 1, CG_PROBE_ROWS, 1);
    const Val block = cg_mul(c, ptx_block(c, 0), cg_i64(c, CG_PROBE_ROWS));
    const Val first = cg_add(c, block, ptx_thread(c));
    for (int i = 0; i < EACH; i++)
        at[i] = cg_mul(c, cg_add(c, first, cg_i64(c, THREADS * i)), cg_i64(c, VECTOR));
}

static double
read_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    Val at[EACH], all[EACH][4], sum = LLVMConstInt(c->i32, 0, 0);
    places(c, k, at);
    for (int i = 0; i < EACH; i++)
        ptx_load16(c, cg_offset(c, b->from, at[i]), true, all[i]);
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < 4; j++)
            sum = LLVMBuildXor(c->b, sum, all[i][j], "");
    use(c, b, sum);
    return VECTOR;
}

static double
copy_probe(Cg *c, CgKernel *k, const Buffers *b)
{
    Val at[EACH], all[EACH][4];
    places(c, k, at);
    for (int i = 0; i < EACH; i++)
        ptx_load16(c, cg_offset(c, b->from, at[i]), true, all[i]);
    for (int i = 0; i < EACH; i++) {
        Val v = LLVMGetPoison(LLVMVectorType(c->i32, 4));
        for (int j = 0; j < 4; j++)
            v = LLVMBuildInsertElement(c->b, v, all[i][j], cg_i64(c, j), "");
        LLVMSetAlignment(LLVMBuildStore(c->b, v, cg_offset(c, b->to, at[i])), VECTOR);
    }
    return 2 * VECTOR;
}

/* ---- the program --------------------------------------------------------------------------- */

static const struct {
    CgProbeId id;
    const char *symbol, *doc;
    double (*emit)(Cg *c, CgKernel *k, const Buffers *b); /* gives the work of a round */
    int64_t bytes;                                        /* of a buffer that a row walks */
    bool reads;
} probes[] = {
    {PROBE_f32,         "probe_f32",    "f32 fused multiply-adds",           f32_probe,    0,      false},
    {PROBE_matrix_bf16, "probe_matrix", "bf16 products of the tensor cores", matrix_probe, 0,
     false                                                                                              },
    {PROBE_read,        "probe_read",   "each thread 16 bytes at a time",    read_probe,   VECTOR, true },
    {PROBE_update,      "probe_copy",   "copied from one half to the other", copy_probe,   VECTOR, false},
};

static AbiLaunch
probe_launch(Cg *c, const char *symbol, double (*emit)(Cg *, CgKernel *, const Buffers *),
             double *work)
{
    Kernel named = {.name = symbol};
    CgKernel k = {.kernel = &named};
    c->fn = ptx_function(c, symbol, 2);
    k.call = LLVMGetParam(c->fn, 2);
    const LLVMBasicBlockRef vars = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "vars");
    const LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "start");
    LLVMPositionBuilderAtEnd(c->at_entry, vars);
    LLVMPositionBuilderAtEnd(c->b, start);
    for (int i = 0; i < 3; i++)
        ptx_grid(&k, i, ABI_ONE, 1, 1, 1);
    const Buffers b = {LLVMGetParam(c->fn, 0), LLVMGetParam(c->fn, 1)};
    *work = emit(c, &k, &b);
    LLVMBuildRetVoid(c->b);
    LLVMBuildBr(c->at_entry, start);
    k.launch.symbol = symbol;
    ptx_annotate(c, c->fn, "maxntidx", k.launch.threads);
    return k.launch;
}

static void
set_image(Arena *arena, AbiProgram *abi, Cg *c, LLVMTargetMachineRef llvm)
{
    cg_llvm_verify(c->mod, "as emitted for the GPU");
    cg_run_passes(c->mod, llvm, "");
    const LLVMMemoryBufferRef text = cg_machine_code(c->mod, llvm, LLVMAssemblyFile);
    abi->image_bytes = (int64_t)LLVMGetBufferSize(text);
    abi->image = arena_strndup(arena, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    LLVMDisposeMemoryBuffer(text);
}

const AbiProgram *
cg_gpu_probes(Arena *arena, const Machine *machine, CgProbe out[PROBE_COUNT])
{
    const Machine gpu = machine_of_gpu(machine);
    AbiProgram *abi = arena_alloc(arena, sizeof *abi);
    AbiLaunch *launches = arena_array(arena, COUNT_OF(probes), sizeof *launches);
    AbiStep *steps = arena_array(arena, PROBE_COUNT, sizeof *steps);
    const LLVMTargetMachineRef llvm = cg_llvm_machine(&gpu);
    Cg c;
    cg_llvm_open(&c, arena, &gpu, llvm);
    c.on_gpu = c.aligned = true;
    for (int i = 0; i < PROBE_COUNT; i++)
        out[i] = (CgProbe){0};
    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        CgProbe *p = &out[probes[i].id];
        *p = (CgProbe){.bytes = probes[i].bytes, .reads = probes[i].reads, .doc = probes[i].doc};
        launches[i] = probe_launch(&c, probes[i].symbol, probes[i].emit, &p->work);
        steps[probes[i].id] =
            (AbiStep){.name = probes[i].symbol, .operands = 2, .launch = (int32_t)i};
    }
    *abi = (AbiProgram){.name = "probes",
                        .device = ABI_CUDA,
                        .target = machine->gpu.name,
                        .steps = steps,
                        .nsteps = PROBE_COUNT,
                        .launches = launches,
                        .nlaunches = COUNT_OF(probes)};
    set_image(arena, abi, &c, llvm);
    cg_llvm_close(&c);
    LLVMDisposeTargetMachine(llvm);
    return abi;
}
