/* serve/serve.c -- the server from its first line of the log to its last: engine, HTTP, signals. */
#include "serve/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "serve/http.h"

enum { FAILED = 1 };

static int
fault(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("ssmc serve: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return FAILED;
}

/* Each connection is a file; so are sockets and the caches of states beside. */
static int
connections_possible(int wanted)
{
    enum { OTHERS = 64 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    const rlim_t need = (rlim_t)wanted + OTHERS;
    if (limit.rlim_cur < need) {
        limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur < need
               ? (int)(limit.rlim_cur > 2 * OTHERS ? limit.rlim_cur - OTHERS : OTHERS)
               : wanted;
}

/* ---- what requests share ------------------------------------------------------------------- */

/* Marks, such as those of a conversation's parts, have no text that a grammar could ask for: their
 * spelling can be made of other ids. */
static const char *
word_bytes(void *user, int32_t id, size_t *len)
{
    const ServeOptions *o = user;
    if (tok_is_added(o->tok, id) || ids_have(o->engine.eos, o->engine.neos, id))
        return NULL;
    const char *bytes = tok_decode(o->tok, id, len);
    return bytes && *len > 0 ? bytes : NULL;
}

static const char *
call_word_bytes(void *user, int32_t id, size_t *len)
{
    const ServeOptions *o = user;
    const char *bytes = tok_decode(o->tok, id, len);
    return bytes && chat_is_call_mark(o->chat, bytes, *len) ? bytes : word_bytes(user, id, len);
}

static void
server_fill(Server *s, const ServeOptions *o)
{
    size_t bad = 0;
    s->o = o;
    s->vocab = ssmc_model_vocab(o->engine.model);
    s->started = (int64_t)time(NULL);
    if (getrandom(&s->salt, sizeof s->salt, 0) != (ssize_t)sizeof s->salt)
        s->salt = (uint64_t)(1e9 * rt_now());
    if (!tok_encode(o->tok, "", 0, &s->around, &s->naround, &bad))
        s->naround = 0;
    s->words = grammar_vocab_new(s->vocab, word_bytes, (void *)o);
    s->call_words = o->chat ? grammar_vocab_new(s->vocab, call_word_bytes, (void *)o) : NULL;
    s->any_json = grammar_from_json();
    s->grammars = grammars_open();
}

static void
server_empty(Server *s)
{
    grammars_close(s->grammars);
    grammar_free(s->any_json);
    grammar_vocab_free(s->words);
    grammar_vocab_free(s->call_words);
    free(s->around);
}

/* ---- signals ------------------------------------------------------------------------------- */

static void
signals_mine(sigset_t *mine)
{
    sigemptyset(mine);
    sigaddset(mine, SIGTERM);
    sigaddset(mine, SIGINT);
    sigaddset(mine, SIGHUP);
    pthread_sigmask(SIG_BLOCK, mine, NULL); /* of the threads that begin from here on, too */
}

/* The first fault of the cache directory is told once; requests go on without it. */
static void
note_cache_fault(const Server *s, bool *noted)
{
    const char *fault = *noted ? NULL : engine_counts(s->engine).cache_fault;
    if (!fault)
        return;
    log_line(s->log, "states are not kept on the disk: %s", fault);
    *noted = true;
}

/* Until it is told to end. */
static void
watch(Server *s, Http *http, const sigset_t *mine)
{
    const struct timespec second = {.tv_sec = 1};
    bool noted = false;
    for (;;) {
        const int signal = sigtimedwait(mine, NULL, &second);
        note_cache_fault(s, &noted);
        if (signal == SIGHUP)
            log_reopen(s->log);
        else if (signal > 0)
            return;
        http_sweep(http);
    }
}

/* What runs may end; then what was answered may be sent. */
static void
drain(Server *s)
{
    enum { SENDING = 200 }; /* hundredths of a second */
    const struct timespec pause = {.tv_nsec = 10000000};
    atomic_store(&s->draining, true);
    log_line(s->log, "draining: no more requests are taken; those that run have %.0f s",
             s->o->drain);
    engine_drain(s->engine, s->o->drain);
    for (int i = 0; i < SENDING && atomic_load(&s->exchanges) > 0; i++)
        nanosleep(&pause, NULL);
}

/* Once or more. */
static void
stop_threads(Server *s)
{
    if (s->work)
        work_stop(s->work);
    wakes_stop(s->wakes);
}

static void
on_step(void *user)
{
    const Server *s = user;
    wakes_flush(s->wakes);
}

static int
run(Server *s, ServeOptions *o, const sigset_t *mine)
{
    char address[128];
    const char *why = NULL;
    const int wanted = o->connections;
    o->connections = connections_possible(wanted);
    Http *http = http_open(s, address, sizeof address, &why);
    if (!http)
        return fault("cannot listen on %s, port %d: %s", o->host, o->port, why);
    log_line(s->log, "serving %s at %s: %d slots, room for %lld tokens each, %d connections",
             o->name, address, o->engine.slots, (long long)o->engine.room, o->connections);
    if (o->connections < wanted)
        log_line(s->log,
                 "%d connections were asked for: the limit of open files (ulimit -Hn) allows %d",
                 wanted, o->connections);
    watch(s, http, mine);
    drain(s);
    stop_threads(s);
    http_close(http);
    log_line(s->log, "ended");
    return 0;
}

int
serve(const ServeOptions *options)
{
    ServeOptions o = *options;
    Server s = {0};
    sigset_t mine;
    signals_mine(&mine);
    s.log = log_open(o.log);
    if (!s.log)
        return fault("cannot write the log %s: %s", o.log, strerror(errno));
    int status = FAILED;
    server_fill(&s, &o);
    o.engine.stepped = on_step;
    o.engine.user = &s;
    s.work = work_open();
    s.wakes = s.work ? wakes_open() : NULL;
    if (!s.wakes)
        fault("cannot start a thread: %s", strerror(errno));
    else if (engine_open(&o.engine, &s.engine) == SSMC_OK)
        status = run(&s, &o, &mine);
    else
        fault("%s", ssmc_error());
    stop_threads(&s);
    if (s.engine)
        engine_close(s.engine);
    work_free(s.work);
    wakes_free(s.wakes);
    log_close(s.log);
    server_empty(&s);
    return status;
}
