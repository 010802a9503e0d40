/* driver/ssd_job.c -- one SSD by itself as a running model. */
#include <string.h>

#include "driver/ssd_job.h"

/* The graph as job_describe would have it from a file. */
int
ssd_describe(Job *job, Options *o, const BenchSsd *size, const SsdForm *form)
{
    *job = (Job){.o = o, .arena = o->arena, .diag = diag_new()};
    const char *text = bench_ssd_graph(job->arena, size), *why = NULL;
    const char *const cpu = opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : "native";
    const char *const threads = opt_given(o, OPT_threads) ? opt_text(o, OPT_threads) : "0";
    const char *sets[] = {arena_printf(job->arena, "compile.form=%s", form->form),
                          arena_printf(job->arena, "compile.dtype=%s", form->dtype),
                          arena_printf(job->arena, "compile.chunk=%s", form->chunk),
                          arena_printf(job->arena, "compile.cpu=%s", cpu),
                          arena_printf(job->arena, "compile.threads=%s", threads)};
    Source *source = arena_alloc(job->arena, sizeof *source);
    *source = (Source){.path = "--ssd", .text = text, .len = strlen(text)};
    job->fe.graph = graph_parse(job->arena, source, job->diag);
    if (!fe_compile_load(job->arena, sets, COUNT_OF(sets), job->diag, &job->fe.compile) ||
        !job->fe.graph || !graph_verify(job->fe.graph, job->diag))
        return diag_fault(job->diag);
    Machine machine;
    if (!cg_machine(job->arena, job->fe.compile.cpu, &machine, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    job_machine(job, &machine);
    job->threads = job->fe.compile.threads > 0 ? (int)job->fe.compile.threads : rt_cores();
    return EXIT_DONE;
}

int
ssd_open(Job *job, Options *o, const BenchSsd *size, const SsdForm *form, BenchSsdRun *run)
{
    int status = ssd_describe(job, o, size, form);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    run->program = rt_program_abi(job->program);
    memcpy(run->graph, job->graph, sizeof run->graph);
    run->logits = arena_array(job->arena, (size_t)ssmc_model_vocab(job->model), sizeof(float));
    const ssmc_status rs = ssmc_session_open(job->model, 1, job->threads, &run->session);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}
