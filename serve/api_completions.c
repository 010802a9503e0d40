/* serve/api_completions.c -- POST /v1/completions: prompts, and the dialect of its answers. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/infill.h"
#include "serve/prompt.h"

/* ---- prompts ------------------------------------------------------------------------------- */

static bool
prompt_of_text(Exchange *ex, const json_object *json, Prompt *out)
{
    const char *text = json_object_get_string((json_object *)json);
    const size_t len = (size_t)json_object_get_string_len(json);
    out->text = malloc(len + 1);
    if (!out->text)
        die_no_memory(len);
    memcpy(out->text, text, len);
    out->text[len] = '\0';
    out->len = len;
    const RequestValue *suffix = &ex->request.value[REQ_suffix];
    const Infill infill = {
        .prefix = {text,         len        },
          .suffix = {suffix->text, suffix->len}
    };
    if (suffix->len > 0)
        return infill_prompt(ex, &infill, answer_most(ex), out);
    if (!text_ids(ex, "the prompt", text, len, false, &out->ids, &out->count))
        return false;
    infill_mark(ex->server, out);
    return true;
}

/* An echo repeats the text of the ids. */
static bool
prompt_of_ids(Exchange *ex, json_object *json, Prompt *out)
{
    const Server *s = ex->server;
    if (ex->request.value[REQ_suffix].len > 0)
        return refuse(ex, 400, "suffix", NULL, "suffix wants a prompt that is a text");
    if (!request_ids(json, REQ_prompt, s->vocab, &out->ids, &out->count, &ex->fault))
        return false;
    StrBuf text = {0};
    TokText *made = tok_text_new(s->o->tok, false);
    size_t len = 0;
    for (int64_t i = 0; i < out->count; i++) {
        const char *bytes = tok_text_add(made, out->ids[i], &len);
        sb_putn(&text, bytes ? bytes : "", bytes ? len : 0);
    }
    const char *rest = tok_text_end(made, &len);
    sb_putn(&text, rest, len);
    tok_text_free(made);
    out->text = text.text;
    out->len = text.len;
    return true;
}

static bool
read_one(Exchange *ex, json_object *json, Prompt *out)
{
    bool ok = false;
    if (json_object_is_type(json, json_type_string))
        ok = prompt_of_text(ex, json, out);
    else if (json_object_is_type(json, json_type_array))
        ok = prompt_of_ids(ex, json, out);
    else
        refuse(ex, 400, "prompt", NULL,
               "prompt must be a string, a list of ids, or a list of either");
    return ok && (out->count > 0 || refuse(ex, 400, "prompt", NULL,
                                           "prompt is empty: there is nothing to go on from"));
}

Prompt *
prompts_read(Exchange *ex, int most, int *n)
{
    json_object *json = ex->request.value[REQ_prompt].json;
    if (!json) {
        refuse(ex, 400, "prompt", "missing_required_parameter", "prompt is missing");
        return NULL;
    }
    const json_object *first =
        json_object_is_type(json, json_type_array) ? json_object_array_get_idx(json, 0) : NULL;
    const bool list = first && !json_object_is_type(first, json_type_int);
    const size_t count = list ? json_object_array_length(json) : 1;
    if (count > (size_t)most) {
        refuse(ex, 400, "prompt", NULL,
               "prompt is a list of %zu: at most %d answers are made at once", count, most);
        return NULL;
    }
    Prompt *prompts = calloc(count, sizeof *prompts);
    if (!prompts)
        die_no_memory(count * sizeof *prompts);
    *n = (int)count;
    for (size_t i = 0; i < count; i++)
        if (!read_one(ex, list ? json_object_array_get_idx(json, i) : json, &prompts[i])) {
            prompts_free(prompts, *n);
            return NULL;
        }
    return prompts;
}

void
api_completions(Exchange *ex)
{
    int n = 0;
    if (!body_read(ex, ENDPOINT_completions))
        return;
    Prompt *prompts = prompts_read(ex, (int)(MOST_CHOICES / request_made(&ex->request)), &n);
    if (prompts)
        answer_begin(ex, &dialect_completions, prompts, n);
}

/* ---- the dialect --------------------------------------------------------------------------- */

static void
put_probs(Choice *c, StrBuf *out)
{
    if (c->ex->request.top >= 0)
        put_prob_lists(c, out);
    else
        sb_puts(out, "null");
}

static void
put_choice(Choice *c, int index, StrBuf *out, const char *text, size_t len, const char *finish)
{
    sb_printf(out, "{\"index\":%d,\"text\":", index);
    put_json(out, text, len);
    sb_puts(out, ",\"logprobs\":");
    put_probs(c, out);
    sb_puts(out, ",\"finish_reason\":");
    put_json_text(out, finish);
    sb_puts(out, "}");
}

static void
put_event(Choice *c, const char *text, size_t len, const char *finish)
{
    StrBuf *out = &c->ex->out;
    sb_putn(out, c->answer->head.text, c->answer->head.len);
    sb_puts(out, ",\"choices\":[");
    put_choice(c, c->index, out, text, len, finish);
    sb_puts(out, c->ex->request.usage ? "],\"usage\":null" : "]");
    event_end(out);
}

static void
piece(Choice *c, ChatKind kind, int call, const char *text, size_t len)
{
    (void)kind;
    (void)call;
    put_event(c, text, len, NULL);
}

static void
finish(Choice *c)
{
    put_event(c, "", 0, choice_finish(c));
}

static void
end(Answer *a)
{
    put_usage_event(a, &a->ex->out);
}

/* An id: answers of other lengths are to be compared. */
static double
likelihood(const Choice *c)
{
    return c->result.drawn > 0 ? c->sum / (double)c->result.drawn : -INFINITY;
}

/* Of the choices of a prompt that have not been given, the likeliest, or, of all that are given,
 * the next. */
static Choice *
next_choice(const Answer *a, int prompt)
{
    Choice *best = NULL, *of = a->choices + prompt * a->per;
    for (int i = 0; i < a->per; i++)
        if (!of[i].given && (!best || (a->given < a->per && likelihood(&of[i]) > likelihood(best))))
            best = &of[i];
    best->given = true;
    return best;
}

static void
whole(Answer *a, StrBuf *out)
{
    put_whole_head(a, out);
    sb_puts(out, ",\"choices\":[");
    for (int i = 0; i < a->nprompts * a->given; i++) {
        Choice *c = next_choice(a, i / a->given);
        sb_puts(out, i ? "," : "");
        put_choice(c, i, out, sb_text(&c->content), c->content.len, choice_finish(c));
    }
    sb_puts(out, "],\"usage\":");
    usage_put(a, out);
    sb_puts(out, "}\n");
}

const Dialect dialect_completions = {
    .prefix = "cmpl-",
    .object = "text_completion",
    .piece_object = "text_completion",
    .piece = piece,
    .finish = finish,
    .end = end,
    .whole = whole,
};
