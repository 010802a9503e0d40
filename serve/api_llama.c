/* serve/api_llama.c -- what llama-server has beside OpenAI's API, as far as clients of it ask:
 * POST /completion and GET /props, and the dialect of /completion and /infill. */
#include <string.h>

#include "serve/fields.h"
#include "serve/prompt.h"

void
api_completion(Exchange *ex)
{
    int n = 0;
    if (!body_read(ex, ENDPOINT_llama))
        return;
    Prompt *prompts = prompts_read(ex, 1, &n);
    if (prompts)
        answer_begin(ex, &dialect_llama, prompts, n);
}

void
api_props(Exchange *ex)
{
    const ServeOptions *o = ex->server->o;
    StrBuf out = {0};
    sb_printf(&out,
              "{\"default_generation_settings\":{\"n_ctx\":%lld,\"params\":{\"temperature\":%.9g,"
              "\"top_k\":%d,",
              (long long)o->engine.room, o->preset.temperature, o->preset.top_k);
    sb_printf(&out, "\"top_p\":%.9g,\"min_p\":%.9g,\"repeat_penalty\":%.9g,\"n_predict\":%lld}},",
              o->preset.top_p, o->preset.min_p, o->preset.repeat_penalty,
              (long long)(o->most > 0 ? o->most : -1));
    sb_printf(&out, "\"total_slots\":%d,\"model_alias\":", o->engine.slots);
    put_json_text(&out, o->name);
    sb_puts(&out, ",\"model_path\":");
    put_json_text(&out, o->name);
    sb_puts(&out, ",\"chat_format\":");
    put_json_text(&out, o->chat ? chat_name(o->chat) : NULL);
    sb_puts(&out, ",\"modalities\":{\"vision\":false,\"audio\":false}}\n");
    reply(ex, 200, type_json, &out);
}

/* ---- the dialect of /completion -------------------------------------------------------------- */

static void
put_probs(Choice *c, StrBuf *out)
{
    if (c->ex->request.top < 0)
        return;
    sb_puts(out, ",\"completion_probabilities\":");
    put_prob_list(c, out, true);
}

/* Those that were not told yet. */
static void
put_ids(Choice *c, StrBuf *out)
{
    sb_printf(out, ",\"tokens\":[%s]", sb_text(&c->ids));
    c->ids.len = 0;
}

/* The prompt as the model reads it. */
static void
put_prompt(const Choice *c, StrBuf *out)
{
    StrBuf text = {0};
    for (int64_t i = 0; i < c->prompt->count; i++) {
        size_t len = 0;
        const char *bytes = tok_decode(c->ex->server->o->tok, c->prompt->ids[i], &len);
        sb_putn(&text, bytes ? bytes : "", bytes ? len : 0);
    }
    sb_puts(out, ",\"prompt\":");
    put_json(out, sb_text(&text), text.len);
    sb_free(&text);
}

static void
piece(Choice *c, ChatKind kind, int call, const char *text, size_t len)
{
    StrBuf *out = &c->ex->out;
    (void)kind;
    (void)call;
    sb_printf(out, "data: {\"index\":%d,\"content\":", c->index);
    put_json(out, text, len);
    put_ids(c, out);
    sb_puts(out, ",\"stop\":false");
    put_probs(c, out);
    event_end(out);
}

/* Ids, the milliseconds that they took, and both ratios. */
static void
put_pace(StrBuf *out, const char *of, int64_t n, double seconds)
{
    const double each = n > 0 ? 1e3 * seconds / (double)n : 0;
    sb_printf(out, "\"%s_n\":%lld,\"%s_ms\":%.3f,\"%s_per_token_ms\":%.3f,\"%s_per_second\":%.3f",
              of, (long long)n, of, 1e3 * seconds, of, each, of,
              seconds > 0 ? (double)n / seconds : 0);
}

/* Why it ended, and what it took. */
static void
put_end(Choice *c, StrBuf *out)
{
    static const char *const type[] = {"eos", "limit", "word"};
    const EngineResult *r = &c->result;
    const int how = c->stop >= 0 ? 2 : r->end == ENGINE_length || c->limited ? 1 : 0;
    const double prompt = r->first - r->waited, drawing = r->seconds - r->first;
    const Stop none = {"", 0}, stop = c->stop >= 0 ? c->answer->stops[c->stop] : none;
    put_prompt(c, out);
    sb_puts(out, ",\"id_slot\":-1,\"stop\":true,\"model\":");
    put_json_text(out, c->ex->server->o->name);
    sb_printf(out,
              ",\"tokens_predicted\":%lld,\"tokens_evaluated\":%lld,\"tokens_cached\":%lld,"
              "\"truncated\":false,\"has_new_line\":%s",
              (long long)r->drawn, (long long)r->prompt, (long long)r->cached,
              c->broken ? "true" : "false");
    sb_printf(out, ",\"stop_type\":\"%s\",\"stopping_word\":", type[how]);
    put_json(out, stop.text, stop.len);
    sb_puts(out, ",\"timings\":{");
    sb_printf(out, "\"cache_n\":%lld,", (long long)r->cached);
    put_pace(out, "prompt", r->prompt - r->cached, prompt);
    sb_puts(out, ",");
    put_pace(out, "predicted", r->drawn, drawing);
    sb_puts(out, "}");
}

static void
put_last(Choice *c, const char *text, size_t len, StrBuf *out)
{
    StrBuf all = {0};
    sb_printf(&all, "{\"index\":%d,\"content\":", c->index);
    put_json(&all, text, len);
    put_ids(c, &all);
    put_probs(c, &all);
    put_end(c, &all);
    sb_puts(&all, "}");
    fields_put(&c->ex->request, &all, out);
    sb_free(&all);
}

static void
finish(Choice *c)
{
    sb_puts(&c->ex->out, "data: ");
    put_last(c, "", 0, &c->ex->out);
    sb_puts(&c->ex->out, "\n\n");
}

static void
end(Answer *a)
{
    (void)a;
}

/* Of several choices, a list. */
static void
whole(Answer *a, StrBuf *out)
{
    sb_puts(out, a->n > 1 ? "[" : "");
    for (int i = 0; i < a->n; i++) {
        Choice *c = &a->choices[i];
        sb_puts(out, i ? "," : "");
        put_last(c, sb_text(&c->content), c->content.len, out);
    }
    sb_puts(out, a->n > 1 ? "]\n" : "\n");
}

const Dialect dialect_llama = {
    .prefix = "", .piece = piece, .finish = finish, .end = end, .whole = whole};
