/* runtime/snapshot.c -- states as values in memory: fork, checkpoints, rewind. */
#include <stdlib.h>

#include "runtime/session.h"

struct ssmc_checkpoint {
    const ssmc_model *model; /* borrowed */
    int64_t tokens;
    char *states; /* owns: pages here: states of fixed sizes [state_stride], rows of growing ones */
    size_t bytes; /* of the pages, which may have been taken for more rows */
};

ssmc_status
ssmc_fork(ssmc_session *s, int from, int to)
{
    ssmc_status status = rt_session_check(s, from);
    if (status == SSMC_OK)
        status = rt_session_check(s, to);
    if (status != SSMC_OK || from == to)
        return status;
    const ssmc_program *p = s->model->program;
    const RtDevice *device = s->device;
    const int64_t tokens = s->sequence[from].tokens;
    status = rt_kept_grow(s, to, tokens);
    if (status == SSMC_OK)
        status = rt_kept_clear(s, to, tokens);
    if (status == SSMC_OK)
        status = device->copy(s->queue, rt_session_states(s, to), rt_session_states(s, from),
                              p->state_stride);
    const int64_t away = (int64_t)s->kept_stride * (to - from);
    for (int i = 0; i < p->abi->nstates; i++) {
        RtKeptWalk w = rt_kept_walk(s, from, i, tokens);
        while (status == SSMC_OK && rt_kept_next(&w))
            status = device->copy(s->queue, w.at + away, w.at, w.bytes);
    }
    if (status == SSMC_OK)
        s->sequence[to].tokens = tokens;
    return status;
}

/* Into memory of at least as many bytes as the sequence's state has. */
static ssmc_status
keep(const ssmc_session *s, int seq, ssmc_checkpoint *c)
{
    const ssmc_program *p = s->model->program;
    const int64_t tokens = s->sequence[seq].tokens;
    ssmc_status status = rt_session_get(s, c->states, rt_session_states(s, seq), p->state_stride);
    char *to = c->states + p->state_stride;
    for (int i = 0; i < p->abi->nstates; i++) {
        RtKeptWalk w = rt_kept_walk(s, seq, i, tokens);
        for (; status == SSMC_OK && rt_kept_next(&w); to += w.bytes)
            status = rt_session_get(s, to, w.at, w.bytes);
    }
    c->tokens = tokens;
    return status;
}

ssmc_status
ssmc_checkpoint_take(const ssmc_session *s, int seq, ssmc_checkpoint **out)
{
    if (!out)
        return rt_fail_null("place for the checkpoint");
    *out = NULL;
    ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    const ssmc_program *p = s->model->program;
    const size_t bytes = p->state_stride + rt_kept_bytes(p, s->sequence[seq].tokens);
    ssmc_checkpoint *c = calloc(1, sizeof *c);
    char *states = c ? rt_pages_new(bytes) : NULL;
    if (!states) {
        free(c);
        return rt_fail_memory(bytes, "a checkpoint");
    }
    *c = (ssmc_checkpoint){.model = s->model, .states = states, .bytes = bytes};
    status = keep(s, seq, c);
    if (status == SSMC_OK)
        *out = c;
    else
        ssmc_checkpoint_drop(c);
    return status;
}

ssmc_status
rt_checkpoint_again(const ssmc_session *s, int seq, ssmc_checkpoint **checkpoint)
{
    ssmc_checkpoint *c = *checkpoint;
    const ssmc_program *p = s->model->program;
    const size_t bytes = p->state_stride + rt_kept_bytes(p, ssmc_tokens(s, seq));
    /* Memory of which half would not be used is given back. */
    if (c && c->model == s->model && c->bytes >= bytes && c->bytes / 2 < bytes)
        return keep(s, seq, c);
    ssmc_checkpoint_drop(c);
    return ssmc_checkpoint_take(s, seq, checkpoint);
}

ssmc_status
ssmc_rewind(ssmc_session *s, int seq, const ssmc_checkpoint *c)
{
    ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    if (!c)
        return rt_fail_null("checkpoint");
    if (c->model != s->model)
        return rt_fail(SSMC_BAD_ARGUMENT, "the checkpoint was taken of another model's session");
    status = rt_session_fits(s, c->tokens, "what the checkpoint was taken of");
    if (status != SSMC_OK)
        return status;
    const ssmc_program *p = s->model->program;
    const char *from = c->states + p->state_stride;
    status = rt_kept_grow(s, seq, c->tokens);
    if (status == SSMC_OK)
        status = rt_kept_clear(s, seq, c->tokens);
    if (status == SSMC_OK)
        status = rt_session_put(s, rt_session_states(s, seq), c->states, p->state_stride);
    for (int i = 0; i < p->abi->nstates && status == SSMC_OK; i++)
        status = rt_kept_put(s, seq, i, c->tokens, &from);
    if (status == SSMC_OK)
        s->sequence[seq].tokens = c->tokens;
    return status;
}

void
ssmc_checkpoint_drop(ssmc_checkpoint *c)
{
    if (!c)
        return;
    rt_pages_free(c->states, c->bytes);
    free(c);
}
