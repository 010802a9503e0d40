/* serve/api_chat.c -- POST /v1/chat/completions: a conversation to a prompt, and the dialect of its
 * answers; POST /apply-template: the prompt alone. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "serve/answer.h"

/* ---- the prompt ---------------------------------------------------------------------------- */

static bool
check_messages(Exchange *ex)
{
    json_object *messages = ex->request.value[REQ_messages].json, *role = NULL;
    if (!messages)
        return refuse(ex, 400, "messages", "missing_required_parameter", "messages is missing");
    const size_t n = json_object_array_length(messages);
    if (n == 0)
        return refuse(ex, 400, "messages", NULL, "messages is empty: there is nothing to answer");
    for (size_t i = 0; i < n; i++) {
        json_object *message = json_object_array_get_idx(messages, i);
        if (!json_object_is_type(message, json_type_object) ||
            !json_object_object_get_ex(message, "role", &role) ||
            !json_object_is_type(role, json_type_string))
            return refuse(ex, 400, "messages", NULL,
                          "messages: item %zu must be an object with a role", i);
    }
    return true;
}

/* Ids behind which the text does not depend on what follows the system's message: the state there
 * serves every conversation that begins so. */
static bool
find_mark(Exchange *ex, Prompt *p, size_t shared)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    if (shared == 0 || shared >= p->len)
        return true;
    if (!chat_ids(ex, p->text, shared, &ids, &count))
        return false;
    p->marks[0] = ids_alike(ids, count, p->ids, p->count);
    p->nmarks = p->marks[0] > 0;
    free(ids);
    return true;
}

static bool
render_text(Exchange *ex, Prompt *p, size_t *shared)
{
    const Body *r = &ex->request;
    const ChatPrompt prompt = {.messages = r->value[REQ_messages].json,
                               .tools = r->tools ? r->value[REQ_tools].json : NULL,
                               .extra = r->value[REQ_chat_template_kwargs].json,
                               .answer = true};
    char *why = NULL;
    p->text = chat_render(ex->server->o->chat, &prompt, &p->len, shared, &why);
    if (!p->text)
        refuse(ex, 400, "messages", NULL, "%s", why ? why : "the conversation has no form");
    free(why);
    return p->text != NULL;
}

static bool
render(Exchange *ex, Prompt *p)
{
    size_t shared = 0;
    if (!render_text(ex, p, &shared) || !chat_ids(ex, p->text, p->len, &p->ids, &p->count))
        return false;
    return p->count > 0 ? find_mark(ex, p, shared)
                        : refuse(ex, 400, "messages", NULL, "the conversation is an empty text");
}

static bool
read_conversation(Exchange *ex, Endpoint endpoint)
{
    const ServeOptions *o = ex->server->o;
    if (!body_read(ex, endpoint))
        return false;
    if (!o->chat)
        return refuse(ex, 400, NULL, "no_chat_format", "%s",
                      o->no_chat ? o->no_chat : "this model has no chat format");
    return check_messages(ex);
}

void
api_template(Exchange *ex)
{
    Prompt prompt = {0};
    StrBuf out = {0};
    size_t shared = 0;
    if (!read_conversation(ex, ENDPOINT_template) || !render_text(ex, &prompt, &shared))
        return;
    sb_puts(&out, "{\"prompt\":");
    put_json(&out, prompt.text, prompt.len);
    sb_puts(&out, "}\n");
    free(prompt.text);
    reply(ex, 200, type_json, &out);
}

void
api_chat(Exchange *ex)
{
    if (!read_conversation(ex, ENDPOINT_chat))
        return;
    Prompt *prompt = calloc(1, sizeof *prompt);
    if (!prompt)
        die_no_memory(sizeof *prompt);
    if (render(ex, prompt))
        answer_begin(ex, &dialect_chat, prompt, 1);
    else
        prompts_free(prompt, 1);
}

/* ---- the dialect --------------------------------------------------------------------------- */

static void
put_probs(Choice *c, StrBuf *out)
{
    if (c->ex->request.top < 0 || c->told == c->ready) {
        sb_puts(out, "null");
        return;
    }
    sb_puts(out, "{\"content\":");
    put_prob_list(c, out, false);
    sb_puts(out, ",\"refusal\":null}");
}

static void
begin_event(Choice *c, StrBuf *out)
{
    sb_putn(out, c->answer->head.text, c->answer->head.len);
    sb_printf(out, ",\"choices\":[{\"index\":%d,\"delta\":", c->index);
}

static void
end_event(Choice *c, StrBuf *out, const char *finish)
{
    sb_puts(out, ",\"logprobs\":");
    put_probs(c, out);
    sb_puts(out, ",\"finish_reason\":");
    put_json_text(out, finish);
    sb_puts(out, c->ex->request.usage ? "}],\"usage\":null" : "}]");
    event_end(out);
}

static void
open_message(Choice *c)
{
    StrBuf *out = &c->ex->out;
    if (c->opened)
        return;
    c->opened = true;
    sb_putn(out, c->answer->head.text, c->answer->head.len);
    sb_printf(out,
              ",\"choices\":[{\"index\":%d,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
              "\"logprobs\":null,"
              "\"finish_reason\":null}]%s",
              c->index, c->ex->request.usage ? ",\"usage\":null" : "");
    event_end(out);
}

static void
put_call_id(Choice *c, int call, StrBuf *out)
{
    sb_puts(out, "\"");
    put_id(out, "call_", c->ex, 1 + c->index * 1024 + call);
    sb_puts(out, "\"");
}

static void
piece(Choice *c, ChatKind kind, int call, const char *text, size_t len)
{
    StrBuf *out = &c->ex->out;
    open_message(c);
    begin_event(c, out);
    switch (kind) {
    case CHAT_content:
        sb_puts(out, "{\"content\":");
        put_json(out, text, len);
        sb_puts(out, "}");
        break;
    case CHAT_reasoning:
        sb_puts(out, "{\"reasoning_content\":");
        put_json(out, text, len);
        sb_puts(out, "}");
        break;
    case CHAT_call:
        sb_printf(out, "{\"tool_calls\":[{\"index\":%d,\"id\":", call);
        put_call_id(c, call, out);
        sb_puts(out, ",\"type\":\"function\",\"function\":{\"name\":");
        put_json(out, text, len);
        sb_puts(out, ",\"arguments\":\"\"}}]}");
        break;
    case CHAT_arguments:
        sb_printf(out, "{\"tool_calls\":[{\"index\":%d,\"function\":{\"arguments\":", call);
        put_json(out, text, len);
        sb_puts(out, "}}]}");
        break;
    }
    end_event(c, out, NULL);
}

static void
finish(Choice *c)
{
    StrBuf *out = &c->ex->out;
    open_message(c);
    begin_event(c, out);
    sb_puts(out, "{}");
    end_event(c, out, choice_finish(c));
}

static void
end(Answer *a)
{
    put_usage_event(a, &a->ex->out);
}

static void
put_calls(Choice *c, StrBuf *out)
{
    for (int i = 0; i < c->ncalls; i++) {
        sb_puts(out, i ? ",{\"id\":" : ",\"tool_calls\":[{\"id\":");
        put_call_id(c, i, out);
        sb_puts(out, ",\"type\":\"function\",\"function\":{\"name\":");
        put_json(out, sb_text(&c->calls[i].name), c->calls[i].name.len);
        sb_puts(out, ",\"arguments\":");
        put_json(out, sb_text(&c->calls[i].arguments), c->calls[i].arguments.len);
        sb_puts(out, "}}");
    }
    sb_puts(out, c->ncalls ? "]" : "");
}

static void
put_message(Choice *c, StrBuf *out)
{
    sb_printf(out, "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", c->index);
    if (c->ncalls && c->content.len == 0)
        sb_puts(out, "null");
    else
        put_json(out, sb_text(&c->content), c->content.len);
    sb_puts(out, ",\"refusal\":null");
    if (c->reasoning.len) {
        sb_puts(out, ",\"reasoning_content\":");
        put_json(out, c->reasoning.text, c->reasoning.len);
    }
    put_calls(c, out);
    sb_puts(out, "},\"logprobs\":");
    put_probs(c, out);
    sb_puts(out, ",\"finish_reason\":");
    put_json_text(out, choice_finish(c));
    sb_puts(out, "}");
}

static void
whole(Answer *a, StrBuf *out)
{
    put_whole_head(a, out);
    sb_puts(out, ",\"choices\":[");
    for (int i = 0; i < a->n; i++) {
        sb_puts(out, i ? "," : "");
        put_message(&a->choices[i], out);
    }
    sb_puts(out, "],\"usage\":");
    usage_put(a, out);
    sb_puts(out, "}\n");
}

const Dialect dialect_chat = {
    .prefix = "chatcmpl-",
    .object = "chat.completion",
    .piece_object = "chat.completion.chunk",
    .piece = piece,
    .finish = finish,
    .end = end,
    .whole = whole,
};
