/* tests/allocations.c -- see allocations.h. The program's own malloc and its kin stand before those
 * of the C library, which do the work; under a sanitizer, which has put its own there, its hooks
 * count instead. */
#include "tests/allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_ullong calls;

uint64_t
allocations(void)
{
    return atomic_load(&calls);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void __sanitizer_malloc_hook(const volatile void *block, size_t bytes);
void __sanitizer_free_hook(const volatile void *block);

void
__sanitizer_malloc_hook(const volatile void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
    atomic_fetch_add(&calls, 1);
}

void
__sanitizer_free_hook(const volatile void *block)
{
    (void)block;
}

#else

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *block, size_t bytes);
void *memalign(size_t alignment, size_t bytes);
void *aligned_alloc(size_t alignment, size_t bytes);
int posix_memalign(void **out, size_t alignment, size_t bytes);

void *
malloc(size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(bytes);
}

void *
calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(count, bytes);
}

void *
realloc(void *block, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(block, bytes);
}

void *
memalign(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(alignment, bytes);
}

void *
aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int
posix_memalign(void **out, size_t alignment, size_t bytes)
{
    void *block = memalign(alignment, bytes);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

#endif
