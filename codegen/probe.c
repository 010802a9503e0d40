/* codegen/probe.c -- the arithmetic ceiling: as many independent chains of multiply-adds as
 * registers hold.
 *
 * Two thirds of the registers are accumulators: more than the latency of two FMA units needs (8 to
 * 10), and nothing is loaded in the loop. Each chain is x = x * a + x with a tiny a, so that values
 * stay finite and no chain is like another. */
#include "codegen/module.h"

static const char symbol[] = "ssmc_probe";
enum { UNROLL = 4, MOST_CHAINS = 24 };

typedef struct {
    Val chain[MOST_CHAINS]; /* variables */
    int count;
    bool bf16;
    Val a, b; /* factors: f32 vectors, or pairs of bf16 */
} Chains;

static Val
chain_step(Cg *c, const Chains *ch, Val x)
{
    return ch->bf16 ? cg_dot_bf16(c, x, ch->a, ch->b, c->lanes) : cg_fma(c, x, ch->a, x);
}

static void
chains_loop(Cg *c, const Chains *ch, Val rounds)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    CgLoop loop = cg_loop(c, "rounds", cg_i64(c, 0), rounds, 1);
    for (int u = 0; u < UNROLL; u++)
        for (int i = 0; i < ch->count; i++)
            cg_set(c, ch->chain[i], chain_step(c, ch, cg_get(c, type, ch->chain[i])));
    cg_loop_end(c, &loop);
}

/* Chains start from what sink holds and end in it, so that nothing is known or unused. */
static void
probe_body(Cg *c, Val rounds, Val sink, bool bf16)
{
    const LLVMTypeRef type = cg_vec_type(c, c->lanes);
    const int registers = c->target->vector_registers * 2 / 3;
    Chains ch = {.bf16 = bf16, .count = registers < MOST_CHAINS ? registers : MOST_CHAINS};
    const Val start = cg_vload(c, sink, DTYPE_f32, c->lanes, NULL);
    const Val tiny = LLVMBuildLoad2(c->b, c->i32, sink, "");
    ch.a = bf16 ? cg_splat(c, tiny, c->lanes) : start;
    ch.b = ch.a;
    for (int i = 0; i < ch.count; i++) {
        const Val differs = cg_splat(c, cg_f32(c, i), c->lanes);
        ch.chain[i] = cg_var(c, type, LLVMBuildFAdd(c->b, start, differs, ""), "chain");
    }
    chains_loop(c, &ch, rounds);
    Val sum = cg_get(c, type, ch.chain[0]);
    for (int i = 1; i < ch.count; i++)
        sum = LLVMBuildFAdd(c->b, sum, cg_get(c, type, ch.chain[i]), "");
    cg_vstore(c, sink, DTYPE_f32, sum, c->lanes, NULL);
}

static double
probe_flops(const Cg *c, bool bf16)
{
    const int registers = c->target->vector_registers * 2 / 3;
    const int chains = registers < MOST_CHAINS ? registers : MOST_CHAINS;
    return (double)UNROLL * chains * c->lanes * (bf16 ? 4 : 2);
}

static void
probe_function(Cg *c, bool bf16)
{
    LLVMTypeRef args[] = {c->i64, c->ptr};
    c->fn = LLVMAddFunction(c->mod, symbol, LLVMFunctionType(c->void_t, args, 2, 0));
    cg_describe_function(c, c->fn);
    const LLVMBasicBlockRef vars = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "vars");
    const LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(c->ctx, c->fn, "start");
    LLVMPositionBuilderAtEnd(c->at_entry, vars);
    LLVMPositionBuilderAtEnd(c->b, start);
    probe_body(c, LLVMGetParam(c->fn, 0), LLVMGetParam(c->fn, 1), bf16);
    LLVMBuildRetVoid(c->b);
    LLVMBuildBr(c->at_entry, start);
}

CgJit *
cg_probe_jit(Arena *arena, const CgTarget *target, bool bf16, CgProbe **probe,
             double *flops_per_round, const char **why)
{
    Arena *own = arena_new();
    CgModule *module = arena_alloc(own, sizeof *module);
    module->arena = own;
    module->target = *target;
    module->machine = cg_llvm_machine(&module->target);
    cg_llvm_open(&module->cg, own, &module->target, module->machine);
    probe_function(&module->cg, bf16);
    *flops_per_round = probe_flops(&module->cg, bf16);
    CgJit *jit = cg_jit_symbol(arena, module, symbol, why);
    cg_module_free(module);
    /* Objects and functions have different pointer types; POSIX makes them the same size. */
    if (jit)
        *(void **)(void *)probe = cg_jit_address(jit);
    return jit;
}
