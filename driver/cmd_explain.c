/* driver/cmd_explain.c -- ssmc explain: what was chosen for each op, and why; what it takes. */
#include <stdarg.h>
#include <stdio.h>

#include "bench/bench.h"
#include "driver/driver.h"

/* What code is made for. */
static void
put_machine(const Job *job)
{
    const Machine *m = &job->machine;
    if (m->gpu.kind == GPU_none)
        printf("%s (vectors of %d bytes, %d registers%s)\n", m->cpu, m->vector_bytes,
               m->vector_registers, m->bf16_dot ? ", bf16 dot" : "");
    else
        printf("%s (%d multiprocessors, %lld KiB that a block shares); parameters are made on %s\n",
               bench_device_name(job->arena, m), m->gpu.units, (long long)m->gpu.shared_bytes >> 10,
               m->cpu);
}

static void
put_floors(const Job *job)
{
    StrBuf out = {0};
    const Graph *graph[ENTRY_COUNT];
    for (int entry = 0; entry < ENTRY_COUNT; entry++)
        graph[entry] = job->graph[entry];
    bench_put_floors(&out, &job->machine, graph);
    fputs(sb_text(&out), stdout);
    sb_free(&out);
}

static void
put_prediction(const Job *job)
{
    static const int64_t lengths[] = {512, 2048, 8192};
    const int threads = job_cost_threads(job);
    printf("predicted prefill, threads %d:", threads);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        const double seconds =
            cost_prefill(&job->machine, job->graph[ENTRY_prefill], threads, lengths[i]);
        printf("%s %lld tokens %.4g ms (%.4g tokens/s)", i ? "," : "", (long long)lengths[i],
               1e3 * seconds, (double)lengths[i] / seconds);
    }
    putchar('\n');
}

static int
explain(Job *job)
{
    int status = job_weights(job, false);
    for (int entry = 0; entry < ENTRY_COUNT && status == EXIT_DONE; entry++)
        status = job_passes(job, (EntryId)entry);
    if (status != EXIT_DONE)
        return status;
    printf("%s: %.1f M parameters, for ", job->fe.graph->name, (double)job->parameters / 1e6);
    put_machine(job);
    int64_t slab = 0;
    for (int entry = 0; entry < ENTRY_COUNT; entry++) {
        const Graph *g = job->graph[entry];
        slab = g->slab_bytes > slab ? g->slab_bytes : slab;
        printf("\n%s: %d nodes before, %d after in %d kernels\n%s", g->entry->name,
               graph_node_count(job->fe.graph), graph_node_count(g), g->nkernels,
               sb_text(&job->explain[entry]));
    }
    putchar('\n');
    (job->machine.gpu.kind == GPU_none ? put_prediction : put_floors)(job);
    const double mib = 1 << 20;
    const Graph *p = job->graph[ENTRY_prefill];
    printf("memory: %.2f MiB packed parameters, %.3f MiB state per sequence, %.2f MiB activations "
           "for any prompt length (passes of %lld tokens)\n",
           (double)p->param_bytes / mib, (double)p->state_bytes / mib, (double)slab / mib,
           (long long)p->block);
    if (p->kept_bytes)
        printf("keys and values: %lld bytes for each token of a sequence, until windows are full\n",
               (long long)p->kept_bytes);
    return EXIT_DONE;
}

static void
put_row(const char *what, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("  %-10s %10.2f MiB   ", what, (double)bytes / (1 << 20));
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

/* What comes on top as sequences are read. */
static void
put_growing(const ssmc_memory *m, int64_t sequences, int64_t context)
{
    const double all = (double)sequences * (double)m->full / (1 << 20);
    printf("  growing    %10.2f MiB   on top, once each sequence has read %lld tokens (--context); "
           "%zu bytes a token%s\n",
           all, (long long)context, m->token,
           (double)m->full < (double)m->token * (double)context ? ", until windows are full" : "");
}

/* What ssmc_program_memory says, for people. It takes the module and not its code, so that any CPU
 * can be asked about. */
static int
explain_memory(Job *job, const Options *o)
{
    const int64_t sequences = o->value[OPT_sequences].i;
    int64_t context = 0;
    if (sequences < 1 || sequences > INT32_MAX)
        return option_fault(o, OPT_sequences, "--sequences %s: a number from 1 to %d",
                            opt_text(o, OPT_sequences), INT32_MAX);
    int status = context_from(o, &context);
    if (status == EXIT_DONE)
        status = job_weights(job, false);
    if (status == EXIT_DONE)
        status = job_module(job);
    if (status != EXIT_DONE)
        return status;
    const ssmc_memory m =
        rt_figures_memory(cg_module_abi(job->module), cg_module_reads(job->module), (int)sequences,
                          job->threads, context);
    if (m.total == SIZE_MAX)
        return fault(EXIT_BAD_INPUT, "%lld sequences are more than memory can hold",
                     (long long)sequences);
    printf("%s for %s: sequences: %lld, threads: %d, %s (passes of %lld)\n", job->fe.graph->name,
           job->machine.cpu, (long long)sequences, job->threads,
           m.token ? "tokens up to --context" : "any number of tokens", (long long)m.block);
    put_row("parameters", m.params, "weights packed for the kernels, once for all sessions");
    put_row("weights", m.kept, "of the checkpoint's %.2f MiB: what kernels read as it is",
            (double)m.weights / (1 << 20));
    put_row("states", (size_t)sequences * m.state, "%zu bytes a sequence", m.state);
    put_row("scratch", m.scratch, "activations, scratch of threads, logits, bookkeeping");
    put_row("together", m.total, "the peak, but for the program's code and libraries");
    if (m.device)
        put_row("on the GPU", m.device, "of that, in its memory");
    if (m.token)
        put_growing(&m, sequences, context);
    return EXIT_DONE;
}

int
cmd_explain(Options *o)
{
    Job job = {0};
    int status = model_describe(&job, o);
    if (status == EXIT_DONE)
        status = opt_given(o, OPT_memory) ? explain_memory(&job, o) : explain(&job);
    job_end(&job);
    return status;
}
