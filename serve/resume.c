/* serve/resume.c -- where a request begins to read, and which states are kept as it runs.
 *
 * A request begins after the longest prefix of its prompt that has a state, in memory or on the
 * disk; the last id of a prompt is read in any case, for its logits. States are kept at the marks
 * of a request, before the last id of its prompt (for the same prompt again), after all that was
 * fed when it ends (for the next turn of a conversation), and where its prompt leaves a path that
 * the tree knows: of two prompts with a beginning that nobody marked, the second leaves a state
 * there, and the third profits. */
#include <stdlib.h>

#include "serve/internal.h"

/* A beginning that prompts share has a state of its own where that saves so many ids. */
enum { WORTH_A_STATE = 16 };

static bool
keeps_states(const Engine *e)
{
    return e->prefixes != NULL;
}

/* Ids of a prompt that need not be read where there is a state: the probabilities of the others are
 * asked for, or an id is to be drawn. */
static int64_t
most_cached(const Request *r)
{
    return r->asked.prompt_too && r->asked.top >= 0 ? 0 : r->asked.count - 1;
}

ssmc_status
resume_begin(Engine *e, Request *r, int slot)
{
    State *state = NULL;
    if (r->paused)
        return ssmc_rewind(e->session, slot, r->paused);
    if (!keeps_states(e) || r->fed > 0)
        return ssmc_reset(e->session, slot);
    const int64_t most = r->asked.count - 1;
    const int64_t known = prefix_find(e->prefixes, r->text, most, &state);
    if (state && state->tokens <= most_cached(r)) {
        const ssmc_status status = ssmc_rewind(e->session, slot, state->checkpoint);
        if (status != SSMC_OK)
            return status;
        r->fed = r->cached = state->tokens;
    } else {
        const ssmc_status status = ssmc_reset(e->session, slot);
        if (status != SSMC_OK)
            return status;
    }
    r->leaves = known < most && known - (state ? state->tokens : 0) >= WORTH_A_STATE ? known : 0;
    prefix_learn(e->prefixes, r->text, most);
    return SSMC_OK;
}

int64_t
resume_stop(const Engine *e, const Request *r)
{
    int64_t stop = INT64_MAX;
    if (!keeps_states(e))
        return stop;
    if (r->asked.count - 1 > r->fed)
        stop = r->asked.count - 1;
    if (r->leaves > r->fed && r->leaves < stop)
        stop = r->leaves;
    for (int i = 0; i < r->asked.nmarks; i++)
        if (r->asked.marks[i] > r->fed && r->asked.marks[i] < stop)
            stop = r->asked.marks[i];
    return stop;
}

/* Keeps the state of what the request has been fed, in memory. */
static void
keep(Engine *e, const Request *r, int slot)
{
    const size_t bytes = e->state_bytes + (size_t)r->fed * e->token_bytes;
    if (bytes > e->options.prefix_bytes || prefix_has(e->prefixes, r->text, r->fed))
        return;
    State *state = calloc(1, sizeof *state);
    if (!state || ssmc_checkpoint_take(e->session, slot, &state->checkpoint) != SSMC_OK) {
        free(state);
        return;
    }
    atomic_init(&state->users, 1);
    state->tokens = r->fed;
    state->bytes = bytes;
    prefix_keep(e->prefixes, r->text, state);
    state_drop(state);
}

static bool
is_mark(const Request *r)
{
    for (int i = 0; i < r->asked.nmarks; i++)
        if (r->asked.marks[i] == r->fed)
            return true;
    return r->fed == r->leaves;
}

void
resume_fed(Engine *e, const Request *r, int slot)
{
    if (keeps_states(e) && (r->fed == r->asked.count - 1 || is_mark(r)))
        keep(e, r, slot);
}

void
resume_end(Engine *e, const Request *r, int slot)
{
    if (!keeps_states(e))
        return;
    if (slot >= 0 && r->fed > 0)
        keep(e, r, slot);
    prefix_forget(e->prefixes, r->text, r->asked.count - 1);
}
