/* tests/unit/test_serve_turns.c -- a conversation of many turns: each reads what is new and no
 * more, also by a server that was started again on the same folder. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/harness.h"
#include "tests/page.h"
#include "tests/serving.h"

#define STORYTELLER SSMC_ROOT "/examples/storyteller.yaml"

static void
add_message(struct json_object *messages, const char *role, const char *content)
{
    struct json_object *message = json_object_new_object();
    json_object_object_add(message, "role", json_object_new_string(role));
    json_object_object_add(message, "content", json_object_new_string(content));
    json_object_array_add(messages, message);
}

static struct json_object *
conversation(void)
{
    struct json_object *messages = json_object_new_array();
    add_message(messages, "system", "You tell stories to children, one sentence after the other.");
    return messages;
}

typedef struct {
    int64_t prompt, cached, drawn;
} Usage;

/* Adds a message and its answer to the conversation. */
static Usage
say(const Serving *s, struct json_object *messages, const char *text)
{
    struct json_object *body = json_object_new_object();
    add_message(messages, "user", text);
    json_object_object_add(body, "messages", json_object_get(messages));
    json_object_object_add(body, "max_tokens", json_object_new_int(9));
    json_object_object_add(body, "temperature", json_object_new_double(0));
    int status;
    char *reply = serving_ask(s, "/v1/chat/completions", json_object_to_json_string(body), &status);
    cr_assert_eq(status, 200, "%s", reply);
    struct json_object *root = json_tokener_parse(reply), *usage = json_at(root, "usage");
    const Usage u = {
        .prompt = json_object_get_int64(json_at(usage, "prompt_tokens")),
        .cached = json_object_get_int64(
            json_at(json_at(usage, "prompt_tokens_details"), "cached_tokens")),
        .drawn = json_object_get_int64(json_at(usage, "completion_tokens")),
    };
    struct json_object *answer = json_at(json_nth(json_at(root, "choices"), 0), "message");
    add_message(messages, "assistant", json_object_get_string(json_at(answer, "content")));
    json_object_put(root);
    json_object_put(body);
    free(reply);
    return u;
}

/* The value of a metric. */
static double
metric(const Serving *s, const char *name)
{
    int status;
    char *text = serving_ask(s, "/metrics", NULL, &status), line[100];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    const double value = at ? strtod(at + strlen(line), NULL) : -1;
    cr_assert(at, "no %s in %s", name, text);
    free(text);
    return value;
}

/* Until what each of so many answers left to be read ahead has been asked for, and nothing runs. */
static void
settle(const Serving *s, int answers)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    while (metric(s, "ssmc_requests_total") < 2 * answers || metric(s, "ssmc_running") > 0 ||
           metric(s, "ssmc_waiting") > 0)
        nanosleep(&pause, NULL);
}

/* Ids that the message of a turn brings, with the marks around it: the prompt's but for those of
 * the turn before and its answer. */
static void
expect_new_alone(const Usage *before, const Usage *now, int turn, const char *when)
{
    const int64_t fresh = now->prompt - before->prompt - before->drawn,
                  read = now->prompt - now->cached;
    cr_expect_leq(read, fresh, "turn %d%s: %lld ids were read, %lld are new", turn, when,
                  (long long)read, (long long)fresh);
    cr_expect_gt(read, 0);
}

Test(serve_turns, twenty_turns_read_what_is_new)
{
    enum { TURNS = 20, MORE = 4 };
    char *dir = temp_dir(), text[100];
    const char *const args[] = {STORYTELLER, "--chat-format", "plain", "--cache-dir", dir, NULL};
    struct json_object *messages = conversation();
    Serving s = serving_start(args);
    Usage before = say(&s, messages, "Tell me of the fox.");
    cr_expect_eq(before.cached, 0);
    for (int turn = 2; turn <= TURNS + MORE; turn++) {
        settle(&s, turn <= TURNS + 1 ? turn - 1 : turn - TURNS - 1);
        if (turn == TURNS + 1) { /* another server finds it on the disk */
            cr_expect_eq(serving_end(&s, SIGTERM), 0);
            s = serving_start(args);
        }
        snprintf(text, sizeof text, "Go on with part %d: what did fox number %d do?", turn,
                 turn * 7);
        const Usage now = say(&s, messages, text);
        expect_new_alone(&before, &now, turn, turn > TURNS ? " (after another server began)" : "");
        before = now;
    }
    cr_expect_eq(serving_end(&s, SIGTERM), 0);
    json_object_put(messages);
    temp_dir_remove(dir);
}
