/* codegen/ptx/ssd.c -- what the kernels of the chunked SSD share: operands, the grid, runs of
 * tokens and their decay (codegen/ptx/ssd.h). */
#include "codegen/ptx/ssd.h"

#include <math.h>
#include <string.h>

/* ---- operands --------------------------------------------------------------------------------
 */

static bool
dot_is_bf16(const Node *n)
{
    return strcmp(node_word(n, ATTR_dot, "f32"), "bf16") == 0;
}

static void
bind_node(PtxSsd *s, const Node *n)
{
    if (n->op == OP_chunk_decay) {
        s->A = n->in[1];
    } else if (n->op == OP_chunk_cb) {
        s->C = n->in[0];
        s->B = n->in[1];
    } else if (n->op == OP_state_pass) {
        s->state = n->in[2];
        s->starts = n->nin > 3 ? n->in[3] : NULL;
    } else if (n->op == OP_chunk_out) {
        s->dt = n->in[2];
        s->x = n->in[3];
        s->D = n->in[6];
        s->y = n->out[0];
        s->heads = node_int(n, ATTR_heads, 1);
        s->head_dim = node_int(n, ATTR_head_dim, 1);
        s->groups = node_int(n, ATTR_groups, 1);
        s->states = node_int(n, ATTR_state, 1);
        s->chunk = node_int(n, ATTR_chunk, CHUNK_ALL);
    }
}

bool
ptx_ssd_bind(CgKernel *k, PtxSsd *s, Diag *diag)
{
    const Node *anchor = k->kernel->anchor, *dot = NULL;
    *s = (PtxSsd){.k = k};
    for (const Node *n = k->first; n; n = n == k->last ? NULL : n->next) {
        bool required = false;
        if (n->kernel != k->kernel)
            continue;
        bind_node(s, n);
        if (!op_takes_attr(n->op, ATTR_dot, &required))
            continue;
        dot = dot ? dot : n;
        if (dot_is_bf16(n) != dot_is_bf16(dot)) {
            diag_error(diag, n->loc,
                       "kernel %s: %s and %s multiply different types (attribute dot)",
                       k->kernel->name, op_info[dot->op].name, op_info[n->op].name);
            return false;
        }
    }
    if (!s->A || !s->C || !s->state || !s->y) {
        diag_error(diag, anchor->loc,
                   "kernel %s has a part of a chunked ssd; chunk_decay, chunk_cb, chunk_state, "
                   "state_pass and chunk_out must be in one kernel (pass fuse)",
                   k->kernel->name);
        return false;
    }
    k->domain = s->y;
    s->coarse = dot && dot_is_bf16(dot);
    s->stored = s->state->type.dtype;
    return true;
}

void
ptx_ssd_open(Cg *c, PtxSsd *s, Val segment, Val head)
{
    s->seg = cg_segment(c, s->k, segment);
    s->head = head;
    s->group = cg_div(c, head, cg_i64(c, s->heads / s->groups));
    s->rate = cg_decay_rate(c, s->k, s->A, head);
    s->skip = s->D ? cg_eval_one(c, s->k, s->D, cg_i64(c, 0), head) : NULL;
}

Val
ptx_ssd_state_at(Cg *c, const PtxSsd *s, Val n, Val p)
{
    const Val base = cg_state_at(c, s->k, cg_operand(s->k, s->state), s->seg.slot);
    const Val before = cg_mul(c, s->head, cg_i64(c, s->states * s->head_dim));
    return cg_element(c, cg_at(c, base, s->stored, before), s->stored, n, s->head_dim, p);
}

/* ---- runs ------------------------------------------------------------------------------------
 */

/* A run ends where a chunk ends, so that cuts between chunks change no bits: of each chunk whole
 * runs, and the rest. 0: chunks are whole runs, or there are none. */
static int64_t
runs_of_chunk(const PtxSsd *s)
{
    const bool whole = s->chunk == CHUNK_ALL || s->chunk % s->run == 0;
    return whole ? 0 : (s->chunk + s->run - 1) / s->run;
}

Val
ptx_ssd_runs(Cg *c, const PtxSsd *s)
{
    const Val most = cg_i64(c, s->run);
    if (!runs_of_chunk(s))
        return cg_div_up(c, s->seg.len, most);
    const Val chunk = cg_i64(c, s->chunk), whole = cg_div(c, s->seg.len, chunk);
    const Val rest = cg_sub(c, s->seg.len, cg_mul(c, whole, chunk));
    const Val runs = cg_mul(c, whole, cg_i64(c, runs_of_chunk(s)));
    return cg_add(c, runs, cg_div_up(c, rest, most));
}

PtxRun
ptx_ssd_run(Cg *c, const PtxSsd *s, Val number)
{
    const Val most = cg_i64(c, s->run), each = cg_i64(c, runs_of_chunk(s));
    Val token = NULL, room = most;
    if (!runs_of_chunk(s)) {
        token = cg_mul(c, number, most);
    } else {
        const Val chunk = cg_div(c, number, each);
        const Val before = cg_mul(c, cg_sub(c, number, cg_mul(c, chunk, each)), most);
        token = cg_add(c, cg_mul(c, chunk, cg_i64(c, s->chunk)), before);
        room = cg_min(c, most, cg_sub(c, cg_i64(c, s->chunk), before));
    }
    return (PtxRun){.row = cg_add(c, s->seg.row, token),
                    .count = cg_min(c, room, cg_sub(c, s->seg.len, token))};
}

Val
ptx_ssd_rounds(Cg *c, const PtxSsd *s, const PtxRun *run)
{
    if (s->stored == DTYPE_f32)
        return NULL;
    const Val done = cg_sub(c, cg_add(c, run->row, run->count), s->seg.row);
    if (s->chunk == CHUNK_ALL)
        return cg_less(c, cg_sub(c, s->seg.len, cg_i64(c, 1)), done);
    const Val left = LLVMBuildURem(c->b, done, cg_i64(c, s->chunk), "");
    return LLVMBuildICmp(c->b, LLVMIntEQ, left, cg_i64(c, 0), "");
}

/* ---- stretches --------------------------------------------------------------------------------
 */

Val
ptx_ssd_stretch(Cg *c, CgKernel *k, int64_t parts)
{
    enum { LEAST = 2, NOT_CUT = 1 << 30 };
    const Val nseg = cg_call_field(c, k, CALL_nseg);
    const Val runs = cg_div_up(c, k->tokens, cg_i64(c, PTX_SSD_RUN));
    const Val each = cg_max(c, cg_i64(c, LEAST), cg_div_up(c, runs, cg_i64(c, parts)));
    return LLVMBuildSelect(c->b, cg_less(c, nseg, cg_i64(c, parts)), each, cg_i64(c, NOT_CUT), "");
}

Val
ptx_ssd_entry(Cg *c, const CgSeg *seg, Val stretch)
{
    return cg_div(c, seg->row, cg_mul(c, stretch, cg_i64(c, PTX_SSD_RUN / 2)));
}

Val
ptx_ssd_start_at(Cg *c, const PtxSsd *s, Val entry, Val n, Val p)
{
    const CgOperand *o = cg_operand(s->k, s->starts);
    const Val number = cg_add(c, cg_mul(c, entry, cg_i64(c, s->heads)), s->head);
    const Val row = cg_add(c, cg_mul(c, number, cg_i64(c, s->states)), n);
    return cg_element(c, o->base, DTYPE_f32, row, s->head_dim, p);
}

/* ---- decay -----------------------------------------------------------------------------------
 */

enum { DECAY_ARRAYS = 5 };
static const double LOG2_E = 1.44269504088896341;

/* A warp makes them for whole lanes. */
static int64_t
decay_room(const PtxSsd *s)
{
    return round_up(s->run, GPU_WARP);
}

/* enter and weight come last: the first array that there is. */
static int
first_array(const PtxSsd *s)
{
    return s->state_only ? DECAY_ARRAYS - 2 : 0;
}

int64_t
ptx_ssd_decay_bytes(const PtxSsd *s)
{
    return (DECAY_ARRAYS - first_array(s)) * decay_room(s) * (int64_t)sizeof(float);
}

PtxDecay
ptx_ssd_decay_at(Cg *c, const PtxSsd *s, Val shared)
{
    PtxDecay d = {0};
    Val *const arrays[DECAY_ARRAYS] = {&d.high, &d.low, &d.dt, &d.enter, &d.weight};
    const int first = first_array(s);
    for (int i = first; i < DECAY_ARRAYS; i++)
        *arrays[i] = cg_at(c, shared, DTYPE_f32, cg_i64(c, (i - first) * decay_room(s)));
    return d;
}

static void
put(Cg *c, Val array, Val token, Val x)
{
    cg_vstore(c, cg_at(c, array, DTYPE_f32, token), DTYPE_f32, x, 1, NULL);
}

static Val
sum(Cg *c, Val a, Val b)
{
    return LLVMTypeOf(a) == c->i64 ? cg_add(c, a, b) : cg_fadd(c, a, b);
}

/* Of 64 bits. */
static Val
exchange(Cg *c, Val x, int mask)
{
    const LLVMTypeRef wide = LLVMDoubleTypeInContext(c->ctx), type = LLVMTypeOf(x);
    const Val other = ptx_exchange_double(c, LLVMBuildBitCast(c->b, x, wide, ""), mask);
    return LLVMBuildBitCast(c->b, other, type, "");
}

/* The sum of the lanes up to this one, and of all: two lanes at a time, then two pairs ... */
static Val
sum_lanes(Cg *c, Val x, Val *total)
{
    const Val lane = ptx_lane(c);
    *total = x;
    for (int mask = 1; mask < GPU_WARP; mask *= 2) {
        const Val other = exchange(c, *total, mask);
        const Val bit = LLVMBuildAnd(c->b, lane, cg_i64(c, mask), "");
        const Val right = cg_less(c, cg_i64(c, 0), bit);
        x = LLVMBuildSelect(c->b, right, sum(c, other, x), x, "");
        *total = sum(c, *total, other);
    }
    return x;
}

/* a: in double, and so is last: of this token and of the run's last. */
static void
store_token(Cg *c, const PtxSsd *s, const PtxDecay *to, Val token, Val dt, Val a, Val last)
{
    const LLVMTypeRef wide = LLVMTypeOf(a);
    const Val high = LLVMBuildFPTrunc(c->b, a, c->f32, "");
    const Val rest = cg_fsub(c, a, LLVMBuildFPExt(c->b, high, wide, ""));
    const Val until = LLVMBuildFPTrunc(c->b, cg_fsub(c, last, a), c->f32, "");
    if (!s->state_only) {
        put(c, to->high, token, high);
        put(c, to->low, token, LLVMBuildFPTrunc(c->b, rest, c->f32, ""));
        put(c, to->dt, token, dt);
    }
    put(c, to->enter, token, cg_exp(c, high));
    put(c, to->weight, token, cg_fmul(c, cg_exp(c, until), dt));
}

/* Coarse decays are summed in octaves, as 64-bit integers in units of 2^-44: while tensor cores are
 * busy, sums of doubles are slow. 64 tokens of DECAY_MOST are less than 2^17 octaves, so a run's
 * sum fits. */
enum { OCTAVE_BITS = 44 };

static Val
whole_of(Cg *c, Val octaves)
{
    const Val scaled = cg_fmul(c, octaves, cg_f32(c, ldexp(1, OCTAVE_BITS)));
    return LLVMBuildFPToSI(c->b, scaled, c->i64, "");
}

static Val
octaves_of(Cg *c, Val whole)
{
    return cg_fmul(c, LLVMBuildSIToFP(c->b, whole, c->f32, ""), cg_f32(c, ldexp(1, -OCTAVE_BITS)));
}

static void
store_coarse(Cg *c, const PtxSsd *s, const PtxDecay *to, Val token, Val dt, Val a, Val last)
{
    const Val high = octaves_of(c, a), until = octaves_of(c, cg_sub(c, last, a));
    if (!s->state_only) {
        put(c, to->high, token, high);
        put(c, to->dt, token, dt);
    }
    put(c, to->enter, token, ptx_exp2(c, high));
    put(c, to->weight, token, cg_fmul(c, ptx_exp2(c, until), dt));
}

/* What is summed over tokens: dt A, at least -DECAY_MOST; of coarse decays in units of 2^-44
 * octaves.
 */
static Val
log_of(Cg *c, const PtxSsd *s, Val dt)
{
    if (s->coarse) {
        const Val log = cg_vmax(c, cg_f32(c, -DECAY_MOST), cg_fmul(c, dt, s->rate));
        return whole_of(c, cg_fmul(c, log, cg_f32(c, LOG2_E)));
    }
    const LLVMTypeRef wide = LLVMDoubleTypeInContext(c->ctx);
    const Val rate = LLVMBuildFPExt(c->b, s->rate, wide, "");
    const Val log = cg_fmul(c, LLVMBuildFPExt(c->b, dt, wide, ""), rate);
    return cg_vmax(c, LLVMConstReal(wide, -DECAY_MOST), log);
}

static int
tokens_of_lane(const PtxSsd *s)
{
    return (int)(decay_room(s) / GPU_WARP);
}

/* A lane has tokens that follow each other. */
static Val
token_of(Cg *c, const PtxSsd *s, int i)
{
    return cg_add(c, cg_mul(c, ptx_lane(c), cg_i64(c, tokens_of_lane(s))), cg_i64(c, i));
}

void
ptx_ssd_load_dt(Cg *c, const PtxSsd *s, const PtxRun *run, Val *dt)
{
    const Val last = cg_sub(c, run->count, cg_i64(c, 1));
    for (int i = 0; i < tokens_of_lane(s); i++) {
        const Val row = cg_add(c, run->row, cg_min(c, token_of(c, s, i), last));
        dt[i] = cg_eval_one(c, s->k, s->dt, row, s->head);
    }
}

void
ptx_ssd_make_decay(Cg *c, const PtxSsd *s, const PtxRun *run, const PtxDecay *to, const Val *loaded)
{
    const int tokens = tokens_of_lane(s);
    Val dt[PTX_SSD_LANE_TOKENS], a[PTX_SSD_LANE_TOKENS], own = NULL, all = NULL;
    for (int i = 0; i < tokens; i++) {
        const Val is = cg_less(c, token_of(c, s, i), run->count);
        dt[i] = LLVMBuildSelect(c->b, is, loaded[i], cg_f32(c, 0), "");
        const Val log = log_of(c, s, dt[i]);
        own = own ? sum(c, own, log) : log;
        a[i] = own;
    }
    const Val through = sum_lanes(c, own, &all);
    const Val before = s->coarse ? cg_sub(c, through, own) : cg_fsub(c, through, own);
    for (int i = 0; i < tokens; i++) {
        const Val token = token_of(c, s, i), at = sum(c, before, a[i]);
        if (s->coarse)
            store_coarse(c, s, to, token, dt[i], at, all);
        else
            store_token(c, s, to, token, dt[i], at, all);
    }
}

/* ---- operands of products ---------------------------------------------------------------------
 */

void
ptx_ssd_two_of(Cg *c, Val array, Val index, Val out[2])
{
    const Val both = ptx_load(c, cg_at(c, array, DTYPE_f32, index), DTYPE_f32, 2);
    out[0] = cg_slice(c, both, 0, 1);
    out[1] = cg_slice(c, both, 1, 1);
}
