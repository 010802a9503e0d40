/* runtime/params.c -- parameters made of weights, once: packed, folded, cast.
 *
 * The pages of a checkpoint are read once, in order, and given back as soon as they have been, so
 * that weights do not lie in memory twice: each step runs in pieces of a few megabytes, of which
 * every thread takes its share. */
#include <stdlib.h>

#include "runtime/weights.h"

enum { PIECE_BYTES = 8 << 20, MOST_PIECES = 256 };

typedef struct {
    const AbiProgram *abi;
    const ssmc_weights *weights;
    const void *const *tensors; /* [nweights] data of each */
    const size_t *bytes;        /* [nweights] */
    void *const *operand;       /* [noperands] */
    char *scratch;              /* [threads] of stride */
    size_t stride;
    RtPool *pool;
    ssmc_progress *progress; /* NULL: nobody asks */
    void *user;
} Making;

/* ---- one step ------------------------------------------------------------------------------ */

static size_t
weight_bytes(const Making *m, const AbiStep *step)
{
    size_t sum = 0;
    for (int i = 0; i < step->operands; i++) {
        const AbiOperand *o = &m->abi->operands[step->first_operand + i];
        if (o->space == ABI_WEIGHT && !rt_add(sum, m->bytes[o->index], &sum))
            return SIZE_MAX;
    }
    return sum;
}

static int64_t
pieces_of(const Making *m, const AbiStep *step)
{
    const size_t pieces = weight_bytes(m, step) / PIECE_BYTES + 1;
    return pieces < MOST_PIECES ? (int64_t)pieces : MOST_PIECES;
}

/* Part `part` of `parts` of the step is done. What kernels that divide rows have read by now is
 * not needed again; if one divides otherwise, or somebody else reads the tensor, the pages come
 * back from the file. */
static void
give_back(const Making *m, const AbiStep *step, int64_t part, int64_t parts)
{
    for (int i = 0; i < step->operands; i++) {
        const AbiOperand *o = &m->abi->operands[step->first_operand + i];
        if (o->space != ABI_WEIGHT)
            continue;
        const size_t each = m->bytes[o->index] / (size_t)parts;
        const char *from = (const char *)m->tensors[o->index] + each * (size_t)part;
        const bool last = part + 1 == parts;
        rt_weights_done(m->weights, from, last ? m->bytes[o->index] - each * (size_t)part : each);
    }
}

static void
run_step(const Making *m, const AbiStep *step, int thread, int threads)
{
    void *const *operand = m->operand + step->first_operand;
    /* The scratch of a thread, whatever the number of its part. */
    const AbiCall call = {.scratch = m->scratch + m->stride * (size_t)thread, .scratch_stride = 0};
    const int64_t pieces = pieces_of(m, step), parts = step->parallel ? pieces * threads : 1;
    const int64_t first = step->parallel ? pieces * thread : 0;
    const int64_t end = step->parallel ? first + pieces : thread == 0;
    for (int64_t part = first; part < end; part++) {
        step->run(operand, &call, part, parts);
        give_back(m, step, part, parts);
    }
}

/* One thread's part of all steps; a step may read what the one before has made. */
static void
run_steps(void *user, int thread, int threads)
{
    const Making *m = user;
    const AbiRange init = m->abi->init;
    for (int i = 0; i < init.count; i++) {
        run_step(m, &m->abi->steps[init.first + i], thread, threads);
        rt_pool_barrier(m->pool);
        if (thread == 0 && m->progress)
            m->progress(m->user, i + 1, init.count);
    }
}

/* ---- all of them --------------------------------------------------------------------------- */

static ssmc_status
make_over(Making *m, const ssmc_program *p, char *params)
{
    const AbiProgram *abi = p->abi;
    size_t bytes = 0;
    void **operand = calloc((size_t)abi->noperands + 1, sizeof *operand);
    size_t *sizes = calloc((size_t)abi->nweights + 1, sizeof *sizes);
    const bool fits = rt_mul((size_t)rt_pool_threads(m->pool), p->scratch_stride, &bytes);
    m->scratch = fits ? rt_pages_new(bytes) : NULL;
    const bool there = operand && sizes && m->scratch;
    for (int i = 0; there && i < abi->nweights; i++)
        sizes[i] = rt_program_weight_bytes(p, i);
    m->operand = operand;
    m->bytes = sizes;
    if (there) {
        rt_operands_resolve(abi, &(RtSpaces){.params = params, .weights = m->tensors}, operand);
        rt_pool_run(m->pool, run_steps, m);
    }
    rt_pages_free(m->scratch, bytes);
    free(sizes);
    free(operand);
    return there ? SSMC_OK : rt_fail_memory(bytes, "scratch of parameters");
}

ssmc_status
rt_params_make(const ssmc_program *p, const ssmc_weights *weights, const void *const *tensors,
               char *params, int threads, ssmc_progress *progress, void *user)
{
    Making m = {.abi = p->abi,
                .weights = weights,
                .tensors = tensors,
                .stride = p->scratch_stride,
                .progress = progress,
                .user = user};
    ssmc_status status = rt_pool_open(threads, &m.pool);
    if (status == SSMC_OK)
        status = make_over(&m, p, params);
    rt_pool_close(m.pool);
    return status;
}
