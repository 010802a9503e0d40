/* bench/load/requests.c -- see load.h. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/load.h"

void
bytes_add(Bytes *bytes, const char *data, size_t len)
{
    if (bytes->room - bytes->len < len) {
        bytes->room = 2 * (bytes->len + len) + 256;
        bytes->data = realloc(bytes->data, bytes->room);
        if (!bytes->data) {
            fputs("ssmc_load: no memory\n", stderr);
            exit(1);
        }
    }
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void
answer_clear(Answer *answer)
{
    answer->text.len = 0;
    answer->finish[0] = '\0';
    answer->prompt = answer->cached = answer->drawn = 0;
    answer->status = 0;
    answer->complete = false;
}

/* splitmix64 */
static uint64_t
random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From range[0] to range[1]; small numbers are as likely as large ones are, by their ratio. */
static int
random_between(uint64_t *state, const int range[2])
{
    const double share = (double)(random_next(state) >> 11) * 0x1p-53;
    return (int)lround(range[0] * pow((double)range[1] / range[0], share));
}

/* A piece of the text of about so many bytes: it begins with a word, and its end is that of one. */
static struct json_object *
prompt_piece(const LoadOptions *o, uint64_t *state)
{
    size_t len = (size_t)random_between(state, o->prompt);
    len = len < o->text_len / 2 ? len : o->text_len / 2;
    size_t from = (size_t)(random_next(state) % (o->text_len - len)), end = from + len;
    while (from > 0 && o->text[from - 1] != ' ' && o->text[from - 1] != '\n')
        from--;
    while (end < o->text_len && o->text[end] != ' ' && o->text[end] != '\n')
        end++;
    return json_object_new_string_len(o->text + from, (int)(end - from));
}

struct json_object *
ask_schema(const LoadOptions *o, int index)
{
    return json_object_array_get_idx(o->schemas,
                                     (size_t)index % json_object_array_length(o->schemas));
}

static struct json_object *
body_make(const LoadOptions *o, int index, uint64_t *state)
{
    struct json_object *body = json_object_new_object(), *prompt = prompt_piece(o, state);
    if (o->chat) {
        struct json_object *messages = json_object_new_array(), *m = json_object_new_object();
        json_object_object_add(m, "role", json_object_new_string("user"));
        json_object_object_add(m, "content", prompt);
        json_object_array_add(messages, m);
        prompt = messages;
    }
    json_object_object_add(body, o->chat ? "messages" : "prompt", prompt);
    json_object_object_add(body, "max_tokens",
                           json_object_new_int(random_between(state, o->tokens)));
    json_object_object_add(body, "temperature",
                           json_object_new_double(index % 2 && !o->greedy ? 0.8 : 0));
    json_object_object_add(body, "seed", json_object_new_int(index));
    if (o->schemas)
        json_object_object_add(body, "json_schema", json_object_get(ask_schema(o, index)));
    if (o->ignore_eos)
        json_object_object_add(body, "ignore_eos", json_object_new_boolean(true));
    json_object_object_add(body, "stream", json_object_new_boolean(true));
    struct json_object *stream = json_object_new_object();
    json_object_object_add(stream, "include_usage", json_object_new_boolean(true));
    json_object_object_add(body, "stream_options", stream);
    return body;
}

static void
ask_make(const LoadOptions *o, int index, uint64_t *state, Ask *out)
{
    struct json_object *body = body_make(o, index, state);
    const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
    const bool six = strchr(o->host, ':') != NULL;
    char head[1024];
    const int len =
        snprintf(head, sizeof head,
                 "POST /v1/%s HTTP/1.1\r\nHost: %s%s%s:%d\r\nContent-Type: application/json\r\n"
                 "%s%s%sContent-Length: %zu\r\n\r\n",
                 o->chat ? "chat/completions" : "completions", six ? "[" : "", o->host,
                 six ? "]" : "", o->port, o->key ? "Authorization: Bearer " : "",
                 o->key ? o->key : "", o->key ? "\r\n" : "", strlen(text));
    Bytes bytes = {0};
    bytes_add(&bytes, head, (size_t)len);
    bytes_add(&bytes, text, strlen(text));
    *out = (Ask){.bytes = bytes.data, .len = bytes.len};
    json_object_put(body);
}

Ask *
asks_make(const LoadOptions *options)
{
    Ask *asks = calloc((size_t)options->distinct, sizeof *asks);
    uint64_t state = options->seed;
    for (int i = 0; asks && i < options->distinct; i++)
        ask_make(options, i, &state, &asks[i]);
    return asks;
}

void
asks_free(Ask *asks, int count)
{
    for (int i = 0; asks && i < count; i++) {
        free(asks[i].bytes);
        free(asks[i].alone.text.data);
    }
    free(asks);
}
