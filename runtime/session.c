/* runtime/session.c -- states and buffers of a batch of sequences, and what runs on them. */
#include "runtime/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ssmc_session {
    const ssmc_model *model; /* borrowed */
    int sequences;
    char *memory; /* owns: pages, laid out as `layout` */
    RtLayout layout;
    RtPool *pool;
    /* Views into memory. */
    char *states;
    float *output; /* [R,vocab] */
    int32_t *ids, *pick;
    AbiSeg *seg;
    uint64_t *seen;
    uint64_t steps; /* calls of ssmc_step */
    AbiCall call;
    RtRun run;
    ssmc_progress *progress;
    void *progress_user;
};

/* ---- opening ------------------------------------------------------------------------------- */

/* Appends count items of `size` bytes. */
static bool
place(RtLayout *l, size_t *at, size_t count, size_t size)
{
    size_t bytes = 0;
    *at = l->total;
    return rt_mul(count, size, &bytes) && rt_round_up(bytes, RT_LINE, &bytes) &&
           rt_add(l->total, bytes, &l->total);
}

bool
rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out)
{
    const AbiProgram *abi = program->abi;
    RtLayout l = {0};
    const bool fits = place(&l, &l.states, (size_t)sequences, program->state_stride) &&
                      place(&l, &l.slab, 1, program->slab_bytes) &&
                      place(&l, &l.scratch, (size_t)threads, program->scratch_stride) &&
                      place(&l, &l.output, 1, (size_t)abi->output_bytes) &&
                      place(&l, &l.ids, (size_t)program->block, sizeof(int32_t)) &&
                      place(&l, &l.pick, (size_t)abi->head_rows, sizeof(int32_t)) &&
                      place(&l, &l.seg, (size_t)program->block, sizeof(AbiSeg)) &&
                      place(&l, &l.seen, (size_t)sequences, sizeof(uint64_t)) &&
                      place(&l, &l.operands, (size_t)abi->noperands, sizeof(void *)) &&
                      place(&l, &l.seconds, (size_t)abi->nsteps, sizeof(double));
    *out = l;
    return fits && l.total <= INT64_MAX;
}

/* Pointers into the memory, and every operand of the program. */
static void
session_wire(ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    const RtLayout *l = &s->layout;
    void **operand = (void **)(s->memory + l->operands);
    s->states = s->memory + l->states;
    s->output = (float *)(s->memory + l->output);
    s->ids = (int32_t *)(s->memory + l->ids);
    s->pick = (int32_t *)(s->memory + l->pick);
    s->seg = (AbiSeg *)(s->memory + l->seg);
    s->seen = (uint64_t *)(s->memory + l->seen);
    const RtSpaces spaces = {.slab = s->memory + l->slab,
                             .params = s->model->params,
                             .states = s->states,
                             .output = s->memory + l->output,
                             .ids = s->ids,
                             .pick = s->pick,
                             .weights = s->model->weights};
    rt_operands_resolve(p->abi, &spaces, operand);
    s->call = (AbiCall){.seg = s->seg,
                        .state_stride = (int64_t)p->state_stride,
                        .scratch = s->memory + l->scratch,
                        .scratch_stride = (int64_t)p->scratch_stride};
    s->run = (RtRun){.abi = p->abi, .operand = operand, .call = &s->call, .pool = s->pool};
}

static ssmc_status
session_fill(ssmc_session *s, int threads)
{
    ssmc_status status = rt_pool_open(threads, &s->pool);
    if (status != SSMC_OK)
        return status;
    threads = rt_pool_threads(s->pool);
    if (!rt_session_layout(s->model->program, s->sequences, threads, &s->layout))
        return rt_fail(SSMC_NO_MEMORY, "%d sequences are more than memory can hold", s->sequences);
    s->memory = rt_pages_new(s->layout.total);
    if (!s->memory)
        return rt_fail_memory(s->layout.total, "a session");
    session_wire(s);
    return SSMC_OK;
}

ssmc_status
ssmc_session_open(const ssmc_model *model, int sequences, int threads, ssmc_session **out)
{
    *out = NULL;
    if (sequences < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "a session of %d sequences; at least 1 is possible",
                       sequences);
    ssmc_session *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail_memory(sizeof *s, "a session");
    s->model = model;
    s->sequences = sequences;
    const ssmc_status status = session_fill(s, threads);
    if (status == SSMC_OK)
        *out = s;
    else
        ssmc_session_close(s);
    return status;
}

void
ssmc_session_close(ssmc_session *s)
{
    if (!s)
        return;
    rt_pool_close(s->pool);
    rt_pages_free(s->memory, s->layout.total);
    free(s);
}

void
ssmc_session_on_progress(ssmc_session *s, ssmc_progress *call, void *user)
{
    s->progress = call;
    s->progress_user = user;
}

/* ---- checks -------------------------------------------------------------------------------- */

static ssmc_status
check_sequence(const ssmc_session *s, int seq)
{
    if (seq >= 0 && seq < s->sequences)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT, "no sequence %d: the session has 0 to %d", seq,
                   s->sequences - 1);
}

static ssmc_status
check_ids(const ssmc_session *s, const int32_t *ids, int64_t n)
{
    const int64_t vocab = ssmc_model_vocab(s->model);
    if (n < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "%" PRId64 " ids; at least 1 is needed", n);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return rt_fail(SSMC_BAD_ARGUMENT,
                           "id %" PRId64 " of %" PRId64 " is %" PRId32
                           "; the model's ids are 0 to %" PRId64,
                           i + 1, n, ids[i], vocab - 1);
    return SSMC_OK;
}

/* Every sequence exists and is named once. */
static ssmc_status
check_sequences(ssmc_session *s, const int *seqs, int n)
{
    s->steps++;
    for (int i = 0; i < n; i++) {
        const ssmc_status status = check_sequence(s, seqs[i]);
        if (status != SSMC_OK)
            return status;
        if (s->seen[seqs[i]] == s->steps)
            return rt_fail(SSMC_BAD_ARGUMENT, "sequence %d is named twice in one step", seqs[i]);
        s->seen[seqs[i]] = s->steps;
    }
    return SSMC_OK;
}

/* ---- passes -------------------------------------------------------------------------------- */

static const AbiPhase *
phase_of(const ssmc_session *s, AbiPhaseId id)
{
    const AbiPhase *phase = s->model->program->abi->phase;
    return phase[id].block > 0 ? &phase[id] : &phase[ABI_PREFILL];
}

/* Runs the layers over call.rows rows, then the head over rows first .. rows - 1, as many at a time
 * as it takes; logits [rows - first, vocab], or NULL: no head. */
static void
run_pass(ssmc_session *s, const AbiPhase *phase, int64_t first, float *logits)
{
    const AbiProgram *abi = s->model->program->abi;
    const int64_t rows = s->call.rows;
    int64_t row = logits ? first : rows;
    s->run.range[0] = phase->layers;
    do {
        const int64_t left = rows - row;
        const int64_t n = left < abi->head_rows ? left : abi->head_rows;
        for (int64_t i = 0; i < n; i++)
            s->pick[i] = (int32_t)(row + i);
        s->call.picked = n;
        s->run.range[1] = n ? phase->head : (AbiRange){0};
        rt_run(&s->run);
        if (n)
            memcpy(logits + (row - first) * abi->vocab, s->output,
                   (size_t)n * (size_t)abi->vocab * sizeof *logits);
        s->run.range[0] = (AbiRange){0};
        row += n;
    } while (row < rows);
}

/* Feeds n checked ids in passes. every: logits of every token, else of the last. */
static void
feed(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits, bool every)
{
    const int64_t vocab = ssmc_model_vocab(s->model);
    for (int64_t at = 0, rows; at < n; at += rows) {
        const AbiPhase *phase = phase_of(s, n - at == 1 ? ABI_DECODE : ABI_PREFILL);
        rows = n - at < phase->block ? n - at : phase->block;
        memcpy(s->ids, ids + at, (size_t)rows * sizeof *ids);
        s->seg[0] = (AbiSeg){.row = 0, .len = rows, .slot = seq};
        s->call.rows = rows;
        s->call.nseg = 1;
        if (every && logits)
            run_pass(s, phase, 0, logits + at * vocab);
        else
            run_pass(s, phase, rows - 1, at + rows == n ? logits : NULL);
        if (s->progress)
            s->progress(s->progress_user, at + rows, n);
    }
}

static ssmc_status
prefill(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits, bool every)
{
    ssmc_status status = check_sequence(s, seq);
    if (status == SSMC_OK)
        status = check_ids(s, ids, n);
    if (status == SSMC_OK)
        feed(s, seq, ids, n, logits, every);
    return status;
}

ssmc_status
ssmc_prefill(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits)
{
    return prefill(s, seq, ids, n, logits, false);
}

ssmc_status
ssmc_prefill_all(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits)
{
    return prefill(s, seq, ids, n, logits, true);
}

ssmc_status
ssmc_step(ssmc_session *s, const int *seqs, const int32_t *ids, int n, float *logits)
{
    const AbiPhase *phase = phase_of(s, ABI_DECODE);
    ssmc_status status = check_ids(s, ids, n);
    if (status == SSMC_OK)
        status = check_sequences(s, seqs, n);
    for (int64_t at = 0, rows; at < n && status == SSMC_OK; at += rows) {
        rows = n - at < phase->block ? n - at : phase->block;
        memcpy(s->ids, ids + at, (size_t)rows * sizeof *ids);
        for (int64_t i = 0; i < rows; i++)
            s->seg[i] = (AbiSeg){.row = i, .len = 1, .slot = seqs[at + i]};
        s->call.rows = rows;
        s->call.nseg = rows;
        run_pass(s, phase, 0, logits ? logits + at * ssmc_model_vocab(s->model) : NULL);
    }
    return status;
}

ssmc_status
ssmc_reset(ssmc_session *s, int seq)
{
    const size_t stride = s->model->program->state_stride;
    const ssmc_status status = check_sequence(s, seq);
    if (status == SSMC_OK)
        memset(s->states + (size_t)seq * stride, 0, stride);
    return status;
}

/* ---- looking inside ------------------------------------------------------------------------ */

void
rt_session_profile(ssmc_session *s, bool on)
{
    s->run.seconds = on ? (double *)(s->memory + s->layout.seconds) : NULL;
}

double
rt_session_step_seconds(const ssmc_session *s, int step)
{
    const double *seconds = (const double *)(s->memory + s->layout.seconds);
    return step >= 0 && step < s->model->program->abi->nsteps ? seconds[step] : 0;
}

const float *
rt_session_state(const ssmc_session *s, int seq, const char *name, int64_t *count)
{
    const ssmc_program *p = s->model->program;
    if (seq < 0 || seq >= s->sequences)
        return NULL;
    for (int i = 0; i < p->abi->nstates; i++) {
        const AbiState *state = &p->abi->states[i];
        if (strcmp(state->name, name) != 0)
            continue;
        *count = state->bytes / (int64_t)sizeof(float);
        return (const float *)(s->states + (size_t)seq * p->state_stride + state->offset);
    }
    return NULL;
}
