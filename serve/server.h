/* serve/server.h -- private to serve/: a request of HTTP on its way through the server.
 *
 * Threads: a connection belongs to one thread of the pool, which reads its requests, asks the
 * engine, and sends answers. The engine's threads tell what comes of them: they write into the
 * exchange under its lock, and after the step the connections that slept as they had nothing to
 * send are woken. */
#ifndef SSMC_SERVE_SERVER_H
#define SSMC_SERVE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "serve/grammars.h"
#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/request.h"
#include "serve/serve.h"
#include "serve/wake.h"
#include "serve/work.h"

typedef struct Server Server;
typedef struct Answer Answer;
struct MHD_Connection;

struct Server {
    const ServeOptions *o;
    Engine *engine;
    Log *log;
    Work *work;
    Wakes *wakes;
    Metrics metrics;
    int64_t vocab;
    GrammarVocab *words;      /* bytes of the ids, for grammars */
    GrammarVocab *call_words; /* with the marks of calls, for grammars of calls; NULL: no chat */
    Grammar *any_json;        /* of response_format json_object */
    Grammars *grammars;
    int32_t *around; /* [naround] ids that the tokenizer puts before every text */
    size_t naround;
    int64_t started; /* seconds since 1970 */
    atomic_bool draining;
    atomic_size_t bodies;              /* bytes of bodies that are here */
    atomic_int connections, exchanges; /* open; not freed yet */
    atomic_int telling;                /* choices whose ids come */
    atomic_ullong requests;            /* so far: part of ids */
    uint64_t salt;                     /* of ids and seeds */
};

/* ---- exchange: a request and its response (exchange.c) --------------------------------------- */

typedef struct {
    const char *method, *path;
    void (*answer)(Exchange *ex);
    bool key;
} Route;

struct Exchange {
    Server *server;
    const Route *route;  /* NULL: there is none of that path and method */
    char client[64];     /* address */
    char *path;          /* owns */
    const char *key;     /* that it came with, of the options; NULL: none */
    double since, until; /* rt_now, when its head was there, and when its connection was done */
    int64_t created;     /* seconds since 1970 */
    uint64_t number;
    atomic_bool gone;                       /* the client has closed its side (wake.h) */
    Exchange *watched_next, **watched_link; /* there; NULL: it is not watched */
    StrBuf body;
    Body request;
    Fault fault;  /* what it is refused for */
    StrBuf allow; /* methods of a 405 */
    bool begun;   /* the body is there, and the route was asked */

    pthread_mutex_t lock; /* of all that follows, while the engine has a part in it */
    int refs;             /* the connection's and one of each request to the engine */
    struct MHD_Connection *connection;
    int fd;         /* -1: the connection is through with it */
    bool asleep;    /* the connection waits to be woken */
    bool news;      /* since it last looked: it must not fall asleep */
    double woken;   /* rt_now, when it was for an id of the answer; 0: never */
    bool away;      /* a thread of work has it: the connection leaves it alone */
    Exchange *next; /* there, or of those that are to be woken */
    void (*job)(Exchange *ex);
    Answer *answer;
    int status;
    const char *type; /* of the content */
    StrBuf out;
    size_t sent; /* bytes of out, which may be dropped */
    bool stream; /* out goes on while it is sent, until it is whole */
    bool whole;
};

Exchange *exchange_new(Server *server);
void exchange_take(Exchange *ex);
/* The last one frees it, and writes its line of the log. */
void exchange_drop(Exchange *ex);
/* Under its lock: there is something new to send, once wakes_flush was called. */
void exchange_wake(Exchange *ex);
/* Whether nobody wants the answer any more, by a look at the socket. Any thread. */
bool exchange_gone(Exchange *ex);
/* A response that is whole: takes over text. */
void reply(Exchange *ex, int status, const char *type, StrBuf *text);
/* Of a fault, in OpenAI's form. */
void fault_put(const Fault *fault, StrBuf *out);
void reply_fault(Exchange *ex);
bool refuse(Exchange *ex, int status, const char *param, const char *code, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
extern const char type_json[];

/* http.c: a connection that sleeps goes on. */
void http_wake(struct MHD_Connection *connection);

/* ---- texts and ids (text.c) --------------------------------------------------------------------
 */

/* As JSON, in quotes; bytes that are no UTF-8 become U+FFFD. */
void put_json(StrBuf *out, const char *text, size_t len);
void put_json_text(StrBuf *out, const char *text); /* NULL: null */
void put_json_number(StrBuf *out, double number);
/* Ids of a text (malloc'd); bare: without those that the tokenizer puts before every text. False:
 * the exchange has a fault. */
bool text_ids(Exchange *ex, const char *what, const char *text, size_t len, bool bare,
              int32_t **ids, int64_t *count);
/* Ids of a text in which special tokens are not looked for, and nothing around it (malloc'd). */
bool plain_ids(Exchange *ex, const char *what, const char *text, size_t len, int32_t **ids,
               int64_t *count);
/* Ids of a text that chat_render made: a token that begins texts is there once, whether the
 * template has it or the tokenizer puts it. */
bool chat_ids(Exchange *ex, const char *text, size_t len, int32_t **ids, int64_t *count);
/* How many ids the two begin with alike. */
int64_t ids_alike(const int32_t *a, int64_t na, const int32_t *b, int64_t nb);

/* ---- endpoints ---------------------------------------------------------------------------------
 */

#define ROUTE(method, path, handler, key, doc) void api_##handler(Exchange *ex);
#include "serve/routes.def"
#undef ROUTE
const Route *route_find(const char *method, const char *path, StrBuf *allow);
/* Reads the body; false: the exchange has a fault. */
bool body_read(Exchange *ex, Endpoint endpoint);

#endif
