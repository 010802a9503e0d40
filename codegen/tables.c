/* codegen/tables.c -- the program as constant data of the module, laid out as runtime/abi.h says.
 * Generated code and its tables are one object: the JIT and a file differ in nothing. */
#include <string.h>

#include <llvm-c/Target.h>

#include "codegen/module.h"

typedef struct {
    Cg *c;
    LLVMTargetDataRef layout;
} Tables;

static Val
i64(const Tables *t, int64_t n)
{
    return cg_i64(t->c, n);
}

static Val
i32(const Tables *t, int64_t n)
{
    return LLVMConstInt(t->c->i32, (unsigned long long)n, 1);
}

static Val
record(const Tables *t, Val *fields, size_t count)
{
    return LLVMConstStructInContext(t->c->ctx, fields, (unsigned)count, 0);
}

static Val
array(LLVMTypeRef type, Val *items, size_t count)
{
    return LLVMConstArray2(type, items, count);
}

/* A private constant; its address. */
static Val
constant(const Tables *t, Val data, const char *name)
{
    const Val g = LLVMAddGlobal(t->c->mod, LLVMTypeOf(data), name);
    LLVMSetInitializer(g, data);
    LLVMSetGlobalConstant(g, 1);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

static Val
text(const Tables *t, const char *s)
{
    const Val data = LLVMConstStringInContext2(t->c->ctx, s, strlen(s), 0);
    const Val g = constant(t, data, "text");
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}

/* Where C and LLVM disagree on a size the tables would be garbage. */
static void
check_size(const Tables *t, LLVMTypeRef type, size_t size, const char *name)
{
    const unsigned long long bytes = LLVMABISizeOfType(t->layout, type);
    if (bytes != size)
        die("%s is %llu bytes in LLVM, %zu in C", name, bytes, size);
}

/* A table of equal records; NULL when empty. */
static Val
table(const Tables *t, Val *rows, int count, size_t size, const char *name)
{
    if (!count)
        return LLVMConstNull(t->c->ptr);
    const LLVMTypeRef type = LLVMTypeOf(rows[0]);
    check_size(t, type, size, name);
    return constant(t, array(type, rows, (size_t)count), name);
}

static Val
dims(const Tables *t, const int64_t dim[4])
{
    Val items[4];
    for (int i = 0; i < 4; i++)
        items[i] = i64(t, dim[i]);
    return array(t->c->i64, items, 4);
}

static Val
range(const Tables *t, AbiRange r)
{
    Val fields[] = {i32(t, r.first), i32(t, r.count)};
    return record(t, fields, COUNT_OF(fields));
}

static Val *
rows_new(const Tables *t, int count)
{
    return arena_array(t->c->arena, (size_t)count + 1, sizeof(Val));
}

static Val
steps_table(const Tables *t, const CgProgram *p)
{
    Val *rows = rows_new(t, p->nsteps);
    for (int i = 0; i < p->nsteps; i++) {
        const AbiStep *s = &p->steps[i].row;
        Val fields[] = {p->steps[i].run, text(t, s->name), i32(t, s->first_operand),
                        i32(t, s->operands), i32(t, s->parallel)};
        rows[i] = record(t, fields, COUNT_OF(fields));
    }
    return table(t, rows, p->nsteps, sizeof(AbiStep), "steps");
}

static Val
operands_table(const Tables *t, const CgProgram *p)
{
    Val *rows = rows_new(t, p->noperands);
    for (int i = 0; i < p->noperands; i++) {
        const AbiOperand *o = &p->operands[i];
        Val fields[] = {i32(t, (int64_t)o->space), i32(t, o->index), i64(t, o->offset)};
        rows[i] = record(t, fields, COUNT_OF(fields));
    }
    return table(t, rows, p->noperands, sizeof(AbiOperand), "operands");
}

static Val
weights_table(const Tables *t, const CgProgram *p)
{
    Val *rows = rows_new(t, p->nweights);
    for (int i = 0; i < p->nweights; i++) {
        const AbiWeight *w = &p->weights[i];
        Val fields[] = {text(t, w->tensor), text(t, w->init), i32(t, (int64_t)w->dtype),
                        i32(t, w->rank), dims(t, w->dim)};
        rows[i] = record(t, fields, COUNT_OF(fields));
    }
    return table(t, rows, p->nweights, sizeof(AbiWeight), "weights");
}

static Val
states_table(const Tables *t, const CgProgram *p)
{
    Val *rows = rows_new(t, p->nstates);
    for (int i = 0; i < p->nstates; i++) {
        const AbiState *s = &p->states[i];
        Val fields[] = {text(t, s->name), i64(t, s->offset), i64(t, s->bytes), i32(t, s->rank),
                        dims(t, s->dim)};
        rows[i] = record(t, fields, COUNT_OF(fields));
    }
    return table(t, rows, p->nstates, sizeof(AbiState), "states");
}

static Val
phases(const Tables *t, const CgProgram *p)
{
    Val rows[ABI_PHASES];
    for (int i = 0; i < ABI_PHASES; i++) {
        const AbiPhase *phase = &p->abi.phase[i];
        Val fields[] = {range(t, phase->layers),      range(t, phase->head),
                        i64(t, phase->block),         i64(t, phase->slab_bytes),
                        i64(t, phase->scratch_bytes), i64(t, phase->grain)};
        rows[i] = record(t, fields, COUNT_OF(fields));
    }
    return array(LLVMTypeOf(rows[0]), rows, ABI_PHASES);
}

void
cg_tables(Cg *c, const CgProgram *p, LLVMTargetMachineRef machine)
{
    const Tables tables = {.c = c, .layout = LLVMCreateTargetDataLayout(machine)}, *t = &tables;
    const AbiProgram *abi = &p->abi;
    Val fields[] = {text(t, abi->name),       i64(t, (int64_t)abi->identity),
                    text(t, abi->numerics),   i64(t, abi->vocab),
                    i64(t, abi->head_rows),   i64(t, abi->param_bytes),
                    i64(t, abi->state_bytes), i64(t, abi->output_bytes),
                    range(t, abi->init),      phases(t, p),
                    steps_table(t, p),        operands_table(t, p),
                    weights_table(t, p),      states_table(t, p),
                    i32(t, p->nsteps),        i32(t, p->noperands),
                    i32(t, p->nweights),      i32(t, p->nstates)};
    const Val program = constant(t, record(t, fields, COUNT_OF(fields)), CG_PROGRAM_SYMBOL);
    LLVMSetLinkage(program, LLVMExternalLinkage);
    check_size(t, LLVMGlobalGetValueType(program), sizeof(AbiProgram), "AbiProgram");
    LLVMDisposeTargetData(t->layout);
}
