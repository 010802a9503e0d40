/* bench/load/reply.c -- see load.h. Events are not parsed as JSON but for the last: at tens of
 * thousands a second, that would take from the server what is being measured. In JSON, a key with
 * its quotes can't stand inside a string, so the text is found by its key, and compared as it is
 * written there. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/load/load.h"

void
reply_begin(Reply *reply, bool chat)
{
    reply->state = REPLY_head;
    reply->left = 0;
    reply->closing = false;
    reply->retry = 0;
    reply->chat = chat;
    reply->line.len = reply->event.len = 0;
    answer_clear(&reply->answer);
}

void
reply_free(Reply *reply)
{
    free(reply->line.data);
    free(reply->event.data);
    free(reply->answer.text.data);
}

/* The end of the JSON string that begins behind the quote at `at`; NULL: it has none. */
static const char *
string_end(const char *at)
{
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at : NULL;
}

/* The string that a key has in an event, without its quotes; NULL: none. */
static const char *
string_of(const char *event, const char *key, size_t *len)
{
    const char *at = strstr(event, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at++ != '"')
        return NULL;
    const char *end = string_end(at);
    *len = end ? (size_t)(end - at) : 0;
    return end ? at : NULL;
}

static int64_t
number_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? json_object_get_int64(value) : 0;
}

static void
take_usage(Answer *answer, const char *event)
{
    struct json_object *root = json_tokener_parse(event), *usage = NULL, *details = NULL;
    if (root && json_object_object_get_ex(root, "usage", &usage) && usage) {
        answer->prompt = number_of(usage, "prompt_tokens");
        answer->drawn = number_of(usage, "completion_tokens");
        if (json_object_object_get_ex(usage, "prompt_tokens_details", &details))
            answer->cached = number_of(details, "cached_tokens");
    }
    json_object_put(root);
}

/* A line of the body, with a NUL behind it. */
static void
take_line(Reply *reply, const char *line)
{
    Answer *answer = &reply->answer;
    if (strncmp(line, "data:", 5) != 0) {
        if (answer->status != 200) /* an error, which is told as it is */
            bytes_add(&answer->text, line, strlen(line));
        return;
    }
    line += 5 + strspn(line + 5, " ");
    if (strcmp(line, "[DONE]") == 0) {
        answer->complete = answer->finish[0] && answer->prompt > 0;
        return;
    }
    size_t len = 0;
    const char *text = string_of(line, reply->chat ? "\"content\":" : "\"text\":", &len);
    if (text && len > 0) {
        bytes_add(&answer->text, text, len);
        reply->fresh++;
    }
    const char *finish = string_of(line, "\"finish_reason\":", &len);
    if (finish)
        snprintf(answer->finish, sizeof answer->finish, "%.*s", (int)len, finish);
    if (strstr(line, "\"prompt_tokens\":"))
        take_usage(answer, line);
}

/* Lines of the body; what follows the last stays for later. */
static void
take_body(Reply *reply, const char *data, size_t len)
{
    bytes_add(&reply->event, data, len);
    char *from = reply->event.data, *const end = from + reply->event.len;
    for (char *at; (at = memchr(from, '\n', (size_t)(end - from))) != NULL; from = at + 1) {
        *at = '\0';
        if (at > from && at[-1] == '\r')
            at[-1] = '\0';
        take_line(reply, from);
    }
    reply->event.len = (size_t)(end - from);
    memmove(reply->event.data, from, reply->event.len);
}

static void
finish_body(Reply *reply)
{
    if (reply->event.len > 0)
        take_body(reply, "\n", 1);
    reply->state = REPLY_done;
}

/* What a line of the head says: the status, or a field. */
static void
take_field(Reply *reply, const char *line)
{
    const char *colon = strchr(line, ':'), *value = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    const size_t name = colon ? (size_t)(colon - line) : 0;
    if (reply->answer.status == 0)
        reply->answer.status = strncmp(line, "HTTP/1.1 ", 9) == 0 ? atoi(line + 9) : -1;
    else if (name == 14 && strncasecmp(line, "content-length", name) == 0)
        reply->left = strtoull(value, NULL, 10);
    else if (name == 17 && strncasecmp(line, "transfer-encoding", name) == 0)
        reply->left = UINT64_MAX; /* in chunks */
    else if (name == 10 && strncasecmp(line, "connection", name) == 0)
        reply->closing = strcasecmp(value, "close") == 0;
    else if (name == 11 && strncasecmp(line, "retry-after", name) == 0)
        reply->retry = strtod(value, NULL);
}

static void
take_head_line(Reply *reply, const char *line)
{
    if (*line) {
        take_field(reply, line);
        return;
    }
    reply->state = reply->left == UINT64_MAX ? REPLY_size : REPLY_length;
    if (reply->answer.status <= 0)
        reply->state = REPLY_broken;
    else if (reply->left == 0)
        finish_body(reply);
}

/* A line of HTTP's own: of the head, or around a chunk. */
static void
take_frame_line(Reply *reply, const char *line)
{
    switch (reply->state) {
    case REPLY_head:
        take_head_line(reply, line);
        return;
    case REPLY_size:
        reply->left = strtoull(line, NULL, 16);
        reply->state = reply->left ? REPLY_data : REPLY_trailer;
        return;
    case REPLY_gap:
        reply->state = *line ? REPLY_broken : REPLY_size;
        return;
    case REPLY_trailer:
        if (!*line)
            finish_body(reply);
        return;
    case REPLY_length:
    case REPLY_data:
    case REPLY_done:
    case REPLY_broken:
        return;
    }
}

/* Bytes taken up to the end of a line of HTTP's own. */
static size_t
take_frame(Reply *reply, const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);
    bytes_add(&reply->line, data, end ? (size_t)(end - data) : len);
    if (!end) {
        if (reply->line.len > 65536)
            reply->state = REPLY_broken;
        return len;
    }
    while (reply->line.len > 0 && reply->line.data[reply->line.len - 1] == '\r')
        reply->line.len--;
    bytes_add(&reply->line, "", 1);
    take_frame_line(reply, reply->line.data);
    reply->line.len = 0;
    return (size_t)(end - data) + 1;
}

size_t
reply_take(Reply *reply, const char *data, size_t len)
{
    size_t at = 0;
    reply->fresh = 0;
    while (at < len && reply->state != REPLY_done && reply->state != REPLY_broken) {
        if (reply->state != REPLY_length && reply->state != REPLY_data) {
            at += take_frame(reply, data + at, len - at);
            continue;
        }
        const size_t here = len - at < reply->left ? len - at : (size_t)reply->left;
        take_body(reply, data + at, here);
        at += here;
        reply->left -= here;
        if (reply->left == 0 && reply->state == REPLY_data)
            reply->state = REPLY_gap;
        else if (reply->left == 0)
            finish_body(reply);
    }
    return at;
}
