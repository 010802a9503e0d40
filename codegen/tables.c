/* codegen/tables.c -- the program as constant data of the module, laid out as runtime/abi.h says.
 * Generated code and its tables are one object: the JIT and a file differ in nothing. */
#include <string.h>

#include "codegen/module.h"

/* Texts that many rows share: kernels' names and rules, few of them for any number of layers. */
typedef struct {
    Texts texts;
    Val *data; /* by number */
    int count, cap;
} Labels;

/* ---- constants ----------------------------------------------------------------------------- */

Val
cg_const_i32(Cg *c, int64_t n)
{
    return LLVMConstInt(c->i32, (unsigned long long)n, 1);
}

Val
cg_const_global(Cg *c, Val data, const char *name)
{
    const Val g = LLVMAddGlobal(c->mod, LLVMTypeOf(data), name);
    LLVMSetInitializer(g, data);
    LLVMSetGlobalConstant(g, 1);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

Val
cg_const_text(Cg *c, const char *text, size_t len)
{
    const Val g = cg_const_global(c, LLVMConstStringInContext2(c->ctx, text, len, 0), "text");
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}

static Val
text(Cg *c, const char *s)
{
    return cg_const_text(c, s, strlen(s));
}

static Val
label(Cg *c, Labels *labels, const char *s)
{
    const int at = texts_add(&labels->texts, s);
    if (at == labels->count)
        VEC_PUSH(c->arena, labels->data, labels->count, labels->cap, text(c, s));
    return labels->data[at];
}

Val
cg_const_table(Cg *c, Val *rows, int count, const char *name)
{
    if (!count)
        return LLVMConstNull(c->ptr);
    return cg_const_global(c, LLVMConstArray2(LLVMTypeOf(rows[0]), rows, (uint64_t)count), name);
}

/* ---- the tables of a program ----------------------------------------------------------------- */

static Val *
rows_new(Cg *c, int count)
{
    return arena_array(c->arena, (size_t)count + 1, sizeof(Val));
}

static Val
steps_table(Cg *c, Labels *labels, const CgProgram *p)
{
    Val *rows = rows_new(c, p->abi.nsteps);
    for (int i = 0; i < p->abi.nsteps; i++) {
        const AbiStep *s = &p->steps[i].row;
        const CgPointer pointers[] = {
            {offsetof(AbiStep, run),
             p->steps[i].run ? p->steps[i].run : LLVMConstPointerNull(c->ptr)},
            {offsetof(AbiStep, name), label(c, labels, s->name)}
        };
        rows[i] = cg_const_record(c, CG_AbiStep, s, pointers, COUNT_OF(pointers));
    }
    return cg_const_table(c, rows, p->abi.nsteps, "steps");
}

static Val
operands_table(Cg *c, const CgProgram *p)
{
    Val *rows = rows_new(c, p->abi.noperands);
    for (int i = 0; i < p->abi.noperands; i++)
        rows[i] = cg_const_record(c, CG_AbiOperand, &p->operands[i], NULL, 0);
    return cg_const_table(c, rows, p->abi.noperands, "operands");
}

static Val
weights_table(Cg *c, Labels *labels, const CgProgram *p)
{
    Val *rows = rows_new(c, p->abi.nweights);
    for (int i = 0; i < p->abi.nweights; i++) {
        const AbiWeight *w = &p->weights[i];
        const CgPointer pointers[] = {
            {offsetof(AbiWeight, tensor), text(c, w->tensor)},
            {offsetof(AbiWeight, init), label(c, labels, w->init)}
        };
        rows[i] = cg_const_record(c, CG_AbiWeight, w, pointers, COUNT_OF(pointers));
    }
    return cg_const_table(c, rows, p->abi.nweights, "weights");
}

/* Rows whose first field is their name, and the only pointer that they have. */
static Val
named_table(Cg *c, CgAbi type, const void *rows, size_t bytes, int count, const char *name)
{
    Val *values = rows_new(c, count);
    for (int i = 0; i < count; i++) {
        const char *row = (const char *)rows + bytes * (size_t)i, *first;
        memcpy(&first, row, sizeof first);
        const CgPointer pointer = {0, text(c, first)};
        values[i] = cg_const_record(c, type, row, &pointer, 1);
    }
    return cg_const_table(c, values, count, name);
}
#define NAMED_TABLE(type, list)                                                                    \
    {offsetof(AbiProgram, list),                                                                   \
     named_table(c, CG_##type, p->list, sizeof *p->list, p->abi.n##list, #list)}

static Val
launches_table(Cg *c, Labels *labels, const CgProgram *p)
{
    Val *rows = rows_new(c, p->abi.nlaunches);
    for (int i = 0; i < p->abi.nlaunches; i++) {
        const CgPointer symbol = {offsetof(AbiLaunch, symbol),
                                  label(c, labels, p->launches[i].symbol)};
        rows[i] = cg_const_record(c, CG_AbiLaunch, &p->launches[i], &symbol, 1);
    }
    return cg_const_table(c, rows, p->abi.nlaunches, "launches");
}

static Val
image_text(Cg *c, const AbiProgram *abi)
{
    return abi->image ? cg_const_text(c, abi->image, (size_t)abi->image_bytes)
                      : LLVMConstPointerNull(c->ptr);
}

void
cg_tables(Cg *c, const CgProgram *p)
{
    AbiProgram abi = p->abi;
    abi.calls_blas = c->calls_blas;
    Labels labels = {.texts = {.arena = c->arena}};
    const CgPointer pointers[] = {
        {offsetof(AbiProgram, name), text(c, abi.name)},
        {offsetof(AbiProgram, numerics), text(c, abi.numerics)},
        NAMED_TABLE(AbiEntry, entries),
        NAMED_TABLE(AbiInput, inputs),
        NAMED_TABLE(AbiOutput, outputs),
        NAMED_TABLE(AbiState, states),
        {offsetof(AbiProgram, steps), steps_table(c, &labels, p)},
        {offsetof(AbiProgram, operands), operands_table(c, p)},
        {offsetof(AbiProgram, weights), weights_table(c, &labels, p)},
        {offsetof(AbiProgram, launches), launches_table(c, &labels, p)},
        {offsetof(AbiProgram, target), text(c, abi.target ? abi.target : "")},
        {offsetof(AbiProgram, image), image_text(c, &abi)},
    };
    const Val data = cg_const_record(c, CG_AbiProgram, &abi, pointers, COUNT_OF(pointers));
    LLVMSetLinkage(cg_const_global(c, data, CG_PROGRAM_SYMBOL), LLVMExternalLinkage);
}
