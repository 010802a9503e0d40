/* codegen/probe.c -- the ceilings of a machine, as code that nothing else holds back.
 *
 * Arithmetic: two thirds of the registers are accumulators, more than the latency of two FMA units
 * needs (8 to 10), and nothing is loaded in the loop. Each chain is x = x * a + x with a tiny a, so
 * that values stay finite and no chain is like another.
 *
 * The matrix unit: a block of 2 x 2 sums from two left and two right tiles, which is what a kernel
 * does between loads; each of the four sums is a chain, and operands stay in their registers.
 *
 * Memory: loads of whole vectors into independent sums. Which way of walking is fastest differs
 * from CPU to CPU (hardware prefetchers, fill buffers), so there are several. */
#include "codegen/emit/matrix_unit.h"
#include "codegen/module.h"

static const char symbol[] = "ssmc_probes"; /* table of the functions' addresses */
enum { UNROLL = 4, MOST_CHAINS = 24, SUMS = 8, LINE = 64, ROUND_BYTES = 2048 };

typedef enum {
    KIND_FMA,
    KIND_BF16,
    KIND_I8,
    KIND_MATRIX_BF16,
    KIND_MATRIX_I8,
    KIND_READ,
    KIND_UPDATE,
} ProbeKind;

typedef struct {
    const char *name;
    ProbeKind kind;
    int streams, ahead;
    const char *doc;
} ProbeInfo;

static const ProbeInfo probe_info[PROBE_COUNT] = {
#define PROBE(id, kind, streams, ahead, doc) [PROBE_##id] = {#id, KIND_##kind, streams, ahead, doc},
#include "codegen/probes.def"
#undef PROBE
};

/* ---- arithmetic ---------------------------------------------------------------------------- */

typedef struct {
    ProbeKind kind;
    LLVMTypeRef type;       /* of a chain: f32 vectors, or i32 ones */
    Val chain[MOST_CHAINS]; /* variables */
    int count;
    Val a, b; /* factors: f32 vectors, pairs of bf16, or quads of bytes */
} Chains;

static int
chain_count(const Cg *c)
{
    const int registers = c->machine->vector_registers * 2 / 3;
    return registers < MOST_CHAINS ? registers : MOST_CHAINS;
}

static Val
chain_step(Cg *c, const Chains *ch, Val x)
{
    if (ch->kind == KIND_I8)
        return cg_dot_bytes(c, x, cg_bytes_unsigned(c, ch->a, c->lanes),
                            cg_bytes_signed(c, ch->b, c->lanes), c->lanes);
    return ch->kind == KIND_BF16 ? cg_dot_bf16(c, x, ch->a, ch->b, c->lanes)
                                 : cg_fma(c, x, ch->a, x);
}

static Val
chain_add(Cg *c, const Chains *ch, Val a, Val b)
{
    return ch->kind == KIND_I8 ? cg_add_ints(c, a, b) : cg_fadd(c, a, b);
}

/* Chains start from what data holds and end in it, so that nothing is known or unused. */
static void
arithmetic_body(Cg *c, ProbeKind kind, Val rounds, Val data)
{
    const Dtype dtype = kind == KIND_I8 ? DTYPE_i32 : DTYPE_f32;
    Chains ch = {.kind = kind, .count = chain_count(c)};
    const Val start = cg_vload(c, data, dtype, c->lanes, NULL);
    const Val tiny = cg_splat(c, LLVMBuildLoad2(c->b, c->i32, data, ""), c->lanes);
    ch.type = LLVMTypeOf(start);
    ch.a = kind == KIND_FMA ? start : tiny;
    ch.b = ch.a;
    for (int i = 0; i < ch.count; i++) {
        const Val number = kind == KIND_I8 ? LLVMConstInt(c->i32, (unsigned)i, 0) : cg_f32(c, i);
        ch.chain[i] =
            cg_var(c, ch.type, chain_add(c, &ch, start, cg_splat(c, number, c->lanes)), "chain");
    }
    CgLoop loop = cg_loop(c, "rounds", cg_i64(c, 0), rounds, 1);
    for (int u = 0; u < UNROLL; u++)
        for (int i = 0; i < ch.count; i++)
            cg_set(c, ch.chain[i], chain_step(c, &ch, cg_get(c, ch.type, ch.chain[i])));
    cg_loop_end(c, &loop);
    Val sum = cg_get(c, ch.type, ch.chain[0]);
    for (int i = 1; i < ch.count; i++)
        sum = chain_add(c, &ch, sum, cg_get(c, ch.type, ch.chain[i]));
    LLVMSetAlignment(LLVMBuildStore(c->b, sum, data), 4);
}

/* ---- the matrix unit ----------------------------------------------------------------------- */

enum { SIDE = 2, BLOCK = SIDE * SIDE }; /* tiles of an operand, of the sums */

static bool
is_matrix(ProbeKind kind)
{
    return kind == KIND_MATRIX_BF16 || kind == KIND_MATRIX_I8;
}

/* Every row of the operands is the first of data, and every row of each sum is stored there. */
static void
matrix_body(Cg *c, ProbeKind kind, Val rounds, Val data)
{
    const Dtype dtype = kind == KIND_MATRIX_BF16 ? DTYPE_bf16 : DTYPE_u8;
    const CgUnitShape shape = {BLOCK, SIDE, SIDE, CG_UNIT_BYTES};
    cg_unit_open(c, &shape);
    for (int i = 0; i < BLOCK; i++)
        cg_unit_zero(c, i);
    for (int i = BLOCK; i < BLOCK + 2 * SIDE; i++)
        cg_unit_load(c, i, data, 0, false);
    CgLoop loop = cg_loop(c, "rounds", cg_i64(c, 0), rounds, 1);
    for (int u = 0; u < UNROLL; u++)
        for (int i = 0; i < BLOCK; i++)
            cg_unit_dot(c, dtype, i, BLOCK + i / SIDE, BLOCK + SIDE + i % SIDE);
    cg_loop_end(c, &loop);
    for (int i = 0; i < BLOCK; i++)
        cg_unit_store(c, i, data, 0);
    cg_unit_close(c);
}

/* ---- memory -------------------------------------------------------------------------------- */

typedef struct {
    const ProbeInfo *info;
    Val sum[SUMS]; /* variables */
} Walk;

/* One round of one stream at `at`. x * 0 + x is no identity to LLVM, which is told nothing about
 * NaN. */
static void
walk(Cg *c, const Walk *w, Val at, int bytes)
{
    const int vector = 4 * c->lanes;
    const LLVMTypeRef type = cg_vec_of(c->i32, c->lanes);
    for (int i = 0; i < bytes / vector; i++) {
        const Val here = cg_offset(c, at, cg_i64(c, i * vector));
        if (w->info->ahead && i * vector % LINE == 0)
            cg_prefetch(c, cg_offset(c, here, cg_i64(c, w->info->ahead)), 3);
        if (w->info->kind == KIND_READ) {
            const Val sum = w->sum[i % SUMS], v = cg_vload(c, here, DTYPE_i32, c->lanes, NULL);
            cg_set(c, sum, cg_add_ints(c, cg_get(c, type, sum), v));
        } else {
            const Val x = cg_vload(c, here, DTYPE_f32, c->lanes, NULL);
            cg_vstore(c, here, DTYPE_f32, cg_fma(c, x, cg_like(c, x, 0), x), c->lanes, NULL);
        }
    }
}

static void
memory_body(Cg *c, const ProbeInfo *info, Val passes, Val rounds, Val data)
{
    Walk w = {.info = info};
    const int bytes = ROUND_BYTES / info->streams; /* of a round, in each */
    const Val stream = cg_mul(c, rounds, cg_i64(c, bytes));
    const LLVMTypeRef type = cg_vec_of(c->i32, c->lanes);
    for (int i = 0; i < SUMS; i++)
        w.sum[i] = cg_var(c, type, LLVMConstNull(type), "sum");
    CgLoop pass = cg_loop(c, "passes", cg_i64(c, 0), passes, 1);
    CgLoop round = cg_loop(c, "rounds", cg_i64(c, 0), rounds, 1);
    for (int s = 0; s < info->streams; s++) {
        const Val from = cg_offset(c, data, cg_mul(c, stream, cg_i64(c, s)));
        walk(c, &w, cg_offset(c, from, cg_mul(c, round.i, cg_i64(c, bytes))), bytes);
    }
    cg_loop_end(c, &round);
    cg_loop_end(c, &pass);
    /* The sums are added to the first vector only if they are 1: never, but LLVM cannot know. */
    Val sum = cg_get(c, type, w.sum[0]);
    for (int i = 1; i < SUMS; i++)
        sum = cg_add_ints(c, sum, cg_get(c, type, w.sum[i]));
    const Val first = LLVMBuildExtractElement(c->b, sum, LLVMConstInt(c->i32, 0, 0), "");
    CgIf one = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, first, LLVMConstInt(c->i32, 1, 0), ""));
    LLVMSetAlignment(LLVMBuildStore(c->b, sum, data), 4);
    cg_endif(c, &one);
}

/* ---- the module ---------------------------------------------------------------------------- */

/* Operations or bytes of a round. */
static double
probe_work(const Cg *c, ProbeKind kind)
{
    const double multiply_adds = (double)UNROLL * chain_count(c) * c->lanes;
    const double results = UNROLL * BLOCK * CG_UNIT_ROWS * CG_UNIT_ROWS; /* of tile products */
    switch (kind) {
    case KIND_FMA:
        return 2 * multiply_adds;
    case KIND_BF16:
        return 4 * multiply_adds;
    case KIND_I8:
        return 8 * multiply_adds;
    case KIND_MATRIX_BF16:
        return 2 * results * CG_UNIT_BYTES / 2;
    case KIND_MATRIX_I8:
        return 2 * results * CG_UNIT_BYTES;
    case KIND_READ:
        return ROUND_BYTES;
    case KIND_UPDATE:
        return 2 * ROUND_BYTES;
    }
    return 0;
}

static Val
probe_function(Cg *c, const ProbeInfo *info)
{
    LLVMTypeRef args[] = {c->i64, c->i64, c->ptr};
    c->fn = LLVMAddFunction(c->mod, info->name, LLVMFunctionType(c->void_t, args, 3, 0));
    LLVMSetLinkage(c->fn, LLVMInternalLinkage);
    cg_describe_function(c, c->fn);
    const LLVMBasicBlockRef vars = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "vars");
    const LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "start");
    LLVMPositionBuilderAtEnd(c->at_entry, vars);
    LLVMPositionBuilderAtEnd(c->b, start);
    const Val passes = LLVMGetParam(c->fn, 0), rounds = LLVMGetParam(c->fn, 1);
    const Val data = LLVMGetParam(c->fn, 2);
    if (info->streams > 0)
        memory_body(c, info, passes, rounds, data);
    else
        (is_matrix(info->kind) ? matrix_body : arithmetic_body)(
            c, info->kind, LLVMBuildMul(c->b, passes, rounds, ""), data);
    LLVMBuildRetVoid(c->b);
    LLVMBuildBr(c->at_entry, start);
    return c->fn;
}

/* C functions that stand in for a unit are no ceiling of the machine. */
static bool
probe_possible(const Machine *m, ProbeKind kind)
{
    if (kind == KIND_MATRIX_BF16)
        return m->matrix.bf16 && !m->matrix.model;
    if (kind == KIND_MATRIX_I8)
        return m->matrix.i8 && !m->matrix.model;
    return kind != KIND_BF16 || m->bf16_dot;
}

/* Functions, and their addresses as the table `symbol`. */
static void
probe_module(Cg *c, CgProbe out[PROBE_COUNT])
{
    Val address[PROBE_COUNT];
    for (int i = 0; i < PROBE_COUNT; i++) {
        const ProbeInfo *info = &probe_info[i];
        out[i] = (CgProbe){.work = probe_work(c, info->kind), .doc = info->doc};
        out[i].bytes = info->streams ? ROUND_BYTES : 0;
        out[i].reads = info->kind == KIND_READ;
        address[i] = probe_possible(c->machine, info->kind) ? probe_function(c, info)
                                                            : LLVMConstNull(c->ptr);
    }
    const Val table = LLVMAddGlobal(c->mod, LLVMArrayType2(c->ptr, PROBE_COUNT), symbol);
    LLVMSetInitializer(table, LLVMConstArray2(c->ptr, address, PROBE_COUNT));
    LLVMSetGlobalConstant(table, 1);
}

CgJit *
cg_probes(Arena *arena, const Machine *machine, CgProbe out[PROBE_COUNT], const char **why)
{
    Arena *own = arena_new();
    CgModule *module = arena_alloc(own, sizeof *module);
    module->arena = own;
    module->machine = *machine;
    module->llvm = cg_llvm_machine(&module->machine);
    cg_llvm_open(&module->cg, own, &module->machine, module->llvm);
    probe_module(&module->cg, out);
    CgJit *jit = cg_jit_symbol(arena, module, symbol, 1, why);
    cg_module_free(module);
    if (!jit)
        return NULL;
    CgProbeRun *const *run = cg_jit_address(jit);
    for (int i = 0; i < PROBE_COUNT; i++)
        out[i].run = run[i];
    return jit;
}
