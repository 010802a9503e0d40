/* runtime/library.c -- a compiled model in a library that this program was linked without. Its data
 * and kernels are used, and run on this program's own runtime: one message of the newest fault, one
 * way to read files, whichever runtime the library carries for those who link it. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

struct ssmc_library {
    void *handle; /* from dlopen */
    AbiCompiled compiled;
};

/* dlopen looks through the system's folders for a name without a slash. NULL: no memory. */
static void *
open_here(const char *path)
{
    if (strchr(path, '/'))
        return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const size_t room = strlen(path) + 3;
    char *here = malloc(room);
    if (!here)
        return NULL;
    memcpy(here, "./", 2);
    memcpy(here + 2, path, room - 2);
    void *handle = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    free(here);
    return handle;
}

static ssmc_status
not_opened(const char *path)
{
    const char *why = dlerror();
    if (!why)
        return rt_fail_memory(strlen(path) + 3, "the name of a library");
    return rt_fail(SSMC_IO, "cannot open %s: %s", path, why);
}

ssmc_status
ssmc_library_open(const char *path, ssmc_library **out)
{
    if (!path || !out)
        return rt_fail_null(path ? "place for the library" : "path of a library");
    *out = NULL;
    void *handle = open_here(path);
    if (!handle)
        return not_opened(path);
    const AbiCompiled *found = dlsym(handle, ABI_COMPILED_SYMBOL);
    ssmc_library *library = found ? malloc(sizeof *library) : NULL;
    if (!library) {
        dlclose(handle);
        return found ? rt_fail_memory(sizeof *library, "a library")
                     : rt_fail(SSMC_BAD_FILE,
                               "%s is no compiled model: it has no %s, which ssmc compile --emit "
                               "so puts into its libraries",
                               path, ABI_COMPILED_SYMBOL);
    }
    const ssmc_status status = rt_compiled_check(found);
    if (status != SSMC_OK) {
        dlclose(handle);
        free(library);
        return status;
    }
    *library = (ssmc_library){handle, *found};
    if (found->loader)
        library->compiled.loader = &rt_file_loader;
    *out = library;
    return SSMC_OK;
}

const ssmc_compiled *
ssmc_library_compiled(const ssmc_library *library)
{
    return library ? &library->compiled : NULL;
}

void
ssmc_library_close(ssmc_library *library)
{
    if (library)
        dlclose(library->handle);
    free(library);
}
