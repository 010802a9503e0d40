/* runtime/model.c -- program + weights: every weight found and checked, parameters packed. */
#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weights.h"

enum { MOST_FAULTS = 20 }; /* in one report */

/* ---- weights ------------------------------------------------------------------------------- */

static const char *
dtype_name(AbiDtype dtype)
{
    switch (dtype) {
    case ABI_F32:
        return "F32";
    case ABI_F16:
        return "F16";
    case ABI_BF16:
        return "BF16";
    }
    return "?";
}

static bool
is_same(const AbiWeight *w, const RtTensor *t)
{
    if (strcmp(dtype_name(w->dtype), t->dtype) != 0 || w->rank != t->rank)
        return false;
    return memcmp(w->dim, t->dim, (size_t)w->rank * sizeof *w->dim) == 0;
}

static void
report(const AbiWeight *w, const RtTensor *t)
{
    if (!t)
        rt_fail_also(SSMC_BAD_FILE, "the checkpoint lacks tensor '%s'", rt_quote(w->tensor).text);
    else
        rt_fail_also(SSMC_BAD_FILE, "tensor '%s' is %s %s, but the program was compiled for %s %s",
                     rt_quote(t->name).text, t->dtype, rt_dims(t->dim, t->rank).text,
                     dtype_name(w->dtype), rt_dims(w->dim, w->rank).text);
}

static ssmc_status
bind_weights(ssmc_model *model, const ssmc_weights *weights)
{
    const AbiProgram *abi = model->program->abi;
    int faults = 0;
    for (int i = 0; i < abi->nweights; i++) {
        const RtTensor *t = rt_weights_find_any(weights, abi->weights[i].tensor);
        if (t && is_same(&abi->weights[i], t)) {
            model->weights[i] = t->data;
            if (weights->made)
                rt_identity_made(model->identity, i, rt_made_key(weights, t));
            continue;
        }
        if (faults++ == 0)
            rt_fail(SSMC_BAD_FILE, "the weights do not fit program '%s':",
                    rt_quote(abi->name ? abi->name : "").text);
        if (faults <= MOST_FAULTS)
            report(&abi->weights[i], t);
    }
    if (faults > MOST_FAULTS)
        rt_fail_also(SSMC_BAD_FILE, "and %d more", faults - MOST_FAULTS);
    return faults ? SSMC_BAD_FILE : SSMC_OK;
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Kernels call OpenBLAS from threads of our pool, which has cut the work already. */
static void
quiet_blas(void)
{
    openblas_set_num_threads(1);
}

static ssmc_status
model_fill(ssmc_model *model, const ssmc_weights *weights, int threads, ssmc_progress *progress,
           void *user)
{
    const AbiProgram *abi = model->program->abi;
    model->weights = calloc((size_t)abi->nweights + 1, sizeof *model->weights);
    if (!model->weights)
        return rt_fail_memory((size_t)abi->nweights * sizeof *model->weights, "a list of weights");
    model->source = weights;
    model->identity = rt_identity_new(abi->nweights);
    if (!model->identity)
        return rt_fail_memory(sizeof(RtHash), "a model's identity");
    const ssmc_status status = bind_weights(model, weights);
    if (status != SSMC_OK)
        return status;
    model->params = rt_pages_new((size_t)abi->param_bytes);
    if (!model->params)
        return rt_fail_memory((size_t)abi->param_bytes, "parameters");
    return rt_params_make(model, weights, model->params, threads, progress, user);
}

ssmc_status
ssmc_model_open(const ssmc_program *program, const ssmc_weights *weights, int threads,
                ssmc_progress *progress, void *user, ssmc_model **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, quiet_blas);
    ssmc_model *model = calloc(1, sizeof *model);
    if (!model)
        return rt_fail_memory(sizeof *model, "a model");
    model->program = program;
    const ssmc_status status = model_fill(model, weights, threads, progress, user);
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
    rt_pages_free(model->params, (size_t)model->program->abi->param_bytes);
    rt_pages_free(model->made, model->made_bytes);
    rt_identity_free(model->identity);
    free(model->weights);
    free(model);
}

int64_t
ssmc_model_vocab(const ssmc_model *model)
{
    return model->program->abi->vocab;
}
