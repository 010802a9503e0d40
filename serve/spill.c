/* serve/spill.c -- states on the disk: a thread of its own, with a session of one sequence, writes
 * them behind the steps and reads them for requests that wait for one. Requests never wait for a
 * state to be written: what comes faster than the disk takes it is left out, the oldest first. The
 * directory is the runtime's cache, so that processes may share it and die at any time. */
#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"

/* States that wait to be written keep their memory: so many, and bytes, at most. */
enum { MOST_WAITING = 32, MOST_BYTES = 1 << 28 };

struct Load {
    Load *next;
    int32_t *ids; /* owns: [n] */
    int64_t n, above;
    State *state; /* held */
    bool done, abandoned;
};

typedef struct Write Write;
struct Write {
    Write *next;
    int32_t *ids; /* owns: [state->tokens] */
    State *state; /* held */
};

struct Spill {
    ssmc_cache *cache;
    ssmc_session *session;
    size_t state_bytes, token_bytes;
    SpillWake *wake;
    void *user;
    pthread_t thread;

    pthread_mutex_t lock; /* of all that follows; not held while the disk is used */
    pthread_cond_t work;
    Load *loads;
    Write *writes; /* the oldest first */
    int waiting;
    size_t waiting_bytes;
    uint64_t written, read, faults;
    char *fault; /* owns: the first; NULL: none */
    bool closing;
};

static int32_t *
copy_of(const int32_t *ids, int64_t n)
{
    int32_t *copy = malloc((size_t)n * sizeof *ids);
    if (copy)
        memcpy(copy, ids, (size_t)n * sizeof *ids);
    return copy;
}

static void
load_free(Load *load)
{
    state_drop(load->state);
    free(load->ids);
    free(load);
}

static void
write_free(Write *write)
{
    state_drop(write->state);
    free(write->ids);
    free(write);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* Counts what went wrong; the message of the first is kept. */
static void
note_fault(Spill *s, ssmc_status status)
{
    if (status == SSMC_OK)
        return;
    pthread_mutex_lock(&s->lock);
    s->faults++;
    if (!s->fault)
        s->fault = strdup(ssmc_error());
    pthread_mutex_unlock(&s->lock);
}

/* A longer prefix than the one that the request has, if the disk has one. */
static void
load_run(Spill *s, Load *load)
{
    int64_t tokens = 0;
    State *state = NULL;
    ssmc_status status = rt_cache_look(s->cache, s->session, load->ids, load->n, &tokens);
    const bool worth = status == SSMC_OK && tokens > load->above;
    if (worth) {
        status = ssmc_cache_take(s->cache, s->session, 0, load->ids, load->n, &tokens);
        const size_t bytes = s->state_bytes + (size_t)tokens * s->token_bytes;
        state = tokens > load->above ? state_take(s->session, 0, bytes, NULL) : NULL;
    }
    note_fault(s, status);
    pthread_mutex_lock(&s->lock);
    load->state = state;
    load->done = true;
    s->read += state != NULL;
    const bool abandoned = load->abandoned;
    pthread_mutex_unlock(&s->lock);
    if (abandoned)
        load_free(load);
    else
        s->wake(s->user);
}

static void
write_run(Spill *s, Write *write)
{
    ssmc_status status = ssmc_rewind(s->session, 0, write->state->checkpoint);
    if (status == SSMC_OK)
        status = ssmc_cache_put(s->cache, s->session, 0, write->ids, write->state->tokens);
    note_fault(s, status);
    pthread_mutex_lock(&s->lock);
    s->written += status == SSMC_OK;
    pthread_mutex_unlock(&s->lock);
    write_free(write);
}

/* The oldest of those that wait, under the lock. */
static Write *
next_write(Spill *s)
{
    Write *write = s->writes;
    if (!write)
        return NULL;
    s->writes = write->next;
    s->waiting--;
    s->waiting_bytes -= write->state->bytes;
    return write;
}

/* Loads go first, as requests wait for them. What waits to be written when the engine closes still
 * is. */
static void *
run(void *arg)
{
    Spill *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        Load *load = s->loads;
        if (load)
            s->loads = load->next;
        Write *write = load ? NULL : next_write(s);
        if (!load && !write) {
            if (s->closing)
                break;
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        if (load)
            load_run(s, load);
        else
            write_run(s, write);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the interface ------------------------------------------------------------------------- */

ssmc_status
spill_open(const EngineOptions *options, SpillWake *wake, void *user, Spill **out)
{
    const ssmc_memory memory = ssmc_program_memory(rt_model_program(options->model), 1, 1);
    Spill *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail(SSMC_NO_MEMORY, "no memory for a cache of states");
    *s = (Spill){
        .state_bytes = memory.state, .token_bytes = memory.token, .wake = wake, .user = user};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    ssmc_status status = ssmc_cache_open(options->cache_dir, options->cache_limit, &s->cache);
    if (status == SSMC_OK)
        status = ssmc_session_open_for(options->model, 1, 1, options->room, &s->session);
    if (status == SSMC_OK && pthread_create(&s->thread, NULL, run, s) != 0)
        status = rt_fail(SSMC_NO_MEMORY, "no thread for a cache of states");
    if (status == SSMC_OK) {
        *out = s;
        return SSMC_OK;
    }
    ssmc_session_close(s->session);
    ssmc_cache_close(s->cache);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return status;
}

void
spill_close(Spill *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    ssmc_session_close(s->session);
    ssmc_cache_close(s->cache);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s->fault);
    free(s);
}

void
spill_put(Spill *s, const int32_t *ids, State *state)
{
    Write *write = calloc(1, sizeof *write);
    int32_t *copy = copy_of(ids, state->tokens);
    if (!write || !copy) {
        free(write);
        free(copy);
        return;
    }
    *write = (Write){.ids = copy, .state = state_hold(state)};
    Write *dropped = NULL;
    pthread_mutex_lock(&s->lock);
    Write **last = &s->writes;
    while (*last)
        last = &(*last)->next;
    *last = write;
    s->waiting++;
    s->waiting_bytes += state->bytes;
    Write **end = &dropped;
    while (s->waiting > 1 && (s->waiting > MOST_WAITING || s->waiting_bytes > MOST_BYTES)) {
        *end = next_write(s);
        (*end)->next = NULL;
        end = &(*end)->next;
    }
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    while (dropped) {
        Write *next = dropped->next;
        write_free(dropped);
        dropped = next;
    }
}

Load *
spill_load(Spill *s, const int32_t *ids, int64_t n, int64_t above)
{
    Load *load = calloc(1, sizeof *load);
    int32_t *copy = copy_of(ids, n);
    if (!load || !copy) {
        free(load);
        free(copy);
        return NULL;
    }
    *load = (Load){.ids = copy, .n = n, .above = above};
    pthread_mutex_lock(&s->lock);
    Load **last = &s->loads;
    while (*last)
        last = &(*last)->next;
    *last = load;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return load;
}

bool
spill_loaded(Spill *s, Load *load, State **state)
{
    pthread_mutex_lock(&s->lock);
    const bool done = load->done;
    pthread_mutex_unlock(&s->lock);
    if (!done)
        return false;
    *state = load->state;
    load->state = NULL;
    load_free(load);
    return true;
}

void
spill_abandon(Spill *s, Load *load)
{
    pthread_mutex_lock(&s->lock);
    Load **at = &s->loads;
    while (*at && *at != load)
        at = &(*at)->next;
    const bool waits = *at != NULL, ours = waits || load->done;
    if (waits)
        *at = load->next;
    load->abandoned = true;
    pthread_mutex_unlock(&s->lock);
    if (ours)
        load_free(load);
}

void
spill_count(Spill *s, EngineCounts *counts)
{
    pthread_mutex_lock(&s->lock);
    counts->spilled = s->written;
    counts->loaded = s->read;
    counts->cache_faults = s->faults;
    counts->cache_fault = s->fault;
    pthread_mutex_unlock(&s->lock);
}
