/* codegen/emit/decay.c -- decays of a run of tokens of one SSD head (codegen/emit/decay.h). */
#include "codegen/emit/decay.h"

#include <float.h>

static Val
at(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_f32, index);
}

static Val
load(Cg *c, Val base, Val index, int lanes)
{
    return cg_vload(c, at(c, base, index), DTYPE_f32, lanes, NULL);
}

static void
store(Cg *c, Val base, Val index, Val value)
{
    cg_vstore(c, at(c, base, index), DTYPE_f32, value, cg_lanes_of(value), NULL);
}

static LLVMTypeRef
wide_type(Cg *c)
{
    return LLVMDoubleTypeInContext(c->ctx);
}

CgDecay
cg_decay(Cg *c, CgKernel *k, const Value *dt, const Value *A, int64_t most, int64_t spare)
{
    CgDecay d = {.k = k, .dt = dt, .A = A};
    Val *const arrays[] = {&d.high, &d.low, &d.step, &d.weight, &d.keep, &d.leave};
    const int64_t bytes = round_up(most + spare, c->lanes) * (int64_t)sizeof(float);
    for (size_t i = 0; i < COUNT_OF(arrays); i++)
        *arrays[i] = cg_scratch(c, k, bytes);
    d.sum = cg_var(c, wide_type(c), NULL, "a");
    d.lowest = cg_var(c, wide_type(c), NULL, "lowest");
    d.highest = cg_var(c, wide_type(c), NULL, "highest");
    return d;
}

/* ---- sums -------------------------------------------------------------------------------- */

Val
cg_decay_rate(Cg *c, CgKernel *k, const Value *A, Val head)
{
    return cg_vmax(c, cg_f32(c, -FLT_MAX), cg_eval_one(c, k, A, cg_i64(c, 0), head));
}

/* A of the head in double; NULL: what dt gives is dt A already, and steps are 1. */
static Val
wide_rate(Cg *c, const CgDecay *d, Val head)
{
    if (!d->A)
        return NULL;
    return LLVMBuildFPExt(c->b, cg_decay_rate(c, d->k, d->A, head), wide_type(c), "");
}

/* dt A; A of one token or splat. */
static Val
token_log(Cg *c, Val A, Val dt)
{
    const int lanes = cg_lanes_of(dt);
    const Val wide = LLVMBuildFPExt(c->b, dt, cg_vec_of(wide_type(c), lanes), "");
    const Val log = A ? cg_fmul(c, wide, A) : wide;
    return cg_vmax(c, cg_like(c, log, -DECAY_MOST), log);
}

/* One more token: dt, and a in double split in two floats. */
static void
sum_token(Cg *c, const CgDecay *d, Val A, Val dt, Val j)
{
    const LLVMTypeRef wide = wide_type(c);
    const Val log = token_log(c, A, dt);
    const Val a = cg_fadd(c, cg_get(c, wide, d->sum), log);
    const Val high = LLVMBuildFPTrunc(c->b, a, c->f32, "");
    const Val rest = cg_fsub(c, a, LLVMBuildFPExt(c->b, high, wide, ""));
    cg_set(c, d->sum, a);
    cg_set(c, d->lowest, cg_vmin(c, a, cg_get(c, wide, d->lowest)));
    cg_set(c, d->highest, cg_vmax(c, a, cg_get(c, wide, d->highest)));
    store(c, d->step, j, A ? dt : cg_like(c, dt, 1));
    store(c, d->high, j, high);
    store(c, d->low, j, LLVMBuildFPTrunc(c->b, rest, c->f32, ""));
}

Val
cg_decay_sums(Cg *c, const CgDecay *d, Val head, Val row, Val count)
{
    const LLVMTypeRef wide = wide_type(c);
    const Val zero = LLVMConstReal(wide, 0);
    const Val A = wide_rate(c, d, head);
    cg_set(c, d->sum, zero);
    cg_set(c, d->lowest, zero);
    cg_set(c, d->highest, zero);
    CgLoop j = cg_loop(c, "decay", cg_i64(c, 0), count, 1);
    sum_token(c, d, A, cg_eval_one(c, d->k, d->dt, cg_add(c, row, j.i), head), j.i);
    cg_loop_end(c, &j);
    const Val range = cg_fsub(c, cg_get(c, wide, d->highest), cg_get(c, wide, d->lowest));
    return LLVMBuildFCmp(c->b, LLVMRealOLE, range, LLVMConstReal(wide, DECAY_RANGE), "bounded");
}

/* Sums of every lane and those before it. */
static Val
sum_lanes(Cg *c, Val v)
{
    enum { MOST = 64 };
    const int lanes = cg_lanes_of(v);
    const Val zeros = cg_like(c, v, 0);
    for (int far = 1; far < lanes; far *= 2) {
        int from[MOST];
        for (int i = 0; i < lanes; i++)
            from[i] = i < far ? lanes + i : i - far;
        v = cg_fadd(c, v, cg_shuffle(c, v, zeros, from, lanes));
    }
    return v;
}

/* As sum_token, of tokens j ..; ends: the least and the greatest of the sums, by lanes. */
static void
sum_tokens(Cg *c, const CgDecay *d, Val A, Val dt, Val step, Val j, const Val ends[2])
{
    const LLVMTypeRef wide = cg_vec_of(wide_type(c), c->lanes);
    const Val log = token_log(c, A, dt);
    const Val before = cg_splat(c, cg_get(c, wide_type(c), d->sum), c->lanes);
    const Val a = cg_fadd(c, sum_lanes(c, log), before);
    const Val high = LLVMBuildFPTrunc(c->b, a, cg_vec_type(c, c->lanes), "");
    const Val rest = cg_fsub(c, a, LLVMBuildFPExt(c->b, high, wide, ""));
    cg_set(c, d->sum, LLVMBuildExtractElement(c->b, a, cg_i64(c, c->lanes - 1), ""));
    cg_set(c, ends[0], cg_vmin(c, a, cg_get(c, wide, ends[0])));
    cg_set(c, ends[1], cg_vmax(c, a, cg_get(c, wide, ends[1])));
    store(c, d->step, j, step);
    store(c, d->high, j, high);
    store(c, d->low, j, LLVMBuildFPTrunc(c->b, rest, cg_vec_type(c, c->lanes), ""));
}

Val
cg_decay_prefix(Cg *c, const CgDecay *d, Val head, Val row, Val count)
{
    enum { STEP = 32 };
    const LLVMTypeRef wide = wide_type(c), vector = cg_vec_of(wide, c->lanes);
    const Val zero = LLVMConstReal(wide, 0), zeros = cg_splat(c, zero, c->lanes);
    const Val rate = wide_rate(c, d, head), step = cg_i64(c, STEP);
    const Val A = rate ? cg_splat(c, rate, c->lanes) : NULL;
    const Val last = cg_sub(c, cg_add(c, row, count), cg_i64(c, 1));
    const Val ends[] = {cg_var(c, vector, zeros, "lowest"), cg_var(c, vector, zeros, "highest")};
    const Val none = cg_splat(c, cg_f32(c, 0), c->lanes);
    cg_set(c, d->sum, zero);
    CgLoop j =
        cg_loop(c, "decay", cg_i64(c, 0), cg_mul(c, cg_div_up(c, count, step), step), c->lanes);
    const CgSite site = {.row = cg_add(c, row, j.i), .col = head, .lanes = c->lanes, .last = last};
    cg_unbind_all(d->k);
    const Val some = cg_mask_first(c, c->lanes, cg_sub(c, count, j.i));
    const Val dt = LLVMBuildSelect(c->b, some, cg_eval(c, d->k, d->dt, &site), none, "");
    const Val ones = LLVMBuildSelect(c->b, some, cg_like(c, none, 1), none, "");
    sum_tokens(c, d, A, dt, A ? dt : ones, j.i, ends);
    cg_loop_end(c, &j);
    const Val range = cg_fsub(c, cg_fold(c, cg_get(c, vector, ends[1]), cg_vmax),
                              cg_fold(c, cg_get(c, vector, ends[0]), cg_vmin));
    return LLVMBuildFCmp(c->b, LLVMRealOLE, range, LLVMConstReal(wide, DECAY_RANGE), "bounded");
}

/* ---- exponentials ------------------------------------------------------------------------ */

/* exp(a - b). The difference of the high parts is rounded; what it loses (Knuth's exact sum) and
 * the low parts are put back: into the exponent as far as it can hold them, by e^r = 1 + r beyond.
 */
static Val
exp_difference(Cg *c, CgSum a, CgSum b)
{
    const Val high = cg_fsub(c, a.high, b.high);
    const Val taken = cg_fsub(c, high, a.high); /* about -b.high */
    const Val lost =
        cg_fsub(c, cg_fsub(c, a.high, cg_fsub(c, high, taken)), cg_fadd(c, b.high, taken));
    const Val low = cg_fadd(c, lost, cg_fsub(c, a.low, b.low));
    const Val whole = cg_fadd(c, high, low);
    const Val rest = cg_fsub(c, low, cg_fsub(c, whole, high));
    const Val e = cg_exp(c, whole);
    return cg_fma(c, e, rest, e);
}

CgSum
cg_decay_at(Cg *c, const CgDecay *d, Val token)
{
    return (CgSum){cg_splat(c, load(c, d->high, token, 1), c->lanes),
                   cg_splat(c, load(c, d->low, token, 1), c->lanes)};
}

static CgSum
sums_of(Cg *c, const CgDecay *d, Val first)
{
    return (CgSum){load(c, d->high, first, c->lanes), load(c, d->low, first, c->lanes)};
}

Val
cg_decay_since(Cg *c, const CgDecay *d, CgSum a, Val j)
{
    return exp_difference(c, a, sums_of(c, d, j));
}

Val
cg_decay_until(Cg *c, const CgDecay *d, CgSum a, Val i)
{
    return exp_difference(c, sums_of(c, d, i), a);
}

/* ---- factors ----------------------------------------------------------------------------- */

/* Before the run: a = 0. */
static CgSum
begin(Cg *c)
{
    const Val zero = cg_splat(c, cg_f32(c, 0), c->lanes);
    return (CgSum){zero, zero};
}

static CgSum
last_sum(Cg *c, const CgDecay *d, Val count)
{
    return cg_decay_at(c, d, cg_sub(c, count, cg_i64(c, 1)));
}

Val
cg_decay_whole(Cg *c, const CgDecay *d, Val count)
{
    const Val e = exp_difference(c, last_sum(c, d, count), begin(c));
    return LLVMBuildExtractElement(c->b, e, cg_i64(c, 0), "");
}

void
cg_decay_bounded(Cg *c, const CgDecay *d, Val count)
{
    const CgSum last = last_sum(c, d, count);
    const Val keep = exp_difference(c, last, begin(c));
    CgLoop j = cg_loop(c, "factor", cg_i64(c, 0), count, c->lanes);
    const Val weight = cg_decay_since(c, d, last, j.i);
    store(c, d->weight, j.i, cg_fmul(c, weight, load(c, d->step, j.i, c->lanes)));
    store(c, d->keep, j.i, keep);
    store(c, d->leave, j.i, cg_decay_until(c, d, last, j.i));
    cg_loop_end(c, &j);
}

void
cg_decay_begun(Cg *c, const CgDecay *d, Val count)
{
    const Val one = cg_splat(c, cg_f32(c, 1), c->lanes);
    CgLoop j = cg_loop(c, "factor", cg_i64(c, 0), count, c->lanes);
    const Val weight = cg_decay_since(c, d, begin(c), j.i);
    store(c, d->weight, j.i, cg_fmul(c, weight, load(c, d->step, j.i, c->lanes)));
    store(c, d->keep, j.i, one);
    store(c, d->leave, j.i, cg_decay_until(c, d, begin(c), j.i));
    cg_loop_end(c, &j);
}

void
cg_decay_steep(Cg *c, const CgDecay *d, Val count)
{
    const Val one = cg_splat(c, cg_f32(c, 1), c->lanes);
    CgLoop j = cg_loop(c, "factor", cg_i64(c, 0), count, c->lanes);
    store(c, d->weight, j.i, one);
    store(c, d->keep, j.i, cg_decay_until(c, d, begin(c), j.i));
    store(c, d->leave, j.i, one);
    cg_loop_end(c, &j);
}

void
cg_decay_weighed(Cg *c, const CgDecay *d, Val count)
{
    const Val one = cg_splat(c, cg_f32(c, 1), c->lanes);
    CgLoop j = cg_loop(c, "weight", cg_i64(c, 0), count, c->lanes);
    store(c, d->weight, j.i, one);
    cg_loop_end(c, &j);
}

void
cg_decay_weights(Cg *c, const CgDecay *d, CgSum a, Val end)
{
    CgLoop j = cg_loop(c, "weight", cg_i64(c, 0), end, c->lanes);
    const Val dt = load(c, d->step, j.i, c->lanes);
    store(c, d->weight, j.i, cg_fmul(c, cg_decay_since(c, d, a, j.i), dt));
    cg_loop_end(c, &j);
}
