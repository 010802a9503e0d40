/* codegen/emit/kernel.c -- what a kernel reads and writes: its operands in canonical order, and the
 * numbers an emitter asks for (rows, shares, segments, states, scratch). */
#include "codegen/emit/cg.h"

/* ---- operands ------------------------------------------------------------------------------ */

const bool *
cg_escapes(Arena *arena, const Graph *g)
{
    bool *escapes = arena_array(arena, (size_t)g->nvalue_ids + 1, sizeof *escapes);
    for (int i = 0; i < g->noutputs; i++)
        escapes[g->outputs[i]->id] = true;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            const Value *v = n->in[i];
            if (v && v->def && v->def->kernel != n->kernel)
                escapes[v->id] = true;
        }
    return escapes;
}

/* Dimensions of v that count its rows. The matrices of a stack of weights [E,O,K] follow each other
 * as one of E*O rows. */
static int
row_dims(const Value *v)
{
    const int rank = v->type.shape.rank;
    if (rank == 3 && v->is_param)
        return 2;
    return rank > 1;
}

int64_t
cg_width(const Value *v)
{
    const Shape *s = &v->type.shape;
    int64_t width = 1;
    if (s->rank == 1 && dim_is_rows(s->dim[0])) /* a number for each row */
        return width;
    for (int i = row_dims(v); i < s->rank; i++) {
        if (s->dim[i].kind != DIM_CONST)
            die("cg_width: %s has no constant width", v->name ? v->name : "a value");
        if (!size_mul(width, s->dim[i].n, &width))
            die("cg_width: %s is too wide", v->name ? v->name : "a value");
    }
    return width;
}

/* Weights and parameters lie without gaps; the memory plan strides only activations. */
static int64_t
row_stride(const Value *v)
{
    return v->place.stride > 0 && !v->is_param ? v->place.stride : cg_width(v);
}

const CgOperand *
cg_operand(const CgKernel *k, const Value *v)
{
    for (int i = 0; i < k->noperands; i++)
        if (v && k->operands[i].value == v)
            return &k->operands[i];
    return NULL;
}

/* The runtime puts spaces of its own, and weights that it copies to a GPU, at multiples of 64
 * bytes; for the model of a GPU weights lie where a file has them. */
static int
alignment_of(const Cg *c, const CgOperand *o)
{
    enum { MOST = 16 };
    const Place *at = o->value ? &o->value->place : NULL;
    if (o->value && o->value->kind == VALUE_WEIGHT && !c->machine->gpu.model)
        return MOST;
    const bool placed = at && at->space != SPACE_NONE && at->space != SPACE_WEIGHT &&
                        at->space != SPACE_INPUT && at->space != SPACE_KEPT;
    int bytes = dtype_info[o->dtype].bytes;
    while (placed && bytes < MOST && at->offset % (2 * bytes) == 0)
        bytes *= 2;
    return bytes;
}

static void
operand_add(CgKernel *k, const Value *v, bool is_output)
{
    if (cg_operand(k, v))
        return;
    CgOperand *o = &k->operands[k->noperands++];
    o->value = v;
    o->dtype = v->type.dtype;
    o->stride = v->kind == VALUE_WEIGHT || v->kind == VALUE_RESULT ? row_stride(v) : 0;
    o->is_output = is_output;
}

static void
collect_inputs(CgKernel *k, bool states)
{
    for (Node *n = k->first; n != k->last->next; n = n->next) {
        if (n->kernel != k->kernel)
            continue;
        for (int i = 0; i < n->nin; i++) {
            const Value *v = n->in[i];
            const bool inside = v && v->def && v->def->kernel == k->kernel;
            if (v && v->kind != VALUE_NUMBER && !inside && (v->kind == VALUE_STATE) == states)
                operand_add(k, v, false);
        }
    }
}

static void
collect_outputs(CgKernel *k, const bool *escapes)
{
    for (Node *n = k->first; n != k->last->next; n = n->next)
        for (int i = 0; n->kernel == k->kernel && i < n->nout; i++)
            if (escapes[n->out[i]->id])
                operand_add(k, n->out[i], true);
}

/* Whether a split gives columns [from, to) of what it divides to something. */
static bool
split_reads(const Node *split, int64_t from, int64_t to)
{
    int64_t at = 0;
    for (int i = 0; i < split->nout; i++) {
        const int64_t begin = at;
        at += cg_width(split->out[i]);
        if (split->out[i]->uses > 0 && begin < to && from < at)
            return true;
    }
    return false;
}

static bool
columns_read(const CgKernel *k, const Value *v, int64_t from, int64_t to)
{
    const Graph *g = k->graph;
    for (int i = 0; i < g->noutputs; i++)
        if (g->outputs[i] == v)
            return true;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            const bool reads = n->in[i] == v && (!n->kernel || n->kernel != k->kernel);
            if (reads && (op_info[n->op].cls != CLASS_VIEW || split_reads(n, from, to)))
                return true;
        }
    return false;
}

/* Of a projection's outputs: columns that the convolution in its epilogue has all to itself. */
static void
find_unread(CgKernel *k)
{
    const Node *conv = kernel_epilogue(k->graph, k->kernel);
    if (!conv || !attrs_find(&conv->attrs, ATTR_column))
        return;
    const int64_t first = node_int(conv, ATTR_column, 0), end = first + cg_width(conv->out[0]);
    for (int i = 0; i < k->noperands; i++) {
        CgOperand *o = &k->operands[i];
        if (!o->is_output || !cg_in_domain(k, o->value) || columns_read(k, o->value, first, end))
            continue;
        o->unread_from = first;
        o->unread_to = end;
    }
}

static size_t
most_operands(const CgKernel *k)
{
    size_t most = 0;
    for (const Node *n = k->first; n != k->last->next; n = n->next)
        most += (size_t)(n->nin + n->nout);
    return most;
}

void
cg_kernel_open(Cg *c, const Graph *g, const Kernel *kernel, const bool *escapes, CgKernel *out)
{
    *out = (CgKernel){.graph = g, .kernel = kernel};
    kernel_range(g, kernel, &out->first, &out->last);
    if (!out->first)
        die("kernel %s has no nodes", kernel->name);
    out->operands = arena_array(c->arena, most_operands(out), sizeof *out->operands);
    collect_inputs(out, false);
    collect_inputs(out, true);
    collect_outputs(out, escapes);
    for (int i = 0; c->on_gpu && i < out->noperands; i++)
        out->operands[i].aligned = alignment_of(c, &out->operands[i]);
    out->domain = kernel_domain(g, kernel);
    find_unread(out);
    const bool worth = c->on_gpu || c->machine->matrix.kind != MATRIX_none;
    out->coarse = worth && kernel_rounds_results(g, kernel);
}

/* ---- what emitters ask for ------------------------------------------------------------------ */

static Val
field_load(Cg *c, CgAbi type, Val base, unsigned field)
{
    const LLVMTypeRef record = c->abi[type];
    const Val at = LLVMBuildStructGEP2(c->b, record, base, field, "");
    return LLVMBuildLoad2(c->b, LLVMStructGetTypeAtIndex(record, field), at, "");
}

Val
cg_call_field(Cg *c, CgKernel *k, CgCallField field)
{
    return field_load(c, CG_AbiCall, k->call, field);
}

Val
cg_share_field(Cg *c, CgKernel *k, CgShareField field)
{
    return field_load(c, CG_AbiShare, k->share, field);
}

Val
cg_ran_before(Cg *c, const CgKernel *k)
{
    return cg_less(c, cg_i64(c, -1), k->before);
}

CgSeg
cg_segment(Cg *c, CgKernel *k, Val index)
{
    const Val table = cg_call_field(c, k, CALL_seg);
    Val i = index;
    const Val seg = LLVMBuildInBoundsGEP2(c->b, c->abi[CG_AbiSeg], table, &i, 1, "seg");
    return (CgSeg){.row = field_load(c, CG_AbiSeg, seg, SEG_row),
                   .len = field_load(c, CG_AbiSeg, seg, SEG_len),
                   .slot = field_load(c, CG_AbiSeg, seg, SEG_slot),
                   .past = field_load(c, CG_AbiSeg, seg, SEG_past)};
}

Val
cg_state_at(Cg *c, CgKernel *k, const CgOperand *state, Val slot)
{
    const Val stride = cg_call_field(c, k, CALL_state_stride);
    return cg_offset(c, state->base, cg_mul(c, slot, stride));
}

Val
cg_kept_at(Cg *c, CgKernel *k, const CgOperand *state, Val slot)
{
    const Val stride = cg_call_field(c, k, CALL_kept_stride);
    return cg_offset(c, state->base, cg_mul(c, slot, stride));
}

Val
cg_kept_row(Cg *c, CgKernel *k, const Node *keep, Val position)
{
    const int64_t window = node_int(keep, ATTR_window, 0);
    if (window == 0)
        return position;
    /* abi_state_rows */
    const Val room = cg_call_field(c, k, CALL_room), step = cg_i64(c, ABI_ROOM_STEP);
    const Val both = cg_add(c, cg_i64(c, window), cg_call_field(c, k, CALL_block));
    const Val rows = cg_min(c, cg_mul(c, cg_div_up(c, both, step), step), room);
    return LLVMBuildURem(c->b, position, rows, "");
}

Val
cg_scratch(Cg *c, CgKernel *k, int64_t bytes)
{
    const Val at = cg_offset(c, k->scratch, cg_i64(c, k->scratch_bytes));
    if (bytes < 0 || !size_add(k->scratch_bytes, round_up(bytes, machine_alignment(c->machine)),
                               &k->scratch_bytes))
        die("kernel %s wants %lld bytes of scratch", k->kernel->name, (long long)bytes);
    return at;
}

Val
cg_rows(Cg *c, const CgKernel *k, const Value *v)
{
    const Shape *s = &v->type.shape;
    const LLVMTypeRef i64 = LLVMTypeOf(k->tokens);
    if (s->rank < 2)
        return LLVMConstInt(i64, 1, 0);
    switch (s->dim[0].kind) {
    case DIM_TOKENS:
        return k->tokens;
    case DIM_ROWS:
        return k->picked;
    case DIM_CHOICES:
        return cg_mul(c, k->tokens, cg_i64(c, s->dim[0].n));
    case DIM_CONST:
        return cg_mul(c, LLVMConstInt(i64, (unsigned long long)s->dim[0].n, 0),
                      cg_i64(c, row_dims(v) == 2 ? s->dim[1].n : 1));
    case DIM_CHUNKS:
    case DIM_CHUNK:
    case DIM_KEPT:
        break;
    }
    die("cg_rows: %s has no rows of a pass", v->name ? v->name : "a value");
}

void
cg_share_of(Cg *c, Val count, int64_t unit, Val part, Val parts, Val share[2])
{
    const Val units = cg_div(c, cg_add(c, count, cg_i64(c, unit - 1)), cg_i64(c, unit));
    const Val first = cg_div(c, cg_mul(c, units, part), parts);
    const Val next = cg_add(c, part, cg_i64(c, 1));
    const Val last = cg_div(c, cg_mul(c, units, next), parts);
    share[0] = cg_mul(c, first, cg_i64(c, unit));
    share[1] = cg_min(c, cg_mul(c, last, cg_i64(c, unit)), count);
}

void
cg_share(Cg *c, const CgKernel *k, Val count, int64_t unit, Val *from, Val *to)
{
    Val share[2];
    cg_share_of(c, count, unit, k->part, k->parts, share);
    *from = share[0];
    *to = share[1];
}
