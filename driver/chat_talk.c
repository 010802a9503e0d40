/* driver/chat_talk.c -- turns of a conversation. Each is rendered as a whole and compared, id by
 * id, with what the model has read: what follows is read, and nothing else. Where the two differ,
 * as where a template drops the reasoning of earlier answers, the sequence goes back to the last
 * state that was kept before that place. One is kept behind each message of the user, because all
 * renderings agree up to there. */
#include "driver/chat_talk.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "driver/chat_line.h"

enum { PIECE = 512 }; /* ids that are read between two looks for Ctrl-C */

static const char user_role[] = "user", system_role[] = "system";

/* ---- what has been read -----------------------------------------------------------------------
 */

static void
drop_marks(Talk *t, int64_t above)
{
    while (t->nmarks > 0 && t->marks[t->nmarks - 1].count > above)
        ssmc_checkpoint_drop(t->marks[--t->nmarks].state);
}

void
talk_close(Talk *t)
{
    drop_marks(t, -1);
    free(t->ids);
    json_object_put(t->messages);
    json_object_put(t->extra);
    t->ids = NULL;
    t->messages = t->extra = NULL;
}

static void
note_read(Talk *t, int32_t id)
{
    if (t->read == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 256;
        t->ids = realloc(t->ids, (size_t)t->cap * sizeof *t->ids);
        if (!t->ids)
            die_no_memory((size_t)t->cap * sizeof *t->ids);
    }
    t->ids[t->read++] = id;
}

/* Keeps the state, in the place of the oldest where there are as many as may be. */
static ssmc_status
mark(Talk *t)
{
    if (t->nmarks && t->marks[t->nmarks - 1].count == t->read)
        return SSMC_OK;
    if (t->nmarks == TALK_MARKS) {
        ssmc_checkpoint_drop(t->marks[0].state);
        memmove(t->marks, t->marks + 1, (TALK_MARKS - 1) * sizeof *t->marks);
        t->nmarks--;
    }
    TalkMark *m = &t->marks[t->nmarks];
    m->count = t->read;
    const ssmc_status status = ssmc_checkpoint_take(t->session, 0, &m->state);
    t->nmarks += status == SSMC_OK;
    return status;
}

/* Ids that begin both. */
static int64_t
common(const int32_t *a, int64_t na, const int32_t *b, int64_t nb)
{
    int64_t n = 0;
    while (n < na && n < nb && a[n] == b[n])
        n++;
    return n;
}

/* Goes back to where what was read is what these ids begin with, the last of them excepted: it is
 * read in any case, for what is drawn after it. */
static ssmc_status
go_back(Talk *t, const int32_t *ids, int64_t count)
{
    const int64_t same = common(t->ids, t->read, ids, count - 1);
    if (same == t->read)
        return SSMC_OK;
    drop_marks(t, same);
    const bool marked = t->nmarks > 0;
    const ssmc_status status = marked ? ssmc_rewind(t->session, 0, t->marks[t->nmarks - 1].state)
                                      : ssmc_reset(t->session, 0);
    if (status == SSMC_OK)
        t->read = marked ? t->marks[t->nmarks - 1].count : 0;
    return status;
}

/* From the cache what it has, where nothing has been read. A cache that fails is none. */
static void
take_cached(Talk *t, const int32_t *ids, int64_t count)
{
    int64_t taken = 0;
    if (!t->cache || t->read > 0 || count < 1)
        return;
    if (ssmc_cache_take(t->cache, t->session, 0, ids, count, &taken) != SSMC_OK)
        note("--cache-dir: %s", ssmc_error());
    for (int64_t i = 0; i < taken; i++)
        note_read(t, ids[i]);
}

/* Reads ids up to `end`; *next: drawn after the last of them, unless it is NULL. Ends early, with
 * *stopped, after Ctrl-C. */
static ssmc_status
read_to(Talk *t, const int32_t *ids, int64_t end, int32_t *next, bool *stopped)
{
    ssmc_status status = SSMC_OK;
    while (status == SSMC_OK && t->read < end && !*stopped) {
        const int64_t left = end - t->read, n = left < PIECE ? left : PIECE;
        const bool last = next && n == left;
        ssmc_turn turn = {.ids = ids + t->read, .count = n, .sampler = last ? t->sampler : NULL};
        status = ssmc_draw(t->session, &turn, 1);
        for (int64_t i = 0, at = t->read; status == SSMC_OK && i < n; i++) {
            note_read(t, ids[at + i]);
            ssmc_sampler_see(t->sampler, ids[at + i]);
        }
        if (status == SSMC_OK) {
            t->fed += n;
            if (last)
                *next = turn.id;
        }
        *stopped = !last && chat_interrupted();
    }
    return status;
}

/* ---- messages ------------------------------------------------------------------------------- */

static struct json_object *
message(const char *role, const char *text, size_t len)
{
    struct json_object *m = json_object_new_object();
    json_object_object_add(m, "role", json_object_new_string(role));
    json_object_object_add(m, "content", json_object_new_string_len(text, (int)len));
    return m;
}

static const char *
role_of(const Talk *t, size_t i)
{
    struct json_object *role = NULL;
    json_object_object_get_ex(json_object_array_get_idx(t->messages, i), "role", &role);
    return role ? json_object_get_string(role) : "";
}

static size_t
count_of(const Talk *t)
{
    return json_object_array_length(t->messages);
}

static void
cut_messages(Talk *t, size_t count)
{
    if (count < count_of(t))
        json_object_array_del_idx(t->messages, count, count_of(t) - count);
}

void
talk_reset(Talk *t)
{
    if (!t->messages)
        t->messages = json_object_new_array();
    cut_messages(t, count_of(t) > 0 && strcmp(role_of(t, 0), system_role) == 0);
}

void
talk_system(Talk *t, const char *text)
{
    struct json_object *all = json_object_new_array();
    if (text)
        json_object_array_add(all, message(system_role, text, strlen(text)));
    for (size_t i = 0; t->messages && i < count_of(t); i++)
        if (i > 0 || strcmp(role_of(t, 0), system_role) != 0)
            json_object_array_add(all, json_object_get(json_object_array_get_idx(t->messages, i)));
    json_object_put(t->messages);
    t->messages = all;
}

bool
talk_undo(Talk *t)
{
    size_t count = count_of(t);
    while (count > 0 && strcmp(role_of(t, count - 1), user_role) != 0)
        count--;
    if (count > 0)
        cut_messages(t, count - 1);
    return count > 0;
}

/* The conversation as ids. *stays: so many begin it in any case, whatever comes next. */
static int
render(const Talk *t, int32_t **ids, size_t *count, int64_t *stays, char **text, size_t *len)
{
    ChatPrompt prompt = {.messages = t->messages, .extra = t->extra, .answer = true};
    char *why = NULL, *closed = NULL;
    int32_t *before = NULL;
    size_t nbefore = 0, closed_len = 0;
    *ids = NULL;
    *text = chat_render(t->format, &prompt, len, NULL, &why);
    if (!*text) {
        const size_t end = strlen(why);
        fault(EXIT_BAD_INPUT, "%.*s", (int)(end && why[end - 1] == '\n' ? end - 1 : end), why);
        free(why);
        return EXIT_BAD_INPUT;
    }
    int status = chat_encode(t->tok, *text, *len, ids, count);
    prompt.answer = false;
    closed = status == EXIT_DONE ? chat_render(t->format, &prompt, &closed_len, NULL, &why) : NULL;
    if (closed && chat_encode(t->tok, closed, closed_len, &before, &nbefore) == EXIT_DONE)
        *stays = common(*ids, (int64_t)*count - 1, before, (int64_t)nbefore);
    free(before);
    free(closed);
    free(why);
    if (status == EXIT_DONE && *count == 0)
        status =
            fault(EXIT_BAD_INPUT, "the conversation has no text: there is nothing to go on from");
    return status;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* An answer as it comes: its text, up to where it ends, through the parser. */
typedef struct {
    Talk *talk;
    ChatParser *parser;
    TalkPut *put;
    void *user;
    StrBuf held;               /* text that may begin what ends the answer */
    StrBuf content, reasoning; /* all of it */
    bool written;              /* put has not failed */
    bool stopped;              /* what ends it has come */
} Answer;

static void
on_part(void *user, ChatKind kind, int call, const char *text, size_t len)
{
    Answer *a = user;
    (void)call;
    sb_putn(kind == CHAT_reasoning ? &a->reasoning : &a->content, text, len);
    a->written = a->written && a->put(a->user, kind, text, len);
}

/* Where one of the texts that end an answer begins, or may begin and the rest come later. */
static size_t
stop_at(const Answer *a, bool *whole)
{
    for (size_t at = 0; at < a->held.len; at++)
        for (const char *const *stop = chat_stops(a->talk->format); *stop; stop++) {
            const size_t len = strlen(*stop), have = a->held.len - at;
            *whole = have >= len;
            if (memcmp(a->held.text + at, *stop, *whole ? len : have) == 0)
                return at;
        }
    *whole = false;
    return a->held.len;
}

static void
add_text(Answer *a, const char *text, size_t len)
{
    sb_putn(&a->held, text, len);
    const size_t at = stop_at(a, &a->stopped);
    chat_parser_add(a->parser, a->held.text, at);
    if (at < a->held.len)
        memmove(a->held.text, a->held.text + at, a->held.len - at);
    a->held.len -= at;
}

/* Draws until the answer ends. next: the first id. */
static ssmc_status
go_on(Talk *t, Answer *a, int32_t next)
{
    TokText *text = tok_text_new(t->tok, true);
    ssmc_status status = SSMC_OK;
    size_t len = 0;
    t->ended = "it has as many tokens as -n allows";
    while (t->made < t->most && a->written) {
        if (ids_have(t->job->eos, t->job->neos, next) && !opt_given(t->o, OPT_ignore_eos)) {
            t->ended = NULL;
            break;
        }
        t->made++;
        const char *bytes = tok_text_add(text, next, &len);
        if (bytes)
            add_text(a, bytes, len);
        if (a->stopped)
            t->ended = NULL;
        else if (chat_interrupted())
            t->ended = "Ctrl-C";
        else if (t->made < t->most) {
            ssmc_turn turn = {.ids = &next, .count = 1, .sampler = t->sampler};
            status = ssmc_draw(t->session, &turn, 1);
            if (status == SSMC_OK) {
                note_read(t, next);
                next = turn.id;
                continue;
            }
            t->ended = status == SSMC_FULL ? "--context has no room for more" : NULL;
        }
        break;
    }
    const char *rest = tok_text_end(text, &len);
    if (!a->stopped) {
        add_text(a, rest, len);
        chat_parser_add(a->parser, sb_text(&a->held), a->stopped ? 0 : a->held.len);
    }
    chat_parser_end(a->parser);
    tok_text_free(text);
    return status == SSMC_FULL ? SSMC_OK : status;
}

static void
add_answer(Talk *t, const Answer *a)
{
    struct json_object *m = message("assistant", sb_text(&a->content), a->content.len);
    if (a->reasoning.len)
        json_object_object_add(
            m, "reasoning_content",
            json_object_new_string_len(a->reasoning.text, (int)a->reasoning.len));
    json_object_array_add(t->messages, m);
}

/* Reads what is new of ids, and keeps the state where it may be needed again. */
static ssmc_status
read_new(Talk *t, const int32_t *ids, int64_t count, int64_t stays, int32_t *next, bool *stopped)
{
    ssmc_status status = go_back(t, ids, count);
    if (status == SSMC_OK)
        take_cached(t, ids, stays);
    t->kept = t->read;
    if (status == SSMC_OK && t->read > 0 && t->read < stays)
        status = mark(t); /* where the last answer ends: /undo comes back to it */
    if (status == SSMC_OK && t->read <= stays)
        status = read_to(t, ids, stays, NULL, stopped);
    if (status == SSMC_OK && t->read == stays && stays > 0) {
        status = mark(t);
        if (t->cache && ssmc_cache_put(t->cache, t->session, 0, t->ids, t->read) != SSMC_OK)
            note("--cache-dir: %s", ssmc_error());
    }
    return status == SSMC_OK && !*stopped ? read_to(t, ids, count, next, stopped) : status;
}

static int
answer(Talk *t, const int32_t *ids, int64_t count, int64_t stays, const char *text, size_t len,
       TalkPut *put, void *user)
{
    Answer a = {.talk = t, .put = put, .user = user, .written = true};
    int32_t next = -1;
    bool stopped = false;
    chat_interrupted(); /* what came before is over */
    a.parser = chat_parser_new(t->format, NULL, text, len, on_part, &a);
    ssmc_status status = read_new(t, ids, count, stays, &next, &stopped);
    if (status == SSMC_OK && !stopped)
        status = go_on(t, &a, next);
    else if (stopped)
        t->ended = "Ctrl-C";
    if (status == SSMC_OK)
        add_answer(t, &a);
    chat_parser_free(a.parser);
    sb_free(&a.held);
    sb_free(&a.content);
    sb_free(&a.reasoning);
    if (!a.written)
        return fault(EXIT_FAILED, "cannot write to standard output");
    return status == SSMC_OK ? EXIT_DONE : runtime_fault(status);
}

int
talk_turn(Talk *t, const char *text, TalkPut *put, void *user)
{
    int32_t *ids = NULL;
    size_t count = 0, len = 0;
    int64_t stays = 0;
    char *rendered = NULL;
    const size_t before = count_of(t);
    t->fed = t->kept = t->made = 0;
    t->ended = NULL;
    json_object_array_add(t->messages, message(user_role, text, strlen(text)));
    int status = render(t, &ids, &count, &stays, &rendered, &len);
    if (status == EXIT_DONE)
        status = answer(t, ids, (int64_t)count, stays, rendered, len, put, user);
    if (status != EXIT_DONE)
        cut_messages(t, before);
    free(rendered);
    free(ids);
    return status;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* The note of a conversation's state: this, the ids that the model has read, then the messages as
 * JSON. */
typedef struct {
    char tag[12];
    int32_t count;
} TalkNote;
static const char note_tag[12] = "ssmc chat 1";

int
talk_save(const Talk *t, const char *path)
{
    const char *json = json_object_to_json_string_ext(t->messages, JSON_C_TO_STRING_PLAIN);
    const size_t bytes = (size_t)t->read * sizeof *t->ids, len = strlen(json);
    TalkNote head = {.count = (int32_t)t->read};
    char *note = malloc(sizeof head + bytes + len);
    if (!note)
        die_no_memory(sizeof head + bytes + len);
    memcpy(head.tag, note_tag, sizeof head.tag);
    memcpy(note, &head, sizeof head);
    if (bytes)
        memcpy(note + sizeof head, t->ids, bytes);
    memcpy(note + sizeof head + bytes, json, len);
    const ssmc_status status =
        ssmc_state_save(t->session, 0, path, note, sizeof head + bytes + len);
    free(note);
    return status == SSMC_OK ? EXIT_DONE : runtime_fault(status);
}

/* A list of messages, each with a role and a content; NULL: it is not. */
static struct json_object *
messages_of(const char *json, size_t len)
{
    json_tokener *tokener = json_tokener_new();
    if (!tokener)
        die_no_memory(0);
    struct json_object *all =
        len > 0 && len < INT32_MAX ? json_tokener_parse_ex(tokener, json, (int)len) : NULL;
    json_tokener_free(tokener);
    bool ok = json_object_is_type(all, json_type_array);
    for (size_t i = 0; ok && i < json_object_array_length(all); i++) {
        struct json_object *m = json_object_array_get_idx(all, i), *role = NULL, *content = NULL;
        ok = json_object_object_get_ex(m, "role", &role) &&
             json_object_is_type(role, json_type_string) &&
             json_object_object_get_ex(m, "content", &content) &&
             json_object_is_type(content, json_type_string);
    }
    if (ok)
        return all;
    json_object_put(all);
    return NULL;
}

static int
take_note(Talk *t, const char *path, const char *note, size_t bytes)
{
    TalkNote head;
    const int64_t vocab = ssmc_model_vocab(t->job->model);
    if (bytes < sizeof head || memcmp(note, note_tag, sizeof note_tag) != 0)
        return fault(EXIT_BAD_INPUT, "%s has no conversation: run --chat did not save it", path);
    memcpy(&head, note, sizeof head);
    const size_t most = (bytes - sizeof head) / sizeof *t->ids;
    bool ok =
        head.count >= 0 && (size_t)head.count <= most && head.count == ssmc_tokens(t->session, 0);
    const size_t ids = ok ? (size_t)head.count * sizeof *t->ids : 0;
    struct json_object *messages =
        ok ? messages_of(note + sizeof head + ids, bytes - sizeof head - ids) : NULL;
    ok = ok && messages;
    drop_marks(t, -1);
    t->read = 0;
    for (int32_t i = 0; ok && i < head.count; i++) {
        int32_t id = 0;
        memcpy(&id, note + sizeof head + (size_t)i * sizeof id, sizeof id);
        ok = id >= 0 && id < vocab;
        note_read(t, id);
        if (ok)
            ssmc_sampler_see(t->sampler, id);
    }
    if (!ok) {
        json_object_put(messages);
        ssmc_reset(t->session, 0);
        t->read = 0;
        return fault(EXIT_BAD_INPUT, "%s is broken: its note is no conversation", path);
    }
    json_object_put(t->messages);
    t->messages = messages;
    return EXIT_DONE;
}

int
talk_load(Talk *t, const char *path)
{
    void *note = NULL;
    size_t bytes = 0;
    ssmc_status status = ssmc_state_load(t->session, 0, path, &note, &bytes);
    int done = status == SSMC_OK ? take_note(t, path, note, bytes) : runtime_fault(status);
    free(note);
    if (done == EXIT_DONE && t->read > 0 && (status = mark(t)) != SSMC_OK)
        done = runtime_fault(status);
    return done;
}
