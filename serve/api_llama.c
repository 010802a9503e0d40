/* serve/api_llama.c -- what llama-server has beside OpenAI's API, as far as clients of it ask:
 * POST /completion, GET /props, and POST /infill, which is refused. */
#include "serve/answer.h"
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
api_infill(Exchange *ex)
{
    refuse(ex, 501, NULL, "not_supported",
           "infilling (text between a prefix and a suffix) is not offered: use /completion with a "
           "prompt in the "
           "model's own form of it");
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

static void
piece(Choice *c, ChatKind kind, int call, const char *text, size_t len)
{
    StrBuf *out = &c->ex->out;
    (void)kind;
    (void)call;
    sb_printf(out, "data: {\"index\":%d,\"content\":", c->index);
    put_json(out, text, len);
    sb_puts(out, ",\"tokens\":[],\"stop\":false");
    put_probs(c, out);
    event_end(out);
}

/* Why it ended, and what it took. */
static void
put_end(Choice *c, StrBuf *out)
{
    static const char *const type[] = {"eos", "limit", "word"};
    const EngineResult *r = &c->result;
    const int how = r->end == ENGINE_length ? 1 : c->stop >= 0 ? 2 : 0;
    const double prompt = r->first - r->waited, drawing = r->seconds - r->first;
    const Stop none = {"", 0}, stop = c->stop >= 0 ? c->answer->stops[c->stop] : none;
    sb_puts(out, ",\"id_slot\":-1,\"stop\":true,\"model\":");
    put_json_text(out, c->ex->server->o->name);
    sb_printf(out,
              ",\"tokens_predicted\":%lld,\"tokens_evaluated\":%lld,\"tokens_cached\":%lld,"
              "\"truncated\":false",
              (long long)r->drawn, (long long)r->prompt, (long long)r->cached);
    sb_printf(out, ",\"stop_type\":\"%s\",\"stopping_word\":", type[how]);
    put_json(out, stop.text, stop.len);
    sb_printf(
        out,
        ",\"timings\":{\"cache_n\":%lld,\"prompt_n\":%lld,\"prompt_ms\":%.3f,\"predicted_n\":%lld,",
        (long long)r->cached, (long long)(r->prompt - r->cached), 1e3 * prompt,
        (long long)r->drawn);
    sb_printf(out, "\"predicted_ms\":%.3f,\"predicted_per_second\":%.3f}", 1e3 * drawing,
              drawing > 0 ? (double)r->drawn / drawing : 0);
}

static void
finish(Choice *c)
{
    StrBuf *out = &c->ex->out;
    sb_printf(out, "data: {\"index\":%d,\"content\":\"\",\"tokens\":[]", c->index);
    put_probs(c, out);
    put_end(c, out);
    event_end(out);
}

static void
end(Answer *a)
{
    (void)a;
}

static void
whole(Answer *a, StrBuf *out)
{
    Choice *c = &a->choices[0];
    sb_printf(out, "{\"index\":%d,\"content\":", c->index);
    put_json(out, sb_text(&c->content), c->content.len);
    sb_puts(out, ",\"tokens\":[]");
    put_probs(c, out);
    put_end(c, out);
    sb_puts(out, "}\n");
}

const Dialect dialect_llama = {
    .prefix = "", .piece = piece, .finish = finish, .end = end, .whole = whole};
