/* runtime/bind.c -- a program meets the weights of files: every tensor found and checked,
 * parameters made of them, or found in a cache. */
#include <stdlib.h>
#include <string.h>

#include "runtime/device.h"
#include "runtime/weights.h"

enum { MOST_FAULTS = 20 }; /* in one report */

/* ---- weights ------------------------------------------------------------------------------- */

static bool
is_same(const AbiWeight *w, const RtTensor *t)
{
    return strcmp(rt_abi_name(w->dtype), t->dtype) == 0 &&
           (rt_dims_fit(w->dim, w->rank, t->dim, t->rank) ||
            (rt_stack_fits(w->dim, w->rank, t) &&
             rt_rows_of(w->dim, w->rank) == rt_rows_of(t->dim, t->rank)));
}

static void
report(const AbiWeight *w, const RtTensor *t)
{
    if (!t)
        rt_fail_also(SSMC_BAD_FILE, "the checkpoint lacks tensor '%s'", rt_quote(w->tensor).text);
    else
        rt_fail_also(SSMC_BAD_FILE, "tensor '%s' is %s %s, but the program was compiled for %s %s",
                     rt_quote(t->name).text, t->dtype, rt_dims(t->dim, t->rank).text,
                     rt_abi_name(w->dtype), rt_dims(w->dim, w->rank).text);
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
            model->joined[i] = t->members || t->blocks ? t : NULL;
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

/* ---- parameters ---------------------------------------------------------------------------- */

typedef struct {
    const ssmc_weights *weights;
    int threads;
    ssmc_progress *progress; /* NULL: not called */
    void *user;
} Making;

static ssmc_status
make_params(ssmc_model *model, const Making *m)
{
    const size_t bytes = (size_t)model->program->abi->param_bytes;
    model->pages = rt_pages_new(bytes);
    if (!model->pages)
        return rt_fail_memory(bytes, "parameters");
    model->params = model->pages;
    const ssmc_status status =
        rt_params_make(model, m->weights, model->pages, m->threads, m->progress, m->user);
    rt_weights_rest(m->weights);
    return status;
}

/* The newest fault is one of the cache, which the model can do without. */
static void
warn(ssmc_model *model)
{
    if (!model->warning)
        model->warning = strdup(ssmc_error());
}

/* The parameters of the cache's file; where there is none, or a damaged one, they are made and
 * written to it. A file that cannot be read is not replaced: it may be another user's. */
static ssmc_status
cached_params(ssmc_model *model, const char *dir, uint64_t identity, const Making *m)
{
    const AbiProgram *abi = model->program->abi;
    bool found = false;
    char *path = rt_pack_path(dir, abi, identity);
    if (!path)
        return rt_fail_memory(strlen(dir), "a path");
    const ssmc_status read =
        rt_pack_read(path, abi, identity, &model->cache, &model->params, &found);
    if (read != SSMC_OK)
        warn(model);
    const ssmc_status status = found ? rt_params_keep(model, m->weights) : make_params(model, m);
    const bool writes = status == SSMC_OK && !found && (read == SSMC_OK || read == SSMC_BAD_FILE);
    if (writes && (rt_folder_make(dir) != SSMC_OK ||
                   rt_pack_write(path, abi, identity, model->params) != SSMC_OK))
        warn(model);
    free(path);
    return status;
}

/* ---- the model ----------------------------------------------------------------------------- */

ssmc_status
rt_model_open(const ssmc_program *program, const ssmc_weights *weights, const char *pack_cache,
              int threads, ssmc_progress *progress, void *user, ssmc_model **out)
{
    const Making m = {weights, threads, progress, user};
    uint64_t identity = 0;
    ssmc_model *model = NULL;
    *out = NULL;
    ssmc_status status = rt_model_new(program, &model);
    if (status == SSMC_OK)
        status = bind_weights(model, weights);
    if (status == SSMC_OK && pack_cache && rt_weights_identity(weights, &identity))
        status = cached_params(model, pack_cache, identity, &m);
    else if (status == SSMC_OK)
        status = make_params(model, &m);
    if (status == SSMC_OK)
        status = rt_model_place(model);
    if (status == SSMC_OK && model->device->apart)
        rt_weights_rest(weights);
    if (status == SSMC_OK)
        *out = model;
    else
        ssmc_model_close(model);
    return status;
}

/* Weights that kernels of `model` read and that are where the device is or were made, out of those
 * that `beside` keeps. False: there are some that it does not. */
static bool
borrow_weights(ssmc_model *model, const ssmc_model *beside)
{
    const AbiProgram *abi = model->program->abi, *other = beside->program->abi;
    const void **mine = model->device->apart ? model->placed : model->weights;
    for (int i = 0; i < abi->nweights; i++) {
        if (mine[i] || !rt_program_keeps(model->program, i))
            continue;
        int k = 0, tries = 0; /* programs of one model have most weights in one order */
        for (; tries < other->nweights; tries++) {
            k = (i + tries) % other->nweights;
            if (strcmp(other->weights[k].tensor, abi->weights[i].tensor) == 0)
                break;
        }
        if (tries == other->nweights || !beside->there.weights[k])
            return false;
        mine[i] = beside->there.weights[k];
    }
    model->there = (RtPlaces){beside->there.params, mine};
    return true;
}

ssmc_status
rt_model_beside(const ssmc_program *program, const ssmc_weights *weights, const ssmc_model *beside,
                ssmc_model **out)
{
    ssmc_model *model = NULL;
    *out = NULL;
    if (program->abi->device != beside->program->abi->device ||
        program->abi->pack_hash != beside->program->abi->pack_hash ||
        program->abi->param_bytes != beside->program->abi->param_bytes)
        return SSMC_OK;
    ssmc_status status = rt_model_new(program, &model);
    if (status == SSMC_OK)
        status = bind_weights(model, weights);
    if (status == SSMC_OK && model->device->apart) {
        model->placed = calloc((size_t)program->abi->nweights + 1, sizeof *model->placed);
        status = model->placed ? SSMC_OK : rt_fail_memory(sizeof *model, "a model");
    }
    if (status == SSMC_OK && borrow_weights(model, beside)) {
        model->params = beside->params;
        *out = model;
        return SSMC_OK;
    }
    ssmc_model_close(model);
    return status;
}

ssmc_status
ssmc_model_open(const ssmc_program *program, const ssmc_weights *weights, int threads,
                ssmc_progress *progress, void *user, ssmc_model **out)
{
    if (!program || !weights || !out)
        return rt_fail_null(!program ? "program" : !weights ? "weights" : "place for the model");
    return rt_model_open(program, weights, NULL, threads, progress, user, out);
}

ssmc_status
rt_weights_fingerprint(const AbiProgram *abi, const ssmc_weights *weights, uint64_t out[2])
{
    const size_t count = (size_t)abi->nweights + 1;
    const void **data = calloc(count, sizeof *data);
    uint64_t *made = calloc(count, sizeof *made);
    const RtTensor **joined = calloc(count, sizeof *joined);
    const bool there = data && made && joined;
    for (int i = 0; there && i < abi->nweights; i++) {
        const RtTensor *t = rt_weights_find_any(weights, abi->weights[i].tensor);
        data[i] = t ? t->data : NULL;
        joined[i] = t && (t->members || t->blocks) ? t : NULL;
        made[i] = t && weights->made ? rt_made_key(weights, t) : 0;
    }
    const RtHash hash = there ? rt_identity_hash(abi, data, made, joined) : (RtHash){0};
    out[0] = hash.low;
    out[1] = hash.high;
    free(data);
    free(made);
    free(joined);
    return there ? SSMC_OK : rt_fail_memory(count * sizeof *data, "a list of weights");
}
