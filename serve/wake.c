/* serve/wake.c -- connections that have something new to send go on, many at a time; clients that
 * close their side are seen. */
#include "serve/wake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "serve/server.h"

struct Wakes {
    pthread_mutex_t lock;
    Exchange *first;   /* that sleep, in no order */
    Exchange *watched; /* by watched_next, in no order */
    bool flushed, stopped;
    int poll, flush; /* epoll of the sockets and of `flush`, an eventfd; -1: none */
    pthread_t thread;
};

/* ---- the thread ---------------------------------------------------------------------------- */

/* The client of exchange `number` has closed its side; the exchange may have ended meanwhile. */
static void
note_gone(Wakes *wakes, uint64_t number)
{
    pthread_mutex_lock(&wakes->lock);
    for (Exchange *ex = wakes->watched; ex; ex = ex->watched_next)
        if (ex->number == number)
            atomic_store(&ex->gone, true);
    pthread_mutex_unlock(&wakes->lock);
}

static void
take_flush(Wakes *wakes)
{
    uint64_t count;
    pthread_mutex_lock(&wakes->lock);
    Exchange *ex = wakes->first;
    wakes->first = NULL;
    wakes->flushed = false;
    while (read(wakes->flush, &count, sizeof count) < 0 && errno == EINTR)
        ;
    pthread_mutex_unlock(&wakes->lock);
    while (ex) {
        Exchange *next = ex->next; /* a connection that goes on may end its exchange */
        http_wake(ex->connection);
        ex = next;
    }
}

static const uint64_t FLUSH = UINT64_MAX; /* no exchange's number */

static void *
wake_thread(void *user)
{
    enum { MOST = 64 };
    Wakes *wakes = user;
    struct epoll_event event[MOST];
    for (bool stopped = false; !stopped;) {
        const int n = epoll_wait(wakes->poll, event, MOST, -1);
        for (int i = 0; i < n; i++)
            if (event[i].data.u64 == FLUSH)
                take_flush(wakes);
            else
                note_gone(wakes, event[i].data.u64);
        pthread_mutex_lock(&wakes->lock);
        stopped = wakes->stopped && !wakes->first;
        pthread_mutex_unlock(&wakes->lock);
    }
    return NULL;
}

/* ---- calls --------------------------------------------------------------------------------- */

static void
flush(Wakes *wakes)
{
    const uint64_t one = 1;
    wakes->flushed = true;
    while (write(wakes->flush, &one, sizeof one) < 0 && errno == EINTR)
        ;
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
    if (wakes->first && !wakes->flushed)
        flush(wakes);
    pthread_mutex_unlock(&wakes->lock);
}

void
wakes_watch(Wakes *wakes, Exchange *ex)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.u64 = ex->number};
    pthread_mutex_lock(&wakes->lock);
    ex->watched_link = &wakes->watched;
    ex->watched_next = wakes->watched;
    if (ex->watched_next)
        ex->watched_next->watched_link = &ex->watched_next;
    wakes->watched = ex;
    pthread_mutex_unlock(&wakes->lock);
    /* If this fails, a client that leaves is not seen, and its answer is made to the end. */
    epoll_ctl(wakes->poll, EPOLL_CTL_ADD, ex->fd, &event);
}

void
wakes_forget(Wakes *wakes, Exchange *ex)
{
    pthread_mutex_lock(&wakes->lock);
    const bool watched = ex->watched_link;
    if (watched) {
        *ex->watched_link = ex->watched_next;
        if (ex->watched_next)
            ex->watched_next->watched_link = ex->watched_link;
        ex->watched_link = NULL;
    }
    pthread_mutex_unlock(&wakes->lock);
    if (watched)
        epoll_ctl(wakes->poll, EPOLL_CTL_DEL, ex->fd, NULL);
}

/* ---- its life ------------------------------------------------------------------------------ */

static int
start(Wakes *wakes)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = FLUSH};
    wakes->poll = epoll_create1(EPOLL_CLOEXEC);
    wakes->flush = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wakes->poll < 0 || wakes->flush < 0 ||
        epoll_ctl(wakes->poll, EPOLL_CTL_ADD, wakes->flush, &event) < 0)
        return errno;
    return pthread_create(&wakes->thread, NULL, wake_thread, wakes);
}

Wakes *
wakes_open(void)
{
    Wakes *wakes = calloc(1, sizeof *wakes);
    if (!wakes)
        die_no_memory(sizeof *wakes);
    pthread_mutex_init(&wakes->lock, NULL);
    const int error = start(wakes);
    if (!error)
        return wakes;
    wakes->stopped = true;
    wakes_free(wakes);
    errno = error;
    return NULL;
}

void
wakes_stop(Wakes *wakes)
{
    if (!wakes)
        return;
    pthread_mutex_lock(&wakes->lock);
    const bool first = !wakes->stopped;
    wakes->stopped = true;
    flush(wakes);
    pthread_mutex_unlock(&wakes->lock);
    if (first)
        pthread_join(wakes->thread, NULL);
}

void
wakes_free(Wakes *wakes)
{
    if (!wakes)
        return;
    if (wakes->poll >= 0)
        close(wakes->poll);
    if (wakes->flush >= 0)
        close(wakes->flush);
    pthread_mutex_destroy(&wakes->lock);
    free(wakes);
}
