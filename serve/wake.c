/* serve/wake.c -- connections that have something new to send go on, many at a time. */
#include "serve/wake.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/server.h"

struct Wakes {
    pthread_mutex_t lock;
    pthread_cond_t something;
    Exchange *first; /* in no order */
    bool flushed, stopped;
    pthread_t thread;
};

/* Those that are to be woken; NULL: it ends. */
static Exchange *
take(Wakes *wakes)
{
    pthread_mutex_lock(&wakes->lock);
    while (!(wakes->flushed && wakes->first) && !wakes->stopped)
        pthread_cond_wait(&wakes->something, &wakes->lock);
    Exchange *first = wakes->first;
    wakes->first = NULL;
    wakes->flushed = false;
    pthread_mutex_unlock(&wakes->lock);
    return first;
}

static void *
wake_thread(void *user)
{
    Wakes *wakes = user;
    for (Exchange *ex; (ex = take(wakes));)
        while (ex) {
            Exchange *next = ex->next; /* a connection that goes on may end its exchange */
            http_wake(ex->connection);
            ex = next;
        }
    return NULL;
}

Wakes *
wakes_open(void)
{
    Wakes *wakes = calloc(1, sizeof *wakes);
    if (!wakes)
        die_no_memory(sizeof *wakes);
    pthread_mutex_init(&wakes->lock, NULL);
    pthread_cond_init(&wakes->something, NULL);
    const int error = pthread_create(&wakes->thread, NULL, wake_thread, wakes);
    if (!error)
        return wakes;
    pthread_mutex_destroy(&wakes->lock);
    pthread_cond_destroy(&wakes->something);
    free(wakes);
    errno = error;
    return NULL;
}

void
wakes_add(Wakes *wakes, Exchange *ex)
{
    pthread_mutex_lock(&wakes->lock);
    const bool stopped = wakes->stopped;
    if (!stopped) {
        ex->next = wakes->first;
        wakes->first = ex;
    }
    pthread_mutex_unlock(&wakes->lock);
    if (stopped)
        http_wake(ex->connection);
}

void
wakes_flush(Wakes *wakes)
{
    pthread_mutex_lock(&wakes->lock);
    if (wakes->first && !wakes->flushed) {
        wakes->flushed = true;
        pthread_cond_signal(&wakes->something);
    }
    pthread_mutex_unlock(&wakes->lock);
}

void
wakes_stop(Wakes *wakes)
{
    if (!wakes)
        return;
    pthread_mutex_lock(&wakes->lock);
    const bool first = !wakes->stopped;
    wakes->stopped = true;
    pthread_cond_signal(&wakes->something);
    pthread_mutex_unlock(&wakes->lock);
    if (first)
        pthread_join(wakes->thread, NULL);
}

void
wakes_free(Wakes *wakes)
{
    if (!wakes)
        return;
    pthread_mutex_destroy(&wakes->lock);
    pthread_cond_destroy(&wakes->something);
    free(wakes);
}
