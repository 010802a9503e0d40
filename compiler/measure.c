/* compiler/measure.c -- --tune exhaustive: every form of this very model's SSDs, measured.
 *
 * The model is compiled once for each form and chunk length that the settings leave open (but the
 * quadratic form, which is the longest chunk), and reads a prompt of two passes a few times; the
 * least time of its ssd kernels counts. What the passes then choose from are these times. */
#include <string.h>

#include "compiler/internal.h"

enum { LEAST_REPEATS = 5, MOST_REPEATS = 100, PASSES = 2 };
static const double enough = 0.2; /* seconds of repeats: short prompts are soon disturbed */

/* ---- what to measure --------------------------------------------------------------------- */

typedef struct {
    Form form;
    int64_t chunk; /* CHUNK_AUTO: the form has none */
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
    const bool any = strcmp(c->form, form_name[FORM_AUTO]) == 0;
    int n = 0;
    if (c->chunk != CHUNK_AUTO || !has_open_forms(job->fe.graph))
        return 0;
    if (any || strcmp(c->form, form_name[FORM_RECURRENT]) == 0)
        list[n++] = (Candidate){FORM_RECURRENT, CHUNK_AUTO};
    for (const int64_t *q = cost_chunks; *q && *q < job->fe.graph->block && n < most; q++)
        if (any || strcmp(c->form, form_name[FORM_CHUNKED]) == 0)
            list[n++] = (Candidate){FORM_CHUNKED, *q};
    return n;
}

/* A candidate's faults are the model's; its notes were told, its progress is part of another. */
static void
tell_candidate(void *user, Told kind, const char *text)
{
    const Listener *to = user;
    if (kind == TOLD_fault || kind == TOLD_faults)
        to->tell(to->user, kind, text);
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
    const Graph *g = run->graph[ENTRY_prefill];
    const AbiProgram *abi = rt_program_abi(run->program);
    const Kernel *const *kernels = step_kernels(run->arena, g, abi);
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
    const int64_t tokens = PASSES * cost_block(run->graph[ENTRY_prefill]);
    const int64_t vocab = ssmc_model_vocab(run->model);
    int32_t *ids = arena_array(run->arena, (size_t)tokens, sizeof *ids);
    float *logits = arena_array(run->arena, (size_t)vocab, sizeof *logits);
    double *before = arena_array(run->arena, (size_t)abi->nsteps, sizeof *before);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(i * 7919 % vocab);
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
    const Listener *to = job->settings.listener,
                   faults = {.tell = tell_candidate, .user = (void *)(uintptr_t)to};
    Settings settings = job->settings; /* but what only looks at passes */
    settings.form = c->form;
    settings.chunk = c->chunk;
    settings.machine = &job->machine;
    settings.tune = TUNE_SHIPPED;
    settings.listener = &faults;
    settings.passes = (PassOptions){.stop_after = -1};
    memcpy(settings.passes.off, job->settings.passes.off, sizeof settings.passes.off);
    int status = job_describe(&run, arena, &settings);
    if (status == EXIT_DONE)
        status = job_weights(&run, true);
    if (status == EXIT_DONE)
        status = program_build(&run);
    if (status == EXIT_DONE)
        status = job_model(&run);
    if (status == EXIT_DONE) {
        ssmc_status rs = ssmc_session_open(run.model, 1, run.threads, &session);
        if (rs == SSMC_OK)
            rs = run_prompts(job, &run, session);
        status = rs == SSMC_OK ? EXIT_DONE : tell_runtime_fault(to, rs);
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
    const bool asked = job->settings.tune == TUNE_EXHAUSTIVE && job->nmeasured == 0;
    const int count = asked ? candidates(job, list, MOST) : 0;
    int status = EXIT_DONE;
    if (count == 0)
        return EXIT_DONE;
    const Bar bar = bar_start(job, "measuring forms");
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        tell_progress(bar.to, bar.what, i, count);
        status = run_candidate(job, &list[i]);
    }
    bar_end(&bar);
    return status;
}
