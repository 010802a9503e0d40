/* serve/answer.c -- an answer: its choices are sent to the engine, one after the other where they
 * share a prompt, and become a response when all have ended. */
#include "serve/answer.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked for --------------------------------------------------------------------- */

static void
read_sampling(Answer *answer)
{
    const Server *s = answer->ex->server;
    const Body *r = &answer->ex->request;
    const RequestValue *v = r->value;
    ssmc_sampling *how = &answer->sampling;
    *how = s->o->preset;
    if (v[REQ_temperature].json)
        how->temperature = v[REQ_temperature].num;
    if (v[REQ_top_k].json)
        how->top_k = v[REQ_top_k].i > 0 ? (int)v[REQ_top_k].i : 0;
    if (v[REQ_top_p].json)
        how->top_p = v[REQ_top_p].num;
    if (v[REQ_top_p].json && how->top_p == 0) {
        how->top_k = 1; /* no share of the probability: the likeliest alone */
        how->top_p = 1;
    }
    if (v[REQ_min_p].json)
        how->min_p = v[REQ_min_p].num;
    if (v[REQ_repeat_penalty].json)
        how->repeat_penalty = v[REQ_repeat_penalty].num;
    if (v[REQ_presence_penalty].json)
        how->presence_penalty = v[REQ_presence_penalty].num;
    if (v[REQ_frequency_penalty].json)
        how->frequency_penalty = v[REQ_frequency_penalty].num;
    if (r->has_seed)
        how->seed = r->seed;
    else if (how->seed == 0)
        how->seed = hash_bytes(&answer->ex->number, sizeof answer->ex->number, s->salt);
}

/* Ids of the answer at most. OpenAI's completions are short where nothing is said; other answers
 * are as long as there is room. */
int64_t
answer_most(const Exchange *ex)
{
    enum { SHORT = 16 };
    const ServeOptions *o = ex->server->o;
    const Body *r = &ex->request;
    static const RequestKey keys[] = {REQ_max_completion_tokens, REQ_max_tokens, REQ_n_predict};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (!request_has(r, keys[i]))
            continue;
        if (r->value[keys[i]].i >= 0)
            return r->value[keys[i]].i;
        if (keys[i] != REQ_n_predict)
            return o->engine.room;
    }
    if (o->most > 0)
        return o->most;
    return r->endpoint == ENDPOINT_completions ? SHORT : o->engine.room;
}

static void
add_stop(Answer *answer, const char *text, size_t len)
{
    answer->stops[answer->nstops++] = (Stop){text, len};
    answer->longest = len > answer->longest ? len : answer->longest;
}

static void
read_stops(Answer *answer)
{
    const Body *r = &answer->ex->request;
    const ChatFormat *chat = r->endpoint == ENDPOINT_chat ? answer->ex->server->o->chat : NULL;
    const char *const *ends = chat && answer->ends ? chat_stops(chat) : NULL;
    size_t n = (size_t)r->nstops;
    for (size_t i = 0; ends && ends[i]; i++)
        n++;
    answer->stops = calloc(n + 1, sizeof *answer->stops);
    if (!answer->stops)
        die_no_memory(n * sizeof *answer->stops);
    for (int i = 0; i < r->nstops; i++)
        add_stop(answer, r->stop[i], r->stop_len[i]);
    for (size_t i = 0; ends && ends[i]; i++)
        add_stop(answer, ends[i], strlen(ends[i]));
}

static Grammar *
make_of_gbnf(const void *user, const char *text, size_t len, char **why)
{
    (void)user;
    return grammar_from_gbnf(text, len, why);
}

static Grammar *
make_of_schema(const void *user, const char *text, size_t len, char **why)
{
    const Answer *answer = user;
    (void)text;
    (void)len;
    return grammar_from_schema(answer->ex->request.schema, why);
}

static Grammar *
make_of_tools(const void *user, const char *text, size_t len, char **why)
{
    const Answer *answer = user;
    const Body *r = &answer->ex->request;
    (void)text;
    (void)len;
    return chat_call_grammar(answer->ex->server->o->chat, r->value[REQ_tools].json, r->called,
                             answer->prompts->text, answer->prompts->len, why);
}

/* What a grammar of calls depends on: the tools, which of them, and whether the prompt has opened
 * the reasoning. */
static KeptGrammar *
take_calls(Answer *answer, char **why)
{
    const Body *r = &answer->ex->request;
    const Prompt *p = answer->prompts;
    const bool opened = chat_opens_reasoning(answer->ex->server->o->chat, p->text, p->len);
    StrBuf key = {0};
    sb_printf(&key, "%d\n%s\n%s", opened, r->called ? r->called : "",
              json_object_to_json_string_ext(r->value[REQ_tools].json, JSON_C_TO_STRING_PLAIN));
    KeptGrammar *kept = grammars_take(answer->ex->server->grammars, make_of_tools, answer,
                                      sb_text(&key), key.len, why);
    sb_free(&key);
    return kept;
}

/* A fault's message has neither a kind nor a line's end, as where it stands says both. */
static char *
bare_message(char *why)
{
    static const char kind[] = "error: ";
    size_t len = strlen(why);
    while (len > 0 && why[len - 1] == '\n')
        why[--len] = '\0';
    if (strncmp(why, kind, sizeof kind - 1) == 0)
        memmove(why, why + sizeof kind - 1, len - (sizeof kind - 1) + 1);
    return why;
}

static bool
read_grammar(Answer *answer)
{
    Exchange *ex = answer->ex;
    Server *s = ex->server;
    const Body *r = &ex->request;
    const char *param = "grammar";
    char *why = NULL;
    answer->words = s->words;
    if (r->any_json) {
        answer->grammar = s->any_json;
        return true;
    }
    if (r->must_call) {
        param = "tool_choice";
        answer->words = s->call_words;
        answer->kept = take_calls(answer, &why);
    } else if (r->schema) {
        param = request_has(r, REQ_json_schema) ? "json_schema" : "response_format";
        const char *text = json_object_to_json_string_ext(r->schema, JSON_C_TO_STRING_PLAIN);
        answer->kept = grammars_take(s->grammars, make_of_schema, answer, text, strlen(text), &why);
    } else if (request_has(r, REQ_grammar) && r->value[REQ_grammar].len) {
        const RequestValue *v = &r->value[REQ_grammar];
        answer->kept = grammars_take(s->grammars, make_of_gbnf, NULL, v->text, v->len, &why);
    } else {
        return true;
    }
    if (answer->kept)
        answer->grammar = grammars_of(answer->kept);
    else
        refuse(ex, 400, param, NULL, "%s", why ? bare_message(why) : "there is no such grammar");
    free(why);
    return answer->grammar != NULL;
}

static bool
check_biases(Exchange *ex)
{
    const Body *r = &ex->request;
    for (int i = 0; i < r->nbias; i++)
        if (r->bias[i].id >= ex->server->vocab)
            return refuse(ex, 400, "logit_bias", NULL,
                          "logit_bias names id %d, but ids are 0 to %lld", r->bias[i].id,
                          (long long)ex->server->vocab - 1);
    return true;
}

/* ---- its life ------------------------------------------------------------------------------ */

void
put_id(StrBuf *out, const char *prefix, const Exchange *ex, int part)
{
    const uint64_t of[2] = {ex->number, (uint64_t)part};
    sb_printf(out, "%s%016llx%08x", prefix,
              (unsigned long long)hash_bytes(of, sizeof of, ex->server->salt),
              (unsigned)ex->number);
}

static void
make_head(Answer *answer)
{
    const Exchange *ex = answer->ex;
    StrBuf id = {0};
    put_id(&id, answer->dialect->prefix, ex, 0);
    snprintf(answer->id, sizeof answer->id, "%s", sb_text(&id));
    sb_free(&id);
    if (!answer->dialect->piece_object)
        return;
    sb_printf(&answer->head,
              "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", answer->id,
              answer->dialect->piece_object, (long long)ex->created);
    put_json_text(&answer->head, ex->server->o->name);
}

/* A fault of what the engine said to a request. */
static bool
submit_fault(Exchange *ex, const Choice *choice, EngineAnswer said, double retry)
{
    switch (said) {
    case ENGINE_taken:
        break;
    case ENGINE_full:
        refuse(ex, 429, NULL, "queue_full",
               "as many requests wait as may; it is worth trying again in %.0f s", ceil(retry));
        ex->fault.retry = retry > 1 ? retry : 1;
        break;
    case ENGINE_draining:
        refuse(ex, 503, NULL, "shutting_down",
               "the server is about to end, and takes no more requests");
        ex->fault.retry = ex->server->o->drain > 1 ? ex->server->o->drain : 1;
        break;
    case ENGINE_too_long:
        refuse(ex, 400, ex->request.endpoint == ENDPOINT_chat ? "messages" : "prompt",
               "context_length_exceeded",
               "the prompt has %lld tokens, but there is room for %lld, the answer's among them",
               (long long)choice->prompt->count, (long long)ex->server->o->engine.room);
        break;
    case ENGINE_bad_id:
        refuse(ex, 400, "prompt", NULL, "the prompt has an id that the model has not");
        break;
    }
    return false;
}

/* Choices of one prompt wait until the first of them has read it: then its state serves them all.
 * Those that find the queue full wait for another of the answer's. */
static bool
submit_more(Answer *answer)
{
    Exchange *ex = answer->ex;
    while (answer->submitted < answer->n) {
        Choice *choice = &answer->choices[answer->submitted];
        const Choice *leader = &answer->choices[choice->index / answer->per * answer->per];
        pthread_mutex_lock(&ex->lock);
        const bool waits = choice != leader && !leader->begun && !leader->ended;
        const bool alone = answer->ended == answer->submitted, failed = ex->fault.status != 0;
        pthread_mutex_unlock(&ex->lock);
        if (waits || failed)
            return true;
        double retry = 0;
        const EngineAnswer said = choice_submit(choice, &retry);
        if (said == ENGINE_full && !alone)
            return true;
        if (said != ENGINE_taken)
            return submit_fault(ex, choice, said, retry);
        pthread_mutex_lock(&ex->lock);
        answer->submitted++;
        pthread_mutex_unlock(&ex->lock);
    }
    return true;
}

bool
answer_begin(Exchange *ex, const Dialect *dialect, Prompt *prompts, int n)
{
    const Body *r = &ex->request;
    Answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        die_no_memory(sizeof *answer);
    ex->answer = answer;
    *answer = (Answer){.ex = ex, .dialect = dialect, .prompts = prompts, .nprompts = n};
    answer->per = (int)request_made(r);
    answer->given = (int)request_given(r);
    answer->n = n * answer->per;
    answer->ends = r->value[REQ_ignore_eos].i == 0;
    answer->choices = calloc((size_t)answer->n, sizeof *answer->choices);
    if (!answer->choices)
        die_no_memory((size_t)answer->n * sizeof *answer->choices);
    answer->most = answer_most(ex);
    read_sampling(answer);
    read_stops(answer);
    make_head(answer);
    if (!check_biases(ex) || !read_grammar(answer))
        return false;
    for (int i = 0; i < answer->n; i++)
        choice_open(&answer->choices[i], answer, i);
    const bool stream = r->value[REQ_stream].i != 0;
    ex->status = 200;
    ex->type = stream ? "text/event-stream; charset=utf-8" : type_json;
    wakes_watch(ex->server->wakes, ex);
    pthread_mutex_lock(&ex->lock);
    ex->stream = stream;
    pthread_mutex_unlock(&ex->lock);
    if (submit_more(answer))
        return true;
    pthread_mutex_lock(&ex->lock);
    ex->stream = stream && answer->submitted > 0;
    pthread_mutex_unlock(&ex->lock);
    return false;
}

static void
end_with_fault(Exchange *ex)
{
    if (!ex->stream)
        return; /* respond() makes a response of it */
    sb_puts(&ex->out, "data: ");
    fault_put(&ex->fault, &ex->out);
    sb_puts(&ex->out, "\n\n");
    ex->whole = true;
}

void
answer_pump(Exchange *ex)
{
    Answer *answer = ex->answer;
    StrBuf out = {0};
    if (!answer || ex->whole)
        return;
    submit_more(answer);
    pthread_mutex_lock(&ex->lock);
    const bool over =
        answer->ended == answer->submitted && (answer->submitted == answer->n || ex->fault.status);
    const bool whole = over && !ex->fault.status && !ex->stream;
    if (over && !ex->whole && ex->fault.status)
        end_with_fault(ex);
    else if (over && !ex->whole && ex->stream) {
        answer->dialect->end(answer);
        ex->whole = true;
    }
    if (whole)
        answer->dialect->whole(answer, &out);
    pthread_mutex_unlock(&ex->lock);
    if (whole)
        reply(ex, 200, type_json, &out);
}

void
answer_leave(Exchange *ex, bool told)
{
    Answer *answer = ex->answer;
    if (!answer)
        return;
    for (int i = 0; i < answer->submitted; i++) {
        pthread_mutex_lock(&ex->lock);
        const uint64_t handle = answer->choices[i].ended ? 0 : answer->choices[i].handle;
        pthread_mutex_unlock(&ex->lock);
        if (handle)
            engine_cancel(ex->server->engine, handle);
    }
    if (told && ex->status == 200 && !ex->fault.status)
        next_turn_later(ex);
}

void
prompts_free(Prompt *prompts, int n)
{
    for (int i = 0; i < n; i++) {
        free(prompts[i].ids);
        free(prompts[i].text);
    }
    free(prompts);
}

void
answer_free(Answer *answer)
{
    if (!answer)
        return;
    for (int i = 0; i < answer->n; i++)
        choice_free(&answer->choices[i]);
    free(answer->choices);
    prompts_free(answer->prompts, answer->nprompts);
    grammars_give_back(answer->ex->server->grammars, answer->kept);
    free(answer->stops);
    sb_free(&answer->head);
    free(answer);
}

/* ---- counts -------------------------------------------------------------------------------- */

/* A prompt counts once, whatever the number of its choices. */
Usage
answer_usage(const Answer *answer)
{
    Usage sum = {0};
    for (int i = 0; i < answer->n; i++) {
        const Choice *c = &answer->choices[i];
        const bool first = i % answer->per == 0;
        sum.prompt += first ? answer->prompts[i / answer->per].count : 0;
        sum.cached += first ? c->result.cached : 0;
        sum.drawn += c->result.drawn;
    }
    return sum;
}

void
usage_put(const Answer *answer, StrBuf *out)
{
    const Usage u = answer_usage(answer);
    sb_printf(out,
              "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
              "\"prompt_tokens_details\":{\"cached_tokens\":%lld}}",
              (long long)u.prompt, (long long)u.drawn, (long long)(u.prompt + u.drawn),
              (long long)u.cached);
}

void
answer_log(const Answer *answer, StrBuf *out)
{
    const Usage u = answer_usage(answer);
    const Choice *c = &answer->choices[0];
    sb_printf(out, " prompt=%lld cached=%lld drawn=%lld waited=%.3fs first=%.3fs end=%s",
              (long long)u.prompt, (long long)u.cached, (long long)u.drawn, c->result.waited,
              c->result.first, c->ended ? choice_finish(c) : "refused");
}
