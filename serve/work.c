/* serve/work.c -- exchanges wait here for a thread that has time for them. */
#include "serve/work.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "serve/server.h"

enum { THREADS = 2, YIELDS = 10 };

struct Work {
    pthread_mutex_t lock;
    pthread_cond_t something;
    Exchange *first, **last;
    bool closing;
    int count;
    pthread_t threads[THREADS]; /* [count] */
};

/* The next, or NULL: there will be none. */
static Exchange *
take(Work *work)
{
    pthread_mutex_lock(&work->lock);
    while (!work->first && !work->closing)
        pthread_cond_wait(&work->something, &work->lock);
    Exchange *ex = work->first;
    if (ex)
        work->first = ex->next;
    if (!work->first)
        work->last = &work->first;
    pthread_mutex_unlock(&work->lock);
    return ex;
}

static void *
work_thread(void *user)
{
    Work *work = user;
    setpriority(PRIO_PROCESS, 0, YIELDS); /* of this thread alone, on Linux: steps go before it */
    for (Exchange *ex; (ex = take(work));) {
        ex->job(ex);
        pthread_mutex_lock(&ex->lock);
        ex->away = false;
        exchange_wake(ex);
        pthread_mutex_unlock(&ex->lock);
        wakes_flush(ex->server->wakes);
        exchange_drop(ex);
    }
    return NULL;
}

Work *
work_open(void)
{
    Work *work = calloc(1, sizeof *work);
    if (!work)
        die_no_memory(sizeof *work);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->something, NULL);
    work->last = &work->first;
    int error = 0;
    for (int i = 0; i < THREADS && !error; i++) {
        error = pthread_create(&work->threads[i], NULL, work_thread, work);
        work->count += !error;
    }
    if (!error)
        return work;
    work_stop(work);
    work_free(work);
    errno = error;
    return NULL;
}

bool
work_give(Work *work, Exchange *ex, void (*job)(Exchange *ex))
{
    exchange_take(ex);
    pthread_mutex_lock(&work->lock);
    const bool taken = !work->closing;
    if (taken) {
        ex->job = job;
        ex->next = NULL;
        pthread_mutex_lock(&ex->lock);
        ex->away = true;
        pthread_mutex_unlock(&ex->lock);
        *work->last = ex;
        work->last = &ex->next;
        pthread_cond_signal(&work->something);
    }
    pthread_mutex_unlock(&work->lock);
    if (!taken)
        exchange_drop(ex);
    return taken;
}

void
work_stop(Work *work)
{
    pthread_mutex_lock(&work->lock);
    work->closing = true;
    pthread_cond_broadcast(&work->something);
    pthread_mutex_unlock(&work->lock);
    for (; work->count > 0; work->count--)
        pthread_join(work->threads[work->count - 1], NULL);
}

void
work_free(Work *work)
{
    if (!work)
        return;
    pthread_mutex_destroy(&work->lock);
    pthread_cond_destroy(&work->something);
    free(work);
}
