/* runtime/gguf_types.h -- types of tensors in GGUF files: their blocks, and what they stand for. */
#ifndef SSMC_RUNTIME_GGUF_TYPES_H
#define SSMC_RUNTIME_GGUF_TYPES_H

#include <stdint.h>

typedef struct {
    const char *name;
    uint32_t id;
    int block, bytes; /* elements and bytes of a block */
} RtGgufType;

const RtGgufType *rt_gguf_type(uint32_t id); /* NULL: none that is read */
const char *rt_gguf_type_names(void);
float rt_gguf_half(const unsigned char *at); /* an F16 */
/* The elements of one block as F32, by ggml's formulas and roundings; a type with blocks. */
void rt_gguf_unpack(const RtGgufType *type, const unsigned char *block, float *out);

#endif
