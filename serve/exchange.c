/* serve/exchange.c -- a request and its response: made, refused, answered, logged and freed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/answer.h"

const char type_json[] = "application/json";

static const Route routes[] = {
#define ROUTE(method, path, handler, key, doc) {#method, path, api_##handler, ROUTE_##key},
#define ROUTE_OPEN                             false
#define ROUTE_KEY                              true
#include "serve/routes.def"
#undef ROUTE
};

/* A slash at the end of a path means nothing. */
static bool
path_fits(const char *pattern, const char *path)
{
    const size_t len = strlen(pattern);
    if (pattern[len - 1] == '*')
        return strncmp(pattern, path, len - 1) == 0 && path[len - 1] != '\0';
    return strncmp(pattern, path, len) == 0 &&
           (!path[len] || (path[len] == '/' && !path[len + 1] && len > 1));
}

const Route *
route_find(const char *method, const char *path, StrBuf *allow)
{
    const bool head = strcmp(method, "HEAD") == 0;
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (!path_fits(routes[i].path, path))
            continue;
        if (strcmp(routes[i].method, head ? "GET" : method) == 0)
            return &routes[i];
        sb_printf(allow, "%s%s", allow->len ? ", " : "", routes[i].method);
    }
    return NULL;
}

/* ---- its life ------------------------------------------------------------------------------ */

Exchange *
exchange_new(Server *server)
{
    Exchange *ex = calloc(1, sizeof *ex);
    if (!ex)
        die_no_memory(sizeof *ex);
    ex->server = server;
    ex->since = rt_now();
    ex->created = (int64_t)time(NULL);
    ex->number = atomic_fetch_add(&server->requests, 1);
    ex->refs = 1;
    ex->fd = -1;
    pthread_mutex_init(&ex->lock, NULL);
    atomic_fetch_add(&server->exchanges, 1);
    return ex;
}

void
exchange_take(Exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    ex->refs++;
    pthread_mutex_unlock(&ex->lock);
}

static void
log_exchange(const Exchange *ex)
{
    StrBuf line = {0};
    const Server *s = ex->server;
    sb_printf(&line, "%s ", ex->client[0] ? ex->client : "-");
    if (ex->route) {
        sb_printf(&line, "%s %s", ex->route->method, ex->route->path);
    } else {
        put_json(&line, ex->path, strnlen(ex->path, 80));
    }
    sb_printf(&line, " %d %.3fs", ex->status, ex->until - ex->since);
    if (ex->answer)
        answer_log(ex->answer, &line);
    if (ex->fault.status && ex->fault.code)
        sb_printf(&line, " %s", ex->fault.code);
    if (s->o->log_prompts && ex->answer && ex->body.len) {
        sb_puts(&line, " body=");
        put_json(&line, ex->body.text, ex->body.len);
    }
    log_line(s->log, "%s", sb_text(&line));
    sb_free(&line);
}

void
exchange_drop(Exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    const bool last = --ex->refs == 0;
    pthread_mutex_unlock(&ex->lock);
    if (!last)
        return;
    Server *s = ex->server;
    log_exchange(ex);
    if (ex->status >= 200 && ex->status < 600)
        atomic_fetch_add(&s->metrics.responses[ex->status / 100], 1);
    answer_free(ex->answer);
    request_free(&ex->request);
    atomic_fetch_sub(&s->bodies, ex->body.len);
    sb_free(&ex->body);
    sb_free(&ex->out);
    sb_free(&ex->allow);
    sb_free(&ex->fault.message);
    free(ex->path);
    pthread_mutex_destroy(&ex->lock);
    free(ex);
    atomic_fetch_sub(&s->exchanges, 1);
}

void
exchange_wake(Exchange *ex)
{
    ex->news = true;
    if (!ex->asleep)
        return;
    ex->asleep = false;
    wakes_add(ex->server->wakes, ex);
}

/* A client that has closed its side is taken for gone: it could read, but none that this server
 * was tried with does. An answer of which a part has failed is for nobody any more. */
bool
exchange_gone(Exchange *ex)
{
    pthread_mutex_lock(&ex->lock);
    const bool gone = atomic_load(&ex->gone) || ex->fd < 0 || ex->fault.status;
    pthread_mutex_unlock(&ex->lock);
    return gone;
}

/* ---- responses ----------------------------------------------------------------------------- */

void
reply(Exchange *ex, int status, const char *type, StrBuf *text)
{
    pthread_mutex_lock(&ex->lock);
    ex->status = status;
    ex->type = type;
    sb_free(&ex->out);
    ex->out = *text;
    ex->sent = 0;
    ex->stream = false;
    ex->whole = true;
    pthread_mutex_unlock(&ex->lock);
    *text = (StrBuf){0};
}

/* OpenAI's words for kinds of errors. */
static const char *
fault_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "service_unavailable_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void
fault_put(const Fault *fault, StrBuf *out)
{
    sb_puts(out, "{\"error\":{\"message\":");
    put_json(out, sb_text(&fault->message), fault->message.len);
    sb_printf(out, ",\"type\":\"%s\",\"param\":", fault_type(fault->status));
    put_json_text(out, fault->param);
    sb_puts(out, ",\"code\":");
    put_json_text(out, fault->code);
    sb_puts(out, "}}");
}

void
reply_fault(Exchange *ex)
{
    StrBuf out = {0};
    fault_put(&ex->fault, &out);
    sb_puts(&out, "\n");
    reply(ex, ex->fault.status, type_json, &out);
}

bool
refuse(Exchange *ex, int status, const char *param, const char *code, const char *fmt, ...)
{
    va_list args;
    StrBuf text = {0};
    va_start(args, fmt);
    sb_vprintf(&text, fmt, args);
    va_end(args);
    pthread_mutex_lock(&ex->lock);
    fault_set(&ex->fault, status, param, code, "%s", sb_text(&text));
    pthread_mutex_unlock(&ex->lock);
    sb_free(&text);
    return false;
}

bool
body_read(Exchange *ex, Endpoint endpoint)
{
    return request_read(&ex->request, endpoint, sb_text(&ex->body), ex->body.len, &ex->fault);
}
