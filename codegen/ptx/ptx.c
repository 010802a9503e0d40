/* codegen/ptx/ptx.c -- threads, shared memory, exchanges, copies and products of tiles: LLVM's
 * intrinsics for NVPTX, or calls of the model's functions. */
#include "codegen/ptx/ptx.h"

#include <string.h>

/* ---- intrinsics, and what stands in for them ----------------------------------------------------
 */

/* The model's functions take and give i32, i64, f32 and addresses. */
static Val
model_call(Cg *c, const char *name, LLVMTypeRef result, Val *args, int count)
{
    LLVMTypeRef types[8];
    for (int i = 0; i < count; i++)
        types[i] = LLVMTypeOf(args[i]);
    const LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)count, 0);
    const char *full = arena_printf(c->arena, "gpu_model_%s", name);
    const Val known = LLVMGetNamedFunction(c->mod, full);
    const Val fn = known ? known : LLVMAddFunction(c->mod, full, type);
    return LLVMBuildCall2(c->b, type, fn, args, (unsigned)count, "");
}

static bool
on_model(const Cg *c)
{
    return c->machine->gpu.model;
}

static Val
i32(Cg *c, int64_t n)
{
    return LLVMConstInt(c->i32, (unsigned long long)n, 1);
}

/* An i32 that is no more than `most`, as i64. */
static Val
index_of(Cg *c, Val narrow)
{
    return LLVMBuildZExt(c->b, narrow, c->i64, "");
}

/* ---- the grid
 * ------------------------------------------------------------------------------------ */

int
ptx_power_of_two(int64_t least)
{
    int n = 1;
    while (n < least)
        n *= 2;
    return n;
}

void
ptx_threads(CgKernel *k, int64_t threads)
{
    if (threads < 1 || threads > GPU_MOST_THREADS || threads % GPU_WARP)
        die("kernel %s: a block of %lld threads", k->kernel->name, (long long)threads);
    k->launch.threads = (int32_t)threads;
}

void
ptx_annotate(Cg *c, Val fn, const char *key, int64_t value)
{
    LLVMMetadataRef items[] = {
        LLVMValueAsMetadata(fn), LLVMMDStringInContext2(c->ctx, key, strlen(key)),
        LLVMValueAsMetadata(LLVMConstInt(c->i32, (unsigned long long)value, 0))};
    const LLVMMetadataRef node = LLVMMDNodeInContext2(c->ctx, items, COUNT_OF(items));
    LLVMAddNamedMetadataOperand(c->mod, "nvvm.annotations", LLVMMetadataAsValue(c->ctx, node));
}

void
ptx_resident(Cg *c, int blocks)
{
    if (!on_model(c))
        ptx_annotate(c, c->fn, "minctasm", blocks);
}

void
ptx_grid(CgKernel *k, int direction, AbiCount of, int64_t each, int64_t per, int64_t times)
{
    if (each < 1 || per < 1 || times < 1 || times > INT32_MAX)
        die("kernel %s: a grid of nothing", k->kernel->name);
    k->launch.grid[direction] =
        (AbiExtent){.of = of, .times = (int32_t)times, .each = each, .per = per};
}

void
ptx_grid_more(CgKernel *k, int direction, int64_t more)
{
    k->launch.grid[direction].more = more;
}

AbiCount
ptx_count(const Value *v, int64_t *each)
{
    const Shape *s = &v->type.shape;
    *each = 1;
    if (s->rank == 0)
        return ABI_ONE;
    switch (s->dim[0].kind) {
    case DIM_TOKENS:
        return ABI_TOKENS;
    case DIM_ROWS:
        return ABI_PICKED;
    case DIM_CHOICES:
        *each = s->dim[0].n;
        return ABI_TOKENS;
    case DIM_CONST:
        *each = s->rank > 1 ? s->dim[0].n : 1;
        return ABI_ONE;
    case DIM_CHUNKS:
    case DIM_CHUNK:
    case DIM_KEPT:
        break;
    }
    die("ptx_count: %s has no rows of a pass", v->name ? v->name : "a value");
}

/* ---- kernels that run while others end
 * ----------------------------------------------------------------------- */

static Val asm_call(Cg *c, const char *code, const char *constraints, LLVMTypeRef result, Val *args,
                    int count);
static void asm_plain(Cg *c, const char *code, const char *model);

/* Kernels of many rows take far longer than what this saves, and read what those before have made
 * through a cache that sees no writes: stale lines may be there while those still run. */
bool
ptx_begins_early(const Cg *c, const CgKernel *k)
{
    const bool few = !graph_has_runs(k->graph);
    return on_model(c) || (few && c->machine->gpu.capability >= GPU_BEGINS_EARLY);
}

static bool
is_held(const CgOperand *o)
{
    const Value *v = o->value;
    return o->is_output || !v || (v->kind == VALUE_RESULT && !v->is_param);
}

/* What is used of an address before the wait is found as it ends: a freeze of it has users. */
void
ptx_hold(Cg *c, CgKernel *k)
{
    if (k->held)
        die("kernel %s is held already", k->kernel->name);
    k->held = arena_array(c->arena, (size_t)k->noperands + 1, sizeof *k->held);
    for (int i = 0; i < k->noperands; i++)
        if (is_held(&k->operands[i]))
            k->operands[i].base = k->held[i] = LLVMBuildFreeze(c->b, k->operands[i].base, "held");
}

void
ptx_wait(Cg *c, CgKernel *k)
{
    if (!k->held)
        die("kernel %s waits twice", k->kernel->name);
    for (int i = 0; i < k->noperands; i++) {
        if (!k->held[i])
            continue;
        if (LLVMGetFirstUse(k->held[i]))
            die("kernel %s uses operand %d before it waits", k->kernel->name, i);
        LLVMInstructionEraseFromParent(k->held[i]);
        k->operands[i].base = LLVMGetParam(c->fn, (unsigned)i);
    }
    k->held = NULL;
    k->launch.waits = ptx_begins_early(c, k);
    if (ptx_begins_early(c, k))
        asm_plain(c, "griddepcontrol.wait;", "wait");
}

void
ptx_let_others_begin(Cg *c, const CgKernel *k)
{
    if (ptx_begins_early(c, k))
        asm_plain(c, "griddepcontrol.launch_dependents;", "let_others_begin");
}

static Val
special(Cg *c, const char *reg, int direction)
{
    static const char axis[] = "xyz";
    if (on_model(c)) {
        Val arg = i32(c, direction);
        return index_of(c, model_call(c, reg, c->i32, &arg, 1));
    }
    const char *name =
        arena_printf(c->arena, "llvm.nvvm.read.ptx.sreg.%s.%c", reg, axis[direction]);
    return index_of(c, cg_intrinsic(c, name, NULL, 0, NULL, 0));
}

Val
ptx_thread(Cg *c)
{
    return special(c, "tid", 0);
}

Val
ptx_block(Cg *c, int direction)
{
    return special(c, "ctaid", direction);
}

Val
ptx_lane(Cg *c)
{
    return LLVMBuildAnd(c->b, ptx_thread(c), cg_i64(c, GPU_WARP - 1), "lane");
}

Val
ptx_warp(Cg *c)
{
    return cg_div(c, ptx_thread(c), cg_i64(c, GPU_WARP));
}

/* ---- what threads share
 * ---------------------------------------------------------------------------- */

/* PTX: one array of no size that every kernel of the module means; its size is said at launch. */
static Val
shared_base(Cg *c)
{
    enum { SHARED = 3 }; /* address space */
    if (on_model(c))
        return model_call(c, "shared", c->ptr, NULL, 0);
    Val array = LLVMGetNamedGlobal(c->mod, "ssmc_shared");
    if (!array) {
        array =
            LLVMAddGlobalInAddressSpace(c->mod, LLVMArrayType2(c->i8, 0), "ssmc_shared", SHARED);
        LLVMSetAlignment(array, 1024); /* what wgmma reads is so aligned */
        LLVMSetLinkage(array, LLVMExternalLinkage);
    }
    return LLVMConstAddrSpaceCast(array, c->ptr);
}

Val
ptx_shared(Cg *c, CgKernel *k, int64_t bytes)
{
    const Val at = cg_offset(c, shared_base(c), cg_i64(c, k->launch.shared_bytes));
    const int64_t end = k->launch.shared_bytes + round_up(bytes, 16);
    if (bytes < 0 || end > c->machine->gpu.shared_bytes)
        die("kernel %s wants %lld bytes of shared memory", k->kernel->name, (long long)end);
    k->launch.shared_bytes = (int32_t)end;
    return at;
}

void
ptx_barrier(Cg *c)
{
    if (on_model(c))
        model_call(c, "barrier", c->void_t, NULL, 0);
    else
        cg_intrinsic(c, "llvm.nvvm.barrier0", NULL, 0, NULL, 0);
}

Val
ptx_barrier_count(Cg *c, Val yes)
{
    Val arg = LLVMBuildZExt(c->b, yes, c->i32, "");
    return index_of(c, on_model(c) ? model_call(c, "barrier_count", c->i32, &arg, 1)
                                   : cg_intrinsic(c, "llvm.nvvm.barrier0.popc", NULL, 0, &arg, 1));
}

void
ptx_warp_barrier(Cg *c)
{
    Val all = i32(c, -1);
    if (on_model(c))
        model_call(c, "warp_barrier", c->void_t, NULL, 0);
    else
        cg_intrinsic(c, "llvm.nvvm.bar.warp.sync", NULL, 0, &all, 1);
}

Val
ptx_exchange(Cg *c, Val x, int mask)
{
    if (LLVMTypeOf(x) == c->i32)
        return cg_as_bits(c, ptx_exchange(c, cg_as_float(c, x), mask));
    if (on_model(c)) {
        Val args[] = {x, i32(c, mask)};
        return model_call(c, "exchange", c->f32, args, 2);
    }
    Val args[] = {i32(c, -1), x, i32(c, mask), i32(c, GPU_WARP - 1)};
    return cg_intrinsic(c, "llvm.nvvm.shfl.sync.bfly.f32", NULL, 0, args, 4);
}

/* ptxas takes what one lane gives to all for uniform, and nothing that is made of thread numbers.
 */
Val
ptx_of_warp(Cg *c, Val number)
{
    Val x = LLVMBuildTrunc(c->b, number, c->i32, "");
    if (on_model(c))
        return index_of(c, model_call(c, "of_warp", c->i32, &x, 1));
    Val args[] = {i32(c, -1), x, i32(c, 0), i32(c, GPU_WARP - 1)};
    return index_of(c, cg_intrinsic(c, "llvm.nvvm.shfl.sync.idx.i32", NULL, 0, args, 4));
}

Val
ptx_exchange_double(Cg *c, Val x, int mask)
{
    const LLVMTypeRef halves = LLVMVectorType(c->f32, 2);
    const Val given = LLVMBuildBitCast(c->b, x, halves, "");
    Val got = LLVMGetPoison(halves);
    for (int i = 0; i < 2; i++)
        got = LLVMBuildInsertElement(c->b, got, ptx_exchange(c, cg_slice(c, given, i, 1), mask),
                                     cg_i64(c, i), "");
    return LLVMBuildBitCast(c->b, got, LLVMTypeOf(x), "");
}

Val
ptx_ballot(Cg *c, Val yes)
{
    if (on_model(c)) {
        Val arg = LLVMBuildZExt(c->b, yes, c->i32, "");
        return model_call(c, "ballot", c->i32, &arg, 1);
    }
    Val args[] = {i32(c, -1), yes};
    return cg_intrinsic(c, "llvm.nvvm.vote.ballot.sync", NULL, 0, args, 2);
}

Val
ptx_count_bits(Cg *c, Val bits)
{
    LLVMTypeRef type = c->i32;
    return index_of(c, cg_intrinsic(c, "llvm.ctpop", &type, 1, &bits, 1));
}

Val
ptx_warp_fold(Cg *c, Val x, int lanes, Val combine(Cg *c, Val a, Val b))
{
    for (int mask = lanes / 2; mask > 0; mask /= 2)
        x = combine(c, x, ptx_exchange(c, x, mask));
    return x;
}

/* Each warp by itself, then every warp those of all warps. The barrier before lets all threads have
 * read what a round before of the same code left. */
Val
ptx_block_fold(Cg *c, CgKernel *k, Val x, double identity, Val combine(Cg *c, Val a, Val b))
{
    const int warps = k->launch.threads / GPU_WARP;
    x = ptx_warp_fold(c, x, GPU_WARP, combine);
    if (warps == 1)
        return x;
    const Val place = ptx_shared(c, k, GPU_WARP * (int64_t)sizeof(float)), lane = ptx_lane(c);
    ptx_barrier(c);
    CgIf first = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, lane, cg_i64(c, 0), ""));
    cg_vstore(c, cg_at(c, place, DTYPE_f32, ptx_warp(c)), DTYPE_f32, x, 1, NULL);
    cg_endif(c, &first);
    ptx_barrier(c);
    const Val there = cg_less(c, lane, cg_i64(c, warps));
    const Val at = LLVMBuildSelect(c->b, there, lane, cg_i64(c, 0), "");
    const Val one = cg_vload(c, cg_at(c, place, DTYPE_f32, at), DTYPE_f32, 1, NULL);
    x = LLVMBuildSelect(c->b, there, one, cg_f32(c, identity), "");
    return ptx_warp_fold(c, x, GPU_WARP, combine);
}

/* ---- clusters
 * ----------------------------------------------------------------------------------------
 */

void
ptx_grid_of_many(CgKernel *k, int64_t across, int64_t down)
{
    if (k->launch.grid[0].of != ABI_ONE || across > INT32_MAX)
        die("kernel %s: a grid of more rows that cannot be", k->kernel->name);
    k->launch.across = (int32_t)across;
    k->launch.down = (int32_t)down;
}

void
ptx_cluster(CgKernel *k, int64_t blocks)
{
    const AbiExtent *e = &k->launch.grid[0];
    const AbiCall any = {0};
    const int64_t across = k->launch.across ? k->launch.across : abi_blocks(e, &any);
    if (blocks > GPU_MOST_CLUSTER || e->of != ABI_ONE || across % blocks != 0)
        die("kernel %s: a cluster of %lld blocks", k->kernel->name, (long long)blocks);
    k->launch.cluster = (int32_t)blocks;
}

void
ptx_cluster_barrier(Cg *c)
{
    asm_plain(c,
              "barrier.cluster.arrive.release.aligned;\n\t"
              "barrier.cluster.wait.acquire.aligned;",
              "cluster_barrier");
}

void
ptx_cluster_end(Cg *c)
{
    asm_plain(c,
              "barrier.cluster.arrive.relaxed.aligned;\n\t"
              "barrier.cluster.wait.acquire.aligned;",
              "cluster_barrier");
}

Val
ptx_shared_of(Cg *c, Val shared, Val block)
{
    Val args[] = {shared, LLVMBuildTrunc(c->b, block, c->i32, "")};
    return on_model(c) ? model_call(c, "shared_of", c->ptr, args, 2)
                       : cg_intrinsic(c, "llvm.nvvm.mapa", NULL, 0, args, 2);
}

/* ---- numbers
 * ---------------------------------------------------------------------------------------- */

int
ptx_lanes(const CgOperand *o, int most)
{
    enum { WIDEST = 16 };
    const int bytes = dtype_info[o->dtype].bytes;
    int lanes = 1;
    while (2 * lanes <= most && 2 * lanes * bytes <= WIDEST &&
           o->aligned % (2 * lanes * bytes) == 0 && o->stride % (2 * lanes) == 0)
        lanes *= 2;
    return lanes;
}

Val
ptx_load(Cg *c, Val at, Dtype dtype, int lanes)
{
    const int bytes = lanes * dtype_info[dtype].bytes;
    if (lanes == 1 || (dtype != DTYPE_f32 && dtype != DTYPE_bf16))
        return cg_vload(c, at, dtype, lanes, NULL);
    const LLVMTypeRef words = cg_vec_of(dtype == DTYPE_f32 ? c->f32 : c->i32, bytes / 4);
    const Val raw = LLVMBuildLoad2(c->b, words, at, "");
    LLVMSetAlignment(raw, (unsigned)bytes);
    if (dtype == DTYPE_f32)
        return raw;
    Val all = LLVMGetPoison(cg_vec_type(c, lanes));
    for (int i = 0; i < lanes; i++) {
        const Val word = bytes == 4 ? raw : cg_slice(c, raw, i / 2, 1);
        const Val x = i % 2 ? ptx_high(c, word) : ptx_low(c, word);
        all = LLVMBuildInsertElement(c->b, all, x, cg_i64(c, i), "");
    }
    return all;
}

void
ptx_store(Cg *c, Val at, Dtype dtype, Val value)
{
    const int lanes = cg_lanes_of(value), bytes = lanes * dtype_info[dtype].bytes;
    if (lanes == 1 || (dtype != DTYPE_f32 && dtype != DTYPE_bf16)) {
        cg_vstore(c, at, dtype, value, lanes, NULL);
        return;
    }
    Val raw = value;
    if (dtype == DTYPE_bf16 && lanes == 2) {
        raw = ptx_pair(c, cg_slice(c, value, 0, 1), cg_slice(c, value, 1, 1));
    } else if (dtype == DTYPE_bf16) {
        raw = LLVMGetPoison(cg_vec_of(c->i32, lanes / 2));
        for (int i = 0; i < lanes; i += 2) {
            const Val word = ptx_pair(c, cg_slice(c, value, i, 1), cg_slice(c, value, i + 1, 1));
            raw = LLVMBuildInsertElement(c->b, raw, word, cg_i64(c, i / 2), "");
        }
    }
    LLVMSetAlignment(LLVMBuildStore(c->b, raw, at), (unsigned)bytes);
}

Val
ptx_load_row(Cg *c, const CgOperand *o, Val at, int lanes)
{
    const int together = ptx_lanes(o, lanes);
    if (together == 1)
        return cg_vload(c, at, o->dtype, lanes, NULL);
    Val all = LLVMGetPoison(cg_vec_type(c, lanes));
    for (int i = 0; i < lanes; i += together) {
        const Val some = ptx_load(c, cg_at(c, at, o->dtype, cg_i64(c, i)), o->dtype, together);
        for (int j = 0; j < together; j++)
            all = LLVMBuildInsertElement(c->b, all, cg_slice(c, some, j, 1), cg_i64(c, i + j), "");
    }
    return all;
}

void
ptx_store_row(Cg *c, const CgOperand *o, Val at, Val value)
{
    const int lanes = cg_lanes_of(value), together = ptx_lanes(o, lanes);
    if (together == 1)
        cg_vstore(c, at, o->dtype, value, lanes, NULL);
    for (int i = 0; together > 1 && i < lanes; i += together)
        ptx_store(c, cg_at(c, at, o->dtype, cg_i64(c, i)), o->dtype,
                  cg_slice(c, value, i, together));
}

Val
ptx_pair(Cg *c, Val low, Val high)
{
    if (on_model(c)) {
        Val args[] = {low, high};
        return model_call(c, "pair", c->i32, args, 2);
    }
    Val args[] = {high, low};
    const Val pair = cg_intrinsic(c, "llvm.nvvm.ff2bf16x2.rn", NULL, 0, args, 2);
    return LLVMBuildBitCast(c->b, pair, c->i32, "");
}

Val
ptx_low(Cg *c, Val pair)
{
    return cg_as_float(c, cg_shl(c, pair, 16));
}

Val
ptx_high(Cg *c, Val pair)
{
    return cg_as_float(c, cg_and(c, pair, 0xffff0000u));
}

Val
ptx_round_bf16(Cg *c, Val x)
{
    const int lanes = cg_lanes_of(x);
    Val all = LLVMGetPoison(cg_vec_type(c, lanes));
    for (int i = 0; i < lanes; i++) {
        const Val number = lanes == 1 ? x : cg_slice(c, x, i, 1);
        const Val one = cg_as_float(c, ptx_pair(c, cg_f32(c, 0), number));
        all = lanes == 1 ? one : LLVMBuildInsertElement(c->b, all, one, cg_i64(c, i), "");
    }
    return all;
}

/* A function of one f32, of each lane. */
static Val
of_lanes(Cg *c, Val x, const char *intrinsic, const char *model)
{
    const int lanes = cg_lanes_of(x);
    if (lanes > 1) {
        Val all = LLVMGetPoison(LLVMTypeOf(x));
        for (int i = 0; i < lanes; i++) {
            const Val one = of_lanes(c, cg_slice(c, x, i, 1), intrinsic, model);
            all = LLVMBuildInsertElement(c->b, all, one, cg_i64(c, i), "");
        }
        return all;
    }
    return on_model(c) ? model_call(c, model, c->f32, &x, 1)
                       : cg_intrinsic(c, intrinsic, NULL, 0, &x, 1);
}

Val
ptx_exp2(Cg *c, Val x)
{
    return of_lanes(c, x, "llvm.nvvm.ex2.approx.ftz.f", "exp2");
}

Val
ptx_reciprocal(Cg *c, Val x)
{
    return of_lanes(c, x, "llvm.nvvm.rcp.approx.ftz.f", "reciprocal");
}

Val
ptx_max(Cg *c, Val a, Val b)
{
    Val args[] = {a, b};
    if (!on_model(c))
        return cg_intrinsic(c, "llvm.nvvm.fmax.f", NULL, 0, args, 2);
    const Val above = LLVMBuildFCmp(c->b, LLVMRealUGT, a, b, ""); /* or one is a NaN */
    const Val is_nan = LLVMBuildFCmp(c->b, LLVMRealUNO, a, a, "");
    return LLVMBuildSelect(c->b, LLVMBuildAnd(c->b, above, LLVMBuildNot(c->b, is_nan, ""), ""), a,
                           b, "");
}

/* ---- copies
 * ------------------------------------------------------------------------------------------ */

/* An address of shared memory, or of memory, as instructions for that alone want it. */
static Val
in_space(Cg *c, Val at, unsigned space)
{
    return LLVMBuildAddrSpaceCast(c->b, at, LLVMPointerTypeInContext(c->ctx, space), "");
}

static void
copy16(Cg *c, Val shared, Val from, Val valid, const char *model)
{
    enum { BYTES = 16, GLOBAL = 1, SHARED = 3 };
    const Val bytes = LLVMBuildSelect(c->b, valid, i32(c, BYTES), i32(c, 0), "");
    if (on_model(c)) {
        Val args[] = {shared, from, bytes};
        model_call(c, model, c->void_t, args, 3);
        return;
    }
    Val args[] = {in_space(c, shared, SHARED), in_space(c, from, GLOBAL), bytes};
    cg_intrinsic(c, "llvm.nvvm.cp.async.cg.shared.global.16.s", NULL, 0, args, 3);
}

void
ptx_copy16(Cg *c, Val shared, Val from, Val valid)
{
    copy16(c, shared, from, valid, "copy16");
}

void
ptx_copy16_weight(Cg *c, Val shared, Val from, Val valid)
{
    copy16(c, shared, from, valid, "copy16_weight");
}

void
ptx_copy_commit(Cg *c)
{
    if (on_model(c))
        model_call(c, "copy_commit", c->void_t, NULL, 0);
    else
        cg_intrinsic(c, "llvm.nvvm.cp.async.commit.group", NULL, 0, NULL, 0);
}

void
ptx_copy_wait(Cg *c, int behind)
{
    Val arg = i32(c, behind);
    if (on_model(c))
        model_call(c, "copy_wait", c->void_t, &arg, 1);
    else
        cg_intrinsic(c, "llvm.nvvm.cp.async.wait.group", NULL, 0, &arg, 1);
}

/* LLVM has no intrinsic of a load that leaves the first-level cache alone. It stays where it is
 * built: before a wait, if it was. One through the cache that sees no writes (.nc) would not:
 * ptxas moves a wait in front of it. */
static Val
load_once(Cg *c, Val from)
{
    enum { GLOBAL = 1 };
    static const char code[] = "ld.global.L1::no_allocate.L2::128B.v4.u32 {$0, $1, $2, $3}, [$4];";
    static const char constraints[] = "=r,=r,=r,=r,l";
    Val at = in_space(c, from, GLOBAL);
    LLVMTypeRef parts[] = {c->i32, c->i32, c->i32, c->i32}, arg = LLVMTypeOf(at);
    const LLVMTypeRef type =
        LLVMFunctionType(LLVMStructTypeInContext(c->ctx, parts, 4, 0), &arg, 1, 0);
    const Val load = LLVMGetInlineAsm(type, code, strlen(code), constraints, strlen(constraints), 1,
                                      0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(c->b, type, load, &at, 1, "");
}

void
ptx_load16(Cg *c, Val from, bool once, Val out[4])
{
    if (once && !on_model(c)) {
        const Val all = load_once(c, from);
        for (unsigned i = 0; i < 4; i++)
            out[i] = LLVMBuildExtractValue(c->b, all, i, "");
        return;
    }
    const Val all = LLVMBuildLoad2(c->b, LLVMVectorType(c->i32, 4), from, "");
    LLVMSetAlignment(all, on_model(c) ? 1 : 16);
    for (int i = 0; i < 4; i++)
        out[i] = LLVMBuildExtractElement(c->b, all, cg_i64(c, i), "");
}

void
ptx_ask(Cg *c, Val from, int64_t bytes)
{
    enum { GLOBAL = 1 };
    if (on_model(c)) {
        Val args[] = {from, cg_i64(c, bytes)};
        model_call(c, "ask", c->void_t, args, 2);
        return;
    }
    if (c->machine->gpu.capability < GPU_BEGINS_EARLY)
        return;
    Val args[] = {in_space(c, from, GLOBAL), i32(c, bytes)};
    asm_call(c, "cp.async.bulk.prefetch.L2.global [$0], $1;", "l,r,~{memory}", c->void_t, args, 2);
}

void
ptx_ask_line(Cg *c, Val of)
{
    enum { GLOBAL = 1 };
    if (on_model(c)) {
        Val args[] = {of, cg_i64(c, 1)};
        model_call(c, "ask", c->void_t, args, 2);
        return;
    }
    Val at = in_space(c, of, GLOBAL);
    asm_call(c, "prefetch.global.L2 [$0];", "l,~{memory}", c->void_t, &at, 1);
}

/* ---- products of tiles
 * --------------------------------------------------------------------------------- */

static Val
place_of(Cg *c, LLVMTypeRef element, unsigned count)
{
    const Val at = LLVMBuildAlloca(c->at_entry, LLVMArrayType2(element, count), "tile");
    LLVMSetAlignment(at, 16);
    return at;
}

static Val
item_at(Cg *c, LLVMTypeRef element, Val base, int i)
{
    Val index = cg_i64(c, i);
    return LLVMBuildInBoundsGEP2(c->b, element, base, &index, 1, "");
}

static void
put_items(Cg *c, LLVMTypeRef element, Val base, const Val *items, int count)
{
    for (int i = 0; i < count; i++)
        LLVMBuildStore(c->b, items[i], item_at(c, element, base, i));
}

static void
get_items(Cg *c, LLVMTypeRef element, Val base, Val *items, int count)
{
    for (int i = 0; i < count; i++)
        items[i] = LLVMBuildLoad2(c->b, element, item_at(c, element, base, i), "");
}

void
ptx_mma_bf16(Cg *c, Val acc[4], const Val a[4], const Val b[2])
{
    if (on_model(c)) {
        Val args[] = {place_of(c, c->f32, 4), place_of(c, c->i32, 4), place_of(c, c->i32, 2)};
        put_items(c, c->f32, args[0], acc, 4);
        put_items(c, c->i32, args[1], a, 4);
        put_items(c, c->i32, args[2], b, 2);
        model_call(c, "mma_bf16", c->void_t, args, 3);
        get_items(c, c->f32, args[0], acc, 4);
        return;
    }
    Val args[] = {a[0], a[1], a[2], a[3], b[0], b[1], acc[0], acc[1], acc[2], acc[3]};
    const Val out =
        cg_intrinsic(c, "llvm.nvvm.mma.m16n8k16.row.col.bf16", NULL, 0, args, COUNT_OF(args));
    for (unsigned i = 0; i < 4; i++)
        acc[i] = LLVMBuildExtractValue(c->b, out, i, "");
}

void
ptx_load_matrices(Cg *c, Val address, bool transpose, Val out[4])
{
    enum { SHARED = 3 };
    if (on_model(c)) {
        Val args[] = {address, i32(c, transpose), place_of(c, c->i32, 4)};
        model_call(c, "load_matrices", c->void_t, args, 3);
        get_items(c, c->i32, args[2], out, 4);
        return;
    }
    Val at = in_space(c, address, SHARED);
    LLVMTypeRef type = LLVMTypeOf(at);
    const char *name = transpose ? "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16"
                                 : "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16";
    const Val all = cg_intrinsic(c, name, &type, 1, &at, 1);
    for (unsigned i = 0; i < 4; i++)
        out[i] = LLVMBuildExtractValue(c->b, all, i, "");
}

enum { MOST_MORE = 5 }; /* operands of an instruction beside sums */

static Val
asm_call(Cg *c, const char *code, const char *constraints, LLVMTypeRef result, Val *args, int count)
{
    LLVMTypeRef types[GPU_WARPGROUP + MOST_MORE];
    for (int i = 0; i < count; i++)
        types[i] = LLVMTypeOf(args[i]);
    const LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)count, 0);
    const Val code_value = LLVMGetInlineAsm(type, code, strlen(code), constraints,
                                            strlen(constraints), 1, 0, LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(c->b, type, code_value, args, (unsigned)count, "");
}

/* ---- signals
 * ---------------------------------------------------------------------------------- */

/* One instruction of a signal: code of the address $0, and of an i32 $1 unless that is NULL. */
static void
signal_call(Cg *c, const char *model, const char *code, Val at, Val more)
{
    enum { SHARED = 3 };
    Val args[] = {at, more};
    const int count = more ? 2 : 1;
    if (on_model(c)) {
        model_call(c, model, c->void_t, args, count);
        return;
    }
    args[0] = LLVMBuildPtrToInt(c->b, in_space(c, at, SHARED), c->i32, "");
    asm_call(c, code, more ? "r,r,~{memory}" : "r,~{memory}", c->void_t, args, count);
}

void
ptx_signal_open(Cg *c, Val at, int times)
{
    signal_call(c, "signal_open", "mbarrier.init.shared::cta.b64 [$0], $1;", at, i32(c, times));
}

void
ptx_signal_give(Cg *c, Val at)
{
    signal_call(c, "signal_give", "mbarrier.arrive.shared::cta.b64 _, [$0];", at, NULL);
}

/* Names of labels are known within the braces alone. */
void
ptx_signal_wait(Cg *c, Val at, Val odd)
{
    static const char code[] = "{\n"
                               ".reg .pred over;\n"
                               "again:\n"
                               "mbarrier.try_wait.parity.shared::cta.b64 over, [$0], $1;\n"
                               "@over bra done;\n"
                               "bra again;\n"
                               "done:\n"
                               "}";
    signal_call(c, "signal_wait", code, at, odd);
}

Val
ptx_signal_over(Cg *c, Val at, Val odd)
{
    enum { SHARED = 3 };
    static const char code[] = "{\n"
                               ".reg .pred over;\n"
                               "mbarrier.test_wait.parity.shared::cta.b64 over, [$1], $2;\n"
                               "selp.b32 $0, 1, 0, over;\n"
                               "}";
    Val args[] = {at, odd}, over = NULL;
    if (on_model(c)) {
        over = model_call(c, "signal_over", c->i32, args, COUNT_OF(args));
    } else {
        args[0] = LLVMBuildPtrToInt(c->b, in_space(c, at, SHARED), c->i32, "");
        over = asm_call(c, code, "=r,r,r,~{memory}", c->i32, args, COUNT_OF(args));
    }
    return LLVMBuildICmp(c->b, LLVMIntNE, over, LLVMConstInt(c->i32, 0, 0), "");
}

void
ptx_signal_expect(Cg *c, Val at, int64_t bytes)
{
    signal_call(c, "signal_expect", "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", at,
                i32(c, bytes));
}

void
ptx_signal_more(Cg *c, Val at, int64_t bytes)
{
    signal_call(c, "signal_more", "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [$0], $1;", at,
                i32(c, bytes));
}

/* ---- copies of boxes
 * -------------------------------------------------------------------------- */

int
ptx_map_of(CgKernel *k, const AbiMap *map)
{
    if (k->launch.maps == ABI_MOST_MAPS)
        die("kernel %s has too many maps", k->kernel->name);
    k->launch.map[k->launch.maps] = *map;
    return k->launch.maps++;
}

/* Of rank 2 the place has two numbers; of more, zeros between the first and the last. */
static void
begin_box(StrBuf *code, int rank)
{
    sb_printf(code,
              "cp.async.bulk.tensor.%dd.shared::cluster.global.mbarrier::complete_tx::bytes "
              "[$0], [$1, {$2",
              rank);
    for (int i = 2; i < rank; i++)
        sb_puts(code, ", $4");
    sb_puts(code, ", $3}], [$5];");
}

void
ptx_box_copy(Cg *c, CgKernel *k, Val shared, int map, Val first, Val last, Val signal)
{
    enum { SHARED = 3 };
    const Val from = LLVMBuildTrunc(c->b, first, c->i32, "");
    const Val row = LLVMBuildTrunc(c->b, last, c->i32, "");
    if (on_model(c)) {
        Val args[] = {shared, i32(c, map), from, row, signal};
        model_call(c, "box_copy", c->void_t, args, COUNT_OF(args));
        return;
    }
    StrBuf code = {0};
    begin_box(&code, k->launch.map[map].rank);
    Val args[] = {
        LLVMBuildPtrToInt(c->b, in_space(c, shared, SHARED), c->i32, ""),
        LLVMGetParam(c->fn, (unsigned)(k->noperands + 1 + map)),
        from,
        row,
        i32(c, 0),
        LLVMBuildPtrToInt(c->b, in_space(c, signal, SHARED), c->i32, ""),
    };
    asm_call(c, sb_text(&code), "r,l,r,r,r,r,~{memory}", c->void_t, args, COUNT_OF(args));
    sb_free(&code);
}

void
ptx_store_matrices(Cg *c, Val address, const Val in[4])
{
    enum { SHARED = 3 };
    if (on_model(c)) {
        Val args[] = {address, place_of(c, c->i32, 4)};
        put_items(c, c->i32, args[1], in, 4);
        model_call(c, "store_matrices", c->void_t, args, 2);
        return;
    }
    const Val at = LLVMBuildPtrToInt(c->b, in_space(c, address, SHARED), c->i32, "");
    Val args[] = {at, in[0], in[1], in[2], in[3]};
    asm_call(c, "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [$0], {$1, $2, $3, $4};",
             "r,r,r,r,r,~{memory}", c->void_t, args, COUNT_OF(args));
}

/* ---- products of four warps
 * ------------------------------------------------------------------------------ */

/* One instruction without operands, ordered with all others and with memory. */
static void
asm_plain(Cg *c, const char *code, const char *model)
{
    if (on_model(c))
        model_call(c, model, c->void_t, NULL, 0);
    else
        asm_call(c, code, "~{memory}", c->void_t, NULL, 0);
}

/* A matrix descriptor: bits 0-13 the address / 16, 16-29 the leading offset / 16 (from 64 columns
 * to the next 64, where rows are summed over; not used otherwise), 32-45 the bytes / 16 from 8 rows
 * to the next 8, 62-63 the swizzle of 128 bytes. */
static Val
descriptor(Cg *c, Val shared, Val offset, int64_t leading)
{
    enum { SHARED = 3 };
    const uint64_t fields =
        UINT64_C(1) << 62 | UINT64_C(1024 / 16) << 32 | (uint64_t)(leading / 16) << 16;
    const Val base = on_model(c) ? model_call(c, "shared", c->ptr, NULL, 0) : NULL;
    const Val from = base ? LLVMBuildPtrToInt(c->b, base, c->i64, "") : NULL;
    const Val whole =
        LLVMBuildPtrToInt(c->b, base ? shared : in_space(c, shared, SHARED), c->i64, "");
    const Val at = cg_add(c, from ? cg_sub(c, whole, from) : whole, offset);
    const Val low = LLVMBuildAnd(c->b, at, cg_i64(c, 0x3ffff), "");
    return LLVMBuildOr(c->b, cg_div(c, low, cg_i64(c, 16)), LLVMConstInt(c->i64, fields, 0), "");
}

void
ptx_registers(Cg *c, int count, bool more)
{
    if (!on_model(c))
        asm_plain(c,
                  arena_printf(c->arena, "setmaxnreg.%s.sync.aligned.u32 %d;", more ? "inc" : "dec",
                               count),
                  "");
}

Val
ptx_wgmma_rows(Cg *c, Val shared, Val offset)
{
    return descriptor(c, shared, offset, 16);
}

Val
ptx_wgmma_columns(Cg *c, Val shared, Val offset, int64_t apart)
{
    return descriptor(c, shared, offset, apart);
}

Val
ptx_wgmma_further(Cg *c, Val rows, Val bytes)
{
    return LLVMBuildAdd(c->b, rows, cg_div(c, bytes, cg_i64(c, 16)), "");
}

void
ptx_wgmma_show(Cg *c)
{
    asm_plain(c, "fence.proxy.async.shared::cta;", "wgmma_show");
}

void
ptx_wgmma_begin(Cg *c)
{
    asm_plain(c, "wgmma.fence.sync.aligned;", "wgmma_begin");
}

void
ptx_wgmma_commit(Cg *c)
{
    asm_plain(c, "wgmma.commit_group.sync.aligned;", "wgmma_commit");
}

void
ptx_wgmma_wait(Cg *c, int behind)
{
    if (!on_model(c)) {
        asm_plain(c, arena_printf(c->arena, "wgmma.wait_group.sync.aligned %d;", behind), "");
        return;
    }
    Val arg = i32(c, behind);
    model_call(c, "wgmma_wait", c->void_t, &arg, 1);
}

/* Code whose operands 0 .. nacc-1 are read and written; of `more`, i32 and i64, it reads. */
static void
asm_sums(Cg *c, const char *code, Val *acc, int nacc, const Val *more, int nmore)
{
    LLVMTypeRef types[GPU_WARPGROUP];
    Val args[GPU_WARPGROUP + MOST_MORE];
    StrBuf constraints = {0};
    for (int i = 0; i < nacc; i++) {
        types[i] = c->f32;
        args[i] = acc[i];
        sb_puts(&constraints, i ? ",=f" : "=f");
    }
    for (int i = 0; i < nacc; i++)
        sb_printf(&constraints, ",%d", i);
    for (int i = 0; i < nmore; i++) {
        args[nacc + i] = more[i];
        sb_puts(&constraints, LLVMTypeOf(more[i]) == c->i64 ? ",l" : ",r");
    }
    sb_puts(&constraints, ",~{memory}");
    const LLVMTypeRef result = LLVMStructTypeInContext(c->ctx, types, (unsigned)nacc, 0);
    const Val all = asm_call(c, code, sb_text(&constraints), result, args, nacc + nmore);
    for (int i = 0; i < nacc; i++)
        acc[i] = LLVMBuildExtractValue(c->b, all, (unsigned)i, "");
    sb_free(&constraints);
}

/* The instruction up to its sums, operands 0 .. nacc-1. */
static void
begin_wgmma(StrBuf *code, int nacc)
{
    sb_printf(code, "wgmma.mma_async.sync.aligned.m64n%dk16.f32.bf16.bf16 {", 2 * nacc);
    for (int i = 0; i < nacc; i++)
        sb_printf(code, "%s$%d", i ? ", " : "", i);
}

static void
wgmma(Cg *c, Val *acc, int nacc, Val x, Val w, bool columns)
{
    if (on_model(c)) {
        Val args[] = {place_of(c, c->f32, (unsigned)nacc), i32(c, nacc), x, w, i32(c, columns)};
        put_items(c, c->f32, args[0], acc, nacc);
        model_call(c, "wgmma_bf16", c->void_t, args, COUNT_OF(args));
        get_items(c, c->f32, args[0], acc, nacc);
        return;
    }
    StrBuf code = {0};
    begin_wgmma(&code, nacc);
    sb_printf(&code, "}, $%d, $%d, 1, 1, 1, %d, 0;", 2 * nacc, 2 * nacc + 1, columns);
    const Val more[] = {x, w};
    asm_sums(c, sb_text(&code), acc, nacc, more, 2);
    sb_free(&code);
}

void
ptx_wgmma_bf16(Cg *c, Val *acc, int nacc, Val x, Val w)
{
    wgmma(c, acc, nacc, x, w, false);
}

void
ptx_wgmma_bf16_over(Cg *c, Val *acc, int nacc, Val x, Val w)
{
    wgmma(c, acc, nacc, x, w, true);
}

void
ptx_wgmma_bf16_by(Cg *c, Val *acc, int nacc, const Val x[4], Val w, bool columns)
{
    if (on_model(c)) {
        Val args[] = {place_of(c, c->f32, (unsigned)nacc), i32(c, nacc), place_of(c, c->i32, 4), w,
                      i32(c, columns)};
        put_items(c, c->f32, args[0], acc, nacc);
        put_items(c, c->i32, args[2], x, 4);
        model_call(c, "wgmma_bf16_by", c->void_t, args, 5);
        get_items(c, c->f32, args[0], acc, nacc);
        return;
    }
    StrBuf code = {0};
    begin_wgmma(&code, nacc);
    const int at = 2 * nacc;
    sb_printf(&code, "}, {$%d, $%d, $%d, $%d}, $%d, 1, 1, 1, %d;", at, at + 1, at + 2, at + 3,
              at + 4, columns);
    const Val more[] = {x[0], x[1], x[2], x[3], w};
    asm_sums(c, sb_text(&code), acc, nacc, more, MOST_MORE);
    sb_free(&code);
}

void
ptx_wgmma_end(Cg *c, int behind, Val *acc, int nacc)
{
    if (on_model(c))
        ptx_wgmma_wait(c, behind);
    else
        asm_sums(c, arena_printf(c->arena, "wgmma.wait_group.sync.aligned %d;", behind), acc, nacc,
                 NULL, 0);
}

/* ---- sites
 * ------------------------------------------------------------------------------------------------
 */

int
ptx_site_lanes(const CgKernel *k)
{
    enum { MOST = 8, WIDEST = 16 };
    const int64_t width = cg_width(k->domain);
    bool narrow = false;
    int lanes = graph_has_runs(k->graph) ? MOST : 1;
    while (width % lanes)
        lanes /= 2;
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        const int together = WIDEST / dtype_info[o->dtype].bytes;
        if (o->value->kind == VALUE_STATE || o->value->type.shape.rank < 2 ||
            cg_width(o->value) != width)
            continue;
        narrow = narrow || o->dtype == DTYPE_bf16;
        if (o->is_output && together < lanes)
            lanes = together;
        if (o->value->kind == VALUE_RESULT && ptx_lanes(o, together) < together)
            lanes = ptx_lanes(o, lanes);
    }
    return narrow || lanes <= MOST / 2 ? lanes : MOST / 2;
}

PtxSpread
ptx_spread(int64_t sites, int64_t across, int64_t threads)
{
    const int64_t blocks = (sites + across - 1) / across, own = (sites + blocks - 1) / blocks;
    const int64_t rows = threads / own;
    return (PtxSpread){blocks, own, rows, round_up(rows * own, GPU_WARP)};
}

Val
ptx_spread_site(Cg *c, const PtxSpread *s, int64_t sites, Val *row, Val *site)
{
    const Val thread = ptx_thread(c), own = cg_i64(c, s->sites), line = cg_div(c, thread, own);
    const Val block = ptx_block(c, 0), blocks = cg_i64(c, s->blocks);
    const Val first = cg_mul(c, LLVMBuildURem(c->b, block, blocks, ""), own);
    Val exists = LLVMConstInt(c->i1, 1, 0);
    *row = cg_add(c, cg_mul(c, cg_div(c, block, blocks), cg_i64(c, s->rows)), line);
    *site = cg_add(c, first, LLVMBuildURem(c->b, thread, own, ""));
    if (s->rows * s->sites < s->threads)
        exists = cg_less(c, line, cg_i64(c, s->rows));
    if (s->blocks * s->sites > sites)
        exists = LLVMBuildAnd(c->b, exists, cg_less(c, *site, cg_i64(c, sites)), "");
    return exists;
}

PtxSites
ptx_sites_of(Cg *c, CgKernel *k, int64_t sites)
{
    enum { THREADS = 256 };
    int64_t each = 1;
    const AbiCount of = ptx_count(k->domain, &each);
    const PtxSpread s = ptx_spread(sites, THREADS, THREADS);
    ptx_threads(k, s.threads);
    ptx_grid(k, 0, of, each, s.rows, s.blocks);
    PtxSites out = {.at = {.lanes = 1}};
    const Val exists = ptx_spread_site(c, &s, sites, &out.at.row, &out.at.col);
    const Val is_row = cg_less(c, out.at.row, cg_rows(c, k, k->domain));
    out.branch = cg_if(c, LLVMBuildAnd(c->b, exists, is_row, ""));
    return out;
}

PtxSites
ptx_sites(Cg *c, CgKernel *k, int lanes)
{
    PtxSites s = ptx_sites_of(c, k, cg_width(k->domain) / lanes);
    s.at.col = cg_mul(c, s.at.col, cg_i64(c, lanes));
    s.at.lanes = lanes;
    return s;
}

void
ptx_sites_end(Cg *c, PtxSites *s)
{
    cg_endif(c, &s->branch);
}

/* Segments lie in the order of their rows: the last that begins at `at` or before, by halving what
 * it may be as often as its number has bits. each: NULL, or as ptx_segment_of_part counts. */
static Val
find_segment(Cg *c, CgKernel *k, Val at, Val each)
{
    const Val low = cg_var(c, c->i64, cg_i64(c, 0), "low");
    const Val high = cg_var(c, c->i64, cg_call_field(c, k, CALL_nseg), "high");
    enum { BITS = 64 };
    const Val most = cg_sub(c, cg_get(c, c->i64, high), cg_i64(c, 1));
    Val args[] = {most, LLVMConstInt(c->i1, 0, 0)};
    const Val zeros = cg_intrinsic(c, "llvm.ctlz", &c->i64, 1, args, 2);
    CgLoop loop = cg_loop(c, "halve", cg_i64(c, 0), cg_sub(c, cg_i64(c, BITS), zeros), 1);
    const Val a = cg_get(c, c->i64, low), b = cg_get(c, c->i64, high);
    const Val middle = cg_div(c, cg_add(c, a, b), cg_i64(c, 2));
    const Val row = cg_segment(c, k, middle).row;
    const Val begins = each ? cg_add(c, cg_div(c, row, each), middle) : row;
    const Val after = cg_less(c, at, begins); /* so it is before the middle one */
    cg_set(c, low, LLVMBuildSelect(c->b, after, a, middle, ""));
    cg_set(c, high, LLVMBuildSelect(c->b, after, middle, b, ""));
    cg_loop_end(c, &loop);
    return cg_get(c, c->i64, low);
}

Val
ptx_segment_of(Cg *c, CgKernel *k, Val row)
{
    return find_segment(c, k, row, NULL);
}

Val
ptx_segment_of_part(Cg *c, CgKernel *k, Val number, Val each)
{
    return find_segment(c, k, number, each);
}
