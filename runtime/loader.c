/* runtime/loader.c -- weights for a compiled model that does not carry its own. */
#include <string.h>

#include "runtime/internal.h"

ssmc_status
rt_weights_load(const AbiCompiled *compiled, const AbiProgram *abi, const char *path,
                ssmc_weights **out)
{
    *out = NULL;
    if (!path)
        path = compiled->weights;
    if (strcmp(path, "init:reference") == 0)
        return rt_weights_describe(abi->weights, abi->nweights, (uint64_t)compiled->seed, out);
    const ssmc_status status = rt_weights_open(path, out);
    if (status == SSMC_IO && path == compiled->weights)
        rt_fail_also(status, "model '%s' was compiled for the weights there; give their new place",
                     rt_quote(compiled->name).text);
    return status;
}

const AbiLoader rt_file_loader = {
    .open = rt_weights_load, .bind = rt_model_open, .close = rt_weights_close};
