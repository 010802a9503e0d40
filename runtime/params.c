/* runtime/params.c -- parameters made of weights, once: packed, folded, cast.
 *
 * Weights do not lie in memory twice. The pages of a checkpoint are read in order and given back as
 * soon as they have been: each step runs in pieces of a few megabytes, of which every thread takes
 * its share, and when it is done all of what it has read is given back: a part of whole panels
 * reads some bytes that belong to the part before. Weights without data of their own, made by rules
 * or of several tensors, are made when a step reads them, in one buffer for all steps; only those
 * that kernels read later get a place to stay. */
#include <stdlib.h>

#include "runtime/weights.h"

enum { PIECE_BYTES = 8 << 20, MOST_PIECES = 256 };

/* One of the program's weights. */
typedef struct {
    const RtTensor *tensor;
    bool rule;    /* there are no data: they are made by its rule, or of several tensors */
    bool kept;    /* steps after loading read it */
    size_t place; /* in the model's pages of made weights, if it is made and kept */
} Source;

typedef struct {
    const ssmc_model *model;
    const AbiProgram *abi;
    const ssmc_weights *weights;
    const Source *source; /* [nweights] */
    void **operand;       /* [noperands] */
    char *scratch;        /* [threads] of stride */
    size_t stride;
    char *buffer; /* weights that are made for one step */
    const AbiStep *step;
    RtPool *pool;
    ssmc_progress *progress; /* NULL: not called */
    void *user;
} Making;

static const AbiOperand *
operand_at(const AbiProgram *abi, const AbiStep *step, int i)
{
    return &abi->operands[step->first_operand + i];
}

/* Whether operand i of a step is a weight that is made for the step alone. */
static bool
is_passing(const AbiProgram *abi, const Source *source, const AbiStep *step, int i)
{
    const AbiOperand *o = operand_at(abi, step, i);
    return o->space == ABI_WEIGHT && source[o->index].rule && !source[o->index].kept;
}

/* ---- one step ------------------------------------------------------------------------------ */

static int64_t
pieces_of(const Making *m, const AbiStep *step)
{
    size_t sum = 0;
    for (int i = 0; i < step->operands; i++) {
        const AbiOperand *o = operand_at(m->abi, step, i);
        if (o->space == ABI_WEIGHT && !rt_add(sum, m->source[o->index].tensor->bytes, &sum))
            return MOST_PIECES;
    }
    const size_t pieces = sum / PIECE_BYTES + 1;
    return pieces < MOST_PIECES ? (int64_t)pieces : MOST_PIECES;
}

/* Parts from .. to - 1 of `parts` of the step are done. What kernels that divide rows have read by
 * now is not needed again; if one divides otherwise, or something else reads the tensor, the pages
 * come back from the file. */
static void
give_back(const Making *m, const AbiStep *step, int64_t from, int64_t to, int64_t parts)
{
    for (int i = 0; i < step->operands; i++) {
        const AbiOperand *o = operand_at(m->abi, step, i);
        if (o->space != ABI_WEIGHT || m->source[o->index].rule)
            continue;
        const RtTensor *t = m->source[o->index].tensor;
        const size_t each = t->bytes / (size_t)parts, first = each * (size_t)from;
        const size_t end = to == parts ? t->bytes : each * (size_t)to;
        rt_weights_done(m->weights, (const char *)t->data + first, end - first);
    }
}

static void
run_step(const Making *m, const AbiStep *step, int thread, int threads)
{
    void *const *operand = m->operand + step->first_operand;
    const AbiCall call = {0};
    const int64_t pieces = pieces_of(m, step);
    const int64_t first = step->pieces ? pieces * thread : 0;
    const int64_t end = step->pieces ? first + pieces : thread == 0;
    AbiShare share = {.scratch = m->scratch + m->stride * (size_t)thread,
                      .parts = step->pieces ? pieces * threads : 1,
                      .threads = step->pieces ? threads : 1,
                      .before = -1};
    for (share.part = first; share.part < end; share.part++) {
        step->run(operand, &call, &share);
        /* with those of the part before, of which it may have read some */
        give_back(m, step, share.part > first ? share.part - 1 : first, share.part + 1,
                  share.parts);
    }
}

static void
fill(const Making *m, const RtTensor *t, char *data, int thread, int threads)
{
    if (t->members || t->blocks)
        rt_joined_fill(m->weights, t, data, thread, threads);
    else
        rt_made_fill(m->weights, t, (float *)(void *)data, thread, threads);
}

/* This thread's share of the weights that are made for a step. */
static void
make_passing(const Making *m, const AbiStep *step, int thread, int threads)
{
    bool any = false;
    for (int i = 0; i < step->operands; i++) {
        if (!is_passing(m->abi, m->source, step, i))
            continue;
        const AbiOperand *o = operand_at(m->abi, step, i);
        char *data = (char *)m->operand[step->first_operand + i] - o->offset;
        fill(m, m->source[o->index].tensor, data, thread, threads);
        any = true;
    }
    if (any)
        rt_pool_barrier(m->pool);
}

static void
make_kept(void *user, int thread, int threads)
{
    const Making *m = user;
    for (int i = 0; i < m->abi->nweights; i++) {
        const Source *s = &m->source[i];
        if (s->rule && s->kept)
            fill(m, s->tensor, m->model->made + s->place, thread, threads);
    }
}

/* One thread's part of a step. */
static void
make_step(void *user, int thread, int threads)
{
    const Making *m = user;
    make_passing(m, m->step, thread, threads);
    run_step(m, m->step, thread, threads);
}

/* All steps; one may read what the one before has made. */
static void
run_steps(Making *m)
{
    const AbiRange init = m->abi->init;
    rt_pool_run(m->pool, make_kept, m);
    for (int i = 0; i < init.count; i++) {
        m->step = &m->abi->steps[init.first + i];
        rt_pool_run(m->pool, make_step, m);
        give_back(m, m->step, 0, 1, 1); /* what threads have read of each other's bytes */
        if (m->progress)
            m->progress(m->user, i + 1, init.count);
    }
}

/* ---- where weights lie --------------------------------------------------------------------- */

static void
mark_kept(const AbiProgram *abi, AbiRange range, Source *source)
{
    for (int s = range.first; s < range.first + range.count; s++)
        for (int i = 0; i < abi->steps[s].operands; i++) {
            const AbiOperand *o = operand_at(abi, &abi->steps[s], i);
            if (o->space == ABI_WEIGHT)
                source[o->index].kept = true;
        }
}

/* Appends a tensor on a line of its own. */
static bool
place_tensor(const RtTensor *t, size_t *place, size_t *total)
{
    size_t bytes;
    *place = *total;
    return rt_round_up(t->bytes, RT_LINE, &bytes) && rt_add(*total, bytes, total);
}

/* Kept weights without data get a place in the model. */
static ssmc_status
place_kept(ssmc_model *model, Source *source)
{
    const AbiProgram *abi = model->program->abi;
    for (int i = 0; i < abi->nweights; i++)
        if (source[i].rule && source[i].kept &&
            !place_tensor(source[i].tensor, &source[i].place, &model->made_bytes))
            return rt_fail_memory(SIZE_MAX, "weights");
    model->made = model->made_bytes ? rt_pages_new(model->made_bytes) : NULL;
    if (model->made_bytes && !model->made)
        return rt_fail_memory(model->made_bytes, "weights");
    for (int i = 0; i < abi->nweights; i++)
        if (source[i].rule && source[i].kept)
            model->weights[i] = model->made + source[i].place;
    return SSMC_OK;
}

static Source *
sources_of(const ssmc_model *model, const ssmc_weights *weights)
{
    const AbiProgram *abi = model->program->abi;
    Source *source = calloc((size_t)abi->nweights + 1, sizeof *source);
    if (!source)
        return NULL;
    for (int i = 0; i < abi->nweights; i++) {
        source[i].tensor = rt_weights_find_any(weights, abi->weights[i].tensor);
        source[i].rule = !model->weights[i];
    }
    for (int i = 0; i < abi->nentries; i++) {
        mark_kept(abi, abi->entries[i].layers, source);
        mark_kept(abi, abi->entries[i].head, source);
    }
    return source;
}

/* Bytes of the weights made for one step at most; where buffer is there, operands point into it. */
static bool
place_passing(const AbiProgram *abi, const Source *source, char *buffer, void **operand,
              size_t *most)
{
    for (int s = abi->init.first; s < abi->init.first + abi->init.count; s++) {
        const AbiStep *step = &abi->steps[s];
        size_t total = 0;
        for (int i = 0; i < step->operands; i++) {
            size_t place;
            const AbiOperand *o = operand_at(abi, step, i);
            if (!is_passing(abi, source, step, i))
                continue;
            if (!place_tensor(source[o->index].tensor, &place, &total))
                return false;
            if (buffer)
                operand[step->first_operand + i] = buffer + place + o->offset;
        }
        *most = total > *most ? total : *most;
    }
    return true;
}

/* ---- all of them --------------------------------------------------------------------------- */

static ssmc_status
make_over(Making *m, char *params)
{
    size_t scratch = 0, buffer = 0;
    m->operand = calloc((size_t)m->abi->noperands + 1, sizeof *m->operand);
    const bool fits = rt_mul((size_t)rt_pool_threads(m->pool), m->stride, &scratch) &&
                      place_passing(m->abi, m->source, NULL, NULL, &buffer);
    m->scratch = fits ? rt_pages_new(scratch) : NULL;
    m->buffer = fits ? rt_pages_new(buffer) : NULL;
    const bool there = m->operand && m->scratch && m->buffer;
    if (there) {
        const RtSpaces spaces = {
            .there = {params, m->model->weights}
        };
        rt_operands_resolve(m->abi, &spaces, m->operand);
        place_passing(m->abi, m->source, m->buffer, m->operand, &buffer);
        run_steps(m);
    }
    rt_pages_free(m->buffer, buffer);
    rt_pages_free(m->scratch, scratch);
    free(m->operand);
    return there ? SSMC_OK : rt_fail_memory(buffer, "making parameters");
}

ssmc_status
rt_params_make(ssmc_model *model, const ssmc_weights *weights, char *params, int threads,
               ssmc_progress *progress, void *user)
{
    Source *source = sources_of(model, weights);
    if (!source)
        return rt_fail_memory(sizeof *source, "a list of weights");
    Making m = {.model = model,
                .abi = model->program->abi,
                .weights = weights,
                .source = source,
                .stride = model->program->init_stride,
                .progress = progress,
                .user = user};
    ssmc_status status = place_kept(model, source);
    if (status == SSMC_OK)
        status = rt_pool_open(threads, &m.pool);
    if (status == SSMC_OK)
        status = make_over(&m, params);
    rt_pool_close(m.pool);
    free(source);
    return status;
}

ssmc_status
rt_params_keep(ssmc_model *model, const ssmc_weights *weights)
{
    Source *source = sources_of(model, weights);
    if (!source)
        return rt_fail_memory(sizeof *source, "a list of weights");
    Making m = {.model = model, .abi = model->program->abi, .weights = weights, .source = source};
    const ssmc_status status = place_kept(model, source);
    if (status == SSMC_OK)
        make_kept(&m, 0, 1);
    free(source);
    return status;
}
