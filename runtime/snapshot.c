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
    for (int i = 0; i < p->abi->nstates; i++) {
        RtGroups mine = rt_kept_groups(&p->abi->states[i], tokens), theirs = mine;
        size_t bytes = 0;
        for (const char *at; (at = rt_kept_next(s, from, i, &theirs, &bytes)) != NULL;)
            memcpy(rt_kept_next(s, to, i, &mine, &bytes), at, bytes);
    }
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
    for (int i = 0; i < p->abi->nstates; i++) {
        RtGroups left = rt_kept_groups(&p->abi->states[i], tokens);
        size_t some = 0;
        for (const char *at; (at = rt_kept_next(s, seq, i, &left, &some)) != NULL; to += some)
            memcpy(to, at, some);
    }
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
    for (int i = 0; i < p->abi->nstates; i++) {
        RtGroups left = rt_kept_groups(&p->abi->states[i], c->tokens);
        size_t bytes = 0;
        for (char *at; (at = rt_kept_next(s, seq, i, &left, &bytes)) != NULL; from += bytes)
            memcpy(at, from, bytes);
    }
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
