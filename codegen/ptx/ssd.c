/* codegen/ptx/ssd.c -- what the kernels of the chunked SSD share: operands, the grid, runs of
 * tokens and their decay (codegen/ptx/ssd.h). */
#include "codegen/ptx/ssd.h"

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
    s->stored = s->state->type.dtype;
    return true;
}

bool
ptx_ssd_dot_bf16(const PtxSsd *s)
{
    return dot_is_bf16(s->y->def);
}

void
ptx_ssd_place(Cg *c, PtxSsd *s)
{
    const int64_t parts = (s->head_dim + s->columns - 1) / s->columns;
    ptx_grid(s->k, 0, ABI_ONE, s->heads * parts, 1, 1);
    ptx_grid(s->k, 1, ABI_SEGMENTS, 1, 1, 1);
    const Val block = ptx_block(c, 0);
    s->seg = cg_segment(c, s->k, ptx_block(c, 1));
    s->head = cg_div(c, block, cg_i64(c, parts));
    s->group = cg_div(c, s->head, cg_i64(c, s->heads / s->groups));
    const Val part = cg_sub(c, block, cg_mul(c, s->head, cg_i64(c, parts)));
    s->first = cg_mul(c, part, cg_i64(c, s->columns));
    s->rate = cg_decay_rate(c, s->k, s->A, s->head);
    s->skip = s->D ? cg_eval_one(c, s->k, s->D, cg_i64(c, 0), s->head) : NULL;
}

/* ---- runs ------------------------------------------------------------------------------------
 */

static int64_t
runs_of_chunk(const PtxSsd *s)
{
    return s->chunk == CHUNK_ALL ? 1 : (s->chunk + s->run - 1) / s->run;
}

/* A run ends where a chunk ends, so that cuts between chunks change no bits. */
CgLoop
ptx_ssd_runs(Cg *c, PtxSsd *s)
{
    const Val most = cg_i64(c, s->run), len = s->seg.len;
    if (s->chunk == CHUNK_ALL || s->chunk % s->run == 0) {
        CgLoop loop = cg_loop(c, "run", cg_i64(c, 0), len, s->run);
        s->row = cg_add(c, s->seg.row, loop.i);
        s->count = cg_min(c, most, cg_sub(c, len, loop.i));
        return loop;
    }
    const Val chunk = cg_i64(c, s->chunk), runs = cg_i64(c, runs_of_chunk(s));
    const Val whole = cg_div(c, len, chunk), rest = cg_sub(c, len, cg_mul(c, whole, chunk));
    const Val all = cg_add(c, cg_mul(c, whole, runs), cg_div_up(c, rest, most));
    CgLoop loop = cg_loop(c, "run", cg_i64(c, 0), all, 1);
    const Val number = cg_div(c, loop.i, runs);
    const Val before = cg_mul(c, cg_sub(c, loop.i, cg_mul(c, number, runs)), most);
    const Val token = cg_add(c, cg_mul(c, number, chunk), before);
    s->row = cg_add(c, s->seg.row, token);
    s->count = cg_min(c, cg_min(c, most, cg_sub(c, chunk, before)), cg_sub(c, len, token));
    return loop;
}

Val
ptx_ssd_rounds(Cg *c, const PtxSsd *s)
{
    if (s->stored == DTYPE_f32)
        return NULL;
    const Val done = cg_sub(c, cg_add(c, s->row, s->count), s->seg.row);
    if (s->chunk == CHUNK_ALL)
        return cg_less(c, cg_sub(c, s->seg.len, cg_i64(c, 1)), done);
    const Val left = LLVMBuildURem(c->b, done, cg_i64(c, s->chunk), "");
    return LLVMBuildICmp(c->b, LLVMIntEQ, left, cg_i64(c, 0), "");
}

/* ---- decay -----------------------------------------------------------------------------------
 */

enum { DECAY_ARRAYS = 5 };

/* A warp makes them for whole lanes. */
static int64_t
decay_room(const PtxSsd *s)
{
    return round_up(s->run, GPU_WARP);
}

int64_t
ptx_ssd_decay_bytes(const PtxSsd *s)
{
    return DECAY_ARRAYS * decay_room(s) * (int64_t)sizeof(float);
}

void
ptx_ssd_decay_at(Cg *c, PtxSsd *s, Val shared)
{
    PtxDecay *d = &s->decay;
    Val *const arrays[DECAY_ARRAYS] = {&d->high, &d->low, &d->dt, &d->enter, &d->weight};
    for (int i = 0; i < DECAY_ARRAYS; i++)
        *arrays[i] = cg_at(c, shared, DTYPE_f32, cg_i64(c, i * decay_room(s)));
}

static void
put(Cg *c, Val array, Val token, Val x)
{
    cg_vstore(c, cg_at(c, array, DTYPE_f32, token), DTYPE_f32, x, 1, NULL);
}

static Val
get(Cg *c, Val array, Val token)
{
    return cg_vload(c, cg_at(c, array, DTYPE_f32, token), DTYPE_f32, 1, NULL);
}

/* The sum of the lanes up to this one, and of all: two lanes at a time, then two pairs ... */
static Val
sum_lanes(Cg *c, Val x, Val *total)
{
    const Val lane = ptx_lane(c);
    *total = x;
    for (int mask = 1; mask < GPU_WARP; mask *= 2) {
        const Val other = ptx_exchange_double(c, *total, mask);
        const Val bit = LLVMBuildAnd(c->b, lane, cg_i64(c, mask), "");
        const Val right = cg_less(c, cg_i64(c, 0), bit);
        x = LLVMBuildSelect(c->b, right, cg_fadd(c, other, x), x, "");
        *total = cg_fadd(c, *total, other);
    }
    return x;
}

/* The sums so far, in double. */
typedef struct {
    Val dt, a;
} Token;

static void
store_token(Cg *c, const PtxSsd *s, const Token *t, Val last, Val token)
{
    const PtxDecay *d = &s->decay;
    const LLVMTypeRef wide = LLVMTypeOf(t->a);
    const Val high = LLVMBuildFPTrunc(c->b, t->a, c->f32, "");
    const Val rest = cg_fsub(c, t->a, LLVMBuildFPExt(c->b, high, wide, ""));
    const Val until = LLVMBuildFPTrunc(c->b, cg_fsub(c, last, t->a), c->f32, "");
    put(c, d->high, token, high);
    put(c, d->low, token, LLVMBuildFPTrunc(c->b, rest, c->f32, ""));
    put(c, d->dt, token, t->dt);
    put(c, d->enter, token, cg_exp(c, high));
    put(c, d->weight, token, cg_fmul(c, cg_exp(c, until), t->dt));
}

void
ptx_ssd_decay(Cg *c, const PtxSsd *s, int warp)
{
    enum { MOST = 64 / GPU_WARP };
    const LLVMTypeRef wide = LLVMDoubleTypeInContext(c->ctx);
    const int parts = (int)(decay_room(s) / GPU_WARP);
    Token token[MOST];
    CgIf mine = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, ptx_warp(c), cg_i64(c, warp), ""));
    const Val rate = LLVMBuildFPExt(c->b, s->rate, wide, "");
    const Val last = cg_sub(c, s->count, cg_i64(c, 1));
    Val all = LLVMConstReal(wide, 0);
    for (int i = 0; i < parts; i++) {
        const Val j = cg_add(c, ptx_lane(c), cg_i64(c, i * GPU_WARP));
        const Val row = cg_add(c, s->row, cg_min(c, j, last));
        const Val dt = cg_eval_one(c, s->k, s->dt, row, s->head);
        token[i].dt = LLVMBuildSelect(c->b, cg_less(c, last, j), cg_f32(c, 0), dt, "");
    }
    for (int i = 0; i < parts; i++) {
        Val sum = NULL;
        const Val log = cg_vmax(c, LLVMConstReal(wide, -DECAY_MOST),
                                cg_fmul(c, LLVMBuildFPExt(c->b, token[i].dt, wide, ""), rate));
        token[i].a = cg_fadd(c, all, sum_lanes(c, log, &sum));
        all = cg_fadd(c, all, sum);
    }
    for (int i = 0; i < parts; i++)
        store_token(c, s, &token[i], all, cg_add(c, ptx_lane(c), cg_i64(c, i * GPU_WARP)));
    cg_endif(c, &mine);
}

/* exp(x) is off by x 2^-24 of itself where x is rounded: 2^-25 of 1 at most, as x <= 0. */
Val
ptx_ssd_between(Cg *c, const PtxSsd *s, Val i, Val j)
{
    const PtxDecay *d = &s->decay;
    const Val high = cg_fsub(c, get(c, d->high, i), get(c, d->high, j));
    const Val low = cg_fsub(c, get(c, d->low, i), get(c, d->low, j));
    return cg_exp(c, cg_fadd(c, high, low));
}
