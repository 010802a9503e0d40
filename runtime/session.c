/* runtime/session.c -- the life of a session: its memory, wired to a program; looking inside. */
#include "runtime/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

static bool
place_inputs(RtLayout *l, const ssmc_program *p)
{
    bool fits = true;
    for (int i = 0; i < RT_INPUTS; i++) {
        const int64_t count = rt_input_info[i].rows == ABI_TOKENS ? p->block : p->rows;
        fits = fits && place(l, &l->input[i], (size_t)count, sizeof(int32_t));
    }
    return fits;
}

bool
rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out)
{
    const AbiProgram *abi = program->abi;
    RtLayout l = {0};
    const bool fits = place(&l, &l.states, (size_t)sequences, program->state_stride) &&
                      place(&l, &l.slab, 1, program->slab_bytes) &&
                      place(&l, &l.scratch, (size_t)threads, program->scratch_stride) &&
                      place(&l, &l.parts, 2 * (size_t)threads, sizeof(RtParts)) &&
                      place(&l, &l.output, 1, (size_t)abi->output_bytes) &&
                      place_inputs(&l, program) &&
                      place(&l, &l.to, (size_t)program->rows, sizeof(float *)) &&
                      place(&l, &l.seg, (size_t)program->block, sizeof(AbiSeg)) &&
                      place(&l, &l.owner, (size_t)program->block, sizeof(int32_t)) &&
                      place(&l, &l.sequences, (size_t)sequences, sizeof(RtSequence)) &&
                      place(&l, &l.inputs, (size_t)sequences, sizeof(ssmc_input)) &&
                      place(&l, &l.at, (size_t)sequences, sizeof(int64_t)) &&
                      place(&l, &l.operands, (size_t)abi->noperands, sizeof(void *)) &&
                      place(&l, &l.kept_at, (size_t)abi->nstates, sizeof(size_t)) &&
                      place(&l, &l.seconds, (size_t)abi->nsteps, sizeof(double));
    *out = l;
    return fits && l.total <= INT64_MAX;
}

/* Pointers into the memory. */
static void
session_wire(ssmc_session *s)
{
    const RtLayout *l = &s->layout;
    s->states = s->memory + l->states;
    s->logits = (float *)(s->memory + l->output + s->model->program->logits->offset);
    for (int i = 0; i < RT_INPUTS; i++)
        s->input[i] = (int32_t *)(s->memory + l->input[i]);
    s->seg = (AbiSeg *)(s->memory + l->seg);
    s->owner = (int32_t *)(s->memory + l->owner);
    s->to = (float **)(s->memory + l->to);
    s->sequence = (RtSequence *)(s->memory + l->sequences);
    s->inputs = (ssmc_input *)(s->memory + l->inputs);
    s->at = (int64_t *)(s->memory + l->at);
    s->kept_at = (size_t *)(s->memory + l->kept_at);
}

/* Operands to addresses, and what runs over them. */
static void
session_resolve(ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    const RtLayout *l = &s->layout;
    void **operand = (void **)(s->memory + l->operands);
    int32_t *input[RT_INPUTS] = {NULL};
    for (int i = 0; i < p->abi->ninputs; i++)
        input[i] = s->input[p->input[i]];
    const RtSpaces spaces = {.slab = s->memory + l->slab,
                             .params = s->model->params,
                             .states = s->states,
                             .kept = s->kept,
                             .kept_at = s->kept_at,
                             .output = s->memory + l->output,
                             .input = input,
                             .weights = s->model->weights};
    rt_operands_resolve(p->abi, &spaces, operand);
    s->call = (AbiCall){.seg = s->seg,
                        .state_stride = (int64_t)p->state_stride,
                        .kept_stride = (int64_t)s->kept_stride,
                        .room = s->kept ? s->room : 0,
                        .block = rt_kept_block(p),
                        .sgemm = s->model->sgemm};
    s->run = (RtRun){.abi = p->abi,
                     .operand = operand,
                     .call = &s->call,
                     .scratch = s->memory + l->scratch,
                     .scratch_stride = p->scratch_stride,
                     .parts = (RtParts *)(s->memory + l->parts),
                     .pool = s->pool};
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
    status = rt_kept_open(s);
    if (status != SSMC_OK)
        return status;
    session_resolve(s);
    return s->model->sgemm ? rt_blas_room(threads) : SSMC_OK;
}

ssmc_status
ssmc_session_open(const ssmc_model *model, int sequences, int threads, ssmc_session **out)
{
    return ssmc_session_open_for(model, sequences, threads, SSMC_ROOM, out);
}

ssmc_status
ssmc_session_open_for(const ssmc_model *model, int sequences, int threads, int64_t room,
                      ssmc_session **out)
{
    if (!model || !out)
        return rt_fail_null(model ? "place for the session" : "model");
    *out = NULL;
    if (sequences < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "a session of %d sequences; at least 1 is possible",
                       sequences);
    if (room < 1 || room > RT_MOST_ROOM)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "room for %" PRId64 " tokens of a sequence; 1 to %" PRId64 " are possible",
                       room, RT_MOST_ROOM);
    ssmc_session *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail_memory(sizeof *s, "a session");
    s->model = model;
    s->sequences = sequences;
    s->room = (room + ABI_ROOM_STEP - 1) / ABI_ROOM_STEP * ABI_ROOM_STEP;
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
    rt_pages_free(s->kept, s->kept_bytes);
    free(s);
}

void
ssmc_session_on_progress(ssmc_session *s, ssmc_progress *call, void *user)
{
    if (!s)
        return;
    s->progress = call;
    s->progress_user = user;
}

/* ---- sequences ----------------------------------------------------------------------------- */

ssmc_status
rt_session_check(const ssmc_session *s, int seq)
{
    if (!s)
        return rt_fail_null("session");
    if (seq >= 0 && seq < s->sequences)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT, "no sequence %d: the session has 0 to %d", seq,
                   s->sequences - 1);
}

char *
rt_session_states(const ssmc_session *s, int seq)
{
    return s->states + (size_t)seq * s->model->program->state_stride;
}

ssmc_status
rt_session_fits(const ssmc_session *s, int64_t tokens, const char *what)
{
    if (tokens <= s->room)
        return SSMC_OK;
    return rt_fail(SSMC_FULL,
                   "%s has read %" PRId64 " tokens, and the session has room for %" PRId64
                   " of each sequence",
                   what, tokens, s->room);
}

int64_t
ssmc_room(const ssmc_session *s)
{
    return s ? s->room : -1;
}

int64_t
ssmc_tokens(const ssmc_session *s, int seq)
{
    return rt_session_check(s, seq) == SSMC_OK ? s->sequence[seq].tokens : -1;
}

ssmc_status
ssmc_reset(ssmc_session *s, int seq)
{
    const ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    memset(rt_session_states(s, seq), 0, s->model->program->state_stride);
    rt_kept_clear(s, seq, 0);
    s->sequence[seq].tokens = 0;
    return SSMC_OK;
}

/* ---- looking inside ------------------------------------------------------------------------ */

void
rt_session_profile(ssmc_session *s, bool on)
{
    s->run.seconds = on ? (double *)(s->memory + s->layout.seconds) : NULL;
}

void
rt_session_trace(ssmc_session *s, RtLane *lanes)
{
    s->run.lanes = lanes;
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
        if (strcmp(state->name, name) != 0 || state->dtype != ABI_F32 || state->row_bytes)
            continue;
        *count = state->bytes / (int64_t)sizeof(float);
        return (const float *)(rt_session_states(s, seq) + state->offset);
    }
    return NULL;
}
