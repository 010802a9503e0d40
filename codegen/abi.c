/* codegen/abi.c -- the structs of runtime/abi.h in LLVM: their types, and rows as constants. Both
 * are made of the lists of fields. A field's place is C's, so the order of a list is free. */
#include "codegen/module.h"

#include <string.h>

#include <llvm-c/Target.h>

typedef struct {
    const char *name;
    CgAbi kind;
    size_t offset;
    unsigned count; /* of an array; 0: there is none */
} Field;

typedef struct {
    const char *name;
    const Field *fields;
    unsigned count;
    size_t bytes;
} Record;

/* Every field's kind is as large as its C type. */
#define STRUCT(type, FIELDS) BYTES_##type = sizeof(type),
enum { BYTES_i32 = 4, BYTES_i64 = 8, BYTES_ptr = sizeof(void *), ABI_STRUCTS(STRUCT) };
#undef STRUCT
#define FIELD(ctype, kind, name, doc)                                                              \
    _Static_assert(sizeof(ctype) == BYTES_##kind, #name " is no " #kind);
#define ARRAY(ctype, kind, name, count, doc) FIELD(ctype, kind, name, doc)
#define STRUCT(type, FIELDS)                 FIELDS(FIELD, ARRAY)
ABI_STRUCTS(STRUCT)
#undef FIELD
#undef ARRAY
#undef STRUCT

static Record
record_of(CgAbi type)
{
    switch (type) {
    case CG_i32:
    case CG_i64:
    case CG_ptr:
    case CG_ABI_COUNT:
        break;
#define FIELD(ctype, kind, name, doc)        {#name, CG_##kind, offsetof(Self, name), 0},
#define ARRAY(ctype, kind, name, count, doc) {#name, CG_##kind, offsetof(Self, name), count},
#define STRUCT(type, FIELDS)                                                                       \
    case CG_##type: {                                                                              \
        typedef type Self;                                                                         \
        static const Field fields[] = {FIELDS(FIELD, ARRAY)};                                      \
        return (Record){#type, fields, COUNT_OF(fields), sizeof(Self)};                            \
    }
        ABI_STRUCTS(STRUCT)
#undef FIELD
#undef ARRAY
#undef STRUCT
    }
    die("codegen: kind %d is no struct", (int)type);
}

void
cg_abi_open(Cg *c)
{
    const LLVMTargetDataRef layout = LLVMGetModuleDataLayout(c->mod);
    c->abi[CG_i32] = c->i32;
    c->abi[CG_i64] = c->i64;
    c->abi[CG_ptr] = c->ptr;
    for (int id = CG_ptr + 1; id < CG_ABI_COUNT; id++) {
        const Record r = record_of((CgAbi)id);
        LLVMTypeRef types[32];
        if (r.count > COUNT_OF(types))
            die("%s has %u fields", r.name, r.count);
        for (unsigned i = 0; i < r.count; i++) {
            const LLVMTypeRef type = c->abi[r.fields[i].kind];
            types[i] = r.fields[i].count ? LLVMArrayType2(type, r.fields[i].count) : type;
        }
        c->abi[id] = LLVMStructCreateNamed(c->ctx, r.name);
        LLVMStructSetBody(c->abi[id], types, r.count, 0);
        for (unsigned i = 0; i < r.count; i++)
            if (LLVMOffsetOfElement(layout, c->abi[id], i) != r.fields[i].offset)
                die("%s.%s lies elsewhere in LLVM than in C", r.name, r.fields[i].name);
        if (LLVMABISizeOfType(layout, c->abi[id]) != r.bytes)
            die("%s has another size in LLVM than in C", r.name);
    }
}

static Val
pointer_of(const Record *r, const Field *f, const CgPointer *pointers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pointers[i].offset == f->offset)
            return pointers[i].value;
    die("%s.%s is not set", r->name, f->name);
}

static Val
element(Cg *c, CgAbi kind, const char *at)
{
    int32_t n32;
    int64_t n64;
    if (kind == CG_i32) {
        memcpy(&n32, at, sizeof n32);
        return cg_const_i32(c, n32);
    }
    if (kind == CG_i64) {
        memcpy(&n64, at, sizeof n64);
        return cg_i64(c, n64);
    }
    return cg_const_record(c, kind, at, NULL, 0);
}

Val
cg_const_record(Cg *c, CgAbi type, const void *row, const CgPointer *pointers, size_t count)
{
    const Record r = record_of(type);
    Val *values = arena_array(c->arena, r.count, sizeof *values);
    for (unsigned i = 0; i < r.count; i++) {
        const Field *f = &r.fields[i];
        const char *at = (const char *)row + f->offset;
        if (f->kind == CG_ptr) {
            values[i] = pointer_of(&r, f, pointers, count);
        } else if (!f->count) {
            values[i] = element(c, f->kind, at);
        } else {
            const size_t bytes =
                LLVMABISizeOfType(LLVMGetModuleDataLayout(c->mod), c->abi[f->kind]);
            Val *items = arena_array(c->arena, f->count, sizeof *items);
            for (unsigned k = 0; k < f->count; k++)
                items[k] = element(c, f->kind, at + k * bytes);
            values[i] = LLVMConstArray2(c->abi[f->kind], items, f->count);
        }
    }
    return LLVMConstNamedStruct(c->abi[type], values, r.count);
}
