/* codegen/aot.c -- the modules of a model, one for each CPU, as parts of one file: the tables that
 * runtime/compiled.c reads, and symbols that do not meet those of another model. */
#include <string.h>

#include "codegen/module.h"

/* ---- symbols ------------------------------------------------------------------------------- */

static Val
hidden(Val global)
{
    LLVMSetVisibility(global, LLVMHiddenVisibility);
    return global;
}

/* A symbol of another object of the same file. */
static Val
elsewhere(Cg *c, const char *name)
{
    const Val known = LLVMGetNamedGlobal(c->mod, name);
    return known ? known : hidden(LLVMAddGlobal(c->mod, c->i8, name));
}

static const char *
program_symbol(Cg *c, const CgExport *model, int variant)
{
    return arena_printf(c->arena, "%s_program_%d", model->symbol, variant);
}

/* ---- tables -------------------------------------------------------------------------------- */

static Val
text(Cg *c, const char *s)
{
    return cg_const_text(c, s, strlen(s));
}

static Val
offsets(Cg *c, const CgVariant *v)
{
    const int count = cg_module_abi(v->module)->nweights;
    Val *rows = arena_array(c->arena, (size_t)count + 1, sizeof *rows);
    for (int i = 0; v->tensor_offset && i < count; i++)
        rows[i] = cg_i64(c, v->tensor_offset[i]);
    return cg_const_table(c, rows, v->tensor_offset ? count : 0, "offsets");
}

static Val
variants_table(Cg *c, const CgExport *model, const CgVariant *variants, int count)
{
    Val *rows = arena_array(c->arena, (size_t)count, sizeof *rows);
    for (int i = 0; i < count; i++) {
        const CgVariant *v = &variants[i];
        const AbiVariant row = {.needs = machine_needs(&v->module->machine)};
        const CgPointer pointers[] = {
            {offsetof(AbiVariant, cpu), text(c, v->cpu)},
            {offsetof(AbiVariant, program), elsewhere(c, program_symbol(c, model, i))},
            {offsetof(AbiVariant, embedded),
             v->embedded ? elsewhere(c, v->embedded) : LLVMConstNull(c->ptr)},
            {offsetof(AbiVariant, tensor_offset), offsets(c, v)},
        };
        rows[i] = cg_const_record(c, CG_AbiVariant, &row, pointers, COUNT_OF(pointers));
    }
    return cg_const_table(c, rows, count, "variants");
}

static Val
eos_table(Cg *c, const CgExport *model)
{
    Val *rows = arena_array(c->arena, (size_t)model->neos, sizeof *rows);
    for (int i = 0; i < model->neos; i++)
        rows[i] = cg_const_i32(c, model->eos[i]);
    return cg_const_table(c, rows, model->neos, "eos");
}

static Val
optional_text(Cg *c, const char *of)
{
    return of ? text(c, of) : LLVMConstNull(c->ptr);
}

static Val
model_data(Cg *c, const CgExport *model, const CgVariant *variants, int count)
{
    const Val no = LLVMConstNull(c->ptr);
    const AbiCompiled row = {
        .version = ABI_VERSION,
        .nvariants = count,
        .seed = model->seed,
        .tokenizer_bytes = (int64_t)model->tokenizer_bytes,
        .neos = model->neos,
        .identity = {model->identity[0], model->identity[1]}
    };
    const CgPointer pointers[] = {
        {offsetof(AbiCompiled, name), text(c, model->name)},
        {offsetof(AbiCompiled, variants), variants_table(c, model, variants, count)},
        /* The files' code comes into a product only by this reference. */
        {offsetof(AbiCompiled, loader), variants[0].embedded ? no : elsewhere(c, "rt_file_loader")},
        {offsetof(AbiCompiled, weights), text(c, model->weights)},
        {offsetof(AbiCompiled, tokenizer),
         model->tokenizer ? cg_const_text(c, model->tokenizer, model->tokenizer_bytes) : no},
        {offsetof(AbiCompiled, eos), eos_table(c, model)},
        {offsetof(AbiCompiled, chat_template), optional_text(c, model->chat_template)},
        {offsetof(AbiCompiled, bos_text), optional_text(c, model->bos_text)},
        {offsetof(AbiCompiled, eos_text), optional_text(c, model->eos_text)},
    };
    return cg_const_record(c, CG_AbiCompiled, &row, pointers, COUNT_OF(pointers));
}

/* const ssmc_compiled *<symbol>_compiled(void): a function, because programs would copy data. */
static void
model_function(Cg *c, const CgExport *model, Val data)
{
    const LLVMTypeRef type = LLVMFunctionType(c->ptr, NULL, 0, 0);
    const char *name = arena_printf(c->arena, "%s_compiled", model->symbol);
    const Val fn = LLVMAddFunction(c->mod, name, type);
    LLVMPositionBuilderAtEnd(c->b, LLVMAppendBasicBlockInContext(c->ctx, fn, "start"));
    LLVMBuildRet(c->b, data);
}

void
cg_export(const CgExport *model, CgVariant *variants, int count)
{
    for (int i = 0; i < count; i++) {
        Cg *c = &variants[i].module->cg;
        const char *name = program_symbol(c, model, i);
        const Val program = LLVMGetNamedGlobal(c->mod, CG_PROGRAM_SYMBOL);
        LLVMSetValueName2(program, name, strlen(name));
        hidden(program);
    }
    Cg *c = &variants[0].module->cg;
    const Val data = cg_const_global(c, model_data(c, model, variants, count),
                                     arena_printf(c->arena, "%s_data", model->symbol));
    LLVMSetLinkage(data, LLVMExternalLinkage);
    model_function(c, model, data);
    cg_llvm_verify(c->mod, "as exported");
}
