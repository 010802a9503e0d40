/* codegen/ptx/function.c -- one kernel to one function of a GPU: its operands and the AbiCall as
 * arguments, its emitter, the launch.
 *
 * For the model the function is called once for each thread of the grid by gpu_model_launch
 * (codegen/gpu_model.c), and the step's code is an AbiKernel that one thread of the CPU runs. */
#include <string.h>

#include "codegen/module.h"
#include "codegen/ptx/ptx.h"

/* maps: says how many maps the emitter will make; NULL: none. waits: the emitter calls ptx_wait
 * itself, because it reads weights or states before that. */
typedef struct {
    CgEmitter *emit;
    int (*maps)(const Cg *c, CgKernel *k);
    bool waits;
} Emitter;

static const Emitter emitters[OP_COUNT] = {
    [OP_embed] = {.emit = ptx_gather},
    [OP_take] = {.emit = ptx_gather},
    [OP_rmsnorm] = {.emit = ptx_norm},
    [OP_layernorm] = {.emit = ptx_norm},
    [OP_linear] = {.emit = ptx_linear, .maps = ptx_linear_maps, .waits = true},
    [OP_conv1d] = {.emit = ptx_conv1d},
    [OP_ssd_scan] = {.emit = ptx_ssd_scan, .waits = true},
    [OP_selective_scan] = {.emit = ptx_selective_scan},
    [OP_delta] = {.emit = ptx_delta, .waits = true},
    [OP_angles] = {.emit = ptx_angles},
    [OP_rope] = {.emit = ptx_rope},
    [OP_concat] = {.emit = ptx_concat},
    [OP_route] = {.emit = ptx_route},
    [OP_fold] = {.emit = ptx_fold},
    [OP_keep] = {.emit = ptx_keep},
    [OP_attention] = {.emit = ptx_attention},
    [OP_experts] = {.emit = ptx_linear, .maps = ptx_linear_maps, .waits = true},
    [OP_ssd_starts] = {.emit = ptx_ssd_starts, .maps = ptx_ssd_starts_maps},
    [OP_likeliest] = {.emit = ptx_likeliest},
};

static const Emitter of_pointwise = {.emit = ptx_map};
static const Emitter of_chunks = {.emit = ptx_ssd_chunked, .maps = ptx_ssd_maps};

/* As emitter_of of codegen/function.c. */
static const Emitter *
emitter_of(const CgKernel *k)
{
    const Node *anchor = k->kernel->anchor;
    if (anchor && op_has_flag(anchor->op, 'S'))
        return &of_chunks;
    return anchor && op_info[anchor->op].cls != CLASS_POINTWISE ? &emitters[anchor->op]
                                                                : &of_pointwise;
}

/* ---- the function ---------------------------------------------------------------------------- */

enum { PTX_KERNEL = 71 }; /* LLVM's number of the calling convention of kernels: CallingConv.h */

/* Whether nothing writes an operand while the kernel runs: it is then read through a cache that
 * sees no writes (ld.global.nc). What a kernel before makes may be on its way as this one begins.
 */
static bool
stays(const Cg *c, const CgKernel *k, const CgOperand *o)
{
    const Value *v = o->value;
    if (o->is_output || (v && v->kind == VALUE_STATE))
        return false;
    return !ptx_begins_early(c, k) || !v || v->kind != VALUE_RESULT || v->is_param;
}

/* An argument by value. */
static void
by_value(Cg *c, Val fn, unsigned number, LLVMTypeRef type)
{
    const unsigned byval = LLVMGetEnumAttributeKindForName("byval", strlen("byval"));
    LLVMAddAttributeAtIndex(fn, number, LLVMCreateTypeAttribute(c->ctx, byval, type));
}

/* Arguments of maps: code has their addresses where they are (__grid_constant__ of CUDA C++). */
static void
declare_maps(Cg *c, Val fn, unsigned first, unsigned maps)
{
    enum { ALIGN = 64, WORDS = 16 };
    const unsigned align = LLVMGetEnumAttributeKindForName("align", strlen("align"));
    static const char key[] = "grid_constant";
    LLVMMetadataRef numbers[ABI_MOST_MAPS];
    for (unsigned i = 0; i < maps; i++) {
        by_value(c, fn, first + i, LLVMArrayType2(c->i64, WORDS));
        LLVMAddAttributeAtIndex(fn, first + i, LLVMCreateEnumAttribute(c->ctx, align, ALIGN));
        numbers[i] = LLVMValueAsMetadata(LLVMConstInt(c->i32, first + i, 0));
    }
    LLVMMetadataRef items[] = {LLVMValueAsMetadata(fn),
                               LLVMMDStringInContext2(c->ctx, key, strlen(key)),
                               LLVMMDNodeInContext2(c->ctx, numbers, maps)};
    const LLVMMetadataRef node = LLVMMDNodeInContext2(c->ctx, items, COUNT_OF(items));
    LLVMAddNamedMetadataOperand(c->mod, "nvvm.annotations", LLVMMetadataAsValue(c->ctx, node));
}

static Val
function_with_maps(Cg *c, const char *name, unsigned operands, unsigned maps)
{
    const bool model = c->machine->gpu.model;
    const unsigned count = operands + 1 + (model ? 0 : maps);
    LLVMTypeRef *types = arena_array(c->arena, count, sizeof(LLVMTypeRef));
    for (unsigned i = 0; i < count; i++)
        types[i] = c->ptr;
    const Val fn = LLVMAddFunction(c->mod, name, LLVMFunctionType(c->void_t, types, count, 0));
    cg_describe_function(c, fn);
    if (c->machine->gpu.model) {
        LLVMSetLinkage(fn, LLVMInternalLinkage);
        return fn;
    }
    LLVMSetFunctionCallConv(fn, PTX_KERNEL);
    by_value(c, fn, operands + 1, c->abi[CG_AbiCall]);
    if (maps)
        declare_maps(c, fn, operands + 2, maps);
    return fn;
}

Val
ptx_function(Cg *c, const char *name, unsigned operands)
{
    return function_with_maps(c, name, operands, 0);
}

static Val
declare(Cg *c, const CgKernel *k, const char *name, int maps)
{
    const Val fn = function_with_maps(c, name, (unsigned)k->noperands, (unsigned)maps);
    if (c->machine->gpu.model)
        return fn;
    for (unsigned i = 0; i < (unsigned)k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (stays(c, k, o))
            cg_attribute(c, fn, i + 1, "readonly");
        cg_attribute(c, fn, i + 1, "noalias");
    }
    return fn;
}

static void
begin(Cg *c, CgKernel *k)
{
    k->call = LLVMGetParam(c->fn, (unsigned)k->noperands);
    for (int i = 0; i < k->noperands; i++) {
        k->operands[i].base = LLVMGetParam(c->fn, (unsigned)i);
    }
    k->tokens = cg_call_field(c, k, CALL_rows);
    k->picked = cg_call_field(c, k, CALL_picked);
    cg_kernel_values(c, k);
}

static bool
build(Cg *c, CgKernel *k, const Emitter *emitter, Diag *diag)
{
    const LLVMBasicBlockRef vars = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "vars");
    const LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "start");
    LLVMPositionBuilderAtEnd(c->at_entry, vars);
    LLVMPositionBuilderAtEnd(c->b, start);
    k->launch = (AbiLaunch){0};
    for (int i = 0; i < 3; i++)
        ptx_grid(k, i, ABI_ONE, 1, 1, 1);
    begin(c, k);
    ptx_let_others_begin(c, k);
    ptx_hold(c, k);
    if (!emitter->waits)
        ptx_wait(c, k);
    const bool ok = emitter->emit(c, k, diag);
    if (ok && k->held)
        die("kernel %s does not wait for those before it", k->kernel->name);
    LLVMBuildRetVoid(c->b);
    LLVMBuildBr(c->at_entry, start);
    if (ok && k->launch.threads == 0)
        die("kernel %s: nothing says how many threads a block has", k->kernel->name);
    return ok;
}

/* ---- the model: grid and threads by a C function ------------------------------------------------
 */

/* body as gpu_model_launch calls it, for one thread: void(operands, call). */
static Val
thread_of(Cg *c, const CgKernel *k, Val body, const char *name)
{
    LLVMTypeRef types[] = {c->ptr, c->ptr};
    const Val fn = LLVMAddFunction(c->mod, arena_printf(c->arena, "%s.thread", name),
                                   LLVMFunctionType(c->void_t, types, 2, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_describe_function(c, fn);
    LLVMPositionBuilderAtEnd(c->b, LLVMAppendBasicBlockInContext(c->ctx, fn, "start"));
    const unsigned count = (unsigned)k->noperands + 1;
    Val *args = arena_array(c->arena, count, sizeof *args);
    for (unsigned i = 0; i + 1 < count; i++) {
        Val index = cg_i64(c, i);
        const Val at = LLVMBuildInBoundsGEP2(c->b, c->ptr, LLVMGetParam(fn, 0), &index, 1, "");
        args[i] = LLVMBuildLoad2(c->b, c->ptr, at, "");
    }
    args[count - 1] = LLVMGetParam(fn, 1);
    LLVMBuildCall2(c->b, LLVMGlobalGetValueType(body), body, args, count, "");
    LLVMBuildRetVoid(c->b);
    return fn;
}

static Val
launch_of(Cg *c, const CgKernel *k, Val thread, const char *name)
{
    LLVMTypeRef types[] = {c->ptr, c->ptr, c->ptr};
    const Val fn = LLVMAddFunction(c->mod, name, LLVMFunctionType(c->void_t, types, 3, 0));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_describe_function(c, fn);
    LLVMPositionBuilderAtEnd(c->b, LLVMAppendBasicBlockInContext(c->ctx, fn, "start"));
    const CgPointer symbol = {offsetof(AbiLaunch, symbol), LLVMConstPointerNull(c->ptr)};
    const Val launch =
        cg_const_global(c, cg_const_record(c, CG_AbiLaunch, &k->launch, &symbol, 1), "launch");
    LLVMTypeRef model_types[] = {c->ptr, c->ptr, c->ptr, c->ptr};
    const LLVMTypeRef type = LLVMFunctionType(c->void_t, model_types, 4, 0);
    const Val known = LLVMGetNamedFunction(c->mod, "gpu_model_launch");
    const Val run = known ? known : LLVMAddFunction(c->mod, "gpu_model_launch", type);
    Val args[] = {thread, LLVMGetParam(fn, 0), LLVMGetParam(fn, 1), launch};
    LLVMBuildCall2(c->b, type, run, args, COUNT_OF(args), "");
    LLVMBuildRetVoid(c->b);
    return fn;
}

Val
ptx_kernel_function(Cg *c, CgKernel *k, const char *name, Diag *diag)
{
    const Emitter *emitter = emitter_of(k);
    if (!emitter->emit) {
        const Node *anchor = k->kernel->anchor;
        diag_error(diag, anchor->loc, "%s has no emitter for a GPU: compile for device cpu",
                   op_info[anchor->op].name);
        return NULL;
    }
    const bool model = c->machine->gpu.model;
    const int maps = emitter->maps ? emitter->maps(c, k) : 0;
    c->fn = declare(c, k, model ? arena_printf(c->arena, "%s.body", name) : name, maps);
    if (!build(c, k, emitter, diag))
        return NULL;
    if (k->launch.maps != maps)
        die("kernel %s has %d maps, not %d", k->kernel->name, k->launch.maps, maps);
    k->launch.symbol = name;
    if (model)
        return launch_of(c, k, thread_of(c, k, c->fn, name), name);
    ptx_annotate(c, c->fn, "maxntidx", k->launch.threads);
    return c->fn;
}
