/* compiler/weights.c -- weights for a described graph: those of its checkpoint, or made by rules.
 */
#include <string.h>

#include "compiler/internal.h"

/* Weights without a checkpoint, by the rules named in the graph. */
static ssmc_status
make_weights(Job *job)
{
    const Graph *g = job->fe.graph;
    AbiWeight *list = arena_array(job->arena, (size_t)g->nweights + 1, sizeof *list);
    for (int i = 0; i < g->nweights; i++) {
        const Value *w = g->weights[i];
        const Dtype dtype = w->type.dtype;
        const char *names = w->tensor ? w->tensor : w->name;
        const size_t first = strcspn(names, "|"); /* of several spellings */
        list[i] = (AbiWeight){.tensor = arena_strndup(job->arena, names, first),
                              .init = w->init,
                              .dtype = dtype == DTYPE_bf16  ? ABI_BF16
                                       : dtype == DTYPE_f16 ? ABI_F16
                                                            : ABI_F32,
                              .rank = w->type.shape.rank};
        for (int d = 0; d < w->type.shape.rank; d++)
            list[i].dim[d] = w->type.shape.dim[d].n;
    }
    if (!job->settings.whole_weights && !job->settings.passes.check_each)
        return rt_weights_describe(list, g->nweights, (uint64_t)g->seed, &job->weights);
    Bar bar = bar_start(job, "making weights");
    const ssmc_status rs = rt_weights_init(list, g->nweights, (uint64_t)g->seed, job->threads,
                                           bar_call, &bar, &job->weights);
    bar_end(&bar);
    return rs;
}

int64_t
count_elements(Value *const *values, int count)
{
    int64_t sum = 0, n = 0;
    for (int i = 0; i < count; i++)
        if (type_count(&values[i]->type, 0, 0, &n) && !size_add(sum, n, &sum))
            return INT64_MAX;
    return sum;
}

int
job_weights(Job *job, bool values)
{
    const Graph *g = job->fe.graph;
    const Listener *listener = job->settings.listener;
    if (!g->weights_path)
        return tell_fault(
            listener, EXIT_BAD_INPUT,
            "%s says no weights: give `weights: FILE` or `weights: {init: reference}`",
            job->settings.model);
    const bool made = strcmp(g->weights_path, "init:reference") == 0;
    job->parameters = count_elements(g->weights, g->nweights);
    if (made && !values && !job->settings.passes.check_each)
        return EXIT_DONE; /* their types are known, and nothing reads their values */
    const ssmc_status rs =
        made ? make_weights(job) : rt_weights_open(g->weights_path, &job->weights);
    if (rs != SSMC_OK)
        return tell_runtime_fault(listener, rs);
    BindResult result = bind_weights(job->fe.graph, job->weights, &job->fe, job->diag);
    const int status = result == BIND_UNTIED ? describe_untied(job) : EXIT_DONE;
    if (status != EXIT_DONE)
        return status;
    if (result == BIND_UNTIED)
        result = bind_weights(job->fe.graph, job->weights, &job->fe, job->diag);
    if (result != BIND_DONE)
        return tell_faults(listener, job->diag);
    if (format_info[job->fe.compile.format].bits && rt_weights_in_blocks(job->weights) &&
        !weights_apart(job->fe.graph, job->weights))
        return tell_runtime_fault(listener, SSMC_NO_MEMORY);
    job->parameters = count_elements(job->fe.graph->weights, job->fe.graph->nweights);
    tell_notes(listener, job->diag);
    job->seconds_load = rt_now() - job->seconds_load;
    return EXIT_DONE;
}
