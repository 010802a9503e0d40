/* serve/api_info.c -- endpoints that ask nothing of the engine: the page, health, models, ids. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "serve/http.h"

extern const char serve_page_html[]; /* page.html */

const char type_page[] = "text/html; charset=utf-8";
/* Style and script are inside the page; it talks to this server alone. */
const char page_policy[] =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src "
    "'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

void
api_page(Exchange *ex)
{
    StrBuf out = {0};
    sb_puts(&out, serve_page_html);
    reply(ex, 200, type_page, &out);
}

void
api_health(Exchange *ex)
{
    StrBuf out = {0};
    const bool draining = atomic_load(&ex->server->draining);
    sb_printf(&out, "{\"status\":\"%s\"}\n", draining ? "shutting down" : "ok");
    reply(ex, draining ? 503 : 200, type_json, &out);
}

static void
put_model(const Server *s, StrBuf *out)
{
    const ServeOptions *o = s->o;
    sb_puts(out, "{\"id\":");
    put_json_text(out, o->name);
    sb_printf(out,
              ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"ssmc\",\"meta\":{\"n_vocab\":%"
              "lld,\"n_ctx\":%lld,",
              (long long)s->started, (long long)s->vocab, (long long)o->engine.room);
    sb_puts(out, "\"chat_format\":");
    put_json_text(out, o->chat ? chat_name(o->chat) : NULL);
    sb_puts(out, "}}");
}

void
api_models(Exchange *ex)
{
    StrBuf out = {0};
    sb_puts(&out, "{\"object\":\"list\",\"data\":[");
    put_model(ex->server, &out);
    sb_puts(&out, "]}\n");
    reply(ex, 200, type_json, &out);
}

void
api_model(Exchange *ex)
{
    const char *name = ex->path + strlen("/v1/models/");
    StrBuf out = {0};
    if (strcmp(name, ex->server->o->name) != 0) {
        refuse(ex, 404, "model", "model_not_found", "the model '%.200s' is not here: this is %s",
               name, ex->server->o->name);
        return;
    }
    put_model(ex->server, &out);
    sb_puts(&out, "\n");
    reply(ex, 200, type_json, &out);
}

void
api_embeddings(Exchange *ex)
{
    refuse(ex, 400, NULL, "not_supported", "embeddings are not offered: this model generates text");
}

/* ---- ids ----------------------------------------------------------------------------------- */

static void
put_piece(StrBuf *out, const Server *s, int32_t id)
{
    size_t len = 0, bad = 0;
    const char *bytes = tok_decode(s->o->tok, id, &len);
    sb_printf(out, "{\"id\":%d,\"piece\":", id);
    if (bytes && !utf8_valid(bytes, len, &bad)) {
        for (size_t i = 0; i < len; i++)
            sb_printf(out, "%c%d", i ? ',' : '[', (unsigned char)bytes[i]);
        sb_puts(out, "]}");
        return;
    }
    put_json(out, bytes ? bytes : "", bytes ? len : 0);
    sb_puts(out, "}");
}

void
api_tokenize(Exchange *ex)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    StrBuf out = {0};
    if (!body_read(ex, ENDPOINT_tokenize))
        return;
    const RequestValue *v = ex->request.value;
    if (!v[REQ_content].json) {
        refuse(ex, 400, "content", "missing_required_parameter", "content is missing");
        return;
    }
    const RequestValue *text = &v[REQ_content];
    const bool plain = request_has(&ex->request, REQ_parse_special) && !v[REQ_parse_special].i;
    if (plain ? !plain_ids(ex, "content", text->text, text->len, &ids, &count)
              : !text_ids(ex, "content", text->text, text->len, v[REQ_add_special].i == 0, &ids,
                          &count))
        return;
    sb_puts(&out, "{\"tokens\":[");
    for (int64_t i = 0; i < count; i++) {
        sb_puts(&out, i ? "," : "");
        if (v[REQ_with_pieces].i)
            put_piece(&out, ex->server, ids[i]);
        else
            sb_printf(&out, "%d", ids[i]);
    }
    sb_puts(&out, "]}\n");
    free(ids);
    reply(ex, 200, type_json, &out);
}

void
api_detokenize(Exchange *ex)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    size_t len = 0;
    StrBuf out = {0}, text = {0};
    if (!body_read(ex, ENDPOINT_detokenize))
        return;
    json_object *list = ex->request.value[REQ_tokens].json;
    if (!list)
        refuse(ex, 400, "tokens", "missing_required_parameter", "tokens is missing");
    if (!list || !request_ids(list, REQ_tokens, ex->server->vocab, &ids, &count, &ex->fault)) {
        free(ids);
        return;
    }
    TokText *made = tok_text_new(ex->server->o->tok, false);
    for (int64_t i = 0; i < count; i++) {
        const char *bytes = tok_text_add(made, ids[i], &len);
        sb_putn(&text, bytes ? bytes : "", bytes ? len : 0);
    }
    const char *rest = tok_text_end(made, &len);
    sb_putn(&text, rest ? rest : "", rest ? len : 0);
    tok_text_free(made);
    free(ids);
    sb_puts(&out, "{\"content\":");
    put_json(&out, sb_text(&text), text.len);
    sb_puts(&out, "}\n");
    sb_free(&text);
    reply(ex, 200, type_json, &out);
}
