/* codegen/ptx/ptx_likeliest.c -- likeliest: the greatest numbers of each row, a block of threads
 * for a row, which it reads twice.
 *
 * Every element has a key of its own, an i64 that is greater the earlier it comes among the
 * results: its number as an integer of the same order, and below that how far its column is from
 * the last.
 *
 *     each thread: the greatest key of the columns that are its own
 *     t: the top-th greatest of these, found bit by bit; no key below t is among the results
 *     keys of t and more to shared memory: of `top` threads, so no more than all of their columns
 *     the place of each: how many of them are greater
 *
 * A row is read from the second-level cache, where the head has just left it. Denormal numbers keep
 * their order; -0 is 0, and a NaN is the least of all. */
#include <math.h>

#include "codegen/ptx/ptx.h"

typedef struct {
    CgKernel *k;
    const CgOperand *x, *out, *ids; /* out, ids: results; NULL: nothing reads that one */
    int64_t width, top, threads;
    int bits;  /* of a column: `width` has no more */
    int lanes; /* columns that a thread takes together */
    Val row;
    Val least, count; /* of the likeliest few: no key below it is one; keys gathered, shared */
} Likeliest;

enum { MOST_LOADS = 4 }; /* of a thread that are on their way together */

/* ---- keys --------------------------------------------------------------------------------------
 */

static Val
i32_of(Cg *c, uint32_t n)
{
    return LLVMConstInt(c->i32, n, 0);
}

/* Bits of an f32 as an i32 of the same order, without sign. */
static Val
ordered(Cg *c, Val bits)
{
    const Val sign = i32_of(c, 0x80000000u), infinity = i32_of(c, 0x7f800000u);
    const Val size = cg_and(c, bits, 0x7fffffffu);
    const Val is_zero = LLVMBuildICmp(c->b, LLVMIntEQ, size, i32_of(c, 0), "");
    const Val is_nan = LLVMBuildICmp(c->b, LLVMIntUGT, size, infinity, "");
    const Val negative = LLVMBuildICmp(c->b, LLVMIntSLT, bits, i32_of(c, 0), "");
    Val key = LLVMBuildSelect(c->b, negative, LLVMBuildNot(c->b, bits, ""),
                              LLVMBuildOr(c->b, bits, sign, ""), "");
    key = LLVMBuildSelect(c->b, is_zero, sign, key, "");
    return LLVMBuildSelect(c->b, is_nan, i32_of(c, 0), key, "");
}

static Val
key_of(Cg *c, const Likeliest *l, Val bits, Val col)
{
    const Val high = LLVMBuildZExt(c->b, ordered(c, bits), c->i64, "");
    const Val low = cg_sub(c, cg_i64(c, (INT64_C(1) << l->bits) - 1), col);
    return LLVMBuildOr(c->b, LLVMBuildShl(c->b, high, cg_i64(c, l->bits), ""), low, "");
}

static Val
column_of(Cg *c, const Likeliest *l, Val key)
{
    const Val last = cg_i64(c, (INT64_C(1) << l->bits) - 1);
    return cg_sub(c, last, LLVMBuildAnd(c->b, key, last, ""));
}

static Val
greater(Cg *c, Val a, Val b)
{
    return LLVMBuildSelect(c->b, cg_less(c, a, b), b, a, ""); /* keys have no sign */
}

/* The bits of `lanes` columns of the row from col on. */
static void
load(Cg *c, const Likeliest *l, Val col, Val out[4])
{
    const Val at = cg_element(c, l->x->base, DTYPE_f32, l->row, l->x->stride, col);
    if (l->lanes > 1)
        ptx_load16(c, at, false, out);
    else
        out[0] = LLVMBuildLoad2(c->b, c->i32, at, "");
}

/* What is done with a number of this thread's columns: its bits, its column. */
typedef void Visit(Cg *c, const Likeliest *l, Val bits, Val col, void *user);

/* `times` loads from col on, all on their way before the first is used. */
static void
visit_some(Cg *c, const Likeliest *l, Val col, int times, Visit *visit, void *user)
{
    const int64_t step = l->threads * l->lanes;
    Val bits[MOST_LOADS][4];
    for (int t = 0; t < times; t++)
        load(c, l, cg_add(c, col, cg_i64(c, t * step)), bits[t]);
    for (int t = 0; t < times; t++)
        for (int i = 0; i < l->lanes; i++)
            visit(c, l, bits[t][i], cg_add(c, col, cg_i64(c, t * step + i)), user);
}

static void
visit_own(Cg *c, const Likeliest *l, int loads, Visit *visit, void *user)
{
    const int64_t step = l->threads * l->lanes;
    const Val first = cg_mul(c, ptx_thread(c), cg_i64(c, l->lanes));
    const Val next = cg_var(c, c->i64, first, "next");
    if (l->width > loads * step) {
        const Val end = cg_i64(c, l->width - (loads - 1) * step);
        CgLoop several = cg_loop(c, "columns", first, end, loads * step);
        visit_some(c, l, several.i, loads, visit, user);
        cg_set(c, next, cg_add(c, several.i, cg_i64(c, loads * step)));
        cg_loop_end(c, &several);
    }
    CgLoop one = cg_loop(c, "column", cg_get(c, c->i64, next), cg_i64(c, l->width), step);
    visit_some(c, l, one.i, 1, visit, user);
    cg_loop_end(c, &one);
}

/* best: a variable. */
static void
take_key(Cg *c, const Likeliest *l, Val bits, Val col, void *user)
{
    const Val best = user;
    cg_set(c, best, greater(c, key_of(c, l, bits, col), cg_get(c, c->i64, best)));
}

/* The greatest number so far, and its column: variables. */
typedef struct {
    Val number, col;
} Greatest;

static void
take_number(Cg *c, const Likeliest *l, Val bits, Val col, void *user)
{
    const Greatest *g = user;
    (void)l;
    const Val x = cg_as_float(c, bits), best = cg_get(c, c->f32, g->number);
    const Val more = LLVMBuildFCmp(c->b, LLVMRealOGT, x, best, "");
    cg_set(c, g->number, LLVMBuildSelect(c->b, more, x, best, ""));
    cg_set(c, g->col,
           LLVMBuildSelect(c->b, more, LLVMBuildTrunc(c->b, col, c->i32, ""),
                           cg_get(c, c->i32, g->col), ""));
}

/* 0: it has no columns. Columns come in their order, so the first of equal numbers is kept, and
 * numbers are compared as such, which takes a quarter of the instructions of keys. Where none is
 * above -infinity keys tell: which are -infinity, and which no numbers. */
static Val
greatest_own(Cg *c, const Likeliest *l)
{
    const Val least = cg_f32(c, -INFINITY);
    const Val key = cg_var(c, c->i64, cg_i64(c, 0), "best");
    Greatest g = {.number = cg_var(c, c->f32, least, "number"),
                  .col = cg_var(c, c->i32, i32_of(c, 0), "col")};
    visit_own(c, l, MOST_LOADS, take_number, &g);
    const Val number = cg_get(c, c->f32, g.number);
    CgIf some = cg_if(c, LLVMBuildFCmp(c->b, LLVMRealOGT, number, least, ""));
    const Val col = LLVMBuildZExt(c->b, cg_get(c, c->i32, g.col), c->i64, "");
    cg_set(c, key, key_of(c, l, cg_as_bits(c, number), col));
    cg_else(c, &some);
    visit_own(c, l, 1, take_key, key);
    cg_endif(c, &some);
    return cg_get(c, c->i64, key);
}

/* ---- results -----------------------------------------------------------------------------------
 */

static void
store(Cg *c, const Likeliest *l, Val place, Val key)
{
    const Val col = column_of(c, l, key);
    const Val number = LLVMBuildLoad2(
        c->b, c->f32, cg_element(c, l->x->base, DTYPE_f32, l->row, l->x->stride, col), "");
    if (l->ids)
        LLVMBuildStore(c->b, LLVMBuildTrunc(c->b, col, c->i32, ""),
                       cg_element(c, l->ids->base, DTYPE_i32, l->row, l->ids->stride, place));
    if (!l->out)
        return;
    const Val to = cg_element(c, l->out->base, DTYPE_f32, l->row, l->out->stride, place);
    LLVMBuildStore(c->b, number, to);
    LLVMBuildStore(c->b, LLVMBuildUIToFP(c->b, col, c->f32, ""),
                   cg_at(c, to, DTYPE_f32, cg_i64(c, l->top)));
}

static CgIf
if_first(Cg *c, Val thread)
{
    return cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, thread, cg_i64(c, 0), ""));
}

static Val
key_at(Cg *c, Val keys, Val i)
{
    return LLVMBuildInBoundsGEP2(c->b, c->i64, keys, &i, 1, "");
}

static Val
load_key(Cg *c, Val keys, Val i)
{
    return LLVMBuildLoad2(c->b, c->i64, key_at(c, keys, i), "");
}

static Val
warp_greatest(Cg *c, Val key)
{
    for (int mask = GPU_WARP / 2; mask > 0; mask /= 2) {
        Val other = LLVMBuildBitCast(c->b, key, LLVMDoubleTypeInContext(c->ctx), "");
        other = LLVMBuildBitCast(c->b, ptx_exchange_double(c, other, mask), c->i64, "");
        key = greater(c, key, other);
    }
    return key;
}

static void
store_greatest(Cg *c, const Likeliest *l, Val own)
{
    const int64_t warps = l->threads / GPU_WARP;
    const Val keys = ptx_shared(c, l->k, GPU_WARP * (int64_t)sizeof(int64_t));
    const Val lane = ptx_lane(c), zero = cg_i64(c, 0), all = warp_greatest(c, own);
    CgIf leader = if_first(c, lane);
    LLVMBuildStore(c->b, all, key_at(c, keys, ptx_warp(c)));
    cg_endif(c, &leader);
    ptx_barrier(c);
    const Val there = cg_less(c, lane, cg_i64(c, warps));
    const Val one = load_key(c, keys, LLVMBuildSelect(c->b, there, lane, zero, ""));
    const Val best = warp_greatest(c, one);
    CgIf first = if_first(c, ptx_thread(c));
    store(c, l, zero, best);
    cg_endif(c, &first);
}

/* ---- the likeliest few -------------------------------------------------------------------------
 */

/* The top-th greatest of the threads' keys: the greatest t that so many are not less than. */
static Val
threshold(Cg *c, const Likeliest *l, Val own)
{
    enum { NUMBER = 32 };
    const Val t = cg_var(c, c->i64, cg_i64(c, 0), "threshold");
    const int bits = NUMBER + l->bits;
    CgLoop i = cg_loop(c, "bit", cg_i64(c, 0), cg_i64(c, bits), 1);
    const Val bit = LLVMBuildShl(c->b, cg_i64(c, 1), cg_sub(c, cg_i64(c, bits - 1), i.i), "");
    const Val with = LLVMBuildOr(c->b, cg_get(c, c->i64, t), bit, "");
    const Val count = ptx_barrier_count(c, LLVMBuildNot(c->b, cg_less(c, own, with), ""));
    const Val enough = LLVMBuildNot(c->b, cg_less(c, count, cg_i64(c, l->top)), "");
    cg_set(c, t, LLVMBuildSelect(c->b, enough, with, cg_get(c, c->i64, t), ""));
    cg_loop_end(c, &i);
    return cg_get(c, c->i64, t);
}

static void
take_above(Cg *c, const Likeliest *l, Val bits, Val col, void *user)
{
    const Val key = key_of(c, l, bits, col), keys = user;
    CgIf in = cg_if(c, LLVMBuildNot(c->b, cg_less(c, key, l->least), ""));
    const Val place = LLVMBuildAtomicRMW(c->b, LLVMAtomicRMWBinOpAdd, l->count, cg_i64(c, 1),
                                         LLVMAtomicOrderingMonotonic, 0);
    LLVMBuildStore(c->b, key, key_at(c, keys, place));
    cg_endif(c, &in);
}

/* Keys of l->least and more to shared memory, in any order; how many. */
static Val
gather(Cg *c, const Likeliest *l, Val keys)
{
    CgIf first = if_first(c, ptx_thread(c));
    LLVMBuildStore(c->b, cg_i64(c, 0), l->count);
    cg_endif(c, &first);
    ptx_barrier(c);
    visit_own(c, l, MOST_LOADS / 2, take_above, keys);
    ptx_barrier(c);
    return LLVMBuildLoad2(c->b, c->i64, l->count, "");
}

/* A warp for each key: its place is how many are greater. */
static void
store_ranked(Cg *c, const Likeliest *l, Val keys, Val count)
{
    const Val rank = cg_var(c, c->i64, NULL, "rank");
    CgLoop i = cg_loop(c, "key", ptx_warp(c), count, l->threads / GPU_WARP);
    const Val key = load_key(c, keys, i.i);
    cg_set(c, rank, cg_i64(c, 0));
    CgLoop other = cg_loop(c, "other", cg_i64(c, 0), count, GPU_WARP);
    const Val at = cg_add(c, other.i, ptx_lane(c)), there = cg_less(c, at, count);
    const Val one = load_key(c, keys, LLVMBuildSelect(c->b, there, at, i.i, ""));
    const Val above = ptx_count_bits(c, ptx_ballot(c, cg_less(c, key, one)));
    cg_set(c, rank, cg_add(c, cg_get(c, c->i64, rank), above));
    cg_loop_end(c, &other);
    const Val place = cg_get(c, c->i64, rank), top = cg_i64(c, l->top);
    const Val is_first = LLVMBuildICmp(c->b, LLVMIntEQ, ptx_lane(c), cg_i64(c, 0), "");
    CgIf kept = cg_if(c, LLVMBuildAnd(c->b, cg_less(c, place, top), is_first, ""));
    store(c, l, place, key);
    cg_endif(c, &kept);
    cg_loop_end(c, &i);
}

/* ---- the kernel --------------------------------------------------------------------------------
 */

/* As many threads as have columns of their own, 16 bytes of them where rows are aligned. */
static void
divide(Likeliest *l)
{
    enum { LANES = 4 };
    const int64_t few = round_up(l->top > GPU_WARP ? l->top : GPU_WARP, GPU_WARP);
    l->lanes =
        ptx_lanes(l->x, LANES) == LANES && l->width % LANES == 0 && l->width / LANES >= 2 * few
            ? LANES
            : 1;
    l->threads = round_up(l->width / l->lanes, GPU_WARP);
    if (l->threads > GPU_MOST_THREADS)
        l->threads = GPU_MOST_THREADS;
    while (INT64_C(1) << l->bits <= l->width)
        l->bits++;
}

bool
ptx_likeliest(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    Likeliest l = {.k = k,
                   .x = cg_operand(k, n->in[0]),
                   .out = cg_operand(k, n->out[0]),
                   .ids = cg_operand(k, n->out[1]),
                   .width = type_width(&n->in[0]->type),
                   .top = node_int(n, ATTR_top, 1)};
    int64_t each = 1;
    if (!l.x || l.x->is_output)
        return diag_error(diag, n->loc, "%s reads `%s`, which its own kernel makes",
                          op_info[n->op].name, n->in[0]->name);
    divide(&l);
    const int64_t most =
        l.top * l.lanes * ((l.width + l.threads * l.lanes - 1) / (l.threads * l.lanes));
    const int64_t bytes = l.top > 1 ? most * (int64_t)sizeof(int64_t) : 0;
    if (l.top > GPU_MOST_THREADS || bytes > c->machine->gpu.shared_bytes - 64)
        return diag_error(diag, n->loc, "the %lld likeliest of %lld: a GPU chooses fewer",
                          (long long)l.top, (long long)l.width);
    ptx_threads(k, l.threads);
    const AbiCount of = ptx_count(n->in[0], &each);
    ptx_grid(k, 0, of, each, 1, 1);
    l.row = ptx_block(c, 0);
    const Val own = greatest_own(c, &l);
    if (l.top == 1) {
        store_greatest(c, &l, own);
        return true;
    }
    const Val keys = ptx_shared(c, k, bytes);
    l.count = ptx_shared(c, k, sizeof(int64_t));
    l.least = threshold(c, &l, own);
    store_ranked(c, &l, keys, gather(c, &l, keys));
    return true;
}
