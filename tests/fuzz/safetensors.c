/* tests/fuzz/safetensors.c -- any bytes as a safetensors file: every tensor taken lies inside them.
 */
#include <stdlib.h>

#include "runtime/rt.h"
#include "tests/fuzz/fuzz.h"

static void
check_tensor(const RtTensorFile *file, const RtTensor *t, const uint8_t *data, size_t size)
{
    const uint8_t *from = t->data;
    if (t->bytes > size || (t->bytes > 0 && (from < data || from > data + size - t->bytes)))
        abort();
    if (t->rank < 0 || t->rank > 8 || !rt_tensors_find(file, t->name))
        abort();
}

FUZZ_TARGET(safetensors)
{
    RtTensorFile *file = NULL;
    if (rt_tensors_from(data, size, "fuzz.safetensors", &file) != SSMC_OK) {
        if (ssmc_error()[0] == '\0')
            abort();
        return 0;
    }
    for (int i = 0; i < rt_tensors_count(file); i++)
        check_tensor(file, rt_tensors_at(file, i), data, size);
    rt_tensors_close(file);
    return 0;
}
