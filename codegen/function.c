/* codegen/function.c -- one kernel to one function: its key, its operands as arguments, its
 * emitter.
 *
 * The code is in a body function whose pointer arguments are noalias where the memory plan says so;
 * the AbiKernel that the runtime calls only loads the operand pointers and passes them on. */
#include <ctype.h>
#include <string.h>

#include "codegen/module.h"
#include "codegen/ptx/ptx.h"

/* ---- emitters ------------------------------------------------------------------------------ */

static CgEmitter *const emitters[OP_COUNT] = {
    [OP_embed] = emit_gather,
    [OP_take] = emit_gather,
    [OP_route] = emit_route,
    [OP_fold] = emit_fold,
    [OP_rmsnorm] = emit_norm,
    [OP_layernorm] = emit_norm,
    [OP_angles] = emit_angles,
    [OP_rope] = emit_rope,
    [OP_conv1d] = emit_conv1d,
    [OP_linear] = emit_linear,
    [OP_ssd_scan] = emit_ssd_scan,
    [OP_selective_scan] = emit_selective_scan,
    [OP_delta] = emit_delta,
    [OP_keep] = emit_keep,
    [OP_attention] = emit_attention,
    [OP_attention_sums] = emit_attention_sums,
    [OP_attention_join] = emit_attention_join,
    [OP_transpose] = emit_transpose,
    [OP_regroup] = emit_regroup,
    [OP_concat] = emit_concat,
    [OP_spread] = emit_spread,
    [OP_pack] = emit_pack,
    [OP_quantise] = emit_quantise,
    [OP_linear_i8] = emit_linear_integers,
    [OP_linear_u4] = emit_linear_integers,
    [OP_experts] = emit_linear,
    [OP_experts_i8] = emit_linear_integers,
    [OP_experts_u4] = emit_linear_integers,
};

/* No anchor: a pointwise kernel. The S group is one kernel whichever of its ops is the anchor; an
 * op that is made by chunks has another emitter than without. */
static CgEmitter *
emitter_of(const CgKernel *k)
{
    const Node *anchor = k->kernel->anchor;
    if (!anchor)
        return emit_map;
    if (node_by_chunks(anchor))
        return emit_chunked;
    if (op_info[anchor->op].cls == CLASS_POINTWISE)
        return emit_map;
    return emitters[anchor->op];
}

/* ---- which operands may share memory ------------------------------------------------------ */

static bool
extent(const CgKernel *k, const CgOperand *o, int64_t *from, int64_t *to)
{
    const Shape *s = &o->value->type.shape;
    int64_t rows = 1, size = 0;
    if (s->rank > 1 || (s->rank == 1 && dim_is_rows(s->dim[0])))
        rows = dim_count(s->dim[0], k->graph->block, k->graph->rows);
    if (!size_mul(rows, o->stride, &size) || !size_mul(size, dtype_info[o->dtype].bytes, &size))
        return false;
    *from = o->value->place.offset;
    return size_add(*from, size, to);
}

/* Only activations are ever placed over one another. */
static bool
may_overlap(const CgKernel *k, const CgOperand *a, const CgOperand *b)
{
    if (a == b || !(a->is_output || b->is_output))
        return false;
    if (a->value->place.space != SPACE_SLAB || b->value->place.space != SPACE_SLAB)
        return false;
    int64_t a_from = 0, a_to = 0, b_from = 0, b_to = 0;
    if (!extent(k, a, &a_from, &a_to) || !extent(k, b, &b_from, &b_to))
        return true;
    return a_from < b_to && b_from < a_to;
}

static bool
is_alone(const CgKernel *k, const CgOperand *o)
{
    for (int i = 0; i < k->noperands; i++)
        if (may_overlap(k, o, &k->operands[i]))
            return false;
    return true;
}

/* ---- key ------------------------------------------------------------------------------------- */

static void
key_operand(StrBuf *sb, const CgKernel *k, const CgOperand *o)
{
    type_print(sb, &o->value->type);
    sb_printf(sb, "/%lld%s%s%s\n", (long long)o->stride, o->is_output ? " out" : "",
              o->value->kind == VALUE_STATE ? " state" : "", is_alone(k, o) ? "" : " shared");
    if (o->aligned) /* on a GPU, whose loads of several elements must be */
        sb_printf(sb, " aligned %d\n", o->aligned);
    if (o->unread_from < o->unread_to)
        sb_printf(sb, " unread %lld to %lld\n", (long long)o->unread_from, (long long)o->unread_to);
    if (o->value->def && node_gives_state(o->value->def)) /* how its rows lie */
        attrs_print(sb, &o->value->def->attrs);
}

static void
key_value(StrBuf *sb, const CgKernel *k, const Value *v)
{
    if (!v) {
        sb_puts(sb, " _");
    } else if (v->kind == VALUE_NUMBER) {
        sb_printf(sb, " #%.17g", v->number);
    } else if (v->def && v->def->kernel == k->kernel) {
        int at = 0;
        for (const Node *n = k->first; n != v->def; n = n->next)
            at += n->kernel == k->kernel;
        sb_printf(sb, " %%%d.%d", at, v->result);
    } else {
        sb_printf(sb, " $%d", (int)(cg_operand(k, v) - k->operands));
    }
}

static void
key_node(StrBuf *sb, const CgKernel *k, const Node *n)
{
    sb_printf(sb, "%s%s", n == k->kernel->anchor ? "*" : "", op_info[n->op].name);
    attrs_print(sb, &n->attrs);
    for (int i = 0; i < n->nin; i++)
        key_value(sb, k, n->in[i]);
    for (int i = 0; i < n->nout; i++) {
        const CgOperand *o = cg_operand(k, n->out[i]);
        sb_printf(sb, " -> %d:", o ? (int)(o - k->operands) : -1);
        type_print(sb, &n->out[i]->type);
    }
    sb_puts(sb, "\n");
}

const char *
cg_kernel_key(Arena *arena, const CgKernel *k)
{
    StrBuf sb = {0};
    bool segments = false;
    attrs_print(&sb, &k->kernel->attrs);
    sb_puts(&sb, "\n");
    for (int i = 0; i < k->noperands; i++) {
        const Value *v = k->operands[i].value;
        segments = segments || v->kind == VALUE_STATE || type_grows(&v->type);
        key_operand(&sb, k, &k->operands[i]);
    }
    /* Emitters lay out scratch by the most rows there can be; those of state, and all of a GPU, may
     * specialise by how many tokens of a sequence there can be. */
    const bool special = segments || (k->noperands > 0 && k->operands[0].aligned > 0);
    sb_printf(&sb, "%s %lld %lld\n", special && !graph_has_runs(k->graph) ? "1" : "",
              (long long)k->graph->block, (long long)k->graph->rows);
    for (const Node *n = k->first; n != k->last->next; n = n->next)
        if (n->kernel == k->kernel)
            key_node(&sb, k, n);
    const char *key = arena_strndup(arena, sb_text(&sb), sb.len);
    sb_free(&sb);
    return key;
}

/* ---- function ----------------------------------------------------------------------------- */

enum { ARG_call, ARG_share, ARG_operands };

void
cg_describe_function(Cg *c, Val fn)
{
    cg_fn_attribute(c, fn, "target-cpu", c->machine->cpu);
    if (c->machine->llvm[0])
        cg_fn_attribute(c, fn, "target-features", c->machine->llvm);
    if (c->machine->vector_bytes == 64) {
        cg_fn_attribute(c, fn, "prefer-vector-width", "512");
        cg_fn_attribute(c, fn, "min-legal-vector-width", "512");
    }
    cg_attribute(c, fn, (unsigned)LLVMAttributeFunctionIndex, "nounwind");
}

static Val
body_declare(Cg *c, const CgKernel *k, const char *name)
{
    const unsigned count = (unsigned)k->noperands + ARG_operands;
    LLVMTypeRef *types = arena_array(c->arena, count, sizeof(LLVMTypeRef));
    for (unsigned i = 0; i < count; i++)
        types[i] = c->ptr;
    const Val fn = LLVMAddFunction(c->mod, name, LLVMFunctionType(c->void_t, types, count, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_describe_function(c, fn);
    for (unsigned i = 0; i < ARG_operands; i++) {
        cg_attribute(c, fn, i + 1, "noalias");
        cg_attribute(c, fn, i + 1, "readonly");
    }
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        const bool state = o->value->kind == VALUE_STATE;
        if (is_alone(k, o))
            cg_attribute(c, fn, (unsigned)(i + ARG_operands + 1), "noalias");
        if (!o->is_output && !state)
            cg_attribute(c, fn, (unsigned)(i + ARG_operands + 1), "readonly");
    }
    return fn;
}

static void
body_begin(Cg *c, CgKernel *k)
{
    k->call = LLVMGetParam(c->fn, ARG_call);
    k->share = LLVMGetParam(c->fn, ARG_share);
    for (int i = 0; i < k->noperands; i++)
        k->operands[i].base = LLVMGetParam(c->fn, (unsigned)(i + ARG_operands));
    k->tokens = cg_call_field(c, k, CALL_rows);
    k->picked = cg_call_field(c, k, CALL_picked);
    k->part = cg_share_field(c, k, SHARE_part);
    k->parts = cg_share_field(c, k, SHARE_parts);
    k->threads = cg_share_field(c, k, SHARE_threads);
    k->before = cg_share_field(c, k, SHARE_before);
    k->scratch = cg_share_field(c, k, SHARE_scratch);
    cg_kernel_values(c, k);
}

/* The block of variables comes first and is closed last. */
static bool
body_build(Cg *c, CgKernel *k, CgEmitter *emit, Diag *diag)
{
    const LLVMBasicBlockRef vars = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "vars");
    const LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "start");
    LLVMPositionBuilderAtEnd(c->at_entry, vars);
    LLVMPositionBuilderAtEnd(c->b, start);
    body_begin(c, k);
    const bool ok = emit(c, k, diag);
    LLVMBuildRetVoid(c->b);
    LLVMBuildBr(c->at_entry, start);
    return ok;
}

static Val
entry_build(Cg *c, const CgKernel *k, Val body, const char *name)
{
    LLVMTypeRef types[] = {c->ptr, c->ptr, c->ptr};
    const Val fn = LLVMAddFunction(c->mod, name, LLVMFunctionType(c->void_t, types, 3, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_describe_function(c, fn);
    LLVMPositionBuilderAtEnd(c->b, LLVMAppendBasicBlockInContext(c->ctx, fn, "start"));
    const unsigned count = (unsigned)k->noperands + ARG_operands;
    Val *args = arena_array(c->arena, count, sizeof *args);
    args[ARG_call] = LLVMGetParam(fn, 1);
    args[ARG_share] = LLVMGetParam(fn, 2);
    for (unsigned i = ARG_operands; i < count; i++) {
        Val index = cg_i64(c, i - ARG_operands);
        const Val at = LLVMBuildInBoundsGEP2(c->b, c->ptr, LLVMGetParam(fn, 0), &index, 1, "");
        args[i] = LLVMBuildLoad2(c->b, c->ptr, at, "");
    }
    const Val call = LLVMBuildCall2(c->b, LLVMGlobalGetValueType(body), body, args, count, "");
    LLVMSetTailCall(call, 1);
    LLVMBuildRetVoid(c->b);
    return fn;
}

/* ssmc_in_proj_0123456789abcdef: the kernel's name for people, the key's hash to tell them apart.
 */
static const char *
function_name(Arena *arena, const CgKernel *k, const char *key)
{
    const unsigned long long hash = hash_bytes(key, strlen(key), 0);
    char *name = arena_printf(arena, "ssmc_%s_%016llx", k->kernel->name, hash);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    return name;
}

static Val
cpu_kernel_function(Cg *c, CgKernel *k, const char *name, Diag *diag)
{
    CgEmitter *emit = emitter_of(k);
    if (!emit) {
        const Node *anchor = k->kernel->anchor;
        diag_error(diag, anchor->loc, "%s has no emitter: no code can be made of it",
                   op_info[anchor->op].name);
        return NULL;
    }
    c->fn = body_declare(c, k, arena_printf(c->arena, "%s.body", name));
    if (!body_build(c, k, emit, diag))
        return NULL;
    return entry_build(c, k, c->fn, name);
}

Val
cg_kernel_function(Cg *c, CgKernel *k, const char *key, Diag *diag)
{
    if (!cg_check_kernel(c, k, diag))
        return NULL;
    const char *name = function_name(c->arena, k, key);
    return c->on_gpu ? ptx_kernel_function(c, k, name, diag)
                     : cpu_kernel_function(c, k, name, diag);
}
