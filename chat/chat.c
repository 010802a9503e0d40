/* chat/chat.c -- conversations as text: by the template of a checkpoint, or by a known format. */
#include "chat/chat.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/formats.h"
#include "chat/jinja.h"

static const ChatTurns all_turns[] = {
#define CHAT_FORMAT(id, name, mark, first, stop, system, system_end, user, user_end, answer,       \
                    answer_end)                                                                    \
    {                                                                                              \
        name, mark, first, stop, {system, system_end}, \
            {user,   user_end  }, \
            {answer, answer_end} \
},
#include "chat/formats.def"
};

static const struct {
    ChatCalls calls;
    const char *mark, *mark2;
} all_calls[] = {
#define CHAT_CALLS(id, begin, end, syntax, open, close, mark, mark2)                               \
    {                                                                                              \
        {begin, end, SYNTAX_##syntax, open, close}, \
        mark, mark2 \
    },
#include "chat/formats.def"
};

static const ChatThinking all_thinking[] = {
#define CHAT_THINKING(id, open, close) {open, close},
#include "chat/formats.def"
};

struct ChatFormat {
    Arena *arena;
    const ChatTurns *turns; /* NULL: a template that fits no row */
    const ChatCalls *calls;
    const ChatThinking *thinking;
    const JTemplate *template; /* NULL: the turns' texts */
    const char *bos, *eos;
    bool takes_parts, takes_text; /* what a message's content may be */
    bool knows_developer;
    const char *stops[4];
};

const ChatCalls *
chat_calls(const ChatFormat *format)
{
    return format->calls;
}

const ChatThinking *
chat_thinking(const ChatFormat *format)
{
    return format->thinking;
}

bool
chat_trims(const ChatFormat *format)
{
    const char *begin = format->template ? "" : format->turns->answer.begin;
    return begin[0] && begin[strlen(begin) - 1] == ' ';
}

const char *
chat_name(const ChatFormat *format)
{
    return format->turns ? format->turns->name : "template";
}

const char *const *
chat_stops(const ChatFormat *format)
{
    return format->stops;
}

/* ---- choosing ------------------------------------------------------------------------------- */

static const ChatTurns *
turns_named(Arena *arena, const char *name, Diag *diag)
{
    for (size_t i = 0; i < COUNT_OF(all_turns); i++)
        if (strcmp(all_turns[i].name, name) == 0)
            return &all_turns[i];
    const char *near = nearest_name(name, all_turns, COUNT_OF(all_turns), sizeof *all_turns);
    diag_error(diag, (SrcLoc){0}, "unknown --chat-format '%s'%s%s%s: it may be %s", name,
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
               names_listed(arena, all_turns, COUNT_OF(all_turns), sizeof *all_turns, "or"));
    return NULL;
}

static void
choose_by_marks(ChatFormat *f, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(all_turns) && !f->turns; i++)
        if (all_turns[i].mark && strstr(text, all_turns[i].mark))
            f->turns = &all_turns[i];
    for (size_t i = 0; i < COUNT_OF(all_calls) && !f->calls; i++)
        if (strstr(text, all_calls[i].mark) && strstr(text, all_calls[i].mark2))
            f->calls = &all_calls[i].calls;
    for (size_t i = 0; i < COUNT_OF(all_thinking) && !f->thinking; i++)
        if (strstr(text, all_thinking[i].close))
            f->thinking = &all_thinking[i];
}

/* What ends an answer: the end of a turn without its white space, if it has more than that. */
static void
choose_stops(ChatFormat *f)
{
    int count = 0;
    if (!f->turns)
        return;
    const size_t len = strcspn(f->turns->answer.end, "\n");
    if (len)
        f->stops[count++] = arena_strndup(f->arena, f->turns->answer.end, len);
    if (f->turns->stop[0])
        f->stops[count++] = f->turns->stop;
}

static struct json_object *
message(const char *role, struct json_object *content)
{
    struct json_object *m = json_object_new_object();
    json_object_object_add(m, "role", json_object_new_string(role));
    json_object_object_add(m, "content", content);
    return m;
}

static struct json_object *
text_parts(const char *text, int len)
{
    struct json_object *parts = json_object_new_array(), *part = json_object_new_object();
    json_object_object_add(part, "type", json_object_new_string("text"));
    json_object_object_add(part, "text", json_object_new_string_len(text, len));
    json_object_array_add(parts, part);
    return parts;
}

static bool
render_messages(const ChatFormat *f, struct json_object *messages, const ChatPrompt *prompt,
                StrBuf *out, char **why)
{
    Diag *diag = diag_new();
    struct json_object *vars = json_object_new_object();
    if (prompt && prompt->extra) {
        json_object_object_foreach(prompt->extra, key, value)
        {
            json_object_object_add(vars, key, json_object_get(value));
        }
    }
    json_object_object_add(vars, "messages", json_object_get(messages));
    json_object_object_add(vars, "tools", prompt ? json_object_get(prompt->tools) : NULL);
    json_object_object_add(vars, "documents", NULL);
    json_object_object_add(vars, "add_generation_prompt",
                           json_object_new_boolean(!prompt || prompt->answer));
    if (f->bos)
        json_object_object_add(vars, "bos_token", json_object_new_string(f->bos));
    if (f->eos)
        json_object_object_add(vars, "eos_token", json_object_new_string(f->eos));
    const bool ok = jinja_render(f->template, vars, out, diag);
    if (!ok && why) {
        StrBuf said = {0};
        diag_print(diag, &said);
        sb_puts(&said, "");
        *why = said.text;
    }
    json_object_put(vars);
    diag_free(diag);
    return ok;
}

/* Renders one message of a user, its content a text or parts, and looks whether it comes out. */
static bool
probe(const ChatFormat *f, bool parts)
{
    static const char needle[] = "cmlwuq";
    struct json_object *content =
        parts ? text_parts(needle, sizeof needle - 1) : json_object_new_string(needle);
    struct json_object *messages = json_object_new_array();
    StrBuf out = {0};
    json_object_array_add(messages, message("user", content));
    const bool ok = render_messages(f, messages, NULL, &out, NULL);
    const char *hit = ok ? strstr(sb_text(&out), needle) : NULL;
    const bool shown =
        hit && !strstr(sb_text(&out), "'type'") && !strstr(sb_text(&out), "\"type\"");
    json_object_put(messages);
    sb_free(&out);
    return shown;
}

static bool
open_template(ChatFormat *f, const ChatSource *source, Diag *diag)
{
    const char *path = source->template_path ? source->template_path : "chat template";
    const JTemplate *t = jinja_parse(f->arena, arena_strdup(f->arena, path), source->template,
                                     strlen(source->template), diag);
    if (!t)
        return false;
    f->template = t;
    f->takes_parts = probe(f, true);
    f->takes_text = probe(f, false) || !f->takes_parts;
    f->knows_developer = strstr(source->template, "developer") != NULL;
    return true;
}

ChatFormat *
chat_open(const ChatSource *source, Diag *diag)
{
    Arena *arena = arena_new();
    ChatFormat *f = arena_alloc(arena, sizeof *f);
    f->arena = arena;
    f->bos = arena_strdup(arena, source->bos);
    f->eos = arena_strdup(arena, source->eos);
    bool ok = true;
    if (source->name) {
        f->turns = turns_named(arena, source->name, diag);
        ok = f->turns != NULL;
    }
    if (ok && source->template) {
        ok = open_template(f, source, diag);
        if (ok)
            choose_by_marks(f, source->template);
    } else if (ok && !source->name) {
        ok = diag_error(
            diag, (SrcLoc){0},
            "the model has no chat template: --chat-format names the format of its "
            "conversations (%s), or --chat-template a file with a template",
            names_listed(arena, all_turns, COUNT_OF(all_turns), sizeof *all_turns, "or"));
    } else if (ok) {
        f->takes_text = true;
        f->thinking = f->turns->mark ? &all_thinking[0] : NULL;
    }
    if (ok) {
        choose_stops(f);
        return f;
    }
    diag_own(diag, arena); /* faults point into the template, as it was read */
    return NULL;
}

void
chat_close(ChatFormat *format)
{
    if (format)
        arena_free(format->arena);
}

/* ---- messages ------------------------------------------------------------------------------- */

static char *
said(const char *fmt, ...)
{
    StrBuf text = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&text, fmt, args);
    va_end(args);
    return text.text;
}

static const char *
text_of(struct json_object *of, const char *key)
{
    struct json_object *v = NULL;
    return json_object_object_get_ex(of, key, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

/* The texts of a content's parts, one after the other; a part that is no text is a fault. */
static char *
join_parts(struct json_object *parts, int at, StrBuf *out)
{
    for (size_t i = 0; i < json_object_array_length(parts); i++) {
        struct json_object *part = json_object_array_get_idx(parts, i), *text = NULL;
        const char *type = text_of(part, "type");
        if (!type)
            return said("part %zu of the content of message %d has no type", i, at);
        if (strcmp(type, "text") != 0 || !json_object_object_get_ex(part, "text", &text) ||
            !json_object_is_type(text, json_type_string))
            return said("message %d has a part of type '%s': this model reads text only", at,
                        strcmp(type, "text") ? type : "text without a text");
        sb_putn(out, json_object_get_string(text), (size_t)json_object_get_string_len(text));
    }
    return NULL;
}

static char *
take_content(const ChatFormat *f, struct json_object *from, struct json_object *to, int at)
{
    struct json_object *content = NULL;
    const bool given = json_object_object_get_ex(from, "content", &content);
    if (!given || !content) {
        if (given)
            json_object_object_add(to, "content", NULL);
        return NULL;
    }
    if (json_object_is_type(content, json_type_array)) {
        StrBuf text = {0};
        char *why = join_parts(content, at, &text);
        if (why)
            return sb_free(&text), why;
        json_object_object_add(to, "content",
                               f->takes_parts
                                   ? json_object_get(content)
                                   : json_object_new_string_len(sb_text(&text), (int)text.len));
        sb_free(&text);
        return NULL;
    }
    if (!json_object_is_type(content, json_type_string))
        return said("the content of message %d is neither a text nor a list of parts", at);
    json_object_object_add(to, "content",
                           f->takes_text ? json_object_get(content)
                                         : text_parts(json_object_get_string(content),
                                                      json_object_get_string_len(content)));
    return NULL;
}

/* The calls of a message. parsed: their arguments, which come as JSON text, as what it says. */
static struct json_object *
copy_calls(struct json_object *calls, bool parsed)
{
    struct json_object *copy = NULL;
    if (json_object_deep_copy(calls, &copy, NULL) != 0)
        die_no_memory(0);
    const size_t count =
        parsed && json_object_is_type(copy, json_type_array) ? json_object_array_length(copy) : 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *function = NULL;
        if (!json_object_object_get_ex(json_object_array_get_idx(copy, i), "function", &function))
            continue;
        const char *text = text_of(function, "arguments");
        struct json_object *value = text ? json_tokener_parse(text) : NULL;
        if (json_object_is_type(value, json_type_object))
            json_object_object_add(function, "arguments", value);
        else
            json_object_put(value);
    }
    return copy;
}

static char *
take_message(const ChatFormat *f, struct json_object *from, bool parsed, int at,
             struct json_object *out)
{
    const char *role = text_of(from, "role");
    if (!json_object_is_type(from, json_type_object) || !role)
        return said("message %d has no role", at);
    struct json_object *to = json_object_new_object();
    json_object_array_add(out, to);
    json_object_object_foreach(from, key, value)
    {
        if (strcmp(key, "content") == 0) {
            char *why = take_content(f, from, to, at);
            if (why)
                return why;
        } else if (strcmp(key, "role") == 0 && strcmp(role, "developer") == 0 &&
                   !f->knows_developer) {
            json_object_object_add(to, key, json_object_new_string("system"));
        } else if (strcmp(key, "tool_calls") == 0) {
            json_object_object_add(to, key, value ? copy_calls(value, parsed) : NULL);
        } else {
            json_object_object_add(to, key, json_object_get(value));
        }
    }
    return NULL;
}

/* Messages as a template wants them. */
static struct json_object *
take_messages(const ChatFormat *f, struct json_object *from, bool parsed, char **why)
{
    struct json_object *out = json_object_new_array();
    *why = NULL;
    if (!json_object_is_type(from, json_type_array) || json_object_array_length(from) == 0)
        *why = said("there are no messages: a list of at least one is expected");
    for (size_t i = 0; !*why && i < json_object_array_length(from); i++)
        *why = take_message(f, json_object_array_get_idx(from, i), parsed, (int)i, out);
    if (!*why)
        return out;
    json_object_put(out);
    return NULL;
}

/* ---- without a template --------------------------------------------------------------------- */

static char *
put_turns(const ChatFormat *f, struct json_object *messages, const ChatPrompt *prompt, StrBuf *out)
{
    const ChatTurns *turns = f->turns;
    if (json_object_is_type(prompt->tools, json_type_array) &&
        json_object_array_length(prompt->tools))
        return said("the format %s has no place for tools: a chat template is needed", turns->name);
    sb_puts(out, turns->first);
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *m = json_object_array_get_idx(messages, i);
        const char *role = text_of(m, "role"), *text = text_of(m, "content");
        const bool system = strcmp(role, "system") == 0, user = strcmp(role, "user") == 0;
        const bool known =
            system ? turns->system.begin != NULL : user || strcmp(role, "assistant") == 0;
        if (!known || !text)
            return said("message %zu: the format %s has no place for %s%s", i, turns->name,
                        known ? "a message without content" : "the role ", known ? "" : role);
        sb_puts(out, system ? turns->system.begin : user ? turns->user.begin : turns->answer.begin);
        sb_puts(out, text);
        sb_puts(out, system ? turns->system.end : user ? turns->user.end : turns->answer.end);
    }
    if (prompt->answer) {
        size_t len =
            strlen(turns->answer.begin); /* no space at its end: what comes begins with it */
        while (len && turns->answer.begin[len - 1] == ' ')
            len--;
        sb_putn(out, turns->answer.begin, len);
    }
    return NULL;
}

/* ---- rendering ------------------------------------------------------------------------------ */

static bool
render(const ChatFormat *f, struct json_object *messages, const ChatPrompt *prompt, StrBuf *out,
       char **why)
{
    char *fault = NULL;
    struct json_object *taken = take_messages(f, messages, true, &fault);
    if (taken && !f->template)
        fault = put_turns(f, taken, prompt, out);
    bool ok = taken && !fault;
    if (ok && f->template)
        ok = render_messages(f, taken, prompt, out, &fault);
    json_object_put(taken);
    if (!ok && f->template && taken) { /* it may want the arguments of calls as they came */
        char *second = NULL;
        StrBuf again = {0};
        taken = take_messages(f, messages, false, &second);
        ok = taken && render_messages(f, taken, prompt, &again, &second);
        json_object_put(taken);
        free(second);
        if (ok) {
            sb_free(out);
            *out = again;
            free(fault);
            fault = NULL;
        } else {
            sb_free(&again);
        }
    }
    if (why)
        *why = fault;
    else
        free(fault);
    return ok;
}

static size_t
common(const StrBuf *a, const StrBuf *b)
{
    size_t n = 0;
    while (n < a->len && n < b->len && a->text[n] == b->text[n])
        n++;
    while (n > 0 && n < a->len && ((unsigned char)a->text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* The system's messages with one of a user behind them, which says `text`. */
static struct json_object *
with_dummy(struct json_object *messages, const char *text)
{
    struct json_object *out = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *m = json_object_array_get_idx(messages, i);
        const char *role = text_of(m, "role");
        if (!role || (strcmp(role, "system") != 0 && strcmp(role, "developer") != 0))
            break;
        json_object_array_add(out, json_object_get(m));
    }
    json_object_array_add(out, message("user", json_object_new_string(text)));
    return out;
}

static size_t
shared_part(const ChatFormat *f, const ChatPrompt *prompt, const StrBuf *text)
{
    static const char *const dummies[] = {"alpha", "omega"};
    size_t shared = text->len;
    for (size_t i = 0; i < COUNT_OF(dummies); i++) {
        struct json_object *messages = with_dummy(prompt->messages, dummies[i]);
        StrBuf other = {0};
        const bool ok = render(f, messages, prompt, &other, NULL);
        const size_t n = ok ? common(text, &other) : 0;
        shared = n < shared ? n : shared;
        sb_free(&other);
        json_object_put(messages);
    }
    return shared;
}

char *
chat_render(const ChatFormat *format, const ChatPrompt *prompt, size_t *len, size_t *shared,
            char **why)
{
    StrBuf out = {0};
    *why = NULL;
    if (!render(format, prompt->messages, prompt, &out, why)) {
        sb_free(&out);
        return NULL;
    }
    sb_puts(&out, "");
    if (shared)
        *shared = shared_part(format, prompt, &out);
    *len = out.len;
    return out.text;
}
