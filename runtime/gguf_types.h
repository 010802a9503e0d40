/* runtime/gguf_types.h -- types of tensors in GGUF files: their blocks, and what they stand for. */
#ifndef SSMC_RUNTIME_GGUF_TYPES_H
#define SSMC_RUNTIME_GGUF_TYPES_H

#include <stdint.h>

typedef struct {
    const char *name;
    uint32_t id;
    int block, bytes;   /* elements and bytes of a block */
    int group;          /* elements that share a scale, where whole numbers are; 0: no such type */
    const char *scales; /* F16 or F32: what holds a scale exactly */
} RtGgufType;

const RtGgufType *rt_gguf_type(uint32_t id); /* NULL: none that is read */
const char *rt_gguf_type_names(void);
float rt_gguf_half(const unsigned char *at); /* an F16 */
/* The elements of one block as F32, by ggml's formulas and roundings; a type with blocks. */
void rt_gguf_unpack(const RtGgufType *type, const unsigned char *block, float *out);
/* Scales of a block's groups and what is added to scale times whole number, exactly: what
 * rt_gguf_unpack gives is their sum, rounded to F32. The whole numbers are 0 to 15 of types of 4
 * bits, else signed, with minima of 0. A type with groups. */
void rt_gguf_scales(const RtGgufType *type, const unsigned char *block, float *scales,
                    float *minima);

#endif
