/* serve/resume.c -- where a request begins to read, and which states are kept as it runs.
 *
 * A request begins after the longest prefix of its prompt that has a state, in memory or on the
 * disk; the last id of a prompt is read in any case, for its logits. States are kept at the marks
 * of a request, before the last id of its prompt (for the same prompt again), after all that was
 * fed when it ends (for the next turn of a conversation), and where its prompt leaves a path that
 * the tree knows: of two prompts with a beginning that nobody marked, the second leaves a state
 * there, and the third profits. Of prompts that are read at the same time follow.c tells. */
#include <stdlib.h>

#include "serve/internal.h"

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

/* The request goes on after a state, held or the tree's. */
static ssmc_status
go_on(Engine *e, Request *r, int slot, const State *state)
{
    const ssmc_status status = ssmc_rewind(e->session, slot, state->checkpoint);
    if (status == SSMC_OK)
        r->fed = r->cached = state->tokens;
    return status;
}

static void
find_leaving(Engine *e, Request *r)
{
    r->leaves = r->known < r->asked.count - 1 && r->known - r->fed >= FOLLOW_WORTH ? r->known : 0;
    e->cached += (uint64_t)r->cached;
}

ssmc_status
resume_begin(Engine *e, Request *r, int slot)
{
    State *state = NULL;
    if (r->paused)
        return ssmc_rewind(e->session, slot, r->paused);
    if (!keeps_states(e))
        return ssmc_reset(e->session, slot);
    r->known = prefix_find(e->prefixes, r->text, r->asked.count - 1, &state);
    const bool goes_on = state && state->tokens <= most_cached(r);
    const ssmc_status status = goes_on ? go_on(e, r, slot, state) : ssmc_reset(e->session, slot);
    prefix_learn(e->prefixes, r->text, r->asked.count - 1);
    follow_begin(e, r, most_cached(r));
    if (status == SSMC_OK && !r->leader && e->spill && most_cached(r) - r->fed >= FOLLOW_WORTH)
        r->load = spill_load(e->spill, r->text, most_cached(r), r->fed);
    if (!r->load && !r->leader)
        find_leaving(e, r);
    return status;
}

/* What has come may take it further; what it has is as it was where that does not work. */
static void
go_further(Engine *e, Request *r, int slot, const State *state)
{
    if (state && state->tokens > r->fed && go_on(e, r, slot, state) != SSMC_OK)
        r->cached = r->fed = ssmc_tokens(e->session, slot);
}

/* Its leader has read what it waits for, or has ended early: then it may have another. */
static void
follow_on(Engine *e, Request *r, int slot)
{
    State *state = NULL;
    prefix_find(e->prefixes, r->text, most_cached(r), &state);
    r->leader = 0;
    go_further(e, r, slot, state);
    if (r->fed < r->follows)
        follow_begin(e, r, most_cached(r));
    if (!r->leader)
        find_leaving(e, r);
}

void
resume_waiting(Engine *e)
{
    for (int i = 0; i < e->options.slots; i++) {
        Request *r = e->slot[i];
        State *state = NULL;
        if (r && r->leader && follow_is_over(e, r))
            follow_on(e, r, i);
        if (r && r->load && spill_loaded(e->spill, r->load, &state)) {
            r->load = NULL;
            if (state)
                prefix_keep(e->prefixes, r->text, state);
            go_further(e, r, i, state);
            find_leaving(e, r);
            state_drop(state);
        }
    }
}

bool
resume_waits(const Request *r)
{
    return r->load || r->leader;
}

void
resume_pause(Engine *e, Request *r, int slot)
{
    if (resume_waits(r))
        find_leaving(e, r);
    if (r->load)
        spill_abandon(e->spill, r->load);
    r->load = NULL;
    r->leader = 0;
    if (r->fed > 0 && ssmc_checkpoint_take(e->session, slot, &r->paused) != SSMC_OK)
        r->fed = 0;
}

int64_t
resume_stop(const Engine *e, const Request *r)
{
    if (!keeps_states(e) || r->fed >= r->asked.count - 1)
        return INT64_MAX;
    int64_t stop = follow_stop(e, r);
    if (r->asked.count - 1 < stop)
        stop = r->asked.count - 1;
    if (r->leaves > r->fed && r->leaves < stop)
        stop = r->leaves;
    for (int i = 0; i < r->asked.nmarks; i++)
        if (r->asked.marks[i] > r->fed && r->asked.marks[i] < stop)
            stop = r->asked.marks[i];
    return stop;
}

/* Keeps the state of what the request has been fed in memory, and on the disk. */
static void
keep(Engine *e, const Request *r, int slot, bool on_disk)
{
    const size_t bytes = e->state_bytes + (size_t)r->fed * e->token_bytes;
    const bool fits = bytes <= e->options.prefix_bytes;
    if ((!fits && !on_disk) || prefix_has(e->prefixes, r->text, r->fed))
        return;
    State *state = state_take(e->session, slot, bytes, prefix_spare(e->prefixes));
    if (!state)
        return;
    prefix_keep(e->prefixes, r->text, state);
    if (on_disk)
        spill_put(e->spill, r->text, state);
    state_drop(state);
}

static bool
is_mark(const Engine *e, const Request *r)
{
    for (int i = 0; i < r->asked.nmarks; i++)
        if (r->asked.marks[i] == r->fed)
            return true;
    return r->fed == r->leaves || follow_is_at(e, r);
}

void
resume_fed(Engine *e, const Request *r, int slot)
{
    if (!keeps_states(e) || r->fed > r->asked.count)
        return;
    const bool mark = is_mark(e, r);
    if (mark || r->fed == r->asked.count - 1)
        keep(e, r, slot, e->spill && mark && !r->asked.passing);
}

void
resume_end(Engine *e, Request *r, int slot)
{
    if (!keeps_states(e))
        return;
    if (r->load)
        spill_abandon(e->spill, r->load);
    if (slot >= 0 && r->fed > 0)
        keep(e, r, slot, e->spill && !r->asked.passing);
    prefix_forget(e->prefixes, r->text, r->asked.count - 1);
}
