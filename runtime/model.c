/* runtime/model.c -- a model: a program, its parameters and the tensors that its steps read. */
#include <stdlib.h>

#include "runtime/internal.h"

ssmc_status
rt_model_new(const ssmc_program *program, ssmc_model **out)
{
    const size_t tensors = (size_t)program->abi->nweights + 1;
    ssmc_model *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model)
        return rt_fail_memory(sizeof *model, "a model");
    model->program = program;
    model->cache = (RtMapping){.data = ""};
    model->weights = calloc(tensors, sizeof *model->weights);
    model->joined = calloc(tensors, sizeof *model->joined);
    model->identity = rt_identity_new(program->abi->nweights);
    if (!model->weights || !model->joined || !model->identity) {
        ssmc_model_close(model);
        return rt_fail_memory(tensors * sizeof *model->weights, "a model");
    }
    const ssmc_status status = program->abi->calls_blas ? rt_blas_open(&model->sgemm) : SSMC_OK;
    if (status == SSMC_OK)
        *out = model;
    else
        ssmc_model_close(model);
    return status;
}

void
ssmc_model_close(ssmc_model *model)
{
    if (!model)
        return;
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
ssmc_model_warning(const ssmc_model *model)
{
    return model ? model->warning : NULL;
}

const void *
rt_model_params(const ssmc_model *model)
{
    return model->params;
}
