/* serve/engine.c -- an engine's life and its thread. Callers put requests into an inbox and set
 * flags, under the lock; the thread takes them from there, gives slots to those that are next, and
 * runs step after step. Everything else belongs to the thread alone, so that no lock is held while
 * the model runs or a request is told of its ids. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/internal.h"

/* ---- ends ---------------------------------------------------------------------------------- */

static void
unlink_live(Engine *e, Request *r)
{
    *(r->newer ? &r->newer->older : &e->newest) = r->older;
    if (r->older)
        r->older->newer = r->newer;
}

void
engine_count(Engine *e)
{
    e->counts.prompt_read += e->read;
    e->counts.ahead += e->ahead;
    e->counts.drawn += e->drawn;
    e->counts.prompt_cached += e->cached;
    e->read = e->ahead = e->drawn = e->cached = 0;
    if (e->prefixes)
        e->counts.prefix_bytes = prefix_bytes(e->prefixes, &e->counts.prefix_states);
}

static void
count_end(Engine *e, const Request *r, EngineEnd end, bool ran)
{
    enum { SMOOTHED = 8 }; /* ends */
    const double now = rt_now(), since = now - (e->ended > 0 ? e->ended : r->submitted);
    e->finishing += (since - e->finishing) / (e->ended > 0 ? SMOOTHED : 1);
    e->ended = now;
    e->counts.cancelled += end == ENGINE_cancelled;
    e->counts.failed += end == ENGINE_failed;
    *(ran ? &e->counts.running : &e->counts.waiting) -= 1;
    e->idle_ones -= r->asked.idle;
}

void
engine_end(Engine *e, Request *r, EngineEnd end, const char *error)
{
    const double now = rt_now();
    const EngineResult result = {
        .end = end,
        .error = end == ENGINE_failed ? error : NULL,
        .prompt = r->asked.count,
        .cached = r->cached,
        .drawn = r->drawn,
        .waited = (r->began > 0 ? r->began : now) - r->submitted,
        .first = r->first > 0 ? r->first - r->submitted : 0,
        .seconds = now - r->submitted,
    };
    int slot = e->options.slots;
    while (slot-- > 0 && e->slot[slot] != r)
        ;
    resume_end(e, r, end == ENGINE_failed ? -1 : slot);
    if (slot >= 0)
        e->slot[slot] = NULL;
    pthread_mutex_lock(&e->lock);
    engine_count(e);
    count_end(e, r, end, slot >= 0);
    pthread_mutex_unlock(&e->lock);
    if (r->asked.end)
        r->asked.end(r->asked.user, &result);
    pthread_mutex_lock(&e->lock);
    unlink_live(e, r);
    pthread_cond_broadcast(&e->fewer);
    pthread_mutex_unlock(&e->lock);
    request_drop(r);
}

/* ---- slots --------------------------------------------------------------------------------- */

static bool
is_unwanted(const Request *r)
{
    return r->cancelled || (r->asked.gone && r->asked.gone(r->asked.user));
}

static void
sweep_queue(Engine *e, Queue *queue)
{
    for (Request **at = &queue->first; *at;) {
        Request *r = *at;
        if (!is_unwanted(r)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        engine_end(e, r, ENGINE_cancelled, NULL);
    }
}

/* Ends running and waiting requests that were cancelled or whose client has gone. */
static void
sweep(Engine *e)
{
    for (int i = 0; i < e->options.slots; i++)
        if (e->slot[i] && is_unwanted(e->slot[i]))
            engine_end(e, e->slot[i], ENGINE_cancelled, NULL);
    sweep_queue(e, &e->ready);
    sweep_queue(e, &e->idle);
}

static int
free_slot(const Engine *e)
{
    for (int i = 0; i < e->options.slots; i++)
        if (!e->slot[i])
            return i;
    return -1;
}

/* The slot of an idle request, which goes back to the queue with its state; -1: there is none. */
static int
slot_given_up(Engine *e)
{
    for (int i = e->options.slots; i-- > 0;) {
        Request *r = e->slot[i];
        if (!r->asked.idle)
            continue;
        resume_pause(e, r, i);
        e->slot[i] = NULL;
        queue_put_back(&e->idle, r);
        pthread_mutex_lock(&e->lock);
        e->counts.running--;
        e->counts.waiting++;
        pthread_mutex_unlock(&e->lock);
        return i;
    }
    return -1;
}

static ssmc_status
sampler_open(const Engine *e, Request *r)
{
    if (r->sampler || r->asked.most == 0)
        return SSMC_OK;
    const ssmc_status status = ssmc_sampler_open(&r->asked.sampling, e->vocab, &r->sampler);
    for (int64_t i = 0; i < r->asked.count && status == SSMC_OK; i++)
        ssmc_sampler_see(r->sampler, r->text[i]);
    return status;
}

static void
begin(Engine *e, Request *r, int slot)
{
    pthread_mutex_lock(&e->lock);
    e->counts.running++;
    e->counts.waiting--;
    pthread_mutex_unlock(&e->lock);
    r->began = r->began > 0 ? r->began : rt_now();
    r->place = ++e->places;
    e->slot[slot] = r;
    ssmc_status status = sampler_open(e, r);
    if (status == SSMC_OK)
        status = resume_begin(e, r, slot);
    ssmc_checkpoint_drop(r->paused);
    r->paused = NULL;
    if (status != SSMC_OK)
        engine_end(e, r, ENGINE_failed, ssmc_error());
}

static bool
runs_any(const Engine *e, bool idle)
{
    for (int i = 0; i < e->options.slots; i++)
        if (e->slot[i] && e->slot[i]->asked.idle == idle)
            return true;
    return false;
}

/* Those that are next get slots; idle ones, when nothing else runs or waits. */
static void
admit(Engine *e)
{
    while (e->ready.first) {
        int slot = free_slot(e);
        if (slot < 0)
            slot = slot_given_up(e);
        if (slot < 0)
            return;
        begin(e, queue_take(&e->ready), slot);
    }
    for (int slot; e->idle.first && !runs_any(e, false) && (slot = free_slot(e)) >= 0;)
        begin(e, queue_take(&e->idle), slot);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* Waits until there is something to do, and takes what was submitted; false: the engine closes, and
 * all requests have ended. */
static bool
take_inbox(Engine *e, bool stepped)
{
    pthread_mutex_lock(&e->lock);
    while (!stepped && !e->woken && !(e->closing && !e->newest))
        pthread_cond_wait(&e->work, &e->lock);
    e->woken = false;
    Request *r = e->inbox;
    e->inbox = NULL;
    const bool open = !e->closing || e->newest;
    pthread_mutex_unlock(&e->lock);
    while (r) {
        Request *next = r->next;
        queue_put(r->asked.idle ? &e->idle : &e->ready, r);
        r = next;
    }
    return open;
}

static void *
run(void *arg)
{
    Engine *e = arg;
    bool stepped = false;
    while (take_inbox(e, stepped)) {
        sweep(e);
        admit(e);
        resume_waiting(e);
        stepped = step_run(e);
        if (e->options.stepped)
            e->options.stepped(e->options.user);
    }
    return NULL;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void
wake_from_disk(void *user)
{
    Engine *e = user;
    pthread_mutex_lock(&e->lock);
    engine_wake(e);
    pthread_mutex_unlock(&e->lock);
}

/* Waits go by the clock that only goes forward. */
static void
signals_init(Engine *e)
{
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, &steady);
    pthread_cond_init(&e->fewer, &steady);
    pthread_condattr_destroy(&steady);
}

static void
engine_free(Engine *e)
{
    spill_close(e->spill);
    prefix_close(e->prefixes);
    ssmc_session_close(e->session);
    free((int32_t *)e->options.eos);
    free(e->slot);
    free(e->portion);
    free(e->turn);
    free(e->input);
    rows_free(&e->rows);
    pthread_cond_destroy(&e->fewer);
    pthread_cond_destroy(&e->work);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static bool
take_memory(Engine *e, const EngineOptions *o)
{
    const size_t slots = (size_t)o->slots;
    int32_t *eos = calloc(o->neos + 1, sizeof *eos);
    e->options.eos = eos;
    e->slot = calloc(slots, sizeof *e->slot);
    e->portion = calloc(slots, sizeof *e->portion);
    e->turn = calloc(slots, sizeof *e->turn);
    e->input = calloc(slots, sizeof *e->input);
    if (!eos || !e->slot || !e->portion || !e->turn || !e->input)
        return false;
    if ((o->prefix_bytes > 0 || o->cache_dir) && !(e->prefixes = prefix_open(o->prefix_bytes)))
        return false;
    if (o->neos)
        memcpy(eos, o->eos, o->neos * sizeof *eos);
    return true;
}

ssmc_status
engine_open(const EngineOptions *options, Engine **out)
{
    *out = NULL;
    Engine *e = calloc(1, sizeof *e);
    if (!e)
        return rt_fail(SSMC_NO_MEMORY, "no memory for an engine");
    signals_init(e);
    e->options = *options;
    e->vocab = ssmc_model_vocab(options->model);
    e->counts.slots = options->slots;
    ssmc_status status = SSMC_OK;
    if (options->slots < 1 || options->waiting < 0 || options->room < 1)
        status = rt_fail(SSMC_BAD_ARGUMENT, "an engine needs a slot and room for a token");
    else if (!take_memory(e, options))
        status = rt_fail(SSMC_NO_MEMORY, "no memory for an engine of %d slots", options->slots);
    if (status == SSMC_OK)
        status = ssmc_session_open_for(options->model, options->slots, options->threads,
                                       options->room, &e->session);
    if (status == SSMC_OK && options->cache_dir)
        status = spill_open(options, wake_from_disk, e, &e->spill);
    const ssmc_memory memory = ssmc_program_memory(rt_model_program(options->model), 1, 1);
    e->block = memory.block;
    e->state_bytes = memory.state;
    e->token_bytes = memory.token;
    if (status == SSMC_OK && pthread_create(&e->thread, NULL, run, e) != 0)
        status = rt_fail(SSMC_NO_MEMORY, "no thread for an engine");
    if (status == SSMC_OK) {
        *out = e;
        return SSMC_OK;
    }
    engine_free(e);
    return status;
}

/* Whatever has not ended ends as cancelled, within a step. */
static void
cancel_all(Engine *e)
{
    for (Request *r = e->newest; r; r = r->older)
        r->cancelled = true;
    engine_wake(e);
}

void
engine_drain(Engine *e, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double whole = floor(seconds < 0 ? 0 : seconds > 1e9 ? 1e9 : seconds);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((seconds < 0 ? 0 : fmin(seconds, 1e9) - whole) * 1e9);
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&e->lock);
    e->draining = true;
    while (e->newest && pthread_cond_timedwait(&e->fewer, &e->lock, &until) != ETIMEDOUT)
        ;
    cancel_all(e);
    while (e->newest)
        pthread_cond_wait(&e->fewer, &e->lock);
    pthread_mutex_unlock(&e->lock);
}

void
engine_close(Engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->draining = e->closing = true;
    cancel_all(e);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    engine_free(e);
}
