/* codegen/perf_map.c -- names of JIT functions for `perf`: /tmp/perf-PID.map, one line a function.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <llvm-c/Object.h>

#include "codegen/module.h"

bool
cg_perf_map_wanted(void)
{
    const char *wish = getenv("SSMC_PERF_MAP");
    return wish && strcmp(wish, "1") == 0;
}

/* The linker keeps the functions together and in order, so that the lowest that a step points to is
 * the first of them in the object. The bodies that they call are named NAME.body. */
static void
write_lines(FILE *out, LLVMBinaryRef object, const AbiProgram *program)
{
    uint64_t entry = UINT64_MAX, step = UINT64_MAX;
    for (int32_t i = 0; i < program->nsteps; i++) {
        const uint64_t at = (uint64_t)(uintptr_t)program->steps[i].run;
        step = at < step ? at : step;
    }
    for (int round = 0; round < 2; round++) { /* the first finds the lowest */
        LLVMSymbolIteratorRef it = LLVMObjectFileCopySymbolIterator(object);
        for (; !LLVMObjectFileIsSymbolIteratorAtEnd(object, it); LLVMMoveToNextSymbol(it)) {
            const char *name = LLVMGetSymbolName(it);
            const uint64_t at = LLVMGetSymbolAddress(it);
            if (!name || strncmp(name, "ssmc_", 5) != 0 || strcmp(name, CG_PROGRAM_SYMBOL) == 0)
                continue;
            if (round == 1)
                fprintf(out, "%llx %llx %s\n", (unsigned long long)(step - entry + at),
                        (unsigned long long)LLVMGetSymbolSize(it), name);
            else if (!strchr(name, '.') && at < entry)
                entry = at;
        }
        LLVMDisposeSymbolIterator(it);
    }
}

/* A file in a folder of everybody: it must be a plain file of this user with one name, not a link
 * to another. NULL: it is not. */
static FILE *
map_open(const char *path)
{
    struct stat st;
    const int fd =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return NULL;
    const bool own =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1;
    FILE *out = own ? fdopen(fd, "a") : NULL;
    if (!out)
        close(fd);
    return out;
}

/* A map that cannot be written is no fault: it only names things. */
void
cg_perf_map(const StrBuf *bytes, const AbiProgram *program)
{
    char path[64], *why = NULL;
    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    const LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRange(bytes->text, bytes->len, "ssmc", 0);
    const LLVMBinaryRef object = LLVMCreateBinary(buffer, NULL, &why);
    FILE *out = object ? map_open(path) : NULL;
    if (out) {
        write_lines(out, object, program);
        fclose(out);
    }
    LLVMDisposeMessage(why);
    if (object)
        LLVMDisposeBinary(object);
    LLVMDisposeMemoryBuffer(buffer);
}
