/* runtime/model.c -- a model: a program, its parameters and the tensors that its steps read, here
 * and on its device. */
#include <stdlib.h>

#include "runtime/device.h"

ssmc_status
rt_model_new(const ssmc_program *program, ssmc_model **out)
{
    const size_t tensors = (size_t)program->abi->nweights + 1;
    ssmc_model *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model)
        return rt_fail_memory(sizeof *model, "a model");
    model->program = program;
    model->device = rt_device(program->abi->device);
    model->cache = (RtMapping){.data = ""};
    model->weights = calloc(tensors, sizeof *model->weights);
    model->joined = calloc(tensors, sizeof *model->joined);
    model->identity = rt_identity_new(program->abi->nweights);
    if (!model->weights || !model->joined || !model->identity) {
        ssmc_model_close(model);
        return rt_fail_memory(tensors * sizeof *model->weights, "a model");
    }
    ssmc_status status = program->abi->calls_blas ? rt_blas_open(&model->sgemm) : SSMC_OK;
    if (status == SSMC_OK)
        status = model->device->open(program->abi, &model->image);
    if (status == SSMC_OK)
        *out = model;
    else
        ssmc_model_close(model);
    return status;
}

/* ---- on the device ------------------------------------------------------------------------- */

static size_t
weight_bytes(const AbiProgram *abi, int i)
{
    size_t bytes = 0;
    const AbiWeight *w = &abi->weights[i];
    return rt_tensor_bytes(rt_abi_bits(w->dtype), w->dim, w->rank, &bytes) ? bytes : 0;
}

/* Each on a line of its own. */
static bool
place(size_t bytes, size_t *at, size_t *total)
{
    *at = *total;
    return rt_round_up(bytes, RT_LINE, &bytes) && rt_add(*total, bytes, total);
}

/* Bytes of params and of the weights that kernels read. False: more than there can be. */
static bool
placed_bytes(const ssmc_program *program, size_t *bytes)
{
    size_t at;
    *bytes = 0;
    bool fits = place((size_t)program->abi->param_bytes, &at, bytes);
    for (int i = 0; i < program->abi->nweights && fits; i++)
        fits = !rt_program_keeps(program, i) || place(weight_bytes(program->abi, i), &at, bytes);
    return fits;
}

static ssmc_status
copy_all(ssmc_model *model)
{
    const AbiProgram *abi = model->program->abi;
    const RtDevice *device = model->device;
    RtQueue *queue = NULL;
    size_t at, end = 0;
    ssmc_status status = device->begin(model->image, &queue);
    if (status != SSMC_OK)
        return status;
    place((size_t)abi->param_bytes, &at, &end);
    status = device->put(queue, model->copied, model->params, (size_t)abi->param_bytes);
    for (int i = 0; i < abi->nweights && status == SSMC_OK; i++) {
        if (!rt_program_keeps(model->program, i))
            continue;
        const size_t bytes = weight_bytes(abi, i);
        place(bytes, &at, &end);
        model->placed[i] = model->copied + at;
        status = device->put(queue, model->copied + at, model->weights[i], bytes);
    }
    device->end(queue);
    return status;
}

/* The host's pages of what kernels read on the device. What saved states know the model by is made
 * of files, or of what weights are made of. */
static void
free_pages(ssmc_model *model)
{
    const AbiProgram *abi = model->program->abi;
    const char *made = model->made;
    for (int i = 0; i < abi->nweights; i++) {
        const char *data = model->weights[i];
        if (made && data >= made && data < made + model->made_bytes)
            model->weights[i] = NULL;
    }
    rt_pages_free(model->made, model->made_bytes);
    rt_pages_free(model->pages, (size_t)abi->param_bytes);
    rt_unmap_file(&model->cache);
    model->made = model->pages = NULL;
    model->params = NULL;
}

ssmc_status
rt_model_place(ssmc_model *model)
{
    const AbiProgram *abi = model->program->abi;
    if (!model->device->apart) {
        model->there = (RtPlaces){model->params, model->weights};
        return SSMC_OK;
    }
    model->placed = calloc((size_t)abi->nweights + 1, sizeof *model->placed);
    if (!model->placed || !placed_bytes(model->program, &model->copied_bytes))
        return rt_fail_memory(SIZE_MAX, "a model");
    ssmc_status status = model->device->alloc(model->image, model->copied_bytes,
                                              "the weights of a model", &model->copied);
    if (status == SSMC_OK)
        status = copy_all(model);
    if (status != SSMC_OK)
        return status;
    free_pages(model);
    model->there = (RtPlaces){model->copied, model->placed};
    return SSMC_OK;
}

void
ssmc_model_close(ssmc_model *model)
{
    if (!model)
        return;
    if (model->copied)
        model->device->free(model->image, model->copied, model->copied_bytes);
    model->device->close(model->image);
    free(model->placed);
    rt_pages_free(model->made, model->made_bytes);
    rt_identity_free(model->identity);
    rt_pages_free(model->pages, (size_t)model->program->abi->param_bytes);
    rt_unmap_file(&model->cache);
    free(model->warning);
    if (model->own_weights)
        model->loader->close(model->own_weights);
    if (model->sgemm)
        rt_blas_close();
    rt_program_free(model->own_program);
    free(model->weights);
    free(model->joined);
    free(model);
}

int64_t
ssmc_model_vocab(const ssmc_model *model)
{
    return model ? model->program->logits->width : -1;
}

const char *
ssmc_model_device(const ssmc_model *model)
{
    return model ? model->device->name(model->image) : NULL;
}

const char *
ssmc_model_warning(const ssmc_model *model)
{
    return model ? model->warning : NULL;
}

const void *
rt_model_params(const ssmc_model *model)
{
    return model->params;
}

const ssmc_program *
rt_model_program(const ssmc_model *model)
{
    return model->program;
}
