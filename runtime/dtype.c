/* runtime/dtype.c -- element types of tensors in files, and sizes of tensors of them. */
#include <string.h>

#include "runtime/internal.h"

typedef struct {
    const char *name;
    int bits;
} DtypeBits;

static const DtypeBits dtypes[] = {
#define ST_DTYPE(name, bits) {#name, bits},
#include "runtime/dtypes.def"
#undef ST_DTYPE
};

const char *
rt_dtype_name(const char *name)
{
    for (size_t i = 0; i < RT_COUNT(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].name;
    return NULL;
}

int
rt_dtype_bits(const char *name)
{
    for (size_t i = 0; i < RT_COUNT(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].bits;
    return 0;
}

const char *
rt_abi_name(AbiDtype dtype)
{
#define NAME(name) #name,
    static const char *const names[] = {ABI_DTYPES(NAME)};
#undef NAME
    return (unsigned)dtype < ABI_DTYPE_COUNT ? names[dtype] : "?";
}

int
rt_abi_bits(AbiDtype dtype)
{
    return rt_dtype_bits(rt_abi_name(dtype));
}

bool
rt_tensor_bytes(int bits, const int64_t *dim, int rank, size_t *out)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0)
            return false;
    /* A dimension of 0 makes 0 elements, however large the others are. */
    for (int i = 0; i < rank; i++)
        if (dim[i] == 0)
            count = 0;
    for (int i = 0; i < rank && count; i++)
        if (!rt_mul(count, (size_t)dim[i], &count))
            return false;
    if (!rt_mul(count, (size_t)bits, &count) || count % 8 != 0)
        return false;
    *out = count / 8;
    return true;
}

bool
rt_dims_fit(const int64_t *a, int rank_a, const int64_t *b, int rank_b)
{
    int i = 0, k = 0;
    while (true) {
        while (i < rank_a && a[i] == 1)
            i++;
        while (k < rank_b && b[k] == 1)
            k++;
        if (i == rank_a || k == rank_b)
            return i == rank_a && k == rank_b;
        if (a[i++] != b[k++])
            return false;
    }
}
