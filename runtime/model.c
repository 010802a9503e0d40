/* runtime/model.c -- program + weights: every weight found and checked, parameters packed. */
#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

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

/* names: spellings separated by '|'; the first that there is. */
static const RtTensor *
find_tensor(const ssmc_weights *weights, const char *names)
{
    for (const char *at = names; *at;) {
        const size_t len = strcspn(at, "|");
        const RtTensor *t = rt_weights_find_n(weights, at, len);
        if (t)
            return t;
        at += len + (at[len] == '|');
    }
    return NULL;
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
        const RtTensor *t = find_tensor(weights, abi->weights[i].tensor);
        if (t && is_same(&abi->weights[i], t)) {
            model->weights[i] = t->data;
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

/* ---- parameters ---------------------------------------------------------------------------- */

typedef struct {
    ssmc_progress *call; /* NULL: nobody asks */
    void *user;
} Watcher;

static void
make_params(ssmc_model *model, RtPool *pool, char *scratch, void **operand, const Watcher *watcher)
{
    enum { STEPS_AT_ONCE = 16 };
    const AbiProgram *abi = model->program->abi;
    const RtSpaces spaces = {.params = model->params, .weights = model->weights};
    rt_operands_resolve(abi, &spaces, operand);
    const AbiCall call = {.scratch = scratch,
                          .scratch_stride = (int64_t)model->program->scratch_stride};
    RtRun run = {.abi = abi, .operand = operand, .call = &call, .pool = pool};
    for (int32_t done = 0; done < abi->init.count;) {
        const int32_t left = abi->init.count - done;
        const int32_t count = left < STEPS_AT_ONCE ? left : STEPS_AT_ONCE;
        run.range[0] = (AbiRange){.first = abi->init.first + done, .count = count};
        rt_run(&run);
        done += count;
        if (watcher->call)
            watcher->call(watcher->user, done, abi->init.count);
    }
}

static ssmc_status
fill_params(ssmc_model *model, int threads, const Watcher *watcher)
{
    const ssmc_program *p = model->program;
    RtPool *pool = NULL;
    size_t bytes = 0;
    ssmc_status status = rt_pool_open(threads, &pool);
    if (status != SSMC_OK)
        return status;
    void **operand = malloc(((size_t)p->abi->noperands + 1) * sizeof *operand);
    const bool fits = rt_mul((size_t)rt_pool_threads(pool), p->scratch_stride, &bytes);
    char *scratch = fits ? rt_pages_new(bytes) : NULL;
    if (operand && scratch)
        make_params(model, pool, scratch, operand, watcher);
    else
        status = rt_fail_memory(bytes, "scratch of parameters");
    rt_pages_free(scratch, bytes);
    free(operand);
    rt_pool_close(pool);
    return status;
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Kernels call OpenBLAS from threads of our pool, which has cut the work already. */
static void
quiet_blas(void)
{
    openblas_set_num_threads(1);
}

static ssmc_status
model_fill(ssmc_model *model, const ssmc_weights *weights, int threads, const Watcher *watcher)
{
    const AbiProgram *abi = model->program->abi;
    model->weights = calloc((size_t)abi->nweights + 1, sizeof *model->weights);
    if (!model->weights)
        return rt_fail_memory((size_t)abi->nweights * sizeof *model->weights, "a list of weights");
    const ssmc_status status = bind_weights(model, weights);
    if (status != SSMC_OK)
        return status;
    model->identity = rt_identity_new();
    if (!model->identity)
        return rt_fail_memory(sizeof(RtHash), "a model's identity");
    model->params = rt_pages_new((size_t)abi->param_bytes);
    if (!model->params)
        return rt_fail_memory((size_t)abi->param_bytes, "parameters");
    return fill_params(model, threads, watcher);
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
    const ssmc_status status = model_fill(model, weights, threads, &(Watcher){progress, user});
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
    rt_identity_free(model->identity);
    free(model->weights);
    free(model);
}

int64_t
ssmc_model_vocab(const ssmc_model *model)
{
    return model->program->abi->vocab;
}
