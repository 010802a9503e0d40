/* serve/http.c -- HTTP by libmicrohttpd: connections, bodies, keys, responses that are whole and
 * responses that go on. The library's threads wait for sockets; a connection whose answer is not
 * there yet is suspended, and the engine's thread wakes it. */
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/answer.h"

/* Seconds. A head or a body may trickle, but not for longer than this in all; a connection that is
 * kept open between requests is closed after IDLE. */
enum { IDLE = 60, HEAD = 30, BODY = 120 };
/* Threads, and bytes of a connection: a head has room there, and a piece of a stream. */
enum { POOL = 4, CONNECTION_BYTES = 16384 };
/* Bytes of a body that take long to read; so many of the greatest length may be here. */
enum { LONG = 1 << 14, BODIES = 32 };

typedef enum { PHASE_first, PHASE_between, PHASE_body, PHASE_answer } Phase;

/* A connection, which has one request at a time. */
typedef struct Conn Conn;
struct Conn {
    Conn *next, **link;
    int fd;
    Phase phase;
    double since;
};

struct Http {
    Server *server;
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* of the list and its connections */
    Conn *first;
};

void
http_wake(struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
}

/* ---- connections --------------------------------------------------------------------------- */

static enum MHD_Result
on_accept(void *user, const struct sockaddr *address, socklen_t len)
{
    Http *http = user;
    Server *s = http->server;
    (void)address;
    (void)len;
    if (atomic_load(&s->connections) < s->o->connections)
        return MHD_YES;
    atomic_fetch_add(&s->metrics.turned_away, 1);
    return MHD_NO;
}

static void
on_connection(void *user, struct MHD_Connection *connection, void **socket,
              enum MHD_ConnectionNotificationCode code)
{
    Http *http = user;
    Conn *conn = *socket;
    pthread_mutex_lock(&http->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn = *socket = calloc(1, sizeof *conn);
        if (!conn)
            die_no_memory(sizeof *conn);
        conn->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        conn->since = rt_now();
        conn->next = http->first;
        conn->link = &http->first;
        if (conn->next)
            conn->next->link = &conn->next;
        http->first = conn;
        atomic_fetch_add(&http->server->connections, 1);
    } else if (conn) {
        *conn->link = conn->next;
        if (conn->next)
            conn->next->link = conn->link;
        free(conn);
        *socket = NULL;
        atomic_fetch_sub(&http->server->connections, 1);
    }
    pthread_mutex_unlock(&http->lock);
}

static void
enter_phase(Http *http, struct MHD_Connection *connection, Phase phase)
{
    Conn *conn =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    pthread_mutex_lock(&http->lock);
    if (conn) {
        conn->phase = phase;
        conn->since = rt_now();
    }
    pthread_mutex_unlock(&http->lock);
}

void
http_sweep(Http *http)
{
    static const double most[] = {[PHASE_first] = HEAD,
                                  [PHASE_between] = IDLE + HEAD,
                                  [PHASE_body] = BODY,
                                  [PHASE_answer] = -1};
    const double now = rt_now();
    pthread_mutex_lock(&http->lock);
    for (const Conn *conn = http->first; conn; conn = conn->next)
        if (most[conn->phase] >= 0 && now - conn->since > most[conn->phase])
            shutdown(conn->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->lock);
}

/* ---- the head of a request ----------------------------------------------------------------- */

static const char *
header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void
put_client(Exchange *ex, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    const void *bytes = NULL;
    if (address && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address && address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (bytes)
        inet_ntop(address->sa_family, bytes, ex->client, sizeof ex->client);
}

/* In a time that does not depend on where they differ. */
static bool
same_key(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    unsigned char differs = na != nb;
    for (size_t i = 0; i < na; i++)
        differs |= (unsigned char)(a[i] ^ b[nb ? i % nb : 0]);
    return !differs;
}

static bool
check_key(Exchange *ex, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const ServeOptions *o = ex->server->o;
    const char *given = header(connection, "Authorization");
    if (o->nkeys == 0)
        return true;
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
        return refuse(ex, 401, NULL, "invalid_api_key",
                      "an API key is wanted, in a header Authorization: Bearer KEY");
    given += sizeof scheme - 1;
    for (int i = 0; i < o->nkeys; i++)
        if (same_key(given, o->api_keys[i]))
            ex->key = o->api_keys[i];
    return ex->key ||
           refuse(ex, 401, NULL, "invalid_api_key", "the API key is not one of this server's");
}

static void
check_route(Exchange *ex, struct MHD_Connection *connection, const char *method, const char *path)
{
    ex->route = route_find(method, path, &ex->allow);
    if (ex->route) {
        if (ex->route->key)
            check_key(ex, connection);
    } else if (strcmp(method, "OPTIONS") == 0 && ex->server->o->origin && ex->allow.len) {
        ex->status = 204; /* a browser asks what another page may send */
    } else if (ex->allow.len) {
        refuse(ex, 405, NULL, "method_not_allowed", "%s takes %s, not %.20s", path, ex->allow.text,
               method);
    } else {
        refuse(ex, 404, NULL, "unknown_url", "there is no %.20s %.200s here%s", method, path,
               strncmp(path, "/v1/", 4) == 0 && strcmp(method, "POST") == 0
                   ? "; answers are made by /v1/chat/completions and /v1/completions"
                   : "");
    }
}

static void
check_size(Exchange *ex, struct MHD_Connection *connection)
{
    const char *text = header(connection, "Content-Length");
    const size_t most = ex->server->o->body;
    if (text && strtoull(text, NULL, 10) > most)
        refuse(ex, 413, NULL, "body_too_large", "the body has %s bytes; at most %zu are taken",
               text, most);
}

static Exchange *
begin(Http *http, struct MHD_Connection *connection, const char *method, const char *path)
{
    Exchange *ex = exchange_new(http->server);
    ex->connection = connection;
    ex->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    ex->path = strdup(path);
    if (!ex->path)
        die_no_memory(strlen(path));
    put_client(ex, connection);
    check_size(ex, connection);
    check_route(ex, connection, method, path);
    enter_phase(http, connection, PHASE_body);
    return ex;
}

/* ---- responses ----------------------------------------------------------------------------- */

static void
add(struct MHD_Response *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value);
}

static void
add_headers(const Exchange *ex, struct MHD_Response *response)
{
    const ServeOptions *o = ex->server->o;
    char number[32];
    if (ex->type)
        add(response, "Content-Type", ex->type);
    add(response, "Cache-Control", "no-store");
    add(response, "X-Content-Type-Options", "nosniff");
    if (ex->stream)
        add(response, "X-Accel-Buffering", "no"); /* nginx: pass it on as it comes */
    if (ex->type == type_page)
        add(response, "Content-Security-Policy", page_policy);
    if (ex->status == 405)
        add(response, "Allow", sb_text(&ex->allow));
    if (ex->status == 401)
        add(response, "WWW-Authenticate", "Bearer");
    if (ex->fault.retry > 0) {
        snprintf(number, sizeof number, "%.0f", ex->fault.retry < 1 ? 1 : ex->fault.retry + 0.5);
        add(response, "Retry-After", number);
    }
    if (!o->origin)
        return;
    add(response, "Access-Control-Allow-Origin", o->origin);
    add(response, "Vary", "Origin");
    if (ex->status == 204) {
        add(response, "Access-Control-Allow-Methods", sb_text(&ex->allow));
        add(response, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        add(response, "Access-Control-Max-Age", "86400");
    }
}

static void
drop_sent(Exchange *ex)
{
    enum { MUCH = 1 << 16 };
    if (ex->sent < ex->out.len && ex->sent < MUCH)
        return;
    memmove(ex->out.text, ex->out.text + ex->sent, ex->out.len - ex->sent);
    ex->out.len -= ex->sent;
    ex->sent = 0;
}

/* The connection looks at what has come. False: a thread of work has the exchange. */
static bool
look(Exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    const bool here = !ex->away;
    ex->news = false;
    pthread_mutex_unlock(&ex->lock);
    if (here)
        answer_pump(ex);
    return here;
}

/* Under the lock: the connection sleeps until it is woken. False: there is news to look at first.
 */
static bool
fall_asleep(Exchange *ex)
{
    if (ex->news)
        return false;
    ex->asleep = true;
    MHD_suspend_connection(ex->connection);
    return true;
}

/* More of a response that goes on; nothing there: the connection sleeps until there is. */
static ssize_t
on_more(void *user, uint64_t at, char *buffer, size_t most)
{
    Exchange *ex = user;
    bool again = true;
    ssize_t result = 0;
    (void)at;
    while (again) {
        look(ex);
        pthread_mutex_lock(&ex->lock);
        const size_t left = ex->out.len - ex->sent, n = left < most ? left : most;
        result = (ssize_t)n;
        again = n == 0 && !ex->whole && !fall_asleep(ex);
        if (n > 0) {
            memcpy(buffer, ex->out.text + ex->sent, n);
            ex->sent += n;
            drop_sent(ex);
        } else if (ex->whole) {
            result = MHD_CONTENT_READER_END_OF_STREAM;
        }
        pthread_mutex_unlock(&ex->lock);
    }
    return result;
}

static enum MHD_Result
queue(Exchange *ex, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    add_headers(ex, response);
    const enum MHD_Result result =
        MHD_queue_response(ex->connection, (unsigned)ex->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The response, or a connection that sleeps until there is one. */
static enum MHD_Result
respond(Exchange *ex)
{
    enum { PIECE = 4096 };
    bool stream = false, whole = false, asleep = false;
    while (!stream && !whole && !asleep) {
        const bool here = look(ex);
        pthread_mutex_lock(&ex->lock);
        const bool refused = here && ex->fault.status && !ex->stream && !ex->whole;
        pthread_mutex_unlock(&ex->lock);
        if (refused)
            reply_fault(ex);
        if (here && ex->status == 204)
            return queue(ex, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        pthread_mutex_lock(&ex->lock);
        stream = here && ex->stream;
        whole = here && ex->whole;
        asleep = !stream && !whole && fall_asleep(ex);
        pthread_mutex_unlock(&ex->lock);
    }
    if (stream)
        return queue(ex,
                     MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, on_more, ex, NULL));
    if (whole)
        return queue(
            ex, MHD_create_response_from_buffer(ex->out.len, ex->out.text, MHD_RESPMEM_PERSISTENT));
    return MHD_YES;
}

/* ---- requests ------------------------------------------------------------------------------ */

/* All bodies together have no more than BODIES times the bytes that one may have. Bytes of a
 * request that is refused are dropped; false: so many that the connection is closed. */
static bool
take_body(Exchange *ex, const char *bytes, size_t len)
{
    const size_t most = ex->server->o->body;
    if (len > most - ex->body.len && !ex->fault.status)
        refuse(ex, 413, NULL, "body_too_large",
               "the body is longer than the %zu bytes that are taken", most);
    if (!ex->fault.status && atomic_fetch_add(&ex->server->bodies, len) + len > BODIES * most) {
        atomic_fetch_sub(&ex->server->bodies, len);
        refuse(ex, 503, NULL, "overloaded", "too many long requests are here at the same time");
        ex->fault.retry = 1;
    }
    if (!ex->fault.status) {
        sb_putn(&ex->body, bytes, len);
        return true;
    }
    atomic_fetch_sub(&ex->server->bodies, ex->body.len);
    sb_free(&ex->body);
    ex->sent += len;
    return ex->sent <= most;
}

/* Whether a thread of work is to read it: its ids, or the grammar that it may ask for, can take
 * longer than others of this thread's connections should wait. */
static bool
takes_long(const Exchange *ex)
{
    static const char *const words[] = {"grammar", "schema", "tools"};
    if (ex->body.len > LONG)
        return true;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strstr(sb_text(&ex->body), words[i]))
            return true;
    return false;
}

static enum MHD_Result
on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
           const char *version, const char *bytes, size_t *len, void **state)
{
    Http *http = user;
    Exchange *ex = *state;
    (void)version;
    if (!ex) {
        ex = *state = begin(http, connection, method, path);
        return ex->fault.status == 413 ? respond(ex) : MHD_YES;
    }
    if (*len > 0) {
        const bool ok = take_body(ex, bytes, *len);
        *len = 0;
        return ok ? MHD_YES : MHD_NO;
    }
    if (!ex->begun) {
        ex->begun = true;
        ex->sent = 0;
        enter_phase(http, connection, PHASE_answer);
        const bool asks = ex->route && !ex->fault.status;
        if (asks && !(takes_long(ex) && work_give(http->server->work, ex, ex->route->answer)))
            ex->route->answer(ex);
    }
    return respond(ex);
}

static void
on_end(void *user, struct MHD_Connection *connection, void **state,
       enum MHD_RequestTerminationCode code)
{
    Http *http = user;
    Exchange *ex = *state;
    if (!ex)
        return;
    *state = NULL;
    wakes_forget(ex->server->wakes, ex);
    pthread_mutex_lock(&ex->lock);
    ex->fd = -1;
    ex->asleep = false;
    ex->until = rt_now();
    pthread_mutex_unlock(&ex->lock);
    answer_leave(ex, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    exchange_drop(ex);
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        enter_phase(http, connection, PHASE_between);
}

/* ---- the socket ---------------------------------------------------------------------------- */

static int
listen_on(const struct addrinfo *a)
{
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void
put_address(int fd, char *out, size_t size)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0)
        getnameinfo((struct sockaddr *)&bound, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, size, bound.ss_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host,
             port);
}

static int
open_socket(const ServeOptions *o, char *address, size_t size, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[16];
    snprintf(port, sizeof port, "%d", o->port);
    const int error = getaddrinfo(o->host, port, &hints, &list);
    if (error) {
        *why = gai_strerror(error);
        return -1;
    }
    const int fd = listen_on(list);
    if (fd < 0)
        *why = strerror(errno);
    else
        put_address(fd, address, size);
    freeaddrinfo(list);
    return fd;
}

Http *
http_open(Server *server, char *address, size_t size, const char **why)
{
    const ServeOptions *o = server->o;
    const int fd = open_socket(o, address, size, why);
    if (fd < 0)
        return NULL;
    Http *http = calloc(1, sizeof *http);
    if (!http)
        die_no_memory(sizeof *http);
    http->server = server;
    pthread_mutex_init(&http->lock, NULL);
    /* The limit of connections is ours (on_accept): the library would leave those beyond it waiting
     * to be accepted, and it divides its own among the threads. */
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, http, on_request,
        http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)POOL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(o->connections + 1) * POOL,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, http, MHD_OPTION_END);
    if (http->daemon)
        return http;
    *why = "the HTTP library cannot start its threads";
    close(fd);
    free(http);
    return NULL;
}

void
http_close(Http *http)
{
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
