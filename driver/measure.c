/* driver/measure.c -- --tune exhaustive: every form of this very model's SSDs, measured.
 *
 * The model is compiled once for each form and chunk length that the options leave open (but the
 * quadratic form, which is the longest chunk), and reads a prompt of two passes a few times; the
 * least time of its ssd kernels counts. What the passes then choose from are these times. */
#include <string.h>

#include "bench/bench.h"
#include "driver/driver.h"

enum { LEAST_REPEATS = 5, MOST_REPEATS = 100, PASSES = 2 };
static const double enough = 0.2; /* seconds of repeats: short prompts are soon disturbed */

/* ---- what to measure --------------------------------------------------------------------- */

typedef struct {
    const char *form, *chunk;
} Candidate;

static bool
has_open_forms(const Graph *g)
{
    for (const Node *n = g->first; n; n = n->next)
        if (op_has_forms(n->op))
            return true;
    return false;
}

/* In the order of cost_chunks. */
static int
candidates(const Job *job, Candidate *list, int most)
{
    const FeCompile *c = &job->fe.compile;
    const bool any = strcmp(c->form, "auto") == 0;
    int n = 0;
    if (c->chunk != CHUNK_AUTO || !has_open_forms(job->fe.graph))
        return 0;
    if (any || strcmp(c->form, "recurrent") == 0)
        list[n++] = (Candidate){"recurrent", "auto"};
    for (const int64_t *q = cost_chunks; *q && *q < c->block && n < most; q++)
        if (any || strcmp(c->form, "chunked") == 0)
            list[n++] = (Candidate){"chunked", arena_printf(job->arena, "%lld", (long long)*q)};
    return n;
}

/* The options of one candidate: those of the command, but what only looks at passes, and no
 * measuring in the middle of measuring. */
static Options
candidate_options(const Job *job, Arena *arena, const Candidate *c)
{
    static const OptId looks[] = {OPT_print_after, OPT_time_passes, OPT_check_each, OPT_verify_each,
                                  OPT_stop_after};
    const bool native = job->machine.native;
    Options o = *job->o;
    o.arena = arena;
    for (size_t i = 0; i < COUNT_OF(looks); i++)
        o.value[looks[i]] = (OptValue){0};
    o.value[OPT_form] = (OptValue){.given = true, .text = c->form};
    o.value[OPT_chunk] = (OptValue){.given = true, .text = c->chunk};
    o.value[OPT_cpu] = (OptValue){.given = true, .text = native ? "native" : job->machine.cpu};
    o.value[OPT_tune] = (OptValue){.given = true, .text = "shipped"};
    o.quiet = true;
    return o;
}

/* ---- running ----------------------------------------------------------------------------- */

static void
measured_put(Job *job, const CostSsd *ssd, double seconds)
{
    for (int i = 0; i < job->nmeasured; i++) {
        CostMeasured *m = &job->measured[i];
        if (!cost_same(&m->ssd, ssd))
            continue;
        m->seconds = seconds < m->seconds ? seconds : m->seconds;
        return;
    }
    VEC_PUSH(job->arena, job->measured, job->nmeasured, job->cap_measured,
             ((CostMeasured){*ssd, seconds}));
}

/* Times of one prompt. Layers of one size take the mean of their times: decay, and with it work,
 * differs from layer to layer. */
typedef struct {
    CostSsd ssd;
    double seconds;
    int layers;
} Prompt;

static void
prompt_add(Prompt *sizes, int *count, const CostSsd *ssd, double seconds)
{
    int i = 0;
    while (i < *count && !cost_same(&sizes[i].ssd, ssd))
        i++;
    if (i == *count)
        sizes[(*count)++] = (Prompt){.ssd = *ssd};
    sizes[i].seconds += seconds;
    sizes[i].layers++;
}

static void
measured_take(Job *job, const Job *run, const ssmc_session *session, const double *before)
{
    const Graph *g = run->graph[PHASE_PREFILL];
    const AbiProgram *abi = rt_program_abi(run->program);
    const Kernel *const *kernels = bench_step_kernels(run->arena, g, abi, ABI_PREFILL);
    Prompt *sizes = arena_array(run->arena, (size_t)g->nkernels, sizeof *sizes);
    int count = 0;
    for (int s = 0; s < abi->nsteps; s++) {
        CostSsd ssd;
        if (kernels[s] && cost_kernel_ssd(g, kernels[s], job_cost_threads(job), &ssd))
            prompt_add(sizes, &count, &ssd, rt_session_step_seconds(session, s) - before[s]);
    }
    const double tokens = (double)(PASSES * cost_block(g));
    for (int i = 0; i < count; i++)
        measured_put(job, &sizes[i].ssd, sizes[i].seconds / sizes[i].layers / tokens);
}

static ssmc_status
run_prompts(Job *job, const Job *run, ssmc_session *session)
{
    const AbiProgram *abi = rt_program_abi(run->program);
    const int64_t tokens = PASSES * cost_block(run->graph[PHASE_PREFILL]);
    int32_t *ids = arena_array(run->arena, (size_t)tokens, sizeof *ids);
    float *logits = arena_array(run->arena, (size_t)abi->vocab, sizeof *logits);
    double *before = arena_array(run->arena, (size_t)abi->nsteps, sizeof *before);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(i * 7919 % abi->vocab);
    rt_session_profile(session, true);
    const double started = rt_now();
    for (int r = 0; r <= MOST_REPEATS; r++) {
        if (r > LEAST_REPEATS && rt_now() - started > enough)
            break;
        for (int s = 0; s < abi->nsteps; s++)
            before[s] = rt_session_step_seconds(session, s);
        ssmc_status rs = ssmc_reset(session, 0);
        if (rs == SSMC_OK)
            rs = ssmc_prefill(session, 0, ids, tokens, logits);
        if (rs != SSMC_OK)
            return rs;
        if (r > 0) /* the first warms up */
            measured_take(job, run, session, before);
    }
    return SSMC_OK;
}

static int
run_candidate(Job *job, const Candidate *c)
{
    Job run;
    ssmc_session *session = NULL;
    Arena *arena = arena_new();
    Options o = candidate_options(job, arena, c);
    int status = job_describe(&run, &o);
    if (status == EXIT_DONE)
        status = job_run(&run);
    if (status == EXIT_DONE) {
        ssmc_status rs = ssmc_session_open(run.model, 1, run.threads, &session);
        if (rs == SSMC_OK)
            rs = run_prompts(job, &run, session);
        status = rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
    }
    ssmc_session_close(session);
    job_end(&run);
    arena_free(arena);
    return status;
}

int
job_measure(Job *job)
{
    enum { MOST = 32 };
    Candidate list[MOST];
    const bool asked = opt_word(job->o, OPT_tune) == TUNE_EXHAUSTIVE;
    const int count = asked && job->nmeasured == 0 ? candidates(job, list, MOST) : 0;
    int status = EXIT_DONE;
    Progress bar = progress_start("measuring forms");
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        progress_step(&bar, i, count);
        status = run_candidate(job, &list[i]);
    }
    progress_end(&bar);
    return status;
}
