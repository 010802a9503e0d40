/* runtime/pickle.h -- Python pickles as torch.save makes them of tensors, read into values. Nothing
 * of a pickle is executed: a call of a known name becomes a value that says what would be called
 * with what, any other name is a fault. */
#ifndef SSMC_RUNTIME_PICKLE_H
#define SSMC_RUNTIME_PICKLE_H

#include "runtime/internal.h"

typedef enum {
    PICKLE_none,
    PICKLE_bool,
    PICKLE_int,
    PICKLE_float, /* without its number, which no tensor needs */
    PICKLE_text,
    PICKLE_tuple,
    PICKLE_list,
    PICKLE_dict,
    PICKLE_global,
    PICKLE_call,   /* of a global, with a tuple */
    PICKLE_outside /* what is kept beside the pickle, told by a tuple (BINPERSID) */
} RtPickleKind;

typedef enum { ROLE_dict, ROLE_tensor, ROLE_parameter, ROLE_storage } RtPickleRole;

typedef struct {
    const char *module, *name;
    RtPickleRole role;
    const char *dtype;
} RtPickleGlobal;

typedef struct {
    RtPickleKind kind;
    uint32_t at; /* byte of the pickle that the opcode which made it stands at */
    union {
        int64_t number; /* bool, int */
        struct {
            const char *text; /* borrows the pickle: no NUL behind it */
            size_t len;
        };
        struct {
            int first, last, count; /* tuple, list, dict: cells; a dict's are key, value, key ... */
        };
        struct {
            const RtPickleGlobal *global; /* global, call */
            int with;                     /* call, outside: the value of a tuple */
        };
    };
} RtPickleValue;

/* An item of a tuple, list or dict. */
typedef struct {
    int value, next; /* next: a cell; -1: the last */
} RtPickleCell;

typedef struct {
    RtPickleValue *value; /* owns: [count] */
    RtPickleCell *cell;   /* owns: [cells] */
    int count, cells;
    int top; /* the value that the pickle is of */
} RtPickle;

/* SSMC_BAD_FILE says which opcode at which byte. A value may be in several places, also inside
 * itself: code that walks values bounds its depth. where: for messages. */
ssmc_status rt_pickle_read(const char *where, const char *bytes, size_t len, RtPickle *out);
void rt_pickle_free(RtPickle *pickle);
/* For messages: "a dict", "None" ... */
const char *rt_pickle_kind(const RtPickleValue *value);

#endif
