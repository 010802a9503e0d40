/* runtime/index.c -- tensors by name. A sorted list rather than a hash: names come from files, and
 * no choice of them makes it slow. */
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

static int
entry_order(const void *a, const void *b)
{
    const RtIndexEntry *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* The first len bytes of a text. */
typedef struct {
    const char *text;
    size_t len;
} Key;

static int
key_order(const void *key, const void *entry)
{
    const Key *k = key;
    const char *name = ((const RtIndexEntry *)entry)->name;
    const int order = strncmp(k->text, name, k->len);
    return order ? order : name[k->len] ? -1 : 0;
}

ssmc_status
rt_index_build(RtIndex *index, const RtTensor *tensors, int count, int *first, int *second)
{
    *first = *second = -1;
    const size_t bytes = ((size_t)count + 1) * sizeof *index->entry;
    *index = (RtIndex){malloc(bytes), count};
    if (!index->entry)
        return rt_fail_memory(bytes, "a list of tensors");
    for (int i = 0; i < count; i++)
        index->entry[i] = (RtIndexEntry){tensors[i].name, i};
    qsort(index->entry, (size_t)count, sizeof *index->entry, entry_order);
    for (int i = 1; i < count && *first < 0; i++) {
        if (strcmp(index->entry[i - 1].name, index->entry[i].name) != 0)
            continue;
        *first = index->entry[i - 1].tensor;
        *second = index->entry[i].tensor;
    }
    return SSMC_OK;
}

int
rt_index_find(const RtIndex *index, const char *name, size_t len)
{
    const Key key = {name, len};
    const RtIndexEntry *found =
        bsearch(&key, index->entry, (size_t)index->count, sizeof *found, key_order);
    return found ? found->tensor : -1;
}

void
rt_index_free(RtIndex *index)
{
    free(index->entry);
    *index = (RtIndex){0};
}
