/* codegen/module.c -- graphs to one LLVM module: a function for each distinct kernel, and the
 * program.
 *
 * The same layer many times over is the same few kernels many times over: two kernels with equal
 * keys (codegen/function.c) share one function and differ only in the operands of their steps. */
#include <string.h>

#include <llvm-c/Target.h>

#include "codegen/module.h"

typedef struct {
    Val fn;
    int launch; /* of a kernel of a GPU: its number; -1: fn is code of the module */
    int64_t scratch_bytes;
} Function;

typedef enum { RANGE_INIT, RANGE_LAYERS, RANGE_HEAD, RANGE_CHOOSE } RangeId;

typedef struct {
    Cg *c;
    Cg *gpu; /* of what runs after loading; NULL: on the CPU, too */
    Diag *diag;
    CgProgram program;
    Texts keys;          /* of the functions */
    Function *functions; /* by number of the key; fn NULL: it cannot be made */
    int nfunctions, cap_functions;
    const bool *escapes;  /* of the present graph, by value id */
    const RangeId *range; /* of the present graph, by place in its list of kernels */
} Maker;

/* The function of a kernel, made unless an equal one has been. NULL: diag says why there is none.
 */
static const Function *
function_for(Maker *m, Cg *c, CgKernel *k)
{
    const char *key = cg_kernel_key(m->c->arena, k);
    const Function no_function = {0};
    const int at = texts_add(&m->keys, key);
    if (at == m->nfunctions)
        VEC_PUSH(m->c->arena, m->functions, m->nfunctions, m->cap_functions, no_function);
    Function *f = &m->functions[at];
    if (!f->fn) {
        f->fn = cg_kernel_function(c, k, key, m->diag);
        f->scratch_bytes = k->scratch_bytes;
        f->launch = f->fn && c->on_gpu && !c->machine->gpu.model
                        ? cg_program_launch(&m->program, &k->launch)
                        : -1;
    }
    return f->fn ? f : NULL;
}

/* ---- steps of one graph ------------------------------------------------------------------- */

/* A kernel's last node comes last here too. One walk, as many layers have many kernels. */
static RangeId *
ranges_of(Arena *arena, const Graph *g)
{
    RangeId *range = arena_array(arena, (size_t)g->nkernels + 1, sizeof *range);
    for (const Node *n = g->first; n; n = n->next)
        if (n->kernel)
            range[n->kernel->id] = node_is_init(n)           ? RANGE_INIT
                                   : op_has_flag(n->op, 'T') ? RANGE_CHOOSE
                                   : node_is_head(n)         ? RANGE_HEAD
                                                             : RANGE_LAYERS;
    return range;
}

/* Whether running it changes anything that is read again. */
static bool
has_effect(const CgKernel *k)
{
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (o->is_output || o->value->kind == VALUE_STATE)
            return true;
    }
    return false;
}

static bool
kernel_step(Maker *m, const Graph *g, const Kernel *kernel, RangeId range, int64_t *scratch)
{
    CgKernel k;
    Cg *c = m->gpu && range != RANGE_INIT ? m->gpu : m->c;
    cg_kernel_open(c, g, kernel, m->escapes, &k);
    if (!has_effect(&k) || (range == RANGE_INIT && cg_program_has(&m->program, &k)))
        return true;
    const Function *f = function_for(m, c, &k);
    if (!f || !cg_program_step(&m->program, &k, f->launch < 0 ? f->fn : NULL, f->launch))
        return false;
    *scratch = f->scratch_bytes > *scratch ? f->scratch_bytes : *scratch;
    return true;
}

/* Kernels of one range in the graph's order, and what scratch they need. Every fault is reported,
 * not the first only. */
static bool
range_steps(Maker *m, const Graph *g, RangeId range, int64_t *scratch, AbiRange *out)
{
    bool ok = true;
    const int32_t first = m->program.abi.nsteps;
    for (int i = 0; i < g->nkernels; i++)
        if (m->range[i] == range)
            ok = kernel_step(m, g, g->kernels[i], range, scratch) && ok;
    *out = (AbiRange){.first = first, .count = m->program.abi.nsteps - first};
    return ok;
}

/* Every node but views must be in a kernel: nothing else runs. */
static bool
all_in_kernels(const Graph *g, Diag *diag)
{
    bool ok = true;
    for (const Node *n = g->first; n; n = n->next)
        if (!n->kernel && op_info[n->op].cls != CLASS_VIEW) {
            diag_error(diag, n->loc, "%s is in no kernel: no code is made of it",
                       op_info[n->op].name);
            ok = false;
        }
    return ok;
}

static bool
graphs_open(Maker *m, const Graph *const *graphs, int count)
{
    for (int i = 0; i < count; i++)
        if (!cg_program_graph(&m->program, graphs[i]) || !all_in_kernels(graphs[i], m->diag) ||
            !cg_check_graph(graphs[i], cg_escapes(m->c->arena, graphs[i]), m->diag))
            return false;
    return true;
}

static void
turn(Maker *m, const Graph *g)
{
    m->escapes = cg_escapes(m->c->arena, g);
    m->range = ranges_of(m->c->arena, g);
    cg_program_turn(&m->program, g);
}

/* How parameters are made: of which weights, by which code, to which places. While the module holds
 * the kernels of init alone. */
static uint64_t
pack_hash(const Maker *m)
{
    const Machine *t = m->c->machine;
    uint64_t hash = cg_program_params_hash(&m->program);
    hash = hash_bytes(t->cpu, strlen(t->cpu), hash);
    hash = hash_bytes(t->llvm, strlen(t->llvm), hash);
    for (Val fn = LLVMGetFirstFunction(m->c->mod); fn; fn = LLVMGetNextFunction(fn)) {
        char *text = LLVMPrintValueToString(fn);
        hash = hash_bytes(text, strlen(text), hash);
        LLVMDisposeMessage(text);
    }
    return hash;
}

/* The init steps of all graphs come first, as one range; then each entry's layers, head
 * and what chooses candidates. */
static bool
all_steps(Maker *m, const Graph *const *graphs, int count)
{
    AbiProgram *abi = &m->program.abi;
    bool ok = graphs_open(m, graphs, count);
    for (int i = 0; ok && i < count; i++) {
        AbiRange more = {0};
        turn(m, graphs[i]);
        ok = range_steps(m, graphs[i], RANGE_INIT, &abi->init_scratch_bytes, &more);
        abi->init.count += more.count;
    }
    if (ok)
        abi->pack_hash = pack_hash(m);
    for (int i = 0; ok && i < count && !m->program.params_only; i++) {
        AbiEntry *e = &m->program.entries[i];
        turn(m, graphs[i]);
        ok = range_steps(m, graphs[i], RANGE_LAYERS, &e->scratch_bytes, &e->layers);
        ok = range_steps(m, graphs[i], RANGE_HEAD, &e->scratch_bytes, &e->head) && ok;
        ok = range_steps(m, graphs[i], RANGE_CHOOSE, &e->scratch_bytes, &e->choose) && ok;
    }
    return ok;
}

/* ---- the module --------------------------------------------------------------------------- */

/* Which weights a step reads that runs after loading. */
static const bool *
weights_read(Arena *arena, const CgProgram *p)
{
    bool *reads = arena_array(arena, (size_t)p->abi.nweights + 1, sizeof *reads);
    for (int i = p->abi.init.first + p->abi.init.count; i < p->abi.nsteps; i++) {
        const AbiStep *step = &p->steps[i].row;
        for (int k = 0; k < step->operands; k++) {
            const AbiOperand *o = &p->operands[step->first_operand + k];
            if (o->space == ABI_WEIGHT)
                reads[o->index] = true;
        }
    }
    return reads;
}

/* Whether the module has the matrix unit's instructions. */
static bool
uses_unit(const CgModule *module)
{
    return LLVMGetNamedFunction(module->cg.mod, "llvm.x86.ldtilecfg") != NULL;
}

/* What is known of the program without its code. */
static void
keep_figures(CgModule *module, const Maker *m)
{
    if (!uses_unit(module) && !module->machine.matrix.model)
        module->machine.matrix = (MatrixUnit){0}; /* machine_needs asks for what is used */
    module->functions = m->nfunctions;
    module->abi = m->program.abi;
    module->abi.weights = m->program.weights;
    module->abi.states = m->program.states;
    module->abi.entries = m->program.entries;
    module->abi.inputs = m->program.inputs;
    module->abi.outputs = m->program.outputs;
    module->reads = weights_read(module->arena, &m->program);
}

/* What runs on a GPU goes to a module of its own; on the model into the other one. */
static Cg *
gpu_open(CgModule *module)
{
    if (module->machine.gpu.kind == GPU_none)
        return NULL;
    Cg *c = &module->gpu.cg;
    module->gpu.machine = machine_of_gpu(&module->machine);
    if (module->machine.gpu.model) {
        *c = module->cg;
        c->machine = &module->gpu.machine;
        c->lanes = 1;
        c->masks = false;
    } else {
        module->gpu.llvm = cg_llvm_machine(&module->gpu.machine);
        cg_llvm_open(c, module->arena, &module->gpu.machine, module->gpu.llvm);
    }
    c->on_gpu = c->aligned = true;
    return c;
}

/* The GPU's code as the text that its driver takes. */
static void
image_make(CgModule *module, CgProgram *p, bool params_only)
{
    if (!module->gpu.llvm || params_only)
        return;
    const LLVMModuleRef mod = module->gpu.cg.mod;
    cg_llvm_verify(mod, "as emitted for the GPU");
    cg_run_passes(mod, module->gpu.llvm, "");
    const LLVMMemoryBufferRef text = cg_machine_code(mod, module->gpu.llvm, LLVMAssemblyFile);
    p->abi.image_bytes = (int64_t)LLVMGetBufferSize(text);
    p->abi.image = arena_strndup(module->arena, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    p->abi.device = ABI_CUDA;
    p->abi.target = module->machine.gpu.name;
    LLVMDisposeMemoryBuffer(text);
}

static CgModule *
make_module(const Machine *machine, const Graph *const *graphs, int count, bool params_only,
            Diag *diag)
{
    if (count < 1)
        die("cg_module: %d graphs", count);
    Arena *arena = arena_new();
    CgModule *module = arena_alloc(arena, sizeof *module);
    module->arena = arena;
    module->machine = *machine;
    module->llvm = cg_llvm_machine(&module->machine);
    cg_llvm_open(&module->cg, arena, &module->machine, module->llvm);
    Maker m = {
        .c = &module->cg,
        .gpu = gpu_open(module),
        .diag = diag,
        .keys = {.arena = arena},
        .program = {.arena = arena,
                 .params_only = params_only,
                 .machine = &module->machine,
                 .diag = diag,
                 .weight_names = {.arena = arena},
                 .state_names = {.arena = arena},
                 .input_names = {.arena = arena},
                 .output_names = {.arena = arena},
                 .param_texts = {.arena = arena}}
    };
    if (!all_steps(&m, graphs, count)) {
        cg_module_free(module);
        return NULL;
    }
    image_make(module, &m.program, params_only);
    cg_tables(&module->cg, &m.program);
    keep_figures(module, &m);
    cg_llvm_verify(module->cg.mod, "as emitted");
    return module;
}

CgModule *
cg_module(const Machine *machine, const Graph *const *graphs, int count, Diag *diag)
{
    return make_module(machine, graphs, count, false, diag);
}

/* Where code for `machine` does not run, this machine's makes the same numbers: only the bf16
 * conversion of a CPU with bf16 dots differs, in f32 denormals. */
CgModule *
cg_module_params(Arena *arena, const Machine *machine, const Graph *const *graphs, int count,
                 Diag *diag)
{
    Machine here;
    const char *why = NULL;
    if (!cg_machine(arena, "native", &here, &why)) {
        diag_error(diag, (SrcLoc){0}, "%s", why);
        return NULL;
    }
    const bool foreign = machine_lacks(&here, machine) != NULL;
    here.bf16_dot = here.bf16_dot && machine->bf16_dot;
    here.panels = machine->panels; /* parameters lie where the machine's code looks for them */
    return make_module(foreign ? &here : machine, graphs, count, true, diag);
}

void
cg_module_free(CgModule *module)
{
    if (!module)
        return;
    if (module->optimised)
        LLVMDisposeModule(module->optimised);
    cg_llvm_close(&module->cg);
    LLVMDisposeTargetMachine(module->llvm);
    if (module->gpu.llvm) {
        cg_llvm_close(&module->gpu.cg);
        LLVMDisposeTargetMachine(module->gpu.llvm);
    }
    arena_free(module->arena);
}

int
cg_module_functions(const CgModule *module)
{
    return module->functions;
}

bool
cg_module_on_unit(const CgModule *module)
{
    return module->machine.matrix.kind != MATRIX_none;
}

const AbiProgram *
cg_module_abi(const CgModule *module)
{
    return &module->abi;
}

const bool *
cg_module_reads(const CgModule *module)
{
    return module->reads;
}
