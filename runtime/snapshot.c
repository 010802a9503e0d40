/* runtime/snapshot.c -- states as values in memory: fork, checkpoints, rewind. */
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"

struct ssmc_checkpoint {
    const ssmc_model *model; /* borrowed */
    int64_t tokens;
    char *states; /* owns: pages: states of fixed sizes [state_stride], then rows of growing ones */
    size_t bytes;
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
    const int64_t tokens = s->sequence[from].tokens;
    memcpy(rt_session_states(s, to), rt_session_states(s, from), p->state_stride);
    rt_kept_clear(s, to, tokens);
    const int64_t away = (int64_t)s->kept_stride * (to - from);
    for (int i = 0; i < p->abi->nstates; i++)
        for (RtKeptWalk w = rt_kept_walk(s, from, i, tokens); rt_kept_next(&w);)
            memcpy(w.at + away, w.at, w.bytes);
    s->sequence[to].tokens = tokens;
    return SSMC_OK;
}

ssmc_status
ssmc_checkpoint_take(const ssmc_session *s, int seq, ssmc_checkpoint **out)
{
    if (!out)
        return rt_fail_null("place for the checkpoint");
    *out = NULL;
    const ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    const ssmc_program *p = s->model->program;
    const int64_t tokens = s->sequence[seq].tokens;
    const size_t bytes = p->state_stride + rt_kept_bytes(p, tokens);
    ssmc_checkpoint *c = calloc(1, sizeof *c);
    char *states = c ? rt_pages_new(bytes) : NULL;
    if (!states) {
        free(c);
        return rt_fail_memory(bytes, "a checkpoint");
    }
    memcpy(states, rt_session_states(s, seq), p->state_stride);
    char *to = states + p->state_stride;
    for (int i = 0; i < p->abi->nstates; i++)
        for (RtKeptWalk w = rt_kept_walk(s, seq, i, tokens); rt_kept_next(&w); to += w.bytes)
            memcpy(to, w.at, w.bytes);
    *c = (ssmc_checkpoint){s->model, tokens, states, bytes};
    *out = c;
    return SSMC_OK;
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
    memcpy(rt_session_states(s, seq), c->states, p->state_stride);
    rt_kept_clear(s, seq, c->tokens);
    for (int i = 0; i < p->abi->nstates; i++)
        from = rt_kept_put(s, seq, i, c->tokens, from);
    s->sequence[seq].tokens = c->tokens;
    return SSMC_OK;
}

void
ssmc_checkpoint_drop(ssmc_checkpoint *c)
{
    if (!c)
        return;
    rt_pages_free(c->states, c->bytes);
    free(c);
}
