/* serve/submit.c -- requests as they come: checked, counted, and put into the engine's inbox under
 * its lock, from where its thread takes them. */
#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"

/* ---- requests ------------------------------------------------------------------------------ */

void
request_drop(Request *r)
{
    if (!r)
        return;
    ssmc_sampler_close(r->sampler);
    ssmc_checkpoint_drop(r->paused);
    free((char *)r->asked.client);
    free((int64_t *)r->asked.marks);
    free(r->text);
    free(r);
}

/* FNV-1a. */
static uint64_t
hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; text && *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* NULL: no memory. */
static Request *
request_new(const EngineRequest *asked)
{
    const size_t ids = (size_t)asked->count * sizeof *asked->ids;
    const size_t marks = (size_t)asked->nmarks * sizeof *asked->marks;
    Request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->asked = *asked;
    r->asked.client = asked->client ? strdup(asked->client) : NULL;
    int64_t *const kept = malloc(marks ? marks : 1);
    r->asked.marks = kept;
    r->cap = asked->count + 64;
    r->text = malloc((size_t)r->cap * sizeof *r->text);
    if (!r->text || !kept || (asked->client && !r->asked.client)) {
        request_drop(r);
        return NULL;
    }
    memcpy(r->text, asked->ids, ids);
    if (marks)
        memcpy(kept, asked->marks, marks);
    r->asked.ids = NULL; /* text has them */
    r->client = hash_of(asked->client);
    r->submitted = rt_now();
    return r;
}

/* ---- submitting ---------------------------------------------------------------------------- */

static EngineAnswer
check(const Engine *e, const EngineRequest *asked)
{
    const int64_t most = e->options.room - (asked->most > 0);
    if (asked->count > most)
        return ENGINE_too_long;
    for (int64_t i = 0; i < asked->count; i++)
        if (asked->ids[i] < 0 || asked->ids[i] >= e->vocab)
            return ENGINE_bad_id;
    return asked->count > 0 ? ENGINE_taken : ENGINE_bad_id;
}

/* Free slots are places to wait at, too: a request will not wait there for long. Idle requests take
 * no places of others. */
static bool
is_full(const Engine *e, bool idle)
{
    const int all = e->counts.running + e->counts.waiting;
    return (idle ? e->idle_ones : all - e->idle_ones) >= e->options.waiting + e->options.slots;
}

/* Requests end one after the other: a place in the queue is free when one more has. */
static double
seconds_to_retry(const Engine *e)
{
    return e->finishing > 0 ? e->finishing : 1;
}

static void
link_live(Engine *e, Request *r)
{
    r->handle = ++e->handles;
    r->older = e->newest;
    if (e->newest)
        e->newest->newer = r;
    e->newest = r;
    *(e->inbox ? &e->inbox_last->next : &e->inbox) = r;
    e->inbox_last = r;
}

void
engine_wake(Engine *e)
{
    e->woken = true;
    pthread_cond_signal(&e->work);
}

EngineAnswer
engine_submit(Engine *e, const EngineRequest *asked, uint64_t *handle, double *retry)
{
    EngineAnswer answer = check(e, asked);
    Request *r = answer == ENGINE_taken ? request_new(asked) : NULL;
    if (answer == ENGINE_taken && !r)
        answer = ENGINE_full;
    pthread_mutex_lock(&e->lock);
    if (answer == ENGINE_taken && e->draining)
        answer = ENGINE_draining;
    if (answer == ENGINE_taken && is_full(e, asked->idle))
        answer = ENGINE_full;
    e->counts.refused += answer != ENGINE_taken;
    if (answer == ENGINE_full)
        *retry = seconds_to_retry(e);
    if (answer == ENGINE_taken) {
        link_live(e, r);
        *handle = r->handle;
        e->counts.requests++;
        e->counts.waiting++;
        e->idle_ones += r->asked.idle;
        engine_wake(e);
    }
    pthread_mutex_unlock(&e->lock);
    if (answer != ENGINE_taken)
        request_drop(r);
    return answer;
}

void
engine_cancel(Engine *e, uint64_t handle)
{
    pthread_mutex_lock(&e->lock);
    Request *r = e->newest;
    while (r && r->handle > handle)
        r = r->older;
    if (r && r->handle == handle) {
        r->cancelled = true;
        engine_wake(e);
    }
    pthread_mutex_unlock(&e->lock);
}

EngineCounts
engine_counts(Engine *e)
{
    pthread_mutex_lock(&e->lock);
    EngineCounts counts = e->counts;
    pthread_mutex_unlock(&e->lock);
    if (e->spill)
        spill_count(e->spill, &counts);
    return counts;
}
