/* serve/choice.c -- one choice of an answer: ids of the engine become text, the text is searched
 * for stops and read as a message, and what is certain is told. All but choice_submit runs on the
 * engine's threads, of one choice on one at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/lines.h"

enum { MOST_UNSENT = 16 << 20 }; /* bytes of a stream that the client has not read yet */

/* ---- telling ------------------------------------------------------------------------------- */

static Call *
call_at(Choice *c, int call)
{
    if (call < c->ncalls)
        return &c->calls[call];
    Call *calls = realloc(c->calls, ((size_t)call + 1) * sizeof *calls);
    if (!calls)
        die_no_memory(((size_t)call + 1) * sizeof *calls);
    memset(calls + c->ncalls, 0, (size_t)(call + 1 - c->ncalls) * sizeof *calls);
    c->calls = calls;
    c->ncalls = call + 1;
    return &c->calls[call];
}

static void
tell(void *user, ChatKind kind, int call, const char *text, size_t len)
{
    Choice *c = user;
    if (c->enough)
        return;
    switch (kind) {
    case CHAT_content:
        sb_putn(&c->content, text, len);
        break;
    case CHAT_reasoning:
        sb_putn(&c->reasoning, text, len);
        break;
    case CHAT_call:
        sb_putn(&call_at(c, call)->name, text, len);
        break;
    case CHAT_arguments:
        sb_putn(&call_at(c, call)->arguments, text, len);
        c->enough = c->ex->request.one_call;
        break;
    }
    if (c->ex->stream)
        c->answer->dialect->piece(c, kind, call, text, len);
}

/* ---- stops --------------------------------------------------------------------------------- */

/* The first stop in raw from `from` on; raw ends before it. */
static bool
cut_at_stop(Choice *c, size_t from)
{
    const Answer *a = c->answer;
    size_t best = SIZE_MAX;
    for (int i = 0; i < a->nstops; i++) {
        const Stop *stop = &a->stops[i];
        for (size_t at = from; at + stop->len <= c->raw.len && at < best; at++) {
            const char *hit = memchr(c->raw.text + at, stop->text[0], c->raw.len - at);
            at = hit ? (size_t)(hit - c->raw.text) : c->raw.len;
            if (at + stop->len > c->raw.len || at >= best ||
                memcmp(hit, stop->text, stop->len) != 0)
                continue;
            best = at;
            c->stop = i;
        }
    }
    if (best == SIZE_MAX)
        return false;
    c->raw.len = best;
    return true;
}

/* Bytes at raw's end that may be a stop's beginning. */
static size_t
held_back(const Choice *c)
{
    const Answer *a = c->answer;
    const size_t drawn = c->raw.len - c->base;
    size_t held = a->longest ? a->longest - 1 : 0;
    for (held = held < drawn ? held : drawn; held > 0; held--)
        for (int i = 0; i < a->nstops; i++)
            if (a->stops[i].len > held &&
                memcmp(c->raw.text + c->raw.len - held, a->stops[i].text, held) == 0)
                return held;
    return 0;
}

/* Tells what is certain, after raw got longer than `before`. last: no more comes. False: a stop was
 * found. */
static bool
pass_on(Choice *c, size_t before, bool last)
{
    const size_t reach = c->answer->longest ? c->answer->longest - 1 : 0;
    const size_t from = before > c->base + reach ? before - reach : c->base;
    const bool found = c->stop >= 0 || (c->answer->nstops && cut_at_stop(c, from));
    const size_t end = found || last ? c->raw.len : c->raw.len - held_back(c);
    while (c->ready < c->nprobs && (c->probs[c->ready].at < end || (last && !found)))
        c->ready++;
    if (end > c->passed) {
        const char *text = c->raw.text + c->passed;
        const size_t len = end - c->passed;
        c->passed = end;
        if (c->parser)
            chat_parser_add(c->parser, text, len);
        else
            tell(c, CHAT_content, 0, text, len);
    }
    return !found && !c->enough;
}

/* ---- the engine's calls -------------------------------------------------------------------- */

static void
add_prob(Choice *c, const EngineToken *token, size_t at)
{
    if (c->nprobs == c->cap_probs) {
        const int cap = c->cap_probs ? 2 * c->cap_probs : 16;
        Prob *grown = realloc(c->probs, (size_t)cap * sizeof *grown);
        if (!grown)
            die_no_memory((size_t)cap * sizeof *grown);
        c->probs = grown;
        c->cap_probs = cap;
    }
    Prob *p = &c->probs[c->nprobs++];
    *p = (Prob){.id = token->id, .logprob = token->logprob, .at = at, .ntop = token->ntop};
    if (p->ntop <= 0)
        return;
    p->top = malloc((size_t)p->ntop * sizeof *p->top);
    if (!p->top)
        die_no_memory((size_t)p->ntop * sizeof *p->top);
    memcpy(p->top, token->top, (size_t)p->ntop * sizeof *p->top);
}

/* An id of a prompt that is echoed: its text is there already. */
static void
add_prompt_prob(Choice *c, const EngineToken *token)
{
    size_t len = 0, at = 0;
    const Prob *before = c->nprobs ? &c->probs[c->nprobs - 1] : NULL;
    if (before && tok_decode(c->ex->server->o->tok, before->id, &len))
        at = before->at + len;
    add_prob(c, token, at < c->base ? at : c->base);
}

static void
count_time(Choice *c)
{
    const double now = rt_now();
    if (c->begun)
        histogram_add(&c->ex->server->metrics.between, now - c->last);
    else
        c->first = now;
    c->last = now;
}

/* Ids that divide the parts of a text whose middle is wanted end the middle. */
static bool
ends_middle(const Choice *c, int32_t id)
{
    return c->prompt->infill && c->answer->ends &&
           tok_infill_has(tok_infill(c->ex->server->o->tok), id);
}

static void
add_id(Choice *c, int32_t id)
{
    const Body *r = &c->ex->request;
    if (r->value[REQ_return_tokens].i)
        sb_printf(&c->ids, "%s%d", c->ids.len ? "," : "", id);
}

/* A send, and what wakes it, take as long as a small model's step, so what is drawn soon after the
 * last send goes with a later id, or with the end. All streams together have a number of sends a
 * second; each waits no longer than a screen takes to show what came. Seconds. */
static double
soon(const Server *s)
{
    static const double EACH = 2.5e-4, LEAST = 2e-3, MOST = 1.6e-2;
    return fmin(fmax(EACH * atomic_load_explicit(&s->telling, memory_order_relaxed), LEAST), MOST);
}

static bool
on_token(void *user, const EngineToken *token)
{
    Choice *c = user;
    Exchange *ex = c->ex;
    size_t len = 0;
    pthread_mutex_lock(&ex->lock);
    if (token->index < c->prompt->count) {
        add_prompt_prob(c, token);
        pthread_mutex_unlock(&ex->lock);
        return true;
    }
    count_time(c);
    if (c->match && !grammar_match_take(c->match, token->id))
        die("id %d was drawn, which the grammar refuses", token->id);
    if (ends_middle(c, token->id)) {
        pthread_mutex_unlock(&ex->lock);
        return false;
    }
    const size_t before = c->raw.len;
    add_id(c, token->id);
    if (ex->request.top >= 0)
        add_prob(c, token, before);
    if (c->answer->given < c->answer->per)
        c->sum += (double)token->logprob;
    const char *text = tok_text_add(c->text, token->id, &len);
    if (text)
        sb_putn(&c->raw, text, len);
    c->limited = lines_end(c, before);
    const bool more = pass_on(c, before, false) && !c->limited;
    const bool others = !c->begun && c->answer->submitted < c->answer->n;
    if (!c->begun)
        atomic_fetch_add(&ex->server->telling, 1);
    const bool due = !c->begun || c->last - ex->woken >= soon(ex->server) || others;
    c->begun = true;
    if (due && (ex->out.len > ex->sent || others)) {
        ex->woken = c->last;
        exchange_wake(ex);
    }
    if (ex->stream && ex->out.len - ex->sent > MOST_UNSENT)
        fault_set(&ex->fault, 503, NULL, "too_slow",
                  "the answer is read too slowly: %d MiB wait to be sent", MOST_UNSENT >> 20);
    pthread_mutex_unlock(&ex->lock);
    return more;
}

static void
mask_logits(const Choice *c, float *logits, int64_t vocab, bool may_end)
{
    const EngineOptions *o = &c->ex->server->o->engine;
    const uint64_t *mask = c->mask;
    float ends[16];
    const size_t n =
        may_end && c->answer->ends ? (o->neos < COUNT_OF(ends) ? o->neos : COUNT_OF(ends)) : 0;
    for (size_t i = 0; i < n; i++)
        ends[i] = logits[o->eos[i]];
    for (int64_t i = 0; i < vocab; i++)
        if (!(mask[i / 64] >> (i % 64) & 1))
            logits[i] = -INFINITY;
    for (size_t i = 0; i < o->neos; i++)
        logits[o->eos[i]] = i < n ? ends[i] : -INFINITY;
}

static bool
any_bit(const uint64_t *mask, int64_t vocab)
{
    for (int64_t i = 0; i <= vocab / 64; i++)
        if (mask[i])
            return true;
    return false;
}

static bool
on_shape(void *user, float *logits, int64_t vocab, const char **why)
{
    Choice *c = user;
    const Body *r = &c->ex->request;
    uint64_t *mask = c->mask;
    bool may_end = false;
    for (int i = 0; i < r->nbias; i++)
        logits[r->bias[i].id] += r->bias[i].bias;
    if (!c->match)
        return true;
    memset(mask, 0, ((size_t)vocab / 64 + 1) * sizeof *mask);
    if (!grammar_match_mask(c->match, mask, &may_end)) {
        *why = "no id of the model goes on as the grammar wants";
        return false;
    }
    /* A model that has no id for the end would have to draw one. */
    c->over = may_end && (c->ex->server->o->engine.neos == 0 || !c->answer->ends) &&
              !any_bit(mask, vocab);
    if (c->over) {
        *why = "the text is whole";
        return false;
    }
    mask_logits(c, logits, vocab, may_end);
    return true;
}

static bool
on_gone(void *user)
{
    Choice *c = user;
    c->left = exchange_gone(c->ex);
    return c->left;
}

/* What the engine said at the end, as a fault of the exchange. */
static void
end_fault(const Choice *c, const EngineResult *result)
{
    Fault *fault = &c->ex->fault;
    if (result->end == ENGINE_failed && !c->over)
        fault_set(fault, 500, NULL, "failed", "%s",
                  result->error ? result->error : "the request failed");
    if (result->end == ENGINE_cancelled && (c->left || c->ex->fd < 0))
        fault_set(fault, 499, NULL, "client_gone", "the client closed the connection");
    else if (result->end == ENGINE_cancelled)
        fault_set(fault, 503, NULL, "cancelled", "the server ended this request");
}

static void
end_text(Choice *c)
{
    size_t len = 0;
    const size_t before = c->raw.len;
    const char *rest = c->stop < 0 && !c->limited ? tok_text_end(c->text, &len) : NULL;
    if (rest)
        sb_putn(&c->raw, rest, len);
    pass_on(c, before, true);
    if (c->parser)
        chat_parser_end(c->parser);
}

static void
on_end(void *user, const EngineResult *result)
{
    Choice *c = user;
    Exchange *ex = c->ex;
    Metrics *m = &ex->server->metrics;
    pthread_mutex_lock(&ex->lock);
    c->result = *result;
    c->result.error = NULL;
    c->ended = true;
    c->answer->ended++;
    if (c->begun)
        atomic_fetch_sub(&ex->server->telling, 1);
    end_fault(c, result);
    if (!ex->fault.status) {
        end_text(c);
        if (ex->stream)
            c->answer->dialect->finish(c);
        histogram_add(&m->whole, result->seconds);
        if (result->drawn > 0)
            histogram_add(&m->first, result->first);
    }
    exchange_wake(ex);
    pthread_mutex_unlock(&ex->lock);
    exchange_drop(ex);
}

/* ---- its life ------------------------------------------------------------------------------ */

void
choice_open(Choice *c, Answer *answer, int index)
{
    Exchange *ex = answer->ex;
    const Server *s = ex->server;
    const Body *r = &ex->request;
    const Prompt *prompt = &answer->prompts[index / answer->per];
    *c = (Choice){.ex = ex, .answer = answer, .prompt = prompt, .index = index, .stop = -1};
    c->text = tok_text_new(s->o->tok, true);
    if (answer->grammar) {
        c->match = grammar_match_new(answer->grammar, answer->words);
        c->mask = calloc((size_t)s->vocab / 64 + 1, sizeof *c->mask);
        if (!c->mask)
            die_no_memory((size_t)s->vocab / 8);
    }
    if (r->endpoint == ENDPOINT_chat)
        c->parser = chat_parser_new(s->o->chat, r->tools ? r->value[REQ_tools].json : NULL,
                                    prompt->text, prompt->len, tell, c);
    if (r->value[REQ_echo].i)
        sb_putn(&c->raw, prompt->text ? prompt->text : "", prompt->len);
    c->base = c->raw.len;
}

void
choice_free(Choice *c)
{
    tok_text_free(c->text);
    if (c->match)
        grammar_match_free(c->match);
    free(c->mask);
    if (c->parser)
        chat_parser_free(c->parser);
    for (int i = 0; i < c->nprobs; i++)
        free(c->probs[i].top);
    for (int i = 0; i < c->ncalls; i++) {
        sb_free(&c->calls[i].name);
        sb_free(&c->calls[i].arguments);
    }
    free(c->probs);
    free(c->calls);
    sb_free(&c->raw);
    sb_free(&c->ids);
    sb_free(&c->content);
    sb_free(&c->reasoning);
}

EngineAnswer
choice_submit(Choice *c, double *retry)
{
    Exchange *ex = c->ex;
    const Answer *a = c->answer;
    const Body *r = &ex->request;
    const bool shaped = r->nbias || c->match;
    uint64_t handle = 0;
    EngineRequest request = {.client = ex->key ? ex->key : ex->client,
                             .ids = c->prompt->ids,
                             .count = c->prompt->count,
                             .marks = c->prompt->marks,
                             .nmarks = c->prompt->nmarks,
                             .passing = c->prompt->infill,
                             .sampling = a->sampling,
                             .most = a->most,
                             .ignore_eos = !a->ends,
                             .top = r->top < 0 && a->given < a->per ? 0 : r->top,
                             .prompt_too = r->top >= 0 && r->value[REQ_echo].i,
                             .shape = shaped ? on_shape : NULL,
                             .token = on_token,
                             .gone = on_gone,
                             .end = on_end,
                             .user = c};
    request.sampling.seed += (uint64_t)(c->index % a->per);
    exchange_take(ex);
    const EngineAnswer said = engine_submit(ex->server->engine, &request, &handle, retry);
    if (said != ENGINE_taken) {
        exchange_drop(ex);
        return said;
    }
    pthread_mutex_lock(&ex->lock);
    c->handle = handle;
    pthread_mutex_unlock(&ex->lock);
    return said;
}

const char *
choice_finish(const Choice *c)
{
    switch (c->result.end) {
    case ENGINE_length:
        return "length";
    case ENGINE_cancelled:
        return "cancelled";
    case ENGINE_failed:
        if (!c->over)
            return "failed";
        break;
    case ENGINE_eos:
    case ENGINE_enough:
        break;
    }
    if (c->limited && c->stop < 0)
        return "length";
    return c->ncalls ? "tool_calls" : "stop";
}
