/* codegen/rest.c -- memory of LLVM that is not needed once code is made. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codegen/codegen.h"

/* Segments that cannot be written are as the file has them: the kernel may drop their pages, and
 * reads them again from its cache when LLVM is called once more. */
static int
drop_pages(struct dl_phdr_info *library, size_t size, void *user)
{
    const size_t page = *(const size_t *)user;
    (void)size;
    if (!strstr(library->dlpi_name, "libLLVM"))
        return 0;
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        const ElfW(Addr) from = (library->dlpi_addr + segment->p_vaddr) / page * page;
        const ElfW(Addr) end = library->dlpi_addr + segment->p_vaddr + segment->p_memsz;
        madvise((void *)from, end - from, MADV_DONTNEED); /* advice: nothing depends on it */
    }
    return 0;
}

void
cg_rest(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(drop_pages, &page);
}
