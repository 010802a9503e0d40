/* runtime/snapshot.c -- states as values in memory: fork, checkpoints, rewind. */
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"

struct ssmc_checkpoint {
    const ssmc_model *model; /* borrowed */
    int64_t tokens;
    char *states; /* owns: pages, [state_stride] */
};

ssmc_status
ssmc_fork(ssmc_session *s, int from, int to)
{
    ssmc_status status = rt_session_check(s, from);
    if (status == SSMC_OK)
        status = rt_session_check(s, to);
    if (status != SSMC_OK || from == to)
        return status;
    memcpy(rt_session_states(s, to), rt_session_states(s, from), s->model->program->state_stride);
    s->sequence[to].tokens = s->sequence[from].tokens;
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
    const size_t bytes = s->model->program->state_stride;
    ssmc_checkpoint *c = calloc(1, sizeof *c);
    char *states = c ? rt_pages_new(bytes) : NULL;
    if (!states) {
        free(c);
        return rt_fail_memory(bytes, "a checkpoint");
    }
    memcpy(states, rt_session_states(s, seq), bytes);
    *c = (ssmc_checkpoint){s->model, s->sequence[seq].tokens, states};
    *out = c;
    return SSMC_OK;
}

ssmc_status
ssmc_rewind(ssmc_session *s, int seq, const ssmc_checkpoint *c)
{
    const ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    if (!c)
        return rt_fail_null("checkpoint");
    if (c->model != s->model)
        return rt_fail(SSMC_BAD_ARGUMENT, "the checkpoint was taken of another model's session");
    memcpy(rt_session_states(s, seq), c->states, s->model->program->state_stride);
    s->sequence[seq].tokens = c->tokens;
    return SSMC_OK;
}

void
ssmc_checkpoint_drop(ssmc_checkpoint *c)
{
    if (!c)
        return;
    rt_pages_free(c->states, c->model->program->state_stride);
    free(c);
}
