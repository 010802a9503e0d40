/* runtime/gguf.h -- GGUF files (llama.cpp's): key-values and a list of tensors, read where they lie
 * and believed only once they are checked. Self-contained: the frontend includes it, too.
 *
 * "GGUF", version, tensors, key-values (u32, u64, u64), then the key-values (name, type, value),
 * then for each tensor its name, rank, dimensions (the fastest first), type and offset; then the
 * data, aligned. A string is its length (u64) and bytes. Little-endian. */
#ifndef SSMC_RUNTIME_GGUF_H
#define SSMC_RUNTIME_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    RT_GGUF_U8,
    RT_GGUF_I8,
    RT_GGUF_U16,
    RT_GGUF_I16,
    RT_GGUF_U32,
    RT_GGUF_I32,
    RT_GGUF_F32,
    RT_GGUF_BOOL,
    RT_GGUF_STRING,
    RT_GGUF_ARRAY,
    RT_GGUF_U64,
    RT_GGUF_I64,
    RT_GGUF_F64,
    RT_GGUF_KINDS
} RtGgufKind;

typedef struct {
    const char *text; /* borrows the file; no NUL behind it */
    size_t len;
} RtGgufText;

typedef struct {
    RtGgufText name;
    RtGgufKind kind; /* of the value, or of the elements of an array */
    bool array;
    uint64_t count;    /* of an array; else 1 */
    const char *value; /* borrows the file: the first element, others behind it */
} RtGgufKey;

enum { RT_GGUF_RANK = 4 };

typedef struct {
    RtGgufText name;
    int rank;
    int64_t dim[RT_GGUF_RANK]; /* the slowest first, as elsewhere here */
    uint32_t type;
    const char *data; /* borrows the file */
    size_t bytes;
} RtGgufTensor;

typedef struct RtGguf RtGguf;

/* bytes NULL: maps the file. Bytes stay while it is open. The first of several files has the
 * tensors of all, which lie beside it. NULL: *why (static or of the runtime's last error) says what
 * is wrong with it. */
RtGguf *rt_gguf_open(const char *path, const char *bytes, size_t len, const char **why);
void rt_gguf_close(RtGguf *gguf);

const RtGgufKey *rt_gguf_find(const RtGguf *gguf, const char *name); /* NULL: none */
size_t rt_gguf_tensors(const RtGguf *gguf);
const RtGgufTensor *rt_gguf_tensor(const RtGguf *gguf, size_t i);
const RtGgufTensor *rt_gguf_tensor_named(const RtGguf *gguf, const char *name);

/* Element i of a key (0 where it is no array); false: it is of another kind, or there is none. */
bool rt_gguf_int(const RtGgufKey *key, uint64_t i, int64_t *out); /* a bool, too */
bool rt_gguf_float(const RtGgufKey *key, uint64_t i, double *out);
/* Elements of strings one after the other: *at NULL before the first. */
bool rt_gguf_text(const RtGgufKey *key, const char **at, RtGgufText *out);
bool rt_gguf_text_is(RtGgufText text, const char *what);

/* Layers that the file says its architecture has; 0: it does not say. *ahead: how many of them, the
 * last, are of heads that predict several tokens, and so not the model's. */
int64_t rt_gguf_layers(const RtGguf *gguf, const char *arch, int64_t *ahead);

/* ---- which rows of the tables a file is read by (gguf_archs.def) --------------------------- */

typedef struct {
    char name[64];       /* general.architecture, cut short: what its keys begin with */
    const char *rows[3]; /* names in the tables, then NULL; the first that says a thing counts */
} RtGgufArch;

/* False: the file does not say its architecture. */
bool rt_gguf_arch(const RtGguf *gguf, RtGgufArch *out);
/* How near the front `rows` names a row's architecture; -1: the row is of another. */
int rt_gguf_arch_rank(const RtGgufArch *arch, const char *of_row);
/* General architectures that files are read of, "A, B, C"; static. */
const char *rt_gguf_arch_names(void);
/* Whether the tables have rows of it. */
bool rt_gguf_arch_known(const RtGgufArch *arch);

#endif
