/* serve/next.c -- after an answer: the conversation as its next turn will begin is read while
 * nothing else runs, so that the next turn reads only what is new.
 *
 * What a template makes of an answer that has become history may differ from what the model wrote
 * (reasoning is left out, spaces are trimmed), and a tokenizer may join the end of a text with what
 * follows. So the conversation is rendered with several messages behind the answer: the ids that
 * all of them begin with are what the next turn begins with. A digit, a letter and a word are
 * tried: where the template has a space before a message, a small vocabulary has words that begin
 * with the space, and others have a digit or a letter that does not.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "serve/answer.h"

static void
add_text(json_object *message, const char *key, const StrBuf *text)
{
    json_object_object_add(message, key, json_object_new_string_len(sb_text(text), (int)text->len));
}

static json_object *
call_json(const Choice *c, int i)
{
    json_object *call = json_object_new_object(), *function = json_object_new_object();
    StrBuf id = {0};
    put_id(&id, "call_", c->ex, 1 + c->index * 1024 + i);
    add_text(call, "id", &id);
    json_object_object_add(call, "type", json_object_new_string("function"));
    add_text(function, "name", &c->calls[i].name);
    add_text(function, "arguments", &c->calls[i].arguments);
    json_object_object_add(call, "function", function);
    sb_free(&id);
    return call;
}

static json_object *
answer_json(const Choice *c)
{
    json_object *message = json_object_new_object();
    json_object_object_add(message, "role", json_object_new_string("assistant"));
    add_text(message, "content", &c->content);
    if (c->reasoning.len)
        add_text(message, "reasoning_content", &c->reasoning);
    if (c->ncalls) {
        json_object *calls = json_object_new_array();
        for (int i = 0; i < c->ncalls; i++)
            json_object_array_add(calls, call_json(c, i));
        json_object_object_add(message, "tool_calls", calls);
    }
    return message;
}

static json_object *
user_json(const char *text)
{
    json_object *message = json_object_new_object();
    json_object_object_add(message, "role", json_object_new_string("user"));
    json_object_object_add(message, "content", json_object_new_string(text));
    return message;
}

/* Ids of the conversation with the answer and a message `then`; false: it has no form. */
static bool
render_then(Exchange *ex, const Choice *c, const char *then, int32_t **ids, int64_t *count)
{
    const Body *r = &ex->request;
    json_object *asked = r->value[REQ_messages].json, *messages = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(asked); i++)
        json_object_array_add(messages, json_object_get(json_object_array_get_idx(asked, i)));
    json_object_array_add(messages, answer_json(c));
    json_object_array_add(messages, user_json(then));
    const ChatPrompt prompt = {.messages = messages,
                               .tools = r->tools ? r->value[REQ_tools].json : NULL,
                               .extra = r->value[REQ_chat_template_kwargs].json};
    size_t len = 0, shared = 0;
    char *why = NULL;
    char *text = chat_render(ex->server->o->chat, &prompt, &len, &shared, &why);
    const bool ok = text && chat_ids(ex, text, len, ids, count);
    free(text);
    free(why);
    json_object_put(messages);
    return ok;
}

static void
on_read(void *user, const EngineResult *result)
{
    (void)user;
    (void)result;
}

static void
next_turn(Exchange *ex)
{
    const Answer *answer = ex->answer;
    static const char *const then[] = {"0", "x", "The"};
    int32_t *ids = NULL;
    int64_t count = 0;
    uint64_t handle = 0;
    double retry = 0;
    if (!render_then(ex, &answer->choices[0], then[0], &ids, &count))
        count = 0;
    for (size_t i = 1; i < COUNT_OF(then) && count > 0; i++) {
        int32_t *other = NULL;
        int64_t n = 0;
        const bool ok = render_then(ex, &answer->choices[0], then[i], &other, &n);
        count = ok ? ids_alike(ids, count, other, n) : 0;
        free(other);
    }
    const EngineRequest request = {.client = ex->key ? ex->key : ex->client,
                                   .ids = ids,
                                   .count = count,
                                   .top = -1,
                                   .idle = true,
                                   .end = on_read};
    if (count > 0)
        engine_submit(ex->server->engine, &request, &handle, &retry);
    free(ids);
}

void
next_turn_later(Exchange *ex)
{
    const ServeOptions *o = ex->server->o;
    const bool kept = o->engine.prefix_bytes > 0 || o->engine.cache_dir;
    if (ex->request.endpoint == ENDPOINT_chat && kept && ex->answer->n == 1)
        work_give(ex->server->work, ex, next_turn);
}
