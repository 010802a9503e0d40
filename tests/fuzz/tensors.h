/* tests/fuzz/tensors.h -- what targets that read tensors ask of a file that was taken. */
#ifndef SSMC_TESTS_FUZZ_TENSORS_H
#define SSMC_TESTS_FUZZ_TENSORS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/rt.h"

/* What blocks stand for, and their scales. */
static inline void
fuzz_blocks(const RtBlocks *blocks)
{
    const int parts = rt_blocks_have_scales(blocks) ? RT_PARTS : RT_WHOLE + 1;
    for (int part = RT_WHOLE; part < parts; part++) {
        char *out = malloc(rt_blocks_bytes(blocks, (RtPart)part) + 1);
        if (!out)
            return;
        rt_blocks_fill(blocks, (RtPart)part, 0, blocks->rows, out);
        free(out);
    }
}

/* Refused with a message, or every tensor lies inside the bytes and is found by its name. Of GGUF,
 * data may have been converted: it is read, as are blocks. */
static inline void
fuzz_tensors(const void *bytes, size_t size, const char *path)
{
    RtTensorFile *file = NULL;
    const uint8_t *data = bytes;
    const bool converts = size >= 4 && memcmp(bytes, "GGUF", 4) == 0;
    volatile uint8_t sum = 0;
    if (rt_tensors_from(bytes, size, path, &file) != SSMC_OK) {
        if (ssmc_error()[0] == '\0')
            abort();
        return;
    }
    for (int i = 0; i < rt_tensors_count(file); i++) {
        const RtTensor *t = rt_tensors_at(file, i);
        const uint8_t *from = t->data;
        if (t->blocks)
            fuzz_blocks(t->blocks);
        for (size_t k = 0; converts && !t->blocks && k < t->bytes; k++)
            sum = (uint8_t)(sum + from[k]);
        if (!converts &&
            (t->bytes > size || (t->bytes > 0 && (from < data || from > data + size - t->bytes))))
            abort();
        if (t->rank < 0 || t->rank > RT_MAX_RANK || !rt_tensors_find(file, t->name))
            abort();
    }
    rt_tensors_close(file);
}

#endif
