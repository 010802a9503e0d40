/* serve/event.c -- probabilities as the dialects tell them. */
#include "serve/answer.h"

void
put_token(StrBuf *out, const Server *server, int32_t id)
{
    size_t len = 0, bad = 0;
    const char *bytes = tok_decode(server->o->tok, id, &len);
    if (!bytes)
        len = 0;
    if (utf8_valid(bytes ? bytes : "", len, &bad)) {
        put_json(out, bytes ? bytes : "", len);
        return;
    }
    sb_puts(out, "\"bytes:");
    for (size_t i = 0; i < len; i++)
        sb_printf(out, "\\\\x%02x", (unsigned char)bytes[i]);
    sb_puts(out, "\"");
}

void
put_token_bytes(StrBuf *out, const Server *server, int32_t id)
{
    size_t len = 0;
    const char *bytes = tok_decode(server->o->tok, id, &len);
    sb_puts(out, "[");
    for (size_t i = 0; bytes && i < len; i++)
        sb_printf(out, "%s%d", i ? "," : "", (unsigned char)bytes[i]);
    sb_puts(out, "]");
}

static void
put_rank(StrBuf *out, const Server *s, int32_t id, double logprob, bool with_id)
{
    if (with_id)
        sb_printf(out, "{\"id\":%d,\"token\":", id);
    else
        sb_puts(out, "{\"token\":");
    put_token(out, s, id);
    sb_puts(out, ",\"logprob\":");
    put_json_number(out, logprob);
    sb_puts(out, ",\"bytes\":");
    put_token_bytes(out, s, id);
}

/* Those that are ready and not told, each with its likeliest. */
void
put_prob_list(Choice *c, StrBuf *out, bool with_ids)
{
    const Server *s = c->ex->server;
    sb_puts(out, "[");
    for (int first = c->told; c->told < c->ready; c->told++) {
        const Prob *p = &c->probs[c->told];
        sb_puts(out, c->told > first ? "," : "");
        put_rank(out, s, p->id, p->logprob, with_ids);
        sb_puts(out, ",\"top_logprobs\":[");
        for (int i = 0; i < p->ntop; i++) {
            sb_puts(out, i ? "," : "");
            put_rank(out, s, p->top[i].id, p->top[i].logprob, with_ids);
            sb_puts(out, "}");
        }
        sb_puts(out, "]}");
    }
    sb_puts(out, "]");
}

/* Characters of raw before `at`, which grows from call to call. */
static int64_t
chars_before(Choice *c, size_t at)
{
    for (; c->counted < at && c->counted < c->raw.len; c->counted++)
        c->chars += (c->raw.text[c->counted] & 0xC0) != 0x80;
    return c->chars;
}

static void
put_top_map(const Choice *c, const Prob *p, StrBuf *out)
{
    sb_puts(out, "{");
    for (int i = 0; i < p->ntop; i++) {
        sb_puts(out, i ? "," : "");
        put_token(out, c->ex->server, p->top[i].id);
        sb_puts(out, ":");
        put_json_number(out, p->top[i].logprob);
    }
    sb_puts(out, "}");
}

/* The form of completions: a list of each. */
void
put_prob_lists(Choice *c, StrBuf *out)
{
    enum { LISTS = 4 };
    static const char *const names[LISTS] = {"tokens", "token_logprobs", "top_logprobs",
                                             "text_offset"};
    StrBuf list[LISTS] = {0};
    for (int first = c->told; c->told < c->ready; c->told++) {
        const Prob *p = &c->probs[c->told];
        for (int i = 0; i < LISTS; i++)
            sb_puts(&list[i], c->told > first ? "," : "");
        put_token(&list[0], c->ex->server, p->id);
        put_json_number(&list[1], p->logprob);
        if (p->ntop > 0)
            put_top_map(c, p, &list[2]);
        else
            sb_puts(&list[2], "null");
        sb_printf(&list[3], "%lld", (long long)chars_before(c, p->at));
    }
    for (int i = 0; i < LISTS; i++) {
        sb_printf(out, "%s\"%s\":[%s]", i ? "," : "{", names[i], sb_text(&list[i]));
        sb_free(&list[i]);
    }
    sb_puts(out, "}");
}

void
event_end(StrBuf *out)
{
    sb_puts(out, "}\n\n");
}

void
put_usage_event(Answer *a, StrBuf *out)
{
    if (a->ex->request.usage) {
        sb_putn(out, a->head.text, a->head.len);
        sb_puts(out, ",\"choices\":[],\"usage\":");
        usage_put(a, out);
        event_end(out);
    }
    sb_puts(out, "data: [DONE]\n\n");
}

void
put_whole_head(const Answer *a, StrBuf *out)
{
    sb_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->id,
              a->dialect->object, (long long)a->ex->created);
    put_json_text(out, a->ex->server->o->name);
}
