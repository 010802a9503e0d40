/* codegen/tables.c -- the program as constant data of the module, laid out as runtime/abi.h says.
 * Generated code and its tables are one object: the JIT and a file differ in nothing. */
#include <string.h>

#include <llvm-c/Target.h>

#include "codegen/module.h"

/* Texts that many rows share: kernels' names and rules, few of them for any number of layers. */
typedef struct {
    const char *text;
    Val data;
} Label;

typedef struct {
    Label *items;
    int count, cap;
} Labels;

/* ---- constants ----------------------------------------------------------------------------- */

static Val
i64(Cg *c, int64_t n)
{
    return cg_i64(c, n);
}

Val
cg_const_i32(Cg *c, int64_t n)
{
    return LLVMConstInt(c->i32, (unsigned long long)n, 1);
}

static Val
i32(Cg *c, int64_t n)
{
    return cg_const_i32(c, n);
}

Val
cg_const_record(Cg *c, Val *fields, size_t count)
{
    return LLVMConstStructInContext(c->ctx, fields, (unsigned)count, 0);
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
    for (int i = 0; i < labels->count; i++)
        if (strcmp(labels->items[i].text, s) == 0)
            return labels->items[i].data;
    const Label l = {s, text(c, s)};
    VEC_PUSH(c->arena, labels->items, labels->count, labels->cap, l);
    return l.data;
}

void
cg_const_check(Cg *c, LLVMTypeRef type, size_t size, const char *name)
{
    const unsigned long long bytes = LLVMABISizeOfType(LLVMGetModuleDataLayout(c->mod), type);
    if (bytes != size)
        die("%s is %llu bytes in LLVM, %zu in C", name, bytes, size);
}

Val
cg_const_table(Cg *c, Val *rows, int count, size_t size, const char *name)
{
    if (!count)
        return LLVMConstNull(c->ptr);
    const LLVMTypeRef type = LLVMTypeOf(rows[0]);
    cg_const_check(c, type, size, name);
    return cg_const_global(c, LLVMConstArray2(type, rows, (uint64_t)count), name);
}

/* ---- the tables of a program ----------------------------------------------------------------- */

static Val
dims(Cg *c, const int64_t dim[4])
{
    Val items[4];
    for (int i = 0; i < 4; i++)
        items[i] = i64(c, dim[i]);
    return LLVMConstArray2(c->i64, items, 4);
}

static Val
range(Cg *c, AbiRange r)
{
    Val fields[] = {i32(c, r.first), i32(c, r.count)};
    return cg_const_record(c, fields, COUNT_OF(fields));
}

static Val *
rows_new(Cg *c, int count)
{
    return arena_array(c->arena, (size_t)count + 1, sizeof(Val));
}

static Val
steps_table(Cg *c, Labels *labels, const CgProgram *p)
{
    Val *rows = rows_new(c, p->nsteps);
    for (int i = 0; i < p->nsteps; i++) {
        const AbiStep *s = &p->steps[i].row;
        Val fields[] = {p->steps[i].run, label(c, labels, s->name), i32(c, s->first_operand),
                        i32(c, s->operands), i32(c, s->pieces)};
        rows[i] = cg_const_record(c, fields, COUNT_OF(fields));
    }
    return cg_const_table(c, rows, p->nsteps, sizeof(AbiStep), "steps");
}

static Val
operands_table(Cg *c, const CgProgram *p)
{
    Val *rows = rows_new(c, p->noperands);
    for (int i = 0; i < p->noperands; i++) {
        const AbiOperand *o = &p->operands[i];
        Val fields[] = {i32(c, (int64_t)o->space), i32(c, o->index), i64(c, o->offset)};
        rows[i] = cg_const_record(c, fields, COUNT_OF(fields));
    }
    return cg_const_table(c, rows, p->noperands, sizeof(AbiOperand), "operands");
}

static Val
weights_table(Cg *c, Labels *labels, const CgProgram *p)
{
    Val *rows = rows_new(c, p->nweights);
    for (int i = 0; i < p->nweights; i++) {
        const AbiWeight *w = &p->weights[i].row;
        Val fields[] = {text(c, w->tensor), label(c, labels, w->init), i32(c, (int64_t)w->dtype),
                        i32(c, w->rank), dims(c, w->dim)};
        rows[i] = cg_const_record(c, fields, COUNT_OF(fields));
    }
    return cg_const_table(c, rows, p->nweights, sizeof(AbiWeight), "weights");
}

static Val
states_table(Cg *c, const CgProgram *p)
{
    Val *rows = rows_new(c, p->nstates);
    for (int i = 0; i < p->nstates; i++) {
        const AbiState *s = &p->states[i];
        Val fields[] = {text(c, s->name),      i64(c, s->offset), i64(c, s->bytes),
                        i32(c, (int)s->dtype), i32(c, s->rank),   dims(c, s->dim)};
        rows[i] = cg_const_record(c, fields, COUNT_OF(fields));
    }
    return cg_const_table(c, rows, p->nstates, sizeof(AbiState), "states");
}

static Val
phases(Cg *c, const CgProgram *p)
{
    Val rows[ABI_PHASES];
    for (int i = 0; i < ABI_PHASES; i++) {
        const AbiPhase *phase = &p->abi.phase[i];
        Val fields[] = {range(c, phase->layers),      range(c, phase->head),
                        i64(c, phase->block),         i64(c, phase->slab_bytes),
                        i64(c, phase->scratch_bytes), i64(c, phase->grain)};
        rows[i] = cg_const_record(c, fields, COUNT_OF(fields));
    }
    return LLVMConstArray2(LLVMTypeOf(rows[0]), rows, ABI_PHASES);
}

void
cg_tables(Cg *c, const CgProgram *p)
{
    const AbiProgram *abi = &p->abi;
    Labels labels = {0};
    Val fields[] = {text(c, abi->name),
                    i64(c, (int64_t)abi->identity),
                    text(c, abi->numerics),
                    i64(c, abi->vocab),
                    i64(c, abi->head_rows),
                    i64(c, abi->param_bytes),
                    i64(c, abi->state_bytes),
                    i64(c, abi->output_bytes),
                    i64(c, (int64_t)abi->pack_hash),
                    i64(c, c->calls_blas),
                    range(c, abi->init),
                    phases(c, p),
                    steps_table(c, &labels, p),
                    operands_table(c, p),
                    weights_table(c, &labels, p),
                    states_table(c, p),
                    i32(c, p->nsteps),
                    i32(c, p->noperands),
                    i32(c, p->nweights),
                    i32(c, p->nstates)};
    const Val program =
        cg_const_global(c, cg_const_record(c, fields, COUNT_OF(fields)), CG_PROGRAM_SYMBOL);
    LLVMSetLinkage(program, LLVMExternalLinkage);
    cg_const_check(c, LLVMGlobalGetValueType(program), sizeof(AbiProgram), "AbiProgram");
}
