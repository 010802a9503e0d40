/* compiler/program.c -- from a graph with typed weights to a program, and a model of it. */
#include <malloc.h>
#include <string.h>

#include "compiler/internal.h"

int
job_cost_threads(const Job *job)
{
    const bool native = job->machine.native;
    return native || job->fe.compile.threads > 0 ? job->threads : 1;
}

int
program_passes(Job *job, EntryId entry)
{
    const FeCompile *fc = &job->fe.compile;
    const Listener *listener = job->settings.listener;
    PassOptions po = job->settings.passes;
    StrBuf text = {0};
    const WeightSource source = weight_source(job->weights);
    po.weights = &source;
    po.out = &text;
    const bool gpu = job->machine.gpu.kind != GPU_none;
    const Machine device = machine_of_gpu(&job->machine);
    PassCtx cx = {.machine = gpu ? &device : &job->machine,
                  .threads = job_cost_threads(job),
                  .measured = job->measured,
                  .nmeasured = job->nmeasured,
                  .reproducible = fc->reproducible,
                  .format = fc->format,
                  .group = fc->group,
                  .state_dtype = fc->state_dtype,
                  .kept_dtype = fc->kept_dtype,
                  .chunk = fc->chunk,
                  .form = fc->form,
                  .matmul = fc->matmul,
                  .dot = fc->dot,
                  .no_blas = gpu || strcmp(fc->blas, "none") == 0,
                  .arena = job->arena,
                  .diag = job->diag,
                  .explain = &job->explain[entry]};
    Graph *g = job->graph[entry] = graph_copy(job->arena, job->fe.graph);
    g->entry = &entry_info[entry];
    const bool ok = pass_run_pipeline(g, &cx, &po);
    listener->tell(listener->user, TOLD_passes, sb_text(&text));
    sb_free(&text);
    if (ok && (entry == 0 || !job->graph[0]))
        tell_notes(listener, job->diag); /* once: other entries have the same */
    if (ok)
        return EXIT_DONE;
    tell_faults(listener, job->diag);
    return po.check_each ? EXIT_FAILED : EXIT_BAD_INPUT;
}

const AbiEntry *
program_entry(const AbiProgram *program, const Graph *g)
{
    for (int i = 0; i < program->nentries; i++)
        if (strcmp(program->entries[i].name, g->entry->name) == 0)
            return &program->entries[i];
    die("program %s has no entry %s", program->name, g->entry->name);
}

const Kernel **
step_kernels(Arena *arena, const Graph *g, const AbiProgram *program)
{
    const AbiEntry *entry = program_entry(program, g);
    const AbiRange range[] = {entry->layers, entry->head, entry->choose};
    const Kernel **kernels = arena_array(arena, (size_t)program->nsteps + 1, sizeof *kernels);
    int next[] = {range[0].first, range[1].first, range[2].first};
    for (int i = 0; i < g->nkernels; i++) {
        const Kernel *k = g->kernels[i];
        const bool chooses = k->anchor && op_has_flag(k->anchor->op, 'T');
        const int at = chooses ? 2 : kernel_is_head(g, k);
        int *step = &next[at];
        /* A kernel that nothing reads has no step. */
        if (!kernel_is_init(g, k) && *step < range[at].first + range[at].count &&
            strcmp(program->steps[*step].name, k->name) == 0)
            kernels[(*step)++] = k;
    }
    return kernels;
}

int
program_module(Job *job)
{
    const Graph *graphs[ENTRY_COUNT];
    int status = EXIT_DONE;
    for (int entry = 0; entry < ENTRY_COUNT && status == EXIT_DONE; entry++) {
        status = program_passes(job, (EntryId)entry);
        graphs[entry] = job->graph[entry];
    }
    if (status != EXIT_DONE)
        return status;
    job->module = cg_module(&job->machine, graphs, ENTRY_COUNT, job->diag);
    if (!job->module)
        return tell_faults(job->settings.listener, job->diag);
    if (!abi_logits(cg_module_abi(job->module)))
        return tell_fault(job->settings.listener, EXIT_BAD_INPUT,
                          "%s gives no logits: none of its outputs has the rows R that were "
                          "picked, so `take` has to come before one",
                          job->settings.model);
    if (!job->fe.compile.reproducible || abi_cuts_anywhere(cg_module_abi(job->module)))
        return EXIT_DONE;
    return tell_fault(job->settings.listener, EXIT_BAD_INPUT,
                      "%s has its forms chosen: it cannot be compiled reproducible any more",
                      job->settings.model);
}

int
program_build(Job *job)
{
    const char *why = NULL;
    const Listener *listener = job->settings.listener;
    const int status = program_module(job);
    if (status != EXIT_DONE)
        return status;
    job->jit = cg_jit(job->arena, job->module, job->threads, &why);
    job->module = NULL;
    if (!job->jit)
        return tell_fault(listener, cg_jit_allowed(&why) ? EXIT_BAD_INPUT : EXIT_FAILED, "%s", why);
#ifdef __GLIBC__
    malloc_trim(0); /* weights need the memory that the compiler freed, and that of its code */
#endif
    cg_rest();
    const ssmc_status rs = rt_program_wrap(cg_jit_program(job->jit), &job->program);
    return rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(listener, rs);
}

int
job_model(Job *job)
{
    const Listener *listener = job->settings.listener;
    const double started = rt_now();
    Bar bar = bar_start(job, "packing weights");
    const ssmc_status rs = job->compiled
                               ? compiled_open(job, bar_call, &bar)
                               : rt_model_open(job->program, job->weights, job->settings.pack_cache,
                                               job->threads, bar_call, &bar, &job->model);
    bar_end(&bar);
    job->seconds_load =
        job->compiled ? rt_now() - job->seconds_load : job->seconds_load + (rt_now() - started);
    if (rs != SSMC_OK)
        return tell_runtime_fault(listener, rs);
    if (ssmc_model_warning(job->model))
        tell_text(listener, TOLD_note, "--pack-cache: %s", ssmc_model_warning(job->model));
    return EXIT_DONE;
}
