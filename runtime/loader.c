/* runtime/loader.c -- weights for a compiled model that does not carry its own. */
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/internal.h"

/* The list with the first spelling of every name, which is the one that a rule's numbers go by; one
 * piece of memory. NULL: there is none. */
static AbiWeight *
first_names(const AbiProgram *abi)
{
    size_t room = ((size_t)abi->nweights + 1) * sizeof(AbiWeight);
    for (int i = 0; i < abi->nweights; i++)
        room += strcspn(abi->weights[i].tensor, "|") + 1;
    AbiWeight *list = calloc(1, room);
    char *name = list ? (char *)(list + abi->nweights + 1) : NULL;
    for (int i = 0; list && i < abi->nweights; i++) {
        const size_t len = strcspn(abi->weights[i].tensor, "|");
        list[i] = abi->weights[i];
        list[i].tensor = memcpy(name, abi->weights[i].tensor, len);
        name += len + 1;
    }
    return list;
}

static ssmc_status
by_rules(const AbiCompiled *compiled, const AbiProgram *abi, ssmc_weights **out)
{
    AbiWeight *list = first_names(abi);
    if (!list)
        return rt_fail_memory((size_t)abi->nweights * sizeof *list, "a list of weights");
    const ssmc_status status =
        rt_weights_describe(list, abi->nweights, (uint64_t)compiled->seed, out);
    free(list);
    return status;
}

/* Of a weight in blocks, once it is there, what a name with a suffix stands for. */
static ssmc_status
make_part(ssmc_weights *weights, const char *name)
{
    RtPart part;
    const size_t len = rt_part_of_name(name, strlen(name), &part);
    if (part == RT_WHOLE || rt_weights_find(weights, name))
        return SSMC_OK;
    char *of = strndup(name, len);
    const ssmc_status status =
        of ? rt_weights_parts(weights, of) : rt_fail_memory(len, "a weight's name");
    free(of);
    return status;
}

ssmc_status
rt_weights_load(const AbiCompiled *compiled, const AbiProgram *abi, const char *path,
                ssmc_weights **out)
{
    *out = NULL;
    if (!path)
        path = compiled->weights;
    if (strcmp(path, "init:reference") == 0)
        return by_rules(compiled, abi, out);
    ssmc_status status = rt_weights_open(path, out);
    for (int i = 0; status == SSMC_OK && i < abi->nweights; i++) {
        const AbiWeight *w = &abi->weights[i];
        RtPart part;
        rt_part_of_name(w->tensor, strlen(w->tensor), &part);
        if (strncmp(w->tensor, RT_MADE, strlen(RT_MADE)) == 0)
            status = rt_weights_make(*out, w->tensor, w->dim, w->rank);
        else if (part == RT_WHOLE && strchr(w->tensor, '+') &&
                 !rt_weights_find_any(*out, w->tensor))
            status = rt_weights_join(*out, w->tensor, w->dim, w->rank);
    }
    for (int i = 0; status == SSMC_OK && i < abi->nweights; i++)
        status = make_part(*out, abi->weights[i].tensor);
    if (status != SSMC_OK) {
        rt_weights_close(*out);
        *out = NULL;
    }
    if (status == SSMC_IO && path == compiled->weights)
        rt_fail_also(status, "model '%s' was compiled for the weights there; give their new place",
                     rt_quote(compiled->name).text);
    return status;
}

const AbiLoader rt_file_loader = {
    .open = rt_weights_load, .bind = rt_model_open, .close = rt_weights_close};
