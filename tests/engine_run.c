/* tests/engine_run.c -- see engine_run.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/engine_run.h"

static bool
on_token(void *user, const EngineToken *token)
{
    Asked *a = user;
    pthread_mutex_lock(&a->lock);
    const int at = a->got++;
    if (at < MOST) {
        a->id[at] = token->id;
        a->index[at] = token->index;
        a->logprob[at] = token->logprob;
        if (token->ntop)
            memcpy(a->top[at], token->top, (size_t)token->ntop * sizeof *token->top);
    }
    pthread_cond_broadcast(&a->change);
    while (a->got == a->holds)
        pthread_cond_wait(&a->change, &a->lock);
    const bool more = a->enough == 0 || a->got < a->enough;
    pthread_mutex_unlock(&a->lock);
    return more;
}

static void
on_end(void *user, const EngineResult *result)
{
    Asked *a = user;
    pthread_mutex_lock(&a->lock);
    a->result = *result;
    if (result->error)
        snprintf(a->error, sizeof a->error, "%s", result->error);
    if (a->order)
        a->place = (*a->order)++;
    a->ended = true;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
}

static bool
is_gone(void *user)
{
    Asked *a = user;
    pthread_mutex_lock(&a->lock);
    const bool gone = a->gone;
    pthread_mutex_unlock(&a->lock);
    return gone;
}

Asked *
asked_new(const ModelRun *run, int kind, int64_t count, int64_t most)
{
    Asked *a = calloc(1, sizeof *a);
    if (!a || count > MOST)
        die("no request of %lld ids", (long long)count);
    if (run)
        model_run_ids(run, kind, a->prompt, count);
    a->asked = (EngineRequest){
        .ids = a->prompt,
        .count = count,
        .most = most,
        .top = -1,
        .ignore_eos = true,
        .token = on_token,
        .gone = is_gone,
        .end = on_end,
        .user = a,
    };
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->change, NULL);
    return a;
}

void
asked_free(Asked *a)
{
    pthread_cond_destroy(&a->change);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void
asked_wait(Asked *a, int got)
{
    pthread_mutex_lock(&a->lock);
    while (a->got < got && !a->ended)
        pthread_cond_wait(&a->change, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void
asked_end(Asked *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->ended)
        pthread_cond_wait(&a->change, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void
asked_release(Asked *a)
{
    pthread_mutex_lock(&a->lock);
    a->holds = 0;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
}

void
asked_leave(Asked *a)
{
    pthread_mutex_lock(&a->lock);
    a->gone = true;
    pthread_mutex_unlock(&a->lock);
}

uint64_t
engine_take(Engine *engine, Asked *a)
{
    uint64_t handle = 0;
    double retry = 0;
    const EngineAnswer answer = engine_submit(engine, &a->asked, &handle, &retry);
    if (answer != ENGINE_taken || handle == 0)
        die("a request is not taken: %d", (int)answer);
    return handle;
}

Engine *
engine_of(const ModelRun *run, EngineOptions options)
{
    Engine *engine = NULL;
    options.model = run ? model_run_model(run) : options.model;
    options.slots = options.slots ? options.slots : 4;
    options.threads = options.threads ? options.threads : 1;
    options.room = options.room ? options.room : 1024;
    options.waiting = options.waiting ? options.waiting : 64;
    options.latency = options.latency > 0 ? options.latency : 0.05;
    if (engine_open(&options, &engine) != SSMC_OK)
        die("no engine: %s", ssmc_error());
    return engine;
}
