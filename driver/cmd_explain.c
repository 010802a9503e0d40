/* driver/cmd_explain.c -- ssmc explain: what was chosen for each op, and why. */
#include <stdio.h>

#include "driver/driver.h"

static void
put_memory(const Job *job)
{
    const double mib = 1 << 20;
    const Graph *p = job->graph[PHASE_PREFILL], *d = job->graph[PHASE_DECODE];
    const int64_t slab = p->slab_bytes > d->slab_bytes ? p->slab_bytes : d->slab_bytes;
    printf("memory: %.2f MiB packed parameters, %.3f MiB state per sequence, %.2f MiB activations "
           "for any prompt length (passes of %lld tokens)\n",
           (double)p->param_bytes / mib, (double)p->state_bytes / mib, (double)slab / mib,
           (long long)p->block);
}

static int
explain(Job *job)
{
    static const char *const phase_name[2] = {"prefill", "decode"};
    int status = job_weights(job, false);
    for (int phase = 0; phase < 2 && status == EXIT_DONE; phase++)
        status = job_passes(job, (Phase)phase);
    if (status != EXIT_DONE)
        return status;
    printf("%s: %.1f M parameters, for %s (vectors of %d bytes, %d registers%s)\n",
           job->fe.graph->name, (double)job->parameters / 1e6, job->target.cpu,
           job->target.vector_bytes, job->target.vector_registers,
           job->target.bf16_dot ? ", bf16 dot" : "");
    for (int phase = 0; phase < 2; phase++) {
        const Graph *g = job->graph[phase];
        printf("\n%s: %d nodes before, %d after in %d kernels\n%s", phase_name[phase],
               graph_node_count(job->fe.graph), graph_node_count(g), g->nkernels,
               sb_text(&job->explain[phase]));
    }
    putchar('\n');
    put_memory(job);
    return EXIT_DONE;
}

int
cmd_explain(Options *o)
{
    Job job;
    int status = job_describe(&job, o);
    if (status == EXIT_DONE)
        status = explain(&job);
    job_end(&job);
    return status;
}
