/* bench/load/clients.c -- see load.h. Each client has one connection, which it keeps while the
 * server does, and one request at a time; one thread and poll() for all of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"

enum { STALLED_SECONDS = 300 };

typedef struct {
    int fd;      /* -1: not connected */
    Ask *ask;    /* NULL: it has nothing to ask for */
    size_t sent; /* bytes of the request */
    double begun, last,
        wait_until; /* the request; the last event with text, 0: none yet; after a refusal */
    bool reused;    /* the connection has answered before: the server may just have closed it */
    Reply reply;
} Client;

typedef struct {
    const LoadOptions *options;
    Ask *asks;
    LoadResult *result;
    bool alone;
    int next; /* request that is asked for next */
    double begun;
} Load;

static void
disconnect(Client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->reused = false;
}

static bool
connect_to(const LoadOptions *o, Client *c)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)o->port),
                               .sin6_addr = in6addr_loopback};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_six = strchr(o->host, ':') != NULL;
    c->fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    const int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const struct sockaddr *address =
        is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    if (connect(c->fd, address, is_six ? sizeof six : sizeof four) == 0 &&
        fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0)
        return true;
    disconnect(c);
    return false;
}

static void
note_fault(Load *load, const Client *c, const char *what)
{
    if (load->result->fault[0])
        return;
    const Answer *a = &c->reply.answer;
    snprintf(load->result->fault, sizeof load->result->fault,
             "request %d: %s; status %d, %zu bytes, finish '%s': %.*s", (int)(c->ask - load->asks),
             what, a->status, a->text.len, a->finish, a->text.len < 200 ? (int)a->text.len : 200,
             a->text.data ? a->text.data : "");
}

/* The next request of a client; NULL: no more. */
static Ask *
choose(Load *load)
{
    const int index = load->next++;
    if (load->alone)
        return index < load->options->distinct ? &load->asks[index] : NULL;
    return clock_now() - load->begun < load->options->seconds
               ? &load->asks[index % load->options->distinct]
               : NULL;
}

static void
begin(Load *load, Client *c)
{
    c->sent = 0;
    c->last = 0;
    c->begun = clock_now();
    reply_begin(&c->reply, load->options->chat);
    if (c->fd < 0 && !connect_to(load->options, c)) {
        note_fault(load, c, "no connection");
        load->result->failed++;
        c->ask = NULL;
    }
}

static bool
same(const Answer *a, const Answer *b)
{
    return a->text.len == b->text.len && a->drawn == b->drawn && a->prompt == b->prompt &&
           strcmp(a->finish, b->finish) == 0 &&
           (a->text.len == 0 || memcmp(a->text.data, b->text.data, a->text.len) == 0);
}

static void
count(Load *load, Client *c)
{
    LoadResult *r = load->result;
    Answer *a = &c->reply.answer;
    r->complete++;
    r->prompt += a->prompt;
    r->cached += a->cached;
    r->drawn += a->drawn;
    times_add(&r->whole, clock_now() - c->begun);
    if (load->alone) {
        const Answer empty = c->ask->alone;
        c->ask->alone = *a;
        *a = empty;
        r->equal++;
    } else if (same(a, &c->ask->alone)) {
        r->equal++;
    } else {
        note_fault(load, c, "not the answer that was made alone");
    }
}

/* The reply has ended, or the connection has; then the client asks for the next. */
static void
end(Load *load, Client *c, bool whole)
{
    Answer *a = &c->reply.answer;
    const bool again = !whole && c->reused && a->status == 0; /* closed between two requests */
    if (!whole || c->reply.closing)
        disconnect(c);
    else
        c->reused = true;
    if (again) {
        begin(load, c);
        return;
    }
    if (whole && (a->status == 429 || a->status == 503)) {
        load->result->refused++;
        c->wait_until =
            clock_now() + (c->reply.retry > 0 && c->reply.retry < 5 ? c->reply.retry : 0.2);
        return;
    }
    load->result->requests++;
    if (whole && a->status == 200 && a->complete) {
        count(load, c);
    } else {
        load->result->failed++;
        note_fault(load, c, whole ? "not complete" : "the connection ended");
    }
    c->ask = choose(load);
    if (c->ask)
        begin(load, c);
}

static void
push(Load *load, Client *c)
{
    const ssize_t n = send(c->fd, c->ask->bytes + c->sent, c->ask->len - c->sent, MSG_NOSIGNAL);
    if (n > 0)
        c->sent += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        end(load, c, false);
}

static void
pull(Load *load, Client *c)
{
    char data[65536];
    const ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            end(load, c, false);
        return;
    }
    reply_take(&c->reply, data, (size_t)n);
    const double now = clock_now();
    if (c->reply.fresh > 0) {
        if (c->last > 0)
            times_add(&load->result->between, now - c->last);
        else
            times_add(&load->result->first, now - c->begun);
        for (int i = 1; i < c->reply.fresh; i++) /* they came together */
            times_add(&load->result->between, 0);
        c->last = now;
    }
    if (c->reply.state == REPLY_done || c->reply.state == REPLY_broken)
        end(load, c, c->reply.state == REPLY_done);
}

/* What is waited for; false: nothing, as no client has anything to ask for. */
static bool
prepare(Load *load, Client *clients, struct pollfd *polls, int count)
{
    bool any = false;
    const double now = clock_now();
    for (int i = 0; i < count; i++) {
        Client *c = &clients[i];
        polls[i] = (struct pollfd){.fd = -1};
        if (!c->ask)
            continue;
        any = true;
        if (c->wait_until > 0) {
            if (now < c->wait_until)
                continue;
            c->wait_until = 0;
            begin(load, c);
            if (!c->ask)
                continue;
        }
        if (now - (c->last > 0 ? c->last : c->begun) > STALLED_SECONDS) {
            note_fault(load, c, "nothing came for five minutes");
            end(load, c, false);
            if (!c->ask)
                continue;
        }
        polls[i] = (struct pollfd){.fd = c->fd,
                                   .events = c->sent < c->ask->len ? POLLIN | POLLOUT : POLLIN};
    }
    return any;
}

static bool
run(Load *load, int count)
{
    Client *clients = calloc((size_t)count, sizeof *clients);
    struct pollfd *polls = calloc((size_t)count, sizeof *polls);
    if (!clients || !polls) {
        free(clients);
        free(polls);
        return false;
    }
    load->begun = clock_now();
    for (int i = 0; i < count; i++) {
        clients[i].fd = -1;
        if ((clients[i].ask = choose(load)) != NULL)
            begin(load, &clients[i]);
    }
    while (prepare(load, clients, polls, count)) {
        if (poll(polls, (nfds_t)count, 100) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < count; i++) {
            if (polls[i].fd >= 0 && (polls[i].revents & POLLOUT) &&
                clients[i].sent < clients[i].ask->len)
                push(load, &clients[i]);
            if (polls[i].fd >= 0 && polls[i].fd == clients[i].fd && (polls[i].revents & ~POLLOUT))
                pull(load, &clients[i]);
        }
    }
    load->result->seconds = clock_now() - load->begun;
    for (int i = 0; i < count; i++) {
        disconnect(&clients[i]);
        reply_free(&clients[i].reply);
    }
    free(clients);
    free(polls);
    return true;
}

bool
load_alone(const LoadOptions *options, Ask *asks, LoadResult *result)
{
    Load load = {.options = options, .asks = asks, .result = result, .alone = true};
    return run(&load, 1) && result->complete == (uint64_t)options->distinct;
}

void
load_together(const LoadOptions *options, Ask *asks, LoadResult *result)
{
    Load load = {.options = options, .asks = asks, .result = result};
    run(&load, options->clients);
}
