/* explore/error.c -- how far a point's numbers are from the float64 interpreter's.
 *
 * The interpreter would take minutes for a whole model. It gets a copy of it that has one layer of
 * each kind, a small vocabulary and random weights, and one prompt that is longer than the longest
 * chunk, so that states pass from chunk to chunk; the copy is compiled as the point is. Its float64
 * logits depend on sizes alone and are kept for all points of equal sizes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/sweep.h"

enum { VOCAB = 256, BEYOND = 45, SHORTEST = 2 };
/* Multiply-adds that the interpreter may take: a few seconds. */
static const double most_work = 4e9;

typedef struct {
    int64_t size[AXIS_COUNT], inner;
    double *logits; /* [tokens, vocab]; NULL: there are none */
    const char *why;
} Answer;

struct Oracle {
    Arena *arena;
    const Plan *plan;
    int64_t longest; /* chunk */
    Answer *answers;
    int nanswers, cap;
};

Oracle *
oracle_new(Arena *arena, const Plan *plan)
{
    Oracle *o = arena_alloc(arena, sizeof *o);
    const IntList *chunk = &plan->wish->chunk;
    *o = (Oracle){.arena = arena, .plan = plan, .longest = chunk->n[chunk->count - 1]};
    return o;
}

/* ---- the float64 side ---------------------------------------------------------------------- */

static void
interpret(Oracle *o, Answer *a, const Job *job, const int32_t *ids, int64_t tokens, int64_t vocab)
{
    const WeightSource source = weight_source(job->weights);
    int32_t *pick = arena_array(job->arena, (size_t)tokens, sizeof *pick);
    double *logits = arena_array(o->arena, (size_t)(tokens * vocab), sizeof *logits);
    const char *why = NULL;
    for (int64_t i = 0; i < tokens; i++)
        pick[i] = (int32_t)i;
    Interp *in = interp_new(job->fe.graph, &source);
    if (interp_run(in, ids, tokens, pick, tokens, logits, &why))
        a->logits = logits;
    else
        a->why = arena_strdup(o->arena, why);
    interp_free(in);
}

static const Answer *
answer_of(Oracle *o, const Group *g, const Job *job, const int32_t *ids, int64_t tokens,
          int64_t vocab)
{
    for (int i = 0; i < o->nanswers; i++)
        if (memcmp(o->answers[i].size, g->size, sizeof g->size) == 0 &&
            o->answers[i].inner == g->inner)
            return &o->answers[i];
    Answer a = {.inner = g->inner};
    memcpy(a.size, g->size, sizeof a.size);
    interpret(o, &a, job, ids, tokens, vocab);
    VEC_PUSH(o->arena, o->answers, o->nanswers, o->cap, a);
    return &o->answers[o->nanswers - 1];
}

/* ---- the compiled side --------------------------------------------------------------------- */

/* Root mean square of the difference over that of the wanted. */
static double
error_of(const float *have, const double *want, int64_t count)
{
    double off = 0, all = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)have[i] - want[i];
        off += d * d;
        all += want[i] * want[i];
    }
    return all > 0 ? sqrt(off / all) : NAN;
}

static void
compare(Oracle *o, const Group *g, const Job *job, ExploreRow *row, const char **why)
{
    /* Past the longest chunk, but no longer than there is time for. */
    const Graph *graph = job->fe.graph;
    const double wanted = (double)(o->longest + BEYOND),
                 affordable = most_work / (double)count_elements(graph->weights, graph->nweights);
    const int64_t vocab = ssmc_model_vocab(job->model),
                  tokens = (int64_t)fmax(SHORTEST, fmin(wanted, affordable));
    int32_t *ids = arena_array(job->arena, (size_t)tokens, sizeof *ids);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] =
            (int32_t)((((uint64_t)i + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 33) % (uint64_t)vocab);
    float *logits = arena_array(job->arena, (size_t)(tokens * vocab), sizeof *logits);
    const Answer *a = answer_of(o, g, job, ids, tokens, vocab);
    if (!a->logits) {
        *why = a->why;
        return;
    }
    ssmc_session *session = NULL;
    ssmc_status rs = ssmc_session_open(job->model, 1, job->threads, &session);
    if (rs == SSMC_OK)
        rs = ssmc_prefill_all(session, 0, ids, tokens, logits);
    ssmc_session_close(session);
    if (rs != SSMC_OK) {
        *why = arena_strdup(o->arena, ssmc_error());
        return;
    }
    row->error = error_of(logits, a->logits, tokens * vocab);
    row->error_tokens = tokens;
}

/* Mixers of the model that the settings describe; 0: they describe none. */
static int64_t
count_mixers(const Settings *settings)
{
    int64_t count = 0;
    Job job = {0};
    Arena *arena = arena_new();
    if (job_describe(&job, arena, settings) == EXIT_DONE)
        for (const Node *n = job.fe.graph->first; n; n = n->next)
            count += op_info[n->op].cls == CLASS_ATTEND || op_info[n->op].cls == CLASS_RECURRENT;
    job_end(&job);
    arena_free(arena);
    return count;
}

/* One layer of each kind: of a hybrid that the sweep makes, one of attention, and at least one that
 * is none if the model has such. */
static void
copy_layers(const Group *g, Settings *settings)
{
    const int64_t attention = g->size[AXIS_attention];
    settings_over(settings, "layers.*.repeat", 1);
    if (attention <= 0)
        return;
    settings_over(settings, "attention", 0);
    int64_t mixers = count_mixers(settings);
    const bool mixed = g->base.attention < g->mixers;
    if (mixed && mixers < 2) {
        settings_over(settings, "layers.*.repeat", 2);
        mixers = count_mixers(settings);
    }
    settings_over(settings, "attention", mixed ? 1 : mixers);
}

void
oracle_measure(Oracle *o, const Group *g, const Point *point, ExploreRow *row, const char **why)
{
    Job job = {0};
    Faults faults;
    Arena *arena = arena_new();
    faults_begin(&faults, o->plan);
    Settings settings = plan_settings(o->plan, g, point, &faults.listener);
    settings_over(&settings, "vocab", VOCAB);
    settings_over(&settings, "eos", -1);
    copy_layers(g, &settings);
    settings.random_weights = true;
    settings.whole_weights = true; /* the interpreter reads them */
    int status = job_describe(&job, arena, &settings);
    if (status == EXIT_DONE)
        status = job_run(&job);
    if (status == EXIT_DONE)
        compare(o, g, &job, row, why);
    else
        *why = faults_why(o->arena, &faults);
    job_end(&job);
    arena_free(arena);
    sb_free(&faults.text);
}
